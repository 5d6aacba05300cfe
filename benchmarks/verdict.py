"""
The table of goals: everything they name, measured in one go, and each passed or failed.
"""

from __future__ import annotations

from argparse import Namespace

from benchmarks import counted, hot, server
from benchmarks.goals import GOALS, goals_table, missed
from benchmarks.report import table
from benchmarks.results import Result

NOT_FLATTERING = [
    ("cache off / verify floor", "cache off", "verify floor"),
    ("0 % hits / verify floor", "0 % hits", "verify floor"),
    ("0 % hits / cache off", "0 % hits", "cache off"),
    ("plain PyJWT middleware / cache off", "plain PyJWT: valid", "cache off"),
    ("hot / no-op middleware", "hot", "no-op ASGI: valid"),
    ("refresh with the memory store / stateless", "refresh, memory", "refresh, stateless"),
    ("refresh with Redis / stateless", "refresh, redis", "refresh, stateless"),
    ("refresh with PostgreSQL / stateless", "refresh, postgresql", "refresh, stateless"),
]


def main(options: Namespace) -> Result:
    """Measure, and judge."""
    result = Result("goals", loop=options.loop)
    result.add(hot.main(options))
    result.add(counted.run())
    result.add(server.cpu(quick=options.quick))
    result.missed = missed(GOALS, result.figures)
    return result


def show(result: Result) -> str:
    """Return the table of goals, and what everything took."""
    parts = [goals_table(GOALS, result.figures), not_flattering(result), hot.show(result)]
    if result.missed:
        parts.append(f"{len(result.missed)} of {len(GOALS)} goals are missed.\n")
    return "\n".join(parts)


def not_flattering(result: Result) -> str:
    """Return the ratios that nobody asked for."""
    rows = [
        [name, f"{result.figures[above] / result.figures[below]:.2f}"]
        for name, above, below in NOT_FLATTERING
        if {above, below} <= result.figures.keys()
    ]
    return table(["what does not flatter", "ratio"], rows)
