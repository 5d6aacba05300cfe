"""
fastapi-users: a cookie with a JWT, and the user from a database that is a dict.

A real one is a query more on every request.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import anyio
from fastapi import Depends, FastAPI
from fastapi.responses import PlainTextResponse
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin
from fastapi_users.authentication import AuthenticationBackend, CookieTransport, JWTStrategy

from benchmarks.browser import NOISE, SECRET, App, Request


@dataclass
class User:
    """A user that nothing is asked of."""

    id: uuid.UUID
    email: str = "alice@app.example"
    hashed_password: str = ""
    is_active: bool = True
    is_superuser: bool = False
    is_verified: bool = True


ALICE = User(uuid.UUID(int=1))


class Database:
    """The one query that is made."""

    async def get(self, number: uuid.UUID) -> User | None:
        return ALICE if number == ALICE.id else None


class Manager(UUIDIDMixin, BaseUserManager[Any, uuid.UUID]):
    """As the pages have it."""


def _manager() -> Manager:
    return Manager(Database())  # type: ignore[arg-type]


def _strategy() -> JWTStrategy[Any, uuid.UUID]:
    return JWTStrategy(SECRET, lifetime_seconds=3600)


class Adapter:
    """It refreshes nothing."""

    def __init__(self) -> None:
        transport = CookieTransport("auth", cookie_max_age=3600)
        backend: Any = AuthenticationBackend("cookie", transport, get_strategy=_strategy)
        self._user = FastAPIUsers[Any, uuid.UUID](_manager, [backend]).current_user()
        self._token = anyio.run(_strategy().write_token, ALICE)

    def build(self) -> App:
        app = FastAPI()

        @app.get("/dashboard", dependencies=[Depends(self._user)])
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
        return Request([*NOISE, f"auth={self._token}"])

    def refresh(self) -> Request | None:
        return None

    def anonymous(self) -> Request:
        return Request(NOISE, status=401)
