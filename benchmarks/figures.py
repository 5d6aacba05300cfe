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
    mpl.rcParams.update({"svg.hashsalt": "asgi_refresh", "font.size": 9})
    for name, draw in (("overhead", _overhead), ("growth", _growth)):
        figure, axes = plt.subplots(figsize=(7.5, 4.2))
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
        valid = result.figures[f"{name}: valid"]
        axes.barh(place, valid, 0.55, color=OURS if name == "asgi_refresh" else THEIRS)
        axes.text(valid * 1.1, place, f"{valid:.2g} µs", va="center")
        refresh = result.figures.get(f"{name}: refresh")
        if refresh is not None:
            axes.plot([refresh], [place], "|", color=REFRESHED, markersize=14, markeredgewidth=2)
    axes.plot([], [], "|", color=REFRESHED, markersize=10, markeredgewidth=2, label="a refresh")
    axes.set_xscale("log")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("overhead of a request with a valid token, µs over the application without")
    axes.legend(frameon=False, loc="upper right")


def _growth(axes: Any, result: Result) -> None:
    for name, label in [("hot", "asgi_refresh"), *((one, one) for one in GROWING)]:
        values = [result.figures.get(crowded(name, count)) for count in COUNTS]
        if None not in values:
            colour = OURS if name == "hot" else None
            axes.plot(COUNTS, values, "o-", color=colour, label=label)
    axes.set_yscale("log")
    axes.set_xticks(COUNTS)
    axes.set_xlabel("cookies in the request")
    axes.set_ylabel("overhead, µs")
    axes.legend(frameon=False)
