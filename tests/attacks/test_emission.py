"""
Abuse cases AB-41 … AB-50: what goes out with a response, whatever the application makes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import MappingProxyType
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from asgi_refresh import Auth, RefreshMiddleware
from tests.attacks.places import ENDPOINT, OWN, Header, Outcome, Site
from tests.blackbox.helpers import HOUR
from tests.hostile.tools import http, run, set_cookies
from tests.support import Browser, Clock, Message, answer, whoami

pytestmark = pytest.mark.anyio

both_modes = pytest.mark.parametrize("stored", [True, False], ids=["rotating", "stateless"])
NAVIGATION = ((b"sec-fetch-mode", b"navigate"), (b"sec-fetch-dest", b"document"))
ACCESS, REFRESH = "__Host-access", "__Host-refresh"
ACTIONS: dict[str, Callable[[Auth], object]] = {
    "refresh": lambda _auth: None,
    "refresh, read": lambda auth: auth.subject,
    "login": lambda auth: auth.login("bob"),
    "logout": lambda auth: auth.logout(),
}


def site_of(clock: Clock, stored: bool, app: Any) -> Site:
    return Site(clock, app, store=... if stored else None)


async def due(site: Site) -> Header:
    """The cookies of a session of an hour ago: a refresh is due."""
    tokens = await site.issue()
    site.clock.advance(HOUR)
    return site.cookies((site.access, tokens.access_token), (site.refresh, tokens.refresh_token))


def answering(
    *headers: Header, status: int = 200, act: Callable[[Auth], object] = lambda _auth: None
) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        act(Auth.of(scope))
        await answer(send, status, b"", headers)

    return app


def sending(*messages: Message) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    return app


def start(**more: Any) -> Message:
    return {"type": "http.response.start", "status": 200, "headers": []} | more


def names(lines: Iterable[str | bytes]) -> list[str]:
    texts = [line if isinstance(line, str) else line.decode() for line in lines]
    return sorted(text.partition("=")[0].strip() for text in texts)


def is_kept_by_nobody(outcome: Outcome) -> bool:
    return outcome.header("cache-control") == ["private, no-store"]


@pytest.mark.parametrize("header", [b"set-cookie", b"Set-Cookie", b"SET-COOKIE"])
@pytest.mark.parametrize("action", ACTIONS)
@both_modes
async def test_AB_41_a_cookie_that_the_application_sets_is_the_applications(
    clock: Clock, header: bytes, action: str, stored: bool
) -> None:
    for mine in (ACCESS, REFRESH):
        for value in (b"=mine; Path=/; Secure", b" = mine ; Path=/", b"=mine"):
            own = mine.encode() + value
            site = site_of(clock, stored, answering((header, own), act=ACTIONS[action]))

            outcome = await site.http(await due(site))

            assert own.decode() in outcome.set_cookies
            assert names(outcome.set_cookies).count(mine) == 1
            sent = names(outcome.set_cookies)
            assert len(set(sent)) == len(sent)
            assert is_kept_by_nobody(outcome)


async def test_AB_41_a_refresh_token_that_would_get_lost_is_not_rotated(clock: Clock) -> None:
    own = (b"set-cookie", REFRESH.encode() + b"=mine; Path=/; Secure")
    site = site_of(clock, True, answering(own))

    outcome = await site.http(await due(site))

    assert (names(outcome.set_cookies), outcome.writes) == ([ACCESS, REFRESH], [])


async def test_AB_41_both_of_them_leave_nothing_to_add(clock: Clock) -> None:
    own = [(b"set-cookie", f"{name}=mine".encode()) for name in (ACCESS, REFRESH)]
    site = site_of(clock, True, answering(*own))

    outcome = await site.http(await due(site))

    assert outcome.headers[:2] == own
    assert outcome.set_cookies == [f"{name}=mine" for name in (ACCESS, REFRESH)]


DELETIONS = [b"%b=; Max-Age=0; Path=/; Secure", b"%b=x; max-age=-1", b" %b =; MAX-AGE = 0 ",
             b"%b=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/"]  # fmt: skip


@both_modes
@pytest.mark.parametrize("how", ["logout()", *range(len(DELETIONS))], ids=str)
@pytest.mark.parametrize("mine", [ACCESS, REFRESH])
async def test_AB_42_who_signs_out_during_a_refresh_is_signed_out(
    clock: Clock, stored: bool, how: Any, mine: str
) -> None:
    """
    DESIGN §8: the application that deletes one of our cookies has called `logout()`.

    A browser may not even understand its deletion (a prefixed name without Secure): then what it
    still sends is of an ended session, or the tombstone names it.
    """
    out = answering(act=lambda auth: auth.logout())
    if how != "logout()":
        out = answering((b"set-cookie", DELETIONS[how] % mine.encode()))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await (out if scope["path"] == "/out" else whoami)(scope, receive, send)

    site = site_of(clock, stored, app)
    tokens = await site.issue()
    browser = Browser(site.app, clock)
    browser.put(ACCESS, tokens.access_token)
    browser.put(REFRESH, tokens.refresh_token)
    clock.advance(HOUR)
    site.forget()

    response = await browser.get("/out")

    other = REFRESH if mine == ACCESS else ACCESS
    assert {ACCESS, REFRESH} <= set(names(response.set_cookies))
    assert other not in browser.values()
    assert [event.name for event in site.events].count("revoked") == 1
    told = (await browser.get("/")).json()
    assert (told["subject"], told["payload"]) == (None, None)
    if stored:
        assert await site.issuer.sessions("alice") == []
        (await site.http(site.cookies((REFRESH, tokens.refresh_token)))).nobody(
            reason="session_ended"
        )


@both_modes
@pytest.mark.parametrize("error", [RuntimeError, KeyError, BaseExceptionGroup])
async def test_AB_43_an_application_that_raises_has_rotated_nothing(
    clock: Clock, stored: bool, error: Any
) -> None:
    raised = error("x", [ValueError()]) if error is BaseExceptionGroup else error("x")
    broken = True

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert Auth.of(scope).subject == "alice"
        if broken:
            raise raised
        await answer(send)

    site = site_of(clock, stored, app)
    cookies = await due(site)
    sent: list[Message] = []
    for _ in range(3):
        with pytest.raises(error) as caught:
            sent += await run(site.app, http(headers=[cookies]))
        assert caught.value is raised
    broken = False

    assert (sent, site.writes()) == ([], [])
    assert names((await site.http(cookies)).set_cookies)[:1] == [ACCESS]


@both_modes
async def test_AB_43_the_500_of_the_server_carries_no_cookie(clock: Clock, stored: bool) -> None:
    """And a login that was recorded before is none: nothing of it is in the store."""

    async def fails(request: Any) -> Any:
        request.auth.login("bob")
        raise RuntimeError

    site = site_of(clock, stored, None)
    app = Starlette(
        routes=[Route("/", fails)], middleware=[Middleware(RefreshMiddleware, issuer=site.issuer)]
    )
    cookies = await due(site)
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    with pytest.raises(RuntimeError):
        await app(http(headers=[cookies]), receive, send)

    assert [message.get("status") for message in sent] == [500, None]
    assert (set_cookies(sent), site.writes()) == ([], [])


async def test_AB_43_a_logout_is_one_even_so(clock: Clock) -> None:
    """DESIGN §2: it always reaches the store."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        Auth.of(scope).logout()
        raise RuntimeError

    site = site_of(clock, True, app)
    cookies = await due(site)
    with pytest.raises(RuntimeError):
        await run(site.app, http(headers=[cookies]))

    assert await site.issuer.sessions("alice") == []


