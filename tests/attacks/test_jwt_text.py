"""
Abuse cases AB-1 … AB-16: the text and the header of a JWT, in every place a token can come from.

Every forgery bears a genuine signature wherever it can: only the check in question refuses it.
The times that some cases name belong to the benchmarks; here it is counted what is done instead.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_from_bytes

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from asgi_refresh import Issuer, Key
from asgi_refresh.endpoints import RevokeEndpoint
from asgi_refresh.errors import ConfigurationError, InvalidTokenError
from asgi_refresh.signers import Mac
from tests.attacks.places import (
    ACCESS_PLACES,
    ENDPOINT,
    PLACES,
    REFRESH_PLACES,
    Outcome,
    Place,
    Site,
    bearer,
)
from tests.support import Clock
from tests.tokens import forge
from tests.tokens.forge import ACCESS_SECRET, NOW, Raw, b64, header, make_key, sign, token, unb64

pytestmark = pytest.mark.anyio

everywhere = pytest.mark.parametrize("place", PLACES, ids=str)
HEAD, BODY = token().split(b".")[:2]
HEADER, CLAIMS = forge.text(header()), forge.text(forge.claims())


async def refuses(site: Site, place: Place, *raws: bytes | str, malformed: bool = False) -> None:
    for raw in raws:
        (await place.put(site, raw)).nobody(raw[:200], malformed=malformed)


def both_modes(clock: Clock) -> list[Site]:
    return [Site(clock), Site(clock, store=None)]


@everywhere
async def test_AB_1_what_is_not_three_segments_is_nobody(clock: Clock, place: Place) -> None:
    for site in both_modes(clock):
        genuine = (await site.genuine(place)).encode()
        texts = [b"", b".", b"..", b"...", b"a", b"a.b", b"a.b.", b".a.b", b"a.b.c", b"a.b.c.d",
                 b"a.b.c.d.e", b"undefined", b"null"]  # fmt: skip
        more = [b"." + genuine, genuine + b".", genuine + b".a", b"a." + genuine,
                genuine + b".a.b", genuine.replace(b".", b".."), genuine.replace(b".", b""),
                genuine.rpartition(b".")[0], genuine.rpartition(b".")[0] + b"."]  # fmt: skip
        await refuses(site, place, *texts, *more, malformed=True)
        await refuses(site, place, sign(HEAD + b".", BODY), sign(HEAD, BODY + b"."))
        await refuses(site, place, sign(HEAD, BODY + b".YQ"), sign(HEAD, b"YQ.YQ." + BODY))
        await refuses(site, place, HEAD + b"." + forge.mac(HEAD), sign(b"", BODY), sign(HEAD, b""))


@everywhere
async def test_AB_1_a_json_serialization_is_nobody(clock: Clock, place: Place) -> None:
    """CVE-2022-39227: a JWS as JSON, which some readers take too."""
    head, body, signature = token().decode().split(".")
    flat = {"protected": head, "payload": body, "signature": signature}
    await refuses(Site(clock), place, json.dumps(flat, separators=(",", ":")), malformed=True)


ALGORITHMS = ["none", "None", "noNE", "", ..., None, 1, True, "hs256", "HS256 ", "HS512", "RS256",
              "ES256", ["HS256"], {"HS256": 1}]  # fmt: skip


@everywhere
async def test_AB_2_the_header_does_not_choose_the_algorithm(clock: Clock, place: Place) -> None:
    site = Site(clock)
    for alg in ALGORITHMS:
        raw = token(head=header(alg=alg))
        head = raw.split(b".")[0]
        unsigned = raw.rpartition(b".")[0] + b"."
        digests = [sign(head, BODY, digest=digest) for digest in forge.DIGESTS]
        await refuses(site, place, unsigned, *digests)
    await refuses(site, place, HEAD + b"." + BODY + b".", BODY + b"." + HEAD + b".")


def public_shapes() -> dict[str, bytes]:
    key = forge.private_key("rsa")
    return {
        "PEM": forge.public_bytes(key),
        "stripped PEM": forge.public_bytes(key).strip(),
        "DER": forge.public_bytes(key, "DER"),
        "SSH": forge.public_bytes(key, "SSH"),
        "JWK": jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()).encode(),
    }


@everywhere
async def test_AB_3_a_public_key_is_no_hmac_secret(clock: Clock, place: Place) -> None:
    public = Key(None, forge.KID, "RS256", public=forge.private_key("rsa").public_key())
    site = Site(clock, key=make_key("RS256"), verifier=public)
    (await place.put(site, await site.genuine(place))).is_of("alice")

    for alg in ("HS256", "RS256"):
        for shape in public_shapes().values():
            await refuses(site, place, token(head=header(alg=alg), secret=shape))


@pytest.mark.parametrize("shape", list(public_shapes()))
def test_AB_3_a_secret_that_looks_like_a_public_key_is_refused(shape: str) -> None:
    secret = public_shapes()[shape]
    for build in (
        lambda: Issuer(secret, store=None),
        lambda: Issuer(forge.KEY, secret=secret, store=None),
        lambda: Key(secret, "k"),
    ):
        with pytest.raises(ConfigurationError):
            build()


@pytest.mark.parametrize("kind", [str, str.encode])
def test_AB_4_a_secret_has_32_bytes_or_more(kind: Callable[[str], Any]) -> None:
    for short in ("", "a", "x" * 31):
        for build in (
            lambda secret: Issuer(secret, store=None),
            lambda secret: Issuer(["y" * 32, secret], store=None),
            lambda secret: Issuer(forge.KEY, secret=secret, store=None),
            lambda secret: Key(secret, "k"),
        ):
            with pytest.raises(ConfigurationError, match="at least 32 bytes"):
                build(kind(short))

    assert Issuer(kind("x" * 32), store=None)
    assert Key(kind("x" * 32), "k").signs


@pytest.mark.parametrize(("algorithm", "size"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_AB_4_a_secret_is_as_long_as_its_hash(algorithm: str, size: int) -> None:
    with pytest.raises(ConfigurationError):
        Key("x" * (size - 1), "k", algorithm)
    assert Key("x" * size, "k", algorithm).signs


@everywhere
async def test_AB_5_a_critical_extension_is_nobody(clock: Clock, place: Place) -> None:
    site = Site(clock)
    for extra in (
        {"crit": ["x"]}, {"crit": ["x"], "x": 1}, {"crit": []}, {"crit": "exp"}, {"crit": ["exp"]},
        {"crit": None}, {"crit": ["b64"], "b64": True}, {"crit": ["b64"], "b64": False},
        {"b64": True}, {"b64": False},
    ):  # fmt: skip
        await refuses(site, place, token(head=header(**extra)))
    detached = b64(forge.text(header(crit=["b64"], b64=False)))
    body = CLAIMS.encode()
    signature = forge.mac(detached + b"." + body)
    await refuses(site, place, detached + b".." + signature, sign(detached, b""))
    await refuses(site, place, sign(detached, b64(body)), sign(detached, body), malformed=True)


KIDS = [1, None, True, ..., "", "../../dev/null", "/dev/null", "' OR 1=1--", "k" * 5000, "KEY-1",
        "https://evil.example/keys", " key-1", "key-1\x00", ["key-1"], "\ud800"]  # fmt: skip


@everywhere
async def test_AB_6_a_kid_is_looked_up_and_nothing_else(
    clock: Clock, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file, no socket, no store; 10 KB of it meet the limit of a token first (5 KB here)."""
    site = Site(clock)

    def touched(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("something was opened")

    for kid in KIDS:
        raw = token(head=header(kid=kid))
        with monkeypatch.context() as patch:
            for name in ("builtins.open", "io.open", "os.open", "socket.socket", "sqlite3.connect"):
                patch.setattr(name, touched)
            outcome = await place.put(site, raw)
        outcome.nobody(kid)
        assert site.spy.calls == []


@everywhere
async def test_AB_7_a_header_parameter_that_we_never_write_is_nobody(
    clock: Clock, place: Place
) -> None:
    site = Site(clock)
    for name, value in (
        ("jku", "https://evil.example/keys"), ("x5u", "https://evil.example/cert"),
        ("jwk", {"kty": "oct", "k": "AA"}), ("x5c", ["MIIB"]), ("x5t#S256", "AA"),
        ("zip", "DEF"), ("cty", "JWT"), ("enc", "A256GCM"), ("", ""), ("ALG", "HS256"),
    ):  # fmt: skip
        await refuses(site, place, token(head=header(**{name: value})))


@everywhere
async def test_AB_8_another_typ_is_nobody(clock: Clock, place: Place) -> None:
    site = Site(clock)
    for typ in (..., None, "", "JWT", "rt+jwt", "dbsc+jwt", "id+jwt", 5, True, ["at+jwt"],
                "at+jwt ", "application/", "text/at+jwt", "application/at+jwt;v=1"):  # fmt: skip
        await refuses(site, place, token(head=header(typ=typ)))


@pytest.mark.parametrize("place", REFRESH_PLACES, ids=str)
async def test_AB_8_no_jwt_is_a_refresh_token(clock: Clock, place: Place) -> None:
    for site in both_modes(clock):
        for secret in (forge.SECRET, ACCESS_SECRET):
            jwts = [
                token(head=header(typ=typ), secret=secret) for typ in ("at+jwt", "rt+jwt", "JWT")
            ]
            await refuses(site, place, *jwts)


@pytest.mark.parametrize("place", ACCESS_PLACES, ids=str)
async def test_AB_8_a_typ_is_a_media_type(clock: Clock, place: Place) -> None:
    for typ in ("AT+JWT", "At+Jwt", "application/at+jwt", "Application/AT+JWT"):
        (await place.put(Site(clock), token(head=header(typ=typ)))).is_of("alice", typ)


@everywhere
async def test_AB_9_a_name_that_stands_twice_is_nobody(clock: Clock, place: Place) -> None:
    site = Site(clock)
    for head in (
        HEADER[:-1] + ',"alg":"none"}',
        '{"alg":"none",' + HEADER[1:],
        HEADER[:-1] + ',"alg":"HS256"}',
        HEADER[:-1] + ',"\\u0061lg":"HS256"}',
        '{"kid":"other",' + HEADER[1:],
    ):
        await refuses(site, place, token(head=head))
    for body in (
        CLAIMS[:-1] + ',"sub":"mallory"}',
        '{"sub":"mallory",' + CLAIMS[1:],
        CLAIMS[:-1] + f',"exp":{NOW + 99_999}}}',
        CLAIMS[:-1] + ',"\\u0073ub":"alice"}',
        CLAIMS[:-1] + ',"x":[{"a":1,"a":1}]}',
    ):
        await refuses(site, place, token(body))


ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16-LE": lambda text: text.encode("utf-16-le"),
    "UTF-32": lambda text: text.encode("utf-32"),
    "byte order mark": lambda text: text.encode("utf-8-sig"),
    "invalid UTF-8": lambda text: text.encode()[:-1] + b',"x":"\xff"}',
    "overlong": lambda text: text.encode()[:-1] + b',"x":"\xc0\xaf"}',
    "surrogate": lambda text: text.encode()[:-1] + b',"x":"\xed\xa0\x80"}',
    "latin-1": lambda text: text.encode()[:-1] + b',"x":"\xe9"}',
}


