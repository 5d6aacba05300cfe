"""Who visits an application: a jar of cookies, and which of ours the last response has changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2

from asgi_refresh import Config

# The environment of what is served: which application, and where its files are.
NAME, FOLDER = "ASGI_REFRESH_APPLICATION", "ASGI_REFRESH_FOLDER"
BESIDE = "/beside/"  # what is not the application's: sign-in, sign-out and the clock
ACCESS, REFRESH = Config().access_cookie.name, Config().refresh_cookie.name
EXPIRY = Config().access_lifetime.total_seconds() + 1


class Visitor:
    """
    One browser profile, at an application on *port*.

    Attributes:
        jar: The cookies that are sent.
        changed: The names of our cookies that came with the last response.
    """

    def __init__(self, port: int) -> None:
        self.host = f"127.0.0.1:{port}"
        self.jar: dict[str, str] = {}
        self.changed: set[str] = set()

    def headers(self, **more: str) -> dict[str, str]:
        """Return what a page of the application's own sends."""
        own = {"Origin": f"http://{self.host}", "Sec-Fetch-Site": "same-origin", **more}
        if self.jar:
            own["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        return own

    def take(self, lines: Iterable[str]) -> None:
        """Keep the cookies of Set-Cookie *lines*."""
        self.changed = set()
        for line in lines:
            pair, _, attributes = line.partition(";")
            name, _, value = pair.partition("=")
            self.jar[name] = value
            if "max-age=0" in attributes.lower():
                del self.jar[name]
            if name in (ACCESS, REFRESH):
                self.changed.add(name)

    @contextmanager
    def streaming(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **body: Any
    ) -> Iterator[httpx2.Response]:
        """Send a request, and keep the cookies as soon as the response has begun."""
        url, own = f"http://{self.host}{path}", self.headers(**headers or {})
        with httpx2.stream(method, url, headers=own, timeout=20, **body) as response:
            self.take(response.headers.get_list("set-cookie"))
            yield response

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **body: Any
    ) -> httpx2.Response:
        """Send a request, and return its response whole."""
        with self.streaming(method, path, headers, **body) as response:
            response.read()
        return response

    def sign_in(self) -> None:
        self.ask("POST", f"{BESIDE}login")

    def sign_out(self) -> None:
        self.ask("POST", f"{BESIDE}logout")

    def expire(self) -> None:
        """Let every access token end."""
        self.ask("POST", f"{BESIDE}advance/{EXPIRY}")
