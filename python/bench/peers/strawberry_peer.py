"""Strawberry, by its own ASGI application."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import strawberry
from strawberry.asgi import GraphQL
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL

from peers.source import ASGIApp, Broadcast, Event


@strawberry.type
class Tick:
    room: int
    seq: int
    sent: int
    sum: int
    pad: str


source: Broadcast[Tick] = Broadcast()


@strawberry.type
class Query:
    ok: bool = True


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def tick(self, room: int) -> AsyncGenerator[Tick, None]:
        async for event in source.subscribe(room):
            yield event


def publish(event: Event) -> None:
    """Makes the object once per event, not once per subscriber."""
    source.publish(event["room"], Tick(**event))


def create() -> ASGIApp:
    schema = strawberry.Schema(query=Query, subscription=Subscription)
    return GraphQL(schema, subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL])
