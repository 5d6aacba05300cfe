"""`RefreshEndpoint`: the explicit refresh, for whoever has no cookies and whoever attacks it."""

from __future__ import annotations

import json
import time
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from asgi_refresh import Issuer, RefreshEndpoint, Tokens, bodies
from asgi_refresh.errors import ConfigurationError, InvalidTokenError, StoreRequiredError
from tests.hostile.tools import (
    ACCESS,
    REFRESH,
    Recorder,
    cookie_line,
    http,
    jar,
    run,
    set_cookies,
    token,
    websocket,
    wrapped,
)
from tests.support import Clock, Message, Response, Spy, _response, make_issuer

pytestmark = pytest.mark.anyio

JSON = (b"content-type", b"application/json")


def bearer(raw: str | bytes) -> tuple[bytes, bytes]:
    return b"authorization", b"Bearer " + (raw.encode() if isinstance(raw, str) else raw)


def body_of(raw: Any, **more: Any) -> bytes:
    return json.dumps({"refresh_token": raw} | more).encode()


async def post(
    app: Any, *headers: tuple[bytes, bytes], body: Any = b"", method: str = "POST", **scope: Any
) -> Response:
    """Send a request whose body comes in one piece, or in as many as *body* has."""
    pieces = [body] if isinstance(body, bytes) else list(body)
    inbox: list[Message] = [
        {"type": "http.request", "body": piece, "more_body": i < len(pieces)}
        for i, piece in enumerate(pieces, 1)
    ]
    path = scope.pop("path", "/refresh")
    return _response(await run(app, http(path, method, headers=headers, **scope), inbox=inbox))


async def by_json(app: Any, raw: Any, *headers: tuple[bytes, bytes], **more: Any) -> Response:
    return await post(app, JSON, *headers, body=body_of(raw, **more))


class Site:
    """An issuer, its endpoint, and one session that began an hour ago."""

    issuer: Issuer
    endpoint: RefreshEndpoint
    tokens: Tokens
    spy: Spy

    @classmethod
    async def new(cls, clock: Clock, *, stored: bool = True, **kwargs: Any) -> Site:
        site = cls()
        site.spy = Spy()
        site.issuer = make_issuer(clock, store=site.spy if stored else None, **kwargs)
        site.endpoint = RefreshEndpoint(site.issuer)
        site.tokens = await site.issuer.issue("alice")
        clock.advance(300)
        site.spy.calls.clear()
        return site


def writes(spy: Spy) -> int:
    return spy.count("add", "replace", "revoke", "revoke_subject", "purge")


# --- the good answer ------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", [True, False])
async def test_a_refresh_token_in_the_header_is_exchanged(clock: Clock, stored: bool) -> None:
    site = await Site.new(clock, stored=stored)

    response = await post(site.endpoint, bearer(site.tokens.refresh_token))

    assert site.issuer.verify(response.json()["access_token"])["sub"] == "alice"


@pytest.mark.parametrize(
    "kind",
    [
        b"application/json", b"application/json; charset=utf-8", b"application/json;charset=UTF-8",
        b"Application/JSON", b"application/json ; x=y", b" application/json ",
    ],
)  # fmt: skip
@pytest.mark.parametrize("stored", [True, False])
async def test_a_refresh_token_in_a_json_body_is_exchanged(
    clock: Clock, kind: bytes, stored: bool
) -> None:
    site = await Site.new(clock, stored=stored)

    response = await post(
        site.endpoint, (b"content-type", kind), body=body_of(site.tokens.refresh_token)
    )

    assert site.issuer.verify(response.json()["access_token"])["sub"] == "alice"


@pytest.mark.parametrize("stored", [True, False])
async def test_the_answer_is_that_of_rfc_6749(clock: Clock, stored: bool) -> None:
    site = await Site.new(clock, stored=stored)

    response = await by_json(site.endpoint, site.tokens.refresh_token)

    told = response.json()
    assert response.status == 200
    assert told["token_type"] == "Bearer"
    assert (told["expires_in"], type(told["refresh_expires_in"])) == (600, int)
    assert isinstance(told["refresh_token"], str)


