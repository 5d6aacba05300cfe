"""AB-68 to AB-80: rotation, revocation, and many who want the same at once."""

from __future__ import annotations

import functools
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

import asgi_refresh
from asgi_refresh import Config, Issuer, Key, MemoryStore, RefreshMiddleware, SQLiteStore, rotating
from asgi_refresh.errors import ConfigurationError, InvalidTokenError, RevokedTokenError
from asgi_refresh.sessions import FrozenDict, Revocation
from tests.attacks.places import ACCESS_PLACES, Place
from tests.attacks.places import Site as Placed
from tests.blackbox.helpers import (
    ACCESS,
    DAY,
    HOUR,
    NAVIGATION,
    REFRESH,
    WINDOW,
    Gate,
    Gates,
    Site,
    Started,
    deleted,
    doing,
    given,
    held,
    lasting,
    make_site,
    together,
)
from tests.hostile.tools import b64
from tests.scenarios.support import Backend, Frail, current, generation, hosts
from tests.support import SECRET, Browser, Clock, Spy, make_issuer, new_session, whoami
from tests.tokens import forge

pytestmark = pytest.mark.anyio


async def signed_in(clock: Clock, **options: Any) -> Site:
    """A site whose browser holds an access token that has run out."""
    options.setdefault("config", lasting())
    site = make_site(clock, **options)
    await site.sign_in()
    clock.advance(HOUR)
    return site


# --- AB-68: at once -------------------------------------------------------------------------------


class Crowd:
    """An application in which requests wait for one another: all look before one settles."""

    def __init__(self, size: int) -> None:
        self._missing, self._complete = size, anyio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._missing -= 1
        if self._missing == 0:
            self._complete.set()
        await self._complete.wait()
        await whoami(scope, receive, send)


@pytest.mark.parametrize("many", [2, 8, 64])
@pytest.mark.parametrize("crowded", [True, False])
async def test_AB_68_one_refresh_token_in_many_tasks_has_one_successor(
    clock: Clock, many: int, crowded: bool
) -> None:
    site = await signed_in(clock, app=Crowd(many) if crowded else whoami)
    request = functools.partial(site.browser.send, "/", headers=NAVIGATION)

    with anyio.fail_after(20):
        responses = await together([request] * many)

    assert {r.json()["subject"] for r in responses} == {"alice"}
    assert len({r.cookies[REFRESH] for r in responses}) == 1
    assert await current(site) == 2
    assert {name for r in responses for name in deleted(r)} == set()
    assert site.named("reused") == []


@pytest.mark.parametrize("many", [2, 16, 64])
async def test_AB_68_one_refresh_token_posted_many_times_has_one_successor(
    clock: Clock, many: int
) -> None:
    store = Gates()
    issuer = make_issuer(clock, store=store, config=lasting())
    tokens = await issuer.issue("alice")
    gate = store.before["replace"] = Gate()
    results: list[Any] = []

    async def refresh() -> None:
        results.append(await issuer.refresh(tokens.refresh_token, revoke_access=True))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            for _ in range(many):
                group.start_soon(refresh)
            await gate.arrival()
            await anyio.wait_all_tasks_blocked()  # all have looked, none has written
            gate.open()

    assert len({new.refresh_token for new in results}) == 1
    [session] = await issuer.sessions("alice")
    assert session.current == 2
    for new in results:
        await issuer.authenticate(new.access_token)


def test_AB_68_threads_with_loops_of_their_own_share_one_successor(
    clock: Clock, tmp_path: Path
) -> None:
    store = SQLiteStore(tmp_path / "s.db", busy_timeout=30)
    barrier, successors = threading.Barrier(8, timeout=30), list[str]()

    def load(session: Any) -> Any:
        if session.claims:  # given at login; at the refresh everybody has looked by now
            barrier.wait()
        return {"seen": True}

    issuer = make_issuer(clock, store=store, config=lasting(), load_claims=load)
    session = new_session(clock, claims=FrozenDict(held=True))
    anyio.run(store.add, session)
    raw = issuer.profile.mint_refresh(session, 1, now=clock()).decode()
    clock.advance(HOUR)

    def work() -> None:
        successors.append(anyio.run(issuer.refresh, raw).refresh_token)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    store.close()

    assert (len(successors), len(set(successors))) == (8, 1)
    assert generation(successors[0]) == 2


