"""Message hygiene: what is not ours to touch is not touched, whatever shape it has."""

from __future__ import annotations

import contextvars
import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from asgi_refresh import Auth, Config, Event, MemoryStore, RefreshMiddleware
from tests.hostile.tools import (
    ACCESS,
    FOREIGN,
    REFRESH,
    Recorder,
    both,
    browser,
    cookie_line,
    fill,
    http,
    jar,
    run,
    said,
    set_cookies,
    teller,
    websocket,
    wrapped,
)
from tests.support import Clock, Spy, answer, describe, make_issuer

pytestmark = pytest.mark.anyio

PLAIN = [(b"content-type", b"text/html"), (b"x-app", b"1")]
SHAPES: dict[str, Callable[[list[tuple[bytes, bytes]]], Any]] = {
    "list": list,
    "tuple": tuple,
    "generator": iter,
    "list of lists": lambda pairs: [list(pair) for pair in pairs],
    "tuple of lists": lambda pairs: tuple(list(pair) for pair in pairs),
}
UNTOUCHED = [
    {"type": "http.response.body", "body": b"x", "more_body": False},
    {
        "type": "http.response.trailers",
        "headers": [(b"set-cookie", b"x=1")],
        "more_trailers": False,
    },
    {"type": "http.response.pathsend", "path": "/tmp/x"},
    {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]},
    {"type": "http.response.push", "path": "/a.css", "headers": [(b"a", b"b")]},
    {"type": "http.response.zerocopysend", "file": 3},
    {"type": "http.response.debug", "info": {"template": "x"}},
    {"type": "something.else", "headers": ((b"set-cookie", b"x=1"),)},
]


