"""Credentials that are refused from now on."""

from __future__ import annotations

import datetime
import json
import time
from typing import Any

import pytest
from asgi import Socket
from buses import BUSES
from fraiseql.integrations.asgi import SubscriptionApp
from fraiseql.subscriptions import Identity, SubscriptionError, SubscriptionExecutor, SubscriptionManager


def judge(params: dict[str, Any] | None, request: object) -> Identity:
    return Identity(**(params or {}))


@pytest.mark.anyio
async def test_clients_of_a_mount_are_closed() -> None:
    manager = SubscriptionManager()
    app = SubscriptionApp(manager, auth_handler=judge)
    async with Socket(app) as ann, Socket(app) as bob:
        await ann.init({"user_id": "ann", "tenant_id": "t"})
        await bob.init({"user_id": "bob", "tenant_id": "t"})
        await manager.revoke(user_id="ann")
        assert (await ann.closed())[0] == 4403
        bob.send({"type": "ping"})
        assert await bob.json() == {"type": "pong"}
    now = datetime.datetime.now(datetime.timezone.utc)
    await manager.revoke(everybody=True, issued_before=now)
    with pytest.raises(ValueError, match="issued_before must not be in the future"):
        await manager.revoke(everybody=True, issued_before=now + datetime.timedelta(hours=1))
    manager.close()


def test_it_reaches_other_processes_on_the_bus(tmp_path: Any) -> None:
    with BUSES["redis"](tmp_path) as (_, config), SubscriptionExecutor(config) as one, SubscriptionExecutor(config) as two:
        two.register_subscription("c", "ann", "subscription { a { n } }", user_id="ann")
        two.register_subscription("d", "bob", "subscription { a { n } }", user_id="bob")
        one.revoke(user_id="ann")
        end = time.monotonic() + 30
        while two.get_metrics()["active_subscriptions"] == 2 and time.monotonic() < end:
            time.sleep(0.01)
        assert two.get_metrics()["active_subscriptions"] == 1
        assert json.loads(two.next_event("ann") or b"")["payload"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        one.publish_event("t", "a", {"n": 1})
        while (message := two.next_event("bob")) is None and time.monotonic() < end:
            time.sleep(0.01)
        assert message is not None


def test_what_cannot_be_right() -> None:
    with SubscriptionExecutor() as executor:
        with pytest.raises(ValueError, match="names a token, a user or a tenant"):
            executor.revoke()
        with pytest.raises(ValueError, match="names a token, a user or a tenant"):
            executor.revoke(user_id="u", everybody=True)
        with pytest.raises(TypeError, match="tenant_id is a str, not bool"):
            executor.revoke(tenant_id=True)
        with pytest.raises(ValueError, match="no time zone"):
            executor.revoke(user_id="u", issued_before=datetime.datetime(2026, 1, 1))
        with pytest.raises(TypeError, match="issued_before"):
            executor.revoke(user_id="u", issued_before="now")  # type: ignore[arg-type]
        with pytest.raises((SubscriptionError, ValueError)):
            executor.revoke(user_id="")