PROCESS = """
import sys, anyio
from datetime import timedelta
from asgi_refresh import Config, Issuer, SQLiteStore
path, secret, now, token = sys.argv[1:]

def load(session):
    print("looked", flush=True)
    sys.stdin.read(1)  # the others have too
    return {}

store = SQLiteStore(path, busy_timeout=30)
config = Config(store_timeout=timedelta(seconds=30))
issuer = Issuer(
    secret, store=store, config=config, clock=lambda: float(now), load_claims=load
)
print(anyio.run(issuer.refresh, token).refresh_token)
store.close()
"""


def test_AB_68_processes_share_one_successor(clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = SQLiteStore(path, busy_timeout=30)
    issuer = make_issuer(clock, store=store, config=lasting())
    tokens = anyio.run(issuer.issue, "alice")
    clock.advance(HOUR)
    arguments = [str(path), SECRET, str(clock()), tokens.refresh_token]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(asgi_refresh.__file__).parents[1],
        )
        for _ in range(3)
    ]

    looked = [process.stdout.readline() for process in running if process.stdout]
    successors = [process.communicate("g", timeout=60)[0].strip() for process in running]

    assert looked == ["looked\n"] * 3
    assert [process.returncode for process in running] == [0] * 3
    assert len(set(successors)) == 1
    assert generation(successors[0]) == 2
    store.close()


# --- AB-69 to AB-71: an old token comes back ------------------------------------------------------


@pytest.mark.parametrize("first", ["thief", "owner"])
@pytest.mark.parametrize("wait", [0.0, WINDOW + 1, DAY])
async def test_AB_69_a_token_that_comes_back_signs_both_parties_out(
    clock: Clock, first: str, wait: float
) -> None:
    """The event is called `reused` (DESIGN, 10)."""
    site = await signed_in(clock)
    thief = site.browser.fork()
    ahead, behind = (thief, site.browser) if first == "thief" else (site.browser, thief)
    for _ in range(2):
        await ahead.get("/")
        clock.advance(HOUR)
    last = ahead.fork()
    last.drop(REFRESH)  # the access token that the one ahead holds
    clock.advance(wait)

    found_out = await behind.get("/")
    after = [await browser.get("/") for browser in (ahead, behind, last)]

    assert found_out.json()["reason"] == "reused_token"
    assert [r.json()["subject"] for r in after] == [None] * 3
    [event] = site.named("reused")
    assert (event.subject, event.reason) == ("alice", "theft")
    assert "of" in (event.detail or "")
    assert await site.issuer.sessions("alice") == []


async def test_AB_69_a_good_access_token_of_the_other_party_ends_too(clock: Clock) -> None:
    site = await signed_in(clock)
    thief = site.browser.fork()
    for _ in range(2):
        await site.browser.get("/")
        clock.advance(WINDOW + 1)
        site.browser.drop(ACCESS)
    await site.browser.get("/")  # a new access token, good for minutes yet

    await thief.get("/")

    response = await site.browser.get("/")
    assert (response.json()["subject"], response.json()["reason"]) == (None, "session_ended")


async def test_AB_70_a_token_replayed_for_ever_moves_no_anchor(clock: Clock) -> None:
    """
    The case wants the replays to end with the grace. DESIGN, 11: answered LATE for as long as the
    successor is not used, always with that one successor; the next rotation of that ends it.
    """
    site = await signed_in(clock)
    thief = site.browser.fork()
    thief.drop(ACCESS)
    await site.browser.get("/")
    [session] = await site.issuer.sessions("alice")
    anchor = session.rotated_at

    for _ in range(50):
        clock.advance(WINDOW / 2)
        answer = await thief.send("/")
        assert answer.json()["subject"] == "alice"
        assert generation(answer.cookies.get(REFRESH, "s.2.x")) == 2
        [session] = await site.issuer.sessions("alice")
        assert (session.current, session.rotated_at) == (2, anchor)

    await site.browser.get("/")  # the owner comes back and uses the successor
    clock.advance(WINDOW / 2)
    stopped = await thief.send("/")

    assert (stopped.json()["subject"], stopped.json()["reason"]) == (None, "reused_token")
    assert await site.issuer.sessions("alice") == []


async def test_AB_70_a_replayed_token_writes_once(clock: Clock) -> None:
    site = await signed_in(clock)
    thief = site.browser.fork()
    thief.drop(ACCESS)
    await site.browser.get("/")
    site.store.calls.clear()

    for _ in range(20):
        clock.advance(WINDOW / 2)
        await thief.send("/")

    assert site.store.count("replace") == 1  # the mark of the first late recovery


