"""Access tokens of no session, as some applications issue them: they end with the session."""

from __future__ import annotations

import math
from typing import Any

import anyio
import jwt
import pytest

from asgi_refresh import Client, Event, Issuer, Session
from asgi_refresh.claims import is_identifier
from asgi_refresh.compat.flask_jwt_extended import flask_issuer
from asgi_refresh.errors import RevokedTokenError, StoreUnavailable
from asgi_refresh.marks import MARGIN, add_mark, mark_of
from asgi_refresh.rotating import Rotating
from asgi_refresh.strays import Strays
from asgi_refresh.tokens import AccessToken, RefreshToken
from tests.support import SECRET, Clock, Spy

pytestmark = pytest.mark.anyio

MOST = 32
LIFETIME, LEEWAY = 900.0, 5.0
ALICE = Client(address="192.0.2.1")


class Bounded(Spy):
    """Fails as a bounded store does."""

    def __getattr__(self, name: str) -> Any:
        call = super().__getattr__(name)

        async def bounded(*args: Any) -> Any:
            try:
                return await call(*args)
            except (OSError, ValueError) as error:
                raise StoreUnavailable(name) from error

        return bounded


@pytest.fixture
def spy() -> Spy:
    return Bounded()


@pytest.fixture
def strays(clock: Clock, spy: Spy) -> Strays:
    return Strays(spy, clock)


# --- what is noted --------------------------------------------------------------------------------


async def test_what_was_given_up_is_known_until_it_is_over(strays: Strays, clock: Clock) -> None:
    await strays.add("s", "one", clock() + 10)
    await strays.add("s", "two", clock() + 20)
    assert await strays.of("s") == {"one": clock() + 10, "two": clock() + 20}

    clock.advance(10)
    assert await strays.of("s") == {"two": clock() + 10}


async def test_another_session_has_given_up_nothing(strays: Strays, clock: Clock) -> None:
    await strays.add("s", "one", clock() + 10)

    assert await strays.of("another") == {}


async def test_what_is_given_up_over_and_over_is_written_once(
    strays: Strays, spy: Spy, clock: Clock
) -> None:
    for _ in range(3):
        await strays.add("s", "one", clock() + 10)

    assert spy.calls == ["get", "add", "get", "get"]


async def test_of_very_many_those_that_end_last_are_kept(strays: Strays, clock: Clock) -> None:
    ends = {f"{number}": clock() + 1000 - number for number in range(MOST + 2)}
    for stray, ends_at in ends.items():
        await strays.add("s", stray, ends_at)

    known = await strays.of("s")
    assert len(known) == MOST
    assert min(known.values()) == clock() + 1000 - (MOST - 1)


async def test_a_note_outlives_the_last_of_them_by_a_margin(
    strays: Strays, spy: Spy, clock: Clock
) -> None:
    await strays.add("s", "long", clock() + 20)
    await strays.add("s", "short", clock() + 10)
    end = clock() + 20 + MARGIN

    await spy.purge(math.nextafter(end, 0))
    assert set(await strays.of("s")) == {"long", "short"}
    await spy.purge(end)
    assert await strays.of("s") == {}


async def test_a_note_that_grows_has_the_next_version(
    strays: Strays, spy: Spy, clock: Clock
) -> None:
    await strays.add("s", "one", clock() + 10)
    (before,) = spy.store._sessions.values()
    await strays.add("s", "two", clock() + 10)
    (after,) = spy.store._sessions.values()

    assert (after.id, after.version) == (before.id, before.version + 1)


@pytest.mark.parametrize("known", [True, False], ids=["a note", "no note yet"])
async def test_two_that_are_given_up_at_once_are_both_known(
    strays: Strays, spy: Spy, clock: Clock, known: bool
) -> None:
    if known:
        await strays.add("s", "before", clock() + 10)
    spy.gates["replace" if known else "add"] = gate = anyio.Event()

    async with anyio.create_task_group() as group:
        group.start_soon(strays.add, "s", "one", clock() + 10)
        group.start_soon(strays.add, "s", "two", clock() + 10)
        await anyio.wait_all_tasks_blocked()
        gate.set()

    assert {"one", "two"} <= set(await strays.of("s"))


# --- marks ----------------------------------------------------------------------------------------


def test_a_mark_is_the_same_in_every_version() -> None:
    """Hosts of two versions share a store, and stay in it for as long as tokens are good."""
    assert mark_of("all", until=7.0) == Session(
        id="e8c9me8c9313e99a7a9856d67d948564",
        subject="\x1fall",
        created_at=0.0,
        auth_time=0.0,
        expires_at=7.0,
        idle_expires_at=7.0,
    )


