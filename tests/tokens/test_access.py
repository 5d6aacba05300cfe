"""Access tokens: what is minted, what is read, and every way in which one is refused."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from asgi_refresh import Config, Cookie, Issuer, Key, MemoryStore
from asgi_refresh.access import AccessReader
from asgi_refresh.claims import RESERVED, check_claims
from asgi_refresh.errors import ClaimsUnavailable, ExpiredTokenError, InvalidTokenError
from asgi_refresh.jwt_profile import JwtProfile
from asgi_refresh.keys import ALGORITHMS, access_keys
from asgi_refresh.sessions import FrozenDict
from asgi_refresh.signers import b64encode
from asgi_refresh.tokens import MAX_TOKEN
from tests.support import SECRET as BARE
from tests.support import Clock, new_session
from tests.tokens import forge
from tests.tokens.forge import (
    ACCESS_SECRET,
    KEY,
    KID,
    NOW,
    SECRET,
    Raw,
    accepted,
    b64,
    claims,
    header,
    make_key,
    private_key,
    profile,
    refused,
    sign,
    token,
    unb64,
)

GOOD = token()


def mint(reader: JwtProfile, extra: dict[str, Any] | None = None, **session: Any) -> Any:
    return reader.mint_access(
        new_session(Clock(NOW), **session),
        check_claims(extra),
        generation=3,
        jti="j1",
        now=NOW + 0.75,
        expires_at=NOW + 600.75,
    )


# --- minting -------------------------------------------------------------------------------------


def test_the_forge_makes_good_tokens() -> None:
    assert accepted(GOOD) == claims()


def test_a_minted_token_is_what_the_forge_makes_of_the_same_claims() -> None:
    raw, _ = mint(profile(), {"role": "admin"})
    head, body, _ = raw.split(b".")
    assert unb64(head) == b'{"alg":"HS256","kid":"key-1","typ":"at+jwt"}'
    assert json.loads(unb64(body)) == claims(
        role="admin", sid="s1", jti="j1", gen=3, iat=NOW, exp=NOW + 600, auth_time=NOW
    )
    assert b" " not in unb64(body)
    assert raw == sign(head, body)


def test_a_segment_loses_its_padding_and_nothing_else() -> None:
    segments = [b"abW", b"ab", b"a", b""]

    assert [b64encode(segment) for segment in segments] == [b"YWJX", b"YWI", b"YQ", b""]


def test_minting_tells_what_reading_back_gives() -> None:
    reader = profile(issuer="acme", audience="api")
    raw, told = mint(reader, {"roles": ["a", {"b": [1]}], "n": None})
    read = reader.read_access(raw, now=NOW)
    for name in ("payload", *told.__slots__):
        assert getattr(read, name) == getattr(told, name)
    assert (read.subject, read.session_id, read.id) == ("alice", "s1", "j1")
    assert (read.generation, read.auth_time, read.expires_at) == (3, NOW, NOW + 600)


def test_issuer_and_audience_are_written_only_where_they_are_set() -> None:
    plain, named = mint(profile())[1], mint(profile(issuer="acme", audience="api"))[1]
    assert named.payload == {**plain.payload, "iss": "acme", "aud": "api"}
    assert not {"iss", "aud"} & plain.payload.keys()


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_a_token_of_any_algorithm_reads_back(algorithm: str) -> None:
    reader = profile(make_key(algorithm))
    raw, told = mint(reader)
    assert reader.read_access(raw, now=NOW).payload == told.payload
    assert jwt.get_unverified_header(raw) == header(alg=algorithm)


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_a_token_of_any_algorithm_is_refused_once_a_byte_changes(algorithm: str) -> None:
    reader = profile(make_key(algorithm))
    raw, _ = mint(reader)
    for at in (5, raw.index(b".") + 5, len(raw) - 10):
        with pytest.raises(InvalidTokenError):
            reader.read_access(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :], now=NOW)


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_a_key_of_the_same_id_and_another_algorithm_or_secret_verifies_nothing(
    algorithm: str,
) -> None:
    raw, _ = mint(profile(make_key(algorithm)))
    others = [make_key(other) for other in ALGORITHMS - {algorithm}]
    for other in (*others, Key(b"another-secret-" * 6, KID, "HS256")):
        with pytest.raises(InvalidTokenError):
            profile(other).read_access(raw, now=NOW)


@pytest.mark.anyio
async def test_the_issuer_verifies_what_it_issues(clock: Clock) -> None:
    issuer = Issuer(BARE, store=None, clock=clock)
    tokens = await issuer.issue("alice", {"role": "admin"})
    payload = issuer.verify(tokens.access_token)
    assert payload == await issuer.authenticate(tokens.access_token)
    assert (payload["sub"], payload["role"]) == ("alice", "admin")
    assert (payload["sid"], payload["exp"]) == (tokens.session_id, clock() + 600)


@pytest.mark.anyio
async def test_ids_of_tokens_and_sessions_are_128_random_bits(clock: Clock) -> None:
    issuer = Issuer(BARE, store=None, clock=clock)
    payloads = [issuer.verify((await issuer.issue("alice")).access_token) for _ in range(20)]
    for name in ("sid", "jti"):
        values = {payload[name] for payload in payloads}
        assert len(values) == 20
        assert all(len(bytes.fromhex(value)) == 16 for value in values)


# --- the text (AB-1, AB-12, AB-13, AB-14, AB-15) -------------------------------------------------

HEAD, BODY, TAG = GOOD.split(b".")


@pytest.mark.parametrize(
    "raw",
    [
        b"", b".", b"..", b"...", b"a.b", b"a.b.c", b"a.b.c.d", b"a.b.c.d.e", HEAD, HEAD + b".",
        HEAD + b"." + BODY, HEAD + b".." + TAG, b"." + BODY + b"." + TAG, HEAD + b"." + BODY + b".",
        HEAD + b"." + TAG, BODY + b"." + TAG, b"Bearer " + GOOD, GOOD + b"." + TAG,
        HEAD + b"." + GOOD, GOOD + b".", b"." + GOOD, b"{}", b"null", b"\x00", b"a." * 4000,
    ],
)  # fmt: skip
def test_what_is_not_three_segments_is_refused(raw: bytes) -> None:
    refused(raw)


@pytest.mark.parametrize(
    "message",
    [b"", HEAD, HEAD + b".", HEAD + b"." + BODY + b".", HEAD + b"." + BODY + b"." + BODY,
     b"." + BODY, HEAD + b".." + BODY],
)  # fmt: skip
def test_other_than_three_segments_are_refused_even_if_signed(message: bytes) -> None:
    refused(message + b"." + forge.mac(message))


def test_a_jwe_of_five_segments_is_refused() -> None:
    refused(b".".join([HEAD, BODY, BODY, BODY, TAG]))


def test_a_json_serialization_is_refused() -> None:
    members = {"protected": HEAD.decode(), "payload": BODY.decode(), "signature": TAG.decode()}
    refused(json.dumps(members).encode())


def padded_to(size: int) -> bytes:
    """A good token of *size* bytes; base64 grows unevenly, so white space in the header helps."""
    for spaces in range(3):
        for fill in range(size * 3 // 4 - 400, size * 3 // 4):
            raw = token(claims(fill="x" * fill), forge.text(header()) + " " * spaces)
            if len(raw) == size:
                return raw
    raise AssertionError


def test_a_token_of_the_greatest_size_is_taken_and_one_byte_more_is_not() -> None:
    accepted(padded_to(MAX_TOKEN))
    refused(padded_to(MAX_TOKEN + 1))
    assert MAX_TOKEN == 8192


def test_a_token_of_the_greatest_size_may_name_a_key_that_is_not_known_yet() -> None:
    reader = AccessReader([KEY], issuer=None, audience=None, leeway=0.0)
    head = b64(forge.text(header(kid="key-2"))) + b"."

    assert reader.misses_key_of(head.ljust(MAX_TOKEN, b"a"))
    assert not reader.misses_key_of(head.ljust(MAX_TOKEN + 1, b"a"))


@pytest.mark.parametrize("raw", [b"a" * 1_000_000, b"a." * 500_000, GOOD + b"a" * 1_000_000])
def test_an_oversize_token_is_refused_before_anything_is_decoded(
    raw: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def touched(*_args: object) -> None:
        raise AssertionError

    for name in ("b64decode", "parse_object"):
        monkeypatch.setattr(f"asgi_refresh.access.{name}", touched)
    refused(raw)


def test_a_header_of_a_hundred_thousand_members_is_refused() -> None:
    refused(token(head=header(**{f"x{n}": n for n in range(100_000)})))


SPELLINGS: dict[str, Callable[[bytes], bytes]] = {
    "one = more": lambda raw: raw + b"=",
    "two = more": lambda raw: raw + b"==",
    "newline after": lambda raw: raw + b"\n",
    "space after": lambda raw: raw + b" ",
    "space before": lambda raw: b" " + raw,
    "tab before": lambda raw: b"\t" + raw,
    "!! after": lambda raw: raw + b"!!",
    "NUL after": lambda raw: raw + b"\x00",
    "padded header": lambda raw: raw.replace(HEAD, HEAD + b"=" * (-len(HEAD) % 4 or 4)),
    "padded body": lambda raw: raw.replace(BODY, BODY + b"=" * (-len(BODY) % 4 or 4)),
    "space in the header": lambda raw: raw[:4] + b" " + raw[4:],
    "newline in the body": lambda raw: raw.replace(BODY, BODY[:8] + b"\n" + BODY[8:]),
    "newline in the tag": lambda raw: raw.replace(TAG, TAG[:8] + b"\n" + TAG[8:]),
    "quoted": lambda raw: b'"' + raw + b'"',
    "percent-encoded": lambda raw: raw.replace(b".", b"%2e"),
    "upper case": lambda raw: raw.upper(),
    "cut short": lambda raw: raw[:-1],
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_token_has_one_spelling_only(spelling: str) -> None:
    refused(SPELLINGS[spelling](GOOD))


RESPELLED: dict[str, Callable[[bytes], bytes]] = {
    "padding": lambda part: part + b"=" * (-len(part) % 4 or 4),
    "white space": lambda part: part[:4] + b"\n" + part[4:],
    "a foreign character": lambda part: part[:4] + b"!" + part[4:],
    "a quantum too few": lambda part: part + b"A" * ((1 - len(part)) % 4),
}


@pytest.mark.parametrize("spelling", RESPELLED)
@pytest.mark.parametrize("part", ["header", "body"])
def test_a_respelled_segment_is_refused_even_if_signed(part: str, spelling: str) -> None:
    respell = RESPELLED[spelling]
    head, body = (respell(HEAD), BODY) if part == "header" else (HEAD, respell(BODY))
    refused(sign(head, body))


def loose_bits(text: bytes) -> list[bytes]:
    """Every other last character that stands for the same bytes where nobody looks closely."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    others = [text[:-1] + bytes([char]) for char in alphabet if char != text[-1]]
    return [other for other in others if unb64(other) == unb64(text)]


