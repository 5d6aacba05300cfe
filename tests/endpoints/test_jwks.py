"""`JWKSEndpoint`: the public keys, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_refresh import Key, MemoryStore
from asgi_refresh.endpoints import JWKSEndpoint, bundle
from tests.support import SECRET, Clock, Response, make_issuer
from tests.tokens import forge

pytestmark = pytest.mark.anyio
URL = "/.well-known/jwks.json"


def issuer(*ring: Any) -> Any:
    from asgi_refresh import Issuer

    return Issuer([*ring], secret=SECRET, store=MemoryStore())


async def get(app: Any, clock: Clock, method: str = "GET") -> Response:
    from tests.support import Browser

    return await Browser(app, clock).send(URL, method)


async def test_it_serves_the_public_half_of_every_pair(clock: Clock) -> None:
    ring = [Key.generate("ES256"), Key.generate("EdDSA"), SECRET, Key("x" * 40, "shared")]
    response = await get(JWKSEndpoint(issuer(*ring)), clock)

    assert response.status == 200
    assert [key["kid"] for key in response.json()["keys"]] == [ring[0].id, ring[1].id]


async def test_it_may_be_kept_and_read_from_anywhere(clock: Clock) -> None:
    response = await get(JWKSEndpoint(issuer(Key.generate()), max_age=60), clock)

    assert response.header("cache-control") == "public, max-age=60"
    assert response.header("access-control-allow-origin") == "*"
    assert response.header("content-type") == "application/jwk-set+json"
    assert (response.header("pragma"), response.set_cookies) == (None, [])


async def test_head_is_get_without_its_body(clock: Clock) -> None:
    app = JWKSEndpoint(issuer(Key.generate()))
    got, head = await get(app, clock), await get(app, clock, "HEAD")

    assert (head.status, head.headers, head.body) == (got.status, got.headers, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_anything_else_is_405(clock: Clock, method: str) -> None:
    response = await get(JWKSEndpoint(issuer(Key.generate())), clock, method)

    assert (response.status, response.header("allow")) == (405, "GET, HEAD")


@pytest.mark.parametrize("algorithm", sorted(forge.KINDS))
async def test_no_private_member_is_served(clock: Clock, algorithm: str) -> None:
    response = await get(JWKSEndpoint(issuer(forge.make_key(algorithm))), clock)
    [key] = response.json()["keys"]

    assert set(key) <= {"kty", "kid", "alg", "use", "crv", "x", "y", "n", "e"}
    numbers = forge.private_key(forge.KINDS[algorithm])
    assert str(numbers) not in json.dumps(key)


async def test_a_verify_only_key_is_served_too(clock: Clock) -> None:
    old = Key.from_pem(Key.generate().to_pem())
    retired = Key.from_pem(forge.public_bytes(forge.private_key("p256")))
    response = await get(JWKSEndpoint(issuer(old, retired)), clock)

    assert [key["kid"] for key in response.json()["keys"]] == [old.id, retired.id]


async def test_the_bundle_has_it_where_there_are_public_keys(clock: Clock) -> None:
    assert URL in bundle(issuer(Key.generate()))
    assert URL not in bundle(make_issuer(clock, store=MemoryStore()))
    assert URL not in bundle(issuer(Key("x" * 40, "shared")))
