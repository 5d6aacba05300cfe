"""
`python -m tests.caches [nginx apache varnish squid]`: shared caches in front of uvicorn.

Prints what reached whom; ends with 1 where something reached somebody it was not for, or where
the control run, without the library's headers, shows no leak.
"""

from __future__ import annotations

import argparse
import signal
import sys

from .grid import ROWS, SITUATIONS, STATUSES, cases
from .run import ABOVE, HEAD, outcomes
from .servers import CACHES, Missing


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.caches", description=__doc__)
    parser.add_argument("caches", nargs="*", metavar="cache", help=", ".join(CACHES))
    parser.add_argument("--situations", nargs="+", choices=SITUATIONS, default=[*SITUATIONS])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=[*ROWS])
    parser.add_argument("--statuses", nargs="+", choices=STATUSES, default=[*STATUSES])
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="every leak, the control's too"
    )
    options = parser.parse_args()
    names = options.caches or [*CACHES]
    if unknown := [name for name in names if name not in CACHES]:
        parser.error(f"no such cache: {', '.join(unknown)}; there are {', '.join(CACHES)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up then, too
    grid = list(cases(options.situations, options.rows, options.statuses))
    kinds = [kind for name in names for kind in CACHES[name]]
    try:
        versions = dict.fromkeys(kind.version() for kind in kinds)
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 1
    print(f"{len(grid)} pages of the grid; {'; '.join(versions)}", ABOVE, HEAD, sep="\n")
    problems = []
    for outcome in outcomes(kinds, grid):
        print(*outcome.rows(), sep="\n", flush=True)
        problems += outcome.problems()
        if options.verbose:
            told = {"": outcome.ours, "control: ": outcome.control}
            for prefix, tallies in told.items():
                for tally in tallies.values():
                    print(*(f"  {prefix}{leak}" for leak in tally.leaks), sep="\n")
    print(*(problems or ["no leak"]), sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
