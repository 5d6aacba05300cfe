"""
A thief of cookies, to be caught.
"""

from __future__ import annotations

import secrets
from typing import Final

from starlette.types import ASGIApp, Scope

from asgi_refresh import Issuer
from asgi_refresh.cookies import sole_value
from asgi_refresh.testing import AsyncBrowser

from .watching import cookie_header, read_refresh

_MOST: Final = 100


class Thief:
    """
    Keeps copies of refresh cookies, and asks *app* with one as a browser elsewhere would.

    The page cannot read the cookie (HttpOnly), so the copy is made and kept here; the page gets a
    handle that says nothing about it.

    Args:
        app: What it is used against.
        issuer: Whose tokens.
    """

    def __init__(self, app: ASGIApp, issuer: Issuer) -> None:
        self._app, self._issuer = app, issuer
        self._copies: dict[str, bytes] = {}

    def steal(self, scope: Scope) -> dict[str, object] | None:
        """Copy the refresh cookie of a request, and return what can be told; None: no cookie."""
        token = read_refresh(scope, self._issuer)
        raw = sole_value(cookie_header(scope), self._issuer.config.refresh_cookie.key)
        if token is None or raw is None:
            return None
        if len(self._copies) >= _MOST:
            self._copies.clear()
        handle = secrets.token_hex(8)
        self._copies[handle] = raw
        return {"copy": handle, "generation": token.generation, "session_id": token.session_id}

    async def replay(self, handle: object) -> dict[str, object] | None:
        """Ask with the copy *handle* who it is, and return the answer; None: no such copy."""
        raw = self._copies.get(handle) if isinstance(handle, str) else None
        if raw is None:
            return None
        cookie = f"{self._issuer.config.refresh_cookie.name}={raw.decode()}"
        browser = AsyncBrowser(self._app, base_url="http://127.0.0.1", raise_app_exceptions=False)
        answer = await browser.get("/me", headers={"cookie": cookie, "user-agent": "a thief"})
        return {"status": answer.status_code, **answer.json()}
