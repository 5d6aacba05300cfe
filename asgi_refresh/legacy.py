"""
Tokens of an earlier system: what is known of one, and the session that begins with it.

Whoever was signed in there stays signed in: the token is taken once more, as the first generation
of a session. The session's id is derived from the token, so all who present it mean one session.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from .claims import check_claims, is_identifier, number
from .cookies import Cookie
from .errors import ConfigurationError
from .sessions import Session, affinity
from .tokens import RefreshToken

_ADOPTED: Final = "l"  # in the place of a hex digit: no id that is drawn has it
_STRAY: Final = "p"
_AFTER_AFFINITY: Final = 4


@dataclass(frozen=True, slots=True)
class LegacyToken:
    """
    A token of an earlier system, verified.

    Attributes:
        id: What tells it from every other: its `jti`, or what is signed of it. Not the whole token:
            a signature may be spelt in several ways. Only a hash is kept.
        subject: Whose it is.
        expires_at: When its time is over, in seconds since the epoch.
        issued_at: When it was issued; 0 where it does not say: the session then begins now.
        claims: The claims to travel with the session, as `Issuer.issue` takes them.
        persistent: Whether the cookies of the session outlive the browser.
        continues: The session and the generation that it is of already, if both systems share a
            store (`compat.authx` in front of the application first, `accept_legacy` later).
    """

    id: str = field(repr=False)
    subject: str
    expires_at: float
    issued_at: float = 0.0
    claims: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    persistent: bool = True
    continues: tuple[str, int] | None = None


LegacyReader: TypeAlias = Callable[[str], LegacyToken | Awaitable[LegacyToken | None] | None]


@dataclass(frozen=True, slots=True)
class Legacy:
    """
    What `Issuer(accept_legacy=…)` takes: how the tokens of an earlier system are read.

    Attributes:
        read: Returns what a token says, or None for whatever is no good token: forged, expired, of
            another kind. Sync or async. What it raises is an outage: the request is anonymous, and
            the token is tried again.
        cookie: Where browsers keep the token; it is deleted once the session has cookies of its
            own. None: only the endpoint takes such tokens.
        drop: Cookies of the earlier system to delete along with it.

    Raises:
        ConfigurationError: One of these is of another kind.
    """

    read: LegacyReader
    cookie: Cookie | None = None
    drop: Sequence[Cookie] = ()

    def __post_init__(self) -> None:
        if not callable(self.read):
            raise ConfigurationError("accept_legacy: read is a function of the token")
        if self.cookie is not None and not isinstance(self.cookie, Cookie):
            raise ConfigurationError("accept_legacy: cookie is a Cookie, or None")
        if not isinstance(self.drop, list | tuple) or not all(
            isinstance(cookie, Cookie) for cookie in self.drop
        ):
            raise ConfigurationError("accept_legacy: drop is a list of Cookies")


def adoptable(token: LegacyToken, *, now: float, lifetime: float) -> RefreshToken:
    """
    Return the refresh token that a legacy *token* counts as: the first generation of its session.

    Its session ends with the token until it is adopted, and never outlives *lifetime* seconds from
    when the token was issued. When the user signed in is not known: `auth_time` is 0.

    Raises:
        ValueError: The subject or the claims cannot be carried, or a time is none.
    """
    number(token.issued_at)
    if not is_identifier(token.subject):
        raise ValueError("a subject is a str of 1 to 255 characters without controls")
    began = token.issued_at or now
    session = Session(
        id=adopted_id(token.subject, token.id),
        subject=token.subject,
        created_at=began,
        auth_time=0.0,
        expires_at=began + lifetime,
        idle_expires_at=token.expires_at,
        claims=check_claims(token.claims),
        persistent=token.persistent,
        last_seen=began,
    )
    return RefreshToken(session.id, session.current, session, token.issued_at)


def adopted_id(subject: str, token_id: str) -> str:
    """Return the id of the session that begins with a refresh token."""
    return _derived(subject, token_id, _ADOPTED)


def is_adopted(session_id: str) -> bool:
    """Return whether a session began with a token of an earlier system."""
    return session_id[_AFTER_AFFINITY : _AFTER_AFFINITY + 1] == _ADOPTED


def stray_id(subject: str, token_id: str) -> str:
    """Return the id that stands for an access token of no session, so that it can be revoked."""
    return _derived(subject, token_id, _STRAY)


def is_stray(session_id: str) -> bool:
    """Return whether it is the id of an access token of no session."""
    return session_id[_AFTER_AFFINITY : _AFTER_AFFINITY + 1] == _STRAY


def _derived(subject: str, token_id: str, mark: str) -> str:
    digest = hashlib.sha256(f"{len(subject)} {subject} {token_id}".encode(errors="surrogatepass"))
    return f"{affinity(subject)}{mark}{digest.hexdigest()[:27]}"
