"""
The pytest plugin: one fixture.

A module of its own, because pytest loads it in every run: the package is imported by who asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from asgi_refresh.testing import Events


@pytest.fixture
def refresh_events() -> Iterator[Events]:
    """Hear what asgi_refresh decides in this test: `refresh_events.named("refreshed")`."""
    from asgi_refresh.testing import capture_events  # noqa: PLC0415 - see above

    with capture_events() as events:
        yield events
