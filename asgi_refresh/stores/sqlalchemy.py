"""
The store in the application's own database, through SQLAlchemy's asyncio engine.

What must be one step is one statement, or one transaction that begins by locking the log: entries
get their numbers in the order in which their transactions commit, so whoever reads up to a number
has seen everything before it. The log is in a few shards, each with a counter row as its lock, so
that writers seldom wait for one another.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import AsyncGenerator, Iterable
from dataclasses import replace
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from asgi_refresh.sessions import FIELDS, Revocation, Session, from_row
from asgi_refresh.store import BATCH

from .tables import HOUR, ends_hour, make_tables, values_of
from .whole import whole

_SHARDS: Final = 8
_LOST_RACE: Final = "40001"  # SQLSTATE serialization_failure


class SQLAlchemyStore:
    """
    Keeps sessions in three tables of the application's database. On asyncio only.

    PostgreSQL (asyncpg, psycopg), MySQL and MariaDB (asyncmy), SQLite (aiosqlite). All reads and
    writes must go to one primary.

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
        self._mysql = engine.dialect.name in ("mysql", "mariadb")
        # Not for MySQL: where its drivers lose a connection, SQLAlchemy then loses its place in
        # the pool as well, because it sets the level back over the connection that is gone.
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
        # Stricter levels answer a lost race with an error where False is wanted.
        self._committed = engine
        if engine.dialect.name != "sqlite" and not self._mysql:
            self._committed = engine.execution_options(isolation_level="READ COMMITTED")
        table = self._sessions
        wanted: sa.BindParameter[str] = sa.bindparam("wanted")
        row = sa.select(*(table.c[name] for name in FIELDS))
        self._get, self._find = (
            row.where(table.c.id == wanted),
            row.where(table.c.subject == wanted),
        )
        # An index that is left alone keeps an update cheap, so most leave out the hour.
        mutable = [name for name in FIELDS if name not in ("id", "subject", "created_at")]
        update = sa.update(table).where(
            table.c.id == sa.bindparam("old_id"), table.c.version == sa.bindparam("old_version")
        )
        self._update = update.values({name: sa.bindparam(name) for name in mutable})
        self._update_end = self._update.values(ends_hour=sa.bindparam("ends_hour"))

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

    @contextlib.asynccontextmanager
    async def _single(self) -> AsyncGenerator[AsyncConnection]:
        """Yield a connection on which every statement is a step of its own."""
        begun = self._engine.begin() if self._mysql else self._autocommit.connect()
        async with begun as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def _steps(self) -> AsyncGenerator[AsyncConnection]:
        """Yield a connection on which all statements are one step."""
        async with self._committed.begin() as connection:
            if self._mysql:
                await connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL READ COMMITTED"))
            yield connection

    def _one_by_one(self) -> contextlib.AbstractAsyncContextManager[AsyncConnection]:
        """Return a connection for one delete, which locks no gap between rows."""
        return self._steps() if self._mysql else self._single()

    @whole
    async def add(self, session: Session) -> None:
        """Keep a new session; `IntegrityError` if its id exists."""
        async with self._single() as connection:
            await connection.execute(sa.insert(self._sessions), values_of(session))

    @whole
    async def get(self, session_id: str) -> Session | None:
        """Return the session; None if there is none."""
        async with self._single() as connection:
            found = await connection.execute(self._get, {"wanted": session_id})
            row = found.first()
            return None if row is None else from_row(row)

    @whole
    async def replace(
        self, old: Session, new: Session, revocation: Revocation | None = None
    ) -> bool:
        """Put *new* in the place of *old*; False if that is no longer what is kept."""
        if revocation is None:
            try:
                async with self._single() as connection:
                    return await self._replace(connection, old, new)
            except DBAPIError as error:
                # Where the server's own default is stricter, this is a lost race.
                if getattr(error.orig, "sqlstate", None) == _LOST_RACE:
                    return False
                raise
        async with self._steps() as connection:
            await self._remember(connection, old.id, [revocation])
            replaced = await self._replace(connection, old, new)
            transaction = connection.get_transaction()
            if not replaced and transaction is not None:
                await transaction.rollback()
            return replaced

    async def _replace(self, connection: AsyncConnection, old: Session, new: Session) -> bool:
        same_hour = ends_hour(old) == ends_hour(new)
        values = values_of(new) | {"old_id": old.id, "old_version": old.version}
        for name in ("id", "subject", "created_at", *(("ends_hour",) if same_hour else ())):
            del values[name]
        update = self._update if same_hour else self._update_end
        return (await connection.execute(update, values)).rowcount == 1

    @whole
    async def revoke(self, session_id: str, revocation: Revocation) -> bool:
        """Delete the session and log *revocation*."""
        async with self._steps() as connection:
            await self._remember(connection, session_id, [revocation])
            delete = sa.delete(self._sessions).where(self._sessions.c.id == session_id)
            return (await connection.execute(delete)).rowcount == 1

    @whole
    async def revoke_subject(self, subject: str, revocation: Revocation) -> int:
        """Delete every session of *subject*, logging each."""
        table = self._sessions
        ids = sa.select(table.c.id).where(table.c.subject == subject).order_by(table.c.id)
        delete = sa.delete(table).where(table.c.id == sa.bindparam("ended"))
        async with self._steps() as connection:
            await self._lock(connection, subject)
            # By id, as everybody else: MySQL deadlocks on rows that are locked by another index.
            ended = [
                session_id
                for session_id in (await connection.execute(ids)).scalars().all()
                if (await connection.execute(delete, {"ended": session_id})).rowcount == 1
            ]
            if ended:
                entries = [replace(revocation, session_id=session_id) for session_id in ended]
                await self._remember(connection, subject, entries)
        return len(ended)

    @whole
    async def find(self, subject: str) -> list[Session]:
        """Return the sessions of *subject*."""
        async with self._single() as connection:
            found = await connection.execute(self._find, {"wanted": subject})
            return [from_row(row) for row in found]

    @whole
    async def revocations(self, cursor: str | None) -> tuple[list[Revocation], str]:
        """
        Return what was logged since *cursor*: the last number seen in every shard.

        A counter that is behind it has been restored from a backup: its shard is read anew.
        """
        last = [*map(int, cursor.split())] if cursor else [0] * _SHARDS
        async with self._single() as connection:
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

    @whole
    async def purge(self, now: float) -> int:
        """Drop up to `BATCH` sessions that ended, and as many revocations that are over."""
        return await self._purge_sessions(now) + await self._purge_log(now)

    async def _purge_sessions(self, now: float) -> int:
        table = self._sessions
        over = sa.or_(table.c.expires_at <= now, table.c.idle_expires_at <= now)
        # In the order of the index, or PostgreSQL's generic plan reads the whole table.
        ended = sa.select(table.c.id).where(table.c.ends_hour <= int(now // HOUR), over)
        ended = ended.order_by(table.c.ends_hour).limit(BATCH)
        async with self._one_by_one() as connection:
            ids = (await connection.execute(ended)).scalars().all()
            if not ids:
                return 0
            wanted: Any = ids
            if connection.dialect.name == "postgresql":  # rows that others are at wait: no deadlock
                wanted = sa.select(table.c.id).where(table.c.id.in_(ids))
                wanted = wanted.with_for_update(skip_locked=True)
            delete = sa.delete(table).where(table.c.id.in_(wanted), over)
            return (await connection.execute(delete)).rowcount

    async def _purge_log(self, now: float) -> int:
        until = self._log.c.until
        past = sa.select(until).where(until <= now).order_by(until).limit(BATCH)
        async with self._one_by_one() as connection:
            ends = (await connection.execute(past)).scalars().all()
            if not ends:
                return 0
            delete = sa.delete(self._log).where(until.between(ends[0], ends[-1]))
            return (await connection.execute(delete)).rowcount

    async def close(self) -> None:
        """Close the connections, where the store was made from a URL."""
        if self._owns:
            await self._engine.dispose()

    async def _lock(
        self, connection: AsyncConnection, near: str, count: int = 0, least: int = 0
    ) -> int:
        """Lock the shard of the log for *near* until the end of the transaction; count on."""
        shard, table = zlib.crc32(near.encode()) % _SHARDS, self._shards
        counter, number = table.c.shard == shard, table.c.number + count
        number = sa.case((number < least, sa.literal(least, sa.BigInteger)), else_=number)
        update = sa.update(table).where(counter).values(number=number)
        if (await connection.execute(update)).rowcount != 1:
            raise RuntimeError(f"{table.name} has no row for shard {shard}: run create_tables()")
        return shard

    async def _remember(
        self, connection: AsyncConnection, near: str, entries: Iterable[Revocation]
    ) -> None:
        logged = list(entries)
        # At least the time in microseconds: after a restored backup no number is given again.
        least = int(max(entry.at for entry in logged) * 1e6)
        shard = await self._lock(connection, near, len(logged), least)
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
