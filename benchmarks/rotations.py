"""
What a rotation costs on each store: in time, trips and bytes.

    python -m benchmarks stores [--quick] [--rounds N] [--sessions N] [--stores NAME …]

The real thing: `RefreshMiddleware` in front of a bare application, browsers whose access token is
about to end because the clock has moved on, a store that holds many other sessions. In every
round each store serves the same requests, in rotated order. Times contain the library, the
driver and the server, all on this machine; believe their ratios.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
import tracemalloc
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta

from asgi_refresh import Config, Issuer, MemoryStore, RefreshMiddleware, Revocation
from asgi_refresh.denylist import Denylist
from benchmarks.browser import CLAIMS, SECRET, Browser, Clock, bare, quiet
from benchmarks.counted import Counted
from benchmarks.databases import place
from benchmarks.people import REFRESH_EVERY, People, rotated
from benchmarks.places import MissingServerError, Place, fill
from benchmarks.report import load_average, p50, table
from benchmarks.results import Result

BROWSERS, PARALLEL, SAMPLES, HOT, ENTRIES = 40, 20, 100, 1000, 1000
# Nothing fails for the noise of this machine.
CONFIG = Config(store_timeout=timedelta(seconds=30))


@dataclass
class Site:
    """An application on one store: its browsers, and what was measured of it."""

    place: Place
    size: float
    clock: Clock
    counted: Counted
    browsers: list[Browser]
    alone: list[float] = field(default_factory=list)
    together: list[float] = field(default_factory=list)
    get: list[float] = field(default_factory=list)
    replace: list[float] = field(default_factory=list)
    wal: list[float] = field(default_factory=list)
    own_cpu: list[float] = field(default_factory=list)
    server_cpu: float = 0.0
    entry: float = 0.0
    trips: Counter[str] = field(default_factory=Counter)
    shared: Counter[str] = field(default_factory=Counter)

    async def rotate(self) -> None:
        """Rotate every browser's session once, one after the other: two trips each."""
        logged = await self.place.wal() if self.place.wal else 0
        self._later()
        began, worked = time.perf_counter(), time.process_time()
        for browser in self.browsers:
            assert await browser.get() == 2, "no rotation"
        self.own_cpu.append((time.process_time() - worked) / len(self.browsers))
        self.alone.append(len(self.browsers) / (time.perf_counter() - began))
        self.trips += self.counted.trips
        if self.place.wal:
            self.wal.append((await self.place.wal() - logged) / len(self.browsers))

    async def rotate_together(self) -> None:
        """Rotate the sessions of many browsers at the same time."""
        self._later()
        began = time.perf_counter()
        for first in range(0, len(self.browsers), PARALLEL):
            some = self.browsers[first : first + PARALLEL]
            assert set(await asyncio.gather(*(one.get() for one in some))) == {2}, "no rotation"
        self.together.append(len(self.browsers) / (time.perf_counter() - began))

    async def rotate_shared(self) -> None:
        """Let one browser load a page with many parallel requests: one rotation."""
        self._later()
        requests = (self.browsers[0].get() for _ in range(PARALLEL))
        assert set(await asyncio.gather(*requests)) == {2}, "a request came back without cookies"
        self.shared += self.counted.trips

    async def operate(self, people: People, number: int) -> None:
        """Do the two operations of a rotation without the library, on a session of *people*."""
        store, session = self.place.store, people.session(number)
        began = time.perf_counter()
        kept = await store.get(session.id)
        read = time.perf_counter()
        new = rotated(kept, self.clock())
        write = time.perf_counter()
        assert await store.replace(kept, new)
        self.replace.append(time.perf_counter() - write)
        self.get.append(read - began)

    async def server_work(self) -> float:
        """Return the seconds that the server has worked."""
        return await self.place.cpu() if self.place.cpu else 0.0

    async def measure_log(self) -> None:
        """Log many revocations, and see what one takes."""
        if self.place.log_size is None:
            return
        empty, now = await self.place.log_size(), self.clock()
        for first in range(0, ENTRIES, PARALLEL):
            ids = [f"{number:032x}" for number in range(first, first + PARALLEL)]
            entries = (Revocation(number, now, now + 610.0, access_from=7) for number in ids)
            await asyncio.gather(*(self.place.store.revoke(e.session_id, e) for e in entries))
        self.entry = (await self.place.log_size() - empty) / ENTRIES

    async def check_hot_path(self) -> tuple[int, int]:
        """Return the trips of many requests between two polls, and of ten seconds of requests."""
        self._later()
        await self.browsers[0].get()
        await self.browsers[0].get()
        self.counted.trips.clear()
        for _ in range(HOT):
            self.clock.now += 0.9 / HOT
            assert await self.browsers[0].get() == 0
        between = self.counted.trips.total()
        for _ in range(100):
            self.clock.now += 0.1
            await self.browsers[0].get()
        assert set(self.counted.trips) == {"revocations"}
        return between, self.counted.trips.total()

    def _later(self) -> None:
        self.clock.now += REFRESH_EVERY
        self.counted.trips.clear()


