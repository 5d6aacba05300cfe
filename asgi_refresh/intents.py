"""
What a request is, and what its handler wants to become of it: plain values between the modules.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Final, Literal

from .errors import Reason
from .sessions import FrozenDict, Session

SCOPE_KEY: Final = "asgi_refresh"

# What has happened to a request; bits of one int, because it is asked on every message.
READ: Final = 1  # the application looked at who it is: the response varies with the cookie
PENDING: Final = 2  # something must be written, or a cookie go out
STARTED: Final = 4  # the response has begun, nothing can be written any more
REPLACED: Final = 8  # it was ours: the application's messages are dropped


@dataclass(frozen=True, slots=True)
class How:
    """How a request came to be what it is; shared by all requests alike."""

    via: Literal["cookie", "bearer"] | None = None
    refreshed: bool = False
    reason: Reason | None = None


BY_COOKIE: Final = How("cookie")
BY_BEARER: Final = How("bearer")
BY_REFRESH: Final = How("cookie", refreshed=True)
NOBODY: Final = How(reason="no_credentials")
LOGGED_OUT: Final = How(reason="logged_out")


@cache
def anonymous(reason: Reason) -> How:
    """Return how a request is anonymous."""
    return How(reason=reason)


@dataclass(frozen=True, slots=True)
class Intent:
    """
    What the handler wants to become of the request's session; a later call adds to it.

    Attributes:
        session_id, subject: The session the request was signed in to before, and whose it was.
        lasts: When the access token of that ends, in seconds since the epoch.
        by_bearer: Whether that was by an Authorization header.
        login: The session to begin.
        elevate: Whether to raise a barrier in the session.
        claims: The claims that come with the barrier; None keeps those of the session.
        logout: Whether to end what the request came with, whatever becomes of the response.
        everywhere: Whether to end every session of the subject then.
    """

    session_id: str | None = None
    subject: str | None = None
    lasts: float = 0.0
    by_bearer: bool = False
    login: Session | None = None
    elevate: bool = False
    claims: FrozenDict | None = None
    logout: bool = False
    everywhere: bool = False

    def without_promises(self) -> Intent | None:
        """Return what is left of it if the response is an error: only a logout stands."""
        return replace(self, login=None) if self.logout else None
