"""Real servers of event buses, each in a folder of its own on a free port of this machine."""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from children import ROOT
from fraiseql.subscriptions import EventBusConfig

PATIENCE = 30.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class BusServer:
    """A server that can be killed and started again."""

    def __init__(self, command: list[str], port: int, user: str | None = None, cwd: Path | None = None) -> None:
        self.command, self.port, self.user, self.cwd = command, port, user, cwd
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert self.cwd is not None
        with (self.cwd / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.cwd, stdout=log, stderr=log, start_new_session=True, user=self.user
            )
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            assert self.process.poll() is None, (self.cwd / "log").read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), PATIENCE):
                return
            time.sleep(0.02)
        raise AssertionError(f"{self.command[0]} does not listen: {(self.cwd / 'log').read_text()}")

    def kill(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)


@contextlib.contextmanager
def running(server: BusServer) -> Iterator[BusServer]:
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[tuple[BusServer, EventBusConfig]]:
    port = free_port()
    options = ["--bind", "127.0.0.1", "--appendonly", "yes", "--appendfsync", "always", "--dir", str(folder)]
    with running(BusServer(["redis-server", "--port", str(port), *options], port, cwd=folder)) as server:
        yield server, EventBusConfig.redis(f"redis://127.0.0.1:{port}", "app")


@contextlib.contextmanager
def nats(folder: Path) -> Iterator[tuple[BusServer, EventBusConfig]]:
    port = free_port()
    command = [
        *(str(ROOT / "bin" / "fraiseql"), "serve", "--dev", "--schemaless", "--listen", f"127.0.0.1:{free_port()}"),
        *("--bus", f"nats://embedded?store={folder / 'store'}&listen=127.0.0.1:{port}"),
    ]
    with running(BusServer(command, port, cwd=folder)) as server:
        yield server, EventBusConfig.nats(f"nats://127.0.0.1:{port}")


@contextlib.contextmanager
def postgresql(folder: Path) -> Iterator[tuple[BusServer, EventBusConfig]]:
    """A server in a folder beside pytest's: that one closes its own to other users whenever another pytest starts."""
    found = shutil.which("initdb")
    programs = Path(found).parent if found else Path(max(glob.glob("/usr/lib/postgresql/*/bin")))
    user = "postgres" if os.getuid() == 0 else None  # it does not run as root
    with tempfile.TemporaryDirectory(prefix="fraiseql-postgres-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if user:
            owner = pwd.getpwnam(user)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        data = folder / "data"
        subprocess.run(
            [str(programs / "initdb"), "--username=postgres", "--auth=trust", "--no-sync", "-D", str(data)],
            cwd=folder,
            user=user,
            check=True,
            capture_output=True,
        )
        port = free_port()
        options = ["-h", "127.0.0.1", "-p", str(port), "-k", str(folder), "-F"]
        with running(BusServer([str(programs / "postgres"), "-D", str(data), *options], port, user, folder)) as server:
            yield server, EventBusConfig.postgresql(f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=disable")


BUSES = {"redis": redis, "nats": nats, "postgresql": postgresql}
