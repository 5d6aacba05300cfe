"""
Access tokens of no session, which a browser has given up for another: they end with the session.

An application that issues tokens itself says in none which sign-in it is of. While the browser has
one, a sign-out finds it; later only what was noted here tells that it was the same browser's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from .marks import MARGIN, add_mark, mark_id, mark_of
from .sessions import freeze
from .store import Store

_MOST: Final = 32  # of one session; those that end last


class Strays:
    """
    What a session has given up.

    Args:
        store: Where sessions are kept.
        clock: Seconds since the epoch.
    """

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store, self._clock = store, clock

    async def add(self, session_id: str, stray: str, ends_at: float) -> None:
        """Note the id that stands for a token, which ends at *ends_at*."""
        name = _name_of(session_id)
        while True:
            kept = await self._store.get(mark_id(name))
            known = {} if kept is None else self._alive(kept.claims)
            if stray in known:
                return
            latest = sorted({**known, stray: ends_at}.items(), key=lambda item: item[1])[-_MOST:]
            mark = mark_of(name, until=latest[-1][1] + MARGIN)
            mark = replace(mark, claims=freeze(dict(latest)))
            if kept is None:
                if await add_mark(self._store, mark):
                    return
            elif await self._store.replace(kept, replace(mark, version=kept.version + 1)):
                return

    async def of(self, session_id: str) -> Mapping[str, float]:
        """Return the ids of those that are not over, and when each is."""
        kept = await self._store.get(mark_id(_name_of(session_id)))
        return {} if kept is None else self._alive(kept.claims)

    def _alive(self, claims: Mapping[str, float]) -> dict[str, float]:
        now = self._clock()
        return {stray: ends_at for stray, ends_at in claims.items() if now < ends_at}


def _name_of(session_id: str) -> str:
    return f"given up {session_id}"
