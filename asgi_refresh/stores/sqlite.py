"""
The embedded store: one SQLite file, shared by the processes of one host.

SQLite runs in two threads of the store's own, one to read and one to write, so a slow disk never
holds up the event loop, nor a lock the reads; and every operation is one transaction. The file is
in WAL mode and written through to the disk: a revocation that was answered survives a power cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import anyio

from asgi_refresh.sessions import FIELDS, Revocation, Session, from_row, to_row
from asgi_refresh.store import BATCH

T = TypeVar("T")
_IN_MEMORY = Path(":memory:")
_Job = tuple[Callable[[sqlite3.Connection], Any], "Future[Any]", Callable[[], object]]

_SCHEMA = (
    """
    CREATE TABLE IF NOT EXISTS refresh_sessions (
        id TEXT PRIMARY KEY, subject TEXT NOT NULL, created_at REAL NOT NULL,
        auth_time REAL NOT NULL, expires_at REAL NOT NULL, idle_expires_at REAL NOT NULL,
        current INTEGER NOT NULL, previous INTEGER, rotated_at REAL, late INTEGER NOT NULL,
        forked INTEGER NOT NULL, barrier_at REAL, access_from INTEGER NOT NULL,
        claims TEXT NOT NULL, persistent INTEGER NOT NULL, device TEXT, last_seen REAL NOT NULL,
        version INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS refresh_sessions_subject ON refresh_sessions (subject)",
    """
    CREATE INDEX IF NOT EXISTS refresh_sessions_end
        ON refresh_sessions (min(expires_at, idle_expires_at))
    """,
    """
    CREATE TABLE IF NOT EXISTS refresh_revocations (
        number INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL, at REAL NOT NULL,
        until REAL NOT NULL, access_from INTEGER, jti TEXT
    )
    """,
    "CREATE INDEX IF NOT EXISTS refresh_revocations_until ON refresh_revocations (until)",
)
_COLUMNS = ", ".join(FIELDS)
_SELECT = f"SELECT {_COLUMNS} FROM refresh_sessions"  # noqa: S608 - names of ours
_INSERT = f"INSERT INTO refresh_sessions ({_COLUMNS}) VALUES ({', '.join('?' * len(FIELDS))})"  # noqa: S608
_MUTABLE = tuple(name for name in FIELDS if name not in ("id", "subject", "created_at"))
_UPDATE = (
    f"UPDATE refresh_sessions SET {', '.join(f'{name} = :{name}' for name in _MUTABLE)}"  # noqa: S608
    " WHERE id = :id AND version = :old_version"
)
_LAST = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'refresh_revocations'"
# At least the time in microseconds: after a restored backup no number is given again.
_LOG = f"""
    INSERT INTO refresh_revocations (number, session_id, at, until, access_from, jti)
        VALUES (max(({_LAST}) + 1, ?), ?, ?, ?, ?, ?)
"""  # noqa: S608
_OVER = (
    ("refresh_sessions", "id", "min(expires_at, idle_expires_at)"),
    ("refresh_revocations", "number", "until"),
)
_PURGE = [
    f"DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE {end} <= ? LIMIT ?)"  # noqa: S608
    for table, key, end in _OVER
]


