"""Starlette: the middleware in `middleware=[…]`, inside of its ServerErrorMiddleware."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio.to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from asgi_refresh import RefreshMiddleware
from tests.conformance.site import STREAM_HEADERS, Site, act, crash, told
from tests.support import App


def create(site: Site) -> App:
    async def me(request: Request) -> Response:
        return JSONResponse(told(request.user, request.cookies))

    def in_thread(request: Request) -> Response:
        act(request.user, request.path_params["verb"])
        return Response(status_code=204)

    async def in_loop(request: Request) -> Response:
        act(request.user, request.path_params["verb"])
        return Response(status_code=204)

    async def crashing(request: Request) -> None:
        crash(request.user, request.path_params["verb"])

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        await anyio.to_thread.run_sync(site.gate.wait)
        yield b"last"

    async def stream(_: Request) -> Response:
        return StreamingResponse(pieces(), headers=STREAM_HEADERS)

    async def ws(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json(told(websocket.user, websocket.cookies))
        await websocket.close()

    return Starlette(
        routes=[
            Route("/me", me),
            Route("/stream", stream),
            Route("/crash/{verb}", crashing, methods=["POST"]),
            Route("/{verb}/sync", in_thread, methods=["POST"]),
            Route("/{verb}/async", in_loop, methods=["POST"]),
            WebSocketRoute("/ws", ws),
        ],
        middleware=[Middleware(RefreshMiddleware, issuer=site.issuer, endpoints=site.endpoints)],
    )