async def forked(clock: Clock) -> tuple[Site, Browser, Browser]:
    """
    A session two of whose generations were recovered late; with the browser that got the new
    branch, and one that holds the orphan.
    """
    site = await signed_in(clock)
    await site.browser.send("/")  # lost, so generation 1 comes back late
    clock.advance(HOUR)
    await site.browser.get("/")
    clock.advance(HOUR)
    orphan = site.browser.fork()
    await orphan.get("/")  # generation 3, which the browser does not get
    clock.advance(HOUR)
    response = await site.browser.get("/")  # FORK: generation 4 in place of 3
    assert [e.reason for e in site.named("recovered")] == ["late", "fork"]
    assert generation(response.cookies[REFRESH]) == 4
    return site, site.browser, orphan


async def test_AB_71_an_orphaned_successor_ends_the_session(clock: Clock) -> None:
    """Classified as FORK (DESIGN, 11); there is nothing to configure, and never two branches."""
    site, branch, orphan = await forked(clock)
    clock.advance(HOUR)

    used = await orphan.get("/")
    clock.advance(HOUR)
    other = await branch.get("/")

    assert used.json()["reason"] == "reused_token"
    assert other.json()["subject"] is None
    assert [event.reason for event in site.named("reused")] == ["theft"]


async def test_AB_71_an_orphan_on_its_way_within_the_grace_joins_the_one_branch(
    clock: Clock,
) -> None:
    site, branch, orphan = await forked(clock)
    orphan.drop(ACCESS)

    used = await orphan.send("/")

    assert used.json()["subject"] == "alice"
    assert generation(used.cookies.get(REFRESH, "s.4.x")) == 4
    assert await current(site) == 4
    clock.advance(HOUR)
    assert (await branch.get("/")).json()["subject"] == "alice"


async def test_AB_71_after_the_branch_went_on_the_orphan_ends_the_session_at_once(
    clock: Clock,
) -> None:
    site, branch, orphan = await forked(clock)
    clock.advance(HOUR)
    await branch.get("/")

    assert (await orphan.get("/")).json()["reason"] == "reused_token"
    assert await site.issuer.sessions("alice") == []


# --- AB-72 and AB-73: the store -------------------------------------------------------------------


async def test_AB_72_a_restart_forgets_no_rotation(clock: Clock, tmp_path: Path) -> None:
    """CVE-2026-9802 (Keycloak)."""
    stores = Backend(tmp_path / "s.db")
    [site] = hosts(stores, [clock])
    await site.sign_in()
    thief = site.browser.fork()
    for _ in range(2):
        clock.advance(HOUR)
        await site.browser.get("/")
    stores.close()
    again = Backend(tmp_path / "s.db")
    [restarted] = hosts(again, [clock])
    thief.app = site.browser.app = restarted.browser.app

    found_out = await thief.get("/")
    clock.advance(HOUR)
    owner = await site.browser.get("/")
    again.close()

    assert found_out.json()["reason"] == "reused_token"
    assert owner.json()["subject"] is None
    assert [event.reason for event in restarted.named("reused")] == ["theft"]


async def test_AB_72_a_restart_forgets_no_revocation(clock: Clock, tmp_path: Path) -> None:
    stores = Backend(tmp_path / "s.db")
    [site] = hosts(stores, [clock])
    session_id = await site.sign_in()
    await site.issuer.revoke(session_id)
    stores.close()
    again = Backend(tmp_path / "s.db")
    [restarted] = hosts(again, [clock])
    site.browser.app = restarted.browser.app

    response = await site.browser.get("/")
    again.close()

    assert response.json()["subject"] is None


FAILURES = ["raises", "acts and raises", "hangs"]
BROKEN = ["get", "replace"]


def fail(store: Frail, how: str, *operations: str) -> None:
    kinds = {"raises": store.broken, "acts and raises": store.speechless, "hangs": store.hanging}
    kinds[how].update(operations)


def mend(store: Frail) -> None:
    for failing in (store.broken, store.speechless, store.hanging):
        failing.clear()


