"""The double-submit token: who must repeat it, where, and that it is bound to the session."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from asgi_refresh import (
    Auth,
    Client,
    Config,
    Cookie,
    Issuer,
    Key,
    RefreshMiddleware,
    Verifier,
    VerifierMiddleware,
)
from asgi_refresh.double_submit import MAX_FORM
from asgi_refresh.endpoints import LogoutEndpoint, RefreshEndpoint
from asgi_refresh.errors import ConfigurationError
from tests.blackbox.helpers import ACCESS, HOUR, MINUTE, REFRESH, Site, make_site
from tests.support import SECRET, Browser, Clock, answer

pytestmark = pytest.mark.anyio

CSRF = "__Host-csrf"
CONFIG = Config(csrf_cookie=Cookie(CSRF, http_only=False))
FORM = ("content-type", "application/x-www-form-urlencoded")
UNSAFE = pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PROPFIND"])


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Say who it is, what the page would be given, and what the body holds."""
    auth = Auth.of(scope)
    body, more = b"", scope["type"] == "http"
    while more:
        message = await receive()
        body += message["body"]
        more = message.get("more_body", False)
    if scope["path"] == "/login":
        auth.login("alice")
    told = {"subject": auth.subject, "csrf": auth.csrf_token, "body": body.decode("latin-1")}
    await answer(send, body=json.dumps(told).encode())


async def signed_in(clock: Clock, *, stored: bool = True, **kwargs: Any) -> Site:
    kwargs.setdefault("config", CONFIG)
    site = make_site(clock, echo, stored=stored, **kwargs)
    assert (await site.browser.post("/login")).status == 200
    site.events.clear()
    return site


def header(value: str) -> list[tuple[str, str]]:
    return [("x-csrf-token", value)]


modes = pytest.mark.parametrize("stored", [True, False], ids=["rotating", "stateless"])


@modes
@UNSAFE
async def test_an_unsafe_request_repeats_the_token(clock: Clock, stored: bool, method: str) -> None:
    site = await signed_in(clock, stored=stored)
    token = site.browser.values()[CSRF]

    without = await site.browser.request("/", method, headers=[("sec-fetch-site", "same-origin")])
    wrong = await site.browser.request("/", method, headers=header(token[::-1]))
    right = await site.browser.request("/", method, headers=header(token))

    assert (without.status, wrong.status, right.status) == (403, 403, 200)
    assert right.json()["subject"] == "alice"
    assert [(e.name, e.reason) for e in site.events] == [("cross_origin", "double_submit")] * 2
    assert token not in str(site.events)
    assert {event.client for event in site.events} == {Client("192.0.2.7", "test-browser")}
    assert b"no X-CSRF-Token of this session" in wrong.body


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_a_safe_one_does_not(clock: Clock, method: str) -> None:
    site = await signed_in(clock)

    assert (await site.browser.request("/", method)).status == 200


async def test_scripts_can_read_the_cookie_and_not_the_others(clock: Clock) -> None:
    site = make_site(clock, echo, config=CONFIG)

    response = await site.browser.post("/login")

    lines = {line.partition("=")[0]: line for line in response.set_cookies}
    assert set(lines) == {ACCESS, REFRESH, CSRF}
    assert "HttpOnly" not in lines[CSRF]
    assert "Secure" in lines[CSRF]
    assert "HttpOnly" in lines[ACCESS]
    assert "HttpOnly" in lines[REFRESH]


@modes
async def test_it_stays_the_same_over_refreshes(clock: Clock, stored: bool) -> None:
    site = await signed_in(clock, stored=stored)
    token = site.browser.values()[CSRF]

    for _ in range(3):
        clock.advance(10 * MINUTE)
        response = await site.browser.post("/", headers=header(token))
        assert (response.status, response.json()["csrf"]) == (200, token)
        assert response.cookies[CSRF] == token
        assert ACCESS in response.cookies


@modes
async def test_its_cookie_outlives_the_access_cookie(clock: Clock, stored: bool) -> None:
    """A page that was left open for an hour must still be able to post."""
    site = await signed_in(clock, stored=stored)
    clock.advance(HOUR)
    assert ACCESS not in site.browser.values()

    response = await site.browser.post("/", headers=header(site.browser.values()[CSRF]))

    assert (response.status, response.json()["subject"]) == (200, "alice")


async def test_another_session_has_another(clock: Clock) -> None:
    site = await signed_in(clock)
    other = Browser(site.browser.app, clock)
    await other.post("/login")
    theirs = other.values()[CSRF]

    planted = await site.browser.post("/", headers=header(theirs))

    assert theirs != site.browser.values()[CSRF]
    assert planted.status == 403


async def test_a_planted_cookie_is_of_no_use(clock: Clock) -> None:
    """Nothing is compared with the cookie: a sibling host may have put it there."""
    site = await signed_in(clock)
    site.browser.put(CSRF, "planted")

    assert (await site.browser.post("/", headers=header("planted"))).status == 403


