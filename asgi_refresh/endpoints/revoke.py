"""
Revocation by whoever holds a token (RFC 7009).
"""

from __future__ import annotations

from starlette.types import Receive, Scope

from asgi_refresh.credentials import Headers, client_of
from asgi_refresh.errors import InvalidTokenError, StoreRequiredError
from asgi_refresh.issuer import Issuer
from asgi_refresh.tokens import AccessToken, RefreshToken

from .wire import Answer, Endpoint, Refused, parameters


class RevokeEndpoint(Endpoint):
    """
    Ends the session of a token: for apps and SDKs that sign out.

    POST, with `token` in a form (RFC 7009, 2.1) or a JSON body: a refresh token, or an access
    token that has not expired. 200 with nothing, whatever the token was.

    Args:
        issuer: Whose tokens.

    Raises:
        StoreRequiredError: Without a store nothing can be revoked.
    """

    def __init__(self, issuer: Issuer) -> None:
        super().__init__(issuer.mint.timeout)
        if issuer.rotating is None:
            raise StoreRequiredError("RevokeEndpoint needs a store")
        self._issuer, self._rotating = issuer, issuer.rotating

    async def answer(self, scope: Scope, headers: Headers, receive: Receive) -> Answer:
        """Revoke."""
        came = await parameters(headers, receive, required=True)
        if came is None:
            raise Refused(400, "invalid_request")
        token = await self._read(came.text("token"))
        if token is not None:
            client = client_of(scope, headers)
            lasts = token.expires_at if isinstance(token, AccessToken) else 0.0
            await self._rotating.end_kept(
                token.session_id, reason="revoke", client=client, lasts=lasts
            )
        return Answer(200)

    async def _read(self, token: str) -> AccessToken | RefreshToken | None:
        raw = token.encode(errors="replace")
        try:
            return await self._issuer.read_refresh(raw)
        except InvalidTokenError:
            pass
        try:
            access = self._issuer.read_access(raw)
        except InvalidTokenError:
            return None
        return access if self._issuer.clock() < access.expires_at else None