async def site(where: Place, people: People, sessions: int) -> Site:
    """Return an application on *where*, which then holds so many *sessions*."""
    empty = await where.size()
    await fill(where, people.session, sessions)
    size = (await where.size() - empty) / sessions
    clock, counted = Clock(people.now), Counted(where.store)
    issuer = Issuer(SECRET, store=counted, config=CONFIG, on_event=quiet, clock=clock)
    app = RefreshMiddleware(bare, issuer)
    signed_in = [await issuer.issue(f"user {n}", CLAIMS) for n in range(BROWSERS)]
    return Site(where, size, clock, counted, [Browser(app, tokens) for tokens in signed_in])


async def _run(names: Sequence[str], rounds: int, sessions: int) -> None:
    people, sites = People(time.time()), []
    async with AsyncExitStack() as stack:
        for name in names:
            try:
                where = await stack.enter_async_context(place(name))
            except MissingServerError as missing:
                print(f"{name} is left out: {missing}")
                continue
            sites.append(await site(where, people, sessions))
            print(f"{name}: {await where.about() or 'in this process'}")
        print()
        for one in sites:
            between, polls = await one.check_hot_path()
            assert between == 0, f"{one.place.name}: {between} trips on the hot path"
            print(f"{one.place.name}, hot path: {between} trips of {HOT} requests", end="")
            print(f" between polls of the revocations; {polls} polls in 10 s of requests")
        before = load_average()
        dice = random.Random(1)
        worked = [await one.server_work() for one in sites]
        for number in range(rounds):
            turn = number % len(sites)
            numbers = [dice.randrange(sessions) for _ in range(SAMPLES)]
            for one in sites[turn:] + sites[:turn]:
                await one.rotate()
                await one.rotate_together()
                await one.rotate_shared()
                for chosen in numbers:
                    await one.operate(people, chosen)
        for one, before_that in zip(sites, worked, strict=True):
            each = rounds * (2 * BROWSERS + SAMPLES + 2)  # what requests share is about two
            one.server_cpu = (await one.server_work() - before_that) / each
            await one.measure_log()
        print(f"\n{sessions} other sessions in each store, {rounds} rounds of {BROWSERS} browsers")
        print(f"before: {before}; after: {load_average()}\n")
        _print(sites, rounds)


def _print(sites: Sequence[Site], rounds: int) -> None:
    head = ["store", "rotations/s, one at a time", f"{PARALLEL} at a time", "get p50, µs"]
    head += ["replace p50, µs", "trips per rotation", f"trips of {PARALLEL} parallel requests"]
    head += ["CPU here per rotation, µs", "CPU of the server"]
    head += ["bytes per session", "bytes per log entry", "WAL bytes per rotation, least", "median"]
    rows = []
    for one in sites:
        trips = {name: count / rounds / BROWSERS for name, count in one.trips.items()}
        polls = one.trips.pop("revocations", 0) / rounds
        assert one.trips == {"get": rounds * BROWSERS, "replace": rounds * BROWSERS}, trips
        shared = one.shared.total() - one.shared["revocations"]
        wal = [f"{min(one.wal):.0f}", f"{statistics.median(one.wal):.0f}"] if one.wal else ["", ""]
        rows.append(
            [
                one.place.name,
                f"{statistics.median(one.alone):.0f}",
                f"{statistics.median(one.together):.0f}",
                f"{p50(one.get):.0f}",
                f"{p50(one.replace):.0f}",
                f"{one.trips.total() / rounds / BROWSERS:g}",
                f"{shared / rounds:.1f}",
                f"{p50(one.own_cpu):.0f}",
                f"{one.server_cpu * 1e6:.0f}" if one.server_cpu else "",
                f"{one.size:.0f}",
                f"{one.entry:.0f}" if one.entry else "",
                *wal,
            ]
        )
    print(table(head, rows))
    print("A trip is a call of the store. Polls of the revocations, which the requests of a second")
    print(f"share, are not counted: {polls:g} for the {BROWSERS} rotations of a round.")
    print(f"An entry of the log takes {_remembered():.0f} bytes in each process that follows it.")


def _remembered() -> float:
    denylist = Denylist(MemoryStore(), time.time, max_age=1.0)
    tracemalloc.start()
    for number in range(10 * ENTRIES):
        at = 1e9 + number
        denylist.note(Revocation(f"{number:032x}", at, at + 610.0, access_from=number + 1000))
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return taken / (10 * ENTRIES)


STORES = ["memory", "sqlite", "redis", "postgresql", "postgresql-psycopg", "mariadb"]


def main(options: Namespace) -> None:
    """Measure, and print the table."""
    print(Result("stores").where() + "\n")
    sessions = (options.sessions or [1_000 if options.quick else 20_000])[0]
    rounds = options.rounds or (2 if options.quick else 9)
    asyncio.run(_run(options.stores or STORES, rounds, sessions))
