"""A session that began with an old token ends for good, though the old token is good elsewhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from asgi_refresh import Auth, Config, MemoryStore, RefreshMiddleware
from asgi_refresh.endpoints import bundle
from tests.authx.site import RealClock
from tests.blackbox.helpers import (
    DAY,
    HOUR,
    REFRESH,
    TOMBSTONE,
    WINDOW,
    Gate,
    Started,
    deleted,
    doing,
    given,
    held,
    together,
)
from tests.migration.site import (
    ALICE,
    BOB,
    BOTH,
    MODES,
    adopted,
    arrived,
    make_site,
    rows,
    sessions,
    sid,
    who,
    with_old,
)
from tests.migration.sources import Authx, Source
from tests.support import Browser, Spy, whoami

pytestmark = pytest.mark.anyio

modes = pytest.mark.parametrize("stored", MODES.values(), ids=MODES)


async def dead(browser: Browser, reason: str | None = "session_ended") -> None:
    """The old token signs nobody in, now or later, and writes no session."""
    for _ in range(2):
        response = await browser.get()
        assert who(response) is None
        assert given(response) == set()
        if reason is not None:
            assert response.json()["reason"] == reason
        browser.clock.advance(HOUR)


# --- logout ---------------------------------------------------------------------------------------


async def test_after_a_logout_the_old_token_is_dead(clock: RealClock, source: Source) -> None:
    site, old = await adopted(clock, source)
    response = await site.browser.post("/logout")
    assert deleted(response) == BOTH
    assert await sessions(site.issuer) == 0
    await dead(with_old(site, old))


async def test_in_a_process_that_has_just_started_too(clock: RealClock, source: Source) -> None:
    site, old = await adopted(clock, source)
    await site.browser.post("/logout")
    other = make_site(clock, source, store=site.store.store)
    await dead(with_old(other, old))


async def test_a_jar_that_keeps_the_old_cookie(clock: RealClock, source: Source) -> None:
    """Another path or domain than we delete, say."""
    site, old = await adopted(clock, source)
    for name, value in old.items():
        site.browser.put(name, value)
    assert deleted(await site.browser.post("/logout")) == BOTH | source.names
    for name, value in old.items():
        site.browser.put(name, value)
    await dead(site.browser)


async def test_without_a_store_the_tombstone_remembers(clock: RealClock, source: Source) -> None:
    site, old = await adopted(clock, source, stored=False)
    await site.browser.post("/logout")
    assert TOMBSTONE in site.browser.values()
    for name, value in old.items():
        site.browser.put(name, value)
    await dead(site.browser)
    # It is this browser's memory only: nothing is kept.
    assert who(await with_old(site, old).get()) == ALICE


async def test_the_tombstone_lasts_as_long_as_an_old_token_can(clock: RealClock) -> None:
    site, old = await adopted(clock, Authx(), stored=False)
    await site.browser.post("/logout")
    clock.advance(13 * DAY)
    for name, value in old.items():
        site.browser.put(name, value)
    assert who(await site.browser.get()) is None


@modes
async def test_a_logout_before_anything_else(
    clock: RealClock, source: Source, stored: bool
) -> None:
    """The first request after the switch is the logout itself."""
    site = await arrived(clock, source, stored=stored)
    old = site.browser.values()
    response = await site.browser.post("/logout")
    assert deleted(response) >= source.names
    assert given(response) == (set() if stored else {TOMBSTONE})
    for name, value in old.items():
        site.browser.put(name, value)
    await dead(site.browser)
    if stored:
        await dead(with_old(site, old))


@modes
@pytest.mark.parametrize("how", ["/logout", "/login/bob"])
async def test_an_old_cookie_beside_a_session_of_ours(
    clock: RealClock, source: Source, stored: bool, how: str
) -> None:
    """It signed nobody in, for ours comes first; but it is not to come after."""
    site = await arrived(clock, source, stored=stored)
    old = site.browser.values()
    await site.sign_in(BOB)
    response = await site.browser.post(how)
    assert deleted(response) >= source.names
    for name in BOTH:
        site.browser.drop(name)
    for name, value in old.items():
        site.browser.put(name, value)
    if stored:
        site.browser = with_old(make_site(clock, source, store=site.store.store), old)
    await dead(site.browser)


@modes
async def test_a_logout_with_two_old_cookies_ends_both(
    clock: RealClock, source: Source, stored: bool
) -> None:
    site = make_site(clock, source, stored=stored)
    tokens = [await source.sign_in(Browser(whoami, clock), who) for who in ("alice", "bob")]
    clock.advance(5)
    pairs = "; ".join(f"{source.cookie}={token}" for token in tokens)
    response = await site.browser.send("/logout", "POST", headers=[("cookie", pairs)])
    site.browser.deliver(response)
    for token in tokens:
        browser = with_old(site, {source.cookie: token, **site.browser.values()})
        await dead(browser)


@modes
async def test_a_logout_while_twenty_are_on_their_way(
    clock: RealClock, source: Source, stored: bool
) -> None:
    """They are answered afterwards, and put nothing back that is good."""
    gate = Gate()
    site = make_site(clock, source, stored=stored, app=held(gate))
    await source.sign_in(site.browser)
    clock.advance(100)
    old = site.browser.values()
    async with Started(lambda: site.browser.send("/slow")) as slow:
        await gate.arrival()
        await site.browser.post("/logout")
        gate.open()
        late = await slow.answer()
    site.browser.deliver(late)
    for name, value in old.items():
        site.browser.put(name, value)
    await dead(site.browser, None)


async def test_logout_everywhere(clock: RealClock, source: Source) -> None:
    site, old = await adopted(clock, source)
    other = Browser(site.browser.app, clock)
    await source.sign_in(other)
    clock.advance(2)
    await site.browser.post("/logout/everywhere")
    await dead(with_old(site, old))
    await dead(other)


async def test_by_the_endpoints(clock: RealClock, source: Source) -> None:
    site = await arrived(clock, source)
    old = site.browser.values()
    app = RefreshMiddleware(whoami, site.issuer, endpoints=bundle(site.issuer))
    browser = with_old(site, old)
    browser.app = app
    assert (await browser.post("/auth/logout")).status == 204
    assert browser.values() == {}
    await dead(with_old(site, old))


@pytest.mark.parametrize("begun", [True, False])
async def test_revoked_by_whoever_holds_it(clock: RealClock, source: Source, begun: bool) -> None:
    """RFC 7009: an app that signs out sends the old token."""
    site = make_site(clock, source)
    token = await source.sign_in(Browser(whoami, clock))
    clock.advance(2)
    browser = Browser(RefreshMiddleware(whoami, site.issuer, endpoints=bundle(site.issuer)), clock)
    if begun:
        assert who(await with_old(site, {source.cookie: token}).get()) == ALICE
    form = [("content-type", "application/x-www-form-urlencoded")]
    body = urlencode({"token": token}).encode()
    assert (await browser.post("/auth/revoke", headers=form, body=body)).status == 200
    assert await sessions(site.issuer) == 0
    await dead(with_old(site, {source.cookie: token}))


async def test_a_logout_that_the_store_refuses_is_told(clock: RealClock) -> None:
    site, _ = await adopted(clock, Authx())
    site.store.broken.add("*")
    response = await site.browser.post("/logout")
    assert response.status == 503


# --- login ----------------------------------------------------------------------------------------


@modes
async def test_a_login_over_an_old_cookie_ends_it(
    clock: RealClock, source: Source, stored: bool
) -> None:
    async def login(auth: Auth) -> None:
        auth.login(BOB)

    site = make_site(clock, source, stored=stored, app=doing(login))
    await source.sign_in(site.browser)
    clock.advance(100)
    old = site.browser.values()
    response = await site.browser.post()
    assert who(response) == BOB
    assert deleted(response) == source.names
    assert given(response) >= BOTH
    if stored:
        assert await sessions(site.issuer, BOB) == 1
        assert await sessions(site.issuer) == 0
    fresh = make_site(clock, source, stored=stored, store=site.store and site.store.store)
    again = with_old(fresh, old)
    if not stored:
        again.put(TOMBSTONE, site.browser.values()[TOMBSTONE])
    await dead(again)


async def test_a_login_that_fails_ends_nothing(clock: RealClock, source: Source) -> None:
    """Whoever tried stays who they were."""

    def login(auth: Auth) -> None:
        auth.login(BOB)

    site = make_site(clock, source, app=doing(login, status=401))
    await source.sign_in(site.browser)
    clock.advance(100)
    response = await site.browser.post()
    assert response.status == 401
    assert given(response) == BOTH
    assert await sessions(site.issuer, BOB) == 0
    site.browser.app = RefreshMiddleware(whoami, site.issuer)
    assert who(await site.browser.get()) == ALICE


async def test_two_logins_over_each_other(clock: RealClock, source: Source) -> None:
    """In the old system, twice: the cookie is one, and so is the session."""
    site = make_site(clock, source)
    first = await source.sign_in(site.browser)
    clock.advance(5)
    await source.sign_in(site.browser, "bob")
    clock.advance(5)
    assert who(await site.browser.get()) == BOB
    assert who(await with_old(site, {source.cookie: first}).get()) == ALICE


# --- by the application ---------------------------------------------------------------------------


async def test_a_subject_that_was_revoked_before_the_token_came(
    clock: RealClock, source: Source
) -> None:
    site = await arrived(clock, source)
    assert await site.issuer.revoke_subject(ALICE) == 0
    await dead(with_old(site, site.browser.values()))
    assert await sessions(site.issuer) == 0

    bob = Browser(site.browser.app, clock)
    await source.sign_in(bob, "bob")
    clock.advance(2)
    assert who(await bob.get()) == BOB


async def test_a_sign_in_that_follows_is_good(clock: RealClock, source: Source) -> None:
    """The old system is still there, on hosts that have not been switched."""
    site = await arrived(clock, source)
    await site.issuer.revoke_subject(ALICE)
    clock.advance(1)
    again = Browser(site.browser.app, clock)
    await source.sign_in(again)
    clock.advance(1)
    assert who(await again.get()) == ALICE
    await dead(site.browser)


async def test_one_of_the_very_second_too(clock: RealClock, source: Source) -> None:
    """Tokens tell whole seconds: a sign-in that follows must not be taken for one before."""
    site = make_site(clock, source)
    await site.issuer.revoke_subject(ALICE)
    await source.sign_in(site.browser)
    assert who(await site.browser.get()) == ALICE


async def test_twice_revoked_and_by_two_at_once(clock: RealClock) -> None:
    source = Authx()
    site = await arrived(clock, source)
    other = make_site(clock, source, store=site.store.store)
    await together([lambda s=s: s.issuer.revoke_subject(ALICE) for s in (site, other)] * 5)
    clock.advance(10)
    late = Browser(site.browser.app, clock)
    await source.sign_in(late)
    clock.advance(10)
    await site.issuer.revoke_subject(ALICE)
    await dead(late)
    await dead(site.browser)


async def test_all_but_this_one(clock: RealClock, source: Source) -> None:
    site, _ = await adopted(clock, source)
    other = Browser(site.browser.app, clock)
    await source.sign_in(other)
    clock.advance(2)
    keep = sid(await site.browser.get())
    await site.issuer.revoke_subject(ALICE, keep=keep)
    assert who(await site.browser.get()) == ALICE
    await dead(other)


async def test_revoked_by_its_id(clock: RealClock, source: Source) -> None:
    site, old = await adopted(clock, source)
    (session,) = await site.issuer.sessions(ALICE)
    assert await site.issuer.revoke(session.id, subject=ALICE)
    await dead(with_old(site, old))


async def test_nobody_can_revoke_the_marks(clock: RealClock) -> None:
    """What is kept beside the sessions is nobody's: it is in no list, and of no subject."""
    site, old = await adopted(clock, Authx())
    await site.issuer.revoke_subject(ALICE)
    assert await site.issuer.sessions(ALICE) == []
    kept = site.store.store
    subjects = {session.subject for session in kept._sessions.values()}
    assert ALICE not in subjects
    for subject in subjects:
        assert await site.issuer.revoke_subject(subject) == 0
    await dead(with_old(site, old))


