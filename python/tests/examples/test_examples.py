"""Runs every example as its first lines say, with a real server and real clients."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

import pytest
from browser import chromium
from gql import Client as GQLClient
from gql import gql
from gql.transport.websockets import WebsocketsTransport
from live import EXAMPLES, PATIENCE, Client, post, until, uvicorn

pytestmark = pytest.mark.timeout(120)

CHAT = "subscription ($room: ID!) { chat(room: $room) { author text } }"


def login(url: str, name: str) -> str:
    status, answer = post(url + "/login", {"name": name})
    assert status == 200
    return str(answer["token"])


def say(url: str, token: str, room: str, text: str) -> int:
    status, answer = post(f"{url}/rooms/{room}/messages", {"text": text}, token)
    assert status == 200, answer
    return int(answer["subscriptions"])


def test_chat() -> None:
    with uvicorn("fastapi_chat.app:app") as url:
        anne, bram = login(url, "Anne"), login(url, "Bram")
        with (
            Client(url, {"authorization": f"Bearer {anne}"}) as lobby,
            Client(url, {"authorization": f"Bearer {bram}"}) as garden,
        ):
            lobby.subscribe("chat", CHAT, room="lobby")
            garden.subscribe("chat", CHAT, room="garden")
            until(lambda: say(url, bram, "lobby", "first") == 1, "a subscription in the lobby")
            until(lambda: say(url, bram, "garden", "first") == 1, "a subscription in the garden")
            assert lobby.next("chat") == {"chat": {"author": "Bram", "text": "first"}}
            assert garden.next("chat") == {"chat": {"author": "Bram", "text": "first"}}

            # What is said in the lobby does not arrive in the garden, where what is said after it does.
            say(url, anne, "lobby", "only for the lobby")
            say(url, anne, "garden", "for the garden")
            assert lobby.next("chat") == {"chat": {"author": "Anne", "text": "only for the lobby"}}
            assert garden.next("chat") == {"chat": {"author": "Anne", "text": "for the garden"}}

            lobby.send(id="chat", type="complete")
            until(lambda: say(url, anne, "lobby", "after") == 0, "nobody in the lobby")

        assert post(url + "/rooms/lobby/messages", {"text": "hello"}, "wrong")[0] == 401
        for payload in ({"authorization": "Bearer wrong"}, {"authorization": ""}, {}, None):
            assert Client(url, payload).closed() == 4403


@pytest.mark.full
def test_chat_in_a_browser() -> None:
    enter = "byId('name').value = '{}', byId('login').requestSubmit(), true"
    talk = "byId('text').value = '{}', byId('post').requestSubmit(), true"
    with uvicorn("fastapi_chat.app:app") as url, chromium() as browser:
        anne, bram = browser.open(url), browser.open(url)
        anne.evaluate(enter.format("Anne"))
        bram.evaluate(enter.format("Bram"))
        for page in (anne, bram):
            page.wait("byId('status').textContent === 'in lobby'")
        assert anne.evaluate("[byId('login').offsetHeight > 0, byId('post').offsetHeight > 0]") == [False, True]
        bram.wait(f"({talk.format('hello?')}, byId('messages').innerText.includes('Bram: hello?'))")
        anne.wait(f"({talk.format('<b>Hi</b> Bram')}, byId('messages').innerText.includes('Anne: <b>Hi</b> Bram'))")
        bram.wait("byId('messages').innerText.includes('Anne: <b>Hi</b> Bram')")
        anne.picture("chat")
        anne.picture("chat-dark", dark=True)
        assert browser.problems == []


def test_dashboard() -> None:
    with uvicorn("starlette_dashboard.app:app") as url, Client(url) as client:
        client.subscribe("load", 'subscription { metric(names: ["load"]) { name value unit } }')
        for _ in range(2):
            metric = client.next("load")["metric"]
            assert (metric["name"], metric["unit"]) == ("load", "processes")
            assert metric["value"] >= 0


@pytest.mark.full
def test_dashboard_in_a_browser() -> None:
    drawn = "document.querySelector('#{} polyline').getAttribute('points')?.split(' ').length >= 3"
    with uvicorn("starlette_dashboard.app:app") as url, chromium() as browser:
        page = browser.open(url)
        for name in ("load", "cpu", "lag"):
            page.wait(drawn.format(name))
        assert page.evaluate("document.getElementById('status').textContent") == "live"
        if os.environ.get("SCREENSHOTS"):
            page.wait(drawn.format("load").replace("3", "40"))
        page.picture("dashboard")
        page.picture("dashboard-dark", dark=True)
        assert browser.problems == []


def test_plain_asgi() -> None:
    with uvicorn("asgi_plain.app:app") as url, Client(url) as client:
        client.subscribe("large", "subscription { orders(minTotal: 100) { id total } }")
        large = b'{"id": "1", "total": 250}'
        until(lambda: post(url + "/orders", large) == (202, "reached 1"), "the subscription")
        assert client.next("large") == {"orders": {"id": "1", "total": 250}}
        assert post(url + "/orders", b'{"id": "2", "total": 20}') == (202, "reached 0")
        assert post(url + "/orders", b'{"id": "3", "total": 300}') == (202, "reached 1")
        assert client.next("large") == {"orders": {"id": "3", "total": 300}}
        for broken in (b"{", b"[1]", b'"text"', b""):
            assert post(url + "/orders", broken)[0] == 400
        assert post(url + "/orders", b'{"text": "' + b"x" * 70_000 + b'"}')[0] == 413


def test_worker_that_publishes() -> None:
    token = "sixteen bytes or more"
    report = {"type": "report.progressed", "channel": "reports", "data": {"id": "7", "progress": 0}}
    with uvicorn("publisher_worker.app:app", EVENTS_TOKEN=token) as url, Client(url) as client:
        client.subscribe("seven", 'subscription { report(id: "7") { progress } }')
        # Until the subscription is there; its own messages are told by their progress.
        until(lambda: post(url + "/events", [report], token)[0] == 202 and _waits(client), "the subscription")

        def work(key: str) -> subprocess.CompletedProcess[str]:
            environment = {**os.environ, "EVENTS_URL": url + "/events", "EVENTS_TOKEN": key}
            command = [sys.executable, "-X", "dev", "-W", "error", str(EXAMPLES / "publisher_worker/worker.py"), "7"]
            return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)

        done = work(token)
        assert (done.returncode, done.stderr) == (0, "")
        received = [client.next("seven")["report"]["progress"]]
        while received[-1] != 100:
            received.append(client.next("seven")["report"]["progress"])
        assert [progress for progress in received if progress] == [25, 50, 75, 100]

        refused = work("a wrong token")
        assert refused.returncode == 1
        assert "refused with 401" in refused.stderr
        assert post(url + "/events", [{**report, "channel": "others"}], token)[0] == 403
        assert post(url + "/events", [{**report, "tenant": "acme"}], token)[0] == 422
        assert post(url + "/events", [{**report, "id": "with a space"}], token)[0] == 422


def _waits(client: Client) -> bool:
    """Whether a message comes, which is taken."""
    try:
        client.socket.recv(timeout=0.05)
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("app", ["strawberry_subscriptions.app:app", "ariadne_subscriptions.app:app"])
def test_queries_there_subscriptions_here(app: str) -> None:
    add = "mutation ($title: String!, $author: String!) { addBook(title: $title, author: $author) { id } }"

    async def subscribe(url: str) -> dict[str, object]:
        """Subscribes with gql, and adds books until one arrives."""
        transport = WebsocketsTransport(url=url.replace("http", "ws") + "/graphql", subprotocols=["graphql-transport-ws"])
        async with GQLClient(transport=transport) as session:
            results = session.subscribe(gql('subscription { bookAdded(author: "Borges") { id title author } }'))
            adding = asyncio.create_task(add_books(url))
            try:
                async for result in results:
                    return dict(result["bookAdded"])
                raise AssertionError("the subscription ended")
            finally:
                await results.aclose()
                adding.cancel()

    async def add_books(url: str) -> None:
        while True:
            for author in ("Calvino", "Borges"):
                variables = {"title": "Labyrinths", "author": author}
                status, answer = await asyncio.to_thread(post, url + "/graphql", {"query": add, "variables": variables})
                assert (status, answer.get("errors")) == (200, None), answer
            await asyncio.sleep(0.05)

    with uvicorn(app) as url:
        book = asyncio.run(asyncio.wait_for(subscribe(url), PATIENCE))
        assert (book["title"], book["author"]) == ("Labyrinths", "Borges")
        status, answer = post(url + "/graphql", {"query": "{ books { id author } }"})
        assert status == 200
        assert {"id": book["id"], "author": "Borges"} in answer["data"]["books"], json.dumps(answer)


def test_resolver_beside_strawberry() -> None:
    add = {"query": 'mutation { addBook(title: "Ficciones", author: "Borges") { id } }'}
    with uvicorn("strawberry_subscriptions.app:app") as url, Client(url) as client:
        client.subscribe("count", "subscription { bookCount }")
        until(lambda: post(url + "/graphql", add)[0] == 200 and _waits(client), "the subscription")
        assert post(url + "/graphql", add)[0] == 200
        assert client.next("count")["bookCount"] >= 2
