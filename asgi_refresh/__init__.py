"""
Keep a browser signed in, safely, without anyone noticing.

ASGI middleware for implicit cookie refresh, and the explicit refresh for clients without cookies.
"""

from __future__ import annotations

from . import errors
from .auth import Auth
from .config import LOCALHOST, Config
from .cookies import Cookie
from .dependencies import (
    get_auth,
    require_auth,
    require_fresh,
    require_refresh_token,
    require_scopes,
)
from .endpoints import RefreshEndpoint
from .events import Client, Event, EventHook
from .grants import Tokens
from .issuer import Issuer, Payload
from .keys import Key
from .legacy import Legacy, LegacyToken
from .middleware import RefreshMiddleware
from .mint import ClaimsLoader
from .sessions import Revocation, Session
from .store import MemoryStore, Store
from .stores.sqlite import SQLiteStore
from .verifier import Verifier
from .verifying import VerifierMiddleware

__all__ = [
    "LOCALHOST",
    "Auth",
    "ClaimsLoader",
    "Client",
    "Config",
    "Cookie",
    "Event",
    "EventHook",
    "Issuer",
    "Key",
    "Legacy",
    "LegacyToken",
    "MemoryStore",
    "Payload",
    "RefreshEndpoint",
    "RefreshMiddleware",
    "Revocation",
    "SQLiteStore",
    "Session",
    "Store",
    "Tokens",
    "Verifier",
    "VerifierMiddleware",
    "errors",
    "get_auth",
    "require_auth",
    "require_fresh",
    "require_refresh_token",
    "require_scopes",
]

__version__ = "0.1.0"
