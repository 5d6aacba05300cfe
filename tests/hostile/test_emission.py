"""What goes out with our cookies, and when none may (AB-22 to AB-24, AB-41 to AB-53)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from asgi_refresh import Auth, Config, Cookie, MemoryStore
from tests.hostile.tools import (
    ACCESS,
    REFRESH,
    Recorder,
    both,
    browser,
    fill,
    http,
    run,
    set_cookies,
    wrapped,
)
from tests.support import Browser, Clock, Response, answer, make_issuer

pytestmark = pytest.mark.anyio


def answering(*headers: tuple[bytes, bytes], status: int = 200, read: bool = False) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if read:
            assert Auth.of(scope).subject == "alice"
        await answer(send, status, headers=headers)

    return app


async def refreshed(clock: Clock, app: Any, method: str = "GET", **config: Any) -> Response:
    """The answer of *app* to a request whose refresh is due."""
    issuer = make_issuer(clock, store=MemoryStore(), config=Config(**config))
    client = fill(browser(issuer, clock, app), await issuer.issue("alice"))
    clock.advance(3600)
    return await client.send("/", method)


# --- the application's own cookies ----------------------------------------------------------------


@pytest.mark.parametrize("name", [b"set-cookie", b"Set-Cookie", b"SET-COOKIE"])
@pytest.mark.parametrize("cookie", [ACCESS, REFRESH])
async def test_a_cookie_of_ours_that_the_application_sets_itself_goes_out_once(
    clock: Clock, name: bytes, cookie: str
) -> None:
    own = f"{cookie}=mine; Path=/; Secure".encode()

    response = await refreshed(clock, answering((name, own)))

    assert response.cookies[cookie] == "mine"


@pytest.mark.parametrize(
    "line",
    [
        b"%b=; Max-Age=0; Path=/; Secure", b"%b=x; max-age=-1",
        b"%b=; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        b"%b=;MAX-AGE = 0", b" %b =x; Max-Age=0",
    ],
)  # fmt: skip
@pytest.mark.parametrize("cookie", [ACCESS, REFRESH])
async def test_an_application_that_deletes_a_cookie_of_ours_has_signed_out(
    clock: Clock, line: bytes, cookie: str
) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    app = answering((b"set-cookie", line % cookie.encode()))
    client = fill(browser(issuer, clock, app), await issuer.issue("alice"))
    clock.advance(3600)

    response = await client.get("/")

    assert await issuer.sessions("alice") == []
    assert len(response.set_cookies) == 2


async def test_an_application_that_deletes_another_cookie_has_not(clock: Clock) -> None:
    response = await refreshed(clock, answering((b"set-cookie", b"theme=; Max-Age=0")))

    assert len(response.set_cookies) == 3


# --- intents and the status -----------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 500])
async def test_with_an_error_a_logout_stands_and_the_login_after_it_does_not(
    clock: Clock, status: int
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        auth = Auth.of(scope)
        auth.logout()
        auth.login("bob")
        await answer(send, status)

    issuer = make_issuer(clock, store=MemoryStore())
    client = fill(browser(issuer, clock, app), await issuer.issue("alice"))

    response = await client.get("/")

    assert (await issuer.sessions("alice"), await issuer.sessions("bob")) == ([], [])
    assert response.cookies == {ACCESS: "", REFRESH: ""}


async def test_a_logout_shows_at_once(clock: Clock) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        auth = Auth.of(scope)
        auth.logout()
        seen.extend([auth.subject, auth.payload, auth.reason, bool(auth), auth.via])
        await answer(send)

    issuer = make_issuer(clock, store=MemoryStore())
    await fill(browser(issuer, clock, app), await issuer.issue("alice")).get("/")

    assert seen == [None, None, "logged_out", False, None]


# --- caches (HT-1 to HT-4) ------------------------------------------------------------------------

SHARED = [
    [(b"cache-control", b"public, max-age=31536000, immutable")],
    [(b"Cache-Control", b"max-age=60, S-MaxAge=60")],
    [(b"cache-control", b"max-age=60"), (b"cache-control", b"public")],
    [(b"cache-control", b"immutable")],
    [(b"cache-control", b"max-age=1,\tpublic\t")],
]
PRIVATE = [
    [],
    [(b"cache-control", b"max-age=600")],
    [(b"cache-control", b"private")],
    [(b"cache-control", b"republic, x-s-maxage=1")],
    [(b"expires", b"Thu, 01 Jan 2099 00:00:00 GMT"), (b"pragma", b"public")],
    [(b"cdn-cache-control", b"max-age=60"), (b"Surrogate-Control", b"max-age=60")],
]


@pytest.mark.parametrize("headers", SHARED)
async def test_a_refresh_waits_where_a_shared_cache_would_keep_the_response(
    clock: Clock, headers: Any
) -> None:
    response = await refreshed(clock, answering(*headers))

    assert (response.set_cookies, response.headers) == ([], headers)


@pytest.mark.parametrize("headers", PRIVATE)
@pytest.mark.parametrize("status", [200, 204, 206, 302, 304, 404, 500])
async def test_a_response_with_our_cookies_may_be_kept_by_nobody(
    clock: Clock, headers: Any, status: int
) -> None:
    response = await refreshed(clock, answering(*headers, status=status))

    assert len(response.set_cookies) == 2
    assert response.header("cache-control") == "private, no-store"
    assert response.header("vary") == "Cookie, Authorization"
    # Merged into what a cache has: there, what outranks Cache-Control is said, too.
    more = "no-store" if status in (206, 304) else None
    told = [response.header(name) for name in ("cdn-cache-control", "surrogate-control")]
    assert told == [more, more]
    assert (response.header("expires"), response.header("pragma")) == (None, None)


@pytest.mark.parametrize(("method", "said"), [("HEAD", "no-store"), ("GET", None)])
async def test_the_answer_to_head_is_merged_into_what_a_cache_has_too(
    clock: Clock, method: str, said: str | None
) -> None:
    response = await refreshed(clock, answering(), method)

    assert len(response.set_cookies) == 2
    assert response.header("cdn-cache-control") == said


@pytest.mark.parametrize("headers", SHARED)
@pytest.mark.parametrize("action", ["login", "logout"])
async def test_a_login_or_logout_goes_out_on_any_response(
    clock: Clock, headers: Any, action: str
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        auth = Auth.of(scope)
        auth.login("bob") if action == "login" else auth.logout()
        await answer(send, headers=headers)

    issuer = make_issuer(clock, store=MemoryStore())
    client = fill(browser(issuer, clock, app), await issuer.issue("alice"))

    response = await client.get("/")

    assert len(response.set_cookies) == 2
    assert response.header("cache-control") == "private, no-store"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], ["Cookie, Authorization"]),
        ([b"*"], ["*"]),
        ([b"cookie"], ["cookie, Authorization"]),
        ([b"Accept, \tCOOKIE "], ["Accept, \tCOOKIE, Authorization"]),
        ([b"Accept"], ["Accept, Cookie, Authorization"]),
        ([b"Accept", b"cookie"], ["Accept, cookie, Authorization"]),
        ([b"Accept-Cookie"], ["Accept-Cookie, Cookie, Authorization"]),
        ([b"Accept", b"*"], ["*"]),
    ],
)
@pytest.mark.parametrize("wait", [0, 3600])
async def test_cookie_is_a_member_of_vary_once(
    clock: Clock, given: list[bytes], expected: list[str], wait: float
) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    app = answering(*[(b"Vary", value) for value in given], read=True)
    client = fill(browser(issuer, clock, app), await issuer.issue("alice"))
    clock.advance(wait)

    assert (await client.get("/")).all("vary") == expected


async def test_a_response_to_a_request_that_nobody_asked_about_does_not_vary(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    client = fill(browser(issuer, clock, answering()), await issuer.issue("alice"))

    assert (await client.get("/")).headers == []


@pytest.mark.parametrize("signed_in", [True, False])
async def test_nor_does_one_that_was_looked_at_closely(clock: Clock, signed_in: bool) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    client = browser(issuer, clock, answering())
    if signed_in:
        fill(client, await issuer.issue("alice"))

    for headers in ([], [("authorization", "Basic x")]):
        assert (await client.post("/", headers=headers)).headers == []


@pytest.mark.parametrize(
    "asks",
    [
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
    ],
)
@pytest.mark.parametrize("signed_in", [True, False])
async def test_whoever_asks_anything_of_auth_gets_a_response_that_varies(
    clock: Clock, asks: Any, signed_in: bool
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        asks(Auth.of(scope))
        await answer(send)

    issuer = make_issuer(clock, store=MemoryStore())
    client = browser(issuer, clock, app)
    if signed_in:
        fill(client, await issuer.issue("alice"))

    assert (await client.get("/")).header("vary") == "Cookie, Authorization"


# --- methods (HT-5) -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "CONNECT"])
@pytest.mark.parametrize(
    ("sent", "reason"), [((REFRESH,), "not_refreshable"), ((ACCESS, REFRESH), "expired_token")]
)
async def test_a_method_that_carries_nothing_never_refreshes(
    clock: Clock, method: str, sent: tuple[str, ...], reason: str
) -> None:
    app = Recorder()
    issuer = make_issuer(clock, store=MemoryStore())
    client = fill(browser(issuer, clock, app), await issuer.issue("alice"))
    clock.advance(3600)
    cookies = {name: client.jar[name].value for name in sent}

    response = await client.send("/", method, cookies=cookies)

    assert (app.reason, response.set_cookies) == (reason, [])


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"])
async def test_every_other_method_refreshes(clock: Clock, method: str) -> None:
    assert len((await refreshed(clock, answering(), method)).set_cookies) == 2


@pytest.mark.parametrize("purpose", ["prefetch", "prefetch;prerender"])
async def test_a_prefetch_refreshes_and_a_lost_one_signs_nobody_out(
    clock: Clock, purpose: str
) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    client = fill(browser(issuer, clock, answering(read=True)), await issuer.issue("alice"))
    clock.advance(3600)
    assert len((await client.send("/", headers=[("sec-purpose", purpose)])).set_cookies) == 2
    clock.advance(3600)

    assert len((await client.get("/")).set_cookies) == 2


# --- the form of a cookie -------------------------------------------------------------------------


async def test_our_cookies_have_every_attribute_once(clock: Clock) -> None:
    response = await refreshed(clock, answering())

    pattern = (
        r"__Host-(access|refresh)=[\w.-]+; Max-Age=\d+; Path=/; Secure; HttpOnly; SameSite=Lax"
    )
    assert all(re.fullmatch(pattern, line) for line in response.set_cookies)


async def test_a_deletion_repeats_the_attributes_of_the_cookie(clock: Clock) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        Auth.of(scope).logout()
        await answer(send)

    config = Config(
        access_cookie=Cookie("at", domain="app.example", same_site="none", partitioned=True),
        refresh_cookie=Cookie("rt", domain="app.example", same_site="strict"),
    )
    issuer = make_issuer(clock, store=MemoryStore(), config=config)

    response = await Browser(wrapped(issuer, app), clock).send("/", "POST")

    assert response.set_cookies == [
        "at=; Max-Age=0; Path=/; Domain=app.example; Secure; HttpOnly; SameSite=None; Partitioned",
        "rt=; Max-Age=0; Path=/; Domain=app.example; Secure; HttpOnly; SameSite=Strict",
    ]


@pytest.mark.parametrize("subject", ["al;ice", "a,b", 'a"b', "al ice", "é🙂", "a=b", "a\u2028b"])
async def test_any_subject_travels_in_one_header_line(clock: Clock, subject: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        auth = Auth.of(scope)
        if scope["path"] == "/login":
            auth.login(subject)
        await answer(send, body=(auth.subject or "").encode())

    client = browser(make_issuer(clock, store=MemoryStore()), clock, app)
    await client.post("/login")
    clock.advance(3600)

    assert (await client.get("/")).body.decode() == subject


@pytest.mark.parametrize(
    ("subject", "claims"),
    [
        ("a\r\nSet-Cookie: x=y", None), ("a\x00", None), ("", None), ("x" * 256, None),
        (7, None), (None, None), ("\ud800", None), ("alice", {"exp": 1}), ("alice", {"sub": "x"}),
        ("alice", {"sid": "x"}), ("alice", {"gen": 9}), ("alice", {"x": object()}),
        ("alice", {"x": float("nan")}), ("alice", {"x": "y" * 4000}), ("alice", {1: 2}),
    ],
)  # fmt: skip
async def test_a_login_that_cannot_be_carried_raises_at_once_and_changes_nothing(
    clock: Clock, subject: Any, claims: Any
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        auth = Auth.of(scope)
        with pytest.raises(ValueError):  # noqa: PT011 - every one of them, whatever the words
            auth.login(subject, claims)
        assert auth.subject == "alice"
        await answer(send)

    issuer = make_issuer(clock, store=MemoryStore())
    scope = http(headers=[both(await issuer.issue("alice"))])

    assert set_cookies(await run(wrapped(issuer, app), scope)) == []
    assert len(await issuer.sessions("alice")) == 1


async def test_a_session_cookie_has_no_max_age(clock: Clock) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        Auth.of(scope).login("alice", persistent=False)
        await answer(send)

    response = await browser(make_issuer(clock, store=MemoryStore()), clock, app).post("/")

    assert not any("Max-Age" in line for line in response.set_cookies)
