"""
What the commands print: for people in colour where there is a terminal, for programs as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from asgi_refresh.telemetry import printable

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def listed(title: str, *lines: str) -> str:
    """Return *lines* under *title* for the end of a help text, where they are not to be folded."""
    return "\n".join(("\b", title, *(f"  {line}" for line in lines)))


_UNITS: Final = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
_PIPED = 160  # columns where nobody says how many there are


def say(text: str = "", style: str = "") -> None:
    """Print one line, as it is: no markup, never folded, nothing that moves a cursor."""
    _console().print(Text("\n".join(map(printable, text.split("\n"))), style), soft_wrap=True)


def say_json(value: Any) -> None:
    """Print *value* as JSON."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def say_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table with a line for each of *rows*."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=column == "id", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    _console().print(table)


def complain(text: str) -> None:
    """Print to standard error why a command fails."""
    sys.stderr.write(f"asgi_refresh: {printable(text)}\n")


def moment(at: float, now: float) -> str:
    """Return when *at* is, in seconds since the epoch, in words as of *now*."""
    try:
        date = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return "at no time that a calendar has"
    return f"{date}, {distance(at, now)}"


def distance(at: float, now: float) -> str:
    """Return how far *at* is from *now*: "in 2 days", "3 minutes ago"."""
    apart = span(abs(at - now))
    return f"in {apart}" if at > now else f"{apart} ago"


def span(seconds: float) -> str:
    """Return a duration in its two largest units: "2 days 3 hours"."""
    left, words = int(seconds), list[str]()
    for name, size in _UNITS:
        count, left = divmod(left, size)
        if count:
            words.append(f"{count} {name}{'s' if count > 1 else ''}")
    return " ".join(words[:2]) or "0 seconds"


def _console() -> Console:
    terminal = sys.stdout.isatty()
    return Console(highlight=False, markup=False, emoji=False, width=None if terminal else _PIPED)
