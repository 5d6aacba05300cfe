"""What the black-box tests share: a ready-made site, gates around a store, requests at once."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import anyio
import anyio.lowlevel

from asgi_refresh import Auth, Config, Event, Issuer, RefreshMiddleware
from tests.support import App, Browser, Clock, Response, Spy, answer, describe, make_issuer, whoami

T = TypeVar("T")

ACCESS, REFRESH, TOMBSTONE = "__Host-access", "__Host-refresh", "__Host-access-ended"
WINDOW = 70.0  # W of the default configuration: 60 s of grace and twice 5 s of leeway
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
NAVIGATION = (("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"))
XHR = (("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty"), ("sec-fetch-site", "same-origin"))


@dataclass
class Site:
    """One browser in front of one application with everything that can be looked at."""

    clock: Clock
    events: list[Event]
    store: Any
    issuer: Issuer
    browser: Browser

    def named(self, name: str) -> list[Event]:
        return [event for event in self.events if event.name == name]

    async def sign_in(
        self,
        subject: str = "alice",
        claims: Mapping[str, Any] | None = None,
        *,
        persistent: bool = True,
        browser: Browser | None = None,
    ) -> str:
        """Put the cookies of a new session into the jar, and forget what that took."""
        tokens = await self.issuer.issue(subject, claims, persistent=persistent)
        jar = self.browser if browser is None else browser
        jar.put(self.issuer.config.access_cookie.name, tokens.access_token)
        jar.put(self.issuer.config.refresh_cookie.name, tokens.refresh_token)
        self.events.clear()
        if isinstance(self.store, Spy):
            self.store.calls.clear()
        return tokens.session_id


def make_site(
    clock: Clock,
    app: App = whoami,
    *,
    stored: bool = True,
    store: Any = None,
    scheme: str = "https",
    host: str = "app.example",
    middleware: Mapping[str, Any] | None = None,
    **issuer: Any,
) -> Site:
    events: list[Event] = []
    kept = (Gates() if store is None else store) if stored else None
    made = make_issuer(clock, store=kept, **{"on_event": events.append, **issuer})
    wrapped = RefreshMiddleware(app, made, **(middleware or {}))
    return Site(clock, events, kept, made, Browser(wrapped, clock, scheme=scheme, host=host))


def doing(
    act: Callable[[Auth], object] | None = None,
    *,
    status: int = 200,
    headers: Iterable[tuple[bytes, bytes]] = (),
    body: bytes | None = None,
) -> App:
    """An application that does *act* with its `Auth`, and answers who the request is then."""
    sent = list(headers)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        auth = Auth.of(scope)
        if act is not None:
            result = act(auth)
            if isinstance(result, Awaitable):
                await result
        told = json.dumps(describe(auth, scope)).encode() if body is None else body
        await answer(send, status, told, sent)

    return app


def on_paths(**apps: App) -> App:
    """Dispatch on the path's last segment; `whoami` answers the rest."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        chosen = apps.get(scope["path"].rpartition("/")[2], whoami)
        await chosen(scope, receive, send)

    return app


class Gates(Spy):
    """A `Spy` whose operations can also be held between the store's answer and its arrival."""

    def __init__(self, store: Any = None) -> None:
        super().__init__(store)
        self.before: dict[str, Gate] = {}
        self.after: dict[str, Gate] = {}

    def __getattr__(self, name: str) -> Any:
        call = super().__getattr__(name)

        async def gated(*args: Any) -> Any:
            if name in self.before:
                await self.before[name].enter()
            result = await call(*args)
            if name in self.after:
                await self.after[name].enter()
            return result

        return gated


class Gate:
    """Somebody waits here until it is opened; `reached` tells that they do."""

    def __init__(self) -> None:
        self.reached = anyio.Event()
        self.opened = anyio.Event()

    async def enter(self) -> None:
        self.reached.set()
        await self.opened.wait()

    async def arrival(self) -> None:
        """Wait until somebody has come; not for ever."""
        with anyio.fail_after(10):
            await self.reached.wait()

    def open(self) -> None:
        self.opened.set()


def held(gate: Gate, app: App = whoami, *, path: str = "/slow") -> App:
    """*app*, whose handler for *path* waits at *gate* before it answers."""

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == path:
            await gate.enter()
        await app(scope, receive, send)

    return slow


async def together(calls: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """Run *calls* at once; return their results in the order of *calls*."""
    results: dict[int, T] = {}

    async def run(at: int, call: Callable[[], Awaitable[T]]) -> None:
        results[at] = await call()

    async with anyio.create_task_group() as group:
        for at, call in enumerate(calls):
            group.start_soon(run, at, call)
    return [results[at] for at in sorted(results)]


class Started:
    """A request in the background: `async with Started(...) as request`, then `await answer()`."""

    def __init__(self, call: Callable[[], Awaitable[Any]]) -> None:
        self._call = call
        self._group = anyio.create_task_group()
        self._done = anyio.Event()
        self._result: Any = None
        self.scope = anyio.CancelScope()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._group.start_soon(self._run)
        return self

    async def __aexit__(self, *error: Any) -> Any:  # noqa: PYI036 - passed on
        return await self._group.__aexit__(*error)

    async def _run(self) -> None:
        with self.scope:
            self._result = await self._call()
        self._done.set()

    async def answer(self) -> Any:
        with anyio.fail_after(10):
            await self._done.wait()
        return self._result


async def messages_of(app: App, scope: Any, sent: Iterable[Any] = ()) -> list[Any]:
    """Everything *app* sends, as the very objects."""
    inbox = list(sent) or [{"type": "http.request", "body": b"", "more_body": False}]
    messages: list[Any] = []

    async def receive() -> Any:
        await anyio.lowlevel.checkpoint()
        return inbox.pop(0) if inbox else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        await anyio.lowlevel.checkpoint()
        messages.append(message)

    await app(scope, receive, send)
    return messages


def deleted(response: Response) -> set[str]:
    """The names of the cookies that *response* deletes."""
    return {line.partition("=")[0] for line in response.set_cookies if "; Max-Age=0;" in line}


def given(response: Response) -> set[str]:
    """The names of the cookies that *response* sets to something."""
    return set(response.cookies) - deleted(response)


def lasting(config: Config | None = None, **changes: Any) -> Config:
    """Return settings with a store timeout that no slow machine reaches."""
    from dataclasses import replace
    from datetime import timedelta

    return replace(config or Config(), store_timeout=timedelta(seconds=30), **changes)
