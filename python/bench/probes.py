"""What binding and engine together take: each probe runs in a fresh process and prints its samples as JSON.

    python probes.py NAME [--short]

A sample is nanoseconds per operation unless the name of the figure says otherwise, over a batch of operations.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable
from contextlib import ExitStack
from itertools import repeat
from time import perf_counter_ns
from typing import Any

from fraiseql.subscriptions import SubscriptionExecutor

Samples = dict[str, list[float]]

# Queues hold 1,000 messages by default.
BATCH = 500
EVENT: dict[str, Any] = {"id": "123", "name": "Ada Lovelace", "email": "ada@example.org", "age": 36, "active": True}
QUERY = "subscription { users { id name email age active } }"
FIRST = b'{"id":"s","type":"next","payload":{"data":{"users":{"id":"123","name":"Ada Lovelace"'


def executor_with(subscribers: int) -> SubscriptionExecutor:
    """An executor with subscriptions of one group, each on a connection of its own, the first with the id s."""
    executor = SubscriptionExecutor()
    for number in range(subscribers):
        executor.register_subscription(f"c{number}", "s" if number == 0 else f"s{number}", QUERY)
    return executor


def drain(executor: SubscriptionExecutor, subscribers: int) -> None:
    for number in range(subscribers):
        while executor.next_events(f"c{number}", max=BATCH):
            pass


def check(executor: SubscriptionExecutor) -> None:
    """What is measured works."""
    delivered = executor.publish_event("userCreated", "users", EVENT)
    message = executor.next_event("s")
    if not delivered or message is None or not message.startswith(FIRST):
        raise AssertionError(f"{delivered} {message!r}")


def later_executors(batches: int) -> Samples:
    """Constructor and `warmup()`, after which the executor takes calls, and the first call together with them.

    They are closed at the end: the thread that closes one would still be ending while the next is made.
    """
    with SubscriptionExecutor() as first, ExitStack() as opened:
        first.warmup()
        samples, ready = [], []
        for _ in range(batches):
            t0 = perf_counter_ns()
            executor = SubscriptionExecutor()
            executor.warmup()
            t1 = perf_counter_ns()
            executor.register_subscription("c", "s", QUERY)
            t2 = perf_counter_ns()
            opened.enter_context(executor)
            samples.append(float(t1 - t0))
            ready.append(float(t2 - t0))
    return {"later_executor": samples, "later_executor_with_first_call": ready}


def next_empty(batches: int) -> Samples:
    executor = executor_with(1)
    check(executor)
    next_event, samples = executor.next_event, []
    for _ in range(batches):
        t0 = perf_counter_ns()
        for _ in repeat(None, 20_000):
            next_event("s")
        samples.append((perf_counter_ns() - t0) / 20_000)
    return {"next_event_empty": samples}


def next_message(batches: int) -> Samples:
    executor = executor_with(1)
    check(executor)
    next_event, publish, samples = executor.next_event, executor.publish_event, []
    for _ in range(batches):
        for _ in repeat(None, BATCH):
            publish("userCreated", "users", EVENT)
        t0 = perf_counter_ns()
        for _ in repeat(None, BATCH):
            next_event("s")
        samples.append((perf_counter_ns() - t0) / BATCH)
        if executor.next_event("s") is not None:
            raise AssertionError("a message too many")
    return {"next_event_message": samples}


def publish_to(subscribers: int) -> Callable[[int], list[float]]:
    def measure(batches: int) -> list[float]:
        executor = executor_with(subscribers)
        check(executor)
        drain(executor, subscribers)
        publish, samples = executor.publish_event, []
        for _ in range(batches):
            t0 = perf_counter_ns()
            for _ in repeat(None, BATCH):
                publish("userCreated", "users", EVENT)
            samples.append((perf_counter_ns() - t0) / BATCH)
            drain(executor, subscribers)
        return samples

    return measure


def publish_one(batches: int) -> Samples:
    return {"publish_one": publish_to(1)(batches)}


def publish_hundred(batches: int) -> Samples:
    return {"publish_hundred": publish_to(100)(batches // 2)}


def publish_rate(batches: int) -> Samples:
    """Events per second from one thread that also takes what one subscriber receives: nothing is left out."""
    executor = executor_with(1)
    check(executor)
    publish, samples = executor.publish_event, []
    for _ in range(max(1, batches // 10)):
        received, t0 = 0, perf_counter_ns()
        for _ in range(50):
            for _ in repeat(None, BATCH):
                publish("userCreated", "users", EVENT)
            received += len(executor.next_events("c0", max=BATCH))
        samples.append(50 * BATCH / (perf_counter_ns() - t0) * 1e9)
        if received != 50 * BATCH:
            raise AssertionError(f"{received} of {50 * BATCH} messages")
    return {"publish_rate": samples}


def listen_waiting(batches: int) -> Samples:
    """Messages that wait already, through `async for`."""
    executor = executor_with(1)
    check(executor)
    samples: list[float] = []

    async def run() -> None:
        listener = executor.listen("s")
        for _ in range(batches):
            for _ in repeat(None, BATCH):
                executor.publish_event("userCreated", "users", EVENT)
            taken, t0 = 0, perf_counter_ns()
            async for _ in listener:
                taken += 1
                if taken == BATCH:
                    break
            samples.append((perf_counter_ns() - t0) / BATCH)

    asyncio.run(run())
    return {"listen_waiting": samples}


def resolver(batches: int) -> Samples:
    """Publishing with a resolver that makes the value, less the same without one; in turns."""

    def value(event: object) -> dict[str, Any]:
        return EVENT

    plain, resolved = SubscriptionExecutor(), SubscriptionExecutor()
    resolved.register_resolver("users", value)
    samples: dict[SubscriptionExecutor, list[float]] = {plain: [], resolved: []}
    for executor in samples:
        executor.register_subscription("c0", "s", QUERY)
        check(executor)
    for _ in range(batches):
        for executor, found in samples.items():
            publish = executor.publish_event
            t0 = perf_counter_ns()
            for _ in repeat(None, BATCH):
                publish("userCreated", "users", EVENT)
            found.append((perf_counter_ns() - t0) / BATCH)
            if len(executor.next_events("c0", max=BATCH)) != BATCH:
                raise AssertionError("a message is missing")
    trips = [b - a for a, b in zip(samples[plain], samples[resolved], strict=True)]
    return {"resolver_round_trip": trips, "publish_with_resolver": samples[resolved]}


PROBES: dict[str, Callable[[int], Samples]] = {
    probe.__name__: probe
    for probe in (later_executors, next_empty, next_message, publish_one, publish_hundred, publish_rate, listen_waiting, resolver)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("probe", choices=PROBES)
    parser.add_argument("--short", action="store_true")
    args = parser.parse_args()
    print(json.dumps(PROBES[args.probe](10 if args.short else 200)))


if __name__ == "__main__":
    main()
