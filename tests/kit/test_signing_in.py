"""Signing in for a test: genuine cookies by the application's own issuer, and time that goes by."""

from __future__ import annotations

import functools
import gc
import inspect
import time
from types import CellType, FunctionType, SimpleNamespace
from typing import Any

import pytest
from authx import AuthXConfig
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount

from asgi_refresh import (
    Config,
    Cookie,
    Issuer,
    Key,
    Legacy,
    MemoryStore,
    RefreshMiddleware,
    Verifier,
    VerifierMiddleware,
    errors,
)
from asgi_refresh.compat.authx import authx_issuer, authx_legacy
from asgi_refresh.testing import AsyncBrowser, Browser, Clock, advance, expire_access, sign_in
from asgi_refresh.testing.clock import movable
from asgi_refresh.testing.find import issuer_of
from tests.support import SECRET, answer, whoami

pytestmark = pytest.mark.anyio


def an_issuer(**values: Any) -> Issuer:
    return Issuer(SECRET, **{"store": MemoryStore(), "on_event": lambda _event: None, **values})


def a_browser(**values: Any) -> AsyncBrowser:
    return AsyncBrowser(RefreshMiddleware(whoami, an_issuer(**values)))


async def told(browser: AsyncBrowser) -> dict[str, Any]:
    response = await browser.get("/")
    answer: dict[str, Any] = response.json()
    return answer


# --- who is signed in -----------------------------------------------------------------------------


@pytest.mark.parametrize("store", [None, MemoryStore()], ids=["stateless", "rotating"])
async def test_the_subject_is_signed_in_with_its_claims(store: Any) -> None:
    browser = a_browser(store=store)
    await sign_in(browser, "alice", role="admin", scope="read")

    me = await told(browser)
    assert (me["subject"], me["payload"]["role"]) == ("alice", "admin")
    assert (me["payload"]["scope"], me["via"], me["refreshed"]) == ("read", "cookie", False)


async def test_the_session_is_a_genuine_one() -> None:
    issuer = an_issuer()
    browser = AsyncBrowser(RefreshMiddleware(whoami, issuer))
    await sign_in(browser, "alice", device="phone", persistent=False)

    [session] = await issuer.sessions("alice")
    assert (session.device, session.persistent) == ("phone", False)
    assert set(browser.cookies) == {"__Host-access", "__Host-refresh"}
    assert [cookie.expires for cookie in browser.cookie_jar] == [None, None]


async def test_who_was_signed_in_before_is_not_any_more() -> None:
    issuer = an_issuer()
    browser = AsyncBrowser(RefreshMiddleware(whoami, issuer))
    await sign_in(browser, "alice")
    await sign_in(browser, "bob")

    assert (await told(browser))["subject"] == "bob"
    assert await issuer.sessions("alice") == []


async def test_the_double_submit_cookie_comes_along() -> None:
    browser = a_browser(config=Config(csrf_cookie=Cookie("__Host-csrf", http_only=False)))
    await sign_in(browser, "alice")
    await sign_in(browser, "alice")  # that our own cookies come along is no harm

    assert (await browser.post("/")).status_code == 403
    token = {"x-csrf-token": browser.cookies["__Host-csrf"]}
    assert (await browser.post("/", headers=token)).status_code == 200


async def test_cookies_below_a_path_are_kept() -> None:
    config = Config(access_cookie=Cookie("a", path="/x/y"), refresh_cookie=Cookie("r", path="/x"))
    browser = a_browser(config=config)
    await sign_in(browser, "alice")

    assert (await browser.get("/x/y")).json()["subject"] == "alice"
    expire_access(browser)
    assert (await browser.get("/x/y")).json()["refreshed"] is True


async def test_whom_load_claims_refuses_is_not_signed_in() -> None:
    browser = a_browser(load_claims=lambda session: None)
    with pytest.raises(errors.AccessDeniedError):
        await sign_in(browser, "alice")

    assert browser.cookies == {}


async def test_a_subject_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="subject"):
        await sign_in(a_browser(), "")


async def test_a_client_on_a_host_that_the_cookies_are_not_for_is_found_out() -> None:
    domain = {"domain": "app.example"}
    config = Config(access_cookie=Cookie("a", **domain), refresh_cookie=Cookie("r", **domain))
    app = RefreshMiddleware(whoami, an_issuer(config=config))
    right = AsyncBrowser(app, base_url="https://www.app.example")
    await sign_in(right, "alice")

    assert (await told(right))["subject"] == "alice"
    with pytest.raises(ValueError, match="does not keep"):
        await sign_in(AsyncBrowser(app), "alice")


