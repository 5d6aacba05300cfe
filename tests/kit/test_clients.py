"""The clients that people have: each is signed in, and stays so when time goes by."""

from __future__ import annotations

import importlib
import json
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, WebSocket
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from asgi_refresh import Auth, Issuer, MemoryStore, RefreshMiddleware, get_auth, require_auth
from asgi_refresh.testing import capture_events, expire_access, sign_in
from tests.support import SECRET

pytestmark = pytest.mark.anyio

SignedIn = Annotated[Auth, Depends(require_auth)]
Anybody = Annotated[Auth, Depends(get_auth)]


def an_app() -> FastAPI:
    app = FastAPI()
    app.add_middleware(RefreshMiddleware, issuer=Issuer(SECRET, store=MemoryStore()))

    @app.get("/me")
    def me(auth: SignedIn) -> dict[str, Any]:
        assert auth.payload is not None
        return {"subject": auth.subject, "role": auth.payload["role"], "new": auth.refreshed}

    @app.post("/login")
    def login(auth: Anybody) -> None:
        auth.login("bob", {"role": "guest"})

    @app.post("/logout")
    def logout(auth: Anybody) -> None:
        auth.logout()

    @app.websocket("/ws")
    async def ws(websocket: WebSocket, auth: SignedIn) -> None:
        await websocket.accept()
        await websocket.send_text(str(auth.subject))

    return app


ALICE = {"subject": "alice", "role": "admin", "new": False}


@pytest.mark.parametrize("base_url", ["http://testserver", "https://testserver"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_starlettes_test_client(base_url: str, backend: Any) -> None:
    client = TestClient(an_app(), base_url=base_url, backend=backend)
    with capture_events() as events:
        sign_in(client, "alice", role="admin")
        assert client.get("/me").json() == ALICE
        for _ in range(3):
            expire_access(client)
            assert client.get("/me").json() == ALICE | {"new": True}
            assert client.get("/me").json() == ALICE
        assert len(events.named("refreshed")) == 3
        assert client.post("/logout").status_code == 200
        assert client.get("/me").status_code == 401


def test_starlettes_test_client_in_a_block() -> None:
    with TestClient(an_app()) as client:
        sign_in(client, "alice", role="admin")
        assert client.get("/me").json() == ALICE


def test_a_websocket_of_starlettes_test_client() -> None:
    client = TestClient(an_app())
    sign_in(client, "alice", role="admin")
    own = {"origin": "https://testserver"}

    with client.websocket_connect("wss://testserver/ws", headers=own) as websocket:
        assert websocket.receive_text() == "alice"
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/ws", headers=own):
        pass  # as it is sent by ws://, its Secure cookies are not


def test_a_client_that_the_application_signed_in() -> None:
    client = TestClient(an_app(), base_url="https://testserver")
    client.post("/login")
    expire_access(client)

    assert client.get("/me").json() == {"subject": "bob", "role": "guest", "new": True}


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
@pytest.mark.parametrize("base_url", ["http://testserver", "https://testserver:8443"])
async def test_httpx(library: str, base_url: str) -> None:
    httpx = importlib.import_module(library)
    transport = httpx.ASGITransport(app=an_app())
    async with httpx.AsyncClient(transport=transport, base_url=base_url) as client:
        await sign_in(client, "alice", role="admin")
        assert (await client.get("/me")).json() == ALICE
        expire_access(client)
        assert (await client.get("/me")).json() == ALICE | {"new": True}


async def test_httpx_needs_a_base_url() -> None:
    httpx = importlib.import_module("httpx2")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=an_app())) as client:
        with pytest.raises(ValueError, match="base_url='https://testserver'"):
            await sign_in(client, "alice")


def test_litestars_test_client() -> None:
    from litestar import Litestar, Request, get
    from litestar.testing import TestClient

    @get("/me")
    async def me(request: Request[Any, Any, Any]) -> dict[str, Any]:
        return {"subject": request.user.subject, "new": request.auth.refreshed}

    issuer = Issuer(SECRET, store=MemoryStore())
    app = RefreshMiddleware(Litestar([me]), issuer)
    with TestClient(app=app) as client:
        sign_in(client, "alice", role="admin")
        assert client.get("/me").json() == {"subject": "alice", "new": False}
        expire_access(client)
        assert client.get("/me").json() == {"subject": "alice", "new": True}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_quarts_test_client() -> None:
    from quart import Quart, request, websocket

    app = Quart("app")
    app.asgi_app = RefreshMiddleware(  # type: ignore[method-assign, assignment]
        app.asgi_app, Issuer(SECRET, store=MemoryStore())
    )

    @app.get("/me")
    async def me() -> dict[str, Any]:
        auth = Auth.of(request)
        return {"subject": auth.subject, "new": auth.refreshed}

    @app.websocket("/ws")
    async def ws() -> None:
        await websocket.send(json.dumps(Auth.of(websocket).subject))

    client = app.test_client()
    await sign_in(client, "alice", role="admin")
    assert await (await client.get("/me")).get_json() == {"subject": "alice", "new": False}
    expire_access(client)
    assert await (await client.get("/me")).get_json() == {"subject": "alice", "new": True}
    async with client.websocket("/ws", headers={"origin": "http://localhost"}) as connection:
        assert await connection.receive_json() == "alice"
