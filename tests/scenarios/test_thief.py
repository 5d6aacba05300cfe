"""Scenarios 12-16 and 48: somebody else has the cookies, and one of the two is found out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.blackbox.helpers import (
    ACCESS,
    DAY,
    HOUR,
    NAVIGATION,
    REFRESH,
    WINDOW,
    Gate,
    Site,
    Started,
    lasting,
    make_site,
)
from tests.scenarios.support import Backend, generation, hosts, post_refresh
from tests.support import Clock, whoami

pytestmark = pytest.mark.anyio

VICTIM, THIEF = "victim", "thief"


class Struggle:
    """Two jars of one session, each of which refreshes whenever it is told to."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.jars = {VICTIM: site.browser, THIEF: site.browser.fork()}
        self.refreshes = {VICTIM: 0, THIEF: 0}

    async def refresh(self, *who: str, gap: float = WINDOW + 1) -> None:
        """Let each of *who* refresh in turn, *gap* seconds apart."""
        for name in who:
            browser = self.jars[name]
            browser.drop(ACCESS)
            response = await browser.get("/", headers=NAVIGATION)
            self.refreshes[name] += response.json()["subject"] == "alice"
            self.site.clock.advance(gap)

    async def is_over(self) -> bool:
        return await self.site.issuer.sessions("alice") == []


async def struggle(clock: Clock, **options: Any) -> Struggle:
    site = make_site(clock, config=lasting(), **options)
    await site.sign_in()
    clock.advance(HOUR)
    return Struggle(site)


LOCKSTEP: dict[str, Callable[[int], list[str]]] = {
    "leader": lambda at: [THIEF, VICTIM],
    "follower": lambda at: [VICTIM, THIEF],
    "alternating": lambda at: [THIEF, VICTIM] if at % 2 else [VICTIM, THIEF],
    "burst": lambda at: [*[THIEF] * 5, VICTIM],
    "burst behind": lambda at: [VICTIM, *[THIEF] * 5],
}


@pytest.mark.parametrize("pattern", LOCKSTEP)
async def test_12_a_thief_in_lockstep_is_found_out_within_three_refreshes_of_the_victim(
    clock: Clock, pattern: str
) -> None:
    pair = await struggle(clock)

    for number in range(4):
        await pair.refresh(*LOCKSTEP[pattern](number))

    assert pair.refreshes[VICTIM] <= 3
    assert len(pair.site.named("reused")) == 1
    assert await pair.is_over()


@pytest.mark.parametrize("pattern", LOCKSTEP)
@pytest.mark.parametrize("slot", [[THIEF, VICTIM], [VICTIM, THIEF]], ids=["ahead", "behind"])
async def test_13_a_thief_who_used_the_grace_once_is_found_out_within_four(
    clock: Clock, pattern: str, slot: list[str]
) -> None:
    pair = await struggle(clock)
    await pair.refresh(*slot, gap=1)
    clock.advance(HOUR)

    for number in range(4):
        await pair.refresh(*LOCKSTEP[pattern](number))

    assert pair.refreshes[VICTIM] <= 4
    assert len(pair.site.named("reused")) == 1
    assert await pair.is_over()


@pytest.mark.parametrize("often", [1, 2, 10])
async def test_14_a_thief_who_came_while_the_victim_was_idle_is_found_out_when_that_returns(
    clock: Clock, often: int
) -> None:
    pair = await struggle(clock)
    await pair.refresh(VICTIM)
    for _ in range(often):  # with the predecessor first, then with whatever that gave
        await pair.refresh(THIEF, gap=HOUR)
    clock.advance(DAY)

    for _ in range(3):
        await pair.refresh(VICTIM, THIEF)

    assert pair.refreshes[VICTIM] <= 4
    assert len(pair.site.named("reused")) == 1
    assert await pair.is_over()


async def test_14_a_predecessor_alone_may_be_replayed_until_the_victim_returns(
    clock: Clock,
) -> None:
    pair = await struggle(clock)
    stolen = pair.jars[THIEF].values()[REFRESH]
    await pair.refresh(VICTIM)
    replays = []
    for _ in range(5):
        response = await pair.jars[THIEF].send("/", cookies={REFRESH: stolen})
        replays.append(generation(response.cookies[REFRESH]))
        clock.advance(HOUR)
    await pair.refresh(VICTIM)

    response = await pair.jars[THIEF].send("/", cookies={REFRESH: stolen})

    assert replays == [2] * 5
    assert response.json()["reason"] == "reused_token"
    assert await pair.is_over()


@pytest.mark.parametrize("through", ["middleware", "endpoint"])
@pytest.mark.parametrize("age", [0.0, 1.0, WINDOW - 1])
async def test_15_an_old_token_is_a_theft_in_the_grace_of_another_rotation_too(
    clock: Clock, age: float, through: str
) -> None:
    site, _ = hosts(Backend(None), [clock] * 2)
    await site.sign_in()
    old = site.browser.values()[REFRESH]
    for _ in range(2):
        clock.advance(HOUR)
        await site.browser.get("/")
    clock.advance(age)

    if through == "middleware":
        reason = (await site.browser.send("/", cookies={REFRESH: old})).json()["reason"]
        assert reason == "reused_token"
    else:
        assert (await post_refresh(site.browser, old)).status == 401

    assert len(site.named("reused")) == 1
    assert await site.issuer.sessions("alice") == []


