"""
Applications take tokens themselves, by their own routes and their own reading of a header.

What this library refuses must not reach them, and what they have issued must lend no privilege.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from asgi_refresh import Auth, Client, Cookie, MemoryStore, RefreshMiddleware
from asgi_refresh.compat.authx import authx_issuer
from asgi_refresh.endpoints import SessionsEndpoint
from asgi_refresh.tokens import MAX_TOKEN
from tests.authx.site import (
    ACCESS,
    CSRF_REFRESH,
    DAY,
    HOUR,
    LIFETIME,
    MINUTE,
    REFRESH,
    RealClock,
    Site,
    deleted,
    make_site,
    signed_in,
)
from tests.support import Browser, answer

pytestmark = pytest.mark.anyio

OVER = -5.0
fronts = pytest.mark.parametrize("front", ["stateless", "stored"])


async def ended(clock: RealClock, **kwargs: Any) -> tuple[Site, Browser]:
    """A site where alice has signed out, and a copy of her cookies."""
    site = await signed_in(clock, "stored", left=OVER, **kwargs)
    assert (await site.browser.get("/me")).status == 200
    copy = site.browser.fork()
    assert (await site.browser.post("/logout", headers=[site.csrf()])).status == 200
    clock.advance(2)
    site.seen.clear()
    return site, copy


async def refreshes(site: Site, cookies: dict[str, str], copy: Browser) -> int:
    """Ask the application's own route for a refresh."""
    headers = [site.csrf(copy, CSRF_REFRESH)]
    return (await copy.send("/refresh", "POST", headers=headers, cookies=cookies)).status


# --- a refresh token of an ended session ----------------------------------------------------------


async def test_beside_somebody_elses_good_access_token_it_is_of_no_use(clock: RealClock) -> None:
    site, copy = await ended(clock)
    mallory = Browser(site.browser.app, clock)
    await site.sign_in("bob", mallory)
    cookies = {ACCESS: mallory.values()[ACCESS], REFRESH: copy.values()[REFRESH]}

    assert await refreshes(site, cookies, copy) == 401


async def test_nor_ten_days_later_nor_where_no_request_refreshes(clock: RealClock) -> None:
    lists = {"JWT_IMPLICIT_REFRESH_ROUTE_EXCLUDE": ["/refresh"]}
    for config in ({}, lists):
        site, copy = await ended(clock, **config)
        clock.advance(10 * DAY)

        assert await refreshes(site, {REFRESH: copy.values()[REFRESH]}, copy) == 401


@pytest.mark.parametrize("value", ["Bearer {}", "bearer {}", "{}", "Bearer Bearer {}"])
async def test_nor_in_the_header(clock: RealClock, value: str) -> None:
    _, copy = await ended(clock, JWT_TOKEN_LOCATION=["headers", "cookies"])
    header = ("authorization", value.format(copy.values()[REFRESH]))

    response = await copy.send("/refresh", "POST", headers=[header], cookies={})

    assert response.status in (401, 422)


async def test_an_old_one_beside_a_living_access_token_is_a_theft(clock: RealClock) -> None:
    """A route of the application would go on for ever; the store says what the token is."""
    site = await signed_in(clock, "stored")
    thief = site.browser.fork()
    first, access = thief.values()[REFRESH], thief.values()[ACCESS]
    good = 0
    for _ in range(12):
        clock.advance(4 * MINUTE)
        await site.browser.get("/me")
        headers = [site.csrf(thief, CSRF_REFRESH)]
        cookies = {ACCESS: access, REFRESH: first}
        response = await thief.send("/refresh", "POST", headers=headers, cookies=cookies)
        if response.status == 200:
            access, good = response.json()["access_token"], good + 1

    assert good < 5
    assert len(site.named("reused")) == 1


@fronts
async def test_a_living_one_goes_on_working(clock: RealClock, front: Any) -> None:
    site = await signed_in(clock, front)
    for _ in range(3):
        clock.advance(10 * MINUTE)
        answer = await site.browser.post("/refresh", headers=[site.csrf(name=CSRF_REFRESH)])
        assert answer.status == 200
        assert (await site.browser.get("/me")).status == 200


# --- spellings ------------------------------------------------------------------------------------

SPELLINGS = [
    "{name}=\xa0{token}", "{name}={token}\xa0", "\xa0{name}={token}", "{name}\x85={token}",
    "{name}=a; {name}=b; {name}=c; {name}=d; {name}={token}", "{name}={token}; {name}",
]  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(("name", "path"), [(ACCESS, "/me"), (REFRESH, "/needs-refresh")])
async def test_no_spelling_of_a_refused_token_is_taken(
    clock: RealClock, name: str, path: str, spelling: str
) -> None:
    site, copy = await ended(clock)
    header = ("cookie", spelling.format(name=name, token=copy.values()[name]))

    response = await copy.send(path, headers=[header], cookies={})

    assert response.status in (401, 422)
    assert site.seen == []


