"""
The grid: what the application says of caching, by its status, by what happens meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from time import time

ETAG = b'"everybody"'
_DAY = 86_400


@dataclass(frozen=True)
class Row:
    """
    Header lines, in which AGE is put in for how long to keep a response.

    Attributes:
        name: Of the row.
        lines: `Name: value`; SOON is a date after that age, and LONG_AGO one of last year.
    """

    name: str
    lines: Sequence[str]

    def headers(self, *, age: int) -> list[tuple[bytes, bytes]]:
        """Return them for ASGI; *age* in seconds."""
        now = time()
        put = {
            "AGE": str(age),
            "SOON": formatdate(now + age, usegmt=True),
            "LONG_AGO": formatdate(now - 300 * _DAY, usegmt=True),
        }
        made = []
        for line in self.lines:
            name, _, value = line.partition(": ")
            for word, text in put.items():
                value = value.replace(word, text)
            made.append((name.lower().encode(), value.encode()))
        return made


_CC = "Cache-Control: "
ROWS = {
    name: Row(name, lines)
    for name, lines in {
        "none": [],
        "private": [_CC + "private, max-age=AGE"],
        "no-store": [_CC + "no-store"],
        "no-cache": [_CC + "no-cache"],
        "public": [_CC + "public, max-age=AGE"],
        "max-age": [_CC + "max-age=AGE"],
        "s-maxage": [_CC + "s-maxage=AGE"],
        "private+s-maxage": [_CC + "private, s-maxage=AGE"],
        "immutable": [_CC + "max-age=AGE, immutable"],
        "public+immutable": [_CC + "public, max-age=AGE, immutable"],
        "must-revalidate": [_CC + "max-age=0, must-revalidate"],
        "stale-while": [_CC + "max-age=AGE, stale-while-revalidate=60, stale-if-error=60"],
        "no-cache-field": [_CC + 'no-cache="Set-Cookie", max-age=AGE'],
        "private-field": [_CC + 'private="Set-Cookie", max-age=AGE'],
        "two-lines": [_CC + "max-age=AGE", _CC + "public"],
        "expires": ["Expires: SOON"],
        "expires+pragma": ["Expires: SOON", "Pragma: no-cache"],
        "expires+private": ["Expires: SOON", _CC + "private"],
        "last-modified": ["Last-Modified: LONG_AGO"],
        "etag": ["ETag: " + ETAG.decode(), "Last-Modified: LONG_AGO"],
        "etag+public": ["ETag: " + ETAG.decode(), _CC + "public, max-age=AGE"],
        "cdn": ["CDN-Cache-Control: max-age=AGE"],
        "cdn+private": ["CDN-Cache-Control: max-age=AGE", _CC + "private, no-store"],
        "surrogate": ["Surrogate-Control: max-age=AGE"],
        "surrogate+private": ["Surrogate-Control: max-age=AGE", _CC + "private, no-store"],
        "accel": ["X-Accel-Expires: AGE"],
        "accel+private": ["X-Accel-Expires: AGE", _CC + "private, no-store"],
        "vary-encoding": ["Vary: Accept-Encoding", _CC + "public, max-age=AGE"],
        "vary-cookie": ["Vary: cookie", _CC + "public, max-age=AGE"],
        "vary-two": ["Vary: Accept-Encoding", "Vary: User-Agent", _CC + "max-age=AGE"],
        # nginx before 1.23 goes by the last line alone.
        "vary-cookie-first": ["Vary: Cookie", "Vary: Accept-Encoding", _CC + "max-age=AGE"],
        "vary-star-first": ["Vary: *", "Vary: Accept-Encoding", _CC + "max-age=AGE"],
        "vary-star": ["Vary: *", _CC + "public, max-age=AGE"],
    }.items()
}

# 304: anonymous primes the cache with a 200, it gets stale, and what is refreshed by Alice's
# request is answered 304. 304c: her browser asks with the ETag, and nothing is stored yet.
STATUSES = ("200", "204", "206", "301", "302", "304", "304c", "404", "410", "500")

# Enough of it together: nginx looks twice a second only whether it may go on.
_SLOWLY = ("none", "private", "public", "max-age", "immutable", "etag+public", "surrogate", "accel")

SITUATIONS = {
    "innocent": "nobody brings a cookie, the page is for everybody: it shows that the cache works",
    "plain": "Alice is signed in, the page does not look at that",
    "reads": "Alice is signed in, the page names her",
    "bearer": "Alice is signed in by an Authorization header, the page names her",
    "login": "the page signs Alice in, and names her",
    "refresh": "Alice's session is refreshed, the page does not look at it",
    "refresh+reads": "Alice's session is refreshed, the page names her",
    "logout": "the page signs Alice out",
    "dead": "Alice's session is over, and her cookies are deleted",
    "own": "the application writes Alice's cookies itself",
    "own+logout": "the application deletes Alice's cookies itself",
    "together": "refresh+reads, and Bob and a stranger ask in the same moment",
}


@dataclass(frozen=True)
class Case:
    """One page of the grid."""

    number: int
    situation: str
    row: str
    status: str

    @property
    def path(self) -> str:
        return f"/{self.situation}/{self.row}/{self.status}"

    @property
    def alice(self) -> str:
        """A subject of her own for every case: sessions do not get into one another's way."""
        return f"alice-{self.number}"

    @property
    def names_visitor(self) -> bool:
        """Whether the body has to name whoever asks."""
        return self.situation in ("reads", "refresh+reads", "bearer", "together")

    @property
    def primes(self) -> bool:
        return self.status == "304"


def cases(
    situations: Sequence[str] = tuple(SITUATIONS),
    rows: Sequence[str] = tuple(ROWS),
    statuses: Sequence[str] = STATUSES,
) -> Iterator[Case]:
    """Yield the grid, or the part of it that is named."""
    number = 0
    for situation in situations:
        for row in rows:
            for status in statuses:
                if situation == "together" and not (row in _SLOWLY and status == "200"):
                    continue
                number += 1
                yield Case(number, situation, row, status)
