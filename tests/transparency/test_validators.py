"""What goes through the middleware is as ASGI has it, by the word of two validators."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from importlib.util import find_spec
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from asgi_refresh import Auth, MemoryStore, RefreshMiddleware
from tests.support import App, Clock, make_issuer, require

from .validators import ORIGIN, SERVERS, Server

pytestmark = pytest.mark.anyio
HOUR = 3600


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # both validators are


async def act(request: Request) -> Response:
    await request.body()
    verb = request.path_params["verb"]
    if verb == "login":
        Auth.of(request).login("alice")
    elif verb == "logout":
        Auth.of(request).logout()
    return Response(status_code=204)


def told(auth: Auth) -> dict[str, Any]:
    return {"subject": auth.subject, "refreshed": auth.refreshed}


async def me(request: Request) -> Response:
    return JSONResponse(told(Auth.of(request)))


async def stream(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"%d" % number
        yield json.dumps(told(Auth.of(request))).encode()

    return StreamingResponse(pieces())


async def socket(websocket: WebSocket) -> None:
    await websocket.accept(headers=[(b"x-app", b"1")])
    await websocket.send_json(told(Auth.of(websocket)))
    await websocket.receive()  # that it is closed: Falcon's forgets what it has not yet told


@pytest.fixture(params=SERVERS)
async def server(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[Server]:
    require(find_spec(request.param) is not None, f"{request.param} is not installed")
    routes = [
        Route("/me", me),
        Route("/stream", stream),
        Route("/{verb}", act, methods=["POST"]),
        WebSocketRoute("/ws", socket),
    ]
    issuer = make_issuer(clock, store=MemoryStore())
    async with SERVERS[request.param].of(RefreshMiddleware(Starlette(routes=routes), issuer)) as it:
        yield it


async def sign_in(server: Server) -> None:
    assert await server.ask("POST", "/login", "same-origin") == (204, b"")


@pytest.mark.parametrize("path", ["/me", "/stream"])
async def test_an_anonymous_request(server: Server, path: str) -> None:
    _, body = await server.ask("GET", path, "same-origin")

    assert body.endswith(b'null,"refreshed":false}') or b'"subject": null' in body
    assert server.jar == {}


async def test_a_request_without_a_route(server: Server) -> None:
    assert (await server.ask("GET", "/nowhere/at/all", "none"))[0] == 404


@pytest.mark.parametrize("path", ["/me", "/stream"])
async def test_a_request_that_is_signed_in(server: Server, path: str) -> None:
    await sign_in(server)

    _, body = await server.ask("GET", path, "same-origin")

    assert json.loads(body[body.index(b"{") :]) == {"subject": "alice", "refreshed": False}


@pytest.mark.parametrize("path", ["/me", "/stream"])
async def test_a_request_that_is_refreshed(server: Server, clock: Clock, path: str) -> None:
    await sign_in(server)
    before = dict(server.jar)
    clock.advance(HOUR)

    _, body = await server.ask("GET", path, "same-origin")

    assert json.loads(body[body.index(b"{") :]) == {"subject": "alice", "refreshed": True}
    assert len(before.items() - server.jar.items()) == 2


async def test_a_request_with_a_body_that_is_refreshed(server: Server, clock: Clock) -> None:
    await sign_in(server)
    before = dict(server.jar)
    clock.advance(HOUR)

    assert await server.ask("POST", "/nothing", "same-origin") == (204, b"")
    assert len(before.items() - server.jar.items()) == 2


async def test_a_request_that_signs_out(server: Server) -> None:
    await sign_in(server)

    assert await server.ask("POST", "/logout", "same-origin") == (204, b"")
    assert server.jar == {}


async def test_a_request_that_is_turned_away(server: Server) -> None:
    await sign_in(server)

    assert (await server.ask("POST", "/logout", "cross-site"))[0] == 403


async def test_a_request_with_garbage(server: Server) -> None:
    server.jar["__Host-access"] = "garbage"

    _, body = await server.ask("GET", "/me", "same-origin")

    assert json.loads(body)["subject"] is None


async def test_an_anonymous_handshake(server: Server) -> None:
    assert await server.websocket(ORIGIN) == {"subject": None, "refreshed": False}


async def test_a_handshake_that_is_signed_in(server: Server) -> None:
    await sign_in(server)

    assert await server.websocket(ORIGIN) == {"subject": "alice", "refreshed": False}


async def test_a_handshake_that_is_refreshed(server: Server, clock: Clock) -> None:
    await sign_in(server)
    before = dict(server.jar)
    clock.advance(HOUR)

    assert await server.websocket(ORIGIN) == {"subject": "alice", "refreshed": True}
    assert len(before.items() - server.jar.items()) == 1


async def test_a_handshake_that_is_turned_away(server: Server) -> None:
    await sign_in(server)

    assert await server.websocket("https://evil.example") is None


# --- what the validators would not let pass ------------------------------------------------------


def changed(app: App, **more: Any) -> App:
    """An application whose starts are wrong."""

    async def wrong(scope: Any, receive: Any, send: Any) -> None:
        async def forward(message: Any) -> None:
            await send({**message, **more} if message["type"].endswith("start") else message)

        await app(scope, receive, forward)

    return wrong


@pytest.mark.parametrize(
    "headers", [[(b"Set-Cookie", b"a=1")], [("x", "1")], [(b"x", b"a\nb")]], ids=str
)
async def test_falcon_sees_a_bad_header(headers: Any) -> None:
    require(find_spec("falcon") is not None, "falcon is not installed")
    app = changed(Starlette(routes=[Route("/me", Response())]), headers=headers)
    with pytest.raises((TypeError, ValueError)):
        async with SERVERS["falcon"].of(app) as server:
            await server.ask("GET", "/me", "none")


@pytest.mark.parametrize("body", [{}, {"more_body": True}], ids=["twice", "never"])
async def test_asgiref_sees_a_body_that_ends_twice_or_never(body: Any) -> None:
    require(find_spec("asgiref") is not None, "asgiref is not installed")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"", **body})
            await send({"type": "http.response.body", "body": b"", **body})

    with pytest.raises(AssertionError):
        await SERVERS["asgiref"](app).ask("GET", "/me", "none")
