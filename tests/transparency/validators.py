"""
Two servers in memory that look closely at what is sent, each written by somebody else.

Falcon's checks names, values and types of headers and bodies, hands headers and bodies over in all
the ways that ASGI allows, and holds a WebSocket to its order. asgiref's notices an application that
does not end, that raises, and that sends more after the end.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

from tests.support import App, Browser, Clock

HOST = "app.example"
ORIGIN = f"https://{HOST}"
BODY = b"x" * 10_000  # more than one piece


class Server(Protocol):
    """
    Who asks an application.

    Attributes:
        jar: The cookies that are sent.
    """

    jar: dict[str, str]

    @classmethod
    def of(cls, app: App) -> AbstractAsyncContextManager[Server]:
        """Start *app* up, and shut it down at the end."""

    async def ask(self, method: str, path: str, site: str) -> tuple[int, bytes]:
        """Send a request from a page of *site*; return the status of its response, and the body."""

    async def websocket(self, origin: str) -> Any:
        """Open `/ws` from a page of *origin*; return what it says, None if it is refused."""


def _keep(jar: dict[str, str], cookies: Iterable[tuple[str, str]]) -> None:
    """Put *cookies* into *jar*; one that is empty is deleted."""
    jar |= cookies
    for name in [name for name, value in jar.items() if not value]:
        del jar[name]


def _header(jar: Mapping[str, str]) -> list[tuple[str, str]]:
    return [("cookie", "; ".join(f"{name}={value}" for name, value in jar.items()))] if jar else []


class Falcon:
    """`falcon.testing`, which is as good for the applications of others."""

    def __init__(self, conductor: Any) -> None:
        self._conductor, self.jar = conductor, dict[str, str]()

    @classmethod
    @asynccontextmanager
    async def of(cls, app: App) -> AsyncIterator[Falcon]:
        from falcon.testing import ASGIConductor

        async with ASGIConductor(app) as conductor:
            yield cls(conductor)

    async def ask(self, method: str, path: str, site: str) -> tuple[int, bytes]:
        headers = [("sec-fetch-site", site), *_header(self.jar)]
        body = BODY if method == "POST" else None
        result = await self._conductor.simulate_request(
            method, path, protocol="https", host=HOST, headers=headers, body=body
        )
        _keep(self.jar, ((name, cookie.value) for name, cookie in result.cookies.items()))
        return result.status_code, result.content

    async def websocket(self, origin: str) -> Any:
        from falcon import WebSocketDisconnected

        headers = [("origin", origin), *_header(self.jar)]
        try:
            async with self._conductor.simulate_ws(
                "/ws", scheme="wss", host=HOST, headers=headers, spec_version="2.3"
            ) as socket:
                _keep(self.jar, _set([socket.headers or []]))
                return await socket.receive_json()
        except WebSocketDisconnected:
            return None


class Asgiref:
    """`asgiref.testing.ApplicationCommunicator`, one for each request."""

    def __init__(self, app: App) -> None:
        self._browser, self.jar = Browser(app, Clock(), host=HOST), dict[str, str]()

    @classmethod
    @asynccontextmanager
    async def of(cls, app: App) -> AsyncIterator[Asgiref]:
        from asgiref.testing import ApplicationCommunicator

        lifespan = ApplicationCommunicator(app, {"type": "lifespan", "asgi": {"version": "3.0"}})
        for word in ("startup", "shutdown"):
            await lifespan.send_input({"type": f"lifespan.{word}"})
            assert await lifespan.receive_output() == {"type": f"lifespan.{word}.complete"}
            if word == "startup":
                yield cls(app)
        await lifespan.wait()

    async def ask(self, method: str, path: str, site: str) -> tuple[int, bytes]:
        headers = [("sec-fetch-site", site)]
        scope = self._browser.scope(path, method, headers=headers, cookies=self.jar)
        pieces = [BODY[:4096], b"", BODY[4096:]] if method == "POST" else [b""]
        inbox = [
            {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
            for number, piece in enumerate(pieces, 1)
        ]
        start, *rest = await self._messages(scope, [*inbox, {"type": "http.disconnect"}])
        assert [each["type"] for each in rest] == ["http.response.body"] * len(rest)
        assert [each.get("more_body", False) for each in rest] == [True] * (len(rest) - 1) + [False]
        return start["status"], b"".join(each.get("body", b"") for each in rest)

    async def websocket(self, origin: str) -> Any:
        scope = self._browser.scope("/ws", "GET", headers=[("origin", origin)], cookies=self.jar)
        del scope["method"]
        scope |= {"type": "websocket", "scheme": "wss", "subprotocols": []}
        closed = {"type": "websocket.disconnect", "code": 1000}
        first, *rest = await self._messages(scope, [{"type": "websocket.connect"}, closed])
        if first["type"] == "websocket.close":
            return None
        assert [first["type"], *(each["type"] for each in rest)] == [
            "websocket.accept",
            "websocket.send",
        ]
        return json.loads(rest[0]["text"])

    async def _messages(self, scope: Any, inbox: Iterable[Any]) -> list[Any]:
        """Return all that is sent, by an application that ends of itself."""
        from asgiref.testing import ApplicationCommunicator

        communicator = ApplicationCommunicator(self._browser.app, scope)
        for message in inbox:
            await communicator.send_input(message)
        await communicator.wait()
        sent = []
        while not await communicator.receive_nothing(timeout=0):
            sent.append(await communicator.receive_output())
        _keep(self.jar, _set(each["headers"] for each in sent if "headers" in each))
        return sent


def _set(headers: Iterable[Iterable[tuple[bytes, bytes]]]) -> Iterable[tuple[str, str]]:
    """Yield the name and the value of every cookie that is set in *headers*."""
    for name, line in (pair for each in headers for pair in each):
        if name == b"set-cookie":
            key, _, value = line.decode().partition(";")[0].partition("=")
            yield key, value


SERVERS: dict[str, type[Falcon | Asgiref]] = {"falcon": Falcon, "asgiref": Asgiref}
