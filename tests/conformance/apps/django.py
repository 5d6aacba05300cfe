"""Django, and Channels for its WebSockets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import anyio.to_thread
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse, parse_cookie
from django.urls import path

from asgi_refresh import Auth, RefreshMiddleware
from tests.conformance.site import STREAM_HEADERS, Site, act, crash, told
from tests.support import App

urlpatterns: list[Any] = []


def create(site: Site) -> App:
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"])
    django = get_asgi_application()
    from channels.generic.websocket import AsyncWebsocketConsumer  # needs the settings
    from channels.routing import ProtocolTypeRouter

    class Consumer(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept()
            cookies = parse_cookie(dict(self.scope["headers"]).get(b"cookie", b"").decode())
            await self.send(json.dumps(told(Auth.of(self.scope), cookies)))
            await self.close()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        await anyio.to_thread.run_sync(site.gate.wait)
        yield b"last"

    async def stream(_: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(pieces(), headers=STREAM_HEADERS)

    urlpatterns[:] = [
        path("me", me),
        path("stream", stream),
        path("crash/<verb>", crashing),
        path("<verb>/sync", in_thread),
        path("<verb>/async", in_loop),
    ]
    router = ProtocolTypeRouter({"http": django, "websocket": Consumer.as_asgi()})
    return RefreshMiddleware(router, site.issuer, endpoints=site.endpoints, starlette=False)


async def me(request: HttpRequest) -> HttpResponse:
    return JsonResponse(told(Auth.of(request), request.COOKIES))


async def crashing(request: HttpRequest, verb: str) -> HttpResponse:
    crash(Auth.of(request), verb)
    raise AssertionError


def in_thread(request: HttpRequest, verb: str) -> HttpResponse:
    act(Auth.of(request), verb)
    return HttpResponse(status=204)


async def in_loop(request: HttpRequest, verb: str) -> HttpResponse:
    act(Auth.of(request), verb)
    return HttpResponse(status=204)