async def test_the_new_refresh_token_is_good_for_the_next_exchange(clock: Clock) -> None:
    site = await Site.new(clock)
    raw = site.tokens.refresh_token

    for _ in range(4):
        response = await by_json(site.endpoint, raw)
        assert response.status == 200
        raw = response.json()["refresh_token"]
        clock.advance(3600)


async def test_the_same_refresh_token_twice_gets_the_same_successor(clock: Clock) -> None:
    site = await Site.new(clock)

    first, second = [await by_json(site.endpoint, site.tokens.refresh_token) for _ in range(2)]

    assert first.json()["refresh_token"] == second.json()["refresh_token"]


async def test_the_same_refresh_token_many_times_writes_once(clock: Clock) -> None:
    site = await Site.new(clock)

    for _ in range(20):
        await by_json(site.endpoint, site.tokens.refresh_token)

    assert writes(site.spy) == 1


@pytest.mark.parametrize("good", [True, False])
async def test_no_answer_may_be_kept_or_guessed_at(clock: Clock, good: bool) -> None:
    site = await Site.new(clock)

    response = await by_json(site.endpoint, site.tokens.refresh_token if good else "x")

    assert response.header("cache-control") == "no-store"
    assert response.header("pragma") == "no-cache"
    assert response.header("content-type") == "application/json"
    assert response.header("x-content-type-options") == "nosniff"
    assert response.header("content-length") == str(len(response.body))


@pytest.mark.parametrize("good", [True, False])
async def test_no_answer_speaks_of_origins_or_sets_cookies(clock: Clock, good: bool) -> None:
    site = await Site.new(clock)
    origin = (b"origin", b"https://evil.example")

    response = await by_json(site.endpoint, site.tokens.refresh_token if good else "x", origin)

    names = {name for name, _ in response.headers}
    assert [name for name in names if name.startswith(b"access-control")] == []
    assert b"set-cookie" not in names


@pytest.mark.parametrize("size", [1, 7, 100])
async def test_a_body_may_come_in_pieces(clock: Clock, size: int) -> None:
    site = await Site.new(clock)
    whole = body_of(site.tokens.refresh_token)
    pieces = [whole[i : i + size] for i in range(0, len(whole), size)]

    assert (await post(site.endpoint, JSON, body=[*pieces, b""])).status == 200


async def test_a_request_message_without_its_optional_keys_is_an_empty_body(clock: Clock) -> None:
    site = await Site.new(clock)
    scope = http("/refresh", "POST", headers=[bearer(site.tokens.refresh_token)])

    sent = await run(site.endpoint, scope, inbox=[{"type": "http.request"}])

    assert sent[0]["status"] == 200


async def test_other_members_of_the_body_do_not_matter(clock: Clock) -> None:
    site = await Site.new(clock)

    response = await by_json(site.endpoint, site.tokens.refresh_token, grant_type="x", userId=7)

    assert response.status == 200


# --- bad requests ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "post", ""]
)
async def test_anything_but_post_is_405_and_names_post(clock: Clock, method: str) -> None:
    site = await Site.new(clock)

    response = await post(site.endpoint, bearer(site.tokens.refresh_token), method=method)

    assert (response.status, response.header("allow"), site.spy.calls) == (405, "POST", [])


@pytest.mark.parametrize(
    "kind",
    [
        b"text/plain", b"multipart/form-data; boundary=x", b"application/x-www-form-urlencoded2",
        b"", b"json", b"text/json", b"application/jsonp", b"application/json-patch+json",
        b"application/x; application/json", b"application/json, text/plain", b"\xff",
    ],
)  # fmt: skip
async def test_a_body_of_any_other_type_is_415(clock: Clock, kind: bytes) -> None:
    site = await Site.new(clock)

    response = await post(
        site.endpoint, (b"content-type", kind), body=body_of(site.tokens.refresh_token)
    )

    assert (response.status, site.spy.calls) == (415, [])


async def test_a_body_without_a_type_is_415(clock: Clock) -> None:
    site = await Site.new(clock)

    response = await post(site.endpoint, body=body_of(site.tokens.refresh_token))

    assert (response.status, site.spy.calls) == (415, [])


