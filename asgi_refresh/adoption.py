"""
Adoption: the session of a legacy token is begun when it first comes, once, and not again.

A session that has ended leaves nothing behind, and the token that it began with is still good where
it came from. So a mark is kept beside: adopted, or ended before it ever was. It goes when the token
is over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Final

from .cookies import MAX_AGE
from .devices import device_label
from .errors import StoreUnavailable
from .events import Client, Event, EventHook
from .marks import MARGIN, add_mark, mark_id, mark_of
from .sessions import FrozenDict, Revocation, Session
from .store import Store
from .tokens import RefreshToken

_ENDED: Final = FrozenDict(ended=True)


class Adoption:
    """
    Begins the sessions of legacy tokens.

    Args:
        store: Where sessions are kept.
        clock: Seconds since the epoch.
        idle_lifetime: Seconds.
        revocation: Makes the revocation that ends a session now, by its id.
        emit: Told of every session that begins.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
        revocation: Callable[[str], Revocation],
        emit: EventHook,
        *,
        idle_lifetime: float,
    ) -> None:
        self._store, self._clock, self._emit = store, clock, emit
        self._revocation, self._idle = revocation, idle_lifetime

    async def adopt(
        self, token: RefreshToken, offered: Session, kept: Session | None, client: Client | None
    ) -> Session | None:
        """
        Return the session of *token*, begun as *offered* if it never was; None: it is over.

        First comes the session and then its mark, so whoever finds a session without one, *kept*
        just now, goes on where another was cut short. A session may end between any two of these
        steps: its end marks first and deletes then.
        """
        now, created = self._clock(), False
        mark = await self._store.get(mark_id(token.session_id))
        if mark is not None:
            return await self._marked(mark, token.session_id, kept)
        if now >= offered.ends_at:
            return kept
        session = kept
        if session is None:
            if await self._is_cut_off(offered.subject, token.issued_at):
                return None
            idle_end = min(now + self._idle, offered.expires_at)
            device = device_label(client.user_agent) if client is not None else None
            session = replace(offered, idle_expires_at=idle_end, last_seen=now, device=device)
            try:
                await self._store.add(session)
                created = True
            except StoreUnavailable:  # or another request has added it
                session = await self._existing(token.session_id)
                if session is None:
                    return None
        begun = await self._mark_begun(session.id, until=offered.ends_at + MARGIN)
        if begun and not await self._is_cut_off(session.subject, token.issued_at):
            if created:
                self._emit(Event("issued", session.subject, session.id, "adopted", client=client))
            return session
        await self._store.revoke(session.id, self._revocation(session.id))
        return None

    async def _marked(self, mark: Session, session_id: str, kept: Session | None) -> Session | None:
        if mark.claims.get("ended"):
            return None
        return await self._store.get(session_id) if kept is None else kept

    async def _existing(self, session_id: str) -> Session | None:
        session = await self._store.get(session_id)
        if session is None and await self._store.get(mark_id(session_id)) is None:
            raise StoreUnavailable("a session could neither be added nor found")
        return session

    async def end(self, session_id: str) -> None:
        """Let no token begin the session from here on; to be called before it is deleted."""
        row = replace(mark_of(session_id, until=self._clock() + MAX_AGE), claims=_ENDED)
        while True:
            mark = await self._store.get(row.id)
            if mark is None:
                if await add_mark(self._store, row):
                    return
            elif mark.claims.get("ended"):
                return
            else:
                ended = replace(mark, claims=_ENDED, version=mark.version + 1)
                if await self._store.replace(mark, ended):
                    return

    async def end_subject(self, subject: str) -> None:
        """
        Let no token of *subject* from before this second begin a session.

        Tokens tell whole seconds; one from this very second may be of a sign-in that follows.
        """
        now = self._clock()
        row = replace(mark_of(_cut_off(subject), until=now + MAX_AGE), created_at=now)
        while True:
            kept = await self._store.get(row.id)
            if kept is None:
                if await add_mark(self._store, row):
                    return
            elif await self._store.replace(kept, replace(row, version=kept.version + 1)):
                return

    async def _is_cut_off(self, subject: str, issued_at: float) -> bool:
        cut_off = await self._store.get(mark_id(_cut_off(subject)))
        return cut_off is not None and issued_at < int(cut_off.created_at)

    async def _mark_begun(self, session_id: str, *, until: float) -> bool:
        """Mark a session that has just begun; return False if it has ended before that."""
        row = mark_of(session_id, until=until)
        if await add_mark(self._store, row):
            return True
        mark = await self._store.get(row.id)
        return mark is not None and not mark.claims.get("ended")


def _cut_off(subject: str) -> str:
    return f"all {sha256(subject.encode()).hexdigest()}"
