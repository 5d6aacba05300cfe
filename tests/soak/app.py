"""
The application of the soak: sign in, sign out, and say who the request is.

It is built from one environment variable, so that any server can start it in any process.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

from asgi_refresh import LOCALHOST, Auth, Config, Event, Issuer, RefreshMiddleware

from .backends import Backend

VARIABLE = "ASGI_REFRESH_SOAK"
ACCESS, REFRESH = "access", "refresh"
_SECRET = "a-secret-of-at-least-32-bytes-for-soaks!"
_UNTOLD = {"repeated", "issued"}  # too many, and no news


@dataclass(frozen=True)
class Settings:
    """
    What an application is built from.

    Attributes:
        url: Of the store.
        prefix: Of its keys or tables.
        log: The file that events are written to, by every process.
        grace: `rotation_grace`, in seconds; the leeway is zero, so it is W as well.
        lifetime: `access_lifetime`.
        poll: `revocation_poll`.
        timeout: `store_timeout`.
        slow: A request that arrives later than this after it was sent is written to the log.
    """

    url: str
    prefix: str
    log: str
    grace: float
    lifetime: float
    poll: float
    timeout: float
    slow: float

    @property
    def variable(self) -> dict[str, str]:
        """What to put into the environment."""
        return {VARIABLE: json.dumps(asdict(self))}

    @property
    def config(self) -> Config:
        return Config(
            access_lifetime=timedelta(seconds=self.lifetime),
            refresh_before=timedelta(0),
            rotation_grace=timedelta(seconds=self.grace),
            leeway=timedelta(0),
            revocation_poll=timedelta(seconds=self.poll),
            store_timeout=timedelta(seconds=self.timeout),
            access_cookie=LOCALHOST.access_cookie,
            refresh_cookie=LOCALHOST.refresh_cookie,
        )


class Log:
    """A file to which several processes append lines; what one wrote survives its SIGKILL."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, name: str, **more: object) -> None:
        line = {"at": time.time(), "pid": os.getpid(), "name": name, **more}
        os.write(self._file, json.dumps(line).encode() + b"\n")

    def event(self, event: Event) -> None:
        """What an issuer takes as `on_event`."""
        if event.name not in _UNTOLD:
            sid, reason, detail = event.session_id, event.reason, event.detail
            self.write(event.name, sid=sid, reason=reason, detail=detail)


def create() -> Any:
    """Return the application; what `uvicorn --factory` calls."""
    settings = Settings(**json.loads(os.environ[VARIABLE]))
    log = Log(settings.log)
    store = Backend(settings.url, settings.prefix).open()
    issuer = Issuer(_SECRET, store=store, config=settings.config, on_event=log.event)
    app = RefreshMiddleware(_answer, issuer)

    async def timed(scope: Any, receive: Any, send: Any) -> None:
        """Write down who arrives late: what its sender cannot know if it hung up."""
        headers = dict(scope["headers"])
        late = time.time() - float(headers.get(b"x-sent", b"inf"))
        if late >= settings.slow:
            log.write("slow", sid=_session_of(headers), late=late)
        await app(scope, receive, send)

    return timed


def _session_of(headers: Mapping[bytes, bytes]) -> str | None:
    cookies = headers.get(b"cookie", b"").decode("latin-1").split("; ")
    values = [c.partition("=")[2] for c in cookies if c.startswith(f"{REFRESH}=")]
    return values[0].partition(".")[0] if values else None


async def _answer(scope: Any, receive: Any, send: Any) -> None:
    auth = Auth.of(scope)
    if scope["path"] == "/login":
        (subject,) = parse_qs(scope["query_string"].decode())["subject"]
        auth.login(subject)
    elif scope["path"] == "/logout":
        auth.logout()
    payload = auth.payload or {}
    body = {
        "subject": auth.subject,
        "sid": auth.session_id,
        "gen": payload.get("gen"),
        "refreshed": auth.refreshed,
        "reason": auth.reason,
        "pid": os.getpid(),
    }
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
