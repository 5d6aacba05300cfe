"""AB-64 to AB-67: WebSocket handshakes, where no browser asks for permission first."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_refresh import Auth, Config, Issuer, MemoryStore
from asgi_refresh.errors import InvalidTokenError
from tests.blackbox.helpers import HOUR, make_site
from tests.hostile.tools import (
    ACCESS,
    REFRESH,
    Recorder,
    both,
    run,
    set_cookies,
    websocket,
    wrapped,
)
from tests.support import Clock, Message, Spy, make_issuer, whoami

pytestmark = pytest.mark.anyio

OWN = (b"origin", b"https://app.example")
DENIAL = {"websocket.http.response": {}}
FOREIGN_ORIGINS = [
    None,
    b"",
    b"null",
    b"https://evil.example",
    b"https://blog.app.example",
    b"https://app.example.evil.example",
    b"https://app.example@evil.example",
    b"https://app.example:8443",
    b"https://app.example:80",
    b"wss://app.example",
    b"file://",
    b"chrome-extension://app.example",
    b"\xff",
]


def origin_header(origin: bytes | None) -> list[tuple[bytes, bytes]]:
    return [] if origin is None else [(b"origin", origin)]


# --- AB-64 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("extensions", [{}, DENIAL, None], ids=["plain", "denial", "none"])
@pytest.mark.parametrize("wait", [0, HOUR])
@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
async def test_AB_64_a_handshake_from_elsewhere_is_closed_before_the_application_sees_it(
    clock: Clock, origin: bytes | None, wait: float, extensions: Any
) -> None:
    spy, app = Spy(), Recorder()
    issuer = make_issuer(clock, store=spy)
    headers = [*origin_header(origin), both(await issuer.issue("alice"))]
    clock.advance(wait)
    spy.calls.clear()

    scope = websocket(headers=headers, extensions=extensions)
    sent = await run(wrapped(issuer, app), scope)

    assert (app.runs, spy.calls, set_cookies(sent)) == (0, [], [])
    if extensions:
        assert (sent[0]["type"], sent[0]["status"]) == ("websocket.http.response.start", 403)
        assert "trusted_origins" in sent[1]["body"].decode()
    else:
        assert [m["type"] for m in sent] == ["websocket.close"]
        assert sent[0]["code"] == 1008


@pytest.mark.parametrize("site_said", [b"same-origin", b"none"])
async def test_AB_64_fetch_metadata_does_not_stand_in_for_an_origin(
    clock: Clock, site_said: bytes
) -> None:
    """No browser sends it on a handshake: who does is no browser."""
    app = Recorder()
    issuer = make_issuer(clock, store=MemoryStore())
    headers = [(b"sec-fetch-site", site_said), both(await issuer.issue("alice"))]

    sent = await run(wrapped(issuer, app), websocket(headers=headers))

    assert (app.runs, sent[0]["type"]) == (0, "websocket.close")


@pytest.mark.parametrize("name", [ACCESS, REFRESH])
async def test_AB_64_one_cookie_of_ours_is_enough(clock: Clock, name: str) -> None:
    app = Recorder()
    issuer = make_issuer(clock, store=MemoryStore())
    headers = [(b"origin", b"null"), (b"Cookie", f"a=b; {name}=x".encode())]

    await run(wrapped(issuer, app), websocket(headers=headers))

    assert app.runs == 0


@pytest.mark.parametrize(
    "origin", [b"https://app.example", b"http://app.example", b"https://t.example"]
)
@pytest.mark.parametrize("wait", [0, HOUR])
async def test_AB_64_our_own_and_trusted_origins_are_signed_in(
    clock: Clock, origin: bytes, wait: float
) -> None:
    app = Recorder()
    config = Config(trusted_origins=["https://t.example"])
    issuer = make_issuer(clock, store=MemoryStore(), config=config)
    headers = [(b"origin", origin), both(await issuer.issue("alice"))]
    clock.advance(wait)

    sent = await run(wrapped(issuer, app), websocket(headers=headers))

    assert (app.subject, sent[0]["type"]) == ("alice", "websocket.accept")


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
async def test_AB_64_without_cookies_of_ours_anybody_connects_as_nobody(
    clock: Clock, origin: bytes | None
) -> None:
    app = Recorder()
    issuer = make_issuer(clock, store=MemoryStore())

    await run(wrapped(issuer, app), websocket(headers=origin_header(origin)))

    assert (app.runs, app.subject) == (1, None)


# --- AB-65 ----------------------------------------------------------------------------------------


async def handshake(
    clock: Clock, spy: Spy, *, spec_version: str = "2.3", wait: float = HOUR, app: Any = whoami
) -> list[Message]:
    issuer = make_issuer(clock, store=spy)
    tokens = await issuer.issue("alice")
    clock.advance(wait)
    spy.calls.clear()
    asgi = {"version": "3.0", "spec_version": spec_version}
    return await run(wrapped(issuer, app), websocket(headers=[OWN, both(tokens)], asgi=asgi))


@pytest.mark.parametrize("spec_version", ["2.0", "2.1", "2.3", "2.5"])
async def test_AB_65_an_expired_access_token_is_replaced_at_the_handshake(
    clock: Clock, spec_version: str
) -> None:
    """An access cookie at most, and never a rotation: servers drop those headers (DESIGN, 2)."""
    spy = Spy()

    sent = await handshake(clock, spy, spec_version=spec_version)

    told = json.loads(sent[1]["text"])
    assert (told["subject"], told["refreshed"]) == ("alice", True)
    names = [line.partition(b"=")[0].decode() for line in set_cookies(sent)]
    assert names == ([] if spec_version == "2.0" else [ACCESS])
    assert spy.count("replace", "revoke", "add") == 0


async def test_AB_65_the_headers_of_the_application_stay(clock: Clock) -> None:
    own = [(b"x-app", b"1"), (b"set-cookie", b"theme=dark")]
    accept = {"type": "websocket.accept", "subprotocol": "chat", "headers": own}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(accept)

    [sent] = await handshake(clock, Spy(), app=app)

    assert sent["headers"][:2] == own
    assert sent["subprotocol"] == "chat"
    assert len(set_cookies([sent])) == 2
    assert accept["headers"] == [(b"x-app", b"1"), (b"set-cookie", b"theme=dark")]


async def test_AB_65_what_the_handshake_lost_costs_nobody_the_session(clock: Clock) -> None:
    site = make_site(clock)
    await site.sign_in()
    clock.advance(HOUR)

    for _ in range(3):
        await site.browser.websocket()
    response = await site.browser.get("/")

    assert (response.json()["subject"], len(response.set_cookies)) == ("alice", 2)


# --- AB-66 ----------------------------------------------------------------------------------------


def feed(issuer: Issuer, clock: Clock, between: Any) -> Any:
    """
    An application that sends until the session is over, as the documentation tells it to.

    *between* is called before each message, with how many went out.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        auth = Auth.of(scope)
        [cookie] = [value for name, value in scope["headers"] if name == b"cookie"]
        token = cookie.partition(f"{ACCESS}=".encode())[2].partition(b";")[0].decode()
        await send({"type": "websocket.accept"})
        for number in range(100):
            result = between(number)
            if result is not None:
                await result
            assert auth.expires_at is not None
            try:
                await issuer.authenticate(token)
            except InvalidTokenError:
                await send({"type": "websocket.close", "code": 1008})
                return
            assert clock() < auth.expires_at
            await send({"type": "websocket.send", "text": str(number)})

    return app


