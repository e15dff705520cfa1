"""Subscriptions as an ASGI application, for every framework and server that speaks ASGI."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from fraiseql.subscriptions.authentication import AuthHandler
from fraiseql.subscriptions.endpoint import (
    CLOSE_BINARY,
    CLOSE_SUBPROTOCOL,
    Connection,
    Endpoint,
    Engine,
    Text,
    note_refusal,
)
from fraiseql.subscriptions.errors import AuthorizationFailed, SubscriptionError
from fraiseql.subscriptions.hooks import Hooks
from fraiseql.subscriptions.pump import pump
from fraiseql.subscriptions.request import Headers, Request
from fraiseql.subscriptions.settings import seconds

__all__ = ["SubscriptionApp"]

_log = logging.getLogger("fraiseql")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_DENIAL = "websocket.http.response"

_CLOSE, _HEAD = 1, 2
_COMPLETE = 1000
_STREAM = b"x-fraiseql-stream"
_BODY_TIMEOUT = 20.0
"""Seconds that a client may take to send the body of a request."""


class SubscriptionApp:
    """An ASGI application that serves GraphQL subscriptions.

    It answers scopes of type `websocket` (graphql-transport-ws, and graphql-ws if wanted), `http` (server-sent events, multipart and GraphQL over
    HTTP, by what the request accepts) and `lifespan`; the path does not matter to it. What it says is the engine's
    protocol: this class moves messages.
    """

    def __init__(
        self,
        manager: Engine,
        auth_handler: AuthHandler | None = None,
        *,
        anonymous: bool = False,
        origins: Iterable[str] = (),
        message_bytes: int = 1 << 20,
        init_timeout: float = 3.0,
        keepalive: float | None = 30.0,
        pong_timeout: float = 10.0,
        max_connections: int = 0,
        hooks: Hooks | None = None,
        legacy_graphql_ws: bool = False,
        drain_window: float = 0.0,
    ) -> None:
        """Make the application.

        Args:
            manager: The manager, or an executor.
            auth_handler: `auth_handler(connection_params, request)` says who a client is: it returns an `Identity`
                or a dict with the same members, sync or async. Raising refuses the client with 4403, and so does
                None unless `anonymous`. `request` is a `Request`. Without one the manager's `auth` is asked.
            anonymous: Let clients in without an identity: everybody when there is no handler.
            origins: Origins of pages that may connect beside the own host, as `scheme://host[:port]`; `*` is all.
            message_bytes: Largest message of a client; beyond it the close is 1009, or the answer 413.
            init_timeout: Seconds until `connection_init`; then the close is 4408.
            keepalive: Seconds of silence until a `ping`; None never sends one.
            pong_timeout: Seconds of silence after it until the close.
            max_connections: Open connections; 0 is no bound. Beyond it the answer is 503.
            hooks: Asked about connections and subscriptions; without any the manager's are.
            legacy_graphql_ws: Speak the subprotocol graphql-ws of npm subscriptions-transport-ws with clients that know no
                other.
            drain_window: Seconds over which closes are spread when the lifespan ends, for servers that leave open
                connections alone until then; for others there is `SubscriptionManager.shutdown`.

        Raises:
            ValueError: There is no handler and `anonymous` is not True, or a number cannot be right.
            TypeError: An argument has the wrong type.
        """
        self.endpoint = Endpoint(
            manager,
            auth_handler=auth_handler,
            anonymous=anonymous,
            origins=origins,
            message_bytes=message_bytes,
            init_timeout=init_timeout,
            keepalive=keepalive,
            pong_timeout=pong_timeout,
            max_connections=max_connections,
            hooks=hooks,
            legacy_graphql_ws=legacy_graphql_ws,
        )
        self._drain_window = drain_window and seconds("drain_window", drain_window)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope.

        Args:
            scope: The connection.
            receive: Gives the server's messages.
            send: Takes ours.
        """
        kind = scope["type"]
        if kind == "websocket":
            await self.serve(scope, receive, send, None)
        elif kind == "lifespan":
            await self._lifespan(receive, send)
        elif kind == "http":
            await self.answer(scope, receive, send, None)
        else:
            raise ValueError(f"SubscriptionApp: unknown ASGI scope {kind!r}")

    async def serve(self, scope: Scope, receive: Receive, send: Send, request: Any) -> None:
        """Serve one WebSocket.

        Args:
            scope: The connection.
            receive: Gives the server's messages.
            send: Takes ours.
            request: What the `auth_handler` gets; None is a `Request` made of the scope.
        """
        message = await receive()
        if message["type"] != "websocket.connect":
            return
        headers = Headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
        agreed = self.endpoint.agree(scope.get("subprotocols", ()))
        if agreed is None:
            await send({"type": "websocket.accept"})
            await _close(send, *CLOSE_SUBPROTOCOL)
            return
        client = scope.get("client")
        try:
            connection = self.endpoint.connect(
                Request.from_scope(scope) if request is None else request,
                authorization=headers.get("authorization"),
                cookie=headers.get("cookie"),
                origin=headers.get("origin"),
                host=headers.get("host"),
                remote_addr=f"{client[0]}:{client[1]}" if client else None,
                subprotocol=agreed,
            )
        except SubscriptionError as error:
            note_refusal(error)
            await _deny(scope, send, error, agreed)
            return
        try:
            await send({"type": "websocket.accept", "subprotocol": agreed})
            await pump(connection, _receiver(connection, receive), _sender(send), _closer(send))
        finally:
            connection.close()

    async def answer(self, scope: Scope, receive: Receive, send: Send, request: Any) -> None:
        """Answer one HTTP request: by a stream or by one answer.

        Args:
            scope: The request.
            receive: Gives the server's messages.
            send: Takes ours.
            request: What the `auth_handler` gets; None is a `Request` made of the scope.
        """
        try:
            body = await asyncio.wait_for(_body(receive, self.endpoint.message_bytes), _BODY_TIMEOUT)
        except asyncio.TimeoutError:
            await _answer(send, 408, "BAD_USER_INPUT", "the body did not come in time", "http.response")
            return
        if body is None:
            return
        pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        client = scope.get("client")
        try:
            connection = self.endpoint.exchange(
                Request.from_scope(scope) if request is None else request,
                method=scope["method"],
                path=scope.get("path", "/"),
                query=bytes(scope.get("query_string") or b"").decode("latin-1"),
                headers=pairs,
                host=Headers(pairs).get("host"),
                remote_addr=f"{client[0]}:{client[1]}" if client else None,
            )
        except SubscriptionError as error:
            note_refusal(error)
            await _answer(send, 503, error.code, error.message, "http.response")
            return
        gone = asyncio.ensure_future(_gone(receive))
        stream = asyncio.ensure_future(_stream(connection, send))
        try:
            connection.receive(body)
            await asyncio.wait((gone, stream), return_when=asyncio.FIRST_COMPLETED)
        finally:
            connection.close()
            gone.cancel()
            stream.cancel()
            for ended in await asyncio.gather(gone, stream, return_exceptions=True):
                if isinstance(ended, Exception):
                    _log.debug("an HTTP request ended with %s", type(ended).__name__)

    async def refresh(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take fresh credentials of a stream that a request names, and nothing else.

        Args:
            scope: The request.
            receive: Gives the server's messages.
            send: Takes ours.
        """
        method = scope["method"]
        if method not in ("POST", "OPTIONS"):  # pages of other origins ask first
            text = "this address takes POST only"
            await _answer(send, 405, "BAD_USER_INPUT", text, "http.response", (b"allow", b"POST"))
        elif method == "POST" and not any(name.lower() == _STREAM and value for name, value in scope["headers"]):
            await _answer(send, 400, "BAD_USER_INPUT", "name the stream: X-FraiseQL-Stream", "http.response")
        else:
            await self.answer(scope, receive, send, None)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                if self._drain_window:
                    await self.endpoint.drain(self._drain_window)
                else:
                    self.endpoint.shut()
                await send({"type": "lifespan.shutdown.complete"})
                return


def _receiver(connection: Connection, receive: Receive) -> Callable[[], Awaitable[Text | None]]:
    async def next_text() -> Text | None:
        while True:
            message = await receive()
            if message["type"] != "websocket.receive":
                return None
            text: str | None = message.get("text")
            if text is not None:
                return text
            connection.shut(*CLOSE_BINARY)

    return next_text


def _sender(send: Send) -> Callable[[bytes], Awaitable[None]]:
    return lambda data: send({"type": "websocket.send", "text": data.decode()})


def _closer(send: Send) -> Callable[[int, str], Awaitable[None]]:
    return lambda code, reason: _close(send, code, reason)


async def _close(send: Send, code: int, reason: str) -> None:
    await send({"type": "websocket.close", "code": code, "reason": reason})


async def _deny(scope: Scope, send: Send, error: SubscriptionError, agreed: str) -> None:
    """Refuse an upgrade: 403, or 503 when there are too many."""
    foreign = isinstance(error, AuthorizationFailed)
    if _DENIAL in scope.get("extensions", {}):
        await _answer(send, 403 if foreign else 503, error.code, error.message, "websocket.http.response")
    elif foreign:
        await _close(send, 1008, "")  # before the accept: servers answer 403
    else:
        await send({"type": "websocket.accept", "subprotocol": agreed})
        await _close(send, 1013, "try again later")


async def _body(receive: Receive, limit: int) -> bytes | None:
    """Read the body of a request, a little more than its limit at most; None: the client is gone."""
    pieces: list[bytes] = []
    size = 0
    while size <= limit:
        message = await receive()
        if message["type"] != "http.request":
            return None
        piece: bytes = message.get("body", b"")
        pieces.append(piece)
        size += len(piece)
        if not message.get("more_body", False):
            break
    return b"".join(pieces)[: limit + 1]


async def _gone(receive: Receive) -> None:
    """Wait until the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _stream(connection: Connection, send: Send) -> None:
    """Send an answer. One that breaks off is left incomplete, upon which servers cut the connection."""
    started = False
    while True:
        await connection.arrival()
        for kind, code, data in connection.take():
            if kind == _HEAD:
                started = True
                pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in json.loads(data)]
                await send({"type": "http.response.start", "status": code, "headers": pairs})
            elif kind == _CLOSE and not started:
                await _answer(send, 503, "RATE_LIMITED", "The server is shutting down.", "http.response")
                return
            elif kind == _CLOSE:
                if code == _COMPLETE:
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            else:
                await send({"type": "http.response.body", "body": data, "more_body": True})


async def _answer(send: Send, status: int, code: str, text: str, kind: str, *headers: tuple[bytes, bytes]) -> None:
    body = json.dumps({"errors": [{"code": code, "message": text}]}).encode()
    start = [
        (b"content-type", b"application/json; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"x-content-type-options", b"nosniff"),
        *headers,
    ]
    if status == 503:
        start.append((b"retry-after", b"5"))
    await send({"type": f"{kind}.start", "status": status, "headers": start})
    await send({"type": f"{kind}.body", "body": body})
