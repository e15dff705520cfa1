"""Binding and engine together: runs every probe in fresh processes, round by round."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from floor import loop
from measure import HERE, Recorder, rounds_in

# Probes, as arguments for the interpreter, and how often each runs in a round.
PROBES: tuple[tuple[int, tuple[str, ...]], ...] = (
    (3, ("start.py",)),
    (1, ("probes.py", "later_executors")),
    (1, ("probes.py", "next_empty")),
    (1, ("probes.py", "next_message")),
    (1, ("probes.py", "publish_one")),
    (1, ("probes.py", "publish_hundred")),
    (1, ("probes.py", "publish_rate")),
    (1, ("probes.py", "listen_waiting")),
    (1, ("probes.py", "resolver")),
    (1, ("paced.py", "loop")),
    (1, ("paced.py", "thread")),
    (1, ("beside.py",)),
)


def probe(arguments: tuple[str, ...], *, short: bool) -> dict[str, list[float]]:
    """Runs one probe; what it prints."""
    shortly = ["--short"] if short and arguments != ("start.py",) else []
    command = [sys.executable, str(HERE / arguments[0]), *arguments[1:], *shortly]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}")
    samples: dict[str, list[float]] = json.loads(done.stdout)
    return {name: [round(value, 1) for value in values] for name, values in samples.items()}


def run(path: Path, rounds: int, *, short: bool, log: Callable[[str], None]) -> None:
    """Writes a line per process."""
    probe(("start.py",), short=short)  # reads the files into memory, which is not measured
    done = rounds_in(path)
    recorder = Recorder(path)
    try:
        for number in range(done + 1, done + rounds + 1):
            log(f"round {number} of the probes")
            for times, arguments in PROBES:
                for _ in range(times):
                    before = loop()
                    samples = probe(arguments, short=short)
                    step = round(max(before, loop()), 1)  # the slower: the machine may have changed its speed meanwhile
                    command = " ".join(("python", *arguments))
                    recorder.add({
                        "probe": arguments[-1], "round": number, "command": command, "samples": samples, "loop": step,
                    })  # fmt: skip
    finally:
        recorder.close()
