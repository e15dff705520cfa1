"""Waiting for messages in event loops: no wake-up is lost, nothing is buffered, everything is cleaned up."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvloop
from asgi import until
from fraiseql.subscriptions import SlowConsumer, SubscriptionError, SubscriptionExecutor

USERS = "subscription { users { id } }"


@pytest.fixture
def executor() -> Iterator[SubscriptionExecutor]:
    with SubscriptionExecutor(limits={"queue_messages": 100_000}) as made:
        yield made


def publish(executor: SubscriptionExecutor, n: object, channel: str = "users") -> None:
    executor.publish_event("t", channel, {"id": n})


def id_of(message: bytes | None) -> Any:
    assert message is not None
    return json.loads(message)["payload"]["data"]["users"]["id"]


async def take(executor: SubscriptionExecutor, count: int, subscription: str = "s") -> list[Any]:
    got = []
    async for message in executor.listen(subscription):
        got.append(id_of(message))
        if len(got) == count:
            break
    return got


async def waiting(task: asyncio.Task[Any]) -> None:
    """Lets a task come to where it waits."""
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()


@pytest.mark.anyio
class TestListen:
    async def test_what_waits_and_what_comes(self, executor: SubscriptionExecutor) -> None:
        executor.register_subscription("c", "s", USERS)
        publish(executor, 0)
        task = asyncio.ensure_future(take(executor, 3))
        await waiting(task)
        publish(executor, 1)
        await asyncio.sleep(0)
        publish(executor, 2)
        assert await task == [0, 1, 2]

    async def test_from_a_thread(self, executor: SubscriptionExecutor) -> None:
        executor.register_subscription("c", "s", USERS)
        task = asyncio.ensure_future(take(executor, 1000))
        await waiting(task)
        await asyncio.get_running_loop().run_in_executor(None, lambda: [publish(executor, n) for n in range(1000)])
        assert await task == list(range(1000))

    @pytest.mark.parametrize("how", ["subscription", "connection", "executor", "executor of a thread"])
    async def test_ends(self, executor: SubscriptionExecutor, how: str) -> None:
        executor.register_subscription("c", "s", USERS)
        task = asyncio.ensure_future(take(executor, 2))
        publish(executor, 0)
        await waiting(task)
        if how == "subscription":
            executor.complete_subscription("s")
        elif how == "connection":
            executor.complete_connection("c")
        elif how == "executor":
            executor.close()
        else:
            await asyncio.get_running_loop().run_in_executor(None, executor.close)
        assert await asyncio.wait_for(task, 5) == [0]

    async def test_what_was_queued_is_lost_with_the_subscription(self, executor: SubscriptionExecutor) -> None:
        executor.register_subscription("c", "s", USERS)
        listener = executor.listen("s")
        publish(executor, 0)
        executor.complete_subscription("s")
        assert [message async for message in listener] == []
        assert [message async for message in listener] == []

    async def test_a_new_subscription_of_the_id_is_another(self, executor: SubscriptionExecutor) -> None:
        executor.register_subscription("c", "s", USERS)
        listener = executor.listen("s")
        executor.complete_subscription("s")
        executor.register_subscription("c", "s", USERS)
        publish(executor, 1)
        assert [message async for message in listener] == []
        assert await take(executor, 1) == [1]

    async def test_slow_consumer(self) -> None:
        with SubscriptionExecutor(limits={"queue_messages": 3}) as executor:
            executor.register_subscription("c", "s", USERS)
            for n in range(5):
                publish(executor, n)
            listener = executor.listen("s")
            assert [id_of(await anext(listener)) for _ in range(3)] == [0, 1, 2]
            with pytest.raises(SlowConsumer):
                await anext(listener)

    async def test_backpressure(self) -> None:
        """A body that takes its time leaves messages in the queue, whose bound holds."""
        with SubscriptionExecutor(limits={"queue_messages": 10}) as executor:
            executor.register_subscription("c", "s", USERS)
            publish(executor, 0)
            listener = executor.listen("s")
            await anext(listener)
            for n in range(20):
                publish(executor, n)
            assert [id_of(await anext(listener)) for _ in range(10)] == list(range(10))
            with pytest.raises(SlowConsumer):
                await anext(listener)

        with SubscriptionExecutor(limits={"queue_messages": 10}) as executor:
            executor.register_subscription("c", "s", USERS)
            publish(executor, 0)
            async for message in executor.listen("s"):
                if id_of(message) == 500:
                    break
                publish(executor, id_of(message) + 1)

    async def test_nothing_is_lost_when_a_listener_stops(self, executor: SubscriptionExecutor) -> None:
        executor.register_subscription("c", "s", USERS)
        for n in range(10):
            publish(executor, n)
        assert await take(executor, 3) == [0, 1, 2]
        assert id_of(executor.next_event("s")) == 3
        async with executor.listen("s") as listener:
            assert id_of(await anext(listener)) == 4
        listener = executor.listen("s")
        assert id_of(await anext(listener)) == 5
        await listener.aclose()
        await listener.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(listener)
        assert await take(executor, 4) == [6, 7, 8, 9]

    async def test_cancelling_loses_nothing(self, executor: SubscriptionExecutor) -> None:
        executor.register_subscription("c", "s", USERS)
        got: list[Any] = []

        async def listen() -> None:
            async for message in executor.listen("s"):
                got.append(id_of(message))

        for n in range(200):
            task = asyncio.ensure_future(listen())
            for _ in range(n % 4):
                await asyncio.sleep(0)
            publish(executor, n)
            for _ in range(n % 3):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        got += [id_of(m) for m in iter(lambda: executor.next_event("s"), None)]
        assert got == list(range(200))

    async def test_one_listener_at_a_time(self, executor: SubscriptionExecutor) -> None:
        executor.register_subscription("c", "s", USERS)
        first = executor.listen("s")
        with pytest.raises(RuntimeError, match="somebody else listens to subscription 's'"):
            executor.listen("s")
        with pytest.raises(RuntimeError, match="somebody else listens"):
            await executor.next_event_async("s", timeout=0.1)
        del first
        task = asyncio.ensure_future(anext(listener := executor.listen("s")))
        await waiting(task)
        with pytest.raises(RuntimeError, match="waited for already"):
            await anext(listener)
        publish(executor, 1)
        assert id_of(await task) == 1

    async def test_unknown_and_ambiguous(self, executor: SubscriptionExecutor) -> None:
        with pytest.raises(KeyError, match="no subscription 'nothing'"):
            executor.listen("nothing")
        assert await executor.next_event_async("nothing") is None
        for connection in ("a", "b"):
            executor.register_subscription(connection, "s", USERS)
        with pytest.raises(ValueError, match="connection_id"):
            executor.listen("s")
        publish(executor, 1)
        assert id_of(await anext(executor.listen("s", "a"))) == 1
        assert id_of(await executor.next_event_async("s", "b")) == 1

    async def test_next_event_async(self, executor: SubscriptionExecutor) -> None:
        executor.register_subscription("c", "s", USERS)
        assert await executor.next_event_async("s", timeout=0) is None
        assert await executor.next_event_async("s", timeout=0.01) is None
        task = asyncio.ensure_future(executor.next_event_async("s", timeout=5))
        await waiting(task)
        publish(executor, 1)
        assert id_of(await task) == 1
        task = asyncio.ensure_future(executor.next_event_async("s"))
        await waiting(task)
        executor.complete_subscription("s")
        assert await task is None

    async def test_many_subscriptions_of_one_loop(self, executor: SubscriptionExecutor) -> None:
        count = 500
        for n in range(count):
            executor.register_subscription(f"c{n % 7}", f"s{n}", USERS)
        tasks = [asyncio.ensure_future(take(executor, 3, f"s{n}")) for n in range(count)]
        for n in range(3):
            publish(executor, n)
            await asyncio.sleep(0)
        assert await asyncio.gather(*tasks) == [[0, 1, 2]] * count
        loop = asyncio.get_running_loop()
        assert not executor._aside().mailbox(loop)._targets
        assert not executor._aside().listening

    async def test_other_tasks_have_their_turn(self, executor: SubscriptionExecutor) -> None:
        executor.register_subscription("c", "s", USERS)
        publish(executor, 0)
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.ensure_future(other())
        end = asyncio.get_running_loop().time() + 20
        async for _ in executor.listen("s"):
            publish(executor, 0)  # there is always a message
            if turns >= 5 or asyncio.get_running_loop().time() > end:
                break
        task.cancel()
        assert turns >= 5

    async def test_lost_wake_ups(self, executor: SubscriptionExecutor) -> None:
        """A thread publishes one message whenever the listener has taken one, at awkward moments."""
        executor.register_subscription("c", "s", USERS)
        rounds, taken = 20_000, threading.Semaphore(1)

        def work() -> None:
            chance = random.Random(7)
            for n in range(rounds):
                taken.acquire()
                for _ in range(chance.randrange(40)):
                    pass
                publish(executor, n)

        thread = threading.Thread(target=work)
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        try:
            thread.start()
            n = 0
            async for message in executor.listen("s"):
                assert id_of(message) == n
                n += 1
                taken.release()
                if n == rounds:
                    break
        finally:
            sys.setswitchinterval(interval)
        thread.join()

    async def test_an_executor_left_behind_takes_its_mailbox_along(self) -> None:
        before = descriptors()
        for _ in range(5):
            executor = SubscriptionExecutor()
            executor.register_subscription("c", "s", USERS)
            assert await executor.next_event_async("s", timeout=0.001) is None
            del executor
        gc.collect()
        await until(lambda: descriptors() <= before)  # engines that nobody has any more are closed by a thread of their own


def descriptors() -> int:
    """Open eventfds of this process."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            found += "eventfd" in os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            pass
    return found


