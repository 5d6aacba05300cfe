"""How many calls of the store a request makes: counted, not timed."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import anyio

from asgi_refresh import Issuer, MemoryStore, RefreshMiddleware
from benchmarks.browser import CLAIMS, SECRET, Browser, Clock, bare, quiet
from benchmarks.people import REFRESH_EVERY
from benchmarks.results import Result

REQUESTS = 1000


class Counted:
    """A store whose calls are counted, by name."""

    def __init__(self, store: Any) -> None:
        self._store, self.trips = store, Counter[str]()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def call(*arguments: Any) -> Any:
            self.trips[name] += 1
            return await method(*arguments)

        return call


def run() -> Result:
    """Count the trips of the hot path between two polls, and of one rotation."""
    return Result("trips", figures=anyio.run(_count))


async def _count() -> dict[str, float]:
    clock, counted = Clock(time.time()), Counted(MemoryStore())
    issuer = Issuer(SECRET, store=counted, on_event=quiet, clock=clock)
    browser = Browser(RefreshMiddleware(bare, issuer), await issuer.issue("alice", CLAIMS))
    clock.now += REFRESH_EVERY
    await browser.get()  # which polls as well
    counted.trips.clear()
    for _ in range(REQUESTS):
        clock.now += 0.9 / REQUESTS
        assert await browser.get() == 0
    hot = counted.trips.total()
    clock.now += REFRESH_EVERY
    counted.trips.clear()
    assert await browser.get() == 2, "no rotation"
    del counted.trips["revocations"]  # the poll, which the requests of a second share
    return {"trips, hot": hot, "trips, rotation": counted.trips.total()}
