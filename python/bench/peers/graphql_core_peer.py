"""graphql-core's own `subscribe` behind the least transport that speaks graphql-transport-ws."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from graphql import ExecutionResult, GraphQLResolveInfo, build_schema, parse, subscribe, validate

from peers.source import SDL, ASGIApp, Broadcast, Event, Receive, Scope, Send

source: Broadcast[Event] = Broadcast()
schema = build_schema("type Query {\n  ok: Boolean\n}\n" + SDL)


async def tick_source(_root: object, _info: GraphQLResolveInfo[Any], room: int) -> AsyncGenerator[Event, None]:
    async for event in source.subscribe(room):
        yield {"tick": event}


assert schema.subscription_type is not None
schema.subscription_type.fields["tick"].subscribe = tick_source


def publish(event: Event) -> None:
    source.publish(event["room"], event)


class Connection:
    """One WebSocket and its operations."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def send(self, message: dict[str, Any]) -> None:
        await self._send({"type": "websocket.send", "text": json.dumps(message, separators=(",", ":"))})

    async def receive(self, text: str) -> None:
        message = json.loads(text)
        match message["type"]:
            case "connection_init":
                await self.send({"type": "connection_ack"})
            case "ping":
                await self.send({"type": "pong"})
            case "subscribe":
                operation = self.run(message["id"], message["payload"])
                self._tasks[message["id"]] = asyncio.create_task(operation)
            case "complete":
                if task := self._tasks.pop(message["id"], None):
                    task.cancel()

    async def run(self, operation: str, payload: dict[str, Any]) -> None:
        document = parse(payload["query"])
        errors = validate(schema, document)
        results: AsyncIterator[ExecutionResult] | ExecutionResult = ExecutionResult(None, errors)
        if not errors:
            subscribed = subscribe(schema, document, variable_values=payload.get("variables"))
            results = subscribed if isinstance(subscribed, (AsyncIterator, ExecutionResult)) else await subscribed
        if isinstance(results, ExecutionResult):
            failed = [error.formatted for error in results.errors or ()]
            await self.send({"id": operation, "type": "error", "payload": failed})
            return
        async for result in results:
            await self.send({"id": operation, "type": "next", "payload": result.formatted})
        await self.send({"id": operation, "type": "complete"})

    def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()


async def websocket(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "websocket"
    connection = Connection(send)
    while True:
        message = await receive()
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept", "subprotocol": "graphql-transport-ws"})
        elif message["type"] == "websocket.receive":
            await connection.receive(message["text"])
        else:
            connection.close()
            return


def create() -> ASGIApp:
    return websocket
