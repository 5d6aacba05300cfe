"""`VerifierMiddleware`: who a request is, for a service that issues nothing."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asgi_refresh import Auth, RefreshMiddleware, Verifier, VerifierMiddleware, require_auth
from asgi_refresh.dependencies import require_fresh, require_scopes
from tests.support import Browser, Clock, Response, answer, describe
from tests.verifier.keyserver import ONE, TWO, issuer

pytestmark = pytest.mark.anyio
COOKIE = "__Host-access"


async def teller(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, body=json.dumps(describe(Auth.of(scope), scope)).encode())


def behind(clock: Clock, app: Any = teller, **kwargs: Any) -> VerifierMiddleware:
    kwargs.setdefault("cookie", COOKIE)
    return VerifierMiddleware(app, Verifier(ONE, clock=clock), **kwargs)


async def raw(clock: Clock, subject: str = "alice", *ring: Any, **claims: Any) -> str:
    return (await issuer(clock, *ring).issue(subject, claims)).access_token


async def get(app: Any, clock: Clock, *headers: tuple[str, str], **kwargs: Any) -> Response:
    return await Browser(app, clock).send(headers=headers, **kwargs)


def bearer(value: str) -> tuple[str, str]:
    return "authorization", f"Bearer {value}"


async def test_a_bearer_token_says_who_it_is(clock: Clock) -> None:
    told = (await get(behind(clock), clock, bearer(await raw(clock)))).json()

    assert (told["subject"], told["via"], told["reason"]) == ("alice", "bearer", None)


async def test_a_cookie_says_who_it_is(clock: Clock) -> None:
    told = (await get(behind(clock), clock, cookies={COOKIE: await raw(clock)})).json()

    assert (told["subject"], told["via"], told["refreshed"]) == ("alice", "cookie", False)


async def test_a_good_bearer_token_wins(clock: Clock) -> None:
    cookies = {COOKIE: await raw(clock, "bob")}

    assert (await get(behind(clock), clock, bearer(await raw(clock)), cookies=cookies)).json()[
        "subject"
    ] == "alice"


async def test_a_bad_bearer_token_hides_no_good_cookie(clock: Clock) -> None:
    cookies = {COOKIE: await raw(clock)}

    assert (await get(behind(clock), clock, bearer("x"), cookies=cookies)).json()[
        "subject"
    ] == "alice"


async def test_without_a_name_cookies_do_not_count(clock: Clock) -> None:
    app = behind(clock, cookie=None)

    assert (await get(app, clock, cookies={COOKIE: await raw(clock)})).json()["reason"] == (
        "no_credentials"
    )


async def test_without_bearer_the_header_does_not_count(clock: Clock) -> None:
    told = (await get(behind(clock, bearer=False), clock, bearer(await raw(clock)))).json()

    assert told["reason"] == "no_credentials"


@pytest.mark.parametrize("way", ["bearer", "cookie"])
@pytest.mark.parametrize(
    ("kind", "reason"), [("forged", "invalid_token"), ("old", "expired_token")]
)
async def test_a_bad_token_is_anonymous_with_its_reason(
    clock: Clock, way: str, kind: str, reason: str
) -> None:
    token = await raw(clock, "alice", TWO) if kind == "forged" else await raw(clock)
    clock.advance(600 if kind == "old" else 0)
    sent: Any = (
        await get(behind(clock), clock, bearer(token))
        if way == "bearer"
        else await get(behind(clock), clock, cookies={COOKIE: token})
    )

    assert (sent.json()["subject"], sent.json()["reason"]) == (None, reason)


async def test_without_keys_a_request_is_anonymous_and_says_so(clock: Clock, tmp_path: Any) -> None:
    app = VerifierMiddleware(teller, Verifier(tmp_path / "jwks.json", clock=clock))

    assert (await get(app, clock, bearer(await raw(clock)))).json()["reason"] == "keys_unavailable"


async def test_two_good_cookies_of_one_name_are_nobody(clock: Clock) -> None:
    line = f"{COOKIE}={await raw(clock)}; {COOKIE}={await raw(clock, 'bob')}"
    told = (await get(behind(clock), clock, ("cookie", line))).json()

    assert (told["subject"], told["reason"]) == (None, "ambiguous_cookies")


@pytest.mark.parametrize("first", [True, False])
async def test_a_bad_twin_hides_no_good_cookie(clock: Clock, first: bool) -> None:
    pairs = [f"{COOKIE}=x", f"{COOKIE}={await raw(clock)}"]
    line = "; ".join(pairs if first else pairs[::-1])

    assert (await get(behind(clock), clock, ("cookie", line))).json()["subject"] == "alice"


async def test_the_same_cookie_twice_is_one(clock: Clock) -> None:
    pair = f"{COOKIE}={await raw(clock)}"
    told = (await get(behind(clock), clock, ("cookie", pair), ("cookie", pair))).json()

    assert told["subject"] == "alice"


async def test_who_asked_varies_on_the_cookie(clock: Clock) -> None:
    async def silent(scope: Any, receive: Any, send: Any) -> None:
        await answer(send)

    assert (await get(behind(clock), clock)).header("vary") == "Cookie, Authorization"
    assert (await get(behind(clock, silent), clock)).header("vary") is None
    assert (await get(behind(clock, cookie=None), clock)).header("vary") == "Authorization"
    assert (await get(behind(clock, bearer=False), clock)).header("vary") == "Cookie"


async def test_it_sets_no_cookie(clock: Clock) -> None:
    tokens = await issuer(clock).issue("alice")
    clock.advance(3600)
    cookies = {COOKIE: tokens.access_token, "__Host-refresh": tokens.refresh_token}

    assert (await get(behind(clock), clock, cookies=cookies)).set_cookies == []


CALLS: dict[str, Any] = {
    "login": lambda auth: auth.login("mallory"),
    "logout": lambda auth: auth.logout(),
    "logout everywhere": lambda auth: auth.logout(everywhere=True),
    "elevate": lambda auth: auth.elevate({}),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("signed_in", [True, False])
async def test_it_signs_nobody_in_or_out(clock: Clock, call: str, signed_in: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(RuntimeError, match="only verifies"):
            CALLS[call](Auth.of(scope))
        with pytest.raises(RuntimeError):
            await Auth.of(scope).commit()
        await answer(send)

    headers = [bearer(await raw(clock))] if signed_in else []
    assert (await get(behind(clock, app), clock, *headers)).set_cookies == []


async def test_a_websocket_has_its_auth_too(clock: Clock) -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(Auth.of(scope).subject)
        await receive()
        await send({"type": "websocket.close"})

    await Browser(behind(clock, app), clock).websocket(cookies={COOKIE: await raw(clock)})

    assert seen == ["alice"]


async def test_a_request_without_headers_is_anonymous(clock: Clock) -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(Auth.of(scope).subject)

    await behind(clock, app)({"type": "http", "path": "/"}, None, None)  # type: ignore[arg-type]

    assert seen == [None]


async def test_lifespan_passes_through(clock: Clock) -> None:
    given: tuple[Any, ...] = ({"type": "lifespan"}, object(), object())
    seen = []

    async def app(*args: Any) -> None:
        seen.append(args)

    await behind(clock, app)(*given)

    assert seen == [given]


async def test_messages_pass_through(clock: Clock) -> None:
    sent = [
        {"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"1")]},
        {"type": "http.response.body", "body": b"", "more_body": True},
    ]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        Auth.of(scope).subject  # noqa: B018 - asks, and so the response varies
        for message in sent:
            await send(message)
        await send({"type": "http.response.body", "body": (await receive())["body"]})

    start, *bodies = (await get(behind(clock, app), clock, body=b"asked")).messages

    vary = (b"vary", b"Cookie, Authorization")
    assert start == {**sent[0], "headers": [(b"x-a", b"1"), vary]}
    assert bodies == [sent[1], {"type": "http.response.body", "body": b"asked"}]


async def test_a_start_without_headers_varies_too(clock: Clock) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        bool(Auth.of(scope))
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    assert (await get(behind(clock, app), clock)).header("vary") == "Cookie, Authorization"


async def test_it_has_no_secret_for_a_double_submit_token(clock: Clock) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        auth = Auth.of(scope)
        await answer(send, body=json.dumps([auth.subject, auth.csrf_token]).encode())

    assert (await get(behind(clock, app), clock, bearer(await raw(clock)))).json() == [
        "alice",
        None,
    ]


async def test_the_dependencies_work_behind_it(clock: Clock) -> None:
    app = FastAPI()
    app.add_middleware(VerifierMiddleware, verifier=Verifier(ONE, clock=clock))

    @app.get("/")
    def me(auth: Annotated[Auth, Depends(require_auth)]) -> str:
        return str(auth.subject)

    @app.get("/write")
    def write(auth: Annotated[Auth, Depends(require_scopes("write"))]) -> str:
        return "written"

    @app.get("/fresh")
    def fresh(auth: Annotated[Auth, Depends(require_fresh(timedelta(minutes=5)))]) -> str:
        return "fresh"

    token = bearer(await raw(clock, scope="read"))
    assert (await get(app, clock)).status == 401
    assert (await get(app, clock, token)).json() == "alice"
    assert (await get(app, clock, token, path="/write")).status == 403
    assert (await get(app, clock, token, path="/fresh")).status == 200
    clock.advance(301)
    assert (await get(app, clock, token, path="/fresh")).status == 401


async def test_starlettes_requires_works_behind_it(clock: Clock) -> None:
    @requires("write", status_code=403)
    async def edit(request: Any) -> PlainTextResponse:
        return PlainTextResponse(request.user.display_name)

    middleware = Middleware(VerifierMiddleware, verifier=Verifier(ONE, clock=clock))
    app = Starlette(routes=[Route("/", edit)], middleware=[middleware])

    assert (await get(app, clock, bearer(await raw(clock)))).status == 403
    assert (await get(app, clock, bearer(await raw(clock, scope="write")))).body == b"alice"


async def test_starlettes_names_can_be_left_alone(clock: Clock) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        await answer(send)

    await get(behind(clock, app, starlette=False, scope_key="mine"), clock)

    assert {"auth", "user", "asgi_refresh"} & set(seen[0]) == set()
    assert isinstance(seen[0]["mine"], Auth)


async def test_a_refreshing_middleware_may_stand_behind_it(clock: Clock) -> None:
    own = issuer(clock)
    app = behind(clock, RefreshMiddleware(teller, own), cookie=None)
    tokens = await own.issue("alice")

    assert (await get(app, clock, cookies={COOKIE: tokens.access_token})).json()["subject"] == (
        "alice"
    )


@pytest.mark.parametrize("order", [1, -1])
async def test_of_two_tokens_of_one_session_the_newer_counts(clock: Clock, order: int) -> None:
    """As in front of the issuer: a cookie of another Path is no reason to be nobody."""
    asked = issuer(clock)
    first = await asked.issue("alice")
    clock.advance(400)
    second = await asked.refresh(first.refresh_token)
    line = "; ".join([f"{COOKIE}={t.access_token}" for t in (first, second)][::order])

    told = (await get(behind(clock), clock, ("cookie", line))).json()

    assert (told["subject"], told["payload"]["iat"]) == ("alice", int(clock()))


@pytest.mark.parametrize(("less", "subject"), [(0, "alice"), (1, None)])
async def test_a_longer_cookie_header_is_not_read(
    clock: Clock, less: int, subject: str | None
) -> None:
    line = f"pad={'x' * 400}; {COOKIE}={await raw(clock)}"
    app = behind(clock, max_cookie_header=len(line) - less)

    told = (await get(app, clock, ("cookie", line))).json()

    assert told["subject"] == subject
    assert told["reason"] == (None if subject else "oversize_cookies")


async def test_headers_of_any_kind_are_read_here_and_behind(clock: Clock) -> None:
    """Any iterable will do (ASGI, HTTP scope)."""
    value = bearer(await raw(clock))[1].encode()
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((Auth.of(scope).subject, list(scope["headers"])))
        await answer(send)

    headers = [(b"authorization", value)]
    await Browser(behind(clock, app), clock).send(scope={"headers": iter(headers)})

    assert seen == [("alice", headers)]
