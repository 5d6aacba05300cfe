"""Lists of sessions, ending one or all but one, and the labels that tell them apart."""

from __future__ import annotations

import pytest

from asgi_refresh import Auth, Config, Event, Issuer, MemoryStore, RefreshMiddleware
from asgi_refresh.errors import InvalidTokenError, StoreRequiredError, StoreUnavailable
from tests.support import Browser, Clock, Spy, answer, make_issuer, whoami

pytestmark = pytest.mark.anyio
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture
def issuer(clock: Clock, events: list[Event]) -> Issuer:
    return make_issuer(clock, store=MemoryStore(), on_event=events.append)


async def sign_in(issuer: Issuer, clock: Clock, agent: str, path: str = "/login") -> Browser:
    browser = Browser(RefreshMiddleware(whoami, issuer), clock)
    scope = browser.scope(path, "POST")
    headers = [(b"user-agent", agent.encode()) if n == b"user-agent" else (n, v)
               for n, v in scope["headers"]]  # fmt: skip
    await browser.post(path, scope={"headers": headers})
    return browser


async def session_of(issuer: Issuer, browser: Browser) -> str:
    return str(issuer.verify(browser.values()["__Host-access"])["sid"])


async def test_a_login_is_labelled_from_the_user_agent(issuer: Issuer, clock: Clock) -> None:
    await sign_in(issuer, clock, FIREFOX)

    assert [session.device for session in await issuer.sessions("alice")] == ["Firefox on Linux"]


async def test_the_applications_own_label_wins(issuer: Issuer, clock: Clock) -> None:
    async def app(scope: dict, receive: object, send: object) -> None:
        Auth.of(scope).login("alice", device="the kiosk in the hall")
        await answer(send)

    await Browser(RefreshMiddleware(app, issuer), clock).post("/login")

    assert [s.device for s in await issuer.sessions("alice")] == ["the kiosk in the hall"]


async def test_without_a_request_there_is_no_label(issuer: Issuer) -> None:
    await issuer.issue("alice")

    assert [session.device for session in await issuer.sessions("alice")] == [None]


async def test_a_list_tells_when_each_began_and_was_last_seen(issuer: Issuer, clock: Clock) -> None:
    old = await sign_in(issuer, clock, FIREFOX)
    clock.advance(3600)
    await sign_in(issuer, clock, "curl/8")
    clock.advance(3600)
    await old.get()

    first, second = await issuer.sessions("alice")
    start = clock() - 7200
    assert (first.device, first.created_at, first.last_seen) == (
        "Firefox on Linux",
        start,
        clock(),
    )
    assert (second.device, second.created_at, second.last_seen) == (
        "curl/8",
        start + 3600,
        start + 3600,
    )


async def test_the_current_one_is_told_by_the_id_of_the_request(
    issuer: Issuer, clock: Clock
) -> None:
    here = await sign_in(issuer, clock, FIREFOX)
    await sign_in(issuer, clock, "curl/8")
    mine = await session_of(issuer, here)

    current = [s.device for s in await issuer.sessions("alice") if s.id == mine]
    assert current == ["Firefox on Linux"]


async def test_ended_and_expired_sessions_are_not_listed(issuer: Issuer, clock: Clock) -> None:
    tokens = await issuer.issue("alice")
    clock.advance(86400)
    other = await issuer.issue("alice")
    await issuer.revoke(other.session_id)
    assert [s.id for s in await issuer.sessions("alice")] == [tokens.session_id]

    clock.advance(13 * 86400)
    assert await issuer.sessions("alice") == []


async def test_one_may_be_ended_by_its_owner_only(issuer: Issuer, events: list[Event]) -> None:
    tokens = await issuer.issue("alice")

    assert await issuer.revoke(tokens.session_id, subject="mallory") is False
    assert len(await issuer.sessions("alice")) == 1
    assert [e.name for e in events] == ["issued"]
    assert await issuer.revoke(tokens.session_id, subject="alice") is True
    assert await issuer.sessions("alice") == []
    assert events[-1] == Event("revoked", "alice", tokens.session_id, "revoke")


