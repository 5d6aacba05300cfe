# ruff: noqa: N802 - the facts have names
"""
The facts about AuthX 1.7.1 (reference/authx.md, 2.2), with AuthX itself behind this library.

Every test is named for its fact; what AuthX does by itself is in the table of `test_table`.
"""

from __future__ import annotations

import json
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import pytest

from tests.authx.site import (
    ACCESS,
    CSRF_ACCESS,
    CSRF_REFRESH,
    DAY,
    HOUR,
    LIFETIME,
    MINUTE,
    REFRESH,
    Front,
    RealClock,
    deleted,
    error,
    given,
    make_site,
    signed_in,
)
from tests.blackbox.helpers import messages_of, together
from tests.support import SECRET, App

pytestmark = pytest.mark.anyio

fronts = pytest.mark.parametrize("front", ["stateless", "stored"])
NEAR, OVER = 60.0, -5.0
BOTH = {ACCESS, CSRF_ACCESS, REFRESH, CSRF_REFRESH}


# --- does it refresh? -----------------------------------------------------------------------------


@fronts
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_H1_a_cookie_near_its_end_is_renewed_by_any_method(
    clock: RealClock, front: Front, method: str
) -> None:
    site = await signed_in(clock, front, left=NEAR)
    path = "/transfer" if method == "POST" else "/me"

    response = await site.browser.request(path, method, headers=[site.csrf()])

    assert (response.status, given(response)) == (200, BOTH)


@fronts
async def test_R1_an_expired_access_cookie_is_replaced_and_the_same_request_succeeds(
    clock: RealClock, front: Front
) -> None:
    site = await signed_in(clock, front, left=OVER)

    response = await site.browser.get("/me")

    assert (response.status, response.json()["sub"]) == (200, "alice")
    assert given(response) == BOTH


@fronts
async def test_R1_weeks_later_still(clock: RealClock, front: Front) -> None:
    site = await signed_in(clock, front, left=-19 * DAY)

    assert (await site.browser.get("/me")).status == 200


@fronts
async def test_R1_a_refresh_cookie_that_has_expired_too_is_good_for_nothing(
    clock: RealClock, front: Front
) -> None:
    site = await signed_in(clock, front, left=-20 * DAY)

    response = await site.browser.get("/me")

    assert (response.status, error(response)) in [(422, "TokenExpiredError"),
                                                  (401, "MissingTokenError")]  # fmt: skip
    assert given(response) == set()


@fronts
@pytest.mark.parametrize("path", ["/me", "/public", "/subject"])
async def test_R2_a_missing_access_cookie_is_replaced(
    clock: RealClock, front: Front, path: str
) -> None:
    site = await signed_in(clock, front)
    site.browser.drop(ACCESS, CSRF_ACCESS)

    response = await site.browser.get(path)

    assert (response.status, given(response)) == (200, BOTH)


@fronts
@pytest.mark.parametrize(("left", "renewed"), [(601.5, False), (598.5, True), (1.5, True)])
async def test_R3_the_threshold_is_AuthXs(
    clock: RealClock, front: Front, left: float, renewed: bool
) -> None:
    site = await signed_in(clock, front, left=left)

    response = await site.browser.get("/me")

    assert response.status == 200
    assert (ACCESS in given(response)) is renewed


@fronts
@pytest.mark.parametrize("left", [NEAR, OVER])
async def test_R4_the_handler_sees_the_new_token(
    clock: RealClock, front: Front, left: float
) -> None:
    site = await signed_in(clock, front, left=left)

    response = await site.browser.get("/me")

    (seen,) = site.seen
    new = site.read(response.cookies[ACCESS])
    assert seen["jti"] == new["jti"]
    assert new["exp"] == pytest.approx(clock() + LIFETIME, abs=1)


@fronts
async def test_R4_other_cookies_of_the_request_are_left_in_the_header(
    clock: RealClock, front: Front
) -> None:
    site = await signed_in(clock, front, left=OVER)
    site.browser.put("theme", "dark")
    came = site.browser.values()

    response = await site.browser.get("/cookies")

    seen = response.json()
    assert seen.pop(ACCESS) == response.cookies[ACCESS] != came.pop(ACCESS)
    assert seen == came


