"""Events by sse-starlette, each of which says who listens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anyio.lowlevel
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from asgi_refresh import Auth
from tests.support import App


def create(_: Path) -> App:
    return Starlette(routes=[Route("/events", events)])


async def events(request: Request) -> EventSourceResponse:
    async def told() -> AsyncIterator[dict[str, str]]:
        for _ in range(3):
            yield {"event": "who", "data": str(Auth.of(request).subject)}
            await anyio.lowlevel.checkpoint()

    return EventSourceResponse(told())