@pytest.mark.parametrize("operation", BROKEN)
@pytest.mark.parametrize("how", FAILURES)
async def test_AB_73_a_failing_store_refreshes_nobody_and_harms_nobody(
    clock: Clock, how: str, operation: str
) -> None:
    timeout = timedelta(seconds=0.02 if how == "hangs" else 30)
    site = await signed_in(clock, store=Frail(), config=Config(store_timeout=timeout))
    fail(site.store, how, operation)

    response = await site.browser.navigate("/")
    mend(site.store)
    clock.advance(HOUR)
    after = await site.browser.navigate("/")

    assert (response.status, response.set_cookies) == (200, [])
    if operation == "get":
        assert response.json()["reason"] == "store_unavailable"
    assert (after.json()["subject"], given(after)) == ("alice", {ACCESS, REFRESH})
    assert site.named("reused") == []


@pytest.mark.parametrize("how", FAILURES)
async def test_AB_73_a_failing_store_leaves_good_access_tokens_good(clock: Clock, how: str) -> None:
    timeout = timedelta(seconds=0.02 if how == "hangs" else 30)
    site = make_site(clock, store=Frail(), config=Config(store_timeout=timeout))
    await site.sign_in()
    fail(site.store, how, "get", "replace", "revocations")

    response = await site.browser.navigate("/")

    assert (response.json()["subject"], response.set_cookies) == ("alice", [])


@pytest.mark.parametrize("how", FAILURES)
async def test_AB_73_a_failing_store_does_not_use_up_the_late_recovery(
    clock: Clock, how: str
) -> None:
    """keycloak#49213: the credit was consumed although the transaction failed."""
    timeout = timedelta(seconds=0.02 if how == "hangs" else 30)
    site = await signed_in(clock, store=Frail(), config=Config(store_timeout=timeout))
    await site.browser.send("/")  # lost
    clock.advance(HOUR)
    fail(site.store, how, "replace")
    for _ in range(3):
        await site.browser.send("/")
    mend(site.store)

    response = await site.browser.get("/")

    assert (response.json()["subject"], given(response)) == ("alice", {ACCESS, REFRESH})
    assert site.named("reused") == []


async def test_AB_73_a_store_that_cannot_end_a_stolen_session_still_refuses_it(
    clock: Clock,
) -> None:
    site = await signed_in(clock, store=Frail())
    thief = site.browser.fork()
    for _ in range(2):
        await site.browser.get("/")
        clock.advance(HOUR)
    fail(site.store, "raises", "revoke")

    response = await thief.get("/")

    assert (response.status, response.json()["subject"]) == (200, None)
    mend(site.store)
    assert (await thief.get("/")).json()["subject"] is None
    assert await site.issuer.sessions("alice") == []


class Babbling(Frail):
    """A store that answers *garbage* to `get`."""

    garbage: Any = None

    async def get(self, session_id: str) -> Any:
        self.calls.append("get")
        return await self.store.get(session_id) if self.garbage is None else self.garbage


GARBAGE: list[Any] = ["a session", 1, {}, b"\x00", object(), ("s", 1)]


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda value: type(value).__name__)
async def test_AB_73_a_store_that_answers_garbage_is_a_store_that_is_away(
    clock: Clock, garbage: Any
) -> None:
    site = await signed_in(clock, store=Babbling())
    site.store.garbage = garbage

    response = await site.browser.navigate("/")
    site.store.garbage = None
    after = await site.browser.navigate("/")

    assert (response.status, response.set_cookies) == (200, [])
    assert response.json()["subject"] is None
    assert after.json()["subject"] == "alice"


@pytest.mark.parametrize("garbage", [None, 1, ([1], "x"), (["entry"], None)], ids=str)
async def test_AB_73_a_log_that_answers_garbage_leaves_good_access_tokens_good(
    clock: Clock, garbage: Any
) -> None:
    class Log(Frail):
        async def revocations(self, cursor: str | None) -> Any:
            return garbage

    site = make_site(clock, store=Log(), config=lasting())
    await site.sign_in()

    assert (await site.browser.get("/")).json()["subject"] == "alice"


async def test_AB_73_a_row_that_is_spoiled_is_a_store_that_is_away(
    clock: Clock, tmp_path: Path
) -> None:
    store = SQLiteStore(tmp_path / "s.db", busy_timeout=30)
    site = await signed_in(clock, store=Frail(store))
    with closing(sqlite3.connect(tmp_path / "s.db")) as database, database:
        database.execute("UPDATE refresh_sessions SET claims = '{'")

    response = await site.browser.navigate("/")
    store.close()

    assert (response.status, response.set_cookies) == (200, [])
    assert response.json()["reason"] == "store_unavailable"


