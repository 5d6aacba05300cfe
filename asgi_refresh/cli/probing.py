"""
Asking a running application: every request that the doctor makes, and what was answered.

No request can change anything. What is not a GET or an OPTIONS is a POST without a body to a path
that no application has, with cookies that are no tokens. A real cookie goes out in GETs only, to
the host that it came from.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import click

from asgi_refresh.claims import parse_object
from asgi_refresh.cookies import read_set_cookie
from asgi_refresh.errors import InvalidTokenError
from asgi_refresh.signers import b64decode

FOREIGN: Final = "https://asgi-refresh-doctor.invalid"
"""An origin that is nobody's (RFC 6761, 6.4)."""
NOWHERE: Final = ".asgi-refresh-doctor"
_JUNK: Final = "no-token"
_NAMES: Final = ("__Host-access", "__Host-refresh")
_MOST: Final = 65536  # bytes of a body that are looked at
_LOCAL: Final = re.compile(r"(localhost|.*\.localhost|127\.[0-9.]+|::1)\Z", re.IGNORECASE)


class UnreachableError(Exception):
    """There is no answer; its text says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """
    What is asked.

    Attributes:
        scheme: http or https.
        host: The name or the address.
        port: The port; None is the scheme's.
        path: Of the page.
        ca: A file with the certificates to trust, or None.
        timeout: Seconds for each answer.
    """

    scheme: str
    host: str
    port: int | None
    path: str
    ca: str | None = None
    timeout: float = 10.0

    @classmethod
    def of(cls, url: str, *, ca: str | None, timeout: float) -> Target:
        """
        Return what *url* names.

        Raises:
            click.UsageError: It is no URL of a page.
        """
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            port = parts.port
        except ValueError:
            raise click.UsageError("this is no URL") from None
        path = parts.path or "/"
        printable = path.isascii() and path.isprintable() and " " not in path
        if parts.scheme not in ("http", "https") or not parts.hostname or not printable:
            raise click.UsageError("a URL is http:// or https://, a host, and perhaps a path")
        if "@" in parts.netloc:
            raise click.UsageError("no name or password in the URL: it would be in the history")
        return cls(parts.scheme, parts.hostname, port, path, ca, timeout)

    @property
    def is_local(self) -> bool:
        """Whether it is this machine, where browsers keep Secure cookies over plain http."""
        return _LOCAL.match(self.host) is not None

    @property
    def origin(self) -> str:
        """The origin of its pages, as browsers write it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"http": 80, "https": 443}[self.scheme]
        return f"{self.scheme}://{host}" + ("" if self.port in (None, usual) else f":{self.port}")

    @property
    def nowhere(self) -> str:
        """A path below that of the page which no application has."""
        return f"{self.path.rstrip('/')}/{NOWHERE}"


@dataclass(frozen=True, slots=True)
class Answer:
    """One response: what was asked, in words, and what came."""

    asked: str
    status: int
    headers: list[tuple[str, str]]
    body: bytes = field(repr=False)

    def all(self, name: str) -> list[str]:
        """Return the values of every header *name*."""
        return [value for key, value in self.headers if key.lower() == name]

    def members(self, name: str) -> set[str]:
        """Return the members of the list header *name*, in lower case."""
        return {part.strip().lower() for value in self.all(name) for part in value.split(",")}

    def get(self, name: str) -> str:
        """Return the first header *name*, or nothing."""
        return next(iter(self.all(name)), "")


@dataclass(frozen=True, slots=True)
class Visit:
    """
    What was asked and answered.

    Attributes:
        target: Who was asked.
        page: The page, as somebody who is not signed in.
        junk: The same, with cookies that are no tokens, from another origin.
        preflight: Whether another origin may POST.
        cross: A POST with such cookies from another origin, to nowhere.
        same: The same from the page's own origin.
        login: Signing in, where asked to.
        signed_in: The page with the refresh cookie and no access cookie, where there is one.
    """

    target: Target
    page: Answer
    junk: Answer
    preflight: Answer
    cross: Answer
    same: Answer
    login: Answer | None = None
    signed_in: Answer | None = None

    @property
    def answers(self) -> list[Answer]:
        """All that there are."""
        found = (self.page, self.junk, self.preflight, self.cross, self.same)
        return [*found, *(one for one in (self.login, self.signed_in) if one is not None)]


