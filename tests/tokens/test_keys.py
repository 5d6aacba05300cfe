"""Keys: what may be one, what it signs, and that nothing shows it."""

from __future__ import annotations

import hashlib
import hmac
import json
import traceback
from base64 import b64encode
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import example, given
from hypothesis import strategies as st

from asgi_refresh import Issuer, Key, MemoryStore
from asgi_refresh.errors import ConfigurationError
from asgi_refresh.keys import ALGORITHMS, MIN_SECRET, access_keys, secret_bytes
from asgi_refresh.signers import Mac, b64decode, derive
from tests.support import Clock
from tests.tokens import forge
from tests.tokens.forge import ACCESS_SECRET, KID, SECRET, b64, make_key, private_key

SIZES = {"HS256": 32, "HS384": 48, "HS512": 64}
CANARY = "canary-canary-canary-canary-canary-canary-canary-canary-canary-canary"


def key_like_secrets() -> dict[str, bytes]:
    """What others know or may know, in every shape it is passed around in."""
    rsa, p256, ed = private_key("rsa"), private_key("p256"), private_key("ed25519")
    jwk = jwt.algorithms.RSAAlgorithm.to_jwk(rsa.public_key())
    return {
        "PEM public": forge.public_bytes(rsa),
        "PEM public, EC": forge.public_bytes(p256),
        "PEM private": forge.private_pem(p256),
        "PEM after white space": b"\r\n  " + forge.public_bytes(rsa),
        "PEM without newlines": forge.public_bytes(p256).replace(b"\n", b"\\n"),
        "certificate": b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        "DER public, long form": forge.public_bytes(rsa, "DER"),
        "DER public, short form": forge.public_bytes(p256, "DER"),
        "DER public, Ed25519": forge.public_bytes(ed, "DER"),
        "DER public, PKCS #1": rsa.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1),
        "DER private": p256.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        "SSH, RSA": forge.public_bytes(rsa, "SSH"),
        "SSH, ECDSA": forge.public_bytes(p256, "SSH"),
        "SSH, Ed25519": forge.public_bytes(ed, "SSH"),
        "JWK": jwk.encode(),
        "JWK, symmetric": json.dumps({"kty": "oct", "k": "A" * 43}).encode(),
        "JWK with spaces": json.dumps(json.loads(jwk), indent=2).encode(),
    }


LIKE_KEYS = list(key_like_secrets())


# --- secrets -------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", ["", "a", b"", b"a", "x" * 31, b"x" * 31])
def test_a_secret_below_32_bytes_is_refused_with_both_sizes(secret: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"\b32\b.*\b{len(secret)};"):
        Issuer(secret, store=None)


@pytest.mark.parametrize("secret", ["x" * 32, b"x" * 32])
def test_a_secret_of_32_bytes_is_taken(secret: Any) -> None:
    assert Issuer(secret, store=None).rotating is None


def test_the_size_of_a_secret_is_counted_in_bytes_and_not_in_characters() -> None:
    assert secret_bytes("ä" * 16) == ("ä" * 16).encode()
    assert MIN_SECRET == 32


@pytest.mark.parametrize("secret", [None, 1, bytearray(b"x" * 32), ["x" * 32]])
def test_a_secret_of_another_type_is_refused(secret: Any) -> None:
    kind = type(secret).__name__
    with pytest.raises(ConfigurationError, match=f"^a secret is str or bytes, not {kind}$"):
        secret_bytes(secret)


@pytest.mark.parametrize("shape", LIKE_KEYS)
def test_a_secret_that_looks_like_a_key_known_to_others_is_refused(shape: str) -> None:
    secret = key_like_secrets()[shape]
    with pytest.raises(ConfigurationError):
        Issuer(secret, store=None)
    with pytest.raises(ConfigurationError):
        Issuer(forge.KEY, secret=secret, store=None)


@pytest.mark.parametrize("algorithm", SIZES)
@pytest.mark.parametrize("shape", LIKE_KEYS)
def test_an_hmac_key_that_looks_like_a_key_known_to_others_is_refused(
    shape: str, algorithm: str
) -> None:
    secret = key_like_secrets()[shape]
    # In DER a length is part of the shape; the others are refused at any length.
    padding = b"" if "DER" in shape else b" " * SIZES[algorithm]
    for candidate in (secret, secret + padding):
        with pytest.raises(ConfigurationError):
            Key(candidate, KID, algorithm)


