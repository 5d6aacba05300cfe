"""Scenarios 4-7 and 9-11: responses that are late or never arrive, and workers that die."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tests.blackbox.helpers import (
    ACCESS,
    DAY,
    HOUR,
    REFRESH,
    WINDOW,
    Gate,
    Site,
    Started,
    deleted,
    given,
    lasting,
    make_site,
)
from tests.scenarios.support import (
    BOTH,
    Backend,
    assert_goes_on,
    current,
    flushing,
    generation,
    hosts,
    post_refresh,
)
from tests.support import Browser, Clock, Response, answer, whoami

pytestmark = pytest.mark.anyio

AGES = [0.1, WINDOW / 2, WINDOW - 0.01, WINDOW, WINDOW + 0.01, DAY, 13.9 * DAY]


# --- 4: a worker dies -----------------------------------------------------------------------------


@pytest.mark.parametrize("after", [1.0, DAY])
@pytest.mark.parametrize("died", ["before the write", "after the write", "before the flush"])
async def test_04_a_worker_that_dies_at_any_point_leaves_the_browser_to_another(
    clock: Clock, stores: Backend, died: str, after: float
) -> None:
    gate = Gate()

    doomed, other = hosts(stores, [clock] * 2)
    await doomed.sign_in()
    clock.advance(HOUR)
    if died == "before the flush":
        doomed.browser.app = flushing(doomed.browser.app, gate, path="/doomed")
    else:
        side = doomed.store.before if died == "before the write" else doomed.store.after
        side["replace"] = gate

    async with Started(lambda: doomed.browser.send("/doomed")) as request:
        await gate.arrival()
        request.scope.cancel()
    clock.advance(after)
    retried = await other.browser.navigate("/")

    assert retried.json()["subject"] == "alice"
    assert generation(retried.cookies[REFRESH]) == await current(other) == 2
    await assert_goes_on(other)


# --- 5: the client leaves -------------------------------------------------------------------------


async def test_05_a_client_that_leaves_before_the_response_starts_has_rotated_nothing(
    clock: Clock,
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != "/long":
            await whoami(scope, receive, send)
            return
        while (await receive())["type"] != "http.disconnect":
            pass  # and there is nobody to answer

    (site,) = hosts(Backend(None), [clock], app)
    await site.sign_in()
    clock.advance(HOUR)
    scope = site.browser.scope("/long", "GET")

    await site.browser.app(scope, gone, never)

    assert await current(site) == 1
    assert site.store.count("replace") == 0
    await assert_goes_on(site)


async def gone() -> Any:
    return {"type": "http.disconnect"}


async def never(message: Any) -> None:
    raise AssertionError(f"nothing was to be sent: {message}")


@pytest.mark.parametrize("at", ["http.response.start", "http.response.body"])
@pytest.mark.parametrize("after", [1.0, DAY])
async def test_05_a_client_that_leaves_while_it_is_answered_comes_back_signed_in(
    clock: Clock, at: str, after: float
) -> None:
    site = make_site(clock, config=lasting())
    await site.sign_in()
    clock.advance(HOUR)

    async def send(message: Any) -> None:
        if message["type"] == at:
            raise OSError("the client has left")  # what a server raises since ASGI 2.4

    with pytest.raises(OSError, match="the client has left"):
        await site.browser.app(site.browser.scope("/", "GET"), gone, send)
    clock.advance(after)

    assert (await site.browser.navigate("/")).json()["subject"] == "alice"
    assert await current(site) == 2
    await assert_goes_on(site)


async def test_05_a_response_that_never_ends_has_given_its_cookies_with_the_first_byte(
    clock: Clock,
) -> None:
    started = anyio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != "/stream":
            await answer(send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        started.set()
        await anyio.sleep_forever()

    site = make_site(clock, app, config=lasting())
    await site.sign_in()
    clock.advance(HOUR)

    async with Started(lambda: site.browser.send("/stream")) as request:
        await started.wait()
        rotated = await current(site)
        request.scope.cancel()

    assert rotated == 2


# --- 6, 7: the response is lost -------------------------------------------------------------------


@pytest.mark.parametrize("age", AGES)
async def test_06_a_lost_response_is_retried_at_every_age(
    clock: Clock, stores: Backend, age: float
) -> None:
    one, other = hosts(stores, [clock] * 2)
    await one.sign_in()
    clock.advance(HOUR)
    lost = await one.browser.send("/")
    clock.advance(age)

    retried = await other.browser.navigate("/")

    assert retried.json()["subject"] == "alice"
    assert retried.cookies[REFRESH] == lost.cookies[REFRESH]
    assert [event.reason for event in other.events] == ["grace" if age < WINDOW else "late"]
    await assert_goes_on(other)


async def test_06_a_lost_answer_of_the_endpoint_is_retried_at_every_age(clock: Clock) -> None:
    (site,) = hosts(Backend(None), [clock])
    for age in AGES:
        tokens = await site.issuer.issue("alice")
        clock.advance(HOUR)
        lost = (await post_refresh(site.browser, tokens.refresh_token)).json()
        clock.advance(age)

        retried = (await post_refresh(site.browser, tokens.refresh_token)).json()

        assert retried["refresh_token"] == lost["refresh_token"]
        assert (await site.issuer.authenticate(retried["access_token"]))["sub"] == "alice"


async def lose(site: Site, times: int, pause: float) -> list[str | None]:
    """Lose *times* responses, get the next; return what the events call each of them."""
    site.events.clear()
    for _ in range(times):
        assert (await site.browser.send("/")).json()["subject"] == "alice"
        site.clock.advance(pause)
    assert (await site.browser.navigate("/")).json()["subject"] == "alice"
    site.clock.advance(HOUR)
    return [event.reason for event in site.events]


async def test_07_a_response_lost_twice_in_one_generation_is_late_twice(clock: Clock) -> None:
    site = make_site(clock, config=lasting())
    await site.sign_in()
    clock.advance(HOUR)

    assert await lose(site, 2, WINDOW + 1) == ["current", "late", "late"]
    await assert_goes_on(site)


async def test_07_losses_in_generations_running_fork_from_the_second_on(clock: Clock) -> None:
    site = make_site(clock, config=lasting())
    await site.sign_in()
    clock.advance(HOUR)

    told = [await lose(site, 1, WINDOW + 1) for _ in range(3)]

    assert told == [["current", "late"], ["current", "fork"], ["current", "fork"]]
    await assert_goes_on(site)


async def test_07_after_a_generation_without_a_loss_a_loss_is_late_again(clock: Clock) -> None:
    site = make_site(clock, config=lasting())
    await site.sign_in()
    clock.advance(HOUR)
    await lose(site, 1, WINDOW + 1)
    await lose(site, 0, 0)

    assert await lose(site, 1, WINDOW + 1) == ["current", "late"]
    await assert_goes_on(site)


@pytest.mark.parametrize("generations", [2, 3])
@pytest.mark.parametrize("pause", [1.0, WINDOW + 1, DAY])
async def test_07_losing_twice_in_every_one_of_some_generations_signs_nobody_out(
    clock: Clock, generations: int, pause: float
) -> None:
    site = make_site(clock, config=lasting())
    await site.sign_in()
    clock.advance(HOUR)
    for _ in range(generations):
        await lose(site, 2, pause)

    await assert_goes_on(site)


# --- 9, 10: the way is long -----------------------------------------------------------------------


async def test_09_a_request_that_queued_for_two_graces_and_its_client_gone_harms_nobody(
    clock: Clock, stores: Backend
) -> None:
    proxy, host = hosts(stores, [clock] * 2)
    await proxy.sign_in()
    clock.advance(HOUR)
    queued = dict(proxy.browser.values())
    await host.browser.get("/")
    clock.advance(2 * WINDOW)

    dropped = await proxy.browser.send("/", cookies=queued)

    assert dropped.json()["subject"] == "alice"
    assert proxy.named("reused") == []
    await assert_goes_on(host)


@pytest.mark.parametrize("then", [1.0, WINDOW + 1, 5 * 60.0, DAY])
async def test_10_a_response_that_comes_two_graces_late_over_a_newer_cookie_signs_nobody_out(
    clock: Clock, then: float
) -> None:
    site = make_site(clock, config=lasting())
    await site.sign_in()
    clock.advance(HOUR)
    delayed = await site.browser.send("/")
    await site.browser.get("/")
    site.browser.drop(ACCESS)
    clock.advance(2 * WINDOW)
    newer = await site.browser.get("/")
    site.browser.deliver(delayed)
    clock.advance(then)
    site.browser.drop(ACCESS)

    response = await site.browser.navigate("/")

    assert generation(delayed.cookies[REFRESH]) < generation(newer.cookies[REFRESH])
    assert response.json()["subject"] == "alice"
    assert response.cookies[REFRESH] == newer.cookies[REFRESH]
    await assert_goes_on(site)


# --- 11: the alias of a fork ----------------------------------------------------------------------


async def forked(site: Site) -> tuple[Browser, Response]:
    """A browser that got, after the fork, the response that the fork voids; and the fork's own."""
    await site.sign_in()
    site.clock.advance(HOUR)
    await lose(site, 1, WINDOW + 1)
    voided = await site.browser.send("/")
    site.clock.advance(WINDOW + 1)
    fork = await site.browser.send("/")
    assert [generation(r.cookies[REFRESH]) for r in (voided, fork)] == [3, 4]
    late = site.browser.fork()
    late.deliver(voided)
    late.drop(ACCESS)
    return late, fork


