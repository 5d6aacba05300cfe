"""The issuer in both modes, without HTTP: what it answers, what it writes, and what it tells."""

from __future__ import annotations

import functools
import logging
import sqlite3
import threading
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio
import pytest

from asgi_refresh import Client, Config, Event, Issuer, MemoryStore, Session, Tokens
from asgi_refresh.errors import (
    AccessDeniedError,
    ClaimsUnavailable,
    ExpiredTokenError,
    InvalidTokenError,
    RefreshError,
    ReusedTokenError,
    RevokedTokenError,
    StoreRequiredError,
    StoreUnavailable,
)
from asgi_refresh.rotating import _DEAD_MOST
from asgi_refresh.rotation import Verdict
from asgi_refresh.sessions import FrozenDict
from asgi_refresh.settler import Retire
from asgi_refresh.telemetry import log_event
from asgi_refresh.tokens import RefreshToken
from tests.support import SECRET, Clock, Spy, make_issuer, new_session

pytestmark = pytest.mark.anyio

ACCESS = 600.0
GRACE = 60.0
LEEWAY = 5.0
W = GRACE + 2 * LEEWAY
DAY = 86_400.0
IDLE = 14 * DAY
LIFETIME = 90 * DAY
QUICK = Config(store_timeout=timedelta(milliseconds=50))


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def spy(memory: MemoryStore) -> Spy:
    return Spy(memory)


@pytest.fixture
def issuer(clock: Clock, spy: Spy, events: list[Event]) -> Issuer:
    return make_issuer(clock, store=spy, on_event=events.append)


@pytest.fixture
def stateless(clock: Clock, events: list[Event]) -> Issuer:
    return make_issuer(clock, store=None, on_event=events.append)


def names(events: list[Event]) -> list[str]:
    return [event.name for event in events]


def told(events: list[Event]) -> list[tuple[str, str | None]]:
    return [(event.name, event.reason) for event in events]


async def together(count: int, call: Callable[[], Awaitable[Any]]) -> list[Any]:
    """The answers, and the errors, of *count* calls that run at the same time."""
    answers: list[Any] = []

    async def one() -> None:
        try:
            answers.append(await call())
        except RefreshError as error:
            answers.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(one)
    return answers


async def kept(memory: MemoryStore, tokens: Tokens) -> Session:
    session = await memory.get(tokens.session_id)
    assert session is not None
    return session


def generation(issuer: Issuer, refresh_token: str) -> int:
    return issuer.profile.read_refresh(refresh_token.encode()).generation


# --- signing in -----------------------------------------------------------------------------------


async def test_issue_gives_an_access_token_with_the_claims(issuer: Issuer) -> None:
    tokens = await issuer.issue("alice", {"role": "admin"})
    payload = await issuer.authenticate(tokens.access_token)

    assert (payload["sub"], payload["sid"], payload["role"], payload["gen"]) == (
        "alice", tokens.session_id, "admin", 1,
    )  # fmt: skip


async def test_issue_tells_how_long_the_tokens_are_good(issuer: Issuer) -> None:
    tokens = await issuer.issue("alice")

    assert (tokens.expires_in, tokens.refresh_expires_in) == (ACCESS, IDLE)


async def test_issue_keeps_a_session_as_it_begins(
    issuer: Issuer, clock: Clock, memory: MemoryStore
) -> None:
    tokens = await issuer.issue("alice", {"role": "admin"}, persistent=False, device="phone")
    now = clock()

    assert await kept(memory, tokens) == Session(
        id=tokens.session_id,
        subject="alice",
        created_at=now,
        auth_time=now,
        expires_at=now + LIFETIME,
        idle_expires_at=now + IDLE,
        claims={"role": "admin"},
        persistent=False,
        device="phone",
        last_seen=now,
    )


@pytest.mark.parametrize("stored", [True, False])
async def test_issue_is_told_once(clock: Clock, events: list[Event], stored: bool) -> None:
    issuer = make_issuer(clock, store=MemoryStore() if stored else None, on_event=events.append)
    tokens = await issuer.issue("alice")

    assert events == [Event("issued", "alice", tokens.session_id)]


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("persistent", [True, False])
async def test_persistent_stays_what_it_was_at_login(
    clock: Clock, stored: bool, persistent: bool
) -> None:
    issuer = make_issuer(clock, store=MemoryStore() if stored else None)
    tokens = await issuer.issue("alice", persistent=persistent)
    clock.advance(ACCESS)

    assert tokens.persistent is persistent
    assert (await issuer.refresh(tokens.refresh_token)).persistent is persistent


async def test_a_login_outlives_the_browser_unless_told_otherwise(issuer: Issuer) -> None:
    assert (await issuer.issue("alice")).persistent is True


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "bob"},
        {"gen": 1},
        {"x": float("nan")},
        {"x": object()},
        {"x": "y" * 5000},
        {1: "x"},
        {"x": b"bytes"},
    ],
    ids=["sub", "gen", "NaN", "object", "oversize", "int name", "bytes"],
)
async def test_claims_that_no_token_may_hold_are_refused_at_login(
    issuer: Issuer, stateless: Issuer, spy: Spy, claims: Any
) -> None:
    for one in (issuer, stateless):
        with pytest.raises(ValueError, match=r"claim|JSON"):
            await one.issue("alice", claims)
    assert spy.calls == []


@pytest.mark.parametrize("subject", ["", "a\nb", "a" * 256, "\ud800", None, 7])
async def test_what_is_no_subject_is_refused_at_login(
    issuer: Issuer, spy: Spy, subject: Any
) -> None:
    with pytest.raises(ValueError, match="subject"):
        await issuer.issue(subject)
    assert spy.calls == []


async def test_session_ids_differ(issuer: Issuer) -> None:
    assert len({(await issuer.issue("alice")).session_id for _ in range(20)}) == 20


async def test_without_the_store_nobody_is_signed_in(issuer: Issuer, spy: Spy) -> None:
    spy.broken = {"add"}

    with pytest.raises(StoreUnavailable):
        await issuer.issue("alice")


# --- verify and authenticate ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "token", ["", "x", "a.b.c", "é", "\ud800", "x" * 100_000, None, 7, b"bytes"]
)
async def test_garbage_is_an_invalid_token_and_costs_no_store_call(
    issuer: Issuer, spy: Spy, token: Any
) -> None:
    for call in (issuer.authenticate, issuer.refresh):
        with pytest.raises(InvalidTokenError):
            await call(token)
    with pytest.raises(InvalidTokenError):
        issuer.verify(token)
    assert spy.calls == []


async def test_no_token_passes_as_one_of_another_kind(issuer: Issuer, spy: Spy) -> None:
    tokens = await issuer.issue("alice")
    spy.calls.clear()

    with pytest.raises(InvalidTokenError):
        await issuer.refresh(tokens.access_token)
    with pytest.raises(InvalidTokenError):
        await issuer.authenticate(tokens.refresh_token)
    assert spy.calls == []


async def test_no_refresh_token_passes_in_the_other_mode(issuer: Issuer, stateless: Issuer) -> None:
    with pytest.raises(InvalidTokenError):
        await issuer.refresh((await stateless.issue("alice")).refresh_token)
    with pytest.raises(InvalidTokenError):
        await stateless.refresh((await issuer.issue("alice")).refresh_token)


@pytest.mark.parametrize("change", ["other generation", "other session", "tag"])
async def test_a_forged_refresh_token_costs_no_store_call(
    issuer: Issuer, spy: Spy, change: str
) -> None:
    session_id, number, tag = (await issuer.issue("alice")).refresh_token.split(".")
    forged = {
        "other generation": f"{session_id}.{int(number) + 1}.{tag}",
        "other session": f"{session_id[::-1]}.{number}.{tag}",
        "tag": f"{session_id}.{number}.{tag[::-1]}",
    }[change]
    spy.calls.clear()

    with pytest.raises(InvalidTokenError) as caught:
        await issuer.refresh(forged)
    assert caught.value.reason == "invalid_token"
    assert spy.calls == []


async def test_an_access_token_ends_exactly_at_its_exp(issuer: Issuer, clock: Clock) -> None:
    tokens = await issuer.issue("alice")
    clock.advance(ACCESS - 0.001)
    assert issuer.verify(tokens.access_token)["sub"] == "alice"
    clock.advance(0.001)

    with pytest.raises(ExpiredTokenError):
        issuer.verify(tokens.access_token)
    with pytest.raises(ExpiredTokenError):
        await issuer.authenticate(tokens.access_token)


def test_an_access_token_that_is_known_is_not_verified_again(clock: Clock) -> None:
    issuer = make_issuer(clock, store=None)
    session = issuer.mint.session("alice", None, persistent=True, device=None)
    raw = issuer.mint.access(session, FrozenDict()).raw

    assert issuer.read_access(raw) is issuer.read_access(raw)


async def test_an_expired_access_token_is_not_remembered(clock: Clock, issuer: Issuer) -> None:
    tokens = await make_issuer(clock, store=None).issue("alice")
    raw = tokens.access_token.encode()
    issuer.verify(tokens.access_token)
    assert issuer.cache.get(raw) is not None
    issuer = make_issuer(clock, store=None)
    clock.advance(ACCESS)
    with pytest.raises(ExpiredTokenError):
        issuer.verify(tokens.access_token)

    assert issuer.cache.get(raw) is None


async def test_verify_does_not_ask_for_revocations(issuer: Issuer) -> None:
    tokens = await issuer.issue("alice")
    await issuer.revoke(tokens.session_id)

    assert issuer.verify(tokens.access_token)["sub"] == "alice"
    with pytest.raises(RevokedTokenError):
        await issuer.authenticate(tokens.access_token)


async def test_a_payload_is_read_only(issuer: Issuer) -> None:
    tokens = await issuer.issue("alice", {"deep": {"list": [1]}})
    payload: Any = issuer.verify(tokens.access_token)

    for change in (
        lambda: payload.update(sub="bob"),
        payload["deep"].clear,
        lambda: payload["deep"]["list"].append(2),
    ):
        with pytest.raises((TypeError, AttributeError)):
            change()


# --- refreshing, one caller -----------------------------------------------------------------------


async def test_a_refresh_rotates(issuer: Issuer, clock: Clock, memory: MemoryStore) -> None:
    first = await issuer.issue("alice", {"role": "admin"})
    clock.advance(ACCESS)
    second = await issuer.refresh(first.refresh_token)
    session = await kept(memory, first)

    assert second.session_id == first.session_id
    assert generation(issuer, second.refresh_token) == 2
    assert (session.current, session.previous, session.rotated_at) == (2, 1, clock())
    assert (session.idle_expires_at, session.last_seen) == (clock() + IDLE, clock())
    assert (await issuer.authenticate(second.access_token))["role"] == "admin"


async def test_a_rotation_takes_one_read_and_one_write(
    issuer: Issuer, clock: Clock, spy: Spy
) -> None:
    first = await issuer.issue("alice")
    clock.advance(ACCESS)
    spy.calls.clear()
    await issuer.refresh(first.refresh_token)

    assert spy.calls == ["get", "replace"]


async def test_a_rotation_raises_the_version_by_one(
    issuer: Issuer, clock: Clock, memory: MemoryStore
) -> None:
    first = await issuer.issue("alice")
    clock.advance(ACCESS)
    await issuer.refresh(first.refresh_token)

    assert (await kept(memory, first)).version == 2