def test_no_subject_is_that_of_a_mark() -> None:
    assert not is_identifier(mark_of("all", until=7.0).subject)


async def test_a_mark_is_added_once(spy: Spy) -> None:
    assert await add_mark(spy, mark_of("all", until=7.0)) is True
    assert await add_mark(spy, mark_of("all", until=7.0)) is False


async def test_a_mark_that_could_not_be_added_is_an_outage(spy: Spy) -> None:
    spy.broken = {"add"}

    with pytest.raises(StoreUnavailable):
        await add_mark(spy, mark_of("all", until=7.0))


# --- with the session -----------------------------------------------------------------------------


class Site:
    """An issuer for an application that signs pairs of tokens itself."""

    def __init__(self, clock: Clock, **settings: Any) -> None:
        self.clock, self.store = clock, Spy()
        self.events: list[Event] = []
        config: dict[str, Any] = {"JWT_SECRET_KEY": SECRET, "JWT_ALGORITHM": "HS256"}
        config["JWT_TOKEN_LOCATION"] = ["cookies"]
        for name in ("ACCESS", "REFRESH"):
            config |= {f"JWT_{name}_COOKIE_NAME": name, f"JWT_{name}_COOKIE_PATH": "/"}
        self.issuer: Issuer = flask_issuer(
            config, store=self.store, clock=clock, on_event=self.events.append, **settings
        )
        assert self.issuer.rotating is not None
        self.rotating: Rotating = self.issuer.rotating

    def sign(
        self, kind: str, jti: str, subject: str = "alice", lifetime: float = LIFETIME, **claims: Any
    ) -> str:
        now = int(self.clock())
        times = {"iat": now, "exp": now + lifetime}
        said = {"sub": subject, "type": kind, "jti": jti, **times, **claims}
        return jwt.encode(said, SECRET, algorithm="HS256")

    def access(self, jti: str, subject: str = "alice", lifetime: float = LIFETIME) -> AccessToken:
        return self.issuer.read_access(self.sign("access", jti, subject, lifetime).encode())

    def refresh(self, jti: str = "r", subject: str = "alice") -> RefreshToken:
        return self.issuer.profile.read_refresh(self.sign("refresh", jti, subject, 9e5).encode())

    async def begun(self) -> str:
        """Let the session begin, and return its id."""
        token = self.refresh()
        await self.rotating.look(token, client=None)
        self.events.clear()
        return token.session_id

    async def log(self) -> dict[str, float]:
        """The sessions whose end is logged, and until when."""
        entries, _ = await self.store.store.revocations(None)
        return {entry.session_id: entry.until for entry in entries}


@pytest.fixture
def site(clock: Clock) -> Site:
    return Site(clock)


async def test_what_was_given_up_for_a_session_ends_with_it(site: Site) -> None:
    session_id, given_up = await site.begun(), site.access("a", lifetime=5000)
    await site.rotating.give_up(site.refresh(), [site.refresh(), given_up])

    await site.rotating.end(session_id, subject="alice", reason="logout", client=ALICE)

    stray = given_up.session_id
    assert site.events[0] == Event("revoked", "alice", stray, "logout", client=ALICE)
    assert (await site.log())[stray] == given_up.expires_at + 2 * LEEWAY


async def test_what_was_given_up_ends_with_all_sessions(site: Site) -> None:
    await site.begun()
    given_up = site.access("a", lifetime=5000)
    await site.rotating.give_up(site.refresh(), [given_up])

    assert await site.rotating.end_subject("alice", client=ALICE) == 1

    stray = given_up.session_id
    assert site.events == [
        Event("revoked", "alice", stray, "everywhere", client=ALICE),
        Event("revoked", "alice", None, "everywhere", "1", ALICE),
    ]
    assert (await site.log())[stray] == given_up.expires_at + 2 * LEEWAY


async def test_what_is_over_or_of_another_is_not_given_up(site: Site, clock: Clock) -> None:
    minted = await site.issuer.issue("alice")
    others = [
        site.access("bob", subject="bob"),
        site.issuer.read_access(minted.access_token.encode()),
    ]
    over = site.access("over", lifetime=10)
    clock.advance(10)
    site.store.calls.clear()

    await site.rotating.give_up(site.refresh(), [*others, over])

    assert site.store.calls == []


