"""
The shape of tokens that a key, a secret and the settings ask for.
"""

from __future__ import annotations

from collections.abc import Sequence

from .config import Config
from .errors import ConfigurationError
from .jwt_profile import JwtProfile
from .keys import Key, Secret, access_keys, secret_bytes


def make_profile(
    key: Secret | Key | Sequence[Secret | Key],
    secret: Secret | Sequence[Secret] | None,
    config: Config,
    *,
    stateless: bool,
) -> JwtProfile:
    """
    Return the profile of this library's own tokens.

    Args:
        key: As `Issuer` takes it.
        secret: As `Issuer` takes it.
        config: Whose issuer, audience and leeway count.
        stateless: Whether a refresh token carries its session.

    Raises:
        ConfigurationError: There is no key, or one is unfit.
    """
    ring = [key] if isinstance(key, str | bytes | Key) else key
    if not isinstance(ring, Sequence):
        raise ConfigurationError("a key is a str, bytes, a Key, or a sequence of those")
    if secret is None:
        secrets: list[Secret] = [item for item in ring if not isinstance(item, Key)]
    else:
        secrets = [secret] if isinstance(secret, str | bytes) else list(secret)
    if not secrets:
        raise ConfigurationError(
            "with Key(...) refresh tokens need a secret of their own: Issuer(key, secret=...)"
        )
    access = config.access_cookie.key
    return JwtProfile(
        access_keys(ring),
        [secret_bytes(item) for item in secrets],
        issuer=config.issuer,
        audience=config.audience,
        leeway=config.leeway.total_seconds(),
        stateless=stateless,
        csrf_cookies=() if config.csrf_cookie is None else ((access, config.csrf_cookie),),
    )
