"""`Verifier`: whose tokens it takes, and where its keys come from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import jwt
import pytest

from asgi_refresh import Config, Key, Verifier
from asgi_refresh.errors import (
    ConfigurationError,
    ExpiredTokenError,
    InvalidTokenError,
    KeysUnavailable,
)
from asgi_refresh.verifier import read_jwks
from tests.support import Clock
from tests.tokens import forge
from tests.verifier.keyserver import ONE, THREE, TWO, KeyServer, issuer, jwks, key_server

pytestmark = pytest.mark.anyio


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with key_server() as state:
        state.serve(jwks(ONE))
        yield state


async def access(clock: Clock, *ring: Key, **config: Any) -> str:
    tokens = await issuer(clock, *ring, config=Config(**config)).issue("alice", {"role": "admin"})
    return tokens.access_token


async def refused(verifier: Verifier, raw: str) -> type[Exception]:
    with pytest.raises(InvalidTokenError) as caught:
        await verifier.authenticate(raw)
    return type(caught.value)


# --- whose tokens ---------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", sorted(forge.KINDS))
async def test_it_reads_what_the_issuer_signed(clock: Clock, algorithm: str) -> None:
    key = forge.make_key(algorithm)
    verifier = Verifier(jwks(key), clock=clock)

    assert (await verifier.authenticate(await access(clock, key)))["role"] == "admin"


@pytest.mark.parametrize("source", ["key", "keys", "public key", "document", "file", "path"])
async def test_keys_come_in_many_ways(clock: Clock, source: str, tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(jwks(ONE)))
    made: dict[str, Any] = {
        "key": ONE,
        "keys": [TWO, ONE],
        "public key": Key.from_jwk(ONE.public_jwk() or {}),
        "document": jwks(TWO, ONE),
        "file": str(file),
        "path": file,
    }
    verifier = Verifier(made[source], clock=clock)

    assert (await verifier.authenticate(await access(clock)))["sub"] == "alice"


async def test_a_shared_secret_verifies_too(clock: Clock) -> None:
    key = Key("x" * 40, "shared")

    assert await Verifier(key, clock=clock).authenticate(await access(clock, key))


async def test_a_token_ends_to_the_second(clock: Clock) -> None:
    verifier, raw = Verifier(ONE, clock=clock), await access(clock)
    clock.advance(599)
    await verifier.authenticate(raw)
    clock.advance(1)

    assert await refused(verifier, raw) is ExpiredTokenError


@pytest.mark.parametrize(
    ("token", "wanted"),
    [
        ({"audience": "a"}, {}),
        ({}, {"audience": "a"}),
        ({"audience": "a"}, {"audience": "b"}),
        ({"issuer": "a"}, {}),
        ({}, {"issuer": "a"}),
        ({"issuer": "a"}, {"issuer": "A"}),
        ({"issuer": "a", "audience": "b"}, {"issuer": "a"}),
    ],
)
async def test_another_issuer_or_audience_is_refused(clock: Clock, token: Any, wanted: Any) -> None:
    assert await refused(Verifier(ONE, clock=clock, **wanted), await access(clock, **token))


async def test_the_right_issuer_and_audience_are_taken(clock: Clock) -> None:
    both: Any = {"issuer": "https://a.example", "audience": "b"}

    assert await Verifier(ONE, clock=clock, **both).authenticate(await access(clock, **both))


@pytest.mark.parametrize(("ahead", "good"), [(5, True), (6, False)])
async def test_a_token_from_the_future_is_taken_within_the_leeway(
    clock: Clock, ahead: int, good: bool
) -> None:
    verifier, raw = Verifier(ONE, clock=clock), await access(Clock(clock() + ahead))
    if good:
        assert await verifier.authenticate(raw)
    else:
        await refused(verifier, raw)


@pytest.mark.parametrize("raw", ["", "x", "a.b.c", "..", "é", "\ud800", "x" * 9000, "eyJ9.e30."])
async def test_garbage_is_refused(clock: Clock, raw: str) -> None:
    assert await refused(Verifier(ONE, clock=clock), raw) is InvalidTokenError


async def test_a_refresh_token_is_refused(clock: Clock) -> None:
    tokens = await issuer(clock).issue("alice")

    await refused(Verifier(ONE, clock=clock), tokens.refresh_token)


async def test_the_public_key_is_no_hmac_secret(clock: Clock) -> None:
    """RFC 8725, 2.1."""
    head = forge.b64(json.dumps({"alg": "HS256", "kid": ONE.id, "typ": "at+jwt"}))
    body = forge.b64(forge.text(forge.claims()))
    for secret in (ONE.signer.public.__class__.__name__.encode(), _pem(ONE)):
        raw = forge.sign(head, body, secret).decode()
        await refused(Verifier(jwks(ONE), clock=clock), raw)


def _pem(key: Key) -> bytes:
    return Key.from_jwk(key.public_jwk() or {}).to_pem().encode()


@pytest.mark.parametrize("header", ["jwk", "jku", "x5u", "x5c", "crit"])
async def test_a_token_that_brings_its_own_key_is_refused(
    clock: Clock, header: str, server: KeyServer
) -> None:
    other = Key.generate("ES256", ONE.id)
    value = other.public_jwk() if header == "jwk" else server.url
    raw = jwt.encode(
        forge.claims(),
        other.secret,
        "ES256",
        headers={"kid": ONE.id, "typ": "at+jwt", header: value if header != "crit" else ["x"]},
    )
    await refused(Verifier(ONE, clock=clock), raw)
    assert server.asked == []


async def test_the_repr_shows_no_key(clock: Clock) -> None:
    assert repr(Verifier([ONE, TWO], clock=clock)) == "<Verifier, 2 keys>"


# --- what is no source ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document", [{}, {"keys": []}, {"keys": None}, {"keys": {}}, {"keys": "x"}, {"keys": [1, None]}]
)
async def test_a_document_without_a_key_is_refused_at_once(document: Any) -> None:
    with pytest.raises(ConfigurationError):
        Verifier(document)


async def test_no_key_at_all_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError):
        Verifier([])


async def test_two_keys_of_one_id_are_refused_at_once() -> None:
    with pytest.raises(ConfigurationError):
        Verifier([ONE, Key.generate("ES256", ONE.id)])


@pytest.mark.parametrize(
    "url",
    [
        "http://auth.example/jwks.json", "http://127.0.0.2/x", "http://localhost.evil.example/x",
        "http://127.0.0.1.evil.example/x", "http://127.0.0.1@evil.example/x", "ftp://localhost/x",
        "file:///etc/passwd", "HTTP://auth.example/x", "data://x",
    ],
)  # fmt: skip
async def test_a_url_is_https(url: str) -> None:
    with pytest.raises(ConfigurationError, match="https"):
        Verifier(url)


@pytest.mark.parametrize(
    "url", ["https://auth.example/x", "http://localhost:1/x", "http://[::1]/x"]
)
async def test_https_or_this_machine_will_do_and_is_not_asked_yet(url: str) -> None:
    assert repr(Verifier(url)) == "<Verifier, 0 keys>"


def test_private_and_symmetric_keys_of_a_document_are_ignored() -> None:
    algorithm: Any = jwt.get_algorithm_by_name("ES256")
    private = {**algorithm.to_jwk(TWO.secret, as_dict=True)} if TWO.algorithm == "ES256" else {}
    private = {**algorithm.to_jwk(ONE.secret, as_dict=True), "kid": "leaked", "alg": "ES256"}
    shared = {"kty": "oct", "k": forge.b64(b"x" * 40).decode(), "kid": "shared", "alg": "HS256"}

    keys = read_jwks({"keys": [private, shared, TWO.public_jwk()]})

    assert [key.id for key in keys] == [TWO.id]


@pytest.mark.parametrize(
    "member", ["x", 5, None, [], {}, {"kty": "EC"}, {"kty": "future"}, '{"\\u006bty": "oct"}']
)
def test_what_is_not_understood_is_ignored(member: Any) -> None:
    assert [key.id for key in read_jwks({"keys": [member, *jwks(ONE)["keys"]]})] == [ONE.id]


def test_a_key_for_encryption_is_ignored() -> None:
    other = {**(TWO.public_jwk() or {}), "use": "enc"}
    assert [key.id for key in read_jwks({"keys": [other, *jwks(ONE)["keys"]]})] == [ONE.id]


# --- fetching -------------------------------------------------------------------------------------


async def test_a_url_is_fetched_at_first_use_and_once(clock: Clock, server: KeyServer) -> None:
    verifier = Verifier(server.url, clock=clock)
    assert server.asked == []
    for _ in range(3):
        assert await verifier.authenticate(await access(clock))
        clock.advance(99)

    assert server.asked == ["/jwks.json"]


async def test_a_key_that_is_not_known_is_fetched(clock: Clock, server: KeyServer) -> None:
    verifier = Verifier(server.url, clock=clock)
    await verifier.authenticate(await access(clock))
    server.serve(jwks(ONE, TWO))
    clock.advance(60)

    assert await verifier.authenticate(await access(clock, TWO))
    assert len(server.asked) == 2


async def test_unknown_keys_are_asked_for_once_a_minute(clock: Clock, server: KeyServer) -> None:
    verifier = Verifier(server.url, clock=clock)
    await verifier.authenticate(await access(clock))
    asked = []
    for _ in range(4):
        for n in range(5):
            await refused(verifier, await access(clock, Key.generate("ES256", f"unknown-{n}")))
        asked.append(len(server.asked))
        clock.advance(30)

    assert asked == [1, 1, 2, 2]


async def test_garbage_makes_no_fetch(clock: Clock, server: KeyServer) -> None:
    verifier = Verifier(server.url, clock=clock)
    for raw in ("x", "a.b.c", "x" * 9000, forge.token(head={"alg": "ES256"}).decode()):
        await refused(verifier, raw)

    assert server.asked == []


async def test_twenty_requests_at_once_make_one_fetch(clock: Clock, server: KeyServer) -> None:
    verifier = Verifier(server.url, clock=clock)
    raws = [await access(clock, Key.generate("ES256", f"unknown-{n}")) for n in range(20)]
    good = await access(clock)
    subjects = []

    async def one(raw: str) -> None:
        await refused(verifier, raw)

    async def known() -> None:
        subjects.append((await verifier.authenticate(good))["sub"])

    async with anyio.create_task_group() as tasks:
        for raw in raws:
            tasks.start_soon(one, raw)
            tasks.start_soon(known)

    assert (len(server.asked), subjects) == (1, ["alice"] * 20)


async def test_a_request_that_gives_up_does_not_spoil_the_fetch_of_the_others(
    clock: Clock, server: KeyServer
) -> None:
    verifier, raw = Verifier(server.url, clock=clock), await access(clock)
    server.gate.clear()
    told = []

    async def patient() -> None:
        told.append((await verifier.authenticate(raw))["sub"])

    with anyio.move_on_after(0.05) as gone:
        await verifier.authenticate(raw)
    server.gate.set()
    clock.advance(1)
    await patient()

    assert (gone.cancelled_caught, told) == (True, ["alice"])


async def test_an_outage_at_the_start_says_so_and_ends(clock: Clock, server: KeyServer) -> None:
    verifier, raw = Verifier(server.url, clock=clock), await access(clock)
    server.status = 500
    with pytest.raises(KeysUnavailable):
        await verifier.authenticate(raw)
    server.status = 200
    clock.advance(1)

    assert await verifier.authenticate(raw)


async def test_during_an_outage_at_the_start_it_asks_once_a_second(
    clock: Clock, server: KeyServer
) -> None:
    verifier, raw = Verifier(server.url, clock=clock), await access(clock)
    server.status = 500
    for _ in range(8):
        with pytest.raises(KeysUnavailable):
            await verifier.authenticate(raw)
        clock.advance(0.25)

    assert len(server.asked) == 2


async def test_during_a_later_outage_the_keys_stay(clock: Clock, server: KeyServer) -> None:
    verifier = Verifier(server.url, clock=clock)
    await verifier.authenticate(await access(clock))
    server.status = 503
    clock.advance(61)
    await refused(verifier, await access(clock, TWO))

    assert await verifier.authenticate(await access(clock))


async def test_a_server_that_hangs_is_given_up(clock: Clock, server: KeyServer) -> None:
    verifier = Verifier(server.url, clock=clock, timeout=0.05)
    server.gate.clear()

    with anyio.fail_after(5), pytest.raises(KeysUnavailable):
        await verifier.authenticate(await access(clock))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(clock: Clock, server: KeyServer, status: int) -> None:
    server.status = status
    with pytest.raises(KeysUnavailable):
        await Verifier(server.url, clock=clock).authenticate(await access(clock))

    assert server.asked == ["/jwks.json"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"x", b"[]", b"5", b"null", b"{}", b'{"keys": []}', b"[" * 100_000, b"\xff",
        b'{"keys": [' + b" " * 300_000 + b"]}", b'{"keys": [NaN]}',
    ],
    ids=lambda raw: ascii(raw)[:20],
)  # fmt: skip
async def test_a_document_that_is_none_is_an_outage(
    clock: Clock, server: KeyServer, body: bytes
) -> None:
    server.serve(body)

    with pytest.raises(KeysUnavailable):
        await Verifier(server.url, clock=clock).authenticate(await access(clock))


async def test_a_document_that_is_too_long_is_not_read(clock: Clock, server: KeyServer) -> None:
    server.serve(json.dumps(jwks(ONE)).encode() + b" " * (256 * 1024))

    with pytest.raises(KeysUnavailable):
        await Verifier(server.url, clock=clock).authenticate(await access(clock))


async def test_a_key_that_is_gone_is_forgotten_with_what_it_signed(
    clock: Clock, server: KeyServer
) -> None:
    verifier, raw = Verifier(server.url, clock=clock), await access(clock)
    await verifier.authenticate(raw)
    server.serve(jwks(TWO))
    clock.advance(60)
    await verifier.authenticate(await access(clock, TWO))

    assert await refused(verifier, raw) is InvalidTokenError


async def test_a_key_that_stays_is_good_after_a_fetch(clock: Clock, server: KeyServer) -> None:
    verifier, raw = Verifier(server.url, clock=clock), await access(clock)
    await verifier.authenticate(raw)
    server.serve(jwks(THREE, ONE))
    clock.advance(60)
    await verifier.authenticate(await access(clock, THREE))

    assert await verifier.authenticate(raw)


async def test_a_key_withdrawn_is_noticed_though_nobody_names_a_new_one(
    clock: Clock, server: KeyServer
) -> None:
    """Whoever has the leaked key never names another, and the new one is long known."""
    server.serve(jwks(ONE, TWO))
    verifier = Verifier(server.url, clock=clock)
    await verifier.authenticate(await access(clock))
    server.serve(jwks(TWO))
    clock.advance(300)

    await refused(verifier, await access(clock))
    assert await verifier.authenticate(await access(clock, TWO))
    assert len(server.asked) == 2


async def test_a_token_that_is_remembered_is_refused_too_once_its_key_is_withdrawn(
    clock: Clock, server: KeyServer
) -> None:
    verifier, raw = Verifier(server.url, clock=clock), await access(clock)
    await verifier.authenticate(raw)
    server.serve(jwks(TWO))
    clock.advance(300)

    assert await refused(verifier, raw) is InvalidTokenError


async def test_while_stale_keys_are_fetched_the_other_requests_do_not_wait(
    clock: Clock, server: KeyServer
) -> None:
    verifier = Verifier(server.url, clock=clock)
    await verifier.authenticate(await access(clock))
    clock.advance(300)
    raw = await access(clock)
    server.gate.clear()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(verifier.authenticate, raw)
        await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(2):
            assert await verifier.authenticate(raw)
        server.gate.set()

    assert len(server.asked) == 2


async def test_stale_keys_stay_during_an_outage_and_are_asked_for_once_a_minute(
    clock: Clock, server: KeyServer
) -> None:
    verifier = Verifier(server.url, clock=clock)
    await verifier.authenticate(await access(clock))
    server.status = 500
    clock.advance(300)
    asked = []
    for _ in range(4):
        assert await verifier.authenticate(await access(clock))
        asked.append(len(server.asked))
        clock.advance(30)

    assert asked == [2, 2, 3, 3]


async def test_a_file_is_read_again_for_an_unknown_key(clock: Clock, tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(jwks(ONE)))
    verifier = Verifier(file, clock=clock)
    await verifier.authenticate(await access(clock))
    file.write_text(json.dumps(jwks(ONE, TWO)))
    clock.advance(60)

    assert await verifier.authenticate(await access(clock, TWO))


async def test_a_file_that_is_not_there_yet_is_an_outage(clock: Clock, tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    verifier, raw = Verifier(file, clock=clock), await access(clock)
    with pytest.raises(KeysUnavailable):
        await verifier.authenticate(raw)
    file.write_text(json.dumps(jwks(ONE)))
    clock.advance(1)

    assert await verifier.authenticate(raw)


async def test_keys_that_were_given_are_never_fetched(clock: Clock) -> None:
    verifier = Verifier(ONE, clock=clock)

    assert await refused(verifier, await access(clock, TWO)) is InvalidTokenError
