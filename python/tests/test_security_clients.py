"""Hostile clients and careless applications at the door: identities of odd shapes, handlers that misbehave, foreign
pages, floods, and clients that do not read."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgi import PATIENCE, Socket, until
from fraiseql.integrations.adapter import WebSocketAdapter
from fraiseql.integrations.asgi import SubscriptionApp
from fraiseql.subscriptions import EventBusConfig, Identity, SubscriptionExecutor, SubscriptionManager, authentication, loops
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

SCHEMA = """
type Order { id: ID! margin: Float @requiresRole(roles: ["admin"]) }
type Subscription { orders: Order! }
"""
ORDERS = "subscription { orders { id } }"
INIT = {"type": "connection_init"}

pytestmark = pytest.mark.anyio


@pytest.fixture
async def manager() -> AsyncIterator[SubscriptionManager]:
    async with SubscriptionManager(schema=SCHEMA) as made:
        yield made


async def judged(manager: SubscriptionManager, kind: str, handler: Any) -> int:
    """The close code that a client gets for connection_init, 0 when it is let in."""
    if kind == "mount":
        async with Socket(SubscriptionApp(manager, handler)) as socket:
            await socket.accepted()
            socket.send(INIT)
            message = await socket.next()
            return 0 if message["type"] == "websocket.send" else int(message["code"])
    server = await manager.serve(port=0, auth_handler=handler)
    async with server, connect(server.url, subprotocols=[Subprotocol("graphql-transport-ws")]) as client:
        await client.send(json.dumps(INIT))
        try:
            assert json.loads(await asyncio.wait_for(client.recv(), PATIENCE)) == {"type": "connection_ack"}
        except ConnectionClosed as error:
            return error.rcvd.code if error.rcvd is not None else 1006
        return 0


class Masked(str):
    """A text that does not show itself."""

    __slots__ = ()

    def __str__(self) -> str:
        return "***"


class Out(BaseException):
    """What no handler should raise."""


@pytest.mark.parametrize("kind", ["mount", "serve"])
class TestHandlers:
    @pytest.mark.parametrize(
        "answer",
        [
            None,
            False,
            True,
            0,
            "",
            "user",
            [],
            [("user_id", "u")],
            Identity,
            {"user": "u"},
            {"tenantid": "t"},
            {1: 2},
            {"user_id": ""},
            {"user_id": True},
            {"user_id": 1.5},
            {"user_id": b"u"},
            {"user_id": ["u"]},
            {"user_id": "\ud800"},
            {"user_id": 10**5000},
            {"tenant_id": ""},
            {"roles": "admin"},
            {"roles": {"admin": False}},
            {"roles": [1]},
            {"roles": ["\ud800"]},
            {"roles": 1},
            {"scopes": {"read": False}},
            {"expires_at": 1},
            {"expires_at": 0},
            {"expires_at": float("nan")},
            {"expires_at": "tomorrow"},
        ],
    )
    async def test_what_is_no_identity_is_refused(self, manager: SubscriptionManager, kind: str, answer: Any) -> None:
        assert await judged(manager, kind, lambda params, request: answer) == 4403

    async def test_what_is_one_is_let_in(self, manager: SubscriptionManager, kind: str) -> None:
        for answer in ({}, Identity(), {"tenant_id": 0}, {"user_id": "u", "roles": {"a", "b"}, "scopes": "read write"}):
            assert await judged(manager, kind, lambda params, request, answer=answer: answer) == 0

    async def test_handlers_that_neither_answer_nor_refuse(
        self, manager: SubscriptionManager, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(authentication, "_PATIENCE", 0.05)

        async def never(params: Any, request: Any) -> None:
            await asyncio.Event().wait()

        async def cancelled(params: Any, request: Any) -> None:
            raise asyncio.CancelledError

        def future(params: Any, request: Any) -> Any:
            return asyncio.get_running_loop().create_future()

        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        for handler in (never, cancelled, future):
            assert await judged(manager, kind, handler) == 1013

    async def test_handlers_that_raise_what_is_no_exception(
        self, manager: SubscriptionManager, kind: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        async def waits(params: Any, request: Any) -> None:
            raise Out("s3cret")

        def plain(params: Any, request: Any) -> None:
            raise Out("s3cret")

        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        for handler in (waits, plain):
            assert await judged(manager, kind, handler) == 1013
        assert "s3cret" not in caplog.text + "".join(capfd.readouterr())

    async def test_an_identity_is_what_it_was_when_it_was_returned(self, manager: SubscriptionManager, kind: str) -> None:
        shared: dict[str, Any] = {"user_id": "nobody"}

        def handler(params: Any, request: Any) -> Any:
            shared["user_id"] = params["user"]
            return shared

        if kind == "mount":
            app = SubscriptionApp(manager, handler)
            async with Socket(app) as first, Socket(app) as second:
                for socket, user in ((first, "anne"), (second, "gus")):
                    await socket.init({"user": user})
                shared["user_id"] = "eve"
                for socket in (first, second):
                    await socket.subscribe(manager, "1", ORDERS)
                await self.addressed(manager, first.json, second.json)
            return
        server = await manager.serve(port=0, auth_handler=handler)
        url, protocols = server.url, [Subprotocol("graphql-transport-ws")]
        async with server, connect(url, subprotocols=protocols) as left, connect(url, subprotocols=protocols) as right:
            for client, user in ((left, "anne"), (right, "gus")):
                await client.send(json.dumps({**INIT, "payload": {"user": user}}))
                await client.recv()
            shared["user_id"] = "eve"
            for client in (left, right):
                await client.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": ORDERS}}))
            await until(lambda: manager.get_metrics()["active_subscriptions"] == 2)

            async def one() -> Any:
                return json.loads(await left.recv())

            async def other() -> Any:
                return json.loads(await right.recv())

            await self.addressed(manager, one, other)

    async def addressed(self, manager: SubscriptionManager, one: Callable[[], Any], other: Callable[[], Any]) -> None:
        for user, count in (("eve", 0), ("anne", 1), ("gus", 1)):
            assert await manager.publish_event("t", "orders", {"id": user}, user_id=user) == count
        assert (await asyncio.wait_for(one(), PATIENCE))["payload"]["data"]["orders"]["id"] == "anne"
        assert (await asyncio.wait_for(other(), PATIENCE))["payload"]["data"]["orders"]["id"] == "gus"


async def test_texts_that_do_not_show_themselves_are_not_all_the_same(manager: SubscriptionManager) -> None:
    app = SubscriptionApp(manager, lambda params, request: {"user_id": Masked(params["user"]), "roles": [Masked("admin")]})
    async with Socket(app) as anne, Socket(app) as gus:
        await anne.init({"user": "anne"})
        await gus.init({"user": "gus"})
        for socket in (anne, gus):
            await socket.subscribe(manager, "1", "subscription { orders { id margin } }")
        for user, count in (("***", 0), ("anne", 1)):
            assert await manager.publish_event("t", "orders", {"id": user}, user_id=user) == count
        assert await manager.publish_event("t", "orders", {"id": "gus"}, user_id="gus") == 1
        assert (await anne.json())["payload"]["data"]["orders"]["id"] == "anne"
        assert (await gus.json())["payload"]["data"]["orders"]["id"] == "gus"


async def test_a_handler_that_is_cancelled_before_it_began_is_answered_for(
    manager: SubscriptionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the engine waits for it, and a thousand such clients keep everybody else out."""
    answers: list[int] = []
    answer, judge = loops.answer, authentication.Door.judge

    async def handler(params: Any, request: Any) -> None:
        raise AssertionError("not begun")

    def judge_and_leave(door: authentication.Door, *arguments: Any) -> None:
        judge(door, *arguments)
        door.close()

    def note(executor: SubscriptionExecutor, call_id: int, how: int, value: bytes | None) -> None:
        answers.append(how)
        answer(executor, call_id, how, value)

    monkeypatch.setattr(authentication.Door, "judge", judge_and_leave)
    monkeypatch.setattr(loops, "answer", note)
    async with Socket(SubscriptionApp(manager, handler)) as socket:
        await socket.accepted()
        socket.send(INIT)
        assert (await socket.closed())[0] == 1013
    assert answers == [loops.FAILED]


