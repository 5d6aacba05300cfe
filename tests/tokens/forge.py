"""
Tokens made by hand, with nothing of the library: what a key holder gone wrong could sign.

HMAC and base64 are the standard library's, the JSON text is whatever a test says.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from asgi_refresh import Config, Issuer, Key
from asgi_refresh.errors import InvalidTokenError
from asgi_refresh.jwt_profile import JwtProfile
from tests.support import Clock

NOW = 1_800_000_000
SECRET = b"the-refresh-secret-of-the-token-tests"
ACCESS_SECRET = b"an-access-secret-that-is-long-enough-for-HS512-too-as-it-has-to-be"
KID = "key-1"
KEY = Key(ACCESS_SECRET, KID)
DIGESTS = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}


class Raw(str):
    """JSON text that stands in a payload as it is: NaN, 1e400, a name twice."""

    __slots__ = ()


def b64(data: bytes | str) -> bytes:
    raw = data.encode() if isinstance(data, str) else data
    return urlsafe_b64encode(raw).rstrip(b"=")


def unb64(text: bytes) -> bytes:
    from base64 import urlsafe_b64decode

    return urlsafe_b64decode(text + b"=" * (-len(text) % 4))


def header(**changes: Any) -> dict[str, Any]:
    """The header of the library's own tokens; `...` removes a member."""
    members = {"alg": "HS256", "kid": KID, "typ": "at+jwt", **changes}
    return {name: value for name, value in members.items() if value is not ...}


def claims(**changes: Any) -> dict[str, Any]:
    """A good claims set; `...` removes a claim."""
    members = {
        "sub": "alice",
        "sid": "0123456789abcdef0123456789abcdef",
        "jti": "fedcba9876543210fedcba9876543210",
        "iat": NOW,
        "exp": NOW + 600,
        "auth_time": NOW,
        "gen": 1,
        **changes,
    }
    return {name: value for name, value in members.items() if value is not ...}


def text(members: dict[str, Any]) -> str:
    return ",".join(
        f"{json.dumps(name)}:{value if isinstance(value, Raw) else json.dumps(value)}"
        for name, value in members.items()
    ).join("{}")


def mac(message: bytes, secret: bytes = ACCESS_SECRET, digest: str = "HS256") -> bytes:
    return b64(hmac.new(secret, message, DIGESTS[digest]).digest())


def sign(head: bytes, body: bytes, secret: bytes = ACCESS_SECRET, digest: str = "HS256") -> bytes:
    """Both segments as they stand on the wire, and a genuine signature."""
    message = head + b"." + body
    return message + b"." + mac(message, secret, digest)


def token(payload: Any = None, head: Any = None, *, secret: bytes = ACCESS_SECRET) -> bytes:
    """A genuinely signed token of two dicts, or of JSON text or bytes that need not be JSON."""
    payload = claims() if payload is None else payload
    head = header() if head is None else head
    return sign(
        b64(text(head) if isinstance(head, dict) else head),
        b64(text(payload) if isinstance(payload, dict) else payload),
        secret,
    )


def profile(*keys: Key, **kwargs: Any) -> JwtProfile:
    return JwtProfile(keys or (KEY,), [SECRET], **kwargs)


def issuer(config: Config | None = None, *, clock: Clock | None = None, **kwargs: Any) -> Issuer:
    kwargs.setdefault("store", None)
    return Issuer(
        kwargs.pop("key", KEY),
        secret=kwargs.pop("secret", SECRET),
        config=config,
        clock=Clock(NOW) if clock is None else clock,
        on_event=lambda _event: None,
        **kwargs,
    )


def refused(raw: bytes, reader: JwtProfile | None = None, config: Config | None = None) -> None:
    """Neither the profile nor the issuer takes *raw*, and neither says more than that."""
    with pytest.raises(InvalidTokenError) as caught:
        (reader or profile()).read_access(raw, now=NOW)
    assert type(caught.value) is InvalidTokenError
    with pytest.raises(InvalidTokenError) as caught:
        issuer(config).verify(raw.decode("latin-1"))
    assert (type(caught.value), str(caught.value)) == (InvalidTokenError, "the token is not valid")


def accepted(raw: bytes, reader: JwtProfile | None = None) -> dict[str, Any]:
    """The profile takes *raw*, and reads what it says."""
    read = (reader or profile()).read_access(raw, now=NOW).payload
    assert thaw(read) == json.loads(unb64(raw.split(b".")[1]))
    return read


def thaw(value: Any) -> Any:
    """Plain dicts and lists for read-only ones."""
    if isinstance(value, dict):
        return {name: thaw(member) for name, member in value.items()}
    if isinstance(value, tuple):
        return [thaw(item) for item in value]
    return value


@cache
def private_key(kind: str) -> Any:
    """One private key of each kind for the whole run: RSA keys take their time."""
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if kind == "rsa other":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if kind == "rsa 1024":
        return rsa.generate_private_key(public_exponent=65537, key_size=1024)
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key({"p256": ec.SECP256R1(), "p384": ec.SECP384R1()}[kind])


KINDS = {"RS256": "rsa", "PS256": "rsa", "ES256": "p256", "ES384": "p384", "EdDSA": "ed25519"}


def make_key(algorithm: str, kid: str = KID) -> Key:
    secret = ACCESS_SECRET if algorithm in DIGESTS else private_key(KINDS[algorithm])
    return Key(secret, kid, algorithm)


def private_pem(key: Any) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def public_bytes(key: Any, encoding: str = "PEM") -> bytes:
    """The public half in PEM, DER or OpenSSH form."""
    form = serialization.PublicFormat
    return key.public_key().public_bytes(
        {
            "PEM": serialization.Encoding.PEM,
            "DER": serialization.Encoding.DER,
            "SSH": serialization.Encoding.OpenSSH,
        }[encoding],
        form.OpenSSH if encoding == "SSH" else form.SubjectPublicKeyInfo,
    )