@everywhere
async def test_AB_10_json_is_utf8(clock: Clock, place: Place) -> None:
    site = Site(clock)
    for encode in ENCODINGS.values():
        await refuses(site, place, token(head=encode(HEADER)), token(encode(CLAIMS)))


def deep(depth: int) -> list[str]:
    return ["[" * depth, '{"a":' * depth, "[" * depth + "]" * depth,
            '{"a":' * depth + "1" + "}" * depth]  # fmt: skip


@everywhere
async def test_AB_11_absurd_nesting_is_nobody(clock: Clock, place: Place) -> None:
    """
    Signed or not, and no RecursionError on any PyJWT: no header of another's is given to it.

    100 000 levels are refused by their length, in AB-12; these fit into a token.
    """
    site = Site(clock)
    for depth in (9, 1000, 1500):
        for text in deep(depth):
            unsigned = b64(text) + b"." + BODY + b"." + forge.mac(b"x")
            signed = token(head=text), token(text), token(forge.claims(x=Raw(text)))
            await refuses(site, place, unsigned, *signed)


def endless() -> dict[str, bytes]:
    members = ",".join(f'"{i}":0' for i in range(100_000))
    return {
        "100 000 members in the header": token(head=HEADER[:-1] + "," + members + "}"),
        "100 000 levels in the header": b64("[" * 100_000) + b"." + BODY + b".",
        "50 000 levels in the payload": token('{"a":' * 50_000),
        "1 MB, well signed": token(forge.claims(x="x" * 750_000)),
        "1 MB without dots": b"a" * 2**20,
        "1 MB of dots": b"a." * 2**19,
        "a byte more than a token has": b"a" * 8193,
        "a byte more, in two parts": b"a" * 8149 + b"." + b"a" * 43,
    }


