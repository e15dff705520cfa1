"""What waits for a bus that is away: threads, deadlines, signals, and what is published meanwhile."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from buses import redis
from children import python
from fraiseql.subscriptions import BusUnavailable, EventBusConfig, SubscriptionManager

AWAY = {
    "redis": "EventBusConfig.redis('redis://127.0.0.1:1?publish_timeout=30s', 'g')",
    "postgresql": "EventBusConfig.postgresql('postgresql://127.0.0.1:1/x?publish_timeout=30s')",
    "nats": "EventBusConfig.nats('nats://127.0.0.1:1?publish_timeout=30s')",
}
CALLS = {
    "publish": "executor.publish_event('t', 'ch', {'v': 1})",
    "register": "executor.register_subscription('c', 's', 'subscription { ch { v } }')",
    "resume": "executor.register_subscription('c', 's', 'subscription { ch { v } }', resume=True)",
    "revoke": "executor.revoke(user_id='u')",
}


def away(timeout: str) -> EventBusConfig:
    return EventBusConfig.redis(f"redis://127.0.0.1:1?publish_timeout={timeout}", "g")


@pytest.mark.anyio
async def test_publishes_that_wait_take_no_threads() -> None:
    async with SubscriptionManager(away("60s")) as manager:
        tasks = [asyncio.ensure_future(refused(manager.publish_event("t", "ch", {"v": number}))) for number in range(100)]
        tasks += [asyncio.ensure_future(refused(manager.revoke(user_id=str(number)))) for number in range(20)]
        await asyncio.sleep(0)
        await asyncio.to_thread(time.monotonic)
        await asyncio.get_running_loop().getaddrinfo("localhost", 80)
        assert not any(task.done() for task in tasks), "the application waits for the bus"
        manager.close()
        await asyncio.gather(*tasks)


@pytest.mark.anyio
async def test_publishes_do_not_wait_for_each_other() -> None:
    """A few at a time they would take half a minute and more."""
    async with SubscriptionManager(away("2s")) as manager:
        tasks = [refused(manager.publish_event("t", "ch", {"v": number})) for number in range(100)]
        await asyncio.wait_for(asyncio.gather(*tasks), 20)


async def refused(work: Any) -> None:
    with pytest.raises(BusUnavailable):
        await work


@pytest.mark.anyio
async def test_subscriptions_that_wait_leave_the_loops_threads_alone() -> None:
    async with SubscriptionManager(away("5s")) as manager:
        tasks = [
            asyncio.ensure_future(manager.create_subscription(number, "c", "subscription { ch { v } }")) for number in range(40)
        ]
        await asyncio.sleep(0)
        await asyncio.to_thread(time.monotonic)
        assert not any(task.done() for task in tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.anyio
async def test_closing_ends_what_waits() -> None:
    manager = await SubscriptionManager(away("60s")).start()
    task = asyncio.ensure_future(manager.publish_event("t", "ch", {"v": 1}))
    left = asyncio.ensure_future(manager.publish_event("t", "ch", {"v": 2}))
    await asyncio.sleep(0)
    left.cancel()
    await asyncio.sleep(0)
    manager.close()
    with pytest.raises(BusUnavailable, match="closed"):
        await task
    with pytest.raises(asyncio.CancelledError):
        await left


@pytest.mark.anyio
async def test_data_is_taken_at_the_call(tmp_path: Path) -> None:
    with redis(tmp_path) as (_, config):
        async with SubscriptionManager(config) as manager:
            await manager.create_subscription("s", "c", "subscription { orders { status } }")
            order = {"status": "PLACED"}
            first = asyncio.ensure_future(manager.publish_event("changed", "orders", order))
            await asyncio.sleep(0)
            order["status"] = "PAID"
            await first
            await manager.publish_event("changed", "orders", order)
            got = [json.loads(await manager.get_next_event("s", timeout=20) or b"") for _ in range(2)]
            assert [one["payload"]["data"]["orders"]["status"] for one in got] == ["PLACED", "PAID"]


@pytest.mark.parametrize("bus", AWAY)
@pytest.mark.parametrize("call", CALLS)
def test_signals_are_heard(bus: str, call: str) -> None:
    """KeyboardInterrupt comes, long before the bus gives up, and leaves nothing behind."""
    program = f"""
import os, signal, threading, time
from fraiseql.subscriptions import EventBusConfig, SubscriptionExecutor
signal.signal(signal.SIGINT, signal.default_int_handler)
with SubscriptionExecutor({AWAY[bus]}) as executor:
    executor.warmup()
    began = time.monotonic()
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        {CALLS[call]}
    except KeyboardInterrupt:
        took = time.monotonic() - began
    assert took < 4, took
    assert executor.get_metrics()["active_subscriptions"] in (0, 1)
print("interrupted")
"""
    assert python(program).ok() == "interrupted\n"
