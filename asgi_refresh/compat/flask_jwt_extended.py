"""
In front of an application that uses Flask-JWT-Extended, behind a bridge from ASGI to WSGI.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from asgi_refresh.errors import ConfigurationError
from asgi_refresh.events import EventHook
from asgi_refresh.issuer import Issuer
from asgi_refresh.legacy import Legacy
from asgi_refresh.mint import ClaimsLoader
from asgi_refresh.store import Store
from asgi_refresh.telemetry import log_event

from .blocklist import Blocklist
from .leaving import legacy_of
from .options import Source, issuer_of


def flask_issuer(
    flask_config: Mapping[str, Any],
    *,
    store: Store | None = None,
    load_claims: ClaimsLoader | None = None,
    is_revoked: Blocklist | None = None,
    on_event: EventHook = log_event,
    clock: Callable[[], float] = time.time,
    **settings: Any,
) -> Issuer:
    """
    Return the issuer for a Flask application; see `authx.authx_issuer`.

    Args:
        flask_config: `app.config`, once `JWTManager(app)` has put its defaults there.
        store: As of `authx_issuer`.
        load_claims: As of `authx_issuer`.
        is_revoked: As of `authx_issuer`; it is given the token, not its payload.
        on_event: As of `authx_issuer`.
        clock: As of `authx_issuer`.
        settings: As of `authx_issuer`.

    Raises:
        ConfigurationError: As of `authx_issuer`; or the subject is not in the claim `sub`.
    """
    return issuer_of(
        replace(_source(flask_config), is_revoked=is_revoked),
        store=store,
        load_claims=load_claims,
        on_event=on_event,
        clock=clock,
        settings=settings,
    )


def flask_legacy(flask_config: Mapping[str, Any]) -> Legacy:
    """
    Return what `Issuer(accept_legacy=…)` takes, for an application that was one with Flask.

    Args:
        flask_config: As of `flask_issuer`.

    Raises:
        ConfigurationError: As of `flask_issuer`.
    """
    return legacy_of(_source(flask_config))


def _source(flask_config: Mapping[str, Any]) -> Source:
    if flask_config.get("JWT_IDENTITY_CLAIM", "sub") != "sub":
        raise ConfigurationError("JWT_IDENTITY_CLAIM: the subject must be in the claim 'sub'")

    def option(name: str) -> Any:
        if name == "JWT_SECRET_KEY":
            return flask_config.get(name) or flask_config.get("SECRET_KEY")
        return flask_config.get(name)

    return Source(
        option=option,
        persistent=not option("JWT_SESSION_COOKIE"),
        not_before=bool(option("JWT_ENCODE_NBF")),
    )