async def test_what_is_in_its_last_moment_is_given_up(site: Site, clock: Clock) -> None:
    token = site.access("a", lifetime=10)
    clock.advance(9.5)

    await site.rotating.give_up(site.refresh(), [token])

    assert site.store.count("add") == 1


async def test_of_several_those_that_are_no_access_tokens_hide_none(site: Site) -> None:
    session_id = await site.begun()
    tokens = [site.access("bob", subject="bob"), site.access("one"), site.access("two")]
    await site.rotating.give_up(site.refresh(), tokens)

    await site.rotating.end(session_id, reason="logout")

    assert set(await site.log()) == {session_id, *(each.session_id for each in tokens[1:])}


async def test_what_is_refused_already_is_not_ended_again(site: Site) -> None:
    session_id, given_up = await site.begun(), site.access("a")
    await site.rotating.give_up(site.refresh(), [given_up])
    await site.rotating.end(given_up.session_id, reason="logout")
    site.events.clear()

    await site.rotating.end(session_id, reason="logout")

    assert [event.session_id for event in site.events] == [session_id]


async def test_without_a_denylist_there_is_nobody_to_tell(clock: Clock) -> None:
    site = Site(clock, revocation="refresh")
    session_id, given_up = await site.begun(), site.access("a")
    await site.rotating.give_up(site.refresh(), [given_up])

    await site.rotating.end(session_id, reason="logout")
    await site.rotating.end_kept(given_up.session_id, reason="logout", client=None)

    assert set(await site.log()) == {session_id}


async def test_a_sign_out_by_such_a_token_alone_is_written_once(site: Site) -> None:
    token = site.access("a", lifetime=5000)

    for _ in range(3):
        await site.rotating.end_kept(
            token.session_id, reason="logout", client=ALICE, lasts=token.expires_at
        )

    assert site.events == [Event("revoked", None, token.session_id, "logout", client=ALICE)]
    assert await site.log() == {token.session_id: token.expires_at + 2 * LEEWAY}


async def test_a_sign_out_by_any_other_id_that_nothing_is_kept_of_writes_nothing(
    site: Site,
) -> None:
    await site.rotating.end_kept("0" * 32, reason="logout", client=None)

    assert site.store.count("revoke") == 0


async def test_a_companion_of_no_session_is_refused_from_the_explicit_refresh_on(
    site: Site,
) -> None:
    companion = site.sign("access", "a", lifetime=5000)
    stray = site.issuer.read_access(companion.encode())
    await site.issuer.authenticate(companion)

    for _ in range(2):
        refresh = site.sign("refresh", "r", lifetime=9e5)
        await site.issuer.refresh(refresh, revoke_access=companion)

    with pytest.raises(RevokedTokenError):
        await site.issuer.authenticate(companion)
    retired = [event for event in site.events if event.name == "revoked"]
    assert retired == [Event("revoked", "alice", stray.session_id, "retired")]
    assert (await site.log())[stray.session_id] == stray.expires_at + 2 * LEEWAY


async def test_without_a_denylist_a_companion_of_no_session_is_left_alone(clock: Clock) -> None:
    site = Site(clock, revocation="refresh")
    refresh, companion = site.sign("refresh", "r", lifetime=9e5), site.sign("access", "a")

    await site.issuer.refresh(refresh, revoke_access=companion)

    assert "revoked" not in [event.name for event in site.events]


async def test_a_companion_of_the_session_itself_ends_no_session(site: Site) -> None:
    tokens = await site.issuer.issue("alice")

    await site.issuer.refresh(tokens.refresh_token, revoke_access=tokens.access_token)

    assert "revoked" not in [event.name for event in site.events]
    assert await site.issuer.sessions("alice") != []


async def test_claims_that_the_companion_contradicts_are_not_minted_again(site: Site) -> None:
    tokens = await site.issuer.issue("alice", {"role": "admin", "team": "red"})
    companion = site.sign("access", "a", role="guest", team="red")

    refreshed = await site.issuer.refresh(tokens.refresh_token, revoke_access=companion)

    payload = site.issuer.verify(refreshed.access_token)
    assert ("role" in payload, payload["team"]) == (False, "red")


async def test_claims_of_the_companion_travel_with_the_session_that_begins(site: Site) -> None:
    refresh = site.sign("refresh", "r", lifetime=9e5)
    companion = site.sign("access", "a", role="admin")

    refreshed = await site.issuer.refresh(refresh, revoke_access=companion)

    assert site.issuer.verify(refreshed.access_token)["role"] == "admin"
