"""Writes what is kept under `benchmarks/results/` between the markers of the documents."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from benchmarks import hot, instructions, memory, others, server, storm, verdict
from benchmarks.goals import GOALS, goals_table
from benchmarks.report import table
from benchmarks.results import Result, load

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "benchmarks/README.md")
_BLOCK = re.compile(r"(<!-- measured: ([a-z-]+) -->\n).*?(<!-- /measured -->)", re.DOTALL)
SHORT = {
    "asgi_refresh": "a valid access token",
    "SessionMiddleware": "Starlette `SessionMiddleware`",
    "AuthenticationMiddleware + PyJWT": "Starlette `AuthenticationMiddleware` with PyJWT",
    "BaseHTTPMiddleware no-op": "`BaseHTTPMiddleware` that does nothing",
    "AuthX middleware": "AuthX 1.7.1 `implicit_refresh_middleware`",
}


def main(_options: Namespace) -> None:
    """Write them all."""
    for name in DOCUMENTS:
        path = ROOT / name
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
        print(f"written: {name}")


def filled(text: str) -> str:
    """Return *text* with every block that has a result replaced, and the others as they were."""

    def block(found: re.Match[str]) -> str:
        run, make = BLOCKS[found[2]]
        result = load(run)
        return found[0] if result is None else f"{found[1]}{make(result).strip()}\n{found[3]}"

    return _BLOCK.sub(block, text)


def _whole(show: Callable[[Result], str]) -> Callable[[Result], str]:
    def make(result: Result) -> str:
        left_out = [f"Left out: {what} ({why})." for what, why in result.left_out.items()]
        return "\n".join([show(result), *left_out, "", result.where()])

    return make


def _short(result: Result) -> str:
    ours, rows = result.figures["asgi_refresh: valid"], []
    for name, label in SHORT.items():
        valid = result.figures.get(f"{name}: valid")
        if valid is not None:
            refresh = result.figures.get(f"{name}: refresh")
            shown = "" if refresh is None else f"{refresh:.0f}"
            rows.append([label, f"{valid:.1f}", f"{valid / ours:.0f}", shown])
    rows[0][0] = f"asgi_refresh, {rows[0][0]}"
    figures, versions = result.figures, result.versions
    head = ["what a request pays", "µs", "times ours", "a refresh, µs"]
    unseen = (
        f"A token that was not seen before takes {figures['first sight']:.0f} µs, with the cache"
        f" off {figures['cache off']:.0f}, and {figures['0 % hits']:.0f} when there are far more"
        " tokens than are remembered."
    )
    where = (
        f"{len(GOALS) - len(result.missed)} of {len(GOALS)} goals were met in this run:"
        f" {result.date}, CPython {result.python}, PyJWT {versions['pyjwt']}, Starlette"
        f" {versions['starlette']}, AuthX {versions['authx']}, {result.machine}."
    )
    said = [unseen, _pyjwt(load("others")), where]
    return "\n".join([table(head, rows), *filter(None, said)])


def _pyjwt(result: Result | None) -> str:
    if result is None:
        return ""
    found = result.figures.get("PyJWT 2.13: jwt.decode of the same token / hot")
    here = result.figures.get("here: jwt.decode of the same token / hot")
    if found is None or here is None:
        return ""
    return (
        "`jwt.decode` became slower in PyJWT 2.14, which flatters every ratio to it:"
        f" of the hot path it is {found:.1f} times with PyJWT 2.13.0, and {here:.1f} times here."
    )


BLOCKS: dict[str, tuple[str, Callable[[Result], str]]] = {
    "short": ("goals", _short),
    "goals": ("goals", _whole(lambda result: goals_table(GOALS, result.figures))),
    "not-flattering": ("goals", verdict.not_flattering),
    "pyjwt": ("others", _pyjwt),
    "peers": ("goals", hot.peers_table),
    "cases": ("goals", hot.cases_table),
    "server": ("server", _whole(server.show)),
    "storm": ("storm", _whole(storm.show)),
    "memory": ("memory", _whole(memory.show)),
    "instructions": ("instructions", _whole(instructions.show)),
    "others": ("others", _whole(others.show)),
}
"""By the name in the marker: the run, and what is written."""
