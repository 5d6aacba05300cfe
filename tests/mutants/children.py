"""Children: forks of the process that has collected the tests, each of which runs some of them."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest


def fork(act: Callable[[], Any], place: Path) -> int:
    """Do *act* in a child, which leaves its result as JSON at *place*; or, with 1, a traceback."""
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


class Tests:
    """The collected tests; it has to be a plugin of pytest, to hear of failures."""

    __test__ = False

    def __init__(self) -> None:
        self.items: Sequence[pytest.Item] = ()
        self._failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._failed |= report.failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> pytest.TestReport | None:
        # Of a failure in a child nobody reads the traceback, which takes longer than the test.
        error = call.excinfo
        if error is None or error.errisinstance(pytest.skip.Exception):
            return None
        return pytest.TestReport(item.nodeid, item.location, {}, "failed", None, call.when)

    def seclude(self, folder: Path) -> None:
        """Give this process a *folder* of its own for what tests write, and nobody who listens."""
        folder.mkdir()
        self.items[0].config._tmp_path_factory._basetemp = folder  # type: ignore[attr-defined]
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)

    def passes(self, number: int) -> bool:
        """Run a test."""
        self._failed = False
        item = self.items[number]
        item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
        return not self._failed
