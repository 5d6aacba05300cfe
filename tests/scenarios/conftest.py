"""The stores that a scenario runs on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.support import Backend


@pytest.fixture(params=["memory", "sqlite"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    backend = Backend(tmp_path / "s.db" if request.param == "sqlite" else None)
    yield backend
    backend.close()
