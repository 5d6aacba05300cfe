"""
Whether a request comes from a page of ours: the check that makes a cookie safe to believe.

The algorithm of Go's `http.CrossOriginProtection`, as a pure function over header values: what the
browser says of the request's origin (Fetch Metadata) decides, the Origin header where it is silent.
Requests with neither are taken as not from a browser, except for a WebSocket, where every browser
sends Origin.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_ORIGIN: Final = re.compile(
    rb"(https?)://([0-9A-Za-z._\-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?\Z"
)
_DEFAULT_PORTS: Final = {b"http": b":80", b"https": b":443"}


def is_origin(text: str) -> bool:
    """Return whether *text* is an origin as browsers write it: scheme, host, port if unusual."""
    match = _ORIGIN.match(text.encode("utf-8", "replace"))
    if match is None or match[0] != match[0].lower():
        return False
    port = match[3] or b""
    return port != _DEFAULT_PORTS[match[1]] and int(port[1:] or 1) < 65536


def refused_origin(
    *,
    fetch_site: Sequence[bytes],
    origin: Sequence[bytes],
    host: Sequence[bytes],
    trusted: Collection[bytes],
    websocket: bool = False,
) -> str | None:
    """
    Return None for a request that may act with its cookies, else what to call its origin.

    Args:
        fetch_site: Every Sec-Fetch-Site header.
        origin: Every Origin header.
        host: Every Host header.
        trusted: Origins, with scheme, that count as ours; compared exactly.
        websocket: Whether it is a WebSocket handshake: then a missing Origin is refused.

    Returns:
        None, or a short printable text for messages and events: the origin if it is a proper one.
    """
    if len(origin) > 1 or len(fetch_site) > 1 or len(host) > 1:
        return "ambiguous"
    source = origin[0] if origin else b""
    if source in trusted and source:
        return None
    if websocket and not source:
        return "missing"
    if fetch_site and fetch_site[0]:
        if fetch_site[0] in (b"same-origin", b"none"):
            return None
    elif not source or (host and _same_host(source, host[0])):
        return None
    return source.decode("ascii") if _ORIGIN.match(source) else "unknown"


def _same_host(origin: bytes, host: bytes) -> bool:
    # Go compares host and port only: behind a proxy the server does not know its own scheme.
    match = _ORIGIN.match(origin)
    if match is None:
        return False
    default = _DEFAULT_PORTS[match[1].lower()]
    ours = host.lower().removesuffix(default)
    return match[2].lower() + (match[3] or b"").removesuffix(default) == ours
