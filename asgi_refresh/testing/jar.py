"""
The standard library's cookie jar, kept as browsers keep theirs.

Every client that is worth supporting has one somewhere: httpx, httpx2, Quart, and ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from email.message import Message
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from typing import Any, Final, cast
from urllib.request import Request

from asgi_refresh.cookies import MAX_COOKIE

# In memory nobody listens: as browsers see localhost.
_SECURE: Final = ("https", "wss", "http", "ws")


class _Policy(DefaultCookiePolicy):
    """What browsers ask beside what the standard library does (RFC 6265bis, 5.7)."""

    def set_ok(self, cookie: Cookie, request: Request) -> bool:
        """Return whether a browser would keep *cookie*."""
        if len(cookie.name) + len(cookie.value or "") > MAX_COOKIE:
            return False
        name = cookie.name.lower()
        if name.startswith(("__host-", "__secure-")) and not cookie.secure:
            return False
        # A path that is not given may happen to be "/"; browsers want it given.
        bare = cookie.domain_specified or not cookie.path_specified
        if name.startswith("__host-") and (cookie.path != "/" or bare):
            return False
        return super().set_ok(cookie, request)


class _Answer:
    """What `CookieJar.extract_cookies` reads."""

    def __init__(self, line: str) -> None:
        self._message = Message()
        self._message["Set-Cookie"] = line

    def info(self) -> Message:
        """Return the headers."""
        return self._message


def new_jar() -> CookieJar:
    """Return an empty jar."""
    return CookieJar(_Policy(secure_protocols=_SECURE))


def deliver(jar: CookieJar, url: str, lines: Iterable[str]) -> None:
    """Put into *jar* what a response from *url* sets with the Set-Cookie *lines*."""
    request = Request(url)  # noqa: S310 - nothing is opened
    for line in lines:  # one by one, because the jar deletes before it sets
        jar.extract_cookies(cast("Any", _Answer(line)), request)


def header(jar: CookieJar, url: str) -> str | None:
    """Return the Cookie header of a request to *url*, or None without cookies."""
    request = Request(url)  # noqa: S310 - nothing is opened
    jar.add_cookie_header(request)
    return request.get_header("Cookie")


def value(jar: CookieJar, name: str) -> str | None:
    """Return the value of cookie *name*, wherever it is for, or None."""
    jar.clear_expired_cookies()
    return next((cookie.value for cookie in jar if cookie.name == name), None)


def elapse(jar: CookieJar, seconds: float) -> None:
    """Let *seconds* go by for what is in *jar*."""
    for cookie in jar:
        if cookie.expires is not None:
            cookie.expires -= seconds  # type: ignore[assignment]  # only ever compared
    jar.clear_expired_cookies()
