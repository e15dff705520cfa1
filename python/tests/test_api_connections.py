"""Connections that the application brings, each with a handler of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fraiseql.subscriptions import SubscriptionManager
from fraiseql.subscriptions.endpoint import Endpoint
from test_api_manager import SCHEMA, Fake

pytestmark = pytest.mark.anyio


@pytest.fixture
async def manager() -> AsyncIterator[SubscriptionManager]:
    async with SubscriptionManager(schema=SCHEMA) as made:
        yield made


async def converse(manager: SubscriptionManager, *arguments: Any, **options: Any) -> None:
    """A client that is let in and goes."""
    fake = Fake()
    task = asyncio.ensure_future(manager.handle_connection(fake, *arguments, **options))
    assert (await fake.next())[0] == "accept"
    fake.incoming.put_nowait({"type": "connection_init"})
    assert await fake.next() == ("json", {"type": "connection_ack"})
    fake.incoming.put_nowait(None)
    await asyncio.wait_for(task, 5)


async def test_a_handler_of_each_connection(manager: SubscriptionManager, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Endpoint] = []
    asked: list[int] = []
    init = Endpoint.__init__

    def noted(endpoint: Endpoint, *arguments: Any, **options: Any) -> None:
        made.append(endpoint)
        init(endpoint, *arguments, **options)

    monkeypatch.setattr(Endpoint, "__init__", noted)
    for n in range(20):
        await converse(manager, lambda params, request, n=n: asked.append(n) or {"user_id": str(n)})
        await converse(manager, anonymous=True)
    assert asked == list(range(20))
    assert len(made) == 2
    with pytest.raises(TypeError, match="auth_handler is a function, not str"):
        await manager.handle_connection(Fake(), "handler")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="hooks is a Hooks, not dict"):
        await manager.handle_connection(Fake(), anonymous=True, hooks={})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="auth_handler is None"):
        await manager.handle_connection(Fake())


async def test_an_endpoint_that_asks_nobody(manager: SubscriptionManager) -> None:
    endpoint = Endpoint(manager, anonymous=True)
    with pytest.raises(ValueError, match="handler: the endpoint was made without"):
        endpoint.connect(None, handler=lambda params, request: {})


async def test_an_adapter_that_never_waits(manager: SubscriptionManager) -> None:
    """What is no JSON closes with 4400, also when nothing of the adapter suspends."""

    class Hot(Fake):
        async def receive_json(self) -> Any:
            raise ValueError("no JSON")

    fake = Hot()
    await asyncio.wait_for(manager.handle_connection(fake, anonymous=True), 10)
    assert not fake.connected
