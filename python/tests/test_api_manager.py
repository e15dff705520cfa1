"""The manager: the original's asynchronous workflows, its server and adapters for WebSockets of other kinds."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fraiseql.integrations.adapter import WebSocketAdapter, WebsocketsAdapter
from fraiseql.subscriptions import (
    AuthorizationFailed,
    DuplicateSubscription,
    EventBusConfig,
    Identity,
    InvalidConfig,
    InvalidQuery,
    RateLimited,
    Request,
    SubscriptionError,
    SubscriptionManager,
)
from gql import Client, gql
from gql.transport.websockets import WebsocketsTransport
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websockets
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

SCHEMA = """
type Order { id: ID! total: Float }
type Subscription { orders(id: ID): Order! mine: Order! @source(channel: "orders") @owner(path: "owner") }
"""
ORDERS = "subscription { orders { id } }"
PROTOCOLS = [Subprotocol("graphql-transport-ws")]

pytestmark = pytest.mark.anyio


@pytest.fixture
async def manager() -> AsyncIterator[SubscriptionManager]:
    async with SubscriptionManager(schema=SCHEMA) as made:
        yield made


def message(id_: str, order: str) -> dict[str, Any]:
    return {"id": id_, "type": "next", "payload": {"data": {"orders": {"id": order}}}}


async def until(what: Any) -> None:
    end = asyncio.get_running_loop().time() + 10
    while not what():
        assert asyncio.get_running_loop().time() < end, "it does not happen"
        await asyncio.sleep(0.002)


def active(manager: SubscriptionManager, count: int) -> Any:
    return lambda: manager.get_metrics()["active_subscriptions"] == count


class TestWorkflow:
    async def test_register_publish_next_complete_metrics(self) -> None:
        manager = SubscriptionManager(EventBusConfig.memory())
        created = await manager.create_subscription(
            subscription_id="sub1",
            connection_id="conn1",
            query="subscription { users { id name } }",
            operation_name=None,
            variables={},
            resolver_fn=None,
            user_id="user1",
            tenant_id="tenant1",
        )
        assert created == "sub1"
        data = {"id": "1", "name": "Anne", "user_id": "user1", "tenant_id": "tenant1"}
        assert await manager.publish_event("userCreated", "users", data) == 1
        got = await manager.get_next_event("sub1")
        assert got == b'{"id":"sub1","type":"next","payload":{"data":{"users":{"id":"1","name":"Anne"}}}}'
        assert await manager.get_next_event("sub1") is None
        assert manager.get_metrics()["active_subscriptions"] == 1
        await manager.complete_subscription("sub1")
        await manager.complete_subscription("sub1")
        assert manager.get_metrics()["active_subscriptions"] == 0
        assert await manager.get_next_event("sub1") is None
        manager.close()

    async def test_a_resolver_of_the_original(self) -> None:
        async def resolver(event: Any, variables: Any) -> dict[str, Any]:
            return {"id": event.data["id"], "seen": variables}

        async with SubscriptionManager() as manager:
            await manager.create_subscription(
                "s", "c", "subscription ($a: Int) { users(n: $a) { id seen } }", None, {"a": 1}, resolver, "u", "t"
            )
            await manager.publish_event("userCreated", "users", {"id": "1", "n": 1})
            got = await manager.get_next_event("s", timeout=5)
            assert got is not None
            assert json.loads(got)["payload"]["data"]["users"] == {"id": "1", "seen": {"a": 1}}

    @pytest.mark.parametrize("count", [100, 1000])
    async def test_concurrent_subscriptions(self, count: int) -> None:
        async with SubscriptionManager() as manager:
            await asyncio.gather(
                *(
                    manager.create_subscription(f"s{n}", f"c{n}", "subscription { users { id } }", user_id=f"u{n}")
                    for n in range(count)
                )
            )

            async def first(n: int) -> bytes | None:
                async for got in manager.listen(f"s{n}"):
                    return got
                return None

            tasks = [asyncio.ensure_future(first(n)) for n in range(count)]
            await asyncio.sleep(0)
            assert await manager.publish_event("t", "users", {"id": "1"}) == count
            assert all(await asyncio.gather(*tasks))
            await asyncio.gather(*(manager.complete_connection(f"c{n}") for n in range(count)))
            metrics = manager.get_metrics()
            assert (metrics["active_subscriptions"], metrics["active_connections"], metrics["queue_bytes"]) == (0, 0, 0)

    async def test_errors(self, manager: SubscriptionManager) -> None:
        with pytest.raises(InvalidQuery):
            await manager.create_subscription("s", "c", "subscription {")
        limited = SubscriptionManager(schema="type S { a: Int } type Subscription { s: S @authenticated }")
        with pytest.raises(AuthorizationFailed):
            await limited.create_subscription("s", "c", "subscription { s { a } }")
        await manager.create_subscription("s", "c", ORDERS)
        with pytest.raises(DuplicateSubscription):
            await manager.create_subscription("s", "c", ORDERS)

    async def test_limits(self) -> None:
        manager = SubscriptionManager()
        for n in range(100):
            await manager.create_subscription(n, "c", "subscription { users { id } }")
        with pytest.raises(RateLimited):
            await manager.create_subscription("one more", "c", "subscription { users { id } }")
        manager.close()
        manager = SubscriptionManager(limits={"subscriptions_per_connection": 1, "subscribe_rate": 1, "subscribe_burst": 2})
        await manager.create_subscription(0, "a", "subscription { users { id } }", user_id="u")
        with pytest.raises(RateLimited):
            await manager.create_subscription(1, "a", "subscription { users { id } }", user_id="u")
        await manager.create_subscription(1, "b", "subscription { users { id } }", user_id="v")
        await manager.create_subscription(2, "c2", "subscription { users { id } }", user_id="u")
        with pytest.raises(RateLimited) as caught:
            await manager.create_subscription(3, "c3", "subscription { users { id } }", user_id="u")
        assert caught.value.code == "RATE_LIMITED"
        await manager.close()


class TestLife:
    async def test_nothing_starts_before_it_is_needed(self) -> None:
        manager = SubscriptionManager()
        assert manager._made is None
        manager.close()
        with pytest.raises(SubscriptionError, match="closed"):
            await manager.publish_event("t", "users", {})

    async def test_close_twice_and_awaited(self, manager: SubscriptionManager) -> None:
        manager.close()
        await manager.close()

    async def test_what_is_wrong_is_said_at_once(self) -> None:
        with pytest.raises(ValueError, match="Nothing"):
            SubscriptionManager(schema="type Subscription { a: Nothing }")
        with pytest.raises(ValueError, match="unknown key"):
            SubscriptionManager(limits={"queues": 1})
        with pytest.raises(TypeError, match="EventBusConfig"):
            SubscriptionManager("redis://")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="auth is a function"):
            SubscriptionManager(auth="me")  # type: ignore[arg-type]

    async def test_resolvers_from_before_the_start(self) -> None:
        manager = SubscriptionManager()
        manager.register_resolver("users", lambda event: {"id": "resolved"})
        await manager.create_subscription("s", "c", "subscription { users { id } }")
        await manager.publish_event("t", "users", {"id": "1"})
        assert b"resolved" in (await manager.get_next_event("s") or b"")
        manager.close()


async def start(socket: Any, payload: Any = None) -> None:
    await socket.send(json.dumps({"type": "connection_init", **({} if payload is None else {"payload": payload})}))
    assert json.loads(await asyncio.wait_for(socket.recv(), 10)) == {"type": "connection_ack"}


async def subscribe(socket: Any, id_: str, query: str = ORDERS) -> None:
    await socket.send(json.dumps({"id": id_, "type": "subscribe", "payload": {"query": query}}))


async def receive(socket: Any) -> Any:
    text = await asyncio.wait_for(socket.recv(), 10)
    assert isinstance(text, str)
    return json.loads(text)


class TestServe:
    async def test_a_client(self, manager: SubscriptionManager) -> None:
        async with await manager.serve(port=0, anonymous=True) as server:
            assert server.url == f"ws://127.0.0.1:{server.port}/graphql"
            assert server.url in repr(server)
            async with connect(server.url, subprotocols=PROTOCOLS) as socket:
                await start(socket)
                await subscribe(socket, "a")
                await until(active(manager, 1))
                assert await manager.publish_event("t", "orders", {"id": "1"}) == 1
                assert await receive(socket) == message("a", "1")
            await until(active(manager, 0))

    async def test_gql(self, manager: SubscriptionManager) -> None:
        async with await manager.serve(port=0, anonymous=True) as server:
            async with Client(transport=WebsocketsTransport(server.url, subprotocols=["graphql-transport-ws"])) as session:
                results = session.subscribe(gql(ORDERS))
                task = asyncio.ensure_future(anext(results))
                await until(active(manager, 1))
                await manager.publish_event("t", "orders", {"id": "1"})
                assert await asyncio.wait_for(task, 10) == {"orders": {"id": "1"}}
                await results.aclose()
            await until(active(manager, 0))

    @pytest.mark.parametrize("waits", [False, True])
    async def test_authentication(self, manager: SubscriptionManager, caplog: pytest.LogCaptureFixture, waits: bool) -> None:
        requests: list[Request] = []

        def plain(params: dict[str, Any], request: Request) -> Identity:
            requests.append(request)
            if params.get("token") != "s3cret":
                raise PermissionError(f"wrong token {params}")
            return Identity(user_id="anne")

        async def later(params: dict[str, Any], request: Request) -> Identity:
            await asyncio.sleep(0)
            return plain(params, request)

        server = await manager.serve("127.0.0.1", 0, auth_handler=later if waits else plain)
        async with connect(server.url, subprotocols=PROTOCOLS, additional_headers={"Authorization": "Basic x"}) as socket:
            await start(socket, {"token": "s3cret"})
            await subscribe(socket, "a", "subscription { mine { id } }")
            await until(active(manager, 1))
            assert await manager.publish_event("t", "orders", {"id": "1", "owner": "gus"}) == 0
            assert await manager.publish_event("t", "orders", {"id": "2", "owner": "anne"}) == 1
            assert (await receive(socket))["payload"]["data"]["mine"]["id"] == "2"
        assert requests[0].headers["authorization"] == "Basic x"
        assert requests[0].client is not None
        assert requests[0].client[0] == "127.0.0.1"
        assert requests[0].path == "/graphql"
        with caplog.at_level(logging.DEBUG, "fraiseql"):
            async with connect(server.url, subprotocols=PROTOCOLS) as socket:
                await socket.send('{"type":"connection_init","payload":{"token":"guessed"}}')
                with pytest.raises(ConnectionClosed) as caught:
                    await asyncio.wait_for(socket.recv(), 10)
                assert caught.value.rcvd is not None
                assert caught.value.rcvd.code == 4403
        assert "guessed" not in caplog.text
        await server.close()

    async def test_no_handler(self, manager: SubscriptionManager) -> None:
        with pytest.raises(ValueError, match="auth_handler is None"):
            await manager.serve(port=0)

    @pytest.mark.parametrize(
        ("options", "why"),
        [
            ({"port": 65536}, "port: must be between 0 and 65535"),
            ({"port": -1}, "port: must be between 0 and 65535"),
            ({"host": "256.256.256.256"}, "host: cannot listen on 256.256.256.256:"),
            ({"host": 7}, "host: must be a string"),
            ({"path": "graphql"}, "path: must begin with /"),
        ],
    )
    async def test_where_it_cannot_listen(self, manager: SubscriptionManager, options: dict[str, Any], why: str) -> None:
        with pytest.raises(InvalidConfig, match=why) as caught:
            await manager.serve(**{"port": 0, "anonymous": True, **options})
        assert isinstance(caught.value, ValueError)

    async def test_port_in_use(self, manager: SubscriptionManager) -> None:
        async with await manager.serve(port=0, anonymous=True) as server:
            with pytest.raises(InvalidConfig, match=r"^port: cannot listen .*: address already in use; choose another, or 0"):
                await manager.serve(port=server.port, anonymous=True)

    async def test_several_servers(self, manager: SubscriptionManager) -> None:
        seen: list[str] = []
        first = await manager.serve(port=0, anonymous=True)
        second = await manager.serve(port=0, path="/other", anonymous=True)
        third = await manager.serve(port=0, auth_handler=lambda params, request: seen.append("third") or {})
        fourth = await manager.serve(port=0, auth_handler=lambda params, request: seen.append("fourth") or {})
        for server in (first, third, second, fourth):
            async with connect(server.url, subprotocols=PROTOCOLS) as socket:
                await start(socket)
            await server.close()
        assert seen == ["third", "fourth"]
        assert not manager.executor._aside().doors

    async def test_the_request(self, manager: SubscriptionManager) -> None:
        requests: list[Request] = []

        def handler(params: dict[str, Any], request: Request) -> dict[str, Any]:
            requests.append(request)
            return {}

        async with await manager.serve(port=0, path="/g", auth_handler=handler) as server:
            own = f"http://127.0.0.1:{server.port}"
            for origin in (own, None):
                headers = {"Cookie": "a=1; b=2", "X-Tenant": "t"}
                url = f"{server.url}?token=x&token=y"
                async with connect(url, subprotocols=PROTOCOLS, additional_headers=headers, origin=origin) as socket:  # type: ignore[arg-type]
                    await start(socket)
        for request in requests:
            assert (request.path, request.query_params, request.headers["x-tenant"]) == ("/g", {"token": "y"}, "t")
            assert request.headers["HOST"] == f"127.0.0.1:{server.port}"
        assert requests[0].cookies == {"a": "1", "b": "2"}
        assert requests[1].cookies == {}  # nothing says that a page of ours made the request

    async def test_a_port_that_is_taken(self, manager: SubscriptionManager) -> None:
        async with await manager.serve(port=0, anonymous=True) as server:
            with pytest.raises((SubscriptionError, OSError), match="listen"):
                await manager.serve(port=server.port, anonymous=True)

    async def test_origins_and_path(self, manager: SubscriptionManager) -> None:
        async with await manager.serve(port=0, anonymous=True, origins=["https://app.example"]) as server:
            async with connect(server.url, subprotocols=PROTOCOLS, origin="https://app.example") as socket:  # type: ignore[arg-type]
                await start(socket)
            for url, origin, status in ((server.url, "https://evil.example", 403), (server.url + "x", None, 404)):
                with pytest.raises(InvalidStatus) as caught:
                    await connect(url, subprotocols=PROTOCOLS, origin=origin)  # type: ignore[arg-type]
                assert caught.value.response.status_code == status

    async def test_close_sends_clients_away(self, manager: SubscriptionManager) -> None:
        server = await manager.serve(port=0, anonymous=True)
        forever = asyncio.ensure_future(server.serve_forever())
        async with connect(server.url, subprotocols=PROTOCOLS) as socket:
            await start(socket)
            await server.close(window=0.05)
            with pytest.raises(ConnectionClosed) as caught:
                await asyncio.wait_for(socket.recv(), 10)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1012
        await asyncio.wait_for(forever, 5)
        await server.close()
        with pytest.raises(OSError, match=r".*"):
            await connect(server.url)

    async def test_serve_forever_is_cancelled(self, manager: SubscriptionManager) -> None:
        server = await manager.serve(port=0, anonymous=True)
        task = asyncio.ensure_future(server.serve_forever())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(OSError, match=r".*"):
            await connect(server.url)

    async def test_manager_that_closes(self, manager: SubscriptionManager) -> None:
        server = await manager.serve(port=0, anonymous=True)
        async with connect(server.url, subprotocols=PROTOCOLS) as socket:
            await start(socket)
            manager.close()
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(socket.recv(), 10)
        await asyncio.wait_for(server.close(), 5)


class Fake(WebSocketAdapter):
    """What an application would write: queues of messages."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[Any] = asyncio.Queue()
        self.sent: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self.connected = False

    async def accept(self, subprotocol: str | None = None) -> None:
        self.connected = True
        self.sent.put_nowait(("accept", subprotocol))

    async def receive_json(self) -> Any:
        got = await self.incoming.get()
        if isinstance(got, Exception):
            raise got
        return got

    async def send_json(self, data: dict[str, Any]) -> None:
        self.sent.put_nowait(("json", data))

    async def send_bytes(self, data: bytes) -> None:
        self.sent.put_nowait(("bytes", data))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.connected = False
        self.sent.put_nowait(("close", code))

    @property
    def is_connected(self) -> bool:
        return self.connected

    async def next(self) -> tuple[str, Any]:
        return await asyncio.wait_for(self.sent.get(), 10)


