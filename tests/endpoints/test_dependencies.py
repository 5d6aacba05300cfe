"""The dependencies: a route asks for scopes, for a fresh sign-in, or for the refresh token."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

import pytest
from fastapi import Body, Depends, FastAPI, Form, WebSocket
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from asgi_refresh import (
    Auth,
    RefreshMiddleware,
    require_auth,
    require_fresh,
    require_refresh_token,
    require_scopes,
)
from tests.endpoints.site import FOREIGN, FORM, JSON, OWN, REFRESH, Site, bearer, form
from tests.support import Browser, Clock

pytestmark = pytest.mark.anyio
FRAMEWORKS = pytest.mark.parametrize("framework", ["fastapi", "starlette"])
FRESH = require_fresh(timedelta(minutes=5))
BOTH = require_scopes("read", "write")
NONE = require_scopes()


def fastapi(site: Site) -> FastAPI:
    app = FastAPI()

    def route(path: str, need: Any) -> None:
        async def handler(auth: Any = Depends(need)) -> Any:  # noqa: B008
            return auth.subject

        app.get(path)(handler)

    for path, need in {
        "/auth": require_auth,
        "/fresh": FRESH,
        "/both": BOTH,
        "/none": NONE,
    }.items():
        route(path, need)
    take = require_refresh_token(site.issuer)

    @app.post("/refresh")
    async def refresh(token: str = Depends(take)) -> Any:
        return {"token": token}

    @app.websocket("/ws")
    async def ws(websocket: WebSocket, auth: Annotated[Auth, Depends(BOTH)]) -> None:
        await websocket.accept()
        await websocket.close()

    return app


def starlette(site: Site) -> Starlette:
    def route(path: str, need: Callable[..., Any]) -> Route:
        async def handler(request: Request) -> JSONResponse:
            auth = await need(request)
            return JSONResponse(auth.subject)

        return Route(path, handler)

    take = require_refresh_token(site.issuer)

    async def refresh(request: Request) -> JSONResponse:
        return JSONResponse({"token": await take(request)})

    needs = {"/auth": require_auth, "/fresh": FRESH, "/both": BOTH, "/none": NONE}
    routes = [route(path, need) for path, need in needs.items()]
    return Starlette(routes=[*routes, Route("/refresh", refresh, methods=["POST"])])


MADE: dict[str, Any] = {"fastapi": fastapi, "starlette": starlette}


async def signed_in(site: Site, framework: str, **claims: Any) -> Browser:
    app = RefreshMiddleware(MADE[framework](site), site.issuer)
    return site.browser(await site.issuer.issue("alice", claims), app)


def stranger(site: Site, framework: str) -> Browser:
    return site.browser(None, RefreshMiddleware(MADE[framework](site), site.issuer))


# --- scopes ---------------------------------------------------------------------------------------


@FRAMEWORKS
@pytest.mark.parametrize("scope", ["read write", "write read", "admin read write"])
async def test_who_has_all_scopes_may(clock: Clock, framework: str, scope: str) -> None:
    alice = await signed_in(Site(clock), framework, scope=scope)

    assert (await alice.get("/both")).json() == "alice"


@FRAMEWORKS
@pytest.mark.parametrize("scope", ["read", "write", "", "readwrite", "Read write", "read,write"])
async def test_who_lacks_a_scope_is_403_and_told_which_are_needed(
    clock: Clock, framework: str, scope: str
) -> None:
    alice = await signed_in(Site(clock), framework, scope=scope)

    response = await alice.get("/both")

    assert response.status == 403
    assert response.header("www-authenticate") == (
        'Bearer error="insufficient_scope", scope="read write"'
    )


@FRAMEWORKS
@pytest.mark.parametrize("path", ["/auth", "/both", "/fresh", "/none"])
async def test_nobody_is_401_with_a_bare_challenge(clock: Clock, framework: str, path: str) -> None:
    response = await stranger(Site(clock), framework).get(path)

    assert (response.status, response.header("www-authenticate")) == (401, "Bearer")


@FRAMEWORKS
@pytest.mark.parametrize("path", ["/auth", "/both", "/fresh"])
async def test_a_bad_token_is_401_with_the_error(clock: Clock, framework: str, path: str) -> None:
    response = await stranger(Site(clock), framework).get(path, headers=[bearer("x")])

    assert (response.status, response.header("www-authenticate")) == (
        401, 'Bearer error="invalid_token"',
    )  # fmt: skip


@FRAMEWORKS
async def test_no_scopes_asks_only_for_a_sign_in(clock: Clock, framework: str) -> None:
    alice = await signed_in(Site(clock), framework)

    assert (await alice.get("/none")).status == 200


async def test_a_websocket_without_the_scope_is_closed(clock: Clock) -> None:
    alice = await signed_in(Site(clock), "fastapi", scope="read")

    assert [m["type"] for m in await alice.websocket()] == ["websocket.close"]


async def test_a_websocket_with_the_scope_is_accepted(clock: Clock) -> None:
    alice = await signed_in(Site(clock), "fastapi", scope="read write")

    assert (await alice.websocket())[0]["type"] == "websocket.accept"


# --- fresh ----------------------------------------------------------------------------------------


@FRAMEWORKS
async def test_a_sign_in_within_the_time_may(clock: Clock, framework: str) -> None:
    alice = await signed_in(Site(clock), framework)
    clock.advance(300)

    assert (await alice.get("/fresh")).status == 200


@FRAMEWORKS
async def test_an_older_sign_in_is_401_and_told_to_sign_in_again(
    clock: Clock, framework: str
) -> None:
    alice = await signed_in(Site(clock), framework)
    clock.advance(301)

    response = await alice.get("/fresh")

    assert (response.status, response.header("www-authenticate")) == (
        401, 'Bearer error="insufficient_user_authentication", max_age="300"',
    )  # fmt: skip


@FRAMEWORKS
async def test_a_refresh_does_not_make_it_fresh(clock: Clock, framework: str) -> None:
    alice = await signed_in(Site(clock), framework)
    clock.advance(3600)
    assert (await alice.get("/auth")).status == 200

    assert (await alice.get("/fresh")).status == 401


# --- the refresh token ----------------------------------------------------------------------------


WAYS: dict[str, Any] = {
    "header": {"headers": [bearer("token")]},
    "JSON": {"headers": [JSON], "body": b'{"refresh_token": "token"}'},
    "form": {"headers": [FORM], "body": form(refresh_token="token")},
    "cookie": {"headers": OWN, "cookies": {REFRESH: "token"}},
    "JSON beside an access token": {
        "headers": [JSON, bearer("access")], "body": b'{"refresh_token": "token"}',
    },
}  # fmt: skip


@FRAMEWORKS
@pytest.mark.parametrize("way", WAYS)
async def test_the_one_refresh_token_is_handed_out(clock: Clock, framework: str, way: str) -> None:
    response = await stranger(Site(clock), framework).post("/refresh", **WAYS[way])

    assert (response.status, response.json()) == (200, {"token": "token"})


BAD: dict[str, Any] = {
    "none": (401, {}),
    "a cookie and a header": (400, {"headers": [*OWN, bearer("x")], "cookies": {REFRESH: "x"}}),
    "a cookie and a body": (
        400,
        {"headers": [*OWN, JSON], "body": b'{"refresh_token": "x"}', "cookies": {REFRESH: "x"}},
    ),
    "two cookies": (401, {"headers": [*OWN, ("cookie", f"{REFRESH}=x; {REFRESH}=y")]}),
    "no JSON": (400, {"headers": [JSON], "body": b"{"}),
    "JSON without": (400, {"headers": [JSON], "body": b"{}"}),
    "text": (415, {"headers": [("content-type", "text/plain")], "body": b"x"}),
    "too much": (413, {"headers": [JSON], "body": b" " * 17_000}),
    "a malformed header": (400, {"headers": [("authorization", "Bearer")]}),
    "from another origin": (403, {"headers": FOREIGN, "cookies": {REFRESH: "x"}}),
}


@FRAMEWORKS
@pytest.mark.parametrize("what", BAD)
async def test_a_request_without_one_refresh_token_is_refused(
    clock: Clock, framework: str, what: str
) -> None:
    status, request = BAD[what]
    response = await stranger(Site(clock), framework).post("/refresh", **request)

    assert response.status == status
    assert response.header("www-authenticate") == ("Bearer" if status == 401 else None)


async def test_what_it_hands_out_the_issuer_takes(clock: Clock) -> None:
    site = Site(clock)
    tokens = await site.issuer.issue("alice")
    app = FastAPI()
    take = require_refresh_token(site.issuer)

    @app.post("/")
    async def refresh(token: str = Depends(take)) -> Any:
        return await site.issuer.refresh(token)

    response = await site.browser(None, app).post("/", headers=[bearer(tokens.refresh_token)])

    assert site.issuer.verify(response.json()["access_token"])["sub"] == "alice"


async def test_beside_a_json_parameter_of_the_route_it_works(clock: Clock) -> None:
    site, app = Site(clock), FastAPI()
    take = require_refresh_token(site.issuer)

    @app.post("/")
    async def refresh(device: str = Body(embed=True), token: str = Depends(take)) -> Any:
        return [device, token]

    body = b'{"refresh_token": "token", "device": "phone"}'
    response = await site.browser(None, app).post("/", headers=[JSON], body=body)

    assert response.json() == ["phone", "token"]


async def test_beside_a_form_parameter_of_the_route_it_works(clock: Clock) -> None:
    site, app = Site(clock), FastAPI()
    take = require_refresh_token(site.issuer)

    @app.post("/")
    async def refresh(device: Annotated[str, Form()], token: str = Depends(take)) -> Any:
        return [device, token]

    body = form(refresh_token="token", device="phone")
    response = await site.browser(None, app).post("/", headers=[FORM], body=body)

    assert response.json() == ["phone", "token"]


@FRAMEWORKS
@pytest.mark.parametrize("path", ["/auth", "/fresh", "/both", "/none"])
async def test_while_nobody_can_tell_it_is_503_and_not_a_sign_in(
    clock: Clock, framework: str, path: str
) -> None:
    """A 401 would send the user to the sign-in page for an outage."""
    site = Site(clock)
    app = RefreshMiddleware(MADE[framework](site), site.issuer)
    tokens = await site.issuer.issue("alice", {"scope": "read write"})
    alice = site.browser(tokens, app)
    clock.advance(3600)
    site.spy.broken.add("get")

    away = await alice.get(path)
    site.spy.broken.clear()
    back = await alice.get(path)

    assert (away.status, away.header("retry-after")) == (503, "1")
    assert (away.set_cookies, away.header("www-authenticate")) == ([], None)
    assert back.status == (401 if path == "/fresh" else 200)


async def test_a_handshake_is_then_told_to_try_again(clock: Clock) -> None:
    site = Site(clock)
    app = RefreshMiddleware(MADE["fastapi"](site), site.issuer)
    alice = site.browser(await site.issuer.issue("alice", {"scope": "read write"}), app)
    clock.advance(3600)
    site.spy.broken.add("get")

    [closed] = await alice.websocket("/ws")

    assert (closed["type"], closed["code"]) == ("websocket.close", 1013)
