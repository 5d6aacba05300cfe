"""Signing in and out: what is recorded, when it is committed, and that a logout always wins."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, get_args

import anyio
import anyio.to_thread
import pytest
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.exceptions import HTTPException, WebSocketException
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from asgi_refresh import (
    Auth,
    Config,
    Cookie,
    RefreshEndpoint,
    RefreshMiddleware,
    Session,
    get_auth,
    require_auth,
)
from asgi_refresh.errors import (
    AccessDeniedError,
    ClaimsUnavailable,
    Reason,
    StoreRequiredError,
    StoreUnavailable,
)
from tests.blackbox.helpers import (
    ACCESS,
    DAY,
    HOUR,
    MINUTE,
    REFRESH,
    TOMBSTONE,
    WINDOW,
    Gate,
    Gates,
    Site,
    Started,
    deleted,
    doing,
    given,
    held,
    lasting,
    make_site,
    messages_of,
    on_paths,
)
from tests.support import Browser, Clock, answer, whoami

pytestmark = pytest.mark.anyio

modes = pytest.mark.parametrize("stored", [True, False], ids=["rotating", "stateless"])
Act = Callable[[Auth], object]


def login(auth: Auth) -> None:
    auth.login("bob", {"role": "guest"})


def logout(auth: Auth) -> None:
    auth.logout()


def logout_everywhere(auth: Auth) -> None:
    auth.logout(everywhere=True)


def crashing(act: Act) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        act(Auth.of(scope))
        raise ZeroDivisionError

    return app


def silent(act: Act) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        act(Auth.of(scope))

    return app


def lingering(act: Act, gate: Gate) -> Any:
    """Acts, and then does not answer for as long as it is let."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        act(Auth.of(scope))
        await gate.enter()

    return app


async def alive(site: Site, subject: str = "alice") -> int:
    assert site.issuer.rotating is not None
    return len(await site.issuer.sessions(subject))


# --- login: committed only with a response below 400 ----------------------------------------------


@modes
async def test_a_login_sets_both_cookies_of_the_new_subject(clock: Clock, stored: bool) -> None:
    site = make_site(clock, doing(login), stored=stored)

    response = await site.browser.post("/")

    assert response.status == 200
    assert given(response) == {ACCESS, REFRESH} == set(response.cookies)
    assert response.header("cache-control") == "private, no-store"
    assert response.header("vary") == "Cookie, Authorization"
    payload = site.issuer.verify(response.cookies[ACCESS])
    assert (payload["sub"], payload["role"]) == ("bob", "guest")


@modes
async def test_subject_and_claims_of_a_login_show_at_once(clock: Clock, stored: bool) -> None:
    site = make_site(clock, doing(login), stored=stored)

    told = (await site.browser.post("/")).json()

    assert (told["subject"], told["via"], told["reason"]) == ("bob", "cookie", None)
    assert (told["payload"]["role"], told["refreshed"]) == ("guest", False)


@modes
async def test_the_session_id_that_a_login_shows_is_the_one_it_hands_out(
    clock: Clock, stored: bool
) -> None:
    site = make_site(clock, doing(login), stored=stored)

    response = await site.browser.post("/")

    handed = site.issuer.verify(response.cookies[ACCESS])
    assert response.json()["payload"]["sid"] == handed["sid"]


@modes
@pytest.mark.parametrize("status", [200, 204, 302, 303, 399])
async def test_a_login_with_a_status_below_400_stands(
    clock: Clock, status: int, stored: bool
) -> None:
    site = make_site(clock, on_paths(login=doing(login, status=status)), stored=stored)

    response = await site.browser.post("/login")

    assert (response.status, given(response)) == (status, {ACCESS, REFRESH})
    assert (await site.browser.get("/")).json()["subject"] == "bob"


@modes
@pytest.mark.parametrize("status", [400, 401, 403, 422, 500, 503])
async def test_a_login_with_an_error_status_signs_nobody_in(
    clock: Clock, status: int, stored: bool
) -> None:
    site = make_site(clock, doing(login, status=status), stored=stored)

    response = await site.browser.post("/")

    assert (response.status, response.set_cookies) == (status, [])
    assert site.named("issued") == []
    assert not stored or site.store.count("add") == 0


@modes
@pytest.mark.parametrize("status", [401, 500])
async def test_a_login_with_an_error_status_leaves_the_earlier_session_alone(
    clock: Clock, status: int, stored: bool
) -> None:
    site = make_site(clock, on_paths(login=doing(login, status=status)), stored=stored)
    await site.sign_in("alice")

    await site.browser.post("/login")

    assert (await site.browser.get("/")).json()["subject"] == "alice"


@modes
@pytest.mark.parametrize("app", [crashing(login), silent(login)], ids=["crash", "silence"])
async def test_a_login_without_a_response_signs_nobody_in(
    clock: Clock, app: Any, stored: bool
) -> None:
    site = make_site(clock, app, stored=stored)
    await site.sign_in("alice")
    old = site.browser.values()

    with contextlib.suppress(ZeroDivisionError):
        await messages_of(site.browser.app, site.browser.scope("/", "POST"))

    assert site.named("issued") == site.named("revoked") == []
    assert not stored or site.store.count("add", "revoke") == 0
    assert site.browser.values() == old


@pytest.mark.parametrize("fault", ["broken", "hanging"])
async def test_a_login_that_the_store_does_not_take_is_answered_503(
    clock: Clock, fault: str
) -> None:
    config = Config(store_timeout=timedelta(seconds=0.1))
    site = make_site(clock, doing(login, body=b"welcome"), config=config)
    getattr(site.store, fault).add("add")

    response = await site.browser.post("/")

    assert response.status == 503
    assert response.header("retry-after") == "1"
    assert response.set_cookies == []
    assert b"welcome" not in response.body
    assert response.header("cache-control") == "private, no-store"


async def test_a_failed_login_drops_every_message_of_the_application(clock: Clock) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        Auth.of(scope).login("bob")
        await send({"type": "http.response.start", "status": 200, "trailers": True})
        await send({"type": "http.response.body", "body": b"1", "more_body": True})
        await send({"type": "http.response.body", "body": b"2"})
        await send({"type": "http.response.trailers", "headers": []})
        await send({"type": "http.response.start", "status": 500})

    site = make_site(clock, app)
    site.store.broken.add("add")

    messages = await messages_of(site.browser.app, site.browser.scope("/", "POST"))

    assert [message["type"] for message in messages] == [
        "http.response.start",
        "http.response.body",
    ]
    assert messages[0]["status"] == 503


@modes
@pytest.mark.parametrize("loader", ["sync", "async"])
async def test_a_login_that_load_claims_refuses_is_answered_403(
    clock: Clock, loader: str, stored: bool
) -> None:
    async def refuse(session: Session) -> None:
        return None

    site = make_site(
        clock,
        doing(login, body=b"welcome"),
        stored=stored,
        load_claims=refuse if loader == "async" else lambda session: None,
    )

    response = await site.browser.post("/")

    assert (response.status, response.set_cookies) == (403, [])
    assert b"welcome" not in response.body
    assert site.named("issued") == []
    assert not stored or site.store.count("add") == 0


@modes
@pytest.mark.parametrize("fault", ["raises", "hangs", "reserved", "not JSON", "oversize"])
async def test_a_login_whose_claims_cannot_be_loaded_is_answered_503(
    clock: Clock, fault: str, stored: bool
) -> None:
    async def load(session: Session) -> dict[str, Any]:
        if fault == "raises":
            raise OSError
        if fault == "hangs":
            await anyio.sleep_forever()
        bad = {"reserved": {"sub": "root"}, "not JSON": {"x": object()}}
        return bad.get(fault, {"x": "x" * 5000})

    config = Config(store_timeout=timedelta(seconds=0.1 if fault == "hangs" else 5))
    site = make_site(clock, doing(login), stored=stored, load_claims=load, config=config)

    response = await site.browser.post("/")

    assert (response.status, response.set_cookies) == (503, [])
    assert response.header("retry-after") is not None
    assert not stored or site.store.count("add") == 0


@modes
async def test_a_login_carries_what_load_claims_says(clock: Clock, stored: bool) -> None:
    site = make_site(
        clock, doing(login), stored=stored, load_claims=lambda session: {"role": "loaded"}
    )

    response = await site.browser.post("/")

    assert site.issuer.verify(response.cookies[ACCESS])["role"] == "loaded"


@pytest.mark.parametrize(
    "bad",
    [{"sub": "x"}, {"exp": 1}, {"auth_time": 1}, {"x": {1, 2}}, {"x": float("nan")}, {1: 1}],
    ids=repr,
)
@modes
async def test_login_raises_at_once_for_claims_that_cannot_be_carried(
    clock: Clock, bad: Any, stored: bool
) -> None:
    def act(auth: Auth) -> None:
        with pytest.raises(ValueError, match=r"claim|JSON"):
            auth.login("bob", bad)

    site = make_site(clock, doing(act), stored=stored)
    await site.sign_in("alice")

    response = await site.browser.post("/")

    assert response.json()["subject"] == "alice"
    assert response.set_cookies == []


# --- login: what becomes of the earlier session ---------------------------------------------------


async def test_a_login_ends_the_session_that_came_along(clock: Clock) -> None:
    site = make_site(clock, doing(login))
    await site.sign_in("alice")

    await site.browser.post("/")

    assert (await alive(site, "alice"), await alive(site, "bob")) == (0, 1)


