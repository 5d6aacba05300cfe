"""
A session has ended, and somebody has a copy of its cookies: no way of sending them is good.

AuthX asks no store, so what must not be taken for good must not reach it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.authx.site import (
    ACCESS,
    CSRF_REFRESH,
    HOUR,
    LIFETIME,
    REFRESH,
    RealClock,
    Site,
    given,
    signed_in,
)
from tests.support import Browser

pytestmark = pytest.mark.anyio

Headers = list[tuple[str, str]]


async def ended(clock: RealClock, *, known: bool = True, **kwargs: Any) -> tuple[Site, Browser]:
    """Return a site whose user has signed out, and who has a copy of the cookies, all unexpired."""
    site = await signed_in(clock, "stored", **kwargs)
    if known:
        clock.advance(LIFETIME + 5)
        assert (await site.browser.get("/me")).status == 200
    copy = site.browser.fork()
    response = await site.browser.post("/logout", headers=[site.csrf()])
    assert response.status == 200
    clock.advance(2)
    return site, copy


SPELLINGS: dict[str, Callable[[str], Headers]] = {
    "plain": lambda raw: [("cookie", f"{ACCESS}={raw}")],
    "quoted": lambda raw: [("cookie", f'{ACCESS}="{raw}"')],
    "quoted, with an escape": lambda raw: [
        ("cookie", f'{ACCESS}="{raw.replace(".", chr(92) + "056")}"')
    ],
    "with spaces": lambda raw: [("cookie", f"{ACCESS} = {raw} ")],
    "twice": lambda raw: [("cookie", f"{ACCESS}={raw}; {ACCESS}={raw}")],
    "beside garbage": lambda raw: [("cookie", f"{ACCESS}=x; {ACCESS}={raw}")],
    "before garbage": lambda raw: [("cookie", f"{ACCESS}={raw}; {ACCESS}=x")],
    "in a header of its own": lambda raw: [("cookie", "a=b"), ("cookie", f"{ACCESS}={raw}")],
    "after a very long cookie": lambda raw: [("cookie", f"a={'x' * 20_000}; {ACCESS}={raw}")],
    "among very many": lambda raw: [("cookie", "a=b; " * 2_000 + f"{ACCESS}={raw}")],
    "in capitals": lambda raw: [("Cookie", f"{ACCESS}={raw}")],
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("known", [True, False], ids=["refreshed", "AuthX's own"])
async def test_its_access_cookie_is_refused_however_it_is_spelt(
    clock: RealClock, spelling: str, known: bool
) -> None:
    _site, copy = await ended(clock, known=known)
    headers = SPELLINGS[spelling](copy.values()[ACCESS])

    response = await copy.get("/me", cookies={}, headers=headers)

    assert response.status in (401, 422)
    assert given(response) == set()


@pytest.mark.parametrize("others", [0, 1, 2])
async def test_its_refresh_cookie_is_refused_beside_whatever_access_cookies(
    clock: RealClock, others: int
) -> None:
    site, copy = await ended(clock, known=False)
    old = copy.values()
    accesses = [f"{ACCESS}={site.auth.create_access_token('mallory')}" for _ in range(others)]
    cookie = "; ".join([*accesses, f"{REFRESH}={old[REFRESH]}"])
    headers = [("cookie", cookie), ("x-csrf-token", old[CSRF_REFRESH])]

    response = await copy.send("/refresh", "POST", cookies={}, headers=headers)

    assert response.status in (401, 422)
    assert given(response) == set()


@pytest.mark.parametrize("ending", ["logout", "another user", "revoke", "everywhere"])
@pytest.mark.parametrize("by", ["us", "the application"])
@pytest.mark.parametrize("lifetime", [15, 300])
async def test_an_access_token_that_the_browser_gave_up_ends_with_the_session(
    clock: RealClock, ending: str, by: str, lifetime: int
) -> None:
    site = await signed_in(clock, "stored", access={"expiry": timedelta(minutes=lifetime)})
    given_up = site.browser.fork()
    clock.advance(70)
    if by == "the application":
        headers = [site.csrf(name=CSRF_REFRESH)]
        assert (await site.browser.post("/refresh", headers=headers)).status == 200
    else:
        site.browser.put(ACCESS, site.auth.create_access_token("alice"))
        given_up = site.browser.fork()
        clock.advance(LIFETIME - 60)
        assert (await site.browser.get("/me")).status == 200
    given_up.drop(REFRESH)
    assert (await given_up.get("/me")).status == 200
    assert site.issuer is not None

    if ending == "logout":
        await site.browser.post("/logout", headers=[site.csrf()])
    elif ending == "another user":
        await site.sign_in("bob")
    elif ending == "revoke":
        (session,) = await site.issuer.sessions("alice")
        await site.issuer.revoke(session.id)
    else:
        await site.issuer.revoke_subject("alice")
    clock.advance(2)

    assert (await given_up.get("/me")).status in (401, 422)


@pytest.mark.parametrize("first", ["headers", "cookies"])
@pytest.mark.parametrize("name", [ACCESS, REFRESH])
async def test_a_sign_out_ends_the_token_that_came_in_a_header(
    clock: RealClock, first: str, name: str
) -> None:
    """Whether or not it signs anybody in here."""
    locations = ["headers", "cookies"] if first == "headers" else ["cookies", "headers"]
    site = await signed_in(clock, "stored", JWT_TOKEN_LOCATION=locations)
    bearer = ("authorization", f"Bearer {site.browser.values()[name]}")
    path = "/me" if name == ACCESS else "/needs-refresh"
    assert (await site.browser.send(path, headers=[bearer], cookies={})).status == 200

    await site.browser.send("/logout", "POST", headers=[bearer], cookies={})
    clock.advance(2)

    assert (await site.browser.send(path, headers=[bearer], cookies={})).status == 401


async def test_a_sign_out_finds_the_session_behind_cookies_that_were_planted(
    clock: RealClock,
) -> None:
    site = await signed_in(clock, "stored")
    before = site.browser.fork()
    pairs = [f"{name}={number}" for name in (ACCESS, REFRESH) for number in range(8)]
    pairs += [f"{name}={value}" for name, value in site.browser.values().items()]

    await site.browser.send("/logout", "POST", headers=[("cookie", "; ".join(pairs))], cookies={})
    clock.advance(LIFETIME + 2)

    assert (await before.get("/me")).status in (401, 422)


@pytest.mark.parametrize("by", ["cookies", "headers", "another user"])
async def test_one_that_the_application_issued_for_longer_is_refused_to_its_end(
    clock: RealClock, by: str
) -> None:
    config = {"JWT_TOKEN_LOCATION": ["headers", "cookies"]}
    long = {"expiry": timedelta(hours=5)}
    site = await signed_in(clock, "stored", access=long, **config)
    bearer = ("authorization", f"Bearer {site.browser.values()[ACCESS]}")
    if by == "cookies":
        await site.browser.post("/logout", headers=[site.csrf()])
    elif by == "headers":
        await site.browser.send("/logout", "POST", headers=[bearer], cookies={})
    else:
        await site.sign_in("bob")
    for _ in range(4):
        clock.advance(HOUR)
        assert (await site.browser.send("/me", headers=[bearer], cookies={})).status == 401


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "", "Bearer Bearer ", "xBearer "])
async def test_its_access_token_is_refused_in_the_header_too(clock: RealClock, scheme: str) -> None:
    """AuthX takes what `replace("Bearer ", "")` leaves."""
    _site, copy = await ended(clock, JWT_TOKEN_LOCATION=["headers", "cookies"])
    headers = [("authorization", f"{scheme}{copy.values()[ACCESS]}")]

    response = await copy.get("/me", cookies={}, headers=headers)

    assert response.status in (401, 422)


NAMED: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    # the settings, the header, and how a token may be spelt in it
    "another scheme": (
        {"JWT_HEADER_TYPE": "JWT"}, "authorization",
        ["JWT {}", "jwt {}", "JWT  {}", "{}", "JWT JWT {}", "xJWT {}", "Basic JWT {}", "JWT {}~"],
    ),
    "no scheme": ({"JWT_HEADER_TYPE": ""}, "authorization", ["{}", " {}", "{}\xa0", "{} "]),
    "another header": (
        {"JWT_HEADER_NAME": "X-Token"}, "x-token", ["Bearer {}", "{}", "Basic Bearer {}"],
    ),
    "both": (
        {"JWT_HEADER_NAME": "X-Token", "JWT_HEADER_TYPE": "Token"}, "x-token", ["Token {}", "{}"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", [ACCESS, REFRESH])
@pytest.mark.parametrize("named", NAMED)
async def test_its_tokens_are_refused_in_the_header_that_the_application_reads(
    clock: RealClock, named: str, name: str
) -> None:
    config, header, spellings = NAMED[named]
    site, copy = await ended(clock, JWT_TOKEN_LOCATION=["headers", "cookies"], **config)
    await site.sign_in("bob")
    beside = f"{ACCESS}={site.browser.values()[ACCESS]}"
    path = "/me" if name == ACCESS else "/needs-refresh"
    for spelling in spellings:
        value = spelling.format(copy.values()[name])
        for cookies in ([], [("cookie", beside)]):
            headers = [(header, value), *cookies]
            response = await copy.get(path, cookies={}, headers=headers)
            assert response.status in (401, 422) or response.json()["sub"] == "bob", value


@pytest.mark.parametrize("named", NAMED)
async def test_a_good_token_in_that_header_passes(clock: RealClock, named: str) -> None:
    config, header, spellings = NAMED[named]
    site = await signed_in(clock, "stored", JWT_TOKEN_LOCATION=["headers", "cookies"], **config)
    raw = site.auth.create_access_token("bob")
    headers = [(header, spellings[0].format(raw))]

    response = await site.browser.get("/me", headers=headers)

    assert response.json()["sub"] == "bob"


@pytest.mark.parametrize("known", [True, False], ids=["refreshed", "AuthX's own"])
@pytest.mark.parametrize("without_access", [True, False])
async def test_its_refresh_cookie_is_refused_by_the_refresh_route_of_the_application(
    clock: RealClock, known: bool, without_access: bool
) -> None:
    site, copy = await ended(clock, known=known)
    if without_access:
        copy.drop(ACCESS)
    headers = [site.csrf(copy, CSRF_REFRESH)]

    at_once = await copy.post("/refresh", headers=headers)
    clock.advance(HOUR)
    later = await copy.post("/refresh", headers=headers)

    assert at_once.status in (401, 422)
    assert later.status in (401, 422)
    assert ACCESS not in given(at_once) | given(later)


async def test_its_refresh_cookie_is_refused_there_after_a_reuse_too(clock: RealClock) -> None:
    site = await signed_in(clock, "stored")
    thief = site.browser.fork()
    for _ in range(2):
        clock.advance(HOUR)
        await site.browser.get("/me")
    await thief.get("/me")
    assert site.named("reused")
    clock.advance(2)

    response = await thief.post("/refresh", headers=[site.csrf(thief, CSRF_REFRESH)])

    assert response.status in (401, 422)


async def test_its_refresh_cookie_does_not_come_back_in_quotes(clock: RealClock) -> None:
    _site, copy = await ended(clock)
    raw = copy.values()[REFRESH]

    for value in (raw, f'"{raw}"', f" {raw} "):
        headers = [("cookie", f"{REFRESH}={value}")]
        response = await copy.get("/needs-refresh", cookies={}, headers=headers)
        assert response.status in (401, 422), value
