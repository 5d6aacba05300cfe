"""What the measurements print: tables, and how busy the machine was."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterable, Sequence
from typing import Any


def load_average() -> str:
    """Return how busy the machine is: other people's work is in every absolute number."""
    loads = " ".join(f"{load:.2f}" for load in os.getloadavg())
    return f"load average {loads} on {os.cpu_count()} cores"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a Markdown table whose first column is text and the others numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines) + "\n"


def p50(seconds: Sequence[float]) -> float:
    """Return the median, in microseconds."""
    return statistics.median(seconds) * 1e6


def p10(seconds: Sequence[float]) -> float:
    """Return what a tenth of them took at most, in microseconds: the noise is seldom in it."""
    return sorted(seconds)[len(seconds) // 10] * 1e6
