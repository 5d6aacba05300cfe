"""Remembering verified tokens: within bounds, the good ones only, and never their verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_refresh import Config, Issuer, Key, MemoryStore
from asgi_refresh.cache import TokenCache
from asgi_refresh.errors import ExpiredTokenError, InvalidTokenError, RevokedTokenError
from asgi_refresh.sessions import FrozenDict
from asgi_refresh.tokens import AccessToken
from tests.support import Clock
from tests.tokens import forge
from tests.tokens.forge import NOW, SECRET, claims, token


def some_token(name: str = "t") -> AccessToken:
    return AccessToken(FrozenDict(claims(jti=name)))


def held(cache: TokenCache) -> set[bytes]:
    return {*cache.young, *cache.old}


# --- the map -------------------------------------------------------------------------------------


def test_what_was_put_is_found_and_nothing_else() -> None:
    cache, one = TokenCache(8), some_token()
    cache.put(b"a", one)
    assert cache.get(b"a") is one
    assert cache.get(b"b") is None
    assert cache.get(b"") is None


@given(st.integers(1, 12), st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=80))
def test_it_never_holds_more_than_its_size(size: int, calls: list[tuple[bool, int]]) -> None:
    cache = TokenCache(size)
    for put, number in calls:
        raw = b"%d" % number
        if put:
            cache.put(raw, some_token(str(number)))
        else:
            found = cache.get(raw)
            assert found is None or found.id == str(number)
        half = max(1, size // 2)
        assert len(cache.young) <= half
        assert len(cache.old) <= half
        assert len(held(cache)) <= max(2, size)


@pytest.mark.parametrize("size", [2, 8, 100])
def test_the_latest_half_of_its_size_is_always_remembered(size: int) -> None:
    cache = TokenCache(size)
    for number in range(5 * size):
        cache.put(b"%d" % number, some_token(str(number)))
        for recent in range(max(0, number - size // 2 + 1), number + 1):
            found = cache.young.get(b"%d" % recent) or cache.old.get(b"%d" % recent)
            assert found is not None
            assert found.id == str(recent)


def test_a_size_is_used_to_the_full() -> None:
    cache = TokenCache(8)
    for number in range(8):
        cache.put(b"%d" % number, some_token())
    assert len(held(cache)) == 8


def test_the_old_generation_is_dropped_when_the_young_one_is_full() -> None:
    cache = TokenCache(4)
    for raw in (b"a", b"b", b"c", b"d"):
        cache.put(raw, some_token())
    assert (set(cache.young), set(cache.old)) == ({b"c", b"d"}, {b"a", b"b"})
    cache.put(b"e", some_token())
    assert (set(cache.young), set(cache.old)) == ({b"e"}, {b"c", b"d"})
    assert cache.get(b"a") is None


def test_a_hit_in_the_old_generation_moves_to_the_young_one() -> None:
    cache, kept = TokenCache(4), some_token("kept")
    for raw, what in ((b"kept", kept), (b"b", some_token()), (b"c", some_token())):
        cache.put(raw, what)
    assert b"kept" not in cache.young
    assert cache.get(b"kept") is kept
    assert cache.young[b"kept"] is kept


def test_a_hit_in_the_young_generation_changes_nothing() -> None:
    cache = TokenCache(4)
    for raw in (b"a", b"b", b"c"):
        cache.put(raw, some_token())
    before = dict(cache.young), dict(cache.old)
    for _ in range(20):
        cache.get(b"c")
    assert (cache.young, cache.old) == before


def test_a_token_in_use_outlasts_any_number_of_others() -> None:
    cache, kept = TokenCache(8), some_token("kept")
    cache.put(b"kept", kept)
    for number in range(200):
        cache.put(b"%d" % number, some_token())
        if number % 3 == 0:
            assert cache.get(b"kept") is kept


def test_a_miss_changes_nothing() -> None:
    cache = TokenCache(2)
    cache.put(b"a", some_token())
    for number in range(20):
        assert cache.get(b"miss-%d" % number) is None
    assert held(cache) == {b"a"}


def test_the_smallest_cache_still_remembers_one() -> None:
    cache = TokenCache(1)
    cache.put(b"a", some_token("a"))
    assert cache.get(b"a") is not None
    cache.put(b"b", some_token("b"))
    cache.put(b"c", some_token("c"))
    assert cache.get(b"a") is None


# --- what the issuer puts in ---------------------------------------------------------------------


@dataclass
class Counted:
    """A profile that counts what is really read."""

    profile: Any
    reads: list[bytes] = field(default_factory=list)

    def read_access(self, raw: bytes, *, now: float) -> AccessToken:
        self.reads.append(raw)
        return self.profile.read_access(raw, now=now)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.profile, name)


def counted(clock: Clock, *, store: Any = None, **config: Any) -> tuple[Issuer, list[bytes]]:
    profile = Counted(forge.profile(stateless=store is None))
    issuer = Issuer(
        SECRET,
        store=store,
        clock=clock,
        profile=profile,
        config=Config(**config),
        on_event=lambda _event: None,
    )
    return issuer, profile.reads


def test_a_token_seen_before_is_not_verified_again(clock: Clock) -> None:
    issuer, reads = counted(clock)
    raw = token()
    first = issuer.read_access(raw)
    for _ in range(5):
        assert issuer.read_access(raw) is first
        assert issuer.verify(raw.decode()) is first.payload
    assert reads == [raw]


def test_two_tokens_are_not_taken_for_one_another(clock: Clock) -> None:
    issuer, _ = counted(clock)
    alice, bob = token(), token(claims(sub="bob"))
    for _ in range(3):
        assert issuer.read_access(alice).subject == "alice"
        assert issuer.read_access(bob).subject == "bob"


def test_a_refusal_is_never_remembered(clock: Clock) -> None:
    issuer, reads = counted(clock)
    bad = token(secret=b"another-secret-" * 4)
    for _ in range(3):
        with pytest.raises(InvalidTokenError):
            issuer.read_access(bad)
    assert reads == [bad] * 3
    assert held(issuer.cache) == set()


def test_a_token_of_the_future_is_read_again_until_its_time_comes(clock: Clock) -> None:
    issuer, _ = counted(clock)
    early = token(claims(nbf=NOW + 100))
    with pytest.raises(InvalidTokenError):
        issuer.read_access(early)
    clock.advance(100)
    assert issuer.read_access(early).subject == "alice"


@pytest.mark.parametrize("ago", [0, 0.5, 1000])
def test_an_expired_token_is_never_remembered(clock: Clock, ago: float) -> None:
    issuer, reads = counted(clock)
    raw = token(claims(exp=NOW + 600))
    clock.advance(600 + ago)
    for _ in range(2):
        assert issuer.read_access(raw).subject == "alice"
        with pytest.raises(ExpiredTokenError):
            issuer.verify(raw.decode())
    assert reads == [raw] * 4
    assert held(issuer.cache) == set()


def test_a_token_is_remembered_up_to_its_last_moment(clock: Clock) -> None:
    issuer, reads = counted(clock)
    raw = token(claims(exp=NOW + 600))
    clock.advance(599.999)
    issuer.read_access(raw)
    issuer.read_access(raw)
    assert reads == [raw]


@pytest.mark.anyio
@pytest.mark.parametrize("stored", [True, False])
async def test_refresh_tokens_are_never_remembered(clock: Clock, stored: bool) -> None:
    issuer, _ = counted(clock, store=MemoryStore() if stored else None)
    tokens = await issuer.issue("alice")
    refresh = tokens.refresh_token
    for _ in range(2):
        with pytest.raises(InvalidTokenError):
            issuer.read_access(refresh.encode())
        await issuer.refresh(refresh)
    assert held(issuer.cache) == set()


def test_what_is_remembered_expires_to_the_second(clock: Clock) -> None:
    issuer, reads = counted(clock)
    raw = token(claims(exp=NOW + 600)).decode()
    assert issuer.verify(raw)
    clock.advance(599.5)
    assert issuer.verify(raw)
    clock.advance(0.5)
    with pytest.raises(ExpiredTokenError):
        issuer.verify(raw)
    assert len(reads) == 1


@pytest.mark.anyio
async def test_what_is_remembered_expires_for_authenticate_too(clock: Clock) -> None:
    issuer, _ = counted(clock, store=MemoryStore())
    raw = token(claims(exp=NOW + 600)).decode()
    assert await issuer.authenticate(raw)
    clock.advance(600)
    with pytest.raises(ExpiredTokenError):
        await issuer.authenticate(raw)


@pytest.mark.anyio
@pytest.mark.parametrize("revocation", ["live", "always"])
async def test_what_is_remembered_can_be_revoked(clock: Clock, revocation: str) -> None:
    issuer, reads = counted(clock, store=MemoryStore(), revocation=revocation)
    tokens = await issuer.issue("alice")
    for _ in range(2):
        assert (await issuer.authenticate(tokens.access_token))["sub"] == "alice"
    await issuer.revoke(tokens.session_id)
    for _ in range(2):
        with pytest.raises(RevokedTokenError):
            await issuer.authenticate(tokens.access_token)
    assert len(reads) == 1


@pytest.mark.anyio
async def test_a_revocation_elsewhere_reaches_what_is_remembered_here(clock: Clock) -> None:
    store = MemoryStore()
    (here, _), (there, _) = counted(clock, store=store), counted(clock, store=store)
    tokens = await here.issue("alice")
    assert await here.authenticate(tokens.access_token)
    await there.revoke(tokens.session_id)
    clock.advance(1)
    with pytest.raises(RevokedTokenError):
        await here.authenticate(tokens.access_token)


@pytest.mark.anyio
async def test_a_retired_token_is_refused_though_it_is_remembered(clock: Clock) -> None:
    issuer, _ = counted(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    assert await issuer.authenticate(tokens.access_token)
    again = await issuer.refresh(tokens.refresh_token, revoke_access=tokens.access_token)
    with pytest.raises(RevokedTokenError):
        await issuer.authenticate(tokens.access_token)
    assert await issuer.authenticate(again.access_token)


def test_the_settings_bound_what_is_remembered(clock: Clock) -> None:
    issuer, reads = counted(clock, token_cache=4)
    raws = [token(claims(jti=f"t{n}")) for n in range(50)]
    for raw in raws:
        issuer.read_access(raw)
        assert len(held(issuer.cache)) <= 4
    assert raws[-1] in held(issuer.cache)
    issuer.read_access(raws[0])
    assert reads == [*raws, raws[0]]


def test_every_issuer_remembers_for_itself(clock: Clock) -> None:
    raw = token().decode()
    assert forge.issuer(clock=clock).verify(raw)
    other = forge.issuer(clock=clock, key=Key(b"another-secret-" * 4, forge.KID))
    with pytest.raises(InvalidTokenError):
        other.verify(raw)
    with pytest.raises(InvalidTokenError):
        forge.issuer(Config(audience="api"), clock=clock).verify(raw)
