"""The demo: its page in Chromium, with lifetimes shorter still, and its process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import ROOT
from tests.support import require

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page


async def open_demo(context: BrowserContext, demo: str) -> tuple[Page, list[str]]:
    """Return the page, and the list of what goes wrong on it."""
    page, faults = await context.new_page(), []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda m: faults.append(m.text) if m.type in ("error", "warning") else None)
    await page.goto(demo)
    return page, faults


async def sign_in(page: Page, name: str) -> None:
    from playwright.async_api import expect

    await page.get_by_label("Name").fill(name)
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await expect(page.locator("#subject")).to_have_text(name)


@pytest.mark.browser
@pytest.mark.anyio
async def test_the_demo_shows_tabs_that_refresh_at_once(demo: str, context: BrowserContext) -> None:
    from playwright.async_api import expect

    page, faults = await open_demo(context, demo)
    await sign_in(page, "<b>bob</b>")
    session = await page.locator("#session").text_content()
    await expect(page.locator("#seconds")).to_have_text(re.compile("[1-4]"))

    await page.get_by_role("button", name="Refresh in all tabs").click()
    said = page.locator("#together-said")
    await expect(said).to_contain_text(
        "4 of 4 tabs were answered, signed in. 4 came with generation 1, and were given"
        " generation 2. It is one session still.",
    )
    await expect(page.locator("#latest")).to_contain_text("refreshed")
    await expect(page.locator("#log")).to_contain_text(re.compile("repeated . 3"))
    await expect(page.locator("#timeline rect.refresh")).to_have_count(2)
    await expect(page.locator("#timeline path.refreshed")).to_have_count(1)

    async with context.expect_page() as opened:
        await page.get_by_role("link", name="Open a real tab").click()
    second = await opened.value
    await expect(second.locator("#session")).to_have_text(session or "-")
    await second.get_by_role("button", name="Sign out", exact=True).click()
    for tab in (second, page):
        await expect(tab.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
        await expect(tab.locator("#subject")).to_be_hidden()
        await expect(tab.locator("#log")).to_contain_text("revoked")
        await expect(tab.locator("#ended")).to_be_hidden()
    assert await context.cookies() == []
    assert faults == []


@pytest.mark.browser
@pytest.mark.anyio
async def test_the_demo_tells_a_lost_answer_from_a_stolen_cookie(
    demo: str, context: BrowserContext, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    page, faults = await open_demo(context, demo)
    await sign_in(page, "alice")
    session = await page.locator("#session").text_content()
    await page.get_by_role("button", name="Steal my cookie").click()
    thief = page.locator("#thief-said")
    await expect(thief).to_contain_text("The thief has generation 1. So have you")

    await page.get_by_role("button", name="Lose the next new cookies").click()
    lost = page.locator("#lost-said")
    await expect(lost).to_have_text(
        "It came back with generation 1, and was given generation 2. Still the same session."
    )
    await expect(page.locator("#timeline path.recovered")).to_have_count(1)
    await expect(thief).to_contain_text("found out")
    await page.get_by_role("button", name="Use the stolen cookie").click()
    await expect(thief).to_contain_text("Found out: generation 1 of 3 came back.")
    await expect(page.get_by_role("alert")).to_contain_text("An old refresh token came back")
    await expect(page.locator("#latest")).to_contain_text("reused")
    await expect(page.locator("#timeline path.bad")).not_to_have_count(0)
    for scheme in ("light", "dark"):
        for width in (1200, 360):
            await page.set_viewport_size({"width": width, "height": 800})
            await page.emulate_media(color_scheme=scheme)
            shot = await page.screenshot(path=tmp_path / f"{scheme}-{width}.png", full_page=True)
            assert len(shot) > 20_000

    await page.get_by_role("button", name="Sign in again").click()
    await page.keyboard.press("Enter")
    await expect(page.locator("#signed-in")).to_be_visible()
    assert await page.locator("#session").text_content() != session
    assert faults == []


@pytest.mark.browser
@pytest.mark.anyio
async def test_the_demo_can_be_used_with_the_keyboard_alone(
    demo: str, context: BrowserContext
) -> None:
    from playwright.async_api import expect

    page, faults = await open_demo(context, demo)
    await expect(page.locator("#stores input")).to_have_count(3)
    await page.locator("#name").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#you-title")).to_be_focused()

    reached = []
    for _ in range(18):
        await page.keyboard.press("Tab")
        seen = await page.evaluate(FOCUSED)
        if seen is None:
            break
        assert seen["outlined"], f"no outline on {seen}"
        reached.append(seen["name"])
        if seen["name"] == "heartbeat":
            await page.keyboard.press("Space")
            await expect(page.locator("#heartbeat")).not_to_be_checked()
        elif seen["name"] == "steal":
            await page.keyboard.press("Enter")
            await expect(page.locator("#thief-said")).to_contain_text("The thief has generation")
        elif seen["name"] == "sqlite":
            await page.keyboard.press("ArrowUp")
        elif seen["name"] == "Begin anew with this store":
            await page.keyboard.press("Enter")
            await expect(page.locator("#store-said")).to_contain_text("Begun anew, with Memory")
            break
    assert reached == [
        *("sign-out", "sign-out-everywhere", "together", "heartbeat", "Ask", "Ask", "Ask", "Ask"),
        *("Open a real tab", "steal", "replay", "lose", "sqlite", "Begin anew with this store"),
    ]
    await expect(page.get_by_role("alert")).to_contain_text("no longer known")
    assert faults == []
    await page.get_by_role("radio", name="SQLite").check()
    await page.get_by_role("button", name="Begin anew").click()
    await expect(page.locator("#store-said")).to_contain_text("Begun anew, with SQLite")


FOCUSED = r"""() => {
  const it = document.activeElement, style = getComputedStyle(it);
  if (it === document.body) return null;
  const name = it.id || it.value || it.textContent.trim().replace(/\s+/g, " ");
  return {name, outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2};
}"""


@pytest.mark.browser
@pytest.mark.anyio
@pytest.mark.parametrize("width", [360, 320])
async def test_the_demo_fits_a_phone(demo: str, context: BrowserContext, width: int) -> None:
    from playwright.async_api import expect

    page, faults = await open_demo(context, demo)
    await page.set_viewport_size({"width": width, "height": 700})
    await page.emulate_media(reduced_motion="reduce")
    for name in ("", "a" * 60):
        if name:
            await sign_in(page, name)
            await expect(page.locator("#timeline rect.access")).to_have_count(1)
            await expect(page.locator("#log .who")).not_to_have_count(0)
        wide = await page.evaluate("document.documentElement.scrollWidth")
        assert wide == width
    assert faults == []


@pytest.mark.browser
@pytest.mark.anyio
async def test_everything_on_the_demo_has_a_name(demo: str, context: BrowserContext) -> None:
    """As a screen reader is told; a role without a name ends its line."""
    from playwright.async_api import expect

    page, _ = await open_demo(context, demo)
    await expect(page.locator("#stores input")).to_have_count(3)
    for signed_in in (False, True):
        if signed_in:
            await sign_in(page, "alice")
            await expect(page.get_by_role("img").first).to_be_attached()  # the timeline
        tree = await page.locator("body").aria_snapshot()
        found = re.findall(rf"^ *- '?({ROLES})\b(.*)$", tree, re.MULTILINE)
        roles = {"button", "checkbox", "radio", "link", *(["img"] if signed_in else [])}
        assert {role for role, _ in found} >= roles
        assert [role for role, rest in found if not rest.startswith(' "')] == []
        assert re.findall(r"^- (banner|main)\b", tree, re.MULTILINE) == ["banner", "main"]


ROLES = "button|textbox|checkbox|radio|link|img|region|timer|heading|group"


@pytest.mark.browser
@pytest.mark.anyio
async def test_the_demo_signs_out_everywhere(demo: str, context: BrowserContext) -> None:
    from playwright.async_api import expect

    page, _ = await open_demo(context, demo)
    await page.get_by_label("Password").fill("guess")
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text("Wrong password")
    await page.get_by_label("Password").fill("demo")
    assert context.browser is not None
    elsewhere = await context.browser.new_context()
    other, _ = await open_demo(elsewhere, demo)
    for each in (page, other):
        await sign_in(each, "carol")

    await page.get_by_role("button", name="Sign out everywhere").click()

    for each in (page, other):
        await expect(each.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
    await elsewhere.close()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_ends_cleanly(tmp_path: Path, how: signal.Signals) -> None:
    require(find_spec("uvicorn") is not None, "uvicorn is not installed")
    process = subprocess.Popen(
        [sys.executable, "-m", "asgi_refresh.demo"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        match = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
        assert match
        with urllib.request.urlopen(match[0], timeout=10) as response:
            assert "'unsafe-inline'" not in response.headers["content-security-policy"]
            assert b"asgi_refresh" in response.read()
        assert list(tmp_path.iterdir())
        process.send_signal(how)
        _, errors = process.communicate(timeout=10)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, errors) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_without_uvicorn_the_demo_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "from asgi_refresh.demo.__main__ import main\n"
        "sys.exit(main([]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr == "The demo needs uvicorn: pip install 'asgi-refresh[demo]'\n"
