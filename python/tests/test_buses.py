"""Executors, managers and workers on real buses: what one process publishes reaches the subscribers of another."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from buses import BUSES, BusServer, free_port, running
from children import python
from fraiseql.subscriptions import BusUnavailable, EventBusConfig, SubscriptionExecutor, SubscriptionManager

WAIT = 60.0
Bus = tuple[BusServer, EventBusConfig]


@pytest.fixture(params=BUSES)
def bus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bus]:
    with BUSES[request.param](tmp_path) as made:
        yield made


def until(look: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        if (found := look()) is not None:
            return found
        time.sleep(0.005)
    raise AssertionError(f"{what}: not within {WAIT} s")


def data(message: bytes) -> Any:
    return json.loads(message)["payload"]["data"]


def next_of(executor: SubscriptionExecutor, subscription: str = "s") -> Any:
    return data(until(lambda: executor.next_event(subscription), "a message"))


def publish(executor: SubscriptionExecutor, n: int, **more: Any) -> None:
    assert executor.publish_event("moved", "points", {"n": n}, **more) is None


def test_one_process_subscribes_and_publishes(bus: Bus) -> None:
    """What is published right after register_subscription returned arrives."""
    _, config = bus
    with SubscriptionExecutor(config) as executor:
        executor.register_subscription("c", "s", "subscription { points { n } }")
        for n in range(100):
            publish(executor, n)
        assert [next_of(executor)["points"]["n"] for _ in range(100)] == list(range(100))
        assert executor.next_event("s") is None
        metrics = executor.get_metrics()
        assert (metrics["events_published"], metrics["messages_delivered"]) == (100, 100)


OTHER = """
import json, sys
from fraiseql.subscriptions import EventBusConfig, SubscriptionExecutor
kind, url = sys.argv[1:3]
config = EventBusConfig.redis(url, "app") if kind == "redis" else getattr(EventBusConfig, kind)(url)
with SubscriptionExecutor(config) as executor:
    for n in range(int(sys.argv[3])):
        tenant = "acme" if n % 2 else "other"
        executor.publish_event("moved", "points", {"n": n}, tenant_id=tenant, id=f"event-{n}")
