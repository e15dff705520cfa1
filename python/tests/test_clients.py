"""A FastAPI application under uvicorn, and the client libraries that browsers and applications use."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from children import ROOT
from test_servers import PATIENCE, Server, serving

CLIENTS = {
    "graphql-ws": ["node", "graphql-ws.mjs"],
    "apollo": ["node", "apollo.mjs"],
    "urql": ["node", "urql.mjs"],
    "gql": [str(ROOT / ".venv/bin/python"), "gql_client.py", "websockets"],
    "gql-aiohttp": [str(ROOT / ".venv/bin/python"), "gql_client.py", "aiohttp"],
}

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(["uvicorn", "servers_app:app", "--fd", "{fd}"]) as server:
        yield server
        server.stop()
        assert "Traceback" not in server.said(), server.said()


class Client:
    """A program that subscribes and prints a JSON line for all that happens, until its standard input ends."""

    def __init__(self, name: str, server: Server, query: str) -> None:
        url = f"ws://127.0.0.1:{server.port}/graphql"
        task = {"url": url, "tokens": ["let me in"], "query": query, "variables": {}}
        self.process = subprocess.Popen(
            [*CLIENTS[name], json.dumps(task)],
            cwd=ROOT / "e2e/clients",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.put(line)

    def told(self, patience: float) -> Any:
        """The next thing that happened, None when nothing did in time."""
        try:
            return json.loads(self.lines.get(timeout=patience))
        except queue.Empty:
            return None

    def stop(self) -> None:
        assert self.process.stdin
        assert self.process.stderr
        self.process.stdin.close()
        assert self.process.wait(PATIENCE) == 0, self.process.stderr.read()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe and not pipe.closed:
                pipe.close()


@pytest.mark.parametrize("name", CLIENTS)
def test_client(name: str, server: Server) -> None:
    with Client(name, server, "subscription { users { id } }") as client:
        end, told = time.monotonic() + PATIENCE, None
        while told is None:
            assert time.monotonic() < end, server.said()
            server.get("/users/first", "POST")
            told = client.told(0.05)
        assert told["next"]["data"]["users"]["id"] == "first"
        # What was published while the client was looked at comes first.
        assert server.get("/users/last", "POST")["reached"] == 1
        while (told := client.told(PATIENCE))["next"]["data"]["users"]["id"] != "last":
            assert told["next"]["data"]["users"]["id"] == "first"
        client.stop()


@pytest.mark.parametrize("name", CLIENTS)
def test_client_that_asks_for_too_much(name: str, server: Server) -> None:
    """Refused as an error of the operation, with its code."""
    with Client(name, server, 'subscription { users(userId: "somebody else") { id } }') as client:
        told = client.told(PATIENCE)
        assert told is not None
        assert told["error"][0]["extensions"]["code"] == "SCOPE_MISMATCH"
        client.stop()
