"""
Reading access tokens: for the issuer, and for every service that has the keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .claims import check_payload, encode, number, parse_object
from .errors import InvalidTokenError
from .keys import Key
from .sessions import freeze
from .signers import b64decode, b64encode
from .tokens import MAX_TOKEN, AccessToken


class AccessReader:
    """
    Verifies access tokens (RFC 9068, 4).

    Args:
        keys: The ring; each verifies the tokens that bear its id.
        issuer: Required as `iss`; None: tokens of a named issuer are refused.
        audience: Required as `aud`; None: tokens for an audience are refused.
        leeway: Seconds by which `iat` and `nbf` may lie in the future.
    """

    def __init__(
        self, keys: Sequence[Key], *, issuer: str | None, audience: str | None, leeway: float
    ) -> None:
        self._audience, self._issuer, self._leeway = audience, issuer, leeway
        self._ring = {key.id: key for key in keys}
        self._heads = {head_of(key): key.signer for key in keys}

    def misses_key_of(self, raw: bytes) -> bool:
        """Return whether *raw* names a key that is not in the ring."""
        if len(raw) > MAX_TOKEN:
            return False
        try:
            header = parse_object(b64decode(raw.partition(b".")[0]))
        except InvalidTokenError:
            return False
        return isinstance(header.get("kid"), str) and header["kid"] not in self._ring

    def read(self, raw: bytes, *, now: float) -> AccessToken:
        """Return the access token that *raw* spells: signature first, then the claims."""
        if len(raw) > MAX_TOKEN:
            raise InvalidTokenError
        signing_input, _, signature = raw.rpartition(b".")
        head, dot, body = signing_input.partition(b".")
        # Ours begins with one of a few known segments: then no header is parsed, and there is
        # no `alg` to be confused by (RFC 8725, 3.1).
        signer = self._heads.get(head) or self._unusual_header(head)
        if not dot or not signer.verify(signing_input, signature):
            raise InvalidTokenError
        payload = parse_object(b64decode(body))
        try:
            check_payload(payload)
            self._check_registered(payload, now)
            return AccessToken(freeze(payload))
        except (KeyError, TypeError, ValueError):
            raise InvalidTokenError from None

    def _unusual_header(self, head: bytes) -> Any:
        """The signer for a header spelled differently from ours, if it says the same."""
        header = parse_object(b64decode(head))
        key = self._ring.get(header["kid"]) if isinstance(header.get("kid"), str) else None
        kind = str(header.get("typ")).lower().removeprefix("application/")  # RFC 7515, 4.1.9
        # A header parameter that we do not write is one that we do not understand.
        if key is None or kind != "at+jwt" or header.keys() != {"alg", "kid", "typ"}:
            raise InvalidTokenError
        if header["alg"] != key.algorithm:
            raise InvalidTokenError
        return key.signer

    def _check_registered(self, payload: dict[str, Any], now: float) -> None:
        audience: Any = payload.get("aud")
        expected = self._audience
        if audience != expected and (expected is None or audience != [expected]):
            raise ValueError("aud")
        if payload.get("iss") != self._issuer:
            raise ValueError("iss")
        latest = now + self._leeway
        if payload["iat"] > latest or number(payload.get("nbf", 0)) > latest:
            raise ValueError("not yet valid")


def head_of(key: Key) -> bytes:
    """Return the header segment of the tokens that *key* signs."""
    return b64encode(encode({"alg": key.algorithm, "kid": key.id, "typ": "at+jwt"}).encode())
