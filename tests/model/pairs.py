"""
Pairs of faults: every single one with every other and with itself.

A pair that is a column of rotation.md, section 3, has its name from there.
"""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import Final

from .worlds import NONE, Faults, Scenario

UNFINISHED: Final = "unfinished"
KINDS: Final = (*[kind for kind in Faults._fields if kind != "given_up"], UNFINISHED)
"""Those that are counted, and requests that end without `advance`, as often as may be."""


def pair(first: str, second: str) -> Scenario:
    """Return the scenario in which *first* and *second* may happen, in any order."""
    faults = NONE
    for kind in (first, second):
        if kind != UNFINISHED:
            faults = faults._replace(**{kind: getattr(faults, kind) + 1})
    return Scenario(faults, unfinished=UNFINISHED in (first, second))


PAIRS: Final = {
    f"{first} + {second}": pair(first, second)
    for first, second in combinations_with_replacement(KINDS, 2)
}
