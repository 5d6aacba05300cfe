"""
What the scenarios share: one store for several hosts, which can also misbehave, and a short way to
say that a browser goes on.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from asgi_refresh import (
    Event,
    Issuer,
    MemoryStore,
    RefreshEndpoint,
    RefreshMiddleware,
    SQLiteStore,
)
from tests.blackbox.helpers import (
    ACCESS,
    HOUR,
    REFRESH,
    Gate,
    Gates,
    Site,
    given,
    lasting,
    make_site,
)
from tests.support import App, Browser, Clock, Response, whoami

BOTH = {ACCESS, REFRESH}
ENDPOINT = "/auth/refresh"
SHORT = timedelta(seconds=0.05)


class Frail(Gates):
    """A store that can lose what it was told, answer from the past, or act and not say so."""

    def __init__(self, store: Any = None) -> None:
        super().__init__(store)
        self.speechless: set[str] = set()  # operations that are done, and raise all the same
        self.past: dict[str, Any] = {}  # what a replica has
        self.lags = 0  # how many reads it still answers
        self.won = 0  # compare-and-sets that took

    def __getattr__(self, name: str) -> Any:
        call = super().__getattr__(name)

        async def frail(*args: Any) -> Any:
            result = await call(*args)
            if name == "replace":
                self.won += bool(result)
            if name in self.speechless:
                raise ConnectionResetError("the connection went while waiting for the answer")
            if name == "get" and self.lags:
                self.lags -= 1
                return self.past.get(args[0])
            return result

        return frail

    def sessions(self) -> dict[str, Any]:
        """Every session as it is now: what a replica, a backup or an old master has."""
        return copy.copy(self.store._sessions)

    def back_to(self, sessions: dict[str, Any]) -> None:
        """Lose every session and every change since *sessions* was taken."""
        self.store._sessions = copy.copy(sessions)
        self.store._subjects = {}
        for session in sessions.values():
            self.store._subjects.setdefault(session.subject, set()).add(session.id)


class Backend:
    """Where hosts meet: a `MemoryStore`, or an SQLite file that each of them opens for itself."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._memory = MemoryStore()
        self._opened: list[SQLiteStore] = []

    def open(self) -> Frail:
        if self.path is None:
            return Frail(self._memory)
        self._opened.append(SQLiteStore(self.path, busy_timeout=30))
        return Frail(self._opened[-1])

    def close(self) -> None:
        for store in self._opened:
            store.close()


def hosts(
    stores: Backend, clocks: Iterable[Clock], app: App = whoami, **options: Any
) -> list[Site]:
    """One site for each of *clocks*, on one store, with one jar in front of them all."""
    options.setdefault("config", lasting())
    sites = [make_site(clock, app, store=stores.open(), **options) for clock in clocks]
    for site in sites:
        site.browser.jar = sites[0].browser.jar
        endpoints = {ENDPOINT: RefreshEndpoint(site.issuer)}
        site.browser.app = RefreshMiddleware(app, site.issuer, endpoints=endpoints)
    return sites


def flushing(app: App, gate: Gate, *, path: str) -> App:
    """*app*, whose response for *path* waits at *gate* behind the middleware, on its way out."""

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        async def flush(message: Any) -> None:
            await gate.enter()
            await send(message)

        await app(scope, receive, flush if scope["path"] == path else send)

    return outer


def keyed(clock: Clock, store: Frail, keys: list[str], beside: Site | None = None) -> Site:
    """A host with *keys*, newest first; with the jar of the one *beside* it."""
    events: list[Event] = []
    issuer = Issuer(keys, store=store, clock=clock, config=lasting(), on_event=events.append)
    browser = Browser(RefreshMiddleware(whoami, issuer), clock)
    if beside is not None:
        browser.jar = beside.browser.jar
    return Site(clock, events, store, issuer, browser)


def generation(token: str) -> int:
    """The generation that a refresh token spells."""
    return int(token.split(".")[1])


def subjects(responses: Iterable[Response]) -> set[str | None]:
    return {response.json()["subject"] for response in responses}


def refresh_tokens(responses: Iterable[Response]) -> set[str]:
    return {response.cookies[REFRESH] for response in responses}


async def current(site: Site, subject: str = "alice") -> int:
    """The newest generation of the subject's one session."""
    (session,) = await site.issuer.sessions(subject)
    return session.current


async def post_refresh(browser: Browser, token: str, **more: Any) -> Response:
    headers = [("authorization", f"Bearer {token}")]
    return await browser.send(ENDPOINT, "POST", headers=headers, cookies={}, **more)


async def assert_goes_on(site: Site, *, rounds: int = 3) -> None:
    """The browser stays signed in, refresh after refresh, and nobody cried theft."""
    for _ in range(rounds):
        site.clock.advance(HOUR)
        response = await site.browser.navigate("/")
        assert response.json()["subject"] == "alice"
        assert given(response) == BOTH
    assert site.named("reused") == []


def without_grace(**changes: Any) -> Any:
    """Settings under which every refresh rotates."""
    return replace(lasting(), rotation_grace=timedelta(0), leeway=timedelta(0), **changes)