async def test_more_sessions_than_a_user_may_have(clock: RealClock, source: Source) -> None:
    """A login ends the oldest, which was adopted; its token does not bring it back."""
    site, old = await adopted(clock, source, config=Config(max_sessions=1))
    clock.advance(5)
    await site.issuer.issue(ALICE)
    assert await sessions(site.issuer) == 1
    await dead(with_old(site, old), None)


# --- theft and time -------------------------------------------------------------------------------


async def test_after_a_theft_the_old_token_is_dead(clock: RealClock, source: Source) -> None:
    site, old = await adopted(clock, source)
    thief = site.browser.fork()
    for _ in range(2):
        clock.advance(HOUR)
        assert who(await site.browser.get()) == ALICE
    assert who(await thief.get()) is None
    assert [event.reason for event in site.named("reused")] == ["theft"]
    await dead(with_old(site, old))
    assert who(await site.browser.get()) is None


async def test_the_old_token_itself_is_a_first_generation(clock: RealClock, source: Source) -> None:
    """A copy of the old cookie that comes back once its session has moved on twice is a theft."""
    site, old = await adopted(clock, source)
    for _ in range(2):
        clock.advance(HOUR)
        await site.browser.get()
    copy = with_old(site, old)
    assert who(await copy.get()) is None
    assert [event.reason for event in site.named("reused")] == ["theft"]
    assert who(await site.browser.get()) is None
    await dead(copy, None)


