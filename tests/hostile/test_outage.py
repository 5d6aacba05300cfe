"""The store is away, slow or hung: valid tokens go on, nothing is deleted, sessions survive."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import anyio
import pytest

from asgi_refresh import Auth, Config, Issuer, RefreshEndpoint, Tokens
from asgi_refresh.errors import StoreUnavailable
from tests.hostile.tools import (
    ACCESS,
    REFRESH,
    Recorder,
    both,
    browser,
    cookie_line,
    fill,
    http,
    run,
    said,
    set_cookies,
    teller,
    wrapped,
)
from tests.support import Browser, Clock, Spy, answer, make_issuer, whoami

pytestmark = pytest.mark.anyio

SHORT = timedelta(seconds=0.05)


class Site:
    """An issuer on a store that can be sent away, and a browser that is signed in."""

    spy: Spy
    issuer: Issuer
    tokens: Tokens
    client: Browser
    events: list[Any]

    @classmethod
    async def new(cls, clock: Clock, app: Any = teller, **config: Any) -> Site:
        site = cls()
        load = config.pop("load_claims", None)
        site.spy, site.events = Spy(), []
        site.issuer = make_issuer(
            clock,
            store=site.spy,
            config=Config(**config),
            load_claims=load,
            on_event=site.events.append,
        )
        site.tokens = await site.issuer.issue("alice")
        site.client = fill(browser(site.issuer, clock, app), site.tokens)
        site.spy.calls.clear()
        site.events.clear()
        return site

    def away(self, *operations: str) -> None:
        self.spy.broken = set(operations or ("*",))

    def back(self) -> None:
        self.spy.broken = set()
        self.spy.hanging = set()


def breaking(site: list[Site], *operations: str) -> Any:
    """An application during which the store goes away."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        site[0].away(*operations)
        await teller(scope, receive, send)

    return app


# --- at request time ------------------------------------------------------------------------------


@pytest.mark.parametrize("revocation", ["live", "refresh"])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("left", [600, 300, 60])
async def test_with_the_store_away_a_valid_access_token_goes_on(
    clock: Clock, revocation: Any, known: bool, left: int
) -> None:
    site = await Site.new(clock, revocation=revocation)
    if known:
        await site.client.get("/")
    site.away()
    clock.advance(600 - left)

    response = await site.client.get("/")

    assert (response.json()["subject"], response.set_cookies) == ("alice", [])


@pytest.mark.parametrize("revocation", ["live", "refresh"])
async def test_with_the_store_away_an_access_token_near_its_end_goes_on(
    clock: Clock, revocation: Any
) -> None:
    site = await Site.new(clock, revocation=revocation)
    site.away()
    clock.advance(599)

    response = await site.client.get("/")

    assert (response.json()["subject"], response.json()["refreshed"]) == ("alice", False)
    assert response.set_cookies == []


async def test_with_the_store_away_a_bearer_token_goes_on(clock: Clock) -> None:
    site = await Site.new(clock)
    site.away()
    clock.advance(300)
    header = (b"authorization", f"Bearer {site.tokens.access_token}".encode())

    told, _ = await said(wrapped(site.issuer), header)

    assert told["subject"] == "alice"


@pytest.mark.parametrize("navigate", [True, False])
@pytest.mark.parametrize("operation", ["get", "*"])
async def test_with_the_store_away_a_due_refresh_is_anonymous_and_touches_no_cookie(
    clock: Clock, navigate: bool, operation: str
) -> None:
    site = await Site.new(clock)
    site.away(operation)
    clock.advance(3600)

    response = await (site.client.navigate if navigate else site.client.get)("/")

    assert (response.json()["reason"], response.set_cookies) == ("store_unavailable", [])


async def test_an_anonymous_request_never_asks_the_store(clock: Clock) -> None:
    site = await Site.new(clock)
    site.away()

    told, cookies = await said(wrapped(site.issuer))

    assert (told["reason"], cookies, site.spy.calls) == ("no_credentials", [], [])


