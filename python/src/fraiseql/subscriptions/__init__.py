"""GraphQL subscriptions: the engine, what it asks for and what goes wrong.

`SubscriptionExecutor` is the engine; `SubscriptionManager` is its asyncio face, which serves WebSockets too.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fraiseql._native import Event
    from fraiseql.integrations.adapter import WebSocketAdapter
    from fraiseql.subscriptions.config import EventBusConfig
    from fraiseql.subscriptions.errors import (
        AuthorizationFailed,
        BusUnavailable,
        DuplicateSubscription,
        ForkError,
        InvalidConfig,
        InvalidEvent,
        InvalidQuery,
        RateLimited,
        Skip,
        SlowConsumer,
        SubscriptionError,
    )
    from fraiseql.subscriptions.executor import SubscriptionExecutor
    from fraiseql.subscriptions.hooks import Hooks, Refused, Subscribing
    from fraiseql.subscriptions.identity import Identity
    from fraiseql.subscriptions.listen import Listener
    from fraiseql.subscriptions.manager import SubscriptionManager
    from fraiseql.subscriptions.messages import GraphQLMessage, SubscriptionPayload, cursor_of
    from fraiseql.subscriptions.request import Request
    from fraiseql.subscriptions.server import Server

__all__ = [
    "AuthorizationFailed",
    "BusUnavailable",
    "DuplicateSubscription",
    "Event",
    "EventBusConfig",
    "ForkError",
    "GraphQLMessage",
    "Hooks",
    "Identity",
    "InvalidConfig",
    "InvalidEvent",
    "InvalidQuery",
    "Listener",
    "RateLimited",
    "Refused",
    "Request",
    "Server",
    "Skip",
    "SlowConsumer",
    "Subscribing",
    "SubscriptionError",
    "SubscriptionExecutor",
    "SubscriptionManager",
    "SubscriptionPayload",
    "WebSocketAdapter",
    "cursor_of",
]

_PLACES = {
    "Event": "fraiseql._native",
    "EventBusConfig": "config",
    "GraphQLMessage": "messages",
    "Hooks": "hooks",
    "Identity": "identity",
    "Listener": "listen",
    "Refused": "hooks",
    "Request": "request",
    "Server": "server",
    "Subscribing": "hooks",
    "SubscriptionExecutor": "executor",
    "SubscriptionManager": "manager",
    "SubscriptionPayload": "messages",
    "WebSocketAdapter": "fraiseql.integrations.adapter",
    "cursor_of": "messages",
}


def __getattr__(name: str) -> object:
    """Import what is used, when it is used: an executor alone needs neither asyncio nor json."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    place = _PLACES.get(name, "errors")
    module = __import__(place if "." in place else f"{__name__}.{place}", fromlist=[name])
    value: object = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
