"""
A hostile neighbourhood, in Chromium: a sibling host and another site try what they can.

Each attack is made by a page of theirs, and what became of it is asserted on both ends: what the
server was sent, told the application and answered, and what the browser has left.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from tests.browser.conftest import CHROMIUM, FLAGS, HAS_CHROMIUM
from tests.browser.siblings import (
    OTHER,
    OURS,
    SIBLING,
    Hit,
    World,
    browser_flags,
    make_certificate,
)
from tests.support import require

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import BrowserContext, Page

pytestmark = [pytest.mark.browser, pytest.mark.anyio]

LONG_ENOUGH = 11 * 60  # for an access token to expire


@pytest.fixture(scope="module")
async def running(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[World, BrowserContext]]:
    """A profile that sends third-party cookies, which is the harder case for us."""
    for module in ("playwright", "uvicorn", "websockets", "cryptography"):
        require(find_spec(module) is not None, f"{module} is not installed")
    require(HAS_CHROMIUM, f"{CHROMIUM} is not installed")
    from playwright.async_api import async_playwright

    directory = tmp_path_factory.mktemp("siblings")
    flags = FLAGS + browser_flags(make_certificate(directory / "certificate.pem"))
    preferences = directory / "profile" / "Default" / "Preferences"
    preferences.parent.mkdir(parents=True)
    preferences.write_text(json.dumps({"profile": {"cookie_controls_mode": 0}}))
    async with (
        World().served(directory / "certificate.pem") as world,
        async_playwright() as playwright,
    ):
        context = await playwright.chromium.launch_persistent_context(
            directory / "profile",
            executable_path=CHROMIUM,
            args=flags,
            ignore_default_args=["--disable-back-forward-cache"],
        )
        context.set_default_timeout(10_000)
        yield world, context
        await context.close()


@pytest.fixture
def world(running: tuple[World, BrowserContext]) -> World:
    running[0].forget()
    return running[0]


@pytest.fixture
async def context(running: tuple[World, BrowserContext]) -> AsyncIterator[BrowserContext]:
    context = running[1]
    yield context
    opened = context.pages[1:]  # without any page the browser would end
    await asyncio.gather(context.clear_cookies(), *(page.close() for page in opened))


# --- what the user does ---------------------------------------------------------------------------

FETCH = """async ([url, options]) => {
  const response = await fetch(url, {cache: "no-store", ...options});
  const text = await response.text();
  return {status: response.status, text};
}"""


async def fetch(page: Page, url: str, **options: Any) -> dict[str, Any]:
    answer: dict[str, Any] = await page.evaluate(FETCH, [url, options])
    return answer


async def me(page: Page) -> dict[str, Any]:
    answer: dict[str, Any] = await page.evaluate(
        "async () => await (await fetch('/me', {cache: 'no-store'})).json()"
    )
    return answer


async def sign_in(context: BrowserContext, world: World, kind: str, who: str = "alice") -> Page:
    page = await context.new_page()
    await page.goto(world.url(kind))
    assert (await fetch(page, f"/login?as={who}", method="POST"))["status"] == 200
    assert (await me(page))["subject"] == who
    return page


async def jar(context: BrowserContext) -> dict[tuple[str, str], str]:
    """Return the cookies by name and domain; that of a whole site begins with a dot."""
    return {(c["name"], c["domain"]): c["value"] for c in await context.cookies()}


async def tokens_of(world: World, kind: str, who: str = "mallory") -> dict[str, str]:
    """Return the cookies of a browser elsewhere, by name: what *who* has to throw about."""
    issuer = world.issuers[kind]
    tokens = await issuer.issue(who)
    assert tokens.refresh_token is not None
    cookies = {
        issuer.config.access_cookie.name: tokens.access_token,
        issuer.config.refresh_cookie.name: tokens.refresh_token,
    }
    if issuer.config.csrf_cookie is not None:
        token = issuer.profile.csrf_tokens(tokens.session_id, {})[0]
        cookies[issuer.config.csrf_cookie.name] = token
    return cookies


async def forget_access(context: BrowserContext, name: str) -> None:
    """Let our own access cookie end, as its Max-Age does in minutes of real time."""
    await context.clear_cookies(name=name, domain=OURS)


# --- what the neighbours do -----------------------------------------------------------------------


async def plant(page: Page, world: World, kind: str, *lines: str, host: str = SIBLING) -> None:
    """Visit a page of *host* that sets cookies, by header and by script."""
    await page.goto(world.url(kind, "/plant?" + urlencode({"cookie": lines}, doseq=True), host))
    for line in lines:
        await page.evaluate("(line) => { document.cookie = line; }", line)


POST_FORM = """([url, fields]) => {
  const form = document.createElement("form");
  form.method = "post";
  form.action = url;
  for (const [name, value] of Object.entries(fields)) {
    const input = document.createElement("input");
    [input.name, input.value] = [name, value];
    form.append(input);
  }
  document.body.append(form);
  form.submit();
}"""


async def attack(page: Page, world: World, host: str, how: str, url: str, **fields: str) -> Hit:
    """Post to *url* from a page of *host*; return how that came to the server."""
    kind = next(kind for kind in world.ports if url.startswith(world.url(kind, "")))
    lair = world.url(kind, "/attack", host)
    if page.url != lair:
        await page.goto(lair)
    path = url.removeprefix(world.url(kind, "")).partition("?")[0]
    before = len(world.of(path))
    if how == "form":
        async with page.expect_navigation(url=url):
            await page.evaluate(POST_FORM, [url, fields])
    else:
        options = {"method": "POST", "mode": how, "credentials": "include"}
        readable = (
            "fetch(...a).then((r) => r.type === 'opaque' ? 'opaque' : r.text(), () => 'kept')"
        )
        seen = await page.evaluate(f"(a) => {readable}", [url, options])
        assert seen == ("opaque" if how == "no-cors" else "kept")
    answered = await world.until(lambda: [hit for hit in world.of(path)[before:] if hit.status])
    (hit,) = answered
    assert isinstance(hit, Hit)
    return hit


def cross_origin(world: World) -> list[tuple[str | None, bool]]:
    """Return the reason of each refusal, and whether it names a neighbour."""
    return [
        (e.reason, f"(https://{SIBLING}" in str(e.detail) or f"(https://{OTHER}" in str(e.detail))
        for e in world.events
        if e.name == "cross_origin"
    ]


# --- 1. cookies that a sibling plants -------------------------------------------------------------


async def test_a_sibling_cannot_plant_prefixed_cookies(
    world: World, context: BrowserContext
) -> None:
    mallory = await tokens_of(world, "prefixed")
    page = await context.new_page()
    lines = []
    for name, value in mallory.items():
        for domain in ("; Domain=example.test", f"; Domain={OURS}"):
            for spelled in (name, name.lower(), name.upper(), f" {name}", f"={name}"):
                lines += [
                    f"{spelled}={value}; Path={path}; Secure{domain}" for path in ("/", "/me")
                ]
    lines.append("theme=dark; Domain=example.test; Secure")  # it can plant others

    await plant(page, world, "prefixed", *lines)
    assert await jar(context) == {("theme", ".example.test"): "dark"}
    await page.goto(world.url("prefixed"))
    assert await page.title() == "sign in"

    page = await sign_in(context, world, "prefixed")
    await plant(page, world, "prefixed", *lines)
    await page.goto(world.url("prefixed"))
    assert await page.title() == "signed in as alice"
    assert (await me(page))["subject"] == "alice"
    sent = world.of("/me")[-1].cookies
    assert sorted(name for name, _ in sent) == ["__Host-access", "__Host-refresh", "theme"]
    assert not set(mallory.values()).intersection(value for _, value in sent)


async def test_plain_names_in_the_place_of_ours_count_for_nothing(
    world: World, context: BrowserContext
) -> None:
    mallory = await tokens_of(world, "plain")
    page = await sign_in(context, world, "prefixed")

    await plant(
        page, world, "prefixed", *(f"{n}={v}; Domain=example.test" for n, v in mallory.items())
    )
    await page.goto(world.url("prefixed"))

    assert await page.title() == "signed in as alice"
    assert {"access", "refresh"} <= {name for name, _ in world.of("/")[-1].cookies}


@pytest.mark.parametrize(  # of two, the longer path is sent first
    ("path", "names"),
    [("/", ("access", "refresh")), ("/me", ("access", "refresh")), ("/me", ("access",))],
)
async def test_without_the_prefix_a_planted_access_token_makes_nobody_of_the_user(
    world: World, context: BrowserContext, names: tuple[str, ...], path: str
) -> None:
    mallory = await tokens_of(world, "plain")
    page = await sign_in(context, world, "plain")
    session = (await me(page))["session_id"]
    own = await jar(context)
    world.forget()

    lines = [f"{name}={mallory[name]}; Domain=example.test; Path={path}; Secure" for name in names]
    await plant(page, world, "plain", *lines)
    await page.goto(world.url("plain"))
    told = await me(page)

    assert (told["subject"], told["reason"]) == (None, "ambiguous_cookies")
    sent = [value for name, value in world.of("/me")[-1].cookies if name == "access"]
    ours = own["access", OURS]
    first = ours if path == "/" else mallory["access"]
    assert (sent[0], set(sent)) == (first, {ours, mallory["access"]})
    assert own.items() <= (await jar(context)).items()  # nothing of ours was deleted
    assert set(world.names()) == {"rejected"}
    # The sibling has signed nobody out: without its cookies the user is there again.
    await context.clear_cookies(domain=".example.test")
    world.clock.advance(LONG_ENOUGH)
    assert (await me(page))["session_id"] == session


async def test_without_the_prefix_a_planted_refresh_token_takes_over_nothing(
    world: World, context: BrowserContext
) -> None:
    mallory = await tokens_of(world, "plain")
    page = await sign_in(context, world, "plain")
    session = (await me(page))["session_id"]

    line = f"refresh={mallory['refresh']}; Domain=example.test; Path=/; Secure"
    await plant(page, world, "plain", line)
    await page.goto(world.url("plain"))
    assert (await me(page))["session_id"] == session  # as long as the access token lives

    world.clock.advance(LONG_ENOUGH)
    told = await me(page)
    assert (told["subject"], told["reason"]) == (None, "ambiguous_cookies")
    assert world.of("/me")[-1].set_cookies == []
    await forget_access(context, "access")
    assert (await me(page))["reason"] == "ambiguous_cookies"
    await context.clear_cookies(domain=".example.test")
    assert (await me(page))["session_id"] == session


@pytest.mark.parametrize("names", [("access",), ("access", "refresh")])
async def test_without_the_prefix_and_between_two_access_tokens_a_sibling_can_switch(
    world: World, context: BrowserContext, names: tuple[str, ...]
) -> None:
    """What the prefix is for, and docs/security.md says: its own account, not the user's."""
    page = await sign_in(context, world, "plain")
    world.clock.advance(LONG_ENOUGH)
    await forget_access(context, "access")
    mallory = await tokens_of(world, "plain")

    lines = [f"{name}={mallory[name]}; Domain=example.test; Path=/; Secure" for name in names]
    await plant(page, world, "plain", *lines)
    await page.goto(world.url("plain"))

    assert (await me(page))["subject"] == "mallory"