@fronts
async def test_R5_a_slow_handler_does_not_cost_the_session(clock: RealClock, front: Front) -> None:
    site = await signed_in(clock, front, left=2)
    site.meanwhile = lambda: clock.advance(2.5)

    slow = await site.browser.get("/slow")
    after = await site.browser.get("/me")

    assert (slow.status, given(slow)) == (200, BOTH)
    assert (after.status, given(after)) == (200, set())


@fronts
async def test_R6_a_threshold_beyond_the_lifetime_renews_in_the_last_minute(
    clock: RealClock, front: Front
) -> None:
    site = await signed_in(clock, front, left=61.5, JWT_ACCESS_TOKEN_EXPIRES=timedelta(minutes=5))
    early = [given(await site.browser.get("/me")) for _ in range(50)]
    clock.advance(3)

    late = [given(await site.browser.get("/me")) for _ in range(50)]

    assert early == [set()] * 50
    assert late == [BOTH] + [set()] * 49


async def test_R7_the_refresh_cookie_rotates_and_the_one_replaced_is_watched(
    clock: RealClock,
) -> None:
    site = await signed_in(clock, "stored")
    copy = site.browser.fork()
    tokens = {site.browser.values()[REFRESH]}
    for _ in range(3):
        clock.advance(HOUR)
        assert (await site.browser.get("/me")).status == 200
        tokens.add(site.browser.values()[REFRESH])

    replayed = await copy.get("/me")

    assert len(tokens) == 4
    assert replayed.status in (401, 422)
    assert given(replayed) == set()
    assert site.named("reused")


# --- security -------------------------------------------------------------------------------------


@fronts
@pytest.mark.parametrize("left", [800, 599, NEAR, 1, OVER])
async def test_S1_logout_stays_logged_out(clock: RealClock, front: Front, left: float) -> None:
    site = await signed_in(clock, front, left=left)

    response = await site.browser.post("/logout", headers=[site.csrf()])
    after = await site.browser.get("/me")

    assert deleted(response) >= BOTH
    assert not given(response) & BOTH
    assert not site.browser.values().keys() & BOTH
    assert (after.status, given(after)) == (401, set())


@fronts
async def test_S1_a_response_that_was_on_its_way_does_not_undo_the_logout(
    clock: RealClock, front: Front
) -> None:
    site = await signed_in(clock, front, left=NEAR)
    late = await site.browser.send("/me")

    await site.browser.post("/logout", headers=[site.csrf()])
    site.browser.deliver(late)
    clock.advance(LIFETIME + 5)
    after = await site.browser.get("/me")

    assert given(late) == BOTH
    assert (after.status, given(after) & BOTH) in [(401, set()), (422, set())]


@fronts
async def test_S2_a_blocklisted_access_token_far_from_its_end_is_refused(
    clock: RealClock, front: Front
) -> None:
    site = await signed_in(clock, front)
    site.blocked.add(site.browser.values()[ACCESS])

    response = await site.browser.get("/me")

    assert (response.status, error(response)) == (401, "RevokedTokenError")
    assert given(response) == set()


@fronts
@pytest.mark.parametrize("path", ["/me", "/public"])
@pytest.mark.parametrize("left", [NEAR, OVER])
async def test_S2_an_access_token_alone_is_never_renewed(
    clock: RealClock, front: Front, path: str, left: float
) -> None:
    site = await signed_in(clock, front, left=left)
    site.browser.drop(REFRESH, CSRF_REFRESH)

    response = await site.browser.get(path)

    assert given(response) == set()