async def test_each_server_asks_its_own_handler(manager: SubscriptionManager) -> None:
    asked: list[tuple[str, str, dict[str, str]]] = []

    def handler(name: str) -> Callable[[Any, Any], Identity]:
        def judge(params: Any, request: Any) -> Identity:
            asked.append((name, request.path, request.cookies))
            return Identity(user_id=name)

        return judge

    one = await manager.serve(port=0, auth_handler=handler("one"), path="/one", origins=["https://app.example"])
    other = await manager.serve(port=0, auth_handler=handler("other"), path="/other")
    with pytest.raises(ValueError, match=r"listen|address"):
        await manager.serve(port=other.port, auth_handler=handler("none"), path="/none")
    await other.close()
    async with one:
        for headers in ({"Cookie": "session=s"}, {"Cookie": "session=s", "Origin": "https://app.example"}):
            async with connect(one.url, subprotocols=[Subprotocol("graphql-transport-ws")], additional_headers=headers) as client:
                await client.send(json.dumps(INIT))
                await client.recv()
    # A cookie counts beside the Origin of a page that may connect.
    assert asked == [("one", "/one", {}), ("one", "/one", {"session": "s"})]


class TestPages:
    @pytest.mark.parametrize(
        ("origin", "host", "may"),
        [
            (None, "own", True),
            ("https://app.example", "own", True),
            ("https://APP.example:443", "own", True),
            ("http://own", "OWN:80", True),
            ("", "own", False),
            ("null", "own", False),
            ("https://app.example:8443", "own", False),
            ("http://app.example", "own", False),
            ("https://app.example.evil", "own", False),
            ("https://evil", "own", False),
            ("https://app.example, https://evil", "own", False),
            ("http://own", "own:8000", False),
            ("http://own", None, False),
            ("http://own", "", False),
            ("http://", "", False),
            ("http://evil", "evil, own", False),
            ("*", "own", False),
        ],
    )
    async def test_origins(self, manager: SubscriptionManager, origin: str | None, host: str | None, may: bool) -> None:
        pairs = (("Origin", origin), ("Host", host), ("Cookie", "session=s3cret"))
        headers = tuple((name, value) for name, value in pairs if value is not None)
        app = SubscriptionApp(manager, lambda params, request: {}, origins=["https://app.example"])
        async with Socket(app, headers=headers) as socket:
            if may:
                await socket.init()
            else:
                assert (await socket.closed())[0] == 1008  # before the accept: 403
        adapter = Adapter(dict(headers))
        await manager.handle_connection(adapter, lambda params, request: {}, origins=["https://app.example"])
        assert adapter.code == (None if may else 4403)


