"""In front of a Flask application with Flask-JWT-Extended, behind a2wsgi; both unmodified."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from a2wsgi import WSGIMiddleware
from flask import Flask, Response, jsonify
from flask_jwt_extended import (
    JWTManager,
    create_access_token,
    create_refresh_token,
    get_jwt,
    get_jwt_identity,
    jwt_required,
    set_access_cookies,
    set_refresh_cookies,
    unset_jwt_cookies,
)

from asgi_refresh import Event, Issuer, MemoryStore, RefreshMiddleware, errors
from asgi_refresh.compat.flask_jwt_extended import flask_issuer, flask_legacy
from tests.authx.site import RealClock
from tests.blackbox.helpers import HOUR, WINDOW, deleted, given, together
from tests.migration.sources import OLD_SECRET
from tests.support import App, Browser
from tests.support import Response as Answer
from tests.tokens.forge import private_key

pytestmark = pytest.mark.anyio

ACCESS, REFRESH = "access_token_cookie", "refresh_token_cookie"
CSRF_ACCESS, CSRF_REFRESH = "csrf_access_token", "csrf_refresh_token"
ALL = {ACCESS, REFRESH, CSRF_ACCESS, CSRF_REFRESH}
MODES = {"stored": True, "stateless": False}
LOOPS = ["asyncio"]  # a2wsgi is made for it
modes = pytest.mark.parametrize("stored", MODES.values(), ids=MODES)


@dataclass
class Site:
    browser: Browser
    issuer: Issuer
    events: list[Event]


@asynccontextmanager
async def flask_site(
    clock: RealClock, *, stored: bool = True, store: Any = None, **config: Any
) -> AsyncIterator[Site]:
    app = flask_app(**config)
    events: list[Event] = []
    kept = (store or MemoryStore()) if stored else None
    issuer = flask_issuer(app.config, store=kept, on_event=events.append)
    bridge = WSGIMiddleware(app, workers=20)
    inner: Any = bridge
    try:
        yield Site(Browser(whole(RefreshMiddleware(inner, issuer)), clock), issuer, events)
    finally:
        bridge.executor.shutdown()


def whole(app: App) -> App:
    """A server's scope, which has what WSGI needs."""

    async def server(scope: Any, receive: Any, send: Any) -> None:
        await app({"root_path": "", **scope}, receive, send)

    return server


def flask_app(**config: Any) -> Flask:
    app = Flask("app")
    values = {"JWT_SECRET_KEY": OLD_SECRET, "JWT_TOKEN_LOCATION": ["cookies"], **config}
    app.config.update(values)
    JWTManager(app)

    @app.post("/login/<user>")
    def login(user: str) -> Response:
        response = jsonify(login=True)
        claims = {"role": "admin"}
        access = create_access_token(user, fresh=True, additional_claims=claims)
        set_access_cookies(response, access)
        set_refresh_cookies(response, create_refresh_token(user))
        return response

    @app.post("/logout")
    def logout() -> Response:
        response = jsonify(logout=True)
        unset_jwt_cookies(response)
        return response

    @app.route("/me", methods=["GET", "POST"])
    @jwt_required()
    def me() -> Response:
        return jsonify(subject=get_jwt_identity(), claims=get_jwt())

    @app.get("/fresh")
    @jwt_required(fresh=True)
    def fresh() -> Response:
        return jsonify(subject=get_jwt_identity())

    @app.post("/refresh")
    @jwt_required(refresh=True)
    def refresh() -> Response:
        response = jsonify(refreshed=True)
        set_access_cookies(response, create_access_token(get_jwt_identity()))
        return response

    @app.get("/public")
    def public() -> str:
        return "public"

    return app


async def sign_in(site: Site, user: str = "alice") -> None:
    assert (await site.browser.post(f"/login/{user}")).status == 200
    assert site.browser.values().keys() >= ALL
    site.events.clear()


def csrf(browser: Browser, name: str = CSRF_ACCESS) -> list[tuple[str, str]]:
    return [("x-csrf-token", browser.values()[name])]


