"""Keys on paper: PEM and JWK, both ways, and what is no key."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519

from asgi_refresh import Issuer, Key, MemoryStore
from asgi_refresh.errors import ConfigurationError
from asgi_refresh.jwk import generate, thumbprint
from asgi_refresh.keys import ALGORITHMS, access_keys
from tests.tokens import forge
from tests.tokens.forge import KINDS, private_key, private_pem, public_bytes

PAIRS = sorted(KINDS)
SHARED = sorted(ALGORITHMS - set(PAIRS))
PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
CANARY = "canary-canary-canary-canary-canary-canary-canary-canary-canary-canary"


def same(one: Key, two: Key) -> bool:
    """Whether each verifies what the other signs."""
    return two.signer.verify(b"m", one.signer.sign(b"m")) and (
        not two.signs or one.signer.verify(b"m", two.signer.sign(b"m"))
    )


def private_jwk(algorithm: str) -> dict[str, Any]:
    made: Any = jwt.get_algorithm_by_name(algorithm)
    return {**made.to_jwk(private_key(KINDS[algorithm]), as_dict=True), "alg": algorithm}


# --- PEM ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", PAIRS)
def test_a_private_key_makes_the_round_trip_by_pem(algorithm: str) -> None:
    key = forge.make_key(algorithm)
    back = Key.from_pem(key.to_pem(), key.id, algorithm=algorithm)

    assert (back.id, back.algorithm, back.signs) == (key.id, algorithm, True)
    assert same(key, back)


@pytest.mark.parametrize("algorithm", PAIRS)
def test_a_public_key_makes_the_round_trip_by_pem(algorithm: str) -> None:
    key = forge.make_key(algorithm)
    pem = public_bytes(private_key(KINDS[algorithm]))
    back = Key.from_pem(pem, algorithm=algorithm)

    assert (back.signs, back.to_pem().encode()) == (False, pem)
    assert same(key, back)


@pytest.mark.parametrize(
    ("algorithm", "usual"), [(a, "RS256" if a == "PS256" else a) for a in PAIRS]
)
def test_the_algorithm_is_that_of_the_key(algorithm: str, usual: str) -> None:
    assert Key.from_pem(private_pem(private_key(KINDS[algorithm]))).algorithm == usual


@pytest.mark.parametrize("algorithm", PAIRS)
def test_the_id_is_the_thumbprint_the_same_for_both_halves(algorithm: str) -> None:
    key = private_key(KINDS[algorithm])
    private, public = Key.from_pem(private_pem(key)), Key.from_pem(public_bytes(key))

    assert private.id == public.id == thumbprint(public.public_jwk() or {})
    assert len(private.id) == 43


@pytest.mark.parametrize("algorithm", PAIRS)
def test_a_jwk_may_be_padded(algorithm: str) -> None:
    """RFC 7515 says without `=`, and not everybody does."""
    made = json.loads(
        jwt.get_algorithm_by_name(algorithm).to_jwk(private_key(KINDS[algorithm]))  # type: ignore[no-untyped-call]
    )
    padded = {
        name: value + "=" * (-len(value) % 4) if name in "xyden" else value
        for name, value in made.items()
    }

    assert Key.from_jwk({**padded, "alg": algorithm}).signs


@pytest.mark.parametrize("form", ["TraditionalOpenSSL", "PKCS8"])
@pytest.mark.parametrize("kind", ["rsa", "p256"])
def test_older_forms_are_taken(form: str, kind: str) -> None:
    pem = private_key(kind).private_bytes(
        serialization.Encoding.PEM,
        getattr(serialization.PrivateFormat, form),
        serialization.NoEncryption(),
    )
    assert Key.from_pem(pem.decode()).signs


def test_an_encrypted_key_opens_with_its_password() -> None:
    pem = _encrypted(b"hunter2")
    assert Key.from_pem(pem, password=b"hunter2").signs


@pytest.mark.parametrize("password", [None, b"wrong", b""])
def test_an_encrypted_key_does_not_open_without_its_password(password: bytes | None) -> None:
    with pytest.raises(ConfigurationError):
        Key.from_pem(_encrypted(b"hunter2"), password=password)


def test_a_password_for_a_key_that_has_none_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        Key.from_pem(private_pem(private_key("p256")), password=b"hunter2")


def _encrypted(password: bytes) -> bytes:
    pem: bytes = private_key("p256").private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password),
    )
    return pem


def wrong_pems() -> dict[str, Any]:
    form, pem = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.Encoding.PEM
    unknown = ec.generate_private_key(ec.SECP256K1())
    x448 = ed448.Ed448PrivateKey.generate()
    body = public_bytes(private_key("p256")).splitlines()
    # An algorithm identifier that nobody has: cryptography calls that "unsupported", not "wrong".
    odd = b"MBUwDQYJYIZIAWUDBAIqBQADBAAEAgE="
    head, tail = b"-----BEGIN PUBLIC KEY-----", b"-----END PUBLIC KEY-----"
    return {
        "nothing": "",
        "text": CANARY,
        "a path": "/etc/ssl/private/canary.pem",
        "not a key": f"{head.decode()}\n{CANARY}\n{tail.decode()}\n",
        "not a private key": f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n",
        "cut short": b"\n".join([*body[:-2], tail]),
        "a certificate": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        "unknown algorithm": b"\n".join([head, odd, tail]),
        "P-521": private_pem(ec.generate_private_key(ec.SECP521R1())),
        "secp256k1": unknown.public_key().public_bytes(pem, form),
        "Ed448": private_pem(x448),
        "X25519": private_pem(x25519.X25519PrivateKey.generate()),
        "DSA": private_pem(dsa.generate_private_key(1024)),
        "RSA of 1024 bits": private_pem(private_key("rsa 1024")),
        "surrogates": "\udcff" + CANARY,
        "None": None,
        "a number": 5,
        "a Path": Path("canary.pem"),
    }


WRONG_PEMS = list(wrong_pems())


@pytest.mark.parametrize("what", WRONG_PEMS)
def test_a_pem_of_no_use_is_refused_without_being_quoted(what: str) -> None:
    pem = wrong_pems()[what]
    with pytest.raises(ConfigurationError) as caught:
        Key.from_pem(pem)
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "canary" not in told
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [
        ("rsa", "ES256"), ("rsa", "EdDSA"), ("rsa", "HS256"), ("p256", "ES384"), ("p384", "ES256"),
        ("p256", "RS256"), ("ed25519", "ES256"), ("ed25519", "HS512"), ("p256", "none"),
        ("p256", "ES512"), ("rsa", "RS512"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("half", ["private", "public"])
def test_an_algorithm_that_is_not_the_keys_is_refused(kind: str, algorithm: str, half: str) -> None:
    key = private_key(kind)
    with pytest.raises(ConfigurationError):
        Key.from_pem(
            private_pem(key) if half == "private" else public_bytes(key), algorithm=algorithm
        )


@pytest.mark.parametrize("algorithm", SHARED)
def test_a_shared_secret_has_no_pem(algorithm: str) -> None:
    with pytest.raises(ConfigurationError, match="no PEM"):
        forge.make_key(algorithm).to_pem()


# --- JWK ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", PAIRS)
@pytest.mark.parametrize("text", [True, False])
def test_a_private_jwk_is_the_key(algorithm: str, text: bool) -> None:
    made = private_jwk(algorithm)
    key = Key.from_jwk(json.dumps(made) if text else made)

    assert (key.algorithm, key.signs) == (algorithm, True)
    assert same(forge.make_key(algorithm), key)


@pytest.mark.parametrize("algorithm", PAIRS)
def test_a_public_key_makes_the_round_trip_by_jwk(algorithm: str) -> None:
    key = forge.make_key(algorithm)
    back = Key.from_jwk(key.public_jwk() or {})

    assert (back.id, back.algorithm, back.signs) == (key.id, algorithm, False)
    assert same(key, back)
    assert back.public_jwk() == key.public_jwk()


@pytest.mark.parametrize("algorithm", SHARED)
def test_a_symmetric_jwk_is_the_key(algorithm: str) -> None:
    made = {
        "kty": "oct",
        "k": forge.b64(forge.ACCESS_SECRET).decode(),
        "alg": algorithm,
        "kid": "a",
    }
    key = Key.from_jwk(made)

    assert (key.algorithm, key.id, key.signs, key.public_jwk()) == (algorithm, "a", True, None)
    assert same(forge.make_key(algorithm), key)


@pytest.mark.parametrize("algorithm", PAIRS)
def test_without_alg_the_kind_of_key_decides(algorithm: str) -> None:
    made = private_jwk(algorithm)
    del made["alg"]

    assert Key.from_jwk(made).algorithm == ("RS256" if algorithm == "PS256" else algorithm)


@pytest.mark.parametrize("algorithm", PAIRS)
def test_no_private_member_is_ever_published(algorithm: str) -> None:
    for key in (Key.from_jwk(private_jwk(algorithm)), forge.make_key(algorithm)):
        published = key.public_jwk() or {}
        assert published
        assert PRIVATE_MEMBERS & set(published) == set()


@pytest.mark.parametrize("algorithm", PAIRS)
def test_pyjwt_reads_the_published_key(algorithm: str) -> None:
    key = forge.make_key(algorithm)
    head = forge.b64(json.dumps({"alg": algorithm}))
    message = head + b"." + forge.b64(b'{"a":1}')
    raw = message + b"." + key.signer.sign(message)

    assert jwt.decode(raw, jwt.PyJWK(key.public_jwk() or {}), algorithms=[algorithm]) == {"a": 1}


@pytest.mark.parametrize(("curve", "size"), [(ec.SECP256R1(), 43), (ec.SECP384R1(), 64)])
def test_coordinates_keep_their_leading_zeros(curve: Any, size: int) -> None:
    """RFC 7518, 6.2.1.2: the full size of a coordinate, which one key in 128 would not fill."""
    number = next(
        n
        for n in range(1, 20_000)
        if (p := ec.derive_private_key(n, curve).public_key().public_numbers()).x
        < 1 << (curve.key_size - 8)
        or p.y < 1 << (curve.key_size - 8)
    )
    key = Key.from_pem(private_pem(ec.derive_private_key(number, curve)))
    published = key.public_jwk() or {}

    assert (len(published["x"]), len(published["y"])) == (size, size)
    assert Key.from_jwk(published).id == key.id


def test_the_thumbprint_is_that_of_rfc_7638() -> None:
    """RFC 7638, 3.1."""
    example = {
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6"
        "tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YG"
        "jQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bF"
        "TWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        "e": "AQAB",
        "alg": "RS256",
        "kid": "2011-04-29",
    }
    print_ = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert thumbprint(example) == print_
    assert Key.from_jwk(example).id == "2011-04-29"
    del example["kid"]
    assert Key.from_jwk(example).id == print_


def test_the_thumbprint_of_rfc_8037() -> None:
    """RFC 8037, A.3."""
    example = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert Key.from_jwk(example).id == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def wrong_jwks() -> dict[str, Any]:
    rsa, p256, ed = private_jwk("RS256"), private_jwk("ES256"), private_jwk("EdDSA")
    oct_ = {"kty": "oct", "k": forge.b64(CANARY).decode()}
    return {
        "no JSON": "{" + CANARY,
        "a list": json.dumps([rsa]),
        "a number": "5",
        "nothing": {},
        "no kind": {**rsa, "kty": None},
        "another kind": {**rsa, "kty": CANARY},
        "encryption": {**rsa, "use": "enc"},
        "another use": {**p256, "use": CANARY},
        "key_ops of encryption": {**rsa, "key_ops": ["encrypt", "decrypt"]},
        "key_ops of nothing": {**p256, "key_ops": []},
        "key_ops that are no list": {**p256, "key_ops": 5},
        "another algorithm": {**rsa, "alg": "ES256"},
        "another curve": {**p256, "alg": "ES384"},
        "HMAC of a public key": {**rsa, "alg": "HS256"},
        "RSA of a secret": {**oct_, "alg": "RS256"},
        "no algorithm of ours": {**rsa, "alg": "RS512"},
        "none": {**p256, "alg": "none"},
        "an algorithm that is no text": {**p256, "alg": 5},
        "RSA-OAEP": {**rsa, "alg": "RSA-OAEP"},
        "Ed448": {"kty": "OKP", "crv": "Ed448", "x": forge.b64(b"x" * 57).decode()},
        "P-521": {"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"},
        "a point off the curve": {**p256, "x": forge.b64(b"\1" * 32).decode()},
        "no modulus": {**rsa, "n": None},
        "a private half of another": {**ed, "d": forge.b64(b"\1" * 32).decode()},
        "a kid that is none": {**p256, "kid": f"{CANARY}/../{CANARY}"},
        "a kid that is no text": {**p256, "kid": 5},
        "a short secret": {"kty": "oct", "k": forge.b64(CANARY[:20]).decode(), "kid": "a"},
        "a secret for HS512 too short": {
            "kty": "oct", "k": forge.b64(CANARY[:40]).decode(), "kid": "a", "alg": "HS512",
        },
        "None": None,
        "bytes": CANARY.encode(),
    }  # fmt: skip


WRONG_JWKS = list(wrong_jwks())


@pytest.mark.parametrize("what", WRONG_JWKS)
def test_a_jwk_of_no_use_is_refused_without_being_quoted(what: str) -> None:
    made = wrong_jwks()[what]
    with pytest.raises(ConfigurationError) as caught:
        Key.from_jwk(made)
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert CANARY[:20] not in told
    if isinstance(made, dict) and isinstance(made.get("d"), str):
        assert made["d"] not in told
    assert caught.value.__cause__ is None


def test_key_ops_of_signatures_are_taken() -> None:
    assert Key.from_jwk({**private_jwk("ES256"), "key_ops": ["sign", "verify"]}).signs
    assert not Key.from_jwk(
        {**(forge.make_key("ES256").public_jwk() or {}), "key_ops": ["verify"]}
    ).signs


# --- generated ------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", PAIRS)
def test_a_generated_key_signs_and_is_of_its_algorithm(algorithm: str) -> None:
    key = Key.generate(algorithm)

    assert (key.algorithm, key.signs, len(key.id)) == (algorithm, True, 43)
    assert same(key, Key.from_jwk(key.public_jwk() or {}))


def test_two_generated_keys_are_two() -> None:
    assert Key.generate().id != Key.generate().id
    assert Key.generate("ES256", "mine").id == "mine"


@pytest.mark.parametrize("algorithm", [*SHARED, "none", "ES512", ""])
def test_a_secret_is_not_generated_here(algorithm: str) -> None:
    with pytest.raises(ConfigurationError, match="no key pairs"):
        Key.generate(algorithm)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
def test_a_generated_rsa_key_has_3072_bits(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for, and not made: that takes a second."""
    monkeypatch.setattr(rsa, "generate_private_key", lambda exponent, bits: (exponent, bits))
    assert generate(algorithm) == (65537, 3072)


