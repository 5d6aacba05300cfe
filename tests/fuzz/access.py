"""
The reader of access tokens, between two others: PyJWT and a strict reader of our own.

What is accepted, PyJWT accepts too and sees the same claims; it is spelled in the one way there is,
and every claim is of its type. What is of that kind is accepted. All else is `InvalidTokenError`.

An input is two letters and a text. The first says what the text is: `T` a token as it stands, `S`
its two signed segments, `P` header and payload before that, as two lines of JSON; no header is our
own. What is not signed yet is signed here, so that the claims are reached. The second letter says
whose token it is, of `SETUPS`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime, tzinfo
from math import isfinite
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from jwt import api_jwt

from asgi_refresh import Key
from asgi_refresh.access import head_of
from asgi_refresh.errors import InvalidTokenError
from asgi_refresh.jwt_profile import JwtProfile
from tests.tokens.forge import DIGESTS, thaw

from .engine import Target

NOW, LEEWAY = 1_800_000_000, 5
_SECRET = b"a secret of the fuzzer, for access tokens: longer than a SHA-512 digest is"
_OTHER = b"the other secret of the fuzzer, for access tokens: also long enough for it"
_VECTORS = Path(__file__).parents[1] / "vectors"
# Keys that are the same in every run, and known to everybody.
_P256 = ec.derive_private_key(0xF022, ec.SECP256R1())
_ED25519 = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
_SEGMENTS = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\Z")
_CONTROLS = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


def _rsa() -> dict[str, Any]:
    path = _VECTORS / "jose-cookbook" / "jws" / "4_1.rsa_v15_signature.json"
    return json.loads(path.read_text())["input"]["key"]


class Setup:
    """A reader, what signs for it, and what PyJWT must be told."""

    def __init__(self, *keys: Key, issuer: str | None = None, audience: str | None = None) -> None:
        self.profile = JwtProfile(keys, [_SECRET], issuer=issuer, audience=audience, leeway=LEEWAY)
        self.keys = {key.id: key for key in keys}
        self.head, self.signer = head_of(keys[0]), keys[-1].signer
        self.issuer, self.audience = issuer, audience
        self.signs_own_head = len(keys) == 1


SETUPS = {
    b"0": Setup(Key(_SECRET, "k")),
    b"1": Setup(Key(_SECRET, "k"), issuer="acme"),
    b"2": Setup(Key(_SECRET, "k"), audience="api"),
    b"3": Setup(Key(_SECRET, "k"), issuer="acme", audience="api"),
    b"4": Setup(Key(_OTHER, "j"), Key(_SECRET, "k")),
    b"5": Setup(Key(_SECRET, "k", "HS512")),
    b"D": Setup(Key(_ED25519, "k", "EdDSA")),
    b"E": Setup(Key(_P256, "k", "ES256")),
    b"R": Setup(Key.from_jwk({**_rsa(), "alg": "RS256"}, "k")),
}
_USUAL = SETUPS[b"0"]


def target(data: bytes) -> None:
    """Raise where the reader of access tokens breaks its word."""
    kind, text = data[:1], data[2:]
    setup = SETUPS.get(data[1:2], _USUAL)
    payload = None
    if kind == b"T":
        raw = text
    elif kind == b"S":
        raw = text + b"." + setup.signer.sign(text)
    else:
        head, _, payload = text.partition(b"\n")
        message = (b64(head) if head else setup.head) + b"." + b64(payload)
        raw = message + b"." + setup.signer.sign(message)
        if head or not setup.signs_own_head:
            payload = None
    try:
        token = setup.profile.read_access(raw, now=NOW)
    except InvalidTokenError as error:
        if (str(error), error.reason) != ("the token is not valid", "invalid_token"):
            raise AssertionError("the one refusal") from error
        good = payload is not None and len(raw) <= 8192 and believable(strict(payload), setup)
        if good:
            raise AssertionError("a good token is accepted") from error
        return
    check(raw, token, setup)


def check(raw: bytes, token: Any, setup: Setup) -> None:
    """Raise unless *raw* is in order, by everything that is known of it without our reader."""
    assert len(raw) <= 8192
    assert _SEGMENTS.match(raw), "three segments of base64url"
    head, body, signature = raw.split(b".")
    for segment in (head, body, signature):
        assert b64(unb64(segment)) == segment, "one spelling"
    header, payload = strict(unb64(head)), strict(unb64(body))
    assert header is not None
    assert header.keys() == {"alg", "kid", "typ"}, "a header without surprises"
    key = setup.keys[header["kid"]]
    assert header["alg"] == key.algorithm
    assert header["typ"].lower() in ("at+jwt", "application/at+jwt")
    if key.algorithm in DIGESTS:
        tag = hmac.new(key.secret, head + b"." + body, getattr(hashlib, f"sha{key.algorithm[2:]}"))
        assert b64(tag.digest()) == signature, "a genuine signature"
    assert believable(payload, setup), "claims of the right types"
    claims = thaw(token.payload)
    assert claims == payload, "the claims that stand there"
    assert (token.subject, token.session_id, token.id) == (
        claims["sub"],
        claims["sid"],
        claims["jti"],
    )
    if token.expires_at > NOW:  # else it is refused later on, when it is used
        assert by_pyjwt(raw, key, setup) == claims, "the claims that PyJWT sees"


def strict(raw: bytes) -> dict[str, Any] | None:
    """The JSON object that *raw* is, if it is nothing but that."""
    try:
        value = json.loads(
            raw.decode(), object_pairs_hook=_members, parse_constant=_bad, parse_float=_finite
        )
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _members(members: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in members}) < len(members):
        raise ValueError("a name stands twice")
    return dict(members)


def _bad(text: str) -> Any:
    raise ValueError(text)


def _finite(text: str) -> float:
    return float(text) if isfinite(float(text)) else _bad(text)


def believable(payload: dict[str, Any] | None, setup: Setup) -> bool:
    """Whether *payload* says what an access token must say, and says it properly."""
    if payload is None:
        return False
    names = [payload.get(name) for name in ("sub", "sid", "jti")]
    times = [payload.get(name) for name in ("iat", "exp", "auth_time")]
    times.append(payload.get("nbf", 0))
    latest = NOW + LEEWAY
    return (
        all(isinstance(n, str) and 0 < len(n) < 256 and not _CONTROLS.search(n) for n in names)
        and all(type(t) in (int, float) and abs(t) < 2**53 for t in times)
        and times[0] <= latest
        and times[3] <= latest
        and times[1] > 0
        and type(payload.get("gen")) is int
        and payload.get("iss") == setup.issuer
        and (payload.get("aud") in ([setup.audience], setup.audience))
        and (setup.audience is not None or payload.get("aud") is None)
        and _depth(payload) <= 8
    )


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


class _Frozen(datetime):
    """The clock that PyJWT reads, standing at NOW."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return datetime.fromtimestamp(NOW, tz)


