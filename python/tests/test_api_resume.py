"""Subscriptions that go on where another one stopped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from fraiseql.subscriptions import EventBusConfig, InvalidQuery, SubscriptionExecutor, SubscriptionManager, cursor_of

QUERY = "subscription { orders { n } }"


def drain(executor: SubscriptionExecutor, name: str) -> list[bytes]:
    """Take what waits."""
    out: list[bytes] = []
    while message := executor.next_event(name):
        out.append(message)
    return out


async def take_first(executor: SubscriptionExecutor) -> bytes:
    """Begin now, and stop listening."""
    listener = executor.listen("s", resume=True)
    first = await anext_of(listener)
    await listener.aclose()
    return first


async def anext_of(listener: AsyncIterator[bytes]) -> bytes:
    """The next message, if it comes in time."""
    return await asyncio.wait_for(listener.__anext__(), 10)


def cursor(message: bytes) -> str:
    """The cursor of a message that has one."""
    found = cursor_of(message)
    assert found is not None
    return found


def numbers(messages: Iterable[bytes]) -> list[int]:
    """The events among messages."""
    return [m["payload"]["data"]["orders"]["n"] for m in map(json.loads, messages) if m["payload"]["data"]]


def test_resume() -> None:
    with SubscriptionExecutor() as executor:
        executor.register_subscription("c1", "sub1", QUERY, resume=True)
        for n in range(3):
            executor.publish_event("created", "orders", {"n": n})
        first, *events = drain(executor, "sub1")
        assert json.loads(first)["payload"] == {"data": None, "extensions": {"cursor": cursor_of(first)}}
        assert numbers(events) == [0, 1, 2]
        executor.complete_connection("c1")
        executor.publish_event("created", "orders", {"n": 3})
        executor.register_subscription("c2", "sub2", QUERY, resume=cursor(events[0]))
        first, *events = drain(executor, "sub2")
        assert json.loads(first)["payload"]["extensions"]["recovered"] is True
        assert numbers(events) == [1, 2, 3]
        assert all(cursor_of(e) for e in events)


def test_a_cursor_of_somewhere_else_is_no_error() -> None:
    with SubscriptionExecutor() as executor:
        executor.register_subscription("c", "s", QUERY, resume="AAAA")
        executor.publish_event("created", "orders", {"n": 1})
        first, *events = drain(executor, "s")
        assert json.loads(first)["payload"]["extensions"]["recovered"] is False
        assert numbers(events) == [1]


def test_without_resume_there_is_no_cursor() -> None:
    with SubscriptionExecutor() as executor:
        executor.register_subscription("c", "s", QUERY, resume=False)
        executor.publish_event("created", "orders", {"n": 1})
        (event,) = drain(executor, "s")
        assert event == b'{"id":"s","type":"next","payload":{"data":{"orders":{"n":1}}}}'
        assert cursor_of(event) is None


@pytest.mark.parametrize("resume", [1, b"AAAA", {"cursor": "AAAA"}])
def test_resume_of_another_type(resume: Any) -> None:
    with SubscriptionExecutor() as executor, pytest.raises(TypeError, match="resume"):
        executor.register_subscription("c", "s", QUERY, resume=resume)


def test_a_refused_document_is_refused_before() -> None:
    with SubscriptionExecutor() as executor, pytest.raises(InvalidQuery):
        executor.register_subscription("c", "s", "subscription {", resume=True)


def test_a_cursor_shows_nothing_of_others() -> None:
    with SubscriptionExecutor() as executor:
        executor.register_subscription("c1", "ada", QUERY, tenant_id="a", resume=True)
        (first,) = drain(executor, "ada")
        executor.publish_event("created", "orders", {"n": 1}, tenant_id="a")
        executor.publish_event("created", "orders", {"n": 2}, tenant_id="b")
        executor.register_subscription("c2", "bob", QUERY, tenant_id="b", resume=cursor(first))
        assert numbers(drain(executor, "bob")) == [2]


def test_manager() -> None:
    async def main() -> None:
        async with SubscriptionManager(EventBusConfig.memory()) as manager:
            await manager.create_subscription("s", "c", QUERY, resume=True)
            await manager.publish_event("created", "orders", {"n": 1})
            await manager.publish_event("created", "orders", {"n": 2})
            async for message in manager.listen("s"):
                if numbers([message]) == [1]:
                    break
            await manager.complete_subscription("s")
            await manager.create_subscription("s", "c", QUERY, resume=cursor(message))
            got: list[int] = []
            async for later in manager.listen("s"):
                got += numbers([later])
                if got:
                    break
            assert got == [2]

    asyncio.run(main())


def test_listen_begins_a_live_subscription_again() -> None:
    async def main() -> None:
        with SubscriptionExecutor() as executor:
            executor.register_subscription("c", "s", QUERY, tenant_id="a")
            first = await take_first(executor)
            for n in range(3):
                executor.publish_event("created", "orders", {"n": n}, tenant_id="a")
                executor.publish_event("created", "orders", {"n": -1}, tenant_id="b")
            for _ in range(2):
                listener = executor.listen("s", resume=cursor(first))
                again, *events = [await anext_of(listener) for _ in range(4)]
                assert json.loads(again)["payload"]["extensions"]["recovered"] is True
                assert numbers(events) == [0, 1, 2]
                await listener.aclose()
            listener = executor.listen("s", resume="")
            assert json.loads(await anext_of(listener))["payload"]["extensions"]["recovered"] is False
            with pytest.raises(RuntimeError, match="listener"):
                executor.listen("s", resume=True)
            await listener.aclose()
            with pytest.raises(TypeError, match="resume"):
                executor.listen("s", resume=1)  # type: ignore[arg-type]
            executor.complete_subscription("s")
            with pytest.raises(KeyError):
                executor.listen("s", resume=True)

    asyncio.run(main())
