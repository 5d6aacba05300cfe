"""
`VerifierMiddleware`: for a service that reads access tokens and issues none.
"""

from __future__ import annotations

from typing import cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .auth import Auth, Shell
from .caching import vary_on
from .cookies import collect
from .credentials import Headers, bearer_token, cookie_header, newest_access, request_headers
from .decide import sole
from .errors import InvalidTokenError, KeysUnavailable, Reason
from .intents import BY_BEARER, BY_COOKIE, NOBODY, READ, SCOPE_KEY, How
from .tokens import AccessToken
from .verifier import Verifier


class VerifierMiddleware:
    """
    Puts an `Auth` into the scope of every request, from a bearer token or the access cookie.

    It sets no cookie, refreshes nothing and refuses nothing; `login()` and `logout()` raise. A
    service that changes things by cookie needs a cross-origin check of its own.

    Args:
        app: The application.
        verifier: Who knows the keys.
        cookie: The name of the access cookie; None: only bearer tokens.
        max_cookie_header: Bytes; a request with more is anonymous before anything is parsed.
        bearer: Also take `Authorization: Bearer <access token>`. A good one wins.
        scope_key: Where the `Auth` is put.
        starlette: Also put it where Starlette has `request.auth` and `request.user`.
    """

    def __init__(
        self,
        app: ASGIApp,
        verifier: Verifier,
        *,
        cookie: str | None = None,
        bearer: bool = True,
        max_cookie_header: int = 16 * 1024,
        scope_key: str = SCOPE_KEY,
        starlette: bool = True,
    ) -> None:
        self.app, self.issuer = app, verifier
        self._name = None if cookie is None else cookie.encode()
        self._bearer, self._key, self._starlette = bearer, scope_key, starlette
        self._most = max_cookie_header
        looked_at = ((b"Cookie", cookie is not None), (b"Authorization", bearer))
        self._varies_on = [name for name, looked in looked_at if looked]
        self.refresh = None  # no cookie of ours: a `RefreshMiddleware` behind does its own work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Say who the request is, and let the application answer it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        auth = await self._authenticate(request_headers(scope))
        scope[self._key] = auth
        if self._starlette:
            scope["auth"] = scope["user"] = auth

        async def forward(message: Message) -> None:
            if message["type"] == "http.response.start" and auth._state & READ:
                headers = vary_on(list(message.get("headers") or ()), self._varies_on)
                message = {**message, "headers": headers}
            await send(message)

        await self.app(scope, receive, forward)

    async def _authenticate(self, headers: Headers) -> Auth:
        reason: Reason | None = None
        raw = bearer_token(headers) if self._bearer else None
        if raw is not None:
            token, reason = await self._read(raw)
            if token is not None:
                return self._auth(token, BY_BEARER)
        if self._name is not None:
            header = cookie_header(headers)
            if len(header) > self._most:
                return self._auth(None, How(reason="oversize_cookies"))
            values = collect(header, (self._name,)).get(self._name, ())
            read = [await self._read(value) for value in values]
            good = [token for token, _ in read if token is not None]
            sure, off = sole(good, newest=newest_access)
            if sure is not None:
                return self._auth(sure, BY_COOKIE)
            reason = off or (read[0][1] if read else reason)
        return self._auth(None, NOBODY if reason is None else How(reason=reason))

    async def _read(self, raw: bytes) -> tuple[AccessToken | None, Reason | None]:
        try:
            token = await self.issuer.read(raw)
        except (InvalidTokenError, KeysUnavailable) as error:
            return None, error.reason
        return (token, None) if self.issuer.clock() < token.expires_at else (None, "expired_token")

    def _auth(self, token: AccessToken | None, how: How) -> Auth:
        auth = Auth.__new__(Auth)
        auth._token, auth._how, auth._state = token, how, 0
        auth._shell, auth._scope = cast("Shell", self), None
        return auth
