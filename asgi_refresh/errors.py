"""
Everything this library raises, and the words for why a request is anonymous.

Messages say what was refused and what to do; none of them ever holds a token. A bad token is only
an error where the caller asked for it (`Issuer.verify`, `Issuer.refresh`): on an ordinary request
it makes the request anonymous.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal

Reason = Literal[
    "no_credentials",
    "invalid_token",
    "expired_token",
    "revoked_token",
    "reused_token",
    "session_ended",
    "session_mismatch",
    "stale_token",
    "ambiguous_cookies",
    "oversize_cookies",
    "exempt_path",
    "not_refreshable",
    "claims_refused",
    "claims_unavailable",
    "store_unavailable",
    "keys_unavailable",
    "logged_out",
]
"""
Why a request is anonymous.

no_credentials: nothing of ours came along. invalid_token: forged, malformed or of another kind.
expired_token, revoked_token: as they say. reused_token: a refresh token older than an honest
browser may hold; its session has been ended. session_ended: the session is over or unknown.
session_mismatch: access and refresh cookie belong to different sessions. stale_token: the refresh
token is from before a privilege change. ambiguous_cookies: one cookie name, several sessions.
oversize_cookies: more than `max_cookie_header`. exempt_path: cookies are ignored here
(`cross_origin_exempt`). not_refreshable: OPTIONS never refreshes. claims_refused: `load_claims`
returned None. claims_unavailable: `load_claims` failed. store_unavailable: the store did.
keys_unavailable: a `Verifier` has no keys yet. logged_out: the handler called `logout()`.
"""


TRY_AGAIN: Final = frozenset[Reason](
    {"store_unavailable", "claims_unavailable", "keys_unavailable"}
)
"""The reasons that say nothing about the user: 503 and not 401, which would end in a sign-in."""
OVER: Final = frozenset[Reason]({"reused_token", "session_ended", "claims_refused"})
"""The reasons that say that the session is over: its cookies are of no use any more."""


def challenge(reason: Reason | None) -> str | None:
    """
    Return what WWW-Authenticate says of a request that is anonymous for *reason* (RFC 6750, 3).

    None: who it is cannot be told just now, which is 503 and no refusal.
    """
    if reason in TRY_AGAIN:
        return None
    return "Bearer" if reason == "no_credentials" else 'Bearer error="invalid_token"'


class RefreshError(Exception):
    """The base of every error of this library; never raised itself."""


class ConfigurationError(RefreshError, ValueError):
    """A setting that a browser, an RFC or common sense would refuse; raised at construction."""


class StoreRequiredError(RefreshError):
    """What was asked for needs a store, and this issuer was built with `store=None`."""


class StoreUnavailable(RefreshError):  # noqa: N818 - a state of the world, named as such
    """The store failed or did not answer in time; nothing is known to have changed."""

    reason: ClassVar[Reason] = "store_unavailable"


class ClaimsUnavailable(RefreshError):  # noqa: N818
    """`load_claims` raised, took longer than `store_timeout` or returned unusable claims."""

    reason: ClassVar[Reason] = "claims_unavailable"


class KeysUnavailable(RefreshError):  # noqa: N818
    """A verifier has no keys yet, and the document they are in cannot be had."""

    reason: ClassVar[Reason] = "keys_unavailable"


class AccessDeniedError(RefreshError):
    """`load_claims` returned None: the subject may not sign in (RFC 6749, 4.1.2.1)."""

    code = "access_denied"
    status = 403
    reason: ClassVar[Reason] = "claims_refused"


class InvalidTokenError(RefreshError):
    """
    A token that is not accepted.

    Attributes:
        code: The error code of RFC 6750, 3.1 for the answer.
        status: The HTTP status for the answer.
        reason: Why, for logs and events; the client is told only `code`.
    """

    code = "invalid_token"
    status = 401

    def __init__(
        self, message: str = "the token is not valid", *, reason: Reason = "invalid_token"
    ) -> None:
        super().__init__(message)
        self.reason: Reason = reason


class ExpiredTokenError(InvalidTokenError):
    """A genuine token whose time is over."""

    def __init__(
        self, message: str = "the token has expired", *, reason: Reason = "expired_token"
    ) -> None:
        super().__init__(message, reason=reason)


class RevokedTokenError(InvalidTokenError):
    """A genuine token that was ended before its time."""

    def __init__(
        self, message: str = "the token has been revoked", *, reason: Reason = "revoked_token"
    ) -> None:
        super().__init__(message, reason=reason)


class ReusedTokenError(RevokedTokenError):
    """A refresh token in a second pair of hands; its session has been ended (RFC 9700, 4.14.2)."""

    def __init__(
        self,
        message: str = "the refresh token has been used before",
        *,
        reason: Reason = "reused_token",
    ) -> None:
        super().__init__(message, reason=reason)
