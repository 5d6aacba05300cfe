"""The checks of a store bite: a store that breaks a rule is told which."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asgi_refresh import MemoryStore, Revocation, Session
from asgi_refresh.store import BATCH
from asgi_refresh.testing import STORE_CHECKS, check_store

pytestmark = pytest.mark.anyio


class Inserts(MemoryStore):
    async def replace(self, old: Session, new: Session, revocation: Any = None) -> bool:
        if await self.get(old.id) is None:
            await self.add(new)
            return True
        return await super().replace(old, new, revocation)


class IgnoresTheVersion(MemoryStore):
    async def replace(self, old: Session, new: Session, revocation: Any = None) -> bool:
        return await super().replace(await self.get(old.id) or old, new, revocation)


class ComparesTheWholeRow(MemoryStore):
    async def replace(self, old: Session, new: Session, revocation: Any = None) -> bool:
        same = await self.get(old.id) == old
        return same and await super().replace(old, new, revocation)


class LooksBeforeItReplaces(MemoryStore):
    async def replace(self, old: Session, new: Session, revocation: Any = None) -> bool:
        kept = await self.get(old.id)
        if kept is None or kept.version != old.version:
            return False
        await anyio.lowlevel.checkpoint()
        return await super().replace(await self.get(old.id) or old, new, revocation)


class ForgetsToLogWhatItReplaces(MemoryStore):
    async def replace(self, old: Session, new: Session, revocation: Any = None) -> bool:
        return await super().replace(old, new)


class LogsWhatItDidNotReplace(MemoryStore):
    async def replace(self, old: Session, new: Session, revocation: Any = None) -> bool:
        if revocation is not None:
            self._remember(revocation)
        return await super().replace(old, new)


class ForgetsToLogWhatItDoesNotKeep(MemoryStore):
    async def revoke(self, session_id: str, revocation: Revocation) -> bool:
        return session_id in self._sessions and await super().revoke(session_id, revocation)


class RevokesWithoutDeleting(MemoryStore):
    async def revoke(self, session_id: str, revocation: Revocation) -> bool:
        self._remember(revocation)
        return session_id in self._sessions


class AlwaysHadOne(MemoryStore):
    async def revoke(self, session_id: str, revocation: Revocation) -> bool:
        await super().revoke(session_id, revocation)
        return True


class LeavesOne(MemoryStore):
    async def revoke_subject(self, subject: str, revocation: Revocation) -> int:
        ended = sorted(self._subjects.get(subject, ()))
        for session_id in ended[1:] or ended:
            await self.revoke(session_id, replace(revocation, session_id=session_id))
        return len(ended)


class LogsASubjectOnce(MemoryStore):
    async def revoke_subject(self, subject: str, revocation: Revocation) -> int:
        ended = list(self._subjects.get(subject, ()))
        for session_id in ended:
            self._drop(session_id)
        self._remember(revocation)
        return len(ended)


class OverwritesAnId(MemoryStore):
    async def add(self, session: Session) -> None:
        self._drop(session.id)
        await super().add(session)


class FoldsCase(MemoryStore):
    async def find(self, subject: str) -> list[Session]:
        names = [name for name in self._subjects if name.casefold() == subject.casefold()]
        return [found for name in names for found in await super(FoldsCase, self).find(name)]


class TrimsSpaces(MemoryStore):
    async def revoke_subject(self, subject: str, revocation: Revocation) -> int:
        return await super().revoke_subject(subject.rstrip(), revocation)


class CutsLongNames(MemoryStore):
    async def add(self, session: Session) -> None:
        await super().add(replace(session, device=session.device and session.device[:100]))


class ReadsTheLogFromItsBegin(MemoryStore):
    async def revocations(self, cursor: str | None) -> tuple[list[Revocation], str]:
        return await super().revocations(None)


class TellsNothingBehindACursor(MemoryStore):
    async def revocations(self, cursor: str | None) -> tuple[list[Revocation], str]:
        return await super().revocations("0") if cursor is None else ([], cursor)


class SkipsTheEntryBehindTheCursor(MemoryStore):
    async def revocations(self, cursor: str | None) -> tuple[list[Revocation], str]:
        return await super().revocations(cursor and str(int(cursor) + 1))


class NumbersBeforeItWrites(MemoryStore):
    """As a sequence does: the entry that got its number first may come last."""

    async def revoke(self, session_id: str, revocation: Revocation) -> bool:
        self._logged += 1
        number = self._logged
        for _ in range(number % 4):
            await anyio.lowlevel.checkpoint()
        self._log[number] = revocation
        self._log = dict(sorted(self._log.items()))
        return self._drop(session_id)


class TellsOnePage(MemoryStore):
    async def revocations(self, cursor: str | None) -> tuple[list[Revocation], str]:
        entries, cursor = await super().revocations(cursor)
        return entries[:BATCH], cursor


class TellsTheSamePageForEver(MemoryStore):
    """All is well but a long log: its first page comes again and again, with one cursor."""

    async def revocations(self, cursor: str | None) -> tuple[list[Revocation], str]:
        await anyio.lowlevel.checkpoint()
        entries, after = await super().revocations(cursor)
        return (entries[:BATCH], "0") if len(entries) > BATCH else (entries, after)


class PurgesTheLiving(MemoryStore):
    async def purge(self, now: float) -> int:
        return await super().purge(now + 3600)


class PurgesSessionsOnly(MemoryStore):
    async def purge(self, now: float) -> int:
        kept = dict(self._log)
        count = await super().purge(now)
        count -= len(kept) - len(self._log)
        self._log = kept
        return count


class PurgesNumbersToo(MemoryStore):
    async def purge(self, now: float) -> int:
        count = await super().purge(now)
        self._log = dict(enumerate(self._log.values(), 1))
        self._logged = len(self._log)
        return count


BROKEN: dict[type[MemoryStore], set[str]] = {
    Inserts: {"replaces_by_version", "never_brings_back"},
    IgnoresTheVersion: {"replaces_by_version"},
    ComparesTheWholeRow: {"agrees_with_memory"},
    LooksBeforeItReplaces: {"lets_one_win"},
    ForgetsToLogWhatItReplaces: {"replaces_by_version"},
    LogsWhatItDidNotReplace: {"replaces_by_version"},
    ForgetsToLogWhatItDoesNotKeep: {"revokes"},
    RevokesWithoutDeleting: {"never_brings_back"},
    AlwaysHadOne: {"revokes"},
    LeavesOne: {"ends_all_of_a_subject"},
    LogsASubjectOnce: {"tells_subjects_apart", "ends_all_of_a_subject"},
    OverwritesAnId: {"refuses_an_id_twice"},
    FoldsCase: {"tells_subjects_apart"},
    TrimsSpaces: {"tells_subjects_apart"},
    CutsLongNames: {"keeps_every_field"},
    ReadsTheLogFromItsBegin: {"follows_the_log"},
    TellsNothingBehindACursor: {"follows_the_log"},
    SkipsTheEntryBehindTheCursor: {"follows_the_log"},
    NumbersBeforeItWrites: {"skips_no_entry"},
    TellsOnePage: {"tells_a_long_log"},
    TellsTheSamePageForEver: {"tells_a_long_log"},
    PurgesTheLiving: {"purges"},
    PurgesSessionsOnly: {"purges"},
    PurgesNumbersToo: {"purges"},
}
"""Stores that break one rule each, and the rules that may notice first."""


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
async def test_a_store_that_breaks_a_rule_is_told_which(broken: type[MemoryStore]) -> None:
    with anyio.fail_after(20), pytest.raises(AssertionError) as caught:
        await check_store(broken)

    [note] = caught.value.__notes__
    assert note.partition(":")[0] in BROKEN[broken]


@pytest.mark.parametrize(
    "name", [f.name for f in fields(Session) if f.name not in ("id", "version")]
)
async def test_a_store_that_loses_a_field_is_told(name: str) -> None:
    class Loses(MemoryStore):
        async def add(self, session: Session) -> None:
            plain = MemoryStore.add
            unset: Any = {"claims": {}, "subject": "somebody"}.get(name)
            await plain(self, replace(session, **{name: unset}))

    with pytest.raises(AssertionError) as caught:
        await check_store(Loses)
    assert caught.value.__notes__[0].startswith("keeps_every_field: ")


@pytest.mark.parametrize("name", ["session_id", "at", "until", "access_from", "jti"])
async def test_a_store_that_loses_a_field_of_an_entry_is_told(name: str) -> None:
    class Loses(MemoryStore):
        def _remember(self, revocation: Revocation) -> None:
            super()._remember(replace(revocation, **{name: None}))

    with pytest.raises(AssertionError):
        await check_store(Loses)


async def test_a_store_whose_cursor_never_ends_is_told_in_time() -> None:
    class NeverEnds(MemoryStore):
        asked = 0

        async def revocations(self, cursor: str | None) -> tuple[list[Revocation], str]:
            await anyio.lowlevel.checkpoint()
            NeverEnds.asked += 1
            everything, _ = await super().revocations(None)
            if len(everything) > BATCH:
                return everything[:BATCH], f"page {NeverEnds.asked}"
            return await super().revocations(cursor)

    with anyio.fail_after(2), pytest.raises(AssertionError):
        await check_store(NeverEnds)


async def test_a_store_that_keeps_the_rules_passes() -> None:
    await check_store(MemoryStore)


async def test_stores_may_be_made_by_a_coroutine_one_for_each_check() -> None:
    made: list[MemoryStore] = []

    async def make() -> MemoryStore:
        await anyio.lowlevel.checkpoint()
        made.append(MemoryStore())
        return made[-1]

    await check_store(make)
    assert len(made) == len(STORE_CHECKS)


async def test_an_error_of_the_store_itself_has_the_note_too() -> None:
    class Fails(MemoryStore):
        async def find(self, subject: str) -> list[Session]:
            raise OSError("away")

    with pytest.raises(OSError, match="away") as caught:
        await check_store(Fails)
    assert caught.value.__notes__[0].startswith("keeps_every_field: ")
