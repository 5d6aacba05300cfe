"""A WebSocket's handshake over HTTP/1.1, and the one message that the applications send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import wsproto.events
from wsproto import ConnectionType, WSConnection

from .common import PATIENCE, Address, Handshake, Headers


async def handshake(address: Address, path: str, headers: Sequence[tuple[str, str]]) -> Handshake:
    """Ask for a WebSocket at *path*, and read the one message that is sent."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(address.host, address.port, ssl=address.tls)
        connection = WSConnection(ConnectionType.CLIENT)
        extra = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        request = wsproto.events.Request(host=address.authority, target=path, extra_headers=extra)
        writer.write(connection.send(request))
        result = Handshake(0, [])
        try:
            while data := await reader.read(65536):
                connection.receive_data(data)
                for event in connection.events():
                    _take(event, result)
                if result.told is not None or result.status not in (0, 101):
                    return result
        finally:
            writer.close()
    return result


def _take(event: wsproto.events.Event, result: Handshake) -> None:
    if isinstance(event, wsproto.events.AcceptConnection):
        result.status, result.headers = 101, _decoded(event.extra_headers)
    elif isinstance(event, wsproto.events.RejectConnection):
        result.status, result.headers = event.status_code, _decoded(event.headers)
    elif isinstance(event, wsproto.events.TextMessage):
        result.told = json.loads(event.data)


def _decoded(raw: Sequence[tuple[bytes, bytes]]) -> Headers:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw]