LOOPS: dict[str, Callable[..., Any]] = {"asyncio": asyncio.run, "uvloop": uvloop.run}


@pytest.mark.parametrize("run", LOOPS.values(), ids=LOOPS)
def test_loops_that_close(executor: SubscriptionExecutor, run: Callable[..., Any]) -> None:
    """One after the other, with listeners left waiting; no descriptor stays and nothing is warned of."""
    executor.register_subscription("c", "s", USERS)

    async def main(n: int) -> list[Any]:
        heard = asyncio.Event()

        async def listen() -> None:
            async for _ in executor.listen("s"):
                heard.set()

        other = asyncio.ensure_future(listen())
        await waiting(other)
        publish(executor, n)
        await heard.wait()
        other.cancel()
        with pytest.raises(asyncio.CancelledError):
            await other
        publish(executor, n)
        return await take(executor, 1)

    before = None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n in range(5):
            assert run(main(n)) == [n]
            gc.collect()
            before = before or descriptors()
            assert descriptors() == before
            assert not list(executor._aside()._boxes)


def test_a_loop_that_is_closed_without_ceremony(executor: SubscriptionExecutor) -> None:
    executor.register_subscription("c", "s", USERS)
    executor.warmup()
    before = descriptors()
    for n in range(3):
        loop = asyncio.new_event_loop()
        publish(executor, n)
        assert loop.run_until_complete(take(executor, 1)) == [n]
        assert loop.run_until_complete(executor.next_event_async("s", timeout=0.001)) is None
        loop.close()
        del loop
        gc.collect()
    assert descriptors() <= before + 1


