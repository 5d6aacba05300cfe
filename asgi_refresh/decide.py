"""
What to do with a request, from verified values alone.

The shell reads cookies and clocks and talks to stores; which token counts, whether to refresh and
whether cookies may be deleted is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Protocol, TypeVar

from .errors import Reason
from .sessions import Revocation
from .tokens import AccessToken, RefreshToken


class Step(Enum):
    """What happens to a request next."""

    USE = "use"
    """Go on with the access token."""
    REFRESH = "refresh"
    """Present the refresh token."""
    ANONYMOUS = "anonymous"
    """Go on without."""


def next_step(
    access: AccessToken | None,
    refresh: RefreshToken | None,
    *,
    now: float,
    refresh_before: float,
    may_refresh: bool = True,
) -> tuple[Step, Reason | None]:
    """
    Decide between the access token and the refresh token.

    Args:
        access: The access token whose signature held, expired or not; None without one.
        refresh: The refresh token whose signature held; None without one.
        now: Seconds since the epoch.
        refresh_before: Seconds; an access token with less left is due.
        may_refresh: Whether this kind of request refreshes at all.

    Returns:
        The step, and a reason where something is off: a mismatch is worth an event even when the
        access token still counts.
    """
    left = access.expires_at - now if access is not None else 0.0
    if access is not None and refresh is not None and not refresh.goes_with(access):
        # Somebody planted one of the two: never slide from one identity into another.
        return (Step.USE if left > 0 else Step.ANONYMOUS), "session_mismatch"
    if left > 0 and left >= refresh_before:
        return Step.USE, None
    if refresh is not None and may_refresh:
        return Step.REFRESH, None
    if left > 0:
        return Step.USE, None
    # Beside one that says whose it is, it is none: cookies of its kind outlive their tokens.
    if access is not None and (refresh is None or refresh.subject is None):
        return Step.ANONYMOUS, "expired_token"
    return Step.ANONYMOUS, "not_refreshable" if refresh is not None else None


class OfSession(Protocol):
    """A verified token."""

    @property
    def session_id(self) -> str:
        """Its session."""
        ...


T = TypeVar("T", bound=OfSession)


def sole(
    verified: Sequence[T], *, newest: Callable[[T], tuple[int, float]]
) -> tuple[T | None, Reason | None]:
    """
    Choose among the verified tokens that came under one cookie name.

    A name may arrive twice (another Path or Domain, a sibling host), in no order to rely on. Of
    one session the newest counts, by the key *newest*, so that an older twin is no theft. Of two
    sessions none does.
    """
    if len(verified) < 2:
        return (verified[0] if verified else None), None
    if len({token.session_id for token in verified}) > 1:
        return None, "ambiguous_cookies"
    return max(verified, key=newest), None


def refuses(revocation: Revocation, token: AccessToken) -> bool:
    """Return whether *revocation* refuses *token*, which is of the session it concerns."""
    if revocation.ends_session or revocation.jti == token.id:
        return True
    return revocation.access_from is not None and token.generation < revocation.access_from


def is_top_level_navigation(headers: Mapping[bytes, Sequence[bytes]]) -> bool:
    """
    Return whether a browser says that the user is going to a page (Fetch Metadata).

    Only then may cookies of an ended session be deleted: the late answer to a background request
    must not delete what a login has set meanwhile.
    """
    mode, destination = headers.get(b"sec-fetch-mode", ()), headers.get(b"sec-fetch-dest", ())
    return list(mode) == [b"navigate"] and list(destination) == [b"document"]


def route_path(path: str, root_path: str) -> str:
    """Return *path* less the prefix the application is mounted under."""
    if root_path and (path == root_path or path.startswith(root_path.rstrip("/") + "/")):
        return path[len(root_path.rstrip("/")) :] or "/"
    return path


def is_below(path: str, prefixes: Iterable[str]) -> bool:
    """Return whether *path* is one of *prefixes* or below one, by whole segments."""
    return any(path == prefix or path.startswith(prefix.rstrip("/") + "/") for prefix in prefixes)
