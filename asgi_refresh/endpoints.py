"""
Ready-made endpoints: plain ASGI applications for `RefreshMiddleware(endpoints=…)` or any router.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import ceil
from typing import Any

import anyio
from starlette.types import Receive, Scope, Send

from .claims import parse_object
from .credentials import Headers, bearer_token, client_of, request_headers
from .errors import (
    ClaimsUnavailable,
    InvalidTokenError,
    StoreRequiredError,
    StoreUnavailable,
)
from .grants import Tokens
from .issuer import Issuer

MAX_BODY = 16 * 1024
"""Bytes of a request body that are read."""
BODY_TIMEOUT = 10.0
"""Seconds a client may take to send it."""


class _Refused(Exception):  # noqa: N818 - an answer, not a fault
    """What the client is told, and nothing more."""

    def __init__(self, status: int, error: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(error)
        self.status, self.error, self.headers = status, error, dict(headers or {})


class RefreshEndpoint:
    """
    Exchanges a refresh token for new tokens: for apps, SDKs and everything without cookies.

    POST, with the refresh token in `Authorization: Bearer` or in a JSON body
    `{"refresh_token": …}`; not in both. Next to a body, `Authorization` may hold the access token
    that came with it: that is then refused from here on. Answers as RFC 6749, 5.1 and 5.2 and
    RFC 6750, 3 have it; one answer for every bad token.

    Args:
        issuer: Whose tokens.
        revoke_access: Whether a refresh ends the session's earlier access tokens. None: with a
            store.

    Raises:
        StoreRequiredError: *revoke_access* without a store.
    """

    def __init__(self, issuer: Issuer, *, revoke_access: bool | None = None) -> None:
        self._issuer = issuer
        stored = issuer.rotating is not None
        if revoke_access and not stored:
            raise StoreRequiredError("revoke_access=True needs a store")
        self._revoke_access = stored if revoke_access is None else revoke_access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        try:
            tokens = await self._refresh(scope, receive)
        except _Refused as refused:
            await _respond(send, refused.status, {"error": refused.error}, refused.headers)
        except InvalidTokenError as error:
            challenge = {"www-authenticate": f'Bearer error="{error.code}"'}
            await _respond(send, error.status, {"error": error.code}, challenge)
        except (StoreUnavailable, ClaimsUnavailable):
            retry = str(ceil(self._issuer.mint.timeout))
            body = {"error": "temporarily_unavailable"}
            await _respond(send, 503, body, {"retry-after": retry})
        else:
            await _respond(send, 200, _success(tokens), {})

    async def _refresh(self, scope: Scope, receive: Receive) -> Tokens:
        if scope["method"] != "POST":
            raise _Refused(405, "invalid_request", {"allow": "POST"})
        headers = request_headers(scope)
        header = _authorization(headers)
        body = await _json_body(headers, receive, required=header is None)
        if body is None:
            if header is None:
                raise _Refused(401, "invalid_request", {"www-authenticate": "Bearer"})
            token, companion = header, None
        else:
            token, companion = _member(body), header
        revoke: str | bool = self._revoke_access
        if companion is not None and self._may_accompany(companion) and revoke:
            revoke = companion
        client = client_of(scope, headers)
        return await self._issuer.refresh(token, revoke_access=revoke, client=client)

    def _may_accompany(self, companion: str) -> bool:
        """Whether it is an access token; a second refresh token is one too many (RFC 6750, 2)."""
        raw = companion.encode()
        try:
            self._issuer.read_access(raw)
        except InvalidTokenError:
            pass
        else:
            return True
        try:
            self._issuer.profile.read_refresh(raw)
        except InvalidTokenError:
            return False  # `Bearer undefined` and the like: it grants nothing and ends nothing
        raise _Refused(400, "invalid_request")


def _authorization(headers: Headers) -> str | None:
    """Return the bearer token; None without one, as behind somebody else's Basic authentication."""
    values = headers.get(b"authorization", [])
    raw = bearer_token(headers)
    if raw is not None and raw.isascii():
        return raw.decode()
    if len(values) == 1 and values[0][:6].lower() != b"bearer":
        return None
    if values:
        raise _Refused(400, "invalid_request")
    return None


async def _json_body(
    headers: Headers, receive: Receive, *, required: bool
) -> dict[str, Any] | None:
    """Return the JSON object in the body; None for an empty one that nothing depends on."""
    types = headers.get(b"content-type", [])
    media_type = types[0].partition(b";")[0].strip().lower() if len(types) == 1 else b""
    raw = await _body(headers, receive)
    if not raw and not (types and required):
        return None
    if media_type != b"application/json":
        raise _Refused(415, "invalid_request")  # a form can be posted from anywhere
    try:
        return parse_object(raw)
    except InvalidTokenError:
        raise _Refused(400, "invalid_request") from None


async def _body(headers: Headers, receive: Receive) -> bytes:
    declared = headers.get(b"content-length", [b"0"])[0]
    if declared.isdigit() and len(declared) < 20 and int(declared) > MAX_BODY:
        raise _Refused(413, "invalid_request", {"connection": "close"})
    body = bytearray()
    try:
        with anyio.fail_after(BODY_TIMEOUT):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise _Refused(400, "invalid_request")  # gone; nobody reads this
                body += message.get("body", b"")
                if len(body) > MAX_BODY:
                    raise _Refused(413, "invalid_request", {"connection": "close"})
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise _Refused(408, "invalid_request", {"connection": "close"}) from None


def _member(body: dict[str, Any]) -> str:
    token = body.get("refresh_token")
    if not isinstance(token, str) or not token:
        raise _Refused(400, "invalid_request")
    return token


def _success(tokens: Tokens) -> dict[str, Any]:
    return {
        "access_token": tokens.access_token,
        "token_type": "Bearer",
        "expires_in": tokens.expires_in,
        "refresh_token": tokens.refresh_token,
        "refresh_expires_in": tokens.refresh_expires_in,
    }


async def _respond(
    send: Send, status: int, body: dict[str, Any], headers: Mapping[str, str]
) -> None:
    content = json.dumps(body, separators=(",", ":")).encode()
    all_headers = {
        "content-type": "application/json",
        "content-length": str(len(content)),
        "cache-control": "no-store",
        "pragma": "no-cache",
        "x-content-type-options": "nosniff",
        **headers,
    }
    encoded = [(name.encode(), value.encode()) for name, value in all_headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": content})
