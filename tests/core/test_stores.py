"""The contract of a store, on the two that need no server; and what SQLite adds to it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_refresh import MemoryStore, Revocation, Session, SQLiteStore, Store
from asgi_refresh.sessions import freeze
from tests.support import SECRET, Clock, new_session, require

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
NOW = 1_800_000_000.0


def session(session_id: str = "s1", subject: str = "alice", **values: Any) -> Session:
    return new_session(Clock(NOW), session_id, subject, **values)


def ends(session_id: str = "s1", *, until: float = NOW + 600, **values: Any) -> Revocation:
    return Revocation(session_id, NOW, until, **values)


FULL = session(
    current=7,
    previous=5,
    rotated_at=NOW + 0.123456789,
    late=7,
    forked=True,
    barrier_at=NOW - 3.5,
    access_from=4,
    claims=freeze({"role": "admin", "deep": {"list": [1, 2.5, None, True, "é\ud800"]}}),
    persistent=False,
    device="Bob's 'phone' \"✓\"",
    version=19,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
def sqlite(path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(path)
    yield store
    store.close()


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, path: Path) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
    else:
        sqlite = SQLiteStore(path)
        yield sqlite
        sqlite.close()


def by_id(sessions: list[Session]) -> list[Session]:
    return sorted(sessions, key=lambda session: session.id)


async def logged(store: Store, cursor: str | None = None) -> list[Revocation]:
    return (await store.revocations(cursor))[0]


# --- the contract ---------------------------------------------------------------------------------


def test_it_is_a_store(store: Store) -> None:
    assert isinstance(store, Store)


@pytest.mark.parametrize("kept", [session(), FULL], ids=["new", "full"])
async def test_get_returns_what_was_added_in_every_field(store: Store, kept: Session) -> None:
    await store.add(kept)

    assert await store.get(kept.id) == kept


async def test_claims_come_back_read_only(store: Store) -> None:
    await store.add(FULL)
    found = await store.get("s1")
    assert found is not None

    with pytest.raises(TypeError):
        found.claims["deep"]["more"] = 1


async def test_get_of_an_unknown_id_is_none(store: Store) -> None:
    assert await store.get("unknown") is None


async def test_add_of_an_id_that_exists_raises_and_changes_nothing(store: Store) -> None:
    await store.add(session())

    with pytest.raises(Exception, match=r"(?i)exists|unique"):
        await store.add(session(subject="mallory"))
    assert await store.get("s1") == session()
    assert await store.find("mallory") == []


async def test_an_expired_session_may_still_be_read(store: Store) -> None:
    await store.add(session(expires_at=1.0, idle_expires_at=1.0))

    assert await store.get("s1") is not None


async def test_replace_puts_the_new_session_in_the_place_of_the_old(store: Store) -> None:
    await store.add(session())
    new = replace(FULL, version=2)

    assert await store.replace(session(), new) is True
    assert await store.get("s1") == new


@pytest.mark.parametrize("version", [0, 2])
async def test_replace_of_another_version_changes_nothing(store: Store, version: int) -> None:
    await store.add(session())
    old = session(version=version)

    assert await store.replace(old, replace(old, version=3, current=9), ends()) is False
    assert await store.get("s1") == session()
    assert await logged(store) == []


async def test_replace_compares_the_version_alone(store: Store) -> None:
    await store.add(session())

    assert await store.replace(session(current=44), session(version=2)) is True


async def test_replace_never_inserts(store: Store) -> None:
    assert await store.replace(session(), session(version=2), ends()) is False
    assert await store.get("s1") is None
    assert await store.find("alice") == []
    assert await logged(store) == []


async def test_replace_never_brings_a_revoked_session_back(store: Store) -> None:
    await store.add(session())
    await store.revoke("s1", ends())

    assert await store.replace(session(), session(version=2)) is False
    assert await store.get("s1") is None


async def test_of_many_who_replace_one_version_one_wins(store: Store) -> None:
    await store.add(session())
    wins: list[int] = []

    async def attempt(number: int) -> None:
        if await store.replace(session(), session(version=2, current=number)):
            wins.append(number)

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(attempt, number)

    kept = await store.get("s1")
    assert kept is not None
    assert wins == [kept.current]


async def test_replace_logs_the_revocation_with_it(store: Store) -> None:
    await store.add(session())
    entry = ends(access_from=2, jti="j")

    await store.replace(session(), session(version=2), entry)

    assert await logged(store) == [entry]


async def test_replace_without_a_revocation_logs_nothing(store: Store) -> None:
    await store.add(session())
    await store.replace(session(), session(version=2))

    assert await logged(store) == []


async def test_revoke_deletes_and_logs(store: Store) -> None:
    await store.add(session())

    assert await store.revoke("s1", ends()) is True
    assert await store.get("s1") is None
    assert await store.find("alice") == []
    assert await logged(store) == [ends()]


async def test_revoke_of_an_unknown_id_is_logged_all_the_same(store: Store) -> None:
    assert await store.revoke("unknown", ends("unknown")) is False
    assert await logged(store) == [ends("unknown")]


async def test_revoke_leaves_the_others_alone(store: Store) -> None:
    await store.add(session())
    await store.add(session("s2"))
    await store.revoke("s1", ends())

    assert await store.find("alice") == [session("s2")]


async def test_revoke_subject_ends_every_session_of_it_and_no_other(store: Store) -> None:
    for kept in (session("a1"), session("a2"), session("b1", "bob")):
        await store.add(kept)

    assert await store.revoke_subject("alice", ends("")) == 2
    assert await store.find("alice") == []
    assert await store.get("a1") is None
    assert await store.get("b1") == session("b1", "bob")


async def test_revoke_subject_logs_one_entry_for_each_session(store: Store) -> None:
    for kept in (session("a1"), session("a2"), session("b1", "bob")):
        await store.add(kept)
    await store.revoke_subject("alice", ends(""))

    entries = await logged(store)
    assert sorted(entries, key=lambda entry: entry.session_id) == [ends("a1"), ends("a2")]


async def test_revoke_subject_without_sessions_logs_nothing(store: Store) -> None:
    assert await store.revoke_subject("alice", ends("")) == 0
    assert await logged(store) == []


async def test_find_returns_the_sessions_of_one_subject(store: Store) -> None:
    for kept in (session("a1"), session("a2"), session("b1", "bob")):
        await store.add(kept)

    assert by_id(await store.find("alice")) == [session("a1"), session("a2")]
    assert await store.find("carol") == []


async def test_find_shows_replaced_sessions_as_they_are_now(store: Store) -> None:
    await store.add(session())
    await store.replace(session(), session(current=2, version=2))

    assert await store.find("alice") == [session(current=2, version=2)]


@pytest.mark.parametrize("subject", ["", "ALICE", "alice ", "al%", "a_ice", "'; DROP TABLE x; --"])
async def test_subjects_and_ids_are_compared_exactly(store: Store, subject: str) -> None:
    await store.add(session("alice", "alice"))

    assert await store.find(subject) == []
    assert await store.get(subject) is None
    assert await store.revoke_subject(subject, ends("")) == 0
    assert await store.get("alice") is not None


async def test_none_as_cursor_returns_everything(store: Store) -> None:
    entries = [ends(str(number)) for number in range(3)]
    for entry in entries:
        await store.revoke(entry.session_id, entry)

    assert await logged(store, None) == entries


async def test_a_cursor_returns_what_was_logged_since(store: Store) -> None:
    await store.revoke("a", ends("a"))
    _, cursor = await store.revocations(None)
    await store.revoke("b", ends("b"))

    assert await logged(store, cursor) == [ends("b")]


async def test_asking_again_with_one_cursor_gives_the_same_again(store: Store) -> None:
    _, cursor = await store.revocations(None)
    await store.revoke("a", ends("a"))

    assert await logged(store, cursor) == [ends("a")]
    assert await logged(store, cursor) == [ends("a")]


async def test_with_nothing_new_the_cursor_still_leads_to_what_comes(store: Store) -> None:
    await store.revoke("a", ends("a"))
    _, cursor = await store.revocations(None)
    entries, cursor = await store.revocations(cursor)
    assert entries == []
    await store.revoke("b", ends("b"))

    assert await logged(store, cursor) == [ends("b")]


async def test_a_purge_never_makes_a_cursor_skip_what_comes(store: Store) -> None:
    for name in "abc":
        await store.revoke(name, ends(name, until=NOW))
    _, cursor = await store.revocations(None)
    assert await store.purge(NOW) == 3
    await store.revoke("d", ends("d"))

    assert await logged(store, cursor) == [ends("d")]


async def test_no_revocation_is_skipped_while_others_write(store: Store) -> None:
    seen: list[str] = []
    done = anyio.Event()

    async def write(who: int) -> None:
        for number in range(20):
            name = f"{who}-{number}"
            await store.revoke(name, ends(name))

    async def follow() -> None:
        cursor: str | None = None
        while True:
            last = done.is_set()
            entries, cursor = await store.revocations(cursor)
            seen.extend(entry.session_id for entry in entries)
            if last:
                return
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(follow)
        async with anyio.create_task_group() as writers:
            for who in range(4):
                writers.start_soon(write, who)
        done.set()

    assert sorted(seen) == sorted(f"{who}-{number}" for who in range(4) for number in range(20))


@pytest.mark.parametrize("end", ["expires_at", "idle_expires_at"])
async def test_purge_drops_sessions_from_their_end_on(store: Store, end: str) -> None:
    await store.add(session(**{end: NOW + 10}))

    assert await store.purge(NOW + 9.999) == 0
    assert await store.get("s1") is not None
    assert await store.purge(NOW + 10) == 1
    assert await store.get("s1") is None
    assert await store.find("alice") == []


async def test_purge_drops_revocations_once_their_until_is_over(store: Store) -> None:
    await store.revoke("s1", ends(until=NOW + 10))

    assert await store.purge(NOW + 9.999) == 0
    assert await logged(store) == [ends(until=NOW + 10)]
    assert await store.purge(NOW + 10) == 1
    assert await logged(store) == []


async def test_purge_of_a_session_logs_nothing(store: Store) -> None:
    await store.add(session(expires_at=NOW))
    await store.purge(NOW)

    assert await logged(store) == []


async def test_a_purged_id_may_be_added_again(store: Store) -> None:
    await store.add(session(expires_at=NOW))
    await store.purge(NOW)
    await store.add(session())

    assert await store.find("alice") == [session()]


def test_loops_in_several_threads_may_share_a_store(store: Store) -> None:
    wins: list[int] = []

    async def count() -> None:
        for _ in range(25):
            while True:
                old = await store.get("s1")
                assert old is not None
                if await store.replace(old, replace(old, version=old.version + 1)):
                    wins.append(old.version)
                    break

    anyio.run(store.add, session())
    backends = ["asyncio", "trio", "asyncio"]
    threads = [
        threading.Thread(target=lambda backend=backend: anyio.run(count, backend=backend))
        for backend in backends
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(wins) == list(range(1, 76))


# --- the two give the same answers ----------------------------------------------------------------

ids = st.sampled_from(["s1", "s2", "s3"])
subjects = st.sampled_from(["alice", "bob"])
moments = st.sampled_from([NOW, NOW + 1, NOW + 2])
entries = st.builds(
    Revocation,
    session_id=ids,
    at=st.just(NOW),
    until=moments,
    access_from=st.none() | st.integers(1, 3),
    jti=st.none() | st.just("j"),
)
SUBJECTS = {"s1": "alice", "s2": "alice", "s3": "bob"}  # a session never changes hands
kept_sessions = st.builds(
    lambda session_id, **values: session(session_id, SUBJECTS[session_id], **values),
    session_id=ids,
    version=st.integers(1, 3),
    expires_at=moments,
    forked=st.booleans(),
    previous=st.none() | st.integers(1, 4),
    claims=st.sampled_from([freeze({}), FULL.claims]),
)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("add"), kept_sessions),
        st.tuples(st.just("get"), ids),
        st.builds(
            lambda old, new, entry: (
                "replace",
                old,
                replace(new, id=old.id, subject=old.subject),
                entry,
            ),
            kept_sessions,
            kept_sessions,
            st.none() | entries,
        ),
        st.tuples(st.just("revoke"), ids, entries),
        st.tuples(st.just("revoke_subject"), subjects, entries),
        st.tuples(st.just("find"), subjects),
        st.tuples(st.just("revocations")),
        st.tuples(st.just("purge"), moments),
    ),
    max_size=25,
)


async def told(store: Store, steps: list[tuple[Any, ...]]) -> list[Any]:
    """What *store* answers to *steps*, in words that both stores share."""
    answers: list[Any] = []
    cursor: str | None = None
    for name, *arguments in steps:
        if name == "revocations":
            found, cursor = await store.revocations(cursor)
            answers.append(sorted(found, key=repr))
            continue
        try:
            answer = await getattr(store, name)(*arguments)
        except Exception:  # noqa: BLE001
            answer = "raised"
        answers.append(by_id(answer) if name == "find" else answer)
    answers.append(sorted(await logged(store), key=repr))
    return answers


@given(steps=operations)
def test_memory_and_sqlite_give_the_same_answers(steps: list[tuple[Any, ...]]) -> None:
    async def both() -> None:
        sqlite = SQLiteStore(":memory:")
        try:
            assert await told(sqlite, steps) == await told(MemoryStore(), steps)
        finally:
            sqlite.close()

    anyio.run(both)


# --- SQLite ---------------------------------------------------------------------------------------


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

    assert await sqlite.get("s1") == FULL
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
