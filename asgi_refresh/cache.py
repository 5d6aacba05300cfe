"""Remembering verified access tokens, within bounds."""

from __future__ import annotations

from .tokens import AccessToken


class TokenCache:
    """
    Verified access tokens by their bytes, so that a token seen before costs one lookup.

    Two generations: when the young one holds half of *size* the old one is dropped, so it is
    bounded without bookkeeping on a hit. Keep only what a signature vouched for.
    """

    __slots__ = ("_half", "old", "young")

    def __init__(self, size: int) -> None:
        self._half = max(1, size // 2)
        self.young: dict[bytes, AccessToken] = {}
        self.old: dict[bytes, AccessToken] = {}

    def get(self, raw: bytes) -> AccessToken | None:
        """Return the token that *raw* was verified to be, or None."""
        token = self.young.get(raw)
        if token is None:
            token = self.old.get(raw)
            if token is not None:
                self.put(raw, token)
        return token

    def clear(self) -> None:
        """Forget every token."""
        self.old, self.young = {}, {}

    def put(self, raw: bytes, token: AccessToken) -> None:
        """Remember *token*."""
        if len(self.young) >= self._half:
            self.old, self.young = self.young, {}
        self.young[raw] = token
