"""What the machine itself takes: the kernel for a write of each delivery, and the interpreter for a loop.

    python floor.py FILE      a line of JSON for each measurement

The first is what no server goes below that writes each message by itself, see bench/floor; the second shows how much
the speed of this machine changes while nothing else runs on it.
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

from measure import ROOT, Record, Spread

# As in the scenarios of compare.py: writes of a burst, time between bursts.
WRITES = (
    ("1 topic × 1,000 subscribers, 3 events/s", 1000, "333ms"),
    ("1,000 topics × 1 subscriber, 2,500 events/s in bursts of 25", 25, "10ms"),
    ("without a pause", 1000, "0s"),
)
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
            file.write(json.dumps({"loop": [round(loop(), 1) for _ in range(2 if short else 40)]}) + "\n")
            file.flush()


def section(lines: list[Record]) -> str:
    """The part of the page."""
    text = (
        "## The machine itself\n\nOne `write(2)` of 220 ready bytes for each delivery to 1,000 TCP connections on loopback, by a program that does nothing"
        "\nelse (`bench/floor`). A server that is given one event at a time can only write that often.\n\n"
        "| writes | CPU seconds per million |\n|---|---|\n"
    )
    for name, _, _ in WRITES:
        spread = Spread.of(r["result"]["cpu_seconds_per_million"] for r in lines if r.get("writes") == name)
        text += f"| {name} | {spread.median:.3g} ({spread.low:.3g} – {spread.high:.3g}) |\n"
    steps = sorted(step for r in lines for step in r.get("loop", ()))
    text += (
        f"\nThe same loop of pure Python, while nothing else runs: median {statistics.median(steps):.0f} ns a step, the fastest of"
        f" {len(steps)} {steps[0]:.0f} ns, the slowest {steps[-1]:.0f} ns.\nTimes and CPU times of everything else on this page vary by as much.\n"
    )
    return text


if __name__ == "__main__":
    run(Path(sys.argv[1]), 6, short=False, log=lambda text: print(text, file=sys.stderr))
