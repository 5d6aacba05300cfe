# ruff: noqa: N802 - the facts have names
"""
The facts about AuthX 1.7.1 (reference/authx.md, 2.2), each with the right outcome.

Every test is named for its fact, and its docstring says what AuthX does instead.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import jwt
import pytest
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from asgi_refresh import (
    Auth,
    Config,
    Issuer,
    Key,
    RefreshEndpoint,
    RefreshMiddleware,
    Session,
    get_auth,
    require_auth,
)
from asgi_refresh.errors import ConfigurationError
from tests.blackbox.helpers import (
    ACCESS,
    DAY,
    HOUR,
    MINUTE,
    REFRESH,
    WINDOW,
    Gate,
    Gates,
    Started,
    deleted,
    doing,
    given,
    held,
    lasting,
    make_site,
    messages_of,
    on_paths,
    together,
)
from tests.support import SECRET, Browser, Clock, answer, whoami

pytestmark = pytest.mark.anyio

# Facts of AuthX without a counterpart here, and why:
#
# S4  There are no login types. What it is about, that a token of one kind of user becomes one of
#     another, is asked of two issuers below.
# S10 Access tokens cannot be confused with refresh tokens by a claim, because refresh tokens are
#     no JWTs; what is left of the fact is asked below.
# C4  There is no CSRF token that a refresh could change; what is left of it is asked below.
# F6  There are no lists of routes or methods to include, so none can be inverted; `exclude` is
#     asked below.
# W3  What it costs is measured by benchmarks/, with a floor in the same run; a test of time would
#     say nothing.

modes = pytest.mark.parametrize("stored", [True, False], ids=["rotating", "stateless"])


def left(seconds: float) -> float:
    """How long to wait until an access token has *seconds* left."""
    return 10 * MINUTE - seconds


# --- history --------------------------------------------------------------------------------------


@modes
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_H1_a_cookie_near_its_expiry_is_renewed_on_get_and_on_post(
    clock: Clock, method: str, stored: bool
) -> None:
    """AuthX 1.0.0 to 1.5.1: no Set-Cookie on GET; 1.3.0 to 1.5.1: POST answers 500."""
    site = make_site(clock, stored=stored)
    await site.sign_in("alice")
    clock.advance(left(30))

    response = await site.browser.request("/", method)

    assert response.status == 200
    assert given(response) == ({ACCESS, REFRESH} if stored else {ACCESS})


# --- does it refresh? -----------------------------------------------------------------------------


@modes
async def test_R1_an_expired_access_token_with_a_good_refresh_token_is_refreshed(
    clock: Clock, stored: bool
) -> None:
    """AuthX: 422 TokenExpiredError, no Set-Cookie."""
    site = make_site(clock, doing(lambda auth: auth), stored=stored)
    await site.sign_in("alice")
    clock.advance(left(-5))
    site.browser.jar[ACCESS].expires_at = None

    response = await site.browser.get("/")

    assert (response.status, response.json()["subject"]) == (200, "alice")
    assert ACCESS in given(response)


@modes
async def test_R2_a_missing_access_token_with_a_good_refresh_token_is_refreshed(
    clock: Clock, stored: bool
) -> None:
    """AuthX: 401 MissingTokenError, no Set-Cookie."""
    site = make_site(clock, stored=stored)
    await site.sign_in("alice")
    site.browser.drop(ACCESS)

    response = await site.browser.get("/")

    assert (response.status, response.json()["subject"]) == (200, "alice")
    assert ACCESS in given(response)


@modes
@pytest.mark.parametrize(("seconds", "renewed"), [(59, True), (61, False), (599, False)])
async def test_R3_a_good_token_is_renewed_in_its_last_minute_only(
    clock: Clock, seconds: float, renewed: bool, stored: bool
) -> None:
    """AuthX: from ten minutes before the end on, which are two thirds of a token's life."""
    site = make_site(clock, stored=stored)
    await site.sign_in("alice")
    clock.advance(left(seconds))

    response = await site.browser.get("/")

    assert (ACCESS in given(response)) is renewed


