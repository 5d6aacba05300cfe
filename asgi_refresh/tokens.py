"""
The two tokens as they are once verified, and `Profile`: the seam where other shapes plug in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from .claims import RESERVED
from .cookies import Cookie
from .errors import InvalidTokenError
from .sessions import FrozenDict, Session

MAX_TOKEN: Final = 8192
"""Bytes of a token that are looked at at all."""


def token_bytes(text: str) -> bytes:
    """
    Return *text*, which somebody gave as a token, as bytes.

    Raises:
        InvalidTokenError: It cannot be a token.
    """
    try:
        return text.encode("ascii")
    except (UnicodeEncodeError, AttributeError):
        raise InvalidTokenError from None


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
        session: The whole session, where the token is all there is: in stateless mode, and for a
            token of an earlier system, whose session begins with it (`legacy`); else None.
        issued_at: When it was made, in seconds since the epoch; 0 where nothing depends on it.
        subject: Whose it is, where that decides whether an access token is of the same session:
            some systems issue access tokens of no session. Else None.
    """

    session_id: str
    generation: int
    session: Session | None = field(default=None, repr=False)
    issued_at: float = 0.0
    subject: str | None = None

    def goes_with(self, access: AccessToken) -> bool:
        """Return whether the two are of one session."""
        if self.subject is not None:
            return access.subject == self.subject
        return access.session_id == self.session_id


class Profile(Protocol):
    """
    The shape of both tokens. Times, ids and generations are arguments; nothing here decides.

    `read_…` raise `InvalidTokenError` for whatever is not a genuine token of that kind. They do
    not look at its expiry: an expired token still tells whose it was.

    Attributes:
        adopts: Whether `read_refresh` takes tokens that an earlier system issued.
        refreshes_on_error: Whether a refresh goes out with an error, too. False where the
            application checks a double-submit token itself: a request that fails the check must
            prolong nothing.
        header: The header, in lower case, that an application with such tokens reads them from, and
            the scheme that it expects before one, which may be empty.
        csrf_cookies: Cookies that hold the double-submit token, each with the key of the cookie
            that it comes and goes with.
    """

    adopts: bool
    refreshes_on_error: bool
    header: tuple[bytes, bytes]
    csrf_cookies: Sequence[tuple[bytes, Cookie]]

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

    def jwks(self) -> dict[str, Any]:
        """Return the public keys of access tokens as a JWKS document; shared secrets are not."""
        ...

    def succeed(self, access: AccessToken | None, refresh: RefreshToken) -> RefreshToken:
        """Return *refresh* as it counts beside the *access* token that is to be replaced."""
        ...

    def restrict(self, session: Session, token: RefreshToken) -> Session:
        """Return *session* as it counts for *token*: with its claims, or fewer."""
        ...

    def csrf_tokens(self, session_id: str, claims: Mapping[str, Any]) -> Sequence[str]:
        """
        Return the double-submit tokens that a session accepts, the first to be handed out.

        They are the same for every token of the session, so a refresh does not change them.
        """
        ...

    def may_refresh(self, method: str, path: str, access: AccessToken | None) -> bool:
        """Return whether a request with *access* refreshes; *path* is less the mount's prefix."""
        ...
