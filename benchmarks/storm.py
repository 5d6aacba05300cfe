"""
The storm: all sessions refresh at once. What becomes of the requests that need no refresh?

A server on one core, an open-loop client on the other: each request has a time at which it is
sent, and its latency counts from that time, however long the ones before it took. The load is a
third of what this machine serves at that hour, or queues would be all there is to see. Half of it
is of sessions that need nothing, half of sessions that all fall due at one moment and ask once in a
second. The same again with the moments spread over ten seconds, as a jitter of the lifetime would
spread them; asgi_refresh has no setting for that, so the sessions were signed in at other times.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import subprocess
import sys
import time
from argparse import Namespace
from contextlib import suppress
from dataclasses import dataclass, field

from benchmarks.browser import BROWSER, NOISE
from benchmarks.goals import STORM, goals_table, missed
from benchmarks.report import table
from benchmarks.results import Result
from benchmarks.server import CLIENT_CORE, SERVER_CORE, UVICORN, end, free_port, wait_for

CONNECTIONS, BEFORE = 64, 3.0
LOAD = 1 / 3  # of what is served when every connection asks at once
PERCENTS = (50, 99, 99.9)
SPREADS = {"all at once": 0.0, "spread over 10 s": 10.0}
_SET = re.compile(rb"set-cookie: __Host-(access|refresh)=([^;\r]+)", re.IGNORECASE)


@dataclass
class Session:
    """One browser: its two cookies, and when it first asks."""

    access: str
    refresh: str
    phase: float

    def request(self) -> bytes:
        ours = [f"__Host-access={self.access}", f"__Host-refresh={self.refresh}"]
        fields = [*BROWSER, (b"cookie", "; ".join([*NOISE, *ours]).encode())]
        lines = b"".join(b"%s: %s\r\n" % pair for pair in fields)
        return b"GET /dashboard HTTP/1.1\r\n" + lines + b"\r\n"

    def take(self, head: bytes) -> bool:
        """Keep the cookies of a response; return whether there were any."""
        came = dict(_SET.findall(head))
        self.access = came.get(b"access", self.access.encode()).decode()
        self.refresh = came.get(b"refresh", self.refresh.encode()).decode()
        return bool(came)


@dataclass
class Latencies:
    """Milliseconds of the calm requests before the storm and in it, and of the refreshes."""

    before: list[float] = field(default_factory=list)
    during: list[float] = field(default_factory=list)
    refreshed: list[float] = field(default_factory=list)


class Wire(asyncio.Protocol):
    """A connection with one request under way at most."""

    def __init__(self) -> None:
        self._came, self._answer = b"", asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._came += data
        head, end, body = self._came.partition(b"\r\n\r\n")
        if end and len(body) == 2:  # the bare application's
            self._answer.set_result(head)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("the server closed it"))
            self._answer.exception()  # seen, whether or not somebody waits for it

    async def ask(self, request: bytes) -> bytes:
        """Send *request*; return the head of the answer."""
        assert self._transport is not None
        self._came, self._answer = b"", asyncio.get_running_loop().create_future()
        self._transport.write(request)
        head: bytes = await self._answer
        assert head.startswith(b"HTTP/1.1 200"), head
        return head

    def close(self) -> None:
        """Close it."""
        if self._transport is not None:
            self._transport.close()


def main(options: Namespace) -> Result:
    """Raise storms, with and without a spread in turns."""
    rounds = 1 if options.quick else options.rounds or 7
    port = free_port()
    command = ["taskset", "-c", SERVER_CORE, sys.executable, "-m", *UVICORN, str(port)]
    # Connections are idle for longer than the five seconds after which uvicorn closes one.
    command += ["--timeout-keep-alive", "300", "benchmarks.storming:app"]
    process = subprocess.Popen(command)
    taken = {name: Latencies() for name in SPREADS}
    cores = os.sched_getaffinity(0)
    try:
        wait_for(port, process)
        with suppress(OSError):  # a machine with one core; the figures are worth less there
            os.sched_setaffinity(0, {int(CLIENT_CORE)})
        served = asyncio.run(_capacity(port))
        sessions = 50 if options.quick else max(50, int(served * LOAD / 2))
        for _ in range(rounds):
            for name, spread in SPREADS.items():
                asyncio.run(_storm(port, sessions, spread, taken[name]))
    finally:
        os.sched_setaffinity(0, cores)
        end(process)
    note = f"{sessions} sessions of each kind, {rounds} storms of each; {served:.0f} requests/s"
    result = Result("storm", notes=[f"{note} were the most that it served"])
    for name, one in taken.items():
        for what, values in vars(one).items():
            for percent in PERCENTS:
                result.figures[f"{name}, {what}, p{percent:g}"] = round(_rank(values, percent), 3)
    result.missed = missed(STORM, result.figures)
    return result


def _rank(values: list[float], percent: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))]


async def _given(port: int, count: int, at: float, spread: float) -> dict[str, list[list[str]]]:
    """Return the cookies of new sessions of both kinds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    query = f"calm={count}&storm={count}&at={at}&spread={spread}"
    writer.write(f"GET /sessions?{query} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    answer = await reader.read(-1)
    writer.close()
    given: dict[str, list[list[str]]] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return given


async def _connected(port: int) -> asyncio.LifoQueue[Wire]:
    wires: asyncio.LifoQueue[Wire] = asyncio.LifoQueue()
    loop = asyncio.get_running_loop()
    for _ in range(CONNECTIONS):
        wires.put_nowait((await loop.create_connection(Wire, "127.0.0.1", port))[1])
    return wires


def _disconnect(wires: asyncio.LifoQueue[Wire]) -> None:
    while not wires.empty():
        wires.get_nowait().close()


async def _capacity(port: int) -> float:
    """Return how many requests a second are served when every connection asks on and on."""
    given, wires = await _given(port, 1, time.time() + 60, 0.0), await _connected(port)
    session, end, served = Session(*given["calm"][0], 0.0), time.time() + 3.0, 0

    async def ask() -> None:
        nonlocal served
        wire = await wires.get()
        while time.time() < end:
            await wire.ask(session.request())
            served += 1
        wires.put_nowait(wire)

    await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))
    _disconnect(wires)
    return served / 3.0


