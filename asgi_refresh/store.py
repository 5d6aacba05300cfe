"""
What a store must do, and the one that lives in memory.

A store is dumb: it keeps rows and a log, and every policy lives elsewhere. Each operation is
atomic. Two thirds of an implementation is `sessions.to_row` and `sessions.from_row`.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final, Protocol, TypeVar, runtime_checkable

import anyio

from .errors import StoreUnavailable
from .events import Event, EventHook
from .sessions import Revocation, Session
from .telemetry import measure

T = TypeVar("T")

BATCH: Final = 1000
"""The most rows that a store needs to return from `revocations`, or drop in `purge`, at a time."""


@runtime_checkable
class Store(Protocol):
    """
    Keeps sessions, and remembers revocations until the last token they concern is out.

    Methods raise whatever the backend raises; the caller bounds every call in time and treats any
    error as an outage. No method retries, and none creates what it was not told to.
    """

    async def add(self, session: Session) -> None:
        """Keep a new session. An id that exists raises."""
        ...

    async def get(self, session_id: str) -> Session | None:
        """Return the session; None if there is none. Expired ones may be returned."""
        ...

    async def replace(
        self, old: Session, new: Session, revocation: Revocation | None = None
    ) -> bool:
        """
        Put *new* in the place of *old* if the session is still kept and of *old*'s version.

        Returns False, with nothing changed, if it is not; it never inserts. Id and subject of
        both are the same. With *revocation*, log that too, in the same atomic step.
        """
        ...

    async def revoke(self, session_id: str, revocation: Revocation) -> bool:
        """
        Delete the session and log *revocation*; return whether there was one.

        The deletion is atomic. An id that is not kept is logged all the same: an access token of
        it may still be out.
        """
        ...

    async def revoke_subject(self, subject: str, revocation: Revocation) -> int:
        """
        Delete every session of *subject*, in one step, and return how many there were.

        For each, *revocation* is logged with its session id in place.
        """
        ...

    async def find(self, subject: str) -> list[Session]:
        """Return the sessions of *subject*, in any order. Expired ones may be among them."""
        ...

    async def revocations(self, cursor: str | None) -> tuple[list[Revocation], str]:
        """
        Return what was logged since *cursor*, and the cursor to ask with next; None: everything.

        An entry may be returned twice; none is ever skipped, however late its write committed.
        A long log may come in pages: after `BATCH` entries or more there may be others.
        """
        ...

    async def purge(self, now: float) -> int:
        """
        Drop sessions that ended and revocations whose `until` is over; return how many.

        A call may leave some for the next; one that returns 0 has left nothing. What the backend
        drops by itself, on time, is not counted.
        """
        ...


class MemoryStore:
    """A store in this process: for tests, and for one process whose restart may sign users out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # loops in several threads may share it
        self._sessions: dict[str, Session] = {}
        self._subjects: dict[str, set[str]] = {}
        self._log: dict[int, Revocation] = {}
        self._logged = 0

    async def add(self, session: Session) -> None:
        """Keep a new session; ValueError if its id exists."""
        with self._lock:
            if session.id in self._sessions:
                raise ValueError("a session of this id exists")
            self._sessions[session.id] = session
            self._subjects.setdefault(session.subject, set()).add(session.id)

    async def get(self, session_id: str) -> Session | None:
        """Return the session; None if there is none."""
        return self._sessions.get(session_id)

    async def replace(
        self, old: Session, new: Session, revocation: Revocation | None = None
    ) -> bool:
        """Put *new* in the place of *old*; False if that is no longer what is kept."""
        with self._lock:
            kept = self._sessions.get(old.id)
            if kept is None or kept.version != old.version:
                return False
            self._sessions[old.id] = new
            if revocation is not None:
                self._remember(revocation)
            return True

    async def revoke(self, session_id: str, revocation: Revocation) -> bool:
        """Delete the session and log *revocation*."""
        with self._lock:
            self._remember(revocation)
            return self._drop(session_id)

    async def revoke_subject(self, subject: str, revocation: Revocation) -> int:
        """Delete every session of *subject*, logging each."""
        with self._lock:
            ended = list(self._subjects.get(subject, ()))
            for session_id in ended:
                self._remember(replace(revocation, session_id=session_id))
                self._drop(session_id)
            return len(ended)

    async def find(self, subject: str) -> list[Session]:
        """Return the sessions of *subject*."""
        with self._lock:
            return [self._sessions[session_id] for session_id in self._subjects.get(subject, ())]

    async def revocations(self, cursor: str | None) -> tuple[list[Revocation], str]:
        """Return what was logged since *cursor*, and the next cursor."""
        with self._lock:
            seen = int(cursor or 0)
            if seen == self._logged:
                return [], str(seen)
            new = itertools.takewhile(lambda item: item[0] > seen, reversed(self._log.items()))
            return [entry for _, entry in new][::-1], str(self._logged)

    async def purge(self, now: float) -> int:
        """Drop what is over."""
        with self._lock:
            ended = [s.id for s in self._sessions.values() if s.ends_at <= now]
            forgotten = [at for at, entry in self._log.items() if entry.until <= now]
            for session_id in ended:
                self._drop(session_id)
            for at in forgotten:
                del self._log[at]
            return len(ended) + len(forgotten)

    def _remember(self, revocation: Revocation) -> None:
        self._logged += 1
        self._log[self._logged] = revocation

    def _drop(self, session_id: str) -> bool:
        session = self._sessions.pop(session_id, None)
        if session is None:
            return False
        of_subject = self._subjects[session.subject]
        of_subject.discard(session_id)
        if not of_subject:
            del self._subjects[session.subject]
        return True