def subject(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    return str(answer.json()["subject"])


# --- refreshing -----------------------------------------------------------------------------------


@modes
@pytest.mark.parametrize("gone", [True, False], ids=["missing", "expired"])
async def test_an_access_cookie_that_is_over_is_refreshed(
    clock: RealClock, stored: bool, gone: bool
) -> None:
    async with flask_site(clock, stored=stored) as site:
        await sign_in(site)
        for _ in range(3):
            clock.advance(HOUR)
            if gone:
                site.browser.drop(ACCESS)
            answer = await site.browser.get("/me")
            assert subject(answer) == "alice"
            assert {ACCESS, CSRF_ACCESS} <= given(answer)
            assert not stored or given(answer) == ALL
        assert site.browser.values().keys() == ALL


@modes
async def test_on_a_post_that_repeats_the_csrf_token(clock: RealClock, stored: bool) -> None:
    async with flask_site(clock, stored=stored) as site:
        await sign_in(site)
        for _ in range(3):
            clock.advance(HOUR)
            answer = await site.browser.post("/me", headers=csrf(site.browser))
            assert subject(answer) == "alice"


@modes
async def test_the_csrf_token_survives_a_refresh(clock: RealClock, stored: bool) -> None:
    """A page that was loaded before it posts what it had read."""
    async with flask_site(clock, stored=stored) as site:
        await sign_in(site)
        clock.advance(HOUR)
        await site.browser.get("/me")
        read = csrf(site.browser)
        for _ in range(3):
            clock.advance(HOUR)
            assert subject(await site.browser.post("/me", headers=read)) == "alice"


@modes
@pytest.mark.parametrize("headers", [[], [("x-csrf-token", "guessed")]], ids=["without", "wrong"])
async def test_a_post_that_does_not_is_refused_by_flask(
    clock: RealClock, stored: bool, headers: list[tuple[str, str]]
) -> None:
    async with flask_site(clock, stored=stored) as site:
        await sign_in(site)
        clock.advance(HOUR)
        before = site.browser.values()
        answer = await site.browser.post("/me", headers=headers)
        assert answer.status == 401
        assert "CSRF" in answer.json()["msg"]
        assert site.browser.values() == before
        assert subject(await site.browser.get("/me")) == "alice"


@modes
async def test_a_good_access_cookie_is_left_alone(clock: RealClock, stored: bool) -> None:
    async with flask_site(clock, stored=stored) as site:
        await sign_in(site)
        clock.advance(60)
        answer = await site.browser.get("/me")
        assert (subject(answer), answer.set_cookies) == ("alice", [])


@modes
async def test_what_the_access_token_said_it_goes_on_saying(clock: RealClock, stored: bool) -> None:
    async with flask_site(clock, stored=stored) as site:
        await sign_in(site)
        for _ in range(2):
            clock.advance(HOUR)
            answer = await site.browser.get("/me")
            assert answer.json()["claims"]["role"] == "admin"
            assert answer.json()["claims"]["nbf"] <= clock()


@modes
async def test_a_refreshed_token_is_not_fresh(clock: RealClock, stored: bool) -> None:
    async with flask_site(clock, stored=stored) as site:
        await sign_in(site)
        assert (await site.browser.get("/fresh")).status == 200
        clock.advance(HOUR)
        answer = await site.browser.get("/fresh")
        assert (answer.status, answer.json()["msg"]) == (401, "Fresh token required")
        assert subject(await site.browser.get("/me")) == "alice"


@modes
async def test_the_applications_own_refresh_route_goes_on_working(
    clock: RealClock, stored: bool
) -> None:
    async with flask_site(clock, stored=stored) as site:
        await sign_in(site)
        clock.advance(HOUR)
        headers = csrf(site.browser, CSRF_REFRESH)
        assert (await site.browser.post("/refresh", headers=headers)).status == 200
        assert subject(await site.browser.get("/me")) == "alice"


@modes
async def test_with_its_csrf_protection_off_ours_stands_in(clock: RealClock, stored: bool) -> None:
    off: dict[str, Any] = {"JWT_COOKIE_CSRF_PROTECT": False}
    async with flask_site(clock, stored=stored, **off) as site:
        assert (await site.browser.post("/login/alice")).status == 200
        clock.advance(HOUR)
        evil = [("origin", "https://evil.example")]
        assert (await site.browser.post("/me", headers=evil)).status == 403
        assert subject(await site.browser.post("/me")) == "alice"


@modes
async def test_twenty_at_once(clock: RealClock, stored: bool) -> None:
    async with flask_site(clock, stored=stored) as site:
        await sign_in(site)
        clock.advance(HOUR)
        answers = await together([lambda: site.browser.send("/me")] * 20)
        assert {subject(answer) for answer in answers} == {"alice"}
        if stored:
            assert len({answer.cookies[REFRESH] for answer in answers}) == 1
            assert len(await site.issuer.sessions("alice")) == 1


# --- ending ---------------------------------------------------------------------------------------


@modes
async def test_nobody_who_has_nothing(clock: RealClock, stored: bool) -> None:
    async with flask_site(clock, stored=stored) as site:
        answer = await site.browser.get("/me")
        assert (answer.status, answer.set_cookies) == (401, [])


@modes
@pytest.mark.parametrize("refreshed", [True, False])
async def test_a_logout_by_flask_is_final_with_a_store(
    clock: RealClock, stored: bool, refreshed: bool
) -> None:
    async with flask_site(clock, stored=stored) as site:
        await sign_in(site)
        if refreshed:
            clock.advance(HOUR)
            await site.browser.get("/me")
        copy = site.browser.fork()
        answer = await site.browser.post("/logout")
        assert deleted(answer) | {line.partition("=")[0] for line in answer.set_cookies} >= ALL
        assert REFRESH not in site.browser.values() or not site.browser.values()[REFRESH]
        clock.advance(HOUR)
        assert (await copy.get("/me")).status == (401 if stored else 200)


HEADERS = {"JWT_TOKEN_LOCATION": ["headers", "cookies"]}
NAMED = [
    ({}, "authorization", "Basic x,Bearer\t{}"),
    ({}, "authorization", "bearer x,Bearer\t{}"),
    ({}, "authorization", "Bearer {}\xa0"),
    ({}, "authorization", "Bearer {},"),
    ({"JWT_HEADER_TYPE": "JWT"}, "authorization", "JWT {}"),
    ({"JWT_HEADER_TYPE": "JWT"}, "authorization", "Basic x,JWT\x1f{}"),
    ({"JWT_HEADER_TYPE": ""}, "authorization", "{}"),
    ({"JWT_HEADER_TYPE": ""}, "authorization", ",{}"),
    ({"JWT_HEADER_NAME": "X-My-Token"}, "x-my-token", "Bearer {}"),
    ({"JWT_HEADER_NAME": "X-My-Token"}, "x_my-token", "Bearer {}"),
]


@pytest.mark.parametrize(("config", "header", "value"), NAMED)
async def test_no_spelling_in_a_header_brings_an_ended_session_back(
    clock: RealClock, config: dict[str, Any], header: str, value: str
) -> None:
    """Flask takes fields apart at commas, and each at whatever is white."""
    async with flask_site(clock, **HEADERS, **config) as site:
        await sign_in(site)
        raw = site.browser.values()[ACCESS]
        await site.browser.post("/logout")
        clock.advance(2)

        answer = await site.browser.send("/me", headers=[(header, value.format(raw))], cookies={})

        assert answer.status in (401, 422)


async def test_a_thief_is_found_out(clock: RealClock) -> None:
    async with flask_site(clock) as site:
        await sign_in(site)
        thief = site.browser.fork()
        for _ in range(2):
            clock.advance(HOUR)
            assert subject(await site.browser.get("/me")) == "alice"
        clock.advance(WINDOW)
        assert (await thief.get("/me")).status == 401
        clock.advance(HOUR)
        assert (await site.browser.get("/me")).status == 401
        assert [event.name for event in site.events if event.name == "reused"] == ["reused"]


@modes
async def test_a_login_on_top_is_who_logged_in(clock: RealClock, stored: bool) -> None:
    async with flask_site(clock, stored=stored) as site:
        await sign_in(site)
        clock.advance(HOUR)
        await site.browser.get("/me")
        await sign_in(site, "bob")
        for _ in range(2):
            assert subject(await site.browser.get("/me")) == "bob"
            clock.advance(HOUR)


# --- settings -------------------------------------------------------------------------------------


KEY = private_key("p256")


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"JWT_SECRET_KEY": "\ud800" * 32}, "JWT_SECRET_KEY"),
        ({"JWT_SECRET_KEY": 64}, "JWT_SECRET_KEY"),
        (
            {"JWT_ALGORITHM": "ES256", "JWT_PRIVATE_KEY": KEY, "JWT_PUBLIC_KEY": KEY.public_key()},
            "JWT_PRIVATE_KEY.* PEM",
        ),
    ],
    ids=["no text", "a number", "an object"],
)
def test_a_key_of_another_kind_is_refused_by_its_name(config: dict[str, Any], what: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=what):
        flask_issuer(flask_app(**config).config)


