"""
The double-submit token: what only our own pages can read is repeated by unsafe requests.

A second line behind the check of the origin, for those who need one. The token is bound to the
session (`tokens.Profile.csrf_tokens`), so a planted cookie is of no use: nothing is compared with a
cookie.
"""

from __future__ import annotations

from collections.abc import Sequence
from hmac import compare_digest
from typing import Final

from starlette.types import Receive

from .bodies import UnreadableBody, form_fields, media_type, read_body, replayed
from .config import Config
from .credentials import Headers

FORM: Final = b"application/x-www-form-urlencoded"
MAX_FORM: Final = 64 * 1024
"""Bytes of a form in which the field is looked for."""


async def repeated(
    headers: Headers, receive: Receive, config: Config
) -> tuple[bytes | None, Receive]:
    """
    Return the token that a request repeats, or None, and what receives its body from here on.

    The header counts; without one, the field of a urlencoded form.
    """
    values = headers.get(config.csrf_header.lower().encode())
    if values:
        return (values[0] if len(values) == 1 else None), receive
    if media_type(headers) != FORM:
        return None, receive
    try:
        raw = await read_body(headers, receive, most=MAX_FORM)
    except UnreadableBody:
        return None, receive  # some of it is gone, and the request is refused
    return _field(raw, config.csrf_field), replayed(raw, receive)


def accepts(expected: Sequence[str], presented: bytes | None) -> bool:
    """Return whether *presented* is one of *expected*; whatever it holds; each in constant time."""
    if presented is None:
        return False
    return any(compare_digest(token.encode(), presented) for token in expected)


def _field(raw: bytes, name: str) -> bytes | None:
    try:
        values = [value for key, value in form_fields(raw) if key == name]
    except ValueError:
        return None
    return values[0].encode() if len(values) == 1 else None
