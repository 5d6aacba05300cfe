"""
The run: a pytest plugin that collects the tests once, and forks for each fault.

A child puts the fault in and runs the tests that execute the faulty statement, until one fails:
first those that found other faults of the same function, then those that execute little else, in
turn with the quickest of each file.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import shutil
import signal
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, zip_longest
from pathlib import Path

import pytest

from .children import Tests, fork
from .faults import Fault
from .report import KILLED, SURVIVED, TIMEOUT, UNTESTED, Result
from .watch import Watch

_MEMORY = 4 << 30
_FIRST = 20  # tests that have found something, which are tried first


class Plugin:
    """
    Takes the place of pytest's loop.

    Args:
        faults: What is put in.
        tests: A plugin, too.
        watch: Knows who executes what.
        jobs: How many children run side by side.
        budget: Seconds of tests, as they took without a fault, that one fault is given.
        told: Called with each result.
    """

    def __init__(
        self,
        faults: Iterable[Fault],
        *,
        tests: Tests,
        watch: Watch,
        jobs: int,
        budget: float,
        told: Callable[[Result], None],
    ) -> None:
        self._faults, self._tests, self._watch = faults, tests, watch
        self._jobs, self._budget, self._told = jobs, budget, told
        self._folder = Path(tempfile.mkdtemp(prefix="mutants-"))
        # By module and function, what has found a fault there, the latest first.
        self._finders: dict[tuple[str, int], list[int]] = defaultdict(list)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._tests.items = session.items
        try:
            for module in self._watch.modules:
                module.find_living()
            gc.freeze()  # so that no child's collector touches, and so copies, what it shares
            self._watch.run(self._tests, self._folder, self._jobs)
            self._run()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
        return True

    def _run(self) -> None:
        running: dict[int, tuple[Fault, int, float]] = {}
        for fault in self._faults:
            tests = self._choose(fault)
            if not tests:
                self._told(Result.of(fault, UNTESTED))
                continue
            if len(running) == self._jobs:
                self._await(running)
            pid = fork(partial(self._tried, fault, tests), self._place(fault))
            running[pid] = fault, len(tests), time.perf_counter()
        while running:
            self._await(running)

    def _await(self, running: dict[int, tuple[Fault, int, float]]) -> None:
        pid, status = os.wait()
        fault, tests, began = running.pop(pid)
        result = self._judged(fault, status)
        shutil.rmtree(self._folder / str(pid), ignore_errors=True)
        seconds = round(time.perf_counter() - began, 2)
        self._told(replace(result, tests=tests, seconds=seconds))

    def _judged(self, fault: Fault, status: int) -> Result:
        if os.WIFSIGNALED(status):  # by the alarm, or by what it did to the process
            return Result.of(fault, TIMEOUT, signal.Signals(os.WTERMSIG(status)).name)
        told = self._place(fault).read_text()
        if status:
            raise pytest.UsageError(told)
        number = json.loads(told)
        if number is None:
            return Result.of(fault, SURVIVED)
        finders = self._finders[fault.module.name, fault.function]
        finders[:] = [number, *(each for each in finders if each != number)][:_FIRST]
        return Result.of(fault, KILLED, self._tests.items[number].nodeid)

    def _place(self, fault: Fault) -> Path:
        return self._folder / f"{fault.module.name}.{fault.number}"

    # --- which tests ----------------------------------------------------------------------------

    def _choose(self, fault: Fault) -> list[int]:
        module, function = fault.module, fault.function
        line = module.functions[function].statement_at(fault.line)
        reach = set(self._watch.tests_of(module.name, function, line))
        finders = [each for each in self._finders[module.name, function] if each in reach]
        pairs = zip_longest(self._by_breadth(reach), self._by_file(reach), fillvalue=None)
        order = dict.fromkeys(chain(finders, chain.from_iterable(pairs)))
        order.pop(None, None)
        chosen: list[int] = []
        left = self._budget
        for number in order:
            left -= self._watch.seconds[number]
            if left < 0 and chosen:
                break
            chosen.append(number)
        return chosen

    def _by_breadth(self, tests: Iterable[int]) -> Sequence[int]:
        breadth, seconds = self._watch.breadth, self._watch.seconds
        return sorted(tests, key=lambda number: (breadth[number], seconds[number]))

    def _by_file(self, tests: Iterable[int]) -> Sequence[int]:
        """The quickest of each file first, then the second of each: no two files are alike."""
        seconds = self._watch.seconds
        taken: Counter[Path] = Counter()
        ranks = {}
        for number in sorted(tests, key=seconds.__getitem__):
            file = self._tests.items[number].path
            ranks[number] = taken[file], seconds[number]
            taken[file] += 1
        return sorted(ranks, key=ranks.__getitem__)

    # --- in a child -----------------------------------------------------------------------------

    def _tried(self, fault: Fault, tests: Iterable[int]) -> int | None:
        """Return the test that fails, if one does."""
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        self._tests.seclude(self._folder / str(os.getpid()))
        fault.insert()
        for number in tests:
            # An endless loop, or a wait for what never comes.
            signal.setitimer(signal.ITIMER_REAL, 10 + 20 * self._watch.seconds[number])
            if not self._tests.passes(number):
                return number
        return None
