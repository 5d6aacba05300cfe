"""
What all requests of one middleware share: how cookies are written, and who counts as foreign.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from math import ceil
from typing import Any, Generic, TypeVar

from starlette.types import Send

from .auth import Auth, Exchange
from .caching import Headers
from .claims import is_session_id
from .cookies import Cookie
from .credentials import Credentials
from .decide import route_path
from .events import Event
from .grants import Grant
from .intents import How
from .issuer import Issuer
from .mint import Minted
from .origins import SAFE_METHODS, refused_origin
from .sessions import Session
from .tokens import AccessToken, RefreshToken

E = TypeVar("E", bound=Exchange)
Cookies = list[tuple[bytes, bytes]]
_TOMBS = 8  # sessions that one tombstone names
_LARGE = 1900  # bytes; two of these are what nginx's default buffers hold
_LOCAL = re.compile(rb"(localhost|.*\.localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?\Z", re.IGNORECASE)


class Shell(Generic[E]):
    """What all requests of one middleware share: the issuer, and how its cookies are written."""

    def __init__(self, issuer: Issuer, exchange: Callable[[Any, Auth], E]) -> None:
        config = issuer.config
        self._new_exchange = exchange
        self.issuer = issuer
        self.access, self.refresh = config.access_cookie, config.refresh_cookie
        # Named after the access cookie, so that one search of the header finds both.
        name = f"{config.access_cookie.name}-ended"
        self.tombstone = replace(self.access, name=name, path=self.refresh.path)
        self.names = frozenset({self.access.key, self.refresh.key})
        legacy = issuer.legacy.cookie
        self.signs_in = self.names if legacy is None else self.names | {legacy.key}
        self.deletable = self.names.union(cookie.key for cookie in issuer.legacy.cookies)
        # Whether the application takes tokens itself, and asks no store.
        self.guards = issuer.profile.adopts and issuer.rotating is not None
        # The header that it takes them from, if that is one of its own.
        header = hyphens(issuer.profile.header[0])
        self.reads = header if self.guards and header != b"authorization" else None
        self._exempts = bool(config.cross_origin_exempt)
        # Whether a request may be none of the plain ones for what `looks_closer` sees.
        self.closer = self._exempts or self.reads is not None
        self._csrf = issuer.profile.csrf_cookies
        # Each cookie that may go out, and the token's cookie that it goes with.
        self.goes_with = {name: name for name in self.names}
        self.goes_with |= {cookie.key: token for token, cookie in self._csrf}
        self.goes_with |= {cookie.key: cookie.key for cookie in issuer.legacy.cookies}
        self.stateless = issuer.rotating is None
        self._buries = self.stateless or config.revocation == "refresh"
        longest = config.idle_lifetime if self.stateless else config.access_lifetime
        self._tombstone_age = ceil((longest + config.window).total_seconds())
        self._refuses = config.cross_origin == "refuse"
        self._refuses_handshakes = config.cross_origin != "allow"
        self._trusted = frozenset(origin.encode() for origin in config.trusted_origins)
        self._warned = self._warned_large = False
        directives = ", ".join(f'"{directive}"' for directive in config.clear_site_data)
        self.clearing: Headers = [(b"clear-site-data", directives.encode())] if directives else []
        # Who asks with a token in a header must not be answered with somebody else's page either.
        self.varies_on = (b"Cookie", b"Authorization") if config.bearer else (b"Cookie",)
        self.refresh_before = config.refresh_before.total_seconds()

    def auth(
        self,
        scope: MutableMapping[str, Any],
        token: AccessToken | None,
        how: How,
        cookie: bytes,
    ) -> Auth:
        """Return the `Auth` of a request that brought *cookie*."""
        auth = Auth.__new__(Auth)
        auth._token, auth._how, auth._state = token, how, 0
        auth._shell, auth._scope, auth._cookie = self, scope, cookie
        auth._intent = auth._exchange = auth._foreign = None
        return auth

    def exchange(self, auth: Auth) -> E:
        """Return the exchange of *auth*'s request, new if there is none yet."""
        exchange: E | None = auth._exchange
        if exchange is None:
            exchange = auth._exchange = self._new_exchange(self, auth)
        return exchange

    def is_exempt(self, scope: Mapping[str, Any]) -> bool:
        """Return whether our cookies are ignored on the request's path."""
        exempt = self.issuer.config.cross_origin_exempt
        return bool(exempt) and route_path(scope["path"], scope.get("root_path", "")) in exempt

    def looks_closer(self, scope: Mapping[str, Any]) -> bool:
        """Return whether the path is exempt, or a token may be in a header of the application."""
        if self._exempts and self.is_exempt(scope):
            return True
        if self.reads is None:
            return False
        if type(scope["headers"]) is not list:
            return True
        headers: Headers = scope["headers"]  # pyright: ignore[reportUnknownVariableType]
        return any(hyphens(name.lower()) == self.reads for name, _ in headers)

    def foreign_origin(
        self, scope: Mapping[str, Any], headers: Mapping[bytes, Sequence[bytes]]
    ) -> str | None:
        """Return the origin of a request that must not act with our cookies, or None."""
        websocket = scope["type"] == "websocket"
        if not websocket and (not self._refuses or scope["method"] in SAFE_METHODS):
            return None
        if websocket and not self._refuses_handshakes:
            return None
        return refused_origin(
            fetch_site=headers.get(b"sec-fetch-site", ()),
            origin=headers.get(b"origin", ()),
            host=headers.get(b"host", ()),
            trusted=self._trusted,
            websocket=websocket,
        )

    def access_cookie(self, session: Session, minted: Minted) -> Cookies:
        """Return the access cookie."""
        left = int(minted.token.expires_at - self.issuer.clock())
        age = max(1, left) if session.persistent else None
        cookies = [(self.access.key, self.access.render(minted.raw, age))]
        self._warn_large(cookies[0][1])
        return cookies + self._csrf_of(self.access, session)

    def cookies(self, grant: Grant) -> Cookies:
        """Return the cookies that hand out *grant*."""
        cookies = self.access_cookie(grant.session, grant.minted)
        if grant.refresh_token is not None:
            age = self._age_of(grant.session)
            cookies.append((self.refresh.key, self.refresh.render(grant.refresh_token, age)))
            self._warn_large(cookies[-1][1])
            cookies += self._csrf_of(self.refresh, grant.session)
        return cookies

    def _age_of(self, session: Session) -> int | None:
        left = int(session.ends_at - self.issuer.clock())
        return max(1, left) if session.persistent else None

    def _csrf_of(self, goes_with: Cookie, session: Session) -> Cookies:
        """Return what repeats a token; it outlives an access token, for the page goes on too."""
        if not self._csrf:
            return []
        value = self.issuer.profile.csrf_tokens(session.id, session.claims)[0].encode()
        age = self._age_of(session)
        return [
            (cookie.key, cookie.render(value, age))
            for token, cookie in self._csrf
            if token == goes_with.key
        ]

    def name_of(self, token: AccessToken | RefreshToken) -> bytes:
        """Return the name of the cookie that *token* comes in."""
        return (self.access if isinstance(token, AccessToken) else self.refresh).key

    def deletions(self, names: Iterable[bytes]) -> Cookies:
        """Return what deletes our cookies of *names*, and those that go with them."""
        mine = [cookie for cookie in (self.access, self.refresh) if cookie.key in names]
        mine += [cookie for token, cookie in self._csrf if token in names]
        mine += [cookie for cookie in self.issuer.legacy.cookies if cookie.key in names]
        return [(cookie.key, cookie.delete()) for cookie in mine]

    def legacy_deletions(self, came: Credentials) -> Cookies:
        """Return what deletes the cookies of an earlier system that *came*."""
        old = [cookie for cookie in self.issuer.legacy.cookies if cookie.key in came.names]
        return [(cookie.key, cookie.delete()) for cookie in old]

    def burial(self, came: Credentials, also: Collection[str] = ()) -> Cookies:
        """
        Return the tombstone of the sessions that ended, where the denylist does not know them.

        Those of an earlier one stay on it: their responses may still be on the wire.
        """
        ended = {*came.sessions, *also}
        if not self._buries or not ended:
            return []
        earlier = [name for name in came.buried if is_session_id(name) and name not in ended]
        value = "~".join([*sorted(ended), *earlier][:_TOMBS])
        return [(self.tombstone.key, self.tombstone.render(value.encode(), self._tombstone_age))]

    def _warn_large(self, line: bytes) -> None:
        """Say once that a proxy with small buffers may answer 502 in the place of this response."""
        if len(line) > _LARGE and not self._warned_large:
            self._warned_large = True
            name = line.partition(b"=")[0].decode()
            detail = f"{name}: a Set-Cookie of {len(line)} bytes; nginx takes 4096 of all headers"
            self.issuer.emit(Event("large_cookie", detail=detail))

    def warn_insecure(self, scope: Mapping[str, Any], host: Iterable[bytes]) -> None:
        """Say once that Secure cookies went out where they will not come back from."""
        if self._warned or not self.access.secure or scope.get("scheme", "http") != "http":
            return
        name = next(iter(host), b"")
        if not _LOCAL.match(name):
            self._warned = True
            detail = f"http on host {name.decode('latin-1')!a}: is the proxy's scheme passed on?"
            self.issuer.emit(Event("insecure_cookie", detail=detail))


def hyphens(name: bytes) -> bytes:
    """Return a header's *name* as WSGI has it: there the two characters are one."""
    return name.replace(b"_", b"-")


def takes_headers(scope: Mapping[str, Any]) -> bool:
    """Return whether the server knows headers on websocket.accept: ASGI 2.1 and newer."""
    if scope["type"] == "http":
        return True
    return str(scope.get("asgi", {}).get("spec_version", "2.0")) not in ("2.0", "1.0")


def refusal(origin: str) -> str:
    """Return what a refused request is told."""
    return (
        f"Refused: a request from another origin ({origin}). If that origin is yours, add it to"
        " Config(trusted_origins=...)."
    )


async def respond(
    send: Send, status: int, text: str, headers: Headers, *, prefix: str = ""
) -> None:
    """Send a whole short response in plain text that nobody keeps."""
    body = text.encode()
    start: Headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"private, no-store"),
        (b"x-content-type-options", b"nosniff"),
        *headers,
    ]
    await send({"type": f"{prefix}http.response.start", "status": status, "headers": start})
    await send({"type": f"{prefix}http.response.body", "body": body})
