"""
Requests and answers of the endpoints: bodies within bounds, JSON and forms, errors as RFC 6749.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_refresh.bodies import UnreadableBody, form_fields, media_type, read_body
from asgi_refresh.claims import parse_object
from asgi_refresh.credentials import Headers, bearer_token, request_headers
from asgi_refresh.double_submit import FORM
from asgi_refresh.errors import ClaimsUnavailable, InvalidTokenError, Reason, StoreUnavailable
from asgi_refresh.issuer import Issuer
from asgi_refresh.middleware import RefreshMiddleware

MAX_BODY: Final = 16 * 1024
"""Bytes of a request body that are read."""
_MOST_FIELDS: Final = 32
_JSON: Final = b"application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What a client gets.

    Attributes:
        status: The status code.
        body: A JSON object; None: no body.
        headers: More headers, in lower case.
    """

    status: int
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """What the client is told, and nothing more."""

    def __init__(self, status: int, error: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(error)
        self.answer = Answer(status, {"error": error}, dict(headers or {}))


@dataclass(frozen=True, slots=True)
class Parameters:
    """
    What a body holds.

    Attributes:
        values: The members of the JSON object, or the fields of the form.
        is_form: Whether it was a form.
    """

    values: Mapping[str, Any]
    is_form: bool

    def text(self, name: str) -> str:
        """Return a text that must be there and not be empty."""
        value = self.values.get(name)
        if not isinstance(value, str) or not value:
            raise Refused(400, "invalid_request")
        return value


class Inner(RefreshMiddleware):
    """A middleware for one endpoint, wherever that stands: `exclude` is for applications."""

    def __init__(self, app: ASGIApp, issuer: Issuer) -> None:
        super().__init__(app, issuer)
        self._exclude, self._routed = (), False


class Endpoint:
    """
    An ASGI application for one path. Subclasses say which methods there are and answer.

    Args:
        retry_after: Seconds after which a client may try again when the store is away.
    """

    methods: tuple[str, ...] = ("POST",)

    def __init__(self, retry_after: float) -> None:
        self._retry_after = str(ceil(retry_after))

    async def answer(self, scope: Scope, headers: Headers, receive: Receive) -> Answer:
        """Return the answer, or raise what `__call__` knows."""
        raise NotImplementedError

    def rejected(self, scope: Scope, reason: Reason) -> None:
        """Report a token that was not accepted."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        rejected: Reason | None = None
        try:
            answer = await self._answer_method(scope, receive)
        except Refused as refused:
            answer = refused.answer
        except InvalidTokenError as error:
            rejected = error.reason
            headers = {"www-authenticate": f'Bearer error="{error.code}"'}
            challenge = headers if error.status == 401 else {}
            answer = Answer(error.status, {"error": error.code}, challenge)
        except (StoreUnavailable, ClaimsUnavailable):
            retry = {"retry-after": self._retry_after}
            answer = Answer(503, {"error": "temporarily_unavailable"}, retry)
        if rejected is not None:
            self.rejected(scope, rejected)  # out here: no error is at hand that holds the frames
        await respond(send, answer, head=scope["method"] == "HEAD")

    async def _answer_method(self, scope: Scope, receive: Receive) -> Answer:
        if scope["method"] not in self.methods:
            raise Refused(405, "invalid_request", {"allow": ", ".join(self.methods)})
        return await self.answer(scope, request_headers(scope), receive)


def authorization(headers: Headers) -> str | None:
    """Return the bearer token; None without one, as behind somebody else's Basic authentication."""
    values = headers.get(b"authorization", [])
    raw = bearer_token(headers)
    if raw is not None and raw.isascii():
        return raw.decode()
    if len(values) == 1 and values[0][:6].lower() != b"bearer":
        return None
    if values:
        raise Refused(400, "invalid_request")
    return None


async def parameters(headers: Headers, receive: Receive, *, required: bool) -> Parameters | None:
    """Return what the body holds; None for an empty one that nothing depends on."""
    kind = media_type(headers)
    raw = await body(headers, receive)
    if not raw and not (headers.get(b"content-type") and required):
        return None
    if kind == _JSON:
        try:
            return Parameters(parse_object(raw), is_form=False)
        except InvalidTokenError:
            raise Refused(400, "invalid_request") from None
    if kind == FORM:
        return Parameters(_form(raw), is_form=True)
    raise Refused(415, "invalid_request")


def _form(raw: bytes) -> dict[str, str]:
    try:
        pairs = form_fields(raw, most=_MOST_FIELDS)
    except ValueError:
        raise Refused(400, "invalid_request") from None
    values = dict(pairs)
    if len(values) != len(pairs):  # RFC 6749, 3.2: no parameter more than once
        raise Refused(400, "invalid_request")
    return values


async def body(headers: Headers, receive: Receive) -> bytes:
    """Return the whole body, within `MAX_BODY` and `BODY_TIMEOUT`."""
    try:
        return await read_body(headers, receive, most=MAX_BODY)
    except UnreadableBody as unread:
        gone = unread.status == 400
        raise Refused(
            unread.status, "invalid_request", None if gone else {"connection": "close"}
        ) from None


async def respond(send: Send, answer: Answer, *, head: bool = False) -> None:
    """Send *answer*, which nobody may keep unless it says so itself."""
    content = b""
    headers = {
        "cache-control": "no-store",
        "pragma": "no-cache",
        "cross-origin-resource-policy": "same-origin",
        "x-frame-options": "DENY",
    }
    if answer.body is not None:
        content = json.dumps(answer.body, separators=(",", ":")).encode()
        headers |= {"content-type": "application/json", "x-content-type-options": "nosniff"}
    if answer.status != 204:
        headers["content-length"] = str(len(content))
    headers |= answer.headers
    encoded = [(name.encode(), value.encode()) for name, value in headers.items() if value]
    await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
    await send({"type": "http.response.body", "body": b"" if head else content})
