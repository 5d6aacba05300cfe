"""
Sessions as the model counts them, and what becomes of them.

A `Row` is a session with generations counted from `current` and times from now, so a browser that
refreshes for ever walks through finitely many of them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

LONG_AGO: Final = 2
"""How far `late` may lie behind `current` before `rotation` no longer tells the distance."""
FORGOTTEN: Final = 3
"""From how many generations on the barrier before them no longer has to be told from others."""


class Row(NamedTuple):
    """A session relative to its newest generation and to the first host's clock."""

    lag: int | None = None
    """How far `previous` is behind `current`."""
    age: int | None = None
    """Ticks since `rotated_at`, at most W; below zero when the other host's clock is ahead."""
    late: int = LONG_AGO
    """How far `late` is behind `current`, at most `LONG_AGO`."""
    forked: bool = False
    barrier: int | None = None
    """Ticks since `barrier_at`, at most W."""
    left: int | None = None
    """Ticks until the session ends unless used; None: it does not."""
    over: int | None = None
    """Ticks until it ends, used or not; None: it does not."""
    floor: int | None = None
    """
    How far the generation of the newest barrier is behind `current`; None: none, or long ago. Kept
    by the model, not by the session.
    """


class Advanced(NamedTuple):
    """What `advance` answered: the generation handed out and the row, from its own `current`."""

    handed: int | None
    row: Row
    shift: int
    """How many generations `current` moved."""
