"""Starlette's `AuthenticationMiddleware` with a backend that calls `jwt.decode`."""

from __future__ import annotations

import time
from typing import Any

import jwt
from starlette.authentication import (
    AuthCredentials,
    AuthenticationBackend,
    BaseUser,
    SimpleUser,
)
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection

from benchmarks.browser import CLAIMS, NOISE, SECRET, App, Request, bare

KEY = SECRET.encode()


class Backend(AuthenticationBackend):
    """Anonymous without a cookie, or with one that is not good."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        token = conn.cookies.get("access")
        if token is None:
            return None
        try:
            claims = jwt.decode(token, KEY, algorithms=["HS256"])
        except jwt.InvalidTokenError:
            return None
        return AuthCredentials(claims["scope"].split()), SimpleUser(claims["sub"])


class Adapter:
    """It refreshes nothing."""

    def __init__(self) -> None:
        now = int(time.time())
        claims = {**CLAIMS, "sub": "alice", "jti": "0" * 32, "iat": now, "exp": now + 3600}
        self._cookie = f"access={jwt.encode(claims, KEY, 'HS256')}"

    def build(self) -> App:
        return AuthenticationMiddleware(bare, backend=Backend())

    def bare(self) -> App:
        return bare

    def valid(self) -> Request:
        return Request([*NOISE, self._cookie], who=_name)

    def refresh(self) -> Request | None:
        return None

    def anonymous(self) -> Request:
        return Request(NOISE)


def _name(scope: Any) -> object:
    return scope["user"].username
