"""What `authx_issuer` refuses when it is called: nothing may go wrong at the first request."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from authx import AuthXConfig
from cryptography.hazmat.primitives.asymmetric import ec

from asgi_refresh import Issuer, MemoryStore
from asgi_refresh.errors import ConfigurationError
from tests.support import SECRET
from tests.tokens.forge import private_key, private_pem, public_bytes


def issuer(store: Any = None, settings: dict[str, Any] | None = None, **options: Any) -> Issuer:
    from asgi_refresh.compat.authx import authx_issuer

    values = {"JWT_SECRET_KEY": SECRET, "JWT_TOKEN_LOCATION": ["cookies"], **options}
    return authx_issuer(AuthXConfig(**values), store=store, **(settings or {}))


both = pytest.mark.parametrize("stored", [True, False], ids=["stored", "stateless"])


@both
@pytest.mark.parametrize("length", [0, 1, 31])
def test_a_secret_of_less_than_32_bytes_is_refused(stored: bool, length: int) -> None:
    """AuthX: one byte is accepted silently."""
    with pytest.raises(ConfigurationError, match="32"):
        issuer(MemoryStore() if stored else None, JWT_SECRET_KEY="s" * length)


def test_32_bytes_are_enough() -> None:
    assert repr(issuer(JWT_SECRET_KEY="s" * 32)) == "<Issuer, stateless>"


@both
@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256"])
def test_a_missing_key_is_refused(stored: bool, algorithm: str) -> None:
    """AuthX: it fails at the first use, not at the start."""
    with pytest.raises(ConfigurationError):
        issuer(MemoryStore() if stored else None, JWT_SECRET_KEY=None, JWT_ALGORITHM=algorithm)


def test_a_text_that_is_no_key_is_refused_without_being_quoted() -> None:
    text = "certainly no key of any kind"
    with pytest.raises(ConfigurationError) as caught:
        issuer(JWT_ALGORITHM="RS256", JWT_PRIVATE_KEY=text, JWT_PUBLIC_KEY=text)

    assert text not in str(caught.value)


def test_keys_of_which_one_does_not_verify_what_the_other_signs_are_refused() -> None:
    """AuthX: every login is an error then."""
    key, another = private_key("p256"), ec.generate_private_key(ec.SECP256R1())
    private, public, other = private_pem(key), public_bytes(key), public_bytes(another)
    for first, second in ((public, public), (private, other)):
        keys = {"JWT_PRIVATE_KEY": first.decode(), "JWT_PUBLIC_KEY": second.decode()}
        with pytest.raises(ConfigurationError, match="JWT_PUBLIC_KEY"):
            issuer(JWT_ALGORITHM="ES256", **keys)

    keys = {"JWT_PRIVATE_KEY": private.decode(), "JWT_PUBLIC_KEY": public.decode()}
    assert repr(issuer(JWT_ALGORITHM="ES256", **keys)) == "<Issuer, stateless>"


def test_cookies_that_scripts_can_read_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="HTTP_ONLY"):
        issuer(JWT_COOKIE_HTTP_ONLY=False)


@pytest.mark.parametrize("locations", [["headers"], ["query", "json"], []])
def test_without_cookies_there_is_nothing_to_do(locations: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="cookies"):
        issuer(JWT_TOKEN_LOCATION=locations)


@pytest.mark.parametrize(
    ("access", "refresh", "good"),
    [
        ("/", "/", True),
        ("/api", "/", True),
        ("/api", "/api", True),
        ("/api/v1", "/api", True),
        ("/", "/auth/refresh", False),
        ("/api", "/ap", False),
        ("/api", "/api/refresh", False),
    ],
)
def test_the_refresh_cookie_must_come_wherever_the_access_cookie_does(
    access: str, refresh: str, good: bool
) -> None:
    options = {"JWT_ACCESS_COOKIE_PATH": access, "JWT_REFRESH_COOKIE_PATH": refresh}
    if good:
        assert issuer(**options)
        return
    with pytest.raises(ConfigurationError, match="path"):
        issuer(**options)


def test_what_a_browser_refuses_is_refused() -> None:
    """AuthX: SameSite=None without Secure is accepted."""
    with pytest.raises(ConfigurationError):
        issuer(JWT_COOKIE_SAMESITE="none", JWT_COOKIE_SECURE=False)


def test_names_must_differ() -> None:
    with pytest.raises(ConfigurationError):
        issuer(JWT_ACCESS_COOKIE_NAME="token", JWT_REFRESH_COOKIE_NAME="token")


@both
@pytest.mark.parametrize(
    ("delta", "lifetime"),
    [(timedelta(days=30), 15), (timedelta(minutes=15), 15), (timedelta(minutes=10), 5)],
    ids=str,
)
def test_a_threshold_beyond_the_lifetime_is_a_minute(
    stored: bool, delta: timedelta, lifetime: int
) -> None:
    """A public application sets 30 days with 15-minute tokens: AuthX mints at every request."""
    built = issuer(
        MemoryStore() if stored else None,
        JWT_IMPLICIT_REFRESH_DELTATIME=delta,
        JWT_ACCESS_TOKEN_EXPIRES=timedelta(minutes=lifetime),
    )

    assert built.config.refresh_before == timedelta(minutes=1)


def test_a_threshold_below_the_lifetime_is_kept() -> None:
    delta = timedelta(minutes=7)

    assert issuer(JWT_IMPLICIT_REFRESH_DELTATIME=delta).config.refresh_before == delta


def test_settings_of_ours_may_be_added() -> None:
    built = issuer(settings={"exclude": ["/static"], "trusted_origins": ["https://a.example"]})

    assert built.config.exclude == ("/static",)
    assert built.config.trusted_origins == ("https://a.example",)


def test_a_setting_that_there_is_not_is_refused() -> None:
    with pytest.raises((TypeError, ConfigurationError)):
        issuer(settings={"no_such_setting": 1})


def test_neither_the_issuer_nor_its_configuration_shows_the_secret() -> None:
    built = issuer()

    assert SECRET not in repr(built) + repr(built.config) + repr(built.profile)
