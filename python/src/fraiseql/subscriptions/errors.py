"""What goes wrong, as exceptions: each has the code that clients of every transport see, too."""

from __future__ import annotations

from fraiseql import _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = [
    "AuthorizationFailed",
    "BusUnavailable",
    "DuplicateSubscription",
    "ForkError",
    "InvalidConfig",
    "InvalidEvent",
    "InvalidQuery",
    "RateLimited",
    "Skip",
    "SlowConsumer",
    "SubscriptionError",
]


class SubscriptionError(RuntimeError):
    """An operation of the engine was refused or failed; the base of all errors of this package.

    Its text is safe to show to clients.

    Attributes:
        message: What happened, the first reason when there are several.
        code: The code of that reason, one of docs/reference/errors.md, for example `FORBIDDEN`.
        errors: Every reason, as dicts with `code` and `message` and, where they are known, `locations` (of a
            document), `index` and `member` (of an event).
    """

    message: str
    code: str
    errors: list[dict[str, Any]]

    def __init__(
        self,
        message: str,
        code: str = "INTERNAL_SERVER_ERROR",
        errors: Iterable[dict[str, Any]] = (),
    ) -> None:
        """Make an error.

        Args:
            message: What happened.
            code: Its code.
            errors: Every reason; none means that the message is the only one.
        """
        super().__init__(message)
        self.message = message
        self.code = code
        self.errors = list(errors) or [{"code": code, "message": message}]

    @property
    def locations(self) -> list[dict[str, int]]:
        """Places in the document, as dicts of `line` and `column`, which count from 1; of all reasons."""
        return [place for error in self.errors for place in error.get("locations", ())]

    def __str__(self) -> str:
        """Return the message, behind its first place in the document when it has one."""
        for place in self.locations:
            return f"line {place['line']}, column {place['column']}: {self.message}"
        return self.message

    def __reduce__(self) -> tuple[type[SubscriptionError], tuple[str, str, list[dict[str, Any]]]]:
        """Keep code and reasons when the error is pickled (multiprocessing does)."""
        return type(self), (self.message, self.code, self.errors)


class InvalidQuery(SubscriptionError):
    """The document, its variables or its operation name cannot be served; `locations` says where."""


class AuthorizationFailed(SubscriptionError):
    """The identity may not do this: UNAUTHENTICATED, FORBIDDEN or SCOPE_MISMATCH."""


class RateLimited(SubscriptionError):
    """A bound was reached: RATE_LIMITED, TOO_MANY_SUBSCRIPTIONS or LIMIT_EXCEEDED."""


class DuplicateSubscription(SubscriptionError):
    """The connection has a live subscription of this id already."""


class SlowConsumer(SubscriptionError):
    """The subscription did not keep up and was ended; raised after the messages that were queued."""

    @property
    def subscription_id(self) -> str | None:
        """The id of the subscription, None when it is not known."""
        return self.errors[0].get("id")


class ForkError(SubscriptionError):
    """The executor belongs to the parent process: create the executor in the worker."""


class BusUnavailable(SubscriptionError):
    """The event bus did not acknowledge, is not part of this build, or the executor is closed."""


class InvalidEvent(SubscriptionError, ValueError):
    """An event cannot be published as it is; `errors` name the `member` and, of a batch, the `index`."""


class InvalidConfig(SubscriptionError, ValueError):
    """The engine refuses its settings or its schema; the text says where."""

    @classmethod
    def of(cls, error: SubscriptionError) -> InvalidConfig:
        """Take an error of the engine for one of its settings.

        Args:
            error: The error.

        Returns:
            The same as an InvalidConfig.
        """
        return cls(error.message, error.code, error.errors)


class Skip(Exception):
    """Raised by a resolver that wants no message for this event."""


_CLASSES: dict[str, type[SubscriptionError]] = {
    "GRAPHQL_PARSE_FAILED": InvalidQuery,
    "GRAPHQL_VALIDATION_FAILED": InvalidQuery,
    "OPERATION_RESOLUTION_FAILURE": InvalidQuery,
    "BAD_USER_INPUT": InvalidQuery,
    "UNAUTHENTICATED": AuthorizationFailed,
    "FORBIDDEN": AuthorizationFailed,
    "SCOPE_MISMATCH": AuthorizationFailed,
    "TOO_MANY_SUBSCRIPTIONS": RateLimited,
    "RATE_LIMITED": RateLimited,
    "LIMIT_EXCEEDED": RateLimited,
    "SLOW_CONSUMER": SlowConsumer,
    "INVALID_VALUE": InvalidEvent,
    "BUS_UNAVAILABLE": BusUnavailable,
    "FORK": ForkError,
}


_EMPTY = ("connection_id", "subscription_id", "query")


def from_json(text: bytes) -> Exception:
    """Turn the engine's description of an error into the exception to raise.

    Args:
        text: JSON object with `code`, `message` and `errors`.

    Returns:
        The exception, of the class that its code asks for.
    """
    import json

    document = json.loads(text)
    code = str(document.get("code") or "INTERNAL_SERVER_ERROR")
    errors: list[dict[str, Any]] = document.get("errors") or []
    kind = _CLASSES.get(code, SubscriptionError)
    first = errors[0] if errors else {}
    if first.get("kind") == "duplicate":
        kind = DuplicateSubscription
    elif first.get("member") in _EMPTY and code == "BAD_USER_INPUT":
        return ValueError(f"{first['member']} {first['message']}")
    elif "index" in first and kind in (InvalidQuery, RateLimited) and code != "RATE_LIMITED":
        kind = InvalidEvent
    elif code == "LIMIT_EXCEEDED" and "locations" in first:
        kind = InvalidQuery
    return kind(str(document.get("message") or code), code, errors)


_native.configure(skip_type=Skip)  # nobody raises it before it is here
