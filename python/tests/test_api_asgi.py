"""The protocol over plain ASGI: bytes in, actions out, clean-up whatever way a client goes."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import pytest
from asgi import Socket, http, lifespan, until
from fraiseql.integrations.asgi import SubscriptionApp
from fraiseql.subscriptions import SubscriptionExecutor, SubscriptionManager, endpoint

SCHEMA = """
type Order { id: ID! total: Float! margin: Float @requiresRole(roles: ["accounting"]) }
type Subscription { orders(id: ID): Order! }
"""
ORDERS = "subscription { orders { id } }"

pytestmark = pytest.mark.anyio


@pytest.fixture
def manager() -> Iterator[SubscriptionManager]:
    made = SubscriptionManager(schema=SCHEMA)
    yield made
    made.close()


@pytest.fixture
def app(manager: SubscriptionManager) -> SubscriptionApp:
    return SubscriptionApp(manager, anonymous=True)


def publish(manager: SubscriptionManager, id_: str = "1", **more: Any) -> int | None:
    return manager.executor.publish_event("order.placed", "orders", {"id": id_, "total": 1}, **more)


def message(id_: str, order: str) -> dict[str, Any]:
    return {"id": id_, "type": "next", "payload": {"data": {"orders": {"id": order}}}}


async def test_subscribe_and_complete(app: SubscriptionApp, manager: SubscriptionManager) -> None:
    async with Socket(app) as socket:
        await socket.init()
        await socket.subscribe(manager, "a", ORDERS)
        await socket.subscribe(manager, "b", "subscription ($id: ID) { orders(id: $id) { id total } }", variables={"id": "2"})
        assert publish(manager, "1") == 1
        assert publish(manager, "2") == 2
        assert await socket.json() == message("a", "1")
        got = [await socket.json(), await socket.json()]
        assert message("a", "2") in got
        socket.send({"id": "a", "type": "complete"})
        await socket.settled()
        assert publish(manager, "3") == 0
        assert manager.get_metrics()["active_subscriptions"] == 1
    assert manager.get_metrics()["active_subscriptions"] == 0


async def test_bytes_are_those_of_next_event(app: SubscriptionApp, manager: SubscriptionManager) -> None:
    manager.executor.register_subscription("c", "é", ORDERS)
    async with Socket(app) as socket:
        await socket.init()
        await socket.subscribe(manager, "é", ORDERS)
        publish(manager, "ü")
        text = await socket.text()
    assert text.encode() == manager.executor.next_event("é")


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("{", 4400),
        ("", 4400),
        ("[]", 4400),
        ('{"type":"unknown"}', 4400),
        ('{"type":"subscribe","payload":{"query":"{a}"}}', 4400),
        ('{"type":"connection_init","payload":[]}', 4400),
        ('{"id":"1","type":"subscribe","payload":{"query":"{a}"}}', 4401),
    ],
)
async def test_bad_messages(app: SubscriptionApp, sent: str, code: int) -> None:
    async with Socket(app) as socket:
        await socket.accepted()
        socket.send(sent)
        assert (await socket.closed())[0] == code


async def test_second_init(app: SubscriptionApp) -> None:
    async with Socket(app) as socket:
        await socket.init()
        socket.send({"type": "connection_init"})
        assert (await socket.closed())[0] == 4429


async def test_duplicate_id(app: SubscriptionApp, manager: SubscriptionManager) -> None:
    async with Socket(app) as socket:
        await socket.init()
        await socket.subscribe(manager, "a", ORDERS)
        socket.send({"id": "a", "type": "subscribe", "payload": {"query": ORDERS}})
        assert await socket.closed() == (4409, "Subscriber for a already exists")


async def test_id_may_be_used_again(app: SubscriptionApp, manager: SubscriptionManager) -> None:
    async with Socket(app) as socket:
        await socket.init()
        for n in range(20):
            await socket.subscribe(manager, "a", ORDERS)
            publish(manager, str(n))
            assert await socket.json() == message("a", str(n))
            publish(manager, "stale")
            socket.send({"id": "a", "type": "complete"})
            while (answer := await answer_to_ping(socket)) is not None:
                assert answer == message("a", "stale")


async def answer_to_ping(socket: Socket) -> Any:
    """The next message, None when it is the answer to a ping sent now."""
    socket.send({"type": "ping", "payload": {"n": 1}})
    first = await socket.json()
    if first == {"type": "pong", "payload": {"n": 1}}:
        return None
    assert await socket.json() == {"type": "pong", "payload": {"n": 1}}
    return first


async def test_errors_keep_the_connection(app: SubscriptionApp, manager: SubscriptionManager) -> None:
    async with Socket(app) as socket:
        await socket.init()
        socket.send({"id": "a", "type": "subscribe", "payload": {"query": "subscription { orders { price } }"}})
        error = await socket.json()
        assert (error["id"], error["type"]) == ("a", "error")
        assert error["payload"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        assert error["payload"][0]["locations"] == [{"line": 1, "column": 25}]
        await socket.subscribe(manager, "a", ORDERS)


async def test_ping_before_init(app: SubscriptionApp) -> None:
    async with Socket(app) as socket:
        await socket.accepted()
        await socket.settled()


@pytest.mark.parametrize("offered", [(), ("graphql-ws",), ("GRAPHQL-TRANSPORT-WS",)])
async def test_other_subprotocols(app: SubscriptionApp, offered: tuple[str, ...]) -> None:
    async with Socket(app, subprotocols=offered) as socket:
        assert await socket.next() == {"type": "websocket.accept"}
        assert await socket.closed() == (4406, "Subprotocol not acceptable")


async def test_one_of_several_subprotocols(app: SubscriptionApp) -> None:
    async with Socket(app, subprotocols=("graphql-ws", "graphql-transport-ws")) as socket:
        await socket.init()


async def test_binary_message(app: SubscriptionApp) -> None:
    async with Socket(app) as socket:
        await socket.accepted()
        socket.incoming.put_nowait({"type": "websocket.receive", "bytes": b"{}", "text": None})
        assert await socket.closed() == (1003, "messages are text")


async def test_init_timeout(manager: SubscriptionManager) -> None:
    async with Socket(SubscriptionApp(manager, anonymous=True, init_timeout=0.05)) as socket:
        await socket.accepted()
        assert (await socket.closed())[0] == 4408


async def test_message_size(manager: SubscriptionManager) -> None:
    async with Socket(SubscriptionApp(manager, anonymous=True, message_bytes=1000)) as socket:
        await socket.init()
        socket.send({"type": "ping", "payload": {"a": "x" * 2000}})
        assert (await socket.closed())[0] == 1009


async def test_keepalive(manager: SubscriptionManager) -> None:
    async with Socket(SubscriptionApp(manager, anonymous=True, keepalive=0.05, pong_timeout=1.5)) as socket:
        await socket.init()
        for _ in range(3):
            assert (await socket.json())["type"] == "ping"
            socket.send({"type": "pong"})
        assert (await socket.json())["type"] == "ping"
        code, _reason = await socket.closed()
        assert code >= 1000


@pytest.mark.parametrize("origin", ["http://testserver", "https://testserver", "https://app.example"])
async def test_origins(manager: SubscriptionManager, origin: str) -> None:
    app = SubscriptionApp(manager, anonymous=True, origins=["https://app.example"])
    async with Socket(app, headers=(("host", "testserver"), ("origin", origin))) as socket:
        await socket.init()


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://testserver.evil.example", "https://app.example:8443"])
async def test_foreign_origins(manager: SubscriptionManager, origin: str) -> None:
    app = SubscriptionApp(manager, anonymous=True, origins=["https://app.example"])
    headers = (("host", "testserver"), ("origin", origin))
    async with Socket(app, headers=headers) as socket:
        assert (await socket.next())["type"] == "websocket.close"  # before the accept: the server answers 403
    async with Socket(app, headers=headers, extensions={"websocket.http.response": {}}) as socket:
        assert (await socket.next())["status"] == 403
        assert json.loads((await socket.next())["body"])["errors"][0]["code"] == "FORBIDDEN"
    assert manager.get_metrics()["active_connections"] == 0


async def test_bad_origins(manager: SubscriptionManager) -> None:
    with pytest.raises(TypeError, match="list of origins"):
        SubscriptionApp(manager, anonymous=True, origins="https://app.example")
    wrong_ports = ("http://a:b", "http://a:80b", "http://a:1:2", "http://[::1", "http://[::1]x", "http://[::1]:x")
    for wrong in (
        *wrong_ports,
        "app.example",
        "https://app.example/",
        "https://user@app.example",
        "//app.example",
        "https://a b",
        "",
    ):
        with pytest.raises(ValueError, match=r"origins: .* is not scheme"):
            SubscriptionApp(manager, anonymous=True, origins=["*", wrong])
    right = ["http://a:80", "http://a:", "http://[::1]", "http://[::1]:8080", "https://ä.example", "app+x.1://a"]
    async with Socket(SubscriptionApp(manager, anonymous=True, origins=right)) as socket:  # the engine agrees
        await socket.init()


async def test_an_engine_that_is_gone(
    app: SubscriptionApp, manager: SubscriptionManager, caplog: pytest.LogCaptureFixture
) -> None:
    manager.close()
    async with Socket(app) as socket:
        await socket.accepted()
        assert await socket.closed() == (1013, "try again later")
    assert "no WebSocket can be served: The executor is closed." in caplog.text


async def test_too_many_connections(manager: SubscriptionManager) -> None:
    app = SubscriptionApp(manager, anonymous=True, max_connections=1)
    async with Socket(app) as first:
        await first.init()
        async with Socket(app, extensions={"websocket.http.response": {}}) as second:
            start = await second.next()
            assert start["status"] == 503
            assert (b"retry-after", b"5") in start["headers"]
        async with Socket(app) as second:
            await second.accepted()
            assert await second.closed() == (1013, "try again later")
    async with Socket(app) as third:
        await third.init()


async def test_http_and_lifespan(app: SubscriptionApp) -> None:
    status, _, body = await http(app)
    assert status == 400
    assert "query" in body["errors"][0]["message"]
    status, headers, _ = await http(app, "PATCH")
    assert (status, headers["allow"]) == (405, "GET, POST, PUT, DELETE")
    assert [m["type"] for m in await lifespan(app)] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    with pytest.raises(ValueError, match="unknown ASGI scope 'mqtt'"):
        await app({"type": "mqtt"}, None, None)  # type: ignore[arg-type]


async def test_shutdown_sends_clients_away(app: SubscriptionApp) -> None:
    async with Socket(app) as socket:
        await socket.init()
        await lifespan(app)
        assert (await socket.closed())[0] == 1012


async def test_events_while_the_lifespan_ends(app: SubscriptionApp, manager: SubscriptionManager) -> None:
    """Under servers that leave connections open until then: what was accepted before comes before the close, nothing after it."""
    async with Socket(app) as socket:
        await socket.init()
        await socket.subscribe(manager, "a", ORDERS)
        reached = [publish(manager, str(n)) for n in range(200)]  # the loop has no turn meanwhile
        assert reached == [1] * 200
        await lifespan(app)
        later = 200
        while publish(manager, str(later)):  # until the close has ended the subscription
            later += 1
            await asyncio.sleep(0)
        got = []
        while (one := await socket.next())["type"] == "websocket.send":
            got.append(json.loads(one["text"]))
        assert one["code"] == 1012
        assert len(got) >= 200
        assert got == [message("a", str(n)) for n in range(len(got))]
        socket.leave(1012)
        await socket.ended()
        assert socket.outgoing.empty()


class Clock:
    """A clock of its own for a drain: it moves on by sleeping only. It notes when which connection was sent away."""

    def __init__(self) -> None:
        self.now = 100.0
        self.shut: list[tuple[float, object]] = []

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("by", ["manager", "lifespan"])
async def test_drain_spreads_its_closes(manager: SubscriptionManager, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    count, window = 20, 10.0
    app = SubscriptionApp(manager, anonymous=True, drain_window=window)
    clock, shut = Clock(), endpoint.Connection.shut

    def noted(connection: endpoint.Connection, code: int, reason: str) -> None:
        clock.shut.append((clock.now - 100.0, connection))
        shut(connection, code, reason)

    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(Socket(app)) for _ in range(count)]
        opened = []
        for socket in sockets:
            await socket.init()
            await socket.subscribe(manager, "a", ORDERS)
            opened.append(next(one for one in app.endpoint._open if one not in opened))
        publish(manager, "last")
        with monkeypatch.context() as patched:
            patched.setattr(endpoint.Connection, "shut", noted)
            patched.setattr(endpoint, "asyncio", SimpleNamespace(sleep=clock.sleep, get_running_loop=lambda: clock))
            draining = asyncio.ensure_future(manager.shutdown(window) if by == "manager" else lifespan(app))
            await until(lambda: len(clock.shut) > 0)
            late = Socket(app)
            async with late:
                await late.accepted()
                assert (await late.closed())[0] == 1013
            for socket in sockets:
                assert await socket.json() == message("a", "last")
                assert (await socket.closed())[0] == 1012
            await draining
    times = [time for time, _ in clock.shut]
    assert len(times) == count
    for n, time in enumerate(times):  # one in each part of the window, anywhere in it
        assert window * n / count <= time <= window * (n + 1) / count
    assert len({time - window * n / count for n, time in enumerate(times)}) > 1
    assert [one for _, one in clock.shut] != opened, "in the order of their connects"


async def test_slow_client() -> None:
    limited = SubscriptionManager(schema=SCHEMA, limits={"queue_messages": 10})
    app = SubscriptionApp(limited, anonymous=True)
    async with Socket(app) as slow, Socket(app) as quick:
        for socket in (slow, quick):
            await socket.init()
            await socket.subscribe(limited, "a", ORDERS)
        slow.gate.clear()
        for n in range(50):
            publish(limited, str(n))
            assert await quick.json() == message("a", str(n))
        assert slow.blocked == 1
        slow.gate.set()
        got = []
        while (one := await slow.next())["type"] == "websocket.send":
            got.append(json.loads(one["text"]))
        assert one["code"] == 4290
        assert got == [message("a", str(n)) for n in range(len(got))]
        assert 1 <= len(got) < 50
    limited.close()


async def test_order_and_nothing_lost(app: SubscriptionApp, manager: SubscriptionManager) -> None:
    async with Socket(app) as socket:
        await socket.init()
        await socket.subscribe(manager, "a", ORDERS)

        def work() -> None:
            for n in range(500):
                publish(manager, str(n))

        await asyncio.get_running_loop().run_in_executor(None, work)
        assert [await socket.json() for _ in range(500)] == [message("a", str(n)) for n in range(500)]


@pytest.mark.parametrize("how", ["leave", "cancel", "send fails", "receive fails"])
async def test_cleans_up(app: SubscriptionApp, manager: SubscriptionManager, how: str) -> None:
    sockets = [Socket(app) for _ in range(20)]
    for socket in sockets:
        await socket.__aenter__()
        await socket.init()
        await socket.subscribe(manager, "a", ORDERS)
    assert manager.get_metrics()["active_subscriptions"] == 20
    for socket in sockets:
        assert socket.task is not None
        if how == "leave":
            socket.leave()
        elif how == "cancel":
            socket.task.cancel()
        elif how == "send fails":
            socket.outgoing.put_nowait = fails  # type: ignore[method-assign, assignment]
        else:
            socket.incoming.put_nowait({})
    publish(manager)
    for socket in sockets:
        assert socket.task is not None
        done, _ = await asyncio.wait({socket.task}, timeout=5)
        assert done
        assert socket.task.cancelled() == (how == "cancel")
    assert manager.get_metrics()["active_subscriptions"] == 0
    assert manager.get_metrics()["active_connections"] == 0
    gc.collect()
    assert not [connection for connection in app.endpoint._open if connection.open]
    assert not manager.executor._aside().doors
    assert not manager.executor._aside().mailbox(asyncio.get_running_loop())._targets


def fails(_: object) -> None:
    raise OSError("the client is gone")


async def test_manager_that_closes(app: SubscriptionApp, manager: SubscriptionManager) -> None:
    async with Socket(app) as socket:
        await socket.init()
        manager.close()
        assert (await socket.closed())[0] == 1001


async def test_an_executor_may_be_mounted() -> None:
    executor = SubscriptionExecutor(schema=SCHEMA)
    async with Socket(SubscriptionApp(executor, anonymous=True)) as socket:
        await socket.init()
        await socket.subscribe(executor, "a", ORDERS)
        executor.publish_event("order.placed", "orders", {"id": "1", "total": 1})
        assert await socket.json() == message("a", "1")
    executor.close()


async def test_connect_that_never_comes(app: SubscriptionApp) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "websocket.disconnect", "code": 1006}

    await app(Socket(app).scope, receive, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [0, 4000, 8192, 70_000, 1_000_000])
async def test_messages_of_every_size(app: SubscriptionApp, manager: SubscriptionManager, size: int) -> None:
    async with Socket(app) as socket:
        await socket.init()
        await socket.subscribe(manager, "a", "subscription ($id: ID) { orders(id: $id) { id } }", variables={"id": "x" * size})
        for _ in range(3):
            publish(manager, "x" * size)
        assert [await socket.json() for _ in range(3)] == [message("a", "x" * size)] * 3