async def test_a_forged_refresh_token_never_asks_the_store(clock: Clock) -> None:
    site = await Site.new(clock)
    site.away()

    told, _ = await said(wrapped(site.issuer), cookie_line((REFRESH, "s1.1.AAAA")))

    assert (told["reason"], site.spy.calls) == ("invalid_token", [])


async def test_an_outage_is_told_by_an_event_with_the_operation(clock: Clock) -> None:
    site = await Site.new(clock)
    site.away()
    clock.advance(3600)

    await site.client.get("/")

    assert ("store_unavailable", "get", "OSError") in [
        (event.name, event.reason, event.detail) for event in site.events
    ]
    assert ("rejected", "store_unavailable") in [(e.name, e.reason) for e in site.events]


async def test_an_outage_is_not_remembered_as_the_end_of_the_session(clock: Clock) -> None:
    site = await Site.new(clock)
    clock.advance(3600)
    site.away()
    await site.client.navigate("/")
    site.back()

    response = await site.client.get("/")

    assert (response.json()["subject"], len(response.set_cookies)) == ("alice", 2)
    assert len(await site.issuer.sessions("alice")) == 1


@pytest.mark.parametrize("outage", [10, 100, 3600, 86400])
async def test_after_an_outage_of_any_length_the_same_session_goes_on(
    clock: Clock, outage: float
) -> None:
    site = await Site.new(clock)
    clock.advance(580)
    site.away()
    for _ in range(5):
        await site.client.get("/")
        clock.advance(outage / 5)
    site.back()
    clock.advance(3600)

    assert (await site.client.get("/")).json()["subject"] == "alice"
    assert (await site.issuer.sessions("alice"))[0].id == site.tokens.session_id


async def test_the_late_mark_that_cannot_be_written_signs_nobody_in(clock: Clock) -> None:
    """A recovery that cannot be recorded would let an old token be used for ever."""
    site = await Site.new(clock)
    clock.advance(3600)
    await site.client.send("/")  # the response is lost
    clock.advance(3600)
    site.away("replace")

    response = await site.client.get("/")

    assert (response.json()["reason"], response.set_cookies) == ("store_unavailable", [])


# --- at response time -----------------------------------------------------------------------------


@pytest.mark.parametrize("operations", [("replace",), ("*",)])
async def test_a_rotation_that_cannot_be_written_emits_nothing_and_the_response_goes_out(
    clock: Clock, operations: tuple[str, ...]
) -> None:
    box: list[Site] = []
    site = await Site.new(clock, breaking(box, *operations))
    box.append(site)
    clock.advance(3600)

    response = await site.client.get("/")

    assert (response.status, response.json()["subject"], response.set_cookies) == (
        200, "alice", [],
    )  # fmt: skip


async def test_after_a_rotation_that_could_not_be_written_the_next_request_tries_again(
    clock: Clock,
) -> None:
    box: list[Site] = []
    site = await Site.new(clock, breaking(box, "replace"))
    box.append(site)
    clock.advance(3600)
    await site.client.get("/")
    site.back()
    site.client.app = wrapped(site.issuer)

    response = await site.client.get("/")

    assert (response.json()["subject"], len(response.set_cookies)) == ("alice", 2)


async def test_a_second_read_that_fails_emits_nothing(clock: Clock) -> None:
    """Within the grace nothing is written, and the session is read again instead."""
    site = await Site.new(clock)
    twin = site.client.fork()
    clock.advance(3600)
    await site.client.get("/")
    box = [site]
    twin.app = wrapped(site.issuer, breaking(box, "get"))

    response = await twin.get("/")

    assert (response.json()["subject"], response.set_cookies) == ("alice", [])


async def test_a_write_of_unknown_outcome_is_made_good_by_the_next_request(clock: Clock) -> None:
    """The write took, its answer was lost: the browser still holds the generation before."""
    site = await Site.new(clock)
    real = site.spy.store.replace

    async def replace(*args: Any) -> bool:
        await real(*args)
        raise OSError("connection reset")

    site.spy.store.replace = replace
    clock.advance(3600)
    first = await site.client.get("/")
    site.spy.store.replace = real
    clock.advance(3600)

    second = await site.client.get("/")

    assert (first.set_cookies, second.json()["subject"]) == ([], "alice")
    assert len(second.set_cookies) == 2


