# ruff: noqa: N802 - the behaviours have names
"""
What AuthX's own tests ask of it (reference/authx.md, 5), with this library before the application.

Refresh (A), cookies (B), CSRF (C), locations (D), types and blocklist (E), keys and errors (F):
what is AuthX's own must be undisturbed, what concerns refresh must be as promised.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from starlette.middleware.base import BaseHTTPMiddleware

from tests.authx.site import (
    ACCESS,
    CSRF_ACCESS,
    CSRF_REFRESH,
    DAY,
    HOUR,
    REFRESH,
    Front,
    RealClock,
    attributes,
    deleted,
    error,
    given,
    make_site,
    signed_in,
)
from tests.support import Response

pytestmark = pytest.mark.anyio

fronts = pytest.mark.parametrize("front", ["stateless", "stored"])
NEAR, OVER = 60.0, -5.0
BOTH = {ACCESS, CSRF_ACCESS, REFRESH, CSRF_REFRESH}
OTHER = "another secret of more than 32 bytes!"


# --- A: the implicit refresh ----------------------------------------------------------------------


@fronts
async def test_A1_an_excluded_path_is_passed_through_untouched(
    clock: RealClock, front: Front
) -> None:
    site = await signed_in(clock, front, left=OVER, settings={"exclude": ["/api", "/me"]})

    below = await site.browser.get("/api/public")
    exact = await site.browser.get("/me")

    assert (below.status, below.set_cookies) == (200, [])
    assert (exact.status, exact.set_cookies) == (422, [])
    assert given(await site.browser.get("/public")) == BOTH


LISTS = [
    # the lists, and the requests that are renewed and that are not
    ("A1", {"ROUTE_EXCLUDE": ["/public"]}, ["GET /me"], ["GET /public", "POST /public"]),
    ("A1", {"ROUTE_EXCLUDE": ["/me"], "ROUTE_INCLUDE": ["/me"]}, [], ["GET /me"]),
    ("A2", {"ROUTE_INCLUDE": ["/public"], "METHOD_EXCLUDE": ["GET"]}, ["GET /public"], ["GET /me"]),
    ("A3", {"METHOD_EXCLUDE": ["POST"]}, ["GET /public"], ["POST /public"]),
    ("A5", {"METHOD_INCLUDE": ["GET"]}, ["GET /public"], ["POST /public"]),
    ("A5", {"ROUTE_INCLUDE": ["/me"]}, ["GET /me"], ["GET /public"]),
]


@fronts
@pytest.mark.parametrize(("name", "lists", "renewed", "left"), LISTS, ids=str)
async def test_A1235_the_lists_of_AuthX_say_which_requests_refresh(
    clock: RealClock, front: Front, name: str, lists: Any, renewed: list[str], left: list[str]
) -> None:
    options = {f"JWT_IMPLICIT_REFRESH_{key}": value for key, value in lists.items()}
    for asked in renewed + left:
        site = await signed_in(clock, front, left=NEAR, **options)
        method, path = asked.split()

        response = await site.browser.request(path, method)

        assert response.status == 200
        assert given(response) == (BOTH if asked in renewed else set()), asked


@pytest.mark.parametrize(("path", "names"), [("/public", set()), ("/v1/public", BOTH)])
async def test_A1_the_lists_name_paths_below_the_root_path(
    clock: RealClock, path: str, names: set[str]
) -> None:
    lists = {"JWT_IMPLICIT_REFRESH_ROUTE_EXCLUDE": [path]}
    site = await signed_in(clock, "stored", left=NEAR, **lists)

    response = await site.browser.get("/v1/public", scope={"root_path": "/v1"})

    assert given(response) == names


@pytest.mark.parametrize(("kind", "sent"), [("INCLUDE", "accept"), ("EXCLUDE", "close")])
async def test_A3_a_handshake_counts_as_a_get(clock: RealClock, kind: str, sent: str) -> None:
    lists = {f"JWT_IMPLICIT_REFRESH_METHOD_{kind}": ["GET"]}
    site = await signed_in(clock, "stored", left=OVER, **lists)

    messages = await site.browser.websocket("/ws")

    assert messages[0]["type"] == f"websocket.{sent}"


@fronts
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_A4_every_other_path_and_method_is_on(
    clock: RealClock, front: Front, method: str
) -> None:
    site = await signed_in(clock, front, left=OVER)

    assert given(await site.browser.request("/public", method)) == BOTH


@fronts
async def test_A6_near_the_end_the_access_cookie_is_another(clock: RealClock, front: Front) -> None:
    site = await signed_in(clock, front, left=NEAR)
    old = site.browser.values()[ACCESS]

    response = await site.browser.get("/me")

    assert response.cookies[ACCESS] not in ("", old)
    assert site.read(response.cookies[ACCESS])["exp"] > site.read(old)["exp"]


@fronts
async def test_A7_far_from_the_end_nothing_is_set(clock: RealClock, front: Front) -> None:
    site = await signed_in(clock, front, left=700)

    response = await site.browser.get("/me")

    assert (response.status, response.set_cookies) == (200, [])


@fronts
@pytest.mark.parametrize("left", [700, NEAR])
@pytest.mark.parametrize("path", ["/public", "/teapot", "/nowhere", "/redirect"])
async def test_A8_status_body_and_headers_are_the_applications(
    clock: RealClock, front: Front, left: float, path: str
) -> None:
    bare = make_site(clock, "nothing")
    site = await signed_in(clock, front, left=left)

    expected = await bare.browser.get(path)
    found = await site.browser.get(path)

    added = {b"set-cookie", b"vary", b"cache-control"}
    assert (found.status, found.body) == (expected.status, expected.body)
    assert [line for line in found.headers if line[0] not in added] == expected.headers


@fronts
async def test_A9_it_stands_among_other_middleware(clock: RealClock, front: Front) -> None:
    def plain(app: Any) -> Any:
        async def dispatch(request: Any, call_next: Callable[..., Any]) -> Any:
            return await call_next(request)

        return BaseHTTPMiddleware(app, dispatch)

    site = await signed_in(clock, front, left=OVER, inside=plain, outside=plain)

    response = await site.browser.get("/me")

    assert (response.status, given(response)) == (200, BOTH)


@fronts
@pytest.mark.parametrize("delta", [300, timedelta(seconds=300)])
async def test_A10_the_threshold_may_be_seconds(clock: RealClock, front: Front, delta: Any) -> None:
    options = {"JWT_IMPLICIT_REFRESH_DELTATIME": delta}
    site = await signed_in(clock, front, left=301.5, **options)
    early = await site.browser.get("/me")
    clock.advance(3)
    late = await site.browser.get("/me")

    assert (given(early), given(late)) == (set(), BOTH)


# --- B: cookies -----------------------------------------------------------------------------------


def lines(response: Response) -> list[tuple[str, str]]:
    """Name and attributes of every Set-Cookie, in order."""
    pairs = [line.partition("=") for line in response.set_cookies]
    return [(name, rest.partition(";")[2]) for name, _, rest in pairs]


@fronts
@pytest.mark.parametrize("left", [None, 700, NEAR, OVER])
async def test_B7_a_login_sets_the_four_cookies_that_AuthX_sets(
    clock: RealClock, front: Front, left: float | None
) -> None:
    fresh = {"access": {"fresh": True}}
    bare = make_site(clock, "nothing", **fresh)
    site = make_site(clock, front, **fresh)
    if left is not None:
        site = await signed_in(clock, front, left=left, **fresh)

    expected = await bare.browser.post("/login/alice")
    found = await site.browser.post("/login/alice")

    assert lines(found)[:4] == lines(expected)
    assert set(found.cookies) & BOTH == BOTH
    assert found.json()["access_token"] == found.cookies[ACCESS]
    assert found.json()["refresh_token"] == found.cookies[REFRESH]
    assert (await site.browser.get("/me")).json()["fresh"] is True


@fronts
@pytest.mark.parametrize("left", [700, NEAR, OVER])
async def test_B1_an_access_cookie_of_the_application_comes_with_its_own_csrf_cookie(
    clock: RealClock, front: Front, left: float
) -> None:
    site = await signed_in(clock, front, left=left)
    headers = [site.csrf(name=CSRF_REFRESH)]

    response = await site.browser.post("/refresh", headers=headers)

    assert response.status == 200
    assert response.json()["access_token"] == response.cookies[ACCESS]
    assert site.read(response.cookies[ACCESS])["csrf"] == response.cookies[CSRF_ACCESS]
    assert (await site.browser.post("/transfer", headers=[site.csrf()])).status == 200


@fronts
@pytest.mark.parametrize("left", [700, NEAR, OVER])
@pytest.mark.parametrize("path", ["/logout/access", "/logout/refresh", "/logout"])
async def test_B345_deleting_either_cookie_is_a_logout(
    clock: RealClock, front: Front, left: float, path: str
) -> None:
    site = await signed_in(clock, front, left=left)

    response = await site.browser.post(path, headers=[site.csrf()])
    after = await site.browser.get("/me")

    assert deleted(response) >= {ACCESS, REFRESH}
    assert given(response) & BOTH == set()
    assert (after.status, given(after)) == (401, set())


@fronts
@pytest.mark.parametrize("path", ["/logout/access", "/logout/refresh"])
async def test_B34_the_csrf_cookies_go_with_theirs(
    clock: RealClock, front: Front, path: str
) -> None:
    site = await signed_in(clock, front)

    response = await site.browser.post(path, headers=[site.csrf()])

    assert deleted(response) >= BOTH
    assert not BOTH & site.browser.values().keys()


@fronts
@pytest.mark.parametrize("option", ["JWT_COOKIE_CSRF_PROTECT", "JWT_CSRF_IN_COOKIES"])
async def test_B8_without_csrf_cookies_none_are_set(
    clock: RealClock, front: Front, option: str
) -> None:
    site = await signed_in(clock, front, left=OVER, **{option: False})

    response = await site.browser.get("/me")

    assert set(response.cookies) == {ACCESS, REFRESH}


@fronts
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"JWT_COOKIE_DOMAIN": "app.example"},
        {"JWT_COOKIE_SAMESITE": "strict"},
        {"JWT_COOKIE_SECURE": False},
        {"JWT_ACCESS_COOKIE_PATH": "/api", "JWT_ACCESS_CSRF_COOKIE_PATH": "/page"},
        {"JWT_COOKIE_DOMAIN": "app.example", "JWT_COOKIE_SAMESITE": "none"},
    ],
    ids=lambda options: " ".join(map(str, options.values())) or "defaults",
)
async def test_B_a_renewed_cookie_has_the_attributes_of_the_first(
    clock: RealClock, front: Front, options: dict[str, Any]
) -> None:
    site = make_site(clock, front, **options)
    first = await site.sign_in()
    clock.advance(HOUR)

    response = await site.browser.get("/me")

    assert given(response) == BOTH
    for name in BOTH:
        assert attributes(response, name) == attributes(first, name)


@fronts
@pytest.mark.parametrize("age", [HOUR, 30 * DAY])
async def test_B_they_are_kept_when_AuthXs_were(clock: RealClock, front: Front, age: float) -> None:
    site = make_site(clock, front, JWT_COOKIE_MAX_AGE=int(age))
    await site.sign_in()
    clock.advance(1000)

    response = await site.browser.get("/me")

    assert given(response) == BOTH
    for name in BOTH:
        (text,) = [item for item in attributes(response, name) if item.startswith("max-age=")]
        assert 0 < int(text.partition("=")[2]) <= 20 * DAY


@fronts
async def test_B_names_are_AuthXs(clock: RealClock, front: Front) -> None:
    options = {
        "JWT_ACCESS_COOKIE_NAME": "a",
        "JWT_REFRESH_COOKIE_NAME": "r",
        "JWT_ACCESS_CSRF_COOKIE_NAME": "ca",
        "JWT_REFRESH_CSRF_COOKIE_NAME": "cr",
        "JWT_ACCESS_CSRF_HEADER_NAME": "X-Mine",
    }
    site = await signed_in(clock, front, left=OVER, **options)
    headers = [("x-mine", site.browser.values()["ca"])]

    response = await site.browser.post("/transfer", headers=headers)

    assert response.status == 200
    assert set(response.cookies) == {"a", "ca", "r", "cr"}


async def test_B_a_stateless_refresh_cookie_is_replaced_at_first_and_then_in_its_second_half(
    clock: RealClock,
) -> None:
    site = await signed_in(clock, "stateless")
    answers = []
    for days in (1, 1, 7, 3, 9):
        clock.advance(days * DAY)
        answers.append(await site.browser.get("/me"))

    assert [answer.status for answer in answers] == [200] * 5
    assert [REFRESH in given(answer) for answer in answers] == [True, False, False, True, False]
    assert [CSRF_REFRESH in given(answer) for answer in answers] == [
        True,
        False,
        False,
        True,
        False,
    ]
    assert all(given(answer) >= {ACCESS, CSRF_ACCESS} for answer in answers)
    for answer in (answers[0], answers[3]):
        claims = site.read(answer.cookies[REFRESH])
        assert (claims["type"], claims["sub"]) == ("refresh", "alice")
        assert claims["csrf"] == answer.cookies[CSRF_REFRESH]


# --- C: CSRF --------------------------------------------------------------------------------------


@fronts
@pytest.mark.parametrize("left", [700, NEAR, OVER])
async def test_C1_a_get_needs_no_csrf_token(clock: RealClock, front: Front, left: float) -> None:
    site = await signed_in(clock, front, left=left)

    assert (await site.browser.get("/me")).status == 200


@fronts
@pytest.mark.parametrize("left", [700, NEAR, OVER])
async def test_C2_a_post_with_its_csrf_token_passes(
    clock: RealClock, front: Front, left: float
) -> None:
    site = await signed_in(clock, front, left=left)

    assert (await site.browser.post("/transfer", headers=[site.csrf()])).status == 200
    assert (await site.browser.post("/transfer", headers=[site.csrf()])).status == 200


@fronts
async def test_C2_without_the_expired_cookie_the_refresh_tokens_value_serves(
    clock: RealClock, front: Front
) -> None:
    site = await signed_in(clock, front)
    site.browser.drop(ACCESS, CSRF_ACCESS)
    headers = [site.csrf(name=CSRF_REFRESH)]

    response = await site.browser.post("/transfer", headers=headers)

    assert response.status == 200
    assert response.cookies[CSRF_ACCESS] == headers[0][1]


@fronts
async def test_C2_cookies_and_claims_agree_on_both_values(clock: RealClock, front: Front) -> None:
    site = await signed_in(clock, front)
    for _ in range(3):
        clock.advance(HOUR)
        await site.browser.get("/me")
        jar = site.browser.values()
        assert site.read(jar[ACCESS])["csrf"] == jar[CSRF_ACCESS]
        assert site.read(jar[REFRESH])["csrf"] == jar[CSRF_REFRESH]


@fronts
async def test_C2_the_refresh_route_of_the_application_goes_on_working(
    clock: RealClock, front: Front
) -> None:
    site = await signed_in(clock, front)
    for _ in range(3):
        clock.advance(HOUR)
        response = await site.browser.post("/refresh", headers=[site.csrf(name=CSRF_REFRESH)])
        assert response.status == 200
        assert (await site.browser.get("/me")).status == 200


@fronts
@pytest.mark.parametrize("headers", [[], [("x-csrf-token", "wrong")]], ids=["C3", "C5"])
async def test_C3_C5_C10_a_post_without_its_csrf_token_gets_the_answer_of_AuthX(
    clock: RealClock, front: Front, headers: list[tuple[str, str]]
) -> None:
    site = await signed_in(clock, front, left=OVER)
    bare = await signed_in(clock, "nothing")

    expected = await bare.browser.post("/transfer", headers=headers)
    found = await site.browser.post("/transfer", headers=headers)

    assert found.status == expected.status == 401
    assert found.json() == expected.json()
    assert found.set_cookies == []


@fronts
async def test_C4_with_the_protection_off_a_post_passes(clock: RealClock, front: Front) -> None:
    site = await signed_in(clock, front, left=OVER, JWT_COOKIE_CSRF_PROTECT=False)

    assert (await site.browser.post("/transfer")).status == 200


@fronts
async def test_C6_tokens_without_a_csrf_claim_protect_nothing_and_pass_nothing(
    clock: RealClock, front: Front
) -> None:
    site = make_site(clock, front)
    now = int(clock())
    claims = {"sub": "alice", "jti": "j", "iat": now, "exp": now + 900, "type": "refresh"}
    site.browser.put(REFRESH, site.sign(claims))

    read = await site.browser.get("/me")
    site.browser.drop(ACCESS, CSRF_ACCESS)
    written = await site.browser.post("/transfer", headers=[("x-csrf-token", "x")])

    assert read.status in (200, 401)
    assert written.status == 401
    assert site.runs in ([], ["/me"])


@fronts
async def test_C7_the_form_field_is_read_by_AuthX_as_ever(clock: RealClock, front: Front) -> None:
    site = await signed_in(clock, front, left=OVER, JWT_CSRF_CHECK_FORM=True)
    body = f"csrf_token={site.csrf()[1]}".encode()
    headers = [("content-type", "application/x-www-form-urlencoded")]

    good = await site.browser.post("/transfer", headers=headers, body=body)
    wrong = await site.browser.post("/transfer", headers=headers, body=b"csrf_token=wrong")

    assert (good.status, wrong.status) == (200, 401)


@fronts
async def test_C_from_another_origin_the_csrf_token_decides(clock: RealClock, front: Front) -> None:
    """As with AuthX by itself: a front end on a host of its own may be meant to call."""
    site = await signed_in(clock, front, left=OVER)
    foreign = [("origin", "https://other.example"), ("sec-fetch-site", "cross-site")]

    without = await site.browser.post("/transfer", headers=foreign)
    with_it = await site.browser.post("/transfer", headers=[*foreign, site.csrf()])

    assert (without.status, with_it.status) == (401, 200)


@fronts
async def test_C_without_csrf_tokens_the_origin_decides(clock: RealClock, front: Front) -> None:
    site = await signed_in(clock, front, left=OVER, JWT_COOKIE_CSRF_PROTECT=False)
    foreign = [("origin", "https://other.example"), ("sec-fetch-site", "cross-site")]

    response = await site.browser.post("/transfer", headers=foreign)

    assert (response.status, site.runs) == (403, [])


@fronts
async def test_C8_a_post_without_any_cookie_lacks_a_token(clock: RealClock, front: Front) -> None:
    site = make_site(clock, front)

    response = await site.browser.post("/transfer")

    assert (response.status, error(response)) == (401, "MissingTokenError")
    assert response.set_cookies == []


# --- D: locations ---------------------------------------------------------------------------------

EVERYWHERE = {"JWT_TOKEN_LOCATION": ["headers", "cookies", "json", "query"]}


@fronts
async def test_D1_a_token_in_the_header_passes_and_sets_nothing(
    clock: RealClock, front: Front
) -> None:
    site = make_site(clock, front, **EVERYWHERE)
    token = site.auth.create_access_token("alice")

    response = await site.browser.get("/me", headers=[("authorization", f"Bearer {token}")])

    assert (response.status, response.set_cookies) == (200, [])


@fronts
async def test_D4_D6_query_and_json_are_read_by_AuthX_as_ever(
    clock: RealClock, front: Front
) -> None:
    site = make_site(clock, front, **EVERYWHERE)
    token = site.auth.create_access_token("alice")
    body = json.dumps({"access_token": token}).encode()

    query = await site.browser.get("/me", scope={"query_string": f"token={token}".encode()})
    posted = await site.browser.post(
        "/transfer", headers=[("content-type", "application/json")], body=body
    )

    assert (query.status, posted.status) == (200, 200)


@fronts
@pytest.mark.parametrize("order", [["headers", "cookies"], ["cookies", "headers"]])
async def test_D7_the_order_of_locations_is_AuthXs(
    clock: RealClock, front: Front, order: list[str]
) -> None:
    site = await signed_in(clock, front, left=OVER, JWT_TOKEN_LOCATION=order)
    token = site.auth.create_access_token("bob")

    response = await site.browser.get("/me", headers=[("authorization", f"Bearer {token}")])

    expected = "bob" if order[0] == "headers" else "alice"
    assert (response.status, response.json().get("sub")) == (200, expected)


@fronts
async def test_D_a_bad_header_is_AuthXs_to_refuse_and_does_not_hinder_the_refresh(
    clock: RealClock, front: Front
) -> None:
    site = await signed_in(clock, front, left=OVER)

    response = await site.browser.get("/me", headers=[("authorization", "Basic xyz")])

    assert (response.status, given(response)) == (200, BOTH)


# --- E: types, fresh, blocklist, subject ----------------------------------------------------------


@fronts
async def test_E1_a_refresh_token_is_no_access_token(clock: RealClock, front: Front) -> None:
    site = await signed_in(clock, front)
    site.browser.put(ACCESS, site.browser.values()[REFRESH])
    site.browser.drop(REFRESH)

    response = await site.browser.get("/me")

    assert (response.status, error(response)) == (401, "AccessTokenRequiredError")
    assert given(response) == set()


@fronts
async def test_E2_an_access_token_is_no_refresh_token(clock: RealClock, front: Front) -> None:
    site = await signed_in(clock, front)
    site.browser.put(REFRESH, site.browser.values()[ACCESS])
    site.browser.drop(ACCESS)

    response = await site.browser.get("/me")
    needs = await site.browser.get("/needs-refresh")

    assert (response.status, given(response)) == (401, set())
    assert (needs.status, error(needs)) == (401, "RefreshTokenRequiredError")


@fronts
async def test_E3_E4_a_fresh_token_is_an_access_token_and_a_refreshed_one_is_not_fresh(
    clock: RealClock, front: Front
) -> None:
    site = await signed_in(clock, front, access={"fresh": True})
    before = [(await site.browser.get(path)).status for path in ("/fresh", "/me")]
    clock.advance(HOUR)

    after = [(await site.browser.get(path)).status for path in ("/fresh", "/me")]

    assert (before, after) == ([200, 200], [401, 200])


@fronts
async def test_E5_E6_AuthXs_blocklist_is_asked_for_the_token_that_is_passed_down(
    clock: RealClock, front: Front
) -> None:
    site = await signed_in(clock, front)
    site.blocked |= set(site.browser.values().values())

    access = await site.browser.get("/me")
    refresh = await site.browser.get("/needs-refresh")

    assert (access.status, error(access)) == (401, "RevokedTokenError")
    # With a store it is asked before AuthX is, and the token does not reach it.
    refused = "MissingTokenError" if front == "stored" else "RevokedTokenError"
    assert (refresh.status, error(refresh)) == (401, refused)


@fronts
async def test_E8_the_subject_is_found_with_a_refreshed_token(
    clock: RealClock, front: Front
) -> None:
    site = await signed_in(clock, front, left=OVER)

    assert (await site.browser.get("/subject")).json() == {"subject": "alice"}


@fronts
async def test_E_the_refresh_cookie_that_the_application_reads_is_good(
    clock: RealClock, front: Front
) -> None:
    site = await signed_in(clock, front, left=OVER)

    first = await site.browser.get("/needs-refresh")
    second = await site.browser.get("/needs-refresh")

    assert [answer.json()["type"] for answer in (first, second)] == ["refresh"] * 2
    assert [answer.json()["sub"] for answer in (first, second)] == ["alice"] * 2


# --- F: keys and errors ---------------------------------------------------------------------------


def pair(private: Any) -> dict[str, str]:
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return {"JWT_PRIVATE_KEY": pem.decode(), "JWT_PUBLIC_KEY": public.decode()}


@pytest.fixture(scope="module")
def keys() -> dict[str, dict[str, str]]:
    return {
        "RS256": pair(rsa.generate_private_key(65537, 2048)),
        "PS256": pair(rsa.generate_private_key(65537, 2048)),
        "ES256": pair(ec.generate_private_key(ec.SECP256R1())),
        "ES384": pair(ec.generate_private_key(ec.SECP384R1())),
        "HS256": {"JWT_SECRET_KEY": "s" * 32},
        "HS512": {"JWT_SECRET_KEY": "s" * 64},
    }


@fronts
@pytest.mark.parametrize("algorithm", ["HS256", "HS512", "RS256", "PS256", "ES256", "ES384"])
async def test_F1_every_algorithm_is_refreshed_with(
    clock: RealClock, front: Front, algorithm: str, keys: dict[str, dict[str, str]]
) -> None:
    options = {"JWT_ALGORITHM": algorithm, **keys[algorithm]}
    site = await signed_in(clock, front, left=OVER, **options)

    first = await site.browser.get("/me")
    second = await site.browser.get("/me")

    assert (first.status, given(first)) == (200, BOTH)
    assert (second.status, given(second)) == (200, set())


@fronts
async def test_F1_tokens_of_an_unknown_key_are_refused(clock: RealClock, front: Front) -> None:
    old = await signed_in(clock, front, left=OVER)
    site = make_site(clock, front, JWT_SECRET_KEY=OTHER)
    site.browser.jar = dict(old.browser.jar)

    response = await site.browser.get("/me")

    assert (response.status, given(response)) == (422, set())


@fronts
async def test_F1_a_previous_public_key_still_verifies(
    clock: RealClock, front: Front, keys: dict[str, dict[str, str]]
) -> None:
    new = pair(rsa.generate_private_key(65537, 2048))
    old = await signed_in(clock, front, left=OVER, JWT_ALGORITHM="RS256", **keys["RS256"])
    previous = {"JWT_PREVIOUS_PUBLIC_KEY": keys["RS256"]["JWT_PUBLIC_KEY"]}
    site = make_site(clock, front, JWT_ALGORITHM="RS256", **new, **previous)
    site.browser.jar = dict(old.browser.jar)

    response = await site.browser.get("/me")

    assert (response.status, ACCESS in given(response)) == (200, True)
    assert site.read(response.cookies[ACCESS])["sub"] == "alice"


BROKEN: dict[str, Callable[[dict[str, Any]], Any]] = {
    "expired": lambda claims: claims | {"exp": claims["iat"] - 1},
    "no exp": lambda claims: {k: v for k, v in claims.items() if k != "exp"},
    "exp no number": lambda claims: claims | {"exp": "soon"},
    "exp beyond all": lambda claims: claims | {"exp": 10**30},
    "no sub": lambda claims: {k: v for k, v in claims.items() if k != "sub"},
    "sub no text": lambda claims: claims | {"sub": 7},
    "sub empty": lambda claims: claims | {"sub": ""},
    "no type": lambda claims: {k: v for k, v in claims.items() if k != "type"},
    "of the future": lambda claims: claims | {"iat": claims["iat"] + 3600},
    "not yet": lambda claims: claims | {"nbf": claims["iat"] + 3600},
    "other audience": lambda claims: claims | {"aud": "other"},
    "scopes a text": lambda claims: claims | {"scopes": "a:read"},
}


@fronts
@pytest.mark.parametrize("how", BROKEN)
async def test_F2_a_refresh_token_that_AuthX_would_refuse_mints_nothing(
    clock: RealClock, front: Front, how: str
) -> None:
    site = make_site(clock, front)
    now = int(clock())
    good = {
        "sub": "alice", "type": "refresh", "jti": "j", "csrf": "c", "iat": now, "exp": now + 900,
    }  # fmt: skip
    site.browser.put(REFRESH, site.sign(BROKEN[how](good)))

    response = await site.browser.get("/me")

    assert response.status in (401, 422)
    assert given(response) == set()


@fronts
@pytest.mark.parametrize("name", ["JWT_DECODE_AUDIENCE", "JWT_DECODE_ISSUER"])
async def test_F2_the_audience_and_issuer_that_AuthX_expects_are_expected_of_refresh_tokens(
    clock: RealClock, front: Front, name: str
) -> None:
    old = make_site(clock, front)
    site = make_site(clock, front, **{name: "svc"})
    site.browser.put(REFRESH, old.auth.create_refresh_token("alice"))

    response = await site.browser.get("/me")

    assert (response.status, given(response)) == (401, set())


@fronts
@pytest.mark.parametrize("value", ["", "x", "...", "..", "a.b.c", "\xe9", "x" * 60_000, '""'])
async def test_F2_garbage_is_refused_by_AuthX_and_never_an_error(
    clock: RealClock, front: Front, value: str
) -> None:
    site = make_site(clock, front)
    for name in (ACCESS, REFRESH):
        site.browser.put(name, value)

    response = await site.browser.get("/me")

    assert response.status in (401, 422)
    assert (await site.browser.get("/public")).status == 200


@fronts
@pytest.mark.parametrize("algorithm", ["none", "HS512"])
async def test_F2_another_algorithm_is_refused(
    clock: RealClock, front: Front, algorithm: str
) -> None:
    site = make_site(clock, front, JWT_SECRET_KEY="s" * 64)
    now = int(clock())
    claims = {"sub": "alice", "type": "refresh", "jti": "j", "iat": now, "exp": now + 900}
    key = None if algorithm == "none" else "s" * 64
    site.browser.put(REFRESH, jwt.encode(claims, key, algorithm=algorithm))

    response = await site.browser.get("/me")

    assert (response.status, given(response)) == (401, set())
