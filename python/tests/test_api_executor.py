"""The executor without an event loop: the original's workflows, security, limits, errors, many subscriptions."""

from __future__ import annotations

import datetime
import decimal
import gc
import json
import subprocess
import sys
import threading
import uuid
import weakref
from pathlib import Path
from typing import Any

import pytest
from fraiseql import _fraiseql_rs
from fraiseql.subscriptions import (
    DuplicateSubscription,
    EventBusConfig,
    InvalidConfig,
    InvalidEvent,
    InvalidQuery,
    SubscriptionError,
    SubscriptionExecutor,
)
from orders import USERS, message


def test_the_seeds_snippet() -> None:
    executor = _fraiseql_rs.subscriptions.PySubscriptionExecutor()
    executor.register_subscription(
        connection_id="conn1",
        subscription_id="sub1",
        query="subscription { users { id } }",
        variables={},
        user_id="user1",
        tenant_id="tenant1",
    )
    executor.publish_event("userCreated", "users", {"id": "123"})
    response = executor.next_event("sub1")
    assert response == b'{"id":"sub1","type":"next","payload":{"data":{"users":{"id":"123"}}}}'
    executor.close()


def test_names_of_the_rust_module() -> None:
    names = {"PyEventBusConfig", "PyGraphQLMessage", "PySubscriptionExecutor", "PySubscriptionPayload"}
    for module in (_fraiseql_rs, _fraiseql_rs.subscriptions):
        assert names <= set(dir(module))
    assert _fraiseql_rs.PyEventBusConfig.memory().bus_type == "memory"
    assert _fraiseql_rs.subscriptions.PyEventBusConfig.redis("redis://localhost", "app").bus_type == "redis"
    _fraiseql_rs.subscriptions.PySubscriptionExecutor(_fraiseql_rs.PyEventBusConfig.memory()).close()


def test_workflow(executor: SubscriptionExecutor) -> None:
    assert executor.register_subscription("conn", "sub", USERS, user_id="u", tenant_id="t") == "sub"
    assert executor.next_event("sub") is None
    assert executor.publish_event("userCreated", "users", {"id": "1", "name": "Anne"}, tenant_id="t", user_id="u") == 1
    assert executor.publish_event("userCreated", "elsewhere", {"id": "2"}) == 0
    assert executor.next_event("sub") == message("sub", "users", {"id": "1"})
    assert executor.next_event("sub") is None
    metrics = executor.get_metrics()
    assert (metrics["active_connections"], metrics["active_subscriptions"], metrics["channels"], metrics["groups"]) == (
        1,
        1,
        1,
        1,
    )
    assert metrics["messages_delivered"] == 1
    assert metrics["messages_dropped"] == metrics["queue_bytes"] == 0
    assert executor.subscriptions_by_channel("users") == ["sub"]
    assert executor.complete_subscription("sub")
    assert not executor.complete_subscription("sub")
    assert executor.publish_event("userCreated", "users", {"id": "3"}) == 0
    assert executor.next_event("sub") is None
    assert executor.subscriptions_by_channel("users") == []
    assert executor.get_metrics()["active_subscriptions"] == 0


def test_metrics_are_ints(executor: SubscriptionExecutor) -> None:
    metrics = executor.get_metrics()
    denied = metrics.pop("denied")
    assert set(denied) == {"scope", "tenant", "row", "federation", "rbac"}
    assert {type(value) for value in [*metrics.values(), *denied.values()]} == {int}
    assert set(metrics) == {
        "active_connections",
        "active_subscriptions",
        "channels",
        "groups",
        "events_published",
        "events_dispatched",
        "messages_delivered",
        "messages_dropped",
        "queue_bytes",
        "plan_cache_bytes",
    }


def test_queued_bytes_are_seen_and_dropped_with_the_subscription(executor: SubscriptionExecutor) -> None:
    executor.register_subscription("c", "s", USERS)
    executor.publish_event("t", "users", {"id": "x" * 1000})
    assert executor.get_metrics()["queue_bytes"] > 1000
    executor.complete_subscription("s")
    assert executor.get_metrics()["queue_bytes"] == 0


