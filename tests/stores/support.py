"""
The places where stores keep their sessions, one of each kind.

A `Place` is empty at first; every store that it opens shares what is in it, as the workers of an
application do.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import pytest
import sqlalchemy as sa
from redis.asyncio import Redis, RedisCluster
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from asgi_refresh import MemoryStore, Revocation, SQLiteStore
from asgi_refresh.stores import RedisStore, SQLAlchemyStore
from asgi_refresh.testing.samples import NOW

BOTH = ("asyncio", "trio")
LOOPS: dict[str, tuple[str, ...]] = {
    "memory": BOTH,
    "sqlite": BOTH,
    "redis": ("asyncio",),
    "redis-16": ("asyncio",),
    "valkey": ("asyncio",),
    "cluster": ("asyncio",),
    "asyncpg": ("asyncio",),
    "psycopg": ("asyncio",),
    "mariadb": ("asyncio",),
    "aiosqlite": ("asyncio",),
}
"""The kinds of places, and the event loops that their stores run on."""

ON_REDIS = ("redis", "redis-16", "valkey", "cluster")
ON_POSTGRESQL = ("asyncpg", "psycopg")
ON_SERVERS = (*ON_POSTGRESQL, "mariadb")
ON_SQL = (*ON_SERVERS, "aiosqlite")
KINDS = tuple(kind for kind in LOOPS if kind != "cluster")
"""What the files of tests run on; `test_cluster` does the same on the cluster."""

REDIS_URL = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379")
_POSTGRESQL = os.environ.get("TEST_POSTGRESQL_URL", "postgres@127.0.0.1/test")
_MARIADB = os.environ.get("TEST_MARIADB_URL", "root@127.0.0.1/test")
SQL_URLS = {
    "asyncpg": f"postgresql+asyncpg://{_POSTGRESQL}",
    "psycopg": f"postgresql+psycopg://{_POSTGRESQL}",
    "mariadb": f"mysql+asyncmy://{_MARIADB}",
}
_FAST: dict[str, dict[str, Any]] = {  # nothing here has to survive a power cut
    "asyncpg": {"server_settings": {"synchronous_commit": "off"}},
    "psycopg": {"options": "-c synchronous_commit=off"},
}
_numbers = itertools.count()
_created: set[tuple[str, str]] = set()


def kinds(*names: str) -> pytest.MarkDecorator:
    """Leave only these of the kinds that a module runs on."""
    return pytest.mark.kinds(*names)


def those_for(kind: str, *modules: ModuleType) -> dict[str, Any]:
    """The tests in *modules* that are for a place of this kind, by name."""
    found: dict[str, Any] = {}
    for module in modules:
        for name, value in vars(module).items():
            marks = [mark for mark in getattr(value, "pytestmark", ()) if mark.name == "kinds"]
            if name.startswith("test_") and all(kind in mark.args for mark in marks):
                found[name] = value
    return found


def ends(session_id: str = "s1", *, until: float = NOW + 600, **values: Any) -> Revocation:
    """An entry of the log; `session_id` need not be one that exists."""
    return Revocation(session_id, NOW, until, **values)


def unique(what: str = "t") -> str:
    """A name that no other test and no other worker has."""
    return f"{what}{os.getpid()}_{next(_numbers)}"


def make_engine(url: str, kind: str, **options: Any) -> AsyncEngine:
    connect = _FAST.get(kind, {}) | options.pop("connect_args", {})
    engine = create_async_engine(url, connect_args=connect, **options)
    if kind == "aiosqlite":

        @sa.event.listens_for(engine.sync_engine, "connect")
        def _(connection: Any, _record: Any) -> None:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = OFF")

    return engine


class Place:
    """
    Data of one kind, and the stores that share it.

    Args:
        kind: One of `LOOPS`.
        address: Ports of the servers that the tests run, or a URL, or None.
        folder: For files.
        prefix: What the names of tables begin with; they are made once and emptied for each test.
    """

    def __init__(self, kind: str, address: Any, folder: Path, *, prefix: str = "") -> None:
        self.kind, self.address, self.folder = kind, address, folder
        self.prefix = prefix or unique("st_")
        self.path = folder / "sessions.db"
        self._memory = MemoryStore()
        self._clients: list[Any] = []
        self._engines: list[AsyncEngine] = []
        self._opened: list[SQLiteStore] = []

    def open(self, **options: Any) -> Any:
        """Another store on the same data, with connections of its own."""
        if self.kind == "memory":
            return self._memory
        if self.kind == "sqlite":
            self._opened.append(SQLiteStore(self.path, **options))
            return self._opened[-1]
        if self.kind in ON_REDIS:
            shards = 16 if self.kind == "redis-16" else 0
            return RedisStore(self.client(), prefix=self.prefix, **({"shards": shards} | options))
        return SQLAlchemyStore(self.engine(**options), prefix=self.prefix)

    def client(self, **options: Any) -> Any:
        """A client of the Redis, Valkey or cluster."""
        if self.kind == "cluster":
            client: Any = RedisCluster("127.0.0.1", self.address[0], **options)
        elif self.kind == "valkey":
            client = Redis(port=self.address, **options)
        else:
            client = Redis.from_url(self.address, **options)
        self._clients.append(client)
        return client

    @property
    def url(self) -> str:
        return f"sqlite+aiosqlite:///{self.path}" if self.kind == "aiosqlite" else self.address

    def engine(self, **options: Any) -> AsyncEngine:
        """An engine with the pool of an application."""
        self._engines.append(make_engine(self.url, self.kind, **options))
        return self._engines[-1]

    async def prepare(self) -> None:
        """Make the tables that are missing, and empty what there is."""
        if self.kind not in ON_SQL:
            return
        store = self.open()
        made = (self.url, self.prefix)
        if made not in _created:
            await store.create_tables()
            if self.kind in ON_SERVERS:  # a file goes with its folder
                _created.add(made)
        await self.empty()

    async def empty(self) -> None:
        """Drop all sessions and the log; nobody has a cursor into it."""
        if self.kind in ON_SQL:
            store = SQLAlchemyStore(self._engines[0], prefix=self.prefix)
            async with self._engines[0].begin() as connection:
                for table in (store._sessions, store._log):
                    await connection.execute(sa.delete(table))
                await connection.execute(sa.update(store._shards).values(number=0))
        elif self.kind in ON_REDIS:
            client = self._clients[0]
            keys = [key async for key in client.scan_iter(f"{{{self.prefix}:*", count=10_000)]
            for key in keys:
                await client.delete(key)

    async def drop_tables(self) -> None:
        store = self.open()
        async with store._engine.begin() as connection:
            await connection.run_sync(store.metadata.drop_all)
        _created.discard((self.url, self.prefix))

    async def aclose(self) -> None:
        """Close every connection; keys in Redis go, tables stay for the next test."""
        for opened in self._opened:
            opened.close()
        if self._clients:
            await self.empty()
        for client in self._clients:
            await client.aclose()
        for engine in self._engines:
            await engine.dispose()


def drop_all_tables() -> None:
    """Drop the tables of this process, whatever test made them."""

    async def main() -> None:
        for url, prefix in _created:
            engine = create_async_engine(url)
            metadata = SQLAlchemyStore(engine, prefix=prefix).metadata
            async with engine.begin() as connection:
                await connection.run_sync(metadata.drop_all)
            await engine.dispose()
        _created.clear()

    if _created:
        anyio.run(main)


def names_of(entries: Iterable[Revocation]) -> list[str]:
    return sorted(entry.session_id for entry in entries)
