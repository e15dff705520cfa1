"""100,000 messages a second through `async for`, paced: are they held, and what CPU time does each take?

    python paced.py loop|thread [--short]

Every millisecond 100 events are published, in the loop that listens or in a thread beside it. The CPU time is that of
the whole process, publishing included. A message is in time when it is taken within 100 ms of when it was due.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import threading
import time
from itertools import repeat

from fraiseql.subscriptions import SubscriptionExecutor
from probes import EVENT, QUERY

RATE = 100_000
STEP = 0.001
WARMUP = 20_000


class Run:
    """One listener and one publisher."""

    def __init__(self, seconds: float) -> None:
        self.total = WARMUP + int(RATE * seconds)
        # A pause of the machine of 10 ms is 1,000 messages, which is what a queue holds by default.
        self.executor = SubscriptionExecutor(limits={"queue_messages": 100_000, "queue_bytes": 64 << 20})
        self.executor.register_subscription("c", "s", QUERY)
        self.published = 0
        self.lag = 0.0  # the longest, in seconds, of what was taken after the warm-up
        self.begun = 0.0

    def due(self) -> int:
        """The number of events that are due by now."""
        steps = int((time.perf_counter() - self.begun) / STEP)
        return min(self.total, int(steps * STEP * RATE))

    def publish_due(self) -> None:
        publish = self.executor.publish_event
        count = self.due() - self.published
        for _ in repeat(None, count):
            publish("userCreated", "users", EVENT)
        self.published += count

    async def in_loop(self) -> None:
        while self.published < self.total:
            self.publish_due()
            await asyncio.sleep(STEP)

    def in_thread(self) -> None:
        while self.published < self.total:
            self.publish_due()
            time.sleep(STEP)

    async def listen(self) -> dict[str, list[float]]:
        received = 0
        async for _ in self.executor.listen("s"):
            received += 1
            if received % 1000 == 0:
                if received == WARMUP:
                    cpu, began = cpu_seconds(), time.perf_counter()
                elif received > WARMUP:
                    self.lag = max(self.lag, time.perf_counter() - self.begun - received / RATE)
                if received == self.total:
                    break
        count, seconds = self.total - WARMUP, time.perf_counter() - began
        return {
            "messages_per_second": [count / seconds],
            "cpu_per_message": [(cpu_seconds() - cpu) / count * 1e9],
            "longest_lag": [self.lag * 1e9],
        }


def cpu_seconds() -> float:
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime


async def run(where: str, seconds: float) -> dict[str, list[float]]:
    measured = Run(seconds)
    listener = asyncio.create_task(measured.listen())
    await asyncio.sleep(0.01)
    measured.begun = time.perf_counter()
    if where == "loop":
        await measured.in_loop()
    else:
        thread = threading.Thread(target=measured.in_thread)
        thread.start()
        await listener
        thread.join()
    found = await listener
    return {f"listen_{where}_{name}": samples for name, samples in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("where", choices=("loop", "thread"))
    parser.add_argument("--short", action="store_true")
    args = parser.parse_args()
    print(json.dumps(asyncio.run(run(args.where, 0.3 if args.short else 3.0))))


if __name__ == "__main__":
    main()
