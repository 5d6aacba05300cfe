"""What code further in finds in the headers, which reads the cookies itself: what was decided."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_refresh import Config, Cookie
from asgi_refresh.tokens import MAX_TOKEN
from tests.blackbox.helpers import ACCESS, HOUR, MINUTE, REFRESH, Site, make_site
from tests.support import Browser, Clock, Response, answer

pytestmark = pytest.mark.anyio

LIFETIME = 10 * MINUTE  # of an access token
PLAIN = Config(access_cookie=Cookie("access"), refresh_cookie=Cookie("refresh"))


def cookies(response: Response) -> list[str]:
    """The cookies that the application was given."""
    headers = response.json()["cookie_headers"]
    assert len(headers) < 2
    return [pair.strip() for header in headers for pair in header.split(";")]


def names(response: Response) -> list[str]:
    return [pair.partition("=")[0] for pair in cookies(response)]


async def ended(clock: Clock, **kwargs: Any) -> tuple[Site, Browser]:
    """A site, and a copy of the cookies of a session that has ended there."""
    site = make_site(clock, **kwargs)
    session_id = await site.sign_in()
    copy = site.browser.fork()
    await site.issuer.revoke(session_id)
    clock.advance(2)
    return site, copy


async def test_tokens_of_an_ended_session_are_not(clock: Clock) -> None:
    _, copy = await ended(clock)
    copy.put("theme", "dark")

    response = await copy.get("/")

    assert response.json()["reason"] == "session_ended"
    assert cookies(response) == ["theme=dark"]


@pytest.mark.parametrize(
    "header",
    [
        '{name}="{token}"',
        "{name} = {token} ",
        "{name}=x; {name}={token}",
        "{name}={token}; {name}=x",
        "pad=" + "x" * 20_000 + "; {name}={token}",
    ],
    ids=["quoted", "spaces", "after another", "before another", "after a long one"],
)
async def test_however_they_are_spelt(clock: Clock, header: str) -> None:
    _, copy = await ended(clock, config=PLAIN)
    text = header.format(name="access", token=copy.values()["access"]) if copy.values() else ""
    assert "access" in text

    response = await copy.send("/", headers=[("cookie", text)], cookies={})

    assert response.json()["subject"] is None
    assert "access" not in names(response)


async def test_nor_is_a_bearer_token_of_one(clock: Clock) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend(name for name, _ in scope["headers"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    site = make_site(clock, app)
    tokens = await site.issuer.issue("alice")
    for value in ("Bearer {}", "{}", "Bearer Bearer {}"):
        header = ("authorization", value.format(tokens.access_token))
        seen.clear()
        await site.browser.get("/", headers=[header])
        assert b"authorization" in seen
    await site.issuer.revoke(tokens.session_id)
    for value in ("Bearer {}", "{}", "Bearer Bearer {}"):
        header = ("authorization", value.format(tokens.access_token))
        seen.clear()
        await site.browser.get("/", headers=[header])
        assert b"authorization" not in seen


@pytest.mark.parametrize("value", ["Basic dXNlcjpwYXNz", "Bearer garbage", "", "Digest a=b, c=d"])
async def test_another_authorization_is_left_alone(clock: Clock, value: str) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend(scope["headers"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    site = make_site(clock, app)
    await site.browser.get("/", headers=[("authorization", value)])

    assert (b"authorization", value.encode()) in seen


async def test_what_is_no_token_is_left_to_the_application(clock: Clock) -> None:
    site = make_site(clock)
    site.browser.put(ACCESS, "garbage")
    site.browser.put(REFRESH, "garbage")

    response = await site.browser.get("/")

    assert response.json()["reason"] == "invalid_token"
    assert names(response) == [ACCESS, REFRESH]


@pytest.mark.parametrize("wait", [LIFETIME, HOUR], ids=["just now", "long ago"])
async def test_so_is_a_token_that_has_expired(clock: Clock, wait: float) -> None:
    """Nobody is asked whether it was revoked before."""
    site = make_site(clock)
    await site.sign_in()
    raw = site.browser.values()[ACCESS]
    clock.advance(wait)

    response = await site.browser.send(cookies={ACCESS: raw})

    assert response.json()["reason"] == "expired_token"
    assert names(response) == [ACCESS]
    assert site.store.calls == []


@pytest.mark.parametrize("wait", [LIFETIME, HOUR], ids=["just now", "long ago"])
async def test_so_is_an_expired_one_whose_session_could_not_be_asked_for(
    clock: Clock, wait: float
) -> None:
    site = make_site(clock)
    await site.sign_in()
    clock.advance(wait)
    site.store.broken.add("*")

    response = await site.browser.send()

    assert response.json()["reason"] == "store_unavailable"
    assert names(response) == [ACCESS]


@pytest.mark.parametrize(("size", "passed"), [(MAX_TOKEN, [ACCESS]), (MAX_TOKEN + 1, [])])
async def test_garbage_longer_than_any_token_is_not(
    clock: Clock, size: int, passed: list[str]
) -> None:
    site = make_site(clock)

    assert names(await site.browser.send(cookies={ACCESS: "x" * size})) == passed


@pytest.mark.parametrize("scheme", ["", "Bearer ", "Bearer Bearer ", "JWT "])
async def test_a_bearer_token_that_cannot_be_asked_for_is_not(clock: Clock, scheme: str) -> None:
    seen: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend(name for name, _ in scope["headers"])
        await answer(send)

    site = make_site(clock, app, config=Config(revocation="always"))
    tokens = await site.issuer.issue("alice")
    site.store.broken.add("*")

    await site.browser.get("/", headers=[("authorization", scheme + tokens.access_token)])

    assert b"authorization" not in seen


async def test_where_cookies_are_ignored_they_are_not_there(clock: Clock) -> None:
    config = Config(cross_origin_exempt=["/callback"])
    site = make_site(clock, config=config)
    await site.sign_in()
    site.browser.put("state", "s")

    response = await site.browser.get("/callback")

    assert response.json()["reason"] == "exempt_path"
    assert names(response) == ["state"]
    assert site.events == []


async def test_a_refresh_token_that_was_not_asked_for_stays(clock: Clock) -> None:
    """OPTIONS refuses nothing; an application may answer it by the cookies that are there."""
    site = make_site(clock)
    await site.sign_in()
    site.browser.drop(ACCESS)

    response = await site.browser.request("/", "OPTIONS")

    assert response.json()["reason"] == "not_refreshable"
    assert names(response) == [REFRESH]


async def test_while_the_store_is_away_nobody_behind_believes_it(clock: Clock) -> None:
    site = make_site(clock)
    await site.sign_in()
    site.browser.drop(ACCESS)
    site.store.broken.add("get")

    response = await site.browser.get("/")

    assert response.json()["reason"] == "store_unavailable"
    assert response.json()["cookie_headers"] == []


async def test_a_sign_out_still_finds_what_came(clock: Clock) -> None:
    site, copy = await ended(clock)

    response = await copy.post("/logout")

    assert {ACCESS, REFRESH} <= set(response.cookies)
    assert copy.values() == {}
    assert site.events


@pytest.mark.parametrize(
    ("brings", "path"),
    [
        ((), "/"),
        ((ACCESS,), "/"),
        ((ACCESS, REFRESH), "/"),
        ((REFRESH,), "/"),
        (("bearer",), "/"),
        ((ACCESS, REFRESH), "/exempt"),
    ],
    ids=["nothing", "access", "both", "refresh", "bearer", "on an exempt path"],
)
async def test_cookies_that_the_server_split_come_in_one_header(
    clock: Clock, brings: tuple[str, ...], path: str
) -> None:
    site = make_site(clock, config=Config(cross_origin_exempt=["/exempt"]))
    await site.sign_in()
    jar = site.browser.values()
    theirs = [("cookie", "theme=dark"), ("cookie", "lang=en")]
    ours = [("cookie", f"{name}={jar[name]}") for name in brings if name in jar]
    if "bearer" in brings:
        ours = [("authorization", f"Bearer {jar[ACCESS]}")]

    response = await site.browser.send(path, cookies={}, headers=[*theirs, *ours])

    assert {"theme=dark", "lang=en"} <= set(cookies(response))


@pytest.mark.parametrize("first", ["", "a=b"])
async def test_a_header_that_came_in_pieces_is_one_whatever_the_first_of_them_holds(
    clock: Clock, first: str
) -> None:
    pieces = [("cookie", first), ("cookie", "theme=dark")]
    response = await make_site(clock).browser.send(cookies={}, headers=pieces)

    assert response.json()["cookie_headers"] == [f"{first}; theme=dark"]


@pytest.mark.parametrize(("less", "reason"), [(0, "expired_token"), (1, "oversize_cookies")])
async def test_a_header_may_be_as_long_as_is_set(clock: Clock, less: int, reason: str) -> None:
    site = make_site(clock)
    await site.sign_in()
    header = f"{ACCESS}={site.browser.values()[ACCESS]}"
    short = make_site(clock, config=Config(max_cookie_header=len(header) - less))
    clock.advance(HOUR)

    response = await short.browser.send("/", "POST", headers=[("cookie", header)])

    assert response.json()["reason"] == reason


@pytest.mark.parametrize(("others", "subject"), [(3, "alice"), (4, None)])
async def test_of_one_name_four_values_are_looked_at(
    clock: Clock, others: int, subject: str | None
) -> None:
    site = make_site(clock)
    await site.sign_in()
    values = [*map(str, range(others)), site.browser.values()[ACCESS]]
    header = "; ".join(f"{ACCESS}={value}" for value in values)

    response = await site.browser.send(cookies={}, headers=[("cookie", header)])

    assert response.json()["subject"] == subject
