"""Implicit refresh: a due request succeeds as it is, its handler sees the new payload."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import anyio
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from asgi_refresh import LOCALHOST, Auth, Config, Cookie, Issuer, Key, RefreshMiddleware
from asgi_refresh.sessions import Session
from tests.blackbox.helpers import (
    ACCESS,
    DAY,
    HOUR,
    MINUTE,
    NAVIGATION,
    REFRESH,
    WINDOW,
    Gate,
    Gates,
    Site,
    deleted,
    doing,
    given,
    lasting,
    make_site,
    messages_of,
)
from tests.support import SECRET, Browser, Clock, answer, describe, whoami

pytestmark = pytest.mark.anyio

CLAIMS = {
    "scope": "read write",
    "role": "admin",
    "tenant": 7,
    "ratio": 0.5,
    "on": True,
    "nothing": None,
    "nested": {"teams": ["a", {"b": [1, 2]}], "empty": {}},
    "text": "é\u2028\U0001f600",
}


def expire(site: Site) -> None:
    site.clock.advance(HOUR)


def nearly_expire(site: Site) -> None:
    site.clock.advance(9 * MINUTE + 30)


def lose_access(site: Site) -> None:
    site.clock.advance(1)
    site.browser.drop(ACCESS)


DUE = [expire, nearly_expire, lose_access]
due = pytest.mark.parametrize("become_due", DUE)
modes = pytest.mark.parametrize("stored", [True, False], ids=["rotating", "stateless"])


# --- the same request succeeds --------------------------------------------------------------------


@modes
@due
async def test_a_due_request_is_signed_in(
    clock: Clock, become_due: Callable[[Site], None], stored: bool
) -> None:
    site = make_site(clock, stored=stored)
    await site.sign_in("alice")
    become_due(site)

    response = await site.browser.get("/")

    assert response.status == 200
    told = response.json()
    assert (told["subject"], told["via"], told["refreshed"]) == ("alice", "cookie", True)
    assert told["reason"] is None


@modes
@due
async def test_the_handler_sees_the_payload_that_the_browser_gets(
    clock: Clock, become_due: Callable[[Site], None], stored: bool
) -> None:
    site = make_site(clock, stored=stored)
    await site.sign_in("alice", {"role": "admin"})
    old = site.issuer.verify(site.browser.values()[ACCESS])
    become_due(site)

    response = await site.browser.get("/")

    seen = response.json()["payload"]
    assert seen == site.issuer.verify(response.cookies[ACCESS])
    assert seen["jti"] != old["jti"]
    assert seen["iat"] == int(clock())
    assert seen["exp"] == int(clock()) + 600
    same = ("sub", "sid", "role", "auth_time")
    assert [seen[name] for name in same] == [old[name] for name in same]


@modes
@due
async def test_the_handler_gets_one_cookie_header_with_the_new_access_token(
    clock: Clock, become_due: Callable[[Site], None], stored: bool
) -> None:
    site = make_site(clock, stored=stored)
    await site.sign_in()
    site.browser.put("theme", "dark")
    refresh = site.browser.values()[REFRESH]
    become_due(site)

    response = await site.browser.get("/")

    (header,) = response.json()["cookie_headers"]
    pairs = [tuple(pair.split("=", 1)) for pair in header.split("; ")]
    assert len(pairs) == 3
    assert dict(pairs) == {
        "theme": "dark",
        REFRESH: refresh,
        ACCESS: response.cookies[ACCESS],
    }


async def test_split_cookie_headers_reach_the_handler_as_one(clock: Clock) -> None:
    site = make_site(clock)
    await site.sign_in()
    cookies = site.browser.values()
    expire(site)

    response = await site.browser.send(
        "/", cookies={}, headers=[("cookie", f"{n}={v}") for n, v in {**cookies, "a": "b"}.items()]
    )

    (header,) = response.json()["cookie_headers"]
    assert sorted(header.split("; ")) == sorted(
        [f"{ACCESS}={response.cookies[ACCESS]}", f"{REFRESH}={cookies[REFRESH]}", "a=b"]
    )


def with_names(site: Site, **names: bytes) -> dict[str, Any]:
    """A request whose server spells the header names as *names* has them."""
    scope = site.browser.scope("/", "GET")
    scope["headers"] = [(names.get(n.decode(), n), v) for n, v in scope["headers"]]
    return scope


@modes
@pytest.mark.parametrize("name", [b"Cookie", b"COOKIE"])
@pytest.mark.parametrize("wait", [0, HOUR])
async def test_the_name_of_the_cookie_header_may_be_in_any_case(
    clock: Clock, name: bytes, wait: float, stored: bool
) -> None:
    site = make_site(clock, stored=stored)
    await site.sign_in("alice")
    clock.advance(wait)

    for _ in range(2):
        _, body = await messages_of(site.browser.app, with_names(site, cookie=name))
        assert json.loads(body["body"])["subject"] == "alice"


@modes
@pytest.mark.parametrize("name", [b"authorization", b"Authorization", b"AUTHORIZATION"])
@pytest.mark.parametrize("cookies", [True, False])
async def test_the_name_of_the_authorization_header_may_be_in_any_case(
    clock: Clock, name: bytes, cookies: bool, stored: bool
) -> None:
    site = make_site(clock, stored=stored)
    tokens = await site.issuer.issue("bob")
    await site.sign_in("alice")
    if not cookies:
        site.browser.drop(ACCESS, REFRESH)

    for _ in range(2):
        scope = site.browser.scope("/", "GET")
        scope["headers"].append((name, b"Bearer " + tokens.access_token.encode()))
        _, body = await messages_of(site.browser.app, scope)
        assert json.loads(body["body"])["subject"] == "bob"


async def test_the_scope_of_the_server_keeps_its_headers_list(clock: Clock) -> None:
    site = make_site(clock)
    await site.sign_in()
    expire(site)
    scope = site.browser.scope("/", "GET")
    headers, before = scope["headers"], list(scope["headers"])

    await site.browser.app(scope, None, _ignore)

    assert headers == before


@due
async def test_request_user_and_request_auth_are_the_refreshed_auth(
    clock: Clock, become_due: Callable[[Site], None]
) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        await answer(send)

    site = make_site(clock, app)
    await site.sign_in("alice")
    become_due(site)

    await site.browser.get("/")

    (scope,) = seen
    auth = Auth.of(scope)
    assert scope["user"] is scope["auth"] is scope["asgi_refresh"] is auth
    assert auth.is_authenticated
    assert auth.refreshed
    assert auth.identity == auth.display_name == auth.subject == "alice"


@modes
async def test_the_application_runs_once(clock: Clock, stored: bool) -> None:
    runs: list[str] = []
    site = make_site(clock, doing(lambda auth: runs.append("run")), stored=stored)
    await site.sign_in()
    expire(site)

    await site.browser.get("/")

    assert runs == ["run"]


@modes
async def test_the_next_request_needs_no_refresh(clock: Clock, stored: bool) -> None:
    site = make_site(clock, stored=stored)
    await site.sign_in()
    expire(site)
    await site.browser.get("/")

    response = await site.browser.get("/")

    assert response.json()["subject"] == "alice"
    assert response.json()["refreshed"] is False
    assert response.set_cookies == []


# --- what goes out --------------------------------------------------------------------------------


@due
async def test_each_cookie_is_set_exactly_once(
    clock: Clock, become_due: Callable[[Site], None]
) -> None:
    site = make_site(clock)
    await site.sign_in()
    become_due(site)

    response = await site.browser.get("/")

    names = [line.partition("=")[0] for line in response.set_cookies]
    assert sorted(names) == sorted([ACCESS, REFRESH])


@modes
@due
async def test_a_response_with_a_token_may_not_be_cached(
    clock: Clock, become_due: Callable[[Site], None], stored: bool
) -> None:
    site = make_site(clock, doing(body=b"static"), stored=stored)
    await site.sign_in()
    become_due(site)

    response = await site.browser.get("/")

    assert response.header("cache-control") == "private, no-store"
    assert response.header("vary") == "Cookie, Authorization"


async def test_what_the_application_said_to_caches_is_replaced(clock: Clock) -> None:
    said = [
        (b"Cache-Control", b"max-age=60, private"),
        (b"cache-control", b"must-revalidate"),
        (b"Expires", b"Thu, 01 Dec 2094 16:00:00 GMT"),
        (b"pragma", b"cache"),
        (b"CDN-Cache-Control", b"max-age=60"),
        (b"surrogate-control", b"max-age=60"),
        (b"x-other", b"stays"),
    ]
    site = make_site(clock, doing(headers=said))
    await site.sign_in()
    expire(site)

    response = await site.browser.get("/")

    assert response.header("cache-control") == "private, no-store"
    assert [response.all(n) for n in ("expires", "pragma", "cdn-cache-control")] == [[], [], []]
    assert response.all("surrogate-control") == []
    assert response.header("x-other") == "stays"


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ([b"Accept-Encoding"], ["Accept-Encoding, Cookie, Authorization"]),
        ([b"accept, cookie"], ["accept, cookie, Authorization"]),
        ([b"AUTHORIZATION,cookie"], ["AUTHORIZATION,cookie"]),
        ([b"Origin", b" COOKIE\t"], ["Origin, COOKIE, Authorization"]),
        ([b"*"], ["*"]),
        ([b"*", b"Accept"], ["*"]),
        ([b"Cookie-Consent"], ["Cookie-Consent, Cookie, Authorization"]),
    ],
)
async def test_vary_is_merged(clock: Clock, said: list[bytes], sent: list[str]) -> None:
    site = make_site(clock, doing(headers=[(b"vary", value) for value in said]))
    await site.sign_in()
    expire(site)

    response = await site.browser.get("/")

    assert response.all("vary") == sent


async def test_a_response_to_who_it_is_varies_with_the_cookie(clock: Clock) -> None:
    site = make_site(clock, doing(lambda auth: auth.subject, body=b""))
    await site.sign_in()

    response = await site.browser.get("/")

    assert response.header("vary") == "Cookie, Authorization"
    assert response.header("cache-control") is None


async def test_a_response_that_did_not_look_does_not_vary(clock: Clock) -> None:
    site = make_site(clock, doing(body=b""))
    await site.sign_in()

    response = await site.browser.get("/")

    assert response.headers == []


READERS: list[Callable[[Auth], object]] = [
    bool,
    lambda auth: auth.payload,
    lambda auth: auth.subject,
    lambda auth: auth.session_id,
    lambda auth: auth.expires_at,
    lambda auth: auth.via,
    lambda auth: auth.refreshed,
    lambda auth: auth.reason,
    lambda auth: auth.scopes,
    lambda auth: auth.is_authenticated,
    lambda auth: auth.identity,
    lambda auth: auth.display_name,
    lambda auth: auth.is_fresh(timedelta(1)),
    repr,
]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("signed_in", [True, False])
async def test_every_way_to_read_auth_makes_the_response_vary(
    clock: Clock, read: Callable[[Auth], object], signed_in: bool
) -> None:
    site = make_site(clock, doing(read, body=b"", headers=[(b"vary", b"Accept")]))
    if signed_in:
        await site.sign_in()

    response = await site.browser.get("/")

    assert response.all("vary") == ["Accept, Cookie, Authorization"]


async def test_the_cookies_have_these_attributes_and_no_others(clock: Clock) -> None:
    site = make_site(clock)
    await site.sign_in()
    expire(site)

    response = await site.browser.get("/")

    values = response.cookies
    assert sorted(response.set_cookies) == [
        f"__Host-access={values[ACCESS]}; Max-Age=600; Path=/; Secure; HttpOnly; SameSite=Lax",
        (
            f"__Host-refresh={values[REFRESH]}; Max-Age=1209600; Path=/; Secure; HttpOnly;"
            " SameSite=Lax"
        ),
    ]


async def test_the_cookies_of_localhost_have_neither_prefix_nor_secure(clock: Clock) -> None:
    site = make_site(clock, config=LOCALHOST, scheme="http", host="localhost:8000")
    await site.sign_in()
    expire(site)

    response = await site.browser.get("/")

    values = response.cookies
    assert sorted(response.set_cookies) == [
        f"access={values['access']}; Max-Age=600; Path=/; HttpOnly; SameSite=Lax",
        f"refresh={values['refresh']}; Max-Age=1209600; Path=/; HttpOnly; SameSite=Lax",
    ]


async def test_the_cookies_have_the_configured_attributes(clock: Clock) -> None:
    config = Config(
        access_cookie=Cookie("at", path="/app", domain="example.com", same_site="strict"),
        refresh_cookie=Cookie("__Secure-rt", domain="example.com", same_site="lax"),
    )
    site = make_site(clock, config=config)
    await site.sign_in()
    clock.advance(HOUR)

    response = await site.browser.get("/app")

    at, rt = (response.cookies[name] for name in ("at", "__Secure-rt"))
    rest = "Domain=example.com; Secure; HttpOnly;"
    assert sorted(response.set_cookies) == [
        f"__Secure-rt={rt}; Max-Age=1209600; Path=/; {rest} SameSite=Lax",
        f"at={at}; Max-Age=600; Path=/app; {rest} SameSite=Strict",
    ]


async def test_partitioned_cookies_stay_partitioned(clock: Clock) -> None:
    chips: dict[str, Any] = {"same_site": "none", "partitioned": True}
    config = Config(
        access_cookie=Cookie("__Host-a", **chips), refresh_cookie=Cookie("__Host-r", **chips)
    )
    site = make_site(clock, config=config)
    await site.sign_in()
    clock.advance(HOUR)

    set_again = await site.browser.get("/")
    deleted_again = await site.browser.post("/logout")

    for line in (*set_again.set_cookies, *deleted_again.set_cookies):
        assert line.endswith("; Path=/; Secure; HttpOnly; SameSite=None; Partitioned")


@modes
async def test_cookies_that_end_with_the_browser_go_on_doing_so(clock: Clock, stored: bool) -> None:
    site = make_site(clock, stored=stored)
    await site.sign_in(persistent=False)
    clock.advance(8 * DAY)

    response = await site.browser.get("/")

    assert given(response) == {ACCESS, REFRESH}
    assert not [line for line in response.set_cookies if "max-age" in line.lower()]
    assert not [line for line in response.set_cookies if "expires" in line.lower()]


async def test_the_cookies_do_not_outlive_the_session(clock: Clock) -> None:
    config = Config(idle_lifetime=timedelta(days=1), session_lifetime=timedelta(days=1, hours=1))
    site = make_site(clock, config=config)
    await site.sign_in()
    clock.advance(DAY - 60)
    await site.browser.get("/")
    clock.advance(HOUR - 60)

    response = await site.browser.get("/")

    assert response.json()["payload"]["exp"] == int(clock()) + 120
    ages = {re.search("Max-Age=([0-9]+);", line)[1] for line in response.set_cookies}  # type: ignore[index]
    assert ages == {"120"}


@modes
async def test_use_moves_the_idle_end_and_not_the_absolute_one(clock: Clock, stored: bool) -> None:
    site = make_site(clock, stored=stored)
    await site.sign_in()
    for _ in range(8):
        clock.advance(11 * DAY)
        assert (await site.browser.get("/")).json()["subject"] == "alice"
    clock.advance(2 * DAY)

    response = await site.browser.get("/")

    assert response.json()["subject"] is None


@modes
async def test_a_session_unused_for_the_idle_lifetime_is_over(clock: Clock, stored: bool) -> None:
    site = make_site(clock, stored=stored)
    await site.sign_in()
    clock.advance(14 * DAY)

    response = await site.browser.get("/")

    assert response.json()["reason"] == "session_ended"
    assert response.set_cookies == []


# --- when it is due -------------------------------------------------------------------------------


async def test_far_from_expiry_nothing_is_set_and_only_the_revocations_are_polled(
    clock: Clock,
) -> None:
    site = make_site(clock)
    await site.sign_in()
    clock.advance(5 * MINUTE)

    responses = [await site.browser.get("/") for _ in range(3)]

    assert [response.set_cookies for response in responses] == [[], [], []]
    assert [response.json()["subject"] for response in responses] == ["alice"] * 3
    assert site.store.calls == ["revocations"]


async def test_far_from_expiry_the_start_of_the_response_is_the_applications_own(
    clock: Clock,
) -> None:
    start = {"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start)
        await send({"type": "http.response.body"})

    site = make_site(clock, app)
    await site.sign_in()

    messages = await messages_of(site.browser.app, site.browser.scope("/", "GET"))

    assert messages[0] is start


@modes
@pytest.mark.parametrize(("left", "refreshed"), [(60.0, False), (59.875, True), (601.0, False)])
async def test_a_token_is_due_when_less_than_refresh_before_is_left(
    clock: Clock, left: float, refreshed: bool, stored: bool
) -> None:
    site = make_site(clock, stored=stored, config=Config(access_lifetime=timedelta(minutes=20)))
    await site.sign_in()
    clock.advance(20 * MINUTE - left)

    response = await site.browser.get("/")

    assert response.json()["refreshed"] is refreshed
    assert bool(response.set_cookies) is refreshed


@modes
@pytest.mark.parametrize("warm", [True, False])
async def test_a_token_is_over_at_the_very_second_of_its_exp(
    clock: Clock, stored: bool, warm: bool
) -> None:
    site = make_site(clock, stored=stored, config=Config(refresh_before=timedelta(0)))
    await site.sign_in()
    site.browser.drop(REFRESH)
    clock.advance(10 * MINUTE - 0.5)
    if warm:
        await site.browser.get("/")
    clock.advance(0.5)

    response = await site.browser.get("/")

    assert response.json()["subject"] is None


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "CONNECT"])
@due
async def test_a_method_that_never_refreshes_sets_nothing_and_asks_no_session(
    clock: Clock, method: str, become_due: Callable[[Site], None]
) -> None:
    site = make_site(clock)
    await site.sign_in()
    become_due(site)

    response = await site.browser.request("/", method)

    assert response.set_cookies == []
    assert site.store.count("get", "replace", "revoke") == 0


async def test_a_method_that_never_refreshes_uses_what_is_left_of_the_access_token(
    clock: Clock,
) -> None:
    site = make_site(clock)
    await site.sign_in()
    nearly_expire(site)

    response = await site.browser.request("/", "OPTIONS")

    assert response.json()["subject"] == "alice"
    assert response.json()["refreshed"] is False


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "PATCH", "DELETE", "QUERY"])
@due
async def test_other_methods_refresh_like_get(
    clock: Clock, method: str, become_due: Callable[[Site], None]
) -> None:
    site = make_site(clock)
    await site.sign_in()
    become_due(site)

    response = await site.browser.request("/", method)

    assert response.json()["refreshed"] is True
    assert given(response) == {ACCESS, REFRESH}
    assert site.store.count("replace") == 1


@pytest.mark.parametrize("status", [200, 204, 206, 302, 304, 307, 400, 401, 403, 404, 405, 500])
async def test_every_final_status_carries_the_cookies(clock: Clock, status: int) -> None:
    site = make_site(clock, doing(status=status, body=b""))
    await site.sign_in()
    expire(site)

    response = await site.browser.get("/")

    assert response.status == status
    assert given(response) == {ACCESS, REFRESH}
    assert response.header("cache-control") == "private, no-store"
    assert response.header("vary") == "Cookie, Authorization"


# --- a response that shared caches keep -----------------------------------------------------------

SHARED = [
    b"public, max-age=31536000",
    b"max-age=1, S-MaxAge=60",
    b"max-age=60,immutable",
    b"PUBLIC",
]


@modes
@pytest.mark.parametrize("said", SHARED)
async def test_a_shared_cacheable_response_is_left_alone(
    clock: Clock, said: bytes, stored: bool
) -> None:
    kept = [(b"cache-control", said), (b"etag", b'"1"')]
    site = make_site(clock, doing(headers=kept, body=b"png"), stored=stored)
    await site.sign_in()
    expire(site)

    response = await site.browser.get("/")

    assert response.headers == kept


@pytest.mark.parametrize("said", SHARED[:1])
async def test_a_shared_cacheable_response_rotates_nothing_and_the_next_does(
    clock: Clock, said: bytes
) -> None:
    app = doing(headers=[(b"cache-control", said)])

    async def either(scope: Any, receive: Any, send: Any) -> None:
        await (app if scope["path"] == "/asset" else whoami)(scope, receive, send)

    site = make_site(clock, either)
    await site.sign_in()
    expire(site)

    asset = await site.browser.get("/asset")
    writes = site.store.count("replace")
    page = await site.browser.get("/page")

    assert asset.json()["subject"] == "alice"
    assert writes == 0
    assert page.json()["refreshed"] is True
    assert given(page) == {ACCESS, REFRESH}


@pytest.mark.parametrize("dest", ["image", "script", "style"])
async def test_only_the_response_itself_says_whether_it_is_shared(clock: Clock, dest: str) -> None:
    site = make_site(clock)
    await site.sign_in()
    expire(site)

    response = await site.browser.get("/", headers=[("sec-fetch-dest", dest)])

    assert given(response) == {ACCESS, REFRESH}


# --- messages -------------------------------------------------------------------------------------


def replaying(messages: Iterable[Any]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    return app


@modes
async def test_interim_responses_are_untouched_and_the_final_one_carries_the_cookies(
    clock: Clock, stored: bool
) -> None:
    hints = {"type": "http.response.start", "status": 103, "headers": [(b"link", b"</a.css>")]}
    final = {"type": "http.response.start", "status": 200, "headers": []}
    site = make_site(
        clock, replaying([hints, final, {"type": "http.response.body"}]), stored=stored
    )
    await site.sign_in()
    expire(site)

    messages = await messages_of(site.browser.app, site.browser.scope("/", "GET"))

    assert messages[0] is hints
    assert hints["headers"] == [(b"link", b"</a.css>")]
    assert b"set-cookie" in dict(messages[1]["headers"])


async def test_the_final_response_varies_with_the_cookie_and_the_interim_one_does_not(
    clock: Clock,
) -> None:
    hints = {"type": "http.response.start", "status": 103, "headers": [(b"link", b"</a.css>")]}
    final = {"type": "http.response.start", "status": 200, "headers": []}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert Auth.of(scope).subject == "alice"
        await send(hints)
        await send(final)
        await send({"type": "http.response.body"})

    site = make_site(clock, app)
    await site.sign_in("alice")

    messages = await messages_of(site.browser.app, site.browser.scope("/", "GET"))

    assert messages[0] is hints
    assert messages[1]["headers"] == [(b"vary", b"Cookie, Authorization")]


@pytest.mark.parametrize("signed_in", [True, False])
async def test_an_interim_response_does_not_start_the_response(
    clock: Clock, signed_in: bool
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 103, "headers": []})
        Auth.of(scope).login("bob")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    site = make_site(clock, app)
    if signed_in:
        await site.sign_in("alice")

    messages = await messages_of(site.browser.app, site.browser.scope("/", "POST"))

    assert messages[0] == {"type": "http.response.start", "status": 103, "headers": []}
    cookies = [value for name, value in messages[1]["headers"] if name == b"set-cookie"]
    assert len(cookies) == 2


@modes
async def test_every_message_but_the_start_passes_as_the_very_object(
    clock: Clock, stored: bool
) -> None:
    start = {"type": "http.response.start", "status": 200, "headers": [], "trailers": True}
    rest = [
        {"type": "http.response.early_hint", "links": [b"</a.css>"]},
        {"type": "http.response.debug", "info": {}},
        {"type": "http.response.body", "body": b"1", "more_body": True},
        {"type": "http.response.zerocopysend", "file": 3},
        {"type": "http.response.pathsend", "path": "/tmp/x"},
        {"type": "http.response.body", "body": b"2", "more_body": False},
        {"type": "http.response.trailers", "headers": [(b"x", b"y")], "more_trailers": False},
        {"type": "http.response.of_the_future"},
    ]
    site = make_site(clock, replaying([start, *rest]), stored=stored)
    await site.sign_in()
    expire(site)

    messages = await messages_of(site.browser.app, site.browser.scope("/", "GET"))

    assert len(messages) == len(rest) + 1
    assert all(sent is given for sent, given in zip(messages[1:], rest, strict=True))
    assert start == {"type": "http.response.start", "status": 200, "headers": [], "trailers": True}
    assert messages[0]["trailers"] is True
    assert b"set-cookie" in dict(messages[0]["headers"])


async def test_the_cookies_of_a_stream_go_out_before_its_first_chunk(clock: Clock) -> None:
    sent: list[str] = []
    more = anyio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"1", "more_body": True})
        await more.wait()
        await send({"type": "http.response.body", "body": b"2"})

    site = make_site(clock, app)
    await site.sign_in()
    expire(site)

    async def send(message: Any) -> None:
        cookies = b"set-cookie" in dict(message.get("headers", ()))
        sent.append(f"{message['type'].rpartition('.')[2]}{' with cookies' if cookies else ''}")
        if message.get("body") == b"1":
            assert sent == ["start with cookies", "body"]
            more.set()

    with anyio.fail_after(5):
        await site.browser.app(site.browser.scope("/", "GET"), None, send)

    assert sent == ["start with cookies", "body", "body"]


@pytest.mark.parametrize("kind", ["list", "tuple", "generator", "absent", "lists"])
async def test_the_headers_of_a_start_may_be_any_iterable_or_absent(
    clock: Clock, kind: str
) -> None:
    pairs = [(b"x-a", b"1"), (b"X-B", b"2")]
    headers: Any = {
        "list": pairs,
        "tuple": tuple(pairs),
        "generator": (pair for pair in pairs),
        "lists": [list(pair) for pair in pairs],
    }.get(kind)
    start = {"type": "http.response.start", "status": 200}
    if headers is not None:
        start["headers"] = headers
    site = make_site(clock, replaying([start, {"type": "http.response.body"}]))
    await site.sign_in()
    expire(site)

    response = await site.browser.get("/")

    assert given(response) == {ACCESS, REFRESH}
    if headers is not None:
        assert response.headers[:2] == pairs


async def test_a_due_websocket_gets_an_access_cookie_and_rotates_nothing(clock: Clock) -> None:
    site = make_site(clock)
    await site.sign_in()
    expire(site)

    accept, sent, _ = await site.browser.websocket()

    told = json.loads(sent["text"])
    assert (told["subject"], told["refreshed"]) == ("alice", True)
    (cookie,) = [value for name, value in accept["headers"] if name == b"set-cookie"]
    assert cookie.startswith(b"__Host-access=")
    assert (
        site.issuer.verify(cookie.partition(b";")[0].partition(b"=")[2].decode())
        == (told["payload"])
    )
    assert site.store.calls == ["get", "get"]


@pytest.mark.parametrize(("spec_version", "carries"), [("2.0", False), ("2.1", True)])
async def test_a_websocket_gets_a_cookie_where_the_server_takes_headers(
    clock: Clock, spec_version: str, carries: bool
) -> None:
    site = make_site(clock)
    await site.sign_in()
    expire(site)

    accept, *_ = await site.browser.websocket(
        scope={"asgi": {"version": "3.0", "spec_version": spec_version}}
    )

    assert (b"set-cookie" in dict(accept["headers"])) is carries


@pytest.mark.parametrize("wait", [0, HOUR])
async def test_the_handshake_of_a_websocket_does_not_vary(clock: Clock, wait: float) -> None:
    site = make_site(clock)
    await site.sign_in()
    clock.advance(wait)

    accept, *_ = await site.browser.websocket()

    assert b"vary" not in dict(accept["headers"])


async def test_a_websocket_gets_no_cookie_once_its_session_has_ended(clock: Clock) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await site.issuer.revoke(Auth.of(scope).session_id or "")
        await send({"type": "websocket.accept"})

    site = make_site(clock, app)
    await site.sign_in()
    expire(site)

    (accept,) = await site.browser.websocket()

    assert b"set-cookie" not in dict(accept.get("headers", ()))


# --- what a refresh keeps -------------------------------------------------------------------------


@modes
async def test_claims_survive_ten_refreshes(clock: Clock, stored: bool) -> None:
    site = make_site(clock, stored=stored)
    await site.sign_in("alice", CLAIMS)
    payloads = []
    for _ in range(10):
        clock.advance(2 * HOUR)
        payloads.append((await site.browser.get("/")).json()["payload"])

    extra = [{name: payload[name] for name in CLAIMS} for payload in payloads]
    assert extra == [CLAIMS] * 10
    assert len({payload["jti"] for payload in payloads}) == 10
    assert len({payload["sid"] for payload in payloads}) == 1
    assert {payload["sub"] for payload in payloads} == {"alice"}


@modes
async def test_auth_time_stays_when_the_user_proved_who_they_are(
    clock: Clock, stored: bool
) -> None:
    site = make_site(clock, stored=stored)
    began = int(clock())
    await site.sign_in()
    times = set()
    for _ in range(10):
        clock.advance(9 * DAY - 60)
        site.browser.drop(ACCESS)
        times.add((await site.browser.get("/")).json()["payload"]["auth_time"])

    assert times == {began}


@modes
async def test_is_fresh_goes_by_auth_time(clock: Clock, stored: bool) -> None:
    fresh: list[bool] = []
    site = make_site(
        clock, doing(lambda auth: fresh.append(auth.is_fresh(timedelta(hours=1)))), stored=stored
    )
    await site.sign_in()
    for seconds in (HOUR - 1, 1, 1):
        clock.advance(seconds)
        await site.browser.get("/")

    assert fresh == [True, True, False]


@modes
async def test_issuer_and_audience_survive_a_refresh(clock: Clock, stored: bool) -> None:
    config = Config(issuer="https://issuer.example", audience="api")
    site = make_site(clock, stored=stored, config=config)
    await site.sign_in()
    expire(site)
    await site.browser.get("/")
    clock.advance(5)

    payload = (await site.browser.get("/")).json()["payload"]

    assert (payload["iss"], payload["aud"]) == ("https://issuer.example", "api")


def pem(private: Any) -> bytes:
    return bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


@modes
@pytest.mark.parametrize("algorithm", ["HS512", "ES256", "EdDSA"])
async def test_tokens_of_other_algorithms_are_refreshed(
    clock: Clock, algorithm: str, stored: bool
) -> None:
    secret: Any = {
        "HS512": lambda: b"s" * 64,
        "ES256": lambda: pem(ec.generate_private_key(ec.SECP256R1())),
        "EdDSA": lambda: pem(ed25519.Ed25519PrivateKey.generate()),
    }[algorithm]()
    issuer = Issuer(
        Key(secret, "k1", algorithm),
        secret=SECRET,
        store=Gates() if stored else None,
        clock=clock,
        on_event=lambda event: None,
    )
    browser = Browser(RefreshMiddleware(whoami, issuer), clock)
    await browser.post("/login")
    for _ in range(3):
        clock.advance(HOUR)
        response = await browser.get("/")
        assert response.json()["refreshed"] is True
        assert response.json()["subject"] == "alice"
        assert (await browser.get("/")).json()["refreshed"] is False


async def test_load_claims_says_what_the_next_access_token_holds(clock: Clock) -> None:
    loaded: list[Session] = []

    async def load(session: Session) -> dict[str, Any]:
        loaded.append(session)
        return {"role": f"role-{len(loaded)}"}

    site = make_site(clock, load_claims=load)
    session_id = await site.sign_in("alice", {"given": "at login"})
    expire(site)

    payload = (await site.browser.get("/")).json()["payload"]

    assert payload["role"] == "role-2"
    assert "given" not in payload
    assert (loaded[1].id, loaded[1].subject) == (session_id, "alice")
    assert loaded[1].claims == {"given": "at login"}


# --- what does not refresh ------------------------------------------------------------------------


@modes
async def test_a_good_access_token_with_a_bad_refresh_token_is_just_used(
    clock: Clock, stored: bool
) -> None:
    site = make_site(clock, stored=stored)
    await site.sign_in()
    site.browser.put(REFRESH, "garbage")

    response = await site.browser.get("/", headers=NAVIGATION)

    assert response.json()["subject"] == "alice"
    assert response.set_cookies == []


@modes
async def test_a_bad_access_token_with_a_good_refresh_token_is_refreshed_and_told_of(
    clock: Clock, stored: bool
) -> None:
    site = make_site(clock, stored=stored)
    await site.sign_in()
    site.browser.put(ACCESS, "a.b.c")

    response = await site.browser.get("/")

    assert response.json()["subject"] == "alice"
    assert response.json()["refreshed"] is True
    assert [event.reason for event in site.named("rejected")] == ["invalid_token"]


@modes
async def test_a_bad_refresh_token_alone_is_told_of(clock: Clock, stored: bool) -> None:
    site = make_site(clock, stored=stored)
    site.browser.put(REFRESH, "garbage")

    response = await site.browser.get("/")

    assert response.json()["reason"] == "invalid_token"
    assert [event.reason for event in site.named("rejected")] == ["invalid_token"]


@modes
async def test_the_refresh_tokens_of_two_sessions_are_ambiguous_also_when_the_access_token_ended(
    clock: Clock, stored: bool
) -> None:
    site = make_site(clock, stored=stored)
    mallory = await site.issuer.issue("mallory")
    await site.sign_in("alice")
    pairs = [(REFRESH, mallory.refresh_token), *site.browser.values().items()]
    expire(site)

    response = await site.browser.send(
        "/", cookies={}, headers=[("cookie", "; ".join(f"{n}={v}" for n, v in pairs))]
    )

    assert (response.json()["subject"], response.set_cookies) == (None, [])
    assert response.json()["reason"] == "ambiguous_cookies"


@modes
@pytest.mark.parametrize("expired", [True, False])
async def test_between_the_access_tokens_of_two_sessions_no_refresh_token_decides(
    clock: Clock, expired: bool, stored: bool
) -> None:
    site = make_site(clock, stored=stored)
    mallory = await site.issuer.issue("mallory")
    await site.sign_in("alice")
    values = site.browser.values()
    if expired:
        expire(site)
    pairs = [(ACCESS, mallory.access_token), *values.items()]

    response = await site.browser.send(
        "/", cookies={}, headers=[("cookie", "; ".join(f"{n}={v}" for n, v in pairs))]
    )

    assert (response.json()["subject"], response.set_cookies) == (None, [])
    assert response.json()["reason"] == "ambiguous_cookies"


@modes
async def test_tokens_of_two_sessions_are_never_mixed(clock: Clock, stored: bool) -> None:
    site = make_site(clock, stored=stored)
    await site.sign_in("mallory")
    planted = site.browser.values()[REFRESH]
    await site.sign_in("alice")
    site.browser.put(REFRESH, planted)
    nearly_expire(site)

    before = await site.browser.get("/")
    clock.advance(MINUTE)
    after = await site.browser.get("/")

    assert (before.json()["subject"], before.set_cookies) == ("alice", [])
    assert (after.json()["subject"], after.set_cookies) == (None, [])
    assert after.json()["reason"] == "session_mismatch"


@modes
async def test_a_good_bearer_wins_and_the_cookies_are_not_refreshed(
    clock: Clock, stored: bool
) -> None:
    site = make_site(clock, stored=stored)
    tokens = await site.issuer.issue("carol")
    await site.sign_in("alice")
    site.browser.drop(ACCESS)

    response = await site.browser.get(
        "/", headers=[("authorization", f"Bearer {tokens.access_token}")]
    )

    assert (response.json()["subject"], response.json()["via"]) == ("carol", "bearer")
    assert response.set_cookies == []


@modes
async def test_a_bad_bearer_does_not_shadow_a_good_cookie(clock: Clock, stored: bool) -> None:
    site = make_site(clock, stored=stored)
    await site.sign_in("alice")
    expire(site)

    response = await site.browser.get("/", headers=[("authorization", "Bearer x.y.z")])

    assert (response.json()["subject"], response.json()["via"]) == ("alice", "cookie")
    assert response.json()["refreshed"] is True


@modes
async def test_an_expired_bearer_is_refused(clock: Clock, stored: bool) -> None:
    site = make_site(clock, stored=stored)
    tokens = await site.issuer.issue("alice")
    clock.advance(HOUR)

    response = await site.browser.get(
        "/", headers=[("authorization", f"Bearer {tokens.access_token}")]
    )

    assert (response.json()["subject"], response.json()["reason"]) == (None, "expired_token")


@modes
async def test_another_kind_of_authorization_is_none_of_our_business(
    clock: Clock, stored: bool
) -> None:
    site = make_site(clock, stored=stored)

    response = await site.browser.get("/", headers=[("authorization", "Basic YTpi")])

    assert response.json()["reason"] == "no_credentials"
    assert site.events == []


@modes
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
async def test_the_scheme_of_a_bearer_is_case_insensitive(
    clock: Clock, scheme: str, stored: bool
) -> None:
    site = make_site(clock, stored=stored)
    tokens = await site.issuer.issue("alice")

    response = await site.browser.get(
        "/", headers=[("authorization", f"{scheme} {tokens.access_token}")]
    )

    assert (response.json()["subject"], response.json()["via"]) == ("alice", "bearer")


@modes
async def test_two_authorization_headers_are_none(clock: Clock, stored: bool) -> None:
    site = make_site(clock, stored=stored)
    tokens = await site.issuer.issue("alice")
    bearer = ("authorization", f"Bearer {tokens.access_token}")

    response = await site.browser.get("/", headers=[bearer, bearer])

    assert response.json()["subject"] is None


@modes
async def test_a_bearer_is_nothing_where_it_is_switched_off(clock: Clock, stored: bool) -> None:
    site = make_site(clock, stored=stored, config=Config(bearer=False))
    bob = await site.issuer.issue("bob")
    await site.sign_in("alice")
    headers = [("authorization", f"Bearer {bob.access_token}")]

    with_cookies = await site.browser.get("/", headers=headers)
    without = await site.browser.get("/", headers=headers, cookies={})

    assert (with_cookies.json()["subject"], without.json()["subject"]) == ("alice", None)


@modes
@pytest.mark.parametrize("size", [16 * 1024, 16 * 1024 + 1])
async def test_a_cookie_header_beyond_the_limit_is_not_looked_at(
    clock: Clock, size: int, stored: bool
) -> None:
    site = make_site(clock, stored=stored)
    await site.sign_in("alice")
    await site.browser.get("/")
    length = sum(len(n) + len(v) + 3 for n, v in site.browser.values().items())
    site.browser.put("a", "x" * (size - length - 2))

    response = await site.browser.get("/")

    fits = size == 16 * 1024
    assert response.json()["reason"] == (None if fits else "oversize_cookies")
    assert response.set_cookies == []


@modes
async def test_a_path_that_is_exempt_ignores_our_cookies(clock: Clock, stored: bool) -> None:
    site = make_site(clock, stored=stored, config=Config(cross_origin_exempt=["/callback"]))
    await site.sign_in("alice")
    for path, reason in (("/", None), ("/callback", "exempt_path"), ("/callback/", None)):
        assert (await site.browser.get(path)).json()["reason"] == reason
    clock.advance(HOUR)

    response = await site.browser.post("/callback")

    assert (response.json()["subject"], response.set_cookies) == (None, [])


@modes
async def test_twins_of_one_session_are_one_and_the_newest_counts(
    clock: Clock, stored: bool
) -> None:
    site = make_site(clock, stored=stored)
    await site.sign_in("alice")
    old = site.browser.values()
    for _ in range(3):
        clock.advance(8 * DAY)
        await site.browser.get("/")
    new = site.browser.values()
    clock.advance(5 * MINUTE)
    for first, second in ((old, new), (new, old)):
        both = [f"{n}={values[n]}" for values in (first, second) for n in (ACCESS, REFRESH)]
        response = await site.browser.send("/", cookies={}, headers=[("cookie", "; ".join(both))])
        assert response.json()["payload"] == site.issuer.verify(new[ACCESS])
        assert response.set_cookies == []
    clock.advance(HOUR)
    for first, second in ((old, new), (new, old)):
        both = [f"{REFRESH}={values[REFRESH]}" for values in (first, second)]
        response = await site.browser.send("/", cookies={}, headers=[("cookie", "; ".join(both))])
        assert response.json()["subject"] == "alice"

    assert site.named("reused") == []


@modes
async def test_anonymous_requests_ask_no_store(clock: Clock, stored: bool) -> None:
    site = make_site(clock, stored=stored)

    response = await site.browser.get("/")

    assert response.json()["reason"] == "no_credentials"
    assert site.events == []
    assert not stored or site.store.calls == []


# --- faults ---------------------------------------------------------------------------------------


async def test_an_application_that_crashes_has_rotated_nothing(clock: Clock) -> None:
    async def crash(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    site = make_site(clock, crash)
    await site.sign_in()
    expire(site)

    with pytest.raises(ZeroDivisionError):
        await site.browser.get("/")

    assert site.store.count("replace", "revoke") == 0


async def test_an_application_that_never_answers_has_rotated_nothing(clock: Clock) -> None:
    site = make_site(clock, replaying([]))
    await site.sign_in()
    expire(site)

    assert await messages_of(site.browser.app, site.browser.scope("/", "GET")) == []

    assert site.store.count("replace", "revoke") == 0


async def test_an_application_may_return_while_its_response_waits_for_the_store(
    clock: Clock,
) -> None:
    """A task that it has left behind answers."""
    gate = Gate()
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async with anyio.create_task_group() as group:

        async def app(scope: Any, receive: Any, send: Any) -> None:
            site.store.before["replace"] = gate
            group.start_soon(answer, send)
            await gate.arrival()

        site = make_site(clock, app, config=lasting())
        await site.sign_in()
        expire(site)
        await site.browser.app(site.browser.scope("/", "GET"), None, send)
        gate.open()

    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert len([name for name, _ in sent[0]["headers"] if name == b"set-cookie"]) == 2


@pytest.mark.parametrize("operation", ["get", "replace"])
@pytest.mark.parametrize("fault", ["broken", "hanging"])
async def test_a_store_that_fails_costs_no_session(
    clock: Clock, operation: str, fault: str
) -> None:
    site = make_site(clock, config=Config(store_timeout=timedelta(seconds=0.2)))
    await site.sign_in()
    expire(site)
    getattr(site.store, fault).add(operation)

    failed = await site.browser.navigate("/")
    getattr(site.store, fault).clear()
    recovered = await site.browser.navigate("/")

    assert failed.status == 200
    assert failed.set_cookies == []
    told = failed.json()
    assert told["reason"] == ("store_unavailable" if operation == "get" else None)
    assert told["subject"] == (None if operation == "get" else "alice")
    assert recovered.json()["refreshed"] is True
    assert given(recovered) == {ACCESS, REFRESH}


async def test_where_every_request_asks_an_outage_is_anonymous(clock: Clock) -> None:
    site = make_site(clock, config=Config(revocation="always"))
    await site.sign_in("alice")
    before = await site.browser.get("/")
    site.store.broken.add("revocations")

    response = await site.browser.navigate("/")

    assert before.json()["subject"] == "alice"
    assert response.json()["reason"] == "store_unavailable"
    assert response.set_cookies == []
    assert [(e.reason, e.subject) for e in site.events][-1] == ("store_unavailable", "alice")


async def test_a_revocation_elsewhere_bites_once_the_answer_at_hand_is_too_old(
    clock: Clock,
) -> None:
    site = make_site(clock)
    other = make_site(clock, store=Gates(site.store.store))
    session_id = await site.sign_in("alice")
    await site.browser.get("/")
    await other.issuer.revoke(session_id)
    clock.advance(1)

    assert (await site.browser.get("/")).json()["reason"] == "session_ended"


async def test_in_an_outage_no_good_token_is_passed_down_and_garbage_is(clock: Clock) -> None:
    site = make_site(clock, config=Config(revocation="always"))
    await site.sign_in("alice")
    site.browser.put(REFRESH, "garbage")
    site.store.broken.add("revocations")

    response = await site.browser.get("/")

    assert response.json()["cookie_headers"] == [f"{REFRESH}=garbage"]


async def test_where_every_request_asks_a_revocation_bites_at_once(clock: Clock) -> None:
    site = make_site(clock, config=Config(revocation="always"))
    other = make_site(clock, store=Gates(site.store.store), config=Config(revocation="always"))
    session_id = await site.sign_in("alice")
    await site.browser.get("/")
    await other.issuer.revoke(session_id)

    response = await site.browser.get("/")

    assert response.json()["subject"] is None


async def test_an_outage_leaves_good_access_tokens_alone(clock: Clock) -> None:
    site = make_site(clock)
    await site.sign_in("alice")
    site.store.broken.add("*")

    responses = []
    for _ in range(4):
        responses.append(await site.browser.get("/"))
        clock.advance(MINUTE)

    assert [response.json()["subject"] for response in responses] == ["alice"] * 4


async def test_a_store_that_fails_leaves_a_due_token_its_last_minute(clock: Clock) -> None:
    site = make_site(clock)
    await site.sign_in()
    nearly_expire(site)
    site.store.broken.add("get")

    response = await site.browser.get("/")

    assert response.json()["subject"] == "alice"
    assert response.json()["refreshed"] is False
    assert response.set_cookies == []


async def test_a_session_that_is_gone_signs_a_due_token_out_at_once(clock: Clock) -> None:
    site = make_site(clock, config=Config(revocation="refresh"))
    session_id = await site.sign_in()
    nearly_expire(site)
    await site.store.store.revoke(session_id, site.issuer.rotating.revocation(session_id))  # type: ignore[union-attr]

    response = await site.browser.get("/")

    assert response.json()["reason"] == "session_ended"


async def test_a_dead_session_costs_one_store_trip_a_minute(clock: Clock) -> None:
    site = make_site(clock)
    session_id = await site.sign_in()
    await site.issuer.revoke(session_id)
    expire(site)
    site.store.calls.clear()

    for _ in range(3):
        await site.browser.get("/")
    within = site.store.count("get")
    clock.advance(61)
    await site.browser.get("/")

    assert (within, site.store.count("get")) == (1, 2)


@pytest.mark.parametrize("headers", [(), [NAVIGATION[0]], [NAVIGATION[1]]])
async def test_without_a_navigation_dead_cookies_stay(clock: Clock, headers: Any) -> None:
    site = make_site(clock)
    await site.issuer.revoke(await site.sign_in())
    expire(site)

    response = await site.browser.get("/", headers=headers)

    assert response.json()["reason"] == "session_ended"
    assert response.set_cookies == []


@pytest.mark.parametrize("carried", [{ACCESS, REFRESH}, {REFRESH}])
async def test_a_navigation_deletes_the_dead_cookies_that_came(
    clock: Clock, carried: set[str]
) -> None:
    site = make_site(clock)
    await site.issuer.revoke(await site.sign_in())
    site.browser.drop(*({ACCESS, REFRESH} - carried))
    expire(site)

    response = await site.browser.navigate("/")

    assert deleted(response) == carried == set(response.cookies)
    assert all("; Path=/; Secure; HttpOnly; SameSite=Lax" in c for c in response.set_cookies)
    assert response.header("cache-control") == "private, no-store"
    assert site.browser.values().keys().isdisjoint(carried)


# --- events ---------------------------------------------------------------------------------------


async def test_a_refresh_is_told_with_who_asked(clock: Clock) -> None:
    site = make_site(clock)
    session_id = await site.sign_in("alice")
    expire(site)

    await site.browser.get("/")

    (event,) = site.events
    assert (event.name, event.subject, event.session_id) == ("refreshed", "alice", session_id)
    assert event.client is not None
    assert (event.client.address, event.client.user_agent) == ("192.0.2.7", "test-browser")


async def test_no_event_and_no_repr_holds_a_token(clock: Clock) -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(repr(Auth.of(scope)))
        await answer(send, body=json.dumps(describe(Auth.of(scope), scope)).encode())

    site = make_site(clock, app)
    await site.sign_in("alice")
    expire(site)
    sent = list(site.browser.values().values())

    response = await site.browser.get("/")

    texts = [*map(repr, site.events), *seen, repr(site.issuer)]
    tokens = [*sent, *response.cookies.values()]
    assert not [text for text in texts for token in tokens if token in text]


async def test_two_rotations_lie_at_least_the_window_apart(clock: Clock) -> None:
    site = make_site(clock)
    await site.sign_in()
    for _ in range(20):
        clock.advance(WINDOW / 10)
        site.browser.drop(ACCESS)
        assert (await site.browser.get("/")).json()["refreshed"] is True

    assert site.store.count("replace") == 2


async def test_the_refresh_cookie_of_the_stateless_mode_is_renewed_in_its_second_half(
    clock: Clock,
) -> None:
    site = make_site(clock, stored=False)
    await site.sign_in()

    clock.advance(7 * DAY)
    half = await site.browser.get("/")
    clock.advance(DAY)
    more = await site.browser.get("/")

    assert given(half) == {ACCESS}
    assert given(more) == {ACCESS, REFRESH}
    assert "Max-Age=1209600;" in more.set_cookies[1]


async def _ignore(message: Any) -> None:
    pass


def test_the_defaults_that_these_tests_count_on() -> None:
    assert Config().window == timedelta(seconds=WINDOW)