# --- AB-74 to AB-77: the end of a session ---------------------------------------------------------


@pytest.mark.parametrize("path", ["/logout", "/logout/everywhere"])
async def test_AB_74_a_slow_request_brings_no_session_back(clock: Clock, path: str) -> None:
    """CVE-2025-46336 (rack-session): the request in flight restored what was deleted."""
    gate = Gate()
    site = await signed_in(clock, app=held(gate))
    async with Started(lambda: site.browser.send("/slow")) as slow:
        await gate.arrival()
        await site.browser.post(path)
        gate.open()
        late = await slow.answer()
    site.browser.deliver(late)

    assert (late.json()["subject"], given(late)) == ("alice", set())
    assert site.browser.values() == {}
    assert await site.issuer.sessions("alice") == []


@pytest.mark.parametrize("path", ["/logout", "/logout/everywhere"])
async def test_AB_74_nor_does_one_that_has_nothing_to_write(clock: Clock, path: str) -> None:
    """Another request has rotated: this one would hand out the same, and looks again first."""
    gate = Gate()
    site = await signed_in(clock, app=held(gate))
    slow = site.browser.fork()
    await site.browser.get("/")
    async with Started(lambda: slow.send("/slow")) as request:
        await gate.arrival()
        await site.browser.post(path)
        gate.open()
        late = await request.answer()

    assert (late.json()["subject"], given(late)) == ("alice", set())


@pytest.mark.parametrize("revocation", ["refresh", "live"])
async def test_AB_74_a_slow_response_delivered_after_the_logout_is_nobody(
    clock: Clock, revocation: Any
) -> None:
    """It had left us before; the tombstone or the denylist keeps the logout final."""
    site = await signed_in(clock, config=lasting(Config(revocation=revocation)))
    late = await site.browser.send("/")  # under way
    await site.browser.post("/logout")
    site.browser.deliver(late)

    response = await site.browser.get("/")
    clock.advance(HOUR)
    much_later = await site.browser.get("/")

    assert [r.json()["subject"] for r in (response, much_later)] == [None, None]


async def test_AB_74_without_a_store_a_tombstone_keeps_the_logout_final(clock: Clock) -> None:
    site = await signed_in(clock, stored=False)
    late = await site.browser.send("/")
    await site.browser.post("/logout")
    site.browser.deliver(late)

    for _ in range(3):
        assert (await site.browser.get("/")).json()["subject"] is None
        clock.advance(DAY)


RESPELLED: list[Callable[[str], str]] = [
    lambda raw: raw,
    lambda raw: f"{raw}=",
    lambda raw: f"{raw}==",
    lambda raw: f"{raw}!!",
    lambda raw: f"{raw}.",
    lambda raw: f".{raw}",
    lambda raw: raw.replace("-", "+").replace("_", "/"),
    lambda raw: raw[:-1] + chr(ord(raw[-1]) + 1),
    lambda raw: f'"{raw}"',
    lambda raw: raw.swapcase(),
    lambda raw: ".".join(f"{part}=" for part in raw.split(".")),
]
OWN_STORE = [place for place in ACCESS_PLACES if "erifier" not in place.name]


@pytest.mark.parametrize("place", OWN_STORE, ids=str)
@pytest.mark.parametrize("seen", [True, False])
async def test_AB_75_a_retired_access_token_is_nobody_in_every_spelling(
    clock: Clock, place: Place, seen: bool
) -> None:
    """A verifier without the store is not told of revocations: its tokens end by expiry."""
    site = Placed(clock)
    tokens = await site.issue()
    await site.issuer.refresh(tokens.refresh_token)
    raw = (await site.issuer.refresh(tokens.refresh_token)).access_token
    if seen:
        (await place.put(site, raw)).is_of("alice")
    await site.issuer.refresh(tokens.refresh_token, revoke_access=raw)

    for respell in RESPELLED:
        outcome = await place.put(site, respell(raw))

        assert outcome.refused, outcome
        assert (outcome.set_cookies, outcome.writes) == ([], [])


