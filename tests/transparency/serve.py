"""
`tests.transparency.serve:app`, what uvicorn runs: the application that the environment names.

Beside it, `/beside/login` and `/beside/logout` act on the session; `/beside/advance/SECONDS` moves
the clock, and is not seen by the middleware.
"""

from __future__ import annotations

import importlib
import os
import time
from pathlib import Path
from typing import Any

from asgi_refresh import Auth, MemoryStore, RefreshMiddleware
from tests.support import App, Clock, answer, make_issuer

from .visitor import BESIDE, FOLDER, NAME


def with_sign_in(app: App) -> App:
    async def signing_in(scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if path == f"{BESIDE}login":
            Auth.of(scope).login("alice")
        elif path == f"{BESIDE}logout":
            Auth.of(scope).logout()
        else:
            await app(scope, receive, send)
            return
        await answer(send, 204)

    return signing_in


def with_clock(app: App, clock: Clock) -> App:
    async def moving(scope: Any, receive: Any, send: Any) -> None:
        _, found, seconds = scope.get("path", "").partition(f"{BESIDE}advance/")
        if found:
            clock.advance(float(seconds))
            await answer(send, 204)
        else:
            await app(scope, receive, send)

    return moving


def _served(name: str, folder: Path) -> App:
    create = importlib.import_module(f"tests.transparency.apps.{name}").create
    clock = Clock(time.time())
    issuer = make_issuer(clock, store=MemoryStore())
    # Django has a user of its own.
    middleware = RefreshMiddleware(with_sign_in(create(folder)), issuer, starlette=name != "django")
    return with_clock(middleware, clock)


app = _served(os.environ[NAME], Path(os.environ[FOLDER]))
