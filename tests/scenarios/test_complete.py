"""Every scenario of the reference (rotation.md, section 7) is a test in this directory."""

from __future__ import annotations

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
SCENARIOS = set(range(1, 51))


def numbered() -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for path in sorted(HERE.glob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                match = re.match(r"test_([0-9]{2})_[a-z]", node.name)
                if match:
                    found.setdefault(int(match[1]), []).append(node.name)
    return found


def test_every_scenario_has_a_test() -> None:
    assert SCENARIOS - numbered().keys() == set()


def test_no_test_has_the_number_of_no_scenario() -> None:
    assert numbered().keys() - SCENARIOS == set()


def test_no_name_stands_twice() -> None:
    names = [name for group in numbered().values() for name in group]
    assert len(names) == len(set(names))
