"""Methods of the executor that are read by their first use are like any others."""

from __future__ import annotations

import pydoc
import re

import pytest
from children import python

LATER = (
    "register_resolver",
    "work",
    "set_schema",
    "revoke",
    "listen",
    "next_event_async",
    "get_metrics",
    "_aside",
    "_describe_resolver",
    "_resolver_named",
    "_resolver_failed",
    "_await_call",
    "_authenticate",
    "_hook",
)
PROLOGUE = f"""
import asyncio, inspect, sys, threading
from fraiseql.subscriptions import SubscriptionExecutor
LATER = {LATER!r}
assert "fraiseql.subscriptions.methods" not in sys.modules
"""

USES = {
    "the class tells what they are": """
from fraiseql.subscriptions.methods import Methods
assert {n for n in vars(Methods) if inspect.isfunction(vars(Methods)[n])} == set(LATER)
for name in LATER:
    method = getattr(SubscriptionExecutor, name)
    assert inspect.isfunction(method) and method.__doc__ and method.__name__ == name
    assert method.__qualname__ == f"SubscriptionExecutor.{name}"
    assert vars(SubscriptionExecutor)[name] is method
assert inspect.iscoroutinefunction(SubscriptionExecutor.next_event_async)
assert list(inspect.signature(SubscriptionExecutor.listen).parameters) == ["self", "subscription_id", "connection_id", "resume"]
""",
    "an executor has them": """
with SubscriptionExecutor() as executor:
    assert executor.get_metrics()["active_subscriptions"] == 0
    executor.register_subscription("c", "s", "subscription { users { id } }")
    assert executor.get_metrics()["active_subscriptions"] == 1
    assert inspect.ismethod(executor.listen) and executor.listen.__self__ is executor
""",
    "a subclass has them, and may have its own": """
class Own(SubscriptionExecutor):
    def get_metrics(self):
        return super().get_metrics() | {"own": 1}
assert Own().get_metrics()["own"] == 1
assert inspect.isfunction(Own.listen) and "listen" not in vars(Own)
""",
    "one that was replaced stays": """
before = vars(SubscriptionExecutor)["get_metrics"]
SubscriptionExecutor.get_metrics = lambda self: {}
assert before.__get__(None, SubscriptionExecutor) is not SubscriptionExecutor.get_metrics
assert SubscriptionExecutor().get_metrics() == {}
""",
    "threads may be first together": """
executor, found, gate = SubscriptionExecutor(), [], threading.Barrier(8)
def use():
    gate.wait()
    found.append(executor.get_metrics()["channels"])
threads = [threading.Thread(target=use) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert found == [0] * 8
""",
}


@pytest.mark.parametrize("use", USES)
def test_use(use: str) -> None:
    python(PROLOGUE + USES[use]).ok()


def test_help_shows_them() -> None:
    from fraiseql.subscriptions import SubscriptionExecutor

    text = pydoc.plain(pydoc.render_doc(SubscriptionExecutor))
    for name in LATER:
        assert name.startswith("_") or re.search(rf" {name}\([\s|]*self", text), name  # long signatures have lines of their own
    assert "Iterate over the messages of a subscription" in text
