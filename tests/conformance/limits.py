"""What a server cannot do for a framework, by no fault of ours: seen without the middleware too."""

from __future__ import annotations

from dataclasses import dataclass

from .facts import FACTS


@dataclass(frozen=True)
class Limit:
    """
    One cell that is not whole.

    Attributes:
        facts: What does not hold; if one of them does hold, this is out of date.
        reason: Whose it is, and where that stands.
    """

    server: str
    framework: str
    facts: tuple[str, ...]
    reason: str


_SCHEME = (
    "daphne's WebSocket scope has no `scheme`, and Quart reads it: every handshake is answered 500"
    " (django/daphne#538)."
)
_CAPITALS = (
    "Django spells its header names with capitals, as ASGI lets it (django/asgiref#246,"
    " `ASGIHandler.send_response`)."
)
LIMITS = (
    Limit("daphne", "quart", ("websocket",), _SCHEME),
    Limit("nginx-prefix-daphne", "quart", ("websocket",), _SCHEME),
    Limit(
        "uvicorn-http2",
        "django",
        tuple(FACTS),
        f"{_CAPITALS} HTTP/2 forbids them (RFC 9113, 8.2.1), and uvicorn does not lower them"
        " (`uvicorn/protocols/http/zttp_impl.py`): no request gets an answer.",
    ),
    Limit(
        "hypercorn-http3",
        "django",
        tuple(FACTS),
        f"{_CAPITALS} HTTP/3 forbids them (RFC 9114, 4.2), and hypercorn does not lower them"
        " (`hypercorn/protocol/h3.py`): clients drop the connection.",
    ),
    Limit(
        "hypercorn-http3",
        "bare",
        ("crash",),
        "Where an application raises into it, hypercorn answers with `connection: close`"
        " (`hypercorn/protocol/http_stream.py`), which HTTP/3 forbids (RFC 9114, 4.2): clients drop"
        " the connection. Frameworks answer 500 themselves.",
    ),
)


def limit_of(server: str, framework: str) -> Limit | None:
    """Return the limit of a cell, if it has one."""
    return next((one for one in LIMITS if (one.server, one.framework) == (server, framework)), None)
