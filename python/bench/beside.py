"""`next_event` in a process whose `manager.serve()` is busy with WebSocket clients: how long do the calls take?

    python beside.py [--short]

100 clients of `fraiseql bench` receive as fast as the server delivers. One subscription without a socket receives the
same events; a thread takes its messages, and each call is timed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
import time

from compare import COMMAND, QUERY
from measure import quantile
from peers import fraiseql_serve_peer as peer
from peers.source import Lines


def take(stop: threading.Event, found: list[float], empty: list[float]) -> None:
    """Takes what has come every millisecond, one message after the other."""
    executor, clock = peer.manager.executor, time.perf_counter_ns
    while not stop.is_set():
        time.sleep(0.001)
        while True:
            t0 = clock()
            message = executor.next_event("s")
            took = float(clock() - t0)
            if message is None:
                empty.append(took)
                break
            found.append(took)


async def run(*, short: bool) -> dict[str, list[float]]:
    url = await peer.serve()
    executor = peer.manager.executor
    executor.register_subscription("c", "s", QUERY, variables={"room": 0})
    events = await asyncio.get_running_loop().create_server(lambda: Lines(peer.publish), "127.0.0.1", 0)
    publish_url = f"tcp://127.0.0.1:{events.sockets[0].getsockname()[1]}"
    seconds, clients = ("300ms", "10") if short else ("4s", "100")
    load = await asyncio.create_subprocess_exec(
        COMMAND, "bench", "--json", "--url", url, "--publish-url", publish_url, "--channel", "tick", "--query", QUERY,
        "-c", clients, "--window", "400", "-d", seconds, "--warmup", "500ms", stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    stop, found, empty = threading.Event(), list[float](), list[float]()
    taker = threading.Thread(target=take, args=(stop, found, empty))
    taker.start()
    out, _ = await load.communicate()
    stop.set()
    taker.join()
    result = json.loads(out)
    if load.returncode != 0 or not found:
        raise AssertionError(f"fraiseql bench ended with {load.returncode}: {result.get('problem')}")
    return {
        "beside_next_p50": [quantile(found, 0.5)],
        "beside_next_p99": [quantile(found, 0.99)],
        "beside_next_max": [max(found)],
        "beside_empty_p99": [quantile(empty, 0.99)],
        "beside_deliveries_per_second": [result["deliveries_per_second"]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true")
    print(json.dumps(asyncio.run(run(short=parser.parse_args().short))))


if __name__ == "__main__":
    main()