@pytest.mark.parametrize("kept", [ACCESS, REFRESH])
async def test_a_login_ends_the_session_of_whichever_cookie_came(clock: Clock, kept: str) -> None:
    site = make_site(clock, doing(login))
    await site.sign_in("alice")
    site.browser.drop(*({ACCESS, REFRESH} - {kept}))
    clock.advance(HOUR)

    await site.browser.post("/")

    assert await alive(site, "alice") == 0


async def test_a_login_ends_every_session_whose_cookies_came_along_and_not_the_bearers(
    clock: Clock,
) -> None:
    site = make_site(clock, doing(login))
    await site.sign_in("carol")
    carols = site.browser.values()[REFRESH]
    tokens = await site.issuer.issue("dave")
    await site.sign_in("alice")
    site.browser.put(REFRESH, carols)

    await site.browser.post("/", headers=[("authorization", f"Bearer {tokens.access_token}")])

    left = [await alive(site, subject) for subject in ("alice", "carol", "dave", "bob")]
    assert left == [0, 0, 1, 1]


async def test_a_login_with_a_bearer_present_ends_the_cookie_session(clock: Clock) -> None:
    site = make_site(clock, doing(login))
    tokens = await site.issuer.issue("dave")
    await site.sign_in("alice")

    response = await site.browser.post(
        "/", headers=[("authorization", f"Bearer {tokens.access_token}")]
    )

    assert given(response) == {ACCESS, REFRESH}
    assert await alive(site, "alice") == 0


async def test_a_failed_revoke_of_the_earlier_session_lets_the_login_stand(clock: Clock) -> None:
    site = make_site(clock, on_paths(login=doing(login)))
    await site.sign_in("alice")
    site.store.broken.add("revoke")

    response = await site.browser.post("/login")

    assert (response.status, given(response)) == (200, {ACCESS, REFRESH})
    assert [event.reason for event in site.named("store_unavailable")] == ["revoke"]
    assert (await site.browser.get("/")).json()["subject"] == "bob"


async def test_a_login_that_failed_leaves_the_earlier_session_alive(clock: Clock) -> None:
    site = make_site(clock, doing(login))
    await site.sign_in("alice")
    site.store.broken.add("add")

    await site.browser.post("/")

    assert await alive(site, "alice") == 1


@modes
async def test_a_login_always_begins_a_new_session(clock: Clock, stored: bool) -> None:
    site = make_site(clock, stored=stored)
    ids = [(await site.browser.post("/login")).json()["payload"]["sid"] for _ in range(3)]

    assert len(set(ids)) == 3
    assert not stored or await alive(site) == 1


@modes
async def test_a_login_while_a_refresh_is_due_wins(clock: Clock, stored: bool) -> None:
    site = make_site(clock, on_paths(login=doing(login)), stored=stored)
    await site.sign_in("alice")
    clock.advance(HOUR)

    response = await site.browser.post("/login")

    assert len(response.set_cookies) == 2 + (not stored)  # the tombstone of the old session
    assert (await site.browser.get("/")).json()["subject"] == "bob"


async def test_a_login_beyond_max_sessions_ends_the_oldest(clock: Clock) -> None:
    site = make_site(clock, config=Config(max_sessions=2))
    first = await site.sign_in("alice")
    clock.advance(1)
    await site.issuer.issue("alice")
    clock.advance(1)
    site.browser.drop(ACCESS, REFRESH)

    await site.browser.post("/login")

    left = {session.id for session in await site.issuer.sessions("alice")}
    assert len(left) == 2
    assert first not in left


# --- login: from wherever it is called ------------------------------------------------------------


@modes
async def test_login_and_logout_work_in_a_thread(clock: Clock, stored: bool) -> None:
    def sign_in(request: Request) -> JSONResponse:
        Auth.of(request).login("bob")
        return JSONResponse({})

    def sign_out(request: Request) -> JSONResponse:
        Auth.of(request).logout()
        return JSONResponse({})

    def me(request: Request) -> JSONResponse:
        return JSONResponse({"subject": Auth.of(request).subject})

    routes = [
        Route("/in", sign_in, methods=["POST"]),
        Route("/out", sign_out, methods=["POST"]),
        Route("/", me),
    ]
    site = make_site(clock, Starlette(routes=routes), stored=stored)

    await site.browser.post("/in")
    signed_in = await site.browser.get("/")
    await site.browser.post("/out")
    signed_out = await site.browser.get("/")

    assert [signed_in.json(), signed_out.json()] == [{"subject": "bob"}, {"subject": None}]


