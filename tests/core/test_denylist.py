"""When a revocation bites, and what asking for it costs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import anyio
import pytest

from asgi_refresh import Config, Event, Issuer, MemoryStore, Revocation
from asgi_refresh.denylist import Denylist
from asgi_refresh.errors import RevokedTokenError, StoreUnavailable
from asgi_refresh.sessions import FrozenDict
from asgi_refresh.tokens import AccessToken
from tests.support import Clock, Spy, make_issuer

pytestmark = pytest.mark.anyio

ACCESS = 600.0
KEPT = ACCESS + 2 * 5.0  # until the last access token of a session is out on every host
SWEEP = 30.0


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def spy(memory: MemoryStore) -> Spy:
    """The store as *there* sees it."""
    return Spy(memory)


@pytest.fixture
def here(clock: Clock, memory: MemoryStore) -> Issuer:
    """The process that revokes."""
    return make_issuer(clock, store=memory)


@pytest.fixture
def there(clock: Clock, spy: Spy, events: list[Event]) -> Issuer:
    """The process that authenticates."""
    return make_issuer(clock, store=spy, on_event=events.append)


async def accepted(issuer: Issuer, token: str) -> bool:
    try:
        await issuer.authenticate(token)
    except RevokedTokenError:
        return False
    return True


async def all_at_once(count: int, call: Callable[[], Awaitable[Any]]) -> list[Any]:
    answers: list[Any] = []

    async def one() -> None:
        try:
            answers.append(await call())
        except StoreUnavailable as error:
            answers.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(one)
    return answers


# --- live -----------------------------------------------------------------------------------------


async def test_anothers_revocation_bites_after_the_poll_interval_and_not_later(
    here: Issuer, there: Issuer, clock: Clock
) -> None:
    token = (await here.issue("alice")).access_token
    assert await accepted(there, token)
    await here.revoke(there.verify(token)["sid"])
    clock.advance(0.999)
    assert await accepted(there, token)
    clock.advance(0.001)

    assert not await accepted(there, token)


async def test_a_process_that_has_just_started_asks_before_it_accepts(
    here: Issuer, there: Issuer
) -> None:
    tokens = await here.issue("alice")
    await here.revoke(tokens.session_id)

    assert not await accepted(there, tokens.access_token)


async def test_ones_own_revocation_bites_at_once(here: Issuer) -> None:
    tokens = await here.issue("alice")
    assert await accepted(here, tokens.access_token)
    await here.revoke(tokens.session_id)

    assert not await accepted(here, tokens.access_token)


async def test_between_polls_the_store_is_left_alone(
    here: Issuer, there: Issuer, clock: Clock, spy: Spy
) -> None:
    token = (await here.issue("alice")).access_token
    for _ in range(10):
        await there.authenticate(token)
        clock.advance(0.0999)

    assert spy.calls == ["revocations"]


async def test_the_poll_interval_is_a_setting(here: Issuer, clock: Clock, spy: Spy) -> None:
    config = Config(revocation_poll=timedelta(seconds=20))
    there = make_issuer(clock, store=spy, config=config)
    token = (await here.issue("alice")).access_token
    await there.authenticate(token)
    clock.advance(19.9)
    await there.authenticate(token)
    assert spy.count("revocations") == 1
    clock.advance(0.1)
    await there.authenticate(token)

    assert spy.count("revocations") == 2


async def test_a_bad_token_asks_nobody(there: Issuer, spy: Spy) -> None:
    with pytest.raises(Exception, match="not valid"):
        await there.authenticate("garbage")

    assert spy.calls == []


@pytest.mark.parametrize("count", [2, 100])
async def test_all_who_arrive_share_one_poll(
    here: Issuer, there: Issuer, spy: Spy, count: int
) -> None:
    token = (await here.issue("alice")).access_token
    answers = await all_at_once(count, lambda: there.authenticate(token))

    assert len(answers) == count
    assert spy.calls == ["revocations"]


async def test_all_who_arrive_share_one_failed_poll(here: Issuer, there: Issuer, spy: Spy) -> None:
    token = (await here.issue("alice")).access_token
    spy.broken = {"revocations"}
    await all_at_once(50, lambda: there.authenticate(token))

    assert spy.calls == ["revocations"]


async def test_who_waits_for_a_poll_goes_by_its_answer(
    here: Issuer, there: Issuer, clock: Clock, spy: Spy
) -> None:
    token = (await here.issue("alice")).access_token
    await there.authenticate(token)
    await here.revoke(there.verify(token)["sid"])
    clock.advance(1)
    spy.gates["revocations"] = anyio.Event()
    refusals: list[bool] = []

    async def ask() -> None:
        refusals.append(not await accepted(there, token))

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        spy.gates["revocations"].set()

    assert refusals == [True] * 10


async def test_when_the_one_who_polls_is_cancelled_another_does(
    here: Issuer, there: Issuer, spy: Spy
) -> None:
    token = (await here.issue("alice")).access_token
    spy.gates["revocations"] = anyio.Event()
    answers: list[Any] = []

    async def others() -> None:
        answers.extend(await all_at_once(5, lambda: there.authenticate(token)))

    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as leader:
                leader.start_soon(there.authenticate, token)
                await anyio.wait_all_tasks_blocked()
                group.start_soon(others)
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
        spy.gates["revocations"].set()

    assert len(answers) == 5


async def test_a_clock_that_steps_back_does_not_stop_the_polls(
    here: Issuer, there: Issuer, clock: Clock
) -> None:
    token = (await here.issue("alice")).access_token
    clock.advance(300)
    assert await accepted(there, token)
    clock.advance(-200)
    await here.revoke(there.verify(token)["sid"])

    assert not await accepted(there, token)


async def test_a_poll_asks_only_for_what_is_new(clock: Clock) -> None:
    asked: list[str | None] = []

    class Log:
        async def revocations(self, cursor: str | None) -> tuple[list[Revocation], str]:
            asked.append(cursor)
            return [], f"after {cursor}"

    store: Any = Log()
    denylist = Denylist(store, clock, max_age=1.0)
    for _ in range(3):
        await denylist.update()
        clock.advance(1)

    assert asked == [None, "after None", "after after None"]


# --- live, in an outage ---------------------------------------------------------------------------


async def test_in_an_outage_what_is_known_stands(
    here: Issuer, there: Issuer, clock: Clock, spy: Spy
) -> None:
    good, bad = await here.issue("alice"), await here.issue("bob")
    await here.revoke(bad.session_id)
    assert not await accepted(there, bad.access_token)
    spy.broken = {"revocations"}
    for _ in range(5):
        clock.advance(60)

        assert await accepted(there, good.access_token)
        assert not await accepted(there, bad.access_token)


async def test_an_outage_at_the_start_accepts_what_the_signature_vouches_for(
    here: Issuer, there: Issuer, spy: Spy
) -> None:
    token = (await here.issue("alice")).access_token
    spy.broken = {"*"}

    assert await accepted(there, token)


async def test_in_an_outage_the_store_is_asked_after_1_2_4_and_so_on_up_to_30_seconds(
    there: Issuer, clock: Clock, spy: Spy
) -> None:
    assert there.denylist is not None
    spy.broken = {"revocations"}
    began, asked = clock(), []
    for tenth in range(1600):
        clock.now = began + tenth / 10
        calls = spy.count("revocations")
        await there.denylist.update()
        if spy.count("revocations") > calls:
            asked.append(tenth / 10)

    assert asked == [0, 1, 3, 7, 15, 31, 61, 91, 121, 151]


async def test_after_an_outage_the_pauses_begin_anew(there: Issuer, clock: Clock, spy: Spy) -> None:
    assert there.denylist is not None
    spy.broken = {"revocations"}
    for pause in (0, 1, 2, 4):
        clock.advance(pause)
        await there.denylist.update()
    spy.broken = set()
    clock.advance(8)
    await there.denylist.update()
    spy.broken = {"revocations"}
    clock.advance(1)
    await there.denylist.update()
    spy.calls.clear()
    clock.advance(0.999)
    await there.denylist.update()
    assert spy.calls == []
    clock.advance(0.001)
    await there.denylist.update()

    assert spy.calls == ["revocations"]


async def test_the_pause_after_a_failure_counts_from_the_failure(clock: Clock) -> None:
    asked: list[float] = []

    class TakesASecondToFail:
        async def revocations(self, _cursor: str | None) -> tuple[list[Revocation], str]:
            asked.append(clock())
            clock.advance(1.0)  # store_timeout
            raise StoreUnavailable

    store: Any = TakesASecondToFail()
    denylist = Denylist(store, clock, max_age=1.0)
    await denylist.update()
    await denylist.update()  # at once: it is not asked again for a second

    assert len(asked) == 1


async def test_what_was_revoked_in_an_outage_bites_after_it(
    here: Issuer, there: Issuer, clock: Clock, spy: Spy
) -> None:
    token = (await here.issue("alice")).access_token
    await there.authenticate(token)
    spy.broken = {"revocations"}
    clock.advance(1)
    await there.authenticate(token)
    await here.revoke(there.verify(token)["sid"])
    spy.broken = set()
    assert await accepted(there, token)
    clock.advance(1)

    assert not await accepted(there, token)


async def test_ones_own_revocation_bites_while_the_log_cannot_be_read(
    there: Issuer, spy: Spy
) -> None:
    tokens = await there.issue("alice")
    spy.broken = {"revocations"}
    await there.revoke(tokens.session_id)

    assert not await accepted(there, tokens.access_token)


async def test_a_failed_poll_is_told_once(
    here: Issuer, there: Issuer, spy: Spy, events: list[Event]
) -> None:
    token = (await here.issue("alice")).access_token
    spy.broken = {"revocations"}
    for _ in range(3):
        await there.authenticate(token)

    assert events == [Event("store_unavailable", reason="revocations", detail="OSError")]


async def test_a_hanging_poll_holds_a_request_for_one_store_timeout(
    here: Issuer, clock: Clock, spy: Spy
) -> None:
    config = Config(store_timeout=timedelta(milliseconds=50))
    there = make_issuer(clock, store=spy, config=config)
    token = (await here.issue("alice")).access_token
    spy.hanging = {"revocations"}

    with anyio.fail_after(2):
        answers = await all_at_once(20, lambda: there.authenticate(token))
    assert [answer["sub"] for answer in answers] == ["alice"] * 20


async def test_a_poll_that_hangs_after_good_ones_is_left_alone_for_a_second_too(
    clock: Clock,
) -> None:
    spy = Spy()
    denylist = Denylist(spy, clock, max_age=1.0, patience=0.05)
    await denylist.update()
    spy.hanging = {"revocations"}
    clock.advance(1)
    await denylist.update()
    clock.advance(0.999)
    await denylist.update()

    assert spy.count("revocations") == 2


async def test_all_who_waited_for_a_poll_that_hangs_put_it_off_once(clock: Clock) -> None:
    spy = Spy()
    spy.hanging = {"revocations"}
    denylist = Denylist(spy, clock, max_age=1.0, patience=0.05)
    await all_at_once(5, denylist.update)
    asked = spy.count("revocations")
    clock.advance(1)
    await denylist.update()

    assert spy.count("revocations") == asked + 1


# --- always ---------------------------------------------------------------------------------------


@pytest.fixture
def always(clock: Clock, spy: Spy) -> Issuer:
    return make_issuer(clock, store=spy, config=Config(revocation="always"))


async def test_always_asks_on_every_request(here: Issuer, always: Issuer, spy: Spy) -> None:
    token = (await here.issue("alice")).access_token
    for _ in range(5):
        await always.authenticate(token)

    assert spy.calls == ["revocations"] * 5


async def test_always_bites_at_once(here: Issuer, always: Issuer) -> None:
    tokens = await here.issue("alice")
    assert await accepted(always, tokens.access_token)
    await here.revoke(tokens.session_id)

    assert not await accepted(always, tokens.access_token)


@pytest.mark.parametrize("failure", ["broken", "hanging"])
async def test_always_fails_closed(here: Issuer, clock: Clock, spy: Spy, failure: str) -> None:
    config = Config(revocation="always", store_timeout=timedelta(milliseconds=50))
    always = make_issuer(clock, store=spy, config=config)
    token = (await here.issue("alice")).access_token
    assert await accepted(always, token)
    setattr(spy, failure, {"revocations"})
    with anyio.fail_after(2):
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await always.authenticate(token)
    setattr(spy, failure, set())

    assert await accepted(always, token)


async def test_always_answers_parallel_requests_by_a_read_that_began_after_them(
    here: Issuer, always: Issuer, spy: Spy
) -> None:
    tokens = await here.issue("alice")
    spy.gates["revocations"] = anyio.Event()
    refusals: list[bool] = []

    async def ask() -> None:
        refusals.append(not await accepted(always, tokens.access_token))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        await here.revoke(tokens.session_id)
        for _ in range(10):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        spy.gates["revocations"].set()

    assert refusals[1:] == [True] * 10
    assert spy.count("revocations") == 2


# --- refresh --------------------------------------------------------------------------------------


async def test_with_revocation_refresh_an_access_token_just_runs_out(
    here: Issuer, clock: Clock, spy: Spy
) -> None:
    there = make_issuer(clock, store=spy, config=Config(revocation="refresh"))
    tokens = await there.issue("alice")
    await there.revoke(tokens.session_id)
    spy.calls.clear()
    clock.advance(ACCESS - 1)

    assert await accepted(there, tokens.access_token)
    assert there.denylist is None
    assert spy.calls == []
    with pytest.raises(RevokedTokenError):
        await there.refresh(tokens.refresh_token)


# --- what is kept ---------------------------------------------------------------------------------


def entry(until: float = 1e10, **values: Any) -> Revocation:
    return Revocation("s", 0.0, until, **values)


def token(generation: int = 1, jti: str = "j") -> AccessToken:
    return AccessToken(
        FrozenDict(sub="alice", sid="s", jti=jti, exp=1e9, iat=0, auth_time=0, gen=generation)
    )


@pytest.fixture
def denylist(clock: Clock) -> Denylist:
    return Denylist(MemoryStore(), clock, max_age=1.0)


def test_an_empty_denylist_refuses_nothing(denylist: Denylist) -> None:
    assert denylist.refuses(token()) is False


def test_the_end_of_a_session_refuses_all_its_tokens(denylist: Denylist) -> None:
    denylist.note(entry())

    assert denylist.refuses(token(99, "any")) is True


def test_access_from_refuses_earlier_generations_only(denylist: Denylist) -> None:
    denylist.note(entry(access_from=3))

    assert [denylist.refuses(token(generation)) for generation in (1, 2, 3, 4)] == [
        True, True, False, False,
    ]  # fmt: skip


def test_a_jti_refuses_one_token_only(denylist: Denylist) -> None:
    denylist.note(entry(jti="j"))

    assert denylist.refuses(token(jti="j")) is True
    assert denylist.refuses(token(jti="k")) is False


def test_several_entries_of_one_session_all_count(denylist: Denylist) -> None:
    denylist.note(entry(access_from=2))
    denylist.note(entry(access_from=4, jti="a"))
    denylist.note(entry(jti="b"))

    assert denylist.refuses(token(3)) is True
    assert denylist.refuses(token(5, "a")) is True
    assert denylist.refuses(token(5, "b")) is True
    assert denylist.refuses(token(5, "c")) is False


async def test_several_entries_of_one_poll_all_count(clock: Clock) -> None:
    memory = MemoryStore()
    denylist = Denylist(memory, clock, max_age=1.0)
    for jti in "ab":
        await memory.revoke("s", entry(jti=jti))
    await denylist.update()

    assert denylist.refuses(token(jti="a")) is True
    assert denylist.refuses(token(jti="b")) is True


def test_an_older_entry_never_takes_back_a_newer(denylist: Denylist) -> None:
    denylist.note(entry(access_from=4))
    denylist.note(entry(access_from=2))

    assert denylist.refuses(token(3)) is True


def test_an_entry_that_comes_again_is_kept_once(denylist: Denylist) -> None:
    for _ in range(3):
        denylist.note(entry(access_from=2))

    assert denylist.by_session == {"s": (entry(access_from=2),)}


@pytest.mark.parametrize("longer", [0.0, 100.0])
def test_an_entry_of_the_same_generations_takes_the_place_of_one_that_is_over_no_later(
    denylist: Denylist, longer: float
) -> None:
    later = Revocation("s", 1.0, 2e9 + longer, access_from=2)
    denylist.note(entry(2e9, access_from=2))
    denylist.note(later)

    assert denylist.by_session == {"s": (later,)}


def test_a_session_is_full_of_single_refusals_at_32(denylist: Denylist) -> None:
    for number in range(31):
        denylist.note(entry(jti=str(number)))
    assert not denylist.is_full("s")
    denylist.note(entry(jti="31"))

    assert denylist.is_full("s")
    assert not denylist.is_full("another")


def test_a_process_that_only_revokes_forgets_what_is_over_every_half_minute(
    denylist: Denylist, clock: Clock
) -> None:
    denylist.note(Revocation("over", 0.0, clock() + SWEEP))
    clock.advance(SWEEP)
    denylist.note(entry())

    assert denylist.by_session.keys() == {"s"}


@pytest.mark.parametrize("order", [1, -1])
def test_the_end_of_a_session_stands_for_all_its_entries(denylist: Denylist, order: int) -> None:
    for one in [entry(jti="j"), entry(access_from=2), entry(500.0), entry(900.0)][::order]:
        denylist.note(one)

    assert denylist.by_session == {"s": (entry(900.0),)}


async def test_an_entry_leaves_once_its_until_is_over(
    here: Issuer, there: Issuer, clock: Clock
) -> None:
    assert there.denylist is not None
    tokens = await here.issue("alice")
    await there.denylist.update()
    await here.revoke(tokens.session_id)
    clock.advance(KEPT - 0.001)
    await there.denylist.update()
    assert tokens.session_id in there.denylist.by_session
    clock.advance(SWEEP)
    await there.denylist.update()

    assert there.denylist.by_session == {}


async def test_an_entry_that_is_over_when_it_is_read_is_not_kept(clock: Clock) -> None:
    memory = MemoryStore()
    denylist = Denylist(memory, clock, max_age=1.0)
    await denylist.update()
    await memory.revoke("s", entry(clock() + 1))
    clock.advance(1)
    await denylist.update()

    assert denylist.by_session == {}


async def test_an_entry_stays_as_long_as_a_token_it_concerns_may_be_out(
    denylist: Denylist, clock: Clock
) -> None:
    denylist.note(entry(clock() + SWEEP + 0.001))
    clock.advance(SWEEP)
    await denylist.update()
    assert denylist.refuses(token()) is True
    clock.advance(SWEEP)
    await denylist.update()

    assert denylist.by_session == {}


async def test_of_several_entries_of_a_session_only_what_is_over_leaves(
    denylist: Denylist, clock: Clock
) -> None:
    await denylist.update()
    denylist.note(entry(clock() + SWEEP, jti="a"))
    denylist.note(entry(clock() + 2 * SWEEP, jti="b"))
    clock.advance(SWEEP)
    await denylist.update()

    assert denylist.by_session == {"s": (entry(clock() + SWEEP, jti="b"),)}


async def test_a_flood_of_revocations_leaves_again(
    here: Issuer, there: Issuer, clock: Clock
) -> None:
    assert there.denylist is not None
    for number in range(5_000):
        await here.revoke(str(number))
    await there.denylist.update()
    assert len(there.denylist.by_session) == 5_000
    clock.advance(KEPT)
    await there.denylist.update()

    assert there.denylist.by_session == {}


async def test_a_client_that_retires_token_after_token_costs_each_process_linear_time(
    clock: Clock, memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One signed-in client can make thousands of these within the life of an access token.
    for number in range(1000):
        await memory.revoke("s", entry(access_from=2, jti=str(number)))
    denylist = Denylist(memory, clock, max_age=1.0)
    compared = 0
    equal = Revocation.__eq__

    def counting(one: Revocation, other: object) -> bool:
        nonlocal compared
        compared += 1
        return equal(one, other)

    monkeypatch.setattr(Revocation, "__eq__", counting)
    await denylist.update()

    assert compared <= 10 * 1000
    assert denylist.refuses(token(2, "0"))
    assert denylist.refuses(token(2, "999"))
    assert not denylist.refuses(token(2, "1000"))


async def test_random_tokens_write_nothing(there: Issuer, spy: Spy) -> None:
    for number in range(50):
        with pytest.raises(Exception, match="not valid"):
            await there.authenticate(f"a.b.{number}")
        with pytest.raises(Exception, match="not valid"):
            await there.refresh(f"s.{number}.tag")

    assert spy.calls == []


async def test_a_session_that_is_ended_over_and_over_is_remembered_once(
    clock: Clock, memory: MemoryStore
) -> None:
    # One genuine old token, posted to /logout again and again, logs an entry each time.
    denylist = Denylist(memory, clock, max_age=1.0)
    for number in range(1000):
        denylist.note(entry(clock() + number))

    assert denylist.by_session == {"s": (entry(clock() + 999),)}
    assert len(denylist._noted) <= 1
