"""HTTP/2 with prior knowledge: one connection, and the requests side by side on it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
from wsproto.frame_protocol import FrameProtocol, Opcode

from .common import Address, Exchange, Handshake, Streams, headers_of


class HTTP2:
    crumbs = True

    def __init__(
        self, address: Address, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._address, self._reader, self._writer = address, reader, writer
        configuration = h2.config.H2Configuration(client_side=True, header_encoding=None)
        self._connection = h2.connection.H2Connection(configuration)
        self._streams = Streams()

    @classmethod
    @asynccontextmanager
    async def to(cls, address: Address) -> AsyncIterator[HTTP2]:
        wire = cls(address, *await asyncio.open_connection(address.host, address.port))
        wire._connection.initiate_connection()
        wire._flush()
        reading = asyncio.create_task(wire._read())
        try:
            yield wire
        finally:
            reading.cancel()
            wire._writer.close()
            await asyncio.gather(reading, return_exceptions=True)

    async def send(self, method: str, path: str, headers: Sequence[tuple[str, str]]) -> Exchange:
        number = self._connection.get_next_available_stream_id()
        exchange = self._streams.open(number)
        own = [
            (":method", method),
            (":scheme", "http"),
            (":authority", self._address.authority),
            (":path", path),
        ]
        self._start(number, own, headers, end=True)
        return exchange

    @property
    def takes_websockets(self) -> bool:
        return bool(self._connection.remote_settings.enable_connect_protocol)

    async def websocket(self, path: str, headers: Sequence[tuple[str, str]]) -> Handshake:
        number = self._connection.get_next_available_stream_id()
        exchange = self._streams.open(number)
        own = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":authority", self._address.authority),
            (":path", path),
            ("sec-websocket-version", "13"),
        ]
        self._start(number, own, headers, end=False)
        response = await exchange.head()
        result = Handshake(response.status, response.headers)
        frames = FrameProtocol(client=True, extensions=[])
        while response.status == 200 and result.told is None and (piece := await exchange.piece()):
            frames.receive_bytes(piece)
            for frame in frames.received_frames():
                if frame.opcode is Opcode.TEXT:
                    result.told = json.loads(frame.payload)
        self._connection.reset_stream(number, h2.errors.ErrorCodes.CANCEL)
        self._flush()
        return result

    def _start(
        self,
        number: int,
        own: list[tuple[str, str]],
        headers: Sequence[tuple[str, str]],
        *,
        end: bool,
    ) -> None:
        lower = [(name.lower(), value) for name, value in headers]
        self._connection.send_headers(number, own + lower, end_stream=end)
        self._flush()

    def _flush(self) -> None:
        self._writer.write(self._connection.data_to_send())

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(65536):
                for event in self._connection.receive_data(data):
                    self._take(event)
                self._flush()
            self._streams.fail(ConnectionError("the server has closed the connection"))
        except (OSError, h2.exceptions.ProtocolError) as error:
            self._streams.fail(error)

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            self._streams.put(event.stream_id, headers_of(event.headers))
        elif isinstance(event, h2.events.DataReceived):
            size = event.flow_controlled_length
            self._connection.acknowledge_received_data(size, event.stream_id)
            if event.data:
                self._streams.put(event.stream_id, event.data)
        elif isinstance(event, h2.events.StreamEnded):
            self._streams.put(event.stream_id, None)
        elif isinstance(event, h2.events.StreamReset):
            self._streams.put(event.stream_id, ConnectionError(f"reset: {event.error_code}"))