def test_loose_bits_after_the_signature_are_refused() -> None:
    others = loose_bits(TAG)
    assert len(others) == 3
    for other in others:
        refused(HEAD + b"." + BODY + b"." + other)


@pytest.mark.parametrize("part", ["header", "body"])
def test_loose_bits_after_a_segment_are_refused_even_if_signed(part: str) -> None:
    tried = 0
    for sub in ("a", "aa", "aaa"):
        head = b64(forge.text(header()) + " " * len(sub))
        body = b64(forge.text(claims(sub=sub)))
        accepted(sign(head, body))
        for other in loose_bits(head if part == "header" else body):
            refused(sign(other, body) if part == "header" else sign(head, other))
            tried += 1
    assert tried == 15 + 3


def test_the_standard_alphabet_is_refused() -> None:
    body = b64(forge.text(claims(x="???>>>~~~")))
    assert b"_" in body
    assert b"-" in body
    accepted(sign(HEAD, body))
    refused(sign(HEAD, body.replace(b"_", b"/").replace(b"-", b"+")))


@pytest.mark.parametrize("byte", [0x80, 0x9F, 0xA0, 0xC3, 0xFF])
@pytest.mark.parametrize("at", [0, 5, len(HEAD) + 5, len(GOOD) - 5, len(GOOD)])
def test_a_byte_beyond_ascii_is_refused_anywhere(byte: int, at: int) -> None:
    refused(GOOD[:at] + bytes([byte]) + GOOD[at:])
    refused(GOOD[:at] + bytes([byte]) + GOOD[at + 1 :])


