"""The engine of FraiseQL in this process. Private: fraiseql.subscriptions is the interface."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, final

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

class Executor:
    """An engine of this process. config: JSON, as docs/reference/c.md says.

    Without wait it is made in the background the first time, and the first method waits; errors come then. Subclasses
    may have `_await_call`, `_authenticate`, `_resolver_failed` and `_describe_resolver`.
    """

    def __init__(self, config: bytes, wait: bool = False) -> None: ...
    def register_subscription(
        self,
        connection_id: str | int,
        subscription_id: str | int,
        query: str,
        operation_name: str | None = None,
        variables: dict[str, Any] | bytes | None = None,
        user_id: str | int | None = None,
        tenant_id: str | int | None = None,
        *,
        roles: Iterable[str] | None = (),
        scopes: Iterable[str] | None = (),
        federation_id: str | None = None,
        service_name: str | None = None,
        resolver: Callable[..., Any] | None = None,
    ) -> str:
        """Start a subscription whose messages are pulled. Returns subscription_id as str."""

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
        """Publish an event; data is a dict, or bytes or str that hold a JSON object.

        Returns the number of subscriptions that it was enqueued for, None where the bus does not tell. Synchronous
        resolvers that it needs have run by then.
        """

    def next_event(self, subscription_id: str | int, connection_id: str | int | None = None) -> bytes | None:
        """The oldest message that waits, or None. Never blocks. None too when the subscription has ended."""

    def next_events(self, connection_id: str | int, max: int = 256) -> list[tuple[str, bytes]]:
        """Up to max messages of a connection, as pairs of subscription id and message."""

    def complete_subscription(self, subscription_id: str | int, connection_id: str | int | None = None) -> bool:
        """End a subscription. False when there is none."""

    def complete_connection(self, connection_id: str | int) -> bool:
        """End all subscriptions of a connection. False when there is none."""

    def subscriptions_by_channel(self, channel: str) -> list[str]:
        """The ids of the subscriptions registered here for a channel, oldest first."""

    def get_metrics(self) -> dict[str, Any]:
        """Figures of the engine."""

    def warmup(self) -> None:
        """Wait until the engine runs."""

    def close(self) -> None:
        """End the engine and everything of it. May be called twice."""

    def _find(self, subscription_id: str | int, connection_id: str | int | None = None, /) -> int: ...
    def _take(self, handle: int, max: int, /) -> list[bytes] | None: ...
    def _watch(self, handle: int, mailbox: int, token: int, /) -> bool: ...
    def _mailbox(self) -> tuple[int, int]: ...
    def _mailbox_take(self, mailbox: int, /) -> list[int]: ...
    def _mailbox_calls(self, mailbox: int, /) -> bool: ...
    def _mailbox_close(self, mailbox: int, /) -> bool: ...
    def _set_resolver(self, name: str, fn: Callable[..., Any], nargs: int, is_async: bool, /) -> None: ...
    def _describe_resolver(self, fn: Callable[..., Any], /) -> tuple[int, bool]: ...
    def _run_calls(self, max: int, /) -> int: ...
    def _answer(self, call_id: int, answer: int, value: Any = None, /) -> None: ...
    def _sessions(self, config: bytes | str, /) -> int: ...
    def _session_open(self, sessions: int, request: bytes | str, mailbox: int, token: int, /) -> int: ...
    def _session_receive(self, session: int, message: bytes | str, /) -> bool: ...
    def _session_take(self, session: int, max_bytes: int, /) -> list[tuple[int, int, bytes]]: ...
    def _session_shut(self, session: int, code: int, reason: str | None = None, /) -> bool: ...
    def _session_close(self, session: int, /) -> bool: ...
    def _serve(self, config: bytes | str, /) -> tuple[int, str, int]: ...
    def _serve_stop(self, server: int, window_seconds: float = 0, /) -> None: ...