async def test_a_flood_of_cookies_signs_nobody_in(world: World, context: BrowserContext) -> None:
    """Too much for the limit of the header; and browsers make room, if need be by ours."""
    page = await sign_in(context, world, "prefixed")
    session = (await me(page))["session_id"]
    hostile = await context.new_page()

    flood = [f"f{at}={'x' * 3500}; Domain=example.test; Secure" for at in range(6)]
    await hostile.goto(world.url("prefixed", host=SIBLING))
    await hostile.evaluate("(lines) => { for (const l of lines) document.cookie = l; }", flood)
    told = await me(page)
    assert (told["subject"], told["reason"]) == (None, "oversize_cookies")
    assert world.of("/me")[-1].set_cookies == []
    await context.clear_cookies(domain=".example.test")
    assert (await me(page))["session_id"] == session

    flood = [f"f{at}=x; Domain=example.test; Secure" for at in range(400)]
    await hostile.evaluate("(lines) => { for (const l of lines) document.cookie = l; }", flood)
    # Read back: Chromium writes later than it says, and into the next test's context if need be.
    assert "f399=x" in await hostile.evaluate("document.cookie")
    told = await me(page)  # signed out, if ours had to go
    assert told["session_id"] in (None, session)
    assert not {"reused", "revoked"}.intersection(world.names())


