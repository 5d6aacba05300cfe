"""`RevokeEndpoint` (RFC 7009): whoever holds a token can end its session, and no other."""

from __future__ import annotations

import pytest

from tests.endpoints.site import BAD, FORM, JSON, Site, apart, bad_token, bearer, form
from tests.support import Clock, Response

pytestmark = pytest.mark.anyio
URL = "/auth/revoke"


async def revoke(site: Site, token: str, **more: str) -> Response:
    return await site.post(URL, FORM, body=form(token=token, **more))


@pytest.mark.parametrize("kind", ["refresh_token", "access_token"])
@pytest.mark.parametrize("hint", ["refresh_token", "access_token", "something", None])
async def test_either_token_ends_its_session_whatever_the_hint(
    clock: Clock, kind: str, hint: str | None
) -> None:
    site = Site(clock)
    tokens = await site.issuer.issue("alice")
    more = {} if hint is None else {"token_type_hint": hint}

    response = await revoke(site, getattr(tokens, kind), **more)

    assert (response.status, response.body, await site.alive()) == (200, b"", set())


async def test_json_will_do(clock: Clock) -> None:
    site = Site(clock)
    tokens = await site.issuer.issue("alice")
    body = f'{{"token": "{tokens.refresh_token}"}}'.encode()

    assert (await site.post(URL, JSON, body=body)).status == 200
    assert await site.alive() == set()


async def test_the_other_sessions_of_the_user_stay(clock: Clock) -> None:
    site = Site(clock)
    stays, goes = await site.issuer.issue("alice"), await site.issuer.issue("alice")

    await revoke(site, goes.refresh_token)

    assert await site.alive() == {stays.session_id}


@pytest.mark.parametrize("kind", BAD)
async def test_every_token_gets_the_same_answer(clock: Clock, kind: str) -> None:
    site = Site(clock)
    good = await site.issuer.issue("bob")
    raw = await bad_token(kind, site)

    assert apart(await revoke(site, raw)) == apart(await revoke(site, good.refresh_token))


@pytest.mark.parametrize("kind", ["forged", "garbage", "unknown", "expired", "revoked"])
async def test_a_token_that_is_no_good_ends_nothing(clock: Clock, kind: str) -> None:
    site = Site(clock)
    raw = await bad_token(kind, site)
    before = await site.alive()
    site.spy.calls.clear()

    await revoke(site, raw)

    assert await site.alive() == before
    assert site.spy.count("add", "replace") == 0


async def test_an_expired_access_token_ends_nothing(clock: Clock) -> None:
    site = Site(clock)
    tokens = await site.issuer.issue("alice")
    clock.advance(601)

    assert (await revoke(site, tokens.access_token)).status == 200
    assert await site.alive() == {tokens.session_id}


async def test_the_id_of_a_session_is_no_token(clock: Clock) -> None:
    site = Site(clock)
    tokens = await site.issuer.issue("alice")

    await revoke(site, tokens.session_id)

    assert await site.alive() == {tokens.session_id}


async def test_another_session_than_the_tokens_cannot_be_named(clock: Clock) -> None:
    site = Site(clock)
    bobs, mine = await site.issuer.issue("bob"), await site.issuer.issue("alice")

    await revoke(site, mine.refresh_token, session_id=bobs.session_id, sub="bob")

    assert await site.alive("bob") == {bobs.session_id}


async def test_what_comes_in_cookie_or_header_is_no_token_here(clock: Clock) -> None:
    site = Site(clock)
    tokens = await site.issuer.issue("alice")

    response = await site.browser(tokens).send(URL, "POST", headers=[bearer(tokens.refresh_token)])

    assert (response.status, await site.alive()) == (400, {tokens.session_id})


@pytest.mark.parametrize("body", [b"", b"token=", b"x=y", b"token=a&token=b", b"token=%ff"])
async def test_a_request_without_one_token_is_400(clock: Clock, body: bytes) -> None:
    response = await Site(clock).post(URL, FORM, body=body)

    assert (response.status, response.json()) == (400, {"error": "invalid_request"})


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_anything_but_post_is_405(clock: Clock, method: str) -> None:
    response = await Site(clock).post(URL, method=method)

    assert (response.status, response.header("allow")) == (405, "POST")


async def test_another_type_is_415(clock: Clock) -> None:
    response = await Site(clock).post(URL, ("content-type", "text/plain"), body=b"token=x")

    assert response.status == 415


async def test_more_than_16_kib_is_413(clock: Clock) -> None:
    assert (await revoke(Site(clock), "x" * 17_000)).status == 413


async def test_with_the_store_away_it_is_503(clock: Clock) -> None:
    site = Site(clock)
    tokens = await site.issuer.issue("alice")
    site.spy.broken = {"*"}

    response = await revoke(site, tokens.refresh_token)

    assert (response.status, response.header("retry-after")) == (503, "1")


async def test_with_the_store_away_a_forged_token_gets_200(clock: Clock) -> None:
    site = Site(clock)
    site.spy.broken = {"*"}

    assert (await revoke(site, "x")).status == 200


async def test_the_answer_may_not_be_kept(clock: Clock) -> None:
    assert (await revoke(Site(clock), "x")).header("cache-control") == "no-store"
