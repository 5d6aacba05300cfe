"""What the demo's page is told, and what its thief gets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import pytest

from asgi_refresh.demo.app import Demo
from asgi_refresh.demo.stores import REDIS, Stores
from asgi_refresh.testing import AsyncBrowser
from tests.demo.conftest import NOBODY
from tests.support import Clock, require

pytestmark = pytest.mark.anyio

DUE = 8.0  # seconds after which the next request refreshes, and the grace of the last one is over


async def sign_in(browser: AsyncBrowser) -> None:
    answer = await browser.post("/login", json={"name": "alice", "password": "demo"})
    assert answer.status_code == 200


async def me(browser: AsyncBrowser, path: str = "/me") -> tuple[Any, str | None, str | None]:
    """Who it is, and the generations that came and were given."""
    answer = await browser.get(path)
    return (
        answer.json()["subject"],
        answer.headers.get("demo-came"),
        answer.headers.get("demo-given"),
    )


async def events(browser: AsyncBrowser, after: int = 0) -> list[tuple[str, int | None]]:
    told = (await browser.get(f"/events?after={after}")).json()["events"]
    return [(event["name"], event["generation"]) for event in told]


async def steal(browser: AsyncBrowser) -> str:
    answer = await browser.post("/steal", json={})
    assert answer.status_code == 200
    return str(answer.json()["copy"])


async def test_a_response_tells_which_generation_came_and_which_was_given(
    browser: AsyncBrowser, clock: Clock
) -> None:
    await sign_in(browser)
    assert await me(browser) == ("alice", "1", None)
    clock.advance(DUE)

    assert await me(browser) == ("alice", "1", "2")
    assert await me(browser) == ("alice", "2", None)


async def test_tabs_that_ask_at_once_are_given_the_same_generation(
    browser: AsyncBrowser, clock: Clock
) -> None:
    await sign_in(browser)
    clock.advance(DUE)
    answers = []

    async def ask() -> None:
        answers.append(await me(browser, "/me?hold"))

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(ask)

    assert answers == [("alice", "1", "2")] * 4
    told = await events(browser)
    assert sorted(told) == [("issued", 1), ("refreshed", 2), *[("repeated", 2)] * 3]


async def test_new_cookies_that_get_lost_are_recovered(browser: AsyncBrowser, clock: Clock) -> None:
    await sign_in(browser)
    clock.advance(DUE)
    assert await me(browser, "/me?lost=1") == ("alice", "1", "2")
    clock.advance(DUE)

    assert await me(browser) == ("alice", "1", "2")
    assert (await events(browser))[-1] == ("recovered", 2)


async def test_an_old_copy_ends_the_session(browser: AsyncBrowser, clock: Clock) -> None:
    await sign_in(browser)
    copy = await steal(browser)
    for _ in range(2):
        clock.advance(DUE)
        await me(browser)

    answer = (await browser.post("/replay", json={"copy": copy})).json()

    assert (answer["subject"], answer["reason"]) == (None, "reused_token")
    assert ("reused", 3) in await events(browser)
    clock.advance(1.1)  # the revocation poll
    assert await me(browser) == (None, "3", None)
    await sign_in(browser)
    assert (await me(browser))[0] == "alice"


@pytest.mark.parametrize("refreshes", [0, 1])
async def test_a_copy_that_may_be_the_browser_is_let_in(
    browser: AsyncBrowser, clock: Clock, refreshes: int
) -> None:
    await sign_in(browser)
    copy = await steal(browser)
    for _ in range(refreshes):
        clock.advance(DUE)
        await me(browser)

    answer = (await browser.post("/replay", json={"copy": copy})).json()

    assert answer["subject"] == "alice"
    assert (await me(browser))[0] == "alice"


async def test_there_is_nothing_to_steal_without_a_session(browser: AsyncBrowser) -> None:
    assert (await browser.post("/steal", json={})).status_code == 409


@pytest.mark.parametrize("copy", ["gone", None, ["x"]])
async def test_a_copy_that_nobody_made_cannot_be_used(browser: AsyncBrowser, copy: Any) -> None:
    assert (await browser.post("/replay", json={"copy": copy})).status_code == 409


@pytest.mark.parametrize(
    ("path", "body"), [("/steal", "{}"), ("/stores", '{"store": "memory"}'), ("/login", "{}")]
)
async def test_what_another_site_can_post_without_asking_does_nothing(
    browser: AsyncBrowser, path: str, body: str
) -> None:
    await sign_in(browser)

    answer = await browser.post(path, content=body, headers={"content-type": "text/plain"})

    assert answer.status_code == 400
    assert (await me(browser))[0] == "alice"


async def test_nothing_that_the_page_reads_holds_a_token(
    browser: AsyncBrowser, clock: Clock
) -> None:
    await sign_in(browser)
    tokens = set(browser.cookies.values())
    copy = await steal(browser)
    clock.advance(DUE)
    bodies = [(await browser.get(path)).text for path in ("/me", "/events", "/stores", "/")]
    bodies += [(await browser.post("/replay", json={"copy": copy})).text, copy]

    tokens |= set(browser.cookies.values())
    assert len(tokens) == 4
    assert not [token for token in tokens for body in bodies if token in body]


async def test_events_are_told_from_a_number_on(browser: AsyncBrowser, clock: Clock) -> None:
    await sign_in(browser)
    clock.advance(DUE)
    await me(browser)

    assert await events(browser, 1) == [("refreshed", 2)]
    assert await events(browser, 2) == []


@pytest.mark.parametrize("after", ["", "x", "-1", "9" * 5000, "٣"])
async def test_events_after_no_number_of_theirs_are_no_error(
    browser: AsyncBrowser, after: str
) -> None:
    assert (await browser.get(f"/events?after={quote(after)}")).status_code == 200


async def test_another_store_begins_anew(browser: AsyncBrowser) -> None:
    await sign_in(browser)
    run = (await browser.get("/events")).json()["run"]

    assert (await browser.post("/stores", json={"store": "memory"})).status_code == 200

    told = (await browser.get("/events")).json()
    assert (told["store"], told["events"], told["run"] != run) == ("Memory", [], True)
    assert (await browser.get("/stores")).json()["current"] == "memory"
    assert (await me(browser))[0] is None
    await sign_in(browser)
    assert (await me(browser))[0] == "alice"


@pytest.mark.parametrize("store", ["cookies", "", None, ["memory"]])
async def test_a_store_that_is_not_there_changes_nothing(browser: AsyncBrowser, store: Any) -> None:
    await sign_in(browser)

    assert (await browser.post("/stores", json={"store": store})).status_code == 400
    assert (await me(browser))[0] == "alice"


async def test_redis_that_does_not_answer_is_not_available(browser: AsyncBrowser) -> None:
    await sign_in(browser)
    stores = (await browser.get("/stores")).json()["stores"]
    missing = {store["name"]: store["missing"] for store in stores}

    answer = await browser.post("/stores", json={"store": "redis"})

    why = "no Redis answers at 127.0.0.1:1 (ConnectionError)"
    assert missing == {"memory": None, "sqlite": None, "redis": why}
    assert answer.status_code == 409
    assert answer.json() == {"error": f"Redis is not available: {why}."}
    assert (await me(browser))[0] == "alice"


async def test_redis_without_its_library_is_not_available(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)

    missing = await Stores(tmp_path, redis=REDIS).missing("redis")

    assert missing == "redis-py is not installed: pip install redis"


async def test_redis_that_is_too_old_is_not_available(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = pytest.importorskip("redis.asyncio")

    async def info(*_: object) -> dict[str, str]:
        return {"redis_version": "6.2.14"}

    monkeypatch.setattr(redis.Redis, "info", info)

    missing = await Stores(tmp_path, redis=NOBODY).missing("redis")

    assert missing == "Redis 6.2.14 answers at 127.0.0.1:1; 7 is needed"


async def test_what_is_no_url_of_a_redis_is_told_without_its_password(tmp_path: Path) -> None:
    missing = await Stores(tmp_path, redis="http://:hunter2@127.0.0.1").missing("redis")

    assert missing == "what was given as --redis is not the URL of a Redis"


@pytest.mark.parametrize("name", ["memory", "sqlite", "redis"])
async def test_each_store_tells_the_same_story(tmp_path: Path, clock: Clock, name: str) -> None:
    stores = Stores(tmp_path, redis=REDIS if name == "redis" else NOBODY)
    missing = await stores.missing(name)
    require(missing is None, str(missing))
    browser = AsyncBrowser(Demo(stores, clock=clock), base_url="http://127.0.0.1")
    await browser.post("/stores", json={"store": name})
    await sign_in(browser)
    copy = await steal(browser)
    for _ in range(2):
        clock.advance(DUE)
        assert (await me(browser))[0] == "alice"

    await browser.post("/replay", json={"copy": copy})

    told = [named for named, _ in await events(browser)]
    assert told[:5] == ["issued", "refreshed", "refreshed", "reused", "revoked"]
    await browser.post("/stores", json={"store": "memory"})  # closes it


async def test_who_signs_out_is_gone(browser: AsyncBrowser) -> None:
    await sign_in(browser)

    await browser.post("/logout", json={})

    assert (await me(browser))[0] is None
    assert browser.cookies == {}
