"""Two drawings of the last goals run: overhead by peer, and growth with the number of cookies."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from benchmarks import peers
from benchmarks.cases import COUNTS, GROWING, crowded
from benchmarks.results import FOLDER, Result, load

OURS, THEIRS, REFRESHED = "#0b6e4f", "#8a8f98", "#c8553d"


def main(_options: Namespace) -> None:
    """Draw."""
    result = load("goals")
    if result is None:
        raise SystemExit("nothing to draw: run `python -m benchmarks goals --save` first")
    mpl.use("svg")
    # The same figures make the same file.
    mpl.rcParams.update({"svg.hashsalt": "asgi_refresh", "svg.fonttype": "none", "font.size": 9})
    for name, draw in (("overhead", _overhead), ("growth", _growth)):
        figure, axes = plt.subplots(figsize=(7.5, 4.6))
        draw(axes, result)
        axes.spines[["top", "right"]].set_visible(False)
        figure.tight_layout()
        path = FOLDER / f"{name}.svg"
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)
        print(f"drawn: {path}")


def _overhead(axes: Any, result: Result) -> None:
    names = [name for name in peers.MODULES if f"{name}: valid" in result.figures]
    names.sort(key=lambda name: -result.figures[f"{name}: valid"])
    for place, name in enumerate(names):
        ours = OURS if name == "asgi_refresh" else THEIRS
        _bar(axes, place + 0.2, result.figures[f"{name}: valid"], ours)
        if f"{name}: refresh" in result.figures:
            _bar(axes, place - 0.2, result.figures[f"{name}: refresh"], REFRESHED)
    axes.barh([0], [0], color=THEIRS, label="a valid token")
    axes.barh([0], [0], color=REFRESHED, label="a refresh, where there is one")
    axes.set_xscale("log")
    axes.set_xlim(0.1, 2000)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("overhead of a request, µs over the application without")
    axes.legend(frameon=False, loc="upper right")


def _bar(axes: Any, place: float, value: float, colour: str) -> None:
    axes.barh(place, value, 0.36, color=colour)
    shown = f"{value:.1f}" if value < 10 else f"{value:.0f}"
    axes.text(value * 1.1, place, shown, va="center", fontsize=7)


def _growth(axes: Any, result: Result) -> None:
    for name, label in [("hot", "asgi_refresh"), *((one, one) for one in GROWING)]:
        values = [result.figures.get(crowded(name, count)) for count in COUNTS]
        if None not in values:
            colour = OURS if name == "hot" else None
            axes.plot(COUNTS, values, "o-", color=colour, label=label)
    axes.set_yscale("log")
    for axis in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        axis("{x:g}")
    axes.set_xticks(COUNTS)
    axes.set_xlabel("cookies in the request")
    axes.set_ylabel("overhead, µs")
    axes.legend(frameon=False)
