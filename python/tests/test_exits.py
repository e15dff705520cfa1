"""Fifty ways out of a process with the engine in it: each ends with its own exit code, at once, and without a word."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from children import Ended, python, run

# What the engine is doing when the process ends.
STATES = {
    "imported": "import fraiseql.subscriptions",
    "starting": "executor = SubscriptionExecutor()",
    "queued": "executor = SubscriptionExecutor(); subscribe(executor); publish(executor, 10)",
    "closed": "executor = SubscriptionExecutor(); subscribe(executor); executor.close()",
    "cycle": """
executor = SubscriptionExecutor()
class Holder: pass
holder = Holder(); holder.executor = executor; holder.self = holder
executor.register_resolver("users", lambda event, holder=holder: event.data)
subscribe(executor); publish(executor, 1)
del executor, holder
""",
    "daemon threads in calls": """
executor = SubscriptionExecutor(); subscribe(executor)
def work():
    while True:
        publish(executor, 1); executor.next_event("sub1"); executor.get_metrics()
going = [threading.Thread(target=work, daemon=True) for _ in range(4)]
for thread in going: thread.start()
before = 0
until(lambda: executor.get_metrics()["events_published"] > 200)
""",
    "daemon thread in resolvers": """
executor = SubscriptionExecutor()
executor.register_resolver("users", lambda event, variables: {"id": event.id, "n": len(variables)})
subscribe(executor)
def work():
    while True:
        publish(executor, 1); executor.next_events("conn1", 100)
threading.Thread(target=work, daemon=True).start()
until(lambda: executor.get_metrics()["events_published"] > 200)
""",
    "daemon thread in listen": """
executor = SubscriptionExecutor(); subscribe(executor)
heard = []
async def hear():
    async for message in executor.listen("sub1"):
        heard.append(message)
threading.Thread(target=lambda: asyncio.run(hear()), daemon=True).start()
publish(executor, 5)
until(lambda: len(heard) == 5)
""",
    "serving": """
from fraiseql.subscriptions import SubscriptionManager
manager = SubscriptionManager()
ready = threading.Event()
async def serve():
    server = await manager.serve("127.0.0.1", 0, anonymous=True)
    ready.set()
    await asyncio.Event().wait()
threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
assert ready.wait(20)
""",
    "a hundred": "executors = [SubscriptionExecutor() for _ in range(100)]; [publish(e, 1) for e in executors]",
}

# How it ends, and the exit code.
WAYS = {
    "end of the program": ("", 0),
    "sys.exit": ("sys.exit(3)", 3),
    "os._exit": ("os._exit(4)", 4),
    "exception": ("raise ValueError('an end')", 1),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(20)", -15),
}

PROLOGUE = """
import asyncio, atexit, os, signal, sys, threading, time
from fraiseql.subscriptions import SubscriptionExecutor

def subscribe(executor, connection="conn1", subscription="sub1"):
    executor.register_subscription(connection, subscription, "subscription { users { id } }", user_id="u", tenant_id="t")

def publish(executor, count):
    for _ in range(count):
        executor.publish_event("userCreated", "users", {"id": "1"}, user_id="u", tenant_id="t")

def until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "not so in time"
        time.sleep(0.001)
"""


def ends(state: str, way: str) -> Ended:
    return python(f"{PROLOGUE}\n{STATES[state]}\n{WAYS[way][0]}")


def check(ended: Ended, code: int, said: str = "") -> None:
    assert ended.code == code, f"ended with {ended.code}, not {code}\n{ended.err}"
    assert ended.out == ""
    if said:
        assert ended.err.rstrip().endswith(said), ended.err
        # Python 3.11 and later show the cancelled wait as the cause of an interrupt.
        assert ended.err.count("Traceback") <= (2 if said == "KeyboardInterrupt" else 1), ended.err
        assert "Exception ignored" not in ended.err
        assert "Fatal" not in ended.err
    else:
        assert ended.err == ""


@pytest.mark.parametrize("state", STATES)
def test_state(state: str) -> None:
    """Five ways out of each of ten states, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda way: ends(state, way), WAYS))
    for way, ended in zip(WAYS, results, strict=True):
        check(ended, WAYS[way][1], "ValueError: an end" if way == "exception" else "")


