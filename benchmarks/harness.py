"""Interleaved rounds over any number of variants."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.browser import App, Message, receive


@dataclass(frozen=True)
class Variant:
    """
    What is measured.

    Attributes:
        app: An ASGI application; or, with *scope* None, anything that takes one prepared input.
        scope: Makes the scope of one request, from fresh bytes.
        check: Called once with the messages of one request: a variant that does not do its job
            must not be measured.
        plain: A plain function of one prepared input, in place of *app*.
    """

    app: App | None
    scope: Callable[[], Any]
    check: Callable[[list[Message]], None] | None = None
    plain: Callable[[Any], Any] | None = None


@dataclass(frozen=True)
class Times:
    """Microseconds for one request."""

    least: float
    median: float


class Measured:
    """All times of one run."""

    def __init__(self, times: Mapping[str, Sequence[float]]) -> None:
        self._times = times

    def over_bare(self) -> dict[str, Times]:
        """Return every variant's time, less the bare application's where it ran one."""
        bare = self._times["bare"]
        least, median = min(bare), statistics.median(bare)
        result = {}
        for name, times in self._times.items():
            off_least, off_median = (
                (0.0, 0.0) if name in PLAIN or name == "bare" else (least, median)
            )
            result[name] = Times(min(times) - off_least, statistics.median(times) - off_median)
        return result


PLAIN: set[str] = set()
BATCH = 20


async def _send(message: Message) -> None:
    pass


async def measure(variants: Mapping[str, Variant], *, rounds: int, requests: int) -> Measured:
    """Run *rounds* rounds of *requests* requests on each variant, in rotated order."""
    for variant in variants.values():
        await _check(variant)
    PLAIN.update(name for name, variant in variants.items() if variant.plain is not None)
    times: dict[str, list[float]] = {name: [] for name in variants}
    names = list(variants)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            times[name].append(await _time(variants[name], requests))
    return Measured(times)


async def _check(variant: Variant) -> None:
    if variant.app is None or variant.check is None:
        return
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    for _ in range(2):  # the second time what is remembered is remembered
        messages.clear()
        await variant.app(variant.scope(), receive, send)
    variant.check(messages)


async def _time(variant: Variant, requests: int) -> float:
    # A few inputs at a time, so that they are as warm as a server's that has just read them.
    total = 0.0
    gc.collect()
    for _ in range(requests // BATCH):
        inputs = [variant.scope() for _ in range(BATCH)]
        began = time.perf_counter()
        if variant.plain is not None:
            function = variant.plain
            for item in inputs:
                function(item)
        elif variant.app is not None:
            app = variant.app
            for scope in inputs:
                await app(scope, receive, _send)
        total += time.perf_counter() - began
    return total / (requests // BATCH * BATCH) * 1e6