async def test_without_the_prefix_a_sibling_does_sign_in_who_has_no_cookies(
    world: World, context: BrowserContext
) -> None:
    """What the prefix is for, and that these attacks would work."""
    mallory = await tokens_of(world, "plain")
    page = await context.new_page()

    lines = (f"{name}={value}; Domain=example.test; Secure" for name, value in mallory.items())
    await plant(page, world, "plain", *lines)
    await page.goto(world.url("plain"))

    assert await page.title() == "signed in as mallory"


# --- 2. requests that change something ------------------------------------------------------------

METHODS = [["form"], ["no-cors", "cors"]]
TARGETS = ["/logout", "/change", "/login?as=mallory"]


@pytest.mark.parametrize("hows", METHODS, ids=["form", "fetch"])
async def test_a_sibling_that_posts_is_refused(
    world: World, context: BrowserContext, hows: list[str]
) -> None:
    page = await sign_in(context, world, "prefixed")
    session, before = (await me(page))["session_id"], await jar(context)
    hostile = await context.new_page()
    world.forget()

    for how, target in itertools.product(hows, TARGETS):
        hit = await attack(hostile, world, SIBLING, how, world.url("prefixed", target))
        assert hit.origins == ("same-site", world.url("prefixed", "", SIBLING))
        assert {name for name, _ in hit.cookies} == {"__Host-access", "__Host-refresh"}
        assert (hit.status, hit.reached, hit.set_cookies) == (403, None, [])

    assert cross_origin(world) == [("request", True)] * 3 * len(hows)
    assert world.changes == []
    assert await jar(context) == before
    assert (await me(page))["session_id"] == session