async def test_within_the_grace_it_is_a_request_on_its_way(
    clock: RealClock, source: Source
) -> None:
    site, old = await adopted(clock, source)
    clock.advance(WINDOW - 1)
    response = await with_old(site, old).get()
    assert who(response) == ALICE
    assert response.cookies[REFRESH] == site.browser.values()[REFRESH]
    assert not site.named("reused")


async def test_a_session_that_was_not_used_and_is_forgotten(
    clock: RealClock, source: Source
) -> None:
    config = Config(idle_lifetime=timedelta(days=1))
    site, old = await adopted(clock, source, config=config)
    clock.advance(3 * DAY)
    copy = with_old(site, old)
    await dead(copy)
    assert await site.store.store.purge(clock()) >= 1
    assert await site.store.store.find(ALICE) == []
    await dead(with_old(site, old))
    other = make_site(clock, source, store=site.store.store, config=config)
    await dead(with_old(other, old))


async def test_the_marks_are_dropped_in_the_end(clock: RealClock) -> None:
    site, _ = await adopted(clock, Authx())
    await site.issuer.revoke_subject(ALICE)
    store = site.store.store
    assert rows(site.store) == 2
    clock.advance(401 * DAY)
    await store.purge(clock())
    assert rows(site.store) == 0


# --- in between -----------------------------------------------------------------------------------


