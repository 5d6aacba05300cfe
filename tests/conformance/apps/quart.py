"""Quart: around `asgi_app`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio.to_thread
from quart import Quart, request, websocket

from asgi_refresh import Auth, RefreshMiddleware
from tests.conformance.site import STREAM_HEADERS, Site, act, crash, told
from tests.support import App


def create(site: Site) -> App:
    app = Quart("conformance")
    app.asgi_app = RefreshMiddleware(app.asgi_app, site.issuer, endpoints=site.endpoints)

    @app.get("/me")
    async def me() -> dict[str, Any]:
        return told(Auth.of(request), request.cookies)

    @app.get("/stream")
    async def stream() -> tuple[AsyncIterator[bytes], int, dict[str, str]]:
        return pieces(), 200, STREAM_HEADERS

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        await anyio.to_thread.run_sync(site.gate.wait)
        yield b"last"

    @app.post("/crash/<verb>")
    async def crashing(verb: str) -> None:
        crash(Auth.of(request), verb)

    @app.post("/<verb>/sync")
    def in_thread(verb: str) -> tuple[str, int]:
        act(Auth.of(request), verb)
        return "", 204

    @app.post("/<verb>/async")
    async def in_loop(verb: str) -> tuple[str, int]:
        act(Auth.of(request), verb)
        return "", 204

    @app.websocket("/ws")
    async def ws() -> None:
        await websocket.send_json(told(Auth.of(websocket), websocket.cookies))

    return app