@modes
async def test_R4_the_handler_sees_the_new_token(clock: Clock, stored: bool) -> None:
    """AuthX: the handler sees the old jti and exp; scope["state"] is empty, no scope["user"]."""
    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await answer(send)

    site = make_site(clock, app, stored=stored)
    await site.sign_in("alice")
    clock.advance(left(30))

    response = await site.browser.get("/")

    (scope,) = scopes
    new = site.issuer.verify(response.cookies[ACCESS])
    assert scope["user"].payload == new
    assert new["exp"] == int(clock()) + 600
    assert f"{ACCESS}={response.cookies[ACCESS]}".encode() in dict(scope["headers"])[b"cookie"]


@modes
async def test_R5_a_slow_handler_does_not_cost_the_session(clock: Clock, stored: bool) -> None:
    """AuthX: 2 s left at arrival, the handler takes 2.5 s: no Set-Cookie, the session is over."""
    gate = Gate()
    site = make_site(clock, held(gate), stored=stored, config=lasting())
    await site.sign_in("alice")
    clock.advance(left(2))

    async with Started(lambda: site.browser.get("/slow")) as request:
        await gate.arrival()
        clock.advance(2.5)
        gate.open()
        slow = await request.answer()
    after = await site.browser.get("/")

    assert slow.json()["refreshed"] is True
    assert ACCESS in given(slow)
    assert (after.json()["subject"], after.json()["refreshed"]) == ("alice", False)


@pytest.mark.parametrize("before", [timedelta(minutes=5), timedelta(minutes=10), timedelta(30)])
async def test_R6_a_lifetime_below_the_threshold_is_refused_at_construction(
    before: timedelta,
) -> None:
    """AuthX: no warning, and a new token on every one of 50 requests."""
    with pytest.raises(ConfigurationError, match="refresh_before"):
        Config(access_lifetime=timedelta(minutes=5), refresh_before=before)


async def test_R6_fifty_requests_near_the_end_mint_one_token(clock: Clock) -> None:
    """AuthX: 50 new tokens, all good at the same time."""
    site = make_site(clock)
    await site.sign_in("alice")
    clock.advance(left(30))

    responses = [await site.browser.get("/") for _ in range(50)]

    assert [response.json()["refreshed"] for response in responses] == [True] + [False] * 49
    assert len(site.named("refreshed")) == 1


async def test_R7_the_refresh_token_rotates_and_the_one_replaced_is_watched(clock: Clock) -> None:
    """AuthX: the refresh cookie is not even read."""
    site = make_site(clock)
    await site.sign_in("alice")
    old = site.browser.fork()
    tokens = {site.browser.values()[REFRESH]}
    for _ in range(3):
        clock.advance(HOUR)
        await site.browser.get("/")
        tokens.add(site.browser.values()[REFRESH])

    replayed = await old.get("/")

    assert len(tokens) == 4
    assert replayed.json()["reason"] == "reused_token"


async def test_R7_an_explicit_refresh_ends_the_access_token_it_replaces(clock: Clock) -> None:
    """AuthX: the old access token stays good up to its exp."""
    site = make_site(clock)
    wrapped = RefreshMiddleware(
        whoami, site.issuer, endpoints={"/refresh": RefreshEndpoint(site.issuer)}
    )
    client = Browser(wrapped, clock)
    tokens = await site.issuer.issue("alice")
    bearer = [("authorization", f"Bearer {tokens.access_token}")]
    before = await client.get("/", headers=bearer)

    exchanged = await client.post(
        "/refresh", headers=[("authorization", f"Bearer {tokens.refresh_token}")]
    )
    after = await client.get("/", headers=bearer)
    new = [("authorization", f"Bearer {exchanged.json()['access_token']}")]

    assert (before.json()["subject"], after.json()["subject"]) == ("alice", None)
    assert after.json()["reason"] == "revoked_token"
    assert (await client.get("/", headers=new)).json()["subject"] == "alice"