@pytest.mark.parametrize(
    "config",
    [
        {"JWT_SECRET_KEY": "short"},
        {"JWT_SECRET_KEY": None, "SECRET_KEY": None},
        {"JWT_TOKEN_LOCATION": ["headers"]},
        {"JWT_IDENTITY_CLAIM": "identity"},
        {"JWT_REFRESH_COOKIE_PATH": "/token/refresh"},
    ],
    ids=lambda config: next(iter(config)),
)
def test_what_cannot_work_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        flask_issuer(flask_app(**config).config)
    assert "short" not in str(caught.value).replace("shorter", "")


@pytest.mark.parametrize(
    "config",
    [{"JWT_SECRET_KEY": None, "SECRET_KEY": None}, {"JWT_IDENTITY_CLAIM": "identity"}],
    ids=lambda config: next(iter(config)),
)
def test_what_cannot_be_read_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(errors.ConfigurationError):
        flask_legacy(flask_app(**config).config)


@pytest.mark.parametrize(
    "config",
    [
        {"JWT_SECRET_KEY": "short"},
        {"JWT_TOKEN_LOCATION": ["headers"]},
        {"JWT_TOKEN_LOCATION": "headers"},
        {"JWT_REFRESH_COOKIE_PATH": "/token/refresh"},
        {"JWT_ACCESS_TOKEN_EXPIRES": timedelta(days=30)},
        {"JWT_REFRESH_TOKEN_EXPIRES": timedelta(days=500)},
    ],
    ids=str,
)
def test_what_only_an_issuer_minds_can_be_left_behind(config: dict[str, Any]) -> None:
    legacy = flask_legacy(flask_app(**config).config)

    assert (legacy.cookie is None) == ("headers" in str(config))


@modes
async def test_other_settings(clock: RealClock, stored: bool) -> None:
    config = {
        "JWT_ALGORITHM": "HS512",
        "JWT_SECRET_KEY": OLD_SECRET * 2,
        "JWT_ENCODE_AUDIENCE": "app",
        "JWT_DECODE_AUDIENCE": "app",
        "JWT_ENCODE_ISSUER": "here",
        "JWT_DECODE_ISSUER": "here",
        "JWT_ACCESS_TOKEN_EXPIRES": timedelta(hours=2),
        "JWT_SESSION_COOKIE": False,
    }
    async with flask_site(clock, stored=stored, **config) as site:
        await sign_in(site)
        clock.advance(3 * HOUR)
        answer = await site.browser.post("/me", headers=csrf(site.browser))
        claims = answer.json()["claims"]
        assert (subject(answer), claims["aud"], claims["iss"]) == ("alice", "app", "here")
        assert claims["exp"] == pytest.approx(clock() + 2 * HOUR, abs=1)
