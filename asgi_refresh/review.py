"""
What is weak in a configuration, in words for whoever runs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Literal

from .config import Config
from .cookies import Cookie

Keeping = Literal["nothing", "memory", "store"]


def weaknesses(config: Config, *, keeping: Keeping) -> list[str]:
    """
    Return what an attacker, or an honest user, would notice.

    Args:
        config: The settings.
        keeping: Where sessions are kept: nowhere, in one process, or in a store.
    """
    return [
        *_of_store(config, keeping),
        *_of_cookies(config.access_cookie),
        *_of_cookies(config.refresh_cookie),
        *_of_times(config, keeping),
        *_of_origins(config),
    ]


def _of_store(config: Config, keeping: Keeping) -> Iterator[str]:
    if keeping == "nothing":
        yield "no store: nothing rotates, a stolen refresh token is not noticed or revoked"
    if keeping == "memory":
        yield "store memory: sessions end with the process, and every process has its own"
    if keeping != "nothing" and config.revocation == "refresh":
        yield "revocation=refresh: an access token works on after a sign-out, until it expires"


def _of_cookies(cookie: Cookie) -> Iterator[str]:
    if not cookie.secure:
        yield f"cookie {cookie.name}: not Secure, it travels over plain http"
    if not cookie.name.lower().startswith("__host-"):
        yield f"cookie {cookie.name}: without the prefix __Host- a subdomain can plant its own"
    if cookie.same_site == "none":
        yield f"cookie {cookie.name}: SameSite=None sends it along with other sites' requests"


def _of_times(config: Config, keeping: Keeping) -> Iterator[str]:
    if config.access_lifetime > timedelta(hours=1):
        yield "access_lifetime: beyond an hour a copied access token is of use for long"
    if config.session_lifetime > timedelta(days=180):
        yield "session_lifetime: half a year without a sign-in"
    if keeping == "nothing" and config.idle_lifetime > timedelta(days=14):
        yield "idle_lifetime: without a store a copied refresh token is of use for that long"
    if keeping != "nothing" and config.rotation_grace < timedelta(seconds=10):
        yield "rotation_grace: below 10 s parallel requests and lost responses sign users out"
    if keeping != "nothing" and config.rotation_grace > timedelta(minutes=2):
        yield "rotation_grace: a thief who refreshes within it of the user is not noticed"


def _of_origins(config: Config) -> Iterator[str]:
    if config.cross_origin != "refuse":
        left = f"cross_origin={config.cross_origin}"
        yield f"{left}: any page can act as its visitor, unless the application checks"
    for origin in config.trusted_origins:
        if origin.startswith("http://"):
            yield f"trusted_origins: {origin} is plain http, whoever is on the way speaks for it"
