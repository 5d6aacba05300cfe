"""Tokens and cookies that nobody honest sends: never an error, never an identity, never a write."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Mount

from asgi_refresh import (
    Auth,
    Config,
    Cookie,
    Issuer,
    Key,
    MemoryStore,
    RefreshEndpoint,
    RefreshMiddleware,
)
from asgi_refresh.errors import RefreshError
from asgi_refresh.events import Event
from asgi_refresh.telemetry import log_event
from tests.hostile.tools import (
    ACCESS,
    HEADER,
    KID,
    REFRESH,
    SHARED,
    TOMBSTONE,
    Recorder,
    b64,
    both,
    browser,
    claims,
    cookie_line,
    fill,
    http,
    jar,
    run,
    said,
    set_cookies,
    shared_key,
    sign,
    token,
    websocket,
    wrapped,
)
from tests.support import SECRET, Browser, Clock, Spy, answer, make_issuer, whoami

pytestmark = pytest.mark.anyio

PLACES = ["access", "refresh", "bearer"]


def in_place(place: str, raw: str | bytes) -> tuple[bytes, bytes]:
    """The header that carries *raw* as an access cookie, a refresh cookie or a bearer token."""
    value = raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogatepass")
    if place == "bearer":
        return b"authorization", b"Bearer " + value
    name = ACCESS if place == "access" else REFRESH
    return b"cookie", name.encode() + b"=" + value


def shared(clock: Clock, store: Any = None, **kwargs: Any) -> Issuer:
    """An issuer whose access key the tests hold too."""
    kwargs.setdefault("config", Config())
    kwargs.setdefault("on_event", lambda _event: None)
    return Issuer(
        shared_key(),
        secret=SECRET,
        store=MemoryStore() if store is None else store,
        clock=clock,
        **kwargs,
    )


async def refused(
    clock: Clock, place: str, raw: str | bytes, reason: str = "invalid_token"
) -> None:
    """Check every part of: anonymous for *reason*, no cookie, no write, one event."""
    spy, events = Spy(), []
    issuer = shared(clock, spy, on_event=events.append)

    told, cookies = await said(wrapped(issuer), in_place(place, raw))

    assert (told["subject"], told["payload"], told["reason"]) == (None, None, reason)
    assert cookies == []
    assert spy.count("add", "get", "replace", "revoke", "revoke_subject", "find", "purge") == 0
    expected = [] if reason == "no_credentials" else [("rejected", reason)]
    assert [(event.name, event.reason) for event in events] == expected


# --- text (AB-1, AB-12, AB-13, AB-15) -------------------------------------------------------------

GARBAGE = [
    ".", "..", "...", "a", "a.b", "a.b.c", "a.b.c.d", "a.b.c.d.e", "=", "a=b", '"', "%00", "\x00",
    "undefined", "null", "[object]", "{}", "\x7f", "a\tb", "é", "🙂", "\u212a", "0", "-1",
    "a.1.b", ".1.", "s1.1.", "s1.-1.x", "..." * 500, "a." * 2000, "A" * 4000, "A" * 9000,
    "eyJ.eyJ.", "eyJhbGciOiJub25lIn0.e30.", "\ud800.a.b", "a.\udfff.b",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("raw", GARBAGE, ids=lambda raw: ascii(raw)[:30])
async def test_garbage_is_anonymous_and_costs_nothing(clock: Clock, place: str, raw: str) -> None:
    await refused(clock, place, raw)


@pytest.mark.parametrize("place", ["access", "refresh"])
async def test_an_empty_cookie_is_a_bad_token(clock: Clock, place: str) -> None:
    await refused(clock, place, "")


async def test_an_empty_bearer_is_no_credential(clock: Clock) -> None:
    await refused(clock, "bearer", "", "no_credentials")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("byte", [0x80, 0x85, 0xA0, 0xC3, 0xFF])
async def test_a_byte_outside_ascii_spoils_a_token(clock: Clock, place: str, byte: int) -> None:
    good = token(claims(clock)).encode()

    await refused(clock, place, good[:40] + bytes([byte]) + good[41:])
    await refused(clock, place, good + bytes([byte]))


@pytest.mark.parametrize("place", ["access", "bearer"])
@pytest.mark.parametrize("size", [100_000, 1_000_000])
async def test_an_endless_token_is_refused_before_it_is_decoded(
    clock: Clock, place: str, size: int
) -> None:
    issuer = shared(clock, config=Config(max_cookie_header=2 * size))
    raw = token({"x": "y" * size} | claims(clock))

    told, _ = await said(wrapped(issuer), in_place(place, raw))

    assert told["reason"] == "invalid_token"


def spellings(raw: str) -> Iterator[str]:
    """Other spellings of the same three segments."""
    head, body, tag = raw.split(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    yield raw + "="
    yield raw + "=="
    yield raw + "!!"
    yield f"{head}=.{body}.{tag}"
    yield f"{head}.{body}==.{tag}"
    yield raw.replace("_", "/").replace("-", "+") + "="
    last = alphabet.index(tag[-1])
    for off in (1, 2, 3):
        yield raw[:-1] + alphabet[last ^ off]
    yield f"{head}.{body}.{tag}."
    yield f".{head}.{body}.{tag}"
    yield f"{head}..{body}.{tag}"
    yield f"{head}.{body}.{tag}A"
    yield f"{head}.{body}.{tag[:-1]}"
    yield f"{head}.{body}."
    yield f"{head}.{body}"
    yield raw.swapcase()
    yield raw.upper()
    yield f'"{raw}"'
    yield f"%{ord(raw[0]):02x}{raw[1:]}"


@pytest.mark.parametrize("place", ["access", "bearer"])
@pytest.mark.parametrize("index", range(20))
async def test_an_access_token_has_one_spelling(clock: Clock, place: str, index: int) -> None:
    raw = token(claims(clock, sub="al?>~ÿ"))

    await refused(clock, place, list(spellings(raw))[index])


@pytest.mark.parametrize("index", range(20))
@pytest.mark.parametrize("stored", [True, False])
async def test_a_refresh_token_has_one_spelling(clock: Clock, index: int, stored: bool) -> None:
    spy = Spy()
    issuer = make_issuer(clock, store=spy if stored else None)
    tokens = await issuer.issue("alice")
    message, _, tag = tokens.refresh_token.rpartition(".")
    other = list(spellings(f"{message.replace('.', '~')}.x.{tag}"))[index]
    other = other.replace(".x.", ".", 1).replace("~", ".")
    spy.calls.clear()

    told, cookies = await said(wrapped(issuer), in_place("refresh", other))

    assert (told["reason"], cookies, spy.calls) == ("invalid_token", [], [])


@pytest.mark.parametrize("index", range(20))
async def test_a_warm_cache_knows_one_spelling_only(clock: Clock, index: int) -> None:
    issuer = shared(clock)
    raw = token(claims(clock))
    app = wrapped(issuer)
    assert (await said(app, in_place("access", raw)))[0]["subject"] == "alice"

    told, _ = await said(app, in_place("access", list(spellings(raw))[index]))

    assert told["reason"] == "invalid_token"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("position", [0, 1, 20, -1, -2, -20])
async def test_one_changed_character_spoils_a_genuine_token(
    clock: Clock, place: str, position: int
) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    raw = bytearray((tokens.refresh_token if place == "refresh" else tokens.access_token).encode())
    raw[position] = ord("A") if raw[position] != ord("A") else ord("B")

    told, cookies = await said(wrapped(issuer), in_place(place, bytes(raw)))

    assert (told["reason"], cookies) == ("invalid_token", [])


# --- the header of a JWT (AB-2 to AB-11) ----------------------------------------------------------


def with_header(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (HEADER | changes).items() if value is not ...}


RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
RSA_PUBLIC = [
    RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    RSA.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    RSA.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
    jwt.algorithms.RSAAlgorithm.to_jwk(RSA.public_key()).encode(),
]
BAD_HEADERS: list[Any] = [
    *[with_header(alg=alg) for alg in (
        "none", "None", "noNE", ..., None, 1, True, "hs256", "HS384", "HS512", "RS256", "ES256",
        ["HS256"], "", " HS256", {"HS256": 1},
    )],
    *[with_header(crit=crit) for crit in (["x"], [], "exp", None)],
    with_header(crit=["b64"], b64=True), with_header(b64=False), with_header(b64=True),
    *[with_header(kid=kid) for kid in (
        1, None, ..., "../../dev/null", "' OR 1=1--", "x" * 3000, "k2", "K1", "k1 ", "", [KID],
        {"k1": 1}, "k1\x00",
    )],
    with_header(jku="https://evil.example/jwks"), with_header(x5u="https://evil.example/x"),
    with_header(jwk={"kty": "oct", "k": "AAAA"}), with_header(x5c=["x"]), with_header(zip="DEF"),
    with_header(cty="JWT"), with_header(x="y"), with_header(exp=1),
    *[with_header(typ=typ) for typ in (
        ..., "JWT", "rt+jwt", 5, None, ["at+jwt"], "", "at+jwt;x", "at+jwt ", "text/at+jwt",
        "application/application/at+jwt", "dbsc+jwt",
    )],
    b"", b"null", b"[]", b"1", b'"x"', b"{", b"{}", b"[" * 5_000, b'{"a":' * 900,
    json.dumps(HEADER).encode("utf-16"), b"\xef\xbb\xbf" + json.dumps(HEADER).encode(),
    b'{"alg":"HS256","kid":"k1","typ":"at+jwt","x":"\xff"}',
    b'{"alg":"HS256","alg":"none","kid":"k1","typ":"at+jwt"}',
    b'{"alg":"none","alg":"HS256","kid":"k1","typ":"at+jwt"}',
    b'{"alg":"HS256","kid":"k1","kid":"k1","typ":"at+jwt"}',
    b'{"alg":"HS256","kid":"k1","typ":"at+jwt"} x',
    b'{"alg":"HS256","kid":"k1","typ":"at+jwt","n":NaN}',
]  # fmt: skip


@pytest.mark.parametrize("place", ["access", "bearer"])
@pytest.mark.parametrize("header", BAD_HEADERS, ids=lambda h: ascii(h)[:40])
async def test_a_header_that_is_not_ours_is_refused_though_the_signature_holds(
    clock: Clock, place: str, header: Any
) -> None:
    await refused(clock, place, token(claims(clock), header))


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"])
async def test_the_type_is_a_media_type_in_any_case(clock: Clock, typ: str) -> None:
    raw = token(claims(clock), with_header(typ=typ))

    told, _ = await said(wrapped(shared(clock)), in_place("bearer", raw))

    assert told["subject"] == "alice"


async def test_a_header_in_another_order_is_the_same_header(clock: Clock) -> None:
    raw = token(claims(clock), b'{ "typ":"at+jwt","kid":"k1" , "alg":"HS256"}')

    told, _ = await said(wrapped(shared(clock)), in_place("bearer", raw))

    assert told["subject"] == "alice"


@pytest.mark.parametrize("header", [b"[" * 100_000, b'{"a":' * 50_000])
@pytest.mark.parametrize("place", ["access", "bearer"])
async def test_a_deep_header_without_a_signature_is_refused(
    clock: Clock, place: str, header: bytes
) -> None:
    await refused(clock, place, f"{b64(header[:5000])}.e30.x")


@pytest.mark.parametrize("public", RSA_PUBLIC, ids=["pem", "der", "ssh", "jwk"])
@pytest.mark.parametrize("header", [HEADER, with_header(alg="RS256")])
async def test_a_public_key_is_no_secret(clock: Clock, public: bytes, header: Any) -> None:
    issuer = Issuer(Key(RSA, KID, "RS256"), secret=SECRET, store=MemoryStore(), clock=clock)
    text = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims(clock)).encode())}"
    tag = b64(hashlib.sha256(public).digest())
    hmac_tag = sign(
        json.dumps(header).encode(),
        json.dumps(claims(clock)).encode(),
        secret=public.decode("latin-1"),
    )

    for raw in (f"{text}.{tag}", hmac_tag):
        told, _ = await said(wrapped(issuer), in_place("bearer", raw))
        assert told["reason"] == "invalid_token"


@pytest.mark.parametrize(
    "tag", [b"", b"\x00" * 64, b"\x00" * 63, b"\x00" * 65, b"\xff" * 64, b"0" * 70]
)
async def test_an_elliptic_signature_of_nothing_is_refused(clock: Clock, tag: bytes) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = Issuer(Key(key, KID, "ES256"), secret=SECRET, store=MemoryStore(), clock=clock)
    header = json.dumps(with_header(alg="ES256")).encode()
    raw = f"{b64(header)}.{b64(json.dumps(claims(clock)).encode())}.{b64(tag)}"

    told, _ = await said(wrapped(issuer), in_place("access", raw))

    assert told["reason"] == "invalid_token"


async def test_an_elliptic_signature_in_der_is_refused(clock: Clock) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = Issuer(Key(key, KID, "ES256"), secret=SECRET, store=MemoryStore(), clock=clock)
    header = json.dumps(with_header(alg="ES256")).encode()
    text = f"{b64(header)}.{b64(json.dumps(claims(clock)).encode())}"
    der = key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))

    told, _ = await said(wrapped(issuer), in_place("access", f"{text}.{b64(der)}"))

    assert told["reason"] == "invalid_token"


# --- claims (AB-9, AB-17 to AB-21, AB-24) ---------------------------------------------------------

NUMBERS = [
    ..., None, "1800000600", "", True, False, [], {}, -1, 0, 2**53, 2**53 + 1, 1e308, -1e308,
    int("9" * 400), [1800000600], {"exp": 1},
]  # fmt: skip
RAW_NUMBERS = [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"9" * 5000, b"01", b"+1"]
TEXTS = [..., None, 1, True, [], {}, "", "x" * 256, "x" * 4000, "a\x00", "a\r\nb", "\ud800", "\x7f"]
BAD_CLAIMS: list[Any] = [
    *[{"exp": value} for value in NUMBERS],
    *[{"iat": v} for v in NUMBERS if v not in (-1, 0, False) or v is False],
    *[{"auth_time": v} for v in NUMBERS if v not in (-1, 0, False) or v is False],
    *[{"nbf": v} for v in NUMBERS if v not in (..., -1, 0, False) or v is False],
    *[{"gen": v} for v in (..., None, "1", True, 1.0, [], {})],
    *[{"sub": v} for v in TEXTS],
    *[{"sid": v} for v in TEXTS],
    *[{"jti": v} for v in TEXTS],
    {"aud": "app"}, {"aud": ["app"]}, {"aud": []}, {"aud": ""}, {"aud": 1},
    {"x": {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": 1}}}}}}}}},
]  # fmt: skip


@pytest.mark.parametrize("place", ["access", "bearer"])
@pytest.mark.parametrize("change", BAD_CLAIMS, ids=lambda c: ascii(c)[:40])
async def test_a_claim_of_another_type_is_refused_though_the_signature_holds(
    clock: Clock, place: str, change: Any
) -> None:
    await refused(clock, place, token(claims(clock, **change)))


@pytest.mark.parametrize("claim", ["exp", "iat", "auth_time", "nbf", "gen"])
@pytest.mark.parametrize("raw", RAW_NUMBERS, ids=lambda raw: ascii(raw)[:20])
async def test_a_number_that_json_does_not_know_or_no_clock_reaches_is_refused(
    clock: Clock, claim: str, raw: bytes
) -> None:
    good = json.dumps(claims(clock, **{claim: "@"})).encode()

    await refused(clock, "access", token(good.replace(b'"@"', raw)))


@pytest.mark.parametrize(
    "payload",
    [b"", b"null", b"[]", b"1", b'"x"', b"{", b"[" * 5000, b'{"a":' * 900, b"\xff"],
    ids=lambda raw: ascii(raw)[:20],
)
@pytest.mark.parametrize("place", ["access", "bearer"])
async def test_a_signed_payload_that_is_no_object_is_refused(
    clock: Clock, place: str, payload: bytes
) -> None:
    await refused(clock, place, token(payload))


@pytest.mark.parametrize("codec", ["utf-16", "utf-32", "utf-8-sig"])
async def test_a_signed_payload_in_another_encoding_is_refused(clock: Clock, codec: str) -> None:
    await refused(clock, "access", token(json.dumps(claims(clock)).encode(codec)))


@pytest.mark.parametrize("claim", ["sub", "exp", "sid", "x"])
async def test_a_signed_claim_that_stands_twice_is_refused(clock: Clock, claim: str) -> None:
    good = json.dumps(claims(clock, x="1"))
    twice = good[:-1] + f', "{claim}": {json.dumps(claims(clock, x="1")[claim])}}}'

    await refused(clock, "access", token(twice.encode()))


async def test_a_nested_claim_that_stands_twice_is_refused(clock: Clock) -> None:
    good = json.dumps(claims(clock))

    await refused(clock, "access", token((good[:-1] + ', "x": {"a": 1, "a": 2}}').encode()))


@pytest.mark.parametrize("place", ["access", "bearer"])
@pytest.mark.parametrize(("left", "reason"), [(0, "expired_token"), (-1, "expired_token")])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("before", [0, 60])
async def test_a_token_is_over_at_the_second_of_its_exp(
    clock: Clock, place: str, left: int, reason: str, known: bool, before: int
) -> None:
    config = Config(refresh_before=timedelta(seconds=before), revocation="refresh")
    issuer = shared(clock, config=config)
    app = wrapped(issuer)
    header = in_place(place, token(claims(clock)))
    if known:
        assert (await said(app, header))[0]["subject"] == "alice"

    clock.advance(600 - left)

    assert (await said(app, header))[0]["reason"] == reason


@pytest.mark.parametrize("place", ["access", "bearer"])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("before", [0, 60])
async def test_a_token_is_good_up_to_the_moment_before_its_exp(
    clock: Clock, place: str, known: bool, before: int
) -> None:
    config = Config(refresh_before=timedelta(seconds=before), revocation="refresh")
    issuer = shared(clock, config=config)
    app = wrapped(issuer)
    header = in_place(place, token(claims(clock)))
    if known:
        await said(app, header)

    clock.advance(599.75)

    assert (await said(app, header))[0]["subject"] == "alice"


@pytest.mark.parametrize("claim", ["iat", "nbf"])
@pytest.mark.parametrize(("ahead", "good"), [(0, True), (5, True), (6, False), (3600, False)])
async def test_a_token_from_the_future_is_good_within_the_leeway(
    clock: Clock, claim: str, ahead: int, good: bool
) -> None:
    raw = token(claims(clock, **{claim: int(clock()) + ahead}))

    told, _ = await said(wrapped(shared(clock)), in_place("access", raw))

    assert (told["subject"], told["reason"]) == (
        ("alice", None) if good else (None, "invalid_token")
    )


@pytest.mark.parametrize("claim", ["iss", "aud"])
@pytest.mark.parametrize(
    ("value", "good"),
    [
        ("acme-corp", True), ("acme", False), ("acme-corp2", False), ("ACME-CORP", False),
        ("", False), (..., False), (None, False), (1, False), (True, False),
        (["acme-corp", "other"], False), (["acme"], False), ([1], False), ([], False),
        ({"acme-corp": 1}, False), (" acme-corp", False),
    ],
)  # fmt: skip
async def test_issuer_and_audience_are_compared_exactly(
    clock: Clock, claim: str, value: Any, good: bool
) -> None:
    setting = "issuer" if claim == "iss" else "audience"
    issuer = shared(clock, config=Config(**{setting: "acme-corp"}))

    told, _ = await said(
        wrapped(issuer), in_place("access", token(claims(clock, **{claim: value})))
    )

    assert told["subject"] == ("alice" if good else None)


async def test_an_issuer_in_a_list_is_no_issuer(clock: Clock) -> None:
    issuer = shared(clock, config=Config(issuer="acme-corp"))

    told, _ = await said(
        wrapped(issuer), in_place("access", token(claims(clock, iss=["acme-corp"])))
    )

    assert told["reason"] == "invalid_token"


async def test_the_payload_cannot_be_changed_at_any_depth(clock: Clock) -> None:
    caught: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        payload: Any = Auth.of(scope).payload
        for change in (
            lambda: payload.__setitem__("sub", "root"),
            lambda: payload["nested"].__setitem__("a", 1),
            lambda: payload["nested"]["list"].append(1),
            lambda: payload.update(sub="root"),
            lambda: payload.pop("sub"),
            lambda: payload.setdefault("x", 1),
            payload.clear,
            lambda: payload.__ior__({"sub": "root"}),
        ):
            try:
                change()
            except (TypeError, AttributeError) as error:
                caught.append(type(error).__name__)
        await answer(send, body=json.dumps(Auth.of(scope).payload).encode())

    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice", {"nested": {"list": [1]}})
    first, second = [
        json.loads((await run(wrapped(issuer, app), http(headers=[both(tokens)])))[1]["body"])
        for _ in range(2)
    ]

    assert len(caught) == 16
    assert first == second
    assert (first["sub"], first["nested"]) == ("alice", {"list": [1]})


# --- one kind for another (AB-25, AB-26, AB-80) ---------------------------------------------------


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("place", PLACES)
async def test_no_token_passes_as_one_of_another_kind(
    clock: Clock, place: str, stored: bool
) -> None:
    issuer = make_issuer(clock, store=MemoryStore() if stored else None)
    tokens = await issuer.issue("alice")
    wrong = tokens.access_token if place == "refresh" else tokens.refresh_token

    told, cookies = await said(wrapped(issuer), in_place(place, wrong))

    assert (told["reason"], cookies) == ("invalid_token", [])


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("mine", "theirs"),
    [({"issuer": "a"}, {"issuer": "b"}), ({"issuer": "a"}, {})],
)
async def test_a_token_of_another_application_with_the_same_secret_is_refused(
    clock: Clock, place: str, mine: Any, theirs: Any
) -> None:
    store = MemoryStore()
    ours = make_issuer(clock, store=store, config=Config(**mine))
    other = make_issuer(clock, store=store, config=Config(**theirs))
    tokens = await other.issue("alice")
    raw = tokens.refresh_token if place == "refresh" else tokens.access_token

    told, _ = await said(wrapped(ours), in_place(place, raw))

    assert told["reason"] == "invalid_token"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("swap", [True, False])
async def test_a_token_of_the_other_mode_is_no_refresh_token(
    clock: Clock, place: str, swap: bool
) -> None:
    stored = make_issuer(clock, store=MemoryStore())
    stateless = make_issuer(clock, store=None)
    mine, theirs = (stateless, stored) if swap else (stored, stateless)
    tokens = await theirs.issue("alice")

    told, _ = await said(wrapped(mine), in_place(place, tokens.refresh_token))

    assert told["reason"] == "invalid_token"


@pytest.mark.parametrize("place", PLACES)
async def test_a_token_of_a_key_that_was_taken_away_is_refused(clock: Clock, place: str) -> None:
    store = MemoryStore()
    old = make_issuer(clock, store=store)
    tokens = await old.issue("alice")
    new = Issuer("another-secret-of-at-least-32-bytes-!!", store=store, clock=clock)
    raw = tokens.refresh_token if place == "refresh" else tokens.access_token

    told, _ = await said(wrapped(new), in_place(place, raw))

    assert told["reason"] == "invalid_token"


@pytest.mark.parametrize("place", PLACES)
async def test_a_token_of_the_key_before_is_still_good(clock: Clock, place: str) -> None:
    store = MemoryStore()
    tokens = await make_issuer(clock, store=store).issue("alice")
    new = Issuer(["another-secret-of-at-least-32-bytes-!!", SECRET], store=store, clock=clock)
    raw = tokens.refresh_token if place == "refresh" else tokens.access_token

    told, _ = await said(wrapped(new), in_place(place, raw))

    assert told["subject"] == "alice"


# --- both cookies (AB-27 to AB-32, AB-40) ---------------------------------------------------------


async def issued(clock: Clock, *subjects: str, store: Any = None, **kwargs: Any) -> tuple[Any, ...]:
    issuer = make_issuer(clock, store=MemoryStore() if store is None else store, **kwargs)
    return issuer, *[await issuer.issue(subject) for subject in subjects]


async def test_a_valid_access_token_next_to_a_garbage_refresh_token_signs_in_quietly(
    clock: Clock,
) -> None:
    issuer, alice = await issued(clock, "alice")

    told, cookies = await said(
        wrapped(issuer), cookie_line((ACCESS, alice.access_token), (REFRESH, "garbage"))
    )

    assert (told["subject"], cookies) == ("alice", [])


@pytest.mark.parametrize("bad", ["garbage", "a.b.c", ""])
async def test_a_forged_access_token_next_to_a_good_refresh_token_is_as_good_as_none(
    clock: Clock, events: list[Any], bad: str
) -> None:
    issuer, alice = await issued(clock, "alice", on_event=events.append)

    told, cookies = await said(
        wrapped(issuer), cookie_line((ACCESS, bad), (REFRESH, alice.refresh_token))
    )

    assert (told["subject"], told["refreshed"], len(cookies)) == ("alice", True, 2)
    assert ("rejected", "invalid_token") in [(e.name, e.reason) for e in events]


@pytest.mark.parametrize(
    "sent", [(ACCESS,), (REFRESH,), (ACCESS, REFRESH)], ids=["access", "refresh", "both"]
)
async def test_cookies_of_an_ended_session_are_deleted_on_a_navigation_as_far_as_they_came(
    clock: Clock, sent: tuple[str, ...]
) -> None:
    issuer, alice = await issued(clock, "alice")
    await issuer.revoke(alice.session_id)
    clock.advance(3600)
    client = browser(issuer, clock)

    response = await client.navigate(
        "/", cookies={name: value for name, value in jar(alice).items() if name in sent}
    )

    over = set(sent) if REFRESH in sent else set()
    assert set(response.cookies) == over
    assert set(response.cookies.values()) <= {""}


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("sec-fetch-mode", "navigate")],
        [("sec-fetch-dest", "document")],
        [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
        [("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")],
        [("sec-fetch-mode", "navigate")] * 2 + [("sec-fetch-dest", "document")],
        [("sec-fetch-mode", "Navigate"), ("sec-fetch-dest", "document")],
    ],
)
async def test_cookies_of_an_ended_session_are_left_alone_without_a_navigation(
    clock: Clock, headers: Any
) -> None:
    issuer, alice = await issued(clock, "alice")
    await issuer.revoke(alice.session_id)
    clock.advance(3600)

    response = await fill(browser(issuer, clock), alice).get("/", headers=headers)

    assert (response.json()["reason"], response.set_cookies) == ("session_ended", [])


async def test_an_expired_access_token_alone_says_so(clock: Clock) -> None:
    issuer, alice = await issued(clock, "alice")
    clock.advance(3600)

    told, cookies = await said(wrapped(issuer), cookie_line((ACCESS, alice.access_token)))

    assert (told["reason"], cookies) == ("expired_token", [])


@pytest.mark.parametrize("wait", [0, 570])
async def test_next_to_a_foreign_refresh_token_the_access_token_counts_and_nothing_is_emitted(
    clock: Clock, events: list[Any], wait: float
) -> None:
    issuer, alice, mallory = await issued(clock, "alice", "mallory", on_event=events.append)
    clock.advance(wait)
    events.clear()

    told, cookies = await said(
        wrapped(issuer), cookie_line((ACCESS, alice.access_token), (REFRESH, mallory.refresh_token))
    )

    assert (told["subject"], cookies) == ("alice", [])
    assert [(e.name, e.reason) for e in events] == [("rejected", "session_mismatch")]


async def test_next_to_a_foreign_refresh_token_an_expired_access_token_is_anonymous(
    clock: Clock,
) -> None:
    issuer, alice, mallory = await issued(clock, "alice", "mallory")
    clock.advance(3600)

    told, cookies = await said(
        wrapped(issuer), cookie_line((ACCESS, alice.access_token), (REFRESH, mallory.refresh_token))
    )

    assert (told["reason"], cookies) == ("session_mismatch", [])


async def test_a_subject_that_load_claims_refuses_is_anonymous_and_the_session_ends(
    clock: Clock,
) -> None:
    store = MemoryStore()
    issuer, alice = await issued(clock, "alice", store=store)
    clock.advance(3600)
    strict = make_issuer(clock, store=store, load_claims=lambda session: None)

    told, cookies = await said(wrapped(strict), both(alice))

    assert (told["reason"], cookies) == ("claims_refused", [])
    assert await issuer.sessions("alice") == []


@pytest.mark.parametrize("revocation", ["live", "refresh"])
async def test_however_warm_an_access_token_near_its_end_is_refreshed(
    clock: Clock, revocation: Any
) -> None:
    issuer, alice = await issued(clock, "alice", config=Config(revocation=revocation))
    app = wrapped(issuer)
    clock.advance(539)
    assert (await said(app, both(alice)))[0]["refreshed"] is False
    clock.advance(2)

    told, cookies = await said(app, both(alice))

    assert (told["refreshed"], len(cookies)) == (True, 2)


async def test_however_warm_a_session_ended_in_this_process_ends_at_the_next_request(
    clock: Clock,
) -> None:
    issuer, alice = await issued(clock, "alice")
    app = wrapped(issuer)
    await said(app, both(alice))
    await issuer.revoke(alice.session_id)

    told, _ = await said(app, cookie_line((ACCESS, alice.access_token)))

    assert told["reason"] == "revoked_token"


# --- names and duplicates (AB-33 to AB-39, CK-7) --------------------------------------------------


@pytest.mark.parametrize("name", [ACCESS, REFRESH])
@pytest.mark.parametrize(
    "spoiled",
    [
        b"\xa0%b=%b", b"\x85%b=%b", b"\xc2\xa0%b=%b", b"\xe2\x80\x80%b=%b", b"\x1c%b=%b",
        b"\x00%b=%b", b"\n%b=%b", b"\x0b%b=%b", b"=%b=%b", b"$Version=1,%b=%b", b"a,%b=%b",
        b'"%b=%b', b"%b\x00=%b", b"%b\x0b=%b", b"x%b=%b", b"%bx=%b", b"%b[]=%b", b"a %b=%b",
    ],
)  # fmt: skip
async def test_a_name_that_is_not_quite_ours_is_not_ours(
    clock: Clock, name: str, spoiled: bytes
) -> None:
    issuer, alice = await issued(clock, "alice")
    app = wrapped(issuer)
    await said(app, both(alice))
    value = jar(alice)[name]

    told, cookies = await said(app, (b"cookie", spoiled % (name.encode(), value.encode())))

    assert (told["reason"], cookies) == ("no_credentials", [])


@pytest.mark.parametrize("respell", [str.lower, str.upper, lambda n: n.replace("_", "%5F")])
async def test_a_name_respelled_is_not_ours(clock: Clock, respell: Any) -> None:
    issuer, alice = await issued(clock, "alice")
    pairs = [(respell(name), value) for name, value in jar(alice).items()]

    told, _ = await said(wrapped(issuer), cookie_line(*pairs))

    assert told["reason"] == "no_credentials"


@pytest.mark.parametrize(
    "header", [f"{ACCESS}", f"{ACCESS}; {REFRESH}", f"; ;{ACCESS} ;", "=;=", ""]
)
async def test_a_name_without_an_equals_sign_is_nobodys(clock: Clock, header: str) -> None:
    issuer, _ = await issued(clock, "alice")

    told, _ = await said(wrapped(issuer), (b"cookie", header.encode()))

    assert told["reason"] == "no_credentials"


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    "spaced",
    [
        b"%b = %b",
        b"\t%b\t=\t%b\t",
        b"a=b;%b=%b",
        b"a=b;  %b=%b  ",
        b";%b=%b;",
        b" %b=%b;",
        b"a;%b=%b",
    ],
)
async def test_spaces_and_tabs_around_name_and_value_do_not_count(
    clock: Clock, spaced: bytes, known: bool
) -> None:
    issuer, alice = await issued(clock, "alice")
    app = wrapped(issuer)
    if known:
        await said(app, both(alice))

    told, _ = await said(app, (b"cookie", spaced % (ACCESS.encode(), alice.access_token.encode())))

    assert told["subject"] == "alice"


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    "quoted", [b'%b="%b"', b"%b='%b'", b"%b=%b\x0b", b"%b=\xa0%b", b"%b=%b\x00", b"%b=%b,"]
)
async def test_quotes_and_odd_spaces_belong_to_the_value(
    clock: Clock, quoted: bytes, known: bool
) -> None:
    issuer, alice = await issued(clock, "alice")
    app = wrapped(issuer)
    if known:
        await said(app, both(alice))

    told, _ = await said(app, (b"cookie", quoted % (ACCESS.encode(), alice.access_token.encode())))

    assert told["reason"] == "invalid_token"


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("name", [ACCESS, REFRESH])
async def test_of_a_name_that_stands_twice_the_one_that_verifies_counts(
    clock: Clock, name: str, first: bool
) -> None:
    issuer, alice = await issued(clock, "alice")
    pairs = [(name, "evil"), (name, jar(alice)[name])]

    told, _ = await said(wrapped(issuer), cookie_line(*(pairs if first else pairs[::-1])))

    assert told["subject"] == "alice"


async def test_the_same_value_twice_is_one_value(clock: Clock) -> None:
    issuer, alice = await issued(clock, "alice")

    told, _ = await said(wrapped(issuer), cookie_line(*list(jar(alice).items()) * 2))

    assert told["subject"] == "alice"


@pytest.mark.parametrize("reverse", [True, False])
async def test_of_two_access_tokens_of_one_session_the_newer_counts(
    clock: Clock, reverse: bool
) -> None:
    issuer, old = await issued(clock, "alice")
    clock.advance(300)
    new = await issuer.refresh(old.refresh_token)
    pairs = [(ACCESS, old.access_token), (ACCESS, new.access_token)]

    told, _ = await said(wrapped(issuer), cookie_line(*(pairs[::-1] if reverse else pairs)))

    assert told["payload"] == issuer.verify(new.access_token)


@pytest.mark.parametrize("reverse", [True, False])
async def test_of_two_refresh_tokens_of_one_session_the_newer_counts_and_nothing_is_a_theft(
    clock: Clock, reverse: bool
) -> None:
    issuer, old = await issued(clock, "alice")
    new = old
    for _ in range(3):
        clock.advance(3600)
        new = await issuer.refresh(new.refresh_token)
    clock.advance(3600)
    pairs = [(REFRESH, old.refresh_token), (REFRESH, new.refresh_token)]

    told, _ = await said(wrapped(issuer), cookie_line(*(pairs[::-1] if reverse else pairs)))

    assert told["subject"] == "alice"
    assert len(await issuer.sessions("alice")) == 1


@pytest.mark.parametrize("reverse", [True, False])
async def test_of_two_stateless_refresh_tokens_of_one_session_the_newer_counts(
    clock: Clock, reverse: bool
) -> None:
    issuer = make_issuer(clock, store=None)
    old = await issuer.issue("alice")
    clock.advance(8 * 86400)
    new = await issuer.refresh(old.refresh_token)
    clock.advance(7 * 86400)  # the old one is over by now
    pairs = [(REFRESH, old.refresh_token), (REFRESH, new.refresh_token)]

    told, _ = await said(wrapped(issuer), cookie_line(*(pairs[::-1] if reverse else pairs)))

    assert told["subject"] == "alice"


@pytest.mark.parametrize("name", [ACCESS, REFRESH])
@pytest.mark.parametrize("reverse", [True, False])
@pytest.mark.parametrize("subjects", [("alice", "mallory"), ("alice", "alice")])
async def test_of_two_sessions_under_one_name_none_counts_and_it_is_an_event(
    clock: Clock, events: list[Any], name: str, reverse: bool, subjects: tuple[str, str]
) -> None:
    issuer, one, other = await issued(clock, *subjects, on_event=events.append)
    pairs = [(name, jar(one)[name]), (name, jar(other)[name])]
    events.clear()

    told, cookies = await said(wrapped(issuer), cookie_line(*(pairs[::-1] if reverse else pairs)))

    assert (told["reason"], cookies) == ("ambiguous_cookies", [])
    assert [(e.name, e.reason) for e in events] == [("rejected", "ambiguous_cookies")]


@pytest.mark.parametrize("whose", ["alice", "mallory"])
async def test_with_access_tokens_of_two_sessions_no_refresh_token_decides_between_them(
    clock: Clock, whose: str
) -> None:
    """Who can plant one cookie can plant two: it must not undo the check for a mismatch."""
    issuer, alice, mallory = await issued(clock, "alice", "mallory")
    refresh = (alice if whose == "alice" else mallory).refresh_token

    told, cookies = await said(
        wrapped(issuer),
        cookie_line(
            (ACCESS, alice.access_token), (ACCESS, mallory.access_token), (REFRESH, refresh)
        ),
    )

    assert (told["reason"], cookies) == ("ambiguous_cookies", [])


async def test_with_refresh_tokens_of_two_sessions_a_valid_access_token_still_counts(
    clock: Clock, events: list[Any]
) -> None:
    issuer, alice, mallory = await issued(clock, "alice", "mallory", on_event=events.append)
    pairs = [*jar(alice).items(), (REFRESH, mallory.refresh_token)]

    told, cookies = await said(wrapped(issuer), cookie_line(*pairs))

    assert (told["subject"], cookies) == ("alice", [])
    assert ("rejected", "ambiguous_cookies") in [(e.name, e.reason) for e in events]


async def test_with_refresh_tokens_of_two_sessions_an_access_token_that_is_over_is_ambiguous(
    clock: Clock, events: list[Any]
) -> None:
    issuer, alice, mallory = await issued(clock, "alice", "mallory", on_event=events.append)
    clock.advance(3600)
    pairs = [*jar(alice).items(), (REFRESH, mallory.refresh_token)]

    told, cookies = await said(wrapped(issuer), cookie_line(*pairs))

    assert (told["subject"], cookies) == (None, [])
    assert ("rejected", "ambiguous_cookies") in [(e.name, e.reason) for e in events]


async def test_a_handful_of_values_under_one_name_is_looked_at_and_no_more(clock: Clock) -> None:
    issuer, alice = await issued(clock, "alice")
    app = wrapped(issuer)
    few = [(ACCESS, f"evil{i}") for i in range(3)]
    many = [(ACCESS, f"evil{i}") for i in range(4)]
    good = (ACCESS, alice.access_token)

    assert (await said(app, cookie_line(*few, good)))[0]["subject"] == "alice"
    assert (await said(app, cookie_line(*many, good)))[0]["reason"] == "invalid_token"


# --- size (AB-38) ---------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("over", "subject"), [(0, "alice"), (1, None)])
@pytest.mark.parametrize("split", [True, False])
async def test_a_cookie_header_over_the_limit_is_anonymous_however_it_is_split(
    clock: Clock, events: list[Any], known: bool, over: int, subject: str | None, split: bool
) -> None:
    config = Config(max_cookie_header=2000)
    issuer, alice = await issued(clock, "alice", config=config, on_event=events.append)
    app = wrapped(issuer)
    if known:
        await said(app, both(alice))
    rest = 2000 - len(both(alice)[1]) - len("; p=") + over
    pad = cookie_line(("p", "x" * rest))
    headers = [both(alice), pad] if split else [(b"cookie", both(alice)[1] + b"; " + pad[1])]
    events.clear()

    told, cookies = await said(app, *headers)

    assert (told["subject"], cookies) == (subject, [])
    expected = [] if subject else [("rejected", "oversize_cookies")]
    assert [(e.name, e.reason) for e in events] == expected


async def test_without_cookies_of_ours_a_cookie_header_over_the_limit_is_an_event_too(
    clock: Clock, events: list[Any]
) -> None:
    issuer = make_issuer(clock, store=MemoryStore(), on_event=events.append)

    told, _ = await said(wrapped(issuer), (b"cookie", b'"\\\\\\"' * 60_000))

    assert told["reason"] == "oversize_cookies"
    assert [e.reason for e in events] == ["oversize_cookies"]


@pytest.mark.parametrize("name", [ACCESS, REFRESH])
async def test_thousands_of_cookies_hide_neither_of_ours(clock: Clock, name: str) -> None:
    issuer, alice = await issued(clock, "alice", config=Config(max_cookie_header=1_000_000))
    crowd = [(f"c{i}", "v") for i in range(10_000)]

    told, _ = await said(wrapped(issuer), cookie_line(*crowd, (name, jar(alice)[name]), *crowd))

    assert told["subject"] == "alice"


# --- tombstones -----------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("wait", [0, 3600])
async def test_a_tombstone_silences_the_tokens_of_its_session(
    clock: Clock, known: bool, wait: float
) -> None:
    issuer, alice = await issued(clock, "alice")
    app = wrapped(issuer)
    if known:
        await said(app, both(alice))
    clock.advance(wait)

    told, cookies = await said(app, cookie_line(*jar(alice).items(), (TOMBSTONE, alice.session_id)))

    assert (told["reason"], cookies) == ("session_ended", [])


async def test_a_tombstone_of_another_session_silences_nothing(clock: Clock) -> None:
    issuer, alice, bob = await issued(clock, "alice", "bob")

    told, _ = await said(
        wrapped(issuer), cookie_line((TOMBSTONE, bob.session_id), *jar(alice).items())
    )

    assert told["subject"] == "alice"


@pytest.mark.parametrize("value", ["", "x", "\xff", "*", "x" * 5000, "%00", '"'])
async def test_a_garbage_tombstone_silences_nothing_and_says_nothing(
    clock: Clock, value: str
) -> None:
    issuer, alice = await issued(clock, "alice")

    told, cookies = await said(
        wrapped(issuer), cookie_line((TOMBSTONE, value), *jar(alice).items())
    )

    assert (told["subject"], cookies) == ("alice", [])


# --- our scope key (AB-90) ------------------------------------------------------------------------


@pytest.mark.parametrize("fake", ["mallory", {"sub": "mallory"}, object(), None])
@pytest.mark.parametrize("signed_in", [True, False])
async def test_whatever_stood_under_our_scope_key_is_overwritten(
    clock: Clock, fake: Any, signed_in: bool
) -> None:
    issuer, alice = await issued(clock, "alice")
    headers = [both(alice)] if signed_in else []
    scope = http(headers=headers, asgi_refresh=fake, auth=fake, user=fake)

    sent = await run(wrapped(issuer), scope)

    assert json.loads(sent[1]["body"])["subject"] == ("alice" if signed_in else None)
    assert scope["auth"] is scope["user"] is scope["asgi_refresh"]


@pytest.mark.parametrize("name", ["asgi_refresh", "auth", "user", "x-user", "remote-user"])
async def test_a_header_named_like_our_key_says_nothing(clock: Clock, name: str) -> None:
    issuer, _ = await issued(clock, "alice")

    told, _ = await said(wrapped(issuer), (name.encode(), b"alice"))

    assert told["reason"] == "no_credentials"


@pytest.mark.parametrize("state", [{"asgi_refresh": "x", "auth": "x"}, {}])
async def test_the_state_of_the_server_is_neither_read_nor_written(
    clock: Clock, state: Any
) -> None:
    issuer, alice = await issued(clock, "alice")
    before = dict(state)

    await run(wrapped(issuer), http(headers=[both(alice)], state=state))

    assert state == before


@pytest.mark.parametrize("name", [b"authorization_", b"authorization-", b"http_cookie", b"cookie2"])
async def test_a_header_named_almost_like_a_credential_is_none(clock: Clock, name: bytes) -> None:
    issuer, alice = await issued(clock, "alice")
    value = both(alice)[1] if b"cookie" in name else f"Bearer {alice.access_token}".encode()

    told, _ = await said(wrapped(issuer), (name, value))

    assert told["reason"] == "no_credentials"


# --- two middlewares (AB-91) ----------------------------------------------------------------------


@pytest.mark.parametrize("wait", [0, 3600])
async def test_a_doubled_middleware_looks_and_settles_once(clock: Clock, wait: float) -> None:
    spy = Spy()
    issuer, alice = await issued(clock, "alice", store=spy)
    clock.advance(wait)
    spy.calls.clear()

    _, cookies = await said(wrapped(issuer, wrapped(issuer)), both(alice))

    assert spy.count("get", "replace") == (2 if wait else 0)
    assert len(cookies) == (2 if wait else 0)


async def test_behind_a_doubled_middleware_the_handler_sees_the_refresh(clock: Clock) -> None:
    issuer, alice = await issued(clock, "alice")
    clock.advance(3600)

    told, _ = await said(wrapped(issuer, wrapped(issuer)), both(alice))

    assert told["refreshed"] is True


async def test_a_doubled_middleware_asks_for_revocations_once(clock: Clock) -> None:
    spy = Spy()
    issuer, alice = await issued(clock, "alice", store=spy, config=Config(revocation="always"))
    spy.calls.clear()

    await said(wrapped(issuer, wrapped(issuer)), both(alice))

    assert spy.calls == ["revocations"]


async def test_a_login_behind_a_doubled_middleware_happens_once(clock: Clock) -> None:
    issuer, _ = await issued(clock, "alice")
    client = browser(issuer, clock, wrapped(issuer, Recorder()))

    response = await client.post("/login")

    assert len(await issuer.sessions("mallory")) == 1
    assert len(response.set_cookies) == 2


async def test_an_inner_middleware_under_a_mount_does_nothing_again(clock: Clock) -> None:
    spy = Spy()
    issuer, alice = await issued(clock, "alice", store=spy)
    app = Starlette(routes=[Mount("/sub", app=wrapped(issuer))])
    clock.advance(3600)
    spy.calls.clear()

    sent = await run(wrapped(issuer, app), http("/sub/x", headers=[both(alice)]))

    assert json.loads(sent[1]["body"])["subject"] == "alice"
    assert (spy.count("replace"), len(set_cookies(sent))) == (1, 2)


OTHER = Config(access_cookie=Cookie("__Host-a2"), refresh_cookie=Cookie("__Host-r2"))


def told_by_both(scope: Any) -> dict[str, Any]:
    return {
        "outer": Auth.of(scope).subject,
        "inner": Auth.of(scope, scope_key="second").subject,
    }


async def two(clock: Clock) -> Any:
    """Two issuers under two names of cookies and keys, one inside the other."""
    one = make_issuer(clock, store=MemoryStore())
    other = make_issuer(clock, store=MemoryStore(), config=OTHER)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/logout":
            Auth.of(scope, scope_key="second").logout()
        await answer(send, body=json.dumps(told_by_both(scope)).encode())

    inner = RefreshMiddleware(app, other, scope_key="second")
    a, b = await one.issue("alice"), await other.issue("bob")
    cookies = jar(a) | {"__Host-a2": b.access_token, "__Host-r2": b.refresh_token}
    return one, other, Browser(RefreshMiddleware(inner, one), clock), cookies


@pytest.mark.parametrize("wait", [0, 3600])
async def test_two_issuers_with_other_cookie_names_sign_in_side_by_side(
    clock: Clock, wait: float
) -> None:
    _, _, client, cookies = await two(clock)
    clock.advance(wait)

    response = await client.get("/", cookies=cookies)

    assert response.json() == {"outer": "alice", "inner": "bob"}
    assert set(response.cookies) == (set(cookies) if wait else set())


async def test_the_cookies_of_one_issuer_mean_nothing_to_the_other(clock: Clock) -> None:
    _, _, client, cookies = await two(clock)
    swapped = dict(
        zip(cookies, [*list(cookies.values())[2:], *list(cookies.values())[:2]], strict=True)
    )

    response = await client.get("/", cookies=swapped)

    assert (response.status, set(response.cookies.values()) <= {""}) == (200, True)


async def test_a_logout_with_one_issuer_leaves_the_other_signed_in(clock: Clock) -> None:
    one, other, client, cookies = await two(clock)

    response = await client.get("/logout", cookies=cookies)

    assert set(response.cookies) == {"__Host-a2", "__Host-r2"}
    assert (len(await one.sessions("alice")), await other.sessions("bob")) == (1, [])


async def test_cookie_names_that_begin_alike_do_not_disturb_each_other(clock: Clock) -> None:
    config = Config(access_cookie=Cookie("at"), refresh_cookie=Cookie("at2"))
    issuer, alice = await issued(clock, "alice", config=config)
    app = wrapped(issuer)
    header = cookie_line(("at2", alice.refresh_token), ("xat", "1"), ("at", alice.access_token))
    await said(app, header)

    assert (await said(app, header))[0]["subject"] == "alice"


# --- paths ----------------------------------------------------------------------------------------


async def plain(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, body=json.dumps("asgi_refresh" in scope).encode())


@pytest.mark.parametrize(
    ("path", "root", "excluded"),
    [
        ("/static", "", True), ("/static/a.css", "", True), ("/static/", "", True),
        ("/statics", "", False), ("/static.css", "", False), ("/x/static", "", False),
        ("/Static", "", False), ("//static", "", False), ("/static;x", "", False), ("/", "", False),
        ("/api/static/a", "/api", True), ("/api/static", "/api/", True),
        ("/api/statics", "/api", False),
        ("/api", "/api", False), ("/apistatic", "/api", False), ("/static/a", "/api", True),
        ("/health/live", "", True), ("/healthy", "", False),
    ],
)  # fmt: skip
async def test_exclude_is_by_whole_segments_less_the_root_path(
    clock: Clock, path: str, root: str, excluded: bool
) -> None:
    config = Config(exclude=["/static", "/health/"])
    issuer, alice = await issued(clock, "alice", config=config)

    sent = await run(wrapped(issuer, plain), http(path, headers=[both(alice)], root_path=root))

    assert json.loads(sent[1]["body"]) is not excluded


async def test_an_excluded_path_passes_with_the_very_scope_receive_and_send(clock: Clock) -> None:
    seen: list[Any] = []

    async def app(*given: Any) -> None:
        seen.extend(given)

    async def receive() -> Any: ...
    async def send(message: Any) -> None: ...

    issuer, alice = await issued(clock, "alice", config=Config(exclude=["/static"]))
    scope = http("/static/x", headers=[both(alice)])
    before = dict(scope)
    await wrapped(issuer, app)(scope, receive, send)

    assert all(a is b for a, b in zip(seen, (scope, receive, send), strict=True))
    assert scope == before


@pytest.mark.parametrize("path", ["/api/static/x", "/api/me"])
async def test_exclude_counts_from_the_mount_point(clock: Clock, path: str) -> None:
    issuer, alice = await issued(clock, "alice", config=Config(exclude=["/static"]))
    app = Starlette(routes=[Mount("/api", app=wrapped(issuer, plain))])

    sent = await run(app, http(path, headers=[both(alice)]))

    assert json.loads(sent[1]["body"]) is (path == "/api/me")


async def test_a_mounted_middleware_refreshes_like_any_other(clock: Clock) -> None:
    issuer, alice = await issued(clock, "alice")
    clock.advance(3600)
    app = Starlette(routes=[Mount("/api", app=wrapped(issuer))])

    sent = await run(app, http("/api/me", headers=[both(alice)]))

    assert json.loads(sent[1]["body"])["refreshed"] is True
    assert len(set_cookies(sent)) == 2


# --- nothing leaks (AB-92, AB-93) -----------------------------------------------------------------


class Everything(logging.Handler):
    """Keeps every record, formatted and raw, with its traceback."""

    def __init__(self) -> None:
        super().__init__(level=logging.DEBUG)
        self.text: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.text += [self.format(record), repr(record.__dict__)]


@pytest.fixture
def logs() -> Iterator[Everything]:
    handler, root = Everything(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


class Flows:
    """A batch of requests that touches every part, and whatever of it somebody might log."""

    def __init__(self, clock: Clock, *, stored: bool) -> None:
        self.clock, self.spy = clock, Spy()
        self.tokens: list[str] = []
        self.shown: list[str] = []
        self.issuer = make_issuer(
            clock,
            store=self.spy if stored else None,
            config=Config(max_cookie_header=8000),
            on_event=self.hook,
        )
        endpoints = {"/refresh": RefreshEndpoint(self.issuer)}
        self.client = Browser(wrapped(self.issuer, self.app, endpoints=endpoints), clock)

    def hook(self, event: Any) -> None:
        self.shown.append(repr(event))
        log_event(event)
        if event.name == "revoked":
            raise RuntimeError("a hook that fails")

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        auth = Auth.of(scope)
        exchange = auth._exchange
        self.shown += [repr(auth), str(auth), repr(exchange), repr(auth._token)]
        self.shown += [repr(getattr(exchange, "look", None))]
        if scope["path"] == "/boom":
            auth.logout()
            raise ValueError("mine")
        await whoami(scope, receive, send)

    async def get(self, path: str = "/", **kwargs: Any) -> None:
        self.clock.advance(3600)
        await self.client.get(path, **kwargs)
        self.tokens.extend(self.client.values().values())

    async def browse(self) -> None:
        await self.client.post("/login")
        self.tokens.extend(self.client.values().values())
        old = self.client.fork()
        for _ in range(3):
            await self.get()
        await self.client.post("/", headers=[("origin", "https://evil.example")])
        bad = [("authorization", f"Bearer {self.tokens[0]}x"), ("cookie", f"{ACCESS}=y")]
        await self.get(headers=bad)
        self.spy.broken = {"*"}
        await self.get()
        await self.client.post("/login")
        await self.client.post("/logout")
        self.spy.broken = set()
        await self.client.post("/login/bob")
        await self.get(cookies={ACCESS: f"{self.tokens[0]}; {ACCESS}={self.tokens[-2]}"})
        await self.get(cookies={"p": "x" * 9000} | self.client.values())
        self.clock.advance(3600)
        await self.client.websocket()
        await old.navigate("/")
        try:
            await self.client.get("/boom")
        except ValueError as error:
            self.shown += traceback.format_exception(error)

    async def exchange(self) -> None:
        """The endpoint, and the issuer itself."""
        tokens = await self.issuer.issue("carol")
        self.tokens += jar(tokens).values()
        kind, raw = ("content-type", "application/json"), tokens.refresh_token
        body = json.dumps({"refresh_token": raw}).encode()
        response = await self.client.post("/refresh", headers=[kind], body=body)
        self.tokens += [v for k, v in response.json().items() if k.endswith("_token")]
        for sent in (body + b"x", body.replace(b".", b"_"), body[:-3]):
            await self.client.post("/refresh", headers=[kind], body=sent)
        bearer = ("authorization", f"Bearer {raw}")
        await self.client.post("/refresh", headers=[kind, bearer], body=body)
        self.spy.broken = {"*"}
        await self.client.post("/refresh", headers=[kind], body=body)
        self.spy.broken = set()
        for call in (self.issuer.authenticate, self.issuer.refresh):
            for wrong in (*self.tokens[:4], raw + "x", raw):
                try:
                    self.shown.append(repr(type(await call(wrong))))
                except (RefreshError, OSError) as error:
                    self.shown += [*traceback.format_exception(error), repr(error.__dict__)]

    def text(self, logs: Everything) -> str:
        issuer = self.issuer
        things = (issuer, issuer.config, issuer.mint, issuer.profile, issuer.mode, self.client.app)
        return "\n".join([*map(repr, things), *self.shown, *logs.text])


@pytest.mark.parametrize("stored", [True, False])
async def test_no_log_event_exception_or_repr_ever_shows_a_token(
    clock: Clock, logs: Everything, stored: bool
) -> None:
    flows = Flows(clock, stored=stored)

    await flows.browse()
    await flows.exchange()

    text = flows.text(logs)
    tails = {raw.rpartition(".")[2] for raw in flows.tokens if "." in raw}
    assert len(tails) > 8
    assert [tail for tail in tails if tail in text] == []
    assert SECRET not in text
    assert "rejected" in text


async def test_the_tokens_of_an_issue_are_not_in_its_repr(clock: Clock) -> None:
    issuer, tokens = await issued(clock, "alice")

    text = repr(tokens) + repr(shared_key()) + repr([dataclasses.replace(tokens)]) + repr(issuer)

    assert tokens.access_token not in text
    assert tokens.refresh_token not in text
    assert SHARED not in text


HOSTILE = "a\n[ERROR] x\x1b[31m\u2028\u202e"


async def test_hostile_text_of_a_client_is_escaped_in_the_log(
    clock: Clock, logs: Everything
) -> None:
    issuer = Issuer(SECRET, store=MemoryStore(), clock=clock)
    agent = (b"user-agent", HOSTILE.encode())
    origin = (b"origin", HOSTILE.encode())
    alice = await issuer.issue("al\u202eice")

    await run(wrapped(issuer), http(method="POST", headers=[both(alice), origin, agent]))
    await run(wrapped(issuer), http(headers=[in_place("access", "x"), agent]))

    lines = [text for text in logs.text[::2] if "asgi" in text or "rejected" in text or text]
    assert lines
    assert all(text.isascii() and text.isprintable() for text in lines)


# --- anything at all ------------------------------------------------------------------------------

NOW = 1_800_000_000.0
GENUINE = [token(claims(Clock(NOW), sub=sub, sid=sub)) for sub in ("alice", "bob")]
EXPIRED = token(claims(Clock(NOW - 5000), sub="carol", sid="carol"))
NAMES = [
    b"cookie", b"Cookie", b"COOKIE", b"authorization", b"Authorization", b"origin", b"host",
    b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest", b"user-agent", b"x", b"",
    b"content-length", b"\xff",
]  # fmt: skip
WORDS = [
    ACCESS.encode(), REFRESH.encode(), TOMBSTONE.encode(), b"=", b";", b"; ", b" ", b"\t", b",",
    b'"', b"\xa0", b"\x00", b"\r\n", b"%5F", b"Bearer ", b"bearer  ", b"Basic ", b".", b"..",
    b"alice", b"same-origin", b"cross-site", b"null", b"https://app.example", b"navigate",
    b"document", EXPIRED.encode(), b"x" * 300, b"e30", b"eyJhbGciOiJub25lIn0.e30.",
    b"s1.1." + b"A" * 43, *[part.encode() for part in GENUINE[0].split(".")],
]  # fmt: skip
VALUES = st.lists(st.sampled_from(WORDS) | st.binary(max_size=6), max_size=12).map(b"".join)
HEADERS = st.lists(st.tuples(st.sampled_from(NAMES) | st.binary(max_size=8), VALUES), max_size=6)
METHODS = st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "TRACE", "", "get", "PROPFIND"])
FUZZ = settings(
    max_examples=120,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)


@FUZZ
@given(headers=HEADERS, method=METHODS, spaced=st.booleans())
async def test_no_header_without_a_genuine_token_authenticates_or_writes(
    headers: list[tuple[bytes, bytes]], method: str, spaced: bool
) -> None:
    joined = b"".join(value for _, value in headers)
    if any(raw.encode() in joined for raw in GENUINE):
        return
    spy, app = Spy(), Recorder()
    issuer = shared(Clock(NOW), spy)
    scope = http(method=method)
    scope["headers"] = headers if spaced else tuple(headers)

    sent = await run(wrapped(issuer, app), scope)

    assert (app.subject, set_cookies(sent)) == (None, [])
    assert spy.count("add", "replace", "revoke", "revoke_subject", "get") == 0


@FUZZ
@given(headers=HEADERS)
async def test_no_websocket_header_without_a_genuine_token_authenticates(
    headers: list[tuple[bytes, bytes]],
) -> None:
    joined = b"".join(value for _, value in headers)
    if any(raw.encode() in joined for raw in GENUINE):
        return
    app = Recorder()
    scope = websocket()
    scope["headers"] = headers

    await run(wrapped(shared(Clock(NOW)), app), scope)

    assert app.subject is None


WITH_TOKENS = st.lists(
    st.tuples(
        st.sampled_from([b"cookie", b"Cookie", b"authorization", b"x"]),
        st.lists(
            st.sampled_from([
                *[f"{ACCESS}={raw}".encode() for raw in GENUINE], f"{ACCESS}={EXPIRED}".encode(),
                *[f"Bearer {raw}".encode() for raw in GENUINE], f"{TOMBSTONE}=alice".encode(),
                f"{ACCESS}=x".encode(), b"; ", b";", b" ", b"a=b",
            ]),
            max_size=5,
        ).map(b"".join),
    ),
    max_size=3,
)  # fmt: skip


@FUZZ
@given(headers=WITH_TOKENS, warm=st.booleans())
async def test_whoever_is_signed_in_is_one_whose_genuine_token_came(
    headers: list[tuple[bytes, bytes]], warm: bool
) -> None:
    issuer, app = shared(Clock(NOW)), Recorder()
    if warm:
        for raw in GENUINE:
            await issuer.authenticate(raw)
    joined = b"".join(value for _, value in headers)
    came = {
        sub for sub, raw in zip(("alice", "bob"), GENUINE, strict=True) if raw.encode() in joined
    }

    await run(wrapped(issuer, app), http(headers=headers))

    assert app.subject in came | {None}


@FUZZ
@given(headers=WITH_TOKENS | HEADERS)
async def test_a_warm_cache_changes_no_verdict(headers: list[tuple[bytes, bytes]]) -> None:
    verdicts = []
    for warm in (False, True):
        issuer, app = shared(Clock(NOW)), Recorder()
        if warm:
            for raw in GENUINE:
                await issuer.authenticate(raw)
        await run(wrapped(issuer, app), http(headers=headers))
        verdicts.append((app.subject, app.reason))

    assert verdicts[0] == verdicts[1]


PLAIN = st.lists(
    st.tuples(
        st.sampled_from([b"cookie", b"cookie", b"authorization", b"origin", b"sec-fetch-site"]),
        st.lists(
            st.sampled_from([
                *[f"{ACCESS}={raw}".encode() for raw in GENUINE], f"{ACCESS}={EXPIRED}".encode(),
                f"Bearer {GENUINE[1]}".encode(), f"{TOMBSTONE}=alice".encode(),
                f"{ACCESS}=x".encode(), f"{REFRESH}=x".encode(), b"; ", b"; ", b";", b" ", b"a=b",
                f"{ACCESS}={GENUINE[0]}A".encode(), f"{ACCESS}='x'".encode(),
                b"same-origin", b"cross-site", b"https://app.example", b"null",
            ]),
            max_size=4,
        ).map(b"".join),
    ),
    max_size=4,
)  # fmt: skip


@FUZZ
@given(headers=PLAIN, method=st.sampled_from(["GET", "POST"]), warm=st.booleans())
@example(headers=[(b"cookie", b""), (b"cookie", b"a=b")], method="GET", warm=False)
async def test_the_short_way_and_the_careful_way_come_to_one_verdict(
    headers: list[tuple[bytes, bytes]], method: str, warm: bool
) -> None:
    """Headers in a list may take the short way, headers in a tuple never do."""
    verdicts = []
    for shape in (list, tuple):
        issuer, app = shared(Clock(NOW), config=Config(revocation="refresh")), Recorder()
        events: list[Event] = []
        issuer.emit = events.append
        if warm:
            for raw in GENUINE:
                await issuer.authenticate(raw)
        scope = http(method=method)
        scope["headers"] = shape([(b"host", b"app.example"), *headers])
        sent = await run(wrapped(issuer, app), scope)
        passed_down = list(scope["headers"])
        # Beside a good access token the short way does not look at a refresh token.
        told = events if app.subject is None else []
        verdicts.append((app.runs, app.subject, app.reason, sent[0], passed_down, told))

    assert verdicts[0] == verdicts[1]


def reads(issuer: Issuer, kind: str) -> list[Any]:
    """What tokens of *kind*, "access" or "refresh", *issuer* verifies from here on."""
    name, read = f"read_{kind}", []
    original = getattr(issuer.profile, name)
    setattr(issuer.profile, name, lambda *a, **kw: read.append(a) or original(*a, **kw))
    return read


async def test_a_forged_token_and_nothing_else_is_verified_once(clock: Clock) -> None:
    issuer = shared(clock)
    read = reads(issuer, "access")
    forged = f"{ACCESS}={GENUINE[0][:-6]}AAAAAA".encode()

    await run(wrapped(issuer, Recorder()), http(headers=[(b"cookie", forged)]))

    assert len(read) == 1


async def test_an_expired_token_that_came_with_a_refresh_token_is_verified_once(
    clock: Clock,
) -> None:
    issuer, alice = await issued(clock, "alice")
    clock.advance(3600)
    read = reads(issuer, "access")

    told, _ = await said(
        wrapped(issuer), cookie_line((ACCESS, alice.access_token), (REFRESH, alice.refresh_token))
    )

    assert (told["refreshed"], len(read)) == (True, 1)


async def test_a_refresh_verifies_its_token_once(clock: Clock) -> None:
    issuer, alice = await issued(clock, "alice")
    read = reads(issuer, "refresh")

    told, _ = await said(wrapped(issuer), cookie_line((REFRESH, alice.refresh_token)))

    assert (told["refreshed"], len(read)) == (True, 1)


@pytest.mark.parametrize("shape", [list, tuple])
async def test_empty_cookie_headers_go_on_in_one_piece_as_others_do(
    clock: Clock, shape: Callable[[Any], Any]
) -> None:
    scope = http()
    scope["headers"] = shape([(b"cookie", b""), (b"host", b"a"), (b"cookie", b"")])

    await run(wrapped(shared(clock), Recorder()), scope)

    assert list(scope["headers"]) == [(b"host", b"a"), (b"cookie", b"; ")]


@FUZZ
@given(value=st.binary(max_size=60), place=st.sampled_from(PLACES), known=st.booleans())
async def test_any_bytes_in_place_of_a_token_are_refused(
    value: bytes, place: str, known: bool
) -> None:
    issuer, app = shared(Clock(NOW)), Recorder()
    if known:
        await issuer.authenticate(GENUINE[0])

    await run(wrapped(issuer, app), http(headers=[in_place(place, value)]))

    assert app.subject is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
CLAIMS = st.sampled_from(
    ["sub", "sid", "jti", "iat", "exp", "auth_time", "gen", "nbf", "iss", "aud", "x"]
)


@FUZZ
@given(changes=st.dictionaries(CLAIMS, JSON, max_size=3))
async def test_a_signed_payload_of_any_json_is_an_identity_or_a_refusal(changes: Any) -> None:
    app = Recorder()
    raw = token(json.dumps(claims(Clock(NOW), **changes)).encode())

    await run(wrapped(shared(Clock(NOW)), app), http(headers=[in_place("access", raw)]))

    assert isinstance(app.subject, str) or app.reason in ("invalid_token", "expired_token")


async def test_the_tests_own_forgery_is_what_the_issuer_accepts(clock: Clock) -> None:
    told, _ = await said(wrapped(shared(clock)), in_place("access", token(claims(clock))))

    assert told["subject"] == "alice"