async def test_behind_a_good_token_a_refused_one_does_not_count(clock: RealClock) -> None:
    site, copy = await ended(clock)
    mallory = Browser(site.browser.app, clock)
    await site.sign_in("bob", mallory)
    good, refused = mallory.values()[ACCESS], copy.values()[ACCESS]
    for text in (
        f'{ACCESS}={good}; {ACCESS}="{refused}"',
        f"{ACCESS}={good}; \xa0{ACCESS}={refused}",
    ):
        response = await mallory.send("/me", headers=[("cookie", text)], cookies={})
        assert response.json()["sub"] == "bob"


async def test_a_prefix_inside_the_header_does_not_help(clock: RealClock) -> None:
    site, copy = await ended(clock, JWT_TOKEN_LOCATION=["headers", "cookies"])
    raw = copy.values()[ACCESS]
    for value in (f"{raw[:9]}Bearer {raw[9:]}", f"Basic {raw}", f"xBearer {raw}"):
        response = await copy.send("/me", headers=[("authorization", value)], cookies={})
        assert response.status in (401, 422)
    assert site.seen == []


# --- claims ---------------------------------------------------------------------------------------


@fronts
async def test_a_privilege_that_was_taken_does_not_come_back(clock: RealClock, front: Any) -> None:
    site = await signed_in(clock, front, left=OVER, access={"data": {"role": "admin", "team": 7}})
    for _ in range(2):
        assert (await site.browser.get("/me")).json()["role"] == "admin"
        clock.advance(HOUR)
    less = site.auth.create_access_token("alice", data={"role": "user", "team": 7})
    site.browser.put(ACCESS, less)
    clock.advance(HOUR)
    for _ in range(3):
        claims = (await site.browser.get("/me")).json()
        assert (claims.get("role"), claims["team"]) == (None, 7)
        clock.advance(HOUR)


@fronts
async def test_one_that_was_lent_does_not_stay(clock: RealClock, front: Any) -> None:
    site = await signed_in(clock, front)
    clock.advance(MINUTE)
    minutes = timedelta(minutes=2)
    site.browser.put(
        ACCESS, site.auth.create_access_token("alice", data={"sudo": True}, expiry=minutes)
    )
    assert (await site.browser.get("/me")).json()["sudo"] is True
    for _ in range(2):
        clock.advance(5 * DAY)
        assert "sudo" not in (await site.browser.get("/me")).json()


@fronts
async def test_another_login_lends_nothing(clock: RealClock, front: Any) -> None:
    site = await signed_in(clock, front)
    clock.advance(HOUR)
    boss = site.auth.create_access_token("alice", data={"role": "admin"})
    clock.advance(HOUR)
    site.browser.put(ACCESS, boss)

    assert "role" not in (await site.browser.get("/me")).json()


# --- an access cookie for somebody else -----------------------------------------------------------


@fronts
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "dropped"])
@pytest.mark.parametrize("left", [LIFETIME - MINUTE, OVER])
async def test_who_was_signed_in_before_does_not_come_back_after_it(
    clock: RealClock, front: Any, left: float, kept: bool
) -> None:
    """Whether or not the browser drops a cookie whose time is over."""
    site = await signed_in(clock, front, left=left)
    before = site.browser.fork()

    answer = await site.browser.post("/become/bob")
    whose = (await site.browser.get("/me")).json()["sub"]
    clock.advance(HOUR)
    if not kept:
        site.browser.drop(ACCESS)
    after = [(await site.browser.get("/me")).status for _ in range(2)]

    assert (whose, deleted(answer)) == ("bob", {REFRESH, CSRF_REFRESH})
    assert set(after) <= {401, 422}
    if front == "stored":
        assert (await before.get("/me")).status in (401, 422)


@fronts
async def test_not_even_by_a_response_that_was_on_its_way(clock: RealClock, front: Any) -> None:
    site = await signed_in(clock, front, left=OVER)
    late = await site.browser.send("/me")
    await site.browser.post("/become/bob")
    clock.advance(1)

    site.browser.deliver(late)

    assert (await site.browser.get("/me")).status in (401, 422)


@fronts
@pytest.mark.parametrize("path", ["/become/alice", "/become/bob?status=400"])
async def test_one_for_the_same_user_or_with_an_error_ends_nothing(
    clock: RealClock, front: Any, path: str
) -> None:
    site = await signed_in(clock, front)
    path, _, query = path.partition("?")

    answer = await site.browser.post(path, scope={"query_string": query.encode()})

    assert deleted(answer) == set()
    assert site.named("revoked") == []
    site.browser.drop(ACCESS)
    clock.advance(HOUR)
    assert (await site.browser.get("/me")).json()["sub"] == "alice"


