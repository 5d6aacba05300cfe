"""The requirements of FastAPI's dependencies as Litestar's guards."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from litestar import Litestar, Request, WebSocket, get, websocket

from asgi_refresh import (
    Issuer,
    MemoryStore,
    RefreshMiddleware,
    require_fresh,
    require_scopes,
)
from asgi_refresh.compat.litestar import guard
from asgi_refresh.testing import AsyncBrowser, WebSocketClosed, advance, sign_in
from tests.support import SECRET, Spy

pytestmark = pytest.mark.anyio


@pytest.fixture
def browser() -> AsyncBrowser:
    return AsyncBrowser(an_app(MemoryStore()))


@get("/me", guards=[guard()])
async def me(request: Request[Any, Any, Any]) -> dict[str, Any]:
    return {"subject": request.auth.subject}


@get("/write", guards=[guard(require_scopes("write"))])
async def write() -> str:
    return "written"


@get("/delete", guards=[guard(require_fresh(timedelta(minutes=5)))])
async def delete() -> str:
    return "deleted"


@websocket("/ws", guards=[guard()])
async def ws(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    await socket.send_text(f"hello {socket.auth.subject}")
    await socket.close()


def an_app(store: Any) -> Any:
    issuer = Issuer(SECRET, store=store, on_event=lambda _event: None)
    return RefreshMiddleware(Litestar([me, write, delete, ws]), issuer)


async def test_who_is_signed_in_passes_the_guard(browser: AsyncBrowser) -> None:
    await sign_in(browser, "alice")

    assert (await browser.get("/me")).json() == {"subject": "alice"}


@pytest.mark.parametrize("path", ["/me", "/write", "/delete"])
async def test_the_anonymous_are_told_how_to_sign_in(browser: AsyncBrowser, path: str) -> None:
    refused = await browser.get(path)

    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")


async def test_scopes_are_asked_for(browser: AsyncBrowser) -> None:
    await sign_in(browser, "alice", scope="read")
    refused = await browser.get("/write")
    await sign_in(browser, "alice", scope="read write")

    assert refused.status_code == 403
    assert 'scope="write"' in refused.headers["www-authenticate"]
    assert (await browser.get("/write")).text == "written"


async def test_a_fresh_sign_in_is_asked_for(browser: AsyncBrowser) -> None:
    await sign_in(browser, "alice")
    assert (await browser.get("/delete")).text == "deleted"
    advance(browser, minutes=6)

    assert (await browser.get("/delete")).status_code == 401


async def test_an_outage_is_no_refusal() -> None:
    store = Spy()
    browser = AsyncBrowser(an_app(store))
    await sign_in(browser, "alice")
    advance(browser, minutes=10)
    store.broken.add("*")

    answer = await browser.get("/me")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_a_websocket_is_opened_for_who_is_signed_in(browser: AsyncBrowser) -> None:
    await sign_in(browser, "alice")
    async with browser.websocket("/ws") as connection:
        assert await connection.receive_text() == "hello alice"


async def test_a_websocket_is_closed_to_the_anonymous(browser: AsyncBrowser) -> None:
    with pytest.raises(WebSocketClosed) as refused:
        async with browser.websocket("/ws"):
            pass
    assert refused.value.code == 1008
