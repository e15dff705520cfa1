"""The benchmarks: each probe and each scenario runs, tiny, and the page shows what the raw results say."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).resolve().parent.parent / "bench"
SYSTEMS = {"fraiseql-serve", "fraiseql-asgi", "strawberry", "ariadne", "graphql-core", "uvicorn-alone"}


def run(*arguments: str) -> str:
    command = [sys.executable, str(BENCH / "run.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stderr
    return done.stderr


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def measured(results: Path, part: str) -> Path:
    run("--short", "--part", part, "--results", str(results))
    (folder,) = results.iterdir()
    about = json.loads((folder / "run.json").read_text())
    assert about["short"]
    assert not about["complete"]
    return folder


@pytest.mark.full
def test_probes(tmp_path: Path) -> None:
    records = lines(measured(tmp_path, "micro") / "micro.jsonl")
    figures = {name for record in records for name in record["samples"]}
    sys.path.insert(0, str(BENCH))
    try:
        from report import FIGURES
    finally:
        sys.path.remove(str(BENCH))
    assert {figure.key for figure in FIGURES} <= figures
    for record in records:
        assert all(record["samples"].values()), record


@pytest.mark.full
def test_every_system_delivers_everything(tmp_path: Path) -> None:
    records = lines(measured(tmp_path, "compare") / "compare.jsonl")
    found = {(r["scenario"], r["mode"], r["system"]) for r in records}
    assert found == {(s, m, x) for s in ("fan-out", "topics") for m in ("paced", "saturated") for x in SYSTEMS}
    assert len(records) == len(found)
    for record in records:
        result = record["result"]
        assert record["exit_code"] == 0, result
        assert result["deliveries"] > 0
        assert result["lost"] == result["duplicates"] == result["out_of_order"] == result["corrupt"] == 0, result
        assert result["server"]["cpu_seconds"] > 0
        assert result["server"]["rss_kb"] > 0
        assert {"python"} < set(record["versions"])


def test_the_page_is_made_of_the_results(tmp_path: Path) -> None:
    page = tmp_path / "RESULTS.md"
    run("--docs", "--page", str(page))
    assert page.read_text() == (BENCH / "RESULTS.md").read_text(), "run make bench-python-docs"


def test_the_page_compares_with_uvicorn_alone(tmp_path: Path) -> None:
    complete = [f for f in sorted((BENCH / "results").iterdir()) if json.loads((f / "run.json").read_text())["complete"]]
    folder = tmp_path / complete[-1].name
    shutil.copytree(complete[-1], folder)
    compared = [r for r in lines(folder / "compare.jsonl") if r["system"] != "uvicorn-alone"]
    for mount in [r for r in compared if r["system"] == "fraiseql-asgi"]:
        alone = json.loads(json.dumps(mount | {"system": "uvicorn-alone"}))
        alone["result"]["server"]["cpu_seconds_per_million_deliveries"] /= 2
        compared.append(alone)
    (folder / "compare.jsonl").write_text("".join(json.dumps(r) + "\n" for r in compared))
    page = tmp_path / "RESULTS.md"
    run("--docs", "--results", str(tmp_path), "--page", str(page))
    text = page.read_text()
    assert text.count("FraiseQL's ASGI mount takes 2.00 × (2.00 – 2.00) of what uvicorn alone takes.") == 4
    assert "uvicorn alone, which sends texts that are ready: Strawberry" in text, "beside an aim that is missed"


def test_the_page_says_what_can_be_reached(tmp_path: Path) -> None:
    """Beside an aim of `serve()` that is missed: what a server would take that only reads the events and writes."""
    complete = [f for f in sorted((BENCH / "results").iterdir()) if json.loads((f / "run.json").read_text())["complete"]]
    folder = tmp_path / complete[-1].name
    shutil.copytree(complete[-1], folder)
    compared = lines(folder / "compare.jsonl")
    for record in compared:  # ours takes 20 s per million, the others 200
        ours = record["system"].startswith("fraiseql")
        record["result"]["server"]["cpu_seconds_per_million_deliveries"] = 20.0 if ours else 200.0
    (folder / "compare.jsonl").write_text("".join(json.dumps(r) + "\n" for r in compared))
    measured = [r for r in lines(folder / "floor.jsonl") if "reading" not in r]
    for record in measured:
        if "writes" in record:
            record["result"]["cpu_seconds_per_million"] = 10.0
    writes = {r["writes"] for r in measured if "writes" in r and "3 events/s" not in r["writes"]}
    for reading in ("nobody", "engine"):
        result = {"events": 1, "cpu_seconds_per_million": 6.0 if reading == "nobody" else 8.0}
        measured += [{"reading": reading, "writes": name, "command": "", "result": result} for name in writes]
    (folder / "floor.jsonl").write_text("".join(json.dumps(r) + "\n" for r in measured))
    page = tmp_path / "RESULTS.md"
    run("--docs", "--results", str(tmp_path), "--page", str(page))
    text = page.read_text()
    assert text.count("would take 16 s per million: Strawberry 12.5 ×, Ariadne 12.5 ×, graphql-core `subscribe` 12.5 ×.") == 2
    assert text.count("would take 10 s per million: Strawberry 20.0 ×, Ariadne 20.0 ×, graphql-core `subscribe` 20.0 ×.") == 1
    assert "2,500 events/s in bursts of 25: read, parsed and published, without a subscriber | 8 (8 – 8) |" in text


@pytest.mark.full
@pytest.mark.parametrize("kind", ["nobody", "engine"])
def test_reading(kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import reading; print(reading.measure({kind!r}, 10, 0.001, 0.1))"],
        cwd=BENCH, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "'cpu_seconds_per_million': " in done.stdout
