"""Another schema under live subscriptions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asgi import Socket, until
from fraiseql.integrations.asgi import SubscriptionApp
from fraiseql.subscriptions import Identity, SubscriptionExecutor, SubscriptionManager

SDL = "type Subscription { orders: Order } type Order { id: ID! %s }"


def judge(params: dict[str, Any] | None, request: object) -> Identity:
    return Identity(user_id="u")


def test_who_may_goes_on(tmp_path: Any) -> None:
    with SubscriptionExecutor(schema=SDL % "note: String") as executor:
        executor.register_subscription("c", "stays", "subscription { orders { id } }")
        executor.register_subscription("c", "goes", "subscription { orders { note } }")
        executor.publish_event("t", "orders", {"id": 1, "note": "before"})
        file = tmp_path / "schema.graphql"
        file.write_text(SDL % "remark: String")
        assert executor.set_schema(file) == (1, 1)
        assert executor.set_schema(str(file)) == (0, 0)  # the same
        executor.publish_event("t", "orders", {"id": 2})
        results = [json.loads(executor.next_event("stays") or b"")["payload"]["data"]["orders"]["id"] for _ in range(2)]
        assert results == ["1", "2"]
        assert json.loads(executor.next_event("goes") or b"")["payload"]["data"] == {"orders": {"note": "before"}}
        last = json.loads(executor.next_event("goes") or b"")
        assert last["type"] == "error"
        assert last["payload"][0]["extensions"]["code"] == "SCHEMA_CHANGED"
        executor.register_subscription("c", "new", "subscription { orders { remark } }")


def test_what_is_wrong_changes_nothing() -> None:
    with SubscriptionExecutor(schema=SDL % "n: Int") as executor:
        executor.register_subscription("c", "s", "subscription { orders { n } }")
        with pytest.raises(ValueError, match="schema:1:"):
            executor.set_schema("type Subscription { orders: Missing }")
        with pytest.raises(TypeError, match="not None"):
            executor.set_schema(None)  # type: ignore[arg-type]
        executor.publish_event("t", "orders", {"n": 1})
        assert executor.next_event("s") == b'{"id":"s","type":"next","payload":{"data":{"orders":{"n":1}}}}'
    with SubscriptionExecutor() as executor, pytest.raises(ValueError, match="without"):
        executor.set_schema(SDL % "n: Int")


@pytest.mark.anyio
async def test_clients_of_a_mount() -> None:
    manager = SubscriptionManager(schema=SDL % "note: String")
    app = SubscriptionApp(manager, auth_handler=judge)
    async with Socket(app) as client:
        await client.init({})
        client.send({"id": "1", "type": "subscribe", "payload": {"query": "subscription { orders { note } }"}})
        await until(lambda: manager.get_metrics()["active_subscriptions"] == 1)
        assert await manager.set_schema(SDL % "remark: String") == (0, 1)
        assert (await client.json())["payload"][0]["extensions"]["code"] == "SCHEMA_CHANGED"
    manager.close()