async def test_a_login_that_cannot_be_kept_is_503_and_sets_nothing(clock: Clock) -> None:
    site = await Site.new(clock, whoami)
    site.client.jar.clear()
    site.away("add")

    response = await site.client.post("/login")

    assert (response.status, response.set_cookies) == (503, [])
    assert int(response.header("retry-after") or 0) >= 1
    assert response.body == b"The session store is not available."


async def test_nothing_of_the_application_follows_the_503(clock: Clock) -> None:
    site = await Site.new(clock)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        Auth.of(scope).login("bob")
        await answer(send, body=b"welcome")
        await answer(send, body=b"welcome")
        await send({"type": "http.response.trailers", "headers": []})

    site.away()
    sent = await run(wrapped(site.issuer, app), http(method="POST"))

    assert [message["type"] for message in sent] == [
        "http.response.start",
        "http.response.body",
    ]
    assert b"welcome" not in sent[1]["body"]


async def test_a_login_stands_though_the_session_before_cannot_be_ended(clock: Clock) -> None:
    site = await Site.new(clock, whoami)
    site.away("revoke")

    response = await site.client.post("/login/bob")

    assert (response.status, len(response.set_cookies)) == (200, 2)
    assert ("store_unavailable", "revoke") in [(e.name, e.reason) for e in site.events]


async def test_a_login_stands_though_the_house_cannot_be_kept(clock: Clock) -> None:
    site = await Site.new(clock, whoami, max_sessions=1)
    site.client.jar.clear()
    site.away("find", "purge")

    response = await site.client.post("/login")

    assert (response.status, len(response.set_cookies)) == (200, 2)


async def test_a_logout_that_cannot_be_kept_is_503_and_deletes_the_cookies(clock: Clock) -> None:
    site = await Site.new(clock, whoami)
    site.away("revoke")

    response = await site.client.post("/logout")

    assert response.status == 503
    assert response.cookies == {ACCESS: "", REFRESH: ""}
    assert all(name.islower() for name, _ in response.headers)  # as ASGI has them


async def test_a_logout_everywhere_that_cannot_be_kept_is_503(clock: Clock) -> None:
    site = await Site.new(clock, whoami)
    site.away("revoke_subject")

    response = await site.client.post("/logout/everywhere")

    assert response.status == 503


async def test_an_early_commit_raises_what_failed(clock: Clock) -> None:
    caught: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        auth = Auth.of(scope)
        auth.login("bob")
        try:
            await auth.commit()
        except StoreUnavailable as error:
            caught.append(error)
            auth.logout()
        await answer(send, 200)

    site = await Site.new(clock, app)
    site.client.jar.clear()
    site.away("add")

    await site.client.post("/")

    assert len(caught) == 1


# --- revocation -----------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False])
async def test_always_fails_closed(clock: Clock, known: bool) -> None:
    site = await Site.new(clock, revocation="always")
    if known:
        await site.client.get("/")
    site.away("revocations")

    response = await site.client.get("/")

    assert (response.json()["reason"], response.set_cookies) == ("store_unavailable", [])


async def test_always_fails_closed_for_a_bearer_too(clock: Clock) -> None:
    site = await Site.new(clock, revocation="always")
    site.away("revocations")
    header = (b"authorization", f"Bearer {site.tokens.access_token}".encode())

    told, _ = await said(wrapped(site.issuer), header)

    assert told["reason"] == "store_unavailable"


async def test_always_fails_closed_for_a_token_near_its_end_too(clock: Clock) -> None:
    site = await Site.new(clock, revocation="always")
    site.away("revocations")
    clock.advance(599)

    assert (await site.client.get("/")).json()["reason"] == "store_unavailable"


