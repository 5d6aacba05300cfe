"""The demo in memory, with a clock that is moved."""

from __future__ import annotations

from pathlib import Path

import pytest

from asgi_refresh.demo.app import Demo
from asgi_refresh.demo.stores import Stores
from asgi_refresh.testing import AsyncBrowser
from tests.support import Clock

NOBODY = "redis://127.0.0.1:1"  # no server answers there


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # as uvicorn, and redis-py


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def demo(tmp_path: Path, clock: Clock) -> Demo:
    return Demo(Stores(tmp_path, redis=NOBODY), clock=clock)


@pytest.fixture
def browser(demo: Demo) -> AsyncBrowser:
    return AsyncBrowser(demo, base_url="http://127.0.0.1")
