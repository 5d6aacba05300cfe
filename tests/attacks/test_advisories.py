"""
What others were attacked with (requirements.md, 5.2), tried here: one test for each advisory.

An advisory that cannot concern this library stands in `NOT_OURS`, with the reason.
"""

from __future__ import annotations

import functools
import hmac
import json
import logging
import zlib
from datetime import timedelta
from http import cookies as stdlib_cookies
from pathlib import Path
from typing import Any

import pytest

from asgi_refresh import Config, Cookie, Issuer, Key, MemoryStore, RefreshMiddleware, Verifier
from asgi_refresh.endpoints import bundle
from asgi_refresh.errors import (
    ConfigurationError,
    ExpiredTokenError,
    InvalidTokenError,
    RevokedTokenError,
)
from asgi_refresh.telemetry import log_event
from tests.attacks.places import ACCESS_PLACES, PLACES, Place
from tests.attacks.places import Site as Placed
from tests.blackbox.helpers import (
    ACCESS,
    DAY,
    HOUR,
    REFRESH,
    Gate,
    Started,
    deleted,
    doing,
    given,
    held,
    lasting,
    make_site,
    on_paths,
    together,
)
from tests.endpoints.site import Site as Endpoints
from tests.endpoints.site import bearer, form
from tests.hostile.tools import Recorder, b64, both, http, run, set_cookies, wrapped
from tests.scenarios.support import Backend, Frail, hosts
from tests.support import Clock, Spy, answer, make_issuer, whoami
from tests.tokens import forge

pytestmark = pytest.mark.anyio

# Every identifier of the table, in its order.
ADVISORIES = [
    *("CVE-2022-29217", "CVE-2017-11424", "CVE-2024-53861", "CVE-2025-45768", "CVE-2026-32597"),
    *("CVE-2026-48523", "CVE-2026-48524", "CVE-2026-48525", "PyJWT 2.13.0, the fourth"),
    *("CVE-2026-45363", "CVE-2026-44351", "CVE-2024-37568", "CVE-2024-33663", "CVE-2024-33664"),
    *("CVE-2024-28180", "CVE-2025-59420", "CVE-2025-61920", "CVE-2025-30204", "CVE-2025-27144"),
    *("CVE-2024-51744", "CVE-2022-39227", "CVE-2023-30861", "CVE-2026-27205", "CVE-2026-35192"),
    *("CVE-2026-48587", "CVE-2026-6907", "CVE-2014-1418", "CVE-2014-0473", "CVE-2025-48947"),
    *("CVE-2025-64762", "CVE-2026-3902", "CVE-2025-64484", "CVE-2015-5143", "CVE-2015-5963"),
    *("CVE-2015-5964", "CVE-2015-3982", "CVE-2016-7401", "CVE-2023-23934", "CVE-2020-8184"),
    *("Cookie Chaos", "CVE-2024-7592", "CVE-2026-0672", "CVE-2026-3644", "CVE-2020-7694"),
    *("CVE-2020-7695", "CVE-2026-48710", "CVE-2021-32677", "CVE-2018-1000814"),
    *("CVE-2018-1000519", "CVE-2025-46336", "CVE-2025-32441", "CVE-2026-39324", "CVE-2013-0263"),
    *("CVE-2019-16782", "CVE-2026-1035", "CVE-2026-9802", "keycloak#49213", "CVE-2025-24358"),
    *("GO-2025-3884", "CVE-2025-47910", "CVE-2025-54576", "CVE-2026-40575", "CVE-2026-34457"),
    *("CVE-2026-41059", "CVE-2026-34454", "CVE-2026-40574", "CVE-2021-21291", "CVE-2021-32618"),
    *("CVE-2023-49438", "CVE-2026-40295", "GHSA-xg6x-h9c9-2m83", "CVE-2025-61928", "winfunc"),
    *("CVE-2026-45364", "CVE-2021-21241", "CVE-2016-6582", "CVE-2018-1000211"),
]
NO_REDIRECT = "no parameter names a place to go to, and no answer redirects: AB-94 shows it"
NOT_OURS = {
    "PyJWT 2.13.0, the fourth": "without an identifier; the floor pyjwt>=2.13 has its mend",
    "CVE-2026-40574": "no claim is read but our own; an e-mail address is the application's",
    "CVE-2021-21291": NO_REDIRECT,
    "CVE-2021-32618": NO_REDIRECT,
    "CVE-2023-49438": NO_REDIRECT,
    "CVE-2026-40295": NO_REDIRECT,
}


def as_name(advisory: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in advisory)


def test_every_advisory_is_a_test_or_is_told_why_not() -> None:
    tests = [name for name in globals() if name.startswith("test_")]
    tested = {each for each in ADVISORIES for name in tests if f"_{as_name(each)}_" in f"{name}_"}

    assert len(set(ADVISORIES)) == len(ADVISORIES)
    assert tested | NOT_OURS.keys() == set(ADVISORIES)
    assert tested & NOT_OURS.keys() == set()


def es256() -> Key:
    return forge.make_key("ES256", "es")


async def signed_in(clock: Clock, *arguments: Any, **options: Any) -> Any:
    options.setdefault("config", lasting())
    site = make_site(clock, *arguments, **options)
    await site.sign_in()
    clock.advance(HOUR)
    return site


async def nobody(clock: Clock, raw: str | bytes, **site: Any) -> None:
    """Assert that no place takes *raw*."""
    for place in PLACES:
        (await place.put(Placed(clock, **site), raw)).nobody(malformed=True)