@pytest.mark.parametrize(
    "raw", ["\ud800.a.b", "\x00", "a.\x00.b", "ä.b.c", "😀", GOOD.decode() + "é", None, 1, GOOD]
)
def test_the_issuer_refuses_what_is_no_ascii_text(raw: Any) -> None:
    with pytest.raises(InvalidTokenError) as caught:
        forge.issuer().verify(raw)
    assert str(caught.value) == "the token is not valid"


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_no_byte_of_a_token_can_be_another(at: int, byte: int) -> None:
    raw = GOOD[:at] + bytes([byte]) + GOOD[at + 1 :]
    if raw != GOOD:
        with pytest.raises(InvalidTokenError):
            profile().read_access(raw, now=NOW)


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_nothing_can_stand_around_a_token(before: bytes, after: bytes) -> None:
    if before or after:
        with pytest.raises(InvalidTokenError):
            profile().read_access(before + GOOD + after, now=NOW)


@given(st.binary(max_size=300))
def test_garbage_is_refused_and_never_an_error_of_another_kind(raw: bytes) -> None:
    with pytest.raises(InvalidTokenError):
        profile().read_access(raw, now=NOW)


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_signed_garbage_is_refused_and_never_an_error_of_another_kind(
    head: bytes, body: bytes
) -> None:
    for raw in (token(body), token(body, head), sign(HEAD, body), sign(head, BODY)):
        with pytest.raises(InvalidTokenError):
            profile().read_access(raw, now=NOW)


# --- the header (AB-2 … AB-11) -------------------------------------------------------------------


@pytest.mark.parametrize(
    "alg",
    ["none", "None", "noNE", "NONE", "", ..., None, 1, True, "hs256", "HS256 ", "HS512", "HS384",
     "RS256", "ES256", "EdDSA", ["HS256"], {"HS256": 1}],
)  # fmt: skip
def test_another_alg_is_refused_whatever_signed_it(alg: Any) -> None:
    raw = token(head=header(alg=alg))
    refused(raw)
    refused(raw.rpartition(b".")[0] + b".")
    for digest in ("HS384", "HS512"):
        refused(sign(raw.split(b".")[0], BODY, digest=digest))


def test_an_unsecured_token_is_refused() -> None:
    for alg in ("none", "None", "HS256"):
        refused(b64(forge.text({"alg": alg})) + b"." + BODY + b".")


def rsa_public_shapes() -> dict[str, bytes]:
    key = private_key("rsa")
    return {
        "PEM": forge.public_bytes(key),
        "PEM without a last newline": forge.public_bytes(key).strip(),
        "DER": forge.public_bytes(key, "DER"),
        "SSH": forge.public_bytes(key, "SSH"),
        "JWK": jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()).encode(),
    }


@pytest.mark.parametrize("shape", list(rsa_public_shapes()))
@pytest.mark.parametrize("alg", ["HS256", "RS256"])
def test_a_public_key_as_hmac_secret_makes_no_token(alg: str, shape: str) -> None:
    raw = token(head=header(alg=alg), secret=rsa_public_shapes()[shape])
    with pytest.raises(InvalidTokenError):
        profile(make_key("RS256")).read_access(raw, now=NOW)


@pytest.mark.parametrize(
    "extra",
    [
        {"crit": ["x"], "x": 1}, {"crit": []}, {"crit": "exp"}, {"crit": ["b64"], "b64": True},
        {"crit": ["b64"], "b64": False}, {"b64": False}, {"b64": True}, {"crit": None},
        {"crit": ["exp"]},
    ],
)  # fmt: skip
def test_a_critical_extension_is_refused(extra: dict[str, Any]) -> None:
    refused(token(head=header(**extra)))


def test_a_detached_or_unencoded_payload_is_refused() -> None:
    head = b64(forge.text(header(crit=["b64"], b64=False)))
    body = forge.text(claims()).encode()
    refused(sign(head, body))
    refused(sign(head, b""))
    refused(head + b".." + forge.mac(head + b"." + body))


@pytest.mark.parametrize(
    "kid", [1, None, True, ..., "", "../../dev/null", "' OR 1=1--", "key-2", "KEY-1", "key-1\x00",
            " key-1", "key-1 ", ["key-1"], {"key-1": 1}, "\ud800", "k" * 5000],
)  # fmt: skip
def test_another_kid_is_refused_without_looking_anywhere(
    kid: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def touched(*_args: object, **_kwargs: object) -> None:
        raise AssertionError

    raw = token(head=header(kid=kid))
    reader = profile()
    with monkeypatch.context() as patch:
        for name in ("builtins.open", "io.open", "os.open", "socket.socket"):
            patch.setattr(name, touched)
        with pytest.raises(InvalidTokenError) as caught:
            reader.read_access(raw, now=NOW)
    assert str(caught.value) == "the token is not valid"
    refused(raw)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("jku", "https://evil.example/keys"), ("x5u", "https://evil.example/cert"),
        ("jwk", {"kty": "oct", "k": "AA"}), ("x5c", ["MIIB"]), ("x5t", "AA"), ("x5t#S256", "AA"),
        ("zip", "DEF"), ("cty", "JWT"), ("enc", "A256GCM"), ("iss", "acme"), ("", ""), ("Alg", "x"),
    ],
)  # fmt: skip
def test_a_header_parameter_that_we_never_write_is_refused(name: str, value: Any) -> None:
    refused(token(head=header(**{name: value})))


@pytest.mark.parametrize(
    "typ",
    [
        ..., None, "", "JWT", "jwt", "rt+jwt", "dbsc+jwt", "id+jwt", "at+jwts", "at jwt", " at+jwt",
        "at+jwt ", "at+jwt;v=1", "text/at+jwt", "application/at+jwt+x", "/at+jwt", "application/",
        "application/application/at+jwt", "ap\u2060plication/at+jwt", 5, True, ["at+jwt"],
        {"at+jwt": 1},
    ],
)  # fmt: skip
def test_another_typ_is_refused(typ: Any) -> None:
    refused(token(head=header(typ=typ)))


@pytest.mark.parametrize(
    "typ", ["at+jwt", "AT+JWT", "At+Jwt", "application/at+jwt", "APPLICATION/AT+jwt"]
)
def test_the_typ_is_compared_as_a_media_type(typ: str) -> None:
    assert accepted(token(head=header(typ=typ))) == claims()


@pytest.mark.parametrize(
    "head",
    [
        '{"typ":"at+jwt","kid":"key-1","alg":"HS256"}',
        '{"alg": "HS256", "kid": "key-1", "typ": "at+jwt"}',
        ' {\n"alg":"HS256",\t"kid":"key-1","typ":"at+jwt"}\r\n',
        '{"\\u0061lg":"HS\\u0032\\u0035\\u0036","kid":"key-1","typ":"at+jwt"}',
    ],
)
def test_another_json_text_of_the_same_header_is_taken(head: str) -> None:
    assert accepted(token(head=head)) == claims()