@pytest.mark.parametrize(
    "secret",
    [
        b"0" + b"x" * 40,  # begins like ASN.1, and is not
        b"0\x1e" + b"x" * 31,  # one byte more than its length says
        b"0\x82\x01\x00" + b"x" * 60,
        b'{"not a key": "but JSON, and of some length"}',
        b"[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]",
        b"12345678901234567890123456789012",
        b"the kty of this secret is none at all",
        b"[" * 5000,
        bytes(range(200, 240)),
    ],
)
def test_a_secret_that_only_resembles_a_key_is_taken(secret: bytes) -> None:
    assert secret_bytes(secret) == secret


def test_a_secret_that_is_no_unicode_is_refused_without_being_quoted() -> None:
    # What os.environ makes of bytes that are not UTF-8.
    secret = CANARY + "\udcff"
    with pytest.raises(ConfigurationError) as caught:
        Issuer(secret, store=None)
    assert CANARY not in repr(caught.value)


@pytest.mark.parametrize("algorithm", SIZES)
def test_an_hmac_key_shorter_than_its_hash_is_refused(algorithm: str) -> None:
    size = SIZES[algorithm]
    with pytest.raises(ConfigurationError, match=rf"\b{size - 1}\b"):
        Key(b"x" * (size - 1), KID, algorithm)


@pytest.mark.parametrize("algorithm", SIZES)
def test_an_hmac_key_of_the_size_of_its_hash_is_used_as_it_is(algorithm: str) -> None:
    secret = bytes(range(128, 128 + SIZES[algorithm]))
    signature = Key(secret, KID, algorithm).signer.sign(b"message")
    assert signature == forge.mac(b"message", secret, algorithm)


# --- algorithms ----------------------------------------------------------------------------------


def test_the_algorithms_are_those_of_the_documentation() -> None:
    assert {*SIZES, *forge.KINDS} == ALGORITHMS


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_a_key_verifies_what_it_signs(algorithm: str) -> None:
    signer = make_key(algorithm).signer
    assert signer.verify(b"message", signer.sign(b"message"))


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_a_key_refuses_the_signature_of_another_message(algorithm: str) -> None:
    signer = make_key(algorithm).signer
    assert not signer.verify(b"massage", signer.sign(b"message"))


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_pyjwt_verifies_what_a_key_signs(algorithm: str) -> None:
    key = make_key(algorithm)
    message = b64(b'{"alg":"%b"}' % algorithm.encode()) + b"." + b64(b'{"a":1}')
    raw = message + b"." + key.signer.sign(message)
    verifying = key.secret if algorithm in SIZES else key.secret.public_key()
    assert jwt.decode(raw, verifying, algorithms=[algorithm]) == {"a": 1}


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
@pytest.mark.parametrize(
    "garbage",
    [b"", b"=", b"A", b"AA", b"!", b"\xff" * 40, "ä".encode(), b"\x00", b"A" * 86, b"A" * 342],
)
def test_garbage_is_no_signature_and_no_error(algorithm: str, garbage: bytes) -> None:
    assert make_key(algorithm).signer.verify(b"message", garbage) is False


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_a_signature_has_no_second_spelling(algorithm: str) -> None:
    signer = make_key(algorithm).signer
    signature = signer.sign(b"message")
    for other in (signature + b"=", signature + b"==", b" " + signature, signature + b"\n"):
        assert not signer.verify(b"message", other)
    raw = forge.unb64(signature)
    standard = b64encode(raw)
    assert standard == signature or not signer.verify(b"message", standard)


@pytest.mark.parametrize("algorithm", sorted(forge.KINDS))
def test_a_private_key_may_be_pem(algorithm: str) -> None:
    key = private_key(forge.KINDS[algorithm])
    pem = forge.private_pem(key)
    for secret in (pem, pem.decode()):
        signature = Key(secret, KID, algorithm).signer.sign(b"message")
        assert make_key(algorithm).signer.verify(b"message", signature)


