"""
The issuer: issues, refreshes, verifies and revokes. It knows no HTTP.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from .cache import TokenCache
from .claims import check_claims, is_identifier, is_session_id
from .config import Config
from .errors import (
    ExpiredTokenError,
    InvalidTokenError,
    RevokedTokenError,
    StoreRequiredError,
    StoreUnavailable,
)
from .events import Client, EventHook
from .grants import Mode, Tokens
from .keys import Key, Secret
from .legacy import Legacy
from .legacy_tokens import LegacyTokens
from .mint import ClaimsLoader, Mint
from .profile import make_profile
from .rotating import Rotating, rotating_on
from .sessions import Session
from .settler import Retire
from .stateless import Stateless
from .store import Store
from .telemetry import Guarded, log_event
from .tokens import AccessToken, Profile, RefreshToken, token_bytes

_LOOKS = 3  # at a session that moves on between look and answer

Payload: TypeAlias = Mapping[str, Any]
"""The verified claims of an access token (RFC 7519, 4), read-only at every depth."""


class Issuer:
    """
    Issues tokens, refreshes, verifies and revokes them.

    Args:
        key: A secret of at least 32 random bytes, from which every signing key is derived; or a
            `Key` that other services verify with too; or several: the first signs, all verify. A
            new one verifies on every host before it comes first.
        store: Where sessions are kept: refresh tokens rotate, reuse is detected, everything can be
            revoked. None: nothing is kept and nothing can be revoked.
        secret: What refresh tokens are signed with; one or several. None: those of *key*.
        config: The settings.
        load_claims: Called with the `Session` at every refresh and login, sync or async; returns
            the claims of the next access token, or None to end the session. Without it the claims
            given at login travel along.
        on_event: Told of every decision.
        clock: Returns seconds since the epoch.
        profile: Another shape of tokens; None is this library's.
        accept_legacy: Who was signed in to an earlier system stays so: how its tokens are read.

    Raises:
        ConfigurationError: A key is unfit, or the settings do not go together.
    """

    def __init__(
        self,
        key: Secret | Key | Sequence[Secret | Key],
        *,
        store: Store | None,
        secret: Secret | Sequence[Secret] | None = None,
        config: Config | None = None,
        load_claims: ClaimsLoader | None = None,
        on_event: EventHook = log_event,
        clock: Callable[[], float] = time.time,
        profile: Profile | None = None,
        accept_legacy: Legacy | None = None,
    ) -> None:
        self.config = config = Config() if config is None else config
        self.clock, self.emit = clock, Guarded(on_event)
        if profile is None:
            profile = make_profile(key, secret, config, stateless=store is None)
        self.profile = profile
        self.cache = TokenCache(config.token_cache)
        self.mint = Mint(profile, config, clock, load_claims)
        self.legacy = LegacyTokens(accept_legacy, self.mint, stateless=store is None)
        self.rotating: Rotating | None = None
        self.mode: Mode = Stateless(self.mint, self.emit)
        if store is not None:
            adopts = profile.adopts or accept_legacy is not None
            self.rotating = rotating_on(store, self.mint, config, self.emit, adopts=adopts)
            self.mode = self.rotating
        self.denylist = None if self.rotating is None else self.rotating.denylist

    def __repr__(self) -> str:
        stored = getattr(self, "rotating", None)  # a crash report may show it half built
        return f"<Issuer, {'rotating' if stored else 'stateless'}>"

    async def issue(
        self,
        subject: str,
        claims: Mapping[str, Any] | None = None,
        *,
        persistent: bool = True,
        device: str | None = None,
    ) -> Tokens:
        """
        Begin a session for *subject*, whose identity has just been proved, and return its tokens.

        Raises:
            ValueError: The subject or the claims cannot be carried.
            AccessDeniedError: `load_claims` refused the subject.
            ClaimsUnavailable, StoreUnavailable: Nobody is signed in.
        """
        session = self.mint.session(subject, claims, persistent=persistent, device=device)
        grant = await self.mode.begin(session, client=None)
        return grant.tokens(now=self.clock())

    async def refresh(
        self,
        refresh_token: str,
        *,
        revoke_access: str | bool = False,
        client: Client | None = None,
    ) -> Tokens:
        """
        Exchange *refresh_token* for new tokens (RFC 6749, 6).

        Args:
            refresh_token: The token; whoever presents the same one meanwhile gets the same answer.
            revoke_access: True also refuses the session's earlier access tokens from here on. The
                access token that came along does the same and is refused itself; one of another
                session fails the call.
            client: Who asks, for events.

        Raises:
            InvalidTokenError: The token is not accepted.
            StoreRequiredError: *revoke_access* without a store.
            ClaimsUnavailable, StoreUnavailable: Nothing is known about it; try again.
        """
        if revoke_access and self.rotating is None:
            raise StoreRequiredError("revoke_access needs a store")
        token, companion = await self.read_refresh(token_bytes(refresh_token)), None
        if isinstance(revoke_access, str):
            companion = self.read_access(token_bytes(revoke_access))
            if not token.goes_with(companion):
                raise InvalidTokenError("the tokens are of two sessions")
            token = self.profile.succeed(companion, token)
        retire = Retire(companion) if revoke_access else None
        for _ in range(_LOOKS):
            look = await self.mode.look(token, client=client)
            if self.rotating is None:
                grant = await self.mode.settle(look, client=client)
            else:
                grant = await self.rotating.settle(look, client=client, alone=True, retire=retire)
            if grant is not None:
                return grant.tokens(now=self.clock(), presented=refresh_token)
        raise StoreUnavailable("the session would not hold still; try again")

    def verify(self, access_token: str) -> Payload:
        """
        Return the claims of *access_token*, by signature, times and audience alone.

        Raises:
            InvalidTokenError: It is not good; `ExpiredTokenError` if it was.
        """
        return self._unexpired(access_token).payload

    async def authenticate(self, access_token: str) -> Payload:
        """
        Return the claims of *access_token*, which must not have been revoked either.

        Raises:
            InvalidTokenError: It is not good.
            StoreUnavailable: With `revocation="always"`, when the store does not answer.
        """
        token = self._unexpired(access_token)
        if self.denylist is not None:
            await self.denylist.update()
            if self.denylist.refuses(token):
                raise RevokedTokenError
        return token.payload

    async def revoke(self, session_id: str, *, subject: str | None = None) -> bool:
        """
        End a session; return whether there was one.

        Args:
            session_id: The session.
            subject: Only if it is theirs: for an id that a user sent. None: whoever's it is.

        Raises:
            StoreRequiredError: Without a store.
            StoreUnavailable: It may still be there.
        """
        rotating = self._stored("revoke")
        if not is_session_id(session_id) or (
            subject is not None and not await rotating.is_of(session_id, subject)
        ):
            return False
        return await rotating.end(session_id, subject=subject, reason="revoke")

    async def revoke_subject(self, subject: str, *, keep: str | None = None) -> int:
        """
        End every session of *subject*; return how many.

        Args:
            subject: Whose.
            keep: The id of one that stays; the others end one by one. None: all end in one step.

        Raises:
            StoreRequiredError: Without a store.
            StoreUnavailable: They may still be there.
        """
        rotating = self._stored("revoke_subject")
        if not is_identifier(subject):
            return 0
        if keep is not None:
            return await rotating.end_others(subject, keep, client=None)
        return await rotating.end_subject(subject, client=None)

    async def sessions(self, subject: str) -> list[Session]:
        """
        Return the live sessions of *subject*, the latest used first.

        The session of a request is the one whose `id` is `auth.session_id`.

        Raises:
            StoreRequiredError: Without a store.
            StoreUnavailable: The store does not answer.
        """
        kept = self._stored("sessions")
        found = await kept.store.find(subject) if is_identifier(subject) else []
        alive = [session for session in found if self.clock() < session.ends_at]
        return sorted(alive, key=lambda session: session.last_seen, reverse=True)

    async def barrier(self, session_id: str, claims: Mapping[str, Any] | None = None) -> Tokens:
        """
        Begin a new generation that no older token of the session leads to: privileges change.

        Args:
            session_id: The session.
            claims: Claims that replace those given at login; None keeps them.

        Raises:
            RevokedTokenError: There is no such session.
            StoreRequiredError: Without a store.
            AccessDeniedError, ClaimsUnavailable, StoreUnavailable: Nothing has changed.
        """
        checked = None if claims is None else check_claims(claims)
        rotating = self._stored("barrier")
        if not is_session_id(session_id):
            raise RevokedTokenError("there is no such session", reason="session_ended")
        grant = await rotating.barrier(session_id, checked)
        return grant.tokens(now=self.clock())

    def jwks(self) -> dict[str, Any]:
        """Return the public keys of access tokens as a JWKS document (RFC 7517, 5)."""
        return self.profile.jwks()

    # --- for the shell --------------------------------------------------------------------------

    def read_access(self, raw: bytes) -> AccessToken:
        """
        Return the access token that *raw* spells, expired or not, remembering the good ones.

        Raises:
            InvalidTokenError: It is no access token of ours.
        """
        token = self.cache.get(raw)
        if token is None:
            now = self.clock()
            token = self.profile.read_access(raw, now=now)
            if now < token.expires_at:
                self.cache.put(raw, token)
        return token

    async def read_refresh(self, raw: bytes) -> RefreshToken:
        """
        Return the refresh token that *raw* spells, be it of an earlier system.

        Raises:
            InvalidTokenError: It is none.
            ClaimsUnavailable: The reader of the earlier system's tokens failed.
        """
        try:
            return self.profile.read_refresh(raw)
        except InvalidTokenError:
            return await self.legacy.read(raw)

    def _unexpired(self, access_token: str) -> AccessToken:
        token = self.read_access(token_bytes(access_token))
        if self.clock() < token.expires_at:
            return token
        raise ExpiredTokenError

    def _stored(self, what: str) -> Rotating:
        if self.rotating is None:
            raise StoreRequiredError(f"{what} needs a store; this issuer was built with store=None")
        return self.rotating
