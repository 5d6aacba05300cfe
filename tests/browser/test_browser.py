"""What a real browser makes of the cookies: the promises of the README, in Chromium."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import Site, Tab, until_expired

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext

pytestmark = [pytest.mark.browser, pytest.mark.anyio]


async def jar(context: BrowserContext) -> dict[str, Any]:
    return {cookie["name"]: cookie for cookie in await context.cookies()}


async def both(*coroutines: Any) -> list[Any]:
    return await asyncio.gather(*coroutines)


def chain(*lists: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*itertools.chain(*lists)]


async def test_two_tabs_stay_signed_in_when_the_access_token_expires(
    site: Site, context: BrowserContext
) -> None:
    first, second = await site.tab(context), await site.tab(context)
    me = await first.sign_in()
    await until_expired(me)
    assert set(await jar(context)) == {"refresh"}  # Max-Age ended the other

    title, answer = await both(first.reload(), second.fetch("/me"))

    assert title == "signed in as alice"
    assert answer["session_id"] == me["session_id"]
    assert await second.reload() == "signed in as alice"
    assert set(await jar(context)) == {"access", "refresh"}


async def test_no_script_sees_the_cookies(site: Site, context: BrowserContext) -> None:
    tab = await site.tab(context)
    await tab.sign_in()

    assert await tab.page.evaluate("document.cookie") == ""
    cookies = await jar(context)
    assert set(cookies) == {"access", "refresh"}
    for cookie in cookies.values():
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/")


async def test_parallel_requests_of_two_tabs_keep_one_session(
    site: Site, context: BrowserContext
) -> None:
    first, second = await site.tab(context), await site.tab(context)
    me = await first.sign_in()
    await until_expired(me)

    answers = chain(*await both(first.fetch_many("/me", 20), second.fetch_many("/me", 20)))

    assert {(a["status"], a["session_id"]) for a in answers} == {(200, me["session_id"])}
    assert any(a["refreshed"] for a in answers)
    await until_expired(max(answers, key=lambda answer: answer["expires_at"]))
    again = await both(first.fetch("/me"), second.fetch("/me"))  # the jar was left in order
    assert {a["session_id"] for a in again} == {me["session_id"]}
    names = [name for name, *_ in await site.log(context, me["session_id"])]
    assert names.count("refreshed") == 2
    assert "reused" not in names


async def test_signing_out_in_one_tab_is_final_in_both(site: Site, context: BrowserContext) -> None:
    first, second = await site.tab(context), await site.tab(context)
    await first.sign_in()
    assert await second.reload() == "signed in as alice"

    await first.fetch("/logout", "POST")

    assert await jar(context) == {}
    answers = chain(*await both(first.fetch_many("/me", 5), second.fetch_many("/me", 5)))
    assert {(a["subject"], a["reason"]) for a in answers} == {(None, "no_credentials")}
    assert await both(first.reload(), second.reload()) == ["sign in", "sign in"]
    assert await jar(context) == {}


async def test_a_handler_that_began_before_the_sign_out_does_not_undo_it(
    site: Site, context: BrowserContext
) -> None:
    first, second = await site.tab(context), await site.tab(context)
    await until_expired(await first.sign_in())
    slow = asyncio.ensure_future(first.fetch("/slow?gate=late-handler"))
    await site.arrived(context, "late-handler")

    await second.fetch("/logout", "POST")
    await site.release(context, "late-handler")

    assert (await slow)["refreshed"] is True  # it was signed in when it began
    assert await jar(context) == {}
    assert await both(first.reload(), second.reload()) == ["sign in", "sign in"]


async def test_a_response_on_the_wire_does_not_undo_a_sign_out(
    site: Site, context: BrowserContext
) -> None:
    first, second = await site.tab(context), await site.tab(context)
    await until_expired(await first.sign_in())
    held = asyncio.ensure_future(first.fetch("/held?gate=wire"))
    await site.arrived(context, "wire")

    await second.fetch("/logout", "POST")
    await site.release(context, "wire")
    await held

    assert set(await jar(context)) == {"access", "refresh"}  # nobody can call them back
    assert (await second.fetch("/me"))["subject"] is None
    assert await second.reload() == "sign in"
    assert await jar(context) == {}


async def test_without_a_store_a_tombstone_keeps_the_sign_out(
    stateless_site: Site, context: BrowserContext
) -> None:
    site = stateless_site
    first, second = await site.tab(context), await site.tab(context)
    await until_expired(await first.sign_in())
    held = asyncio.ensure_future(first.fetch("/held?gate=wire"))
    await site.arrived(context, "wire")

    await second.fetch("/logout", "POST")
    await site.release(context, "wire")
    await held

    assert "access" in await jar(context)
    assert (await second.fetch("/me"))["subject"] is None
    assert await both(first.reload(), second.reload()) == ["sign in", "sign in"]
    await first.sign_in()  # it buries that session, not the user
    assert await second.reload() == "signed in as alice"


async def test_a_websocket_is_signed_in_and_brings_a_fresh_access_cookie(
    site: Site, context: BrowserContext
) -> None:
    tab = await site.tab(context)
    me = await tab.sign_in()
    refresh = (await jar(context))["refresh"]["value"]
    await until_expired(me)

    told = await tab.page.evaluate(
        """() => new Promise((resolve, reject) => {
          const socket = new WebSocket(location.origin.replace("http", "ws") + "/ws");
          socket.onmessage = (event) => resolve(JSON.parse(event.data));
          socket.onerror = () => reject(new Error("refused"));
        })"""
    )

    assert told["session_id"] == me["session_id"]
    assert told["refreshed"] is True
    cookies = await jar(context)
    assert set(cookies) == {"access", "refresh"}
    assert cookies["refresh"]["value"] == refresh  # nothing rotates in a handshake
    after = await tab.fetch("/me")
    assert (after["subject"], after["refreshed"]) == ("alice", False)


async def test_a_websocket_from_another_origin_is_refused(
    site: Site, context: BrowserContext
) -> None:
    tab = await site.tab(context)
    await tab.sign_in()
    await tab.page.goto(site.same_site)

    outcome = await tab.page.evaluate(
        """(url) => new Promise((resolve) => {
          const socket = new WebSocket(url);
          socket.onmessage = (event) => resolve(event.data);
          socket.onerror = () => resolve("refused");
        })""",
        site.url.replace("http", "ws") + "/ws",
    )

    assert outcome == "refused"


POST_FORM = """(url) => {
  const form = document.createElement("form");
  form.method = "post";
  form.action = url;
  document.body.append(form);
  form.submit();
}"""


async def post_form(tab: Tab, origin: str, url: str) -> int:
    """Submit a form from a page of *origin*, as any page of the web can, and return the status."""
    await tab.page.goto(origin)
    async with tab.page.expect_navigation(url=url) as navigation:
        await tab.page.evaluate(POST_FORM, url)
    return (await navigation.value).status


async def refusal(site: Site, context: BrowserContext, reason: str) -> str:
    """Return what the newest event about another origin says."""
    log = [entry for entry in await site.log(context, "-") if entry[:2] == ["cross_origin", reason]]
    return log[-1][2] or ""


async def test_a_post_from_another_origin_of_our_site_is_refused(
    site: Site, context: BrowserContext
) -> None:
    tab, victim = await site.tab(context), await site.tab(context)
    me = await victim.sign_in()

    assert await post_form(tab, site.same_site, f"{site.url}/logout") == 403  # Lax lets them along
    await tab.page.goto(site.same_site)
    async with tab.page.expect_response(f"{site.url}/logout") as response:
        await tab.page.evaluate(
            """async (url) => { await fetch(url, {
              method: "POST", mode: "no-cors", credentials: "include"}); }""",
            f"{site.url}/logout",
        )
    assert (await response.value).status == 403

    assert (await victim.fetch("/me"))["session_id"] == me["session_id"]
    assert site.same_site in await refusal(site, context, "request")


async def test_another_site_can_sign_nobody_in(site: Site, context: BrowserContext) -> None:
    tab, victim = await site.tab(context), await site.tab(context)
    me = await victim.sign_in()

    assert await post_form(tab, site.cross_site, f"{site.url}/login") == 403

    assert (await victim.fetch("/me"))["session_id"] == me["session_id"]
    assert site.cross_site in await refusal(site, context, "login")


async def test_another_site_can_sign_nobody_out(site: Site, context: BrowserContext) -> None:
    tab, victim = await site.tab(context), await site.tab(context)
    me = await victim.sign_in()

    await post_form(tab, site.cross_site, f"{site.url}/logout")  # Lax keeps the cookies at home

    assert (await victim.fetch("/me"))["session_id"] == me["session_id"]


async def start_and_abort(tab: Tab, site: Site, context: BrowserContext, url: str) -> None:
    """Send a request, and give it up once it has come to its gate."""
    aborted = asyncio.ensure_future(
        tab.page.evaluate(
            """async (url) => {
              window.controller = new AbortController();
              try { await fetch(url, {signal: window.controller.signal}); }
              catch (error) { return error.name; }
            }""",
            url,
        )
    )
    gate = url.partition("gate=")[2]
    await site.arrived(context, gate)
    await tab.page.evaluate("window.controller.abort()")
    assert await aborted == "AbortError"
    await site.release(context, gate)


async def test_a_request_given_up_before_the_rotation_costs_nothing(
    site: Site, context: BrowserContext
) -> None:
    tab = await site.tab(context)
    me = await tab.sign_in()
    await until_expired(me)

    await start_and_abort(tab, site, context, "/slow?gate=given-up")

    assert (await tab.fetch("/me"))["session_id"] == me["session_id"]
    assert await tab.reload() == "signed in as alice"


async def test_a_rotation_whose_response_was_lost_is_made_good(
    site: Site, context: BrowserContext
) -> None:
    tab = await site.tab(context)
    me = await tab.sign_in()
    await until_expired(me)

    await start_and_abort(tab, site, context, "/held?gate=lost")
    assert set(await jar(context)) == {"refresh"}  # the old one
    await asyncio.sleep(1.1)  # the grace is over

    assert (await tab.fetch("/me"))["session_id"] == me["session_id"]
    assert await tab.reload() == "signed in as alice"
    log = await site.log(context, me["session_id"])
    assert ["recovered", "late"] in [entry[:2] for entry in log]
