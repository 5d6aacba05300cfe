"""What the runs of the model stand on: its invariants, its rows, and its tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asgi_refresh import rotation
from asgi_refresh.rotation import Verdict
from asgi_refresh.sessions import Session
from tests.model.anyone import EVERYBODY
from tests.model.browser import Browser
from tests.model.cells import GUARDS, LIMITS, PLANS, SETTINGS
from tests.model.machine import CURRENT, NOW, Machine, Row
from tests.model.pairs import KINDS, PAIRS
from tests.model.planted import PLANTED
from tests.model.tables import COUNTED, liveness, pairs, safety
from tests.model.worlds import Faults, Scenario

SIGNED_OUT = {
    (name, cell): setting.expects(cell)
    for name, setting in SETTINGS.items()
    for cell in setting.cells
}


class TestInvariants:
    @pytest.mark.parametrize("name", [name for name in EVERYBODY if name != "two hosts"])
    def test_hold_whoever_presents_what(self, name: str) -> None:
        """Every generation in every row at any time; behind barriers, after lost writes."""
        exploration = EVERYBODY[name].explore()

        assert exploration.broken is None, exploration.broken
        assert Verdict.THEFT in exploration.verdicts
        assert Verdict.STALE in exploration.verdicts
        assert exploration.states > 1000

    @pytest.mark.parametrize("name", PLANTED)
    def test_bite(self, name: str) -> None:
        """A change that breaks one invariant is caught by that invariant's check."""
        broken = PLANTED[name].explore().broken

        assert broken is not None
        assert broken[-1].startswith(f"{name.partition(' ')[0]}:")

    def test_a_barrier_reaches_what_a_rollback_lost(self) -> None:
        """It leaps: a token that the store gave out and forgot is older than the barrier."""
        machine = Machine(4)
        _, _, lost = machine.advance(Row(), 0, Verdict.CURRENT, 0, 0)
        behind = machine.barrier(Row(), 0)  # the store knows nothing of that rotation

        assert machine.present(behind.row, lost - behind.shift, 0)[0] is Verdict.STALE
        assert machine.present(behind.row, 0, 0)[0] is Verdict.CURRENT


class TestTables:
    def test_are_those_of_rotation_md(self) -> None:
        """A line for every protocol, with an F where it signs the browser out."""
        lines = liveness(SIGNED_OUT).splitlines()

        assert len(lines) == len(SETTINGS) + 2
        assert lines[-1].count("**F**") == len(COUNTED) == 10
        assert all("**F**" not in line for line in lines if "**P7**" in line)

    def test_have_every_pair_of_faults(self) -> None:
        """A square, with an F on both sides of its diagonal for each limit."""
        square = pairs(SIGNED_OUT)
        twice = sum(len(set(name.split(" + "))) for name in LIMITS)

        assert len(PAIRS) == len(KINDS) * (len(KINDS) + 1) / 2
        assert square.count("**F**") == twice

    def test_have_every_plan_of_a_thief(self) -> None:
        """Stopped in so many rounds, or undetected."""
        most = {
            (name, plan): guard.expects(plan) for name, guard in GUARDS.items() for plan in PLANS
        }

        lines = safety(most, dict.fromkeys(GUARDS, "theft")).splitlines()

        assert len(lines) == len(GUARDS) + 2
        assert [line.count("undetected") for line in lines[2:4]] == [1, 1]


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
