"""
What a response's headers say to caches, and what they must say once it carries a token.

Set-Cookie does not stop a cache from storing a response (RFC 9111, 7.3), and a stored one signs
the next visitor in as somebody else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

Headers: TypeAlias = list[tuple[bytes, bytes]]

_SHARED: Final = frozenset({b"public", b"s-maxage", b"immutable"})
_OUTRANKING: Final = (  # what some caches go by before Cache-Control (RFC 9213, and older)
    b"cdn-cache-control",
    b"cloudflare-cdn-cache-control",
    b"vercel-cdn-cache-control",
    b"netlify-cdn-cache-control",
    b"surrogate-control",
    b"edge-control",
    b"x-litespeed-cache-control",
)
_CACHE_HEADERS: Final = frozenset(
    {b"cache-control", b"expires", b"pragma", b"x-accel-expires", *_OUTRANKING}
)
_CDN_CACHE_CONTROL: Final = b"-cdn-cache-control"
_SPEAKING: Final = _CACHE_HEADERS | {b"set-cookie", b"vary"}


def is_silent(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether *headers* say nothing to caches, of Vary, or of cookies: most do not."""
    for name, _ in headers:
        name = name.lower()  # noqa: PLW2901
        if name in _SPEAKING or name.endswith(_CDN_CACHE_CONTROL):
            return False
    return True


def is_shared_cacheable(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether the response invites shared caches: `public`, `s-maxage` or `immutable`."""
    return any(
        directive.partition(b"=")[0] in _SHARED for directive in _members(headers, b"cache-control")
    )


def forbid_caching(headers: Headers, *, merged: bool = False, silent: bool = False) -> Headers:
    """
    Return *headers* with `Cache-Control: private, no-store` in place of all they said before.

    *merged* is for one that `is_merged`: what outranks Cache-Control is then said, too.
    *silent*: they said nothing.
    """
    kept = [
        (name, value)
        for name, value in headers
        if silent
        or (name.lower() not in _CACHE_HEADERS and not name.lower().endswith(_CDN_CACHE_CONTROL))
    ]
    kept.append((b"cache-control", b"private, no-store"))
    if merged:
        kept += [(name, b"no-store") for name in _OUTRANKING]
    return kept


def is_merged(method: str | None, status: int) -> bool:
    """
    Return whether a cache adds the response's headers to those that it has, keeping the others.

    So it does with a 304, with a part (206) and with the answer to HEAD (RFC 9111, 3.2).
    """
    return status in (206, 304) or method == "HEAD"


def vary_on(headers: Headers, names: Sequence[bytes], *, silent: bool = False) -> Headers:
    """
    Return *headers* with *names* among the members of Vary, in one line; `*` says all.

    nginx before 1.23 goes by the last of several lines. *silent*: there is none.
    """
    if silent:
        return [*headers, (b"vary", b", ".join(names))]
    lines = [value.strip(b" \t,") for name, value in headers if name.lower() == b"vary"]
    members = set(_members(headers, b"vary"))
    missing = [name for name in names if name.lower() not in members]
    if b"*" in members:
        lines, missing = ([b"*"] if len(lines) > 1 else lines), []
    if not missing and sum(name.lower() == b"vary" for name, _ in headers) == 1:
        return headers
    line = b", ".join([*filter(None, lines), *missing])
    return [(name, value) for name, value in headers if name.lower() != b"vary"] + [(b"vary", line)]


def _members(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> Iterator[bytes]:
    """Yield the members of the list header *name*, trimmed, in lower case."""
    for key, value in headers:
        if key.lower() == name:
            for member in value.split(b","):
                yield member.strip(b" \t").lower()