# --- security -------------------------------------------------------------------------------------


@modes
@pytest.mark.parametrize("seconds", [599, 61, 59, 1, 0, -3000])
async def test_S1_a_logout_is_not_undone_by_a_refresh(
    clock: Clock, seconds: float, stored: bool
) -> None:
    """AuthX: the response deletes the cookie, then sets a fresh one; GET /me is 200."""
    site = make_site(clock, stored=stored)
    await site.sign_in("alice")
    clock.advance(left(seconds))

    response = await site.browser.post("/logout")
    after = await site.browser.get("/me")

    assert deleted(response) == {ACCESS, REFRESH}
    assert {ACCESS, REFRESH}.isdisjoint(site.browser.values())
    assert after.json()["subject"] is None


@modes
async def test_S1_a_logout_by_the_applications_own_deletion_is_not_undone(
    clock: Clock, stored: bool
) -> None:
    """AuthX: `unset_cookies` in the handler is overwritten by the middleware's Set-Cookie."""
    deletion = f"{ACCESS}=; Max-Age=0; Path=/; Secure; HttpOnly".encode()
    app = on_paths(out=doing(headers=[(b"set-cookie", deletion)]))
    site = make_site(clock, app, stored=stored)
    await site.sign_in("alice")
    clock.advance(left(30))

    await site.browser.post("/out")

    assert {ACCESS, REFRESH}.isdisjoint(site.browser.values())
    assert (await site.browser.get("/me")).json()["subject"] is None


@pytest.mark.parametrize("seconds", [300, 30, -30])
async def test_S2_a_revoked_session_is_not_laundered(clock: Clock, seconds: float) -> None:
    """AuthX: 401 RevokedTokenError, and a brand-new unrevoked token in the same response."""
    site = make_site(clock)
    session_id = await site.sign_in("alice")
    await site.issuer.revoke(session_id)
    clock.advance(left(seconds))

    for path in ("/me", "/public"):
        response = await site.browser.get(path)
        assert response.json()["subject"] is None
        assert response.set_cookies == []


@modes
@pytest.mark.parametrize("seconds", [300, 30, -30])
async def test_S3_a_fresh_login_is_not_overwritten_by_the_user_before(
    clock: Clock, seconds: float, stored: bool
) -> None:
    """AuthX: Set-Cookie for u2, then for u1; the next /me is u1."""
    site = make_site(clock, stored=stored)
    await site.sign_in("alice")
    clock.advance(left(seconds))

    response = await site.browser.post("/login/bob")
    after = await site.browser.get("/me")

    assert {ACCESS, REFRESH} <= given(response)
    assert site.issuer.verify(response.cookies[ACCESS])["sub"] == "bob"
    assert after.json()["subject"] == "bob"


@modes
@pytest.mark.parametrize("seconds", [300, 30, -30])
async def test_S4_a_cookie_of_one_issuer_is_nothing_to_another_with_the_same_key(
    clock: Clock, seconds: float, stored: bool
) -> None:
    """AuthX: a login_type="user" cookie comes back as login_type="admin"."""
    users = make_site(clock, stored=stored, config=Config(issuer="users"))
    admins = make_site(clock, stored=stored, store=users.store, config=Config(issuer="admins"))
    await users.sign_in("alice")
    admins.browser.jar = users.browser.jar
    clock.advance(left(seconds))

    response = await admins.browser.get("/")

    assert (response.json()["subject"], response.set_cookies) == (None, [])
    assert response.json()["reason"] == "invalid_token"


