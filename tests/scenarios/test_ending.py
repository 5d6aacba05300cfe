"""Scenarios 19-25 and 40-42: a session ends while something of it is under way."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import anyio.lowlevel
import pytest

from asgi_refresh import Auth
from tests.blackbox.helpers import (
    ACCESS,
    DAY,
    HOUR,
    MINUTE,
    REFRESH,
    WINDOW,
    XHR,
    Gate,
    Site,
    Started,
    deleted,
    given,
    held,
    lasting,
    make_site,
    on_paths,
)
from tests.scenarios.support import (
    BOTH,
    ENDPOINT,
    Backend,
    assert_goes_on,
    flushing,
    hosts,
    subjects,
)
from tests.support import Clock, Response, answer, whoami

pytestmark = pytest.mark.anyio

READ, WRITTEN = ["before get", "after get", "handler", "before replace"], ["after replace", "flush"]


async def interrupted(site: Site, gate: Gate, point: str, act: Any) -> Response:
    """Send a due request, do *act* when it is at *point*, and return its response undelivered."""
    side, _, operation = point.partition(" ")
    if point == "handler":
        site.browser.app.app = held(gate, site.browser.app.app, path="/doomed")
    elif point == "flush":
        site.browser.app = flushing(site.browser.app, gate, path="/doomed")
    else:
        getattr(site.store, side)[operation] = gate
    async with Started(lambda: site.browser.send("/doomed")) as request:
        await gate.arrival()
        await act()
        gate.open()
        response: Response = await request.answer()
    return response


async def confirm(scope: Any, receive: Any, send: Any) -> None:
    Auth.of(scope).elevate({"role": "root"})
    await whoami(scope, receive, send)


# --- 19, 20: signing out --------------------------------------------------------------------------


@pytest.mark.parametrize("point", READ + WRITTEN)
async def test_19_a_logout_wins_at_every_point_of_a_refresh(
    clock: Clock, stores: Backend, point: str
) -> None:
    gate = Gate()
    site, other = hosts(stores, [clock] * 2)
    await site.sign_in()
    clock.advance(HOUR)

    response = await interrupted(site, gate, point, lambda: other.browser.post("/logout"))
    site.browser.deliver(response)
    clock.advance(1)
    afterwards = [await host.browser.send("/") for host in (site, other)]

    assert given(response) == (BOTH if point in WRITTEN else set())
    assert (response.json()["subject"] is None) == (point == "before get")
    assert subjects(afterwards) == {None}
    assert await other.issuer.sessions("alice") == []


@pytest.mark.parametrize("age", [1.0, HOUR], ids=["grace", "late"])
@pytest.mark.parametrize("act", ["/logout", "/confirm"])
async def test_19_a_logout_wins_over_a_request_that_has_nothing_left_to_write(
    clock: Clock, stores: Backend, act: str, age: float
) -> None:
    """Nor does it get past a step-up: what it was promised is read again before it goes out."""
    gate = Gate()
    site, other = hosts(stores, [clock] * 2, on_paths(confirm=confirm))
    await site.sign_in()
    clock.advance(HOUR)
    await other.browser.send("/")
    clock.advance(age)

    response = await interrupted(site, gate, "handler", lambda: other.browser.post(act))

    assert (response.json()["subject"], response.set_cookies) == ("alice", [])
    assert len(await site.issuer.sessions("alice")) == (0 if act == "/logout" else 1)


@pytest.mark.parametrize("mode", ["live", "refresh", "stateless"])
async def test_20_a_response_behind_the_logout_restores_nobody(clock: Clock, mode: Any) -> None:
    revocation = "live" if mode == "stateless" else mode
    site = make_site(clock, stored=mode != "stateless", config=lasting(revocation=revocation))
    await site.sign_in()
    clock.advance(10 * DAY)
    bystander = site.browser.fork()
    await site.sign_in("bob", browser=bystander)
    await bystander.get("/")  # so that what the log says is at hand, from before the logout
    in_flight = await site.browser.send("/")
    await site.browser.post("/logout")
    assert not BOTH & set(site.browser.values())

    site.browser.deliver(in_flight)
    background = await site.browser.get("/")
    restored = await site.browser.navigate("/")

    assert given(in_flight) == BOTH
    assert background.json()["reason"] == restored.json()["reason"] == "session_ended"
    assert (deleted(background), deleted(restored)) == (set(), BOTH)
    assert (await bystander.get("/")).json()["subject"] == "bob"


@pytest.mark.parametrize("mode", ["live", "refresh", "stateless"])
async def test_20_what_keeps_the_old_session_away_lets_a_new_login_in(
    clock: Clock, mode: Any
) -> None:
    revocation = "live" if mode == "stateless" else mode
    site = make_site(clock, stored=mode != "stateless", config=lasting(revocation=revocation))
    await site.sign_in()
    clock.advance(10 * DAY)
    in_flight = await site.browser.send("/")
    await site.browser.post("/logout")
    site.browser.deliver(in_flight)

    await site.browser.post("/login/bob")
    now = await site.browser.get("/")
    clock.advance(HOUR)
    later = await site.browser.get("/")

    assert (now.json()["subject"], later.json()["subject"]) == ("bob", "bob")


# --- 21, 22: the request that signs out or in refreshed itself ------------------------------------


async def deletes_the_cookie(scope: Any, receive: Any, send: Any) -> None:
    line = f"{ACCESS}=; Max-Age=0; Path=/; Secure".encode()
    await answer(send, headers=[(b"set-cookie", line)])


async def signs_out_and_fails(scope: Any, receive: Any, send: Any) -> None:
    Auth.of(scope).logout()
    await answer(send, 500)


@pytest.mark.parametrize("path", ["/logout", "/logout/everywhere", "/deletes", "/fails"])
async def test_21_a_logout_whose_own_request_was_due_for_a_refresh_ends_the_session(
    clock: Clock, path: str
) -> None:
    app = on_paths(deletes=deletes_the_cookie, fails=signs_out_and_fails)
    site, other = hosts(Backend(None), [clock] * 2, app)
    await site.sign_in()
    thief = other.browser.fork()
    clock.advance(HOUR)

    response = await site.browser.post(path)
    clock.advance(1)

    assert (given(response), deleted(response)) == (set(), BOTH)
    assert not BOTH & set(site.browser.values())
    assert site.store.count("replace") == 0
    assert await site.issuer.sessions("alice") == []
    assert (await thief.get("/")).json()["reason"] == "session_ended"


@pytest.mark.parametrize("path", ["/login", "/login/bob"])
async def test_22_a_login_whose_own_request_was_due_for_a_refresh_gives_the_new_pair_only(
    clock: Clock, stores: Backend, path: str
) -> None:
    site, _ = hosts(stores, [clock] * 2)
    old_id = await site.sign_in()
    old = site.browser.fork()
    clock.advance(HOUR)

    response = await site.browser.post(path)
    clock.advance(HOUR)
    after = await site.browser.get("/")

    assert given(response) == BOTH
    assert site.store.count("replace") == 1
    assert response.json()["subject"] == after.json()["subject"] == subject_of(path)
    assert after.json()["payload"]["sid"] != old_id
    assert old_id not in [session.id for session in await site.issuer.sessions("alice")]
    assert (await old.get("/")).json()["reason"] == "session_ended"


def subject_of(path: str) -> str:
    return "bob" if path.endswith("bob") else "alice"


# --- 23, 24: revocations that race ----------------------------------------------------------------


@pytest.mark.parametrize("point", ["before add", "after add"])
async def test_23_a_login_is_ended_with_all_others_or_stands_whole(
    clock: Clock, stores: Backend, point: str
) -> None:
    """One that is kept after the revocation is a new sign-in, as if made a moment later."""
    gate = Gate()
    site, other = hosts(stores, [clock] * 2)
    side, _, operation = point.partition(" ")
    getattr(site.store, side)[operation] = gate

    async with Started(lambda: site.browser.post("/login")) as request:
        await gate.arrival()
        ended = await other.issuer.revoke_subject("alice")
        gate.open()
        response = await request.answer()
    clock.advance(1)
    now = await site.browser.get("/")
    clock.advance(HOUR)
    later = await site.browser.get("/")

    assert (response.status, given(response)) == (200, BOTH)
    stands = point == "before add"
    assert ended == (0 if stands else 1)
    assert subjects([now, later]) == ({"alice"} if stands else {None})
    assert len(await site.issuer.sessions("alice")) == (1 if stands else 0)


@pytest.mark.parametrize("point", READ + WRITTEN)
async def test_23_the_end_of_all_sessions_wins_at_every_point_of_a_refresh(
    clock: Clock, stores: Backend, point: str
) -> None:
    gate = Gate()
    site, other = hosts(stores, [clock] * 2)
    await site.sign_in()
    await other.issuer.issue("alice")
    clock.advance(HOUR)

    response = await interrupted(site, gate, point, lambda: other.issuer.revoke_subject("alice"))
    site.browser.deliver(response)
    clock.advance(1)
    after = [await host.browser.send("/") for host in (site, other)]

    assert given(response) == (BOTH if point in WRITTEN else set())
    assert subjects(after) == {None}
    assert await site.issuer.sessions("alice") == []


@pytest.mark.parametrize("point", ["handler", "before replace", "after replace", "flush"])
async def test_24_a_theft_ends_the_session_at_every_point_of_the_winners_rotation(
    clock: Clock, stores: Backend, point: str
) -> None:
    gate = Gate()
    site, other = hosts(stores, [clock] * 2)
    await site.sign_in()
    thief = other.browser.fork()
    for _ in range(2):
        clock.advance(HOUR)
        await other.browser.get("/")
    clock.advance(HOUR)

    response = await interrupted(site, gate, point, lambda: thief.get("/"))
    site.browser.deliver(response)
    clock.advance(1)

    assert given(response) == (BOTH if point in WRITTEN else set())
    assert len(other.named("reused")) == 1
    assert (await site.browser.get("/")).json()["subject"] is None
    assert await site.issuer.sessions("alice") == []


async def test_24_a_theft_that_was_read_before_the_winner_wrote_ends_the_session_too(
    clock: Clock, stores: Backend
) -> None:
    site, other = hosts(stores, [clock] * 2)
    await site.sign_in()
    thief = other.browser.fork()
    for _ in range(2):
        clock.advance(HOUR)
        await site.browser.get("/")
    clock.advance(HOUR)
    gate = other.store.after["get"] = Gate()

    async with Started(lambda: thief.get("/")) as request:
        await gate.arrival()
        winner = await site.browser.get("/")
        gate.open()
        stolen = await request.answer()
    clock.advance(1)

    assert given(winner) == BOTH
    assert stolen.json()["reason"] == "reused_token"
    assert (await site.browser.get("/")).json()["subject"] is None
    assert await site.issuer.sessions("alice") == []


# --- 25: privileges change ------------------------------------------------------------------------


class Room(Gate):
    """A gate that counts who waits."""

    inside = 0

    async def enter(self) -> None:
        self.inside += 1
        await super().enter()

    async def fill(self, size: int) -> None:
        while self.inside < size:
            await anyio.lowlevel.checkpoint()


async def test_25_requests_around_a_step_up_get_no_cookie_and_harm_nobody(
    clock: Clock, stores: Backend
) -> None:
    room = Room()
    site, other = hosts(stores, [clock] * 2, held(room, on_paths(confirm=confirm)))
    await site.sign_in()
    clock.advance(HOUR)
    responses: list[Response] = []

    async def slow() -> None:
        responses.append(await site.browser.send("/slow"))

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(slow)
        await room.fill(10)
        raised = await other.browser.post("/confirm")
        room.open()

    assert given(raised) == BOTH
    assert raised.json()["payload"]["role"] == "root"
    assert subjects(responses) == {"alice"}
    assert [response.set_cookies for response in responses] == [[]] * 10
    await assert_goes_on(site)


@pytest.mark.parametrize("point", ["before replace", "after replace"])
async def test_25_a_rotation_that_races_the_step_up_leads_to_nothing_of_before(
    clock: Clock, stores: Backend, point: str
) -> None:
    gate = Gate()
    site, other = hosts(stores, [clock] * 2, on_paths(confirm=confirm))
    await site.sign_in()
    clock.advance(HOUR)

    old = site.browser.fork()

    response = await interrupted(site, gate, point, lambda: other.browser.post("/confirm"))
    old.deliver(response)
    old.drop(ACCESS)

    if point == "before replace":
        assert response.set_cookies == []
    assert (await old.get("/")).json()["reason"] == "stale_token"
    await assert_goes_on(site)


@pytest.mark.parametrize("age", [0.0, WINDOW - 1])
async def test_25_a_refresh_token_from_before_is_stale_in_the_grace_and_ends_nothing(
    clock: Clock, age: float
) -> None:
    site, other = hosts(Backend(None), [clock] * 2, on_paths(confirm=confirm))
    await site.sign_in()
    old = other.browser.fork()
    clock.advance(HOUR)
    await site.browser.post("/confirm")
    clock.advance(age)

    response = await old.navigate("/")

    assert (response.json()["reason"], response.set_cookies) == ("stale_token", [])
    await assert_goes_on(site)


@pytest.mark.parametrize("age", [WINDOW, DAY])
async def test_25_a_refresh_token_from_before_is_a_theft_after_the_grace(
    clock: Clock, age: float
) -> None:
    site, other = hosts(Backend(None), [clock] * 2, on_paths(confirm=confirm))
    await site.sign_in()
    old = other.browser.fork()
    clock.advance(HOUR)
    await site.browser.post("/confirm")
    clock.advance(age)

    response = await old.navigate("/")

    assert response.json()["reason"] == "reused_token"
    assert await site.issuer.sessions("alice") == []


async def test_25_an_access_token_from_before_is_refused_on_every_host(clock: Clock) -> None:
    sites = hosts(Backend(None), [clock] * 3, on_paths(confirm=confirm))
    await sites[0].sign_in()
    old = {ACCESS: sites[0].browser.values()[ACCESS]}
    for site in sites:
        assert (await site.browser.send("/", cookies=old)).json()["subject"] == "alice"
    await sites[0].browser.post("/confirm")
    clock.advance(1)

    responses = [await site.browser.send("/", cookies=old) for site in sites]

    assert {response.json()["reason"] for response in responses} == {"revoked_token"}


# --- 40: time runs out ----------------------------------------------------------------------------

SHORT_LIVED = {"idle_lifetime": timedelta(hours=1), "session_lifetime": timedelta(hours=2)}


@pytest.mark.parametrize("path", ["/slow", "/fast"])
async def test_40_a_session_whose_absolute_end_comes_during_the_handler_gets_no_cookie(
    clock: Clock, path: str
) -> None:
    gate = Gate()
    site = make_site(clock, held(gate), config=lasting(**SHORT_LIVED))
    await site.sign_in()
    for _ in range(2):
        clock.advance(50 * MINUTE)
        await site.browser.get("/")
    clock.advance(20 * MINUTE - 30)  # half a minute is left
    if path == "/fast":
        gate.open()

    async with Started(lambda: site.browser.send(path)) as request:
        if path == "/slow":
            await gate.arrival()
            clock.advance(30)
            gate.open()
        response = await request.answer()

    assert response.json()["subject"] == "alice"
    assert given(response) == (set() if path == "/slow" else BOTH)
    if path == "/fast":
        assert all("; Max-Age=30;" in line for line in response.set_cookies)
        assert response.json()["payload"]["exp"] == clock() + 30
        (session,) = await site.issuer.sessions("alice")
        assert session.idle_expires_at == session.expires_at == clock() + 30


@pytest.mark.parametrize("end", ["idle", "absolute"])
@pytest.mark.parametrize(("left", "subject"), [(0.001, "alice"), (0.0, None), (-0.001, None)])
async def test_40_a_session_ends_at_the_very_tick(
    clock: Clock, end: str, left: float, subject: str | None
) -> None:
    (site,) = hosts(Backend(None), [clock], config=lasting(**SHORT_LIVED))
    await site.sign_in()
    for _ in range(2 if end == "absolute" else 0):
        clock.advance(50 * MINUTE)
        await site.browser.get("/")
    jar = {REFRESH: site.browser.values()[REFRESH]}
    clock.advance((HOUR if end == "idle" else 20 * MINUTE) - left)

    response = await site.browser.send("/", cookies=jar)

    assert response.json()["subject"] == subject
    assert response.json()["reason"] == (None if subject else "session_ended")
    assert given(response) == (BOTH if subject else set())


# --- 41, 42: an old session and a new login -------------------------------------------------------


@pytest.mark.parametrize("why", ["revoked", "stolen", "expired"])
@pytest.mark.parametrize("path", ["/", ENDPOINT])
async def test_41_the_late_answer_for_a_dead_session_deletes_nothing_of_a_new_login(
    clock: Clock, why: str, path: str
) -> None:
    site, other = hosts(Backend(None), [clock] * 2)
    session_id = await site.sign_in()
    old = other.browser.fork()
    clock.advance(15 * DAY if why == "expired" else HOUR)
    if why == "revoked":
        await other.issuer.revoke(session_id)
    elif why == "stolen":
        await site.browser.get("/")
        clock.advance(HOUR)
        await site.browser.get("/")
    sent = {REFRESH: old.jar[REFRESH].value}
    bearer = ("authorization", f"Bearer {sent[REFRESH]}")

    if path == ENDPOINT:  # a script shows its token, and no cookie is asked
        late = await old.send(path, "POST", headers=[*XHR, bearer], cookies={})
        assert late.status == 401
    else:
        late = await old.send(path, headers=XHR, cookies=sent)
        assert late.json()["reason"] in ("session_ended", "reused_token")
    await site.browser.post("/login/bob")
    site.browser.deliver(late)

    assert late.set_cookies == []
    assert (await site.browser.navigate("/")).json()["subject"] == "bob"


async def test_42_an_old_refresh_that_is_not_answered_at_the_login_overwrites_nothing(
    clock: Clock, stores: Backend
) -> None:
    gate = Gate()
    site, other = hosts(stores, [clock] * 2, held(gate))
    await site.sign_in()
    clock.advance(HOUR)

    async with Started(lambda: site.browser.send("/slow")) as request:
        await gate.arrival()
        await other.browser.post("/login/bob")
        gate.open()
        late = await request.answer()
    site.browser.deliver(late)

    assert late.set_cookies == []
    assert (await site.browser.get("/")).json()["subject"] == "bob"


async def test_42_an_old_refresh_on_the_wire_at_the_login_signs_out_and_never_as_the_old_user(
    clock: Clock, stores: Backend
) -> None:
    """The residual: the browser has lost the new cookies. It must sign in again, and can."""
    site, other = hosts(stores, [clock] * 2)
    await site.sign_in()
    clock.advance(HOUR)
    late = await site.browser.send("/")
    await other.browser.post("/login/bob")
    site.browser.deliver(late)
    clock.advance(1)

    answers = [await host.browser.send("/") for host in (site, other)]
    cleared = await site.browser.navigate("/")
    await site.browser.post("/login/bob")

    assert given(late) == BOTH
    assert {response.json()["reason"] for response in answers} == {"session_ended"}
    assert deleted(cleared) == BOTH
    assert (await site.browser.get("/")).json()["subject"] == "bob"
