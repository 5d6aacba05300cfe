"""
Print the table of docs/attacks.md: every abuse case of the requirements, and what is tested of it.

    python -m tests.attacks > docs/attacks.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
CASES: Final = range(1, 96)
_NAME: Final = re.compile(r"^(?:async )?def test_AB_(\d+)_(\w+)", re.MULTILINE)
_HEAD: Final = """\
# Attacks

Every abuse case of the requirements (AB-1 to AB-95), and what the suite states about it.
A fact is the test's own name, and holds in every place that a token of its kind can come from.
`python -m pytest tests/attacks -k AB_7_` runs those of a case.

`test_advisories.py` beside them replays what happened to other libraries.
`test_canary.py` looks for tokens in everything that is logged, raised, shown or reported.

This page is generated: `python -m tests.attacks > docs/attacks.md`.

| Case | What is tested | Where |
|---|---|---|
"""


def facts() -> Iterator[tuple[int, str, str]]:
    """Yield the number, the fact and the file of each test that is named for a case."""
    for path in sorted(HERE.glob("test_*.py")):
        # Not by `ast`: after a RecursionError that a test has provoked, CPython 3.11 may refuse it.
        for number, fact in _NAME.findall(path.read_text(encoding="utf-8")):
            yield int(number), fact.replace("_", " "), path.name


def table() -> str:
    """Return the page."""
    rows: list[str] = []
    found = list(facts())
    for case in CASES:
        mine = [(fact, name) for number, fact, name in found if number == case]
        told = "; ".join(fact for fact, _ in mine)
        places = sorted({name for _, name in mine})
        linked = ", ".join(f"[{name}](../tests/attacks/{name})" for name in places)
        rows.append(f"| AB-{case} | {told} | {linked} |")
    return _HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(table(), end="")