async def test_always_goes_on_when_the_store_is_back(clock: Clock) -> None:
    site = await Site.new(clock, revocation="always")
    site.away()
    await site.client.navigate("/")
    site.back()

    assert (await site.client.get("/")).json()["subject"] == "alice"


async def test_always_reads_the_store_once_for_each_request(clock: Clock) -> None:
    site = await Site.new(clock, revocation="always")

    for _ in range(5):
        await site.client.get("/")

    assert site.spy.calls == ["revocations"] * 5


async def test_live_goes_on_with_the_old_answer(clock: Clock) -> None:
    """What was known to be revoked stays revoked."""
    site = await Site.new(clock)
    other = await site.issuer.issue("bob")
    await site.issuer.revoke(other.session_id)
    clock.advance(5)
    site.away()

    told, _ = await said(wrapped(site.issuer), cookie_line((ACCESS, other.access_token)))

    assert told["reason"] == "revoked_token"


async def test_live_asks_a_store_that_is_away_after_1_2_4_seconds_and_so_on_up_to_30(
    clock: Clock,
) -> None:
    site = await Site.new(clock, access_lifetime=timedelta(minutes=30))
    site.away("revocations")
    began, asked = clock(), []

    for _ in range(600):
        before = site.spy.count("revocations")
        await site.client.get("/")
        if site.spy.count("revocations") > before:
            asked.append(clock() - began)
        clock.advance(0.25)

    assert asked == [0, 1, 3, 7, 15, 31, 61, 91, 121]


async def test_live_asks_every_second_again_when_the_store_is_back(clock: Clock) -> None:
    site = await Site.new(clock)
    site.away("revocations")
    await site.client.get("/")
    clock.advance(1)
    await site.client.get("/")
    site.back()
    clock.advance(2)
    asked = []

    for _ in range(5):
        site.spy.calls.clear()
        await site.client.get("/")
        asked.append(site.spy.count("revocations"))
        clock.advance(1)

    assert asked == [1] * 5


async def test_live_begins_with_a_short_pause_at_the_next_outage(clock: Clock) -> None:
    site = await Site.new(clock)
    site.away("revocations")
    for _ in range(3):
        await site.client.get("/")
        clock.advance(4)
    site.back()
    await site.client.get("/")
    site.away("revocations")
    clock.advance(1)
    await site.client.get("/")
    site.spy.calls.clear()

    clock.advance(1)
    await site.client.get("/")

    assert site.spy.calls == ["revocations"]


async def test_live_learns_of_a_revocation_made_during_its_outage(clock: Clock) -> None:
    site = await Site.new(clock)
    other = make_issuer(clock, store=site.spy.store)
    site.away("revocations")
    await site.client.get("/")
    await other.revoke(site.tokens.session_id)
    site.back()
    clock.advance(1)

    response = await site.client.get("/", cookies={ACCESS: site.tokens.access_token})
    assert response.json()["reason"] == "revoked_token"


# --- hung -----------------------------------------------------------------------------------------


async def timed(request: Any) -> tuple[Any, float]:
    began = time.perf_counter()
    return await request, time.perf_counter() - began


@pytest.mark.parametrize("operation", ["get", "replace", "revocations"])
@pytest.mark.parametrize("wait", [30, 3600])
async def test_a_hung_store_holds_no_request_for_long(
    clock: Clock, operation: str, wait: float
) -> None:
    site = await Site.new(clock, store_timeout=SHORT)
    site.spy.hanging = {operation}
    clock.advance(wait)

    response, took = await timed(site.client.get("/"))

    assert response.status == 200
    assert took < 1


async def test_with_a_hung_store_a_due_refresh_is_anonymous(clock: Clock) -> None:
    site = await Site.new(clock, store_timeout=SHORT)
    site.spy.hanging = {"get"}
    clock.advance(3600)

    response = await site.client.navigate("/")

    assert (response.json()["reason"], response.set_cookies) == ("store_unavailable", [])


async def test_with_a_hung_poll_a_valid_access_token_goes_on(clock: Clock) -> None:
    site = await Site.new(clock, store_timeout=SHORT)
    site.spy.hanging = {"revocations"}

    assert (await site.client.get("/")).json()["subject"] == "alice"


