"""Subscriptions as an ASGI application, for every framework and server that speaks ASGI."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from fraiseql.subscriptions.authentication import AuthHandler
from fraiseql.subscriptions.endpoint import (
    CLOSE_BINARY,
    CLOSE_SUBPROTOCOL,
    SUBPROTOCOL,
    Connection,
    Endpoint,
    Engine,
    Text,
    note_refusal,
    pump,
)
from fraiseql.subscriptions.errors import AuthorizationFailed, SubscriptionError
from fraiseql.subscriptions.request import Headers, Request

__all__ = ["SubscriptionApp"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_DENIAL = "websocket.http.response"


class SubscriptionApp:
    """An ASGI application that serves GraphQL subscriptions over graphql-transport-ws.

    It answers scopes of type `websocket`, `lifespan` and, with a short refusal, `http`; the path does not matter to
    it. What it does on a WebSocket is the engine's protocol: this class moves messages.
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
    ) -> None:
        """Make the application.

        Args:
            manager: The manager, or an executor.
            auth_handler: `auth_handler(connection_params, request)` says who a client is: it returns an `Identity`
                or a dict with the same members, sync or async. Raising refuses the client with 4403, and so does
                None unless `anonymous`. `request` is a `Request`. Without one the manager's `auth` is asked.
            anonymous: Let clients in without an identity: everybody when there is no handler.
            origins: Origins of pages that may connect beside the own host, as `scheme://host[:port]`; `*` is all.
            message_bytes: Largest message of a client; beyond it the close is 1009.
            init_timeout: Seconds until `connection_init`; then the close is 4408.
            keepalive: Seconds of silence until a `ping`; None never sends one.
            pong_timeout: Seconds of silence after it until the close.
            max_connections: Open connections; 0 is no bound. Beyond it the answer is 503.

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
        )

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
            await _refuse_http(scope, send)
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
        if SUBPROTOCOL not in scope.get("subprotocols", ()):
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
            )
        except SubscriptionError as error:
            note_refusal(error)
            await _deny(scope, send, error)
            return
        try:
            await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
            await pump(connection, _receiver(connection, receive), _sender(send), _closer(send))
        finally:
            connection.close()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
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


async def _deny(scope: Scope, send: Send, error: SubscriptionError) -> None:
    """Refuse an upgrade: 403, or 503 when there are too many."""
    foreign = isinstance(error, AuthorizationFailed)
    if _DENIAL in scope.get("extensions", {}):
        await _answer(send, 403 if foreign else 503, error.code, error.message, "websocket.http.response")
    elif foreign:
        await _close(send, 1008, "")  # before the accept: servers answer 403
    else:
        await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
        await _close(send, 1013, "try again later")


async def _refuse_http(scope: Scope, send: Send) -> None:
    if scope.get("method") == "GET":
        text = "this is a WebSocket endpoint: connect with subprotocol " + SUBPROTOCOL
        await _answer(send, 426, "BAD_USER_INPUT", text, "http.response", (b"upgrade", b"websocket"))
    else:
        text = "a WebSocket is opened with GET"
        await _answer(send, 405, "BAD_USER_INPUT", text, "http.response", (b"allow", b"GET"))


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