async def test_a_sibling_that_posts_when_the_access_token_has_expired_rotates_nothing(
    world: World, context: BrowserContext
) -> None:
    page = await sign_in(context, world, "prefixed")
    session = (await me(page))["session_id"]
    hostile = await context.new_page()
    world.clock.advance(LONG_ENOUGH)
    world.forget()

    hit = await attack(hostile, world, SIBLING, "no-cors", world.url("prefixed", "/logout"))

    assert (hit.status, hit.reached, hit.set_cookies) == (403, None, [])
    assert world.names() == ["cross_origin"]
    assert (await me(page))["session_id"] == session


@pytest.mark.parametrize("hows", METHODS, ids=["form", "fetch"])
async def test_another_site_that_posts_acts_for_nobody(
    world: World, context: BrowserContext, hows: list[str]
) -> None:
    """SameSite=Lax keeps the cookies at home; a sign-in is refused all the same."""
    page = await sign_in(context, world, "prefixed")
    session, before = (await me(page))["session_id"], await jar(context)
    hostile = await context.new_page()
    world.forget()

    for how, target in itertools.product(hows, TARGETS):
        hit = await attack(hostile, world, OTHER, how, world.url("prefixed", target))
        assert hit.origins == ("cross-site", world.url("prefixed", "", OTHER))
        assert (hit.cookies, hit.set_cookies) == ([], [])
        assert hit.reached is not None
        assert hit.status == (403 if "login" in target else 200)

    assert cross_origin(world) == [("login", True)] * len(hows)
    assert world.changes == [None] * len(hows)
    assert await jar(context) == before
    assert (await me(page))["session_id"] == session


@pytest.mark.parametrize("hows", METHODS, ids=["form", "fetch"])
@pytest.mark.parametrize("host", [SIBLING, OTHER])
async def test_cookies_that_come_from_everywhere_are_refused_from_elsewhere(
    world: World, context: BrowserContext, host: str, hows: list[str]
) -> None:
    """With SameSite=None the check of the origin stands alone."""
    page = await sign_in(context, world, "everywhere")
    session, before = (await me(page))["session_id"], await jar(context)
    hostile = await context.new_page()
    world.forget()

    for how, target in itertools.product(hows, TARGETS):
        hit = await attack(hostile, world, host, how, world.url("everywhere", target))
        assert {name for name, _ in hit.cookies} == {"__Host-access", "__Host-refresh"}
        assert (hit.status, hit.reached, hit.set_cookies) == (403, None, [])

    assert world.changes == []
    assert await jar(context) == before
    assert (await me(page))["session_id"] == session


@pytest.mark.parametrize("host", [SIBLING, OTHER])
async def test_nobody_is_signed_in_as_the_attacker(
    world: World, context: BrowserContext, host: str
) -> None:
    """Login CSRF: the victim has no cookies, so nothing but `login()` itself is there to refuse."""
    hostile = await context.new_page()

    for how in ("no-cors", "form"):
        hit = await attack(hostile, world, host, how, world.url("prefixed", "/login?as=mallory"))
        assert hit.reached is not None
        assert (hit.status, hit.cookies, hit.set_cookies) == (403, [], [])

    assert cross_origin(world) == [("login", True)] * 2
    assert await jar(context) == {}
    await hostile.goto(world.url("prefixed"))
    assert await hostile.title() == "sign in"


# --- 3. WebSockets --------------------------------------------------------------------------------

SOCKET = """(url) => new Promise((resolve) => {
  const socket = new WebSocket(url);
  let opened = false, told = null;
  socket.onopen = () => { opened = true; };
  socket.onmessage = (event) => { told = JSON.parse(event.data); };
  socket.onclose = (event) => resolve({opened, told, code: event.code});
})"""