def test_closed_while_a_loop_has_stopped(executor: SubscriptionExecutor) -> None:
    executor.register_subscription("c", "s", USERS)
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(executor.next_event_async("s", timeout=0.001)) is None
    mailbox = executor._aside().mailbox(loop)
    assert mailbox.open
    executor.close()
    loop.run_until_complete(until(lambda: not mailbox.open))
    loop.close()


def test_a_listener_belongs_to_its_loop(executor: SubscriptionExecutor) -> None:
    executor.register_subscription("c", "s", USERS)
    listener = executor.listen("s")

    async def wait() -> bytes | None:
        return await listener._next(0.001)

    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    assert first.run_until_complete(wait()) is None
    with pytest.raises(RuntimeError, match="another event loop"):
        second.run_until_complete(wait())
    first.close()
    second.close()


@pytest.mark.parametrize("run", LOOPS.values(), ids=LOOPS)
def test_two_loops_in_two_threads(executor: SubscriptionExecutor, run: Callable[..., Any]) -> None:
    count, threads, failures = 2000, [], []

    def work(name: str) -> None:
        async def main() -> None:
            executor.register_subscription(name, name, f"subscription {{ users: {name} {{ id }} }}")
            for n in range(100):
                publish(executor, n, name)
            tasks = [asyncio.ensure_future(take(executor, count, name))]
            for n in range(100, count):
                publish(executor, n, name)
                if n % 50 == 0:
                    await asyncio.sleep(0)
            assert await asyncio.wait_for(tasks[0], 30) == list(range(count))

        try:
            run(main())
        except BaseException as error:
            failures.append(error)

    for name in ("left", "right"):
        threads.append(threading.Thread(target=work, args=(name,)))
        threads[-1].start()
    for thread in threads:
        thread.join(60)
    assert not failures


def test_a_closed_executor(executor: SubscriptionExecutor) -> None:
    executor.register_subscription("c", "s", USERS)
    listener = executor.listen("s")
    executor.close()

    async def main() -> None:
        assert [message async for message in listener] == []
        with pytest.raises(SubscriptionError, match="closed"):
            await executor.next_event_async("s")
        with pytest.raises(SubscriptionError, match="closed"):
            executor.listen("s")

    asyncio.run(main())


@pytest.mark.anyio
async def test_a_listener_that_was_cancelled_may_go_on(executor: SubscriptionExecutor) -> None:
    executor.register_subscription("c", "s", USERS)
    listener = executor.listen("s")
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(anext(listener), 0.01)
    publish(executor, 1)
    assert id_of(await anext(listener)) == 1
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(anext(listener), 0.01)
    other = executor.listen("s")
    with pytest.raises(RuntimeError, match="somebody else"):
        await anext(listener)
    await other.aclose()
    publish(executor, 2)
    assert id_of(await anext(listener)) == 2


@pytest.mark.anyio
@pytest.mark.parametrize("size", [0, 1, 4000, 8192, 70_000, 1_000_000])
async def test_messages_of_every_size(executor: SubscriptionExecutor, size: int) -> None:
    executor.register_subscription("c", "s", USERS)
    task = asyncio.ensure_future(take(executor, 2))
    publish(executor, "x" * size)
    await waiting(task)
    publish(executor, "y" * size)
    assert await task == ["x" * size, "y" * size]
    publish(executor, "z" * size)
    assert id_of(executor.next_event("s")) == "z" * size
    publish(executor, "z" * size)
    assert [(s, id_of(m)) for s, m in executor.next_events("c")] == [("s", "z" * size)]
