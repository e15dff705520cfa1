"""Measures what RESULTS.md shows, and writes it again.

    python run.py             everything, a quarter of an hour on a quiet machine
    python run.py --part micro    one part (micro, compare, floor); --into FOLDER puts others, or more rounds, beside it:
                              the run is complete once all parts are there
    python run.py --short     seconds, to see that it works; not published
    python run.py --docs      RESULTS.md again from the results that are there

Run it with an interpreter that has the package and requirements.txt; `make bench-python` does.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import compare
import floor
import micro
from measure import CPU, HERE, RESULTS, ROOT, Record, commit, load_average, machine, rounds_in
from report import document

PARTS = ("micro", "compare", "floor")


def log(text: str) -> None:
    print(f"{datetime.now(timezone.utc):%H:%M:%S} {text}", file=sys.stderr, flush=True)


def await_quiet(cores: int, seconds: float) -> bool:
    """Waits for a while until nothing else runs; whether nothing does. The load average would remember the last minute."""
    end = time.monotonic() + seconds
    while True:
        before = CPU.now()
        time.sleep(2)
        if CPU.now().others_since(before) < 0.1 * 2 * cores:
            return True
        if time.monotonic() >= end:
            return False


def begin(rounds: int, probes: int, *, wait: float, short: bool) -> Record:
    """Waits for a quiet machine; the facts of a run that begins."""
    facts = machine()
    quiet = short or await_quiet(facts["cores"], wait)
    identity, modified = commit()
    return {
        "started": f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}", "complete": False, "short": short,
        "busy": not quiet, "load_before": load_average(), "commit": identity, "modified": modified,
        "rounds": rounds, "probe_rounds": probes, "machine": facts,
    }  # fmt: skip


def measure(results: Path, rounds: int, probes: int, *, part: str, into: Path | None, wait: float, short: bool) -> Path:
    """Makes one run in a folder of its own, or a part of the run in that folder."""
    about = begin(rounds, probes, wait=wait, short=short)
    folder = into or results / str(about["started"]).replace(":", "")
    if into is None:
        folder.mkdir(parents=True)
    else:
        before = json.loads((folder / "run.json").read_text())
        if (before["commit"], before["modified"]) != (about["commit"], about["modified"]):
            raise SystemExit(f"{folder} was measured at {before['commit']}, this is {about['commit']}")
        about = before | {"busy": before["busy"] or about["busy"]}

    def write() -> None:
        (folder / "run.json").write_text(json.dumps(about, indent=2) + "\n")

    write()
    if part in ("", "micro"):
        micro.run(folder / "micro.jsonl", probes, short=short, log=log)
        about["probe_rounds"] = rounds_in(folder / "micro.jsonl")
    if part in ("", "compare"):
        compare.run(folder / "compare.jsonl", rounds, short=short, log=log)
        about["rounds"] = rounds_in(folder / "compare.jsonl")
    if part in ("", "floor"):
        floor.run(folder / "floor.jsonl", 1 if short else 6, short=short, log=log)
    about |= {
        "finished": f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}",
        "complete": all((folder / f"{name}.jsonl").exists() for name in PARTS),
        "load_after": load_average(),
    }
    write()
    log(f"results in {folder}")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the comparison")
    parser.add_argument("--probes", type=int, default=8, help="rounds of the probes")
    parser.add_argument("--part", choices=PARTS, default="", help="only that part; published when all are there")
    parser.add_argument("--into", type=Path, help="the folder of a run of the same commit that the part belongs to")
    parser.add_argument("--wait", type=float, default=180, help="seconds to wait for a quiet machine")
    parser.add_argument("--results", type=Path, help="folder of the runs (default: results, of a short run .cache/bench)")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--page", type=Path, default=HERE / "RESULTS.md", help="the page that is written")
    parser.add_argument("--docs", action="store_true", help="measure nothing; write RESULTS.md")
    args = parser.parse_args()
    if args.short:
        args.rounds = args.probes = 1
    results = args.results or (ROOT / ".cache" / "bench-python" if args.short else RESULTS)
    if not args.docs:
        measure(results, args.rounds, args.probes, part=args.part, into=args.into, wait=args.wait, short=args.short)
    if not args.short:
        args.page.write_text(document(results))


if __name__ == "__main__":
    main()