@modes
@pytest.mark.parametrize("act", [login, logout])
async def test_after_the_response_has_started_it_is_too_late(
    clock: Clock, act: Act, stored: bool
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        auth = Auth.of(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        with pytest.raises(RuntimeError, match=r"issuer\.revoke\(auth\.session_id\)"):
            act(auth)
        with pytest.raises(RuntimeError, match=r"issuer\.revoke\(auth\.session_id\)"):
            await auth.commit()
        await send({"type": "http.response.body"})

    site = make_site(clock, app, stored=stored)
    await site.sign_in("alice")
    for _ in range(2):  # once far from expiry, once due
        await site.browser.get("/")
        clock.advance(HOUR)

    assert site.named("revoked") == site.named("issued") == []


@pytest.mark.parametrize("act", [login, logout])
async def test_after_a_response_that_carries_a_login_has_started_it_is_too_late(
    clock: Clock, act: Act
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        login(Auth.of(scope))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        with pytest.raises(RuntimeError, match="too late"):
            act(Auth.of(scope))
        await send({"type": "http.response.body"})

    site = make_site(clock, app)

    assert given(await site.browser.post("/")) == {ACCESS, REFRESH}
    assert len(site.named("issued")) == 1


@pytest.mark.parametrize("act", [login, logout])
async def test_after_the_request_it_is_too_late(clock: Clock, act: Act) -> None:
    kept: list[Auth] = []
    site = make_site(clock, doing(kept.append))
    await site.sign_in("alice")
    await site.browser.get("/")

    with pytest.raises(RuntimeError, match=r"issuer\.revoke"):
        act(kept[0])


@pytest.mark.parametrize("act", [login, logout])
async def test_after_a_request_without_a_response_it_is_too_late(clock: Clock, act: Act) -> None:
    kept: list[Auth] = []
    site = make_site(clock, silent(kept.append))
    await site.sign_in("alice")
    await messages_of(site.browser.app, site.browser.scope("/", "GET"))

    with pytest.raises(RuntimeError, match=r"issuer\.revoke"):
        act(kept[0])


@modes
async def test_a_websocket_signs_nobody_in(clock: Clock, stored: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        with pytest.raises(RuntimeError, match="WebSocket"):
            Auth.of(scope).login("bob")
        await send({"type": "websocket.accept"})

    site = make_site(clock, app, stored=stored)

    (accept,) = await site.browser.websocket()

    assert b"set-cookie" not in dict(accept.get("headers", ()))


async def test_a_websocket_may_sign_out(clock: Clock) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        Auth.of(scope).logout()
        await send({"type": "websocket.accept"})

    site = make_site(clock, app)
    await site.sign_in()

    (accept,) = await site.browser.websocket()

    cookies = [value for name, value in accept["headers"] if name == b"set-cookie"]
    assert len(cookies) == 2
    assert all(b"=; Max-Age=0; " in cookie for cookie in cookies)
    assert await alive(site) == 0


@pytest.mark.parametrize("fault", [True, False])
async def test_a_websocket_that_cannot_sign_out_is_closed(clock: Clock, fault: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        Auth.of(scope).logout()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "hello"})

    site = make_site(clock, app)
    await site.sign_in()
    if fault:
        site.store.broken.add("revoke")

    sent = await site.browser.websocket()

    expected = ["websocket.close"] if fault else ["websocket.accept", "websocket.send"]
    assert [message["type"] for message in sent] == expected


# --- cross-origin sign-in -------------------------------------------------------------------------


CROSS = (("sec-fetch-site", "cross-site"), ("origin", "https://evil.example"))


@modes
async def test_a_login_from_another_origin_is_refused_with_its_name(
    clock: Clock, stored: bool
) -> None:
    site = make_site(clock, doing(login), stored=stored)

    response = await site.browser.post("/", headers=CROSS)

    assert (response.status, response.set_cookies) == (403, [])
    assert b"https://evil.example" in response.body
    assert b"trusted_origins" in response.body
    (event,) = site.named("cross_origin")
    assert event.reason == "login"
    assert event.detail is not None
    assert "https://evil.example" in event.detail
    assert "trusted_origins" in event.detail


@pytest.mark.parametrize(
    "config",
    [
        Config(cross_origin="allow"),
        Config(trusted_origins=["https://evil.example"]),
        Config(cross_origin_exempt=["/callback"]),
    ],
    ids=["allow", "trusted", "exempt"],
)
async def test_a_login_from_another_origin_stands_where_it_is_allowed(
    clock: Clock, config: Config
) -> None:
    site = make_site(clock, doing(login), config=config)

    response = await site.browser.post("/callback", headers=CROSS)

    assert (response.status, given(response)) == (200, {ACCESS, REFRESH})


async def test_a_login_with_a_bearer_is_not_asked_for_its_origin(clock: Clock) -> None:
    site = make_site(clock, doing(login))
    tokens = await site.issuer.issue("alice")

    response = await site.browser.post(
        "/", headers=[*CROSS, ("authorization", f"Bearer {tokens.access_token}")]
    )

    assert (response.status, given(response)) == (200, {ACCESS, REFRESH})


async def test_an_exempt_path_ends_no_session_of_the_cookies_it_ignores(clock: Clock) -> None:
    site = make_site(clock, doing(login), config=Config(cross_origin_exempt=["/callback"]))
    await site.sign_in("alice")

    await site.browser.post("/callback", headers=CROSS)

    assert await alive(site, "alice") == 1


# --- logout: it always reaches the store ----------------------------------------------------------


@modes
@pytest.mark.parametrize("status", [200, 302, 401, 500])
async def test_a_logout_deletes_both_cookies_whatever_the_status(
    clock: Clock, status: int, stored: bool
) -> None:
    site = make_site(clock, on_paths(logout=doing(logout, status=status)), stored=stored)
    await site.sign_in()

    response = await site.browser.post("/logout")

    assert response.status == status
    assert deleted(response) == {ACCESS, REFRESH}
    assert given(response) == ({TOMBSTONE} if not stored else set())
    assert [event.reason for event in site.named("revoked")] == ["logout"]
    assert (await site.browser.get("/")).json()["subject"] is None


@modes
async def test_a_logout_shows_at_once(clock: Clock, stored: bool) -> None:
    site = make_site(clock, stored=stored)
    await site.sign_in()

    told = (await site.browser.post("/logout")).json()

    assert (told["subject"], told["payload"], told["via"]) == (None, None, None)
    assert told["reason"] == "logged_out"


async def test_the_deletions_repeat_every_attribute(clock: Clock) -> None:
    config = Config(
        access_cookie=Cookie("at", path="/app", domain="example.com", same_site="strict"),
        refresh_cookie=Cookie("__Secure-rt", domain="example.com", same_site="lax"),
    )
    site = make_site(clock, doing(logout), config=config)
    await site.sign_in()

    response = await site.browser.post("/")

    rest = "Domain=example.com; Secure; HttpOnly;"
    assert sorted(response.set_cookies) == [
        f"__Secure-rt=; Max-Age=0; Path=/; {rest} SameSite=Lax",
        f"at=; Max-Age=0; Path=/app; {rest} SameSite=Strict",
    ]


@modes
async def test_a_logout_without_a_session_deletes_the_cookies(clock: Clock, stored: bool) -> None:
    site = make_site(clock, doing(logout), stored=stored)

    response = await site.browser.post("/")

    assert deleted(response) == {ACCESS, REFRESH} == set(response.cookies)
    assert site.named("revoked") == []


async def test_the_access_token_of_a_session_that_logged_out_is_refused(clock: Clock) -> None:
    site = make_site(clock)
    await site.sign_in()
    copy = site.browser.fork()
    await site.browser.post("/logout")
    copy.drop(REFRESH)

    response = await copy.get("/")

    assert response.json()["reason"] == "revoked_token"


async def test_a_logout_ends_the_session_of_a_bearer_and_those_of_the_cookies(
    clock: Clock,
) -> None:
    site = make_site(clock, doing(logout))
    await site.sign_in("carol")
    carols = site.browser.values()[REFRESH]
    tokens = await site.issuer.issue("dave")
    await site.sign_in("alice")
    site.browser.put(REFRESH, carols)

    await site.browser.post("/", headers=[("authorization", f"Bearer {tokens.access_token}")])

    assert [await alive(site, subject) for subject in ("alice", "carol", "dave")] == [0, 0, 0]


async def test_a_logout_ends_no_session_of_a_header_that_is_not_looked_at(clock: Clock) -> None:
    site = make_site(clock, doing(logout), config=Config(bearer=False))
    tokens = await site.issuer.issue("dave")
    await site.sign_in("alice")

    await site.browser.post("/", headers=[("authorization", f"Bearer {tokens.access_token}")])

    assert [await alive(site, subject) for subject in ("alice", "dave")] == [0, 1]


async def test_a_logout_on_an_exempt_path_ends_no_session_of_the_cookies_it_ignores(
    clock: Clock,
) -> None:
    site = make_site(clock, doing(logout), config=Config(cross_origin_exempt=["/callback"]))
    await site.sign_in("alice")

    await site.browser.post("/callback")

    assert await alive(site, "alice") == 1


@pytest.mark.parametrize("app", [crashing(logout), silent(logout)], ids=["crash", "silence"])
@pytest.mark.parametrize("was_due", [True, False])
async def test_a_logout_without_a_response_ends_the_session(
    clock: Clock, app: Any, was_due: bool
) -> None:
    site = make_site(clock, app)
    await site.sign_in()
    if was_due:
        clock.advance(HOUR)

    with contextlib.suppress(ZeroDivisionError):
        await messages_of(site.browser.app, site.browser.scope("/", "POST"))

    assert await alive(site) == 0


@pytest.mark.parametrize("app", [crashing(logout_everywhere), silent(logout_everywhere)])
async def test_a_logout_everywhere_without_a_response_ends_every_session(
    clock: Clock, app: Any
) -> None:
    site = make_site(clock, app)
    await site.issuer.issue("alice")
    await site.sign_in()

    with contextlib.suppress(ZeroDivisionError):
        await messages_of(site.browser.app, site.browser.scope("/", "POST"))

    assert await alive(site) == 0


async def test_a_logout_in_a_request_that_is_cancelled_ends_the_session(clock: Clock) -> None:
    gate = Gate()
    site = make_site(clock, lingering(logout, gate))
    await site.sign_in()

    async with Started(lambda: site.browser.post("/")) as request:
        await gate.arrival()
        request.scope.cancel()

    assert await alive(site) == 0


@pytest.mark.parametrize("operation", ["revoke"])
@pytest.mark.parametrize("side", ["before", "after"])
async def test_a_logout_that_is_cancelled_while_it_is_written_ends_the_session(
    clock: Clock, operation: str, side: str
) -> None:
    gate = Gate()
    site = make_site(clock, doing(logout), config=lasting())
    await site.sign_in()
    getattr(site.store, side)[operation] = gate

    async with Started(lambda: site.browser.post("/")) as request:
        await gate.arrival()
        request.scope.cancel()
        getattr(site.store, side).clear()
        gate.open()

    assert await alive(site) == 0


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_logout_in_a_cancelled_asyncio_task_ends_the_session(clock: Clock) -> None:
    gate = Gate()
    site = make_site(clock, lingering(logout, gate))
    await site.sign_in()

    task = asyncio.create_task(site.browser.send("/", "POST"))  # type: ignore[arg-type]
    await gate.arrival()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await alive(site) == 0


async def test_a_logout_whose_client_left_ends_the_session(clock: Clock) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        Auth.of(scope).logout()
        while (await receive())["type"] != "http.disconnect":
            pass

    site = make_site(clock, app)
    await site.sign_in()

    assert await messages_of(site.browser.app, site.browser.scope("/", "POST")) == []

    assert await alive(site) == 0


async def test_a_logout_whose_response_cannot_be_sent_ends_the_session(clock: Clock) -> None:
    site = make_site(clock, doing(logout))
    await site.sign_in()

    async def gone(message: Any) -> None:
        raise OSError

    with pytest.raises(OSError, match=r"^$"):
        await site.browser.app(site.browser.scope("/", "POST"), None, gone)

    assert await alive(site) == 0


async def test_a_logout_without_a_response_is_bounded_in_time(clock: Clock) -> None:
    site = make_site(clock, crashing(logout), config=Config(store_timeout=timedelta(seconds=0.1)))
    await site.sign_in()
    site.store.hanging.add("revoke")

    with anyio.fail_after(5), pytest.raises(ZeroDivisionError):
        await site.browser.post("/")


async def test_a_logout_is_written_once(clock: Clock) -> None:
    site = make_site(clock, doing(logout))
    await site.sign_in()

    await site.browser.post("/")

    assert site.store.count("revoke") == 1


@pytest.mark.parametrize("act", [logout, logout_everywhere])
@pytest.mark.parametrize("fault", ["broken", "hanging"])
async def test_a_logout_that_the_store_does_not_take_is_answered_503_and_deletes_the_cookies(
    clock: Clock, act: Act, fault: str
) -> None:
    config = Config(store_timeout=timedelta(seconds=0.1))
    site = make_site(clock, doing(act, body=b"good bye"), config=config)
    await site.sign_in()
    getattr(site.store, fault).update({"revoke", "find", "revoke_subject"})

    response = await site.browser.post("/")

    assert response.status == 503
    assert response.header("retry-after") == "1"
    assert response.header("cache-control") == "private, no-store"
    assert deleted(response) == {ACCESS, REFRESH}
    assert b"good bye" not in response.body


async def test_a_logout_that_failed_is_not_tried_again_behind_the_answer(clock: Clock) -> None:
    site = make_site(clock, doing(logout))
    await site.sign_in()
    site.store.broken.add("revoke")

    await site.browser.post("/")

    assert site.store.count("revoke") == 1


async def test_an_answer_that_deletes_cookies_varies_with_them(clock: Clock) -> None:
    site = make_site(clock, doing(logout))
    await site.sign_in()
    site.store.broken.add("revoke")

    response = await site.browser.post("/")

    assert response.header("vary") == "Cookie, Authorization"


async def test_a_failed_logout_drops_every_message_of_the_application(clock: Clock) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        Auth.of(scope).logout()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"1", "more_body": True})
        await send({"type": "http.response.body", "body": b"2"})

    site = make_site(clock, app)
    await site.sign_in()
    site.store.broken.add("revoke")

    messages = await messages_of(site.browser.app, site.browser.scope("/", "POST"))

    assert [(m["type"], m.get("status")) for m in messages] == [
        ("http.response.start", 503),
        ("http.response.body", None),
    ]


async def test_a_logout_overwrites_what_the_application_said_to_caches(clock: Clock) -> None:
    site = make_site(clock, doing(logout, headers=[(b"cache-control", b"public, max-age=60")]))
    await site.sign_in()

    response = await site.browser.post("/")

    assert deleted(response) == {ACCESS, REFRESH}
    assert response.header("cache-control") == "private, no-store"


async def test_a_login_overwrites_what_the_application_said_to_caches(clock: Clock) -> None:
    site = make_site(clock, doing(login, headers=[(b"cache-control", b"public, max-age=60")]))

    response = await site.browser.post("/")

    assert given(response) == {ACCESS, REFRESH}
    assert response.header("cache-control") == "private, no-store"


@pytest.mark.parametrize("end", [crashing, silent])
async def test_a_logout_followed_by_a_login_that_comes_to_nothing_is_still_one(
    clock: Clock, end: Callable[[Act], Any]
) -> None:
    def act(auth: Auth) -> None:
        auth.logout()
        auth.login("bob")

    site = make_site(clock, end(act))
    await site.sign_in("alice")

    with contextlib.suppress(ZeroDivisionError):
        await messages_of(site.browser.app, site.browser.scope("/", "POST"))

    assert (await alive(site, "alice"), await alive(site, "bob")) == (0, 0)


@pytest.mark.parametrize("act", [logout, logout_everywhere])
async def test_a_logout_followed_by_a_login_with_an_error_status_is_still_one(
    clock: Clock, act: Act
) -> None:
    def both(auth: Auth) -> None:
        act(auth)
        auth.login("bob")

    site = make_site(clock, on_paths(both=doing(both, status=401)))
    await site.sign_in("alice")

    response = await site.browser.post("/both")

    assert response.status == 401
    assert (await alive(site, "alice"), await alive(site, "bob")) == (0, 0)
    assert (await site.browser.get("/")).json()["subject"] is None


@pytest.mark.parametrize("act", [logout, logout_everywhere])
@pytest.mark.parametrize("fault", ["refused", "unavailable"])
async def test_a_logout_followed_by_a_login_that_is_not_granted_is_still_one(
    clock: Clock, act: Act, fault: str
) -> None:
    def both(auth: Auth) -> None:
        act(auth)
        auth.login("bob")

    async def load(session: Session) -> dict[str, Any] | None:
        if session.subject == "alice":
            return {}
        if fault == "unavailable":
            raise OSError
        return None

    site = make_site(clock, on_paths(both=doing(both)), load_claims=load)
    await site.sign_in("alice")

    response = await site.browser.post("/both")

    assert response.status == (403 if fault == "refused" else 503)
    assert given(response) == set()
    assert (await alive(site, "alice"), await alive(site, "bob")) == (0, 0)
    assert (await site.browser.get("/")).json()["subject"] is None


async def test_a_logout_followed_by_a_login_ends_the_session_of_a_bearer_too(
    clock: Clock,
) -> None:
    def both(auth: Auth) -> None:
        auth.logout()
        auth.login("bob")

    site = make_site(clock, doing(both))
    tokens = await site.issuer.issue("dave")
    await site.sign_in("alice")

    await site.browser.post("/", headers=[("authorization", f"Bearer {tokens.access_token}")])

    assert [await alive(site, subject) for subject in ("alice", "dave", "bob")] == [0, 0, 1]


@modes
async def test_a_logout_asked_for_by_another_site_deletes_nothing(
    clock: Clock, stored: bool
) -> None:
    """SameSite kept our cookies at home: a logout that brought none must not reach them."""
    site = make_site(clock, stored=stored)

    response = await site.browser.post("/logout", headers=CROSS)

    assert (response.status, response.set_cookies) == (200, [])


@modes
async def test_the_last_of_login_and_logout_counts(clock: Clock, stored: bool) -> None:
    def out_last(auth: Auth) -> None:
        auth.login("bob")
        auth.logout()

    def in_last(auth: Auth) -> None:
        auth.logout()
        auth.login("bob")

    site = make_site(clock, on_paths(a=doing(out_last), b=doing(in_last)), stored=stored)
    await site.sign_in("alice")

    out = await site.browser.post("/a")
    after_out = (await site.browser.get("/")).json()["subject"]
    await site.browser.post("/b")
    after_in = (await site.browser.get("/")).json()["subject"]

    assert deleted(out) == {ACCESS, REFRESH}
    assert (after_out, after_in) == (None, "bob")


# --- everywhere -----------------------------------------------------------------------------------


async def test_a_logout_everywhere_ends_every_session_of_the_subject_and_no_other(
    clock: Clock,
) -> None:
    site = make_site(clock)
    laptop = site.browser.fork()
    await site.sign_in("alice", browser=laptop)
    await site.issuer.issue("carol")
    await site.sign_in("alice")

    response = await site.browser.post("/logout/everywhere")

    assert deleted(response) == {ACCESS, REFRESH}
    assert (await alive(site, "alice"), await alive(site, "carol")) == (0, 1)
    assert (await laptop.get("/")).json()["subject"] is None


async def test_a_logout_everywhere_and_a_login_keep_the_new_session_alone(clock: Clock) -> None:
    def act(auth: Auth) -> None:
        auth.logout(everywhere=True)
        auth.login("alice")

    site = make_site(clock, on_paths(change=doing(act)))
    laptop = site.browser.fork()
    await site.sign_in("alice", browser=laptop)
    await site.sign_in("alice")

    response = await site.browser.post("/change")

    assert given(response) == {ACCESS, REFRESH}
    assert [session.id for session in await site.issuer.sessions("alice")] == [
        site.issuer.verify(response.cookies[ACCESS])["sid"]
    ]
    assert (await site.browser.get("/")).json()["subject"] == "alice"
    assert (await laptop.get("/")).json()["subject"] is None


async def test_a_logout_can_still_become_one_everywhere(clock: Clock) -> None:
    def act(auth: Auth) -> None:
        auth.logout()
        auth.logout(everywhere=True)

    site = make_site(clock, doing(act))
    await site.issuer.issue("alice")
    await site.sign_in("alice")

    await site.browser.post("/")

    assert await alive(site, "alice") == 0


async def test_a_logout_everywhere_stays_one_when_logout_is_called_again(clock: Clock) -> None:
    def act(auth: Auth) -> None:
        auth.logout(everywhere=True)
        auth.logout()

    site = make_site(clock, doing(act))
    await site.issuer.issue("alice")
    await site.sign_in("alice")

    await site.browser.post("/")

    assert await alive(site, "alice") == 0


async def test_without_a_store_there_is_no_everywhere(clock: Clock) -> None:
    def act(auth: Auth) -> None:
        with pytest.raises(StoreRequiredError):
            auth.logout(everywhere=True)

    site = make_site(clock, doing(act), stored=False)
    await site.sign_in("alice")

    response = await site.browser.post("/")

    assert response.json()["subject"] == "alice"
    assert response.set_cookies == []


# --- a logout at every point between look and write -----------------------------------------------


async def revoke(site: Site, session_id: str) -> None:
    """Elsewhere: another process, so that nothing in this one is told."""
    assert site.issuer.rotating is not None
    await site.store.store.revoke(session_id, site.issuer.rotating.revocation(session_id))


async def assert_over(site: Site) -> None:
    """The session does not come back, whatever the browser has."""
    assert await alive(site) == 0
    for _ in range(3):
        assert (await site.browser.get("/")).json()["subject"] is None
        site.clock.advance(WINDOW)
    assert await alive(site) == 0


async def test_a_logout_while_the_handler_runs_lets_no_cookie_out(clock: Clock) -> None:
    gate = Gate()
    site = make_site(clock, held(gate), config=lasting())
    session_id = await site.sign_in()
    clock.advance(HOUR)

    async with Started(lambda: site.browser.get("/slow")) as request:
        await gate.arrival()
        await revoke(site, session_id)
        gate.open()
        response = await request.answer()

    assert response.set_cookies == []
    await assert_over(site)


async def test_a_logout_request_while_a_handler_runs_lets_no_cookie_out(clock: Clock) -> None:
    gate = Gate()
    site = make_site(clock, held(gate), config=lasting())
    await site.sign_in()
    clock.advance(HOUR)

    async with Started(lambda: site.browser.send("/slow")) as request:
        await gate.arrival()
        await site.browser.post("/logout")
        gate.open()
        response = await request.answer()
    site.browser.deliver(response)

    assert response.set_cookies == []
    await assert_over(site)


@pytest.mark.parametrize("side", ["before", "after"])
async def test_a_logout_while_the_look_reads_lets_no_cookie_out(clock: Clock, side: str) -> None:
    gate = Gate()
    site = make_site(clock, config=lasting())
    session_id = await site.sign_in()
    clock.advance(HOUR)
    getattr(site.store, side)["get"] = gate

    async with Started(lambda: site.browser.get("/")) as request:
        await gate.arrival()
        await revoke(site, session_id)
        gate.open()
        response = await request.answer()

    assert response.json()["subject"] == (None if side == "before" else "alice")
    assert response.set_cookies == []
    await assert_over(site)


async def test_a_logout_while_the_write_is_on_its_way_lets_no_cookie_out(clock: Clock) -> None:
    gate = Gate()
    site = make_site(clock, config=lasting())
    session_id = await site.sign_in()
    clock.advance(HOUR)
    site.store.before["replace"] = gate

    async with Started(lambda: site.browser.get("/")) as request:
        await gate.arrival()
        await revoke(site, session_id)
        gate.open()
        response = await request.answer()

    assert response.set_cookies == []
    await assert_over(site)


async def test_a_logout_right_after_the_write_is_not_undone(clock: Clock) -> None:
    gate = Gate()
    site = make_site(clock, config=lasting())
    session_id = await site.sign_in()
    clock.advance(HOUR)
    site.store.after["replace"] = gate

    async with Started(lambda: site.browser.get("/")) as request:
        await gate.arrival()
        await revoke(site, session_id)
        gate.open()
        await request.answer()

    clock.advance(2)  # the poll of the revocations
    await assert_over(site)


async def test_a_logout_before_a_repeat_lets_no_cookie_out(clock: Clock) -> None:
    gate = Gate()
    site = make_site(clock, held(gate), config=lasting())
    session_id = await site.sign_in()
    clock.advance(HOUR)
    await site.browser.send("/")  # rotates; its response is lost

    async with Started(lambda: site.browser.get("/slow")) as request:  # GRACE: writes nothing
        await gate.arrival()
        await revoke(site, session_id)
        gate.open()
        response = await request.answer()

    assert response.json()["subject"] == "alice"
    assert response.set_cookies == []
    await assert_over(site)


async def test_a_logout_everywhere_while_the_handler_runs_lets_no_cookie_out(clock: Clock) -> None:
    gate = Gate()
    site = make_site(clock, held(gate), config=lasting())
    await site.sign_in()
    clock.advance(HOUR)

    async with Started(lambda: site.browser.get("/slow")) as request:
        await gate.arrival()
        await site.issuer.revoke_subject("alice")
        gate.open()
        response = await request.answer()

    assert response.set_cookies == []
    await assert_over(site)


async def test_a_logout_races_a_refresh_in_the_same_jar_and_wins(clock: Clock) -> None:
    """The answer to the refresh was on the wire before the logout and arrives after it."""
    site = make_site(clock)
    await site.sign_in()
    clock.advance(HOUR)
    on_the_wire = await site.browser.send("/")
    await site.browser.post("/logout")
    site.browser.deliver(on_the_wire)

    await assert_over(site)


# --- commit ---------------------------------------------------------------------------------------


@modes
@pytest.mark.parametrize("status", [200, 401, 500])
async def test_a_login_that_was_committed_goes_out_whatever_the_status(
    clock: Clock, status: int, stored: bool
) -> None:
    async def act(auth: Auth) -> None:
        auth.login("bob")
        await auth.commit()

    site = make_site(clock, on_paths(login=doing(act, status=status)), stored=stored)

    response = await site.browser.post("/login")

    assert (response.status, given(response)) == (status, {ACCESS, REFRESH})
    assert (await site.browser.get("/")).json()["subject"] == "bob"
    assert len(site.named("issued")) == 1


@modes
async def test_a_logout_that_was_committed_is_written_once(clock: Clock, stored: bool) -> None:
    async def act(auth: Auth) -> None:
        auth.logout()
        await auth.commit()

    site = make_site(clock, doing(act), stored=stored)
    await site.sign_in()

    response = await site.browser.post("/")

    assert deleted(response) == {ACCESS, REFRESH}
    assert len(site.named("revoked")) == 1


async def test_commit_raises_what_the_store_does_and_the_handler_may_go_on(clock: Clock) -> None:
    async def act(auth: Auth) -> None:
        auth.login("bob")
        site.store.broken.add("add")
        with pytest.raises(StoreUnavailable):
            await auth.commit()
        site.store.broken.clear()

    site = make_site(clock, doing(act))

    response = await site.browser.post("/")  # the login is still recorded

    assert (response.status, given(response)) == (200, {ACCESS, REFRESH})


@pytest.mark.parametrize(
    ("answers", "error"), [(None, AccessDeniedError), ({"sub": "x"}, ClaimsUnavailable)]
)
async def test_commit_raises_what_load_claims_does(
    clock: Clock, answers: Any, error: type[Exception]
) -> None:
    async def act(auth: Auth) -> None:
        auth.login("bob")
        with pytest.raises(error):
            await auth.commit()

    site = make_site(clock, doing(act, status=403), load_claims=lambda session: answers)

    response = await site.browser.post("/")

    assert (response.status, response.set_cookies) == (403, [])


@modes
async def test_commit_of_nothing_does_nothing(clock: Clock, stored: bool) -> None:
    site = make_site(clock, doing(lambda auth: auth.commit()), stored=stored)
    await site.sign_in()

    response = await site.browser.get("/")

    assert (response.status, response.set_cookies, site.events) == (200, [], [])


async def test_a_logout_after_a_committed_login_ends_the_new_session_too(clock: Clock) -> None:
    async def act(auth: Auth) -> None:
        auth.login("bob")
        await auth.commit()
        auth.logout()

    site = make_site(clock, doing(act))

    response = await site.browser.post("/")

    assert deleted(response) == {ACCESS, REFRESH}
    assert await alive(site, "bob") == 0


async def test_a_crash_after_a_committed_logout_leaves_it_done(clock: Clock) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        Auth.of(scope).logout()
        await Auth.of(scope).commit()
        raise ZeroDivisionError

    site = make_site(clock, app)
    await site.sign_in()

    with pytest.raises(ZeroDivisionError):
        await site.browser.post("/")

    assert await alive(site) == 0
    assert site.store.count("revoke") == 1


# --- elevate --------------------------------------------------------------------------------------


def elevate(auth: Auth) -> None:
    auth.elevate({"mfa": True, "scope": "read admin"})


async def test_the_claims_of_elevate_show_at_once_and_go_out(clock: Clock) -> None:
    site = make_site(clock, on_paths(up=doing(elevate)))
    session_id = await site.sign_in("alice", {"role": "old"})

    response = await site.browser.post("/up")

    told = response.json()["payload"]
    assert (told["mfa"], told["sub"], told["sid"]) == (True, "alice", session_id)
    assert "role" not in told
    assert given(response) == {ACCESS, REFRESH}
    handed = site.issuer.verify(response.cookies[ACCESS])
    assert (handed["mfa"], handed["sid"], handed["gen"]) == (True, session_id, 1001)
    clock.advance(HOUR)
    assert (await site.browser.get("/")).json()["payload"]["mfa"] is True


async def test_elevate_without_claims_keeps_them(clock: Clock) -> None:
    site = make_site(clock, doing(lambda auth: auth.elevate()))
    await site.sign_in("alice", {"role": "admin"})

    response = await site.browser.post("/")

    assert site.issuer.verify(response.cookies[ACCESS])["role"] == "admin"


async def test_elevate_once_more_without_claims_keeps_the_first_ones(clock: Clock) -> None:
    def act(auth: Auth) -> None:
        auth.elevate({"mfa": True})
        auth.elevate()

    site = make_site(clock, doing(act))
    await site.sign_in("alice", {"role": "admin"})

    response = await site.browser.post("/")

    assert response.json()["payload"]["mfa"] is True
    assert site.issuer.verify(response.cookies[ACCESS])["mfa"] is True


async def test_elevate_begins_auth_time_anew(clock: Clock) -> None:
    site = make_site(clock, doing(elevate))
    await site.sign_in()
    clock.advance(5 * MINUTE)

    response = await site.browser.post("/")

    assert site.issuer.verify(response.cookies[ACCESS])["auth_time"] == int(clock())


async def test_the_old_access_token_is_refused_after_elevate(clock: Clock) -> None:
    site = make_site(clock, on_paths(up=doing(elevate)))
    await site.sign_in()
    copy = site.browser.fork()
    copy.drop(REFRESH)
    await site.browser.post("/up")

    response = await copy.get("/")

    assert response.json()["reason"] == "revoked_token"
    assert (await site.browser.get("/")).json()["subject"] == "alice"


async def test_the_old_refresh_token_is_stale_after_elevate_and_theft_later(clock: Clock) -> None:
    site = make_site(clock, on_paths(up=doing(elevate)))
    await site.sign_in()
    copy = site.browser.fork()
    copy.drop(ACCESS)
    await site.browser.post("/up")

    clock.advance(WINDOW - 0.5)
    stale = await copy.get("/")
    between = (await site.browser.get("/")).json()["subject"]
    clock.advance(1)
    theft = await copy.get("/")
    after = (await site.browser.get("/")).json()["subject"]

    assert (stale.json()["reason"], stale.set_cookies, between) == ("stale_token", [], "alice")
    assert (theft.json()["reason"], after) == ("reused_token", None)


@pytest.mark.parametrize("status", [400, 500])
async def test_elevate_with_an_error_status_changes_nothing(clock: Clock, status: int) -> None:
    site = make_site(clock, doing(elevate, status=status))
    await site.sign_in()

    response = await site.browser.post("/")

    assert response.set_cookies == []
    assert site.store.count("replace") == 0


async def test_elevate_of_a_session_that_ended_meanwhile_is_answered_403(clock: Clock) -> None:
    gate = Gate()
    site = make_site(clock, held(gate, doing(elevate)), config=lasting())
    session_id = await site.sign_in()

    async with Started(lambda: site.browser.post("/slow")) as request:
        await gate.arrival()
        await revoke(site, session_id)
        gate.open()
        response = await request.answer()

    assert (response.status, response.set_cookies) == (403, [])


async def test_elevate_that_the_store_does_not_take_is_answered_503(clock: Clock) -> None:
    site = make_site(clock, doing(elevate))
    await site.sign_in()
    site.store.broken.add("replace")

    response = await site.browser.post("/")

    assert (response.status, response.set_cookies) == (503, [])


async def test_elevate_while_a_refresh_is_due_sets_each_cookie_once(clock: Clock) -> None:
    site = make_site(clock, doing(elevate))
    await site.sign_in()
    clock.advance(HOUR)

    response = await site.browser.post("/")

    assert len(response.set_cookies) == 2
    assert site.issuer.verify(response.cookies[ACCESS])["mfa"] is True


@pytest.mark.parametrize("who", ["nobody", "somebody new"])
async def test_elevate_needs_a_session_that_is_signed_in(clock: Clock, who: str) -> None:
    def act(auth: Auth) -> None:
        if who == "somebody new":
            auth.login("bob")
        with pytest.raises(RuntimeError, match="signed in"):
            auth.elevate()

    site = make_site(clock, doing(act))

    assert (await site.browser.post("/")).status == 200


async def test_elevate_needs_a_store(clock: Clock) -> None:
    def act(auth: Auth) -> None:
        with pytest.raises(StoreRequiredError):
            auth.elevate()

    site = make_site(clock, doing(act), stored=False)
    await site.sign_in()

    assert (await site.browser.post("/")).status == 200


async def test_elevate_during_a_slow_request_mints_its_access_token_again(clock: Clock) -> None:
    gate = Gate()
    site = make_site(clock, held(gate, on_paths(up=doing(elevate))), config=lasting())
    await site.sign_in()
    clock.advance(HOUR)
    async with Started(lambda: site.browser.send("/slow")) as request:
        await gate.arrival()
        await site.browser.post("/up")
        gate.open()
        response = await request.answer()
    site.browser.deliver(response)

    assert response.set_cookies == []  # nothing from before the barrier leads past it
    assert (await site.browser.get("/")).json()["payload"]["mfa"] is True


# --- the application writes our cookies itself ----------------------------------------------------


def setting(*cookies: bytes, act: Act | None = None) -> Any:
    return doing(act, headers=[(b"Set-Cookie", cookie) for cookie in cookies])


DELETIONS = [
    b"=; Max-Age=0; Path=/; Secure",
    b"=; max-age=-1; Path=/; Secure",
    b'=""; expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; Secure',
    b"=gone; Expires=Wed, 01-Jan-20 00:00:00 GMT; Secure",
]


@modes
@pytest.mark.parametrize("name", [ACCESS, REFRESH])
@pytest.mark.parametrize("deletion", DELETIONS, ids=["zero", "negative", "epoch", "date"])
async def test_an_application_that_deletes_one_of_our_cookies_has_logged_out(
    clock: Clock, name: str, deletion: bytes, stored: bool
) -> None:
    site = make_site(clock, on_paths(out=setting(name.encode() + deletion)), stored=stored)
    await site.sign_in()

    response = await site.browser.post("/out")

    (other,) = {ACCESS, REFRESH} - {name}
    assert deleted(response) >= {other}
    assert set(response.cookies) == {ACCESS, REFRESH} | (set() if stored else {TOMBSTONE})
    assert (name.encode() + deletion).decode() in response.set_cookies
    assert [event.reason for event in site.named("revoked")] == ["logout"]
    assert not stored or await alive(site) == 0


@modes
@pytest.mark.parametrize("name", [ACCESS, REFRESH])
async def test_an_application_that_deletes_one_of_our_cookies_while_a_refresh_is_due_logs_out(
    clock: Clock, name: str, stored: bool
) -> None:
    site = make_site(clock, on_paths(out=setting(name.encode() + DELETIONS[0])), stored=stored)
    await site.sign_in()
    clock.advance(HOUR)

    response = await site.browser.post("/out")

    assert deleted(response) == {ACCESS, REFRESH}
    assert (await site.browser.get("/")).json()["subject"] is None


@pytest.mark.parametrize("name", [ACCESS, REFRESH])
async def test_deleting_one_of_our_cookies_is_a_logout_also_where_the_other_is_set(
    clock: Clock, name: str
) -> None:
    (other,) = {ACCESS, REFRESH} - {name}
    mine = f"{other}=mine; Path=/; Secure".encode()
    site = make_site(clock, setting(name.encode() + DELETIONS[0], mine))
    await site.sign_in()

    response = await site.browser.post("/")

    assert response.cookies == {name: "", other: "mine"}
    assert await alive(site) == 0


async def test_a_logout_by_deletion_that_the_store_does_not_take_is_answered_503(
    clock: Clock,
) -> None:
    site = make_site(clock, setting(ACCESS.encode() + DELETIONS[0]))
    await site.sign_in()
    site.store.broken.add("revoke")

    response = await site.browser.post("/")

    assert (response.status, deleted(response)) == (503, {ACCESS, REFRESH})


async def test_an_application_that_sets_the_access_cookie_wins_for_that_name(clock: Clock) -> None:
    mine = f"{ACCESS}=mine; Path=/; Secure".encode()
    site = make_site(clock, setting(mine))
    await site.sign_in()
    clock.advance(HOUR)

    response = await site.browser.get("/")

    assert response.cookies[ACCESS] == "mine"
    assert set(response.cookies) == {ACCESS, REFRESH}
    assert site.store.count("replace") == 1


async def test_an_application_that_sets_the_refresh_cookie_wins_and_nothing_rotates(
    clock: Clock,
) -> None:
    mine = f"{REFRESH}=mine; Path=/; Secure; Max-Age=60".encode()
    site = make_site(clock, setting(mine))
    await site.sign_in()
    clock.advance(HOUR)

    response = await site.browser.get("/")

    assert response.cookies[REFRESH] == "mine"
    assert given(response) == {ACCESS, REFRESH}
    assert site.store.count("replace", "revoke") == 0


@pytest.mark.parametrize(
    "cookie",
    [
        f"{ACCESS}x=; Max-Age=0",
        f"x{ACCESS}=; Max-Age=0",
        f"{ACCESS.lower()}=; Max-Age=0",
        f"{ACCESS}=v; Expires=Wed, 01 Jan 2098 00:00:00 GMT",
        f"{ACCESS}=v; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        f"{ACCESS}=v; Max-Age=00060",
        "session=; Max-Age=0",
    ],
)
async def test_what_deletes_none_of_our_cookies_is_no_logout(clock: Clock, cookie: str) -> None:
    site = make_site(clock, setting(cookie.encode()))
    await site.sign_in()

    response = await site.browser.get("/")

    assert response.set_cookies == [cookie]
    assert site.named("revoked") == []


async def test_an_application_that_sets_a_cookie_of_ours_and_logs_in_wins_for_that_name(
    clock: Clock,
) -> None:
    mine = f"{ACCESS}=mine; Path=/; Secure".encode()
    site = make_site(clock, setting(mine, act=login))

    response = await site.browser.post("/")

    assert response.cookies[ACCESS] == "mine"
    assert set(response.cookies) == {ACCESS, REFRESH}


def putting(site: list[Site], subject: str, *names: str, status: int = 200) -> Any:
    """An application that signs *subject* in by cookies it writes itself, of these *names* only."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        tokens = await site[0].issuer.issue(subject)
        values = {ACCESS: tokens.access_token, REFRESH: tokens.refresh_token}
        lines = [f"{name}={values[name]}; Path=/; Secure".encode() for name in names]
        headers = [(b"set-cookie", line) for line in lines]
        await doing(status=status, headers=headers)(scope, receive, send)

    return app


@modes
@pytest.mark.parametrize("names", [[ACCESS], [REFRESH], [ACCESS, REFRESH]], ids=str)
@pytest.mark.parametrize("with_access", [True, False])
async def test_an_application_that_writes_cookies_for_somebody_else_has_ended_who_it_was(
    clock: Clock, stored: bool, names: list[str], with_access: bool
) -> None:
    sites: list[Site] = []
    site = make_site(clock, on_paths(put=putting(sites, "bob", *names)), stored=stored)
    sites.append(site)
    await site.sign_in()
    before = site.browser.fork()
    if not with_access:
        site.browser.drop(ACCESS)

    await site.browser.post("/put")
    whose = (await site.browser.get("/")).json()["subject"]
    clock.advance(HOUR)
    site.browser.drop(ACCESS)
    later = (await site.browser.get("/")).json()["subject"]

    assert (whose, later) == ("bob", "bob" if REFRESH in names else None)
    if stored:
        assert (await before.get("/")).json()["subject"] is None
        assert [event.reason for event in site.named("revoked")] == ["login"]


@modes
@pytest.mark.parametrize(("subject", "status"), [("alice", 200), ("bob", 400)])
async def test_for_the_same_user_or_with_an_error_nobody_is_out(
    clock: Clock, stored: bool, subject: str, status: int
) -> None:
    sites: list[Site] = []
    put = putting(sites, subject, ACCESS, status=status)
    site = make_site(clock, on_paths(put=put), stored=stored)
    sites.append(site)
    await site.sign_in()

    await site.browser.post("/put")
    clock.advance(HOUR)
    site.browser.drop(ACCESS)

    assert site.named("revoked") == []
    assert (await site.browser.get("/")).json()["subject"] == "alice"


# --- tombstone ------------------------------------------------------------------------------------

BURYING: list[dict[str, Any]] = [{"stored": False}, {"config": Config(revocation="refresh")}]
burying = pytest.mark.parametrize("kind", BURYING, ids=["stateless", "refresh"])


@burying
@pytest.mark.parametrize("later", [0, 2 * MINUTE, 9 * MINUTE])
async def test_a_response_that_restores_the_cookies_does_not_undo_a_logout(
    clock: Clock, kind: dict[str, Any], later: float
) -> None:
    site = make_site(clock, **kind)
    await site.sign_in()
    clock.advance(HOUR)
    on_the_wire = await site.browser.send("/")
    logged_out = await site.browser.post("/logout")
    site.browser.deliver(on_the_wire)
    clock.advance(later)

    response = await site.browser.get("/")

    assert given(logged_out) == {TOMBSTONE}
    assert set(site.browser.values()) >= {ACCESS, TOMBSTONE}
    assert (response.json()["subject"], response.json()["reason"]) == (None, "session_ended")
    assert response.set_cookies == []


async def test_a_stateless_logout_is_final_for_as_long_as_the_refresh_token_lives(
    clock: Clock,
) -> None:
    site = make_site(clock, stored=False)
    await site.sign_in()
    on_the_wire = await site.browser.send("/", cookies=site.browser.values())
    kept = dict(site.browser.jar)
    await site.browser.post("/logout")
    site.browser.jar.update(kept)
    site.browser.deliver(on_the_wire)
    seen = []
    for _ in range(15):
        seen.append((await site.browser.get("/")).json()["subject"])
        clock.advance(DAY)

    assert seen == [None] * 15


@burying
async def test_a_navigation_deletes_what_came_back_after_a_logout(
    clock: Clock, kind: dict[str, Any]
) -> None:
    site = make_site(clock, **kind)
    await site.sign_in()
    kept = dict(site.browser.jar)
    await site.browser.post("/logout")
    site.browser.jar.update(kept)

    response = await site.browser.navigate("/")

    assert deleted(response) == {ACCESS, REFRESH}
    assert set(site.browser.values()) == {TOMBSTONE}


@burying
async def test_a_new_login_works_next_to_a_tombstone(clock: Clock, kind: dict[str, Any]) -> None:
    site = make_site(clock, **kind)
    await site.sign_in()
    await site.browser.post("/logout")
    await site.browser.post("/login")

    seen = []
    for _ in range(3):
        seen.append((await site.browser.get("/")).json()["subject"])
        clock.advance(HOUR)

    assert seen == ["alice"] * 3


@burying
async def test_a_login_buries_the_session_that_came_along(
    clock: Clock, kind: dict[str, Any]
) -> None:
    site = make_site(clock, **kind)
    await site.sign_in("alice")
    kept = dict(site.browser.jar)
    await site.browser.post("/login/bob")
    site.browser.jar.update(kept)  # an answer to alice comes late

    response = await site.browser.get("/")

    assert response.json()["subject"] is None


@burying
@pytest.mark.parametrize("order", ["cookie first", "bearer first"])
async def test_a_logout_buries_the_session_of_the_cookies_also_with_a_bearer_present(
    clock: Clock, kind: dict[str, Any], order: str
) -> None:
    site = make_site(clock, **kind)
    pair = sorted([await site.issuer.issue("alice") for _ in range(2)], key=lambda t: t.session_id)
    cookies, bearer = pair if order == "cookie first" else pair[::-1]
    site.browser.put(ACCESS, cookies.access_token)
    site.browser.put(REFRESH, cookies.refresh_token)
    kept = dict(site.browser.jar)

    await site.browser.post("/logout", headers=[("authorization", f"Bearer {bearer.access_token}")])
    site.browser.jar.update(kept)  # a response that was on the wire

    assert (await site.browser.get("/")).json()["subject"] is None


@pytest.mark.parametrize("revocation", ["live", "always"])
async def test_where_revocations_are_followed_there_is_no_tombstone(
    clock: Clock, revocation: Any
) -> None:
    site = make_site(clock, doing(logout), config=Config(revocation=revocation))
    await site.sign_in()

    response = await site.browser.post("/")

    assert set(response.cookies) == {ACCESS, REFRESH} == deleted(response)


async def test_a_forged_tombstone_signs_out_nobody_else(clock: Clock) -> None:
    site = make_site(clock, stored=False)
    await site.sign_in()
    site.browser.put(TOMBSTONE, "0" * 32)

    response = await site.browser.get("/")

    assert response.json()["subject"] == "alice"


# --- cookies that will not come back --------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "host", "config", "told"),
    [
        ("http", "app.example", Config(), 1),
        ("http", "10.0.0.7:8000", Config(), 1),
        ("http", "localhost.evil.example", Config(), 1),
        ("http", "mylocalhost", Config(), 1),
        ("http", "localhost", Config(), 0),
        ("http", "LOCALHOST:8000", Config(), 0),
        ("http", "app.localhost", Config(), 0),
        ("http", "127.0.0.1:8000", Config(), 0),
        ("http", "[::1]:8000", Config(), 0),
        ("https", "app.example", Config(), 0),
        (
            "http",
            "app.example",
            Config(
                access_cookie=Cookie("a", secure=False), refresh_cookie=Cookie("r", secure=False)
            ),
            0,
        ),
    ],
)
async def test_secure_cookies_over_plain_http_are_told_of_once(
    clock: Clock, scheme: str, host: str, config: Config, told: int
) -> None:
    site = make_site(clock, scheme=scheme, host=host, config=config)

    for _ in range(3):
        await site.browser.get("/")
        await site.browser.post("/login")

    events = site.named("insecure_cookie")
    assert len(events) == told
    assert all(event.detail is not None and host in event.detail for event in events)


async def test_a_request_without_a_host_is_told_of_too(clock: Clock) -> None:
    """HTTP/1.0 has none."""
    site = make_site(clock, doing(login), scheme="http")
    scope = site.browser.scope("/", "POST")
    scope["headers"] = []

    messages = await messages_of(site.browser.app, scope)

    assert messages[0]["status"] == 200
    [event] = site.named("insecure_cookie")
    assert event.detail == "http on host '': is the proxy's scheme passed on?"


async def test_a_server_that_names_no_scheme_speaks_plain_http(clock: Clock) -> None:
    """That is ASGI's default."""
    site = make_site(clock, doing(login))
    scope = site.browser.scope("/", "POST")
    del scope["scheme"]

    await messages_of(site.browser.app, scope)

    assert len(site.named("insecure_cookie")) == 1


# --- why a request is anonymous -------------------------------------------------------------------


async def _no_credentials(site: Site) -> dict[str, Any]:
    site.browser.drop(ACCESS, REFRESH)
    return {}


async def _invalid_token(site: Site) -> dict[str, Any]:
    site.browser.put(ACCESS, "x")
    site.browser.drop(REFRESH)
    return {}


async def _expired_token(site: Site) -> dict[str, Any]:
    site.browser.drop(REFRESH)
    site.clock.advance(HOUR)
    return {}


async def _revoked_token(site: Site) -> dict[str, Any]:
    site.browser.drop(REFRESH)
    await site.issuer.revoke_subject("alice")
    return {}


async def _reused_token(site: Site) -> dict[str, Any]:
    old = site.browser.fork()
    for _ in range(3):
        site.clock.advance(HOUR)
        await site.browser.get("/")
    site.browser.jar = old.jar
    return {}


async def _session_ended(site: Site) -> dict[str, Any]:
    site.clock.advance(15 * DAY)
    return {}


async def _session_mismatch(site: Site) -> dict[str, Any]:
    site.browser.put(REFRESH, (await site.issuer.issue("bob")).refresh_token)
    site.clock.advance(HOUR)
    return {}


async def _stale_token(site: Site) -> dict[str, Any]:
    (session,) = await site.issuer.sessions("alice")
    await site.issuer.barrier(session.id)
    site.browser.drop(ACCESS)
    return {}


async def _ambiguous_cookies(site: Site) -> dict[str, Any]:
    other = await site.issuer.issue("bob")
    values = site.browser.values()
    twice = f"{ACCESS}={values[ACCESS]}; {ACCESS}={other.access_token}"
    return {"cookies": {}, "headers": [("cookie", twice)]}


async def _oversize_cookies(site: Site) -> dict[str, Any]:
    site.browser.put("big", "x" * 17_000)
    return {}


async def _exempt_path(site: Site) -> dict[str, Any]:
    return {"path": "/callback"}


async def _not_refreshable(site: Site) -> dict[str, Any]:
    site.browser.drop(ACCESS)
    return {"method": "OPTIONS"}


async def _claims_refused(site: Site) -> dict[str, Any]:
    CLAIMS["answer"] = None
    site.clock.advance(HOUR)
    return {}


async def _claims_unavailable(site: Site) -> dict[str, Any]:
    CLAIMS["answer"] = {"sub": "root"}
    site.clock.advance(HOUR)
    return {}


async def _store_unavailable(site: Site) -> dict[str, Any]:
    site.clock.advance(HOUR)
    site.store.broken.add("*")
    return {}


async def _logged_out(site: Site) -> dict[str, Any]:
    return {"path": "/logout"}


CLAIMS: dict[str, Any] = {}
REASONS = {
    function.__name__.removeprefix("_"): function
    for function in (
        _no_credentials, _invalid_token, _expired_token, _revoked_token, _reused_token,
        _session_ended, _session_mismatch, _stale_token, _ambiguous_cookies, _oversize_cookies,
        _exempt_path, _not_refreshable, _claims_refused, _claims_unavailable, _store_unavailable,
        _logged_out,
    )
}  # fmt: skip


@pytest.mark.parametrize("reason", sorted(REASONS))
async def test_every_way_of_being_anonymous_says_why(clock: Clock, reason: str) -> None:
    CLAIMS["answer"] = {}
    site = make_site(
        clock,
        config=Config(cross_origin_exempt=["/callback"]),
        load_claims=lambda session: CLAIMS["answer"],
    )
    await site.sign_in("alice")
    asked = await REASONS[reason](site)
    site.events.clear()

    response = await site.browser.send(**{"path": "/", **asked})

    told = response.json()
    assert (told["subject"], told["payload"], told["via"]) == (None, None, None)
    assert told["reason"] == reason
    quiet = {"no_credentials", "exempt_path", "logged_out"}
    rejected = [event.reason for event in site.named("rejected")]
    assert rejected == ([] if reason in quiet else [reason])


def test_the_reasons_are_a_closed_set_and_all_of_them_are_tested() -> None:
    verifiers = {"keys_unavailable"}  # in tests/verifier
    assert set(REASONS) == set(get_args(Reason)) - verifiers


@pytest.mark.parametrize("load", [None, {"x": {1}}, "raises"])
async def test_claims_that_cannot_be_had_touch_no_cookie_and_a_refusal_ends_the_session(
    clock: Clock, load: Any
) -> None:
    answers: list[Any] = [{}]

    async def loader(session: Session) -> Any:
        if answers[0] == "raises":
            raise OSError
        return answers[0]

    site = make_site(clock, load_claims=loader)
    await site.sign_in("alice")
    clock.advance(HOUR)
    answers[0] = load

    response = await site.browser.get("/")

    assert response.set_cookies == []
    assert await alive(site) == (0 if load is None else 1)
    answers[0] = {}
    after = (await site.browser.get("/")).json()["subject"]
    assert after == (None if load is None else "alice")


# --- the ways to get at it ------------------------------------------------------------------------


async def test_auth_of_names_the_middleware_where_it_is_missing() -> None:
    with pytest.raises(LookupError, match="RefreshMiddleware"):
        Auth.of({"type": "http"})


async def test_auth_of_takes_a_scope_or_a_request(clock: Clock) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert Auth.of(scope) is Auth.of(Request(scope)) is await get_auth(HTTPConnection(scope))
        await answer(send)

    site = make_site(clock, app)

    assert (await site.browser.get("/")).status == 200


async def test_auth_of_an_excluded_path_is_a_lookup_error(clock: Clock) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(LookupError, match="excluded"):
            Auth.of(scope)
        await answer(send)

    site = make_site(clock, app, config=Config(exclude=["/static"]))
    await site.sign_in()
    clock.advance(HOUR)

    response = await site.browser.get("/static/app.js")

    assert (response.status, response.headers) == (200, [])


async def test_another_scope_key_holds_the_auth(clock: Clock) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        with pytest.raises(LookupError):
            Auth.of(scope)
        await answer(send, body=(Auth.of(scope, scope_key="mine").subject or "").encode())

    site = make_site(clock, app, middleware={"scope_key": "mine", "starlette": False})
    await site.sign_in("alice")

    assert (await site.browser.get("/")).body == b"alice"
    assert "user" not in seen[0]
    assert "auth" not in seen[0]


async def test_get_auth_raises_where_the_middleware_is_missing() -> None:
    with pytest.raises(LookupError):
        await get_auth(HTTPConnection({"type": "http", "headers": []}))


@pytest.mark.parametrize(
    ("token", "challenge"), [(None, "Bearer"), ("x.y.z", 'Bearer error="invalid_token"')]
)
async def test_require_auth_answers_401_with_a_challenge(
    clock: Clock, token: str | None, challenge: str
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(HTTPException) as raised:
            await require_auth(HTTPConnection(scope))
        assert raised.value.status_code == 401
        assert raised.value.headers == {"WWW-Authenticate": challenge}
        await answer(send)

    site = make_site(clock, app)
    headers = [("authorization", f"Bearer {token}")] if token else []

    assert (await site.browser.get("/", headers=headers)).header("vary") == "Cookie, Authorization"


async def test_require_auth_closes_an_anonymous_websocket_with_1008(clock: Clock) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(WebSocketException) as raised:
            await require_auth(HTTPConnection(scope))
        assert raised.value.code == 1008
        await send({"type": "websocket.close"})

    site = make_site(clock, app)

    assert len(await site.browser.websocket()) == 1


async def test_require_auth_returns_who_is_signed_in(clock: Clock) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        auth = await require_auth(HTTPConnection(scope))
        await answer(send, body=(auth.subject or "").encode())

    site = make_site(clock, app)
    await site.sign_in("alice")
    clock.advance(HOUR)

    assert (await site.browser.get("/")).body == b"alice"


@modes
@pytest.mark.parametrize(
    ("scope", "status"), [("read write", 200), ("write", 403), (None, 403), ("reader", 403)]
)
async def test_starlettes_requires_goes_by_the_scope_claim(
    clock: Clock, scope: str | None, status: int, stored: bool
) -> None:
    @requires(["authenticated", "read"])
    async def page(request: Request) -> JSONResponse:
        return JSONResponse({"name": request.user.display_name})

    site = make_site(clock, Starlette(routes=[Route("/", page)]), stored=stored)
    await site.sign_in("alice", None if scope is None else {"scope": scope})
    for _ in range(2):
        response = await site.browser.get("/")
        assert response.status == status
        clock.advance(HOUR)


async def test_an_anonymous_request_has_no_scopes_at_all(clock: Clock) -> None:
    scopes: list[Any] = []
    site = make_site(clock, doing(lambda auth: scopes.append(auth.scopes)))

    await site.browser.get("/")
    await site.sign_in("alice", {"scope": " read  write "})
    await site.browser.get("/")

    assert scopes == [(), ("read", "write", "authenticated")]


async def test_payload_is_read_only_at_every_depth(clock: Clock) -> None:
    def act(auth: Auth) -> None:
        payload: Any = auth.payload
        for change in (
            lambda: payload.__setitem__("sub", "root"),
            lambda: payload["a"].__setitem__("b", 1),
            lambda: payload["a"]["c"][0].update(d=2),
            lambda: payload.pop("sub"),
        ):
            with pytest.raises(TypeError):
                change()
        assert json.loads(json.dumps(payload))["a"] == {"c": [{"d": 1}]}

    site = make_site(clock, doing(act))
    await site.sign_in("alice", {"a": {"c": [{"d": 1}]}})

    assert (await site.browser.get("/")).json()["subject"] == "alice"


# --- two middlewares ------------------------------------------------------------------------------


async def test_of_two_equal_middlewares_the_inner_one_does_nothing(clock: Clock) -> None:
    store = Gates()
    inner = make_site(clock, store=store)
    outer = make_site(clock, inner.browser.app, store=store)
    await outer.sign_in("alice")
    clock.advance(HOUR)

    refreshed = await outer.browser.get("/")
    logged_out = await outer.browser.post("/logout")

    assert (refreshed.json()["subject"], refreshed.json()["refreshed"]) == ("alice", True)
    assert len(refreshed.set_cookies) == 2
    assert store.count("replace") == store.count("revoke") == 1
    assert deleted(logged_out) == {ACCESS, REFRESH}
    assert inner.events == []


async def test_two_middlewares_with_different_cookies_are_independent(clock: Clock) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        names = [Auth.of(scope, scope_key=key).subject for key in ("staff", "public")]
        await answer(send, body=json.dumps(names).encode())

    config = Config(access_cookie=Cookie("sa"), refresh_cookie=Cookie("sr"))
    inner = make_site(clock, app, middleware={"scope_key": "public"})
    outer = make_site(clock, inner.browser.app, config=config, middleware={"scope_key": "staff"})
    await outer.sign_in("root")
    await inner.sign_in("alice", browser=outer.browser)
    clock.advance(HOUR)

    response = await outer.browser.get("/")

    assert response.json() == ["root", "alice"]
    assert set(response.cookies) == {"sa", "sr", ACCESS, REFRESH}


# --- endpoints and exclusion ----------------------------------------------------------------------


async def test_an_endpoint_is_answered_before_any_cookie_is_read(clock: Clock) -> None:
    site = make_site(clock)
    wrapped = RefreshMiddleware(
        whoami, site.issuer, endpoints={"/auth/refresh": RefreshEndpoint(site.issuer)}
    )
    browser = Browser(wrapped, clock)
    await site.sign_in("alice", browser=browser)
    tokens = await site.issuer.issue("bob")
    browser.drop(REFRESH)  # with that it were two tokens in one request

    response = await browser.post(
        "/auth/refresh", headers=[*CROSS, ("authorization", f"Bearer {tokens.refresh_token}")]
    )

    assert response.status == 200
    assert site.issuer.verify(response.json()["access_token"])["sub"] == "bob"
    assert response.set_cookies == []


@pytest.mark.parametrize(
    ("path", "root_path", "excluded"),
    [
        ("/static", "", True),
        ("/static/", "", True),
        ("/static/a", "", True),
        ("/statics", "", False),
        ("/a/static", "", False),
        ("/", "", False),
        ("/app/static/a", "/app", True),
        ("/app/static/a", "/app/", True),
        ("/app/static/a", "", False),
        ("/application/static", "/app", False),
    ],
)
async def test_exclude_goes_by_whole_segments_less_root_path(
    clock: Clock, path: str, root_path: str, excluded: bool
) -> None:
    seen: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append("asgi_refresh" not in scope)
        await answer(send)

    site = make_site(clock, app, config=Config(exclude=["/static"]))

    await site.browser.get(path, scope={"root_path": root_path})

    assert seen == [excluded]


@pytest.mark.parametrize("kind", ["lifespan", "future"])
async def test_other_scopes_pass_untouched(clock: Clock, kind: str) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend((scope, receive, send))

    site = make_site(clock, app)
    passed = ({"type": kind}, object(), object())

    await site.browser.app(*passed)  # type: ignore[arg-type]

    assert [a is b for a, b in zip(seen, passed, strict=True)] == [True] * 3
    assert passed[0] == {"type": kind}
