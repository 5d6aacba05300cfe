"""Every branch of `present`, `advance` and `barrier`: rotation.md 5.3, row by row."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from asgi_refresh.rotation import ACCEPTED, Verdict, advance, barrier, present
from asgi_refresh.sessions import Session
from tests.support import Clock, new_session

T = 1_800_000_000.0
"""When `current` came to be, in every row that has rotated."""
W = 70.0
IDLE = 1000.0
REFUSED = [verdict for verdict in Verdict if verdict not in ACCEPTED]
BY_NAME = {"ids": lambda value: value.name if isinstance(value, Verdict) else None}


def before(moment: float) -> float:
    return math.nextafter(moment, 0)


def row(**values: Any) -> Session:
    """A session at its fifth generation, rotated at T."""
    values = {"current": 5, "previous": 4, "rotated_at": T, "created_at": T - 5000} | values
    return new_session(Clock(T), **values)


def fresh(**values: Any) -> Session:
    return new_session(Clock(T), **values)


def verdict_on(session: Session, generation: int, now: float, *, grace: float = W) -> Verdict:
    return present(session, generation, now=now, grace=grace)[0]


# --- present --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("session", "generation", "now", "expected"),
    [
        pytest.param(fresh(), 1, T, Verdict.CURRENT, id="the first generation"),
        pytest.param(row(), 5, T, Verdict.CURRENT, id="the newest, just rotated"),
        pytest.param(row(), 5, T + 9e5, Verdict.CURRENT, id="the newest, long after"),
        pytest.param(row(forked=True), 5, T + W, Verdict.CURRENT, id="the newest after a fork"),
        pytest.param(fresh(), 2, T, Verdict.AHEAD, id="one newer than the first"),
        pytest.param(row(), 6, T, Verdict.AHEAD, id="one newer"),
        pytest.param(row(), 6000, T + W, Verdict.AHEAD, id="much newer"),
        pytest.param(row(), 4, T, Verdict.GRACE, id="previous at the rotation"),
        pytest.param(row(), 4, before(T + W), Verdict.GRACE, id="previous as grace ends"),
        pytest.param(row(late=4), 4, T, Verdict.GRACE, id="previous in grace, late taken"),
        pytest.param(row(forked=True), 4, T, Verdict.GRACE, id="previous in grace of a fork"),
        pytest.param(row(), 4, T + W, Verdict.LATE, id="previous when grace is over"),
        pytest.param(row(), 4, T + 9e5, Verdict.LATE, id="previous days later"),
        pytest.param(row(late=5), 4, T + W, Verdict.LATE, id="late once more"),
        pytest.param(row(late=3), 4, T + W, Verdict.LATE, id="late two generations ago"),
        pytest.param(row(late=4), 4, T + W, Verdict.FORK, id="late in the generation before"),
        pytest.param(row(forked=True, late=5), 4, T + W, Verdict.FORK, id="late after a fork"),
        pytest.param(
            row(previous=3, forked=True, late=5), 4, T, Verdict.GRACE, id="what the fork voided"
        ),
        pytest.param(
            row(previous=3, forked=True, late=5), 4, before(T + W), Verdict.GRACE,
            id="what the fork voided, as grace ends",
        ),
        pytest.param(
            row(previous=3, forked=True, late=5), 4, T + W, Verdict.THEFT,
            id="what the fork voided, grace over",
        ),
        pytest.param(row(previous=3), 4, T, Verdict.THEFT, id="the one below without a fork"),
        pytest.param(
            row(previous=3, forked=True, late=5), 2, T, Verdict.THEFT, id="below a fork's origin"
        ),
        pytest.param(row(), 3, T, Verdict.THEFT, id="ancient, in grace of the rotation"),
        pytest.param(row(), 3, T + W, Verdict.THEFT, id="ancient"),
        pytest.param(row(), 0, T, Verdict.THEFT, id="zero"),
        pytest.param(row(), -1, T, Verdict.THEFT, id="below zero"),
        pytest.param(fresh(), 0, T, Verdict.THEFT, id="zero, before the first rotation"),
        pytest.param(
            row(previous=None, barrier_at=T), 4, T, Verdict.STALE, id="just before a barrier"
        ),
        pytest.param(
            row(previous=None, barrier_at=T), 1, before(T + W), Verdict.STALE,
            id="long before a barrier, as grace ends",
        ),
        pytest.param(
            row(previous=None, barrier_at=T), 4, T + W, Verdict.THEFT,
            id="before a barrier, grace over",
        ),
        pytest.param(
            row(barrier_at=T - 10), 3, T, Verdict.STALE, id="before a barrier, rotated since"
        ),
        pytest.param(
            row(barrier_at=T - 10), 4, T, Verdict.GRACE, id="the barrier's own generation"
        ),
        pytest.param(
            row(barrier_at=T - W), 3, T, Verdict.THEFT, id="grace counts from the barrier"
        ),
    ],
)  # fmt: skip
def test_present_calls_it(session: Session, generation: int, now: float, expected: Verdict) -> None:
    assert verdict_on(session, generation, now) is expected


@pytest.mark.parametrize("end", ["expires_at", "idle_expires_at"])
@pytest.mark.parametrize("generation", [-1, 3, 4, 5, 6])
def test_a_session_is_dead_from_its_end_on_whatever_is_presented(end: str, generation: int) -> None:
    session = row(**{end: T + 30, "barrier_at": T})

    assert verdict_on(session, generation, T + 30) is Verdict.DEAD
    assert verdict_on(session, generation, before(T + 30)) is not Verdict.DEAD


@pytest.mark.parametrize("late", [-1, 3])
def test_late_is_marked_at_once_and_nothing_else_changes(late: int) -> None:
    session = row(late=late)

    _, marked = present(session, 4, now=T + W, grace=W)

    assert marked == replace(session, late=5)


def test_late_once_more_writes_nothing() -> None:
    session = row(late=5)

    assert present(session, 4, now=T + W, grace=W)[1] is session


@pytest.mark.parametrize(
    ("session", "generation", "now"),
    [
        (row(), 5, T),
        (row(), 6, T),
        (row(), 4, T),
        (row(late=4), 4, T + W),
        (row(previous=3, forked=True), 4, T),
        (row(previous=None, barrier_at=T), 4, T),
        (row(), 1, T),
        (row(expires_at=T), 4, T),
    ],
    ids=["current", "ahead", "grace", "fork", "alias", "stale", "theft", "dead"],
)
def test_present_writes_nothing_but_late(session: Session, generation: int, now: float) -> None:
    assert present(session, generation, now=now, grace=W)[1] is session


def test_with_zero_grace_the_predecessor_is_late_at_once() -> None:
    assert verdict_on(row(), 4, T, grace=0.0) is Verdict.LATE


def test_present_never_takes_now_below_rotated_at() -> None:
    # Zero grace is over at rotated_at itself, and not an hour before.
    assert verdict_on(row(), 4, T - 3600, grace=0.0) is Verdict.LATE
    assert verdict_on(row(barrier_at=T - W), 3, T - 3600) is Verdict.THEFT


def test_the_end_is_by_the_clock_as_it_is() -> None:
    assert verdict_on(row(idle_expires_at=T), 5, before(T)) is Verdict.CURRENT


# --- advance --------------------------------------------------------------------------------------


def advanced(
    session: Session,
    generation: int,
    verdict: Verdict,
    seen: int = 5,
    *,
    now: float = T + W,
    grace: float = W,
    alone: bool = False,
) -> tuple[int | None, Session]:
    return advance(session, generation, verdict, seen, now=now, grace=grace, idle=IDLE, alone=alone)


def rotated(session: Session, now: float, **values: Any) -> Session:
    """*session* after a rotation at *now*, as the specification has it."""
    values = {"rotated_at": now, "last_seen": now, "idle_expires_at": now + IDLE} | values
    return replace(session, **values)


@pytest.mark.parametrize("verdict", REFUSED, **BY_NAME)
@pytest.mark.parametrize("generation", [3, 4, 5])
def test_what_was_refused_gets_nothing(verdict: Verdict, generation: int) -> None:
    session = row()

    assert advanced(session, generation, verdict) == (None, session)


@pytest.mark.parametrize("verdict", list(Verdict), **BY_NAME)
@pytest.mark.parametrize("seen", [4, 5])
@pytest.mark.parametrize("end", ["expires_at", "idle_expires_at"])
def test_a_session_that_ended_meanwhile_gives_nothing(
    verdict: Verdict, seen: int, end: str
) -> None:
    session = row(**{end: T + 30})

    generation, after = advanced(session, 4, verdict, seen, now=T + 30)

    assert generation is None
    assert after is session


def test_it_still_gives_in_the_last_moment() -> None:
    assert advanced(row(expires_at=T + 30), 4, Verdict.GRACE, now=before(T + 30))[0] == 5


@pytest.mark.parametrize("verdict", [Verdict.GRACE, Verdict.LATE], **BY_NAME)
@pytest.mark.parametrize("now", [T, T + W, T + 9e5])
def test_the_predecessor_gets_the_same_successor_and_writes_nothing(
    verdict: Verdict, now: float
) -> None:
    session = row()

    generation, after = advanced(session, 4, verdict, now=now)

    assert generation == 5
    assert after is session


@pytest.mark.parametrize("now", [T, before(T + W)])
def test_the_newest_is_repeated_until_grace_has_passed_since_the_rotation(now: float) -> None:
    session = row()

    generation, after = advanced(session, 5, Verdict.CURRENT, now=now)

    assert generation == 5
    assert after is session


@pytest.mark.parametrize("now", [T + W, T + 9e5])
def test_the_newest_is_rotated_once_grace_has_passed(now: float) -> None:
    session = row(late=3)

    generation, after = advanced(session, 5, Verdict.CURRENT, now=now)

    assert generation == 6
    assert after == rotated(session, now, current=6, previous=5)


def test_the_first_rotation_waits_for_nothing() -> None:
    session = fresh()

    generation, after = advance(session, 1, Verdict.CURRENT, 1, now=T, grace=W, idle=IDLE)

    assert generation == 2
    assert after == rotated(session, T, current=2, previous=1)


def test_a_rotation_ends_the_time_of_a_fork() -> None:
    session = row(previous=3, forked=True, late=5)

    generation, after = advanced(session, 5, Verdict.CURRENT)

    assert generation == 6
    assert after == rotated(session, T + W, current=6, previous=5, forked=False, late=5)


@pytest.mark.parametrize("now", [T + W, T + 10 * W])
def test_a_fork_rotates_from_the_predecessor(now: float) -> None:
    session = row(late=4)

    generation, after = advanced(session, 4, Verdict.FORK, now=now)

    assert generation == 6
    assert after == rotated(session, now, current=6, previous=4, forked=True, late=6)


def test_a_fork_that_a_lost_write_has_made_young_again_does_not_rotate_twice() -> None:
    # Decided on a session whose rotation the store forgot; another has rotated it since.
    session = row(late=4)

    assert advanced(session, 4, Verdict.FORK, now=T) == (5, session)


@pytest.mark.parametrize("now", [T, T + W])
@pytest.mark.parametrize("generation", [6, 40])
def test_what_is_ahead_rotates_at_once_to_the_next(now: float, generation: int) -> None:
    session = row()

    handed, after = advanced(session, generation, Verdict.AHEAD, now=now)

    assert handed == generation + 1
    assert after == rotated(session, now, current=generation + 1, previous=generation)


def test_a_rotation_leaves_the_barrier_and_the_access_tokens_alone() -> None:
    session = row(barrier_at=T - 500, access_from=3, version=9)

    _, after = advanced(session, 5, Verdict.CURRENT)

    assert after == rotated(session, T + W, current=6, previous=5)
    assert (after.barrier_at, after.access_from, after.version) == (T - 500, 3, 9)


@pytest.mark.parametrize(
    ("absolute", "idle_end"),
    [(IDLE - 1, IDLE - 1), (IDLE, IDLE), (IDLE + 1, IDLE)],
    ids=["before", "at", "after"],
)
def test_a_rotation_begins_the_idle_time_anew_up_to_the_absolute_end(
    absolute: float, idle_end: float
) -> None:
    now = T + W
    session = row(expires_at=now + absolute, idle_expires_at=now + 1)

    _, after = advanced(session, 5, Verdict.CURRENT, now=now)

    assert after.idle_expires_at == now + idle_end
    assert after.expires_at == now + absolute


@pytest.mark.parametrize("verdict", sorted(ACCEPTED, key=lambda v: v.value), **BY_NAME)
@pytest.mark.parametrize("late", [-1, 3, 5])
@pytest.mark.parametrize("now", [T, before(T + W)])
def test_who_was_overtaken_gets_the_successor_in_grace(
    verdict: Verdict, late: int, now: float
) -> None:
    session = row(late=late)

    generation, after = advanced(session, 4, verdict, seen=4, now=now)

    assert generation == 5
    assert after is session


NO_LATE_LEFT = pytest.mark.parametrize(
    "values", [{"late": 4}, {"forked": True, "late": 5}], ids=["late before", "forked"]
)


@NO_LATE_LEFT
@pytest.mark.parametrize("seen", [4, 5])
@pytest.mark.parametrize("now", [T, before(T + W / 2)])
def test_a_successor_that_a_fork_may_void_is_handed_out_in_the_first_half_of_the_grace(
    values: dict[str, Any], seen: int, now: float
) -> None:
    session = row(**values)

    generation, after = advanced(session, 4, Verdict.GRACE, seen, now=now)

    assert generation == 5
    assert after is session


@NO_LATE_LEFT
@pytest.mark.parametrize("seen", [4, 5])
@pytest.mark.parametrize("now", [T + W / 2, before(T + W), T + W, T + 9e5])
def test_a_successor_that_a_fork_may_void_is_withheld_from_then_on(
    values: dict[str, Any], seen: int, now: float
) -> None:
    session = row(**values)

    assert advanced(session, 4, Verdict.GRACE, seen, now=now) == (None, session)


@NO_LATE_LEFT
@pytest.mark.parametrize("seen", [4, 5])
@pytest.mark.parametrize("now", [T, T + W / 2, before(T + W)])
def test_a_client_that_is_alone_gets_it_all_through_the_grace(
    values: dict[str, Any], seen: int, now: float
) -> None:
    session = row(**values)

    generation, after = advanced(session, 4, Verdict.GRACE, seen, now=now, alone=True)

    assert generation == 5
    assert after is session


@NO_LATE_LEFT
@pytest.mark.parametrize("seen", [4, 5])
def test_a_client_that_is_alone_gets_it_no_longer(values: dict[str, Any], seen: int) -> None:
    session = row(**values)

    assert advanced(session, 4, Verdict.GRACE, seen, now=T + W, alone=True) == (None, session)


def test_unless_told_otherwise_a_client_is_not_alone() -> None:
    session = row(late=4)
    in_the_second_half = T + W / 2

    assert advance(session, 4, Verdict.GRACE, 5, now=in_the_second_half, grace=W, idle=IDLE) == (
        None,
        session,
    )


@pytest.mark.parametrize("verdict", list(Verdict), **BY_NAME)
@pytest.mark.parametrize("now", [T, T + W])
@pytest.mark.parametrize("generation", [3, 4, 5, 6])
def test_being_alone_changes_nothing_else(verdict: Verdict, now: float, generation: int) -> None:
    session = row()

    assert advanced(session, generation, verdict, now=now, alone=True) == advanced(
        session, generation, verdict, now=now
    )


@pytest.mark.parametrize("now", [T, T + W / 2, T + W])
def test_what_a_fork_voided_gets_the_forks_successor(now: float) -> None:
    session = row(previous=3, forked=True, late=5)

    generation, after = advanced(session, 4, Verdict.GRACE, now=now)

    assert generation == 5
    assert after is session


@pytest.mark.parametrize("late", [-1, 3])
def test_who_was_overtaken_long_ago_gets_it_as_the_one_late_recovery(late: int) -> None:
    session = row(late=late)

    generation, after = advanced(session, 4, Verdict.CURRENT, seen=4)

    assert generation == 5
    assert after == replace(session, late=5)


def test_who_was_overtaken_long_ago_shares_the_late_recovery_of_another() -> None:
    session = row(late=5)

    generation, after = advanced(session, 4, Verdict.CURRENT, seen=4)

    assert generation == 5
    assert after is session


@pytest.mark.parametrize("values", [{"late": 4}, {"forked": True}, {"forked": True, "late": 5}])
def test_who_was_overtaken_long_ago_gets_nothing_when_the_late_recovery_is_taken(
    values: dict[str, Any],
) -> None:
    session = row(**values)

    assert advanced(session, 4, Verdict.CURRENT, seen=4) == (None, session)


@pytest.mark.parametrize("verdict", sorted(ACCEPTED, key=lambda v: v.value), **BY_NAME)
@pytest.mark.parametrize(
    ("session", "generation", "seen"),
    [
        (row(), 3, 3),
        (row(previous=3, forked=True), 4, 4),
        (row(previous=None, barrier_at=T), 4, 4),
        (row(), 7, 7),
        (row(), 5, 4),
    ],
    ids=["overtaken twice", "voided by a fork", "barrier", "store rolled back", "not its own"],
)
def test_what_has_been_overtaken_otherwise_gets_nothing(
    session: Session, generation: int, seen: int, verdict: Verdict
) -> None:
    for now in (T, T + W):
        assert advanced(session, generation, verdict, seen, now=now) == (None, session)


def test_advance_never_takes_now_below_rotated_at() -> None:
    session = row()

    generation, after = advanced(session, 5, Verdict.CURRENT, now=T - 3600, grace=0.0)

    assert generation == 6
    assert after == rotated(session, T, current=6, previous=5)


def test_a_host_behind_does_not_rotate_before_grace_has_passed() -> None:
    assert advanced(row(), 5, Verdict.CURRENT, now=T - 3600)[0] == 5


# --- barrier --------------------------------------------------------------------------------------


def test_a_barrier_begins_a_generation_without_a_predecessor() -> None:
    session = row(late=5, forked=True, version=9)
    now = T + 500

    assert barrier(session, now=now) == replace(
        session,
        current=1005,
        previous=None,
        rotated_at=now,
        forked=False,
        barrier_at=now,
        access_from=1005,
        last_seen=now,
    )


def test_a_barrier_counts_as_a_rotation() -> None:
    behind = barrier(fresh(), now=T)

    now = T + 1
    assert advance(behind, 1001, Verdict.CURRENT, 1001, now=now, grace=W, idle=IDLE) == (
        1001,
        behind,
    )


# The last two: handed out and then lost by the store; they must not pass as AHEAD.
@pytest.mark.parametrize("generation", [1, 4, 5, 6, 900])
def test_tokens_from_before_a_barrier_are_stale_and_then_theft(generation: int) -> None:
    behind = barrier(row(), now=T + 500)

    assert verdict_on(behind, generation, T + 500) is Verdict.STALE
    assert verdict_on(behind, generation, before(T + 500 + W)) is Verdict.STALE
    assert verdict_on(behind, generation, T + 500 + W) is Verdict.THEFT
    assert verdict_on(behind, 1005, T + 500) is Verdict.CURRENT


@pytest.mark.parametrize("verdict", sorted(ACCEPTED, key=lambda v: v.value), **BY_NAME)
@pytest.mark.parametrize("generation", [4, 5])
def test_a_request_under_way_gets_nothing_behind_a_barrier(
    verdict: Verdict, generation: int
) -> None:
    behind = barrier(row(), now=T + 1)

    assert advanced(behind, generation, verdict, now=T + 2) == (None, behind)


def test_a_barrier_on_a_host_that_is_behind_never_moves_rotated_at_back() -> None:
    behind = barrier(row(), now=T - 4)

    assert (behind.rotated_at, behind.barrier_at, behind.last_seen) == (T, T, T)
