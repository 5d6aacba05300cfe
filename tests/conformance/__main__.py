"""
`python -m tests.conformance [CELL …]`: every framework on every server, by real sockets.

A cell is `server/framework`, and may hold `*`: `granian-*/django`. Without one, all are run, and
`docs/compatibility.md` is written. `clients [CLIENT …]` runs real clients against one of them.
Ends with 1 where a fact does not hold.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from . import proxies, report
from .matrix import ROWS, cell, chosen
from .servers import FRAMEWORKS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("cells", nargs="*", metavar="cell", help=f"of {', '.join(ROWS)}")
    words = parser.parse_args().cells
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up then, too
    if words[:1] == ["clients"]:
        return _clients(parser, words[1:])
    return _cells(parser, words)


def _cells(parser: argparse.ArgumentParser, patterns: Sequence[str]) -> int:
    picked = chosen(patterns)
    if not picked:
        parser.error(f"no such cell; a framework is one of {', '.join(FRAMEWORKS)}")
    if any(row.name in proxies.PROXIED for row, _ in picked) and proxies.nginx() is None:
        print("nginx is not installed; on Debian: apt-get install nginx-light", file=sys.stderr)
        return 1
    cells, problems = [], []
    for row, framework in picked:
        one = cell(row, framework)
        cells.append(one)
        marks = "".join("-" if name in one.wrong else "+" for name in row.facts)
        limit = "" if one.limit is None else f"limit: {one.limit.reason}"
        print(f"{row.name:<22} {framework:<10} {marks:<10} {limit}".rstrip(), flush=True)
        problems += one.problems()
    print(*(problems or ["every fact holds, but for the limits"]), sep="\n")
    if not patterns and not problems:
        report.write("matrix", report.matrix(cells, nginx=proxies.version()))
        print(f"written: {report.PAGE}")
    return 1 if problems else 0


def _clients(parser: argparse.ArgumentParser, names: Sequence[str]) -> int:
    from .clients.run import CLIENTS, kept, table

    if unknown := [name for name in names if name not in CLIENTS]:
        parser.error(f"no such client: {', '.join(unknown)}; there are {', '.join(CLIENTS)}")
    results = []
    for name in names or CLIENTS:
        one = kept(CLIENTS[name])
        results.append(one)
        print(f"{one.name:<20} {one.version:<26} {one.wrong or 'keeps its session'}", flush=True)
    failed = any(one.wrong for one in results)
    if not names and not failed:
        report.write("clients", table(results))
        print(f"written: {report.PAGE}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
