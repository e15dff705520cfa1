"""No framework: two endpoints of plain ASGI, HTTP to publish and a WebSocket to subscribe.

    uvicorn --app-dir examples/python asgi_plain.app:app
    curl -d '{"id": "1", "total": 12.5}' http://127.0.0.1:8000/orders

The same SubscriptionApp mounts into Litestar, Quart, Django and whatever else speaks ASGI.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fraiseql.integrations.asgi import SubscriptionApp
from fraiseql.subscriptions import SubscriptionManager

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LARGEST = 65536  # bytes of an order

SCHEMA = """
type Order { id: ID! total: Float! }
type Subscription { orders(minTotal: Float @match(path: "total", op: GTE)): Order! }
"""

manager = SubscriptionManager(schema=SCHEMA)
subscriptions = SubscriptionApp(manager, anonymous=True)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await publish(scope, receive, send)
    else:  # websocket and lifespan
        await subscriptions(scope, receive, send)


async def publish(scope: Scope, receive: Receive, send: Send) -> None:
    """Publishes the body of a request as it is: the engine wants a JSON object and says what is wrong with others."""
    body, more = b"", True
    while more and len(body) <= LARGEST:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    try:
        if len(body) > LARGEST:
            await answer(send, 413, "too large")
        else:
            await answer(send, 202, f"reached {await manager.publish_event('order.placed', 'orders', body)}")
    except ValueError as error:
        await answer(send, 400, str(error))


async def answer(send: Send, status: int, text: str) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": text.encode()})
