"""
The application behind the caches: every page says what its path asks for.

`/<situation>/<row>/<status>` is a page of the grid; `/-/in/<subject>` and `/-/out` sign in and out
and are asked for directly, past the cache. Who is visiting stands in X-Visitor, as an address or a
one-time code in the URL would say it elsewhere: no cache knows of that.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import timedelta
from typing import Any
from unittest import mock

from asgi_refresh import Auth, Config, Issuer, MemoryStore, RefreshMiddleware, exchange

from .grid import ETAG, ROWS, Row

VARIABLE = "ASGI_REFRESH_CACHES"
OURS, CONTROL = "ours", "control"
CONFIG = Config(access_lifetime=timedelta(hours=1))
ACCESS, REFRESH = CONFIG.access_cookie, CONFIG.refresh_cookie
_SECRET = "a-secret-of-at-least-32-bytes-for-caches!"
_SAID = "tests.caches.said"  # what the page itself said of caching

Headers = list[tuple[bytes, bytes]]


def create() -> Any:
    """Return the application; what `uvicorn --factory` calls."""
    issuer = Issuer(_SECRET, store=MemoryStore(), config=CONFIG, on_event=lambda _event: None)
    app = RefreshMiddleware(_Pages(issuer), issuer)
    return _numbered(app if os.environ[VARIABLE] == OURS else _without_our_headers(app))


def _numbered(app: Any) -> Any:
    """Number the responses: a cache that sends a number twice had the response stored."""
    serial = itertools.count(1)

    async def numbered(scope: Any, receive: Any, send: Any) -> None:
        async def forward(message: Any) -> None:
            if message["type"] == "http.response.start":
                number = (b"x-serial", b"%d" % next(serial))
                message = {**message, "headers": [*message["headers"], number]}
            await send(message)

        await app(scope, receive, forward)

    return numbered


def _without_our_headers(app: Any) -> Any:
    """
    Take back everything that the library tells caches; its cookies stay.

    That is what the control run shows: an application whose author forgot about caches.
    """
    everywhere = ExitStack()  # until the process ends
    everywhere.enter_context(mock.patch.object(exchange, "is_shared_cacheable", return_value=False))

    async def stripped(scope: Any, receive: Any, send: Any) -> None:
        said: Headers = []
        scope[_SAID] = said

        async def forward(message: Any) -> None:
            if message["type"] == "http.response.start":
                cookies = [(n, v) for n, v in message["headers"] if n.lower() == b"set-cookie"]
                others = [(n, v) for n, v in said if n.lower() != b"set-cookie"]
                message = {**message, "headers": others + cookies}
            await send(message)

        await app(scope, receive, forward)

    return stripped


class _Pages:
    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        auth, sent = Auth.of(scope), dict(scope["headers"])
        _, situation, name, *rest = scope["path"].split("/")
        if situation == "-":
            if name == "in":
                auth.login(rest[0])
            else:
                auth.logout()
            await _answer(scope, send, 200, b"", [])
            return
        if situation == "together":
            await asyncio.sleep(0.03)  # so that a cache sees the others come
        extra: Headers = []
        whose = await self._do(auth, situation, sent.get(b"x-visitor", b"").decode(), extra)
        status = rest[0]
        if situation in ("login", "own") and status[0] in "345" and status not in ("301", "302"):
            whose = None  # only an equal body answers 304, and an error signs nobody in
        await self._page(scope, send, ROWS[name], status, sent, whose, extra)

    async def _do(self, auth: Auth, situation: str, visitor: str, extra: Headers) -> str | None:
        """Do what the situation asks for, and return whom the body names."""
        is_alice = visitor.startswith("alice")
        if situation in ("reads", "refresh+reads", "bearer", "together"):
            return str(auth.subject or "nobody")
        if situation == "login" and is_alice:
            auth.login(visitor)
            return visitor
        if situation == "logout" and is_alice:
            auth.logout()
        if situation == "own+logout" and is_alice:
            extra += [(b"set-cookie", cookie.delete()) for cookie in (ACCESS, REFRESH)]
        if situation == "own" and is_alice:
            tokens = await self._issuer.issue(visitor)
            pairs = [(ACCESS, tokens.access_token), (REFRESH, tokens.refresh_token)]
            for cookie, value in pairs:
                extra.append((b"set-cookie", cookie.render(value.encode(), 3600)))
            return visitor
        return None

    async def _page(
        self,
        scope: Any,
        send: Any,
        row: Row,
        status: str,
        sent: dict[bytes, bytes],
        whose: str | None,
        extra: Headers,
    ) -> None:
        code = int(status[:3])
        headers = [*row.headers(age=1 if code == 304 else 60), *extra]
        body = (b"everybody" if whose is None else b"for %s;" % whose.encode()).ljust(64, b".")
        if code == 304:
            tag = ETAG if whose is None else b'"%s"' % whose.encode()
            headers = [(n, v) for n, v in headers if n != b"etag"] + [(b"etag", tag)]
            code = 304 if sent.get(b"if-none-match") == tag else 200
        elif code == 206:
            code = 206 if b"range" in sent else 200
        if code == 206:
            body = body[:32]
            headers.append((b"content-range", b"bytes 0-31/64"))
        elif code in (301, 302):
            headers.append((b"location", b"http://app.example/elsewhere"))
        elif code in (204, 304):
            body = b""
        if code not in (204, 304):
            headers.append((b"content-length", b"%d" % len(body)))
            headers.append((b"content-type", b"text/plain"))
        await _answer(scope, send, code, body, headers)


async def _answer(
    scope: Any, send: Any, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]]
) -> None:
    said = list(headers)
    scope.get(_SAID, []).extend(said)
    await send({"type": "http.response.start", "status": status, "headers": said})
    await send({"type": "http.response.body", "body": body})
