"""WebSockets that the application's own server owns: the protocol is the engine's, bytes go in and actions come out."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Union

from fraiseql import _native
from fraiseql.subscriptions import SubscriptionExecutor
from fraiseql.subscriptions.authentication import AuthHandler, Door, check_handler
from fraiseql.subscriptions.errors import AuthorizationFailed, InvalidConfig, InvalidQuery, RateLimited, SubscriptionError
from fraiseql.subscriptions.hooks import Desk, Hooks, check_hooks, hooks_document
from fraiseql.subscriptions.pump import CLOSE
from fraiseql.subscriptions.settings import flag, seconds

if TYPE_CHECKING:
    from fraiseql.subscriptions.mailbox import Mailbox
    from fraiseql.subscriptions.manager import SubscriptionManager

_native.serve_clients()  # also executors that are mounted without a manager

__all__ = ["LEGACY_SUBPROTOCOL", "SUBPROTOCOL", "Connection", "Endpoint", "Text", "note_refusal"]

_log = logging.getLogger("fraiseql")

SUBPROTOCOL = "graphql-transport-ws"
LEGACY_SUBPROTOCOL = "graphql-ws"
"""That of npm subscriptions-transport-ws."""
CLOSE_SUBPROTOCOL = (4406, "Subprotocol not acceptable")
CLOSE_BINARY = (1003, "messages are text")

_RESTARTS = (1012, "the server restarts, connect again")
_GRACE = 5.0
"""Seconds that clients have to take what waits for them and their close, beyond the window of a drain."""

_STOPS = (CLOSE, 1001, b"the server stops")
_BYTES = 65536
"""Taken from the engine at once; what waits beyond it stays in the queues, within their bounds."""

_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:\[[^/?#@\s\[\]]+\]|[^/?#@\s:\[\]]+)(?::[0-9]*)?")

Engine = Union["SubscriptionManager", SubscriptionExecutor]
Text = Union[str, bytes]


def note_refusal(error: SubscriptionError) -> None:
    """Log why a WebSocket was refused when that is no fault of the client: it is told to try again later.

    Args:
        error: What `Endpoint.connect` raised.
    """
    if not isinstance(error, (AuthorizationFailed, RateLimited)):
        _log.error("no WebSocket can be served: %s", error)


def option_document(
    *,
    authenticate: bool,
    anonymous: bool,
    origins: Iterable[str],
    message_bytes: int,
    init_timeout: float,
    keepalive: float | None,
    pong_timeout: float,
    max_connections: int,
    legacy_graphql_ws: bool,
) -> dict[str, Any]:
    """Check what all mounts and servers take, and write it as the engine's configuration.

    Args:
        authenticate: Whether clients are judged by an `auth_handler`.
        anonymous: Whether those without an identity are let in.
        origins: Origins that may connect beside the own host.
        message_bytes: Largest message of a client.
        init_timeout: Seconds until `connection_init`.
        keepalive: Seconds of silence until a ping; None never pings.
        pong_timeout: Seconds until the answer to it.
        max_connections: Open connections; 0 is no bound.
        legacy_graphql_ws: Whether the legacy protocol is spoken, too.

    Returns:
        Members of a JSON object.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument cannot be right.
    """
    if isinstance(origins, str):
        raise TypeError("origins is a list of origins, not a str")
    listed = list(origins)
    for one in listed:
        if not isinstance(one, str):
            raise TypeError(f"origins is a list of str, not of {type(one).__name__}")
        if one != "*" and not _ORIGIN.fullmatch(one):
            raise ValueError(f"origins: {one!r} is not scheme://host[:port]")
    counts: dict[str, object] = {"message_bytes": message_bytes, "max_connections": max_connections}
    for name, number in counts.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise ValueError(f"{name} is a whole number that is not negative, not {number!r}")
    return {
        "anonymous": flag("anonymous", anonymous) or not authenticate,
        "authenticate": authenticate,
        "origins": listed,
        "message_bytes": message_bytes,
        "init_timeout": seconds("init_timeout", init_timeout),
        "ping_interval": 0 if keepalive is None else seconds("keepalive", keepalive),
        "pong_timeout": seconds("pong_timeout", pong_timeout),
        "max_connections": max_connections,
        "legacy_graphql_ws": flag("legacy_graphql_ws", legacy_graphql_ws),
    }


class Endpoint:
    """What the WebSockets of one mount have in common. For the mounts of this package and adapters of others."""

    def __init__(
        self,
        engine: Engine,
        *,
        auth_handler: AuthHandler | None = None,
        anonymous: bool = False,
        origins: Iterable[str] = (),
        message_bytes: int = 1 << 20,
        init_timeout: float = 3.0,
        keepalive: float | None = 30.0,
        pong_timeout: float = 10.0,
        max_connections: int = 0,
        hooks: Hooks | None = None,
        legacy_graphql_ws: bool = False,
    ) -> None:
        """Make an endpoint; nothing of the engine is used before the first connection.

        Args:
            engine: A manager or an executor.
            auth_handler: Says who a client is; None is the manager's.
            anonymous: Lets clients in that have no identity.
            origins: Origins of pages that may connect beside the own host, as `scheme://host[:port]`; `*` is all.
            message_bytes: Largest message of a client.
            init_timeout: Seconds until `connection_init`; then 4408.
            keepalive: Seconds of silence until a ping of the protocol; None never pings.
            pong_timeout: Seconds of silence after it until the close.
            max_connections: Open connections of this endpoint; 0 is no bound.
            hooks: Asked about connections and subscriptions; None are the manager's.
            legacy_graphql_ws: Speak the subprotocol graphql-ws with clients that know no other.

        Raises:
            ValueError: There is no handler, and `anonymous` is not True; or a number cannot be right.
            TypeError: An argument has the wrong type.
        """
        if auth_handler is None:
            auth_handler = getattr(engine, "auth", None)
        check_handler(auth_handler, anonymous)
        if not hasattr(type(engine), "executor") and not isinstance(engine, SubscriptionExecutor):
            raise TypeError(f"a SubscriptionManager is mounted, not {type(engine).__name__}")
        if hooks is None:
            hooks = getattr(engine, "hooks", None)
        check_hooks(hooks)
        self._engine = engine
        self._hooks = hooks
        self._legacy = flag("legacy_graphql_ws", legacy_graphql_ws)
        self._handler = auth_handler
        self._anonymous = anonymous
        self.message_bytes = message_bytes
        self._options = option_document(
            authenticate=auth_handler is not None,
            anonymous=anonymous,
            origins=origins,
            message_bytes=message_bytes,
            init_timeout=init_timeout,
            keepalive=keepalive,
            pong_timeout=pong_timeout,
            max_connections=max_connections,
            legacy_graphql_ws=legacy_graphql_ws,
        )
        self._lock = threading.Lock()
        self._sessions: tuple[weakref.ref[SubscriptionExecutor], int] | None = None
        self._open: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._draining = False
        mounted = getattr(engine, "_mounted", None)
        if mounted is not None:
            mounted.add(self)

    def connect(
        self,
        request: Any,
        *,
        authorization: str | None = None,
        cookie: str | None = None,
        origin: str | None = None,
        host: str | None = None,
        remote_addr: str | None = None,
        subprotocol: str = SUBPROTOCOL,
        handler: AuthHandler | None = None,
    ) -> Connection:
        """Open a session for a client, in the running loop.

        Args:
            request: What the `auth_handler` gets.
            authorization: The header Authorization.
            cookie: The header Cookie.
            origin: The header Origin; None when no page made the request.
            host: The header Host.
            remote_addr: Address of the client.
            subprotocol: What `agree` has chosen.
            handler: The `auth_handler` of this client, in the place of the endpoint's; None is the latter.

        Returns:
            The connection, which must be closed.

        Raises:
            AuthorizationFailed: A page of that origin may not connect.
            RateLimited: There are too many connections, or the engine stops.
            ValueError: There is a handler, and the endpoint asks none: everybody is let in.
        """
        if handler is not None and self._handler is None:
            raise ValueError("handler: the endpoint was made without an auth_handler, and asks none")
        known = {
            "authorization": authorization,
            "cookie": cookie,
            "origin": origin,
            "host": host,
            "remote_addr": remote_addr,
        }
        if origin == "":
            known["origin"] = "null"  # a header without a value is not the same as no header: no page of ours sends it
        given: dict[str, Any] = {name: value for name, value in known.items() if value}
        if subprotocol == LEGACY_SUBPROTOCOL:
            given["legacy"] = True
        return self._connect(request, given, handler)

    def agree(self, offered: Iterable[str]) -> str | None:
        """Choose the subprotocol of a WebSocket.

        Args:
            offered: Those that the client has named.

        Returns:
            One of them, or None: there is none in common.
        """
        known = list(offered)
        if SUBPROTOCOL in known:
            return SUBPROTOCOL
        return LEGACY_SUBPROTOCOL if self._legacy and LEGACY_SUBPROTOCOL in known else None

    def exchange(
        self,
        request: Any,
        *,
        method: str,
        path: str,
        query: str,
        headers: Iterable[tuple[str, str]],
        host: str | None = None,
        remote_addr: str | None = None,
    ) -> Connection:
        """Open a session for an HTTP request that is no WebSocket, in the running loop.

        Its body is the one message to `receive`, also an empty one. What is taken then: kind 2 is the head, with the
        status and a JSON list of pairs, kind 0 a piece of the body, kind 1 the end, after which the body is complete if
        the code is 1000 and breaks off otherwise.

        Args:
            request: What the `auth_handler` gets.
            method: Its method.
            path: Its path.
            query: What stands behind the `?`.
            headers: Its headers, as they came.
            host: The header Host.
            remote_addr: Address of the client.

        Returns:
            The connection, which must be closed.

        Raises:
            RateLimited: The engine stops.
        """
        pairs = [part for pair in headers for part in pair]
        known = {"method": method, "path": path, "query": query, "headers": pairs}
        return self._connect(request, {**known, "host": host or "", "remote_addr": remote_addr or ""})

    def _connect(self, request: Any, known: dict[str, Any], handler: AuthHandler | None = None) -> Connection:
        if self._draining:
            raise RateLimited("The server is shutting down.", "RATE_LIMITED")
        executor = self._engine if isinstance(self._engine, SubscriptionExecutor) else self._engine.executor
        text = json.dumps(known).encode()
        door = None
        loop = asyncio.get_running_loop()
        if handler is None:
            handler = self._handler
        if handler is not None:
            door = Door(loop, handler, self._anonymous, lambda _: request)
        made = Connection(executor, self._session_group(executor), text, loop, door)
        self._open.add(made)
        return made

    def _session_group(self, executor: SubscriptionExecutor) -> int:
        with self._lock:
            if self._sessions is None or self._sessions[0]() is not executor:
                document, aside = dict(self._options), executor._aside()
                loop, token = asyncio.get_running_loop(), 0
                if self._hooks is not None:
                    token = aside.mailbox(loop).new_token()
                    aside.desks[token] = Desk(loop, self._hooks)
                    document.update(hooks_document(self._hooks, token))
                try:
                    group = executor._sessions(json.dumps(document).encode())
                except BaseException as error:
                    aside.desks.pop(token, None)
                    if isinstance(error, InvalidQuery):
                        raise InvalidConfig.of(error) from None
                    raise
                self._sessions = (weakref.ref(executor), group)
            return self._sessions[1]

    async def drain(self, window: float = 0.0) -> None:
        """Refuse further clients, and close those that are open: each after what waits for it, in random order.

        It returns when all are gone, some seconds after the window at the latest.

        Args:
            window: Seconds over which the closes are spread, with jitter, so that clients do not all come back at once.
        """
        self._draining = True
        loop = asyncio.get_running_loop()
        began = loop.time()
        leaving = [one for one in list(self._open) if one.open]
        random.shuffle(leaving)
        for n, one in enumerate(leaving):
            due = began + window * (n + random.random()) / len(leaving)
            await asyncio.sleep(max(0.0, due - loop.time()))
            if one.open:
                one.shut(*_RESTARTS)
        while any(one.open for one in leaving) and loop.time() < began + window + _GRACE:
            await asyncio.sleep(0.02)

    def shut(self, code: int = _RESTARTS[0], reason: str = _RESTARTS[1]) -> None:
        """Close every open connection after what waits for it.

        Args:
            code: Close code; 1001 and 1012 make clients come back.
            reason: Its reason.
        """
        for one in list(self._open):
            if one.open:
                one.shut(code, reason)


class Connection:
    """One client of an endpoint. It belongs to the loop that made it."""

    __slots__ = (
        "__weakref__",
        "_door",
        "_executor",
        "_future",
        "_hearer",
        "_loop",
        "_mailbox",
        "_session",
        "_token",
        "_told",
    )

    def __init__(
        self,
        executor: SubscriptionExecutor,
        group: int,
        request: bytes,
        loop: asyncio.AbstractEventLoop,
        door: Door | None,
    ) -> None:
        """Open a session; `Endpoint.connect` is the way to call it.

        Args:
            executor: The engine.
            group: The sessions of the endpoint.
            request: What the engine wants to know of the request: a JSON object.
            loop: The running loop.
            door: Who judges the client, None: nobody.
        """
        self._executor = executor
        self._loop = loop
        self._future: asyncio.Future[None] | None = None
        self._hearer: Callable[[], None] | None = None
        self._told = False
        self._session = 0
        self._door = door
        aside = executor._aside()
        self._mailbox: Mailbox = aside.mailbox(loop)
        self._token = self._mailbox.add(self._tell)
        if door is not None:
            aside.doors[self._token] = door
        try:
            self._session = executor._session_open(group, request, self._mailbox.handle, self._token)
        except BaseException:
            self.close()
            raise

    @property
    def open(self) -> bool:
        """Whether `close` was not called yet."""
        return self._token != 0

    def receive(self, message: Text) -> None:
        """Hand the engine a text message of the client.

        Args:
            message: The whole message; bytes are UTF-8.
        """
        try:
            self._executor._session_receive(self._session, message)
        except (SubscriptionError, KeyError):
            self._tell()  # the engine is closed, which `take` finds out

    def take(self) -> list[tuple[int, int, bytes]]:
        """Take what is to be sent.

        Returns:
            Tuples of kind, close code and bytes. Kind 0 is a text message, 1 a close with its reason, the last one;
            for those of `Endpoint.exchange` see there. What is beyond a bound makes `arrival` return again.
        """
        try:
            taken = self._executor._session_take(self._session, _BYTES)
        except (SubscriptionError, KeyError):
            return [_STOPS]
        # While the engine is being closed its mailboxes tell nothing any more: this may be the last time that it is asked.
        return [*taken, _STOPS] if self._executor._closed else taken

    async def arrival(self) -> None:
        """Wait until there may be something to take."""
        if not self._told:
            self._future = self._loop.create_future()
            try:
                await self._future
            finally:
                self._future = None
        self._told = False

    def hear(self, hearer: Callable[[], None]) -> None:
        """Let a function be called, in the loop's thread, when there may be something to take; in place of `arrival`.

        Args:
            hearer: Must not raise.
        """
        self._hearer = hearer
        self._mailbox.put(self._token, hearer)
        if self._told:
            hearer()

    def _tell(self) -> None:
        if self._hearer is not None:
            self._hearer()
            return
        self._told = True
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def shut(self, code: int, reason: str) -> None:
        """Close from this side, after what waits for the client; the close is taken like every message.

        Args:
            code: Close code.
            reason: Its reason, at most 123 bytes.
        """
        try:
            self._executor._session_shut(self._session, code, reason)
        except (SubscriptionError, KeyError):
            self._tell()

    def close(self) -> None:
        """End everything of the client: it is gone. Idempotent."""
        if self._token == 0:
            return
        token, self._token = self._token, 0
        self._hearer = None
        self._executor._aside().doors.pop(token, None)
        self._mailbox.remove(token)
        if self._door is not None:
            self._door.close()
        if self._session:
            try:
                self._executor._session_close(self._session)
            except (SubscriptionError, KeyError):
                pass
