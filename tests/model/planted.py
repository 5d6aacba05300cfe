"""
Faults that break one invariant each: every check has to bite.

Each is the shipped machine with one of its functions changed, and held to that invariant alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any, Final

from asgi_refresh import rotation
from asgi_refresh.rotation import Verdict
from asgi_refresh.sessions import Session

from .anyone import Anyone
from .invariants import NAMES
from .machine import Machine
from .variants import p6_advance, strict_after_present

_Present = Callable[..., tuple[Verdict, Session]]
_Advance = Callable[..., tuple[int | None, Session]]


def _present(change: Callable[[Verdict, Session, int, float], Verdict]) -> _Present:
    """Return `present` with its verdict changed, given the session, the generation and the time."""

    @wraps(rotation.present)
    def changed(
        session: Session, generation: int, *, now: float, grace: float
    ) -> tuple[Verdict, Session]:
        verdict, after = rotation.present(session, generation, now=now, grace=grace)
        return change(verdict, session, generation, now), after

    return changed


def _advance(change: Callable[[Session, Session], Session], **settings: Any) -> _Advance:
    """Return `advance` with what it stores changed where it rotates, and under other *settings*."""

    @wraps(rotation.advance)
    def changed(session: Session, *args: Any, **kwargs: Any) -> tuple[int | None, Session]:
        handed, after = rotation.advance(session, *args, **{**kwargs, **settings})
        if after.current != session.current:
            after = change(session, after)
            handed = after.current
        return handed, after

    return changed


def _ancient_in_grace(verdict: Verdict, session: Session, generation: int, now: float) -> Verdict:
    # GoTrue v2: anything goes, a moment after a refresh.
    recent = session.rotated_at is not None and now < session.rotated_at + 2
    return Verdict.GRACE if verdict is Verdict.THEFT and recent else verdict


def _harmless(verdict: Verdict, *_: object) -> Verdict:
    return Verdict.STALE if verdict is Verdict.THEFT else verdict


def _immortal(verdict: Verdict, *_: object) -> Verdict:
    return Verdict.CURRENT if verdict is Verdict.DEAD else verdict


def _forgiving(verdict: Verdict, session: Session, generation: int, now: float) -> Verdict:
    old = session.rotated_at is not None and now >= session.rotated_at + 3
    return Verdict.GRACE if verdict is Verdict.THEFT and old else verdict


def _no_alias(verdict: Verdict, session: Session, generation: int, now: float) -> Verdict:
    alias = session.forked and generation == session.current - 1
    return Verdict.THEFT if alias else verdict


def _in_place(before: Session, after: Session) -> Session:
    return replace(after, current=before.current, previous=before.previous)


def _two_on(before: Session, after: Session) -> Session:
    return replace(after, current=after.current + 1)


def _sliding(before: Session, after: Session) -> Session:
    return replace(after, idle_expires_at=after.rotated_at + 9 if after.rotated_at else 0)


def _as_it_is(before: Session, after: Session) -> Session:
    return after


def _leaky_barrier(session: Session, *, now: float) -> Session:
    behind = rotation.barrier(session, now=now)
    return replace(behind, current=session.current + 1, previous=session.current)


def _unwidened(session: Session, generation: int, **kwargs: Any) -> tuple[Verdict, Session]:
    # W without twice the leeway.
    kwargs["grace"] -= 2
    verdict, after = rotation.present(session, generation, **kwargs)
    late = verdict in (Verdict.LATE, Verdict.FORK)
    return (Verdict.THEFT, session) if late else (verdict, after)


def _hold(name: str, machine: Machine, held: int = 1) -> Anyone:
    return Anyone(replace(machine, exempt=NAMES - {name}), promised=4, held=held)


_ONE: Final = Machine(4)
_TWO: Final = Machine(6, skew=1)
_ENDING: Final = Machine(4, idle=9, lifetime=14)

PLANTED: Final = {
    "S1 ancient in grace": _hold("S1", replace(_ONE, present_function=_present(_ancient_in_grace))),
    "S3 accepted after the end": _hold(
        "S3", replace(_ENDING, present_function=_present(_immortal))
    ),
    "S4 rotated in place": _hold("S4", replace(_ONE, advance_function=_advance(_in_place))),
    "S4 a generation left out": _hold("S4", replace(_ONE, advance_function=_advance(_two_on))),
    "S5 ancient is not theft": _hold("S5", replace(_ONE, present_function=_present(_harmless))),
    "S6 P6": _hold("S6", replace(_ONE, advance_function=p6_advance), held=2),
    "S7 idle beyond the end": _hold("S7", replace(_ENDING, advance_function=_advance(_sliding))),
    "S8 barrier with a way around": _hold("S8", replace(_ONE, barrier_function=_leaky_barrier)),
    "S11 no interval": _hold("S11", replace(_ONE, advance_function=_advance(_as_it_is, grace=0))),
    "L-a fork without an alias": _hold("L-a", replace(_ONE, present_function=_present(_no_alias))),
    "L-a grace not widened": _hold("L-a", replace(_TWO, present_function=_unwidened)),
    "THEFT taken back": _hold("THEFT", replace(_ONE, present_function=_present(_forgiving))),
    "L-b late is theft": _hold("L-b", replace(_ONE, present_function=strict_after_present)),
}
"""By the invariant, the first word, that must be found broken."""
