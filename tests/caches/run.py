"""
The run: every cache, with the library's headers and without; the table, and what it says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

from . import app, servers
from .grid import Case
from .visit import Tally, Walk

Tallies = dict[str, Tally]
_SHOWN = 12


@dataclass(frozen=True)
class Outcome:
    """
    What came of one cache: with the library's headers, and in the control run without.

    Attributes:
        limit: Why a leak is allowed.
        alone: Why the control run need not leak.
    """

    name: str
    ours: Tallies
    control: Tallies
    limit: str = ""
    alone: str = ""

    def problems(self) -> Iterator[str]:
        """Yield why the run has failed, a line each; nothing: it has not."""
        leaks = [leak for tally in self.ours.values() for leak in tally.leaks]
        if leaks and not self.limit:
            yield f"{self.name}: {len(leaks)} leaks"
            yield from _some(leaks)
        if not self.alone and not any(tally.leaks for tally in self.control.values()):
            yield f"{self.name}: no leak in the control run; so this shows nothing"
        for tallies in (self.ours, self.control):
            failures = [failure for tally in tallies.values() for failure in tally.failures]
            if failures:
                yield f"{self.name}: {len(failures)} answers that are not the application's"
                yield from _some(failures)
            if "innocent" in tallies and not tallies["innocent"].hits:
                yield f"{self.name}: it caches nothing; so this shows nothing"

    def rows(self) -> Iterator[str]:
        """Yield the lines of the table."""
        total = Tally(), Tally()
        for situation, ours in self.ours.items():
            control = self.control[situation]
            yield self._row(situation, ours, control)
            for tally, part in zip(total, (ours, control), strict=True):
                tally.seen += part.seen
                tally.hits += part.hits
                tally.given += part.given
                tally.leaks += part.leaks
        yield self._row("all", *total)
        if self.limit:
            yield f"  leaks are allowed here: {self.limit}"
        if self.alone:
            yield f"  the control run may be clean: {self.alone}"

    def _row(self, situation: str, ours: Tally, control: Tally) -> str:
        figures = (ours.seen, ours.hits, ours.given, len(ours.leaks))
        others = (control.hits, control.given, len(control.leaks))
        return _LINE.format(self.name, situation, *figures, *others)


_LINE = "{:<33} {:<14} {:>6} {:>6} {:>6} {:>6}   {:>6} {:>6} {:>6}"
HEAD = _LINE.format(
    "cache", "situation", "seen", "hits", "given", "leaks", "hits", "given", "leaks"
)
ABOVE = " " * 77 + "without our headers:"


def _some(lines: Sequence[str]) -> Iterator[str]:
    yield from (f"  {line}" for line in lines[:_SHOWN])
    if len(lines) > _SHOWN:
        yield f"  and {len(lines) - _SHOWN} more"


def outcomes(kinds: Sequence[servers.Kind], cases: Sequence[Case]) -> Iterator[Outcome]:
    """Visit the *cases* through every one of *kinds*, both ways."""
    with ExitStack() as stack:
        ports = {mode: stack.enter_context(servers.application(mode)) for mode in _MODES}
        for kind in kinds:
            got: dict[str, Tallies] = {}
            for mode, origin in ports.items():
                with kind.running(origin) as cache, closing(Walk(cache, origin)) as walk:
                    got[mode] = walk.through(cases)
            yield Outcome(kind.name, got[app.OURS], got[app.CONTROL], kind.limit, kind.alone)


_MODES = (app.OURS, app.CONTROL)
