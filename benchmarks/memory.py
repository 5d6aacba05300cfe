"""
What is kept in memory, and whether it grows: bytes of a token, of a session; a million requests.

Bytes are what Python allocates (tracemalloc); growth is that of the resident set of a process of
its own, after a warm-up of the same kind.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
import tracemalloc
from argparse import Namespace
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

from asgi_refresh import Issuer, MemoryStore, RefreshMiddleware
from benchmarks.browser import CLAIMS, NOISE, SECRET, Message, Request, bare, quiet, receive
from benchmarks.goals import MEMORY, goals_table, missed
from benchmarks.people import People
from benchmarks.report import table
from benchmarks.results import Result


def main(options: Namespace) -> Result:
    """Measure each in a process of its own."""
    count = 20_000 if options.quick else 1_000_000
    result = Result("memory", figures={"requests, and forged tokens": count})
    for measured in (_token, _session, _requests, _flood):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            result.figures |= pool.apply(measured, (count,))
    result.missed = missed(MEMORY, result.figures)
    return result


def show(result: Result) -> str:
    """Return what was measured, and the goals."""
    rows = [[name, f"{value:,.2f}".removesuffix(".00")] for name, value in result.figures.items()]
    return f"{table(['memory', 'measured'], rows)}\n{goals_table(MEMORY, result.figures)}"


def _issuer() -> Issuer:
    return Issuer(SECRET, store=MemoryStore(), on_event=quiet)


def _token(_count: int) -> dict[str, float]:
    """What one more remembered token takes, its bytes included."""
    issuer = _issuer()
    sessions = [
        issuer.mint.session(f"user {number}", CLAIMS, persistent=True, device=None)
        for number in range(1000)
    ]
    raw = [issuer.mint.access(one, one.claims).raw for one in sessions]  # type: ignore[arg-type]
    issuer.read_access(bytes(bytearray(raw[0])))
    tracemalloc.start()
    for one in raw[1:]:
        issuer.read_access(bytes(bytearray(one)))
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return {"bytes of a remembered token": round(taken / (len(raw) - 1))}


def _session(_count: int) -> dict[str, float]:
    """What one more session takes in a `MemoryStore`."""
    people, store, count = People(time.time()), MemoryStore(), 20_000

    async def add() -> None:
        for number in range(count):
            await store.add(people.session(number))

    tracemalloc.start()
    asyncio.run(add())
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return {"bytes of a session, MemoryStore": round(taken / count)}


def _requests(count: int) -> dict[str, float]:
    """A million requests of 10,000 browsers: more tokens than are remembered."""
    issuer = _issuer()

    async def run() -> tuple[float, int]:
        issued = [await issuer.issue(f"user {number}", CLAIMS) for number in range(10_000)]
        cookies = [
            [*NOISE, f"__Host-access={one.access_token}", f"__Host-refresh={one.refresh_token}"]
            for one in issued
        ]
        grown = await _grown(issuer, count, lambda number: cookies[number % len(cookies)])
        return grown, len(issuer.cache.young) + len(issuer.cache.old)

    grown, remembered = asyncio.run(run())
    return {"MB of growth, requests": grown, "tokens remembered": remembered}


def _flood(count: int) -> dict[str, float]:
    """A million tokens that differ, whose signature is bad or which are none."""
    issuer = _issuer()

    async def run() -> float:
        good = (await issuer.issue("alice", CLAIMS)).access_token
        head, body, signature = good.split(".")

        def cookies(number: int) -> list[str]:
            other = f"{number:0{len(body)}}"  # what it says, or how it is signed, or all of it
            shapes = (f"{head}.{other}.{signature}", f"{head}.{body}.{number:043}", other)
            return [f"__Host-access={shapes[number % 3]}"]

        return await _grown(issuer, count, cookies)

    return {"MB of growth, forged tokens": asyncio.run(run())}


def _grown(
    issuer: Issuer, count: int, cookies: Callable[[int], list[str]]
) -> Coroutine[Any, Any, float]:
    """Send *count* requests after a tenth as many, and return by how many MB the process grew."""
    app = RefreshMiddleware(bare, issuer)
    template = Request(["x"]).scope()
    fields = template["headers"][:-1]

    async def send(_message: Message) -> None:
        pass

    async def ask(numbers: Iterator[int] | range) -> None:
        for number in numbers:
            field = "; ".join(cookies(number)).encode()
            await app({**template, "headers": [*fields, (b"cookie", field)]}, receive, send)

    async def run() -> float:
        await ask(range(max(count // 10, 10_000)))
        before = _resident()
        await ask(range(count))
        return round((_resident() - before) / 1e6, 2)

    return run()


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
