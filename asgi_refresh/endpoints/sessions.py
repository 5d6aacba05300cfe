"""
The signed-in user's own sessions: this one, the others, and their end.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from asgi_refresh.auth import Auth
from asgi_refresh.credentials import Headers
from asgi_refresh.errors import StoreRequiredError, challenge
from asgi_refresh.issuer import Issuer

from .wire import Answer, Endpoint, Inner, Refused, parameters


class SignedInEndpoint(Endpoint):
    """
    An endpoint for whoever the cookies or the bearer token sign in, refreshed as anywhere.

    Args:
        issuer: Whose tokens.
    """

    def __init__(self, issuer: Issuer) -> None:
        super().__init__(issuer.mint.timeout)
        self.issuer = issuer
        self._around = Inner(super().__call__, issuer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, behind a middleware: one further out has done its work."""
        await self._around(scope, receive, send)

    def signed_in(self, scope: Scope) -> Auth:
        """Return who is signed in; nobody is a refusal."""
        auth = Auth.of(scope)
        if auth:
            return auth
        said = challenge(auth.reason)
        if said is None:
            retry = {"retry-after": self._retry_after}
            raise Refused(503, "temporarily_unavailable", retry)
        error = "invalid_token" if "error" in said else "invalid_request"
        raise Refused(401, error, {"www-authenticate": said})


class SessionEndpoint(SignedInEndpoint):
    """
    Tells a page who is signed in, and until when: scripts cannot read HttpOnly cookies.

    GET: 200 with `subject`, `session_id`, `expires_at` (of the access token; the session goes on)
    and `auth_time`, in seconds since the epoch; 401 for nobody.
    """

    methods = ("GET", "HEAD")

    async def answer(self, scope: Scope, headers: Headers, receive: Receive) -> Answer:  # noqa: ARG002
        """Tell."""
        auth = self.signed_in(scope)
        payload = auth.payload or {}
        told = {
            "subject": auth.subject,
            "session_id": auth.session_id,
            "expires_at": auth.expires_at,
            "auth_time": payload.get("auth_time"),
        }
        return Answer(200, told)


class SessionsEndpoint(SignedInEndpoint):
    """
    Lists the user's sessions, and ends them.

    GET: 200 with `sessions`, each with `id`, `device`, `created_at`, `last_seen` and `current`.
    DELETE with `?id=…`: 204, or 404 if it is none of theirs. DELETE without: all but this one.

    Raises:
        StoreRequiredError: Without a store there is no list.
    """

    methods = ("GET", "HEAD", "DELETE")

    def __init__(self, issuer: Issuer) -> None:
        super().__init__(issuer)
        if issuer.rotating is None:
            raise StoreRequiredError("SessionsEndpoint needs a store")

    async def answer(self, scope: Scope, headers: Headers, receive: Receive) -> Answer:  # noqa: ARG002
        """List or end."""
        auth = self.signed_in(scope)
        subject, current = auth.subject or "", auth.session_id or ""
        if scope["method"] != "DELETE":
            sessions = await self.issuer.sessions(subject)
            return Answer(200, {"sessions": [_told(item, current) for item in sessions]})
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        wanted = query.get("id")
        if wanted is None:
            await self.issuer.revoke_subject(subject, keep=current)
            return Answer(204)
        if len(wanted) != 1:
            raise Refused(400, "invalid_request")
        if wanted[0] == current:
            auth.logout()
            return Answer(204)
        if not await self.issuer.revoke(wanted[0], subject=subject):
            raise Refused(404, "not_found")
        return Answer(204)


class LogoutEndpoint(SignedInEndpoint):
    """
    Signs out: this browser, or with a JSON body `{"everywhere": true}` the user everywhere.

    POST: 204, also for nobody; 503 where the store could not be told.
    """

    async def answer(self, scope: Scope, headers: Headers, receive: Receive) -> Answer:
        """Sign out."""
        came = await parameters(headers, receive, required=False)
        everywhere: Any = False if came is None else came.values.get("everywhere", False)
        if everywhere not in (True, False, "true", "false"):
            raise Refused(400, "invalid_request")
        try:
            Auth.of(scope).logout(everywhere=everywhere in (True, "true"))
        except StoreRequiredError:
            raise Refused(400, "invalid_request") from None
        return Answer(204)


def _told(session: Any, current: str) -> dict[str, Any]:
    return {
        "id": session.id,
        "device": session.device,
        "created_at": session.created_at,
        "last_seen": session.last_seen,
        "current": session.id == current,
    }
