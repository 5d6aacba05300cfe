"""
Sessions and log entries to test with.
"""

from __future__ import annotations

import time
from typing import Any, Final

from asgi_refresh.sessions import Revocation, Session, affinity, freeze

NOW: Final = float(int(time.time()))  # a backend may drop what is over by its own clock


def a_session(number: int = 1, subject: str = "alice", **values: Any) -> Session:
    """Return a session that began at `NOW`, with the id that *number* makes."""
    defaults: dict[str, Any] = {
        "created_at": NOW,
        "auth_time": NOW,
        "expires_at": NOW + 90 * 86400.0,
        "idle_expires_at": NOW + 14 * 86400.0,
        "last_seen": NOW,
    }
    session_id = f"{affinity(subject)}{number:028x}"
    return Session(id=session_id, subject=subject, **(defaults | values))


def a_revocation(session: Session, *, until: float = NOW + 600, **values: Any) -> Revocation:
    """Return an entry of the log that concerns *session*."""
    return Revocation(session.id, NOW, until, **values)


FULL: Final = a_session(
    current=2**53 - 1,
    previous=5,
    rotated_at=NOW + 0.123456789,
    late=7,
    forked=True,
    barrier_at=NOW - 3.5,
    access_from=4,
    claims=freeze({"role": "admin", "deep": {"list": [1, 2.5, None, True, "é\ud800\U0001f600"]}}),
    persistent=False,
    device='Bob\'s "phone" \\ ✓ \U0001f600',
    version=19,
)
"""A session with something unusual in every field."""
