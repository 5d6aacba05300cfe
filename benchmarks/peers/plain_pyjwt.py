"""What people write by hand around `jwt.decode`, as pure ASGI middleware."""

from __future__ import annotations

import os
import time
from typing import Any

import jwt
from starlette.requests import HTTPConnection

from benchmarks.browser import CLAIMS, NOISE, SECRET, App, Request, bare

KEY = SECRET.encode()


class PlainPyJWT:
    """`HTTPConnection.cookies` and `jwt.decode`; anonymous if that fails."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        token = HTTPConnection(scope).cookies.get("__Host-access")
        try:
            scope["user"] = jwt.decode(token, KEY, algorithms=["HS256"]) if token else None
        except jwt.InvalidTokenError:
            scope["user"] = None
        await self.app(scope, receive, send)


class Adapter:
    """Its token has the claims that ours has."""

    def __init__(self) -> None:
        now = int(time.time())
        claims = {
            **CLAIMS,
            "sub": "alice",
            "sid": os.urandom(16).hex(),
            "jti": os.urandom(16).hex(),
            "iat": now,
            "exp": now + 3600,
            "auth_time": now,
            "gen": 1,
        }
        self._token = jwt.encode(claims, KEY, "HS256", headers={"typ": "at+jwt", "kid": "k1"})

    def build(self) -> App:
        return PlainPyJWT(bare)

    def bare(self) -> App:
        return bare

    def valid(self) -> Request:
        cookies = [*NOISE, f"__Host-access={self._token}"]
        return Request(cookies, who=lambda scope: scope["user"]["sub"])

    def refresh(self) -> Request | None:
        return None

    def anonymous(self) -> Request:
        return Request(NOISE)
