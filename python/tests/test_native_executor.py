"""What the C extension keeps: ids, connections, channels; its arguments; calls of resolvers from within resolvers."""

from __future__ import annotations

import gc
import inspect
import random
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from fraiseql import _native
from fraiseql.subscriptions import DuplicateSubscription, Skip, SlowConsumer, SubscriptionError, SubscriptionExecutor


@pytest.fixture
def executor() -> Iterator[SubscriptionExecutor]:
    with SubscriptionExecutor() as one:
        yield one


def query(channel: str) -> str:
    return f"subscription {{ {channel} {{ n }} }}"


def test_ids_are_compared_as_text(executor: SubscriptionExecutor) -> None:
    class Id(str):
        __slots__ = ()

        def __hash__(self) -> int:
            raise AssertionError("not asked")

        def __eq__(self, other: object) -> bool:
            raise AssertionError("not asked")

    assert executor.register_subscription(1, 2, query("a")) == "2"
    assert executor.publish_event("t", "a", {"n": 1}) == 1
    assert executor.next_event(Id("2"), Id("1")) == b'{"id":"2","type":"next","payload":{"data":{"a":{"n":1}}}}'
    assert executor.complete_subscription("2", 1) is True
    assert executor.complete_subscription(2) is False
    for wrong in (True, 1.0, b"1", None):
        with pytest.raises(TypeError, match="subscription_id must be str or int"):
            executor.next_event(wrong)  # type: ignore[arg-type]


def test_an_id_of_two_connections(executor: SubscriptionExecutor) -> None:
    for connection in ("x", "y", "z"):
        executor.register_subscription(connection, "same", query("a"))
    for call in (executor.next_event, executor.complete_subscription, executor._find):
        with pytest.raises(ValueError, match="give connection_id"):
            call("same")
    assert executor.next_event("same", "y") is None
    assert executor.complete_connection("x") is True
    assert executor.complete_subscription("same", "z") is True
    assert executor.complete_subscription("same", "z") is False
    assert executor.next_event("same") is None
    assert executor._find("same") == executor._find("same", "y")


@pytest.mark.parametrize("seed", range(5))
def test_tables_against_a_model(executor: SubscriptionExecutor, seed: int, full: bool) -> None:
    source = random.Random(seed)
    model: dict[tuple[str, str], str] = {}
    for _ in range(4_000 if full else 500):
        connection, subscription, channel = source.choice("abcdef"), str(source.randrange(30)), source.choice(["p", "q", "r"])
        kind = source.randrange(8)
        if kind < 4:
            if (connection, subscription) in model:
                with pytest.raises(SubscriptionError):
                    executor.register_subscription(connection, subscription, query(channel))
            else:
                executor.register_subscription(connection, subscription, query(channel))
                model[connection, subscription] = channel
        elif kind < 6:
            known = model.pop((connection, subscription), None)
            assert executor.complete_subscription(subscription, connection) is (known is not None)
        elif kind == 6 and source.random() < 0.2:
            executor.complete_connection(connection)
            model = {key: value for key, value in model.items() if key[0] != connection}
        else:
            assert executor.publish_event("t", channel, {"n": 1}) == sum(1 for value in model.values() if value == channel)
        assert executor.subscriptions_by_channel(channel) == [key[1] for key, value in model.items() if value == channel]
        holders = [key for key in model if key[1] == subscription]
        if len(holders) > 1:
            with pytest.raises(ValueError, match="give connection_id"):
                executor._find(subscription)
        elif holders:
            assert executor._find(subscription) == executor._find(subscription, holders[0][0])
        else:
            with pytest.raises(KeyError):
                executor._find(subscription)


def test_next_events_of_many(executor: SubscriptionExecutor) -> None:
    for number in range(20):
        executor.register_subscription("c", number, query("a"))
    for number in range(50):
        assert executor.publish_event("t", "a", {"n": number}) == 20
    taken: list[tuple[str, bytes]] = []
    while some := executor.next_events("c", max=7):
        assert len(some) <= 7
        taken += some
    assert len(taken) == 1_000
    for number in range(20):
        mine = [message for one, message in taken if one == str(number)]
        assert [f'"n":{n}}}'.encode() in message for n, message in enumerate(mine)] == [True] * 50
    assert executor.next_events("nobody") == []
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="positive"):
            executor.next_events("c", wrong)


