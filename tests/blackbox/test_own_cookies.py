"""What an application says of our cookies in a response of its own counts, and has consequences."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from asgi_refresh import Config, Cookie, MemoryStore, RefreshMiddleware
from tests.blackbox.helpers import (
    ACCESS,
    HOUR,
    MINUTE,
    REFRESH,
    TOMBSTONE,
    Site,
    deleted,
    doing,
    given,
    make_site,
)
from tests.support import App, Browser, Clock, make_issuer

pytestmark = pytest.mark.anyio

modes = pytest.mark.parametrize("stored", [True, False], ids=["rotating", "stateless"])
CSRF = "__Host-csrf"


def sets(name: str, value: str) -> tuple[bytes, bytes]:
    return b"set-cookie", f"{name}={value}; Path=/; Secure; HttpOnly".encode()


def deletes(name: str) -> tuple[bytes, bytes]:
    return b"set-cookie", f"{name}=; Max-Age=0; Path=/; Secure".encode()


def answering(site: Site, *headers: tuple[bytes, bytes], **kwargs: Any) -> App:
    """The application of *site* from here on, which writes these headers."""
    return RefreshMiddleware(doing(headers=headers, **kwargs), site.issuer)


async def becomes(
    clock: Clock,
    subject: str,
    *names: str,
    status: int = 200,
    stored: bool = True,
    method: str = "POST",
    wait: float = 0.0,
    **kwargs: Any,
) -> tuple[Site, Any]:
    """Alice's browser is given *names* of *subject*, as the application writes them itself."""
    site = make_site(clock, stored=stored, **kwargs)
    await site.sign_in("alice")
    other = await site.issuer.issue(subject)
    site.events.clear()
    values = {ACCESS: other.access_token, REFRESH: other.refresh_token}
    written = [sets(name, values[name]) for name in names]
    clock.advance(wait)
    site.browser.app = answering(site, *written, status=status)
    return site, await site.browser.request("/", method)


# --- somebody else's tokens -----------------------------------------------------------------------


@modes
@pytest.mark.parametrize("name", [ACCESS, REFRESH])
async def test_whoever_was_signed_in_is_out_when_a_cookie_of_another_user_is_written(
    clock: Clock, name: str, stored: bool
) -> None:
    site, response = await becomes(clock, "bob", name, stored=stored)

    assert [event.reason for event in site.named("revoked")] == ["login"]
    assert deleted(response) == {ACCESS, REFRESH} - {name}
    assert given(response) == {name} | (set() if stored else {TOMBSTONE})


async def test_that_is_told_with_who_was_at_the_other_end(clock: Clock) -> None:
    site, _ = await becomes(clock, "bob", ACCESS)

    [event] = site.named("revoked")
    assert event.client is not None
    assert event.client.address == "192.0.2.7"


@modes
@pytest.mark.parametrize(("subject", "status"), [("alice", 200), ("bob", 400), ("bob", 500)])
async def test_nobody_is_out_for_a_cookie_of_their_own_or_one_of_an_error(
    clock: Clock, subject: str, status: int, stored: bool
) -> None:
    site, response = await becomes(clock, subject, ACCESS, status=status, stored=stored)

    assert (site.named("revoked"), set(response.cookies)) == ([], {ACCESS})


async def test_a_cookie_of_another_user_that_is_over_signs_nobody_out(clock: Clock) -> None:
    config = Config(access_lifetime=timedelta(minutes=5))
    site, _ = await becomes(clock, "bob", ACCESS, wait=5 * MINUTE, config=config)

    assert site.named("revoked") == []


@pytest.mark.parametrize("value", ["", "x", "a.b.c", "x={}", "{}=", '"{}"'])
async def test_a_cookie_that_is_no_token_signs_nobody_out(clock: Clock, value: str) -> None:
    site = make_site(clock)
    await site.sign_in("alice")
    bob = await site.issuer.issue("bob")
    written = {ACCESS: value.format(bob.access_token), REFRESH: value.format(bob.refresh_token)}
    site.browser.app = answering(site, *(sets(*pair) for pair in written.items()))

    await site.browser.post("/")

    assert site.named("revoked") == []


