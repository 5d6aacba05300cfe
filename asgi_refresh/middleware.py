"""
`RefreshMiddleware`: one thin shell around any ASGI application.

A request whose access token was seen before goes straight through; everything else takes the
careful way (`inbound`), and what must be written is written when the response starts (`exchange`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .auth import Auth
from .caching import Headers
from .cookies import sole_value
from .credentials import is_garbage
from .decide import is_below, route_path
from .errors import ConfigurationError, InvalidTokenError
from .exchange import Exchange
from .inbound import CrossOriginRefused, Inbound
from .intents import BY_COOKIE, NOBODY, PENDING, READ, REPLACED, SCOPE_KEY, STARTED
from .issuer import Issuer
from .origins import SAFE_METHODS
from .passdown import replaced
from .shell import Shell, respond
from .tokens import AccessToken
from .turned_away import TurnedAway


class RefreshMiddleware:
    """
    Puts an `Auth` into the scope of every request and keeps its cookies fresh.

    Args:
        app: The application.
        issuer: Whose tokens.
        endpoints: Applications for exact paths, answered before any cookie is read.
        scope_key: Where the `Auth` is put.
        starlette: Also put it where Starlette has `request.auth` and `request.user`. False for
            Django with Channels, which has its own user there.
    """

    def __init__(
        self,
        app: ASGIApp,
        issuer: Issuer,
        *,
        endpoints: Mapping[str, ASGIApp] | None = None,
        scope_key: str = SCOPE_KEY,
        starlette: bool = True,
    ) -> None:
        for path in endpoints or ():
            if not path.startswith("/"):
                raise ConfigurationError(f"an endpoint's path starts with '/': {path!r}")
        config = issuer.config
        self.app, self.issuer = app, issuer
        self._shell = Shell(issuer, Exchange)
        self._endpoints = dict(endpoints or {})
        self._exclude = tuple(config.exclude)
        # Any of these, and a path is looked at before anything else.
        self._routed = bool(self._endpoints or self._exclude)
        self._key, self._starlette = scope_key, starlette
        # What every request asks, at hand.
        self._clock, self._cache, self._denylist = issuer.clock, issuer.cache, issuer.denylist
        self._access_name = config.access_cookie.key
        self._names = tuple(self._shell.signs_in)
        self._others = tuple(self._shell.signs_in - {self._access_name})
        self._refresh_name = config.refresh_cookie.key
        self._asks_token = config.csrf_cookie is not None
        self._guards, self._closer = self._shell.guards, self._shell.closer
        self._most = config.max_cookie_header
        self._refresh_before = self._shell.refresh_before
        self._vary = (b"vary", b", ".join(self._shell.varies_on))
        self._begin: _Start = self._start

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or let the application do it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        if self._routed or self._key in scope:
            app = self._elsewhere(scope)
            if app is not None:
                await app(scope, receive, send)
                return
        auth = self._known(scope, receive)
        if not isinstance(auth, Auth):
            # The cookie is in an object and in no frame: reports of crashes show what frames hold.
            inbound = auth
            try:
                auth = await inbound.authenticate()
            except CrossOriginRefused as refused:
                await _refuse(scope, receive, send, str(refused))
                return
            receive = inbound.receive
        scope[self._key] = auth
        if self._starlette:
            scope["auth"] = scope["user"] = auth

        def forward(
            message: Message, send: Send = send, auth: Auth = auth, start: _Start = self._begin
        ) -> Any:
            # A plain function that returns a coroutine: one frame less on every message.
            if message["type"] in _STARTS:
                return start(message, send, auth)
            return send(message) if auth._state < REPLACED else _dropped()

        try:
            await self.app(scope, receive, forward)
        finally:
            if auth._state & PENDING:
                await self._shell.exchange(auth).finish()
            auth._scope = None  # the scope holds the auth: no circle for the collector

    def _known(self, scope: Scope, receive: Receive) -> Auth | Inbound | TurnedAway:
        """
        Return the `Auth` of a plain request: with one good access cookie, or nothing of ours.

        Else what finds out who it is, with the Cookie header if nothing else can say. Nothing is
        decided here that `Inbound` would decide otherwise.
        """
        headers: Headers = scope["headers"]
        plain = type(headers) is list and scope["type"] == "http"
        cookie = _only_cookies(scope, headers, self._most) if plain else None
        if cookie is None or (self._closer and self._shell.looks_closer(scope)):
            return Inbound(self._shell, scope, receive)
        value = sole_value(cookie, self._access_name)
        token, how = None, NOBODY
        if value is None:
            careful = _holds(cookie, self._names)
        else:
            token, how = self._cache.young.get(value), BY_COOKIE
            if token is None:
                found = self._first_sight(scope, receive, cookie, value)
                if not isinstance(found, AccessToken):
                    return found
                token = found
            careful = not self._is_good(token) or (self._guards and self._refresh_name in cookie)
        if careful or not (scope["method"] in SAFE_METHODS or self._is_ours(headers)):
            return Inbound(self._shell, scope, receive, cookie)
        auth = _new(Auth)  # as `Shell.auth` makes it, without the call
        auth._token, auth._how, auth._state = token, how, 0
        auth._shell, auth._scope, auth._cookie = self._shell, scope, cookie
        return auth

    def _first_sight(
        self, scope: Scope, receive: Receive, cookie: bytes, raw: bytes
    ) -> AccessToken | Inbound | TurnedAway:
        try:
            return self.issuer.read_access(raw)
        except InvalidTokenError as error:
            alone = is_garbage(raw) and not _holds(cookie, self._others)
            if alone and scope["method"] in SAFE_METHODS:
                return TurnedAway(self._shell, scope, receive, cookie, error.reason)
            return Inbound(self._shell, scope, receive, cookie)

    def _is_ours(self, headers: Headers) -> bool:
        """Return whether an unsafe request may plainly act with its cookies."""
        return not self._asks_token and _is_same_origin(headers)

    def _is_good(self, token: AccessToken) -> bool:
        """Return whether *token* is neither due nor, by what is known at hand, revoked."""
        now, denylist = self._clock(), self._denylist
        return token.expires_at - now > self._refresh_before and (
            denylist is None
            or (
                denylist.good_from <= now < denylist.good_until
                and token.session_id not in denylist.by_session
            )
        )

    def _elsewhere(self, scope: Scope) -> ASGIApp | None:
        """Return the application for a request that is not this middleware's to look at."""
        path = route_path(scope["path"], scope.get("root_path", ""))
        endpoint = self._endpoints.get(path)
        if endpoint is not None:
            return endpoint
        if is_below(path, self._exclude):
            return self.app
        outer = scope.get(self._key)
        if isinstance(outer, Auth) and outer._shell.refresh == self._shell.refresh:
            return self.app  # the same middleware further out has done it
        return None

    def _start(self, message: Message, send: Send, auth: Auth) -> Any:
        """Return the coroutine that sends the start of a response."""
        state = auth._state
        if (
            state <= READ
            and type(message.get("headers")) is list
            and message.get("status", 0) >= 200
        ):
            headers: Headers = message["headers"]
            for name, _ in headers:
                if len(name) in _LENGTHS and name.lower() in _LOOKED_AT:
                    break
            else:
                auth._state = state | STARTED
                if state:
                    message = {**message, "headers": [*headers, self._vary]}
                return send(message)
        if state & STARTED or auth._scope is None:
            return _dropped() if state & REPLACED else send(message)
        return self._shell.exchange(auth).start(message, send)


