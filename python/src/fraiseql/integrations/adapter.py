"""WebSockets of any other kind: implement six members, hand the object to `SubscriptionManager.handle_connection`."""

from __future__ import annotations

import abc
import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

from fraiseql.subscriptions.endpoint import (
    CLOSE_BINARY,
    SUBPROTOCOL,
    Endpoint,
    Text,
    note_refusal,
)
from fraiseql.subscriptions.errors import AuthorizationFailed, SubscriptionError
from fraiseql.subscriptions.pump import pump

if TYPE_CHECKING:
    from fraiseql.subscriptions.authentication import AuthHandler
    from websockets.asyncio.server import ServerConnection

__all__ = ["WebSocketAdapter", "WebsocketsAdapter", "handle_connection"]

_NEXT = re.compile(rb'\{"id":"(?:[^"\\]|\\.)*","type":"next"')


class WebSocketAdapter(abc.ABC):
    """A WebSocket that the caller owns, to be subclassed.

    graphql-transport-ws knows text messages only: `send_json` and `send_bytes` both send **text** frames.

    Attributes:
        request: What the `auth_handler` gets as its second argument; None unless set.
        headers: Headers of the opening request, by names in lower case: `origin` and `host` decide whether a page may
            connect.
        remote_addr: Address of the client, or None.
    """

    request: Any = None
    headers: dict[str, str] = {}
    remote_addr: str | None = None

    @abc.abstractmethod
    async def accept(self, subprotocol: str | None = None) -> None:
        """Accept the WebSocket.

        Args:
            subprotocol: The subprotocol to name; the client must have offered it.
        """

    @abc.abstractmethod
    async def receive_json(self) -> Any:
        """Wait for the next message of the client.

        Returns:
            The message, decoded; None when the client is gone.

        Raises:
            ValueError: The message is no JSON; the client is then closed with 4400.
            Exception: Anything else means that the client is gone.
        """

    @abc.abstractmethod
    async def send_json(self, data: dict[str, Any]) -> None:
        """Send a message of the protocol: all types but `next`.

        Args:
            data: The message.
        """

    @abc.abstractmethod
    async def send_bytes(self, data: bytes) -> None:
        """Send a message that is serialised already: type `next`. As a text frame.

        Args:
            data: JSON in UTF-8.
        """

    @abc.abstractmethod
    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the WebSocket.

        Args:
            code: Close code.
            reason: Its reason, at most 123 bytes.
        """

    @property
    @abc.abstractmethod
    def is_connected(self) -> bool:
        """Whether the WebSocket is open."""

    async def receive_text(self) -> Text | None:
        """Wait for the next message of the client as it came; override it where that spares decoding.

        Returns:
            The text, None when the client is gone.
        """
        try:
            message = await self.receive_json()
        except ValueError:
            await asyncio.sleep(0)  # the engine has its turn to close, whether or not that waited
            return "not JSON"
        return None if message is None else json.dumps(message)

    async def send_text(self, data: bytes) -> None:
        """Send any message of the engine; override it where one way is enough.

        Args:
            data: JSON in UTF-8.
        """
        if _NEXT.match(data):
            await self.send_bytes(data)
        else:
            await self.send_json(json.loads(data))


async def handle_connection(endpoint: Endpoint, adapter: WebSocketAdapter, handler: AuthHandler | None = None) -> None:
    """Serve one client over an adapter until either side ends it.

    Args:
        endpoint: What its clients have in common.
        adapter: The WebSocket, not accepted yet.
        handler: See `Endpoint.connect`.

    Raises:
        ValueError: There is a handler, and the endpoint asks none.
    """
    headers = {name.lower(): value for name, value in adapter.headers.items()}
    try:
        connection = endpoint.connect(
            adapter.request if adapter.request is not None else adapter,
            authorization=headers.get("authorization"),
            cookie=headers.get("cookie"),
            origin=headers.get("origin"),
            host=headers.get("host"),
            remote_addr=adapter.remote_addr,
            handler=handler,
        )
    except SubscriptionError as error:
        note_refusal(error)
        await adapter.accept(SUBPROTOCOL)
        code = 4403 if isinstance(error, AuthorizationFailed) else 1013
        await adapter.close(code, "Forbidden" if code == 4403 else "try again later")
        return

    async def close(code: int, reason: str) -> None:
        if adapter.is_connected:
            await adapter.close(code, reason)

    async def receive() -> Text | None:
        while adapter.is_connected:
            message = await adapter.receive_text()
            if not isinstance(message, bytes):
                return message
            connection.shut(*CLOSE_BINARY)
            await asyncio.sleep(0)
        return None

    try:
        await adapter.accept(SUBPROTOCOL)
        await pump(connection, receive, adapter.send_text, close)
    finally:
        connection.close()


class WebsocketsAdapter(WebSocketAdapter):
    """A connection of the `websockets` library's asyncio server.

    Create the server with `subprotocols=["graphql-transport-ws"]`, for the library accepts by itself.
    """

    def __init__(self, connection: ServerConnection) -> None:
        """Wrap a connection.

        Args:
            connection: The handler's argument.
        """
        from websockets.exceptions import ConnectionClosed
        from websockets.protocol import State

        self._connection = connection
        self._gone = ConnectionClosed
        self._state = State.OPEN
        self.request = connection.request
        if connection.request is not None:
            pairs = connection.request.headers.raw_items()
            self.headers = {name.lower(): value for name, value in pairs}
        address = connection.remote_address
        self.remote_addr = f"{address[0]}:{address[1]}" if isinstance(address, tuple) else None

    async def accept(self, subprotocol: str | None = None) -> None:
        """Check what the library has agreed on.

        Args:
            subprotocol: What the engine speaks.
        """
        if self._connection.subprotocol != subprotocol:
            await self._connection.close(4406, "Subprotocol not acceptable")

    async def receive_json(self) -> Any:
        """Wait for the next message.

        Returns:
            The message, None when the client is gone.

        Raises:
            ValueError: It is no JSON.
        """
        text = await self.receive_text()
        return None if text is None else json.loads(text)

    async def receive_text(self) -> Text | None:
        """Wait for the next message as it came.

        Returns:
            The text, bytes for a binary message, None when the client is gone.
        """
        try:
            return await self._connection.recv()
        except self._gone:
            return None

    async def send_json(self, data: dict[str, Any]) -> None:
        """Send a message.

        Args:
            data: The message.
        """
        await self._connection.send(json.dumps(data))

    async def send_bytes(self, data: bytes) -> None:
        """Send a serialised message as a text frame.

        Args:
            data: JSON in UTF-8.
        """
        await self._connection.send(data, text=True)

    async def send_text(self, data: bytes) -> None:
        """Send a serialised message as a text frame.

        Args:
            data: JSON in UTF-8.
        """
        await self._connection.send(data, text=True)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection.

        Args:
            code: Close code.
            reason: Its reason.
        """
        await self._connection.close(code, reason)

    @property
    def is_connected(self) -> bool:
        """Whether the connection is open."""
        return self._connection.state is self._state