def test_atexit_uses_a_living_executor() -> None:
    ended = python(
        PROLOGUE
        + """
executor = SubscriptionExecutor(); subscribe(executor)
def last():
    publish(executor, 3)
    print([executor.next_event("sub1") is not None for _ in range(4)])
atexit.register(last)
"""
    )
    assert ended.ok() == "[True, True, True, False]\n"
    assert ended.err == ""


def test_atexit_makes_an_executor() -> None:
    ended = python(
        PROLOGUE
        + """
def last():
    with SubscriptionExecutor() as executor:
        subscribe(executor); publish(executor, 1)
        print(executor.next_event("sub1"))
atexit.register(last)
"""
    )
    assert ended.ok().startswith("b'{")
    assert ended.err == ""


def test_finalizer_at_the_very_end() -> None:
    """An object that module teardown finalises may still have an executor; whatever it does, the process ends well."""
    ended = python(
        PROLOGUE
        + """
class Last:
    def __init__(self):
        self.executor = SubscriptionExecutor(); subscribe(self.executor)
    def __del__(self):
        self.executor.publish_event("userCreated", "users", {"id": "1"}, user_id="u", tenant_id="t")
        self.executor.next_event("sub1")
        self.executor.close()
last = Last()
sys.modules["kept by"] = last
"""
    )
    ended.ok()
    assert ended.err == ""


def test_exit_within_a_resolver() -> None:
    ended = python(
        PROLOGUE
        + """
executor = SubscriptionExecutor()
def resolve(event): sys.exit(7)
executor.register_resolver("users", resolve)
subscribe(executor); publish(executor, 1)
"""
    )
    assert (ended.code, ended.out) == (7, "")
    assert "Traceback" not in ended.err


def test_exit_during_listen() -> None:
    for statement, code in (("sys.exit(5)", 5), ("os._exit(6)", 6)):
        ended = python(
            PROLOGUE
            + f"""
executor = SubscriptionExecutor(); subscribe(executor)
async def main():
    async def hear():
        async for message in executor.listen("sub1"): pass
    task = asyncio.create_task(hear())
    await asyncio.sleep(0)
    {statement}
asyncio.run(main())
"""
        )
        check(ended, code)


def test_loop_that_was_never_closed() -> None:
    """The loop stops in the middle of a wait and is left to the interpreter's end."""
    ended = python(
        PROLOGUE
        + """
executor = SubscriptionExecutor(); subscribe(executor)
async def hear():
    async for message in executor.listen("sub1"): pass
loop = asyncio.new_event_loop()
task = loop.create_task(hear())
loop.run_until_complete(asyncio.sleep(0))  # a turn: it waits
os._exit(0)
"""
    )
    check(ended, 0)


def test_interrupt_during_listen() -> None:
    """SIGINT ends asyncio.run as it does without the engine."""
    ended = python(
        PROLOGUE
        + """
executor = SubscriptionExecutor(); subscribe(executor)
async def main():
    asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGINT)
    async for message in executor.listen("sub1"): pass
asyncio.run(main())
"""
    )
    check(ended, -2, "KeyboardInterrupt")


def test_exec_leaves_nothing_behind() -> None:
    """A new program in the same process: no descriptor of the engine and no blocked signal is handed on."""
    look = "import os; print(sorted(os.listdir('/proc/self/fd'))); print([l for l in open('/proc/self/status') if l[:6] == 'SigBlk'])"
    plain = run([sys.executable, "-c", look]).ok()
    ended = python(
        PROLOGUE
        + f"""
executor = SubscriptionExecutor(); subscribe(executor); publish(executor, 1)
async def main():
    async for message in executor.listen("sub1"): break
    os.execv(sys.executable, [sys.executable, "-c", {look!r}])
asyncio.run(main())
"""
    )
    assert ended.ok() == plain
