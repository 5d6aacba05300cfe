"""What `SQLAlchemyStore` adds to the contract: tables, locks, and other people's engines."""

from __future__ import annotations

import itertools
import random
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
import sqlalchemy as sa

from asgi_refresh.store import BATCH
from asgi_refresh.stores import SQLAlchemyStore
from asgi_refresh.stores.tables import HOUR, values_of
from asgi_refresh.testing.samples import NOW, a_session
from tests.stores.support import ON_POSTGRESQL, ON_SERVERS, ON_SQL, Place, ends, kinds, unique

pytestmark = pytest.mark.anyio

KINDS = ON_SQL
ROOT = Path(__file__).parents[2]
LEVELS = ["SERIALIZABLE", "REPEATABLE READ"]


@asynccontextmanager
async def tables_of_its_own(place: Place) -> AsyncIterator[None]:
    """Give *place* a prefix of which there are no tables yet, and drop in the end what there is."""
    place.prefix = unique("own_")
    try:
        yield
    finally:
        await place.drop_tables()


async def described(store: SQLAlchemyStore) -> dict[str, tuple[set[str], set[str | None]]]:
    """The columns and indexes of each of the store's tables, as the database has them."""

    def look(connection: sa.Connection) -> dict[str, tuple[set[str], set[str | None]]]:
        inspector = sa.inspect(connection)
        return {
            name: (
                {column["name"] for column in inspector.get_columns(name)},
                {index["name"] for index in inspector.get_indexes(name)},
            )
            for name in store.metadata.tables
            if inspector.has_table(name)
        }

    async with store._engine.connect() as connection:
        return await connection.run_sync(look)


async def shards(store: SQLAlchemyStore) -> list[tuple[int, int]]:
    async with store._engine.connect() as connection:
        return sorted(tuple(row) for row in await connection.execute(sa.select(store._shards)))


# --- tables ---------------------------------------------------------------------------------------


async def test_create_tables_makes_what_the_metadata_says(place: Place) -> None:
    async with tables_of_its_own(place):
        store = place.open()
        assert await described(store) == {}
        await store.create_tables()

        assert await described(store) == {
            name: ({column.name for column in table.columns}, {i.name for i in table.indexes})
            for name, table in store.metadata.tables.items()
        }
        assert await shards(store) == [(shard, 0) for shard in range(8)]


async def test_create_tables_twice_changes_nothing(place: Place, store: Any) -> None:
    await store.add(a_session())
    await store.revoke("x", ends("x"))
    before = await shards(store)
    await store.create_tables()

    assert await shards(store) == before
    assert await store.get(a_session().id) == a_session()


async def test_create_tables_adds_the_shards_that_are_missing(place: Place) -> None:
    async with tables_of_its_own(place):
        store = place.open()
        await store.create_tables()
        async with store._engine.begin() as connection:
            await connection.execute(sa.delete(store._shards).where(store._shards.c.shard > 2))
        await store.create_tables()

        assert await shards(store) == [(shard, 0) for shard in range(8)]


async def test_stores_may_create_the_tables_together(place: Place) -> None:
    async with tables_of_its_own(place):
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(place.open().create_tables)

        assert await shards(place.open()) == [(shard, 0) for shard in range(8)]


CREATE = """
import sys, anyio
from sqlalchemy.ext.asyncio import create_async_engine
from asgi_refresh.stores import SQLAlchemyStore

async def main():
    engine = create_async_engine(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.readline()
    await SQLAlchemyStore(engine, prefix=sys.argv[2]).create_tables()
    await engine.dispose()

anyio.run(main)
"""


