"""
Protocols that the explorer must fail: three drafts of the shipped one, each a change to it.

rotation.md, section 4, tells what is wrong with them.
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
) -> tuple[int | None, Session]:
    """P6: a request that was CURRENT when it arrived gets the successor, however slow it was."""
    if verdict is Verdict.CURRENT and session.current != seen and generation == session.previous:
        return session.current, session
    return rotation.advance(session, generation, verdict, seen, now=now, grace=grace, idle=idle)


def drafted_advance(
    session: Session,
    generation: int,
    verdict: Verdict,
    seen: int,
    *,
    now: float,
    grace: float,
    idle: float,
) -> tuple[int | None, Session]:
    """
    P7 as rotation.md drafts it: the predecessor gets the successor up to the end of the grace.

    A response that carries it may then be overtaken by the FORK that voids it; the jar holds the
    void generation until the access token has run out, which its alias does not outlive.
    """
    answer, after = rotation.advance(
        session, generation, verdict, seen, now=now, grace=grace, idle=idle
    )
    if answer is None and verdict in ACCEPTED and generation == session.previous:
        rotated_at = session.rotated_at
        if session.current == seen or (rotated_at is not None and now < rotated_at + grace):
            return session.current, session
    return answer, after
