"""The reduced run of the model: the tables of rotation.md with fewer requests in flight."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest

from asgi_refresh import rotation
from asgi_refresh.rotation import Verdict
from asgi_refresh.sessions import Session
from tests.model.browser import Browser, Faults, Scenario
from tests.model.cells import COLUMNS, GUARDS, LIMITS, PLANS, SETTINGS, UNDETECTED, rounds
from tests.model.explorer import Exploration, Step, explore
from tests.model.machine import CURRENT, NOW, Machine, Row
from tests.model.thief import ancient_verdicts

IN_FLIGHT = {"legs take no time": 3, "legs take a tick": 3, "P7 as drafted": 3, "grace 0": 2}
"""Two hosts double what a request may do: two in flight there."""
HELD_ON_TWO_HOSTS = [("P7, two hosts", plan) for plan in PLANS if PLANS[plan].holds]
"""In the full run alone."""


@cache
def run_browser(name: str, column: str) -> Exploration:
    return SETTINGS[name].browser(column, IN_FLIGHT.get(name, 2)).explore()


@cache
def run_thief(name: str, plan: str) -> Exploration:
    return GUARDS[name].thief(plan).explore()


def told(trace: tuple[str, ...] | None) -> str:
    return "\n".join(trace or ["no such interleaving"])


class TestBrowser:
    @pytest.mark.parametrize("column", COLUMNS)
    @pytest.mark.parametrize("name", [name for name in SETTINGS if name != "grace 0"])
    def test_is_signed_out_only_where_the_table_says(self, name: str, column: str) -> None:
        """No interleaving signs an honest browser out, but for the FORK of the draft."""
        found = run_browser(name, column).found

        assert SETTINGS[name].expects(column) == (found is not None), told(found)

    @pytest.mark.parametrize("column", COLUMNS)
    def test_without_grace_is_signed_out(self, column: str) -> None:
        """With a grace of zero parallel requests alone sign the browser out."""
        found = run_browser("grace 0", column).found

        assert found is not None
        assert "THEFT" in found[-1]

    @pytest.mark.parametrize("column", LIMITS)
    def test_has_limits(self, column: str) -> None:
        """A voided generation that lands last, and late, does sign it out."""
        found = run_browser("legs take no time", column).found

        assert found is not None
        assert "THEFT" in found[-1]

    def test_without_an_access_cookie_needs_the_interval_between_rotations(self) -> None:
        """Where every request refreshes, one rotation in grace keeps the parallel ones accepted."""
        every = Scenario(ttl=0, usual=0, in_flight=3)

        found = Browser(Machine(4), every).explore().found

        assert found is None, told(found)

    def test_needs_its_access_cookie_after_a_late_recovery(self) -> None:
        """A second refresh on the heels of a LATE one makes a theft of a third: TTL bounds it."""
        every = Scenario(Faults(lost=1), ttl=0, usual=0, in_flight=3)

        found = Browser(Machine(4), every).explore().found

        assert found is not None
        assert found[-1] == "t=4  present 1 THEFT"

    def test_survives_any_number_of_losses_in_one_generation(self) -> None:
        """A second recovery of the same generation is as free as the first."""
        row = Row(lag=1, age=4)
        machine = Machine(4)
        for _ in range(3):
            verdict, row = machine.present(row, -1, 0)
            assert Verdict.LATE is verdict
            handed, row, _ = machine.advance(row, -1, verdict, 0, 0)
            assert handed == 0

    def test_that_stays_away_too_long_is_dead(self) -> None:
        """An idle session ends, and only by being left alone for its idle lifetime."""
        found = Browser(Machine(4, idle=20), Scenario(in_flight=2)).explore().found

        assert found is not None
        assert found[-1] == "t=20 present 1 DEAD"

    def test_behind_a_barrier_is_stale_before_it_is_theft(self) -> None:
        """A request that was on its way when the barrier rose is refused, and nothing ends."""
        exploration = run_browser("legs take a tick", "L13 barrier")

        assert exploration.found is None
        assert Verdict.STALE in exploration.verdicts


class TestThief:
    @pytest.mark.parametrize("plan", PLANS)
    def test_is_stopped_in_time(self, plan: str) -> None:
        """Whoever is not in grace every time has the joint rounds of rotation.md at most."""
        exploration = run_thief("P7", plan)

        assert GUARDS["P7"].expects(plan) == rounds(exploration), told(exploration.best_trace)

    @pytest.mark.parametrize("plan", [plan for plan in PLANS if not PLANS[plan].holds])
    def test_is_stopped_in_time_on_two_hosts(self, plan: str) -> None:
        """Clocks that differ by the leeway give the thief not one round more."""
        exploration = run_thief("P7, two hosts", plan)

        assert GUARDS["P7"].expects(plan) == rounds(exploration), told(exploration.best_trace)

    def test_is_not_seen_in_grace_every_time(self) -> None:
        """The limit of every scheme that gives parallel requests one successor (rotation.md, 4)."""
        assert run_thief("P7", "always in grace").found is not None

    def test_stays_undetected_under_p4(self) -> None:
        """A fork that still grants the kept predecessor the same successor is no defence."""
        found = run_thief("P4", "never in grace").found

        assert found is not None
        assert sum("thief" in step for step in found) >= UNDETECTED

    def test_stays_undetected_under_p6_with_requests_held_open(self) -> None:
        """An `advance` without a bound in time gives the successor to whoever waits for it."""
        found = run_thief("P6", "held requests").found

        assert found is not None
        assert any("thief closes" in step for step in found)

    def test_needs_held_requests_under_p6(self) -> None:
        """The hole of P6 is in `advance` alone: who holds nothing open is stopped as by P7."""
        assert rounds(run_thief("P6", "never in grace")) == rounds(
            run_thief("P7", "never in grace")
        )

    @pytest.mark.parametrize("name", ["P7", "P7, two hosts"])
    def test_with_an_ancient_token_ends_the_session(self, name: str) -> None:
        """Older than `previous` is THEFT in every row, in grace or not, on either host."""
        assert {Verdict.THEFT} == ancient_verdicts(GUARDS[name].machine)

    def test_that_repeats_the_predecessor_of_an_idle_victim(self) -> None:
        """Thief, victim and thief are served; the victim's next refresh shows the theft."""
        machine = Machine(4)
        verdicts: list[Verdict] = []
        row, current = Row(lag=1, age=4), 2  # the victim holds 2 and is idle; 1 was copied
        for generation in (1, 2, 2, 3):
            verdict, row = machine.present(row, generation - current, 0)
            verdicts.append(verdict)
            _, row, shift = machine.advance(row, generation - current, verdict, 0, 0)
            current += shift
            for _ in range(9):
                row = machine.tick(row)

        assert verdicts == [Verdict.LATE, Verdict.CURRENT, Verdict.FORK, Verdict.THEFT]