_new = Auth.__new__
_Start = Callable[[Message, Send, Auth], Any]
_STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
_LOOKED_AT = frozenset({b"set-cookie", b"vary"})
_LENGTHS = frozenset(map(len, _LOOKED_AT))
# The size of a name tells most headers apart in one look: 4 % of the hot path.
_TELLING_LENGTHS = frozenset(map(len, (b"cookie", b"authorization")))


def _only_cookies(scope: Scope, headers: Headers, most: int) -> bytes | None:
    """
    Return the Cookie header; None if more than *most* bytes or another says who it is.

    One that came split goes on in one piece: some frameworks read the first part only.
    """
    cookie, pieces = b"", 0
    for name, field in headers:
        if len(name) in _TELLING_LENGTHS:
            name = name.lower()  # noqa: PLW2901
            if name == b"cookie":
                cookie = cookie + b"; " + field if pieces else field
                pieces += 1
                if len(cookie) > most:
                    return None
            elif name == b"authorization":
                return None
    if pieces > 1:
        scope["headers"] = replaced(headers, b"cookie", cookie)
    return cookie


def _holds(cookie: bytes, names: Iterable[bytes]) -> bool:
    # A loop: any() of a generator costs a tenth of the path without a cookie of ours.
    for name in names:  # noqa: SIM110
        if name in cookie:
            return True
    return False


def _is_same_origin(headers: Headers) -> bool:
    """Return whether the browser says so, plainly; if not, it is looked at more closely."""
    said = [(name.lower(), value) for name, value in headers if len(name) in _ORIGIN_LENGTHS]
    names = [name for name, _ in said]
    return (
        (b"sec-fetch-site", b"same-origin") in said
        and names.count(b"sec-fetch-site") == 1
        and names.count(b"origin") <= 1
        and names.count(b"host") <= 1
    )


_ORIGIN_LENGTHS = frozenset(map(len, (b"sec-fetch-site", b"origin", b"host")))


async def _dropped() -> None:
    """Drop a message of an application that was answered for."""


async def _refuse(scope: Scope, receive: Receive, send: Send, text: str) -> None:
    """Answer 403; to a WebSocket handshake with a body where the server can."""
    if scope["type"] == "http":
        await respond(send, 403, text, [])
    elif "websocket.http.response" in (scope.get("extensions") or {}):
        await respond(send, 403, text, [], prefix="websocket.")
    else:
        await receive()  # websocket.connect comes before anything may be sent
        await send({"type": "websocket.close", "code": 1008, "reason": "cross-origin"})
