"""
Ready-made endpoints: plain ASGI applications for `RefreshMiddleware(endpoints=…)` or any router.
"""

from __future__ import annotations

from starlette.routing import Route, Router
from starlette.types import ASGIApp

from asgi_refresh.bodies import BODY_TIMEOUT
from asgi_refresh.issuer import Issuer

from .jwks import JWKSEndpoint
from .refresh import RefreshEndpoint
from .revoke import RevokeEndpoint
from .sessions import LogoutEndpoint, SessionEndpoint, SessionsEndpoint
from .wire import MAX_BODY

__all__ = [
    "BODY_TIMEOUT",
    "MAX_BODY",
    "JWKSEndpoint",
    "LogoutEndpoint",
    "RefreshEndpoint",
    "RevokeEndpoint",
    "SessionEndpoint",
    "SessionsEndpoint",
    "bundle",
    "router",
]

JWKS_PATH = "/.well-known/jwks.json"


def bundle(issuer: Issuer, prefix: str = "/auth") -> dict[str, ASGIApp]:
    """
    Return all endpoints by path, for `RefreshMiddleware(endpoints=…)`.

    `refresh`, `session` and `logout` below *prefix*, with a store `revoke` and `sessions` too; the
    public keys, where there are any, at `/.well-known/jwks.json`.
    """
    endpoints: dict[str, ASGIApp] = {
        f"{prefix}/refresh": RefreshEndpoint(issuer),
        f"{prefix}/session": SessionEndpoint(issuer),
        f"{prefix}/logout": LogoutEndpoint(issuer),
    }
    if issuer.rotating is not None:
        endpoints[f"{prefix}/revoke"] = RevokeEndpoint(issuer)
        endpoints[f"{prefix}/sessions"] = SessionsEndpoint(issuer)
    if issuer.jwks()["keys"]:
        endpoints[JWKS_PATH] = JWKSEndpoint(issuer)
    return endpoints


def router(issuer: Issuer) -> ASGIApp:
    """Return one application with all endpoints, to be mounted anywhere in any framework."""
    return Router([Route(path, app) for path, app in bundle(issuer, "").items()])
