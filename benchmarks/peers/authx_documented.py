"""
AuthX as its pages set it up: a FastAPI route that depends on it, and the implicit middleware.

The overhead is over the same route of the same framework without either.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from authx import AuthX, AuthXConfig
from fastapi import Depends, FastAPI
from fastapi.responses import PlainTextResponse
from starlette.middleware.base import BaseHTTPMiddleware

from benchmarks.browser import NOISE, SECRET, App, Request

COOKIE = "access_token_cookie"


class Adapter:
    """The refresh request has a token that ends within `JWT_IMPLICIT_REFRESH_DELTATIME`."""

    def __init__(self) -> None:
        config = AuthXConfig(JWT_SECRET_KEY=SECRET, JWT_TOKEN_LOCATION=["cookies"])
        self._auth: AuthX[Any] = AuthX(config)

    def build(self) -> App:
        app = FastAPI()
        self._auth.handle_errors(app)
        app.add_middleware(BaseHTTPMiddleware, dispatch=self._auth.implicit_refresh_middleware)

        @app.get("/dashboard", dependencies=[Depends(self._auth.access_token_required)])
        async def dashboard() -> PlainTextResponse:
            return PlainTextResponse("ok")

        return app

    def bare(self) -> App:
        app = FastAPI()

        @app.get("/dashboard")
        async def dashboard() -> PlainTextResponse:
            return PlainTextResponse("ok")

        return app

    def valid(self) -> Request:
        return Request([*NOISE, self._cookie(timedelta(hours=1))])

    def refresh(self) -> Request | None:
        return Request([*NOISE, self._cookie(timedelta(minutes=5))], set_cookies=2)

    def anonymous(self) -> Request:
        return Request(NOISE, status=401)

    def _cookie(self, lifetime: timedelta) -> str:
        return f"{COOKIE}={self._auth.create_access_token('alice', expiry=lifetime)}"
