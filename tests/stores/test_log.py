"""Who follows the log misses nothing: not by a wrong clock, a late commit, or a restored backup."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import anyio
import pytest
import sqlalchemy as sa
from sqlalchemy.util import await_only

from asgi_refresh.denylist import Denylist
from asgi_refresh.store import BATCH
from asgi_refresh.stores import SQLAlchemyStore
from asgi_refresh.testing.replay import logged
from asgi_refresh.testing.samples import NOW, a_session
from tests.stores.backups import back_up, restore
from tests.stores.support import (
    LOOPS,
    ON_SERVERS,
    ON_SQL,
    Place,
    ends,
    kinds,
    names_of,
    unique,
)
from tests.support import Clock, Spy

pytestmark = pytest.mark.anyio


class Poller:
    """A worker that keeps its denylist up to date."""

    def __init__(self, store: Any, now: float = NOW) -> None:
        self.clock = Clock(now)
        self.denylist = Denylist(store, self.clock, max_age=1.0)

    async def poll(self) -> set[str]:
        """Ask the store, a second later, and tell whose tokens are refused."""
        self.clock.advance(1)
        await self.denylist.update()
        return set(self.denylist.by_session)


def in_shard(number: int, *, count: int = 1) -> list[str]:
    """Ids whose entries go into that shard of the log of `SQLAlchemyStore`."""
    ids = (f"{candidate:032x}" for candidate in range(1000))
    return [name for name in ids if zlib.crc32(name.encode()) % 8 == number][:count]


@contextmanager
def stalled_commits(store: Any) -> Iterator[tuple[anyio.Event, anyio.Event]]:
    """Hold each transaction of *store* open before its commit: (is held, may go on)."""
    held, free = anyio.Event(), anyio.Event()

    def wait(_connection: Any) -> None:
        held.set()
        await_only(free.wait())

    engine = store._engine.sync_engine
    sa.event.listen(engine, "commit", wait)
    yield held, free
    sa.event.remove(engine, "commit", wait)


# --- clocks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("skew", [-30.0, 30.0])
async def test_a_poller_whose_clock_is_off_sees_every_revocation(
    place: Place, store: Any, skew: float
) -> None:
    here, there = Poller(store), Poller(place.open(), NOW + skew)
    ended: set[str] = set()
    for number in range(10):
        for name in (f"{number:04x}a", f"{number:04x}b"):
            now = here.clock()
            await store.revoke(name, replace(ends(name), at=now, until=now + 610))
            ended.add(name)
        assert await there.poll() == ended
        here.clock.advance(1)


async def test_what_writers_with_clocks_apart_log_is_all_seen(place: Place, store: Any) -> None:
    poller = Poller(place.open())
    ended: set[str] = set()
    for number, skew in enumerate([0.0, 30.0, -30.0, 30.0, 0.0, -30.0]):
        name = f"{number:04x}"
        await store.revoke(
            name, replace(ends(name), at=ends().at + skew, until=ends().until + skew)
        )
        ended.add(name)
        assert await poller.poll() == ended


# --- commits --------------------------------------------------------------------------------------


@kinds(*ON_SERVERS)
async def test_a_revocation_that_commits_late_is_seen_by_who_polled_meanwhile(
    place: Place, store: Any
) -> None:
    [late], others = in_shard(0), [name for n in range(1, 8) for name in in_shard(n)]
    slow, poller = place.open(), Poller(place.open())
    with stalled_commits(slow) as (held, free):
        async with anyio.create_task_group() as group:
            group.start_soon(slow.revoke, late, ends(late))
            await held.wait()
            for name in others:
                await store.revoke(name, ends(name))
            assert await poller.poll() == {*others}
            assert await poller.poll() == {*others}
            free.set()

    assert await poller.poll() == {late, *others}


@kinds(*ON_SERVERS)
async def test_who_writes_behind_a_stalled_commit_waits_and_is_seen(
    place: Place, store: Any
) -> None:
    first, second = in_shard(3, count=2)
    slow, poller = place.open(), Poller(place.open())
    with stalled_commits(slow) as (held, free):
        async with anyio.create_task_group() as group:
            group.start_soon(slow.revoke, first, ends(first))
            await held.wait()
            with anyio.move_on_after(0.2) as patience:
                await store.revoke(second, ends(second))
            assert patience.cancelled_caught
            group.start_soon(store.revoke, second, ends(second))
            assert await poller.poll() == set()
            free.set()

    assert await poller.poll() == {first, second}


_STALL = (
    """
    CREATE FUNCTION {0}f() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep(2); RETURN NULL; END $$
    """,
    """
    CREATE CONSTRAINT TRIGGER {0}t AFTER INSERT ON {0}revocations
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.session_id = '{1}')
    EXECUTE FUNCTION {0}f()
    """,
)


@kinds("asyncpg")
async def test_a_commit_that_postgresql_stalls_for_2_seconds_is_seen(place: Place) -> None:
    place.prefix = unique("stall")
    store, poller, [late] = place.open(), Poller(place.open()), in_shard(0)
    await store.create_tables()
    async with store._engine.begin() as connection:
        for statement in _STALL:
            await connection.execute(sa.text(statement.format(place.prefix, late)))
    written: set[str] = set()
    began = time.monotonic()

    async def write_others() -> None:
        for name in [name for shard in range(1, 8) for name in in_shard(shard, count=8)]:
            await store.revoke(name, ends(name))
            written.add(name)
            await anyio.sleep(0.01)

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(store.revoke, late, ends(late))
            group.start_soon(write_others)
            while time.monotonic() - began < 1.8:
                before = set(written)
                seen = await poller.poll()
                assert before <= seen
                assert late not in seen
                await anyio.sleep(0.01)
        assert await poller.poll() == {late, *written}
    finally:
        await place.drop_tables()
        async with store._engine.begin() as connection:
            await connection.execute(sa.text(f"DROP FUNCTION {place.prefix}f"))


HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
db.execute(
    "INSERT INTO refresh_revocations (session_id, at, until) VALUES ('late', 0, 9e9)")
print("held", flush=True)
sys.stdin.readline()
db.execute("COMMIT")
db.close()
"""


