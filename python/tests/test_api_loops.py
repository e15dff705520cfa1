"""Event loops that end, or stand still, while the engine waits for them."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import threading
from typing import Any

import pytest
from asgi import until
from fraiseql.subscriptions import SubscriptionError, SubscriptionExecutor
from test_api_work import WAIT, publish, until_begun


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
