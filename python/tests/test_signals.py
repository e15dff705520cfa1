"""Signals belong to Python: its handlers run, its dispositions stay, and crashes are still shown."""

from __future__ import annotations

import pytest
from children import python

PROLOGUE = """
import asyncio, ctypes, faulthandler, os, signal, sys, tempfile, threading, time
from fraiseql.subscriptions import SubscriptionExecutor

ADDRESS = {"user_id": "u", "tenant_id": "t"}

def subscribe(executor, subscription="sub1"):
    executor.register_subscription("conn1", subscription, "subscription { users { id } }", **ADDRESS)

def publish(executor, number):
    return executor.publish_event("userCreated", "users", {"id": str(number)}, **ADDRESS)

def used():
    executor = SubscriptionExecutor(); subscribe(executor); publish(executor, 1)
    assert executor.next_event("sub1") is not None
    return executor
"""


def test_storm() -> None:
    """Timers, threads and another process send signals all the time; every handler runs, no message is lost."""
    ended = python(
        PROLOGUE
        + """
counts = {}
def handler(number, frame): counts[number] = counts.get(number, 0) + 1
for number in (signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGVTALRM, signal.SIGHUP, signal.SIGCHLD, signal.SIGWINCH):
    signal.signal(number, handler)
executor = used()
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
signal.setitimer(signal.ITIMER_VIRTUAL, 0.0005, 0.0005)
pid = os.fork()
if pid == 0:
    signal.setitimer(signal.ITIMER_REAL, 0); signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    end = time.monotonic() + 30
    try:
        while time.monotonic() < end and os.getppid() != 1:
            for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGHUP, signal.SIGWINCH):
                os.kill(os.getppid(), number)
            time.sleep(0.0005)
    finally:
        os._exit(0)
going = True
def shoot():
    main = threading.main_thread().ident
    while going:
        signal.pthread_kill(main, signal.SIGUSR2)
        time.sleep(0.0005)
threading.Thread(target=shoot, daemon=True).start()
end, number = time.monotonic() + 3, 0
while time.monotonic() < end:
    for _ in range(200):
        number += 1
        assert publish(executor, number) == 1
        assert executor.next_event("sub1").decode().count(f'"{number}"') == 1
    other = SubscriptionExecutor(); subscribe(other); assert publish(other, 1) == 1; other.close()
going = False
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
signal.setitimer(signal.ITIMER_REAL, 0); signal.setitimer(signal.ITIMER_VIRTUAL, 0)
for wanted in (signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGVTALRM, signal.SIGHUP):
    assert counts.get(wanted, 0) > 20, counts
""",
        options=("-W", "ignore:This process:DeprecationWarning"),
    )
    assert (ended.ok(), ended.err) == ("", "")


def test_storm_while_it_listens() -> None:
    ended = python(
        PROLOGUE
        + """
counts = 0
def handler(number, frame):
    global counts
    counts += 1
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
executor = used()
async def main():
    async def feed():
        for number in range(3000):
            publish(executor, number)
            if number % 50 == 0: await asyncio.sleep(0.001)
    task = asyncio.create_task(feed())
    expected = 0
    async for message in executor.listen("sub1"):
        assert f'"{expected}"'.encode() in message, (expected, message)
        expected += 1
        if expected == 3000: break
    await task
asyncio.run(asyncio.wait_for(main(), 30))
signal.setitimer(signal.ITIMER_REAL, 0)
assert counts > 10
"""
    )
    assert (ended.ok(), ended.err) == ("", "")


def test_dispositions_stay() -> None:
    """Whatever Python had decided about a signal is so afterwards, of the process and of the main thread's mask."""
    ended = python(
        PROLOGUE
        + """
signal.signal(signal.SIGUSR1, lambda *_: None)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
kinds = sorted(set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP})

libc = ctypes.CDLL(None)
def action(number):
    # struct sigaction of glibc: handler, mask of 128 bytes, flags
    buffer = ctypes.create_string_buffer(256)
    assert libc.sigaction(number, None, buffer) == 0
    return int.from_bytes(buffer.raw[:8], "little")
def words():
    with open("/proc/self/status") as file:
        return [line for line in file if line[:6] in ("SigBlk", "SigIgn")]

before, seen, status = [signal.getsignal(k) for k in kinds], {k: action(k) for k in kinds if k < 32}, words()
executor = used()
assert [signal.getsignal(k) for k in kinds] == before
assert words() == status, (words(), status)
# What Go needs for itself: faults, and its own preemption. Everything else is as it was.
own = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGURG, signal.SIGPROF}
changed = {k for k in seen if action(k) != seen[k]}
handled = {signal.SIGPIPE, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM, signal.SIGPIPE}
assert not changed & handled, changed & handled
print(sorted(k.name for k in changed - own))
"""
    )
    assert ended.err == ""
    assert ended.code == 0


