"""Work that one process of a group does alone."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from fraiseql.subscriptions.errors import SubscriptionError
from fraiseql.subscriptions.resolvers import is_async

if TYPE_CHECKING:
    from types import TracebackType

    from fraiseql._native import Event
    from fraiseql.subscriptions import SubscriptionExecutor

__all__ = ["Worker"]


class Worker:
    """A function that works on the events of a channel; see `SubscriptionExecutor.work`."""

    def __init__(self, executor: SubscriptionExecutor, channel: str, fn: Callable[[Event], Any], group: str | None) -> None:
        """Begin to work.

        Args:
            executor: Whose events.
            channel: The channel.
            fn: A function or coroutine function of the event.
            group: The name that processes share.

        Raises:
            TypeError: An argument has the wrong type.
            ValueError: A name cannot be right, or there is no group.
            BusUnavailable: The bus gives no event to one process alone.
        """
        if not callable(fn):
            raise TypeError(f"a worker is a function of the event, not {type(fn).__name__}")
        _check_parameters(fn)
        if group is not None and not isinstance(group, str):
            raise TypeError(f"group must be str, not {type(group).__name__}")
        if group is None:
            raise ValueError("work: name the group: work(channel, fn, group=...), or the consumer_group of the bus")
        name = str(getattr(fn, "__qualname__", type(fn).__name__))
        self._executor = executor
        self._token = executor._work(name, group, channel, _ignoring(fn))
        executor._aside().attend()

    def close(self) -> None:
        """Stop. The event that is being worked on comes again, to another process of the group. Further calls do nothing."""
        token, self._token = self._token, 0
        if token:
            try:
                self._executor._work_stop(token)
            except SubscriptionError as error:
                if error.code not in ("CLOSED", "FORK"):  # else the worker is gone with the executor
                    raise

    def __enter__(self) -> Worker:
        """Return the worker."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Stop."""
        self.close()


def _check_parameters(fn: Callable[..., Any]) -> None:
    """Refuse a function that cannot be called with an event: it would fail for ever."""
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):  # some built-in functions have none
        return
    try:
        signature.bind(None)
    except TypeError as error:
        raise TypeError(f"a worker is a function of the event alone: {error}") from None


def _ignoring(fn: Callable[[Event], Any]) -> Callable[[Event], Any]:
    """Return the function without its result."""

    async def awaited(result: Awaitable[Any]) -> None:
        await result

    awaited.__qualname__ = str(getattr(fn, "__qualname__", awaited.__qualname__))
    awaits = is_async(fn)

    def work(event: Event) -> Any:
        result = fn(event)
        if awaits or inspect.isawaitable(result):
            return awaited(result)
        return None

    return work
