"""Access tokens that an application has issued itself, which are of no session: how they end."""

from __future__ import annotations

from collections.abc import Iterable

import jwt
import pytest
from authx import AuthXConfig

from asgi_refresh import Client, MemoryStore, RefreshMiddleware
from asgi_refresh.compat.authx import authx_issuer
from tests.blackbox.helpers import HOUR, MINUTE, Gates, Site, deleted, doing, on_paths
from tests.support import SECRET, App, Browser, Clock

pytestmark = pytest.mark.anyio

ACCESS, REFRESH = "access_token_cookie", "refresh_token_cookie"
CONFIG = AuthXConfig(JWT_SECRET_KEY=SECRET, JWT_TOKEN_LOCATION=["headers", "cookies"])
PEER = Client("192.0.2.7", "test-browser")


def token(clock: Clock, kind: str, name: str, *, lasts: float = 15 * MINUTE) -> str:
    """What AuthX would issue to alice; *name* tells it from others."""
    now = int(clock())
    says = {"sub": "alice", "type": kind, "jti": name, "csrf": "c", "fresh": False}
    return jwt.encode(says | {"iat": now, "exp": int(now + lasts)}, SECRET, "HS256")


def writing(*cookies: tuple[str, str], status: int = 200) -> App:
    lines = [(b"set-cookie", f"{name}={value}; Path=/".encode()) for name, value in cookies]
    return doing(headers=lines, status=status)


def make_site(clock: Clock, **apps: App) -> Site:
    """An application of which alice has an access token, `first`, and a refresh token."""
    store, events = Gates(MemoryStore()), []
    issuer = authx_issuer(CONFIG, store=store, clock=clock, on_event=events.append)
    app = RefreshMiddleware(on_paths(**apps), issuer)
    site = Site(clock, events, store, issuer, Browser(app, clock))
    site.browser.put(ACCESS, token(clock, "access", "first"))
    site.browser.put(REFRESH, token(clock, "refresh", "r", lasts=20 * 24 * HOUR))
    return site


async def refused(site: Site, access: str) -> bool:
    """Whether an access token that comes alone is known to be over."""
    told = (await site.browser.send("/", cookies={ACCESS: access})).json()
    assert (told["subject"] is None) == (told["reason"] == "revoked_token")
    return told["subject"] is None


def bearer(raw: str) -> Iterable[tuple[str, str]]:
    return [("authorization", f"Bearer {raw}")]


@pytest.mark.parametrize("path", ["/", "/anew"])
async def test_one_that_is_replaced_ends_with_the_session(clock: Clock, path: str) -> None:
    """By a refresh, or by one that the application writes itself."""
    again = token(clock, "access", "again")
    site = make_site(clock, anew=writing((ACCESS, again)))
    first = site.browser.values()[ACCESS]
    assert (await site.browser.get("/")).set_cookies == []
    clock.advance(10 * MINUTE if path == "/" else 1)

    replaced = await site.browser.get(path)
    before = await refused(site, first)
    await site.browser.post("/logout")

    assert ACCESS in replaced.cookies
    assert (before, await refused(site, first)) == (False, True)


async def test_one_that_stays_is_not_noted(clock: Clock) -> None:
    site = make_site(clock, theme=writing(("theme", "dark")))

    await site.browser.get("/theme")  # the session begins
    site.store.calls.clear()
    site.browser.put(ACCESS, token(clock, "access", "another"))

    await site.browser.get("/theme")

    assert site.store.count("add", "replace") == 0


async def test_one_without_a_refresh_token_beside_it_has_nothing_to_end_with(clock: Clock) -> None:
    site = make_site(clock, anew=writing((ACCESS, token(clock, "access", "again"))))
    site.browser.drop(REFRESH)

    response = await site.browser.get("/anew")

    assert (response.status, site.store.count("add", "replace")) == (200, 0)


@pytest.mark.parametrize(
    ("status", "names"), [(399, {ACCESS, REFRESH}), (400, set()), (401, set())]
)
async def test_an_error_refreshes_nothing_where_the_application_checks_who_may_act(
    clock: Clock, status: int, names: set[str]
) -> None:
    """Its own double-submit check comes after ours: who fails it must not prolong anything."""
    site = make_site(clock, failing=doing(status=status))
    clock.advance(10 * MINUTE)

    response = await site.browser.get("/failing")

    assert (response.status, set(response.cookies) & {ACCESS, REFRESH}) == (status, names)


async def test_an_outage_does_not_keep_it_from_being_replaced(clock: Clock) -> None:
    again = token(clock, "access", "again")
    site = make_site(clock, anew=writing((ACCESS, again)))
    site.store.broken.add("get")

    response = await site.browser.get("/anew")

    assert (response.status, response.cookies[ACCESS]) == (200, again)


async def test_one_that_is_deleted_signs_out(clock: Clock) -> None:
    site = make_site(clock, out=writing((ACCESS, "; Max-Age=0")))
    first = site.browser.values()[ACCESS]

    response = await site.browser.post("/out")

    assert deleted(response) >= {REFRESH}
    assert await refused(site, first)


@pytest.mark.parametrize("where", ["cookie", "header"])
async def test_one_that_was_issued_for_longer_than_usual_is_refused_for_as_long(
    clock: Clock, where: str
) -> None:
    """Beside that of the request, which may have come in either."""
    site = make_site(clock)
    long = token(clock, "access", "long", lasts=10 * HOUR)
    inside, header = (long, "first") if where == "cookie" else ("first", long)
    values = {"first": site.browser.values()[ACCESS]}
    cookies = {ACCESS: values.get(inside, inside)}

    await site.browser.send(
        "/logout", "POST", headers=bearer(values.get(header, header)), cookies=cookies
    )
    clock.advance(9 * HOUR)

    assert await refused(site, long)


async def test_its_end_is_told_with_why_and_by_whom(clock: Clock) -> None:
    site = make_site(clock)
    second = token(clock, "access", "second")

    await site.browser.send(
        "/logout", "POST", headers=bearer(second), cookies={ACCESS: site.browser.values()[ACCESS]}
    )

    assert [(e.reason, e.client) for e in site.named("revoked")] == [("logout", PEER)] * 2
