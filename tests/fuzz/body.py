"""
The reader of endpoint bodies: `Parameters` or `Refused`, in bounded memory, for whatever comes.

An input is a head of lines, an empty line, and a body. Lines are headers, but for those that begin
with `:`, which say how the body comes: `:json` and `:form` are short for
the Content-Type, `:optional` nothing depends on it, `:gone` the client leaves
before its end, `:times N` it is N times as long, and `:by N` in chunks of N bytes.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote_to_bytes

from asgi_refresh.endpoints import wire

from .by_hand import Client, Message, run
from .engine import Target

FORM, JSON = b"application/x-www-form-urlencoded", b"application/json"
STATUSES = {400, 413, 415}
_LARGEST = 64 * 1024  # of what a client sends


def target(data: bytes) -> None:
    """Raise where the reader of bodies breaks its word."""
    head, _, body = data.partition(b"\n\n")
    headers: dict[bytes, list[bytes]] = {}
    say: dict[bytes, bytes] = {}
    for line in head.split(b"\n"):
        name, _, value = line.partition(b":" if line[:1] != b":" else b" ")
        if line[:1] == b":":
            say[name] = value
        else:
            headers.setdefault(name.lower(), []).append(value.strip(b" \t"))
    for name, kind in ((b":json", JSON), (b":form", FORM)):
        if name in say:
            headers.setdefault(b"content-type", []).append(kind)
    times = _number(say.get(b":times"), 1)
    body *= min(times, _LARGEST // (len(body) or 1) + 1)
    by = max(_number(say.get(b":by"), len(body)), len(body) // 256, 1)
    gone = b":gone" in say
    client = Client(_chunks(body, by, gone))
    try:
        came = run(wire.parameters(headers, client, required=b":optional" not in say))
    except wire.Refused as refused:
        check_refusal(refused.answer, headers, body, gone)
        came = None
    else:
        assert not gone, "a body without an end is refused"
        assert len(body) <= wire.MAX_BODY, "a long body is refused"
        check(came, headers, body)
    assert client.bytes <= wire.MAX_BODY + by, "no more is asked for than is kept"


def _number(text: bytes | None, default: int) -> int:
    return int(text[:5]) if text is not None and text[:5].isdigit() else default


def _chunks(body: bytes, by: int, gone: bool) -> list[Message]:
    parts = [body[at : at + by] for at in range(0, len(body), by)] or [b""]
    messages: list[Message] = [
        {"type": "http.request", "body": part, "more_body": True} for part in parts
    ]
    if not gone:
        messages[-1]["more_body"] = False
        if not messages[-1]["body"]:
            messages[-1] = {"type": "http.request"}
    return messages


def check(came: Any, headers: dict[bytes, list[bytes]], body: bytes) -> None:
    if came is None:
        assert body == b"", "a body is looked at"
        return
    assert type(came) is wire.Parameters
    kinds = headers[b"content-type"]
    assert len(kinds) == 1, "one media type"
    kind = kinds[0].partition(b";")[0].strip().lower()
    assert kind == (FORM if came.is_form else JSON), "of the two kinds"
    if came.is_form:
        fields = [field.partition("=") for field in body.decode("ascii").split("&") if field]
        said = {_plain(name): _plain(value) for name, _, value in fields}
        assert len(said) == len(fields), "no name twice"
        assert came.values == said, "the fields that stand there"
        assert len(said) <= 32
    else:
        assert came.values == json.loads(body, object_pairs_hook=_members)
    for name, value in came.values.items():
        try:
            assert came.text(name) == value != ""
        except wire.Refused:
            assert not isinstance(value, str) or not value


def _plain(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode()


def _members(members: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(members)) == len(members), "no name twice"
    return dict(members)


def check_refusal(
    answer: wire.Answer, headers: dict[bytes, list[bytes]], body: bytes, gone: bool
) -> None:
    assert answer.body == {"error": "invalid_request"}
    assert answer.status in STATUSES
    declared = [int(size) for size in headers.get(b"content-length", []) if size.isdigit()]
    long = max(len(body), *declared, 0) > wire.MAX_BODY
    if answer.status == 413:
        assert long, "only a long body is too long"
        assert answer.headers == {"connection": "close"}
    elif gone:
        assert answer.status == 400
    elif answer.status == 415:
        kinds = headers.get(b"content-type", [])
        kind = kinds[0].partition(b";")[0].strip().lower() if len(kinds) == 1 else b""
        assert kind not in (FORM, JSON), "only another kind is not supported"


TARGET = Target(
    "body",
    target,
    separators=[b"\n", b"&", b"=", b",", b'"', b":"],
    pieces=(re.compile(rb"[^\n&=,:{}]+"), re.compile(rb"(?<=[,&\n])[^\n,&]+")),
    most=1024,
    execution="one body: received chunk by chunk, parsed, and if it is accepted parsed otherwise"
    " for comparison",
)
