"""
Against others: what we read PyJWT reads too, and published vectors come out as published.

PyJWT is laxer in many ways, so it is the outer bound: whatever bytes are accepted here,
`jwt.decode` accepts with the same key and settings, and sees the same claims.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, tzinfo
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asgi_refresh import Issuer, Key
from asgi_refresh.errors import ConfigurationError, InvalidTokenError
from asgi_refresh.jwt_profile import JwtProfile
from asgi_refresh.keys import ALGORITHMS, access_keys
from asgi_refresh.signers import b64decode
from tests.support import Clock, new_session
from tests.tokens import forge
from tests.tokens.forge import ACCESS_SECRET, KEY, NOW, SECRET, Raw, b64, claims, header, token

VECTORS = Path(__file__).parent.parent / "vectors"


# --- PyJWT ---------------------------------------------------------------------------------------


class Frozen(datetime):
    """The clock that PyJWT reads, standing at NOW."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return datetime.fromtimestamp(NOW, tz)


@contextmanager
def pyjwt_at_now() -> Iterator[None]:
    with mock.patch("jwt.api_jwt.datetime", Frozen):
        yield


class Pair:
    """Our reader and PyJWT's, set up alike; counts what ours accepts."""

    def __init__(self, key: Key, issuer: str | None, audience: str | None) -> None:
        self.reader = JwtProfile([key], [SECRET], issuer=issuer, audience=audience)
        symmetric = key.algorithm in forge.DIGESTS
        self.key = key.secret if symmetric else key.secret.public_key()
        self.kwargs: dict[str, Any] = {
            "algorithms": [key.algorithm],
            "issuer": issuer,
            "audience": audience,
            "leeway": 5.0,
        }
        self.accepted = 0

    def check(self, raw: bytes) -> None:
        try:
            ours = self.reader.read_access(raw, now=NOW)
        except InvalidTokenError:
            return
        if ours.expires_at <= NOW:
            return  # refused later on, when it is used
        self.accepted += 1
        assert forge.thaw(ours.payload) == jwt.decode(raw, self.key, **self.kwargs)


CONFIGURED = [(None, None), ("acme", None), (None, "api"), ("acme", "api")]


def run(
    strategy: st.SearchStrategy[bytes],
    key: Key = KEY,
    issuer: str | None = None,
    audience: str | None = None,
    examples: tuple[bytes, ...] = (),
) -> None:
    """Both readers on every example; a run in which nothing was accepted has shown nothing."""
    pair = Pair(key, issuer, audience)

    def check(raw: bytes) -> None:
        pair.check(raw)

    for raw in examples:
        check = example(raw)(check)
    with pyjwt_at_now():
        given(strategy)(check)()
    assert pair.accepted > 0


@st.composite
def mutated(draw: st.DrawFn, raw: bytes) -> bytes:
    """*raw* with up to three bytes changed, added, dropped or swapped."""
    out = bytearray(raw)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(out) - 1))
        byte = draw(st.one_of(st.sampled_from(b"AQgw.=-_+/ \n"), st.integers(0, 255)))
        kind = draw(st.sampled_from("cads"))
        if kind == "c":
            out[at] = byte
        elif kind == "a":
            out.insert(at, byte)
        elif kind == "d":
            del out[at]
        else:
            other = draw(st.integers(0, len(out) - 1))
            out[at], out[other] = out[other], out[at]
    return bytes(out)


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_pyjwt_takes_whatever_we_take_of_damaged_tokens(algorithm: str) -> None:
    key = forge.make_key(algorithm)
    reader = JwtProfile([key], [SECRET])
    raw, _ = reader.mint_access(
        new_session(Clock(NOW)), {}, generation=1, jti="j1", now=NOW, expires_at=NOW + 600
    )
    run(mutated(raw), key, examples=(raw,))


