"""AB-81 to AB-89: the endpoints, for clients without cookies and for whoever attacks them."""

from __future__ import annotations

import json
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from asgi_refresh import Auth, Issuer, Key, RefreshEndpoint, RefreshMiddleware, bodies
from asgi_refresh.endpoints import bundle, router
from asgi_refresh.signers import Mac
from tests.blackbox.helpers import HOUR, WINDOW
from tests.endpoints.site import (
    ACCESS,
    BAD,
    FORM,
    JSON,
    OWN,
    REFRESH,
    Site,
    apart,
    bad_token,
    bearer,
    form,
)
from tests.hostile.tools import http, run
from tests.support import SECRET, Clock, Message, Response, _response, answer

pytestmark = pytest.mark.anyio

PATH = "/auth/refresh"
METHODS = {
    "/auth/refresh": "POST",
    "/auth/logout": "POST",
    "/auth/revoke": "POST",
    "/auth/session": "GET, HEAD",
    "/auth/sessions": "GET, HEAD, DELETE",
}
WRITES = ("add", "replace", "revoke", "revoke_subject")
ALL_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "post"]


def json_of(**members: Any) -> bytes:
    return json.dumps(members).encode()


async def signed_in(clock: Clock, **kwargs: Any) -> tuple[Site, Any]:
    site = Site(clock, **kwargs)
    tokens = await site.issuer.issue("alice")
    site.spy.calls.clear()
    return site, tokens


async def alive(site: Site, *subjects: str) -> list[int]:
    return [len(await site.alive(subject)) for subject in subjects or ("alice",)]


# --- AB-81: methods -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", METHODS)
@pytest.mark.parametrize("credential", ["cookies", "header", "none"])
async def test_AB_81_a_method_that_is_none_of_an_endpoints_is_405_and_does_nothing(
    clock: Clock, path: str, credential: str
) -> None:
    site, tokens = await signed_in(clock)
    browser = site.browser(tokens if credential == "cookies" else None)
    raw = tokens.access_token if "session" in path else tokens.refresh_token
    headers = [*OWN, bearer(raw)] if credential == "header" else list(OWN)
    for method in ALL_METHODS:
        if method in METHODS[path].split(", "):
            continue

        response = await browser.send(path, method, headers=headers)

        assert response.status == 405, method
        assert response.header("allow") == METHODS[path]
        assert response.header("cache-control") in ("no-store", "private, no-store")
        assert (response.body == b"") == (method == "HEAD")
        assert response.set_cookies == []
        assert site.spy.count(*WRITES) == 0


async def test_AB_81_a_head_request_to_a_page_for_get_is_its_get_without_a_body(
    clock: Clock,
) -> None:
    site, tokens = await signed_in(clock)
    browser = site.browser(tokens)

    got, head = [await browser.send("/auth/session", method) for method in ("GET", "HEAD")]

    assert (head.status, head.headers, head.body) == (got.status, got.headers, b"")


# --- AB-82: the Authorization header --------------------------------------------------------------

SPELLINGS = [
    (b"Bearer %b", 200),
    (b"bearer %b", 200),
    (b"BEARER %b", 200),
    (b"bEaReR   %b", 200),
    (b"Bearer %b  ", 200),
    (b"Bearer\t%b", 400),
    (b"Bearer %b\t", 401),
    (b"Bearer %b junk", 400),
    (b"Bearer %b,%b", 401),
    (b"Bearer %b, Bearer %b", 400),
    (b"Bearer%b", 400),
    (b"Bearer", 400),
    (b"Bearer ", 400),
    (b"Bearer =%b", 401),
    (b'Bearer "%b"', 401),
    (b"Bearer token=%b", 401),
    (b"Bearer \xff\xfe", 400),
    (b"Bearer %b\x00", 401),
    (b" Bearer %b", 401),
    (b"Basic %b", 401),
    (b"DPoP %b", 401),
    (b"Token %b", 401),
    (b"%b", 401),
    (b"", 401),
]


