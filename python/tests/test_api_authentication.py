"""Who a client is: handlers of mounts, sync and async, and what becomes of those that refuse, fail or take long."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from asgi import Socket
from fraiseql.integrations.asgi import SubscriptionApp
from fraiseql.subscriptions import Identity, Request, SubscriptionManager

SCHEMA = """
type Order { id: ID! total: Float! margin: Float @requiresRole(roles: ["accounting"]) }
type Subscription { orders(id: ID): Order! }
"""

pytestmark = pytest.mark.anyio


@pytest.fixture
def manager() -> Iterator[SubscriptionManager]:
    made = SubscriptionManager(schema=SCHEMA)
    yield made
    made.close()


def publish(manager: SubscriptionManager, **more: Any) -> int | None:
    return manager.executor.publish_event("order.placed", "orders", {"id": "1", "total": 1}, **more)


class TestAuthentication:
    async def test_handlers(self, manager: SubscriptionManager) -> None:
        async def waits(params: dict[str, Any], request: Request) -> dict[str, Any]:
            await asyncio.sleep(0)
            return {"user_id": params["user"], "tenant_id": "t", "roles": ["accounting"]}

        def plain(params: dict[str, Any], request: Request) -> Identity:
            assert request.headers["host"] == "testserver"
            assert request.client == ("127.0.0.1", 4711)
            return Identity(params["user"], "t", roles=["accounting"])

        class Handler:
            async def __call__(self, params: dict[str, Any], request: Request) -> Identity:
                return Identity(params["user"], "t", roles=["accounting"])

        for handler in (waits, plain, Handler()):
            async with Socket(SubscriptionApp(manager, handler)) as socket:
                await socket.init({"user": "anne"})
                await socket.subscribe(manager, "a", "subscription { orders { margin } }")
                assert publish(manager, tenant_id="other") == 0
                assert publish(manager, user_id="gus") == 0
                assert publish(manager, tenant_id="t", user_id="anne") == 1
                assert (await socket.json())["payload"] == {"data": {"orders": {"margin": None}}}

    @pytest.mark.parametrize("answer", [PermissionError("token s3cret"), None, {"user": "s3cret"}, "s3cret", {"user_id": ""}])
    @pytest.mark.parametrize("waits", [False, True])
    async def test_refusals(
        self, manager: SubscriptionManager, answer: Any, waits: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        def handler(params: dict[str, Any], request: Request) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

        async def later(params: dict[str, Any], request: Request) -> Any:
            return handler(params, request)

        with caplog.at_level(logging.DEBUG, "fraiseql"):
            async with Socket(SubscriptionApp(manager, later if waits else handler)) as socket:
                await socket.accepted()
                socket.send({"type": "connection_init", "payload": {"token": "s3cret"}})
                assert (await socket.closed())[0] == 4403
        assert len(caplog.records) == 1
        assert "s3cret" not in caplog.text

    @pytest.mark.parametrize(
        ("answer", "text"),
        [
            (
                {"user_id": "s3cret", "tenantid": "s3cret"},
                "auth_handler: unknown key 'tenantid'; did you mean 'tenant_id'? Allowed",
            ),
            ({"Bearer s3cret": 1}, "auth_handler: unknown key '<str>'; allowed are user_id, "),
            ({7: "s3cret"}, "auth_handler: unknown key '<int>'; allowed are user_id, "),
            ("s3cret", "auth_handler returns an Identity or a dict, not str: the connection is refused"),
            ({"user_id": ["s3cret"]}, "Identity: user_id is a str, not list: the connection is refused"),
        ],
    )
    @pytest.mark.parametrize("waits", [False, True])
    async def test_the_log_says_what_is_wrong_with_an_answer(
        self, manager: SubscriptionManager, answer: Any, text: str, waits: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def later(params: dict[str, Any], request: Request) -> Any:
            return answer

        await self.refused(manager, later if waits else lambda params, request: answer)
        assert caplog.records[0].getMessage().startswith(text)
        assert "s3cret" not in caplog.text

    async def test_the_log_says_where_a_handler_raised(
        self, manager: SubscriptionManager, caplog: pytest.LogCaptureFixture
    ) -> None:
        def ours(params: dict[str, Any], request: Request) -> Identity:
            return Identity(user_id=params)  # type: ignore[arg-type]

        def headers(params: dict[str, Any], request: Request) -> Any:
            return request.headers["s3cret"]

        def none() -> None:
            pass

        for handler in (ours, headers, none, lambda params, request: {"roles": map(int, ["s3cret"])}):
            await self.refused(manager, handler)
        texts = [record.getMessage() for record in caplog.records]
        lines = [__file__ + f":{handler.__code__.co_firstlineno + 1}" for handler in (ours, headers)]
        assert texts == [
            f"Identity: user_id is a str, not dict (at {lines[0]}): the connection is refused",
            f"auth_handler raised KeyError at {lines[1]}, the connection is refused",
            "auth_handler raised TypeError at its call or answer, the connection is refused",
            "auth_handler raised ValueError at its call or answer, the connection is refused",
        ]

    @staticmethod
    async def refused(manager: SubscriptionManager, handler: Any) -> None:
        async with Socket(SubscriptionApp(manager, handler)) as socket:
            await socket.accepted()
            socket.send({"type": "connection_init", "payload": {"token": "s3cret"}})
            assert (await socket.closed())[0] == 4403

    async def test_anonymous_by_answer(self, manager: SubscriptionManager) -> None:
        async with Socket(SubscriptionApp(manager, lambda params, request: None, anonymous=True)) as socket:
            await socket.init()
            socket.send({"id": "a", "type": "subscribe", "payload": {"query": "subscription { orders { margin } }"}})
            assert (await socket.json())["payload"][0]["extensions"]["code"] == "FORBIDDEN"

    async def test_no_handler(self, manager: SubscriptionManager) -> None:
        with pytest.raises(ValueError, match="auth_handler is None: pass one, or anonymous=True"):
            SubscriptionApp(manager)
        with pytest.raises(TypeError, match="auth_handler is a function, not str"):
            SubscriptionApp(manager, "handler")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="SubscriptionManager is mounted, not str"):
            SubscriptionApp("manager", anonymous=True)  # type: ignore[arg-type]

    async def test_the_managers_own(self) -> None:
        manager = SubscriptionManager(auth=lambda params, request: {"user_id": params["user"]})
        async with Socket(SubscriptionApp(manager)) as socket:
            await socket.init({"user": "anne"})
        manager.close()

    async def test_expiry(self, manager: SubscriptionManager) -> None:
        async with Socket(SubscriptionApp(manager, lambda params, request: {"expires_at": time.time() + 1.2})) as socket:
            await socket.init()
            assert (await socket.closed())[0] == 4403

    async def test_client_that_goes_meanwhile(self, manager: SubscriptionManager) -> None:
        began, ended = asyncio.Event(), asyncio.Event()

        async def slow(params: dict[str, Any], request: Request) -> Identity:
            began.set()
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()
            return Identity()

        async with Socket(SubscriptionApp(manager, slow)) as socket:
            await socket.accepted()
            socket.send({"type": "connection_init"})
            await asyncio.wait_for(began.wait(), 5)
            await asyncio.sleep(0)
            socket.leave()
            await socket.ended()
            await asyncio.wait_for(ended.wait(), 5)

    async def test_many_at_once(self, manager: SubscriptionManager) -> None:
        asked: set[str] = set()
        all_asked = asyncio.Event()

        async def handler(params: dict[str, Any], request: Request) -> Identity:
            asked.add(params["user"])
            if len(asked) == 50:
                all_asked.set()
            await all_asked.wait()
            return Identity(params["user"])

        app = SubscriptionApp(manager, handler)

        async def client(n: int) -> None:
            async with Socket(app) as socket:
                await socket.init({"user": str(n)})

        await asyncio.gather(*(client(n) for n in range(50)))


async def test_a_handler_runs_in_the_context_of_its_connection(manager: SubscriptionManager) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    seen: list[str] = []

    def plain(params: dict[str, Any], request: Request) -> Identity:
        seen.append(variable.get())
        variable.set("changed")
        return Identity()

    async def waits(params: dict[str, Any], request: Request) -> Identity:
        await asyncio.sleep(0)
        return plain(params, request)

    for handler in (plain, waits):
        for name in ("first", "second"):
            variable.set(name)
            async with Socket(SubscriptionApp(manager, handler)) as socket:
                await socket.init()
    assert seen == ["first", "second", "first", "second"]


def test_two_loops_in_two_threads(manager: SubscriptionManager) -> None:
    """Each client is judged in the loop of its own WebSocket, whichever loop is told of calls."""
    failures: list[BaseException] = []

    async def handler(params: dict[str, Any], request: Request) -> Identity:
        assert threading.current_thread().name == params["thread"]
        await asyncio.sleep(0)
        assert threading.current_thread().name == params["thread"]
        return Identity()

    app = SubscriptionApp(manager, handler)

    async def clients() -> None:
        for _ in range(20):
            async with Socket(app) as first, Socket(app) as second:
                for socket in (first, second):
                    await socket.init({"thread": threading.current_thread().name})
                    await socket.settled()

    def work() -> None:
        try:
            asyncio.run(clients())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, name=name) for name in ("left", "right", "middle")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert manager.get_metrics()["active_connections"] == 0
