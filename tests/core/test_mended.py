"""What a reviewer broke: races of logins, logs that are long, processes that only revoke."""

from __future__ import annotations

import anyio
import pytest

from asgi_refresh import Config, Event, Issuer, MemoryStore, RefreshMiddleware, Revocation
from asgi_refresh.denylist import Denylist
from asgi_refresh.errors import RevokedTokenError
from asgi_refresh.store import BATCH
from tests.support import Browser, Clock, Spy, make_issuer, whoami

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("limit", [1, 2])
async def test_logins_that_meet_leave_as_many_sessions_as_they_may(
    clock: Clock, limit: int
) -> None:
    store = MemoryStore()
    config = Config(max_sessions=limit)
    hosts = [make_issuer(clock, store=Spy(store), config=config) for _ in range(4)]

    async with anyio.create_task_group() as group:
        for host in hosts:
            group.start_soon(host.issue, "alice")

    assert limit <= len(await store.find("alice")) <= len(hosts)
    await hosts[0].issue("alice")
    assert len(await store.find("alice")) in (limit, limit + 1)


async def test_two_logins_that_meet_never_end_one_another(clock: Clock) -> None:
    spy = Spy()
    config = Config(max_sessions=1)
    here, there = (make_issuer(clock, store=spy, config=config) for _ in range(2))
    spy.gates["find"] = anyio.Event()

    async with anyio.create_task_group() as group:
        group.start_soon(here.issue, "alice")
        group.start_soon(there.issue, "alice")
        await anyio.wait_all_tasks_blocked()
        spy.gates["find"].set()

    assert len(await spy.store.find("alice")) == 1


class LongLog(MemoryStore):
    """Tells a long log in pages, each of which takes *seconds* of the clock."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__()
        self.clock, self.seconds, self.slow = clock, seconds, True

    async def revocations(self, cursor: str | None) -> tuple[list[Revocation], str]:
        entries, _ = await super().revocations(cursor)
        page = entries[:BATCH]
        self.clock.advance(self.seconds)
        if self.slow:
            await anyio.sleep(0.02)
        return page, str(int(cursor or 0) + len(page))


async def test_a_long_log_is_no_outage_and_is_read_on_at_once(clock: Clock) -> None:
    store = LongLog(clock, 0.0)
    for number in range(4 * BATCH):
        await store.revoke(f"{number}", Revocation(f"{number}", clock(), clock() + 600))
    denylist = Denylist(store, clock, max_age=1.0, patience=0.05)

    for _ in range(10):
        await denylist.update()

    assert len(denylist.by_session) == 4 * BATCH
    assert denylist.good_until <= clock() + 1


async def test_many_who_wait_for_a_store_that_hangs_put_it_off_once(clock: Clock) -> None:
    spy = Spy()
    denylist = Denylist(spy, clock, max_age=1.0, patience=0.05)
    spy.hanging.add("revocations")

    async with anyio.create_task_group() as group:
        for _ in range(30):
            group.start_soon(denylist.update)

    assert denylist.good_until == clock() + 1


async def test_what_is_over_is_not_taken_in(clock: Clock) -> None:
    store = MemoryStore()
    await store.revoke("over", Revocation("over", clock(), clock()))
    await store.revoke("on", Revocation("on", clock(), clock() + 1))
    denylist = Denylist(store, clock, max_age=1.0)

    await denylist.update()

    assert set(denylist.by_session) == {"on"}


async def test_a_process_that_only_revokes_forgets_what_is_over(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    assert issuer.denylist is not None
    for _ in range(50):
        tokens = await issuer.issue("alice")
        await issuer.revoke(tokens.session_id)
        clock.advance(60)

    assert len(issuer.denylist.by_session) <= 12


async def test_barriers_over_and_over_leave_one_entry(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    assert issuer.denylist is not None
    tokens = await issuer.issue("alice")
    for _ in range(50):
        await issuer.barrier(tokens.session_id)

    assert len(issuer.denylist.by_session[tokens.session_id]) == 1
    assert len(issuer.denylist._noted) == 1


@pytest.mark.parametrize("revocation", ["refresh", "live", "always"])
async def test_signing_out_over_and_over_is_logged_once(clock: Clock, revocation: str) -> None:
    store = MemoryStore()
    issuer = make_issuer(clock, store=store, config=Config(revocation=revocation))
    browser = Browser(RefreshMiddleware(whoami, issuer), clock)
    await browser.post("/login")
    cookies = browser.values()

    for _ in range(5):
        await browser.send("/logout", "POST", cookies=cookies)

    assert len((await store.revocations(None))[0]) == 1


async def test_explicit_refreshes_alone_keep_the_log_short(
    clock: Clock, events: list[Event]
) -> None:
    store = MemoryStore()
    issuer = make_issuer(clock, store=store, on_event=events.append)
    tokens = await issuer.issue("alice")
    for _ in range(200):
        clock.advance(600)
        tokens = await issuer.refresh(tokens.refresh_token, revoke_access=True)

    assert len((await store.revocations(None))[0]) < 20


@pytest.mark.parametrize("wrong", ["", "\x00", "a\ud800", "x" * 256])
async def test_an_id_or_subject_that_nobody_has_costs_no_store_call(
    clock: Clock, wrong: str
) -> None:
    spy = Spy()
    issuer = make_issuer(clock, store=spy)

    assert await issuer.revoke(wrong) is False
    assert await issuer.revoke(wrong, subject="alice") is False
    assert await issuer.revoke_subject(wrong) == 0
    assert await issuer.sessions(wrong) == []
    with pytest.raises(RevokedTokenError):
        await issuer.barrier(wrong)
    assert spy.calls == []


async def test_claims_have_a_limit_although_they_are_not_in_the_token(clock: Clock) -> None:
    issuer: Issuer = make_issuer(clock, store=MemoryStore(), load_claims=lambda _session: {})
    tokens = await issuer.issue("alice", {"x": "y" * 4000})

    with pytest.raises(ValueError, match="4096"):
        await issuer.issue("alice", {"x": "y" * 4096})
    with pytest.raises(ValueError, match="4096"):
        await issuer.barrier(tokens.session_id, {"x": "y" * 4096})
