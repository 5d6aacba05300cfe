"""What `SQLiteStore` adds to the contract: a file, its lock, its thread, and other processes."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from asgi_refresh import Revocation, Session, SQLiteStore
from asgi_refresh.testing.replay import logged
from asgi_refresh.testing.samples import FULL, NOW
from tests.stores.support import ends
from tests.support import SECRET, Clock, new_session, require

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]


def session(session_id: str = "s1", subject: str = "alice", **values: Any) -> Session:
    return new_session(Clock(NOW), session_id, subject, **values)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
def sqlite(path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(path)
    yield store
    store.close()


def run_python(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output_of(process: subprocess.Popen[str]) -> str:
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    return out


COUNT = """
import sys, anyio
from dataclasses import replace
from asgi_refresh import SQLiteStore

async def main():
    store = SQLiteStore(sys.argv[1], busy_timeout=30)
    for _ in range(15):
        while True:
            old = await store.get("s1")
            if await store.replace(old, replace(old, version=old.version + 1)):
                print(old.version)
                break

anyio.run(main, backend=sys.argv[2])
"""


def test_processes_that_share_a_file_win_each_version_once(path: Path) -> None:
    store = SQLiteStore(path)
    anyio.run(store.add, session())
    processes = [run_python(COUNT, path, ["asyncio", "trio"][n % 2]) for n in range(4)]
    wins = [int(line) for process in processes for line in output_of(process).split()]

    assert sorted(wins) == list(range(1, 61))
    final = anyio.run(store.get, "s1")
    assert final is not None
    assert final.version == 61
    store.close()


OPEN = """
import sys, anyio
from asgi_refresh import Revocation, SQLiteStore

async def main():
    name = sys.argv[2]
    await SQLiteStore(sys.argv[1], busy_timeout=30).revoke(name, Revocation(name, 0.0, 9e9))

