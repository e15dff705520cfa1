"""Server-sent events, multipart and GraphQL over HTTP through plain ASGI."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from asgi import Exchange, lifespan, until
from fraiseql.integrations.asgi import SubscriptionApp
from fraiseql.subscriptions import SubscriptionManager
from fraiseql.subscriptions.request import Request

SCHEMA = "type Order { id: ID! } type Subscription { orders(id: ID): Order! }"
ORDERS = "subscription { orders { id } }"
SSE, PARTS = "text/event-stream", "multipart/mixed;subscriptionSpec=1.0, application/json"

pytestmark = pytest.mark.anyio


@pytest.fixture
def manager() -> Iterator[SubscriptionManager]:
    made = SubscriptionManager(schema=SCHEMA)
    yield made
    made.close()


@pytest.fixture
def app(manager: SubscriptionManager) -> SubscriptionApp:
    return SubscriptionApp(manager, anonymous=True)


def publish(manager: SubscriptionManager, id_: str = "1", **more: Any) -> int | None:
    return manager.executor.publish_event("order.placed", "orders", {"id": id_}, **more)


def ask(app: SubscriptionApp, accept: str, query: str = ORDERS, **headers: str) -> Exchange:
    return Exchange(app, body=json.dumps({"query": query}).encode(), accept=accept, **headers)


async def test_events(app: SubscriptionApp, manager: SubscriptionManager) -> None:
    async with ask(app, SSE) as stream:
        await stream.hear("\n\n")
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        await until(lambda: manager.get_metrics()["active_subscriptions"] == 1)
        assert publish(manager, "1") == 1
        await stream.hear('event: next\ndata: {"data":{"orders":{"id":"1"}}}\n\n')
        assert publish(manager, "2") == 1
        await stream.hear('event: next\ndata: {"data":{"orders":{"id":"2"}}}\n\n')
    await until(lambda: manager.get_metrics()["active_subscriptions"] == 0)
    assert publish(manager) == 0


async def test_parts(app: SubscriptionApp, manager: SubscriptionManager) -> None:
    async with ask(app, PARTS) as stream:
        await stream.hear("\r\n--graphql")
        assert stream.headers["content-type"] == 'multipart/mixed;boundary="graphql";subscriptionSpec=1.0'
        publish(manager)
        await stream.hear('{"payload":{"data":{"orders":{"id":"1"}}}}\r\n--graphql')


async def test_answers(app: SubscriptionApp) -> None:
    for accept, query, status, part in (
        ("application/json", "{ __typename }", 200, '{"data":{"__typename":"Query"}}'),
        ("application/graphql-response+json", "{", 400, "GRAPHQL_PARSE_FAILED"),
        ("application/graphql-response+json", ORDERS, 400, "text/event-stream"),
        (SSE, "subscription { nothing }", 200, "event: complete"),
        ("text/html", ORDERS, 406, "BAD_USER_INPUT"),
    ):
        async with ask(app, accept, query) as answer:
            await answer.ended()
        assert (answer.status, answer.complete) == (status, True), answer.body
        assert part in answer.body.decode()


async def test_refusals(manager: SubscriptionManager) -> None:
    app = SubscriptionApp(manager, anonymous=True, message_bytes=1000)
    async with Exchange(app, body=b"x" * 5000) as answer:
        await answer.ended()
    assert answer.status == 413
    async with ask(app, SSE, origin="https://evil.example") as answer:
        await answer.ended()
    assert answer.status == 403
    async with Exchange(app, body=b"query=x", content_type="application/x-www-form-urlencoded") as answer:
        await answer.ended()
    assert answer.status == 415


async def test_authentication(manager: SubscriptionManager) -> None:
    seen: list[Any] = []

    async def handler(params: Any, request: Any) -> dict[str, Any] | None:
        await asyncio.sleep(0)
        seen.append((params, type(request), request.headers.get("authorization")))
        return {"user_id": "u", "tenant_id": "t"} if request.headers.get("authorization") == "good" else None

    app = SubscriptionApp(manager, handler)
    async with ask(app, SSE, authorization="bad") as answer:
        await answer.ended()
    assert answer.status == 401
    async with ask(app, SSE, authorization="good") as stream:
        await stream.hear("\n\n")
        await until(lambda: manager.get_metrics()["active_subscriptions"] == 1)
        assert publish(manager, "1", tenant_id="other") == 0
        assert publish(manager, "2", tenant_id="t") == 1
        await stream.hear('{"id":"2"}}}\n\n')
    assert [entry[1:] for entry in seen] == [(Request, "bad"), (Request, "good")]
    assert not [entry for entry in seen if entry[0]]


async def test_single_connection(app: SubscriptionApp, manager: SubscriptionManager) -> None:
    async with Exchange(app, "PUT") as answer:
        await answer.ended()
    assert answer.status == 201
    token = answer.body.decode()
    async with Exchange(app, "GET", accept=SSE, x_graphql_event_stream_token=token) as stream:
        await stream.hear("\n\n")
        body = json.dumps({"query": ORDERS, "extensions": {"operationId": "a"}}).encode()
        async with Exchange(app, body=body, accept="*/*", x_graphql_event_stream_token=token) as answer:
            await answer.ended()
        assert answer.status == 202
        assert publish(manager) == 1
        await stream.hear('event: next\ndata: {"id":"a","payload":{"data":{"orders":{"id":"1"}}}}\n\n')
        async with Exchange(app, "DELETE", query="operationId=a", x_graphql_event_stream_token=token) as answer:
            await answer.ended()
        assert answer.status == 200
        assert publish(manager) == 0


async def test_shutdown_breaks_streams_off(app: SubscriptionApp) -> None:
    async with ask(app, SSE) as stream:
        await stream.hear("\n\n")
        await lifespan(app)
        await stream.ended()
        assert not stream.complete
        assert b"complete" not in stream.body


@pytest.mark.parametrize("accept", [SSE, PARTS])
async def test_events_while_the_lifespan_ends(app: SubscriptionApp, manager: SubscriptionManager, accept: str) -> None:
    """What was accepted before comes before the answer breaks off, nothing after it."""
    async with ask(app, accept) as stream:
        await stream.hear("\n\n" if accept == SSE else "--graphql")
        await until(lambda: manager.get_metrics()["active_subscriptions"] == 1)
        reached = [publish(manager, str(n)) for n in range(200)]  # the loop has no turn meanwhile
        assert reached == [1] * 200
        await lifespan(app)
        later = 200
        while publish(manager, str(later)):  # until the end of the stream has ended the subscription
            later += 1
            await asyncio.sleep(0)
        await stream.ended()
        got = [int(n) for n in re.findall(rb'"data":{"orders":{"id":"(\d+)"}}', stream.body)]
        assert len(got) >= 200
        assert got == list(range(len(got)))
        assert not stream.complete
        assert b"complete" not in stream.body
        assert b"--graphql--" not in stream.body


async def test_engine_closes(app: SubscriptionApp, manager: SubscriptionManager) -> None:
    async with ask(app, SSE) as stream:
        await stream.hear("\n\n")
        manager.close()
        await stream.ended()
        assert not stream.complete


async def test_client_leaves_before_its_body(app: SubscriptionApp) -> None:
    exchange = Exchange(app)
    exchange.incoming = asyncio.Queue()
    async with exchange:
        exchange.leave()
        await exchange.ended()
    assert exchange.status == 0
