"""The classes of `fraiseql.subscriptions` under the names of the Rust module."""

from __future__ import annotations

from fraiseql.subscriptions import SubscriptionExecutor as PySubscriptionExecutor
from fraiseql.subscriptions.config import EventBusConfig as PyEventBusConfig
from fraiseql.subscriptions.messages import GraphQLMessage as PyGraphQLMessage
from fraiseql.subscriptions.messages import SubscriptionPayload as PySubscriptionPayload

__all__ = [
    "PyEventBusConfig",
    "PyGraphQLMessage",
    "PySubscriptionExecutor",
    "PySubscriptionPayload",
]
