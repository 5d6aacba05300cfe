"""HTTP/1.1: one socket for each request, so that nothing but the request is in play."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import h11

from .common import Address, Exchange, Handshake, Response
from .websocket import handshake


class HTTP1:
    crumbs = False
    takes_websockets = True

    def __init__(self, address: Address) -> None:
        self._address = address
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def to(cls, address: Address) -> AsyncIterator[HTTP1]:
        wire = cls(address)
        try:
            yield wire
        finally:
            for task in wire._tasks:
                task.cancel()
            await asyncio.gather(*wire._tasks, return_exceptions=True)

    async def send(self, method: str, path: str, headers: Sequence[tuple[str, str]]) -> Exchange:
        queue: asyncio.Queue[Response | bytes | Exception | None] = asyncio.Queue()
        own = [("Host", self._address.authority), ("Connection", "close"), *headers]
        if method == "POST":
            own.append(("Content-Length", "0"))
        text = "".join(f"{name}: {value}\r\n" for name, value in own)
        raw = f"{method} {path} HTTP/1.1\r\n{text}\r\n".encode("latin-1")
        task = asyncio.create_task(self._run(method, raw, queue))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return Exchange(queue)

    async def websocket(self, path: str, headers: Sequence[tuple[str, str]]) -> Handshake:
        return await handshake(self._address, path, headers)

    async def _run(
        self, method: str, raw: bytes, queue: asyncio.Queue[Response | bytes | Exception | None]
    ) -> None:
        try:
            reader, writer = await asyncio.open_connection(
                self._address.host, self._address.port, ssl=self._address.tls
            )
            try:
                writer.write(raw)
                await _read(method, reader, queue)
            finally:
                writer.close()
        except (OSError, h11.RemoteProtocolError) as error:
            queue.put_nowait(error)


async def _read(
    method: str,
    reader: asyncio.StreamReader,
    queue: asyncio.Queue[Response | bytes | Exception | None],
) -> None:
    connection = h11.Connection(h11.CLIENT)
    # For h11 to know what it reads; what went out was written above, byte by byte.
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "it")]))
    connection.send(h11.EndOfMessage())
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Response):
            pairs = [
                (n.decode("latin-1"), v.decode("latin-1")) for n, v in event.headers.raw_items()
            ]
            queue.put_nowait(Response(event.status_code, pairs))
        elif isinstance(event, h11.Data):
            queue.put_nowait(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            queue.put_nowait(None)
            return
