"""First the application is kept, and refreshed for; then AuthX is left behind, with one store."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_refresh import MemoryStore
from tests.authx import site as authx
from tests.authx.site import RealClock
from tests.blackbox.helpers import HOUR, Site, make_site
from tests.migration.site import who, with_old
from tests.support import Browser

pytestmark = pytest.mark.anyio


async def kept(clock: RealClock) -> tuple[authx.Site, Any]:
    """Return an AuthX application with ours in front, where alice has been refreshed for."""
    store = MemoryStore()
    before = await authx.signed_in(clock, "stored", store=store)
    clock.advance(HOUR)
    assert (await before.browser.get("/me")).status == 200
    return before, store


def left(clock: RealClock, before: authx.Site, store: Any) -> Site:
    from asgi_refresh.compat.authx import authx_legacy

    return make_site(clock, store=store, accept_legacy=authx_legacy(before.auth.config))


async def test_nobody_is_signed_out_by_the_second_step_either(clock: RealClock) -> None:
    before, store = await kept(clock)
    after = left(clock, before, store)
    clock.advance(HOUR)
    browser = with_old(after, before.browser.values())
    for _ in range(2):
        assert who(await browser.get()) == "alice"
        clock.advance(HOUR)


async def test_an_authx_token_that_was_ended_in_the_first_stays_so(clock: RealClock) -> None:
    store = MemoryStore()
    before = await authx.signed_in(clock, "stored", store=store)
    first = before.browser.fork()
    clock.advance(HOUR)
    await before.browser.get("/me")
    await before.browser.post("/logout")
    clock.advance(HOUR)
    assert who(await with_old(left(clock, before, store), first.values()).get()) is None


async def test_so_does_one_of_ours_in_authx_shape(clock: RealClock) -> None:
    before, store = await kept(clock)
    copy = before.browser.fork()
    await before.browser.post("/logout")
    clock.advance(HOUR)
    assert before.issuer is not None
    assert await before.issuer.sessions("alice") == []
    assert (await copy.fork().get("/me")).status in (401, 422)  # it is dead there
    assert who(await with_old(left(clock, before, store), copy.values()).get()) is None


async def test_a_rotated_one_is_of_the_session_that_it_was(clock: RealClock) -> None:
    before, store = await kept(clock)
    thief: Browser = before.browser.fork()
    for _ in range(2):
        clock.advance(HOUR)
        assert (await before.browser.get("/me")).status == 200
    after = left(clock, before, store)
    clock.advance(HOUR)
    assert who(await with_old(after, before.browser.values()).get()) == "alice"
    assert who(await with_old(after, thief.values()).get()) is None
