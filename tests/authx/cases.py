"""
The facts of reference/authx.md, 2.2, as things that are done to a site and what comes of them.

A case says what it observes, never what it hopes for: `OUTCOMES` in the test is what must be.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from asgi_refresh.errors import ConfigurationError
from tests.authx.site import (
    ACCESS,
    HOUR,
    MINUTE,
    REFRESH,
    Front,
    RealClock,
    Site,
    make_site,
    signed_in,
    travelling,
)
from tests.blackbox.helpers import messages_of, together
from tests.support import SECRET, App, Browser, Response


@dataclass(frozen=True)
class World:
    """A clock, and what stands before the applications of one column."""

    clock: RealClock
    front: Front

    def site(self, **kwargs: Any) -> Site:
        return make_site(self.clock, self.front, **kwargs)

    async def signed_in(self, **kwargs: Any) -> Site:
        return await signed_in(self.clock, self.front, **kwargs)


@dataclass(frozen=True)
class Case:
    """One fact: its name, what is done, and who does it."""

    name: str
    about: str
    run: Callable[[World], Awaitable[str]]


async def observe(case: Case, front: Front) -> str:
    """Return what comes of *case* behind *front*."""
    with travelling() as traveller:
        return await case.run(World(RealClock(traveller), front))


def renewed(response: Response) -> bool:
    """Whether an access cookie was set, whatever else was."""
    return any(
        line.startswith(f"{ACCESS}=") and "Max-Age=0" not in line for line in response.set_cookies
    )


def told(response: Response) -> str:
    return f"{response.status}, {'renewed' if renewed(response) else 'nothing set'}"


async def attempt(browser: Browser, path: str, method: str = "GET", **kwargs: Any) -> str:
    """Return what a request came to, if it came to an answer at all."""
    try:
        return told(await browser.request(path, method, **kwargs))
    except Exception as error:  # noqa: BLE001 - whatever a server would answer 500 for
        return f"500 {type(error).__name__}"


def yes(condition: bool) -> str:
    return "yes" if condition else "no"


# --- does it refresh? -----------------------------------------------------------------------------


async def get_and_post(world: World) -> str:
    site = await world.signed_in(left=60)
    got = await attempt(site.browser, "/me")
    site = await world.signed_in(left=60)
    posted = await attempt(site.browser, "/transfer", "POST", headers=[site.csrf()])
    return f"GET {got}; POST {posted}"


async def expired(world: World) -> str:
    site = await world.signed_in(left=-5)
    return await attempt(site.browser, "/me")


async def expired_post(world: World) -> str:
    site = await world.signed_in(left=-5)
    return await attempt(site.browser, "/transfer", "POST", headers=[site.csrf()])


async def missing(world: World) -> str:
    site = await world.signed_in()
    site.browser.drop(ACCESS)
    private = await attempt(site.browser, "/me")
    site.browser.drop(ACCESS)
    return f"{private}; public route {await attempt(site.browser, '/public')}"


async def threshold(world: World) -> str:
    found = []
    for left in (601.5, 598.5, 30.0):
        site = await world.signed_in(left=left)
        if renewed(await site.browser.get("/me")):
            found.append(f"{left:g}")
    return f"renewed at {', '.join(found)} s of 601.5, 598.5, 30"


async def handler_sees(world: World) -> str:
    site = await world.signed_in(left=60)
    response = await site.browser.get("/me")
    fresh = site.read(site.browser.values()[ACCESS])["jti"]
    return f"the new token: {yes(response.json()['jti'] == fresh)}"


async def slow_handler(world: World) -> str:
    site = await world.signed_in(left=2)
    site.meanwhile = lambda: world.clock.advance(2.5)
    slow = await attempt(site.browser, "/slow")
    return f"{slow}; next request {await attempt(site.browser, '/me')}"


async def short_lifetime(world: World) -> str:
    site = await world.signed_in(JWT_ACCESS_TOKEN_EXPIRES=timedelta(minutes=5), left=299)
    answers = [await site.browser.get("/me") for _ in range(50)]
    return f"{sum(map(renewed, answers))} new tokens in 50 requests"


async def rotation(world: World) -> str:
    site = await world.signed_in(left=-5)
    before = site.browser.fork()
    await site.browser.get("/me")
    world.clock.advance(HOUR)
    await site.browser.get("/me")
    rotated = site.browser.values()[REFRESH] != before.values()[REFRESH]
    world.clock.advance(HOUR)
    before.drop(ACCESS)
    old = await attempt(before, "/me")
    owner = await attempt(site.browser, "/me")
    return f"rotated: {yes(rotated)}; old refresh cookie later {old}; owner then {owner}"


async def parallel(world: World) -> str:
    site = await world.signed_in(left=60)
    answers = await together([lambda: site.browser.send("/me")] * 20)
    good = sum(answer.status == 200 for answer in answers)
    refresh = {answer.cookies.get(REFRESH) for answer in answers} - {None}
    return f"{good} of 20 are 200, {len(refresh)} new refresh tokens"


# --- security -------------------------------------------------------------------------------------


async def logout(world: World) -> str:
    site = await world.signed_in(left=300)
    await site.browser.post("/logout", headers=[site.csrf()])
    return f"next request {await attempt(site.browser, '/me')}"


async def logout_copy(world: World) -> str:
    site = await world.signed_in(left=60)
    await site.browser.get("/me")
    copy = site.browser.fork()
    await site.browser.post("/logout", headers=[site.csrf()])
    now = await attempt(copy, "/me")
    world.clock.advance(HOUR)
    return f"a copy of the cookies {now}; an hour later {await attempt(copy, '/me')}"


async def blocked(world: World) -> str:
    site = await world.signed_in(left=60)
    site.blocked.add(site.browser.values()[ACCESS])
    site.browser.drop(REFRESH)
    first = await attempt(site.browser, "/me")
    return f"{first}; next request {await attempt(site.browser, '/me')}"


async def both_blocked(world: World) -> str:
    site = await world.signed_in(left=60)
    site.blocked |= {site.browser.values()[ACCESS], site.browser.values()[REFRESH]}
    first = await attempt(site.browser, "/me")
    return f"{first}; next request {await attempt(site.browser, '/me')}"


async def switched(world: World) -> str:
    site = await world.signed_in(left=60)
    await site.browser.post("/login/bob", headers=[site.csrf()])
    return f"next request is {(await site.browser.get('/me')).json()['sub']}'s"


async def forever(world: World) -> str:
    site = await world.signed_in(JWT_REFRESH_TOKEN_EXPIRES=timedelta(hours=2))
    site.browser.drop(REFRESH)
    for _ in range(30):
        world.clock.advance(10 * MINUTE)
        last = await attempt(site.browser, "/me")
    return f"a stolen access cookie after 5 hours {last}"


async def failed_csrf(world: World) -> str:
    site = await world.signed_in(left=60)
    wrong = await attempt(site.browser, "/transfer", "POST", headers=[("x-csrf-token", "wrong")])
    return f"{wrong}; without it {await attempt(site.browser, '/transfer', 'POST')}"


async def caching(world: World) -> str:
    site = await world.signed_in(left=60)
    response = await site.browser.get("/cached")
    return f"{told(response)}, Cache-Control: {response.header('cache-control')}"


async def refusals(world: World) -> str:
    asked = {
        "404": ("/nowhere", "GET"),
        "405": ("/me", "PUT"),
        "418": ("/teapot", "GET"),
        "OPTIONS": ("/me", "OPTIONS"),
        "307": ("/redirect", "GET"),
    }
    found = []
    for name, (path, method) in asked.items():
        site = await world.signed_in(left=60)
        headers = [site.csrf()]
        if renewed(await site.browser.request(path, method, headers=headers)):
            found.append(name)
    return f"renewed with {', '.join(found) or 'none'}"


async def deleted_user(world: World) -> str:
    site: Site | None = None

    def load_claims(session: Any) -> dict[str, Any] | None:
        assert site is not None
        return {} if session.subject in site.users else None

    site = await world.signed_in(left=60, settings={"load_claims": load_claims})
    site.users.clear()
    response = await site.browser.get("/subject")
    subject = response.json().get("subject", "none")
    return f"{told(response)}, subject {subject}"


async def prefixed_logout(world: World) -> str:
    names = {"JWT_ACCESS_COOKIE_NAME": "__Host-at", "JWT_REFRESH_COOKIE_NAME": "__Host-rt"}
    site = await world.signed_in(left=700, **names)
    await site.browser.post("/logout")
    now = (await site.browser.get("/me")).status
    world.clock.advance(HOUR)
    return f"next request {now}, an hour later {(await site.browser.get('/me')).status}"


async def two_identities(world: World) -> str:
    site = await world.signed_in(left=60, JWT_TOKEN_LOCATION=["headers", "cookies"])
    token = site.auth.create_access_token("bob")
    response = await site.browser.get("/me", headers=[("authorization", f"Bearer {token}")])
    return f"acts as {response.json()['sub']}; alice's cookies {told(response)}"


# --- claims ---------------------------------------------------------------------------------------

RICH = {"data": {"role": "admin", "tenant": 7}, "scopes": ["a:read"], "audience": "svc"}


async def claims(world: World) -> str:
    site = await world.signed_in(
        left=60, access=RICH, refresh={"audience": "svc"}, JWT_DECODE_AUDIENCE="svc"
    )
    old = site.read(site.browser.values()[ACCESS])
    first = await site.browser.get("/scoped")
    new = site.read(site.browser.values()[ACCESS])
    lost = sorted(old.keys() - new.keys())
    then = await site.browser.get("/scoped")
    return f"lost: {', '.join(lost) or 'none'}; scoped route {first.status}, then {then.status}"


async def fresh(world: World) -> str:
    site = await world.signed_in(left=60, access={"fresh": True})
    first = await site.browser.get("/fresh")
    return f"{first.status}, then {(await site.browser.get('/fresh')).status}"


async def csrf_value(world: World) -> str:
    site = await world.signed_in(left=60)
    read_before = site.csrf()
    await site.browser.get("/me")
    return await attempt(site.browser, "/transfer", "POST", headers=[read_before])


async def new_key(world: World) -> str:
    old = await world.signed_in(left=60)
    site = world.site(
        JWT_SECRET_KEY="another secret of more than 32 bytes!!", JWT_PREVIOUS_SECRET_KEY=SECRET
    )
    site.browser.jar = dict(old.browser.jar)
    response = await site.browser.get("/me")
    token = site.browser.values()[ACCESS]
    by_new = jwt_ok(site, token)
    return f"{told(response)}, by the new key: {yes(by_new)}"


def jwt_ok(site: Site, token: str) -> bool:
    try:
        site.read(token)
    except Exception:  # noqa: BLE001 - whatever PyJWT raises
        return False
    return True


# --- options --------------------------------------------------------------------------------------


async def include(world: World) -> str:
    site = await world.signed_in(left=60, JWT_IMPLICIT_REFRESH_METHOD_INCLUDE=["GET"])
    got = renewed(await site.browser.get("/me"))
    site = await world.signed_in(left=60, JWT_IMPLICIT_REFRESH_METHOD_INCLUDE=["GET"])
    posted = renewed(await site.browser.post("/transfer", headers=[site.csrf()]))
    return f"METHOD_INCLUDE=['GET'] renews GET: {yes(got)}, POST: {yes(posted)}"


async def no_expiry(world: World) -> str:
    try:
        site = world.site(JWT_ACCESS_TOKEN_EXPIRES=None)
    except ConfigurationError:
        return "refused at construction"
    await site.sign_in()
    return f"public route {await attempt(site.browser, '/public')}"


async def token_without_exp(world: World) -> str:
    site = world.site()
    token = site.sign({"sub": "alice", "type": "access", "jti": "j", "csrf": "c", "iat": 1})
    site.browser.put(ACCESS, token)
    return f"public route {await attempt(site.browser, '/public')}"


async def odd_csrf(world: World) -> str:
    site = await world.signed_in()
    odd = [("x-csrf-token", "\xe9")]
    private = await attempt(site.browser, "/transfer", "POST", headers=odd)
    return f"{private}; public route {await attempt(site.browser, '/public', 'POST', headers=odd)}"


# --- transport ------------------------------------------------------------------------------------


async def websocket(world: World) -> str:
    outcomes = []
    for left in (60, -5):
        site = await world.signed_in(left=left)
        first, *_ = await site.browser.websocket("/ws")
        cookies = [name for name, _ in first.get("headers", ()) if name == b"set-cookie"]
        outcomes.append(f"{first['type'].partition('.')[2]}, {'renewed' if cookies else 'nothing'}")
    return f"near the end {outcomes[0]}; expired {outcomes[1]}"


async def trailers(world: World) -> str:
    site = await world.signed_in(left=60)
    messages = await messages_of(site.browser.app, site.browser.scope("/raw/x", "GET"))
    sent = {message["type"].rpartition(".")[2] for message in messages}
    return f"trailers arrive: {yes('trailers' in sent)}"


async def context(world: World) -> str:
    variable: ContextVar[str] = ContextVar("variable", default="unset")

    def setting(app: App) -> App:
        async def inner(scope: Any, receive: Any, send: Any) -> None:
            variable.set("set")
            await app(scope, receive, send)

        return inner

    site = await world.signed_in(left=60, inside=setting)
    variable.set("unset")
    await site.browser.get("/me")
    return f"seen outside: {yes(variable.get() == 'set')}"


CASES = (
    Case("H1", "60 s left", get_and_post),
    Case("R1", "access expired, refresh cookie good", expired),
    Case("R1", "the same, a POST with its CSRF token", expired_post),
    Case("R2", "access cookie missing, refresh cookie good", missing),
    Case("R3", "seconds left", threshold),
    Case("R4", "the handler sees", handler_sees),
    Case("R5", "2 s left, the handler takes 2.5 s", slow_handler),
    Case("R6", "access lifetime 5 min, refresh at 10 min", short_lifetime),
    Case("R7", "refresh token", rotation),
    Case("W4", "20 requests at once", parallel),
    Case("S1", "logout 5 min before the end", logout),
    Case("S1", "logout, and somebody has a copy", logout_copy),
    Case("S2", "a blocklisted access cookie alone, 60 s left", blocked),
    Case("S2", "access and refresh cookie blocklisted, 60 s left", both_blocked),
    Case("S3", "alice's last minute, login as bob", switched),
    Case("S5", "refresh lifetime 2 h, no refresh cookie", forever),
    Case("S6", "POST with a wrong CSRF token", failed_csrf),
    Case("S7", "a response for shared caches", caching),
    Case("S8", "refusals and redirects", refusals),
    Case("S9", "a deleted user", deleted_user),
    Case("S11", "logout with __Host- cookies", prefixed_logout),
    Case("S12", "bob's header, alice's cookies", two_identities),
    Case("C1", "role, tenant, scopes, aud", claims),
    Case("C3", "a fresh token, 60 s left, twice", fresh),
    Case("C4", "CSRF token read before a refresh", csrf_value),
    Case("C5", "signed by the previous key", new_key),
    Case("F6", "the lists", include),
    Case("F7", "JWT_ACCESS_TOKEN_EXPIRES=None", no_expiry),
    Case("F7", "a signed token without exp", token_without_exp),
    Case("F7", "X-CSRF-TOKEN: é", odd_csrf),
    Case("W1", "WebSocket by cookie", websocket),
    Case("W2", "a stream with trailers", trailers),
    Case("W2", "context variables", context),
)
