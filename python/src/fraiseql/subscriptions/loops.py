"""What an executor has to do with event loops: mailboxes, resolvers that are awaited, authentication."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import os
import threading
import weakref
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from fraiseql.subscriptions import background
from fraiseql.subscriptions.errors import Skip, SubscriptionError
from fraiseql.subscriptions.mailbox import Mailbox
from fraiseql.subscriptions.resolvers import failed

if TYPE_CHECKING:
    from fraiseql.subscriptions import SubscriptionExecutor
    from fraiseql.subscriptions.authentication import Door
    from fraiseql.subscriptions.hooks import Desk

__all__ = ["FAILED", "REFUSED", "SKIP", "VALUE", "Loops"]

VALUE, SKIP, FAILED, REFUSED = 0, 1, 2, 3
"""How a call of the engine is answered."""

_LOOK = 1.0
"""Seconds between two looks at the loop that is told of calls: none says that it stands still."""


class Loops:
    """Everything of one executor that event loops have to do with.

    Its methods may be called by any thread. It does not keep the executor alive; tasks that answer calls do.
    """

    def __init__(self, executor: SubscriptionExecutor) -> None:
        """Begin without a loop.

        Args:
            executor: Whose.
        """
        self._executor = weakref.ref(executor)
        self._lock = threading.Lock()
        self._boxes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Mailbox] = weakref.WeakKeyDictionary()
        self._calls: weakref.ref[Mailbox] | None = None
        self._program: weakref.ref[Mailbox] | None = None  # the last that was told and is not the background's
        self._tasks: dict[asyncio.Task[None], tuple[int, object]] = {}  # the call that each answers, and what it awaits
        self._attending = False
        self._watching = False
        self._pid = os.getpid()
        self.listening: dict[int, object] = {}
        self.doors: dict[int, Door] = {}
        self.desks: dict[int, Desk] = {}

    @property
    def executor(self) -> SubscriptionExecutor:
        """The executor.

        Raises:
            SubscriptionError: It is gone.
        """
        executor = self._executor()
        if executor is None:
            raise SubscriptionError("the executor is gone")
        return executor

    def mailbox(self, loop: asyncio.AbstractEventLoop) -> Mailbox:
        """Return the mailbox of a loop; made when first asked for.

        Args:
            loop: The running loop.

        Returns:
            The mailbox, which is told of calls too unless that of another loop of the program is that runs.
        """
        with self._lock:
            box = self._boxes.get(loop)
        if box is None or not box.open:
            box = Mailbox(self.executor, loop)
            with self._lock:
                self._boxes[loop] = box
            self._leave(lambda one: one.is_closed())
        with self._lock:
            told = self._told()
        if told is not box and (not _hears(told) or _stands_in(told)):
            self.tell_calls(box)
        return box

    def _told(self) -> Mailbox | None:
        """Return the mailbox that is told of calls; under the lock."""
        return self._calls() if self._calls is not None else None

    def tell_calls(self, box: Mailbox) -> None:
        """Let a mailbox be told when calls wait.

        Args:
            box: The mailbox.
        """
        executor = self.executor
        with self._lock:  # held for both: the engine tells the one that is known here
            executor._mailbox_calls(box.handle)
            self._calls = weakref.ref(box)
            if not _stands_in(box):
                self._program = self._calls
        self._watch()

    def _running(self) -> Mailbox | None:
        """Return the mailbox of a loop of the program that runs, of several the one that was told of calls last."""
        with self._lock:
            last = self._program() if self._program is not None else None
            boxes = list(self._boxes.values())
        for box in (last, *boxes):
            if _hears(box) and not _stands_in(box):
                return box
        return None

    def stands_in(self) -> bool:
        """Say whether the background stands in for a loop of the program.

        Returns:
            Whether there is one that is not closed.
        """
        with self._lock:
            boxes = list(self._boxes.values())
        return any(box.open and box.loop is not None and not _stands_in(box) for box in boxes)

    def hand_back(self, box: Mailbox) -> bool:
        """Let a loop of the program that runs again have the calls that the background was told of.

        Args:
            box: The mailbox of the background.

        Returns:
            Whether another one is told now: nothing is left to do for the background.
        """
        with self._lock:
            told = self._told()
        if told is not None and told is not box and told.open and told.loop is not None:
            return True  # what waits is told there, since it is
        other = self._running()
        if other is None:
            return False
        try:
            self.tell_calls(other)
            if other.open:  # else it was shut before it was told
                return True
            self.tell_calls(box)
        except SubscriptionError:
            pass  # one of them was shut, or the executor was closed
        return False

    def forget(self, box: Mailbox) -> None:
        """Drop a mailbox that was shut; calls are told to another one, if there is any.

        Args:
            box: The mailbox.
        """
        with self._lock:
            rest = [one for one in self._boxes.values() if one is not box and one.open]
            gone = [loop for loop, one in self._boxes.items() if one is box]
            for loop in gone:
                del self._boxes[loop]
            lost = self._calls is None or self._calls() in (box, None)
            if lost:
                self._calls = None
        executor = self._executor()
        if executor is None or executor._closed:
            return
        self._leave(gone.__contains__)
        if not lost:
            return
        rest.sort(key=lambda one: (_hears(one), not _stands_in(one)), reverse=True)
        try:
            if rest and (_hears(rest[0]) or not self._attending):
                self.tell_calls(rest[0])
            elif self._attending:
                self._attend_aside()
        except SubscriptionError:
            pass

    def close(self) -> None:
        """Wake everybody and stop what is under way. By any thread; loops do it when they come to it."""
        if self._pid != os.getpid():  # a forked child: the loops are the parent's, and the lock may be held
            return
        with self._lock:
            boxes, tasks = list(self._boxes.values()), list(self._tasks)
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        for box in boxes:
            if here is not None and box.loop is here:
                box.shut()
            else:
                box.shut_soon()
        for task in tasks:
            call_in(task.get_loop(), task.cancel)

    def _home(self) -> asyncio.AbstractEventLoop:
        """Return a loop that runs: one of the program that has a mailbox, else that of the background thread."""
        box = self._running()
        loop = box.loop if box is not None else None
        return loop or background.loop()

    def attend(self) -> None:
        """Make sure that calls of the engine are heard while nobody publishes: by a loop that runs, else in the background."""
        self._attending = True
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is not None:
            self.mailbox(loop)
        with self._lock:
            told = self._told()
        if not _hears(told):
            self._attend_aside()
        self._watch()

    def _watch(self) -> None:
        """Let the background stand in, if anybody must hear calls, once the loop that is told of them stands still.

        It does when it does not run at two looks and took no turn between them. Nobody looks while the background is told
        and no task is left in another loop, which may be closed.
        """
        with self._lock:
            if not self._attending or self._watching:
                return
            self._watching = True
        home, this = background.loop(), weakref.ref(self)

        def look(still: weakref.ref[Mailbox] | None = None, turned: threading.Event | None = None) -> None:
            loops = this()
            executor = loops._executor() if loops is not None else None
            if loops is None or executor is None or executor._closed:
                return
            with loops._lock:
                told = loops._told()
                aside = _stands_in(told)
                loops._watching = not aside or any(task.get_loop() is not home for task in loops._tasks)
                if not loops._watching:
                    return
            loops._leave(lambda one: one.is_closed())
            loop = told.loop if told is not None and told.open else None
            if told is None or loop is None:  # it is gone: there is nothing to wait for
                loops._attend_aside()
            elif aside or loop.is_running():
                still = turned = None
            elif turned is None or turned.is_set() or still is None or still() is not told:
                still, turned = weakref.ref(told), threading.Event()
                call_in(loop, turned.set)
            else:
                loops._attend_aside()
            home.call_later(_LOOK, look, still, turned)

        call_in(home, look)

    def _attend_aside(self) -> None:
        """Hear calls of the engine in the background thread, until a loop of the program runs again."""
        home, this = background.loop(), weakref.ref(self)

        def open_box() -> None:
            loops = this()
            executor = loops._executor() if loops is not None else None
            if loops is not None and executor is not None and not executor._closed:
                loops.mailbox(home)

        call_in(home, open_box)

    def resolve(self, call_id: int, awaitable: Awaitable[Any]) -> None:
        """Answer a resolver's call with what an awaitable gives.

        It is awaited in the running loop of this thread, else in one that listens, else in a background thread.

        Args:
            call_id: The call.
            awaitable: What the resolver returned.
        """
        work = self._resolved(self.executor, call_id, awaitable)
        self.start(work, None, call_id, awaitable)

    def start(
        self, work: Awaitable[None], loop: asyncio.AbstractEventLoop | None, call_id: int, awaitable: object
    ) -> asyncio.Task[None] | None:
        """Start a task that answers a call. It counts as failed when the task cannot: it was cancelled, or its loop has ended.

        Args:
            work: Its coroutine.
            loop: Where; None chooses.
            call_id: The call.
            awaitable: What the coroutine awaits.

        Returns:
            The task if it was made in this thread.
        """
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is not None and loop in (None, here):
            return self._spawn(here, work, call_id, awaitable)
        home = loop or self._home()
        if not call_in(home, lambda: self._spawn(home, work, call_id, awaitable), contextvars.copy_context()):
            call_in(background.loop(), lambda: self._spawn(background.loop(), work, call_id, awaitable))
        return None

    def _spawn(
        self, loop: asyncio.AbstractEventLoop, work: Awaitable[None], call_id: int, awaitable: object
    ) -> asyncio.Task[None]:
        task: asyncio.Task[None] = loop.create_task(work)  # type: ignore[arg-type]
        with self._lock:
            self._tasks[task] = call_id, awaitable
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        with self._lock:
            call_id, awaitable = self._tasks.pop(task, (0, None))
        if call_id and task.cancelled():
            self._failed(call_id)  # it may not have begun, and so have answered nothing
            if inspect.iscoroutine(awaitable):
                awaitable.close()  # it may never have been awaited

    def _leave(self, ended: Callable[[asyncio.AbstractEventLoop], bool]) -> None:
        """Answer for the tasks of loops that have ended: the engine waits for every answer."""
        with self._lock:
            left = [task for task in self._tasks if ended(task.get_loop())]
            calls = [self._tasks.pop(task)[0] for task in left]
        for call_id in calls:
            self._failed(call_id)

    def _failed(self, call_id: int) -> None:
        executor = self._executor()
        if executor is not None:
            answer(executor, call_id, FAILED, None)

    async def _resolved(self, executor: SubscriptionExecutor, call_id: int, awaitable: Awaitable[Any]) -> None:
        try:
            value = await awaitable
        except Skip:
            answer(executor, call_id, SKIP, None)
        except Exception as error:
            failed(getattr(awaitable, "__qualname__", type(awaitable).__name__), error)
            answer(executor, call_id, FAILED, None)  # without a reason: it is logged
        except BaseException as error:  # cancelled, or the end of the process
            answer(executor, call_id, FAILED, type(error).__name__.encode())
            raise
        else:
            try:
                executor._answer(call_id, VALUE, value)
            except SubscriptionError:
                pass  # the executor was closed
            except Exception as error:
                failed(getattr(awaitable, "__qualname__", type(awaitable).__name__), error)
                answer(executor, call_id, FAILED, None)  # without a reason: it is logged

    def authenticate(self, call_id: int, session: int, params: bytes | None, request: bytes | None) -> None:
        """Let the door of a session judge what its client presented, in the door's loop.

        Args:
            call_id: The call.
            session: The token of the session, or of the server.
            params: Payload of `connection_init`: a JSON object, or None.
            request: What is known of the request: a JSON object, or None.
        """
        executor = self.executor
        door = self.doors.get(session)
        if door is None:  # closed meanwhile
            answer(executor, call_id, FAILED, b"closed")
            return
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if door.loop is here:
            door.judge(executor, call_id, params, request)
        elif not call_in(door.loop, lambda: door.judge(executor, call_id, params, request)):
            answer(executor, call_id, FAILED, b"closed")

    def hook(self, call_id: int, token: int, question: bytes | None) -> None:
        """Let the hooks of a mount or server answer a question, in the loop that serves it, else in one that runs.

        Args:
            call_id: The call.
            token: The token of the hooks.
            question: A JSON object.
        """
        executor = self.executor
        desk = self.desks.get(token)
        if desk is None or question is None:
            answer(executor, call_id, FAILED, b"closed")
            return
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        home = desk.loop if desk.loop.is_running() else self._home()
        if home is here:
            desk.ask(executor, call_id, question)
        elif not call_in(home, lambda: desk.ask(executor, call_id, question)):
            answer(executor, call_id, FAILED, b"closed")


def _hears(box: Mailbox | None) -> bool:
    """Whether the loop of a mailbox runs."""
    loop = box.loop if box is not None and box.open else None
    return loop is not None and loop.is_running()


def _stands_in(box: Mailbox | None) -> bool:
    """Whether a mailbox is that of the background, which hears calls only while no loop of the program does."""
    return box is not None and background.owns(box.loop)


def answer(executor: SubscriptionExecutor, call_id: int, how: int, value: bytes | None) -> None:
    """Answer a call of an engine that may be closed by now.

    Args:
        executor: The engine.
        call_id: The call.
        how: One of VALUE, SKIP, FAILED and REFUSED.
        value: JSON, or a reason.
    """
    try:
        executor._answer(call_id, how, value)
    except SubscriptionError:
        pass


def call_in(
    loop: asyncio.AbstractEventLoop,
    function: Callable[[], object],
    context: contextvars.Context | None = None,
) -> bool:
    """Call a function soon in a loop's thread.

    Args:
        loop: The loop.
        function: The function.
        context: The context to call it in; None is a copy of the current one.

    Returns:
        False when the loop is closed.
    """
    try:
        loop.call_soon_threadsafe(function, context=context)
    except RuntimeError:
        return False
    return True