@pytest.mark.parametrize(
    "head",
    [
        '{"alg":"HS256","alg":"none","kid":"key-1","typ":"at+jwt"}',
        '{"alg":"none","alg":"HS256","kid":"key-1","typ":"at+jwt"}',
        '{"alg":"HS256","alg":"HS256","kid":"key-1","typ":"at+jwt"}',
        '{"alg":"HS256","kid":"key-2","kid":"key-1","typ":"at+jwt"}',
        '{"alg":"HS256","kid":"key-1","typ":"JWT","typ":"at+jwt"}',
        '{"alg":"HS256","kid":"key-1","typ":"at+jwt","\\u0061lg":"HS256"}',
    ],
)
def test_a_header_parameter_that_stands_twice_is_refused(head: str) -> None:
    refused(token(head=head))


@pytest.mark.parametrize(
    "body",
    [
        forge.text(claims())[:-1] + ',"sub":"mallory"}',
        forge.text(claims())[:-1] + ',"sub":"alice"}',
        '{"sub":"mallory",' + forge.text(claims())[1:],
        forge.text(claims())[:-1] + ',"exp":9999999999}',
        forge.text(claims())[:-1] + ',"\\u0073ub":"mallory"}',
        forge.text(claims(x=Raw('{"a":1,"a":2}'))),
        forge.text(claims(x=Raw('[[{"a":1,"a":1}]]'))),
    ],
)
def test_a_claim_that_stands_twice_is_refused_at_every_depth(body: str) -> None:
    refused(token(body))


ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16LE": lambda text: text.encode("utf-16-le"),
    "UTF-16BE": lambda text: text.encode("utf-16-be"),
    "UTF-32": lambda text: text.encode("utf-32"),
    "byte order mark": lambda text: text.encode("utf-8-sig"),
    "invalid byte": lambda text: text.encode() + b"\xff",
    "invalid byte in a string": lambda text: text.encode().replace(b"}", b',"x":"\xff"}'),
    "surrogate": lambda text: text.encode().replace(b"}", b',"x":"\xed\xa0\x80"}'),
    "overlong": lambda text: text.encode().replace(b"}", b',"x":"\xc0\x80"}'),
    "NUL after": lambda text: text.encode() + b"\x00",
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("part", ["header", "payload"])
def test_json_in_another_encoding_than_utf8_is_refused(part: str, encoding: str) -> None:
    encode = ENCODINGS[encoding]
    if part == "header":
        refused(token(head=encode(forge.text(header()))))
    else:
        refused(token(encode(forge.text(claims()))))


@pytest.mark.parametrize("space", ["\v", "\f", "\x1c", "\x85", "\xa0", "\u2003", "\ufeff", "\0"])
def test_white_space_that_json_does_not_have_is_refused(space: str) -> None:
    for head in (space + forge.text(header()), forge.text(header()) + space):
        refused(token(head=head))
    for body in (space + forge.text(claims()), forge.text(claims()) + space):
        refused(token(body))


def test_white_space_around_the_payload_is_taken() -> None:
    assert accepted(token(" \r\n\t" + forge.text(claims()) + "\n ")) == claims()


def test_utf8_beyond_ascii_is_taken() -> None:
    assert accepted(token(forge.text(claims(sub=Raw('"zoë"')))))["sub"] == "zoë"


NOT_OBJECTS = [
    "",
    " ",
    "null",
    "true",
    "1",
    '"a"',
    "[]",
    "[{}]",
    "{",
    "}",
    "{}{}",
    "{}x",
    "{'a':1}",
]


@pytest.mark.parametrize("text", NOT_OBJECTS)
def test_a_header_that_is_no_json_object_is_refused(text: str) -> None:
    refused(token(head=text))


@pytest.mark.parametrize("text", [*NOT_OBJECTS, "{}", json.dumps(list(claims().items()))])
def test_a_payload_that_is_no_claims_set_is_refused(text: str) -> None:
    refused(token(text))


def nested(shape: str, depth: int) -> str:
    if shape == "lists":
        return "[" * depth + "]" * depth
    if shape == "objects":
        return '{"a":' * depth + "1" + "}" * depth
    return "[" * depth if shape == "open lists" else '{"a":' * depth


@pytest.mark.parametrize("shape", ["lists", "objects", "open lists", "open objects"])
@pytest.mark.parametrize("depth", [9, 300, 900, 950, 980, 990, 1000, 1500, 6000, 100_000])
def test_absurd_nesting_is_refused_signed_or_not(shape: str, depth: int) -> None:
    text = nested(shape, depth)
    inside = {"x": Raw(text)}
    for raw in (token(text), token(claims(**inside)), token(head=text)):
        refused(raw)
    for name in ("alg", "kid", "typ", "x"):
        refused(token(head=header(**{name: Raw(text)})))
    refused(b64(text) + b"." + BODY + b"." + TAG)


@pytest.mark.parametrize("shape", ["lists", "objects"])
def test_claims_nest_seven_levels_and_no_more(shape: str) -> None:
    accepted(token(claims(x=Raw(nested(shape, 7)))))
    refused(token(claims(x=Raw(nested(shape, 8)))))


# --- signatures (AB-16) --------------------------------------------------------------------------


def es256_token() -> tuple[JwtProfile, bytes, bytes]:
    reader = profile(make_key("ES256"))
    raw, _ = mint(reader)
    message, _, signature = raw.rpartition(b".")
    return reader, message, unb64(signature)


ZERO = bytes(32)
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
FORGED: dict[str, Callable[[bytes], bytes]] = {
    "r = 0": lambda sig: ZERO + sig[32:],
    "s = 0": lambda sig: sig[:32] + ZERO,
    "r = s = 0": lambda _sig: ZERO + ZERO,
    "r = n": lambda sig: ORDER.to_bytes(32, "big") + sig[32:],
    "s + n": lambda sig: sig[:32] + ((int.from_bytes(sig[32:]) + ORDER) % 2**256).to_bytes(32),
    "all ones": lambda _sig: b"\xff" * 64,
    "a byte short": lambda sig: sig[:-1],
    "a byte long": lambda sig: sig + b"\0",
    "a leading zero": lambda sig: b"\0" + sig,
    "half": lambda sig: sig[:32],
    "twice": lambda sig: sig + sig,
    "none": lambda _sig: b"",
    "halves swapped": lambda sig: sig[32:] + sig[:32],
    "wide": lambda sig: bytes(16) + sig[:32] + bytes(16) + sig[32:],
}