@fronts
@pytest.mark.parametrize("left", [800, NEAR, OVER])
async def test_S3_a_login_as_somebody_else_wins(
    clock: RealClock, front: Front, left: float
) -> None:
    site = await signed_in(clock, front, left=left)

    response = await site.browser.post("/login/bob", headers=[site.csrf()])
    after = await site.browser.get("/me")
    clock.advance(HOUR)
    later = await site.browser.get("/me")

    assert site.read(response.cookies[ACCESS])["sub"] == "bob"
    assert site.read(response.cookies[REFRESH])["sub"] == "bob"
    assert (after.json()["sub"], later.json()["sub"]) == ("bob", "bob")
    assert after.json()["csrf"] == response.cookies[CSRF_ACCESS]


@fronts
async def test_S3_a_response_that_was_on_its_way_does_not_bring_the_earlier_user_back(
    clock: RealClock, front: Front
) -> None:
    site = await signed_in(clock, front, left=OVER, user="bob")
    await site.browser.get("/me")
    clock.advance(LIFETIME - NEAR)
    late = await site.browser.send("/me")
    await site.browser.post("/login/alice", headers=[site.csrf()])

    site.browser.deliver(late)
    clock.advance(HOUR)
    response = await site.browser.get("/me")

    assert ACCESS in given(late)
    if REFRESH in given(late):  # nothing of alice's is left in the jar
        assert response.status in (401, 422)
    else:
        assert (response.status, response.json().get("sub")) == (200, "alice")


@fronts
async def test_S4_a_login_type_stays_what_it_is(clock: RealClock, front: Front) -> None:
    site = make_site(clock, front)
    site.auth.login_type = "user"
    await site.sign_in()
    clock.advance(HOUR)
    site.auth.login_type = "admin"

    response = await site.browser.get("/public")

    assert site.read(response.cookies[ACCESS])["login_type"] == "user"


@fronts
async def test_S5_an_access_cookie_does_not_live_on_by_being_used(
    clock: RealClock, front: Front
) -> None:
    site = await signed_in(clock, front)
    site.browser.drop(REFRESH)
    for _ in range(4):
        clock.advance(5 * MINUTE)
        last = await site.browser.get("/me")

    assert (last.status, error(last)) == (422, "TokenExpiredError")


@fronts
@pytest.mark.parametrize("left", [NEAR, OVER])
@pytest.mark.parametrize("value", ["wrong", "", None, "refresh"])
async def test_S6_a_request_that_fails_the_csrf_check_prolongs_nothing(
    clock: RealClock, front: Front, left: float, value: str | None
) -> None:
    site = await signed_in(clock, front, left=left)
    before = site.browser.values()
    sent = before[CSRF_REFRESH] if value == "refresh" else value
    headers = [] if sent is None else [("x-csrf-token", sent)]

    response = await site.browser.post("/transfer", headers=headers)

    assert (response.status, response.set_cookies) == (401, [])
    assert site.runs == []
    assert site.browser.values() == before
    assert (await site.browser.post("/transfer", headers=[site.csrf()])).status == 200


@fronts
async def test_S7_a_response_for_shared_caches_carries_no_cookie(
    clock: RealClock, front: Front
) -> None:
    site = await signed_in(clock, front, left=NEAR)

    shared = await site.browser.get("/cached")
    other = await site.browser.get("/kept")

    assert (shared.set_cookies, shared.header("cache-control")) == ([], "public, max-age=3600")
    assert given(other) == BOTH
    assert other.header("cache-control") == "private, no-store"
    assert other.header("vary") == "Cookie"  # AuthX is told to look for no header


@fronts
@pytest.mark.parametrize(
    ("path", "method"),
    [("/nowhere", "GET"), ("/me", "PUT"), ("/teapot", "GET"), ("/me", "OPTIONS")],
)
async def test_S8_a_refusal_prolongs_nothing(
    clock: RealClock, front: Front, path: str, method: str
) -> None:
    site = await signed_in(clock, front, left=NEAR)

    response = await site.browser.request(path, method, headers=[site.csrf()])

    assert response.set_cookies == []
    assert response.status >= 400


