"""
The settings of AuthX and Flask-JWT-Extended, which have the same names, as an `Issuer` of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Literal, cast

import jwt
from jwt.algorithms import Algorithm, HMACAlgorithm

from asgi_refresh.config import Config
from asgi_refresh.cookies import MAX_AGE, MAX_COOKIE, Cookie
from asgi_refresh.errors import ConfigurationError
from asgi_refresh.events import EventHook
from asgi_refresh.issuer import Issuer
from asgi_refresh.keys import MIN_SECRET
from asgi_refresh.mint import ClaimsLoader
from asgi_refresh.signers import Mac, derive
from asgi_refresh.store import Store

from .blocklist import Blocklist, Guarded
from .pair import PairProfile
from .pair_tokens import Pair

Option = Callable[[str], Any]
"""Returns the option of a name, or None."""

_ACCESS: Final = timedelta(minutes=15)
_REFRESH: Final = timedelta(days=20)
_SOON: Final = timedelta(minutes=1)
_MEANT: Final = (
    "access_lifetime is JWT_ACCESS_TOKEN_EXPIRES, refresh_before JWT_IMPLICIT_REFRESH_DELTATIME,"
    " idle_lifetime JWT_REFRESH_TOKEN_EXPIRES, and the cookies are JWT_…_COOKIE_…"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """
    Where settings come from.

    Attributes:
        option: Returns them.
        persistent: Whether the cookies outlive the browser.
        refresh_before: An access token with less left is replaced.
        not_before: Whether tokens say `nbf`.
        refreshes: Whether a request with this method and path refreshes.
        is_revoked: The application's blocklist.
    """

    option: Option
    persistent: bool
    refresh_before: timedelta = _SOON
    not_before: bool = False
    refreshes: Callable[[str, str], bool] = field(default=lambda _method, _path: True)
    is_revoked: Blocklist | None = None


def issuer_of(
    source: Source,
    *,
    store: Store | None,
    load_claims: ClaimsLoader | None,
    on_event: EventHook,
    clock: Callable[[], float],
    settings: dict[str, Any],
) -> Issuer:
    """
    Return the issuer for an application with these settings.

    Raises:
        ConfigurationError: The browser would not send the refresh token where it is needed, a key
            is missing or too short, or a setting has no counterpart here.
    """
    option = source.option
    config = _config(source, settings)
    checks_csrf = bool(option("JWT_COOKIE_CSRF_PROTECT"))
    profile = PairProfile(
        _pair(source, config),
        csrf=Mac(derive(_root(option), "double-submit token")),
        csrf_cookies=_csrf_cookies(option, config) if checks_csrf else (),
        checks_csrf=checks_csrf,
        stateless=store is None,
        clock=clock,
        header=_header(option),
        usual=config.access_lifetime.total_seconds(),
        room=MAX_COOKIE - len(config.refresh_cookie.key),
        refreshes=source.refreshes,
    )
    issuer = Issuer(
        (),  # the profile has the keys
        store=store,
        config=config,
        load_claims=load_claims,
        on_event=on_event,
        clock=clock,
        profile=profile,
    )
    if source.is_revoked is not None:
        timeout = issuer.mint.timeout
        issuer.mode = Guarded(issuer.mode, source.is_revoked, timeout=timeout)
    return issuer


# --- one by one -----------------------------------------------------------------------------------


def _config(source: Source, settings: dict[str, Any]) -> Config:
    option = source.option
    locations = locations_of(option)
    if "cookies" not in locations:
        raise ConfigurationError("JWT_TOKEN_LOCATION has no 'cookies': there is nothing to refresh")
    if option("JWT_COOKIE_HTTP_ONLY") is False:
        raise ConfigurationError("JWT_COOKIE_HTTP_ONLY=False lets any script read the tokens")
    access, refresh = _lifetime(option, "ACCESS", _ACCESS), _lifetime(option, "REFRESH", _REFRESH)
    before = source.refresh_before
    values: dict[str, Any] = {
        "access_lifetime": access,
        "refresh_before": before if before < access else min(_SOON, access / 2),
        "idle_lifetime": refresh,
        "session_lifetime": min(max(refresh, timedelta(days=90)), timedelta(seconds=MAX_AGE)),
        "access_cookie": cookie_of(option, "JWT_ACCESS_COOKIE"),
        "refresh_cookie": cookie_of(option, "JWT_REFRESH_COOKIE"),
        "bearer": _takes_bearer(option, locations),
        # The application compares the double-submit token; other origins may be meant to call it.
        "cross_origin": "websockets" if option("JWT_COOKIE_CSRF_PROTECT") else "refuse",
    }
    try:
        return Config(**values | settings)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error} ({_MEANT})") from None


def locations_of(option: Option) -> list[str]:
    """Return where tokens are looked for, in order."""
    value = option("JWT_TOKEN_LOCATION") or ()
    return [value] if isinstance(value, str) else list(value)


def _takes_bearer(option: Option, locations: list[str]) -> bool:
    """Return whether a bearer token counts before a cookie: what comes first counts there."""
    first = next(name for name in locations if name in ("headers", "cookies"))
    return first == "headers" and _header(option) == (b"authorization", b"Bearer")


def _header(option: Option) -> tuple[bytes, bytes]:
    """Return the header that the application reads tokens from, and what it wants before one."""
    name, scheme = (str(option(f"JWT_HEADER_{part}") or "") for part in ("NAME", "TYPE"))
    return (name or "Authorization").lower().encode(), scheme.encode()


def _lifetime(option: Option, kind: str, default: timedelta) -> timedelta:
    value = option(f"JWT_{kind}_TOKEN_EXPIRES")
    if not value:  # None and False are "never", and nothing here is for ever
        return default
    return value if isinstance(value, timedelta) else timedelta(seconds=value)


def cookie_of(option: Option, prefix: str, *, http_only: bool = True) -> Cookie:
    """Return the cookie whose options begin with *prefix*."""
    same_site = str(option("JWT_COOKIE_SAMESITE") or "lax").lower()
    return Cookie(
        option(f"{prefix}_NAME"),
        path=option(f"{prefix}_PATH"),
        domain=option("JWT_COOKIE_DOMAIN"),
        secure=bool(option("JWT_COOKIE_SECURE")),
        same_site=cast("Literal['lax', 'strict', 'none']", same_site),
        http_only=http_only,
    )


def _csrf_cookies(option: Option, config: Config) -> Sequence[tuple[bytes, Cookie]]:
    if not option("JWT_CSRF_IN_COOKIES"):
        return ()
    return (
        (config.access_cookie.key, cookie_of(option, "JWT_ACCESS_CSRF_COOKIE", http_only=False)),
        (config.refresh_cookie.key, cookie_of(option, "JWT_REFRESH_CSRF_COOKIE", http_only=False)),
    )


def _pair(source: Source, config: Config) -> Pair:
    option = source.option
    name = option("JWT_ALGORITHM")
    algorithm = _algorithm(option)
    symmetric = isinstance(algorithm, HMACAlgorithm)
    signing = _prepared(algorithm, _root(option) if symmetric else option("JWT_PRIVATE_KEY"), name)
    keys = verifying(option)
    if not _belong_together(algorithm, signing, keys[0]):
        raise ConfigurationError("JWT_PRIVATE_KEY does not sign what JWT_PUBLIC_KEY verifies")
    return Pair(
        algorithm=name,
        signing=signing,
        verifying=keys,
        read_audience=option("JWT_DECODE_AUDIENCE"),
        read_issuer=option("JWT_DECODE_ISSUER"),
        audience=option("JWT_ENCODE_AUDIENCE"),
        issuer=option("JWT_ENCODE_ISSUER"),
        not_before=source.not_before,
        leeway=config.leeway.total_seconds(),
        lifetime=config.session_lifetime.total_seconds(),
        persistent=source.persistent,
    )


def _algorithm(option: Option) -> Algorithm:
    name = option("JWT_ALGORITHM")
    try:
        return jwt.get_algorithm_by_name(name)
    except Exception:  # noqa: BLE001 - whatever PyJWT says of it
        raise ConfigurationError(f"JWT_ALGORITHM: there is no {name!r}") from None


def verifying(option: Option) -> list[Any]:
    """Return the keys that verify, the current one first."""
    algorithm = _algorithm(option)
    symmetric = isinstance(algorithm, HMACAlgorithm)
    names = ("JWT_SECRET_KEY", "JWT_PREVIOUS_SECRET_KEY")
    if not symmetric:
        names = ("JWT_PUBLIC_KEY", "JWT_PREVIOUS_PUBLIC_KEY")
    current, previous = (option(name) for name in names)
    if not current:
        raise ConfigurationError(f"{option('JWT_ALGORITHM')} needs {names[0]}")
    keys = [key for key in (current, previous) if key]
    return [_prepared(algorithm, key, option("JWT_ALGORITHM")) for key in keys]


def _prepared(algorithm: Algorithm, key: Any, name: str) -> Any:
    try:
        return algorithm.prepare_key(key)
    except Exception as error:  # noqa: BLE001 - its text may quote the key
        kind = type(error).__name__
        raise ConfigurationError(f"a key is not usable with {name} ({kind})") from None


def _belong_together(algorithm: Algorithm, signing: Any, verifying: Any) -> bool:
    try:
        return algorithm.verify(b"x", verifying, algorithm.sign(b"x", signing))
    except Exception:  # noqa: BLE001 - whatever PyJWT and cryptography raise on a public key
        return False


def _root(option: Option) -> bytes:
    """Return the secret, or the private key, as bytes."""
    symmetric = str(option("JWT_ALGORITHM")).startswith("HS")
    name = "JWT_SECRET_KEY" if symmetric else "JWT_PRIVATE_KEY"
    value = option(name) or b""
    try:
        raw = value.encode() if isinstance(value, str) else value
    except UnicodeEncodeError:
        raise ConfigurationError(f"{name} is no text that can be encoded") from None
    if not isinstance(raw, bytes):
        raise ConfigurationError(f"{name} is text or bytes: a key pair's, in PEM")
    if len(raw) < MIN_SECRET:
        raise ConfigurationError(
            f"{name} needs at least {MIN_SECRET} bytes and has {len(raw)}: set a new one, and keep"
            " the old one where the application verifies with a previous key"
        )
    return raw