async def test_the_newest_token_is_repeated_within_w_and_writes_nothing(
    issuer: Issuer, clock: Clock, spy: Spy, events: list[Event]
) -> None:
    first = await issuer.issue("alice")
    second = await issuer.refresh(first.refresh_token)
    spy.calls.clear()
    clock.advance(W - 0.001)
    events.clear()

    assert (await issuer.refresh(second.refresh_token)).refresh_token == second.refresh_token
    assert spy.count("replace") == 0
    assert told(events) == [("repeated", "current")]
    clock.advance(0.001)
    third = await issuer.refresh(second.refresh_token)
    assert generation(issuer, third.refresh_token) == 3


@pytest.mark.parametrize(
    ("after", "event"),
    [
        (1.0, ("repeated", "grace")),
        (W - 0.001, ("repeated", "grace")),
        (W, ("recovered", "late")),
        (DAY, ("recovered", "late")),
    ],
)
async def test_a_lost_response_is_made_good_by_the_same_token(
    issuer: Issuer, clock: Clock, events: list[Event], after: float, event: tuple[str, str]
) -> None:
    first = await issuer.issue("alice")
    clock.advance(ACCESS)
    lost = await issuer.refresh(first.refresh_token)
    clock.advance(after)
    events.clear()
    again = await issuer.refresh(first.refresh_token)

    assert again.refresh_token == lost.refresh_token
    assert told(events) == [event]
    assert (await issuer.authenticate(again.access_token))["sub"] == "alice"


async def test_a_late_recovery_is_marked_at_the_look(
    issuer: Issuer, clock: Clock, memory: MemoryStore
) -> None:
    first = await issuer.issue("alice")
    await issuer.refresh(first.refresh_token)
    clock.advance(W)
    look = await issuer.mode.look(RefreshToken(first.session_id, 1), client=None)
    session = await kept(memory, first)

    assert look.verdict is Verdict.LATE
    assert (session.late, session.current, session.version) == (2, 2, 3)


async def test_a_late_recovery_that_loses_the_race_is_decided_again(
    issuer: Issuer, clock: Clock, spy: Spy, memory: MemoryStore
) -> None:
    first = await issuer.issue("alice")
    second = await issuer.refresh(first.refresh_token)
    clock.advance(W)
    spy.gates["replace"] = anyio.Event()
    answers: list[Any] = []

    async def late() -> None:
        answers.extend(await together(1, lambda: issuer.refresh(first.refresh_token)))

    other = make_issuer(clock, store=memory)
    async with anyio.create_task_group() as group:
        group.start_soon(late)
        await anyio.wait_all_tasks_blocked()
        await other.refresh(second.refresh_token)  # the successor is used meanwhile
        clock.advance(W)
        third = await other.refresh((await other.refresh(second.refresh_token)).refresh_token)
        assert generation(issuer, third.refresh_token) == 4
        spy.gates.pop("replace").set()

    assert isinstance(answers[0], ReusedTokenError)


@pytest.mark.parametrize("after", [1.0, W / 2 - 1, W / 2, W - 1, W, DAY])
async def test_a_client_that_loses_two_generations_running_is_never_told_that_it_is_over(
    issuer: Issuer, clock: Clock, events: list[Event], after: float
) -> None:
    first = await issuer.issue("alice")
    await issuer.refresh(first.refresh_token)  # lost
    clock.advance(ACCESS)
    second = await issuer.refresh(first.refresh_token)  # late
    clock.advance(ACCESS)
    await issuer.refresh(second.refresh_token)  # lost
    clock.advance(after)
    events.clear()
    [answer] = await together(1, lambda: issuer.refresh(second.refresh_token))

    assert isinstance(answer, Tokens)
    assert generation(issuer, answer.refresh_token) == (3 if after < W else 4)
    assert ("rejected", "session_ended") not in told(events)


async def test_a_store_that_is_slow_as_the_grace_ends_tells_no_client_that_it_is_over(
    clock: Clock, memory: MemoryStore
) -> None:
    class SlowAtSettling(Spy):
        slow = False

        def __getattr__(self, name: str) -> Any:
            if self.slow and self.count("get") == 1:
                clock.advance(0.6)
            return super().__getattr__(name)

    spy = SlowAtSettling(memory)
    issuer = make_issuer(clock, store=spy)
    first = await issuer.issue("alice")
    await issuer.refresh(first.refresh_token)  # lost
    clock.advance(ACCESS)
    second = await issuer.refresh(first.refresh_token)  # late
    clock.advance(ACCESS)
    await issuer.refresh(second.refresh_token)  # lost
    clock.advance(W - 0.5)
    spy.calls.clear()
    spy.slow = True
    [answer] = await together(1, lambda: issuer.refresh(second.refresh_token))

    assert not isinstance(answer, InvalidTokenError)


async def test_a_browser_gets_no_cookies_that_a_fork_may_void_on_their_way(
    issuer: Issuer, clock: Clock
) -> None:
    first = await issuer.issue("alice")
    await issuer.refresh(first.refresh_token)
    clock.advance(ACCESS)
    second = await issuer.refresh(first.refresh_token)  # late
    clock.advance(ACCESS)
    await issuer.refresh(second.refresh_token)
    clock.advance(W / 2)
    look = await issuer.mode.look(RefreshToken(first.session_id, 2), client=None)

    assert look.verdict is Verdict.GRACE
    assert await issuer.mode.settle(look, client=None) is None


async def test_two_generations_lost_running_fork(
    issuer: Issuer, clock: Clock, events: list[Event], memory: MemoryStore
) -> None:
    first = await issuer.issue("alice")
    await issuer.refresh(first.refresh_token)
    clock.advance(ACCESS)
    second = await issuer.refresh(first.refresh_token)  # late
    clock.advance(ACCESS)
    await issuer.refresh(second.refresh_token)  # lost
    clock.advance(ACCESS)
    events.clear()
    forked = await issuer.refresh(second.refresh_token)

    assert told(events) == [("recovered", "fork")]
    assert generation(issuer, forked.refresh_token) == 4
    assert (await kept(memory, first)).forked is True
    assert (await issuer.authenticate(forked.access_token))["sub"] == "alice"


async def test_a_token_from_lost_writes_is_taken_and_told(
    issuer: Issuer, clock: Clock, events: list[Event], memory: MemoryStore
) -> None:
    first = await issuer.issue("alice")
    backup = await kept(memory, first)
    second = await issuer.refresh(first.refresh_token)
    memory._sessions[first.session_id] = backup
    clock.advance(ACCESS)
    events.clear()
    third = await issuer.refresh(second.refresh_token)

    assert told(events) == [("recovered", "ahead")]
    assert generation(issuer, third.refresh_token) == 3


async def test_an_ancient_token_ends_the_session_and_raises_the_alarm(
    issuer: Issuer, clock: Clock, events: list[Event], memory: MemoryStore
) -> None:
    first = await issuer.issue("alice")
    second = await issuer.refresh(first.refresh_token)
    clock.advance(ACCESS)
    third = await issuer.refresh(second.refresh_token)
    events.clear()
    client = Client("192.0.2.1", "thief")
    with pytest.raises(ReusedTokenError):
        await issuer.refresh(first.refresh_token, client=client)

    sid = first.session_id
    assert events == [
        Event("reused", "alice", sid, "theft", "generation 1 of 3", client),
        Event("revoked", "alice", sid, "reused_token", client=client),
    ]
    assert await memory.get(sid) is None
    with pytest.raises(RevokedTokenError):
        await issuer.refresh(third.refresh_token)
    with pytest.raises(RevokedTokenError):
        await issuer.authenticate(third.access_token)


async def test_an_alarm_whose_revocation_fails_is_raised_again(
    issuer: Issuer, clock: Clock, spy: Spy, memory: MemoryStore
) -> None:
    first = await issuer.issue("alice")
    second = await issuer.refresh(first.refresh_token)
    clock.advance(ACCESS)
    await issuer.refresh(second.refresh_token)
    spy.broken = {"revoke"}
    with pytest.raises(StoreUnavailable):
        await issuer.refresh(first.refresh_token)
    spy.broken = set()

    with pytest.raises(ReusedTokenError):
        await issuer.refresh(first.refresh_token)
    assert await memory.get(first.session_id) is None


async def test_a_thief_who_hangs_up_ends_the_session_all_the_same(
    issuer: Issuer, clock: Clock, spy: Spy, memory: MemoryStore
) -> None:
    first = await issuer.issue("alice")
    second = await issuer.refresh(first.refresh_token)
    clock.advance(ACCESS)
    await issuer.refresh(second.refresh_token)
    spy.gates["revoke"] = anyio.Event()

    async def opens_the_gate() -> None:
        await anyio.wait_all_tasks_blocked()
        spy.gates["revoke"].set()

    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as thief:
                thief.start_soon(together, 1, lambda: issuer.refresh(first.refresh_token))
                await anyio.wait_all_tasks_blocked()
                group.start_soon(opens_the_gate)
                scope.cancel()

    assert await memory.get(first.session_id) is None


async def test_an_unknown_session_is_over(issuer: Issuer, spy: Spy) -> None:
    first = await issuer.issue("alice")
    await issuer.revoke(first.session_id)

    with pytest.raises(RevokedTokenError) as caught:
        await issuer.refresh(first.refresh_token)
    assert caught.value.reason == "session_ended"


# --- refreshing, many callers ---------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 50, 500])
async def test_all_parallel_callers_get_the_one_successor(
    issuer: Issuer, clock: Clock, count: int
) -> None:
    first = await issuer.issue("alice")
    clock.advance(ACCESS)
    answers = await together(count, lambda: issuer.refresh(first.refresh_token))

    assert {generation(issuer, tokens.refresh_token) for tokens in answers} == {2}
    assert len({tokens.refresh_token for tokens in answers}) == 1
    assert len(answers) == count


@pytest.mark.parametrize("count", [2, 50, 500])
async def test_parallel_callers_cost_one_write_and_a_few_reads(
    issuer: Issuer, clock: Clock, spy: Spy, count: int
) -> None:
    first = await issuer.issue("alice")
    clock.advance(ACCESS)
    spy.calls.clear()
    await together(count, lambda: issuer.refresh(first.refresh_token))

    assert spy.count("replace") == 1
    assert spy.count("get") <= 6
    assert len(spy.calls) == spy.count("get", "replace")


async def test_parallel_callers_are_told_one_rotation(
    issuer: Issuer, clock: Clock, events: list[Event]
) -> None:
    first = await issuer.issue("alice")
    clock.advance(ACCESS)
    events.clear()
    await together(50, lambda: issuer.refresh(first.refresh_token))

    assert names(events).count("refreshed") == 1
    assert names(events).count("repeated") == 49


async def test_parallel_responses_to_looks_at_one_generation_try_one_write(
    issuer: Issuer, clock: Clock, spy: Spy
) -> None:
    first = await issuer.issue("alice")
    clock.advance(ACCESS)
    token = RefreshToken(first.session_id, 1)
    looks = iter([await issuer.mode.look(token, client=None) for _ in range(20)])
    spy.calls.clear()
    grants = await together(20, lambda: issuer.mode.settle(next(looks), client=None))

    assert {grant.session.current for grant in grants} == {2}
    assert spy.count("replace") == 1
    assert spy.count("get") <= 3


