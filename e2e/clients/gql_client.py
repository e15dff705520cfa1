"""PyPI gql over its websockets or its aiohttp transport, reconnecting.

Takes the transport's name and one JSON argument {url, tokens, query, variables}; prints and stops like the Node
scripts (see harness.mjs).
"""

import asyncio
import contextlib
import json
import sys

from gql import Client, gql
from gql.transport.aiohttp_websockets import AIOHTTPWebsocketsTransport
from gql.transport.exceptions import TransportError, TransportQueryError
from gql.transport.websockets import WebsocketsTransport
from graphql import GraphQLError

TRANSPORTS = {"websockets": WebsocketsTransport, "aiohttp": AIOHTTPWebsocketsTransport}


def tell(**line) -> None:
    print(json.dumps(line), flush=True)


def closed_by_peer(error: Exception) -> bool:
    """Whether an exception means that the connection was lost; both transports have their own kinds."""
    return isinstance(error, (TransportError, ConnectionError, asyncio.IncompleteReadError)) or type(
        error
    ).__name__.startswith("ConnectionClosed")


async def receive(task: dict) -> None:
    """Connects and subscribes again after each loss, until the operation is refused, completes or the task is cancelled.

    Each try has a transport of its own and subscribes on a session that has its ack. connect_async(reconnecting=True) does not keep
    to that: while it connects again, subscribe sends on the socket that has no ack yet, the server closes it with 4401, as the
    protocol has it, and then gql waits forever: subscribe for an answer, the connecting loop for the end of a connection that it
    takes for open.
    """
    request = gql(task["query"])
    request.variable_values = task.get("variables")
    while True:
        transport = TRANSPORTS[sys.argv[1]](
            url=task["url"],
            subprotocols=["graphql-transport-ws"],
            init_payload={"authorization": f"Bearer {task['tokens'][0]}"},
        )
        try:
            async with Client(transport=transport) as session:
                async for data in session.subscribe(request):
                    tell(next={"data": data})
            tell(complete=True)
            return
        except TransportQueryError as error:
            tell(error=[e.formatted if isinstance(e, GraphQLError) else e for e in error.errors or []])
            return
        except Exception as error:
            if not closed_by_peer(error):
                raise
            await asyncio.sleep(0.05)


async def main() -> None:
    receiving = asyncio.create_task(receive(json.loads(sys.argv[2])))
    await asyncio.to_thread(sys.stdin.read)
    receiving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await receiving


asyncio.run(main())
