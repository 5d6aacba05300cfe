"""The browser of the test kit keeps cookies, and speaks, as browsers do."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from asgi_refresh import Auth, Issuer, MemoryStore, RefreshMiddleware
from asgi_refresh.testing import AsyncBrowser, Browser, WebSocketClosed, sign_in
from tests.support import SECRET, answer, whoami

pytestmark = pytest.mark.anyio


def setting(*lines: str) -> Any:
    """An application that sets cookies at /set, and tells everywhere what it was sent."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        if scope["type"] == "http":
            message = await receive()
            body = message["body"]
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        told = {"headers": headers, "query": scope["query_string"].decode(), "body": body.decode()}
        told |= {"path": scope["path"], "scheme": scope["scheme"], "method": scope.get("method")}
        cookies = [(b"Set-Cookie", line.encode()) for line in lines]
        set_here = cookies if scope["path"] == "/set" else []
        await answer(send, body=json.dumps(told).encode(), headers=set_here)

    return app


def guarded() -> Any:
    return RefreshMiddleware(whoami, Issuer(SECRET, store=MemoryStore()))


async def sent(browser: AsyncBrowser, path: str = "/") -> str | None:
    told = (await browser.get(path)).json()
    cookie: str | None = told["headers"].get("cookie")
    return cookie


# --- the jar --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "a=1",
        "__Host-a=1; Path=/; Secure; HttpOnly",
        "__Secure-a=1; Secure; Path=/",
        "a=1; Max-Age=60; Path=/",
        "a=1; Domain=testserver.local",
    ],
)
async def test_a_cookie_comes_back(line: str) -> None:
    browser = AsyncBrowser(setting(line))
    await browser.get("/set")

    assert await sent(browser) == line.partition(";")[0]
    assert browser.cookies == dict([line.partition(";")[0].split("=")])


@pytest.mark.parametrize(
    "line",
    [
        "__Host-a=1; Path=/",
        "__host-a=1; Path=/",
        "__Host-a=1; Secure; Path=/set",
        "__Host-a=1; Secure",
        "__Host-a=1; Secure; Path=/; Domain=testserver.local",
        "__Secure-a=1; Path=/",
        "a=1; Max-Age=0",
        "a=1; Domain=elsewhere.example",
        f"a={'x' * 4096}",
    ],
)
async def test_a_cookie_that_browsers_refuse_is_not_kept(line: str) -> None:
    browser = AsyncBrowser(setting(line))
    await browser.get("/set")

    assert await sent(browser) is None
    assert browser.cookies == {}


async def test_a_cookie_as_large_as_browsers_keep_is_kept() -> None:
    browser = AsyncBrowser(setting(f"a={'x' * 4095}"))
    await browser.get("/set")

    assert len(browser.cookies["a"]) == 4095


async def test_a_cookie_is_deleted_by_its_max_age() -> None:
    browser = AsyncBrowser(setting("a=1; Path=/", "b=2; Path=/", "a=; Max-Age=0; Path=/"))
    await browser.get("/set")

    assert await sent(browser) == "b=2"


async def test_a_cookie_goes_below_its_path_only() -> None:
    browser = AsyncBrowser(setting("a=1; Path=/below"))
    await browser.get("/set")

    assert await sent(browser, "/below/here") == "a=1"
    assert await sent(browser, "/belows") is None


async def test_secure_cookies_work_over_http_in_memory() -> None:
    browser = AsyncBrowser(setting("__Host-a=1; Path=/; Secure"), base_url="http://testserver")
    await browser.get("/set")

    assert await sent(browser) == "__Host-a=1"
    assert (await browser.get("/")).json()["scheme"] == "http"


# --- requests -------------------------------------------------------------------------------------


async def test_a_request_is_what_was_asked_for() -> None:
    browser = AsyncBrowser(setting(), base_url="https://app.example:8443")
    told = (await browser.request("PUT", "/a%20b?c=d", headers={"X-One": "1"}, content="e")).json()

    assert (told["method"], told["path"], told["query"], told["body"]) == (
        "PUT",
        "/a b",
        "c=d",
        "e",
    )
    assert told["headers"]["host"] == "app.example:8443"
    assert told["headers"]["x-one"] == "1"


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
async def test_each_method_has_a_word_of_its_own(method: str) -> None:
    told = (await getattr(AsyncBrowser(setting()), method)("/", headers={"x-one": "1"})).json()
    of_sync = getattr(Browser(setting()), method)("/", headers={"x-one": "1"}).json()

    assert (told["method"], told["headers"]["x-one"]) == (method.upper(), "1")
    assert told == of_sync


