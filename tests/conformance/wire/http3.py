"""HTTP/3 over QUIC."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, QuicEvent, StreamReset

from .common import Address, Exchange, Streams, headers_of


class HTTP3(QuicConnectionProtocol):
    crumbs = True
    takes_websockets = False  # RFC 9220; browsers do not ask for it yet
    address: Address

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._http = H3Connection(self._quic)
        self._exchanges = Streams()

    @classmethod
    @asynccontextmanager
    async def to(cls, address: Address) -> AsyncIterator[HTTP3]:
        configuration = QuicConfiguration(
            is_client=True, alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE
        )
        async with connect(
            address.host, address.port, configuration=configuration, create_protocol=cls
        ) as wire:
            assert isinstance(wire, cls)
            wire.address = address
            yield wire

    async def send(self, method: str, path: str, headers: Sequence[tuple[str, str]]) -> Exchange:
        number = self._quic.get_next_available_stream_id()
        exchange = self._exchanges.open(number)
        own = [
            (":method", method),
            (":scheme", "https"),
            (":authority", self.address.authority),
            (":path", path),
        ]
        lower = [(name.lower(), value) for name, value in headers]
        pairs = [(name.encode(), value.encode("latin-1")) for name, value in own + lower]
        self._http.send_headers(number, pairs, end_stream=True)
        self.transmit()
        return exchange

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ConnectionTerminated):
            self._exchanges.fail(ConnectionError(f"closed: {event.reason_phrase}"))
        elif isinstance(event, StreamReset):
            self._exchanges.put(event.stream_id, ConnectionError(f"reset: {event.error_code}"))
        for happened in self._http.handle_event(event):
            if isinstance(happened, HeadersReceived):
                self._exchanges.put(happened.stream_id, headers_of(happened.headers))
            elif isinstance(happened, DataReceived) and happened.data:
                self._exchanges.put(happened.stream_id, happened.data)
            if isinstance(happened, HeadersReceived | DataReceived) and happened.stream_ended:
                self._exchanges.put(happened.stream_id, None)
