"""Moves messages between a WebSocket that somebody else owns and its session in the engine."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fraiseql.subscriptions.endpoint import Connection, Text

__all__ = ["CLOSE", "pump"]

_log = logging.getLogger("fraiseql")

CLOSE = 1
"""Kind of what is taken: a close, the last of all."""


async def pump(
    connection: Connection,
    receive: Callable[[], Awaitable[Text | None]],
    send: Callable[[bytes], Awaitable[object]],
    close: Callable[[int, str], Awaitable[object]],
) -> None:
    """Move messages between a WebSocket and the engine until either of them ends it.

    At most 64 KiB are taken from the engine at once, and only when all before has been sent: a client that does not
    read lets messages wait in its queues, which are bounded.

    Args:
        connection: The engine's side. It is closed in the end.
        receive: Gives the next text message of the client, None when it is gone.
        send: Sends a text message.
        close: Closes the WebSocket.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    writer = _Writer(connection, send, close, loop, ended)
    reader = loop.create_task(_read(connection, receive))
    reader.add_done_callback(lambda _: writer.end())
    connection.hear(writer.told)
    try:
        await ended
    finally:
        connection.close()
        reader.cancel()
        task = writer.stop()
        for one in await asyncio.gather(reader, *([task] if task else []), return_exceptions=True):
            if isinstance(one, Exception):
                _log.debug("a WebSocket ended with %s", type(one).__name__)


async def _read(connection: Connection, receive: Callable[[], Awaitable[Text | None]]) -> None:
    while True:
        message = await receive()
        if message is None:
            return
        connection.receive(message)


class _Writer:
    """Sends what a session has for its client, whenever the engine tells that there is something.

    There is no task that waits: the loop's mailbox calls `told`, and what servers can take at once is sent before that
    returns. Only where a server lets us wait, because the client does not read, a task goes on in its place. Per message
    that saves a future, a turn of the loop and the wake-up of a task, and per client a task with its two frames.
    """

    __slots__ = ("_again", "_busy", "_close", "_connection", "_context", "_ended", "_loop", "_send", "_task")

    def __init__(
        self,
        connection: Connection,
        send: Callable[[bytes], Awaitable[object]],
        close: Callable[[int, str], Awaitable[object]],
        loop: asyncio.AbstractEventLoop,
        ended: asyncio.Future[None],
    ) -> None:
        self._connection = connection
        self._send = send
        self._close = close
        self._loop = loop
        self._ended = ended
        self._context = contextvars.copy_context()
        self._task: asyncio.Task[None] | None = None
        self._busy = False
        self._again = False

    def told(self) -> None:
        """Take and send; in the loop's thread."""
        if self._busy:
            self._again = True
            return
        self._busy = True
        task = start(self._write(), self._loop, self._context)
        if task.done():
            self._over(task)
        else:
            self._task = task
            task.add_done_callback(self._over)

    async def _write(self) -> None:
        send, take = self._send, self._connection.take
        self._again = True
        while self._again:
            self._again = False
            for kind, code, data in take():
                if kind == CLOSE:
                    await self._close(code, data.decode("utf-8", "replace"))
                    self.end()
                    return
                await send(data)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._task = None
        self._busy = False
        if task.cancelled():
            self.end()
            return
        error = task.exception()
        if error is not None:
            _log.debug("a WebSocket ended with %s", type(error).__name__)
            self.end()
        elif self._again and not self._ended.done():
            self.told()

    def end(self) -> None:
        """Let the pump end."""
        if not self._ended.done():
            self._ended.set_result(None)

    def stop(self) -> asyncio.Task[None] | None:
        """Send nothing any more.

        Returns:
            The task that still ends, if there is one.
        """
        self._busy = True
        self._again = False
        task = self._task
        if task is not None:
            task.cancel()
        return task


if sys.version_info >= (3, 12):

    def start(
        work: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop, context: contextvars.Context
    ) -> asyncio.Task[None]:
        """Start a task at once: it is done when nothing in it had to wait."""
        return asyncio.Task(work, loop=loop, context=context, eager_start=True)

elif sys.version_info >= (3, 11):

    def start(
        work: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop, context: contextvars.Context
    ) -> asyncio.Task[None]:
        """Start a task, in the loop's next turn."""
        return loop.create_task(work, context=context)

else:

    def start(
        work: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop, context: contextvars.Context
    ) -> asyncio.Task[None]:
        """Start a task, in the loop's next turn."""
        return context.run(loop.create_task, work)
