"""What the pages print besides the readers that every other test here runs."""

from __future__ import annotations

import json
import sqlite3
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi_users.authentication.strategy.db import DatabaseStrategy
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from asgi_refresh import Config, Cookie, Legacy, LegacyToken, RefreshMiddleware
from asgi_refresh.compat.authx import authx_legacy
from asgi_refresh.compat.flask_jwt_extended import flask_legacy
from tests.authx.site import RealClock
from tests.blackbox.helpers import DAY, deleted, make_site, together
from tests.migration.site import ALICE, arrived, sessions, sid, who, with_old
from tests.migration.sources import (
    OLD_SECRET,
    Authx,
    FlaskJwtExtended,
    StarletteSessions,
    User,
    printed,
    user_id,
)
from tests.support import Browser

pytestmark = pytest.mark.anyio

LOOPS = ["asyncio"]  # SQLAlchemy is made for it


# --- fastapi-users: the database strategy ---------------------------------------------------------


class Rows:
    """The table as fastapi-users' SQLAlchemy adapter makes it on SQLite."""

    def __init__(self, path: Path) -> None:
        self._file = sqlite3.connect(path)
        self._file.execute(
            "CREATE TABLE accesstoken (token VARCHAR(43) NOT NULL PRIMARY KEY,"
            " created_at TIMESTAMP NOT NULL, user_id CHAR(36) NOT NULL)"
        )

    async def create(self, row: dict[str, Any]) -> Any:
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        values = (row["token"], now, str(row["user_id"]))
        self._file.execute("INSERT INTO accesstoken VALUES (?, ?, ?)", values)
        self._file.commit()
        return type("AccessToken", (), row)

    def close(self) -> None:
        self._file.close()


