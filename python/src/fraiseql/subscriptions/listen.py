"""Waiting for the messages of a subscription in an event loop."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Literal

    from fraiseql.subscriptions import SubscriptionExecutor
    from fraiseql.subscriptions.mailbox import Mailbox

__all__ = ["Listener"]

_BURST = 64
_TURN = 0.005
"""Messages between looks at the clock, and seconds after which other tasks of the loop have their turn."""


class Listener:
    """The messages of one subscription; see `SubscriptionExecutor.listen`.

    It belongs to the event loop that first iterates it. A subscription has one listener at a time.
    """

    __slots__ = (
        "__weakref__",
        "_burst",
        "_claim",
        "_claimed",
        "_executor",
        "_future",
        "_handle",
        "_loop",
        "_mailbox",
        "_name",
        "_open",
        "_since",
        "_take",
        "_token",
    )

    def __init__(
        self,
        executor: SubscriptionExecutor,
        subscription_id: str | int,
        connection_id: str | int | None = None,
    ) -> None:
        """Claim a subscription; `SubscriptionExecutor.listen` is the way to call it.

        Args:
            executor: Whose subscription.
            subscription_id: The subscription.
            connection_id: Its connection.

        Raises:
            KeyError: There is no such subscription.
            ValueError: Two connections use the id.
            RuntimeError: Somebody else listens to the subscription.
        """
        self._open = False
        self._executor = executor
        self._handle = executor._find(subscription_id, connection_id)
        self._take = executor._take_one
        self._name = str(subscription_id)
        self._claim = object()
        self._claimed = False
        self._reclaim()
        self._open = True
        self._burst = _BURST
        self._since = monotonic()
        self._future: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._mailbox: Mailbox | None = None
        self._token = 0

    def __aiter__(self) -> Listener:
        """Return the listener."""
        return self

    async def __anext__(self) -> bytes:
        """Wait for the next message.

        Returns:
            The message.

        Raises:
            StopAsyncIteration: The subscription was completed, or the executor closed.
            SlowConsumer: It did not keep up and was ended.
        """
        # Most messages wait already when they are asked for. Here and below they are taken one at a time: what is not
        # taken stays in the queue, for whoever listens next.
        if self._burst > 0 and self._claimed:
            try:
                message = self._take(self._handle)
            except BaseException:
                message = self._failed()
            if message:
                self._burst -= 1
                return message
        message = await self._next(None)
        if message is None:
            raise StopAsyncIteration
        return message

    async def _next(self, timeout: float | None) -> bytes | None:
        """Wait for the next message; None when there is none any more, or none in time."""
        if self._open and not self._claimed:
            self._reclaim()
        if self._burst <= 0:
            await self._pause()
        timer: asyncio.TimerHandle | None = None
        late = timeout is not None and timeout <= 0

        def expire() -> None:
            nonlocal late
            late = True
            self._told()

        try:
            while self._open:
                try:
                    message = self._take(self._handle)
                except BaseException:
                    message = self._failed()
                if message:
                    self._burst -= 1
                    return message
                if message is False:
                    self._release()
                    return None
                if late:
                    return None
                future = self._watch()
                if future is None:
                    continue
                if timeout is not None and timer is None:
                    timer = future.get_loop().call_later(timeout, expire)
                await self._wait(future)
            return None
        finally:
            if timer is not None:
                timer.cancel()

    def _failed(self) -> Literal[False]:
        """Let go after an exception, and let it pass unless it says that the executor was closed."""
        self._release()
        if not self._executor._closed:
            raise  # the one that is being handled
        return False

    async def _pause(self) -> None:
        now = monotonic()
        self._burst = _BURST
        if now - self._since > _TURN:
            self._since = now
            await asyncio.sleep(0)

    async def _wait(self, future: asyncio.Future[None]) -> None:
        self._future = future
        try:
            await future
        except BaseException:  # whoever waited may be gone, and still be referred to by a traceback
            self._disclaim()
            raise
        finally:
            self._future = None
            self._burst = _BURST
            self._since = monotonic()

    def _reclaim(self) -> None:
        if self._executor._aside().listening.setdefault(self._handle, self._claim) is not self._claim:
            raise RuntimeError(f"somebody else listens to subscription {self._name!r}: it has one listener at a time")
        self._claimed = True

    def _disclaim(self) -> None:
        self._claimed = False
        listening = self._executor._aside().listening
        if listening.get(self._handle) is self._claim:
            del listening[self._handle]

    def _watch(self) -> asyncio.Future[None] | None:
        """Ask to be told of the next message; None when there is one by now."""
        if self._future is not None:
            raise RuntimeError("the listener is being waited for already, by another task")
        loop = asyncio.get_running_loop()
        if self._mailbox is None:
            self._loop = loop
            self._mailbox = self._executor._aside().mailbox(loop)
            self._token = self._mailbox.add(_telling(weakref.ref(self)))
        elif self._loop is not loop:
            raise RuntimeError("the listener belongs to another event loop")
        elif not self._mailbox.open:
            self._release()
            return None
        future = loop.create_future()
        self._future = future
        try:
            if not self._executor._watch(self._handle, self._mailbox.handle, self._token):
                self._future = None
                return None
        except BaseException:
            self._future = None
            raise
        return future

    def _told(self) -> None:
        future = self._future
        if future is not None and not future.done():
            future.set_result(None)

    def _release(self) -> None:
        """Let somebody else listen. Idempotent."""
        if not self._open:
            return
        self._open = False
        self._disclaim()
        if self._mailbox is not None:
            self._mailbox.remove(self._token)
        self._told()

    async def aclose(self) -> None:
        """Stop listening. The subscription goes on, and its messages wait for the next listener. Idempotent."""
        self._release()

    async def __aenter__(self) -> Listener:
        """Return the listener."""
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Stop listening."""
        self._release()

    def __del__(self) -> None:
        """Stop listening when the iterator was left behind, for example by `break`."""
        if getattr(self, "_open", False):
            self._release()


def _telling(listener: weakref.ref[Listener]) -> Callable[[], None]:
    """Return what a token of a listener calls: the mailbox must not keep listeners that were left behind."""

    def told() -> None:
        one = listener()
        if one is not None:
            one._told()

    return told
