"""
Leaving AuthX or Flask-JWT-Extended: how the refresh tokens they issued are read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from asgi_refresh.claims import RESERVED
from asgi_refresh.cookies import MAX_AGE
from asgi_refresh.errors import InvalidTokenError
from asgi_refresh.legacy import Legacy, LegacyReader, LegacyToken
from asgi_refresh.signers import Mac

from .options import Source, cookie_of, locations_of, verifying
from .pair import PairProfile
from .pair_tokens import Pair, is_generation, token_id

_LEEWAY: Final = 5.0  # seconds
_THEIRS: Final = RESERVED | {"type", "fresh", "csrf", "orig_iat"}


def legacy_of(source: Source, *, clock: Callable[[], float] = time.time) -> Legacy:
    """
    Return how refresh tokens issued with these settings are adopted by an issuer of ours.

    Raises:
        ConfigurationError: A key is missing.
    """
    option, read = source.option, _reader(source, clock)
    if "cookies" not in locations_of(option):
        return Legacy(read)
    csrf = ("JWT_ACCESS_CSRF_COOKIE", "JWT_REFRESH_CSRF_COOKIE")
    names = ("JWT_ACCESS_COOKIE", *(csrf if option("JWT_CSRF_IN_COOKIES") else ()))
    drop = [cookie_of(option, name) for name in names]
    return Legacy(read, cookie_of(option, "JWT_REFRESH_COOKIE"), drop)


def _reader(source: Source, clock: Callable[[], float]) -> LegacyReader:
    option = source.option
    pair = Pair(
        algorithm=option("JWT_ALGORITHM"),
        signing=None,
        verifying=verifying(option),
        read_audience=option("JWT_DECODE_AUDIENCE"),
        read_issuer=option("JWT_DECODE_ISSUER"),
        leeway=_LEEWAY,
        lifetime=float(MAX_AGE),
        persistent=source.persistent,
    )
    profile = PairProfile(
        pair, csrf=Mac(b""), csrf_cookies=(), checks_csrf=False, stateless=False, clock=clock
    )

    def read(raw: str) -> LegacyToken | None:
        try:
            claims = profile.read(raw.encode(), "refresh")
        except InvalidTokenError:
            return None
        if claims["exp"] <= clock():
            return None
        ours = is_generation(claims) and claims["gen"] > 0
        return LegacyToken(
            id=token_id(claims, raw.encode()),
            subject=claims["sub"],
            expires_at=claims["exp"],
            issued_at=claims["iat"],
            claims={name: value for name, value in claims.items() if name not in _THEIRS},
            persistent=source.persistent,
            continues=(claims["sid"], claims["gen"]) if ours else None,
        )

    return read
