"""
Fuzz: all targets, or those named.

    python -m tests.fuzz [target …] [--seconds N] [--executions N] [--seed N]

A failing input is made small and written to corpus/crashes, where the test suite finds it. Exits
with 1 if there was one. Without a seed it takes a new one, and says which.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback

from .engine import Failure, Target, fuzz, keep
from .targets import TARGETS


def main() -> int:
    """Run what was asked for and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="target", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=float, help="for each target; 60 unless told otherwise")
    parser.add_argument("--executions", type=int, help="of each target, if that is less")
    parser.add_argument("--seed", type=int, help="for the same inputs again")
    options = parser.parse_args()
    unknown = set(options.targets).difference(TARGETS)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    seconds = 60.0 if options.executions is None and options.seconds is None else options.seconds
    seed = int.from_bytes(os.urandom(4)) if options.seed is None else options.seed
    failed = 0
    for name in options.targets or TARGETS:
        target = TARGETS[name]
        run = fuzz(
            target, executions=options.executions, seconds=seconds, seed=seed, most_failures=5
        )
        rate = run.executions / max(run.seconds, 1e-9)
        print(
            f"{name:<10}{run.executions:>12,} executions {run.seconds:7.1f} s {rate:>8,.0f}/s"
            f"  seed {seed}  {len(run.failures)} failures",
            flush=True,
        )
        for failure in run.failures:
            tell(target, failure)
        failed += len(run.failures)
    return int(failed > 0)


def tell(target: Target, failure: Failure) -> None:
    """Print what failed and where its input is kept."""
    print(f"  after {failure.execution:,}: {failure.data!r}\n  kept in {keep(target, failure)}")
    print("".join(traceback.format_exception(failure.error)), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