def test_ids_are_text_or_ints(executor: SubscriptionExecutor) -> None:
    assert executor.register_subscription(1, 2**70, USERS) == str(2**70)
    with pytest.raises(DuplicateSubscription):
        executor.register_subscription("1", str(2**70), USERS)
    executor.publish_event("t", "users", {"id": 1})
    assert executor.next_event(str(2**70), 1) == message(str(2**70), "users", {"id": 1})
    assert executor.complete_connection("1")
    assert not executor.complete_connection(1)


def test_an_id_of_two_connections(executor: SubscriptionExecutor) -> None:
    for connection in ("a", "b"):
        executor.register_subscription(connection, "s", USERS)
    executor.publish_event("t", "users", {"id": "1"})
    for call in (executor.next_event, executor.complete_subscription):
        with pytest.raises(ValueError, match="connection_id"):
            call("s")
    assert executor.next_event("s", "a") == executor.next_event("s", "b") == message("s", "users", {"id": "1"})
    executor.complete_connection("a")
    assert executor.next_event("s") is None
    executor.publish_event("t", "users", {"id": "2"})
    assert executor.next_event("s") == message("s", "users", {"id": "2"})


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("", "s", USERS), ValueError),
        (("c", "", USERS), ValueError),
        (("c", "s", ""), ValueError),
        (("c", "s", USERS, None, None, ""), ValueError),
        (("c", "s", USERS, None, None, "u", ""), ValueError),
        (("c", "s", None), TypeError),
        ((None, "s", USERS), TypeError),
        (("c", 1.5, USERS), TypeError),
        (("c", "s", USERS, None, []), TypeError),
        (("c", "s", USERS, None, {"a": object()}), TypeError),
        (("c", "s"), TypeError),
        (("c", "s", USERS, None, None, "u", "t", "extra"), TypeError),
    ],
)
def test_bad_arguments(executor: SubscriptionExecutor, arguments: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        executor.register_subscription(*arguments)
    assert type(caught.value) is kind
    assert executor.get_metrics()["active_subscriptions"] == 0


@pytest.mark.parametrize(
    ("query", "code", "places"),
    [
        ("subscription {", "GRAPHQL_PARSE_FAILED", 1),
        ("subscription { orders { price } }", "GRAPHQL_VALIDATION_FAILED", 1),
        ("subscription { a: orders { id } b: orders { id } }", "GRAPHQL_VALIDATION_FAILED", 1),
        ("subscription a { orders { id } } subscription b { orders { id } }", "OPERATION_RESOLUTION_FAILURE", 0),
        ("subscription ($n: Float!) { orders(minTotal: $n) { id } }", "BAD_USER_INPUT", 1),
    ],
)
def test_documents_that_are_refused(orders: SubscriptionExecutor, query: str, code: str, places: int) -> None:
    with pytest.raises(InvalidQuery) as caught:
        orders.register_subscription("c", "s", query)
    error = caught.value
    assert error.code == code
    assert len(error.locations) >= places
    assert all(place["line"] >= 1 and place["column"] >= 1 for place in error.locations)
    assert isinstance(error, RuntimeError)


def test_variables_and_operation_name(orders: SubscriptionExecutor) -> None:
    document = "subscription a { orders { id } } subscription b($least: Float) { orders(minTotal: $least) { total } }"
    orders.register_subscription("c", "s", document, "b", {"least": 10.5})
    orders.publish_event("t", "orders", {"id": "1", "total": 10})
    orders.publish_event("t", "orders", {"id": "1", "total": 11})
    assert orders.next_event("s") == message("s", "orders", {"total": 11})
    assert orders.next_event("s") is None


def test_data_is_converted(executor: SubscriptionExecutor) -> None:
    executor.register_subscription("c", "s", "subscription { all }")
    data = {
        "text": "é\u2028\x00",
        "big": 2**200,
        "when": datetime.date(2026, 1, 2),
        "id": uuid.UUID(int=7),
        "price": decimal.Decimal("1.10"),
        "list": (1, -0.0, True, None),
    }
    executor.publish_event("t", "all", data)
    got = json.loads(executor.next_event("s") or b"")["payload"]["data"]["all"]
    assert got == {**data, "when": "2026-01-02", "id": str(data["id"]), "price": "1.10", "list": [1, 0.0, True, None]}
    for text in ('{"a": 1}', b'{"a": 1}'):
        executor.publish_event("t", "all", text)
        assert json.loads(executor.next_event("s") or b"")["payload"]["data"]["all"] == {"a": 1}


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({"a": {"b": float("nan")}}, ValueError),
        ({"a": {"b": "\ud800"}}, ValueError),
        ({"a": {1: "b"}}, TypeError),
        ({"a": {"b": object()}}, TypeError),
        ([1], TypeError),
        (None, TypeError),
        (b"[1]", ValueError),
        (b"{", ValueError),
        ("{", ValueError),
    ],
)
def test_data_that_is_refused(executor: SubscriptionExecutor, data: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        executor.publish_event("t", "users", data)


@pytest.mark.parametrize(
    ("more", "member"),
    [
        ({"channel": ""}, "channel"),
        ({"channel": "__x"}, "channel"),
        ({"event_type": "two words"}, "type"),
        ({"id": "x" * 300}, "id"),
        ({"broadcast": True, "tenant_id": "t"}, "broadcast"),
        ({"data": {"tenant_id": "a"}, "tenant_id": "b"}, "tenant_id"),
    ],
)
def test_events_that_are_refused(executor: SubscriptionExecutor, more: dict[str, Any], member: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        executor.publish_event(**{"event_type": "t", "channel": "users", "data": {}, **more})
    assert isinstance(caught.value, ValueError)
    assert caught.value.errors[0]["index"] == 0
    assert member in str(caught.value)


def drain(executor: SubscriptionExecutor, subscription: str) -> list[bytes]:
    return list(iter(lambda: executor.next_event(subscription), None))


def test_next_events(executor: SubscriptionExecutor) -> None:
    for n in range(3):
        executor.register_subscription("c", n, USERS)
    for n in range(10):
        executor.publish_event("t", "users", {"id": n})
    first = executor.next_events("c", max=7)
    rest = executor.next_events("c")
    assert len(first) == 7
    assert len(first) + len(rest) == 30
    for n in range(3):
        assert [m for s, m in [*first, *rest] if s == str(n)] == [message(str(n), "users", {"id": k}) for k in range(10)]
    assert executor.next_events("c") == executor.next_events("unknown") == []


@pytest.mark.parametrize("count", [100, 1000])
def test_concurrent_subscriptions(executor: SubscriptionExecutor, count: int) -> None:
    for n in range(count):
        executor.register_subscription(f"conn{n}", f"sub{n}", USERS, user_id=f"user{n}", tenant_id=f"tenant{n % 10}")
    assert executor.get_metrics()["active_subscriptions"] == count
    assert executor.publish_event("t", "users", {"id": "all"}, broadcast=True) == count
    assert executor.publish_event("t", "users", {"id": "some"}, tenant_id="tenant3") == count // 10
    assert executor.publish_event("t", "users", {"id": "one"}, user_id="user7") == 1
    for n in range(count):
        ids = [json.loads(m)["payload"]["data"]["users"]["id"] for m in drain(executor, f"sub{n}")]
        assert ids == ["all", *(["some"] if n % 10 == 3 else []), *(["one"] if n == 7 else [])]
    for n in range(count):
        executor.complete_connection(f"conn{n}")
    metrics = executor.get_metrics()
    assert (metrics["active_subscriptions"], metrics["active_connections"], metrics["groups"]) == (0, 0, 0)


def test_configurations() -> None:
    SubscriptionExecutor(EventBusConfig.memory()).close()
    SubscriptionExecutor(EventBusConfig.redis("redis://127.0.0.1:1", "app")).close()
    with pytest.raises(InvalidConfig, match=r"bus\.url: .*maxlen"):
        SubscriptionExecutor(EventBusConfig.redis("redis://127.0.0.1:1?maxlen=-1", "app"))
    with pytest.raises(TypeError, match="EventBusConfig"):
        SubscriptionExecutor("redis://localhost")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="naming is exact or snake_case"):
        SubscriptionExecutor(naming="camel")


def test_schema_errors_come_at_once(tmp_path: Path) -> None:
    file = tmp_path / "shop.graphql"
    file.write_text("type Subscription {\n  orders: Order!\n}\n")
    with pytest.raises(InvalidConfig, match=r"shop\.graphql:2") as caught:
        SubscriptionExecutor(schema=file)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, SubscriptionError)


