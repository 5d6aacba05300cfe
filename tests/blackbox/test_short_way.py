"""
Which requests take the short way: those that plainly need no care cost next to nothing.

The careful ways, in and out, say the same of them; that they are not taken is all that can be seen.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import asgi_refresh
from asgi_refresh import Auth, Config
from tests.blackbox.helpers import ACCESS, REFRESH, XHR, Site, deleted, doing, given, make_site
from tests.support import App, Clock, whoami

pytestmark = pytest.mark.anyio

PACKAGE = Path(asgi_refresh.__file__).parent
CAREFUL = {"inbound", "exchange"}
SAME_ORIGIN = (b"Sec-Fetch-Site", b"same-origin")
HOST, ORIGIN = (b"Host", b"app.example"), (b"Origin", b"https://app.example")


@contextmanager
def entered() -> Iterator[set[str]]:
    """The modules of the library whose functions are called meanwhile."""
    found: set[str] = set()

    def note(frame: Any, event: str, _argument: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.parent == PACKAGE:
            found.add(path.stem)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(before)


async def warm(clock: Clock, app: App | None = None, **kwargs: Any) -> Site:
    """A site that has served the session whose cookies its browser holds."""
    site = make_site(clock, app or doing(lambda auth: auth.subject, body=b""), **kwargs)
    await site.sign_in("alice")
    await site.browser.get("/")
    return site


async def careful(site: Site, **request: Any) -> set[str]:
    """The careful ways that a request takes."""
    with entered() as found:
        response = await site.browser.send(**request)
    assert response.status in (200, 204)
    assert "middleware" in found
    return found & CAREFUL


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("names", [(), (ACCESS,), (ACCESS, REFRESH)])
async def test_one_of_a_good_session_or_of_none(
    clock: Clock, names: tuple[str, ...], stored: bool
) -> None:
    site = await warm(clock, stored=stored)
    cookies = {name: site.browser.values()[name] for name in names} | {"theme": "dark"}

    assert await careful(site, cookies=cookies) == set()
    assert await careful(site, cookies=cookies, scope={"headers": []}) == set()


async def test_a_token_that_was_seen_before_is_not_read_again(clock: Clock) -> None:
    site = await warm(clock)
    await site.sign_in("bob")
    reads: list[bool] = []
    for _ in range(2):
        with entered() as found:
            await site.browser.send()
        reads.append("access" in found)

    assert reads == [True, False]


async def test_one_whose_token_is_seen_for_the_first_time(clock: Clock) -> None:
    site = await warm(clock)
    await site.sign_in("bob")

    assert await careful(site) == set()


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_one_that_signs_in_or_out_does_so_all_the_same(clock: Clock, method: str) -> None:
    site = await warm(clock, whoami)

    signed_in = await site.browser.request("/login/bob", method, headers=XHR)
    signed_out = await site.browser.request("/logout", method, headers=XHR)

    assert given(signed_in) == {ACCESS, REFRESH}
    assert deleted(signed_out) == {ACCESS, REFRESH}
    assert site.named("revoked")[-1].subject == "bob"


async def test_one_whose_token_is_none(clock: Clock) -> None:
    site = await warm(clock)

    assert await careful(site, cookies={ACCESS: "garbage", "theme": "dark"}) == set()


@pytest.mark.parametrize("also", [(), (HOST,), (ORIGIN,), (HOST, ORIGIN), ((b"X-Other", b"1"),)])
@pytest.mark.parametrize("signed_in", [True, False])
async def test_an_unsafe_one_of_the_same_origin(
    clock: Clock, also: tuple[tuple[bytes, bytes], ...], signed_in: bool
) -> None:
    site = await warm(clock)
    cookie = f"{ACCESS}={site.browser.values()[ACCESS]}" if signed_in else "theme=dark"
    headers = [*also, SAME_ORIGIN, (b"cookie", cookie.encode())]

    assert await careful(site, method="POST", scope={"headers": headers}) == set()


async def test_one_whose_cookies_the_server_split(clock: Clock) -> None:
    site = await warm(clock)
    headers = [("cookie", "theme=dark"), ("cookie", f"{ACCESS}={site.browser.values()[ACCESS]}")]

    assert await careful(site, cookies={}, headers=headers) == set()


@pytest.mark.parametrize("setting", [{"cross_origin_exempt": ["/x"]}, {"exclude": ["/x"]}])
async def test_one_of_a_path_that_is_like_any_other(clock: Clock, setting: dict[str, Any]) -> None:
    site = await warm(clock, config=Config(**setting))

    assert await careful(site) == set()


@pytest.mark.parametrize("look", [True, False])
@pytest.mark.parametrize("headers", [[], [(b"date", b"now"), (b"connection", b"close")]])
async def test_an_answer_that_says_nothing_of_cookies(
    clock: Clock, headers: list[tuple[bytes, bytes]], look: bool
) -> None:
    def act(auth: Auth) -> None:
        if look:
            bool(auth)

    site = await warm(clock, doing(act, headers=headers, status=204, body=b""))

    assert await careful(site) == set()
