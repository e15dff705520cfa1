"""A dashboard of this machine: a task samples, whoever looks subscribes to what interests them.

uvicorn --app-dir examples/python starlette_dashboard.app:app, then http://127.0.0.1:8000
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fraiseql.integrations.starlette import add_subscription_routes
from fraiseql.subscriptions import Event, Skip, SubscriptionManager
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

INTERVAL = 0.25  # seconds

SCHEMA = """
type Metric { name: ID! value: Float! unit: String! }
type Alert { text: String! }

type Subscription {
  "Every sample of the metrics that are named, or of all."
  metric(names: [ID!] @match(path: "name", op: IN)): Metric! @source(channel: "metrics")
  "When the loop answers late."
  alert: Alert! @source(channel: "metrics")
}
"""

manager = SubscriptionManager(schema=SCHEMA)


@manager.resolver("alert")
def alert(event: Event) -> dict[str, str]:
    """Called once per sample, whatever the number of those who watch."""
    if event.data["name"] != "lag" or event.data["value"] < 50:
        raise Skip
    return {"text": f"the event loop was {event.data['value']} ms late"}


async def sample() -> None:
    """Publishes this machine's load, this process's use of a processor, and how late the event loop is."""
    due, used = time.monotonic(), time.process_time()
    while True:
        due += INTERVAL
        await asyncio.sleep(due - time.monotonic())
        late, before, used = time.monotonic() - due, used, time.process_time()
        values = {
            "load": (os.getloadavg()[0], "processes"),
            "cpu": ((used - before) / INTERVAL * 100, "%"),
            "lag": (late * 1000, "ms"),
        }
        for name, (value, unit) in values.items():
            data = {"name": name, "value": round(value, 2), "unit": unit}
            await manager.publish_event("sample", "metrics", data)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    sampling = asyncio.create_task(sample())
    yield
    sampling.cancel()
    with suppress(asyncio.CancelledError):
        await sampling


async def page(request: Request) -> FileResponse:
    return FileResponse(Path(__file__).with_name("index.html"))


app = Starlette(routes=[Route("/", page)], lifespan=lifespan)
add_subscription_routes(app, manager, "/graphql", anonymous=True)
