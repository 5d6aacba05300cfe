"""The worked example of the page "Refreshing Tokens": both ways it documents, and what it wants."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.examples.support import EXAMPLES, SECRET_KEY, close, load
from tests.support import Browser, Clock, Response

pytestmark = pytest.mark.anyio


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Iterator[Browser]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET_KEY", SECRET_KEY)
    module = load(EXAMPLES / "refreshing_tokens.py")
    yield Browser(module.app, clock, scheme="http", host="localhost")
    close(module.issuer)


def bearer(token: str) -> tuple[str, str]:
    return "authorization", f"Bearer {token}"


async def post_json(client: Browser, path: str, value: Any, *headers: tuple[str, str]) -> Response:
    body = json.dumps(value).encode()
    return await client.post(
        path, headers=[("content-type", "application/json"), *headers], body=body
    )


async def sign_in(client: Browser) -> dict[str, Any]:
    response = await post_json(client, "/login", {"password": "wonderland"})
    assert response.status == 200
    tokens: dict[str, Any] = response.json()
    return tokens


async def test_login_returns_both_tokens_as_json(client: Browser) -> None:
    response = await post_json(client, "/login", {"password": "wonderland"})

    assert response.status == 200
    assert set(response.json()) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert response.header("cache-control") == "no-store"
    assert response.set_cookies == []
    assert (await post_json(client, "/login", {"password": "wrong"})).status == 401


async def test_a_protected_route_takes_the_access_token_alone(client: Browser) -> None:
    tokens = await sign_in(client)

    good = await client.get("/protected", headers=[bearer(tokens["access_token"])])
    wrong = await client.get("/protected", headers=[bearer(tokens["refresh_token"])])
    none = await client.get("/protected")

    assert (good.status, good.json()) == (200, {"hello": "alice"})
    assert (wrong.status, wrong.header("www-authenticate")) == (401, 'Bearer error="invalid_token"')
    assert (none.status, none.header("www-authenticate")) == (401, "Bearer")


async def test_refresh_by_header(client: Browser) -> None:
    tokens = await sign_in(client)

    response = await client.post("/refresh", headers=[bearer(tokens["refresh_token"])])

    assert response.status == 200
    assert response.header("cache-control") == "no-store"
    new = response.json()
    assert new["access_token"] != tokens["access_token"]
    assert new["refresh_token"] != tokens["refresh_token"]
    ok = await client.get("/protected", headers=[bearer(new["access_token"])])
    assert ok.json() == {"hello": "alice"}


async def test_refresh_by_json_body(client: Browser) -> None:
    tokens = await sign_in(client)

    response = await post_json(client, "/refresh", {"refresh_token": tokens["refresh_token"]})

    assert response.status == 200
    ok = await client.get("/protected", headers=[bearer(response.json()["access_token"])])
    assert ok.json() == {"hello": "alice"}


async def test_the_access_token_that_comes_along_is_revoked(client: Browser) -> None:
    tokens = await sign_in(client)
    old = bearer(tokens["access_token"])

    response = await post_json(client, "/refresh", {"refresh_token": tokens["refresh_token"]}, old)

    assert response.status == 200
    assert (await client.get("/protected", headers=[old])).status == 401
    new = bearer(response.json()["access_token"])
    assert (await client.get("/protected", headers=[new])).status == 200


async def test_an_access_token_refreshes_nothing(client: Browser) -> None:
    tokens = await sign_in(client)

    response = await client.post("/refresh", headers=[bearer(tokens["access_token"])])

    assert (response.status, response.json()) == (401, {"error": "invalid_token"})


@pytest.mark.parametrize("body", [{}, {"refresh_token": None}, []])
async def test_a_malformed_request_is_told_so(client: Browser, body: Any) -> None:
    response = await post_json(client, "/refresh", body)

    assert (response.status, response.json()) == (400, {"error": "invalid_request"})
