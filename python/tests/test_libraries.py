"""The two builds of the library: which one a process loads, and that a process that needs both works with both."""

from __future__ import annotations

from pathlib import Path

import pytest
from buses import redis
from children import python
from test_fork import PROLOGUE, THREADS

LOADED = """
import re
from fraiseql.subscriptions import EventBusConfig, SubscriptionExecutor

def loaded():
    with open("/proc/self/maps") as maps:
        return set(re.findall(r"/(libfraiseql[^/ ]*)[.]so", maps.read()))

def memory():
    made = SubscriptionExecutor()
    made.warmup()
    return made

def remote(url="redis://127.0.0.1:1"):
    made = SubscriptionExecutor(EventBusConfig.redis(url, "app"))
    made.warmup()
    return made
"""

CASES = {
    "none": "import fraiseql.subscriptions\nassert loaded() == set()",
    "memory": "with memory(), memory(): assert loaded() == {'libfraiseql-memory'}",
    "remote": "with remote(), remote(): assert loaded() == {'libfraiseql'}",
    "remote, then memory": "with remote(), memory(): assert loaded() == {'libfraiseql'}, 'one is enough'",
    "memory, then remote": "with memory(), remote(), memory(): assert loaded() == {'libfraiseql-memory', 'libfraiseql'}",
    "serve": """
import asyncio
from fraiseql.subscriptions import SubscriptionManager
async def main():
    manager = SubscriptionManager()
    async with await manager.serve("127.0.0.1", 0, anonymous=True):
        assert loaded() == {'libfraiseql'}
    manager.close()
asyncio.run(main())
""",
    "mount": """
from fraiseql.integrations.asgi import SubscriptionApp
with memory() as executor:
    SubscriptionApp(executor, anonymous=True)
    assert loaded() == {'libfraiseql'}
""",
    "memory, then serve": """
import asyncio
first = memory()
from fraiseql.subscriptions import SubscriptionManager
async def main():
    manager = SubscriptionManager()
    async with await manager.serve("127.0.0.1", 0, anonymous=True):
        assert loaded() == {'libfraiseql-memory', 'libfraiseql'}
    manager.close()
asyncio.run(main())
first.close()
""",
    "an executor that is too old to be mounted": """
import asyncio
executor = memory()
for call in (
    lambda: executor._sessions(b"{}"), lambda: executor._session_open(1, b"{}", 1, 1), lambda: executor._session_receive(1, b""),
    lambda: executor._session_take(1, 1), lambda: executor._session_shut(1, 1000), lambda: executor._session_close(1),
    lambda: executor._serve(b"{}"), lambda: executor._serve_stop(1),
):
    try: call()
    except RuntimeError as error: assert "import fraiseql.integrations first" in str(error), error
    else: raise AssertionError("it serves")
executor.close()
""",
}


@pytest.mark.parametrize("name", CASES)
def test_loads_what_it_needs(name: str) -> None:
    ended = python(LOADED + CASES[name], env={"FRAISEQL_LIBRARY": None})
    assert ended.ok() == ""


BOTH = """
import faulthandler
faulthandler.enable()
first = memory()
second = remote(URL)
faulthandler.disable(); faulthandler.enable()
assert loaded() == {"libfraiseql-memory", "libfraiseql"}
errors = []

def publishing(executor, connection):
    try:
        text = "x" * 3000
        executor.register_subscription(connection, "s", "subscription { points { n text } }", **ADDRESS)
        for n in range(400):
            executor.publish_event("moved", "points", {"n": n, "text": text}, **ADDRESS)
            end = time.monotonic() + 30
            while True:
                found = [m for _, m in executor.next_events(connection) if f'"n":{n},'.encode() in m]
                if found:
                    break
                assert time.monotonic() < end, "no message"
                time.sleep(0)
    except BaseException as error:
        errors.append(error)

threads = [
    threading.Thread(target=publishing, args=(executor, f"c{number}"))
    for number, executor in enumerate((first, second, first))
]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not errors, errors
"""


@pytest.mark.parametrize("collector", ["", "1"], ids=["as-it-is", "all-the-time"])
def test_both_at_once(tmp_path: Path, collector: str) -> None:
    """Two runtimes in one process: their threads, collectors and handlers of signals leave each other alone."""
    with redis(tmp_path) as (server, _):
        program = f"URL = 'redis://127.0.0.1:{server.port}'\n" + PROLOGUE + LOADED + BOTH + "first.close(); second.close()"
        environment: dict[str, str | None] = {"FRAISEQL_LIBRARY": None, "GOGC": collector or None}
        ended = python(program, env=environment)
        assert (ended.ok(), ended.err) == ("", "")


def test_fork_with_both(tmp_path: Path) -> None:
    """A child loads copies of its own of what its parent had, and whatever it had not."""
    with redis(tmp_path) as (server, _):
        program = (
            f"URL = 'redis://127.0.0.1:{server.port}'\n"
            + PROLOGUE
            + LOADED
            + """
def both():
    with memory() as one, remote(URL) as other:
        exercise(one, 50)
        other.register_subscription("c", "s", "subscription { users { id } }", **ADDRESS)
        other.publish_event("userCreated", "users", {"id": "1"}, **ADDRESS)
        end = time.monotonic() + 20
        while other.next_event("s") is None:
            assert time.monotonic() < end, "no message"
            time.sleep(0.001)

def grandchild():
    child(both)

first = memory()
child(lambda: refused(first), both, grandchild)
second = remote(URL)
child(lambda: refused(first), lambda: refused(second), both, grandchild)
both()
"""
        )
        ended = python(program, env={"FRAISEQL_LIBRARY": None, "GOGC": "1"}, options=THREADS)
        assert (ended.ok(), ended.err) == ("", "")


def test_fault_of_the_host_with_both(tmp_path: Path) -> None:
    """It is faulthandler's and ends the process, although two runtimes look at it before."""
    told = tmp_path / "told"  # the engine writes to stderr, too
    program = (
        LOADED
        + """
import ctypes, faulthandler, sys
faulthandler.enable(open(sys.argv[1], "w"))
first, second = memory(), remote()
first.get_metrics(); second.get_metrics()
ctypes.string_at(0)
"""
    )
    ended = python(program, str(told), env={"FRAISEQL_LIBRARY": None})
    assert ended.code == -11
    assert told.read_text().startswith("Fatal Python error: Segmentation fault")
