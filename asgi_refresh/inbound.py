"""
The request side: who is it, decided before the application runs.

Nothing is written here but what the protocol demands at once.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from functools import cache
from typing import Any

from .auth import Auth
from .cookies import replace_value
from .credentials import (
    NONE,
    Credentials,
    Headers,
    bearer_token,
    client_of,
    cookie_header,
    read_cookies,
    request_headers,
)
from .decide import Step, is_top_level_navigation, next_step
from .errors import ClaimsUnavailable, InvalidTokenError, Reason, StoreUnavailable
from .events import Event
from .exchange import Exchange
from .grants import Look
from .intents import BY_BEARER, BY_COOKIE, BY_REFRESH, PENDING, How
from .shell import Shell, refusal
from .tokens import AccessToken, RefreshToken

_NEVER_REFRESH = frozenset({"OPTIONS", "TRACE", "CONNECT"})
_OVER = frozenset({"reused_token", "session_ended", "claims_refused"})


class CrossOriginRefused(Exception):  # noqa: N818 - an answer, not a fault
    """The request comes from another origin and carries our cookies; its text says so."""


@cache
def anonymous(reason: Reason) -> How:
    """Return how a request is anonymous."""
    return How(reason=reason)


class Inbound:
    """One request on its way in."""

    def __init__(self, shell: Shell[Exchange], scope: MutableMapping[str, Any]) -> None:
        if not isinstance(scope["headers"], list | tuple):
            scope["headers"] = list(scope["headers"])  # any iterable will do (ASGI, HTTP scope)
        self._shell, self._scope, self._issuer = shell, scope, shell.issuer
        self._headers: Headers = request_headers(scope)
        self._cookie = b"" if shell.is_exempt(scope) else cookie_header(self._headers)

    async def authenticate(self) -> Auth:
        """
        Return who it is.

        Raises:
            CrossOriginRefused: The request must not reach the application.
        """
        token, why_bearer = await self._bearer()
        origin = self._shell.foreign_origin(self._scope, self._headers)
        if token is not None:
            if origin is not None:
                self._cookie = b""  # the token is asked for no origin; cookies are not acted on
            return self._with_origin(self._auth(token, BY_BEARER), origin)
        if self._shell.is_exempt(self._scope):
            return self._auth(None, anonymous("exempt_path"))
        credentials = read_cookies(self._issuer, self._cookie, self._shell.tombstone)
        if origin is not None and self._shell.names.intersection(credentials.names):
            raise self._refused(origin)
        return self._with_origin(await self._by_cookie(credentials, why_bearer), origin)

    def _with_origin(self, auth: Auth, origin: str | None) -> Auth:
        if origin is not None:
            auth._foreign = origin  # it must set and delete no cookie
        return auth

    def _refused(self, origin: str) -> CrossOriginRefused:
        text, client = refusal(origin), client_of(self._scope, self._headers)
        self._issuer.emit(Event("cross_origin", reason="request", detail=text, client=client))
        return CrossOriginRefused(text)

    async def _bearer(self) -> tuple[AccessToken | None, Reason | None]:
        raw = bearer_token(self._headers) if self._issuer.config.bearer else None
        if raw is None:
            return None, None
        try:
            token = self._issuer.read_access(raw)
        except InvalidTokenError as error:
            return None, error.reason
        return await self._in_force(token)

    async def _in_force(self, token: AccessToken) -> tuple[AccessToken | None, Reason | None]:
        """Return *token* unless it has expired or was revoked; else why not."""
        denylist = self._issuer.denylist
        if denylist is not None and self._issuer.clock() < token.expires_at:
            try:
                await denylist.update()
            except StoreUnavailable:
                return None, "store_unavailable"
            if denylist.refuses(token):
                return None, "revoked_token"
        if self._issuer.clock() >= token.expires_at:
            return None, "expired_token"
        return token, None

    async def _by_cookie(self, credentials: Credentials, why: Reason | None) -> Auth:
        issuer, access = self._issuer, credentials.access
        why = credentials.reason or why
        if access is not None:
            usable, refused = await self._in_force(access)
            if refused == "store_unavailable":
                return self._nobody(refused)
            if refused == "revoked_token":
                access, why = usable, refused
        step, off = next_step(
            access,
            credentials.refresh,
            now=issuer.clock(),
            refresh_before=self._shell.refresh_before,
            may_refresh=self._scope.get("method") not in _NEVER_REFRESH,
        )
        if step is Step.REFRESH and credentials.refresh is not None:
            return await self._refresh(credentials, access, credentials.refresh)
        if why != "ambiguous_cookies":
            why = off or why
        if step is Step.USE and access is not None:
            self._report(why, access)
            return self._auth(access, BY_COOKIE)
        return self._nobody(why or "no_credentials", credentials)

    async def _refresh(
        self,
        credentials: Credentials,
        access: AccessToken | None,
        token: RefreshToken,
    ) -> Auth:
        self._report(credentials.reason, access)
        client = client_of(self._scope, self._headers)
        try:
            look = await self._issuer.mode.look(token, client=client)
        except (InvalidTokenError, StoreUnavailable, ClaimsUnavailable) as error:
            return self._not_refreshed(credentials, access, error.reason)
        auth = self._auth(look.minted.token, BY_REFRESH)
        auth._state |= PENDING
        exchange = self._shell.exchange(auth)
        exchange.look, exchange.headers = look, self._headers
        self._pass_down(look)
        return auth

    def _not_refreshed(
        self, credentials: Credentials, access: AccessToken | None, reason: Reason
    ) -> Auth:
        alive = access is not None and self._issuer.clock() < access.expires_at
        if alive and reason not in _OVER:
            self._report(reason, access)
            return self._auth(access, BY_COOKIE)  # it is good for a while yet
        return self._nobody(reason, credentials)

    def _pass_down(self, look: Look) -> None:
        """Let code that reads the cookie itself see the new access token, in one plain header."""
        cookie = replace_value(self._cookie, self._shell.access.key, look.minted.raw)
        headers = [(n, v) for n, v in self._scope["headers"] if n.lower() != b"cookie"]
        headers.append((b"cookie", cookie))
        self._scope["headers"] = headers

    def _nobody(self, reason: Reason, credentials: Credentials = NONE) -> Auth:
        if reason != "no_credentials":
            self._report(reason, credentials.access or credentials.refresh)
        auth = self._auth(None, anonymous(reason))
        carried = self._shell.names.intersection(credentials.names)
        if reason in _OVER and carried and is_top_level_navigation(self._headers):
            auth._state |= PENDING
            self._shell.exchange(auth).dead = carried
        return auth

    def _auth(self, token: AccessToken | None, how: How) -> Auth:
        return self._shell.auth(self._scope, token, how, self._cookie)

    def _report(self, reason: Reason | None, token: AccessToken | RefreshToken | None) -> None:
        if reason is not None:
            subject = token.subject if isinstance(token, AccessToken) else None
            session_id = None if token is None else token.session_id
            client = client_of(self._scope, self._headers)
            self._issuer.emit(Event("rejected", subject, session_id, reason, client=client))
