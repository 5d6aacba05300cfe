"""
What a response's headers say to caches, and what they must say once it carries a token.

Set-Cookie does not stop a cache from storing a response (RFC 9111, 7.3), and a stored one signs
the next visitor in as somebody else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

Headers: TypeAlias = list[tuple[bytes, bytes]]

_SHARED: Final = frozenset({b"public", b"s-maxage", b"immutable"})
_CACHE_HEADERS: Final = frozenset(
    {
        b"cache-control",
        b"expires",
        b"pragma",
        b"cdn-cache-control",
        b"surrogate-control",
        b"x-accel-expires",
    }
)


def is_shared_cacheable(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether the response invites shared caches: `public`, `s-maxage` or `immutable`."""
    return any(
        directive.partition(b"=")[0] in _SHARED for directive in _members(headers, b"cache-control")
    )


def forbid_caching(headers: Headers) -> Headers:
    """Return *headers* with `Cache-Control: private, no-store` in place of all they said before."""
    kept = [
        (name, value)
        for name, value in headers
        if name.lower() not in _CACHE_HEADERS and not name.lower().endswith(b"-cdn-cache-control")
    ]
    kept.append((b"cache-control", b"private, no-store"))
    return kept


def vary_on_cookie(headers: Headers) -> Headers:
    """Return *headers* with Cookie among the members of Vary; `*` and an existing one suffice."""
    members = list(_members(headers, b"vary"))
    if b"cookie" in members or b"*" in members:
        return headers
    return [*headers, (b"vary", b"Cookie")]


def _members(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> Iterator[bytes]:
    """Yield the members of the list header *name*, trimmed, in lower case."""
    for key, value in headers:
        if key.lower() == name:
            for member in value.split(b","):
                yield member.strip(b" \t").lower()