def test_next_events_raises_for_who_did_not_keep_up() -> None:
    with SubscriptionExecutor(limits={"queue_messages": 3}) as executor:
        executor.register_subscription("c", "slow", query("a"))
        executor.register_subscription("c", "other", query("b"))
        for number in range(5):
            executor.publish_event("t", "a", {"n": number})
        assert [one for one, _ in executor.next_events("c")] == ["slow"] * 3
        with pytest.raises(SubscriptionError) as caught:
            executor.next_events("c")
        assert caught.value.code == "SLOW_CONSUMER"
        assert executor.next_events("c") == []
        with pytest.raises(KeyError):
            executor._find("slow")


@pytest.mark.parametrize(
    ("arguments", "names", "says"),
    [
        ((), {}, "missing required argument: 'subscription_id'"),
        (("a", "b", "c"), {}, "at most 2 positional"),
        (("a",), {"nothing": 1}, "unexpected keyword argument 'nothing'"),
        (("a",), {"subscription_id": "b"}, "multiple values for argument 'subscription_id'"),
    ],
)
def test_arguments(executor: SubscriptionExecutor, arguments: tuple[Any, ...], names: dict[str, Any], says: str) -> None:
    with pytest.raises(TypeError, match=says):
        executor.next_event(*arguments, **names)


def test_names_that_are_not_interned(executor: SubscriptionExecutor) -> None:
    given = {name[::-1]: value for name, value in (("di_noitcennoc", "c"), ("di_noitpircsbus", "s"), ("yreuq", query("a")))}
    assert executor.register_subscription(**given) == "s"  # type: ignore[arg-type]


def test_signatures_can_be_inspected() -> None:
    names = list(inspect.signature(_native.Executor.publish_event).parameters)
    assert names == [
        "self",
        "event_type",
        "channel",
        "data",
        "id",
        "tenant_id",
        "user_id",
        "broadcast",
        "federation_id",
        "service_name",
    ]


def test_data_that_is_no_object(executor: SubscriptionExecutor) -> None:
    wrong: Any
    for wrong in ([], 5, None, (1,), 1.5):
        with pytest.raises(TypeError, match="data must be a dict"):
            executor.publish_event("t", "a", wrong)
    with pytest.raises(TypeError, match=r"^data: keys must be str"):
        executor.publish_event("t", "a", {1: 2})


def test_resolvers_within_resolvers(executor: SubscriptionExecutor) -> None:
    def resolve(event: _native.Event) -> Any:
        left = event.data["n"]
        if left:
            assert executor.publish_event("t", f"level{left - 1}", {"n": left - 1}) == 1
        return {"n": left}

    for level in range(30):
        executor.register_resolver(f"level{level}", resolve)
        executor.register_subscription("c", level, query(f"level{level}"))
    assert executor.publish_event("t", "level29", {"n": 29}) == 1
    assert {one for one, _ in executor.next_events("c", 1000)} == {str(level) for level in range(30)}


def test_resolvers_without_end(executor: SubscriptionExecutor) -> None:
    depth = 0

    def resolve(event: _native.Event) -> Any:
        nonlocal depth
        depth += 1
        executor.publish_event("t", f"level{event.data['n'] + 1}", {"n": event.data["n"] + 1})
        return {"n": 1}

    for level in range(120):
        executor.register_resolver(f"level{level}", resolve)
        executor.register_subscription("c", level, query(f"level{level}"))
    executor.publish_event("t", "level0", {"n": 0})
    assert depth == 100


@pytest.mark.parametrize("what", ["complete", "connection", "close", "register", "publish"])
def test_resolvers_that_change_what_runs(executor: SubscriptionExecutor, what: str) -> None:
    again = iter(range(3))

    def resolve(event: _native.Event) -> Any:
        if what == "complete":
            executor.complete_subscription("s", "c")
        elif what == "connection":
            executor.complete_connection("c")
        elif what == "close":
            executor.close()
        elif what == "register":
            for number in range(100):
                executor.register_subscription("d", f"{event.id}{number}", query("other"), resolver=lambda event: None)
        elif next(again, None) is not None:
            executor.publish_event("t", "a", {"n": 1})
        gc.collect()
        return {"n": 1}

    executor.register_subscription("c", "s", query("a"), resolver=resolve)
    executor.register_subscription("c", "t", query("a"), resolver=resolve)
    executor.publish_event("t", "a", {"n": 1})


