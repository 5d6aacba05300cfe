"""
Whose page sent it: Go's `CrossOriginProtection`, row by row, and CS-1 to CS-9, from end to end.

The names of the rows are those of Go's csrf_test.go.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from asgi_refresh import Config, Cookie, MemoryStore, RefreshMiddleware
from asgi_refresh.endpoints import bundle
from asgi_refresh.errors import ConfigurationError
from tests.blackbox.helpers import (
    ACCESS,
    HOUR,
    NAVIGATION,
    REFRESH,
    Site,
    deleted,
    doing,
    given,
    lasting,
    make_site,
    on_paths,
)
from tests.hostile.tools import Recorder, both, http, run, websocket
from tests.support import Clock, make_issuer

pytestmark = pytest.mark.anyio

ATTACKER = "https://attacker.example"
GO_HOST = b"example.com"
KNOWN = pytest.mark.parametrize("known", [True, False], ids=["seen before", "first sight"])


async def status_of(
    clock: Clock,
    *,
    method: str = "POST",
    path: str = "/",
    site: str = "",
    origin: str = "",
    host: bytes | None = GO_HOST,
    scheme: str = "https",
    known: bool = False,
    wait: float = 0,
    more: Iterable[tuple[bytes, bytes]] = (),
    **config: Any,
) -> int:
    """The status of a request with Alice's cookies; 200 only if the application ran as Alice."""
    app = Recorder()
    issuer = make_issuer(clock, store=MemoryStore(), config=Config(**config))
    middleware = RefreshMiddleware(app, issuer)
    tokens = await issuer.issue("alice")
    if known:  # a token seen before goes a shorter way
        await run(middleware, http(headers=[both(tokens)]))
        app.runs = 0
    clock.advance(wait)
    headers = [both(tokens), *more]
    headers += [] if host is None else [(b"host", host)]
    headers += [(b"sec-fetch-site", site.encode())] if site else []
    headers += [(b"origin", origin.encode("latin-1"))] if origin else []
    scope = http(path, method, scheme=scheme) | {"headers": headers}
    [start, *_] = await run(middleware, scope)
    status: int = start["status"]
    exempt = path in config.get("cross_origin_exempt", ())
    assert app.runs == (status == 200)
    assert status != 200 or app.subject == (None if exempt else "alice")
    return status


# --- TestCrossOriginProtectionSecFetchSite --------------------------------------------------------


@KNOWN
@pytest.mark.parametrize("wait", [0, HOUR], ids=["good", "due"])
@pytest.mark.parametrize(
    ("method", "site", "origin", "status"),
    [
        pytest.param("POST", "same-origin", "", 200, id="same-origin allowed"),
        pytest.param("POST", "none", "", 200, id="none allowed"),
        pytest.param("POST", "cross-site", "", 403, id="cross-site blocked"),
        pytest.param("POST", "same-site", "", 403, id="same-site blocked"),
        pytest.param("POST", "", "", 200, id="no header with no origin"),
        pytest.param("POST", "", "https://example.com", 200, id="no header, matching origin"),
        pytest.param("POST", "", ATTACKER, 403, id="no header, mismatched origin"),
        pytest.param("POST", "", "null", 403, id="no header, null origin"),
        pytest.param("GET", "cross-site", "", 200, id="GET allowed"),
        pytest.param("HEAD", "cross-site", "", 200, id="HEAD allowed"),
        pytest.param("OPTIONS", "cross-site", "", 200, id="OPTIONS allowed"),
        pytest.param("PUT", "cross-site", "", 403, id="PUT blocked"),
    ],
)
async def test_go_sec_fetch_site(
    clock: Clock, method: str, site: str, origin: str, status: int, wait: float, known: bool
) -> None:
    if method == "OPTIONS":
        wait = 0  # it passes later on too, but refreshes nobody (AB-53)

    got = await status_of(clock, method=method, site=site, origin=origin, wait=wait, known=known)

    assert got == status


# --- TestCrossOriginProtectionTrustedOriginBypass -------------------------------------------------


