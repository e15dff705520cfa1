"""The application that real servers run in test_servers.py."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fraiseql.integrations.fastapi import create_subscription_router
from fraiseql.subscriptions import SubscriptionManager

ADDRESS = {"user_id": "u", "tenant_id": "t"}

# In the master under --preload, in each worker otherwise.
# All clients of the tests are one user at one address.
manager = SubscriptionManager(limits={"connections_per_ip": 1000, "connections_per_user": 1000, "subscriptions_per_user": 1000})


async def authenticate(params: dict[str, Any] | None, request: object) -> dict[str, str]:
    presented = params or {}
    if presented.get("token", str(presented.get("authorization")).removeprefix("Bearer ")) != "let me in":
        raise PermissionError("wrong token")
    return ADDRESS


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    manager.close()


app = FastAPI(lifespan=lifespan)
app.include_router(create_subscription_router(manager, path="/graphql", auth_handler=authenticate, init_timeout=60))


@app.get("/pid")
async def pid() -> int:
    return os.getpid()


@app.post("/users/{user}")
async def publish(user: str) -> dict[str, Any]:
    """Publishes in the worker that gets the request, and says which that was."""
    reached = await manager.publish_event("userCreated", "users", {"id": user, "worker": os.getpid()}, user_id="u", tenant_id="t")
    return {"reached": reached, "worker": os.getpid()}
