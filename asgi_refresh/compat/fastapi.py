"""
For FastAPI's docs page: the endpoints as documented routes, and the two ways to sign a request.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.openapi.models import APIKey, APIKeyIn, HTTPBearer
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_refresh.auth import Auth
from asgi_refresh.dependencies import require_scopes
from asgi_refresh.endpoints import bundle
from asgi_refresh.issuer import Issuer

_FORM = {
    "type": "object",
    "properties": {
        "grant_type": {"type": "string", "enum": ["refresh_token"]},
        "refresh_token": {"type": "string"},
    },
}
_JSON = {"type": "object", "properties": {"refresh_token": {"type": "string"}}}
_TOKEN = {"type": "object", "properties": {"token": {"type": "string"}}, "required": ["token"]}
_EVERYWHERE = {"type": "object", "properties": {"everywhere": {"type": "boolean"}}}
_ID = {"name": "id", "in": "query", "required": False, "schema": {"type": "string"}}
_ROUTES: dict[str, list[tuple[str, str, dict[str, Any]]]] = {
    "/refresh": [
        (
            "POST",
            "Exchange a refresh token for new tokens",
            {
                "requestBody": {
                    "content": {
                        "application/json": {"schema": _JSON},
                        "application/x-www-form-urlencoded": {"schema": _FORM},
                    }
                }
            },
        )
    ],
    "/revoke": [
        (
            "POST",
            "End the session of a token (RFC 7009)",
            {
                "requestBody": {
                    "content": {"application/x-www-form-urlencoded": {"schema": _TOKEN}},
                    "required": True,
                }
            },
        )
    ],
    "/logout": [
        (
            "POST",
            "Sign out, here or everywhere",
            {"requestBody": {"content": {"application/json": {"schema": _EVERYWHERE}}}},
        )
    ],
    "/session": [("GET", "Who is signed in, and until when", {})],
    "/sessions": [
        ("GET", "The user's sessions", {}),
        ("DELETE", "End one session, or all but this one", {"parameters": [_ID]}),
    ],
}


class SignedIn(SecurityBase):
    """
    `require_auth` as a security scheme: `auth: Auth = Security(SignedIn(issuer))`.

    With `Security(…, scopes=[…])` it asks for these too, as `require_scopes` does.
    The docs page shows a bearer token; with *cookie* the access cookie.

    Args:
        issuer: Whose tokens.
        cookie: Which of the two the docs page shows.
    """

    def __init__(self, issuer: Issuer, *, cookie: bool = False) -> None:
        name = issuer.config.access_cookie.name
        if cookie:
            self.scheme_name = "Access cookie"
            self.model = APIKey.model_validate({"in": APIKeyIn.cookie, "name": name})
        else:
            self.scheme_name = "Access token"
            self.model = HTTPBearer(bearerFormat="JWT")

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes) -> Auth:
        """Return the `Auth` of a request that is signed in, or raise as `require_scopes`."""
        return await require_scopes(*security_scopes.scopes)(connection)


def api_router(issuer: Issuer, *, prefix: str = "/auth", tag: str = "auth") -> APIRouter:
    """
    Return the endpoints as routes that show in the docs page.

    Args:
        issuer: Whose tokens.
        prefix: What their paths begin with.
        tag: Under what they are listed.
    """
    router = APIRouter(prefix=prefix, tags=[tag])
    for path, endpoint in bundle(issuer, "").items():
        for method, summary, extra in _ROUTES.get(path, []):
            router.add_api_route(
                path,
                _route(endpoint),
                methods=[method],
                summary=summary,
                response_class=Response,
                operation_id=f"{tag}_{method.lower()}_{path.strip('/')}",
                openapi_extra=extra,
            )
    return router


class _Handed(Response):
    """A response that another application gives."""

    def __init__(self, app: ASGIApp, receive: Receive) -> None:
        super().__init__()
        self._app, self._receive = app, receive

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await self._app(scope, self._receive, send)


def _route(app: ASGIApp) -> Any:
    async def answer(request: Request) -> Response:
        return _Handed(app, request.receive)

    return answer