def test_naming_and_introspection() -> None:
    schema = "type User { fullName: String } type Subscription { users: User! }"
    with SubscriptionExecutor(schema=schema, naming="snake_case") as executor:
        executor.register_subscription("c", "s", "subscription { users { fullName } }")
        executor.publish_event("t", "users", {"full_name": "Anne"})
        assert executor.next_event("s") == message("s", "users", {"fullName": "Anne"})


def test_close() -> None:
    executor = SubscriptionExecutor()
    executor.register_subscription("c", "s", USERS)
    executor.close()
    executor.close()
    for call in (
        lambda: executor.next_event("s"),
        lambda: executor.publish_event("t", "users", {}),
        lambda: executor.register_subscription("c", "t", USERS),
        executor.get_metrics,
        executor.warmup,
    ):
        with pytest.raises(SubscriptionError, match="closed"):
            call()


def test_an_executor_that_is_left_behind_goes() -> None:
    executor = SubscriptionExecutor()

    def resolver(event: Any, executor: SubscriptionExecutor = executor) -> dict[str, Any]:
        return executor.get_metrics()  # which makes a cycle

    executor.register_resolver("users", resolver)
    del resolver
    executor.register_subscription("c", "s", USERS)
    gone = weakref.ref(executor)
    del executor
    gc.collect()
    assert gone() is None