def test_an_interrupt_goes_on_to_the_publisher(executor: SubscriptionExecutor) -> None:
    def interrupted(event: _native.Event) -> Any:
        raise KeyboardInterrupt

    seen = []
    executor.register_subscription("c", "s", query("a"), resolver=interrupted)
    executor.register_subscription("c", "t", query("a"), resolver=lambda event: seen.append(event) or {"n": 2})
    with pytest.raises(KeyboardInterrupt):
        executor.publish_event("t", "a", {"n": 1})
    assert len(seen) == 1
    assert b'"code":"RESOLVER_FAILED"' in (executor.next_event("s") or b"")
    assert b'"n":2' in (executor.next_event("t") or b"")


def test_what_resolvers_are_called_with(executor: SubscriptionExecutor) -> None:
    got: list[Any] = []

    def resolve(event: _native.Event, variables: Any, context: Any) -> Any:
        got.extend((event, variables, context))
        raise Skip

    who = {"user_id": "u", "tenant_id": "t"}
    document = "subscription($x: Int) { a(x: $x) { n } }"
    executor.register_subscription("c", "s", document, None, {"x": 5}, roles=["r"], scopes={"s"}, resolver=resolve, **who)
    data = {"x": 5, "text": "é😀", "price": 12.5, "big": 2**80, "list": [1, None, True]}
    assert executor.publish_event("made", "a", data, id="1", **who) == 1  # type: ignore[arg-type]
    assert executor.next_event("s") is None
    event, variables, context = got
    assert variables == {"x": 5}
    assert context == {"user_id": "u", "tenant_id": "t", "roles": ["r"], "scopes": ["s"]}
    assert event.data == data
    assert event.data is event["data"] is event.get("data")
    assert _native.loads(event.raw) == data
    assert (event.id, event.type, event.channel, event.tenant_id, event.user_id) == ("1", "made", "a", "t", "u")
    assert (event.federation_id, event.service_name, event.broadcast) == (None, None, False)
    assert dict(event) == dict(event.items())
    assert len(event) == len(event.keys()) == len(event.values()) == len(list(event))
    assert "type" in event
    assert "nothing" not in event
    assert event.get("nothing", 7) == 7
    with pytest.raises(KeyError):
        event["nothing"]
    with pytest.raises(AttributeError):
        event.id = "2"
    assert repr(event) == "Event(type='made', channel='a', id='1')"
    with pytest.raises(TypeError):
        type(event)()


def test_functions_of_subscriptions_are_let_go(executor: SubscriptionExecutor) -> None:
    class Resolver:
        def __call__(self, event: _native.Event) -> Any:
            return {"n": 1}

    class Odd(Resolver):
        __hash__ = None  # type: ignore[assignment]

    for kind in (Resolver, Odd):
        one = kind()
        gone = weakref.ref(one)
        for number in range(3):
            executor.register_subscription("c", number, query("a"), resolver=one)
        with pytest.raises(SubscriptionError):
            executor.register_subscription("c", 3, "subscription { broken", resolver=one)
        del one
        executor.complete_subscription(0)
        assert gone() is not None
        assert executor.publish_event("t", "a", {"n": 1}) == 2
        executor.complete_connection("c")
        gc.collect()
        assert gone() is None


def test_a_cycle_through_a_resolver_is_collected() -> None:
    class Owner:
        def __init__(self) -> None:
            self.executor = SubscriptionExecutor()
            self.executor.register_resolver("a", self.resolve)

        def resolve(self, event: _native.Event) -> Any:
            return None

    gone = weakref.ref(Owner())
    gc.collect()
    assert gone() is None


