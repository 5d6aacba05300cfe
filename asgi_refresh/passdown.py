"""
What code further in finds in the headers: what was decided here, and no token that was refused.

Applications read cookies and Authorization themselves, each a little differently, and take for good
whatever bears a signature. So what is not believed does not reach them. Garbage and expired tokens
do: those they refuse themselves, in their own words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

from .cookies import keep_only
from .credentials import Credentials, Headers, client_of
from .errors import ClaimsUnavailable, InvalidTokenError, Reason, StoreUnavailable
from .issuer import Issuer
from .shell import Shell, hyphens
from .tokens import MAX_TOKEN, AccessToken, RefreshToken

_WORD = re.compile(rb"[a-z0-9-]+ ", re.IGNORECASE)


async def in_force(issuer: Issuer, token: AccessToken) -> tuple[AccessToken | None, Reason | None]:
    """Return *token* unless it has expired or was revoked; else why not."""
    denylist = issuer.denylist
    if denylist is not None and issuer.clock() < token.expires_at:
        try:
            await denylist.update()
        except StoreUnavailable:
            return None, "store_unavailable"
        if denylist.refuses(token):
            return None, "revoked_token"
    if issuer.clock() >= token.expires_at:
        return None, "expired_token"
    return token, None


@cache
def _patterns(scheme: bytes) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """Return what a header with a token of *scheme* looks like, and what names that anywhere."""
    names = b"|".join(re.escape(name) for name in (b"bearer", scheme) if name)
    alone = b"" if scheme else b"?"
    token = rb"(?:(?:%b) +)%b([0-9a-z._~+/=-]+) *\Z" % (names, alone)
    # What Python's str.split() splits at.
    named = rb"(?:%b)[\s\x1c-\x1f\x85\xa0]" % names
    return re.compile(token, re.IGNORECASE), re.compile(named, re.IGNORECASE)


def _token_in(values: Sequence[bytes], scheme: bytes) -> bytes | None:
    """
    Return what an application that expects *scheme* reads as a token in the *values* of a header.

    None: plainly nothing. Empty: readers differ.
    """
    token, named = _patterns(scheme)
    if len(values) != 1:
        return b""
    match = token.match(values[0])
    if match:
        return match[1]
    return None if _WORD.match(values[0]) and not named.search(values[0]) else b""


def sessions_in(shell: Shell[Any], headers: Headers) -> dict[str, float]:
    """Return the sessions of tokens in *headers* that an application takes itself, as cookies'."""
    profile = shell.issuer.profile
    names = (b"authorization", hyphens(profile.header[0])) if shell.guards else ()
    found: list[AccessToken | RefreshToken] = []
    for name in headers:
        if hyphens(name) not in names:
            continue
        raw = _token_in(headers[name], profile.header[1]) or b""
        for read in (shell.issuer.read_access, profile.read_refresh):
            with suppress(InvalidTokenError):
                found.append(read(raw))
    return Credentials(genuine=tuple(found)).sessions


def replaced(
    headers: Iterable[tuple[bytes, bytes]], name: bytes, value: bytes
) -> list[tuple[bytes, bytes]]:
    """Return *headers* with one plain header in the place of all of that *name*; empty: none."""
    size = len(name)
    left = [pair for pair in headers if len(pair[0]) != size or pair[0].lower() != name]
    return [*left, (name, value)] if value else left


class PassDown:
    """
    The headers of one request, on their way to the application.

    Args:
        shell: Whose cookies.
        scope: The request's, whose headers are replaced.
        headers: They, by name, as they came.
        cookie: All Cookie headers as one.
    """

    def __init__(
        self, shell: Shell[Any], scope: MutableMapping[str, Any], headers: Headers, cookie: bytes
    ) -> None:
        self._shell, self._scope, self._headers = shell, scope, headers
        self._cookie = cookie
        self._issuer = shell.issuer

    def set(self, name: bytes, value: bytes) -> None:
        """Pass one plain header down in the place of all of that name; empty: none."""
        self._scope["headers"] = replaced(self._scope["headers"], name, value)

    def cookies(self, keep: Mapping[bytes, bytes | None]) -> None:
        """Pass down of our cookies those in *keep*, and of the others all."""
        left = keep_only(self._cookie, {name: keep.get(name) for name in self._shell.names})
        if left is not self._cookie:
            self.set(b"cookie", left)

    async def vouches(self, token: RefreshToken) -> bool:
        """
        Return whether an application that takes refresh tokens itself may see *token*.

        Where it does, it asks no store: then only what this one accepts.
        """
        if not self._shell.guards:
            return True
        try:
            client = client_of(self._scope, self._headers)
            await self._issuer.mode.look(token, client=client)
        except (InvalidTokenError, StoreUnavailable, ClaimsUnavailable):
            return False
        return True

    async def tokens(self, *, signed_in: bool) -> None:
        """
        Pass down the headers that tokens come in, if they may be.

        Args:
            signed_in: Whether it is by the one Authorization header that somebody is signed in.
        """
        names = [] if signed_in else [b"authorization"]
        if self._shell.reads is not None:
            names += [name for name in self._headers if hyphens(name) == self._shell.reads]
        for name in names:
            values = self._headers.get(name)
            if values and not await self._may_pass(values):
                self.set(name, b"")

    async def _may_pass(self, values: Sequence[bytes]) -> bool:
        guards, words = self._shell.guards, values[0].split()
        raw = words[-1] if words else b""
        if guards:
            found = _token_in(values, self._issuer.profile.header[1])
            if not found:
                return found is None
            raw = found
        if len(raw) > MAX_TOKEN and guards:
            return False  # not read in here, and padding that others skip
        try:
            access = self._issuer.read_access(raw)
        except InvalidTokenError:
            return not self._shell.guards or await self._may_refresh(raw)
        _, why = await in_force(self._issuer, access)
        return why not in ("revoked_token", "store_unavailable")

    async def _may_refresh(self, raw: bytes) -> bool:
        try:
            token = self._issuer.profile.read_refresh(raw)
        except InvalidTokenError:
            return True
        return await self.vouches(token)
