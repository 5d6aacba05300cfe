"""What a fresh pair of eyes found: each fact failed once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import anyio
import pytest

from asgi_refresh import Auth, Config, Cookie, MemoryStore, RefreshEndpoint, RefreshMiddleware
from tests.support import Browser, Clock, Spy, answer, make_issuer, whoami

pytestmark = pytest.mark.anyio

ACCESS, REFRESH, TOMBSTONE = "__Host-access", "__Host-refresh", "__Host-access-ended"


def bearer(token: str) -> tuple[str, str]:
    return ("authorization", f"Bearer {token}")


async def elevating(scope: Any, receive: Any, send: Any) -> None:
    try:
        Auth.of(scope).elevate({"role": "admin"})
    except RuntimeError as error:
        await answer(send, 409, str(error).encode())
    else:
        await answer(send)


async def test_elevate_over_a_bearer_token_is_refused_and_ends_nothing(clock: Clock) -> None:
    """Its tokens would go out in cookies that such a client does not keep."""
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    browser = Browser(RefreshMiddleware(elevating, issuer), clock)

    response = await browser.post("/", headers=[bearer(tokens.access_token)])

    assert (response.status, response.set_cookies) == (409, [])
    assert b"issuer.barrier" in response.body
    assert (await issuer.refresh(tokens.refresh_token)).session_id == tokens.session_id


@pytest.mark.parametrize("revocation", ["live", "refresh"])
async def test_an_old_token_that_logs_out_again_and_again_writes_nothing(
    clock: Clock, revocation: Any
) -> None:
    spy = Spy()
    issuer = make_issuer(clock, store=spy, config=Config(revocation=revocation))
    browser = Browser(RefreshMiddleware(whoami, issuer), clock)
    await browser.post("/login")
    old = {REFRESH: browser.values()[REFRESH]}
    await browser.post("/logout")
    spy.calls.clear()

    for _ in range(20):
        await browser.send("/logout", "POST", cookies=old)

    assert spy.count("revoke", "replace", "add") == 0
    assert len((await spy.store.revocations(None))[0]) == 1


async def test_parallel_requests_do_not_queue_behind_a_hanging_store(clock: Clock) -> None:
    """With "always", each would else wait for the timeouts of all before it."""
    spy = Spy()
    config = Config(revocation="always", store_timeout=timedelta(seconds=0.05))
    issuer = make_issuer(clock, store=spy, config=config)
    browser = Browser(RefreshMiddleware(whoami, issuer), clock)
    await browser.post("/login")
    spy.hanging.add("revocations")
    answers = []

    async def one() -> None:
        answers.append((await browser.send("/")).json()["reason"])

    with anyio.fail_after(1.0):  # 40 in a row would take two seconds
        async with anyio.create_task_group() as group:
            for _ in range(40):
                group.start_soon(one)

    assert answers == ["store_unavailable"] * 40


@pytest.mark.parametrize("first", [0, 1])
async def test_a_logout_buries_every_session_that_came(clock: Clock, first: int) -> None:
    issuer = make_issuer(clock, store=None)
    browser = Browser(RefreshMiddleware(whoami, issuer), clock)
    pair = sorted(
        [await issuer.issue(name) for name in ("alice", "bob")], key=lambda t: t.session_id
    )
    one, other = pair[first], pair[1 - first]
    kept = {ACCESS: one.access_token, REFRESH: other.refresh_token}
    browser.jar.clear()
    for name, value in kept.items():
        browser.put(name, value)

    await browser.post("/logout")

    for tokens in pair:
        twin = browser.fork()
        twin.put(ACCESS, tokens.access_token)
        twin.put(REFRESH, tokens.refresh_token)
        assert (await twin.get("/")).json()["subject"] is None


async def test_a_later_tombstone_keeps_the_earlier_ones(clock: Clock) -> None:
    issuer = make_issuer(clock, store=None)
    browser = Browser(RefreshMiddleware(whoami, issuer), clock)
    await browser.post("/login")
    clock.advance(3600)
    late = await browser.send("/")  # a refresh of alice's that stays on the wire
    await browser.post("/login/bob")
    await browser.post("/logout")

    browser.deliver(late)

    assert (await browser.get("/")).json()["subject"] is None
    clock.advance(86400)
    assert (await browser.get("/")).json()["subject"] is None


async def test_hostile_names_on_a_tombstone_are_not_carried_on(clock: Clock) -> None:
    issuer = make_issuer(clock, store=None)
    browser = Browser(RefreshMiddleware(whoami, issuer), clock)
    await browser.post("/login")
    browser.put(TOMBSTONE, "~".join(["x" * 65, 'a"b', "é", *(f"s{n}" for n in range(50))]))

    response = await browser.post("/logout")

    names = response.cookies[TOMBSTONE].split("~")
    assert len(names) == 8
    assert names[1:] == [f"s{n}" for n in range(7)]


async def test_the_tombstone_goes_wherever_the_refresh_cookie_does(clock: Clock) -> None:
    config = Config(access_cookie=Cookie("at", path="/api"), refresh_cookie=Cookie("rt"))
    issuer = make_issuer(clock, store=None, config=config)
    browser = Browser(RefreshMiddleware(whoami, issuer), clock)
    await browser.post("/login")

    response = await browser.post("/logout")

    [tombstone] = [line for line in response.set_cookies if line.startswith("at-ended=")]
    assert "; Path=/;" in tombstone


async def test_a_logout_tries_every_session_though_the_first_fails(clock: Clock) -> None:
    spy = Spy()
    issuer = make_issuer(clock, store=spy)
    browser = Browser(RefreshMiddleware(whoami, issuer), clock)
    pair = [await issuer.issue(name) for name in ("alice", "bob")]
    real, tried = spy.store.revoke, []

    async def revoke(session_id: str, revocation: Any) -> bool:
        tried.append(session_id)
        if len(tried) == 1:
            raise OSError("once")
        return bool(await real(session_id, revocation))

    spy.store.revoke = revoke
    cookies = {ACCESS: pair[0].access_token, REFRESH: pair[1].refresh_token}

    response = await browser.send("/logout", "POST", cookies=cookies)

    assert response.status == 503
    assert sorted(tried) == sorted(tokens.session_id for tokens in pair)


async def test_a_logout_with_an_oversize_cookie_header_still_ends_the_session(
    clock: Clock,
) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    browser = Browser(RefreshMiddleware(whoami, issuer), clock)
    await browser.post("/login")

    await browser.send("/logout", "POST", cookies={"junk": "x" * 17_000, **browser.values()})

    assert await issuer.sessions("alice") == []


async def test_a_foreign_request_with_a_bearer_does_not_act_with_the_cookies(
    clock: Clock,
) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    browser = Browser(RefreshMiddleware(whoami, issuer), clock)
    await browser.post("/login")
    bob = await issuer.issue("bob")
    foreign = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")]

    response = await browser.send("/logout", "POST", headers=[bearer(bob.access_token), *foreign])

    assert response.set_cookies == []
    assert len(await issuer.sessions("alice")) == 1
    assert await issuer.sessions("bob") == []


async def test_a_login_after_a_commit_ends_the_session_of_that_commit(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())

    async def app(scope: Any, receive: Any, send: Any) -> None:
        auth = Auth.of(scope)
        auth.login("alice")
        await auth.commit()
        auth.login("bob")
        await answer(send)

    await Browser(RefreshMiddleware(app, issuer), clock).post("/")

    assert await issuer.sessions("alice") == []
    assert len(await issuer.sessions("bob")) == 1


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
async def test_an_empty_body_of_any_type_does_not_spoil_the_header(clock: Clock, kind: str) -> None:
    """`curl -d ''` sends the type of a form with it."""
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    browser = Browser(RefreshEndpoint(issuer), clock)

    response = await browser.post(
        "/refresh", headers=[bearer(tokens.refresh_token), ("content-type", kind)]
    )

    assert response.status == 200


async def test_extensions_and_headers_of_none_raise_nothing(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())

    async def bare(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": None})
        await send({"type": "http.response.body"})

    browser = Browser(RefreshMiddleware(whoami, issuer), clock)
    await browser.post("/login")
    evil = [("origin", "https://evil.example")]

    messages = await browser.websocket(headers=evil, scope={"extensions": None})
    assert [message["type"] for message in messages] == ["websocket.close"]

    clock.advance(3600)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    await RefreshMiddleware(bare, issuer)(browser.scope("/", "GET"), receive, send)
    assert {name for name, _ in sent[0]["headers"]} >= {b"set-cookie"}


async def test_a_handshake_just_before_the_idle_end_gets_no_cookie_that_outlives_it(
    clock: Clock,
) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    browser = Browser(RefreshMiddleware(whoami, issuer), clock)
    await browser.post("/login")
    clock.advance(14 * 86400 - 30)

    messages = await browser.websocket()

    assert messages[0]["type"] == "websocket.accept"
    assert [name for name, _ in messages[0]["headers"] if name == b"set-cookie"] == []


async def test_a_clock_that_was_set_back_does_not_keep_revocations_from_biting(
    clock: Clock,
) -> None:
    """The last answer seems to be from the future: it is asked anew, on the fast path too."""
    store = MemoryStore()
    here, there = make_issuer(clock, store=store), make_issuer(clock, store=store)
    browser = Browser(RefreshMiddleware(whoami, here), clock)
    await browser.post("/login")
    clock.advance(60)
    session_id = (await browser.get("/")).json()["payload"]["sid"]
    await there.revoke(session_id)
    clock.advance(-30)

    assert (await browser.get("/")).json()["subject"] is None


async def test_vendor_cache_headers_do_not_survive_a_token(clock: Clock) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        Auth.of(scope).login("alice")
        headers = [(b"x-accel-expires", b"60"), (b"Cloudflare-CDN-Cache-Control", b"max-age=60")]
        await answer(send, headers=headers)

    issuer = make_issuer(clock, store=MemoryStore())
    response = await Browser(RefreshMiddleware(app, issuer), clock).post("/")

    assert response.header("x-accel-expires") is None
    assert response.header("cloudflare-cdn-cache-control") is None
