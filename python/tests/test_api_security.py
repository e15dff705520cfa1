"""Who sees an event, and the bounds: each denied event does not arrive while an allowed one published after it does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fraiseql.subscriptions import (
    AuthorizationFailed,
    InvalidEvent,
    InvalidQuery,
    RateLimited,
    SlowConsumer,
    SubscriptionExecutor,
    SubscriptionManager,
)
from orders import SCHEMA, USERS, message


def drain(executor: SubscriptionExecutor, subscription: str) -> list[bytes]:
    return list(iter(lambda: executor.next_event(subscription), None))


@pytest.mark.parametrize("make", [SubscriptionExecutor, SubscriptionManager])
@pytest.mark.parametrize("value", ["strict", "", 7, 0, False, ["x"], [("isolation", "strict")]])
def test_settings_are_dicts(make: Any, value: Any) -> None:
    kind = type(value).__name__
    with pytest.raises(TypeError, match=rf'^security is a dict such as {{"isolation": "strict"}}, not {kind}$'):
        make(security=value)
    with pytest.raises(TypeError, match=rf'^limits is a dict such as {{"queue_messages": 100}}, not {kind}$'):
        make(limits=value)


class TestSecurity:
    def test_tenant_and_user(self, orders: SubscriptionExecutor) -> None:
        query = "subscription { orders { id } }"
        orders.register_subscription("c", "anne", query, user_id="anne", tenant_id="acme")
        orders.register_subscription("c", "gus", query, user_id="gus", tenant_id="globex")
        orders.register_subscription("c", "nobody", query)
        assert orders.publish_event("t", "orders", {"id": "1"}, tenant_id="acme") == 1
        assert orders.publish_event("t", "orders", {"id": "2"}, user_id="gus") == 1
        assert orders.publish_event("t", "orders", {"id": "3"}, user_id="gus", tenant_id="acme") == 0
        assert orders.publish_event("t", "orders", {"id": "4"}) == 3
        seen = {
            s: [json.loads(m)["payload"]["data"]["orders"]["id"] for m in drain(orders, s)] for s in ("anne", "gus", "nobody")
        }
        assert seen == {"anne": ["1", "4"], "gus": ["2", "4"], "nobody": ["4"]}
        denied = orders.get_metrics()["denied"]
        assert denied["tenant"] + denied["row"] == 2 + 2 + 3

    def test_owner(self, orders: SubscriptionExecutor) -> None:
        orders.register_subscription("c", "s", "subscription { mine { id } }", user_id="anne")
        for owner in ("gus", None, ["gus"]):
            assert orders.publish_event("t", "orders", {"id": "1", "owner": owner}) == 0
        assert orders.publish_event("t", "orders", {"id": "2", "owner": ["gus", "anne"]}) == 1
        assert drain(orders, "s") == [message("s", "mine", {"id": "2"})]

    def test_scope(self, executor: SubscriptionExecutor) -> None:
        with pytest.raises(AuthorizationFailed) as caught:
            executor.register_subscription("c", "s", 'subscription { users(user_id: "gus") { id } }', user_id="anne")
        assert caught.value.code == "SCOPE_MISMATCH"
        executor.register_subscription("c", "s", 'subscription { users(user_id: "anne") { id } }', user_id="anne")
        assert executor.get_metrics()["denied"]["scope"] == 1

    def test_roles_and_scopes(self, orders: SubscriptionExecutor) -> None:
        for query in ("subscription { orders { margin } }", "subscription { orders { cost } }", "subscription { secret { id } }"):
            with pytest.raises(AuthorizationFailed) as caught:
                orders.register_subscription("c", "s", query)
            assert caught.value.code in ("FORBIDDEN", "UNAUTHENTICATED")
        query = "subscription { orders { margin cost } }"
        orders.register_subscription("c", "s", query, user_id="u", roles=["accounting"], scopes=("cost", "other"))
        assert orders.publish_event("t", "orders", {"id": "1", "margin": 2, "cost": 3}) == 1
        assert orders.get_metrics()["denied"]["rbac"] == 3

    def test_federation(self, orders: SubscriptionExecutor) -> None:
        query = "subscription { orders { id } }"
        orders.register_subscription("c", "inside", query, federation_id="f", service_name="s")
        orders.register_subscription("c", "outside", query)
        assert orders.publish_event("t", "orders", {"id": "1"}, federation_id="other") == 0
        assert orders.publish_event("t", "orders", {"id": "2"}, federation_id="f", service_name="s") == 1
        assert orders.publish_event("t", "orders", {"id": "3"}) == 1
        assert drain(orders, "inside") == [message("inside", "orders", {"id": "2"})]
        assert drain(orders, "outside") == [message("outside", "orders", {"id": "3"})]

    def test_strict_isolation(self) -> None:
        with SubscriptionExecutor(schema=SCHEMA, security={"isolation": "strict"}) as strict:
            strict.register_subscription("c", "s", "subscription { orders { id } }", tenant_id="t")
            with pytest.raises(InvalidEvent, match="tenant_id"):
                strict.publish_event("t", "orders", {"id": "1"})
            assert strict.publish_event("t", "orders", {"id": "2"}, broadcast=True) == 1
            assert strict.publish_event("t", "orders", {"id": "3"}, tenant_id="t") == 1

    def test_row_filter(self) -> None:
        with SubscriptionExecutor(security={"row_filter": "none"}) as open_:
            open_.register_subscription("c", "s", USERS, tenant_id="t")
            assert open_.publish_event("t", "users", {"id": 1, "tenant_id": "other"}) == 1


class TestLimits:
    def test_subscriptions_per_connection(self) -> None:
        with SubscriptionExecutor(limits={"subscriptions_per_connection": 2}) as limited:
            for n in range(2):
                limited.register_subscription("c", n, USERS)
            with pytest.raises(RateLimited) as caught:
                limited.register_subscription("c", 2, USERS)
            assert caught.value.code == "TOO_MANY_SUBSCRIPTIONS"
            limited.register_subscription("other", 2, USERS)
            limited.complete_subscription(0)
            limited.register_subscription("c", 2, USERS)

    def test_subscriptions_per_user(self) -> None:
        with SubscriptionExecutor(limits={"subscriptions_per_user": 2}) as limited:
            for n in range(2):
                limited.register_subscription(n, n, USERS, user_id="u", tenant_id="t")
            with pytest.raises(RateLimited) as caught:
                limited.register_subscription("c", "s", USERS, user_id="u", tenant_id="t")
            assert caught.value.code == "TOO_MANY_SUBSCRIPTIONS"
            limited.register_subscription("c", "s", USERS, user_id="u", tenant_id="other")

    def test_rates(self) -> None:
        with SubscriptionExecutor(
            limits={"subscribe_rate": 1, "subscribe_burst": 3, "publish_rate": 1, "publish_burst": 2}
        ) as limited:
            for n in range(3):
                limited.register_subscription("c", n, USERS, user_id="u")
            with pytest.raises(RateLimited) as caught:
                limited.register_subscription("c", 3, USERS, user_id="u")
            assert caught.value.code == "RATE_LIMITED"
            limited.register_subscription("c", 3, USERS, user_id="another")
            for _ in range(2):
                limited.publish_event("t", "users", {}, tenant_id="t")
            with pytest.raises(RateLimited, match=r"\w"):
                limited.publish_event("t", "users", {}, tenant_id="t")
            limited.publish_event("t", "users", {}, tenant_id="another")

    def test_documents_and_events(self) -> None:
        with SubscriptionExecutor(limits={"document_bytes": 100, "document_depth": 3, "event_bytes": 50}) as limited:
            for query in (USERS + " " * 100, "subscription { a { b { c { d } } } }"):
                with pytest.raises(InvalidQuery) as caught:
                    limited.register_subscription("c", "s", query)
                assert caught.value.code == "LIMIT_EXCEEDED"
            with pytest.raises(InvalidEvent) as too_large:
                limited.publish_event("t", "users", {"id": "x" * 50})
            assert too_large.value.code == "LIMIT_EXCEEDED"

    def test_slow_consumer(self) -> None:
        with SubscriptionExecutor(limits={"queue_messages": 3}) as limited:
            limited.register_subscription("c", "s", USERS)
            for n in range(5):
                limited.publish_event("t", "users", {"id": n})
            assert [limited.next_event("s") for _ in range(3)] == [message("s", "users", {"id": n}) for n in range(3)]
            with pytest.raises(SlowConsumer) as caught:
                limited.next_event("s")
            assert caught.value.code == "SLOW_CONSUMER"
            assert limited.next_event("s") is None
            assert limited.get_metrics()["active_subscriptions"] == 0
            limited.register_subscription("c", "s", USERS)