@KNOWN
@pytest.mark.parametrize(
    ("origin", "site", "status"),
    [
        pytest.param("https://trusted.example", "", 200, id="trusted, no sec-fetch-site"),
        pytest.param("https://trusted.example", "cross-site", 200, id="trusted, cross-site"),
        pytest.param(ATTACKER, "", 403, id="untrusted, no sec-fetch-site"),
        pytest.param(ATTACKER, "cross-site", 403, id="untrusted, cross-site"),
    ],
)
async def test_go_trusted_origin(
    clock: Clock, origin: str, site: str, status: int, known: bool
) -> None:
    trusted = ["https://trusted.example"]

    got = await status_of(clock, origin=origin, site=site, known=known, trusted_origins=trusted)

    assert got == status


# --- TestCrossOriginProtectionPatternBypass -------------------------------------------------------


@KNOWN
@pytest.mark.parametrize(
    ("path", "site", "status"),
    [
        pytest.param("/bypass/", "", 200, id="bypass path, no sec-fetch-site"),
        pytest.param("/bypass/", "cross-site", 200, id="bypass path, cross-site"),
        pytest.param("/api/", "", 403, id="other path, no sec-fetch-site"),
        pytest.param("/api/", "cross-site", 403, id="other path, cross-site"),
        pytest.param("/foo/../bypass/bar", "", 403, id="bypass path by .."),
        pytest.param("/bypass", "", 403, id="bypass path without its slash"),
        pytest.param("/foo/../api/bar", "", 403, id="other path by .."),
        pytest.param("/api", "", 403, id="other path without its slash"),
        pytest.param("/only/123", "", 200, id="bypass by its exact name"),
        pytest.param("/only/123/foo", "", 403, id="below it"),
    ],
)
async def test_go_bypass_patterns(
    clock: Clock, path: str, site: str, status: int, known: bool
) -> None:
    """
    Ours are exact paths: where Go's router redirects to a path that matches, nothing matches here
    (CVE-2025-47910: patterns bypassed more than was meant). And a bypass signs nobody in by cookie.
    """
    exempt = ["/bypass/", "/only/123"]

    got = await status_of(
        clock, path=path, site=site, origin=ATTACKER, known=known, cross_origin_exempt=exempt
    )

    assert got == status


# --- TestCrossOriginProtectionAddTrustedOriginErrors ----------------------------------------------


@pytest.mark.parametrize(
    ("origin", "valid"),
    [
        pytest.param("https://example.com", True, id="valid origin"),
        pytest.param("https://example.com:8080", True, id="valid origin with port"),
        pytest.param("http://example.com", True, id="http origin"),
        pytest.param("example.com", False, id="missing scheme"),
        pytest.param("https://", False, id="missing host"),
        pytest.param("https://example.com/", False, id="trailing slash"),
        pytest.param("https://example.com/path", False, id="with path"),
        pytest.param("https://example.com?query=value", False, id="with query"),
        pytest.param("https://example.com#fragment", False, id="with fragment"),
        pytest.param("https://ex ample.com", False, id="invalid url"),
        pytest.param("", False, id="empty string"),
        pytest.param("null", False, id="null"),
    ],
)
async def test_go_trusted_origin_errors(clock: Clock, origin: str, valid: bool) -> None:
    if valid:
        got = await status_of(
            clock, origin=origin, site="cross-site", trusted_origins=[origin], host=b"x.example"
        )
        assert got == 200
    else:
        with pytest.raises(ConfigurationError, match="trusted_origins"):
            Config(trusted_origins=[origin])


# --- TestCrossOriginProtectionSetDenyHandler, …AddingBypassesConcurrently -------------------------


async def test_go_the_answer_is_ours_and_says_what_to_do(clock: Clock) -> None:
    """There is no deny handler: an application that wants its own answer says "allow"."""
    site = make_site(clock)
    await site.sign_in()

    response = await site.browser.send("/", "POST", headers=[("origin", ATTACKER)])

    assert response.status == 403
    assert ATTACKER in response.body.decode()
    assert "trusted_origins" in response.body.decode()


def test_go_nothing_is_trusted_later_on(clock: Clock) -> None:
    """Settings are frozen, so nobody adds an origin while requests are on their way."""
    config = Config(trusted_origins=["https://trusted.example"])

    with pytest.raises(AttributeError):
        config.trusted_origins = ("https://attacker.example",)  # type: ignore[misc]
    assert isinstance(config.trusted_origins, tuple)


# --- TestCrossOriginProtectionServer --------------------------------------------------------------