class SQLiteStore:
    """
    Keeps sessions in the SQLite file *path*, created at first use.

    Works on asyncio and trio, and for several processes on one host; not on a network file system.

    Args:
        path: The file. ":memory:" is a store that ends with this object.
        busy_timeout: Seconds to wait for another process' write before giving up.
    """

    def __init__(self, path: str | os.PathLike[str], *, busy_timeout: float = 1.0) -> None:
        self._path = Path(path)  # ":memory:" stays what it is
        self._busy_timeout = busy_timeout
        self._lock = threading.Lock()
        self._workers: dict[str, _Worker] = {}

    def __repr__(self) -> str:
        return f"<SQLiteStore {str(self._path)!r}>"

    def exists(self) -> bool:
        """Return whether there is anything yet: the file, or a store in memory."""
        return self._path == _IN_MEMORY or self._path.exists()

    async def add(self, session: Session) -> None:
        """Keep a new session; `sqlite3.IntegrityError` if its id exists."""
        await self._write(lambda db: db.execute(_INSERT, to_row(session)))

    async def get(self, session_id: str) -> Session | None:
        """Return the session; None if there is none."""

        def job(db: sqlite3.Connection) -> Session | None:
            row = db.execute(f"{_SELECT} WHERE id = ?", (session_id,)).fetchone()
            return None if row is None else from_row(row)

        return await self._read(job)

    async def replace(
        self, old: Session, new: Session, revocation: Revocation | None = None
    ) -> bool:
        """Put *new* in the place of *old*; False if that is no longer what is kept."""

        def job(db: sqlite3.Connection) -> bool:
            values = dict(zip(FIELDS, to_row(new), strict=True)) | {"old_version": old.version}
            updated = db.execute(_UPDATE, values).rowcount == 1
            if updated and revocation is not None:
                _log(db, revocation)
            return updated

        return await self._write(job)

    async def revoke(self, session_id: str, revocation: Revocation) -> bool:
        """Delete the session and log *revocation*."""

        def job(db: sqlite3.Connection) -> bool:
            deleted = db.execute("DELETE FROM refresh_sessions WHERE id = ?", (session_id,))
            _log(db, revocation)
            return deleted.rowcount == 1

        return await self._write(job)

    async def revoke_subject(self, subject: str, revocation: Revocation) -> int:
        """Delete every session of *subject*, logging each."""

        def job(db: sqlite3.Connection) -> int:
            ended = db.execute(
                "DELETE FROM refresh_sessions WHERE subject = ? RETURNING id", (subject,)
            ).fetchall()
            for (session_id,) in ended:
                _log(db, replace(revocation, session_id=session_id))
            return len(ended)

        return await self._write(job)

    async def find(self, subject: str) -> list[Session]:
        """Return the sessions of *subject*."""

        def job(db: sqlite3.Connection) -> list[Session]:
            rows = db.execute(f"{_SELECT} WHERE subject = ?", (subject,))
            return [from_row(row) for row in rows]

        return await self._read(job)

    async def revocations(self, cursor: str | None) -> tuple[list[Revocation], str]:
        """
        Return what was logged since *cursor*: SQLite writes one after the other, in number.

        A number that was never given is from before a backup was restored: then all is read.
        """

        def job(db: sqlite3.Connection) -> tuple[list[Revocation], str]:
            since = int(cursor or 0)
            if since > _last_number(db):
                since = 0
            rows = db.execute(
                "SELECT number, session_id, at, until, access_from, jti FROM refresh_revocations"
                " WHERE number > ? ORDER BY number LIMIT ?",
                (since, BATCH),
            ).fetchall()
            return [Revocation(*row[1:]) for row in rows], str(rows[-1][0] if rows else since)

        return await self._read(job)

    async def purge(self, now: float) -> int:
        """Drop up to `BATCH` sessions that ended, and as many revocations that are over."""

        def job(db: sqlite3.Connection) -> int:
            return sum(db.execute(statement, (now, BATCH)).rowcount for statement in _PURGE)

        return await self._write(job)

    def close(self) -> None:
        """Finish what was begun, and close the file; the next call opens it again."""
        with self._lock:
            mine = [w for w in self._workers.values() if w.pid == os.getpid()]
            self._workers = {}
            for worker in mine:
                worker.jobs.put(None)
        for worker in mine:
            worker.thread.join()

    async def _write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run *job* as one transaction; one that has begun ends even if this call is cancelled."""
        return await self._do("write", lambda db: _transaction(db, job))

    async def _read(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run *job* beside the writes: while those wait for another process, reads go on."""
        return await self._do("write" if self._path == _IN_MEMORY else "read", job)

    async def _do(self, kind: str, job: Callable[[sqlite3.Connection], T]) -> T:
        """Return what *job* returns; asyncio and trio alike. One not begun may be cancelled."""
        done, outcome = anyio.Event(), Future[T]()
        call_soon = _loop_caller()
        with self._lock:
            worker = self._workers.get(kind)
            if worker is None or worker.pid != os.getpid():  # a fork leaves it behind
                worker = self._workers[kind] = _Worker(self._path, self._busy_timeout)
            worker.jobs.put((job, outcome, lambda: call_soon(done.set)))
        try:
            await done.wait()
        finally:
            outcome.cancel()
        return outcome.result()


class _Worker:
    """A thread with the connection, and the jobs that wait for it; None among them ends it."""

    def __init__(self, path: Path, busy_timeout: float) -> None:
        self.pid = os.getpid()
        self.jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._path, self._busy_timeout = path, busy_timeout
        self.thread = threading.Thread(target=self._work, name="asgi_refresh-sqlite", daemon=True)
        self.thread.start()

    def _work(self) -> None:
        db: sqlite3.Connection | None = None
        while (item := self.jobs.get()) is not None:
            job, outcome, wake = item
            if not outcome.set_running_or_notify_cancel():
                continue  # who asked has given up, maybe long ago
            try:
                if db is None:
                    db = _open(self._path, self._busy_timeout)
                outcome.set_result(job(db))
            except BaseException as error:  # noqa: BLE001 - it belongs to the caller
                outcome.set_exception(error)
            with contextlib.suppress(Exception):  # the loop that asked may be gone: nobody waits
                wake()
        if db is not None:
            db.close()


def _loop_caller() -> Callable[[Callable[[], None]], object]:
    """Return what calls a function soon in the event loop that runs here, from any thread."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        run_sync_soon: Callable[[Callable[[], None]], object] = (
            trio.lowlevel.current_trio_token().run_sync_soon
        )
        return run_sync_soon
    return asyncio.get_running_loop().call_soon_threadsafe


def _open(path: Path, busy_timeout: float) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None, check_same_thread=False)
    try:
        # Of processes that open a new file together one gets to switch it, for all of them.
        with contextlib.suppress(sqlite3.OperationalError):
            db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        for statement in _SCHEMA:
            db.execute(statement)
    except BaseException:
        db.close()
        raise
    return db


def _transaction(db: sqlite3.Connection, job: Callable[[sqlite3.Connection], T]) -> T:
    # IMMEDIATE takes the write lock at once: only then does SQLite wait for another's.
    db.execute("BEGIN IMMEDIATE")
    try:
        result = job(db)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return result


def _last_number(db: sqlite3.Connection) -> int:
    """Return the last number that an entry got, whether it is still there or not."""
    return int(db.execute(_LAST).fetchone()[0])


def _log(db: sqlite3.Connection, entry: Revocation) -> None:
    row = (entry.session_id, entry.at, entry.until, entry.access_from, entry.jti)
    db.execute(_LOG, (int(entry.at * 1e6), *row))