async def test_parallel_late_callers_get_the_one_successor(issuer: Issuer, clock: Clock) -> None:
    first = await issuer.issue("alice")
    lost = await issuer.refresh(first.refresh_token)
    clock.advance(DAY)
    answers = await together(50, lambda: issuer.refresh(first.refresh_token))

    assert {tokens.refresh_token for tokens in answers} == {lost.refresh_token}


async def test_parallel_callers_of_a_fork_get_the_one_successor(
    issuer: Issuer, clock: Clock
) -> None:
    first = await issuer.issue("alice")
    await issuer.refresh(first.refresh_token)
    clock.advance(ACCESS)
    second = await issuer.refresh(first.refresh_token)
    clock.advance(ACCESS)
    await issuer.refresh(second.refresh_token)
    clock.advance(ACCESS)
    answers = await together(50, lambda: issuer.refresh(second.refresh_token))

    assert {generation(issuer, tokens.refresh_token) for tokens in answers} == {4}


async def test_two_hosts_rotate_once(
    clock: Clock, spy: Spy, memory: MemoryStore, events: list[Event]
) -> None:
    hosts = [make_issuer(clock, store=spy, on_event=events.append) for _ in range(2)]
    first = await hosts[0].issue("alice")
    clock.advance(ACCESS)
    turn = iter(range(40))
    answers = await together(40, lambda: hosts[next(turn) % 2].refresh(first.refresh_token))

    assert len({tokens.refresh_token for tokens in answers}) == 1
    assert (await kept(memory, first)).version == 2
    assert names(events).count("refreshed") == 1


@pytest.mark.parametrize("ahead", [-LEEWAY, LEEWAY])
@pytest.mark.parametrize("after", [0.0, GRACE, W, DAY])
async def test_hosts_within_the_leeway_never_misjudge(
    clock: Clock, memory: MemoryStore, ahead: float, after: float
) -> None:
    events: list[Event] = []
    here = make_issuer(clock, store=memory, on_event=events.append)
    there = Issuer(SECRET, store=memory, clock=lambda: clock() + ahead, on_event=events.append)
    first = await here.issue("alice")
    second = await here.refresh(first.refresh_token)
    clock.advance(after)

    assert (await there.refresh(first.refresh_token)).refresh_token == second.refresh_token
    tokens = await there.refresh(second.refresh_token)
    assert (await here.authenticate(tokens.access_token))["sub"] == "alice"
    assert (await here.refresh(tokens.refresh_token)).session_id == first.session_id
    assert "clock_skew" not in names(events)
    assert "reused" not in names(events)


@pytest.mark.parametrize(("behind", "skewed"), [(LEEWAY, False), (LEEWAY + 0.5, True)])
async def test_a_host_further_behind_than_the_leeway_is_told(
    clock: Clock, memory: MemoryStore, behind: float, skewed: bool
) -> None:
    events: list[Event] = []
    here = make_issuer(clock, store=memory)
    there = Issuer(SECRET, store=memory, clock=lambda: clock() - behind, on_event=events.append)
    first = await here.issue("alice")
    await here.refresh(first.refresh_token)
    await there.refresh(first.refresh_token)

    assert ("clock_skew" in names(events)) is skewed


async def test_what_is_told_of_a_host_that_is_behind(clock: Clock, memory: MemoryStore) -> None:
    events: list[Event] = []
    client = Client(address="192.0.2.1")
    here = make_issuer(clock, store=memory)
    there = Issuer(SECRET, store=memory, clock=lambda: clock() - 60, on_event=events.append)
    first = await here.issue("alice")
    await here.refresh(first.refresh_token)
    await there.refresh(first.refresh_token, client=client)

    session_id = first.session_id
    detail = "rotated 60.0 s in this host's future"
    assert events[0] == Event("clock_skew", "alice", session_id, detail=detail, client=client)


async def test_a_host_an_hour_behind_signs_nobody_out(clock: Clock, memory: MemoryStore) -> None:
    here = make_issuer(clock, store=memory)
    there = Issuer(SECRET, store=memory, clock=lambda: clock() - 3600, on_event=lambda _: None)
    first = await here.issue("alice")
    second = await here.refresh(first.refresh_token)

    assert (await there.refresh(first.refresh_token)).refresh_token == second.refresh_token
    assert (await there.refresh(second.refresh_token)).refresh_token == second.refresh_token


async def test_an_error_is_not_shared(clock: Clock, memory: MemoryStore) -> None:
    class FailsOnce(Spy):
        def __getattr__(self, name: str) -> Any:
            self.broken = {"get"} if self.count("get") == 0 else set()
            return super().__getattr__(name)

    spy = FailsOnce(memory)
    issuer = make_issuer(clock, store=spy)
    first = await issuer.issue("alice")
    spy.calls.clear()
    answers = await together(5, lambda: issuer.refresh(first.refresh_token))

    assert sum(isinstance(answer, StoreUnavailable) for answer in answers) == 1
    assert sum(isinstance(answer, Tokens) for answer in answers) == 4


async def test_parallel_callers_of_several_sessions_get_each_their_own(
    issuer: Issuer, clock: Clock
) -> None:
    logins = [await issuer.issue(subject) for subject in ("alice", "bob", "carol")]
    clock.advance(ACCESS)
    waiting = iter(logins)
    answers = await together(3, lambda: issuer.refresh(next(waiting).refresh_token))

    def whose(tokens: Tokens) -> tuple[str, str]:
        access = issuer.read_access(tokens.access_token.encode())
        refresh = issuer.profile.read_refresh(tokens.refresh_token.encode())
        return access.session_id, refresh.session_id

    assert {whose(tokens) for tokens in answers} == {whose(tokens) for tokens in logins}


async def test_parallel_looks_again_at_several_sessions_see_each_their_own(
    issuer: Issuer,
) -> None:
    logins = [await issuer.issue(subject) for subject in ("alice", "bob", "carol")]
    looks = [
        await issuer.mode.look(RefreshToken(tokens.session_id, 1), client=None) for tokens in logins
    ]
    await issuer.revoke(logins[1].session_id)
    waiting = iter(looks)

    async def good() -> tuple[str, bool]:
        look = next(waiting)
        return look.session.subject, await issuer.mode.still_good(look)

    assert dict(await together(3, good)) == {"alice": True, "bob": False, "carol": True}


@pytest.mark.parametrize("operation", ["get", "replace"])
async def test_when_the_first_caller_is_cancelled_the_others_are_served(
    issuer: Issuer, clock: Clock, spy: Spy, operation: str
) -> None:
    first = await issuer.issue("alice")
    clock.advance(ACCESS)
    spy.gates[operation] = gate = anyio.Event()
    answers: list[Any] = []

    async def others() -> None:
        answers.extend(await together(10, lambda: issuer.refresh(first.refresh_token)))

    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as leader:
                leader.start_soon(issuer.refresh, first.refresh_token)
                await anyio.wait_all_tasks_blocked()
                group.start_soon(others)
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
        gate.set()

    assert {generation(issuer, tokens.refresh_token) for tokens in answers} == {2}
    assert len(answers) == 10


async def test_a_cancelled_refresh_leaves_a_session_that_refreshes(
    issuer: Issuer, clock: Clock, spy: Spy
) -> None:
    first = await issuer.issue("alice")
    clock.advance(ACCESS)
    spy.gates["replace"] = anyio.Event()
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(issuer.refresh, first.refresh_token)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    spy.gates.clear()

    again = await issuer.refresh(first.refresh_token)
    assert generation(issuer, again.refresh_token) == 2


async def test_parallel_callers_of_an_ended_session_cost_a_few_reads(
    issuer: Issuer, spy: Spy
) -> None:
    first = await issuer.issue("alice")
    await issuer.revoke(first.session_id)
    spy.calls.clear()
    answers = await together(100, lambda: issuer.refresh(first.refresh_token))

    assert {answer.reason for answer in answers} == {"session_ended"}
    assert len(spy.calls) <= 6


async def test_a_thief_in_parallel_raises_one_alarm(
    issuer: Issuer, clock: Clock, events: list[Event]
) -> None:
    first = await issuer.issue("alice")
    second = await issuer.refresh(first.refresh_token)
    clock.advance(ACCESS)
    await issuer.refresh(second.refresh_token)
    answers = await together(20, lambda: issuer.refresh(first.refresh_token))

    assert all(isinstance(answer, RevokedTokenError) for answer in answers)
    assert names(events).count("reused") == 1


# --- between look and settle ----------------------------------------------------------------------


async def test_a_session_that_ends_between_look_and_settle_gives_nothing(
    issuer: Issuer, clock: Clock, memory: MemoryStore, events: list[Event]
) -> None:
    first = await issuer.issue("alice")
    clock.advance(ACCESS)
    look = await issuer.mode.look(RefreshToken(first.session_id, 1), client=None)
    await make_issuer(clock, store=memory).revoke(first.session_id)
    events.clear()

    assert await issuer.mode.settle(look, client=None) is None
    assert told(events) == [("rejected", "session_ended")]
    assert await memory.get(first.session_id) is None


@pytest.mark.parametrize("late", [0.0, 1.0])
async def test_a_session_whose_time_is_over_meanwhile_is_told_as_ended(
    issuer: Issuer, clock: Clock, memory: MemoryStore, events: list[Event], late: float
) -> None:
    first = await issuer.issue("alice")
    look = await issuer.mode.look(RefreshToken(first.session_id, 1), client=None)
    clock.now = (await kept(memory, first)).ends_at + late

    assert await issuer.mode.settle(look, client=None) is None
    assert events[-1] == Event("rejected", "alice", first.session_id, "session_ended")


@pytest.mark.parametrize("verdict", ["grace", "late", "current"])
async def test_a_repeat_is_checked_against_the_store_once_more(
    issuer: Issuer, clock: Clock, memory: MemoryStore, verdict: str
) -> None:
    first = await issuer.issue("alice")
    await issuer.refresh(first.refresh_token)
    clock.advance(W if verdict == "late" else 1)
    shown = 2 if verdict == "current" else 1
    look = await issuer.mode.look(RefreshToken(first.session_id, shown), client=None)
    assert look.verdict.value == verdict
    await make_issuer(clock, store=memory).revoke(first.session_id)

    assert await issuer.mode.settle(look, client=None) is None


async def test_a_revoke_while_the_write_is_on_its_way_wins(
    issuer: Issuer, clock: Clock, spy: Spy, memory: MemoryStore
) -> None:
    first = await issuer.issue("alice")
    clock.advance(ACCESS)
    spy.gates["replace"] = anyio.Event()
    answers: list[Any] = []

    async def refresh() -> None:
        answers.extend(await together(20, lambda: issuer.refresh(first.refresh_token)))

    async with anyio.create_task_group() as group:
        group.start_soon(refresh)
        await anyio.wait_all_tasks_blocked()
        assert await issuer.revoke(first.session_id) is True
        spy.gates["replace"].set()

    assert all(isinstance(answer, RevokedTokenError) for answer in answers)
    assert await memory.get(first.session_id) is None


async def test_a_look_writes_nothing(issuer: Issuer, clock: Clock, spy: Spy) -> None:
    first = await issuer.issue("alice")
    clock.advance(ACCESS)
    spy.calls.clear()
    await issuer.mode.look(RefreshToken(first.session_id, 1), client=None)

    assert spy.calls == ["get"]


