"""Functions that are asked about connections and subscriptions, over mounts and over serve()."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgi import Exchange, Socket, until
from fraiseql.integrations.asgi import SubscriptionApp
from fraiseql.subscriptions import Hooks, Identity, Refused, Request, Subscribing, SubscriptionError, SubscriptionManager
from fraiseql.subscriptions.endpoint import Endpoint
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

SCHEMA = "type Order { id: ID! } type Subscription { orders(id: ID): Order! audit: Order! }"
ORDERS = "subscription { orders { id } }"
ENDS = datetime.datetime(2100, 1, 1, tzinfo=datetime.timezone.utc)

pytestmark = pytest.mark.anyio


def judge(params: dict[str, Any], request: Request) -> Identity:
    return Identity(params.get("user") or request.headers["authorization"], "t", roles=["r"], expires_at=ENDS, token_id="j")


def wait(fn: Callable[..., Any]) -> Callable[..., Any]:
    async def waits(*given: Any) -> Any:
        await asyncio.sleep(0)
        return fn(*given)

    return waits


class Client:
    """A WebSocket to a mount or to a server."""

    def __init__(self, send: Callable[[Any], Any], read: Callable[[], Any]) -> None:
        self._send, self._read = send, read

    async def open(self, user: str) -> str:
        """What connection_init gets: connection_ack, or code and reason of a close."""
        await self._send({"type": "connection_init", "payload": {"user": user}})
        return str(await self._read())

    async def ask(self, query: str, **more: Any) -> str:
        """What a subscribe, and a ping behind it, get first."""
        await self._send({"id": "1", "type": "subscribe", "payload": {"query": query, **more}})
        return str(await self._read())

    async def read(self) -> str:
        return str(await self._read())


@contextlib.asynccontextmanager
async def mounted(manager: SubscriptionManager, hooks: Hooks | None) -> AsyncIterator[Client]:
    async with Socket(SubscriptionApp(manager, judge, hooks=hooks)) as socket:
        await socket.accepted()

        async def send(message: Any) -> None:
            socket.send(message)

        async def read() -> str:
            message = await socket.next()
            return message["text"] if message["type"] == "websocket.send" else f"{message['code']} {message['reason']}"

        yield Client(send, read)


@contextlib.asynccontextmanager
async def served(manager: SubscriptionManager, hooks: Hooks | None) -> AsyncIterator[Client]:
    server = await manager.serve(port=0, auth_handler=judge, hooks=hooks)
    socket: ClientConnection
    async with connect(server.url, subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]

        async def send(message: Any) -> None:
            await socket.send(json.dumps(message))

        async def read() -> Any:
            try:
                return await socket.recv()
            except ConnectionClosed:
                return f"{socket.close_code} {socket.close_reason}"

        yield Client(send, read)
    await server.close()


both = pytest.mark.parametrize("over", [mounted, served])
ACK = '{"type":"connection_ack"}'


@both
@pytest.mark.parametrize("later", [False, True])
async def test_connect_and_disconnect(over: Any, later: bool, caplog: pytest.LogCaptureFixture) -> None:
    gone: list[Identity] = []

    def connecting(who: Identity) -> Any:
        assert (who.tenant_id, tuple(who.roles), who.expires_at, who.token_id) == ("t", ("r",), ENDS, "j")
        if who.user_id == "refused":
            raise Refused("s3cret")
        if who.user_id == "odd":
            raise KeyError("s3cret")
        return {"no": False, "yes": True, "text": "yes"}.get(str(who.user_id))

    hooks = Hooks(on_connect=wait(connecting) if later else connecting, on_disconnect=wait(gone.append) if later else gone.append)
    with caplog.at_level(logging.DEBUG, "fraiseql"):
        async with SubscriptionManager(schema=SCHEMA) as manager:
            for user, want in (
                ("plain", ACK),
                ("yes", ACK),
                ("no", "4403 Forbidden"),
                ("refused", "4403 Forbidden"),
                ("odd", "1013 A hook of the server could not judge the connection, try again later"),
                ("text", "1013 A hook of the server could not judge the connection, try again later"),
            ):
                async with over(manager, hooks) as client:
                    assert await client.open(user) == want
            await until(lambda: len(gone) == 2)
    assert {who.user_id for who in gone} == {"plain", "yes"}
    assert [record.getMessage().split(" raised ")[1].split(" at ")[0] for record in caplog.records] == ["KeyError", "TypeError"]
    assert "s3cret" not in caplog.text


@both
async def test_subscribe(over: Any) -> None:
    seen: list[Subscribing] = []

    async def subscribing(asked: Subscribing) -> bool:
        seen.append(asked)
        if asked.variables.get("id") == "odd":
            raise RuntimeError
        return asked.channel != "audit"

    async with (
        SubscriptionManager(schema=SCHEMA, hooks=Hooks(on_subscribe=subscribing)) as manager,
        over(manager, None) as client,
    ):
        assert await client.open("anne") == ACK
        assert "FORBIDDEN" in await client.ask("subscription { audit { id } }")
        query = "subscription Q($id: ID) { orders(id: $id) { id } }"
        assert "INTERNAL_SERVER_ERROR" in await client.ask(query, variables={"id": "odd"})
        assert "GRAPHQL_VALIDATION_FAILED" in await client.ask("subscription { nothing }")
        asking = asyncio.ensure_future(client.ask(query, variables={"id": "1"}, operationName="Q"))
        await until(lambda: manager.get_metrics()["active_subscriptions"] == 1)
        await manager.publish_event("t", "orders", {"id": "1"}, tenant_id="t")
        assert '"next"' in await asking
    assert [(one.field, one.operation_name, one.variables) for one in seen] == [
        ("audit", None, {}),
        ("orders", None, {"id": "odd"}),
        ("orders", "Q", {"id": "1"}),
    ]
    assert seen[0].identity.user_id == "anne"
    assert seen[2].query == query


@both
async def test_recheck(over: Any) -> None:
    welcome = {"anne": True}
    looks = 0

    def recheck(who: Identity) -> bool:
        nonlocal looks
        looks += 1
        return welcome[str(who.user_id)]  # a KeyError is no judgement

    hooks = Hooks(recheck=recheck, recheck_every=0.02)
    async with SubscriptionManager(schema=SCHEMA) as manager, over(manager, hooks) as client:
        assert await client.open("anne") == ACK
        for n in range(3):
            asking = asyncio.ensure_future(client.ask(ORDERS) if n == 0 else client.read())
            await until(lambda: manager.get_metrics()["active_subscriptions"] == 1)
            seen = looks
            await until(lambda: looks > seen + 1)
            await manager.publish_event("t", "orders", {"id": "1"}, tenant_id="t")
            assert '"next"' in await asking
            if n == 1:
                del welcome["anne"]
        welcome["anne"] = False
        assert await client.read() == "4403 Forbidden: the credentials are not accepted any more"


@both
async def test_a_hook_that_takes_too_long(over: Any) -> None:
    cancelled = asyncio.Event()

    async def connecting(_: Identity) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            cancelled.set()

    async with SubscriptionManager(schema=SCHEMA) as manager:
        async with over(manager, Hooks(on_connect=connecting, timeout=0.05)) as client:
            assert (await client.open("anne")).startswith("1013 ")
        await asyncio.wait_for(cancelled.wait(), 10)


async def test_streams_are_asked_about() -> None:
    asked: list[str] = []
    hooks = Hooks(
        on_connect=lambda who: asked.append(f"connect {who.user_id}"),
        on_subscribe=lambda s: None if s.identity.user_id == "anne" else False,
        on_disconnect=lambda who: asked.append(f"disconnect {who.user_id}"),
    )
    async with SubscriptionManager(schema=SCHEMA) as manager:
        app = SubscriptionApp(manager, judge, hooks=hooks)
        body = json.dumps({"query": ORDERS}).encode()
        async with Exchange(app, body=body, accept="text/event-stream", authorization="gus") as answer:
            await answer.ended()
            assert b"FORBIDDEN" in answer.body
        async with Exchange(app, body=body, accept="text/event-stream", authorization="anne") as stream:
            await stream.hear("\n\n")
            await until(lambda: manager.get_metrics()["active_subscriptions"] == 1)
        await until(lambda: len(asked) == 4)
    assert sorted(asked) == ["connect anne", "connect gus", "disconnect anne", "disconnect gus"]


def test_what_cannot_be_right() -> None:
    with pytest.raises(TypeError, match="on_connect is a function, not str"):
        Hooks(on_connect="me")  # type: ignore[arg-type]
    for name in ("timeout", "recheck_every"):
        with pytest.raises(ValueError, match=name):
            Hooks(**{name: 0})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="hooks is a Hooks, not dict"):
        SubscriptionManager(hooks={})  # type: ignore[arg-type]
    manager = SubscriptionManager()
    with pytest.raises(TypeError, match="hooks is a Hooks, not list"):
        SubscriptionApp(manager, anonymous=True, hooks=[])  # type: ignore[arg-type]
    manager.close()


async def test_without_hooks_and_without_identity() -> None:
    seen: list[Identity] = []
    async with SubscriptionManager(hooks=Hooks()) as manager, Socket(SubscriptionApp(manager, anonymous=True)) as socket:
        await socket.init()
    hooks = Hooks(on_connect=seen.append)
    async with SubscriptionManager(hooks=hooks) as manager, Socket(SubscriptionApp(manager, anonymous=True)) as socket:
        await socket.init()
    assert seen == [Identity()]


async def test_an_endpoint_that_cannot_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(config: bytes) -> int:
        raise SubscriptionError("no")

    async with SubscriptionManager(schema=SCHEMA) as manager:
        desks = manager.executor._aside().desks
        endpoint = Endpoint(manager, anonymous=True, hooks=Hooks(on_connect=lambda who: True))
        with monkeypatch.context() as patched:
            patched.setattr(manager.executor, "_sessions", fails)
            with pytest.raises(SubscriptionError, match="no"):
                endpoint.connect(None)
            assert not desks
        endpoint.connect(None).close()
        assert len(desks) == 1
