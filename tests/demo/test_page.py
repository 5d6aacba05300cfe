"""The page's files: what they may load, and whether they can be read."""

from __future__ import annotations

import itertools
import re
from importlib.resources import files

import pytest

from asgi_refresh.demo import page
from asgi_refresh.testing import AsyncBrowser

pytestmark = pytest.mark.anyio

STATIC = files("asgi_refresh.demo").joinpath("static")
CSS = STATIC.joinpath("demo.css").read_text("utf-8")
LEAST = 4.5  # WCAG 2.2, 1.4.3
NAMESPACE = "http://www.w3.org/2000/svg"  # which nothing loads


@pytest.mark.parametrize("path", ["/", *(f"/static/{name}" for name in page.NAMES)])
async def test_nothing_but_its_own_files_may_run(browser: AsyncBrowser, path: str) -> None:
    answer = await browser.get(path)

    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= set(policy)
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["app.py", "..%2fapp.py", "demo.html.bak", ""])
async def test_no_other_file_is_served(browser: AsyncBrowser, name: str) -> None:
    assert (await browser.get(f"/static/{name}")).status_code == 404


@pytest.mark.parametrize("name", page.NAMES)
async def test_no_file_speaks_of_another_host(name: str) -> None:
    text = STATIC.joinpath(name).read_text("utf-8").replace(NAMESPACE, "")

    assert re.findall(r"https?://|//[a-z]+\.|@import|url\(", text) == []


async def test_every_file_is_served() -> None:
    assert sorted(entry.name for entry in STATIC.iterdir()) == sorted(page.NAMES)


def colours(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))


LIGHT, DARK = (colours(block) for block in re.findall(r":root \{(.*?)\}", CSS, re.DOTALL))
TEXTS = ["ink", "soft", "accent", "warn", "bad"]
PAIRS = [*itertools.product(TEXTS, ["ground", "card"]), ("on-accent", "accent")]
PAIRS += itertools.product(["ink"], ["glow", "other-glow", "bad-glow"])


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), PAIRS)
async def test_text_stands_out_from_its_ground(
    scheme: dict[str, str], text: str, ground: str
) -> None:
    darker, lighter = sorted((luminance(scheme[text]), luminance(scheme[ground])))

    assert (lighter + 0.05) / (darker + 0.05) >= LEAST
