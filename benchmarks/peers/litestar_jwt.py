"""Litestar's `JWTCookieAuth`, over the same route of Litestar without it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from litestar import Litestar, MediaType, get
from litestar.security.jwt import JWTCookieAuth, Token

from benchmarks.browser import NOISE, SECRET, App, Request


@get("/dashboard", media_type=MediaType.TEXT)
async def dashboard() -> str:
    return "ok"


async def _user(token: Token, connection: Any) -> str:
    return token.sub


class Adapter:
    """It refreshes nothing."""

    def __init__(self) -> None:
        self._auth = JWTCookieAuth[str](retrieve_user_handler=_user, token_secret=SECRET)
        self._token = self._auth.create_token("alice", token_expiration=timedelta(hours=1))

    def build(self) -> App:
        return Litestar([dashboard], on_app_init=[self._auth.on_app_init], openapi_config=None)

    def bare(self) -> App:
        return Litestar([dashboard], openapi_config=None)

    def valid(self) -> Request:
        return Request([*NOISE, f"{self._auth.key}={self._token}"], who=lambda scope: scope["user"])

    def refresh(self) -> Request | None:
        return None

    def anonymous(self) -> Request:
        return Request(NOISE, status=401)
