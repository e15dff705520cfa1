"""What any mount pays: uvicorn sends a ready text for each delivery, and nothing else is done.

There is no engine and no GraphQL: it says what `fraiseql bench` waits for, cuts the data out of the line that it came in,
and hands the text to uvicorn without a task or a future.
"""

from __future__ import annotations

import asyncio
import json

from peers.source import ASGIApp, Receive, Scope, Send

rooms: dict[int, list[tuple[str, Send]]] = {}


class Lines(asyncio.Protocol):
    """Where events come in: lines of which only the number of the room is read."""

    def __init__(self) -> None:
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        lines, _, self._rest = (self._rest + data).rpartition(b"\n")
        if lines:
            for line in lines.decode().split("\n"):
                publish(line)


def publish(line: str) -> None:
    event = line[line.index('"data":') + 7 : -1]
    start = event.index('"room":') + 7
    before = text = ""
    for operation, send in rooms.get(int(event[start : event.index(",", start)]), ()):
        if operation != before:
            before, text = operation, f'{{"id":"{operation}","type":"next","payload":{{"data":{{"tick":{event}}}}}}}'
        try:
            send({"type": "websocket.send", "text": text}).__await__().__next__()
        except StopIteration:
            continue
        raise RuntimeError("the client does not read")


async def websocket(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "websocket"
    mine: list[tuple[int, tuple[str, Send]]] = []
    while (message := await receive())["type"] != "websocket.disconnect":
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept", "subprotocol": "graphql-transport-ws"})
            continue
        said = json.loads(message["text"])
        if said["type"] == "connection_init":
            await send({"type": "websocket.send", "text": '{"type":"connection_ack"}'})
        elif said["type"] == "ping":
            await send({"type": "websocket.send", "text": '{"type":"pong"}'})
        elif said["type"] == "subscribe":
            room, one = int(said["payload"]["variables"]["room"]), (str(said["id"]), send)
            rooms.setdefault(room, []).append(one)
            mine.append((room, one))
    for room, one in mine:
        rooms[room].remove(one)


def create() -> ASGIApp:
    return websocket
