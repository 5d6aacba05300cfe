"""Every store answers to any sequence of operations as `MemoryStore` does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asgi_refresh import MemoryStore, Revocation, SQLiteStore
from asgi_refresh.sessions import freeze
from asgi_refresh.testing.replay import Step, replay
from asgi_refresh.testing.samples import FULL, NOW, a_session
from tests.stores.support import KINDS as ALL
from tests.stores.support import ON_REDIS, ON_SQL, Place, kinds

pytestmark = pytest.mark.anyio

KINDS = tuple(kind for kind in ALL if kind != "memory")
SESSIONS = [a_session(1), a_session(2), a_session(3, "bob")]
BY_ID = {session.id: session for session in SESSIONS}
FEW = settings(max_examples=15, suppress_health_check=list(HealthCheck))

ids = st.sampled_from([*BY_ID, "", "alice"])
subjects = st.sampled_from(["alice", "bob", "Alice", ""])
moments = st.sampled_from([NOW, NOW + 1, NOW + 2])
entries = st.builds(
    Revocation,
    session_id=st.sampled_from([*BY_ID]),
    at=st.just(NOW),
    until=moments,
    access_from=st.none() | st.integers(1, 3),
    jti=st.none() | st.just("j"),
)


def steps_with(ends: st.SearchStrategy[float]) -> st.SearchStrategy[list[Step]]:
    """Operations on three sessions of two subjects, which end at one of *ends*."""
    kept = st.builds(
        lambda session_id, **values: replace(BY_ID[session_id], **values),
        session_id=st.sampled_from([*BY_ID]),
        version=st.integers(1, 3),
        current=st.integers(1, 2**53 - 1),
        expires_at=ends,
        forked=st.booleans(),
        previous=st.none() | st.integers(1, 4),
        claims=st.sampled_from([freeze({}), FULL.claims]),
        device=st.none() | st.just(FULL.device),
    )
    replaced = st.builds(
        lambda old, new, entry: (
            "replace",
            old,
            replace(new, id=old.id, subject=old.subject),
            entry and replace(entry, session_id=old.id),
        ),
        kept,
        kept,
        st.none() | entries,
    )
    revoked = st.builds(
        lambda session_id, entry: ("revoke", session_id, replace(entry, session_id=session_id)),
        ids,
        entries,
    )
    return st.lists(
        st.one_of(
            st.tuples(st.just("add"), kept),
            st.tuples(st.just("get"), ids),
            replaced,
            revoked,
            st.tuples(st.just("revoke_subject"), subjects, entries),
            st.tuples(st.just("find"), subjects),
            st.tuples(st.just("revocations")),
            st.tuples(st.just("purge"), moments),
        ),
        max_size=25,
    )


mortal = steps_with(moments)
lasting = steps_with(st.sampled_from([NOW + 3600, NOW + 7200]))  # Redis drops sessions by itself


@kinds("sqlite")
@given(steps=mortal)
async def test_sqlite_answers_as_memory_does(kind: str, steps: list[Step]) -> None:
    sqlite = SQLiteStore(":memory:")
    try:
        assert await replay(sqlite, steps) == await replay(MemoryStore(), steps)
    finally:
        sqlite.close()


@kinds(*ON_SQL)
@FEW
@given(steps=mortal)
async def test_an_sql_database_answers_as_memory_does(
    place: Place, store: Any, steps: list[Step]
) -> None:
    await place.empty()

    assert await replay(store, steps) == await replay(MemoryStore(), steps)


@kinds(*ON_REDIS)
@FEW
@given(steps=lasting)
async def test_redis_answers_as_memory_does(place: Place, store: Any, steps: list[Step]) -> None:
    await place.empty()

    assert await replay(store, steps) == await replay(MemoryStore(), steps)
