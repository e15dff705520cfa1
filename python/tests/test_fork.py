"""Forks: before and after everything, with threads, by hand and by multiprocessing. A child makes an executor of its own.

Each child publishes and reads with a Go collector that runs all the time (GOGC=1) and with goroutines of a server, so
that a runtime that was copied half would show. Every program has a hard deadline.
"""

from __future__ import annotations

import pytest
from children import Ended, python

PROLOGUE = """
import asyncio, gc, multiprocessing, os, signal, sys, threading, time, traceback

ADDRESS = {"user_id": "u", "tenant_id": "t"}

def subscribe(executor, connection="conn1", subscription="sub1"):
    executor.register_subscription(connection, subscription, "subscription { users { id text } }", **ADDRESS)

def exercise(executor, rounds=300, connection="conn1"):
    \"\"\"Publishes and reads about 1 MB, which the Go collector sees many times.\"\"\"
    subscribe(executor, connection)
    for number in range(rounds):
        data = {"id": str(number), "text": "x" * 3000}
        assert executor.publish_event("userCreated", "users", data, **ADDRESS) >= 1
        assert f'"id":"{number}"'.encode() in executor.next_event("sub1", connection)
    assert executor.next_event("sub1", connection) is None
    executor.complete_connection(connection)

def fresh(rounds=300):
    from fraiseql.subscriptions import SubscriptionExecutor
    with SubscriptionExecutor() as executor:
        exercise(executor, rounds)

def heard():
    \"\"\"Waits in an event loop: mailbox, eventfd and threads of the engine.\"\"\"
    from fraiseql.subscriptions import SubscriptionExecutor
    executor = SubscriptionExecutor()
    subscribe(executor)
    async def main():
        async def later():
            executor.publish_event("userCreated", "users", {"id": "1", "text": ""}, **ADDRESS)
        task = asyncio.create_task(later())
        async for message in executor.listen("sub1"):
            break
        await task
    asyncio.run(asyncio.wait_for(main(), 20))
    executor.close()

def refused(executor):
    \"\"\"Every method of a parent's executor says what to do, and none hangs.\"\"\"
    from fraiseql.subscriptions import ForkError
    calls = [
        lambda: subscribe(executor, "other"),
        lambda: executor.publish_event("userCreated", "users", {"id": "1"}, **ADDRESS),
        lambda: executor.next_event("sub1"),
        lambda: executor.next_events("conn1"),
        lambda: executor.complete_subscription("sub1"),
        lambda: executor.complete_connection("conn1"),
        lambda: executor.subscriptions_by_channel("users"),
        lambda: executor.register_resolver("users", lambda event: None),
        lambda: executor.get_metrics(),
        lambda: executor.warmup(),
        lambda: executor.listen("sub1"),
        lambda: asyncio.run(executor.next_event_async("sub1")),
    ]
    for number, call in enumerate(calls):
        try:
            call()
        except ForkError as error:
            assert error.code == "FORK" and "create the executor in the worker" in str(error), error
        else:
            raise AssertionError(f"call {number} was not refused")
    executor.close()

def child(*does):
    \"\"\"Forks, does something there, and wants exit code 0 of it within 20 seconds.\"\"\"
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            for do in does:
                do()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    wait_for(pid)

def wait_for(pid):
    end = time.monotonic() + 20
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0, os.waitstatus_to_exitcode(status)
            return
        if time.monotonic() > end:
            os.kill(pid, signal.SIGABRT)
            raise AssertionError("the child hangs")
        time.sleep(0.002)
"""

# Python 3.12 and later warn of every fork while there are threads, the engine's among them.
THREADS = ("-W", "ignore:This process:DeprecationWarning")