@pytest.mark.parametrize("algorithm", sorted(forge.KINDS))
def test_a_public_key_may_be_pem_or_an_object(algorithm: str) -> None:
    key = private_key(forge.KINDS[algorithm])
    for public in (key.public_key(), forge.public_bytes(key), forge.public_bytes(key).decode()):
        signer = Key(key, KID, algorithm, public=public).signer
        assert signer.verify(b"message", signer.sign(b"message"))


@pytest.mark.parametrize(
    ("algorithm", "secret", "public"),
    [
        ("RS256", "rsa", "rsa other"),
        ("PS256", "rsa", "rsa other"),
        ("ES256", "p256", ec.generate_private_key(ec.SECP256R1())),
        ("ES256", "p256", "p384"),
        ("ES256", "p256", "rsa"),
        ("EdDSA", "ed25519", ed25519.Ed25519PrivateKey.generate()),
        ("RS256", "rsa", "ed25519"),
    ],
)
def test_a_public_key_of_another_private_key_is_refused(
    algorithm: str, secret: str, public: Any
) -> None:
    other = private_key(public) if isinstance(public, str) else public
    with pytest.raises(ConfigurationError):
        Key(private_key(secret), KID, algorithm, public=other.public_key())


@pytest.mark.parametrize(
    ("algorithm", "secret"),
    [
        ("RS256", "p256"),
        ("PS256", "ed25519"),
        ("ES256", "rsa"),
        ("ES256", "p384"),
        ("ES384", "p256"),
        ("EdDSA", "rsa"),
        ("EdDSA", "p256"),
        ("HS256", "rsa"),
    ],
)
def test_a_private_key_of_another_kind_is_refused(algorithm: str, secret: str) -> None:
    with pytest.raises(ConfigurationError):
        Key(private_key(secret), KID, algorithm)


@pytest.mark.parametrize(
    ("algorithm", "secret"),
    [
        ("RS256", ACCESS_SECRET),
        ("ES256", ACCESS_SECRET.decode()),
        ("EdDSA", b""),
        ("ES256", None),
        ("HS256", None),
        ("EdDSA", x25519.X25519PrivateKey.generate()),
        ("RS256", private_key("rsa").public_key()),
        ("ES256", forge.public_bytes(private_key("p256"))),
        ("EdDSA", private_key("ed25519").public_key()),
    ],
)
def test_what_cannot_sign_is_refused(algorithm: str, secret: Any) -> None:
    with pytest.raises(ConfigurationError):
        Key(secret, KID, algorithm)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
def test_an_rsa_key_of_1024_bits_is_refused(algorithm: str) -> None:
    with pytest.raises(ConfigurationError, match="1024"):
        Key(private_key("rsa 1024"), KID, algorithm)


@pytest.mark.parametrize("algorithm", ["none", "None", "", "hs256", "RS1", "HS1", "ES512", "*", 1])
def test_an_algorithm_off_the_list_is_refused(algorithm: Any) -> None:
    with pytest.raises(ConfigurationError, match="algorithm must be one of ES256, "):
        Key(ACCESS_SECRET, KID, algorithm)


# --- ids and rings -------------------------------------------------------------------------------


@pytest.mark.parametrize("kid", ["a", "A-Z_0.9", "-", "2026-01", "x" * 64])
def test_a_key_id_of_the_grammar_is_taken(kid: str) -> None:
    assert Key(ACCESS_SECRET, kid).id == kid


@pytest.mark.parametrize(
    "kid",
    [
        "", "x" * 65, "a b", "a\n", "\na", "a/b", "../../dev/null", "' OR 1=1--", "ä", "a\x00",
        "a=", "a+b", "k:1", " a",
    ],
)  # fmt: skip
def test_a_key_id_off_the_grammar_is_refused(kid: str) -> None:
    with pytest.raises(ConfigurationError, match="a key id is"):
        Key(ACCESS_SECRET, kid)


@pytest.mark.parametrize("kid", [None, 1, b"key-1"])
def test_a_key_id_of_another_type_is_refused(kid: Any) -> None:
    with pytest.raises(ConfigurationError):
        Key(ACCESS_SECRET, kid)


