"""Real servers and real clients for the tests of the examples and guides. Nothing waits longer than PATIENCE."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "examples" / "python"
PATIENCE = 20.0  # seconds


def until(condition: Callable[[], Any], what: str = "condition") -> Any:
    """Calls condition until it returns something true, and returns that."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not so after {PATIENCE} s")
        time.sleep(0.01)
    return found


@contextlib.contextmanager
def uvicorn(app: str, folder: Path = EXAMPLES, **environment: str) -> Iterator[str]:
    """Runs an application on a free loopback port and yields its URL. It must end by itself when told to."""
    command = [sys.executable, "-X", "dev", "-m", "uvicorn", "--app-dir", str(folder), "--host", "127.0.0.1", "--port", "0", app]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, cwd=folder, env={**os.environ, **environment}, stdout=log, stderr=log)

        def printed() -> str:
            log.seek(0)
            return log.read()

        def address() -> str | None:
            if process.poll() is not None:
                raise AssertionError(f"{app} ended with {process.returncode}\n{printed()}")
            found = re.search(r"running on (http://\S+)", printed())
            return found and found[1]

        try:
            yield until(address, f"{app} serves")
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                raise AssertionError(f"{app} did not end\n{printed()}") from None
            finally:
                output = printed()
        if "Traceback" in output or "ERROR" in output:
            raise AssertionError(output)


def post(url: str, body: Any, token: str = "", headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """Posts JSON (bytes go as they are) and returns status and answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", "Authorization": f"Bearer {token}", **(headers or {})}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, sent), timeout=PATIENCE) as response:
            return response.status, _decoded(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _decoded(error.read())


def _decoded(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.decode()


class Client:
    """A graphql-transport-ws connection."""

    def __init__(self, url: str, payload: dict[str, Any] | None = None, path: str = "/graphql") -> None:
        protocols = [Subprotocol("graphql-transport-ws")]
        self.closing = contextlib.ExitStack()
        socket = connect(url.replace("http", "ws", 1) + path, subprotocols=protocols, open_timeout=PATIENCE)
        self.socket = self.closing.enter_context(socket)
        self.send(type="connection_init", **({} if payload is None else {"payload": payload}))

    def __enter__(self) -> Client:
        assert self.receive() == {"type": "connection_ack"}
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.close()

    def send(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))

    def receive(self) -> dict[str, Any]:
        """The next message, pings answered."""
        while True:
            message: dict[str, Any] = json.loads(self.socket.recv(timeout=PATIENCE))
            if message["type"] != "ping":
                return message
            self.send(type="pong")

    def closed(self) -> int | None:
        """Waits until the server closes and returns its code."""
        with self.closing:
            try:
                while True:
                    self.socket.recv(timeout=PATIENCE)
            except ConnectionClosed as error:
                return error.rcvd.code if error.rcvd else None

    def subscribe(self, operation: str, query: str, **variables: Any) -> None:
        self.send(id=operation, type="subscribe", payload={"query": query, "variables": variables})

    def next(self, operation: str) -> Any:
        """The data of the next result, which must be one of this operation and without errors."""
        message = self.receive()
        assert (message["type"], message["id"]) == ("next", operation), message
        assert "errors" not in message["payload"], message
        return message["payload"]["data"]