def visit(target: Target, *, login: str | None = None, body: str = "", cookies: str = "") -> Visit:
    """
    Ask everything, in order.

    Args:
        target: Who is asked.
        login: A path to POST *body* to, which signs in.
        body: JSON or a form.
        cookies: A Cookie header of somebody who is signed in.

    Raises:
        UnreachableError: One of them got no answer.
    """
    signing = None
    jar = dict(_pairs(cookies))
    if login is not None:
        kind = "application/json" if _is_json(body) else "application/x-www-form-urlencoded"
        own = {"Origin": target.origin, "Sec-Fetch-Site": "same-origin", "Content-Type": kind}
        signing = _ask(target, "POST", login, own, body=body)
        jar |= _set_by(signing)
    junk = "; ".join(f"{name}={_JUNK}" for name in dict.fromkeys((*_NAMES, *jar)))
    foreign = {"Origin": FOREIGN, "Sec-Fetch-Site": "cross-site"}
    wish = {"Access-Control-Request-Method": "POST"}
    late = "; ".join(f"{name}={value}" for name, value in jar.items() if not _is_access(value))
    return Visit(
        target,
        page=_ask(target, "GET", target.path, {}),
        junk=_ask(target, "GET", target.path, {**foreign, "Cookie": junk}),
        preflight=_ask(target, "OPTIONS", target.path, {**foreign, **wish}),
        cross=_ask(target, "POST", target.nowhere, {**foreign, "Cookie": junk}),
        # No Sec-Fetch-Site: what older browsers say, and every browser over plain http.
        same=_ask(target, "POST", target.nowhere, {"Origin": target.origin, "Cookie": junk}),
        login=signing,
        signed_in=_ask(target, "GET", target.path, {"Cookie": late}) if late else None,
    )


def _ask(
    target: Target, method: str, path: str, headers: Mapping[str, str], *, body: str = ""
) -> Answer:
    if target.scheme == "https":
        context = ssl.create_default_context(cafile=target.ca)
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            target.host, target.port, timeout=target.timeout, context=context
        )
    else:
        connection = http.client.HTTPConnection(target.host, target.port, timeout=target.timeout)
    sent = {"User-Agent": "asgi-refresh-doctor", "Accept": "*/*", "Connection": "close", **headers}
    try:
        connection.request(method, path, body.encode(errors="surrogateescape") or None, sent)
        response = connection.getresponse()
        content = response.read(_MOST)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UnreachableError(f"{method} {path}: {type(error).__name__}: {error}") from error
    finally:
        connection.close()
    origin = f" from {headers['Origin']}" if "Origin" in headers else ""
    asked = f"{method} {path}{origin}{' with cookies' if 'Cookie' in headers else ''}"
    return Answer(asked, response.status, response.getheaders(), content)


def _pairs(header: str) -> list[tuple[str, str]]:
    parts = (pair.strip().partition("=") for pair in header.replace("\n", ";").split(";"))
    return [(name, value) for name, equals, value in parts if equals]


def _set_by(answer: Answer) -> dict[str, str]:
    jar: dict[str, str] = {}
    for line in answer.all("set-cookie"):
        _, deletes = read_set_cookie(line.encode("latin-1", "replace"), now=0.0)
        name, _, value = line.partition(";")[0].partition("=")
        if not deletes:
            jar[name.strip()] = value.strip()
    return jar


def _is_access(value: str) -> bool:
    """Return whether a cookie's value is a JWT that is no refresh token: it is left out."""
    parts = value.split(".")
    if len(parts) != 3:
        return False
    try:
        return parse_object(b64decode(parts[1].encode())).get("type") != "refresh"
    except InvalidTokenError:
        return False


def _is_json(body: str) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True