"""


def test_another_process_publishes(bus: Bus) -> None:
    _, config = bus
    url = config._document()["url"]
    with SubscriptionExecutor(config) as executor:
        executor.register_subscription("c", "s", "subscription { points { n } }", tenant_id="acme")
        python(OTHER, config.bus_type, url, "50").ok()
        assert [next_of(executor)["points"]["n"] for _ in range(25)] == list(range(1, 50, 2))
        # The safe retry: the same ids again are delivered to nobody.
        python(OTHER, config.bus_type, url, "50").ok()
        publish(executor, 50, tenant_id="acme")
        assert next_of(executor) == {"points": {"n": 50}}


def test_resolvers_are_called_without_a_loop(bus: Bus) -> None:
    _, config = bus

    def resolve(event: Any) -> dict[str, int]:
        return {"n": event.data["n"] * 10}

    with SubscriptionExecutor(config) as executor:
        executor.register_resolver("points", resolve)
        executor.register_subscription("c", "s", "subscription { points { n } }")
        publish(executor, 4)
        assert next_of(executor) == {"points": {"n": 40}}
        with SubscriptionExecutor(config) as other:  # nobody waits where the resolver is
            publish(other, 5)
        assert next_of(executor) == {"points": {"n": 50}}


@pytest.mark.anyio
async def test_a_manager_listens_and_does_not_block_its_loop(bus: Bus) -> None:
    _, config = bus
    manager = SubscriptionManager(config)

    @manager.resolver("points")
    async def resolve(event: Any) -> dict[str, int]:
        await asyncio.sleep(0)
        return {"n": -event.data["n"]}

    await manager.create_subscription("s", "c", "subscription { points { n } }")
    got: list[int] = []

    async def listen() -> None:
        async for message in manager.listen("s"):
            got.append(data(message)["points"]["n"])
            if len(got) == 200:
                return

    async with asyncio.timeout(WAIT) if hasattr(asyncio, "timeout") else contextlib.nullcontext():
        listener = asyncio.create_task(listen())
        await asyncio.gather(*(manager.publish_event("moved", "points", {"n": n}) for n in range(100)))
        for n in range(100, 200):
            await manager.publish_event("moved", "points", {"n": n})
        await listener
    assert sorted(got[:100]) == sorted(-n for n in range(100))
    assert got[100:] == [-n for n in range(100, 200)]
    manager.close()


def test_a_bus_that_is_away(bus: Bus) -> None:
    """Publishing fails in bounded time; subscriptions stay, and go on once it is back."""
    server, config = bus
    url = config._document()["url"]
    separator = "&" if "?" in url else "?"
    away = EventBusConfig._make(config.bus_type, f"{url}{separator}publish_timeout=300ms", config.consumer_group)
    with SubscriptionExecutor(away) as executor:
        executor.register_subscription("c", "s", "subscription { points { n } }")
        publish(executor, 1)
        assert next_of(executor) == {"points": {"n": 1}}
        server.kill()

        def refused() -> str | None:
            try:
                publish(executor, 2, id="two")
            except BusUnavailable as failed:
                return str(failed)
            return None  # PostgreSQL's processes are sessions of their own, and outlive the first one for a moment

        assert url.split("//")[1].split("?")[0] not in until(refused, "the bus is away")
        server.start()

        def again() -> bool | None:
            with contextlib.suppress(BusUnavailable):
                publish(executor, 2, id="two")
                return True
            return None

        until(again, "the bus is back")
        assert next_of(executor) == {"points": {"n": 2}}


def test_a_bus_that_was_never_there(tmp_path: Path) -> None:
    """An executor is made all the same, and says what is wrong when it matters."""
    for config in [
        EventBusConfig.redis("redis://:sesame@127.0.0.1:1?publish_timeout=50ms", "app"),
        EventBusConfig.nats("nats://u:sesame@127.0.0.1:1?publish_timeout=50ms"),
        EventBusConfig.postgresql("postgresql://u:sesame@127.0.0.1:1/db?publish_timeout=50ms"),
    ]:
        with SubscriptionExecutor(config) as executor:
            with pytest.raises(BusUnavailable) as failed:
                publish(executor, 1)
            assert "sesame" not in str(failed.value)
            assert "connection refused" in str(failed.value)


def test_a_bus_that_refuses_a_password(tmp_path: Path) -> None:
    """The cause is told, and neither the password nor where the bus is."""
    port = free_port()
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--requirepass", "sesame"]
    with running(BusServer(command, port, cwd=tmp_path)):
        for password in ("", ":barley@"):
            config = EventBusConfig.redis(f"redis://{password}127.0.0.1:{port}?publish_timeout=1s", "app")
            with SubscriptionExecutor(config) as executor, pytest.raises(BusUnavailable, match="authentication failed") as failed:
                publish(executor, 1)
            assert "barley" not in str(failed.value)
            assert str(port) not in str(failed.value)


def test_what_is_wrong_with_a_url() -> None:
    for config in [
        EventBusConfig.redis("redis://:sesame@localhost?no_such=1", "app"),
        EventBusConfig.nats("nats://u:sesame@localhost?no_such=1"),
        EventBusConfig.postgresql("postgresql://u:sesame@localhost/db?no_such=1"),
    ]:
        with pytest.raises(ValueError, match="no_such") as failed:
            SubscriptionExecutor(config)
        assert "sesame" not in str(failed.value)


def test_resolvers_are_called_when_the_loop_stands_still(tmp_path: Path) -> None:
    with BUSES["redis"](tmp_path) as (_, config), SubscriptionExecutor(config) as executor, SubscriptionExecutor(config) as other:

        async def begin() -> None:
            executor.register_resolver("points", lambda event: {"n": event.data["n"] + 1})

        loop = asyncio.new_event_loop()
        loop.run_until_complete(begin())
        executor.register_subscription("c", "s", "subscription { points { n } }")
        publish(other, 1)
        assert next_of(executor) == {"points": {"n": 2}}
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def test_work_is_shared(tmp_path: Path) -> None:
    """Each event is worked on by one of two executors of a group; what failed comes again."""
    with BUSES["redis"](tmp_path) as (_, config), SubscriptionExecutor(config) as one, SubscriptionExecutor(config) as two:
        lock, done = threading.Lock(), threading.Event()
        worked: dict[str, list[int]] = {"one": [], "two": []}
        failed: list[int] = []

        def worker(name: str) -> Callable[[Any], None]:
            def work(event: Any) -> None:
                n = event.data["n"]
                with lock:
                    if n == 13 and not failed:
                        failed.append(n)
                        raise RuntimeError("unlucky")
                    worked[name].append(n)
                    if {*worked["one"], *worked["two"]} >= set(range(100)):
                        done.set()

            return work

        with one.work("points", worker("one")), two.work("points", worker("two")):
            until(lambda: publish(one, -1) or (worked["one"] or worked["two"] or None), "a worker begins")
            for n in range(100):
                publish(one, n)
            assert done.wait(WAIT)
        everything = [n for n in worked["one"] + worked["two"] if n >= 0]
        assert sorted(everything) == list(range(100))
