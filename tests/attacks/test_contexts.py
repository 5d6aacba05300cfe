"""AB-53 to AB-63: methods, contexts and origins that a request can come in."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from asgi_refresh import Config, Cookie, RefreshMiddleware
from asgi_refresh.endpoints import bundle
from tests.blackbox.helpers import (
    ACCESS,
    HOUR,
    NAVIGATION,
    REFRESH,
    WINDOW,
    Gate,
    Site,
    Started,
    deleted,
    given,
    held,
    lasting,
    make_site,
)
from tests.hostile.tools import both, http, run, set_cookies
from tests.support import Clock, Response, whoami

pytestmark = pytest.mark.anyio

OURS = "https://app.example"
STORED = pytest.mark.parametrize("stored", [True, False])
CROSS_SITE = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")]


def site_with_endpoints(clock: Clock, **config: Any) -> Site:
    """`whoami` with every endpoint in front of it."""
    site = make_site(clock, config=lasting(Config(**config)))
    site.browser.app = RefreshMiddleware(whoami, site.issuer, endpoints=bundle(site.issuer))
    return site


async def alive(site: Site, subject: str = "alice") -> int:
    return len(await site.issuer.sessions(subject))


# --- AB-53: methods -------------------------------------------------------------------------------


@STORED
@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "CONNECT"])
async def test_AB_53_no_method_without_an_answer_of_its_own_refreshes(
    clock: Clock, method: str, stored: bool
) -> None:
    site = make_site(clock, stored=stored)
    await site.sign_in()
    clock.advance(HOUR)

    response = await site.browser.send("/", method, headers=NAVIGATION)

    assert (response.json()["subject"], response.set_cookies) == (None, [])
    if stored:
        assert site.store.count("replace", "revoke", "add") == 0


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
async def test_AB_53_such_a_request_is_signed_in_while_the_access_token_is_good(
    clock: Clock, method: str
) -> None:
    site = make_site(clock)
    await site.sign_in()

    response = await site.browser.send("/", method)

    assert (response.json()["subject"], response.set_cookies) == ("alice", [])


async def test_AB_53_a_preflight_asks_no_store(clock: Clock) -> None:
    """Preflights carry no cookies; one that does is no reason to ask anybody."""
    site = make_site(clock)
    await site.sign_in()
    clock.advance(HOUR)
    preflight = [("origin", OURS), ("access-control-request-method", "POST")]

    for cookies in ({}, None):
        await site.browser.send("/", "OPTIONS", headers=preflight, cookies=cookies)

    assert site.store.count("get", "replace") == 0


@STORED
async def test_AB_53_head_is_get(clock: Clock, stored: bool) -> None:
    answers = {}
    for method in ("GET", "HEAD"):
        site = make_site(clock, stored=stored)
        await site.sign_in()
        clock.advance(HOUR)
        response = await site.browser.request("/", method)
        answers[method] = (
            response.status,
            given(response),
            # A HEAD may freshen a stored GET (RFC 9111, 4.3.5): it says more to caches.
            [name for name, value in response.headers if value != b"no-store"],
            response.json()["subject"],
        )

    assert answers["HEAD"] == answers["GET"]
    assert ACCESS in answers["HEAD"][1]


# --- AB-54: other scopes --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lifespan", "webtransport", "http2", "", "HTTP"])
async def test_AB_54_other_scopes_pass_by_identity(clock: Clock, kind: str) -> None:
    seen: list[Any] = []

    async def app(*arguments: Any) -> None:
        seen.extend(arguments)

    site = make_site(clock, app)
    scope = {"type": kind, "asgi": {"version": "3.0"}, "state": {}}
    arguments: list[Any] = [scope, object(), object()]
    before = dict(scope)

    await site.browser.app(*arguments)

    assert [a is b for a, b in zip(seen, arguments, strict=True)] == [True] * 3
    assert scope == before


# --- AB-55 and AB-56: from another site -----------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/logout"])
@pytest.mark.parametrize("cookies", [{}, {"theme": "dark"}])
async def test_AB_55_a_cross_site_post_without_cookies_is_anonymous_and_deletes_nothing(
    clock: Clock, path: str, cookies: dict[str, str]
) -> None:
    """SameSite=Lax kept the cookies at home: whoever deletes them now signs the user out."""
    site = make_site(clock)
    await site.sign_in()

    response = await site.browser.request(
        path, "POST", headers=[*CROSS_SITE, *NAVIGATION], cookies=cookies
    )

    assert (response.status, response.json()["subject"]) == (200, None)
    assert response.set_cookies == []
    assert await alive(site) == 1
    assert (await site.browser.get("/")).json()["subject"] == "alice"


EMBEDDED = Config(
    access_cookie=Cookie("__Host-access", same_site="none", partitioned=True),
    refresh_cookie=Cookie("__Host-refresh", same_site="none", partitioned=True),
)


@STORED
@pytest.mark.parametrize("wait", [0, HOUR])
@pytest.mark.parametrize("site_said", ["cross-site", "same-site"])
async def test_AB_56_with_samesite_none_a_cross_site_post_is_refused_and_mints_nothing(
    clock: Clock, site_said: str, wait: float, stored: bool
) -> None:
    site = make_site(clock, stored=stored, config=EMBEDDED)
    await site.sign_in()
    clock.advance(wait)
    headers = [("origin", "https://evil.example"), ("sec-fetch-site", site_said)]

    response = await site.browser.send("/", "POST", headers=headers)

    assert (response.status, response.set_cookies) == (403, [])
    if stored:
        assert site.store.calls == []
    assert [event.name for event in site.events] == ["cross_origin"]


async def test_AB_56_with_samesite_none_a_cross_site_get_is_refreshed(clock: Clock) -> None:
    """Safe methods always pass (DESIGN, 4): that is what such a deployment is for."""
    site = make_site(clock, config=EMBEDDED)
    await site.sign_in()
    clock.advance(HOUR)

    response = await site.browser.get("/", headers=CROSS_SITE)

    assert given(response) == {ACCESS, REFRESH}
    assert all(line.endswith("; SameSite=None; Partitioned") for line in response.set_cookies)


# --- AB-57 to AB-61: what browsers and liars say of the origin ------------------------------------


@pytest.mark.parametrize("wait", [0, HOUR])
async def test_AB_57_origin_null_passes_where_the_browser_says_same_origin(
    clock: Clock, wait: float
) -> None:
    """A form under `Referrer-Policy: no-referrer` sends that."""
    site = make_site(clock)
    await site.sign_in()
    clock.advance(wait)
    headers = [("origin", "null"), ("sec-fetch-site", "same-origin")]

    response = await site.browser.post("/", headers=headers)

    assert (response.status, response.json()["subject"]) == (200, "alice")
    assert given(response) == ({ACCESS, REFRESH} if wait else set())


@pytest.mark.parametrize("wait", [0, HOUR])
@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout", "/logout", "/logout/everywhere"])
async def test_AB_58_a_sibling_can_neither_refresh_nor_sign_out(
    clock: Clock, path: str, wait: float
) -> None:
    site = site_with_endpoints(clock)
    await site.sign_in()
    clock.advance(wait)
    sibling = [("origin", "https://blog.app.example"), ("sec-fetch-site", "same-site")]

    response = await site.browser.request(path, "POST", headers=sibling)

    assert (response.status, response.set_cookies) == (403, [])
    assert site.store.calls == []
    assert (await site.browser.get("/")).json()["subject"] == "alice"


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout"])
async def test_AB_58_a_trusted_sibling_can(clock: Clock, path: str) -> None:
    site = site_with_endpoints(clock, trusted_origins=["https://blog.app.example"])
    await site.sign_in()
    sibling = [("origin", "https://blog.app.example"), ("sec-fetch-site", "same-site")]

    response = await site.browser.send(path, "POST", headers=sibling)

    assert response.status in (200, 204)
    assert given(response) | deleted(response) == {ACCESS, REFRESH}


TWICE_OR_STRANGE = [
    [("origin", OURS), ("origin", OURS)],
    [("origin", OURS), ("origin", "https://evil.example")],
    [("origin", OURS), ("origin", OURS), ("sec-fetch-site", "same-origin")],
    [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")],
    [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
    [("Sec-Fetch-Site", "same-origin"), ("sec-fetch-site", "none")],
    [("sec-fetch-site", "Same-Origin")],
    [("sec-fetch-site", "SAME-ORIGIN"), ("origin", OURS)],
    [("sec-fetch-site", "same-origin ")],
    [("sec-fetch-site", "same-origin, same-origin")],
    [("sec-fetch-site", "same_origin")],
    [("sec-fetch-site", "self")],
    [("sec-fetch-site", "?1")],
]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("headers", TWICE_OR_STRANGE, ids=str)
async def test_AB_59_headers_that_stand_twice_or_say_what_no_browser_says_are_refused(
    clock: Clock, headers: Any, known: bool
) -> None:
    site = site_with_endpoints(clock)
    await site.sign_in()
    if known:  # the short way and the careful way
        await site.browser.get("/")

    statuses = [
        (await site.browser.send(path, method, headers=headers)).status
        for path, method in [("/", "POST"), ("/auth/refresh", "POST"), ("/auth/sessions", "DELETE")]
    ]

    assert statuses == [403, 403, 403]
    assert (await site.browser.send("/", "GET", headers=headers)).status == 200


OTHER_ORIGINS = [
    "https://app.example.evil.example",
    "https://app.example@evil.example",
    "https://evil.example@app.example",
    "https://evil.example/app.example",
    "https://evil.example?app.example",
    "https://evil.example#app.example",
    "https://evil.example\\app.example",
    "https://evil.example\\@app.example",
    "https://xapp.example",
    "https://app.example.",
    "https://app.example:8443",
    "https://app.example:80",
    "https://app.example:0443",
    "http://app.example:443",
    "https://app.example/",
    "https://app.example ",
    "https:app.example",
    "app.example",
    "javascript://app.example",
    "https://app.example, https://evil.example",
]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("origin", OTHER_ORIGINS)
async def test_AB_60_an_origin_that_only_looks_like_ours_is_refused(
    clock: Clock, origin: str, known: bool
) -> None:
    """Without Fetch Metadata, as from old browsers and to plain http."""
    site = make_site(clock)
    await site.sign_in()
    if known:
        await site.browser.get("/")

    assert (await site.browser.send("/", "POST", headers=[("origin", origin)])).status == 403


async def test_AB_60_our_own_host_counts_under_either_scheme(clock: Clock) -> None:
    """The case has it refused; behind a proxy the server does not know its scheme (DESIGN, 4)."""
    site = make_site(clock)
    await site.sign_in()

    assert (await site.browser.post("/", headers=[("origin", "http://app.example")])).status == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://t.example",
        "https://t.example:8443",
        "https://t.example:443",
        "https://t.example/",
        "https://t.example.evil.example",
        "https://t.example@evil.example",
        "https://T.example",
    ],
)
async def test_AB_60_a_trusted_origin_counts_with_its_scheme_and_port_only(
    clock: Clock, origin: str
) -> None:
    site = make_site(clock, config=Config(trusted_origins=["https://t.example"]))
    await site.sign_in()

    assert (await site.browser.send("/", "POST", headers=[("origin", origin)])).status == 403
    passes = await site.browser.send("/", "POST", headers=[("origin", "https://t.example")])
    assert passes.status == 200


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    "host",
    [
        None,
        b"",
        b"app.example/",
        b"app.example?",
        b"app.example#",
        b"x@app.example",
        b"[::1",
        b"app.example\\",
        b"\xff\xfe",
        "äpp.example".encode(),
        b"app.example, app.example",
        b" app.example",
        b"app.example\t",
        b":443",
        b"app.example:443:443",
        b"a" * 100000,
    ],
)
async def test_AB_61_with_a_strange_host_no_origin_is_ours(
    clock: Clock, host: bytes | None, kind: str
) -> None:
    site = make_site(clock)
    tokens = await site.issuer.issue("alice")
    origins = [OURS.encode(), b"https://" + (host or b""), b"null"]
    for origin in origins:
        headers = [both(tokens), (b"origin", origin)]
        scope = http(method="POST") | {"type": kind}
        scope["headers"] = headers if host is None else [(b"host", host), *headers]

        sent = await run(site.browser.app, scope)

        refusal = {"http": ("http.response.start", 403), "websocket": ("websocket.close", 1008)}
        assert (sent[0]["type"], sent[0].get("status", sent[0].get("code"))) == refusal[kind]


@pytest.mark.parametrize("host", [None, b"", b"a/b?c#d@e", b"\xff"])
async def test_AB_61_a_strange_host_harms_no_request_that_needs_none(
    clock: Clock, host: bytes | None
) -> None:
    site = make_site(clock)
    tokens = await site.issuer.issue("alice")
    clock.advance(HOUR)
    scope = http(method="POST")
    vouched = (b"sec-fetch-site", b"same-origin")
    scope["headers"] = [vouched, both(tokens)] + ([] if host is None else [(b"host", host)])

    sent = await run(site.browser.app, scope)

    assert (sent[0]["status"], len(set_cookies(sent))) == (200, 2)


# --- AB-62 and AB-63: responses that never arrive -------------------------------------------------


@STORED
@pytest.mark.parametrize("purpose", ["prefetch", "prefetch;prerender", "prefetch;anonymous-client"])
@pytest.mark.parametrize("wait", [1.0, WINDOW + 1, HOUR])
async def test_AB_62_a_prefetch_refreshes_and_its_loss_harms_nothing(
    clock: Clock, purpose: str, wait: float, stored: bool
) -> None:
    site = make_site(clock, stored=stored)
    await site.sign_in()
    clock.advance(HOUR)
    headers = [("sec-purpose", purpose), ("purpose", "prefetch"), *NAVIGATION]

    speculative = await site.browser.send("/", headers=headers)
    clock.advance(wait)
    real = await site.browser.navigate("/")

    assert [r.json()["subject"] for r in (speculative, real)] == ["alice", "alice"]
    assert ACCESS in given(speculative) & given(real)
    assert deleted(real) == set()
    assert site.named("reused") == []


async def lost(site: Site) -> Response:
    """A response that is committed and never delivered."""
    return await site.browser.send("/")


@pytest.mark.parametrize("wait", [1.0, 10.0, 600.0, 10 * HOUR])
async def test_AB_63_after_an_aborted_fetch_the_old_refresh_token_is_still_good(
    clock: Clock, wait: float
) -> None:
    site = make_site(clock)
    await site.sign_in()
    clock.advance(HOUR)
    await lost(site)
    clock.advance(wait)

    response = await site.browser.get("/")

    assert response.json()["subject"] == "alice"
    assert given(response) == {ACCESS, REFRESH}
    assert site.named("reused") == []


@pytest.mark.parametrize("wait", [1.0, 10.0, 600.0])
async def test_AB_63_a_fetch_aborted_in_the_handler_has_rotated_nothing(
    clock: Clock, wait: float
) -> None:
    gate = Gate()
    site = make_site(clock, held(gate), config=lasting())
    await site.sign_in()
    clock.advance(HOUR)
    async with Started(lambda: site.browser.send("/slow")) as request:
        await gate.arrival()
        request.scope.cancel()
    assert site.store.count("replace") == 0
    clock.advance(wait)

    response = await site.browser.get("/")

    assert (response.json()["subject"], given(response)) == ("alice", {ACCESS, REFRESH})


@pytest.mark.parametrize("wait", [1.0, 10.0, 600.0])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_AB_63_a_fetch_aborted_while_the_store_writes_signs_nobody_out(
    clock: Clock, when: str, wait: float
) -> None:
    """Whether the compare-and-set took or not, nobody will ever know."""
    site = make_site(clock, config=lasting())
    await site.sign_in()
    clock.advance(HOUR)
    gates = getattr(site.store, when)
    gates["replace"] = Gate()
    async with Started(lambda: site.browser.send("/")) as request:
        await gates["replace"].arrival()
        request.scope.cancel()
    gates.clear()
    clock.advance(wait)

    response = await site.browser.get("/")

    assert (response.json()["subject"], given(response)) == ("alice", {ACCESS, REFRESH})
    assert site.named("reused") == []


@pytest.mark.parametrize("wait", [1.0, 10.0, 600.0])
async def test_AB_63_after_the_child_was_used_the_old_refresh_token_ends_the_session(
    clock: Clock, wait: float
) -> None:
    site = make_site(clock)
    await site.sign_in()
    old = site.browser.fork()
    for _ in range(2):
        clock.advance(HOUR)
        await site.browser.get("/")
    clock.advance(wait)
    old.drop(ACCESS)

    response = await old.get("/")

    assert (response.json()["subject"], response.json()["reason"]) == (None, "reused_token")
    assert await alive(site) == 0
    assert [event.reason for event in site.named("reused")] == ["theft"]


async def test_AB_63_a_superseded_navigation_and_its_successor_share_one_rotation(
    clock: Clock,
) -> None:
    gate = Gate()
    site = make_site(clock, held(gate), config=lasting())
    await site.sign_in()
    clock.advance(HOUR)

    async with anyio.create_task_group() as group:
        group.start_soon(site.browser.send, "/slow")
        await gate.arrival()
        second = await site.browser.navigate("/")
        gate.open()

    assert given(second) == {ACCESS, REFRESH}
    [session] = await site.issuer.sessions("alice")
    assert session.current == 2
    clock.advance(HOUR)
    assert (await site.browser.navigate("/")).json()["subject"] == "alice"
