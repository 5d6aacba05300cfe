"""
Who executes what: every test runs once, and notes the statements of the library that it executes.

That is kept, for each file of tests, for as long as neither it nor the library changes.
"""

from __future__ import annotations

import builtins
import hashlib
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from .children import Tests, fork
from .faults import Module

_NAME = "__statement__"


class Watch:
    """
    What the tests execute.

    Args:
        modules: All that faults may be put into, whichever it will be.
        root: The folder that holds the library and the tests.
        kept: The file for what is kept.

    Attributes:
        modules: As given.
        seconds: What each test takes of the processor.
        breadth: How many statements each test executes.
    """

    def __init__(self, modules: Sequence[Module], *, root: Path, kept: Path) -> None:
        self.modules, self._root, self._kept = modules, root, kept
        self._numbers: dict[tuple[str, int, int], int] = {}
        for module in modules:
            for function, line in module.statements():
                self._numbers.setdefault((module.name, function, line), len(self._numbers))
        self._tests_of: dict[int, list[int]] = defaultdict(list)
        self.seconds: dict[int, float] = {}
        self.breadth: dict[int, int] = {}

    def tests_of(self, module: str, function: int, line: int) -> list[int]:
        """Return the tests that execute the statement on *line*."""
        return self._tests_of[self._numbers[module, function, line]]

    def run(self, tests: Tests, folder: Path, jobs: int) -> None:
        """Watch the *tests* that nothing is known of yet."""
        digests = self._digests(tests.items)
        kept = json.loads(self._kept.read_text()) if self._kept.exists() else {}
        known: dict[str, list[Any]] = {}
        for digest, entries in kept.items():
            if digest in digests.values():
                known.update(entries)
        new = [n for n, item in enumerate(tests.items) if item.nodeid not in known]
        places = {}
        for job in range(jobs):
            place = folder / f"watch{job}"
            places[fork(partial(self._watched, tests, new[job::jobs], place), place)] = place
        for _ in range(jobs):
            pid, status = os.wait()
            told = places[pid].read_text()
            if status:
                raise pytest.UsageError(told)
            known.update(json.loads(told))
        self._take(tests.items, known)
        kept = defaultdict(dict)
        for item in tests.items:
            kept[digests[item.path]][item.nodeid] = known[item.nodeid]
        self._kept.write_text(json.dumps(kept))

    def _take(self, items: Sequence[pytest.Item], known: dict[str, list[Any]]) -> None:
        unfit = []
        for number, item in enumerate(items):
            seconds, passed, executed = known[item.nodeid]
            if not passed:
                unfit.append(item.nodeid)
                continue
            self.seconds[number], self.breadth[number] = seconds, len(executed)
            for statement in executed:
                self._tests_of[statement].append(number)
        # Some look at the clock, which runs faster than a watched test, or at the code.
        if len(unfit) > len(items) // 100:
            raise pytest.UsageError(f"fail without a fault: {unfit}")
        for test in unfit:
            print(f"left out, fails without a fault: {test}", flush=True)

    def _watched(self, tests: Tests, numbers: Iterable[int], place: Path) -> dict[str, list[Any]]:
        tests.seclude(place.with_suffix(".tmp"))
        executed: set[int] = set()
        setattr(builtins, _NAME, executed.add)
        for module in self.modules:
            module.watch(_NAME, self._numbers)
        told = {}
        for number in numbers:
            executed.clear()
            began = time.process_time()
            passed = tests.passes(number)
            seconds = time.process_time() - began
            told[tests.items[number].nodeid] = [round(seconds, 4), passed, sorted(executed)]
        return told

    def _digests(self, items: Sequence[pytest.Item]) -> dict[Path, str]:
        """What each file of tests depends on, as far as it is ours."""
        shared = hashlib.sha256()
        for path in sorted(self._root.glob("asgi_refresh/**/*.py")):
            shared.update(path.read_bytes())
        for path in sorted(self._root.glob("tests/**/*.py")):
            if not path.name.startswith("test_") and path.parent.name != "mutants":
                shared.update(path.read_bytes())
        return {
            path: hashlib.sha256(shared.digest() + path.read_bytes()).hexdigest()
            for path in {item.path for item in items}
        }