def spaced(members: st.SearchStrategy[list[tuple[str, Any]]]) -> st.SearchStrategy[str]:
    """JSON objects in every text: order, white space, escapes, names that stand twice."""
    space = st.sampled_from([*[""] * 24, " ", " ", "\n", "\t", "\r\n  ", "\v", "\xa0", "\ufeff"])

    def escaped(name: str) -> st.SearchStrategy[str]:
        plain = json.dumps(name)
        units = name.encode("utf-16-be", "surrogatepass")
        codes = "".join(rf"\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
        return st.sampled_from([plain, plain, plain, f'"{codes}"'])

    @st.composite
    def text(draw: st.DrawFn) -> str:
        parts = []
        for name, value in draw(members):
            said = value if isinstance(value, Raw) else json.dumps(value)
            if isinstance(value, str) and not isinstance(value, Raw):
                said = draw(escaped(value))
            parts.append(f"{draw(space)}{draw(escaped(name))}{draw(space)}:{draw(space)}{said}")
        return draw(space) + "{" + ",".join(parts) + draw(space) + "}" + draw(space)

    return text()


def members_of(
    good: dict[str, Any], odd_names: list[str], odd: st.SearchStrategy[Any]
) -> st.SearchStrategy[list[tuple[str, Any]]]:
    """The members of *good*, mostly, in any order: some replaced, some missing, some added."""
    one = st.one_of(
        st.just([]),
        st.tuples(st.sampled_from([*good, *odd_names]), odd).map(lambda pair: [pair]),
    )

    @st.composite
    def members(draw: st.DrawFn) -> list[tuple[str, Any]]:
        items = list(good.items())
        for name, value in draw(one):
            if draw(st.booleans()):
                items = [item for item in items if item[0] != name]
            items.append((name, value))
        if draw(st.integers(0, 9)) == 0:
            del items[draw(st.integers(0, len(items) - 1))]
        return draw(st.permutations(items))

    return members()


ODD_HEADER = st.one_of(
    st.sampled_from(
        ["HS256", "hs256", "none", "HS512", "key-1", "KEY-1", "at+jwt", "AT+JWT", "JWT",
         "application/at+jwt", "Application/AT+jwt", "DEF", None, True, False, 1, ["b64"], [], {},
         "\u212aEY-1", "https://evil.example"],
    ),
    st.text(max_size=4),
)  # fmt: skip
HEADERS = spaced(
    members_of(
        header(), ["crit", "b64", "jku", "jwk", "x5u", "x5c", "zip", "cty", "x", ""], ODD_HEADER
    )
)


def test_pyjwt_takes_whatever_we_take_of_odd_headers() -> None:
    run(HEADERS.map(lambda head: token(head=head)))


JSON_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=8),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
ODD_CLAIM = st.one_of(
    st.sampled_from(
        ["api", "acme", "ap", "api ", ["api"], ["acme"], ["api", "web"], ["api", 1], [None], [""],
         [], {}, {"api": 1}, "", None, True, False, 0, 1, -1, 0.5, NOW, NOW + 5, NOW + 5.5, NOW - 1,
         NOW + 0.5, float(NOW), 2**53 - 1, 2**53, str(NOW + 9), Raw("NaN"), Raw("Infinity"),
         Raw("-Infinity"), Raw("1e400"), Raw("1e308"), Raw("9" * 400), Raw("9" * 5000), Raw("-0"),
         Raw("-0.0"), Raw("1E3"), Raw('{"a":1,"a":2}'), Raw("[" * 9 + "]" * 9), "\ud800", "\x00"],
    ),
    JSON_VALUES,
)  # fmt: skip
PAYLOAD_NAMES = ["aud", "iss", "nbf", "crit", "scope", "x", "", "alg", "typ"]


@pytest.mark.parametrize(("issuer", "audience"), CONFIGURED)
def test_pyjwt_takes_whatever_we_take_of_odd_payloads(
    issuer: str | None, audience: str | None
) -> None:
    said = {"iss": ... if issuer is None else issuer, "aud": ... if audience is None else audience}
    bodies = spaced(members_of(claims(**said), PAYLOAD_NAMES, ODD_CLAIM))
    run(
        bodies.map(token),
        issuer=issuer,
        audience=audience,
        examples=tuple(token(claims(**said | {"aud": aud})) for aud in ([None], None, [audience])),
    )


@given(claim=st.dictionaries(st.text(max_size=8), JSON_VALUES, max_size=4))
def test_pyjwt_reads_the_claims_that_were_minted(claim: dict[str, Any]) -> None:
    issuer = Issuer(KEY, secret=SECRET, store=None, clock=Clock(NOW))
    try:
        session = issuer.mint.session("alice", claim, persistent=True, device=None)
    except ValueError:
        return
    minted = issuer.mint.access(session, session.claims)
    with pyjwt_at_now():
        said = jwt.decode(minted.raw, ACCESS_SECRET, algorithms=["HS256"])
    assert {name: said[name] for name in claim} == json.loads(json.dumps(claim))
    assert said == forge.thaw(issuer.verify(minted.raw.decode()))


# --- Wycheproof ----------------------------------------------------------------------------------


def wycheproof() -> Iterator[Any]:
    for name in ("signature", "key", "crypto"):
        path = VECTORS / "wycheproof" / f"json_web_{name}_test.json"
        for group in json.loads(path.read_text())["testGroups"]:
            for case in group["tests"]:
                case_id = f"{name}-{case['tcId']}-{case['comment']}"
                yield pytest.param(group, case, f"{name} {case['tcId']}", id=case_id)


WYCHEPROOF = list(wycheproof())


def load(jwk: dict[str, Any]) -> Key:
    """The key that *jwk* is, under an id of our own where its id is no kid of ours."""
    return Key.from_jwk(jwk, "k" if "@" in jwk.get("kid", "@") else None)


