"""
What a request is, and what its handler wants to become of it: plain values between the modules.
"""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Login:
    """Sign in: begin *session*, after ending every session of *everywhere*."""

    session: Session
    everywhere: str | None = None


@dataclass(frozen=True, slots=True)
class Elevate:
    """Raise a barrier in the session, with *claims* in place of its own unless None."""

    session_id: str
    claims: FrozenDict | None


@dataclass(frozen=True, slots=True)
class Logout:
    """Sign out: end the sessions that came along, and every session of *everywhere*."""

    everywhere: str | None = None