async def test_a_refresh_token_that_is_none_leaves_it_to_the_access_token(clock: Clock) -> None:
    site = make_site(clock)
    await site.sign_in("alice")
    bob = await site.issuer.issue("bob")
    site.browser.app = answering(site, sets(REFRESH, "x"), sets(ACCESS, bob.access_token))
    site.events.clear()

    await site.browser.post("/")

    assert [event.reason for event in site.named("revoked")] == ["login"]


async def test_a_user_goes_on_with_the_refresh_token(clock: Clock) -> None:
    """Of two users' tokens in one response the one that lasts says who it is."""
    site = make_site(clock)
    await site.sign_in("alice")
    alice, bob = await site.issuer.issue("alice"), await site.issuer.issue("bob")
    written = [sets(REFRESH, alice.refresh_token), sets(ACCESS, bob.access_token)]
    site.browser.app = answering(site, *written)
    site.events.clear()

    await site.browser.post("/")

    assert site.named("revoked") == []


async def test_of_the_sessions_that_came_only_those_of_others_end(clock: Clock) -> None:
    site = make_site(clock)
    carol, alice = await site.issuer.issue("carol"), await site.issuer.issue("alice")
    new = await site.issuer.issue("alice")
    site.browser.put(REFRESH, carol.refresh_token)
    site.browser.put(ACCESS, alice.access_token)
    site.browser.app = answering(site, sets(ACCESS, new.access_token))

    response = await site.browser.post("/")

    assert deleted(response) == {REFRESH}
    assert await site.issuer.sessions("carol") == []
    assert len(await site.issuer.sessions("alice")) == 2


async def test_an_outage_leaves_the_answer_of_the_application(clock: Clock) -> None:
    site = make_site(clock)
    await site.sign_in("alice")
    bob = await site.issuer.issue("bob")
    site.browser.app = answering(site, sets(ACCESS, bob.access_token))
    site.store.broken.add("revoke")

    response = await site.browser.post("/")

    assert (response.status, response.cookies[ACCESS]) == (200, bob.access_token)
    assert REFRESH in deleted(response)


async def test_whose_a_refresh_token_is_cannot_be_told_in_an_outage(clock: Clock) -> None:
    site = make_site(clock)
    await site.sign_in("alice")
    bob = await site.issuer.issue("bob")
    site.browser.app = answering(site, sets(REFRESH, bob.refresh_token))
    site.store.broken.add("get")
    site.events.clear()

    response = await site.browser.post("/")

    assert (response.status, set(response.cookies)) == (200, {REFRESH})
    assert site.named("revoked") == []


# --- beside what the handler has asked for --------------------------------------------------------


async def test_a_login_of_ours_is_not_taken_for_one_of_the_applications(clock: Clock) -> None:
    """The access cookie that it writes besides wins; nobody is signed out by it."""
    site = make_site(clock)
    await site.sign_in("alice")
    carol = await site.issuer.issue("carol")
    site.events.clear()
    app = doing(lambda auth: auth.login("bob"), headers=[sets(ACCESS, carol.access_token)])
    site.browser.app = RefreshMiddleware(app, site.issuer)

    response = await site.browser.post("/")

    assert response.cookies[ACCESS] == carol.access_token
    assert [event.name for event in site.events] == ["issued", "revoked"]
    assert len(await site.issuer.sessions("bob")) == 1


async def test_after_a_committed_login_a_deletion_of_the_applications_signs_nobody_out(
    clock: Clock,
) -> None:
    async def act(auth: Any) -> None:
        auth.login("bob")
        await auth.commit()

    site = make_site(clock, doing(act, headers=[deletes(ACCESS)]))

    response = await site.browser.post("/")

    assert REFRESH in given(response)
    assert len(await site.issuer.sessions("bob")) == 1


# --- which cookies are ours -----------------------------------------------------------------------


