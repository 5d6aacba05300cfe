"""
The token and attack suites on every version that is promised to work: what is accepted stays so.

    python -m tests.versions [--keep DIRECTORY] [NAME …]

Makes a virtual environment for each cell, below DIRECTORY (default: .matrix), installs this
checkout with the cell's pins and runs `tests/tokens` and `tests/attacks` there. Prints a table;
exits with 1 if a cell fails. A Python that is not installed is said to be missing.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SUITES: Final = ("tests/tokens", "tests/attacks")
TOOLS: Final = (
    "pytest",
    "pytest-randomly",
    "pytest-xdist",
    "hypothesis",
    "trio",
    "python-multipart",
    "opentelemetry-sdk",
)
NEWEST: Final = "3.11"
PYJWT: Final = ("2.13.0", "2.14.0", "2.15.0")
STARLETTE: Final = ("1.0.0", "1.3.1", "1.6.0")
PYTHONS: Final = ("3.12", "3.13")


@dataclass(frozen=True)
class Cell:
    """
    One environment.

    Attributes:
        name: What it is called.
        python: The version of Python.
        pins: What is not the newest in it.
    """

    name: str
    python: str = NEWEST
    pins: tuple[str, ...] = ()


def cells() -> Iterator[Cell]:
    """Yield every cell: each promised version once, and the oldest of all together."""
    yield Cell("newest")
    for python in PYTHONS:
        yield Cell(f"python-{python}", python)
    for version in PYJWT:
        yield Cell(f"pyjwt-{version}", pins=(f"pyjwt=={version}",))
    for version in STARLETTE:
        yield Cell(f"starlette-{version}", pins=(f"starlette=={version}",))
    oldest = ("pyjwt==2.13.0", "starlette==1.0.0", "itsdangerous==2.2.0", "anyio==4.1.0")
    yield Cell("oldest", pins=oldest)


def interpreter(version: str) -> str | None:
    """Return a Python of *version* that runs, from the PATH or from pyenv; None without one."""
    on_path = shutil.which(f"python{version}")
    kept = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
    for found in [*([on_path] if on_path else []), *map(str, reversed(kept))]:
        # One on the PATH may be pyenv's stand-in, which runs what is chosen and nothing else.
        tried = subprocess.run([found, "-c", "import ensurepip"], capture_output=True, check=False)
        if tried.returncode == 0:
            return found
    return None


def run(cell: Cell, directory: Path) -> str:
    """Return what came of *cell*: pytest's closing line, or why there is none."""
    python = interpreter(cell.python)
    if python is None:
        return f"missing: python{cell.python} is not installed"
    place = directory / cell.name
    own = place / "bin" / "python"
    if not own.exists():
        subprocess.run([python, "-m", "venv", place], check=True)
    install = [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*install, "--editable", f"{ROOT}[crypto]", *TOOLS, *cell.pins],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        return f"failed: not installed: {done.stderr.strip().splitlines()[-1]}"
    tests = [own, "-m", "pytest", "-q", "-n", "2", "--dist=loadfile", "-p", "no:cacheprovider"]
    done = subprocess.run([*tests, *SUITES], cwd=ROOT, capture_output=True, text=True, check=False)
    (place / "pytest.txt").write_text(done.stdout + done.stderr, encoding="utf-8")
    summary = re.findall(r"^.*(?:passed|failed|error).*$", done.stdout, re.MULTILINE)
    last = summary[-1].strip("= ") if summary else f"see {place / 'pytest.txt'}"
    return last if done.returncode == 0 else f"failed: {last}"


def main() -> int:
    """Run the cells that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.versions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="cells; without any, all")
    parser.add_argument("--keep", type=Path, default=ROOT / ".matrix", metavar="DIRECTORY")
    options = parser.parse_args()
    bad = 0
    print("| cell | pins | result |\n|---|---|---|")
    for cell in cells():
        if options.names and cell.name not in options.names:
            continue
        result = run(cell, options.keep)
        bad += result.startswith("failed")
        print(f"| {cell.name} | {' '.join(cell.pins) or 'none'} | {result} |", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