def sender(*messages: dict[str, Any], read: bool = False) -> Any:
    """An application that sends exactly *messages*, after having read `auth` if *read*."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if read:
            assert Auth.of(scope).subject in ("alice", None)
        for message in messages:
            await send(message)

    return app


def start(**more: Any) -> dict[str, Any]:
    return {"type": "http.response.start", "status": 200} | more


async def due(clock: Clock, app: Any, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
    """A middleware in front of *app*, and a request to it whose access token has run out."""
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    clock.advance(3600)
    return wrapped(issuer, app, **kwargs), http(headers=[both(tokens)])


async def warm(clock: Clock, app: Any) -> tuple[Any, dict[str, Any]]:
    """A middleware in front of *app*, and a request to it whose access token it has seen before."""
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    await issuer.authenticate(tokens.access_token)
    return wrapped(issuer, app), http(headers=[both(tokens)])


# --- request headers ----------------------------------------------------------------------------


@pytest.mark.parametrize("scope", [http(), websocket()], ids=["http", "websocket"])
async def test_a_request_without_any_is_anonymous(clock: Clock, scope: dict[str, Any]) -> None:
    """ASGI asks for them, and other people's tests call an application without (Starlette's do)."""
    del scope["headers"]
    recorder = Recorder()

    await run(wrapped(make_issuer(clock, store=MemoryStore()), recorder), scope)

    assert (recorder.runs, recorder.subject) == (1, None)


async def test_what_can_be_read_once_is_still_there_for_the_application(clock: Clock) -> None:
    """Of `headers`, each pair of them and `client` ASGI says that they are iterable, no more."""
    told: list[Event] = []
    issuer = make_issuer(clock, store=MemoryStore(), on_event=told.append)
    scope = http(headers=[(b"x-app", b"1"), both(await issuer.issue("alice"))])
    wanted = list(scope["headers"])
    scope |= {"headers": map(iter, wanted), "client": iter(scope["client"])}
    clock.advance(3600)
    recorder = Recorder()

    await run(wrapped(issuer, recorder), scope)

    assert recorder.subject == "alice"
    assert [tuple(pair) for pair in recorder.seen["headers"]][:2] == wanted[:2]
    assert tuple(recorder.seen["client"]) == ("192.0.2.7", 51234)
    assert [event.client.address for event in told if event.client] == ["192.0.2.7"]


# --- response headers ---------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
async def test_response_headers_of_any_shape_keep_their_content(clock: Clock, shape: str) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    app = sender(start(headers=SHAPES[shape](PLAIN)))

    [message] = await run(wrapped(issuer, app), http())

    assert [(bytes(n), bytes(v)) for n, v in message["headers"]] == PLAIN


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_refresh_adds_to_response_headers_of_any_shape(clock: Clock, shape: str) -> None:
    app, scope = await due(clock, sender(start(headers=SHAPES[shape](PLAIN))))

    [message] = await run(app, scope)

    assert [(bytes(n), bytes(v)) for n, v in message["headers"]][:2] == PLAIN
    assert len(set_cookies([message])) == 2


@pytest.mark.parametrize("shape", SHAPES)
async def test_reading_auth_adds_vary_to_headers_of_any_shape(clock: Clock, shape: str) -> None:
    app, scope = await warm(clock, sender(start(headers=SHAPES[shape](PLAIN)), read=True))

    [message] = await run(app, scope)

    assert [(bytes(n), bytes(v)) for n, v in message["headers"]] == [
        *PLAIN,
        (b"vary", b"Cookie, Authorization"),
    ]


async def test_a_start_without_headers_gets_the_cookies_of_a_refresh(clock: Clock) -> None:
    app, scope = await due(clock, sender(start()))

    assert len(set_cookies(await run(app, scope))) == 2


@pytest.mark.parametrize("read", [True, False])
async def test_a_start_without_headers_stays_sound(clock: Clock, read: bool) -> None:
    app, scope = await warm(clock, sender(start(), read=read))

    [message] = await run(app, scope)

    assert list(message.get("headers", [])) == (
        [(b"vary", b"Cookie, Authorization")] if read else []
    )


@pytest.mark.parametrize("way", [warm, due])
@pytest.mark.parametrize("shape", ["list", "tuple", "list of lists"])
async def test_the_applications_own_message_is_never_mutated(
    clock: Clock, way: Any, shape: str
) -> None:
    headers = SHAPES[shape]([*PLAIN, (b"vary", b"Accept"), (b"set-cookie", b"theme=dark")])
    mine = start(headers=headers)
    app, scope = await way(clock, sender(mine, read=True))

    await run(app, scope)

    assert mine == start(headers=headers)
    assert headers == SHAPES[shape]([*PLAIN, (b"vary", b"Accept"), (b"set-cookie", b"theme=dark")])


@pytest.mark.parametrize("way", [warm, due])
async def test_keys_of_the_start_that_are_not_ours_survive(clock: Clock, way: Any) -> None:
    app, scope = await way(clock, sender(start(headers=PLAIN, trailers=True, x=1), read=True))

    [message] = await run(app, scope)

    assert (message["trailers"], message["x"], message["status"]) == (True, 1, 200)


@pytest.mark.parametrize("headers", [PLAIN, []])
@pytest.mark.parametrize("known", [True, False])
async def test_a_start_with_nothing_due_passes_by_identity(
    clock: Clock, headers: Any, known: bool
) -> None:
    mine = start(headers=headers)
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    scope = http(headers=[both(tokens)] if known else [])

    [message] = await run(wrapped(issuer, sender(mine)), scope)

    assert message is mine


async def test_the_set_cookies_of_the_application_stay_as_they_are(clock: Clock) -> None:
    own = [(b"set-cookie", b"a=1; Path=/"), (b"Set-Cookie", b"b=2")]
    app, scope = await due(clock, sender(start(headers=own)))

    [message] = await run(app, scope)

    assert [pair for pair in message["headers"] if pair in own] == own


@pytest.mark.parametrize("way", [warm, due])
@pytest.mark.parametrize("index", range(len(UNTOUCHED)))
async def test_every_other_message_passes_by_identity(clock: Clock, way: Any, index: int) -> None:
    mine = UNTOUCHED[index]
    app, scope = await way(clock, sender(start(headers=[]), mine, read=True))

    assert (await run(app, scope))[1] is mine


@pytest.mark.parametrize("index", [3, 4, 6])
async def test_a_message_before_the_start_passes_by_identity_and_settles_nothing(
    clock: Clock, index: int
) -> None:
    mine = UNTOUCHED[index]
    app, scope = await due(clock, sender(mine, start(headers=[])))

    sent = await run(app, scope)

    assert sent[0] is mine
    assert len(set_cookies(sent[1:])) == 2


async def test_an_interim_response_settles_nothing_and_the_final_one_gets_the_cookies(
    clock: Clock,
) -> None:
    interim = start(status=103, headers=[(b"link", b"</a.css>")])
    app, scope = await due(clock, sender(interim, start(headers=[])))

    sent = await run(app, scope)

    assert sent[0] is interim
    assert len(set_cookies(sent[1:])) == 2


async def test_an_interim_response_passes_by_identity_and_the_final_one_varies(
    clock: Clock,
) -> None:
    interim = start(status=103, headers=[(b"link", b"</a.css>")])
    app, scope = await warm(clock, sender(interim, start(headers=[]), read=True))

    sent = await run(app, scope)

    assert sent[0] is interim
    assert sent[1]["headers"] == [(b"vary", b"Cookie, Authorization")]


# --- starts that come oddly -----------------------------------------------------------------------


async def test_a_second_start_passes_untouched_and_carries_no_cookies(clock: Clock) -> None:
    second = start(headers=[])
    app, scope = await due(clock, sender(start(headers=[]), second))

    sent = await run(app, scope)

    assert sent[1] is second
    assert len(set_cookies(sent)) == 2


async def test_a_second_start_rotates_nothing_more(clock: Clock) -> None:
    events: list[Any] = []
    issuer = make_issuer(clock, store=MemoryStore(), on_event=events.append)
    tokens = await issuer.issue("alice")
    clock.advance(3600)

    await run(
        wrapped(issuer, sender(start(headers=[]), start(headers=[]))), http(headers=[both(tokens)])
    )

    assert [event.name for event in events] == ["issued", "refreshed"]


async def test_a_second_start_that_deletes_our_cookie_ends_no_session(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    deletion = start(headers=[(b"set-cookie", f"{ACCESS}=; Max-Age=0".encode())])

    await run(wrapped(issuer, sender(start(headers=[]), deletion)), http(headers=[both(tokens)]))

    assert await issuer.sessions("alice") != []


@pytest.mark.parametrize("way", [warm, due])
async def test_an_application_that_never_answers_sends_nothing(clock: Clock, way: Any) -> None:
    app, scope = await way(clock, sender(read=True))

    assert await run(app, scope) == []


async def test_an_application_that_never_answers_rotates_nothing(clock: Clock) -> None:
    store = MemoryStore()
    issuer = make_issuer(clock, store=store)
    tokens = await issuer.issue("alice")
    clock.advance(3600)

    await run(wrapped(issuer, sender(read=True)), http(headers=[both(tokens)]))

    session = await store.get(tokens.session_id)
    assert session is not None
    assert session.version == 1


async def test_a_body_without_a_start_passes_by_identity(clock: Clock) -> None:
    app, scope = await due(clock, sender(UNTOUCHED[0]))

    [message] = await run(app, scope)

    assert message is UNTOUCHED[0]


async def test_a_start_after_the_client_left_is_answered_like_any_other(clock: Clock) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "http.disconnect"
        await send(start(headers=[]))

    middleware, scope = await due(clock, app)

    assert len(set_cookies(await run(middleware, scope, inbox=[]))) == 2


async def test_a_start_after_the_application_returned_passes_by_identity(clock: Clock) -> None:
    late: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        late.append(send)

    middleware, scope = await due(clock, app)
    received: list[Any] = []

    async def send(message: Any) -> None:
        received.append(message)

    await middleware(scope, None, send)
    mine = start(headers=[])
    await late[0](mine)

    assert received == [mine]
    assert received[0] is mine


async def test_what_the_servers_send_raises_reaches_the_application(clock: Clock) -> None:
    caught: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await send(start(headers=[]))
        except OSError as error:
            caught.append(error)

    async def gone(message: Any) -> None:
        raise error

    error = OSError("client gone")
    middleware, scope = await due(clock, app)
    await middleware(scope, None, gone)

    assert caught == [error]


# --- the application runs once, and its errors are its own ----------------------------------------


@pytest.mark.parametrize(
    "headers", [[], [cookie_line((ACCESS, "garbage"))], [cookie_line((REFRESH, "a.1.b"))]]
)
async def test_the_application_runs_exactly_once(clock: Clock, headers: Any) -> None:
    app = Recorder()

    await run(wrapped(make_issuer(clock, store=MemoryStore()), app), http(headers=headers))

    assert app.runs == 1


@pytest.mark.parametrize("known", [True, False])
async def test_the_application_runs_exactly_once_for_a_good_cookie(
    clock: Clock, known: bool
) -> None:
    app = Recorder()
    middleware, scope = await (warm if known else due)(clock, app)

    await run(middleware, scope)

    assert app.runs == 1


@pytest.mark.parametrize("extensions", [{}, {"websocket.http.response": {}}])
async def test_the_application_never_runs_for_a_refused_websocket(
    clock: Clock, extensions: Any
) -> None:
    app = Recorder()
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")

    await run(wrapped(issuer, app), websocket(headers=[both(tokens)], extensions=extensions))

    assert app.runs == 0


async def test_the_application_never_runs_for_a_refused_request(clock: Clock) -> None:
    app = Recorder()
    issuer = make_issuer(clock, store=MemoryStore())
    client = fill(browser(issuer, clock, app), await issuer.issue("alice"))

    await client.post("/", headers=[FOREIGN])

    assert app.runs == 0


@pytest.mark.parametrize("way", [warm, due])
@pytest.mark.parametrize("kind", [ValueError, SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("after", [0, 1])
async def test_the_applications_exception_comes_through_unchanged(
    clock: Clock, way: Any, kind: type[BaseException], after: int
) -> None:
    error = kind("mine")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if after:
            await send(start(headers=[]))
        raise error

    middleware, scope = await way(clock, app)
    with pytest.raises(kind) as caught:
        await run(middleware, scope)

    assert caught.value is error


@pytest.mark.parametrize("broken", [True, False])
async def test_the_exception_after_a_logout_comes_through_unchanged(
    clock: Clock, broken: bool
) -> None:
    spy = Spy()
    issuer = make_issuer(clock, store=spy)
    tokens = await issuer.issue("alice")
    error = ValueError("mine")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        Auth.of(scope).logout()
        if broken:
            spy.broken = {"*"}
        raise error

    with pytest.raises(ValueError, match="mine") as caught:
        await run(wrapped(issuer, app), http(headers=[both(tokens)]))

    assert caught.value is error


@pytest.mark.parametrize("way", [warm, due])
async def test_a_context_variable_set_by_the_application_is_seen_outside(
    clock: Clock, way: Any
) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        variable.set(7)
        await answer(send)

    middleware, scope = await way(clock, app)
    await run(middleware, scope)

    assert variable.get() == 7


# --- the scope ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lifespan", "webtransport", "http2", ""])
async def test_other_scope_types_pass_untouched(clock: Clock, kind: str) -> None:
    seen: list[Any] = []

    async def app(*given: Any) -> None:
        seen.append(given)

    async def receive() -> Any: ...
    async def send(message: Any) -> None: ...

    scope = {"type": kind}
    middleware = wrapped(
        make_issuer(clock, store=MemoryStore()), app, endpoints={"/refresh": teller}
    )
    await middleware(scope, receive, send)

    assert all(a is b for a, b in zip(seen[0], (scope, receive, send), strict=True))
    assert scope == {"type": kind}


@pytest.mark.parametrize("way", [warm, due])
async def test_the_application_gets_the_very_scope_and_receive(clock: Clock, way: Any) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend([scope, receive])
        await answer(send)

    async def receive() -> Any: ...
    async def send(message: Any) -> None: ...

    middleware, scope = await way(clock, app)
    await middleware(scope, receive, send)

    assert seen[0] is scope
    assert seen[1] is receive


@pytest.mark.parametrize("way", [warm, due])
@pytest.mark.parametrize("starlette", [True, False])
async def test_only_our_keys_of_the_scope_change(clock: Clock, way: Any, starlette: bool) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    if way is due:
        clock.advance(3600)
    scope = http(headers=[both(tokens)], state={"db": 1}, extensions={"x": {}})
    before = dict(scope)

    await run(wrapped(issuer, Recorder(), starlette=starlette), scope)

    changed = {key for key in scope if scope[key] is not before.get(key)}
    ours = {"asgi_refresh", "auth", "user"} if starlette else {"asgi_refresh"}
    assert changed == ours | ({"headers"} if way is due else set())


async def test_a_refresh_replaces_the_request_headers_and_mutates_nothing(clock: Clock) -> None:
    middleware, scope = await due(clock, Recorder())
    headers = scope["headers"]
    before = list(headers)

    await run(middleware, scope)

    assert headers == before
    assert scope["headers"] is not headers


async def test_a_telemetry_outside_sees_the_route(clock: Clock) -> None:
    async def me(request: Any) -> PlainTextResponse:
        return PlainTextResponse("")

    middleware, scope = await due(clock, Starlette(routes=[Route("/", me)]))

    await run(middleware, scope)

    assert scope["endpoint"] is me


async def test_a_telemetry_outside_sees_the_root_path_of_a_mount(clock: Clock) -> None:
    app = Starlette(routes=[Mount("/sub", routes=[Route("/x", Recorder())])])
    middleware, scope = await due(clock, app)
    scope["path"] = "/sub/x"

    await run(middleware, scope)

    assert scope["root_path"] == "/sub"


# --- request headers ------------------------------------------------------------------------------

REQUEST_SHAPES = {
    "list": list,
    "tuple": tuple,
    "list of lists": lambda pairs: [list(pair) for pair in pairs],
    "generator": iter,
}


async def shaped(clock: Clock, shape: str, *, wait: float, known: bool = False) -> Any:
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    if known:
        await issuer.authenticate(tokens.access_token)
    clock.advance(wait)
    scope = http(headers=())
    pairs = [(b"host", b"app.example"), (b"x-app", b"1"), both(tokens)]
    scope["headers"] = REQUEST_SHAPES[shape](pairs)
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        pairs = [(bytes(n), bytes(v)) for n, v in scope["headers"]]
        seen.append((Auth.of(scope).subject, pairs))
        await answer(send)

    sent = await run(wrapped(issuer, app), scope)
    return tokens, seen[0], sent


@pytest.mark.parametrize("shape", REQUEST_SHAPES)
@pytest.mark.parametrize("wait", [0, 3600])
@pytest.mark.parametrize("known", [True, False])
async def test_request_headers_of_any_shape_sign_in(
    clock: Clock, shape: str, wait: float, known: bool
) -> None:
    _, (subject, _), _ = await shaped(clock, shape, wait=wait, known=known)

    assert subject == "alice"


@pytest.mark.parametrize("shape", REQUEST_SHAPES)
@pytest.mark.parametrize("known", [True, False])
async def test_the_application_reads_request_headers_of_any_shape(
    clock: Clock, shape: str, known: bool
) -> None:
    tokens, (_, pairs), _ = await shaped(clock, shape, wait=0, known=known)

    assert pairs == [(b"host", b"app.example"), (b"x-app", b"1"), both(tokens)]


async def test_request_headers_that_say_nothing_wrong_are_the_very_ones(clock: Clock) -> None:
    scope = http(headers=[cookie_line(("theme", "dark")), (b"authorization", b"Basic x")])
    headers = scope["headers"]

    await run(wrapped(make_issuer(clock, store=MemoryStore())), scope)

    assert scope["headers"] is headers


@pytest.mark.parametrize("shape", REQUEST_SHAPES)
async def test_after_a_refresh_the_application_still_reads_all_other_headers(
    clock: Clock, shape: str
) -> None:
    _, (_, pairs), _ = await shaped(clock, shape, wait=3600)

    assert pairs[:2] == [(b"host", b"app.example"), (b"x-app", b"1")]


@pytest.mark.parametrize("shape", REQUEST_SHAPES)
async def test_a_logout_with_request_headers_of_any_shape_ends_the_session(
    clock: Clock, shape: str
) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    scope = http("/logout")
    scope["headers"] = REQUEST_SHAPES[shape]([both(tokens)])

    await run(wrapped(issuer, Recorder()), scope)

    assert await issuer.sessions("alice") == []


@pytest.mark.parametrize("name", [b"cookie", b"Cookie", b"COOKIE", b"cOOkie"])
@pytest.mark.parametrize("wait", [0, 3600])
async def test_the_cookie_header_is_found_whatever_its_case(
    clock: Clock, name: bytes, wait: float
) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    clock.advance(wait)

    told, _ = await said(wrapped(issuer), (name, both(tokens)[1]))

    assert told["subject"] == "alice"


@pytest.mark.parametrize("wait", [0, 3600])
async def test_cookie_headers_that_http2_split_are_read_as_one(clock: Clock, wait: float) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    clock.advance(wait)
    halves = [cookie_line(pair) for pair in [("a", "1"), *jar(tokens).items(), ("b", "2")]]

    told, _ = await said(wrapped(issuer), *halves)

    assert told["subject"] == "alice"


async def test_after_a_refresh_one_cookie_header_holds_the_new_token_and_all_others(
    clock: Clock,
) -> None:
    issuer, app = make_issuer(clock, store=MemoryStore()), Recorder()
    tokens = await issuer.issue("alice")
    clock.advance(3600)
    rest = [cookie_line(pair) for pair in jar(tokens).items()]
    halves = [(b"Cookie", b"a=1"), (b"COOKIE", b"b=2"), *rest]

    cookies = set_cookies(await run(wrapped(issuer, app), http(headers=halves)))

    [header] = [value for name, value in app.seen["headers"] if name.lower() == b"cookie"]
    fresh = cookies[0].partition(b";")[0]
    assert header.split(b"; ") == [b"a=1", b"b=2", rest[1][1], fresh]


@pytest.mark.parametrize(
    "name", [b"authorization", b"Authorization", b"AUTHORIZATION", b"aUTHORIZATION"]
)
async def test_a_good_bearer_wins_whatever_the_case_of_its_header_and_however_warm_the_cookie(
    clock: Clock, name: bytes
) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    alice, bob = await issuer.issue("alice"), await issuer.issue("bob")
    app = wrapped(issuer)
    await said(app, both(alice))

    told, _ = await said(app, both(alice), (name, f"Bearer {bob.access_token}".encode()))

    assert (told["subject"], told["via"]) == ("bob", "bearer")


@pytest.mark.parametrize("name", [b"cookie", b"Cookie", b"COOKIE", b"cOOkie"])
async def test_a_second_cookie_header_counts_whatever_its_case_and_however_warm_the_first(
    clock: Clock, name: bytes
) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    alice, bob = await issuer.issue("alice"), await issuer.issue("bob")
    app = wrapped(issuer)
    await said(app, both(alice))

    told, _ = await said(app, both(alice), (name, cookie_line((ACCESS, bob.access_token))[1]))

    assert told["reason"] == "ambiguous_cookies"


@pytest.mark.parametrize(
    "name", [b"sec-fetch-site", b"Sec-Fetch-Site", b"SEC-FETCH-SITE", b"Sec-fetch-site"]
)
async def test_a_second_fetch_site_header_counts_whatever_its_case_and_however_warm_the_cookie(
    clock: Clock, name: bytes
) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    alice = await issuer.issue("alice")
    app = wrapped(issuer)
    await said(app, both(alice))
    headers = [both(alice), (b"sec-fetch-site", b"same-origin"), (name, b"cross-site")]

    [first, *_] = await run(app, http(method="POST", headers=headers))

    assert first["status"] == 403


@pytest.mark.parametrize(
    ("name", "value"), [(b"Origin", b"https://app.example"), (b"Host", b"app.example")]
)
@pytest.mark.parametrize(("times", "status"), [(1, 200), (2, 403)])
async def test_a_header_that_says_where_from_comes_once(
    clock: Clock, name: bytes, value: bytes, times: int, status: int
) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    alice = await issuer.issue("alice")
    app = wrapped(issuer)
    await said(app, both(alice))
    scope = http(method="POST")
    scope["headers"] = [both(alice), (b"sec-fetch-site", b"same-origin"), *[(name, value)] * times]

    [first, *_] = await run(app, scope)

    assert first["status"] == status


async def test_a_request_without_a_client_or_an_extensions_key_is_served(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    scope = http(headers=[cookie_line((REFRESH, "x.1.y"))], client=None)
    del scope["asgi"], scope["root_path"], scope["server"]

    sent = await run(wrapped(issuer), scope)

    assert json.loads(sent[1]["body"])["reason"] == "invalid_token"


@pytest.mark.parametrize("path", ["/", "/exempt", "/excluded"])
async def test_without_a_root_path_a_path_is_the_whole_one(clock: Clock, path: str) -> None:
    config = Config(cross_origin_exempt=["/exempt"], exclude=["/excluded"])
    issuer = make_issuer(clock, store=MemoryStore(), config=config)
    app = Recorder()
    scope = http(path, headers=[both(await issuer.issue("alice"))])
    clock.advance(3600)
    del scope["root_path"]

    if path == "/excluded":
        with pytest.raises(LookupError):
            await run(wrapped(issuer, app), scope)
    else:
        await run(wrapped(issuer, app), scope)
        assert (app.subject, app.reason) == (
            ("alice", None) if path == "/" else (None, "exempt_path")
        )


async def test_auth_is_shown_where_starlette_looks(clock: Clock) -> None:
    middleware, scope = await due(clock, Recorder())

    await run(middleware, scope)

    assert scope["auth"] is scope["user"] is scope["asgi_refresh"]


async def test_the_description_of_a_request_does_not_depend_on_the_way_it_took(
    clock: Clock,
) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    tokens = await issuer.issue("alice")
    cold, warm_one = [], []

    def keeper(where: list[Any]) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            where.append(describe(Auth.of(scope), scope))
            await answer(send)

        return app

    await run(RefreshMiddleware(keeper(cold), issuer), http(headers=[both(tokens)]))
    await run(RefreshMiddleware(keeper(warm_one), issuer), http(headers=[both(tokens)]))

    assert cold == warm_one
