"""
The session of a legacy token begins once: every order in which requests and a sign-out can meet.

The coroutines are driven by hand, one store operation at a time, through all interleavings.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from types import coroutine
from typing import Any

import pytest

from asgi_refresh import Event, LegacyToken, MemoryStore, Session
from asgi_refresh.adoption import Adoption
from asgi_refresh.errors import StoreUnavailable
from asgi_refresh.legacy import adoptable, adopted_id, is_adopted
from asgi_refresh.sessions import Revocation
from asgi_refresh.tokens import RefreshToken

NOW = 1_800_000_000.0
DAY = 86400.0
Task = Coroutine[Any, Any, Any]


@coroutine
def _pause() -> Iterator[None]:
    yield


class Stepped:
    """A memory store that pauses before each operation, and fails as a bounded one does."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.calls: list[str] = []
        self.lost: set[tuple[str, int]] = set()  # calls that take effect, and are not answered
        self.failing: set[tuple[str, int]] = set()  # calls that do not even take effect

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any) -> Any:
            await _pause()
            self.calls.append(name)
            if (name, self.calls.count(name)) in self.failing:
                raise StoreUnavailable(name)
            try:
                result = await getattr(self.store, name)(*args)
            except ValueError:
                raise StoreUnavailable(name) from None
            if (name, self.calls.count(name)) in self.lost:
                raise StoreUnavailable(name)
            return result

        return call


def revocation(session_id: str) -> Revocation:
    return Revocation(session_id, NOW, NOW + 600)


def legacy_token(**changes: Any) -> LegacyToken:
    values: dict[str, Any] = {
        "id": "j1", "subject": "alice", "expires_at": NOW + DAY, "issued_at": NOW - DAY,
        "claims": {"role": "admin"},
    }  # fmt: skip
    return LegacyToken(**values | changes)


def refresh_token(**changes: Any) -> RefreshToken:
    return adoptable(legacy_token(**changes), now=NOW, lifetime=90 * DAY)


TOKEN = refresh_token()


class World:
    """One store, and hosts that share it."""

    def __init__(self) -> None:
        self.stepped = Stepped()
        self.events: list[Event] = []
        self.adoption = Adoption(
            self.stepped, lambda: NOW, revocation, self.events.append, idle_lifetime=14 * DAY
        )

    async def present(self, token: RefreshToken = TOKEN) -> Session | None:
        """What `Rotating` does."""
        session: Session | None = await self.stepped.get(token.session_id)
        if token.session is not None:
            session = await self.adoption.adopt(token, token.session, session, None)
        return session

    async def end(self) -> None:
        """What `Kept.end` does."""
        await self.adoption.end(TOKEN.session_id)
        await self.stepped.revoke(TOKEN.session_id, revocation(TOKEN.session_id))

    async def end_subject(self) -> None:
        await self.adoption.end_subject("alice")
        await self.stepped.revoke_subject("alice", revocation(""))


def run(task: Task) -> Any:
    """Drive one coroutine to its end."""
    while True:
        try:
            task.send(None)
        except StopIteration as done:
            return done.value


def schedules(
    make: Callable[[], tuple[World, list[Task]]], *, preemptions: int
) -> Iterator[tuple[World, list[Any]]]:
    """
    Run the tasks in every order of their steps; yield each world with what they returned.

    At most *preemptions* times a task that could go on waits for another: more of them make the
    orders many, and have found nothing (all of two requests and a sign-out, once, in 9 minutes).
    """
    pending: list[tuple[int, ...]] = [()]
    while pending:
        prefix = pending.pop()
        world, tasks = make()
        results: list[Any] = [None] * len(tasks)
        alive, taken = list(range(len(tasks))), 0
        order: list[int] = []
        preempted = 0
        while alive:
            last = order[-1] if order and order[-1] in alive else None
            choice = alive[0] if last is None else last
            if taken < len(prefix):
                choice = prefix[taken]
            elif last is None or preempted < preemptions:
                pending += [(*order, other) for other in alive if other != choice]
            preempted += last is not None and choice != last
            order.append(choice)
            taken += 1
            try:
                tasks[choice].send(None)
            except StopIteration as done:
                results[choice] = done.value
                alive.remove(choice)
            except StoreUnavailable as error:
                results[choice] = error
                alive.remove(choice)
        yield world, results


