"""
What keeping a browser signed in costs, beside its peers: one process, one interleaved run.

    python -m benchmarks [--quick] [--rounds N] [--requests N]

Every round runs every variant once, in rotated order, on scopes built beforehand from fresh bytes.
The least time of all rounds counts; the bare application's is taken off. These machines are noisy:
believe the ratios, and of those only what repeats.
"""

from __future__ import annotations

import asyncio

from benchmarks.harness import Measured, measure
from benchmarks.report import versions
from benchmarks.variants import VARIANTS

GOALS = [
    ("jwt.decode of the same token / hot", "jwt.decode", "hot", ">=", 15.0),
    ("plain PyJWT middleware / hot", "plain PyJWT middleware", "hot", ">=", 15.0),
    ("Starlette SessionMiddleware / hot", "SessionMiddleware", "hot", ">=", 7.0),
    ("hot / verify floor", "hot", "verify floor", "<=", 0.5),
    ("handler reads auth / hot", "hot, handler reads auth", "hot", "<=", 1.8),
    ("same-origin POST / hot", "hot, same-origin POST", "hot", "<=", 2.5),
    ("50 cookies / hot", "hot, 50 cookies", "hot", "<=", 1.4),
    ("ES256 / hot", "hot, ES256", "hot", "<=", 1.15),
    ("no cookie of ours / hot", "no cookie", "hot", "<=", 1.0),
    ("first sight / verify floor", "first sight", "verify floor", "<=", 1.5),
    ("stateless refresh / refresh floor", "stateless refresh", "refresh floor", "<=", 1.6),
    ("bad signature / plain PyJWT middleware", "bad signature", "bad signature, PyJWT", "<=", 0.2),
]


def run(*, rounds: int, requests: int) -> None:
    """Measure, and print the tables."""
    measured = asyncio.run(measure(VARIANTS, rounds=rounds, requests=requests))
    print(versions("pyjwt", "cryptography", "starlette", "itsdangerous", "anyio"))
    print(costs(measured))
    print(ratios(measured))


def costs(measured: Measured) -> str:
    """Return the table of times."""
    lines = ["| variant | µs over bare, least | median |", "| --- | ---: | ---: |"]
    for name, times in measured.over_bare().items():
        lines.append(f"| {name} | {times.least:.2f} | {times.median:.2f} |")
    return "\n".join(lines) + "\n"


def ratios(measured: Measured) -> str:
    """Return the table of ratios, beside the goals of the design."""
    over = measured.over_bare()
    lines = ["| ratio | measured | goal | |", "| --- | ---: | ---: | --- |"]
    for label, above, below, sign, goal in GOALS:
        ratio = over[above].least / over[below].least
        met = ratio >= goal if sign == ">=" else ratio <= goal
        lines.append(f"| {label} | {ratio:.2f} | {sign} {goal:g} | {'met' if met else 'missed'} |")
    return "\n".join(lines) + "\n"