async def test_a_slow_handler_gets_what_others_rotated_to(
    issuer: Issuer, clock: Clock, memory: MemoryStore
) -> None:
    first = await issuer.issue("alice")
    clock.advance(ACCESS)
    look = await issuer.mode.look(RefreshToken(first.session_id, 1), client=None)
    second = await make_issuer(clock, store=memory).refresh(first.refresh_token)
    clock.advance(10 * W)
    grant = await issuer.mode.settle(look, client=None)

    assert grant is not None
    assert grant.refresh_token == second.refresh_token.encode()
    assert (await kept(memory, first)).late == 2


async def test_a_slow_handler_that_was_overtaken_twice_gets_nothing_and_ends_nothing(
    issuer: Issuer, clock: Clock, memory: MemoryStore
) -> None:
    first = await issuer.issue("alice")
    clock.advance(ACCESS)
    look = await issuer.mode.look(RefreshToken(first.session_id, 1), client=None)
    second = await issuer.refresh(first.refresh_token)
    clock.advance(W)
    await issuer.refresh(second.refresh_token)

    assert await issuer.mode.settle(look, client=None) is None
    assert (await kept(memory, first)).current == 3


async def test_still_good_says_whether_the_session_lives(issuer: Issuer, clock: Clock) -> None:
    first = await issuer.issue("alice")
    clock.advance(ACCESS)
    look = await issuer.mode.look(RefreshToken(first.session_id, 1), client=None)
    assert await issuer.mode.still_good(look) is True
    await issuer.refresh(first.refresh_token)
    assert await issuer.mode.still_good(look) is True
    await issuer.revoke(first.session_id)

    assert await issuer.mode.still_good(look) is False


async def test_still_good_writes_nothing(issuer: Issuer, clock: Clock, spy: Spy) -> None:
    first = await issuer.issue("alice")
    clock.advance(ACCESS)
    look = await issuer.mode.look(RefreshToken(first.session_id, 1), client=None)
    spy.calls.clear()
    await issuer.mode.still_good(look)

    assert spy.calls == ["get"]


async def test_what_is_behind_a_barrier_is_not_still_good(issuer: Issuer) -> None:
    first = await issuer.issue("alice")
    look = await issuer.mode.look(RefreshToken(first.session_id, 1), client=None)
    await issuer.barrier(first.session_id)

    assert await issuer.mode.still_good(look) is False
    assert await issuer.mode.settle(look, client=None) is None


async def test_the_generation_of_a_barrier_goes_out_as_the_handler_saw_it(
    issuer: Issuer, clock: Clock
) -> None:
    first = await issuer.issue("alice")
    behind = generation(issuer, (await issuer.barrier(first.session_id)).refresh_token)
    look = await issuer.mode.look(RefreshToken(first.session_id, behind), client=None)

    assert await issuer.mode.still_good(look) is True
    grant = await issuer.mode.settle(look, client=None)
    assert grant is not None
    assert grant.minted is look.minted


async def test_what_ends_with_the_session_is_still_good_and_what_outlives_it_is_not(
    clock: Clock, memory: MemoryStore
) -> None:
    issuer = make_issuer(clock, store=memory)
    await memory.add(new_session(clock, idle_expires_at=clock() + 100, expires_at=clock() + 100))
    await memory.add(new_session(clock, "s2", idle_expires_at=clock() + 100))

    ends, outlives = [
        await issuer.mode.look(RefreshToken(session_id, 1), client=None)
        for session_id in ("s1", "s2")
    ]

    assert await issuer.mode.still_good(ends) is True
    assert await issuer.mode.still_good(outlives) is False


async def test_what_has_been_overtaken_twice_is_not_still_good(
    issuer: Issuer, clock: Clock
) -> None:
    first = await issuer.issue("alice")
    look = await issuer.mode.look(RefreshToken(first.session_id, 1), client=None)
    second = await issuer.refresh(first.refresh_token)
    clock.advance(W)
    await issuer.refresh(second.refresh_token)

    assert await issuer.mode.still_good(look) is False


async def test_what_has_been_retired_is_not_still_good(issuer: Issuer) -> None:
    first = await issuer.issue("alice")
    look = await issuer.mode.look(RefreshToken(first.session_id, 1), client=None)
    await issuer.refresh(first.refresh_token, revoke_access=True)

    assert await issuer.mode.still_good(look) is False


async def test_who_waited_behind_a_read_writes_without_another(issuer: Issuer, spy: Spy) -> None:
    first = await issuer.issue("alice")
    second = await issuer.refresh(first.refresh_token)
    rotating = issuer.rotating
    assert rotating is not None
    look = await rotating.look(RefreshToken(first.session_id, 2), client=None)
    companion = issuer.read_access(second.access_token.encode())
    retire = functools.partial(rotating.settle, alone=True, retire=Retire(companion))
    spy.calls.clear()
    spy.gates["get"] = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(functools.partial(rotating.settle, look, client=None))
        await anyio.wait_all_tasks_blocked()
        group.start_soon(functools.partial(retire, look, client=None))
        await anyio.wait_all_tasks_blocked()
        spy.gates["get"].set()

    assert spy.calls == ["get", "replace"]


# --- the store fails ------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", ["broken", "hanging"])
@pytest.mark.parametrize("operation", ["get", "replace"])
async def test_without_the_store_a_refresh_fails_and_changes_nothing(
    clock: Clock, spy: Spy, memory: MemoryStore, operation: str, failure: str
) -> None:
    events: list[Event] = []
    issuer = make_issuer(clock, store=spy, config=QUICK, on_event=events.append)
    first = await issuer.issue("alice")
    before = await kept(memory, first)
    clock.advance(ACCESS)
    setattr(spy, failure, {operation})
    events.clear()
    with anyio.fail_after(5), pytest.raises(StoreUnavailable):
        await issuer.refresh(first.refresh_token)

    kind = "OSError" if failure == "broken" else "TimeoutError"
    assert events == [Event("store_unavailable", reason=operation, detail=kind)]
    assert await kept(memory, first) == before
    setattr(spy, failure, set())
    assert generation(issuer, (await issuer.refresh(first.refresh_token)).refresh_token) == 2


@pytest.mark.parametrize("error", [RuntimeError, KeyError, sqlite3.OperationalError, TypeError])
async def test_whatever_a_store_raises_is_an_outage(
    clock: Clock, events: list[Event], error: type[Exception]
) -> None:
    class Raises:
        async def get(self, _session_id: str) -> Session:
            raise error("quotes a secret")

    issuer = make_issuer(clock, store=Raises(), on_event=events.append)
    with pytest.raises(StoreUnavailable) as caught:
        await issuer.mode.look(RefreshToken("s", 1), client=None)

    assert "secret" not in str(caught.value)
    assert events == [Event("store_unavailable", reason="get", detail=error.__name__)]


@pytest.mark.parametrize("operation", ["get", "replace"])
async def test_a_hanging_store_holds_nobody_longer_than_two_timeouts(
    clock: Clock, spy: Spy, operation: str
) -> None:
    issuer = make_issuer(clock, store=spy, config=QUICK)
    first = await issuer.issue("alice")
    clock.advance(ACCESS)
    spy.hanging = {operation}
    with anyio.fail_after(1):
        answers = await together(50, lambda: issuer.refresh(first.refresh_token))

    assert all(isinstance(answer, StoreUnavailable) for answer in answers)


async def test_an_access_token_goes_on_working_without_the_store(
    issuer: Issuer, clock: Clock, spy: Spy
) -> None:
    tokens = await issuer.issue("alice")
    spy.broken = {"*"}
    clock.advance(ACCESS - 1)

    assert (await issuer.authenticate(tokens.access_token))["sub"] == "alice"


