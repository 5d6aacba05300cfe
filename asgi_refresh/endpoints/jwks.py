"""
The public keys, for other services (RFC 7517).
"""

from __future__ import annotations

from starlette.types import Receive, Scope

from asgi_refresh.credentials import Headers
from asgi_refresh.issuer import Issuer

from .wire import Answer, Endpoint


class JWKSEndpoint(Endpoint):
    """
    Serves the public keys of the issuer as `/.well-known/jwks.json`.

    GET: 200, cacheable, readable from every origin. Shared secrets are never in it.

    Args:
        issuer: Whose keys.
        max_age: Seconds for which it may be cached; a new key must be out that long before it
            signs.
    """

    methods = ("GET", "HEAD")

    def __init__(self, issuer: Issuer, *, max_age: int = 300) -> None:
        super().__init__(issuer.mint.timeout)
        headers = {
            "cache-control": f"public, max-age={int(max_age)}",
            "pragma": "",
            "access-control-allow-origin": "*",
            "content-type": "application/jwk-set+json",
        }
        self._answer = Answer(200, issuer.jwks(), headers)

    async def answer(self, scope: Scope, headers: Headers, receive: Receive) -> Answer:  # noqa: ARG002
        """Serve."""
        return self._answer