async def test_a_row_is_adopted(
    clock: RealClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = Rows(tmp_path / "users.db")
    strategy: Any = DatabaseStrategy(rows, lifetime_seconds=int(14 * DAY))  # type: ignore[arg-type]
    tokens = [await strategy.write_token(User(uuid.UUID(ALICE))) for _ in range(2)]
    legacy = printed("fastapi-users.md", "legacy", "legacy_rows")
    engine = legacy.read.__globals__["engine"]
    try:
        site = make_site(clock, accept_legacy=legacy)
        clock.advance(100)
        site.browser.put("fastapiusersauth", tokens[0])
        answers = await together([site.browser.send] * 20)
        assert {who(answer) for answer in answers} == {ALICE}
        assert len({sid(answer) for answer in answers}) == 1
        (session,) = await site.issuer.sessions(ALICE)
        assert session.created_at == pytest.approx(clock() - 100, abs=0.001)

        other = with_old(site, {"fastapiusersauth": tokens[1]})
        assert who(await other.get()) == ALICE
        assert await sessions(site.issuer) == 2
        assert who(await with_old(site, {"fastapiusersauth": "unknown"}).get()) is None
        clock.advance(14 * DAY)
        late = with_old(make_site(clock, accept_legacy=legacy), {"fastapiusersauth": tokens[1]})
        assert who(await late.get()) is None
        rows.close()
        (tmp_path / "users.db").unlink()
        await engine.dispose()
        response = await late.get()
        assert (who(response), response.json()["reason"]) == (None, "claims_unavailable")
    finally:
        rows.close()
        await engine.dispose()


# --- Starlette's sessions -------------------------------------------------------------------------


def old_application(browser: Browser) -> Browser:
    """The same jar before the application that was."""

    async def login(request: Request) -> JSONResponse:
        request.session.update(user_id=ALICE, login_id="drawn at this sign-in")
        return JSONResponse({})

    async def cart(request: Request) -> JSONResponse:
        request.session["cart"] = [1]
        return JSONResponse({})

    app = Starlette(
        routes=[Route("/login", login, methods=["POST"]), Route("/cart", cart, methods=["POST"])],
        middleware=[Middleware(SessionMiddleware, secret_key=OLD_SECRET)],
    )
    old = Browser(app, browser.clock)
    old.jar = browser.jar
    return old


async def two_copies(clock: RealClock, legacy: Legacy) -> tuple[Browser, Browser, Any]:
    site = make_site(clock, accept_legacy=legacy)
    old = old_application(site.browser)
    await old.post("/login")
    first = site.browser.fork()
    clock.advance(5)
    await old.post("/cart")
    clock.advance(5)
    assert first.values() != site.browser.values()
    return first, site.browser, site.issuer


async def test_two_copies_of_a_session_cookie_are_two_sessions(clock: RealClock) -> None:
    """As the page says: signing out of one does not end the other; everywhere does."""
    legacy = printed("starlette-sessions.md", "legacy")
    first, second, issuer = await two_copies(clock, legacy)
    kept = first.fork()
    assert sid(await first.get()) != sid(await second.get())
    await second.post("/logout")
    clock.advance(2)
    assert who(await first.get()) == ALICE
    await issuer.revoke_subject(ALICE)
    assert who(await kept.get()) is None


async def test_with_an_id_of_their_own_they_are_one(clock: RealClock) -> None:
    read = printed("starlette-sessions.md", "legacy", "read_with_id")
    first, second, issuer = await two_copies(clock, Legacy(read, Cookie("session", secure=False)))
    kept = first.fork()
    assert sid(await first.get()) == sid(await second.get())
    await second.post("/logout")
    assert who(await kept.get()) is None
    assert await sessions(issuer) == 0


async def test_the_old_session_goes_with_all_that_is_in_it(clock: RealClock) -> None:
    legacy = printed("starlette-sessions.md", "legacy")
    _, browser, _ = await two_copies(clock, legacy)
    assert deleted(await browser.get()) == {"session"}


async def test_a_session_under_another_name_stays(clock: RealClock) -> None:
    source = StarletteSessions()

    async def visit(request: Request) -> JSONResponse:
        seen = request.session.get("seen", 0)
        request.session["seen"] = seen + 1
        return JSONResponse({"seen": seen, "subject": request.user.subject})

    site = await arrived(clock, source)
    sessions_ = Middleware(SessionMiddleware, secret_key="x" * 32, session_cookie="cart")
    app = Starlette(routes=[Route("/", visit)], middleware=[sessions_])
    site.browser.app = RefreshMiddleware(app, site.issuer)
    for seen in range(3):
        assert (await site.browser.get()).json() == {"seen": seen, "subject": ALICE}


# --- AuthX and Flask-JWT-Extended -----------------------------------------------------------------


async def test_scopes_travel_as_they_were(clock: RealClock) -> None:
    source = Authx()
    site = make_site(clock, accept_legacy=source.legacy())
    scopes = ["reports:read"]
    site.browser.put(source.cookie, source.auth.create_refresh_token(ALICE, scopes=scopes))
    clock.advance(5)
    payload = (await site.browser.get()).json()["payload"]
    assert payload["scopes"] == scopes
    assert "scope" not in payload


async def test_tokens_that_never_end_are_not_taken() -> None:
    flask = FlaskJwtExtended(JWT_REFRESH_TOKEN_EXPIRES=False)
    authx = Authx(JWT_REFRESH_TOKEN_EXPIRES=None)
    from tests.support import Clock, whoami

    for source in (flask, authx):
        token = await source.sign_in(Browser(whoami, Clock()))
        assert source.legacy().read(token) is None


async def test_a_plain_dict_will_do_once_flask_is_gone(clock: RealClock) -> None:
    source = FlaskJwtExtended()
    legacy = flask_legacy(dict(source.app.config))
    site = make_site(clock, accept_legacy=legacy)
    await source.sign_in(site.browser)
    clock.advance(5)
    assert who(await site.browser.get()) == ALICE


async def test_who_is_on_a_blocklist_is_not_taken(clock: RealClock) -> None:
    source = Authx()
    plain = authx_legacy(source.config)
    blocked: set[str] = set()

    def read(raw: str) -> Any:
        return None if raw in blocked else plain.read(raw)

    site = make_site(clock, accept_legacy=Legacy(read, plain.cookie, plain.drop))
    blocked.add(await source.sign_in(site.browser))
    assert who(await site.browser.get()) is None


async def test_access_tokens_where_there_were_no_others(clock: RealClock) -> None:
    """An application that gave out access tokens alone: a reader of its own takes them."""
    import jwt

    source = Authx(JWT_ACCESS_TOKEN_EXPIRES=timedelta(days=7))

    def read(raw: str) -> LegacyToken | None:
        try:
            claims = jwt.decode(raw, OLD_SECRET, algorithms=["HS256"])
        except jwt.InvalidTokenError:
            return None
        if claims["type"] != "access":
            return None
        return LegacyToken(claims["jti"], claims["sub"], claims["exp"], claims["iat"])

    site = make_site(clock, accept_legacy=Legacy(read, Cookie("access_token_cookie")))
    await source.sign_in(site.browser)
    site.browser.drop("refresh_token_cookie")
    clock.advance(5 * DAY)
    assert who(await site.browser.get()) == user_id("alice")


async def test_a_double_submit_token_is_known_after_the_first_page(clock: RealClock) -> None:
    config = Config(csrf_cookie=Cookie("__Host-csrf", http_only=False))
    site = await arrived(clock, Authx(), config=config)
    open_page = [("x-csrf-token", site.browser.values()["csrf_access_token"])]
    assert (await site.browser.post(headers=open_page)).status == 403
    assert who(await site.browser.get()) == ALICE
    again = [("x-csrf-token", site.browser.values()["__Host-csrf"])]
    assert json.loads((await site.browser.post(headers=again)).body)["subject"] == ALICE
