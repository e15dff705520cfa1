"""What waits for the bus, without a thread that waits; and threads for what has to be waited for."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from fraiseql.subscriptions.errors import BusUnavailable

if TYPE_CHECKING:
    from fraiseql.subscriptions import SubscriptionExecutor

__all__ = ["aside", "finished"]

T = TypeVar("T")

_THREADS = 64
_threads: concurrent.futures.ThreadPoolExecutor | None = None


def _forked() -> None:
    global _threads
    _threads = None  # they are the parent's


os.register_at_fork(after_in_child=_forked)


async def aside(function: Callable[[], T]) -> T:
    """Call a function that waits in a thread of this package's own: none of those that the loop has for everybody.

    Args:
        function: The function, which is called in a copy of the current context.

    Returns:
        What it returns.
    """
    global _threads
    if _threads is None:
        _threads = concurrent.futures.ThreadPoolExecutor(_THREADS, "fraiseql")
    call = functools.partial(contextvars.copy_context().run, function)
    return await asyncio.get_running_loop().run_in_executor(_threads, call)


async def finished(executor: SubscriptionExecutor, begin: Callable[[int, int], int]) -> None:
    """Begin what waits for the bus and await its end, which a mailbox tells.

    Args:
        executor: Whose.
        begin: Called at once with a mailbox and a token of it; returns the operation.

    Raises:
        BusUnavailable: The bus did not acknowledge, or the executor was closed meanwhile.
        SubscriptionError: What else went wrong.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    operation = 0

    def told() -> None:
        if ended.done():
            return
        try:
            result = executor._finish(operation)
        except Exception as error:
            ended.set_exception(error)
        else:
            if result is False:  # the mailbox was shut
                ended.set_exception(BusUnavailable("The engine is closed.", "BUS_UNAVAILABLE"))
            else:
                ended.set_result(None)

    box = executor._aside().mailbox(loop)
    token = box.add(told)
    try:
        operation = begin(box.handle, token)
        await ended
    finally:
        box.remove(token)
        if operation:
            executor._leave(operation)  # of one that has ended it is nothing
