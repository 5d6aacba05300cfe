"""
The canary: whatever happens, no token and no secret shows up in what is told about it.

Each scenario runs with a profile that writes down every token that is minted or presented. Then
the logs at DEBUG, the events, the texts and tracebacks of errors and the reprs of everything in
sight are searched for them.
"""

from __future__ import annotations

import inspect
import json
import logging
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

import asgi_refresh
from asgi_refresh import (
    Auth,
    Client,
    Config,
    Cookie,
    Event,
    Issuer,
    Key,
    Legacy,
    LegacyToken,
    MemoryStore,
    RefreshEndpoint,
    RefreshMiddleware,
    SQLiteStore,
    Tokens,
    Verifier,
    VerifierMiddleware,
)
from asgi_refresh.credentials import read_cookies
from asgi_refresh.endpoints import bundle
from asgi_refresh.errors import RefreshError
from asgi_refresh.exchange import Exchange
from asgi_refresh.inbound import Inbound
from asgi_refresh.profile import make_profile
from asgi_refresh.stores import open_store
from asgi_refresh.telemetry import log_event
from tests.blackbox.helpers import ACCESS, DAY, HOUR, NAVIGATION, REFRESH, lasting
from tests.hostile.tools import both, http, run
from tests.support import Browser, Clock, Spy, describe
from tests.tokens import forge

pytestmark = pytest.mark.anyio

SECRETS = [f"canary-{at}-secret-of-at-least-32-bytes-it-is" for at in range(3)]
JSON = ("content-type", "application/json")
FORM = ("content-type", "application/x-www-form-urlencoded")
OWN = ("origin", "https://app.example")


class Recording:
    """A profile that writes down every token that goes through it."""

    def __init__(self, inner: Any, seen: set[str]) -> None:
        self._inner, self._seen = inner, seen

    def _note(self, raw: bytes) -> None:
        text = raw.decode("latin-1")
        self._seen.update(part for part in (text, *text.split(".")) if len(part) > 40)

    def mint_access(self, *arguments: Any, **options: Any) -> Any:
        raw, token = self._inner.mint_access(*arguments, **options)
        self._note(raw)
        return raw, token

    def mint_refresh(self, *arguments: Any, **options: Any) -> bytes:
        raw: bytes = self._inner.mint_refresh(*arguments, **options)
        self._note(raw)
        return raw

    def read_access(self, raw: bytes, **options: Any) -> Any:
        self._note(raw)
        return self._inner.read_access(raw, **options)

    def read_refresh(self, raw: bytes) -> Any:
        self._note(raw)
        return self._inner.read_refresh(raw)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []
        self.errors: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(logging.Formatter().format(record) + repr(record.__dict__))
        if record.exc_info and record.exc_info[1]:
            self.errors.append(record.exc_info[1])


@pytest.fixture
def listener() -> Iterator[Listener]:
    """Everything that anybody logs, at DEBUG."""
    root, ours, listener = logging.getLogger(), logging.getLogger("asgi_refresh"), Listener()
    levels = root.level, ours.level
    root.addHandler(listener)
    root.setLevel(logging.DEBUG)
    ours.setLevel(logging.DEBUG)
    yield listener
    root.removeHandler(listener)
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def with_locals(error: BaseException) -> str:
    """
    What a crash report has of *error*: its traceback with the locals of the library's frames.

    Without `scope`, which every frame of every server and framework has.
    """
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    lines: list[str] = []
    while told is not None:
        for frame in told.stack:
            if "/asgi_refresh/" in frame.filename:
                named = {n: v for n, v in (frame.locals or {}).items() if n != "scope"}
                lines.append(f"{frame.filename} {frame.name} {named}")
        lines.append(repr(error))
        told = told.__cause__ or (None if told.__suppress_context__ else told.__context__)
    return "\n".join(lines)


