"""What the three have in common."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

PATIENCE = 10.0  # seconds until a server that does not answer has failed
Headers = list[tuple[str, str]]


@dataclass
class Response:
    """One that has arrived whole."""

    status: int
    headers: Headers
    body: bytes = b""

    def all(self, name: str) -> list[str]:
        """Return every value of *name*, as it came: a list that was joined stays joined."""
        return [value for key, value in self.headers if key.lower() == name]

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Handshake:
    """
    What came of asking for a WebSocket.

    Attributes:
        status: 101, or by HTTP/2 200, if it was accepted.
        headers: Of the answer.
        told: What the application sent; None if it was refused.
    """

    status: int
    headers: Headers
    told: Any = None

    @property
    def set_cookies(self) -> list[str]:
        return [value for name, value in self.headers if name.lower() == "set-cookie"]


class Exchange:
    """
    A request that was sent: its response comes in pieces.

    Args:
        events: The response without its body, the pieces, and None at the end; or an error.
    """

    def __init__(self, events: asyncio.Queue[Response | bytes | Exception | None]) -> None:
        self._events = events

    async def _next(self) -> Response | bytes | None:
        async with asyncio.timeout(PATIENCE):
            event = await self._events.get()
        if isinstance(event, Exception):
            raise event
        return event

    async def head(self) -> Response:
        """Return the response, as soon as its headers are there."""
        event = await self._next()
        assert isinstance(event, Response), event
        return event

    async def piece(self) -> bytes:
        """Return what comes next of the body; empty: that was all."""
        event = await self._next()
        assert not isinstance(event, Response)
        return event or b""

    async def whole(self) -> Response:
        """Return the response with its body."""
        response = await self.head()
        response.body = await self.rest()
        return response

    async def rest(self) -> bytes:
        """Return what is left of the body."""
        body = b""
        while piece := await self.piece():
            body += piece
        return body


@dataclass(frozen=True)
class Address:
    """
    Where to.

    Attributes:
        tls: None: plain.
        trusted: The certificate to trust, in a file.
    """

    port: int
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    trusted: Path | None = None

    @property
    def authority(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def origin(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.authority}"


class Wire(Protocol):
    """
    One version of HTTP.

    Attributes:
        crumbs: Whether browsers send each cookie in a header of its own (RFC 9113, 8.2.3).
    """

    crumbs: bool

    @property
    def takes_websockets(self) -> bool:
        """Whether the server offers WebSockets on this connection (RFC 8441, 3)."""

    @classmethod
    def to(cls, address: Address) -> AbstractAsyncContextManager[Wire]:
        """Connect, where the version has one connection for all requests."""

    async def send(self, method: str, path: str, headers: Sequence[tuple[str, str]]) -> Exchange:
        """Send a request without a body; *headers* go out as they are, in order."""

    async def websocket(self, path: str, headers: Sequence[tuple[str, str]]) -> Handshake:
        """Ask for a WebSocket at *path*, and read the one message that is sent."""


@dataclass
class Streams:
    """The exchanges of one connection that carries many."""

    queues: dict[int, asyncio.Queue[Any]] = field(default_factory=dict)

    def open(self, number: int) -> Exchange:
        self.queues[number] = asyncio.Queue()
        return Exchange(self.queues[number])

    def put(self, number: int, event: Response | bytes | Exception | None) -> None:
        if number in self.queues:
            self.queues[number].put_nowait(event)

    def fail(self, error: Exception) -> None:
        for queue in self.queues.values():
            queue.put_nowait(error)


def headers_of(raw: Sequence[tuple[bytes, bytes]]) -> Response:
    """Return the response that *raw* begins, with `:status` among them."""
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw]
    status = int(dict(pairs)[":status"])
    return Response(status, [(n, v) for n, v in pairs if not n.startswith(":")])
