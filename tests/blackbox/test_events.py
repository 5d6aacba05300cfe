"""Whatever a request caused is told together with who was at its other end."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_refresh import Client, Config
from tests.support import Clock

from .helpers import ACCESS, HOUR, REFRESH, Site, doing, make_site, on_paths

pytestmark = pytest.mark.anyio

PEER = Client("192.0.2.7", "test-browser")
APP = on_paths(
    login=doing(lambda auth: auth.login("alice")),
    logout=doing(lambda auth: auth.logout()),
    everywhere=doing(lambda auth: auth.logout(everywhere=True)),
)


def told(site: Site) -> list[tuple[str, str | None]]:
    assert [event.client for event in site.events] == [PEER] * len(site.events)
    return [(event.name, event.reason) for event in site.events]


async def test_a_login(clock: Clock) -> None:
    site = make_site(clock, APP)
    await site.browser.post("/login")

    assert told(site) == [("issued", None)]


async def test_a_login_that_ends_the_oldest_session(clock: Clock) -> None:
    site = make_site(clock, APP, config=Config(max_sessions=1))
    await site.sign_in("alice", browser=site.browser.fork())
    clock.advance(1)
    await site.browser.post("/login")

    assert told(site) == [("issued", None), ("revoked", "max_sessions")]


async def test_a_login_over_a_session(clock: Clock) -> None:
    site = make_site(clock, APP)
    await site.sign_in("bob")
    await site.browser.post("/login")

    assert ("revoked", "login") in told(site)


@pytest.mark.parametrize(("path", "reason"), [("/logout", "logout"), ("/everywhere", "everywhere")])
async def test_a_logout(clock: Clock, path: str, reason: str) -> None:
    site = make_site(clock, APP)
    await site.sign_in("alice")
    await site.browser.post(path)

    assert ("revoked", reason) in told(site)


@pytest.mark.parametrize("config", [Config(), Config(revocation="refresh")])
async def test_a_logout_names_who_it_was(clock: Clock, config: Config) -> None:
    site = make_site(clock, APP, config=config)
    await site.sign_in("alice")
    await site.browser.post("/logout")

    assert [event.subject for event in site.named("revoked")] == ["alice"]


async def test_so_does_one_without_a_store(clock: Clock) -> None:
    site = make_site(clock, APP, stored=False)
    await site.sign_in("alice")
    await site.browser.post("/logout")

    assert [(event.subject, event.reason) for event in site.named("revoked")] == [
        ("alice", "logout")
    ]
    assert told(site) == [("revoked", "logout")]


@pytest.mark.parametrize("path", ["login", "logout"])
async def test_the_end_of_a_session_whose_access_token_is_over(clock: Clock, path: str) -> None:
    site = make_site(clock, APP)
    await site.sign_in("bob")
    site.browser.drop("__Host-access")
    await site.browser.post(f"/{path}")

    assert ("revoked", path) in told(site)


@pytest.mark.parametrize("path", ["login", "logout"])
async def test_the_end_of_each_of_two_sessions(clock: Clock, path: str) -> None:
    site = make_site(clock, APP)
    await site.sign_in("bob")
    other = await site.issuer.issue("carol")
    site.browser.put("__Host-refresh", other.refresh_token)
    site.events.clear()
    await site.browser.post(f"/{path}")

    assert told(site).count(("revoked", path)) == 2


async def test_a_login_that_ends_all_sessions(clock: Clock) -> None:
    def change_password(auth: Any) -> None:
        auth.logout(everywhere=True)
        auth.login("alice")

    site = make_site(clock, doing(change_password))
    await site.sign_in("alice")
    await site.browser.post("/")

    assert ("revoked", "everywhere") in told(site)


async def test_a_login_from_another_origin(clock: Clock) -> None:
    site = make_site(clock, APP)
    await site.browser.post("/login", headers=[("origin", "https://evil.example")])

    assert told(site) == [("cross_origin", "login")]


async def test_a_refresh(clock: Clock) -> None:
    site = make_site(clock, APP)
    await site.sign_in("alice")
    clock.advance(HOUR)
    await site.browser.get("/")

    assert told(site) == [("refreshed", "current")]


async def test_a_theft(clock: Clock) -> None:
    site = make_site(clock, APP)
    await site.sign_in("alice")
    thief = site.browser.fork()
    for _ in range(3):
        clock.advance(HOUR)
        await site.browser.get("/")
    site.events.clear()
    await thief.get("/")

    assert [name for name, _ in told(site)] == ["reused", "revoked", "rejected"]


async def test_claims_that_are_refused(clock: Clock) -> None:
    allowed = True

    async def load(_session: Any) -> dict[str, Any] | None:
        return {} if allowed else None

    site = make_site(clock, APP, load_claims=load)
    await site.sign_in("alice")
    clock.advance(HOUR)
    allowed = False
    await site.browser.get("/")

    assert ("revoked", "claims_refused") in told(site)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_token_that_is_none(clock: Clock, method: str) -> None:
    site = make_site(clock)
    site.browser.put(ACCESS, "garbage")
    await site.browser.request("/", method)

    assert told(site) == [("rejected", "invalid_token")]


@pytest.mark.parametrize("name", [ACCESS, REFRESH])
async def test_a_session_that_has_ended_is_named(clock: Clock, name: str) -> None:
    """By an access token with the subject, too; a refresh token does not know it."""
    site = make_site(clock)
    session_id = await site.sign_in("alice")
    raw = site.browser.values()[name]
    await site.issuer.revoke(session_id)
    clock.advance(2)
    site.events.clear()

    await site.browser.send(cookies={name: raw})

    [event] = site.events
    assert event.client == PEER
    assert (event.subject, event.session_id) == ("alice" if name == ACCESS else None, session_id)


async def test_a_token_beside_a_good_one_is_told_with_whose_request_it_was(clock: Clock) -> None:
    site = make_site(clock)
    session_id = await site.sign_in("alice")
    site.browser.put(REFRESH, "garbage")

    await site.browser.get("/")

    [event] = site.events
    assert (event.reason, event.subject, event.session_id) == ("invalid_token", "alice", session_id)


@pytest.mark.parametrize(
    ("scope", "client"),
    [
        ({"client": None}, Client(None, "test-browser")),
        ({"client": ("2001:db8::1", 1)}, Client("2001:db8::1", "test-browser")),
        ({"headers": []}, Client("192.0.2.7", None)),
        ({"headers": [(b"User-Agent", b"x" * 300)]}, Client("192.0.2.7", "x" * 200)),
        ({"headers": [(b"user-agent", b"\xe4")]}, Client("192.0.2.7", "\\xe4")),
        ({"headers": [(b"user-agent", b"a"), (b"user-agent", b"b")]}, Client("192.0.2.7", "a")),
    ],
    ids=["no address", "IPv6", "no agent", "a long agent", "beyond ASCII", "two agents"],
)
async def test_who_is_at_the_other_end(clock: Clock, scope: dict[str, Any], client: Client) -> None:
    site = make_site(clock)
    if "headers" in scope:
        garbage = (b"cookie", f"{ACCESS}=garbage".encode())
        scope = {"headers": [*scope["headers"], garbage]}
    site.browser.put(ACCESS, "garbage")

    await site.browser.send(scope=scope)

    assert [event.client for event in site.events] == [client]
