"""Flask through a2wsgi; WSGI has no WebSockets, so an ASGI application beside it answers them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from a2wsgi import WSGIMiddleware
from flask import Flask, request

from asgi_refresh import Auth, RefreshMiddleware
from tests.conformance.apps.bare import with_websockets
from tests.conformance.site import STREAM_HEADERS, Site, act, crash, told
from tests.support import App


def create(site: Site) -> App:
    app = Flask("conformance")

    @app.get("/me")
    def me() -> dict[str, Any]:
        return told(current(), request.cookies)

    @app.get("/stream")
    def stream() -> tuple[Iterator[bytes], int, dict[str, str]]:
        return pieces(), 200, STREAM_HEADERS

    def pieces() -> Iterator[bytes]:
        yield b"first"
        site.gate.wait()
        yield b"last"

    @app.post("/crash/<verb>")
    def crashing(verb: str) -> None:
        crash(current(), verb)

    @app.post("/<verb>/sync")
    def in_thread(verb: str) -> tuple[str, int]:
        act(current(), verb)
        return "", 204

    @app.post("/<verb>/async")
    async def in_loop(verb: str) -> tuple[str, int]:
        act(current(), verb)
        return "", 204

    return RefreshMiddleware(
        with_websockets(WSGIMiddleware(app.wsgi_app)), site.issuer, endpoints=site.endpoints
    )


def current() -> Auth:
    return Auth.of(request.environ["asgi.scope"])
