"""
Exhaustive search: every state that some interleaving of moves reaches, each looked at once.

Breadth first, so the first trace to what is looked for is a shortest one.
"""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from asgi_refresh.rotation import Verdict

from .invariants import BrokenError


class Step(NamedTuple):
    """One move, for the trace; generations are offsets from `current` as it was before the move."""

    action: str
    carries: int | None = None
    verdict: Verdict | None = None
    gives: int | None = None
    shift: int = 0
    """How many generations `current` moved."""


TICK = Step("tick")

World = TypeVar("World", bound=Hashable)
Moves = Callable[[World], Iterator[tuple[Step, World | None]]]
"""All that may happen next. None in place of a world is the end that the search looks for."""


@dataclass(frozen=True)
class Exploration:
    """
    What a search came to.

    Attributes:
        states: How many different states were reached.
        verdicts: Every verdict that some move got.
        found: The steps to the end that was looked for; None when no interleaving leads there.
        broken: The steps to a move that broke an invariant, and which; None where all hold.
        best: The highest score of any state.
        best_trace: The steps to the first state with that score.
        seconds: How long the search took.
    """

    states: int
    verdicts: frozenset[Verdict]
    found: tuple[str, ...] | None
    best: int
    best_trace: tuple[str, ...]
    seconds: float
    broken: tuple[str, ...] | None = None


def explore(
    starts: Iterable[World], moves: Moves[World], score: Callable[[World], int] = lambda _: 0
) -> Exploration:
    """Search from *starts* until the end is found or no state is left."""
    began = time.perf_counter()
    origin: dict[World, tuple[World, Step] | None] = dict.fromkeys(starts)
    queue = deque(origin)
    best = max(queue, key=score)
    verdicts: set[Verdict | None] = set()
    found: tuple[str, ...] | None = None
    broken: tuple[str, ...] | None = None
    world: World | None = None
    gc.disable()  # nothing in here is cyclic, and the collector would walk millions of tuples
    try:
        while queue and found is None:
            world = queue.popleft()
            for step, after in moves(world):
                verdicts.add(step.verdict)
                if after is None:
                    found = _trace(origin, world, step)
                    break
                if after not in origin:
                    origin[after] = world, step
                    queue.append(after)
                    if score(after) > score(best):
                        best = after
    except BrokenError as violation:
        assert world is not None
        broken = (*_trace(origin, world), str(violation))
    finally:
        gc.enable()
    return Exploration(
        states=len(origin),
        verdicts=frozenset(verdict for verdict in verdicts if verdict is not None),
        found=found,
        best=score(best),
        best_trace=_trace(origin, best),
        seconds=time.perf_counter() - began,
        broken=broken,
    )


def _trace(
    origin: dict[World, tuple[World, Step] | None], world: World, *last: Step
) -> tuple[str, ...]:
    steps = list(last)
    while (came := origin[world]) is not None:
        world, step = came
        steps.insert(0, step)
    return tuple(_told(steps))


def _told(steps: list[Step]) -> Iterator[str]:
    """Tell *steps* with the first `current` called 1."""
    clock, current = 0, 1
    for step in steps:
        if step is TICK:
            clock += 1
            continue
        line = f"t={clock:<3}{step.action}"
        if step.carries is not None:
            line += f" {current + step.carries}"
        if step.verdict is not None:
            line += f" {step.verdict.name}"
        if step.gives is not None:
            line += f" -> {current + step.gives}"
        yield line
        current += step.shift
