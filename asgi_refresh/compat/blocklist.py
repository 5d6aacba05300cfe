"""
An application's own blocklist, asked before anything is minted for what is on it.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import TypeAlias

import anyio

from asgi_refresh.errors import ClaimsUnavailable, RevokedTokenError
from asgi_refresh.events import Client
from asgi_refresh.grants import Grant, Look, Mode
from asgi_refresh.tokens import RefreshToken

from .pair_tokens import PairRefresh

Blocklist: TypeAlias = Callable[[str], bool | Awaitable[bool]]
"""Returns whether a token, as it came, is revoked. Sync or async; raising is an outage."""


@dataclass(frozen=True, slots=True)
class Asked(Look):
    """A look at a token that was not on the list."""

    raws: tuple[bytes, ...] = field(default=(), repr=False)


class Guarded:
    """
    A `Mode` that refuses what an application's blocklist has.

    Args:
        mode: What to do with the rest.
        is_revoked: The blocklist.
        timeout: Seconds that it may take.
    """

    def __init__(self, mode: Mode, is_revoked: Blocklist, *, timeout: float) -> None:
        self._mode, self._is_revoked, self._timeout = mode, is_revoked, timeout
        self.begin, self.end, self.end_kept = mode.begin, mode.end, mode.end_kept

    async def look(self, token: RefreshToken, *, client: Client | None) -> Look:
        """Look, unless the token or the access token beside it is on the list."""
        raws = token.raws if isinstance(token, PairRefresh) else ()
        if await self._has_any(raws):
            raise RevokedTokenError
        look = await self._mode.look(token, client=client)
        values = {each.name: getattr(look, each.name) for each in fields(look)}
        return Asked(**values, raws=(*raws, look.minted.raw))

    async def settle(self, look: Look, *, client: Client | None) -> Grant | None:
        """Settle, unless the handler has put one of them on the list: that is a sign-out."""
        if await self._has_any(look.raws if isinstance(look, Asked) else ()):
            return None
        return await self._mode.settle(look, client=client)

    async def still_good(self, look: Look) -> bool:
        """Return whether it is, and still not on the list."""
        if await self._has_any(look.raws if isinstance(look, Asked) else ()):
            return False
        return await self._mode.still_good(look)

    async def _has_any(self, raws: Iterable[bytes]) -> bool:
        for raw in raws:
            if await self._has(raw.decode("latin-1")):
                return True  # whatever the list would say of the others, if it can
        return False

    async def _has(self, raw: str) -> bool:
        try:
            with anyio.fail_after(self._timeout):
                said = self._is_revoked(raw)
                return bool(await said if inspect.isawaitable(said) else said)
        except Exception as error:
            raise ClaimsUnavailable(f"is_revoked failed: {type(error).__name__}") from error
