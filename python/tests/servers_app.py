"""The application that real servers run in test_servers.py."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fraiseql.integrations.fastapi import create_subscription_router
from fraiseql.subscriptions import SubscriptionError, SubscriptionManager

ADDRESS = {"user_id": "u", "tenant_id": "t"}

# In the master under --preload, in each worker otherwise.
# All clients of the tests are one user at one address.
manager = SubscriptionManager(limits={"connections_per_ip": 1000, "connections_per_user": 1000, "subscriptions_per_user": 1000})


async def authenticate(params: dict[str, Any] | None, request: Any) -> dict[str, str]:
    presented = params or dict(request.headers)
    if presented.get("token", str(presented.get("authorization")).removeprefix("Bearer ")) != "let me in":
        raise PermissionError("wrong token")
    return ADDRESS


class Flood:
    """Publishes without end, by a task of the loop or a thread, until the manager is closed."""

    def __init__(self) -> None:
        self.accepted = 0  # events that publish_event has returned for
        self.reached_nobody = threading.Event()
        self.running: list[asyncio.Task[None] | threading.Thread] = []

    def event(self, number: int) -> dict[str, str]:
        return {"id": str(number)}

    def note(self, reached: int | None) -> None:
        self.accepted += 1
        if reached == 0:
            self.reached_nobody.set()

    async def in_the_loop(self) -> None:
        try:
            for number in itertools.count():
                self.note(await manager.publish_event("userCreated", "users", self.event(number), user_id="u", tenant_id="t"))
                await asyncio.sleep(0.002)
        except SubscriptionError:
            pass

    def in_a_thread(self) -> None:
        try:
            for number in itertools.count():
                self.note(manager.executor.publish_event("userCreated", "users", self.event(number), user_id="u", tenant_id="t"))
                self.reached_nobody.wait(0.002)
        except SubscriptionError:
            pass

    async def ended(self) -> None:
        for one in self.running:
            if isinstance(one, threading.Thread):
                await asyncio.to_thread(one.join)
            else:
                await one


flood = Flood()


def leave_early() -> None:
    """As the guide has it: clients are sent away when the signal comes, before uvicorn waits for their streams."""
    loop, stop = asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM)
    assert callable(stop)

    def leave(*of: Any) -> None:
        asyncio.run_coroutine_threadsafe(manager.shutdown(window=0.2), loop)
        stop(*of)

    signal.signal(signal.SIGTERM, leave)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    early = bool(os.environ.get("LEAVE_EARLY"))
    if early:
        leave_early()
    yield
    if flood.running and not early:  # uvicorn has closed the connections: what is published goes on to be accepted, for nobody
        before = flood.accepted
        while flood.accepted < before + 10 or not flood.reached_nobody.is_set():
            await asyncio.sleep(0.002)
    manager.close()
    await flood.ended()
    if flood.running:
        print(f"the flood has ended after {flood.accepted} events", flush=True)


app = FastAPI(lifespan=lifespan)
app.include_router(create_subscription_router(manager, path="/graphql", auth_handler=authenticate, init_timeout=60, streams=True))


@app.get("/pid")
async def pid() -> int:
    return os.getpid()


@app.post("/users/{user}")
async def publish(user: str) -> dict[str, Any]:
    """Publishes in the worker that gets the request, and says which that was."""
    reached = await manager.publish_event("userCreated", "users", {"id": user, "worker": os.getpid()}, user_id="u", tenant_id="t")
    return {"reached": reached, "worker": os.getpid()}


@app.post("/flood/{by}")
async def begin_flood(by: str) -> None:
    if by == "thread":
        thread = threading.Thread(target=flood.in_a_thread)
        flood.running.append(thread)
        thread.start()
    else:
        flood.running.append(asyncio.create_task(flood.in_the_loop()))


@app.get("/flood")
async def flooded() -> int:
    return flood.accepted
