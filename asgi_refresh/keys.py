"""
Keys, and the signatures they make: one algorithm for each key, fixed by configuration.

PyJWT is the authority for key material and cryptography; what is done here is to ask it once, when
a key is built, instead of on every token.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from base64 import urlsafe_b64encode
from binascii import Error as BinasciiError
from binascii import a2b_base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import jwt
from itsdangerous import Signer as ItsDangerousSigner
from jwt.algorithms import Algorithm, HMACAlgorithm

from .errors import ConfigurationError

Secret = str | bytes

ALGORITHMS: Final = frozenset(
    {"HS256", "HS384", "HS512", "RS256", "PS256", "ES256", "ES384", "EdDSA"}
)
MIN_SECRET: Final = 32
"""Bytes of a secret: the output of SHA-256 (RFC 7518, 3.2)."""

_KID: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")


class Signer(Protocol):
    """A prepared key. Signatures are unpadded base64url text, in one spelling only."""

    def sign(self, message: bytes) -> bytes:
        """Return the signature of *message*."""
        ...

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Return whether *signature* is that of *message*; False for any garbage."""
        ...


class Mac:
    """An HMAC with the key worked in once, which saves two thirds of the time."""

    __slots__ = ("_keyed",)

    def __init__(self, key: bytes, digest: Any = hashlib.sha256) -> None:
        self._keyed = hmac.new(key, digestmod=digest)

    def sign(self, message: bytes) -> bytes:
        """Return the tag of *message*."""
        keyed = self._keyed.copy()
        keyed.update(message)
        return urlsafe_b64encode(keyed.digest()).rstrip(b"=")

    def verify(self, message: bytes, signature: bytes) -> bool:
        """
        Return whether *signature* is the tag of *message*.

        Compared as text, in constant time: so no other spelling of the same tag passes, and
        nothing unauthenticated is decoded.
        """
        return hmac.compare_digest(self.sign(message), signature)


class _Asymmetric:
    __slots__ = ("_algorithm", "_private", "_public")

    def __init__(self, algorithm: Algorithm, private: Any, public: Any) -> None:
        self._algorithm = algorithm
        self._private = private
        self._public = public

    def sign(self, message: bytes) -> bytes:
        return urlsafe_b64encode(self._algorithm.sign(message, self._private)).rstrip(b"=")

    def verify(self, message: bytes, signature: bytes) -> bool:
        decoded = b64decode(signature)
        return decoded is not None and self._algorithm.verify(message, self._public, decoded)


@dataclass(frozen=True, slots=True)
class Key:
    """
    A key for access tokens that other services verify too.

    Attributes:
        secret: The shared secret for HS256, HS384 and HS512; else the private key as PEM or as
            an object of `cryptography`.
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
    private = algorithm.prepare_key(secret)
    too_short = algorithm.check_key_length(private)
    if too_short:
        raise ConfigurationError(too_short)
    verifying = private.public_key() if public is None else algorithm.prepare_key(public)
    signer = _Asymmetric(algorithm, private, verifying)
    if not signer.verify(b"probe", signer.sign(b"probe")):
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


def derive(secret: bytes, purpose: str) -> bytes:
    """
    Return the key for *purpose* that *secret* stands for: 32 bytes nobody derives backwards.

    One secret serves every purpose, and no token of one purpose passes for another (RFC 8725, 3.9).
    The derivation is itsdangerous', so that its `Signer` makes the same signatures.
    """
    signer = ItsDangerousSigner(
        secret,
        salt=b"asgi_refresh " + purpose.encode(),
        key_derivation="hmac",
        digest_method=hashlib.sha256,
    )
    return signer.derive_key()


def access_keys(keys: Sequence[Secret | Key]) -> tuple[Key, ...]:
    """Return the ring for access tokens: each `Key` as it is, each bare secret derived."""
    ring = tuple(key if isinstance(key, Key) else _derived_key(secret_bytes(key)) for key in keys)
    if not ring:
        raise ConfigurationError("an issuer needs at least one key")
    if len({key.id for key in ring}) != len(ring):
        raise ConfigurationError("two keys of the ring have the same id")
    return ring


def _derived_key(secret: bytes) -> Key:
    kid = urlsafe_b64encode(derive(secret, "key id")[:6]).decode()
    return Key(derive(secret, "access token"), kid)


_STANDARD: Final = bytes.maketrans(b"-_+/=", b"+/!!!")
# The last character of a group that is cut short spells bits beyond the last octet: zero ones.
_PADDING: Final = (b"", b"", b"==", b"=")
_LAST: Final = {2: frozenset(b"AQgw"), 3: frozenset(b"AEIMQUYcgkosw048")}


def b64decode(text: bytes) -> bytes | None:
    """Return what *text* spells in unpadded base64url, or None unless it is the one spelling."""
    short = len(text) % 4
    if short == 1 or (short and text[-1] not in _LAST[short]):
        return None
    try:
        return a2b_base64(text.translate(_STANDARD) + _PADDING[short], strict_mode=True)
    except BinasciiError:
        return None
