"""
The two tokens on the wire: making them, and reading them back.

An access token is a JWT (RFC 9068): anyone with the key can check it. A refresh token is opaque to
everyone else: a few fields under a MAC, the same bytes from every process for the same fields.
`Profile` is the seam where other shapes plug in.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from .claims import RESERVED, check_payload, encode, number, parse_object
from .errors import InvalidTokenError
from .keys import Key, Mac, b64decode, derive
from .sessions import FrozenDict, Session, freeze

MAX_TOKEN: Final = 8192
"""Bytes of a token that are looked at at all."""


class AccessToken:
    """
    A verified access token. Whether its time is over or it was revoked is asked at every use.

    Attributes:
        payload: The claims set, read-only at every depth.
        subject, session_id, id, generation, auth_time: The claims `sub`, `sid`, `jti`, `gen`,
            `auth_time`.
        expires_at: `exp`, in seconds since the epoch; from that second on it is refused.
    """

    __slots__ = (
        "auth_time", "expires_at", "generation", "id", "payload", "session_id", "subject",
    )  # fmt: skip

    def __init__(self, payload: FrozenDict) -> None:
        self.payload = payload
        self.subject: str = payload["sub"]
        self.session_id: str = payload["sid"]
        self.id: str = payload["jti"]
        self.expires_at: float = payload["exp"]
        self.generation: int = payload["gen"]
        self.auth_time: float = payload["auth_time"]

    def __repr__(self) -> str:
        return f"<AccessToken of session {self.session_id!r}>"

    def with_claims(self, claims: FrozenDict) -> AccessToken:
        """Return it with *claims* in place of all that are not the issuer's."""
        ours = {name: value for name, value in self.payload.items() if name in RESERVED}
        return AccessToken(FrozenDict(**claims, **ours))


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """
    A verified refresh token: which session, which generation.

    Attributes:
        session_id: The session.
        generation: The generation; 0 in stateless mode, where nothing rotates.
        session: The whole session in stateless mode, where the token is all there is; else None.
        issued_at: When it was made (stateless), in seconds since the epoch; else 0.
    """

    session_id: str
    generation: int
    session: Session | None = field(default=None, repr=False)
    issued_at: float = 0.0


class Profile(Protocol):
    """
    The shape of both tokens. Times, ids and generations are arguments; nothing here decides.

    `read_…` raise `InvalidTokenError` for whatever is not a genuine token of that kind. They do
    not look at its expiry: an expired token still tells whose it was.
    """

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
        """Return a new access token for *session*, and what reading it back gives."""
        ...

    def read_access(self, raw: bytes, *, now: float) -> AccessToken:
        """Return the access token that *raw* spells."""
        ...

    def mint_refresh(self, session: Session, generation: int, *, now: float) -> bytes:
        """Return the refresh token of *generation*: the same bytes for the same arguments."""
        ...

    def read_refresh(self, raw: bytes) -> RefreshToken:
        """Return the refresh token that *raw* spells."""
        ...

    def extra_cookies(self, session: Session | None) -> Sequence[bytes]:
        """Return Set-Cookie values to go with both cookies; None: those that delete them again."""
        ...


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
    """

    def __init__(
        self,
        keys: Sequence[Key],
        secrets: Sequence[bytes],
        *,
        issuer: str | None = None,
        audience: str | None = None,
        leeway: float = 5.0,
        stateless: bool = False,
    ) -> None:
        self._registered = {
            name: value for name, value in (("iss", issuer), ("aud", audience)) if value is not None
        }
        self._audience, self._issuer, self._leeway = audience, issuer, leeway
        self._ring = {key.id: key for key in keys}
        self._heads = {_head(key): key.signer for key in keys}
        self._signing = (_head(keys[0]), keys[0].signer)
        # The issuer is part of the purpose: applications that share a secret stay apart.
        purpose = f"{'stateless' if stateless else 'rotating'} refresh token {issuer or ''}"
        self._macs = tuple(Mac(derive(secret, purpose)) for secret in secrets)
        self._stateless = stateless

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
        signing_input = head + b"." + _b64encode(encode(payload))
        return signing_input + b"." + signer.sign(signing_input), AccessToken(payload)

    def read_access(self, raw: bytes, *, now: float) -> AccessToken:
        """Return the access token that *raw* spells: signature first, then the claims."""
        if len(raw) > MAX_TOKEN:
            raise InvalidTokenError
        signing_input, _, signature = raw.rpartition(b".")
        head, dot, body = signing_input.partition(b".")
        # Ours begins with one of a few known segments: then no header is parsed, and there is
        # no `alg` to be confused by (RFC 8725, 3.1).
        signer = self._heads.get(head) or self._unusual_header(head)
        if not dot or not signer.verify(signing_input, signature):
            raise InvalidTokenError
        payload = parse_object(b64decode(body))
        try:
            check_payload(payload)
            self._check_registered(payload, now)
            return AccessToken(freeze(payload))
        except (KeyError, TypeError, ValueError):
            raise InvalidTokenError from None

    def _unusual_header(self, head: bytes) -> Any:
        """The signer for a header spelled differently from ours, if it says the same."""
        header = parse_object(b64decode(head))
        key = self._ring.get(header["kid"]) if isinstance(header.get("kid"), str) else None
        kind = str(header.get("typ")).lower().removeprefix("application/")  # RFC 7515, 4.1.9
        # A header parameter that we do not write is one that we do not understand.
        if key is None or kind != "at+jwt" or header.keys() != {"alg", "kid", "typ"}:
            raise InvalidTokenError
        if header["alg"] != key.algorithm:
            raise InvalidTokenError
        return key.signer

    def _check_registered(self, payload: dict[str, Any], now: float) -> None:
        audience: Any = payload.get("aud")
        expected = self._audience
        if audience != expected and (expected is None or audience != [expected]):
            raise ValueError("aud")
        if payload.get("iss") != self._issuer:
            raise ValueError("iss")
        latest = now + self._leeway
        if payload["iat"] > latest or number(payload.get("nbf", 0)) > latest:
            raise ValueError("not yet valid")

    def mint_refresh(self, session: Session, generation: int, *, now: float) -> bytes:
        """Return the refresh token of *generation*; *now* matters in stateless mode only."""
        if self._stateless:
            message = _b64encode(encode(_stateless_fields(session, now)))
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

    def extra_cookies(self, session: Session | None) -> Sequence[bytes]:  # noqa: ARG002
        """Return nothing: two cookies are all there are."""
        return ()


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


def _read_stateless(message: bytes) -> RefreshToken:
    decoded = b64decode(message)
    assert decoded is not None  # under our MAC: we spelled it  # noqa: S101
    sid, subject, created, auth, expires, idle, issued, claims, persistent, device = json.loads(
        decoded
    )
    session = Session(
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


def _head(key: Key) -> bytes:
    return _b64encode(encode({"alg": key.algorithm, "kid": key.id, "typ": "at+jwt"}))


def _b64encode(text: str) -> bytes:
    return urlsafe_b64encode(text.encode()).rstrip(b"=")