@pytest.mark.parametrize("order", [1, -1])
async def test_a_body_of_two_types_is_refused(clock: Clock, order: int) -> None:
    site = await Site.new(clock)
    types = [JSON, (b"content-type", b"text/plain")][::order]

    response = await post(site.endpoint, *types, body=body_of(site.tokens.refresh_token))

    assert response.status in (400, 415)


BAD_BODIES = [
    b"", b"{", b"[]", b"1", b"null", b'"x"', b"{}", b"[" * 16_000, b'{"a":' * 3_000, b"\xff",
    b"\xef\xbb\xbf{}", b'{"refresh_token": NaN}', b'{"refresh_token": null}', b"\x00",
    b'{"refresh_token": 1}', b'{"refresh_token": ""}', b'{"refresh_token": ["x"]}',
    b'{"refresh_token": {"a": 1}}', b'{"refresh_token": true}', b'{"Refresh_Token": "x"}',
    b'{"refreshToken": "x"}', b'{"refresh_token": "x"} x', b'{"refresh_token": "a\nb"}',
    b'{"x": 1' + b"0" * 5000 + b"}", b"refresh_token=x", b'{"refresh_token": "x",}',
    '{"refresh_token": "x"}'.encode("utf-16"), b"{'refresh_token': 'x'}",
]  # fmt: skip


@pytest.mark.parametrize("raw", BAD_BODIES, ids=lambda raw: ascii(raw)[:30])
async def test_a_body_that_says_no_token_is_400(clock: Clock, raw: bytes) -> None:
    site = await Site.new(clock)

    response = await post(site.endpoint, JSON, body=raw)

    assert (response.status, response.json()) == (400, {"error": "invalid_request"})
    assert site.spy.calls == []


@pytest.mark.parametrize("first", [True, False])
async def test_a_token_member_that_stands_twice_is_400(clock: Clock, first: bool) -> None:
    site = await Site.new(clock)
    members = [f'"refresh_token": "{site.tokens.refresh_token}"', '"refresh_token": "x"']

    raw = "{" + ", ".join(members if first else members[::-1]) + "}"

    assert (await post(site.endpoint, JSON, body=raw.encode())).status == 400


@pytest.mark.parametrize(
    "raw", [b"Bearer", b"Bearer ", b"Bearer\tx", b"bearer a b", b"Bearer \xff"]
)
async def test_a_malformed_bearer_header_is_400(clock: Clock, raw: bytes) -> None:
    site = await Site.new(clock)

    response = await post(site.endpoint, (b"authorization", raw))

    assert (response.status, response.json()) == (400, {"error": "invalid_request"})


OTHER_SCHEMES = [b"Basic dXNlcjpwYXNz", b"", b"Token x", b"Negotiate x"]


@pytest.mark.parametrize("raw", OTHER_SCHEMES)
async def test_a_header_of_another_scheme_alone_is_no_credential(clock: Clock, raw: bytes) -> None:
    site = await Site.new(clock)

    response = await post(site.endpoint, (b"authorization", raw))

    assert (response.status, response.header("www-authenticate")) == (401, "Bearer")


@pytest.mark.parametrize("raw", OTHER_SCHEMES)
async def test_a_header_of_another_scheme_does_not_spoil_the_body(clock: Clock, raw: bytes) -> None:
    """A staging host behind Basic authentication sends one with every request."""
    site = await Site.new(clock)
    body = json.dumps({"refresh_token": site.tokens.refresh_token}).encode()

    response = await post(site.endpoint, (b"authorization", raw), JSON, body=body)

    assert response.status == 200


@pytest.mark.parametrize("scheme", [b"bearer ", b"BEARER ", b"Bearer   "])
async def test_the_scheme_counts_in_any_case(clock: Clock, scheme: bytes) -> None:
    site = await Site.new(clock)
    header = (b"authorization", scheme + site.tokens.refresh_token.encode())

    assert (await post(site.endpoint, header)).status == 200


@pytest.mark.parametrize("name", [b"authorization", b"Authorization", b"AUTHORIZATION"])
async def test_two_authorization_headers_are_400(clock: Clock, name: bytes) -> None:
    site = await Site.new(clock)
    header = bearer(site.tokens.refresh_token)

    assert (await post(site.endpoint, header, (name, header[1]))).status == 400


