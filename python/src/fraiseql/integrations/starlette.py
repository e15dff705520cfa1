"""Subscriptions in Starlette applications."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from fraiseql.integrations.asgi import Receive, Scope, Send, SubscriptionApp
from fraiseql.subscriptions.authentication import AuthHandler
from fraiseql.subscriptions.endpoint import Engine
from fraiseql.subscriptions.hooks import Hooks
from fraiseql.subscriptions.settings import flag
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route, Router, WebSocketRoute
from starlette.websockets import WebSocket

__all__ = ["add_subscription_routes", "create_subscription_app"]


def add_subscription_routes(
    app: Starlette | Router,
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
) -> None:
    """Add a WebSocket route for subscriptions to an application.

    Args:
        app: A Starlette (or FastAPI) application, or a router.
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

    Raises:
        ValueError: There is no handler and `anonymous` is not True, or the path or a number cannot be right.
        TypeError: An argument has the wrong type.
    """
    check_path(path)
    flag("streams", streams)
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
    app.routes.append(WebSocketRoute(path, web_socket(mounted), name="subscriptions"))
    if streams:
        app.routes.extend(stream_routes(mounted, path))


def check_path(path: str) -> None:
    """Refuse a path that no request has.

    Args:
        path: Path of a route.

    Raises:
        ValueError: It does not begin with a slash.
        TypeError: It is no str.
    """
    if not isinstance(path, str):
        raise TypeError(f"path is a str, not {type(path).__name__}")
    if not path.startswith("/"):
        raise ValueError(f'path begins with /, such as "/graphql", not {path!r}')


def web_socket(mounted: SubscriptionApp) -> Callable[[WebSocket], Awaitable[None]]:
    """Make the function of a WebSocket route; the `auth_handler` gets the framework's own object.

    Args:
        mounted: What serves.

    Returns:
        The function.
    """

    async def subscriptions(websocket: WebSocket) -> None:
        await mounted.serve(websocket.scope, websocket.receive, websocket.send, websocket)

    # FastAPI reads the parameter's type, which the annotations of this module only name.
    subscriptions.__annotations__["websocket"] = WebSocket
    return subscriptions


def stream_routes(mounted: SubscriptionApp, path: str) -> list[BaseRoute]:
    """Make the routes of what is no WebSocket.

    Args:
        mounted: What serves.
        path: Path of the streams; fresh credentials have it with /refresh behind it.

    Returns:
        The routes.
    """
    fresh = path.rstrip("/") + "/refresh"
    return [
        Route(path, mounted, name="subscription_streams", include_in_schema=False),
        Route(fresh, _Refresh(mounted), name="subscription_refresh", include_in_schema=False),
    ]


class _Refresh:
    """The route of fresh credentials; an object, for Starlette takes functions for views."""

    def __init__(self, mounted: SubscriptionApp) -> None:
        self._mounted = mounted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._mounted.refresh(scope, receive, send)


def create_subscription_app(
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
) -> Starlette:
    """Make a Starlette application that serves subscriptions and nothing else, to run or to mount.

    Args:
        manager: The manager, or an executor.
        path: Path of its route.
        auth_handler: See `add_subscription_routes`.
        anonymous: Let clients in without an identity.
        origins: Origins of pages that may connect beside the own host.
        message_bytes: Largest message of a client.
        init_timeout: Seconds until `connection_init`.
        keepalive: Seconds of silence until a `ping`; None never sends one.
        pong_timeout: Seconds of silence after it until the close.
        max_connections: Open connections; 0 is no bound.
        streams: Answer HTTP requests of this path, too: server-sent events, multipart and GraphQL over HTTP, and fresh
            credentials at the path with /refresh behind it. Leave it out where another route of the application answers
            them.
        hooks: Asked about connections and subscriptions; without any the manager's are.
        legacy_graphql_ws: Speak the subprotocol graphql-ws of npm subscriptions-transport-ws with clients that know no other.

    Returns:
        The application.

    Raises:
        ValueError: There is no handler and `anonymous` is not True, or the path or a number cannot be right.
        TypeError: An argument has the wrong type.
    """
    app = Starlette()
    add_subscription_routes(
        app,
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
    return app
