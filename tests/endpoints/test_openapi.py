"""`compat.fastapi`: the endpoints as documented routes, which work as the plain ones do."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Security

from asgi_refresh import Auth, RefreshMiddleware
from asgi_refresh.compat.fastapi import SignedIn, api_router
from tests.endpoints.site import FOREIGN, FORM, JSON, OWN, REFRESH, Site, bearer, form
from tests.support import Browser, Clock

pytestmark = pytest.mark.anyio


def made(site: Site, *, middleware: bool = True, **kwargs: Any) -> FastAPI:
    app = FastAPI()
    app.include_router(api_router(site.issuer, **kwargs))
    if middleware:
        app.add_middleware(RefreshMiddleware, issuer=site.issuer)
    by_token, by_cookie = SignedIn(site.issuer), SignedIn(site.issuer, cookie=True)

    @app.get("/me")
    async def me(auth: Auth = Security(by_token)) -> Any:  # noqa: B008
        return auth.subject

    @app.get("/page")
    async def page(auth: Auth = Security(by_cookie)) -> Any:  # noqa: B008
        return auth.subject

    return app


def operations(app: FastAPI) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = app.openapi()["paths"]
    return found


# --- the document ---------------------------------------------------------------------------------


def test_every_endpoint_is_in_the_document(clock: Clock) -> None:
    found = operations(made(Site(clock)))
    methods = {(path, method) for path, item in found.items() for method in item}

    assert methods - {("/me", "get"), ("/page", "get")} == {
        ("/auth/refresh", "post"),
        ("/auth/revoke", "post"),
        ("/auth/logout", "post"),
        ("/auth/session", "get"),
        ("/auth/sessions", "get"),
        ("/auth/sessions", "delete"),
    }


def test_without_a_store_there_is_less(clock: Clock) -> None:
    assert {*operations(made(Site(clock, stored=False)))} == {
        "/auth/refresh", "/auth/logout", "/auth/session", "/me", "/page",
    }  # fmt: skip


def test_prefix_and_tag_are_chosen(clock: Clock) -> None:
    found = operations(made(Site(clock), prefix="/v1/account", tag="account"))

    assert found["/v1/account/refresh"]["post"]["tags"] == ["account"]


def test_no_operation_id_stands_twice(clock: Clock) -> None:
    found = operations(made(Site(clock)))
    ids = [operation["operationId"] for item in found.values() for operation in item.values()]

    assert len(set(ids)) == len(ids)


def test_the_bodies_are_described(clock: Clock) -> None:
    found = operations(made(Site(clock)))
    content = found["/auth/refresh"]["post"]["requestBody"]["content"]

    assert set(content) == {"application/json", "application/x-www-form-urlencoded"}
    assert "parameters" in found["/auth/sessions"]["delete"]


def test_the_security_schemes_are_a_token_and_a_cookie(clock: Clock) -> None:
    app = made(Site(clock))

    assert app.openapi()["components"]["securitySchemes"] == {
        "Access token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        "Access cookie": {"type": "apiKey", "in": "cookie", "name": "__Host-access"},
    }


def test_a_route_says_which_scheme_it_goes_by(clock: Clock) -> None:
    found = operations(made(Site(clock)))

    assert found["/me"]["get"]["security"] == [{"Access token": []}]
    assert found["/page"]["get"]["security"] == [{"Access cookie": []}]


def test_no_token_is_in_the_document(clock: Clock) -> None:
    assert "a-secret-of" not in str(made(Site(clock)).openapi())


# --- the routes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("middleware", [True, False])
@pytest.mark.parametrize("way", ["header", "JSON", "form", "cookie"])
async def test_a_refresh_works_each_way(clock: Clock, middleware: bool, way: str) -> None:
    site = Site(clock)
    raw = (await site.issuer.issue("alice")).refresh_token
    requests: dict[str, Any] = {
        "header": {"headers": [bearer(raw)]},
        "JSON": {"headers": [JSON], "body": f'{{"refresh_token": "{raw}"}}'.encode()},
        "form": {"headers": [FORM], "body": form(grant_type="refresh_token", refresh_token=raw)},
        "cookie": {"headers": OWN, "cookies": {REFRESH: raw}},
    }
    browser = site.browser(None, made(site, middleware=middleware))
    clock.advance(3600)

    response = await browser.send("/auth/refresh", "POST", **requests[way])

    assert (response.status, response.json()["expires_in"]) == (200, 600)
    assert bool(response.set_cookies) == (way == "cookie")


@pytest.mark.parametrize("middleware", [True, False])
async def test_a_session_lives_and_ends_by_the_routes(clock: Clock, middleware: bool) -> None:
    site = Site(clock)
    other = await site.issuer.issue("alice")
    alice = site.browser(await site.issuer.issue("alice"), made(site, middleware=middleware))
    clock.advance(3600)

    assert (await alice.get("/auth/session")).json()["subject"] == "alice"
    assert len((await alice.get("/auth/sessions")).json()["sessions"]) == 2
    query = {"query_string": f"id={other.session_id}".encode()}
    assert (await alice.request("/auth/sessions", "DELETE", headers=OWN, scope=query)).status == 204
    assert len(await site.alive()) == 1
    assert (await alice.post("/auth/logout", headers=OWN)).status == 204
    assert await site.alive() == set()


async def test_revoke_works(clock: Clock) -> None:
    site = Site(clock)
    raw = (await site.issuer.issue("alice")).refresh_token
    browser = site.browser(None, made(site))

    response = await browser.post("/auth/revoke", headers=[FORM], body=form(token=raw))

    assert (response.status, response.body, await site.alive()) == (200, b"", set())


async def test_a_cookie_from_another_origin_is_403(clock: Clock) -> None:
    site = Site(clock)
    alice = site.browser(await site.issuer.issue("alice"), made(site, middleware=False))

    assert (await alice.send("/auth/refresh", "POST", headers=FOREIGN)).status == 403


async def test_another_method_is_405(clock: Clock) -> None:
    site = Site(clock)

    response = await site.browser(None, made(site)).get("/auth/refresh")

    assert (response.status, response.header("allow")) == (405, "POST")


@pytest.mark.parametrize("path", ["/me", "/page"])
async def test_signed_in_lets_in_who_is(clock: Clock, path: str) -> None:
    site = Site(clock)
    app = made(site)
    alice = site.browser(await site.issuer.issue("alice"), app)

    assert (await alice.get(path)).json() == "alice"
    assert (await site.browser(None, app).get(path)).status == 401


async def test_it_goes_with_annotated_too(clock: Clock) -> None:
    site = Site(clock)
    signed_in = SignedIn(site.issuer)
    app = FastAPI()
    app.add_middleware(RefreshMiddleware, issuer=site.issuer)

    async def me(auth: Any) -> Any:
        return auth.subject

    me.__annotations__["auth"] = Annotated[Auth, Security(signed_in)]
    app.get("/me")(me)
    alice = site.browser(await site.issuer.issue("alice"), app)

    assert (await alice.get("/me")).json() == "alice"


@pytest.mark.parametrize(("scope", "status"), [("read", 403), ("read write", 200), (None, 403)])
async def test_the_scopes_of_a_security_scheme_are_asked_for(
    clock: Clock, scope: str | None, status: int
) -> None:
    site = Site(clock)
    app = made(site)

    @app.get("/write")
    async def write(auth: Auth = Security(SignedIn(site.issuer), scopes=["write"])) -> Any:  # noqa: B008
        return auth.subject

    claims = {} if scope is None else {"scope": scope}
    tokens = await site.issuer.issue("bob", claims)
    response = await Browser(app, clock).send("/write", headers=[bearer(tokens.access_token)])

    assert response.status == status
