"""
The run: a pytest plugin that collects the tests once, and forks for each fault.

First every test runs in order and tells which statements it executes. Then, for each fault, a
child runs the tests that execute the faulty statement, those that found its neighbours first and
then the quick ones, until one fails.
"""

from __future__ import annotations

import builtins
import gc
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from .faults import Fault, Module
from .report import KILLED, SURVIVED, TIMEOUT, UNTESTED, Result

_WATCH = "__statement__"
_MEMORY = 4 << 30


class Plugin:
    """
    Takes the place of pytest's loop.

    Args:
        modules: Where faults are put in.
        jobs: How many children run side by side.
        budget: Seconds of tests, as they took without a fault, that one fault is given.
        wanted: Whether a fault is to be tried; None is all.
        told: Called with each result.
    """

    def __init__(
        self,
        modules: Sequence[Module],
        *,
        jobs: int,
        budget: float,
        wanted: Callable[[Fault], bool] | None,
        told: Callable[[Result], None],
    ) -> None:
        self._modules, self._jobs, self._budget = modules, jobs, budget
        self._wanted, self._told = wanted, told
        self._failed = self._in_child = False
        self._seconds: list[float] = []
        self._tests_of: dict[int, list[int]] = defaultdict(list)
        self._numbers: dict[tuple[str, int, int], int] = {}
        self._folder = Path(tempfile.mkdtemp(prefix="mutants-"))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._failed |= report.failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> pytest.TestReport | None:
        # Of a failure in a child nobody reads the traceback, which takes longer than the test.
        error = call.excinfo
        if not self._in_child or error is None or error.errisinstance(pytest.skip.Exception):
            return None
        return pytest.TestReport(item.nodeid, item.location, {}, "failed", None, call.when)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._items = session.items
        try:
            for module in self._modules:
                module.find_living()
            gc.freeze()  # so that no child's collector touches, and so copies, what it shares
            self._watch()
            self._run()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
        return True

    def _watch(self) -> None:
        """Let every test run once, and note what it executes and how long it takes."""
        for module in self._modules:
            for function, line in module.statements():
                self._numbers.setdefault((module.name, function, line), len(self._numbers))
        halves = [range(half, len(self._items), self._jobs) for half in range(self._jobs)]
        children = {
            _fork(lambda half=half: self._watched(half), self._folder / f"watch{half[0]}"): half
            for half in halves
        }
        self._seconds = [0.0] * len(self._items)
        while children:
            pid, status = os.wait()
            half = children.pop(pid)
            if status:
                raise pytest.UsageError("the run without a fault did not end")
            for number, seconds, passed, executed in json.loads(
                (self._folder / f"watch{half[0]}").read_text()
            ):
                if not passed:
                    raise pytest.UsageError(f"fails without a fault: {self._items[number].nodeid}")
                self._seconds[number] = seconds
                for statement in executed:
                    self._tests_of[statement].append(number)

    def _watched(self, numbers: Iterable[int]) -> Any:
        self._own_folder()
        executed: set[int] = set()
        setattr(builtins, _WATCH, executed.add)
        for module in self._modules:
            names = {
                (function, line): self._numbers[module.name, function, line]
                for function, line in module.statements()
            }
            module.watch(_WATCH, names)
        told = []
        for number in numbers:
            executed.clear()
            began = time.process_time()
            self._item(number)
            told.append((number, time.process_time() - began, not self._failed, list(executed)))
            self._failed = False
        return told

    def _run(self) -> None:
        faults = iter(self._faults())
        running: dict[int, tuple[Fault, list[int], float]] = {}
        killers: dict[tuple[str, int], list[int]] = defaultdict(list)
        more = True
        while more or running:
            while more and len(running) < self._jobs:
                fault = next(faults, None)
                if fault is None:
                    more = False
                    break
                tests = self._choose(fault, killers[fault.module.name, fault.function])
                if not tests:
                    self._told(Result.of(fault, UNTESTED))
                    continue
                pid = _fork(partial(self._tried, fault, tests), self._place(fault))
                running[pid] = (fault, tests, time.perf_counter())
            if running:
                pid, status = os.wait()
                fault, tests, began = running.pop(pid)
                result, killer = self._judged(fault, self._place(fault), status)
                shutil.rmtree(self._folder / str(pid), ignore_errors=True)
                if killer is not None:
                    known = killers[fault.module.name, fault.function]
                    known[:] = [killer, *(each for each in known if each != killer)]
                seconds = round(time.perf_counter() - began, 2)
                self._told(replace(result, tests=len(tests), seconds=seconds))

    def _place(self, fault: Fault) -> Path:
        return self._folder / f"{fault.module.name}.{fault.number}"

    def _faults(self) -> Iterable[Fault]:
        for module in self._modules:
            yield from filter(self._wanted, module.faults)

    def _choose(self, fault: Fault, killers: list[int]) -> list[int]:
        line = fault.module.functions[fault.function].statement_at(fault.line)
        reach = self._tests_of[self._numbers[fault.module.name, fault.function, line]]
        known = [each for each in killers[:20] if each in set(reach)]
        others = self._mixed(set(reach).difference(known))
        chosen, left = [], self._budget
        for number in known + others:
            left -= self._seconds[number]
            if left < 0 and chosen:
                break
            chosen.append(number)
        return chosen

    def _mixed(self, tests: Iterable[int]) -> list[int]:
        """The quickest of each file first, then the second of each: no two files are alike."""
        taken: Counter[str] = Counter()
        ranks = {}
        for number in sorted(tests, key=self._seconds.__getitem__):
            file = self._items[number].path.name
            ranks[number] = taken[file]
            taken[file] += 1
        return sorted(ranks, key=lambda number: (ranks[number], self._seconds[number]))

    def _tried(self, fault: Fault, tests: list[int]) -> Any:
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        try:
            fault.insert()
        except SyntaxError:
            return ["does not compile", None]
        return self._until_one_fails(tests)

    def _until_one_fails(self, numbers: list[int]) -> tuple[str, int | None]:
        self._own_folder()
        self._in_child = True
        for number in numbers:
            # An endless loop, or a wait for what never comes.
            signal.setitimer(signal.ITIMER_REAL, 10 + 20 * self._seconds[number])
            self._item(number)
            if self._failed:
                return self._items[number].nodeid, number
        return "", None

    def _own_folder(self) -> None:
        own = self._folder / str(os.getpid())
        own.mkdir()
        self._items[0].config._tmp_path_factory._basetemp = own
        devnull = os.open(os.devnull, os.O_RDWR)
        os.dup2(devnull, 1)
        os.dup2(devnull, 2)

    def _item(self, number: int) -> None:
        item = self._items[number]
        item.ihook.pytest_runtest_protocol(item=item, nextitem=None)

    def _judged(self, fault: Fault, place: Path, status: int) -> tuple[Result, int | None]:
        if status:
            # By the alarm, or by what it did to the process.
            if os.WIFSIGNALED(status):
                return Result.of(fault, TIMEOUT, signal.Signals(os.WTERMSIG(status)).name), None
            raise pytest.UsageError(place.read_text())
        test, number = json.loads(place.read_text())
        return Result.of(fault, KILLED if test else SURVIVED, test), number


def _fork(act: Callable[[], Any], place: Path) -> int:
    """Do *act* in a child, which leaves its result as JSON at *place*."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        place.write_text(json.dumps(act()))
        code = 0
    except BaseException:  # noqa: BLE001 - a child must not go on as its parent
        place.write_text(traceback.format_exc())
    finally:
        os._exit(code)
