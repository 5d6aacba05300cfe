"""
The one harness: any number of variants in one process, interleaved and rotated.

Every round gives every variant one turn, and a turn lasts about as long for all of them, or who
has the shorter one would meet more of the quiet moments. Inputs are made before the clock starts,
a few at a time, so that they are as warm as a server's that has just read them: what they cost is
in no figure. What is timed is the CPU of the process; the least of all rounds counts, because what
else a machine does only ever adds.
"""

from __future__ import annotations

import gc
import inspect
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.browser import App, Message, Request, receive

BATCH, MOST = 20, 4000  # requests at a time, and in a turn


@dataclass(frozen=True)
class Variant:
    """
    What is measured: one call for each input.

    Attributes:
        make: Returns a new input; may be async.
        app: An ASGI application, whose input is a scope.
        plain: A function of one argument, in place of *app*.
        over: The variant whose time is taken off; None: nothing is.
        clock: What it is timed with: the wall, for what waits for a server.
        check: Called with the scope and the messages of its answer before anything is timed: a
            variant that does not do its job must not be measured.
    """

    make: Callable[[], Any]
    app: App | None = None
    plain: Callable[[Any], Any] | None = None
    over: str | None = None
    clock: Callable[[], float] = time.process_time
    check: Callable[[Any, list[Message]], None] | None = None


def asking(app: App, request: Request, *, over: str | None = "bare") -> Variant:
    """Return the variant that sends *request* to *app*."""
    return Variant(request.scope, app=app, over=over, check=request.check)


@dataclass(frozen=True)
class Times:
    """Microseconds for one request, less those of what it is over."""

    least: float
    median: float


async def measure(variants: Mapping[str, Variant], *, rounds: int, turn: float) -> dict[str, Times]:
    """
    Check every variant, then run *rounds* rounds of them all.

    Args:
        variants: By name.
        rounds: How many.
        turn: Seconds that a variant has in each round, roughly.
    """
    counts = {}
    for name, variant in variants.items():
        try:
            await check(variant)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
        each = min([await _time(variant, BATCH) for _ in range(3)])
        counts[name] = min(MOST, max(1, int(turn / each / BATCH)) * BATCH)
    gc.collect()
    gc.freeze()  # what was built before is no part of a turn's collections
    times: dict[str, list[float]] = {name: [] for name in variants}
    names = list(variants)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            gc.collect()
            times[name].append(await _time(variants[name], counts[name]) * 1e6)
    gc.unfreeze()
    return {name: _over(times, name, variants[name].over) for name in variants}


def _over(times: Mapping[str, list[float]], name: str, below: str | None) -> Times:
    off = times[below] if below else [0.0]
    return Times(
        min(times[name]) - min(off), statistics.median(times[name]) - statistics.median(off)
    )


async def check(variant: Variant) -> None:
    """
    Send two requests, for what is remembered to be remembered at the second.

    Raises:
        AssertionError: An answer is not as it must be.
    """
    for _ in range(2):
        made, messages = await _made(variant), list[Message]()

        async def send(message: Message, messages: list[Message] = messages) -> None:
            messages.append(message)

        if variant.app is not None:
            await variant.app(made, receive, send)
        elif variant.plain is not None:
            variant.plain(made)
        if variant.check is not None:
            variant.check(made, messages)


async def _made(variant: Variant) -> Any:
    made = variant.make()
    return await made if inspect.isawaitable(made) else made


async def _time(variant: Variant, requests: int) -> float:
    total, clock = 0.0, variant.clock
    for _ in range(requests // BATCH):
        inputs = [await _made(variant) for _ in range(BATCH)]
        if variant.plain is not None:
            function = variant.plain
            began = clock()
            for item in inputs:
                function(item)
            total += clock() - began
        elif variant.app is not None:
            app = variant.app
            began = clock()
            for scope in inputs:
                await app(scope, receive, _send)
            total += clock() - began
    return total / requests


async def _send(_message: Message) -> None:
    pass