async def test_a_hung_poll_delays_one_request_and_not_the_next(clock: Clock) -> None:
    site = await Site.new(clock, store_timeout=SHORT)
    site.spy.hanging = {"revocations"}
    await site.client.get("/")
    site.spy.calls.clear()

    await site.client.get("/")

    assert site.spy.calls == []


async def test_with_a_hung_store_parallel_requests_wait_no_longer_than_one(clock: Clock) -> None:
    site = await Site.new(clock, store_timeout=SHORT)
    site.spy.hanging = {"get"}
    clock.advance(3600)
    began = time.perf_counter()
    reasons: list[str] = []

    async def one() -> None:
        reasons.append((await site.client.send("/")).json()["reason"])

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(one)

    assert reasons == ["store_unavailable"] * 20
    assert time.perf_counter() - began < 1


async def test_with_a_hung_store_the_endpoint_is_503_in_time(clock: Clock) -> None:
    site = await Site.new(clock, store_timeout=SHORT)
    site.spy.hanging = {"replace"}
    clock.advance(300)
    header = (b"authorization", f"Bearer {site.tokens.refresh_token}".encode())

    sent, took = await timed(
        run(RefreshEndpoint(site.issuer), http(method="POST", headers=[header]))
    )

    assert sent[0]["status"] == 503
    assert took < 1


async def test_with_a_hung_store_a_logout_is_503_in_time(clock: Clock) -> None:
    site = await Site.new(clock, whoami, store_timeout=SHORT)
    site.spy.hanging = {"revoke"}

    response, took = await timed(site.client.post("/logout"))

    assert (response.status, set(response.cookies.values())) == (503, {""})
    assert took < 1


