"""What requests are made of: the application, the headers of a browser, and a small browser."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from asgi_refresh import Tokens

Message = dict[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]

HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"2")]

BROWSER = [
    (b"host", b"app.example"),
    (b"connection", b"keep-alive"),
    (b"sec-ch-ua", b'"Chromium";v="156", "Not.A/Brand";v="99"'),
    (b"sec-ch-ua-mobile", b"?0"),
    (b"sec-ch-ua-platform", b'"Linux"'),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/156.0.0.0"),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"sec-fetch-site", b"same-origin"),
    (b"sec-fetch-mode", b"cors"),
    (b"sec-fetch-dest", b"empty"),
    (b"referer", b"https://app.example/dashboard"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"accept-language", b"en-GB,en;q=0.9"),
]
NOISE = [f"_ga_{n}=GS1.1.{n}7955{n}9956.1.0.179559995{n}.0.0.0" for n in range(6)]


def quiet(_event: object) -> None:
    """Keep events out of the measurement."""


async def bare(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b"ok"})


def scopes(
    cookies: list[str], *, method: str = "GET", extra: tuple[tuple[bytes, bytes], ...] = ()
) -> Callable[[], dict[str, Any]]:
    """Return a factory of scopes as a server makes them: every bytes object is a new one."""
    header = "; ".join(cookies).encode()
    fields = [*BROWSER, *extra, *([(b"cookie", header)] if cookies else [])]

    def scope() -> dict[str, Any]:
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "https",
            "path": "/dashboard",
            "raw_path": b"/dashboard",
            "query_string": b"",
            "root_path": "",
            "headers": [(bytes(bytearray(n)), bytes(bytearray(v))) for n, v in fields],
            "client": ("192.0.2.7", 51234),
            "server": ("app.example", 443),
            "state": {},
        }

    return scope


class Clock:
    """Seconds since the epoch, which only move when told to."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Browser:
    """A jar with the two cookies of one session, in front of one application."""

    def __init__(self, app: App, tokens: Tokens) -> None:
        self._app = app
        self.jar = {
            "__Host-access": tokens.access_token,
            "__Host-refresh": tokens.refresh_token,
        }

    def get(self) -> Coroutine[Any, Any, int]:
        """
        Send a request with the cookies of this moment; keep what cookies come.

        Returns:
            How many those were.
        """
        return self._send([*NOISE, *(f"{name}={value}" for name, value in self.jar.items())])

    async def _send(self, cookies: list[str]) -> int:
        messages: list[Message] = []

        async def send(message: Message) -> None:
            messages.append(message)

        await self._app(scopes(cookies)(), receive, send)
        came = [value for name, value in messages[0]["headers"] if name == b"set-cookie"]
        for cookie in came:
            name, _, value = cookie.decode().partition(";")[0].partition("=")
            self.jar[name] = value
        return len(came)


async def receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}
