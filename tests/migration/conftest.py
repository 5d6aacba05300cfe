"""The clock that the real packages read, in the hand of the test; and every source in turn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.authx.site import RealClock, travelling
from tests.migration.sources import Authx, FastapiUsers, FlaskJwtExtended, StarletteSessions

SOURCES = [
    ("asyncio", Authx),
    ("trio", Authx),
    ("asyncio", FlaskJwtExtended),
    ("trio", FastapiUsers),
    ("asyncio", StarletteSessions),
]
"""Every source, and each event loop with some of them."""


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Not every source with both loops: `pytest_generate_tests` says which."""
    return str(request.param)


@pytest.fixture
def clock() -> Iterator[RealClock]:
    with travelling() as traveller:
        yield RealClock(traveller)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    names = metafunc.fixturenames
    if "source" in names:
        pairs = [(loop, make()) for loop, make in SOURCES]
        ids = [f"{loop}-{make.__name__.lower()}" for loop, make in SOURCES]
        metafunc.parametrize("anyio_backend,source", pairs, ids=ids, indirect=["anyio_backend"])
    elif "anyio_backend" in names:
        loops = getattr(metafunc.module, "LOOPS", ["asyncio", "trio"])
        metafunc.parametrize("anyio_backend", loops, indirect=True)
