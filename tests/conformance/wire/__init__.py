"""How a request is put on the wire: HTTP/1.1 by socket, HTTP/2, HTTP/3, and WebSockets."""

from __future__ import annotations

from .common import Wire


def wire_of(http: str) -> type[Wire]:
    """Return what speaks *http*, whose library is only needed then."""
    if http == "2":
        from .http2 import HTTP2

        return HTTP2
    if http == "3":
        from .http3 import HTTP3

        return HTTP3
    from .http1 import HTTP1

    return HTTP1
