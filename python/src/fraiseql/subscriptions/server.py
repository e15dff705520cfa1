"""The engine's own WebSocket server inside this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from typing import TYPE_CHECKING

from fraiseql.subscriptions.authentication import AuthHandler, Door
from fraiseql.subscriptions.errors import InvalidConfig, InvalidQuery, SubscriptionError
from fraiseql.subscriptions.hooks import Desk, Hooks, hooks_document
from fraiseql.subscriptions.operations import aside
from fraiseql.subscriptions.request import Request
from fraiseql.subscriptions.settings import window_seconds

if TYPE_CHECKING:
    from fraiseql.subscriptions import SubscriptionExecutor

__all__ = ["Closed", "Server", "listen"]


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

    def __init__(self, executor: SubscriptionExecutor, document: dict[str, object], path: str, token: int, desk: int = 0) -> None:
        """Listen; `SubscriptionManager.serve` is the way to call it.

        Args:
            executor: The engine.
            document: Its configuration.
            path: Path of the endpoint.
            token: Of the door that judges clients, 0: nobody does.
            desk: Of the hooks that are asked about them, 0: none are.

        Raises:
            InvalidConfig: It cannot listen there, or an argument cannot be right.
        """
        self.path = path
        self._executor = executor
        self._token, self._desk = token, desk
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
            window: Seconds over which the closes are spread, so that clients do not all come back at once; 600 at most.

        Raises:
            ValueError: The window is no number of seconds from 0 to 600. Nothing was closed.
        """
        window = window_seconds(window)
        handle, self._handle = self._handle, 0
        if handle:
            try:
                await aside(lambda: self._executor._serve_stop(handle, window))
            except SubscriptionError as error:
                if error.code not in ("CLOSED", "FORK"):  # else the server is gone with the engine
                    raise
            finally:
                self._executor._aside().doors.pop(self._token, None)
                self._executor._aside().desks.pop(self._desk, None)
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


def listen(
    executor: SubscriptionExecutor,
    document: dict[str, object],
    path: str,
    handler: AuthHandler | None,
    anonymous: bool,
    hooks: Hooks | None,
) -> Server:
    """Make a server whose clients are judged in the running loop.

    Args:
        executor: The engine.
        document: Its configuration.
        path: Path of the endpoint.
        handler: Who judges clients; None: nobody does.
        anonymous: Whether clients without an identity are let in.
        hooks: Asked about connections and subscriptions.

    Returns:
        The server, which listens.

    Raises:
        InvalidConfig: It cannot listen there, or an argument cannot be right.
    """
    loop, aside = asyncio.get_running_loop(), executor._aside()
    box = aside.mailbox(loop)
    aside.tell_calls(box)
    token = desk = 0
    if handler is not None:
        token = box.new_token()
        aside.doors[token] = Door(loop, handler, anonymous, Request.from_json)
        document["token"] = token
    if hooks is not None:
        desk = box.new_token()
        aside.desks[desk] = Desk(loop, hooks)
        document.update(hooks_document(hooks, desk))
    try:
        return Server(executor, document, path, token, desk)
    except BaseException:
        aside.doors.pop(token, None)
        aside.desks.pop(desk, None)
        raise
