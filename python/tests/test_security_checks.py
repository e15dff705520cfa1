"""The five checks, over the executor, a mount and the engine's own server: what is denied does not arrive, and what is
allowed and published after it does."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgi import PATIENCE, Socket, until
from fraiseql.integrations.asgi import SubscriptionApp
from fraiseql.subscriptions import AuthorizationFailed, Skip, SubscriptionManager
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

SCHEMA = """
type Order { id: ID! margin: Float @requiresRole(roles: ["accounting"]) cost: Float @requiresScopes(scopes: [["cost"]]) }
type Subscription {
  orders(userId: ID @match(path: "user"), tenantId: ID @match(path: "tenant")): Order!
  mine: Order! @source(channel: "orders") @owner(path: "owner")
  ours: Order! @source(channel: "orders") @tenant(path: "shop.tenant")
  members: Order! @source(channel: "orders") @authenticated
  resolved: Order! @source(channel: "orders")
}
"""
ORDERS = "subscription { orders { id } }"

Identity = dict[str, Any]
Next = Callable[[], Any]

pytestmark = pytest.mark.anyio


class Refused(Exception):
    """A subscribe was refused, with a code."""


class Door:
    """A way to subscribe."""

    def __init__(self, manager: SubscriptionManager, stack: contextlib.AsyncExitStack) -> None:
        self.manager = manager
        self.executor = manager.executor
        self.stack = stack
        self.numbers = itertools.count()

    async def subscribe(self, who: Identity, query: str) -> Next:
        raise NotImplementedError

    def publish(self, id_: str, **more: Any) -> int | None:
        """Publishes an order; members that events have go into the envelope, the others into the data."""
        names = ("tenant_id", "user_id", "broadcast", "federation_id", "service_name")
        envelope = {name: more.pop(name) for name in names if name in more}
        return self.executor.publish_event("order.placed", "orders", {"id": id_, "margin": 1, **more}, **envelope)


class ExecutorDoor(Door):
    async def subscribe(self, who: Identity, query: str) -> Next:
        id_ = str(next(self.numbers))
        try:
            self.executor.register_subscription("c", id_, query, **who)
        except AuthorizationFailed as error:
            raise Refused(error.code) from None

        async def receive() -> Any:
            message = await self.executor.next_event_async(id_, timeout=PATIENCE)
            assert message is not None
            return json.loads(message)["payload"]

        return receive


class MountDoor(Door):
    async def subscribe(self, who: Identity, query: str) -> Next:
        app = SubscriptionApp(self.manager, lambda params, request: params["who"])
        socket = await self.stack.enter_async_context(Socket(app))
        await socket.init({"who": who})

        async def send(text: str) -> None:
            socket.send(text)

        return await over(self, send, socket.json, query)


class ServeDoor(Door):
    url: str

    async def subscribe(self, who: Identity, query: str) -> Next:
        client = await self.stack.enter_async_context(connect(self.url, subprotocols=[Subprotocol("graphql-transport-ws")]))

        async def receive() -> Any:
            return json.loads(await asyncio.wait_for(client.recv(), PATIENCE))

        await client.send(json.dumps({"type": "connection_init", "payload": {"who": who}}))
        assert await receive() == {"type": "connection_ack"}
        return await over(self, client.send, receive, query)


async def over(door: Door, send: Callable[[str], Any], receive: Next, query: str) -> Next:
    """Subscribes over a WebSocket."""
    before = door.manager.get_metrics()["active_subscriptions"]
    refused = sum(door.manager.get_metrics()["denied"].values())
    await send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": query}}))
    await until(
        lambda: (
            door.manager.get_metrics()["active_subscriptions"] == before + 1
            or sum(door.manager.get_metrics()["denied"].values()) > refused
        )
    )
    if door.manager.get_metrics()["active_subscriptions"] == before:
        message = await receive()
        assert message["type"] == "error"
        raise Refused(message["payload"][0]["extensions"]["code"])

    async def payload() -> Any:
        message = await receive()
        assert message["type"] == "next", message
        return message["payload"]

    return payload


@contextlib.asynccontextmanager
async def opened(kind: str, **arguments: Any) -> AsyncIterator[Door]:
    async with SubscriptionManager(schema=SCHEMA, **arguments) as manager, contextlib.AsyncExitStack() as stack:
        if kind == "executor":
            yield ExecutorDoor(manager, stack)
        elif kind == "mount":
            yield MountDoor(manager, stack)
        else:
            server = await stack.enter_async_context(
                await manager.serve(port=0, auth_handler=lambda params, request: params["who"])
            )
            door = ServeDoor(manager, stack)
            door.url = server.url
            yield door


@pytest.fixture(params=["executor", "mount", "serve"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def data(field: str, id_: str) -> Any:
    return {"data": {field: {"id": id_}}}


async def test_scope(kind: str) -> None:
    async with opened(kind) as door:
        anne = {"user_id": "anne", "tenant_id": "acme"}
        for argument in ('userId: "gus"', 'tenantId: "globex"', 'userId: "anne", tenantId: "globex"'):
            with pytest.raises(Refused, match="SCOPE_MISMATCH"):
                await door.subscribe(anne, f"subscription {{ orders({argument}) {{ id }} }}")
        with pytest.raises(Refused, match="SCOPE_MISMATCH"):
            await door.subscribe({}, 'subscription { orders(userId: "anne") { id } }')
        receive = await door.subscribe(anne, 'subscription { orders(userId: "anne", tenantId: "acme") { id } }')
        assert door.publish("denied", user="gus", tenant="acme") == 0
        assert door.publish("allowed", user="anne", tenant="acme") == 1
        assert await receive() == data("orders", "allowed")


async def test_tenant(kind: str) -> None:
    async with opened(kind) as door:
        receive = await door.subscribe({"tenant_id": "acme"}, ORDERS)
        number = await door.subscribe({"tenant_id": 7}, ORDERS)
        nobody = await door.subscribe({}, ORDERS)
        path = await door.subscribe({"tenant_id": "acme"}, "subscription { ours { id } }")
        for tenant in ("globex", "ACME", "acme ", 70, "None", "null"):
            assert door.publish("denied", tenant_id=tenant) == 0
        assert door.publish("denied", tenant_id="globex", shop={"tenant": "acme"}) == 0
        assert door.publish("acme's", tenant_id="acme") == 1
        assert door.publish("acme's by path", tenant_id="acme", shop={"tenant": "acme"}) == 2
        assert door.publish("7's", tenant_id="7") == 1
        assert door.publish("everybody's", broadcast=True) == 3
        assert [await receive() for _ in range(3)] == [data("orders", s) for s in ("acme's", "acme's by path", "everybody's")]
        assert [await number() for _ in range(2)] == [data("orders", s) for s in ("7's", "everybody's")]
        assert await nobody() == data("orders", "everybody's")
        assert await path() == data("ours", "acme's by path")


async def test_tenant_strictly(kind: str) -> None:
    async with opened(kind, security={"isolation": "strict"}) as door:
        receive = await door.subscribe({"tenant_id": "acme"}, ORDERS)
        with pytest.raises(ValueError, match="tenant"):
            door.publish("denied")
        assert door.publish("denied", tenant_id="globex") == 0
        assert door.publish("allowed", tenant_id="acme") == 1
        assert await receive() == data("orders", "allowed")


async def test_row(kind: str) -> None:
    async with opened(kind) as door:
        anne = {"user_id": "anne", "tenant_id": "acme"}
        receive = await door.subscribe(anne, ORDERS)
        mine = await door.subscribe(anne, "subscription { mine { id } }")
        assert door.publish("denied", user_id="gus") == 0
        assert door.publish("denied", user_id="gus", tenant_id="acme", owner="anne") == 0
        assert door.publish("denied", user_id="anne", tenant_id="globex", owner="anne") == 0
        for owner in ("gus", None, ["gus"], {"anne": 1}, True, ""):
            assert door.publish("not mine", user_id="anne", owner=owner) == 1
        assert door.publish("mine", user_id="anne", owner=["gus", "anne"]) == 2
        assert [await receive() for _ in range(7)] == [data("orders", "not mine")] * 6 + [data("orders", "mine")]
        assert await mine() == data("mine", "mine")


async def test_federation(kind: str) -> None:
    async with opened(kind) as door:
        inside = await door.subscribe({"federation_id": "f", "service_name": "s"}, ORDERS)
        outside = await door.subscribe({}, ORDERS)
        for denied in ({"federation_id": "other"}, {"federation_id": "f", "service_name": "other"}, {"service_name": "other"}):
            assert door.publish("denied", **denied) == 0
        assert door.publish("inside", federation_id="f") == 1
        assert door.publish("outside") == 1
        assert await inside() == data("orders", "inside")
        assert await outside() == data("orders", "outside")


async def test_rbac(kind: str) -> None:
    async with opened(kind) as door:
        for who, query in (
            ({}, "subscription { members { id } }"),
            ({"tenant_id": "acme"}, "subscription { members { id } }"),
            ({"user_id": "u"}, "subscription { orders { id margin } }"),
            ({"user_id": "u", "roles": ["Accounting", "account", ""]}, "subscription { orders { id margin } }"),
            ({"user_id": "u", "roles": ["accounting"]}, "subscription { orders { ...F } } fragment F on Order { id cost }"),
            ({"user_id": "u", "scopes": ["accounting"]}, "subscription { orders { margin } }"),
        ):
            with pytest.raises(Refused, match=r"^(FORBIDDEN|UNAUTHENTICATED)$"):
                await door.subscribe(who, query)
        assert door.publish("denied") == 0
        receive = await door.subscribe({"user_id": "u", "roles": ("accounting",)}, "subscription { orders { id margin } }")
        assert door.publish("allowed") == 1
        assert await receive() == {"data": {"orders": {"id": "allowed", "margin": 1}}}


async def failing(event: Any) -> None:
    raise RuntimeError("a secret of the inside")


async def cancelled(event: Any) -> None:
    raise asyncio.CancelledError


async def never(event: Any) -> None:
    await asyncio.sleep(3600)


@pytest.mark.parametrize("resolver", [failing, cancelled, never, lambda event: 1 / 0, lambda event: object(), lambda event: b"{"])
async def test_no_raw_event_after_a_resolver_that_fails(kind: str, resolver: Callable[[Any], Any]) -> None:
    async with opened(kind, limits={"resolver_timeout": 0.05}) as door:
        door.executor.register_resolver("resolved", resolver)
        receive = await door.subscribe({}, "subscription { resolved { id } }")
        assert door.publish("raw") == 1
        payload = await receive()
        assert payload["data"] is None
        assert payload["errors"][0]["extensions"]["code"] in ("RESOLVER_FAILED", "RESOLVER_TIMEOUT")
        assert "secret" not in json.dumps(payload)
        assert "raw" not in json.dumps(payload)


async def test_no_raw_event_when_a_resolver_skips(kind: str) -> None:
    def skips(event: Any) -> Any:
        if event.data["id"] == "raw":
            raise Skip
        return {"id": "made"}

    async with opened(kind) as door:
        door.executor.register_resolver("resolved", skips)
        receive = await door.subscribe({}, "subscription { resolved { id } }")
        door.publish("raw")
        door.publish("other")
        assert await receive() == data("resolved", "made")


async def test_results_are_shared_among_equals_only(kind: str) -> None:
    def for_whom(event: Any, variables: dict[str, Any], context: dict[str, Any]) -> dict[str, str]:
        return {"id": json.dumps([context.get(name) for name in ("tenant_id", "user_id", "roles", "scopes")])}

    async with opened(kind) as door:
        door.executor.register_resolver("resolved", for_whom)
        people: list[Identity] = [
            {"tenant_id": "a", "user_id": "u"},
            {"tenant_id": "b", "user_id": "u"},
            {"tenant_id": "a", "user_id": "v"},
            {"user_id": "u"},
            {"tenant_id": "a", "user_id": "u", "roles": ["r"]},
            {"tenant_id": "a", "user_id": "u", "scopes": ["r"]},
            {"tenant_id": "a,", "user_id": "u"},
            {"tenant_id": "a", "user_id": 'u","r'},
        ]
        streams = [await door.subscribe(who, "subscription { resolved { id } }") for who in people]
        assert door.publish("raw") == len(people)
        for who, receive in zip(people, streams, strict=True):
            got = json.loads((await receive())["data"]["resolved"]["id"])
            assert [one or None for one in got] == [who.get(name) for name in ("tenant_id", "user_id", "roles", "scopes")]
