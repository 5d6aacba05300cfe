"""
A soak: clients, workers that are killed, and a store behind which something else goes wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import sys
import tempfile
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .app import REFRESH, Settings
from .backends import Backend, close
from .client import Client
from .ledger import Diary, Ledger, Report, faults, generation_of
from .proxy import Proxy, trouble
from .workers import Separate, Uvicorn, Workers


@dataclass(frozen=True, kw_only=True)
class Plan:
    """
    How long, and against what.

    Attributes:
        store: The name of a store, or its URL.
        refreshes: Accepted refreshes to reach.
        kills: SIGKILLs to reach.
        drops: Responses to read and throw away.
        workers: "separate" or "uvicorn".
        grace: `rotation_grace` in seconds.
        proxy: Whether there is trouble between workers and store.
        clients: How many browsers.
        burst: The least and the most requests at once.
        seconds: When to give up.
        pause: Seconds between two kills.
        seed: Of everything random.
        until_red: Whether to end at the first sign-out.
        tell: Whether to say every now and then how far it is.
    """

    store: str = "sqlite"
    refreshes: int = 10_000
    kills: int = 100
    drops: int = 500
    workers: str = "separate"
    grace: float = 2.0
    proxy: bool = False
    clients: int = 20
    burst: tuple[int, int] = (8, 50)
    seconds: float = 420.0
    pause: float = 1.0
    seed: int = 0
    until_red: bool = False
    tell: bool = False

    @property
    def slow(self) -> float:
        """Seconds after which a request has been on its way for too long; with no grace, never."""
        return self.grace or 1e6

    @property
    def timeout(self) -> float:
        """`store_timeout`: short, so that a stall of the store delays no response by a grace."""
        return max(0.4, min(self.grace / 5, 1.0)) if self.proxy else 1.0

    @property
    def poll(self) -> float:
        return 0.2

    @property
    def bound(self) -> float:
        """Seconds after which a revocation bites everywhere, and a little more."""
        return self.poll + self.timeout + 0.3


class Run:
    """
    A plan that is being carried out.

    Attributes:
        plan: What was asked for.
        ledger: What happened so far.
        workers: What serves.
        begun: Set whenever a client sends a burst.
        is_over: Whether enough has happened, or too long a time has passed.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.ledger = plan, Ledger()
        self.begun = asyncio.Event()
        self._over = asyncio.Event()
        self._rng = random.Random(plan.seed)
        self._later: set[asyncio.Task[None]] = set()
        self._log = folder / "events"
        self.backend = Backend.named(plan.store, f"soak_{secrets.token_hex(4)}", folder)
        self._proxy = Proxy(*self.backend.address) if plan.proxy else None
        self.workers: Workers

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    async def rest(self, seconds: float) -> None:
        """Do nothing for that long, or until it is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do *work* besides, before the end."""
        task = asyncio.create_task(work)
        self._later.add(task)

    async def carry_out(self) -> Report:
        try:
            await self.backend.prepare()
            backend = self.backend
            if self._proxy is not None:
                backend = backend.at(await self._proxy.start())
            self.workers = self._make_workers(backend)
            await self.workers.start()
            return await self._soak()
        finally:
            if hasattr(self, "workers"):
                await self.workers.stop()
            if self._proxy is not None:
                await self._proxy.stop()
            await self.backend.clean()

    def _make_workers(self, backend: Backend) -> Workers:
        plan = self.plan
        settings = Settings(
            url=backend.url,
            prefix=backend.prefix,
            log=str(self._log),
            grace=plan.grace,
            # Browsers drop the cookie up to a second earlier: at twice the grace.
            lifetime=max(2.0, 2 * plan.grace + 1),
            poll=plan.poll,
            timeout=plan.timeout,
            slow=plan.slow,
        )
        kind = Uvicorn if plan.workers == "uvicorn" else Separate
        return kind(settings.variable, backend.kind)

    async def _soak(self) -> Report:
        began = time.monotonic()
        clients = [
            Client(f"user{n}", self, self._rng.getrandbits(32)) for n in range(self.plan.clients)
        ]
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(client.live())
            group.create_task(self._kill())
            group.create_task(self._watch())
            if self._proxy is not None:
                group.create_task(trouble(self._proxy, self._rng, lambda: self.is_over))
        await asyncio.gather(*self._later)
        for client in clients:
            if client.session is not None:
                await client.burst(fair=True, most=4)
        took = time.monotonic() - began
        return await self._report(clients, took)

    async def _watch(self) -> None:
        began = time.monotonic()
        told = 0.0
        while not self.is_over:
            await asyncio.sleep(0.1)
            took = time.monotonic() - began
            if self.plan.tell and took >= told + 20:
                told, count = took, self.ledger.count
                done = f"{count['refreshes']} refreshes, {self.workers.kills} SIGKILLs"
                print(f"{took:.0f} s: {done}, {count['dropped']} dropped", file=sys.stderr)
            is_red = self.plan.until_red and bool(self.ledger.sign_outs)
            if is_red or self._is_reached() or took >= self.plan.seconds:
                self._over.set()

    def _is_reached(self) -> bool:
        plan, count = self.plan, self.ledger.count
        return (
            count["refreshes"] >= plan.refreshes
            and self.workers.kills >= plan.kills
            and count["dropped"] >= plan.drops
        )

    async def _kill(self) -> None:
        """Kill workers, preferably those that are about to rotate."""
        while not self.is_over:
            await asyncio.sleep(self.plan.pause)
            self.begun.clear()
            try:
                async with asyncio.timeout(1):
                    await self.begun.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(self._rng.random() * 0.06)
            await self.workers.kill_one(self._rng)

    async def _report(self, clients: list[Client], took: float) -> Report:
        plan, ledger, count = self.plan, self.ledger, self.ledger.count
        diary = Diary(self._log)
        numbers, details = faults(ledger, diary, plan.grace)
        risen, lost = await self._compare(clients)
        numbers["resurrected sessions"] = len(risen)
        numbers["sessions the store has lost"] = len(lost)
        numbers["counts not reached"] = int(not self._is_reached())
        details += [f"resurrected: {entry}" for entry in risen]
        details += [f"lost: {entry}" for entry in lost]
        facts: dict[str, object] = {
            "store": plan.store + (" behind a proxy" if plan.proxy else ""),
            "workers": f"4, {plan.workers}",
            "rotation_grace": f"{plan.grace} s",
            "seconds": round(took),
            "SIGKILLs": self.workers.kills,
            "requests answered": count["requests"],
            "refreshes accepted": count["refreshes"],
            "… of them without cookies": count["refreshes without cookies"],
            "rotations handed out": ledger.rotations(),
            "… recovered late": diary.count("recovered", "late"),
            "… recovered by a fork": diary.count("recovered", "fork"),
            "responses dropped": count["dropped"],
        }
        names = (
            "closed early", "connections lost", "connections refused", "bursts",
            "bursts without any response", "sign-ins", "sign-outs", "sign-outs answered 503",
            "probes after a sign-out", "access tokens tried later", "store unavailable",
        )  # fmt: skip
        facts |= {name: count[name] for name in names}
        if self._proxy is not None:
            facts |= {f"proxy: {name}": n for name, n in sorted(self._proxy.count.items())}
        facts["event store_unavailable"] = diary.count("store_unavailable")
        facts["event reused"] = diary.count("reused")
        facts["sessions set aside as slow"] = len(ledger.slow | diary.slow())
        facts["… of them signed out"] = len(ledger.sign_outs) - numbers["honest sign-outs"]
        return Report(facts, numbers, details)

    async def _compare(self, clients: list[Client]) -> tuple[list[str], list[str]]:
        """Return which sessions are there that must not be, and which are not that should be."""
        store = self.backend.open()
        try:
            ended = [sid for sid in self.ledger.ended if await store.get(sid) is not None]
            lost: list[str] = []
            for client in clients:
                if client.session is None:
                    continue
                kept = await store.get(client.session)
                held = generation_of(client.jar.values()[REFRESH])
                if kept is None or held not in (kept.current, kept.previous):
                    lost.append(f"{client.session} at {held}: {kept}")
            return ended, lost
        finally:
            await close(store)


def carry_out(plan: Plan) -> Report:
    """Carry out *plan* and return what came of it."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        return asyncio.run(Run(plan, Path(folder)).carry_out())