def test_an_empty_ring_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least one key"):
        access_keys([])
    with pytest.raises(ConfigurationError):
        Issuer([], store=None)


@pytest.mark.parametrize(
    "ring",
    [
        [Key(ACCESS_SECRET, "a"), Key(b"y" * 64, "a")],
        [Key(ACCESS_SECRET, "a"), Key(b"y" * 64, "b"), make_key("ES256", "a")],
        [SECRET, SECRET],
        [SECRET, SECRET.decode()],
    ],
)
def test_a_ring_with_one_id_twice_is_refused(ring: Any) -> None:
    with pytest.raises(ConfigurationError, match="the same id"):
        access_keys(ring)


def test_a_ring_keeps_its_order_and_its_keys() -> None:
    mine = Key(ACCESS_SECRET, "mine")
    ring = access_keys([mine, SECRET, make_key("ES256", "theirs")])
    assert ring[0] is mine
    assert [key.algorithm for key in ring] == ["HS256", "HS256", "ES256"]
    assert ring[2].id == "theirs"


def test_a_bare_secret_has_one_key_id_that_does_not_tell_it() -> None:
    (key,), (again,) = access_keys([SECRET]), access_keys([SECRET.decode()])
    (other,) = access_keys([SECRET + b"!"])
    assert key.id == again.id != other.id
    assert key.id == b64(hmac.digest(SECRET, b"asgi_refresh key id", "sha256")[:6]).decode()


def test_with_keys_alone_a_secret_is_asked_for() -> None:
    with pytest.raises(ConfigurationError, match=r"Issuer\(key, secret=\.\.\.\)"):
        Issuer(Key(ACCESS_SECRET, KID), store=None)
    with pytest.raises(ConfigurationError, match=r"Issuer\(key, secret=\.\.\.\)"):
        Issuer([Key(ACCESS_SECRET, KID)], secret=[], store=None)


@pytest.mark.parametrize("secret", ["short", ["x" * 40, "short"], [b"x" * 40, b""]])
def test_every_refresh_secret_is_checked(secret: Any) -> None:
    with pytest.raises(ConfigurationError, match="at least 32 bytes"):
        Issuer(Key(ACCESS_SECRET, KID), secret=secret, store=None)


@pytest.mark.parametrize("ring", [["x" * 40, "short"], ["short", "x" * 40]])
def test_every_secret_of_a_ring_is_checked(ring: Any) -> None:
    with pytest.raises(ConfigurationError, match="at least 32 bytes"):
        Issuer(ring, store=None)


# --- derived keys --------------------------------------------------------------------------------


def test_a_derived_key_is_the_hmac_of_its_labelled_purpose() -> None:
    # The wire format hangs on it: tokens must outlive an upgrade.
    expected = hmac.new(SECRET, b"asgi_refresh access token", hashlib.sha256).digest()
    assert derive(SECRET, "access token") == expected


def test_the_access_key_of_a_bare_secret_is_derived_and_not_the_secret() -> None:
    (key,) = access_keys([SECRET])
    assert key.secret == hmac.digest(SECRET, b"asgi_refresh access token", "sha256")
    assert key.signer.sign(b"m") == forge.mac(b"m", key.secret)
    assert key.signer.sign(b"m") != forge.mac(b"m", SECRET)


@given(st.lists(st.text(), min_size=2, max_size=2, unique=True))
@example(["rotating refresh token ", "stateless refresh token "])
@example(["rotating refresh token a", "rotating refresh token b"])
def test_two_purposes_have_two_keys(purposes: list[str]) -> None:
    first, second = (derive(SECRET, p.encode("utf-8", "replace").decode()) for p in purposes)
    encoded = {p.encode("utf-8", "replace") for p in purposes}
    assert (first != second) == (len(encoded) == 2)
    assert len(first) == 32


def test_a_mac_is_compared_as_bytes_whatever_they_are() -> None:
    keyed = Mac(b"k" * 32)
    assert keyed.verify(b"m", keyed.sign(b"m"))
    for tag in (b"", b"\x80\xff", "é".encode(), keyed.sign(b"m").swapcase()):
        assert keyed.verify(b"m", tag) is False


