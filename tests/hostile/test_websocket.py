"""WebSocket handshakes: identity at the handshake, at most an access cookie, no rotation."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, WebSocket

from asgi_refresh import Auth, Config, Issuer, MemoryStore, RefreshEndpoint, get_auth, require_auth
from asgi_refresh.errors import InvalidTokenError
from tests.hostile.tools import (
    ACCESS,
    REFRESH,
    Recorder,
    both,
    cookie_line,
    http,
    run,
    said,
    set_cookies,
    websocket,
    wrapped,
)
from tests.support import Clock, Message, Spy, make_issuer, whoami

pytestmark = pytest.mark.anyio

ORIGIN = (b"origin", b"https://app.example")
DENIAL = {"websocket.http.response": {}}


async def talk(
    issuer: Issuer, tokens: Any, app: Any = whoami, *, origin: Any = ORIGIN, **more: Any
) -> list[Message]:
    """Do a handshake with the cookies of *tokens*, and return what was sent."""
    headers = [both(tokens)] + ([origin] if origin else [])
    return await run(wrapped(issuer, app), websocket(headers=headers, **more))


def told(sent: list[Message]) -> Any:
    [text] = [m["text"] for m in sent if m["type"] == "websocket.send"]
    return json.loads(text)


def does(*steps: Any) -> Any:
    """An application that takes *steps* with `auth` before and after it accepts."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        for step in steps:
            if isinstance(step, dict):
                await send(step)
            else:
                result = step(Auth.of(scope))
                if result is not None:
                    await result

    return app


ACCEPT = {"type": "websocket.accept", "subprotocol": "chat", "headers": [(b"x-app", b"1")]}


# --- who it is (AB-65) ----------------------------------------------------------------------------


async def test_a_good_access_cookie_signs_in(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())

    sent = await talk(issuer, await issuer.issue("alice"))

    assert told(sent)["subject"] == "alice"


@pytest.mark.parametrize("stored", [True, False])
async def test_a_refresh_cookie_signs_in_with_a_fresh_token(clock: Clock, stored: bool) -> None:
    issuer = make_issuer(clock, store=MemoryStore() if stored else None)
    tokens = await issuer.issue("alice")
    clock.advance(3600)

    sent = await talk(issuer, tokens)

    assert (told(sent)["subject"], told(sent)["refreshed"]) == ("alice", True)


