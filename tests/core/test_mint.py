"""Making sessions and their access tokens, with nothing of an issuer around it."""

from __future__ import annotations

import functools
import threading
from typing import Any

import anyio.to_thread
import pytest

from asgi_refresh import Config, Cookie, Session
from asgi_refresh.errors import ClaimsUnavailable
from asgi_refresh.mint import ClaimsLoader, Mint
from asgi_refresh.profile import make_profile
from asgi_refresh.sessions import FrozenDict
from tests.support import SECRET, Clock, new_session

pytestmark = pytest.mark.anyio

CLAIMS = FrozenDict(fill="x" * 2000)


def make(clock: Clock, load: ClaimsLoader | None = None, **settings: Any) -> Mint:
    config = Config(**settings)
    return Mint(make_profile(SECRET, None, config, stateless=False), config, clock, load)


def plain(_session: Session) -> dict[str, Any]:
    return {"in_loop": threading.current_thread() is threading.main_thread()}


async def asynchronous(session: Session) -> dict[str, Any]:
    return plain(session)


class CallableObject:
    def __call__(self, session: Session) -> dict[str, Any]:
        return plain(session)


class AsyncCallableObject:
    async def __call__(self, session: Session) -> dict[str, Any]:
        return plain(session)


@pytest.mark.parametrize("load", [plain, CallableObject(), functools.partial(plain)])
async def test_a_sync_loader_waits_for_its_database_in_a_thread(clock: Clock, load: Any) -> None:
    minted = await make(clock, load).load(new_session(clock))
    assert minted.claims == {"in_loop": False}


@pytest.mark.parametrize(
    "load", [asynchronous, AsyncCallableObject(), functools.partial(asynchronous)]
)
async def test_an_async_loader_costs_no_thread(
    clock: Clock, load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(anyio.to_thread, "run_sync")
    minted = await make(clock, load).load(new_session(clock))
    assert minted.claims == {"in_loop": True}


def named(session: Session) -> dict[str, Any]:
    return {"of": session.id}


async def named_later(session: Session) -> dict[str, Any]:
    return named(session)


@pytest.mark.parametrize("load", [named, named_later])
async def test_a_loader_is_given_the_session(clock: Clock, load: Any) -> None:
    minted = await make(clock, load).load(new_session(clock))
    assert minted.claims == {"of": "s1"}


@pytest.mark.parametrize("device", ["", "a\nb", "a" * 256, 7])
def test_a_label_of_a_device_is_an_identifier(clock: Clock, device: Any) -> None:
    with pytest.raises(ValueError, match=r"^a device label is"):
        make(clock).session("alice", None, persistent=True, device=device)


async def test_what_a_loader_raises_is_told_by_its_type(clock: Clock) -> None:
    async def load(_session: Session) -> dict[str, Any]:
        raise KeyError("alice")

    with pytest.raises(ClaimsUnavailable, match=r"KeyError$"):
        await make(clock, load).load(new_session(clock))


async def test_an_access_token_ends_with_the_session_that_a_rotation_prolongs(
    clock: Clock,
) -> None:
    session = new_session(clock, idle_expires_at=clock() + 5)
    mint = make(clock)
    assert (await mint.load(session)).token.expires_at == clock() + 5
    assert (await mint.load(session, ends_at=clock() + 9)).token.expires_at == clock() + 9


def full(mint: Mint, session: Session, *, over: int = 0) -> Cookie:
    """A name with which the access cookie of *session* has 4096 bytes and *over*."""
    size = len(mint.access(session, CLAIMS).raw)
    return Cookie("n" * (4096 + over - size), secure=False)


def test_an_access_token_may_fill_its_cookie(clock: Clock) -> None:
    session = new_session(clock, current=7)
    cookie = full(make(clock), session)
    minted = make(clock, access_cookie=cookie).access(session, CLAIMS)
    assert len(cookie.key) + len(minted.raw) == 4096


def test_a_refresh_token_may_fill_its_cookie(clock: Clock) -> None:
    session = new_session(clock)
    cookie = Cookie("n" * (4096 - len(make(clock).refresh(session, 1))), secure=False)
    raw = make(clock, refresh_cookie=cookie).refresh(session, 1)
    assert len(cookie.key) + len(raw) == 4096


def test_a_cookie_that_is_too_large_is_told_by_its_size(clock: Clock) -> None:
    session = new_session(clock)
    mint = make(clock, access_cookie=full(make(clock), session, over=1))
    with pytest.raises(ValueError, match=r"a cookie of 4097 bytes and browsers keep 4096$"):
        mint.access(session, CLAIMS)


def test_the_room_that_a_login_leaves_for_later_generations_is_told_too(clock: Clock) -> None:
    session = new_session(clock, session_id="0" * 32)
    mint = make(clock, access_cookie=full(make(clock), session))
    with pytest.raises(ValueError, match=r"keep 4096, 16 of them in reserve$"):
        mint.session("alice", CLAIMS, persistent=True, device=None)


def test_an_access_token_is_old_after_two_seconds_of_a_slow_handler(clock: Clock) -> None:
    mint = make(clock)
    minted = mint.access(new_session(clock), FrozenDict())
    clock.advance(1.999)
    assert not mint.is_old(minted)
    clock.advance(0.001)
    assert mint.is_old(minted)
