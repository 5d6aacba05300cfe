"""
New sessions and new access tokens: the one place where random ids are drawn and claims are loaded.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, TypeAlias, cast

import anyio
import anyio.to_thread

from .claims import check_claims, is_identifier
from .config import Config
from .cookies import MAX_COOKIE
from .errors import AccessDeniedError, ClaimsUnavailable
from .sessions import FrozenDict, Session, affinity
from .tokens import AccessToken, Profile

Claims: TypeAlias = Mapping[str, Any] | None
ClaimsLoader: TypeAlias = Callable[[Session], Claims | Awaitable[Claims]]
"""What `Issuer(load_claims=…)` takes: the claims for the next access token of a session, or None
to end it. Sync (called in a worker thread) or async."""


_OLD = 2.0  # seconds; one of them is rounding, for `exp` is a whole second
_ROOM = 16  # bytes in the access cookie for the digits that a generation may grow by


class Minted(NamedTuple):
    """
    An access token, as it goes out and as it is read back.

    Attributes:
        raw: Its bytes.
        token: What reading them back gives.
        claims: The extra claims in it.
    """

    raw: bytes
    token: AccessToken
    claims: FrozenDict

    def __repr__(self) -> str:
        return f"Minted({self.token!r})"


class Mint:
    """
    Makes sessions and tokens as `Config` has them.

    Args:
        profile: The shape of the tokens.
        config: The lifetimes.
        clock: Seconds since the epoch.
        load_claims: The application's, or None: then the claims given at login are used.
    """

    def __init__(
        self,
        profile: Profile,
        config: Config,
        clock: Callable[[], float],
        load_claims: ClaimsLoader | None,
    ) -> None:
        self.profile, self.config, self.clock = profile, config, clock
        self.window = config.window.total_seconds()
        self.idle_lifetime = config.idle_lifetime.total_seconds()
        self.access_lifetime = config.access_lifetime.total_seconds()
        self.timeout = config.store_timeout.total_seconds()
        self._load = load_claims
        self._load_is_async = load_claims is not None and (
            inspect.iscoroutinefunction(load_claims)
            or inspect.iscoroutinefunction(type(load_claims).__call__)
        )

    def session(
        self, subject: str, claims: Claims, *, persistent: bool, device: str | None
    ) -> Session:
        """
        Return a new session, checked so that minting for it cannot fail later.

        Raises:
            ValueError: The subject is no identifier, or the claims are reserved, not JSON, or more
                than a cookie holds.
        """
        if not is_identifier(subject):
            raise ValueError("a subject is a str of 1 to 255 characters without controls")
        if device is not None and not is_identifier(device):
            raise ValueError("a device label is a str of 1 to 255 characters without controls")
        now = self.clock()
        end = now + self.config.session_lifetime.total_seconds()
        session = Session(
            id=affinity(subject) + _random_id()[4:],
            subject=subject,
            created_at=now,
            auth_time=now,
            expires_at=end,
            idle_expires_at=min(now + self.idle_lifetime, end),
            claims=check_claims(claims),
            persistent=bool(persistent),
            device=device,
            last_seen=now,
        )
        if self._load is None:
            self.access(session, cast("FrozenDict", session.claims), room=_ROOM)
        self.refresh(session, session.current)
        return session

    async def load(self, session: Session, *, ends_at: float | None = None) -> Minted:
        """
        Return a new access token of *session*, with the claims that are due now.

        Raises:
            AccessDeniedError: `load_claims` returned None.
            ClaimsUnavailable: It raised, took too long, or returned what no token may hold.
        """
        claims: FrozenDict | None = cast("FrozenDict", session.claims)
        try:
            if self._load is not None:
                with anyio.fail_after(self.timeout):
                    loaded = await self._call(self._load, session)
                claims = None if loaded is None else check_claims(loaded)
            if claims is not None:
                return self.access(session, claims, ends_at=ends_at)
        except Exception as error:
            raise ClaimsUnavailable(f"load_claims failed: {type(error).__name__}") from error
        raise AccessDeniedError("load_claims refused this subject")

    async def _call(self, load: ClaimsLoader, session: Session) -> Claims:
        if self._load_is_async:
            result = load(session)
        else:
            # In a tuple, because trio takes a bare coroutine for a mistake.
            (result,) = await anyio.to_thread.run_sync(
                lambda: (load(session),), abandon_on_cancel=True
            )
        return await result if inspect.isawaitable(result) else result

    def access(
        self,
        session: Session,
        claims: FrozenDict,
        *,
        ends_at: float | None = None,
        room: int = 0,
    ) -> Minted:
        """
        Return a new access token of the session's current generation.

        It ends with its lifetime or with the session, whichever is earlier.

        Args:
            session: The session.
            claims: What to carry, checked.
            ends_at: When the session ends, if a rotation under way will move that.
            room: Bytes that must be left in its cookie.

        Raises:
            ValueError: It would not fit into its cookie.
        """
        now = self.clock()
        raw, token = self.profile.mint_access(
            session,
            claims,
            generation=session.current,
            jti=_random_id(),
            now=now,
            expires_at=min(now + self.access_lifetime, ends_at or session.ends_at),
        )
        _check_fits(len(self.config.access_cookie.key) + len(raw), room)
        return Minted(raw, token, claims)

    def is_old(self, minted: Minted) -> bool:
        """
        Return whether *minted* has lost a second or two of its lifetime to a slow handler.

        What it loses brings the next rotation nearer, and two of them must not fit into the time
        that another request spends in a queue.
        """
        return self.clock() >= minted.token.expires_at - self.access_lifetime + _OLD

    def refresh(self, session: Session, generation: int) -> bytes:
        """
        Return the refresh token of *generation*.

        Raises:
            ValueError: It would not fit into its cookie.
        """
        raw = self.profile.mint_refresh(session, generation, now=self.clock())
        _check_fits(len(self.config.refresh_cookie.key) + len(raw))
        return raw


def _check_fits(size: int, room: int = 0) -> None:
    if size + room > MAX_COOKIE:
        reserve = f", {room} of them in reserve" if room else ""
        raise ValueError(
            f"the claims make a cookie of {size} bytes and browsers keep {MAX_COOKIE}{reserve}"
        )


def _random_id() -> str:
    return os.urandom(16).hex()
