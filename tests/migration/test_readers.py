"""What the application's own reader may do, and what becomes of a request when it fails."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from typing import Any

import anyio
import pytest

from asgi_refresh import (
    Config,
    Cookie,
    Issuer,
    Legacy,
    LegacyToken,
    MemoryStore,
    RefreshMiddleware,
    errors,
)
from asgi_refresh.endpoints import bundle
from tests.authx.site import RealClock
from tests.blackbox.helpers import DAY, HOUR, Site, make_site
from tests.migration.site import BOTH, MODES, rows, sessions, who
from tests.support import Browser, whoami

pytestmark = pytest.mark.anyio

modes = pytest.mark.parametrize("stored", MODES.values(), ids=MODES)
OLD = Cookie("old")


def token(clock: RealClock, raw: str, **changes: Any) -> LegacyToken:
    values: dict[str, Any] = {"expires_at": clock() + DAY, "issued_at": clock() - HOUR}
    return LegacyToken(raw, "alice", **(values | changes))


def site_with(clock: RealClock, read: Any, *, stored: bool = True, **kwargs: Any) -> Site:
    site = make_site(clock, stored=stored, accept_legacy=Legacy(read, OLD), **kwargs)
    site.browser.put("old", "anything")
    return site


class Reader:
    """A reader that can be told to fail."""

    def __init__(self, clock: RealClock) -> None:
        self.clock = clock
        self.fails = True

    async def __call__(self, raw: str) -> LegacyToken | None:
        await anyio.lowlevel.checkpoint()
        if self.fails:
            raise ConnectionError("the database is away")
        return token(self.clock, raw)


# --- sync and async -------------------------------------------------------------------------------


@modes
async def test_sync_and_async(clock: RealClock, stored: bool) -> None:
    def sync(raw: str) -> LegacyToken:
        return token(clock, raw)

    async def later(raw: str) -> LegacyToken:
        await anyio.lowlevel.checkpoint()
        return token(clock, raw)

    class Either:
        def __call__(self, raw: str) -> Awaitable[LegacyToken]:
            return later(raw)

    for read in (sync, later, Either()):
        site = site_with(clock, read, stored=stored)
        assert who(await site.browser.get()) == "alice"


@modes
async def test_it_is_asked_only_where_there_is_nothing_better(
    clock: RealClock, stored: bool
) -> None:
    asked: list[str] = []

    def read(raw: str) -> LegacyToken:
        asked.append(raw)
        return token(clock, raw)

    site = site_with(clock, read, stored=stored)
    site.browser.drop("old")
    await site.browser.get()
    assert asked == []
    await site.sign_in()
    site.browser.put("old", "anything")
    await site.browser.get()
    clock.advance(HOUR)
    site.browser.jar = site.browser.fork().jar
    await site.browser.get()
    assert [raw for raw in asked if raw != "anything"] == []


async def test_it_is_not_given_what_no_token_is(clock: RealClock) -> None:
    asked: list[str] = []
    site = site_with(clock, asked.append)
    for value in ("x" * 9000, "caf\xe9"):
        site.browser.put("old", value)
        response = await site.browser.get()
        assert (who(response), response.json()["reason"]) == (None, "invalid_token")
    assert asked == []


@modes
async def test_one_that_looks_at_no_time_is_no_danger(clock: RealClock, stored: bool) -> None:
    for end in (clock() - 1, clock(), 0.0):
        site = site_with(
            clock, lambda raw, end=end: token(clock, raw, expires_at=end), stored=stored
        )
        response = await site.browser.get()
        assert (who(response), response.json()["reason"]) == (None, "invalid_token")
        assert response.set_cookies == []


# --- failures -------------------------------------------------------------------------------------


@modes
async def test_a_reader_that_raises_is_an_outage(clock: RealClock, stored: bool) -> None:
    reader = Reader(clock)
    site = site_with(clock, reader, stored=stored)
    response = await site.browser.navigate()
    assert (who(response), response.json()["reason"]) == (None, "claims_unavailable")
    assert response.set_cookies == []
    if stored:
        assert rows(site.store) == 0

    reader.fails = False
    assert who(await site.browser.get()) == "alice"
    assert site.browser.values().keys() == BOTH


@modes
async def test_a_logout_meanwhile_is_not_promised(clock: RealClock, stored: bool) -> None:
    reader = Reader(clock)
    site = site_with(clock, reader, stored=stored)
    assert (await site.browser.send("/logout", "POST")).status == 503


async def test_a_login_meanwhile_stands(clock: RealClock) -> None:
    site = site_with(clock, Reader(clock))
    assert who(await site.browser.post("/login")) == "alice"
    assert site.browser.values().keys() == BOTH


async def test_the_refresh_endpoint_says_try_again(clock: RealClock) -> None:
    reader = Reader(clock)
    site = site_with(clock, reader)
    app = RefreshMiddleware(whoami, site.issuer, endpoints=bundle(site.issuer))
    browser = Browser(app, clock)
    for headers, body in by_hand("anything"):
        response = await browser.post("/auth/refresh", headers=headers, body=body)
        assert response.status == 503
        assert response.header("retry-after") is not None
    form = [("content-type", "application/x-www-form-urlencoded")]
    assert (await browser.post("/auth/revoke", headers=form, body=b"token=x")).status == 503
    with pytest.raises(errors.ClaimsUnavailable):
        await site.issuer.refresh("anything")
    reader.fails = False
    assert (await site.issuer.refresh("anything")).session_id


def by_hand(raw: str) -> list[tuple[list[tuple[str, str]], bytes]]:
    json_ = json.dumps({"refresh_token": raw}).encode()
    form = f"grant_type=refresh_token&refresh_token={raw}".encode()
    return [
        ([("authorization", f"Bearer {raw}")], b""),
        ([("content-type", "application/json")], json_),
        ([("content-type", "application/x-www-form-urlencoded")], form),
    ]


@modes
@pytest.mark.parametrize(
    "changes",
    [{"subject": ""}, {"subject": 7}, {"subject": "a\n"}, {"claims": {"x": object()}},
     {"claims": {"x": "y" * 5000}}, {"claims": {"sub": "eve"}}],
    ids=["empty", "number", "control", "object", "long", "reserved"],
)  # fmt: skip
async def test_what_cannot_be_carried_signs_nobody_in(
    clock: RealClock, stored: bool, changes: dict[str, Any]
) -> None:
    values: dict[str, Any] = {"id": "x", "subject": "alice", "expires_at": clock() + DAY}
    site = site_with(clock, lambda _raw: LegacyToken(**(values | changes)), stored=stored)
    response = await site.browser.get()
    assert (who(response), response.json()["reason"]) == (None, "claims_unavailable")
    assert response.set_cookies == []
    if stored:
        assert await sessions(site.issuer, "alice") == 0


@modes
@pytest.mark.parametrize(
    "what",
    [
        "alice",
        0,
        {"sub": "alice"},
        LegacyToken("x", "alice", None),  # type: ignore[arg-type]
        LegacyToken("x", "alice", "9"),  # type: ignore[arg-type]
        LegacyToken("x", "alice", 1_900_000_000.0, "9"),  # type: ignore[arg-type]
        LegacyToken("x", "alice", 1_900_000_000.0, float("nan")),
        LegacyToken("x", "alice", float("nan")),
    ],
    ids=range(8),
)
async def test_a_reader_that_returns_something_else_is_an_outage_too(
    clock: RealClock, stored: bool, what: Any
) -> None:
    site = site_with(clock, lambda _raw: what, stored=stored)
    response = await site.browser.get()
    assert (who(response), response.json()["reason"]) == (None, "claims_unavailable")


# --- cookies whose names meet ---------------------------------------------------------------------


@modes
async def test_old_cookies_and_ours_need_different_names(clock: RealClock, stored: bool) -> None:
    """Or the deletion of the old one would delete the new one."""
    names = {"access_cookie": Cookie("access_token"), "refresh_cookie": Cookie("refresh_token")}
    for legacy in (
        Legacy(lambda raw: token(clock, raw), Cookie("refresh_token")),
        Legacy(lambda raw: token(clock, raw), OLD, [Cookie("access_token")]),
    ):
        with pytest.raises(errors.ConfigurationError, match="need other names"):
            make_site(clock, stored=stored, config=Config(**names), accept_legacy=legacy)


async def test_so_does_the_double_submit_token(clock: RealClock) -> None:
    csrf = Cookie("csrf_access_token", http_only=False)
    legacy = Legacy(lambda raw: token(clock, raw), OLD, [csrf])
    try:
        site = make_site(clock, config=Config(csrf_cookie=csrf), accept_legacy=legacy)
    except errors.ConfigurationError:
        return
    site.browser.put("old", "anything")
    site.browser.put("csrf_access_token", "of the old system")
    assert who(await site.browser.get()) == "alice"
    assert "csrf_access_token" in site.browser.values()


# --- no cookie ------------------------------------------------------------------------------------


async def test_without_a_cookie_only_the_endpoint_takes_them(clock: RealClock) -> None:
    issuer = Issuer(
        "a-secret-of-at-least-32-bytes-for-tests!",
        store=MemoryStore(),
        clock=clock,
        accept_legacy=Legacy(lambda raw: token(clock, raw)),
    )
    browser = Browser(RefreshMiddleware(whoami, issuer), clock)
    browser.put("old", "anything")
    assert who(await browser.get()) is None
    assert issuer.verify((await issuer.refresh("anything")).access_token)["sub"] == "alice"
