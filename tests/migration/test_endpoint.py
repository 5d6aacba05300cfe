"""Clients without cookies bring their old refresh token to the refresh endpoint, once."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import urlencode

import pytest

from asgi_refresh import RefreshMiddleware
from asgi_refresh.endpoints import bundle
from tests.authx.site import RealClock
from tests.blackbox.helpers import HOUR, WINDOW, Site, together
from tests.migration.site import ALICE, MODES, make_site, rows, sessions, sid, who, with_old
from tests.migration.sources import Authx, FlaskJwtExtended, Source
from tests.support import Browser, Response, whoami

pytestmark = pytest.mark.anyio

Sent = tuple[list[tuple[str, str]], bytes]
modes = pytest.mark.parametrize("stored", MODES.values(), ids=MODES)


def by_header(raw: str) -> Sent:
    return [("authorization", f"Bearer {raw}")], b""


def by_json(raw: str) -> Sent:
    return [("content-type", "application/json")], json.dumps({"refresh_token": raw}).encode()


def by_form(raw: str) -> Sent:
    values = {"grant_type": "refresh_token", "refresh_token": raw}
    return [("content-type", "application/x-www-form-urlencoded")], urlencode(values).encode()


ways = pytest.mark.parametrize("way", [by_header, by_json, by_form])


def at(clock: RealClock, source: Source, stored: bool = True) -> tuple[Site, Browser]:
    site = make_site(clock, source, stored=stored)
    app = RefreshMiddleware(whoami, site.issuer, endpoints=bundle(site.issuer))
    return site, Browser(app, clock)


async def refresh(browser: Browser, way: Callable[[str], Sent], raw: str) -> Response:
    headers, body = way(raw)
    return await browser.send("/auth/refresh", "POST", headers=headers, body=body)


async def me(browser: Browser, access: str) -> str | None:
    return who(await browser.send(headers=[("authorization", f"Bearer {access}")]))


@ways
@modes
async def test_it_is_taken(
    clock: RealClock, source: Source, way: Callable[[str], Sent], stored: bool
) -> None:
    _, browser = at(clock, source, stored)
    raw = await source.sign_in(Browser(whoami, clock))
    clock.advance(100)
    response = await refresh(browser, way, raw)
    assert response.status == 200
    tokens = response.json()
    assert await me(browser, tokens["access_token"]) == ALICE
    clock.advance(HOUR)
    again = await refresh(browser, way, tokens["refresh_token"])
    assert await me(browser, again.json()["access_token"]) == ALICE


async def test_twenty_at_once_are_one_session(clock: RealClock, source: Source) -> None:
    site, browser = at(clock, source)
    raw = await source.sign_in(Browser(whoami, clock))
    clock.advance(100)
    responses = await together([lambda: refresh(browser, by_json, raw)] * 20)
    assert {response.status for response in responses} == {200}
    assert len({response.json()["refresh_token"] for response in responses}) == 1
    assert await sessions(site.issuer) == 1


@pytest.mark.parametrize("first", ["cookie", "endpoint"])
async def test_by_cookie_and_by_hand_is_one_session(
    clock: RealClock, source: Source, first: str
) -> None:
    site, browser = at(clock, source)
    raw = await source.sign_in(Browser(whoami, clock))
    clock.advance(100)
    seen = set()
    for which in (first, "endpoint", "cookie"):
        if which == "cookie":
            seen.add(sid(await with_old(site, {source.cookie: raw}).get()))
        else:
            access = (await refresh(browser, by_json, raw)).json()["access_token"]
            seen.add(site.issuer.verify(access)["sid"])
    assert len(seen) == 1
    assert await sessions(site.issuer) == 1


@ways
async def test_a_bad_one_gets_the_answer_of_every_bad_one(
    clock: RealClock, source: Source, way: Callable[[str], Sent]
) -> None:
    site, browser = at(clock, source)
    forged = await source.forge(Browser(whoami, clock))
    other = await source.other_kind(Browser(whoami, clock))
    old = await source.sign_in(Browser(whoami, clock))
    clock.advance(source.lifetime + 5)
    answers = [await refresh(browser, way, raw) for raw in (forged, other, old, "nonsense")]
    assert {answer.status for answer in answers} == {400 if way is by_form else 401}
    assert len({answer.body for answer in answers}) == 1
    assert rows(site.store) == 0


async def test_after_the_end_of_the_session_it_is_a_bad_one(
    clock: RealClock, source: Source
) -> None:
    site, browser = at(clock, source)
    raw = await source.sign_in(Browser(whoami, clock))
    clock.advance(100)
    await refresh(browser, by_json, raw)
    await site.issuer.revoke_subject(ALICE)
    clock.advance(1)
    assert (await refresh(browser, by_json, raw)).status == 401
    assert await sessions(site.issuer) == 0


async def test_it_comes_back_long_after_it_was_traded(clock: RealClock, source: Source) -> None:
    """That is a theft, as of any first generation."""
    site, browser = at(clock, source)
    raw = await source.sign_in(Browser(whoami, clock))
    clock.advance(100)
    token = (await refresh(browser, by_json, raw)).json()["refresh_token"]
    for _ in range(2):
        clock.advance(WINDOW + HOUR)
        token = (await refresh(browser, by_json, token)).json()["refresh_token"]
    assert (await refresh(browser, by_json, raw)).status == 401
    assert (await refresh(browser, by_json, token)).status == 401
    assert [event.reason for event in site.named("reused")] == ["theft"]


async def test_an_old_access_token_is_no_access_token(clock: RealClock) -> None:
    for source in (Authx(), FlaskJwtExtended()):
        _, browser = at(clock, source)
        access = await source.other_kind(Browser(whoami, clock))
        assert await me(browser, access) is None
        raw = await source.sign_in(Browser(whoami, clock))
        headers = [("content-type", "application/json"), ("authorization", f"Bearer {access}")]
        body = json.dumps({"refresh_token": raw}).encode()
        # The client sends the access token it had, as it always did: it is of no use, or harm.
        answer = await browser.send("/auth/refresh", "POST", headers=headers, body=body)
        assert answer.status == 200


async def test_two_refresh_tokens_are_one_too_many(clock: RealClock, source: Source) -> None:
    site, browser = at(clock, source)
    raw = await source.sign_in(Browser(whoami, clock))
    clock.advance(2)
    ours = (await site.issuer.issue(ALICE)).refresh_token
    headers = [("content-type", "application/json"), ("authorization", f"Bearer {ours}")]
    body = json.dumps({"refresh_token": raw}).encode()
    assert (await browser.send("/auth/refresh", "POST", headers=headers, body=body)).status == 400


@modes
async def test_the_old_cookie_alone_refreshes_at_the_endpoint_too(
    clock: RealClock, source: Source, stored: bool
) -> None:
    """A page may ask for a refresh before anything else on the day of the switch."""
    _, browser = at(clock, source, stored)
    await source.sign_in(browser)
    clock.advance(100)
    response = await browser.post("/auth/refresh")
    assert response.status == 200
    assert source.cookie not in browser.values()
    assert who(await browser.get()) == ALICE
