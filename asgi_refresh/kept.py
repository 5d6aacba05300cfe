"""
Sessions in a store: how they begin, how they end, and what a login tidies up besides.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from .adoption import Adoption
from .config import Config
from .denylist import Denylist
from .devices import device_label
from .errors import StoreUnavailable
from .events import Client, Event, EventHook
from .grants import Grant
from .legacy import is_adopted, is_stray
from .mint import Mint
from .sessions import Revocation, Session
from .store import Store
from .strays import Strays
from .tokens import AccessToken, RefreshToken

PURGE_AFTER: Final = 3600.0
"""Seconds for which what is over is kept, in case this host's clock is ahead of the others."""
_PURGE_EVERY: Final = 3600.0
_PURGE_ON: Final = 1.0  # seconds until the next purge, while there is something to drop


class Kept:
    """
    Begins and ends sessions.

    Args:
        store: Bounded in time, failing with `StoreUnavailable` only.
        mint: Makes tokens.
        config: The settings.
        emit: Told of every decision.
        denylist: Told of every revocation made here; None where access tokens just run out.
        adopts: Whether tokens of an earlier system begin sessions, too.
    """

    def __init__(
        self,
        store: Store,
        mint: Mint,
        config: Config,
        emit: EventHook,
        denylist: Denylist | None,
        *,
        adopts: bool,
    ) -> None:
        self.store, self._mint, self._emit, self.denylist = store, mint, emit, denylist
        self._adoption = Adoption(
            store, mint.clock, self.revocation, emit, idle_lifetime=mint.idle_lifetime
        )
        self._adopts = adopts
        self._strays = Strays(store, mint.clock)
        self._max_sessions = config.max_sessions
        self._leeway = config.leeway.total_seconds()
        self._next_purge = 0.0

    async def begin(self, session: Session, *, client: Client | None) -> Grant:
        """Keep the new *session* and return its tokens; the oldest of too many end."""
        if session.device is None and client is not None:
            session = replace(session, device=device_label(client.user_agent))
        minted = await self._mint.load(session)
        await self.store.add(session)
        self._emit(Event("issued", session.subject, session.id, client=client))
        await self._keep_house(session, client)
        return Grant(session, minted, self._mint.refresh(session, session.current))

    async def end(
        self,
        session_id: str,
        *,
        reason: str,
        subject: str | None = None,
        client: Client | None = None,
        lasts: float = 0.0,
    ) -> bool:
        """Delete the session; its access tokens are refused from here on."""
        if is_adopted(session_id):
            await self._adoption.end(session_id)
        await self._end_strays(session_id, subject, reason, client)
        revocation = self.revocation(session_id, lasts)
        ended = await self.store.revoke(session_id, revocation)
        self._note(revocation)
        self._emit(Event("revoked", subject, session_id, reason, client=client))
        return ended

    async def end_kept(
        self, session_id: str, *, reason: str, client: Client | None, lasts: float = 0.0
    ) -> None:
        """End the session if the store still has it."""
        session = await self.store.get(session_id)
        if session is not None:
            await self._end_as_kept(session, reason, client)
        elif is_adopted(session_id):
            await self._adoption.end(session_id)  # before it has begun
        elif is_stray(session_id) and self._is_news(session_id):
            await self.end(session_id, reason=reason, client=client, lasts=lasts)

    async def give_up(
        self, refresh: RefreshToken, tokens: Iterable[AccessToken | RefreshToken]
    ) -> None:
        """Let those of *tokens* that are of no session end with the session of *refresh*."""
        now = self._mint.clock()
        for token in tokens:
            if (
                isinstance(token, AccessToken)
                and is_stray(token.session_id)
                and refresh.goes_with(token)
                and now < token.expires_at
            ):
                await self._strays.add(refresh.session_id, token.session_id, token.expires_at)

    async def _end_strays(
        self, session_id: str, subject: str | None, why: str, client: Client | None
    ) -> None:
        if not self._mint.profile.adopts or is_stray(session_id):
            return
        for stray, lasts in (await self._strays.of(session_id)).items():
            if self._is_news(stray):
                await self.end(stray, subject=subject, reason=why, client=client, lasts=lasts)

    async def _end_as_kept(self, session: Session, why: str, client: Client | None) -> None:
        await self.end(session.id, subject=session.subject, reason=why, client=client)

    async def end_subject(self, subject: str, *, client: Client | None) -> int:
        """End every session of *subject*; return how many."""
        if self._adopts:
            await self._adoption.end_subject(subject)
        sessions = await self.store.find(subject)
        count = await self.store.revoke_subject(subject, self.revocation(""))
        for session in sessions:
            self._note(self.revocation(session.id))
            await self._end_strays(session.id, subject, "everywhere", client)
        self._emit(Event("revoked", subject, None, "everywhere", str(count), client))
        return count

    async def end_others(self, subject: str, session_id: str, *, client: Client | None) -> int:
        """End every session of *subject* but one; return how many."""
        sessions = await self.store.find(subject)
        others = [s for s in sessions if s.id != session_id]
        if self._adopts and len(others) < len(sessions):
            # Else the one that stays has not begun here, and its token must be able to.
            await self._adoption.end_subject(subject)
        for session in others:
            await self._end_as_kept(session, "others", client)
        return len(others)

    async def is_of(self, session_id: str, subject: str) -> bool:
        """Return whether the session is kept, and whose it is."""
        session = await self.store.get(session_id)
        return session is not None and session.subject == subject

    def revocation(self, session_id: str, lasts: float = 0.0) -> Revocation:
        """Return the entry that ends a session now; *lasts* is as for `end`."""
        now = self._mint.clock()
        # A peer's clock may be ahead when it mints, and behind when it looks.
        until = max(now + self._mint.access_lifetime, lasts) + 2 * self._leeway
        return Revocation(session_id, now, until)

    def _is_news(self, session_id: str) -> bool:
        """Whether its revocation would tell anything: the token may be sent over and over."""
        return self.denylist is not None and session_id not in self.denylist.by_session

    def _note(self, revocation: Revocation) -> None:
        if self.denylist is not None:
            self.denylist.note(revocation)

    async def _keep_house(self, session: Session, client: Client | None) -> None:
        """What a login may do besides: end the oldest sessions, drop what is over."""
        try:
            if self._max_sessions is not None:
                now = self._mint.clock()
                alive = [s for s in await self.store.find(session.subject) if now < s.ends_at]
                # One order for everybody: logins that meet must not end one another.
                alive.sort(key=lambda s: (s.created_at, s.id))
                for surplus in alive[: -self._max_sessions]:
                    if surplus.id != session.id:
                        await self._end_as_kept(surplus, "max_sessions", client)
            await self._purge()
        except StoreUnavailable:
            return  # the event is out; the login stands

    async def _purge(self) -> None:
        """Drop what is over, if it is time to."""
        now = self._mint.clock()
        if now >= self._next_purge:
            self._next_purge = now + _PURGE_EVERY
            if await self.store.purge(now - PURGE_AFTER):
                self._next_purge = now + _PURGE_ON
