"""Work that one process of a group does alone, on the memory bus; the tests of Redis have several processes."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Any

import pytest
from asgi import until
from fraiseql.subscriptions import SubscriptionExecutor

WAIT = 30


def publish(executor: SubscriptionExecutor, n: int) -> None:
    executor.publish_event("sent", "mails", {"n": n}, tenant_id="t")


def until_begun(executor: SubscriptionExecutor, begun: threading.Event) -> None:
    """A worker begins on a thread of its own: events published before that are not its."""
    end = time.monotonic() + WAIT
    while not begun.wait(0.01):
        assert time.monotonic() < end, "no worker begins"
        publish(executor, 0)


def test_a_function_works_in_the_background(caplog: pytest.LogCaptureFixture) -> None:
    begun, done = threading.Event(), threading.Event()
    seen: list[int] = []
    failing = [True]

    def work(event: Any) -> object:
        begun.set()
        assert (event.channel, event.type, event.tenant_id) == ("mails", "sent", "t")
        n = event.data["n"]
        if n == 3 and failing.pop() if failing else False:
            raise KeyError("no such mail")
        if n:
            seen.append(n)
        if n == 5:
            done.set()
        return object()  # has no JSON form, which does not matter

    with SubscriptionExecutor() as executor, executor.work("mails", work, group="mailer") as worker:
        until_begun(executor, begun)
        with caplog.at_level(logging.ERROR, logger="fraiseql"):
            for n in range(1, 6):
                publish(executor, n)
            assert done.wait(WAIT)
        assert seen == [1, 2, 3, 4, 5]
        assert "no such mail" in caplog.text
        worker.close()
        worker.close()


def test_a_publisher_does_not_work() -> None:
    """It may hold what the worker waits for."""
    begun, done = threading.Event(), threading.Event()
    threads: set[int] = set()

    def work(event: Any) -> None:
        threads.add(threading.get_ident())
        begun.set()
        if event.data["n"] == 5000:
            done.set()

    with SubscriptionExecutor() as executor, executor.work("mails", work, group="mailer"):
        until_begun(executor, begun)
        for n in range(1, 5001):
            publish(executor, n)
        assert done.wait(WAIT)
    assert threading.get_ident() not in threads


@pytest.mark.anyio
async def test_a_coroutine_function_works_in_the_loop() -> None:
    begun, done = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    seen: list[int] = []

    async def work(event: Any) -> None:
        assert asyncio.get_running_loop() is loop
        begun.set()
        await asyncio.sleep(0)
        seen.append(event.data["n"])
        if event.data["n"] == 9:
            done.set()

    executor = SubscriptionExecutor()
    worker = executor.work("mails", work, group="mailer")

    def begins() -> bool:
        publish(executor, 0)
        return begun.is_set()

    await until(begins)
    publish(executor, 9)
    await asyncio.wait_for(done.wait(), WAIT)
    assert seen[-1] == 9
    executor.close()
    worker.close()


def test_what_cannot_be_right() -> None:
    with SubscriptionExecutor() as executor:
        with pytest.raises(TypeError, match="a worker is a function of the event, not str"):
            executor.work("mails", "print", group="g")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="name the group"):
            executor.work("mails", print)
        with pytest.raises(ValueError, match="channel"):
            executor.work("__mails", print, group="g")
        with pytest.raises(ValueError, match="group"):
            executor.work("mails", print, group="a b")