@modes
async def test_a_failed_check_prolongs_nothing(clock: Clock, stored: bool) -> None:
    site = await signed_in(clock, stored=stored)
    before = site.browser.values()
    clock.advance(10 * MINUTE)

    response = await site.browser.post("/", headers=header("wrong"))

    assert (response.status, response.set_cookies) == (403, [])
    assert [e.name for e in site.events] == ["cross_origin"]
    assert site.browser.values()[REFRESH] == before[REFRESH]


async def test_the_application_does_not_run(clock: Clock) -> None:
    ran: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ran.append(scope["method"])
        await answer(send)

    site = make_site(clock, app, config=CONFIG)
    await site.sign_in()

    assert (await site.browser.post("/")).status == 403
    assert ran == []


# --- the form -------------------------------------------------------------------------------------


async def test_the_field_of_a_form_does_as_well(clock: Clock) -> None:
    site = await signed_in(clock)
    body = urlencode({"a": "ä&=", "csrf_token": site.browser.values()[CSRF], "b": ""}).encode()

    response = await site.browser.post("/", headers=[FORM], body=body)

    assert response.status == 200
    assert response.json()["body"].encode() == body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"csrf_token=",
        b"csrf_token=wrong",
        b"other=TOKEN",
        b"csrf_token=TOKEN&csrf_token=TOKEN",
        b"csrf_token=TOKEN&csrf_token=wrong",
        b"csrf_token=%ff%fe",
        b"\xff\xfe",
        b"&".join([b"a=b"] * 1001) + b"&csrf_token=TOKEN",
        b"csrf_token=TOKEN&pad=" + b"x" * MAX_FORM,
    ],
    ids=lambda body: body[:20].decode("latin-1"),
)
async def test_a_form_without_it_is_refused(clock: Clock, body: bytes) -> None:
    site = await signed_in(clock)
    body = body.replace(b"TOKEN", site.browser.values()[CSRF].encode())

    assert (await site.browser.post("/", headers=[FORM], body=body)).status == 403


async def test_the_header_counts_before_the_form(clock: Clock) -> None:
    site = await signed_in(clock)
    body = urlencode({"csrf_token": site.browser.values()[CSRF]}).encode()

    response = await site.browser.post("/", headers=[FORM, *header("wrong")], body=body)

    assert response.status == 403


@pytest.mark.parametrize(
    "kind", ["multipart/form-data; boundary=x", "application/json", "text/plain"]
)
async def test_no_other_body_is_looked_into(clock: Clock, kind: str) -> None:
    site = await signed_in(clock)
    body = urlencode({"csrf_token": site.browser.values()[CSRF]}).encode()

    response = await site.browser.post("/", headers=[("content-type", kind)], body=body)

    assert response.status == 403


async def test_a_form_in_many_pieces_arrives_whole(clock: Clock) -> None:
    site = await signed_in(clock)
    body = urlencode({"a": "b" * 5000, "csrf_token": site.browser.values()[CSRF]}).encode()
    pieces = [body[i : i + 700] for i in range(0, len(body), 700)]
    inbox = [
        {"type": "http.request", "body": piece, "more_body": piece is not pieces[-1]}
        for piece in pieces
    ]
    scope = site.browser.scope("/", "POST", headers=[FORM])
    sent: list[Any] = []

    async def receive() -> Any:
        return inbox.pop(0) if inbox else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await site.browser.app(scope, receive, send)

    assert sent[0]["status"] == 200
    assert json.loads(sent[1]["body"])["body"].encode() == body


async def test_a_client_that_leaves_while_it_is_read_is_refused(clock: Clock) -> None:
    site = await signed_in(clock)
    inbox = [
        {"type": "http.request", "body": b"a=b", "more_body": True},
        {"type": "http.disconnect"},
    ]
    scope = site.browser.scope("/", "POST", headers=[FORM])
    sent: list[Any] = []

    async def receive() -> Any:
        return inbox.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await site.browser.app(scope, receive, send)

    assert sent[0]["status"] == 403


# --- who is not asked -----------------------------------------------------------------------------


async def test_a_bearer_is_not_asked(clock: Clock) -> None:
    site = await signed_in(clock)
    access = site.browser.values()[ACCESS]

    response = await Browser(site.browser.app, clock).post(
        "/", headers=[("authorization", f"Bearer {access}")]
    )

    assert (response.status, response.json()["subject"]) == (200, "alice")


async def test_who_is_not_signed_in_is_not_asked(clock: Clock) -> None:
    site = await signed_in(clock)
    stranger = Browser(site.browser.app, clock)
    stranger.put(ACCESS, "forged")

    response = await stranger.post("/")

    assert (response.status, response.json()["subject"]) == (200, None)


async def test_a_handshake_is_not_asked(clock: Clock) -> None:
    """It is a GET, and its origin is checked."""
    site = make_site(clock, config=CONFIG)
    await site.sign_in()

    messages = await site.browser.websocket()

    assert json.loads(messages[1]["text"])["subject"] == "alice"


async def test_without_the_setting_nobody_is(clock: Clock) -> None:
    site = make_site(clock, echo)
    await site.browser.post("/login")

    assert CSRF not in site.browser.values()
    assert (await site.browser.post("/")).status == 200


