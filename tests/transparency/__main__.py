"""
`python -m tests.transparency [suite|validators|applications [NAME …]]`: are we noticed?

`suite`: Starlette's own tests, with the middleware around every application they build.
`validators`: what asgiref and Falcon find in the messages that go through.
`applications`: other people's, unmodified, by real sockets; without a name all are run, and
`docs/compatibility.md` is written. Without a word, all three. Ends with 1 where something differs.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from . import applications, suite


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.transparency", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="word", help=f"one of {', '.join(PARTS)}")
    which, *names = parser.parse_args().words or [""]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up then, too
    if which and which not in PARTS:
        parser.error(f"there is no {which}")
    if unknown := set(names) - applications.APPLICATIONS.keys():
        parser.error(f"no such application: {', '.join(sorted(unknown))}")
    parts = [PARTS[which]] if which else PARTS.values()
    return max([part(names) for part in parts])


def _validators(_: Sequence[str]) -> int:
    tests = Path(__file__).with_name("test_validators.py")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(tests)], check=False
    ).returncode


PARTS: dict[str, Callable[[Sequence[str]], int]] = {
    "suite": lambda _: suite.main(),
    "validators": _validators,
    "applications": applications.main,
}

if __name__ == "__main__":
    sys.exit(main())
