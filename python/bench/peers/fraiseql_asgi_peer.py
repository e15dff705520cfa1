"""FraiseQL mounted into uvicorn as a plain ASGI application."""

from __future__ import annotations

from fraiseql.integrations.asgi import SubscriptionApp
from fraiseql.subscriptions import SubscriptionManager

from peers.source import SDL, ASGIApp, Event

manager = SubscriptionManager(schema=SDL)


def publish(event: Event) -> None:
    manager.executor.publish_event("tick", "tick", event)


def create() -> ASGIApp:
    return SubscriptionApp(manager, auth_handler=None, anonymous=True)