def versions(world: World) -> dict[str, int]:
    """The marks, and which version each is of."""
    rows = world.stepped.store._sessions.values()
    return {row.id: row.version for row in rows if row.subject[0] == "\x1f"}


def marks(world: World) -> set[str]:
    return set(versions(world))


def test_two_requests_mean_one_session_in_every_order() -> None:
    def make() -> tuple[World, list[Task]]:
        world = World()
        return world, [world.present(), world.present()]

    count = 0
    for world, (first, second) in schedules(make, preemptions=12):
        assert first == second
        assert first is not None
        assert [e.reason for e in world.events] == ["adopted"]
        assert len(marks(world)) == 1
        count += 1
    assert count > 50


@pytest.mark.parametrize("end", [World.end, World.end_subject], ids=["session", "subject"])
def test_what_has_ended_is_never_begun_again(end: Callable[[World], Task]) -> None:
    """Two requests and a sign-out, in every order; then the token comes once more."""

    def make() -> tuple[World, list[Task]]:
        world = World()
        return world, [world.present(), world.present(), end(world)]

    count = 0
    for world, results in schedules(make, preemptions=3):
        if end is World.end:  # else a request that is neither first nor last may have to try again
            assert not any(isinstance(result, StoreUnavailable) for result in results)
        assert run(world.present()) is None
        assert run(world.stepped.find("alice")) == []
        count += 1
    assert count > 1000


def test_one_that_ends_while_it_begins_is_logged_as_ended() -> None:
    world = World()
    request = world.present()
    while "add" not in world.stepped.calls:
        request.send(None)
    run(world.adoption.end_subject("alice"))

    assert run(request) is None
    entries, _ = run(world.stepped.revocations(None))
    assert entries == [revocation(TOKEN.session_id)]


def test_ended_before_it_began_it_never_begins() -> None:
    """Not even for the moment between two steps of another request."""

    def make() -> tuple[World, list[Task]]:
        world = World()
        run(world.end())
        return world, [world.present(), world.present()]

    for world, results in schedules(make, preemptions=12):
        assert results == [None, None]
        assert world.events == []


def test_once_it_has_begun_it_takes_two_reads() -> None:
    world = World()
    run(world.present())
    world.stepped.calls.clear()
    run(world.present())

    assert world.stepped.calls == ["get", "get"]


def test_one_that_ends_between_the_two_reads_is_over() -> None:
    world = World()
    run(world.present())
    world.stepped.calls.clear()
    request = world.present()
    while "get" not in world.stepped.calls:
        request.send(None)
    run(world.end())

    assert run(request) is None


def test_dropped_when_idle_it_is_not_begun_again() -> None:
    world = World()
    token = refresh_token(expires_at=NOW + 30 * DAY)
    session = run(world.present(token))
    run(world.stepped.purge(session.idle_expires_at))

    assert run(world.present(token)) is None


@pytest.mark.parametrize("end", [World.end, World.end_subject], ids=["session", "subject"])
def test_an_end_is_remembered_for_as_long_as_a_browser_keeps_a_cookie(
    end: Callable[[World], Task],
) -> None:
    world = World()
    run(end(world))
    run(world.stepped.purge(NOW + 400 * DAY - 1))

    assert run(world.present()) is None


def test_what_has_ended_ends_again_without_a_write() -> None:
    world = World()
    run(world.adoption.end(TOKEN.session_id))
    world.stepped.calls.clear()
    run(world.adoption.end(TOKEN.session_id))

    assert world.stepped.calls == ["get"]


def test_a_mark_that_says_something_else_has_the_next_version() -> None:
    world = World()
    run(world.present())
    run(world.adoption.end_subject("alice"))
    before = versions(world)
    run(world.adoption.end(TOKEN.session_id))
    run(world.adoption.end_subject("alice"))

    assert len(before) == 2
    assert versions(world) == {mark: version + 1 for mark, version in before.items()}


def test_a_mark_goes_when_no_token_can_be_left() -> None:
    world = World()
    run(world.present())
    run(world.end_subject())

    run(world.stepped.purge(NOW + 401 * DAY))

    assert marks(world) == set()


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("operation", ["add", "get"])
def test_an_answer_that_is_lost_ends_nothing(operation: str, number: int) -> None:
    """The store has done it, and said that it is away: the next request finds the session."""
    world = World()
    world.stepped.lost = {(operation, number)}
    try:
        first = run(world.present())
    except StoreUnavailable:
        first = None
    again = run(world.present())

    assert again is not None
    assert first in (None, again)
    assert len(marks(world)) == 1


