"""FraiseQL with the engine's own transport: `manager.serve()`."""

from __future__ import annotations

from fraiseql.subscriptions import SubscriptionManager

from peers.source import SDL, Event

manager = SubscriptionManager(schema=SDL)


def publish(event: Event) -> None:
    manager.executor.publish_event("tick", "tick", event)


async def serve() -> str:
    server = await manager.serve("127.0.0.1", 0, auth_handler=None, anonymous=True)
    return server.url