@pytest.mark.parametrize("wait", [0, HOUR])
async def test_AB_66_an_open_connection_ends_with_its_access_token(
    clock: Clock, wait: float
) -> None:
    """`auth.expires_at` and `issuer.authenticate`; closing is the application's (DESIGN, 11)."""
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    clock.advance(wait)
    app = feed(issuer, clock, lambda number: clock.advance(60))

    sent = await run(wrapped(issuer, app), websocket(headers=[OWN, both(tokens)]))

    assert (sent[-1]["type"], sent[-1]["code"]) == ("websocket.close", 1008)
    assert len([m for m in sent if m["type"] == "websocket.send"]) == 9


@pytest.mark.parametrize("here", [True, False])
@pytest.mark.parametrize("what", ["session", "subject", "barrier"])
async def test_AB_66_an_open_connection_ends_within_the_poll_when_its_session_does(
    clock: Clock, what: str, here: bool
) -> None:
    """At once where the session was ended, after `revocation_poll` on every other host."""
    store = MemoryStore()
    issuer, other = make_issuer(clock, store=store), make_issuer(clock, store=store)
    tokens = await issuer.issue("alice")
    ends = issuer if here else other

    async def between(number: int) -> None:
        clock.advance(0.25)
        if number == 3:
            if what == "session":
                await ends.revoke(tokens.session_id)
            elif what == "subject":
                await ends.revoke_subject("alice")
            else:
                await ends.barrier(tokens.session_id)

    app = feed(issuer, clock, between)
    sent = await run(wrapped(issuer, app), websocket(headers=[OWN, both(tokens)]))

    assert (sent[-1]["type"], sent[-1]["code"]) == ("websocket.close", 1008)
    messages = len([m for m in sent if m["type"] == "websocket.send"])
    assert messages == 3 if here else 3 <= messages <= 3 + 4


# --- AB-67 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answers",
    [
        [{"type": "websocket.close", "code": 4401}],
        [
            {"type": "websocket.http.response.start", "status": 401, "headers": []},
            {"type": "websocket.http.response.body", "body": b"no"},
        ],
        [],
    ],
    ids=["close", "denial", "nothing"],
)
async def test_AB_67_a_handshake_that_is_not_accepted_writes_nothing(
    clock: Clock, answers: list[Message]
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        for message in answers:
            await send(message)

    spy = Spy()

    sent = await handshake(clock, spy, app=app)

    assert [m["type"] for m in sent] == [m["type"] for m in answers]
    assert REFRESH.encode() not in b"".join(set_cookies(sent))
    assert spy.count("replace", "revoke", "add") == 0


async def test_AB_67_a_plain_close_carries_no_cookie(clock: Clock) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 1000, "reason": ""})

    assert await handshake(clock, Spy(), app=app) == [
        {"type": "websocket.close", "code": 1000, "reason": ""}
    ]


@pytest.mark.parametrize("cookies", [True, False])
async def test_AB_67_an_application_that_fails_at_the_handshake_leaves_the_session(
    clock: Clock, cookies: bool
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise KeyError("the application's own")

    spy = Spy()
    with pytest.raises(KeyError):
        await handshake(clock, spy, app=app)

    assert spy.count("replace", "revoke", "add") == 0