@fronts
async def test_an_access_token_of_somebody_else_that_is_over_is_followed_by_nobody(
    clock: RealClock, front: Any
) -> None:
    """Where it was set unseen by us: on an excluded path, or by another service."""
    site = await signed_in(clock, front)
    site.browser.put(ACCESS, site.auth.create_access_token("bob"))
    clock.advance(HOUR)

    answer = await site.browser.get("/me")

    assert (answer.status, answer.set_cookies) == (422, [])
    assert [event.reason for event in site.named("rejected")] == ["session_mismatch"]


# --- the rest -------------------------------------------------------------------------------------


async def test_ending_all_others_spares_the_session_of_the_request(clock: RealClock) -> None:
    """An access token of AuthX names no session; the refresh token beside it does."""
    site = await signed_in(clock, "stored")
    other = Browser(site.browser.app, clock)
    await site.sign_in("alice", other)
    assert site.issuer is not None
    endpoint = Browser(SessionsEndpoint(site.issuer), clock)
    endpoint.jar = site.browser.jar
    clock.advance(5)

    assert (await endpoint.request("/", "DELETE")).status == 204

    clock.advance(LIFETIME)
    assert (await site.browser.get("/me")).status == 200


async def test_a_handler_that_blocklists_what_it_sees_has_signed_out(clock: RealClock) -> None:
    """The request was due, so what it sees is a token that no browser has yet."""
    site = await signed_in(clock, "stored", left=OVER)

    def sign_out() -> None:
        site.blocked |= {site.browser.values()[REFRESH]}

    site.meanwhile = sign_out
    response = await site.browser.get("/slow")

    assert response.set_cookies == []
    clock.advance(HOUR)
    assert (await site.browser.get("/me")).status in (401, 422)


@pytest.mark.parametrize("seconds", [600, 60])
def test_the_threshold_may_be_a_number(clock: RealClock, seconds: int) -> None:
    config = make_site(clock, "nothing").auth.config
    config.JWT_IMPLICIT_REFRESH_DELTATIME = seconds

    before = authx_issuer(config, store=MemoryStore()).config.refresh_before

    assert before == timedelta(seconds=seconds)


# --- padding that some readers skip ---------------------------------------------------------------


@pytest.mark.parametrize("pad", ["~", "a"])
@pytest.mark.parametrize("name", [ACCESS, REFRESH])
@pytest.mark.parametrize("by", ["cookie", "authorization"])
async def test_what_is_too_long_to_be_read_here_is_not_passed_down(
    clock: RealClock, name: str, by: str, pad: str
) -> None:
    """PyJWT before 2.14 takes a signature with anything behind it."""
    site, copy = await ended(clock)
    padded = copy.values()[name] + pad * 9000
    seen: list[bytes] = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        seen.extend(value for key, value in scope["headers"] if key == by.encode())
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    assert site.issuer is not None
    value = f"{name}={padded}; other=1" if by == "cookie" else f"Bearer {padded}"
    await Browser(RefreshMiddleware(app, site.issuer), clock).get("/", headers=[(by, value)])

    assert seen == ([b"other=1"] if by == "cookie" else [])


# --- what reaches an application ------------------------------------------------------------------


