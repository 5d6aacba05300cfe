"""
The settings: one frozen value, checked once.

Every field has a reader and a safe default. What a browser or an RFC would refuse raises
`ConfigurationError` here, not at the first request.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Literal, cast

from .cookies import MAX_AGE, Cookie
from .errors import ConfigurationError
from .origins import is_origin
from .settings import parse

CrossOrigin = Literal["refuse", "websockets", "allow"]
RevocationMode = Literal["live", "refresh", "always"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """
    How long things live, where they are kept, and who may ask.

    Attributes:
        access_lifetime: Of an access token.
        refresh_before: An access token with less than this left is replaced. With a store, what
            it leaves of `access_lifetime` is at least twice `window`.
        idle_lifetime: A session unused for this long ends.
        session_lifetime: The absolute end of a session; nothing outlives it.
        rotation_grace: How long the generation before is still taken for a request that was on
            its way; 0 to 5 minutes. Shorter signs honest users out, longer gives a thief room.
        leeway: By how much the clocks of hosts may differ, at most a minute. It widens `iat`,
            `nbf` and the grace; `exp` is exact.
        issuer: Written as `iss` and required to be equal; None: a token of a named issuer is
            refused. It keeps applications apart that share a secret.
        audience: Written as `aud` and required to be equal; None: a token for one is refused.
        access_cookie: Where the access token is kept.
        refresh_cookie: Where the refresh token is kept; it must come along wherever the access
            cookie does.
        bearer: Also take `Authorization: Bearer <access token>`. A good one wins, a bad one never
            shadows a good cookie.
        revocation: When a revocation bites. "live": within `revocation_poll`, for one shared poll
            of the store. "always": at once, for one store read on every request; without an
            answer the request is anonymous. "refresh": when the access token ends, for nothing.
        revocation_poll: How old the answer may be that "live" goes by.
        store_timeout: For every call of the store and of `load_claims`.
        cross_origin: "refuse" answers 403 to unsafe requests and WebSocket handshakes that carry
            our cookies from another origin; "websockets" only to the handshakes. "allow" leaves
            that to the application; without a check of its own, any page a user visits can then
            act as that user.
        trusted_origins: Origins that count as ours, with scheme: "https://app.example".
        cross_origin_exempt: Exact paths where our cookies are ignored and `login()` is allowed
            from anywhere, for callbacks that another site posts to.
        csrf_cookie: Where scripts find the double-submit token, as
            `Cookie("__Host-csrf", http_only=False)`; unsafe requests that our cookies sign in must
            then repeat it. None: the check of the origin is enough, and none is asked for.
        csrf_header, csrf_field: The header, or the field of a urlencoded form, to repeat it in.
        clear_site_data: What browsers drop beside our cookies at a sign-out: "cache", "storage",
            "executionContexts".
        exclude: Path prefixes, by whole segments, that are passed through untouched.
        max_cookie_header: Bytes; a request with more is anonymous before anything is parsed.
        token_cache: Verified access tokens that are remembered in each process.
        max_sessions: Of one subject; a login beyond it ends the oldest. None: no limit.

    Raises:
        ConfigurationError: A value is refused; the message names it.
    """

    access_lifetime: timedelta = timedelta(minutes=10)
    refresh_before: timedelta = timedelta(minutes=1)
    idle_lifetime: timedelta = timedelta(days=14)
    session_lifetime: timedelta = timedelta(days=90)
    rotation_grace: timedelta = timedelta(seconds=60)
    leeway: timedelta = timedelta(seconds=5)
    issuer: str | None = None
    audience: str | None = None
    access_cookie: Cookie = Cookie("__Host-access")  # noqa: RUF009 - frozen
    refresh_cookie: Cookie = Cookie("__Host-refresh")  # noqa: RUF009 - frozen
    bearer: bool = True
    revocation: RevocationMode = "live"
    revocation_poll: timedelta = timedelta(seconds=1)
    store_timeout: timedelta = timedelta(seconds=1)
    cross_origin: CrossOrigin = "refuse"
    trusted_origins: Sequence[str] = ()
    cross_origin_exempt: Sequence[str] = ()
    csrf_cookie: Cookie | None = None
    csrf_header: str = "X-CSRF-Token"
    csrf_field: str = "csrf_token"
    clear_site_data: Sequence[str] = ()
    exclude: Sequence[str] = ()
    max_cookie_header: int = 16 * 1024
    token_cache: int = 4096
    max_sessions: int | None = None

    def __post_init__(self) -> None:
        _check_types(self)
        _check_durations(self)
        _check_cookies(self)
        _check_requests(self)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Config:
        """
        Return the settings of the variables `ASGI_REFRESH_…` named after the fields.

        Durations are numbers with a unit (`ASGI_REFRESH_ACCESS_LIFETIME=10m`), lists are words,
        cookies are as in Set-Cookie (`access; SameSite=Strict; Secure=false`).

        Args:
            environ: The variables; None: those of this process.

        Raises:
            ConfigurationError: A variable names no setting, or its value is refused.
        """
        defaults = {field.name: field.default for field in fields(cls)}
        return cls(**parse(os.environ if environ is None else environ, defaults))

    @property
    def window(self) -> timedelta:
        """W: the rotation grace, widened so that hosts within the leeway come to one verdict."""
        return self.rotation_grace + 2 * self.leeway

    def check_rotating(self) -> None:
        """
        Check what only rotation needs: two generations never fit into one request's way.

        Raises:
            ConfigurationError: `access_lifetime` less `refresh_before` is shorter than twice
                `window`.
        """
        _require(
            self.access_lifetime >= 2 * self.window,
            "with a store, access_lifetime must be at least 2 * (rotation_grace + 2 * leeway) ="
            f" {2 * self.window}",
        )
        _require(
            self.access_lifetime - self.refresh_before >= 2 * self.window,
            "with a store, refresh_before must leave at least 2 * (rotation_grace + 2 * leeway) ="
            f" {2 * self.window} of access_lifetime",
        )


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigurationError(message)


_DURATIONS = (
    "access_lifetime", "refresh_before", "idle_lifetime", "session_lifetime", "rotation_grace",
    "leeway", "revocation_poll", "store_timeout",
)  # fmt: skip
_WORD = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_TUPLES = ("trusted_origins", "cross_origin_exempt", "clear_site_data", "exclude")
_CLEARED = frozenset({"cache", "storage", "executionContexts"})


def _check_types(config: Config) -> None:
    for name in _DURATIONS:
        value: object = getattr(config, name)
        _require(isinstance(value, timedelta), f"{name} must be a timedelta, not {value!r}")
    for name in ("access_cookie", "refresh_cookie"):
        _require(isinstance(getattr(config, name), Cookie), f"{name} must be a Cookie")
    csrf: object = config.csrf_cookie
    _require(csrf is None or isinstance(csrf, Cookie), "csrf_cookie must be a Cookie or None")
    for name in ("csrf_header", "csrf_field"):
        word: object = getattr(config, name)
        named = isinstance(word, str) and _WORD.match(word) is not None
        _require(named, f"{name} must be one word of letters, digits, '-' and '_'")
    for name in ("issuer", "audience"):
        value = getattr(config, name)
        named = isinstance(value, str) and value != "" and value.isprintable()
        _require(named or value is None, f"{name} must be a non-empty, printable str or None")
    for name in ("max_cookie_header", "token_cache", "max_sessions"):
        number: object = getattr(config, name)
        valid = type(number) is int and number > 0
        unlimited = name == "max_sessions" and number is None
        _require(valid or unlimited, f"{name} must be a positive int")
    for name in _TUPLES:
        object.__setattr__(config, name, _strings(name, getattr(config, name)))


def _strings(name: str, values: Any) -> tuple[str, ...]:
    message = f"{name} must be a sequence of strings"
    _require(not isinstance(values, str | bytes) and isinstance(values, Iterable), message)
    strings = tuple(cast("Iterable[Any]", values))
    _require(all(isinstance(item, str) for item in strings), message)
    return strings


def _check_durations(config: Config) -> None:
    zero = timedelta(0)
    _require(config.access_lifetime >= timedelta(seconds=1), "access_lifetime: a second or more")
    _require(
        zero <= config.refresh_before < config.access_lifetime,
        "refresh_before must be shorter than access_lifetime",
    )
    _require(
        config.access_lifetime < config.idle_lifetime <= config.session_lifetime,
        "access_lifetime < idle_lifetime <= session_lifetime must hold",
    )
    _require(
        config.session_lifetime <= timedelta(seconds=MAX_AGE),
        "session_lifetime: browsers keep no cookie longer than 400 days",
    )
    _require(
        zero <= config.rotation_grace <= timedelta(minutes=5), "rotation_grace: 0 to 5 minutes"
    )
    _require(zero <= config.leeway <= timedelta(minutes=1), "leeway: 0 to 60 seconds")
    _require(config.revocation_poll > zero, "revocation_poll must be positive")
    _require(config.store_timeout > zero, "store_timeout must be positive")


def _check_cookies(config: Config) -> None:
    access, refresh = config.access_cookie, config.refresh_cookie
    csrf = config.csrf_cookie
    names = [cookie.name for cookie in (access, refresh, csrf) if cookie is not None]
    _require(len(set(names)) == len(names), "the cookies need different names")
    for cookie in (access, refresh):
        _require(
            cookie.http_only, f"cookie {cookie.name!r} holds a token: scripts must not read it"
        )
    _require(csrf is None or not csrf.http_only, "csrf_cookie: scripts read it, http_only=False")
    # RFC 6265bis, 5.1.4: a path matches itself and what is below it.
    below = refresh.path if refresh.path.endswith("/") else f"{refresh.path}/"
    _require(
        (access.path == refresh.path or access.path.startswith(below))
        and access.domain in (None, refresh.domain),
        "refresh_cookie must be sent wherever access_cookie is: its path must contain"
        f" {access.path!r}, its domain be the same",
    )


def _check_requests(config: Config) -> None:
    _require(config.revocation in ("live", "refresh", "always"), "revocation: live|refresh|always")
    _require(
        config.cross_origin in ("refuse", "websockets", "allow"),
        "cross_origin: refuse|websockets|allow",
    )
    _require(isinstance(config.bearer, bool), "bearer must be True or False")
    for origin in config.trusted_origins:
        _require(
            is_origin(origin),
            f"trusted_origins: {origin!r} is not an origin; write 'https://app.example', with the"
            " scheme and without a path",
        )
    for directive in config.clear_site_data:
        _require(
            directive in _CLEARED,
            f"clear_site_data: {directive!r} is none of {', '.join(sorted(_CLEARED))}; our cookies"
            " are deleted by name, for one of them keeps the sign-out final",
        )
    for name in ("cross_origin_exempt", "exclude"):
        for path in getattr(config, name):
            _require(path.startswith("/"), f"{name}: a path starts with '/': {path!r}")


LOCALHOST = Config(
    access_cookie=Cookie("access", secure=False),
    refresh_cookie=Cookie("refresh", secure=False),
)
"""For plain http on a laptop: cookies without prefix and Secure. Never for anything else."""