async def test_what_goes_with_a_cookie_that_the_application_writes_is_left_to_it(
    clock: Clock,
) -> None:
    """A double-submit cookie of ours would belong to another token than the one it goes with."""
    config = Config(csrf_cookie=Cookie(CSRF, http_only=False))
    site = make_site(clock, config=config)
    await site.sign_in("alice")
    site.browser.app = answering(site, sets(ACCESS, "mine"), sets(REFRESH, "mine"))
    clock.advance(HOUR)

    assert set((await site.browser.get("/")).cookies) == {ACCESS, REFRESH}


async def test_a_double_submit_cookie_of_the_applications_goes_out_once(clock: Clock) -> None:
    site = make_site(clock, config=Config(csrf_cookie=Cookie(CSRF, http_only=False)))
    await site.sign_in("alice")
    site.browser.app = answering(site, sets(CSRF, "mine"))
    clock.advance(HOUR)

    response = await site.browser.get("/")

    assert set(response.cookies) == {ACCESS, REFRESH, CSRF}
    assert response.cookies[CSRF] == "mine"


async def test_an_expiry_is_in_the_past_by_the_issuers_clock(clock: Clock) -> None:
    """Ten days ago by that, whatever the host's own says."""
    site = make_site(clock)
    await site.sign_in("alice")
    line = f"{ACCESS}=x; Expires=Tue, 05 Jan 2027 00:00:00 GMT".encode()
    site.browser.app = answering(site, (b"set-cookie", line))

    await site.browser.post("/")

    assert [event.reason for event in site.named("revoked")] == ["logout"]


@pytest.mark.parametrize("name", ["x" + ACCESS, ACCESS + "x", "theme"])
async def test_a_cookie_of_another_name_is_none_of_ours(clock: Clock, name: str) -> None:
    site = make_site(clock)
    await site.sign_in("alice")
    site.browser.app = answering(site, deletes(name))

    response = await site.browser.post("/")

    assert (set(response.cookies), site.events) == ({name}, [])
    assert response.header("cache-control") is None


async def test_a_response_with_a_cookie_of_ours_is_kept_by_nobody_whoever_wrote_it(
    clock: Clock,
) -> None:
    _, response = await becomes(clock, "alice", ACCESS)

    assert response.header("cache-control") == "private, no-store"
    assert response.header("vary") == "Cookie, Authorization"


# --- access tokens that last longer than ours -----------------------------------------------------


async def long_lived(clock: Clock) -> tuple[Site, Browser]:
    """A host after a deployment that halved the lifetime, and a token of before."""
    store = MemoryStore()
    long = timedelta(hours=2)
    old = make_issuer(clock, store=store, config=Config(access_lifetime=long))
    tokens = await old.issue("alice")
    site = make_site(clock, store=store)
    site.browser.put(ACCESS, tokens.access_token)
    return site, site.browser.fork()


async def refused_later(clock: Clock, copy: Browser) -> bool:
    """Whether the access token is refused when one of ours would be over for long."""
    clock.advance(HOUR)
    return (await copy.get("/")).json()["reason"] == "revoked_token"


@pytest.mark.parametrize("path", ["/logout", "/login/bob"])
async def test_a_session_that_ends_is_refused_for_as_long_as_its_token_lasts(
    clock: Clock, path: str
) -> None:
    site, copy = await long_lived(clock)

    await site.browser.post(path)

    assert await refused_later(clock, copy)


async def test_so_is_that_of_a_bearer_who_signs_out(clock: Clock) -> None:
    site, copy = await long_lived(clock)
    header = ("authorization", f"Bearer {copy.values()[ACCESS]}")

    await Browser(site.browser.app, clock).post("/logout", headers=[header])

    assert await refused_later(clock, copy)


async def test_so_is_one_that_is_ousted_by_a_cookie_of_the_applications(clock: Clock) -> None:
    site, copy = await long_lived(clock)
    bob = await site.issuer.issue("bob")
    site.browser.app = answering(site, sets(ACCESS, bob.access_token))

    await site.browser.post("/")

    assert await refused_later(clock, copy)