class Story:
    """An application with everything of ours, and all that is told of what happens to it."""

    def __init__(self, clock: Clock, listener: Listener, *, stored: bool, **options: Any) -> None:
        self.clock, self.listener = clock, listener
        self.seen = set[str]()
        self.secrets = set(SECRETS)
        self.events = list[Event]()
        self.errors = list[BaseException]()
        self.objects = list[Any]()
        self.spy = Spy() if stored else None
        config = options.pop("config", lasting())
        key = options.pop("key", SECRETS[:2])
        inner = make_profile(key, options.pop("secret", None), config, stateless=not stored)
        self.issuer = Issuer(
            key,
            store=self.spy,
            config=config,
            clock=clock,
            profile=Recording(inner, self.seen),
            on_event=options.pop("on_event", self.tell),
            **options,
        )
        self.app = RefreshMiddleware(self.page, self.issuer, endpoints=bundle(self.issuer))
        self.browser = Browser(self.app, clock)
        self.does: Callable[[Auth], Any] | None = None

    def tell(self, event: Event) -> None:
        self.events.append(event)
        log_event(event)

    async def page(self, scope: Any, receive: Any, send: Any) -> None:
        auth = Auth.of(scope)
        self.objects += [auth, auth._shell, auth._how]
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            return
        if scope["path"] == "/login":
            auth.login("alice", {"role": "admin"})
        elif scope["path"] == "/logout":
            auth.logout()
        elif self.does is not None:
            result = self.does(auth)
            if isinstance(result, Awaitable):
                await result
        self.objects += [auth._intent, auth._exchange]
        body = json.dumps(describe(auth, scope)).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def attempt(self, call: Callable[[], Any]) -> None:
        """Do it, and keep the error that it ends in."""
        try:
            result = call()
            if inspect.isawaitable(result):
                result = await result
            if type(result).__module__.startswith("asgi_refresh"):
                self.objects.append(result)
        except Exception as error:  # noqa: BLE001 - whatever it is
            self.errors.append(error)

    async def sign_in(self) -> Tokens:
        tokens = await self.issuer.issue("alice", {"role": "admin"})
        self.browser.put(ACCESS, tokens.access_token)
        self.browser.put(REFRESH, tokens.refresh_token)
        self.objects.append(tokens)
        return tokens

    async def post(self, path: str, *headers: tuple[str, str], body: bytes = b"") -> Any:
        response = await self.browser.send(path, "POST", headers=headers, body=body, cookies={})
        if response.status >= 400:
            self.listener.texts.append(repr((response.headers, response.body)))
        return response

    def told(self) -> list[str]:
        """Everything that anybody might print."""
        objects = [*self.objects, self.issuer, self.app, self.issuer.mint, self.issuer.cache]
        objects += [self.issuer.mode, self.issuer.config, self.events, self.errors, self.spy]
        texts = [repr(item) + str(item) for item in objects]
        texts += ["".join(traceback.format_exception(error)) for error in self.errors]
        texts += [repr(error.__dict__) + repr(error.args) for error in self.errors]
        return texts + self.listener.texts

    def is_silent(self) -> None:
        """Assert that nothing secret was told, and that something was."""
        assert self.told()
        self.does_not_tell(self.told())

    def does_not_tell(self, texts: Sequence[str]) -> None:
        for secret in self.seen | self.secrets:
            for text in texts:
                assert secret not in text, (secret[:12], text[:400])


def tampered(raw: str) -> str:
    return raw[:-4] + ("AAAA" if raw[-4:] != "AAAA" else "BBBB")


# --- the scenarios --------------------------------------------------------------------------------


async def signing_in_and_out(story: Story) -> None:
    await story.browser.post("/login")
    await story.browser.get("/")
    await story.browser.post("/login")
    await story.browser.post("/logout")
    await story.browser.get("/")


async def refreshing(story: Story) -> None:
    await story.sign_in()
    for wait in (HOUR, 1, HOUR, 20 * DAY):
        story.clock.advance(wait)
        await story.browser.send("/")
        await story.browser.navigate("/")


async def reusing(story: Story) -> None:
    await story.sign_in()
    thief = story.browser.fork()
    for _ in range(3):
        story.clock.advance(HOUR)
        await story.browser.get("/")
    await thief.navigate("/")
    await thief.navigate("/")
    await story.browser.navigate("/")


