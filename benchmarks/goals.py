"""
The goals, as data: a figure, or one over another, and what it must be.

The figures are named as the runs name them: µs over the bare application, least of all rounds;
CPU µs of a request; counts. To change a goal, change its line; nothing else knows them.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from benchmarks.report import table

Sign = Literal["≤", "≥", "="]
_HOLDS = {"≤": operator.le, "≥": operator.ge, "=": operator.eq}


@dataclass(frozen=True)
class Goal:
    """
    One line of the table.

    Attributes:
        name: What it says.
        above: The figure.
        below: The one it is divided by; None: by nothing.
        sign: How it has to compare with *bound*.
        bound: What it must be.
    """

    name: str
    above: str
    below: str | None
    sign: Sign
    bound: float

    def measured(self, figures: Mapping[str, float]) -> float | None:
        """Return what it is; None: one of its figures is missing."""
        if self.above not in figures or (self.below is not None and self.below not in figures):
            return None
        return figures[self.above] / (figures[self.below] if self.below is not None else 1.0)

    def is_met(self, figures: Mapping[str, float]) -> bool:
        """Return whether it holds; what was not measured does not."""
        value = self.measured(figures)
        return value is not None and _HOLDS[self.sign](value, self.bound)


HOT = "hot"
AUTHENTICATION = "AuthenticationMiddleware + PyJWT: valid"

GOALS = [
    Goal("hot path / verify floor", HOT, "verify floor", "≤", 0.5),
    Goal("jwt.decode of the same token / hot", "jwt.decode", HOT, "≥", 15),
    Goal("AuthenticationMiddleware + PyJWT / hot", AUTHENTICATION, HOT, "≥", 20),
    Goal("SessionMiddleware / hot", "SessionMiddleware: valid", HOT, "≥", 7),
    Goal("BaseHTTPMiddleware no-op / hot", "BaseHTTPMiddleware no-op: valid", HOT, "≥", 40),
    Goal("AuthX implicit refresh, valid token / hot", "AuthX middleware: valid", HOT, "≥", 80),
    Goal("first sight / verify floor", "first sight", "verify floor", "≤", 1.5),
    Goal("stateless refresh / refresh floor", "refresh, stateless", "refresh floor", "≤", 1.6),
    Goal(
        "AuthX refresh / our refresh",
        "AuthX middleware: refresh", "refresh, stateless", "≥", 15,
    ),
    Goal("no cookie / hot", "no cookie", HOT, "≤", 1.0),
    Goal("hot RS256 / hot HS256", "hot, RS256", HOT, "≤", 1.15),
    Goal("hot ES256 / hot HS256", "hot, ES256", HOT, "≤", 1.15),
    Goal("hot EdDSA / hot HS256", "hot, EdDSA", HOT, "≤", 1.15),
    Goal("hot 50 cookies / 1 cookie", "hot, 50 cookies", "hot, 1 cookie", "≤", 1.4),
    Goal(
        "bad signature, ours / plain PyJWT middleware",
        "bad signature", "bad signature, plain PyJWT", "≤", 0.2,
    ),
    Goal("handler that reads auth / hot", "handler reads auth", HOT, "≤", 1.8),
    Goal("same-origin POST / hot", "same-origin POST", HOT, "≤", 2.5),
    Goal("300 KB Cookie header, µs", "300 KB cookie", None, "≤", 1000),
    Goal(
        "uvicorn CPU of a request / no-op middleware",
        "uvicorn CPU, asgi_refresh: valid", "uvicorn CPU, no-op ASGI: valid", "≤", 1.08,
    ),
    Goal("store trips of 1,000 requests between polls", "trips, hot", None, "=", 0),
    Goal("store trips of a rotation", "trips, rotation", None, "=", 2),
]  # fmt: skip

MEMORY = [
    Goal("MB of growth over the requests", "MB of growth, requests", None, "≤", 1),
    Goal("MB of growth over the forged tokens", "MB of growth, forged tokens", None, "≤", 1),
    Goal("tokens remembered, of `Config.token_cache`", "tokens remembered", None, "≤", 4096),
]

STORM = [
    Goal(
        "p99 of calm requests, all at once / before",
        "all at once, during, p99", "all at once, before, p99", "≤", 1.2,
    ),
    Goal(
        "p99 of calm requests, spread over 10 s / before",
        "spread over 10 s, during, p99", "spread over 10 s, before, p99", "≤", 1.2,
    ),
]  # fmt: skip


def missed(goals: Iterable[Goal], figures: Mapping[str, float]) -> list[str]:
    """Return the names of those that do not hold."""
    return [goal.name for goal in goals if not goal.is_met(figures)]


def goals_table(goals: Iterable[Goal], figures: Mapping[str, float]) -> str:
    """Return a line for each goal, passed or failed."""
    rows = []
    for goal in goals:
        value = goal.measured(figures)
        shown = "not measured" if value is None else f"{value:.2f}"
        met = "pass" if goal.is_met(figures) else "**fail**"
        rows.append([goal.name, shown, f"{goal.sign} {goal.bound:g}", met])
    return table(["goal", "measured", "bound", ""], rows)
