"""`RefreshEndpoint`: by form and by cookie, and one way to a request."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_refresh import Config, RefreshEndpoint, RefreshMiddleware
from asgi_refresh.errors import InvalidTokenError
from tests.endpoints.site import (
    ACCESS,
    BAD,
    FOREIGN,
    FORM,
    JSON,
    OWN,
    REFRESH,
    Site,
    apart,
    bad_token,
    bearer,
    form,
)
from tests.support import Browser, Clock, whoami

pytestmark = pytest.mark.anyio
URL = "/auth/refresh"
STORED = pytest.mark.parametrize("stored", [True, False])


# --- by form (RFC 6749, 6) ------------------------------------------------------------------------


@STORED
async def test_a_form_is_exchanged(clock: Clock, stored: bool) -> None:
    site = Site(clock, stored=stored)
    tokens = await site.issuer.issue("alice")

    response = await site.by_form(tokens.refresh_token)

    assert response.status == 200
    assert site.issuer.verify(response.json()["access_token"])["sub"] == "alice"


async def test_a_form_gets_the_answer_of_json(clock: Clock) -> None:
    site = Site(clock)
    tokens = await site.issuer.issue("alice")
    body = f'{{"refresh_token": "{tokens.refresh_token}"}}'.encode()

    by_form = await site.by_form(tokens.refresh_token)
    by_json = await site.post(URL, JSON, body=body)

    assert by_form.json().keys() == by_json.json().keys()
    assert by_form.json()["refresh_token"] == by_json.json()["refresh_token"]


async def test_a_form_with_a_charset_is_one(clock: Clock) -> None:
    site = Site(clock)
    tokens = await site.issuer.issue("alice")
    fields = form(grant_type="refresh_token", refresh_token=tokens.refresh_token)
    kind = ("content-type", "Application/X-WWW-Form-Urlencoded; charset=UTF-8")

    assert (await site.post(URL, kind, body=fields)).status == 200


async def test_other_fields_do_not_matter(clock: Clock) -> None:
    site = Site(clock)
    tokens = await site.issuer.issue("alice")
    fields = form(
        grant_type="refresh_token", refresh_token=tokens.refresh_token, client_id="", scope="x y"
    )

    assert (await site.post(URL, FORM, body=fields)).status == 200


async def test_client_credentials_by_basic_do_not_spoil_a_form(clock: Clock) -> None:
    site = Site(clock)
    tokens = await site.issuer.issue("alice")
    fields = form(grant_type="refresh_token", refresh_token=tokens.refresh_token)

    response = await site.post(URL, FORM, ("authorization", "Basic YTpi"), body=fields)

    assert response.status == 200


@pytest.mark.parametrize("kind", BAD)
async def test_a_bad_token_in_a_form_is_400_invalid_grant(clock: Clock, kind: str) -> None:
    site = Site(clock)

    response = await site.by_form(await bad_token(kind, site))

    assert (response.status, response.json()) == (400, {"error": "invalid_grant"})


@pytest.mark.parametrize("kind", BAD)
async def test_every_bad_token_in_a_form_gets_the_very_same_answer(clock: Clock, kind: str) -> None:
    site = Site(clock)
    raw = await bad_token(kind, site)

    assert apart(await site.by_form(raw)) == apart(await site.by_form("x"))


@pytest.mark.parametrize("kind", BAD)
async def test_every_bad_token_in_a_header_gets_the_very_same_answer(
    clock: Clock, kind: str
) -> None:
    site = Site(clock)
    raw = await bad_token(kind, site)

    assert apart(await site.post(URL, bearer(raw))) == apart(await site.post(URL, bearer("x")))


@pytest.mark.parametrize("grant", ["password", "authorization_code", "Refresh_Token", "x"])
async def test_another_grant_type_is_unsupported(clock: Clock, grant: str) -> None:
    site = Site(clock)
    tokens = await site.issuer.issue("alice")

    response = await site.by_form(tokens.refresh_token, grant)

    assert (response.status, response.json()) == (400, {"error": "unsupported_grant_type"})


@pytest.mark.parametrize(
    "fields",
    [
        b"", b"refresh_token=x", b"grant_type=&refresh_token=x", b"grant_type=refresh_token",
        b"grant_type=refresh_token&refresh_token=", b"grant_type=refresh_token&refresh_token=%ff",
        b"grant_type=refresh_token&refresh_token=x&refresh_token=x",
        b"grant_type=refresh_token&grant_type=refresh_token&refresh_token=x", b"\xff\xfe", b"&&&",
        b"grant_type=refresh_token&refresh_token=x" + b"&a=b" * 40,
    ],
)  # fmt: skip
async def test_a_malformed_form_is_400_invalid_request(clock: Clock, fields: bytes) -> None:
    site = Site(clock)

    response = await site.post(URL, FORM, body=fields)

    assert (response.status, response.json()) == (400, {"error": "invalid_request"})
    assert site.spy.calls == []


async def test_a_form_beyond_16_kib_is_413(clock: Clock) -> None:
    site = Site(clock)
    fields = form(grant_type="refresh_token", refresh_token="x" * 17_000)

    response = await site.post(URL, FORM, body=fields)

    assert (response.status, response.header("connection")) == (413, "close")


async def test_a_form_that_is_refused_may_not_be_kept(clock: Clock) -> None:
    response = await Site(clock).by_form("x")

    assert response.header("cache-control") == "no-store"


async def test_with_the_store_away_a_form_gets_503(clock: Clock) -> None:
    site = Site(clock)
    tokens = await site.issuer.issue("alice")
    site.spy.broken = {"*"}

    response = await site.by_form(tokens.refresh_token)

    assert (response.status, response.header("retry-after")) == (503, "1")


async def test_a_form_ends_the_earlier_access_token(clock: Clock) -> None:
    site = Site(clock)
    tokens = await site.issuer.issue("alice")

    await site.by_form(tokens.refresh_token)

    with pytest.raises(InvalidTokenError):
        await site.issuer.authenticate(tokens.access_token)


# --- by cookie ------------------------------------------------------------------------------------


@STORED
async def test_a_cookie_is_exchanged_for_cookies(clock: Clock, stored: bool) -> None:
    site = Site(clock, stored=stored)
    alice = await site.signed_in()
    clock.advance(300)

    response = await alice.post(URL, headers=OWN)

    assert response.status == 200
    assert set(response.cookies) == ({ACCESS, REFRESH} if stored else {ACCESS})
    assert site.issuer.verify(response.cookies[ACCESS])["sub"] == "alice"


@STORED
async def test_by_cookie_the_body_tells_only_how_long(clock: Clock, stored: bool) -> None:
    site = Site(clock, stored=stored)
    alice = await site.signed_in()
    clock.advance(300)

    assert (await alice.post(URL, headers=OWN)).json() == {"expires_in": 600}


async def test_by_cookie_a_good_access_token_is_replaced_all_the_same(clock: Clock) -> None:
    site = Site(clock)
    alice = await site.signed_in()
    clock.advance(1)
    before = alice.values()

    await alice.post(URL, headers=OWN)

    assert alice.values()[ACCESS] != before[ACCESS]
    assert alice.values()[REFRESH] != before[REFRESH]


async def test_by_cookie_an_expired_or_missing_access_cookie_does_not_matter(clock: Clock) -> None:
    site = Site(clock)
    alice = await site.signed_in()
    alice.drop(ACCESS)
    clock.advance(3600)

    assert (await alice.post(URL, headers=OWN)).status == 200


async def test_by_cookie_the_access_tokens_of_parallel_requests_stay_good(clock: Clock) -> None:
    site = Site(clock)
    alice = await site.signed_in()
    clock.advance(300)
    other_tab = alice.fork()
    await alice.post(URL, headers=OWN)

    assert (await other_tab.get("/")).json()["subject"] == "alice"


async def test_by_cookie_the_new_cookies_are_good(clock: Clock) -> None:
    site = Site(clock)
    alice = await site.signed_in()
    for _ in range(4):
        clock.advance(3600)
        assert (await alice.post(URL, headers=OWN)).status == 200

    assert (await alice.get("/")).json()["subject"] == "alice"


async def test_by_cookie_the_answer_may_not_be_kept(clock: Clock) -> None:
    alice = await Site(clock).signed_in()

    response = await alice.post(URL, headers=OWN)

    assert "no-store" in (response.header("cache-control") or "")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_by_cookie_another_method_is_405_and_sets_nothing(clock: Clock, method: str) -> None:
    site = Site(clock)
    alice = await site.signed_in()
    site.spy.calls.clear()

    response = await alice.send(URL, method, headers=OWN)

    assert (response.status, response.header("allow"), response.set_cookies) == (405, "POST", [])
    assert site.spy.calls == []


async def test_the_body_of_a_405_to_head_is_empty(clock: Clock) -> None:
    assert (await Site(clock).post(URL, method="HEAD")).body == b""


async def test_a_cookie_from_another_origin_is_403_and_sets_nothing(clock: Clock) -> None:
    site = Site(clock)
    alice = await site.signed_in()
    clock.advance(300)
    site.spy.calls.clear()

    response = await alice.send(URL, "POST", headers=FOREIGN)

    assert (response.status, response.set_cookies) == (403, [])
    assert site.spy.count("replace", "add", "revoke") == 0


async def test_a_cookie_from_a_trusted_origin_is_exchanged(clock: Clock) -> None:
    site = Site(clock, config=Config(trusted_origins=["https://admin.example"]))
    alice = await site.signed_in()

    response = await alice.post(URL, headers=[("origin", "https://admin.example")])

    assert response.status == 200


async def test_a_cookie_from_another_origin_is_403_without_the_middleware_too(clock: Clock) -> None:
    site = Site(clock)
    alice = await site.signed_in()
    alice.app = RefreshEndpoint(site.issuer)

    assert (await alice.send(URL, "POST", headers=FOREIGN)).status == 403


EXTRA: dict[str, Any] = {
    "a header": {"headers": [*OWN, bearer("x")]},
    "JSON": {"headers": [*OWN, JSON], "body": b'{"refresh_token": "x"}'},
    "a form": {
        "headers": [*OWN, FORM],
        "body": form(grant_type="refresh_token", refresh_token="x"),
    },
    "any body": {"headers": OWN, "body": b"x"},
    "an empty object": {"headers": [*OWN, JSON], "body": b"{}"},
    "a malformed header": {"headers": [*OWN, ("authorization", "Bearer")]},
}


@pytest.mark.parametrize("what", EXTRA)
async def test_a_cookie_and_something_else_is_400_and_sets_nothing(clock: Clock, what: str) -> None:
    site = Site(clock)
    alice = await site.signed_in()
    site.spy.calls.clear()

    response = await alice.send(URL, "POST", **EXTRA[what])

    assert (response.status, response.json()) == (400, {"error": "invalid_request"})
    assert (response.set_cookies, site.spy.calls) == ([], [])


async def test_a_cookie_behind_basic_authentication_is_exchanged(clock: Clock) -> None:
    alice = await Site(clock).signed_in()

    response = await alice.post(URL, headers=[*OWN, ("authorization", "Basic YTpi")])

    assert response.status == 200


async def test_a_cookie_with_an_announced_empty_json_body_is_exchanged(clock: Clock) -> None:
    """What fetch() wrappers do that always name a type."""
    alice = await Site(clock).signed_in()

    assert (await alice.post(URL, headers=[*OWN, JSON])).status == 200


async def test_a_body_beyond_16_kib_beside_a_cookie_is_413(clock: Clock) -> None:
    alice = await Site(clock).signed_in()

    response = await alice.send(URL, "POST", headers=OWN, body=b"x" * 17_000)

    assert (response.status, response.set_cookies) == (413, [])


@pytest.mark.parametrize("kind", BAD)
async def test_a_bad_token_in_the_cookie_is_401(clock: Clock, kind: str) -> None:
    site = Site(clock)
    browser = site.browser()
    browser.put(REFRESH, await bad_token(kind, site))

    response = await browser.send(URL, "POST", headers=OWN)

    assert (response.status, response.json()) == (401, {"error": "invalid_token"})
    assert response.header("www-authenticate") == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("kind", ["expired", "revoked", "unknown", "reused"])
async def test_by_cookie_every_session_that_is_over_gets_the_very_same_answer(
    clock: Clock, kind: str
) -> None:
    site = Site(clock)
    answers = []
    for what in (kind, "revoked"):
        browser = site.browser()
        browser.put(REFRESH, await bad_token(what, site))
        response = await browser.send(URL, "POST", headers=OWN)
        cookies = sorted(name for name in response.cookies if name in (ACCESS, REFRESH))
        others = [pair for pair in response.headers if pair[0] != b"set-cookie"]
        answers.append((response.status, response.body, cookies, others))

    assert answers[0] == answers[1]


@pytest.mark.parametrize("kind", ["expired", "revoked", "unknown", "reused"])
async def test_the_cookies_of_a_session_that_is_over_are_deleted(clock: Clock, kind: str) -> None:
    site = Site(clock)
    browser = site.browser()
    browser.put(REFRESH, await bad_token(kind, site))
    browser.put(ACCESS, "x")

    await browser.post(URL, headers=OWN)

    assert {ACCESS, REFRESH} & set(browser.values()) == set()


async def test_a_stolen_cookie_that_comes_back_ends_the_session(clock: Clock) -> None:
    site = Site(clock)
    browser = site.browser()
    browser.put(REFRESH, await bad_token("reused", site))

    await browser.post(URL, headers=OWN)

    assert await site.alive() == set()


@pytest.mark.parametrize("operation", ["get", "*"])
async def test_with_the_store_away_a_cookie_gets_503_and_stays(
    clock: Clock, operation: str
) -> None:
    site = Site(clock)
    alice = await site.signed_in()
    alice.drop(ACCESS)
    clock.advance(3600)
    site.spy.broken = {operation}

    response = await alice.post(URL, headers=OWN)

    assert (response.status, response.json()) == (503, {"error": "temporarily_unavailable"})
    assert (response.header("retry-after"), response.set_cookies) == ("1", [])


@pytest.mark.parametrize("operation", ["get", "replace", "*"])
async def test_with_the_store_away_a_good_access_token_is_503_too_and_stays(
    clock: Clock, operation: str
) -> None:
    """200 is only said where there are new cookies."""
    site = Site(clock)
    alice = await site.signed_in()
    clock.advance(300)
    site.spy.broken = {operation}

    response = await alice.post(URL, headers=OWN)

    assert (response.status, response.json()) == (503, {"error": "temporarily_unavailable"})
    assert response.set_cookies == []
    assert (await alice.get("/")).json()["subject"] == "alice"


async def test_after_an_outage_the_cookie_is_good(clock: Clock) -> None:
    site = Site(clock)
    alice = await site.signed_in()
    clock.advance(3600)
    site.spy.broken = {"*"}
    await alice.post(URL, headers=OWN)
    site.spy.broken = set()

    assert (await alice.post(URL, headers=OWN)).status == 200


async def test_when_nothing_could_be_written_the_cookie_stays_as_it_is(clock: Clock) -> None:
    site = Site(clock)
    alice = await site.signed_in()
    clock.advance(3600)
    site.spy.broken = {"replace"}

    response = await alice.post(URL, headers=OWN)

    assert (response.status, response.set_cookies) == (503, [])
    assert response.header("retry-after") == "1"
    site.spy.broken = set()
    assert (await alice.post(URL, headers=OWN)).status == 200


async def test_two_refresh_cookies_of_two_sessions_are_401(clock: Clock) -> None:
    site = Site(clock)
    first, second = await site.issuer.issue("alice"), await site.issuer.issue("bob")
    line = f"{REFRESH}={first.refresh_token}; {REFRESH}={second.refresh_token}"

    response = await site.browser().send(URL, "POST", headers=[*OWN, ("cookie", line)])

    assert (response.status, response.set_cookies) == (401, [])


async def test_two_refresh_cookies_of_one_session_are_no_theft(clock: Clock) -> None:
    site = Site(clock)
    alice = await site.signed_in()
    old = alice.values()[REFRESH]
    clock.advance(3600)
    await alice.post(URL, headers=OWN)
    clock.advance(3600)
    line = f"{REFRESH}={old}; {REFRESH}={alice.values()[REFRESH]}"

    response = await site.browser().send(URL, "POST", headers=[*OWN, ("cookie", line)])

    assert response.status == 200


@pytest.mark.parametrize("exclude", [["/auth"], ["/auth/refresh"], ["/"]])
async def test_below_an_excluded_path_a_cookie_is_exchanged_all_the_same(
    clock: Clock, exclude: list[str]
) -> None:
    site = Site(clock, config=Config(exclude=exclude))
    alice = await site.signed_in()

    assert (await alice.post(URL, headers=OWN)).status == 200


async def test_as_a_route_behind_the_middleware_it_sets_each_cookie_once(clock: Clock) -> None:
    site = Site(clock)
    alice = await site.signed_in()
    alice.app = RefreshMiddleware(RefreshEndpoint(site.issuer), site.issuer)
    clock.advance(3600)

    response = await alice.post("/anything", headers=OWN)

    assert (response.status, set(response.cookies)) == (200, {ACCESS, REFRESH})


async def test_as_a_route_behind_the_middleware_a_dead_session_loses_its_cookies(
    clock: Clock,
) -> None:
    site = Site(clock)
    tokens = await site.issuer.issue("alice")
    await site.issuer.revoke(tokens.session_id)
    app = RefreshMiddleware(RefreshEndpoint(site.issuer), site.issuer)
    alice = site.browser(tokens, app)

    response = await alice.post("/anything", headers=OWN)

    assert response.status == 401
    assert {ACCESS, REFRESH} & set(alice.values()) == set()


async def test_by_cookie_it_works_beside_whoami_on_plain_browsers(clock: Clock) -> None:
    """No Origin and no Sec-Fetch-Site: an old browser, or no browser."""
    site = Site(clock)
    alice = await site.signed_in()

    assert (await alice.post(URL)).status == 200


async def test_logging_in_then_refreshing_by_cookie_keeps_the_claims(clock: Clock) -> None:
    site = Site(clock)
    alice = Browser(RefreshMiddleware(whoami, site.issuer, endpoints={
        URL: RefreshEndpoint(site.issuer)}), clock)  # fmt: skip
    await alice.get("/login")
    clock.advance(3600)
    await alice.post(URL, headers=OWN)

    assert (await alice.get("/")).json()["payload"]["role"] == "admin"
