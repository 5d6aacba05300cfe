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


@pytest.mark.browser
@pytest.mark.anyio
async def test_the_demo_page_works(demo: str, context: BrowserContext) -> None:
    from playwright.async_api import expect

    page, faults = await open_demo(context, demo)
    await page.get_by_label("Name").fill("<b>bob</b>")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.locator("#subject")).to_have_text("<b>bob</b>")
    await expect(page.locator("#seconds")).to_have_text(re.compile("[1-5]"))
    session = await page.locator("#session").text_content()

    await expect(page.locator("#note")).to_contain_text("Refreshed silently", timeout=10_000)

    await page.get_by_role("button", name="Let it end first").click()
    verdict = page.locator("#verdict")
    await expect(verdict).to_contain_text("One session remained.", timeout=10_000)
    await expect(verdict).to_contain_text("20 of 20 answered 200")
    await expect(verdict).to_contain_text("were refreshed")
    await expect(page.locator("#answers li.good")).to_have_count(20)
    await page.get_by_role("button", name="Fire 20").click()
    await expect(verdict).to_contain_text("None needed a refresh")

    async with context.expect_page() as opened:
        await page.get_by_role("link", name="Open a second tab").click()
    second = await opened.value
    await expect(second.locator("#session")).to_have_text(session or "-")
    await second.get_by_role("button", name="Sign out here").click()
    for tab in (second, page):
        await expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()
        await expect(tab.locator("#token")).to_be_hidden()
        for name in ("issued", "refreshed", "revoked"):
            await expect(tab.locator("#log")).to_contain_text(name)
    assert await context.cookies() == []
    assert faults == []


@pytest.mark.browser
@pytest.mark.anyio
async def test_the_demo_signs_out_everywhere(demo: str, context: BrowserContext) -> None:
    from playwright.async_api import expect

    page, _ = await open_demo(context, demo)
    await page.get_by_label("Password").fill("guess")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("Wrong password")
    assert context.browser is not None
    elsewhere = await context.browser.new_context()
    other, _ = await open_demo(elsewhere, demo)
    for each in (page, other):
        await each.get_by_label("Name").fill("carol")
        await each.get_by_label("Password").fill("demo")
        await each.get_by_role("button", name="Sign in").click()
        await expect(each.locator("#subject")).to_have_text("carol")

    await page.get_by_role("button", name="Sign out everywhere").click()

    for each in (page, other):
        await expect(each.get_by_role("heading", name="Sign in")).to_be_visible()
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
    assert result.stderr == "The demo needs uvicorn: pip install 'asgi_refresh[demo]'\n"
