"""
A browser for tests: an application in memory, and a cookie jar in front of it.
"""

from __future__ import annotations

import json as json_
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import (
    AbstractContextManager,
    ExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from http.cookiejar import CookieJar
from typing import Any, Self, cast
from urllib.parse import unquote, urlencode, urlsplit

from anyio.from_thread import BlockingPortal, start_blocking_portal
from starlette.types import ASGIApp

from asgi_refresh.origins import SAFE_METHODS

from . import jar
from .exchanges import AsyncOpenWebSocket, Response, open_websocket, respond, scope_of

_Headers = Mapping[str, str] | None


class AsyncBrowser:
    """
    Sends requests to an application in memory, and keeps its cookies as browsers do.

    It is on the application's own origin, and says so as browsers do; headers of a request replace
    what it says. It follows no redirects and sends no `lifespan`.

    Args:
        app: The application.
        base_url: Its origin. Cookies that are Secure work with http too: nobody listens.
        raise_app_exceptions: Whether an error of the application is raised in the test, even where
            it was answered with a 500.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        base_url: str = "https://testserver",
        raise_app_exceptions: bool = True,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("https", "http") or not parts.netloc or parts.path.strip("/"):
            raise ValueError(f"base_url is an origin, as https://testserver: {base_url!r}")
        self.app, self.base_url = app, f"{parts.scheme}://{parts.netloc}"
        self.cookie_jar: CookieJar = jar.new_jar()
        self._raises = raise_app_exceptions

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies that are kept and not over, by name."""
        self.cookie_jar.clear_expired_cookies()
        return {cookie.name: cookie.value or "" for cookie in self.cookie_jar}

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: _Headers = None,
        content: bytes | str = b"",
        json: Any = None,
        data: Mapping[str, str] | None = None,
    ) -> Response:
        """
        Return the response to one request, whose cookies are kept.

        Args:
            method: GET, POST, …
            path: With a query if there is one.
            headers: More headers.
            content: The body.
            json: An object to send as the body in its place.
            data: A form to send as the body in its place.
        """
        body, kind = content.encode() if isinstance(content, str) else content, None
        if json is not None:
            body, kind = json_.dumps(json).encode(), "application/json"
        elif data is not None:
            body, kind = urlencode(data).encode(), "application/x-www-form-urlencoded"
        own = {"sec-fetch-site": "same-origin"}
        if kind is not None:
            own["content-type"] = kind
        if body:
            own["content-length"] = str(len(body))
        if method not in SAFE_METHODS:
            own["origin"] = self.base_url
        scope = self._scope("http", path, own, headers)
        scope["method"] = method
        response = await respond(self.app, scope, body, raises=self._raises)
        jar.deliver(self.cookie_jar, self.base_url + path, response.headers.getlist("set-cookie"))
        return response

    async def get(self, path: str, **more: Any) -> Response:
        """Return what `request("GET", …)` does."""
        return await self.request("GET", path, **more)

    async def post(self, path: str, **more: Any) -> Response:
        """Return what `request("POST", …)` does."""
        return await self.request("POST", path, **more)

    async def put(self, path: str, **more: Any) -> Response:
        """Return what `request("PUT", …)` does."""
        return await self.request("PUT", path, **more)

    async def patch(self, path: str, **more: Any) -> Response:
        """Return what `request("PATCH", …)` does."""
        return await self.request("PATCH", path, **more)

    async def delete(self, path: str, **more: Any) -> Response:
        """Return what `request("DELETE", …)` does."""
        return await self.request("DELETE", path, **more)

    @asynccontextmanager
    async def websocket(
        self, path: str, *, headers: _Headers = None
    ) -> AsyncGenerator[AsyncOpenWebSocket]:
        """
        Open a WebSocket, whose cookies are kept.

        Raises:
            WebSocketClosed: The application refuses it.
        """
        own = {"sec-fetch-site": "same-origin", "origin": self.base_url}
        scope = self._scope("websocket", path, own, headers)
        scope |= {"scheme": "wss" if scope["scheme"] == "https" else "ws", "subprotocols": []}
        async with open_websocket(self.app, scope) as websocket:
            lines = websocket.headers.getlist("set-cookie")
            jar.deliver(self.cookie_jar, self.base_url + path, lines)
            yield websocket

    def _scope(
        self, kind: str, path: str, own: Mapping[str, str], headers: _Headers
    ) -> dict[str, Any]:
        said = {name.lower(): text for name, text in (headers or {}).items()}
        if "origin" in said:  # another page's: then it is not the same origin either
            own = {name: text for name, text in own.items() if name != "sec-fetch-site"}
        cookies = jar.header(self.cookie_jar, self.base_url + path)
        mine = {"user-agent": "asgi-refresh-testing", **own}
        if cookies is not None:
            mine["cookie"] = cookies
        parts = urlsplit(self.base_url + path)
        url = (parts.scheme, parts.netloc, unquote(parts.path), parts.query)
        return scope_of(kind, url, {**mine, **said}.items())