CASES = {
    "before import": "child(fresh, heard)\nfresh()",
    "after import": "import fraiseql.subscriptions\nchild(fresh, heard)\nfresh()",
    "after import of the native module": """
import fraiseql.subscriptions
child(fresh, heard); child(fresh, heard)
fresh()
""",
    "while the first one starts": """
from fraiseql.subscriptions import SubscriptionExecutor
executor = SubscriptionExecutor()
child(lambda: refused(executor), fresh, heard)
exercise(executor)
""",
    "after one was made": """
from fraiseql.subscriptions import SubscriptionExecutor
executor = SubscriptionExecutor(); executor.warmup()
child(lambda: refused(executor), fresh, heard)
exercise(executor)
""",
    "after one was used": """
from fraiseql.subscriptions import SubscriptionExecutor
executor = SubscriptionExecutor(); exercise(executor); subscribe(executor)
child(fresh, lambda: refused(executor), heard)
executor.publish_event("userCreated", "users", {"id": "1"}, **ADDRESS)
assert executor.next_event("sub1") is not None
heard()
""",
    "after one was closed": """
fresh(); heard()
child(fresh, heard)
fresh()
""",
    "child lets go of the parent's": """
from fraiseql.subscriptions import SubscriptionExecutor
executor = SubscriptionExecutor(); exercise(executor); subscribe(executor)
def let_go():
    global executor
    del executor
    gc.collect()
child(let_go, fresh)
exercise(executor, connection="conn2")
""",
    "many at once": """
from fraiseql.subscriptions import SubscriptionExecutor
executors = [SubscriptionExecutor() for _ in range(20)]
[e.warmup() for e in executors]
child(lambda: [refused(e) for e in executors], fresh, lambda: [fresh(10) for _ in range(20)])
[exercise(e, 10) for e in executors]
""",
    "grandchildren": """
from fraiseql.subscriptions import SubscriptionExecutor
executor = SubscriptionExecutor(); exercise(executor)
def deeper():
    own = SubscriptionExecutor(); exercise(own)
    child(lambda: refused(own), lambda: refused(executor), fresh)
    exercise(own)
child(deeper, fresh)
exercise(executor)
""",
    "children of a child that made none": """
fresh()
child(lambda: child(lambda: child(fresh, heard), fresh), fresh)
fresh()
""",
    "threads in calls": """
from fraiseql.subscriptions import SubscriptionExecutor
executor = SubscriptionExecutor()
going = True
def work(number):
    count = 0
    while going:
        count += 1
        connection = f"{number}-{count}"
        subscribe(executor, connection)
        executor.publish_event("userCreated", "users", {"id": "1", "text": "x" * 1000}, **ADDRESS)
        executor.next_events(connection)
        executor.complete_connection(connection)
threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
[t.start() for t in threads]
for _ in range(8):
    child(lambda: refused(executor), lambda: fresh(50))
going = False
[t.join() for t in threads]
exercise(executor)
""",
    "threads that make executors": """
from fraiseql.subscriptions import SubscriptionExecutor
going = True
def work():
    while going:
        with SubscriptionExecutor() as executor:
            executor.warmup()
threads = [threading.Thread(target=work) for n in range(2)]
[t.start() for t in threads]
for _ in range(8):
    child(lambda: fresh(50))
going = False
[t.join() for t in threads]
fresh()
""",
    "within a running loop": """
from fraiseql.subscriptions import SubscriptionExecutor
executor = SubscriptionExecutor(); subscribe(executor)
async def main():
    listener = executor.listen("sub1")
    executor.publish_event("userCreated", "users", {"id": "1"}, **ADDRESS)
    await listener.__anext__()
    waiting = asyncio.ensure_future(listener.__anext__())
    await asyncio.sleep(0)
    child(lambda: refused(executor), fresh)
    executor.publish_event("userCreated", "users", {"id": "2"}, **ADDRESS)
    assert b'"2"' in await waiting
asyncio.run(asyncio.wait_for(main(), 30))
""",
    "while it serves": """
from fraiseql.subscriptions import SubscriptionManager
import socket
async def serve(action):
    manager = SubscriptionManager()
    server = await manager.serve("127.0.0.1", 0, anonymous=True)
    socket.create_connection(("127.0.0.1", server.port), 5).close()
    action()
    socket.create_connection(("127.0.0.1", server.port), 5).close()
    await server.close()
    manager.close()
asyncio.run(asyncio.wait_for(serve(lambda: child(fresh, heard)), 30))
""",
    "from a resolver": """
from fraiseql.subscriptions import SubscriptionExecutor
executor = SubscriptionExecutor()
def resolve(event):
    child(lambda: refused(executor), fresh)
    return {"id": "7"}
executor.register_resolver("users", resolve)
subscribe(executor)
executor.publish_event("userCreated", "users", {"id": "1"}, **ADDRESS)
assert b'"id":"7"' in executor.next_event("sub1")
""",
    "from a thread": """
from fraiseql.subscriptions import SubscriptionExecutor
executor = SubscriptionExecutor(); executor.warmup()
problems = []
def work():
    try:
        child(lambda: refused(executor), fresh)
    except BaseException as error:
        problems.append(error)
thread = threading.Thread(target=work); thread.start(); thread.join()
assert not problems, problems
exercise(executor)
""",
    "child that ends like a program": """
from fraiseql.subscriptions import SubscriptionExecutor
executor = SubscriptionExecutor(); exercise(executor); subscribe(executor)
pid = os.fork()
if pid == 0:
    own = SubscriptionExecutor(); exercise(own)
    sys.exit(0)
wait_for(pid)
exercise(executor, connection="conn2")
""",
}