ENDLESS = endless()


@everywhere
async def test_AB_12_an_endless_token_is_refused_by_its_length(
    clock: Clock, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    By the length of the token, of the Cookie header or of the body; nothing is decoded for it.

    The time is the benchmarks'; here the ways to decode and to verify are barred.
    """
    site = Site(clock)

    def looked_at(*_args: object, **_kwargs: object) -> None:
        raise AssertionError

    for way in ("access.parse_object", "access.b64decode", "jwt_profile.b64decode"):
        monkeypatch.setattr(f"asgi_refresh.{way}", looked_at)
    monkeypatch.setattr(Mac, "verify", looked_at)
    for name, raw in ENDLESS.items():
        outcome = await place.put(site, raw)
        if outcome.status == 413:
            assert place.is_endpoint
            assert (outcome.reason, outcome.refused) == ("invalid_request", True), name
            assert (outcome.set_cookies, outcome.writes) == ([], []), name
        else:
            outcome.nobody(name, reason={"invalid_token", "oversize_cookies"})


ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def loose(segment: bytes) -> list[bytes]:
    """*segment* with other values of the bits that its last character has to spare."""
    last = ALPHABET.index(segment[-1:])
    spare = 3 if last % 16 else 15
    assert last % (spare + 1) == 0
    return [segment[:-1] + ALPHABET[at : at + 1] for at in range(last + 1, last + spare + 1)]


def respelled(raw: bytes) -> list[bytes]:
    """Other spellings of the octets of *raw*, whose last character has bits to spare."""
    standard = raw.replace(b"-", b"+").replace(b"_", b"/")
    assert standard != raw
    return [raw + b"=", raw + b"==", raw + b"\n", raw + b"\r\n", b"\n" + raw, raw + b"!!",
            raw + b"\x00", raw[:20] + b"\n" + raw[20:], raw[:20] + b"!" + raw[20:],
            raw[:20] + b"=" + raw[20:], raw.replace(b".", b" .", 1), raw.replace(b".", b"=.", 1),
            b'"' + raw + b'"', raw.swapcase(), raw + b"A", raw[:-1], standard,
            *loose(raw)]  # fmt: skip


async def with_a_dash(site: Site, place: Place) -> bytes:
    """A good token whose base64url is not base64."""
    while True:
        raw = (await site.genuine(place)).encode()
        if {b"-", b"_"} & {raw[at : at + 1] for at in range(len(raw))}:
            return raw


@everywhere
async def test_AB_13_a_token_has_one_spelling(clock: Clock, place: Place) -> None:
    for site in both_modes(clock):
        raw = await with_a_dash(site, place)
        for _ in ("new", "known to the cache"):
            await refuses(site, place, *respelled(raw), malformed=True)
            (await place.put(site, raw)).is_of("alice")


@everywhere
async def test_AB_13_a_segment_has_one_spelling_even_if_it_is_signed(
    clock: Clock, place: Place
) -> None:
    site = Site(clock)
    for fill in ("", "x", "xx"):
        body = b64(forge.text(forge.claims(x=fill)))
        if place.kind == "access":
            (await place.put(site, sign(HEAD, body))).is_of("alice")
        if len(body) % 4:
            await refuses(site, place, *[sign(HEAD, other) for other in loose(body)])
        for odd in (body + b"=", body + b"==", b"=" + body, body[:8] + b"=" + body[8:]):
            await refuses(site, place, sign(HEAD, odd))
        for odd in (body + b"\n", body[:8] + b" " + body[8:], b"!" + body):
            await refuses(site, place, sign(HEAD, odd), malformed=True)
    head = b64(forge.text(header()) + " " * (len(forge.text(header())) % 3 == 0))
    await refuses(site, place, *[sign(other, BODY) for other in loose(head)])


@everywhere
async def test_AB_13_an_elliptic_signature_has_one_spelling(clock: Clock, place: Place) -> None:
    site = es256_site(clock)
    raw = (await site.issue()).access_token.encode()
    if place.kind == "access":
        (await place.put(site, raw)).is_of("alice")
    await refuses(site, place, *loose(raw), raw + b"=", raw + b"==")


@everywhere
async def test_AB_13_a_space_is_trimmed_in_a_header_and_nowhere_else(
    clock: Clock, place: Place
) -> None:
    """Around a cookie's value (AB-37) and a bearer token white space is the header's."""
    site = Site(clock)
    raw = (await site.genuine(place)).encode()
    for spelling in (b" " + raw, raw + b" "):
        outcome = await place.put(site, spelling)
        if place.is_header:
            outcome.is_of("alice")
        else:
            outcome.nobody(spelling)


@everywhere
async def test_AB_14_a_lone_surrogate_or_nul_is_nobody(clock: Clock, place: Place) -> None:
    texts = ["\ud800.a.b", "a.\udfff.b", "a.b.\x00", "\x00", "\x00.\x00.\x00", "\ud83d.\ude00.a"]
    for site in both_modes(clock):
        await refuses(site, place, *texts, malformed=True)


@pytest.mark.parametrize("text", ["\\ud800.a.b", "\\u0000.a.b", "a.b.\\udc00", "\\ud800\\u0000"])
@pytest.mark.parametrize("where", ["refresh_token", "another", "key"])
async def test_AB_14_a_json_body_with_them_is_an_answer_and_no_error(
    clock: Clock, text: str, where: str
) -> None:
    site = Site(clock)
    body = {
        "refresh_token": '{"refresh_token":"%s"}',
        "another": '{"refresh_token":"x","y":"%s"}',
        "key": '{"refresh_token":"x","%s":1}',
    }[where] % text
    json_type = (b"content-type", b"application/json")

    outcome = await site.http(json_type, path=ENDPOINT, method="POST", body=body.encode())

    assert (outcome.status, outcome.reason) in [(400, "invalid_request"), (401, "invalid_token")]
    assert outcome.set_cookies == []


@pytest.mark.parametrize("raw", [None, b"a.b.c", 1])
async def test_AB_14_what_is_no_text_at_all_is_a_bad_token(clock: Clock, raw: Any) -> None:
    """What `headers.get(...)` gives where there is no such header."""
    site = Site(clock)
    for call in (site.issuer.authenticate, site.issuer.refresh):
        with pytest.raises(InvalidTokenError):
            await call(raw)


@pytest.mark.parametrize("raw", [None, b"a.b.c", 1])
async def test_AB_14_what_is_no_text_at_all_is_a_bad_token_to_a_verifier(
    clock: Clock, raw: Any
) -> None:
    with pytest.raises(InvalidTokenError):
        await Site(clock).verifier.authenticate(raw)


@everywhere
async def test_AB_15_an_octet_beyond_ascii_spoils_a_token(clock: Clock, place: Place) -> None:
    for first, site in enumerate(both_modes(clock), 0x80):
        raw = (await site.genuine(place)).encode()
        for octet in range(first, 0x100, 2):
            at = octet % 3 * len(raw) // 2
            await refuses(site, place, raw[:at] + bytes([octet]) + raw[at:], malformed=True)


ZERO = bytes(32)
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def es256_forgeries(message: bytes, good: bytes) -> dict[str, bytes]:
    return {
        "r = s = 0": ZERO + ZERO,
        "r = 0": ZERO + good[32:],
        "s = 0": good[:32] + ZERO,
        "r = n": ORDER.to_bytes(32, "big") + good[32:],
        "all ones": b"\xff" * 64,
        "a byte short": good[:-1],
        "a byte long": good + b"\0",
        "a leading zero": b"\0" + good,
        "as wide as ES384": bytes(16) + good[:32] + bytes(16) + good[32:],
        "empty": b"",
        "DER": forge.private_key("p256").sign(message, ec.ECDSA(SHA256())),
    }


def es256_site(clock: Clock) -> Site:
    public = Key(None, forge.KID, "ES256", public=forge.private_key("p256").public_key())
    return Site(clock, key=make_key("ES256"), verifier=public)


@everywhere
async def test_AB_16_an_elliptic_signature_of_another_shape_is_nobody(
    clock: Clock, place: Place
) -> None:
    site = es256_site(clock)
    raw = (await site.issue()).access_token.encode()
    message, _, signature = raw.rpartition(b".")
    for name, forgery in es256_forgeries(message, unb64(signature)).items():
        (await place.put(site, message + b"." + b64(forgery))).nobody(name)
    if place.kind == "access":
        (await place.put(site, raw)).is_of("alice")


async def test_AB_2_a_bad_header_does_not_shadow_a_good_cookie(clock: Clock) -> None:
    """DESIGN §4, `bearer`: and nothing of the forgery is believed."""
    site = Site(clock)
    forged = sign(b64(forge.text(header(alg="none"))), b64(forge.text(forge.claims(sub="mallory"))))
    good = (await site.issue()).access_token

    outcome = await site.http(bearer(forged), site.cookies((site.access, good)))

    outcome.is_of("alice")
    assert outcome.set_cookies == []


async def test_AB_2_no_forgery_ends_a_session(clock: Clock) -> None:
    """The revocation endpoint believes no more than the others: AB-1 … AB-16 once over."""
    site = Site(clock)
    tokens = await site.issue()
    endpoint = RevokeEndpoint(site.issuer)
    refresh = tokens.refresh_token.encode()
    hers = forge.claims(sid=tokens.session_id)
    twice = forge.text(hers)[:-1] + f',"sid":"{tokens.session_id}"}}'
    forgeries = [
        b"..", b"a.b", refresh.rpartition(b".")[0] + b".", refresh + b"=", *loose(refresh),
        f"{tokens.session_id}.1".encode(), token(hers, secret=b"m" * 40), token(twice),
        token(hers, header(alg="none")), token(hers, header(typ="JWT")),
        token(hers, header(crit=["x"])), token(hers, header(kid="k")), token(hers | {"exp": NOW}),
        token(hers, deep(900)[0]), b"\xff" + refresh, b"\xed\xa0\x80.a.b", *ENDLESS.values(),
    ]  # fmt: skip

    async def revoke(raw: bytes) -> Outcome:
        form = (b"content-type", b"application/x-www-form-urlencoded")
        body = b"token=" + quote_from_bytes(raw, safe="").encode()
        return await site.http(form, app=endpoint, path="/revoke", method="POST", body=body)

    for raw in forgeries:
        outcome = await revoke(raw)
        assert outcome.status in (200, 400, 413), raw[:200]
        assert (outcome.writes, outcome.events, outcome.set_cookies) == ([], [], []), raw[:200]
    assert len(await site.issuer.sessions("alice")) == 1
    assert (await revoke(token(hers))).writes == ["revoke"]
