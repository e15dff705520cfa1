"""The engine's own WebSocket server inside this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from typing import TYPE_CHECKING

from fraiseql.subscriptions.errors import InvalidConfig, InvalidQuery, SubscriptionError

if TYPE_CHECKING:
    from fraiseql.subscriptions.executor import SubscriptionExecutor

__all__ = ["Closed", "Server"]


class Closed:
    """What a `close` that has done its work already returns, so that it may be awaited, too."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        """Wait for nothing."""
        return
        yield


class Server:
    """A WebSocket server of the engine; `SubscriptionManager.serve` makes it.

    Its sockets, the protocol and the fan-out are on threads of the engine. It is an asynchronous context manager.

    Attributes:
        host: Address that it listens on.
        port: Port that it listens on.
        path: Path of the endpoint.
    """

    host: str
    port: int
    path: str

    def __init__(self, executor: SubscriptionExecutor, document: dict[str, object], path: str, token: int) -> None:
        """Listen; `SubscriptionManager.serve` is the way to call it.

        Args:
            executor: The engine.
            document: Its configuration.
            path: Path of the endpoint.
            token: Of the door that judges clients, 0: nobody does.

        Raises:
            InvalidConfig: It cannot listen there, or an argument cannot be right.
        """
        self.path = path
        self._executor = executor
        self._token = token
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Event = asyncio.Event()
        try:
            self._handle, self.host, self.port = executor._serve(json.dumps(document).encode())
        except InvalidQuery as error:
            raise InvalidConfig.of(error) from None

    @property
    def url(self) -> str:
        """The URL that clients connect to."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ws://{host}:{self.port}{self.path}"

    async def close(self, window: float = 0.0) -> None:
        """Stop listening and close every connection with 1012, which makes clients come back. Idempotent.

        Args:
            window: Seconds over which the closes are spread, so that clients do not all come back at once.
        """
        handle, self._handle = self._handle, 0
        if handle:
            loop = asyncio.get_running_loop()
            try:
                await loop.run_in_executor(None, self._executor._serve_stop, handle, float(window))
            except (SubscriptionError, KeyError):
                pass  # the engine is closed, and the server with it
            finally:
                self._executor._aside().doors.pop(self._token, None)
                self._ended.set()
        await self._ended.wait()

    def _engine_closed(self) -> None:
        """Tell whoever waits that the server has ended with its engine; by any thread."""
        try:
            self._loop.call_soon_threadsafe(self._ended.set)
        except RuntimeError:  # nobody waits in a loop that is closed
            pass

    async def serve_forever(self) -> None:
        """Wait until the server is closed; close it when this is cancelled."""
        try:
            await self._ended.wait()
        finally:
            await self.close()

    async def __aenter__(self) -> Server:
        """Return the server."""
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close the server."""
        await self.close()

    def __repr__(self) -> str:
        """Show the URL."""
        return f"<Server {self.url}>"
