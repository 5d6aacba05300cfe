"""
What a cut between the application and its store may do, on real servers.

A cut comes after every single exchange of an operation in turn, so every place is tried at which
the server has done something and the caller does not get to know.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from asgi_refresh.errors import StoreUnavailable
from asgi_refresh.sessions import Revocation, Session, affinity
from asgi_refresh.store import BoundedStore
from tests.blackbox.helpers import ACCESS, HOUR, REFRESH, together
from tests.soak.ledger import generation_of
from tests.soak.lines import NOISE, TRIES, Line, deletes, generation, go_on
from tests.soak.proxy import Proxy
from tests.support import Clock, new_session

pytestmark = [pytest.mark.anyio, *NOISE]

TIMEOUT = 3.0  # what is cut fails at once


async def insist(call: Callable[[], Awaitable[Any]]) -> Any:
    """Call until the store is there again: every dead connection may cost one try."""
    for _ in range(TRIES - 1):
        try:
            return await call()
        except StoreUnavailable:
            continue
    return await call()


async def cuts(proxy: Proxy) -> AsyncIterator[int]:
    """Cut after 0, 1, 2 … exchanges, until what is done between two of these needs no more."""
    for after in itertools.count():
        assert after < 40, "this never ends"
        proxy.cut(after)
        yield after
        if not proxy.has_cut:
            proxy.pass_on()
            return


# --- the operations -------------------------------------------------------------------------------


def operations(clock: Clock) -> Iterator[tuple[str, Callable[[Any, Session], Awaitable[Any]]]]:
    def entry(session: Session) -> Revocation:
        return Revocation(session.id, clock(), clock() + 600)

    def newer(session: Session) -> Session:
        return replace(session, current=2, previous=1, version=session.version + 1)

    yield "get", lambda store, session: store.get(session.id)
    yield "find", lambda store, session: store.find(session.subject)
    yield "revocations", lambda store, _: store.revocations(None)
    yield "purge", lambda store, _: store.purge(clock() - HOUR)
    yield "add", lambda store, session: store.add(twin(session))
    yield "replace", lambda store, session: store.replace(session, newer(session))
    yield (
        "replace and log",
        lambda store, session: store.replace(session, newer(session), entry(session)),
    )
    yield "revoke", lambda store, session: store.revoke(session.id, entry(session))
    yield (
        "revoke_subject",
        lambda store, session: store.revoke_subject(session.subject, entry(session)),
    )


def twin(session: Session) -> Session:
    return replace(session, id=session.id[:-1] + "t")


async def test_a_cut_at_any_place_is_an_outage_and_leaves_the_old_state_or_the_new(
    line: Line, clock: Clock
) -> None:
    bounded = BoundedStore(line.store, timeout=TIMEOUT, emit=lambda _event: None)

    for name, call in operations(clock):
        states: list[Any] = []
        async for after in cuts(line.proxy):
            subject = f"{name} {after}"
            session = new_session(clock, affinity(subject) + secrets.token_hex(8) + "s", subject)
            line.proxy.pass_on()
            await line.direct.add(session)
            await insist(lambda session=session: bounded.get(session.id))
            before = await state(line.direct, session)
            line.proxy.cut(after)

            failed = False
            try:
                await call(bounded, session)
            except StoreUnavailable:
                failed = True

            assert failed == line.proxy.has_cut, subject
            states.append((failed, await state(line.direct, session) != before))

        assert states[-1][0] is False, name
        writes = name not in ("get", "find", "revocations", "purge")
        changes = {changed for _, changed in states}
        assert (True, True) in states or not writes, f"{name}: done, and nobody was told"
        assert changes <= {False, writes}, name
        assert states[-1] == (False, writes), name


async def state(store: Any, session: Session) -> Any:
    return await store.get(session.id), await store.get(twin(session).id)


# --- refreshing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("later", [0.0, HOUR], ids=["at once", "an hour later"])
async def test_a_refresh_that_is_cut_anywhere_is_repeated_with_the_same_successor(
    line: Line, clock: Clock, later: float
) -> None:
    site, near = line.sites(clock, timeout=TIMEOUT)
    await site.sign_in()
    committed = 0

    async for after in cuts(line.proxy):
        line.proxy.pass_on()
        for _ in range(2):  # a late recovery in each of two generations running would fork
            clock.advance(HOUR)
            held = generation(await go_on(site))
        clock.advance(HOUR)
        line.proxy.cut(after)

        response = await site.browser.get("/")

        told = response.json()
        assert told["subject"] == "alice" or told["reason"] == "store_unavailable"
        assert not deletes(response)
        if line.proxy.has_cut:
            assert response.set_cookies == []
            (session,) = await near.issuer.sessions("alice")
            assert session.current in (held, held + 1)
            committed += session.current == held + 1
            line.proxy.pass_on()
            clock.advance(later)
            assert generation(await go_on(site)) == held + 1
            line.proxy.down()  # where `cuts` finds it
        else:
            assert generation(response) == held + 1

    assert committed > 0
    assert site.named("reused") == []
    assert len(await near.issuer.sessions("alice")) == 1


async def test_a_sign_in_that_is_cut_anywhere_is_answered_503_and_may_be_repeated(
    line: Line, clock: Clock
) -> None:
    site, near = line.sites(clock, timeout=TIMEOUT)
    statuses: list[int] = []

    async for after in cuts(line.proxy):
        line.proxy.pass_on()
        await insist(lambda: site.issuer.sessions("alice"))
        line.proxy.cut(after)
        response = await site.browser.post("/login", cookies={})
        statuses.append(response.status)
        assert set(response.cookies) == ({ACCESS, REFRESH} if response.status == 200 else set())

    # Once the session is kept the login stands, whatever becomes of the housekeeping after it.
    assert statuses == sorted(statuses, reverse=True)
    assert set(statuses) == {503, 200}
    assert len(await near.issuer.sessions("alice")) >= 2  # one of which nobody was told


async def test_every_refresh_in_a_burst_survives_connections_that_are_reset(
    line: Line, clock: Clock
) -> None:
    site, _ = line.sites(clock, timeout=TIMEOUT)
    await site.sign_in()

    for rotated in range(2, 7):
        clock.advance(HOUR)
        sending = [lambda: site.browser.send("/")] * 20
        burst = asyncio.ensure_future(together(sending))
        await asyncio.sleep(0.002 * rotated)
        line.proxy.reset()
        responses = await burst
        handed = {r.cookies[REFRESH] for r in responses if REFRESH in r.cookies}
        assert {r.json()["reason"] for r in responses} <= {None, "store_unavailable"}
        assert not any(deletes(response) for response in responses)
        assert generation(await go_on(site)) == rotated
        assert {generation_of(token) for token in handed} <= {rotated}

    assert site.named("reused") == []


# --- signing out ----------------------------------------------------------------------------------


async def test_a_sign_out_that_is_cut_anywhere_is_no_more_undone_and_may_be_repeated(
    line: Line, clock: Clock
) -> None:
    site, near = line.sites(clock, timeout=TIMEOUT)
    outcomes: list[tuple[int, bool]] = []

    async for after in cuts(line.proxy):
        line.proxy.pass_on()
        clock.advance(60)  # the revocations are due to be polled again
        await insist(lambda: site.issuer.sessions("alice"))
        session_id = await near.sign_in()
        old = site.browser.values()
        line.proxy.cut(after)

        response = await site.browser.post("/logout")

        is_gone = await line.direct.get(session_id) is None
        outcomes.append((response.status, is_gone))
        assert deletes(response)
        assert site.browser.values() == {}
        if is_gone:
            refused = await near.browser.send("/", cookies={REFRESH: old[REFRESH]})
            assert refused.json()["subject"] is None
        again = await near.browser.send("/logout", "POST", cookies=old)
        assert again.status == 200
        assert await line.direct.get(session_id) is None
        refused = await near.browser.send("/", cookies={REFRESH: old[REFRESH]})
        assert refused.json()["subject"] is None

    assert outcomes[-1] == (200, True)
    assert set(outcomes[:-1]) <= {(503, False), (503, True), (200, True)}
    assert (503, True) in outcomes


# --- afterwards -----------------------------------------------------------------------------------


async def test_connections_that_are_cut_over_and_over_leave_the_pool_whole(line: Line) -> None:
    bounded = BoundedStore(line.store, timeout=TIMEOUT, emit=lambda _event: None)
    for after in list(range(8)) * 6:
        assert await insist(lambda: bounded.get("nobody")) is None
        line.proxy.cut(after)
        with contextlib.suppress(StoreUnavailable):
            await bounded.get("nobody")
        line.proxy.pass_on()

    results = [await insist(lambda: bounded.get("nobody")) for _ in range(20)]
    assert results == [None] * 20
