"""
Three engines: Chromium by Playwright, Firefox ESR by WebDriver BiDi, WebKitGTK by WebDriver.

Each opens a page of the application, and its scripts ask for the rest.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.processes import folder, free_port, running

from .programs import first_line, found
from .session import Ask, Client, Missing, Requests

_PAGE = "/"  # a 404 in plain text; JSON is shown by a page of Firefox's own
_FETCH = """
Promise.all(%s.map(async ([method, path]) => {
  const response = await fetch(path, { method });
  return [response.status, await response.text()];
}))
"""


def _script(requests: Requests) -> str:
    return _FETCH.strip() % json.dumps(list(requests))


# --- Chromium ------------------------------------------------------------------------------------


@contextmanager
def _chromium(origin: str, _: Path) -> Iterator[Ask]:
    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import FLAGS

    with sync_playwright() as playwright:
        binary = found("chromium", "chromium")
        browser = playwright.chromium.launch(executable_path=binary, args=FLAGS)
        page = browser.new_context(ignore_https_errors=True).new_page()
        page.goto(origin + _PAGE)
        yield lambda requests: [(status, body) for status, body in page.evaluate(_script(requests))]
        browser.close()


# --- Firefox -------------------------------------------------------------------------------------


class _BiDi:
    """One WebDriver BiDi session."""

    def __init__(self, url: str) -> None:
        from websockets.sync.client import connect

        self._socket = connect(f"{url}/session", max_size=None, proxy=None)
        self._number = 0

    def call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=60))
            if message.get("id") == self._number:
                if message["type"] != "success":
                    raise RuntimeError(f"{method}: {message}")
                return message["result"]

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.call("browser.close")
        self._socket.close()


@contextmanager
def _firefox(origin: str, _: Path) -> Iterator[Ask]:
    binary = found("firefox-esr", "firefox-esr")
    with folder("conformance-firefox-") as path:
        port = free_port()
        command = [binary, "--headless", "--no-remote", "--profile", str(path / "store")]
        command += [f"--remote-debugging-port={port}", "about:blank"]
        with running(command, path / "output", port, {"HOME": str(path)}):
            bidi = _BiDi(f"ws://127.0.0.1:{port}")
            always = {"acceptInsecureCerts": True}
            bidi.call("session.new", capabilities={"alwaysMatch": always})
            context = bidi.call("browsingContext.getTree")["contexts"][0]["context"]
            url = origin + _PAGE
            bidi.call("browsingContext.navigate", context=context, url=url, wait="complete")

            def ask(requests: Requests) -> list[tuple[int, str]]:
                expression = f"{_script(requests)}.then(JSON.stringify)"
                result = bidi.call(
                    "script.evaluate",
                    expression=expression,
                    target={"context": context},
                    awaitPromise=True,
                )
                if result["type"] != "success":
                    raise RuntimeError(str(result))
                return [(status, body) for status, body in json.loads(result["result"]["value"])]

            try:
                yield ask
            finally:
                bidi.close()


# --- WebKitGTK -----------------------------------------------------------------------------------

_MINIBROWSERS = "/usr/lib/*/webkit2gtk-4.*/MiniBrowser"


def _minibrowser() -> str:
    binary = next(iter(sorted(Path("/").glob(_MINIBROWSERS[1:]))), None)
    if binary is None:
        raise Missing("MiniBrowser is not installed; on Debian: apt-get install webkit2gtk-driver")
    return str(binary)


@contextmanager
def _display(path: Path) -> Iterator[str]:
    """Run a display without a screen, unless there is one."""
    if display := os.environ.get("DISPLAY"):
        yield display
        return
    with (path / "output-display").open("wb") as output:
        command = [found("Xvfb", "xvfb"), "-displayfd", "1", "-nolisten", "tcp"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=output)
    assert process.stdout is not None
    try:
        yield f":{process.stdout.readline().decode().strip()}"
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


class _WebDriver:
    """One session of W3C WebDriver."""

    def __init__(self, port: int, capabilities: dict[str, Any]) -> None:
        self._base = f"http://127.0.0.1:{port}/session"
        made = self._post("", {"capabilities": {"alwaysMatch": capabilities}})
        self._base += f"/{made['sessionId']}"

    def _post(self, path: str, body: dict[str, Any], method: str = "POST") -> Any:
        request = urllib.request.Request(
            self._base + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            return json.load(answer)["value"]

    def open(self, url: str) -> None:
        self._post("/url", {"url": url})

    def evaluate(self, expression: str) -> Any:
        script = f"const done = arguments[0]; {expression}.then(done, (e) => done(String(e)))"
        return self._post("/execute/async", {"script": script, "args": []})

    def close(self) -> None:
        self._post("", {}, "DELETE")


@contextmanager
def _webkit(origin: str, _: Path) -> Iterator[Ask]:
    driver, binary = found("WebKitWebDriver", "webkit2gtk-driver"), _minibrowser()
    with folder("conformance-webkit-") as path, _display(path) as display:
        port = free_port()
        environment = {
            "DISPLAY": display,
            "HOME": str(path),
            "WEBKIT_DISABLE_COMPOSITING_MODE": "1",
        }
        with running([driver, f"--port={port}"], path / "output", port, environment):
            options = {"binary": binary, "args": ["--automation"]}
            session = _WebDriver(
                port, {"acceptInsecureCerts": True, "webkitgtk:browserOptions": options}
            )
            session.open(origin + _PAGE)
            try:
                yield lambda requests: [
                    (status, body) for status, body in session.evaluate(_script(requests))
                ]
            finally:
                session.close()


def _webkit_version() -> str:
    with folder("conformance-webkit-") as path, _display(path) as display:
        return _number("env", f"DISPLAY={display}", _minibrowser(), "--version")


def _number(*command: str) -> str:
    return re.sub(r"^\D*", "", first_line(*command)).split()[0]


BROWSERS = [
    Client("Chromium", lambda: _number(found("chromium", "chromium"), "--version"), _chromium),
    Client(
        "Firefox ESR", lambda: _number(found("firefox-esr", "firefox-esr"), "--version"), _firefox
    ),
    Client("WebKitGTK", _webkit_version, _webkit),
]
