"""Event loops that end, or stand still, while the engine waits for them."""

from __future__ import annotations

import asyncio
import errno
import gc
import itertools
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from asgi import until
from fraiseql.subscriptions import SubscriptionError, SubscriptionExecutor, background, loops
from test_api_work import WAIT, publish, until_begun


def until_true(look: Callable[[], object]) -> None:
    end = time.monotonic() + WAIT
    while not look():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.anyio
async def test_a_task_that_is_cancelled_before_it_begins(executor: SubscriptionExecutor) -> None:
    loop, again, numbers = asyncio.get_running_loop(), asyncio.Event(), itertools.count()
    seen: list[int] = []

    def work(event: Any) -> asyncio.Future[None]:
        """Its result is awaited by a task that begins in the loop's next turn."""
        result: asyncio.Future[None] = loop.create_future()
        if seen:
            result.set_result(None)
            if event.data["n"] == seen[0]:
                again.set()
        else:
            known = asyncio.all_tasks()
            loop.call_soon(lambda: [task.cancel() for task in asyncio.all_tasks() - known])
        seen.append(event.data["n"])
        return result

    def begins() -> bool:
        publish(executor, next(numbers))
        return bool(seen)

    with executor.work("mails", work, group="mailer"):
        await until(begins)
        await asyncio.wait_for(again.wait(), WAIT)


@pytest.mark.parametrize("how", ["ends", "ends beside another", "is closed"])
def test_a_loop_that_ends_with_work_under_way(executor: SubscriptionExecutor, how: str) -> None:
    begun, done = threading.Event(), threading.Event()

    async def work(event: Any) -> None:
        if begun.is_set():
            done.set()
            return
        begun.set()
        await asyncio.get_running_loop().create_future()

    async def begin() -> None:
        executor.work("mails", work, group="mailer")

        def begins() -> bool:
            publish(executor, 0)
            return begun.is_set()

        await until(begins)
        if how == "ends beside another":
            aside = executor._aside()
            aside._attend_aside()
            await until(lambda: len(aside._boxes) == 2)

    async def attend() -> None:
        executor._aside().attend()
        await until(done.is_set)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    if how != "is closed":
        loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    if how == "is closed":
        asyncio.run(attend())
    assert done.wait(WAIT)


def test_calls_go_to_a_loop_that_runs(executor: SubscriptionExecutor) -> None:
    done: list[object] = []

    async def attend() -> None:
        executor._aside().attend()

    async def work(event: Any) -> None:
        done.append(asyncio.get_running_loop())

    async def main() -> None:
        def begins() -> bool:
            publish(executor, 0)
            return bool(done)

        with executor.work("mails", work, group="mailer"):
            await until(begins)
        assert done[0] is asyncio.get_running_loop()

    idle = asyncio.new_event_loop()
    idle.run_until_complete(attend())
    asyncio.run(main())
    idle.run_until_complete(idle.shutdown_asyncgens())
    idle.close()


@pytest.mark.parametrize("where", ["beside the loop", "in the loop"])
def test_work_when_the_loop_stands_still(executor: SubscriptionExecutor, where: str) -> None:
    done = threading.Event()

    def begin() -> None:
        executor.work("mails", lambda _: done.set(), group="mailer")

    async def main() -> None:
        executor._aside().mailbox(loop)
        if where == "in the loop":
            begin()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    if where == "beside the loop":
        begin()
    until_begun(executor, done)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def test_a_mailbox_takes_calls_over_from_a_loop_that_stands_still(executor: SubscriptionExecutor) -> None:
    done, aside = threading.Event(), executor._aside()
    threads: list[int] = []

    def work(event: Any) -> None:
        threads.append(threading.get_ident())
        done.set()

    async def begin() -> None:
        executor.work("mails", work, group="mailer")
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(ask(), other))

    async def ask() -> None:
        aside.mailbox(asyncio.get_running_loop())

    idle, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    thread = threading.Thread(target=other.run_forever, daemon=True)
    thread.start()
    idle.run_until_complete(begin())
    asyncio.run_coroutine_threadsafe(ask(), other).result()
    until_begun(executor, done)
    assert threads[0] == thread.ident
    asyncio.run_coroutine_threadsafe(other.shutdown_asyncgens(), other).result()
    other.call_soon_threadsafe(other.stop)
    thread.join()
    idle.run_until_complete(idle.shutdown_asyncgens())
    for loop in (idle, other):
        loop.close()


