"""The implicit refresh that AuthX's page "Refreshing Tokens" promises, in front of its code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.authx.site import RealClock, travelling
from tests.examples.support import EXAMPLES, SECRET_KEY, close, load
from tests.support import Browser

pytestmark = pytest.mark.anyio
COOKIES = {
    "access_token_cookie", "csrf_access_token", "refresh_token_cookie", "csrf_refresh_token",
}  # fmt: skip


@pytest.fixture
def browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET_KEY", SECRET_KEY)
    module = load(EXAMPLES / "authx_app.py")
    with travelling() as traveller:
        yield Browser(module.app, RealClock(traveller))
    close(module.issuer)


async def sign_in(browser: Browser) -> None:
    query = {"query_string": b"username=test&password=test"}
    response = await browser.post("/login", scope=query)
    assert (response.status, set(response.cookies)) == (200, COOKIES)


async def test_an_expired_access_token_is_replaced_within_the_request(browser: Browser) -> None:
    await sign_in(browser)
    for _ in range(3):
        browser.clock.advance(20 * 60)

        response = await browser.get("/protected")

        assert (response.status, response.json()) == (200, {"hello": "test"})
        assert set(response.cookies) == COOKIES


async def test_so_is_one_that_is_gone(browser: Browser) -> None:
    await sign_in(browser)
    browser.drop("access_token_cookie", "csrf_access_token")

    assert (await browser.get("/protected")).json() == {"hello": "test"}


async def test_a_page_of_before_can_post(browser: Browser) -> None:
    await sign_in(browser)
    read = browser.values()["csrf_access_token"]
    browser.clock.advance(20 * 60)

    without = await browser.post("/transfer")
    response = await browser.post("/transfer", headers=[("x-csrf-token", read)])

    assert without.status == 401
    assert (response.status, response.json()) == (200, {"paid by": "test"})


async def test_signing_out_lasts(browser: Browser) -> None:
    await sign_in(browser)
    browser.clock.advance(20 * 60)
    await browser.get("/protected")
    copy = browser.fork()

    await browser.post("/logout")

    assert browser.values() == {}
    browser.clock.advance(5)
    assert (await browser.get("/protected")).status == 401
    assert (await copy.get("/protected")).status == 401
