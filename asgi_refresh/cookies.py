"""
Cookies on bytes, both ways: reading a Cookie header and writing Set-Cookie (RFC 6265bis).

Never `http.cookies`: it is quadratic on hostile input, trims characters that browsers do not, and
writes what it is given. Everything here is linear in its input.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, Literal

from .errors import ConfigurationError

MAX_COOKIE: Final = 4096
"""Bytes of name and value together that every browser keeps (RFC 6265bis, 5.6); Chromium drops
one byte more without a word."""

MAX_AGE: Final = 400 * 24 * 3600
"""The longest Max-Age a browser honours, in seconds (RFC 6265bis, 5.6.2)."""

_DUPLICATES: Final = 4  # distinct values of one name that are looked at; browsers send two or three
EMPTY: Final[Mapping[bytes, bytes | None]] = MappingProxyType({})
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_OCTETS: Final = bytes(octet for octet in range(0x21, 0x7F) if octet not in b'",;\\')
_PATH: Final = re.compile(r"/[\x20-\x3a\x3c-\x7e]*\Z")
_MAX_AGE: Final = re.compile(rb"(?:(-[0-9]+|0+)|[0-9]+)\Z")  # group 1: zero or less
_DOMAIN: Final = re.compile(r"\.?[0-9A-Za-z]([0-9A-Za-z.-]*[0-9A-Za-z])?\Z")
_WHITE: Final = b" \t"
_BLANK: Final = b" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0"  # what Python's str.strip() takes off


@dataclass(frozen=True, slots=True)
class Cookie:
    """
    The name and the attributes of one cookie.

    Attributes:
        name: A token (RFC 6265bis, 4.1.1). The prefixes `__Host-`, `__Secure-`, `__Http-` and
            `__Host-Http-` must be earned by the other attributes, as browsers demand.
        path: Requests below it carry the cookie.
        domain: None, the default, is this host only. A domain sends the cookie to every host
            below it: each of them can then read and replace it.
        secure: Send it over https only. False is for plain http on a laptop.
        same_site: "lax" arrives with a link from another site, "strict" does not (the user looks
            signed out), "none" arrives with everything and needs *secure*.
        partitioned: One jar for each embedding site (CHIPS); needs *secure*.
        http_only: Out of reach of scripts. False is for the double-submit token only: a cookie
            for tokens that is not out of their reach is refused by `Config`.

    Raises:
        ConfigurationError: A browser would refuse or silently drop such a cookie.
    """

    name: str
    path: str = field(default="/", kw_only=True)
    domain: str | None = field(default=None, kw_only=True)
    secure: bool = field(default=True, kw_only=True)
    same_site: Literal["lax", "strict", "none"] = field(default="lax", kw_only=True)
    partitioned: bool = field(default=False, kw_only=True)
    http_only: bool = field(default=True, kw_only=True)
    key: bytes = field(init=False, repr=False, compare=False)
    _suffix: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        problem = _grammar_problem(self) or _prefix_problem(self)
        if problem:
            raise ConfigurationError(f"cookie {self.name!r}: {problem}")
        suffix = f"; Path={self.path}"
        if self.domain is not None:
            suffix += f"; Domain={self.domain}"
        if self.secure:
            suffix += "; Secure"
        if self.http_only:
            suffix += "; HttpOnly"
        suffix += f"; SameSite={self.same_site.capitalize()}"
        if self.partitioned:
            suffix += "; Partitioned"
        object.__setattr__(self, "key", self.name.encode())
        object.__setattr__(self, "_suffix", suffix.encode())

    def render(self, value: bytes, max_age: int | None) -> bytes:
        """
        Return the Set-Cookie value that stores *value* for *max_age* seconds.

        Args:
            value: What to store; cookie octets only, nothing is quoted or encoded.
            max_age: Seconds, cut to `MAX_AGE`; None keeps the cookie until the browser closes.

        Raises:
            ValueError: *value* does not fit the grammar or the 4096 bytes a browser keeps.
        """
        if len(self.key) + len(value) > MAX_COOKIE:
            raise ValueError(
                f"cookie {self.name!r} would take {len(self.key) + len(value)} bytes and browsers"
                f" keep {MAX_COOKIE}: carry fewer claims"
            )
        if value.translate(None, _OCTETS):
            raise ValueError(f"the value for cookie {self.name!r} holds octets no cookie may hold")
        if max_age is None:
            return b"%b=%b%b" % (self.key, value, self._suffix)
        return b"%b=%b; Max-Age=%d%b" % (self.key, value, min(max_age, MAX_AGE), self._suffix)

    def delete(self) -> bytes:
        """
        Return the Set-Cookie value that deletes the cookie.

        It repeats every attribute: browsers refuse to touch a prefixed cookie otherwise, and
        leave one alone whose domain, path or partition differs.
        """
        return b"%b=; Max-Age=0%b" % (self.key, self._suffix)


def collect(
    header: bytes, names: Container[bytes], *, most: int = _DUPLICATES
) -> dict[bytes, list[bytes]]:
    """
    Return the distinct values of each cookie in *names*, in the order of the header.

    As RFC 6265bis, 5.6 reads Set-Cookie and nothing cleverer: split at `;`, then at the first `=`,
    trim space and tab. A pair without `=` or name is nobody's; quotes belong to the value; names
    compare byte for byte. Of one name the first *most* values are kept.
    """
    found: dict[bytes, list[bytes]] = {}
    for pair in header.split(b";"):
        name, equals, value = pair.partition(b"=")
        name = name.strip(_WHITE)
        if equals and name in names:
            value = value.strip(_WHITE)
            values = found.setdefault(name, [])
            if value not in values and len(values) < most:
                values.append(value)
    return found


def sole_value(header: bytes, name: bytes) -> bytes | None:
    """
    Return the value of cookie *name* if it plainly stands there once, without a closer look.

    None means absent or not that plain (twice, or another cookie whose name starts the same way,
    as the tombstone's does): ask `collect`. Space and tab around the value stay on it; no token
    has any.
    """
    parts = header.split(name, 2)
    if len(parts) != 2:
        return None
    before, after = parts
    try:
        if after[0] != 61 or (before and not (before[-1] == 32 and before[-2] == 59)):
            return None
    except IndexError:  # nothing around it
        return None
    end = after.find(b";")
    return after[1:] if end < 0 else after[1:end]


def keep_only(header: bytes, keep: Mapping[bytes, bytes | None]) -> bytes:
    """
    Return *header* with at most one cookie of each name in *keep*: that of the value; None: none.

    The others are left as they are. Readers differ in what they take off a name, in whether the
    first or the last counts, and in whether quotes are part of a value: here all of them find the
    same, or nothing.
    """
    dropped = [span for name, value in keep.items() for span in _dropped(header, name, value)]
    if not dropped:
        return header
    left: list[bytes] = []
    begin = 0
    for start, end in sorted(dropped):
        if begin < start:
            left.append(header[begin : start - 1])
        begin = end + 1
    if begin <= len(header):
        left.append(header[begin:])
    return b";".join(left).strip(_WHITE)


def _dropped(header: bytes, name: bytes, value: bytes | None) -> Iterator[tuple[int, int]]:
    """
    Yield where the pairs of *name* begin and end, but for the first that plainly has *value*.

    Only pairs in which the name stands are looked at. 300 KB of others take a twentieth of what
    splitting them takes; 300 KB full of ours, which no browser sends, 2.6 times as long.
    """
    end, found = -1, False
    while (at := header.find(name, end + 1)) >= 0:
        start = header.rfind(b";", 0, at) + 1  # it finds the last end, so no octet is seen twice
        end = header.find(b";", at)
        end = end if end >= 0 else len(header)
        key, equals, text = header[start:end].partition(b"=")
        if key.strip(_BLANK) != name:
            continue  # it stands in the value, or in a longer name
        plain = key.strip(_WHITE) == name and bool(equals) and text.strip(_WHITE) == value
        if found or not plain:
            yield start, end
        found = found or plain


def replace_value(
    header: bytes, name: bytes, value: bytes, keep: Mapping[bytes, bytes | None] = EMPTY
) -> bytes:
    """Return *header* with exactly one cookie *name*, of *value*, the others as `keep_only` has."""
    header = keep_only(header, {**keep, name: None})
    return b"%b; %b=%b" % (header, name, value) if header else b"%b=%b" % (name, value)


def read_set_cookie(value: bytes, *, now: float) -> tuple[bytes, bool]:
    """
    Return the name of the cookie that a Set-Cookie *value* touches, and whether it deletes it.

    As RFC 6265bis, 5.6: the last Max-Age wins over the last Expires; zero, less, or a date in the
    past deletes.
    """
    pair, *attributes = value.split(b";")
    over: bool | None = None
    expires: float | None = None
    for attribute in attributes:
        key, _, text = attribute.partition(b"=")
        key, text = key.strip(_WHITE).lower(), text.strip(_WHITE)
        if key == b"max-age" and (match := _MAX_AGE.match(text)):
            over = match[1] is not None
        elif key == b"expires":
            parsed = parse_date(text)
            expires = expires if parsed is None else parsed
    deletes = over if over is not None else expires is not None and expires <= now
    name, equals, _ = pair.partition(b"=")
    return (name.strip(_WHITE) if equals else b""), deletes


_DELIMITERS: Final = re.compile(rb"[\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME: Final = re.compile(rb"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?![0-9])")
_DAY: Final = re.compile(rb"([0-9]{1,2})(?![0-9])")
_YEAR: Final = re.compile(rb"([0-9]{2,4})(?![0-9])")
_MONTHS: Final = b"jan feb mar apr may jun jul aug sep oct nov dec".split()


def parse_date(text: bytes) -> float | None:
    """
    Return the seconds since the epoch of a cookie date, or None if it is none.

    The algorithm of RFC 6265bis, 5.6.1: browsers accept far more than IMF-fixdate.
    """
    time: tuple[int, int, int] | None = None
    day = month = year = None
    for token in _DELIMITERS.split(text):
        if time is None and (match := _TIME.match(token)):
            time = (int(match[1]), int(match[2]), int(match[3]))
        elif day is None and (match := _DAY.match(token)):
            day = int(match[1])
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year is None and (match := _YEAR.match(token)):
            year = int(match[1])
    if time is None or day is None or month is None or year is None:
        return None
    if year < 100:
        year += 1900 if year >= 70 else 2000
    if year < 1601:
        return None
    try:
        return datetime(year, month, day, *time, tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _grammar_problem(cookie: Cookie) -> str | None:
    if not _TOKEN.match(cookie.name) or len(cookie.name) > MAX_COOKIE:
        return "the name must be letters, digits and !#$%&'*+-.^_`|~ (RFC 6265bis, 4.1.1)"
    if not _PATH.match(cookie.path) or len(cookie.path) > 1024:
        return "path must start with '/' and hold at most 1024 printable characters, no ';'"
    domain = cookie.domain
    if domain is not None and (not _DOMAIN.match(domain) or len(domain) > 1024):
        return "domain must be a host name"
    if cookie.same_site not in ("lax", "strict", "none"):
        return "same_site must be 'lax', 'strict' or 'none'"
    return None


def _prefix_problem(cookie: Cookie) -> str | None:
    # RFC 6265bis, 4.1.3; user agents compare the prefix without regard to case.
    name = cookie.name.lower()
    if name.startswith(("__host-", "__secure-", "__http-")) and not cookie.secure:
        return "this prefix needs secure=True"
    if name.startswith("__host-") and (cookie.path != "/" or cookie.domain is not None):
        return "the __Host- prefix needs path='/' and no domain"
    if cookie.same_site == "none" and not cookie.secure:
        return "same_site='none' needs secure=True"
    if name.startswith(("__http-", "__host-http-")) and not cookie.http_only:
        return "this prefix needs http_only=True"
    if cookie.partitioned and not cookie.secure:
        return "partitioned=True needs secure=True"
    return None
