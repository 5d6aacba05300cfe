"""
The real caches on a small grid. `pytest tests/caches/through_caches.py`, and `make caches` for all.

Its name keeps it out of `make test`. A mark that addopts deselects would not: addopts knows one
`-m`, and whoever passes another of their own starts four servers with it.
"""

from __future__ import annotations

import pytest

from tests.caches.grid import SITUATIONS, cases
from tests.caches.run import outcomes
from tests.caches.servers import CACHES, INSTALL, Kind
from tests.support import require

ROWS = ("none", "public", "max-age", "expires", "etag", "cdn", "surrogate", "accel", "vary-star")
STATUSES = ("200", "302", "304", "404")
KINDS = [kind for kinds in CACHES.values() for kind in kinds]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_nobody_gets_what_is_not_for_them(kind: Kind) -> None:
    require(kind.path is not None, f"no {kind.binary} here: {INSTALL}")
    (outcome,) = outcomes([kind], list(cases([*SITUATIONS], ROWS, STATUSES)))
    assert not list(outcome.problems())
