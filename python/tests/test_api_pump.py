"""What is sent to the WebSockets of a mount at once, and what waits for a server that lets us wait."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from asgi import Socket, until
from fraiseql.integrations.asgi import SubscriptionApp
from fraiseql.subscriptions import SubscriptionManager

ORDERS = "subscription { orders { id } }"

pytestmark = pytest.mark.anyio


@pytest.fixture
def manager() -> Iterator[SubscriptionManager]:
    made = SubscriptionManager()
    yield made
    made.close()


@pytest.fixture
def app(manager: SubscriptionManager) -> SubscriptionApp:
    return SubscriptionApp(manager, anonymous=True)


def publish(manager: SubscriptionManager, number: int) -> None:
    assert manager.executor.publish_event("order.placed", "orders", {"id": str(number)}) == 1


async def ids(socket: Socket, count: int) -> list[int]:
    return [int((await socket.json())["payload"]["data"]["orders"]["id"]) for _ in range(count)]


async def test_what_comes_while_a_send_waits_is_sent_after_it(app: SubscriptionApp, manager: SubscriptionManager) -> None:
    async with Socket(app) as socket:
        await socket.init()
        await socket.subscribe(manager, "a", ORDERS)
        for held in range(3):
            socket.gate.clear()
            publish(manager, 10 * held)
            await until(lambda: socket.blocked == 1)
            for number in range(1, 10):
                publish(manager, 10 * held + number)
                await asyncio.sleep(0)
            assert socket.blocked == 1  # one send at a time
            socket.gate.set()
            assert await ids(socket, 10) == [10 * held + number for number in range(10)]
            publish(manager, 99)  # with the gate open nothing is left behind
            assert await ids(socket, 1) == [99]


async def test_client_that_goes_while_a_send_waits(app: SubscriptionApp, manager: SubscriptionManager) -> None:
    async with Socket(app) as socket:
        await socket.init()
        await socket.subscribe(manager, "a", ORDERS)
        socket.gate.clear()
        publish(manager, 1)
        await until(lambda: socket.blocked == 1)
        socket.incoming.put_nowait({"type": "websocket.disconnect", "code": 1006})
        await socket.ended()
    assert manager.get_metrics()["active_subscriptions"] == 0


async def test_send_that_fails_ends_the_connection(manager: SubscriptionManager) -> None:
    app = SubscriptionApp(manager, anonymous=True)
    broken = False

    async def breaking(scope: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            if broken:
                raise OSError("the client is gone")
            await send(message)

        await app(scope, receive, sending)

    async with Socket(breaking) as socket:
        await socket.init()
        await socket.subscribe(manager, "a", ORDERS)
        broken = True
        publish(manager, 1)
        await socket.ended()
    assert manager.get_metrics()["active_subscriptions"] == 0


async def test_sends_have_a_task_and_the_context_of_their_connection(manager: SubscriptionManager) -> None:
    app = SubscriptionApp(manager, anonymous=True)
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")
    seen: set[tuple[str, bool]] = set()

    async def named(scope: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            seen.add((name.get(), asyncio.current_task() is not None))
            async with asyncio.Lock():
                await send(message)

        name.set("somebody")
        await app(scope, receive, sending)

    async with Socket(named) as socket:
        await socket.init()
        await socket.subscribe(manager, "a", ORDERS)
        publish(manager, 1)
        assert await ids(socket, 1) == [1]
    assert seen == {("somebody", True)}


async def test_manager_that_another_thread_closes(app: SubscriptionApp, manager: SubscriptionManager) -> None:
    async with Socket(app) as socket:
        await socket.init()
        await socket.subscribe(manager, "a", ORDERS)
        closing = threading.Thread(target=manager.close)
        closing.start()
        assert await socket.closed() == (1001, "the server stops")
        await asyncio.get_running_loop().run_in_executor(None, closing.join)