@pytest.mark.parametrize(("spelling", "status"), SPELLINGS)
async def test_AB_82_only_a_well_formed_header_is_exchanged(
    clock: Clock, spelling: bytes, status: int
) -> None:
    site, tokens = await signed_in(clock)
    value = spelling.replace(b"%b", tokens.refresh_token.encode())

    response = await site.post(PATH, ("authorization", value.decode("latin-1")))

    assert response.status == status
    assert tokens.refresh_token.encode() not in response.body
    if status != 200:
        assert site.spy.count(*WRITES) == 0


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/session", "/auth/logout"])
@pytest.mark.parametrize("second", ["Bearer x", "Basic eDp5", "", "same"])
async def test_AB_82_two_authorization_headers_are_no_credential(
    clock: Clock, path: str, second: str
) -> None:
    site, tokens = await signed_in(clock)
    raw = tokens.refresh_token if path == PATH else tokens.access_token
    one, other = bearer(raw), ("Authorization", f"Bearer {raw}" if second == "same" else second)
    for headers in ([one, other], [other, one]):
        response = await site.post(path, *headers, method="GET" if "session" in path else "POST")

        assert response.status == {PATH: 400, "/auth/session": 401, "/auth/logout": 204}[path]
    assert site.spy.count(*WRITES) == 0


@pytest.mark.parametrize("size", [8_193, 100_000, 1_000_000])
async def test_AB_82_a_header_without_end_is_401_and_asks_nobody(
    clock: Clock, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, tokens = await signed_in(clock)
    sums: list[bytes] = []
    monkeypatch.setattr(Mac, "verify", lambda mac, message, tag: sums.append(message))
    for raw in ("a" * size, tokens.refresh_token + "a" * size, "a." * size):
        response = await site.post(PATH, bearer(raw))

        assert (response.status, response.json()) == (401, {"error": "invalid_token"})
    assert (site.spy.calls, sums) == ([], [])


# --- AB-83: two of them ---------------------------------------------------------------------------


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("in_body", ["json", "form", "cookie"])
async def test_AB_83_a_refresh_token_in_two_places_is_400(
    clock: Clock, in_body: str, same: bool
) -> None:
    site, tokens = await signed_in(clock)
    other = tokens if same else await site.issuer.issue("alice")
    site.spy.calls.clear()
    headers, body, browser = [bearer(tokens.refresh_token)], b"", site.browser()
    if in_body == "json":
        headers, body = [*headers, JSON], json_of(refresh_token=other.refresh_token)
    elif in_body == "form":
        fields = form(grant_type="refresh_token", refresh_token=other.refresh_token)
        headers, body = [*headers, FORM], fields
    else:
        browser.put(REFRESH, other.refresh_token)
        headers += OWN

    response = await browser.send(PATH, "POST", headers=headers, body=body)

    assert (response.status, response.json()) == (400, {"error": "invalid_request"})
    assert (response.set_cookies, site.spy.calls) == ([], [])


@pytest.mark.parametrize("kind", [JSON, FORM])
async def test_AB_83_a_refresh_token_in_cookie_and_body_is_400(clock: Clock, kind: Any) -> None:
    site, tokens = await signed_in(clock)
    fields = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token}
    body = json_of(**fields) if kind is JSON else form(**fields)

    response = await site.browser(tokens).send(PATH, "POST", headers=[*OWN, kind], body=body)

    assert (response.status, response.set_cookies, site.spy.calls) == (400, [], [])


async def test_AB_83_an_access_token_may_come_along(clock: Clock) -> None:
    """Next to a body `Authorization` holds the access token that is to end (DESIGN, 1)."""
    site, tokens = await signed_in(clock)
    body = json_of(refresh_token=tokens.refresh_token)

    response = await site.post(PATH, bearer(tokens.access_token), JSON, body=body)

    assert response.status == 200


