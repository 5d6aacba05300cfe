"""
What the applications share: one issuer with a clock that is moved, and the words they answer with.

The contract, in every framework:

| request | |
|---|---|
| `POST /login/KIND`, `/logout/KIND`, `/everywhere/KIND` | in a handler that is `sync` or `async` |
| `GET /me` | answers `told()`: who it is, and what the framework reads in the Cookie header |
| `GET /stream` | sends `first`, and `last` after `/-/open` |
| `POST /crash/VERB` | does it, `login`, `logout` or `nothing`, and raises |
| `GET /session` | the library's endpoint: 200, or 401 for nobody |
| WebSocket `/ws` | sends `told()` and closes |

`/-/…` is answered outside the middleware: the driver's way to the clock, the role and the events.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from typing import Any

from asgi_refresh import Auth, Config, Event, Issuer, MemoryStore, Session
from asgi_refresh.decide import route_path
from asgi_refresh.endpoints import SessionEndpoint
from tests.support import SECRET, App, Clock, answer

VARIABLE = "ASGI_REFRESH_FRAMEWORK"  # names the application to serve
SUBJECT = "alice"
ENDED = Config().access_lifetime.total_seconds() + 1
STREAM_HEADERS = {"Content-Type": "text/plain", "X-Accel-Buffering": "no"}  # nginx: send it now


class Site:
    """
    The state of one application.

    Attributes:
        issuer: Whose sessions; the role of a session is looked up at every refresh.
        endpoints: For the middleware.
        gate: What a stream waits for between its first piece and its last.
    """

    def __init__(self) -> None:
        self._clock = Clock(time.time())
        self._role = "reader"
        self._events: list[str] = []
        self.gate = threading.Event()
        self.issuer = Issuer(
            SECRET,
            store=MemoryStore(),
            clock=self._clock,
            load_claims=self._load_claims,
            on_event=self._note,
        )
        self.endpoints = {"/session": SessionEndpoint(self.issuer)}

    def _load_claims(self, _session: Session) -> Mapping[str, Any]:
        return {"role": self._role}

    def _note(self, event: Event) -> None:
        self._events.append(event.name)

    def command(self, verb: str, value: str) -> Any:
        """Do what the driver asks for."""
        if verb == "advance":
            self._clock.advance(float(value))
        elif verb == "role":
            self._role = value
        elif verb == "close":
            self.gate.clear()
        elif verb == "open":
            self.gate.set()
        elif verb == "events":
            told, self._events = self._events, []
            return told
        else:
            raise ValueError(verb)
        return None


def controlled(app: App, site: Site) -> App:
    """Put the driver's commands in front of *app*."""

    async def control(scope: Any, receive: Any, send: Any) -> None:
        path = route_path(scope.get("path", ""), scope.get("root_path", ""))
        if scope["type"] != "http" or not path.startswith("/-/"):
            await app(scope, receive, send)
            return
        _, _, verb, value = path.split("/")
        body = json.dumps(site.command(verb, value)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await answer(send, 200, body, headers)

    return control


def told(auth: Auth, cookies: Mapping[str, str]) -> dict[str, Any]:
    """Return what `/me` and `/ws` answer."""
    return {
        "subject": auth.subject,
        "role": None if auth.payload is None else auth.payload["role"],
        "refreshed": auth.refreshed,
        "cookies": dict(cookies),
    }


def act(auth: Auth, verb: str) -> None:
    """Do to the session what the path says."""
    if verb == "login":
        auth.login(SUBJECT, {"role": "reader"})
    elif verb == "logout":
        auth.logout()
    elif verb == "everywhere":
        auth.logout(everywhere=True)


class Crash(Exception):  # noqa: N818 - it is what it is
    """What no application handles."""


def crash(auth: Auth, verb: str) -> None:
    """Do it, and raise."""
    act(auth, verb)
    raise Crash(verb)