async def test_AB_75_only_the_one_token_is_retired_of_its_generation(clock: Clock) -> None:
    """By its `jti`: another one of the same generation stays good."""
    issuer = make_issuer(clock, store=MemoryStore(), config=lasting())
    first = await issuer.issue("alice")
    await issuer.refresh(first.refresh_token)
    one, other = [await issuer.refresh(first.refresh_token) for _ in range(2)]

    await issuer.refresh(first.refresh_token, revoke_access=one.access_token)

    with pytest.raises(RevokedTokenError):
        await issuer.authenticate(one.access_token)
    assert (await issuer.authenticate(other.access_token))["sub"] == "alice"


@pytest.mark.parametrize("elsewhere", [True, False])
async def test_AB_76_revoking_a_subject_ends_what_was_and_nothing_that_comes(
    clock: Clock, elsewhere: bool
) -> None:
    """In one and the same second: sessions have ids, not times."""
    store = MemoryStore()
    issuer, other = make_issuer(clock, store=store), make_issuer(clock, store=store)
    old = [await issuer.issue("alice") for _ in range(3)]
    bob = await issuer.issue("bob")
    for tokens in old:
        await issuer.authenticate(tokens.access_token)

    assert await (other if elsewhere else issuer).revoke_subject("alice") == 3
    new = await issuer.issue("alice")
    if elsewhere:
        clock.advance(1)  # the poll

    for tokens in old:
        with pytest.raises(RevokedTokenError):
            await issuer.authenticate(tokens.access_token)
        with pytest.raises(RevokedTokenError):
            await issuer.refresh(tokens.refresh_token)
    for tokens in (new, bob):
        await issuer.authenticate(tokens.access_token)
        await issuer.refresh(tokens.refresh_token)


async def test_AB_76_signing_out_everywhere_and_in_again_in_one_request_holds(
    clock: Clock,
) -> None:
    """A password change: everybody out, this browser in."""

    def change_password(auth: Any) -> None:
        auth.logout(everywhere=True)
        auth.login("alice")

    site = await signed_in(clock, app=doing(change_password))
    elsewhere = await site.issuer.issue("alice")
    await site.browser.post("/")

    assert len(await site.issuer.sessions("alice")) == 1
    with pytest.raises(RevokedTokenError):
        await site.issuer.authenticate(elsewhere.access_token)
    fresh = site.browser.values()[ACCESS]
    assert (await site.issuer.authenticate(fresh))["sub"] == "alice"


@pytest.mark.parametrize("stored", [True, False])
async def test_AB_77_a_thousand_refreshes_extend_nothing_past_the_absolute_end(
    clock: Clock, stored: bool
) -> None:
    issuer = make_issuer(clock, store=MemoryStore() if stored else None, config=lasting())
    began = clock()
    tokens = await issuer.issue("alice")
    end = began + 90 * DAY
    for _ in range(999):
        clock.advance(90 * DAY / 1000)
        tokens = await issuer.refresh(tokens.refresh_token)
        assert issuer.verify(tokens.access_token)["exp"] <= end
        assert clock() + tokens.refresh_expires_in <= end

    clock.advance(90 * DAY / 1000)
    assert clock() >= end
    with pytest.raises(InvalidTokenError):
        await issuer.refresh(tokens.refresh_token)
    with pytest.raises(InvalidTokenError):
        issuer.verify(tokens.access_token)


# --- AB-78: floods --------------------------------------------------------------------------------


async def test_AB_78_a_flood_of_revocations_is_held_until_their_tokens_are_out_and_no_longer(
    clock: Clock,
) -> None:
    """10⁶ of the case in small: 7,500, of which no more than ten minutes' worth are kept."""
    store = MemoryStore()
    issuer = make_issuer(clock, store=store)
    assert issuer.denylist is not None
    life, step, each = 600 + 10, 10, 50
    most = 0
    for _ in range(150):
        clock.advance(step)
        for number in range(each):
            now = clock()
            await store.revoke("x", Revocation(f"{now}-{number}", now, now + life))
        await issuer.denylist.update()
        most = max(most, len(issuer.denylist.by_session))

    alive = each * life // step
    assert alive <= most <= alive + each * 30 // step + each  # what the next sweep will drop
    clock.advance(life + 30)
    await issuer.denylist.update()
    assert len(issuer.denylist.by_session) == 0


async def test_AB_78_one_session_refreshed_over_and_over_fills_no_memory(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore(), config=lasting())
    assert issuer.denylist is not None
    first = await issuer.issue("alice")
    tokens = first
    for _ in range(200):
        access = tokens.access_token
        tokens = await issuer.refresh(first.refresh_token, revoke_access=access)

    assert len(issuer.denylist.by_session[first.session_id]) <= 40


