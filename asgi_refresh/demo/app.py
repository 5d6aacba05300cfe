"""
The demo's server: an ordinary Starlette application behind `RefreshMiddleware`.

What it does for sessions is `login()`, `logout()` and reading `Auth`; the rest is the page.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import importlib.resources
import re
import secrets
import time
from collections import deque
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from asgi_refresh import Auth, Config, Cookie, Event, Issuer, RefreshMiddleware, Store

PASSWORD = "demo"  # noqa: S105 - it is on the page
CONFIG = Config(
    # Short enough to watch. As in `LOCALHOST` the cookies work over plain http, and nowhere else.
    access_lifetime=timedelta(seconds=20),
    refresh_before=timedelta(seconds=5),
    rotation_grace=timedelta(seconds=5),
    leeway=timedelta(seconds=1),
    idle_lifetime=timedelta(minutes=10),
    session_lifetime=timedelta(hours=1),
    access_cookie=Cookie("demo-access", secure=False),
    refresh_cookie=Cookie("demo-refresh", secure=False),
    exclude=("/events",),  # the log is not part of what it reports
)


def create_app(store: Store, *, config: Config = CONFIG) -> Starlette:
    """
    Return the demo, with a secret that nothing else knows.

    Args:
        store: Where its sessions are kept.
        config: The settings, for tests that cannot wait.
    """
    log = EventLog()
    issuer = Issuer(secrets.token_bytes(32), store=store, config=config, on_event=log.add)
    page = _page()

    async def index(_request: Request) -> Response:
        return page

    async def events(_request: Request) -> Response:
        return _json({"events": list(log.entries)})

    async def me(request: Request) -> Response:
        return _json(_describe(Auth.of(request), issuer))

    routes = [
        Route("/", index),
        Route("/me", me),
        Route("/login", _login, methods=["POST"]),
        Route("/logout", _logout, methods=["POST"]),
        Route("/logout-everywhere", _logout_everywhere, methods=["POST"]),
        Route("/events", events),
    ]
    return Starlette(routes=routes, middleware=[Middleware(RefreshMiddleware, issuer=issuer)])


class EventLog:
    """
    The newest events, as the page shows them. An event never holds a token.

    Attributes:
        entries: Oldest first.
    """

    def __init__(self, size: int = 200) -> None:
        self.entries: deque[Mapping[str, object]] = deque(maxlen=size)
        self._count = 0

    def add(self, event: Event) -> None:
        """Keep *event*; what an issuer takes as `on_event`."""
        self._count += 1
        entry = {
            "number": self._count,
            "at": time.time(),
            "name": event.name,
            "subject": event.subject,
            "session_id": event.session_id,
            "reason": event.reason,
            "detail": event.detail,
        }
        self.entries.append(entry)


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


async def _read_json(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body, or an empty one in the place of anything else."""
    try:
        body = await request.json()
    except ValueError:
        return {}
    return cast("dict[str, Any]", body) if isinstance(body, dict) else {}


def _describe(auth: Auth, issuer: Issuer) -> dict[str, object]:
    ends = auth.expires_at
    return {
        "subject": auth.subject,
        "session_id": auth.session_id,
        "expires_at": ends,
        "seconds_left": None if ends is None else ends - issuer.clock(),
        "refreshed": auth.refreshed,
        "reason": auth.reason,
        "access_lifetime": issuer.config.access_lifetime.total_seconds(),
        "refresh_before": issuer.config.refresh_before.total_seconds(),
    }


def _json(content: Mapping[str, object], status: int = 200) -> Response:
    return JSONResponse(content, status, headers={"cache-control": "no-store"})


def _page() -> Response:
    """Return the page, with a policy under which nothing but its own script and style counts."""
    html = importlib.resources.files("asgi_refresh.demo").joinpath("page.html").read_text("utf-8")
    policy = {
        "default-src": "'none'",
        "script-src": _hash_of("script", html),
        "style-src": _hash_of("style", html),
        "connect-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    headers = {
        "content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "cache-control": "no-cache",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }
    return HTMLResponse(html, headers=headers)


def _hash_of(tag: str, html: str) -> str:
    """Return the source expression for the one inline element *tag* of *html* (CSP 3, 2.3.1)."""
    (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