@kinds("sqlite")
async def test_what_waits_for_another_process_with_the_lock_of_sqlite_is_seen(place: Place) -> None:
    store = place.open(busy_timeout=30.0)
    poller = Poller(place.open())
    await store.revoke("early", ends("early"))
    process = subprocess.Popen(  # noqa: ASYNC220 - it is there at once
        [sys.executable, "-c", HOLD, str(place.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "held\n"
        async with anyio.create_task_group() as group:
            group.start_soon(store.revoke, "waiting", ends("waiting"))
            assert await poller.poll() == {"early"}
            assert await poller.poll() == {"early"}
            process.stdin.write("go\n")
            process.stdin.flush()
        assert process.wait() == 0

    assert await poller.poll() == {"early", "late", "waiting"}


# --- numbers that were given in vain --------------------------------------------------------------


async def test_what_was_not_replaced_leaves_no_hole_that_hides_anything(
    place: Place, store: Any
) -> None:
    session, poller = a_session(), Poller(place.open())
    stale = replace(session, version=7)
    ended: set[str] = set()
    await store.add(session)
    for number in range(7):
        assert not await store.replace(stale, replace(stale, version=8), ends(session.id))
        name = f"{session.id[:4]}{number:04x}"
        await store.revoke(name, ends(name))
        ended.add(name)
        if number % 3 == 0:
            assert await poller.poll() == ended

    assert await poller.poll() == ended


@kinds(*ON_SQL)
async def test_a_commit_that_fails_leaves_no_hole_that_hides_anything(
    place: Place, store: Any
) -> None:
    def fail(_connection: Any) -> None:
        raise OSError("the connection is lost")

    frail, poller = place.open(), Poller(place.open())
    sa.event.listen(frail._engine.sync_engine, "commit", fail)
    session = a_session()
    await store.add(session)
    for number in range(5):
        with pytest.raises(OSError, match="lost"):
            await frail.revoke(session.id, ends(session.id))
        name = f"{number:032x}"
        await store.revoke(name, ends(name))
        assert name in await poller.poll()

    assert session.id not in await poller.poll()
    assert await store.get(session.id) == session


# --- a backup -------------------------------------------------------------------------------------


@kinds(*(kind for kind in LOOPS if kind != "memory"))
@pytest.mark.parametrize("after", [1, 2, 3])
async def test_what_is_logged_after_a_backup_was_restored_is_seen(place: Place, after: int) -> None:
    # The poller has seen two entries that the backup has not: as many may follow, or more.
    store, poller, name = place.open(), Poller(place.open()), a_session().id
    moments = itertools.count(int(NOW))

    async def log(*jtis: str) -> None:
        for jti in jtis:
            await store.revoke(name, replace(ends(name, jti=jti), at=float(next(moments))))

    await log("old1", "old2", "old3")
    backup = await back_up(place)
    await log("lost1", "lost2")
    await poller.poll()
    await restore(place, backup)
    new = [f"new{number}" for number in range(after)]
    await log(*new)
    await poller.poll()

    assert {entry.jti for entry in poller.denylist.by_session[name]} >= {*new}


# --- a long log -----------------------------------------------------------------------------------


LONG = kinds("memory", "sqlite", "redis", "cluster", "asyncpg", "mariadb")


async def log_many(store: Any, count: int) -> set[str]:
    """Log *count* entries, fast."""
    names = [f"{number:08x}" for number in range(count)]
    if isinstance(store, SQLAlchemyStore):
        async with store._steps() as connection:
            for place, shard in enumerate((1, 4, 5)):
                entries = [ends(name) for name in names[place::3]]
                await store._remember(connection, in_shard(shard)[0], entries)
        return set(names)
    # redis-py 8.1's cluster client may fail a call while it opens several connections to a node.
    side_by_side = 1 if "cluster" in type(getattr(store, "_client", None)).__name__.lower() else 8
    async with anyio.create_task_group() as group:
        for first in range(side_by_side):
            group.start_soon(_revoke_all, store, names[first::side_by_side])
    return set(names)


async def _revoke_all(store: Any, names: list[str]) -> None:
    for name in names:
        await store.revoke(name, ends(name))


@LONG
async def test_a_long_log_is_read_to_its_end_in_pages(place: Place, store: Any) -> None:
    count = 2 * BATCH + 300
    names = await log_many(store, count)
    spy = Spy(place.open())
    poller = Poller(spy)

    assert await poller.poll() == names
    assert spy.count("revocations") <= 1 + count // BATCH + 1
    spy.calls.clear()
    assert await poller.poll() == names
    assert spy.calls == ["revocations"]


@LONG
async def test_what_is_logged_between_two_pages_is_seen(place: Place, store: Any) -> None:
    names = await log_many(store, BATCH + 300)
    other = place.open()

    class Busy:
        """Another worker revokes a session whenever a page was read."""

        async def revocations(self, cursor: str | None) -> Any:
            page = await other.revocations(cursor)
            for shard in range(8):
                [name] = in_shard(shard)
                await store.revoke(name, ends(name))
                names.add(name)
            return page

    await Poller(Busy()).poll()
    poller = Poller(Busy())
    await poller.poll()

    assert await poller.poll() == names
    assert set(names_of(await logged(store))) == names