@pytest.mark.parametrize("end", [World.end, World.end_subject], ids=["session", "subject"])
def test_what_began_without_a_mark_ends_all_the_same(end: Callable[[World], Task]) -> None:
    """The store went away between the session and its mark; the sign-out came before."""
    world = World()
    world.stepped.failing = {("add", 3)}
    request = world.present()
    while world.stepped.calls.count("get") < 3:  # it has seen that nothing is cut off
        request.send(None)
    run(end(world))  # the first addition
    with contextlib.suppress(StoreUnavailable):
        assert run(request) is None
    world.stepped.failing.clear()

    assert run(world.present()) is None
    assert run(world.stepped.find("alice")) == []


def test_a_mark_lasts_as_long_as_its_token() -> None:
    world = World()
    run(world.present())
    run(world.stepped.purge(NOW + DAY))
    assert len(marks(world)) == 1

    run(world.stepped.purge(NOW + DAY + 3601))
    assert marks(world) == set()


def test_a_sign_out_everywhere_spares_a_token_of_the_same_second_and_later() -> None:
    world = World()
    run(world.end_subject())

    assert run(world.present(refresh_token(id="before", issued_at=NOW - 1))) is None
    assert run(world.present(refresh_token(id="no iat", issued_at=0))) is None
    assert run(world.present(refresh_token(id="same", issued_at=NOW))) is not None
    assert run(world.present(refresh_token(id="bob", subject="bob"))) is not None


def test_the_second_sign_out_everywhere_counts_from_its_own_time() -> None:
    world = World()
    run(world.end_subject())
    later = Adoption(
        world.stepped, lambda: NOW + 100, revocation, world.events.append, idle_lifetime=DAY
    )
    run(later.end_subject("alice"))

    token = refresh_token(id="between", issued_at=NOW + 50)
    assert run(later.adopt(token, token.session, None, None)) is None


def test_a_token_that_is_over_begins_nothing() -> None:
    world = World()
    token = refresh_token(expires_at=NOW)

    assert run(world.present(token)) is None
    assert marks(world) == set()


# --- the values -----------------------------------------------------------------------------------


def test_the_session_is_as_the_token_says() -> None:
    session = run(World().present())

    assert session.subject == "alice"
    assert session.claims == {"role": "admin"}
    assert (session.created_at, session.auth_time) == (NOW - DAY, 0.0)
    assert session.last_seen == NOW
    assert session.expires_at == NOW - DAY + 90 * DAY
    assert session.idle_expires_at == NOW + 14 * DAY
    assert (session.current, session.previous, session.rotated_at) == (1, None, None)


def test_the_idle_end_is_within_the_absolute_one() -> None:
    session = run(World().present(refresh_token(issued_at=NOW - 80 * DAY)))

    assert session.idle_expires_at == session.expires_at == NOW + 10 * DAY


def test_without_iat_it_begins_now() -> None:
    token = refresh_token(issued_at=0)

    assert token.session is not None
    assert token.session.created_at == NOW


def test_the_id_is_the_same_everywhere_and_another_for_every_token_and_subject() -> None:
    ids = {
        adopted_id(subject, token)
        for subject in ("alice", "bob", "1 alice")
        for token in ("j1", "j2", "alice j1", "")
    }

    assert len(ids) == 12
    assert adopted_id("alice", "j1") == TOKEN.session_id
    assert all(is_adopted(session_id) and len(session_id) == 32 for session_id in ids)
    assert not is_adopted("0" * 32)
    assert not is_adopted("")


@pytest.mark.parametrize(
    "changes",
    [{"subject": ""}, {"subject": "a\nb"}, {"claims": {"sub": "x"}}, {"claims": {"a": object()}}],
)
def test_what_cannot_be_carried_is_an_error(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        refresh_token(**changes)


def test_nothing_of_the_token_is_in_a_repr() -> None:
    assert "j1" not in repr(legacy_token())
    assert "admin" not in repr(legacy_token())
    assert "admin" not in repr(replace(TOKEN))
