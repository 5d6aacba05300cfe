"""
What it costs.

    python -m benchmarks [NAME …] [--json] [--quick] [--save]

  goals         the table of goals, each passed or failed (this is run when none is named)
  hot           a request inside the process: every case, every peer, the floors
  server        requests and CPU behind uvicorn and granian, under wrk
  storm         latency while all sessions refresh at once
  memory        bytes of a token and a session; growth after a million requests, and a flood
  instructions  instructions of a request, counted by valgrind
  others        the main ratios on other Pythons, event loops and PyJWTs
  keys          a key that is prepared once, and one that is parsed on every token
  stores        a rotation on each store, in time, trips and bytes
  scale         a store as it grows
  figures       draw what is kept under benchmarks/results
  readme        write what is kept there into the documents

The exit status is 1 where a goal is missed. benchmarks/README.md has the method.
"""

from __future__ import annotations

import argparse
import importlib
import sys

from benchmarks.results import Result

RUNS = {
    "goals": "verdict",
    "hot": "hot",
    "server": "server",
    "storm": "storm",
    "memory": "memory",
    "instructions": "instructions",
    "others": "others",
    "keys": "keys",
    "stores": "rotations",
    "scale": "scale",
    "figures": "figures",
    "readme": "readme",
}
"""Each is a module with `main(options)`, which returns a `Result` that its `show` makes a table of;
or which prints by itself, and returns None."""


def main() -> int:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=" ".join(RUNS))
    parser.add_argument("--json", action="store_true", help="print JSON; a list, of several")
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it runs")
    parser.add_argument("--save", action="store_true", help="keep it under benchmarks/results")
    parser.add_argument("--loop", choices=["asyncio", "uvloop", "trio"], default="asyncio")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--sessions", type=int, nargs="+", help="how many are kept, for stores")
    parser.add_argument("--stores", nargs="+", help="memory, sqlite, redis, postgresql, …")
    parser.add_argument("--algorithms", nargs="+", help="HS256, RS256, …, for keys")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(RUNS))
    if unknown:
        parser.error(f"no such run: {', '.join(unknown)}")
    found: list[Result] = []
    for name in options.names or ["goals"]:
        # Imported when asked for: what one needs is no part of another.
        module = importlib.import_module(f"benchmarks.{RUNS[name]}")
        result = module.main(options)
        if result is None:
            continue
        if options.save:
            result.save()
        found.append(result)
        if not options.json:
            print(f"{module.show(result)}\n{result.where()}\n")
        for what, why in result.left_out.items():
            print(f"{what} is left out: {why}", file=sys.stderr)
    if options.json:
        texts = [result.json() for result in found]
        print(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
    return int(any(result.missed for result in found))


if __name__ == "__main__":
    sys.exit(main())
