"""
The request side: who is it, decided before the application runs.

Nothing is written here but what the protocol demands at once.
"""

from __future__ import annotations

from collections.abc import Collection, MutableMapping
from functools import cache
from typing import Any

from starlette.types import Receive

from .auth import Auth
from .cookies import drop_cookies, replace_value
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
from .decide import Step, is_top_level_navigation, next_step, route_path, sole
from .double_submit import accepts, repeated
from .errors import ClaimsUnavailable, InvalidTokenError, Reason, StoreUnavailable
from .events import Event
from .exchange import Exchange
from .intents import BY_BEARER, BY_COOKIE, BY_REFRESH, PENDING, How
from .origins import SAFE_METHODS
from .sessions import FrozenDict
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

    def __init__(
        self, shell: Shell[Exchange], scope: MutableMapping[str, Any], receive: Receive
    ) -> None:
        if not isinstance(scope["headers"], list | tuple):
            scope["headers"] = list(scope["headers"])  # any iterable will do (ASGI, HTTP scope)
        self._shell, self._scope, self._issuer = shell, scope, shell.issuer
        self.receive = receive  # what is left of the body, once it has been looked at
        self._headers: Headers = request_headers(scope)
        self._cookie = b"" if shell.is_exempt(scope) else cookie_header(self._headers)

    async def authenticate(self) -> Auth:
        """
        Return who it is.

        Raises:
            CrossOriginRefused: The request must not reach the application.
        """
        token, why_bearer = await self._bearer()
        if token is None:
            await self._drop_revoked_header()
        origin = self._shell.foreign_origin(self._scope, self._headers)
        if token is not None:
            if origin is not None:
                self._cookie = b""  # the token is asked for no origin; cookies are not acted on
            return self._with_origin(self._auth(token, BY_BEARER), origin)
        if self._shell.is_exempt(self._scope):
            return self._nobody("exempt_path")
        credentials = read_cookies(self._issuer, self._cookie, self._shell.tombstone)
        if origin is not None and self._shell.signs_in.intersection(credentials.names):
            raise self._refused("request", refusal(origin))
        return self._with_origin(await self._by_cookie(credentials, why_bearer), origin)

    def _with_origin(self, auth: Auth, origin: str | None) -> Auth:
        if origin is not None:
            auth._foreign = origin  # it must set and delete no cookie
        return auth

    def _refused(self, reason: str, text: str) -> CrossOriginRefused:
        client = client_of(self._scope, self._headers)
        self._issuer.emit(Event("cross_origin", reason=reason, detail=text, client=client))
        return CrossOriginRefused(text)

    async def _check_double_submit(self, token: AccessToken | RefreshToken) -> None:
        """Refuse an unsafe request that does not repeat the double-submit token of its session."""
        config = self._issuer.config
        if config.csrf_cookie is None or self._scope.get("method", "GET") in SAFE_METHODS:
            return
        claims = token.payload if isinstance(token, AccessToken) else FrozenDict()
        expected = self._issuer.profile.csrf_tokens(token.session_id, claims)
        presented, self.receive = await repeated(self._headers, self.receive, config)
        if not accepts(expected, presented):
            text = f"Refused: no {config.csrf_header} of this session, in the header or the form."
            raise self._refused("double_submit", text)

    async def _bearer(self) -> tuple[AccessToken | None, Reason | None]:
        raw = bearer_token(self._headers) if self._issuer.config.bearer else None
        if raw is None:
            return None, None
        try:
            token = self._issuer.read_access(raw)
        except InvalidTokenError as error:
            return None, error.reason
        return await self._in_force(token)

    async def _drop_revoked_header(self) -> None:
        """Pass down no token that was revoked, however leniently it might be looked for."""
        for value in self._headers.get(b"authorization", ()) if self._issuer.denylist else ():
            try:
                token = self._issuer.read_access(value.split()[-1])
            except (InvalidTokenError, IndexError):
                continue
            _, why = await self._in_force(token)
            if why in ("revoked_token", "store_unavailable"):
                self._pass_down(b"authorization", None)

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
                return self._nobody(refused, credentials)
            if refused == "revoked_token":
                access, why = usable, refused
        step, off = next_step(
            access,
            credentials.refresh,
            now=issuer.clock(),
            refresh_before=self._shell.refresh_before,
            may_refresh=self._may_refresh(),
        )
        if step is Step.REFRESH and credentials.refresh is not None:
            token = issuer.profile.succeed(credentials.access, credentials.refresh)
            return await self._refresh(credentials, access, token)
        if not credentials.genuine and credentials.legacy and self._may_refresh():
            return await self._by_legacy(credentials, why)
        if why != "ambiguous_cookies":
            why = off or why
        if step is Step.USE and access is not None:
            await self._check_double_submit(access)
            self._report(why, access)
            return self._auth(access, BY_COOKIE)
        return self._nobody(why or "no_credentials", credentials)

    def _may_refresh(self) -> bool:
        scope = self._scope
        method = scope.get("method", "GET")
        if method in _NEVER_REFRESH:
            return False
        path = route_path(scope["path"], scope.get("root_path", ""))
        return self._issuer.profile.may_refresh(method, path)

    async def _by_legacy(self, credentials: Credentials, why: Reason | None) -> Auth:
        """Sign in by the token of an earlier system, if that is what came."""
        read: list[RefreshToken] = []
        for raw in credentials.legacy:
            try:
                read.append(await self._issuer.legacy.read(raw))
            except (InvalidTokenError, ClaimsUnavailable) as error:
                why = error.reason
        token, off = sole(
            [token for token in read if token.session_id not in credentials.buried],
            newest=lambda token: (token.generation, token.issued_at),
        )
        if token is None:
            return self._nobody(off or why or "session_ended", credentials)
        return await self._refresh(credentials, None, token)

    async def _refresh(
        self,
        credentials: Credentials,
        access: AccessToken | None,
        token: RefreshToken,
    ) -> Auth:
        await self._check_double_submit(token)
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
        cookie = replace_value(self._cookie, self._shell.access.key, look.minted.raw)
        self._pass_down(b"cookie", cookie)
        return auth

    def _not_refreshed(
        self, credentials: Credentials, access: AccessToken | None, reason: Reason
    ) -> Auth:
        alive = access is not None and self._issuer.clock() < access.expires_at
        if alive and reason not in _OVER:
            self._report(reason, access)
            return self._auth(access, BY_COOKIE)  # it is good for a while yet
        return self._nobody(reason, credentials)

    def _pass_down(self, name: bytes, value: bytes | None) -> None:
        """Let code that reads a header itself see what was decided, in one plain header or none."""
        headers = [(n, v) for n, v in self._scope["headers"] if n.lower() != name]
        if value:
            headers.append((name, value))
        self._scope["headers"] = headers

    def _nobody(self, reason: Reason, credentials: Credentials = NONE) -> Auth:
        if reason not in ("no_credentials", "exempt_path"):
            self._report(reason, credentials.access or credentials.refresh)
        if reason != "not_refreshable":
            self._drop_refused_cookies(credentials)
        auth = self._auth(None, anonymous(reason))
        carried = self._shell.names.intersection(credentials.names)
        if reason in _OVER and carried and is_top_level_navigation(self._headers):
            auth._state |= PENDING
            self._shell.exchange(auth).dead = carried
        return auth

    def _drop_refused_cookies(self, credentials: Credentials) -> None:
        """
        Pass down no token that is genuine and not believed: who reads the cookie takes it for good.

        What is no token, or has expired, is left for the application to complain of.
        """
        header, shell = cookie_header(self._headers), self._shell
        unread = header != self._cookie or len(header) > self._issuer.config.max_cookie_header
        if unread or b'"' in header:  # others take quotes off a value
            refused: Collection[bytes] = shell.names
        else:
            now = self._issuer.clock()
            refused = {
                shell.access.key if isinstance(token, AccessToken) else shell.refresh.key
                for token in credentials.genuine
                if isinstance(token, RefreshToken) or now < token.expires_at
            }
        left = drop_cookies(header, refused)
        if left is not header:
            self._pass_down(b"cookie", left)

    def _auth(self, token: AccessToken | None, how: How) -> Auth:
        return self._shell.auth(self._scope, token, how, self._cookie)

    def _report(self, reason: Reason | None, token: AccessToken | RefreshToken | None) -> None:
        if reason is not None:
            subject = token.subject if isinstance(token, AccessToken) else None
            session_id = None if token is None else token.session_id
            client = client_of(self._scope, self._headers)
            self._issuer.emit(Event("rejected", subject, session_id, reason, client=client))
