"""Names of the Rust module of FraiseQL: code written for it runs unchanged on this engine."""

from __future__ import annotations

from fraiseql._fraiseql_rs import subscriptions
from fraiseql._fraiseql_rs.subscriptions import (
    PyEventBusConfig,
    PyGraphQLMessage,
    PySubscriptionExecutor,
    PySubscriptionPayload,
)

__all__ = [
    "PyEventBusConfig",
    "PyGraphQLMessage",
    "PySubscriptionExecutor",
    "PySubscriptionPayload",
    "subscriptions",
]
