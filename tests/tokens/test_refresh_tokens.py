"""Refresh tokens: opaque, the same bytes everywhere, and good for nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import Signer

from asgi_refresh import Config, Issuer, MemoryStore
from asgi_refresh.claims import check_claims
from asgi_refresh.errors import InvalidTokenError, RefreshError
from asgi_refresh.jwt_profile import JwtProfile
from asgi_refresh.sessions import FrozenDict, Session
from asgi_refresh.tokens import MAX_TOKEN, RefreshToken
from tests.support import Clock, new_session
from tests.tokens import forge
from tests.tokens.forge import KEY, NOW, SECRET, b64, unb64

OTHER = b"another-secret-of-the-refresh-token-tests"
SESSION = new_session(Clock(NOW), "0123456789abcdef0123456789abcdef")


def profile(
    *secrets: bytes, issuer: str | None = None, stateless: bool = False, **kwargs: Any
) -> JwtProfile:
    return JwtProfile([KEY], secrets or (SECRET,), issuer=issuer, stateless=stateless, **kwargs)


def signer(purpose: str, secret: bytes = SECRET) -> Signer:
    """The reference: what itsdangerous itself makes of it."""
    return Signer(
        secret,
        salt=b"asgi_refresh " + purpose.encode(),
        key_derivation="hmac",
        digest_method=hashlib.sha256,
    )


def refused(reader: JwtProfile, raw: bytes) -> None:
    with pytest.raises(InvalidTokenError) as caught:
        reader.read_refresh(raw)
    assert (type(caught.value), str(caught.value)) == (InvalidTokenError, "the token is not valid")


# --- the bytes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("issuer", [None, "acme", "https://a.example", "zoë"])
@pytest.mark.parametrize("generation", [1, 2, 10, 123_456_789])
def test_a_rotating_token_is_what_itsdangerous_signs(issuer: str | None, generation: int) -> None:
    raw = profile(issuer=issuer).mint_refresh(SESSION, generation, now=NOW)
    message = b"%b.%d" % (SESSION.id.encode(), generation)
    reference = signer(f"rotating refresh token {issuer or ''}")
    assert raw == reference.sign(message)
    assert reference.unsign(raw) == message


@pytest.mark.parametrize("issuer", [None, "acme"])
def test_a_stateless_token_is_what_itsdangerous_signs(issuer: str | None) -> None:
    raw = profile(issuer=issuer, stateless=True).mint_refresh(SESSION, 0, now=NOW)
    message = signer(f"stateless refresh token {issuer or ''}").unsign(raw)
    assert json.loads(unb64(message)) == [
        SESSION.id, "alice", NOW, NOW, SESSION.expires_at, SESSION.idle_expires_at, NOW, {}, True,
        None,
    ]  # fmt: skip


def test_what_itsdangerous_signs_is_read() -> None:
    raw = signer("rotating refresh token acme").sign(b"some-session.7")
    assert profile(issuer="acme").read_refresh(raw) == RefreshToken("some-session", 7)


@given(st.text("abc0123456789-_.", min_size=1, max_size=64), st.integers(0, 2**63), st.booleans())
def test_session_and_generation_come_back(session_id: str, generation: int, named: bool) -> None:
    reader = profile(issuer="acme" if named else None)
    raw = reader.mint_refresh(replace(SESSION, id=session_id), generation, now=NOW)
    assert reader.read_refresh(raw) == RefreshToken(session_id, generation, None, 0.0)


def test_time_makes_no_difference_to_a_rotating_token() -> None:
    reader = profile()
    later = replace(SESSION, current=9, last_seen=NOW + 5.0, idle_expires_at=NOW + 9.0)
    assert reader.mint_refresh(SESSION, 2, now=NOW) == reader.mint_refresh(later, 2, now=NOW + 77)


def test_every_generation_and_every_session_has_a_token_of_its_own() -> None:
    reader = profile()
    sessions = [SESSION, replace(SESSION, id="s2"), replace(SESSION, id="s2.1")]
    raws = {reader.mint_refresh(s, n, now=NOW) for s in sessions for n in (1, 2, 11)}
    assert len(raws) == 9


def test_a_rotating_token_is_small() -> None:
    reader = profile(issuer="https://a-rather-long-issuer.example/of/tokens")
    claims = check_claims({"x": "y" * 3000})
    session = replace(SESSION, subject="x" * 255, claims=claims, device="z" * 500)
    assert len(reader.mint_refresh(session, 1, now=NOW)) == 32 + 1 + 1 + 1 + 43
    assert len(reader.mint_refresh(session, 10**9, now=NOW)) < 96


def test_a_rotating_token_tells_nothing_of_the_subject_or_the_claims() -> None:
    session = replace(SESSION, subject="canary", claims=check_claims({"canary": "canary"}))
    assert b"canary" not in profile().mint_refresh(session, 1, now=NOW)


PROGRAM = """
import json, sys
from asgi_refresh.claims import check_claims
from asgi_refresh.sessions import Session
from asgi_refresh.jwt_profile import JwtProfile
from asgi_refresh.keys import Key
told = json.loads(sys.argv[1])
told["claims"] = check_claims(told["claims"])
session = Session(**told)
key = Key("k" * 32, "k")
for stateless in (False, True):
    profile = JwtProfile([key], [b"s" * 32], issuer="acme", stateless=stateless)
    print(profile.mint_refresh(session, 3, now=1800000000.25).decode())
