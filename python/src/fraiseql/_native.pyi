"""The engine of FraiseQL in this process. Private: fraiseql.subscriptions is the interface."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Literal, final

from typing_extensions import disjoint_base

ANSWER_VALUE: Final[int]
ANSWER_SKIP: Final[int]
ANSWER_FAILED: Final[int]
ANSWER_REFUSED: Final[int]
TOKEN_CALLS: Final[int]
OUT_TEXT: Final[int]
OUT_CLOSE: Final[int]

def configure(
    error_factory: Callable[[bytes], BaseException] | None = None,
    default: Callable[[Any], Any] | None = None,
    skip_type: type[BaseException] | None = None,
) -> None:
    """Set what makes exceptions of error objects, what stands in for values without a JSON form, and Skip.

    None leaves one as it is.
    """

def serve_clients() -> None:
    """Let executors made from now on have what serves clients, which takes longer to load."""

def dumps(value: Any, /) -> bytes:
    """The JSON of a value, as events and resolvers' results are written."""

def loads(text: bytes | str, /) -> Any:
    """The value of a JSON text, as events are read."""

@final
class Event:
    """An event, as resolvers get it: attributes, or a mapping of the envelope's members."""

    @property
    def id(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def channel(self) -> str: ...
    @property
    def data(self) -> dict[str, Any]: ...
    @property
    def raw(self) -> bytes: ...
    @property
    def timestamp(self) -> str | None: ...
    @property
    def tenant_id(self) -> str | None: ...
    @property
    def user_id(self) -> str | None: ...
    @property
    def federation_id(self) -> str | None: ...
    @property
    def service_name(self) -> str | None: ...
    @property
    def broadcast(self) -> bool: ...
    def get(self, key: str, default: Any = None, /) -> Any: ...
    def keys(self) -> list[str]: ...
    def values(self) -> list[Any]: ...
    def items(self) -> list[tuple[str, Any]]: ...
    def __getitem__(self, key: str, /) -> Any: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...

@disjoint_base
class Executor:
    """An engine of this process. config: JSON, as docs/reference/c.md says.

    remote: its bus is outside of the process, so that publishing waits for an acknowledgement.
    Without wait it is made in the background the first time, and the first method waits; errors come then. Subclasses
    may have `_await_call`, `_authenticate`, `_hook`, `_resolver_failed`, `_resolver_named` and `_describe_resolver`.
    """

    def __init__(self, config: bytes, wait: bool = False, remote: bool = False) -> None: ...
    def register_subscription(
        self,
        connection_id: str | int,
        subscription_id: str | int,
        query: str,
        operation_name: str | None = None,
        variables: Mapping[str, Any] | bytes | None = None,
        user_id: str | int | None = None,
        tenant_id: str | int | None = None,
        *,
        roles: Iterable[str] | None = (),
        scopes: Iterable[str] | None = (),
        federation_id: str | None = None,
        service_name: str | None = None,
        resolver: Callable[..., Any] | str | None = None,
        resume: bool | str = False,
    ) -> str:
        """Start a subscription whose messages are taken with `next_event`, `next_events` or `listen`.

        Args:
            connection_id: Its connection, which is made when first named. 7 and "7" are the same.
            subscription_id: Its id, unique on its connection.
            query: The document.
            operation_name: Which of its operations, when it has several.
            variables: Values by the names of the variables.
            user_id: Who asks.
            tenant_id: The tenant of who asks.
            roles: For `@requiresRole`.
            scopes: For `@requiresScopes`.
            federation_id: The federation of who asks.
            service_name: The service that asks.
            resolver: A resolver for this subscription alone, before those of its field and event type.
            resume: True gives each message a cursor, see `cursor_of`; such a cursor goes on after its message, as far as
                the bus still has what was missed. The first message holds no data: `extensions.recovered` of it says
                whether all of it follows.

        Returns:
            The subscription's id, as str.

        Raises:
            InvalidQuery: The document or the variables cannot be served.
            AuthorizationFailed: The identity may not do this.
            BusUnavailable: Nobody can say where a subscription that resumes begins.
            RateLimited: A bound was reached.
            DuplicateSubscription: The connection has a live subscription of this id.
            ValueError: An id or the document is empty.
        """

    def publish_event(
        self,
        event_type: str,
        channel: str,
        data: Any,
        *,
        id: str | int | None = None,
        tenant_id: str | int | None = None,
        user_id: str | int | None = None,
        broadcast: bool = False,
        federation_id: str | None = None,
        service_name: str | None = None,
    ) -> int | None:
        """Publish an event. Synchronous resolvers that it needs run before this returns.

        Args:
            event_type: Its type.
            channel: Its channel.
            data: A dict, or bytes or str that hold a JSON object.
            id: Its id; None makes one. Publishing again with the same id is the safe retry.
            tenant_id: The tenant whose subscribers alone may see it.
            user_id: The user who alone may see it.
            broadcast: Reaches every tenant and user on purpose.
            federation_id: The federation that may see it.
            service_name: The service that may see it.

        Returns:
            The number of subscriptions that it was enqueued for, those that wait for a resolver included; None on
            other buses than memory, once it is acknowledged.

        Raises:
            InvalidEvent: The event cannot be published as it is.
            RateLimited: The tenant publishes too much.
            BusUnavailable: The bus did not acknowledge.
            TypeError: The data has no JSON form; the text names the path.
            ValueError: The same, for a value.
        """

    def next_event(self, subscription_id: str | int, connection_id: str | int | None = None) -> bytes | None:
        """Take the oldest message that waits. Never blocks.

        Args:
            subscription_id: The subscription.
            connection_id: Its connection; needed when two connections use the id.

        Returns:
            The message as it goes to the client; None when there is none, or the subscription has ended.

        Raises:
            ValueError: Two connections use the id.
            SlowConsumer: The subscription did not keep up and was ended; after what was queued.
        """

    def next_events(self, connection_id: str | int, max: int = 256) -> list[tuple[str, bytes]]:  # noqa: A002
        """Take what waits on a connection. Never blocks.

        Args:
            connection_id: The connection.
            max: The most to take.

        Returns:
            Pairs of subscription id and message; empty when there is none.

        Raises:
            SlowConsumer: A subscription did not keep up and was ended; after what was queued. `subscription_id` says which.
        """

    def complete_subscription(self, subscription_id: str | int, connection_id: str | int | None = None) -> bool:
        """End a subscription, and drop what waits.

        Args:
            subscription_id: The subscription.
            connection_id: Its connection; needed when two connections use the id.

        Returns:
            False when there is none.

        Raises:
            ValueError: Two connections use the id.
        """

    def complete_connection(self, connection_id: str | int) -> bool:
        """End all subscriptions of a connection, and drop what waits.

        Args:
            connection_id: The connection.

        Returns:
            False when there is none.
        """

    def subscriptions_by_channel(self, channel: str) -> list[str]:
        """List the subscriptions registered here for a channel.

        Args:
            channel: The channel.

        Returns:
            Their ids, oldest first.
        """

    def get_metrics(self) -> dict[str, Any]:
        """Count what happened since the start, and what there is now.

        Returns:
            A dict of ints, and `denied` with one of its own.
        """

    def warmup(self) -> None:
        """Wait until the engine runs."""

    def close(self) -> None:
        """End the engine and everything of it. May be called twice."""

    def _find(self, subscription_id: str | int, connection_id: str | int | None = None, /) -> int: ...
    def _take(self, handle: int, limit: int, /) -> list[bytes] | None: ...
    def _resume(self, handle: int, cursor: str, /) -> bool: ...
    def _take_one(self, handle: int, /) -> bytes | Literal[False] | None: ...
    def _watch(self, handle: int, mailbox: int, token: int, /) -> bool: ...
    def _mailbox(self) -> tuple[int, int]: ...
    def _mailbox_take(self, mailbox: int, /) -> list[int]: ...
    def _mailbox_calls(self, mailbox: int, /) -> bool: ...
    def _mailbox_close(self, mailbox: int, /) -> bool: ...
    def _revoke(self, revocation: bytes, /) -> None: ...
    def _revoke_begin(self, mailbox: int, token: int, revocation: bytes, /) -> int: ...
    def _publish_begin(
        self,
        mailbox: int,
        token: int,
        /,
        event_type: str,
        channel: str,
        data: Any,
        *,
        id: str | int | None = None,
        tenant_id: str | int | None = None,
        user_id: str | int | None = None,
        broadcast: bool | None = False,
        federation_id: str | None = None,
        service_name: str | None = None,
    ) -> int: ...
    def _finish(self, operation: int, /) -> Literal[False] | None: ...
    def _leave(self, operation: int, /) -> None: ...
    def _set_schema(self, schema: bytes, /) -> tuple[int, int]: ...
    def _work(self, name: str, group: str, channel: str, fn: Callable[..., Any], /) -> int: ...
    def _work_stop(self, token: int, /) -> bool: ...
    def _set_resolver(self, name: str, fn: Callable[..., Any], nargs: int, is_async: bool, /) -> None: ...
    def _describe_resolver(self, fn: Callable[..., Any], /) -> tuple[int, bool]: ...
    def _run_calls(self, limit: int, /) -> int: ...
    def _answer(self, call_id: int, answer: int, value: Any = None, /) -> None: ...
    def _sessions(self, config: bytes | str, /) -> int: ...
    def _session_open(self, sessions: int, request: bytes | str, mailbox: int, token: int, /) -> int: ...
    def _session_receive(self, session: int, message: bytes | str, /) -> bool: ...
    def _session_take(self, session: int, max_bytes: int, /) -> list[tuple[int, int, bytes]]: ...
    def _session_shut(self, session: int, code: int, reason: str | None = None, /) -> bool: ...
    def _session_close(self, session: int, /) -> bool: ...
    def _serve(self, config: bytes | str, /) -> tuple[int, str, int]: ...
    def _serve_stop(self, server: int, window_seconds: float = 0, /) -> None: ...