@pytest.mark.parametrize("place", ACCESS_PLACES, ids=str)
async def test_AB_78_a_flood_of_unknown_access_tokens_fills_nothing(
    clock: Clock, place: Place
) -> None:
    site = Placed(clock)
    await place.put(site, "x")
    for number in range(50):
        outcome = await place.put(site, forge.token(secret=b"%032d" % number))
        assert outcome.refused
        assert outcome.writes == []

    assert len(site.issuer.cache.young) + len(site.issuer.cache.old) == 0


async def test_AB_78_a_flood_of_unknown_refresh_tokens_writes_nothing(clock: Clock) -> None:
    site = make_site(clock, store=Spy())
    site.store.calls.clear()
    for number in range(50):
        tag = b64(number.to_bytes(32))
        answer = await site.browser.send("/", cookies={REFRESH: f"session{number}.1.{tag}"})
        assert answer.json()["subject"] is None

    assert site.store.calls == []


async def test_AB_78_a_flood_of_one_dead_refresh_token_costs_one_look_a_minute(
    clock: Clock,
) -> None:
    site = await signed_in(clock, store=Spy())
    [session] = await site.issuer.sessions("alice")
    await site.issuer.revoke(session.id)
    site.store.calls.clear()

    for _ in range(100):
        clock.advance(0.5)
        await site.browser.send("/")

    assert site.store.count("get") == 1
    assert site.store.count("replace", "revoke", "add") == 0


