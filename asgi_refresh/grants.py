"""
What the two modes have in common: what is seen when a refresh token comes, and what goes out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from .events import Client
from .mint import Minted
from .rotation import Verdict
from .sessions import Session
from .tokens import RefreshToken


@dataclass(frozen=True, slots=True)
class Tokens:
    """
    What a client gets: an access token and a refresh token.

    Attributes:
        access_token: For `Authorization: Bearer` or the access cookie.
        refresh_token: For the next refresh; replaces the one presented.
        expires_in: Seconds that the access token is good for.
        refresh_expires_in: Seconds that the refresh token is, if it is not used before.
        session_id: The session of both.
        persistent: Whether its cookies outlive the browser.
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int
    refresh_expires_in: int
    session_id: str
    persistent: bool = True


@dataclass(frozen=True, slots=True)
class Look:
    """
    What was seen at request time; nothing of it is promised until it is settled.

    Attributes:
        session: The session as it was read.
        minted: The new access token, which the application already works with.
        generation: The generation presented.
        verdict: What that was.
        seen: The session's `current` then.
        issued_at: When the refresh token was made (stateless).
    """

    session: Session
    minted: Minted
    generation: int = 0
    verdict: Verdict = Verdict.CURRENT
    seen: int = 0
    issued_at: float = 0.0


class Grant(NamedTuple):
    """
    What goes out: both tokens of one session.

    Attributes:
        session: The session as it is from here on.
        minted: The access token.
        refresh_token: The refresh token; None: the one presented stays good.
    """

    session: Session
    minted: Minted
    refresh_token: bytes | None

    def __repr__(self) -> str:
        return f"Grant({self.session!r}, {self.minted!r})"

    def tokens(self, *, now: float, presented: str = "") -> Tokens:
        """Return it as a client gets it at *now*, who *presented* a refresh token."""
        token = self.refresh_token
        return Tokens(
            access_token=self.minted.raw.decode(),
            refresh_token=presented if token is None else token.decode(),
            expires_in=max(0, int(self.minted.token.expires_at - now)),
            refresh_expires_in=max(0, int(self.session.ends_at - now)),
            session_id=self.session.id,
            persistent=self.session.persistent,
        )


class Mode(Protocol):
    """How sessions live: in a store, or in their refresh tokens alone."""

    async def begin(self, session: Session, *, client: Client | None) -> Grant:
        """
        Sign in: keep the new *session*, and return its tokens.

        Raises:
            AccessDeniedError, ClaimsUnavailable: From `load_claims`.
            StoreUnavailable: It could not be kept.
        """
        ...

    async def look(self, token: RefreshToken, *, client: Client | None) -> Look:
        """
        Read what *token* stands for, and mint an access token to go on with.

        Raises:
            InvalidTokenError: It is not accepted; `reason` says why.
            ClaimsUnavailable, StoreUnavailable: Nothing is known about it.
        """
        ...

    async def settle(self, look: Look, *, client: Client | None) -> Grant | None:
        """
        Make *look* final at the last moment; None: the session has moved on, emit nothing.

        Raises:
            StoreUnavailable: Nothing may be emitted.
        """
        ...

    async def still_good(self, look: Look) -> bool:
        """
        Return whether the access token of *look* may go out although nothing rotates.

        Raises:
            StoreUnavailable: Nothing may be emitted.
        """
        ...

    async def end_kept(
        self, session_id: str, *, reason: str, client: Client | None, lasts: float = 0.0
    ) -> None:
        """
        End a session if it is still kept, and write nothing if it is not; *lasts* is as for `end`.

        Raises:
            StoreUnavailable: It may still be there.
        """
        ...

    async def end(
        self,
        session_id: str,
        *,
        reason: str,
        subject: str | None = None,
        client: Client | None = None,
        lasts: float = 0.0,
    ) -> bool:
        """
        End a session; return whether there was one.

        Its access tokens are refused for as long as ours are good, and until *lasts*: when the one
        that is at hand ends, which an application may have issued for longer.

        Raises:
            StoreUnavailable: It may still be there.
        """
        ...