def ring_of(group: dict[str, Any]) -> tuple[Key, ...]:
    """The keys of a group as a ring; ConfigurationError where we do not have such keys."""
    return _ring_of(json.dumps(group["private"]))


def public_ring_of(group: dict[str, Any], *, by_pem: bool) -> list[Key]:
    """The public keys of a group, by JWK, or by JWK and then PEM."""
    keys = [load(jwk) for jwk in group["public"].get("keys", [group["public"]])]
    return [
        Key.from_pem(key.to_pem(), key.id, algorithm=key.algorithm) if by_pem else key
        for key in keys
    ]


@cache
def _ring_of(jwk_or_set: str) -> tuple[Key, ...]:
    private = json.loads(jwk_or_set)
    jwks = private.get("keys", [private])
    if any(jwk.get("alg") not in ALGORITHMS for jwk in jwks):
        raise ConfigurationError("an algorithm that we do not have")
    return access_keys([load(jwk) for jwk in jwks])


def text_of(case: dict[str, Any]) -> str:
    """The token of a vector; some are in the JSON serialization."""
    value = case.get("jws", case.get("jwe"))
    return value if isinstance(value, str) else json.dumps(value)


def verifies(raw: bytes, ring: Sequence[Key]) -> bool:
    """A JWS as our reader takes it apart: three canonical segments, one of our keys signed them."""
    message, _, signature = raw.rpartition(b".")
    head, _, body = message.partition(b".")
    if b64decode(head) is None or b64decode(body) is None:
        return False
    return any(key.signer.verify(message, signature) for key in ring)


VALID_AND_REFUSED = {
    "signature 346": "the key is for PS256 and the token says PS384: one algorithm for each key",
    "signature 350": "as 346",
    "signature 372": "a character that base64url does not have: one spelling only",
    "signature 373": "as 372",
}
INVALID_AND_VERIFIED = {
    "signature 367": "the vector is byte for byte the valid one of 357; its padding got lost",
    "signature 370": "as 367",
    "key 1": "an HMAC key beside an EC key is fine where each has an algorithm of its own",
    "crypto 47": "as key 1",
    "key 7": "ROCA: keys are the operator's, and `cryptography` does not look for weak primes",
    "crypto 46": "as key 7",
}
NO_SUCH_KEY = {
    # Algorithms that we do not have; the vectors name them by their keys.
    **dict.fromkeys([f"signature {n}" for n in (*range(264, 272), *range(320, 345))], "RS, PS"),
    **dict.fromkeys(["signature 347", "signature 351"], "ES512"),
    "signature 349": "the key_ops of the private key are one word, 'sign, verify'",
}