@modes
async def test_S5_a_session_has_an_absolute_end_however_often_it_is_used(
    clock: Clock, stored: bool
) -> None:
    """AuthX: a token kept alive by polling lives for ever."""
    site = make_site(clock, stored=stored)
    await site.sign_in("alice")
    began = clock()
    while (await site.browser.get("/")).json()["subject"] == "alice":
        clock.advance(6 * HOUR)
        assert clock() <= began + 90 * DAY

    assert clock() == began + 90 * DAY


@modes
@pytest.mark.parametrize("seconds", [300, 30, -30])
async def test_S6_a_request_that_fails_the_cross_origin_check_prolongs_nothing(
    clock: Clock, seconds: float, stored: bool
) -> None:
    """AuthX: 401 for the wrong CSRF token, and two Set-Cookies."""
    site = make_site(clock, stored=stored)
    await site.sign_in("alice")
    clock.advance(left(seconds))

    response = await site.browser.post(
        "/", headers=[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")]
    )

    assert (response.status, response.set_cookies) == (403, [])
    assert b"https://evil.example" in response.body
    assert not stored or site.store.calls == []
    assert [(event.name, event.reason) for event in site.events] == [("cross_origin", "request")]


@modes
@pytest.mark.parametrize("status", [200, 304])
async def test_S7_a_response_that_may_be_cached_carries_no_token(
    clock: Clock, status: int, stored: bool
) -> None:
    """AuthX: `Cache-Control: public, max-age=3600` unchanged, with a session token, on 304 too."""
    shared = [(b"cache-control", b"public, max-age=3600")]
    private = [(b"cache-control", b"max-age=3600")]
    apps = {
        "shared": doing(status=status, headers=shared),
        "private": doing(status=status, headers=private),
    }
    site = make_site(clock, on_paths(**apps), stored=stored)
    await site.sign_in("alice")
    clock.advance(left(30))

    cached = await site.browser.get("/shared")
    kept = await site.browser.get("/private")

    assert cached.set_cookies == []
    assert cached.header("cache-control") == "public, max-age=3600"
    assert ACCESS in given(kept)
    assert kept.header("cache-control") == "private, no-store"
    assert kept.header("vary") == "Cookie, Authorization"


@modes
@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
async def test_S8_methods_that_are_no_requests_of_a_user_never_refresh(
    clock: Clock, method: str, stored: bool
) -> None:
    """AuthX: Set-Cookie on OPTIONS too."""
    site = make_site(clock, stored=stored)
    await site.sign_in("alice")
    clock.advance(left(30))

    assert (await site.browser.request("/", method)).set_cookies == []


async def test_S8_an_application_that_crashes_has_rotated_nothing(clock: Clock) -> None:
    """AuthX: the same, no Set-Cookie: the exception passes through."""

    async def crash(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    site = make_site(clock, crash)
    await site.sign_in("alice")
    clock.advance(left(30))

    with pytest.raises(ZeroDivisionError):
        await site.browser.get("/")

    assert site.store.count("replace") == 0


@modes
async def test_S9_a_deleted_user_is_not_refreshed(clock: Clock, stored: bool) -> None:
    """AuthX: the subject getter returns None; 200, and a new token."""
    users = {"alice"}

    def load(session: Session) -> dict[str, Any] | None:
        return {} if session.subject in users else None

    site = make_site(clock, stored=stored, load_claims=load)
    await site.sign_in("alice")
    users.clear()
    clock.advance(left(30))

    response = await site.browser.get("/")

    assert (response.json()["subject"], response.set_cookies) == (None, [])
    assert response.json()["reason"] == "claims_refused"
    assert not stored or await site.issuer.sessions("alice") == []


SHARED = b"a-key-that-is-shared-with-another-service"


def forge(clock: Clock, head: dict[str, Any], **claims: Any) -> str:
    """A JWT that is correctly signed by somebody else who has the key."""
    now = int(clock())
    good = {"sub": "alice", "sid": "s", "jti": "j", "gen": 1, "auth_time": now, "iat": now,
            "exp": now + 600}  # fmt: skip
    payload = {name: value for name, value in {**good, **claims}.items() if value != "absent"}
    return jwt.PyJWS().encode(
        json.dumps(payload).encode(), SHARED, headers={"kid": "k1", "typ": "at+jwt", **head}
    )


def sharing(clock: Clock, *, stored: bool) -> Browser:
    issuer = Issuer(
        Key(SHARED, "k1"),
        secret=SECRET,
        store=Gates() if stored else None,
        clock=clock,
        on_event=lambda event: None,
    )
    return Browser(RefreshMiddleware(whoami, issuer), clock)


@modes
@pytest.mark.parametrize("typ", [None, "JWT", "rt+jwt", "dbsc+jwt"])
async def test_S10_a_jwt_of_another_type_is_no_access_token(
    clock: Clock, typ: str | None, stored: bool
) -> None:
    """AuthX: without a type claim it is an access token, accepted and refreshed."""
    browser = sharing(clock, stored=stored)
    seen = {}
    for name in ("at+jwt", typ):
        browser.put(ACCESS, forge(clock, {"typ": name}))
        response = await browser.get("/")
        seen[name] = (response.json()["subject"], response.json()["reason"], response.set_cookies)

    assert seen == {"at+jwt": ("alice", None, []), typ: (None, "invalid_token", [])}


@modes
async def test_S10_neither_token_passes_for_the_other(clock: Clock, stored: bool) -> None:
    """AuthX: a refresh token in the access cookie is told by a claim that may be missing."""
    site = make_site(clock, stored=stored)
    await site.sign_in("alice")
    access, refresh = site.browser.values()[ACCESS], site.browser.values()[REFRESH]
    site.browser.put(ACCESS, refresh)
    site.browser.put(REFRESH, access)

    response = await site.browser.get("/")

    assert (response.json()["subject"], response.set_cookies) == (None, [])
    assert response.json()["reason"] == "invalid_token"


async def test_S11_a_deletion_repeats_what_a_prefixed_cookie_needs(clock: Clock) -> None:
    """AuthX: `__Host-at=""; …; SameSite=lax` without Secure, which browsers refuse."""
    site = make_site(clock)
    await site.sign_in("alice")

    response = await site.browser.post("/logout")

    assert sorted(response.set_cookies) == [
        "__Host-access=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax",
        "__Host-refresh=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax",
    ]


@modes
async def test_S12_a_bearer_wins_and_the_cookie_of_somebody_else_is_not_prolonged(
    clock: Clock, stored: bool
) -> None:
    """AuthX: the handler acts as `hdr`, the session of `ck` is prolonged."""
    site = make_site(clock, stored=stored)
    await site.sign_in("ck")
    clock.advance(left(30))
    header = await site.issuer.issue("hdr")
    site.events.clear()

    response = await site.browser.get(
        "/", headers=[("authorization", f"Bearer {header.access_token}")]
    )

    assert (response.json()["subject"], response.set_cookies) == ("hdr", [])
    assert site.events == []


# --- claims ---------------------------------------------------------------------------------------


@modes
async def test_C1_nothing_of_a_token_is_lost_but_its_times_and_its_id(
    clock: Clock, stored: bool
) -> None:
    """AuthX: custom claims, scopes, aud, iss, kid, expiry and Max-Age are all lost."""
    config = Config(
        issuer="https://id.example", audience="svc", access_lifetime=timedelta(minutes=20)
    )
    site = make_site(clock, stored=stored, config=config)
    await site.sign_in("alice", {"role": "admin", "tenant": 7, "scope": "a:read"})
    old = site.browser.values()[ACCESS]
    clock.advance(19 * MINUTE + 30)

    response = await site.browser.get("/")

    new = response.cookies[ACCESS]
    moving = {"iat", "exp", "jti"}
    before, after = (dict(site.issuer.profile.read_access(t.encode(), now=clock()).payload)
                     for t in (old, new))  # fmt: skip
    assert {k: v for k, v in before.items() if k not in moving} == {
        k: v for k, v in after.items() if k not in moving
    }
    assert all(before[name] != after[name] for name in moving)
    assert after["exp"] - after["iat"] == before["exp"] - before["iat"] == 1200
    assert jwt.get_unverified_header(old) == jwt.get_unverified_header(new)
    assert any(c.startswith(ACCESS) and "; Max-Age=1200;" in c for c in response.set_cookies)


@modes
async def test_C2_a_refreshed_user_keeps_the_scopes_and_the_audience(
    clock: Clock, stored: bool
) -> None:
    """AuthX: scopes_required("a:read") is 200, then 403; the refreshed token without aud is 422."""

    @requires("a:read")
    async def page(request: Request) -> JSONResponse:
        return JSONResponse({})

    app = Starlette(routes=[Route("/", page)])
    site = make_site(clock, app, stored=stored, config=Config(audience="svc"))
    await site.sign_in("alice", {"scope": "a:read"})
    statuses = []
    for _ in range(6):
        statuses.append((await site.browser.get("/")).status)
        clock.advance(left(30))

    assert statuses == [200] * 6


@modes
@pytest.mark.parametrize("persistent", [True, False])
async def test_C2_remember_me_is_remembered(clock: Clock, persistent: bool, stored: bool) -> None:
    """AuthX: a token of 30 days becomes one of 900 s."""
    site = make_site(clock, stored=stored)
    await site.sign_in("alice", persistent=persistent)
    for _ in range(3):
        clock.advance(13 * DAY)
        response = await site.browser.get("/")
        assert given(response) == {ACCESS, REFRESH}
        assert {"Max-Age" in line for line in response.set_cookies} == {persistent}


@modes
async def test_C3_a_refresh_does_not_take_freshness_away_within_its_time(
    clock: Clock, stored: bool
) -> None:
    """AuthX: the request that uses a fresh token loses it; a second sensitive call is 401."""
    fresh: list[bool] = []
    app = doing(lambda auth: fresh.append(auth.is_fresh(timedelta(minutes=15))))
    site = make_site(clock, app, stored=stored)
    await site.sign_in("alice")
    for _ in range(3):
        clock.advance(9 * MINUTE + 30)
        site.browser.drop(ACCESS)
        await site.browser.get("/")

    assert fresh == [True, False, False]


@modes
async def test_C4_a_form_from_before_a_refresh_can_be_sent_after_it(
    clock: Clock, stored: bool
) -> None:
    """AuthX: the CSRF value changes with each refresh: "CSRF double submit does not match"."""
    site = make_site(clock, stored=stored)
    await site.sign_in("alice")
    old = site.browser.fork()
    clock.advance(left(30))
    await site.browser.get("/")

    for browser in (site.browser, old):
        response = await browser.post(
            "/", headers=[("sec-fetch-site", "same-origin"), ("origin", "https://app.example")]
        )
        assert (response.status, response.json()["subject"]) == (200, "alice")


@modes
async def test_C5_a_token_of_the_previous_key_is_signed_with_the_current_one(
    clock: Clock, stored: bool
) -> None:
    """AuthX does this well too."""
    store = Gates() if stored else None
    old, new = SECRET, "another-secret-of-at-least-32-bytes!!!!!"

    def browser(key: Any) -> tuple[Issuer, Browser]:
        issuer = Issuer(key, store=store, clock=clock, on_event=lambda event: None)
        return issuer, Browser(RefreshMiddleware(whoami, issuer), clock)

    _, before = browser(old)
    _, during = browser([new, old])
    after_issuer, after = browser(new)
    await before.post("/login")
    during.jar = after.jar = before.jar
    clock.advance(8 * DAY)

    response = await during.get("/")

    assert response.json()["subject"] == "alice"
    assert after_issuer.verify(response.cookies[ACCESS])["sub"] == "alice"
    clock.advance(HOUR)
    assert (await after.get("/")).json()["subject"] == "alice"


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "root_path", "renewed"),
    [
        ("/me", "", False),
        ("/me/", "", False),
        ("/me/profile", "", False),
        ("/members", "", True),
        ("/public", "", True),
        ("/api/me", "/api", False),
        ("/api/me", "", True),
    ],
)
async def test_F6_exclude_goes_by_whole_segments_wherever_the_application_is_mounted(
    clock: Clock, path: str, root_path: str, renewed: bool
) -> None:
    """AuthX: METHOD_INCLUDE is inverted, ["/me"] misses /me/, and nothing matches in a sub-app."""
    site = make_site(clock, doing_nothing, config=Config(exclude=["/me"]))
    await site.sign_in("alice")
    clock.advance(left(30))

    response = await site.browser.get(path, scope={"root_path": root_path})

    assert bool(response.set_cookies) is renewed


