"""What reading the events takes: the lines of JSON that every system is given, in the event loop of a process like theirs.

    python reading.py nobody      serves, as serve.py does, a program that gives the events to nobody
    python reading.py engine      to the engine, which has no subscriber for them

It ends with the one connection that it accepts, and prints a line of JSON: the CPU seconds meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop
from peers.source import Event, Lines

KINDS = {"nobody": "read and parsed", "engine": "read, parsed and published, without a subscriber"}
PAD = "x" * 64
BATCH = 1000
"""Events of one write without pauses."""


def cpu() -> float:
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime


class Counted(Lines):
    """Lines that end with their connection."""

    def __init__(self, publish: Callable[[Event], object], ended: asyncio.Future[float]) -> None:
        super().__init__(publish)
        self._ended = ended
        self._before = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._before = cpu()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended.set_result(cpu() - self._before)


def drop(event: Event) -> None:
    """Give an event to nobody."""


async def serve(kind: str) -> None:
    publish: Callable[[Event], object] = drop
    if kind == "engine":
        from peers import fraiseql_serve_peer as peer

        peer.manager.executor.warmup()
        publish = peer.publish
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[float] = loop.create_future()
    server = await loop.create_server(lambda: Counted(publish, ended), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    print(json.dumps({"cpu_seconds": await ended}), flush=True)
    server.close()


def line(number: int) -> bytes:
    """An event as `fraiseql bench` writes it."""
    data = (
        f'{{"room":{number % 1000},"seq":{number // 1000 + 1},"sent":{number * 400},"sum":{number * 7919 % 65521},"pad":"{PAD}"}}'
    )
    return f'{{"channel":"tick","type":"bench","data":{data}}}\n'.encode()


def feed(to: socket.socket, burst: int, tick: float, seconds: float) -> int:
    """Writes bursts, each when it is due; without a tick as fast as they are read. How many events that were."""
    batches = [b"".join(line(first + n) for n in range(burst)) for first in range(0, 20 * burst, burst)]
    began, count = time.monotonic(), 0
    while (now := time.monotonic() - began) < seconds:
        due = count * tick
        if due > now:
            time.sleep(due - now)
        to.sendall(batches[count % len(batches)])
        count += 1
    return count * burst


def measure(kind: str, burst: int, tick: float, seconds: float) -> dict[str, Any]:
    """Feeds a process of its own."""
    process = subprocess.Popen([sys.executable, str(Path(__file__)), kind], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        with socket.create_connection(("127.0.0.1", port)) as to:
            events = feed(to, burst, tick, seconds)
        found = json.loads(process.stdout.readline())
        if process.wait(20):
            raise RuntimeError(f"reading.py {kind} ended with {process.returncode}")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    return {"events": events, "cpu_seconds_per_million": found["cpu_seconds"] * 1e6 / events}


if __name__ == "__main__":
    uvloop.new_event_loop().run_until_complete(serve(sys.argv[1]))
