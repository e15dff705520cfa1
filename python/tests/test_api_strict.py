"""Arguments that cannot be right: errors that name them, and nothing that opens."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fraiseql.integrations.asgi import SubscriptionApp
from fraiseql.integrations.fastapi import create_subscription_router
from fraiseql.integrations.starlette import create_subscription_app
from fraiseql.subscriptions import SlowConsumer, SubscriptionExecutor, SubscriptionManager

SDL = "type O { id: ID! } type Subscription { o: O }"
TRUTHY: list[Any] = ["false", "no", 1, [0], 0, ""]


@pytest.mark.parametrize("wrong", TRUTHY)
class TestBools:
    def test_broadcast(self, wrong: Any) -> None:
        with SubscriptionExecutor(security={"isolation": "strict"}) as executor:
            executor.register_subscription("c", "s", "subscription { orders { id } }", tenant_id="globex")
            with pytest.raises(TypeError, match=f"broadcast must be bool, not {type(wrong).__name__}"):
                executor.publish_event("t", "orders", {"id": "1"}, broadcast=wrong)
            assert executor.next_event("s") is None

    def test_introspection(self, wrong: Any) -> None:
        for kind in (SubscriptionExecutor, SubscriptionManager):
            for schema in (None, SDL):
                with pytest.raises(TypeError, match="introspection must be bool"):
                    kind(schema=schema, introspection=wrong)

    def test_everybody(self, wrong: Any) -> None:
        with SubscriptionExecutor() as executor, pytest.raises(TypeError, match="everybody must be bool"):
            executor.revoke(everybody=wrong)

    def test_mounts(self, wrong: Any) -> None:
        manager = SubscriptionManager()
        for options in ({"anonymous": wrong}, {"anonymous": True, "legacy_graphql_ws": wrong}):
            with pytest.raises(TypeError, match="must be bool"):
                SubscriptionApp(manager, **options)
        with pytest.raises(TypeError, match="anonymous must be bool"):
            SubscriptionApp(manager, lambda params, request: {}, anonymous=wrong)
        for make in (create_subscription_app, create_subscription_router):
            with pytest.raises(TypeError, match="streams must be bool"):
                make(manager, anonymous=True, streams=wrong)
        with pytest.raises(TypeError, match="anonymous must be bool"):
            asyncio.run(manager.serve(port=0, anonymous=wrong))
        manager.close()


def test_broadcast_may_be_none(executor: SubscriptionExecutor) -> None:
    assert executor.publish_event("t", "ch", {}, broadcast=None) == 0  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"user_id": "u", "issued_before": float("nan")}, "issued_before is seconds since 1970, not nan"),
        ({"user_id": "u", "issued_before": float("inf")}, "issued_before is seconds since 1970, not inf"),
        ({"user_id": "u", "issued_before": -1}, "issued_before is seconds since 1970, not -1"),
        ({"user_id": "u", "issued_before": 1e12}, "issued_before"),
        ({"user_id": ""}, "user_id is empty"),
        ({"tenant_id": ""}, "tenant_id is empty"),
        ({}, "names a token"),
    ],
)
def test_revocations(executor: SubscriptionExecutor, arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        executor.revoke(**arguments)

    async def revoke() -> None:
        async with SubscriptionManager() as manager:
            await manager.revoke(**arguments)

    with pytest.raises(ValueError, match=text):
        asyncio.run(revoke())


def test_texts_name_the_argument(executor: SubscriptionExecutor) -> None:
    def register(**options: Any) -> Any:
        return executor.register_subscription("c", "s", "subscription { a { b } }", **options)

    calls: dict[str, Any] = {
        "roles must be a collection of str, not int": lambda: register(roles=5),
        "scopes must be a collection of str, not int": lambda: register(scopes=5),
        "resume must be a bool or the cursor of a message as str, not int": lambda: register(resume=5),
        "max must be int, not NoneType": lambda: executor.next_events("c", max=None),  # type: ignore[arg-type]
        "group must be str, not int": lambda: executor.work("ch", print, group=5),  # type: ignore[arg-type]
        "event alone: missing a required argument": lambda: executor.work("ch", lambda a, b: 1, group="g"),  # type: ignore[misc, arg-type]
        "event alone: too many positional": lambda: executor.work("ch", lambda: 1, group="g"),  # type: ignore[misc, arg-type]
        "adapter is a WebSocketAdapter, not object": lambda: asyncio.run(
            SubscriptionManager().handle_connection(object(), anonymous=True)  # type: ignore[arg-type]
        ),
    }
    for text, call in calls.items():
        with pytest.raises(TypeError, match=text):
            call()
    register()
    executor.publish_event("t", "a", {"b": 1})
    assert len(executor.next_events("c", max=2**63)) == 1
    with pytest.raises(ValueError, match="max must be positive"):
        executor.next_events("c", max=-(2**64))


def test_who_did_not_keep_up() -> None:
    with SubscriptionExecutor(limits={"queue_messages": 2}) as executor:
        for subscription in ("a", "b"):
            executor.register_subscription("c", subscription, "subscription { ch { v } }")
        for number in range(2):
            executor.publish_event("t", "ch", {"v": number})
        assert executor.next_event("b")
        assert executor.next_event("b")
        executor.publish_event("t", "ch", {"v": 2})
        assert sorted(name for name, _ in executor.next_events("c")) == ["a", "a", "b"]
        with pytest.raises(SlowConsumer, match="The subscription 'a' did not keep up") as caught:
            executor.next_events("c")
        assert caught.value.subscription_id == "a"
        assert caught.value.errors[0]["id"] == "a"
        assert SlowConsumer("text").subscription_id is None
        assert executor.next_events("c") == []


def test_streams_need_a_path() -> None:
    manager = SubscriptionManager()
    with pytest.raises(ValueError, match="path begins with / where there are streams"):
        create_subscription_router(manager, "", anonymous=True, streams=True)
    create_subscription_router(manager, "", anonymous=True)


@pytest.mark.anyio
async def test_refresh_takes_nothing_else() -> None:
    async def judge(params: Any, request: Any) -> dict[str, str]:
        return {"user_id": "u"}

    async with SubscriptionManager() as manager:
        app = create_subscription_app(manager, "/auth", judge, streams=True)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
            answer = await client.post("/auth/refresh", json={"query": "{ __typename }"})
            assert (answer.status_code, "name the stream: X-FraiseQL-Stream" in answer.text) == (400, True)
            answer = await client.get("/auth/refresh", headers={"X-FraiseQL-Stream": "x"})
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
            answer = await client.post("/auth/refresh", headers={"X-FraiseQL-Stream": "x"})
            assert answer.status_code not in (400, 405), answer.text
