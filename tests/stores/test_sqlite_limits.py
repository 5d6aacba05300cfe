"""`SQLiteStore` at its limits: a disk that is full, a lock that stays, callers who give up."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from asgi_refresh import SQLiteStore
from asgi_refresh.sessions import FIELDS, to_row
from asgi_refresh.store import BATCH
from asgi_refresh.stores.sqlite import _PURGE
from asgi_refresh.testing.replay import logged
from asgi_refresh.testing.samples import NOW, a_session
from tests.stores.support import ends, names_of

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
WRITES: dict[str, Callable[[SQLiteStore], Any]] = {
    "add": lambda store: store.add(a_session(99, claims={"x": "y" * 3000})),
    "replace": lambda store: store.replace(
        a_session(), a_session(version=2, claims={"x": "y" * 3000}), ends(a_session().id)
    ),
    "revoke": lambda store: store.revoke(a_session().id, ends(a_session().id, jti="j" * 9000)),
    "revoke_subject": lambda store: store.revoke_subject("alice", ends("", jti="j" * 9000)),
}


@pytest.fixture
def store(folder: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(folder / "sessions.db", busy_timeout=0.05)
    yield store
    store.close()


@contextmanager
def locked(store: SQLiteStore) -> Iterator[None]:
    """Hold the write lock, as another process does."""
    with closing(sqlite3.connect(store._path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def is_sound(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


# --- full -----------------------------------------------------------------------------------------


async def fill(store: SQLiteStore, *, pages: int = 0) -> None:
    """Leave room for *pages* pages more; 0: for as many as there may be."""

    def job(db: sqlite3.Connection) -> None:
        [[used]] = db.execute("PRAGMA page_count").fetchall()
        db.execute(f"PRAGMA max_page_count = {used + pages if pages else 2**30}")

    await store._read(job)


@pytest.mark.parametrize("what", WRITES)
async def test_a_write_to_a_full_database_is_an_error_and_is_not_done(
    store: SQLiteStore, what: str
) -> None:
    await store.add(a_session())
    await fill(store, pages=1)
    kept = 0
    with contextlib.suppress(sqlite3.OperationalError):
        for kept in range(50):
            await store.add(a_session(100 + kept, "bob", claims={"x": "y" * 3000}))
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError, match="full"):
            await WRITES[what](store)
    assert await store.get(a_session().id) == a_session()
    assert await logged(store) == []
    assert len(await store.find("bob")) == kept < 49
    await fill(store)
    await WRITES[what](store)
    await store.add(a_session(100 + kept, "bob"))
    store.close()

    assert is_sound(store._path)


FULL_DISK = """
import resource, signal, sqlite3, sys
from pathlib import Path
import anyio
from asgi_refresh import Revocation, SQLiteStore

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])

async def main():
    store, done = SQLiteStore(path), []
    async def revoke(name):
        await store.revoke(name, Revocation(name, 0.0, 9e9, jti="j" * 500))
        done.append(name)
    for number in range(20):
        await revoke(f"before{number}")
    room = path.with_name(path.name + "-wal").stat().st_size + 50_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    failed = 0
    for number in range(100):
        try:
            await revoke(f"full{number}")
        except sqlite3.OperationalError as error:
            failed += 1
    assert failed > 30, failed
    entries, _ = await store.revocations(None)
    assert [entry.session_id for entry in entries] == done
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    for number in range(20):
        await revoke(f"after{number}")
    store.close()
    print(*done)

anyio.run(main)
"""


def test_after_the_disk_was_full_nothing_is_lost_or_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    ran = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    store = SQLiteStore(path)
    entries = anyio.run(logged, store)
    store.close()

    assert names_of(entries) == sorted(ran.stdout.split())
    assert is_sound(path)


def test_the_log_of_writes_ahead_stays_bounded(store: SQLiteStore) -> None:
    reader, session = SQLiteStore(store._path), a_session()
    log = store._path.with_name(f"{store._path.name}-wal")
    sizes: list[int] = []

    async def use() -> None:
        nonlocal session
        for number in range(500):
            new = replace(session, version=session.version + 1, last_seen=NOW + number)
            assert await store.replace(session, new)
            session = new
        await reader.revocations(None)

    anyio.run(store.add, session)
    for _ in range(10):
        anyio.run(use)
        sizes.append(log.stat().st_size)
    reader.close()

    assert 0 < max(sizes) < 8 * 2**20
    assert store._path.stat().st_size < 2**20


async def test_purge_takes_no_more_than_a_batch_at_a_time(store: SQLiteStore) -> None:
    sessions = [to_row(a_session(number, expires_at=NOW)) for number in range(2 * BATCH + 500)]

    def insert(db: sqlite3.Connection) -> None:
        marks = ", ".join("?" * len(FIELDS))
        db.executemany(f"INSERT INTO refresh_sessions VALUES ({marks})", sessions)

    await store._write(insert)

    assert [await store.purge(NOW) for _ in range(4)] == [BATCH, BATCH, 500, 0]


async def test_purge_finds_by_an_index_what_is_over(store: SQLiteStore) -> None:
    def plan(db: sqlite3.Connection) -> str:
        found = [db.execute(f"EXPLAIN QUERY PLAN {text}", (NOW, BATCH)) for text in _PURGE]
        return " ".join(str(row) for rows in found for row in rows)

    told = await store._read(plan)
    assert "INDEX refresh_sessions_end " in told
    assert "refresh_revocations_until" in told


# --- busy -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", WRITES)
async def test_a_write_that_meets_a_lock_for_too_long_is_an_error_and_is_not_done(
    store: SQLiteStore, what: str
) -> None:
    await store.add(a_session())
    with locked(store), anyio.fail_after(10):
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            await WRITES[what](store)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            await store.purge(NOW)

    assert await store.get(a_session().id) == a_session()
    assert await logged(store) == []


async def test_what_its_caller_gave_up_before_it_began_is_never_run(store: SQLiteStore) -> None:
    await store.add(a_session())
    begun, free = threading.Event(), threading.Event()

    def slow(_db: sqlite3.Connection) -> None:
        begun.set()
        free.wait(20)

    async with anyio.create_task_group() as group:
        group.start_soon(store._read, slow)
        while not begun.is_set():  # noqa: ASYNC110 - a thread's
            await anyio.sleep(0.001)
        for number in range(20):
            with anyio.move_on_after(0.001):
                await store.revoke(f"{number}", ends(f"{number}"))
            with anyio.move_on_after(0.001):
                await store.revoke_subject("alice", ends(""))
        free.set()
    await store.revoke("last", ends("last"))

    assert names_of(await logged(store)) == ["last"]
    assert await store.find("alice") == [a_session()]