# --- AB-84: bodies --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        *(None, "", "text/plain", "application/jwt", "multipart/form-data; boundary=x"),
        *("text/json", "application/json, text/plain", "application/jsonp"),
        *("application/json-patch+json", "application/x-www-form-urlencodedx", "*/*"),
        *("application/xml"),
    ],
)
async def test_AB_84_any_other_type_is_415(clock: Clock, kind: str | None) -> None:
    """CVE-2021-32677. The case has forms refused too: here they are a way (RFC 6749, 6)."""
    site, tokens = await signed_in(clock)
    headers = [] if kind is None else [("content-type", kind)]

    response = await site.post(PATH, *headers, body=json_of(refresh_token=tokens.refresh_token))

    assert (response.status, site.spy.calls) == (415, [])


async def test_AB_84_json_under_the_name_of_a_form_is_no_token(clock: Clock) -> None:
    site, tokens = await signed_in(clock)

    response = await site.post(PATH, FORM, body=json_of(refresh_token=tokens.refresh_token))

    assert (response.status, site.spy.calls) == (400, [])


BODIES = [
    b"{",
    b"null",
    b"[]",
    b"17",
    b'"token"',
    b"true",
    b"{}",
    b'{"refresh_token": null}',
    b'{"refresh_token": 1}',
    b'{"refresh_token": ""}',
    b'{"refresh_token": ["x"]}',
    b'{"refresh_token": {"x": 1}}',
    b'{"refresh_token": NaN}',
    b'{"refresh_token": "x", "n": Infinity}',
    b'{"refresh_token": "x", "refresh_token": "y"}',
    b'{"refresh_token": "x", "a": {"b": 1, "b": 2}}',
    b'{"refresh_token": "x"} x',
    b'{"refresh_token": "x"}{"refresh_token": "x"}',
    b"{'refresh_token': 'x'}",
    b"\xef\xbb\xbf" + b'{"refresh_token": "x"}',
    '{"refresh_token": "x"}'.encode("utf-16"),
    b'{"refresh_token": "\xff"}',
    b"[" * 16_384,
    b'{"a":' * 3_000,
    b'{"refresh_token": "x", "n": 1e400}',
    b'{"refresh_token": "x", "n": ' + b"9" * 5000 + b"}",
    b"\x00" * 100,
    b" " * 16_384,
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:24]))
async def test_AB_84_a_body_that_says_no_token_is_400(clock: Clock, body: bytes) -> None:
    site, _ = await signed_in(clock)

    response = await site.post(PATH, JSON, body=body)

    assert (response.status, response.json()) == (400, {"error": "invalid_request"})
    assert site.spy.calls == []


async def test_AB_84_nesting_is_no_error(clock: Clock) -> None:
    """CPython 3.13 reads it, and finds a token that is none; older ones do not."""
    site, _ = await signed_in(clock)
    body = b'{"refresh_token": "x", "n": ' + b"[" * 8000 + b"]" * 8000 + b"}"

    response = await site.post(PATH, JSON, body=body)

    assert response.status in (400, 401)
    assert site.spy.calls == []


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 50_000, b" " * 16_385])
@pytest.mark.parametrize("kind", [JSON, FORM])
async def test_AB_84_a_body_beyond_the_limit_is_413_unparsed(
    clock: Clock, body: bytes, kind: Any
) -> None:
    site, _ = await signed_in(clock)

    response = await site.post(PATH, kind, body=body)

    assert (response.status, response.header("connection")) == (413, "close")


class Client:
    """A client that sends *piece* over and over, and counts."""

    def __init__(self, piece: bytes) -> None:
        self.piece, self.asked = piece, 0

    async def receive(self) -> Message:
        self.asked += 1
        await anyio.lowlevel.checkpoint()
        return {"type": "http.request", "body": self.piece, "more_body": True}


async def collect(site: Site, path: str, receive: Any, *headers: Any) -> Response:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers]
    await site.app(http(path, "POST", headers=raw), receive, send)
    return _response(sent)


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/revoke", "/auth/logout"])
@pytest.mark.parametrize("kind", [JSON, FORM])
@pytest.mark.parametrize("size", [64, 1024, 16_385, 1_000_000])
async def test_AB_84_a_body_without_end_is_413_as_soon_as_that_shows(
    clock: Clock, path: str, kind: Any, size: int
) -> None:
    """1 GB in chunks: nothing past the limit is asked for, so nothing past it is held."""
    site, _ = await signed_in(clock)
    client = Client(b" " * size)

    response = await collect(site, path, client.receive, kind)

    assert (response.status, response.header("connection")) == (413, "close")
    assert client.asked == 16_384 // size + 1


