"""What the C extension withstands: Python code that runs in the middle of its work and takes everything away."""

from __future__ import annotations

import dataclasses
import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest
from children import python
from fraiseql.subscriptions import SubscriptionError, SubscriptionExecutor

QUERY = "subscription { a { n } }"


class Meddling:
    """A resolver that does something when it is hashed or compared."""

    def __init__(self, on: str, act: Callable[[], object]) -> None:
        self.on = on
        self.act = act

    def meddle(self, on: str) -> None:
        if self.on == on:
            self.on = ""
            self.act()

    def __hash__(self) -> int:
        self.meddle("hash")
        return 7

    def __eq__(self, other: object) -> bool:
        self.meddle("eq")
        return False

    def __call__(self, event: Any) -> dict[str, int]:
        return {"n": 1}


def attempt(call: Callable[[], object]) -> None:
    try:
        call()
    except SubscriptionError:
        pass


@pytest.mark.parametrize("on", ["hash", "eq"])
@pytest.mark.parametrize("who", ["the known one", "the new one", "the one that goes"])
def test_a_resolver_that_closes_the_executor_when_it_is_compared(on: str, who: str) -> None:
    for _ in range(20):
        executor = SubscriptionExecutor()
        known = Meddling("", executor.close)
        new = Meddling("", executor.close)
        executor.register_subscription("c", "known", QUERY, resolver=known)
        if who == "the one that goes":
            executor.register_subscription("c", "new", QUERY, resolver=new)
            new.on = on
            attempt(lambda: executor.complete_subscription("new"))
        else:
            (known if who == "the known one" else new).on = on
            attempt(lambda: executor.register_subscription("c", "new", QUERY, resolver=new))
        executor.close()
        gc.collect()


def test_a_resolver_that_registers_others_when_it_is_compared() -> None:
    with SubscriptionExecutor() as executor:
        others = [Meddling("", lambda: None) for _ in range(100)]

        def more() -> None:
            for i, other in enumerate(others):
                executor.register_subscription("c", f"other{i}", QUERY, resolver=other)

        executor.register_subscription("c", "first", QUERY, resolver=Meddling("eq", more))
        executor.register_subscription("c", "second", QUERY, resolver=Meddling("", lambda: None))
        assert executor.publish_event("t", "a", {"n": 1}) == 102


def test_resolvers_that_are_equal_and_not_the_same_share_nothing() -> None:
    @dataclasses.dataclass(frozen=True)
    class Resolver:
        name: str
        secret: str = dataclasses.field(compare=False)

        def __call__(self, event: Any) -> dict[str, str]:
            return {"n": self.secret}

        def method(self, event: Any) -> dict[str, str]:
            return {"n": self.secret}

    one, other = Resolver("r", "of one"), Resolver("r", "of the other")
    assert one == other
    with SubscriptionExecutor() as executor:
        executor.register_subscription("c", "one", QUERY, resolver=one)
        executor.register_subscription("c", "other", QUERY, resolver=other)
        executor.register_subscription("c", "method", QUERY, resolver=one.method)
        executor.register_subscription("c", "same", QUERY, resolver=one.method)
        assert executor.publish_event("t", "a", {"n": "raw"}) == 4
        assert dict(executor.next_events("c")) == {
            name: b'{"id":"%s","type":"next","payload":{"data":{"a":{"n":"%s"}}}}' % (name.encode(), secret)
            for name, secret in (("one", b"of one"), ("other", b"of the other"), ("method", b"of one"), ("same", b"of one"))
        }
        assert executor.get_metrics()["groups"] == 3
        executor.complete_subscription("one")
        executor.register_subscription("c", "again", QUERY, resolver=other)
        assert executor.get_metrics()["groups"] == 2


@pytest.mark.parametrize("act", ["close", "publish", "complete", "empty"])
def test_a_value_that_meddles_while_it_is_written(act: str) -> None:
    executor = SubscriptionExecutor()
    executor.register_subscription("c", "s", QUERY)

    class Value:
        def model_dump(self, mode: str) -> dict[str, Any]:
            if act == "close":
                executor.close()
            elif act == "publish":
                executor.publish_event("t", "a", {"n": 2})
            elif act == "complete":
                executor.complete_connection("c")
            else:
                data.clear()
                items.clear()
            return {}

    items: list[Any] = [Value(), [], "x"] * 5
    data: dict[str, Any] = {"n": 1, "value": Value(), "items": items, "last": {}}
    for call in (
        lambda: executor.publish_event("t", "a", data),
        lambda: executor.register_subscription("c", "more", "subscription ($v: V) { a(v: $v) { n } }", None, data),
    ):
        try:
            call()
        except (SubscriptionError, ValueError):
            pass
    executor.close()


