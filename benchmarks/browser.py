"""What requests are made of: the application, the headers of a browser, and a small browser."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from asgi_refresh import Tokens

Message = dict[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]

# Each response has a list of its own: some middleware appends to it.
HEADERS = ((b"content-type", b"text/plain"), (b"content-length", b"2"))

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


SECRET = "a-secret-of-at-least-32-bytes-for-benchmarks"
CLAIMS = {"scope": "read write", "role": "member"}


def quiet(_event: object) -> None:
    """Keep events out of the measurement."""


async def bare(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS]})
    await send({"type": "http.response.body", "body": b"ok"})


async def bare_websocket(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": 1000})


@dataclass(frozen=True)
class Request:
    """
    What is asked, and what must be answered for its time to count.

    Attributes:
        cookies: Each "name=value", in the order in which they are sent.
        status: Of the answer; 101 for a WebSocket that is accepted.
        set_cookies: How many Set-Cookie headers the answer has.
        who: Reads the subject out of the scope once the request is over; it must be "alice". None:
            the status says who it was, or nobody was asked.
        headers: Besides those of every browser.
    """

    cookies: Sequence[str] = ()
    status: int = 200
    set_cookies: int = 0
    who: Callable[[Any], object] | None = None
    method: str = "GET"
    type: str = "http"
    headers: Sequence[tuple[bytes, bytes]] = ()

    def cookie(self) -> bytes:
        """Return the Cookie header."""
        return "; ".join(self.cookies).encode()

    def scope(self) -> dict[str, Any]:
        """Return a scope as a server makes it: every bytes object is a new one."""
        fields = [*BROWSER, *self.headers]
        if self.cookies:
            fields.append((b"cookie", self.cookie()))
        scope: dict[str, Any] = {
            "type": self.type,
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
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
        if self.type == "http":
            return {**scope, "method": self.method}
        return {**scope, "scheme": "wss", "subprotocols": []}

    def check(self, scope: Any, messages: Sequence[Message]) -> None:
        """
        Look at the answer.

        Raises:
            AssertionError: It is not the one that is measured.
        """
        start = messages[0]
        status = 101 if start["type"] == "websocket.accept" else start.get("status")
        assert status == self.status, f"{start}, not {self.status}"
        count = sum(name.lower() == b"set-cookie" for name, _ in start.get("headers", ()))
        assert count == self.set_cookies, f"{count} cookies, not {self.set_cookies}"
        if self.who is not None:
            assert self.who(scope) == "alice", f"it was {self.who(scope)!r}"


def forged(cookie: str) -> str:
    """Return a cookie that holds a JWT with its last signature bytes replaced."""
    return cookie[:-6] + "AAAAAA"


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

        await self._app(Request(cookies).scope(), receive, send)
        came = [value for name, value in messages[0]["headers"] if name == b"set-cookie"]
        for cookie in came:
            name, _, value = cookie.decode().partition(";")[0].partition("=")
            self.jar[name] = value
        return len(came)


async def receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}
