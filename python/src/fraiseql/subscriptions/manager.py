"""The asyncio face of the engine."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import itertools
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from fraiseql.subscriptions import SubscriptionExecutor
from fraiseql.subscriptions.authentication import AuthHandler, check_handler
from fraiseql.subscriptions.connections import Connector, Key
from fraiseql.subscriptions.drain import Drainer
from fraiseql.subscriptions.endpoint import Endpoint, option_document
from fraiseql.subscriptions.errors import SubscriptionError
from fraiseql.subscriptions.hooks import Hooks, check_hooks
from fraiseql.subscriptions.operations import aside, finished
from fraiseql.subscriptions.resolvers import signature_of
from fraiseql.subscriptions.revocation import Revoker
from fraiseql.subscriptions.schema import SchemaSetter
from fraiseql.subscriptions.server import Closed, Server, listen
from fraiseql.subscriptions.settings import PRODUCTION_LIMITS, engine_document, table

if TYPE_CHECKING:
    from fraiseql.subscriptions.config import EventBusConfig
    from fraiseql.subscriptions.listen import Listener

__all__ = ["SubscriptionManager"]

Resolver = TypeVar("Resolver", bound=Callable[..., Any])

_forks = itertools.count(1)
_generation = 0


def _forked() -> None:
    global _generation
    _generation = next(_forks)


os.register_at_fork(after_in_child=_forked)


class SubscriptionManager(Connector, Drainer, Revoker, SchemaSetter):
    """One engine for an asyncio application, with resolvers, WebSockets and a server.

    Without a schema the engine starts when it is first needed. A manager that has not been used yet may be inherited
    by forked workers: each gets an engine of its own. Mount it with `fraiseql.integrations.fastapi`, `.starlette` or
    `.asgi`, or let it listen by itself with `serve`.
    """

    def __init__(
        self,
        config: EventBusConfig | None = None,
        *,
        schema: str | os.PathLike[str] | None = None,
        auth: AuthHandler | None = None,
        limits: Mapping[str, int | float] | None = None,
        security: Mapping[str, Any] | None = None,
        naming: str = "exact",
        introspection: bool = False,
        hooks: Hooks | None = None,
    ) -> None:
        """Make a manager.

        Args:
            config: The bus; None is the memory bus.
            schema: SDL text, or the path of a `.graphql` file or of a directory of such files; see
                `SubscriptionExecutor`.
            auth: The `auth_handler` of mounts and servers that have none of their own.
            limits: Bounds by name; see `SubscriptionExecutor`. Unless said otherwise a connection has at most 1,000
                subscriptions.
            security: See `SubscriptionExecutor`.
            naming: `exact`, or `snake_case` to read member order_id for field orderId.
            introspection: Whether clients may read the schema.
            hooks: Asked about the clients of mounts and servers that have none of their own.

        Raises:
            TypeError: An argument has the wrong type.
            ValueError: An argument cannot be right, or the schema has errors: the text says where.
        """
        if auth is not None and not callable(auth):
            raise TypeError(f"auth is a function, not {type(auth).__name__}")
        check_hooks(hooks)
        self.auth = auth
        self.hooks = hooks
        self._arguments: dict[str, Any] = {
            "config": config,
            "schema": schema,
            "security": security,
            "limits": {**PRODUCTION_LIMITS, **table("limits", limits)},
            "naming": naming,
            "introspection": introspection,
        }
        engine_document(**self._arguments)  # says now what is wrong
        self._remote = config is not None and config.bus_type != "memory"
        self._lock = threading.Lock()
        self._made: SubscriptionExecutor | None = None
        self._made_in = _generation
        self._in_use = False
        self._closed = False
        self._resolvers: dict[str, Callable[..., Any]] = {}
        self._servers: list[Server] = []
        self._mounted: weakref.WeakSet[Endpoint] = weakref.WeakSet()
        self._endpoints: dict[Key, Endpoint] = {}
        if schema is not None:
            self._executor()

    @property
    def executor(self) -> SubscriptionExecutor:
        """The engine, for everything that needs no event loop; made when first needed.

        Raises:
            SubscriptionError: It cannot be made.
        """
        made = self._made
        if made is None or self._made_in != _generation:
            made = self._executor()
        self._in_use = True
        return made

    def _executor(self) -> SubscriptionExecutor:
        if self._made_in != _generation and not self._in_use:
            # A forked child of a parent that made the manager and left it alone.
            self._lock, self._made = threading.Lock(), None
        if self._made is not None:
            return self._made
        with self._lock:
            if self._made is None:
                made = SubscriptionExecutor(**self._arguments)
                for name, fn in self._resolvers.items():
                    made.register_resolver(name, fn)
                if self._closed:
                    made.close()
                self._made, self._made_in = made, _generation
            return self._made

    async def start(self) -> SubscriptionManager:
        """Start the engine now, and let the running loop be the one that awaits resolvers.

        Returns:
            The manager.

        Raises:
            SubscriptionError: The engine cannot start.
        """
        executor = self.executor
        executor.warmup()
        loops = executor._aside()
        loops.tell_calls(loops.mailbox(asyncio.get_running_loop()))
        return self

    def close(self) -> Closed:
        """End every subscription, connection and server, and stop the engine. Idempotent.

        Returns:
            Something that may be awaited and need not be: all is done when this returns.
        """
        self._closed = True
        if self._made is not None:
            self._made.close()
        for server in self._servers:
            server._engine_closed()
        self._servers.clear()
        return Closed()

    async def __aenter__(self) -> SubscriptionManager:
        """Start the engine and return the manager."""
        return await self.start()

    async def __aexit__(self, *exc: object) -> None:
        """Close the manager, its servers first."""
        for server in list(self._servers):
            await server.close()
        self.close()

    async def create_subscription(
        self,
        subscription_id: str | int,
        connection_id: str | int,
        query: str,
        operation_name: str | None = None,
        variables: Mapping[str, Any] | None = None,
        resolver_fn: Callable[..., Any] | None = None,
        user_id: str | int | None = None,
        tenant_id: str | int | None = None,
        *,
        roles: Iterable[str] | None = (),
        scopes: Iterable[str] | None = (),
        federation_id: str | None = None,
        service_name: str | None = None,
        resolver: str | Callable[..., Any] | None = None,
        resume: bool | str = False,
    ) -> str:
        """Start a subscription whose messages are taken with `get_next_event` or `listen`.

        Args:
            subscription_id: Its id, unique on its connection.
            connection_id: Its connection, which is made when first named.
            query: The document.
            operation_name: Which of its operations, when it has several.
            variables: Values by the names of the variables.
            resolver_fn: A resolver for this subscription alone; the same as `resolver`.
            user_id: Who asks.
            tenant_id: The tenant of who asks.
            roles: For `@requiresRole`.
            scopes: For `@requiresScopes`.
            federation_id: The federation of who asks.
            service_name: The service that asks.
            resolver: A resolver for this subscription alone, a function or the name of a registered one.
            resume: True gives each message a cursor, a cursor goes on after its message; see
                `SubscriptionExecutor.register_subscription`.

        Returns:
            The subscription's id.

        Raises:
            InvalidQuery: The document or the variables cannot be served.
            AuthorizationFailed: The identity may not do this.
            BusUnavailable: Nobody can say where a subscription that resumes begins.
            RateLimited: A bound was reached.
            DuplicateSubscription: The connection has a live subscription of this id.
            ValueError: An id or the document is empty.
        """
        register = functools.partial(
            self.executor.register_subscription,
            connection_id,
            subscription_id,
            query,
            operation_name,
            variables,
            user_id,
            tenant_id,
            roles=roles,
            scopes=scopes,
            federation_id=federation_id,
            service_name=service_name,
            resolver=resolver_fn if resolver is None else resolver,
            resume=resume,
        )
        if self._remote:  # it waits until the bus brings what is published from now on
            complete = functools.partial(self.executor.complete_subscription, subscription_id, connection_id)
            return await _registered(register, complete)
        return register()

    async def publish_event(
        self,
        event_type: str,
        channel: str,
        data: Any,
        *,
        id: str | int | None = None,
        tenant_id: str | int | None = None,
        user_id: str | int | None = None,
        broadcast: bool = False,
        federation_id: str | None = None,
        service_name: str | None = None,
    ) -> int | None:
        """Publish an event. Synchronous resolvers that it needs run before this returns.

        Args:
            event_type: Its type.
            channel: Its channel.
            data: A dict, or bytes or str that hold a JSON object.
            id: Its id; None makes one. Publishing again with the same id is the safe retry.
            tenant_id: The tenant whose subscribers alone may see it.
            user_id: The user who alone may see it.
            broadcast: Reaches every tenant and user on purpose.
            federation_id: The federation that may see it.
            service_name: The service that may see it.

        Returns:
            The number of subscriptions that it was enqueued for, those that wait for a resolver included; None on
            other buses than memory, once it is acknowledged.

        Raises:
            InvalidEvent: The event cannot be published as it is.
            RateLimited: The tenant publishes too much.
            BusUnavailable: The bus did not acknowledge.
            TypeError: The data has no JSON form; the text names the path.
            ValueError: The same, for a value.
        """
        executor = self.executor
        addressed: dict[str, Any] = {
            "id": id,
            "tenant_id": tenant_id,
            "user_id": user_id,
            "broadcast": broadcast,
            "federation_id": federation_id,
            "service_name": service_name,
        }
        if not self._remote:
            return executor.publish_event(event_type, channel, data, **addressed)
        # It is written now, as it is, and waits for an acknowledgement.
        await finished(executor, lambda box, token: executor._publish_begin(box, token, event_type, channel, data, **addressed))
        return None

    async def get_next_event(
        self,
        subscription_id: str | int,
        connection_id: str | int | None = None,
        *,
        timeout: float | None = 0.0,
    ) -> bytes | None:
        """Take the next message of a subscription.

        Args:
            subscription_id: The subscription.
            connection_id: Its connection; needed when two connections use the id.
            timeout: Seconds to wait for one; 0 does not wait, None waits as long as it takes.

        Returns:
            The message, or None when there is none or the subscription has been completed.

        Raises:
            SlowConsumer: The subscription did not keep up and was ended.
            ValueError: Two connections use the id.
        """
        if timeout == 0:
            return self.executor.next_event(subscription_id, connection_id)
        return await self.executor.next_event_async(subscription_id, connection_id, timeout)

    def listen(
        self,
        subscription_id: str | int,
        connection_id: str | int | None = None,
        *,
        resume: bool | str = False,
    ) -> Listener:
        """Iterate over the messages of a subscription; see `SubscriptionExecutor.listen`.

        Args:
            subscription_id: The subscription.
            connection_id: Its connection; needed when two connections use the id.
            resume: A cursor begins the subscription again after the event of that message, True now.

        Returns:
            An asynchronous iterator over bytes.
        """
        return self.executor.listen(subscription_id, connection_id, resume=resume)

    async def complete_subscription(self, subscription_id: str | int, connection_id: str | int | None = None) -> None:
        """End a subscription. One that has ended is not an error.

        Args:
            subscription_id: The subscription.
            connection_id: Its connection; needed when two connections use the id.

        Raises:
            ValueError: Two connections use the id.
        """
        self.executor.complete_subscription(subscription_id, connection_id)

    async def complete_connection(self, connection_id: str | int) -> None:
        """End every subscription of a connection.

        Args:
            connection_id: The connection.
        """
        self.executor.complete_connection(connection_id)

    def get_metrics(self) -> dict[str, Any]:
        """Return counts since the start and sizes as they are; see `SubscriptionExecutor.get_metrics`.

        Returns:
            A dict of ints, and `denied` with one of its own.
        """
        return self.executor.get_metrics()

    def register_resolver(self, name: str, fn: Resolver) -> Resolver:
        """Let a function make the value of a root field; see `SubscriptionExecutor.register_resolver`.

        Args:
            name: A root field, or an event type.
            fn: A function or coroutine function of one to three parameters.

        Returns:
            The function.

        Raises:
            TypeError: It cannot be called with one to three values.
            ValueError: The name is empty.
        """
        signature_of(fn)
        if self._made is not None:
            self._executor().register_resolver(name, fn)
        elif not isinstance(name, str) or not name:
            raise ValueError("the name of a resolver is that of a root field or an event type")
        self._resolvers[name] = fn
        return fn

    def resolver(self, name: str) -> Callable[[Resolver], Resolver]:
        """Decorate a function that makes the value of a root field; see `register_resolver`.

        Args:
            name: A root field, or an event type.

        Returns:
            The decorator.
        """
        return lambda fn: self.register_resolver(name, fn)

    async def serve(
        self,
        host: str = "127.0.0.1",
        port: int = 4000,
        path: str = "/graphql",
        *,
        auth_handler: AuthHandler | None = None,
        anonymous: bool = False,
        origins: Iterable[str] = (),
        message_bytes: int = 1 << 20,
        init_timeout: float = 3.0,
        keepalive: float | None = 30.0,
        pong_timeout: float = 10.0,
        max_connections: int = 50_000,
        hooks: Hooks | None = None,
        legacy_graphql_ws: bool = False,
    ) -> Server:
        """Let the engine listen by itself: sockets, protocol and fan-out are on its threads, out of Python's way.

        Args:
            host: Address to listen on.
            port: Port to listen on; 0 takes a free one.
            path: Path of the endpoint.
            auth_handler: `auth_handler(connection_params, request)` says who a client is: it returns an `Identity` or
                a dict with the same members, sync or async, and is called in the running loop. Raising refuses the
                client with 4403, and so does None unless `anonymous`. `request` is a `Request`; it has cookies only when
                a page of the own host or of `origins` made it. Without a handler the manager's `auth` is asked.
            anonymous: Let clients in without an identity: everybody when there is no handler.
            origins: Origins of pages that may connect beside the own host, as `scheme://host[:port]`; `*` is all.
            message_bytes: Largest message of a client; beyond it the close is 1009.
            init_timeout: Seconds until `connection_init`; then the close is 4408.
            keepalive: Seconds of silence until a ping frame; None never sends one.
            pong_timeout: Seconds of silence after it until the close.
            max_connections: Open connections; 0 is no bound. Beyond it the answer is 503.
            hooks: Asked about connections and subscriptions, in the running loop; None are the manager's.
            legacy_graphql_ws: Speak the subprotocol graphql-ws of npm subscriptions-transport-ws with clients that know no
                other.

        Returns:
            The server, which listens.

        Raises:
            ValueError: There is no handler and `anonymous` is not True, or an argument cannot be right.
            InvalidConfig: The same, found by the engine; or it cannot listen there.
        """
        handler = self.auth if auth_handler is None else auth_handler
        check_handler(handler, anonymous)
        hooks = self.hooks if hooks is None else hooks
        check_hooks(hooks)
        self._servers = [server for server in self._servers if server._handle]
        document = option_document(
            authenticate=handler is not None,
            anonymous=anonymous,
            origins=origins,
            message_bytes=message_bytes,
            init_timeout=init_timeout,
            keepalive=keepalive,
            pong_timeout=pong_timeout,
            max_connections=max_connections,
            legacy_graphql_ws=legacy_graphql_ws,
        )
        document.update(host=host, port=port, path=path)
        server = listen(self.executor, document, path, handler, anonymous, hooks)
        self._servers.append(server)
        return server


async def _registered(register: Callable[[], str], complete: Callable[[], object]) -> str:
    """Register in another thread. If nobody waits for it any more the subscription is completed: nobody else would do so."""
    registered: concurrent.futures.Future[None] = concurrent.futures.Future()

    def run() -> str:
        known = register()
        registered.set_result(None)
        return known

    def left(_: object) -> None:
        with contextlib.suppress(SubscriptionError):  # the engine was closed
            complete()

    try:
        return await aside(run)
    except asyncio.CancelledError:
        registered.add_done_callback(left)  # at once, or when the thread comes to it
        raise