def test_calls_come_back_from_the_background(executor: SubscriptionExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the next call takes them back; none is lost on the way, and none is worked on twice."""
    monkeypatch.setattr(loops, "_LOOK", 0.05)
    begun = threading.Event()
    seen: list[tuple[int, asyncio.AbstractEventLoop]] = []
    numbers = itertools.count(1)

    async def work(event: Any) -> None:
        begun.set()
        if event.data["n"]:
            seen.append((event.data["n"], asyncio.get_running_loop()))

    async def begin() -> None:
        executor.work("mails", work, group="mailer")

    async def runs() -> None:
        for _ in range(10):
            count = len(seen)
            publish(executor, next(numbers))
            await until(lambda count=count: len(seen) > count)  # type: ignore[misc]

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    until_begun(executor, begun)
    expected: list[asyncio.AbstractEventLoop] = []
    for _ in range(3):
        loop.run_until_complete(runs())
        for _ in range(10):
            publish(executor, next(numbers))
        expected += [loop] * 10 + [background.loop()] * 10
        until_true(lambda: len(seen) == len(expected))
        until_true(lambda: not executor._aside()._watching)  # nobody looks while the background works
    assert [n for n, _ in seen] == list(range(1, 61))
    assert [home for _, home in seen] == expected
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def test_a_loop_that_runs_again_takes_what_waits(executor: SubscriptionExecutor) -> None:
    """Calls that the background was told of at once, and has not come to."""
    begun, entered, leave = threading.Event(), threading.Event(), threading.Event()
    seen: dict[str, asyncio.AbstractEventLoop] = {}
    ready: set[str] = set()

    def work(name: str) -> Callable[[Any], None]:
        def works(event: Any) -> None:
            ready.add(name)
            if len(ready) == len(names):
                begun.set()
            if event.data["n"]:
                seen[name] = asyncio.get_running_loop()
                if len(seen) == 1:
                    entered.set()
                    assert leave.wait(WAIT)

        return works

    async def begin() -> None:
        for name in names:
            executor.work("mails", work(name), group=name)

    async def rest() -> None:
        leave.set()
        await until(lambda: len(seen) == len(names))

    names = [f"mailer{n}" for n in range(10)]
    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    until_begun(executor, begun)
    publish(executor, 1)
    assert entered.wait(WAIT)
    loop.run_until_complete(rest())
    assert list(seen.values()) == [background.loop()] + [loop] * 9
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def test_calls_that_began_in_the_background_come_to_a_loop(executor: SubscriptionExecutor) -> None:
    begun = threading.Event()
    seen: list[asyncio.AbstractEventLoop] = []

    async def work(event: Any) -> None:
        begun.set()
        if event.data["n"]:
            seen.append(asyncio.get_running_loop())

    async def main() -> None:
        executor._aside().mailbox(asyncio.get_running_loop())
        publish(executor, 1)
        await until(lambda: bool(seen))
        assert seen == [asyncio.get_running_loop()]

    executor.work("mails", work, group="mailer")
    until_begun(executor, begun)
    asyncio.run(main())
    publish(executor, 2)
    until_true(lambda: len(seen) == 2)
    assert seen[1] is background.loop()


def test_a_resolver_is_awaited_in_a_loop_before_the_background(executor: SubscriptionExecutor) -> None:
    """A thread without a loop publishes, and the background has the older mailbox."""
    seen: list[asyncio.AbstractEventLoop] = []

    async def resolve(event: Any) -> Any:
        seen.append(asyncio.get_running_loop())
        return event.data

    async def main() -> None:
        loop = asyncio.get_running_loop()
        executor._aside().mailbox(loop)
        await loop.run_in_executor(None, publish, executor, 1)
        await until(lambda: bool(seen))
        assert seen == [loop]

    executor.register_resolver("mails", resolve)
    executor.register_subscription("c", "s", "subscription { mails { n } }", user_id="u", tenant_id="t")
    with executor.work("others", lambda _: None, group="mailer"):
        until_true(lambda: executor._aside()._boxes)
        asyncio.run(main())


def test_a_loop_that_runs_now_and_then_does_not_stand_still(executor: SubscriptionExecutor) -> None:
    seen: list[asyncio.AbstractEventLoop] = []

    async def work(event: Any) -> None:
        seen.append(asyncio.get_running_loop())

    async def begin() -> None:
        executor.work("mails", work, group="mailer")

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    end = time.monotonic() + 3.5 * loops._LOOK
    while time.monotonic() < end:
        publish(executor, 1)
        time.sleep(0.02)
        loop.run_until_complete(asyncio.sleep(0))
    assert seen
    assert set(seen) == {loop}
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@pytest.mark.parametrize("when", ["before the background stands in", "while the background stands in"])
def test_a_closed_loop_is_not_kept(executor: SubscriptionExecutor, when: str) -> None:
    """What was under way there is done in the background, which stood in for it before."""
    begun, again, held, done = (threading.Event() for _ in range(4))

    async def work(event: Any) -> None:
        if not event.data["n"]:
            begun.set()
        elif not held.is_set():
            held.set()
            await asyncio.get_running_loop().create_future()
        elif event.data["n"] == 1:
            done.set()
        else:
            again.set()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        executor._aside().tell_calls(executor._aside().mailbox(loop))
        publish(executor, 1)
        await until(held.is_set)

    executor.work("mails", work, group="mailer")
    until_begun(executor, begun)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    if when == "while the background stands in":
        until_true(lambda: executor._aside()._told() is executor._aside()._boxes[background.loop()])
        publish(executor, 0)
    loop.close()
    assert done.wait(WAIT)
    publish(executor, 2)
    assert again.wait(WAIT)
    ended = weakref.ref(loop)
    del loop
    until_true(lambda: gc.collect() is not None and ended() is None)


@pytest.mark.anyio
async def test_no_descriptors_are_left(executor: SubscriptionExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, int]] = []
    mailbox = executor._mailbox

    def noted() -> tuple[int, int]:
        made.append(mailbox())
        return made[-1]

    def fails(fd: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(executor, "_mailbox", noted)
    monkeypatch.setattr(os, "dup", fails)
    with pytest.raises(OSError, match="Too many open files"):
        executor._aside().mailbox(asyncio.get_running_loop())
    with pytest.raises(SubscriptionError, match="no such handle"):
        executor._mailbox_take(made[0][0])
