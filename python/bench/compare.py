"""FraiseQL beside Strawberry, Ariadne, graphql-core and uvicorn alone: the same subscriptions, events and client.

Every system runs in a process of its own under the same uvicorn; `fraiseql bench` opens the WebSockets, sends
the events and checks each delivery. The systems take turns within a round, in another order each time.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import HERE, ROOT, Record, Recorder, rounds_in
from serve import SYSTEMS

COMMAND = Path(os.environ.get("FRAISEQL_COMMAND", ROOT / "bin" / "fraiseql"))
QUERY = "subscription($room: Int!) { tick(room: $room) { room seq sent sum pad } }"


@dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    rooms: int
    rate: int  # events per second that every system holds
    tick: str  # events that are due within it share a request


SCENARIOS = (
    Scenario("fan-out", "1 topic × 1,000 subscribers", 1, 3, "0s"),
    Scenario("topics", "1,000 topics × 1 subscriber", 1000, 2500, "10ms"),
)
CONNECTIONS = 1000

# How many events may be under way when the loop is closed, by scenario: enough for each system to be busy all the time.
# The larger ones let the engine write several messages at once; the others send one by one in any case, and a larger
# window only makes the work at both ends of the measured time longer.
WINDOWS = {
    "fraiseql-serve": (64, 8000),
    "fraiseql-asgi": (16, 4000),
    "strawberry": (4, 2000),
    "ariadne": (4, 2000),
    "graphql-core": (4, 2000),
    "uvicorn-alone": (16, 4000),
}


@contextlib.contextmanager
def serving(system: str) -> Iterator[Record]:
    """Runs a system's server; the value is what it says of itself."""
    process = subprocess.Popen([sys.executable, str(HERE / "serve.py"), system], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{system}: the server ended with {process.wait()}")
        yield json.loads(line) | {"pid": process.pid}
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def arguments(scenario: Scenario, mode: str, system: str, short: bool) -> list[str]:
    """What `fraiseql bench` is told, without the addresses."""
    connections, rooms, rate = CONNECTIONS, scenario.rooms, scenario.rate
    duration, warmup = "3s", "1s"
    window = WINDOWS[system][SCENARIOS.index(scenario)]
    if short:
        connections, rooms, rate, window = 20, min(rooms, 20), 50, min(window, 40)
        duration, warmup = "300ms", "100ms"
    args = ["--channel", "tick", "--query", QUERY, "-c", str(connections), "--rooms", str(rooms), "-d", duration]
    args += ["--warmup", warmup]
    if mode == "paced":
        return [*args, "-r", str(rate), "--tick", scenario.tick]
    return [*args, "--window", str(window)]


def bench(server: Record, args: list[str]) -> tuple[int, dict[str, Any]]:
    """Runs the load generator; exit code 1 says that a delivery was not right, which is a figure."""
    command = [str(COMMAND), "bench", "--json", "--url", server["url"], "--publish-url", server["publish_url"], *args]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"fraiseql bench ended with {done.returncode}: {done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout)
    result["server"].pop("pid", None)
    return done.returncode, result


def run(path: Path, rounds: int, *, short: bool, log: Callable[[str], None], systems: tuple[str, ...] = tuple(SYSTEMS)) -> None:
    """Measures all systems in all scenarios, round by round, and writes a line per measurement."""
    if not COMMAND.exists():
        raise SystemExit(f"{COMMAND} is not there: run make build")
    done = rounds_in(path)
    recorder = Recorder(path)
    try:
        for number in range(done + 1, done + rounds + 1):
            first = (number - 1) % len(systems)
            for scenario in SCENARIOS:
                for system in systems[first:] + systems[:first]:
                    log(f"round {number}: {scenario.title}, {system}")
                    measure(recorder, number, scenario, system, short)
    finally:
        recorder.close()


def measure(recorder: Recorder, number: int, scenario: Scenario, system: str, short: bool) -> None:
    """One server, under a rate that all systems hold, then as fast as it delivers."""
    with serving(system) as server:
        recorder.begin(server["pid"])
        for mode in ("paced", "saturated"):
            args = arguments(scenario, mode, system, short)
            code, result = bench(server, args)
            shown = " ".join(f"'{a}'" if " " in a else a for a in args)
            recorder.add({
                "scenario": scenario.name, "mode": mode, "system": system, "round": number,
                "command": f"fraiseql bench --json {shown}", "exit_code": code,
                "versions": server["versions"], "result": result,
            })  # fmt: skip
