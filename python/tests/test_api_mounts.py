"""FastAPI and Starlette, in memory and under uvicorn with real clients."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from asgi import Socket, http, until
from fastapi import FastAPI, WebSocket
from fraiseql.integrations.asgi import SubscriptionApp
from fraiseql.integrations.fastapi import SubscriptionRouterFactory, create_subscription_router
from fraiseql.integrations.starlette import add_subscription_routes, create_subscription_app
from fraiseql.subscriptions import Identity, SubscriptionManager
from gql import Client, gql
from gql.transport.exceptions import TransportQueryError
from gql.transport.websockets import WebsocketsTransport
from starlette.applications import Starlette
from starlette.routing import Mount, Router
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

SCHEMA = """
type Order { id: ID! }
type Subscription { orders(id: ID): Order! mine: Order! @source(channel: "orders") @owner(path: "owner") }
"""
ORDERS = "subscription { orders { id } }"
PROTOCOL = "graphql-transport-ws"


@pytest.fixture
def manager() -> Iterator[SubscriptionManager]:
    made = SubscriptionManager(schema=SCHEMA)
    yield made
    made.close()


def authenticate(params: dict[str, Any], websocket: WebSocket) -> Identity:
    assert isinstance(websocket, WebSocket)
    assert websocket.url.path.endswith("/graphql")
    if params.get("user") is None:
        raise PermissionError("nobody")
    return Identity(params["user"])


def fastapi(manager: SubscriptionManager) -> Any:
    app = FastAPI()
    app.include_router(create_subscription_router(manager, auth_handler=authenticate))
    return app


def fastapi_factory(manager: SubscriptionManager) -> Any:
    app = FastAPI()
    app.include_router(SubscriptionRouterFactory.create(manager, "/graphql", authenticate))
    return app


def starlette(manager: SubscriptionManager) -> Any:
    app = Starlette()
    add_subscription_routes(app, manager, "/graphql", authenticate)
    return app


def starlette_router(manager: SubscriptionManager) -> Any:
    router = Router()
    add_subscription_routes(router, manager, "/graphql", authenticate)
    return Starlette(routes=[Mount("/", router)])


def starlette_app(manager: SubscriptionManager) -> Any:
    return create_subscription_app(manager, auth_handler=authenticate)


APPS = [fastapi, fastapi_factory, starlette, starlette_router, starlette_app]


@pytest.mark.anyio
@pytest.mark.parametrize("make", APPS)
async def test_in_memory(manager: SubscriptionManager, make: Any) -> None:
    app = make(manager)
    async with Socket(app) as ws:
        await ws.init({"user": "anne"})
        await ws.subscribe(manager, "1", "subscription { mine { id } }")
        manager.executor.publish_event("t", "orders", {"id": "8", "owner": "gus"})
        manager.executor.publish_event("t", "orders", {"id": "7", "owner": "anne"})
        assert (await ws.json())["payload"] == {"data": {"mine": {"id": "7"}}}
        ws.send({"id": "1", "type": "complete"})
        await ws.settled()
    async with Socket(app) as ws:
        await ws.accepted()
        ws.send({"type": "connection_init"})
        assert (await ws.closed())[0] == 4403
    async with Socket(app, subprotocols=()) as ws:
        await ws.next()
        assert (await ws.closed())[0] == 4406
    headers = (("host", "testserver"), ("origin", "https://evil.example"))
    async with Socket(app, headers=headers) as ws:
        assert (await ws.next())["type"] == "websocket.close"
    async with Socket(app, headers=headers, extensions={"websocket.http.response": {}}) as ws:
        assert (await ws.next())["status"] == 403
    async with Socket(app) as ws:
        await ws.init({"user": "anne"})
        assert ws.task is not None
        ws.task.cancel()
        await asyncio.wait({ws.task})
    assert manager.get_metrics()["active_connections"] == 0


@pytest.mark.anyio
async def test_prefixes_and_other_routes(manager: SubscriptionManager) -> None:
    app = FastAPI()
    app.include_router(create_subscription_router(manager, "/graphql", anonymous=True), prefix="/api")

    @app.get("/api/graphql")
    async def queries() -> dict[str, str]:
        return {"served": "by another"}

    assert (await http(app, path="/api/graphql"))[2] == {"served": "by another"}
    async with Socket(app, path="/api/graphql") as ws:
        await ws.init()


@pytest.mark.anyio
async def test_streams_are_asked_for(manager: SubscriptionManager) -> None:
    without, routed = FastAPI(), FastAPI()
    without.include_router(create_subscription_router(manager, anonymous=True))
    routed.include_router(create_subscription_router(manager, anonymous=True, streams=True))
    whole = create_subscription_app(manager, anonymous=True, streams=True)
    assert [(await http(app))[0] for app in (without, routed, whole)] == [404, 400, 400]


@pytest.mark.anyio
async def test_a_mounted_application(manager: SubscriptionManager) -> None:
    app = Starlette(routes=[Mount("/subscriptions", SubscriptionApp(manager, anonymous=True))])
    assert (await http(app, path="/subscriptions/"))[0] == 400
    async with Socket(app, path="/subscriptions/") as ws:
        await ws.init()


@pytest.mark.parametrize("make", [create_subscription_router, create_subscription_app, SubscriptionRouterFactory.create])
def test_no_handler(manager: SubscriptionManager, make: Any) -> None:
    with pytest.raises(ValueError, match="auth_handler is None: pass one, or anonymous=True"):
        make(manager)
    make(manager, anonymous=True)
    with pytest.raises(ValueError, match="auth_handler is None"):
        add_subscription_routes(Starlette(), manager)


@pytest.mark.parametrize("make", [create_subscription_router, create_subscription_app, SubscriptionRouterFactory.create])
def test_paths_that_no_request_has(manager: SubscriptionManager, make: Any) -> None:
    with pytest.raises(ValueError, match=r"""^path begins with /, such as "/graphql", not 'graphql'$"""):
        make(manager, "graphql", anonymous=True)
    with pytest.raises(ValueError, match="path begins with /"):
        make(manager, "", anonymous=True, streams=True)
    with pytest.raises(TypeError, match="path is a str, not NoneType"):
        make(manager, None, anonymous=True)
    with pytest.raises(ValueError, match="path begins with /"):
        add_subscription_routes(Router(), manager, "graphql", anonymous=True)


@pytest.mark.anyio
async def test_a_prefix_alone(manager: SubscriptionManager) -> None:
    app = FastAPI()
    app.include_router(create_subscription_router(manager, "", anonymous=True), prefix="/api")
    async with Socket(app, path="/api") as ws:
        await ws.init()


@contextmanager
def running(app: Any, loop: Any) -> Iterator[int]:
    """A real server in a thread; its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, loop=loop, ws="websockets-sansio", log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("make", [fastapi, starlette])
