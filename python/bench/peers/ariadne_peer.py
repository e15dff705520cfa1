"""Ariadne, by its own ASGI application with its handler of graphql-transport-ws."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from ariadne import SubscriptionType, make_executable_schema
from ariadne.asgi import GraphQL
from ariadne.asgi.handlers import GraphQLTransportWSHandler
from graphql import GraphQLResolveInfo

from peers.source import SDL, ASGIApp, Broadcast, Event

source: Broadcast[Event] = Broadcast()
subscription = SubscriptionType()


@subscription.source("tick")
async def tick_source(_root: object, _info: GraphQLResolveInfo[Any], room: int) -> AsyncGenerator[Event, None]:
    async for event in source.subscribe(room):
        yield event


@subscription.field("tick")
def tick(event: Event, _info: GraphQLResolveInfo[Any], room: int) -> Event:
    return event


def publish(event: Event) -> None:
    source.publish(event["room"], event)


def create() -> ASGIApp:
    schema = make_executable_schema("type Query {\n  ok: Boolean\n}\n" + SDL, subscription)
    return GraphQL(schema, websocket_handler=GraphQLTransportWSHandler())
