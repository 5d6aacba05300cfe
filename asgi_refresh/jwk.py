"""
Keys on paper: PEM and JWK (RFC 7517, 8037), read and written with PyJWT and cryptography.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from types import SimpleNamespace
from typing import Any, Final, cast

import jwt

from .errors import ConfigurationError
from .signers import b64encode

_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384"}
_OF_KIND: Final = {"oct": "HS256", "RSA": "RS256"}
_OF_CURVE: Final = {"P-256": "ES256", "P-384": "ES384", "Ed25519": "EdDSA"}
# RFC 7638, 3.2: the members that make a thumbprint, for each kind of key and in their order.
_REQUIRED: Final = {
    "RSA": ("e", "kty", "n"),
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),
}


def load_pem(pem: str | bytes, password: bytes | None = None) -> tuple[Any, Any, str]:
    """
    Return the private key of *pem* (None if it is a public one), the public one, and an algorithm.

    Raises:
        ConfigurationError: It is no key that is of use here.
    """
    serialization = _cryptography().serialization
    try:
        raw = pem.encode() if isinstance(pem, str) else pem
        if b"PRIVATE KEY-----" in raw:
            private = serialization.load_pem_private_key(raw, password)
            public = private.public_key()
        else:
            private, public = None, serialization.load_pem_public_key(raw)
    except Exception as error:  # noqa: BLE001 - whatever cryptography raises; may quote it
        raise ConfigurationError(f"not a key in PEM: {type(error).__name__}") from None
    return private, public, _algorithm_of(public)


def _algorithm_of(public: Any) -> str:
    kind = type(public).__name__.lower()
    if "rsa" in kind:
        return "RS256"
    if "ed25519" in kind:
        return "EdDSA"
    curve = getattr(getattr(public, "curve", None), "name", None)
    if curve not in _CURVES:
        raise ConfigurationError("a key is RSA, EC on P-256 or P-384, or Ed25519")
    return _CURVES[curve]


def load_jwk(jwk: Mapping[str, Any] | str) -> tuple[Any, Any, str, str | None]:
    """
    Return secret or private key, public key, algorithm and id of a JWK.

    Raises:
        ConfigurationError: It is no key that is of use here.
    """
    try:
        members: dict[str, Any] = json.loads(jwk) if isinstance(jwk, str) else dict(jwk)
        kind = members["kty"]
        name = members.get("alg") or _OF_KIND.get(kind) or _OF_CURVE[members["crv"]]
        key: Any = jwt.PyJWK(members).key
    except Exception as error:  # noqa: BLE001 - whatever PyJWT or cryptography raise; may quote it
        raise ConfigurationError(f"not a usable JWK: {type(error).__name__}") from None
    if members.get("use", "sig") != "sig":
        raise ConfigurationError("this JWK is not for signatures (use)")
    ops: Any = members.get("key_ops", ["verify"])
    if not isinstance(ops, list) or not ("sign" in ops or "verify" in ops):
        raise ConfigurationError("this JWK is not for signatures (key_ops)")
    kid = members.get("kid")
    if kind == "oct":
        return key, None, name, kid
    if "d" not in members:
        return None, key, name, kid
    public = key.public_key()
    # PyJWT before 2.14 takes whatever stands beside the private half.
    if kind == "OKP" and public_jwk(public, name)["x"] != str(members.get("x")).rstrip("="):
        raise ConfigurationError("this JWK is of two keys: its halves do not belong together")
    return key, public, name, kid


def public_jwk(public: Any, algorithm: str) -> dict[str, Any]:
    """Return the JWK of a *public* key, without `kid`, `alg` and `use`."""
    made = cast("Any", jwt.get_algorithm_by_name(algorithm)).to_jwk(public, as_dict=True)
    return {name: value for name, value in made.items() if name in _REQUIRED[made["kty"]]}


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """Return the SHA-256 thumbprint of a JWK (RFC 7638), which serves as its id."""
    members = {name: jwk[name] for name in _REQUIRED[jwk["kty"]]}
    text = json.dumps(members, separators=(",", ":"))
    return b64encode(sha256(text.encode()).digest()).decode()


def generate(algorithm: str) -> Any:
    """
    Return a new private key for *algorithm*: RSA keys have 3072 bits.

    Raises:
        ConfigurationError: It is no algorithm of key pairs.
    """
    crypto = _cryptography()
    if algorithm in ("RS256", "PS256"):
        return crypto.rsa.generate_private_key(65537, 3072)
    if algorithm == "ES256":
        return crypto.ec.generate_private_key(crypto.ec.SECP256R1())
    if algorithm == "ES384":
        return crypto.ec.generate_private_key(crypto.ec.SECP384R1())
    if algorithm == "EdDSA":
        return crypto.ed25519.Ed25519PrivateKey.generate()
    raise ConfigurationError(f"{algorithm} has no key pairs: RS256, PS256, ES256, ES384 or EdDSA")


def private_pem(private: Any) -> str:
    """Return a private key as PEM (PKCS #8), not encrypted."""
    serialization = _cryptography().serialization
    raw: bytes = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return raw.decode()


def public_pem(public: Any) -> str:
    """Return a public key as PEM (SubjectPublicKeyInfo)."""
    serialization = _cryptography().serialization
    raw: bytes = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return raw.decode()


def _cryptography() -> Any:
    """Return the modules of the extra `crypto`, by their names."""
    try:
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415
    except ImportError:
        raise ConfigurationError(
            "keys in PEM and key pairs need: pip install 'asgi-refresh[crypto]'"
        ) from None
    return SimpleNamespace(serialization=serialization, ec=ec, ed25519=ed25519, rsa=rsa)
