"""What docs/frameworks.md says of each framework is so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asgi_refresh import RefreshMiddleware
from tests.examples.documents import execute
from tests.examples.support import ROOT, SECRET_KEY, close, patient
from tests.examples.test_quickstarts import unconfigured_django
from tests.support import Browser, Clock

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Page:
    """The applications of the page, and browsers that are signed in."""

    def __init__(self, left: list[tuple[str, dict[str, Any]]], clock: Clock) -> None:
        self._left, self._clock = dict(left), clock  # under one heading the last counts
        first = left[0][1]
        self.issuer, self.endpoints = first["issuer"], first["endpoints"]

    def app(self, heading: str) -> Any:
        return patient(self._left[heading]["app"])

    def stranger(self, heading: str) -> Browser:
        return Browser(self.app(heading), self._clock)

    async def alice(self, heading: str, **claims: Any) -> Browser:
        browser = self.stranger(heading)
        tokens = await self.issuer.issue("alice", claims)
        browser.put("__Host-access", tokens.access_token)
        browser.put("__Host-refresh", tokens.refresh_token)
        return browser


@pytest.fixture
async def page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> AsyncIterator[Page]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET_KEY", SECRET_KEY)
    with unconfigured_django():
        left = await execute(ROOT / "docs" / "frameworks.md")
        yield Page(left, clock)
        close(left[0][1]["issuer"])


async def test_fastapi(page: Page) -> None:
    alice, stranger = await page.alice("FastAPI"), page.stranger("FastAPI")

    assert (await alice.get("/")).json() == {"hello": "alice"}
    assert (await stranger.get("/")).json() == {"hello": "stranger"}
    sent = await alice.websocket("/ws")
    assert [message["text"] for message in sent if "text" in message] == ["hello alice"]
    refused = await stranger.websocket("/ws")
    assert [(message["type"], message["code"]) for message in refused] == [
        ("websocket.close", 1008)
    ]


async def test_fastapi_commits_early(page: Page) -> None:
    stranger = page.stranger("FastAPI")

    assert (await stranger.post("/login")).status == 200
    assert (await stranger.get("/")).json() == {"hello": "alice"}


async def test_starlette_requires_goes_by_the_scope_claim(page: Page) -> None:
    writer = await page.alice("Starlette", scope="read write")
    reader = await page.alice("Starlette", scope="read")

    assert (await writer.post("/edit")).body == b"edited by alice"
    assert (await reader.post("/edit")).status == 403


async def test_a_refusal_has_the_headers_of_cors_that_is_outside(page: Page) -> None:
    alice = await page.alice("Middleware order")
    origin = "https://admin.example"  # not among the trusted_origins of this issuer

    refused = await alice.post("/", headers=[("origin", origin)])

    assert refused.status == 403
    assert refused.header("access-control-allow-origin") == origin


async def test_quart(page: Page) -> None:
    alice, stranger = await page.alice("Quart"), page.stranger("Quart")

    assert (await alice.get("/me")).json() == {"hello": "alice"}
    assert (await stranger.get("/me")).status == 401
    assert "hello alice" in [message.get("text") for message in await alice.websocket("/ws")]
    refused = await stranger.websocket("/ws")
    assert [(message["type"], message["code"]) for message in refused] == [
        ("websocket.close", 1008)
    ]


async def test_litestar(page: Page, clock: Clock) -> None:
    from litestar import Litestar
    from litestar.middleware import DefineMiddleware

    alice, stranger = await page.alice("Litestar"), page.stranger("Litestar")
    middleware = DefineMiddleware(RefreshMiddleware, issuer=page.issuer, endpoints=page.endpoints)
    inside = Browser(patient(Litestar([], middleware=[middleware])), clock)

    assert (await alice.get("/me")).json() == {"hello": "alice"}
    assert (await stranger.get("/me")).status == 401
    assert (await alice.get("/drafts")).status == 403
    assert (await stranger.post("/auth/refresh")).status == 401
    assert (await inside.post("/auth/refresh")).status == 404  # why it has to be outside


async def test_bare_asgi(page: Page) -> None:
    alice, stranger = await page.alice("Bare ASGI"), page.stranger("Bare ASGI")

    assert (await alice.get("/")).body == b"hello alice"
    assert (await stranger.get("/")).status == 401