async def forging(story: Story) -> None:
    tokens = await story.sign_in()
    access, refresh = tampered(tokens.access_token), tampered(tokens.refresh_token)
    for raw in (access, refresh, tokens.access_token + "=", forge.token().decode(), "a" * 9000):
        for name in (ACCESS, REFRESH):
            await story.browser.navigate("/", cookies={name: raw})
        await story.browser.get("/", headers=[("authorization", f"Bearer {raw}")], cookies={})
        await story.post("/auth/refresh", ("authorization", f"Bearer {raw}"))
        await story.post("/auth/refresh", JSON, body=json.dumps({"refresh_token": raw}).encode())
        await story.post("/auth/revoke", JSON, body=json.dumps({"token": raw}).encode())


async def mixing(story: Story) -> None:
    mine = await story.sign_in()
    other = await story.issuer.issue("mallory")
    await story.browser.get("/", cookies={ACCESS: mine.access_token, REFRESH: other.refresh_token})
    await story.browser.get("/", cookies={ACCESS: mine.refresh_token, REFRESH: mine.access_token})
    twice = f"{ACCESS}={mine.access_token}; {ACCESS}={other.access_token}; {REFRESH}=x"
    for header in (twice, twice + "; a=" + "x" * 20_000):
        await run(story.app, http(headers=[(b"cookie", header.encode())]))


async def an_outage(story: Story) -> None:
    tokens = await story.sign_in()
    if story.spy is None:
        return
    for operation in ("get", "replace", "revoke", "add", "*"):
        story.spy.broken = {operation}
        story.clock.advance(HOUR)
        for path in ("/", "/login", "/logout"):
            await story.browser.send(path, "POST")
        await story.post("/auth/refresh", ("authorization", f"Bearer {tokens.refresh_token}"))
        await story.attempt(lambda: story.issuer.refresh(tokens.refresh_token))
        await story.attempt(lambda: story.issuer.authenticate(tokens.access_token))
        await story.attempt(lambda: story.issuer.issue("bob"))
        await story.attempt(lambda: story.issuer.revoke(tokens.session_id))
        await story.attempt(lambda: story.issuer.barrier(tokens.session_id))
        await story.attempt(lambda: story.issuer.sessions("alice"))


async def another_origin(story: Story) -> None:
    await story.sign_in()
    for headers in ([("origin", "https://evil.example")], [("sec-fetch-site", "cross-site")]):
        for path in ("/", "/login", "/auth/refresh", "/auth/logout"):
            await story.browser.send(path, "POST", headers=headers)
            await story.browser.send(path, "POST", headers=headers, cookies={})
        await story.browser.websocket(headers=headers)


async def the_endpoints(story: Story) -> None:
    tokens = await story.sign_in()
    raw = tokens.refresh_token
    header = ("authorization", f"Bearer {raw}")
    body = json.dumps({"refresh_token": raw}).encode()
    for headers, content in (
        ([header], b""),
        ([JSON], body),
        ([FORM], f"grant_type=refresh_token&refresh_token={raw}".encode()),
        ([("authorization", f"Bearer {tokens.access_token}"), JSON], body),
        ([header, JSON], body),
        ([JSON], body[:-2]),
        ([("content-type", "text/plain")], body),
        ([FORM], body),
    ):
        await story.post("/auth/refresh", *headers, body=content)
    await story.browser.request("/auth/refresh", "POST", headers=[OWN])
    for path in ("/auth/session", "/auth/sessions"):
        await story.browser.get(path)
    await story.browser.request("/auth/logout", "POST", headers=[OWN])
    await story.post("/auth/refresh", header)


async def websockets(story: Story) -> None:
    await story.sign_in()
    for wait in (0, HOUR):
        story.clock.advance(wait)
        await story.browser.websocket()


async def calls(story: Story) -> None:
    tokens = await story.sign_in()
    issuer = story.issuer
    for raw in (tampered(tokens.access_token), tampered(tokens.refresh_token), tokens.access_token):
        for wait in (0, HOUR):
            story.clock.advance(wait)
            await story.attempt(lambda raw=raw: issuer.verify(raw))
            await story.attempt(lambda raw=raw: issuer.authenticate(raw))
            await story.attempt(lambda raw=raw: issuer.refresh(raw))
            await story.attempt(
                lambda raw=raw: issuer.refresh(tokens.refresh_token, revoke_access=raw)
            )
    await story.attempt(lambda: issuer.barrier(tokens.refresh_token))
    await story.attempt(lambda: issuer.issue(tokens.refresh_token, {"sub": tokens.access_token}))
    await story.attempt(lambda: issuer.issue("alice", {"x": "y" * 5000}))
    await story.attempt(lambda: issuer.refresh(tokens.refresh_token + "\u00e4"))


