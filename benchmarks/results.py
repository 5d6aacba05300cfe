"""What a run found, as JSON: printed, and kept under `benchmarks/results/`."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from asgi_refresh import __version__

FOLDER = Path(__file__).parent / "results"
DISTRIBUTIONS = (
    "pyjwt", "cryptography", "itsdangerous", "anyio", "starlette", "fastapi", "authx", "litestar",
    "fastapi-users", "flask-jwt-extended", "a2wsgi", "starsessions", "uvicorn", "httptools",
    "uvloop", "granian", "trio", "redis", "sqlalchemy", "asyncpg",
)  # fmt: skip


def _versions() -> dict[str, str]:
    """Return the versions of what is installed of `DISTRIBUTIONS`."""
    found = {"asgi_refresh": __version__}
    for name in DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _machine() -> str:
    """Return the processor and how many cores of it there are."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    return f"{os.cpu_count()} cores of {model} {platform.machine()}"


@dataclass
class Result:
    """
    What one run found.

    Attributes:
        run: Its name.
        figures: What counts, by name: the least time, a count.
        medians: The medians of those that are times.
        left_out: What was not measured, and why.
        missed: The goals that were.
        notes: What a reader has to know beside.
        loop: The event loop.
        machine, python, versions, date, load: Where and when.
    """

    run: str
    figures: dict[str, float] = field(default_factory=dict)
    medians: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    loop: str = "asyncio"
    machine: str = field(default_factory=_machine)
    python: str = field(default_factory=platform.python_version)
    versions: dict[str, str] = field(default_factory=_versions)
    date: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%d"))
    load: list[float] = field(default_factory=lambda: [round(n, 1) for n in os.getloadavg()])

    def json(self) -> str:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)

    def save(self) -> Path:
        """Keep it in place of the last one of its name."""
        FOLDER.mkdir(exist_ok=True)
        path = FOLDER / f"{self.run}.json"
        path.write_text(self.json() + "\n", encoding="utf-8")
        return path

    def add(self, other: Result) -> None:
        """Take in what another run found."""
        self.figures |= other.figures
        self.medians |= other.medians
        self.left_out |= other.left_out
        self.notes += other.notes

    def where(self) -> str:
        """Return on what it was measured, in a line."""
        named = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        load = " ".join(map(str, self.load))
        return (
            f"{self.date}, CPython {self.python} ({self.loop}), {self.machine}, load average"
            f" {load} at the start; {named}."
        )


def load(run: str) -> Result | None:
    """Return what is kept of *run*; None: nothing is."""
    path = FOLDER / f"{run}.json"
    return Result(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None