def program(case: str, env: dict[str, str | None] | None = None) -> Ended:
    return python(PROLOGUE + CASES[case], options=THREADS, env={"GOGC": "1", **(env or {})})


@pytest.mark.parametrize("case", CASES)
def test_fork(case: str) -> None:
    ended = program(case)
    assert ended.ok() == ""
    assert ended.err == ""


def test_fifty_forks_in_a_row() -> None:
    """Nothing piles up: descriptors of the parent stay the same."""
    ended = python(
        PROLOGUE
        + """
from fraiseql.subscriptions import SubscriptionExecutor
executor = SubscriptionExecutor(); exercise(executor)
count = lambda: len(os.listdir("/proc/self/fd"))
before = count()
for _ in range(50):
    child(lambda: refused(executor), lambda: fresh(5))
assert count() == before, (count(), before)
exercise(executor)
""",
        options=THREADS,
    )
    assert (ended.ok(), ended.err) == ("", "")


def test_library_that_was_replaced() -> None:
    """An upgrade that took the file away leaves the parent alone; a child works or says what it misses."""
    ended = python(
        PROLOGUE
        + """
import shutil, tempfile
import fraiseql
folder = tempfile.mkdtemp()
path = os.path.join(folder, "libfraiseql.so")
shutil.copy(os.path.join(os.path.dirname(fraiseql.__file__), "libfraiseql.so"), path)
os.environ["FRAISEQL_LIBRARY"] = path
fresh(5)
os.unlink(path)
fresh(5)
def look():
    from fraiseql.subscriptions import SubscriptionExecutor
    try:
        SubscriptionExecutor().warmup()
    except Exception as error:
        assert "libfraiseql" in str(error), error
child(look)
""",
        options=THREADS,
    )
    assert (ended.ok(), ended.err) == ("", "")


MODULE = """
import multiprocessing, os, sys, threading
from fraiseql.subscriptions import SubscriptionExecutor, ForkError

ADDRESS = {"user_id": "u", "tenant_id": "t"}
kept = None

def job(number):
    if kept is not None:
        try:
            kept.get_metrics()
        except ForkError:
            pass
        else:
            raise AssertionError("the parent's executor was usable")
    executor = SubscriptionExecutor()
    executor.register_subscription("c", number, "subscription { n { i } }", **ADDRESS)
    for i in range(200):
        executor.publish_event("e", "n", {"i": i, "text": "x" * 2000}, **ADDRESS)
        assert b'"i":%d' % i in executor.next_event(number)
    return number * number

def main(method, processes):
    global kept
    if method == "fork":
        kept = SubscriptionExecutor(); kept.warmup()
    context = multiprocessing.get_context(method)
    with context.Pool(processes) as pool:
        assert pool.map(job, range(8)) == [n * n for n in range(8)]
        pool.close(); pool.join()
    from concurrent.futures import ProcessPoolExecutor
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        assert list(pool.map(job, range(8))) == [n * n for n in range(8)]
    one = context.Process(target=job, args=(3,))
    one.start(); one.join(20)
    assert one.exitcode == 0, one.exitcode
    kept = None
    assert job(5) == 25

if __name__ == "__main__":
    main(sys.argv[1], 2)
"""


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing(method: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("job") / "job.py"
    path.write_text(MODULE)
    # The text is run as a file, for spawn imports the main module again.
    ended = python(
        f"import os, sys; os.execv(sys.executable, [sys.executable, *{THREADS!r}, {str(path)!r}, {method!r}])",
        env={"GOGC": "1", "PYTHONWARNINGS": "error,ignore:This process:DeprecationWarning"},
    )
    assert (ended.ok(), ended.err) == ("", "")


def test_errors_of_a_worker_reach_the_parent(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Exceptions of the engine are pickled with their code."""
    path = tmp_path_factory.mktemp("job") / "job.py"
    path.write_text(
        """
import multiprocessing
from fraiseql.subscriptions import InvalidQuery, SubscriptionExecutor

def job(query):
    SubscriptionExecutor().register_subscription("c", "s", query)

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        try:
            pool.apply(job, ("subscription { a ",))
        except InvalidQuery as error:
            print(error.code, error.locations)
        pool.close(); pool.join()
"""
    )
    ended = python(f"import os, sys; os.execv(sys.executable, [sys.executable, {str(path)!r}])")
    assert ended.ok().startswith("GRAPHQL_PARSE_FAILED [{'line': 1")
