"""
The tables of rotation.md, sections 3 and 4: who runs against which faults, and what must come out.

A cell whose outcome differs from the one written here fails the run, for better or worse.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from .browser import Browser, Faults, Scenario
from .explorer import Exploration
from .machine import Machine
from .thief import ALWAYS, Plan, Thief
from .variants import drafted_advance, p4_present, p6_advance

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

LIMITS: Final = {
    "lost and slow response": Scenario(Faults(lost=1, slow_response=1)),
    "barrier overtaken": Scenario(Faults(barrier=1), barrier_alone=False),
}
"""
What does sign it out: a response that outlives its generation by more than grace, after another
fault in the generation before (rotation.md, L-b); and a response from before a barrier that lands
after the barrier's own.
"""


@dataclass(frozen=True)
class Setting:
    """
    A row of the first table.

    Attributes:
        machine: The protocol, W, and the second host's clock.
        sizes: The other sizes of the model.
        signs_out: The columns in which some interleaving signs the browser out.
    """

    machine: Machine
    sizes: Scenario
    signs_out: frozenset[str] = frozenset()

    def browser(self, column: str, in_flight: int | None = None) -> Browser:
        """Return the model of one cell."""
        sizes = self.sizes
        scenario = replace(
            {**COLUMNS, **LIMITS}[column],
            ttl=sizes.ttl,
            slow=sizes.slow,
            usual=sizes.usual,
            in_flight=in_flight or sizes.in_flight,
        )
        return Browser(self.machine, scenario)

    def expects(self, column: str) -> bool:
        """Whether *column* signs the browser out."""
        return column in self.signs_out or column in LIMITS


_INSTANT: Final = Scenario(usual=0, in_flight=4)
_LEGS: Final = Scenario(usual=1, in_flight=4)
_WIDE: Final = Scenario(ttl=13, slow=8, in_flight=3)

# W is the rotation grace and twice the leeway, by which the clocks differ.
_TWO_HOSTS: Final = Machine(4 + 2 * 1, skew=1)

SETTINGS: Final = {
    "legs take no time": Setting(Machine(4), _INSTANT),
    "legs take a tick": Setting(Machine(4), _LEGS),
    "two hosts, no time": Setting(_TWO_HOSTS, replace(_WIDE, usual=0)),
    "two hosts, a tick": Setting(_TWO_HOSTS, _WIDE),
    "P7 as drafted": Setting(
        Machine(4, advance_function=drafted_advance),
        _LEGS,
        frozenset(
            {"L6 slow handler and lost", "L7 queued and lost", "L8 two lost", "L9 two queued"}
        ),
    ),
    "grace 0": Setting(Machine(0), replace(_INSTANT, in_flight=3), frozenset(COLUMNS)),
}
"""Who is served how, under which W and access lifetime."""

PLANS: Final = {
    "never in grace": Plan(),
    "held requests": Plan(holds=2, by_cookie=True),
    "held, never closed": Plan(holds=1),
    "skips gaps": Plan(skips=True),
    "one use in grace": Plan(in_grace=1),
    "one use, held": Plan(in_grace=1, holds=1, by_cookie=True),
    "always in grace": Plan(in_grace=ALWAYS),
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
    "P7": Guard(Machine(4), 9, (2, 2, 3, 2, 4, 4, UNDETECTED)),
    "P7, two hosts": Guard(_TWO_HOSTS, 14, (2, 2, 3, 2, 4, 4, UNDETECTED)),
    "P4": Guard(
        Machine(4, present_function=p4_present, advance_function=drafted_advance),
        9,
        (UNDETECTED,) * 7,
    ),
    "P6": Guard(
        Machine(4, advance_function=p6_advance),
        9,
        (2, UNDETECTED, UNDETECTED, 2, 4, UNDETECTED, UNDETECTED),
    ),
}


def rounds(exploration: Exploration) -> int:
    """Return the most joint rounds that *exploration* came to."""
    return exploration.best if exploration.found is None else UNDETECTED