def test_a_mac_does_not_remember_what_it_signed() -> None:
    keyed = Mac(b"k" * 32)
    first = keyed.sign(b"m")
    keyed.sign(b"other")
    keyed.verify(b"m", b"x")
    assert keyed.sign(b"m") == first == forge.mac(b"m", b"k" * 32)


@given(key=st.binary(max_size=200), message=st.binary(max_size=300))
@pytest.mark.parametrize("size", [256, 384, 512])
def test_a_mac_is_the_hmac_of_the_standard_library(size: int, key: bytes, message: bytes) -> None:
    name = f"sha{size}"
    tag = Mac(key, getattr(hashlib, name)).sign(message)
    assert tag == b64(hmac.digest(key, message, name))


# --- base64url -----------------------------------------------------------------------------------


@given(st.binary())
def test_bytes_have_exactly_one_base64url_spelling(data: bytes) -> None:
    assert b64decode(b64(data)) == data


ALPHABET = b"ABCXYZabcxyz0189-_+/=. \n\x00\xff"


@given(st.one_of(st.binary(max_size=12), st.lists(st.sampled_from(ALPHABET)).map(bytes)))
@example(b"AB")
@example(b"AAB")
@example(b"A")
@example(b"AAAAA")
@example(b"AA==")
@example(b"A A=")
@example(b"A+/_")
@example(b"AA\n")
@example(b"AAAA=")
def test_what_decodes_encodes_to_the_same_text(text: bytes) -> None:
    decoded = b64decode(text)
    assert decoded is None or b64(decoded) == text


EVERY_BYTE = [bytes([byte]) for byte in range(256)]


@pytest.mark.parametrize("before", [b"", b"A", b"A_", b"-AA", b"AAAA", b"AAAAA", b"AAAAAA"])
def test_every_last_byte_is_judged_by_whether_it_is_canonical(before: bytes) -> None:
    for byte in EVERY_BYTE:
        text = before + byte
        try:
            reference = forge.unb64(text)
        except ValueError:
            reference = None
        good = reference is not None and b64(reference) == text
        assert b64decode(text) == (reference if good else None)


@pytest.mark.parametrize(
    "text", [b"AB", b"AAB", b"A", b"AAAAA", b"AA=", b"AA==", b"====", b"A A", b"AA\n", b"\xff\xfe",
             b"A+A_", b"A/A_", b"!!", b"AA.AA"],
)  # fmt: skip
def test_a_spelling_that_is_not_canonical_does_not_decode(text: bytes) -> None:
    assert b64decode(text) is None


@pytest.mark.parametrize(
    ("text", "data"), [(b"", b""), (b"AA", b"\x00"), (b"-_8", b"\xfb\xff"), (b"AAAA", b"\0\0\0")]
)
def test_the_canonical_spelling_decodes(text: bytes, data: bytes) -> None:
    assert b64decode(text) == data


# --- nothing shows it ----------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["HS256", "HS512"])
def test_the_repr_of_a_key_does_not_show_it(algorithm: str) -> None:
    key = Key(CANARY, KID, algorithm)
    assert repr(key) == f"Key(id='key-1', algorithm='{algorithm}')"
    assert CANARY not in str([key, {"k": key}])


def test_the_repr_of_a_key_does_not_show_a_public_key() -> None:
    key = private_key("p256")
    shown = repr(Key(key, KID, "ES256", public=forge.public_bytes(key)))
    assert shown == "Key(id='key-1', algorithm='ES256')"


@pytest.mark.parametrize("store", [None, MemoryStore()])
def test_the_repr_of_an_issuer_does_not_show_its_secrets(store: Any) -> None:
    issuer = Issuer([CANARY], store=store)
    keyed = Issuer(Key(CANARY, KID), secret=CANARY + "2", store=store)
    for thing in (issuer, issuer.profile, issuer.mint, issuer.mode, issuer.cache, keyed):
        assert "canary" not in repr(thing)