async def a_change_of_privileges(story: Story) -> None:
    await story.sign_in()
    old = story.browser.fork()
    story.does = lambda auth: auth.elevate({"role": "root"})
    await story.attempt(lambda: story.browser.post("/"))
    story.does = None
    story.clock.advance(1)
    await old.navigate("/")
    story.clock.advance(HOUR)
    await old.navigate("/")


async def too_late(story: Story) -> None:
    await story.sign_in()
    kept: list[Auth] = []
    story.does = kept.append
    await story.browser.get("/")
    for auth in kept:
        for call in (auth.logout, auth.elevate, lambda auth=auth: auth.login("bob"), auth.commit):
            await story.attempt(call)
    await story.attempt(lambda: Auth.of(http(headers=[(b"cookie", b"x")])))


async def a_crash(story: Story) -> None:
    """Of the application, and of the server's `send`, with and without a refresh under way."""
    tokens = await story.sign_in()

    def crash(auth: Auth) -> None:
        assert auth.subject
        raise KeyError("the application's own")

    async def broken(message: Any) -> None:
        raise OSError("the client is gone")

    for wait in (0, HOUR):
        story.clock.advance(wait)
        story.does = crash
        await story.attempt(lambda: story.browser.get("/"))
        story.does = lambda auth: auth.logout() or crash(auth)  # type: ignore[func-returns-value]
        await story.attempt(lambda: story.browser.get("/"))
        story.does = None
        scope = http(headers=[both(tokens)])
        await story.attempt(lambda scope=scope: story.app(scope, None, broken))  # type: ignore[arg-type]


async def a_verifier(story: Story) -> None:
    key = Key(SECRETS[2], "k")
    issuer = Issuer(key, secret=SECRETS[0], store=None, clock=story.clock, on_event=story.tell)
    good = (await issuer.issue("alice")).access_token
    story.seen.update((good, tampered(good), *good.split(".")[1:]))
    verifier = Verifier(key, clock=story.clock)
    app = VerifierMiddleware(story.page, verifier, cookie=ACCESS)
    story.objects += [key, issuer, verifier, app, verifier._reader]
    for raw in (good, tampered(good)):
        await story.attempt(lambda raw=raw: verifier.authenticate(raw))
        await Browser(app, story.clock).get("/", cookies={ACCESS: raw})


SCENARIOS = [
    *(signing_in_and_out, refreshing, reusing, forging, mixing, an_outage, another_origin),
    *(the_endpoints, websockets, calls, a_change_of_privileges, too_late, a_crash, a_verifier),
]


def named(item: Any) -> str:
    return str(item.__name__)


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=named)
async def test_nothing_that_is_told_holds_a_token(
    clock: Clock, listener: Listener, scenario: Callable[[Story], Any], stored: bool
) -> None:
    story = Story(clock, listener, stored=stored)

    await scenario(story)

    assert story.seen
    assert story.events or story.errors or scenario is a_verifier
    story.is_silent()


@pytest.mark.parametrize("fails", ["raises", "refuses", "babbles"])
@pytest.mark.parametrize("stored", [True, False])
async def test_nothing_that_is_told_of_failing_claims_holds_a_token(
    clock: Clock, listener: Listener, stored: bool, fails: str
) -> None:
    fine = [True]

    def load(session: Any) -> Any:
        if fine[0]:
            return {}
        if fails == "raises":
            raise LookupError("the directory is away")
        return None if fails == "refuses" else {"sub": "admin"}

    story = Story(clock, listener, stored=stored, load_claims=load)
    tokens = await story.sign_in()
    fine[0] = False
    clock.advance(HOUR)
    await story.browser.navigate("/")
    await story.attempt(lambda: story.browser.post("/login"))
    await story.attempt(lambda: story.issuer.refresh(tokens.refresh_token))
    await story.attempt(lambda: story.issuer.issue("bob"))

    assert len(story.errors) >= 2
    story.is_silent()


