"""
The tables of rotation.md, sections 3 and 4: who runs against which faults, and what must come out.

A cell whose outcome differs from the one written here fails the run, for better or worse.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from .browser import Browser
from .explorer import Exploration
from .invariants import FORGETFUL, NAMES
from .machine import Machine
from .pairs import PAIRS
from .thief import ALWAYS, Plan, Thief
from .variants import (
    always_advance,
    always_present,
    drafted_advance,
    fork_at_once_present,
    p4_present,
    p6_advance,
    strict_after_present,
)
from .worlds import Faults, Scenario

COLUMNS: Final = {
    "L1 parallel only": Scenario(),
    "L2 one lost response": Scenario(Faults(lost=1)),
    "L3 one slow handler": Scenario(Faults(slow_handler=1)),
    "L4 one queued request": Scenario(Faults(slow_queue=1)),
    "L5 one slow response": Scenario(Faults(slow_response=1)),
    "L6 slow handler and lost": Scenario(Faults(slow_handler=1, lost=1)),
    "L7 queued and lost": Scenario(Faults(slow_queue=1, lost=1)),
    "L8 two lost": Scenario(Faults(lost=2)),
    "L9 two queued": Scenario(Faults(slow_queue=2)),
    "L10 store rollback": Scenario(Faults(rollback=1)),
    "L11 handshakes": Scenario(unfinished=True),
    "L12 handshakes and lost": Scenario(Faults(lost=1), unfinished=True),
    "L13 barrier": Scenario(Faults(barrier=1)),
}
"""What may go wrong for an honest browser, in total over a run of any length."""

SAME: Final = {
    name: column
    for name, pair in PAIRS.items()
    for column, scenario in COLUMNS.items()
    if pair == scenario
}
"""The pairs that are columns."""

_LATE_TWICE: Final = (
    "L-b: late in two generations running, and what the fork voided lands after the fork's own"
)
_BARRIER: Final = "behind a barrier a token from before it is a theft from W on"

LIMITS: Final = {
    "slow_queue + slow_response": _LATE_TWICE,
    "slow_handler + slow_response": _LATE_TWICE,
    "slow_response + slow_response": _LATE_TWICE,
    "slow_response + lost": _LATE_TWICE,
    "slow_queue + barrier": f"{_BARRIER}: the request was queued longer",
    "slow_response + barrier": f"{_BARRIER}: its response was slower",
    "lost + barrier": f"{_BARRIER}: its response is lost",
}
"""The pairs of faults that sign the browser out, and why (rotation.md, L-b and 8)."""


@dataclass(frozen=True)
class Setting:
    """
    A row of the first table.

    Attributes:
        machine: The protocol, W, and the second host's clock.
        sizes: The other sizes of the model.
        signs_out: The columns in which some interleaving signs the browser out.
        pairs: How many requests are in flight where faults come in pairs; none: no pairs.
        survives: The pairs of `LIMITS` that do nothing at these sizes.
    """

    machine: Machine
    sizes: Scenario
    signs_out: frozenset[str] = frozenset()
    pairs: int = 0
    survives: frozenset[str] = frozenset()

    @property
    def cells(self) -> dict[str, Scenario]:
        """The scenarios of the row, with its sizes."""
        columns = {name: self._sized(column) for name, column in COLUMNS.items()}
        if not self.pairs:
            return columns
        pairs = {
            name: replace(self._sized(pair), in_flight=self.pairs)
            for name, pair in PAIRS.items()
            if name not in SAME
        }
        return columns | pairs

    def browser(self, cell: str, in_flight: int | None = None) -> Browser:
        """Return the model of one cell."""
        scenario = self.cells[cell]
        machine = self.machine
        if scenario.faults.rollback:
            machine = replace(machine, exempt=machine.exempt | FORGETFUL)
        return Browser(machine, replace(scenario, in_flight=in_flight or scenario.in_flight))

    def expects(self, cell: str) -> bool:
        """Whether *cell* signs the browser out."""
        return cell in self.signs_out or (cell in LIMITS and cell not in self.survives)

    def _sized(self, scenario: Scenario) -> Scenario:
        sizes = self.sizes
        return replace(
            scenario,
            ttl=sizes.ttl,
            slow=sizes.slow,
            usual=sizes.usual,
            in_flight=sizes.in_flight,
        )


_INSTANT: Final = Scenario(usual=0, in_flight=4)
_LEGS: Final = Scenario(usual=1, in_flight=4)
_WIDE: Final = Scenario(ttl=13, slow=8, in_flight=3)

# W is the rotation grace and twice the leeway, by which the clocks differ.
_TWO_HOSTS: Final = Machine(4 + 2 * 1, skew=1)

_LATE: Final = frozenset({"slow_queue + rollback", "slow_response + rollback"})


def _columns(*numbers: str) -> frozenset[str]:
    return frozenset([name for name in COLUMNS if name.partition(" ")[0] in numbers])


_FORKS: Final = _columns("L6", "L7", "L8", "L9")
_EVERY_LATE: Final = _columns("L2", "L3", "L4", "L5", "L12") | _FORKS


def _other(signs_out: frozenset[str], **functions: Any) -> Setting:
    machine = Machine(4, exempt=NAMES, **functions)
    return Setting(machine, replace(_LEGS, in_flight=3), signs_out)


SETTINGS: Final = {
    "legs take no time": Setting(Machine(4), _INSTANT, pairs=4, survives=_LATE),
    "legs take a tick": Setting(Machine(4), _LEGS, pairs=3),
    "two hosts, no time": Setting(_TWO_HOSTS, replace(_WIDE, usual=0), pairs=3, survives=_LATE),
    "two hosts, a tick": Setting(_TWO_HOSTS, _WIDE, pairs=2),
    "P7 as drafted": Setting(
        Machine(4, advance_function=drafted_advance, exempt=NAMES), _LEGS, _FORKS
    ),
    "P4": _other(_FORKS, present_function=p4_present, advance_function=drafted_advance),
    "P6": _other(frozenset(), advance_function=p6_advance),
    # A slow handler's access token is minted again, so its session is not late by itself.
    "fork at once": _other(_EVERY_LATE - _columns("L3"), present_function=fork_at_once_present),
    "strict after grace": _other(_EVERY_LATE, present_function=strict_after_present),
    "predecessor always": _other(
        frozenset(), present_function=always_present, advance_function=always_advance
    ),
    "grace 0": Setting(
        Machine(0, exempt=NAMES), replace(_INSTANT, in_flight=3), frozenset(COLUMNS)
    ),
}
"""Who is served how, under which W and access lifetime."""

SHIPPED: Final = [name for name, setting in SETTINGS.items() if setting.pairs]
"""The settings of the shipped functions; the others are of what they are better than."""

PLANS: Final = {
    "never in grace": Plan(),
    "held requests": Plan(holds=2, by_cookie=True),
    "held, never closed": Plan(holds=1),
    "skips gaps": Plan(skips=True),
    "one use in grace": Plan(in_grace=1),
    "one use, held": Plan(in_grace=1, holds=1, by_cookie=True),
    "always in grace": Plan(in_grace=ALWAYS),
    "by the endpoint": Plan(thief_alone=True),
    "both by the endpoint": Plan(thief_alone=True, victim_alone=True),
    "endpoint, one in grace": Plan(in_grace=1, thief_alone=True, victim_alone=True),
}
"""What a thief may do."""

UNDETECTED: Final = 6
"""The joint rounds after which the search gives up on a thief."""


@dataclass(frozen=True)
class Guard:
    """
    A row of the second table.

    Attributes:
        machine: The protocol, W, and the second host's clock.
        ttl: The access lifetime in ticks.
        rounds: The most joint rounds a thief has, in the order of `PLANS`.
    """

    machine: Machine
    ttl: int
    rounds: tuple[int, ...]

    def thief(self, plan: str) -> Thief:
        """Return the model of one cell."""
        return Thief(self.machine, replace(PLANS[plan], ttl=self.ttl))

    def expects(self, plan: str) -> int:
        """Return the most joint rounds under *plan*."""
        return self.rounds[list(PLANS).index(plan)]


GUARDS: Final = {
    "P7": Guard(Machine(4), 9, (2, 2, 3, 2, 4, 4, UNDETECTED, 2, 2, 4)),
    "P7, two hosts": Guard(_TWO_HOSTS, 14, (2, 2, 3, 2, 4, 4, UNDETECTED, 2, 2, 4)),
    "P4": Guard(
        Machine(4, present_function=p4_present, advance_function=drafted_advance, exempt=NAMES),
        9,
        (UNDETECTED,) * 10,
    ),
    "P6": Guard(
        Machine(4, advance_function=p6_advance, exempt=NAMES),
        9,
        (2, UNDETECTED, UNDETECTED, 2, 4, UNDETECTED, UNDETECTED, 2, 2, 4),
    ),
    "strict after grace": Guard(
        Machine(4, present_function=strict_after_present, exempt=NAMES),
        9,
        (0, 0, 2, 0, 1, 2, UNDETECTED, 0, 0, 1),
    ),
    "predecessor always": Guard(
        Machine(4, present_function=always_present, advance_function=always_advance, exempt=NAMES),
        9,
        (UNDETECTED,) * 10,
    ),
    "grace 0": Guard(Machine(0, exempt=NAMES), 9, (2, 2, 3, *(2,) * 7)),
}


def rounds(exploration: Exploration) -> int:
    """Return the most joint rounds that *exploration* came to."""
    return exploration.best if exploration.found is None else UNDETECTED
