"""
Just enough HTTP: one request on one connection, which can be closed before it is answered.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_PATIENCE = 20.0  # seconds until a request counts as lost


class Lost(Exception):  # noqa: N818 - a fault that is meant to happen
    """The connection went before the whole response was read."""


@dataclass(frozen=True)
class Answer:
    """
    A response that was read to its end.

    Attributes:
        cookies: What was set: name to value and Max-Age; zero deletes.
        sent: When the request was written (`time.time`).
        received: When the response was read.
    """

    status: int
    cookies: Mapping[str, tuple[str, int | None]]
    data: Any
    sent: float
    received: float = field(default_factory=time.time)

    @property
    def took(self) -> float:
        return self.received - self.sent


async def ask(
    port: int,
    path: str,
    cookies: Mapping[str, str],
    *,
    method: str = "GET",
    hang_up: float | None = None,
) -> Answer:
    """
    Send a request and return the answer.

    Args:
        port: Of this machine.
        path: With its query.
        cookies: What to send.
        method: The method.
        hang_up: Seconds after which to close the connection, whatever has come by then.

    Raises:
        ConnectionRefusedError: Nobody listens.
        Lost: Anything else.
    """
    connection = await _connect(port)
    reader, writer = connection
    sent = time.time()
    try:
        writer.write(_request(method, path, cookies, sent))
        if hang_up is not None:
            await asyncio.sleep(hang_up)
            raise Lost("closed early")
        async with asyncio.timeout(_PATIENCE):
            raw = await reader.read(-1)
    except (OSError, TimeoutError) as error:
        raise Lost(type(error).__name__) from None
    finally:
        writer.transport.abort()
    return _parse(raw, sent)


async def _connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        raise
    except (OSError, TimeoutError) as error:
        raise Lost(type(error).__name__) from None


def _request(method: str, path: str, cookies: Mapping[str, str], sent: float) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", f"X-Sent: {sent}"]
    if cookies:
        lines.append("Cookie: " + "; ".join(f"{name}={value}" for name, value in cookies.items()))
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _parse(raw: bytes, sent: float) -> Answer:
    head, found, body = raw.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = [
        (name.lower(), value.strip()) for name, _, value in (x.partition(":") for x in lines)
    ]
    chunked = ("transfer-encoding", "chunked") in headers
    if not found or (chunked and not body.endswith(b"0\r\n\r\n")):
        raise Lost("cut in the middle")
    if chunked:
        body = _unchunked(body)
    is_json = ("content-type", "application/json") in headers
    cookies = dict(_set_cookie(value) for name, value in headers if name == "set-cookie")
    data = json.loads(body) if is_json else body.decode()
    return Answer(int(status.split()[1]), cookies, data, sent)


def _unchunked(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        whole += body[:length]
        body = body[length + 2 :]
    return whole


def _set_cookie(line: str) -> tuple[str, tuple[str, int | None]]:
    pair, *attributes = line.split(";")
    name, _, value = pair.partition("=")
    ages = [a.partition("=")[2] for a in attributes if a.strip().lower().startswith("max-age=")]
    return name.strip(), (value.strip(), int(ages[0]) if ages else None)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection with RST: no goodbye, and whatever was under way is gone."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
