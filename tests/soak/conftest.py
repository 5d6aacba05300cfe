"""Fixtures of the tests on real servers, whose drivers know asyncio only."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.soak.backends import URLS
from tests.soak.lines import Line, laid


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=list(URLS))
async def line(request: pytest.FixtureRequest) -> AsyncIterator[Line]:
    async with laid(request.param) as line:
        yield line