async def open_socket(page: Page, world: World, kind: str) -> tuple[dict[str, Any], Hit]:
    url = world.url(kind, "/ws").replace("https", "wss")
    outcome: dict[str, Any] = await page.evaluate(SOCKET, url)
    (hit,) = world.of("/ws")
    assert hit.kind == "websocket"
    return outcome, hit


@pytest.mark.parametrize("expired", [False, True])
async def test_a_websocket_of_our_own_page_is_signed_in(
    world: World, context: BrowserContext, expired: bool
) -> None:
    page = await sign_in(context, world, "prefixed")
    session = (await me(page))["session_id"]
    world.clock.advance(LONG_ENOUGH if expired else 0)

    outcome, hit = await open_socket(page, world, "prefixed")

    assert (outcome["opened"], outcome["told"]["session_id"]) == (True, session)
    assert (hit.status, world.changes) == (101, ["alice"])
    assert hit.origins == (None, world.url("prefixed", ""))


@pytest.mark.parametrize(
    ("kind", "host"), [("prefixed", SIBLING), ("everywhere", SIBLING), ("everywhere", OTHER)]
)
async def test_a_websocket_is_refused_before_it_is_accepted(
    world: World, context: BrowserContext, kind: str, host: str
) -> None:
    page = await sign_in(context, world, kind)
    session = (await me(page))["session_id"]
    hostile = await context.new_page()
    await hostile.goto(world.url(kind, "/attack", host))
    world.forget()

    outcome, hit = await open_socket(hostile, world, kind)

    assert outcome == {"opened": False, "told": None, "code": 1006}
    assert {name for name, _ in hit.cookies} == {"__Host-access", "__Host-refresh"}
    assert (hit.status, hit.reached, hit.set_cookies) == (403, None, [])
    assert (world.changes, cross_origin(world)) == ([], [("request", True)])
    assert (await me(page))["session_id"] == session


async def test_a_websocket_of_another_site_without_cookies_is_nobodys(
    world: World, context: BrowserContext
) -> None:
    """SameSite=Lax keeps the cookies at home; what strangers may do is for the application."""
    await sign_in(context, world, "prefixed")
    hostile = await context.new_page()
    await hostile.goto(world.url("prefixed", "/attack", OTHER))

    outcome, hit = await open_socket(hostile, world, "prefixed")

    assert (hit.cookies, world.changes) == ([], [None])
    assert (outcome["opened"], outcome["told"]["subject"]) == (True, None)


# --- 4. Origin: null ------------------------------------------------------------------------------


async def test_a_form_of_our_own_works_whatever_its_referrer_policy(
    world: World, context: BrowserContext
) -> None:
    page = await sign_in(context, world, "prefixed")
    ours = world.url("prefixed", "")

    for policy, origin in {"no-referrer": "null", "origin": ours}.items():
        for expired in (False, True):
            world.forget()
            await page.goto(world.url("prefixed", f"/form?policy={policy}"))
            world.clock.advance(LONG_ENOUGH if expired else 0)
            async with page.expect_navigation(url=world.url("prefixed", "/change")):
                await page.get_by_role("button").click()
            (hit,) = world.of("/change")
            assert hit.origins == ("same-origin", origin)
            assert (hit.status, world.changes) == (200, ["alice"])
            assert hit.reached is not None
            assert hit.reached.refreshed is expired
            assert await page.title() == "changed by alice"


@pytest.mark.parametrize("kind", ["prefixed", "everywhere"])
async def test_a_form_in_a_sandbox_is_not_our_own(
    world: World, context: BrowserContext, kind: str
) -> None:
    page = await sign_in(context, world, kind)
    await page.goto(world.url(kind, "/framed"))

    (hit,) = await world.until(lambda: [hit for hit in world.of("/change") if hit.status])

    assert hit.origins == ("cross-site", "null")
    if kind == "prefixed":  # SameSite=Lax keeps the cookies at home
        assert (hit.cookies, world.changes) == ([], [None])
    else:
        assert {name for name, _ in hit.cookies} == {"__Host-access", "__Host-refresh"}
        assert (hit.status, hit.reached, world.changes) == (403, None, [])
    assert (await me(page))["subject"] == "alice"


