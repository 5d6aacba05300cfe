"""Bare ASGI; also who answers WebSockets beside a framework that has none."""

from __future__ import annotations

import json
from http.cookies import SimpleCookie
from typing import Any

import anyio.to_thread

from asgi_refresh import Auth, RefreshMiddleware
from tests.conformance.site import STREAM_HEADERS, Site, act, crash, told
from tests.support import App, answer


def create(site: Site) -> App:
    return RefreshMiddleware(_Pages(site), site.issuer, endpoints=site.endpoints)


class _Pages:
    def __init__(self, site: Site) -> None:
        self._site = site

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await websocket(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, send)
        else:
            await lifespan(receive, send)

    async def _http(self, scope: Any, send: Any) -> None:
        auth = Auth.of(scope)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        match path.split("/")[1:]:
            case ["crash", verb]:
                crash(auth, verb)
            case ["stream"]:
                await self._stream(send)
            case ["me"]:
                await answer(send, body=json.dumps(told(auth, _cookies(scope))).encode())
            case [verb, "sync"]:
                await anyio.to_thread.run_sync(act, auth, verb)
                await answer(send, 204)
            case [verb, "async"]:
                act(auth, verb)
                await answer(send, 204)

    async def _stream(self, send: Any) -> None:
        headers = [(n.lower().encode(), v.encode()) for n, v in STREAM_HEADERS.items()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await anyio.to_thread.run_sync(self._site.gate.wait)
        await send({"type": "http.response.body", "body": b"last"})


async def lifespan(receive: Any, send: Any) -> None:
    for phase in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{phase}.complete"})


async def websocket(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    text = json.dumps(told(Auth.of(scope), _cookies(scope)))
    await send({"type": "websocket.send", "text": text})
    await send({"type": "websocket.close", "code": 1000})


def with_websockets(app: App) -> App:
    """Return *app* with the one at `/ws` beside it."""

    async def either(scope: Any, receive: Any, send: Any) -> None:
        await (websocket if scope["type"] == "websocket" else app)(scope, receive, send)

    return either


def _cookies(scope: Any) -> dict[str, str]:
    fields = [value.decode("latin-1") for name, value in scope["headers"] if name == b"cookie"]
    return {name: morsel.value for name, morsel in SimpleCookie("; ".join(fields)).items()}
