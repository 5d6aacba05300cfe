"""
What the page is told: the issuer's events, and which generation a request came with and was given.

Neither holds a token.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asgi_refresh import Event, Issuer
from asgi_refresh.cookies import sole_value
from asgi_refresh.errors import InvalidTokenError
from asgi_refresh.tokens import RefreshToken

_ROTATES = frozenset({"fork", "ahead"})  # of what is `recovered`: `late` repeats the generation


class EventLog:
    """
    The newest events, each with the generation that its session had then.

    Args:
        clock: Returns seconds since the epoch.
        size: How many are kept.

    Attributes:
        entries: Oldest first.
    """

    def __init__(self, clock: Callable[[], float], size: int = 400) -> None:
        self._clock = clock
        self.entries: deque[Mapping[str, object]] = deque(maxlen=size)
        self._count = 0
        self._generations: dict[str, int] = {}

    def add(self, event: Event) -> None:
        """Keep *event*; what an issuer takes as `on_event`."""
        self._count += 1
        entry = {
            "number": self._count,
            "at": self._clock(),
            "name": event.name,
            "subject": event.subject,
            "session_id": event.session_id,
            "reason": event.reason,
            "detail": event.detail,
            "generation": self._generation(event),
        }
        self.entries.append(entry)

    def restart(self) -> None:
        """Forget everything: what comes next is of another issuer. The numbers go on."""
        self.entries.clear()
        self._generations.clear()

    def after(self, number: int) -> list[Mapping[str, object]]:
        """Return what came after the entry of that *number*; 0: everything that is kept."""
        new = self._count - number
        return list(self.entries)[-new:] if new > 0 else []

    def _generation(self, event: Event) -> int | None:
        session = event.session_id
        if session is None:
            return None
        rotated = event.name == "refreshed" or (
            event.name == "recovered" and event.reason in _ROTATES
        )
        if event.name == "issued":
            self._generations[session] = 1
        elif rotated and session in self._generations:
            self._generations[session] += 1
        return self._generations.get(session)


class Witness:
    """
    Stands in front of the middleware and writes on each response what went over the wire.

    Two headers, where they apply: the generation of the refresh token that the request came with,
    and of the one that the response sets. With `lost=1` in the query the new cookies get lost.
    """

    def __init__(self, app: ASGIApp, issuer: Issuer) -> None:
        self._app, self._issuer = app, issuer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        came = read_refresh(scope, self._issuer)
        lost = b"lost=1" in scope["query_string"].split(b"&")

        async def forward(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {
                    **message,
                    "headers": self._told(message.get("headers", ()), came, lost=lost),
                }
            await send(message)

        await self._app(scope, receive, forward)

    def _told(self, headers: Any, came: RefreshToken | None, *, lost: bool) -> list[Any]:
        name = self._issuer.config.refresh_cookie.key
        lines = [value for key, value in headers if key == b"set-cookie"]
        pairs = [line.partition(b";")[0] for line in lines]
        given = [read for pair in pairs if (read := _read(pair, name, self._issuer))]
        kept = [(key, value) for key, value in headers if not (lost and key == b"set-cookie")]
        for key, token in ((b"demo-came", came), (b"demo-given", given[0] if given else None)):
            if token is not None:
                kept.append((key, b"%d" % token.generation))
        return kept


def read_refresh(scope: Scope, issuer: Issuer) -> RefreshToken | None:
    """Return the refresh token that a request came with; None: none that is genuine."""
    return _read(cookie_header(scope), issuer.config.refresh_cookie.key, issuer)


def cookie_header(scope: Scope) -> bytes:
    """Return the cookies of a request as one header."""
    return b"; ".join(value for key, value in scope["headers"] if key == b"cookie")


def _read(cookies: bytes, name: bytes, issuer: Issuer) -> RefreshToken | None:
    raw = sole_value(cookies, name)
    try:
        return None if raw is None else issuer.profile.read_refresh(raw)
    except InvalidTokenError:
        return None
