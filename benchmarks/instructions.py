"""
How many instructions a request takes, counted by valgrind: ratios without the noise of a machine.

One process under callgrind runs every variant; before and after the counted requests of each it
calls getsid(2), which nothing else does, and callgrind writes down the count at each call. What a
scope costs is not in it, and the bare application's count is taken off. Two things are not as in
life: valgrind has no SHA and AVX-512 instructions, so what signs and verifies looks dearer, and
instructions say nothing of waiting: what switches tasks looks cheaper.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from argparse import Namespace
from pathlib import Path

import anyio

from benchmarks import peers
from benchmarks.browser import Message, receive
from benchmarks.cases import of_peers, refused, seen, stateless, unseen, without
from benchmarks.floors import floors
from benchmarks.goals import GOALS
from benchmarks.harness import Variant, check
from benchmarks.report import table
from benchmarks.results import Result

WARM, COUNTED = 50, 200
PREFIX = "instructions, "
PEERS = (
    "no-op ASGI",
    "plain PyJWT",
    "SessionMiddleware",
    "AuthenticationMiddleware + PyJWT",
    "BaseHTTPMiddleware no-op",
    "AuthX middleware",
)
NAMES = (
    "bare",
    "no-op ASGI: valid",
    "hot",
    "no cookie",
    "handler reads auth",
    "same-origin POST",
    "hot, 1 cookie",
    "hot, 50 cookies",
    "cache off",
    "first sight",
    "bad signature",
    "bad signature, plain PyJWT",
    "refresh, stateless",
    "verify floor",
    "refresh floor",
    "jwt.decode",
    "plain PyJWT: valid",
    "SessionMiddleware: valid",
    "AuthenticationMiddleware + PyJWT: valid",
    "BaseHTTPMiddleware no-op: valid",
    "AuthX middleware: valid",
    "AuthX middleware: refresh",
)


def main(options: Namespace) -> Result:
    """Count."""
    result = Result("instructions")
    if shutil.which("valgrind") is None:
        result.left_out["instructions"] = "valgrind is not installed"
        return result
    result.left_out |= peers.load(PEERS)[1]
    names = NAMES[:3] if options.quick else NAMES
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", "--dump-before=getsid"]
        command += [f"--callgrind-out-file={folder}/out", sys.executable, "-m", __name__, *names]
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        counts = [_total(path) for path in sorted(Path(folder).glob("out.*"), key=_number)]
    run = done.stdout.split("\n")[:-1]
    # Dumps come in pairs: up to the requests of a variant, and those requests.
    found = {name: counts[2 * place + 1] / COUNTED for place, name in enumerate(run)}
    bare = found.pop("bare")
    plain = {"verify floor", "refresh floor", "jwt.decode"}
    result.figures = {
        PREFIX + name: round(count - (0 if name in plain else bare))
        for name, count in found.items()
    }
    return result


def _number(path: Path) -> int:
    return int(path.suffix[1:])


def _total(path: Path) -> int:
    found = re.search(r"^(?:totals|summary): (\d+)", path.read_text(), re.MULTILINE)
    assert found is not None, path
    return int(found[1])


def show(result: Result) -> str:
    """Return the counts, and what they make of the goals that are ratios of them."""
    counts = {name.removeprefix(PREFIX): count for name, count in result.figures.items()}
    hot = counts.get("hot", 0.0)
    rows = [
        [name, f"{count:,.0f}", f"{count / hot:.2f}" if hot else ""]
        for name, count in counts.items()
    ]
    judged = []
    for goal in GOALS:
        ratio = goal.measured(counts)
        if ratio is not None and goal.below is not None:
            bound = f"{goal.sign} {goal.bound:g}"
            judged.append([goal.name, f"{ratio:.2f}", bound])
    counted = table(["instructions of a request over bare", "count", "times hot"], rows)
    return f"{counted}\n{table(['ratio of instructions', 'counted', 'goal of time'], judged)}"


async def _run(variants: dict[str, Variant]) -> None:
    for name, variant in variants.items():
        await check(variant)
        inputs = [variant.make() for _ in range(WARM + COUNTED)]
        await _ask(variant, inputs[:WARM])
        os.getsid(0)
        await _ask(variant, inputs[WARM:])
        os.getsid(0)
        print(name)


async def _ask(variant: Variant, inputs: list[object]) -> None:
    if variant.plain is not None:
        for item in inputs:
            variant.plain(item)
    elif variant.app is not None:
        for item in inputs:
            await variant.app(item, receive, _send)


async def _send(_message: Message) -> None:
    pass


if __name__ == "__main__":
    found = {**floors(), **without(), **seen(), **unseen(), **refused(), **stateless()}
    found |= of_peers(peers.load(PEERS)[0])
    anyio.run(_run, {name: found[name] for name in sys.argv[1:] if name in found})
