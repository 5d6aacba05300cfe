"""
What the Set-Cookie lines of an application say about it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from asgi_refresh.cookies import MAX_COOKIE, read_set_cookie

from .finding import Finding, Level
from .probing import Visit

_TOKEN: Final = re.compile(r"access|refresh|session|token|auth|jwt|sid\b", re.IGNORECASE)
_READABLE: Final = re.compile(r"csrf|xsrf", re.IGNORECASE)
_LARGE: Final = 1900  # bytes of a Set-Cookie; two of these are what nginx's default buffers hold

Attributes = Mapping[str, str]


def of_cookies(visit: Visit) -> Iterator[Finding]:
    """Yield what is wrong with the cookies that hold tokens, as it seems by their names."""
    laptop = visit.target.is_local and visit.target.scheme == "http"
    for answer in visit.answers:
        for line in filter(is_token, answer.all("set-cookie")):
            yield from _of_line(line, laptop=laptop)


def is_token(line: str) -> bool:
    """Return whether a Set-Cookie *line* hands out what may be a token."""
    name, _, value = line.partition(";")[0].partition("=")
    _, deletes = read_set_cookie(line.encode("latin-1", "replace"), now=0.0)
    if deletes or not value.strip() or _READABLE.search(name):
        return False
    return bool(_TOKEN.search(name)) or (len(value) > 60 and "." in value)


class _Rule(NamedTuple):
    """
    What a cookie should be: its finding, what is wrong with one (or nothing), why, and the fix.

    `by_choice` is what `LOCALHOST` leaves out.
    """

    name: str
    problem: Callable[[str, Attributes], str]
    why: str
    fix: str
    by_choice: bool = False


def _secure(_pair: str, attributes: Attributes) -> str:
    return "" if "secure" in attributes else "no Secure"


def _http_only(_pair: str, attributes: Attributes) -> str:
    return "" if "httponly" in attributes else "no HttpOnly"


def _prefix(pair: str, _attributes: Attributes) -> str:
    return "" if pair.lower().startswith("__host-") else "no prefix __Host-"


def _domain(_pair: str, attributes: Attributes) -> str:
    return f"Domain={attributes['domain']}" if attributes.get("domain") else ""


def _same_site(_pair: str, attributes: Attributes) -> str:
    value = attributes.get("samesite", "").lower()
    return "" if value in ("lax", "strict") else f"SameSite is {value or 'missing'}"


def _dropped(pair: str, attributes: Attributes) -> str:
    lower, secure = pair.lower(), "secure" in attributes
    if lower.startswith("__host-") and (
        not secure or attributes.get("path") != "/" or attributes.get("domain")
    ):
        return "__Host- needs Secure, Path=/ and no Domain"
    if lower.startswith("__secure-") and not secure:
        return "__Secure- needs Secure"
    if attributes.get("samesite", "").lower() == "none" and not secure:
        return "SameSite=None needs Secure"
    if len(pair) > MAX_COOKIE:
        return f"{len(pair)} bytes, and browsers keep {MAX_COOKIE}"
    return ""


_RULES: Final = (
    _Rule(
        "cookie-dropped",
        _dropped,
        "Browsers drop it without a word, so nobody stays signed in.",
        "Let `Cookie` write it, which refuses what browsers refuse.",
    ),
    _Rule(
        "cookie-not-secure",
        _secure,
        "It travels over plain http as well, where anybody on the way takes it.",
        "Cookie(…, secure=True), the default; LOCALHOST is for laptops.",
        by_choice=True,
    ),
    _Rule(
        "cookie-not-httponly",
        _http_only,
        "Any script that gets into a page reads the token and sends it away.",
        "Let RefreshMiddleware write it: HttpOnly is not a choice there.",
    ),
    _Rule(
        "cookie-no-prefix",
        _prefix,
        "Any subdomain, and whoever answers in its place by plain http, can plant a cookie of this"
        " name and so sign your visitor in as somebody else.",
        "Cookie('__Host-…'), the default: Secure, Path=/, no Domain.",
        by_choice=True,
    ),
    _Rule(
        "cookie-domain",
        _domain,
        "Every subdomain gets the token, and the weakest of them gives it away.",
        "Leave domain=None; let subdomains ask the one host, or verify access tokens by JWKS.",
    ),
    _Rule(
        "cookie-same-site",
        _same_site,
        "It goes along with requests that other sites' pages make; where it is missing, browsers"
        " differ.",
        "Cookie(…, same_site='lax'), the default; 'none' is for pages in others' frames.",
    ),
)


def _of_line(line: str, *, laptop: bool) -> Iterator[Finding]:
    pair, *rest = line.split(";")
    name = pair.partition("=")[0].strip()
    parts = (part.partition("=") for part in rest)
    attributes = {key.strip().lower(): value.strip() for key, _, value in parts}
    for rule in _RULES:
        if problem := rule.problem(pair, attributes):
            level: Level = "note" if laptop and rule.by_choice else "bad"
            yield Finding(level, rule.name, f"cookie {name}: {problem}", rule.why, rule.fix)
    if len(line) > _LARGE:
        yield Finding(
            "note",
            "cookie-large",
            f"cookie {name}: a Set-Cookie of more than {_LARGE} bytes",
            "nginx takes 4096 bytes of all headers together and answers 502 beyond.",
            "Put fewer claims into the session, or raise proxy_buffer_size.",
        )
