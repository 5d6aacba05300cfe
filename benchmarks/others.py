"""
The goals elsewhere: other Pythons, event loops, and the PyJWT before its decode became slower.

Every cell is this run of `hot` in a process of its own, where a Python or a pin needs it from a
virtual environment below `.bench/`. A Python that is not installed is said to be missing. Nothing
passes or fails here: the goals are for CPython 3.11 and asyncio.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

from benchmarks.goals import GOALS
from benchmarks.report import table
from benchmarks.results import Result

ROOT = Path(__file__).parents[1]
NEEDED = ("authx==1.7.1", "trio", "uvloop")


@dataclass(frozen=True)
class Cell:
    """
    One column of the table.

    Attributes:
        name: What it is called.
        python: The version of Python; None: the one that runs this.
        loop: The event loop.
        pins: What is not the newest in it.
    """

    name: str
    python: str | None = None
    loop: str = "asyncio"
    pins: tuple[str, ...] = ()


CELLS = [
    Cell("here"),
    Cell("uvloop", loop="uvloop"),
    Cell("trio", loop="trio"),
    Cell("Python 3.12", "3.12"),
    Cell("Python 3.13", "3.13"),
    Cell("PyJWT 2.13", "3.11", pins=("pyjwt==2.13.0",)),
]


def main(options: Namespace) -> Result:
    """Run every cell, one after the other."""
    result = Result("others")
    for cell in CELLS[:2] if options.quick else CELLS:
        python = sys.executable if cell.python is None else _environment(cell, result)
        if python is None:
            continue
        command = [python, "-m", "benchmarks", "hot", "--json", "--loop", cell.loop]
        command += ["--quick"] if options.quick else ["--rounds", str(options.rounds or 21)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            result.left_out[cell.name] = done.stderr.strip().splitlines()[-1]
            continue
        found = Result(**json.loads(done.stdout))
        for goal in GOALS:
            value = goal.measured(found.figures)
            if value is not None:
                result.figures[f"{cell.name}: {goal.name}"] = round(value, 3)
        result.figures[f"{cell.name}: hot, µs"] = found.figures["hot"]
        what = f"CPython {found.python}, {found.loop}, PyJWT {found.versions['pyjwt']}"
        result.notes.append(f"{cell.name}: {what}")
    return result


def _environment(cell: Cell, result: Result) -> str | None:
    """Return the Python of an environment with this checkout and the peers that goals name."""
    kept = sorted((Path.home() / ".pyenv" / "versions").glob(f"{cell.python}.*/bin/python"))
    python = str(kept[-1]) if kept else shutil.which(f"python{cell.python}")
    if python is None:
        result.left_out[cell.name] = f"python{cell.python} is not installed"
        return None
    place = ROOT / ".bench" / cell.name.replace(" ", "-").lower()
    own = str(place / "bin" / "python")
    if not place.exists():
        subprocess.run([python, "-m", "venv", place], check=True)
    install = [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    install += ["--editable", f"{ROOT}[crypto]", *NEEDED, *cell.pins]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        result.left_out[cell.name] = f"not installed: {done.stderr.strip().splitlines()[-1]}"
        return None
    return own


def show(result: Result) -> str:
    """Return a goal a line, a cell a column."""
    cells = [cell.name for cell in CELLS if f"{cell.name}: hot, µs" in result.figures]
    rows = []
    for name, bound in [
        *((goal.name, f"{goal.sign} {goal.bound:g}") for goal in GOALS),
        ("hot, µs", ""),
    ]:
        values = [result.figures.get(f"{cell}: {name}") for cell in cells]
        if any(value is not None for value in values):
            shown = ["" if value is None else f"{value:.2f}" for value in values]
            rows.append([name, bound, *shown])
    return f"{table(['', 'goal', *cells], rows)}\n{'; '.join(result.notes)}.\n"
