"""
The request side: who is it, decided before the application runs.

Nothing is written here but what the protocol demands at once.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from starlette.types import Receive

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
from .decide import Step, is_top_level_navigation, next_step, route_path, sole
from .double_submit import accepts, repeated
from .errors import OVER, ClaimsUnavailable, InvalidTokenError, Reason, StoreUnavailable
from .events import Event
from .exchange import Exchange
from .intents import BY_BEARER, BY_COOKIE, BY_REFRESH, PENDING, How, anonymous
from .origins import SAFE_METHODS
from .passdown import PassDown, in_force
from .sessions import FrozenDict
from .shell import Shell, refusal
from .tokens import AccessToken, RefreshToken

_NEVER_REFRESH = frozenset({"OPTIONS", "TRACE", "CONNECT"})


class CrossOriginRefused(Exception):  # noqa: N818 - an answer, not a fault
    """The request comes from another origin and carries our cookies; its text says so."""


class Inbound:
    """
    One request on its way in.

    Args:
        shell: What all of them share.
        scope: The request's.
        receive: Its body.
        cookie: Its Cookie header, if that is known to be all that can say who it is; None: look.
        seen: An access cookie in it that has been read, and what it is: it is not read again, which
            was 18 % of a refresh where the expired one came along.
    """

    def __init__(
        self,
        shell: Shell[Exchange],
        scope: MutableMapping[str, Any],
        receive: Receive,
        cookie: bytes | None = None,
        seen: tuple[bytes, AccessToken] | None = None,
    ) -> None:
        self._shell, self._scope, self._issuer = shell, scope, shell.issuer
        self.receive = receive  # what is left of the body, once it has been looked at
        self._headers: Headers = request_headers(scope)
        self._only_cookies, self._seen = cookie is not None, seen
        split = cookie is None and len(self._headers.get(b"cookie")) > 1
        if cookie is None:
            cookie = cookie_header(self._headers)
        self._down = PassDown(shell, scope, self._headers, cookie)
        if split:
            self._down.set(b"cookie", cookie)
        self._exempt = shell.is_exempt(scope)
        self._cookie = b"" if self._exempt else cookie

    async def authenticate(self) -> Auth:
        """
        Return who it is.

        Raises:
            CrossOriginRefused: The request must not reach the application.
        """
        token, why_bearer = (None, None) if self._only_cookies else await self._bearer()
        origin = self._shell.foreign_origin(self._scope, self._headers)
        if not self._only_cookies:
            await self._down.tokens(signed_in=token is not None)
        if token is not None:
            return self._with_origin(await self._by_bearer(token, origin), origin)
        if self._exempt:
            return self._nobody("exempt_path")
        credentials = read_cookies(
            self._issuer, self._cookie, self._shell.tombstone, read_access=self._read_access
        )
        if origin is not None and self._shell.signs_in.intersection(credentials.names):
            raise self._refused("request", refusal(origin))
        return self._with_origin(await self._by_cookie(credentials, why_bearer), origin)

    def _read_access(self, raw: bytes) -> AccessToken:
        seen = self._seen
        return seen[1] if seen is not None and seen[0] == raw else self._issuer.read_access(raw)

    def _with_origin(self, auth: Auth, origin: str | None) -> Auth:
        if origin is not None:
            auth._foreign = origin  # it must set and delete no cookie
        return auth

    def _refused(self, reason: str, text: str) -> CrossOriginRefused:
        client = client_of(self._scope, self._headers)
        self._issuer.emit(Event("cross_origin", reason=reason, detail=text, client=client))
        return CrossOriginRefused(text)

    async def _check_double_submit(self, token: AccessToken) -> None:
        """Refuse an unsafe request that does not repeat the double-submit token of its session."""
        config = self._issuer.config
        if config.csrf_cookie is None or self._scope.get("method", "GET") in SAFE_METHODS:
            return
        expected = self._issuer.profile.csrf_tokens(token.session_id, token.payload)
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
        return await in_force(self._issuer, token)

    async def _by_bearer(self, token: AccessToken, origin: str | None) -> Auth:
        if self._shell.guards and self._cookie:
            came = read_cookies(self._issuer, self._cookie, self._shell.tombstone)
            self._down.cookies({self._shell.refresh.key: await self._vouched(came)})
        elif self._exempt:
            self._down.cookies({})
        if origin is not None:
            self._cookie = b""  # the token is asked for no origin; cookies are not acted on
        return self._auth(token, BY_BEARER)

    async def _by_cookie(self, credentials: Credentials, why: Reason | None) -> Auth:
        issuer, access = self._issuer, credentials.access
        why = credentials.reason or why
        if access is not None:
            usable, refused = await in_force(self._issuer, access)
            if refused == "store_unavailable":
                return self._nobody(refused, credentials)
            if refused == "revoked_token":
                access, why = usable, refused
        step, off = next_step(
            access,
            credentials.refresh,
            now=issuer.clock(),
            refresh_before=self._shell.refresh_before,
            may_refresh=self._may_refresh(access),
        )
        if step is Step.REFRESH and credentials.refresh is not None:
            token = issuer.profile.succeed(access, credentials.refresh)
            return await self._refresh(credentials, access, token)
        legacy = credentials.legacy and credentials.refresh is None and self._may_refresh(None)
        if step is Step.ANONYMOUS and legacy:
            return await self._by_legacy(credentials, why)
        if why != "ambiguous_cookies":
            why = off or why
        if step is Step.USE and access is not None:
            return await self._use(credentials, access, why)
        reason = why or "no_credentials"
        refresh = await self._vouched(credentials) if reason == "not_refreshable" else None
        return self._nobody(reason, credentials, refresh)

    async def _use(self, credentials: Credentials, access: AccessToken, why: Reason | None) -> Auth:
        await self._check_double_submit(access)
        of_two = self._shell.guards and why == "session_mismatch"
        refresh = None if of_two else await self._vouched(credentials)
        if self._shell.guards and refresh is None:  # a look may have ended the session
            _, refused = await in_force(self._issuer, access)
            if refused is not None:
                return self._nobody(refused, credentials)
        if self._shell.guards and refresh is not None and credentials.refresh is not None:
            # An access token that the application issued names no session; it came with one.
            payload = {**access.payload, "sid": credentials.refresh.session_id}
            access = AccessToken(FrozenDict(payload))
        self._report(why, access)
        names = self._shell
        raw = credentials.raw.get(names.access.key)
        self._down.cookies({names.access.key: raw, names.refresh.key: refresh})
        return self._auth(access, BY_COOKIE)

    async def _vouched(self, credentials: Credentials) -> bytes | None:
        """Return what may be passed down as the refresh cookie."""
        token = credentials.refresh
        if token is None or await self._down.vouches(token):
            return credentials.raw.get(self._shell.refresh.key)
        return None

    def _may_refresh(self, access: AccessToken | None) -> bool:
        scope = self._scope
        method = scope.get("method", "GET")
        if method in _NEVER_REFRESH:
            return False
        path = route_path(scope["path"], scope.get("root_path", ""))
        return self._issuer.profile.may_refresh(method, path, access)

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
        return await self._refresh(credentials._replace(legacy=()), None, token)

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
            if error.reason in OVER and credentials.legacy:
                return await self._by_legacy(credentials, error.reason)
            return self._not_refreshed(credentials, access, error.reason)
        # Not before: tokens of a dead session refuse no sign-in.
        await self._check_double_submit(look.minted.token)
        auth = self._auth(look.minted.token, BY_REFRESH)
        auth._state = PENDING
        exchange = self._shell.exchange(auth)
        exchange.look, exchange._client = look, client
        refresh, access_name = self._shell.refresh.key, self._shell.access.key
        keep = {refresh: credentials.raw.get(refresh)}
        cookie = replace_value(self._cookie, access_name, look.minted.raw, keep)
        self._down.set(b"cookie", cookie)
        return auth

    def _not_refreshed(
        self, credentials: Credentials, access: AccessToken | None, reason: Reason
    ) -> Auth:
        alive = access is not None and self._issuer.clock() < access.expires_at
        if alive and reason not in OVER:
            self._report(reason, access)
            names, guards = self._shell, self._shell.guards
            raw = credentials.raw
            refresh = None if guards else raw.get(names.refresh.key)
            self._down.cookies(
                {names.access.key: raw.get(names.access.key), names.refresh.key: refresh}
            )
            return self._auth(access, BY_COOKIE)  # it is good for a while yet
        return self._nobody(reason, credentials)

    def _nobody(
        self, reason: Reason, credentials: Credentials = NONE, refresh: bytes | None = None
    ) -> Auth:
        if reason not in ("no_credentials", "exempt_path"):
            self._report(reason, credentials.access or credentials.refresh)
        shell, access = self._shell, credentials.access
        over = access is None or self._issuer.clock() >= access.expires_at
        if credentials.refresh is None:
            refresh = credentials.raw.get(shell.refresh.key)
        raw = credentials.raw.get(shell.access.key) if over else None
        self._down.cookies({shell.access.key: raw, shell.refresh.key: refresh})
        auth = self._auth(None, anonymous(reason))
        carried = shell.deletable.intersection(credentials.names)
        if reason in OVER and carried and is_top_level_navigation(self._headers):
            auth._state = PENDING
            shell.exchange(auth).dead = carried
        return auth

    def _auth(self, token: AccessToken | None, how: How) -> Auth:
        return self._shell.auth(self._scope, token, how, self._cookie)

    def _report(self, reason: Reason | None, token: AccessToken | RefreshToken | None) -> None:
        if reason is not None:
            subject = token.subject if isinstance(token, AccessToken) else None
            session_id = None if token is None else token.session_id
            client = client_of(self._scope, self._headers)
            self._issuer.emit(Event("rejected", subject, session_id, reason, client=client))
