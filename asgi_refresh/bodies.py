"""
Reading request bodies within bounds, and what a form in one says.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

import anyio
from starlette.types import Message, Receive

from .credentials import Headers

BODY_TIMEOUT: Final = 10.0
"""Seconds a client may take to send a body."""
_MOST_FIELDS: Final = 1000


class UnreadableBody(Exception):  # noqa: N818 - an answer, not a fault
    """
    A body that is not read any further.

    Attributes:
        status: The status that says why: 400 the client is gone, 408, 413.
    """

    def __init__(self, status: int) -> None:
        self.status = status


async def read_body(headers: Headers, receive: Receive, *, most: int) -> bytes:
    """
    Return the whole body.

    Raises:
        UnreadableBody: It is longer than *most* bytes, takes longer than `BODY_TIMEOUT`, or the
            client is gone.
    """
    for declared in headers.get(b"content-length", ()):
        if declared.isdigit() and len(declared) < 20 and int(declared) > most:
            raise UnreadableBody(413)
    content = bytearray()
    try:
        with anyio.fail_after(BODY_TIMEOUT):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise UnreadableBody(400)
                content += message.get("body", b"")
                if len(content) > most:
                    raise UnreadableBody(413)
                if not message.get("more_body"):
                    return bytes(content)
    except TimeoutError:
        raise UnreadableBody(408) from None


def replayed(raw: bytes, receive: Receive) -> Receive:
    """Return what receives *raw*, a body that was read already, and then goes on."""
    left: list[Message] = [{"type": "http.request", "body": raw, "more_body": False}]

    async def again() -> Message:
        return left.pop() if left else await receive()

    return again


def media_type(headers: Headers) -> bytes:
    """Return the media type of the body, in lower case; empty without exactly one."""
    types = headers.get(b"content-type", ())
    return types[0].partition(b";")[0].strip().lower() if len(types) == 1 else b""


def form_fields(raw: bytes, *, most: int = _MOST_FIELDS) -> list[tuple[str, str]]:
    """
    Return the fields of a urlencoded form.

    Raises:
        ValueError: It is none, or has more than *most* fields.
    """
    return parse_qsl(
        raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=most
    )
