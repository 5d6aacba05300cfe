"""Live revocation over every store: what one worker ends, another refuses in time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import anyio
import pytest

from asgi_refresh import Config, Issuer, RefreshMiddleware, Tokens
from asgi_refresh.errors import (
    ExpiredTokenError,
    ReusedTokenError,
    RevokedTokenError,
    StoreUnavailable,
)
from tests.stores.support import Place
from tests.support import Browser, Clock, Spy, make_issuer, whoami

pytestmark = pytest.mark.anyio

PATIENT = timedelta(seconds=10)  # a machine that is busy is no outage
WINDOW = 60.0 + 2 * 5.0
ACCESS = 600.0


def worker(place: Place, clock: Clock, **settings: Any) -> tuple[Issuer, Spy]:
    """A worker of the application, and its store with a counter."""
    spy = Spy(place.open())
    config = Config(**({"store_timeout": PATIENT} | settings))
    return make_issuer(clock, store=spy, config=config), spy


async def accepted(issuer: Issuer, token: str) -> bool:
    try:
        await issuer.authenticate(token)
    except RevokedTokenError:
        return False
    return True


# --- what ends a session --------------------------------------------------------------------------


async def sign_in(issuer: Issuer, clock: Clock) -> str:
    return (await issuer.issue("alice")).access_token


async def revoke(issuer: Issuer, token: str) -> None:
    assert await issuer.revoke(issuer.verify(token)["sid"]) is True


async def revoke_subject(issuer: Issuer, token: str) -> None:
    assert await issuer.revoke_subject("alice") == 1


async def raise_a_barrier(issuer: Issuer, token: str) -> None:
    await issuer.barrier(issuer.verify(token)["sid"])


async def log_out(issuer: Issuer, token: str, path: str = "/logout") -> None:
    browser = Browser(RefreshMiddleware(whoami, issuer=issuer), issuer.clock)  # type: ignore[arg-type]
    browser.put("__Host-access", token)
    response = await browser.get(path)
    assert response.status == 200
    assert "__Host-access" not in browser.values()


async def log_out_everywhere(issuer: Issuer, token: str) -> None:
    await log_out(issuer, token, "/logout/everywhere")


ENDINGS: dict[str, Callable[[Issuer, str], Awaitable[None]]] = {
    "revoke": revoke,
    "revoke_subject": revoke_subject,
    "barrier": raise_a_barrier,
    "logout": log_out,
    "logout everywhere": log_out_everywhere,
}


@pytest.mark.parametrize("how", ENDINGS)
async def test_what_one_worker_ends_another_refuses_after_the_poll_interval(
    place: Place, clock: Clock, how: str
) -> None:
    (here, _), (there, spy) = worker(place, clock), worker(place, clock)
    token = await sign_in(here, clock)
    other = (await here.issue("bob")).access_token
    assert await accepted(there, token)
    await ENDINGS[how](here, token)
    clock.advance(0.999)
    assert await accepted(there, token)
    assert spy.calls == ["revocations"]
    clock.advance(0.001)

    assert not await accepted(there, token)
    assert not await accepted(here, token)
    assert await accepted(there, other)
    assert spy.calls == ["revocations"] * 2


async def test_reuse_that_one_worker_detects_ends_the_session_at_the_other(
    place: Place, clock: Clock
) -> None:
    (here, _), (there, _) = worker(place, clock), worker(place, clock)
    tokens = first = await here.issue("alice")
    for issuer in (there, here, there):
        clock.advance(WINDOW + 1)
        tokens = await issuer.refresh(tokens.refresh_token)
    assert await accepted(there, tokens.access_token)
    with pytest.raises(ReusedTokenError):
        await here.refresh(first.refresh_token)
    clock.advance(1)

    assert not await accepted(there, tokens.access_token)
    with pytest.raises(RevokedTokenError):
        await there.refresh(tokens.refresh_token)


@pytest.mark.parametrize("by_name", [True, False])
async def test_an_access_token_that_one_worker_retires_another_refuses(
    place: Place, clock: Clock, by_name: bool
) -> None:
    (here, _), (there, _) = worker(place, clock), worker(place, clock)
    old = await here.issue("alice")
    assert await accepted(there, old.access_token)
    new = await here.refresh(old.refresh_token, revoke_access=old.access_token if by_name else True)
    clock.advance(1)

    assert not await accepted(there, old.access_token)
    assert await accepted(there, new.access_token)


async def test_requests_in_between_cost_no_trip_and_no_task(place: Place, clock: Clock) -> None:
    (here, _), (there, spy) = worker(place, clock), worker(place, clock)
    token = await sign_in(here, clock)
    await there.authenticate(token)
    tasks = {task.id for task in anyio.get_running_tasks()}
    for _ in range(50):
        await there.authenticate(token)
        clock.advance(0.0199)

    assert spy.calls == ["revocations"]
    assert {task.id for task in anyio.get_running_tasks()} == tasks


async def test_a_request_that_polls_leaves_no_task_behind(place: Place, clock: Clock) -> None:
    there, spy = worker(place, clock)
    token = await sign_in(there, clock)
    await there.authenticate(token)
    tasks = {task.id for task in anyio.get_running_tasks()}
    for _ in range(3):
        clock.advance(1)
        await there.authenticate(token)

    assert spy.count("revocations") == 4
    assert {task.id for task in anyio.get_running_tasks()} == tasks


# --- always, and refresh --------------------------------------------------------------------------


async def test_always_bites_at_once(place: Place, clock: Clock) -> None:
    (here, _), (always, spy) = worker(place, clock), worker(place, clock, revocation="always")
    token = await sign_in(here, clock)
    assert await accepted(always, token)
    await revoke(here, token)

    assert not await accepted(always, token)
    assert spy.calls == ["revocations"] * 2


async def test_always_fails_closed_in_an_outage_and_recovers(place: Place, clock: Clock) -> None:
    always, spy = worker(place, clock, revocation="always")
    token = await sign_in(always, clock)
    assert await accepted(always, token)
    spy.broken = {"*"}
    with pytest.raises(StoreUnavailable):
        await always.authenticate(token)
    spy.broken = set()

    assert await accepted(always, token)


async def test_live_goes_on_in_an_outage_and_catches_up_after_it(
    place: Place, clock: Clock
) -> None:
    (here, _), (there, spy) = worker(place, clock), worker(place, clock)
    good, bad = await sign_in(here, clock), await sign_in(here, clock)
    assert await accepted(there, bad)
    spy.broken = {"*"}
    clock.advance(1)
    await revoke(here, bad)
    assert await accepted(there, bad)
    spy.broken = set()
    clock.advance(1)

    assert not await accepted(there, bad)
    assert await accepted(there, good)


async def test_with_refresh_it_bites_when_the_access_token_ends(place: Place, clock: Clock) -> None:
    here, _ = worker(place, clock)
    there, spy = worker(place, clock, revocation="refresh")
    tokens = await here.issue("alice")
    await revoke(here, tokens.access_token)
    clock.advance(ACCESS - 1)
    assert await accepted(there, tokens.access_token)
    assert spy.calls == []
    clock.advance(1)

    with pytest.raises(ExpiredTokenError):
        await there.authenticate(tokens.access_token)
    with pytest.raises(RevokedTokenError):
        await there.refresh(tokens.refresh_token)


# --- what is kept ---------------------------------------------------------------------------------


async def test_entries_leave_when_the_last_token_they_concern_is_out(
    place: Place, clock: Clock
) -> None:
    (here, _), (there, _) = worker(place, clock), worker(place, clock)
    assert there.denylist is not None
    for _ in range(10):
        await revoke(here, await sign_in(here, clock))
    await there.denylist.update()
    assert len(there.denylist.by_session) == 10
    clock.advance(ACCESS)
    await there.denylist.update()
    assert len(there.denylist.by_session) == 10  # a peer's clock may be behind
    clock.advance(2 * 5.0 + 30.0)
    await there.denylist.update()

    assert there.denylist.by_session == {}


async def test_what_is_kept_of_one_session_is_bounded(place: Place, clock: Clock) -> None:
    (here, _), (there, _) = worker(place, clock), worker(place, clock)
    assert there.denylist is not None
    tokens: Tokens = await here.issue("alice")
    retired: list[str] = []
    for _ in range(40):
        retired.append(tokens.access_token)
        tokens = await here.refresh(tokens.refresh_token, revoke_access=tokens.access_token)
    clock.advance(1)
    await there.denylist.update()

    assert len(there.denylist.by_session[tokens.session_id]) <= 33
    assert [await accepted(there, token) for token in retired[:20]] == [False] * 20
    assert await accepted(there, tokens.access_token)
