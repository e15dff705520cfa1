"""What all servers share: the schema, where events come in, and an asyncio broadcast for those that need one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from typing import Any, Generic, TypeVar

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Event = dict[str, Any]
T = TypeVar("T")

TICK = """
type Tick {
  room: Int!
  seq: Int!
  sent: Int!
  sum: Int!
  pad: String!
}
"""
SDL = "type Subscription {\n  tick(room: Int!): Tick!\n}\n" + TICK


class Broadcast(Generic[T]):
    """Hands events of a topic to everyone who listens to it, in this event loop: a queue per subscriber."""

    def __init__(self) -> None:
        self._topics: dict[int, set[asyncio.Queue[T]]] = {}

    def publish(self, topic: int, event: T) -> None:
        for queue in self._topics.get(topic, ()):
            queue.put_nowait(event)

    async def subscribe(self, topic: int) -> AsyncGenerator[T, None]:
        queue: asyncio.Queue[T] = asyncio.Queue()
        listeners = self._topics.setdefault(topic, set())
        listeners.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            listeners.discard(queue)
            if not listeners:
                self._topics.pop(topic, None)


def with_events(app: ASGIApp | None, publish: Callable[[Event], object]) -> ASGIApp:
    """Adds POST /events to an application: a line of JSON per event, `data` of each goes to `publish`."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/events":
            body = bytearray()
            more = True
            while more:
                message = await receive()
                body += message.get("body", b"")
                more = message.get("more_body", False)
            for line in body.splitlines():
                publish(json.loads(line)["data"])
            await send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
        elif app is not None:
            await app(scope, receive, send)
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
        else:
            raise RuntimeError(f"no {scope['type']} here")

    return handle
