"""Requests at once, in any order, on several hosts, lost, cancelled: nobody is signed out."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given as property_of
from hypothesis import settings
from hypothesis import strategies as st

from asgi_refresh import Auth, Config, MemoryStore, RefreshMiddleware, Session, SQLiteStore
from tests.blackbox.helpers import (
    ACCESS,
    DAY,
    HOUR,
    MINUTE,
    NAVIGATION,
    REFRESH,
    WINDOW,
    XHR,
    Gate,
    Gates,
    Site,
    Started,
    deleted,
    given,
    held,
    lasting,
    make_site,
    on_paths,
    together,
)
from tests.support import Browser, Clock, Response, Spy, answer, make_issuer, whoami

pytestmark = pytest.mark.anyio

LIMITS = lasting()  # a loaded machine is no outage


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gates]:
    kept: Any = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "s.db")
    yield Gates(kept)
    if request.param == "sqlite":
        kept.close()


class Crowd:
    """An application that answers nobody before *size* requests are in."""

    def __init__(self, size: int) -> None:
        self._missing, self._all = size, anyio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._missing -= 1
        if not self._missing:
            self._all.set()
        await self._all.wait()
        await whoami(scope, receive, send)


def sending(browser: Browser, **request: Any) -> Callable[[], Awaitable[Response]]:
    return lambda: browser.send(**request)


def refresh_tokens(responses: list[Response]) -> set[str]:
    return {response.cookies[REFRESH] for response in responses}


async def generation(site: Site) -> int:
    (session,) = await site.issuer.sessions("alice")
    return session.current


# --- at once --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 50, 500])
@pytest.mark.parametrize("crowded", [True, False], ids=["together", "overlapping"])
async def test_parallel_requests_with_the_same_cookies_get_one_successor_for_one_write(
    clock: Clock, store: Gates, size: int, crowded: bool
) -> None:
    app = Crowd(size) if crowded else whoami
    site = make_site(clock, app, store=store, config=LIMITS)
    await site.sign_in("alice")
    clock.advance(HOUR)

    responses = await together([sending(site.browser)] * size)

    assert {response.status for response in responses} == {200}
    assert {response.json()["subject"] for response in responses} == {"alice"}
    assert all(given(response) == {ACCESS, REFRESH} for response in responses)
    assert len(refresh_tokens(responses)) == 1
    assert store.count("replace") <= 2  # SQLite reads beside its writes: one may try in vain
    (session,) = await site.issuer.sessions("alice")
    assert (session.current, session.version) == (2, 2)
    assert len(site.named("refreshed")) == 1
    assert len(site.named("repeated")) == size - 1


async def test_parallel_requests_share_their_reads(clock: Clock, store: Gates) -> None:
    site = make_site(clock, Crowd(50), store=store, config=LIMITS)
    await site.sign_in("alice")
    clock.advance(HOUR)

    await together([sending(site.browser)] * 50)

    assert store.count("get") <= 6


async def test_parallel_requests_of_many_sessions_do_not_mix(clock: Clock, store: Gates) -> None:
    site = make_site(clock, Crowd(40), store=store, config=LIMITS)
    browsers = [site.browser.fork() for _ in range(20)]
    for number, browser in enumerate(browsers):
        await site.sign_in(f"user-{number}", browser=browser)
    clock.advance(HOUR)

    responses = await together([sending(browser) for browser in browsers * 2])

    subjects = [response.json()["subject"] for response in responses]
    assert subjects == [f"user-{number}" for number in range(20)] * 2
    assert len(refresh_tokens(responses)) == 20
    assert store.count("replace") == 20


async def test_parallel_stateless_requests_all_succeed(clock: Clock) -> None:
    site = make_site(clock, Crowd(50), stored=False)
    await site.sign_in("alice")
    clock.advance(10 * DAY)

    responses = await together([sending(site.browser)] * 50)

    assert {response.json()["subject"] for response in responses} == {"alice"}
    assert len(refresh_tokens(responses)) == 1


async def test_a_lost_compare_and_set_reads_again_and_hands_out_the_same(
    clock: Clock, store: Gates
) -> None:
    """Two processes: nothing but the store is between them."""
    one = make_site(clock, Crowd(1), store=store, config=LIMITS)
    other = make_site(clock, store=Gates(store.store), config=LIMITS)
    await one.sign_in("alice")
    other.browser.jar = one.browser.jar
    clock.advance(HOUR)
    gate = store.before["replace"] = Gate()

    async with Started(lambda: one.browser.send("/")) as request:
        await gate.arrival()
        faster = await other.browser.send("/")
        gate.open()
        slower = await request.answer()

    assert len(refresh_tokens([faster, slower])) == 1
    assert await generation(one) == 2


# --- delivery -------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [*itertools.permutations(range(4))], ids=str)
async def test_four_responses_in_any_order_leave_a_jar_that_works(
    clock: Clock, order: tuple[int, ...]
) -> None:
    """Two at once, a third when the grace is nearly over, and a fourth after it (LATE)."""
    site = make_site(clock)
    await site.sign_in("alice")
    clock.advance(HOUR)
    pending = await together([sending(site.browser)] * 2)
    clock.advance(WINDOW - 1)
    pending.append(await site.browser.send("/"))
    clock.advance(2)
    pending.append(await site.browser.send("/"))

    for at in order:
        site.browser.deliver(pending[at])

    for _ in range(3):
        assert (await site.browser.navigate("/")).json()["subject"] == "alice"
        clock.advance(HOUR)
    assert site.named("reused") == []


@pytest.mark.parametrize("order", [*itertools.permutations(range(4))], ids=str)
async def test_responses_of_two_generations_in_any_order_leave_a_jar_that_works(
    clock: Clock, order: tuple[int, ...]
) -> None:
    site = make_site(clock)
    await site.sign_in("alice")
    clock.advance(HOUR)
    pending = await together([sending(site.browser)] * 2)
    newer = site.browser.fork()
    newer.deliver(pending[0])
    newer.drop(ACCESS)
    clock.advance(WINDOW + 1)
    pending += await together([sending(newer)] * 2)

    for at in order:
        site.browser.deliver(pending[at])

    for _ in range(3):
        assert (await site.browser.navigate("/")).json()["subject"] == "alice"
        clock.advance(HOUR)
    assert site.named("reused") == []


ROUND = st.lists(
    st.one_of(
        st.just("send"),
        st.tuples(st.just("deliver"), st.integers(0, 20)),
        st.tuples(st.just("lose"), st.integers(0, 20)),
        st.tuples(st.just("pass"), st.sampled_from([0.5, 3, 10])),
    ),
    min_size=1,
    max_size=12,
)
PAUSES = st.sampled_from([1.0, WINDOW - 1, WINDOW + 1, 10 * MINUTE, HOUR, 13 * DAY])


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=40)
@property_of(rounds=st.lists(st.tuples(ROUND, PAUSES), min_size=1, max_size=8))
def test_any_order_of_requests_and_responses_keeps_an_honest_browser_signed_in(
    backend: str, rounds: list[tuple[list[Any], float]]
) -> None:
    """Responses overtake each other and get lost; of each burst the last one arrives."""

    async def main() -> None:
        clock = Clock()
        site = make_site(clock, config=Config(session_lifetime=timedelta(days=390)))
        await site.sign_in("alice")
        for steps, pause in rounds:
            pending: list[Response] = []
            for step in [*steps, "send"]:
                if step == "send":
                    site.browser.drop(ACCESS)
                    response = await site.browser.send("/", headers=NAVIGATION)
                    assert response.json()["subject"] == "alice"
                    pending.append(response)
                elif step[0] == "pass":
                    clock.advance(step[1])
                elif pending:
                    response = pending.pop(step[1] % len(pending))
                    if step[0] == "deliver":
                        site.browser.deliver(response)
            while pending:
                site.browser.deliver(pending.pop())
            clock.advance(pause)
        assert site.named("reused") == []

    anyio.run(main, backend=backend)


# --- a response that never arrives ----------------------------------------------------------------


@pytest.mark.parametrize("after", [1.0, WINDOW - 1, WINDOW, WINDOW + 1, HOUR, DAY, 13.9 * DAY])
async def test_a_lost_response_signs_nobody_out(clock: Clock, after: float) -> None:
    site = make_site(clock)
    await site.sign_in("alice")
    clock.advance(HOUR)
    await site.browser.send("/")  # and never delivered

    clock.advance(after)
    retried = await site.browser.navigate("/")
    clock.advance(HOUR)
    later = await site.browser.navigate("/")

    assert (retried.json()["subject"], later.json()["subject"]) == ("alice", "alice")
    assert given(retried) == {ACCESS, REFRESH}
    assert site.named("reused") == []


@pytest.mark.parametrize("losses", [2, 3, 5])
@pytest.mark.parametrize("after", [1.0, WINDOW + 1, DAY])
async def test_a_response_lost_again_and_again_signs_nobody_out(
    clock: Clock, losses: int, after: float
) -> None:
    site = make_site(clock)
    await site.sign_in("alice")
    for _ in range(3):  # in generations running
        clock.advance(HOUR)
        for _ in range(losses):
            assert (await site.browser.send("/")).json()["subject"] == "alice"
            clock.advance(after)
        assert (await site.browser.navigate("/")).json()["subject"] == "alice"

    assert site.named("reused") == []


@pytest.mark.parametrize(
    ("after", "name", "reason"),
    [(1.0, "repeated", "grace"), (WINDOW, "recovered", "late"), (DAY, "recovered", "late")],
)
async def test_the_recovery_of_a_lost_response_is_told(
    clock: Clock, after: float, name: str, reason: str
) -> None:
    site = make_site(clock)
    await site.sign_in("alice")
    clock.advance(HOUR)
    lost = await site.browser.send("/")
    clock.advance(after)
    site.events.clear()

    retried = await site.browser.get("/")

    assert [(event.name, event.reason) for event in site.events] == [(name, reason)]
    assert len(refresh_tokens([lost, retried])) == 1


async def test_a_store_that_lost_writes_signs_nobody_out(clock: Clock) -> None:
    site = make_site(clock)
    session_id = await site.sign_in("alice")
    backup = await site.store.store.get(session_id)
    for _ in range(3):
        clock.advance(HOUR)
        await site.browser.get("/")
    site.store.store._sessions[session_id] = backup
    clock.advance(HOUR)

    restored = await site.browser.navigate("/")

    assert restored.json()["subject"] == "alice"
    assert [event.reason for event in site.named("recovered")] == ["ahead"]


# --- an old token comes back ----------------------------------------------------------------------


async def stolen(site: Site) -> Browser:
    """The browser of somebody who copied the cookies two generations ago."""
    await site.sign_in("alice")
    thief = site.browser.fork()
    for _ in range(2):
        site.clock.advance(HOUR)
        await site.browser.get("/")
    site.events.clear()
    return thief


@pytest.mark.parametrize("at_once", [True, False], ids=["in grace", "after grace"])
async def test_an_old_token_ends_the_session(clock: Clock, at_once: bool) -> None:
    site = make_site(clock)
    thief = await stolen(site)
    clock.advance(1 if at_once else HOUR)

    response = await thief.get("/")

    assert response.json()["reason"] == "reused_token"
    assert response.json()["subject"] is None
    assert await site.issuer.sessions("alice") == []


async def test_an_old_token_raises_one_event_that_says_by_how_much(clock: Clock) -> None:
    site = make_site(clock)
    thief = await stolen(site)

    await thief.get("/")

    (event,) = site.named("reused")
    assert (event.subject, event.reason) == ("alice", "theft")
    assert event.detail == "generation 1 of 3"
    assert event.client is not None
    assert event.client.address == "192.0.2.7"
    assert [event.reason for event in site.named("revoked")] == ["reused_token"]


async def test_after_an_old_token_the_newest_one_is_dead_too(clock: Clock) -> None:
    site = make_site(clock)
    thief = await stolen(site)
    await thief.get("/")

    at_once = await site.browser.get("/")
    clock.advance(HOUR)
    later = await site.browser.navigate("/")

    assert at_once.json()["subject"] is None  # its access token, too
    assert later.json()["reason"] == "session_ended"
    assert deleted(later) == {REFRESH}  # the browser has dropped the other one itself


async def test_an_old_token_clears_the_cookies_of_a_navigation(clock: Clock) -> None:
    site = make_site(clock)
    thief = await stolen(site)

    response = await thief.navigate("/")

    assert deleted(response) == {ACCESS, REFRESH} & set(response.cookies) == set(response.cookies)
    assert REFRESH in deleted(response)


async def test_an_old_token_clears_no_cookies_of_a_background_request(clock: Clock) -> None:
    site = make_site(clock)
    thief = await stolen(site)

    first = await thief.get("/", headers=XHR)
    second = await thief.get("/", headers=XHR)

    assert (first.set_cookies, second.set_cookies) == ([], [])
    assert second.json()["reason"] == "session_ended"


async def test_an_old_token_ends_no_other_session(clock: Clock) -> None:
    site = make_site(clock)
    await site.issuer.issue("alice")
    thief = await stolen(site)

    await thief.get("/")

    assert len(await site.issuer.sessions("alice")) == 1


async def test_parallel_old_tokens_end_the_session_once(clock: Clock) -> None:
    site = make_site(clock)
    thief = await stolen(site)
    site.store.calls.clear()

    responses = await together([sending(thief)] * 20)

    assert {response.json()["subject"] for response in responses} == {None}
    assert await site.issuer.sessions("alice") == []
    assert not [response for response in responses if response.set_cookies]


async def test_an_old_token_that_the_store_cannot_end_is_refused_all_the_same(
    clock: Clock,
) -> None:
    site = make_site(clock)
    thief = await stolen(site)
    site.store.broken.add("revoke")

    failed = await thief.navigate("/")
    site.store.broken.clear()
    again = await thief.navigate("/")

    assert failed.json()["subject"] is None
    assert failed.set_cookies == []
    assert again.json()["reason"] == "reused_token"
    assert await site.issuer.sessions("alice") == []


@pytest.mark.parametrize("leads", ["victim", "thief"])
async def test_two_holders_of_one_session_cannot_go_on_for_long(clock: Clock, leads: str) -> None:
    site = make_site(clock)
    await site.sign_in("alice")
    thief = site.browser.fork()
    pair = [site.browser, thief] if leads == "victim" else [thief, site.browser]
    answers = []
    for _ in range(3):
        clock.advance(HOUR)
        for browser in pair:
            answers.append((await browser.get("/")).json()["subject"])
            clock.advance(HOUR)

    assert len(site.named("reused")) == 1
    assert answers[-2:] == [None, None]


# --- several hosts --------------------------------------------------------------------------------


@pytest.mark.parametrize("skew", [-5.0, 5.0])
async def test_hosts_whose_clocks_differ_by_the_leeway_never_misjudge(
    store: Gates, skew: float
) -> None:
    here, there = Clock(), Clock()
    there.advance(skew)
    one = make_site(here, store=store, config=LIMITS)
    other = make_site(there, store=Gates(store.store), config=LIMITS)
    await one.sign_in("alice")
    other.browser.jar = one.browser.jar

    def advance(seconds: float) -> None:
        here.advance(seconds)
        there.advance(seconds)

    for gap in (1.0, 60.0, WINDOW - 1, WINDOW + 1, 10 * MINUTE, HOUR, 10 * MINUTE - 1) * 2:
        for first, second in ((one, other), (other, one)):
            advance(gap)
            late = await first.browser.send("/")
            repeated = await second.browser.navigate("/")
            first.browser.deliver(late)
            subjects = [r.json()["subject"] for r in (late, repeated)]
            assert subjects == ["alice", "alice"]
            first.browser.drop(ACCESS)

    names = {event.name for event in one.events + other.events}
    assert names <= {"refreshed", "repeated", "recovered"}


async def test_hosts_in_parallel_hand_out_one_successor(clock: Clock, store: Gates) -> None:
    sites = [
        make_site(clock, store=store if not n else Gates(store.store), config=LIMITS)
        for n in range(4)
    ]
    await sites[0].sign_in("alice")
    for site in sites[1:]:
        site.browser.jar = sites[0].browser.jar
    clock.advance(HOUR)

    responses = await together([sending(site.browser) for site in sites * 10])

    assert {response.json()["subject"] for response in responses} == {"alice"}
    assert len(refresh_tokens(responses)) == 1
    assert await generation(sites[0]) == 2


async def test_a_clock_that_is_further_off_than_the_leeway_is_told_of(clock: Clock) -> None:
    store = Gates()
    fast = Clock(clock() + 20)
    one, other = make_site(clock, store=store), make_site(fast, store=store)
    await one.sign_in("alice")
    other.browser.jar = one.browser.jar
    clock.advance(HOUR)
    fast.advance(HOUR)
    await other.browser.send("/")

    response = await one.browser.get("/")

    assert response.json()["subject"] == "alice"
    assert [event.name for event in one.events] == ["clock_skew", "repeated"]


async def test_a_revocation_bites_on_another_host_within_the_poll(
    clock: Clock, store: Gates
) -> None:
    one = make_site(clock, store=store, config=LIMITS)
    other = make_site(clock, store=Gates(store.store), config=LIMITS)
    session_id = await one.sign_in("alice")
    other.browser.jar = one.browser.jar
    await other.browser.get("/")
    await one.issuer.revoke(session_id)

    clock.advance(0.5)
    within = await other.browser.get("/")
    clock.advance(0.5)
    after = await other.browser.get("/")

    assert (within.json()["subject"], after.json()["subject"]) == ("alice", None)
    assert after.json()["reason"] == "session_ended"


# --- a handler that takes its time ----------------------------------------------------------------


@pytest.mark.parametrize("rotations", [0, 1, 2, 3])
async def test_a_handler_ten_times_slower_than_the_grace_signs_nobody_out(
    clock: Clock, rotations: int
) -> None:
    gate = Gate()
    site = make_site(clock, held(gate), config=LIMITS)
    await site.sign_in("alice")
    clock.advance(HOUR)

    async with Started(lambda: site.browser.send("/slow")) as request:
        await gate.arrival()
        for _ in range(rotations):
            clock.advance(10 * MINUTE)
            others = await together([sending(site.browser)] * 20)
            assert {other.json()["subject"] for other in others} == {"alice"}
            site.browser.deliver(others[0])
        clock.advance(10 * MINUTE)
        gate.open()
        slow = await request.answer()
    site.browser.deliver(slow)

    assert slow.json()["subject"] == "alice"
    for _ in range(3):
        assert (await site.browser.navigate("/")).json()["subject"] == "alice"
        clock.advance(HOUR)
    assert site.named("reused") == []


async def test_a_slow_handler_that_was_overtaken_twice_emits_nothing(clock: Clock) -> None:
    gate = Gate()
    site = make_site(clock, held(gate), config=LIMITS)
    await site.sign_in("alice")
    clock.advance(HOUR)

    async with Started(lambda: site.browser.send("/slow")) as request:
        await gate.arrival()
        for _ in range(2):
            await site.browser.get("/")
            clock.advance(10 * MINUTE)
        gate.open()
        slow = await request.answer()

    assert slow.set_cookies == []


async def test_a_slow_handler_that_was_overtaken_once_hands_out_the_successor(
    clock: Clock,
) -> None:
    gate = Gate()
    site = make_site(clock, held(gate), config=LIMITS)
    await site.sign_in("alice")
    clock.advance(HOUR)

    async with Started(lambda: site.browser.send("/slow")) as request:
        await gate.arrival()
        faster = await site.browser.send("/")
        clock.advance(9 * MINUTE)
        gate.open()
        slow = await request.answer()

    assert refresh_tokens([faster, slow]) == {faster.cookies[REFRESH]}


async def test_a_session_that_ends_while_its_handler_runs_gets_no_cookie(clock: Clock) -> None:
    gate = Gate()
    site = make_site(clock, held(gate), config=LIMITS)
    await site.sign_in("alice")
    clock.advance(14 * DAY - 1)

    async with Started(lambda: site.browser.send("/slow")) as request:
        await gate.arrival()
        clock.advance(2)
        gate.open()
        slow = await request.answer()

    assert slow.json()["subject"] == "alice"
    assert slow.set_cookies == []


@pytest.mark.parametrize(("took", "age"), [(1, 599), (2, 600), (4 * MINUTE, 600)])
async def test_after_a_slow_handler_the_access_token_is_minted_again(
    clock: Clock, took: float, age: int
) -> None:
    gate = Gate()
    site = make_site(clock, held(gate), config=LIMITS)
    await site.sign_in("alice")
    clock.advance(HOUR)

    async with Started(lambda: site.browser.send("/slow")) as request:
        await gate.arrival()
        clock.advance(took)
        gate.open()
        slow = await request.answer()

    access = next(line for line in slow.set_cookies if line.startswith(ACCESS))
    assert f"; Max-Age={age}; " in access
    handed = site.issuer.verify(slow.cookies[ACCESS])
    assert handed["exp"] == clock() + age


# --- cancelled ------------------------------------------------------------------------------------


class Tripwire:
    """Cancels *scope* when it is passed for the *at*-th time."""

    def __init__(self, at: int) -> None:
        self.at, self.passed = at, 0
        self.scope = anyio.CancelScope()

    async def step(self) -> None:
        self.passed += 1
        if self.passed == self.at:
            self.scope.cancel()
        await anyio.lowlevel.checkpoint()


class Trapped(Spy):
    """A store with a tripwire before and after each operation."""

    wire: Tripwire | None = None

    def __getattr__(self, name: str) -> Any:
        call = super().__getattr__(name)

        async def trapped(*args: Any) -> Any:
            wire = self.wire
            if wire is None:
                return await call(*args)
            await wire.step()
            result = await call(*args)
            await wire.step()
            return result

        return trapped


def trapped_site(clock: Clock) -> Site:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        wire: Tripwire | None = site.store.wire
        if wire is None or scope["path"] != "/":
            await whoami(scope, receive, send)
            return

        async def sending(message: Any) -> None:
            await wire.step()
            await send(message)
            await wire.step()

        await wire.step()
        await whoami(scope, receive, sending)
        await wire.step()

    site = make_site(clock, app, store=Trapped(), config=LIMITS)
    return site


async def cancelled_at(site: Site, at: int) -> bool:
    """Send a request that is cancelled at its *at*-th step; return whether it had that many."""
    site.store.wire = wire = Tripwire(at)
    with wire.scope:
        await site.browser.send("/")
    site.store.wire = None
    return wire.passed >= at


POINTS = range(1, 17)  # the last ones are beyond the end of a request


@pytest.mark.parametrize("at", POINTS)
@pytest.mark.parametrize("after", [1.0, WINDOW + 1, DAY])
async def test_a_request_cancelled_at_any_point_signs_nobody_out(
    clock: Clock, at: int, after: float
) -> None:
    site = trapped_site(clock)
    await site.sign_in("alice")
    for _ in range(2):
        clock.advance(HOUR)
        await cancelled_at(site, at)
        clock.advance(after)
        for _ in range(2):
            retried = await site.browser.navigate("/")
            assert retried.json()["subject"] == "alice"

    assert site.named("reused") == []


async def test_the_points_of_cancellation_cover_a_whole_request(clock: Clock) -> None:
    site = trapped_site(clock)
    await site.sign_in("alice")
    clock.advance(HOUR)

    assert await cancelled_at(site, 8)
    clock.advance(HOUR)
    assert not await cancelled_at(site, POINTS[-1])


@pytest.mark.parametrize("at", POINTS)
async def test_a_cancelled_request_takes_nobody_else_down(clock: Clock, at: int) -> None:
    """It leads; the others wait behind it, and one of them takes over."""
    site = trapped_site(clock)
    await site.sign_in("alice")
    clock.advance(HOUR)
    results: list[Response] = []
    site.store.wire = wire = Tripwire(at)

    async def leader() -> None:
        with wire.scope:
            await site.browser.send("/")
        site.store.wire = None

    async def follower() -> None:
        results.append(await site.browser.send("/other"))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(leader)
            for _ in range(10):
                group.start_soon(follower)

    assert {result.json()["subject"] for result in results} == {"alice"}
    assert all(given(result) == {ACCESS, REFRESH} for result in results)
    assert len(refresh_tokens(results)) == 1
    assert await generation(site) == 2


@pytest.mark.parametrize("operation", ["get", "replace"])
@pytest.mark.parametrize("side", ["before", "after"])
async def test_when_the_leader_is_cancelled_a_waiting_request_takes_over(
    clock: Clock, operation: str, side: str
) -> None:
    site = make_site(clock, config=LIMITS)
    await site.sign_in("alice")
    clock.advance(HOUR)
    gate = Gate()
    getattr(site.store, side)[operation] = gate

    with anyio.fail_after(10):
        async with Started(lambda: site.browser.send("/")) as leader:
            await gate.arrival()
            async with (
                Started(lambda: site.browser.send("/")) as second,
                Started(lambda: site.browser.send("/")) as third,
            ):
                for _ in range(20):
                    await anyio.lowlevel.checkpoint()
                leader.scope.cancel()
                getattr(site.store, side).clear()
                responses = [await second.answer(), await third.answer()]

    assert {response.json()["subject"] for response in responses} == {"alice"}
    assert len(refresh_tokens(responses)) == 1
    assert await generation(site) == 2


async def test_an_error_of_the_leader_is_nobody_elses(clock: Clock) -> None:
    gate, errors = Gate(), [OSError("away")]

    class Once(MemoryStore):
        async def get(self, session_id: str) -> Session | None:
            if errors and gate.reached.is_set():
                raise errors.pop()
            return await super().get(session_id)

    site = make_site(clock, store=Gates(Once()), config=LIMITS)
    await site.sign_in("alice")
    clock.advance(HOUR)
    site.store.before["get"] = gate

    async with Started(lambda: site.browser.send("/")) as leader:
        await gate.arrival()
        async with Started(lambda: site.browser.send("/")) as second:
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            gate.open()
            failed, served = await leader.answer(), await second.answer()

    assert failed.json()["reason"] == "store_unavailable"
    assert served.json()["subject"] == "alice"


async def test_waiting_requests_that_are_cancelled_leave_the_leader_alone(clock: Clock) -> None:
    site = make_site(clock, config=LIMITS)
    await site.sign_in("alice")
    clock.advance(HOUR)
    gate = site.store.before["get"] = Gate()

    async with Started(lambda: site.browser.send("/")) as leader:
        await gate.arrival()
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(site.browser.send, "/")
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        gate.open()
        response = await leader.answer()

    assert response.json()["subject"] == "alice"
    assert given(response) == {ACCESS, REFRESH}


# --- the load on the store ------------------------------------------------------------------------


async def test_a_rotation_takes_two_trips_to_the_store(clock: Clock) -> None:
    site = make_site(clock)
    await site.sign_in("alice")
    clock.advance(HOUR)

    await site.browser.get("/")

    assert site.store.calls == ["get", "replace"]


async def test_a_lost_compare_and_set_takes_two_more(clock: Clock) -> None:
    store = Gates()
    gate = Gate()
    one = make_site(clock, held(gate), store=store, config=LIMITS)
    other = make_site(clock, store=store.store, config=LIMITS)
    await one.sign_in("alice")
    other.browser.jar = one.browser.jar
    clock.advance(HOUR)
    async with Started(lambda: one.browser.send("/slow")) as request:
        await gate.arrival()
        await other.browser.send("/")
        gate.open()
        await request.answer()

    assert len(store.calls) <= 4


async def test_replaying_one_token_writes_at_most_once_per_window(clock: Clock) -> None:
    site = make_site(clock)
    await site.sign_in("alice")
    clock.advance(HOUR)
    for _ in range(70):
        await site.browser.send("/")
        clock.advance(1)

    assert site.store.count("replace") == 1


async def test_another_thread_with_a_loop_of_its_own_shares_the_store(
    clock: Clock, tmp_path: Path
) -> None:
    """One `SQLiteStore`, two event loops: both get the one successor."""
    store = SQLiteStore(tmp_path / "s.db")
    try:
        issuer = make_issuer(clock, store=store, config=LIMITS)
        browser = Browser(RefreshMiddleware(whoami, issuer), clock)
        await browser.post("/login")
        clock.advance(HOUR)

        def elsewhere() -> Response:
            return anyio.run(browser.send, "/")

        responses = [await browser.send("/"), await anyio.to_thread.run_sync(elsewhere)]
    finally:
        store.close()

    assert [response.json()["subject"] for response in responses] == ["alice", "alice"]
    assert len(refresh_tokens(responses)) == 1


async def test_login_logout_and_refresh_at_once_leave_one_state(clock: Clock) -> None:
    async def quiet(scope: Any, receive: Any, send: Any) -> None:
        Auth.of(scope).logout()
        await answer(send)

    site = make_site(clock, on_paths(out=quiet), config=LIMITS)
    await site.sign_in("alice")
    clock.advance(HOUR)

    responses = await together(
        [sending(site.browser), sending(site.browser, path="/out", method="POST")] * 10
    )
    for response in responses:
        site.browser.deliver(response)
    clock.advance(2)

    assert await site.issuer.sessions("alice") == []
    assert (await site.browser.get("/")).json()["subject"] is None