def test_under_uvicorn(manager: SubscriptionManager, make: Any, loop: str) -> None:
    async def client(port: int) -> None:
        transport = WebsocketsTransport(
            f"ws://127.0.0.1:{port}/graphql", subprotocols=[Subprotocol(PROTOCOL)], init_payload={"user": "anne"}
        )
        async with Client(transport=transport) as session:
            results = session.subscribe(gql("subscription { mine { id } }"))
            first = asyncio.ensure_future(anext(results))
            await until(lambda: manager.get_metrics()["active_subscriptions"] == 1)
            for n in range(100):
                manager.executor.publish_event("t", "orders", {"id": n, "owner": "anne"})
            assert await asyncio.wait_for(first, 10) == {"mine": {"id": "0"}}
            for n in range(1, 100):
                assert await asyncio.wait_for(anext(results), 10) == {"mine": {"id": str(n)}}
            with pytest.raises(TransportQueryError):
                await anext(session.subscribe(gql("subscription { orders { price } }")))
            await results.aclose()
        await until(lambda: manager.get_metrics()["active_subscriptions"] == 0)

    with running(make(manager), loop) as port:
        asyncio.run(client(port))


def test_shutdown_under_uvicorn(manager: SubscriptionManager) -> None:
    async def client(ready: threading.Event, port: int) -> int:
        async with connect(f"ws://127.0.0.1:{port}/graphql", subprotocols=[Subprotocol(PROTOCOL)]) as ws:
            await ws.send(json.dumps({"type": "connection_init", "payload": {"user": "anne"}}))
            await ws.recv()
            ready.set()
            with pytest.raises(ConnectionClosed) as caught:
                await ws.recv()
            assert caught.value.rcvd is not None
            return caught.value.rcvd.code

    codes: list[int] = []
    ready = threading.Event()
    with running(fastapi(manager), "asyncio") as port:
        thread = threading.Thread(target=lambda: codes.append(asyncio.run(client(ready, port))))
        thread.start()
        assert ready.wait(10)
    thread.join(10)
    assert codes == [1012]
    assert manager.get_metrics()["active_connections"] == 0


def test_abrupt_disconnects_under_uvicorn(manager: SubscriptionManager) -> None:
    async def client(port: int) -> None:
        ws = await connect(f"ws://127.0.0.1:{port}/graphql", subprotocols=[Subprotocol(PROTOCOL)])
        await ws.send(json.dumps({"type": "connection_init", "payload": {"user": "anne"}}))
        await ws.recv()
        await ws.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": ORDERS}}))
        ws.transport.abort()

    async def clients(port: int) -> None:
        await asyncio.gather(*(client(port) for _ in range(50)))
        for n in range(20):
            manager.executor.publish_event("t", "orders", {"id": n})
        await until(lambda: manager.get_metrics()["active_connections"] == 0)

    with running(fastapi(manager), "asyncio") as port:
        asyncio.run(clients(port))
    assert manager.get_metrics()["active_subscriptions"] == 0
