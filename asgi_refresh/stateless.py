"""
The mode without a store: a session lives in its refresh token.

Nothing rotates, so nothing can race; and nothing can be revoked, so a stolen refresh token works
until the session's end unless `load_claims` refuses its subject.
"""

from __future__ import annotations

from dataclasses import replace

from .errors import AccessDeniedError, RevokedTokenError
from .events import Client, Event, EventHook
from .grants import Grant, Look
from .mint import Mint
from .sessions import Session
from .tokens import RefreshToken


class Stateless:
    """A `Mode` that keeps nothing."""

    def __init__(self, mint: Mint, emit: EventHook) -> None:
        self._mint, self._emit = mint, emit

    async def begin(self, session: Session, *, client: Client | None) -> Grant:
        """Return the tokens of the new *session*."""
        minted = await self._mint.load(session)
        self._emit(Event("issued", session.subject, session.id, client=client))
        return Grant(session, minted, self._mint.refresh(session, 0))

    async def look(self, token: RefreshToken, *, client: Client | None) -> Look:
        """Mint an access token for the session that *token* carries."""
        session = token.session
        assert session is not None  # noqa: S101 - a profile of this mode carries one
        if self._mint.clock() >= session.ends_at:
            raise RevokedTokenError("the session has ended", reason="session_ended")
        try:
            minted = await self._mint.load(session)
        except AccessDeniedError:
            self._emit(
                Event("revoked", session.subject, session.id, "claims_refused", client=client)
            )
            raise RevokedTokenError(
                "load_claims ended the session", reason="claims_refused"
            ) from None
        # A generation is what an earlier system's token has: it is replaced at once.
        return Look(session, minted, issued_at=0.0 if token.generation else token.issued_at)

    async def settle(self, look: Look, *, client: Client | None) -> Grant | None:
        """
        Return the access token, and the refresh token anew once half its time is over.

        Parallel requests get equivalent ones, so the order in which they arrive does not matter.
        """
        session, now = look.session, self._mint.clock()
        if now >= session.ends_at:
            return None
        self._emit(Event("refreshed", session.subject, session.id, client=client))
        if session.ends_at - now >= now - look.issued_at:
            return Grant(session, look.minted, None)
        idle_end = min(now + self._mint.idle_lifetime, session.expires_at)
        session = replace(session, idle_expires_at=idle_end)
        return Grant(session, look.minted, self._mint.refresh(session, 0))

    async def still_good(self, look: Look) -> bool:
        """Return whether the session has not ended."""
        return self._mint.clock() < look.session.ends_at

    async def end_kept(
        self,
        session_id: str,
        *,
        reason: str,
        client: Client | None,
        lasts: float = 0.0,  # noqa: ARG002
    ) -> None:
        """Report it."""
        await self.end(session_id, reason=reason, client=client)

    async def end(
        self,
        session_id: str,
        *,
        reason: str,
        subject: str | None = None,
        client: Client | None = None,
        lasts: float = 0.0,  # noqa: ARG002
    ) -> bool:
        """Report it: only the browser's cookies can be deleted."""
        self._emit(Event("revoked", subject, session_id, reason, client=client))
        return True