class BoundedStore:
    """
    A store whose every call ends in time and fails in one way only: `StoreUnavailable`.

    Args:
        store: Any store.
        timeout: Seconds for each call.
        emit: Told of every failure.
        timer: Seconds since any moment, to measure calls by.
    """

    def __init__(
        self,
        store: Store,
        *,
        timeout: float,
        emit: EventHook,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._store, self._timeout, self._emit, self._timer = store, timeout, emit, timer

    async def add(self, session: Session) -> None:
        """See `Store.add`."""
        await self._bounded("add", lambda: self._store.add(session), _anything)

    async def get(self, session_id: str) -> Session | None:
        """See `Store.get`."""
        return await self._bounded("get", lambda: self._store.get(session_id), _is_session)

    async def replace(
        self, old: Session, new: Session, revocation: Revocation | None = None
    ) -> bool:
        """See `Store.replace`."""
        return await self._bounded(
            "replace", lambda: self._store.replace(old, new, revocation), _anything
        )

    async def revoke(self, session_id: str, revocation: Revocation) -> bool:
        """See `Store.revoke`."""
        return await self._bounded(
            "revoke", lambda: self._store.revoke(session_id, revocation), _anything
        )

    async def revoke_subject(self, subject: str, revocation: Revocation) -> int:
        """See `Store.revoke_subject`."""
        return await self._bounded(
            "revoke_subject", lambda: self._store.revoke_subject(subject, revocation), _is_int
        )

    async def find(self, subject: str) -> list[Session]:
        """See `Store.find`."""
        return await self._bounded("find", lambda: self._store.find(subject), _are_sessions)

    async def revocations(self, cursor: str | None) -> tuple[list[Revocation], str]:
        """See `Store.revocations`."""
        return await self._bounded("revocations", lambda: self._store.revocations(cursor), _is_page)

    async def purge(self, now: float) -> int:
        """See `Store.purge`."""
        return await self._bounded("purge", lambda: self._store.purge(now), _is_int)

    async def _bounded(
        self, what: str, call: Callable[[], Awaitable[T]], is_answer: Callable[[Any], bool]
    ) -> T:
        began = self._timer()
        try:
            with anyio.fail_after(self._timeout):
                answer = await call()
        except Exception as error:
            measure(what, self._timer() - began, type(error).__name__)
            raise self._failed(what, type(error).__name__) from error
        measure(what, self._timer() - began)
        if not is_answer(answer):
            raise self._failed(what, f"it answers with {type(answer).__name__}")
        return answer

    def _failed(self, what: str, why: str) -> StoreUnavailable:
        self._emit(Event("store_unavailable", reason=what, detail=why))
        return StoreUnavailable(f"the store's {what} failed: {why}")


def _anything(_answer: Any) -> bool:
    return True


def _is_int(answer: Any) -> bool:
    return isinstance(answer, int)


def _is_session(answer: Any) -> bool:
    return answer is None or isinstance(answer, Session)


def _are_sessions(answer: Any) -> bool:
    return isinstance(answer, list) and all(isinstance(item, Session) for item in answer)  # pyright: ignore[reportUnknownVariableType]


def _is_page(answer: Any) -> bool:
    if not isinstance(answer, tuple) or len(answer) != 2:  # pyright: ignore[reportUnknownArgumentType]
        return False
    entries, cursor = answer  # pyright: ignore[reportUnknownVariableType]
    listed = isinstance(entries, list) and all(isinstance(item, Revocation) for item in entries)  # pyright: ignore[reportUnknownVariableType]
    return listed and isinstance(cursor, str)
