"""
The processes that serve: four of their own, or one uvicorn with four workers.

They run in a process group of their own, which is killed as a whole at the end.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

from . import wire

COUNT = 4
_ROOT = Path(__file__).parents[2]
_LIBRARIES = {
    "redis": ["redis.asyncio", "asgi_refresh.stores.redis"],
    "sqlite": [],
    "postgresql": ["asyncpg", "sqlalchemy.dialects.postgresql", "asgi_refresh.stores.sqlalchemy"],
    "mysql": ["asyncmy", "sqlalchemy.dialects.mysql", "asgi_refresh.stores.sqlalchemy"],
}


class Workers(ABC):
    """
    What serves the application.

    Attributes:
        ports: Where.
        kills: How many workers have been killed.
    """

    def __init__(self, environment: Mapping[str, str], store: str) -> None:
        self.ports: list[int] = []
        self.kills = 0
        self._environment = {**os.environ, **environment}
        self._store = store
        self._process: asyncio.subprocess.Process | None = None

    @abstractmethod
    async def start(self) -> None:
        """Start them, and wait until every one answers."""

    @abstractmethod
    async def kill_one(self, rng: random.Random) -> None:
        """Kill one of them at random with SIGKILL, and see to it that another takes its place."""

    async def stop(self) -> None:
        if self._process is not None:
            kill_group(self._process.pid)
            await self._process.wait()
            self._process._transport.close()

    async def _run(self, *arguments: str) -> asyncio.subprocess.Process:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=_ROOT,
            env=self._environment,
            start_new_session=True,
        )
        return self._process


class Separate(Workers):
    """Four servers on four ports, which know nothing of one another."""

    async def start(self) -> None:
        libraries = _LIBRARIES.get(self._store, [])
        await self._run("-m", "tests.soak.zygote", *libraries)
        self.ports = free_ports(COUNT)
        self._pids = [await self._fork(port) for port in self.ports]
        for port in self.ports:
            await answering(port)

    async def kill_one(self, rng: random.Random) -> None:
        place = rng.randrange(COUNT)
        os.kill(self._pids[place], signal.SIGKILL)
        self.kills += 1
        await gone(self._pids[place])
        self._pids[place] = await self._fork(self.ports[place])

    async def _fork(self, port: int) -> int:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"%d\n" % port)
        async with asyncio.timeout(30):
            return int(await process.stdout.readline())


class Uvicorn(Workers):
    """`uvicorn --workers 4`, whose master starts a new worker for a dead one."""

    async def start(self) -> None:
        self.ports = free_ports(1)
        options = f"--factory --host 127.0.0.1 --port {self.ports[0]} --workers {COUNT}"
        quiet = "--log-level critical --no-access-log --lifespan off"
        await self._run("-m", "uvicorn", "tests.soak.app:create", *options.split(), *quiet.split())
        await answering(self.ports[0])
        for _ in range(600):
            if len(self._children()) == COUNT:
                return
            await asyncio.sleep(0.1)
        raise TimeoutError("the workers do not start")

    async def kill_one(self, rng: random.Random) -> None:
        children = self._children()
        if len(children) <= 1:  # let the master catch up
            return
        victim = rng.choice(children)
        os.kill(victim, signal.SIGKILL)
        self.kills += 1

    def _children(self) -> list[int]:
        """The living workers: the master has a helper process besides."""
        assert self._process is not None
        master = self._process.pid
        listing = Path(f"/proc/{master}/task/{master}/children").read_text()
        return [pid for pid in map(int, listing.split()) if _is_worker(pid)]


def _is_worker(pid: int) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return b"spawn_main" in command and b"resource_tracker" not in command and state != "Z"


def free_ports(count: int) -> list[int]:
    """Return ports on which nobody listens."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


async def answering(port: int) -> None:
    """Wait until somebody answers on *port*."""
    async with asyncio.timeout(60):
        while True:
            try:
                await wire.ask(port, "/me", {})
            except (ConnectionRefusedError, wire.Lost):
                await asyncio.sleep(0.05)
            else:
                return


async def gone(pid: int) -> None:
    """Wait until a killed process is no more: its port is free then."""
    async with asyncio.timeout(10):
        while True:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            await asyncio.sleep(0.001)


def kill_group(leader: int) -> None:
    """Kill the process group of a process started in a session of its own."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return
