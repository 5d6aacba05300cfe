"""Starlette's `BaseHTTPMiddleware` that does nothing: what middleware built on it cannot save."""

from __future__ import annotations

from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response

from benchmarks.browser import NOISE, App, Request, bare


async def _passes_on(request: StarletteRequest, call_next: RequestResponseEndpoint) -> Response:
    return await call_next(request)


class Adapter:
    """It knows no cookie."""

    def build(self) -> App:
        return BaseHTTPMiddleware(bare, dispatch=_passes_on)

    def bare(self) -> App:
        return bare

    def valid(self) -> Request:
        return Request([*NOISE, f"access={'a' * 300}"])

    def refresh(self) -> Request | None:
        return None

    def anonymous(self) -> Request:
        return Request(NOISE)
