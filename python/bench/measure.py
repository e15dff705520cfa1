"""Facts of the machine, CPU time, and raw results as lines of JSON."""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
RESULTS = HERE / "results"

Record = dict[str, Any]


def read(path: str) -> str:
    """A file of /proc; nothing where there is none."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def field(text: str, name: str) -> str:
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon and key.strip() == name:
            return value.strip()
    return ""


def load_average() -> float:
    return float((read("/proc/loadavg") or "0").split()[0])


def output(*command: str) -> str:
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def machine() -> Record:
    return {
        "cpu": field(read("/proc/cpuinfo"), "model name"),
        "cores": os.cpu_count(),
        "memory_kb": int((field(read("/proc/meminfo"), "MemTotal") or "0 kB").split()[0]),
        "kernel": platform.release(),
        "system": f"{platform.system().lower()}/{platform.machine()}",
        "python": platform.python_version(),
        "go": output("go", "env", "GOVERSION"),
    }


def commit() -> tuple[str, bool]:
    """The commit, and whether files that it knows have changed since; results and what is made of them do not count."""
    changed = output("git", "status", "--porcelain", "--untracked-files=no", ":(exclude)python/bench/results", ":(exclude)*.md")
    return output("git", "rev-parse", "--short=12", "HEAD"), bool(changed)


@dataclass
class CPU:
    """CPU seconds: of the whole machine, and of this process, the children that it has waited for and one more."""

    whole: float
    own: float

    @classmethod
    def now(cls, pid: int | None = None) -> CPU:
        ticks = [int(word) for word in (read("/proc/stat").splitlines() or ["cpu"])[0].split()[1:9]]
        idle = sum(ticks[3:5])
        use = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        own = sum(u.ru_utime + u.ru_stime for u in use)
        second = os.sysconf("SC_CLK_TCK")
        if pid is not None and (stat := read(f"/proc/{pid}/stat")):
            own += sum(int(word) for word in stat.rpartition(")")[2].split()[11:13]) / second
        return cls((sum(ticks) - idle) / second, own)

    def others_since(self, before: CPU) -> float:
        """What other processes have used since."""
        return max(0.0, (self.whole - before.whole) - (self.own - before.own))


class Recorder:
    """Appends records to a file, each with what else went on."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a")
        self.begin()

    def begin(self, pid: int | None = None) -> None:
        """Begins a measurement, in which a child takes part."""
        self._pid = pid
        self._cpu, self._time, self._load = CPU.now(pid), time.monotonic(), load_average()

    def add(self, record: Record) -> None:
        """Writes what has been measured since `begin`, or since the record before."""
        record |= {
            "wall_seconds": round(time.monotonic() - self._time, 3),
            "others_cpu_seconds": round(CPU.now(self._pid).others_since(self._cpu), 3),
            "load_before": self._load,
            "load_after": load_average(),
        }
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        self.begin(self._pid)

    def close(self) -> None:
        self._file.close()


def records(path: Path) -> list[Record]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def rounds_in(path: Path) -> int:
    """How many rounds a file of results has; others go on after them."""
    return max((record["round"] for record in records(path)), default=0) if path.exists() else 0


@dataclass
class Spread:
    """Median with the smallest and the largest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        found = list(values)
        return cls(statistics.median(found), min(found), max(found))


def quantile(values: list[float], q: float) -> float:
    """The value that a fraction q of all values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(q * len(ordered) + 0.5) - 1))]
