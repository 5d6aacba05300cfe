"""
The tokens of this library, on the wire.

An access token is a JWT (RFC 9068): anyone with the key can check it. A refresh token is opaque to
everyone else: a few fields under a MAC, the same bytes from every process for the same fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from .access import AccessReader, head_of
from .claims import RESERVED, encode
from .cookies import Cookie
from .errors import InvalidTokenError
from .keys import Key
from .sessions import FrozenDict, Session, freeze, restored
from .signers import Mac, b64decode, b64encode, derive
from .tokens import MAX_TOKEN, AccessToken, RefreshToken


class JwtProfile:
    """
    The profile of this library: `at+jwt` access tokens, itsdangerous-signed refresh tokens.

    Args:
        keys: The ring for access tokens; the first signs, all verify.
        secrets: The secrets for refresh tokens; the first signs, all verify.
        issuer: Written as `iss` and required; None: tokens of a named issuer are refused.
        audience: Written as `aud` and required; None: tokens for an audience are refused.
        leeway: Seconds by which `iat` and `nbf` may lie in the future.
        stateless: Whether the refresh token carries the whole session.
        csrf_cookies: As of `tokens.Profile`.
    """

    adopts = False
    refreshes_on_error = True
    header: tuple[bytes, bytes] = (b"authorization", b"Bearer")

    def __init__(
        self,
        keys: Sequence[Key],
        secrets: Sequence[bytes],
        *,
        issuer: str | None = None,
        audience: str | None = None,
        leeway: float = 5.0,
        stateless: bool = False,
        csrf_cookies: Sequence[tuple[bytes, Cookie]] = (),
    ) -> None:
        self._registered = {
            name: value for name, value in (("iss", issuer), ("aud", audience)) if value is not None
        }
        self._reader = AccessReader(keys, issuer=issuer, audience=audience, leeway=leeway)
        self._public = [jwk for key in keys if (jwk := key.public_jwk()) is not None]
        self._signing = (head_of(keys[0]), keys[0].signer)
        # The issuer is part of the purpose: applications that share a secret stay apart.
        purpose = f"{'stateless' if stateless else 'rotating'} refresh token {issuer or ''}"
        self._macs = tuple(Mac(derive(secret, purpose)) for secret in secrets)
        purpose = f"double-submit token {issuer or ''}"
        self._csrf_macs = tuple(Mac(derive(secret, purpose)) for secret in secrets)
        self._stateless, self.csrf_cookies = stateless, csrf_cookies

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
        """Return a new access token (RFC 9068, 2.2) and what reading it back gives."""
        if not RESERVED.isdisjoint(claims):  # a session that began with another profile
            claims = {name: value for name, value in claims.items() if name not in RESERVED}
        payload = FrozenDict(
            **claims,
            **self._registered,
            sub=session.subject,
            sid=session.id,
            jti=jti,
            iat=int(now),
            exp=int(expires_at),
            auth_time=int(session.auth_time),
            gen=generation,
        )
        head, signer = self._signing
        signing_input = head + b"." + b64encode(encode(payload).encode())
        return signing_input + b"." + signer.sign(signing_input), AccessToken(payload)

    def read_access(self, raw: bytes, *, now: float) -> AccessToken:
        """Return the access token that *raw* spells."""
        return self._reader.read(raw, now=now)

    def mint_refresh(self, session: Session, generation: int, *, now: float) -> bytes:
        """Return the refresh token of *generation*; *now* matters in stateless mode only."""
        if self._stateless:
            message = b64encode(encode(_stateless_fields(session, now)).encode())
        else:
            message = b"%b.%d" % (session.id.encode(), generation)
        return message + b"." + self._macs[0].sign(message)

    def read_refresh(self, raw: bytes) -> RefreshToken:
        """Return the refresh token that *raw* spells."""
        if len(raw) > MAX_TOKEN:
            raise InvalidTokenError
        message, _, tag = raw.rpartition(b".")
        # Not any(...): every secret costs the same, whichever it is.
        if not message or True not in [mac.verify(message, tag) for mac in self._macs]:
            raise InvalidTokenError
        if self._stateless:
            return _read_stateless(message)
        # Whatever bears our MAC was written above: it needs no second look.
        session_id, _, generation = message.rpartition(b".")
        return RefreshToken(session_id.decode(), int(generation))

    def jwks(self) -> dict[str, Any]:
        """Return the public keys as a JWKS document (RFC 7517, 5)."""
        return {"keys": self._public}

    def succeed(self, access: AccessToken | None, refresh: RefreshToken) -> RefreshToken:  # noqa: ARG002
        """Return *refresh*: all that a session is was said at login."""
        return refresh

    def restrict(self, session: Session, token: RefreshToken) -> Session:  # noqa: ARG002
        """Return *session*."""
        return session

    def csrf_tokens(self, session_id: str, claims: Mapping[str, Any]) -> Sequence[str]:  # noqa: ARG002
        """Return the session id under each secret: nobody else can say it (itsdangerous)."""
        return [mac.sign(session_id.encode()).decode() for mac in self._csrf_macs]

    def may_refresh(self, method: str, path: str, access: AccessToken | None) -> bool:  # noqa: ARG002
        """Return True."""
        return True


def _stateless_fields(session: Session, now: float) -> list[Any]:
    return [
        session.id,
        session.subject,
        int(session.created_at),
        int(session.auth_time),
        int(session.expires_at),
        int(session.idle_expires_at),
        int(now),
        session.claims,
        session.persistent,
        session.device,
    ]


_scan: Final = json.JSONDecoder().raw_decode  # `json.loads` costs twice as much


def _read_stateless(message: bytes) -> RefreshToken:
    decoded = b64decode(message)
    assert decoded is not None  # under our MAC: we spelled it  # noqa: S101
    fields, _ = _scan(decoded.decode())
    sid, subject, created, auth, expires, idle, issued, claims, persistent, device = fields
    session = restored(
        id=sid,
        subject=subject,
        created_at=created,
        auth_time=auth,
        expires_at=expires,
        idle_expires_at=idle,
        claims=freeze(claims),
        persistent=persistent,
        device=device,
        last_seen=issued,
    )
    return RefreshToken(sid, 0, session, issued)