async def with_a_failing_hook(clock: Clock, listener: Listener) -> Story:
    def fail(event: Event) -> None:
        raise RuntimeError(f"the hook failed on {event}")

    story = Story(clock, listener, stored=True, on_event=fail)
    await signing_in_and_out(story)
    await reusing(story)
    await forging(story)
    assert listener.errors
    return story


async def test_nothing_that_is_told_of_a_failing_hook_holds_a_token(
    clock: Clock, listener: Listener
) -> None:
    story = await with_a_failing_hook(clock, listener)

    assert any("the hook failed on" in text for text in listener.texts)
    story.is_silent()


# --- bad settings ---------------------------------------------------------------------------------

PEM = forge.private_pem(forge.private_key("p256")).decode()
LINE = PEM.splitlines()[1]
BAD_SETTINGS: dict[str, tuple[str, Callable[[], Any]]] = {
    "short secret": ("canary-short", lambda: Issuer("canary-short", store=None)),
    "short in a ring": (SECRETS[0], lambda: Issuer([SECRETS[0], "short"], store=None)),
    "secret missing": (SECRETS[0], lambda: Issuer(Key(SECRETS[0], "k"), store=None)),
    "pem for hmac": (LINE, lambda: Key(PEM, "k")),
    "pem as a secret": (LINE, lambda: Issuer(PEM, store=None)),
    "wrong algorithm": (LINE, lambda: Key(PEM, "k", "RS256")),
    "no such algorithm": (LINE, lambda: Key(PEM, "k", "none")),
    "broken pem": (LINE[8:], lambda: Key.from_pem(PEM.replace(LINE, LINE[8:]))),
    "broken jwk": ("canarycanary", lambda: Key.from_jwk({"kty": "EC", "d": "canarycanary"})),
    "jwk as a secret": (
        "canary" * 9,
        lambda: Key(json.dumps({"kty": "oct", "k": "canary" * 9}), "k"),
    ),
    "one id twice": (SECRETS[1], lambda: Issuer([SECRETS[1]] * 2, store=None)),
    "secret for a str": (
        "canary-short",
        lambda: Issuer(SECRETS[0], secret="canary-short", store=None),
    ),
    "store url": ("canarypassword", lambda: open_store("redis://u:canarypassword@h:port/0")),
    "store scheme": ("canarypassword", lambda: open_store("nosuch://u:canarypassword@h/db")),
    "environment": (
        "canary-short",
        lambda: Config.from_env({"ASGI_REFRESH_SECRET": "canary-short"}),
    ),
}


@pytest.mark.parametrize("what", BAD_SETTINGS)
def test_no_bad_setting_is_repeated(what: str) -> None:
    secret, build = BAD_SETTINGS[what]

    with pytest.raises((RefreshError, ValueError)) as caught:
        build()

    error = caught.value
    told = f"{error} {error!r} {error.args} {error.__dict__}"
    told += "".join(traceback.format_exception(error))
    lines = told.splitlines()  # the source of this file, which a traceback quotes, has some of them
    assert not [line for line in lines if secret in line and "lambda:" not in line]


# --- reprs ----------------------------------------------------------------------------------------