@pytest.mark.parametrize("forgery", FORGED)
def test_an_es256_signature_of_another_shape_is_refused(forgery: str) -> None:
    reader, message, signature = es256_token()
    with pytest.raises(InvalidTokenError):
        reader.read_access(message + b"." + b64(FORGED[forgery](signature)), now=NOW)


def test_an_es256_signature_in_der_is_refused() -> None:
    reader, message, _ = es256_token()
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256

    der = private_key("p256").sign(message, ec.ECDSA(SHA256()))
    r, s = decode_dss_signature(der)
    assert reader.read_access(message + b"." + b64(r.to_bytes(32) + s.to_bytes(32)), now=NOW)
    with pytest.raises(InvalidTokenError):
        reader.read_access(message + b"." + b64(der), now=NOW)


# --- claims (AB-17 … AB-22) ----------------------------------------------------------------------

NOT_NUMBERS: list[Any] = [
    ..., None, "1800000600", "", True, False, Raw("NaN"), Raw("Infinity"), Raw("-Infinity"),
    Raw("1e308"), Raw("1e400"), Raw("-1e400"), [], {}, [1800000600], Raw("9" * 400),
    Raw("9" * 5000), Raw("-" + "9" * 400), Raw("01"), Raw("+1"), 2**53, 2.0**53, -(2**53), 2**63,
]  # fmt: skip


@pytest.mark.parametrize("value", [*NOT_NUMBERS, -1, 0, -0.5, Raw("-0.0")])
def test_an_exp_that_is_no_time_is_refused(value: Any) -> None:
    refused(token(claims(exp=value)))


@pytest.mark.parametrize("name", ["iat", "auth_time"])
@pytest.mark.parametrize("value", NOT_NUMBERS)
def test_a_time_of_another_type_is_refused(name: str, value: Any) -> None:
    refused(token(claims(**{name: value})))


@pytest.mark.parametrize("value", [value for value in NOT_NUMBERS if value is not ...])
def test_an_nbf_of_another_type_is_refused(value: Any) -> None:
    refused(token(claims(nbf=value)))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400"])
@pytest.mark.parametrize("shape", ["{}", "[{}]", '{{"a":[1,{{"b":{}}}]}}'])
def test_a_number_that_json_does_not_have_is_refused_in_any_claim(shape: str, number: str) -> None:
    refused(token(claims(x=Raw(shape.format(number)))))


@pytest.mark.parametrize("value", [2**53 - 1, NOW + 0.5, 1.8e9 + 600])
def test_an_exp_may_be_any_number_that_a_float_counts(value: float) -> None:
    raw = token(claims(exp=value))
    assert profile().read_access(raw, now=NOW).expires_at == value
    assert forge.issuer().verify(raw.decode())["exp"] == value


@pytest.mark.parametrize("gen", [..., None, "1", 1.0, True, False, [], {}, Raw("NaN")])
def test_a_gen_that_is_no_integer_is_refused(gen: Any) -> None:
    refused(token(claims(gen=gen)))


BAD_IDENTIFIERS: list[Any] = [
    ..., None, "", 1, 1.5, True, [], {}, ["alice"], {"a": 1}, "x" * 256, "x" * 4096, "a\x00",
    "a\r\n", "a\nb", "\x1f", "\x7f", "\ud800", "a\udfffb", Raw('"\\ud800"'),
]  # fmt: skip


@pytest.mark.parametrize("name", ["sub", "sid", "jti"])
@pytest.mark.parametrize("value", BAD_IDENTIFIERS)
def test_an_identifier_of_another_shape_is_refused(name: str, value: Any) -> None:
    refused(token(claims(**{name: value})))


@pytest.mark.parametrize("name", ["sub", "sid", "jti"])
@pytest.mark.parametrize("value", ["x", "x" * 255, "a b", "zoë", "😀", "\x80", "../..", "'\"<"])
def test_an_identifier_may_be_any_text_without_controls(name: str, value: str) -> None:
    assert accepted(token(claims(**{name: value})))[name] == value


@pytest.mark.parametrize("name", sorted(claims()))
def test_every_claim_of_ours_is_required(name: str) -> None:
    refused(token(claims(**{name: ...})))


@pytest.mark.parametrize("leeway", [0, 5, 60])
def test_exp_is_exact_whatever_the_leeway(leeway: int) -> None:
    clock = Clock(NOW)
    issuer = forge.issuer(Config(leeway=timedelta(seconds=leeway)), clock=clock)
    raw = token(claims(exp=NOW + 600)).decode()
    clock.now = NOW + 600 - 0.001
    assert issuer.verify(raw)["exp"] == NOW + 600
    for now in (NOW + 600, NOW + 600.001, NOW + 10_000):
        clock.now = now
        with pytest.raises(ExpiredTokenError):
            issuer.verify(raw)


@pytest.mark.anyio
async def test_an_expired_token_is_told_from_an_invalid_one_everywhere() -> None:
    clock = Clock(NOW + 600)
    issuer = forge.issuer(clock=clock, store=MemoryStore())
    raw = token(claims(exp=NOW + 600)).decode()
    with pytest.raises(ExpiredTokenError, match="the token has expired") as caught:
        await issuer.authenticate(raw)
    assert caught.value.reason == "expired_token"
    with pytest.raises(ExpiredTokenError):
        issuer.verify(raw)
    # Whose it was is known nevertheless, for a sign-out that comes late.
    assert issuer.read_access(raw.encode()).subject == "alice"


@pytest.mark.parametrize("name", ["iat", "nbf"])
@pytest.mark.parametrize("leeway", [0.0, 5.0, 60.0])
def test_a_time_in_the_future_is_taken_up_to_the_leeway(name: str, leeway: float) -> None:
    reader = profile(leeway=leeway)
    good, late = NOW + leeway, NOW + leeway + 0.001
    assert reader.read_access(token(claims(**{name: good})), now=NOW)
    for value in (late, NOW + 600, 2**52):
        with pytest.raises(InvalidTokenError):
            reader.read_access(token(claims(**{name: value})), now=NOW)


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_the_issuer_takes_its_leeway_from_the_settings(name: str) -> None:
    raw = token(claims(**{name: NOW + 7})).decode()
    assert forge.issuer(Config(leeway=timedelta(seconds=7))).verify(raw)
    with pytest.raises(InvalidTokenError):
        forge.issuer(Config(leeway=timedelta(seconds=6))).verify(raw)


def test_a_time_in_the_past_is_taken() -> None:
    assert accepted(token(claims(iat=-5, nbf=0, auth_time=-1)))["iat"] == -5


