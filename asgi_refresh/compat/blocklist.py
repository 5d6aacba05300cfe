"""
An application's own blocklist, asked before anything is minted for what is on it.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import anyio

from asgi_refresh.errors import ClaimsUnavailable, RevokedTokenError
from asgi_refresh.events import Client
from asgi_refresh.grants import Look, Mode
from asgi_refresh.tokens import RefreshToken

from .pair_tokens import PairRefresh

Blocklist: TypeAlias = Callable[[str], bool | Awaitable[bool]]
"""Returns whether a token, as it came, is revoked. Sync or async; raising is an outage."""


class Guarded:
    """
    A `Mode` that refuses what an application's blocklist has.

    Args:
        mode: What to do with the rest.
        is_revoked: The blocklist.
        timeout: Seconds that it may take.
    """

    def __init__(self, mode: Mode, is_revoked: Blocklist, *, timeout: float) -> None:
        self._is_revoked, self._timeout = is_revoked, timeout
        self.begin, self.settle, self.still_good = mode.begin, mode.settle, mode.still_good
        self.end, self.end_kept, self._look = mode.end, mode.end_kept, mode.look

    async def look(self, token: RefreshToken, *, client: Client | None) -> Look:
        """Look, unless the token or the access token beside it is on the list."""
        for raw in token.raws if isinstance(token, PairRefresh) else ():
            if await self._has(raw.decode()):
                raise RevokedTokenError
        return await self._look(token, client=client)

    async def _has(self, raw: str) -> bool:
        try:
            with anyio.fail_after(self._timeout):
                said = self._is_revoked(raw)
                return bool(await said if inspect.isawaitable(said) else said)
        except Exception as error:
            raise ClaimsUnavailable(f"is_revoked failed: {type(error).__name__}") from error
