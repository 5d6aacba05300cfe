"""
What code further in finds in the headers: what was decided here, and no token that was refused.

Applications read cookies and Authorization themselves, each a little differently, and take for good
whatever bears a signature. So what is not believed does not reach them. Garbage and expired tokens
do: those they refuse themselves, in their own words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

from .cookies import keep_only
from .credentials import Headers, bearer_token, client_of
from .errors import ClaimsUnavailable, InvalidTokenError, Reason, StoreUnavailable
from .issuer import Issuer
from .shell import Shell
from .tokens import MAX_TOKEN, AccessToken, RefreshToken

_OTHER_SCHEME = re.compile(rb"(?!bearer)[a-z0-9-]+ ", re.IGNORECASE)


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
        size = len(name)
        headers = [
            pair
            for pair in self._scope["headers"]
            if len(pair[0]) != size or pair[0].lower() != name
        ]
        if value:
            headers.append((name, value))
        self._scope["headers"] = headers

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

    async def authorization(self) -> None:
        """Pass down an Authorization header that signs nobody in here, if it may be."""
        values = self._headers.get(b"authorization", ())
        if values and not await self._may_pass(values[0], alone=len(values) == 1):
            self.set(b"authorization", b"")

    async def _may_pass(self, value: bytes, *, alone: bool) -> bool:
        raw = bearer_token(self._headers)
        if raw is None and self._shell.guards:
            other = _OTHER_SCHEME.match(value) is not None and b"Bearer " not in value
            return alone and other
        words = value.split()
        raw = raw or (words[-1] if words else b"")
        if len(raw) > MAX_TOKEN and self._shell.guards:
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