@pytest.mark.parametrize("same", [True, False])
async def test_refresh_tokens_in_header_and_body_are_400(clock: Clock, same: bool) -> None:
    site = await Site.new(clock)
    other = site.tokens if same else await site.issuer.issue("bob")
    site.spy.calls.clear()

    response = await by_json(site.endpoint, site.tokens.refresh_token, bearer(other.refresh_token))

    assert (response.status, response.json(), site.spy.calls) == (
        400, {"error": "invalid_request"}, [],
    )  # fmt: skip


async def test_no_token_at_all_is_401_with_a_bare_challenge(clock: Clock) -> None:
    site = await Site.new(clock)

    response = await post(site.endpoint)

    assert response.status == 401
    assert response.header("www-authenticate") == "Bearer"


async def test_a_token_in_the_query_is_no_token(clock: Clock) -> None:
    site = await Site.new(clock)
    query = f"refresh_token={site.tokens.refresh_token}".encode()

    assert (await post(site.endpoint, query_string=query)).status == 401


@pytest.mark.parametrize("name", [ACCESS, f"{REFRESH}x", REFRESH.lower()])
async def test_a_token_in_any_but_the_refresh_cookie_is_no_token(clock: Clock, name: str) -> None:
    site = await Site.new(clock)
    cookie = (b"cookie", f"{name}={jar(site.tokens)[ACCESS]}".encode())

    response = await post(site.endpoint, cookie)

    assert (response.status, response.set_cookies, site.spy.calls) == (401, [], [])


# --- size and time (AB-84) ------------------------------------------------------------------------