async def doing_nothing(scope: Any, receive: Any, send: Any) -> None:
    await answer(send)


@pytest.mark.parametrize("value", [None, 3600, timedelta(0)])
async def test_F7_an_unfit_lifetime_is_refused_at_construction(value: Any) -> None:
    """AuthX: JWT_ACCESS_TOKEN_EXPIRES=None is 500 on every route, public ones too."""
    with pytest.raises(ConfigurationError, match="access_lifetime"):
        Config(access_lifetime=value)


async def test_F7_settings_cannot_be_changed_behind_the_checks() -> None:
    """AuthX: `config.JWT_IMPLICIT_REFRESH_DELTATIME = 3600` is taken, and then 500."""
    with pytest.raises(AttributeError):
        Config().refresh_before = 3600  # type: ignore[misc, assignment]


@modes
@pytest.mark.parametrize("name", ["sec-fetch-site", "origin", "authorization", "x-csrf-token"])
async def test_F7_no_header_makes_an_error(clock: Clock, name: str, stored: bool) -> None:
    """AuthX: `X-CSRF-TOKEN: é` is 500."""
    site = make_site(clock, stored=stored)
    await site.sign_in("alice")
    clock.advance(left(30))

    response = await site.browser.post("/", headers=[(name, "é\xff"), (name, "x")])

    assert response.status in (200, 403)