class Adapter(WebSocketAdapter):
    """A client that leaves at once."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers
        self.code: int | None = None

    async def accept(self, subprotocol: str | None = None) -> None:
        pass

    async def receive_json(self) -> Any:
        return None

    async def send_json(self, data: dict[str, Any]) -> None:
        pass

    async def send_bytes(self, data: bytes) -> None:
        pass

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.code = code

    @property
    def is_connected(self) -> bool:
        return True


class TestFloods:
    @pytest.mark.parametrize("what", ["pings", "documents"])
    async def test_replies_that_nobody_reads(self, manager: SubscriptionManager, what: str) -> None:
        app = SubscriptionApp(manager, anonymous=True)
        async with Socket(app) as flood, Socket(app) as other:
            await flood.init()
            await other.init()
            flood.gate.clear()
            for i in range(2000):
                if what == "pings":
                    flood.send({"type": "ping", "payload": {"x": "y" * 3000}})
                else:
                    flood.send({"id": str(i), "type": "subscribe", "payload": {"query": f"subscription {{ a{i} }}"}})
            await until(flood.incoming.empty)
            await other.settled()
            flood.gate.set()
            count = 0
            while (message := await flood.next())["type"] == "websocket.send":
                count += 1
            assert (message["type"], message["code"]) == ("websocket.close", 4290)
            assert count < 300
            await other.subscribe(manager, "1", ORDERS)

    async def test_events_that_nobody_reads(self) -> None:
        async with SubscriptionManager(schema=SCHEMA, limits={"connection_queue_bytes": 1 << 20}) as manager:
            app = SubscriptionApp(manager, anonymous=True)
            async with Socket(app) as slow, Socket(app) as other:
                for socket in (slow, other):
                    await socket.init()
                    await socket.subscribe(manager, "1", ORDERS)
                slow.gate.clear()
                most = 0
                for i in range(500):
                    await manager.publish_event("t", "orders", {"id": str(i) + "x" * 10_000})
                    assert (await other.json())["payload"]["data"]["orders"]["id"].startswith(str(i))
                    most = max(most, manager.get_metrics()["queue_bytes"])
                assert most < 2 << 20
                slow.gate.set()
                while (message := await slow.next())["type"] == "websocket.send":
                    pass
                assert message["code"] == 4290

    async def test_clients_that_come_and_go_leave_nothing(self, manager: SubscriptionManager) -> None:
        async def handler(params: Any, request: Any) -> Identity:
            await asyncio.sleep(0)
            return Identity()

        app = SubscriptionApp(manager, handler)
        for messages in ([INIT, INIT], [INIT], [], ["["], [{"id": "1", "type": "subscribe", "payload": {"query": ORDERS}}]):
            for _ in range(50):
                async with Socket(app) as socket:
                    for message in messages:
                        socket.send(message)
        aside = manager.executor._aside()
        assert manager.get_metrics()["active_connections"] == 0
        await until(lambda: not aside.doors and not aside._tasks)


class TestSecrets:
    @pytest.mark.parametrize(
        "make",
        [
            lambda: EventBusConfig.redis("redis://u:s3cret@h/0", "g"),
            lambda: EventBusConfig.redis("redis://u:1?s3cret@h", "g"),
            lambda: EventBusConfig.redis("redis://u:1/s3cret@h", "g"),
            lambda: EventBusConfig.redis("redis://u:1#,s3cret@h", "g"),
            lambda: EventBusConfig.redis("redis://h/s3cret", "g"),
            lambda: EventBusConfig.postgresql("postgresql://u:s3cret@h1,h2/db"),
            lambda: EventBusConfig.postgresql("postgresql://h/db?password=s3cret&x=@"),
            lambda: EventBusConfig.postgresql("host=h password=s3cret"),
            lambda: EventBusConfig.nats("nats://a,nats://u:s3cret@b"),
            lambda: EventBusConfig.nats("nats://u:1,s3cret@b"),
        ],
    )
    async def test_of_bus_urls(self, make: Callable[[], EventBusConfig], capfd: pytest.CaptureFixture[str]) -> None:
        try:
            config = make()
        except ValueError as error:
            shown = f"{error!r} {error.__cause__!r}"
        else:
            shown = f"{config!r} {config}"
            try:
                with SubscriptionExecutor(config) as executor:
                    executor.warmup()
            except (RuntimeError, ValueError) as error:
                shown += f" {error!r} {error.__cause__!r}"
        assert "s3cret" not in shown
        assert "s3cret" not in capfd.readouterr().err  # where the engine says that its bus is away

    async def test_of_events_in_errors_and_logs(
        self, manager: SubscriptionManager, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        def fails(event: Any) -> Any:
            raise RuntimeError("cannot")

        with caplog.at_level(logging.DEBUG):
            manager.executor.register_resolver("orders", fails)
            manager.executor.register_subscription("c", "s", ORDERS)
            await manager.publish_event("t", "orders", {"id": "s3cret"})
            assert b"RESOLVER_FAILED" in (manager.executor.next_event("s") or b"")
            for data in (b'{"x":"s3cret"', b'{"x":"s3cret"} s3cret', b'"s3cret"', '{"x": s3cret}', {"x": ["s3cret", object()]}):
                with pytest.raises((TypeError, ValueError)) as caught:
                    manager.executor.publish_event("t", "orders", data)
                assert "s3cret" not in str(caught.value)
        assert "s3cret" not in caplog.text + "".join(capfd.readouterr())