"""


def test_every_process_makes_the_same_bytes() -> None:
    told = {
        "id": "s1", "subject": "alice", "created_at": 1.5, "auth_time": 2.5, "expires_at": 1e10,
        "idle_expires_at": 1e9, "claims": {"roles": ["b", "a"], "z": 1, "a": {"y": 0.1, "x": None}},
    }  # fmt: skip
    outputs = set()
    for seed in ("1", "2"):
        result = subprocess.run(
            [sys.executable, "-c", PROGRAM, json.dumps(told)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        )
        outputs.add(result.stdout)
    session = Session(**told | {"claims": check_claims(told["claims"])})
    here = [
        JwtProfile([KEY], [b"s" * 32], issuer="acme", stateless=stateless)
        .mint_refresh(session, 3, now=1_800_000_000.25)
        .decode()
        for stateless in (False, True)
    ]
    assert outputs == {"\n".join(here) + "\n"}


@pytest.mark.anyio
async def test_two_issuers_hand_out_the_same_successor(clock: Clock) -> None:
    store = MemoryStore()
    one, two = (Issuer(SECRET, store=store, clock=clock) for _ in range(2))
    tokens = await one.issue("alice")
    first, second = await one.refresh(tokens.refresh_token), await two.refresh(tokens.refresh_token)
    assert first.refresh_token == second.refresh_token != tokens.refresh_token


# --- the whole session in a token ----------------------------------------------------------------

TIMES = st.one_of(
    st.floats(0, 4e9), st.integers(0, 4 * 10**9).map(float), st.integers(0, 4 * 10**9)
)
CLAIM = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(
    subject=st.text(min_size=1, max_size=40),
    times=st.tuples(TIMES, TIMES, TIMES, TIMES, TIMES),
    claim=st.dictionaries(st.sampled_from(["role", "x", "ü"]), CLAIM, max_size=2),
    persistent=st.booleans(),
    device=st.one_of(st.none(), st.text(max_size=20)),
)
def test_a_stateless_token_carries_the_whole_session_to_the_second(
    subject: str,
    times: tuple[float, ...],
    claim: dict[str, Any],
    persistent: bool,
    device: str | None,
) -> None:
    created, auth, expires, idle, now = times
    try:
        claims = check_claims(claim)
    except ValueError:
        return
    session = Session(
        id="s1",
        subject=subject,
        created_at=int(created),
        auth_time=int(auth),
        expires_at=int(expires),
        idle_expires_at=int(idle),
        claims=claims,
        persistent=persistent,
        device=device,
        last_seen=int(now),
    )
    exact = replace(
        session,
        created_at=created,
        auth_time=auth,
        expires_at=expires,
        idle_expires_at=idle,
        last_seen=now,
    )
    reader = profile(stateless=True)
    raw = reader.mint_refresh(exact, 0, now=now)
    read = reader.read_refresh(raw)
    assert read == RefreshToken("s1", 0, session, int(now))
    assert read.session is not None
    assert type(read.session.claims) is FrozenDict
    assert type(read.session.persistent) is bool
    assert reader.mint_refresh(read.session, 0, now=now) == raw


def test_the_claims_of_a_stateless_session_are_read_only_at_every_depth() -> None:
    reader = profile(stateless=True)
    session = replace(SESSION, claims=check_claims({"a": [{"b": [1]}]}))
    read = reader.read_refresh(reader.mint_refresh(session, 0, now=NOW)).session
    assert read is not None
    assert read.claims["a"] == ({"b": (1,)},)
    with pytest.raises(TypeError):
        read.claims["a"][0]["b"] = 2


def test_a_stateless_token_says_when_it_was_made() -> None:
    reader = profile(stateless=True)
    read = reader.read_refresh(reader.mint_refresh(SESSION, 0, now=NOW + 3.5))
    assert read.issued_at == NOW + 3
    assert read.session == replace(SESSION, last_seen=NOW + 3)


def test_a_stateless_session_is_of_generation_one_whatever_is_said() -> None:
    reader = profile(stateless=True)
    odd = replace(SESSION, current=7, previous=6, access_from=3, version=9)
    read = reader.read_refresh(reader.mint_refresh(odd, 7, now=NOW))
    assert read.generation == 0
    assert read.session == SESSION


# --- one spelling --------------------------------------------------------------------------------

MODES = {
    "rotating": (profile(), profile().mint_refresh(SESSION, 12, now=NOW)),
    "stateless": (
        profile(stateless=True),
        profile(stateless=True).mint_refresh(SESSION, 0, now=NOW),
    ),
}


@pytest.mark.parametrize("mode", MODES)
def test_no_byte_of_a_refresh_token_can_be_another(mode: str) -> None:
    reader, raw = MODES[mode]

    @given(st.integers(0, len(raw) - 1), st.integers(0, 255))
    def check(at: int, byte: int) -> None:
        changed = raw[:at] + bytes([byte]) + raw[at + 1 :]
        if changed != raw:
            refused(reader, changed)

    check()


@pytest.mark.parametrize("mode", MODES)
def test_no_single_bit_of_a_refresh_token_can_flip(mode: str) -> None:
    reader, raw = MODES[mode]
    for at in range(len(raw)):
        for bit in range(8):
            refused(reader, raw[:at] + bytes([raw[at] ^ (1 << bit)]) + raw[at + 1 :])


@pytest.mark.parametrize("mode", MODES)
def test_nothing_can_stand_around_a_refresh_token(mode: str) -> None:
    reader, raw = MODES[mode]

    @given(st.binary(max_size=20), st.binary(max_size=20))
    def check(before: bytes, after: bytes) -> None:
        if before or after:
            refused(reader, before + raw + after)

    check()


SPELLINGS: dict[str, Callable[[bytes], bytes]] = {
    "padded": lambda raw: raw + b"=",
    "padded in the middle": lambda raw: b"=.".join(raw.rsplit(b".", 1)),
    "newline after": lambda raw: raw + b"\n",
    "space before": lambda raw: b" " + raw,
    "quoted": lambda raw: b'"' + raw + b'"',
    "no dot before the tag": lambda raw: b"".join(raw.rsplit(b".", 1)),
    "two dots before the tag": lambda raw: b"..".join(raw.rsplit(b".", 1)),
    "tag twice": lambda raw: raw + b"." + raw.rsplit(b".", 1)[1],
    "tag alone": lambda raw: raw.rsplit(b".", 1)[1],
    "tag alone with its dot": lambda raw: b"." + raw.rsplit(b".", 1)[1],
    "no tag": lambda raw: raw.rsplit(b".", 1)[0] + b".",
    "message alone": lambda raw: raw.rsplit(b".", 1)[0],
    "empty tag and the tag": lambda raw: raw + b".",
    "leading zero": lambda raw: raw.replace(b".12.", b".012."),
    "plus sign": lambda raw: raw.replace(b".12.", b".+12."),
    "underscore": lambda raw: raw.replace(b".12.", b".1_2."),
    "another generation": lambda raw: raw.replace(b".12.", b".13."),
    "another session": lambda raw: b"f" + raw[1:],
    "upper case": lambda raw: raw.upper(),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_refresh_token_has_one_spelling_only(spelling: str, mode: str) -> None:
    reader, raw = MODES[mode]
    changed = SPELLINGS[spelling](raw)
    if changed != raw:
        refused(reader, changed)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "raw", [b"", b".", b"..", b"a", b"a.b", b"a.1.b", b"\xff.1.\xff", "ü.1.ü".encode(), b"\x00"]
)
def test_garbage_is_no_refresh_token(mode: str, raw: bytes) -> None:
    refused(MODES[mode][0], raw)


@pytest.mark.parametrize("secret", [SECRET, OTHER])
def test_a_refresh_token_without_a_message_is_refused_even_if_signed(secret: bytes) -> None:
    refused(profile(), signer("rotating refresh token ", secret).sign(b""))


@pytest.mark.parametrize("mode", MODES)
def test_a_refresh_token_beyond_the_greatest_size_is_refused_even_if_signed(mode: str) -> None:
    reader, _ = MODES[mode]
    good = "x" * (MAX_TOKEN - 46)
    if mode == "rotating":
        raw = signer("rotating refresh token ").sign(f"{good}.1")
        assert reader.read_refresh(raw).session_id == good
        refused(reader, signer("rotating refresh token ").sign(f"{good}x.1"))
    else:
        raw = reader.mint_refresh(replace(SESSION, device=good), 0, now=NOW)
        assert len(raw) > MAX_TOKEN
        refused(reader, raw)


@pytest.mark.parametrize("raw", ["\ud800.a.b", "a\x00", "ä", None, 1, b"x", ["x"]])
@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.anyio
async def test_the_issuer_refuses_what_is_no_ascii_text(raw: Any, stored: bool) -> None:
    issuer = forge.issuer(store=MemoryStore() if stored else None)
    with pytest.raises(InvalidTokenError):
        await issuer.refresh(raw)


def test_django_and_itsdangerous_defaults_do_not_sign_for_us() -> None:
    message = SESSION.id + ".1"
    salt = b"asgi_refresh rotating refresh token "
    refused(profile(), Signer(SECRET).sign(message))
    refused(profile(), Signer(SECRET, salt=salt).sign(message))
    refused(profile(), Signer(SECRET, salt=salt, key_derivation="hmac").sign(message))
    refused(profile(), Signer(SECRET, salt=salt, digest_method=hashlib.sha256).sign(message))
    refused(profile(), message.encode() + b"." + forge.mac(message.encode(), SECRET))


# --- nothing passes for something else (AB-25, AB-26) --------------------------------------------

NAMESPACES = [None, "a", "b", "a "]
ISSUERS = {
    (secret, namespace, stored): Issuer(
        secret,
        store=MemoryStore() if stored else None,
        config=Config(issuer=namespace),
        clock=Clock(NOW),
        on_event=lambda _event: None,
    )
    for secret in (SECRET, OTHER)
    for namespace in NAMESPACES
    for stored in (True, False)
}


def describe(where: tuple[bytes, str | None, bool]) -> str:
    secret, namespace, stored = where
    mode = "rotating" if stored else "stateless"
    return f"{'secret' if secret is SECRET else 'other'}-{namespace}-{mode}"


@pytest.mark.parametrize("origin", ISSUERS, ids=describe)
def test_a_refresh_token_is_good_where_it_is_from_and_nowhere_else(
    origin: tuple[bytes, str | None, bool],
) -> None:
    raw = ISSUERS[origin].profile.mint_refresh(SESSION, 1, now=NOW)
    for where, issuer in ISSUERS.items():
        if where == origin:
            assert issuer.profile.read_refresh(raw).session_id == SESSION.id
        else:
            with pytest.raises(InvalidTokenError):
                issuer.profile.read_refresh(raw)
        with pytest.raises(InvalidTokenError):
            issuer.verify(raw.decode())
        with pytest.raises(InvalidTokenError):
            issuer.profile.read_access(raw, now=NOW)


@pytest.mark.parametrize("origin", ISSUERS, ids=describe)
def test_an_access_token_is_good_in_its_namespace_and_is_no_refresh_token(
    origin: tuple[bytes, str | None, bool],
) -> None:
    minted = ISSUERS[origin].mint.access(SESSION, FrozenDict())
    for where, issuer in ISSUERS.items():
        with pytest.raises(InvalidTokenError):
            issuer.profile.read_refresh(minted.raw)
        if where[:2] == origin[:2]:  # both modes make the same access tokens
            assert issuer.verify(minted.raw.decode()) == minted.token.payload
        else:
            with pytest.raises(InvalidTokenError):
                issuer.verify(minted.raw.decode())


@pytest.mark.anyio
@pytest.mark.parametrize("stored", [True, False])
async def test_tokens_do_not_change_places(clock: Clock, stored: bool) -> None:
    issuer = Issuer(SECRET, store=MemoryStore() if stored else None, clock=clock)
    tokens = await issuer.issue("alice")
    with pytest.raises(InvalidTokenError):
        await issuer.refresh(tokens.access_token)
    with pytest.raises(InvalidTokenError):
        issuer.verify(tokens.refresh_token)
    with pytest.raises(InvalidTokenError):
        await issuer.authenticate(tokens.refresh_token)


@pytest.mark.anyio
async def test_a_refresh_token_is_no_companion_of_a_refresh_token(clock: Clock) -> None:
    issuer = Issuer(SECRET, store=MemoryStore(), clock=clock)
    tokens = await issuer.issue("alice")
    with pytest.raises(RefreshError):
        await issuer.refresh(tokens.refresh_token, revoke_access=tokens.refresh_token)
    assert await issuer.authenticate(tokens.access_token)


@pytest.mark.parametrize("typ", ["rt+jwt", "at+jwt", "JWT"])
@pytest.mark.parametrize("stored", [True, False])
def test_a_signed_jwt_is_no_refresh_token(typ: str, stored: bool) -> None:
    for secret in (SECRET, forge.ACCESS_SECRET):
        raw = forge.token(head=forge.header(typ=typ), secret=secret)
        refused(profile(stateless=not stored), raw)


@pytest.mark.parametrize("mode", ["rotating", "stateless"])
def test_a_refresh_token_dressed_up_as_a_jwt_is_no_access_token(mode: str) -> None:
    head = b64(forge.text(forge.header()))
    message = head + b"." + b64(forge.text(forge.claims()))
    for raw in (
        signer(f"{mode} refresh token ").sign(message),
        signer("access token").sign(message),
        signer("key id").sign(message),
    ):
        with pytest.raises(InvalidTokenError):
            forge.profile().read_access(raw, now=NOW)


# --- secrets change ------------------------------------------------------------------------------


@pytest.mark.parametrize("stateless", [True, False])
def test_the_first_secret_signs_and_all_verify(stateless: bool) -> None:
    third = b"a-third-secret-of-the-refresh-token-tests"
    ring = profile(OTHER, SECRET, third, stateless=stateless)
    alone = {
        secret: profile(secret, stateless=stateless).mint_refresh(SESSION, 4, now=NOW)
        for secret in (OTHER, SECRET, third)
    }
    for raw in alone.values():
        assert ring.read_refresh(raw).session_id == SESSION.id
    assert ring.mint_refresh(SESSION, 4, now=NOW) == alone[OTHER]


@pytest.mark.parametrize("stateless", [True, False])
def test_a_removed_secret_verifies_nothing(stateless: bool) -> None:
    raw = profile(SECRET, stateless=stateless).mint_refresh(SESSION, 4, now=NOW)
    refused(profile(OTHER, stateless=stateless), raw)


@pytest.mark.anyio
@pytest.mark.parametrize("stored", [True, False])
async def test_refresh_tokens_move_to_the_new_secret_with_their_next_renewal(
    clock: Clock, stored: bool
) -> None:
    store = MemoryStore() if stored else None
    tokens = await Issuer(KEY, secret=SECRET, store=store, clock=clock).issue("alice")
    clock.advance(8 * 86400)
    rotated = Issuer(KEY, secret=[OTHER, SECRET], store=store, clock=clock)
    moved = await rotated.refresh(tokens.refresh_token)
    new_only = Issuer(KEY, secret=OTHER, store=store, clock=clock)
    assert (await new_only.refresh(moved.refresh_token)).session_id == tokens.session_id


def test_the_repr_of_a_refresh_token_does_not_show_its_session() -> None:
    reader = profile(stateless=True)
    session = replace(SESSION, claims=check_claims({"x": "canary"}), device="canary")
    read = reader.read_refresh(reader.mint_refresh(session, 0, now=NOW))
    assert "canary" not in repr(read)
    assert repr(read).startswith(f"RefreshToken(session_id='{SESSION.id}', generation=0")