@fronts
@pytest.mark.parametrize("path", ["/redirect", "/unchanged"])
async def test_S8_what_is_no_refusal_does(clock: RealClock, front: Front, path: str) -> None:
    site = await signed_in(clock, front, left=NEAR)

    assert given(await site.browser.get(path)) == BOTH


@fronts
async def test_S8_a_crash_changes_nothing_and_the_handler_runs_once(
    clock: RealClock, front: Front
) -> None:
    site = await signed_in(clock, front, left=OVER)
    with pytest.raises(ZeroDivisionError):
        await site.browser.get("/crash")

    assert site.runs == ["/crash"]
    assert (await site.browser.get("/me")).status == 200


@fronts
async def test_S9_a_deleted_user_is_not_refreshed(clock: RealClock, front: Front) -> None:
    users = {"alice": {"role": "admin"}}
    load = {"load_claims": lambda session: users.get(session.subject)}
    site = await signed_in(clock, front, left=OVER, settings=load)
    before = await site.browser.get("/me")
    users.clear()
    clock.advance(HOUR)

    after = await site.browser.get("/me")

    assert (before.status, before.json()["role"]) == (200, "admin")
    assert after.status in (401, 422)
    assert given(after) == set()


@fronts
@pytest.mark.parametrize("type_", [None, "refresh", "other"])
async def test_S10_no_other_type_of_token_passes_as_a_refresh_token(
    clock: RealClock, front: Front, type_: str | None
) -> None:
    site = make_site(clock, front)
    now = int(clock())
    claims = {"sub": "alice", "jti": "j", "iat": now, "exp": now + 900, "csrf": "c"}
    if type_ != "refresh":
        claims |= {"type": type_} if type_ else {}
        site.browser.put(REFRESH, site.sign(claims))
    else:
        site.browser.put(REFRESH, site.auth.create_access_token("alice"))

    response = await site.browser.get("/me")

    assert (response.status, given(response)) == (401, set())


async def test_S11_a_logout_counts_though_the_browser_keeps_prefixed_cookies(
    clock: RealClock,
) -> None:
    """AuthX deletes a `__Host-` cookie without Secure, which browsers ignore."""
    names = {"JWT_ACCESS_COOKIE_NAME": "__Host-at", "JWT_REFRESH_COOKIE_NAME": "__Host-rt"}
    site = await signed_in(clock, "stored", left=OVER, **names)
    await site.browser.get("/me")
    await site.browser.post("/logout", headers=[site.csrf()])
    clock.advance(2)

    now = await site.browser.get("/me")
    clock.advance(HOUR)
    later = await site.browser.get("/me")

    assert now.status in (401, 422)
    assert later.status in (401, 422)
    assert given(now) | given(later) == set()


@fronts
async def test_S12_a_header_that_acts_as_bob_does_not_prolong_alices_cookies(
    clock: RealClock, front: Front
) -> None:
    site = await signed_in(clock, front, left=NEAR, JWT_TOKEN_LOCATION=["headers", "cookies"])
    token = site.auth.create_access_token("bob")

    response = await site.browser.get("/me", headers=[("authorization", f"Bearer {token}")])

    assert (response.status, response.json()["sub"]) == (200, "bob")
    assert given(response) == set()


# --- claims ---------------------------------------------------------------------------------------

RICH = {"data": {"role": "admin", "tenant": 7}, "scopes": ["a:read", "b:*"], "audience": "svc"}


@fronts
@pytest.mark.parametrize("left", [NEAR, OVER])
async def test_C1_claims_scopes_audience_and_issuer_survive(
    clock: RealClock, front: Front, left: float
) -> None:
    site = await signed_in(
        clock,
        front,
        left=left,
        access=RICH,
        refresh={"audience": "svc"},
        JWT_DECODE_AUDIENCE="svc",
        JWT_ENCODE_ISSUER="us",
        JWT_DECODE_ISSUER="us",
    )
    old = site.read(site.browser.values()[ACCESS])

    first = await site.browser.get("/scoped")
    new = site.read(site.browser.values()[ACCESS])
    second = await site.browser.get("/scoped")

    changing = {"jti", "iat", "exp", "fresh", "sid", "gen", "auth_time"}
    assert given(first) >= {ACCESS}
    assert {k: v for k, v in new.items() if k not in changing} == {
        k: v for k, v in old.items() if k not in changing
    }
    assert (first.status, second.status, second.json()["role"]) == (200, 200, "admin")