@modes
@pytest.mark.parametrize("exp", ["absent", None, "soon", 10**30, float("inf"), True])
async def test_F7_a_signed_token_without_a_proper_exp_is_refused_without_an_error(
    clock: Clock, exp: Any, stored: bool
) -> None:
    """AuthX: without exp, 500 on /me and on public routes."""
    browser = sharing(clock, stored=stored)
    browser.put(ACCESS, forge(clock, {}, exp=exp))

    response = await browser.get("/")

    assert (response.status, response.json()["reason"]) == (200, "invalid_token")
    assert response.set_cookies == []


@modes
async def test_F7_the_application_runs_once_whatever_happens(clock: Clock, stored: bool) -> None:
    """AuthX: a real app catches the middleware's errors, and the endpoint runs twice."""
    runs: list[str] = []

    async def crash(scope: Any, receive: Any, send: Any) -> None:
        runs.append(scope["path"])
        raise ZeroDivisionError

    site = make_site(clock, crash, stored=stored)
    await site.sign_in("alice")
    clock.advance(left(30))

    with pytest.raises(ZeroDivisionError):
        await site.browser.get("/")

    assert runs == ["/"]


# --- transport ------------------------------------------------------------------------------------


@modes
@pytest.mark.parametrize("seconds", [300, 30, -30])
async def test_W1_a_websocket_is_authenticated_by_its_cookies(
    clock: Clock, seconds: float, stored: bool
) -> None:
    """AuthX: a cookie-only handshake is 401, and near the expiry no Set-Cookie on accept."""
    site = make_site(clock, stored=stored)
    await site.sign_in("alice")
    clock.advance(left(seconds))

    accept, sent, _ = await site.browser.websocket()

    assert json.loads(sent["text"])["subject"] == "alice"
    cookies = [value for name, value in accept["headers"] if name == b"set-cookie"]
    assert len(cookies) == (0 if seconds == 300 else 1)
    assert all(cookie.startswith(ACCESS.encode()) for cookie in cookies)