def test_import_is_light() -> None:
    program = (
        "import sys; import fraiseql.subscriptions as s; s.SubscriptionExecutor\n"
        "heavy = {'asyncio', 'json', 'inspect', 'dataclasses', 'logging', 'typing', 'urllib.parse'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "import threading; assert threading.active_count() == 1"
    )
    subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}\n{program}"], check=True, timeout=60
    )


def test_public_names() -> None:
    import fraiseql.subscriptions as public

    assert sorted(public.__all__) == list(public.__all__) == dir(public)
    for name in public.__all__:
        assert getattr(public, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        public.Nothing  # noqa: B018


def test_eight_threads(executor: SubscriptionExecutor) -> None:
    """Mixed calls of eight threads beside one that keeps the interpreter busy."""
    rounds, failures, stop = 200, [], threading.Event()

    def busy() -> None:
        while not stop.is_set():
            sum(range(1000))

    def work(n: int) -> None:
        try:
            for k in range(rounds):
                executor.register_subscription(f"c{n}", f"s{n}", USERS, user_id=f"u{n}")
                assert executor.publish_event("t", "users", {"id": k}, user_id=f"u{n}") == 1
                assert executor.next_event(f"s{n}") == message(f"s{n}", "users", {"id": k})
                assert executor.next_event(f"s{n}") is None
                executor.get_metrics()
                executor.complete_subscription(f"s{n}")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    beside = threading.Thread(target=busy)
    beside.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    stop.set()
    beside.join()
    assert not failures
    assert executor.get_metrics()["messages_delivered"] == 8 * rounds
