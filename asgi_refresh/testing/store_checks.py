"""
The rules of `asgi_refresh.Store`, one check each; every one takes a new, empty store.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Final

import anyio
import anyio.lowlevel

from asgi_refresh.sessions import Revocation, Session, freeze
from asgi_refresh.store import BATCH, MemoryStore, Store

from .replay import logged, random_steps, replay
from .samples import FULL, NOW, a_revocation, a_session

_OTHERS: Final = (
    "Alice",
    "alice ",
    " alice",
    "al%",
    "al_ce",
    "älice",
    "alice\u00a0",
    "é",
    "e\u0301",
)


async def keeps_every_field(store: Store) -> None:
    """`get` and `find` return what was added, in every field; None and nothing for others."""
    crowded = a_session(2, "\U0001f600" * 255, claims=freeze({"x": "y" * 3500}), device="d" * 255)
    for session in (FULL, crowded):
        await store.add(session)
        same(await store.get(session.id), session)
        same(await store.find(session.subject), [session])
    same(await store.get(a_session(3).id), None)
    same(await store.find("bob"), [])


async def refuses_an_id_twice(store: Store) -> None:
    """`add` of an id that exists raises and changes nothing."""
    await store.add(a_session())
    try:
        await store.add(a_session(current=9))
    except Exception:  # noqa: BLE001 - any error will do
        same(await store.get(a_session().id), a_session())
        same(len(await store.find("alice")), 1)
    else:
        raise AssertionError("the second add did not raise")


async def tells_subjects_apart(store: Store) -> None:
    """Subjects are compared character by character: no case folding, trimming or patterns."""
    await store.add(a_session())
    for number, subject in enumerate(_OTHERS, 2):
        same(await store.find(subject), [])
        same(await store.revoke_subject(subject, a_revocation(a_session())), 0)
        await store.add(a_session(number, subject))
        same([found.subject for found in await store.find(subject)], [subject])
    same(await store.find("alice"), [a_session()])


async def replaces_by_version(store: Store) -> None:
    """`replace` puts the new session in place if the version is the old one's, and only then."""
    await store.add(a_session())
    for version in (0, 2):
        old = a_session(version=version)
        same(await store.replace(old, replace(old, version=3), a_revocation(old)), False)
        same(await store.get(old.id), a_session())
    new = replace(FULL, version=2, created_at=NOW, expires_at=NOW + 9e6)
    same(await store.replace(a_session(), new), True)
    same(await store.get(new.id), new)
    same(await store.find("alice"), [new])
    same(await logged(store), [])
    entry = a_revocation(new, access_from=2, jti="j")
    same(await store.replace(new, replace(new, version=3), entry), True)
    same(await logged(store), [entry])


async def never_brings_back(store: Store) -> None:
    """`replace` never inserts: not a session that was never there, nor one that was ended."""
    old, new = a_session(), a_session(version=2)
    same(await store.replace(old, new, a_revocation(old)), False)
    await store.add(old)
    await store.revoke(old.id, a_revocation(old))
    same(await store.replace(old, new, a_revocation(old, access_from=2)), False)
    same(await store.get(old.id), None)
    same(await store.find("alice"), [])
    same(await logged(store), [a_revocation(old)])


async def lets_one_win(store: Store) -> None:
    """Of many who replace one version at a time, exactly one gets True, and its session stays."""
    await store.add(a_session())
    wins: list[int] = []

    async def attempt(number: int) -> None:
        if await store.replace(a_session(), a_session(version=2, current=number)):
            wins.append(number)

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(attempt, number)
    kept = await store.get(a_session().id)
    same(wins, [kept and kept.current])


async def ends_for_good(store: Store) -> None:
    """A session that is ended while others replace it stays ended, and each True was logged."""
    for number in range(12):
        sessions = [a_session(2 * number), a_session(2 * number + 1)]
        replaced: list[Revocation] = []
        for session in sessions:
            await store.add(session)
        async with anyio.create_task_group() as group:
            for session in (*sessions, *sessions):
                group.start_soon(_replace_on, store, session, replaced)
            await anyio.lowlevel.checkpoint()
            if number % 2:
                group.start_soon(store.revoke_subject, "alice", a_revocation(sessions[0]))
            else:
                for session in sessions:
                    group.start_soon(store.revoke, session.id, a_revocation(session))
        same([await store.get(session.id) for session in sessions], [None, None])
        same(await store.find("alice"), [])
        same([entry for entry in replaced if entry not in await logged(store)], [])


async def _replace_on(store: Store, session: Session, replaced: list[Revocation]) -> None:
    for version in range(1, 9):
        old = replace(session, version=version)
        entry = a_revocation(session, access_from=version, jti=f"{version}")
        if await store.replace(old, replace(old, version=version + 1), entry):
            replaced.append(entry)


async def revokes(store: Store) -> None:
    """`revoke` deletes, tells whether there was one, and logs in any case."""
    session, other = a_session(), a_session(2)
    await store.add(session)
    await store.add(other)
    same(await store.revoke(session.id, a_revocation(session)), True)
    same(await store.get(session.id), None)
    same(await store.find("alice"), [other])
    same(await store.revoke(session.id, a_revocation(session)), False)
    same(await logged(store), [a_revocation(session)] * 2)


