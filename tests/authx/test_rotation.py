"""What becomes of AuthX's refresh tokens with a store, and of the sessions that begin with them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.authx.site import (
    ACCESS,
    CSRF_ACCESS,
    CSRF_REFRESH,
    DAY,
    HOUR,
    LIFETIME,
    REFRESH,
    WINDOW,
    RealClock,
    Site,
    given,
    make_site,
    signed_in,
)
from tests.blackbox.helpers import together
from tests.support import Browser, Spy

pytestmark = pytest.mark.anyio

BOTH = {ACCESS, CSRF_ACCESS, REFRESH, CSRF_REFRESH}
GONE = (401, 422)


async def adopted(clock: RealClock, **kwargs: Any) -> Site:
    """Return a site whose session the store knows: it has refreshed once."""
    site = await signed_in(clock, "stored", **kwargs)
    clock.advance(LIFETIME + 5)
    assert (await site.browser.get("/me")).status == 200
    site.events.clear()
    return site


async def alive(site: Site, user: str = "alice") -> int:
    assert site.issuer is not None
    return len(await site.issuer.sessions(user))


async def status(browser: Browser, path: str = "/me") -> int:
    return (await browser.get(path)).status


# --- the tokens -----------------------------------------------------------------------------------


async def test_the_refresh_cookie_becomes_a_token_of_authx_shape(clock: RealClock) -> None:
    site = await adopted(clock)
    claims = site.read(site.browser.values()[REFRESH])

    assert claims.keys() >= {"sub", "jti", "type", "csrf", "iat", "exp", "sid", "gen"}
    assert (claims["sub"], claims["type"]) == ("alice", "refresh")
    assert clock() < claims["exp"] <= clock() + 20 * DAY
    assert (await site.browser.get("/needs-refresh")).json()["sub"] == "alice"


async def test_the_access_cookie_is_of_the_same_session(clock: RealClock) -> None:
    site = await adopted(clock)
    jar = site.browser.values()

    assert site.read(jar[ACCESS])["sid"] == site.read(jar[REFRESH])["sid"]


async def test_every_refresh_rotates_within_one_session(clock: RealClock) -> None:
    site = await signed_in(clock, "stored")
    tokens, sessions = set(), set()
    for _ in range(5):
        clock.advance(HOUR)
        assert await status(site.browser) == 200
        tokens.add(site.browser.values()[REFRESH])
        sessions.add(site.read(site.browser.values()[REFRESH])["sid"])

    assert (len(tokens), len(sessions), await alive(site)) == (5, 1, 1)


async def test_a_session_that_is_used_outlives_the_refresh_token(clock: RealClock) -> None:
    site = await signed_in(clock, "stored")
    for _ in range(4):
        clock.advance(15 * DAY)
        assert await status(site.browser) == 200


async def test_one_that_is_not_used_ends_with_its_token(clock: RealClock) -> None:
    site = await adopted(clock)
    clock.advance(20 * DAY + 5)

    response = await site.browser.get("/me")

    assert response.status in GONE
    assert given(response) == set()


# --- adoption -------------------------------------------------------------------------------------


@pytest.mark.parametrize("without_access", [True, False])
async def test_twenty_requests_at_once_adopt_one_session(
    clock: RealClock, without_access: bool
) -> None:
    site = await signed_in(clock, "stored", left=-5)
    if without_access:
        site.browser.drop(ACCESS, CSRF_ACCESS)

    answers = await together([lambda: site.browser.send("/me")] * 20)

    assert {answer.status for answer in answers} == {200}
    assert len({answer.cookies[REFRESH] for answer in answers}) == 1
    assert await alive(site) == 1


async def test_a_response_that_was_lost_costs_nothing(clock: RealClock) -> None:
    site = await signed_in(clock, "stored", left=-5)
    await site.browser.send("/me")
    clock.advance(DAY)

    assert await status(site.browser) == 200
    assert await alive(site) == 1
    clock.advance(HOUR)
    assert await status(site.browser) == 200


async def test_two_logins_are_two_sessions(clock: RealClock) -> None:
    site = await signed_in(clock, "stored")
    other = Browser(site.browser.app, clock)
    await site.sign_in(browser=other)
    clock.advance(HOUR)
    assert (await status(site.browser), await status(other)) == (200, 200)

    await site.browser.post("/logout", headers=[site.csrf()])
    clock.advance(HOUR)

    assert (await status(site.browser), await status(other)) == (401, 200)
    assert await alive(site) == 1


# --- reuse ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [1, 30, 69])
async def test_within_the_grace_an_old_token_is_a_request_on_its_way(
    clock: RealClock, seconds: float
) -> None:
    site = await adopted(clock)
    clock.advance(HOUR)
    late = site.browser.fork()
    await site.browser.get("/me")
    clock.advance(seconds)

    response = await late.get("/me")

    assert response.status == 200
    assert not site.named("reused")
    clock.advance(HOUR)
    assert await status(site.browser) == 200


@pytest.mark.parametrize("first", [True, False], ids=["AuthX's own token", "a later one"])
async def test_past_the_grace_it_ends_the_session_for_both(clock: RealClock, first: bool) -> None:
    site = await signed_in(clock, "stored")
    if not first:
        clock.advance(HOUR)
        await site.browser.get("/me")
    thief = site.browser.fork()
    for _ in range(2):
        clock.advance(HOUR)
        assert await status(site.browser) == 200

    stolen = await thief.get("/me")
    clock.advance(2)
    owner = await site.browser.get("/me")

    assert stolen.status in GONE
    assert owner.status in GONE
    assert given(stolen) | given(owner) == set()
    assert len(site.named("reused")) == 1
    assert await alive(site) == 0


async def test_the_access_cookie_of_an_ended_session_is_not_passed_down(clock: RealClock) -> None:
    site = await adopted(clock)
    site.browser.put("theme", "dark")
    assert site.issuer is not None
    assert await site.issuer.revoke_subject("alice") == 1
    clock.advance(2)

    seen = (await site.browser.get("/cookies")).json()
    response = await site.browser.get("/me")

    assert ACCESS not in seen
    assert seen["theme"] == "dark"
    assert response.status == 401
    assert given(response) == set()


async def test_a_websocket_of_an_ended_session_is_refused_too(clock: RealClock) -> None:
    site = await adopted(clock)
    before = await site.browser.websocket("/ws")
    assert site.issuer is not None
    await site.issuer.revoke_subject("alice")
    clock.advance(2)

    after = await site.browser.websocket("/ws")

    assert before[0]["type"] == "websocket.accept"
    assert after[0]["type"] != "websocket.accept"


# --- the end --------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False], ids=["adopted", "never refreshed"])
@pytest.mark.parametrize("path", ["/logout", "/logout/access", "/logout/refresh"])
async def test_after_a_logout_the_old_refresh_cookie_is_dead(
    clock: RealClock, known: bool, path: str
) -> None:
    site = await adopted(clock) if known else await signed_in(clock, "stored")
    copy = site.browser.fork()
    copy.drop(ACCESS)
    await site.browser.post(path, headers=[site.csrf()])

    at_once = await copy.get("/me")
    clock.advance(HOUR)
    later = await copy.get("/me")

    assert (at_once.status, later.status) == (401, 401)
    assert given(at_once) | given(later) == set()
    assert await alive(site) == 0


async def test_after_a_logout_every_earlier_copy_is_dead(clock: RealClock) -> None:
    site = await signed_in(clock, "stored")
    copies = [site.browser.fork()]
    for _ in range(3):
        clock.advance(HOUR)
        await site.browser.get("/me")
        copies.append(site.browser.fork())
    await site.browser.post("/logout", headers=[site.csrf()])
    clock.advance(2)

    answers = [await copy.get("/me") for copy in copies]

    assert all(answer.status in GONE for answer in answers)
    assert all(given(answer) == set() for answer in answers)


async def test_after_a_logout_a_copy_of_the_access_cookie_is_refused(clock: RealClock) -> None:
    site = await adopted(clock)
    copy = site.browser.fork()
    copy.drop(REFRESH)
    await site.browser.post("/logout", headers=[site.csrf()])
    clock.advance(2)

    assert await status(copy) == 401


async def test_a_user_can_be_signed_out_everywhere(clock: RealClock) -> None:
    site = await signed_in(clock, "stored")
    other = Browser(site.browser.app, clock)
    await site.sign_in(browser=other)
    clock.advance(HOUR)
    await site.browser.get("/me")
    clock.advance(5)
    assert site.issuer is not None
    await site.issuer.revoke_subject("alice")
    clock.advance(HOUR)

    assert await status(site.browser) in GONE
    assert await status(other) in GONE
    await site.sign_in()
    clock.advance(HOUR)
    assert await status(site.browser) == 200


async def test_a_login_on_top_is_another_session(clock: RealClock) -> None:
    site = await adopted(clock)
    before = site.read(site.browser.values()[REFRESH])["sid"]
    await site.browser.post("/login/bob", headers=[site.csrf()])
    clock.advance(HOUR)

    response = await site.browser.get("/me")

    assert (response.status, response.json()["sub"]) == (200, "bob")
    assert site.read(site.browser.values()[REFRESH])["sid"] != before


async def test_what_load_claims_says_is_in_the_next_access_token(clock: RealClock) -> None:
    said: dict[str, Any] = {"role": "admin", "scopes": ["a:read"]}
    settings = {"load_claims": lambda session: dict(said)}
    site = await signed_in(clock, "stored", settings=settings)
    clock.advance(HOUR)
    first = await site.browser.get("/scoped")
    said.update(role="member", scopes=[])
    clock.advance(HOUR)
    second = await site.browser.get("/scoped")

    assert (first.status, first.json()["role"], second.status) == (200, "admin", 403)
    assert (await site.browser.get("/me")).json()["role"] == "member"


async def test_a_store_that_does_not_answer_leaves_good_access_cookies_good(
    clock: RealClock,
) -> None:
    spy = Spy()
    site = make_site(clock, "stored", store=spy)
    await site.sign_in()
    spy.broken.add("*")

    good = await site.browser.get("/me")
    clock.advance(LIFETIME + 5)
    over = await site.browser.get("/me")
    spy.broken.clear()
    clock.advance(60)
    after = await site.browser.get("/me")

    assert (good.status, over.status, over.set_cookies, after.status) == (200, 422, [], 200)


def test_the_window_that_these_tests_count_on(clock: RealClock) -> None:
    site = make_site(clock, "stored")

    assert site.issuer is not None
    assert site.issuer.config.window.total_seconds() == WINDOW
