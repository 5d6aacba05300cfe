"""
The full run: every cell, and the tables of rotation.md, sections 3 and 4, as the shipped code is.

Exits with 1 when a cell is not what `cells` and `cases` say, or an invariant is broken. With -v
every cell tells its trace: how the browser comes to be signed out, or the thief to its longest run.
Two processes, as CI has two cores.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter

from . import tables
from .anyone import EVERYBODY, Anyone
from .browser import Browser
from .cases import CASES
from .cells import GUARDS, LIMITS, PLANS, SETTINGS, UNDETECTED, rounds
from .explorer import Exploration
from .machine import Verdict
from .planted import PLANTED
from .thief import Thief, ancient_verdicts

Jobs = Mapping[tuple[str, str], "Future[Exploration]"]


@dataclass
class Report:
    """What the cells came to."""

    wrong: int = 0
    states: int = 0
    signed_out: dict[tuple[str, str], bool] = field(default_factory=dict)
    rounds: dict[tuple[str, str], int] = field(default_factory=dict)
    ancient: dict[str, str] = field(default_factory=dict)

    def browsers(self, jobs: Jobs) -> None:
        """Print the honest browsers."""
        for (name, cell), job in _sections("Honest browser", jobs):
            exploration = job.result()
            out = self.signed_out[name, cell] = exploration.found is not None
            wrong = out != SETTINGS[name].expects(cell)
            why = LIMITS.get(cell, "") if out and name in tables.SHIPPED else ""
            self._tell(cell, _outcome(out), exploration, why, wrong=wrong)

    def thieves(self, jobs: Jobs) -> None:
        """Print the thieves."""
        for (name, plan), job in _sections("Thief", jobs):
            most = self.rounds[name, plan] = rounds(job.result())
            outcome = "UNDETECTED" if most == UNDETECTED else f"{most} rounds"
            self._tell(plan, outcome, job.result(), wrong=most != GUARDS[name].expects(plan))
        print("\nAncient token, any age")
        for name, guard in GUARDS.items():
            verdicts = ancient_verdicts(guard.machine)
            told = self.ancient[name] = ", ".join(sorted(v.name.lower() for v in verdicts))
            self.wrong += verdicts != {Verdict.THEFT}
            print(f"  {name:<34}{told}")

    def cases(self, jobs: Jobs) -> None:
        """Print the cells beside the table."""
        for (_, name), job in _sections("Explicit clients, clocks, bounds", jobs):
            out, limit = job.result().found is not None, CASES[name].limit
            wrong = out != (limit is not None)
            self._tell(name, _outcome(out), job.result(), limit or "", wrong=wrong)

    def invariants(self, jobs: Jobs) -> None:
        """Print who keeps the invariants, and that every check bites."""
        for (_, name), job in _sections("Anyone", jobs):
            self._tell(name, "ok", job.result())
        print("\nPlanted faults")
        for name, anyone in PLANTED.items():
            broken = anyone.explore().broken or ("NOT FOUND",)
            found = broken[-1].startswith(f"{name.split()[0]}:")
            self.wrong += not found
            print(f"  {name:<34}{broken[-1][:62]}")
            _trace(broken, told=not found)

    def _tell(
        self,
        cell: str,
        outcome: str,
        exploration: Exploration,
        why: str = "",
        *,
        wrong: bool = False,
    ) -> None:
        broken = exploration.broken
        wrong = wrong or broken is not None
        self.wrong += wrong
        self.states += exploration.states
        size = f"{exploration.states:>9,} states {exploration.seconds:6.1f} s"
        mark = "   NOT AS EXPECTED" if wrong else ""
        print(f"  {cell:<34}{'BROKEN' if broken else outcome:<11}{size}{mark}")
        if why:
            print(f"      ({why})")
        _trace(broken or exploration.found or exploration.best_trace, told=wrong)


def main() -> int:
    """Run every cell and return the exit status."""
    began, report = perf_counter(), Report()
    with ProcessPoolExecutor(2) as pool:
        thieves = {
            (name, plan): pool.submit(Thief.explore, guard.thief(plan))
            for name, guard in GUARDS.items()
            for plan in PLANS
        }
        browsers = {
            (name, cell): pool.submit(Browser.explore, setting.browser(cell))
            for name, setting in SETTINGS.items()
            for cell in setting.cells
        }
        cases = {("", n): pool.submit(Browser.explore, c.browser) for n, c in CASES.items()}
        anyone = {("", n): pool.submit(Anyone.explore, a) for n, a in EVERYBODY.items()}
        report.browsers(browsers)
        report.cases(cases)
        report.thieves(thieves)
        report.invariants(anyone)
    print(f"\nHonest browser (rotation.md, 3)\n\n{tables.liveness(report.signed_out)}")
    print(f"\nPairs of faults\n\n{tables.pairs(report.signed_out)}\n\n{tables.limits()}")
    print(f"\nThief (rotation.md, 4)\n\n{tables.safety(report.rounds, report.ancient)}")
    seconds = f"{report.states:,} states; {perf_counter() - began:.0f} s"
    print(f"\n{report.wrong} cells are not as expected; {seconds}")
    return int(report.wrong > 0)


def _sections(title: str, jobs: Jobs) -> Iterator[tuple[tuple[str, str], Future[Exploration]]]:
    """Yield *jobs* under a heading for each first name."""
    last = None
    for key, job in jobs.items():
        if key[0] != last:
            last = key[0]
            print(f"\n{title}{f', {last}' if last else ''}")
        yield key, job


def _outcome(signed_out: bool) -> str:
    return "SIGNED OUT" if signed_out else "ok"


def _trace(steps: tuple[str, ...], *, told: bool) -> None:
    if told or "-v" in sys.argv[1:]:
        print("".join(f"      {line}\n" for line in steps), end="")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