async def test_a_neighbour_that_hides_its_origin_is_refused(
    world: World, context: BrowserContext
) -> None:
    """Referrer-Policy: no-referrer makes of any origin a null."""
    page = await sign_in(context, world, "everywhere")
    hostile = await context.new_page()
    body = '<meta name="referrer" content="no-referrer">'
    url = world.url("everywhere", "/change")

    for host, site in ((SIBLING, "same-site"), (OTHER, "cross-site")):
        world.forget()
        await hostile.goto(world.url("everywhere", "/?" + urlencode({"body": body}), host))
        async with hostile.expect_navigation(url=url):
            await hostile.evaluate(POST_FORM, [url, {}])
        (hit,) = world.of("/change")
        assert hit.origins == (site, "null")
        assert {name for name, _ in hit.cookies} == {"__Host-access", "__Host-refresh"}
        assert (hit.status, hit.reached, world.changes) == (403, None, [])
    assert (await me(page))["subject"] == "alice"


# --- 5. requests that are given up ----------------------------------------------------------------

GIVE_UP = """(url) => {
  const controller = new AbortController();
  const outcome = fetch(url, {signal: controller.signal}).catch((error) => error.name);
  window.giveUp = () => { controller.abort(); return outcome; };
  addEventListener("unload", () => {});  // keeps the page out of the back/forward cache
}"""


@pytest.mark.parametrize("how", ["abort", "close", "leave"])
async def test_who_gives_up_a_request_that_rotates_stays_signed_in(
    world: World, context: BrowserContext, how: str
) -> None:
    """While the handler runs, and when it is done and its answer on the wire."""
    page = await sign_in(context, world, "prefixed")
    session = (await me(page))["session_id"]

    for expiry, where in enumerate(["/slow?gate", "/me?wire", "/slow?gate", "/me?wire"]):
        path = where.partition("?")[0]
        world.clock.advance(LONG_ENOUGH)
        gate = f"{how}-{expiry}"
        refresh = (await jar(context))["__Host-refresh", OURS]
        before = len(world.of(path))
        await page.goto(world.url("prefixed", "/excluded"))
        await page.evaluate(GIVE_UP, f"{where}={gate}")
        await world.arrived(gate)
        if how == "abort":
            assert await page.evaluate("window.giveUp()") == "AbortError"
        elif how == "leave":
            await page.goto(world.url("prefixed", "/away", OTHER))
        else:
            await page.close()
            page = await context.new_page()
        assert await world.until(lambda gate=gate: world.hung_up.get(gate))
        hit = world.of(path)[before]
        await world.until(lambda hit=hit: hit.status)
        assert hit.reached is not None
        assert (hit.reached.refreshed, len(hit.set_cookies)) == (True, 2)
        assert (await jar(context))["__Host-refresh", OURS] == refresh  # the answer was lost
        if expiry != 1:  # that one is lost, too
            world.clock.advance(LONG_ENOUGH * (expiry % 2))
            assert (await there_again(page, world)) == session

    for _ in range(2):
        world.clock.advance(LONG_ENOUGH)
        assert (await me(page))["session_id"] == session
    assert not {"reused", "revoked"}.intersection(world.names())
    assert "recovered" in world.names()


async def test_who_leaves_a_page_that_is_kept_gets_the_answer(
    world: World, context: BrowserContext
) -> None:
    """A page in the back/forward cache does not hang up: the new cookies arrive."""
    page = await sign_in(context, world, "prefixed")
    session = (await me(page))["session_id"]

    for expiry in range(3):
        world.clock.advance(LONG_ENOUGH)
        gate = f"kept-{expiry}"
        await page.evaluate("(url) => { fetch(url); }", f"/slow?gate={gate}")
        await world.arrived(gate)
        await page.goto(world.url("prefixed", "/away", OTHER))
        world.gates[gate].release.set()
        await world.until(lambda gate=gate: gate in world.hung_up)
        assert world.hung_up[gate] is False
        assert (await there_again(page, world)) == session

    assert world.names().count("refreshed") == 3
    assert not {"reused", "revoked", "recovered"}.intersection(world.names())


async def there_again(page: Page, world: World) -> str:
    """Return the session that the user is found in."""
    await page.goto(world.url("prefixed"))
    assert await page.title() == "signed in as alice"
    session: str = (await me(page))["session_id"]
    return session


# --- 6. the back/forward cache --------------------------------------------------------------------


async def back_after_sign_out(page: Page, world: World, kind: str, cache: str) -> list[bool]:
    """Look at a private page, sign out elsewhere, go back; return how the page was shown."""
    await page.goto(world.url(kind, "/private?" + urlencode({"cache": cache})))
    assert await page.title() == "the secret of alice"
    await page.goto(world.url(kind))
    assert (await fetch(page, "/logout", method="POST"))["status"] == 200
    await page.go_back(wait_until="commit")
    await page.wait_for_function("window.shown?.length > 0")
    shown: list[bool] = await page.evaluate("window.shown")
    return shown


