"""
A pytest plugin for other people's test suites: their applications run behind `RefreshMiddleware`.

Where is said by the environment: `outside`, around what `TestClient` is given; `inside`, as the
last `add_middleware` of every `Starlette`; anything else, nowhere. Each test says in a property of
its JUnit report how many requests and handshakes came through.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette import testclient
from starlette.applications import Starlette
from starlette.middleware import Middleware

from asgi_refresh import Issuer, MemoryStore, RefreshMiddleware

WHERE = "ASGI_REFRESH_WRAPPED"
PASSED = "asgi_refresh_passed"

_passed = [0]


class Counting:
    """The middleware, and a count of what it has let through."""

    def __init__(self, app: Any) -> None:
        issuer = Issuer("a-secret-of-at-least-32-bytes-for-tests!", store=MemoryStore())
        self._app = RefreshMiddleware(app, issuer)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        _passed[0] += scope["type"] != "lifespan"
        await self._app(scope, receive, send)


def _around_the_client(original: Callable[..., None]) -> Callable[..., None]:
    def opened(self: Any, app: Any, *args: Any, **kwargs: Any) -> None:
        asgi3 = app if testclient._is_asgi3(app) else testclient._WrapASGI2(app)
        original(self, Counting(asgi3), *args, **kwargs)

    return opened


def _inside_starlette(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def built(self: Any) -> Any:
        own = self.user_middleware
        self.user_middleware = [Middleware(Counting), *own]
        try:
            return original(self)
        finally:
            self.user_middleware = own

    return built


def pytest_configure() -> None:
    where = os.environ.get(WHERE, "")
    if where == "outside":
        client: Any = testclient.TestClient
        client.__init__ = _around_the_client(client.__init__)
    elif where == "inside":
        builder: Any = Starlette
        builder.build_middleware_stack = _inside_starlette(builder.build_middleware_stack)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    before = _passed[0]
    try:
        yield
    finally:
        item.user_properties.append((PASSED, _passed[0] - before))
