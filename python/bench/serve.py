"""Serves one of the systems that are compared, until it is interrupted.

Prints a line of JSON once it listens: {"url", "publish_url", "pid", "versions"}.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import importlib.metadata
import json
import os
import platform
import socket
from collections.abc import Iterator

import uvicorn

from peers.source import ASGIApp

SYSTEMS = {
    "fraiseql-serve": ("fraiseql-subscriptions", "uvicorn", "uvloop", "httptools"),
    "fraiseql-asgi": ("fraiseql-subscriptions", "uvicorn", "uvloop", "httptools", "websockets"),
    "strawberry": ("strawberry-graphql", "graphql-core", "starlette", "uvicorn", "uvloop", "httptools", "websockets"),
    "ariadne": ("ariadne", "graphql-core", "starlette", "uvicorn", "uvloop", "httptools", "websockets"),
    "graphql-core": ("graphql-core", "uvicorn", "uvloop", "httptools", "websockets"),
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
    """Leaves the signals to asyncio.run: SIGINT ends the process in every system alike."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def uvicorn_server(app: ASGIApp) -> Server:
    config = uvicorn.Config(
        app, loop="uvloop", http="httptools", ws="websockets-sansio", lifespan="off", access_log=False, log_level="error",
        ws_per_message_deflate=False, timeout_graceful_shutdown=1,
    )  # fmt: skip
    return Server(config)


async def run(system: str) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    publish_url = f"http://127.0.0.1:{listener.getsockname()[1]}/events"
    url = publish_url.replace("/events", "/graphql")
    if system == "fraiseql-serve":
        module = importlib.import_module("peers.fraiseql_peer")
        app, url = await module.serve()
    else:
        app = importlib.import_module("peers." + system.replace("-", "_") + "_peer").create()
    about = {"url": url, "publish_url": publish_url, "pid": os.getpid(), "versions": versions(system)}
    print(json.dumps(about), flush=True)
    await uvicorn_server(app).serve(sockets=[listener])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("system", choices=SYSTEMS)
    system: str = parser.parse_args().system
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(run(system))


def new_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


if __name__ == "__main__":
    main()
