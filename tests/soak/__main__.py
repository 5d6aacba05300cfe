"""
`python -m tests.soak --store redis`: several processes on one store, for minutes.

Prints what happened; ends with 1 where something happened that must not.
"""

from __future__ import annotations

import argparse
import signal
import sys

from .run import Plan, carry_out


def main() -> int:
    default = Plan()
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument(
        "--store", default=default.store, help="sqlite, redis, postgresql, mariadb or a URL"
    )
    parser.add_argument("--refreshes", type=int, default=default.refreshes)
    parser.add_argument("--kills", type=int, default=default.kills)
    parser.add_argument("--drops", type=int, default=default.drops)
    parser.add_argument("--workers", choices=["separate", "uvicorn"], default=default.workers)
    parser.add_argument("--grace", type=float, default=default.grace)
    parser.add_argument("--proxy", action="store_true", help="trouble on the way to the store")
    parser.add_argument("--clients", type=int, default=default.clients)
    parser.add_argument("--seconds", type=float, default=default.seconds, help="when to give up")
    parser.add_argument("--pause", type=float, default=default.pause, help="between two SIGKILLs")
    parser.add_argument("--seed", type=int, default=default.seed)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up then, too
    report = carry_out(Plan(tell=True, **vars(parser.parse_args())))
    print(report)
    return 0 if report.is_green else 1


if __name__ == "__main__":
    sys.exit(main())
