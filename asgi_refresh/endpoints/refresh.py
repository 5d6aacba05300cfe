"""
The explicit refresh (RFC 6749, 6), in four ways of which a request uses one.
"""

from __future__ import annotations

from math import inf
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asgi_refresh.auth import Auth
from asgi_refresh.bodies import replayed
from asgi_refresh.cookies import collect
from asgi_refresh.credentials import (
    Headers,
    client_of,
    cookie_header,
    read_cookies,
    request_headers,
)
from asgi_refresh.errors import OVER, TRY_AGAIN, InvalidTokenError, Reason, StoreRequiredError
from asgi_refresh.events import Event
from asgi_refresh.grants import Tokens
from asgi_refresh.intents import SCOPE_KEY
from asgi_refresh.issuer import Issuer

from .wire import (
    Answer,
    Endpoint,
    Inner,
    Parameters,
    Refused,
    authorization,
    body,
    parameters,
    respond,
)


class InvalidGrant(InvalidTokenError):  # noqa: N818 - as RFC 6749, 5.2 calls it
    """A refresh token in a form that is not accepted."""

    code = "invalid_grant"
    status = 400


class RefreshEndpoint(Endpoint):
    """
    Exchanges a refresh token for new tokens.

    POST, with the refresh token in `Authorization: Bearer`; in a JSON body
    `{"refresh_token": …}`; in a form `grant_type=refresh_token&refresh_token=…`; or in our cookie,
    with an empty body and from our own origin. Not in two of them. Next to a body, `Authorization`
    may hold the access token that came with it: that is then refused from here on.

    Answers as RFC 6749, 5.1 and 5.2 and RFC 6750, 3 have it; one answer for every bad token. By
    cookie the new tokens are in the cookies and the body tells only how long they are good for;
    earlier access tokens are left alone, since the browser's other requests are on their way.

    Args:
        issuer: Whose tokens.
        revoke_access: Whether a refresh ends the session's earlier access tokens. None: with a
            store.

    Raises:
        StoreRequiredError: *revoke_access* without a store.
    """

    def __init__(self, issuer: Issuer, *, revoke_access: bool | None = None) -> None:
        super().__init__(issuer.mint.timeout)
        self._issuer = issuer
        stored = issuer.rotating is not None
        if revoke_access and not stored:
            raise StoreRequiredError("revoke_access=True needs a store")
        self._revoke_access = stored if revoke_access is None else revoke_access
        legacy = issuer.legacy.cookie
        self._cookies = [issuer.config.refresh_cookie.key]
        self._cookies += [] if legacy is None else [legacy.key]
        self._by_cookie = _AlwaysDue(self._tell, issuer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["method"] == "POST":
            scope = self._as_it_came(scope)
            headers = request_headers(scope)
            if collect(cookie_header(headers), self._cookies):
                await self._answer_cookie(scope, headers, receive, send)
                return
        await super().__call__(scope, receive, send)

    def _as_it_came(self, scope: Scope) -> Scope:
        """Undo that a middleware further out withholds what it refuses: it is refused here, too."""
        outer = scope.get(SCOPE_KEY)
        if not isinstance(outer, Auth) or self._cookies[0] not in outer._cookie:
            return scope
        headers = [(name, value) for name, value in scope["headers"] if name.lower() != b"cookie"]
        return {**scope, "headers": [*headers, (b"cookie", outer._cookie)]}

    async def answer(self, scope: Scope, headers: Headers, receive: Receive) -> Answer:
        """Refresh by header or body."""
        header = authorization(headers)
        came = await parameters(headers, receive, required=header is None)
        if came is None:
            if header is None:
                raise Refused(401, "invalid_request", {"www-authenticate": "Bearer"})
            token, companion = header, None
        else:
            token, companion = _presented(came), header
        revoke: str | bool = self._revoke_access
        if companion is not None and self._may_accompany(companion) and revoke:
            revoke = companion
        client = client_of(scope, headers)
        try:
            tokens = await self._issuer.refresh(token, revoke_access=revoke, client=client)
        except InvalidTokenError as error:
            if came is not None and came.is_form:
                raise InvalidGrant(reason=error.reason) from None
            raise
        return Answer(200, token_response(tokens))

    def rejected(self, scope: Scope, reason: Reason) -> None:
        """Report it."""
        client = client_of(scope, request_headers(scope))
        self._issuer.emit(Event("rejected", reason=reason, client=client))

    def _may_accompany(self, companion: str) -> bool:
        """Whether it is an access token; a second refresh token is one too many (RFC 6750, 2)."""
        raw = companion.encode()
        try:
            self._issuer.read_access(raw)
        except InvalidTokenError:
            pass
        else:
            return True
        try:
            self._issuer.profile.read_refresh(raw)
        except InvalidTokenError:
            return False  # `Bearer undefined` and the like: it grants nothing and ends nothing
        raise Refused(400, "invalid_request")

    # --- by cookie ------------------------------------------------------------------------------

    async def _answer_cookie(
        self, scope: Scope, headers: Headers, receive: Receive, send: Send
    ) -> None:
        try:
            another = authorization(headers) is not None or await body(headers, receive) != b""
        except Refused as refused:
            await respond(send, refused.answer)
            return
        if another:  # one method to a request (RFC 6750, 2)
            await respond(send, Refused(400, "invalid_request").answer)
            return
        # A middleware further out has looked at these cookies, but they were not due to it.
        inner = {name: value for name, value in scope.items() if name != SCOPE_KEY}
        empty = False

        async def forward(message: Message) -> None:
            nonlocal empty
            if message["type"] == "http.response.start" and message["status"] == 200:
                # Without new cookies nothing is refreshed: the rotation could not be written.
                empty = all(name != b"set-cookie" for name, _ in message["headers"])
            if not empty:
                await send(message)

        await self._by_cookie(inner, replayed(b"", receive), forward)
        if empty:
            bad = self._is_bad(headers)
            await respond(send, self._no_good() if bad else self._try_again())

    def _is_bad(self, headers: Headers) -> bool:
        """Whether it is the token's fault that nothing was refreshed beside a good access token."""
        tombstone = self._by_cookie.tombstone
        came = read_cookies(self._issuer, cookie_header(headers), tombstone)
        if came.access is None or came.refresh is None:
            return came.refresh is None and not came.legacy
        return not came.refresh.goes_with(came.access)

    @staticmethod
    def _no_good() -> Answer:
        challenge = {"www-authenticate": 'Bearer error="invalid_token"'}
        return Answer(401, {"error": "invalid_token"}, challenge)

    def _try_again(self) -> Answer:
        retry = {"retry-after": self._retry_after}
        return Answer(503, {"error": "temporarily_unavailable"}, retry)

    async def _tell(self, scope: Scope, _receive: Receive, send: Send) -> None:
        auth = Auth.of(scope)
        if auth.expires_at is not None:
            left = max(0, int(auth.expires_at - self._issuer.clock()))
            await respond(send, Answer(200, {"expires_in": left}))
        elif auth.reason in TRY_AGAIN:
            await respond(send, self._try_again())
        else:
            if auth.reason in OVER:
                auth.logout()  # both cookies are of no use any more
            await respond(send, self._no_good())


class _AlwaysDue(Inner):
    """Refreshes whatever is left of the access token."""

    def __init__(self, app: ASGIApp, issuer: Issuer) -> None:
        super().__init__(app, issuer)
        self._refresh_before = self._shell.refresh_before = inf
        self.tombstone = self._shell.tombstone


def _presented(came: Parameters) -> str:
    if came.is_form and came.text("grant_type") != "refresh_token":
        raise Refused(400, "unsupported_grant_type")
    return came.text("refresh_token")


def token_response(tokens: Tokens) -> dict[str, Any]:
    """Return the body that hands out *tokens* (RFC 6749, 5.1)."""
    return {
        "access_token": tokens.access_token,
        "token_type": "Bearer",
        "expires_in": tokens.expires_in,
        "refresh_token": tokens.refresh_token,
        "refresh_expires_in": tokens.refresh_expires_in,
    }
