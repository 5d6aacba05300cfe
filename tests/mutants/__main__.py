"""
Mutants: small faults put into the library one at a time, each of which some test must notice.

    python -m tests.mutants [module …] [--tests PATH …] [--seconds N] [--again]

Prints what became of them by module, and those that survived. Exits with 1 where fewer than 95 %
are found, not counting those of survivors.toml, which change nothing that can be observed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from .children import Tests
from .faults import Module
from .report import Key, Report, Result
from .run import Plugin
from .watch import Watch

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / ".mutants" / "results.jsonl"
# The pure core, the issuer, the middleware; what matters most comes first.
MODULES = [
    *(
        "rotation",
        "cookies",
        "decide",
        "access",
        "tokens",
        "sessions",
        "claims",
        "cache",
        "caching",
    ),
    *("origins", "review", "profile", "signers", "devices", "jwt_profile", "legacy", "settings"),
    *("config", "keys", "jwk"),
    *("rotating", "settler", "issuer", "kept", "adoption", "strays", "marks"),
    *("mint", "denylist", "flight", "grants", "stateless"),
    *("exchange", "inbound", "middleware", "turned_away", "shell", "own", "passdown"),
    *("verifying", "auth", "credentials", "double_submit", "bodies", "intents"),
]
# Those that need no server, no browser and no second process; of both event loops asyncio will do.
TESTS = [
    *("tests/pure", "tests/core", "tests/tokens", "tests/scenarios", "tests/blackbox"),
    *("tests/hostile", "tests/attacks", "tests/endpoints", "tests/verifier", "tests/migration"),
    "tests/authx",
]
PYTEST = [
    *("--capture=no", "-p", "no:terminal", "-p", "no:cacheprovider", "-k", "not trio"),
    *("-o", "addopts=--import-mode=importlib", "-p", "anyio", "-p", "_hypothesis_pytestplugin"),
]


def main() -> int:
    """Run what was asked for and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="module", help=", ".join(MODULES))
    parser.add_argument("--tests", nargs="+", default=TESTS, metavar="PATH")
    parser.add_argument("--seconds", type=float, default=5, help="of tests for one fault; 5")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--results", type=Path, default=RESULTS, help="where they are kept")
    parser.add_argument(
        "--again", action="store_true", help="only what has not been found last time"
    )
    options = parser.parse_args()
    unknown = set(options.modules).difference(MODULES)
    if unknown:
        parser.error(f"no such module: {', '.join(sorted(unknown))}")
    every = [Module(name, ROOT / "asgi_refresh" / f"{name}.py") for name in MODULES]
    modules = [each for each in every if each.name in (options.modules or MODULES)]
    faults = [fault for module in modules for fault in module.faults]
    last = Report.read(options.results)
    found: dict[Key, Result] = {}
    if options.again:
        keys = {fault.key for fault in faults}
        found = {key: each for key, each in last.found().items() if key in keys}
        faults = [fault for fault in faults if fault.key not in found]
    report = Report()
    # Pytest brings nothing but what the tests need: some plugins do things for every test.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.environ["HYPOTHESIS_PROFILE"] = "mutants"
    options.results.parent.mkdir(exist_ok=True)
    began = time.monotonic()
    chosen = {module.name for module in modules}
    with options.results.open("w") as file:

        def keep(result: Result) -> None:
            print(json.dumps(asdict(result)), file=file, flush=True)

        def told(result: Result) -> None:
            report.add(result)
            keep(result)
            total = sum(map(len, report.by_module.values()))
            if total % 100 == 0:
                print(f"{time.monotonic() - began:7.0f} s {total:6,}  {result.module}", flush=True)

        for result in last.results():
            if result.module not in chosen:
                keep(result)
        for result in found.values():
            told(result)
        tests = Tests()
        plugin = Plugin(
            faults,
            tests=tests,
            watch=Watch(every, root=ROOT, kept=options.results.with_suffix(".watch")),
            jobs=options.jobs,
            budget=options.seconds,
            told=told,
        )
        status = pytest.main([*PYTEST, *options.tests], plugins=[tests, plugin])
    if status:
        return int(status)
    for line in report.lines(modules):
        print(line)
    return int(report.score() < 0.95)


if __name__ == "__main__":
    sys.exit(main())