@modes
async def test_W2_trailers_and_chunks_pass_as_they_are(clock: Clock, stored: bool) -> None:
    """AuthX: http.response.trailers is replaced by an empty body (BaseHTTPMiddleware)."""
    sent = [
        {"type": "http.response.start", "status": 200, "headers": [], "trailers": True},
        *({"type": "http.response.body", "body": b"x", "more_body": True} for _ in range(100)),
        {"type": "http.response.body", "body": b""},
        {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]},
    ]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in sent:
            await send(message)

    site = make_site(clock, app, stored=stored)
    await site.sign_in("alice")
    clock.advance(left(30))

    messages = await messages_of(site.browser.app, site.browser.scope("/", "GET"))

    assert len(messages) == len(sent)
    assert all(a is b for a, b in zip(messages[1:], sent[1:], strict=True))
    assert b"set-cookie" in dict(messages[0]["headers"])


@modes
@pytest.mark.parametrize("seconds", [300, 30])
async def test_W2_context_variables_set_by_the_application_are_seen_outside(
    clock: Clock, seconds: float, stored: bool
) -> None:
    """AuthX: contextvars set downstream are invisible upstream."""
    variable: ContextVar[str] = ContextVar("variable", default="unset")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        variable.set("set")
        await answer(send)

    site = make_site(clock, app, stored=stored)
    await site.sign_in("alice")
    clock.advance(left(seconds))

    await site.browser.get("/")

    assert variable.get() == "set"


