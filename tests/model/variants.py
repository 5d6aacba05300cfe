"""
Drafts of the shipped protocol and what others do, each a change to it; the explorer tells why not.

rotation.md, sections 3 and 4, has them in its tables.
"""

from __future__ import annotations

from dataclasses import replace

from asgi_refresh import rotation
from asgi_refresh.rotation import ACCEPTED, Verdict
from asgi_refresh.sessions import Session


def p4_present(
    session: Session, generation: int, *, now: float, grace: float
) -> tuple[Verdict, Session]:
    """P4: after a fork the predecessor that was kept still gets the same successor, at any age."""
    verdict, after = rotation.present(session, generation, now=now, grace=grace)
    if verdict is Verdict.FORK and session.forked:
        return Verdict.LATE, replace(session, late=session.current)
    return verdict, after


def p6_advance(
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
    """P6: a request that was CURRENT when it arrived gets the successor, however slow it was."""
    if verdict is Verdict.CURRENT and session.current != seen and generation == session.previous:
        return session.current, session
    return rotation.advance(
        session, generation, verdict, seen, now=now, grace=grace, idle=idle, alone=alone
    )


def drafted_advance(
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
    P7 as rotation.md drafts it: the predecessor gets the successor up to the end of the grace.

    A response that carries it may then be overtaken by the FORK that voids it; the jar holds the
    void generation until the access token has run out, which its alias does not outlive.
    """
    answer, after = rotation.advance(
        session, generation, verdict, seen, now=now, grace=grace, idle=idle, alone=alone
    )
    if answer is None and verdict in ACCEPTED and generation == session.previous:
        rotated_at = session.rotated_at
        if session.current == seen or (rotated_at is not None and now < rotated_at + grace):
            return session.current, session
    return answer, after


def strict_after_present(
    session: Session, generation: int, *, now: float, grace: float
) -> tuple[Verdict, Session]:
    """The same successor in grace, and no later: a lost response is a theft."""
    verdict, after = rotation.present(session, generation, now=now, grace=grace)
    if verdict in (Verdict.LATE, Verdict.FORK):
        return Verdict.THEFT, session
    return verdict, after


def fork_at_once_present(
    session: Session, generation: int, *, now: float, grace: float
) -> tuple[Verdict, Session]:
    """Every late predecessor gets a new successor, and voids the outstanding one."""
    verdict, after = rotation.present(session, generation, now=now, grace=grace)
    return (Verdict.FORK, session) if verdict is Verdict.LATE else (verdict, after)


def always_present(
    session: Session, generation: int, *, now: float, grace: float
) -> tuple[Verdict, Session]:
    """The predecessor gets the same successor at any age, as often as it is presented."""
    verdict, _ = rotation.present(session, generation, now=now, grace=grace)
    late = verdict in (Verdict.LATE, Verdict.FORK)
    return (Verdict.GRACE if late else verdict), session


def always_advance(
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
    """The other half of `always_present`."""
    if generation == session.previous and verdict in ACCEPTED:
        return session.current, session
    return rotation.advance(
        session, generation, verdict, seen, now=now, grace=grace, idle=idle, alone=alone
    )
