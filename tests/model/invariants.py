"""
The invariants of rotation.md, section 6, of every answer that the rotation functions give.

Each is a rule about one answer to one row, so every exploration keeps them at every move; what
needs the time between two answers is in `anyone`. They are named as there:

- S1, S5: a generation is accepted if and only if it is the newest, newer, the one before, or the
  alias of a fork in grace; behind a barrier in grace any other is STALE, else THEFT.
- S3: nothing is accepted, handed out or written once the session has ended.
- S4: what goes out is the newest generation; a rotation makes a newer one, and but for a fork the
  one after the one presented.
- S6: whoever comes back to a rotation by others after W is served only against a mark.
- S7: no idle end lies beyond the absolute one, and that one never moves.
- S8: no generation from before a barrier is accepted or answered.
- S11: but for a store that lost writes there is no rotation within W of another, and nothing but
  the mark is written otherwise.
- L-b: the generation before is accepted at any age (with S1).

S2, S9 and S10 are of the store and of the shell, and are tested there.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from asgi_refresh.rotation import ACCEPTED, Verdict

from .rows import Advanced, Row


class BrokenError(AssertionError):
    """An answer breaks an invariant; the message begins with the invariant's name."""


class Seen(NamedTuple):
    """What a host sees: the row, what was presented, by how much its clock is ahead, and W."""

    row: Row
    offset: int
    ahead: int
    grace: int

    def past(self, age: int | None) -> bool:
        """Whether W has gone by since *age* ticks ago; no clock is behind the last rotation."""
        now = self.ahead if self.row.age is None else max(self.ahead, -self.row.age)
        return age is None or age + now >= self.grace

    @property
    def ended(self) -> bool:
        """Whether the session is over."""
        ends = [end for end in (self.row.left, self.row.over) if end is not None]
        return bool(ends) and min(ends) <= self.ahead

    @property
    def before_barrier(self) -> bool:
        """Whether the generation is from before the newest barrier."""
        return self.row.floor is not None and self.offset < -self.row.floor

    @property
    def known(self) -> bool:
        """Whether an honest browser may hold the generation."""
        row, offset = self.row, self.offset
        alias = row.forked and offset == -1 and not self.past(row.age)
        return offset >= 0 or (row.lag is not None and offset == -row.lag) or alias


NAMES: Final = frozenset({"S1", "S3", "S4", "S5", "S6", "S7", "S8", "S11", "L-a", "L-b", "THEFT"})
FORGETFUL: Final = frozenset({"S8", "S11"})
"""
What a store that loses writes does not keep: a generation it forgot is counted again, so a request
from before meets the number it saw, and the newest may be older than a barrier that is forgotten.
"""

Rules = list[tuple[bool, str]]
"""What must hold, and what it is called where it does not."""


def keep(rules: Rules, exempt: frozenset[str]) -> None:
    """Raise on the first of *rules* that does not hold, but for those named in *exempt*."""
    for holds, rule in rules:
        if not holds and rule.partition(":")[0] not in exempt:
            raise BrokenError(rule)


def of_presented(seen: Seen, verdict: Verdict, after: Row) -> Rules:
    """Return what must hold of the answer of `present`."""
    row = seen.row
    marked = after == row._replace(late=0) and verdict is Verdict.LATE
    accepted = verdict in ACCEPTED
    stale = row.barrier is not None and not seen.past(row.barrier)
    refusal = Verdict.STALE if stale else Verdict.THEFT
    what = f"{verdict.name} for {seen.offset} of {row}"
    alive: Rules = [
        (not (accepted and seen.before_barrier), f"S8: {what}"),
        (seen.known or not accepted, f"S1: {what}"),
        (seen.known or verdict is refusal, f"S5: {what}"),
        (accepted or not seen.known, f"L-b: {what}"),
    ]
    return [
        (after == row or marked, f"S11: {verdict.name} writes more than a mark"),
        ((verdict is Verdict.DEAD) == seen.ended, f"S3: {what}"),
        *([] if seen.ended else alive),
    ]


def of_advanced(seen: Seen, verdict: Verdict, newest: int, answer: Advanced) -> Rules:
    """Return what must hold of the answer of `advance`; *newest* was it at `present`."""
    row, after = seen.row, answer.row
    silent = answer.handed is None and after == row and not answer.shift
    idle_is_last = after.left is None or after.over is None or after.left <= after.over
    rules: Rules = [
        (silent or not seen.ended, "S3: answered after the end"),
        (silent or verdict in ACCEPTED, f"S1: answered a {verdict.name}"),
        (silent or not seen.before_barrier, "S8: answered one from before a barrier"),
        (answer.handed in (None, 0), "S4: what goes out is not the newest"),
        (after.over == row.over, "S7: the absolute end moved"),
        (idle_is_last, "S7: the idle end is beyond the absolute one"),
    ]
    if answer.shift:
        lag = answer.shift - seen.offset
        timely = verdict is Verdict.AHEAD or seen.past(row.age)
        return [
            *rules,
            (answer.shift > 0, "S4: the newest generation went back"),
            (after.lag == lag, "S4: the generation before is not the one presented"),
            (after.forked or lag == 1, "S4: a second successor without a fork"),
            (timely, f"S11: rotated again after {row.age} of {seen.grace}"),
        ]
    accounted = answer.handed is None or newest == 0 or not seen.past(row.age) or after.late == 0
    return [
        *rules,
        (after in (row, row._replace(late=0)), "S4: written without a newer generation"),
        (accounted, "S6: a successor for a request that was slower than W, unmarked"),
    ]


def of_barrier(row: Row, answer: Advanced) -> Rules:
    """Return what must hold of the answer of `barrier`."""
    return [
        (answer.shift > 0, "S4: a barrier without a newer generation"),
        (answer.row.over == row.over, "S7: the absolute end moved"),
    ]