async def test_a_body_may_be_json_or_a_form() -> None:
    browser = AsyncBrowser(setting())
    as_json = (await browser.post("/", json={"a": "é"})).json()
    as_form = (await browser.post("/", data={"a": "b c"})).json()

    assert json.loads(as_json["body"]) == {"a": "é"}
    assert as_json["headers"]["content-type"] == "application/json"
    assert as_form["body"] == "a=b+c"
    assert as_form["headers"]["content-type"] == "application/x-www-form-urlencoded"


async def test_a_request_that_changes_things_says_its_origin() -> None:
    browser = AsyncBrowser(setting())
    post = (await browser.post("/")).json()["headers"]
    get = (await browser.get("/")).json()["headers"]

    assert (post["origin"], post["sec-fetch-site"]) == ("https://testserver", "same-origin")
    assert "origin" not in get


async def test_a_page_of_another_origin_is_refused() -> None:
    browser = AsyncBrowser(guarded())
    await sign_in(browser, "alice")

    assert (await browser.post("/")).status_code == 200
    other = {"Origin": "https://elsewhere.example"}
    assert (await browser.post("/", headers=other)).status_code == 403


@pytest.mark.parametrize("base_url", ["testserver", "ws://testserver", "https://testserver/path"])
async def test_a_base_url_is_an_origin(base_url: str) -> None:
    with pytest.raises(ValueError, match="an origin"):
        AsyncBrowser(whoami, base_url=base_url)


async def test_who_waits_for_the_answer_has_not_left() -> None:
    left: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def listen() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            left.append("left")

        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            await anyio.wait_all_tasks_blocked()
            left.append("answers")
            await answer(send)

    await AsyncBrowser(app).get("/")

    assert left == ["answers", "left"]