async def test_AB_84_a_body_that_is_announced_too_long_is_never_read(clock: Clock) -> None:
    site, _ = await signed_in(clock)
    client = Client(b"x")

    response = await collect(site, PATH, client.receive, JSON, ("content-length", str(10**9)))

    assert (response.status, client.asked) == (413, 0)


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/revoke", "/auth/logout"])
async def test_AB_84_a_client_that_says_nothing_more_is_408(
    clock: Clock, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BODY_TIMEOUT", 0.01)
    site, _ = await signed_in(clock)

    response = await collect(site, path, anyio.sleep_forever, JSON)

    assert (response.status, response.header("connection")) == (408, "close")
    assert site.spy.count(*WRITES) == 0


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/revoke"])
async def test_AB_84_a_client_that_leaves_early_has_changed_nothing(
    clock: Clock, path: str
) -> None:
    site, tokens = await signed_in(clock)
    name = "refresh_token" if path == PATH else "token"
    whole = json_of(**{name: tokens.refresh_token})
    messages = [
        {"type": "http.request", "body": whole, "more_body": True},
        {"type": "http.disconnect"},
    ]

    await run(
        site.app, http(path, "POST", headers=[(b"content-type", b"application/json")]), messages
    )

    assert site.spy.count(*WRITES) == 0
    assert await alive(site) == [1]


# --- AB-85 and AB-86: tokens of another kind, of another session ----------------------------------


@pytest.mark.parametrize("way", ["header", "json", "form"])
@pytest.mark.parametrize("stored", [True, False])
async def test_AB_85_an_access_token_is_no_refresh_token_and_no_oracle(
    clock: Clock, way: str, stored: bool
) -> None:
    site, tokens = await signed_in(clock, stored=stored)
    answers = set()
    for raw in (tokens.access_token, "garbage", tokens.refresh_token[:-2] + "AA"):
        if way == "form":
            response = await site.by_form(raw)
        elif way == "json":
            response = await site.post(PATH, JSON, body=json_of(refresh_token=raw))
        else:
            response = await site.post(PATH, bearer(raw))
        answers.add(repr(apart(response)))

    assert len(answers) == 1
    assert ("400" if way == "form" else "401") in answers.pop()
    assert site.spy.calls == []


@pytest.mark.parametrize("kind", BAD)
async def test_AB_85_every_bad_token_gets_the_answer_of_garbage(clock: Clock, kind: str) -> None:
    site = Site(clock)
    raw = await bad_token(kind, site)

    assert apart(await site.post(PATH, bearer(raw))) == apart(await site.post(PATH, bearer("x")))


async def companions(site: Site) -> dict[str, str]:
    """Access tokens that are none of Alice's session."""
    other = await site.issuer.issue("alice")
    mallory = await site.issuer.issue("mallory")
    tampered = mallory.access_token[:-2] + "AA"
    return {
        "other session": other.access_token,
        "other user": mallory.access_token,
        "forged": tampered,
        "garbage": "undefined",
    }


@pytest.mark.parametrize("kind", ["other session", "other user", "forged", "garbage"])
@pytest.mark.parametrize("by", [JSON, FORM])
async def test_AB_86_a_companion_of_another_session_ends_nothing(
    clock: Clock, kind: str, by: Any
) -> None:
    """better-auth: unverified cookies drove the revocation of other sessions."""
    site, tokens = await signed_in(clock)
    companion = (await companions(site))[kind]
    before = await alive(site, "alice", "mallory")
    fields = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token}
    body = json_of(**fields) if by is JSON else form(**fields)

    response = await site.post(PATH, bearer(companion), by, body=body)

    genuine = kind.startswith("other")
    refused = 401 if by is JSON else 400
    assert response.status == (refused if genuine else 200)
    assert await alive(site, "alice", "mallory") == before
    if genuine:
        await site.issuer.authenticate(companion)  # it is still good
        await site.issuer.authenticate(tokens.access_token)


