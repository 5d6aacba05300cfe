"""What became of the faults, and which of the survivors are known to change nothing."""

from __future__ import annotations

import json
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # they need mutmut, which the suite does without
    from .faults import Fault, Module

KILLED, TIMEOUT, SURVIVED, UNTESTED = "killed", "timeout", "survived", "untested"
_STATUSES = (KILLED, TIMEOUT, SURVIVED, UNTESTED)
_COLUMNS = ("faults", *_STATUSES, "listed", "raw", "score")
# Module, function, the lines that go and those that come: what stays when lines move.
Key = tuple[str, str, str, str]
_ACCEPTED = Path(__file__).parent / "survivors.toml"


@dataclass(frozen=True)
class Result:
    """What became of a fault: *tests* were to be run in *seconds*, and *test* failed."""

    module: str
    where: str
    line: int
    gone: str
    come: str
    status: str
    test: str = ""
    tests: int = 0
    seconds: float = 0.0

    @classmethod
    def of(cls, fault: Fault, status: str, test: str = "") -> Result:
        gone, come = fault.diff
        return cls(fault.module.name, fault.where, fault.line, gone, come, status, test)

    @property
    def key(self) -> Key:
        return self.module, self.where, self.gone, self.come

    @property
    def found(self) -> bool:
        return self.status in (KILLED, TIMEOUT)


def accepted(path: Path = _ACCEPTED) -> dict[Key, str]:
    """Return the reasons of the survivors that are known to be equivalent."""
    listed = tomllib.loads(path.read_text()).get("survivor", [])
    return {
        (each["module"], each["function"], each["gone"].strip(), each["come"].strip()): each[
            "reason"
        ]
        for each in listed
    }


class Report:
    """Results, by module."""

    def __init__(self, known: dict[Key, str] | None = None) -> None:
        self.by_module: dict[str, list[Result]] = defaultdict(list)
        self._known = accepted() if known is None else known

    @classmethod
    def read(cls, path: Path) -> Report:
        """Read what an earlier run has left, if there was one."""
        report = cls()
        if path.exists():
            for line in path.read_text().splitlines():
                report.add(Result(**json.loads(line)))
        return report

    def add(self, result: Result) -> None:
        self.by_module[result.module].append(result)

    def results(self) -> list[Result]:
        return [each for results in self.by_module.values() for each in results]

    def found(self) -> dict[Key, Result]:
        """Return what has been found, by key; not what has been missed in another place, too."""
        missed = {each.key for each in self.results() if not each.found}
        found = {each.key: each for each in self.results() if each.found}
        return {key: each for key, each in found.items() if key not in missed}

    def score(self) -> float:
        """Return the part that was found of what can be."""
        return _part(self.results(), self._known)

    def lines(self, modules: Iterable[Module]) -> Iterator[str]:
        """Tell it for people."""
        yield f"{'':16}" + "".join(f"{name:>10}" for name in _COLUMNS)
        for name, results in [*self.by_module.items(), ("total", self.results())]:
            counts = Counter(each.status for each in results)
            listed = sum(not each.found and each.key in self._known for each in results)
            numbers = [len(results), *(counts[status] for status in _STATUSES), listed]
            parts = [_part(results, {}), _part(results, self._known)]
            yield (
                f"{name:16}"
                + "".join(f"{number:>10,}" for number in numbers)
                + "".join(f"{part:>10.1%}" for part in parts)
            )
        outside, texts = sum(m.outside for m in modules), sum(m.texts for m in modules)
        yield f"not tried: {outside:,} outside of functions, {texts:,} in what exceptions say"
        for result in self.results():
            if not result.found and result.key not in self._known:
                yield f"\n{result.module}.py:{result.line} {result.where}: {result.status}"
                yield from (f"- {line}" for line in result.gone.splitlines())
                yield from (f"+ {line}" for line in result.come.splitlines())


def _part(results: Iterable[Result], known: dict[Key, str]) -> float:
    counted = [each for each in results if each.found or each.key not in known]
    return sum(each.found for each in counted) / len(counted) if counted else 1.0
