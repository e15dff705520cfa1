"""WebSockets of any kind, which the application brings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from fraiseql.subscriptions.authentication import AuthHandler, check_handler
from fraiseql.subscriptions.endpoint import Endpoint
from fraiseql.subscriptions.hooks import Hooks, check_hooks

if TYPE_CHECKING:
    from fraiseql.integrations.adapter import WebSocketAdapter
    from fraiseql.subscriptions.manager import SubscriptionManager

__all__ = ["Connector", "Key"]

Key = tuple[bool, bool, tuple[str, ...], Hooks | None]
"""What the connections of one endpoint have in common: whether there is a handler, `anonymous`, origins and hooks."""


class Connector:
    """What serves WebSockets that the application brings: the part of a manager that does."""

    auth: AuthHandler | None
    _endpoints: dict[Key, Endpoint]

    async def handle_connection(
        self,
        adapter: WebSocketAdapter,
        auth_handler: AuthHandler | None = None,
        *,
        anonymous: bool = False,
        origins: Iterable[str] = (),
        hooks: Hooks | None = None,
    ) -> None:
        """Serve one client over a WebSocket of any kind until either side ends it.

        Args:
            adapter: The WebSocket, not accepted yet; see `fraiseql.integrations.adapter`.
            auth_handler: `auth_handler(connection_params, request)` says who the client is; without one the manager's
                `auth` is asked. `request` is the adapter's. It may be another function for each connection.
            anonymous: Let the client in without an identity.
            origins: Origins of pages that may connect beside the own host.
            hooks: Asked about the client; None are the manager's. Make them once, not for each connection: the engine keeps
                an endpoint for every `Hooks` with other functions, and for every other `origins`, as long as it runs.

        Raises:
            ValueError: There is no handler and `anonymous` is not True.
            TypeError: An argument has the wrong type.
        """
        from fraiseql.integrations.adapter import WebSocketAdapter, handle_connection

        if not isinstance(adapter, WebSocketAdapter):
            raise TypeError(f"adapter is a WebSocketAdapter, not {type(adapter).__name__}")
        handler = self.auth if auth_handler is None else auth_handler
        check_handler(handler, anonymous)
        check_hooks(hooks)
        key = (handler is not None, anonymous, tuple(origins), hooks)
        made = self._endpoints.get(key)
        if made is None:
            manager = cast("SubscriptionManager", self)
            made = Endpoint(manager, auth_handler=handler, anonymous=anonymous, origins=key[2], hooks=hooks)
            self._endpoints[key] = made
        await handle_connection(made, adapter, handler)