@pytest.mark.anyio
@pytest.mark.parametrize("stored", [True, False])
async def test_no_repr_shows_a_token(clock: Clock, stored: bool) -> None:
    issuer = Issuer(CANARY, store=MemoryStore() if stored else None, clock=clock)
    tokens = await issuer.issue("alice", {"mark": "canary-claim"})
    access = issuer.read_access(tokens.access_token.encode())
    refresh = issuer.profile.read_refresh(tokens.refresh_token.encode())
    look = await issuer.mode.look(refresh, client=None)
    grant = await issuer.mode.settle(look, client=None)
    assert grant is not None
    again = await issuer.refresh(tokens.refresh_token)
    raws = [tokens.access_token, tokens.refresh_token, again.access_token, again.refresh_token]
    raws += [look.minted.raw.decode(), grant.minted.raw.decode()]
    secrets = [part for raw in raws for part in raw.split(".") if len(part) > 40]
    assert len(secrets) >= 8
    for thing in (tokens, again, access, refresh, look.minted, look, grant, issuer.cache):
        for shown in (repr(thing), str(thing), f"{thing}"):
            assert not any(secret in shown for secret in secrets)


@pytest.mark.anyio
async def test_the_repr_of_an_access_token_tells_only_its_session(clock: Clock) -> None:
    issuer = Issuer(CANARY, store=None, clock=clock)
    tokens = await issuer.issue("alice", {"mark": "canary-claim"})
    token = issuer.read_access(tokens.access_token.encode())
    assert repr(token) == f"<AccessToken of session {tokens.session_id!r}>"


@pytest.mark.anyio
async def test_the_repr_of_a_minted_token_does_not_show_its_claims(clock: Clock) -> None:
    issuer = Issuer(CANARY, store=None, clock=clock)
    session = issuer.mint.session("alice", {"m": "canary-claim"}, persistent=True, device=None)
    assert "canary" not in repr(await issuer.mint.load(session))


@pytest.mark.parametrize(
    ("secret", "algorithm"),
    [
        (CANARY[:20], "HS256"),
        (CANARY[:40], "HS512"),
        (CANARY, "RS256"),
        (CANARY, "ES256"),
        (CANARY, "EdDSA"),
        (f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----", "RS256"),
        (f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----", "HS256"),
        (f"ssh-rsa {CANARY}", "HS256"),
        (json.dumps({"kty": "oct", "k": CANARY}), "HS256"),
    ],
)
def test_an_error_about_a_key_never_quotes_it(secret: str, algorithm: str) -> None:
    for candidate in (secret, secret.encode()):
        with pytest.raises(ConfigurationError) as caught:
            Key(candidate, KID, algorithm)
        told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        assert CANARY[:20] not in told
        # Whatever PyJWT and cryptography say in this release or the next is not passed on.
        error = caught.value
        assert error.__cause__ is None
        assert error.__context__ is None or error.__suppress_context__


@pytest.mark.parametrize(
    "secret", [CANARY[:20], f"ssh-rsa {CANARY}", json.dumps({"kty": "oct", "k": CANARY})]
)
def test_an_error_about_a_bare_secret_never_quotes_it(secret: str) -> None:
    for candidate in (secret, secret.encode(), [secret]):
        with pytest.raises(ConfigurationError) as caught:
            Issuer(candidate, store=None)
        assert "canary" not in repr(caught.value)


def test_an_unusable_key_is_named_by_its_id_its_algorithm_and_the_kind_of_error() -> None:
    named = r"key 'key-1' is not usable with ES256 \(TypeError\)"
    with pytest.raises(ConfigurationError, match=named) as caught:
        Key(object(), KID, "ES256")
    assert "asgi_refresh[crypto]" in str(caught.value)


def test_a_tag_is_that_of_hmac_without_padding_whatever_it_ends_in() -> None:
    secret = b"s" * 48
    signer = Mac(secret, hashlib.sha384)
    messages = [b"%d" % number for number in range(500)]
    tags = [b64encode(hmac.digest(secret, each, "sha384"), b"-_").rstrip(b"=") for each in messages]

    assert [signer.sign(each) for each in messages] == tags
    assert {tag[-1:] for tag in tags} >= {b"A", b"X", b"a", b"0", b"-", b"_"}


def test_a_signature_verifies_whatever_it_ends_in() -> None:
    signer = make_key("ES384").signer
    signatures = [signer.sign(b"message") for _ in range(400)]

    assert all(signer.verify(b"message", each) for each in signatures)