AUDIENCES: list[tuple[str | None, Any, bool]] = [
    (None, ..., True), (None, None, True), (None, "api", False), (None, ["api"], False),
    (None, [], False), (None, "", False), (None, {}, False), (None, 0, False), (None, False, False),
    (None, [None], False),
    ("api", "api", True), ("api", ["api"], True), ("api", ..., False), ("api", None, False),
    ("api", "", False), ("api", [], False), ("api", "ap", False), ("api", "apis", False),
    ("api", "API", False), ("api", " api", False), ("api", ["api", "web"], False),
    ("api", ["web", "api"], False), ("api", ["api", "api"], False), ("api", ["api", 1], False),
    ("api", [1], False), ("api", 1, False), ("api", True, False), ("api", {"api": 1}, False),
    ("api", [["api"]], False), ("api", ["a", "p", "i"], False), ("api", "api,web", False),
]  # fmt: skip


@pytest.mark.parametrize(("expected", "aud", "good"), AUDIENCES)
def test_the_audience_must_be_the_one_that_is_set(expected: Any, aud: Any, good: bool) -> None:
    raw, reader = token(claims(aud=aud)), profile(audience=expected)
    if good:
        accepted(raw, reader)
        assert forge.issuer(Config(audience=expected)).verify(raw.decode())
    else:
        refused(raw, reader, Config(audience=expected))


ISSUERS: list[tuple[str | None, Any, bool]] = [
    (None, ..., True), (None, "acme", False), (None, "", False),
    ("acme-corp", "acme-corp", True), ("acme-corp", ..., False),
    ("acme-corp", None, False), ("acme-corp", "", False), ("acme-corp", "acme", False),
    ("acme-corp", "acme-corp ", False), ("acme-corp", "acme-corps", False),
    ("acme-corp", "ACME-CORP", False), ("acme-corp", "corp", False),
    ("acme-corp", ["acme-corp"], False), ("acme-corp", {"acme-corp": 1}, False),
    ("acme-corp", 1, False), ("acme-corp", True, False), ("acme", "acme-corp", False),
    ("https://a.example", "https://a.example/", False),
]  # fmt: skip


@pytest.mark.parametrize(("expected", "iss", "good"), ISSUERS)
def test_the_issuer_must_be_the_one_that_is_set(expected: Any, iss: Any, good: bool) -> None:
    raw, reader = token(claims(iss=iss)), profile(issuer=expected)
    if good:
        accepted(raw, reader)
        assert forge.issuer(Config(issuer=expected)).verify(raw.decode())
    else:
        refused(raw, reader, Config(issuer=expected))


def test_issuer_and_audience_are_not_taken_for_one_another() -> None:
    reader = profile(issuer="acme", audience="api")
    assert reader.read_access(token(claims(iss="acme", aud="api")), now=NOW)
    for payload in (claims(iss="api", aud="acme"), claims(iss="acme"), claims(aud="api")):
        with pytest.raises(InvalidTokenError):
            reader.read_access(token(payload), now=NOW)


# --- what may be said in one (AB-20, AB-22, AB-23) -----------------------------------------------

RESERVED_NAMES = [
    "iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "auth_time", "gen", "typ",
]  # fmt: skip


@pytest.mark.anyio
@pytest.mark.parametrize("name", RESERVED_NAMES)
async def test_a_claim_of_the_issuer_cannot_be_given_at_login(name: str) -> None:
    with pytest.raises(ValueError, match=rf"claims {name} are the issuer's to set"):
        await forge.issuer().issue("alice", {"role": "admin", name: 1})


@pytest.mark.anyio
async def test_every_reserved_claim_that_was_given_is_named() -> None:
    with pytest.raises(ValueError, match="claims exp, sub are"):
        await forge.issuer().issue("alice", {"sub": "bob", "exp": 1, "role": "admin"})


@pytest.mark.anyio
@pytest.mark.parametrize("name", sorted(RESERVED))
async def test_a_claim_of_the_issuer_cannot_be_loaded(name: str) -> None:
    async def load(_session: Any) -> dict[str, Any]:
        return loaded

    issuer = forge.issuer(load_claims=load)
    loaded: dict[str, Any] = {"role": "admin"}
    tokens = await issuer.issue("alice")
    loaded = {name: 1}
    with pytest.raises(ClaimsUnavailable):
        await issuer.refresh(tokens.refresh_token)
    with pytest.raises(ClaimsUnavailable):
        await issuer.issue("alice")


NOT_JSON: list[Any] = [
    {"x": {1, 2}}, {"x": b"bytes"}, {"x": object()}, {"x": float("nan")}, {"x": float("inf")},
    {"x": [-float("inf")]}, {1: "x"}, {None: 1}, {"x": {(1, 2): 3}}, {"x": 1j},
    {"x": [[[[[[[[1]]]]]]]]}, {"x": timedelta(1)},
]  # fmt: skip


@pytest.mark.anyio
@pytest.mark.parametrize("given_claims", NOT_JSON)
async def test_claims_that_are_not_json_are_refused_at_login(given_claims: Any) -> None:
    with pytest.raises(ValueError, match=r"claim|JSON|nested"):
        await forge.issuer().issue("alice", given_claims)


@pytest.mark.anyio
@pytest.mark.parametrize("given_claims", [5, 0, "", "claims", [], [["a", 1]], ["ab"], True, False])
async def test_claims_that_are_no_mapping_are_refused_at_login(given_claims: Any) -> None:
    with pytest.raises(ValueError, match="claims"):
        await forge.issuer().issue("alice", given_claims)


@pytest.mark.anyio
async def test_claims_may_be_any_mapping() -> None:
    issuer = forge.issuer()
    tokens = await issuer.issue("alice", MappingProxyType({"role": "admin"}))
    assert issuer.verify(tokens.access_token)["role"] == "admin"


@pytest.mark.anyio
async def test_claims_that_contain_themselves_are_refused_at_login() -> None:
    circle: dict[str, Any] = {}
    circle["x"] = circle
    with pytest.raises(ValueError, match=r"[Cc]ircular|JSON"):
        await forge.issuer().issue("alice", circle)


@pytest.mark.anyio
@pytest.mark.parametrize("depth", [9, 900, 5000])
async def test_claims_that_nest_absurdly_are_refused_at_login(depth: int) -> None:
    deep: Any = 1
    for _ in range(depth):
        deep = [deep]
    with pytest.raises(ValueError, match=r"nested|JSON|bytes"):
        await forge.issuer().issue("alice", {"x": deep})


