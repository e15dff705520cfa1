"""How the engine wakes an event loop: one mailbox per executor and loop, behind a file descriptor that the loop
watches. Engine threads never call into Python.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import logging
import os
import weakref
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING

from fraiseql.subscriptions import background
from fraiseql.subscriptions.errors import SubscriptionError

if TYPE_CHECKING:
    from fraiseql.subscriptions import SubscriptionExecutor

__all__ = ["Mailbox"]

_log = logging.getLogger("fraiseql")
_CALLS = 64

_tokens = itertools.count(1)


class Mailbox:
    """Tokens of the engine for one event loop, each with what it calls in the loop's thread.

    The loop's thread alone uses it, but for `handle` and `shut_soon`. It keeps neither the executor nor the loop
    alive.
    """

    __slots__ = ("__weakref__", "_executor", "_fd", "_hook", "_loop", "_targets", "handle")

    handle: int

    def __init__(self, executor: SubscriptionExecutor, loop: asyncio.AbstractEventLoop) -> None:
        """Open a mailbox and let the running loop watch it.

        Args:
            executor: Whose tokens.
            loop: The running loop.
        """
        self._executor = weakref.ref(executor, _shut_later(weakref.ref(self)))
        self._loop = weakref.ref(loop)
        self._targets: dict[int, Callable[[], None]] = {}
        self._fd = -1
        self.handle, fd = executor._mailbox()
        try:
            # The loop watches a descriptor of our own: the engine may close its own at any time.
            self._fd = os.dup(fd)
        except OSError:  # there are too many
            executor._mailbox_close(self.handle)
            raise
        hook = _until_shutdown(weakref.ref(self))
        try:
            hook.asend(None).send(None)  # makes it one of those that the loop ends before it closes
        except StopIteration:
            pass
        # It knows the loop, so that the loop alone may keep it: as an argument of what it calls.
        self._hook: weakref.ref[AsyncGenerator[None, None]] | None = weakref.ref(hook)
        # What it calls belongs to nobody's context, least of all to that of whoever came first.
        contextvars.Context().run(loop.add_reader, self._fd, self._ready, hook)

    @property
    def open(self) -> bool:
        """Whether it still watches."""
        return self._fd >= 0

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop, None when it is gone or closed."""
        loop = self._loop()
        return None if loop is None or loop.is_closed() else loop

    def add(self, target: Callable[[], None]) -> int:
        """Make a token.

        Args:
            target: Called in the loop's thread when the engine has told the token; must not raise.

        Returns:
            The token, unique in the process.
        """
        token = self.new_token()
        self._targets[token] = target
        return token

    def put(self, token: int, target: Callable[[], None]) -> None:
        """Let a token call something else.

        Args:
            token: One that `add` made; one that was removed stays so.
            target: As for `add`.
        """
        if token in self._targets:
            self._targets[token] = target

    def new_token(self) -> int:
        """Make a token that nothing is told of.

        Returns:
            The token, unique in the process.
        """
        return next(_tokens)

    def remove(self, token: int) -> None:
        """Forget a token.

        Args:
            token: One that `add` made.
        """
        self._targets.pop(token, None)

    def _ready(self, _: AsyncGenerator[None, None]) -> None:
        executor = self._executor()
        if executor is None:
            self.shut()
            return
        try:
            tokens = executor._mailbox_take(self.handle)
        except (SubscriptionError, ValueError, KeyError):  # the engine is closed, or this is a forked child
            self.shut()
            return
        targets = self._targets
        for token in tokens:
            if token == 0:
                self._calls()
                continue
            target = targets.get(token)
            if target is not None:
                target()

    def _calls(self) -> None:
        executor, loop = self._executor(), self._loop()
        if executor is None or loop is None or not self.open:
            return
        try:
            if (self._calls_aside(executor) if background.owns(loop) else executor._run_calls(_CALLS)) >= _CALLS:
                loop.call_soon(self._calls)  # other callbacks have their turn
        except SubscriptionError:
            self.shut()
        except Exception:
            _log.exception("calls of the engine failed")

    def _calls_aside(self, executor: SubscriptionExecutor) -> int:
        """Run calls while no loop of the program does, one by one if one may come back; return how many."""
        aside = executor._aside()
        step, done = 1 if aside.stands_in() else _CALLS, 0
        while done < _CALLS and not aside.hand_back(self):
            ran = executor._run_calls(step)
            done += ran
            if ran < step:
                break
        return done

    def shut(self) -> None:
        """Stop watching and wake everybody who waits; in the loop's thread. Idempotent."""
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        loop, hook = self.loop, None if self._hook is None else self._hook()
        if hook is not None:
            try:
                hook.aclose().send(None)  # it waits for nothing
            except StopIteration:
                pass
        if loop is not None:
            loop.remove_reader(fd)
        os.close(fd)
        executor = self._executor()
        if executor is not None:
            executor._aside().forget(self)
            try:
                executor._mailbox_close(self.handle)
            except (SubscriptionError, ValueError, KeyError):
                pass
        targets, self._targets = self._targets, {}
        for target in targets.values():
            target()

    def shut_soon(self) -> None:
        """Let the loop call `shut`; by any thread."""
        loop = self.loop
        if loop is None:
            self.__del__()
            return
        try:
            loop.call_soon_threadsafe(self.shut)
        except RuntimeError:  # closed meanwhile
            self.__del__()

    def __del__(self) -> None:
        """Close what a loop that is gone has left behind."""
        fd, self._fd = getattr(self, "_fd", -1), -1
        if fd >= 0:
            os.close(fd)
            executor = self._executor()
            if executor is not None:
                try:
                    executor._mailbox_close(self.handle)
                except Exception:  # at the end of the interpreter there is nobody to tell
                    pass


def _shut_later(
    mailbox: weakref.ref[Mailbox],
) -> Callable[[weakref.ref[SubscriptionExecutor]], None]:
    def gone(_: weakref.ref[SubscriptionExecutor]) -> None:
        one = mailbox()
        if one is not None:
            one.shut_soon()

    return gone


async def _until_shutdown(mailbox: weakref.ref[Mailbox]) -> AsyncGenerator[None, None]:
    """Shut a mailbox when its loop ends its asynchronous generators, as asyncio.run does before it closes the loop."""
    try:
        yield
    finally:
        one = mailbox()
        if one is not None:
            one._hook = None
            one.shut()