async def passed(site: Site, *headers: tuple[str, str]) -> list[tuple[str, str]]:
    """Those of *headers* that are there behind the middleware."""
    seen: list[tuple[str, str]] = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        seen.extend((name.decode(), value.decode("latin-1")) for name, value in scope["headers"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    assert site.issuer is not None
    browser = Browser(RefreshMiddleware(app, site.issuer), site.clock)
    await browser.send(headers=headers, cookies={})
    return [pair for pair in seen if pair[0] not in ("host", "user-agent")]


X_TOKEN = {"JWT_TOKEN_LOCATION": ["headers", "cookies"], "JWT_HEADER_NAME": "X-Token"}


@pytest.mark.parametrize(
    ("scheme", "spelling"),
    [
        *(("Bearer", text) for text in ("Bearer {}", "bearer {}", "BEARER {}", "Bearer   {}  ")),
        *(("JWT", text) for text in ("JWT {}", "jwt {}", "Bearer {}")),
        *(("", text) for text in ("{}", "{} ", "Bearer {}")),
    ],
)
async def test_a_good_token_reaches_it_as_it_is_spelt(
    clock: RealClock, scheme: str, spelling: str
) -> None:
    site = await signed_in(clock, "stored", JWT_HEADER_TYPE=scheme, **X_TOKEN)
    header = ("x-token", spelling.format(site.browser.values()[ACCESS]))

    assert await passed(site, header) == [header]


async def test_no_token_reaches_it_whose_session_cannot_be_asked_for(clock: RealClock) -> None:
    site = await signed_in(clock, "stored", settings={"revocation": "always"}, **X_TOKEN)
    header = ("x-token", f"Bearer {site.browser.values()[ACCESS]}")
    assert await passed(site, header) == [header]

    async def away(*_arguments: Any) -> None:
        raise OSError

    site.store.revocations = away
    assert await passed(site, header) == []


@pytest.mark.parametrize(
    "value",
    ["Basic dXNlcjpwYXNz", "Digest a=b, c=d", "Bearer garbage", "Bearer " + "x" * MAX_TOKEN],
    ids=lambda value: value[:10],
)
@pytest.mark.parametrize("name", ["authorization", "x-token"])
async def test_what_is_plainly_none_reaches_it(clock: RealClock, name: str, value: str) -> None:
    site = await signed_in(clock, "stored", **X_TOKEN)

    assert await passed(site, (name, value)) == [(name, value)]


@pytest.mark.parametrize(
    "value",
    [
        *("", "Basic", "Basic Bearer x", "Basic bearer\x1cx", "Basic JWT\xa0x", "Basic jwt x"),
        *("JWT x y", "JWT " + "x" * (MAX_TOKEN + 1)),
    ],
    ids=lambda value: value[:15],
)
@pytest.mark.parametrize("name", ["authorization", "x-token"])
async def test_what_some_readers_may_take_for_one_does_not(
    clock: RealClock, name: str, value: str
) -> None:
    site = await signed_in(clock, "stored", JWT_HEADER_TYPE="JWT", **X_TOKEN)

    assert await passed(site, (name, value)) == []


@pytest.mark.parametrize("names", [("x-token", "x-token"), ("x-token", "X-Token")])
async def test_two_of_the_header_do_not(clock: RealClock, names: tuple[str, str]) -> None:
    site = await signed_in(clock, "stored", **X_TOKEN)
    value = f"Bearer {site.browser.values()[ACCESS]}"

    assert await passed(site, *((name, value) for name in names), ("x-a", "b")) == [("x-a", "b")]


@pytest.mark.parametrize("name", ["x-token", "x_token", "X_Token"])
@pytest.mark.parametrize("kind", [ACCESS, REFRESH])
async def test_a_refused_token_does_not_under_any_name_that_wsgi_takes_for_it(
    clock: RealClock, name: str, kind: str
) -> None:
    site, copy = await ended(clock, **X_TOKEN)

    assert await passed(site, (name, f"Bearer {copy.values()[kind]}"), ("x-a", "b")) == [
        ("x-a", "b")
    ]


@pytest.mark.parametrize("alive", [True, False])
async def test_beside_a_good_bearer_token_only_a_living_refresh_cookie_does(
    clock: RealClock, alive: bool
) -> None:
    site, copy = await ended(clock, JWT_TOKEN_LOCATION=["headers", "cookies"])
    bob = Browser(site.browser.app, clock)
    await site.sign_in("bob", bob)
    bearer = ("authorization", f"Bearer {bob.values()[ACCESS]}")
    cookie = f"{REFRESH}={(bob if alive else copy).values()[REFRESH]}"

    assert await passed(site, bearer, ("cookie", f"{cookie}; a=b")) == [
        bearer,
        ("cookie", f"{cookie}; a=b" if alive else "a=b"),
    ]


async def test_a_theft_that_a_look_finds_is_told_with_whose_request_it_was(
    clock: RealClock,
) -> None:
    site = await signed_in(clock, "stored")
    thief = site.browser.fork()
    for _ in range(2):
        clock.advance(HOUR)
        await site.browser.get("/me")
    thief.put(ACCESS, site.auth.create_access_token("alice"))

    await thief.get("/me")

    [reused] = site.named("reused")
    assert reused.client == Client("192.0.2.7", "test-browser")


# --- the double-submit token ----------------------------------------------------------------------


@pytest.mark.parametrize("left", [LIFETIME, OVER], ids=["good", "due"])
@fronts
async def test_the_double_submit_token_is_that_of_the_applications_tokens(
    clock: RealClock, front: Any, left: float
) -> None:
    """Where it is asked for here, too: AuthX itself looks at it only after a refresh."""
    cookie = Cookie("csrf", http_only=False)
    site = await signed_in(clock, front, left=left, settings={"csrf_cookie": cookie})
    token = site.csrf()

    without = await site.browser.send("/public", "POST")
    answer = await site.browser.post("/public", headers=[token])

    assert (without.status, answer.status) == (403, 200)


async def test_a_page_is_given_that_of_the_applications_tokens(clock: RealClock) -> None:
    site = await signed_in(clock, "stored")
    seen: list[str | None] = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        seen.append(Auth.of(scope).csrf_token)
        await answer(send)

    assert site.issuer is not None
    browser = Browser(RefreshMiddleware(app, site.issuer), clock)
    await browser.send(cookies=site.browser.values())

    assert seen == [site.csrf()[1]]