class Endless:
    """A client that sends 4 KiB for ever, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def receive(self) -> Message:
        self.asked += 1
        await anyio.lowlevel.checkpoint()
        return {"type": "http.request", "body": b" " * 4096, "more_body": True}


async def collect(app: Any, scope: Any, receive: Any) -> Response:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return _response(sent)


async def test_an_endless_body_is_413_after_a_few_reads(clock: Clock) -> None:
    site, client = await Site.new(clock), Endless()

    response = await collect(
        site.endpoint, http("/refresh", "POST", headers=[JSON]), client.receive
    )

    assert (response.status, client.asked) == (413, 5)


async def test_a_body_that_announces_too_much_is_413_without_a_read(clock: Clock) -> None:
    site, client = await Site.new(clock), Endless()
    headers = [JSON, (b"content-length", b"1073741824")]

    response = await collect(
        site.endpoint, http("/refresh", "POST", headers=headers), client.receive
    )

    assert (response.status, client.asked) == (413, 0)


@pytest.mark.parametrize(("extra", "status"), [(0, 200), (1, 413)])
async def test_a_body_may_be_16_kib(clock: Clock, extra: int, status: int) -> None:
    site = await Site.new(clock)
    raw = body_of(site.tokens.refresh_token)
    raw += b" " * (16 * 1024 + extra - len(raw))

    assert (await post(site.endpoint, JSON, body=raw)).status == status


@pytest.mark.parametrize("length", [b"-1", b"x", b"", b"1e9", b"9" * 400, b"\xff", b"1 "])
async def test_a_content_length_that_is_none_is_the_servers_business(
    clock: Clock, length: bytes
) -> None:
    site = await Site.new(clock)

    response = await post(
        site.endpoint, JSON, (b"content-length", length), body=body_of(site.tokens.refresh_token)
    )

    assert response.status == 200


async def test_a_client_that_sends_nothing_is_408(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BODY_TIMEOUT", 0.02)
    site = await Site.new(clock)
    began = time.perf_counter()

    response = await collect(
        site.endpoint, http("/refresh", "POST", headers=[JSON]), anyio.sleep_forever
    )

    assert (response.status, site.spy.calls) == (408, [])
    assert time.perf_counter() - began < 2


async def test_a_client_that_trickles_is_408(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_TIMEOUT", 0.05)
    site = await Site.new(clock)

    async def receive() -> Message:
        await anyio.sleep(0.005)
        return {"type": "http.request", "body": b" ", "more_body": True}

    response = await collect(site.endpoint, http("/refresh", "POST", headers=[JSON]), receive)

    assert response.status == 408


async def test_a_client_that_leaves_in_the_middle_exchanges_nothing(clock: Clock) -> None:
    site = await Site.new(clock)
    raw = body_of(site.tokens.refresh_token)
    inbox = [{"type": "http.request", "body": raw, "more_body": True}, {"type": "http.disconnect"}]

    sent = await run(site.endpoint, http("/refresh", "POST", headers=[JSON]), inbox=inbox)

    assert sent[0]["status"] == 400
    assert site.spy.calls == []


# --- bad tokens -----------------------------------------------------------------------------------


async def bad_token(kind: str, site: Site, clock: Clock) -> str:
    issuer, tokens = site.issuer, site.tokens
    if kind == "expired":
        clock.advance(100 * 86400)
    elif kind == "revoked":
        await issuer.revoke(tokens.session_id)
    elif kind == "unknown":
        return issuer.profile.mint_refresh(
            issuer.mint.session("alice", None, persistent=True, device=None), 1, now=clock()
        ).decode()
    elif kind == "reused":
        newer = tokens
        for _ in range(3):
            clock.advance(3600)
            newer = await issuer.refresh(newer.refresh_token)
    return {
        "forged": tokens.refresh_token[:-2] + "AA",
        "access": tokens.access_token,
        "garbage": "x",
        "surrogate": "\ud800.a.b",
        "nul": "a\x00b",
        "latin": "é",
        "long": "x" * 9000,
        "jwt": token({"sub": "alice"}),
        "none": "eyJhbGciOiJub25lIn0.e30.",
    }.get(kind, tokens.refresh_token)


STORED = ["expired", "revoked", "unknown", "reused"]
ANY = ["forged", "access", "garbage", "surrogate", "nul", "latin", "long", "jwt", "none"]


@pytest.mark.parametrize("kind", [*STORED, *ANY])
async def test_every_bad_token_in_a_body_gets_the_same_401(clock: Clock, kind: str) -> None:
    site = await Site.new(clock)
    raw = await bad_token(kind, site, clock)

    response = await by_json(site.endpoint, raw)

    assert (response.status, response.body) == (401, b'{"error":"invalid_token"}')
    assert response.header("www-authenticate") == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("kind", [*STORED, "forged", "access", "garbage", "long", "jwt", "none"])
async def test_every_bad_token_in_the_header_gets_the_same_401(clock: Clock, kind: str) -> None:
    site = await Site.new(clock)
    raw = await bad_token(kind, site, clock)

    response = await post(site.endpoint, bearer(raw))

    assert (response.status, response.body) == (401, b'{"error":"invalid_token"}')
    assert response.header("www-authenticate") == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("kind", ["expired", *ANY])
async def test_stateless_too_every_bad_token_gets_the_same_401(clock: Clock, kind: str) -> None:
    site = await Site.new(clock, stored=False)
    raw = await bad_token(kind, site, clock)

    response = await by_json(site.endpoint, raw)

    assert (response.status, response.body) == (401, b'{"error":"invalid_token"}')


@pytest.mark.parametrize("kind", ANY)
async def test_a_token_that_is_not_genuine_asks_no_store(clock: Clock, kind: str) -> None:
    site = await Site.new(clock)

    await by_json(site.endpoint, await bad_token(kind, site, clock))

    assert site.spy.calls == []


@pytest.mark.parametrize("kind", [*ANY, *STORED])
async def test_no_error_repeats_the_token(clock: Clock, kind: str) -> None:
    site = await Site.new(clock)
    raw = await bad_token(kind, site, clock)

    response = await by_json(site.endpoint, raw)

    assert len(raw) < 4 or raw.encode("utf-8", "replace") not in response.body
    assert not any(raw.encode("utf-8", "replace") in value for _, value in response.headers)


async def test_a_reused_token_ends_the_session(clock: Clock) -> None:
    site = await Site.new(clock)
    raw = await bad_token("reused", site, clock)

    await by_json(site.endpoint, raw)

    assert await site.issuer.sessions("alice") == []


async def test_a_subject_that_load_claims_refuses_gets_the_same_401(clock: Clock) -> None:
    allowed = [True]
    site = await Site.new(clock, load_claims=lambda session: {} if allowed[0] else None)
    allowed[0] = False

    response = await by_json(site.endpoint, site.tokens.refresh_token)

    assert (response.status, response.body) == (401, b'{"error":"invalid_token"}')


# --- retiring access tokens (AB-86) ---------------------------------------------------------------


async def is_good(issuer: Issuer, raw: str) -> bool:
    try:
        await issuer.authenticate(raw)
    except InvalidTokenError:
        return False
    return True


@pytest.mark.parametrize("companion", [True, False])
async def test_by_default_a_refresh_with_a_store_ends_the_earlier_access_token(
    clock: Clock, companion: bool
) -> None:
    site = await Site.new(clock)
    extra = [bearer(site.tokens.access_token)] if companion else []

    response = await by_json(site.endpoint, site.tokens.refresh_token, *extra)

    assert not await is_good(site.issuer, site.tokens.access_token)
    assert await is_good(site.issuer, response.json()["access_token"])


async def test_a_companion_of_the_current_generation_is_refused_by_its_id(clock: Clock) -> None:
    """Within the grace the generation is repeated, and the companion is as new as the answer."""
    site = await Site.new(clock)
    first = (await by_json(site.endpoint, site.tokens.refresh_token)).json()

    second = await by_json(site.endpoint, first["refresh_token"], bearer(first["access_token"]))

    assert second.status == 200
    assert not await is_good(site.issuer, first["access_token"])
    assert await is_good(site.issuer, second.json()["access_token"])


async def test_the_retired_access_token_is_anonymous_behind_the_middleware(clock: Clock) -> None:
    site = await Site.new(clock)
    app = Recorder()
    middleware = wrapped(site.issuer, app, endpoints={"/refresh": site.endpoint})
    await by_json(middleware, site.tokens.refresh_token)

    await run(middleware, http(headers=[bearer(site.tokens.access_token)]))

    assert app.reason == "revoked_token"


async def test_with_revoke_access_off_the_earlier_access_token_stays_good(clock: Clock) -> None:
    site = await Site.new(clock)
    endpoint = RefreshEndpoint(site.issuer, revoke_access=False)

    response = await by_json(endpoint, site.tokens.refresh_token, bearer(site.tokens.access_token))

    assert response.status == 200
    assert await is_good(site.issuer, site.tokens.access_token)


async def test_without_a_store_the_earlier_access_token_stays_good(clock: Clock) -> None:
    site = await Site.new(clock, stored=False)

    response = await by_json(
        site.endpoint, site.tokens.refresh_token, bearer(site.tokens.access_token)
    )

    assert response.status == 200
    assert await is_good(site.issuer, site.tokens.access_token)


async def test_to_revoke_access_without_a_store_is_refused_at_construction(clock: Clock) -> None:
    with pytest.raises((ConfigurationError, StoreRequiredError)):
        RefreshEndpoint(make_issuer(clock, store=None), revoke_access=True)


@pytest.mark.parametrize("subject", ["alice", "bob"])
async def test_a_companion_of_another_session_is_401_and_ends_nothing(
    clock: Clock, subject: str
) -> None:
    site = await Site.new(clock)
    other = await site.issuer.issue(subject)
    site.spy.calls.clear()

    response = await by_json(site.endpoint, site.tokens.refresh_token, bearer(other.access_token))

    assert (response.status, response.json()) == (401, {"error": "invalid_token"})
    assert writes(site.spy) == 0
    assert await is_good(site.issuer, site.tokens.access_token)
    assert await is_good(site.issuer, other.access_token)


async def test_after_a_companion_of_another_session_the_refresh_token_is_still_good(
    clock: Clock,
) -> None:
    site = await Site.new(clock)
    other = await site.issuer.issue("bob")
    await by_json(site.endpoint, site.tokens.refresh_token, bearer(other.access_token))

    assert (await by_json(site.endpoint, site.tokens.refresh_token)).status == 200


@pytest.mark.parametrize("raw", ["undefined", "null", "x", "a.b.c", "[object]", "x" * 9000])
async def test_a_garbage_companion_is_ignored(clock: Clock, raw: str) -> None:
    site = await Site.new(clock)

    response = await by_json(site.endpoint, site.tokens.refresh_token, bearer(raw))

    assert response.status == 200


async def test_an_expired_companion_is_no_obstacle(clock: Clock) -> None:
    site = await Site.new(clock)
    clock.advance(3600)

    response = await by_json(
        site.endpoint, site.tokens.refresh_token, bearer(site.tokens.access_token)
    )

    assert response.status == 200


async def test_a_forged_companion_ends_nothing(clock: Clock) -> None:
    site = await Site.new(clock)
    other = await site.issuer.issue("bob")

    await by_json(site.endpoint, site.tokens.refresh_token, bearer(other.access_token + "A"))

    assert await is_good(site.issuer, other.access_token)


async def test_an_access_token_alone_ends_nothing(clock: Clock) -> None:
    site = await Site.new(clock)

    await post(site.endpoint, bearer(site.tokens.access_token))

    assert await is_good(site.issuer, site.tokens.access_token)


# --- outage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["get", "replace", "*"])
async def test_with_the_store_away_it_is_503_with_retry_after(clock: Clock, operation: str) -> None:
    site = await Site.new(clock)
    site.spy.broken = {operation}

    response = await by_json(site.endpoint, site.tokens.refresh_token)

    assert (response.status, response.json()) == (503, {"error": "temporarily_unavailable"})
    assert int(response.header("retry-after") or 0) >= 1


@pytest.mark.parametrize("operation", ["get", "replace", "*"])
async def test_after_an_outage_the_same_refresh_token_is_good(clock: Clock, operation: str) -> None:
    site = await Site.new(clock)
    site.spy.broken = {operation}
    await by_json(site.endpoint, site.tokens.refresh_token)
    site.spy.broken = set()

    assert (await by_json(site.endpoint, site.tokens.refresh_token)).status == 200


async def test_an_outage_ends_no_access_token(clock: Clock) -> None:
    site = await Site.new(clock)
    site.spy.broken = {"replace"}
    await by_json(site.endpoint, site.tokens.refresh_token, bearer(site.tokens.access_token))
    site.spy.broken = set()

    assert await is_good(site.issuer, site.tokens.access_token)


async def test_with_load_claims_failing_it_is_503(clock: Clock) -> None:
    def load(session: Any) -> Any:
        if clock() > 1_800_000_000.0:
            raise OSError("the directory is away")
        return {}

    site = await Site.new(clock, load_claims=load)

    assert (await by_json(site.endpoint, site.tokens.refresh_token)).status == 503


@pytest.mark.parametrize("kind", ["forged", "garbage", "access"])
async def test_a_forged_token_is_401_even_with_the_store_away(clock: Clock, kind: str) -> None:
    site = await Site.new(clock)
    site.spy.broken = {"*"}

    assert (await by_json(site.endpoint, await bad_token(kind, site, clock))).status == 401


# --- where it stands (AB-89) ----------------------------------------------------------------------


async def routed(clock: Clock) -> tuple[Site, Recorder, Any]:
    site, app = await Site.new(clock), Recorder()
    return site, app, wrapped(site.issuer, app, endpoints={"/auth/refresh": site.endpoint})


async def test_as_an_endpoint_of_the_middleware_it_answers_in_place_of_the_application(
    clock: Clock,
) -> None:
    site, app, middleware = await routed(clock)

    response = await post(middleware, bearer(site.tokens.refresh_token), path="/auth/refresh")

    assert (response.status, app.runs) == (200, 0)


@pytest.mark.parametrize(
    "path",
    [
        "/auth/refresh/", "//auth/refresh", "/auth//refresh", "/auth/refresh/..", "/Auth/refresh",
        "/auth/%72efresh", "/x/auth/refresh", "/auth/refresh;x", "/auth/refreshx", "auth/refresh",
        "/auth/./refresh", "/", "", "/auth/refresh\x00", "/auth/refresh ",
    ],
)  # fmt: skip
async def test_the_path_of_an_endpoint_is_exact(clock: Clock, path: str) -> None:
    site, app, middleware = await routed(clock)

    await post(middleware, bearer(site.tokens.refresh_token), path=path)

    assert app.runs == 1


@pytest.mark.parametrize(
    ("path", "root", "found"),
    [
        ("/api/auth/refresh", "/api", True),
        ("/api/auth/refresh", "/api/", True),
        ("/auth/refresh", "/api", True),
        ("/apis/auth/refresh", "/api", False),
        ("/api/api/auth/refresh", "/api", False),
        ("/auth/refresh", "/auth/refresh", False),
    ],
)
async def test_the_path_of_an_endpoint_counts_from_the_root_path(
    clock: Clock, path: str, root: str, found: bool
) -> None:
    site, app, middleware = await routed(clock)

    await post(middleware, bearer(site.tokens.refresh_token), path=path, root_path=root)

    assert app.runs == (0 if found else 1)


async def test_by_header_no_access_cookie_is_read(clock: Clock, events: list[Any]) -> None:
    site = await Site.new(clock, on_event=events.append)
    middleware = wrapped(site.issuer, Recorder(), endpoints={"/refresh": site.endpoint})
    clock.advance(3600)
    access = cookie_line((ACCESS, site.tokens.access_token))
    headers = [access, (b"cookie", b"x" * 20_000), (b"origin", b"https://evil.example")]
    events.clear()

    response = await post(middleware, *headers, bearer("x"))

    assert (response.status, response.set_cookies, site.spy.calls) == (401, [], [])
    assert [(event.name, event.reason) for event in events] == [("rejected", "invalid_token")]


async def test_an_endpoint_gets_the_very_scope(clock: Clock) -> None:
    seen: list[Any] = []

    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    scope = http("/x", headers=[(b"cookie", b"a=b")])
    before = dict(scope)
    await run(wrapped(make_issuer(clock, store=None), endpoints={"/x": endpoint}), scope)

    assert seen[0] is scope
    assert scope == before


async def test_an_endpoint_whose_path_is_none_is_refused_at_construction(clock: Clock) -> None:
    with pytest.raises(ConfigurationError, match="refresh"):
        wrapped(make_issuer(clock, store=None), endpoints={"refresh": Recorder()})


@pytest.mark.parametrize("mount", [True, False])
async def test_it_can_be_mounted_in_starlette(clock: Clock, mount: bool) -> None:
    site = await Site.new(clock)
    inner = Route("/refresh", site.endpoint, methods=["POST"])
    routes: list[Any] = [Mount("/auth", routes=[inner])] if mount else [inner]
    path = "/auth/refresh" if mount else "/refresh"
    middleware = wrapped(site.issuer, Starlette(routes=routes))

    response = await post(middleware, bearer(site.tokens.refresh_token), path=path)

    assert response.status == 200


async def test_mounted_as_an_application_it_is_found_too(clock: Clock) -> None:
    site = await Site.new(clock)
    app = Starlette(routes=[Mount("/refresh", app=site.endpoint)])

    response = await post(app, bearer(site.tokens.refresh_token), path="/refresh/")

    assert response.status == 200


async def test_a_websocket_to_it_is_closed(clock: Clock) -> None:
    site = await Site.new(clock)

    sent = await run(site.endpoint, websocket())

    assert [message["type"] for message in sent] == ["websocket.close"]


async def test_its_answer_to_a_header_behind_the_middleware_sets_no_cookies(clock: Clock) -> None:
    site = await Site.new(clock)
    clock.advance(3600)
    middleware = wrapped(site.issuer, Recorder(), endpoints={"/refresh": site.endpoint})
    headers = [cookie_line((ACCESS, site.tokens.access_token)), bearer(site.tokens.refresh_token)]
    sent = await run(middleware, http("/refresh", "POST", headers=headers))

    assert (sent[0]["status"], set_cookies(sent)) == (200, [])


async def test_the_client_is_in_the_event_of_a_theft(clock: Clock, events: list[Any]) -> None:
    site = await Site.new(clock, on_event=events.append)
    raw = await bad_token("reused", site, clock)

    await by_json(site.endpoint, raw, (b"user-agent", b"thief/1"))

    [event] = [event for event in events if event.name == "reused"]
    assert (event.client.address, event.client.user_agent) == ("192.0.2.7", "thief/1")