@fronts
@pytest.mark.parametrize("audience", ["svc", ["svc", "other"]], ids=str)
async def test_C1_the_audience_of_a_token_wins_over_the_configured_one(
    clock: RealClock, front: Front, audience: Any
) -> None:
    site = await signed_in(
        clock,
        front,
        left=OVER,
        access={"audience": audience},
        refresh={"audience": audience},
        JWT_ENCODE_AUDIENCE="usual",
        JWT_DECODE_AUDIENCE=["usual", "svc"],
    )

    for _ in range(2):
        response = await site.browser.get("/me")
        assert (response.status, response.json()["aud"]) == (200, audience)
        clock.advance(HOUR)


@fronts
async def test_C1_they_survive_many_refreshes(clock: RealClock, front: Front) -> None:
    site = await signed_in(clock, front, access={"data": {"role": "admin"}, "scopes": ["a:read"]})
    for _ in range(4):
        clock.advance(HOUR)
        response = await site.browser.get("/scoped")
        assert (response.status, response.json()["role"]) == (200, "admin")


@fronts
async def test_C1_those_of_the_refresh_token_serve_where_no_access_cookie_came(
    clock: RealClock, front: Front
) -> None:
    refresh = {"data": {"role": "admin"}, "scopes": ["a:read"]}
    site = await signed_in(clock, front, refresh=refresh)
    site.browser.drop(ACCESS)

    response = await site.browser.get("/scoped")

    assert (response.status, response.json()["role"]) == (200, "admin")


@fronts
async def test_C1_the_tokens_of_a_login_may_fall_into_two_seconds(
    clock: RealClock, front: Front
) -> None:
    """`iat` is a whole second, and applications make the access token first."""
    site = make_site(clock, front, access={"scopes": ["a:read"]})
    site.between = lambda: clock.advance(0.9)
    await site.sign_in()
    csrf = site.csrf()
    clock.advance(HOUR)

    assert (await site.browser.get("/scoped")).status == 200
    assert (await site.browser.post("/transfer", headers=[csrf])).status == 200


@fronts
@pytest.mark.parametrize("whose", ["an earlier login's", "a forger's"])
async def test_C1_claims_are_not_taken_from_another_login(
    clock: RealClock, front: Front, whose: str
) -> None:
    site = make_site(clock, front, access={"data": {"role": "admin"}, "scopes": ["a:read"]})
    await site.sign_in()
    other, other_csrf = site.browser.values()[ACCESS], site.csrf()
    clock.advance(HOUR)
    site.access = {}
    site.browser.jar.clear()
    await site.sign_in()
    if whose == "a forger's":
        head, claims, tag = other.split(".")
        other = ".".join([head, claims, tag[::-1]])
    site.browser.put(ACCESS, other)

    response = await site.browser.get("/me")
    scoped = await site.browser.get("/scoped")

    assert (response.status, response.json()["sub"]) == (200, "alice")
    assert "role" not in response.json()
    assert response.json()["csrf"] not in other_csrf
    assert scoped.status == 403


@fronts
@pytest.mark.parametrize("left", [NEAR, OVER])
async def test_C3_a_refreshed_token_is_never_fresh(
    clock: RealClock, front: Front, left: float
) -> None:
    access = {"fresh": left < 0}  # a good one stays as it is
    site = await signed_in(clock, front, left=left, access=access)
    claims = site.read(site.browser.values()[REFRESH])
    site.browser.put(REFRESH, site.sign({**claims, "fresh": True}))
    assert (await site.browser.get("/me")).status == 200

    response = await site.browser.get("/fresh")

    assert (response.status, error(response)) == (401, "FreshTokenRequiredError")


