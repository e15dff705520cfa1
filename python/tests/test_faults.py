"""A panic or a nil dereference within any export of the library becomes an error of that call, and of no other.

The library of these tests is built with the tag fqfault: it has one more export, which makes the next call fail.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from children import ROOT, python, run

# How each export is reached from Python: what has to be there first, and what calls it.
EXPORTS = {
    "fq_engine_new": ("", "SubscriptionExecutor().warmup()"),
    "fq_engine_close": ("one = fresh()", "one.close()"),
    "fq_metrics": ("one = fresh()", "one.get_metrics()"),
    "fq_subscribe": ("one = fresh()", "subscribe(one)"),
    "fq_publish": ("one = fresh()", "publish(one)"),
    "fq_next": ("one = fresh(); subscribe(one); publish(one)", "one.next_event('s')"),
    "fq_take": ("one = fresh(); subscribe(one); publish(one); handle = one._find('s')", "one._take(handle, 10)"),
    "fq_take_connection": ("one = fresh(); subscribe(one); publish(one)", "one.next_events('c', 10)"),
    "fq_resume": ("one = fresh(); subscribe(one)", "one.listen('s', resume=True)"),
    "fq_complete": ("one = fresh(); subscribe(one)", "one.complete_subscription('s')"),
    "fq_complete_connection": ("one = fresh(); subscribe(one)", "one.complete_connection('c')"),
    "fq_mailbox_new": ("one = fresh()", "one._mailbox()"),
    "fq_mailbox_take": ("one = fresh(); box, fd = one._mailbox()", "one._mailbox_take(box)"),
    "fq_mailbox_calls": ("one = fresh(); box, fd = one._mailbox()", "one._mailbox_calls(box)"),
    "fq_mailbox_close": ("one = fresh(); box, fd = one._mailbox()", "one._mailbox_close(box)"),
    "fq_watch": (
        "one = fresh(); subscribe(one); box, fd = one._mailbox(); handle = one._find('s')",
        "one._watch(handle, box, 1)",
    ),
    "fq_resolver_set": ("one = fresh()", "one.register_resolver('users', lambda event: None)"),
    "fq_calls_take": ("one = fresh(); one.register_resolver('users', lambda event: {'id': '2'}); subscribe(one)", "publish(one)"),
    "fq_call_answer": ("one = fresh()", "one._answer(1, 0, b'{}')"),
    "fq_work": ("one = fresh()", "one.work('users', attempt, group='g')"),
    "fq_work_stop": ("one = fresh(); worker = one.work('users', attempt, group='g')", "worker.close()"),
    "fq_publish_start": ("one = fresh(); box, fd = one._mailbox()", "begin(one, box)"),
    "fq_revoke_start": ("one = fresh()", "one.revoke(user_id='u')"),
    "fq_subscribe_start": ("one = fresh()", "subscribe(one, resume=True)"),
    "fq_finish": ("one = fresh(); box, fd = one._mailbox(); operation = begin(one, box)", "one._finish(operation)"),
    "fq_leave": ("one = fresh(); box, fd = one._mailbox(); operation = begin(one, box)", "one._leave(operation)"),
    "fq_call_begin": (
        "one = fresh(); one.register_resolver('users', lambda event, context: {'id': '2'}); subscribe(one); subscribe(one, 's2', 'c2', user_id='v')",
        "one.publish_event('userCreated', 'users', {'id': '1'}, tenant_id='t')",
    ),
    "fq_schema_set": ("one = SubscriptionExecutor(schema=SDL)", "one.set_schema(SDL)"),
    "fq_sessions_new": ("one = fresh()", "one._sessions(SESSIONS)"),
    "fq_session_open": (
        "one = fresh(); box, fd = one._mailbox(); group = one._sessions(SESSIONS)",
        "one._session_open(group, b'{}', box, 1)",
    ),
    "fq_session_receive": ("one, session = fresh_session()", "one._session_receive(session, HELLO)"),
    "fq_session_take": (
        "one, session = fresh_session(); one._session_receive(session, HELLO)",
        "one._session_take(session, 1000)",
    ),
    "fq_session_shut": ("one, session = fresh_session()", "one._session_shut(session, 1001, 'going')"),
    "fq_session_close": ("one, session = fresh_session()", "one._session_close(session)"),
    "fq_serve": ("one = fresh()", "one._serve(SERVE)"),
    "fq_serve_stop": ("one = fresh(); server, host, port = one._serve(SERVE)", "one._serve_stop(server, 0.0)"),
}

# What Python does not call: the first thing at all, and what waits for the bus without a look for signals.
OF_OTHERS = {"fq_abi", "fq_revoke"}

# What is told and not asked: the caller goes on.
TOLD = {"fq_leave", "fq_call_begin"}

PROLOGUE = """
import ctypes, faulthandler, json, os, sys, threading
from fraiseql.subscriptions import SubscriptionError, SubscriptionExecutor

SESSIONS = b'{"anonymous":true}'
SERVE = b'{"anonymous":true,"host":"127.0.0.1","port":0,"path":"/graphql"}'
SDL = "type Subscription { users: User } type User { id: ID }"
HELLO = '{"type":"connection_init"}'
ADDRESS = {"user_id": "u", "tenant_id": "t"}
when = sys.argv[3] if len(sys.argv) > 3 else "never"
if when == "before": faulthandler.enable()
library = ctypes.CDLL(os.environ["FRAISEQL_LIBRARY"])

