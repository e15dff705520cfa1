"""Runs programs in processes of their own, under a hard deadline."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0  # seconds that a program may take


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit code, negative for the signal that killed it, and what it printed."""

    code: int
    out: str
    err: str

    def ok(self) -> str:
        """What it printed, once it is known to have ended well and without a complaint."""
        assert self.code == 0, f"ended with {self.code}\n{self.out}\n{self.err}"
        return self.out


@contextmanager
def default_signals() -> Iterator[None]:
    """While it lasts, children start with SIGINT and SIGHUP at their defaults, though a shell had them ignored (nohup, &)."""
    ignored = [number for number in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)


def run(
    command: list[str], *, env: dict[str, str | None] | None = None, cwd: Path | None = None, patience: float = PATIENCE
) -> Ended:
    """Runs a command. env: changes to the environment, None takes one away. Its whole process group dies at the deadline."""
    environment = {**os.environ, **{name: value for name, value in (env or {}).items() if value is not None}}
    for name in [name for name, value in (env or {}).items() if value is None]:
        environment.pop(name, None)
    with default_signals():
        process = subprocess.Popen(
            command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
    try:
        out, err = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"{command[:3]} did not end within {patience} s\n{out}\n{err}") from None
    return Ended(process.returncode, out, err)


def python(source: str, *arguments: str, options: tuple[str, ...] = (), env: dict[str, str | None] | None = None) -> Ended:
    """Runs a Python program with the interpreter and the packages of this test, warnings as errors."""
    code = textwrap.dedent(source)
    return run([sys.executable, "-W", "error", *options, "-c", code, *arguments], env=env)