async def _storm(port: int, count: int, spread: float, latencies: Latencies) -> None:
    # Signing in takes the server a while; the storm begins well after it, on a whole second.
    at = float(int(time.time() + 4.0 + BEFORE + count / 500))
    given, wires = await _given(port, count, at, spread), await _connected(port)
    calm = [Session(*pair, random.random()) for pair in given["calm"]]
    storm = [Session(*pair, random.random()) for pair in given["storm"]]
    began, end = at - BEFORE, at + 1.0 + spread
    assert time.time() < began, "signing in took too long"
    seconds = range(int(end - began))
    moments = sorted(
        (began + second + one.phase, kind, number)
        for second in seconds
        for kind, some in enumerate((calm, storm))
        for number, one in enumerate(some)
    )

    async def ask(moment: float, kind: int, session: Session) -> None:
        wire = await wires.get()
        head = await wire.ask(session.request())
        took = (time.time() - moment) * 1e3
        wires.put_nowait(wire)
        if session.take(head):
            assert kind == 1, "a calm session was refreshed"
            latencies.refreshed.append(took)
        elif kind == 0:
            (latencies.before if moment < at else latencies.during).append(took)

    tasks = set()
    for moment, kind, number in moments:
        if (wait := moment - time.time()) > 0:
            await asyncio.sleep(wait)
        tasks.add(asyncio.create_task(ask(moment, kind, (calm, storm)[kind][number])))
    await asyncio.gather(*tasks)
    _disconnect(wires)
    assert len(latencies.refreshed) >= count, "not all were refreshed"


def show(result: Result) -> str:
    """Return a line for each kind of request of each kind of storm, and the goals."""
    labels = {"before": "calm, before", "during": "calm, in the storm", "refreshed": "refreshing"}
    rows = [
        [f"{name}: {label}", *(f"{result.figures[f'{name}, {what}, p{p}']:.2f}" for p in PERCENTS)]
        for name in SPREADS
        for what, label in labels.items()
    ]
    latencies = table(["latency, ms", *(f"p{percent:g}" for percent in PERCENTS)], rows)
    return f"{latencies}\n{'; '.join(result.notes)}.\n\n{goals_table(STORM, result.figures)}"
