"""Scenarios 33, 35-38 and 43-45: clocks, tokens that are off, and what stands around us."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import anyio.lowlevel
import pytest

from asgi_refresh import Auth, Config, Cookie, RefreshMiddleware
from tests.blackbox.helpers import (
    ACCESS,
    DAY,
    HOUR,
    MINUTE,
    NAVIGATION,
    REFRESH,
    WINDOW,
    Site,
    given,
    lasting,
    make_site,
    on_paths,
    together,
)
from tests.scenarios.support import (
    BOTH,
    Backend,
    assert_goes_on,
    current,
    generation,
    hosts,
    post_refresh,
    subjects,
)
from tests.support import Browser, Clock, Response, answer, whoami

pytestmark = pytest.mark.anyio


# --- 33: clocks -----------------------------------------------------------------------------------
#
# Time is the workers': a store has no clock here, so there is none that could jump.

WITHIN = [(0.0, 5.0), (-2.5, 0.0, 2.5), (0.0, 1.0, 4.0, 5.0)]
AGES = [0.0, 60.0, WINDOW - 5, WINDOW - 1, WINDOW, WINDOW + 5, 5 * MINUTE, DAY]
HARMLESS = {"refreshed", "repeated", "recovered"}


def off(clock: Clock, skews: Iterable[float]) -> list[Clock]:
    return [Clock(clock() + skew) for skew in skews]


def forward(clocks: Iterable[Clock], seconds: float) -> None:
    for clock in clocks:
        clock.advance(seconds)


def told(sites: Sequence[Site]) -> set[str]:
    return {event.name for site in sites for event in site.events}


@pytest.mark.parametrize("skews", WITHIN, ids=str)
async def test_33_hosts_within_the_leeway_give_a_retry_the_same_at_every_age(
    clock: Clock, skews: tuple[float, ...]
) -> None:
    pairs = itertools.permutations(range(len(skews)), 2)
    for (first, second), age in itertools.product(pairs, AGES):
        clocks = off(clock, skews)
        sites = hosts(Backend(None), clocks)
        await sites[first].sign_in()
        forward(clocks, HOUR)
        lost = await sites[first].browser.send("/")
        forward(clocks, age)

        retried = await sites[second].browser.navigate("/")

        assert subjects([lost, retried]) == {"alice"}
        assert retried.cookies[REFRESH] == lost.cookies[REFRESH]
        assert told(sites) <= HARMLESS


@pytest.mark.parametrize("skews", WITHIN, ids=str)
@pytest.mark.parametrize("lossy", [False, True])
async def test_33_a_browser_that_wanders_between_hosts_within_the_leeway_stays_signed_in(
    clock: Clock, stores: Backend, skews: tuple[float, ...], lossy: bool
) -> None:
    clocks = off(clock, skews)
    sites = hosts(stores, clocks)
    await sites[0].sign_in()
    order = itertools.cycle([*sites, *reversed(sites)])
    for gap in (600, WINDOW - 1, 540, 541, 1, HOUR, 599, 600, 600, WINDOW + 1, 539, HOUR):
        forward(clocks, gap)
        if lossy:
            await next(order).browser.send("/")
        assert (await next(order).browser.navigate("/")).json()["subject"] == "alice"

    assert told(sites) <= HARMLESS


@pytest.mark.parametrize("skews", WITHIN, ids=str)
async def test_33_an_old_token_is_a_theft_to_every_host_within_the_leeway(
    clock: Clock, skews: tuple[float, ...]
) -> None:
    for at in range(len(skews)):
        clocks = off(clock, skews)
        sites = hosts(Backend(None), clocks)
        await sites[0].sign_in()
        old = sites[0].browser.values()[REFRESH]
        for site in (sites[0], sites[-1]):
            forward(clocks, HOUR)
            await site.browser.get("/")

        response = await sites[at].browser.send("/", cookies={REFRESH: old})

        assert response.json()["reason"] == "reused_token"
        assert "clock_skew" not in told(sites)


@pytest.mark.parametrize("skew", [5.1, 30.0])
async def test_33_a_host_beyond_the_leeway_is_told_of_and_nobody_is_signed_out(
    clock: Clock, stores: Backend, skew: float
) -> None:
    clocks = off(clock, (0.0, skew))
    slow, fast = hosts(stores, clocks)
    await slow.sign_in()
    for _ in range(3):
        forward(clocks, HOUR)
        first = await fast.browser.send("/")
        second = await slow.browser.send("/")
        assert subjects([first, second]) == {"alice"}
        assert first.cookies[REFRESH] == second.cookies[REFRESH]
        slow.browser.deliver(second)

    skews = slow.named("clock_skew")
    assert len(skews) == 3
    assert skews[0].detail == f"rotated {skew:.1f} s in this host's future"
    assert fast.named("clock_skew") == []
    assert told([slow, fast]) <= HARMLESS | {"clock_skew"}


@pytest.mark.parametrize("jump", [-HOUR, -30.0, -1.0, 1.0, 30.0, HOUR])
@pytest.mark.parametrize("lasts", [1.0, WINDOW + 1])
async def test_33_a_clock_that_jumps_and_is_set_right_signs_nobody_out(
    clock: Clock, jump: float, lasts: float
) -> None:
    """-1 s is what a leap second does to a clock that repeats it."""
    site, other = hosts(Backend(None), [clock] * 2)
    await site.sign_in()
    clock.advance(HOUR)
    await site.browser.get("/")
    answers = []
    for step in (jump, lasts, -jump):
        clock.advance(step)
        for host in (site, other):
            site.browser.drop(ACCESS)
            answers.append(await host.browser.get("/"))

    assert subjects(answers) == {"alice"}
    assert all(given(response) == BOTH for response in answers)
    rotated_while_fast = jump > 5 and jump + lasts >= WINDOW
    assert ("clock_skew" in told([site, other])) == (jump < -5 or rotated_while_fast)
    assert told([site, other]) <= HARMLESS | {"clock_skew"}
    clock.advance(HOUR)
    await assert_goes_on(site)


async def test_33_a_step_up_on_a_host_whose_clock_is_behind_leaves_the_whole_grace(
    clock: Clock,
) -> None:
    async def confirm(scope: Any, receive: Any, send: Any) -> None:
        Auth.of(scope).elevate()
        await answer(send)

    clocks = off(clock, (0.0, -30.0))
    right, behind = hosts(Backend(None), clocks, on_paths(confirm=confirm))
    await right.sign_in()
    forward(clocks, HOUR)
    await right.browser.get("/")
    old = right.browser.values()[REFRESH]
    await behind.browser.post("/confirm")
    forward(clocks, WINDOW - 1)

    response = await right.browser.send("/", cookies={REFRESH: old})

    assert response.json()["reason"] == "stale_token"
    await assert_goes_on(right)


@pytest.mark.parametrize("jump", [-HOUR, -1.0, 1.0])
async def test_33_a_revocation_outlasts_the_jump_of_a_clock(clock: Clock, jump: float) -> None:
    site, other = hosts(Backend(None), [clock] * 2)
    session_id = await site.sign_in()
    await other.browser.get("/")
    await site.issuer.revoke(session_id)
    clock.advance(jump)

    responses = [await host.browser.send("/") for host in (site, other)]

    assert subjects(responses) == {None}


# --- 35: one name, several cookies ----------------------------------------------------------------

GARBAGE = ["x", "s1.1.AAAA", "a.b.c", ""]


async def two_generations(site: Site) -> list[str]:
    """The refresh tokens of generation 1 to 3; the jar holds the last, without an access token."""
    await site.sign_in()
    tokens = [site.browser.values()[REFRESH]]
    for _ in range(2):
        site.clock.advance(HOUR)
        await site.browser.get("/")
        tokens.append(site.browser.values()[REFRESH])
    site.browser.drop(ACCESS)
    site.clock.advance(HOUR)
    site.events.clear()
    return tokens


def shadowed(values: Sequence[str], split: bool) -> list[tuple[str, str]]:
    """Cookie headers as of a browser with shadows of another Path or Domain."""
    pairs = [f"{REFRESH}={value}" for value in values]
    return [("cookie", line) for line in (pairs if split else ["; ".join(pairs)])]


@pytest.mark.parametrize("split", [True, False], ids=["split", "joined"])
async def test_35_of_shadows_the_newest_generation_counts_and_the_older_is_no_theft(
    clock: Clock, split: bool
) -> None:
    for order in itertools.permutations(range(4)):
        site = make_site(clock, config=lasting())
        values = [*await two_generations(site), "garbage"]
        headers = shadowed([values[at] for at in order], split)

        response = await site.browser.send("/", headers=headers, cookies={})
        site.browser.deliver(response)

        assert response.json()["subject"] == "alice"
        assert generation(response.cookies[REFRESH]) == 4
        assert site.named("reused") == []


@pytest.mark.parametrize("order", [1, -1])
async def test_35_shadows_of_two_sessions_decide_nothing_and_end_neither(
    clock: Clock, order: int
) -> None:
    site = make_site(clock, config=lasting())
    mine = (await two_generations(site))[-1]
    other = (await site.issuer.issue("mallory")).refresh_token
    site.store.calls.clear()

    response = await site.browser.send(
        "/", headers=[*NAVIGATION, *shadowed([mine, other][::order], split=False)], cookies={}
    )

    assert (response.json()["reason"], response.set_cookies) == ("ambiguous_cookies", [])
    assert site.store.calls == []
    await assert_goes_on(site)
    assert len(await site.issuer.sessions("mallory")) == 1


async def test_35_garbage_shadows_no_good_token(clock: Clock) -> None:
    for garbage, order in itertools.product(GARBAGE, (1, -1)):
        site = make_site(clock, config=lasting())
        values = [(await two_generations(site))[-1], garbage][::order]

        response = await site.browser.send("/", headers=shadowed(values, split=False), cookies={})

        assert response.json()["subject"] == "alice"
        assert given(response) == BOTH


# --- 36, 37: tokens that are none -----------------------------------------------------------------

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def sibling(token: str) -> str:
    """The same octets to a decoder that does not look at the spare bits of the last character."""
    at = ALPHABET.index(token[-1])
    return token[:-1] + ALPHABET[at ^ 1]


def respelled(token: str) -> str:
    """The standard alphabet in place of the URL-safe one; of a token that has such a character."""
    message, _, tag = token.rpartition(".")
    return message + "." + tag.replace("-", "+").replace("_", "/")


SPELLINGS: dict[str, Callable[[str], str]] = {
    "truncated": lambda token: token[:-1],
    "half": lambda token: token[: len(token) // 2],
    "without its tag": lambda token: token.rpartition(".")[0],
    "with an empty tag": lambda token: token.rpartition(".")[0] + ".",
    "padded": lambda token: token + "=",
    "double": lambda token: token + "." + token,
    "spare bits": sibling,
    "upper case": str.upper,
    "quoted": lambda token: f'"{token}"',
    "per cent": lambda token: token.replace(".", "%2E"),
    "zero in front": lambda token: token.replace(".", ".0", 1),
    "plus in front": lambda token: token.replace(".", ".+", 1),
    "next generation": lambda token: token.replace(".1.", ".2."),
    "oversized": lambda token: token + "A" * 4000,
    "a very long number": lambda token: token.replace(".1.", f".{'1' * 5000}."),
    "not ASCII": lambda token: token[:-1] + "\xe9",
    "NUL": lambda token: token + "\x00",
    "a newline": lambda token: token + "\n",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_36_no_other_spelling_of_a_token_is_one(clock: Clock, spelling: str) -> None:
    (site,) = hosts(Backend(None), [clock])
    await site.sign_in()
    token = site.browser.values()[REFRESH]
    other = SPELLINGS[spelling](token)
    clock.advance(HOUR)

    by_cookie = await site.browser.send("/", headers=NAVIGATION, cookies={REFRESH: other})
    by_header = await post_refresh(site.browser, other)

    assert other != token
    assert by_cookie.json()["subject"] is None
    assert by_cookie.set_cookies == []
    assert by_header.status in (400, 401)
    assert site.store.calls == []
    await assert_goes_on(site)


async def test_36_the_standard_alphabet_is_another_spelling(clock: Clock) -> None:
    (site,) = hosts(Backend(None), [clock])
    for _ in range(40):
        token = (await site.issuer.issue("alice")).refresh_token
        if respelled(token) == token:
            continue
        site.store.calls.clear()
        assert (await post_refresh(site.browser, respelled(token))).status == 401
        assert site.store.calls == []


@pytest.mark.parametrize("stored", [True, False])
async def test_37_neither_token_is_taken_in_the_place_of_the_other(
    clock: Clock, stored: bool
) -> None:
    site = make_site(clock, stored=stored, config=lasting())
    tokens = await site.issuer.issue("alice")
    swapped = {ACCESS: tokens.refresh_token, REFRESH: tokens.access_token}
    bearer = [("authorization", f"Bearer {tokens.refresh_token}")]

    by_cookie = await site.browser.send("/", headers=NAVIGATION, cookies=swapped)
    by_header = await site.browser.send("/", headers=bearer, cookies={})

    assert by_cookie.json()["reason"] == by_header.json()["reason"] == "invalid_token"
    assert (by_cookie.set_cookies, by_header.set_cookies) == ([], [])


async def test_37_an_access_token_refreshes_nothing_at_the_endpoint(clock: Clock) -> None:
    (site,) = hosts(Backend(None), [clock])
    tokens = await site.issuer.issue("alice")
    site.store.calls.clear()

    assert (await post_refresh(site.browser, tokens.access_token)).status == 401
    assert site.store.calls == []


@pytest.mark.parametrize("theirs", [None, "https://b.example"])
async def test_37_another_application_with_the_same_secret_and_store_takes_neither(
    clock: Clock, theirs: str | None
) -> None:
    backend = Backend(None)
    (site,) = hosts(backend, [clock], config=lasting(issuer="https://a.example"))
    await site.sign_in()
    other = make_site(clock, store=backend.open(), config=lasting(Config(issuer=theirs)))
    other.browser.jar = dict(site.browser.jar)

    now = await other.browser.navigate("/")
    clock.advance(HOUR)
    later = await other.browser.navigate("/")

    assert now.json()["reason"] == later.json()["reason"] == "invalid_token"
    assert (now.set_cookies, later.set_cookies, other.store.calls) == ([], [], [])
    await assert_goes_on(site)


# --- 38: generations that nobody counts to --------------------------------------------------------


async def spelled(site: Site, session_id: str, number: int) -> dict[str, str]:
    """The cookie of a genuine token of generation *number*, which was never handed out."""
    session = await site.store.store.get(session_id)
    return {REFRESH: site.issuer.mint.refresh(session, number).decode()}


@pytest.mark.parametrize("number", [0, -1])
async def test_38_a_generation_from_before_the_first_is_a_theft(clock: Clock, number: int) -> None:
    (site,) = hosts(Backend(None), [clock])
    session_id = await site.sign_in()

    response = await site.browser.send("/", cookies=await spelled(site, session_id, number))

    assert response.json()["reason"] == "reused_token"
    assert await site.issuer.sessions("alice") == []


@pytest.mark.parametrize("number", [2**32, 2**62])
async def test_38_from_a_huge_generation_it_goes_on_counting(
    clock: Clock, stores: Backend, number: int
) -> None:
    (site,) = hosts(stores, [clock])
    session_id = await site.sign_in()
    before = dict(site.browser.values())
    cookies = await spelled(site, session_id, number)

    site.browser.deliver(await site.browser.send("/", cookies=cookies))
    assert await current(site) == number + 1
    await assert_goes_on(site)

    assert await current(site) == number + 4
    old = await site.browser.send("/", cookies={REFRESH: before[REFRESH]})
    assert old.json()["reason"] == "reused_token"


@pytest.mark.parametrize("number", [2**63 - 1, 2**63, 10**100])
async def test_38_a_generation_that_a_store_cannot_hold_costs_a_cookie_and_not_the_session(
    clock: Clock, stores: Backend, number: int
) -> None:
    (site,) = hosts(stores, [clock])
    session_id = await site.sign_in()
    cookies = await spelled(site, session_id, number)

    response = await site.browser.send("/", cookies=cookies)

    assert (response.status, response.json()["subject"]) == (200, "alice")
    if stores.path is None:
        assert await current(site) == number + 1
    else:
        assert response.set_cookies == []
        await assert_goes_on(site)


# --- 43: shared caches ----------------------------------------------------------------------------


class Cdn:
    """The worst of caches: keeps what it is not forbidden to, whoever it is for."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._kept: dict[str, list[Any]] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] in self._kept:
            for message in self._kept[scope["path"]]:
                await send(message)
            return
        messages: list[Any] = []

        async def recording(message: Any) -> None:
            messages.append(message)
            await send(message)

        await self._app(scope, receive, recording)
        if self._may_keep(messages[0]["headers"]):
            self._kept[scope["path"]] = messages

    def _may_keep(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        for name in (b"cdn-cache-control", b"surrogate-control", b"cache-control"):
            said = b",".join(value for key, value in headers if key.lower() == name)
            if said:
                return b"no-store" not in said and b"private" not in said
        return True


CACHED = [
    [],
    [(b"cache-control", b"public, max-age=60")],
    [(b"cache-control", b"max-age=60")],
    [(b"Cache-Control", b"no-cache"), (b"cache-control", b"s-maxage=60")],
    [(b"cache-control", b"immutable, max-age=31536000")],
    [(b"cache-control", b"private")],
    [(b"expires", b"Fri, 01 Jan 2100 00:00:00 GMT")],
    [(b"surrogate-control", b"max-age=60")],
    [(b"cdn-cache-control", b"max-age=60"), (b"vary", b"accept")],
]


@pytest.mark.parametrize("path", ["/page", "/login"])
@pytest.mark.parametrize("headers", CACHED, ids=range(len(CACHED)))
async def test_43_a_cache_that_keeps_what_it_may_gives_nobody_the_cookies_of_another(
    clock: Clock, headers: list[tuple[bytes, bytes]], path: str
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/login":
            Auth.of(scope).login("alice")
        await answer(send, headers=headers)

    site = make_site(clock, on_paths(page=app, login=app), config=lasting())
    await site.sign_in()
    stranger = Browser(Cdn(site.browser.app), clock)
    cached = site.browser.fork()
    cached.app = stranger.app
    clock.advance(HOUR)

    first = await cached.get(path)
    copied = await stranger.get(path)

    if copied.set_cookies and path == "/login":
        assert copied.set_cookies != first.set_cookies
        return
    assert copied.set_cookies == []
    assert stranger.jar == {}
    if path == "/page" and any(word in repr(headers) for word in ("public", "s-maxage", "immut")):
        assert first.set_cookies == []  # it stays cacheable, and the next response will do
        assert [pair for pair in first.headers if pair in headers] == headers
    if first.set_cookies:
        assert first.header("cache-control") == "private, no-store"
        [vary] = first.all("vary")
        assert vary.endswith("Cookie, Authorization")
    assert (await cached.get("/")).json()["subject"] == "alice"


# --- 44: shapes of a response ---------------------------------------------------------------------


def start(status: int = 200, kind: str = "http.response.start") -> dict[str, Any]:
    return {"type": kind, "status": status, "headers": []}


def body(more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": b"x", "more_body": more}


ACCEPT: dict[str, Any] = {"type": "websocket.accept", "headers": []}
CLOSE: dict[str, Any] = {"type": "websocket.close", "code": 1000}
DENIED = start(403, "websocket.http.response.start")
SHAPES: dict[str, tuple[list[Any], set[str]]] = {
    "headers long before the body": ([start(), "pause", body()], BOTH),
    "headers alone": ([start()], BOTH),
    "two starts": ([start(), start(500), body()], BOTH),
    "raises before the start": (["raise"], set()),
    "raises after the start": ([start(), "raise"], BOTH),
    "never answers": ([], set()),
    "100 and 103 before": ([start(100), start(103), start(), body()], BOTH),
    "answer to HEAD": ([start(), body()], BOTH),
    "304": ([start(304), body()], BOTH),
    "redirect": ([start(302), body()], BOTH),
    "an error": ([start(500), body()], BOTH),
    "events": ([start(), *[body(more=True), "pause"] * 3, body()], BOTH),
    "accept": ([ACCEPT, CLOSE], {ACCESS}),
    "accept twice": ([ACCEPT, ACCEPT, CLOSE], {ACCESS}),
    "reject": ([CLOSE], set()),
    "reject with a response": ([DENIED, CLOSE], {ACCESS}),
}


class Mine(Exception):  # noqa: N818
    """An error of the application's."""


def shaped(steps: Iterable[Any]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for step in steps:
            if step == "raise":
                raise Mine
            if step == "pause":
                for _ in range(3):
                    await anyio.lowlevel.checkpoint()
            else:
                await send(step)

    return on_paths(shaped=app)


@pytest.mark.parametrize("shape", SHAPES)
async def test_44_a_response_of_any_shape_carries_its_cookies_once_and_loses_nobody(
    clock: Clock, shape: str
) -> None:
    steps, cookies = SHAPES[shape]
    site = make_site(clock, shaped(steps), config=lasting())
    await site.sign_in()
    clock.advance(HOUR)
    method = "HEAD" if shape == "answer to HEAD" else "GET"
    scope = site.browser.scope("/shaped", method)
    if shape in ("accept", "accept twice", "reject", "reject with a response"):
        del scope["method"]
        scope["type"] = "websocket"
        scope["headers"].append((b"origin", b"https://app.example"))
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    with contextlib.suppress(Mine):
        await site.browser.app(scope, nothing, send)
    carriers = [m for m in sent if any(n == b"set-cookie" for n, _ in m.get("headers", ()))]
    for message in carriers:
        response = Response(message.get("status", 101), message["headers"], b"", [])
        assert response.status >= 200 or message["type"] == "websocket.accept"
        assert given(response) == cookies
        site.browser.deliver(response)

    assert len(carriers) == (1 if cookies else 0)
    assert [m["type"] for m in sent] == [s["type"] for s in steps if isinstance(s, dict)]
    assert await current(site) == (2 if cookies == BOTH else 1)
    clock.advance(HOUR)
    await assert_goes_on(site)


async def nothing() -> Any:
    return {"type": "http.request", "body": b"", "more_body": False}


# --- 45: twice --------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [2, 3])
async def test_45_middlewares_around_each_other_refresh_once(
    clock: Clock, stores: Backend, times: int
) -> None:
    """Each with an issuer of its own, as of sub-applications that do not know of each other."""
    site, *others = hosts(stores, [clock] * times)
    app = whoami
    for host in (*others, site):
        app = RefreshMiddleware(app, host.issuer)
    site.browser.app = app
    await site.sign_in()
    clock.advance(HOUR)

    responses = await together([lambda: site.browser.send("/")] * 10)

    assert subjects(responses) == {"alice"}
    assert [len(response.set_cookies) for response in responses] == [2] * 10
    assert {response.json()["refreshed"] for response in responses} == {True}
    assert [host.store.count("get", "replace") for host in others] == [0] * (times - 1)
    assert site.store.won == 1
    site.browser.deliver(responses[0])
    await assert_goes_on(site)


async def test_45_middlewares_with_cookies_and_keys_of_their_own_refresh_each_its_own(
    clock: Clock,
) -> None:
    config = lasting(access_cookie=Cookie("__Host-a2"), refresh_cookie=Cookie("__Host-r2"))
    outer = make_site(clock, config=lasting())
    inner = make_site(clock, config=config)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        names = [Auth.of(scope).subject, Auth.of(scope, scope_key="second").subject]
        await answer(send, body=repr(names).encode())

    second = RefreshMiddleware(app, inner.issuer, scope_key="second", starlette=False)
    outer.browser.app = RefreshMiddleware(second, outer.issuer)
    await outer.sign_in("alice")
    await inner.sign_in("bob", browser=outer.browser)
    clock.advance(HOUR)

    response = await outer.browser.get("/")

    assert response.body == b"['alice', 'bob']"
    assert given(response) == BOTH | {"__Host-a2", "__Host-r2"}
    assert (await current(outer, "alice"), await current(inner, "bob")) == (2, 2)