async def test_AB_78_unknown_sessions_fill_no_memory(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens of sessions that a lost database had, say: genuine, and never heard of."""
    monkeypatch.setattr(rotating, "_DEAD_MOST", 64)
    issuer = make_issuer(clock, store=MemoryStore())
    assert issuer.rotating is not None
    for number in range(500):
        session = new_session(clock, f"s{number}")
        raw = issuer.profile.mint_refresh(session, 1, now=clock()).decode()
        with pytest.raises(RevokedTokenError):
            await issuer.refresh(raw)

    assert len(issuer.rotating._dead) <= 64


# --- AB-79: cancellation --------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["get", "replace"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("followers", [1, 8])
async def test_AB_79_a_cancelled_leader_leaves_nobody_stuck(
    clock: Clock, operation: str, when: str, followers: int
) -> None:
    site = await signed_in(clock)
    gate = Gate()
    gates = getattr(site.store, when)
    gates[operation] = gate
    responses: list[Any] = []

    async def follow() -> None:
        responses.append(await site.browser.send("/"))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            async with Started(lambda: site.browser.send("/")) as leader:
                await gate.arrival()
                for _ in range(followers):
                    group.start_soon(follow)
                await anyio.wait_all_tasks_blocked()
                leader.scope.cancel()
            gates.clear()
            gate.open()

    assert len(responses) == followers
    assert {r.json()["subject"] for r in responses} == {"alice"}
    assert await current(site) == 2
    assert len({r.cookies[REFRESH] for r in responses}) == 1
    rotating = site.issuer.rotating
    assert rotating is not None
    assert rotating._looks._lines == {}
    assert rotating._settler._turns._lines == {}


async def test_AB_79_a_cancelled_successor_of_the_leader_leaves_nobody_stuck(clock: Clock) -> None:
    """Who waited behind it had been promised its answer."""
    site = await signed_in(clock)
    first, second = Gate(), Gate()
    site.store.before["get"] = first
    last: list[Any] = []

    async def wait_behind() -> None:
        last.append(await site.browser.send("/"))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(site.browser.send, "/")
            await first.arrival()
            site.store.before["get"] = second
            async with Started(lambda: site.browser.send("/")) as successor:
                await anyio.wait_all_tasks_blocked()
                group.start_soon(wait_behind)
                await anyio.wait_all_tasks_blocked()
                first.open()
                await second.arrival()
                successor.scope.cancel()
            second.open()

    assert [response.json()["subject"] for response in last] == ["alice"]


@pytest.mark.parametrize("operation", ["get", "replace"])
async def test_AB_79_when_everybody_is_cancelled_the_next_one_is_served(
    clock: Clock, operation: str
) -> None:
    site = await signed_in(clock)
    gate = site.store.before[operation] = Gate()
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(site.browser.send, "/")
        await gate.arrival()
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert await current(site) == 1
    site.store.before.clear()

    with anyio.fail_after(20):
        response = await site.browser.get("/")

    assert (response.json()["subject"], given(response)) == ("alice", {ACCESS, REFRESH})


# --- AB-80: keys ----------------------------------------------------------------------------------

OLD, NEW, THIRD = (f"{name}-secret-that-is-long-enough-for-it" for name in ("old", "new", "third"))


def with_keys(clock: Clock, store: Any, key: Any, **options: Any) -> Issuer:
    return Issuer(
        key, store=store, clock=clock, config=lasting(), on_event=lambda _: None, **options
    )


@pytest.mark.parametrize("shape", ["secret", "key"])
@pytest.mark.parametrize("stored", [True, False])
async def test_AB_80_tokens_of_the_old_key_are_good_and_give_way_to_the_new(
    clock: Clock, shape: str, stored: bool
) -> None:
    store = MemoryStore() if stored else None
    options: dict[str, Any] = {"secret": THIRD} if shape == "key" else {}
    old, new, none = (
        [Key(s, s[:3]) for s in secrets] if shape == "key" else list(secrets)
        for secrets in ([OLD], [NEW, OLD], [NEW])
    )
    tokens = await with_keys(clock, store, old, **options).issue("alice")
    rotated = with_keys(clock, store, new, **options)

    assert rotated.verify(tokens.access_token)["sub"] == "alice"
    clock.advance(HOUR)
    fresh = await rotated.refresh(tokens.refresh_token)

    gone = with_keys(clock, store, none, **options)
    assert gone.verify(fresh.access_token)["sub"] == "alice"
    if stored:
        assert (await gone.refresh(fresh.refresh_token)).session_id == tokens.session_id


@pytest.mark.parametrize("stored", [True, False])
async def test_AB_80_tokens_of_a_removed_key_are_nobody(clock: Clock, stored: bool) -> None:
    store = MemoryStore() if stored else None
    tokens = await with_keys(clock, store, OLD).issue("alice")
    gone = with_keys(clock, store, NEW)
    browser = Browser(RefreshMiddleware(whoami, gone), clock)

    for cookies in ({ACCESS: tokens.access_token}, {REFRESH: tokens.refresh_token}):
        response = await browser.send("/", cookies=cookies, headers=NAVIGATION)
        assert (response.json()["subject"], response.set_cookies) == (None, [])
    for raw in (tokens.access_token, tokens.refresh_token):
        with pytest.raises(InvalidTokenError):
            gone.verify(raw)
        with pytest.raises(InvalidTokenError):
            await gone.refresh(raw)


async def test_AB_80_two_keys_of_one_id_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="same id"):
        Issuer([Key(OLD, "k"), Key(NEW, "k")], store=None, secret=THIRD)


@pytest.mark.parametrize("stored", [True, False])
async def test_AB_80_the_id_of_one_purpose_opens_no_other(clock: Clock, stored: bool) -> None:
    """A `kid` is only looked up among access keys, and each key has one purpose."""
    issuer = Issuer(
        [Key(OLD, "k1"), Key(NEW, "k2")],
        secret=THIRD,
        store=MemoryStore() if stored else None,
        clock=clock,
    )
    tokens = await issuer.issue("alice")
    head, body, _ = tokens.access_token.split(".")
    message = tokens.refresh_token.rpartition(".")[0]

    def tagged(text: str, secret: str) -> str:
        return f"{text}.{forge.mac(text.encode(), secret.encode()).decode()}"

    for secret in (NEW, THIRD):  # the header says k1
        with pytest.raises(InvalidTokenError):
            issuer.verify(tagged(f"{head}.{body}", secret))
    for secret in (OLD, NEW, THIRD):
        with pytest.raises(InvalidTokenError):
            await issuer.refresh(tagged(message, secret))
    assert issuer.verify(tagged(f"{head}.{body}", OLD))["sub"] == "alice"
    # A header of ours in another spelling is looked at, and not just compared.
    spelled = b64(b'{"kid": "k2", "typ": "at+jwt", "alg": "HS256"}')
    with pytest.raises(InvalidTokenError):
        issuer.verify(tagged(f"{spelled}.{body}", OLD))
    assert issuer.verify(tagged(f"{spelled}.{body}", NEW))["sub"] == "alice"
