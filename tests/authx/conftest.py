"""The clock that AuthX reads, in the hand of the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.authx.site import RealClock, travelling


@pytest.fixture
def clock() -> Iterator[RealClock]:
    with travelling() as traveller:
        yield RealClock(traveller)
