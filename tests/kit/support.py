"""Running pytest as a user does who has the package installed."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_pytest(place: Path, *arguments: str, env: dict[str, str] | None = None) -> str:
    """
    Return what pytest prints in *place*, where every test passes and no warning is given.

    The plugin is found by the entry point of pyproject.toml, be it installed or not.
    """
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    points = table["project"]["entry-points"]["pytest11"]
    installed = place / "installed" / "kit-0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Name: kit\nVersion: 0\n")
    lines = [f"{name} = {module}" for name, module in points.items()]
    (installed / "entry_points.txt").write_text("\n".join(["[pytest11]", *lines]))
    (place / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    path = os.pathsep.join(map(str, (ROOT, installed.parent)))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=place,
        env={**os.environ, **(env or {}), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