async def test_a_logout_behind_a_crash_holds_a_hung_store_no_longer_than_twice_the_timeout(
    clock: Clock,
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        Auth.of(scope).logout()
        raise ValueError("mine")

    site = await Site.new(clock, app, store_timeout=SHORT)
    site.spy.hanging = {"revoke"}
    began = time.perf_counter()

    with pytest.raises(ValueError, match="mine"):
        await site.client.send("/")

    assert time.perf_counter() - began < 1


async def test_a_logout_behind_a_crash_ends_every_session_of_a_slow_store(clock: Clock) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        Auth.of(scope).logout()
        raise ValueError("mine")

    site = await Site.new(clock, app, store_timeout=timedelta(seconds=0.2))
    others = [await site.issuer.issue("alice") for _ in range(4)]
    names = [(REFRESH, tokens.refresh_token) for tokens in others]
    names.append((ACCESS, site.tokens.access_token))
    real, ended = site.spy.store.revoke, []

    async def revoke(*args: Any) -> bool:
        await anyio.sleep(0.15)
        ended.append(args)
        return bool(await real(*args))

    site.spy.store.revoke = revoke

    with pytest.raises(ValueError, match="mine"):
        await run(wrapped(site.issuer, app), http(headers=[cookie_line(*names)]))

    assert len(ended) == 5


async def test_after_a_hung_store_the_same_session_goes_on(clock: Clock) -> None:
    site = await Site.new(clock, store_timeout=SHORT)
    site.spy.hanging = {"get", "replace", "revocations"}
    clock.advance(3600)
    await site.client.get("/")
    site.back()

    response = await site.client.get("/")

    assert (response.json()["subject"], len(response.set_cookies)) == ("alice", 2)


# --- load_claims ----------------------------------------------------------------------------------


async def fails_async(session: Any) -> Any:
    raise OSError("the directory is away")


def fails(session: Any) -> Any:
    raise OSError("the directory is away")


async def hangs(session: Any) -> Any:
    await anyio.sleep_forever()


UNUSABLE: list[Any] = [
    {"sub": "root"},
    {"exp": 1},
    {"x": object()},
    {"x": float("nan")},
    {"x": "y" * 5000},
    {1: "x"},
    "text",
    [("x", 1)],
    7,
]


def loader(first: Any, then: Any) -> Any:
    """A loader that answers like *first* once, and like *then* after that."""
    calls = [0]

    async def load(session: Any) -> Any:
        calls[0] += 1
        which = first if calls[0] == 1 else then
        result = which(session) if callable(which) else which
        return await result if hasattr(result, "__await__") else result

    return load


@pytest.mark.parametrize(
    "load", [fails, fails_async, hangs, *UNUSABLE], ids=lambda x: ascii(x)[:20]
)
async def test_claims_that_cannot_be_loaded_are_anonymous_and_touch_no_cookie(
    clock: Clock, load: Any
) -> None:
    site = await Site.new(clock, load_claims=loader({}, load), store_timeout=SHORT)
    clock.advance(3600)

    response = await site.client.navigate("/")

    assert (response.json()["reason"], response.set_cookies) == ("claims_unavailable", [])
    assert site.spy.count("replace", "revoke") == 0


async def test_a_sync_loader_that_fails_is_anonymous(clock: Clock) -> None:
    calls: list[int] = []

    def load(session: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            raise OSError("the directory is away")
        return {}

    site = await Site.new(clock, load_claims=load)
    clock.advance(3600)

    assert (await site.client.get("/")).json()["reason"] == "claims_unavailable"


async def test_near_its_end_an_access_token_outlives_a_loader_that_fails(clock: Clock) -> None:
    site = await Site.new(clock, load_claims=loader({}, fails))
    clock.advance(580)

    response = await site.client.get("/")

    assert (response.json()["subject"], response.json()["refreshed"]) == ("alice", False)


async def test_near_its_end_an_access_token_does_not_outlive_a_loader_that_refuses(
    clock: Clock,
) -> None:
    site = await Site.new(clock, load_claims=loader({}, None))
    clock.advance(580)

    response = await site.client.get("/")

    assert response.json()["reason"] == "claims_refused"
    assert await site.issuer.sessions("alice") == []


async def test_a_login_whose_claims_cannot_be_loaded_is_503(clock: Clock) -> None:
    site = await Site.new(clock, whoami, load_claims=loader({}, fails))
    site.client.jar.clear()

    response = await site.client.post("/login")

    assert (response.status, response.set_cookies, site.spy.count("add")) == (503, [], 0)


async def test_a_login_that_load_claims_refuses_is_403(clock: Clock) -> None:
    site = await Site.new(clock, whoami, load_claims=loader({}, None))
    site.client.jar.clear()

    response = await site.client.post("/login")

    assert (response.status, response.set_cookies, site.spy.count("add")) == (403, [], 0)


async def test_a_refused_subject_whose_session_cannot_be_ended_is_anonymous_all_the_same(
    clock: Clock,
) -> None:
    site = await Site.new(clock, load_claims=loader({}, None))
    site.away("revoke")
    clock.advance(3600)

    response = await site.client.get("/")

    assert response.json()["subject"] is None
    assert response.set_cookies == []


async def test_a_theft_that_cannot_be_written_down_signs_nobody_in(clock: Clock) -> None:
    site = await Site.new(clock)
    thief = site.client.fork()
    for _ in range(3):
        clock.advance(3600)
        await site.client.get("/")
    clock.advance(3600)
    site.away("revoke")

    response = await thief.navigate("/")

    assert (response.json()["subject"], response.set_cookies) == (None, [])


async def test_a_theft_is_told_though_it_cannot_be_written_down(clock: Clock) -> None:
    site = await Site.new(clock)
    thief = site.client.fork()
    for _ in range(3):
        clock.advance(3600)
        await site.client.get("/")
    clock.advance(3600)
    site.away("revoke")

    await thief.get("/")

    assert "reused" in [event.name for event in site.events]


async def test_stateless_knows_no_outage(clock: Clock) -> None:
    issuer = make_issuer(clock, store=None)
    tokens = await issuer.issue("alice")
    clock.advance(3600)

    sent = await run(wrapped(issuer, Recorder()), http(headers=[both(tokens)]))

    assert len(set_cookies(sent)) == 1
