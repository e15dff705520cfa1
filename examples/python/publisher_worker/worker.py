"""A worker that only publishes. It needs nothing but the standard library."""

import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid
from typing import Any

URL = os.environ.get("EVENTS_URL", "http://127.0.0.1:8000/events")


def publish(*events: dict[str, Any]) -> None:
    """Posts events, again and again while the application cannot be reached.

    Each keeps its id over all attempts, so that a bus which knows the id already drops the repeated one.
    """
    body = json.dumps([{"id": str(uuid.uuid4()), **event} for event in events]).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ['EVENTS_TOKEN']}"}
    for attempt in range(6):
        try:
            with urllib.request.urlopen(urllib.request.Request(URL, body, headers), timeout=10):
                return
        except urllib.error.HTTPError as error:
            if error.code < 500:
                sys.exit(f"refused with {error.code}: {error.read().decode()}")
        except urllib.error.URLError as error:
            print(f"cannot reach {URL}: {error.reason}", file=sys.stderr)
        time.sleep(0.2 * 2**attempt)
    sys.exit(f"gave up on {URL}")


def main() -> None:
    report = sys.argv[1] if len(sys.argv) > 1 else "1"
    for progress in range(0, 101, 25):
        publish({"type": "report.progressed", "channel": "reports", "data": {"id": report, "progress": progress}})


if __name__ == "__main__":
    main()
