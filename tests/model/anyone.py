"""
Anybody with any token at any time, against the shipped rotation functions.

No browser and no thief: every generation may be presented in every row, on every host, and
answered at once or much later, between barriers and lost writes. What a row and an answer alone
can show, `invariants` holds; here is what takes the real time between answers (rotation.md, 6):

- L-a: a generation superseded less than the configured grace ago is accepted on every host; if a
  barrier rose meanwhile it is STALE: neither accepted nor the end of the session.
- S11: at most one rotation in W, less what the clocks differ by.
- THEFT for good: what would end the session now is not accepted at any later time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from .explorer import TICK, Exploration, Step, explore
from .invariants import keep
from .machine import ACCEPTED, Advanced, Machine, Row, Verdict

OLDEST: Final = 4
"""How far behind the newest generation a presented one may be."""
_VERDICTS: Final = {verdict.value: verdict for verdict in Verdict}


class Waiting(NamedTuple):
    """A request between `present` and `advance`."""

    offset: int
    verdict: str
    unchanged: bool
    """Whether the newest generation is the one it saw."""
    host: int


class Times(NamedTuple):
    """What has happened to the session, by a clock that no host has."""

    row: Row
    superseded: tuple[tuple[int, int], ...] = ()
    """Generations and how many ticks ago each stopped being the newest, within W."""
    rotated: int | None = None
    """Ticks since the last rotation that was not AHEAD, at most W."""
    waiting: tuple[Waiting, ...] = ()
    barriers: int = 0
    """How many barriers may still be raised."""
    amnesia: int = 0
    """How many generations the store may still have forgotten."""


@dataclass(frozen=True)
class Anyone:
    """
    All interleavings of presentations.

    Attributes:
        promised: The ticks for which a superseded generation is accepted: the configured grace.
        held: How many requests may be between `present` and `advance`.
    """

    machine: Machine
    promised: int
    held: int = 1
    barriers: int = 1
    amnesia: int = 1

    def explore(self) -> Exploration:
        """Search for a broken invariant; there is no other end."""
        row = Row(left=self.machine.idle, over=self.machine.lifetime)
        return explore([Times(row, barriers=self.barriers, amnesia=self.amnesia)], self.moves)

    def moves(self, times: Times) -> Iterator[tuple[Step, Times]]:
        """Yield everything that may happen next."""
        for host in self.machine.hosts:
            for offset in range(-OLDEST, 1 + min(times.amnesia, 1)):
                yield from self._present(times, offset, host)
            if times.barriers:
                answer = self.machine.barrier(times.row, host)
                raised = times._replace(barriers=times.barriers - 1)
                yield Step("barrier", shift=answer.shift), self._moved(times, raised, answer)
        for index, request in enumerate(times.waiting):
            rest = times.waiting[:index] + times.waiting[index + 1 :]
            yield from self._advance(times, request, rest)
        yield TICK, self._tick(times)

    def _present(self, times: Times, offset: int, host: int) -> Iterator[tuple[Step, Times]]:
        verdict, row = self.machine.present(times.row, offset, host)
        ago = dict(times.superseded).get(offset)
        if ago is not None and ago < self.promised and verdict is not Verdict.DEAD:
            voided = times.row.floor is not None and offset < -times.row.floor
            kept = verdict is Verdict.STALE if voided else verdict in ACCEPTED
            what = f"L-a: {verdict.name} for a generation superseded {ago} ticks ago"
            keep([(kept, what)], self.machine.exempt)
        step = Step("present", offset, verdict)
        if verdict in ACCEPTED and len(times.waiting) < self.held:
            request = Waiting(offset, verdict.value, unchanged=True, host=host)
            waiting = tuple(sorted((*times.waiting, request)))
            lost = times.amnesia - (1 if offset > 0 else 0)
            yield step, times._replace(row=row, waiting=waiting, amnesia=lost)
        else:
            yield step, times

    def _advance(
        self, times: Times, request: Waiting, rest: tuple[Waiting, ...]
    ) -> Iterator[tuple[Step, Times]]:
        verdict = _VERDICTS[request.verdict]
        seen = 0 if request.unchanged else -1
        answer = self.machine.advance(times.row, request.offset, verdict, seen, request.host)
        step = Step("advance", request.offset, shift=answer.shift)
        if answer.handed is not None:
            step = step._replace(gives=answer.handed + answer.shift)
        after = self._moved(times, times._replace(waiting=rest), answer)
        if answer.shift and verdict is not Verdict.AHEAD:
            apart = times.rotated is None or times.rotated >= self.machine.grace - self.machine.skew
            keep([(apart, f"S11: rotated again after {times.rotated} ticks")], self.machine.exempt)
            after = after._replace(rotated=0)
        elif answer.shift:
            # What the store forgot was superseded when nobody knows.
            after = after._replace(superseded=((request.offset - answer.shift, 0),))
        yield step, after

    def _moved(self, before: Times, after: Times, answer: Advanced) -> Times:
        """Return *after* with what *answer* makes of the row, and what *before* had in it."""
        self._theft_is_for_good(before.row, answer.row, answer.shift)
        if not answer.shift:
            return after._replace(row=answer.row)
        newest = [(0, 0), *before.superseded]
        superseded = sorted((offset - answer.shift, ago) for offset, ago in newest)
        waiting = {
            Waiting(w.offset - answer.shift, w.verdict, unchanged=False, host=w.host)
            for w in after.waiting
            if w.offset - answer.shift >= -OLDEST
        }
        return after._replace(
            row=answer.row,
            superseded=tuple(superseded),
            waiting=tuple(sorted(waiting)),
        )

    def _theft_is_for_good(self, before: Row, after: Row, shift: int) -> None:
        for host in self.machine.hosts:
            for offset in range(-OLDEST, 1):
                if self.machine.present(before, offset, host)[0] is Verdict.THEFT:
                    verdict, _ = self.machine.present(after, offset - shift, host)
                    keep(
                        [(verdict not in ACCEPTED, f"THEFT: then {verdict.name}")],
                        self.machine.exempt,
                    )

    def _tick(self, times: Times) -> Times:
        row = self.machine.tick(times.row)
        self._theft_is_for_good(times.row, row, 0)
        grace = self.machine.grace
        return times._replace(
            row=row,
            superseded=tuple([(o, ago + 1) for o, ago in times.superseded if ago + 1 < grace]),
            rotated=None if times.rotated is None else min(times.rotated + 1, grace),
        )


EVERYBODY: Final = {
    "one host": Anyone(Machine(4), promised=4, held=2),
    "two hosts": Anyone(Machine(4 + 2 * 1, skew=1), promised=4, held=2, amnesia=0),
    "two hosts, lost writes": Anyone(Machine(4 + 2 * 1, skew=1), promised=4),
    "sessions that end": Anyone(Machine(4, idle=9, lifetime=16), promised=4, amnesia=0),
}
"""In which all invariants hold."""
