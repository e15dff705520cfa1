"""A FastAPI application under the servers that people run it with, each with two workers and real clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import pytest
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

HERE = Path(__file__).parent
PATIENCE = 30.0

SERVERS = {
    "uvicorn": ["uvicorn", "servers_app:app", "--workers", "2", "--fd", "{fd}"],
    "gunicorn": [
        "gunicorn",
        "servers_app:app",
        "-k",
        "uvicorn_worker.UvicornWorker",
        "-w",
        "2",
        "-b",
        "fd://{fd}",
        "--no-control-socket",
    ],
    "gunicorn-preload": [
        "gunicorn",
        "servers_app:app",
        "-k",
        "uvicorn_worker.UvicornWorker",
        "-w",
        "2",
        "-b",
        "fd://{fd}",
        "--preload",
    ],
    # Its own worker leaves connections open until its grace is over.
    "gunicorn-asgi": [
        *("gunicorn", "servers_app:app", "-k", "asgi", "-w", "2", "-b", "fd://{fd}"),
        *("--no-control-socket", "--graceful-timeout", "1"),
    ],
}

T = TypeVar("T")


def until(look: Callable[[], T | None], what: str) -> T:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"{what}: not within {PATIENCE} s")


@dataclass
class Server:
    """A running server: its port, its master process and what it logs."""

    port: int
    process: subprocess.Popen[bytes]
    log: IO[bytes]

    def said(self) -> str:
        return os.pread(self.log.fileno(), 1 << 20, 0).decode()

    def get(self, path: str, method: str = "GET") -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method, headers={"Connection": "close"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return json.load(response)

    def workers(self) -> set[int]:
        """Two different processes, neither of them the master."""
        seen: set[int] = set()

        def both() -> bool:
            seen.add(self.get("/pid"))
            return len(seen) == 2

        until(both, "two workers answer")
        assert self.process.pid not in seen
        return seen

    def open(self, token: str = "let me in") -> ClientConnection:
        """A client that has said hello."""
        protocols = [Subprotocol("graphql-transport-ws")]
        client = connect(f"ws://127.0.0.1:{self.port}/graphql", subprotocols=protocols, open_timeout=PATIENCE)
        client.send(json.dumps({"type": "connection_init", "payload": {"token": token}}))
        return client

    def subscribe(self) -> ClientConnection:
        client = self.open()
        assert receive(client) == {"type": "connection_ack"}
        client.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": "subscription { users { id worker } }"}}))
        # The answer to a ping comes after the subscription was made.
        client.send(json.dumps({"type": "ping"}))
        assert receive(client) == {"type": "pong"}
        return client

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE) in (0, -signal.SIGTERM), self.said()


def receive(client: ClientConnection) -> Any:
    return json.loads(client.recv(timeout=PATIENCE))


@contextlib.contextmanager
def serving(command: list[str]) -> Iterator[Server]:
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(tempfile.TemporaryFile())
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
        descriptor = listener.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", *[part.format(fd=descriptor) for part in command]],
            cwd=HERE,
            stdout=log,
            stderr=log,
            pass_fds=[descriptor],
            start_new_session=True,
        )
        server = Server(listener.getsockname()[1], process, log)
        try:
            yield server
        except BaseException:
            print(server.said())
            raise
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)


def deliveries(server: Server, workers: set[int]) -> None:
    """Clients of both workers get what their worker publishes, and nothing else."""
    clients: list[ClientConnection] = []
    heard: set[int] = set()
    number = 0

    def both() -> bool:
        nonlocal number
        client = server.subscribe()
        clients.append(client)
        got = None
        while got is None:
            number += 1
            answer = server.get(f"/users/{number}", "POST")
            with contextlib.suppress(TimeoutError):
                got = json.loads(client.recv(timeout=0.05))
        assert got["type"] == "next"
        users = got["payload"]["data"]["users"]
        assert users["worker"] in workers
        assert answer["worker"] in workers
        heard.add(users["worker"])
        return heard == workers

    try:
        until(both, "a client at each worker has a message")
    finally:
        for client in clients:
            client.close()


@pytest.mark.parametrize("name", SERVERS)
def test_two_workers(name: str) -> None:
    with serving(SERVERS[name]) as server:
        workers = server.workers()
        deliveries(server, workers)
        refused = server.open("wrong")
        with pytest.raises(ConnectionClosed) as closed:
            receive(refused)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4403

        # A worker that dies is replaced by one that works.
        os.kill(min(workers), signal.SIGKILL)
        left = max(workers)
        until(lambda: {server.get("/pid")} - workers if alive(server) else None, "a new worker answers")
        renewed = server.workers()
        assert left in renewed
        deliveries(server, renewed)

        server.stop()
        said = server.said()
        assert "Traceback" not in said, said
        assert not re.search(r"exception|fatal|deadlock|goroutine", said, re.IGNORECASE), said


def alive(server: Server) -> bool:
    """Whether it answers right now: a connection that the dead worker had accepted is reset."""
    try:
        server.get("/pid")
    except OSError:
        return False
    return True


@pytest.mark.parametrize("name", SERVERS)
def test_stops_while_clients_listen(name: str) -> None:
    """Clients are told, and the server ends by itself."""
    with serving(SERVERS[name]) as server:
        server.workers()
        clients = [server.subscribe() for _ in range(4)]
        server.process.send_signal(signal.SIGTERM)
        for client in clients:
            with pytest.raises(ConnectionClosed):
                receive(client)
        assert server.process.wait(PATIENCE) in (0, -signal.SIGTERM)
        assert "Traceback" not in server.said(), server.said()


async def hear(server: Server, few: asyncio.Semaphore, pong: Callable[[], None], heard: Callable[[int], None]) -> int | None:
    """A client that subscribes and listens until it is sent away; the close code."""
    url, protocols = f"ws://127.0.0.1:{server.port}/graphql", [Subprotocol("graphql-transport-ws")]
    async with few:  # a machine that is busy takes its time for each
        ws = await connect_async(url, subprotocols=protocols, open_timeout=PATIENCE)
    async with ws:
        await ws.send(json.dumps({"type": "connection_init", "payload": {"token": "let me in"}}))
        assert json.loads(await ws.recv()) == {"type": "connection_ack"}
        await ws.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": "subscription { users { id } }"}}))
        await ws.send(json.dumps({"type": "ping"}))
        try:
            while True:
                message = json.loads(await ws.recv())
                if message["type"] == "next":
                    heard(int(message["payload"]["data"]["users"]["id"]))
                elif message["type"] == "pong":
                    pong()
        except ConnectionClosed as closed:
            return None if closed.rcvd is None else closed.rcvd.code


@pytest.mark.timeout(300)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("ws", ["websockets", "websockets-sansio"])
def test_nothing_accepted_is_lost(loop: str, ws: str) -> None:
    """uvicorn's own shutdown with 200 clients: each has every event that was accepted before, in order, and is told to come again."""
    count, events = 200, 30
    with serving(["uvicorn", "servers_app:app", "--fd", "{fd}", "--loop", loop, "--ws", ws]) as server:

        async def run() -> None:
            subscribed, few = asyncio.Semaphore(0), asyncio.Semaphore(20)
            got: list[list[int]] = [[] for _ in range(count)]
            clients = [asyncio.ensure_future(hear(server, few, subscribed.release, mine.append)) for mine in got]
            for _ in clients:
                await asyncio.wait_for(subscribed.acquire(), PATIENCE)
            for number in range(events):
                answer = await asyncio.to_thread(server.get, f"/users/{number}", "POST")
                assert answer["reached"] == count
            await asyncio.to_thread(server.get, "/pid")  # uvicorn's loop has had a turn since
            server.process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(asyncio.gather(*clients), PATIENCE) == [1012] * count
            assert got == [list(range(events))] * count

        asyncio.run(run())
        assert server.process.wait(PATIENCE) in (0, -signal.SIGTERM)
        assert "Traceback" not in server.said(), server.said()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("by", ["task", "thread"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("ws", ["websockets", "websockets-sansio"])
def test_events_published_while_uvicorn_stops(loop: str, ws: str, by: str) -> None:
    """Each client has what was accepted before the signal, and of what came later a beginning without gaps. Publishing goes
    on until the application closes the manager, and then fails with an error of ours; nothing hangs or warns."""
    count, enough = 8, 40
    with serving(["uvicorn", "servers_app:app", "--fd", "{fd}", "--loop", loop, "--ws", ws]) as server:

        async def run() -> None:
            subscribed, few, full = asyncio.Semaphore(0), asyncio.Semaphore(4), asyncio.Semaphore(0)
            got: list[list[int]] = [[] for _ in range(count)]

            def listening(mine: list[int]) -> Callable[[int], None]:
                def heard(number: int) -> None:
                    mine.append(number)
                    if len(mine) == enough:
                        full.release()

                return heard

            clients = [asyncio.ensure_future(hear(server, few, subscribed.release, listening(mine))) for mine in got]
            for _ in clients:
                await asyncio.wait_for(subscribed.acquire(), PATIENCE)
            await asyncio.to_thread(server.get, f"/flood/{by}", "POST")
            for _ in clients:
                await asyncio.wait_for(full.acquire(), PATIENCE)
            accepted = await asyncio.to_thread(server.get, "/flood")
            assert accepted >= enough
            await asyncio.to_thread(server.get, "/pid")  # uvicorn's loop has had a turn since
            server.process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(asyncio.gather(*clients), PATIENCE) == [1012] * count
            for mine in got:
                assert mine == list(range(len(mine)))
                assert len(mine) >= accepted

        asyncio.run(run())
        assert server.process.wait(PATIENCE) in (0, -signal.SIGTERM)
        said = server.said()
        assert "the flood has ended" in said, said
        assert not re.search(
            r"Traceback|exception|never awaited|destroyed|RuntimeWarning|ResourceWarning", said, re.IGNORECASE
        ), said


async def hear_stream(server: Server, subscribed: Callable[[], None], heard: Callable[[int], None]) -> bool:
    """A client of server-sent events that listens until its answer ends; whether that is complete."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    query = json.dumps({"query": "subscription { users { id } }"})
    head = ["POST /graphql HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", "Accept: text/event-stream"]
    head += ["Authorization: Bearer let me in", f"Content-Length: {len(query)}"]
    writer.write("\r\n".join([*head, "", query]).encode())
    body = b""
    try:
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200"), answer
        subscribed()  # the head comes once the subscription is there
        while (size := await reader.readline()) != b"0\r\n":
            if not size:
                return False
            *events, body = (body + (await reader.readexactly(int(size, 16) + 2))[:-2]).split(b"\n\n")
            for event in events:
                kind, _, data = event.partition(b"\ndata: ")
                if kind == b"event: next":
                    heard(int(json.loads(data)["data"]["users"]["id"]))
        return True
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return False
    finally:
        writer.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("by", ["task", "thread"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_events_streamed_while_uvicorn_stops(loop: str, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for server-sent events, which uvicorn waits for: the application sends them away when the signal comes."""
    count, enough = 8, 40
    monkeypatch.setenv("LEAVE_EARLY", "1")
    with serving(["uvicorn", "servers_app:app", "--fd", "{fd}", "--loop", loop]) as server:

        async def run() -> None:
            subscribed, full = asyncio.Semaphore(0), asyncio.Semaphore(0)
            got: list[list[int]] = [[] for _ in range(count)]

            def listening(mine: list[int]) -> Callable[[int], None]:
                def heard(number: int) -> None:
                    mine.append(number)
                    if len(mine) == enough:
                        full.release()

                return heard

            await asyncio.to_thread(until, lambda: alive(server), "it answers")
            clients = [asyncio.ensure_future(hear_stream(server, subscribed.release, listening(mine))) for mine in got]
            for _ in clients:
                await asyncio.wait_for(subscribed.acquire(), PATIENCE)
            await asyncio.to_thread(server.get, f"/flood/{by}", "POST")
            for _ in clients:
                await asyncio.wait_for(full.acquire(), PATIENCE)
            accepted = await asyncio.to_thread(server.get, "/flood")
            assert accepted >= enough
            server.process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(asyncio.gather(*clients), PATIENCE) == [False] * count
            for mine in got:
                assert mine == list(range(len(mine)))
                assert len(mine) >= accepted

        asyncio.run(run())
        assert server.process.wait(PATIENCE) in (0, -signal.SIGTERM)
        said = server.said()
        assert "the flood has ended" in said, said
        assert not re.search(
            r"Traceback|exception|never awaited|destroyed|RuntimeWarning|ResourceWarning", said, re.IGNORECASE
        ), said
