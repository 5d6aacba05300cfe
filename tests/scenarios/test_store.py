"""Scenarios 26-32, 34, 47, 49 and 50: the store fails, forgets, lags, grows, and is shared."""

from __future__ import annotations

import hashlib
import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given as property_of
from hypothesis import settings
from hypothesis import strategies as st
from itsdangerous import Signer

from asgi_refresh import MemoryStore, Revocation, SQLiteStore
from asgi_refresh.errors import InvalidTokenError
from tests.blackbox.helpers import (
    ACCESS,
    DAY,
    HOUR,
    MINUTE,
    REFRESH,
    WINDOW,
    Gate,
    Started,
    deleted,
    given,
    held,
    lasting,
    make_site,
    together,
)
from tests.scenarios.support import (
    BOTH,
    SHORT,
    Backend,
    Frail,
    assert_goes_on,
    current,
    generation,
    hosts,
    keyed,
    refresh_tokens,
    subjects,
)
from tests.support import SECRET, Browser, Clock, make_issuer, new_session, whoami

pytestmark = pytest.mark.anyio

OPERATIONS = {
    "add", "get", "replace", "revoke", "revoke_subject", "find", "revocations", "purge",
}  # fmt: skip


# --- 26, 27: away, and slow -----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["broken", "hanging"])
@pytest.mark.parametrize("phase", ["request", "response", "both"])
@pytest.mark.parametrize("outage", [1.0, DAY])
async def test_26_an_outage_in_any_phase_deletes_nothing_and_the_session_goes_on(
    clock: Clock, phase: str, how: str, outage: float
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/outage" and phase == "response":
            getattr(site.store, how).update(OPERATIONS)
        await whoami(scope, receive, send)

    site = make_site(clock, app, config=lasting_but_short() if how == "hanging" else lasting())
    session_id = await site.sign_in()
    clock.advance(HOUR)
    if phase != "response":
        getattr(site.store, how).update(OPERATIONS)

    answers = [await site.browser.navigate("/outage") for _ in range(2 if phase == "both" else 1)]
    clock.advance(outage)
    site.store.broken.clear()
    site.store.hanging.clear()

    assert [response.status for response in answers] == [200] * len(answers)
    assert [response.set_cookies for response in answers] == [[]] * len(answers)
    assert subjects(answers) == {"alice" if phase == "response" else None}
    assert [s.id for s in await site.issuer.sessions("alice")] == [session_id]
    await assert_goes_on(site)


def lasting_but_short() -> Any:
    return replace(lasting(), store_timeout=SHORT)


async def test_26_an_outage_that_is_over_when_the_response_starts_is_none(clock: Clock) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        site.store.broken.add("*")
        await anyio.lowlevel.checkpoint()
        site.store.broken.clear()
        await whoami(scope, receive, send)

    site = make_site(clock, app, config=lasting())
    await site.sign_in()
    clock.advance(HOUR)

    assert given(await site.browser.get("/")) == BOTH


async def test_26_a_poll_that_failed_is_tried_again_by_one_request_for_all(clock: Clock) -> None:
    site = make_site(clock, config=lasting())
    await site.sign_in()
    site.store.broken.add("revocations")
    polls = []

    for wait in (0, 0.5, 0.5, 1, 1, 3):
        clock.advance(wait)
        if clock() == 1_800_000_006:
            site.store.broken.clear()
        site.store.calls.clear()
        responses = await together([lambda: site.browser.send("/")] * 20)
        assert subjects(responses) == {"alice"}
        polls.append(site.store.count("revocations"))

    assert polls == [1, 0, 1, 0, 1, 0]


async def test_27_a_store_that_does_not_answer_is_nothing_to_who_needs_no_refresh(
    clock: Clock,
) -> None:
    site = make_site(clock, config=lasting_but_short())
    await site.sign_in()
    await site.browser.get("/")
    site.store.calls.clear()
    site.store.hanging.update(OPERATIONS)
    nobody = Browser(site.browser.app, clock)
    told: set[Any] = set()

    with anyio.fail_after(5):
        for _ in range(200):
            told |= {(await b.send("/")).json()["subject"] for b in (nobody, site.browser)}
            clock.advance(0.1)

    assert told == {None, "alice"}
    assert set(site.store.calls) == {"revocations"}
    assert len(site.store.calls) <= 5  # after 1, 2, 4 and 8 seconds


async def test_27_a_hundred_that_need_a_refresh_wait_no_longer_than_one(clock: Clock) -> None:
    site = make_site(clock, config=lasting_but_short())
    await site.sign_in()
    clock.advance(HOUR)
    site.store.hanging.update(OPERATIONS)

    with anyio.fail_after(5):
        responses = await together([lambda: site.browser.send("/")] * 100)

    assert {response.json()["reason"] for response in responses} == {"store_unavailable"}
    site.store.hanging.clear()
    await assert_goes_on(site)


# --- 28, 29: writes are lost ----------------------------------------------------------------------


@pytest.mark.parametrize("lost", [1, 2, 5])
async def test_28_a_failover_that_loses_rotations_is_made_good(clock: Clock, lost: int) -> None:
    site = make_site(clock, store=Frail(), config=lasting())
    session_id = await site.sign_in()
    for number in range(6):
        if number == 6 - lost:
            replica = site.store.sessions()
        clock.advance(HOUR)
        await site.browser.get("/")
    site.store.back_to(replica)
    clock.advance(HOUR)
    site.events.clear()

    response = await site.browser.navigate("/")

    assert response.json()["subject"] == "alice"
    assert [(e.name, e.reason) for e in site.events] == [("recovered", "ahead")]
    assert (response.json()["payload"]["sid"], await current(site)) == (session_id, 8)
    await assert_goes_on(site)


async def test_28_a_failover_between_look_and_commit_signs_nobody_out(clock: Clock) -> None:
    gate = Gate()
    site = make_site(clock, held(gate), store=Frail(), config=lasting())
    await site.sign_in()
    replica = site.store.sessions()
    clock.advance(HOUR)
    await site.browser.get("/")
    clock.advance(HOUR)

    async with Started(lambda: site.browser.send("/slow")) as request:
        await gate.arrival()
        site.store.back_to(replica)
        gate.open()
        response = await request.answer()
    site.browser.deliver(response)

    assert response.json()["subject"] == "alice"
    await assert_goes_on(site)


async def test_28_a_failover_that_loses_a_login_is_a_sign_in_to_be_made_again(
    clock: Clock,
) -> None:
    site = make_site(clock, store=Frail(), config=lasting())
    replica = site.store.sessions()
    await site.browser.post("/login")
    site.store.back_to(replica)
    clock.advance(HOUR)

    response = await site.browser.navigate("/")
    await site.browser.post("/login")

    assert response.json()["reason"] == "session_ended"
    assert deleted(response) == {REFRESH}  # the browser has let the other go by itself
    await assert_goes_on(site)


async def test_28_a_failover_that_loses_a_revocation_brings_the_session_back_until_the_next(
    clock: Clock,
) -> None:
    """Nothing can know of it but who wrote it: revocations must be durable (docs/stores.md)."""
    site = make_site(clock, store=Frail(), config=lasting())
    session_id = await site.sign_in()
    replica = site.store.sessions()
    await site.issuer.revoke(session_id)
    site.store.back_to(replica)

    refused = await site.browser.send("/", cookies={ACCESS: site.browser.values()[ACCESS]})
    clock.advance(HOUR)
    back = await site.browser.get("/")
    ended = await site.issuer.revoke(session_id)

    assert refused.json()["reason"] == "revoked_token"
    assert (back.json()["subject"], ended) == ("alice", True)
    assert (await site.browser.get("/")).json()["subject"] is None


async def test_29_a_flushed_store_has_signed_everybody_out_and_calls_nobody_a_thief(
    clock: Clock,
) -> None:
    site = make_site(clock, store=Frail(), config=lasting())
    await site.sign_in()
    other = site.browser.fork()
    await site.sign_in("bob", browser=other)
    site.store.back_to({})

    still = [await browser.get("/") for browser in (site.browser, other)]
    clock.advance(10 * MINUTE)
    after = [await browser.get("/") for browser in (site.browser, other)]

    assert subjects(still) == {"alice", "bob"}
    assert {response.json()["reason"] for response in after} == {"session_ended"}
    assert site.named("reused") == []
    await site.browser.post("/login")
    await assert_goes_on(site)


async def test_29_a_request_under_way_when_the_store_is_flushed_brings_nothing_back(
    clock: Clock,
) -> None:
    gate = Gate()
    site = make_site(clock, held(gate), store=Frail(), config=lasting())
    await site.sign_in()
    clock.advance(HOUR)

    async with Started(lambda: site.browser.send("/slow")) as request:
        await gate.arrival()
        site.store.back_to({})
        gate.open()
        response = await request.answer()

    assert (response.json()["subject"], response.set_cookies) == ("alice", [])
    assert site.store.sessions() == {}


async def test_29_an_evicted_session_takes_no_other_with_it(clock: Clock) -> None:
    site = make_site(clock, store=Frail(), config=lasting())
    evicted = await site.sign_in()
    first = site.browser.fork()
    await site.sign_in()
    kept = {key: value for key, value in site.store.sessions().items() if key != evicted}
    site.store.back_to(kept)
    clock.advance(HOUR)

    assert (await first.get("/")).json()["reason"] == "session_ended"
    await assert_goes_on(site)


# --- 30: a replica that lags ----------------------------------------------------------------------


@pytest.mark.parametrize("lags", [1, 2, 3])
async def test_30_a_read_from_a_replica_that_lags_signs_nobody_out(clock: Clock, lags: int) -> None:
    """A store must not answer so (docs/stores.md); if one does, a token is merely ahead."""
    site = make_site(clock, store=Frail(), config=lasting())
    await site.sign_in()
    site.store.past = site.store.sessions()
    clock.advance(HOUR)
    await site.browser.get("/")
    clock.advance(HOUR)
    site.store.lags = lags

    first = await site.browser.navigate("/")
    second = await site.browser.navigate("/")

    assert subjects([first, second]) == {"alice"}
    assert await current(site) == 3
    await assert_goes_on(site)


async def test_30_a_replica_that_never_catches_up_holds_no_response_for_ever(
    clock: Clock,
) -> None:
    site = make_site(clock, store=Frail(), config=lasting_but_short())
    await site.sign_in()
    site.store.past = site.store.sessions()
    clock.advance(HOUR)
    await site.browser.get("/")
    clock.advance(HOUR)
    site.store.lags = 10**9

    with anyio.fail_after(5):
        response = await site.browser.navigate("/")
    site.store.lags = 0

    assert (response.json()["subject"], response.set_cookies) == ("alice", [])
    await assert_goes_on(site)


async def test_30_a_replica_that_still_has_an_ended_session_brings_nothing_back(
    clock: Clock,
) -> None:
    site = make_site(clock, store=Frail(), config=lasting())
    session_id = await site.sign_in()
    site.store.past = site.store.sessions()
    clock.advance(HOUR)
    await site.store.store.revoke(session_id, Revocation(session_id, clock(), clock() + HOUR))
    site.store.lags = 1

    response = await site.browser.get("/")

    assert response.set_cookies == []
    assert site.store.sessions() == {}
    assert (await site.browser.get("/")).json()["subject"] is None


# --- 31: SQLite -----------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.db"


@pytest.fixture
def impatient(path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(path, busy_timeout=0.02)
    yield store
    store.close()


async def test_31_a_busy_file_costs_a_response_its_cookies_and_nobody_the_session(
    clock: Clock, path: Path, impatient: SQLiteStore
) -> None:
    site = make_site(clock, store=Frail(impatient), config=lasting())
    await site.sign_in()
    clock.advance(HOUR)

    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        refreshed = await site.browser.navigate("/")
        login = await site.browser.send("/login", "POST")
        other.execute("ROLLBACK")

    assert (refreshed.json()["subject"], refreshed.set_cookies) == ("alice", [])
    assert (login.status, login.set_cookies) == (503, [])
    await assert_goes_on(site)


async def test_31_a_full_disk_refuses_a_login_and_keeps_who_is_signed_in(
    clock: Clock, impatient: SQLiteStore
) -> None:
    site = make_site(clock, store=Frail(impatient), config=lasting())
    await site.sign_in()

    async def pages(limit: int | str) -> int:
        count = await impatient._read(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
        full = count if limit == "now" else limit
        await impatient._read(lambda db: db.execute(f"PRAGMA max_page_count = {full}").fetchone())
        return int(count)

    await pages("now")
    statuses = []
    for _ in range(200):
        response = await Browser(site.browser.app, clock).post("/login/bob")
        statuses.append((response.status, bool(response.set_cookies)))
        if response.status != 200:
            break
    clock.advance(HOUR)
    meanwhile = await site.browser.navigate("/")
    await pages(10**6)

    assert statuses[-1] == (503, False)
    assert meanwhile.json()["subject"] == "alice"
    assert (await Browser(site.browser.app, clock).post("/login/bob")).status == 200
    await assert_goes_on(site)


@pytest.mark.parametrize("mode", ["PASSIVE", "FULL", "RESTART", "TRUNCATE"])
async def test_31_checkpoints_of_the_log_lose_nothing(
    clock: Clock, path: Path, impatient: SQLiteStore, mode: str
) -> None:
    site = make_site(clock, store=Frail(impatient), config=lasting())
    await site.sign_in()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        for rotated in (2, 3, 4):
            clock.advance(HOUR)
            response = await site.browser.get("/")
            other.execute(f"PRAGMA wal_checkpoint({mode})")
            row = other.execute("SELECT current FROM refresh_sessions").fetchone()
            assert generation(response.cookies[REFRESH]) == row[0] == rotated
    impatient.close()

    await assert_goes_on(site)


async def test_31_eight_writers_lose_no_rotation(clock: Clock, path: Path) -> None:
    backend = Backend(path)
    try:
        sites = [make_site(clock, store=backend.open(), config=lasting()) for _ in range(8)]
        for number, site in enumerate(sites):
            await site.sign_in(f"user-{number}")
        for _ in range(5):
            clock.advance(HOUR)
            responses = await together([lambda site=site: site.browser.get("/") for site in sites])
            assert subjects(responses) == {f"user-{number}" for number in range(8)}
            assert all(given(response) == BOTH for response in responses)
        generations = [await current(site, f"user-{n}") for n, site in enumerate(sites)]
    finally:
        backend.close()

    assert generations == [6] * 8
    assert [site.named("store_unavailable") for site in sites] == [[]] * 8


# --- 32: a write of unknown outcome ---------------------------------------------------------------


def fails(site: Any, outcome: str, operation: str) -> None:
    (site.store.speechless if outcome == "committed" else site.store.broken).add(operation)


def mend(site: Any) -> None:
    site.store.speechless.clear()
    site.store.broken.clear()


@pytest.mark.parametrize("outcome", ["committed", "not committed"])
@pytest.mark.parametrize("after", [1.0, WINDOW + 1, DAY])
async def test_32_a_rotation_of_unknown_outcome_is_made_good_by_the_next_request(
    clock: Clock, stores: Backend, outcome: str, after: float
) -> None:
    site, other = hosts(stores, [clock] * 2)
    await site.sign_in()
    clock.advance(HOUR)
    fails(site, outcome, "replace")
    unknown = await site.browser.navigate("/")
    mend(site)
    clock.advance(after)

    retried = await other.browser.navigate("/")

    assert (unknown.json()["subject"], unknown.set_cookies) == ("alice", [])
    assert retried.json()["subject"] == "alice"
    assert generation(retried.cookies[REFRESH]) == await current(site) == 2
    await assert_goes_on(other)


@pytest.mark.parametrize("outcome", ["committed", "not committed"])
async def test_32_a_late_mark_of_unknown_outcome_is_made_good_by_the_next_request(
    clock: Clock, stores: Backend, outcome: str
) -> None:
    (site,) = hosts(stores, [clock])
    await site.sign_in()
    clock.advance(HOUR)
    await site.browser.send("/")
    clock.advance(HOUR)
    fails(site, outcome, "replace")
    unknown = await site.browser.navigate("/")
    mend(site)

    assert (unknown.json()["reason"], unknown.set_cookies) == ("store_unavailable", [])
    await assert_goes_on(site)


@pytest.mark.parametrize("outcome", ["committed", "not committed"])
async def test_32_a_login_of_unknown_outcome_is_refused_and_can_be_tried_again(
    clock: Clock, outcome: str
) -> None:
    (site,) = hosts(Backend(None), [clock])
    fails(site, outcome, "add")
    unknown = await site.browser.post("/login")
    mend(site)

    assert (unknown.status, unknown.set_cookies) == (503, [])
    assert given(await site.browser.post("/login")) == BOTH
    await assert_goes_on(site)


@pytest.mark.parametrize("outcome", ["committed", "not committed"])
async def test_32_a_logout_of_unknown_outcome_says_so_and_clears_the_browser(
    clock: Clock, stores: Backend, outcome: str
) -> None:
    (site,) = hosts(stores, [clock])
    session_id = await site.sign_in()
    fails(site, outcome, "revoke")
    unknown = await site.browser.post("/logout")
    mend(site)

    assert (unknown.status, deleted(unknown)) == (503, BOTH)
    assert await site.issuer.revoke(session_id) == (outcome == "not committed")
    assert await site.issuer.sessions("alice") == []


@pytest.mark.parametrize("outcome", ["committed", "not committed"])
async def test_32_a_theft_of_unknown_outcome_stays_one(
    clock: Clock, stores: Backend, outcome: str
) -> None:
    site, other = hosts(stores, [clock] * 2)
    await site.sign_in()
    thief = other.browser.fork()
    for _ in range(2):
        clock.advance(HOUR)
        await site.browser.get("/")
    fails(other, outcome, "revoke")
    unknown = await thief.get("/")
    mend(other)

    assert (unknown.json()["subject"], unknown.set_cookies) == (None, [])
    assert (await thief.get("/")).json()["subject"] is None
    assert await site.issuer.sessions("alice") == []


# --- 34, 49: keys change, and hosts change one after the other ------------------------------------

OLD, NEW = SECRET, "the-next-secret-of-at-least-32-bytes-!!"


async def test_34_hosts_with_different_newest_keys_are_of_one_mind(
    clock: Clock, stores: Backend
) -> None:
    one = keyed(clock, stores.open(), [OLD, NEW])
    other = keyed(clock, stores.open(), [NEW, OLD], beside=one)
    await one.sign_in()

    for rotated in (2, 3, 4):
        clock.advance(HOUR)
        calls = [lambda site=site: site.browser.send("/") for site in (one, other) * 5]
        responses = await together(calls)
        for response in responses[::-1] if rotated % 2 else responses:
            one.browser.deliver(response)
        tokens = refresh_tokens(responses)
        assert subjects(responses) == {"alice"}
        assert len(tokens) == 2
        assert {generation(token) for token in tokens} == {rotated}

    assert one.named("reused") == other.named("reused") == []
    await assert_goes_on(one)
    await assert_goes_on(other)


async def test_34_a_key_that_changes_while_the_handler_runs_is_no_rotation(
    clock: Clock, stores: Backend
) -> None:
    one = keyed(clock, stores.open(), [OLD, NEW])
    other = keyed(clock, stores.open(), [NEW, OLD], beside=one)
    gate = Gate()
    one.browser.app.app = held(gate)
    await one.sign_in()
    clock.advance(HOUR)

    async with Started(lambda: one.browser.send("/slow")) as request:
        await gate.arrival()
        newer = await other.browser.get("/")
        gate.open()
        older = await request.answer()
    one.browser.deliver(older)

    assert {generation(response.cookies[REFRESH]) for response in (newer, older)} == {2}
    await assert_goes_on(other)


async def test_34_a_token_of_a_retired_key_is_refused_without_a_trip_and_ends_nothing(
    clock: Clock,
) -> None:
    backend = Backend(None)
    one = keyed(clock, backend.open(), [NEW, OLD])
    retired = keyed(clock, backend.open(), [OLD])
    after = keyed(clock, backend.open(), [NEW], beside=retired)
    await retired.sign_in()
    await one.issuer.issue("alice")
    clock.advance(HOUR)

    response = await after.browser.navigate("/")

    assert (response.json()["reason"], response.set_cookies) == ("invalid_token", [])
    assert after.store.calls == []
    assert len(await one.issuer.sessions("alice")) == 2


async def test_49_a_host_of_before_the_deploy_leaves_a_newer_token_alone(clock: Clock) -> None:
    backend = Backend(None)
    """The new key all at once, though only some hosts know it: a nuisance, and nobody is lost."""
    before = keyed(clock, backend.open(), [OLD])
    after = keyed(clock, backend.open(), [NEW, OLD], beside=before)
    await before.sign_in()
    clock.advance(HOUR)
    moved = await after.browser.navigate("/")
    clock.advance(HOUR)
    before.store.calls.clear()

    refused = await before.browser.navigate("/")

    assert moved.json()["subject"] == "alice"
    assert (refused.json()["reason"], refused.set_cookies) == ("invalid_token", [])
    assert before.store.calls == []
    await assert_goes_on(after)


async def test_49_hosts_that_all_know_the_new_key_first_are_deployed_without_a_refusal(
    clock: Clock, stores: Backend
) -> None:
    """Every host in turn from [old] to [old, new] to [new, old] to [new]."""
    stages = [[OLD], [OLD, NEW], [NEW, OLD], [NEW]]
    first = keyed(clock, stores.open(), stages[0])
    await first.sign_in()
    for running, starting in itertools.pairwise(stages):
        sites = [keyed(clock, stores.open(), keys, beside=first) for keys in (running, starting)]
        for site in [*sites, *reversed(sites), sites[1]]:
            clock.advance(HOUR)
            assert (await site.browser.navigate("/")).json()["subject"] == "alice"
        assert sites[0].named("reused") == sites[1].named("reused") == []


SALTS = [
    b"asgi_refresh rotating refresh token v2",  # the next version's
    b"asgi_refresh stateless refresh token ",  # the other mode's
    b"itsdangerous.Signer",
]


@pytest.mark.parametrize("shape", ["{sid}.2", "v2.{sid}.2", "{sid}.2.1800000000", "{sid}"])
async def test_49_a_token_of_another_version_is_refused_without_a_trip_and_stays_in_the_jar(
    clock: Clock, shape: str
) -> None:
    for salt in SALTS:
        (site,) = hosts(Backend(None), [clock])
        session_id = await site.sign_in()
        mine = site.browser.values()[REFRESH]
        site.browser.put(REFRESH, signed(shape.format(sid=session_id), salt))
        site.browser.drop(ACCESS)

        response = await site.browser.navigate("/")

        assert mine == signed(f"{session_id}.1", b"asgi_refresh rotating refresh token ")
        assert (response.json()["reason"], response.set_cookies) == ("invalid_token", [])
        assert site.store.calls == []
        site.browser.put(REFRESH, mine)
        await assert_goes_on(site)


def signed(message: str, salt: bytes) -> str:
    signer = Signer(SECRET, salt=salt, key_derivation="hmac", digest_method=hashlib.sha256)
    return signer.sign(message).decode()


# --- 47: very many sessions -----------------------------------------------------------------------


async def test_47_of_very_many_sessions_the_ended_ones_are_dropped_and_no_others(
    clock: Clock,
) -> None:
    """A smoke test of the numbers; what it costs is measured in benchmarks/."""
    store = MemoryStore()
    ended, later = clock() + 10, clock() + DAY
    for number in range(20_000):
        end = ended if number % 2 else later
        session = new_session(clock, f"s{number}", f"user-{number // 10}", idle_expires_at=end)
        await store.add(session)
    for number in range(5_000):
        await store.revoke(f"gone-{number}", Revocation(f"gone-{number}", clock(), ended))
    issuer = make_issuer(clock, store=store, config=lasting())
    before = await issuer.sessions("user-77")
    clock.advance(10)
    listed = await issuer.sessions("user-77")

    dropped = await store.purge(clock())

    assert (len(before), len(listed), dropped) == (10, 5, 15_000)
    assert [len(await store.find(f"user-{n}")) for n in range(0, 2_000, 100)] == [5] * 20
    assert await store.revocations(None) == ([], "5000")
    assert await issuer.revoke_subject("user-77") == 5
    assert await store.purge(later) == 9_995 + 5  # and what the log says of these five
    assert (store._sessions, store._subjects) == ({}, {})


async def test_47_logins_drop_what_ended_an_hour_ago_and_look_for_it_once_an_hour(
    clock: Clock,
) -> None:
    """Not what has just ended: the clock of this host may be ahead of the others."""
    site = make_site(clock, config=lasting())
    for number in range(1_000):
        await site.store.store.add(
            new_session(clock, f"s{number}", f"user-{number}", idle_expires_at=clock() + HOUR)
        )
    kept = []
    for wait in (0, HOUR - 1, 1, 0, HOUR):
        clock.advance(wait)
        await site.browser.post("/login")
        kept.append(len(site.store.store._sessions))

    assert kept == [1_001, 1_001, 1_001, 1_001, 1]
    assert site.store.count("purge") == 3


# --- 50: the specification and the stores ---------------------------------------------------------


@dataclass
class Spec:
    """
    rotation.md, 5.3, as it stands there, for one session and the explicit refresh (ROTATE).

    Nothing of it is the library's. Two rules came later: a barrier counts as a rotation for the
    interval, and a cookie is withheld before a fork, which no explicit refresh has to fear.
    """

    now: float
    idle: float
    grace: float = WINDOW
    cur: int = 1
    prev: int | None = None
    at: float | None = None
    late: int = -1
    forked: bool = False
    barrier_at: float | None = None
    idle_exp: float = 0.0
    abs_exp: float = 0.0
    revoked: bool = False

    def __post_init__(self) -> None:
        self.idle_exp, self.abs_exp = self.now + self.idle, self.now + 90 * DAY

    def named(self, what: str) -> int:
        back = {"current": 0, "one less": 1, "ahead": -1, "ancient": 5}
        if what == "previous" and self.prev is not None:
            return self.prev
        return max(1, self.cur - back.get(what, 0))

    def classify(self, c: int) -> str:
        recent = self.at is not None and self.now < self.at + self.grace
        if self.revoked or self.now >= self.idle_exp or self.now >= self.abs_exp:
            return "DEAD"
        if c > self.cur:
            return "AHEAD"
        if c == self.cur:
            return "CURRENT"
        if c == self.prev and recent:
            return "GRACE"
        if c == self.prev:
            free = not self.forked and (self.late == self.cur or self.cur - self.late >= 2)
            return "LATE" if free else "FORK"
        if self.forked and c == self.cur - 1 and recent:
            return "GRACE"
        if self.barrier_at is not None and self.now < self.barrier_at + self.grace:
            return "STALE"
        return "THEFT"

    def rotate(self, c: int) -> int | None:
        """Return the generation handed out; None if refused."""
        verdict = self.classify(c)
        if verdict == "THEFT":
            self.revoked = True
        if verdict in ("DEAD", "STALE", "THEFT"):
            return None
        if verdict == "LATE":
            self.late = self.cur
        waits = self.at is not None and self.now < self.at + self.grace
        if verdict in ("GRACE", "LATE") or (verdict == "CURRENT" and waits):
            return self.cur
        self.prev, self.cur, self.at = c, max(self.cur, c) + 1, self.now
        self.forked = verdict == "FORK"
        if self.forked:
            self.late = self.cur
        self.idle_exp = min(self.now + self.idle, self.abs_exp)
        return self.cur

    def barrier(self, leap: int) -> int | None:
        """Count on by *leap*: how far is not specified, only that it is forward."""
        if self.classify(self.cur) == "DEAD":
            return None
        self.cur, self.prev, self.forked = self.cur + max(1, leap), None, False
        self.at = self.barrier_at = self.now
        return self.cur


# Mostly what keeps a session alive, or there is nothing to compare after a few steps.
PRESENTED = st.sampled_from(["current", "current", "previous", "previous", "one less", "ahead"])
PAUSES = st.sampled_from([1, WINDOW - 1, WINDOW, WINDOW, HOUR, HOUR, 13 * DAY])
STEP = st.one_of(
    *[st.tuples(st.just("refresh"), PRESENTED)] * 4,
    *[st.tuples(st.just("wait"), PAUSES)] * 4,
    st.tuples(st.just("refresh"), st.just("ancient")),
    st.tuples(st.just("barrier"), st.just("")),
)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=25)
@property_of(steps=st.lists(STEP, min_size=10, max_size=40))
def test_50_the_specification_and_every_store_hand_out_the_same_generations(
    backend: str, steps: list[tuple[str, Any]]
) -> None:
    async def main() -> None:
        clock = Clock()
        sqlite = SQLiteStore(":memory:")
        try:
            spec = Spec(clock(), 14 * DAY)
            issuers = [
                make_issuer(clock, store=store, config=lasting())
                for store in (MemoryStore(), sqlite)
            ]
            ids = [(await issuer.issue("alice")).session_id for issuer in issuers]
            for step, argument in steps:
                if step == "wait":
                    clock.advance(argument)
                    spec.now = clock()
                    continue
                presented = spec.named(argument)
                got = [
                    await outcome(issuer, session_id, step, presented)
                    for issuer, session_id in zip(issuers, ids, strict=True)
                ]
                if step == "refresh":
                    wanted = spec.rotate(presented)
                else:
                    wanted = spec.barrier((got[0] or 0) - spec.cur)
                assert got == [wanted] * 2, (step, presented, spec)
                alive = [bool(await issuer.sessions("alice")) for issuer in issuers]
                assert alive == [spec.classify(spec.cur) != "DEAD"] * 2
        finally:
            sqlite.close()

    anyio.run(main, backend=backend)


async def outcome(issuer: Any, session_id: str, step: str, presented: int) -> int | None:
    try:
        if step == "barrier":
            return generation((await issuer.barrier(session_id)).refresh_token)
        session = replace(new_session(issuer.clock), id=session_id)
        token = issuer.mint.refresh(session, presented).decode()
        return generation((await issuer.refresh(token)).refresh_token)
    except InvalidTokenError:
        return None