async def test_a_page_from_before_the_sign_out_can_do_nothing(
    world: World, context: BrowserContext
) -> None:
    page = await sign_in(context, world, "prefixed")

    shown = await back_after_sign_out(page, world, "prefixed", "private, max-age=600")

    assert shown == [False, True]  # it is the page of then, as it stood
    assert await page.title() == "the secret of alice"
    assert len(world.of("/private")) == 1
    assert await jar(context) == {}
    assert (await me(page))["subject"] is None
    await fetch(page, "/change", method="POST")
    assert world.changes == [None]
    await page.goto(
        world.url("prefixed", "/private?" + urlencode({"cache": "private, max-age=600"}))
    )
    assert await page.title() == "sign in"  # Vary: Cookie


async def test_a_page_that_is_not_to_be_stored_is_gone_after_the_sign_out(
    world: World, context: BrowserContext
) -> None:
    page = await sign_in(context, world, "prefixed")

    shown = await back_after_sign_out(page, world, "prefixed", "private, no-store")

    assert shown == [False]
    assert await page.title() == "sign in"
    assert [hit.cookies != [] for hit in world.of("/private")] == [True, False]


async def test_with_clear_site_data_the_page_is_gone_after_the_sign_out(
    world: World, context: BrowserContext
) -> None:
    page = await sign_in(context, world, "clearing")

    shown = await back_after_sign_out(page, world, "clearing", "private, max-age=600")

    assert shown == [False]
    assert await page.title() == "sign in"
    assert [hit.cookies != [] for hit in world.of("/private")] == [True, False]
    assert await jar(context) == {}


# --- 7. requests that nobody asked for ------------------------------------------------------------

SPECULATE = """([what, url]) => {
  if (what === "link") {
    const link = document.createElement("link");
    [link.rel, link.href] = ["prefetch", url];
    document.head.append(link);
  } else {
    const rules = document.createElement("script");
    rules.type = "speculationrules";
    rules.textContent = JSON.stringify({[what]: [{urls: [url], eagerness: "immediate"}]});
    document.head.append(rules);
  }
}"""


@pytest.mark.parametrize(
    ("what", "purpose", "site"),
    [
        ("link", "prefetch", "same-origin"),
        ("prefetch", "prefetch", "none"),
        ("prerender", "prefetch;prerender", "none"),
    ],
)
async def test_a_page_that_is_fetched_ahead_may_refresh(
    world: World, context: BrowserContext, what: str, purpose: str, site: str
) -> None:
    page = await sign_in(context, world, "prefixed")
    session = (await me(page))["session_id"]
    world.forget()

    for expiry in range(3):
        world.clock.advance(LONG_ENOUGH)
        path = f"/private?{expiry}"
        await page.evaluate(SPECULATE, [what, path])
        ahead = [str(expiry)]
        (hit,) = await world.until(
            lambda ahead=ahead: [h for h in world.of("/private") if [h.query] == ahead and h.status]
        )
        assert (hit.header("sec-purpose"), hit.header("sec-fetch-site")) == (purpose, site)
        assert hit.reached is not None
        assert (hit.reached.refreshed, len(hit.set_cookies)) == (True, 2)
        if expiry:  # the first is not followed
            async with page.expect_navigation():
                await page.evaluate("(path) => { location.href = path; }", path)
            assert await page.title() == "the secret of alice"
        assert (await me(page))["session_id"] == session

    assert world.names().count("refreshed") == 3
    assert not {"reused", "revoked"}.intersection(world.names())


@pytest.mark.parametrize("host", [SIBLING, OTHER])
async def test_what_neighbours_embed_costs_the_session_nothing(
    world: World, context: BrowserContext, host: str
) -> None:
    page = await sign_in(context, world, "prefixed")
    session = (await me(page))["session_id"]
    hostile = await context.new_page()

    for _ in range(2):
        world.clock.advance(LONG_ENOUGH)
        world.forget()
        images = f'<img src="{world.url("prefixed", "/me?{}")}">'
        body = "".join(images.format(at) for at in range(5))
        await hostile.goto(world.url("prefixed", "/?" + urlencode({"body": body}), host))
        assert len(world.of("/me")) == 5
        assert all(bool(hit.cookies) == (host == SIBLING) for hit in world.of("/me"))
        assert (await me(page))["session_id"] == session
        assert world.names().count("refreshed") == 1
    assert "reused" not in world.names()