sys.stdin.readline()
anyio.run(main)
"""


def test_processes_may_open_a_new_file_together(path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, str(path), str(n)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        output_of(process)

    store = SQLiteStore(path)
    entries, _ = anyio.run(store.revocations, None)
    store.close()
    assert sorted(entry.session_id for entry in entries) == ["0", "1", "2", "3"]


async def test_a_revocation_in_one_process_is_seen_in_another(path: Path, sqlite: Any) -> None:
    other = SQLiteStore(path)
    _, cursor = await sqlite.revocations(None)
    await other.revoke("s1", ends())

    assert await logged(sqlite, cursor) == [ends()]
    other.close()


async def test_a_closed_store_opens_again_with_everything_in_it(sqlite: SQLiteStore) -> None:
    await sqlite.add(FULL)
    await sqlite.revoke("s2", ends("s2"))
    sqlite.close()

    assert await sqlite.get(FULL.id) == FULL
    assert await logged(sqlite) == [ends("s2")]


def test_nothing_is_opened_before_the_first_call(path: Path) -> None:
    threads = threading.active_count()
    store = SQLiteStore(path)
    store.close()

    assert not path.exists()
    assert threading.active_count() == threads


async def test_closing_twice_is_fine(sqlite: SQLiteStore) -> None:
    await sqlite.get("s1")
    sqlite.close()
    sqlite.close()


async def test_close_finishes_what_was_begun(sqlite: SQLiteStore) -> None:
    await sqlite.get("s1")
    async with anyio.create_task_group() as group:
        group.start_soon(sqlite.add, session())
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        sqlite.close()

    assert await sqlite.get("s1") == session()


async def test_close_ends_the_thread(sqlite: SQLiteStore) -> None:
    before = set(threading.enumerate())
    await sqlite.get("s1")
    [worker] = [t for t in threading.enumerate() if t not in before and "sqlite" in t.name]
    sqlite.close()

    assert not worker.is_alive()


def test_one_store_serves_one_loop_after_another_on_both_backends(sqlite: SQLiteStore) -> None:
    anyio.run(sqlite.add, session(), backend="asyncio")

    assert anyio.run(sqlite.get, "s1", backend="trio") == session()
    assert anyio.run(sqlite.get, "s1", backend="asyncio") == session()


@pytest.mark.parametrize("file", ["/nonexistent/directory/x.db", "."])
async def test_a_file_that_cannot_be_opened_raises_at_every_call(file: str) -> None:
    store = SQLiteStore(file)
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError):
            await store.get("s1")
    store.close()


async def test_a_file_that_can_be_opened_later_is(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "later" / "x.db")
    with pytest.raises(sqlite3.OperationalError):
        await store.add(session())
    (tmp_path / "later").mkdir()

    await store.add(session())
    assert await store.get("s1") == session()
    store.close()


@pytest.fixture
def locked(path: Path, sqlite: SQLiteStore) -> Iterator[sqlite3.Connection]:
    """Another connection that holds the write lock; *sqlite* gives up after 50 ms."""
    sqlite._busy_timeout = 0.05
    anyio.run(sqlite.add, session())
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield other
    other.close()


@pytest.mark.usefixtures("locked")
async def test_a_write_to_a_locked_database_raises_after_the_busy_timeout(
    sqlite: SQLiteStore,
) -> None:
    with anyio.fail_after(5), pytest.raises(sqlite3.OperationalError, match="locked"):
        await sqlite.revoke("s1", ends())


async def test_a_store_recovers_once_the_lock_is_gone(
    sqlite: SQLiteStore, locked: sqlite3.Connection
) -> None:
    with pytest.raises(sqlite3.OperationalError):
        await sqlite.revoke("s1", ends())
    locked.execute("ROLLBACK")

    assert await sqlite.get("s1") == session()
    assert await logged(sqlite) == []
    assert await sqlite.revoke("s1", ends()) is True


@pytest.mark.usefixtures("locked")
async def test_reads_go_on_while_another_process_writes(sqlite: SQLiteStore) -> None:
    assert await sqlite.get("s1") == session()
    assert await sqlite.find("alice") == [session()]
    assert await logged(sqlite) == []


async def test_a_write_waits_for_the_lock_of_another(
    path: Path, sqlite: SQLiteStore, anyio_backend: str
) -> None:
    await sqlite.get("s1")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    async with anyio.create_task_group() as group:
        group.start_soon(sqlite.add, session())
        await anyio.sleep(0.05)  # the worker is at it
        other.execute("ROLLBACK")
    other.close()

    assert await sqlite.get("s1") == session()


@pytest.mark.usefixtures("locked")
async def test_a_cancelled_call_leaves_the_others_served(sqlite: SQLiteStore) -> None:
    with anyio.move_on_after(0.01) as scope:
        await sqlite.add(session("s2"))
    assert scope.cancelled_caught

    with anyio.fail_after(5):
        assert await sqlite.get("s1") == session()


async def test_a_write_that_was_cancelled_is_whole_or_not_at_all(
    path: Path, locked: sqlite3.Connection
) -> None:
    patient = SQLiteStore(path, busy_timeout=5.0)
    with anyio.move_on_after(0.05):
        await patient.revoke("s1", ends())
    locked.execute("ROLLBACK")
    revoked = await patient.get("s1") is None

    assert revoked == (await logged(patient) == [ends()])
    patient.close()


async def test_a_job_that_fails_leaves_no_transaction_open(sqlite: SQLiteStore) -> None:
    await sqlite.add(session())
    with pytest.raises(sqlite3.IntegrityError):
        await sqlite.add(session())

    await sqlite.add(session("s2"))
    assert len(await sqlite.find("alice")) == 2


async def test_a_revocation_that_cannot_be_logged_ends_no_session(sqlite: SQLiteStore) -> None:
    await sqlite.add(session())
    with pytest.raises(sqlite3.IntegrityError):
        await sqlite.revoke("s1", Revocation("s1", NOW, None))  # type: ignore[arg-type]

    assert await sqlite.get("s1") == session()


async def test_a_revocation_that_cannot_be_logged_replaces_nothing(sqlite: SQLiteStore) -> None:
    await sqlite.add(session())
    broken = Revocation("s1", NOW, None)  # type: ignore[arg-type]
    with pytest.raises(sqlite3.IntegrityError):
        await sqlite.replace(session(), session(version=2), broken)

    assert await sqlite.get("s1") == session()


async def test_writes_are_on_the_disk_before_they_are_answered(
    path: Path, sqlite: SQLiteStore
) -> None:
    def job(db: sqlite3.Connection) -> tuple[str, int]:
        [[journal]] = db.execute("PRAGMA journal_mode").fetchall()
        [[synchronous]] = db.execute("PRAGMA synchronous").fetchall()
        return journal, synchronous

    assert await sqlite._read(job) == ("wal", 2)


async def test_an_entrys_number_is_never_given_twice(sqlite: SQLiteStore) -> None:
    await sqlite.revoke("a", ends("a", until=NOW))
    _, cursor = await sqlite.revocations(None)
    await sqlite.purge(NOW)
    sqlite.close()
    await sqlite.revoke("b", ends("b"))

    assert await logged(sqlite, cursor) == [ends("b")]


async def test_memory_is_a_store_that_ends_with_its_object() -> None:
    one, two = SQLiteStore(":memory:"), SQLiteStore(":memory:")
    await one.add(session())

    assert await one.get("s1") == session()
    assert await two.get("s1") is None
    assert not os.path.exists(":memory:")  # noqa: ASYNC240, PTH110
    one.close()
    two.close()


def test_its_repr_names_the_file() -> None:
    assert repr(SQLiteStore("x.db")) == "<SQLiteStore 'x.db'>"


FORK = """
import os, sys, warnings, anyio
from asgi_refresh import Revocation, SQLiteStore

warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads, in Python 3.12
store = SQLiteStore(sys.argv[1], busy_timeout=30)

async def revoke(who):
    with anyio.fail_after(20):
        for number in range(20):
            name = f"{who}-{number}"
            await store.revoke(name, Revocation(name, 0.0, 9e9))

anyio.run(revoke, "before")
child = os.fork()
anyio.run(revoke, "child" if child == 0 else "parent")
if child == 0:
    store.close()
    os._exit(0)
_, status = os.waitpid(child, 0)
store.close()
sys.exit(status)
"""


def test_a_store_goes_on_in_both_processes_after_a_fork(path: Path) -> None:
    require(hasattr(os, "fork"), "there is no fork here")
    output_of(run_python(FORK, path))
    store = SQLiteStore(path)
    entries, _ = anyio.run(store.revocations, None)
    store.close()

    expected = {f"{who}-{n}" for who in ("before", "child", "parent") for n in range(20)}
    assert {entry.session_id for entry in entries} == expected


WORK = """
import sys, anyio
from datetime import timedelta
from asgi_refresh import Config, Issuer, SQLiteStore

async def main():
    store = SQLiteStore(sys.argv[1], busy_timeout=30)
    zero = timedelta(0)  # every refresh rotates
    config = Config(rotation_grace=zero, leeway=zero, store_timeout=timedelta(seconds=30))
    issuer = Issuer(sys.argv[2], store=store, config=config, on_event=lambda event: None)
    number = 0
    while True:
        tokens = await issuer.issue("alice")
        generation = 1
        for _ in range(3):
            tokens = await issuer.refresh(tokens.refresh_token)
            generation += 1
            print("at", tokens.session_id, generation, flush=True)
        number += 1
        if number % 2:
            await issuer.revoke(tokens.session_id)
            print("revoked", tokens.session_id, 0, flush=True)

anyio.run(main)
"""


@pytest.mark.parametrize("acknowledged", [1, 7, 30, 55])
def test_kill_9_loses_and_resurrects_nothing(path: Path, acknowledged: int) -> None:
    process = run_python(WORK, path, SECRET)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(acknowledged)]
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.readlines()
    process.communicate()
    said = [line.split() for line in lines if line.endswith("\n")]
    newest = {name: int(number) for what, name, number in said if what == "at"}
    revoked = {name for what, name, _ in said if what == "revoked"}

    store = SQLiteStore(path)
    kept = {found.id: found for found in anyio.run(store.find, "alice")}
    log = {entry.session_id for entry in anyio.run(store.revocations, None)[0]}
    store.close()

    assert revoked.isdisjoint(kept)
    assert revoked <= log
    last = said[-1][1]
    for name, generation in newest.items():
        if name in kept:
            assert generation <= kept[name].current <= generation + (name == last)
        else:
            assert name in log
            assert name in revoked or name == last
    assert len(kept.keys() - newest.keys()) <= 1