def test_every_method_takes_every_argument() -> None:
    """Also the private ones, with handles that were never given out: nothing but exceptions."""
    odd: list[Any] = [
        None,
        True,
        1,
        -1,
        2**31,
        2**63,
        2**200,
        1.5,
        "",
        "x",
        "\ud800",
        b"",
        b"x",
        [],
        {},
        object(),
        (),
        "a" * 70000,
    ]
    with SubscriptionExecutor() as executor:
        executor.register_subscription("c", "s", QUERY)
        names = [name for name in dir(type(executor).__base__) if not name.startswith("__") and name not in ("close", "_serve")]
        for name in names:
            method = getattr(executor, name)
            for first in odd:
                for second in odd:
                    for arguments in ((first,), (first, second), (first, second, "x"), (1, first, second), (1, first, 1, second)):
                        try:
                            method(*arguments)
                        except (SubscriptionError, TypeError, ValueError, KeyError, OverflowError):
                            pass


def test_threads_that_race_with_close() -> None:
    for _ in range(5):
        executor = SubscriptionExecutor()
        executor.warmup()
        stop = threading.Event()

        def work(number: int, executor: SubscriptionExecutor = executor, stop: threading.Event = stop) -> None:
            long = QUERY + " " * 3000  # so long that the GIL is released
            turn = 0
            while not stop.is_set():
                turn += 1
                for call in (
                    lambda: executor.register_subscription(number % 2, turn % 5, long, resolver=lambda event: {"n": 1}),
                    lambda: executor.publish_event("t", "a", {"n": "x" * 40000}),
                    lambda: executor.next_events(number % 2, 5000),
                    lambda: executor.complete_subscription(turn % 5, number % 2),
                    lambda: executor.complete_connection(number % 2),
                ):
                    attempt(call)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        closing = [threading.Thread(target=executor.close) for _ in range(2)]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()
        stop.set()
        for thread in threads:
            thread.join()


def test_a_resolver_that_forks_and_goes_on_in_the_child() -> None:
    ended = python(
        """
        import os, warnings
        from fraiseql.subscriptions import ForkError, SubscriptionExecutor

        warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads, which this is about
        executor = SubscriptionExecutor()
        parent, children = os.getpid(), []

        def forks(event):
            children.append(os.fork())
            return {"n": 1}

        executor.register_resolver("a", forks)
        executor.register_subscription("c", "s", "subscription { a { n } }")
        try:
            executor.publish_event("t", "a", {"n": 1})
            executor.next_event("s")
        except ForkError:
            os._exit(3)
        if os.getpid() != parent:
            os._exit(4)
        assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 3
        print("well")
        """
    )
    assert ended.ok() == "well\n"


def test_the_collector_at_every_turn() -> None:
    ended = python(
        """
        import gc
        from fraiseql.subscriptions import SubscriptionError, SubscriptionExecutor

        QUERY = "subscription { a { n } }"
        executor = SubscriptionExecutor()

        class Trap:
            def __init__(self):
                self.itself = self

            def __del__(self):
                for call in (lambda: executor.complete_connection("c"), lambda: executor.register_subscription("c", "s", QUERY)):
                    try:
                        call()
                    except SubscriptionError:
                        pass

        gc.set_threshold(1, 1, 1)
        for _ in range(300):
            for call in (
                lambda: executor.register_subscription("c", "s", QUERY),
                lambda: executor.publish_event("t", "a", {"n": 1}),
                lambda: executor.next_events("c"),
                lambda: executor.subscriptions_by_channel("a"),
                lambda: executor.complete_subscription("s"),
            ):
                Trap()
                try:
                    call()
                except SubscriptionError:
                    pass
        gc.set_threshold(700, 10, 10)
        for _ in range(100):  # executors in cycles with their resolvers
            one = SubscriptionExecutor()

            class Resolver:
                executor = one

                def __call__(self, event):
                    return {"n": 1}

                def __del__(self):
                    try:
                        self.executor.publish_event("t", "a", {"n": 1})
                    except SubscriptionError:
                        pass

            one.register_subscription("c", "s", QUERY, resolver=Resolver())
            one.register_resolver("a", Resolver())
            one.itself = one
        del one, Resolver
        gc.collect()
        print("well")
        """,
        options=("-X", "dev"),
        env={"PYTHONMALLOC": "debug"},
    )
    assert ended.ok() == "well\n"