@pytest.mark.anyio
async def test_claims_travel_as_their_json_value() -> None:
    issuer = forge.issuer()
    given_claims = {"t": (1, 2), "self": 1, "payload": {"2": None}, "ü": "\ud800", "f": 0.1}
    payload = issuer.verify((await issuer.issue("alice", given_claims)).access_token)
    said = {name: payload[name] for name in given_claims}
    assert forge.thaw(said) == {**given_claims, "t": [1, 2]}


@pytest.mark.anyio
async def test_claims_changed_after_login_do_not_change_the_session() -> None:
    issuer = forge.issuer(store=MemoryStore())
    given_claims = {"roles": ["user"]}
    tokens = await issuer.issue("alice", given_claims)
    given_claims["roles"].append("admin")
    again = await issuer.refresh(tokens.refresh_token)
    assert issuer.verify(again.access_token)["roles"] == ("user",)


@pytest.mark.anyio
@pytest.mark.parametrize("none", [None, {}, FrozenDict()])
async def test_no_claims_are_no_claims(none: Any) -> None:
    issuer = forge.issuer()
    payload = issuer.verify((await issuer.issue("alice", none)).access_token)
    assert payload.keys() == claims().keys()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "subject", [None, "", 1, b"alice", ["alice"], "x" * 256, "a\x00", "a\r\nb", "\ud800", "\x7f"]
)
async def test_a_subject_that_is_no_identifier_is_refused_at_login(subject: Any) -> None:
    with pytest.raises(ValueError, match="a subject is a str of 1 to 255 characters"):
        await forge.issuer().issue(subject)


@pytest.mark.anyio
@pytest.mark.parametrize("subject", ["x", "x" * 255, "zoë", "a b", "😀" * 100])
async def test_a_subject_may_be_any_text_without_controls(subject: str) -> None:
    issuer = forge.issuer()
    assert issuer.verify((await issuer.issue(subject)).access_token)["sub"] == subject


ROOM = 16  # that a login leaves in the access cookie, for the digits of later generations


@pytest.mark.anyio
async def test_the_access_cookie_may_be_full_at_login_but_for_some_room_and_no_more() -> None:
    # With a store: without one the refresh cookie is full before the access cookie is.
    claim = {"fill": "x" * 2000}
    access = (await forge.issuer(store=MemoryStore()).issue("alice", claim)).access_token
    for size, good in ((4096 - ROOM, True), (4097 - ROOM, False)):
        cookie = Cookie("n" * (size - len(access)), secure=False)
        issuer = forge.issuer(Config(access_cookie=cookie), store=MemoryStore())
        if good:
            tokens = await issuer.issue("alice", claim)
            assert len(cookie.key) + len(tokens.access_token) == size
        else:
            with pytest.raises(ValueError, match=r"a cookie of \d{4} bytes and browsers keep 4096"):
                await issuer.issue("alice", claim)


@pytest.mark.anyio
async def test_claims_that_fit_at_login_fit_at_every_later_generation() -> None:
    claim = {"fill": "x" * 2000}
    access = (await forge.issuer(store=MemoryStore()).issue("alice", claim)).access_token
    cookie = Cookie("n" * (4096 - ROOM - len(access)), secure=False)
    issuer = forge.issuer(Config(access_cookie=cookie), store=MemoryStore())
    session = issuer.mint.session("alice", claim, persistent=True, device=None)
    for generation in (1, 99, 10**6, 10**12):
        later = replace(session, current=generation)
        minted = issuer.mint.access(later, check_claims(claim), room=0)
        assert len(cookie.key) + len(minted.raw) <= 4096


@pytest.mark.anyio
async def test_a_session_whose_claims_fit_at_login_is_refreshed_for_ever() -> None:
    claim = {"fill": "x" * 2000}
    access = (await forge.issuer(store=MemoryStore()).issue("alice", claim)).access_token
    clock = Clock(NOW)
    cookie = Cookie("n" * (4096 - ROOM - len(access)), secure=False)
    issuer = forge.issuer(Config(access_cookie=cookie), store=MemoryStore(), clock=clock)
    tokens = await issuer.issue("alice", claim)
    for _ in range(120):
        clock.advance(600)
        tokens = await issuer.refresh(tokens.refresh_token)
    assert issuer.verify(tokens.access_token)["gen"] > 99


@pytest.mark.anyio
async def test_the_refresh_cookie_of_a_session_without_store_is_measured_too() -> None:
    claim = {"fill": "x" * 2000}
    refresh = (await forge.issuer().issue("alice", claim)).refresh_token
    cookie = Cookie("n" * (4097 - len(refresh)), secure=False)
    with pytest.raises(ValueError, match="a cookie of 4097 bytes and browsers keep 4096"):
        await forge.issuer(Config(refresh_cookie=cookie)).issue("alice", claim)


@pytest.mark.anyio
async def test_a_login_with_oversize_claims_leaves_no_session() -> None:
    issuer = forge.issuer(store=MemoryStore())
    with pytest.raises(ValueError, match="browsers keep 4096"):
        await issuer.issue("alice", {"fill": "x" * 4000})
    assert await issuer.sessions("alice") == []


@pytest.mark.anyio
@pytest.mark.parametrize("stored", [True, False])
async def test_oversize_claims_at_a_refresh_are_unavailable_and_nothing_is_lost(
    stored: bool,
) -> None:
    fill = 1

    async def load(_session: Any) -> dict[str, Any]:
        return {"fill": "x" * fill}

    issuer = forge.issuer(store=MemoryStore() if stored else None, load_claims=load)
    tokens = await issuer.issue("alice")
    fill = 4000
    with pytest.raises(ClaimsUnavailable) as caught:
        await issuer.refresh(tokens.refresh_token)
    assert "xxx" not in str(caught.value)
    fill = 2
    again = await issuer.refresh(tokens.refresh_token)
    assert issuer.verify(again.access_token)["fill"] == "xx"


# --- read-only (AB-24) ---------------------------------------------------------------------------