@pytest.mark.parametrize("path", ["/auth/logout", "/auth/revoke", "/logout"])
async def test_AB_86_forged_tokens_sign_nobody_out(clock: Clock, path: str) -> None:
    site, tokens = await signed_in(clock)
    for raw in (tokens.refresh_token[:-2] + "AA", tokens.access_token[:-2] + "AA", "x"):
        browser = site.browser()
        browser.put(ACCESS, raw)
        browser.put(REFRESH, raw)
        body = json_of(token=raw) if "revoke" in path else b""
        await browser.send(path, "POST", headers=[*OWN, JSON, bearer(raw)], body=body)

    assert site.spy.count("revoke", "revoke_subject") == 0
    assert await alive(site) == [1]


async def test_AB_86_an_id_in_the_request_ends_no_session_of_another_user(clock: Clock) -> None:
    """CVE-2025-61928 (better-auth): an id in the body replaced that of the session."""
    site, tokens = await signed_in(clock)
    mallory = await site.signed_in("mallory")

    response = await mallory.send(
        "/auth/sessions",
        "DELETE",
        headers=OWN,
        scope={"query_string": f"id={tokens.session_id}".encode()},
    )

    assert response.status == 404
    assert await alive(site, "alice", "mallory") == [1, 1]


# --- AB-87 and AB-88: what answers say ------------------------------------------------------------


async def all_answers(site: Site, tokens: Any) -> dict[str, Response]:
    """One answer of each kind that the endpoints give."""
    browser = site.browser(tokens)
    access, raw = bearer(tokens.access_token), tokens.refresh_token
    answers = {
        "none": await site.post(PATH),
        "garbage": await site.post(PATH, bearer("x")),
        "malformed": await site.post(PATH, JSON, body=b"{"),
        "type": await site.post(PATH, body=b"x"),
        "long": await site.post(PATH, JSON, body=b" " * 20_000),
        "method": await site.post(PATH, method="GET"),
        "form garbage": await site.by_form("x"),
        "form grant": await site.by_form(raw, grant="password"),
        "session": await site.post("/auth/session", access, method="GET"),
        "no session": await site.post("/auth/session", method="GET"),
        "bad session": await site.post("/auth/session", bearer("x"), method="GET"),
        "sessions": await site.post("/auth/sessions", access, method="GET"),
        "revoke nothing": await site.post("/auth/revoke", JSON, body=json_of(token="x")),
        "cross-site": await browser.send(
            PATH, "POST", headers=[("origin", "https://evil.example")]
        ),
        "cookie": await browser.send(PATH, "POST", headers=OWN),
        "json": await site.post(PATH, JSON, body=json_of(refresh_token=raw)),
        "form": await site.by_form(raw),
        "header": await site.post(PATH, bearer(raw)),
        "logout": await browser.send("/auth/logout", "POST", headers=OWN),
    }
    site.spy.broken.add("*")
    answers["away"] = await site.post(PATH, bearer(await site_token(site)))
    return answers


async def site_token(site: Site) -> str:
    session = site.issuer.mint.session("alice", None, persistent=True, device=None)
    return site.issuer.profile.mint_refresh(session, 1, now=site.clock()).decode()


async def test_AB_87_no_answer_may_be_kept_or_guessed_at(clock: Clock) -> None:
    site, tokens = await signed_in(clock)
    answers = await all_answers(site, tokens)

    statuses = {name: answer.status for name, answer in answers.items()}
    assert statuses["away"] == 503
    assert [statuses[name] for name in ("json", "form", "header", "cookie")] == [200] * 4
    for name, response in answers.items():
        assert "no-store" in (response.header("cache-control") or ""), name
        if name not in ("cross-site", "cookie", "logout"):
            assert response.header("pragma") == "no-cache", name
        if response.body:
            assert response.header("x-content-type-options") == "nosniff", name
            kind = "text/plain; charset=utf-8" if name == "cross-site" else "application/json"
            assert response.header("content-type") == kind, name


