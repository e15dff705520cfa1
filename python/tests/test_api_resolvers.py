"""Resolvers: sync and async, by field, type and subscription, shared by groups, masked when they fail."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import json
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fraiseql.subscriptions import (
    Event,
    InvalidQuery,
    Skip,
    SubscriptionExecutor,
    SubscriptionManager,
)

SCHEMA = """
type Order { id: ID! total: Float }
type Subscription {
  orders(id: ID): Order
  count: Int @source(channel: "orders")
}
"""
ORDERS = "subscription { orders { id total } }"


@pytest.fixture
def executor() -> Iterator[SubscriptionExecutor]:
    with SubscriptionExecutor(schema=SCHEMA) as made:
        yield made


def publish(executor: SubscriptionExecutor, id_: object = "1", **more: Any) -> int | None:
    return executor.publish_event("order.placed", "orders", {"id": id_}, **more)


def payload(message: bytes | None) -> Any:
    assert message is not None
    return json.loads(message)["payload"]


def test_field_event_type_and_own(executor: SubscriptionExecutor) -> None:
    executor.register_resolver("order.placed", lambda event: {"id": "type"})
    executor.register_subscription("c", "type", ORDERS)
    executor.register_resolver("orders", lambda event: {"id": "field"})
    executor.register_subscription("c", "field", ORDERS)
    executor.register_subscription("c", "own", ORDERS, resolver=lambda event: {"id": "own"})
    executor.register_resolver("named", lambda event: {"id": "named"})
    executor.register_subscription("c", "named", ORDERS, resolver="named")
    assert publish(executor) == 4
    for name in ("type", "field", "own", "named"):
        assert payload(executor.next_event(name))["data"]["orders"]["id"] == name, name
    with pytest.raises(ValueError, match="no resolver is registered as 'nothing'"):
        executor.register_subscription("c", "x", ORDERS, resolver="nothing")
    with pytest.raises(TypeError, match="takes 0 values"):
        executor.register_subscription("c", "x", ORDERS, resolver=lambda: None)


def test_what_it_is_given(executor: SubscriptionExecutor) -> None:
    seen: list[Any] = []

    def resolver(event: Event, variables: Any, context: Any) -> dict[str, Any]:
        seen.append((event, variables, context))
        return {"id": event.data["id"]}

    executor.register_resolver("orders", resolver)
    query = "subscription ($id: ID = 7) { orders(id: $id) { id } }"
    executor.register_subscription("c", "s", query, user_id="u", tenant_id="t", roles=["a"], scopes=["b"])
    publish(executor, 7, id="e1", tenant_id="t")
    event, variables, context = seen[0]
    assert (event.id, event.type, event.channel, event.data) == ("e1", "order.placed", "orders", {"id": 7})
    assert (event.tenant_id, event.user_id, event.federation_id, event.broadcast) == ("t", None, None, False)
    assert event["type"] == event.get("type") == "order.placed"
    assert variables == {"id": "7"}
    assert context == {"user_id": "u", "tenant_id": "t", "roles": ["a"], "scopes": ["b"]}


def test_a_group_shares_a_call(executor: SubscriptionExecutor) -> None:
    calls = {"event": 0, "context": 0}

    def by_event(event: Event) -> dict[str, Any]:
        calls["event"] += 1
        return {"id": "1"}

    def by_context(event: Event, variables: Any, context: Any) -> dict[str, Any]:
        calls["context"] += 1
        return {"id": context["user_id"]}

    for n in range(100):
        executor.register_subscription("c", f"e{n}", ORDERS, user_id=f"u{n % 5}", resolver=by_event)
        executor.register_subscription("c", f"c{n}", ORDERS, user_id=f"u{n % 5}", resolver=by_context)
    assert publish(executor) == 200
    assert calls == {"event": 1, "context": 5}
    for n in range(100):
        assert payload(executor.next_event(f"c{n}"))["data"]["orders"]["id"] == f"u{n % 5}"


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (None, None),
        ({"id": 1, "total": 2, "more": 3}, {"id": "1", "total": 2}),
        (b'{"id": "raw"}', {"id": "raw", "total": None}),
    ],
)
def test_results(executor: SubscriptionExecutor, value: Any, want: Any) -> None:
    executor.register_subscription("c", "s", ORDERS, resolver=lambda event: value)
    publish(executor)
    assert payload(executor.next_event("s")) == {"data": {"orders": want}}


def test_skip(executor: SubscriptionExecutor) -> None:
    def odd(event: Event) -> dict[str, Any]:
        if event.data["id"] % 2 == 0:
            raise Skip
        return {"id": event.data["id"]}

    executor.register_subscription("c", "s", ORDERS, resolver=odd)
    for n in range(4):
        publish(executor, n)
    got = [payload(m)["data"]["orders"]["id"] for m in iter(lambda: executor.next_event("s"), None)]
    assert got == ["1", "3"]


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("how", ["raises", "no JSON", "surrogate"])
def test_failures_are_masked_and_logged(
    executor: SubscriptionExecutor, caplog: pytest.LogCaptureFixture, how: str, waits: bool
) -> None:
    def broken(event: Event) -> Any:
        if how == "raises":
            raise KeyError("password 1234")
        return {"id": object() if how == "no JSON" else "\ud800"}

    async def later(event: Event) -> Any:
        await asyncio.sleep(0)
        return broken(event)

    executor.register_subscription("c", "s", ORDERS, resolver=later if waits else broken)

    async def main() -> Any:
        publish(executor)
        return payload(await executor.next_event_async("s", timeout=5))

    with caplog.at_level(logging.ERROR, "fraiseql"):
        got = asyncio.run(main())
    assert got["data"] == {"orders": None}
    assert [(e["path"], e["extensions"]["code"]) for e in got["errors"]] == [(["orders"], "RESOLVER_FAILED")]
    assert "1234" not in json.dumps(got)
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info is not None
    assert ("password 1234" in caplog.text) == (how == "raises")
    assert "Traceback" in caplog.text or how != "raises"


def test_keyboard_interrupt_goes_on(executor: SubscriptionExecutor) -> None:
    def interrupted(event: Event) -> Any:
        raise KeyboardInterrupt

    executor.register_subscription("c", "s", ORDERS, resolver=interrupted)
    with pytest.raises(KeyboardInterrupt):
        publish(executor)
    assert payload(executor.next_event("s"))["errors"]


def test_scalars_need_one(executor: SubscriptionExecutor) -> None:
    with pytest.raises(InvalidQuery):
        executor.register_subscription("c", "s", "subscription { count }")
    executor.register_resolver("count", lambda event: 42)
    executor.register_subscription("c", "s", "subscription { count }")
    publish(executor)
    assert payload(executor.next_event("s")) == {"data": {"count": 42}}


def test_publishing_again(executor: SubscriptionExecutor) -> None:
    def down(event: Event) -> dict[str, Any]:
        left = event.data["id"]
        if left:
            publish(executor, left - 1)
        return {"id": left}

    executor.register_subscription("c", "s", ORDERS, resolver=down)
    executor.register_subscription("c", "plain", ORDERS)
    publish(executor, 20)
    got = [payload(m)["data"]["orders"]["id"] for m in iter(lambda: executor.next_event("s"), None)]
    assert got == [str(n) for n in range(20, -1, -1)]


def test_calls_back_into_the_engine(executor: SubscriptionExecutor) -> None:
    def busy(event: Event) -> dict[str, Any]:
        executor.complete_subscription("other")
        executor.register_subscription("c", "new", ORDERS)
        executor.get_metrics()
        assert executor.next_event("s") is None
        return {"id": "1"}

    executor.register_subscription("c", "other", ORDERS)
    executor.register_subscription("c", "s", ORDERS, resolver=busy)
    publish(executor)
    assert payload(executor.next_event("s"))["data"]["orders"]["id"] == "1"


def test_a_resolver_that_closes_the_executor(executor: SubscriptionExecutor) -> None:
    executor.register_subscription("c", "s", ORDERS, resolver=lambda event: executor.close())
    publish(executor)


class TestAsync:
    @pytest.mark.anyio
    async def test_in_the_publishers_loop(self, executor: SubscriptionExecutor) -> None:
        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
        here = threading.current_thread()

        async def resolver(event: Event) -> dict[str, Any]:
            assert threading.current_thread() is here
            await asyncio.sleep(0)
            return {"id": variable.get()}

        executor.register_subscription("c", "s", ORDERS, resolver=resolver)
        variable.set("mine")
        assert publish(executor) == 1
        assert payload(await executor.next_event_async("s", timeout=5))["data"]["orders"]["id"] == "mine"

    def test_in_a_background_thread(self, executor: SubscriptionExecutor) -> None:
        done = threading.Event()

        async def resolver(event: Event) -> dict[str, Any]:
            await asyncio.sleep(0)
            done.set()
            return {"id": threading.current_thread().name}

        executor.register_subscription("c", "s", ORDERS, resolver=resolver)
        publish(executor)
        assert done.wait(5)
        got = asyncio.run(executor.next_event_async("s", timeout=5))
        assert payload(got)["data"]["orders"]["id"] == "fraiseql-resolvers"

    @pytest.mark.anyio
    async def test_in_the_loop_that_listens(self, executor: SubscriptionExecutor) -> None:
        here = threading.current_thread()

        async def resolver(event: Event) -> dict[str, Any]:
            return {"id": str(threading.current_thread() is here)}

        executor.register_subscription("c", "s", ORDERS, resolver=resolver)
        task = asyncio.ensure_future(executor.next_event_async("s", timeout=5))
        await asyncio.sleep(0)  # it waits from its first step on
        await asyncio.get_running_loop().run_in_executor(None, publish, executor)
        assert payload(await task)["data"]["orders"]["id"] == "True"

    @pytest.mark.anyio
    async def test_order_is_kept(self, executor: SubscriptionExecutor) -> None:
        begun, ended = asyncio.Event(), [asyncio.Event() for _ in range(30)]

        async def resolver(event: Event) -> dict[str, Any]:
            n = event.data["id"]
            if n % 3 == 0:  # the first of three waits for the last
                begun.set()
                await ended[n + 2].wait()
            ended[n].set()
            return {"id": n}

        executor.register_subscription("c", "s", ORDERS, resolver=resolver)
        for n in range(30):
            publish(executor, n)
        await asyncio.wait_for(begun.wait(), 5)
        got = [payload(await executor.next_event_async("s", timeout=5))["data"]["orders"]["id"] for _ in range(30)]
        assert got == [str(n) for n in range(30)]

    @pytest.mark.anyio
    async def test_timeout(self) -> None:
        cancelled = asyncio.Event()

        async def slow(event: Event) -> dict[str, Any]:
            try:
                await asyncio.sleep(60)
            finally:
                cancelled.set()
            return {"id": "late"}

        with SubscriptionExecutor(schema=SCHEMA, limits={"resolver_timeout": 0.05}) as executor:
            executor.register_subscription("c", "s", ORDERS, resolver=slow)
            publish(executor)
            got = payload(await executor.next_event_async("s", timeout=5))
            assert got["errors"][0]["extensions"]["code"] == "RESOLVER_TIMEOUT"
            assert await executor.next_event_async("s", timeout=0.05) is None
        await asyncio.wait_for(cancelled.wait(), 5)  # closing the executor ends it

    @pytest.mark.anyio
    async def test_skip_and_callables(self, executor: SubscriptionExecutor) -> None:
        async def resolver(factor: int, event: Event) -> dict[str, Any]:
            if event.data["id"] == 0:
                raise Skip
            return {"id": event.data["id"] * factor}

        executor.register_subscription("c", "s", ORDERS, resolver=functools.partial(resolver, 10))
        publish(executor, 0)
        publish(executor, 1)
        assert payload(await executor.next_event_async("s", timeout=5))["data"]["orders"]["id"] == "10"

    @pytest.mark.anyio
    async def test_awaitables_of_plain_functions(self, executor: SubscriptionExecutor) -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[dict[str, Any]] = loop.create_future()
        executor.register_subscription("c", "s", ORDERS, resolver=lambda event: future)
        publish(executor)
        loop.call_later(0.005, future.set_result, {"id": "1"})
        assert payload(await executor.next_event_async("s", timeout=5))["data"]["orders"]["id"] == "1"

    @pytest.mark.anyio
    async def test_publishing_again_from_many_tasks(self, executor: SubscriptionExecutor) -> None:
        async def resolver(event: Event) -> dict[str, Any]:
            await asyncio.sleep(0)
            if event.data["id"] < 50:
                publish(executor, event.data["id"] + 1)
            return {"id": event.data["id"]}

        executor.register_subscription("c", "s", ORDERS, resolver=resolver)
        publish(executor, 0)
        got = [payload(await executor.next_event_async("s", timeout=5))["data"]["orders"]["id"] for _ in range(51)]
        assert got == [str(n) for n in range(51)]

    def test_a_loop_that_ends_meanwhile(self, executor: SubscriptionExecutor, caplog: pytest.LogCaptureFixture) -> None:
        async def resolver(event: Event) -> dict[str, Any]:
            await asyncio.sleep(60)
            return {"id": "1"}

        executor.register_subscription("c", "s", ORDERS, resolver=resolver)

        async def main() -> None:
            publish(executor)
            await asyncio.sleep(0)

        asyncio.run(main())
        assert payload(executor.next_event("s"))["errors"][0]["extensions"]["code"] == "RESOLVER_FAILED"
        assert not caplog.records


@pytest.mark.anyio
async def test_decorator() -> None:
    manager = SubscriptionManager(schema=SCHEMA)

    @manager.resolver("orders")
    async def orders(event: Event) -> dict[str, Any]:
        return {"id": event.data["id"] * 2}

    assert asyncio.iscoroutinefunction(orders)
    await manager.create_subscription("s", "c", ORDERS)
    await manager.publish_event("t", "orders", {"id": 4})
    assert payload(await manager.get_next_event("s", timeout=5))["data"]["orders"]["id"] == "8"
    with pytest.raises(TypeError, match="resolver"):
        manager.resolver("orders")(lambda: None)
    manager.close()


@pytest.mark.parametrize(("name", "kind"), [("", ValueError), (None, TypeError), (7, TypeError)])
def test_bad_names(executor: SubscriptionExecutor, name: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="name"):
        executor.register_resolver(name, lambda event: None)


def test_threads_that_publish_what_resolvers_wait_for(executor: SubscriptionExecutor) -> None:
    def resolver(event: Event) -> dict[str, Any]:
        return {"id": event.data["id"]}

    executor.register_resolver("orders", resolver)
    for n in range(4):
        executor.register_subscription("c", n, f"subscription {{ orders(id: {n}) {{ id }} }}")

    def work(n: int) -> None:
        for _ in range(200):
            publish(executor, n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for n in range(4):
        got = [payload(m)["data"]["orders"]["id"] for m in iter(lambda n=n: executor.next_event(n), None)]  # type: ignore[misc]
        assert got == [str(n)] * 200


def test_waiting_for_their_turn_is_not_time_of_theirs() -> None:
    """A resolver that takes too long fails alone; those that wait behind it, however many, have their own time."""
    with SubscriptionExecutor(schema=SCHEMA, limits={"resolver_timeout": 0.3}) as executor:

        def slow(event: Event, variables: Any, context: Any) -> dict[str, str]:
            time.sleep(0.6 if context["user_id"] == "u0" else 0.02)
            return {"id": context["user_id"]}

        executor.register_resolver("orders", slow)
        for number in range(50):
            executor.register_subscription("c", number, ORDERS, user_id=f"u{number}")
        assert publish(executor) == 50
        got = {name: payload(message) for name, message in executor.next_events("c")}
        assert got["0"]["errors"][0]["extensions"]["code"] == "RESOLVER_TIMEOUT"
        assert [got[str(number)].get("errors") for number in range(1, 50)] == [None] * 49