@pytest.mark.parametrize("age", [0.0, 1.0, WINDOW - 0.01])
async def test_11_what_a_fork_voided_is_taken_within_the_grace(clock: Clock, age: float) -> None:
    site = make_site(clock, config=lasting())
    browser, fork = await forked(site)
    clock.advance(age)

    response = await browser.navigate("/")

    assert response.json()["subject"] == "alice"
    assert response.cookies[REFRESH] == fork.cookies[REFRESH]
    site.browser.jar = browser.jar
    await assert_goes_on(site)


@pytest.mark.parametrize("age", [WINDOW, WINDOW + 0.01, DAY])
async def test_11_what_a_fork_voided_is_a_theft_after_the_grace(clock: Clock, age: float) -> None:
    site = make_site(clock, config=lasting())
    browser, fork = await forked(site)
    clock.advance(age)

    response = await browser.navigate("/")
    site.browser.deliver(fork)
    newest = await site.browser.navigate("/")

    assert response.json()["reason"] == "reused_token"
    assert REFRESH in deleted(response)
    assert newest.json()["subject"] is None
    assert await site.issuer.sessions("alice") == []


async def test_11_in_the_second_half_of_the_grace_before_a_fork_nothing_goes_out(
    clock: Clock,
) -> None:
    """What the fork will void must not be on its way when it comes."""
    site = make_site(clock, config=lasting())
    await site.sign_in()
    clock.advance(HOUR)
    await lose(site, 1, WINDOW + 1)
    handed = []

    for age in (0, WINDOW / 2 - 1, WINDOW / 2, WINDOW - 1, WINDOW):
        clock.advance(age)
        response = await site.browser.send("/")
        clock.advance(-age)
        assert response.json()["subject"] == "alice"
        handed.append(given(response))

    assert handed == [BOTH, BOTH, set(), set(), BOTH]