async def ends_all_of_a_subject(store: Store) -> None:
    """`revoke_subject` deletes all sessions of one subject, logs and counts each, and no others."""
    sessions = [a_session(number) for number in range(5)]
    other = a_session(9, "bob")
    for session in (*sessions, other):
        await store.add(session)
    await store.revoke(sessions[0].id, a_revocation(sessions[0]))
    same(await store.revoke_subject("alice", replace(a_revocation(other), session_id="")), 4)
    same(await store.find("alice"), [])
    same([await store.get(session.id) for session in sessions], [None] * 5)
    same(await store.get(other.id), other)
    same(await logged(store), sorted(map(a_revocation, sessions), key=repr))
    same(await store.revoke_subject("alice", a_revocation(other)), 0)


async def follows_the_log(store: Store) -> None:
    """`revocations` goes on from its cursor; asking again with one gives the same again."""
    entries = [a_revocation(a_session(number), jti=f"j{number}") for number in range(3)]
    _, cursor = await store.revocations(None)
    for entry in entries:
        await store.revoke(entry.session_id, entry)
        _, after = await store.revocations(cursor)
        same(entry in await logged(store, cursor), True)
        same(entry in await logged(store, cursor), True)
        same(await logged(store, after), [])
        cursor = after
    same(await logged(store), entries)


async def skips_no_entry(store: Store) -> None:
    """A reader who follows the log while others write misses nothing, however busy they are."""
    seen: set[str] = set()
    written, done = [a_session(number, f"user{number % 7}") for number in range(60)], anyio.Event()

    async def follow() -> None:
        cursor: str | None = None
        last = False
        while not last:
            last = done.is_set()
            entries, cursor = await store.revocations(cursor)
            seen.update(entry.session_id for entry in entries)
            await anyio.lowlevel.checkpoint()

    async def write(sessions: Iterable[Session]) -> None:
        for session in sessions:
            await store.revoke(session.id, a_revocation(session))

    async with anyio.create_task_group() as group:
        group.start_soon(follow)
        async with anyio.create_task_group() as writers:
            for first in range(4):
                writers.start_soon(write, written[first::4])
        done.set()
    same(seen, {session.id for session in written})


async def tells_a_long_log(store: Store) -> None:
    """A log of more than a page is told to its end, by asking on with the cursor."""
    sessions = [a_session(number) for number in range(BATCH + 5)]
    for session in sessions[:9]:
        await store.revoke(session.id, a_revocation(session))
    async with anyio.create_task_group() as group:
        for first in range(4):
            group.start_soon(_add_all, store, sessions[first::4])
    await store.revoke_subject("alice", a_revocation(sessions[0]))
    same({entry.session_id for entry in await logged(store)}, {s.id for s in sessions})


async def purges(store: Store) -> None:
    """`purge` leaves what is not over, and in the end nothing that is; cursors survive it."""
    ended = a_session(1, idle_expires_at=NOW)
    live = a_session(2, idle_expires_at=NOW + 60)
    over, held = a_revocation(a_session(3), until=NOW), a_revocation(a_session(4), until=NOW + 1)
    await store.add(ended)
    await store.add(live)
    await store.revoke(over.session_id, over)
    await store.revoke(held.session_id, held)
    _, cursor = await store.revocations(None)
    while await store.purge(NOW):
        pass
    same(await store.get(live.id), live)
    same(await logged(store), [held])
    with anyio.fail_after(5):  # a backend that drops it by itself may be a moment late
        while await store.get(ended.id) is not None:  # noqa: ASYNC110 - nothing tells when
            await anyio.sleep(0.001)
    same(await store.find("alice"), [live])
    await store.revoke(live.id, a_revocation(live))
    same(a_revocation(live) in await logged(store, cursor), True)


async def agrees_with_memory(store: Store) -> None:
    """It answers to any sequence of operations as `MemoryStore` does."""
    steps = random_steps(random.Random(1), 300)  # noqa: S311 - the same at each run
    same(await replay(store, steps), await replay(MemoryStore(), steps))


STORE_CHECKS: Final[tuple[Callable[[Store], Awaitable[None]], ...]] = (
    keeps_every_field,
    refuses_an_id_twice,
    tells_subjects_apart,
    replaces_by_version,
    never_brings_back,
    lets_one_win,
    ends_for_good,
    revokes,
    ends_all_of_a_subject,
    follows_the_log,
    skips_no_entry,
    tells_a_long_log,
    purges,
    agrees_with_memory,
)
"""Every rule, one check each."""


def same(got: object, wanted: object) -> None:
    """Raise AssertionError unless both are equal; works with `python -O` too."""
    if got != wanted:
        raise AssertionError(f"{got!r} where {wanted!r} is right")


async def _add_all(store: Store, sessions: Iterable[Session]) -> None:
    for session in sessions:
        await store.add(session)
