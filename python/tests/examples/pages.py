"""Follows a page of the documentation as a reader would.

Blocks of Python are run in order in one session, with `await` at the top level as in `python -m asyncio`. A comment
before a block says otherwise:

    <!-- file NAME -->        the block is the content of a file
    <!-- run -->              a shell command that must succeed
    <!-- background NAME -->  a shell command that goes on until the page ends or one of the same name starts
    <!-- output -->           all that the block before it printed
    <!-- output NAME -->      all that a background command has printed

Other shell blocks (installation) and blocks of other languages are to be read only.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from live import PATIENCE, ROOT, until

COMMENT = re.compile(r"^<!-- (file|run|background|output) ?(\S*) -->$")
SHELL = ["bash", "-euo", "pipefail", "-c"]


@dataclass(frozen=True)
class Step:
    verb: str
    name: str
    text: str
    line: int  # of the block's first line


def parse(document: str) -> list[Step]:
    """The steps of a page."""
    steps: list[Step] = []
    verb, name = "", ""
    lines = iter(enumerate(document.split("\n"), 1))
    for number, line in lines:
        if found := COMMENT.match(line):
            verb, name = found.groups()
            continue
        if line.startswith("```"):
            body: list[str] = []
            for _, inner in lines:
                if inner == "```":
                    break
                body.append(inner)
            else:
                raise AssertionError(f"line {number}: the block does not end")
            if verb or line == "```python":
                steps.append(Step(verb or "python", name, "\n".join(body) + "\n", number + 1))
        elif verb:
            raise AssertionError(f"line {number}: no fenced block follows the comment")
        verb, name = "", ""
    return steps


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Reader:
    """Follows one page in a folder of its own. The page's ports become free ones: 8000, and 6399 of its Redis."""

    def __init__(self, page: Path, folder: Path) -> None:
        self.page, self.folder, self.port, self.redis = page, folder, str(free_port()), str(free_port())
        self.output = ""
        self.background: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}
        # Nothing of the test's own paths: the page must work with what is installed.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self.environment = {**os.environ, "PATH": path, "UVICORN_PORT": self.port, "PYTHONUNBUFFERED": "1", "PYTHONDEVMODE": "1"}
        self.closing = contextlib.ExitStack()
        self.session: Session | None = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        with self.closing:
            for name in list(self.background):
                self.stop(name)

    def follow(self) -> int:
        """Does every step and returns how many there were."""
        steps = parse(self.page.read_text())
        for step in steps:
            try:
                getattr(self, f"do_{step.verb}")(step)
            except (AssertionError, subprocess.SubprocessError) as error:
                raise AssertionError(f"{self.page.relative_to(ROOT)}:{step.line} ({step.verb}): {error}") from None
        return len(steps)

    def text(self, step: Step) -> str:
        return step.text.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}").replace("6399", self.redis)

    def do_file(self, step: Step) -> None:
        target = self.folder / step.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(self.text(step))

    def do_run(self, step: Step) -> None:
        command = [*SHELL, self.text(step)]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=4 * PATIENCE, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        self.output = done.stdout

    def do_python(self, step: Step) -> None:
        if self.session is None:
            self.session = self.closing.enter_context(Session(self.folder, self.environment))
        self.output = self.session.run(self.text(step), str(self.page.relative_to(ROOT)), step.line)

    def do_background(self, step: Step) -> None:
        self.stop(step.name)
        before, log = self.subscriptions(), self.folder / f".{step.name}.out"
        with log.open("wb") as out, log.with_suffix(".err").open("wb") as err:
            process = subprocess.Popen(
                [*SHELL, self.text(step)], cwd=self.folder, env=self.environment, stdout=out, stderr=err, start_new_session=True
            )
        self.background[step.name] = process, log

        def ready() -> bool:
            assert process.poll() is None, f"ended with {process.returncode}\n{log.with_suffix('.err').read_text()}"
            if found := re.search(r"--port (\d+)", self.text(step)):
                return self.serves(int(found[1]))
            return self.serves() if "uvicorn" in step.text or "serve" in step.text else self.subscriptions() > before

        until(ready, f"{step.name} is there")

    def do_output(self, step: Step) -> None:
        if step.name:
            log = self.background[step.name][1]
            with contextlib.suppress(AssertionError):
                until(lambda: log.read_text().rstrip("\n") == step.text.rstrip("\n"))
            self.output = log.read_text()
        assert self.output.rstrip("\n") == step.text.rstrip("\n"), f"printed\n{self.output}instead of\n{step.text}"

    def stop(self, name: str) -> None:
        if found := self.background.pop(name, None):
            process = found[0]
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise AssertionError(f"{name} does not end on SIGTERM") from None

    def serves(self, port: int = 0) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port or int(self.port)), PATIENCE):
            return True
        return False

    def subscriptions(self) -> int:
        """What the page's application says at /metrics; 0 without one."""
        url = f"http://127.0.0.1:{self.port}/metrics"
        with contextlib.suppress(OSError, ValueError, KeyError), urllib.request.urlopen(url, timeout=PATIENCE) as response:
            return int(json.load(response)["active_subscriptions"])
        return 0


class Session:
    """A Python process that runs blocks one after the other (session.py)."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        command = [sys.executable, "-W", "error", str(Path(__file__).with_name("session.py"))]
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Session:
        return self

    def run(self, source: str, page: str, line: int) -> str:
        stdin, stdout = self._pipes()
        stdin.write(json.dumps({"source": source, "page": page, "line": line}) + "\n")
        stdin.flush()
        # session.py ends itself when a block takes too long.
        text = stdout.readline()
        assert text, f"the session ended\n{self.process.communicate(timeout=PATIENCE)[1]}"
        answer: dict[str, Any] = json.loads(text)
        assert not answer["error"], answer["error"]
        return str(answer["output"])

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            errors = self.process.communicate(timeout=PATIENCE)[1]
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise AssertionError("the session does not end") from None
        if kind is None:
            assert (self.process.returncode, errors) == (0, ""), f"ended with {self.process.returncode}\n{errors}"

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        assert self.process.stdin
        assert self.process.stdout
        return self.process.stdin, self.process.stdout