@KNOWN
@pytest.mark.parametrize(
    ("path", "origin", "site", "status"),
    [
        pytest.param("/", ATTACKER, "cross-site", 403, id="cross-site"),
        pytest.param("/", "", "same-origin", 200, id="same-origin"),
        pytest.param("/", "http://127.0.0.1:40001", "", 200, id="origin matches host"),
        pytest.param("/", "https://trusted.example", "", 200, id="trusted origin"),
        pytest.param("/", ATTACKER, "", 403, id="untrusted origin"),
        pytest.param("/bypass/", ATTACKER, "", 200, id="bypass path"),
    ],
)
async def test_go_server(
    clock: Clock, path: str, origin: str, site: str, status: int, known: bool
) -> None:
    got = await status_of(
        clock,
        path=path,
        origin=origin,
        site=site,
        known=known,
        host=b"127.0.0.1:40001",
        scheme="http",
        trusted_origins=["https://trusted.example"],
        cross_origin_exempt=["/bypass/"],
    )

    assert got == status


# --- ports, IPv6, missing Host, duplicated headers ------------------------------------------------

SAME = [
    (b"example.com", "https://example.com"),
    (b"example.com", "http://example.com"),
    (b"example.com:443", "https://example.com"),
    (b"example.com", "https://example.com:443"),
    (b"example.com:80", "http://example.com"),
    (b"example.com:8443", "https://example.com:8443"),
    (b"EXAMPLE.com", "https://example.COM"),
    (b"localhost:5173", "http://localhost:5173"),
    (b"127.0.0.1:8000", "http://127.0.0.1:8000"),
    (b"[::1]:8000", "http://[::1]:8000"),
    (b"[::1]", "http://[::1]"),
    (b"[::1]:443", "https://[::1]"),
    (b"[2001:DB8::1]", "https://[2001:db8::1]"),
    (b"[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
    (b"[::ffff:192.0.2.1]", "https://[::ffff:192.0.2.1]"),
    (b"xn--bcher-kva.example", "https://xn--bcher-kva.example"),
]
DIFFERENT = [
    (b"example.com", "https://example.com:8443"),
    (b"example.com:8443", "https://example.com"),
    (b"example.com:80", "https://example.com"),
    (b"example.com:443", "http://example.com"),
    (b"localhost:5173", "http://localhost:8000"),
    (b"localhost:8000", "http://127.0.0.1:8000"),
    (b"127.0.0.1:8000", "http://127.0.0.2:8000"),
    (b"[::1]:8000", "http://[::1]"),
    (b"[::1]", "http://[::2]"),
    (b"[::1]", "http://::1"),
    (b"::1", "http://[::1]"),
    (b"[0:0:0:0:0:0:0:1]", "http://[::1]"),
    (b"[::1%25eth0]", "http://[::1%25eth0]"),
    (b"[::1].evil.example", "http://[::1]"),
    (b"example.com", "https://[example.com]"),
    (b"example.com", "https://example.com."),
]


@KNOWN
@pytest.mark.parametrize(("host", "origin"), SAME)
async def test_CS_3_a_port_that_goes_without_saying_is_the_same(
    clock: Clock, host: bytes, origin: str, known: bool
) -> None:
    assert await status_of(clock, host=host, origin=origin, known=known) == 200


@KNOWN
@pytest.mark.parametrize(("host", "origin"), DIFFERENT)
async def test_CS_3_another_port_or_address_is_another_origin(
    clock: Clock, host: bytes, origin: str, known: bool
) -> None:
    assert await status_of(clock, host=host, origin=origin, known=known) == 403


@KNOWN
async def test_CS_3_on_plain_http_without_fetch_metadata_origin_decides(
    clock: Clock, known: bool
) -> None:
    """`Sec-Fetch-Site` goes to trustworthy addresses only: not to a laptop on the LAN."""
    lan: dict[str, Any] = {"host": b"192.168.1.7:8000", "scheme": "http", "known": known}

    assert await status_of(clock, origin="http://192.168.1.7:8000", **lan) == 200
    assert await status_of(clock, origin="http://192.168.1.8:8000", **lan) == 403


@KNOWN
@pytest.mark.parametrize(
    ("origin", "site", "status"),
    [
        ("https://example.com", "", 403),
        ("https://", "", 403),
        ("null", "", 403),
        ("", "", 200),
        ("", "same-origin", 200),
        ("https://trusted.example", "", 200),
    ],
)
async def test_without_a_host_no_origin_is_ours(
    clock: Clock, origin: str, site: str, status: int, known: bool
) -> None:
    trusted = ["https://trusted.example"]

    got = await status_of(
        clock, host=None, origin=origin, site=site, known=known, trusted_origins=trusted
    )

    assert got == status


@KNOWN
@pytest.mark.parametrize(
    "twice",
    [
        [(b"host", b"example.com"), (b"host", b"example.com")],
        [(b"host", b"example.com"), (b"HOST", b"evil.example")],
        [(b"origin", b"https://example.com"), (b"Origin", b"https://example.com")],
        [(b"origin", b"https://trusted.example"), (b"origin", b"https://evil.example")],
        [(b"sec-fetch-site", b"same-origin"), (b"Sec-Fetch-Site", b"same-origin")],
    ],
    ids=str,
)
async def test_a_header_that_stands_twice_vouches_for_nothing(
    clock: Clock, twice: Any, known: bool
) -> None:
    names = {name.lower() for name, _ in twice}
    host = None if b"host" in names else GO_HOST
    site = "" if b"sec-fetch-site" in names else "same-origin"
    trusted = ["https://trusted.example"]

    got = await status_of(
        clock, host=host, site=site, more=twice, known=known, trusted_origins=trusted
    )

    assert got == 403


# --- a proxy in front -----------------------------------------------------------------------------

PUBLIC = "https://shop.example"
NGINX_DEFAULT = b"upstream_backend"  # proxy_pass without proxy_set_header Host


async def behind_nginx(clock: Clock, *, site: str, origin: str = PUBLIC, **config: Any) -> int:
    """A request that nginx passed on with its defaults: Host names the upstream, HTTP/1.0."""
    forwarded = [(b"x-forwarded-host", b"shop.example"), (b"x-forwarded-proto", b"https")]
    forwarded += [(b"forwarded", b"host=shop.example;proto=https"), (b"connection", b"close")]
    return await status_of(
        clock,
        host=NGINX_DEFAULT,
        scheme="http",
        site=site,
        origin=origin,
        more=forwarded,
        **config,
    )


async def test_behind_a_proxy_that_rewrites_host_fetch_metadata_decides(clock: Clock) -> None:
    """Every browser of today sends it over https: nothing is to be configured."""
    assert await behind_nginx(clock, site="same-origin") == 200
    assert await behind_nginx(clock, site="cross-site", origin=ATTACKER) == 403
    assert await behind_nginx(clock, site="same-site", origin="https://blog.shop.example") == 403


async def test_behind_a_proxy_that_rewrites_host_an_old_browser_needs_a_trusted_origin(
    clock: Clock,
) -> None:
    """It fails closed; the answer names the setting."""
    assert await behind_nginx(clock, site="") == 403
    assert await behind_nginx(clock, site="", trusted_origins=[PUBLIC]) == 200
    assert await behind_nginx(clock, site="", origin=ATTACKER, trusted_origins=[PUBLIC]) == 403


@pytest.mark.parametrize("name", [b"x-forwarded-host", b"forwarded", b"x-original-host", b"x_host"])
async def test_behind_a_proxy_no_forwarded_header_speaks_for_host(
    clock: Clock, name: bytes
) -> None:
    """HT-9: they are the client's to write where the proxy does not overwrite them."""
    more = [(name, b"attacker.example"), (name.replace(b"-", b"_"), b"attacker.example")]

    assert await status_of(clock, origin=ATTACKER, more=more) == 403


async def test_behind_a_proxy_the_scheme_does_not_matter_for_our_own_origin(clock: Clock) -> None:
    """TLS ends at the proxy, and the server was not told (`--proxy-headers` missing)."""
    assert await status_of(clock, origin="https://example.com", scheme="http") == 200


async def test_behind_a_proxy_that_rewrites_host_a_websocket_needs_a_trusted_origin(
    clock: Clock,
) -> None:
    async def shake(**config: Any) -> int:
        app = Recorder()
        issuer = make_issuer(clock, store=MemoryStore(), config=Config(**config))
        scope = websocket()
        scope["headers"] = [(b"host", NGINX_DEFAULT), (b"origin", PUBLIC.encode())]
        scope["headers"].append(both(await issuer.issue("alice")))
        await run(RefreshMiddleware(app, issuer), scope)
        return app.runs

    assert await shake() == 0
    assert await shake(trusted_origins=[PUBLIC]) == 1


# --- signing in with somebody else's help: OpenID Connect -----------------------------------------

IDP = "https://login.idp.example"


def relying_party(clock: Clock, **config: Any) -> Site:
    """An application with both kinds of callback: the code in the query, or in a posted form."""
    callback = doing(lambda auth: auth.login("alice"), status=303, headers=[(b"location", b"/")])
    app = on_paths(callback=callback, form_post=callback)
    return make_site(clock, app, config=lasting(Config(**config)))


@pytest.mark.parametrize("site_said", ["cross-site", "same-site", "none", ""])
@pytest.mark.parametrize("before", ["nobody", "signed in", "expired"])
async def test_an_oidc_code_callback_signs_in_across_sites(
    clock: Clock, site_said: str, before: str
) -> None:
    """A GET by redirect: safe for us, and `state` is the application's to check."""
    site = relying_party(clock)
    if before != "nobody":
        await site.sign_in("bob")
        clock.advance(HOUR if before == "expired" else 0)
    headers = [("sec-fetch-site", site_said), ("referer", IDP), *NAVIGATION]

    response = await site.browser.get("/callback", headers=headers)

    assert (response.status, given(response)) == (303, {ACCESS, REFRESH})
    assert (await site.browser.get("/")).json()["subject"] == "alice"
    assert await site.issuer.sessions("bob") == []


FORM_POST = [("origin", IDP), ("sec-fetch-site", "cross-site"), *NAVIGATION]


@pytest.mark.parametrize("headers", [FORM_POST, [("origin", "null")], [("origin", IDP)]])
@pytest.mark.parametrize("carried", [True, False])
async def test_an_oidc_form_post_callback_signs_in_where_it_is_exempt(
    clock: Clock, headers: Any, carried: bool
) -> None:
    """Cookies with SameSite=None come along, and are not looked at."""
    site = relying_party(clock, cross_origin_exempt=["/form_post"])
    session_id = await site.sign_in("bob")
    cookies = None if carried else {}

    response = await site.browser.request("/form_post", "POST", headers=headers, cookies=cookies)

    assert (response.status, given(response)) == (303, {ACCESS, REFRESH})
    assert (await site.browser.get("/")).json()["subject"] == "alice"
    assert [s.id for s in await site.issuer.sessions("bob")] == [session_id]


@pytest.mark.parametrize("carried", [True, False])
async def test_an_oidc_form_post_callback_that_is_not_exempt_is_403_and_says_why(
    clock: Clock, carried: bool
) -> None:
    site = relying_party(clock)
    await site.sign_in("bob")
    cookies = None if carried else {}

    response = await site.browser.request("/form_post", "POST", headers=FORM_POST, cookies=cookies)

    assert (response.status, response.set_cookies) == (403, [])
    assert IDP in response.body.decode()
    assert await site.issuer.sessions("alice") == []
    [event] = site.named("cross_origin")
    assert event.reason == ("request" if carried else "login")


async def test_an_oidc_form_post_callback_from_a_trusted_provider_needs_no_exemption(
    clock: Clock,
) -> None:
    site = relying_party(clock, trusted_origins=[IDP])

    response = await site.browser.request("/form_post", "POST", headers=FORM_POST)

    assert given(response) == {ACCESS, REFRESH}


# --- CS-1 to CS-9 ---------------------------------------------------------------------------------


def with_endpoints(clock: Clock, **config: Any) -> Site:
    site = make_site(clock, config=lasting(Config(**config)))
    app = on_paths()
    site.browser.app = RefreshMiddleware(app, site.issuer, endpoints=bundle(site.issuer))
    return site


FOREIGN = [
    [("origin", ATTACKER)],
    [("origin", "null")],
    [("sec-fetch-site", "cross-site")],
    [("sec-fetch-site", "same-site"), ("origin", "https://blog.app.example")],
]
ENDPOINTS = [
    ("/auth/refresh", "POST"),
    ("/auth/logout", "POST"),
    ("/auth/sessions", "DELETE"),
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize(("path", "method"), ENDPOINTS)
async def test_CS_1_an_endpoint_used_by_cookie_is_refused_to_other_origins(
    clock: Clock, path: str, method: str, headers: Any
) -> None:
    site = with_endpoints(clock)
    await site.sign_in()
    await site.issuer.issue("alice")
    site.store.calls.clear()

    response = await site.browser.send(path, method, headers=headers)

    assert (response.status, response.set_cookies, site.store.calls) == (403, [], [])


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("cookies", [True, False])
async def test_CS_1_a_token_in_the_header_is_asked_for_no_origin(
    clock: Clock, headers: Any, cookies: bool
) -> None:
    """No page can make a browser send it without our consent to CORS."""
    site = with_endpoints(clock)
    tokens = await site.issuer.issue("alice")
    jar = {ACCESS: tokens.access_token, REFRESH: "x"} if cookies else {}
    header = ("authorization", f"Bearer {tokens.access_token}")

    listed = await site.browser.send("/auth/session", headers=[*headers, header], cookies=jar)
    acted = await site.browser.send("/", "POST", headers=[*headers, header], cookies=jar)
    ended = await site.browser.send(
        "/auth/sessions", "DELETE", headers=[*headers, header], cookies=jar
    )

    assert (listed.status, acted.status, ended.status) == (200, 200, 204)
    assert acted.json()["via"] == "bearer"


@pytest.mark.parametrize("headers", FOREIGN)
async def test_CS_1_a_token_in_the_body_is_asked_for_no_origin(clock: Clock, headers: Any) -> None:
    site = with_endpoints(clock)
    tokens = await site.issuer.issue("alice")

    response = await site.browser.send(
        "/auth/refresh",
        "POST",
        headers=[*headers, ("content-type", "application/json")],
        body=json.dumps({"refresh_token": tokens.refresh_token}).encode(),
    )

    assert response.status == 200


@KNOWN
@pytest.mark.parametrize("trusted", ["https://t.example", "http://t.example"])
async def test_CS_2_a_trusted_origin_has_a_scheme(clock: Clock, trusted: str, known: bool) -> None:
    """CVE-2025-24358, GO-2025-3884 (gorilla/csrf): hosts alone let plain http in."""
    for origin in ("https://t.example", "http://t.example"):
        got = await status_of(clock, origin=origin, trusted_origins=[trusted], known=known)
        assert got == (200 if origin == trusted else 403)


# CS-3 stands above, with the ports; CS-4 (WebSocket) is AB-64 in test_websocket.py.


@pytest.mark.parametrize("origin", [None, "null", ATTACKER, "https://blog.app.example"])
async def test_CS_4_a_handshake_is_refused_before_it_is_accepted(
    clock: Clock, origin: str | None
) -> None:
    site = make_site(clock)
    await site.sign_in()
    headers = [] if origin is None else [("origin", origin)]

    sent = await site.browser.websocket(headers=headers)

    assert [message["type"] for message in sent] == ["websocket.close"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "QUERY"])
@pytest.mark.parametrize("partly", [(ACCESS,), (REFRESH,), (ACCESS, REFRESH)])
async def test_CS_5_an_unsafe_request_of_another_site_mints_nothing(
    clock: Clock, method: str, partly: tuple[str, ...]
) -> None:
    none = {"same_site": "none"}
    site = make_site(
        clock,
        config=Config(
            access_cookie=Cookie(ACCESS, **none),  # type: ignore[arg-type]
            refresh_cookie=Cookie(REFRESH, **none),  # type: ignore[arg-type]
        ),
    )
    await site.sign_in()
    cookies = {name: site.browser.values()[name] for name in partly}
    clock.advance(HOUR)

    response = await site.browser.send(
        "/", method, headers=[("sec-fetch-site", "cross-site")], cookies=cookies
    )

    assert (response.status, response.set_cookies, site.store.calls) == (403, [], [])


@pytest.mark.parametrize("destination", ["iframe", "frame", "embed", "object", "image", "script"])
async def test_CS_6_nothing_embedded_deletes_cookies(clock: Clock, destination: str) -> None:
    """
    The refresh endpoint takes POST only and same-origin only, so nothing that embeds reaches it;
    and what is embedded is no top-level navigation, so a dead session's cookies stay (DESIGN, 6).
    """
    site = with_endpoints(clock)
    session_id = await site.sign_in()
    await site.issuer.revoke(session_id)
    clock.advance(HOUR)
    headers = [("sec-fetch-dest", destination), ("sec-fetch-mode", "navigate")]
    headers.append(("sec-fetch-site", "cross-site"))

    page = await site.browser.send("/", headers=headers)
    endpoint = await site.browser.send("/auth/refresh", headers=headers)

    assert (page.status, page.set_cookies) == (200, [])
    assert (endpoint.status, endpoint.set_cookies) == (405, [])


async def test_CS_6_no_answer_of_ours_may_be_read_across_origins(clock: Clock) -> None:
    site = with_endpoints(clock)
    await site.sign_in()
    for path, method in [*ENDPOINTS, ("/auth/session", "GET"), ("/", "GET"), ("/", "OPTIONS")]:
        response = await site.browser.send(path, method, headers=[("origin", ATTACKER)])

        assert not [n for n, _ in response.headers if n.lower().startswith(b"access-control")]


@pytest.mark.parametrize("before", ["nobody", "own", "planted", "expired"])
async def test_CS_7_a_login_always_begins_a_new_session(clock: Clock, before: str) -> None:
    """Session fixation: whatever came along is not adopted, and ends."""
    site = make_site(clock)
    old: str | None = None
    if before != "nobody":
        old = await site.sign_in("mallory" if before == "planted" else "alice")
        clock.advance(HOUR if before == "expired" else 0)
    came = set(site.browser.values().values())

    response = await site.browser.post("/login")

    [session] = await site.issuer.sessions("alice")
    assert session.id != old
    assert not came & set(response.cookies.values())
    assert await site.issuer.sessions("mallory") == []


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("planted", [True, False])
async def test_CS_7_another_site_signs_nobody_in_with_its_own_credentials(
    clock: Clock, headers: Any, planted: bool
) -> None:
    """Login CSRF: the victim would go on in the attacker's account."""
    site = make_site(clock)
    if planted:
        await site.sign_in("mallory")

    response = await site.browser.request("/login", "POST", headers=headers)

    assert (response.status, response.set_cookies) == (403, [])
    assert await site.issuer.sessions("alice") == []


async def test_CS_7_a_change_of_privileges_issues_anew(clock: Clock) -> None:
    site = make_site(clock, on_paths(sudo=doing(lambda auth: auth.elevate({"role": "admin"}))))
    await site.sign_in()
    thief = site.browser.fork()

    response = await site.browser.post("/sudo")

    assert given(response) == {ACCESS, REFRESH}
    assert (await site.browser.get("/")).json()["payload"]["role"] == "admin"
    assert (await thief.get("/")).json()["subject"] is None
    clock.advance(HOUR)
    assert (await thief.get("/")).json()["subject"] is None


# CS-8 (open redirects) is AB-94 in test_isolation.py: there is no redirect.


@pytest.mark.parametrize("headers", FOREIGN)
async def test_CS_9_an_answer_that_depends_on_the_origin_is_kept_by_nobody(
    clock: Clock, headers: Any
) -> None:
    """Not cacheable at all, so it needs no `Vary: Origin, Sec-Fetch-Site`."""
    site = make_site(clock)
    await site.sign_in()
    for path, cookies in [("/", None), ("/login", {})]:
        response = await site.browser.send(path, "POST", headers=headers, cookies=cookies)

        assert response.status == 403
        assert response.header("cache-control") == "private, no-store"


async def test_CS_9_a_safe_request_gets_the_same_answer_from_everywhere(clock: Clock) -> None:
    site = make_site(clock)
    await site.sign_in()
    answers = [
        await site.browser.send("/", headers=headers)
        for headers in [*FOREIGN, [("origin", "x")], []]
    ]

    assert len({(a.status, a.body, str(a.headers)) for a in answers}) == 1
    assert deleted(answers[0]) == set()


async def test_allow_leaves_it_all_to_the_application(clock: Clock) -> None:
    """The one switch that turns the rest of this file off."""
    for site, origin in [("cross-site", ATTACKER), ("same-site", ""), ("", "null")]:
        assert await status_of(clock, site=site, origin=origin, cross_origin="allow") == 200