@kinds("asyncpg")
async def test_processes_may_create_the_tables_together(place: Place) -> None:
    async with tables_of_its_own(place):
        processes = [
            subprocess.Popen(  # noqa: ASYNC220 - it is there at once
                [sys.executable, "-c", CREATE, place.url, place.prefix],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(4)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        errors = [process.communicate(timeout=60)[1] for process in processes]

        assert [process.returncode for process in processes] == [0] * 4, errors
        assert await shards(place.open()) == [(shard, 0) for shard in range(8)]


async def test_without_its_shards_a_store_says_what_is_missing(place: Place) -> None:
    async with tables_of_its_own(place):
        store = place.open()
        await store.create_tables()
        await store.add(a_session())
        async with store._engine.begin() as connection:
            await connection.execute(sa.delete(store._shards))
        with pytest.raises(RuntimeError, match=r"has no row for shard \d: run create_tables\(\)"):
            await store.revoke(a_session().id, ends(a_session().id))
        with pytest.raises(RuntimeError, match=r"run create_tables\(\)"):
            await store.revoke_subject("alice", ends(""))

        assert await store.get(a_session().id) == a_session()


async def test_two_prefixes_are_two_stores(place: Place, store: Any) -> None:
    await store.add(a_session())
    async with tables_of_its_own(place):
        other = place.open()
        await other.create_tables()

        assert await other.get(a_session().id) is None


# --- engines --------------------------------------------------------------------------------------


@kinds(*ON_SERVERS)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("logs", [False, True])
async def test_whatever_the_engines_isolation_one_of_8_wins_and_nobody_fails(
    place: Place, level: str, logs: bool
) -> None:
    store = place.open(isolation_level=level, pool_size=8)
    await store.add(a_session())
    for version in range(1, 4):
        old = a_session(version=version)
        answers: list[bool] = []

        async def attempt(number: int, old: Any = old, answers: list[bool] = answers) -> None:
            new = replace(old, version=old.version + 1, current=number)
            entry = ends(old.id, access_from=number) if logs else None
            answers.append(await store.replace(old, new, entry))

        async with anyio.create_task_group() as group:
            for number in range(8):
                group.start_soon(attempt, number)
        assert sorted(answers) == [False] * 7 + [True]

    entries, _ = await store.revocations(None)
    assert len(entries) == (3 if logs else 0)


@kinds(*ON_SERVERS)
@pytest.mark.parametrize("level", ["SERIALIZABLE", "REPEATABLE READ"])
async def test_whatever_the_engines_isolation_a_poller_sees_what_is_new(
    place: Place, store: Any, level: str
) -> None:
    poller = place.open(isolation_level=level, pool_size=1, max_overflow=0)
    _, cursor = await poller.revocations(None)
    for number in range(3):
        await store.revoke(f"{number}", ends(f"{number}"))
        entries, cursor = await poller.revocations(cursor)
        assert [entry.session_id for entry in entries] == [f"{number}"]


@kinds(*ON_SERVERS)
async def test_what_overlaps_never_deadlocks(place: Place) -> None:
    store = place.open(pool_size=8, max_overflow=0, pool_timeout=60)
    numbers = itertools.count(1)
    sessions = [a_session(next(numbers), "alice" if n % 3 else "bob") for n in range(9)]
    await insert(store, sessions)
    end = time.monotonic() + 2

    async def work(who: int) -> None:
        chance = random.Random(who)
        while time.monotonic() < end:
            place, moment = chance.randrange(len(sessions)), NOW + chance.choice([0, 9e5])
            session = sessions[place]
            entry = ends(session.id, until=NOW + chance.randrange(4))
            used = replace(session, idle_expires_at=moment, version=session.version)
            match chance.randrange(8):
                case 0:
                    await store.revoke(session.id, entry)
                case 1:
                    await store.revoke_subject(session.subject, entry)
                case 2 | 3:
                    await store.replace(session, used, entry)
                case 4:
                    await store.replace(session, used)
                case 5:
                    await store.purge(NOW + 1)
                case _:
                    sessions[place] = a_session(next(numbers), session.subject)
                    await store.add(sessions[place])

    async with anyio.create_task_group() as group:
        for who in range(8):
            group.start_soon(work, who)


CALLS: dict[str, Any] = {
    "add": lambda store, number: store.add(a_session(number)),
    "get": lambda store, _: store.get(a_session().id),
    "replace": lambda store, _: store.replace(a_session(), a_session(device="x")),
    "replace and log": lambda store, _: store.replace(
        a_session(), a_session(device="x"), ends(a_session().id)
    ),
    "revoke": lambda store, _: store.revoke("unknown", ends("unknown")),
    "revoke_subject": lambda store, _: store.revoke_subject("bob", ends("")),
    "purge": lambda store, _: store.purge(NOW),
    "revocations": lambda store, _: store.revocations(None),
}


@pytest.mark.parametrize("what", CALLS)
async def test_a_call_that_is_cancelled_anywhere_gives_its_connection_back(
    place: Place, what: str
) -> None:
    store = place.open(pool_size=1, max_overflow=0, pool_timeout=5)
    await store.add(a_session())
    engine, scope, left = store._engine.sync_engine, anyio.CancelScope(), 0

    def pass_one(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            scope.cancel()

    for name in ("before_cursor_execute", "after_cursor_execute", "commit", "rollback"):
        sa.event.listen(engine, name, pass_one)
    cancelled = 0
    for number in range(2, 40):
        left, scope = number - 1, anyio.CancelScope()
        with scope:
            await CALLS[what](store, number)
        if left > 0:
            break
        cancelled += scope.cancelled_caught
        with anyio.fail_after(10):
            while engine.pool.checkedout():  # noqa: ASYNC110 - nothing tells when
                await anyio.sleep(0.001)

    assert cancelled > 0
    with anyio.fail_after(20):  # and no lock of theirs is left
        await place.open().revoke(a_session().id, ends(a_session().id))
        assert await store.get(a_session().id) is None


@pytest.mark.parametrize("what", ["get", "revoke"])
async def test_a_call_that_ran_out_of_time_gives_its_connection_back(
    place: Place, what: str
) -> None:
    # What `BoundedStore` does to a database that has become slow.
    store = place.open(pool_size=2, max_overflow=0, pool_timeout=5)
    await store.add(a_session())
    for number in range(2, 20):
        with anyio.move_on_after(0.0003 * number):
            await CALLS[what](store, number)
    pool = store._engine.sync_engine.pool
    with anyio.fail_after(10):
        while pool.checkedout():  # noqa: ASYNC110 - nothing tells when
            await anyio.sleep(0.001)
        assert await store.revoke(a_session().id, ends(a_session().id))


async def test_the_pool_of_the_application_is_the_pool(place: Place) -> None:
    store = place.open(pool_size=1, max_overflow=0, pool_timeout=30)
    pool = store._engine.sync_engine.pool
    most = 0

    async def use(number: int) -> None:
        nonlocal most
        await store.add(a_session(number))
        most = max(most, pool.size() + pool.overflow())
        await store.revoke(a_session(number).id, ends(a_session(number).id))

    async with anyio.create_task_group() as group:
        for number in range(10):
            group.start_soon(use, number)

    assert most <= 1
    assert pool.checkedout() == 0


async def test_an_error_gives_the_connection_back(place: Place) -> None:
    store = place.open(pool_size=1, max_overflow=0, pool_timeout=5)
    await store.add(a_session())
    for _ in range(3):
        with pytest.raises(sa.exc.IntegrityError):
            await store.add(a_session())
        with pytest.raises(sa.exc.DBAPIError):
            await store.revoke("x", ends("x", until=None))

    assert await store.get(a_session().id) == a_session()


# --- rows -----------------------------------------------------------------------------------------


@kinds(*ON_POSTGRESQL[:1])
async def test_replacing_is_a_hot_update_within_the_hour(place: Place) -> None:
    async with tables_of_its_own(place):
        store = place.open()
        await store.create_tables()
        session = a_session()
        await store.add(session)
        for number in range(300):
            new = replace(
                session,
                current=number + 2,
                version=session.version + 1,
                last_seen=NOW + number,
                idle_expires_at=session.idle_expires_at + 0.01,
            )
            assert await store.replace(session, new)
            session = new
        async with store._engine.connect() as connection:
            await connection.execute(sa.text("SELECT pg_stat_force_next_flush()"))
        statistics = sa.text(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = :name"
        )
        with anyio.fail_after(20):
            updated = hot = 0
            while updated < 300:
                async with store._engine.connect() as connection:
                    found = await connection.execute(statistics, {"name": store._sessions.name})
                    updated, hot = found.one()
                await anyio.sleep(0.05)

        assert updated == 300
        assert hot >= 0.9 * updated


@kinds("asyncpg", "aiosqlite")
@pytest.mark.parametrize("table", ["sessions", "revocations"])
async def test_purge_finds_by_an_index_what_is_over(place: Place, store: Any, table: str) -> None:
    statements: list[str] = []

    def hear(_c: Any, _cursor: Any, text: str, *_rest: Any) -> None:
        statements.append(text)

    engine = store._engine.sync_engine
    sa.event.listen(engine, "before_cursor_execute", hear)
    await store.add(a_session(expires_at=NOW))
    await store.purge(NOW)
    sa.event.remove(engine, "before_cursor_execute", hear)
    column = "ends_hour" if table == "sessions" else "until"
    [search] = [
        text
        for text in statements
        if f"{place.prefix}{table}.{column} <=" in text and " IN " not in text
    ]
    explain = "EXPLAIN QUERY PLAN" if place.kind == "aiosqlite" else "EXPLAIN"
    async with store._engine.connect() as connection:
        if place.kind == "asyncpg":  # a few rows are scanned, whatever there is
            await connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        literal = re.sub(r"\$\d+(::[A-Z]+( PRECISION)?)?|\?", "5", search)
        plan = (await connection.exec_driver_sql(f"{explain} {literal}")).fetchall()

    assert f"{place.prefix}{table}_{column}" in " ".join(map(str, plan))


@pytest.mark.parametrize("end", ["expires_at", "idle_expires_at"])
async def test_purge_takes_what_is_over_from_its_end_on(place: Place, store: Any, end: str) -> None:
    await store.add(a_session(**{end: NOW + 10}))
    await store.revoke("x", ends("x", until=NOW + 10))
    assert await store.purge(NOW + 9.999) == 0
    assert await store.get(a_session().id) is not None

    assert await store.purge(NOW + 10) == 2
    assert await store.get(a_session().id) is None


async def test_purge_takes_a_session_whose_end_was_moved_forward(place: Place, store: Any) -> None:
    await store.add(a_session())
    assert await store.replace(a_session(), a_session(version=2, expires_at=NOW))

    assert await store.purge(NOW) == 1


async def test_purge_takes_no_more_than_a_batch_at_a_time(place: Place, store: Any) -> None:
    total = 2 * BATCH + 500
    rows = [a_session(number, idle_expires_at=NOW - number) for number in range(total)]
    await insert(store, [*rows, a_session(total)])
    gone = []
    while count := await store.purge(NOW):
        gone.append(count)

    assert sum(gone) == total
    assert max(gone) <= BATCH
    assert len(gone) == 3
    assert await store.find("alice") == [a_session(total)]


async def test_purge_takes_about_a_batch_of_the_log_at_a_time(place: Place, store: Any) -> None:
    total = 2 * BATCH + 500
    async with store._steps() as connection:
        entries = [ends(f"{number}", until=NOW - number) for number in range(total)]
        await store._remember(connection, "x", [*entries, ends("held")])
    gone = []
    while count := await store.purge(NOW):
        gone.append(count)

    assert gone == [BATCH, BATCH, 500]
    entries, _ = await store.revocations(None)
    assert [entry.session_id for entry in entries] == ["held"]


async def test_a_session_that_was_used_while_purge_looked_stays(place: Place, store: Any) -> None:
    session = a_session(idle_expires_at=NOW)
    await store.add(session)
    used = replace(session, idle_expires_at=NOW + HOUR, version=2)
    other = place.open()

    @sa.event.listens_for(store._engine.sync_engine, "after_cursor_execute")
    def use(_connection: Any, _cursor: Any, text: str, *_rest: Any) -> None:
        if text.startswith("SELECT") and "ends_hour" in text:
            sa.util.await_only(other.replace(session, used))

    assert await store.purge(NOW) == 0
    assert await store.get(session.id) == used


async def insert(store: SQLAlchemyStore, sessions: list[Any]) -> None:
    """Keep many sessions at once."""
    async with store._engine.begin() as connection:
        await connection.execute(
            sa.insert(store._sessions), [values_of(session) for session in sessions]
        )