async def test_no_repr_of_anything_public_holds_a_token(
    clock: Clock, listener: Listener, tmp_path: Any
) -> None:
    story = Story(clock, listener, stored=True)
    tokens = await story.sign_in()
    clock.advance(HOUR)
    await story.browser.get("/")
    rotating = story.issuer.rotating
    assert rotating is not None
    token = story.issuer.profile.read_refresh(tokens.refresh_token.encode())
    access = story.issuer.read_access(tokens.access_token.encode())
    look = await rotating.look(token, client=Client("192.0.2.7", "agent"))
    grant = await rotating.settle(look, client=None)
    key = Key(SECRETS[2], "k")
    pair = Key(PEM, "pair", "ES256")
    store = SQLiteStore(tmp_path / "s.db")
    scope = http(headers=[both(tokens)])
    inbound = Inbound(story.app._shell, scope, None)  # type: ignore[arg-type]
    auth = await inbound.authenticate()
    objects: list[Any] = [
        *(tokens, token, access, look, grant, grant and grant.session, look.minted, key, pair),
        *(store, inbound, auth, Exchange(story.app._shell, auth), story.app._shell, key.signer),
        pair.signer,
        *(replace(tokens, persistent=False), rotating, rotating._settler, rotating.denylist),
        *(
            story.issuer.profile._inner,
            Verifier(pair),
            VerifierMiddleware(story.page, Verifier(key)),
        ),
        *(RefreshEndpoint(story.issuer), *bundle(story.issuer).values(), story.app, story.issuer),
        *(MemoryStore(), Cookie("access"), Config(), Event("issued"), Client(), *story.events),
        *(rotating.revocation("s1"), story.issuer.cache, story.issuer.mint),
        Legacy(lambda raw: None),
        LegacyToken(tokens.refresh_token, "alice", 0.0, claims={"a": tokens.refresh_token}),
    ]
    store.close()
    story.seen.update((LINE, *SECRETS))

    story.does_not_tell([repr(item) for item in objects])
    story.does_not_tell([str(item) for item in objects])
    story.does_not_tell([repr([item]) + repr({"x": item}) for item in objects])
    public = {getattr(asgi_refresh, name) for name in asgi_refresh.__all__ if name[0].isupper()}
    classes = {each for each in public if isinstance(each, type)} - {asgi_refresh.Store}
    assert {each.__name__ for each in classes} <= {type(item).__name__ for item in objects}


async def test_no_repr_of_credentials_holds_a_token(clock: Clock, listener: Listener) -> None:
    story = Story(clock, listener, stored=True)
    tokens = await story.sign_in()
    read = read_cookies(story.issuer, both(tokens)[1], story.app._shell.tombstone)

    story.does_not_tell([repr(read)])


async def test_a_token_in_the_place_of_a_session_id_is_told_to_nobody(
    clock: Clock, listener: Listener
) -> None:
    """A slip of the application's: `issuer.revoke(refresh_token)`."""
    story = Story(clock, listener, stored=True)
    tokens = await story.sign_in()
    await story.attempt(lambda: story.issuer.revoke(tokens.refresh_token))

    story.is_silent()


# --- crash reports: tracebacks with the locals of the library's frames ----------------------------
#
# `issuer.verify(token)` and its like are not asked: who calls them has the token in a frame, too.


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("wait", [0, HOUR])
async def test_the_crash_report_of_an_application_holds_no_token_in_our_frames(
    clock: Clock, listener: Listener, wait: float, stored: bool
) -> None:
    """The scope apart: the Cookie header stands in every frame of every server."""
    story = Story(clock, listener, stored=stored)
    await story.sign_in()
    clock.advance(wait)

    def crash(auth: Auth) -> None:
        raise KeyError("the application's own")

    for act in (crash, lambda auth: auth.logout() or crash(auth)):  # type: ignore[func-returns-value]
        story.does = act
        await story.attempt(lambda: story.browser.get("/", headers=NAVIGATION))

    assert [type(error) for error in story.errors] == [KeyError] * 2
    reports = [with_locals(error) for error in story.errors]
    assert all("middleware.py" in report for report in reports)
    story.does_not_tell(reports)


async def test_the_crash_report_of_a_client_that_left_holds_no_token_in_our_frames(
    clock: Clock, listener: Listener
) -> None:
    """These are good ones: they were to be set just now."""
    story = Story(clock, listener, stored=True)
    tokens = await story.sign_in()
    clock.advance(HOUR)

    async def gone(message: Any) -> None:
        raise OSError("the client is gone")

    scope = http(headers=[both(tokens)])
    await story.attempt(lambda: story.app(scope, None, gone))  # type: ignore[arg-type]

    [error] = story.errors
    story.does_not_tell([with_locals(error)])


async def test_the_crash_report_of_a_failing_hook_holds_no_token_in_our_frames(
    clock: Clock, listener: Listener
) -> None:
    story = await with_a_failing_hook(clock, listener)

    story.does_not_tell([with_locals(error) for error in listener.errors])


@pytest.mark.parametrize("what", ["short secret", "short in a ring", "secret missing"])
def test_a_crash_report_of_bad_settings_can_be_made(what: str) -> None:
    _secret, build = BAD_SETTINGS[what]
    with pytest.raises(RefreshError) as caught:
        build()

    assert "ConfigurationError" in with_locals(caught.value)