def test_a_client_without_cookies_is_refused() -> None:
    class Client:
        app = RefreshMiddleware(whoami, an_issuer())

        def get(self) -> None: ...

    with pytest.raises(TypeError, match="Client keeps no cookies"):
        sign_in(Client(), "alice")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_client_that_is_not_awaited_is_signed_in_at_once(backend: str) -> None:
    browser = Browser(RefreshMiddleware(whoami, an_issuer()), backend=backend)
    sign_in(browser, "alice")
    assert browser.get("/").json()["subject"] == "alice"
    with browser:
        sign_in(browser, "bob")
        assert browser.get("/").json()["subject"] == "bob"


# --- whose issuer ---------------------------------------------------------------------------------

ISSUER = an_issuer()


def inside(app: Any) -> Any:
    async def wrapper(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return wrapper


class Wrapper:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


def starlette() -> Starlette:
    return Starlette(middleware=[Middleware(RefreshMiddleware, issuer=ISSUER)])


def built() -> Starlette:
    app = starlette()
    app.middleware_stack = app.build_middleware_stack()
    app.user_middleware = []
    return app


def quart() -> Any:
    from quart import Quart

    app = Quart("app")
    app.asgi_app = RefreshMiddleware(app.asgi_app, ISSUER)  # type: ignore[method-assign, assignment]
    return app


def litestar() -> Any:
    from litestar import Litestar
    from litestar.middleware import DefineMiddleware

    return Litestar([], middleware=[DefineMiddleware(RefreshMiddleware, issuer=ISSUER)])


@pytest.mark.parametrize(
    "app",
    [
        RefreshMiddleware(whoami, ISSUER),
        Wrapper(RefreshMiddleware(whoami, ISSUER)),
        inside(RefreshMiddleware(whoami, ISSUER)),
        functools.partial(RefreshMiddleware(whoami, ISSUER)),
        Wrapper(RefreshMiddleware(whoami, ISSUER)).__call__,
        RefreshMiddleware(RefreshMiddleware(whoami, ISSUER), ISSUER),
        starlette(),
        Starlette(middleware=[Middleware(RefreshMiddleware, ISSUER)]),
        built(),
        Starlette(routes=[Mount("/a", app=starlette())]),
        quart(),
        litestar(),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_issuer_is_found_behind(app: Any) -> None:
    assert issuer_of(app) is ISSUER


def test_a_wrapper_that_is_half_made_is_no_harm() -> None:
    inner = RefreshMiddleware(whoami, ISSUER)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await inner(scope, receive, late)

    assert issuer_of(app) is ISSUER
    late = None


@pytest.mark.parametrize("name", ["app", "_app", "asgi_app", "application"])
def test_an_issuer_is_found_behind_a_wrapper_that_calls_it(name: str) -> None:
    wrapper = SimpleNamespace(**{name: RefreshMiddleware(whoami, ISSUER)})

    assert issuer_of(wrapper) is ISSUER


@pytest.mark.parametrize(
    ("app", "said"),
    [
        (whoami, "no issuers"),
        (None, "no issuers"),
        (RefreshMiddleware(RefreshMiddleware(whoami, ISSUER), an_issuer()), "2 issuers"),
        (VerifierMiddleware(whoami, Verifier(Key.generate("ES256"))), "no issuers"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_issuer_that_is_not_certain_must_be_said(app: Any, said: str) -> None:
    with pytest.raises(LookupError, match=f"{said}.*say issuer="):
        issuer_of(app)


async def test_an_issuer_may_be_said() -> None:
    inner = an_issuer()
    hidden = RefreshMiddleware(whoami, inner)

    async def app(scope: Any, receive: Any, send: Any, way: Any = {"to": hidden}) -> None:  # noqa: B006
        await way["to"](scope, receive, send)

    browser = AsyncBrowser(app)
    await sign_in(browser, "alice", issuer=inner)
    expire_access(browser, issuer=inner)
    assert (await told(browser))["refreshed"] is True
    advance(browser, issuer=inner, days=15)
    assert (await told(browser))["subject"] is None


# --- time that goes by ----------------------------------------------------------------------------


@pytest.mark.parametrize("store", [None, MemoryStore()], ids=["stateless", "rotating"])
@pytest.mark.parametrize("persistent", [True, False])
async def test_an_access_token_is_over_again_and_again(store: Any, persistent: bool) -> None:
    browser = a_browser(store=store)
    await sign_in(browser, "alice", persistent=persistent)
    for _ in range(5):
        expire_access(browser)
        assert ("__Host-access" in browser.cookies) is not persistent  # browsers go by Max-Age
        me = await told(browser)
        assert (me["subject"], me["refreshed"]) == ("alice", True)
        assert (await told(browser))["refreshed"] is False


async def test_the_access_token_is_over_by_the_issuers_clock() -> None:
    issuer = an_issuer()
    browser = AsyncBrowser(RefreshMiddleware(whoami, issuer))
    await sign_in(browser, "alice")
    token = browser.cookies["__Host-access"]
    expire_access(browser)

    with pytest.raises(errors.ExpiredTokenError):
        issuer.verify(token)


async def test_a_token_that_is_over_already_costs_no_time() -> None:
    issuer = an_issuer(clock=Clock(lambda: 1_800_000_000.0))
    browser = AsyncBrowser(RefreshMiddleware(whoami, issuer))
    await sign_in(browser, "alice", persistent=False)
    advance(browser, hours=1)
    now = issuer.clock()
    expire_access(browser)

    assert issuer.clock() == now


def test_without_an_access_token_there_is_nothing_to_expire() -> None:
    with pytest.raises(LookupError, match="sign_in"):
        expire_access(a_browser())


async def test_a_session_ends_when_its_time_has_gone_by() -> None:
    browser = a_browser()
    await sign_in(browser, "alice")
    advance(browser, days=13)
    assert (await told(browser))["subject"] == "alice"
    advance(browser, days=14)

    assert browser.cookies == {}
    assert (await told(browser))["reason"] == "no_credentials"


def test_time_goes_one_way() -> None:
    with pytest.raises(ValueError, match="one way"):
        advance(a_browser(), seconds=-1)


def test_a_clock_goes_on_as_its_base_does_and_leaps_when_told() -> None:
    now = [1000.0]
    clock = Clock(lambda: now[0])
    assert clock() == 1000
    clock.advance(minutes=1, seconds=0.5)
    assert clock() == 1060.5
    now[0] = 2000
    assert clock() == 2060.5


def test_a_clock_that_can_be_moved_is_kept() -> None:
    clock = Clock()
    issuer = an_issuer(clock=clock)

    assert movable(issuer) is clock
    assert issuer.clock is clock


AUTHX = AuthXConfig(JWT_SECRET_KEY=SECRET, JWT_TOKEN_LOCATION=["cookies"])


@pytest.mark.parametrize(
    "make",
    [
        lambda clock: an_issuer(clock=clock, store=None),
        lambda clock: an_issuer(clock=clock),
        lambda clock: an_issuer(clock=clock, config=Config(revocation="always")),
        lambda clock: an_issuer(clock=clock, accept_legacy=Legacy(lambda token: None)),
        lambda clock: authx_issuer(AUTHX, store=MemoryStore(), clock=clock),
    ],
    ids=["stateless", "rotating", "always", "legacy", "compat"],
)
def test_a_clock_is_replaced_wherever_it_was(make: Any) -> None:
    def clock() -> float:
        return 1_800_000_000.0

    issuer = make(clock)
    middleware = RefreshMiddleware(whoami, issuer)
    new = movable(issuer)

    assert issuer.clock is new
    assert middleware._clock is new
    assert holders_of_ours(clock) == [Clock]


def holders_of_ours(value: Any) -> list[type]:
    """What of this package refers to *value*, in an attribute or a closure."""
    held_by = gc.get_referrers(value)
    for part in [item for item in held_by if isinstance(item, dict | CellType | tuple)]:
        held_by += gc.get_referrers(part)
    kinds = {type(item) for item in held_by if type(item).__module__.startswith("asgi_refresh")}
    ours = [item for item in held_by if isinstance(item, FunctionType)]
    return [*kinds, *(item for item in ours if item.__module__.startswith("asgi_refresh"))]


def test_a_reader_of_an_earlier_systems_tokens_has_the_same_clock() -> None:
    legacy = authx_legacy(AUTHX)
    issuer = Issuer(SECRET, store=MemoryStore(), accept_legacy=legacy)

    assert inspect.getclosurevars(legacy.read).nonlocals["clock"] is time.time
    new = movable(issuer)
    inside = inspect.getclosurevars(legacy.read).nonlocals
    assert inside["clock"] is inside["profile"]._clock is new


async def test_a_time_that_went_by_stays_gone() -> None:
    issuer = an_issuer()
    app = RefreshMiddleware(whoami, issuer)
    first, second = AsyncBrowser(app), AsyncBrowser(app)
    await sign_in(first, "alice")
    advance(first, days=1)
    await sign_in(second, "bob")

    assert (await told(second))["subject"] == "bob"
    assert (await told(first))["subject"] == "alice"


async def test_no_route_of_the_application_runs() -> None:
    ran: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ran.append(scope["path"])
        await answer(send)

    await sign_in(AsyncBrowser(RefreshMiddleware(app, an_issuer())), "alice")

    assert ran == []
