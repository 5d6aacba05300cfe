"""
The demo's server: an ordinary Starlette application behind `RefreshMiddleware`.

What it does for sessions is `login()`, `logout()` and reading `Auth`; the rest is the page, and a
thief.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from asgi_refresh import Auth, Config, Cookie, Issuer, RefreshMiddleware
from asgi_refresh.stores import close_store

from . import page
from .stores import LABELS, Stores
from .thief import Thief
from .watching import EventLog, Witness

PASSWORD = "demo"  # noqa: S105 - it is on the page
CONFIG = Config(
    # Short enough to watch. As in `LOCALHOST` the cookies work over plain http, and nowhere else.
    access_lifetime=timedelta(seconds=10),
    refresh_before=timedelta(seconds=3),
    rotation_grace=timedelta(seconds=2.5),
    leeway=timedelta(seconds=0.5),
    idle_lifetime=timedelta(minutes=10),
    session_lifetime=timedelta(hours=1),
    access_cookie=Cookie("demo-access", secure=False),
    refresh_cookie=Cookie("demo-refresh", secure=False),
)
# What reports on the sessions, and what is done behind their back, is no part of them.
_EXCLUDE = ("/static", "/events", "/stores", "/steal", "/replay")
_HOLD = 0.3  # seconds; long enough that requests sent together are all here before one is answered


class Demo:
    """
    The demo as an ASGI application, on the store `sqlite` to begin with.

    Args:
        stores: What it can be switched between.
        config: The settings, for tests that cannot wait.
        clock: Returns seconds since the epoch.
    """

    def __init__(
        self,
        stores: Stores,
        *,
        config: Config = CONFIG,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._stores, self._config = stores, replace(config, exclude=_EXCLUDE)
        self._clock, self._log = clock, EventLog(clock)
        self._pages = Starlette(routes=self._routes(), lifespan=self._lifespan)
        self._begin("sqlite")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._app(scope, receive, send)

    def _begin(self, name: str) -> None:
        """Begin anew on the store *name*, with a secret that nothing else knows."""
        self._log.restart()
        self._name, self._store = name, self._stores.open(name)
        self._issuer = Issuer(
            secrets.token_bytes(32),
            store=self._store,
            config=self._config,
            on_event=self._log.add,
            clock=self._clock,
        )
        self._app = Witness(RefreshMiddleware(self._pages, self._issuer), self._issuer)
        self._thief = Thief(self._app, self._issuer)
        self._run = secrets.token_hex(4)

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncGenerator[None]:
        yield
        await close_store(self._store)

    def _routes(self) -> list[Route]:
        async def index(_request: Request) -> Response:
            return page.read("demo.html")

        async def static(request: Request) -> Response:
            name = request.path_params["name"]
            return page.read(name) if name in page.NAMES else Response(status_code=404)

        return [
            Route("/", index),
            Route("/static/{name}", static),
            Route("/me", self._me),
            Route("/login", _login, methods=["POST"]),
            Route("/logout", _logout, methods=["POST"]),
            Route("/logout-everywhere", _logout_everywhere, methods=["POST"]),
            Route("/events", self._events),
            Route("/stores", self._stores_page),
            Route("/stores", self._switch, methods=["POST"]),
            Route("/steal", self._steal, methods=["POST"]),
            Route("/replay", self._replay, methods=["POST"]),
        ]

    async def _me(self, request: Request) -> Response:
        if "hold" in request.query_params:
            await anyio.sleep(_HOLD)
        auth = Auth.of(request)
        ends = auth.expires_at
        return _json(
            {
                "subject": auth.subject,
                "session_id": auth.session_id,
                "seconds_left": None if ends is None else ends - self._clock(),
                "refreshed": auth.refreshed,
                "reason": auth.reason,
            }
        )

    async def _events(self, request: Request) -> Response:
        after = request.query_params.get("after", "")[:9]
        return _json(
            {
                "run": self._run,
                "now": self._clock(),
                "store": LABELS[self._name],
                "access_lifetime": self._config.access_lifetime.total_seconds(),
                "refresh_before": self._config.refresh_before.total_seconds(),
                "window": self._config.window.total_seconds(),
                "events": self._log.after(int(after) if after.isdecimal() else 0),
            }
        )

    async def _stores_page(self, _request: Request) -> Response:
        return _json({"current": self._name, "stores": await self._stores.describe()})

    async def _switch(self, request: Request) -> Response:
        name = (await _read_json(request)).get("store")
        if not isinstance(name, str) or name not in LABELS:
            return _json({"error": "There is no such store."}, 400)
        missing = await self._stores.missing(name)
        if missing is not None:
            return _json({"error": f"{LABELS[name]} is not available: {missing}."}, 409)
        old = self._store
        self._begin(name)
        await close_store(old)
        return _json({})

    async def _steal(self, request: Request) -> Response:
        if not _is_json(request):
            return _json({"error": "That is not from the page."}, 400)
        stolen = self._thief.steal(request.scope)
        if stolen is None:
            return _json({"error": "There is no cookie to steal: sign in first."}, 409)
        return _json(stolen)

    async def _replay(self, request: Request) -> Response:
        verdict = await self._thief.replay((await _read_json(request)).get("copy"))
        if verdict is None:
            return _json({"error": "That copy is gone. Steal another one."}, 409)
        return _json(verdict)


async def _login(request: Request) -> Response:
    given = await _read_json(request)
    name, password = given.get("name"), given.get("password")
    if not isinstance(name, str) or not isinstance(password, str):
        return _json({"error": "Send a name and a password."}, 400)
    if not hmac.compare_digest(password.encode("utf-8", "replace"), PASSWORD.encode()):
        return _json({"error": f"Wrong password: it is “{PASSWORD}”."}, 401)
    try:
        Auth.of(request).login(name.strip(), device="demo")
    except ValueError as error:
        return _json({"error": f"Not a name to sign in with: {error}."}, 400)
    return _json({})


async def _logout(request: Request) -> Response:
    Auth.of(request).logout()
    return _json({})


async def _logout_everywhere(request: Request) -> Response:
    Auth.of(request).logout(everywhere=True)
    return _json({})


def _is_json(request: Request) -> bool:
    """Return whether it says so: a page elsewhere would have to ask first (CORS)."""
    return request.headers.get("content-type") == "application/json"


async def _read_json(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body, or an empty one in the place of anything else."""
    try:
        body = await request.json() if _is_json(request) else None
    except ValueError:
        return {}
    return cast("dict[str, Any]", body) if isinstance(body, dict) else {}


def _json(content: Mapping[str, object], status: int = 200) -> Response:
    return JSONResponse(content, status, headers={"cache-control": "no-store"})
