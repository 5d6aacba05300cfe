"""Fixtures for every test: both event loops, a clock that only moves when told to, an event log."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, settings

from asgi_refresh import Event
from tests.canary import Canary, listening
from tests.support import Clock

if TYPE_CHECKING:
    from tests.measured import Measured

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("full", settings.get_profile("default"), max_examples=2000)
settings.register_profile(
    "mutants",
    settings.get_profile("default"),
    max_examples=15,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def events() -> list[Event]:
    """Give it to an issuer as `on_event=events.append`."""
    return []


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Measured]:
    """What OpenTelemetry is told from here on."""
    from tests.measured import measuring

    with measuring(monkeypatch) as measured:
        yield measured


@pytest.fixture(scope="session")
def _listening() -> Iterator[Canary]:
    with listening() as canary:
        yield canary


@pytest.fixture(autouse=True)
def canary(_listening: Canary) -> Iterator[Canary]:
    """No test makes the library tell anybody a token; a test that does takes what was heard."""
    logging.getLogger().addHandler(_listening)  # again: what configures logging takes it off
    yield _listening
    assert not _listening.take(), "a token was told"
