"""
The same targets, guided by coverage, where atheris is installed; it is no requirement.

    python -m tests.fuzz.guided target [options of libFuzzer, as -max_total_time=60]

What it learns stays in a temporary folder; a failing input is written where it is started.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

from .engine import CORPUS

with atheris.instrument_imports(include=["asgi_refresh", "jwt"]):
    from .targets import TARGETS


def main() -> None:
    """Hand the target to libFuzzer, which exits by itself."""
    name, *options = sys.argv[1:]
    target = TARGETS[name]
    with TemporaryDirectory() as learned, TemporaryDirectory() as folder:
        words = Path(folder) / "words"
        spelled = ("".join(f"\\x{byte:02x}" for byte in word) for word in target.words() if word)
        words.write_text("".join(f'"{word}"\n' for word in spelled))
        options += [f"-dict={words}", f"-max_len={target.most}", learned, str(CORPUS / name)]
        atheris.Setup([sys.argv[0], *options], target.run)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