# --- verify-only ----------------------------------------------------------------------------------


def test_a_ring_whose_first_key_only_verifies_is_refused() -> None:
    public = Key.from_pem(public_bytes(private_key("p256")))
    for ring in ([public], [public, Key.generate()]):
        with pytest.raises(ConfigurationError, match="first key signs"):
            access_keys(ring)
        with pytest.raises(ConfigurationError, match="first key signs"):
            Issuer(ring, secret=forge.SECRET, store=MemoryStore())


def test_a_later_key_may_only_verify() -> None:
    public = Key.from_pem(public_bytes(private_key("p256")))
    assert access_keys([Key.generate(), public])[1] is public


def test_a_shared_secret_has_no_public_half() -> None:
    with pytest.raises(ConfigurationError, match="public half"):
        Key(
            forge.ACCESS_SECRET,
            "a",
            "HS256",
            public=ed25519.Ed25519PrivateKey.generate().public_key(),
        )


def test_a_shared_secret_that_does_not_say_is_for_hs256_and_its_id_is_no_hash_of_it() -> None:
    key = Key.from_jwk({"kty": "oct", "k": forge.b64(b"s" * 32)})

    assert (key.algorithm, key.id) == ("HS256", "oct")


def test_the_public_half_of_a_generated_key_says_what_it_is_for() -> None:
    key = Key.generate("EdDSA")
    published = key.public_jwk() or {}

    assert {name: published[name] for name in ("kid", "alg", "use", "kty", "crv")} == {
        "kid": key.id, "alg": "EdDSA", "use": "sig", "kty": "OKP", "crv": "Ed25519",
    }  # fmt: skip


def test_what_is_no_key_is_named_by_the_kind_of_its_error_alone() -> None:
    with pytest.raises(ConfigurationError, match=r"^not a usable JWK: KeyError$"):
        Key.from_jwk({"kid": "secret"})
    with pytest.raises(ConfigurationError, match=r"^not a key in PEM: ValueError$"):
        Key.from_pem("-----BEGIN PUBLIC KEY-----\nsecret\n-----END PUBLIC KEY-----\n")
