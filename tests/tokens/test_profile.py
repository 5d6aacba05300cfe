"""The profile that settings ask for, and what one does unless it is told otherwise."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from itsdangerous import Signer

from asgi_refresh import Config, Cookie
from asgi_refresh.errors import InvalidTokenError
from asgi_refresh.jwt_profile import JwtProfile
from asgi_refresh.profile import make_profile
from tests.support import Clock, new_session
from tests.tokens.forge import KEY, NOW, SECRET

SESSION = new_session(Clock(NOW))


def mint(profile: JwtProfile, claims: Any = None, **times: float) -> tuple[bytes, Any]:
    """An access token, and the claims that minting tells of."""
    values: dict[str, Any] = {"now": NOW, "expires_at": NOW + 600, **times}
    raw, token = profile.mint_access(SESSION, claims or {}, generation=1, jti="j", **values)
    return raw, token.payload


@pytest.mark.parametrize("name", ["issuer", "audience"])
def test_the_settings_name_issuer_and_audience(name: str) -> None:
    config = Config(**{name: "https://a.example"})
    profile = make_profile(SECRET, None, config, stateless=False)
    raw, payload = mint(profile)

    assert payload[{"issuer": "iss", "audience": "aud"}[name]] == "https://a.example"
    assert profile.read_access(raw, now=NOW).payload == payload
    with pytest.raises(InvalidTokenError):
        make_profile(SECRET, None, Config(), stateless=False).read_access(raw, now=NOW)


def test_the_settings_say_how_far_clocks_may_be_apart() -> None:
    config = Config(leeway=timedelta(seconds=9))
    profile = make_profile(SECRET, None, config, stateless=False)

    assert profile.read_access(mint(profile, now=NOW + 9)[0], now=NOW)
    with pytest.raises(InvalidTokenError):
        profile.read_access(mint(profile, now=NOW + 10)[0], now=NOW)


@pytest.mark.parametrize("stateless", [True, False])
def test_whether_there_is_a_store_says_what_a_refresh_token_carries(stateless: bool) -> None:
    profile = make_profile(SECRET, None, Config(), stateless=stateless)
    read = profile.read_refresh(profile.mint_refresh(SESSION, 1, now=NOW))

    assert (read.session is not None) is stateless


def test_a_double_submit_cookie_comes_and_goes_with_the_access_cookie() -> None:
    access, csrf = Cookie("a", secure=False), Cookie("c", secure=False, http_only=False)
    with_one = Config(access_cookie=access, csrf_cookie=csrf)

    assert list(make_profile(SECRET, None, with_one, stateless=False).csrf_cookies) == [
        (b"a", csrf)
    ]
    assert list(make_profile(SECRET, None, Config(), stateless=False).csrf_cookies) == []


def test_unless_told_otherwise_sessions_are_in_a_store_and_clocks_five_seconds_apart() -> None:
    profile = JwtProfile([KEY], [SECRET])

    assert profile.read_refresh(profile.mint_refresh(SESSION, 3, now=NOW)).generation == 3
    assert profile.read_access(mint(profile, now=NOW + 5)[0], now=NOW)
    with pytest.raises(InvalidTokenError):
        profile.read_access(mint(profile, now=NOW + 6)[0], now=NOW)


def test_claims_of_a_session_that_began_with_another_profile_are_less_those_of_the_issuer() -> None:
    _, payload = mint(JwtProfile([KEY], [SECRET]), {"aud": "theirs", "gen": 9, "role": "admin"})

    assert (payload["gen"], payload["role"]) == (1, "admin")
    assert "aud" not in payload


@pytest.mark.parametrize("issuer", [None, "acme"])
def test_a_double_submit_token_is_the_session_id_as_itsdangerous_signs_it(
    issuer: str | None,
) -> None:
    other = b"another-secret-of-the-same-application"
    signatures = [
        Signer(
            secret,
            salt=f"asgi_refresh double-submit token {issuer or ''}".encode(),
            key_derivation="hmac",
            digest_method=hashlib.sha256,
        ).get_signature("s1").decode()
        for secret in (SECRET, other)
    ]  # fmt: skip

    assert JwtProfile([KEY], [SECRET, other], issuer=issuer).csrf_tokens("s1", {}) == signatures
