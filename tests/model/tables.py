"""The tables of rotation.md, sections 3 and 4, in its format, and the one of the pairs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from .cells import COLUMNS, GUARDS, LIMITS, PLANS, SAME, SETTINGS, SHIPPED, UNDETECTED
from .pairs import KINDS

COUNTED: Final = [name for name in COLUMNS if int(name.split()[0][1:]) <= 10]
"""The columns that rotation.md has."""


def liveness(signed_out: Mapping[tuple[str, str], bool]) -> str:
    """Return the table of section 3: whether some interleaving signs the browser out."""
    rows = [
        [_algorithm(name), *["**F**" if signed_out[name, column] else "ok" for column in COUNTED]]
        for name in SETTINGS
    ]
    return _table(["algorithm", *COUNTED], rows)


def safety(rounds: Mapping[tuple[str, str], int], ancient: Mapping[str, str]) -> str:
    """Return the table of section 4: the most joint rounds of a thief."""
    rows = [
        [_algorithm(name), *[_stopped(rounds[name, plan]) for plan in PLANS], ancient[name]]
        for name in GUARDS
    ]
    return _table(["algorithm", *PLANS, "ancient"], rows)


def pairs(signed_out: Mapping[tuple[str, str], bool]) -> str:
    """Return the pairs of faults: in how many of the shipped settings each signs out."""
    rows = [[first, *[_pair(first, second, signed_out) for second in KINDS]] for first in KINDS]
    return _table(["", *KINDS], rows)


def limits() -> str:
    """Return the pairs that sign the browser out, and why."""
    return _table(["pair", "why"], LIMITS.items())


def _pair(first: str, second: str, signed_out: Mapping[tuple[str, str], bool]) -> str:
    name = f"{first} + {second}"
    if KINDS.index(first) > KINDS.index(second):
        name = f"{second} + {first}"
    out = [signed_out[setting, SAME.get(name, name)] for setting in SHIPPED]
    return f"**F** {sum(out)} of {len(out)}" if any(out) else "ok"


def _algorithm(name: str) -> str:
    return f"**P7**, {name}" if name in SHIPPED else name


def _stopped(rounds: int) -> str:
    return "**undetected**" if rounds == UNDETECTED else f"≤{rounds}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