@fronts
async def test_C3_a_token_that_needs_no_refresh_stays_fresh(clock: RealClock, front: Front) -> None:
    site = await signed_in(clock, front, left=700, access={"fresh": True})

    assert [(await site.browser.get("/fresh")).status for _ in range(2)] == [200, 200]


@fronts
async def test_C3_a_fresh_token_is_used_up(clock: RealClock, front: Front) -> None:
    """Nothing takes its place while it is good; what does, when it is over, is not fresh."""
    site = await signed_in(clock, front, left=5, access={"fresh": True})

    last = [(await site.browser.get("/fresh")) for _ in range(2)]
    clock.advance(10)
    after = await site.browser.get("/fresh")

    assert [(answer.status, given(answer)) for answer in last] == [(200, set())] * 2
    assert after.status == 401
    assert (await site.browser.get("/me")).status == 200


@fronts
@pytest.mark.parametrize("left", [NEAR, OVER])
async def test_C4_the_csrf_value_that_a_page_has_read_stays_good(
    clock: RealClock, front: Front, left: float
) -> None:
    site = await signed_in(clock, front, left=left)
    read_before = site.csrf()

    at_once = await site.browser.post("/transfer", headers=[read_before])
    clock.advance(HOUR)
    later = await site.browser.post("/transfer", headers=[read_before])

    assert (at_once.status, later.status) == (200, 200)
    assert at_once.cookies[CSRF_ACCESS] == read_before[1] == later.json()["csrf"]


@fronts
async def test_C4_parallel_requests_of_a_page_all_pass(clock: RealClock, front: Front) -> None:
    site = await signed_in(clock, front, left=OVER)
    headers = [site.csrf()]

    calls = [lambda: site.browser.send("/transfer", "POST", headers=headers)] * 5
    answers = await together(calls + [lambda: site.browser.send("/me")] * 5)

    assert [answer.status for answer in answers] == [200] * 10
    assert {answer.json()["csrf"] for answer in answers} == {headers[0][1]}


@fronts
@pytest.mark.parametrize("left", [NEAR, OVER])
async def test_C5_tokens_of_the_previous_key_are_signed_anew_with_the_current(
    clock: RealClock, front: Front, left: float
) -> None:
    old = await signed_in(clock, front, left=left)
    keys = {
        "JWT_SECRET_KEY": "another secret of more than 32 bytes!",
        "JWT_PREVIOUS_SECRET_KEY": SECRET,
    }
    site = make_site(clock, front, **keys)
    site.browser.jar = dict(old.browser.jar)

    response = await site.browser.get("/me")

    assert response.status == 200
    assert site.read(response.cookies[ACCESS])["sub"] == "alice"
    assert site.read(response.cookies[REFRESH])["sub"] == "alice"


# --- options --------------------------------------------------------------------------------------


@fronts
async def test_F7_a_signed_token_without_exp_is_no_error(clock: RealClock, front: Front) -> None:
    site = await signed_in(clock, front)
    now = int(clock())
    eternal = {"sub": "alice", "type": "access", "jti": "j", "csrf": "c", "iat": now}
    site.browser.put(ACCESS, site.sign(eternal))

    assert (await site.browser.get("/public")).status == 200


@fronts
async def test_F7_a_refresh_token_without_exp_mints_nothing(clock: RealClock, front: Front) -> None:
    site = make_site(clock, front)
    eternal = {"sub": "alice", "type": "refresh", "jti": "j", "csrf": "c", "iat": int(clock())}
    site.browser.put(REFRESH, site.sign(eternal))

    response = await site.browser.get("/me")

    assert (response.status, given(response)) == (401, set())


@fronts
async def test_F7_an_odd_csrf_header_makes_no_error_of_ours(clock: RealClock, front: Front) -> None:
    site = await signed_in(clock, front, left=OVER)

    response = await site.browser.post("/public", headers=[("x-csrf-token", "\xe9")])

    assert response.status == 200


