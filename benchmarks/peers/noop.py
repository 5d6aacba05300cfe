"""The least that ASGI middleware can be: one coroutine more."""

from __future__ import annotations

from typing import Any

from benchmarks.browser import NOISE, App, Request, bare


class NoOp:
    """Passes everything on."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


class Adapter:
    """Asked as our own middleware is: with cookies as long as ours."""

    def build(self) -> App:
        return NoOp(bare)

    def bare(self) -> App:
        return bare

    def valid(self) -> Request:
        return Request([*NOISE, f"__Host-access={'a' * 400}", f"__Host-refresh={'r' * 120}"])

    def refresh(self) -> Request | None:
        return None

    def anonymous(self) -> Request:
        return Request(NOISE)
