"""What a reviewer found: sign-ins that were locked out, and sign-outs on the day of the switch."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_refresh import Auth, Config, Cookie, Legacy, LegacyToken, MemoryStore
from asgi_refresh.compat.authx import authx_legacy
from tests.authx import site as authx
from tests.authx.site import RealClock
from tests.blackbox.helpers import ACCESS, DAY, HOUR, REFRESH, make_site
from tests.migration.site import ALICE, arrived, who, with_old
from tests.migration.sources import Authx
from tests.support import Browser, Clock

pytestmark = pytest.mark.anyio

CSRF = Config(csrf_cookie=Cookie("__Host-csrf", http_only=False))
modes = pytest.mark.parametrize("stored", [True, False], ids=["rotating", "stateless"])


# --- the double-submit token refuses no sign-in ---------------------------------------------------


async def test_a_dead_session_asks_for_no_token(clock: Clock) -> None:
    """A browser without Sec-Fetch keeps dead cookies, and its sign-in page has no token."""
    site = make_site(clock, config=CSRF)
    session_id = await site.sign_in()
    await site.issuer.revoke(session_id)
    clock.advance(HOUR)

    response = await site.browser.post("/login")

    assert (response.status, response.json()["subject"]) == (200, "alice")


async def test_nor_does_a_token_of_an_earlier_system_that_was_ended(clock: RealClock) -> None:
    site = await arrived(clock, Authx(), stored=True, config=CSRF)
    await site.issuer.revoke_subject(ALICE)
    clock.advance(2)

    response = await site.browser.post("/login")

    assert (response.status, who(response)) == (200, "alice")


async def test_a_dead_cookie_of_an_earlier_system_goes_with_a_navigation(clock: RealClock) -> None:
    site = await arrived(clock, Authx(), stored=True)
    await site.issuer.revoke_subject(ALICE)
    clock.advance(2)

    await site.browser.navigate()

    assert site.browser.values() == {}


# --- the day of the switch ------------------------------------------------------------------------


@modes
async def test_the_first_request_may_be_a_handshake(clock: RealClock, stored: bool) -> None:
    """It brings an access cookie only; when that is over the old token still counts."""
    site = await arrived(clock, Authx(), stored=stored)
    messages = await site.browser.websocket()
    for message in messages:
        for name, value in message.get("headers", ()):
            if name == b"set-cookie":
                cookie, _, token = value.decode().partition(";")[0].partition("=")
                site.browser.put(cookie, token)
    assert ACCESS in site.browser.values()
    assert REFRESH not in site.browser.values()

    clock.advance(HOUR)
    response = await site.browser.get()

    assert who(response) == ALICE
    assert REFRESH in response.cookies


@modes
async def test_a_sign_in_at_the_old_system_counts_beside_dead_cookies(
    clock: RealClock, stored: bool
) -> None:
    """A rolling deploy: an old process signs the user in, who had signed out at a new one."""
    source = Authx()
    site = await arrived(clock, source, stored=stored)
    await site.browser.get()
    dead = site.browser.values()
    if stored:
        await site.issuer.revoke_subject(ALICE)
    clock.advance(15 * DAY)
    await source.sign_in(site.browser)
    for name, value in dead.items():
        site.browser.put(name, value)

    assert who(await site.browser.get()) == ALICE


@pytest.mark.parametrize("audience", [None, "svc"])
async def test_keeping_first_and_leaving_later_with_an_audience(
    clock: RealClock, audience: str | None
) -> None:
    store = MemoryStore()
    options = {"JWT_ENCODE_AUDIENCE": "svc", "JWT_DECODE_AUDIENCE": "svc"}
    before = await authx.signed_in(clock, "stored", store=store, **options)
    clock.advance(HOUR)
    assert (await before.browser.get("/me")).status == 200
    legacy = authx_legacy(before.auth.config)
    config = Config(audience=audience)
    after = make_site(clock, store=store, config=config, accept_legacy=legacy)
    browser = with_old(after, before.browser.values())

    response = await browser.get()
    clock.advance(5)

    assert who(response) == "alice"
    assert (await browser.get()).set_cookies == []  # and the new access token can be read
    payload = response.json()["payload"]
    assert payload.get("aud") == audience


# --- handshakes -----------------------------------------------------------------------------------


async def handshake(browser: Browser, origin: str) -> str | None:
    messages = await browser.websocket(headers=[("origin", origin)])
    texts = [message["text"] for message in messages if message["type"] == "websocket.send"]
    subject: str | None = json.loads(texts[0])["subject"] if texts else "refused"
    return subject


@pytest.mark.parametrize(
    ("setting", "foreign"), [("refuse", "refused"), ("websockets", "refused"), ("allow", "alice")]
)
async def test_handshakes_are_refused_unless_all_is_allowed(
    clock: Clock, setting: Any, foreign: str
) -> None:
    site = make_site(clock, config=Config(cross_origin=setting))
    await site.sign_in()

    assert await handshake(site.browser, "https://app.example") == "alice"
    assert await handshake(site.browser, "https://evil.example") == foreign


@pytest.mark.parametrize(
    ("setting", "status"), [("refuse", 403), ("websockets", 200), ("allow", 200)]
)
async def test_posts_are_refused_by_default_only(clock: Clock, setting: Any, status: int) -> None:
    site = make_site(clock, config=Config(cross_origin=setting))
    await site.sign_in()

    response = await site.browser.post("/", headers=[("origin", "https://evil.example")])

    assert response.status == status


# --- a failing reader -----------------------------------------------------------------------------


async def test_the_applications_own_error_is_the_one_that_is_seen(clock: Clock) -> None:
    broken = False

    def read(_raw: str) -> LegacyToken | None:
        if broken:
            raise OSError("the reader's")
        return None

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal broken
        broken = True
        Auth.of(scope).logout()
        raise KeyError("the application's")

    legacy = Legacy(read, Cookie("old"))
    site = make_site(clock, app, accept_legacy=legacy)
    await site.sign_in()
    site.browser.put("old", "token")

    with pytest.raises(KeyError, match="the application's"):
        await site.browser.get("/")
