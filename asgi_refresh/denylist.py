"""
Live revocation: what the store's log says of access tokens that are still out, kept at hand.

No background task and no I/O on most requests: a request that finds the answer too old waits for
one poll of the log, which everyone else who arrives shares.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import anyio

from .decide import refuses
from .errors import StoreUnavailable
from .flight import Flight
from .sessions import Revocation
from .store import BATCH, Store
from .tokens import AccessToken

_LONGEST_PAUSE = 30.0  # seconds between tries while the store is away
_SWEEP = 30.0  # seconds between two sweeps of entries that are over
_MOST_OF_A_SESSION = 32
_MOST_PAGES = 10_000  # then a store has been telling for ever


class Denylist:
    """
    The revocations that concern tokens still out, by session.

    Args:
        store: Whose log to follow.
        clock: Seconds since the epoch.
        max_age: Seconds that an answer is good for; None asks on every request, and an outage is
            then the caller's error instead of an old answer.
        patience: Seconds that a caller waits, behind the polls of others too.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
        *,
        max_age: float | None,
        patience: float = inf,
    ) -> None:
        self._patience = patience
        self._store, self._clock, self._max_age = store, clock, max_age
        self._flight = Flight[None]()
        self._cursor: str | None = None
        self._pause = 1.0
        self._next_sweep = 0.0
        self._noted: set[Revocation] = set()
        self.by_session: dict[str, tuple[Revocation, ...]] = {}
        self.good_from = self.good_until = 0.0

    async def update(self) -> None:
        """
        Poll unless the last answer is still good; afterwards `refuses` may be asked.

        Raises:
            StoreUnavailable: Only where every request asks; else an outage leaves the old answer
                standing, and the store alone for 1, 2, 4 … 30 seconds.
        """
        if not self.good_from <= self._clock() < self.good_until:
            try:
                with anyio.fail_after(self._patience):
                    await self._flight.run("poll", self._poll)
            except TimeoutError:
                if self._max_age is None:
                    raise StoreUnavailable("the store did not answer in time") from None
                self._put_off()

    def refuses(self, token: AccessToken) -> bool:
        """Return whether *token* is refused, by what is known at this moment."""
        known = self.by_session.get(token.session_id)
        return known is not None and any(refuses(revocation, token) for revocation in known)

    def note(self, revocation: Revocation) -> None:
        """Let *revocation* bite in this process at once."""
        known = self.by_session.get(revocation.session_id, ())
        if revocation.ends_session or any(entry.ends_session for entry in known):
            # Nothing else matters then; the longest of them stays.
            final = [entry for entry in (*known, revocation) if entry.ends_session]
            known = (max(final, key=lambda entry: entry.until),)
        elif revocation not in self._noted:
            if revocation.jti is None:
                known = tuple(entry for entry in known if not _covers(revocation, entry))
            known = (*known, revocation)
            self._noted.add(revocation)
        self.by_session[revocation.session_id] = known

    def is_full(self, session_id: str) -> bool:
        """Return whether so many tokens of a session are refused one by one that it must do."""
        return len(self.by_session.get(session_id, ())) >= _MOST_OF_A_SESSION

    async def _poll(self, _last: None) -> None:
        began = self._clock()
        if self.good_from <= began < self.good_until:
            return  # answered while this caller waited
        try:
            await self._read()
        except StoreUnavailable:
            if self._max_age is None:
                raise
            self._put_off()
            return
        self._pause = 1.0
        if self._max_age is not None:
            self.good_from, self.good_until = began, began + self._max_age
        if began >= self._next_sweep:
            self._sweep(began)

    def _put_off(self) -> None:
        """Go by the old answer for a while, a longer one each time."""
        self.good_from = self._clock()
        self.good_until = self.good_from + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    async def _read(self) -> None:
        """Read the log to its end, in pages: what was read stays read if a later one fails."""
        for _ in range(_MOST_PAGES):
            before = self._cursor
            entries, self._cursor = await self._store.revocations(before)
            for entry in entries:
                self.note(entry)
            if len(entries) < BATCH or self._cursor == before:
                return

    def _sweep(self, now: float) -> None:
        self._next_sweep = now + _SWEEP
        self._noted = {entry for entry in self._noted if entry.until > now}
        for session_id, known in list(self.by_session.items()):
            left = tuple(entry for entry in known if entry.until > now)
            if not left:
                del self.by_session[session_id]
            elif len(left) != len(known):
                self.by_session[session_id] = left


def _covers(new: Revocation, old: Revocation) -> bool:
    """Return whether *new* refuses all that *old* does, and as long."""
    return (
        old.jti is None
        and old.access_from is not None
        and new.access_from is not None
        and new.access_from >= old.access_from
        and new.until >= old.until
    )