@pytest.mark.parametrize(
    ("before", "code"),
    [
        ("", 1),  # Python ignores SIGPIPE, and write says BrokenPipeError
        ("signal.signal(signal.SIGPIPE, signal.SIG_DFL)", -13),
        ("signal.signal(signal.SIGPIPE, lambda *_: os._exit(9))", 9),
    ],
)
def test_broken_pipe(before: str, code: int) -> None:
    """SIGPIPE does after loading what it did before."""
    ended = python(
        PROLOGUE
        + f"""
{before}
executor = used()
read, write = os.pipe(); os.close(read)
os.write(write, b"x")
"""
    )
    assert ended.code == code
    assert ("BrokenPipeError" in ended.err) == (code == 1)


@pytest.mark.parametrize("number", ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGQUIT", "SIGALRM"])
def test_default_actions(number: str) -> None:
    """Signals that nobody handles end the process as before."""
    ended = python(PROLOGUE + f"executor = used(); os.kill(os.getpid(), signal.{number}); time.sleep(20)")
    assert ended.code == -int(getattr(__import__("signal"), number))
    assert (ended.out, ended.err) == ("", "")


@pytest.mark.parametrize(
    "wait",
    [
        "asyncio.run(hear())",
        "asyncio.run(executor.next_event_async('sub1'))",
        "asyncio.run(executor.next_event_async('sub1', timeout=30))",
        "\nwhile True: publish(executor, 1); executor.next_event('sub1')",
        "\nwhile True: SubscriptionExecutor().warmup()",
    ],
    ids=["listen", "next_event_async", "timeout", "calls", "constructors"],
)
def test_keyboard_interrupt(wait: str) -> None:
    """Ctrl-C gets through in every wait and between calls."""
    ended = python(
        PROLOGUE
        + f"""
executor = used()
async def hear():
    async for message in executor.listen("sub1"): pass
begun = threading.Event()
def interrupt():
    begun.wait(); time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
try:
    begun.set()
    {wait.replace(chr(10), chr(10) + "    ")}
except KeyboardInterrupt:
    print("interrupted")
assert publish(executor, 1) == 1
"""
    )
    assert (ended.ok(), ended.err) == ("interrupted\n", "")


@pytest.mark.parametrize("when", ["before", "after", "after, engine in use"])
@pytest.mark.parametrize(
    "crash",
    ["ctypes.string_at(8)", "os.kill(os.getpid(), signal.SIGSEGV)", "os.abort()", "work()"],
    ids=["read", "sent", "abort", "thread"],
)
def test_crashes_are_shown(when: str, crash: str) -> None:
    """A fault of C code outside the engine is dumped by faulthandler and kills by its signal, as without the engine."""
    enable = "faulthandler.enable()"
    ended = python(
        PROLOGUE
        + f"""
{enable if when == "before" else ""}
executor = used()
{enable if "after" in when else ""}
{"executor.get_metrics()" if "use" in when else ""}
def work():
    thread = threading.Thread(target=ctypes.string_at, args=(8,)); thread.start(); thread.join()
{crash}
time.sleep(20)
""",
        env={"PYTHONFAULTHANDLER": None},
    )
    assert ended.code == (-6 if "abort" in crash else -11), (ended.code, ended.err)
    assert ended.err.startswith("Fatal Python error: " + ("Aborted" if "abort" in crash else "Segmentation fault"))
    assert 'File "<string>", line ' in ended.err
    assert "goroutine" not in ended.err


def test_crash_in_a_forked_child() -> None:
    """The child's library and that of its parent, which is dead there, let faulthandler have the fault."""
    ended = python(
        PROLOGUE
        + """
executor = used()
faulthandler.enable()
executor.get_metrics()
pid = os.fork()
if pid == 0:
    own = used(); own.get_metrics()
    ctypes.string_at(8)
_, status = os.waitpid(pid, 0)
sys.exit(100 - os.waitstatus_to_exitcode(status))
""",
        options=("-W", "ignore:This process:DeprecationWarning"),
        env={"PYTHONFAULTHANDLER": None},
    )
    assert ended.code == 111
    assert ended.err.startswith("Fatal Python error: Segmentation fault")
    assert "goroutine" not in ended.err


def test_crash_without_faulthandler() -> None:
    ended = python(PROLOGUE + "executor = used(); ctypes.string_at(8)", env={"PYTHONFAULTHANDLER": None})
    assert ended.code == -11
    assert ended.err == ""


def test_dump_on_request() -> None:
    """faulthandler.register and dump_traceback_later go on working."""
    ended = python(
        PROLOGUE
        + """
faulthandler.register(signal.SIGUSR1)
executor = used()
os.kill(os.getpid(), signal.SIGUSR1)  # before the thread below, which may take a signal until it has masked them
later = tempfile.TemporaryFile()
faulthandler.dump_traceback_later(0.05, file=later)
while b"most recent call first" not in os.pread(later.fileno(), 10000, 0):  # children.python has a timeout
    time.sleep(0.005)
assert b"Timeout (0:00:00.050000)!" in os.pread(later.fileno(), 10000, 0)
"""
    )
    assert ended.ok() == ""
    assert "Current thread" in ended.err
