"""What a sign-out clears besides, and the warning about cookies that proxies choke on."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_refresh import Config
from asgi_refresh.endpoints import LogoutEndpoint
from asgi_refresh.errors import ConfigurationError
from tests.blackbox.helpers import HOUR, doing, make_site
from tests.support import Browser, Clock

pytestmark = pytest.mark.anyio

CLEARS = Config(clear_site_data=["cache", "storage"])
SAID = '"cache", "storage"'


async def test_a_sign_out_clears_what_is_asked_for(clock: Clock) -> None:
    site = make_site(clock, config=CLEARS)
    await site.browser.post("/login")

    page = await site.browser.get("/")
    out = await site.browser.post("/logout")

    assert page.header("clear-site-data") is None
    assert out.header("clear-site-data") == SAID


async def test_by_default_it_clears_nothing(clock: Clock) -> None:
    site = make_site(clock)
    await site.browser.post("/login")

    assert (await site.browser.post("/logout")).header("clear-site-data") is None


async def test_so_does_the_endpoint_and_a_deleted_cookie(clock: Clock) -> None:
    deletion = (b"set-cookie", b"__Host-access=; Max-Age=0; Path=/; Secure")
    for app in (doing(headers=[deletion]), None):
        site = make_site(clock, **({"app": app} if app else {}), config=CLEARS)
        await site.sign_in()
        browser = site.browser
        if app is None:
            browser = Browser(LogoutEndpoint(site.issuer), clock)
            browser.jar = site.browser.jar
        assert (await browser.post("/")).header("clear-site-data") == SAID


async def test_a_sign_out_that_could_not_be_written_clears_too(clock: Clock) -> None:
    """The page of who has signed out is gone, whatever the store does."""
    site = make_site(clock, config=CLEARS)
    await site.browser.post("/login")
    site.store.broken.add("revoke")

    response = await site.browser.post("/logout")

    assert (response.status, response.header("clear-site-data")) == (503, SAID)


async def test_what_another_site_sends_without_our_cookies_clears_nothing(clock: Clock) -> None:
    """Anybody may have a browser post a form, and SameSite leaves the cookies at home."""
    site = make_site(clock, config=CLEARS)
    foreign = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")]

    response = await site.browser.post("/logout", headers=foreign)

    assert response.status == 200
    assert response.header("clear-site-data") is None
    assert response.header("set-cookie") is None


async def test_a_login_that_is_refused_clears_nothing(clock: Clock) -> None:
    site = make_site(clock, config=CLEARS, load_claims=lambda _session: None)

    response = await site.browser.post("/login")

    assert (response.status, response.header("clear-site-data")) == (403, None)


@pytest.mark.parametrize("directive", ["cookies", "*", "Cache", "", "cache\r\nx: y"])
def test_what_would_not_do_is_refused(directive: str) -> None:
    with pytest.raises(ConfigurationError, match="clear_site_data"):
        Config(clear_site_data=[directive])


# --- large cookies --------------------------------------------------------------------------------


def claims(size: int) -> dict[str, Any]:
    return {"pad": "x" * size}


async def test_a_large_cookie_is_told_of_once(clock: Clock) -> None:
    site = make_site(clock, doing(lambda auth: auth.login("alice", claims(1500))))
    for _ in range(2):
        await site.browser.post("/")

    [event] = site.named("large_cookie")
    assert event.detail is not None
    assert event.detail.startswith("__Host-access: a Set-Cookie of ")


@pytest.mark.parametrize(("size", "told"), [(1100, 0), (1200, 1)])
async def test_the_line_counts_with_its_attributes(clock: Clock, size: int, told: int) -> None:
    site = make_site(clock, doing(lambda auth: auth.login("alice", claims(size))))

    response = await site.browser.post("/")

    longest = max(map(len, response.set_cookies))
    assert (longest > 1900) == bool(told)
    assert len(site.named("large_cookie")) == told


async def test_a_large_refresh_cookie_counts_as_well(clock: Clock) -> None:
    """Without a store it carries the claims."""
    site = make_site(clock, stored=False)
    await site.sign_in(claims=claims(1300))
    clock.advance(8 * 24 * HOUR)

    await site.browser.get("/")

    assert len(site.named("large_cookie")) == 1