@both_modes
@pytest.mark.parametrize("action", ACTIONS)
async def test_AB_44_a_second_start_carries_nothing(
    clock: Clock, stored: bool, action: str
) -> None:
    """What the server makes of it is the server's; it passes by identity, and writes nothing."""
    second = start(status=500)
    messages = [start(), {"type": "http.response.body"}, second, {"type": "http.response.body"}]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ACTIONS[action](Auth.of(scope))
        for message in messages:
            await send(message)

    site = site_of(clock, stored, app)
    cookies = await due(site)
    site.forget()

    sent = await run(site.app, http(headers=[cookies]))

    assert len(sent) == 4
    assert sent[2] is second
    assert len(set_cookies(sent)) == len(set_cookies(sent[:1])) > 0
    if stored:
        assert len(await site.issuer.sessions("alice")) == (1 if "refresh" in action else 0)


@both_modes
@pytest.mark.parametrize("body", [True, False])
async def test_AB_44_without_a_start_nothing_is_written(
    clock: Clock, stored: bool, body: bool
) -> None:
    messages: list[Message] = [{"type": "http.response.body", "body": b"x"}] if body else []
    site = site_of(clock, stored, sending(*messages))
    cookies = await due(site)

    sent = await run(site.app, http(headers=[cookies]))

    assert (sent, site.writes()) == (messages, [])