class OpenWebSocket:
    """The client's end of an open WebSocket, as `AsyncOpenWebSocket` without `await`."""

    def __init__(self, websocket: AsyncOpenWebSocket, portal: BlockingPortal) -> None:
        self.subprotocol, self.headers = websocket.subprotocol, websocket.headers
        self._websocket, self._portal = websocket, portal

    def send_text(self, text: str) -> None:
        """Send a text message."""
        self._portal.call(self._websocket.send_text, text)

    def send_bytes(self, data: bytes) -> None:
        """Send a binary message."""
        self._portal.call(self._websocket.send_bytes, data)

    def receive_text(self) -> str:
        """Return the next message, a text; `WebSocketClosed` if there is none any more."""
        return self._portal.call(self._websocket.receive_text)

    def receive_bytes(self) -> bytes:
        """Return the next message, a binary one; `WebSocketClosed` if there is none any more."""
        return self._portal.call(self._websocket.receive_bytes)


class Browser:
    """
    An `AsyncBrowser` for tests that are not async.

    Each request has an event loop of its own; in a `with` block all share one, which a store with
    connections needs.

    Args:
        app: The application.
        base_url: As of `AsyncBrowser`.
        raise_app_exceptions: As of `AsyncBrowser`.
        backend: "asyncio" or "trio".
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        base_url: str = "https://testserver",
        raise_app_exceptions: bool = True,
        backend: str = "asyncio",
    ) -> None:
        self._browser = AsyncBrowser(
            app, base_url=base_url, raise_app_exceptions=raise_app_exceptions
        )
        self.app, self.base_url = app, self._browser.base_url
        self.cookie_jar = self._browser.cookie_jar
        self.async_backend: dict[str, Any] = {"backend": backend}
        self.portal: BlockingPortal | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self.portal = self._open.enter_context(start_blocking_portal(**self.async_backend))
        return self

    def __exit__(self, *error: object) -> None:
        self.portal = None
        self._open.close()

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies that are kept and not over, by name."""
        return self._browser.cookies

    def request(self, method: str, path: str, **more: Any) -> Response:
        """Return the response to one request, as `AsyncBrowser.request`."""
        with portal_of(self) as portal:
            return portal.call(lambda: self._browser.request(method, path, **more))

    def get(self, path: str, **more: Any) -> Response:
        """Return what `request("GET", …)` does."""
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> Response:
        """Return what `request("POST", …)` does."""
        return self.request("POST", path, **more)

    def put(self, path: str, **more: Any) -> Response:
        """Return what `request("PUT", …)` does."""
        return self.request("PUT", path, **more)

    def patch(self, path: str, **more: Any) -> Response:
        """Return what `request("PATCH", …)` does."""
        return self.request("PATCH", path, **more)

    def delete(self, path: str, **more: Any) -> Response:
        """Return what `request("DELETE", …)` does."""
        return self.request("DELETE", path, **more)

    @contextmanager
    def websocket(self, path: str, *, headers: _Headers = None) -> Generator[OpenWebSocket]:
        """Open a WebSocket, as `AsyncBrowser.websocket`."""
        opening = self._browser.websocket(path, headers=headers)
        with portal_of(self) as portal, portal.wrap_async_context_manager(opening) as websocket:
            yield OpenWebSocket(websocket, portal)


def portal_of(client: Any) -> AbstractContextManager[BlockingPortal]:
    """Return the way from a sync *client*, ours, Starlette's or Litestar's, to an event loop."""
    portal: Any = getattr(client, "portal", None)
    if isinstance(portal, BlockingPortal):
        return nullcontext(portal)
    if callable(portal):  # Litestar's
        return cast("AbstractContextManager[BlockingPortal]", portal())
    return start_blocking_portal(**getattr(client, "async_backend", {}))
