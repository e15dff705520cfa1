"""Makes RESULTS.md from the newest run that is complete."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import floor
from compare import SCENARIOS, WINDOWS
from measure import Record, Spread, records
from serve import SYSTEMS

HEAD = """<!-- Generated from python/bench/results; make bench-python-docs writes it. -->
# The engine inside Python, measured

`make bench-python` measures everything on this page and writes it again. Raw results, with the exact commands and the
load of the machine before and after each, are in `python/bench/results`.
"""


def nanoseconds(value: float) -> str:
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g} ns"


def per_second(value: float) -> str:
    return f"{value:,.0f}/s"


@dataclass(frozen=True)
class Figure:
    """A figure of the probes and what it is to be."""

    key: str
    name: str
    unit: Callable[[float], str] = nanoseconds
    below: float | None = None
    least: float | None = None
    limit: str = ""  # what keeps it from being better, as far as it is known

    @property
    def aim(self) -> str:
        if self.below is not None:
            return "< " + self.unit(self.below)
        return "≥ " + self.unit(self.least) if self.least is not None else "–"

    def met(self, spread: Spread) -> bool:
        if self.below is not None:
            return spread.median < self.below
        return self.least is None or spread.median >= self.least


PACED = (
    "Without pauses it is what `publish_event` to one subscriber and `async for` of messages that wait take together; the rest is"
    " what a sleep of 1 ms after every 100 costs: caches that are cold again, wake-ups of the loop, the monitor of the Go runtime."
)
FIGURES = (
    Figure("import_and_constructor", "import and constructor, in a fresh process", below=1e6, limit="Reading and running three modules, of which one is the shared object `_native`, and what the interpreter collects meanwhile of its own start."),
    Figure("with_first_call", "import, constructor and first call, which loads the engine", below=4e6, limit=(
        "Of loading, relocating 5.7 MB takes a third and the Go runtime with its packages two; an empty library of Go takes two thirds of"
        " that (docs/adr/0022). The engine and its first subscription take 0.2 ms."
    )),
    Figure("later_executor", "later executors: constructor and `warmup()`", below=20e3),
    Figure("later_executor_with_first_call", "later executors: constructor and first subscription"),
    Figure("next_event_empty", "`next_event`, no message", below=200),
    Figure("next_event_message", "`next_event`, with a message", below=500),
    Figure("publish_one", "`publish_event` of a dict with 5 members to one subscriber", below=1500),
    Figure("publish_hundred", "`publish_event` of a dict with 5 members to a group of 100", below=10e3),
    Figure("publish_rate", "published events/s of one thread that takes the messages too", per_second, least=300_000),
    Figure("resolver_round_trip", "resolver: what it adds to `publish_event`", below=2000),
    Figure("publish_with_resolver", "`publish_event` with a resolver to one subscriber"),
    Figure("listen_waiting", "`async for`, messages that wait already"),
    Figure("listen_loop_messages_per_second", "`async for`, published in its loop, 100,000 messages/s asked for", per_second, least=99_500),
    Figure("listen_loop_cpu_per_message", "`async for`, published in its loop: CPU time of the process per message, publishing included", below=3000, limit=PACED),
    Figure("listen_loop_longest_lag", "`async for`, published in its loop: the longest that a message was late"),
    Figure("listen_thread_messages_per_second", "`async for`, published by a thread, 100,000 messages/s asked for", per_second, least=99_500),
    Figure("listen_thread_cpu_per_message", "`async for`, published by a thread: CPU time of the process per message, publishing included", below=3000, limit=PACED),
    Figure("listen_thread_longest_lag", "`async for`, published by a thread: the longest that a message was late"),
    Figure("beside_next_p50", "`next_event` while `serve()` is busy: p50"),
    Figure("beside_next_p99", "`next_event` while `serve()` is busy: p99", below=1e6),
    Figure("beside_next_max", "`next_event` while `serve()` is busy: the longest"),
    Figure("beside_deliveries_per_second", "deliveries/s to the WebSockets meanwhile", per_second),
)  # fmt: skip

OURS = {"fraiseql-serve": 20.0, "fraiseql-asgi": 5.0}
ALONE = "uvicorn-alone"
PEERS = tuple(system for system in SYSTEMS if system not in OURS and system != ALONE)
TITLES = {
    "fraiseql-serve": "FraiseQL, `manager.serve()`",
    "fraiseql-asgi": "FraiseQL, ASGI mount",
    "strawberry": "Strawberry",
    "ariadne": "Ariadne",
    "graphql-core": "graphql-core `subscribe`",
    ALONE: "uvicorn alone",
}
# What keeps a ratio of a mode and scenario from being larger.
LIMITS = {
    "saturated topics": (
        "Each delivery is a write of its own into a socket, and its event is read and published in Python. In a profile of `manager.serve()` writes"
        " are 30 % of the CPU time, Python 25 % (reading the events, calling), and match, project and enqueue 22 %; the rest is to take and frame"
        " messages, threads that wait for each other, and memory."
    ),
    "paced fan-out": "At so few events a second each delivery is a write of its own: see the machine itself, below.",
    "paced topics": (
        "Writes that far apart cost the kernel a good part of it (see the machine itself, below). In a profile of `manager.serve()` publishing is half of the"
        " CPU time, and half of that the write; a sixth is the monitor of the Go runtime, which naps for half a millisecond at a time for as long as"
        " a thread of Python has called within 10 ms. Code and data are cold at each burst."
    ),
}
QUICK = 95
"""Nanoseconds of a step of the loop: such machines have two speeds, 60 to 80 and about 120."""
MODES = {"saturated": "as fast as each delivers", "paced": "the same rate for all"}


@dataclass
class Run:
    """One run."""

    name: str
    about: Record
    micro: list[Record]
    compared: list[Record]
    floor: list[Record]
    probed: tuple[str, Record] | None = None  # folder and facts of a later run of which only the probes are shown

    @classmethod
    def newest(cls, results: Path) -> Run | None:
        """The newest complete run, with the probes of the newest that has them."""
        probed: tuple[str, Record] | None = None
        micro: list[Record] = []
        for folder in sorted(results.glob("*Z"), reverse=True):
            about = json.loads((folder / "run.json").read_text())
            if about["short"]:
                continue
            if about["complete"]:
                found = [records(folder / f"{part}.jsonl") for part in ("micro", "compare", "floor")]
                return cls(folder.name, about, micro or found[0], found[1], found[2], probed)
            if probed is None and "finished" in about and (folder / "micro.jsonl").exists():
                probed, micro = (folder.name, about), records(folder / "micro.jsonl")
        return None

    def values(self, key: str) -> list[float]:
        """A figure, one value per process: the median of its samples."""
        return [statistics.median(r["samples"][key]) for r in self.micro if key in r["samples"]]

    def paces(self, key: str) -> list[tuple[float, float]]:
        """The same, each with the nanoseconds that a step of the loop of pure Python took beside it."""
        return [(statistics.median(r["samples"][key]), r["loop"]) for r in self.micro if key in r["samples"] and "loop" in r]

    def found(self, scenario: str, mode: str, system: str) -> list[Record]:
        return [r for r in self.compared if (r["scenario"], r["mode"], r["system"]) == (scenario, mode, system)]

    def ratios(self, scenario: str, mode: str, peer: str, ours: str) -> Spread:
        """CPU seconds per delivery of a peer, as a multiple of ours, within each round."""
        use = [
            {r["round"]: r["result"]["server"]["cpu_seconds_per_million_deliveries"] for r in self.found(scenario, mode, system)}
            for system in (peer, ours)
        ]
        return Spread.of(value / use[1][number] for number, value in use[0].items())

    def cpu(self, scenario: str, mode: str, system: str) -> float:
        """CPU seconds per million deliveries, median of the rounds."""
        used = [r["result"]["server"]["cpu_seconds_per_million_deliveries"] for r in self.found(scenario, mode, system)]
        return Spread.of(used).median

    def above_alone(self, scenario: str, mode: str, system: str) -> Spread | None:
        """CPU seconds per delivery of a system, as a multiple of what uvicorn alone takes; None where that was not measured."""
        return self.ratios(scenario, mode, system, ALONE) if self.found(scenario, mode, ALONE) else None

    def wrong(self, scenario: str, mode: str, system: str) -> int:
        kinds = ("lost", "duplicates", "out_of_order", "corrupt", "closed_connections")
        return sum(r["result"][kind] for r in self.found(scenario, mode, system) for kind in kinds)


def document(results: Path) -> str:
    """The text of RESULTS.md."""
    run = Run.newest(results)
    if run is None:
        return HEAD + "\nNo run has been published.\n"
    parts = [HEAD, facts(run), misses(run), probes(run), comparison(run), floor.section(run.floor), commands(run)]
    return "\n".join(parts)


def facts(run: Run) -> str:
    about, machine = run.about, run.about["machine"]
    commit = about["commit"] + (", with changes that are not committed" if about["modified"] else "")
    shares = [r["others_cpu_seconds"] / r["wall_seconds"] / machine["cores"] for r in run.compared if r["wall_seconds"]]
    versions: dict[str, str] = {}
    for record in run.compared:
        versions |= record["versions"]
    rows = {
        "run": f"{about['started'].replace('T', ' ')[:16]} to {about['finished'][11:16]} UTC",
        "commit": commit,
        "rounds": f"{about['rounds']} of the comparison, {about['probe_rounds']} of the probes",
        "CPU": f"{machine['cpu']}, {machine['cores']} cores",
        "memory": f"{machine['memory_kb'] / (1 << 20):.1f} GB",
        "kernel": f"{machine['kernel']}, {machine['system']}",
        "Go": machine["go"],
        "versions": ", ".join(f"{name} {version}" for name, version in sorted(versions.items())),
        "load average": f"{about['load_before']:.2f} before, {about['load_after']:.2f} after",
        "CPU of others": f"{100 * statistics.median(shares):.1f} % of the machine, at most {100 * max(shares):.1f} %, during a measurement",
    }
    text = "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in rows.items())
    if run.probed:
        name, later = run.probed
        hours = f"{later['started'].replace('T', ' ')[:16]} to {later['finished'][11:16]} UTC"
        text += (
            f"\nThe probes (binding and engine together, below) were measured again at commit {later['commit']}, {hours}, "
            f"{later['probe_rounds']} rounds: [results/{name}](results/{name}). The comparison is older than what that commit changed.\n"
        )
    if about["busy"]:
        text += "\n**The machine was busy with other work when the run began: the figures are worse than they need be.**\n"
    return text


def misses(run: Run) -> str:
    """Every aim that was not met."""
    missed = []
    for figure in FIGURES:
        values = run.values(figure.key)
        if not values:
            missed.append(f"- {figure.name}: not measured.")
        elif not figure.met(spread := Spread.of(values)):
            missed.append(f"- {figure.name}: {figure.unit(spread.median)}, aim {figure.aim}. {figure.limit}".rstrip())
    for scenario in SCENARIOS:
        for mode, title in MODES.items():
            for ours, aim in OURS.items():
                found = {peer: run.ratios(scenario.name, mode, peer, ours).median for peer in PEERS}
                below = [f"{TITLES[peer]} {ratio:.1f} ×" for peer, ratio in found.items() if ratio < aim]
                if below:
                    missed.append(
                        f"- {scenario.title}, {title}: CPU time per delivery as a multiple of {TITLES[ours]}: {', '.join(below)};"
                        f" aim ≥ {aim:.0f} ×. {LIMITS.get(f'{mode} {scenario.name}', '')}".rstrip()
                        + (within_reach if ours == "fraiseql-asgi" else at_most)(run, scenario.name, mode)
                    )
    return "## Missed aims\n\n" + ("\n".join(missed) or "None.") + "\n"


def within_reach(run: Run, scenario: str, mode: str) -> str:
    """What a mount that costs nothing would reach."""
    if not run.found(scenario, mode, ALONE):
        return ""
    reached = [f"{TITLES[peer]} {run.ratios(scenario, mode, peer, ALONE).median:.1f} ×" for peer in PEERS]
    text = f" uvicorn alone, which sends texts that are ready: {', '.join(reached)}."
    publishing = floor.publishing(run.floor, f"{mode} {scenario}")
    if publishing is None:
        return text
    bound = run.cpu(scenario, mode, ALONE) + publishing
    reached = [f"{TITLES[peer]} {run.cpu(scenario, mode, peer) / bound:.1f} ×" for peer in PEERS]
    return (
        f"{text} With what the engine takes to publish to nobody on top ({publishing:.3g} s per million, from the tables of the machine"
        f" itself), which no mount of this engine can be below when each event is sent as it comes: {', '.join(reached)}."
    )


def at_most(run: Run, scenario: str, mode: str) -> str:
    """What a server would reach that takes nothing beyond reading its events and writing what is ready."""
    bound = floor.bound(run.floor, f"{mode} {scenario}")
    if bound is None:
        return ""
    use = {peer: run.cpu(scenario, mode, peer) for peer in PEERS}
    reached = ", ".join(f"{TITLES[peer]} {value / bound:.1f} ×" for peer, value in use.items())
    return f" A server that only read the events and wrote ready bytes, one write each, would take {bound:.3g} s per million: {reached}."


def probes(run: Run) -> str:
    text = (
        "## Binding and engine together\n\nMedian over fresh processes, with the smallest and the largest; the figure of a"
        " process is the median of its\nsamples. *Quick*, *slow*: the median of the processes beside which a step of the loop"
        f" of pure Python (below) took less than {QUICK} ns, and of the\nothers, with how many they were. *Steps*: the figure in steps of that loop.\n\n"
        "| figure | median | min – max | processes | quick | slow | steps | aim | |\n|---|---|---|---|---|---|---|---|---|\n"
    )
    for figure in FIGURES:
        values = run.values(figure.key)
        if not values:
            text += f"| {figure.name} | not measured | | | | | | {figure.aim} | |\n"
            continue
        spread = Spread.of(values)
        verdict = "" if figure.aim == "–" else "met" if figure.met(spread) else "**missed**"
        low, high = figure.unit(spread.low), figure.unit(spread.high)
        text += f"| {figure.name} | {figure.unit(spread.median)} | {low} – {high} | {len(values)} | {by_pace(run, figure)} | {figure.aim} | {verdict} |\n"
    return text


def by_pace(run: Run, figure: Figure) -> str:
    """The cells of a figure by the speed of the machine."""
    paces = run.paces(figure.key)
    cells = []
    for values in ([v for v, step in paces if step < QUICK], [v for v, step in paces if step >= QUICK]):
        cells.append(f"{figure.unit(statistics.median(values))} ({len(values)})" if values else "–")
    steps = figure.unit is nanoseconds and bool(paces)
    cells.append(f"{statistics.median(value / step for value, step in paces):,.3g}" if steps else "–")
    return " | ".join(cells)


def comparison(run: Run) -> str:
    text = """## Side by side

