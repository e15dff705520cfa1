"""What nobody goes below here: the kernel for a write of each delivery, reading the events, the interpreter for a loop.

    python floor.py FILE      a line of JSON for each measurement

The first is what no server goes below that writes each message by itself, see bench/floor; the second what every system
pays for being given its events, see reading.py; the third shows how much the speed of this machine changes while nothing
else runs on it.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns

import reading
from measure import ROOT, Record, Spread

FAN_OUT, TOPICS, UNPAUSED = (
    "1 topic × 1,000 subscribers, 3 events/s",
    "1,000 topics × 1 subscriber, 2,500 events/s in bursts of 25",
    "without a pause",
)
# As in the scenarios of compare.py: writes of a burst, time between bursts.
WRITES = ((FAN_OUT, 1000, "333ms"), (TOPICS, 25, "10ms"), (UNPAUSED, 1000, "0s"))
# Events of a burst, seconds between bursts. An event that goes to 1,000 subscribers is read once for all of them.
READINGS = ((TOPICS, 25, 0.010), (UNPAUSED, reading.BATCH, 0.0))
# Writes, and whether each of them has an event of its own, of a mode and scenario where no message waits for another.
BOUNDS = {"paced fan-out": (FAN_OUT, False), "paced topics": (TOPICS, True), "saturated topics": (UNPAUSED, True)}
STEPS = 300_000


def loop() -> float:
    """Nanoseconds for a step of a loop of pure Python."""
    total, t0 = 0, perf_counter_ns()
    for i in range(STEPS):
        total += i * i % 7
    return (perf_counter_ns() - t0) / STEPS


def run(path: Path, rounds: int, *, short: bool, log: Callable[[str], None]) -> None:
    """Measures in turns, and writes a line for each measurement."""
    seconds = "200ms" if short else "4s"
    with tempfile.TemporaryDirectory() as folder, path.open("a") as file:
        command = Path(folder, "floor")
        subprocess.run(["go", "build", "-o", command, "./bench/floor"], cwd=ROOT, check=True)
        for number in range(1, rounds + 1):
            log(f"round {number} of the floor")
            for name, burst, tick in WRITES:
                args = ["-connections", "1000", "-size", "220", "-burst", str(burst), "-tick", tick, "-time", seconds]
                done = subprocess.run([command, *args], check=True, stdout=subprocess.PIPE, text=True)
                shown = " ".join(["go run ./bench/floor", *args])
                file.write(json.dumps({"writes": name, "command": shown, "result": json.loads(done.stdout)}) + "\n")
            for name, events, pause in READINGS:
                for kind in reading.KINDS:
                    result = reading.measure(kind, events, pause, 0.2 if short else 2.0)
                    file.write(
                        json.dumps({"reading": kind, "writes": name, "command": f"python reading.py {kind}", "result": result})
                        + "\n"
                    )
            file.write(json.dumps({"loop": [round(loop(), 1) for _ in range(2 if short else 40)]}) + "\n")
            file.flush()


def spread(lines: list[Record], writes: str, kind: str = "") -> Spread | None:
    """CPU seconds per million writes, or events that are read; None where that was not measured."""
    found = [r["result"]["cpu_seconds_per_million"] for r in lines if r.get("writes") == writes and r.get("reading", "") == kind]
    return Spread.of(found) if found else None


def bound(lines: list[Record], mode: str) -> float | None:
    """What a server pays for each million deliveries that does nothing but read its events and write; None: not known."""
    if mode not in BOUNDS:
        return None
    writes, each = BOUNDS[mode]
    parts = [spread(lines, writes), *([spread(lines, writes, "nobody")] if each else [])]
    known = [part.median for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def publishing(lines: list[Record], mode: str) -> float | None:
    """CPU seconds that the engine takes to publish a million events that nobody follows; None: not known, or not one event per delivery."""
    if mode != "paced topics":
        return None
    alone, engine = spread(lines, TOPICS, "nobody"), spread(lines, TOPICS, "engine")
    return None if alone is None or engine is None else engine.median - alone.median


def section(lines: list[Record]) -> str:
    """The part of the page."""
    text = (
        "## The machine itself\n\nOne `write(2)` of 220 ready bytes for each delivery to 1,000 TCP connections on loopback, by a program that does nothing"
        "\nelse (`bench/floor`). A server that is given one event at a time can only write that often.\n\n"
        "| writes | CPU seconds per million |\n|---|---|\n"
    )
    for name, _, _ in WRITES:
        text += row(name, spread(lines, name))
    if any("reading" in r for r in lines):
        text += (
            "\nThe events that every system is given, read and parsed as all of them do it, by a process that serves nobody (`reading.py`):"
            " for 1,000 topics\nthat is a part of what each system takes per delivery, ours too.\n\n"
            "| events | CPU seconds per million |\n|---|---|\n"
        )
        for name, _, _ in READINGS:
            for kind, title in reading.KINDS.items():
                text += row(f"{name}: {title}", spread(lines, name, kind))
    steps = sorted(step for r in lines for step in r.get("loop", ()))
    text += (
        f"\nThe same loop of pure Python, while nothing else runs: median {statistics.median(steps):.0f} ns a step, the fastest of"
        f" {len(steps)} {steps[0]:.0f} ns, the slowest {steps[-1]:.0f} ns.\nTimes and CPU times of everything else on this page vary by as much.\n"
    )
    return text


def row(name: str, found: Spread | None) -> str:
    return f"| {name} | " + (f"{found.median:.3g} ({found.low:.3g} – {found.high:.3g})" if found else "not measured") + " |\n"


if __name__ == "__main__":
    run(Path(sys.argv[1]), 6, short=False, log=lambda text: print(text, file=sys.stderr))
