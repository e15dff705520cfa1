"""An application that other processes publish into: one route, one token.

export EVENTS_TOKEN=$(openssl rand -hex 16)
uvicorn --app-dir examples/python publisher_worker.app:app
python examples/python/publisher_worker/worker.py
"""

import os
import secrets
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException
from fraiseql.integrations.fastapi import create_subscription_router
from fraiseql.subscriptions import SubscriptionManager
from pydantic import BaseModel, ConfigDict

SCHEMA = """
type Report { id: ID! progress: Int! }
type Subscription { report(id: ID!): Report! @source(channel: "reports") }
"""
TOKEN = os.environ["EVENTS_TOKEN"]
CHANNELS = {"reports"}  # that the worker may publish to


class Incoming(BaseModel):
    """One event. What is not named here is refused."""

    model_config = ConfigDict(extra="forbid")
    type: str
    channel: str
    data: dict[str, Any]
    id: str | None = None


def publisher(authorization: Annotated[str, Header()] = "") -> None:
    """Lets those in who know the token; the comparison takes equally long for every wrong one."""
    if not secrets.compare_digest(authorization.encode(), f"Bearer {TOKEN}".encode()):
        raise HTTPException(401, "wrong token")


manager = SubscriptionManager(schema=SCHEMA)
app = FastAPI(title="Reports")
app.include_router(create_subscription_router(manager, "/graphql", anonymous=True))


@app.post("/events", status_code=202, dependencies=[Depends(publisher)])
async def publish(events: list[Incoming]) -> dict[str, int]:
    if any(event.channel not in CHANNELS for event in events):
        raise HTTPException(403, "not a channel of yours")
    try:
        for event in events:
            await manager.publish_event(event.type, event.channel, event.data, id=event.id)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    return {"accepted": len(events)}
