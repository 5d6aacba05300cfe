"""
The tokens of a pair, and what is taken from one to the next.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from asgi_refresh.sessions import FrozenDict
from asgi_refresh.tokens import AccessToken, RefreshToken

_NOT_CARRIED: Final = frozenset(
    {"sub", "jti", "type", "fresh", "iat", "exp", "nbf", "iss", "sid", "gen", "auth_time"}
    | {"orig_iat"}
)
_SESSION: Final = re.compile(r"[0-9a-f]{4}[0-9a-fl][0-9a-f]{27}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """
    How the tokens of a pair are signed, and what they say besides.

    Attributes:
        algorithm: Of every key (RFC 7518, 3.1).
        signing: The private key or the secret, prepared.
        verifying: The public keys or secrets, prepared; the current one first.
        read_audience, read_issuer: Required as `aud` and `iss`, as PyJWT takes them; or None.
        audience, issuer: Written as `aud` and `iss`; or None.
        not_before: Whether `nbf` is written.
        leeway: Seconds by which hosts may disagree.
        lifetime: Seconds that a session lasts at most.
        persistent: Whether the cookies outlive the browser.
    """

    algorithm: str
    signing: Any
    verifying: Sequence[Any]
    read_audience: Any = None
    read_issuer: Any = None
    audience: Any = None
    issuer: str | None = None
    not_before: bool = False
    leeway: float
    lifetime: float
    persistent: bool


class PairAccess(AccessToken):
    """An access token, with its text: what a blocklist goes by."""

    __slots__ = ("raw",)

    def __init__(self, payload: FrozenDict, raw: bytes) -> None:
        super().__init__(payload)
        self.raw = raw


@dataclass(frozen=True, slots=True)
class PairRefresh(RefreshToken):
    """
    A refresh token, with what came.

    Attributes:
        raws: Its text, and that of the access token beside it.
        beside: What an access token of the application's says that came with it; None without one.
    """

    raws: tuple[bytes, ...] = field(default=(), repr=False)
    beside: FrozenDict | None = field(default=None, repr=False)


def carried(claims: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims that a token's successor says, too."""
    return {name: value for name, value in claims.items() if name not in _NOT_CARRIED}


def common(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims of *ours* that *theirs* says, too, and what is no privilege."""
    return {
        name: value
        for name, value in ours.items()
        if name in ("csrf", "aud") or (name in theirs and theirs[name] == value)
    }


def token_id(claims: Mapping[str, Any], raw: bytes) -> str:
    """Return what tells a token from every other; without `jti`, what is signed of it."""
    return str(claims.get("jti") or raw.rpartition(b".")[0].decode("latin-1"))


def is_of_session(claims: Mapping[str, Any]) -> bool:
    """Return whether an access token is one of those minted here."""
    sid, generation = claims.get("sid"), claims.get("gen")
    return isinstance(sid, str) and bool(_SESSION.match(sid)) and type(generation) is int


def is_generation(claims: Mapping[str, Any]) -> bool:
    """Return whether a refresh token is one of those minted here: nobody else names it so."""
    if not is_of_session(claims):
        return False
    return bool(claims.get("jti") == refresh_id(claims["sid"], claims["gen"], claims["iat"]))


def refresh_id(session_id: str, generation: int, issued_at: int) -> str:
    """Return the `jti` of a refresh token minted here: the same from every process."""
    return sha256(f"{session_id} {generation} {issued_at}".encode()).hexdigest()[:32]
