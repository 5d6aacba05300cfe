"""
The whole boundary: `RefreshMiddleware` in front of an application, with whatever headers.

It never raises; the application runs once or is answered for; whoever it sees has brought a genuine
token of theirs, and not from another site; what goes out is in order.

An input is a line `site type method path shape`, header lines, an empty line, and a body. `{A}` and
the like stand for genuine tokens, of `TOKENS`.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote_to_bytes

from asgi_refresh import (
    Auth,
    Config,
    Cookie,
    Event,
    Issuer,
    MemoryStore,
    RefreshEndpoint,
    RefreshMiddleware,
)
from asgi_refresh.sessions import FrozenDict, Session
from tests.support import Clock, new_session
from tests.tokens import forge

from .by_hand import Client, Message, run
from .engine import Target

NOW = forge.NOW
TRUSTED = b"https://trusted.example"
ENDPOINT = "/auth/refresh"
CSRF = Cookie("__Host-csrf", http_only=False)
SESSIONS = {
    subject: new_session(
        Clock(NOW),
        sid,
        subject,
        current=5,
        previous=4,
        rotated_at=NOW - 1000.0,
        created_at=NOW - 9000.0,
        last_seen=NOW - 1000.0,
    )
    for subject, sid in (("alice", "a11ce" * 6), ("mallory", "bad" * 10))
}
_STATUSES = frozenset({200, 400, 401, 403, 405, 413, 415})


class _Store(MemoryStore):
    """A store that knows whether it is as it was."""

    def __init__(self) -> None:
        super().__init__()
        self.written = False

    async def add(self, session: Session) -> Any:
        self.written = True
        return await super().add(session)

    async def replace(self, *args: Any) -> bool:
        self.written = True
        return await super().replace(*args)

    async def revoke(self, *args: Any) -> bool:
        self.written = True
        return await super().revoke(*args)

    async def revoke_subject(self, *args: Any) -> int:
        self.written = True
        return await super().revoke_subject(*args)


class Site:
    """An application behind the middleware, the same again for every input."""

    def __init__(self, *, stored: bool, **config: Any) -> None:
        self._stored, self._config = stored, Config(**config)
        self.trusted = {origin.encode() for origin in self._config.trusted_origins}
        self.events: list[Event] = []
        self._build()

    def _build(self) -> None:
        self.store = _Store() if self._stored else None
        self.issuer = Issuer(
            forge.KEY,
            secret=forge.SECRET,
            store=self.store,
            config=self._config,
            clock=Clock(NOW),
            on_event=self.events.append,
        )
        if self.store is not None:
            for session in SESSIONS.values():
                run(self.store.add(session))
            self.store.written = False
        endpoints = {ENDPOINT: RefreshEndpoint(self.issuer)}
        self.app = RefreshMiddleware(self._app, self.issuer, endpoints=endpoints)

    def ready(self) -> Site:
        """Return it as it is before every input."""
        if self.store is not None and self.store.written:
            self._build()
        self.events.clear()
        self.runs, self.seen = 0, None
        return self

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        self.runs += 1
        self.scope = scope
        if "asgi_refresh" in scope:  # not below an excluded path
            auth = self.seen = Auth.of(scope)
            self.subject, self.via, self.refreshed = auth.subject, auth.via, auth.refreshed
            if scope["type"] == "websocket":
                pass  # a WebSocket can sign nobody in: that raises, as it should
            elif scope["path"] == "/login":
                auth.login("carol")
            elif scope["path"] == "/logout":
                auth.logout()
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept", "headers": []})
            await send({"type": "websocket.close"})
        elif scope["type"] == "http":
            await receive()
            headers = [(b"cache-control", b"max-age=60"), (b"set-cookie", b"theme=dark")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"hello"})


SITES = {
    b"r": Site(stored=True),
    b"s": Site(stored=False),
    b"c": Site(stored=False, csrf_cookie=CSRF),
    b"d": Site(stored=True, csrf_cookie=CSRF, revocation="refresh", clear_site_data=["cache"]),
    b"x": Site(
        stored=True,
        revocation="always",
        exclude=["/static"],
        cross_origin_exempt=["/callback"],
        trusted_origins=[TRUSTED.decode()],
        max_cookie_header=1024,
    ),
}


def _tokens(site: Site) -> dict[bytes, tuple[str, bytes]]:
    """Genuine tokens by their short names, each with whose it is."""
    profile = site.issuer.profile
    made: dict[bytes, tuple[str, bytes]] = {}
    for subject, letters in (("alice", b"ADXrop"), ("mallory", b"MNYmnq")):
        session = SESSIONS[subject]
        for at, left in enumerate((600, 30, -10)):
            raw, _ = profile.mint_access(
                session,
                FrozenDict(),
                generation=5,
                jti=f"j{at}",
                now=NOW - 60,
                expires_at=NOW + left,
            )
            made[b"{%c}" % letters[at]] = subject, raw
        for at, generation in enumerate((5, 4, 1), 3):
            made[b"{%c}" % letters[at]] = (
                subject,
                profile.mint_refresh(session, generation, now=NOW - 1000),
            )
        csrf = profile.csrf_tokens(session.id, {})[0].encode()
        made[b"{c}" if subject == "alice" else b"{d}"] = "", csrf
        made[b"{t}" if subject == "alice" else b"{u}"] = "", session.id.encode()
    return made


TOKENS = {letter: _tokens(site) for letter, site in SITES.items()}
_NAME = re.compile(rb"\{[ADXMNYropmnqcdtu]\}")
_NAMES = (b"__Host-access", b"__Host-refresh", b"__Host-access-ended", b"__Host-csrf")


def target(data: bytes) -> None:
    """Raise where the boundary does not hold."""
    letter = data[:1] if data[:1] in SITES else b"r"
    site, tokens = SITES[letter].ready(), TOKENS[letter]
    data = _NAME.sub(lambda match: tokens[match[0]][1], data)
    scope, headers, body = request(data)
    kind, path = scope["type"], scope["path"]
    first = {"type": "websocket.connect"} if kind == "websocket" else None
    messages = [first] if first else _chunks(body)
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    receive = Client(messages, "websocket.disconnect" if first else "http.disconnect")
    run(site.app(scope, receive, send))
    assert site.runs <= 1, "the application runs at most once"
    is_ours = path == ENDPOINT and kind in ("http", "websocket")
    check_response(sent, kind, ran=site.runs == 1, endpoint=is_ours)
    if site.seen is not None:
        check_seen(site, headers, tokens, scope)
    elif is_ours and sent[0].get("status") == 200:
        came = b"\n".join(value for _, value in headers) + b"\n" + body
        came += unquote_to_bytes(body) + _strings(body)
        assert any(raw in came for n, (_, raw) in tokens.items() if n in _REFRESHING), (
            "a token came"
        )
    if site.events:
        told = repr(site.events).encode()
        for who, raw in tokens.values():
            if who and raw in told:
                assert any(raw in v for n, v in headers if n.lower() in _TOLD), "no token is told"


# Events tell of these; a client that writes its token there has told it itself.
_TOLD = (b"origin", b"user-agent", b"host")
_REFRESHING = (b"{r}", b"{o}", b"{m}", b"{n}", b"{p}", b"{q}")


def request(data: bytes) -> tuple[dict[str, Any], list[tuple[bytes, bytes]], bytes]:
    head, _, body = data.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    words = first.decode("latin-1").split(" ")[1:5]
    words += ["http", "GET", "/", "list"][len(words) :]
    kind, method, path, shape = words
    kind = kind if kind in ("websocket", "lifespan") else "http"
    headers = []
    for line in lines:
        name, _, value = line.partition(b": ")
        headers.append((name, value))
    scope: dict[str, Any] = {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "client": ("192.0.2.7", 51234),
        "server": ("app.example", 443),
    }
    if kind != "websocket":
        scope["method"] = method
    if shape == "tuple":
        scope["headers"] = tuple(headers)
    elif shape == "iter":
        scope["headers"] = iter(headers)
    else:
        scope["headers"] = list(headers)
    return scope, headers, body


def _chunks(body: bytes) -> list[Message]:
    half = len(body) // 2
    return [
        {"type": "http.request", "body": body[:half], "more_body": True},
        {"type": "http.request", "body": body[half:], "more_body": False},
    ]


def _strings(body: bytes) -> bytes:
    try:
        return json.dumps(json.loads(body), ensure_ascii=False).encode(errors="replace")
    except (ValueError, RecursionError):
        return b""


def check_response(sent: list[Message], kind: str, *, ran: bool, endpoint: bool) -> None:
    if kind not in ("http", "websocket"):
        assert ran, "what is not understood is passed through"
        assert not sent
        return
    assert not (ran and endpoint), "an endpoint answers itself"
    starts = [m for m in sent if m["type"] in ("http.response.start", "websocket.accept")]
    if kind == "http":
        assert len(starts) == 1, "one response"
        assert sent[0] is starts[0]
        status = starts[0]["status"]
        assert status in _STATUSES
        assert ran or endpoint or status == 403, "who is not let through is told"
    else:
        assert len(starts) == int(ran), "one handshake"
        assert sent[-1]["type"] == "websocket.close"
    for start in starts:
        check_headers(start["headers"])


def check_headers(headers: list[tuple[bytes, bytes]]) -> None:
    ours = [value for name, value in headers if name == b"set-cookie" and value != b"theme=dark"]
    names = [line.partition(b"=")[0] for line in ours]
    assert len(set(names)) == len(names), "no cookie twice"
    assert all(name in _NAMES for name in names), "no other cookie"
    for line in ours:
        assert line.isascii(), "printable"
        assert line.decode().isprintable(), "printable"
        assert len(line.partition(b";")[0]) <= 4097
    if ours:
        control = [value for name, value in headers if name == b"cache-control"]
        assert len(control) == 1, "nobody keeps it"
        assert b"no-store" in control[0], "nobody keeps it"


def check_seen(
    site: Site,
    headers: list[tuple[bytes, bytes]],
    tokens: dict[bytes, tuple[str, bytes]],
    scope: dict[str, Any],
) -> None:
    subject = site.subject
    passed = list(site.scope["headers"])
    assert all(type(n) is bytes and type(v) is bytes for n, v in passed), "headers are headers"
    if subject is None:
        return
    came = [value for _, value in headers]
    mine = [raw for who, raw in tokens.values() if who == subject]
    assert any(raw in value for raw in mine for value in came), "a genuine token of theirs came"
    expired = [raw for name, (_, raw) in tokens.items() if name in (b"{X}", b"{Y}")]
    if not site.refreshed:
        live = [raw for raw in mine if raw not in expired]
        assert any(raw in value for raw in live for value in came), "it has not expired"
    else:
        cookies = [value for name, value in passed if name.lower() == b"cookie"]
        assert len(cookies) == 1, "one cookie header"
        names = [pair.partition(b"=")[0].strip(b" \t") for pair in cookies[0].split(b";")]
        assert names.count(b"__Host-access") == 1, "with the new token"
        assert scope.get("method") not in ("OPTIONS", "TRACE", "CONNECT"), "these never refresh"
    if site.via == "cookie":
        check_origin(headers, scope, site.trusted)


def check_origin(
    headers: list[tuple[bytes, bytes]], scope: dict[str, Any], trusted: set[bytes]
) -> None:
    """Raise if the request acts with cookies and plainly comes from elsewhere."""
    if scope["type"] == "http" and scope["method"] in ("GET", "HEAD", "OPTIONS"):
        return
    said: dict[bytes, list[bytes]] = {b"origin": [], b"sec-fetch-site": [], b"host": []}
    for name, value in headers:
        if name.lower() in said:
            said[name.lower()].append(value)
    assert all(len(values) <= 1 for values in said.values()), "plain"
    origin, fetch_site, host = (values[0] if values else b"" for values in said.values())
    if origin in trusted:
        return
    assert fetch_site in (b"", b"none", b"same-origin"), "of our own pages"
    if scope["type"] == "websocket":
        assert origin, "browsers say where a handshake comes from"
    if origin and not fetch_site:
        ours = origin.lower().partition(b"://")[2].removesuffix(b":443").removesuffix(b":80")
        assert ours == host.lower().removesuffix(b":443").removesuffix(b":80"), "of our own origin"


TARGET = Target(
    "boundary",
    target,
    separators=[b"\n", b"; ", b" ", b"="],
    pieces=(re.compile(rb"\n[^\n]+"), re.compile(rb"[^\n:; =]+")),
    most=1024,
    execution="one request or handshake through the middleware (a refresh, a sign-in or sign-out"
    " where it comes to that), or to the endpoint",
)
