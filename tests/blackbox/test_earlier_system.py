"""Signing in and out with a cookie of an earlier system: who is told of it, and outages."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_refresh import Auth, Client, Config, Cookie, Legacy, LegacyToken
from tests.blackbox.helpers import (
    ACCESS,
    DAY,
    REFRESH,
    TOMBSTONE,
    Site,
    deleted,
    doing,
    given,
    make_site,
    on_paths,
)
from tests.support import Browser, Clock

pytestmark = pytest.mark.anyio

PEER = Client("192.0.2.7", "test-browser")
OLD = "old"


def crashing(auth: Auth) -> None:
    auth.logout()
    raise ZeroDivisionError


APP = on_paths(
    login=doing(lambda auth: auth.login("bob")),
    logout=doing(lambda auth: auth.logout()),
    crash=doing(crashing),
)
paths = pytest.mark.parametrize("path", ["login", "logout"])


def site_of(clock: Clock, *, outage: bool = False, **kwargs: Any) -> Site:
    """A site whose earlier system gave out tokens such as `alice.1`."""

    def read(token: str) -> LegacyToken | None:
        if outage:
            raise OSError
        subject, dot, number = token.partition(".")
        return LegacyToken(number, subject, clock() + DAY) if dot else None

    return make_site(clock, APP, accept_legacy=Legacy(read, Cookie(OLD)), **kwargs)


async def test_the_cookies_of_the_session_come_and_the_old_one_goes(clock: Clock) -> None:
    site = site_of(clock)
    site.browser.put(OLD, "alice.1")

    response = await site.browser.get("/")

    assert (given(response), deleted(response)) == ({ACCESS, REFRESH}, {OLD})


@paths
async def test_the_session_of_an_old_token_beside_ours_ends_and_it_is_told_why_and_by_whom(
    clock: Clock, path: str
) -> None:
    site = site_of(clock)
    other = Browser(site.browser.app, clock)
    other.put(OLD, "alice.1")
    await other.get("/")
    await site.sign_in("carol")
    site.browser.put(OLD, "alice.1")

    await site.browser.post(f"/{path}")

    revoked = [(event.subject, event.reason, event.client) for event in site.named("revoked")]
    assert revoked == [("carol", path, PEER), ("alice", path, PEER)]


@paths
async def test_without_a_store_all_that_came_go_on_the_tombstone(clock: Clock, path: str) -> None:
    site = site_of(clock, stored=False)
    both = [("cookie", f"{OLD}=alice.1; {OLD}=alice.2")]

    site.browser.deliver(await site.browser.send(f"/{path}", "POST", headers=both))

    assert [event.reason for event in site.named("revoked")] == [path] * 2
    for token in ("alice.1", "alice.2"):
        kept = {OLD: token, TOMBSTONE: site.browser.values()[TOMBSTONE]}
        assert (await site.browser.send("/", cookies=kept)).json()["subject"] is None


async def test_an_old_token_that_is_none_is_no_hindrance(clock: Clock) -> None:
    site = site_of(clock)
    site.browser.put(OLD, "x")

    assert given(await site.browser.post("/login")) == {ACCESS, REFRESH}


async def test_a_login_stands_though_the_old_token_cannot_be_read(clock: Clock) -> None:
    site = site_of(clock, outage=True)
    site.browser.put(OLD, "alice.1")

    response = await site.browser.post("/login")

    assert (response.status, given(response)) == (200, {ACCESS, REFRESH})


@pytest.mark.parametrize("operation", ["get", "add"])
async def test_a_login_stands_though_the_session_of_an_old_token_cannot_be_ended(
    clock: Clock, operation: str
) -> None:
    site = site_of(clock)
    site.browser.put(OLD, "alice.1")
    real = site.store.store.add

    async def add(session: Any) -> None:
        if session.subject != "bob":
            raise OSError
        await real(session)

    if operation == "add":
        site.store.store.add = add
    else:
        site.store.broken.add(operation)

    response = await site.browser.post("/login")

    assert (response.status, given(response)) == (200, {ACCESS, REFRESH})


async def test_a_logout_that_cannot_read_the_old_token_is_answered_503(clock: Clock) -> None:
    site = site_of(clock, outage=True)
    site.browser.put(OLD, "alice.1")

    response = await site.browser.post("/logout")

    assert response.status == 503
    assert response.header("retry-after") is not None


async def test_behind_a_crash_it_is_the_crash_that_is_raised(clock: Clock) -> None:
    site = site_of(clock, outage=True)
    site.browser.put(OLD, "alice.1")

    with pytest.raises(ZeroDivisionError):
        await site.browser.post("/crash")


async def test_nothing_of_an_old_token_goes_on_the_tombstone_where_it_is_denied_anyway(
    clock: Clock,
) -> None:
    site = site_of(clock, config=Config())
    site.browser.put(OLD, "alice.1")

    assert given(await site.browser.post("/logout")) == set()
