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


class Lines(asyncio.Protocol):
    """Where events come in, the same way everywhere: a line of JSON each, whose `data` is published.

    What one read gives is parsed at once, by the parser of the standard library, which then makes each name of a member
    only once. That costs each server little and as much as the others.
    """

    def __init__(self, publish: Callable[[Event], object]) -> None:
        self._publish = publish
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        lines, _, self._rest = (self._rest + data).rpartition(b"\n")
        if lines:
            for event in json.loads(b"[" + lines.replace(b"\n", b",") + b"]"):
                self._publish(event["data"])