class TestExplorer:
    def test_visits_each_state_once_and_finds_a_shortest_trace(self) -> None:
        """Two counters to three: sixteen states, and six steps to the last."""

        def moves(world: tuple[int, int]) -> Iterator[tuple[Step, tuple[int, int] | None]]:
            if world == (3, 3):
                yield Step("done"), None
            if world[0] < 3:
                yield Step("left"), (world[0] + 1, world[1])
            if world[1] < 3:
                yield Step("right"), (world[0], world[1] + 1)

        exploration = explore([(0, 0)], moves, sum)

        assert (exploration.states, exploration.best) == (16, 6)
        assert len(exploration.found or ()) == 7

    def test_reaches_every_verdict(self) -> None:
        """The runs are not vacuous: each verdict decides something in one of them."""
        runs = [
            run_browser("legs take a tick", "L9 two queued"),
            run_browser("legs take a tick", "L10 store rollback"),
            run_browser("legs take a tick", "L13 barrier"),
            run_thief("P7", "never in grace"),
            Browser(Machine(4, idle=20), Scenario(in_flight=2)).explore(),
        ]

        assert set(Verdict) == frozenset[Verdict]().union(*(run.verdicts for run in runs))

    @pytest.mark.parametrize(
        ("column", "least"),
        [
            ("L2 one lost response", 2500),
            ("L3 one slow handler", 6000),
            ("L10 store rollback", 8000),
        ],
    )
    def test_is_not_vacuous(self, column: str, least: int) -> None:
        """A fault multiplies the states; a model that lost its faults would show here."""
        exploration = run_browser("legs take a tick", column)

        assert exploration.states >= least
        assert exploration.states > run_browser("legs take a tick", "L1 parallel only").states * 5

    def test_more_requests_in_flight_reach_more_states(self) -> None:
        """The bound on requests in flight is one that bites."""
        sizes = [Browser(Machine(4), Scenario(in_flight=n)).explore().states for n in (1, 2, 3)]

        assert sizes == sorted(set(sizes))


