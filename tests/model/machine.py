"""
The shipped rotation functions over a session that holds only what they look at.

Every answer comes from calling `present`, `advance` or `barrier` on a real `Session`, is held
against the invariants, and is remembered by the row it was given for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from asgi_refresh import rotation
from asgi_refresh.rotation import ACCEPTED, Verdict
from asgi_refresh.sessions import Session

from . import invariants
from .rows import FORGOTTEN, LONG_AGO, Advanced, Row

Present = Callable[..., tuple[Verdict, Session]]
Advance = Callable[..., tuple[int | None, Session]]
Barrier = Callable[..., Session]

NOW: Final = 1000.0
CURRENT: Final = 1000
FOREVER: Final = 1e9


@dataclass
class Machine:
    """
    One protocol at one setting: the functions, W in ticks, and how far the second host is ahead.

    Attributes:
        grace: W of the configuration, as `rotation` is given it.
        skew: How many ticks the clock of host 1 is ahead of that of host 0.
        idle: The idle lifetime in ticks; None: unused sessions do not end.
        lifetime: The absolute lifetime in ticks; None: sessions in use do not end.
        exempt: The invariants that its answers need not keep.
        horizon: Ticks from which the age of a rotation makes no difference; None: W, which is right
            for the shipped functions (`test_model` shows it).
    """

    grace: int
    skew: int = 0
    idle: int | None = None
    lifetime: int | None = None
    present_function: Present = rotation.present
    advance_function: Advance = rotation.advance
    barrier_function: Barrier = rotation.barrier
    horizon: int | None = None
    exempt: frozenset[str] = frozenset()
    _presented: dict[tuple[object, ...], tuple[Verdict, Row]] = field(
        default_factory=dict, init=False
    )
    _advanced: dict[tuple[object, ...], Advanced] = field(default_factory=dict, init=False)

    @property
    def hosts(self) -> range:
        """The hosts a request may go to: a second one only where its clock differs."""
        return range(2 if self.skew else 1)

    def present(self, row: Row, offset: int, host: int) -> tuple[Verdict, Row]:
        """Present the generation *offset* from the newest one to *host*."""
        key = (row, offset, host)
        answer = self._presented.get(key)
        if answer is None:
            verdict, session = self.present_function(
                self._session(row), CURRENT + offset, now=self._clock(host), grace=self.grace
            )
            assert session.current == CURRENT, "present never rotates"
            answer = verdict, self._row(session, row.floor)
            invariants.keep(
                invariants.of_presented(self._seen(row, offset, host), *answer), self.exempt
            )
            self._presented[key] = answer
        return answer

    def advance(
        self,
        row: Row,
        offset: int,
        verdict: Verdict,
        seen: int,
        host: int,
        *,
        alone: bool = False,
    ) -> Advanced:
        """Start the response of a request that got *verdict* while *seen* was the newest."""
        key = (row, offset, verdict.value, seen, host, alone)
        answer = self._advanced.get(key)
        if answer is None:
            handed, session = self.advance_function(
                self._session(row),
                CURRENT + offset,
                verdict,
                CURRENT + seen,
                now=self._clock(host),
                grace=self.grace,
                idle=FOREVER if self.idle is None else self.idle,
                alone=alone,
            )
            out = None if handed is None else handed - session.current
            answer = self._answered(row, session, out)
            invariants.keep(
                invariants.of_advanced(self._seen(row, offset, host), verdict, seen, answer),
                self.exempt,
            )
            self._advanced[key] = answer
        return answer

    def barrier(self, row: Row, host: int) -> Advanced:
        """Raise a barrier; its response carries the new generation."""
        session = self.barrier_function(self._session(row), now=self._clock(host))
        answer = Advanced(0, self._row(session, 0), session.current - CURRENT)
        invariants.keep(invariants.of_barrier(row, answer), self.exempt)
        return answer

    def tick(self, row: Row) -> Row:
        """Return *row* a tick later."""
        return Row(
            row.lag,
            self._older(row.age),
            row.late,
            row.forked,
            self._older(row.barrier),
            None if row.left is None else max(row.left - 1, -self.skew),
            None if row.over is None else max(row.over - 1, -self.skew),
            row.floor,
        )

    def _answered(self, row: Row, session: Session, handed: int | None) -> Advanced:
        shift = session.current - CURRENT
        floor = None if row.floor is None else row.floor + shift
        if floor is not None and floor >= FORGOTTEN:
            floor = None
        return Advanced(handed, self._row(session, floor), shift)

    def _seen(self, row: Row, offset: int, host: int) -> invariants.Seen:
        return invariants.Seen(row, offset, host * self.skew, self.grace)

    @property
    def _horizon(self) -> int:
        return self.grace if self.horizon is None else self.horizon

    def _older(self, age: int | None) -> int | None:
        # From W on every host calls it past: host 1, if any, sees a greater age.
        return None if age is None else min(age + 1, self._horizon)

    def _clock(self, host: int) -> float:
        return NOW + host * self.skew

    def _session(self, row: Row) -> Session:
        return Session(
            id="sid",
            subject="alice",
            created_at=0.0,
            auth_time=0.0,
            expires_at=FOREVER if row.over is None else NOW + row.over,
            idle_expires_at=FOREVER if row.left is None else NOW + row.left,
            current=CURRENT,
            previous=None if row.lag is None else CURRENT - row.lag,
            rotated_at=None if row.age is None else NOW - row.age,
            late=CURRENT - row.late,
            forked=row.forked,
            barrier_at=None if row.barrier is None else NOW - row.barrier,
        )

    def _row(self, session: Session, floor: int | None = None) -> Row:
        return Row(
            lag=None if session.previous is None else session.current - session.previous,
            age=self._age(session.rotated_at),
            late=min(session.current - session.late, LONG_AGO),
            forked=session.forked,
            barrier=self._age(session.barrier_at),
            left=_until(session.idle_expires_at),
            over=_until(session.expires_at),
            floor=floor,
        )

    def _age(self, moment: float | None) -> int | None:
        return None if moment is None else min(round(NOW - moment), self._horizon)


def _until(moment: float) -> int | None:
    return None if moment >= FOREVER else round(moment - NOW)


__all__ = ["ACCEPTED", "Advanced", "Machine", "Row", "Verdict"]
