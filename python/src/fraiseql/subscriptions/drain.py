"""The end of a manager whose clients are sent away over a while."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fraiseql.subscriptions.settings import window_seconds

if TYPE_CHECKING:
    import weakref

    from fraiseql.subscriptions.endpoint import Endpoint
    from fraiseql.subscriptions.server import Closed, Server

__all__ = ["Drainer"]


class Drainer:
    """What has mounts and servers whose clients can be sent away: the part of a manager that does."""

    _mounted: weakref.WeakSet[Endpoint]
    _servers: list[Server]

    if TYPE_CHECKING:

        def close(self) -> Closed:
            """End everything at once."""

    async def shutdown(self, window: float = 10.0) -> None:
        """Send the clients of every mount and server away, then close the manager.

        New clients are refused from now on; those that are connected are closed with 1012, upon which client libraries
        connect again, each after what waits for it, in random order. Call it where the application learns that it is to
        stop, before its server does: most servers close all WebSockets at once, and end the lifespan afterwards.

        Args:
            window: Seconds over which the closes are spread, with jitter, so that clients do not all come back at once; 0
                closes them at once, 600 are the most.

        Raises:
            ValueError: The window is no number of seconds from 0 to 600. Nothing was closed.
        """
        window = window_seconds(window)
        mounts, servers = list(self._mounted), list(self._servers)
        await asyncio.gather(*(one.drain(window) for one in mounts), *(one.close(window) for one in servers))
        self.close()