async def test_AB_87_no_error_repeats_what_was_sent(clock: Clock) -> None:
    site, tokens = await signed_in(clock)
    for name, response in (await all_answers(site, tokens)).items():
        told = repr((response.headers, response.body))
        if response.status >= 400:
            for raw in (tokens.access_token, tokens.refresh_token, tokens.session_id):
                assert raw not in told, name
            if name != "cross-site":
                assert set(response.json()) == {"error"}, name


async def test_AB_87_a_challenge_is_that_of_rfc_6750(clock: Clock) -> None:
    """Without credentials there is no error code to tell."""
    site, tokens = await signed_in(clock)
    answers = await all_answers(site, tokens)

    challenges = {name: r.header("www-authenticate") for name, r in answers.items()}
    assert {name for name, challenge in challenges.items() if challenge} == {
        *("none", "no session", "garbage", "bad session"),
    }
    for name in ("none", "no session"):
        assert (challenges[name] or "").startswith("Bearer")
        assert "error" not in (challenges[name] or "")
    assert challenges["bad session"] == 'Bearer error="invalid_token"'
    assert challenges["garbage"] == 'Bearer error="invalid_token"'
    assert all(r.status == 401 for name, r in answers.items() if challenges[name])
    assert answers["away"].header("retry-after") == "1"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://app.example"])
async def test_AB_88_no_answer_speaks_of_origins(clock: Clock, origin: str) -> None:
    site, tokens = await signed_in(clock)
    for path, methods in METHODS.items():
        for method in [*methods.split(", "), "OPTIONS", "PUT"]:
            for browser in (site.browser(), site.browser(tokens)):
                preflight = ("access-control-request-method", "POST")
                headers = [("origin", origin), preflight, bearer(tokens.access_token)]
                response = await browser.send(path, method, headers=headers)

                names = [name.lower() for name, _ in response.headers]
                assert [n for n in names if n.startswith(b"access-control-")] == [], path


async def test_AB_88_behind_the_middleware_neither(clock: Clock) -> None:
    site, tokens = await signed_in(clock)
    clock.advance(HOUR)
    for method in ("GET", "POST", "OPTIONS"):
        response = await site.browser(tokens).send(
            "/", method, headers=[("origin", "https://evil.example")]
        )
        assert not [name for name, _ in response.headers if name.startswith(b"access-control")]


async def test_AB_88_only_the_public_keys_are_readable_from_anywhere_and_without_credentials(
    clock: Clock,
) -> None:
    """Keys are public, whoever asks; `*` never goes with credentials."""
    issuer = Issuer(Key.generate("ES256", "k"), secret=SECRET, store=None, clock=clock)
    app = bundle(issuer)["/.well-known/jwks.json"]
    response = _response(await run(app, http("/x", headers=[(b"origin", b"https://evil.example")])))

    assert response.header("access-control-allow-origin") == "*"
    assert response.header("access-control-allow-credentials") is None
    assert b'"d"' not in response.body


# --- AB-89: paths ---------------------------------------------------------------------------------

NEAR = [
    "/auth/refresh/",
    "//auth/refresh",
    "/auth//refresh",
    "/auth/refresh/..",
    "/auth/./refresh",
    "/x/../auth/refresh",
    "/auth%2frefresh",
    "/auth/%72efresh",
    "/Auth/refresh",
    "/auth/REFRESH",
    "/auth/refresh;x=1",
    "/auth/refresh?x",
    "/auth/refresh#x",
    "/auth/refresh\x00",
    "/auth/refresh ",
    "/auth/refresh.json",
    "/evil/auth/refresh",
    "auth/refresh",
    "/auth/refreshx",
    "/auth",
    "",
]