@pytest.mark.parametrize("values", [["TOKEN", "TOKEN"], ["é"], [""]], ids=["twice", "é", "empty"])
async def test_odd_headers_are_refused_and_not_an_error(clock: Clock, values: list[str]) -> None:
    site = await signed_in(clock)
    token = site.browser.values()[CSRF]
    headers = [("x-csrf-token", value.replace("TOKEN", token)) for value in values]

    assert (await site.browser.post("/", headers=headers)).status == 403


# --- names, keys, pages ---------------------------------------------------------------------------


async def test_the_names_are_settings(clock: Clock) -> None:
    config = Config(
        csrf_cookie=Cookie("xsrf", http_only=False), csrf_header="X-XSRF-TOKEN", csrf_field="_xsrf"
    )
    site = await signed_in(clock, config=config)
    token = site.browser.values()["xsrf"]

    by_header = await site.browser.post("/", headers=[("x-xsrf-token", token)])
    by_field = await site.browser.post("/", headers=[FORM], body=f"_xsrf={token}".encode())
    by_default = await site.browser.post("/", headers=header(token))

    assert (by_header.status, by_field.status, by_default.status) == (200, 200, 403)


async def test_a_page_of_before_a_change_of_keys_still_works(clock: Clock) -> None:
    site = await signed_in(clock)
    token = site.browser.values()[CSRF]
    new = "another-secret-of-at-least-32-bytes-for-tests"
    ring = Issuer([new, SECRET], store=site.store, config=CONFIG, clock=clock)
    browser = Browser(RefreshMiddleware(echo, ring), clock)
    browser.jar = site.browser.jar

    response = await browser.post("/", headers=header(token))

    assert response.status == 200
    assert response.json()["csrf"] != token


async def test_the_page_is_given_it_and_varies_with_the_cookie(clock: Clock) -> None:
    site = await signed_in(clock)

    page = await site.browser.get("/")
    stranger = await Browser(site.browser.app, clock).get("/")

    assert page.json()["csrf"] == site.browser.values()[CSRF]
    assert page.header("vary") == "Cookie, Authorization"
    assert stranger.json()["csrf"] is None


async def test_a_login_gives_that_of_the_new_session_at_once(clock: Clock) -> None:
    site = make_site(clock, echo, config=CONFIG)

    response = await site.browser.post("/login")

    assert response.json()["csrf"] == response.cookies[CSRF]


async def test_a_service_that_only_verifies_has_none(clock: Clock) -> None:
    key = Key(SECRET, "k1")
    tokens = await Issuer(key, secret=SECRET, store=None, clock=clock).issue("alice")
    verifier = Verifier([key], issuer=None, audience=None, clock=clock)
    browser = Browser(VerifierMiddleware(echo, verifier, cookie=ACCESS), clock)
    browser.put(ACCESS, tokens.access_token)

    response = await browser.get("/")

    assert (response.json()["subject"], response.json()["csrf"]) == ("alice", None)


async def test_logout_deletes_it(clock: Clock) -> None:
    site = await signed_in(clock)
    app = site.browser.app
    app._endpoints["/out"] = LogoutEndpoint(site.issuer)
    app._routed = True
    token = site.browser.values()[CSRF]

    refused = await site.browser.post("/out")
    done = await site.browser.post("/out", headers=header(token))

    assert refused.status == 403
    assert done.cookies[CSRF] == ""
    assert site.browser.values() == {}


async def test_the_endpoint_asks_for_it_with_a_cookie_only(clock: Clock) -> None:
    site = await signed_in(clock)
    endpoint = RefreshEndpoint(site.issuer)
    browser = Browser(endpoint, clock)
    browser.jar = site.browser.jar
    token = browser.values()[CSRF]
    refresh = browser.values()[REFRESH]
    form = [FORM, ("content-length", "0")]

    refused = await browser.post("/", headers=form)
    done = await browser.post("/", headers=header(token))
    bearer = await Browser(endpoint, clock).post(
        "/", headers=[("authorization", f"Bearer {refresh}")]
    )

    assert (refused.status, done.status, bearer.status) == (403, 200, 200)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"csrf_cookie": Cookie("csrf")}, "http_only"),
        ({"csrf_cookie": Cookie(ACCESS, http_only=False)}, "different names"),
        ({"csrf_cookie": "csrf"}, "must be a Cookie"),
        ({"csrf_header": "X CSRF"}, "csrf_header"),
        ({"csrf_field": ""}, "csrf_field"),
        ({"access_cookie": Cookie("a", http_only=False)}, "scripts must not read"),
        ({"refresh_cookie": Cookie("a", http_only=False)}, "scripts must not read"),
    ],
)
def test_what_would_not_protect_is_refused(settings: Any, match: str) -> None:
    with pytest.raises(ConfigurationError, match=match):
        Config(**settings)


def test_the_environment_names_the_cookie() -> None:
    name = "ASGI_REFRESH_CSRF_COOKIE"

    assert Config.from_env({name: f"{CSRF}; HttpOnly=false"}).csrf_cookie == CONFIG.csrf_cookie
    assert Config.from_env({name: ""}).csrf_cookie is None
    with pytest.raises(ConfigurationError):
        Config.from_env({name: CSRF})