# --- JWT libraries --------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["PEM", "DER", "SSH"])
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_CVE_2022_29217_CVE_2017_11424_the_public_key_is_no_secret(
    clock: Clock, algorithm: str, encoding: str
) -> None:
    """PyJWT: a token signed with the public key as an HMAC secret."""
    public = forge.public_bytes(forge.private_key("p256"), encoding)
    head = forge.b64(json.dumps(forge.header(alg=algorithm, kid="es")))
    raw = forge.sign(head, forge.b64(json.dumps(forge.claims())), public, algorithm)

    await nobody(clock, raw, key=es256())
    with pytest.raises(ConfigurationError):
        Key(public, "k", algorithm)
    with pytest.raises(ConfigurationError):
        Issuer(public, store=None)


@pytest.mark.parametrize("written", ["acm", "a", "", "acme-corp", ["acme"], None, ...])
@pytest.mark.parametrize("place", ACCESS_PLACES, ids=str)
async def test_CVE_2024_53861_an_issuer_is_compared_whole(
    clock: Clock, place: Place, written: Any
) -> None:
    """PyJWT 2.10.0: `iss` counted when it was a part of the expected one."""
    site = Placed(clock, config=Config(issuer="acme"))
    (await place.put(site, forge.token(forge.claims(iss="acme")))).is_of("alice")

    (await place.put(site, forge.token(forge.claims(iss=written)))).nobody()


@pytest.mark.parametrize("secret", ["", "a", b"x" * 31, "\u00e4" * 15])
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_CVE_2025_45768_a_short_secret_is_refused(secret: Any, algorithm: str) -> None:
    """PyJWT: no least key length."""
    with pytest.raises(ConfigurationError):
        Key(secret, "k", algorithm)
    with pytest.raises(ConfigurationError):
        Issuer(secret, store=None)


@pytest.mark.parametrize("value", [["x"], [], "exp", ["b64"], None, {}, ["exp", "exp"]])
async def test_CVE_2026_32597_CVE_2025_59420_a_critical_extension_is_not_ignored(
    clock: Clock, value: Any
) -> None:
    """PyJWT and Authlib: `crit` was skipped over."""
    await nobody(clock, forge.token(None, forge.header(crit=value, x=1)))


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES384", "RS256", "es256", "EdDSA"])
async def test_CVE_2026_48523_the_algorithm_is_that_of_the_key_and_of_nobody_else(
    clock: Clock, algorithm: str
) -> None:
    """PyJWT: with a `PyJWK` the list of allowed algorithms was passed by."""
    key = es256()
    head = forge.b64(json.dumps(forge.header(alg=algorithm, kid="es")))
    message = head + b"." + forge.b64(json.dumps(forge.claims()))
    raw = message + b"." + key.signer.sign(message)

    await nobody(clock, raw, key=key, verifier={"keys": [key.public_jwk()]})


async def test_CVE_2026_48524_unknown_kids_fetch_no_keys_over_and_over(
    clock: Clock, tmp_path: Path
) -> None:
    """PyJWT: each unknown `kid` fetched the JWKS, and emptied the cache."""
    key = es256()
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [key.public_jwk()]}))
    issuer = Issuer(key, secret=forge.SECRET, store=None, clock=clock)
    good = (await issuer.issue("alice")).access_token
    verifier = Verifier(str(file), clock=clock)
    fetch, fetched = verifier._fetch, list[int]()
    assert fetch is not None
    verifier._fetch = lambda: fetched.append(1) or fetch()  # type: ignore[func-returns-value]
    await verifier.authenticate(good)

    for number in range(100):
        with pytest.raises(InvalidTokenError):
            await verifier.authenticate(forge.token(None, forge.header(kid=f"k{number}")).decode())
    assert (await verifier.authenticate(good))["sub"] == "alice"

    assert len(fetched) <= 2


@pytest.mark.parametrize("b64_value", [False, True])
@pytest.mark.parametrize("crit", [["b64"], ...])
async def test_CVE_2026_48525_a_detached_payload_is_no_token(
    clock: Clock, b64_value: bool, crit: Any
) -> None:
    """PyJWT: `b64: false` made decoding costly before the signature was looked at."""
    head = forge.b64(json.dumps(forge.header(b64=b64_value, crit=crit)))
    for body in (json.dumps(forge.claims()).encode(), forge.b64(json.dumps(forge.claims())), b""):
        await nobody(clock, forge.sign(head, body))


@pytest.mark.parametrize("secret", ["", b"", [""], [b"", "x" * 40], ["x" * 40, ""]])
def test_CVE_2026_45363_CVE_2026_44351_an_empty_key_is_refused(secret: Any) -> None:
    """ruby-jwt: an empty HMAC key signed and verified."""
    with pytest.raises(ConfigurationError):
        Issuer(secret, store=None)
    with pytest.raises(ConfigurationError):
        Issuer(Key("x" * 40, "k"), secret=secret, store=None)
    with pytest.raises(ConfigurationError):
        Key(secret, "k")


@pytest.mark.parametrize("kind", ["rsa", "p256", "ed25519"])
@pytest.mark.parametrize("encoding", ["PEM", "DER", "SSH"])
def test_CVE_2024_37568_CVE_2024_33663_what_looks_like_a_key_pair_is_no_secret(
    kind: str, encoding: str
) -> None:
    """Authlib and python-jose: public keys in other dress passed for HMAC secrets."""
    public = forge.public_bytes(forge.private_key(kind), encoding)
    jwk = json.dumps(forge.make_key("ES256").public_jwk())

    for secret in (public, b"\n" + public if encoding != "DER" else public, jwk, jwk.encode()):
        with pytest.raises(ConfigurationError):
            Key(secret, "k")
        with pytest.raises(ConfigurationError):
            Issuer(secret, store=None)


