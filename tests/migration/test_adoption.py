"""The day of the switch: whoever is signed in stays so, in one session each."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from asgi_refresh import Config, Legacy, LegacyToken, MemoryStore, RefreshMiddleware, SQLiteStore
from tests.authx.site import RealClock
from tests.blackbox.helpers import (
    ACCESS,
    DAY,
    HOUR,
    REFRESH,
    WINDOW,
    deleted,
    given,
    together,
)
from tests.migration.site import (
    ALICE,
    BOB,
    BOTH,
    MODES,
    arrived,
    make_site,
    rows,
    sessions,
    sid,
    who,
)
from tests.migration.sources import Authx, FastapiUsers, FlaskJwtExtended, Source, StarletteSessions
from tests.support import Browser, Spy, make_issuer, whoami

pytestmark = pytest.mark.anyio

modes = pytest.mark.parametrize("stored", MODES.values(), ids=MODES)


# --- one request ----------------------------------------------------------------------------------


@modes
async def test_who_was_signed_in_stays_so(clock: RealClock, source: Source, stored: bool) -> None:
    site = await arrived(clock, source, stored=stored)
    response = await site.browser.get()

    assert who(response) == ALICE
    assert (response.json()["via"], response.json()["refreshed"]) == ("cookie", True)
    assert given(response) == BOTH
    assert site.browser.values().keys() == BOTH


@modes
async def test_on_a_post_too(clock: RealClock, source: Source, stored: bool) -> None:
    site = await arrived(clock, source, stored=stored)
    own = [("origin", "https://app.example"), ("sec-fetch-site", "same-origin")]
    assert who(await site.browser.post(headers=own)) == ALICE
    assert site.browser.values().keys() == BOTH


@modes
async def test_the_first_thing_after_the_switch_is_a_login_of_theirs(
    clock: RealClock, source: Source, stored: bool
) -> None:
    """Weeks go by, every request is signed in, and the session is one."""
    site = await arrived(clock, source, stored=stored)
    seen = set()
    for _ in range(12):
        response = await site.browser.get()
        assert who(response) == ALICE
        seen.add(sid(response))
        clock.advance(5 * DAY)
    assert len(seen) == 1


@modes
async def test_old_cookies_are_deleted_and_only_those_that_came(
    clock: RealClock, source: Source, stored: bool
) -> None:
    site = await arrived(clock, source, stored=stored)
    came = set(site.browser.values())
    assert came == source.names
    assert deleted(await site.browser.get()) == came

    only = make_site(clock, source, stored=stored)
    only.browser.put(source.cookie, await source.sign_in(Browser(whoami, clock)))
    assert deleted(await only.browser.get()) == {source.cookie}


@modes
async def test_they_are_deleted_in_the_response_that_brings_ours(
    clock: RealClock, source: Source, stored: bool
) -> None:
    """A response that is for shared caches brings nothing and deletes nothing."""
    site = await arrived(clock, source, stored=stored)

    async def cached(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"cache-control", b"public, max-age=60")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})

    shared = Browser(RefreshMiddleware(cached, site.issuer), clock)
    response = await shared.send(cookies=site.browser.values())
    assert response.set_cookies == []
    assert who(await site.browser.get()) == ALICE


async def test_what_is_deleted_is_what_the_old_system_had_set(clock: RealClock) -> None:
    """Path and domain are those of its settings, or the browser would keep the cookie."""
    source = Authx(JWT_COOKIE_DOMAIN="example.org", JWT_COOKIE_SAMESITE="strict")
    site = await arrived(clock, source)
    response = await site.browser.get()
    (line,) = [line for line in response.set_cookies if line.startswith(f"{source.cookie}=")]
    parts = {part.strip().lower() for part in line.split(";")[1:]}
    assert parts == {
        "max-age=0", "path=/", "domain=example.org", "secure", "httponly", "samesite=strict",
    }  # fmt: skip


async def test_it_is_told(clock: RealClock, source: Source) -> None:
    site = await arrived(clock, source)
    await site.browser.get()
    (event,) = site.named("issued")
    assert (event.subject, event.reason) == (ALICE, "adopted")
    (session,) = await site.issuer.sessions(ALICE)
    assert event.session_id == session.id
    assert session.device is not None or event.client is not None


@modes
async def test_a_websocket_is_signed_in_and_the_old_cookies_stay_for_the_next_request(
    clock: RealClock, source: Source, stored: bool
) -> None:
    site = await arrived(clock, source, stored=stored)
    messages = await site.browser.websocket()
    assert json.loads(messages[1]["text"])["subject"] == ALICE
    lines = [value for name, value in messages[0]["headers"] if name == b"set-cookie"]
    assert [line.partition(b"=")[0] for line in lines] == [ACCESS.encode()]
    assert who(await site.browser.get()) == ALICE
    assert site.browser.values().keys() == BOTH


async def test_another_site_cannot_act_by_an_old_cookie(clock: RealClock, source: Source) -> None:
    site = await arrived(clock, source)
    response = await site.browser.post(headers=[("origin", "https://evil.example")])
    assert response.status == 403
    assert rows(site.store) == 0
    assert site.browser.values().keys() == source.names


@modes
async def test_when_the_user_signed_in_is_not_known(
    clock: RealClock, source: Source, stored: bool
) -> None:
    site = await arrived(clock, source, stored=stored)
    assert (await site.browser.get()).json()["payload"]["auth_time"] == 0


async def test_a_session_of_ours_comes_first(clock: RealClock, source: Source) -> None:
    site = await arrived(clock, source)
    session_id = await site.sign_in(BOB)
    response = await site.browser.get()
    assert (who(response), sid(response)) == (BOB, session_id)
    assert response.set_cookies == []


@modes
async def test_the_cookies_end_with_the_browser_where_they_did(
    clock: RealClock, stored: bool
) -> None:
    """AuthX: cookies without Max-Age, unless JWT_COOKIE_MAX_AGE says otherwise."""
    short = await arrived(clock, Authx(), stored=stored)
    assert not any("max-age=1" in line.lower() for line in (await short.browser.get()).set_cookies)
    assert all(cookie.expires_at is None for cookie in short.browser.jar.values())

    for source in (
        Authx(JWT_COOKIE_MAX_AGE=20 * 86400),
        FlaskJwtExtended(JWT_SESSION_COOKIE=False),
    ):
        lasting = await arrived(clock, source, stored=stored)
        await lasting.browser.get()
        assert all(cookie.expires_at is not None for cookie in lasting.browser.jar.values())


# --- at once --------------------------------------------------------------------------------------


@modes
async def test_twenty_requests_at_once_are_one_session(
    clock: RealClock, source: Source, stored: bool
) -> None:
    site = await arrived(clock, source, stored=stored)
    responses = await together([site.browser.send] * 20)

    assert {who(response) for response in responses} == {ALICE}
    assert len({sid(response) for response in responses}) == 1
    if stored:
        assert len({response.cookies[REFRESH] for response in responses}) == 1
        assert await sessions(site.issuer) == 1
        assert len(site.named("issued")) == 1
    for response in reversed(responses):  # in whatever order they arrive
        site.browser.deliver(response)
    clock.advance(HOUR)
    assert who(await site.browser.get()) == ALICE
    assert site.browser.values().keys() == BOTH


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_by_two_processes_too(
    clock: RealClock, source: Source, kind: str, tmp_path: Path
) -> None:
    site = make_site(clock, source, store=MemoryStore())
    events = site.events
    async with anyio.create_task_group() as group:
        stores: list[Any] = [site.store, site.store]
        if kind == "sqlite":
            stores = [SQLiteStore(tmp_path / "sessions.db") for _ in range(2)]
        issuers = [
            make_issuer(clock, store=store, accept_legacy=source.legacy(), on_event=events.append)
            for store in stores
        ]
        browsers = [Browser(RefreshMiddleware(whoami, issuer), clock) for issuer in issuers]
        await source.sign_in(browsers[0])
        clock.advance(100)
        cookies = browsers[0].values()
        for round_ in range(2):
            responses = await together(
                [lambda b=b: b.send(cookies=cookies) for b in browsers for _ in range(10)]
            )
            assert {who(response) for response in responses} == {ALICE}
            assert len({sid(response) for response in responses}) == 1
            assert len({response.cookies[REFRESH] for response in responses}) == 1
            assert await sessions(issuers[1]) == 1
            clock.advance(round_ + 1)
        assert sum(event.name == "issued" for event in events) == 1
        assert not any(event.name in ("reused", "revoked") for event in events)
        for store in stores:
            if isinstance(store, SQLiteStore):
                store.close()
        group.cancel_scope.cancel()


async def test_who_loses_the_race_to_add_takes_what_the_other_added(
    clock: RealClock, source: Source
) -> None:
    """Two processes: both have found nothing when the first of them adds."""
    store = MemoryStore()
    slow, fast = Spy(store), Spy(store)
    sites = [make_site(clock, source, store=spy) for spy in (slow, fast)]
    await source.sign_in(sites[0].browser)
    cookies = sites[0].browser.values()
    slow.gates["add"] = anyio.Event()
    late: list[Any] = []

    async def first() -> None:
        late.append(await sites[0].browser.send(cookies=cookies))

    async with anyio.create_task_group() as group:
        group.start_soon(first)
        while "add" not in slow.calls:
            await anyio.lowlevel.checkpoint()
        winner = await sites[1].browser.send(cookies=cookies)
        slow.gates["add"].set()
    assert (who(winner), who(late[0])) == (ALICE, ALICE)
    assert sid(winner) == sid(late[0])
    assert winner.cookies[REFRESH] == late[0].cookies[REFRESH]
    assert await sessions(sites[0].issuer) == 1


async def test_a_response_that_is_lost_costs_nothing(clock: RealClock, source: Source) -> None:
    site = await arrived(clock, source)
    lost = await site.browser.send()
    clock.advance(WINDOW - 5)
    again = await site.browser.get()
    assert sid(lost) == sid(again)
    assert again.cookies[REFRESH] == lost.cookies[REFRESH]
    clock.advance(HOUR)
    assert who(await site.browser.get()) == ALICE


async def test_a_handler_that_crashes_has_adopted_without_taking_the_cookie(
    clock: RealClock, source: Source
) -> None:
    site = await arrived(clock, source)

    async def crash(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    broken = Browser(RefreshMiddleware(crash, site.issuer), clock)
    with pytest.raises(ZeroDivisionError):
        await broken.send(cookies=site.browser.values())
    (session,) = await site.issuer.sessions(ALICE)
    assert session.idle_expires_at == clock() + 14 * DAY
    assert who(await site.browser.get()) == ALICE
    assert await sessions(site.issuer) == 1


# --- who is not taken -----------------------------------------------------------------------------


async def nobody(site: Any, reason: str | None = None) -> None:
    """Anonymous, nothing deleted, nothing written."""
    before = site.browser.values()
    response = await site.browser.navigate()
    assert who(response) is None
    assert response.set_cookies == []
    assert site.browser.values() == before
    if reason is not None:
        assert response.json()["reason"] == reason
    if site.store is not None:
        assert rows(site.store) == 0
        assert site.store.count("add", "replace", "revoke") == 0


@modes
async def test_expired(clock: RealClock, source: Source, stored: bool) -> None:
    site = await arrived(clock, source, stored=stored, age=source.lifetime - 5)
    for cookie in site.browser.jar.values():
        cookie.expires_at = None  # a browser that does not forget
    twin = site.browser.fork()
    clock.advance(10)
    await nobody(site, "invalid_token")
    clock.advance(-10)
    assert who(await twin.get()) == ALICE


@modes
async def test_forged(clock: RealClock, source: Source, stored: bool) -> None:
    site = make_site(clock, source, stored=stored)
    await source.forge(site.browser)
    await nobody(site, "invalid_token")


@modes
async def test_tampered_with(clock: RealClock, source: Source, stored: bool) -> None:
    site = make_site(clock, source, stored=stored)
    token = await source.sign_in(site.browser)
    for spelling in (token[:-4] + "AAAA", token[1:], f"{token}.", "", "null", "é", "x" * 5000):
        site.browser.put(source.cookie, spelling)
        await nobody(site)


@modes
async def test_of_another_kind(clock: RealClock, source: Source, stored: bool) -> None:
    site = make_site(clock, source, stored=stored)
    site.browser.put(source.cookie, await source.other_kind(site.browser))
    await nobody(site, "invalid_token")


@modes
async def test_an_old_access_cookie_alone_signs_nobody_in(clock: RealClock, stored: bool) -> None:
    for source in (Authx(), FlaskJwtExtended()):
        site = await arrived(clock, source, stored=stored, age=10)
        site.browser.drop(source.cookie)
        await nobody(site, "no_credentials")


@modes
async def test_older_than_a_session_may_be(clock: RealClock, source: Source, stored: bool) -> None:
    config = Config(session_lifetime=timedelta(days=7), idle_lifetime=timedelta(days=5))
    site = await arrived(clock, source, stored=stored, age=7 * DAY - 100, config=config)
    before = site.browser.fork()
    assert who(await site.browser.get()) == ALICE
    clock.advance(200)
    assert who(await site.browser.get()) is None  # the session ends where it would have

    response = await before.get()
    assert (who(response), response.json()["reason"]) == (None, "session_ended")


async def test_one_that_comes_too_late_leaves_nothing_behind(
    clock: RealClock, source: Source
) -> None:
    config = Config(session_lifetime=timedelta(days=7), idle_lifetime=timedelta(days=5))
    site = await arrived(clock, source, age=7 * DAY + 1, config=config)
    response = await site.browser.get()
    assert (who(response), response.json()["reason"]) == (None, "session_ended")
    assert response.set_cookies == []
    assert rows(site.store) == 0
    response = await site.browser.navigate()
    assert deleted(response) == source.names


async def test_load_claims_is_asked(clock: RealClock, source: Source) -> None:
    refused = await arrived(clock, source, load_claims=lambda _session: None)
    response = await refused.browser.get()
    assert (who(response), response.json()["reason"]) == (None, "claims_refused")
    assert await sessions(refused.issuer) == 0

    site = await arrived(clock, source, load_claims=lambda session: {"role": session.subject})
    assert (await site.browser.get()).json()["payload"]["role"] == ALICE


# --- claims ---------------------------------------------------------------------------------------


@modes
async def test_claims_travel(clock: RealClock, stored: bool) -> None:
    for source in (Authx(), FlaskJwtExtended()):
        claims = {"role": "admin", "teams": ["a", {"b": 1}]}
        site = await arrived(clock, source, stored=stored, claims=claims)
        for _ in range(2):
            payload = (await site.browser.get()).json()["payload"]
            assert {name: payload[name] for name in claims} == claims
            clock.advance(HOUR)


@modes
async def test_what_only_the_old_system_understood_does_not(
    clock: RealClock, source: Source, stored: bool
) -> None:
    site = await arrived(clock, source, stored=stored)
    payload = (await site.browser.get()).json()["payload"]
    known = {"sub", "sid", "jti", "iat", "exp", "auth_time", "gen"}
    assert payload.keys() == known


@modes
async def test_reserved_claims_are_ours_to_set(clock: RealClock, stored: bool) -> None:
    """An old token cannot choose a session, a generation or a sign-in time."""
    says = {"sid": "f" * 32, "gen": 7, "auth_time": 1_900_000_000, "typ": "x"}
    for source in (Authx(), FlaskJwtExtended()):
        site = await arrived(clock, source, stored=stored, claims=says)
        payload = (await site.browser.get()).json()["payload"]
        assert payload["sid"] != says["sid"]
        assert payload["auth_time"] == 0
        assert payload["gen"] in (0, 1)
        assert "typ" not in payload


# --- two cookies ----------------------------------------------------------------------------------


async def twice(site: Any, source: Source, first: str, second: str) -> Any:
    pairs = f"{source.cookie}={first}; {source.cookie}={second}"
    return await site.browser.send(cookies={}, headers=[("cookie", pairs)])


@modes
async def test_two_of_one_name_and_one_user_count_once(
    clock: RealClock, source: Source, stored: bool
) -> None:
    site = make_site(clock, source, stored=stored)
    token = await source.sign_in(Browser(whoami, clock))
    forged = await source.forge(Browser(whoami, clock))
    for pair in ((token, token), (token, forged), (forged, token)):
        assert who(await twice(site, source, *pair)) == ALICE


@modes
async def test_two_that_differ_sign_nobody_in(
    clock: RealClock, source: Source, stored: bool
) -> None:
    site = make_site(clock, source, stored=stored)
    alice = await source.sign_in(Browser(whoami, clock))
    bob = await source.sign_in(Browser(whoami, clock), "bob")
    clock.advance(1)
    for pair in ((alice, bob), (bob, alice)):
        response = await twice(site, source, *pair)
        assert (who(response), response.json()["reason"]) == (None, "ambiguous_cookies")
        assert response.set_cookies == []
    if stored:
        assert rows(site.store) == 0


# --- sources one by one ---------------------------------------------------------------------------


async def test_two_sign_ins_are_two_sessions(clock: RealClock, source: Source) -> None:
    site = await arrived(clock, source)
    other = Browser(site.browser.app, clock)
    await source.sign_in(other)
    assert sid(await site.browser.get()) != sid(await other.get())
    assert await sessions(site.issuer) == 2


async def test_two_fastapi_users_tokens_of_one_second_are_one_session(clock: RealClock) -> None:
    site = make_site(clock, FastapiUsers())
    other = Browser(site.browser.app, clock)
    first = await FastapiUsers().sign_in(site.browser)
    assert await FastapiUsers().sign_in(other) == first
    assert sid(await site.browser.get()) == sid(await other.get())


async def test_starlettes_session_without_a_user_stays_what_it_is(clock: RealClock) -> None:
    source = StarletteSessions()
    site = make_site(clock, source)
    site.browser.put("session", await source.other_kind(site.browser))
    await nobody(site)


async def test_a_reader_of_ones_own_id_makes_one_session_of_all_copies(clock: RealClock) -> None:
    def read(raw: str) -> LegacyToken:
        return LegacyToken(raw.partition("~")[0], ALICE, clock() + DAY, clock())

    legacy = Legacy(read, Authx().legacy().cookie)
    site = make_site(clock, Authx())
    site.issuer.legacy._legacy = legacy
    pair = [await site.browser.send(cookies={Authx.cookie: f"one~{n}"}) for n in range(2)]
    assert sid(pair[0]) == sid(pair[1])


async def test_one_that_does_not_say_when_it_began_begins_now(clock: RealClock) -> None:
    legacy = Legacy(lambda _raw: LegacyToken("id", ALICE, clock() + DAY), Authx().legacy().cookie)
    site = make_site(clock, Authx())
    site.issuer.legacy._legacy = legacy
    site.browser.put(Authx.cookie, "anything")
    assert who(await site.browser.get()) == ALICE
    (session,) = await site.issuer.sessions(ALICE)
    assert session.created_at == clock()
    assert session.expires_at == clock() + 90 * DAY


async def test_a_session_is_used_for_as_long_as_one_of_ours(
    clock: RealClock, source: Source
) -> None:
    """Adopted, it is not over with the old token, but when it has not been used for long."""
    site = await arrived(clock, source, age=source.lifetime - 100)
    for cookie in site.browser.jar.values():
        cookie.expires_at = None
    assert who(await site.browser.get()) == ALICE
    (session,) = await site.issuer.sessions(ALICE)
    assert session.idle_expires_at == clock() + 14 * DAY
    assert session.expires_at == pytest.approx(clock() - source.lifetime + 100 + 90 * DAY, abs=1)
    for cookie in site.browser.jar.values():
        cookie.expires_at = None
    clock.advance(13 * DAY)
    assert who(await site.browser.get()) == ALICE
    clock.advance(15 * DAY)
    assert who(await site.browser.get()) is None
