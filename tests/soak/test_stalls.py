"""
What a store may do that does not answer, answers late, or is away, on real servers.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tests.blackbox.helpers import HOUR, on_paths, together
from tests.soak.lines import NOISE, TRIES, Line, deletes, generation, go_on
from tests.support import Clock, whoami

pytestmark = [pytest.mark.anyio, *NOISE]

TIMEOUT = 0.4
SLACK = 0.6  # of a machine that has other things to do


def in_time(began: float, calls: int = 1) -> bool:
    return time.monotonic() - began < calls * TIMEOUT + SLACK


async def test_a_stall_makes_a_due_refresh_anonymous_in_time_and_the_session_goes_on(
    line: Line, clock: Clock
) -> None:
    site, _ = line.sites(clock, timeout=TIMEOUT)
    await site.sign_in()
    clock.advance(HOUR)
    await go_on(site)
    clock.advance(HOUR)
    jar = site.browser.values()
    line.proxy.stall()

    for size, calls in ((1, 1), (20, 2)):  # one more for those who waited behind the first
        began = time.monotonic()
        responses = await together([lambda: site.browser.send("/")] * size)
        assert in_time(began, calls)
        for response in responses:
            assert response.json()["subject"] is None
            assert response.json()["reason"] == "store_unavailable"
            assert response.set_cookies == []
    assert site.browser.values() == jar

    line.proxy.pass_on()
    assert generation(await go_on(site)) == 3


async def test_access_tokens_go_on_working_while_the_store_stalls(line: Line, clock: Clock) -> None:
    site, _ = line.sites(clock, timeout=TIMEOUT)
    await site.sign_in()
    line.proxy.stall()

    began = time.monotonic()
    first = await site.browser.get("/")
    assert in_time(began)
    began = time.monotonic()
    others = [await site.browser.get("/") for _ in range(20)]
    assert time.monotonic() - began < SLACK

    assert {response.json()["subject"] for response in (first, *others)} == {"alice"}
    line.proxy.pass_on()


async def test_a_rotation_that_is_written_long_after_it_was_given_up_changes_nothing(
    line: Line, clock: Clock
) -> None:
    async def stalling(scope: Any, receive: Any, send: Any) -> None:
        line.proxy.stall()
        await whoami(scope, receive, send)

    site, near = line.sites(clock, on_paths(stall=stalling), timeout=TIMEOUT)
    session_id = await site.sign_in()
    clock.advance(HOUR)
    await go_on(site)
    clock.advance(HOUR)

    began = time.monotonic()
    response = await site.browser.get("/stall")
    assert in_time(began)
    assert response.json()["subject"] == "alice"
    assert response.set_cookies == []

    before = generation(await go_on(near))
    line.proxy.pass_on()
    await asyncio.sleep(0.1)  # what was kept back arrives
    assert before == 3
    assert (await line.direct.get(session_id)).current == 3
    assert (await site.browser.get("/")).json()["subject"] == "alice"
    clock.advance(HOUR)
    assert generation(await go_on(site)) == 4


async def test_a_rotation_that_is_written_late_brings_no_session_back(
    line: Line, clock: Clock
) -> None:
    async def stalling(scope: Any, receive: Any, send: Any) -> None:
        line.proxy.stall()
        await whoami(scope, receive, send)

    site, near = line.sites(clock, on_paths(stall=stalling), timeout=TIMEOUT)
    session_id = await site.sign_in()
    clock.advance(HOUR)
    await go_on(site)
    clock.advance(HOUR)
    old = site.browser.values()
    assert (await site.browser.get("/stall")).set_cookies == []

    assert (await near.browser.post("/logout")).status == 200
    line.proxy.pass_on()
    await asyncio.sleep(0.1)

    assert await line.direct.get(session_id) is None
    for host in (site, near):
        refused = await host.browser.send("/", cookies=old)
        assert refused.json()["subject"] is None
    assert site.browser.values() == {}


async def test_a_sign_out_in_a_stall_is_answered_503_in_time_and_a_second_one_ends_the_session(
    line: Line, clock: Clock
) -> None:
    site, near = line.sites(clock, timeout=TIMEOUT)
    session_id = await site.sign_in()
    old = site.browser.values()
    line.proxy.stall()

    began = time.monotonic()
    response = await site.browser.post("/logout")
    assert in_time(began, 2)  # a poll of the revocations besides
    assert response.status == 503
    assert response.header("retry-after") == "1"
    assert deletes(response)

    line.proxy.pass_on()
    await asyncio.sleep(0.1)
    statuses = [(await site.browser.send("/logout", "POST", cookies=old)).status]
    while statuses[-1] == 503 and len(statuses) < TRIES:
        statuses.append((await site.browser.send("/logout", "POST", cookies=old)).status)
    assert statuses[-1] == 200
    assert await line.direct.get(session_id) is None
    clock.advance(2)  # `revocation_poll`, and the pause after a poll that failed
    assert (await near.browser.send("/", cookies=old)).json()["subject"] is None


async def test_a_server_that_is_away_for_a_while_costs_no_session(line: Line, clock: Clock) -> None:
    site, _ = line.sites(clock, timeout=TIMEOUT)
    await site.sign_in()
    clock.advance(HOUR)
    await together([lambda: site.browser.send("/")] * 20)
    line.proxy.down()

    began = time.monotonic()
    response = await site.browser.get("/")
    assert in_time(began)
    assert response.json()["reason"] == "store_unavailable"
    assert response.set_cookies == []

    line.proxy.pass_on()
    assert generation(await go_on(site)) == 2


async def test_connections_that_nobody_answers_any_more_cost_no_session(
    line: Line, clock: Clock
) -> None:
    site, _ = line.sites(clock, timeout=TIMEOUT)
    await site.sign_in()
    for rotated in (2, 3):
        clock.advance(HOUR)
        await together([lambda: site.browser.send("/")] * 20)
        assert generation(await go_on(site)) == rotated
        line.proxy.freeze()

    clock.advance(HOUR)
    assert generation(await go_on(site)) == 4
