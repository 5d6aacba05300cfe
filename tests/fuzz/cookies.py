"""
The readers of cookies, against readers written otherwise.

An input is one letter and a text: `C` a Cookie header, `S` a Set-Cookie value, `D` a cookie date.
"""

from __future__ import annotations

import re
from email.utils import formatdate

from asgi_refresh import cookies

from .engine import Target

NAME, OTHER, TOMB = b"at", b"rt", b"at-ended"
NAMES = (NAME, OTHER, TOMB)
VALUE = b"new.value"
NOW = 1_800_000_000.0
_FIRST, _LAST = -11_644_473_600, 253_402_300_799  # the years 1601 and 9999
# One pair of a header, read by an expression instead of by `split` and `partition`.
_PAIR = {
    name: re.compile(
        rb"(?:\A|;)[ \t]*%b[ \t]*=[ \t]*([^;]*?)[ \t]*(?=;|\Z)" % re.escape(name), re.DOTALL
    )
    for name in NAMES
}

_AGES = [
    (b";Max-Age=0", True),
    (b"; max-age=1", False),
    (b"; MAX-AGE = -9 ", True),
    (b";max-age=" + b"9" * 5000, False),
]
_DATES = [
    (b"; expires=" + formatdate(when, usegmt=True).encode(), when <= NOW)
    for when in (NOW - 1, NOW, NOW + 1)
]


def target(data: bytes) -> None:
    """Raise where a reader of cookies breaks its word."""
    kind, text = data[:1], data[1:]
    if kind == b"S":
        set_cookie(text)
    elif kind == b"D":
        date(text)
    else:
        header(text)


def header(text: bytes) -> None:
    found = cookies.collect(text, NAMES)
    for name in NAMES:
        if name in text or name in found:
            seen = list(dict.fromkeys(_PAIR[name].findall(text)))[:4]
            assert found.get(name, []) == seen, "collect reads what stands there"
    sole = cookies.sole_value(text, NAME)
    if sole is not None:
        assert sole in text, "a value is part of the header"
        assert found.get(NAME) == [sole.strip(b" \t")], "sole_value agrees with collect"
    elif text.count(NAME) == 1 and (text.startswith(b"at=") or b"; at=" in text):
        raise AssertionError("sole_value sees a cookie that plainly stands there once")
    others = [pair for pair in pairs(text) if lenient(pair) != NAME]
    dropped = cookies.keep_only(text, {NAME: None})
    assert pairs(dropped) == others, "keep_only drops this name and nothing else"
    if NAME not in text:
        assert dropped is text, "a header without the name is left as it is"
    first = found.get(NAME, [None])[0]
    kept = cookies.keep_only(text, {NAME: first})
    assert cookies.collect(kept, NAMES).get(NAME, [None]) == [first], "what is kept stands alone"
    assert [pair for pair in pairs(kept) if lenient(pair) != NAME] == others
    assert len(pairs(kept)) <= len(others) + 1, "and once"
    replaced = cookies.replace_value(text, NAME, VALUE)
    assert pairs(replaced) == [*others, NAME + b"=" + VALUE], "replace_value leaves the others"
    found[NAME] = [VALUE]
    assert cookies.collect(replaced, NAMES) == found, "what was replaced is read"
    bare = cookies.keep_only(text, dict.fromkeys(NAMES))
    assert not cookies.collect(bare, NAMES), "keep_only leaves no name"
    read_leniently = {name.decode("latin-1") for name in NAMES}
    left = {pair.partition("=")[0].strip() for pair in bare.decode("latin-1").split(";")}
    assert left.isdisjoint(read_leniently), "not for a reader that strips as str does either"
    assert len(bare) <= len(text)


def set_cookie(text: bytes) -> None:
    name, deletes = cookies.read_set_cookie(text, now=NOW)
    assert name == (name_of(text) if b"=" in text.partition(b";")[0] else b""), "the name"
    assert type(deletes) is bool
    attribute, verdict = _AGES[len(text) % len(_AGES)]
    said = cookies.read_set_cookie(text + attribute, now=NOW)
    assert said == (name, verdict), "the last Max-Age wins"
    if b"max-age" not in text.lower():
        attribute, verdict = _DATES[len(text) % len(_DATES)]
        said = cookies.read_set_cookie(text + attribute, now=NOW)
        assert said == (name, verdict), "the last Expires wins"


def date(text: bytes) -> None:
    when = cookies.parse_date(text)
    if when is not None:
        assert _FIRST <= when <= _LAST, "a date of our era"
        again = formatdate(when, usegmt=True).encode()
        assert cookies.parse_date(again) == when, "a date is read back"
        assert cookies.parse_date(b"\t" + text + b" ;") == when, "delimiters are nothing"


def pairs(text: bytes) -> list[bytes]:
    return [pair for part in text.split(b";") if (pair := part.strip(b" \t"))]


def name_of(pair: bytes) -> bytes:
    return pair.partition(b";")[0].partition(b"=")[0].strip(b" \t")


def lenient(pair: bytes) -> bytes:
    """The name as Python's str.strip() leaves it."""
    return pair.partition(b"=")[0].decode("latin-1").strip().encode("latin-1")


TARGET = Target(
    "cookies",
    target,
    separators=[b";", b"; ", b"=", b" ", b"-", b":"],
    pieces=(re.compile(rb"[^;= \t:-]+"), re.compile(rb"[^;]+")),
    most=512,
    execution="one header, through collect (3 times), sole_value, keep_only (3) and"
    " replace_value; or one Set-Cookie through read_set_cookie 2 or 3 times; or one date through"
    " parse_date 1 or 3 times",
)
