"""
Revocation by whoever holds a token (RFC 7009).
"""

from __future__ import annotations

from starlette.types import Receive, Scope

from asgi_refresh.credentials import Headers, client_of
from asgi_refresh.errors import InvalidTokenError, StoreRequiredError
from asgi_refresh.issuer import Issuer

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
        session_id = await self._session_of(came.text("token"))
        if session_id is not None:
            client = client_of(scope, headers)
            await self._rotating.end_kept(session_id, reason="revoke", client=client)
        return Answer(200)

    async def _session_of(self, token: str) -> str | None:
        raw = token.encode(errors="replace")
        try:
            return (await self._issuer.read_refresh(raw)).session_id
        except InvalidTokenError:
            pass
        try:
            access = self._issuer.read_access(raw)
        except InvalidTokenError:
            return None
        return access.session_id if self._issuer.clock() < access.expires_at else None
