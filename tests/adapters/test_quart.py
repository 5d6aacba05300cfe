"""`current_auth` in Quart, and the requirements as decorators."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from quart import Quart, websocket

from asgi_refresh import Issuer, MemoryStore, RefreshMiddleware, require_fresh, require_scopes
from asgi_refresh.compat.quart import current_auth, requires
from asgi_refresh.testing import AsyncBrowser, WebSocketClosed, advance, sign_in
from tests.support import SECRET, Spy

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # Quart has no other


@pytest.fixture
def browser() -> AsyncBrowser:
    return AsyncBrowser(an_app(MemoryStore()))


def an_app(store: Any) -> Any:
    app = Quart("app")

    @app.get("/who")
    async def who() -> dict[str, Any]:
        return {"subject": current_auth.subject, "known": bool(current_auth)}

    @app.get("/sync")
    @requires()
    def in_a_thread() -> dict[str, Any]:
        return {"subject": current_auth.subject}

    @app.get("/me/<name>")
    @requires()
    async def me(name: str) -> dict[str, Any]:
        return {"subject": current_auth.subject, "name": name}

    @app.get("/write")
    @requires(require_scopes("write"))
    async def write() -> str:
        return "written"

    @app.get("/delete")
    @requires(require_fresh(timedelta(minutes=5)))
    async def delete() -> str:
        return "deleted"

    @app.get("/logout")
    async def logout() -> str:
        current_auth.logout()
        return ""

    @app.websocket("/ws")
    @requires()
    async def ws() -> None:
        await websocket.send(f"hello {current_auth.subject}")

    return RefreshMiddleware(app, Issuer(SECRET, store=store, on_event=lambda _event: None))


async def test_the_auth_is_at_hand(browser: AsyncBrowser) -> None:
    assert (await browser.get("/who")).json() == {"subject": None, "known": False}
    await sign_in(browser, "alice")
    assert (await browser.get("/who")).json() == {"subject": "alice", "known": True}
    await browser.get("/logout")
    assert (await browser.get("/who")).json() == {"subject": None, "known": False}


async def test_a_view_that_requires_it_runs_for_who_is_signed_in(browser: AsyncBrowser) -> None:
    await sign_in(browser, "alice")

    assert (await browser.get("/me/a")).json() == {"subject": "alice", "name": "a"}
    assert (await browser.get("/sync")).json() == {"subject": "alice"}


@pytest.mark.parametrize("path", ["/me/a", "/sync", "/write", "/delete"])
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

    answer = await browser.get("/me/a")
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


def test_outside_of_a_request_there_is_none() -> None:
    with pytest.raises(RuntimeError):
        bool(current_auth.subject)