@fronts
async def test_F7_access_tokens_that_never_end_are_replaced_by_some_that_do(
    clock: RealClock, front: Front
) -> None:
    site = make_site(clock, front, JWT_ACCESS_TOKEN_EXPIRES=None)
    await site.sign_in()

    response = await site.browser.get("/me")

    assert (response.status, given(response)) == (200, BOTH)
    assert site.read(response.cookies[ACCESS])["exp"] <= clock() + LIFETIME


# --- transport ------------------------------------------------------------------------------------


@fronts
@pytest.mark.parametrize("left", [NEAR, OVER])
async def test_W1_a_websocket_handshake_refreshes_the_access_cookie_only(
    clock: RealClock, front: Front, left: float
) -> None:
    site = await signed_in(clock, front, left=left)

    accept, sent, _ = await site.browser.websocket("/ws")

    lines = [value.decode() for name, value in accept["headers"] if name == b"set-cookie"]
    cookies = {line.partition("=")[0]: line.partition("=")[2].partition(";")[0] for line in lines}
    told = json.loads(sent["text"])
    assert ACCESS in cookies
    assert set(cookies) <= {ACCESS, CSRF_ACCESS}
    assert told == {"sub": "alice", "jti": site.read(cookies[ACCESS])["jti"]}


@fronts
async def test_W1_far_from_the_end_it_sets_nothing(clock: RealClock, front: Front) -> None:
    site = await signed_in(clock, front)

    accept, *_ = await site.browser.websocket("/ws")

    assert accept["type"] == "websocket.accept"
    assert list(accept["headers"]) == []


@fronts
async def test_W1_AuthXs_own_dependency_is_left_as_it_is(clock: RealClock, front: Front) -> None:
    site = await signed_in(clock, front)
    raw = site.browser.values()[ACCESS]
    query = {"query_string": f"token={raw}".encode()}

    with_token = await site.browser.websocket("/ws/required", scope=query)
    without = await site.browser.websocket("/ws/required")

    assert with_token[0]["type"] == "websocket.accept"
    assert without[0].get("status", 403) in (401, 403)


@fronts
async def test_W2_trailers_and_chunks_pass(clock: RealClock, front: Front) -> None:
    site = await signed_in(clock, front, left=NEAR)

    messages = await messages_of(site.browser.app, site.browser.scope("/raw/x", "GET"))

    assert [message["type"].rpartition(".")[2] for message in messages] == [
        "start", "body", "body", "body", "body", "trailers",
    ]  # fmt: skip
    assert b"set-cookie" in dict(messages[0]["headers"])


@fronts
async def test_W2_context_variables_of_the_application_are_seen_outside(
    clock: RealClock, front: Front
) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="unset")

    def setting(app: App) -> App:
        async def inner(scope: Any, receive: Any, send: Any) -> None:
            variable.set("set")
            await app(scope, receive, send)

        return inner

    site = await signed_in(clock, front, left=NEAR, inside=setting)
    variable.set("unset")

    await site.browser.get("/me")

    assert variable.get() == "set"


@pytest.mark.parametrize("left", [NEAR, OVER])
async def test_W4_twenty_requests_at_once_adopt_one_session(clock: RealClock, left: float) -> None:
    site = await signed_in(clock, "stored", left=left)

    answers = await together([lambda: site.browser.send("/me")] * 20)

    assert [answer.status for answer in answers] == [200] * 20
    assert len({answer.cookies[REFRESH] for answer in answers}) == 1
    assert len({answer.cookies[CSRF_REFRESH] for answer in answers}) == 1
    assert site.issuer is not None
    assert len(await site.issuer.sessions("alice")) == 1


@fronts
async def test_W4_whatever_order_twenty_answers_arrive_in_the_browser_stays_signed_in(
    clock: RealClock, front: Front
) -> None:
    site = await signed_in(clock, front, left=OVER)
    answers = await together([lambda: site.browser.send("/me")] * 20)
    for answer in answers[::-1]:
        site.browser.deliver(answer)
    clock.advance(HOUR)

    response = await site.browser.post("/transfer", headers=[site.csrf()])

    assert response.status == 200
