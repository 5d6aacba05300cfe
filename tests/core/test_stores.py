"""What the two stores without a server do beyond the contract that `tests.stores` checks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from asgi_refresh import MemoryStore, Revocation, Session, SQLiteStore, Store
from asgi_refresh.sessions import freeze
from tests.support import Clock, new_session

pytestmark = pytest.mark.anyio
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


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, path: Path) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
    else:
        sqlite = SQLiteStore(path)
        yield sqlite
        sqlite.close()


async def logged(store: Store, cursor: str | None = None) -> list[Revocation]:
    return (await store.revocations(cursor))[0]


async def test_claims_come_back_read_only(store: Store) -> None:
    await store.add(FULL)
    found = await store.get("s1")
    assert found is not None

    with pytest.raises(TypeError):
        found.claims["deep"]["more"] = 1


async def test_an_expired_session_may_still_be_read(store: Store) -> None:
    await store.add(session(expires_at=1.0, idle_expires_at=1.0))

    assert await store.get("s1") is not None


async def test_replace_compares_the_version_alone(store: Store) -> None:
    await store.add(session())

    assert await store.replace(session(current=44), session(version=2)) is True


async def test_revoke_subject_without_sessions_logs_nothing(store: Store) -> None:
    assert await store.revoke_subject("alice", ends("")) == 0
    assert await logged(store) == []


@pytest.mark.parametrize("subject", ["", "ALICE", "alice ", "al%", "a_ice", "'; DROP TABLE x; --"])
async def test_subjects_and_ids_are_compared_exactly(store: Store, subject: str) -> None:
    await store.add(session("alice", "alice"))

    assert await store.find(subject) == []
    assert await store.get(subject) is None
    assert await store.revoke_subject(subject, ends("")) == 0
    assert await store.get("alice") is not None


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
