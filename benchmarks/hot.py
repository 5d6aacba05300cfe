"""
What a request costs inside the process: every case, every peer, the floors, in one run.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import anyio

from asgi_refresh import MemoryStore
from benchmarks import peers
from benchmarks.cases import cases, refreshing
from benchmarks.floors import floors
from benchmarks.harness import Times, Variant, check, measure
from benchmarks.report import table
from benchmarks.results import Result

SERVERS = ("redis", "postgresql")


def main(options: Namespace) -> Result:
    """Measure all that is installed."""
    return run(
        rounds=options.rounds or (1 if options.quick else 41),
        turn=0.0005 if options.quick else 0.005,
        loop=options.loop,
    )


def run(*, rounds: int, turn: float, loop: str) -> Result:
    """Measure *rounds* rounds, in which each variant has *turn* seconds."""
    adapters, left_out = peers.load()
    variants = {**floors(), **cases(adapters)}
    backend = "trio" if loop == "trio" else "asyncio"
    options = {"use_uvloop": True} if loop == "uvloop" else {}
    main = partial(_measure, variants, left_out, rounds=rounds, turn=turn, loop=loop)
    result = Result("hot", left_out=left_out, loop=loop)
    times = anyio.run(main, backend=backend, backend_options=options)
    result.figures = {name: round(one.least, 3) for name, one in times.items()}
    result.medians = {name: round(one.median, 3) for name, one in times.items()}
    return result


async def _measure(
    variants: dict[str, Variant],
    left_out: dict[str, str],
    *,
    rounds: int,
    turn: float,
    loop: str,
) -> Mapping[str, Times]:
    async with AsyncExitStack() as stack:
        stores: dict[str, Any] = {"memory": MemoryStore()}
        if loop == "trio":
            await _drop_what_fails(variants, left_out)
        else:
            await _add_servers(stores, stack, left_out)
        for name, store in stores.items():
            variants[f"refresh, {name}"] = refreshing(store)
        return await measure(variants, rounds=rounds, turn=turn)


async def _add_servers(
    stores: dict[str, Any], stack: AsyncExitStack, left_out: dict[str, str]
) -> None:
    try:
        from benchmarks.databases import place  # noqa: PLC0415 - needs drivers
        from benchmarks.places import MissingServerError  # noqa: PLC0415
    except ModuleNotFoundError as error:
        left_out |= {f"refresh, {name}": f"{error.name} is not installed" for name in SERVERS}
        return
    for name in SERVERS:
        try:
            stores[name] = (await stack.enter_async_context(place(name))).store
        except MissingServerError as error:
            left_out[f"refresh, {name}"] = str(error)


async def _drop_what_fails(variants: dict[str, Variant], left_out: dict[str, str]) -> None:
    """Leave out what runs on asyncio only."""
    for name in list(variants):
        try:
            await check(variants[name])
        except Exception as error:  # noqa: BLE001 - whatever asyncio code raises on trio
            del variants[name]
            left_out[name] = f"not on trio: {type(error).__name__}"


def show(result: Result) -> str:
    """Return the tables: peers, then cases."""
    return f"{peers_table(result)}\n{cases_table(result)}"


def peers_table(result: Result) -> str:
    """Return the table of overheads: a peer a line, a verb a column."""
    hot, rows = result.figures["hot"], []
    for name in peers.MODULES:
        cells = []
        for verb in ("valid", "anonymous", "refresh"):
            value = result.figures.get(f"{name}: {verb}")
            cells.append("" if value is None else f"{value:.2f}")
        if any(cells):
            valid = result.figures[f"{name}: valid"]
            rows.append([name, cells[0], f"{valid / hot:.1f}", *cells[1:]])
        elif name in result.left_out:
            rows.append([f"{name} (left out: {result.left_out[name]})", "", "", "", ""])
    return table(["overhead, µs", "valid access", "times ours", "anonymous", "refresh"], rows)


def cases_table(result: Result) -> str:
    """Return the table of everything that is no verb of a peer."""
    rows = [
        [name, f"{value:.2f}", f"{result.medians[name]:.2f}"]
        for name, value in result.figures.items()
        if name in result.medians and name.rpartition(": ")[0] not in peers.MODULES
    ]
    return table(["case", "µs, least", "median"], rows)
