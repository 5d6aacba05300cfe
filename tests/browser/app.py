"""
What the browser is pointed at: a small application whose responses can be held back.

Run as a process of its own, on two loopback ports (two origins, one site); it prints them as JSON.
`/slow?gate=…` holds the handler, `/held?gate=…` the finished response on its way to the browser.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from asgi_refresh import LOCALHOST, Auth, Event, Issuer, RefreshMiddleware, SQLiteStore
from asgi_refresh.demo.app import CONFIG as DEMO
from asgi_refresh.demo.app import Demo
from asgi_refresh.demo.stores import Stores
from tests.support import SECRET

CONFIG = replace(
    LOCALHOST,
    access_lifetime=timedelta(seconds=3),
    refresh_before=timedelta(seconds=0.5),
    rotation_grace=timedelta(seconds=1),
    leeway=timedelta(0),
    idle_lifetime=timedelta(minutes=2),
    session_lifetime=timedelta(minutes=5),
    exclude=("/control",),
)
DEMO_CONFIG = replace(
    DEMO,
    access_lifetime=timedelta(seconds=4),
    refresh_before=timedelta(seconds=2),  # the page asks every second
    rotation_grace=timedelta(seconds=1),
    leeway=timedelta(0),
)


@dataclass
class Gate:
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def stop(self) -> None:
        self.arrived.set()
        await self.release.wait()


gates: defaultdict[str, Gate] = defaultdict(Gate)
events: list[Event] = []


async def index(request: Request) -> Response:
    auth = Auth.of(request)
    title = f"signed in as {auth.subject}" if auth else "sign in"
    return HTMLResponse(f"<!doctype html><link rel=icon href=data:,><title>{title}</title>")


async def me(request: Request) -> Response:
    return JSONResponse(describe(Auth.of(request)))


async def slow(request: Request) -> Response:
    await gates[request.query_params["gate"]].stop()
    return JSONResponse(describe(Auth.of(request)))


async def login(request: Request) -> Response:
    Auth.of(request).login("alice")
    return JSONResponse({})


async def logout(request: Request) -> Response:
    Auth.of(request).logout()
    return JSONResponse({})


async def ws(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_json(describe(Auth.of(websocket)))
    await websocket.close()


async def arrived(request: Request) -> Response:
    """Answers once a request has come to the gate."""
    await gates[request.query_params["gate"]].arrived.wait()
    return JSONResponse({})


async def release(request: Request) -> Response:
    gates[request.query_params["gate"]].release.set()
    return JSONResponse({})


async def log(request: Request) -> Response:
    """The events of one session, and those of no session."""
    session_id = request.query_params["session"]
    return JSONResponse(
        [[e.name, e.reason, e.detail] for e in events if e.session_id in (session_id, None)]
    )


def describe(auth: Auth) -> dict[str, Any]:
    return {
        "subject": auth.subject,
        "session_id": auth.session_id,
        "expires_at": auth.expires_at,
        "refreshed": auth.refreshed,
        "reason": auth.reason,
    }


def held(app: Any) -> Any:
    """Keep the start of a response to /held on the wire until its gate opens."""

    async def wire(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != "/held":
            await app(scope, receive, send)
            return
        gate = gates[parse_qs(scope["query_string"].decode())["gate"][0]]

        async def delayed(message: Any) -> None:
            if message["type"] == "http.response.start":
                await gate.stop()
            await send(message)

        await app(scope, receive, delayed)

    return wire


def make_app(kind: str, directory: Path) -> Any:
    if kind == "demo":
        return Demo(Stores(directory), config=DEMO_CONFIG)
    store = SQLiteStore(directory / "sessions.db") if kind == "rotating" else None
    issuer = Issuer(SECRET, store=store, config=CONFIG, on_event=events.append)
    routes = [
        Route("/", index),
        Route("/me", me),
        Route("/slow", slow),
        Route("/held", me),
        Route("/login", login, methods=["POST"]),
        Route("/logout", logout, methods=["POST"]),
        Route("/control/arrived", arrived),
        Route("/control/release", release),
        Route("/control/log", log),
        WebSocketRoute("/ws", ws),
    ]
    return held(RefreshMiddleware(Starlette(routes=routes), issuer))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["rotating", "stateless", "demo"])
    parser.add_argument("directory", type=Path)
    arguments = parser.parse_args()
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    print(json.dumps([s.getsockname()[1] for s in sockets]), flush=True)
    app = make_app(arguments.kind, arguments.directory)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=sockets)


if __name__ == "__main__":
    main()