@pytest.mark.parametrize("what", ["prefetch", "prerender"])
async def test_what_a_sibling_fetches_ahead_costs_the_session_nothing(
    world: World, context: BrowserContext, what: str
) -> None:
    """Its request says that the user has asked for it: `Sec-Fetch-Site: none`."""
    page = await sign_in(context, world, "prefixed")
    session = (await me(page))["session_id"]
    hostile = await context.new_page()

    for _ in range(2):
        world.clock.advance(LONG_ENOUGH)
        world.forget()
        await hostile.goto(world.url("prefixed", "/attack", SIBLING))
        await hostile.evaluate(SPECULATE, [what, world.url("prefixed", "/private")])
        (hit,) = await world.until(lambda: [hit for hit in world.of("/private") if hit.status])
        assert (hit.method, *hit.origins) == ("GET", "none", None)
        assert hit.reached is not None
        assert hit.reached.refreshed
        assert (await me(page))["session_id"] == session
    assert "reused" not in world.names()


# --- 8. the double-submit token -------------------------------------------------------------------

OWN_TOKEN = """() => document.cookie.split("; ").map((pair) => pair.split("="))
  .find(([name]) => name.endsWith("csrf"))[1]"""


async def test_our_own_page_repeats_its_token(world: World, context: BrowserContext) -> None:
    page = await sign_in(context, world, "double-submit")
    token = await page.evaluate(OWN_TOKEN)

    assert (await fetch(page, "/change", method="POST"))["status"] == 403
    assert world.changes == []
    for expiry in range(2):  # it stays the same over a refresh
        headers = {"X-CSRF-Token": token}
        assert (await fetch(page, "/change", method="POST", headers=headers))["status"] == 200
        url = world.url("double-submit", "/change")
        async with page.expect_navigation(url=url):
            await page.evaluate(POST_FORM, [url, {"csrf_token": token}])
        assert await page.title() == "changed by alice"
        assert world.changes == ["alice"] * (2 * expiry + 2)
        world.clock.advance(LONG_ENOUGH)


async def test_a_planted_token_is_of_no_use(world: World, context: BrowserContext) -> None:
    """The prefixed cookie cannot be planted, and the origin is refused before it is looked at."""
    mallory = (await tokens_of(world, "double-submit"))["__Host-csrf"]
    page = await sign_in(context, world, "double-submit")
    own = await page.evaluate(OWN_TOKEN)
    hostile = await context.new_page()
    world.forget()

    await plant(
        hostile,
        world,
        "double-submit",
        f"__Host-csrf={mallory}; Path=/; Secure; Domain=example.test",
        f"csrf={mallory}; Path=/; Secure; Domain=example.test",
    )
    url = world.url("double-submit", "/change")
    hit = await attack(hostile, world, SIBLING, "form", url, csrf_token=mallory)

    assert (hit.status, hit.reached, world.changes) == (403, None, [])
    assert ("__Host-csrf", own) in hit.cookies
    assert ("__Host-csrf", mallory) not in hit.cookies
    assert cross_origin(world) == [("request", True)]
    await page.goto(world.url("double-submit"))
    assert await page.evaluate("document.cookie.split('; ').length") == 2
    headers = {"X-CSRF-Token": own}
    assert (await fetch(page, "/change", method="POST", headers=headers))["status"] == 200
    assert world.changes == ["alice"]


@pytest.mark.parametrize("path", ["/", "/change"])
async def test_a_planted_token_is_of_no_use_where_nothing_else_defends(
    world: World, context: BrowserContext, path: str
) -> None:
    """Without the prefix and without a check of the origin: it is bound to the session."""
    kind = "double-submit alone"
    mallory = (await tokens_of(world, kind))["csrf"]
    page = await sign_in(context, world, kind)
    own = await page.evaluate(OWN_TOKEN)
    hostile = await context.new_page()
    url = world.url(kind, "/change")
    world.forget()

    for planted in (mallory, "x"):
        line = f"csrf={planted}; Path={path}; Secure; Domain=example.test"
        await plant(hostile, world, kind, line)
        hit = await attack(hostile, world, SIBLING, "form", url, csrf_token=planted)
        assert [v for n, v in hit.cookies if n == "csrf"] == (
            [own, planted] if path == "/" else [planted, own]
        )
        assert (hit.status, hit.reached, world.changes) == (403, None, [])
    assert [(e.name, e.reason) for e in world.events] == [("cross_origin", "double_submit")] * 2
    # What a sibling cannot read, it cannot repeat; who can, is let in.
    hit = await attack(hostile, world, SIBLING, "form", url, csrf_token=own)
    assert (hit.status, world.changes) == (200, ["alice"])
    assert (await me(page))["subject"] == "alice"