def by_pyjwt(raw: bytes, key: Key, setup: Setup) -> dict[str, Any]:
    """What `jwt.decode` makes of *raw*; it raises what that raises."""
    public = key.signer.public
    clock, api_jwt.datetime = api_jwt.datetime, _Frozen  # type: ignore[misc]
    try:
        return jwt.decode(
            raw,
            key.secret if public is None else public,
            algorithms=[key.algorithm],
            issuer=setup.issuer,
            audience=setup.audience,
            leeway=LEEWAY,
        )
    finally:
        api_jwt.datetime = clock  # type: ignore[misc]


def b64(raw: bytes) -> bytes:
    return urlsafe_b64encode(raw).rstrip(b"=")


def unb64(text: bytes) -> bytes:
    return urlsafe_b64decode(text + b"=" * (-len(text) % 4))


TARGET = Target(
    "access",
    target,
    separators=[b",", b".", b":", b"\n", b'"'],
    pieces=(
        re.compile(rb'"[a-z_]+":[^][,:{}\n]+'),
        re.compile(rb"(?<=:)[^][,:{}\n]+"),
        re.compile(rb"[^][.,:{}\n]+"),
    ),
    most=1024,
    execution="one token: signed unless it is already, read, and if it is accepted read by PyJWT"
    " and by a strict reader",
)
