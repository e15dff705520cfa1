"""The first executor of a process is made on a thread of its own: whoever comes meanwhile; and where the module refuses."""

from __future__ import annotations

import pytest
from children import python

PROLOGUE = """
import gc, os, sys, threading
from fraiseql.subscriptions import SubscriptionExecutor
first = SubscriptionExecutor()

def works(executor):
    executor.register_subscription("c", "s", "subscription { users { id } }")
    assert executor.publish_event("userCreated", "users", {"id": 1}) == 1
    assert executor.next_event("s")
"""

MEANWHILE = {
    "threads wait": """
done = []
def wait(number):
    first.register_subscription("c", number, "subscription { users { id } }")
    done.append(number)
threads = [threading.Thread(target=wait, args=(number,)) for number in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert sorted(done) == list(range(8))
""",
    "it is dropped": "del first; gc.collect(); works(SubscriptionExecutor())",
    "it is closed": "first.close(); first.close(); works(SubscriptionExecutor())",
    "a second one": "second = SubscriptionExecutor(); works(second); works(first)",
    "a second one with a schema": """
schema = "type User { id: ID } type Subscription { users: User @source(channel: \\"users\\") }"
works(SubscriptionExecutor(schema=schema)); works(first)
""",
    "a thread is left waiting": "threading.Thread(target=first.warmup, daemon=True).start()",
    "a thread publishes at the end": """
first.warmup()
def publish():
    while True: first.publish_event("e", "users", {"text": "x" * 40_000})
threading.Thread(target=publish, daemon=True).start()
""",
    "timers of the host stay as exact as they were": """
import ctypes
slack = lambda: ctypes.CDLL(None).prctl(30, 0, 0, 0, 0)
before, found = slack(), []
works(first)
thread = threading.Thread(target=lambda: found.append(slack()))
thread.start(); thread.join()
assert before > 0 and [slack(), *found] == [before, before]
""",
    "a fork": """
child = os.fork()
if child == 0:
    try: first.warmup()
    except RuntimeError as error: assert error.code == "FORK" and "create the executor in the worker" in str(error)
    else: os._exit(3)
    first.close(); works(SubscriptionExecutor()); os._exit(0)
assert os.waitpid(child, 0)[1] == 0
works(first)
""",
}


@pytest.mark.parametrize("meanwhile", MEANWHILE)
def test_meanwhile(meanwhile: str) -> None:
    python(PROLOGUE + MEANWHILE[meanwhile]).ok()


BARE = """
import asyncio, importlib.machinery as machinery, logging, random, sys, sysconfig
sources = machinery.FileFinder.path_hook((machinery.SourceFileLoader, machinery.SOURCE_SUFFIXES))
sys.path_hooks[:] = [sources]  # as an interpreter that has no suffix for the module
sys.path_importer_cache.clear()
"""


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("sysconfig.get_config_vars()['Py_GIL_DISABLED'] = 1", "free-threaded Python.*use the ordinary build"),
        ("machinery.EXTENSION_SUFFIXES[:] = ['.cpython-313t-x86_64-linux-gnu.so']", "needs CPython 3.10"),
        ("", "cannot be loaded: "),
        ("from pathlib import Path; Path.exists = lambda self: False", "not built.*pip install"),
    ],
)
def test_a_module_that_cannot_be_loaded(change: str, says: str) -> None:
    """Free-threaded Python finds no module of the stable ABI; it says what to do, whatever is imported."""
    for module in ("fraiseql.subscriptions", "fraiseql._fraiseql_rs", "fraiseql.integrations.asgi"):
        program = f"""
import re
try: import {module}
except ImportError as error:
    assert re.search({says!r}, str(error)), error
    assert isinstance(error.__cause__, ImportError)
else: raise AssertionError
"""
        python(BARE + change + program).ok()


def test_a_library_that_is_not_there() -> None:
    program = """
from fraiseql.subscriptions import SubscriptionExecutor
executor = SubscriptionExecutor()
for _ in range(2):
    try: executor.warmup()
    except ImportError as error: assert "/nowhere/libfraiseql.so" in str(error), error
    else: raise AssertionError
executor.close()
"""
    python(program, env={"FRAISEQL_LIBRARY": "/nowhere/libfraiseql.so"}).ok()


def test_a_library_of_something_else() -> None:
    program = """
from fraiseql.subscriptions import SubscriptionExecutor
try: SubscriptionExecutor().warmup()
except ImportError as error: assert "fq_" in str(error), error
else: raise AssertionError
"""
    python(program, env={"FRAISEQL_LIBRARY": "libm.so.6"}).ok()


@pytest.mark.parametrize("kind", ["legacy", "isolated"])
def test_subinterpreters_are_refused(kind: str) -> None:
    program = f"""
import sys
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
    one = interpreters.create({kind!r})
else:
    import _xxsubinterpreters as interpreters
    one = interpreters.create(isolated={kind == "isolated"})
path = sys.path
code = f"import sys; sys.path[:] = {{path!r}}\\nimport fraiseql._native"
try:
    failed = interpreters.run_string(one, code)
    text = failed and str(failed)
except Exception as error:
    text = str(error)
assert text and "ImportError" in text and "interpreter" in text, text
"""
    python(program).ok()


def test_two_of_the_module() -> None:
    """What was made by the one goes on, and the other has hooks of its own."""
    program = (
        PROLOGUE
        + """
from fraiseql import _native
del sys.modules["fraiseql._native"]
import fraiseql
del fraiseql._native
from fraiseql import _native as again
assert again is not _native
class Refused(RuntimeError): pass
again.configure(error_factory=lambda text: Refused(text))
other = again.Executor(b'{"schema":null,"bus":{"type":"memory"}}')
works(other); works(first)
try: other.publish_event("", "", {})
except Refused: pass
else: raise AssertionError
try: first.publish_event("", "", {})
except Refused: raise AssertionError
except RuntimeError: pass
"""
    )
    python(program).ok()


def test_importing_starts_no_thread() -> None:
    program = """
import os
import fraiseql.subscriptions
from fraiseql import _native
assert len(os.listdir("/proc/self/task")) == 1
"""
    python(program).ok()
