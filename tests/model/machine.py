"""
The shipped rotation functions over a session that holds only what they look at.

A `Row` is a session with generations counted from `current` and times from now, so a browser that
refreshes for ever walks through finitely many of them. Every answer comes from calling `present`,
`advance` or `barrier` on a real `Session`; an answer is remembered by the row it was given for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from asgi_refresh import rotation
from asgi_refresh.rotation import ACCEPTED, Verdict
from asgi_refresh.sessions import Session

Present = Callable[..., tuple[Verdict, Session]]
Advance = Callable[..., tuple[int | None, Session]]

NOW: Final = 1000.0
CURRENT: Final = 1000
FOREVER: Final = 1e9
LONG_AGO: Final = 2
"""How far `late` may lie behind `current` before `rotation` no longer tells the distance."""


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
    """Ticks until the session ends unless used; None: it does not end."""


class Advanced(NamedTuple):
    """What `advance` answered: the generation handed out and the row, from its own `current`."""

    handed: int | None
    row: Row
    shift: int
    """How many generations `current` moved."""


@dataclass
class Machine:
    """
    One protocol at one setting: the functions, W in ticks, and how far the second host is ahead.

    Attributes:
        grace: W of the configuration, as `rotation` is given it.
        skew: How many ticks the clock of host 1 is ahead of that of host 0.
        idle: The idle lifetime in ticks; None: sessions do not end.
        horizon: Ticks from which the age of a rotation makes no difference; None: W, which is right
            for the shipped functions (`test_model` shows it).
    """

    grace: int
    skew: int = 0
    idle: int | None = None
    present_function: Present = rotation.present
    advance_function: Advance = rotation.advance
    horizon: int | None = None
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
            answer = self._presented[key] = verdict, self._row(session)
        return answer

    def advance(self, row: Row, offset: int, verdict: Verdict, seen: int, host: int) -> Advanced:
        """Start the response of a request that got *verdict* while *seen* was the newest."""
        key = (row, offset, verdict.value, seen, host)
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
            )
            assert session.current >= CURRENT, "advance never goes back"
            out = None if handed is None else handed - session.current
            answer = Advanced(out, self._row(session), session.current - CURRENT)
            self._advanced[key] = answer
        return answer

    def barrier(self, row: Row, host: int) -> Advanced:
        """Raise a barrier; its response carries the new generation."""
        session = rotation.barrier(self._session(row), now=self._clock(host))
        return Advanced(0, self._row(session), session.current - CURRENT)

    def tick(self, row: Row) -> Row:
        """Return *row* a tick later."""
        return Row(
            row.lag,
            self._older(row.age),
            row.late,
            row.forked,
            self._older(row.barrier),
            None if row.left is None else max(row.left - 1, -self.skew),
        )

    @property
    def _horizon(self) -> int:
        return self.grace if self.horizon is None else self.horizon

    def _older(self, age: int | None) -> int | None:
        # From W on every host calls it past: host 1, if any, sees a greater age.
        return None if age is None else min(age + 1, self._horizon)

    def _clock(self, host: int) -> float:
        return NOW + host * self.skew

    def _session(self, row: Row) -> Session:
        end = FOREVER if row.left is None else NOW + row.left
        return Session(
            id="sid",
            subject="alice",
            created_at=0.0,
            auth_time=0.0,
            expires_at=FOREVER,
            idle_expires_at=end,
            current=CURRENT,
            previous=None if row.lag is None else CURRENT - row.lag,
            rotated_at=None if row.age is None else NOW - row.age,
            late=CURRENT - row.late,
            forked=row.forked,
            barrier_at=None if row.barrier is None else NOW - row.barrier,
        )

    def _row(self, session: Session) -> Row:
        return Row(
            lag=None if session.previous is None else session.current - session.previous,
            age=self._age(session.rotated_at),
            late=min(session.current - session.late, LONG_AGO),
            forked=session.forked,
            barrier=self._age(session.barrier_at),
            left=None if session.ends_at >= FOREVER else round(session.ends_at - NOW),
        )

    def _age(self, moment: float | None) -> int | None:
        return None if moment is None else min(round(NOW - moment), self._horizon)


__all__ = ["ACCEPTED", "Advanced", "Machine", "Row", "Verdict"]
