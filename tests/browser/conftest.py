"""A real Chromium in front of a real server, each for one module; a fresh cookie jar per test."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.support import require

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page

ROOT = Path(__file__).parents[2]
CHROMIUM = Path("/usr/bin/chromium")
HAS_CHROMIUM = CHROMIUM.exists()
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-sync", "--disable-background-networking", "--disable-component-update",
]  # fmt: skip


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Playwright runs on asyncio; what it drives is a server in another process."""
    return "asyncio"


@pytest.fixture(scope="module")
async def chromium(anyio_backend: str) -> AsyncIterator[Browser]:
    require(find_spec("playwright") is not None, "playwright is not installed")
    require(HAS_CHROMIUM, f"{CHROMIUM} is not installed")
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
async def context(chromium: Browser) -> AsyncIterator[BrowserContext]:
    context = await chromium.new_context()
    context.set_default_timeout(20_000)
    yield context
    await context.close()


@pytest.fixture(scope="module")
def site(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving("rotating", tmp_path_factory.mktemp("rotating")) as ports:
        yield Site(*ports)


@pytest.fixture(scope="module")
def stateless_site(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving("stateless", tmp_path_factory.mktemp("stateless")) as ports:
        yield Site(*ports)


@pytest.fixture(scope="module")
def demo(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving("demo", tmp_path_factory.mktemp("demo")) as (port, _):
        yield f"http://127.0.0.1:{port}/"


@contextmanager
def serving(kind: str, directory: Path) -> Iterator[tuple[int, int]]:
    """Run `tests.browser.app` and yield its two ports."""
    require(find_spec("uvicorn") is not None, "uvicorn is not installed")
    command = [sys.executable, "-m", "tests.browser.app", kind, str(directory)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline() or b"null")
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


class Site:
    """A running `tests.browser.app`: same application, two origins of one site, and `localhost`."""

    def __init__(self, port: int, second_port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.same_site = f"http://127.0.0.1:{second_port}"
        self.cross_site = f"http://localhost:{port}"

    async def tab(self, context: BrowserContext) -> Tab:
        page = await context.new_page()
        await page.goto(self.url)
        return Tab(page)

    async def arrived(self, context: BrowserContext, gate: str) -> None:
        response = await context.request.get(f"{self.url}/control/arrived?gate={gate}")
        assert response.ok

    async def release(self, context: BrowserContext, gate: str) -> None:
        response = await context.request.get(f"{self.url}/control/release?gate={gate}")
        assert response.ok

    async def log(self, context: BrowserContext, session_id: str) -> list[list[str | None]]:
        response = await context.request.get(f"{self.url}/control/log?session={session_id}")
        entries: list[list[str | None]] = await response.json()
        return entries


# A fetch that no cache holds back, so that those to one address do run side by side.
FETCH = """async ([path, method, times]) => {
  const one = async () => {
    const response = await fetch(path, {method, cache: "no-store"});
    return {status: response.status, ...await response.json()};
  };
  return await Promise.all(Array.from({length: times}, one));
}"""


class Tab:
    """One tab."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def fetch(self, path: str, method: str = "GET") -> dict[str, Any]:
        (answer,) = await self.fetch_many(path, 1, method)
        return answer

    async def fetch_many(self, path: str, times: int, method: str = "GET") -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = await self.page.evaluate(FETCH, [path, method, times])
        return answers

    async def sign_in(self) -> dict[str, Any]:
        """Returns what /me says then."""
        assert (await self.fetch("/login", "POST"))["status"] == 200
        me = await self.fetch("/me")
        assert me["subject"] == "alice"
        return me

    async def reload(self) -> str:
        """Returns the title, which says who is signed in."""
        await self.page.reload()
        return await self.page.title()


async def until_expired(me: dict[str, Any]) -> None:
    """Wait for the end of the access token that *me* tells of; browser and server are here."""
    await anyio.sleep(me["expires_at"] - time.time() + 0.1)
