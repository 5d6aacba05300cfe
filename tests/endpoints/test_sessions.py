"""`SessionEndpoint`, `SessionsEndpoint` and `LogoutEndpoint`: a user's own sessions."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from asgi_refresh import Config, MemoryStore, RefreshMiddleware
from asgi_refresh.endpoints import (
    LogoutEndpoint,
    RevokeEndpoint,
    SessionEndpoint,
    SessionsEndpoint,
    bundle,
    router,
)
from asgi_refresh.errors import StoreRequiredError
from tests.endpoints.site import ACCESS, FOREIGN, FORM, JSON, OWN, REFRESH, Site, bearer
from tests.hostile.tools import run, websocket
from tests.support import Clock, make_issuer

pytestmark = pytest.mark.anyio
SESSION, SESSIONS, LOGOUT = "/auth/session", "/auth/sessions", "/auth/logout"
PLACES: dict[str, Any] = {SESSION: "GET, HEAD", SESSIONS: "GET, HEAD, DELETE", LOGOUT: "POST"}
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


# --- methods --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", PLACES)
async def test_a_method_that_is_not_there_is_405_with_allow(
    clock: Clock, path: str, method: str
) -> None:
    site = Site(clock)
    alice = await site.signed_in()

    response = await alice.send(path, method, headers=OWN)

    there = method in PLACES[path].split(", ")
    assert (response.status == 405) != there
    assert response.header("allow") == (None if there else PLACES[path])


@pytest.mark.parametrize("path", [SESSION, SESSIONS])
async def test_head_is_get_without_its_body(clock: Clock, path: str) -> None:
    alice = await Site(clock).signed_in()
    got, head = await alice.send(path), await alice.send(path, "HEAD")

    assert (head.status, head.headers, head.body) == (got.status, got.headers, b"")


@pytest.mark.parametrize("path", PLACES)
async def test_no_answer_may_be_kept(clock: Clock, path: str) -> None:
    alice = await Site(clock).signed_in()
    method = "POST" if path == LOGOUT else "GET"

    assert "no-store" in ((await alice.send(path, method)).header("cache-control") or "")


@pytest.mark.parametrize("path", PLACES)
async def test_a_websocket_is_closed(clock: Clock, path: str) -> None:
    sent = await run(Site(clock).app, websocket(path))

    assert sent == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize("endpoint", [SessionsEndpoint, RevokeEndpoint])
async def test_what_needs_a_store_says_so_at_construction(clock: Clock, endpoint: Any) -> None:
    with pytest.raises(StoreRequiredError):
        endpoint(make_issuer(clock, store=None))


# --- the session ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", [True, False])
async def test_it_tells_who_is_signed_in_and_until_when(clock: Clock, stored: bool) -> None:
    site = Site(clock, stored=stored)
    tokens = await site.issuer.issue("alice")

    told = (await site.browser(tokens).get(SESSION)).json()

    assert told == {
        "subject": "alice",
        "session_id": tokens.session_id,
        "expires_at": clock() + 600,
        "auth_time": clock(),
    }


async def test_asking_for_the_session_refreshes_it(clock: Clock) -> None:
    site = Site(clock)
    alice = await site.signed_in()
    clock.advance(3600)

    response = await alice.get(SESSION)

    assert (response.json()["expires_at"], set(response.cookies)) == (
        clock() + 600, {ACCESS, REFRESH},
    )  # fmt: skip


async def test_it_varies_on_the_cookie(clock: Clock) -> None:
    alice = await Site(clock).signed_in()

    assert (await alice.get(SESSION)).header("vary") == "Cookie, Authorization"


@pytest.mark.parametrize("path", [SESSION, SESSIONS])
async def test_nobody_is_401_with_a_bare_challenge(clock: Clock, path: str) -> None:
    response = await Site(clock).browser().get(path)

    assert (response.status, response.json()) == (401, {"error": "invalid_request"})
    assert response.header("www-authenticate") == "Bearer"


@pytest.mark.parametrize("path", [SESSION, SESSIONS])
async def test_a_bad_token_is_401_with_the_error(clock: Clock, path: str) -> None:
    response = await Site(clock).post(path, bearer("x"), method="GET")

    assert (response.status, response.json()) == (401, {"error": "invalid_token"})
    assert response.header("www-authenticate") == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("path", [SESSION, SESSIONS])
async def test_a_bearer_token_will_do(clock: Clock, path: str) -> None:
    site = Site(clock)
    tokens = await site.issuer.issue("alice")

    assert (await site.post(path, bearer(tokens.access_token), method="GET")).status == 200


@pytest.mark.parametrize("path", [SESSION, SESSIONS])
async def test_with_the_store_away_it_is_503_and_no_cookie_is_deleted(
    clock: Clock, path: str
) -> None:
    site = Site(clock)
    alice = await site.signed_in()
    clock.advance(3600)
    site.spy.broken = {"*"}

    response = await alice.get(path)

    assert (response.status, response.json()) == (503, {"error": "temporarily_unavailable"})
    assert (response.header("retry-after"), response.set_cookies) == ("1", [])


async def test_the_list_is_503_when_only_the_list_fails(clock: Clock) -> None:
    site = Site(clock)
    alice = await site.signed_in()
    site.spy.broken = {"find"}

    response = await alice.get(SESSIONS)

    assert (response.status, response.header("retry-after")) == (503, "1")


# --- the list -------------------------------------------------------------------------------------


async def test_the_list_is_of_the_users_sessions_and_marks_this_one(clock: Clock) -> None:
    site = Site(clock)
    phone = await site.issuer.issue("alice", device="phone")
    clock.advance(5)
    alice = await site.signed_in(device="laptop")
    await site.issuer.issue("bob")

    told = (await alice.get(SESSIONS)).json()["sessions"]

    assert [(item["device"], item["current"]) for item in told] == [
        ("laptop", True),
        ("phone", False),
    ]
    assert told[1] == {
        "id": phone.session_id,
        "device": "phone",
        "created_at": clock() - 5,
        "last_seen": clock() - 5,
        "current": False,
    }


async def test_one_of_the_others_can_be_ended(clock: Clock) -> None:
    site = Site(clock)
    other = await site.issuer.issue("alice")
    alice = await site.signed_in()

    response = await alice.send(
        SESSIONS, "DELETE", headers=OWN, scope={"query_string": f"id={other.session_id}".encode()}
    )

    assert (response.status, response.body, response.set_cookies) == (204, b"", [])
    assert other.session_id not in await site.alive()


async def test_a_204_has_no_content_length(clock: Clock) -> None:
    alice = await Site(clock).signed_in()

    assert (await alice.send(SESSIONS, "DELETE", headers=OWN)).header("content-length") is None


async def test_this_one_can_be_ended_which_signs_out(clock: Clock) -> None:
    site = Site(clock)
    tokens = await site.issuer.issue("alice")
    alice = site.browser(tokens)
    query = f"id={tokens.session_id}".encode()

    response = await alice.request(SESSIONS, "DELETE", headers=OWN, scope={"query_string": query})

    assert (response.status, await site.alive()) == (204, set())
    assert {ACCESS, REFRESH} & set(alice.values()) == set()


async def test_without_an_id_all_the_others_end(clock: Clock) -> None:
    site = Site(clock)
    for _ in range(3):
        await site.issuer.issue("alice")
    tokens = await site.issuer.issue("alice")

    response = await site.browser(tokens).send(SESSIONS, "DELETE", headers=OWN)

    assert (response.status, await site.alive()) == (204, {tokens.session_id})


async def test_nobody_elses_session_can_be_ended(clock: Clock) -> None:
    site = Site(clock)
    bobs = await site.issuer.issue("bob")
    alice = await site.signed_in()
    query = f"id={bobs.session_id}".encode()

    response = await alice.send(SESSIONS, "DELETE", headers=OWN, scope={"query_string": query})

    assert (response.status, response.json()) == (404, {"error": "not_found"})
    assert await site.alive("bob") == {bobs.session_id}


async def test_somebody_elses_session_and_none_get_the_same_answer(clock: Clock) -> None:
    site = Site(clock)
    bobs = await site.issuer.issue("bob")
    alice = await site.signed_in()
    there, none = [
        await alice.send(
            SESSIONS, "DELETE", headers=OWN, scope={"query_string": f"id={wanted}".encode()}
        )
        for wanted in (bobs.session_id, "nothing")
    ]

    assert (there.status, there.headers, there.body) == (none.status, none.headers, none.body)


@pytest.mark.parametrize(
    ("query", "status"), [(b"id=a&id=b", 400), (b"id=", 404), (b"id=%ff", 404), (b"id=%00", 404)]
)
async def test_an_id_that_is_none_ends_nothing(clock: Clock, query: bytes, status: int) -> None:
    site = Site(clock)
    other = await site.issuer.issue("alice")
    alice = await site.signed_in()

    response = await alice.send(SESSIONS, "DELETE", headers=OWN, scope={"query_string": query})

    assert response.status == status
    assert other.session_id in await site.alive()


@pytest.mark.parametrize("query", [b"", b"id=x"])
async def test_another_origin_ends_nothing(clock: Clock, query: bytes) -> None:
    site = Site(clock)
    await site.issuer.issue("alice")
    alice = await site.signed_in()

    response = await alice.send(SESSIONS, "DELETE", headers=FOREIGN, scope={"query_string": query})

    assert (response.status, len(await site.alive())) == (403, 2)


async def test_nobody_ends_nothing(clock: Clock) -> None:
    site = Site(clock)
    await site.issuer.issue("alice")

    assert (await site.post(SESSIONS, method="DELETE")).status == 401
    assert len(await site.alive()) == 1


# --- logout ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", [True, False])
async def test_logout_deletes_the_cookies(clock: Clock, stored: bool) -> None:
    alice = await Site(clock, stored=stored).signed_in()

    response = await alice.post(LOGOUT, headers=OWN)

    assert (response.status, response.body) == (204, b"")
    assert {ACCESS, REFRESH} & set(alice.values()) == set()


async def test_logout_ends_this_session_only(clock: Clock) -> None:
    site = Site(clock)
    other = await site.issuer.issue("alice")
    alice = await site.signed_in()

    await alice.post(LOGOUT, headers=OWN)

    assert await site.alive() == {other.session_id}


EVERYWHERE: dict[str, Any] = {
    "JSON": (JSON, b'{"everywhere": true}'),
    "a form": (FORM, b"everywhere=true"),
}


@pytest.mark.parametrize("how", EVERYWHERE)
async def test_logout_everywhere_ends_all_of_the_user(clock: Clock, how: str) -> None:
    site = Site(clock)
    await site.issuer.issue("alice")
    bobs = await site.issuer.issue("bob")
    alice = await site.signed_in()
    kind, body = EVERYWHERE[how]

    response = await alice.post(LOGOUT, headers=[*OWN, kind], body=body)

    assert (response.status, await site.alive()) == (204, set())
    assert await site.alive("bob") == {bobs.session_id}


@pytest.mark.parametrize("body", [b'{"everywhere": false}', b"{}", b'{"other": 1}'])
async def test_logout_not_everywhere_leaves_the_others(clock: Clock, body: bytes) -> None:
    site = Site(clock)
    other = await site.issuer.issue("alice")
    alice = await site.signed_in()

    response = await alice.post(LOGOUT, headers=[*OWN, JSON], body=body)

    assert (response.status, await site.alive()) == (204, {other.session_id})


@pytest.mark.parametrize(
    "body", [b'{"everywhere": "yes"}', b'{"everywhere": null}', b'{"everywhere": []}', b"{", b"[]"]
)
async def test_a_body_that_says_something_else_is_400_and_signs_nobody_out(
    clock: Clock, body: bytes
) -> None:
    site = Site(clock)
    alice = await site.signed_in()

    response = await alice.post(LOGOUT, headers=[*OWN, JSON], body=body)

    assert (response.status, response.set_cookies, len(await site.alive())) == (400, [], 1)


async def test_a_logout_body_of_another_type_is_415(clock: Clock) -> None:
    site = Site(clock)
    alice = await site.signed_in()

    response = await alice.post(LOGOUT, headers=[*OWN, ("content-type", "text/plain")], body=b"x")

    assert (response.status, len(await site.alive())) == (415, 1)


async def test_logout_everywhere_without_a_store_is_400(clock: Clock) -> None:
    alice = await Site(clock, stored=False).signed_in()

    response = await alice.post(LOGOUT, headers=[*OWN, JSON], body=b'{"everywhere": true}')

    assert response.status == 400


async def test_logout_of_nobody_is_204(clock: Clock) -> None:
    assert (await Site(clock).post(LOGOUT)).status == 204


async def test_logout_by_bearer_ends_the_session(clock: Clock) -> None:
    site = Site(clock)
    tokens = await site.issuer.issue("alice")

    response = await site.post(LOGOUT, bearer(tokens.access_token))

    assert (response.status, await site.alive()) == (204, set())


async def test_logout_from_another_origin_is_403_and_signs_nobody_out(clock: Clock) -> None:
    site = Site(clock)
    alice = await site.signed_in()

    response = await alice.post(LOGOUT, headers=FOREIGN)

    assert (response.status, response.set_cookies, len(await site.alive())) == (403, [], 1)


async def test_logout_with_an_expired_access_token_ends_the_session(clock: Clock) -> None:
    site = Site(clock)
    alice = await site.signed_in()
    clock.advance(3600)

    assert (await alice.post(LOGOUT, headers=OWN)).status == 204
    assert await site.alive() == set()


async def test_a_logout_that_the_store_was_not_told_of_is_503(clock: Clock) -> None:
    site = Site(clock)
    alice = await site.signed_in()
    site.spy.broken = {"*"}

    response = await alice.send(LOGOUT, "POST", headers=OWN)

    assert (response.status, response.header("retry-after")) == (503, "1")


# --- where they stand -----------------------------------------------------------------------------


async def test_the_bundle_without_a_store(clock: Clock) -> None:
    assert set(bundle(make_issuer(clock, store=None))) == {
        "/auth/refresh", "/auth/session", "/auth/logout",
    }  # fmt: skip


async def test_the_bundle_with_a_store_has_revoke_and_sessions_too(clock: Clock) -> None:
    assert set(bundle(make_issuer(clock, store=MemoryStore()), "/x")) == {
        "/x/refresh", "/x/session", "/x/logout", "/x/revoke", "/x/sessions",
    }  # fmt: skip


@pytest.mark.parametrize("exclude", [["/auth"], ["/"]])
@pytest.mark.parametrize("path", [SESSION, SESSIONS])
async def test_below_an_excluded_path_they_work_all_the_same(
    clock: Clock, path: str, exclude: list[str]
) -> None:
    alice = await Site(clock, config=Config(exclude=exclude)).signed_in()

    assert (await alice.get(path)).status == 200


@pytest.mark.parametrize("behind", [True, False])
async def test_the_router_can_be_mounted(clock: Clock, behind: bool) -> None:
    site = Site(clock)
    app: Any = Starlette(routes=[Mount("/account", app=router(site.issuer))])
    tokens = await site.issuer.issue("alice")
    alice = site.browser(tokens, RefreshMiddleware(app, site.issuer) if behind else app)
    clock.advance(3600)

    assert (await alice.get("/account/session")).json()["subject"] == "alice"
    assert (await alice.post("/account/refresh", headers=OWN)).status == 200
    assert (await alice.post("/account/logout", headers=OWN)).status == 204
    assert await site.alive() == set()


@pytest.mark.parametrize("endpoint", [SessionEndpoint, SessionsEndpoint, LogoutEndpoint])
async def test_behind_a_middleware_the_work_is_done_once(clock: Clock, endpoint: Any) -> None:
    site = Site(clock)
    app = RefreshMiddleware(endpoint(site.issuer), site.issuer)
    alice = site.browser(await site.issuer.issue("alice"), app)
    clock.advance(3600)
    site.spy.calls.clear()

    await alice.request("/x", "POST" if endpoint is LogoutEndpoint else "GET", headers=OWN)

    assert site.spy.count("get") <= 2
    assert site.spy.count("replace", "revoke") == 1
