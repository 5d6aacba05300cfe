"""
The rotation protocol: what presenting a refresh token does to its session.

Two pure functions over an immutable record, so that a model checker can drive the shipped code.
`present` decides at request time, `advance` at the last moment before the response leaves; between
them anything may have happened to the session, and `advance` is therefore given the session as it
is then. A refresh token is a (session id, generation) pair under a MAC, so everyone who presents
one generation is handed the same successor, and nothing about it needs to be kept.

The rules, with `current`, `previous` and the rest as `sessions.Session` names them:

- at most one rotation in *grace* seconds, so every generation that was current within the last
  *grace* seconds is `current` or `previous`, and is accepted;
- the generation before is accepted however late (its response was lost), but not in two
  generations running: the second time the outstanding successor is voided (FORK), so in the second
  half of the grace before that it is not handed out any more: it must not be overtaken;
- anything older is in a second pair of hands, and ends the session (RFC 9700, 4.14.2).

Here *grace* is W of the configuration, the rotation grace widened by twice the leeway: hosts whose
clocks agree within the leeway come to the same verdict. Time never runs backwards past
`rotated_at`.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from math import inf

from .sessions import Session


class Verdict(Enum):
    """What a presented generation is to its session."""

    CURRENT = "current"
    """The newest one."""
    GRACE = "grace"
    """Superseded less than *grace* ago: a request that was already on its way."""
    LATE = "late"
    """Superseded longer ago, and the successor not used since: its response was lost."""
    FORK = "fork"
    """Late in two generations running: it gets a new successor, the outstanding one is void."""
    AHEAD = "ahead"
    """Newer than the newest: genuine, so the store has lost writes (failover, restored backup)."""
    STALE = "stale"
    """Voided by a barrier moments ago: refused, nothing ends."""
    THEFT = "theft"
    """Older than anything an honest browser may still hold: the session must end."""
    DEAD = "dead"
    """The session has expired."""


_LEAP = 1000  # as many rotations take days, the oldest backup that anybody restores
# The first two past the grace; FORK is, unless the store has lost what it was decided on.
_ROTATES = frozenset({Verdict.CURRENT, Verdict.FORK, Verdict.AHEAD})
ACCEPTED = _ROTATES | {Verdict.GRACE, Verdict.LATE}
"""The verdicts that keep the browser signed in."""


def present(
    session: Session, generation: int, *, now: float, grace: float
) -> tuple[Verdict, Session]:
    """
    Decide what *generation*, presented at *now*, is to *session*.

    Safe on a stale read: generations only grow, and THEFT once true stays true.

    Args:
        session: The session as the store has it.
        generation: The generation from a refresh token whose signature held.
        now: The caller's clock, in seconds since the epoch.
        grace: W, in seconds. Zero signs out a browser whose requests overlap a rotation.

    Returns:
        The verdict, and the session to store where it differs from the given one: LATE is marked
        at once, so that a second late recovery is seen even if this one never gets to `advance`.
        Ending the session on THEFT is the caller's.
    """
    if now >= session.ends_at:
        return Verdict.DEAD, session
    now = _not_before_rotation(session, now)
    if generation > session.current:
        return Verdict.AHEAD, session
    if generation == session.current:
        return Verdict.CURRENT, session
    recent = session.rotated_at is not None and now < session.rotated_at + grace
    if generation == session.previous:
        if recent:
            return Verdict.GRACE, session
        if _late_is_free(session):
            return Verdict.LATE, _marked_late(session)
        return Verdict.FORK, session
    if recent and session.forked and generation == session.current - 1:
        # The successor that the fork voided; a response that carried it may still be on the wire.
        return Verdict.GRACE, session
    if session.barrier_at is not None and now < session.barrier_at + grace:
        return Verdict.STALE, session
    return Verdict.THEFT, session


def advance(
    session: Session,
    generation: int,
    verdict: Verdict,
    seen: int,
    *,
    now: float,
    grace: float,
    idle: float,
    alone: bool = False,
) -> tuple[int | None, Session]:
    """
    Decide which generation a response carries, and rotate if it is due.

    Args:
        session: The session as it is now, not as it was at `present`.
        generation: What was presented.
        verdict: What `present` said of it.
        seen: The session's `current` at that time.
        now: The caller's clock, in seconds since the epoch.
        grace: W, in seconds: the window, and the least time between two rotations.
        idle: The idle lifetime, in seconds; a rotation begins it anew, up to `expires_at`.
        alone: Whether the client has nothing else on its way (explicit refresh).

    Returns:
        The generation to hand out (None: emit nothing), and the session to store where it differs
        from the given one. It never ends a session, and never calls a slow request a theft.
    """
    if now >= session.ends_at or verdict not in ACCEPTED:
        return None, session
    now = _not_before_rotation(session, now)
    age = inf if session.rotated_at is None else now - session.rotated_at
    unchanged = session.current == seen
    if unchanged and verdict in _ROTATES and (verdict is Verdict.AHEAD or age >= grace):
        session = _rotated(session, generation, verdict, now=now, idle=idle)
        return session.current, session
    superseded = generation == session.previous
    if superseded and not _late_is_free(session) and age >= (grace if alone else grace / 2):
        # When the grace is over this generation FORKs, and what is handed out here is void; if it
        # were still on its way then, it could take the place of the fork's successor.
        return None, session
    if unchanged or (superseded and age < grace):
        return session.current, session
    # Else others have rotated twice, or a barrier was raised.
    return (session.current, _marked_late(session)) if superseded else (None, session)


def barrier(session: Session, *, now: float) -> Session:
    """
    Return *session* behind a barrier: after a privilege change no token from before it refreshes.

    The new generation has no predecessor, so the older ones are STALE while they may be on their
    way and THEFT after that; access tokens of earlier generations are refused. It leaps ahead of
    generations that a store may have handed out and forgotten (a failover, a restored backup):
    they would pass as AHEAD.
    """
    now = _not_before_rotation(session, now)
    current = session.current + _LEAP
    return replace(
        session,
        current=current,
        previous=None,
        rotated_at=now,
        forked=False,
        barrier_at=now,
        access_from=current,
        last_seen=now,
    )


def _not_before_rotation(session: Session, now: float) -> float:
    return now if session.rotated_at is None else max(now, session.rotated_at)


def _late_is_free(session: Session) -> bool:
    """Whether `previous` may be recovered late: this generation's turn, or two without one."""
    since = session.current - session.late
    return not session.forked and (since == 0 or since >= 2)


def _marked_late(session: Session) -> Session:
    return session if session.late == session.current else replace(session, late=session.current)


def _rotated(
    session: Session, generation: int, verdict: Verdict, *, now: float, idle: float
) -> Session:
    current = max(session.current, generation) + 1
    forked = verdict is Verdict.FORK
    return replace(
        session,
        current=current,
        previous=generation,
        rotated_at=now,
        late=current if forked else session.late,
        forked=forked,
        idle_expires_at=min(now + idle, session.expires_at),
        last_seen=now,
    )