class TestMachine:
    """What a `Row` leaves out makes no difference to the shipped functions."""

    SESSION = Session(
        id="sid",
        subject="alice",
        created_at=0.0,
        auth_time=0.0,
        expires_at=1e9,
        idle_expires_at=1e9,
        current=CURRENT,
        previous=CURRENT - 1,
        rotated_at=NOW,
    )

    @pytest.mark.parametrize("forked", [False, True])
    @pytest.mark.parametrize("offset", [-3, -2, -1, 0, 1])
    def test_from_the_grace_on_the_age_does_not_matter(self, offset: int, forked: bool) -> None:
        """Every age of a rotation from W on is the same to both functions."""
        session = replace(self.SESSION, previous=CURRENT - 1 - forked, forked=forked)
        answers = {
            (
                rotation.present(session, CURRENT + offset, now=NOW + age, grace=4)[0],
                rotation.advance(
                    session, CURRENT + offset, verdict, seen, now=NOW + age, grace=4, idle=9
                )[0],
                verdict,
                seen,
            )
            for age in (4, 5, 9, 1000)
            for verdict in Verdict
            for seen in (CURRENT - 1, CURRENT)
        }

        assert len(answers) == 2 * len(Verdict)

    @pytest.mark.parametrize("offset", [-2, -1, 0])
    def test_beyond_two_generations_the_last_recovery_does_not_matter(self, offset: int) -> None:
        """A late recovery two generations ago is like none."""
        verdicts = {
            rotation.present(
                replace(self.SESSION, late=late), CURRENT + offset, now=NOW + 5, grace=4
            )[0]
            for late in (CURRENT - 2, CURRENT - 3, CURRENT - 50, -1)
        }

        assert len(verdicts) == 1

    @pytest.mark.parametrize("row", [Row(), Row(1, 0, 0), Row(1, 4, 1), Row(2, 3, 0, forked=True)])
    def test_a_row_is_its_session_and_back(self, row: Row) -> None:
        """Nothing that a row holds is lost on the way through a real session."""
        machine = Machine(4)

        assert row == machine._row(machine._session(row))

    def test_hosts_agree_on_a_theft(self) -> None:
        """Clocks that differ by the leeway do not make a theft out of an honest presentation."""
        machine = Machine(6, skew=1)
        for age in range(-1, 7):
            for late in range(3):
                row = Row(1, age, late)
                for offset in (-3, -2, -1, 0, 1):
                    thefts = [machine.present(row, offset, h)[0] is Verdict.THEFT for h in (0, 1)]
                    assert len(set(thefts)) == 1

    def test_faults_are_spent_not_given(self) -> None:
        """A run ends with no fault below zero: a slow leg needs its own fault."""
        slow = Scenario(Faults(slow_handler=1), in_flight=2)
        none = Scenario(Faults(), in_flight=2)

        assert (
            Browser(Machine(4), slow).explore().states > Browser(Machine(4), none).explore().states
        )
