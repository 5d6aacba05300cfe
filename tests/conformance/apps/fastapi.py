"""FastAPI: `add_middleware`, and the dependency `get_auth`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio.to_thread
from fastapi import Depends, FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse

from asgi_refresh import Auth, RefreshMiddleware, get_auth
from tests.conformance.site import STREAM_HEADERS, Site, act, crash, told
from tests.support import App

Current = Annotated[Auth, Depends(get_auth)]


def create(site: Site) -> App:
    app = FastAPI()
    app.add_middleware(RefreshMiddleware, issuer=site.issuer, endpoints=site.endpoints)

    @app.get("/me")
    async def me(request: Request, auth: Current) -> dict[str, Any]:
        return told(auth, request.cookies)

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(pieces(), headers=STREAM_HEADERS)

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        await anyio.to_thread.run_sync(site.gate.wait)
        yield b"last"

    @app.post("/crash/{verb}")
    async def crashing(verb: str, auth: Current) -> None:
        crash(auth, verb)

    @app.post("/{verb}/sync", status_code=204)
    def in_thread(verb: str, auth: Current) -> None:
        act(auth, verb)

    @app.post("/{verb}/async", status_code=204)
    async def in_loop(verb: str, auth: Current) -> None:
        act(auth, verb)

    @app.websocket("/ws")
    async def ws(websocket: WebSocket, auth: Current) -> None:
        await websocket.accept()
        await websocket.send_json(told(auth, websocket.cookies))
        await websocket.close()

    return app
