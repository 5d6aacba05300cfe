"""
In front of an application that uses AuthX (1.7.1): the implicit refresh that its pages promise.

    app.add_middleware(RefreshMiddleware, issuer=authx_issuer(auth_config))

The application stays as it is: it signs users in and out with AuthX, whose cookies, claims and
double-submit values are read and written as AuthX does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from asgi_refresh.events import EventHook
from asgi_refresh.issuer import Issuer
from asgi_refresh.legacy import Legacy
from asgi_refresh.mint import ClaimsLoader
from asgi_refresh.store import Store
from asgi_refresh.telemetry import log_event

from .blocklist import Blocklist
from .leaving import legacy_of
from .options import Source, issuer_of


def authx_issuer(
    auth_config: Any,
    *,
    store: Store | None = None,
    load_claims: ClaimsLoader | None = None,
    is_revoked: Blocklist | None = None,
    on_event: EventHook = log_event,
    clock: Callable[[], float] = time.time,
    **settings: Any,
) -> Issuer:
    """
    Return the issuer for an AuthX application.

    Args:
        auth_config: Its `AuthXConfig`.
        store: Refresh tokens rotate and reuse is detected, from the first refresh of a session on.
            None: at the first refresh the refresh token is replaced by one that says what the
            access token says; after that it does not rotate.
        load_claims: As of `Issuer`. Without it a new access token says what the one it replaces
            said, or else what the refresh token says.
        is_revoked: Its blocklist: `auth.is_token_in_blocklist`. Needed where an application signs
            out by that alone, without deleting the cookies.
        on_event: As of `Issuer`.
        clock: As of `Issuer`.
        settings: Fields of `Config`, in place of what follows from *auth_config*.

    Raises:
        ConfigurationError: The browser would not send the refresh token where it is needed, a key
            is missing or shorter than 32 bytes, or cookies are not where tokens are.
    """
    return issuer_of(
        replace(_source(auth_config), is_revoked=is_revoked),
        store=store,
        load_claims=load_claims,
        on_event=on_event,
        clock=clock,
        settings=settings,
    )


def authx_legacy(auth_config: Any) -> Legacy:
    """
    Return what `Issuer(accept_legacy=…)` takes, for an application that leaves AuthX behind.

    Args:
        auth_config: The `AuthXConfig` it had.

    Raises:
        ConfigurationError: As of `authx_issuer`.
    """
    return legacy_of(_source(auth_config))


def _source(auth_config: Any) -> Source:
    def option(name: str) -> Any:
        return getattr(auth_config, name, None)

    before = option("JWT_IMPLICIT_REFRESH_DELTATIME")
    return Source(
        option=option,
        persistent=option("JWT_COOKIE_MAX_AGE") is not None,
        refresh_before=before if isinstance(before, timedelta) else timedelta(seconds=before),
        refreshes=_routes(option),
    )


def _routes(option: Callable[[str], Any]) -> Callable[[str, str], bool]:
    """Return what the lists of routes and methods ask for; a list to include includes only that."""
    no_routes: frozenset[str] = frozenset(option("JWT_IMPLICIT_REFRESH_ROUTE_EXCLUDE") or ())
    no_methods: frozenset[str] = frozenset(option("JWT_IMPLICIT_REFRESH_METHOD_EXCLUDE") or ())
    routes: frozenset[str] = frozenset(option("JWT_IMPLICIT_REFRESH_ROUTE_INCLUDE") or ())
    methods: frozenset[str] = frozenset(option("JWT_IMPLICIT_REFRESH_METHOD_INCLUDE") or ())

    def refreshes(method: str, path: str) -> bool:
        if path in no_routes:
            return False
        if path in routes:
            return True
        if method in no_methods:
            return False
        return method in methods if methods or routes else True

    return refreshes
