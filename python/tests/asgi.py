"""Drives an ASGI application's WebSockets in memory, as a server would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

PATIENCE = 10.0
SUBPROTOCOL = "graphql-transport-ws"

App = Callable[[Any, Any, Any], Awaitable[None]]


class Engine(Protocol):
    """A manager or an executor."""

    def get_metrics(self) -> dict[str, Any]: ...


async def until(what: Callable[[], bool]) -> None:
    """Waits until something is true; nothing but the engine's threads decides when."""
    end = asyncio.get_running_loop().time() + PATIENCE
    while not what():
        assert asyncio.get_running_loop().time() < end, "it does not happen"
        await asyncio.sleep(0.002)


class Socket:
    """One WebSocket: the client's side of it. Use it with `async with`."""

    def __init__(
        self,
        app: App,
        *,
        subprotocols: tuple[str, ...] = (SUBPROTOCOL,),
        headers: tuple[tuple[str, str], ...] = (("host", "testserver"),),
        path: str = "/graphql",
        extensions: dict[str, Any] | None = None,
    ) -> None:
        self.app = app
        self.scope: dict[str, Any] = {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "scheme": "ws",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers],
            "client": ("127.0.0.1", 4711),
            "server": ("testserver", 80),
            "subprotocols": list(subprotocols),
            "extensions": {} if extensions is None else extensions,
        }
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.outgoing: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self.gate = asyncio.Event()  # what the application sends waits while it is clear
        self.gate.set()
        self.blocked = 0
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Socket:
        self.incoming.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.ensure_future(self.app(self.scope, self.incoming.get, self._send))
        return self

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        self.blocked += 1
        await self.gate.wait()
        self.blocked -= 1
        self.outgoing.put_nowait(message)

    async def next(self) -> MutableMapping[str, Any]:
        """The next ASGI message of the application."""
        assert self.task is not None
        getting = asyncio.ensure_future(self.outgoing.get())
        done, _ = await asyncio.wait({getting, self.task}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if getting in done or not self.outgoing.empty():
            return await getting
        getting.cancel()
        if self.task in done:
            self.task.result()
            raise AssertionError("the application has returned and sent nothing more")
        raise AssertionError("the application sends nothing")

    async def accepted(self) -> None:
        """Waits for the accept, with the subprotocol."""
        assert await self.next() == {"type": "websocket.accept", "subprotocol": SUBPROTOCOL}

    async def text(self) -> str:
        """The next text message."""
        message = await self.next()
        assert message["type"] == "websocket.send", message
        assert message.get("bytes") is None
        return str(message["text"])

    async def json(self) -> Any:
        """The next text message, decoded."""
        return json.loads(await self.text())

    async def closed(self) -> tuple[int, str]:
        """Code and reason of the close, which is the next thing sent; the application then returns."""
        message = await self.next()
        assert message["type"] == "websocket.close", message
        self.incoming.put_nowait({"type": "websocket.disconnect", "code": message["code"]})
        await self.ended()
        return message["code"], message["reason"]

    def send(self, message: object) -> None:
        """Sends a text message; anything but a str is encoded."""
        text = message if isinstance(message, str) else json.dumps(message)
        self.incoming.put_nowait({"type": "websocket.receive", "text": text})

    async def init(self, payload: object = None) -> None:
        """Opens the connection up to its acknowledgement."""
        await self.accepted()
        self.send({"type": "connection_init"} if payload is None else {"type": "connection_init", "payload": payload})
        assert await self.json() == {"type": "connection_ack"}

    async def subscribe(self, engine: Engine, id_: str, query: str, **more: object) -> None:
        """Starts an operation, and waits until the engine has one more."""
        before = engine.get_metrics()["active_subscriptions"]
        self.send({"id": id_, "type": "subscribe", "payload": {"query": query, **more}})
        await until(lambda: engine.get_metrics()["active_subscriptions"] == before + 1)

    async def settled(self) -> None:
        """Waits until everything sent before was worked on."""
        self.send({"type": "ping", "payload": {"settled": True}})
        message = await self.json()
        assert message == {"type": "pong", "payload": {"settled": True}}, message

    def leave(self, code: int = 1001) -> None:
        """The client goes."""
        self.incoming.put_nowait({"type": "websocket.disconnect", "code": code})

    async def ended(self) -> None:
        """Waits until the application has returned."""
        assert self.task is not None
        await asyncio.wait_for(asyncio.shield(self.task), PATIENCE)

    async def __aexit__(self, *exc: object) -> None:
        assert self.task is not None
        if not self.task.done():
            self.gate.set()
            self.leave()
            done, _ = await asyncio.wait({self.task}, timeout=PATIENCE)
            assert done, "the application does not return"


async def lifespan(app: App) -> list[MutableMapping[str, Any]]:
    """Starts and stops an application; what it answered."""
    incoming = iter(({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}))
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return next(incoming)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await app({"type": "lifespan"}, receive, send)
    return sent


class Exchange:
    """One HTTP request: the client's side of it. Use it with `async with`."""

    def __init__(
        self, app: App, method: str = "POST", path: str = "/graphql", body: bytes = b"", query: str = "", **headers: str
    ) -> None:
        self.app = app
        pairs = {"host": "testserver", "content-type": "application/json", **headers}
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in pairs.items() if value],
            "client": ("127.0.0.1", 4711),
            "server": ("testserver", 80),
        }
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        half = len(body) // 2
        self.incoming.put_nowait({"type": "http.request", "body": body[:half], "more_body": True})
        self.incoming.put_nowait({"type": "http.request", "body": body[half:], "more_body": False})
        self.outgoing: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self.task: asyncio.Task[None] | None = None
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.complete = False

    async def __aenter__(self) -> Exchange:
        self.task = asyncio.ensure_future(self.app(self.scope, self.incoming.get, self._send))
        return self

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        self.outgoing.put_nowait(message)

    async def _next(self) -> bool:
        """Takes one message of the application; False: it has returned."""
        assert self.task is not None
        getting = asyncio.ensure_future(self.outgoing.get())
        done, _ = await asyncio.wait({getting, self.task}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        assert done, "the application sends nothing"
        if getting not in done and self.outgoing.empty():
            getting.cancel()
            return False
        message = await getting
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message["body"]
            self.complete = not message.get("more_body", False)
        return True

    async def hear(self, text: str) -> None:
        """Waits until the body ends with a text, and takes it away."""
        while not self.body.endswith(text.encode()):
            assert await self._next(), f"the answer ends with {self.body!r}"
        self.body = b""

    async def ended(self) -> None:
        """Waits until the application has returned."""
        while await self._next():
            pass

    def leave(self) -> None:
        """The client goes."""
        self.incoming.put_nowait({"type": "http.disconnect"})

    async def __aexit__(self, *exc: object) -> None:
        assert self.task is not None
        if not self.task.done():
            self.leave()
            done, _ = await asyncio.wait({self.task}, timeout=PATIENCE)
            assert done, "the application does not return"


async def http(app: App, method: str = "GET", path: str = "/graphql") -> tuple[int, dict[str, str], Any]:
    """Status, headers and decoded body of an HTTP request."""
    async with Exchange(app, method, path) as exchange:
        await exchange.ended()
    return exchange.status, exchange.headers, json.loads(exchange.body)
