"""Long runs leave nothing behind: memory, descriptors, threads and Python objects are as many at the end as after a tenth.

The Go heap is part of the memory measured: GOGC is 100 here, so that it does not grow on purpose.
"""

from __future__ import annotations

import pytest
from children import python

PROLOGUE = """
import asyncio, ctypes, gc, os, sys, time
from fraiseql.subscriptions import SubscriptionExecutor

ADDRESS = {"user_id": "u", "tenant_id": "t"}
libc = ctypes.CDLL(None)

def memory():
    \"\"\"Resident bytes, once what the allocator kept for later is given back.\"\"\"
    gc.collect(); libc.malloc_trim(0)
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

def count(folder): return len(os.listdir(f"/proc/self/{folder}"))
def blocks(): gc.collect(); return sys.getallocatedblocks()

def settle():
    \"\"\"Waits for the threads that close executors which nobody has any more.\"\"\"
    gc.collect()
    end = time.monotonic() + 20
    while count("task") > 12 and time.monotonic() < end: time.sleep(0.01)

slack, objects = 12 << 20, 500

def flat(step, times):
    \"\"\"Does step a tenth of the times and then the rest; what there is more then is a leak.\"\"\"
    for number in range(times // 10): step(number)
    settle()
    before = memory(), count("fd"), count("task"), blocks()
    done, end = times // 10, times
    while True:
        for number in range(done, end): step(number)
        settle()
        after = memory(), count("fd"), count("task"), blocks()
        if after[0] - before[0] < slack or end > 2 * times: break
        # On a busy machine the collector may have been late. What is garbage goes with the next turns, what leaks stays.
        done, end = end, end + times // 4
    assert after[0] - before[0] < slack, ("memory", before, after)
    # The Go runtime opens two of its own when it first needs them.
    assert after[1] <= before[1] + 2, ("descriptors", before, after)
    assert after[2] <= before[2] + 4, ("threads", before, after)
    assert after[3] - before[3] < objects, ("objects", before, after)

def subscribe(executor, subscription="s", connection="c"):
    executor.register_subscription(connection, subscription, "subscription { users { id } }", **ADDRESS)

def publish(executor, number=0):
    return executor.publish_event("userCreated", "users", {"id": str(number)}, **ADDRESS)
"""

# What is repeated, and how often in full.
RUNS = {
    "publish and next": (
        1_000_000,
        """
executor = SubscriptionExecutor(); subscribe(executor)
def step(number):
    executor.publish_event("userCreated", "users", {"id": "1"}, **ADDRESS)
    executor.next_event("s")
""",
    ),
    "executors": (
        10_000,
        """
def step(number):
    with SubscriptionExecutor() as executor:
        subscribe(executor); publish(executor)
        assert executor.next_event("s")
""",
    ),
    "executors that nobody closes": (
        5_000,
        """
def step(number):
    executor = SubscriptionExecutor(); subscribe(executor); publish(executor)
    executor.itself = executor
    if number % 100 == 0: gc.collect()
slack = 32 << 20 # they end in the background, many at once
""",
    ),
    "subscriptions": (
        100_000,
        """
executor = SubscriptionExecutor()
def step(number):
    executor.register_subscription("c", number, "subscription { users(id: %d) { id } }" % (number % 50), **ADDRESS)
    executor.publish_event("userCreated", "users", {"id": number % 50}, **ADDRESS)
    if number % 3: executor.complete_subscription(number)
    elif number % 100 == 0: executor.complete_connection("c")
""",
    ),
    "refusals": (
        50_000,
        """
executor = SubscriptionExecutor()
def step(number):
    for call in (
        lambda: executor.register_subscription("c", "s", "subscription { broken %d" % number),
        lambda: executor.publish_event("e", "with a space", {}),
        lambda: executor.publish_event("e", "c", {"x": float("nan")}),
        lambda: executor.listen("nobody"),
    ):
        try: call()
        except (KeyError, ValueError, RuntimeError): pass
        else: raise AssertionError("was not refused")
""",
    ),
    "resolvers": (
        200_000,
        """
executor = SubscriptionExecutor()
executor.register_resolver("users", lambda event, variables: {"id": event.data["id"]})
subscribe(executor)
def step(number):
    publish(executor, number); assert executor.next_event("s")
""",
    ),
    "resolvers that fail": (
        20_000,
        """
import logging
logging.getLogger("fraiseql").disabled = True
executor = SubscriptionExecutor()
def resolve(event): raise ValueError(event.data)
executor.register_resolver("users", resolve)
subscribe(executor)
def step(number):
    publish(executor, number); assert b"errors" in executor.next_event("s")
""",
    ),
    "listeners": (
        5_000,
        """
executor = SubscriptionExecutor()
loop = asyncio.new_event_loop()
async def hear(number):
    subscribe(executor, number)
    listener = executor.listen(number)
    task = asyncio.ensure_future(listener.__anext__())
    await asyncio.sleep(0)
    publish(executor)
    await task
    if number % 2: await listener.aclose()
    executor.complete_subscription(number)
def step(number): loop.run_until_complete(hear(number))
""",
    ),
    "loops": (
        500,
        """
executor = SubscriptionExecutor(); subscribe(executor)
async def hear():
    publish(executor)
    async for message in executor.listen("s"): break
def step(number): asyncio.run(hear())
""",
    ),
    "messages of 30 kB": (  # the bus keeps 64 MiB of them for those that come back
        30_000,
        """
executor = SubscriptionExecutor()
executor.register_subscription("c", "s", "subscription { users { text } }", **ADDRESS)
text = "x" * 30_000
for _ in range(4000): executor.publish_event("userCreated", "users", {"text": text}, **ADDRESS); executor.next_event("s")
slack = 64 << 20
def step(number):
    executor.publish_event("userCreated", "users", {"text": text}, **ADDRESS)
    assert len(executor.next_event("s")) > 30_000
""",
    ),
    "slow consumers": (
        300,
        """
executor = SubscriptionExecutor(limits={"queue_messages": 50})
def step(number):
    subscribe(executor, number)
    for _ in range(60): publish(executor)
    try:
        while executor.next_event(number): pass
    except RuntimeError: pass
    executor.complete_connection("c")
""",
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_flat(name: str, full: bool) -> None:
    times, source = RUNS[name]
    ended = python(f"{PROLOGUE}\n{source}\nflat(step, {times if full else times // 10})", env={"GOGC": "100"})
    assert ended.ok() == ""