class TestAdapter:
    async def test_a_conversation(self, manager: SubscriptionManager) -> None:
        fake = Fake()
        task = asyncio.ensure_future(manager.handle_connection(fake, anonymous=True))
        assert await fake.next() == ("accept", "graphql-transport-ws")
        fake.incoming.put_nowait({"type": "connection_init"})
        assert await fake.next() == ("json", {"type": "connection_ack"})
        fake.incoming.put_nowait({"id": '"next"', "type": "subscribe", "payload": {"query": ORDERS}})
        await until(active(manager, 1))
        await manager.publish_event("t", "orders", {"id": "1"})
        kind, data = await fake.next()
        assert kind == "bytes"
        assert json.loads(data) == message('"next"', "1")
        fake.incoming.put_nowait({"id": "b", "type": "subscribe", "payload": {"query": "{"}})
        kind, data = await fake.next()
        assert (kind, data["type"]) == ("json", "error")
        fake.incoming.put_nowait(None)
        await asyncio.wait_for(task, 5)
        assert manager.get_metrics()["active_connections"] == 0

    @pytest.mark.parametrize(("got", "code"), [(ValueError("no JSON"), 4400), ({"type": "unknown"}, 4400), ([], 4400)])
    async def test_bad_messages(self, manager: SubscriptionManager, got: Any, code: int) -> None:
        fake = Fake()
        fake.incoming.put_nowait(got)
        await asyncio.wait_for(manager.handle_connection(fake, anonymous=True), 5)
        assert [await fake.next(), await fake.next()] == [("accept", "graphql-transport-ws"), ("close", code)]

    async def test_authentication(self, manager: SubscriptionManager) -> None:
        fake = Fake()
        fake.request = {"who": "anne"}

        def handler(params: dict[str, Any], request: Any) -> dict[str, Any]:
            return {"user_id": request["who"]}

        task = asyncio.ensure_future(manager.handle_connection(fake, handler))
        assert (await fake.next())[0] == "accept"
        fake.incoming.put_nowait({"type": "connection_init"})
        assert await fake.next() == ("json", {"type": "connection_ack"})
        fake.incoming.put_nowait(OSError("gone"))
        await asyncio.wait_for(task, 5)
        with pytest.raises(ValueError, match="auth_handler is None"):
            await manager.handle_connection(Fake())

    async def test_foreign_origin(self, manager: SubscriptionManager) -> None:
        fake = Fake()
        fake.headers = {"origin": "https://evil.example", "host": "app.example"}
        await asyncio.wait_for(manager.handle_connection(fake, anonymous=True), 5)
        assert [await fake.next(), await fake.next()] == [("accept", "graphql-transport-ws"), ("close", 4403)]

    async def test_cancelled(self, manager: SubscriptionManager) -> None:
        fake = Fake()
        task = asyncio.ensure_future(manager.handle_connection(fake, anonymous=True))
        await fake.next()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert manager.get_metrics()["active_connections"] == 0

    async def test_the_websockets_library(self, manager: SubscriptionManager) -> None:
        async def handler(connection: ServerConnection) -> None:
            await manager.handle_connection(WebsocketsAdapter(connection), anonymous=True)

        async with serve_websockets(handler, "127.0.0.1", 0, subprotocols=PROTOCOLS) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            async with connect(f"ws://127.0.0.1:{port}", subprotocols=PROTOCOLS) as socket:
                await start(socket)
                await subscribe(socket, "a")
                await until(active(manager, 1))
                await manager.publish_event("t", "orders", {"id": "1"})
                assert await receive(socket) == message("a", "1")
            await until(active(manager, 0))
            async with connect(f"ws://127.0.0.1:{port}", subprotocols=PROTOCOLS) as socket:
                await socket.send(b"binary")
                with pytest.raises(ConnectionClosed) as caught:
                    await socket.recv()
                assert caught.value.rcvd is not None
                assert caught.value.rcvd.code == 1003
        async with serve_websockets(handler, "127.0.0.1", 0) as server:  # a server that agrees on nothing
            port = next(iter(server.sockets)).getsockname()[1]
            async with connect(f"ws://127.0.0.1:{port}") as socket:
                with pytest.raises(ConnectionClosed) as caught:
                    await socket.recv()
                assert caught.value.rcvd is not None
                assert caught.value.rcvd.code == 4406


async def test_a_manager_that_another_thread_closes() -> None:
    manager = SubscriptionManager(schema=SCHEMA)
    server = await manager.serve(port=0, anonymous=True)
    await manager.create_subscription("s", "c", ORDERS)
    forever = asyncio.ensure_future(server.serve_forever())
    listening = asyncio.ensure_future(anext(manager.listen("s"), None))
    await asyncio.sleep(0)  # both wait from their first step on
    await asyncio.get_running_loop().run_in_executor(None, manager.close)
    assert await asyncio.wait_for(listening, 5) is None
    await asyncio.wait_for(forever, 5)
