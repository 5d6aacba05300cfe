"""Litestar: around the application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio.to_thread
from litestar import Litestar, Request, WebSocket, get, post, websocket
from litestar.response import Stream

from asgi_refresh import RefreshMiddleware
from tests.conformance.site import STREAM_HEADERS, Site, act, crash, told
from tests.support import App


@get("/me")
async def me(request: Request[Any, Any, Any]) -> dict[str, Any]:
    return told(request.user, request.cookies)


@post("/crash/{verb:str}")
async def crashing(request: Request[Any, Any, Any], verb: str) -> None:
    crash(request.user, verb)


@post("/{verb:str}/sync", status_code=204, sync_to_thread=True)
def in_thread(request: Request[Any, Any, Any], verb: str) -> None:
    act(request.user, verb)


@post("/{verb:str}/async", status_code=204)
async def in_loop(request: Request[Any, Any, Any], verb: str) -> None:
    act(request.user, verb)


@websocket("/ws")
async def ws(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    await socket.send_json(told(socket.user, socket.cookies))
    await socket.close()


def create(site: Site) -> App:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        await anyio.to_thread.run_sync(site.gate.wait)
        yield b"last"

    @get("/stream")
    async def stream() -> Stream:
        return Stream(pieces(), headers=STREAM_HEADERS)

    app = Litestar([me, stream, crashing, in_thread, in_loop, ws])
    return RefreshMiddleware(app, site.issuer, endpoints=site.endpoints)
