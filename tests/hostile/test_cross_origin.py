"""Requests from other origins: refused with our cookies, unable to sign anybody in without them."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from asgi_refresh import Auth, Config, Issuer, MemoryStore, Tokens
from asgi_refresh.errors import AccessDeniedError
from tests.hostile.tools import (
    ACCESS,
    FOREIGN,
    HOST,
    REFRESH,
    TOMBSTONE,
    Recorder,
    both,
    browser,
    cookie_line,
    fill,
    http,
    run,
    set_cookies,
    wrapped,
)
from tests.support import Browser, Clock, Spy, answer, make_issuer

pytestmark = pytest.mark.anyio

UNSAFE = ["POST", "PUT", "PATCH", "DELETE", "QUERY", "post", "get", "TRACE", "CONNECT"]

# Go's csrf_test.go and AB-57 to AB-60: an unsafe request with our cookies, whether it passes.
TABLE: list[tuple[list[tuple[str, str]], bool]] = [
    ([("sec-fetch-site", "same-origin")], True),
    ([("sec-fetch-site", "none")], True),
    ([("sec-fetch-site", "cross-site")], False),
    ([("sec-fetch-site", "same-site")], False),
    ([], True),
    ([("origin", "https://app.example")], True),
    ([("origin", "http://app.example")], True),
    ([("origin", "https://app.example:443")], True),
    ([("origin", "https://APP.EXAMPLE")], True),
    ([("origin", "https://evil.example")], False),
    ([("origin", "null")], False),
    ([("origin", "https://app.example"), ("sec-fetch-site", "cross-site")], False),
    ([("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")], True),
    ([("origin", "null"), ("sec-fetch-site", "same-origin")], True),
    ([("origin", "null"), ("sec-fetch-site", "none")], True),
    ([("sec-fetch-site", "")], True),
    ([("sec-fetch-site", ""), ("origin", "https://evil.example")], False),
    ([("origin", "")], True),
    ([("sec-fetch-site", "Same-Origin")], False),
    ([("sec-fetch-site", "same-origin ")], False),
    ([("sec-fetch-site", "something")], False),
    ([("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")], False),
    ([("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], False),
    ([("origin", "https://app.example"), ("origin", "https://app.example")], False),
    ([("origin", "https://app.example"), ("origin", "https://evil.example")], False),
    ([("origin", "https://app.example.evil.example")], False),
    ([("origin", "https://app.example@evil.example")], False),
    ([("origin", "https://evil.example@app.example")], False),
    ([("origin", "https://app.example:8443")], False),
    ([("origin", "https://app.example:80")], False),
    ([("origin", "http://app.example:443")], False),
    ([("origin", "https://app.example/")], False),
    ([("origin", "https://app.example/path")], False),
    ([("origin", "https://app.example?x")], False),
    ([("origin", "https://app.example#x")], False),
    ([("origin", "https://app.example.")], False),
    ([("origin", "https://xapp.example")], False),
    ([("origin", "app.example")], False),
    ([("origin", "//app.example")], False),
    ([("origin", "ftp://app.example")], False),
    ([("origin", "chrome-extension://app.example")], False),
    ([("origin", "https://")], False),
    ([("origin", "https://app.example https://evil.example")], False),
    ([("origin", "https://app.example\t")], False),
    ([("origin", "https://\u00e4pp.example")], False),
    ([("origin", "https://app.example\x00")], False),
]


def name_of(case: Any) -> str:
    return ascii(case)[:60]


async def signed_in(
    clock: Clock, app: Any = None, **config: Any
) -> tuple[Issuer, Browser, Recorder]:
    recorder = Recorder() if app is None else app
    issuer = make_issuer(clock, store=MemoryStore(), config=Config(**config))
    client = browser(issuer, clock, recorder)
    return issuer, fill(client, await issuer.issue("alice")), recorder


# --- with our cookies -----------------------------------------------------------------------------


@pytest.mark.parametrize("case", TABLE, ids=name_of)
@pytest.mark.parametrize("known", [True, False])
async def test_an_unsafe_request_with_our_cookies_passes_only_from_our_own_origin(
    clock: Clock, case: Any, known: bool
) -> None:
    headers, passes = case
    _, client, app = await signed_in(clock)
    if known:
        await client.get("/")
        app.runs = 0

    response = await client.post("/", headers=headers)

    assert (response.status, app.runs) == ((200, 1) if passes else (403, 0))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("name", ["origin", "host"])
async def test_a_header_that_stands_twice_is_refused_whatever_the_browser_says_of_the_site(
    clock: Clock, name: str, known: bool
) -> None:
    _, client, app = await signed_in(clock)
    if known:
        await client.get("/")
        app.runs = 0
    twice = [(name, "https://app.example"), (name, "https://evil.example")]

    response = await client.post("/", headers=[*twice, ("sec-fetch-site", "same-origin")])

    assert (response.status, app.runs) == (403, 0)


@pytest.mark.parametrize("method", UNSAFE)
async def test_every_method_but_the_safe_ones_is_refused(clock: Clock, method: str) -> None:
    _, client, _ = await signed_in(clock)

    assert (await client.request("/", method, headers=[FOREIGN])).status == 403


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_a_safe_method_passes_signed_in(clock: Clock, method: str) -> None:
    _, client, app = await signed_in(clock)
    headers = [FOREIGN, ("sec-fetch-site", "cross-site")]

    response = await client.request("/", method, headers=headers)

    assert (response.status, app.subject) == (200, "alice")


@pytest.mark.parametrize("name", [ACCESS, REFRESH])
async def test_any_one_of_our_cookies_is_enough_to_be_refused(clock: Clock, name: str) -> None:
    client = browser(make_issuer(clock, store=MemoryStore()), clock, Recorder())

    response = await client.post("/", headers=[FOREIGN], cookies={name: "garbage"})

    assert response.status == 403


async def test_a_tombstone_is_no_credential_to_be_refused_for(clock: Clock) -> None:
    client = browser(make_issuer(clock, store=MemoryStore()), clock, Recorder())

    response = await client.post("/", headers=[FOREIGN], cookies={TOMBSTONE: "x"})

    assert response.status == 200


async def test_a_request_without_our_cookies_passes_anonymous(clock: Clock) -> None:
    app = Recorder()
    client = browser(make_issuer(clock, store=MemoryStore()), clock, app)

    response = await client.post("/", headers=[FOREIGN], cookies={"theme": "dark"})

    assert (response.status, app.reason, response.set_cookies) == (200, "no_credentials", [])


@pytest.mark.parametrize("wait", [0, 3600])
async def test_the_refusal_names_the_origin_and_the_setting(clock: Clock, wait: float) -> None:
    _, client, _ = await signed_in(clock)
    clock.advance(wait)

    body = (await client.post("/", headers=[FOREIGN])).body

    assert b"https://evil.example" in body
    assert b"trusted_origins" in body


async def test_the_refusal_is_not_kept_by_any_cache(clock: Clock) -> None:
    _, client, _ = await signed_in(clock)

    response = await client.post("/", headers=[FOREIGN])

    assert response.header("cache-control") == "private, no-store"


@pytest.mark.parametrize("wait", [0, 3600, 100 * 86400])
async def test_a_refused_request_asks_no_store_and_sets_no_cookie(
    clock: Clock, wait: float
) -> None:
    spy = Spy()
    issuer = make_issuer(clock, store=spy)
    client = fill(browser(issuer, clock, Recorder()), await issuer.issue("alice"))
    clock.advance(wait)
    spy.calls.clear()
    navigation = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]

    response = await client.send("/", "POST", headers=[FOREIGN, *navigation])

    assert (response.status, spy.calls, response.set_cookies) == (403, [], [])


async def test_a_refused_request_is_one_event_that_says_who_and_from_where(
    clock: Clock, events: list[Any]
) -> None:
    issuer = make_issuer(clock, store=MemoryStore(), on_event=events.append)
    client = fill(browser(issuer, clock, Recorder()), await issuer.issue("alice"))
    events.clear()

    await client.post("/", headers=[FOREIGN])

    [event] = events
    assert (event.name, event.reason) == ("cross_origin", "request")
    assert "https://evil.example" in event.detail
    assert "trusted_origins" in event.detail
    assert (event.client.address, event.client.user_agent) == ("192.0.2.7", "test-browser")


@pytest.mark.parametrize(
    "origin", [b"https://evil.example/\r\nx", b"\xff\xfe", b"\x1b[31m", b"null", b"a" * 70_000]
)
async def test_an_origin_that_is_none_is_not_repeated(
    clock: Clock, events: list[Any], origin: bytes
) -> None:
    issuer = make_issuer(clock, store=MemoryStore(), on_event=events.append)
    scope = http(method="POST", headers=[both(await issuer.issue("alice")), (b"origin", origin)])

    sent = await run(wrapped(issuer, Recorder()), scope)

    assert origin not in sent[1]["body"]
    assert origin.decode("latin-1") not in events[-1].detail
    assert events[-1].detail.isprintable()


async def test_an_endless_origin_is_not_repeated_in_full(clock: Clock, events: list[Any]) -> None:
    issuer = make_issuer(clock, store=MemoryStore(), on_event=events.append)
    origin = b"https://" + b"a" * 60_000 + b".example"
    scope = http(method="POST", headers=[both(await issuer.issue("alice")), (b"origin", origin)])

    sent = await run(wrapped(issuer, Recorder()), scope)

    assert max(len(sent[1]["body"]), len(events[-1].detail)) < 1000


# --- hostile Host (AB-61) -------------------------------------------------------------------------

HOSTS = [
    [],
    [b""],
    [b"app.example/"],
    [b"app.example?"],
    [b"app.example#"],
    [b"evil@app.example"],
    [b"\xff\xfe"],
    ["\u00e4pp.example".encode()],
    [b"app.example", b"app.example"],
    [b"app.example:99999999"],
    [b"[::1"],
    [b":443"],
]


@pytest.mark.parametrize("hosts", HOSTS, ids=name_of)
@pytest.mark.parametrize("origin", [b"https://app.example", b"https://", b"null", b"\x80"])
async def test_with_an_odd_host_every_origin_is_another_one(
    clock: Clock, hosts: list[bytes], origin: bytes
) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    scope = http(method="POST")
    scope["headers"] = [(b"host", host) for host in hosts]
    scope["headers"] += [both(await issuer.issue("alice")), (b"origin", origin)]

    assert (await run(wrapped(issuer, Recorder()), scope))[0]["status"] == 403


@pytest.mark.parametrize("hosts", HOSTS[:-4], ids=name_of)
async def test_an_odd_host_alone_refuses_nothing(clock: Clock, hosts: list[bytes]) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    scope = http(method="POST")
    scope["headers"] = [(b"host", host) for host in hosts]
    scope["headers"] += [both(await issuer.issue("alice"))]

    assert (await run(wrapped(issuer, Recorder()), scope))[0]["status"] == 200


@pytest.mark.parametrize(
    ("host", "origin", "passes"),
    [
        (b"app.example:8443", b"https://app.example:8443", True),
        (b"app.example:8443", b"https://app.example", False),
        (b"app.example:443", b"https://app.example", True),
        (b"app.example:80", b"http://app.example", True),
        (b"app.example:80", b"https://app.example", False),
        (b"APP.example", b"https://app.EXAMPLE", True),
        (b"[::1]:8000", b"http://[::1]:8000", True),
        (b"[::1]", b"http://[::2]", False),
    ],
)
async def test_host_and_port_must_both_be_those_of_the_origin(
    clock: Clock, host: bytes, origin: bytes, passes: bool
) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    scope = http(method="POST")
    scope["headers"] = [(b"host", host), (b"origin", origin), both(await issuer.issue("alice"))]

    [start, *_] = await run(wrapped(issuer, Recorder()), scope)

    assert start["status"] == (200 if passes else 403)


@pytest.mark.parametrize("name", ["x-forwarded-host", "forwarded", "x_host", "x-original-host"])
async def test_no_other_header_speaks_for_the_host(clock: Clock, name: str) -> None:
    _, client, _ = await signed_in(clock)

    response = await client.post("/", headers=[FOREIGN, (name, "evil.example")])

    assert response.status == 403


@pytest.mark.parametrize("name", ["x-http-method-override", "x-method-override", "_method"])
async def test_no_header_speaks_for_the_method(clock: Clock, name: str) -> None:
    _, client, _ = await signed_in(clock)

    assert (await client.post("/", headers=[FOREIGN, (name, "GET")])).status == 403


# --- trusted origins ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ([("origin", "https://front.example")], True),
        ([("origin", "https://front.example"), ("sec-fetch-site", "cross-site")], True),
        ([("origin", "https://front.example"), ("sec-fetch-site", "same-site")], True),
        ([("origin", "http://front.example")], False),
        ([("origin", "https://front.example:444")], False),
        ([("origin", "https://front.example:443")], False),
        ([("origin", "https://front.example/")], False),
        ([("origin", "https://sub.front.example")], False),
        ([("origin", "https://front.example.evil.example")], False),
        ([("origin", "https://front.example"), ("origin", "https://front.example")], False),
        ([("origin", ""), ("sec-fetch-site", "cross-site")], False),
        ([("sec-fetch-site", "cross-site")], False),
    ],
)
async def test_a_trusted_origin_is_compared_exactly(
    clock: Clock, headers: Any, passes: bool
) -> None:
    _, client, _ = await signed_in(clock, trusted_origins=["https://front.example"])

    response = await client.post("/", headers=headers)

    assert response.status == (200 if passes else 403)


async def test_a_trusted_origin_may_sign_in(clock: Clock) -> None:
    issuer, client, _ = await signed_in(clock, trusted_origins=["https://front.example"])
    client.jar.clear()

    await client.post("/login", headers=[("origin", "https://front.example")])

    assert len(await issuer.sessions("mallory")) == 1


# --- login without our cookies --------------------------------------------------------------------

CROSS = [
    [FOREIGN],
    [("origin", "null")],
    [("sec-fetch-site", "cross-site")],
    [("sec-fetch-site", "same-site"), ("origin", "https://sub.app.example")],
    [("origin", f"https://{HOST}"), ("sec-fetch-site", "cross-site")],
]


@pytest.mark.parametrize("headers", CROSS)
@pytest.mark.parametrize("cookies", [{}, {"theme": "dark"}])
async def test_login_in_an_unsafe_request_of_another_origin_answers_403(
    clock: Clock, headers: Any, cookies: Any
) -> None:
    app = Recorder()
    client = browser(make_issuer(clock, store=MemoryStore()), clock, app)

    response = await client.post("/login", headers=headers, cookies=cookies)

    assert (response.status, app.runs, response.set_cookies) == (403, 1, [])


async def test_login_from_another_origin_signs_nobody_in(clock: Clock) -> None:
    spy = Spy()
    client = browser(make_issuer(clock, store=spy), clock, Recorder())

    await client.post("/login", headers=[FOREIGN])

    assert spy.count("add") == 0


async def test_login_from_another_origin_is_an_event(clock: Clock, events: list[Any]) -> None:
    issuer = make_issuer(clock, store=MemoryStore(), on_event=events.append)

    await browser(issuer, clock, Recorder()).post("/login", headers=[FOREIGN])

    [event] = events
    assert (event.name, event.reason) == ("cross_origin", "login")
    assert "https://evil.example" in event.detail


async def test_the_answer_to_a_login_from_another_origin_names_the_setting(clock: Clock) -> None:
    client = browser(make_issuer(clock, store=MemoryStore()), clock, Recorder())

    body = (await client.post("/login", headers=[FOREIGN])).body

    assert b"trusted_origins" in body


async def test_the_answer_to_a_refused_login_varies_and_is_kept_by_no_cache(
    clock: Clock,
) -> None:
    client = browser(make_issuer(clock, store=MemoryStore()), clock, Recorder())

    response = await client.post("/login", headers=[FOREIGN])

    assert response.header("vary") == "Cookie, Authorization"
    assert response.header("cache-control") == "private, no-store"


async def test_nothing_of_the_application_follows_a_refused_login(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())

    sent = await run(
        wrapped(issuer, Recorder()),
        http("/login", "POST", headers=[(b"origin", b"https://evil.example")]),
    )

    assert [m["type"] for m in sent] == ["http.response.start", "http.response.body"]
    assert b"mallory" not in sent[1]["body"]


async def test_an_early_commit_of_a_login_from_another_origin_raises(clock: Clock) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        auth = Auth.of(scope)
        auth.login("mallory")
        with pytest.raises(AccessDeniedError, match="trusted_origins"):
            await auth.commit()
        auth.logout()
        await answer(send, 204)

    client = browser(make_issuer(clock, store=MemoryStore()), clock, app)

    assert (await client.post("/", headers=[FOREIGN])).status == 204


@pytest.mark.parametrize("headers", [[], [("sec-fetch-site", "same-origin")], [("origin", "")]])
async def test_login_from_our_own_pages_signs_in(clock: Clock, headers: Any) -> None:
    issuer = make_issuer(clock, store=MemoryStore())

    response = await browser(issuer, clock, Recorder()).post("/login", headers=headers)

    assert (response.status, len(response.set_cookies)) == (200, 2)


async def test_login_in_a_safe_request_of_another_origin_signs_in(clock: Clock) -> None:
    """The redirect back from an identity provider is a cross-site GET."""
    client = browser(make_issuer(clock, store=MemoryStore()), clock, Recorder())
    headers = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]

    assert len((await client.get("/login", headers=headers)).set_cookies) == 2


async def test_a_failed_login_from_another_origin_keeps_its_own_answer(clock: Clock) -> None:
    client = browser(make_issuer(clock, store=MemoryStore()), clock, Recorder(status=401))

    response = await client.post("/login", headers=[FOREIGN])

    assert (response.status, response.set_cookies) == (401, [])


async def test_logout_from_another_origin_without_cookies_ends_no_session(clock: Clock) -> None:
    issuer, client, _ = await signed_in(clock)

    await client.post("/logout", headers=[FOREIGN], cookies={})

    assert len(await issuer.sessions("alice")) == 1


async def test_logout_from_another_origin_without_cookies_deletes_none(clock: Clock) -> None:
    _, client, _ = await signed_in(clock)

    response = await client.post("/logout", headers=[FOREIGN], cookies={})

    assert (response.status, response.set_cookies) == (200, [])


async def test_logout_from_another_origin_with_cookies_ends_no_session(clock: Clock) -> None:
    issuer, client, _ = await signed_in(clock)

    await client.post("/logout", headers=[FOREIGN])

    assert len(await issuer.sessions("alice")) == 1


# --- exempt paths ---------------------------------------------------------------------------------


async def test_on_an_exempt_path_our_cookies_are_ignored(clock: Clock) -> None:
    _, client, app = await signed_in(clock, cross_origin_exempt=["/cb"])

    response = await client.post("/cb", headers=[FOREIGN])

    assert (response.status, app.subject, app.reason) == (200, None, "exempt_path")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("wait", [0, 3600])
async def test_on_an_exempt_path_our_cookies_are_ignored_from_our_own_pages_too(
    clock: Clock, method: str, wait: float
) -> None:
    _, client, app = await signed_in(clock, cross_origin_exempt=["/cb"])
    await client.get("/")
    clock.advance(wait)

    response = await client.request("/cb", method, headers=[("sec-fetch-site", "same-origin")])

    assert (app.reason, response.set_cookies) == ("exempt_path", [])


async def test_on_an_exempt_path_another_origin_may_sign_in(clock: Clock) -> None:
    issuer, client, _ = await signed_in(clock, cross_origin_exempt=["/cb/login"])

    response = await client.post("/cb/login", headers=[FOREIGN])

    assert len(response.set_cookies) == 2
    assert len(await issuer.sessions("mallory")) == 1


async def test_a_login_on_an_exempt_path_leaves_the_ignored_session_alone(clock: Clock) -> None:
    issuer, client, _ = await signed_in(clock, cross_origin_exempt=["/cb/login"])

    await client.post("/cb/login", headers=[FOREIGN])

    assert len(await issuer.sessions("alice")) == 1


@pytest.mark.parametrize("path", ["/cb/", "/cb/x", "/CB", "//cb", "/x/cb", "/cbx", "/"])
async def test_an_exempt_path_is_exact(clock: Clock, path: str) -> None:
    _, client, _ = await signed_in(clock, cross_origin_exempt=["/cb"])

    assert (await client.post(path, headers=[FOREIGN])).status == 403


async def test_an_exempt_path_is_counted_from_the_root_path(clock: Clock) -> None:
    _, client, app = await signed_in(clock, cross_origin_exempt=["/cb"])

    await client.post("/api/cb", headers=[FOREIGN], scope={"root_path": "/api"})

    assert app.reason == "exempt_path"


async def test_a_bearer_still_counts_on_an_exempt_path(clock: Clock) -> None:
    issuer, client, app = await signed_in(clock, cross_origin_exempt=["/cb"])
    tokens = await issuer.issue("bob")
    header = ("authorization", f"Bearer {tokens.access_token}")

    await client.post("/cb", headers=[FOREIGN, header])

    assert app.subject == "bob"


def mounted(prefix: str) -> Starlette:
    async def login(request: Any) -> Any:
        Auth.of(request).login("mallory")
        return PlainTextResponse("")

    return Starlette(routes=[Mount(prefix, routes=[Route("/login", login, methods=["POST"])])])


async def test_an_exempt_path_below_a_mount_of_the_application_may_sign_in(clock: Clock) -> None:
    issuer = make_issuer(
        clock, store=MemoryStore(), config=Config(cross_origin_exempt=["/sso/login"])
    )

    response = await browser(issuer, clock, mounted("/sso")).post("/sso/login", headers=[FOREIGN])

    assert (response.status, len(response.set_cookies)) == (200, 2)


async def test_a_mount_of_the_application_makes_no_path_exempt_that_is_not(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore(), config=Config(cross_origin_exempt=["/login"]))

    response = await browser(issuer, clock, mounted("/sso")).post("/sso/login", headers=[FOREIGN])

    assert (response.status, await issuer.sessions("mallory")) == (403, [])


async def test_a_logout_below_a_mount_named_like_an_exempt_path_ends_the_session(
    clock: Clock,
) -> None:
    async def logout(request: Any) -> Any:
        Auth.of(request).logout()
        return PlainTextResponse("")

    app = Starlette(routes=[Mount("/sub", routes=[Route("/logout", logout)])])
    issuer = make_issuer(clock, store=MemoryStore(), config=Config(cross_origin_exempt=["/logout"]))
    client = fill(browser(issuer, clock, app), await issuer.issue("alice"))

    await client.get("/sub/logout")

    assert await issuer.sessions("alice") == []


# --- bearer, allow --------------------------------------------------------------------------------


def bearer(tokens: Tokens) -> tuple[str, str]:
    return "authorization", f"Bearer {tokens.access_token}"


async def test_a_good_bearer_is_not_origin_checked(clock: Clock) -> None:
    issuer, client, app = await signed_in(clock)
    tokens = await issuer.issue("bob")

    response = await client.post("/", headers=[FOREIGN, bearer(tokens)])

    assert (response.status, app.subject) == (200, "bob")


@pytest.mark.parametrize("value", ["Bearer x", "Basic x", "Bearer", ""])
async def test_a_bad_authorization_header_is_no_way_around_the_check(
    clock: Clock, value: str
) -> None:
    _, client, _ = await signed_in(clock)

    response = await client.post("/", headers=[FOREIGN, ("authorization", value)])

    assert response.status == 403


async def test_an_expired_bearer_is_no_way_around_the_check(clock: Clock) -> None:
    issuer, client, _ = await signed_in(clock)
    tokens = await issuer.issue("bob")
    clock.advance(3600)

    assert (await client.post("/", headers=[FOREIGN, bearer(tokens)])).status == 403


@pytest.mark.parametrize("keep", [True, False])
async def test_a_login_under_a_good_bearer_is_not_origin_checked(clock: Clock, keep: bool) -> None:
    issuer, client, _ = await signed_in(clock)
    tokens = await issuer.issue("bob")
    if not keep:
        client.jar.clear()

    await client.post("/login", headers=[FOREIGN, bearer(tokens)])

    assert len(await issuer.sessions("mallory")) == 1


async def test_a_login_under_a_bad_bearer_is_origin_checked(clock: Clock) -> None:
    issuer, client, _ = await signed_in(clock)
    client.jar.clear()

    await client.post("/login", headers=[FOREIGN, ("authorization", "Bearer x")])

    assert await issuer.sessions("mallory") == []


@pytest.mark.parametrize("headers", CROSS)
async def test_allow_lets_a_request_with_our_cookies_through(clock: Clock, headers: Any) -> None:
    _, client, app = await signed_in(clock, cross_origin="allow")

    response = await client.post("/", headers=headers)

    assert (response.status, app.subject) == (200, "alice")


@pytest.mark.parametrize("headers", CROSS)
async def test_allow_lets_a_login_through(clock: Clock, headers: Any) -> None:
    issuer, client, _ = await signed_in(clock, cross_origin="allow")
    client.jar.clear()

    await client.post("/login", headers=headers)

    assert len(await issuer.sessions("mallory")) == 1


async def test_a_refused_request_leaves_the_next_one_signed_in(clock: Clock) -> None:
    _, client, app = await signed_in(clock)
    clock.advance(3600)
    await client.post("/", headers=[FOREIGN])

    await client.get("/")

    assert app.subject == "alice"


async def test_an_oversize_cookie_header_is_no_way_to_sign_in(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    headers = [cookie_line(("a", "x" * 20_000)), (b"origin", b"https://evil.example")]

    sent = await run(wrapped(issuer, Recorder()), http("/login", "POST", headers=headers))

    assert (sent[0]["status"], set_cookies(sent)) == (403, [])


async def test_the_application_cannot_change_what_the_check_saw(clock: Clock) -> None:
    """An inner middleware that rewrites the scope in place is common (proxies, sub-routers)."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["method"] = "GET"
        scope["headers"] = []
        Auth.of(scope).login("mallory")
        await answer(send)

    issuer = make_issuer(clock, store=MemoryStore())

    await browser(issuer, clock, app).post("/", headers=[FOREIGN])

    assert await issuer.sessions("mallory") == []


async def test_the_application_cannot_hide_the_session_that_logout_ends(clock: Clock) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"cookie"]
        Auth.of(scope).logout()
        await answer(send)

    issuer, client, _ = await signed_in(clock, app)

    await client.post("/")

    assert await issuer.sessions("alice") == []