@pytest.mark.parametrize("path", NEAR)
async def test_AB_89_the_path_of_an_endpoint_is_exact(clock: Clock, path: str) -> None:
    """As the server decoded it into `scope["path"]`; never a suffix, never normalised."""
    site, tokens = await signed_in(clock)

    response = await site.post(path, bearer(tokens.refresh_token))

    assert b"refresh_token" not in response.body
    assert response.json()["reason"] == "invalid_token"  # whoami: no access token is a refresh one
    assert site.spy.count(*WRITES) == 0


@pytest.mark.parametrize(
    ("root_path", "path", "matches"),
    [
        ("/api", "/api/auth/refresh", True),
        ("/api/", "/api/auth/refresh", True),
        ("/api", "/auth/refresh", True),  # servers that do not prefix it (ASGI before 2.3)
        ("/api", "/apiauth/refresh", False),
        ("/api", "/api2/auth/refresh", False),
        ("/api", "/api//auth/refresh", False),
        ("/api", "/api/api/auth/refresh", False),
        ("/auth", "/auth/refresh", False),
        ("/auth", "/auth/auth/refresh", True),
        ("", "/auth/refresh", True),
        ("/", "/auth/refresh", True),
    ],
)
async def test_AB_89_below_a_root_path_the_rest_of_the_path_is_exact(
    clock: Clock, root_path: str, path: str, matches: bool
) -> None:
    site, tokens = await signed_in(clock)
    headers = [bearer(tokens.refresh_token)]

    response = await site.browser().send(
        path, "POST", headers=headers, scope={"root_path": root_path}
    )

    assert ("access_token" in response.json()) == matches


@pytest.mark.parametrize(
    ("path", "found"),
    [
        *(("/api/auth/refresh", True), ("/api/auth/refresh/", False), ("/auth/refresh", False)),
        *(("/api/auth/xrefresh", False), ("/api/auth/auth/refresh", False)),
    ],
)
async def test_AB_89_as_a_route_of_a_mounted_router_it_is_exact_too(
    clock: Clock, path: str, found: bool
) -> None:
    site, tokens = await signed_in(clock)
    app = Starlette(routes=[Mount("/api/auth", router(site.issuer))])
    headers = [bearer(tokens.refresh_token)]

    response = await site.browser(app=app).send(path, "POST", headers=headers)

    assert (response.status == 200) == found
    assert response.status in (200, 307, 404)
    if not found:
        assert site.spy.count(*WRITES) == 0


async def test_AB_89_the_host_header_moves_no_path(clock: Clock) -> None:
    """CVE-2026-48710: paths were compared with a URL that was built from Host."""
    site, tokens = await signed_in(clock)
    clock.advance(WINDOW + 1)
    for host in (b"app.example/auth/refresh?", b"x/auth/refresh#", b"/auth/refresh"):
        headers = [(b"host", host), (b"authorization", f"Bearer {tokens.refresh_token}".encode())]
        scope = http("/", "POST") | {"headers": headers}

        sent = await run(site.app, scope)

        assert b"access_token" not in sent[1]["body"]
    assert site.spy.count(*WRITES) == 0


async def test_AB_89_an_endpoint_behind_a_route_of_another_name_answers_there(
    clock: Clock,
) -> None:
    site, tokens = await signed_in(clock)
    routes = [Route("/token", RefreshEndpoint(site.issuer))]
    app = RefreshMiddleware(Starlette(routes=routes), site.issuer)

    response = await site.browser(app=app).send(
        "/token", "POST", headers=[bearer(tokens.refresh_token)]
    )

    assert response.status == 200


async def test_AB_89_no_cookie_is_read_before_the_endpoint_answers(clock: Clock) -> None:
    """`endpoints` are in front of everything: what stands there decides for itself."""
    seen: list[Any] = []

    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(LookupError):
            Auth.of(scope)
        seen.append(scope["path"])
        await answer(send, 204)

    site, tokens = await signed_in(clock)
    app = RefreshMiddleware(endpoint, site.issuer, endpoints={"/x": endpoint})
    clock.advance(HOUR)

    response = await site.browser(tokens, app=app).send("/x", "POST")

    assert (seen, response.set_cookies, site.spy.calls) == (["/x"], [], [])
