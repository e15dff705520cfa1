"""Subscriptions that nobody waits for any more while they begin."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgi import until
from fraiseql.subscriptions import SubscriptionManager
from test_api_manager import ORDERS, SCHEMA

pytestmark = pytest.mark.anyio


@pytest.fixture
async def manager() -> AsyncIterator[SubscriptionManager]:
    async with SubscriptionManager(schema=SCHEMA) as made:
        yield made


@pytest.mark.parametrize("late", [False, True])
async def test_a_subscription_that_waits_for_the_bus(
    manager: SubscriptionManager, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    manager._remote = True
    register = manager.executor.register_subscription
    waits, gate, registered = threading.Event(), threading.Event(), threading.Event()

    def slow(*arguments: Any, **options: Any) -> str:
        waits.set()
        assert gate.wait(10)
        known = register(*arguments, **options)
        registered.set()
        return known

    monkeypatch.setattr(manager.executor, "register_subscription", slow)
    task = asyncio.ensure_future(manager.create_subscription("s", "c", ORDERS))
    await until(waits.is_set)
    if late:  # it is registered, and this loop has not heard of it
        gate.set()
        assert registered.wait(10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    await until(registered.is_set)
    await until(lambda: manager.get_metrics()["active_subscriptions"] == 0)
