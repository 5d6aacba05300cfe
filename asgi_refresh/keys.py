"""
Keys: one algorithm for each, fixed by configuration.

PyJWT is the authority for key material; what is done here is to ask it once, when a key is built,
instead of on every token.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import jwt
from jwt.algorithms import HMACAlgorithm

from . import jwk
from .errors import ConfigurationError
from .signers import Asymmetric, Mac, Signer, b64encode, derive

Secret = str | bytes

ALGORITHMS: Final = frozenset(
    {"HS256", "HS384", "HS512", "RS256", "PS256", "ES256", "ES384", "EdDSA"}
)
MIN_SECRET: Final = 32
"""Bytes of a secret: the output of SHA-256 (RFC 7518, 3.2)."""

_KID: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class Key:
    """
    A key for access tokens that other services verify too.

    Attributes:
        secret: The shared secret for HS256, HS384 and HS512; else the private key as PEM or as
            an object of `cryptography`, or None for a key that only verifies.
        id: The `kid` in the token header: up to 64 letters, digits, `_`, `.` and `-`.
        algorithm: One of `ALGORITHMS`; all but HS* need the extra `crypto`.
        public: The public key as PEM or object; None takes it from *secret*.

    Raises:
        ConfigurationError: The key is too short, of the wrong kind, or its id is no kid.
    """

    secret: Any = field(repr=False)
    id: str
    algorithm: str = "HS256"
    public: Any = field(default=None, repr=False)
    signer: Signer = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not _KID.match(self.id):
            raise ConfigurationError("a key id is 1 to 64 letters, digits, '_', '.' and '-'")
        if not isinstance(self.algorithm, str) or self.algorithm not in ALGORITHMS:
            raise ConfigurationError(f"algorithm must be one of {', '.join(sorted(ALGORITHMS))}")
        try:
            signer = _prepare(self.secret, self.public, self.algorithm)
        except ConfigurationError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever PyJWT or cryptography raise
            # PyJWT's message may quote the key.
            raise ConfigurationError(
                f"key {self.id!r} is not usable with {self.algorithm} ({type(error).__name__});"
                " all but HS256, HS384 and HS512 need asgi_refresh[crypto]"
            ) from None
        object.__setattr__(self, "signer", signer)

    @classmethod
    def from_pem(
        cls,
        pem: str | bytes,
        id: str | None = None,  # noqa: A002 - as the attribute is called
        *,
        algorithm: str | None = None,
        password: bytes | None = None,
    ) -> Key:
        """
        Return the key that *pem* holds: a private one, or a public one that only verifies.

        Args:
            pem: A private key (PKCS #8 or older) or a public one.
            id: The `kid`; None is its thumbprint (RFC 7638).
            algorithm: None: RS256 for RSA, ES256 or ES384 by the curve, EdDSA for Ed25519.
            password: Of an encrypted private key.

        Raises:
            ConfigurationError: It is no such key.
        """
        private, public, usual = jwk.load_pem(pem, password)
        algorithm = algorithm or usual
        return cls(private, id or _thumbprint(public, usual), algorithm, public)

    @classmethod
    def from_jwk(cls, key: Mapping[str, Any] | str, id: str | None = None) -> Key:  # noqa: A002
        """
        Return the key that a JWK holds (RFC 7517): an object, or its JSON.

        Args:
            key: A private, public or symmetric (`oct`) key. Its `alg` counts; without one it is
                as for `from_pem`, and HS256.
            id: The `kid`; None is that of the JWK, or else its thumbprint.

        Raises:
            ConfigurationError: It is no such key, or not for signatures.
        """
        secret, public, algorithm, kid = jwk.load_jwk(key)
        if id is None and kid is None:
            kid = "oct" if public is None else _thumbprint(public, algorithm)
        return cls(secret, cast("str", id or kid), algorithm, public)

    @classmethod
    def generate(cls, algorithm: str = "ES256", id: str | None = None) -> Key:  # noqa: A002
        """
        Return a new key pair.

        Raises:
            ConfigurationError: The algorithm has none: a secret is `secrets.token_urlsafe(32)`.
        """
        private = jwk.generate(algorithm)
        return cls(private, id or _thumbprint(private.public_key(), algorithm), algorithm)

    @property
    def signs(self) -> bool:
        """Whether it can sign; else it only verifies."""
        return self.secret is not None

    def public_jwk(self) -> dict[str, Any] | None:
        """Return the public half as a JWK (RFC 7517), or None for a shared secret."""
        public = self.signer.public
        if public is None:
            return None
        return {
            **jwk.public_jwk(public, self.algorithm),
            "kid": self.id,
            "alg": self.algorithm,
            "use": "sig",
        }

    def to_pem(self) -> str:
        """
        Return the key as PEM: the private half (PKCS #8, not encrypted), or the public one.

        Raises:
            ConfigurationError: A shared secret has no such form.
        """
        public, private = self.signer.public, self.signer.private
        if public is None:
            raise ConfigurationError("a shared secret has no PEM form")
        return jwk.public_pem(public) if private is None else jwk.private_pem(private)


def _thumbprint(public: Any, algorithm: str) -> str:
    return jwk.thumbprint(jwk.public_jwk(public, algorithm))


def _prepare(secret: Any, public: Any, name: str) -> Signer:
    algorithm = jwt.get_algorithm_by_name(name)
    if isinstance(algorithm, HMACAlgorithm):
        if public is not None:
            raise ConfigurationError(f"a key for {name} has no public half")
        key = algorithm.prepare_key(secret_bytes(secret))
        size = algorithm.hash_alg().digest_size
        if len(key) < size:
            raise ConfigurationError(
                f"a secret for {name} is {size} bytes or more, this has {len(key)}"
            )
        return Mac(key, algorithm.hash_alg)
    if secret is None and public is None:
        raise ConfigurationError(f"a key for {name} needs its private or its public half")
    private: Any = None if secret is None else algorithm.prepare_key(secret)
    verifying: Any = private.public_key() if public is None else algorithm.prepare_key(public)
    too_short = algorithm.check_key_length(verifying)
    if too_short:
        raise ConfigurationError(too_short)
    signer = Asymmetric(algorithm, private, verifying)
    if private is not None and not signer.verify(b"probe", signer.sign(b"probe")):
        raise ConfigurationError("the public key is not that of the private key")
    return signer


def secret_bytes(secret: Secret) -> bytes:
    """
    Return *secret* as bytes if it may serve as one.

    Raises:
        ConfigurationError: It is shorter than `MIN_SECRET`, or looks like a public or private key
            in PEM, DER, SSH or JWK form, which is known to others (RFC 8725, 3.1 and 3.5).
    """
    if not isinstance(secret, str | bytes):
        raise ConfigurationError(f"a secret is str or bytes, not {type(secret).__name__}")
    try:
        raw = secret.encode() if isinstance(secret, str) else secret
    except UnicodeEncodeError:
        raise ConfigurationError("a secret that is a str must be Unicode text") from None
    if len(raw) < MIN_SECRET:
        raise ConfigurationError(
            f"a secret needs at least {MIN_SECRET} bytes and this one has {len(raw)};"
            " make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    if _KEY_TEXT.match(raw) or _is_jwk(raw) or _is_der(raw):
        raise ConfigurationError("a secret must be random bytes, not a key in PEM, DER, SSH or JWK")
    return raw


_KEY_TEXT: Final = re.compile(rb"(\xef\xbb\xbf)?\s*(-----? ?BEGIN |(sk-)?(ssh|ecdsa)-)")


def _is_jwk(raw: bytes) -> bool:
    try:
        parsed = json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return isinstance(parsed, dict | list) and b'"kty"' in raw


def _is_der(raw: bytes) -> bool:
    """Whether *raw* is one ASN.1 SEQUENCE from end to end, of what a key begins with."""
    octets = raw[1] & 0x7F if raw[1] & 0x80 else 0
    size = int.from_bytes(raw[2 : 2 + octets]) if octets else raw[1]
    inner = raw[2 + octets : 3 + octets]
    return raw[0] == 0x30 and len(raw) == 2 + octets + size and inner in (b"\x30", b"\x02")


def access_keys(keys: Sequence[Secret | Key]) -> tuple[Key, ...]:
    """Return the ring for access tokens: each `Key` as it is, each bare secret derived."""
    ring = tuple(key if isinstance(key, Key) else _derived_key(secret_bytes(key)) for key in keys)
    if not ring:
        raise ConfigurationError("an issuer needs at least one key")
    if not ring[0].signs:
        raise ConfigurationError("the first key signs, and this one has no private half")
    if len({key.id for key in ring}) != len(ring):
        raise ConfigurationError("two keys of the ring have the same id")
    return ring


def _derived_key(secret: bytes) -> Key:
    kid = b64encode(derive(secret, "key id")[:6]).decode()
    return Key(derive(secret, "access token"), kid)