async def test_W4_twenty_parallel_requests_get_one_successor(clock: Clock) -> None:
    """AuthX: 20 Set-Cookies, 20 distinct tokens, all valid."""
    site = make_site(clock)
    await site.sign_in("alice")
    clock.advance(left(30))

    responses = await together([lambda: site.browser.send("/")] * 20)

    assert {response.json()["subject"] for response in responses} == {"alice"}
    assert len({response.cookies[REFRESH] for response in responses}) == 1
    assert site.store.count("replace") == 1


@modes
async def test_W5_a_bare_asgi_application_and_starlette_are_served_alike(
    clock: Clock, stored: bool
) -> None:
    """AuthX: works there, but needs FastAPI to be imported."""

    async def page(request: Request) -> JSONResponse:
        assert await get_auth(request) is request.user is request.auth is Auth.of(request)
        return JSONResponse({"subject": (await require_auth(request)).subject})

    for app in (whoami, Starlette(routes=[Route("/", page)])):
        site = make_site(clock, app, stored=stored)
        await site.sign_in("alice")
        clock.advance(HOUR)
        response = await site.browser.get("/")
        assert response.json()["subject"] == "alice"
        assert ACCESS in given(response)


def test_W5_importing_it_imports_no_framework_and_no_server() -> None:
    """AuthX: FastAPI, pydantic-settings, dateutil, pytz and uvicorn."""
    code = "import sys, asgi_refresh; print(*sorted(m.partition('.')[0] for m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    loaded = set(done.stdout.split())
    unwanted = {"fastapi", "pydantic", "uvicorn", "django", "litestar", "quart", "redis",
                "sqlalchemy", "trio"}  # fmt: skip
    assert loaded & unwanted == set()
    assert "asgi_refresh" in loaded


def test_the_window_that_these_tests_count_on() -> None:
    assert Config().window == timedelta(seconds=WINDOW)