def fresh():
    executor = SubscriptionExecutor(); executor.warmup()
    return executor

def fresh_session():
    executor = fresh(); box, _ = executor._mailbox()
    return executor, executor._session_open(executor._sessions(SESSIONS), b"{}", box, 1)

def subscribe(executor, subscription="s", connection="c", **other):
    executor.register_subscription(connection, subscription, "subscription { users { id } }", **{**ADDRESS, **other})

def begin(executor, box):
    return executor._publish_begin(box, 1, "userCreated", "users", {"id": "1"}, **ADDRESS)

def publish(executor):
    return executor.publish_event("userCreated", "users", {"id": "1"}, **ADDRESS)

def works(executor):
    \"\"\"The engine that had the fault goes on, and so do new ones.\"\"\"
    with fresh() as other:
        for one in (executor, other):
            subscribe(one, "after", "after")
            if one is other or not resolving:
                assert publish(one) >= 1
                assert b'"id":"1"' in one.next_event("after", "after")
            one.complete_connection("after")

def attempt(call):
    try:
        call()
    except SubscriptionError as error:
        return [error.code, str(error)]
    except BaseException as error:
        return [type(error).__name__, str(error)]
    return None
"""

PROGRAM = """
exports, kind = json.loads(sys.argv[1]), int(sys.argv[2])
standing = fresh()
if when == "after": faulthandler.enable()
results = {}
for name, (prepare, trigger) in exports.items():
    names = dict(globals())
    exec(prepare, names)
    resolving = "register_resolver" in prepare
    library.fq_fault(name.encode(), ctypes.c_int64(kind))
    results[name] = attempt(lambda: exec(trigger, names))
    if name not in ("fq_engine_new", "fq_engine_close"):
        works(names["one"])
    resolving = False
    works(standing)
    if "one" in names and name != "fq_engine_close":
        names["one"].close()
print(json.dumps(results))
"""


@pytest.fixture(scope="session")
def fault_library(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The library with the tag fqfault: the one that make built, or one made now."""
    given = os.environ.get("FRAISEQL_FAULT_LIBRARY")
    if given:
        assert Path(given).is_file(), f"{given} is missing"
        return given
    path = tmp_path_factory.mktemp("fault") / "libfraiseql.so"
    command = ["go", "build", "-tags", "fqfault", "-buildmode=c-shared", "-o", str(path), "./cmd/libfraiseql"]
    run(command, cwd=ROOT, patience=110).ok()
    return str(path)


def test_every_export_is_here() -> None:
    declared = set(re.findall(r"^ \* int64 (fq_\w+)\(", (ROOT / "cmd/libfraiseql/fraiseql.h").read_text(), re.MULTILINE))
    assert set(EXPORTS) | OF_OTHERS == declared


@pytest.mark.parametrize("when", ["never", "before", "after"])
@pytest.mark.parametrize("kind", [1, 2], ids=["panic", "nil"])
def test_fault(kind: int, when: str, fault_library: str) -> None:
    """kind: see fq_fault. when: at what time faulthandler is switched on, before or after the library is loaded."""
    ended = python_with(PROLOGUE + PROGRAM, json.dumps(EXPORTS), str(kind), when, library=fault_library)
    results = json.loads(ended)
    assert {name: results.pop(name) for name in TOLD} == dict.fromkeys(TOLD)
    wrong = {name: result for name, result in results.items() if not result or result[0] != "INTERNAL_SERVER_ERROR"}
    assert not wrong
    assert not [text for _, text in results.values() if "secret" in text or "nil" in text or "runtime" in text]


@pytest.mark.parametrize("kind", [1, 2], ids=["panic", "nil"])
def test_fault_while_it_loads(kind: int, fault_library: str) -> None:
    program = f"""
library.fq_fault(b"fq_abi", ctypes.c_int64({kind}))
print(json.dumps([attempt(fresh), attempt(fresh)]))
"""
    first, _ = json.loads(python_with(PROLOGUE + program, library=fault_library))
    assert first is not None
    assert "secret" not in first[1]


@pytest.mark.parametrize("kind", [1, 2], ids=["panic", "nil"])
def test_faults_beside_other_threads(kind: int, fault_library: str) -> None:
    """While threads call, faults hit one call each: whoever gets it sees an error, nobody else notices."""
    program = f"""
executor = fresh(); errors = []; done = threading.Event()
def work(number):
    subscribe(executor, str(number), str(number))
    while not done.is_set():
        for call in (lambda: publish(executor), lambda: executor.next_events(str(number), 100), executor.get_metrics):
            problem = attempt(call)
            if problem and problem[0] != 'SLOW_CONSUMER': errors.append(problem)
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
[t.start() for t in threads]
wanted = 0
import time
end = time.monotonic() + 20
for round in range(60):
    for name in (b"fq_publish", b"fq_take_connection", b"fq_metrics"):
        wanted += 1
        library.fq_fault(name, ctypes.c_int64({kind}))
        while len(errors) < wanted:
            assert time.monotonic() < end
            time.sleep(0.0002)
done.set()
[t.join() for t in threads]
print(json.dumps(errors))
"""
    errors = json.loads(python_with(PROLOGUE + program, library=fault_library))
    assert len(errors) == 180
    assert {code for code, _ in errors} == {"INTERNAL_SERVER_ERROR"}


def python_with(program: str, *arguments: str, library: str) -> str:
    return python(program, *arguments, env={"FRAISEQL_LIBRARY": library, "PYTHONFAULTHANDLER": None}).ok()
