"""Managers that a forked worker inherits: gunicorn --preload does that to every application."""

from __future__ import annotations

import pytest
from children import python

PROGRAM = """
import asyncio, os, warnings
from fraiseql.subscriptions import ForkError, SubscriptionManager
warnings.simplefilter("ignore", DeprecationWarning)  # threads of the engine, which do not matter to a fork

manager = SubscriptionManager(schema={schema!r})
manager.register_resolver("users", lambda event: {{"id": "resolved"}})

async def use():
    async with manager:
        await manager.create_subscription("s", "c", "subscription {{ users {{ id }} }}")
        await manager.publish_event("t", "users", {{"id": "1"}})
        assert b'"resolved"' in await manager.get_next_event("s")

def worker(what):
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        what()
        code = 0
    finally:
        os._exit(code)

def refused():
    try:
        manager.executor.get_metrics()
    except ForkError:
        return
    raise AssertionError("the parent's engine is used")

workers = [worker(lambda: asyncio.run(use())) for _ in range(3)]
asyncio.run(use())
workers.append(worker(refused))
print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in workers])
"""


@pytest.mark.parametrize("schema", [None, "type User { id: ID } type Subscription { users: User }"])
def test_a_manager_that_was_not_used_is_inherited(schema: str | None) -> None:
    assert python(PROGRAM.format(schema=schema)).ok() == "[0, 0, 0, 0]\n"
