"""
What an application's response says of our cookies itself: then the application wins.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence

from .cookies import read_set_cookie
from .errors import InvalidTokenError, StoreUnavailable
from .issuer import Issuer
from .shell import Cookies
from .tokens import AccessToken, RefreshToken


class Own:
    """
    The cookies of ours that a response sets or deletes before we have added any.

    Args:
        headers: The response's headers.
        goes_with: Every cookie of ours, and the token's cookie that it comes and goes with.
        now: Seconds since the epoch.
    """

    def __init__(
        self,
        headers: Iterable[tuple[bytes, bytes]],
        goes_with: Mapping[bytes, bytes],
        *,
        now: float,
    ) -> None:
        self._goes_with = goes_with
        self._deletes: dict[bytes, bool] = {}
        self._values: dict[bytes, bytes] = {}
        for name, line in headers:
            if name.lower() == b"set-cookie":
                cookie, deletes = read_set_cookie(line, now=now)
                if cookie in goes_with:
                    self._deletes[cookie] = deletes
                    self._values[cookie] = line.partition(b";")[0].partition(b"=")[2].strip()

    def __contains__(self, name: object) -> bool:
        return name in self._deletes

    def __bool__(self) -> bool:
        return bool(self._deletes)

    def deletes(self, names: Iterable[bytes]) -> bool:
        """Return whether one of *names* is deleted."""
        return any(self._deletes.get(name) for name in names)

    def sets(self, name: bytes) -> bytes | None:
        """Return the value that *name* is set to; None if it is left alone or deleted."""
        return None if self._deletes.get(name, True) else self._values[name]

    def token(self, issuer: Issuer) -> AccessToken | RefreshToken | None:
        """Return the token that a user goes on with: a refresh token, or a good access token."""
        refresh = self.sets(issuer.config.refresh_cookie.key)
        access = self.sets(issuer.config.access_cookie.key)
        with contextlib.suppress(InvalidTokenError):
            if refresh is not None:
                return issuer.profile.read_refresh(refresh)
        with contextlib.suppress(InvalidTokenError):
            if access is not None:
                token = issuer.read_access(access)
                return token if issuer.clock() < token.expires_at else None
        return None

    def leaves(self, due: Cookies) -> Cookies:
        """Return what of *due* it leaves to us: neither its cookies, nor what goes with them."""
        return [
            (name, line)
            for name, line in due
            if name not in self and self._goes_with.get(name) not in self
        ]


async def ousted(
    issuer: Issuer,
    written: AccessToken | RefreshToken | None,
    came: Sequence[AccessToken | RefreshToken],
) -> tuple[AccessToken | RefreshToken, ...]:
    """Return those of the tokens that *came* that are of another user than the one *written*."""
    user = None if written is None else await _subject_of(issuer, written)
    if user is None:
        return ()
    return tuple([token for token in came if await _subject_of(issuer, token) not in (None, user)])


async def _subject_of(issuer: Issuer, token: AccessToken | RefreshToken) -> str | None:
    """Return whose *token* is, if that can be told."""
    if token.subject is not None:
        return token.subject
    session = token.session if isinstance(token, RefreshToken) else None
    if session is None and issuer.rotating is not None:
        with contextlib.suppress(StoreUnavailable):
            session = await issuer.rotating.store.get(token.session_id)
    return None if session is None else session.subject