WRITES: dict[str, Callable[[Any], Any]] = {
    "set": lambda d: d.__setitem__("sub", "mallory"),
    "delete": lambda d: d.__delitem__("sub"),
    "update": lambda d: d.update(sub="mallory"),
    "merge": lambda d: d.__ior__({"sub": "mallory"}),
    "pop": lambda d: d.pop("sub"),
    "popitem": lambda d: d.popitem(),
    "clear": lambda d: d.clear(),
    "setdefault": lambda d: d.setdefault("x", 1),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("inside", [False, True])
def test_a_payload_refuses_to_change_at_every_depth(write: str, inside: bool) -> None:
    issuer = forge.issuer()
    raw = token(claims(nested=[{"deep": {"sub": "x"}}])).decode()
    payload: Any = issuer.verify(raw)
    target = payload["nested"][0]["deep"] if inside else payload
    with pytest.raises(TypeError, match="read-only"):
        WRITES[write](target)
    assert forge.thaw(issuer.verify(raw)) == claims(nested=[{"deep": {"sub": "x"}}])


def test_lists_of_a_payload_are_tuples() -> None:
    payload = forge.issuer().verify(token(claims(roles=["a", ["b"]])).decode())
    assert payload["roles"] == ("a", ("b",))


@pytest.mark.parametrize(
    "copied",
    [dict, copy.copy, copy.deepcopy, lambda payload: pickle.loads(pickle.dumps(payload))],
)
def test_a_copy_of_a_payload_is_free_to_change(copied: Any) -> None:
    issuer = forge.issuer()
    mine = copied(issuer.verify(GOOD.decode()))
    mine["sub"] = "mallory"
    assert issuer.verify(GOOD.decode())["sub"] == "alice"


def test_a_payload_is_json_as_it_is() -> None:
    payload = forge.issuer().verify(token(claims(roles=["a", {"b": []}])).decode())
    assert json.loads(json.dumps(payload)) == claims(roles=["a", {"b": []}])


def test_new_claims_replace_all_but_those_of_the_issuer() -> None:
    reader = profile(issuer="acme", audience="api")
    raw = token(claims(iss="acme", aud="api", nbf=1, role="user", old=1))
    changed = reader.read_access(raw, now=NOW).with_claims(FrozenDict(role="admin"))
    assert changed.payload == claims(iss="acme", aud="api", nbf=1, role="admin")
    assert isinstance(changed.payload, FrozenDict)


# --- key rotation (AB-80) and moving to other keys -----------------------------------------------

OLD, NEW = "the-old-secret-of-the-key-rotation-test", "the-new-secret-of-the-key-rotation-test"


def kid_of(raw: str) -> str:
    return jwt.get_unverified_header(raw)["kid"]


@pytest.mark.anyio
@pytest.mark.parametrize("stored", [True, False])
async def test_after_a_rotation_old_tokens_are_good_and_new_ones_are_signed_by_the_new_key(
    clock: Clock, stored: bool
) -> None:
    store = MemoryStore() if stored else None
    before = await Issuer(OLD, store=store, clock=clock).issue("alice", {"role": "admin"})
    rotated = Issuer([NEW, OLD], store=store, clock=clock)

    assert rotated.verify(before.access_token)["role"] == "admin"
    after = await rotated.refresh(before.refresh_token)
    only_new = Issuer(NEW, store=store, clock=clock)
    assert only_new.verify(after.access_token)["role"] == "admin"
    assert kid_of(after.access_token) == access_keys([NEW])[0].id != kid_of(before.access_token)
    if stored:
        assert (await only_new.refresh(after.refresh_token)).session_id == before.session_id


@pytest.mark.anyio
@pytest.mark.parametrize("stored", [True, False])
async def test_tokens_of_a_removed_key_are_refused(clock: Clock, stored: bool) -> None:
    store = MemoryStore() if stored else None
    before = await Issuer(OLD, store=store, clock=clock).issue("alice")
    without = Issuer(NEW, store=store, clock=clock)
    with pytest.raises(InvalidTokenError):
        without.verify(before.access_token)
    with pytest.raises(InvalidTokenError):
        await without.refresh(before.refresh_token)


def test_a_key_of_the_ring_verifies_only_what_bears_its_own_id() -> None:
    ring = profile(KEY, Key(b"2" * 64, "key-2"))
    assert ring.read_access(token(head=header(kid="key-2"), secret=b"2" * 64), now=NOW)
    for kid, secret in (("key-2", ACCESS_SECRET), ("key-1", b"2" * 64)):
        for head in (header(kid=kid), header(kid=kid, typ="AT+JWT")):
            with pytest.raises(InvalidTokenError):
                ring.read_access(token(head=head, secret=secret), now=NOW)


def test_one_ring_may_mix_algorithms_and_each_key_keeps_its_own() -> None:
    keys = [make_key(algorithm, algorithm) for algorithm in sorted(ALGORITHMS)]
    ring = profile(*keys)
    for key in keys:
        raw, _ = mint(profile(key))
        assert ring.read_access(raw, now=NOW)
    hmac_as_rsa = token(head=header(alg="HS256", kid="RS256"))
    with pytest.raises(InvalidTokenError):
        ring.read_access(hmac_as_rsa, now=NOW)


@pytest.mark.anyio
@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "HS256"])
async def test_moving_from_a_bare_secret_to_a_key_signs_nobody_out(
    clock: Clock, stored: bool, algorithm: str
) -> None:
    store = MemoryStore() if stored else None
    before = await Issuer(OLD, store=store, clock=clock).issue("alice", {"role": "admin"})
    keys = [make_key(algorithm, "es"), OLD]
    moved = Issuer(keys, secret=OLD, store=store, clock=clock)

    assert (await moved.authenticate(before.access_token))["role"] == "admin"
    after = await moved.refresh(before.refresh_token)
    assert after.session_id == before.session_id
    assert jwt.get_unverified_header(after.access_token) == header(alg=algorithm, kid="es")

    # Once the old access tokens are out, the bare secret leaves the ring; its refresh tokens stay.
    clock.advance(601)
    final = Issuer(keys[:1], secret=OLD, store=store, clock=clock)
    again = await final.refresh(after.refresh_token)
    assert (await final.authenticate(again.access_token))["role"] == "admin"
    with pytest.raises(InvalidTokenError):
        final.verify(before.access_token)


@pytest.mark.anyio
async def test_without_a_secret_of_its_own_a_mixed_ring_uses_its_bare_secrets(clock: Clock) -> None:
    before = await Issuer(OLD, store=None, clock=clock).issue("alice")
    mixed = Issuer([make_key("ES256"), OLD], store=None, clock=clock)
    assert (await mixed.refresh(before.refresh_token)).session_id == before.session_id


@pytest.mark.anyio
async def test_a_bare_key_as_hmac_key_object_does_not_sign_for_the_derived_one(
    clock: Clock,
) -> None:
    (derived,) = access_keys([OLD])
    raw = token(head=header(kid=derived.id), secret=OLD.encode())
    with pytest.raises(InvalidTokenError):
        Issuer(OLD, store=None, clock=clock).verify(raw.decode())
    assert SECRET not in raw
