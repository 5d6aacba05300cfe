"""
The peers, one module each, that know nothing of one another.

A module has a class `Adapter` with five verbs. It is constructed outside of any event loop, and
with fixed secrets, so that what one process signs in another one takes.

To add a peer, write its module, and name it in `MODULES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Protocol

from benchmarks.browser import App, Request

MODULES = {
    "no-op ASGI": "noop",
    "asgi_refresh": "ours",
    "plain PyJWT": "plain_pyjwt",
    "SessionMiddleware": "starlette_sessions",
    "AuthenticationMiddleware + PyJWT": "starlette_authentication",
    "starsessions": "starsessions_memory",
    "BaseHTTPMiddleware no-op": "base_http",
    "AuthX middleware": "authx_middleware",
    "AuthX as documented": "authx_documented",
    "fastapi-users": "fastapi_users_cookie",
    "Litestar JWTCookieAuth": "litestar_jwt",
    "Flask-JWT-Extended (WSGI bridge)": "flask_jwt",
}


class Adapter(Protocol):
    """What every peer can be asked for."""

    def build(self) -> App:
        """Return the smallest application that is protected by this peer."""
        ...

    def bare(self) -> App:
        """Return the same application without the peer: what its overhead is over."""
        ...

    def valid(self) -> Request:
        """Return a request of a signed-in browser, when nothing is due."""
        ...

    def refresh(self) -> Request | None:
        """Return a request on which the peer hands out a new token; None: it never does."""
        ...

    def anonymous(self) -> Request:
        """Return a request of a browser that has not signed in."""
        ...


def load(names: Iterable[str] = MODULES) -> tuple[dict[str, Adapter], dict[str, str]]:
    """
    Construct the adapters of *names*.

    Returns:
        Them, and why each of the others is left out: what it needs is not installed.
    """
    adapters, left_out = {}, {}
    for name in names:
        try:
            module = importlib.import_module(f"{__name__}.{MODULES[name]}")
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith("benchmarks"):
                raise
            left_out[name] = f"{error.name} is not installed"
            continue
        adapters[name] = module.Adapter()
    return adapters, left_out
