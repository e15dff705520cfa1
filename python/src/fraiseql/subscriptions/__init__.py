"""GraphQL subscriptions: the engine, what it asks for and what goes wrong.

`SubscriptionExecutor` is the engine; `SubscriptionManager` is its asyncio face, which serves WebSockets too.
"""

# What only some programs need is imported by its first use: a program that starts should not wait for it. Of the executor
# that is most methods: each function that an import reads takes some 5 us, and each file 0.1 ms.
try:
    from fraiseql import _native
except ImportError as error:
    from fraiseql import _unloadable

    raise ImportError(_unloadable.reason(error)) from error

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from typing import Any

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
    from fraiseql.subscriptions.hooks import Hooks, Refused, Subscribing
    from fraiseql.subscriptions.identity import Identity
    from fraiseql.subscriptions.listen import Listener
    from fraiseql.subscriptions.manager import SubscriptionManager
    from fraiseql.subscriptions.messages import GraphQLMessage, SubscriptionPayload, cursor_of
    from fraiseql.subscriptions.methods import Methods
    from fraiseql.subscriptions.request import Request
    from fraiseql.subscriptions.server import Server
else:
    Methods = _native.Executor

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
    "SubscriptionManager": "manager",
    "SubscriptionPayload": "messages",
    "WebSocketAdapter": "fraiseql.integrations.adapter",
    "cursor_of": "messages",
}


def _error(text: bytes) -> BaseException:
    from fraiseql.subscriptions.errors import from_json

    return from_json(text)


def _default(value: "Any") -> "Any":
    from fraiseql.subscriptions.convert import default

    return default(value)


_native.configure(_error, _default)

_DEFAULT = b'{"schema":null,"bus":{"type":"memory"},"security":{},"limits":{},"late_resolvers":true}'


class _Later:
    """A method that is read from `methods` when somebody asks for it, and then takes this one's place."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type) -> "Any":
        from fraiseql.subscriptions.methods import read

        return read(SubscriptionExecutor, self).__get__(instance, owner)


class SubscriptionExecutor(Methods):
    """A subscriptions engine inside this process.

    Every method may be called by any thread. None waits for a message but `listen` and `next_event_async`, which are
    for asyncio; `publish_event` runs the synchronous resolvers that the event needs and returns.

    An executor belongs to the process that made it: in a forked child its methods raise `ForkError`. Unless `close`
    is called it ends when nothing refers to it any more. It is a context manager.
    """

    _loops = None

    def __init__(
        self,
        config: "EventBusConfig | None" = None,
        *,
        schema: "str | os.PathLike[str] | None" = None,
        security: "Mapping[str, Any] | None" = None,
        limits: "Mapping[str, int | float] | None" = None,
        naming: str = "exact",
        introspection: bool = False,
    ) -> None:
        """Make an engine. Without a schema it starts in the background and the first call waits for it.

        Args:
            config: The bus; None is the memory bus. One that cannot be reached is tried again in the background.
            schema: SDL text, or the path of a `.graphql` file or of a directory of such files. None serves every
                channel as a root field of the same name.
            security: `isolation` (`addressed`, the default here, or `strict`), `row_filter` (`none`, `tenant`,
                `user`, `both`; default `tenant` with a schema, `both` without), `scope` (`user` and `tenant`: lists
                of names of arguments).
            limits: Bounds by name: `queue_messages` (1,000) and `queue_bytes` (4 MiB) per subscription,
                `connection_queue_bytes` (16 MiB), `event_bytes` (1 MiB), `event_depth` (64), `document_bytes`
                (64 KiB), `document_tokens` (10,000), `document_depth` (20), `document_aliases` (200),
                `document_fields` (2,000), `subscriptions_per_connection`, `subscriptions_per_user`,
                `subscriptions_per_tenant`, `fields_per_user` (that its subscriptions select together),
                `subscribe_rate` and `subscribe_burst` (per user and second), `publish_rate` and `publish_burst` (per
                tenant and second), `connections_per_ip`, `connections_per_user`, `connections_per_tenant`,
                `connect_rate` (per second), `memory_bytes` (of the process: beyond it nothing new is taken),
                `groups_per_channel` (2,000,000), `groups_per_tenant` (1,000,000), `plan_cache_bytes` (64 MiB),
                `resolver_timeout` (5 seconds), `resolver_lane` (64 events that wait per group, 1,000 on
                buses outside of the process), `resume_events` (10,000 that a subscriber who resumes may have missed).
                Those without a default have no bound; 0 is the default.
            naming: `exact`, or `snake_case` to read member order_id for field orderId.
            introspection: Whether clients may read the schema.

        Raises:
            TypeError: An argument has the wrong type.
            ValueError: An argument cannot be right, or the schema has errors: the text says where.
        """
        self._closed = False
        self._remote, self._group = False, None
        self._named = {}
        if (
            config is None
            and schema is None
            and security is None
            and limits is None
            and naming == "exact"
            and introspection is False
        ):
            super().__init__(_DEFAULT, False)
            return
        from fraiseql.subscriptions import errors
        from fraiseql.subscriptions.settings import engine_document

        document = engine_document(config, schema, security, limits, naming, introspection)
        if config is not None:
            self._remote, self._group = config.bus_type != "memory", config.consumer_group
        try:
            super().__init__(document, schema is not None or self._remote, self._remote)
        except errors.InvalidQuery as error:
            raise errors.InvalidConfig.of(error) from None

    def close(self) -> None:
        """End every subscription and connection, wake who waits for them, and stop the engine.

        Further calls do nothing; other methods raise an error that says that the engine is closed.
        """
        if not self._closed:
            self._closed = True
            if self._loops is not None:
                self._loops.close()
        super().close()

    def __enter__(self) -> "SubscriptionExecutor":
        """Return the executor."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the executor."""
        self.close()

    if not TYPE_CHECKING:
        register_resolver, work, set_schema, revoke = _Later(), _Later(), _Later(), _Later()
        listen, next_event_async, get_metrics = _Later(), _Later(), _Later()
        # What the native code and other modules call.
        _aside, _describe_resolver, _resolver_named, _resolver_failed = _Later(), _Later(), _Later(), _Later()
        _await_call, _authenticate, _hook = _Later(), _Later(), _Later()


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