Every system runs in a process of its own and takes its events as lines of JSON from one TCP connection, in its event
loop. What is mounted is served by uvicorn with uvloop, httptools and the websockets library, without compression; the peers
wait for events on an asyncio queue per subscriber. Each serves the same schema and the same document, which asks for all
five fields of an event, to 1,000 WebSockets of `fraiseql bench`, which checks every delivery. Server and load generator
share the machine. The systems take turns within a round, in another order each time.
"""
    if any(run.found(scenario.name, mode, ALONE) for scenario in SCENARIOS for mode in MODES):
        text += """
*uvicorn alone* is no GraphQL server but what an ASGI application pays that sends each event as it comes: it finds the subscribers of a
room in a dict, makes the text of an event once, and hands it to uvicorn for each of them, with no task, future, queue or engine in
between. A mount can be below it where events come faster than they are sent: it then takes several messages of a client at once, which
uvloop writes together.
"""
    for scenario in SCENARIOS:
        text += f"\n### {scenario.title}\n"
        for mode in MODES:
            text += (
                f"\n{introduce(run, scenario.name, mode)}\n\n{table(run, scenario.name, mode)}{ratios(run, scenario.name, mode)}"
            )
    return text


def introduce(run: Run, scenario: str, mode: str) -> str:
    index = [s.name for s in SCENARIOS].index(scenario)
    if mode == "paced":
        rate = SCENARIOS[index].rate
        return f"The same rate for all, {rate:,} events/s, which the slowest holds:"
    measured = [system for system in WINDOWS if run.found(scenario, mode, system)]
    windows = ", ".join(f"{TITLES[system]} {WINDOWS[system][index]:,}" for system in measured)
    return (
        f"As fast as each delivers: the next event is published when fewer than so many are under way: {windows}. How long"
        " a\ndelivery takes is then up to that number, and is not shown."
    )


def table(run: Run, scenario: str, mode: str) -> str:
    paced = mode == "paced"
    head = "| system | deliveries/s | CPU seconds per million deliveries | "
    head += "p50 | p99 | RSS | wrong |\n|---|---|---|---|---|---|---|\n" if paced else "wrong |\n|---|---|---|---|\n"
    rows = ""
    for system in SYSTEMS:
        results = [r["result"] for r in run.found(scenario, mode, system)]
        if not results and system == ALONE:
            continue
        rate = Spread.of(r["deliveries_per_second"] for r in results)
        cpu = Spread.of(r["server"]["cpu_seconds_per_million_deliveries"] for r in results)
        row = [
            TITLES[system],
            f"{rate.median:,.0f} ({rate.low:,.0f} – {rate.high:,.0f})",
            f"{cpu.median:.3g} ({cpu.low:.3g} – {cpu.high:.3g})",
        ]
        if paced:
            row += [nanoseconds(1000 * Spread.of(r["latency_us"][p] for r in results).median) for p in ("p50", "p99")]
            row.append(f"{Spread.of(r['server']['rss_kb'] for r in results).median / 1024:.0f} MB")
        rows += "| " + " | ".join([*row, str(run.wrong(scenario, mode, system))]) + " |\n"
    return head + rows


def ratios(run: Run, scenario: str, mode: str) -> str:
    text = "\n| CPU time per delivery, as a multiple of | " + " | ".join(TITLES[p] for p in PEERS) + " | aim |\n"
    text += "|---|" + "---|" * len(PEERS) + "---|\n"
    for ours, aim in OURS.items():
        cells = []
        for peer in PEERS:
            r = run.ratios(scenario, mode, peer, ours)
            cells.append(f"{r.median:.1f} × ({r.low:.1f} – {r.high:.1f})" + ("" if r.median >= aim else " **missed**"))
        text += f"| {TITLES[ours]} | {' | '.join(cells)} | ≥ {aim:.0f} × |\n"
    mount = run.above_alone(scenario, mode, "fraiseql-asgi")
    if mount is None:
        return text
    spreads = [run.ratios(scenario, mode, peer, ALONE) for peer in PEERS]
    cells = [f"{r.median:.1f} × ({r.low:.1f} – {r.high:.1f})" for r in spreads]
    text += f"| {TITLES[ALONE]} | {' | '.join(cells)} | – |\n"
    return (
        text
        + f"\nFraiseQL's ASGI mount takes {mount.median:.2f} × ({mount.low:.2f} – {mount.high:.2f}) of what uvicorn alone takes.\n"
    )


def commands(run: Run) -> str:
    lines = list(dict.fromkeys(r["command"] for r in run.micro + run.compared))
    return (
        "## Commands\n\n```sh\nmake bench-python   # which runs:\n"
        + "\n".join(lines)
        + f"\n```\n\nRaw results of this run: [results/{run.name}](results/{run.name}).\n"
    )