async def crashing(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/answers":
        await answer(send, 500, b"sorry")
    raise LookupError("broken")


async def test_an_error_of_the_application_is_the_tests() -> None:
    with pytest.raises(LookupError, match="broken"):
        await AsyncBrowser(crashing).get("/answers")


async def test_an_error_that_was_answered_can_be_looked_at() -> None:
    browser = AsyncBrowser(crashing, raise_app_exceptions=False)

    response = await browser.get("/answers")
    assert (response.status_code, response.text) == (500, "sorry")
    with pytest.raises(LookupError):
        await browser.get("/")


async def test_an_application_that_does_not_answer_is_found_out() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        pass

    with pytest.raises(RuntimeError, match="did not answer"):
        await AsyncBrowser(app).get("/")


# --- WebSockets -----------------------------------------------------------------------------------


async def echo(scope: Any, receive: Any, send: Any) -> None:
    assert (await receive())["type"] == "websocket.connect"
    match scope["path"]:
        case "/refuses":
            await send({"type": "websocket.close", "code": 1008, "reason": "no"})
            return
        case "/answers":
            start = {"type": "websocket.http.response.start", "status": 401, "headers": []}
            await send(start)
            await send({"type": "websocket.http.response.body", "body": b"n", "more_body": True})
            await send({"type": "websocket.http.response.body", "body": b"o"})
            return
    cookies = [(b"set-cookie", b"__Host-a=1; Secure; Path=/")]
    await send({"type": "websocket.accept", "subprotocol": None, "headers": cookies})
    while (message := await receive())["type"] == "websocket.receive":
        match message.get("text"):
            case "crash":
                raise LookupError("broken")
            case "return":
                return
            case "close":
                await send({"type": "websocket.close", "code": 4001, "reason": "bye"})
                return
        await send({**message, "type": "websocket.send"})


async def test_messages_go_both_ways() -> None:
    async with AsyncBrowser(echo).websocket("/") as websocket:
        await websocket.send_text("é")
        await websocket.send_bytes(b"\0")

        assert await websocket.receive_text() == "é"
        assert await websocket.receive_bytes() == b"\0"


async def test_cookies_of_a_handshake_are_kept() -> None:
    browser = AsyncBrowser(echo)
    async with browser.websocket("/") as websocket:
        assert websocket.headers["set-cookie"].startswith("__Host-a=1")
        assert browser.cookies == {"__Host-a": "1"}


async def test_a_handshake_carries_the_cookies_and_the_origin() -> None:
    browser = AsyncBrowser(guarded())
    await sign_in(browser, "alice")
    async with browser.websocket("/ws") as websocket:
        assert json.loads(await websocket.receive_text())["subject"] == "alice"


async def test_a_handshake_of_another_origin_is_refused() -> None:
    browser = AsyncBrowser(guarded())
    await sign_in(browser, "alice")
    with pytest.raises(WebSocketClosed) as refused:
        async with browser.websocket("/ws", headers={"origin": "https://elsewhere.example"}):
            pass
    assert refused.value.response is not None
    assert refused.value.response.status_code == 403


async def test_a_refusal_has_its_code() -> None:
    with pytest.raises(WebSocketClosed) as refused:
        async with AsyncBrowser(echo).websocket("/refuses"):
            pass
    assert (refused.value.code, refused.value.reason) == (1008, "no")


async def test_a_refusal_may_be_a_response() -> None:
    with pytest.raises(WebSocketClosed) as refused:
        async with AsyncBrowser(echo).websocket("/answers"):
            pass
    assert refused.value.response is not None
    assert (refused.value.response.status_code, refused.value.response.text) == (401, "no")


@pytest.mark.parametrize(("word", "code"), [("close", 4001), ("return", 1006)])
async def test_an_end_by_the_application_is_seen(word: str, code: int) -> None:
    async with AsyncBrowser(echo).websocket("/") as websocket:
        await websocket.send_text(word)
        with pytest.raises(WebSocketClosed) as closed:
            await websocket.receive_text()
    assert closed.value.code == code


async def test_an_error_of_a_websocket_handler_is_the_tests() -> None:
    async def crash() -> None:
        async with AsyncBrowser(echo).websocket("/") as websocket:
            await websocket.send_text("crash")
            await websocket.receive_text()

    with pytest.raises(LookupError, match="broken"):
        await crash()


async def test_an_error_of_the_test_is_in_no_group() -> None:
    with pytest.raises(AssertionError, match="mine"):
        async with AsyncBrowser(echo).websocket("/"):
            raise AssertionError("mine")


async def test_a_handler_notices_the_end() -> None:
    ends: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        ends.append((await receive())["type"])

    async with AsyncBrowser(app).websocket("/"):
        pass

    assert ends == ["websocket.disconnect"]


# --- without async --------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_browser_that_is_not_async_does_the_same(backend: str) -> None:
    browser = Browser(guarded(), backend=backend)
    sign_in(browser, "alice")

    assert browser.get("/").json()["subject"] == "alice"
    assert browser.post("/logout").status_code == 200
    assert browser.get("/").json()["subject"] is None
    assert browser.cookies == {}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_websocket_that_is_not_async_does_the_same(backend: str) -> None:
    with Browser(echo, backend=backend).websocket("/") as websocket:
        websocket.send_text("a")
        websocket.send_bytes(b"b")

        assert websocket.receive_text() == "a"
        assert websocket.receive_bytes() == b"b"
    with pytest.raises(WebSocketClosed), Browser(echo, backend=backend).websocket("/refuses"):
        pass
    with pytest.raises(AssertionError, match="mine"), Browser(echo).websocket("/"):
        raise AssertionError("mine")


def test_requests_in_a_block_share_an_event_loop() -> None:
    loops: list[object] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        import asyncio

        loops.append(asyncio.get_running_loop())
        await answer(send)

    with Browser(app) as browser:
        browser.get("/")
        browser.get("/")
    browser.get("/")

    assert loops[0] is loops[1]
    assert loops[0] is not loops[2]


async def test_the_application_is_behind_its_middleware() -> None:
    seen: list[Auth] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(Auth.of(scope))
        await answer(send)

    browser = AsyncBrowser(RefreshMiddleware(app, Issuer(SECRET, store=None)))
    await browser.get("/")

    assert seen[0].reason == "no_credentials"
