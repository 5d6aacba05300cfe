"""
What the black-box tests stand on: a clock, a small honest browser, and an application that tells.

The browser talks raw ASGI. It keeps a cookie jar as browsers do (expiry by the injected clock,
prefix rules, the size limit), and a response can be delivered late, in any order, or never.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest

from asgi_refresh import Auth, Config, Issuer, MemoryStore
from asgi_refresh.sessions import Session

SECRET = "a-secret-of-at-least-32-bytes-for-tests!"
Message = dict[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]


def require(condition: bool, reason: str) -> None:
    """Skip with *reason* unless *condition*; under REQUIRE_ALL=1 that is a failure."""
    if not condition:
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail(f"REQUIRE_ALL=1, and {reason}")
        pytest.skip(reason)


class Clock:
    """Seconds since the epoch, which only move by `advance`."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Response:
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    messages: list[Message] = field(repr=False)

    def all(self, name: str) -> list[str]:
        wanted = name.encode().lower()
        return [value.decode() for key, value in self.headers if key.lower() == wanted]

    def header(self, name: str) -> str | None:
        values = self.all(name)
        assert len(values) <= 1, f"{name} stands {len(values)} times"
        return values[0] if values else None

    @property
    def set_cookies(self) -> list[str]:
        return self.all("set-cookie")

    @property
    def cookies(self) -> dict[str, str]:
        """Name to value of every Set-Cookie; a name that stands twice is a failure."""
        pairs = [line.partition(";")[0].partition("=") for line in self.set_cookies]
        names = [name for name, _, _ in pairs]
        assert len(set(names)) == len(names), f"set twice: {names}"
        return {name: value for name, _, value in pairs}

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class _Stored:
    value: str
    expires_at: float | None


def _attributes(line: str) -> tuple[str, str, dict[str, str]]:
    pair, *rest = line.split(";")
    name, _, value = pair.partition("=")
    attributes = {}
    for item in rest:
        key, _, text = item.strip().partition("=")
        attributes[key.lower()] = text
    return name.strip(), value.strip(), attributes


class Browser:
    """One cookie jar in front of one ASGI application."""

    def __init__(
        self, app: App, clock: Clock, *, scheme: str = "https", host: str = "app.example"
    ) -> None:
        self.app, self.clock, self.scheme, self.host = app, clock, scheme, host
        self.jar: dict[str, _Stored] = {}

    def fork(self) -> Browser:
        """A copy of the profile: what a thief of the jar has."""
        twin = Browser(self.app, self.clock, scheme=self.scheme, host=self.host)
        twin.jar = dict(self.jar)
        return twin

    def values(self) -> dict[str, str]:
        """The cookies that would be sent now."""
        now = self.clock()
        return {
            name: cookie.value
            for name, cookie in self.jar.items()
            if cookie.expires_at is None or now < cookie.expires_at
        }

    def put(self, name: str, value: str) -> None:
        self.jar[name] = _Stored(value, None)

    def drop(self, *names: str) -> None:
        for name in names:
            self.jar.pop(name, None)

    def deliver(self, response: Response) -> None:
        """Process the Set-Cookie headers of *response* as a browser does."""
        for line in response.set_cookies:
            name, value, attributes = _attributes(line)
            if len(name) + len(value) > 4096:
                continue
            if name.lower().startswith("__host-") and (
                "secure" not in attributes
                or attributes.get("path") != "/"
                or "domain" in attributes
            ):
                continue
            if "secure" in attributes and self.scheme != "https" and self.host != "localhost":
                continue
            if "max-age" in attributes:
                age = int(attributes["max-age"])
                if age <= 0:
                    self.jar.pop(name, None)
                    continue
                self.jar[name] = _Stored(value, self.clock() + age)
            else:
                self.jar[name] = _Stored(value, None)

    async def send(
        self,
        path: str = "/",
        method: str = "GET",
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        cookies: Mapping[str, str] | None = None,
        scope: Mapping[str, Any] | None = None,
    ) -> Response:
        """Send a request with the jar (or with *cookies*) and return the response undelivered."""
        full = self.scope(path, method, headers=headers, cookies=cookies)
        full.update(scope or {})
        messages: list[Message] = []
        inbox: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            await anyio.lowlevel.checkpoint()
            return inbox.pop(0) if inbox else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            await anyio.lowlevel.checkpoint()
            messages.append(message)

        await self.app(full, receive, send)
        return _response(messages)

    async def request(self, path: str = "/", method: str = "GET", **kwargs: Any) -> Response:
        """Send a request, and deliver its response."""
        response = await self.send(path, method, **kwargs)
        self.deliver(response)
        return response

    async def get(self, path: str = "/", **kwargs: Any) -> Response:
        return await self.request(path, "GET", **kwargs)

    async def post(self, path: str = "/", **kwargs: Any) -> Response:
        return await self.request(path, "POST", **kwargs)

    async def navigate(self, path: str = "/", **kwargs: Any) -> Response:
        """What the address bar does: the request says that it is a top-level navigation."""
        extra = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]
        kwargs["headers"] = [*kwargs.get("headers", ()), *extra]
        return await self.request(path, "GET", **kwargs)

    async def websocket(
        self,
        path: str = "/ws",
        *,
        headers: Iterable[tuple[str, str]] | None = None,
        cookies: Mapping[str, str] | None = None,
        scope: Mapping[str, Any] | None = None,
    ) -> list[Message]:
        """Do a handshake from our own origin, and return what the application sent."""
        own = [("origin", f"{self.scheme}://{self.host}")]
        full = self.scope(path, "GET", headers=own if headers is None else headers, cookies=cookies)
        del full["method"]
        full.update(type="websocket", scheme="wss", asgi={"version": "3.0", "spec_version": "2.3"})
        full.update(scope or {})
        messages: list[Message] = []
        inbox: list[Message] = [{"type": "websocket.connect"}]

        async def receive() -> Message:
            await anyio.lowlevel.checkpoint()
            return inbox.pop(0) if inbox else {"type": "websocket.disconnect", "code": 1000}

        async def send(message: Message) -> None:
            await anyio.lowlevel.checkpoint()
            messages.append(message)

        await self.app(full, receive, send)
        return messages

    def scope(
        self,
        path: str,
        method: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        cookies: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        sent = self.values() if cookies is None else cookies
        raw = [(b"host", self.host.encode()), (b"user-agent", b"test-browser")]
        raw += [(name.encode(), value.encode("latin-1")) for name, value in headers]
        if sent:
            header = "; ".join(f"{name}={value}" for name, value in sent.items())
            raw.append((b"cookie", header.encode("latin-1")))
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": self.scheme,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": raw,
            "client": ("192.0.2.7", 51234),
            "server": (self.host, 443),
        }


