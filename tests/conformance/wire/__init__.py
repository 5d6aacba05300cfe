"""How a request is put on the wire: HTTP/1.1 by socket, HTTP/2, HTTP/3, and WebSockets."""

from __future__ import annotations

from .common import Exchange, Response, Wire
from .http1 import HTTP1
from .http2 import HTTP2
from .http3 import HTTP3
from .websocket import Handshake, handshake

WIRES: dict[str, type[Wire]] = {"1.1": HTTP1, "2": HTTP2, "3": HTTP3}

__all__ = ["HTTP1", "HTTP2", "HTTP3", "WIRES", "Exchange", "Handshake", "Response", "Wire", "handshake"]