async def test_CVE_2024_33664_CVE_2024_28180_nothing_is_decompressed(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """python-jose and go-jose: a small JWE that inflates to gigabytes."""

    def inflate(*_arguments: Any, **_options: Any) -> None:
        raise AssertionError("something was decompressed")

    bomb = b64(zlib.compress(b"0" * 1_000_000))
    monkeypatch.setattr(zlib, "decompress", inflate)
    monkeypatch.setattr(zlib, "decompressobj", inflate)
    head = b64(json.dumps({"alg": "dir", "enc": "A256GCM", "zip": "DEF"}).encode())

    await nobody(clock, f"{head}..{b64(b'0' * 12)}.{bomb}.{b64(b'0' * 16)}")
    await nobody(clock, forge.token(None, forge.header(zip="DEF")))
    message = f".{bomb}".encode()  # how itsdangerous marks what it has compressed
    await nobody(clock, message + b"." + forge.mac(message, forge.SECRET))


@pytest.mark.parametrize("at", [0, 1, 2])
async def test_CVE_2025_61920_a_segment_without_end_is_not_decoded(clock: Clock, at: int) -> None:
    """Authlib: JOSE segments of any length were decoded and parsed."""
    parts = forge.token().decode().split(".")
    parts[at] = "A" * 100_000

    for place in PLACES:
        outcome = await place.put(Placed(clock), ".".join(parts))
        outcome.hides()
        assert outcome.refused
        assert outcome.status in (200, 101, 400, 401, 413)


async def test_CVE_2025_30204_CVE_2025_27144_many_dots_are_not_split(clock: Clock) -> None:
    """golang-jwt and go-jose: splitting at every dot took memory before anything was checked."""
    for raw in ("." * 8000, "a." * 4000, forge.token().decode() + "." * 4000):
        await nobody(clock, raw)


async def test_CVE_2024_51744_an_expired_forgery_is_a_forgery(clock: Clock) -> None:
    """golang-jwt: of two errors the harmless one was seen, and the claims were believed."""
    issuer = forge.issuer(clock=clock)
    for payload in (forge.claims(exp=1), forge.claims(exp=clock() - 1), forge.claims(sub=1, exp=1)):
        raw = forge.token(payload, secret=b"x" * 64).decode()
        with pytest.raises(InvalidTokenError) as caught:
            issuer.verify(raw)
        assert not isinstance(caught.value, ExpiredTokenError)
    with pytest.raises(ExpiredTokenError):
        issuer.verify(forge.token(forge.claims(exp=1)).decode())


async def test_CVE_2022_39227_a_token_has_one_serialization(clock: Clock) -> None:
    """python-jwt: JSON around a genuine token, whose claims were then taken from elsewhere."""
    head, body, tag = forge.token().decode().split(".")
    evil = forge.b64(json.dumps(forge.claims(sub="admin"))).decode()
    confusions = [
        json.dumps({"protected": head, "payload": body, "signature": tag}),
        json.dumps({"payload": body, "signatures": [{"protected": head, "signature": tag}]}),
        f'{{"  {head}.{evil}.":"","protected":"{head}","payload":"{body}","signature":"{tag}"}}',
        f'{head}.{evil}.{tag}":"{head}.{body}.{tag}',
        f"{head}.{evil}.{head}.{body}.{tag}",
        f"{head}.{body}.{tag}.{evil}",
        f"{head}. {body}.{tag}",
    ]
    for raw in confusions:
        for place in PLACES:
            outcome = await place.put(Placed(clock), raw)
            assert outcome.subject is None, (place, raw)


# --- caches ---------------------------------------------------------------------------------------

LOOKS: dict[str, Any] = {
    "subject": lambda auth: auth.subject,
    "bool": bool,
    "payload": lambda auth: auth.payload,
    "scopes": lambda auth: auth.scopes,
    "is_authenticated": lambda auth: auth.is_authenticated,
    "expires_at": lambda auth: auth.expires_at,
    "reason": lambda auth: auth.reason,
    "via": lambda auth: auth.via,
    "refreshed": lambda auth: auth.refreshed,
    "session_id": lambda auth: auth.session_id,
    "identity": lambda auth: auth.identity,
    "display_name": lambda auth: auth.display_name,
    "is_fresh": lambda auth: auth.is_fresh(timedelta(hours=1)),
}


def looking(how: str, *headers: tuple[bytes, bytes]) -> Any:
    return doing(lambda auth: LOOKS[how](auth) and None, headers=headers, body=b"hello")


@pytest.mark.parametrize("how", LOOKS)
@pytest.mark.parametrize("signed", [True, False])
async def test_CVE_2023_30861_CVE_2026_27205_whoever_looked_varies_on_the_cookie(
    clock: Clock, how: str, signed: bool
) -> None:
    """Flask: no `Vary: Cookie` on a refreshed session, nor where only its keys were looked at."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        LOOKS[how](scope["asgi_refresh"])
        await answer(send, headers=[(b"cache-control", b"max-age=60")])

    site = make_site(clock, app)
    if signed:
        await site.sign_in()

    response = await site.browser.get("/")

    assert response.header("vary") == "Cookie, Authorization"


@pytest.mark.parametrize("vary", [b"Accept", b"accept-encoding", b"Origin, Accept"])
@pytest.mark.parametrize("stored", [True, False])
async def test_CVE_2026_35192_a_refresh_that_nobody_looked_at_is_kept_by_no_cache(
    clock: Clock, vary: bytes, stored: bool
) -> None:
    """Django: the session was saved with every response, without `Vary`."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, headers=[(b"cache-control", b"max-age=600"), (b"vary", vary)])

    site = await signed_in(clock, app, stored=stored)

    response = await site.browser.get("/")

    assert ACCESS in given(response)
    assert response.header("cache-control") == "private, no-store"
    assert response.all("vary") == [f"{vary.decode()}, Cookie, Authorization"]


@pytest.mark.parametrize(
    ("sent", "merged"),
    [
        ([b"*"], ["*"]),
        ([b" * "], [" * "]),
        ([b"Accept, *"], ["Accept, *"]),
        ([b"Cookie"], ["Cookie, Authorization"]),
        ([b"cookie"], ["cookie, Authorization"]),
        ([b"Accept ,\tCOOKIE "], ["Accept ,\tCOOKIE, Authorization"]),
        ([b"Accept", b" cookie"], ["Accept, cookie, Authorization"]),
        ([b"Cookies"], ["Cookies, Cookie, Authorization"]),
        ([b"X-Cookie, Set-Cookie"], ["X-Cookie, Set-Cookie, Cookie, Authorization"]),
        ([b""], ["Cookie, Authorization"]),
    ],
)
@pytest.mark.parametrize("wait", [0, HOUR])
async def test_CVE_2026_48587_CVE_2026_6907_vary_is_read_as_a_list(
    clock: Clock, sent: list[bytes], merged: list[str], wait: float
) -> None:
    """Django: white space around a member, and `*`, were not understood."""
    site = make_site(clock, looking("subject", *[(b"Vary", value) for value in sent]))
    await site.sign_in()
    clock.advance(wait)

    assert (await site.browser.get("/")).all("vary") == merged


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/login", "/logout"])
async def test_CVE_2014_1418_CVE_2014_0473_cookies_go_out_past_every_cache(
    clock: Clock, path: str, method: str
) -> None:
    """Django: caches were left to keep what belonged to one user, and the CSRF cookie."""
    cacheable = [(b"cache-control", b"public, max-age=600"), (b"expires", b"Thu, 01 Jan 2099")]
    acts = {
        "login": doing(lambda auth: auth.login("alice"), headers=cacheable),
        "logout": doing(lambda auth: auth.logout(), headers=cacheable),
    }
    site = make_site(clock, on_paths(**acts))
    await site.sign_in()

    response = await site.browser.request(path, method)

    assert response.set_cookies
    assert response.header("cache-control") == "private, no-store"
    assert response.header("expires") is None
    assert response.header("vary") == "Cookie, Authorization"


@pytest.mark.parametrize(
    "cache",
    [
        b"public, max-age=31536000, immutable",
        b"s-maxage=60",
        b"Public",
        b"max-age=60 , S-MaxAge=60",
        b"immutable",
    ],
)
@pytest.mark.parametrize("stored", [True, False])
async def test_CVE_2025_48947_CVE_2025_64762_a_static_page_carries_no_session(
    clock: Clock, cache: bytes, stored: bool
) -> None:
    """nextjs-auth0 and authkit-nextjs: the middleware refreshed on pages that a CDN keeps."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, headers=[(b"cache-control", cache)])

    site = await signed_in(clock, app, stored=stored)

    response = await site.browser.get("/")

    assert response.set_cookies == []
    assert response.header("cache-control") == cache.decode()
    site.browser.app.app = whoami
    assert ACCESS in given(await site.browser.get("/"))


# --- headers, cookies, paths ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("sec_fetch_site", "SEC_FETCH_SITE", "http_origin", "x_forwarded_host", "host_"),
        *("Cookie_", "authorization_", "http_authorization", "http_cookie", "_cookie"),
        *("x_cookie"),
    ],
)
async def test_CVE_2026_3902_CVE_2025_64484_an_underscore_is_no_hyphen(
    clock: Clock, name: str
) -> None:
    """Django and oauth2-proxy: `X_Forwarded_…` passed for `X-Forwarded-…`."""
    site = make_site(clock)
    tokens = await site.issuer.issue("alice")
    values = ["same-origin", "app.example", f"{ACCESS}={tokens.access_token}"]
    values.append(f"Bearer {tokens.access_token}")
    foreign = ("origin", "https://evil.example")
    for value in values:
        forged = await site.browser.send("/", headers=[(name, value)])
        assert forged.json()["subject"] is None
        scope = http(method="POST", headers=[both(tokens)])
        scope["headers"] += [(foreign[0].encode(), foreign[1].encode())]
        scope["headers"] += [(name.encode(), value.encode())]
        assert (await run(site.browser.app, scope))[0]["status"] == 403


async def test_CVE_2015_5143_CVE_2015_5963_CVE_2015_5964_strangers_fill_no_store(
    clock: Clock,
) -> None:
    """Django: every request with an unknown session key, and every logout, made a new session."""
    spy = Spy()
    client = make_site(clock, store=spy).browser
    for number in range(20):
        cookies = {REFRESH: f"unknown{number}.1.x", ACCESS: f"a.{number}.c"}
        for path in ("/", "/logout"):
            for sent in (cookies, {}):
                await client.send(path, "POST", cookies=sent)

    assert spy.calls == []
    assert spy.store._sessions == {}


async def test_CVE_2015_3982_signing_out_leaves_nobody_in_an_empty_session(clock: Clock) -> None:
    """Django: after `flush()` all who had signed out shared the session of the empty key."""
    site = await signed_in(clock)
    await site.browser.post("/logout")
    assert site.browser.values() == {}

    for value in ("", ".1.", "..", " ", '""'):
        for name in (ACCESS, REFRESH):
            response = await site.browser.send("/", cookies={name: value})
            assert (response.json()["subject"], response.set_cookies) == (None, [])


NO_COOKIES_OF_OURS = {
    "CVE-2016-7401": [
        b'x="__Host-access=%b',
        b"x=1, __Host-access=%b",
        b"x=1 __Host-access=%b",
        b"x=]__Host-access=%b",
        b"x=1\t__Host-access=%b",
        b"$Version=1, __Host-access=%b",
    ],
    "CVE-2023-23934": [b"=__Host-access=%b", b"==__Host-access=%b", b" =__Host-access=%b"],
    "CVE-2020-8184": [
        b"%%5F%%5FHost-access=%b",
        b"__Host%%2Daccess=%b",
        b"__Host-acces%%73=%b",
    ],
    "Cookie Chaos": [
        b"\xa0__Host-access=%b",
        b"\x85__Host-access=%b",
        b"\xc2\xa0__Host-access=%b",
        b"\xe2\x80\x80__Host-access=%b",
        b"\x1c__Host-access=%b",
        b"\x0b__Host-access=%b",
        b"\r\n__Host-access=%b",
        b"__Host-access\xa0=%b",
        b"__host-access=%b",
    ],
}


async def is_no_cookie_of_ours(clock: Clock, advisory: str) -> None:
    app = Recorder()
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("mallory")
    good = await issuer.issue("alice")
    for template in NO_COOKIES_OF_OURS[advisory]:
        planted = template.replace(b"%%", b"%").replace(b"%b", tokens.access_token.encode())
        await run(wrapped(issuer, app), http(headers=[(b"cookie", planted)]))
        assert (app.subject, app.reason) == (None, "no_credentials"), template
        for header in (planted + b"; " + both(good)[1], both(good)[1] + b"; " + planted):
            await run(wrapped(issuer, app), http(headers=[(b"cookie", header)]))
            assert app.subject == "alice", template


async def test_CVE_2016_7401_cookies_are_split_at_semicolons_only(clock: Clock) -> None:
    """Django: lenient parsing let one cookie's value spell another cookie."""
    await is_no_cookie_of_ours(clock, "CVE-2016-7401")


async def test_CVE_2023_23934_a_cookie_without_a_name_is_nobodys(clock: Clock) -> None:
    """Werkzeug: `=__Host-x=y` was read as the cookie `__Host-x`."""
    await is_no_cookie_of_ours(clock, "CVE-2023-23934")


async def test_CVE_2020_8184_a_name_is_not_decoded(clock: Clock) -> None:
    """Rack: a percent-encoded name forged a prefix."""
    await is_no_cookie_of_ours(clock, "CVE-2020-8184")


async def test_Cookie_Chaos_a_name_is_trimmed_of_space_and_tab_only(clock: Clock) -> None:
    """PortSwigger, 2025: Unicode white space before a prefixed name was trimmed away."""
    await is_no_cookie_of_ours(clock, "Cookie Chaos")


async def test_CVE_2024_7592_a_quoted_value_is_not_unquoted(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CPython: unquoting a cookie took quadratic time."""

    def parse(*_arguments: Any) -> None:
        raise AssertionError("http.cookies was asked")

    monkeypatch.setattr(stdlib_cookies, "_unquote", parse)
    monkeypatch.setattr(stdlib_cookies.SimpleCookie, "load", parse)
    app = Recorder()
    issuer = make_issuer(clock, store=MemoryStore())
    raw = (await issuer.issue("alice")).access_token
    octal = '"' + "".join(f"\\{ord(letter):03o}" for letter in raw) + '"'
    for value, reason in (
        (f'"{raw}"', "invalid_token"),
        (octal, "invalid_token"),
        ('"' + "\\" * 16_000 + '"', "invalid_token"),
        ('"' + '\\"' * 150_000 + '"', "oversize_cookies"),
    ):
        scope = http(headers=[(b"cookie", f"{ACCESS}={value}".encode())])
        await run(wrapped(issuer, app), scope)

        assert (app.subject, app.reason) == (None, reason)


@pytest.mark.parametrize("bad", ["a\r\nX-Evil: 1", "a\nb", "a\x00b", "a;b", "a\x7f", "\u00e4"])
async def test_CVE_2026_0672_CVE_2026_3644_no_control_character_reaches_a_header(
    clock: Clock, bad: str
) -> None:
    """CPython: `http.cookies` wrote control characters as they came, also after the first mend."""
    for attributes in ({"path": f"/{bad}"}, {"domain": f"x{bad}"}):
        with pytest.raises(ConfigurationError):
            Cookie("access", **attributes)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        Cookie(bad)
    cookie = Cookie("access")
    with pytest.raises(ValueError, match="octets"):
        cookie.render(bad.encode(), 60)
    site = make_site(clock, doing(lambda auth: auth.login("alice", {bad: bad})))
    response = await site.browser.post("/", cookies={REFRESH: bad.replace(";", "")})
    for name, value in response.headers:
        assert not set(name + value) & {0, 10, 13, 127}
    assert set(response.cookies) == {ACCESS, REFRESH}


async def test_CVE_2020_7694_what_is_logged_is_escaped(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """uvicorn: a request's text reached the terminal with its escape sequences."""
    caplog.set_level(logging.DEBUG, "asgi_refresh")
    site = make_site(clock, on_event=log_event)
    tokens = await site.issuer.issue("alice\u2028\u202e")
    for header in (b"origin", b"user-agent", b"host", b"sec-fetch-site"):
        scope = http(method="POST", headers=[both(tokens), (header, b"x\x1b[2J\r\n[ERROR] y")])
        await run(site.browser.app, scope)

    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) >= 3
    assert all(line.isascii() and line.isprintable() for line in lines)


async def test_CVE_2020_7695_no_answer_is_split(clock: Clock) -> None:
    """uvicorn: CRLF in a header value began another response."""
    site = make_site(clock)
    tokens = await site.issuer.issue("alice")
    evil = b"https://x\r\nSet-Cookie: y=z\r\n\r\n<script>"
    for header in (b"origin", b"host", b"user-agent"):
        scope = http(method="POST", headers=[both(tokens), (header, evil)])
        sent = await run(site.browser.app, scope)

        for name, value in sent[0]["headers"]:
            assert not set(name + value) & {10, 13}
        assert b"<script>" not in sent[1]["body"] or sent[0]["status"] == 200
        assert set_cookies(sent) == []


@pytest.mark.parametrize(
    "host",
    [b"x/public?", b"x/public#", b"x@y/public/", b"/public", b"x/callback?", b"[::1]/public"],
)
async def test_CVE_2026_48710_host_moves_no_path(clock: Clock, host: bytes) -> None:
    """Starlette: a path in Host became a part of `request.url.path`."""
    config = Config(exclude=["/public"], cross_origin_exempt=["/callback"])
    app = Recorder()
    issuer = make_issuer(clock, store=MemoryStore(), config=config)
    scope = http("/private")
    scope["headers"] = [(b"host", host), both(await issuer.issue("alice"))]

    await run(RefreshMiddleware(app, issuer, endpoints=bundle(issuer, "/public")), scope)

    assert app.subject == "alice"


@pytest.mark.parametrize("kind", ["text/plain", "", "application/json-seq", "multipart/form-data"])
@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/revoke", "/auth/logout"])
async def test_CVE_2021_32677_json_is_json_by_its_type(clock: Clock, path: str, kind: str) -> None:
    """FastAPI: a body of text/plain, which any page may post, was parsed as JSON."""
    site = Endpoints(clock)
    tokens = await site.issuer.issue("alice")
    body = {"refresh_token": tokens.refresh_token, "token": tokens.refresh_token}

    response = await site.post(
        path, ("content-type", kind), body=json.dumps(body | {"everywhere": True}).encode()
    )

    assert response.status == 415
    assert len(await site.alive()) == 1


@pytest.mark.parametrize("stored", [True, False])
async def test_CVE_2018_1000814_the_end_is_in_what_is_signed(clock: Clock, stored: bool) -> None:
    """aiohttp-session: a cookie kept past its Max-Age was good for ever."""
    site = make_site(clock, stored=stored)
    await site.sign_in()
    kept = site.browser.values()
    clock.advance(14 * DAY)

    for cookies in (kept, {REFRESH: kept[REFRESH]}, {ACCESS: kept[ACCESS]}):
        response = await site.browser.send("/", cookies=cookies)
        assert (response.json()["subject"], given(response)) == (None, set())


@pytest.mark.parametrize("stored", [True, False])
async def test_CVE_2018_1000519_a_planted_session_is_not_signed_in(
    clock: Clock, stored: bool
) -> None:
    """aiohttp-session: whoever knew the id before the login was signed in by it."""
    site = make_site(clock, stored=stored)
    await site.sign_in("mallory")
    planted = site.browser.fork()

    await site.browser.post("/login")

    assert (await site.browser.get("/")).json()["subject"] == "alice"
    clock.advance(HOUR)
    assert (await planted.get("/")).json()["subject"] in ((None,) if stored else ("mallory",))


@pytest.mark.parametrize("stored", [True, False])
async def test_CVE_2025_46336_CVE_2025_32441_a_request_in_flight_restores_nothing(
    clock: Clock, stored: bool
) -> None:
    """rack and rack-session: a slow request saved the session again after it had been deleted."""
    gate = Gate()
    site = await signed_in(clock, held(gate), stored=stored)
    async with Started(lambda: site.browser.send("/slow")) as slow:
        await gate.arrival()
        await site.browser.post("/logout")
        gate.open()
        late = await slow.answer()
    site.browser.deliver(late)

    assert not stored or given(late) == set()
    assert (await site.browser.get("/")).json()["subject"] is None
    if stored:
        assert await site.issuer.sessions("alice") == []


async def test_CVE_2026_39324_what_does_not_verify_is_tried_in_no_other_way(
    clock: Clock,
) -> None:
    """rack-session: what did not decrypt was decoded unsigned."""
    unsigned = [
        b64(json.dumps({"sub": "alice", "sid": "s1", "exp": 2**40}).encode()),
        json.dumps({"sub": "alice"}),
        "s1.1",
        "s1.1.",
        f"{b64(b'{}')}.{b64(json.dumps(forge.claims()).encode())}.",
        "alice",
    ]
    for raw in unsigned:
        await nobody(clock, raw)
        await nobody(clock, raw, store=None)


@pytest.mark.parametrize("place", PLACES, ids=str)
@pytest.mark.parametrize("stored", [True, False])
async def test_CVE_2013_0263_a_signature_is_compared_in_constant_time(
    clock: Clock, place: Place, stored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rack: a digest was compared byte by byte."""
    site = Placed(clock) if stored else Placed(clock, store=None)
    raw = (await site.genuine(place))[:-4]
    compared: list[int] = []
    original = hmac.compare_digest

    def compare(one: Any, other: Any) -> bool:
        compared.append(len(one))
        return original(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    (await place.put(site, raw + "AAAA")).nobody()

    assert compared


@pytest.mark.parametrize("place", PLACES, ids=str)
async def test_CVE_2019_16782_no_session_is_looked_up_by_what_a_stranger_sent(
    clock: Clock, place: Place
) -> None:
    """Rack: the time of a lookup told how much of a session id was right."""
    site = Placed(clock)
    tokens = await site.issue()
    for raw in (tokens.session_id, f"{tokens.session_id}.1.x", tokens.refresh_token[:-4] + "AAAA"):
        await place.put(site, raw)

        assert "get" not in site.spy.calls


# --- refresh and revocation -----------------------------------------------------------------------


@pytest.mark.parametrize("many", [2, 32])
async def test_CVE_2026_1035_presenting_a_token_is_one_step(clock: Clock, many: int) -> None:
    """Keycloak: between the check for reuse and the write another request got through."""
    store = Frail()
    sites = [make_site(clock, store=store, config=lasting()) for _ in range(2)]
    tokens = await sites[0].issuer.issue("alice")
    clock.advance(HOUR)

    refresh = [functools.partial(site.issuer.refresh, tokens.refresh_token) for site in sites]
    results = await together(refresh * (many // 2))

    assert len({result.refresh_token for result in results}) == 1
    assert store.won == 1


async def test_CVE_2026_9802_a_restart_still_knows_what_was_used(
    clock: Clock, tmp_path: Path
) -> None:
    """Keycloak: after a restart a used refresh token was good again."""
    stores = Backend(tmp_path / "s.db")
    [before] = hosts(stores, [clock])
    first = await before.issuer.issue("alice")
    second = await before.issuer.refresh(first.refresh_token)
    clock.advance(HOUR)
    await before.issuer.refresh(second.refresh_token)
    stores.close()
    again = Backend(tmp_path / "s.db")
    [after] = hosts(again, [clock])

    with pytest.raises(RevokedTokenError) as caught:
        await after.issuer.refresh(first.refresh_token)
    left = await after.issuer.sessions("alice")
    again.close()

    assert (caught.value.reason, left) == ("reused_token", [])


@pytest.mark.parametrize("how", ["broken", "speechless"])
async def test_keycloak_49213_a_write_that_failed_has_used_nothing_up(
    clock: Clock, how: str
) -> None:
    """Keycloak: a transaction that was rolled back had consumed the one permitted reuse."""
    site = await signed_in(clock, store=Frail())
    getattr(site.store, how).add("replace")
    for _ in range(3):  # lost, where the store has acted and not said so
        response = await site.browser.send("/")
        assert how == "speechless" or response.set_cookies == []
    getattr(site.store, how).clear()

    response = await site.browser.get("/")

    assert (response.json()["subject"], given(response)) == ("alice", {ACCESS, REFRESH})


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://app.example", 200),
        ("https://trusted.example", 200),
        ("http://trusted.example", 403),
        ("https://evil.trusted.example", 403),
        ("", 200),
    ],
)
@pytest.mark.parametrize("referer", ["", "https://app.example/", "https://trusted.example/x"])
async def test_CVE_2025_24358_GO_2025_3884_origins_count_with_their_scheme(
    clock: Clock, origin: str, status: int, referer: str
) -> None:
    """gorilla/csrf: Referer went unchecked over TLS, and trusted hosts counted over plain http."""
    site = make_site(clock, config=Config(trusted_origins=["https://trusted.example"]))
    await site.sign_in()
    headers = [("origin", origin)] * bool(origin) + [("referer", referer)] * bool(referer)

    assert (await site.browser.send("/", "POST", headers=headers)).status == status


@pytest.mark.parametrize(
    "path",
    [
        *("/callback/", "/callback/x", "/callbackx", "/x/callback", "//callback", "/Callback"),
        *("/", "/callback/../api", "/./callback", "/callback%2f", "/callback;x"),
    ],
)
async def test_CVE_2025_47910_an_exemption_matches_nothing_but_itself(
    clock: Clock, path: str
) -> None:
    """Go: bypass patterns of `CrossOriginProtection` matched more than was meant."""
    site = make_site(clock, config=Config(cross_origin_exempt=["/callback"]))
    await site.sign_in()

    response = await site.browser.send(path, "POST", headers=[("origin", "https://evil.example")])

    assert response.status == 403


PUBLIC_SAYS = {
    "CVE-2025-54576": {"query_string": b"/public"},
    "CVE-2026-40575": {
        "headers": [(b"x-forwarded-uri", b"/public"), (b"x-original-url", b"/public")]
    },
    "CVE-2026-34457": {"headers": [(b"user-agent", b"GoogleHC/1.0"), (b"user-agent", b"/public")]},
    "CVE-2026-41059": {"path": "/private#/public", "raw_path": b"/private#/public"},
}


@pytest.mark.parametrize("option", ["exclude", "cross_origin_exempt"])
@pytest.mark.parametrize("advisory", PUBLIC_SAYS)
async def test_CVE_2025_54576_CVE_2026_40575_CVE_2026_34457_CVE_2026_41059_the_path_decides_alone(
    clock: Clock, advisory: str, option: str
) -> None:
    """oauth2-proxy: query, header, user agent and fragment could skip authentication."""
    app = Recorder()
    issuer = make_issuer(clock, store=MemoryStore(), config=Config(**{option: ["/public"]}))
    says = dict(PUBLIC_SAYS[advisory])
    headers = [both(await issuer.issue("alice")), *says.pop("headers", [])]
    headers.append((b"origin", b"https://evil.example"))
    scope = http("/private", "POST", headers=headers) | says

    sent = await run(wrapped(issuer, app), scope)

    assert (sent[0]["status"], app.runs) == (403, 0)


@pytest.mark.parametrize("how", ["revoked", "expired", "stolen"])
async def test_CVE_2026_34454_cookies_that_are_known_to_be_dead_are_deleted(
    clock: Clock, how: str
) -> None:
    """oauth2-proxy: the sign-in page left the cookies of the ended session."""
    site = await signed_in(clock)
    victim = site.browser.fork()
    if how == "revoked":
        await site.issuer.revoke_subject("alice")
    elif how == "expired":
        clock.advance(100 * DAY)
        for cookie in victim.jar.values():
            cookie.expires_at = None
    else:
        for _ in range(2):
            await site.browser.get("/")
            clock.advance(HOUR)

    response = await victim.navigate("/")

    assert response.json()["subject"] is None
    assert deleted(response) == {ACCESS, REFRESH}
    assert victim.values() == {}


async def test_GHSA_xg6x_h9c9_2m83_nothing_remembered_outlives_a_second_factor(
    clock: Clock,
) -> None:
    """better-auth: a cached session was good before the second factor had been asked for."""
    stage = {"alice": ["password"]}
    site = make_site(clock, load_claims=lambda session: {"amr": stage[session.subject]})
    await site.sign_in()
    thief = site.browser.fork()
    assert (await thief.get("/")).json()["payload"]["amr"] == ["password"]  # remembered now

    stage["alice"] = ["password", "otp"]
    [session] = await site.issuer.sessions("alice")
    await site.issuer.barrier(session.id)

    assert (await thief.get("/")).json()["subject"] is None
    clock.advance(HOUR)
    assert (await thief.get("/")).json()["subject"] is None


@pytest.mark.parametrize("name", ["userId", "user_id", "sub", "subject", "sid", "session_id"])
async def test_CVE_2025_61928_no_body_says_whose_session_it_is(clock: Clock, name: str) -> None:
    """better-auth: an id in the body took the place of the session's user."""
    site = Endpoints(clock)
    alice = await site.issuer.issue("alice")
    mallory = await site.issuer.issue("mallory")
    value = alice.session_id if name[0] == "s" and "id" in name else "alice"
    body = json.dumps({"refresh_token": mallory.refresh_token, name: value}).encode()

    response = await site.post("/auth/refresh", ("content-type", "application/json"), body=body)
    await site.post(
        "/auth/logout",
        bearer(mallory.access_token),
        ("content-type", "application/json"),
        body=json.dumps({"everywhere": True, name: value}).encode(),
    )

    assert site.issuer.verify(response.json()["access_token"])["sub"] == "mallory"
    assert len(await site.alive("alice")) == 1


@pytest.mark.parametrize("path", ["/login", "/logout", "/logout/everywhere"])
async def test_winfunc_a_forged_cookie_ends_no_session(clock: Clock, path: str) -> None:
    """better-auth: revocation went by session ids in cookies that nobody had verified."""
    site = make_site(clock)
    alice = await site.issuer.issue("alice")
    forged = {
        ACCESS: alice.access_token[:-4] + "AAAA",
        REFRESH: alice.refresh_token[:-4] + "AAAA",
        f"{ACCESS}-ended": alice.session_id,
    }

    await site.browser.send(path, "POST", cookies=forged)

    assert alice.session_id in {s.id for s in await site.issuer.sessions("alice")}


@pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip"])
async def test_CVE_2026_45364_the_client_is_who_the_server_says(clock: Clock, name: str) -> None:
    """better-auth: limits were counted by whatever X-Forwarded-For held."""
    site = make_site(clock)
    await site.sign_in()
    scope = {"query_string": b"ip=203.0.113.9"}

    await site.browser.send(
        "/", headers=[(name, "203.0.113.9")], cookies={ACCESS: "x"}, scope=scope
    )

    [event] = site.named("rejected")
    assert event.client is not None
    assert event.client.address == "192.0.2.7"


async def test_CVE_2021_21241_no_get_request_hands_out_a_token(clock: Clock) -> None:
    """flask-security: the token came with any GET of the login page."""
    site = Endpoints(clock)
    tokens = await site.issuer.issue("alice")
    query = {"query_string": f"refresh_token={tokens.refresh_token}&token=1".encode()}
    for path in ("/auth/refresh", "/auth/session", "/auth/sessions", "/auth/logout", "/"):
        for browser in (site.browser(tokens), site.browser()):
            response = await browser.send(path, scope=query)

            if path != "/":  # whoami repeats the Cookie header
                assert tokens.access_token not in response.body.decode()
                assert tokens.refresh_token not in response.body.decode()
                assert b"access_token" not in response.body
            assert response.set_cookies == []
    fields = {"query_string": form(grant_type="refresh_token", refresh_token=tokens.refresh_token)}
    assert (await site.browser().send("/auth/refresh", "POST", scope=fields)).status == 401


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
@pytest.mark.parametrize(
    "hint", [{}, {"token_type_hint": "access_token"}, {"token_type_hint": "x"}]
)
async def test_CVE_2016_6582_CVE_2018_1000211_a_revocation_revokes(
    clock: Clock, kind: str, hint: dict[str, str]
) -> None:
    """doorkeeper: 200 was answered, and the token went on working."""
    site = Endpoints(clock)
    tokens = await site.issuer.issue("alice")
    kept = await site.issuer.issue("alice")
    body = form(token=getattr(tokens, kind), **hint)

    response = await site.post(
        "/auth/revoke", ("content-type", "application/x-www-form-urlencoded"), body=body
    )

    assert response.status == 200
    with pytest.raises(RevokedTokenError):
        await site.issuer.authenticate(tokens.access_token)
    with pytest.raises(RevokedTokenError):
        await site.issuer.refresh(tokens.refresh_token)
    assert await site.alive() == {kept.session_id}
    await site.issuer.authenticate(kept.access_token)