async def test_16_a_predecessor_kept_over_the_victims_fork_is_found_out(clock: Clock) -> None:
    """The victim loses two responses running; the thief has the token that it forked with."""
    pair = await struggle(clock)
    victim = pair.jars[VICTIM]
    for _ in range(2):
        await victim.send("/")
        clock.advance(WINDOW + 1)
        predecessor = victim.values()[REFRESH]
        await pair.refresh(VICTIM)
        clock.advance(HOUR)
        victim.drop(ACCESS)
    assert "fork" in [event.reason for event in pair.site.events]
    before = pair.refreshes[VICTIM]

    for _ in range(3):
        pair.jars[THIEF].put(REFRESH, predecessor)
        await pair.refresh(THIEF, VICTIM)

    assert pair.refreshes[VICTIM] - before <= 3
    assert len(pair.site.named("reused")) == 1
    assert await pair.is_over()


async def test_16_what_a_fork_was_made_from_forks_again_and_is_never_merely_late(
    clock: Clock,
) -> None:
    """Else whoever keeps it is handed the victim's own successor, refresh after refresh."""
    pair = await struggle(clock)
    victim, thief = pair.jars[VICTIM], pair.jars[THIEF]
    for _ in range(2):
        await victim.send("/")
        clock.advance(WINDOW + 1)
        predecessor = victim.values()[REFRESH]
        forked = await victim.get("/")
        clock.advance(HOUR)
    replayed = []
    for _ in range(3):
        response = await thief.send("/", cookies={REFRESH: predecessor})
        replayed.append(generation(response.cookies[REFRESH]))
        clock.advance(WINDOW + 1)

    victims = generation(forked.cookies[REFRESH])
    assert replayed == [victims + 1, victims + 2, victims + 3]
    assert [event.reason for event in pair.site.events][-3:] == ["fork"] * 3
    assert (await victim.get("/")).json()["reason"] == "reused_token"


@pytest.mark.parametrize("uploads_with", ["its own", "the first"])
async def test_16_a_thief_with_an_upload_open_over_every_rotation_is_found_out(
    clock: Clock, uploads_with: str
) -> None:
    gates: list[Gate] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/upload":
            await gates[-1].enter()
        await whoami(scope, receive, send)

    site = make_site(clock, app, config=lasting())
    await site.sign_in()
    clock.advance(HOUR)
    pair = Struggle(site)
    thief = pair.jars[THIEF]
    first = thief.values()[REFRESH]
    answers = []

    for _ in range(5):
        if uploads_with == "the first":
            thief.put(REFRESH, first)
        thief.drop(ACCESS)
        gates.append(Gate())
        async with Started(lambda: thief.send("/upload", "POST", body=b"slowly")) as request:
            await gates[-1].arrival()
            await pair.refresh(VICTIM)
            gates[-1].open()
            response = await request.answer()
        answers.append(response.json()["subject"])
        thief.deliver(response)
        clock.advance(HOUR)

    assert len(site.named("reused")) == 1
    assert pair.refreshes[VICTIM] <= 4
    assert answers[-1] is None
    assert await pair.is_over()


async def test_48_a_cloned_profile_on_two_devices_is_found_out(
    clock: Clock, stores: Backend
) -> None:
    """As expected: nobody can say which of the two is the user, so both must sign in again."""
    here, there = hosts(stores, [clock] * 2)
    await here.sign_in()
    clone = there.browser = here.browser.fork()
    clone.app = there.browser.app
    answers = []
    for _ in range(4):
        for browser in (here.browser, clone):
            clock.advance(HOUR)
            answers.append((await browser.navigate("/")).json()["subject"])

    assert answers[0] == "alice"
    assert answers[-2:] == [None, None]
    assert len(here.named("reused") + there.named("reused")) == 1
    assert await here.issuer.sessions("alice") == []


async def test_48_after_a_new_login_the_clone_stays_out(clock: Clock) -> None:
    site = make_site(clock, config=lasting())
    await site.sign_in()
    clone = site.browser.fork()
    for _ in range(4):
        for browser in (site.browser, clone):
            clock.advance(HOUR)
            await browser.navigate("/")

    await site.browser.post("/login")
    clock.advance(HOUR)

    assert (await clone.navigate("/")).json()["subject"] is None
    assert (await site.browser.navigate("/")).json()["subject"] == "alice"


async def test_48_a_clone_within_the_grace_at_every_generation_cannot_be_told_apart(
    clock: Clock,
) -> None:
    """The documented limit (docs/rotation.md, What a thief can do), of every such protocol."""
    pair = await struggle(clock)

    for _ in range(5):
        await pair.refresh(VICTIM, THIEF, gap=1)
        clock.advance(HOUR)

    assert pair.refreshes == {VICTIM: 5, THIEF: 5}
    assert pair.site.named("reused") == []


async def test_48_a_clone_whose_owner_never_returns_keeps_the_session_to_its_end(
    clock: Clock,
) -> None:
    """Documented there too; what ends it is the absolute lifetime, or the list of sessions."""
    pair = await struggle(clock)
    thief = pair.jars[THIEF]
    answers = []
    for _ in range(7):
        clock.advance(13 * DAY)
        answers.append((await thief.navigate("/")).json()["subject"])

    assert answers == ["alice"] * 6 + [None]
    assert pair.site.named("reused") == []
    assert await pair.is_over()