def test_threads_call_everything(executor: SubscriptionExecutor, full: bool) -> None:
    executor.register_resolver("resolved", lambda event: executor.publish_event("t", "plain", event.data) and event.data)
    problems: list[BaseException] = []

    def step(source: random.Random, connection: str, number: int) -> None:
        if number % 7 == 0:
            executor.complete_subscription(source.randrange(10), connection)
        if number % 50 == 0:
            executor.complete_connection(connection)
            executor.get_metrics()
        executor.register_subscription(connection, number % 10, query(source.choice(["plain", "resolved"])))
        executor.publish_event("t", source.choice(["plain", "resolved"]), {"n": number})
        executor.subscriptions_by_channel("plain")
        for _, message in executor.next_events(connection):
            assert b'"n":' in message
        executor.next_event(source.randrange(10), connection)

    def work(number: int) -> None:
        source = random.Random(number)
        for round_ in range(2_000 if full else 300):
            try:
                step(source, source.choice([f"own{number}", "shared"]), round_)
            except (DuplicateSubscription, SlowConsumer):
                pass
            except BaseException as error:
                problems.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_closing_beside_calls() -> None:
    for _ in range(20):
        executor = SubscriptionExecutor()
        problems: list[BaseException] = []

        def work(executor: SubscriptionExecutor = executor, problems: list[BaseException] = problems) -> None:
            number = 0
            try:
                while True:
                    executor.register_subscription("c", number, query("a") + " " * 3_000)
                    executor.publish_event("t", "a", {"n": 1, "text": "x" * 40_000})
                    executor.next_events("c")
                    number += 1
            except SubscriptionError:
                pass
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        executor.publish_event("t", "a", {"n": 1})
        executor.close()
        for thread in threads:
            thread.join()
        assert problems == []


def test_an_executor_that_was_not_made() -> None:
    class Lazy(_native.Executor):
        def __init__(self) -> None:
            pass

    with pytest.raises(RuntimeError, match="__init__"):
        Lazy().get_metrics()
    executor = SubscriptionExecutor()
    with pytest.raises(RuntimeError, match="before"):
        _native.Executor.__init__(executor, b"{}")


def test_a_connection_that_ends_while_a_subscription_of_it_begins() -> None:
    """A long document is registered without the GIL: its connection may be completed, and made anew, before its id is known."""
    executor = SubscriptionExecutor(limits={"queue_messages": 1 << 20, "queue_bytes": 1 << 28, "connection_queue_bytes": 1 << 28})
    before = sys.getswitchinterval()
    sys.setswitchinterval(30)  # the other thread goes on when this one waits
    try:
        for number in range(20):
            executor.register_subscription("c", "first", query("a"))
            fields = " ".join(f"field_{number}_{n}" for n in range(190))
            parts = " ".join(f"part_{n} {{ {fields} }}" for n in range(9))
            arguments = ("c", "long", f"subscription {{ a {{ {parts} }} }}")
            thread = threading.Thread(target=executor.register_subscription, args=arguments)
            thread.start()
            while executor.publish_event("t", "a", {"n": 1}) == 1:
                assert thread.is_alive()
            assert executor.complete_connection("c")
            executor.register_subscription("c", "second", query("a"))
            thread.join()
            assert executor.publish_event("t", "a", {"n": 1}) == 1
            assert [id_ for id_, _ in executor.next_events("c")] == ["second"]
            assert executor.complete_connection("c")
            assert executor.publish_event("t", "a", {"n": 1}) == 0
    finally:
        sys.setswitchinterval(before)
    executor.close()


def test_messages_of_what_is_being_registered() -> None:
    """A long document is registered without the GIL: what comes for it meanwhile waits until its id is known."""
    executor = SubscriptionExecutor(limits={"queue_messages": 1 << 20, "queue_bytes": 1 << 28, "connection_queue_bytes": 1 << 28})
    rounds, document = 40, "subscription { a { n } } #" + "x" * 4000
    begun, registered = threading.Semaphore(0), threading.Event()
    taken: list[tuple[str, bytes]] = []
    executor.register_subscription("c", "first", query("other"))

    def drain() -> None:
        while True:
            last = registered.is_set()
            messages = executor.next_events("c", 5)
            taken.extend(messages)
            begun.release()
            if last and not messages:
                return

    def register() -> None:
        for number in range(rounds):
            executor.register_subscription("c", number, document + str(number))
            begun.acquire()
        registered.set()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work) for work in (drain, drain, register)]
        for thread in threads:
            thread.start()
        enqueued = 0
        while not registered.is_set():
            enqueued += executor.publish_event("t", "a", {"n": 1}) or 0
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    taken.extend(executor.next_events("c", 1 << 20))
    assert len(taken) == enqueued
    executor.close()
