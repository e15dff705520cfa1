"""Expiry, fresh credentials and revocation while something is subscribed, over everything that a mount serves."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from asgi import Exchange, Socket, until
from fraiseql.integrations.asgi import SubscriptionApp
from fraiseql.integrations.fastapi import create_subscription_router
from fraiseql.subscriptions import Identity, Request, SubscriptionManager

ORDERS = "subscription { orders { id } }"

pytestmark = pytest.mark.anyio


def judge(params: dict[str, Any], request: Request) -> Identity:
    """The token is `user seconds id`."""
    user, ends, token = (params.get("authorization") or request.headers["authorization"]).split()
    return Identity(user, "t", expires_at=float(ends), token_id=token)


def token(user: str = "anne", seconds: float = 3600, name: str = "j") -> str:
    return f"{user} {time.time() + seconds} {name}"


class Living:
    """One subscription to orders."""

    name: str

    def __init__(self, app: Any, manager: SubscriptionManager) -> None:
        self.app, self.manager = app, manager

    async def open(self, credentials: str) -> None: ...
    async def hear(self, id_: str) -> None: ...

    async def end(self) -> str:
        raise NotImplementedError

    async def leave(self) -> None: ...


class Modern(Living):
    protocol, start, data = "graphql-transport-ws", "subscribe", "next"

    async def open(self, credentials: str) -> None:
        self.socket = await Socket(self.app, subprotocols=(self.protocol,)).__aenter__()
        assert await self.socket.next() == {"type": "websocket.accept", "subprotocol": self.protocol}
        self.socket.send({"type": "connection_init", "payload": {"authorization": credentials, "stream": True}})
        ack = await self.socket.json()
        assert ack["type"] == "connection_ack"
        self.name = ack["payload"]["stream"]
        before = self.manager.get_metrics()["active_subscriptions"]
        self.socket.send({"id": "1", "type": self.start, "payload": {"query": ORDERS}})
        await until(lambda: self.manager.get_metrics()["active_subscriptions"] == before + 1)

    async def hear(self, id_: str) -> None:
        while (message := await self.socket.json())["type"] == "ka":
            pass
        assert message == {"id": "1", "type": self.data, "payload": {"data": {"orders": {"id": id_}}}}

    async def end(self) -> str:
        while (message := await self.socket.next())["type"] == "websocket.send":
            pass
        self.socket.leave()
        return f"{message['code']} {message['reason']}"

    async def leave(self) -> None:
        await self.socket.__aexit__()


class Legacy(Modern):
    protocol, start, data = "graphql-ws", "start", "data"


class Distinct(Living):
    accept, first = "text/event-stream", 'data: {"data":null,"extensions":{"stream":"%s"}}\n\n'
    event = 'data: {"data":{"orders":{"id":"%s"}}}\n\n'

    async def open(self, credentials: str) -> None:
        body = json.dumps({"query": ORDERS, "extensions": {"stream": True}}).encode()
        self.stream = await Exchange(self.app, body=body, accept=self.accept, authorization=credentials).__aenter__()
        while not self.stream.headers:
            await self.stream._next()
        self.name = self.stream.headers["x-fraiseql-stream"]
        await self.stream.hear(self.first % self.name)

    async def hear(self, id_: str) -> None:
        await self.stream.hear(self.event % id_)

    async def end(self) -> str:
        await self.stream.ended()
        return "complete" if self.stream.complete else "breaks off"

    async def leave(self) -> None:
        await self.stream.__aexit__()


class Multipart(Distinct):
    accept = "multipart/mixed;subscriptionSpec=1.0"
    first = '{"payload":{"data":null,"extensions":{"stream":"%s"}}}\r\n--graphql'
    event = '{"payload":{"data":{"orders":{"id":"%s"}}}}\r\n--graphql'


class Single(Distinct):
    event = 'data: {"id":"a","payload":{"data":{"orders":{"id":"%s"}}}}\n\n'

    async def open(self, credentials: str) -> None:
        async with Exchange(self.app, "PUT", authorization=credentials) as answer:
            await answer.ended()
        self.name = answer.body.decode()
        known: dict[str, Any] = {"authorization": credentials, "x_graphql_event_stream_token": self.name}
        self.stream = await Exchange(self.app, "GET", accept=self.accept, **known).__aenter__()
        await self.stream.hear("\n\n")
        body = json.dumps({"query": ORDERS, "extensions": {"operationId": "a"}}).encode()
        async with Exchange(self.app, body=body, accept="*/*", **known) as answer:
            await answer.ended()
        assert answer.status == 202


each = pytest.mark.parametrize(
    ("kind", "expired", "revoked"),
    [
        (Modern, "4403 Forbidden: credentials have expired", "4403 Forbidden: the credentials were revoked"),
        (Legacy, "4403 Forbidden: credentials have expired", "4403 Forbidden: the credentials were revoked"),
        (Distinct, "breaks off", "breaks off"),
        (Single, "breaks off", "breaks off"),
        (Multipart, "breaks off", "breaks off"),
    ],
)


@pytest.fixture
def manager() -> Iterator[SubscriptionManager]:
    made = SubscriptionManager(schema="type Order { id: ID! } type Subscription { orders: Order! }")
    yield made
    made.close()


def mount(manager: SubscriptionManager) -> SubscriptionApp:
    return SubscriptionApp(manager, judge, legacy_graphql_ws=True)


async def refresh(app: Any, name: str, credentials: str, body: bytes = b"", **headers: str) -> tuple[int, str]:
    async with Exchange(
        app, "POST", "/graphql/refresh", body=body, x_fraiseql_stream=name, authorization=credentials, **headers
    ) as answer:
        await answer.ended()
    return answer.status, answer.body.decode()


def publish(manager: SubscriptionManager, id_: str) -> int | None:
    return manager.executor.publish_event("order.placed", "orders", {"id": id_}, tenant_id="t")


@each
async def test_expiry(manager: SubscriptionManager, kind: type[Living], expired: str, revoked: str) -> None:
    living = kind(mount(manager), manager)
    await living.open(token(seconds=1))
    publish(manager, "1")
    await living.hear("1")
    assert await living.end() == expired
    await until(lambda: manager.get_metrics()["active_subscriptions"] == 0)
    await living.leave()


@each
async def test_refresh(manager: SubscriptionManager, kind: type[Living], expired: str, revoked: str) -> None:
    app = mount(manager)
    living, witness = kind(app, manager), Modern(app, manager)
    await living.open(token(seconds=2))
    await witness.open(token(seconds=2))
    assert (await refresh(app, living.name, token("gus")))[0] == 403
    assert (await refresh(app, living.name, "nonsense"))[0] == 401
    assert (await refresh(app, living.name[:-2] + "xx", token()))[0] == 404
    assert (await refresh(app, living.name, token(), origin="https://evil.example"))[0] == 403
    status, text = await refresh(app, living.name, "", json.dumps({"authorization": token()}).encode())
    assert (status, text) in ((200, '{"refreshed":true,"expiresIn":3599}'), (200, '{"refreshed":true,"expiresIn":3600}'))
    assert await witness.end() == "4403 Forbidden: credentials have expired"
    for id_ in ("1", "2"):
        publish(manager, id_)
        await living.hear(id_)
    assert (await refresh(app, living.name, token(seconds=1)))[0] == 200
    assert await living.end() == expired
    await until(lambda: manager.get_metrics()["active_subscriptions"] == 0)
    assert (await refresh(app, living.name, token()))[0] == 404
    await living.leave()
    await witness.leave()


@each
async def test_revocation(manager: SubscriptionManager, kind: type[Living], expired: str, revoked: str) -> None:
    app = mount(manager)
    goes, stays = kind(app, manager), kind(app, manager)
    await goes.open(token(name="bad"))
    await stays.open(token(name="good"))
    await manager.revoke(token_id="bad")
    assert await goes.end() == revoked
    assert (await refresh(app, stays.name, token(name="bad")))[0] == 401
    publish(manager, "1")
    await stays.hear("1")
    await goes.leave()
    await stays.leave()


async def test_the_router_of_fastapi_takes_fresh_credentials(manager: SubscriptionManager) -> None:
    router = create_subscription_router(manager, "/graphql", judge, streams=True)
    living = Distinct(router, manager)
    await living.open(token())
    assert (await refresh(router, living.name, token()))[0] == 200
    await living.leave()


async def test_the_legacy_protocol_is_off_by_default(manager: SubscriptionManager) -> None:
    async with Socket(SubscriptionApp(manager, judge), subprotocols=("graphql-ws",)) as socket:
        assert await socket.next() == {"type": "websocket.accept"}
        assert await socket.closed() == (4406, "Subprotocol not acceptable")
    async with Socket(mount(manager), subprotocols=("graphql-ws", "graphql-transport-ws")) as socket:
        assert await socket.next() == {"type": "websocket.accept", "subprotocol": "graphql-transport-ws"}


async def test_the_legacy_protocol(manager: SubscriptionManager) -> None:
    app = SubscriptionApp(manager, judge, legacy_graphql_ws=True, keepalive=0.05)
    async with Socket(app, subprotocols=("graphql-ws",)) as socket:
        await socket.next()
        socket.send({"type": "connection_init", "payload": {"authorization": token()}})
        assert await socket.json() == {"type": "connection_ack"}
        assert [await socket.json() for _ in range(3)] == [{"type": "ka"}] * 3
        socket.send({"id": "q", "type": "start", "payload": {"query": "subscription { nothing }"}})
        while (message := await socket.json())["type"] == "ka":
            pass
        assert (message["type"], message["id"]) == ("error", "q")
        socket.send({"type": "connection_terminate"})
        while (end := await socket.next())["type"] == "websocket.send":
            pass
        assert end["code"] == 1000
    async with Socket(app, subprotocols=("graphql-ws",)) as socket:
        await socket.next()
        socket.send({"id": "q", "type": "start", "payload": {"query": ORDERS}})
        assert (await socket.json())["type"] == "connection_error"
        assert (await socket.closed())[0] == 4401
