"""
Asking the application what a token of its earlier system says.
"""

from __future__ import annotations

import inspect

import anyio

from .claims import number
from .errors import ClaimsUnavailable, ConfigurationError, InvalidTokenError
from .legacy import Legacy, LegacyToken, adoptable
from .mint import Mint
from .tokens import MAX_TOKEN, RefreshToken


class LegacyTokens:
    """
    Reads legacy tokens.

    Args:
        legacy: How, and where they come from; None: there are none.
        mint: Whose clock and lifetimes count.
        stateless: Whether there is no store, and so no session that a token is of.

    Raises:
        ConfigurationError: A cookie of the earlier system has the name of one of ours.

    Attributes:
        cookie: The cookie that holds such a token, if one does.
        cookies: All cookies of the earlier system that are to be deleted.
    """

    def __init__(self, legacy: Legacy | None, mint: Mint, *, stateless: bool) -> None:
        self._legacy, self._mint, self._stateless = legacy, mint, stateless
        self.cookie = None if legacy is None else legacy.cookie
        drop = () if legacy is None else legacy.drop
        self.cookies = (*(() if self.cookie is None else (self.cookie,)), *drop)
        config = mint.config
        ours = {config.access_cookie.name, config.refresh_cookie.name}
        ours |= {f"{config.access_cookie.name}-ended"}
        ours |= {config.csrf_cookie.name} if config.csrf_cookie is not None else set()
        for cookie in self.cookies:
            if cookie.name in ours:
                raise ConfigurationError(
                    f"accept_legacy: cookie {cookie.name!r} is one of ours; ours need other names"
                )
        self._lifetime = mint.config.session_lifetime.total_seconds()

    async def read(self, raw: bytes) -> RefreshToken:
        """
        Return the refresh token that *raw* counts as.

        Raises:
            InvalidTokenError: It is no token of the earlier system, or no longer good.
            ClaimsUnavailable: The application could not tell.
        """
        if self._legacy is None or len(raw) > MAX_TOKEN or not raw.isascii():
            raise InvalidTokenError
        try:
            with anyio.fail_after(self._mint.timeout):
                said = self._legacy.read(raw.decode())
                token = await said if inspect.isawaitable(said) else said
        except Exception as error:
            raise ClaimsUnavailable(f"accept_legacy failed: {type(error).__name__}") from error
        if token is None:
            raise InvalidTokenError
        try:
            return self._counts_as(token)
        except (AttributeError, TypeError, ValueError) as error:
            raise ClaimsUnavailable(f"accept_legacy: {error}") from None

    def _counts_as(self, token: LegacyToken) -> RefreshToken:
        now = self._mint.clock()
        if now >= number(token.expires_at):
            raise InvalidTokenError
        if token.continues is not None and not self._stateless:
            return RefreshToken(*token.continues, issued_at=token.issued_at)
        return adoptable(token, now=now, lifetime=self._lifetime)
