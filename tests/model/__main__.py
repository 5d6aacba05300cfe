"""
The full run: print the tables of rotation.md, sections 3 and 4, as the shipped code makes them.

Exits with 1 when a cell is not what `cells` says. With -v every cell tells its trace: how the
browser comes to be signed out, or the thief to its longest run. Two processes, as CI has two cores.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from time import perf_counter

from .browser import Browser
from .cells import COLUMNS, GUARDS, LIMITS, PLANS, SETTINGS, UNDETECTED, rounds
from .explorer import Exploration
from .machine import Verdict
from .thief import Thief, ancient_verdicts


def main() -> int:
    """Run every cell and return the exit status."""
    began = perf_counter()
    with ProcessPoolExecutor(2) as pool:
        browsers = {
            (name, column): pool.submit(Browser.explore, setting.browser(column))
            for name, setting in SETTINGS.items()
            for column in (*COLUMNS, *LIMITS)
        }
        thieves = {
            (name, plan): pool.submit(Thief.explore, guard.thief(plan))
            for name, guard in GUARDS.items()
            for plan in PLANS
        }
        wrong = 0
        for name in SETTINGS:
            print(f"\nHonest browser, {name}")
            for column in (*COLUMNS, *LIMITS):
                wrong += _told_browser(name, column, browsers[name, column].result())
        for name in GUARDS:
            print(f"\nThief, {name}")
            for plan in PLANS:
                wrong += _told_thief(name, plan, thieves[name, plan].result())
            wrong += _told_ancient(name)
    print(f"\n{wrong} cells are not as expected; {perf_counter() - began:.0f} s")
    return int(wrong > 0)


def _told_browser(name: str, column: str, exploration: Exploration) -> bool:
    signed_out = exploration.found is not None
    outcome = "SIGNED OUT" if signed_out else "ok"
    wrong = signed_out != SETTINGS[name].expects(column)
    _tell(column, outcome, exploration, exploration.found or (), wrong=wrong)
    return wrong


def _told_thief(name: str, plan: str, exploration: Exploration) -> bool:
    most = rounds(exploration)
    outcome = "UNDETECTED" if most == UNDETECTED else f"{most} rounds"
    wrong = most != GUARDS[name].expects(plan)
    trace = exploration.found or exploration.best_trace
    _tell(plan, outcome, exploration, trace, wrong=wrong)
    return wrong


def _told_ancient(name: str) -> bool:
    verdicts = ancient_verdicts(GUARDS[name].machine)
    outcome = ", ".join(sorted(verdict.name for verdict in verdicts))
    print(f"  {'ancient token, any age':<26}{outcome}")
    return verdicts != {Verdict.THEFT}


def _tell(
    cell: str, outcome: str, exploration: Exploration, trace: tuple[str, ...], *, wrong: bool
) -> None:
    size = f"{exploration.states:>9,} states {exploration.seconds:6.1f} s"
    print(f"  {cell:<26}{outcome:<11}{size}{'   NOT AS EXPECTED' if wrong else ''}")
    if wrong or "-v" in sys.argv[1:]:
        print("".join(f"      {line}\n" for line in trace), end="")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