async def test_a_good_bearer_signs_in_without_an_origin(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    header = (b"authorization", f"Bearer {tokens.access_token}".encode())

    sent = await run(wrapped(issuer, whoami), websocket(headers=[header]))

    assert told(sent)["via"] == "bearer"


async def test_without_cookies_of_ours_a_handshake_without_an_origin_is_anonymous(
    clock: Clock,
) -> None:
    issuer = make_issuer(clock, store=MemoryStore())

    sent = await run(wrapped(issuer, whoami), websocket(headers=[cookie_line(("a", "b"))]))

    assert told(sent)["reason"] == "no_credentials"


async def test_without_cookies_of_ours_a_handshake_from_another_origin_is_anonymous(
    clock: Clock,
) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    evil = (b"origin", b"https://evil.example")

    sent = await run(wrapped(issuer, whoami), websocket(headers=[evil]))

    assert told(sent)["reason"] == "no_credentials"


async def test_the_end_of_the_access_token_is_there_for_the_applications_own_loop(
    clock: Clock,
) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    seen: list[Any] = []
    look = does(lambda auth: seen.append(auth.expires_at))

    await talk(issuer, await issuer.issue("alice"), look)

    assert seen == [clock() + 600]


async def test_a_revocation_during_the_connection_shows_in_authenticate(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    await talk(issuer, tokens)

    await issuer.revoke(tokens.session_id)

    with pytest.raises(InvalidTokenError):
        await issuer.authenticate(tokens.access_token)


# --- cookies on accept (AB-65, AB-67) -------------------------------------------------------------


@pytest.mark.parametrize("stored", [True, False])
async def test_accept_carries_the_access_cookie_and_nothing_else(
    clock: Clock, stored: bool
) -> None:
    issuer = make_issuer(clock, store=MemoryStore() if stored else None)
    tokens = await issuer.issue("alice")
    clock.advance(10 * 86400)

    sent = await talk(issuer, tokens)

    [cookie] = set_cookies(sent)
    assert cookie.startswith(ACCESS.encode() + b"=")


async def test_the_cookie_on_accept_holds_the_token_the_handler_saw(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    clock.advance(3600)

    sent = await talk(issuer, tokens)

    raw = set_cookies(sent)[0].partition(b";")[0].partition(b"=")[2]
    assert issuer.verify(raw.decode()) == told(sent)["payload"]


async def test_the_headers_and_the_subprotocol_of_the_application_survive(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    clock.advance(3600)

    [sent] = await talk(issuer, tokens, does(dict(ACCEPT)))

    assert sent["subprotocol"] == "chat"
    assert (b"x-app", b"1") in sent["headers"]


async def test_a_handshake_with_a_valid_access_token_sets_no_cookie(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())

    assert set_cookies(await talk(issuer, await issuer.issue("alice"))) == []


@pytest.mark.parametrize("wait", [100, 3600])
async def test_a_handshake_writes_nothing_to_the_store(clock: Clock, wait: float) -> None:
    spy = Spy()
    issuer = make_issuer(clock, store=spy)
    tokens = await issuer.issue("alice")
    clock.advance(wait)
    spy.calls.clear()

    await talk(issuer, tokens)

    assert spy.count("add", "replace", "revoke", "revoke_subject", "purge") == 0


async def test_the_refresh_token_still_rotates_after_many_handshakes(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    for _ in range(3):
        clock.advance(3600)
        await talk(issuer, tokens)

    _, cookies = await said(wrapped(issuer), both(tokens))

    assert len(cookies) == 2


async def test_accept_comes_after_one_more_read_of_the_session(clock: Clock) -> None:
    spy = Spy()
    issuer = make_issuer(clock, store=spy)
    tokens = await issuer.issue("alice")
    clock.advance(3600)
    spy.calls.clear()

    await talk(issuer, tokens)

    assert spy.count("get") == 2


async def test_a_session_revoked_between_look_and_accept_gets_no_cookie(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    clock.advance(3600)
    app = does(lambda auth: issuer.revoke(tokens.session_id), dict(ACCEPT))

    assert set_cookies(await talk(issuer, tokens, app)) == []


async def test_a_barrier_between_look_and_accept_leaves_no_cookie(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    clock.advance(3600)
    app = does(lambda auth: issuer.barrier(tokens.session_id), dict(ACCEPT))

    assert set_cookies(await talk(issuer, tokens, app)) == []


async def test_a_store_that_fails_at_accept_leaves_no_cookie_and_the_accept_goes_out(
    clock: Clock,
) -> None:
    spy = Spy()
    issuer = make_issuer(clock, store=spy)
    tokens = await issuer.issue("alice")
    clock.advance(3600)
    app = does(lambda auth: spy.broken.add("*"), dict(ACCEPT))

    sent = await talk(issuer, tokens, app)

    assert ([m["type"] for m in sent], set_cookies(sent)) == (["websocket.accept"], [])


@pytest.mark.parametrize("asgi", [{"version": "3.0", "spec_version": "2.0"}, {"version": "3.0"}])
async def test_before_spec_version_2_1_no_cookie_goes_out(clock: Clock, asgi: Any) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    clock.advance(3600)

    sent = await talk(issuer, tokens, asgi=asgi)

    assert set_cookies(sent) == []
    assert told(sent)["subject"] == "alice"


@pytest.mark.parametrize("accept", [{"type": "websocket.accept"}, ACCEPT])
@pytest.mark.parametrize("wait", [0, 3600])
async def test_before_spec_version_2_1_accept_gets_no_header_at_all(
    clock: Clock, accept: Message, wait: float
) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    clock.advance(wait)
    app = does(lambda auth: auth.subject and None, dict(accept))

    sent = await talk(issuer, tokens, app, asgi={"version": "3.0", "spec_version": "2.0"})

    assert sent == [accept]


@pytest.mark.parametrize("spec_version", ["2.1", "2.3", "2.5", "3.0"])
async def test_from_spec_version_2_1_on_the_cookie_goes_out(
    clock: Clock, spec_version: str
) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    clock.advance(3600)

    sent = await talk(issuer, tokens, asgi={"version": "3.0", "spec_version": spec_version})

    assert len(set_cookies(sent)) == 1


async def test_a_close_before_accept_sets_nothing_and_rotates_nothing(clock: Clock) -> None:
    spy = Spy()
    issuer = make_issuer(clock, store=spy)
    tokens = await issuer.issue("alice")
    clock.advance(3600)
    spy.calls.clear()
    close = {"type": "websocket.close", "code": 4401}

    sent = await talk(issuer, tokens, does(close))

    assert sent[0] is close
    assert spy.calls == ["get"]


async def test_a_denial_by_the_application_passes_with_its_body_and_rotates_nothing(
    clock: Clock,
) -> None:
    spy = Spy()
    issuer = make_issuer(clock, store=spy)
    tokens = await issuer.issue("alice")
    clock.advance(3600)
    spy.calls.clear()
    start = {"type": "websocket.http.response.start", "status": 401, "headers": [(b"a", b"b")]}
    body = {"type": "websocket.http.response.body", "body": b"no"}

    sent = await talk(issuer, tokens, does(start, body), extensions=DENIAL)

    assert (sent[0]["status"], sent[0]["headers"][0], sent[1]) == (401, (b"a", b"b"), body)
    assert spy.count("replace") == 0


async def test_a_denial_by_the_application_never_carries_a_refresh_cookie(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    clock.advance(3600)
    start = {"type": "websocket.http.response.start", "status": 401, "headers": []}

    sent = await talk(issuer, tokens, does(start), extensions=DENIAL)

    assert not any(cookie.startswith(REFRESH.encode()) for cookie in set_cookies(sent))


async def test_a_reused_refresh_token_ends_the_session_in_a_handshake_too(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    stolen = await issuer.issue("alice")
    newer = stolen
    for _ in range(3):
        clock.advance(3600)
        newer = await issuer.refresh(newer.refresh_token)
    clock.advance(3600)

    sent = await talk(issuer, stolen)

    assert told(sent)["reason"] == "reused_token"
    assert await issuer.sessions("alice") == []


# --- other origins (AB-64) ------------------------------------------------------------------------

REFUSED = [
    (b"origin", b"https://evil.example"),
    (b"origin", b"https://sub.app.example"),
    (b"origin", b"https://app.example.evil.example"),
    (b"origin", b"https://app.example:8443"),
    (b"origin", b"null"),
    (b"origin", b""),
    (b"origin", b"https://app.example/"),
    (b"origin", b"https://app.example@evil.example"),
    (b"origin", b"\xff\xfe"),
    None,
]


@pytest.mark.parametrize("origin", REFUSED)
@pytest.mark.parametrize("cookie", [ACCESS, REFRESH])
async def test_a_handshake_of_another_origin_with_a_cookie_of_ours_is_closed(
    clock: Clock, origin: Any, cookie: str
) -> None:
    app = Recorder()
    issuer = make_issuer(clock, store=MemoryStore())
    headers = [cookie_line((cookie, "x"))] + ([origin] if origin else [])

    sent = await run(wrapped(issuer, app), websocket(headers=headers))

    assert [m["type"] for m in sent] == ["websocket.close"]
    assert app.runs == 0


@pytest.mark.parametrize("origin", REFUSED)
async def test_where_the_server_can_the_refusal_is_a_403_with_a_body(
    clock: Clock, origin: Any
) -> None:
    issuer = make_issuer(clock, store=MemoryStore())

    sent = await talk(
        issuer, await issuer.issue("alice"), Recorder(), origin=origin, extensions=DENIAL
    )

    assert [m["type"] for m in sent] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert sent[0]["status"] == 403
    assert b"trusted_origins" in sent[1]["body"]


async def test_the_close_of_a_refused_handshake_waits_for_the_connect(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    order: list[str] = []

    async def receive() -> Message:
        order.append("receive")
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        order.append(message["type"])

    headers = [both(await issuer.issue("alice"))]
    await wrapped(issuer, Recorder())(websocket(headers=headers), receive, send)

    assert order == ["receive", "websocket.close"]


@pytest.mark.parametrize("extensions", [{}, DENIAL])
async def test_a_refused_handshake_asks_no_store_and_sets_no_cookie(
    clock: Clock, extensions: Any
) -> None:
    spy = Spy()
    issuer = make_issuer(clock, store=spy)
    tokens = await issuer.issue("alice")
    clock.advance(3600)
    spy.calls.clear()

    sent = await talk(issuer, tokens, Recorder(), origin=None, extensions=extensions)

    assert (spy.calls, set_cookies(sent)) == ([], [])


async def test_a_refused_handshake_is_an_event(clock: Clock, events: list[Any]) -> None:
    issuer = make_issuer(clock, store=MemoryStore(), on_event=events.append)
    tokens = await issuer.issue("alice")

    await talk(issuer, tokens, Recorder(), origin=(b"origin", b"https://evil.example"))

    [event] = events[1:]
    assert event.name == "cross_origin"
    assert "https://evil.example" in event.detail


@pytest.mark.parametrize(
    "origin", [b"https://app.example", b"http://app.example", b"https://app.example:443"]
)
async def test_our_own_origin_is_fine(clock: Clock, origin: bytes) -> None:
    issuer = make_issuer(clock, store=MemoryStore())

    sent = await talk(issuer, await issuer.issue("alice"), origin=(b"origin", origin))

    assert told(sent)["subject"] == "alice"


async def test_a_trusted_origin_is_fine(clock: Clock) -> None:
    config = Config(trusted_origins=["https://front.example"])
    issuer = make_issuer(clock, store=MemoryStore(), config=config)

    sent = await talk(
        issuer, await issuer.issue("alice"), origin=(b"origin", b"https://front.example")
    )

    assert told(sent)["subject"] == "alice"


async def test_the_scheme_of_a_trusted_origin_counts(clock: Clock) -> None:
    config = Config(trusted_origins=["https://front.example"])
    issuer = make_issuer(clock, store=MemoryStore(), config=config)
    tokens = await issuer.issue("alice")

    sent = await talk(issuer, tokens, origin=(b"origin", b"http://front.example"))

    assert [m["type"] for m in sent] == ["websocket.close"]


@pytest.mark.parametrize("origin", [(b"origin", b"https://evil.example"), None])
async def test_allow_lets_every_origin_through(clock: Clock, origin: Any) -> None:
    issuer = make_issuer(clock, store=MemoryStore(), config=Config(cross_origin="allow"))

    sent = await talk(issuer, await issuer.issue("alice"), origin=origin)

    assert told(sent)["subject"] == "alice"


# --- intents --------------------------------------------------------------------------------------


async def test_login_raises(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())

    with pytest.raises(RuntimeError, match="WebSocket"):
        await talk(issuer, await issuer.issue("alice"), does(lambda auth: auth.login("bob")))


async def test_elevate_raises(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())

    with pytest.raises(RuntimeError):
        await talk(issuer, await issuer.issue("alice"), does(lambda auth: auth.elevate()))


@pytest.mark.parametrize(
    "answered",
    [
        ACCEPT,
        {"type": "websocket.close"},
        {"type": "websocket.http.response.start", "status": 403, "headers": []},
        None,
    ],
)
async def test_logout_ends_the_session_however_the_handshake_goes(
    clock: Clock, answered: Any
) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    steps = [dict(answered)] if answered else []

    await talk(issuer, tokens, does(lambda auth: auth.logout(), *steps), extensions=DENIAL)

    assert await issuer.sessions("alice") == []


async def test_logout_with_accept_deletes_both_cookies(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())

    sent = await talk(
        issuer, await issuer.issue("alice"), does(lambda auth: auth.logout(), dict(ACCEPT))
    )

    assert sorted(cookie.partition(b";")[0] for cookie in set_cookies(sent)) == [
        b"__Host-access=",
        b"__Host-refresh=",
    ]


async def test_logout_before_spec_version_2_1_ends_the_session_without_headers(
    clock: Clock,
) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    app = does(lambda auth: auth.logout(), {"type": "websocket.accept"})

    sent = await talk(issuer, await issuer.issue("alice"), app, asgi={"version": "3.0"})

    assert set_cookies(sent) == []
    assert await issuer.sessions("alice") == []


async def test_logout_after_accept_raises_and_names_revoke(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    app = does(dict(ACCEPT), lambda auth: auth.logout())

    with pytest.raises(RuntimeError, match=r"issuer\.revoke\(auth\.session_id\)"):
        await talk(issuer, await issuer.issue("alice"), app)


async def test_logout_with_the_store_away_closes_in_place_of_accept(clock: Clock) -> None:
    spy = Spy()
    issuer = make_issuer(clock, store=spy)
    tokens = await issuer.issue("alice")
    spy.broken.add("revoke")
    text = {"type": "websocket.send", "text": "x"}

    sent = await talk(issuer, tokens, does(lambda auth: auth.logout(), dict(ACCEPT), text))

    assert sent == [{"type": "websocket.close", "code": 1013}]


async def test_a_cookie_the_application_deletes_on_accept_ends_the_session(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    deletion = (b"set-cookie", f"{ACCESS}=; Max-Age=0; Path=/; Secure".encode())
    accept = {"type": "websocket.accept", "headers": [deletion]}

    await talk(issuer, await issuer.issue("alice"), does(accept))

    assert await issuer.sessions("alice") == []


# --- dependencies ---------------------------------------------------------------------------------


def fastapi() -> FastAPI:
    app = FastAPI()

    @app.websocket("/ws")
    async def ws(websocket: WebSocket, auth: Annotated[Auth, Depends(require_auth)]) -> None:
        await websocket.accept()
        await websocket.send_text(json.dumps({"subject": auth.subject}))

    @app.websocket("/any")
    async def anybody(websocket: WebSocket, auth: Annotated[Auth, Depends(get_auth)]) -> None:
        await websocket.accept()
        await websocket.send_text(json.dumps({"subject": auth.subject}))

    return app


async def test_require_auth_closes_an_anonymous_websocket_with_1008(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())

    sent = await run(wrapped(issuer, fastapi()), websocket(query_string=b""))

    assert [(m["type"], m.get("code")) for m in sent] == [("websocket.close", 1008)]


async def test_require_auth_lets_a_signed_in_websocket_in(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())

    sent = await talk(issuer, await issuer.issue("alice"), fastapi())

    assert told(sent) == {"subject": "alice"}


async def test_get_auth_lets_an_anonymous_websocket_in(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())

    sent = await run(wrapped(issuer, fastapi()), websocket("/any"))

    assert told(sent) == {"subject": None}


async def test_a_handshake_to_an_endpoints_path_never_reaches_the_application(
    clock: Clock,
) -> None:

    app = Recorder()
    issuer = make_issuer(clock, store=MemoryStore())
    middleware = wrapped(issuer, app, endpoints={"/ws": RefreshEndpoint(issuer)})

    sent = await run(middleware, websocket())

    assert ([m["type"] for m in sent], app.runs) == (["websocket.close"], 0)


async def test_always_revoked_shows_at_the_handshake(clock: Clock) -> None:
    config = Config(revocation="always", revocation_poll=timedelta(seconds=1))
    store = MemoryStore()
    issuer, other = (make_issuer(clock, store=store, config=config) for _ in range(2))
    tokens = await issuer.issue("alice")
    await talk(issuer, tokens)
    await other.revoke(tokens.session_id)

    assert told(await talk(issuer, tokens))["subject"] is None


async def test_an_http_answer_in_between_is_not_confused(clock: Clock) -> None:
    """The same middleware serves both kinds, and a handshake leaves no mark on the next request."""
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    clock.advance(3600)
    middleware = wrapped(issuer, whoami)
    await run(middleware, websocket(headers=[both(tokens), ORIGIN]))

    sent = await run(middleware, http(headers=[both(tokens)]))

    assert len(set_cookies(sent)) == 2
