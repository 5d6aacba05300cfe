"""
What a store answers to a sequence of operations, in words that all stores share.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeAlias

from asgi_refresh.sessions import Revocation, Session
from asgi_refresh.store import BATCH, Store

from .samples import a_revocation, a_session

_MOST_PAGES = 100
Step: TypeAlias = tuple[Any, ...]
"""The name of an operation, and its arguments; `revocations` goes on from its last cursor."""


async def logged(store: Store, cursor: str | None = None) -> list[Revocation]:
    """Return what was logged since *cursor*, to its end, in an order of its own."""
    entries: list[Revocation] = []
    for _ in range(_MOST_PAGES):
        before = cursor
        page, cursor = await store.revocations(before)
        entries += page
        if len(page) < BATCH or cursor == before:
            return sorted(entries, key=repr)
    raise AssertionError("revocations goes on for ever: its cursor never comes to an end")


def random_steps(chance: random.Random, count: int) -> list[Step]:
    """Return *count* operations on three sessions of two subjects, none of which is over."""
    sessions = [a_session(1), a_session(2), a_session(3, "bob")]

    def version() -> Session:
        current = chance.randint(1, 9)
        return replace(chance.choice(sessions), version=chance.randint(1, 3), current=current)

    def step() -> Step:
        session, old = chance.choice(sessions), version()
        entry = a_revocation(
            session, jti=chance.choice([None, "j"]), access_from=chance.randint(1, 3)
        )
        new = replace(old, version=chance.randint(1, 3), device=chance.choice([None, "phone"]))
        return chance.choice(
            (
                ("add", version()),
                ("get", session.id),
                ("replace", old, new, chance.choice([None, entry])),
                ("revoke", session.id, entry),
                ("revoke_subject", session.subject, entry),
                ("find", session.subject),
                ("revocations",),
            )
        )

    return [step() for _ in range(count)]


async def replay(store: Store, steps: Iterable[Step]) -> list[Any]:
    """Return what *store* answers to *steps*, in words that all stores share."""
    answers: list[Any] = []
    cursor: str | None = None
    told: set[Revocation] = set()
    for name, *arguments in steps:
        if name == "revocations":
            found = set(await logged(store, cursor))
            answers.append(sorted(found - told, key=repr))  # twice is allowed
            told |= found
            _, cursor = await store.revocations(cursor)
            continue
        try:
            answer = await getattr(store, name)(*arguments)
        except Exception:  # noqa: BLE001 - which error it is, is the store's affair
            answer = "raised"
        answers.append(sorted(answer, key=repr) if name == "find" else answer)
    return [*answers, await logged(store)]
