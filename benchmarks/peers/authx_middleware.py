"""
AuthX's `implicit_refresh_middleware` alone, in front of the bare application.

It looks at access tokens only, after the application has run, and replaces one that is about to
end; one that has ended is never refreshed.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from authx import AuthX, AuthXConfig
from starlette.middleware.base import BaseHTTPMiddleware

from benchmarks.browser import NOISE, SECRET, App, Request, bare

COOKIE = "access_token_cookie"


class Adapter:
    """The refresh request has a token that ends within `JWT_IMPLICIT_REFRESH_DELTATIME`."""

    def __init__(self) -> None:
        config = AuthXConfig(JWT_SECRET_KEY=SECRET, JWT_TOKEN_LOCATION=["cookies"])
        self._auth: AuthX[Any] = AuthX(config)

    def build(self) -> App:
        return BaseHTTPMiddleware(bare, dispatch=self._auth.implicit_refresh_middleware)

    def bare(self) -> App:
        return bare

    def valid(self) -> Request:
        return Request([*NOISE, self._cookie(timedelta(hours=1))])

    def refresh(self) -> Request | None:
        # The second cookie is the one for its CSRF check.
        return Request([*NOISE, self._cookie(timedelta(minutes=5))], set_cookies=2)

    def anonymous(self) -> Request:
        return Request(NOISE)

    def _cookie(self, lifetime: timedelta) -> str:
        return f"{COOKIE}={self._auth.create_access_token('alice', expiry=lifetime)}"
