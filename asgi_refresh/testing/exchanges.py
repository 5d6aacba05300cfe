"""
One exchange with an ASGI application in memory: a request and its response, or a WebSocket.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final

import anyio
import anyio.lowlevel
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Scope

_PATIENCE: Final = 1.0  # seconds that a handler has to notice that its WebSocket is gone


@dataclass(frozen=True, slots=True)
class Response:
    """
    A whole response.

    Attributes:
        status_code: Its status.
        headers: Its headers, by name in any case.
        content: Its body.
    """

    status_code: int
    headers: Headers = field(repr=False)
    content: bytes

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.content.decode()

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.content)


class WebSocketClosed(Exception):  # noqa: N818 - the end is often what is wanted
    """
    The application has closed a WebSocket, or refused to open it.

    Attributes:
        code: The close code.
        reason: The reason given, if any.
        response: What it answered in the place of a WebSocket, where it did.
    """

    def __init__(self, code: int, reason: str = "", response: Response | None = None) -> None:
        super().__init__(code, reason)
        self.code, self.reason, self.response = code, reason, response


def scope_of(
    kind: str, url: tuple[str, str, str, str], headers: Iterable[tuple[str, str]]
) -> dict[str, Any]:
    """
    Return the scope of an exchange.

    Args:
        kind: "http" or "websocket"; a method is the caller's to add.
        url: Scheme, host with port, path and query.
        headers: The headers, but for Host.
    """
    scheme, host, path, query = url
    name, _, port = host.partition(":")
    raw = [(key.lower().encode(), value.encode("latin-1")) for key, value in headers]
    return {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": scheme,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", host.encode()), *raw],
        "client": ("127.0.0.1", 50000),
        "server": (name, int(port or 443)),
        "extensions": {"websocket.http.response": {}} if kind == "websocket" else {},
    }


async def respond(
    app: ASGIApp, scope: Scope, body: bytes = b"", *, raises: bool = True
) -> Response:
    """
    Return the response of *app* to one request.

    Args:
        app: The application.
        scope: The request.
        body: Its body.
        raises: Whether an error of the application is the caller's, even where it was answered.
    """
    inbox: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[Message] = []
    answered = anyio.Event()

    async def receive() -> Message:
        await anyio.lowlevel.checkpoint()
        if not inbox:
            await answered.wait()  # who stays for the answer has not left
        return inbox.pop() if inbox else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        await anyio.lowlevel.checkpoint()
        sent.append(message)
        if message["type"].endswith("http.response.body") and not message.get("more_body", False):
            answered.set()

    try:
        await app(scope, receive, send)
    except Exception:
        if raises or not answered.is_set():
            raise
    return _response(sent)


def _response(messages: Iterable[Message]) -> Response:
    start: Message | None = None
    body = b""
    for message in messages:
        if message["type"].endswith("http.response.start"):
            start = message
        elif message["type"].endswith("http.response.body"):
            body += message.get("body", b"")
    if start is None:
        raise RuntimeError("the application did not answer")
    raw = [(bytes(name).lower(), bytes(value)) for name, value in start.get("headers", ())]
    return Response(start["status"], Headers(raw=raw), body)


class AsyncOpenWebSocket:
    """
    The client's end of an open WebSocket.

    Attributes:
        subprotocol: What the application chose.
        headers: What it sent along as it accepted.
    """

    def __init__(
        self, accept: Message, send: Callable[[Message], Any], receive: Callable[[], Any]
    ) -> None:
        self.subprotocol: str | None = accept.get("subprotocol")
        raw = [(bytes(name).lower(), bytes(value)) for name, value in accept.get("headers", ())]
        self.headers = Headers(raw=raw)
        self._send, self._receive = send, receive

    async def send_text(self, text: str) -> None:
        """Send a text message."""
        await self._send({"type": "websocket.receive", "text": text})

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary message."""
        await self._send({"type": "websocket.receive", "bytes": data})

    async def receive_text(self) -> str:
        """Return the next message, a text; `WebSocketClosed` if there is none any more."""
        return str((await self._next())["text"])

    async def receive_bytes(self) -> bytes:
        """Return the next message, a binary one; `WebSocketClosed` if there is none any more."""
        return bytes((await self._next())["bytes"])

    async def _next(self) -> Message:
        message: Message = await self._receive()
        if message["type"] == "websocket.close":
            raise WebSocketClosed(message.get("code", 1000), message.get("reason") or "")
        return message


@asynccontextmanager
async def open_websocket(app: ASGIApp, scope: Scope) -> AsyncGenerator[AsyncOpenWebSocket]:
    """
    Open a WebSocket to *app*, which runs until the block ends.

    Raises:
        WebSocketClosed: It was refused.
    """
    to_app, app_receives = anyio.create_memory_object_stream[Message](inf)
    app_sends, from_app = anyio.create_memory_object_stream[Message](inf)
    ended = anyio.Event()

    async def run() -> None:
        await app(scope, app_receives.receive, app_sends.send)
        app_sends.close()  # not after an error: that is the caller's, and comes by the group
        ended.set()

    async def receive() -> Message:
        try:
            return await from_app.receive()
        except anyio.EndOfStream:
            raise WebSocketClosed(1006, "the application has returned") from None

    try:
        async with to_app, app_receives, app_sends, from_app, anyio.create_task_group() as group:
            group.start_soon(run)
            await to_app.send({"type": "websocket.connect"})
            first = await receive()
            if first["type"] != "websocket.accept":
                raise await _refusal(first, receive)
            yield AsyncOpenWebSocket(first, to_app.send, receive)
            await to_app.send({"type": "websocket.disconnect", "code": 1000})
            with anyio.move_on_after(_PATIENCE):
                await ended.wait()
            group.cancel_scope.cancel()
    except BaseExceptionGroup as several:  # pyright: ignore[reportUnknownVariableType]
        raise _sole(several) from None  # pyright: ignore[reportUnknownArgumentType]


async def _refusal(first: Message, receive: Callable[[], Any]) -> WebSocketClosed:
    if first["type"] == "websocket.close":
        return WebSocketClosed(first.get("code", 1000), first.get("reason") or "")
    messages = [first]
    while messages[-1]["type"] != "websocket.http.response.body" or messages[-1].get("more_body"):
        messages.append(await receive())
    response = _response(messages)
    return WebSocketClosed(1006, f"answered {response.status_code}", response)


def _sole(error: BaseException) -> BaseException:
    """Return what is in a group of one, which the caller never asked for."""
    inner: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    return _sole(inner[0]) if len(inner) == 1 else error
