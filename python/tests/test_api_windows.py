"""The end of servers over a while, and what it is refused for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fraiseql.subscriptions import SubscriptionError, SubscriptionManager
from fraiseql.subscriptions.endpoint import Endpoint
from test_api_manager import PROTOCOLS, SCHEMA, start
from websockets.asyncio.client import connect

pytestmark = pytest.mark.anyio


@pytest.fixture
async def manager() -> AsyncIterator[SubscriptionManager]:
    async with SubscriptionManager(schema=SCHEMA) as made:
        yield made


@pytest.mark.parametrize("window", [900, 600.5, -1, float("nan"), None, True, "1"])
async def test_a_window_that_cannot_be_right(manager: SubscriptionManager, window: Any) -> None:
    server, endpoint = await manager.serve(port=0, anonymous=True), Endpoint(manager, anonymous=True)
    for close in (server.close, manager.shutdown):
        with pytest.raises(ValueError, match="window is a number of seconds from 0 to 600, not "):
            await close(window)
    async with connect(server.url, subprotocols=PROTOCOLS) as socket:
        await start(socket)
    endpoint.connect(None).close()
    await server.close()
    with pytest.raises(OSError, match=r".*"):
        await connect(server.url)


async def test_a_window_that_the_engine_would_refuse(manager: SubscriptionManager) -> None:
    async with await manager.serve(port=0, anonymous=True) as server:
        with pytest.raises(ValueError, match="window_seconds must be between 0 and 600"):
            manager.executor._serve_stop(server._handle, 600.5)


@pytest.mark.parametrize(("code", "told"), [("CLOSED", False), ("FORK", False), ("BAD_USER_INPUT", True)])
async def test_a_close_that_fails(manager: SubscriptionManager, monkeypatch: pytest.MonkeyPatch, code: str, told: bool) -> None:
    def fails(handle: int, window: float) -> None:
        raise SubscriptionError("no", code)

    server = await manager.serve(port=0, anonymous=True)
    monkeypatch.setattr(manager.executor, "_serve_stop", fails)
    if told:
        with pytest.raises(SubscriptionError, match="no"):
            await server.close()
    await server.close()  # nothing is left to be closed