@pytest.mark.parametrize(
    ("operation", "call"),
    [
        ("revoke", lambda issuer, sid: issuer.revoke(sid)),
        ("find", lambda issuer, sid: issuer.revoke_subject("alice")),
        ("revoke_subject", lambda issuer, sid: issuer.revoke_subject("alice")),
        ("find", lambda issuer, sid: issuer.sessions("alice")),
        ("get", lambda issuer, sid: issuer.barrier(sid)),
        ("replace", lambda issuer, sid: issuer.barrier(sid)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_without_the_store_every_call_says_so_and_changes_nothing(
    issuer: Issuer, spy: Spy, memory: MemoryStore, operation: str, call: Any
) -> None:
    tokens = await issuer.issue("alice")
    before = await kept(memory, tokens)
    spy.broken = {operation}

    with pytest.raises(StoreUnavailable):
        await call(issuer, tokens.session_id)
    assert await kept(memory, tokens) == before
    assert (await issuer.authenticate(tokens.access_token))["sub"] == "alice"


async def test_a_session_outlives_an_outage_of_any_length(
    issuer: Issuer, clock: Clock, spy: Spy
) -> None:
    tokens = await issuer.issue("alice")
    spy.broken = {"*"}
    for _ in range(10):
        clock.advance(DAY)
        with pytest.raises(StoreUnavailable):
            await issuer.refresh(tokens.refresh_token)
    spy.broken = set()

    assert (await issuer.refresh(tokens.refresh_token)).session_id == tokens.session_id


async def test_an_answer_that_was_lost_on_its_way_is_a_lost_response(
    clock: Clock, memory: MemoryStore
) -> None:
    class CommitsAndFails(Spy):
        fails = False

        def __getattr__(self, name: str) -> Any:
            call = super().__getattr__(name)

            async def lossy(*arguments: Any) -> Any:
                answer = await call(*arguments)
                if name == "replace" and self.fails:
                    raise ConnectionResetError
                return answer

            return lossy

    spy = CommitsAndFails(memory)
    issuer = make_issuer(clock, store=spy)
    first = await issuer.issue("alice")
    clock.advance(ACCESS)
    spy.fails = True
    with pytest.raises(StoreUnavailable):
        await issuer.refresh(first.refresh_token)
    spy.fails = False

    assert generation(issuer, (await issuer.refresh(first.refresh_token)).refresh_token) == 2


# --- what is dead is remembered -------------------------------------------------------------------


async def test_a_dead_token_costs_one_store_call_in_a_minute(
    issuer: Issuer, clock: Clock, spy: Spy
) -> None:
    first = await issuer.issue("alice")
    await issuer.revoke(first.session_id)
    spy.calls.clear()
    for _ in range(3):
        with pytest.raises(RevokedTokenError) as caught:
            await issuer.refresh(first.refresh_token)
        assert caught.value.reason == "session_ended"
    clock.advance(59.999)
    with pytest.raises(RevokedTokenError):
        await issuer.refresh(first.refresh_token)
    assert spy.calls == ["get"]
    clock.advance(0.001)
    with pytest.raises(RevokedTokenError):
        await issuer.refresh(first.refresh_token)

    assert spy.calls == ["get", "get"]


async def test_an_expired_session_is_remembered_too(issuer: Issuer, clock: Clock, spy: Spy) -> None:
    first = await issuer.issue("alice")
    clock.advance(IDLE)
    spy.calls.clear()
    for _ in range(2):
        with pytest.raises(RevokedTokenError):
            await issuer.refresh(first.refresh_token)

    assert spy.calls == ["get"]


async def test_a_reused_token_is_remembered_too(issuer: Issuer, clock: Clock, spy: Spy) -> None:
    first = await issuer.issue("alice")
    second = await issuer.refresh(first.refresh_token)
    clock.advance(ACCESS)
    await issuer.refresh(second.refresh_token)
    with pytest.raises(ReusedTokenError):
        await issuer.refresh(first.refresh_token)
    spy.calls.clear()
    with pytest.raises(RevokedTokenError):
        await issuer.refresh(first.refresh_token)

    assert spy.calls == []


async def test_what_is_remembered_as_dead_is_bounded(issuer: Issuer, clock: Clock) -> None:
    for number in range(_DEAD_MOST + 1):
        with pytest.raises(RevokedTokenError):
            await issuer.mode.look(RefreshToken(str(number), 1), client=None)
    assert issuer.rotating is not None

    assert len(issuer.rotating._dead) <= _DEAD_MOST


async def test_a_store_failure_is_not_remembered_as_a_death(issuer: Issuer, spy: Spy) -> None:
    first = await issuer.issue("alice")
    spy.broken = {"get"}
    with pytest.raises(StoreUnavailable):
        await issuer.refresh(first.refresh_token)
    spy.broken = set()

    assert (await issuer.refresh(first.refresh_token)).session_id == first.session_id


async def test_a_stale_token_is_not_remembered_as_dead(
    issuer: Issuer, clock: Clock, events: list[Event]
) -> None:
    first = await issuer.issue("alice")
    await issuer.barrier(first.session_id)
    with pytest.raises(RevokedTokenError) as caught:
        await issuer.refresh(first.refresh_token)
    assert caught.value.reason == "stale_token"
    clock.advance(W)

    with pytest.raises(ReusedTokenError):
        await issuer.refresh(first.refresh_token)


# --- lifetimes ------------------------------------------------------------------------------------


async def test_a_session_ends_when_it_is_idle(issuer: Issuer, clock: Clock) -> None:
    tokens = await issuer.issue("alice")
    clock.advance(IDLE - 0.001)
    tokens = await issuer.refresh(tokens.refresh_token)
    clock.advance(IDLE)

    with pytest.raises(RevokedTokenError):
        await issuer.refresh(tokens.refresh_token)


async def test_a_thousand_rotations_never_move_the_absolute_end(
    issuer: Issuer, clock: Clock, memory: MemoryStore
) -> None:
    tokens = await issuer.issue("alice")
    end = clock() + LIFETIME
    for _ in range(1000):
        clock.advance(LIFETIME / 1001)
        tokens = await issuer.refresh(tokens.refresh_token)
        session = await kept(memory, tokens)
        assert session.expires_at == end
        assert session.idle_expires_at <= end
        assert clock() + tokens.refresh_expires_in <= end
        assert issuer.verify(tokens.access_token)["exp"] <= end
    assert session.current == 1001
    clock.now = end

    with pytest.raises(RevokedTokenError):
        await issuer.refresh(tokens.refresh_token)


@pytest.mark.parametrize("stored", [True, False])
async def test_an_access_token_never_outlives_the_absolute_end(clock: Clock, stored: bool) -> None:
    issuer = make_issuer(
        clock,
        store=MemoryStore() if stored else None,
        config=Config(idle_lifetime=timedelta(hours=1), session_lifetime=timedelta(hours=1)),
    )
    tokens = await issuer.issue("alice")
    clock.advance(3600 - 100)
    tokens = await issuer.refresh(tokens.refresh_token)

    assert (tokens.expires_in, tokens.refresh_expires_in) == (100, 100)
    assert issuer.verify(tokens.access_token)["exp"] == clock() + 100


async def test_an_access_token_lives_as_long_as_the_rotation_it_came_with_makes_the_session(
    issuer: Issuer, clock: Clock
) -> None:
    tokens = await issuer.issue("alice")
    clock.advance(IDLE - 1)
    tokens = await issuer.refresh(tokens.refresh_token)

    assert tokens.expires_in == ACCESS


async def test_an_access_token_that_repeats_never_outlives_the_idle_end(
    clock: Clock, memory: MemoryStore
) -> None:
    issuer = make_issuer(clock, store=memory, config=Config(idle_lifetime=timedelta(seconds=601)))
    first = await issuer.issue("alice")
    await issuer.refresh(first.refresh_token)
    clock.advance(500)
    late = await issuer.refresh(first.refresh_token)

    assert late.expires_in == 101


# --- stateless ------------------------------------------------------------------------------------


@pytest.mark.parametrize("elapsed", [0.0, 60.0, IDLE / 2])
async def test_without_a_store_the_refresh_token_stays_until_half_its_time_is_over(
    stateless: Issuer, clock: Clock, elapsed: float
) -> None:
    first = await stateless.issue("alice")
    clock.advance(elapsed)

    assert (await stateless.refresh(first.refresh_token)).refresh_token == first.refresh_token


async def test_without_a_store_the_refresh_token_is_reissued_after_half_its_time(
    stateless: Issuer, clock: Clock
) -> None:
    first = await stateless.issue("alice")
    clock.advance(IDLE / 2 + 0.001)
    second = await stateless.refresh(first.refresh_token)

    assert second.refresh_token != first.refresh_token
    assert second.refresh_expires_in == IDLE
    assert second.session_id == first.session_id
    again = await stateless.refresh(second.refresh_token)
    assert again.refresh_token == second.refresh_token


async def test_without_a_store_parallel_reissues_are_equal(stateless: Issuer, clock: Clock) -> None:
    first = await stateless.issue("alice")
    clock.advance(IDLE - 1)
    answers = await together(10, lambda: stateless.refresh(first.refresh_token))

    assert len({tokens.refresh_token for tokens in answers}) == 1


async def test_without_a_store_the_grant_says_whether_it_was_reissued(
    stateless: Issuer, clock: Clock
) -> None:
    first = await stateless.issue("alice")
    token = stateless.profile.read_refresh(first.refresh_token.encode())
    for reissued in (False, True):
        look = await stateless.mode.look(token, client=None)
        grant = await stateless.mode.settle(look, client=None)
        assert grant is not None
        assert (grant.refresh_token is not None) is reissued
        clock.advance(IDLE - 1)


async def test_without_a_store_a_thousand_refreshes_never_move_the_absolute_end(
    stateless: Issuer, clock: Clock
) -> None:
    tokens = await stateless.issue("alice")
    end = clock() + LIFETIME
    reissued = 0
    for _ in range(1000):
        clock.advance(LIFETIME / 1001)
        before = tokens
        tokens = await stateless.refresh(tokens.refresh_token)
        reissued += tokens.refresh_token != before.refresh_token
        session = stateless.profile.read_refresh(tokens.refresh_token.encode()).session
        assert session is not None
        assert session.expires_at == end
        assert session.idle_expires_at <= end
        assert stateless.verify(tokens.access_token)["exp"] <= end
    assert reissued > 10
    clock.now = end

    with pytest.raises(RevokedTokenError) as caught:
        await stateless.refresh(tokens.refresh_token)
    assert caught.value.reason == "session_ended"


async def test_without_a_store_a_session_ends_when_it_is_idle(
    stateless: Issuer, clock: Clock
) -> None:
    first = await stateless.issue("alice")
    clock.advance(IDLE - 0.001)
    await stateless.refresh(first.refresh_token)
    clock.advance(0.001)

    with pytest.raises(RevokedTokenError) as caught:
        await stateless.refresh(first.refresh_token)
    assert caught.value.reason == "session_ended"


async def test_without_a_store_no_claims_are_loaded_for_a_session_that_is_over(
    clock: Clock,
) -> None:
    calls: list[Session] = []
    issuer = make_issuer(clock, store=None, load_claims=lambda s: calls.append(s) or {})
    tokens = await issuer.issue("alice")
    calls.clear()
    clock.advance(IDLE)
    with pytest.raises(RevokedTokenError):
        await issuer.refresh(tokens.refresh_token)

    assert calls == []


async def test_without_a_store_a_session_that_ends_during_the_request_gives_nothing(
    stateless: Issuer, clock: Clock
) -> None:
    first = await stateless.issue("alice")
    token = stateless.profile.read_refresh(first.refresh_token.encode())
    clock.advance(IDLE - 1)
    look = await stateless.mode.look(token, client=None)
    assert await stateless.mode.still_good(look) is True
    clock.advance(1)

    assert await stateless.mode.settle(look, client=None) is None
    assert await stateless.mode.still_good(look) is False


async def test_without_a_store_claims_and_device_travel_along(clock: Clock) -> None:
    seen: list[Session] = []

    def load(session: Session) -> Mapping[str, Any]:
        seen.append(session)
        return {"at": "refresh"}

    issuer = make_issuer(clock, store=None, load_claims=load)
    tokens = await issuer.issue("alice", {"deep": {"x": [1]}}, persistent=False, device="phone")
    clock.advance(ACCESS)
    await issuer.refresh(tokens.refresh_token)
    login, refresh = seen

    assert refresh == replace(login, current=1)
    assert refresh.claims == {"deep": {"x": (1,)}}


@pytest.mark.parametrize(
    "call",
    [
        lambda issuer: issuer.revoke("s"),
        lambda issuer: issuer.revoke_subject("alice"),
        lambda issuer: issuer.sessions("alice"),
        lambda issuer: issuer.barrier("s"),
        lambda issuer: issuer.refresh("x", revoke_access=True),
        lambda issuer: issuer.refresh("x", revoke_access="token"),
    ],
    ids=["revoke", "revoke_subject", "sessions", "barrier", "revoke_access", "companion"],
)
async def test_without_a_store_what_needs_one_says_so(
    stateless: Issuer, call: Callable[[Issuer], Awaitable[Any]]
) -> None:
    with pytest.raises(StoreRequiredError, match="store"):
        await call(stateless)


async def test_without_a_store_every_reissue_still_fits_into_its_cookie(clock: Clock) -> None:
    # A login at a round second whose claims fill the cookie, and a refresh at one that is not.
    issuer = make_issuer(clock, store=None, load_claims=lambda _: {})
    size = 3200
    while True:
        size -= 1
        try:
            tokens = await issuer.issue("alice", {"x": "y" * size})
            break
        except ValueError:
            continue
    clock.advance(IDLE - 1 + 0.123456)

    assert (await issuer.refresh(tokens.refresh_token)).session_id == tokens.session_id


# --- load_claims ----------------------------------------------------------------------------------


def plain(session: Session) -> dict[str, Any]:
    return {"loaded": session.subject}


async def asynchronous(session: Session) -> dict[str, Any]:
    await anyio.lowlevel.checkpoint()
    return plain(session)


class CallableObject:
    def __call__(self, session: Session) -> dict[str, Any]:
        return plain(session)


class AsyncCallableObject:
    async def __call__(self, session: Session) -> dict[str, Any]:
        return await asynchronous(session)

    async def method(self, session: Session) -> dict[str, Any]:
        return await asynchronous(session)


def with_argument(_argument: str, session: Session) -> dict[str, Any]:
    return plain(session)


async def async_with_argument(_argument: str, session: Session) -> dict[str, Any]:
    return await asynchronous(session)


@pytest.mark.parametrize("stored", [True, False], ids=["rotating", "stateless"])
@pytest.mark.parametrize(
    "load",
    [
        plain,
        asynchronous,
        CallableObject(),
        AsyncCallableObject(),
        AsyncCallableObject().method,
        functools.partial(with_argument, "x"),
        functools.partial(async_with_argument, "x"),
        functools.partial(AsyncCallableObject()),
        lambda session, load=asynchronous: load(session),
    ],
    ids=[
        "sync", "async", "object", "async object", "async method", "partial", "async partial",
        "partial of async object", "lambda to async",
    ],
)  # fmt: skip
async def test_claims_are_loaded_at_login_and_at_refresh(
    clock: Clock, stored: bool, load: Any
) -> None:
    issuer = make_issuer(clock, store=MemoryStore() if stored else None, load_claims=load)
    tokens = await issuer.issue("alice", {"given": "at login"})
    clock.advance(ACCESS)
    refreshed = await issuer.refresh(tokens.refresh_token)

    for token in (tokens.access_token, refreshed.access_token):
        payload = issuer.read_access(token.encode()).payload
        assert payload["loaded"] == "alice"
        assert "given" not in payload


async def test_a_sync_loader_runs_in_a_worker_thread(clock: Clock) -> None:
    threads: list[int] = []
    issuer = make_issuer(
        clock, store=None, load_claims=lambda _: threads.append(threading.get_ident()) or {}
    )
    await issuer.issue("alice")

    assert threads != [threading.get_ident()]


async def test_an_async_loader_runs_in_the_event_loop(clock: Clock) -> None:
    threads: list[int] = []

    async def load(_session: Session) -> dict[str, Any]:
        threads.append(threading.get_ident())
        return {}

    await make_issuer(clock, store=None, load_claims=load).issue("alice")

    assert threads == [threading.get_ident()]


async def test_a_loader_sees_the_session(clock: Clock, memory: MemoryStore) -> None:
    seen: list[Session] = []

    async def load(session: Session) -> dict[str, Any]:
        seen.append(session)
        return {}

    issuer = make_issuer(clock, store=memory, load_claims=load)
    tokens = await issuer.issue("alice", {"role": "admin"}, device="phone")
    before = await kept(memory, tokens)
    clock.advance(ACCESS)
    await issuer.refresh(tokens.refresh_token)

    assert seen == [before, before]


async def test_parallel_callers_load_claims_a_few_times_at_most(clock: Clock, spy: Spy) -> None:
    calls: list[Session] = []

    async def load(session: Session) -> dict[str, Any]:
        calls.append(session)
        return {}

    issuer = make_issuer(clock, store=spy, load_claims=load)
    tokens = await issuer.issue("alice")
    clock.advance(ACCESS)
    calls.clear()
    await together(100, lambda: issuer.refresh(tokens.refresh_token))

    assert len(calls) <= 3


async def hangs(_session: Session) -> dict[str, Any]:
    await anyio.sleep_forever()
    raise AssertionError


def raises(_session: Session) -> dict[str, Any]:
    raise RuntimeError("the user database is away")


UNUSABLE: dict[str, Any] = {
    "raising": raises,
    "too slow": hangs,
    "reserved": lambda _: {"sub": "bob"},
    "oversize": lambda _: {"x": "y" * 5000},
    "NaN": lambda _: {"x": float("nan")},
    "not JSON": lambda _: {"x": object()},
    "too deep": lambda _: functools.reduce(lambda inner, _: {"x": inner}, range(50), {}),
    "a list": lambda _: ["x"],
    "a string": lambda _: "xy",
    "a number": lambda _: 7,
    "True": lambda _: True,
    "False": lambda _: False,
    "an empty list": lambda _: [],
}


@pytest.mark.parametrize("stored", [True, False], ids=["rotating", "stateless"])
@pytest.mark.parametrize("fault", UNUSABLE)
async def test_claims_that_cannot_be_used_change_nothing(
    clock: Clock, memory: MemoryStore, stored: bool, fault: str
) -> None:
    load: dict[str, Any] = {"now": lambda _: {}}
    events: list[Event] = []

    async def loader(session: Session) -> Any:
        result = load["now"](session)
        return await result if isinstance(result, Awaitable) else result

    issuer = make_issuer(
        clock,
        store=memory if stored else None,
        config=QUICK,
        load_claims=loader,
        on_event=events.append,
    )
    tokens = await issuer.issue("alice")
    before = await memory.get(tokens.session_id)
    clock.advance(ACCESS)
    load["now"] = UNUSABLE[fault]
    events.clear()
    with anyio.fail_after(5), pytest.raises(ClaimsUnavailable):
        await issuer.refresh(tokens.refresh_token)

    assert await memory.get(tokens.session_id) == before
    assert events == []
    load["now"] = lambda _: {}
    assert (await issuer.refresh(tokens.refresh_token)).session_id == tokens.session_id


@pytest.mark.parametrize("stored", [True, False], ids=["rotating", "stateless"])
async def test_claims_that_cannot_be_used_sign_nobody_in(
    clock: Clock, spy: Spy, stored: bool
) -> None:
    issuer = make_issuer(clock, store=spy if stored else None, load_claims=raises)

    with pytest.raises(ClaimsUnavailable):
        await issuer.issue("alice")
    assert spy.calls == []


@pytest.mark.parametrize("stored", [True, False], ids=["rotating", "stateless"])
async def test_a_loader_that_returns_none_refuses_the_login(
    clock: Clock, spy: Spy, events: list[Event], stored: bool
) -> None:
    issuer = make_issuer(
        clock,
        store=spy if stored else None,
        load_claims=lambda _: None,
        on_event=events.append,
    )

    with pytest.raises(AccessDeniedError):
        await issuer.issue("alice")
    assert spy.calls == []
    assert events == []


@pytest.mark.parametrize("stored", [True, False], ids=["rotating", "stateless"])
async def test_a_loader_that_returns_none_ends_the_session(
    clock: Clock, memory: MemoryStore, events: list[Event], stored: bool
) -> None:
    answers: list[Any] = [{}, None]
    issuer = make_issuer(
        clock,
        store=memory if stored else None,
        load_claims=lambda _: answers.pop(0),
        on_event=events.append,
    )
    tokens = await issuer.issue("alice")
    clock.advance(ACCESS)
    events.clear()
    with pytest.raises(RevokedTokenError) as caught:
        await issuer.refresh(tokens.refresh_token)

    assert caught.value.reason == "claims_refused"
    assert await memory.get(tokens.session_id) is None
    assert told(events) == [("revoked", "claims_refused")]


async def test_a_slow_sync_loader_is_left_behind(clock: Clock) -> None:
    release = threading.Event()

    def load(_session: Session) -> dict[str, Any]:
        release.wait(10)
        return {}

    issuer = make_issuer(clock, store=None, config=QUICK, load_claims=load)
    with anyio.fail_after(2), pytest.raises(ClaimsUnavailable):
        await issuer.issue("alice")
    release.set()


async def test_the_claims_of_a_rotation_never_outgrow_the_cookie(
    clock: Clock, memory: MemoryStore
) -> None:
    # The claims of a login fill the cookie; then the generation gets one digit more.
    issuer = make_issuer(clock, store=memory)
    size = 4000
    while True:
        size -= 1
        try:
            tokens = await issuer.issue("alice", {"x": "y" * size})
            break
        except ValueError:
            continue
    for _ in range(12):
        clock.advance(ACCESS)
        tokens = await issuer.refresh(tokens.refresh_token, revoke_access=True)

    assert generation(issuer, tokens.refresh_token) == 13


# --- retiring access tokens -----------------------------------------------------------------------


async def refused(issuer: Issuer, token: str) -> bool:
    try:
        await issuer.authenticate(token)
    except RevokedTokenError:
        return True
    return False


async def test_a_refresh_leaves_earlier_access_tokens_alone(issuer: Issuer) -> None:
    first = await issuer.issue("alice")
    await issuer.refresh(first.refresh_token)

    assert not await refused(issuer, first.access_token)


async def test_revoke_access_refuses_the_access_tokens_of_earlier_generations(
    issuer: Issuer, memory: MemoryStore
) -> None:
    first = await issuer.issue("alice")
    assert not await refused(issuer, first.access_token)
    second = await issuer.refresh(first.refresh_token, revoke_access=True)

    assert await refused(issuer, first.access_token)
    assert not await refused(issuer, second.access_token)
    assert issuer.verify(second.access_token)["gen"] == 2
    assert (await kept(memory, first)).access_from == 2


async def test_revoke_access_leaves_other_sessions_alone(issuer: Issuer) -> None:
    first, other = await issuer.issue("alice"), await issuer.issue("alice")
    await issuer.refresh(first.refresh_token, revoke_access=True)

    assert not await refused(issuer, other.access_token)


async def test_revoke_access_takes_one_read_and_one_write(issuer: Issuer, spy: Spy) -> None:
    first = await issuer.issue("alice")
    spy.calls.clear()
    await issuer.refresh(first.refresh_token, revoke_access=True)

    assert spy.calls == ["get", "replace"]


async def test_within_w_the_companion_is_refused_by_its_id(issuer: Issuer, clock: Clock) -> None:
    first = await issuer.issue("alice")
    second = await issuer.refresh(first.refresh_token, revoke_access=True)
    assert not await refused(issuer, second.access_token)
    third = await issuer.refresh(second.refresh_token, revoke_access=second.access_token)

    assert third.refresh_token == second.refresh_token
    assert await refused(issuer, second.access_token)
    assert not await refused(issuer, third.access_token)


async def test_a_companion_is_refused_here_at_once(issuer: Issuer, spy: Spy) -> None:
    first = await issuer.issue("alice")
    second = await issuer.refresh(first.refresh_token, revoke_access=True)
    assert not await refused(issuer, second.access_token)
    spy.calls.clear()
    await issuer.refresh(second.refresh_token, revoke_access=second.access_token)

    assert await refused(issuer, second.access_token)
    assert spy.count("revocations") == 0


async def test_a_retirement_stands_although_what_is_over_cannot_be_dropped(
    issuer: Issuer, clock: Clock, spy: Spy, memory: MemoryStore
) -> None:
    first = await issuer.issue("alice")
    clock.advance(3600)
    spy.broken = {"purge"}
    await issuer.refresh(first.refresh_token, revoke_access=True)

    assert (await kept(memory, first)).access_from == 2
    assert spy.count("purge") == 2


async def test_a_companion_of_an_earlier_generation_needs_no_entry_of_its_own(
    issuer: Issuer, memory: MemoryStore
) -> None:
    first = await issuer.issue("alice")
    await issuer.refresh(first.refresh_token, revoke_access=first.access_token)
    [entry] = (await memory.revocations(None))[0]

    assert (entry.access_from, entry.jti) == (2, None)


async def test_within_w_revoke_access_without_a_companion_leaves_its_own_generation_alone(
    issuer: Issuer,
) -> None:
    first = await issuer.issue("alice")
    second = await issuer.refresh(first.refresh_token, revoke_access=True)
    await issuer.refresh(second.refresh_token, revoke_access=True)

    assert await refused(issuer, first.access_token)
    assert not await refused(issuer, second.access_token)


@pytest.mark.parametrize("companion", ["of another session", "garbage", "refresh token"])
async def test_a_companion_that_does_not_fit_fails_the_call_and_changes_nothing(
    issuer: Issuer, spy: Spy, memory: MemoryStore, companion: str
) -> None:
    first = await issuer.issue("alice")
    other = await issuer.issue("alice")
    before = await kept(memory, first)
    spy.calls.clear()
    shown = {
        "of another session": other.access_token,
        "garbage": "garbage",
        "refresh token": first.refresh_token,
    }[companion]
    with pytest.raises(InvalidTokenError):
        await issuer.refresh(first.refresh_token, revoke_access=shown)

    assert spy.calls == []
    assert await kept(memory, first) == before
    assert not await refused(issuer, other.access_token)


async def test_an_empty_companion_is_no_companion_but_a_bad_one(issuer: Issuer) -> None:
    first = await issuer.issue("alice")

    with pytest.raises(InvalidTokenError):
        await issuer.refresh(first.refresh_token, revoke_access="")


async def test_an_expired_companion_is_as_good(issuer: Issuer, clock: Clock) -> None:
    first = await issuer.issue("alice")
    clock.advance(ACCESS)

    second = await issuer.refresh(first.refresh_token, revoke_access=first.access_token)
    assert generation(issuer, second.refresh_token) == 2


@pytest.mark.parametrize("companion", ["none", "newest", "older"])
async def test_repeating_a_retirement_writes_nothing(
    issuer: Issuer, spy: Spy, companion: str
) -> None:
    first = await issuer.issue("alice")
    second = await issuer.refresh(first.refresh_token, revoke_access=True)
    shown: dict[str, str | bool] = {
        "none": True,
        "newest": second.access_token,
        "older": first.access_token,
    }
    await issuer.refresh(second.refresh_token, revoke_access=shown[companion])
    spy.calls.clear()
    for _ in range(3):
        await issuer.refresh(second.refresh_token, revoke_access=shown[companion])

    assert spy.count("replace") == 0


async def test_a_client_that_retires_over_and_over_is_written_of_so_often_only(
    issuer: Issuer, memory: MemoryStore
) -> None:
    tokens = await issuer.refresh((await issuer.issue("alice")).refresh_token, revoke_access=True)
    for _ in range(40):
        tokens = await issuer.refresh(tokens.refresh_token, revoke_access=tokens.access_token)

    assert len((await memory.revocations(None))[0]) == 32


async def test_the_retirement_of_a_dead_session_fails(issuer: Issuer, memory: MemoryStore) -> None:
    first = await issuer.issue("alice")
    await issuer.revoke(first.session_id)
    logged = len((await memory.revocations(None))[0])

    with pytest.raises(RevokedTokenError):
        await issuer.refresh(first.refresh_token, revoke_access=True)
    assert len((await memory.revocations(None))[0]) == logged


async def test_a_retirement_reaches_the_other_hosts(clock: Clock, memory: MemoryStore) -> None:
    here, there = (make_issuer(clock, store=memory) for _ in range(2))
    first = await here.issue("alice")
    second = await here.refresh(first.refresh_token, revoke_access=True)
    await here.refresh(second.refresh_token, revoke_access=second.access_token)
    clock.advance(1)

    assert await refused(there, first.access_token)
    assert await refused(there, second.access_token)


async def test_parallel_retirements_hand_out_access_tokens_that_are_good(issuer: Issuer) -> None:
    first = await issuer.issue("alice")
    answers = await together(20, lambda: issuer.refresh(first.refresh_token, revoke_access=True))

    assert len({tokens.refresh_token for tokens in answers}) == 1
    assert [await refused(issuer, tokens.access_token) for tokens in answers] == [False] * 20


async def test_an_access_token_retired_before_it_goes_out_is_minted_again(issuer: Issuer) -> None:
    first = await issuer.issue("alice", {"role": "admin"})
    look = await issuer.mode.look(RefreshToken(first.session_id, 1), client=None)
    await issuer.refresh(first.refresh_token, revoke_access=True)
    grant = await issuer.mode.settle(look, client=None)

    assert grant is not None
    assert await refused(issuer, look.minted.raw.decode())
    payload = await issuer.authenticate(grant.minted.raw.decode())
    assert (payload["gen"], payload["role"]) == (2, "admin")


async def test_an_access_token_that_is_not_retired_goes_out_as_the_handler_saw_it(
    issuer: Issuer,
) -> None:
    first = await issuer.issue("alice")
    look = await issuer.mode.look(RefreshToken(first.session_id, 1), client=None)
    grant = await issuer.mode.settle(look, client=None)

    assert grant is not None
    assert grant.minted is look.minted


async def test_a_retirement_is_remembered_until_the_last_access_token_is_out(
    issuer: Issuer, clock: Clock, memory: MemoryStore
) -> None:
    first = await issuer.issue("alice")
    await issuer.refresh(first.refresh_token, revoke_access=True)
    [entry] = (await memory.revocations(None))[0]

    assert entry.until == clock() + ACCESS + 2 * LEEWAY
    assert (entry.access_from, entry.jti, entry.session_id) == (2, None, first.session_id)


async def test_without_a_denylist_a_retirement_holds_for_what_is_minted(
    clock: Clock, memory: MemoryStore
) -> None:
    issuer = make_issuer(clock, store=memory, config=Config(revocation="refresh"))
    first = await issuer.issue("alice")
    look = await issuer.mode.look(RefreshToken(first.session_id, 1), client=None)
    await issuer.refresh(first.refresh_token, revoke_access=first.access_token)
    grant = await issuer.mode.settle(look, client=None)

    assert grant is not None
    assert grant.minted.token.generation == 2


# --- ending sessions ------------------------------------------------------------------------------


async def test_revoke_ends_a_session_at_once_here(
    issuer: Issuer, memory: MemoryStore, events: list[Event]
) -> None:
    tokens = await issuer.issue("alice")
    assert not await refused(issuer, tokens.access_token)
    events.clear()

    assert await issuer.revoke(tokens.session_id) is True
    assert await memory.get(tokens.session_id) is None
    assert await refused(issuer, tokens.access_token)
    assert events == [Event("revoked", None, tokens.session_id, "revoke")]


async def test_revoking_twice_says_there_was_none(issuer: Issuer) -> None:
    tokens = await issuer.issue("alice")
    await issuer.revoke(tokens.session_id)

    assert await issuer.revoke(tokens.session_id) is False


async def test_a_revocation_is_remembered_until_the_last_access_token_is_out(
    issuer: Issuer, clock: Clock, memory: MemoryStore
) -> None:
    tokens = await issuer.issue("alice")
    await issuer.revoke(tokens.session_id)
    [entry] = (await memory.revocations(None))[0]

    assert entry.ends_session
    assert (entry.at, entry.until) == (clock(), clock() + ACCESS + 2 * LEEWAY)


async def test_revoke_subject_ends_all_sessions_of_one_subject(
    issuer: Issuer, events: list[Event]
) -> None:
    alice = [await issuer.issue("alice") for _ in range(3)]
    bob = await issuer.issue("bob")
    assert not await refused(issuer, alice[0].access_token)
    events.clear()

    assert await issuer.revoke_subject("alice") == 3
    assert [await refused(issuer, tokens.access_token) for tokens in alice] == [True] * 3
    assert not await refused(issuer, bob.access_token)
    assert events == [Event("revoked", "alice", None, "everywhere", "3")]
    for tokens in alice:
        with pytest.raises(RevokedTokenError):
            await issuer.refresh(tokens.refresh_token)


async def test_a_login_right_after_revoke_subject_stands(issuer: Issuer) -> None:
    await issuer.issue("alice")
    await issuer.revoke_subject("alice")
    tokens = await issuer.issue("alice")

    assert not await refused(issuer, tokens.access_token)


async def test_sessions_lists_the_live_ones_the_latest_used_first(
    issuer: Issuer, clock: Clock
) -> None:
    first = await issuer.issue("alice", device="first")
    clock.advance(1)
    await issuer.issue("alice", device="second")
    await issuer.issue("bob")
    clock.advance(1)
    assert [session.device for session in await issuer.sessions("alice")] == ["second", "first"]
    await issuer.refresh(first.refresh_token)

    assert [session.device for session in await issuer.sessions("alice")] == ["first", "second"]
    clock.advance(IDLE - 1)
    assert [session.device for session in await issuer.sessions("alice")] == ["first"]
    clock.advance(1)
    assert await issuer.sessions("alice") == []


async def test_a_login_beyond_max_sessions_ends_the_oldest(
    clock: Clock, memory: MemoryStore, events: list[Event]
) -> None:
    issuer = make_issuer(clock, store=memory, config=Config(max_sessions=2), on_event=events.append)
    bob = await issuer.issue("bob")
    tokens = []
    for _ in range(4):
        tokens.append(await issuer.issue("alice"))
        clock.advance(1)

    left = {session.id for session in await issuer.sessions("alice")}
    assert left == {tokens[2].session_id, tokens[3].session_id}
    assert await refused(issuer, tokens[0].access_token)
    assert not await refused(issuer, bob.access_token)
    assert told(events).count(("revoked", "max_sessions")) == 2


async def test_max_sessions_never_ends_the_login_that_is_under_way(
    clock: Clock, memory: MemoryStore
) -> None:
    issuer = make_issuer(clock, store=memory, config=Config(max_sessions=1))
    for _ in range(5):
        tokens = await issuer.issue("alice")
        clock.advance(0.001)

        assert [session.id for session in await issuer.sessions("alice")] == [tokens.session_id]


async def test_expired_sessions_do_not_count_for_max_sessions(
    clock: Clock, memory: MemoryStore, events: list[Event]
) -> None:
    issuer = make_issuer(clock, store=memory, config=Config(max_sessions=1), on_event=events.append)
    await issuer.issue("alice")
    clock.advance(IDLE)
    await issuer.issue("alice")

    assert "revoked" not in names(events)


@pytest.mark.parametrize("operation", ["find", "revoke", "purge"])
async def test_housekeeping_that_fails_leaves_the_login_standing(
    clock: Clock, spy: Spy, events: list[Event], operation: str
) -> None:
    issuer = make_issuer(clock, store=spy, config=Config(max_sessions=1), on_event=events.append)
    spy.broken = {operation}
    await issuer.issue("alice")
    clock.advance(1)
    tokens = await issuer.issue("alice")

    assert issuer.verify(tokens.access_token)["sub"] == "alice"
    assert ("store_unavailable", operation) in told(events)


async def test_what_is_over_is_purged_once_an_hour(issuer: Issuer, clock: Clock, spy: Spy) -> None:
    for _ in range(3):
        await issuer.issue("alice")
    clock.advance(3599.9)
    await issuer.issue("alice")
    assert spy.count("purge") == 1
    clock.advance(0.1)
    await issuer.issue("alice")

    assert spy.count("purge") == 2


# --- barrier --------------------------------------------------------------------------------------


async def test_a_barrier_ends_every_older_token_and_keeps_the_session(
    issuer: Issuer, events: list[Event]
) -> None:
    first = await issuer.issue("alice")
    assert not await refused(issuer, first.access_token)
    events.clear()
    second = await issuer.barrier(first.session_id)

    assert second.session_id == first.session_id
    assert await refused(issuer, first.access_token)
    assert not await refused(issuer, second.access_token)
    assert generation(issuer, second.refresh_token) == 1001
    assert events == [Event("revoked", "alice", first.session_id, "barrier")]
    assert (await issuer.refresh(second.refresh_token)).session_id == first.session_id


async def test_a_barrier_raises_the_version_by_one(issuer: Issuer, memory: MemoryStore) -> None:
    first = await issuer.issue("alice")
    before = await kept(memory, first)
    await issuer.barrier(first.session_id)

    assert (await kept(memory, first)).version == before.version + 1


async def test_a_barrier_reaches_the_other_hosts(clock: Clock, memory: MemoryStore) -> None:
    here, there = (make_issuer(clock, store=memory) for _ in range(2))
    first = await here.issue("alice")
    second = await here.barrier(first.session_id)

    assert await refused(there, first.access_token)
    assert not await refused(there, second.access_token)


async def test_the_older_refresh_token_is_stale_and_then_a_theft(
    issuer: Issuer, clock: Clock, memory: MemoryStore
) -> None:
    first = await issuer.issue("alice")
    await issuer.barrier(first.session_id)
    clock.advance(W - 0.001)
    with pytest.raises(RevokedTokenError) as caught:
        await issuer.refresh(first.refresh_token)
    assert caught.value.reason == "stale_token"
    assert await memory.get(first.session_id) is not None
    clock.advance(0.001)

    with pytest.raises(ReusedTokenError):
        await issuer.refresh(first.refresh_token)
    assert await memory.get(first.session_id) is None


async def test_a_barrier_replaces_the_claims(issuer: Issuer, clock: Clock) -> None:
    first = await issuer.issue("alice", {"role": "user"})
    second = await issuer.barrier(first.session_id, {"role": "admin"})
    clock.advance(ACCESS)
    third = await issuer.refresh(second.refresh_token)

    assert issuer.verify(third.access_token)["role"] == "admin"


async def test_a_barrier_without_claims_keeps_them(issuer: Issuer) -> None:
    first = await issuer.issue("alice", {"role": "user"})
    second = await issuer.barrier(first.session_id)

    assert issuer.verify(second.access_token)["role"] == "user"


async def test_a_barrier_with_empty_claims_drops_them(issuer: Issuer) -> None:
    first = await issuer.issue("alice", {"role": "user"})
    second = await issuer.barrier(first.session_id, {})

    assert "role" not in issuer.verify(second.access_token)


@pytest.mark.parametrize("claims", [{"sub": "bob"}, {"x": float("nan")}])
async def test_a_barrier_with_bad_claims_changes_nothing(
    issuer: Issuer, memory: MemoryStore, claims: dict[str, Any]
) -> None:
    tokens = await issuer.issue("alice")
    before = await kept(memory, tokens)

    with pytest.raises(ValueError, match=r"issuer's to set|not JSON compliant"):
        await issuer.barrier(tokens.session_id, claims)
    assert await kept(memory, tokens) == before


@pytest.mark.parametrize("over", ["unknown", "revoked", "expired"])
async def test_a_barrier_in_a_session_that_is_over_raises(
    issuer: Issuer, clock: Clock, memory: MemoryStore, over: str
) -> None:
    session_id = (await issuer.issue("alice")).session_id
    if over == "revoked":
        await issuer.revoke(session_id)
    clock.advance(IDLE if over == "expired" else 0)
    with pytest.raises(RevokedTokenError):
        await issuer.barrier("unknown" if over == "unknown" else session_id)

    session = await memory.get(session_id)
    assert session is None or session.current == 1


async def test_a_barrier_that_meets_a_rotation_is_raised_after_it(
    issuer: Issuer, clock: Clock, spy: Spy, memory: MemoryStore
) -> None:
    first = await issuer.issue("alice")
    spy.gates["replace"] = anyio.Event()
    answers: list[Tokens] = []

    async def raise_it() -> None:
        answers.append(await issuer.barrier(first.session_id))

    async with anyio.create_task_group() as group:
        group.start_soon(raise_it)
        await anyio.wait_all_tasks_blocked()
        second = await make_issuer(clock, store=memory).refresh(first.refresh_token)
        spy.gates["replace"].set()

    assert generation(issuer, answers[0].refresh_token) == 1002
    assert await refused(issuer, second.access_token)
    with pytest.raises(RevokedTokenError):
        await issuer.refresh(second.refresh_token)


async def test_a_barrier_that_meets_a_revocation_raises(
    issuer: Issuer, clock: Clock, spy: Spy, memory: MemoryStore
) -> None:
    first = await issuer.issue("alice")
    spy.gates["replace"] = anyio.Event()
    answers: list[Any] = []

    async def raise_it() -> None:
        answers.extend(await together(1, lambda: issuer.barrier(first.session_id)))

    async with anyio.create_task_group() as group:
        group.start_soon(raise_it)
        await anyio.wait_all_tasks_blocked()
        await make_issuer(clock, store=memory).revoke(first.session_id)
        spy.gates["replace"].set()

    assert isinstance(answers[0], RevokedTokenError)
    assert await memory.get(first.session_id) is None


async def test_a_step_up_begins_auth_time_anew_and_a_barrier_does_not(
    issuer: Issuer, clock: Clock
) -> None:
    began = clock()
    tokens = await issuer.issue("alice")
    clock.advance(100)
    assert issuer.verify((await issuer.barrier(tokens.session_id)).access_token)[
        "auth_time"
    ] == int(began)
    assert issuer.rotating is not None
    grant = await issuer.rotating.barrier(tokens.session_id, None, step_up=True)

    assert grant.minted.token.auth_time == int(clock())


@pytest.mark.parametrize(
    ("load", "error"), [(raises, ClaimsUnavailable), (lambda _: None, AccessDeniedError)]
)
async def test_a_barrier_whose_claims_do_not_load_changes_nothing(
    clock: Clock, memory: MemoryStore, load: Any, error: type[Exception]
) -> None:
    tokens = await make_issuer(clock, store=memory).issue("alice")
    before = await kept(memory, tokens)

    with pytest.raises(error):
        await make_issuer(clock, store=memory, load_claims=load).barrier(tokens.session_id)
    assert await kept(memory, tokens) == before


# --- events ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", [True, False], ids=["rotating", "stateless"])
async def test_a_hook_that_raises_breaks_nothing(
    clock: Clock, memory: MemoryStore, caplog: pytest.LogCaptureFixture, stored: bool
) -> None:
    def hook(_event: Event) -> None:
        raise RuntimeError("the hook is broken")

    issuer = make_issuer(clock, store=memory if stored else None, on_event=hook)
    tokens = await issuer.issue("alice")
    clock.advance(ACCESS)
    tokens = await issuer.refresh(tokens.refresh_token)

    assert issuer.verify(tokens.access_token)["sub"] == "alice"
    assert "the event hook failed on refreshed" in caplog.text


async def test_without_a_store_a_refresh_is_told(stateless: Issuer, events: list[Event]) -> None:
    tokens = await stateless.issue("alice")
    client = Client("192.0.2.1", "agent")
    await stateless.refresh(tokens.refresh_token, client=client)

    assert events == [
        Event("issued", "alice", tokens.session_id),
        Event("refreshed", "alice", tokens.session_id, client=client),
    ]


async def test_a_rotation_is_told_with_the_client(issuer: Issuer, events: list[Event]) -> None:
    tokens = await issuer.issue("alice")
    events.clear()
    client = Client("192.0.2.1", "agent")
    await issuer.refresh(tokens.refresh_token, client=client)

    assert events == [Event("refreshed", "alice", tokens.session_id, "current", client=client)]


async def test_no_event_error_log_or_repr_ever_holds_a_token(
    clock: Clock, memory: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    spy = Spy(memory)
    events: list[Event] = []

    def hook(event: Event) -> None:
        events.append(event)
        log_event(event)
        if event.name == "refreshed":
            raise RuntimeError("the hook is broken")

    issuer = make_issuer(clock, store=spy, on_event=hook, config=QUICK)
    told: list[str] = []
    secrets: list[str] = [SECRET]

    async def attempt(call: Callable[[], Awaitable[Any]]) -> Any:
        try:
            answer = await call()
        except RefreshError as error:
            told.extend(traceback.format_exception(error))
            told.extend([repr(error), str(error)])
            return None
        told.append(repr(answer))
        if isinstance(answer, Tokens):
            secrets.extend([answer.access_token, answer.refresh_token])
        return answer

    first = await attempt(lambda: issuer.issue("alice"))
    look = await issuer.mode.look(RefreshToken(first.session_id, 1), client=None)
    told.append(repr(look))
    told.append(repr(await issuer.mode.settle(look, client=None)))
    second = await attempt(
        lambda: issuer.refresh(first.refresh_token, revoke_access=first.access_token)
    )
    clock.advance(ACCESS)
    await attempt(lambda: issuer.authenticate(second.access_token))
    await attempt(lambda: issuer.refresh(second.access_token))
    await attempt(lambda: issuer.refresh(second.refresh_token + "x"))
    await attempt(lambda: issuer.refresh(second.refresh_token, revoke_access=True))
    spy.broken = {"*"}
    await attempt(lambda: issuer.refresh(second.refresh_token))
    spy.broken, spy.hanging = set(), {"get"}
    await attempt(lambda: issuer.refresh(second.refresh_token))
    spy.hanging = set()
    await attempt(lambda: issuer.barrier(first.session_id))
    await attempt(lambda: issuer.refresh(second.refresh_token))
    clock.advance(W)
    await attempt(lambda: issuer.refresh(second.refresh_token))
    await attempt(lambda: issuer.refresh(second.refresh_token))
    told += [repr(issuer), repr(issuer.config), caplog.text, *map(repr, events)]
    told += [repr(vars(record)) for record in caplog.records]
    everything = "\n".join(told)

    assert {"issued", "refreshed", "repeated", "revoked", "reused", "store_unavailable"} <= set(
        names(events)
    )
    for secret in secrets:
        assert secret not in everything
        assert secret.rpartition(".")[2] not in everything


def test_an_issuer_shows_its_mode_and_nothing_else(memory: MemoryStore) -> None:
    assert repr(Issuer(SECRET, store=memory)) == "<Issuer, rotating>"
    assert repr(Issuer(SECRET, store=None)) == "<Issuer, stateless>"
    assert repr(Issuer.__new__(Issuer)) == "<Issuer, stateless>"  # half built


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("revoke", lambda issuer: issuer.revoke("s")),
        ("revoke_subject", lambda issuer: issuer.revoke_subject("alice")),
        ("sessions", lambda issuer: issuer.sessions("alice")),
        ("barrier", lambda issuer: issuer.barrier("s")),
    ],
)
async def test_what_needs_a_store_says_which_call_it_was(
    name: str, call: Callable[[Issuer], Awaitable[object]]
) -> None:
    with pytest.raises(StoreRequiredError) as caught:
        await call(Issuer(SECRET, store=None))

    assert str(caught.value) == f"{name} needs a store; this issuer was built with store=None"


async def test_a_session_that_has_ended_is_called_that(clock: Clock, memory: MemoryStore) -> None:
    issuer = make_issuer(clock, store=memory)
    tokens = await issuer.issue("alice")
    await issuer.revoke(tokens.session_id)

    for _ in range(2):  # the second time it is known without the store
        with pytest.raises(RevokedTokenError) as caught:
            await issuer.refresh(tokens.refresh_token)
        assert (str(caught.value), caught.value.reason) == (
            "the session has ended",
            "session_ended",
        )


async def test_a_successor_that_is_withheld_is_told_of(clock: Clock, memory: MemoryStore) -> None:
    events: list[Event] = []
    issuer = make_issuer(clock, store=memory, on_event=events.append)
    window = issuer.config.window.total_seconds()
    rotated = clock() - window / 2
    await memory.add(new_session(clock, current=5, previous=4, late=4, rotated_at=rotated))

    look = await issuer.mode.look(RefreshToken("s1", 4), client=None)

    assert await issuer.mode.settle(look, client=None) is None
    assert events == [Event("repeated", "alice", "s1", "withheld")]