@both_modes
async def test_AB_44_a_start_after_the_client_left_breaks_nothing(
    clock: Clock, stored: bool
) -> None:
    """A server's `send` may raise then: the session goes on with the old token or the new."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        await answer(send)

    site = site_of(clock, stored, app)
    cookies = await due(site)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        raise OSError("the client is gone")

    with pytest.raises(OSError, match="the client is gone"):
        await site.app(http(headers=[cookies]), receive, send)

    later = Site(clock, store=site.spy)
    (await later.http(cookies)).is_of("alice")


@both_modes
async def test_AB_44_a_start_after_the_application_returned_carries_nothing(
    clock: Clock, stored: bool
) -> None:
    kept: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        kept.append(send)

    site = site_of(clock, stored, app)
    cookies = await due(site)
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await site.app(http(headers=[cookies]), receive, send)
    late = start()
    await kept[0](late)

    assert (len(sent), sent[0] is late, site.writes()) == (1, True, [])


OTHERS: list[Message] = [
    {"type": "http.response.push", "path": "/a.css", "headers": [(b"set-cookie", b"x=1")]},
    {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]},
    {"type": "http.response.debug", "info": {}},
]
BODIES: list[Message] = [
    {"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True},
    {"type": "http.response.body", "body": b"data: 2\n\n", "more_body": True},
    {"type": "http.response.pathsend", "path": "/tmp/x"},
    {"type": "http.response.zerocopysend", "file": 3},
    {"type": "http.response.body", "body": b"", "more_body": False},
    {"type": "http.response.trailers", "headers": [(b"set-cookie", b"x=1")]},
]


@both_modes
@pytest.mark.parametrize("action", ACTIONS)
async def test_AB_45_of_all_messages_the_start_alone_carries_cookies(
    clock: Clock, stored: bool, action: str
) -> None:
    first = start(trailers=True, headers=[(b"content-type", b"text/event-stream")])
    messages = [*OTHERS, first, *BODIES]
    before = repr(messages)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ACTIONS[action](Auth.of(scope))
        for message in messages:
            await send(message)

    site = site_of(clock, stored, app)
    cookies = await due(site)
    sent = await run(site.app, http(headers=[cookies]))

    at = len(OTHERS)
    untouched = [s is m for s, m in zip(sent, messages, strict=True)]
    assert untouched == [True] * at + [False] + [True] * len(BODIES)
    assert repr(messages) == before  # no message was changed where it stands
    ours = [line for line in set_cookies(sent) if line != b"x=1"]
    assert ours == set_cookies([sent[at]])
    assert len(ours) >= 1
    assert sent[at]["trailers"] is True


@both_modes
async def test_AB_45_an_interim_response_is_not_the_response(clock: Clock, stored: bool) -> None:
    """HT-4, HT-5: 1xx never carries a cookie."""
    hints = start(status=103, headers=[(b"link", b"</a.css>")])
    site = site_of(clock, stored, sending(hints, start(), {"type": "http.response.body"}))
    cookies = await due(site)

    sent = await run(site.app, http(headers=[cookies]))

    assert sent[0] is hints
    assert (set_cookies(sent[:1]), len(set_cookies(sent[1:])) > 0) == ([], True)


PAIRS = [(b"content-type", b"text/html"), (b"set-cookie", b"theme=dark")]
SHAPES: dict[str, Callable[[], Any]] = {
    "list": lambda: list(PAIRS),
    "tuple": lambda: tuple(PAIRS),
    "generator": lambda: iter(PAIRS),
    "lists in a list": lambda: [list(pair) for pair in PAIRS],
    "lists in a tuple": lambda: tuple(list(pair) for pair in PAIRS),
    "dict items": lambda: dict(PAIRS).items(),
    "items of a read-only mapping": lambda: MappingProxyType(dict(PAIRS)).items(),
    "empty tuple": tuple,
    "None": lambda: None,
}


@both_modes
@pytest.mark.parametrize("action", ACTIONS)
async def test_AB_46_response_headers_may_be_any_iterable(
    clock: Clock, stored: bool, action: str
) -> None:
    for name, shape in SHAPES.items():
        app = with_headers(shape, ACTIONS[action])
        site = site_of(clock, stored, app)
        sent = await run(site.app, http(headers=[await due(site)]))
        headers = [(bytes(key), bytes(value)) for key, value in sent[0]["headers"]]

        assert headers[: len(PAIRS)] == PAIRS or name in ("empty tuple", "None"), name
        assert ACCESS in names(set_cookies(sent))
        assert headers.count((b"cache-control", b"private, no-store")) == 1


def with_headers(shape: Callable[[], Any], act: Callable[[Auth], object]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        act(Auth.of(scope))
        await send(start(headers=shape()))
        await send({"type": "http.response.body"})

    return app


async def test_AB_46_a_start_without_headers_is_sound(clock: Clock) -> None:
    first = {"type": "http.response.start", "status": 204}
    site = site_of(clock, True, sending(first, {"type": "http.response.body"}))

    sent = await run(site.app, http(headers=[await due(site)]))

    assert len(set_cookies(sent)) == 2
    assert "headers" not in first


SHARED: list[tuple[Header, ...]] = [
    ((b"cache-control", b"public, max-age=31536000, immutable"),),
    ((b"Cache-Control", b"PUBLIC"),),
    ((b"cache-control", b"max-age=60, s-maxage=600"),),
    ((b"cache-control", b"immutable"),),
    ((b"cache-control", b"no-cache"), (b"Cache-Control", b"max-age=1,\tpublic")),
    ((b"cache-control", b"private, public"),),
]
PRIVATE: list[tuple[Header, ...]] = [
    (),
    ((b"cache-control", b"max-age=600"),),
    ((b"cache-control", b"no-cache"), (b"cache-control", b'no-cache="Set-Cookie"')),
    ((b"cache-control", b'private="set-cookie", max-age=60'),),
    ((b"cache-control", b"republic, x-s-maxage=1, must-revalidate"),),
    ((b"expires", b"Thu, 01 Jan 2099 00:00:00 GMT"), (b"Pragma", b"public")),
    ((b"cdn-cache-control", b"max-age=60"), (b"Surrogate-Control", b"max-age=60")),
    ((b"etag", b'"x"'), (b"last-modified", b"Thu, 01 Jan 2026 00:00:00 GMT")),
]
STATUSES = [200, 203, 204, 206, 301, 302, 304, 307, 308, 400, 401, 403, 404, 410, 429, 500, 503]


@both_modes
@pytest.mark.parametrize("headers", SHARED)
async def test_AB_47_a_refresh_waits_where_a_shared_cache_keeps_the_response(
    clock: Clock, stored: bool, headers: tuple[Header, ...]
) -> None:
    """The handler has its payload all the same, and the next response carries the cookies."""
    seen: list[str | None] = []
    app = answering(*headers, act=lambda auth: seen.append(auth.subject))
    site = site_of(clock, stored, app)
    cookies = await due(site)
    for status in STATUSES:
        site.app.app = answering(*headers, status=status)
        outcome = await site.http(cookies)
        assert (outcome.headers, outcome.writes) == (list(headers), []), status
    site.app.app = app
    outcome = await site.http(cookies)
    assert (outcome.set_cookies, outcome.header("vary"), seen) == (
        [],
        ["Cookie, Authorization"],
        ["alice"],
    )
    site.app.app = answering()
    assert ACCESS in names((await site.http(cookies)).set_cookies)


@both_modes
@pytest.mark.parametrize("action", ACTIONS)
async def test_AB_47_no_response_with_our_cookies_may_be_kept_by_anybody(
    clock: Clock, stored: bool, action: str
) -> None:
    """The property, over the grid of cache headers and statuses."""
    emitted, statuses = 0, [200, 204, 206, 302, 304, 404, 500]
    for headers in [*SHARED, *PRIVATE]:
        for status in statuses:
            site = site_of(clock, stored, answering(*headers, status=status, act=ACTIONS[action]))
            outcome = await site.http(await due(site), *NAVIGATION)
            if outcome.set_cookies:
                emitted += 1
                assert is_kept_by_nobody(outcome), (headers, status)
                assert outcome.header("vary") == ["Cookie, Authorization"], (headers, status)
                said = {name.lower(): value for name, value in outcome.headers}
                assert {b"expires", b"pragma"}.isdisjoint(said)
                for outranks in (b"cdn-cache-control", b"surrogate-control"):
                    assert said.get(outranks) == (b"no-store" if status in (206, 304) else None)
    assert emitted >= len(PRIVATE) * len(statuses)


async def test_AB_47_cookies_that_are_deleted_are_not_kept_either(clock: Clock) -> None:
    """THEFT and DEAD on a navigation, and the answers of the endpoint and of the middleware."""
    public = SHARED[0]
    site = site_of(clock, True, answering(*public))
    cookies = await due(site)
    session = (await site.issuer.sessions("alice"))[0]
    await site.issuer.revoke(session.id)

    dead = await site.http(cookies, *NAVIGATION)
    endpoint = await site.http(cookies, *OWN, path=ENDPOINT, method="POST")

    for outcome in (dead, endpoint):
        assert names(outcome.set_cookies) == [ACCESS, REFRESH]
        assert is_kept_by_nobody(outcome)


async def test_AB_47_the_503_that_stands_in_for_a_failed_logout_is_kept_by_nobody(
    clock: Clock,
) -> None:
    site = site_of(clock, True, answering(*SHARED[0], act=lambda auth: auth.logout()))
    cookies = await due(site)
    site.spy.broken.add("*")

    outcome = await site.http(cookies)

    assert (outcome.status, names(outcome.set_cookies)) == (503, [ACCESS, REFRESH])
    assert is_kept_by_nobody(outcome)


@both_modes
async def test_AB_48_every_final_status_carries_a_refresh(clock: Clock, stored: bool) -> None:
    """HT-1, HT-4: a 304 too, for browsers take its cookies; caches must not."""
    headers = ((b"etag", b'"x"'), (b"cache-control", b"max-age=1"))
    for status in STATUSES:
        site = site_of(clock, stored, answering(*headers, status=status))
        outcome = await site.http(await due(site))
        assert (outcome.status, ACCESS in names(outcome.set_cookies)) == (status, True)
        assert is_kept_by_nobody(outcome)
        assert outcome.header("etag") == ['"x"']


@both_modes
@pytest.mark.parametrize("action", ["login", "logout"])
async def test_AB_48_a_login_needs_success_and_a_logout_does_not(
    clock: Clock, stored: bool, action: str
) -> None:
    """DESIGN §2; with an error the refresh that was due goes out instead of the login."""
    for status in STATUSES:
        site = site_of(clock, stored, answering(status=status, act=ACTIONS[action]))
        outcome = await site.http(await due(site))
        issued = len(outcome.named("issued"))
        assert issued == (1 if action == "login" and status < 400 else 0), status
        deleted = [line for line in outcome.set_cookies if "Max-Age=0" in line]
        assert len(deleted) == (2 if action == "logout" else 0), status
        assert is_kept_by_nobody(outcome)
        if stored:
            alive = await site.issuer.sessions("alice")
            assert len(alive) == (1 if action == "login" and status >= 400 else 0), status


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_AB_48_a_304_without_a_refresh_is_left_alone(clock: Clock, method: str) -> None:
    site = site_of(clock, True, answering((b"cache-control", b"max-age=1"), status=304))
    tokens = await site.issue()
    cookies = site.cookies((site.access, tokens.access_token))

    outcome = await site.http(cookies, method=method)

    assert outcome.headers == [(b"cache-control", b"max-age=1")]


VARY: list[tuple[list[bytes], list[str]]] = [
    ([], ["Cookie, Authorization"]),
    ([b"*"], ["*"]),
    ([b" * "], [" * "]),
    ([b"Accept, *"], ["Accept, *"]),
    ([b"cookie"], ["cookie, Authorization"]),
    ([b"COOKIE"], ["COOKIE, Authorization"]),
    ([b"Accept,Cookie,Origin"], ["Accept,Cookie,Origin, Authorization"]),
    ([b"Accept ,\tcookie "], ["Accept ,\tcookie, Authorization"]),
    ([b"Accept", b"cookie"], ["Accept, cookie, Authorization"]),
    ([b"cookie", b"Accept"], ["cookie, Accept, Authorization"]),
    ([b"Accept", b"*"], ["*"]),
    ([b"Accept"], ["Accept, Cookie, Authorization"]),
    (
        [b"Accept-Encoding, X-Cookie", b"Cookie2"],
        ["Accept-Encoding, X-Cookie, Cookie2, Cookie, Authorization"],
    ),
    ([b""], ["Cookie, Authorization"]),
    ([b"\xa0cookie"], ["\xa0cookie, Cookie, Authorization"]),
]


@both_modes
@pytest.mark.parametrize("action", ACTIONS)
async def test_AB_49_cookie_is_a_member_of_vary_once(
    clock: Clock, stored: bool, action: str
) -> None:
    """CVE-2026-48587, CVE-2026-6907: members are trimmed, in any case, over all headers."""
    for given, expected in VARY:
        for name in (b"vary", b"Vary"):
            headers = [(name, value) for value in given]
            site = site_of(clock, stored, answering(*headers, act=ACTIONS[action]))
            outcome = await site.http(await due(site))
            assert outcome.header("vary") == expected, given


@pytest.mark.parametrize("known", [True, False])
async def test_AB_49_reading_auth_varies_and_not_reading_it_does_not(
    clock: Clock, known: bool
) -> None:
    """HT-3; also where the middleware knows the token and takes the short way."""
    for given, expected in VARY:
        headers = [(b"vary", value) for value in given]
        app = answering(*headers, act=lambda auth: auth.subject)
        site = site_of(clock, True, app)
        tokens = await site.issue()
        cookies = site.cookies((site.access, tokens.access_token))
        if known:
            await site.http(cookies)
        for outcome in (await site.http(cookies), await site.http(cookies, app=site.reader)):
            assert outcome.header("vary") == expected, given
        site.app.app = answering(*headers)
        assert (await site.http(cookies)).headers == headers


CDN: list[Header] = [
    (b"CDN-Cache-Control", b"max-age=60"),
    (b"cdn-cache-control", b"public"),
    (b"Cloudflare-CDN-Cache-Control", b"max-age=60"),
    (b"vercel-cdn-cache-control", b"max-age=60"),
    (b"Surrogate-Control", b"max-age=60"),
    (b"X-Accel-Expires", b"60"),
    (b"Expires", b"Thu, 01 Jan 2099 00:00:00 GMT"),
    (b"Pragma", b"cache"),
]


@both_modes
@pytest.mark.parametrize("action", ACTIONS)
async def test_AB_50_no_cache_of_a_cdn_is_told_otherwise(
    clock: Clock, stored: bool, action: str
) -> None:
    other = [(b"content-type", b"text/html"), (b"x-cache-control", b"max-age=60")]
    for pairs in [*[[pair] for pair in CDN], CDN]:
        site = site_of(clock, stored, answering(*pairs, *other, act=ACTIONS[action]))
        outcome = await site.http(await due(site))
        assert outcome.set_cookies
        assert is_kept_by_nobody(outcome)
        assert outcome.headers[:2] == other
        gone = {name.lower() for name, _ in pairs}
        assert gone.isdisjoint(name.lower() for name, _ in outcome.headers)


@pytest.mark.parametrize("pair", CDN)
async def test_AB_50_without_a_cookie_they_are_the_applications(clock: Clock, pair: Header) -> None:
    site = site_of(clock, True, answering(pair))
    tokens = await site.issue()

    outcome = await site.http(site.cookies((site.access, tokens.access_token)))

    assert outcome.headers == [pair]


async def test_AB_50_a_handshake_that_carries_a_cookie_is_kept_by_nobody(clock: Clock) -> None:
    """A refused one may be an ordinary response (`websocket.http.response`), for any cache."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        headers = [(b"cdn-cache-control", b"max-age=60")]
        await send({"type": "websocket.http.response.start", "status": 404, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b"{}"})

    site = site_of(clock, True, app)
    cookies = await due(site)

    outcome = await site.websocket(OWN[0], cookies, extensions={"websocket.http.response": {}})

    assert (outcome.status, names(outcome.set_cookies), outcome.writes) == (404, [ACCESS], [])
    assert is_kept_by_nobody(outcome)
    assert outcome.header("cdn-cache-control") == []