class Meanwhile(Spy):
    """A store in which something happens just after its nth operation."""

    def __init__(self, store: Any, nth: int, what: Callable[[], Awaitable[object]]) -> None:
        super().__init__(store)
        self.left, self.what = nth, what
        self.adds = 0  # by then

    def __getattr__(self, name: str) -> Any:
        call = super().__getattr__(name)

        async def then(*args: Any) -> Any:
            result = await call(*args)
            if name != "revocations":
                self.left -= 1
                if self.left == 0:
                    self.adds = self.count("add")
                    await self.what()
            return result

        return then


@pytest.mark.parametrize("how", ["logout", "revoke_subject", "whole_life", "life_of_all"])
async def test_one_that_ends_while_it_begins(clock: RealClock, how: str) -> None:
    """After whichever step another process ends it, it is over, and stays so."""
    source = Authx()
    for nth in range(1, 9):
        kept = MemoryStore()
        other = make_site(clock, source, store=kept)
        old: dict[str, str] = {}

        async def end(other: Any = other, old: dict[str, str] = old) -> None:
            browser = with_old(other, old)
            if how in ("whole_life", "life_of_all"):  # it is begun there, and ended
                await browser.get()
            if how in ("revoke_subject", "life_of_all"):
                await other.issuer.revoke_subject(ALICE)
            else:
                await browser.post("/logout")

        spy = Meanwhile(kept, nth, end)
        site = make_site(clock, source, store=spy)
        await source.sign_in(site.browser)
        clock.advance(100)
        old.update(site.browser.values())
        response = await site.browser.get()
        if spy.left > 0:
            assert nth > 6  # it takes that many steps at least
            break
        if spy.adds < 2:  # until it is marked, too, this request has not begun it
            assert who(response) is None, nth
        clock.advance(HOUR)
        assert await sessions(other.issuer) == 0, nth
        await dead(with_old(other, old))
        assert who(await site.browser.get()) is None


async def test_a_dead_token_that_is_sent_over_and_over_writes_nothing(
    clock: RealClock, source: Source
) -> None:
    site, old = await adopted(clock, source)
    await site.browser.post("/logout")
    for _ in range(3):
        clock.advance(HOUR)  # longer than anything is remembered
        site.store.calls.clear()
        assert who(await with_old(site, old).get()) is None
        assert site.store.count("add", "replace", "revoke", "revoke_subject") == 0


async def test_nor_does_one_whose_subject_was_revoked(clock: RealClock, source: Source) -> None:
    site = await arrived(clock, source)
    await site.issuer.revoke_subject(ALICE)
    for _ in range(3):
        clock.advance(HOUR)
        site.store.calls.clear()
        assert who(await site.browser.get()) is None
        assert site.store.count("add", "replace", "revoke", "revoke_subject") == 0


async def test_a_store_that_fails_while_it_begins(clock: RealClock, source: Source) -> None:
    """Anonymous for now; the cookie stays, and is good when the store is back."""
    site = await arrived(clock, source)
    for broken in ("get", "add"):
        site.store.broken = {broken}
        response = await site.browser.get()
        assert (who(response), response.json()["reason"]) == (None, "store_unavailable")
        assert response.set_cookies == []
    site.store.broken = set()
    assert who(await site.browser.get()) == ALICE
    assert await sessions(site.issuer) == 1


async def test_a_mark_that_could_not_be_written_signs_nobody_out(clock: RealClock) -> None:
    source = Authx()
    site = await arrived(clock, source)
    added: list[str] = []
    plain = site.store.store.add

    async def add(session: Any) -> None:
        added.append(session.id)
        if len(added) == 2:
            raise OSError("the store is away")
        await plain(session)

    site.store.store.add = add
    assert who(await site.browser.get()) is None
    assert who(await site.browser.get()) == ALICE
    assert await sessions(site.issuer) == 1