def _response(messages: list[Message]) -> Response:
    starts = [m for m in messages if m["type"] == "http.response.start"]
    assert len(starts) == 1, f"{len(starts)} response starts: {messages}"
    body = b"".join(m.get("body", b"") for m in messages if m["type"] == "http.response.body")
    headers = [(bytes(n), bytes(v)) for n, v in starts[0].get("headers", ())]
    return Response(starts[0]["status"], headers, body, messages)


async def answer(
    send: Any,
    status: int = 200,
    body: bytes = b"",
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


async def whoami(scope: Any, receive: Any, send: Any) -> None:
    """
    An application with a sign-in.

    /login?… and /logout do as they say; every other path answers who the request is, as JSON, and
    what the rewritten Cookie header holds.
    """
    if scope["type"] == "lifespan":
        return
    if scope["type"] == "websocket":
        await receive()
        auth = Auth.of(scope)
        await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
        await send({"type": "websocket.send", "text": json.dumps(describe(auth, scope))})
        await send({"type": "websocket.close", "code": 1000})
        return
    auth = Auth.of(scope)
    if scope["path"] == "/login":
        auth.login("alice", {"role": "admin", "scope": "read write"})
    elif scope["path"] == "/login/bob":
        auth.login("bob")
    elif scope["path"] == "/logout":
        auth.logout()
    elif scope["path"] == "/logout/everywhere":
        auth.logout(everywhere=True)
    body = json.dumps(describe(auth, scope)).encode()
    await answer(send, body=body, headers=[(b"content-type", b"application/json")])


def describe(auth: Auth, scope: Any) -> dict[str, Any]:
    cookies = [value.decode("latin-1") for name, value in scope["headers"] if name == b"cookie"]
    return {
        "subject": auth.subject,
        "payload": auth.payload,
        "reason": auth.reason,
        "via": auth.via,
        "refreshed": auth.refreshed,
        "cookie_headers": cookies,
    }


class Spy:
    """A store that counts its calls, and can be told to fail, to hang, or to wait at a gate."""

    def __init__(self, store: Any = None) -> None:
        self.store = MemoryStore() if store is None else store
        self.calls: list[str] = []
        self.broken: set[str] = set()  # operations that raise
        self.hanging: set[str] = set()  # operations that never answer
        self.gates: dict[str, anyio.Event] = {}  # operations that wait until their event is set

    def count(self, *names: str) -> int:
        return sum(call in names for call in self.calls)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.store, name)

        async def call(*args: Any) -> Any:
            self.calls.append(name)
            await anyio.lowlevel.checkpoint()
            if name in self.broken or "*" in self.broken:
                raise OSError("the store is away")
            if name in self.hanging:
                await anyio.sleep_forever()
            if name in self.gates:
                await self.gates[name].wait()
            return await method(*args)

        return call


def make_issuer(clock: Clock, *, store: Any, **kwargs: Any) -> Issuer:
    kwargs.setdefault("config", Config())
    kwargs.setdefault("on_event", lambda _event: None)
    return Issuer(SECRET, store=store, clock=clock, **kwargs)


def new_session(clock: Clock, session_id: str = "s1", subject: str = "alice", **kw: Any) -> Session:
    now = clock()
    values: dict[str, Any] = {
        "created_at": now,
        "auth_time": now,
        "expires_at": now + 90 * 86400.0,
        "idle_expires_at": now + 14 * 86400.0,
        "last_seen": now,
    }
    return Session(id=session_id, subject=subject, **(values | kw))
