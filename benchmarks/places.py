"""
Stores in places of their own, empty at first and gone in the end, and how to fill them fast.

What is loaded is what `Store.add` writes: by the store's own statement or script, in large
transactions and calls; samples are read back.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

from redis.asyncio import Redis

from asgi_refresh import MemoryStore, SQLiteStore
from asgi_refresh.sessions import Session, to_row
from asgi_refresh.stores import RedisStore, sqlite
from asgi_refresh.stores.lua import ADD

PAGE = 1_000


class MissingServerError(Exception):
    """A server that is needed is not there."""


async def nothing() -> str:
    """Do nothing."""
    return ""


@dataclass(frozen=True)
class Place:
    """
    A store, and what is measured from outside of it.

    Attributes:
        name: For tables.
        store: Empty at first.
        load: Adds many sessions.
        size: Returns the bytes that the sessions take, indexes included.
        settle: Called after loading: statistics, checkpoints; what an idle server does by itself.
        about: Returns the server's version and what decides how durable a write is.
        wal: Returns how many bytes of log the server has ever written; or None.
        updates: Returns how many rows were updated, and how many of these in place; or None.
        log_size: Returns the bytes that the log of revocations takes; or None.
        cpu: Returns the seconds that the server has worked for this store; or None.
    """

    name: str
    store: Any
    load: Callable[[Iterable[Session]], Awaitable[None]]
    size: Callable[[], Awaitable[int]]
    settle: Callable[[], Awaitable[object]] = nothing
    about: Callable[[], Awaitable[str]] = nothing
    wal: Callable[[], Awaitable[int]] | None = None
    updates: Callable[[], Awaitable[tuple[int, int]]] | None = None
    log_size: Callable[[], Awaitable[int]] | None = None
    cpu: Callable[[], Awaitable[float]] | None = None


async def fill(place: Place, make: Callable[[int], Session], count: int) -> None:
    """Load what *make* returns for each number, and read some back: it is what `add` keeps."""
    await place.load(map(make, range(count)))
    await place.settle()
    for session in map(make, range(0, count, count // 50)):
        assert await place.store.get(session.id) == session
        assert session in await place.store.find(session.subject)


def pages(sessions: Iterable[Session]) -> Iterator[tuple[Session, ...]]:
    """Return *sessions* in tuples of `PAGE`."""
    source = iter(sessions)
    while page := tuple(islice(source, PAGE)):
        yield page


@asynccontextmanager
async def memory() -> AsyncIterator[Place]:
    """A `MemoryStore`; its size is what the sessions were allocated."""
    store, taken = MemoryStore(), 0

    async def load(sessions: Iterable[Session]) -> None:
        nonlocal taken
        tracemalloc.start()
        try:
            for session in sessions:
                await store.add(session)
            taken += tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    async def size() -> int:
        return taken

    yield Place("memory", store, load, size)


@asynccontextmanager
async def sqlite_file() -> AsyncIterator[Place]:
    """A `SQLiteStore` on the disk of the temporary folder; its size is that of the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sessions.db"
        store = SQLiteStore(path)

        async def load(sessions: Iterable[Session]) -> None:
            with closing(sqlite._open(path, 1.0)) as db:
                db.execute("PRAGMA synchronous = OFF")
                db.execute("PRAGMA cache_size = -1000000")
                for page in pages(sessions):
                    db.execute("BEGIN IMMEDIATE")
                    db.executemany(sqlite._INSERT, map(to_row, page))
                    db.execute("COMMIT")

        async def settle() -> None:
            with closing(sqlite3.connect(path)) as db:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            os.sync()

        async def size() -> int:
            return path.stat().st_size if path.exists() else 0

        async def about() -> str:
            return f"SQLite {sqlite3.sqlite_version}, WAL, synchronous=FULL"

        try:
            yield Place("sqlite", store, load, size, settle, about)
        finally:
            store.close()


_ADD_MANY = f"""
local function add(KEYS, ARGV) {ADD._text} end
local added = 0
for i = 1, #ARGV, 8 do
    local values = {{unpack(ARGV, i + 2, i + 7)}}
    added = added + add({{ARGV[i], ARGV[i + 1]}}, values)
end
return added
"""


class _Queue:
    """In place of a client: keeps what `RedisStore.add` gives its script, for many at a time."""

    def __init__(self) -> None:
        self.arguments: list[Any] = []

    async def evalsha(self, digest: str, keys: int, *arguments: Any) -> int:
        assert (keys, len(arguments)) == (2, 8)
        self.arguments += arguments
        return 1


@asynccontextmanager
async def redis() -> AsyncIterator[Place]:
    """A `RedisStore` on a server of its own; its size is the difference in `used_memory`."""
    with _redis_server() as port:
        url = f"redis://127.0.0.1:{port}"
        store, client = RedisStore(url), Redis.from_url(url)
        empty = int((await client.info("memory"))["used_memory"])

        async def load(sessions: Iterable[Session]) -> None:
            queue = _Queue()
            writer = RedisStore(cast("Any", queue))
            for page in pages(sessions):
                for session in page:
                    await writer.add(session)
                assert await client.eval(_ADD_MANY, 0, *queue.arguments) == len(page)
                queue.arguments.clear()

        async def size() -> int:
            return int((await client.info("memory"))["used_memory"]) - empty

        async def about() -> str:
            return f"Redis {(await client.info('server'))['redis_version']}, nothing on disk"

        async def cpu() -> float:
            used = await client.info("cpu")
            return float(used["used_cpu_user"] + used["used_cpu_sys"])

        try:
            yield Place("redis", store, load, size, nothing, about, log_size=size, cpu=cpu)
        finally:
            await client.aclose()
            await store.close()


@contextmanager
def _redis_server() -> Iterator[int]:
    """Run a server that keeps nothing on a free port of this machine, and end it."""
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    if binary is None:
        raise MissingServerError("there is no redis-server")
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    with tempfile.TemporaryDirectory() as folder:
        command = [binary, *options, "--dir", folder, "--daemonize", "no"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            _wait_for(port)
            yield port
        finally:
            process.terminate()
            process.wait()


def _wait_for(port: int) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise MissingServerError("redis-server did not start")
