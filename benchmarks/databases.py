"""PostgreSQL and MariaDB as places; see `places`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from asgi_refresh.sessions import Session
from asgi_refresh.stores import SQLAlchemyStore
from asgi_refresh.stores.tables import values_of
from benchmarks.places import MissingServerError, Place, memory, pages, redis, sqlite_file

POSTGRESQL = os.environ.get("TEST_POSTGRESQL_URL", "postgres@127.0.0.1/test")
MARIADB = os.environ.get("TEST_MARIADB_URL", "root@127.0.0.1/test")
URLS = {
    "postgresql": f"postgresql+asyncpg://{POSTGRESQL}",
    "postgresql-psycopg": f"postgresql+psycopg://{POSTGRESQL}",
    "mariadb": f"mysql+asyncmy://{MARIADB}",
}
_POOL = 20


def _named(name: str, prefix: str) -> dict[str, Any]:
    if name == "postgresql":
        return {"server_settings": {"application_name": prefix}}
    return {} if name == "mariadb" else {"application_name": prefix}


class Database:
    """
    A store's tables under a prefix of their own, and what is asked about them.

    Args:
        name: One of `URLS`.
        prefix: What the tables' names begin with.
    """

    def __init__(self, name: str, prefix: str) -> None:
        self.name, self._prefix = name, prefix
        self.engine = create_async_engine(
            URLS[name], pool_size=_POOL, connect_args=_named(name, prefix)
        )
        self.store = SQLAlchemyStore(self.engine, prefix=prefix)
        self._rows = self.store._sessions
        self._single = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    async def load(self, sessions: Iterable[Session]) -> None:
        """Add *sessions*: COPY through asyncpg, else the store's own INSERT for many at a time."""
        names = [column.name for column in self._rows.columns]
        for page in pages(sessions):
            async with self.engine.begin() as connection:
                if self.name == "postgresql":
                    raw = (await connection.get_raw_connection()).driver_connection
                    rows = [tuple(map(values_of(session).__getitem__, names)) for session in page]
                    await raw.copy_records_to_table(self._rows.name, records=rows, columns=names)
                else:
                    await connection.execute(sa.insert(self._rows), list(map(values_of, page)))

    async def settle(self) -> None:
        """Do what autovacuum does where it is on, and write what is dirty."""
        if self.name == "mariadb":
            await self._run(f"ANALYZE TABLE {self._rows.name}")
        else:
            await self._run(f"VACUUM ANALYZE {self._rows.name}")
            await self._run(f"VACUUM ANALYZE {self.store._log.name}")
            await self._run("CHECKPOINT")

    async def size(self) -> int:
        """Return the bytes of the table of sessions and its indexes."""
        return await self._size(self._rows.name)

    async def log_size(self) -> int:
        """Return the same of the log of revocations."""
        return await self._size(self.store._log.name)

    async def cpu(self) -> float:
        """Return the seconds that PostgreSQL's processes on this machine worked for this store."""
        activity = "SELECT pid FROM pg_stat_activity WHERE application_name = :name"
        async with self._single.connect() as connection:
            found = (await connection.execute(sa.text(activity), {"name": self._prefix})).scalars()
            return sum(map(_worked, found))

    async def about(self) -> str:
        """Return the version, and what a commit waits for."""
        if self.name == "mariadb":
            flush = await self._scalar("SELECT @@innodb_flush_log_at_trx_commit")
            return f"MariaDB {await self._scalar('SELECT version()')}, flush at commit {flush}"
        version = str(await self._scalar("SHOW server_version")).split()[0]
        names = ("synchronous_commit", "shared_buffers", "autovacuum")
        settings = [f"{name}={await self._scalar(f'SHOW {name}')}" for name in names]
        return f"PostgreSQL {version}, {', '.join(settings)}"

    async def wal(self) -> int:
        """Return how many bytes of write-ahead log there have been, other people's included."""
        return int(await self._scalar("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"))

    async def updates(self) -> tuple[int, int]:
        """Return how many rows were updated, and how many of these without touching an index."""
        await asyncio.sleep(1.5)  # backends report once a second
        async with self._single.connect() as connection:
            found = await connection.execute(
                sa.text(
                    "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = :name"
                ),
                {"name": self._rows.name},
            )
            row = found.one()
            return row[0], row[1]

    async def drop(self) -> None:
        """Drop the tables, and close the connections."""
        async with self.engine.begin() as connection:
            await connection.run_sync(self.store.metadata.drop_all)
        await self.engine.dispose()

    async def _size(self, table: str) -> int:
        if self.name != "mariadb":
            return int(await self._scalar(f"SELECT pg_total_relation_size('{table}')"))
        await self._run(f"ANALYZE TABLE {table}")
        return int(
            await self._scalar(
                "SELECT data_length + index_length FROM information_schema.tables"
                f" WHERE table_schema = database() AND table_name = '{table}'"
            )
        )

    async def _run(self, statement: str) -> None:
        async with self._single.connect() as connection:
            await connection.execute(sa.text(statement))

    async def _scalar(self, query: str) -> Any:
        async with self._single.connect() as connection:
            return (await connection.execute(sa.text(query))).scalar_one()


def _worked(pid: int) -> float:
    line = Path(f"/proc/{pid}/stat").read_text()
    return sum(map(int, line.rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def database(name: str, number: int = 0) -> AsyncIterator[Place]:
    """A `SQLAlchemyStore`, in tables that are dropped in the end."""
    here = Database(name, f"bench{os.getpid()}_{number}_{name[-7:]}_")
    try:
        await here.store.create_tables()
    except (OSError, DBAPIError) as error:
        await here.engine.dispose()
        raise MissingServerError(f"{type(error).__name__} at {here.engine.url}") from error
    own = name != "mariadb"
    try:
        yield Place(
            name, here.store, here.load, here.size, here.settle, here.about,
            wal=here.wal if own else None,
            updates=here.updates if own else None,
            log_size=here.log_size,
            cpu=here.cpu if own else None,
        )  # fmt: skip
    finally:
        await here.drop()


def place(name: str, number: int = 0) -> AbstractAsyncContextManager[Place]:
    """Return the place called *name*; *number* tells those of one kind apart."""
    makers = {"memory": memory, "sqlite": sqlite_file, "redis": redis}
    return makers[name]() if name in makers else database(name, number)
