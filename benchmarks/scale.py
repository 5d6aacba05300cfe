"""
What a store costs as it grows: the same operations on ten times as many sessions.

    python -m benchmarks scale [--quick] [--rounds N] [--sessions N N …] [--stores NAME …]

Every size has a place of its own, and all sizes of a store are there at the same time: each round
does the same operations on each size, in rotated order, so that what else the machine does falls on
all of them. The goal: what is done at every refresh, for a list of devices, by a purge and by a
poll costs at most 1.5 times as much, at the median, in the largest place as in the smallest.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from asgi_refresh.sessions import Revocation
from benchmarks.databases import place
from benchmarks.people import REFRESH_EVERY, People, rotated
from benchmarks.places import MissingServerError, Place, fill
from benchmarks.report import load_average, p10, p50, table
from benchmarks.results import Result

GOAL = 1.5
REFRESHES, FINDS, POLLS = 10, 5, 2  # in a round: rounds are short, for the noise to fall on all
PURGE_IN, ENDED = 10, 500
OPERATIONS = ("refresh", "get", "replace", "find", "purge", "revocations")
ACTIVE, HOURS = 100, 4  # sessions that are used on and on, and for how long


@dataclass
class Scaled:
    """
    A store with many sessions, and what its operations took.

    Attributes:
        place: Where they are.
        count: How many.
        people: Whose.
    """

    place: Place
    count: int
    people: People
    loading: float = 0.0
    size: float = 0.0
    grown: float = 0.0
    times: dict[str, list[float]] = field(default_factory=lambda: {n: [] for n in OPERATIONS})
    wal: list[float] = field(default_factory=list)
    hot: float | None = None
    cursor: str | None = None

    @property
    def store(self) -> Any:
        return self.place.store

    async def load(self) -> None:
        """Load the sessions, and a log: an entry for a thousand of them, at most 400."""
        began, empty = time.perf_counter(), await self.place.size()
        await fill(self.place, self.people.session, self.count)
        self.loading = time.perf_counter() - began
        self.size = (await self.place.size() - empty) / self.count
        now = self.people.now
        for number in range(min(400, self.count // 1000)):
            await self.store.revoke(f"gone {number}", Revocation(f"gone {number}", now, now + 600))
        while (read := await self.store.revocations(self.cursor))[0]:
            self.cursor = read[1]

    async def refresh(self, numbers: Sequence[int], now: float) -> None:
        """Rotate the sessions of *numbers*: one `get` and one `replace` each."""
        logged = await self.place.wal() if self.place.wal else 0
        for number in numbers:
            session = self.people.session(number)
            began = time.perf_counter()
            kept = await self.store.get(session.id)
            read = time.perf_counter()
            new = rotated(kept, now)
            write = time.perf_counter()
            assert await self.store.replace(kept, new)
            wrote = time.perf_counter() - write
            self.times["get"].append(read - began)
            self.times["replace"].append(wrote)
            self.times["refresh"].append(read - began + wrote)
        if self.place.wal:
            self.wal.append((await self.place.wal() - logged) / len(numbers))

    async def find(self, numbers: Sequence[int]) -> None:
        """List the sessions of the subjects of *numbers*."""
        for number in numbers:
            subject = self.people.subject(number)
            began = time.perf_counter()
            found = await self.store.find(subject)
            self.times["find"].append(time.perf_counter() - began)
            assert 1 <= len(found) <= 3

    async def poll(self) -> None:
        """Ask for revocations where there are no new ones."""
        for _ in range(POLLS):
            began = time.perf_counter()
            entries, self.cursor = await self.store.revocations(self.cursor)
            self.times["revocations"].append(time.perf_counter() - began)
            assert entries == []

    async def purge(self, first: int) -> None:
        """Purge when `ENDED` sessions from number *first* on have ended; entries, in Redis."""
        now = self.people.now
        if self.place.name == "redis":  # where sessions go by themselves
            over = Revocation("gone", now - 1200.0, now - 600.0)
            await asyncio.gather(*(self.store.revoke(f"no {n}", over) for n in range(ENDED)))
        else:
            await self.place.load(map(self.people.ended, range(first, first + ENDED)))
        began = time.perf_counter()
        dropped = await self.store.purge(now)
        self.times["purge"].append(time.perf_counter() - began)
        assert dropped == ENDED, f"{dropped} dropped"
        while (read := await self.store.revocations(self.cursor))[0]:
            self.cursor = read[1]

    async def use_for_hours(self) -> None:
        """Rotate a few sessions on and on, and see how many rows were updated in place."""
        if self.place.updates is None:
            return
        now, rows, in_place = self.people.now + 3600.0, 0, 0
        kept = [await self.store.get(self.people.session(n).id) for n in range(ACTIVE)]
        for turn in range(int(HOURS * 3600 / REFRESH_EVERY)):
            for index, session in enumerate(kept):
                kept[index] = rotated(session, now + turn * REFRESH_EVERY)
                assert await self.store.replace(session, kept[index])
            if turn == 0:  # from a long sleep to use, which counts for nothing
                rows, in_place = await self.place.updates()
        rows_after, in_place_after = await self.place.updates()
        self.hot = (in_place_after - in_place) / (rows_after - rows)


async def _measure(name: str, sizes: Sequence[int], rounds: int) -> None:
    async with AsyncExitStack() as stack:
        scaled = []
        for number, count in enumerate(sizes):
            try:
                where = await stack.enter_async_context(place(name, number))
            except MissingServerError as missing:
                print(f"{name} is left out: {missing}\n")
                return
            scaled.append(Scaled(where, count, People(time.time(), seed=number)))
            await scaled[-1].load()
        print(f"### {name}: {await scaled[0].place.about() or 'in this process'}\n")
        before, dice = load_average(), random.Random(1)
        for number in range(rounds):
            turn = number % len(scaled)
            for one in scaled[turn:] + scaled[:turn]:
                chosen = [dice.randrange(one.count) for _ in range(REFRESHES + FINDS)]
                await one.refresh(chosen[:REFRESHES], one.people.now + number)
                await one.find(chosen[REFRESHES:])
                await one.poll()
                if number % PURGE_IN == 0:
                    await one.purge(one.count + number * ENDED)
        for one in scaled:
            one.grown = await one.place.size() / one.count
            await one.use_for_hours()
        print(f"{rounds} rounds; before: {before}; after: {load_average()}\n")
        _print(scaled)


def _print(scaled: Sequence[Scaled]) -> None:
    least, most = scaled[0], scaled[-1]
    head = ["p50, µs", *(f"{one.count:,} sessions" for one in scaled), "ratio", f"goal {GOAL}"]
    head += ["ratio at p10"]
    rows: list[list[str]] = []
    for name in OPERATIONS:
        ratio = p50(most.times[name]) / p50(least.times[name])
        cells = [f"{p50(one.times[name]):.0f}" for one in scaled]
        fast = p10(most.times[name]) / p10(least.times[name])
        met = "met" if ratio <= GOAL else "missed"
        rows.append([name, *cells, f"{ratio:.2f}", met, f"{fast:.2f}"])
    print(table(head, rows))
    head = ["", *(f"{one.count:,} sessions" for one in scaled)]
    rows = [
        ["bytes per session, loaded", *(f"{one.size:.0f}" for one in scaled)],
        ["after the rounds", *(f"{one.grown:.0f}" for one in scaled)],
        ["loaded in, s", *(f"{one.loading:.0f}" for one in scaled)],
    ]
    if most.place.wal:
        few = max(1, len(most.wal) // 10)
        for what, part in (("first", slice(few)), ("last", slice(-few, None))):
            label = f"WAL bytes per refresh, median of the {what} {few} rounds"
            rows.append([label, *(f"{statistics.median(one.wal[part]):.0f}" for one in scaled)])
    if most.hot is not None:
        label = f"updated in place (HOT), {HOURS} h of use"
        rows.append([label, *(f"{one.hot:.0%}" for one in scaled)])
    print(table(head, rows))


STORES = ["redis", "sqlite", "postgresql"]


def main(options: Namespace) -> None:
    """Measure, and print two tables for each store."""
    print(Result("scale").where() + "\n")
    rounds = options.rounds or (20 if options.quick else 200)
    sessions = options.sessions or ([1_000, 10_000] if options.quick else [100_000, 1_000_000])
    for name in options.stores or STORES:
        asyncio.run(_measure(name, sorted(sessions), rounds))
