"""
The store in the application's own database, through SQLAlchemy's asyncio engine.

What must be one step is one statement, or one transaction that begins by locking the log: entries
get their numbers in the order in which their transactions commit, so whoever reads up to a number
has seen everything before it. The log is in a few shards, each with a counter row as its lock, so
that writers seldom wait for one another.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from asgi_refresh.sessions import FIELDS, Revocation, Session, from_row
from asgi_refresh.store import BATCH

from .tables import HOUR, ends_hour, make_tables, values_of

_SHARDS: Final = 8


class SQLAlchemyStore:
    """
    Keeps sessions in three tables of the application's database. On asyncio only.

    PostgreSQL (asyncpg, psycopg), MySQL and MariaDB (asyncmy, aiomysql), SQLite (aiosqlite). All
    reads and writes must go to one primary.

    Args:
        engine: The application's own; its pool and its connections' settings are used. Or a URL
            with an asyncio driver, for which an engine is made.
        prefix: What the tables' names begin with.

    Attributes:
        metadata: The tables, for Alembic's autogenerate and for `create_tables`.
    """

    def __init__(self, engine: AsyncEngine | str, *, prefix: str = "asgi_refresh_") -> None:
        self._owns = isinstance(engine, str)
        if isinstance(engine, str):
            engine = create_async_engine(engine)
        self._engine = engine
        self.metadata = sa.MetaData()
        self._sessions, self._log, self._shards = make_tables(self.metadata, prefix)
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        # Stricter levels answer a lost race with an error where False is wanted.
        sqlite = engine.dialect.name == "sqlite"
        self._steps = (
            engine if sqlite else engine.execution_options(isolation_level="READ COMMITTED")
        )
        table = self._sessions
        self._row = sa.select(*(table.c[name] for name in FIELDS))
        self._update = sa.update(table).where(
            table.c.id == sa.bindparam("old_id"), table.c.version == sa.bindparam("old_version")
        )

    def __repr__(self) -> str:
        return f"<SQLAlchemyStore {self._engine.dialect.name}, {self._sessions.name}>"

    async def create_tables(self) -> None:
        """Create the tables that are missing; several processes may do so together."""
        for attempt in range(5):
            try:
                async with self._engine.begin() as connection:
                    await connection.run_sync(self.metadata.create_all)
                    found = await connection.execute(sa.select(self._shards.c.shard))
                    missing = set(range(_SHARDS)) - {row.shard for row in found}
                    if missing:
                        rows = [{"shard": shard, "number": 0} for shard in sorted(missing)]
                        await connection.execute(sa.insert(self._shards), rows)
            except DBAPIError:  # another process was faster with one of them
                if attempt == 4:
                    raise
            else:
                return

    async def add(self, session: Session) -> None:
        """Keep a new session; `sqlalchemy.exc.IntegrityError` if its id exists."""
        async with self._single.connect() as connection:
            await connection.execute(sa.insert(self._sessions), values_of(session))

    async def get(self, session_id: str) -> Session | None:
        """Return the session; None if there is none."""
        async with self._single.connect() as connection:
            found = await connection.execute(self._row.where(self._sessions.c.id == session_id))
            row = found.first()
            return None if row is None else from_row(row)

    async def replace(
        self, old: Session, new: Session, revocation: Revocation | None = None
    ) -> bool:
        """Put *new* in the place of *old*; False if that is no longer what is kept."""
        if revocation is None:
            async with self._single.connect() as connection:
                return await self._replace(connection, old, new)
        async with self._steps.connect() as connection, connection.begin() as transaction:
            await self._remember(connection, old.id, [revocation])
            replaced = await self._replace(connection, old, new)
            if not replaced:
                await transaction.rollback()
            return replaced

    async def _replace(self, connection: AsyncConnection, old: Session, new: Session) -> bool:
        values = values_of(new)
        for name in ("id", "subject", "created_at"):
            del values[name]
        if ends_hour(old) == values["ends_hour"]:
            del values["ends_hour"]  # an index that is left alone keeps the update cheap
        update = self._update.values({name: sa.bindparam(name) for name in values})
        values |= {"old_id": old.id, "old_version": old.version}
        return (await connection.execute(update, values)).rowcount == 1

    async def revoke(self, session_id: str, revocation: Revocation) -> bool:
        """Delete the session and log *revocation*."""
        async with self._steps.begin() as connection:
            await self._remember(connection, session_id, [revocation])
            delete = sa.delete(self._sessions).where(self._sessions.c.id == session_id)
            return (await connection.execute(delete)).rowcount == 1

    async def revoke_subject(self, subject: str, revocation: Revocation) -> int:
        """Delete every session of *subject*, logging each."""
        table = self._sessions
        async with self._steps.begin() as connection:
            await self._lock(connection, subject)
            ids = sa.select(table.c.id).where(table.c.subject == subject).with_for_update()
            ended = list((await connection.execute(ids)).scalars())
            if ended:
                entries = [replace(revocation, session_id=session_id) for session_id in ended]
                await self._remember(connection, subject, entries)
                delete = sa.delete(table).where(table.c.id == sa.bindparam("ended"))
                await connection.execute(delete, [{"ended": session_id} for session_id in ended])
            return len(ended)

    async def find(self, subject: str) -> list[Session]:
        """Return the sessions of *subject*."""
        async with self._single.connect() as connection:
            found = await connection.execute(self._row.where(self._sessions.c.subject == subject))
            return [from_row(row) for row in found]

    async def revocations(self, cursor: str | None) -> tuple[list[Revocation], str]:
        """
        Return what was logged since *cursor*: the last number seen in every shard.

        A counter that is behind it has been restored from a backup: its shard is read anew.
        """
        last = [int(number) for number in cursor.split()] if cursor else [0] * _SHARDS
        async with self._single.connect() as connection:
            counted = await connection.execute(sa.select(self._shards))
            counters: dict[int, int] = {row.shard: row.number for row in counted}
            since = {
                shard: last[shard] if last[shard] <= number else 0
                for shard, number in counters.items()
            }
            behind = [shard for shard, number in counters.items() if since[shard] < number]
            rows = await self._page(connection, since, behind) if behind else []
        if len(rows) < BATCH:
            since |= {shard: counters[shard] for shard in behind}
        for shard, number, *_ in rows:
            since[shard] = max(since[shard], number)
        entries = [Revocation(*values) for _, _, *values in rows]
        return entries, " ".join(str(since.get(shard, 0)) for shard in range(_SHARDS))

    async def _page(
        self, connection: AsyncConnection, since: dict[int, int], behind: list[int]
    ) -> list[tuple[Any, ...]]:
        log = self._log.c
        new = [sa.and_(log.shard == shard, log.number > since[shard]) for shard in behind]
        query = sa.select(self._log).where(sa.or_(*new)).order_by(log.shard, log.number)
        found = await connection.execute(query.limit(BATCH))
        return [tuple(row) for row in found]

    async def purge(self, now: float) -> int:
        """Drop up to `BATCH` sessions that ended, and as many revocations that are over."""
        table, log = self._sessions, self._log
        over = sa.or_(table.c.expires_at <= now, table.c.idle_expires_at <= now)
        ended = sa.select(table.c.id).where(table.c.ends_hour <= int(now // HOUR), over)
        # The BATCH-th oldest entry bounds what one statement deletes.
        bound = sa.select(log.c.until).order_by(log.c.until).offset(BATCH - 1).limit(1)
        async with self._single.connect() as connection:
            ids = list((await connection.execute(ended.limit(BATCH))).scalars())
            sessions = sa.delete(table).where(table.c.id.in_(ids), over)
            dropped = (await connection.execute(sessions)).rowcount if ids else 0
            until = (await connection.execute(bound)).scalar()
            entries = sa.delete(log).where(log.c.until <= min(now, now if until is None else until))
            return dropped + (await connection.execute(entries)).rowcount

    async def close(self) -> None:
        """Close the connections, where the store was made from a URL."""
        if self._owns:
            await self._engine.dispose()

    async def _lock(self, connection: AsyncConnection, near: str, count: int = 0) -> int:
        """Lock the shard of the log for *near* until the end of the transaction; count on."""
        shard, table = zlib.crc32(near.encode()) % _SHARDS, self._shards
        counter = table.c.shard == shard
        update = sa.update(table).where(counter).values(number=table.c.number + count)
        if (await connection.execute(update)).rowcount != 1:
            raise RuntimeError(f"{table.name} has no row for shard {shard}: run create_tables()")
        return shard

    async def _remember(
        self, connection: AsyncConnection, near: str, entries: Iterable[Revocation]
    ) -> None:
        logged = list(entries)
        shard = await self._lock(connection, near, len(logged))
        counter = sa.select(self._shards.c.number).where(self._shards.c.shard == shard)
        last = (await connection.execute(counter)).scalar_one()
        rows = [
            {
                "shard": shard,
                "number": last - len(logged) + place,
                "session_id": entry.session_id,
                "at": entry.at,
                "until": entry.until,
                "access_from": entry.access_from,
                "jti": entry.jti,
            }
            for place, entry in enumerate(logged, 1)
        ]
        await connection.execute(sa.insert(self._log), rows)
