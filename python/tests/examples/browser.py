"""Drives a headless Chromium over its DevTools protocol."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from live import PATIENCE, until
from websockets.sync.client import connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--remote-debugging-port=0",
]


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with a profile of its own."""
    program = next((path for name in (os.environ.get("CHROMIUM", ""), *NAMES) if name and (path := shutil.which(name))), None)
    assert program, "no Chromium found: `make deps` installs it, or set CHROMIUM to its path"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        port_file = Path(profile, "DevToolsActivePort")
        process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            # The file is there before its two lines are.
            port, path = until(lambda: port_file.exists() and re.findall(r"(.+)\n(.+)", port_file.read_text()), "it listens")[0]
            with connect(f"ws://127.0.0.1:{port}{path}", max_size=None, open_timeout=PATIENCE) as socket:
                browser = Browser(socket)
                yield browser
                browser.call("Browser.close")
            process.wait(PATIENCE)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


class Browser:
    """One connection to the browser, and what its pages complained about."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.numbers = itertools.count(1)
        self.problems: list[str] = []

    def call(self, method: str, session: str | None = None, **params: Any) -> Any:
        number = next(self.numbers)
        command = {"id": number, "method": method, "params": params, **({"sessionId": session} if session else {})}
        self.socket.send(json.dumps(command))
        while (answer := json.loads(self.socket.recv(timeout=PATIENCE))).get("id") != number:
            self._notice(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def _notice(self, event: dict[str, Any]) -> None:
        method, params = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.problems.append(str(params["exceptionDetails"]))
        if method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.problems.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    def open(self, url: str) -> Page:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        page = Page(self, self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        for domain in ("Runtime", "Log", "Page"):
            self.call(f"{domain}.enable", page.session)
        self.call("Page.navigate", page.session, url=url)
        page.wait("location.href !== 'about:blank' && document.readyState === 'complete'")
        return page


class Page:
    """One tab."""

    def __init__(self, browser: Browser, session: str) -> None:
        self.browser, self.session = browser, session

    def evaluate(self, expression: str) -> Any:
        result = self.browser.call("Runtime.evaluate", self.session, expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, expression: str) -> None:
        until(lambda: self.evaluate(expression), expression)

    def picture(self, name: str, dark: bool = False) -> None:
        """Writes a screenshot into the folder that SCREENSHOTS names, if it is set."""
        if folder := os.environ.get("SCREENSHOTS"):
            self.browser.call("Page.bringToFront", self.session)
            scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
            self.browser.call("Emulation.setEmulatedMedia", self.session, features=scheme)
            size = {"width": 1000, "height": 600, "deviceScaleFactor": 1, "mobile": False}
            self.browser.call("Emulation.setDeviceMetricsOverride", self.session, **size)
            self.evaluate("new Promise((resolve) => setTimeout(resolve, 300))")
            Path(folder, f"{name}.png").write_bytes(b64decode(self.browser.call("Page.captureScreenshot", self.session)["data"]))