@pytest.mark.parametrize(("group", "case", "number"), WYCHEPROOF)
def test_wycheproof_says_the_same(group: dict[str, Any], case: dict[str, Any], number: str) -> None:
    raw = text_of(case).encode()
    try:
        ring = ring_of(group)
    except ConfigurationError:
        assert case["result"] == "invalid" or number in NO_SUCH_KEY or "jwe" in case
        ring = (KEY,)
    # None of them is an access token: there is no `typ`, and no claims.
    with pytest.raises(InvalidTokenError):
        JwtProfile(ring, [SECRET]).read_access(raw, now=NOW)
    if ring == (KEY,):
        return
    assert number not in NO_SUCH_KEY
    good = verifies(raw, ring)
    if case["result"] == "valid":
        assert good != (number in VALID_AND_REFUSED)
    else:
        assert good == (number in INVALID_AND_VERIFIED)
    if good:
        message, _, signature = raw.rpartition(b".")
        data = bytearray(b64decode(signature) or b"")
        for at in (0, len(data) // 2, len(data) - 1):
            data[at] ^= 0x10
            assert not verifies(message + b"." + b64(bytes(data)), ring)
            data[at] ^= 0x10


@pytest.mark.parametrize("by_pem", [False, True], ids=["JWK", "PEM"])
@pytest.mark.parametrize(
    ("group", "case", "number"), [p for p in WYCHEPROOF if "public" in p.values[0]]
)
def test_wycheproof_says_the_same_of_the_public_half(
    group: dict[str, Any], case: dict[str, Any], number: str, by_pem: bool
) -> None:
    try:
        ring = public_ring_of(group, by_pem=by_pem)
    except ConfigurationError:
        assert case["result"] == "invalid" or number in NO_SUCH_KEY or "jwe" in case
        return
    assert not any(key.signs for key in ring)
    expected = (case["result"] == "valid") != (
        number in VALID_AND_REFUSED or number in INVALID_AND_VERIFIED
    )
    assert verifies(text_of(case).encode(), ring) == expected


USELESS = {
    "signature 353", "signature 354", "key 6", "key 21",  # use
    "signature 355", "signature 356",  # key_ops
    "key 8", "key 10", "key 11", "key 12", "key 16", "key 17", "key 18",  # too short
    "key 9",  # a public exponent of 1
    "key 19", "key 20", "key 22", "key 23", "key 24", "key 25", "key 26",  # not of its algorithm
}  # fmt: skip


@pytest.mark.parametrize("half", ["private", "public"])
def test_what_wycheproof_calls_no_key_is_none(half: str) -> None:
    seen = set()
    for group, _, number in (p.values for p in WYCHEPROOF):
        if number in USELESS and half in group:
            seen.add(number)
            with pytest.raises(ConfigurationError):
                load(group[half])
    assert seen == {n for n in USELESS if half == "private" or n not in SYMMETRIC}


SYMMETRIC = {"key 10", "key 11", "key 12", "key 16", "key 17", "key 18", "key 25", "key 26"}


def test_two_keys_of_one_id_are_no_ring() -> None:
    [group] = [p.values[0] for p in WYCHEPROOF if p.values[2] == "key 4"]
    with pytest.raises(ConfigurationError, match="the same id"):
        access_keys([load(jwk) for jwk in group["private"]["keys"]])


# --- RFC 7515, RFC 7519 --------------------------------------------------------------------------


def rfc(name: str) -> dict[str, Any]:
    return json.loads((VECTORS / "rfc-jwt.json").read_text())[name]


def test_the_example_of_rfc_7515_verifies_under_its_key() -> None:
    example = rfc("rfc7515_A1")
    secret = b64decode(example["k"].encode())
    key = Key(secret, "k", example["alg"])
    message, _, signature = example["jwt"].encode().rpartition(b".")
    assert key.signer.verify(message, signature)
    assert key.signer.sign(message) == signature


@pytest.mark.parametrize("name", ["rfc7515_A1", "rfc7519_6.1_unsecured"])
def test_the_examples_of_the_rfcs_are_no_access_tokens(name: str) -> None:
    raw = rfc(name)["jwt"].encode()
    keys = [Key(b64decode(rfc("rfc7515_A1")["k"].encode()), "k"), KEY]
    with pytest.raises(InvalidTokenError):
        JwtProfile(keys, [SECRET]).read_access(raw, now=1_300_819_379)


# --- RFC 7520, RFC 7797 --------------------------------------------------------------------------


def cookbook() -> Iterator[Any]:
    """Every signature of the cookbook whose algorithm we have."""
    for path in sorted((VECTORS / "jose-cookbook").rglob("*.json")):
        data = json.loads(path.read_text())
        several = isinstance(data["signing"], list)
        keys = data["input"]["key"] if several else [data["input"]["key"]]
        algorithms = data["input"]["alg"] if several else [data["input"]["alg"]]
        signatures = data["output"]["json"]["signatures"]
        payload = data["output"]["json"].get("payload") or data["output"]["compact"]
        if ".." in payload:  # detached; the reader has it from elsewhere
            payload = b64(data["input"]["payload"]).decode()
        for jwk, algorithm, signature in zip(keys, algorithms, signatures, strict=True):
            if algorithm in ALGORITHMS:
                message = f"{signature.get('protected', '')}.{payload}".encode()
                key = load({**jwk, "alg": algorithm})
                yield pytest.param(
                    key, message, signature["signature"].encode(), id=f"{path.stem}-{algorithm}"
                )


COOKBOOK = list(cookbook())


def test_the_cookbook_has_nine_signatures_of_ours() -> None:
    assert sorted(param.values[0].algorithm for param in COOKBOOK) == ["HS256"] * 7 + ["RS256"] * 2


@pytest.mark.parametrize(("key", "message", "signature"), COOKBOOK)
def test_the_signatures_of_the_cookbook_verify(key: Key, message: bytes, signature: bytes) -> None:
    assert key.signer.verify(message, signature)


@pytest.mark.parametrize(("key", "message", "signature"), COOKBOOK)
def test_the_signatures_of_the_cookbook_are_reproduced(
    key: Key, message: bytes, signature: bytes
) -> None:
    assert key.signer.sign(message) == signature


@pytest.mark.parametrize(("key", "message", "signature"), COOKBOOK)
def test_the_signatures_of_the_cookbook_are_of_their_message_only(
    key: Key, message: bytes, signature: bytes
) -> None:
    assert not key.signer.verify(message + b"A", signature)
    assert not key.signer.verify(message[:-1], signature)


@pytest.mark.parametrize(("key", "message", "signature"), COOKBOOK)
def test_nothing_of_the_cookbook_is_an_access_token(
    key: Key, message: bytes, signature: bytes
) -> None:
    with pytest.raises(InvalidTokenError):
        JwtProfile([key], [SECRET]).read_access(message + b"." + signature, now=NOW)
