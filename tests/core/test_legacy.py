"""Tokens of an earlier system, without HTTP: when one begins a session, and when it does not."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio
import pytest

from asgi_refresh import Client, Event, Issuer, Legacy, LegacyToken, Revocation
from asgi_refresh.errors import InvalidTokenError
from asgi_refresh.legacy import adopted_id
from tests.support import Clock, Spy, make_issuer

pytestmark = pytest.mark.anyio

DAY = 86400.0
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@dataclass
class Earlier:
    """An issuer, and an earlier system whose tokens are their ids."""

    clock: Clock
    stored: bool = True
    continues: tuple[str, int] | None = None
    store: Spy = field(default_factory=Spy)
    events: list[Event] = field(default_factory=list)
    issuer: Issuer = field(init=False)

    def __post_init__(self) -> None:
        self.issued_at = self.clock() - DAY
        self.issuer = make_issuer(
            self.clock,
            store=self.store if self.stored else None,
            on_event=self.events.append,
            accept_legacy=Legacy(self.read),
        )

    def read(self, raw: str) -> LegacyToken | None:
        if not raw.startswith("old "):
            return None
        return LegacyToken(
            raw,
            "alice",
            expires_at=self.issued_at + 30 * DAY,
            issued_at=self.issued_at,
            continues=self.continues,
        )

    async def is_taken(self, raw: str = "old 1") -> bool:
        try:
            tokens = await self.issuer.refresh(raw)
        except InvalidTokenError:
            return False
        assert self.issuer.verify(tokens.access_token)["sub"] == "alice"
        return True


@pytest.fixture
def earlier(clock: Clock) -> Earlier:
    return Earlier(clock)


SESSION = adopted_id("alice", "old 1")


@pytest.mark.parametrize("stored", [True, False])
async def test_a_token_of_the_earlier_system_is_taken(clock: Clock, stored: bool) -> None:
    assert await Earlier(clock, stored=stored).is_taken()


async def test_a_token_of_neither_is_not(earlier: Earlier) -> None:
    assert not await earlier.is_taken("new 1")


async def test_an_issuer_that_was_not_told_of_it_takes_none(clock: Clock) -> None:
    with pytest.raises(InvalidTokenError):
        await make_issuer(clock, store=Spy()).refresh("old 1")


async def test_the_session_that_begins_is_told_and_labelled(earlier: Earlier) -> None:
    client = Client(address="192.0.2.1", user_agent=FIREFOX)

    await earlier.issuer.refresh("old 1", client=client)

    assert earlier.events[0] == Event("issued", "alice", SESSION, "adopted", client=client)
    (session,) = await earlier.issuer.sessions("alice")
    assert (session.id, session.device) == (SESSION, "Firefox on Linux")
    assert session.idle_expires_at == earlier.clock() + 14 * DAY


async def test_once_its_session_has_begun_it_takes_two_reads(earlier: Earlier) -> None:
    await earlier.is_taken()
    earlier.store.calls.clear()
    token = await earlier.issuer.read_refresh(b"old 1")
    await earlier.issuer.mode.look(token, client=None)

    assert earlier.store.calls == ["get", "get"]


async def test_the_session_that_it_is_of_already_goes_on(clock: Clock) -> None:
    earlier = Earlier(clock)
    tokens = await earlier.issuer.issue("alice")
    earlier.continues = (tokens.session_id, 1)

    refreshed = await earlier.issuer.refresh("old 1")

    assert refreshed.session_id == tokens.session_id


async def test_without_a_store_no_session_goes_on(clock: Clock) -> None:
    earlier = Earlier(clock, stored=False, continues=("0" * 32, 1))

    refreshed = await earlier.issuer.refresh("old 1")

    assert refreshed.session_id == SESSION


async def test_ended_by_its_id_it_does_not_begin_again(earlier: Earlier) -> None:
    await earlier.is_taken()

    assert await earlier.issuer.revoke(SESSION) is True

    assert not await earlier.is_taken()
    assert await earlier.is_taken("old 2")


async def test_ended_by_its_id_before_it_began_it_never_begins(earlier: Earlier) -> None:
    assert await earlier.issuer.revoke(SESSION) is False

    assert not await earlier.is_taken()
    assert await earlier.is_taken("old 2")


async def test_one_that_has_not_begun_is_ended_all_the_same(earlier: Earlier) -> None:
    await earlier.issuer.mode.end_kept(SESSION, reason="logout", client=None)

    assert not await earlier.is_taken()
    assert await earlier.is_taken("old 2")


async def test_after_a_sign_out_everywhere_none_of_before_begins(
    earlier: Earlier, clock: Clock
) -> None:
    await earlier.issuer.revoke_subject("alice")
    assert not await earlier.is_taken()

    clock.advance(1)
    earlier.issued_at = clock()
    assert await earlier.is_taken("old 2")


async def test_a_sign_out_everywhere_concerns_nobody_else(earlier: Earlier) -> None:
    await earlier.issuer.revoke_subject("bob")

    assert await earlier.is_taken()


async def test_when_the_others_are_signed_out_none_of_before_begins(earlier: Earlier) -> None:
    here = await earlier.issuer.issue("alice")
    await earlier.issuer.issue("alice")

    assert await earlier.issuer.revoke_subject("alice", keep=here.session_id) == 1

    assert not await earlier.is_taken()


async def test_the_one_that_stays_may_not_have_begun_yet(earlier: Earlier) -> None:
    await earlier.issuer.issue("alice")

    assert await earlier.issuer.revoke_subject("alice", keep=SESSION) == 1

    assert await earlier.is_taken()


async def test_one_that_is_cut_off_while_it_begins_is_refused_and_logged(
    earlier: Earlier, clock: Clock
) -> None:
    there = Earlier(clock, store=Spy(earlier.store.store))
    earlier.store.gates["add"] = anyio.Event()
    taken: list[bool] = []

    async def ask() -> None:
        taken.append(await earlier.is_taken())

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        await there.issuer.revoke_subject("alice")
        earlier.store.gates["add"].set()

    assert taken == [False]
    entries, _ = await there.store.revocations(None)
    assert entries == [Revocation(SESSION, clock(), clock() + 600 + 10)]


@pytest.mark.parametrize("all_but_one", [True, False])
async def test_without_an_earlier_system_nothing_is_noted_of_it(
    clock: Clock, all_but_one: bool
) -> None:
    spy = Spy()
    issuer = make_issuer(clock, store=spy)
    tokens = await issuer.issue("alice")
    spy.calls.clear()

    await issuer.revoke_subject("alice", keep=tokens.session_id if all_but_one else None)

    assert spy.count("add", "get") == 0


async def test_a_session_that_began_on_another_host_goes_on_here(clock: Clock) -> None:
    first, second = (Earlier(clock, store=Spy()) for _ in range(2))
    second.store.store = first.store.store

    assert await first.is_taken()
    assert await second.is_taken()

    assert [event.name for event in second.events] == ["repeated"]
