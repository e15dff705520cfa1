"""Serves one of the systems that are compared, until it is terminated.

Prints a line of JSON once it listens: {"url", "publish_url", "versions"}.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import importlib.metadata
import json
import platform
import socket
from collections.abc import Iterator
from functools import partial

import uvicorn
import uvloop
from peers.source import ASGIApp, Lines

SYSTEMS = {
    "fraiseql-serve": ("fraiseql-subscriptions", "uvloop"),
    "fraiseql-asgi": ("fraiseql-subscriptions", "uvicorn", "uvloop", "httptools", "websockets"),
    "strawberry": ("strawberry-graphql", "graphql-core", "starlette", "uvicorn", "uvloop", "httptools", "websockets"),
    "ariadne": ("ariadne", "graphql-core", "starlette", "uvicorn", "uvloop", "httptools", "websockets"),
    "graphql-core": ("graphql-core", "uvicorn", "uvloop", "httptools", "websockets"),
    "uvicorn-alone": ("uvicorn", "uvloop", "httptools", "websockets"),
}


def versions(system: str) -> dict[str, str]:
    found = {"python": platform.python_version()}
    for distribution in SYSTEMS[system]:
        try:
            found[distribution] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            found[distribution] = "from the source tree"
    return found


class Server(uvicorn.Server):
    """Leaves signals alone: SIGTERM ends the process at once, whatever it serves."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def uvicorn_server(app: ASGIApp) -> Server:
    config = uvicorn.Config(
        app, loop="uvloop", http="auto", ws="websockets-sansio", lifespan="off", access_log=False, log_level="error",
        ws_per_message_deflate=False, timeout_graceful_shutdown=1,
    )  # fmt: skip
    return Server(config)


async def run(system: str) -> None:
    peer = importlib.import_module("peers." + system.replace("-", "_") + "_peer")
    loop = asyncio.get_running_loop()
    lines = getattr(peer, "Lines", partial(Lines, peer.publish))  # one that reads them in its own way brings its own
    events = await loop.create_server(lines, "127.0.0.1", 0)
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    about = {
        "url": f"http://127.0.0.1:{listener.getsockname()[1]}/graphql",
        "publish_url": f"tcp://127.0.0.1:{events.sockets[0].getsockname()[1]}",
        "versions": versions(system),
    }
    if system == "fraiseql-serve":
        listener.close()
        about["url"] = await peer.serve()
        print(json.dumps(about), flush=True)
        await asyncio.Event().wait()
    else:
        print(json.dumps(about), flush=True)
        await uvicorn_server(peer.create()).serve(sockets=[listener])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("system", choices=SYSTEMS)
    system: str = parser.parse_args().system
    uvloop.new_event_loop().run_until_complete(run(system))


if __name__ == "__main__":
    main()
