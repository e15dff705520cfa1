"""Subscriptions in FastAPI applications."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import APIRouter
from fraiseql.integrations.asgi import SubscriptionApp
from fraiseql.integrations.starlette import check_path, stream_routes, web_socket
from fraiseql.subscriptions.authentication import AuthHandler
from fraiseql.subscriptions.endpoint import Engine
from fraiseql.subscriptions.hooks import Hooks
from fraiseql.subscriptions.settings import flag

__all__ = ["SubscriptionRouterFactory", "create_subscription_router"]


def create_subscription_router(
    manager: Engine,
    path: str = "/graphql",
    auth_handler: AuthHandler | None = None,
    *,
    anonymous: bool = False,
    origins: Iterable[str] = (),
    message_bytes: int = 1 << 20,
    init_timeout: float = 3.0,
    keepalive: float | None = 30.0,
    pong_timeout: float = 10.0,
    max_connections: int = 0,
    streams: bool = False,
    hooks: Hooks | None = None,
    legacy_graphql_ws: bool = False,
) -> APIRouter:
    """Make a router with a WebSocket route for subscriptions, for `app.include_router`.

    Args:
        manager: The manager, or an executor.
        path: Path of the route.
        auth_handler: `auth_handler(connection_params, websocket)` says who a client is: it returns an `Identity` or a
            dict with the same members, sync or async. Raising refuses the client with 4403, and so does None unless
            `anonymous`. Without one the manager's `auth` is asked.
        anonymous: Let clients in without an identity: everybody when there is no handler.
        origins: Origins of pages that may connect beside the own host, as `scheme://host[:port]`; `*` is all.
        message_bytes: Largest message of a client.
        init_timeout: Seconds until `connection_init`; then the close is 4408.
        keepalive: Seconds of silence until a `ping`; None never sends one.
        pong_timeout: Seconds of silence after it until the close.
        max_connections: Open connections; 0 is no bound.
        streams: Answer HTTP requests of this path, too: server-sent events, multipart and GraphQL over HTTP, and fresh
            credentials at the path with /refresh behind it. Leave it out where another route of the application answers
            them.
        hooks: Asked about connections and subscriptions; without any the manager's are.
        legacy_graphql_ws: Speak the subprotocol graphql-ws of npm subscriptions-transport-ws with clients that know no other.

    Returns:
        The router.

    Raises:
        ValueError: There is no handler and `anonymous` is not True, or the path or a number cannot be right.
        TypeError: An argument has the wrong type.
    """
    if flag("streams", streams) and path == "":
        raise ValueError('path begins with / where there are streams, such as "/graphql", it is not empty')
    if path != "":  # without one the route has the prefix of include_router
        check_path(path)
    mounted = SubscriptionApp(
        manager,
        auth_handler,
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
    router = APIRouter()
    router.add_api_websocket_route(path, web_socket(mounted), name="subscriptions")
    if streams:
        router.routes.extend(stream_routes(mounted, path))
    return router


class SubscriptionRouterFactory:
    """The documented name of the original for `create_subscription_router`."""

    @staticmethod
    def create(
        manager: Engine,
        path: str = "/graphql",
        auth_handler: AuthHandler | None = None,
        *,
        anonymous: bool = False,
        origins: Iterable[str] = (),
        message_bytes: int = 1 << 20,
        init_timeout: float = 3.0,
        keepalive: float | None = 30.0,
        pong_timeout: float = 10.0,
        max_connections: int = 0,
        streams: bool = False,
        hooks: Hooks | None = None,
        legacy_graphql_ws: bool = False,
    ) -> APIRouter:
        """Make a router; see `create_subscription_router`.

        Args:
            manager: The manager, or an executor.
            path: Path of the route.
            auth_handler: Says who a client is.
            anonymous: Let clients in without an identity.
            origins: Origins of pages that may connect beside the own host.
            message_bytes: Largest message of a client.
            init_timeout: Seconds until `connection_init`.
            keepalive: Seconds of silence until a `ping`; None never sends one.
            pong_timeout: Seconds of silence after it until the close.
            max_connections: Open connections; 0 is no bound.
            streams: Answer HTTP requests of this path, too.
            hooks: Asked about connections and subscriptions.
            legacy_graphql_ws: Speak the subprotocol graphql-ws, too.

        Returns:
            The router.

        Raises:
            ValueError: There is no handler and `anonymous` is not True, or the path or a number cannot be right.
            TypeError: An argument has the wrong type.
        """
        return create_subscription_router(
            manager,
            path,
            auth_handler,
            anonymous=anonymous,
            origins=origins,
            message_bytes=message_bytes,
            init_timeout=init_timeout,
            keepalive=keepalive,
            pong_timeout=pong_timeout,
            max_connections=max_connections,
            streams=streams,
            hooks=hooks,
            legacy_graphql_ws=legacy_graphql_ws,
        )
