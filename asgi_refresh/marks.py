"""
Marks: what a store remembers beside sessions. Rows like theirs, of a subject that nobody can have.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from .errors import StoreUnavailable
from .sessions import Session, affinity
from .store import Store

MARGIN: Final = 3600.0
"""Seconds that a mark outlives what it is of, against clocks that are ahead."""
_NOBODY: Final = "\x1f"  # no subject holds a control character (`claims.is_identifier`)


def mark_id(name: str) -> str:
    """Return the id of the mark of *name*."""
    name = f"{_NOBODY}{name}"
    return f"{affinity(name)}m{sha256(name.encode()).hexdigest()[:27]}"


def mark_of(name: str, *, until: float) -> Session:
    """Return the mark of *name*, which may be forgotten at *until*."""
    return Session(
        id=mark_id(name),
        subject=f"{_NOBODY}{name}",
        created_at=0.0,
        auth_time=0.0,
        expires_at=until,
        idle_expires_at=until,
    )


async def add_mark(store: Store, mark: Session) -> bool:
    """Return whether *mark* has been added; False if there was one before."""
    try:
        await store.add(mark)
    except StoreUnavailable:
        if await store.get(mark.id) is None:
            raise
        return False  # or it was this very call, and its answer was lost: all the same
    return True
