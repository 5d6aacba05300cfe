"""The main job, once: sign in, let the access token expire, stay signed in, sign out."""

from __future__ import annotations

import pytest

from asgi_refresh import MemoryStore, RefreshMiddleware
from tests.support import Browser, Clock, make_issuer, whoami

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("stored", [True, False])
async def test_a_browser_stays_signed_in(clock: Clock, stored: bool) -> None:
    issuer = make_issuer(clock, store=MemoryStore() if stored else None)
    browser = Browser(RefreshMiddleware(whoami, issuer), clock)
    await browser.post("/login")
    clock.advance(3600)

    response = await browser.get("/")

    assert response.json()["subject"] == "alice"
    assert response.json()["refreshed"] is True
    await browser.post("/logout")
    assert (await browser.get("/")).json()["subject"] is None
