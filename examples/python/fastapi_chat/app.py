"""A chat with rooms: people sign in over HTTP, and messages reach them over a WebSocket.

uvicorn --app-dir examples/python fastapi_chat.app:app, then http://127.0.0.1:8000 in two windows.
"""

import secrets
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.responses import FileResponse
from fraiseql.integrations.fastapi import create_subscription_router
from fraiseql.subscriptions import Identity, SubscriptionManager
from pydantic import BaseModel, Field

SCHEMA = """
type Message { room: ID! author: String! text: String! }

type Subscription {
  "What is said in one room."
  chat(room: ID!): Message! @authenticated
}
"""


class Login(BaseModel):
    name: str = Field(min_length=1, max_length=40)


class Post(BaseModel):
    text: str = Field(min_length=1, max_length=500)


manager = SubscriptionManager(schema=SCHEMA)
names: dict[str, str] = {}  # of the people who are signed in, by token


def person(authorization: str) -> str:
    """The name behind `Bearer TOKEN`."""
    name = names.get(authorization.removeprefix("Bearer "))
    if name is None:
        raise HTTPException(401, "sign in first")
    return name


def signed_in(authorization: Annotated[str, Header()] = "") -> str:
    return person(authorization)


def authenticate(params: dict[str, Any], request: Any) -> Identity:
    """Who a WebSocket belongs to. Raising refuses it."""
    return Identity(user_id=person(str(params.get("authorization"))))


app = FastAPI(title="Chat")
app.include_router(create_subscription_router(manager, "/graphql", auth_handler=authenticate))


@app.get("/", include_in_schema=False)
def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("index.html"))


@app.post("/login")
async def login(form: Login) -> dict[str, str]:
    token = secrets.token_urlsafe()
    names[token] = form.name
    return {"token": token}


@app.post("/rooms/{room}/messages")
async def say(room: str, post: Post, author: Annotated[str, Depends(signed_in)]) -> dict[str, int | None]:
    message = {"room": room, "author": author, "text": post.text}
    return {"subscriptions": await manager.publish_event("message.posted", "chat", message)}
