"""The reduced run of the model: the tables of rotation.md with fewer requests in flight."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest

from asgi_refresh.rotation import Verdict
from tests.model.browser import Browser
from tests.model.cases import CASES
from tests.model.cells import (
    COLUMNS,
    GUARDS,
    PLANS,
    SAME,
    SETTINGS,
    SHIPPED,
    UNDETECTED,
    rounds,
)
from tests.model.explorer import Exploration, Step, explore
from tests.model.machine import Machine, Row
from tests.model.pairs import PAIRS
from tests.model.thief import Thief, ancient_verdicts
from tests.model.worlds import Faults, Scenario

IN_FLIGHT = {"legs take no time": 3, "legs take a tick": 3, "P7 as drafted": 3, "grace 0": 2}
"""Two hosts double what a request may do: two in flight there."""
ON_TWO_HOSTS = [plan for plan, does in PLANS.items() if not does.holds and does.in_grace <= 1]
"""The others in the full run alone."""
SMALL = [
    name
    for name, case in CASES.items()
    if not case.browser.scenario.script and name != "hasty app: rollback, two lost"
]
"""Of the others two here, and all in the full run."""


@cache
def run_browser(name: str, column: str) -> Exploration:
    return kept(SETTINGS[name].browser(column, IN_FLIGHT.get(name, 2)).explore())


@cache
def run_thief(name: str, plan: str) -> Exploration:
    return kept(GUARDS[name].thief(plan).explore())


def kept(exploration: Exploration) -> Exploration:
    assert exploration.broken is None, told(exploration.broken)
    return exploration


def told(trace: tuple[str, ...] | None) -> str:
    return "\n".join(trace or ["no such interleaving"])


class TestBrowser:
    @pytest.mark.parametrize("column", COLUMNS)
    @pytest.mark.parametrize("name", [*SHIPPED, "P7 as drafted"])
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

    @pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair not in SAME])
    def test_is_signed_out_only_by_the_pairs_that_are_explained(self, pair: str) -> None:
        """Two faults of a kind or of two do what `LIMITS` says, and nothing for no reason."""
        found = run_browser("legs take no time", pair).found

        assert SETTINGS["legs take no time"].expects(pair) == (found is not None), told(found)

    @pytest.mark.parametrize("name", [*SMALL, "hasty script", "script: two lost"])
    def test_beside_the_table_is_signed_out_only_where_explained(self, name: str) -> None:
        """Explicit clients, clocks too far apart, and what bounds the table."""
        found = kept(CASES[name].browser.explore()).found

        assert (CASES[name].limit is not None) == (found is not None), told(found)

    def test_with_an_app_of_its_own_survives_any_loss(self) -> None:
        """Nothing is behind a lone client's one call, however many answers in a row are lost."""
        for lost in (1, 2, 5):
            app = Scenario(Faults(lost=lost), in_flight=1, alone=True, eager=True)

            assert kept(Browser(Machine(4), app).explore()).found is None

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

    @pytest.mark.parametrize("plan", ON_TWO_HOSTS)
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
        plan = replace(GUARDS["P6"].thief("held requests").plan, holds=1)
        found = Thief(GUARDS["P6"].machine, plan).explore().found

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
