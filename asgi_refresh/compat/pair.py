"""
Pairs of JWTs, as AuthX and Flask-JWT-Extended issue them: a profile that reads and mints both.

There an access token is of no session, and a refresh token of none but its own. So the two belong
together by their subject, and a session begins with the refresh token that first comes (`legacy`).
What we mint has the claims of theirs, and beside them which session and generation it is of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, cast

import jwt

from asgi_refresh.claims import is_identifier, number
from asgi_refresh.cookies import MAX_COOKIE, Cookie
from asgi_refresh.errors import InvalidTokenError
from asgi_refresh.legacy import adopted_id, stray_id
from asgi_refresh.sessions import FrozenDict, Session, freeze
from asgi_refresh.signers import Mac
from asgi_refresh.tokens import MAX_TOKEN, AccessToken, RefreshToken

from .pair_tokens import (
    Pair,
    PairAccess,
    PairRefresh,
    carried,
    common,
    is_generation,
    is_of_session,
    refresh_id,
    token_id,
)

_CSRF: Final = re.compile(r"[A-Za-z0-9_.~-]{1,128}\Z")
_TOGETHER: Final = 2.0  # seconds between the two tokens of one login


class PairProfile:
    """
    A `tokens.Profile` of such tokens.

    Args:
        pair: The keys, and what the tokens say.
        csrf: What the double-submit token of a session without one is made with.
        csrf_cookies: As of `tokens.Profile`.
        checks_csrf: Whether the application checks the double-submit token.
        stateless: Whether there is no store.
        clock: Seconds since the epoch.
        header: As of `tokens.Profile`.
        usual: Seconds that an access token is good for, if the application says no other.
        room: Bytes that a refresh token may take.
        refreshes: Whether a request with this method and path refreshes.
    """

    adopts = True

    def __init__(
        self,
        pair: Pair,
        *,
        csrf: Mac,
        csrf_cookies: Sequence[tuple[bytes, Cookie]],
        checks_csrf: bool,
        stateless: bool,
        clock: Callable[[], float],
        header: tuple[bytes, bytes] = (b"authorization", b"Bearer"),
        usual: float = 0.0,
        room: int = MAX_COOKIE,
        refreshes: Callable[[str, str], bool] = lambda _method, _path: True,
    ) -> None:
        self._clock, self._usual = clock, usual
        self._pair, self._csrf, self.csrf_cookies = pair, csrf, csrf_cookies
        self.refreshes_on_error, self.header = not checks_csrf, header
        self._stateless, self._room, self._refreshes = stateless, room, refreshes

    # --- reading --------------------------------------------------------------------------------

    def read(self, raw: bytes, kind: str) -> dict[str, Any]:
        """
        Return the claims of the token of *kind* that *raw* spells, expired or not.

        One from the future is none, as for PyJWT.

        Raises:
            InvalidTokenError: It is no such token.
        """
        if len(raw) > MAX_TOKEN:
            raise InvalidTokenError
        for key in self._pair.verifying:
            try:
                claims = self._decode(raw, key)
                if claims.get("type") == kind and is_identifier(claims["sub"]):
                    number(claims["exp"])
                    begins = max(number(claims["iat"]), number(claims.get("nbf", 0)))
                    if begins <= self._clock() + self._pair.leeway:
                        return claims
            except Exception:  # noqa: BLE001, S112 - whatever PyJWT raises on what it is given
                continue
        raise InvalidTokenError

    def _decode(self, raw: bytes, key: Any) -> dict[str, Any]:
        pair = self._pair
        # Times are looked at by our own clock.
        options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
        return jwt.decode(
            raw,
            key,
            algorithms=[pair.algorithm],
            audience=pair.read_audience,
            issuer=pair.read_issuer,
            options=cast("Any", options),
        )

    def read_access(self, raw: bytes, *, now: float) -> AccessToken:  # noqa: ARG002
        """Return the access token that *raw* spells."""
        claims = self.read(raw, "access")
        if not is_of_session(claims):
            # Its own, so that it can be revoked; nothing is refreshed in its name.
            claims["sid"] = stray_id(claims["sub"], token_id(claims, raw))
            claims["gen"] = 0
        claims["jti"] = str(claims.get("jti", claims["sid"]))
        claims["auth_time"] = claims["iat"] if claims.get("fresh") is True else 0
        try:
            return PairAccess(freeze(claims), raw)
        except ValueError:
            raise InvalidTokenError from None

    def read_refresh(self, raw: bytes) -> RefreshToken:
        """Return the refresh token that *raw* spells."""
        claims = self.read(raw, "refresh")
        subject, issued_at = claims["sub"], claims["iat"]
        ours = is_generation(claims)
        generation: int = claims["gen"] if ours else 0
        if generation > 0 and not self._stateless:
            return PairRefresh(claims["sid"], generation, None, issued_at, subject, (raw,))
        adopted = adopted_id(subject, token_id(claims, raw))
        session_id = claims["sid"] if ours and self._stateless else adopted
        began = claims.get("orig_iat", issued_at) if ours else issued_at
        try:
            session = Session(
                id=session_id,
                subject=subject,
                created_at=number(began),
                auth_time=0.0,  # an application may have issued the token anew
                expires_at=began + self._pair.lifetime,
                idle_expires_at=claims["exp"],
                claims=freeze(carried(claims)),
                persistent=self._pair.persistent,
                last_seen=issued_at,
            )
        except ValueError:
            raise InvalidTokenError from None
        # Theirs is replaced at once, by one that says what its access token says.
        mine = ours and self._stateless
        first = 0 if mine else session.current
        return PairRefresh(session_id, first, session, issued_at, subject, (raw,))

    def succeed(self, access: AccessToken | None, refresh: RefreshToken) -> RefreshToken:
        """
        Return *refresh* with what only the *access* token of the same login says.

        One that the application has issued at another time may say more or less than holds: then
        what both say is left. `load_claims` is for who wants to know better.
        """
        if not isinstance(access, PairAccess) or not isinstance(refresh, PairRefresh):
            return refresh
        if access.subject != refresh.subject:
            return refresh
        refresh = replace(refresh, raws=(*refresh.raws, access.raw))
        if refresh.session is None:
            ours = is_of_session(access.payload)  # minted here, of what the session says
            return refresh if ours else replace(refresh, beside=FrozenDict(carried(access.payload)))
        session, apart = refresh.session, abs(access.payload["iat"] - refresh.issued_at)
        if apart <= _TOGETHER:
            claims = {**session.claims, **carried(access.payload)}
        else:
            claims = common(session.claims, access.payload)
        session = replace(session, claims=FrozenDict(claims))
        # A token of ours that says other claims is replaced at once, as theirs is.
        first = refresh.generation if claims == refresh.session.claims else session.current
        return replace(refresh, session=session, generation=first)

    def restrict(self, session: Session, token: RefreshToken) -> Session:
        """Return *session* without the claims that the access token beside *token* contradicts."""
        if not isinstance(token, PairRefresh) or token.beside is None:
            return session
        claims = common(session.claims, token.beside)
        same = claims == session.claims
        return session if same else replace(session, claims=FrozenDict(claims))

    # --- minting --------------------------------------------------------------------------------

    def mint_access(
        self,
        session: Session,
        claims: Mapping[str, Any],
        *,
        generation: int,
        jti: str,
        now: float,
        expires_at: float,
    ) -> tuple[bytes, AccessToken]:
        """Return a new access token for *session*, which is never a fresh one."""
        payload = self._payload(session, claims, "access", generation, iat=now, exp=expires_at)
        payload |= {"jti": jti, "fresh": False, "auth_time": int(session.auth_time)}
        raw = self._sign(payload)
        return raw, PairAccess(freeze(payload), raw)

    def mint_refresh(self, session: Session, generation: int, *, now: float) -> bytes:
        """Return the refresh token of *generation*, without extra claims if they do not fit."""
        made = now if self._stateless else session.rotated_at or session.created_at
        raw = b""
        for claims in (session.claims, FrozenDict()):
            payload = self._payload(
                session, claims, "refresh", generation, iat=made, exp=session.ends_at
            )
            payload["jti"] = refresh_id(session.id, generation, payload["iat"])
            payload["orig_iat"] = int(session.created_at)
            raw = self._sign(payload)
            if len(raw) <= self._room:
                break
        return raw

    def _payload(
        self,
        session: Session,
        claims: Mapping[str, Any],
        kind: str,
        generation: int,
        *,
        iat: float,
        exp: float,
    ) -> dict[str, Any]:
        pair = self._pair
        # AuthX and PyJWT refuse an `iat` that is a moment ahead of their own clock.
        issued = int(iat - pair.leeway)
        optional = {
            "aud": session.claims.get("aud", pair.audience),
            "iss": pair.issuer,
            "nbf": issued if pair.not_before else None,
        }
        return {
            **carried(claims),
            **{name: value for name, value in optional.items() if value is not None},
            "sub": session.subject,
            "type": kind,
            "csrf": self.csrf_tokens(session.id, session.claims)[0],
            "iat": issued,
            "exp": int(exp),
            "sid": session.id,
            "gen": generation,
        }

    def _sign(self, payload: dict[str, Any]) -> bytes:
        return jwt.encode(payload, self._pair.signing, self._pair.algorithm).encode()

    # --- the rest -------------------------------------------------------------------------------

    def csrf_tokens(self, session_id: str, claims: Mapping[str, Any]) -> Sequence[str]:
        """Return what the claim `csrf` says, or else a MAC of the session id."""
        csrf = claims.get("csrf")
        if isinstance(csrf, str) and _CSRF.match(csrf):
            return [csrf]
        return [self._csrf.sign(session_id.encode()).decode()]

    def may_refresh(self, method: str, path: str, access: AccessToken | None) -> bool:
        """
        Return whether a request refreshes.

        Two kinds of tokens are used up first, for what replaces them says less: fresh ones, and
        those that the application has issued for a shorter time than usual.
        """
        if access is not None and self._clock() < access.expires_at:
            claims = access.payload
            short = claims["exp"] - claims["iat"] < self._usual - _TOGETHER
            if claims.get("fresh") is True or short:
                return False
        return self._refreshes(method, path)

    def jwks(self) -> dict[str, Any]:
        """Return no keys: tokens without a `kid` name none."""
        return {"keys": []}