async def test_of_an_unknown_one_nobody_is_the_owner(clock: Clock) -> None:
    spy = Spy()
    issuer = make_issuer(clock, store=spy)

    assert await issuer.revoke("0" * 32, subject="alice") is False
    assert spy.count("revoke") == 0


async def test_all_but_this_one_end(issuer: Issuer, clock: Clock, events: list[Event]) -> None:
    here = await sign_in(issuer, clock, FIREFOX)
    there = [await sign_in(issuer, clock, "curl/8") for _ in range(3)]
    bob = await issuer.issue("bob")

    assert await issuer.revoke_subject("alice", keep=await session_of(issuer, here)) == 3

    assert (await here.get()).json()["subject"] == "alice"
    for browser in there:
        assert (await browser.get()).json()["subject"] is None
    await issuer.refresh(bob.refresh_token)
    ended = [e for e in events if e.name == "revoked"]
    assert [(e.subject, e.reason) for e in ended] == [("alice", "others")] * 3


async def test_all_end(issuer: Issuer, clock: Clock) -> None:
    browsers = [await sign_in(issuer, clock, FIREFOX) for _ in range(3)]

    assert await issuer.revoke_subject("alice") == 3

    for browser in browsers:
        assert (await browser.get()).json()["subject"] is None


async def test_an_outage_halfway_is_an_error_and_repeating_ends_the_rest(clock: Clock) -> None:
    spy = Spy()
    issuer = make_issuer(clock, store=spy)
    tokens = [await issuer.issue("alice") for _ in range(3)]
    spy.broken.add("revoke")

    with pytest.raises(StoreUnavailable):
        await issuer.revoke_subject("alice", keep=tokens[0].session_id)
    spy.broken.clear()
    assert await issuer.revoke_subject("alice", keep=tokens[0].session_id) == 2
    with pytest.raises(InvalidTokenError):
        await issuer.refresh(tokens[1].refresh_token)
    await issuer.refresh(tokens[0].refresh_token)


async def test_all_of_it_needs_a_store(clock: Clock) -> None:
    issuer = make_issuer(clock, store=None)
    for call in (
        issuer.revoke("s", subject="alice"),
        issuer.revoke_subject("alice", keep="s"),
        issuer.sessions("alice"),
    ):
        with pytest.raises(StoreRequiredError):
            await call


async def test_ids_of_one_subject_begin_alike_and_others_do_not(issuer: Issuer) -> None:
    alice = {(await issuer.issue("alice")).session_id for _ in range(20)}
    bob = (await issuer.issue("bob")).session_id

    assert len(alice) == 20
    assert len({session_id[:4] for session_id in alice}) == 1
    assert bob[:4] not in {session_id[:4] for session_id in alice}
    assert {len(session_id) for session_id in alice} == {32}


async def test_a_purge_that_dropped_something_goes_on_at_the_next_login(clock: Clock) -> None:
    spy = Spy()
    issuer = make_issuer(clock, store=spy, config=Config())
    await issuer.issue("alice")
    assert spy.count("purge") == 1
    clock.advance(15 * 86400)
    for logins in (2, 3):
        for _ in range(2):  # the second of the same moment does not
            await issuer.issue("bob")
        assert spy.count("purge") == logins
        clock.advance(1)
    await issuer.issue("bob")
    assert spy.count("purge") == 3


async def test_what_is_over_is_kept_for_an_hour_against_clocks_that_are_ahead(
    clock: Clock,
) -> None:
    store = MemoryStore()
    here = make_issuer(clock, store=store)
    tokens = await here.issue("alice")
    clock.advance(14 * 86400 + 3599)
    await make_issuer(clock, store=store).issue("bob")
    assert await store.get(tokens.session_id) is not None
    clock.advance(1)
    await make_issuer(clock, store=store).issue("bob")
    assert await store.get(tokens.session_id) is None
