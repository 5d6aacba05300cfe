"""Scenarios 1-3, 8, 17, 18, 39, 46: requests at once, in any order, on any number of hosts."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asgi_refresh import Auth, RefreshMiddleware, SQLiteStore
from tests.blackbox.helpers import (
    ACCESS,
    HOUR,
    MINUTE,
    REFRESH,
    WINDOW,
    Gate,
    Started,
    given,
    held,
    lasting,
    make_site,
    together,
)
from tests.scenarios.support import (
    BOTH,
    Backend,
    assert_goes_on,
    current,
    generation,
    hosts,
    post_refresh,
    refresh_tokens,
    subjects,
    without_grace,
)
from tests.support import Browser, Clock, Response, make_issuer, whoami

pytestmark = pytest.mark.anyio


class Crowd:
    """Lets nobody pass before *size* have come; then the next *size*."""

    def __init__(self, size: int) -> None:
        self._size = self._missing = size
        self._all = anyio.Event()

    async def enter(self) -> None:
        self._missing -= 1
        everyone = self._all
        if self._missing == 0:
            self._missing, self._all = self._size, anyio.Event()
            everyone.set()
        await everyone.wait()


# --- 1, 2: one process, several hosts -------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 50, 500])
async def test_01_bursts_of_any_size_cost_one_write_each_and_get_one_successor(
    clock: Clock, size: int
) -> None:
    crowd = Crowd(size)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await crowd.enter()
        await whoami(scope, receive, send)

    site = make_site(clock, app, config=lasting())
    await site.sign_in()

    for burst in range(1, 2 if size == 500 else 4):
        clock.advance(HOUR)
        calls: list[Callable[[], Awaitable[Response]]] = [
            lambda method=method: site.browser.send("/", method) for method in ("GET", "POST")
        ]
        responses = await together(calls * (size // 2))
        for response in reversed(responses):
            site.browser.deliver(response)
        assert subjects(responses) == {"alice"}
        assert all(given(response) == BOTH for response in responses)
        assert len(refresh_tokens(responses)) == 1
        assert site.store.count("replace") == burst
        assert await current(site) == burst + 1


@pytest.mark.parametrize("count", [2, 4])
async def test_02_hosts_that_share_a_store_and_nothing_else_hand_out_one_successor(
    clock: Clock, stores: Backend, count: int
) -> None:
    sites = hosts(stores, [clock] * count)
    await sites[0].sign_in()

    for rotated in (2, 3, 4):
        clock.advance(HOUR)
        responses = await together([lambda site=site: site.browser.send("/") for site in sites * 5])
        for response in responses:
            sites[0].browser.deliver(response)
        assert subjects(responses) == {"alice"}
        assert {generation(token) for token in refresh_tokens(responses)} == {rotated}
        assert len(refresh_tokens(responses)) == 1
        assert sum(site.store.won for site in sites) == rotated - 1


# --- 3: delivery ----------------------------------------------------------------------------------


async def test_03_every_order_of_any_of_the_responses_leaves_a_jar_that_works() -> None:
    """Of four responses, of two generations and one of them late, any may be lost besides."""
    orders = [o for size in range(5) for o in itertools.permutations(range(4), size)]
    for order in orders:
        clock = Clock()
        site = make_site(clock, config=lasting())
        await site.sign_in()
        clock.advance(HOUR)
        first, pending = await together([lambda site=site: site.browser.send("/")] * 2)
        site.browser.deliver(first)
        clock.advance(HOUR)
        newer = await together([lambda site=site: site.browser.send("/")] * 2)
        clock.advance(WINDOW + 1)
        late = await site.browser.send("/")
        responses = [pending, *newer, late]

        for at in order:
            site.browser.deliver(responses[at])

        assert subjects(responses) == {"alice"}, order
        await assert_goes_on(site)


# --- 8: a slow handler ----------------------------------------------------------------------------


@pytest.mark.parametrize("arrives", ["before the others", "last", "never"])
async def test_08_a_handler_of_ten_graces_puts_no_older_token_back_than_the_jar_has(
    clock: Clock, stores: Backend, arrives: str
) -> None:
    gate = Gate()
    slow_host, host = hosts(stores, [clock] * 2, held(gate))
    await slow_host.sign_in()
    clock.advance(HOUR)

    async with Started(lambda: slow_host.browser.send("/slow")) as request:
        await gate.arrival()
        for _ in range(20):
            clock.advance(WINDOW / 2)
            other = await host.browser.send("/")
            assert other.json()["subject"] == "alice"
            if arrives != "before the others":
                host.browser.deliver(other)
        gate.open()
        slow = await request.answer()
    held_now = host.browser.values()[REFRESH]
    if arrives != "never":
        host.browser.deliver(slow)

    assert slow.json()["subject"] == "alice"
    if arrives != "before the others":
        assert slow.cookies.get(REFRESH, held_now) == held_now
    assert slow_host.named("reused") == []
    await assert_goes_on(host)


@pytest.mark.parametrize("after", [WINDOW - 1, 9 * MINUTE])
async def test_08_a_slow_handler_that_was_overtaken_once_hands_out_the_same_successor(
    clock: Clock, stores: Backend, after: float
) -> None:
    gate = Gate()
    slow_host, host = hosts(stores, [clock] * 2, held(gate))
    await slow_host.sign_in()
    clock.advance(HOUR)

    async with Started(lambda: slow_host.browser.send("/slow")) as request:
        await gate.arrival()
        faster = await host.browser.send("/")
        clock.advance(after)
        gate.open()
        slow = await request.answer()

    assert slow.cookies[REFRESH] == faster.cookies[REFRESH]
    await assert_goes_on(host)


# --- 17: time of check, time of use ---------------------------------------------------------------


async def test_17_eight_redemptions_that_all_read_before_any_writes_rotate_once(
    clock: Clock, stores: Backend
) -> None:
    sites = hosts(stores, [clock] * 8)
    await sites[0].sign_in()
    crowd = Crowd(8)
    for site in sites:
        site.store.before["replace"] = crowd
    token = sites[0].browser.values()[REFRESH]

    responses = await together(
        [lambda site=site: post_refresh(site.browser, token) for site in sites]
    )

    successors = {response.json()["refresh_token"] for response in responses}
    assert {generation(successor) for successor in successors} == {2}
    assert len(successors) == 1
    assert [site.store.count("replace") for site in sites] == [1] * 8
    assert sum(site.store.won for site in sites) == 1
    assert await current(sites[0]) == 2


async def test_17_eight_old_tokens_at_once_end_the_session_and_none_gets_a_new_one(
    clock: Clock, stores: Backend
) -> None:
    sites = hosts(stores, [clock] * 8)
    await sites[0].sign_in()
    old = sites[0].browser.values()[REFRESH]
    for _ in range(2):
        clock.advance(HOUR)
        await sites[0].browser.get("/")

    responses = await together(
        [lambda site=site: post_refresh(site.browser, old) for site in sites]
    )

    assert {response.status for response in responses} == {401}
    assert await sites[0].issuer.sessions("alice") == []
    assert any(site.named("reused") for site in sites)


# --- 18: two generations in one second ------------------------------------------------------------


async def test_18_two_rotations_in_one_second_are_two_generations(clock: Clock) -> None:
    site = make_site(clock, config=without_grace())
    await site.sign_in()
    clock.advance(HOUR)
    older = await site.browser.get("/")
    site.browser.drop(ACCESS)
    newer = await site.browser.get("/")

    both = [("cookie", f"{ACCESS}={r.cookies[ACCESS]}") for r in (newer, older)]
    both += [("cookie", f"{REFRESH}={r.cookies[REFRESH]}") for r in (newer, older)]
    clock.advance(9 * 60 + 1)
    response = await site.browser.send("/", headers=both, cookies={})

    assert [generation(r.cookies[REFRESH]) for r in (older, newer, response)] == [2, 3, 4]
    assert site.named("reused") == []


async def test_18_a_rotation_and_a_step_up_in_one_second_are_told_apart_by_generation(
    clock: Clock,
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/confirm":
            Auth.of(scope).elevate()
        await whoami(scope, receive, send)

    site = make_site(clock, app, config=lasting())
    await site.sign_in()
    clock.advance(HOUR)
    before = await site.browser.get("/")
    after = await site.browser.post("/confirm")

    refused = await site.browser.send("/", cookies={ACCESS: before.cookies[ACCESS]})
    taken = await site.browser.send("/", cookies={ACCESS: after.cookies[ACCESS]})

    assert (refused.json()["reason"], taken.json()["subject"]) == ("revoked_token", "alice")
    assert before.json()["payload"]["iat"] == after.json()["payload"]["iat"]


# --- 39: the leader of a flight -------------------------------------------------------------------


class Trap(Gate):
    """Who is let out of it fails."""

    async def enter(self) -> None:
        await super().enter()
        raise OSError("the store is away")


@pytest.mark.parametrize("operation", ["get", "replace"])
@pytest.mark.parametrize("fate", ["cancelled", "raises", "hangs"])
async def test_39_whatever_becomes_of_the_leader_the_others_are_served(
    clock: Clock, operation: str, fate: str
) -> None:
    limits = replace(lasting(), store_timeout=timedelta(seconds=0.2 if fate == "hangs" else 30))
    site = make_site(clock, config=limits)
    await site.sign_in()
    clock.advance(HOUR)
    trap = site.store.before[operation] = Trap()
    followers: list[Response] = []

    async def follow() -> None:
        followers.append(await site.browser.send("/"))

    with anyio.fail_after(10):
        async with (
            anyio.create_task_group() as group,
            Started(lambda: site.browser.send("/")) as leader,
        ):
            await trap.arrival()
            del site.store.before[operation]
            for _ in range(5):
                group.start_soon(follow)
            for _ in range(10):
                await anyio.lowlevel.checkpoint()
            if fate == "cancelled":
                leader.scope.cancel()
            elif fate == "raises":
                trap.open()

    assert subjects(followers) == {"alice"}
    assert [given(response) for response in followers] == [BOTH] * 5
    assert await current(site) == 2
    await assert_goes_on(site)


@pytest.mark.parametrize("other", ["asyncio", "trio"])
async def test_39_loops_in_two_threads_share_an_issuer_and_hand_out_one_successor(
    clock: Clock, tmp_path: Path, other: str
) -> None:
    store = SQLiteStore(tmp_path / "s.db", busy_timeout=30)
    issuer = make_issuer(clock, store=store, config=lasting())
    browser = Browser(RefreshMiddleware(whoami, issuer), clock)
    await browser.post("/login")
    clock.advance(HOUR)
    responses: list[Response] = []

    async def burst() -> None:
        async def one() -> None:
            responses.append(await browser.send("/"))

        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(one)

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, lambda: anyio.run(burst, backend=other))
            group.start_soon(burst)
        (session,) = await issuer.sessions("alice")
    finally:
        store.close()

    assert subjects(responses) == {"alice"}
    assert len(responses) == 20
    assert {generation(token) for token in refresh_tokens(responses)} == {2}
    assert session.current == 2


# --- 46: a client gone wild -----------------------------------------------------------------------


async def test_46_a_thousand_redemptions_of_one_token_in_a_second_write_once(
    clock: Clock,
) -> None:
    sites = hosts(Backend(None), [clock] * 2)
    await sites[0].sign_in()
    token = sites[0].browser.values()[REFRESH]
    answers = set()

    for number in range(1000):
        response = await post_refresh(sites[number % 2].browser, token)
        answers.add((response.status, response.json()["refresh_token"]))
        clock.advance(0.001)

    assert len(answers) == 1
    assert sum(site.store.won for site in sites) == 1


async def test_46_spam_over_many_graces_writes_once_and_marks_once(clock: Clock) -> None:
    (site,) = hosts(Backend(None), [clock])
    await site.sign_in()
    token = site.browser.values()[REFRESH]

    for _ in range(300):
        assert (await post_refresh(site.browser, token)).status == 200
        clock.advance(WINDOW / 50)

    assert site.store.won == 2
    assert await current(site) == 2


async def test_46_a_client_that_refreshes_with_every_new_token_rotates_once_in_a_grace(
    clock: Clock,
) -> None:
    (site,) = hosts(Backend(None), [clock])
    await site.sign_in()
    token = site.browser.values()[REFRESH]
    generations = []

    for _ in range(3):
        for _ in range(50):
            token = (await post_refresh(site.browser, token)).json()["refresh_token"]
            generations.append(generation(token))
            clock.advance(WINDOW / 50)

    assert generations == [2] * 50 + [3] * 50 + [4] * 50
    assert site.store.won == 3
