"""
FastAPI dependencies; anything that hands over a Starlette connection may call them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import timedelta
from typing import TypeAlias
from urllib.parse import urlencode

from starlette.exceptions import HTTPException, WebSocketException
from starlette.requests import HTTPConnection, Request
from starlette.types import Message

from .auth import Auth
from .cookies import collect
from .credentials import Headers, cookie_header, request_headers
from .endpoints.wire import Parameters, Refused, authorization, parameters
from .errors import challenge
from .issuer import Issuer

Requirement: TypeAlias = Callable[[HTTPConnection], Awaitable[Auth]]
"""A dependency: it is given the connection, and returns its `Auth` or raises."""


async def get_auth(connection: HTTPConnection) -> Auth:
    """
    Return the `Auth` of a request: a FastAPI dependency.

    Async, because FastAPI runs sync ones in a thread, which costs four times as much.
    """
    return Auth.of(connection)


async def require_auth(connection: HTTPConnection) -> Auth:
    """
    Return the `Auth` of a request that is signed in: a FastAPI dependency.

    Raises:
        HTTPException: 401 with WWW-Authenticate (RFC 6750, 3) if it is anonymous; 503 with
            Retry-After if who it is cannot be told just now.
        WebSocketException: 1008 or 1013 in its place on a WebSocket.
    """
    auth = Auth.of(connection)
    if auth:
        return auth
    said = challenge(auth.reason)
    raise _unavailable(connection) if said is None else _refusal(connection, 401, said)


def require_scopes(*scopes: str) -> Requirement:
    """
    Return a dependency like `require_auth` that also asks for *scopes*, all of them.

    Raises:
        HTTPException: 403 with `insufficient_scope` (RFC 6750, 3.1) where one is missing.
    """
    wanted = frozenset(scopes)

    async def require(connection: HTTPConnection) -> Auth:
        auth = await require_auth(connection)
        if wanted <= set(auth.scopes):
            return auth
        needed = " ".join(sorted(wanted))
        challenge = f'Bearer error="insufficient_scope", scope="{needed}"'
        raise _refusal(connection, 403, challenge)

    return require


def require_fresh(within: timedelta) -> Requirement:
    """
    Return a dependency like `require_auth` for who proved who they are *within* that time.

    Raises:
        HTTPException: 401 with `insufficient_user_authentication` and `max_age` (RFC 9470, 3): the
            user must sign in again, a refresh does not help.
    """

    async def require(connection: HTTPConnection) -> Auth:
        auth = await require_auth(connection)
        if auth.is_fresh(within):
            return auth
        seconds = int(within.total_seconds())
        error = f'Bearer error="insufficient_user_authentication", max_age="{seconds}"'
        raise _refusal(connection, 401, error)

    return require


def require_refresh_token(issuer: Issuer) -> Callable[[Request], Awaitable[str]]:
    """
    Return a dependency that hands out the one refresh token of a request, for a route of your own.

    It looks where `RefreshEndpoint` does: header, JSON, form, cookie. Pass what it returns to
    `issuer.refresh`. It refuses a cookie that comes with a request from another origin only where
    `RefreshMiddleware` stands in front; without that, use `RefreshEndpoint`.

    Raises:
        HTTPException: 401 without one; 400 for more than one, or a malformed request.
    """
    name = issuer.config.refresh_cookie.key

    async def require(request: Request) -> str:
        headers = request_headers(request.scope)
        cookies = collect(cookie_header(headers), (name,)).get(name, ())
        found = [value.decode("latin-1") for value in cookies]
        try:
            header = authorization(headers)
            came = await _parameters(request, headers)
            if came is not None:
                found.append(came.text("refresh_token"))
            elif header is not None:
                found.append(header)
            if len(found) > 1:
                raise Refused(400, "invalid_request")  # noqa: TRY301 - as the others
        except Refused as refused:
            answer = refused.answer
            text = str(refused)
            raise HTTPException(answer.status, text, dict(answer.headers)) from None
        if not found:
            raise _refusal(request, 401, "Bearer")
        return found[0]

    return require


async def _parameters(request: Request, headers: Headers) -> Parameters | None:
    """Return what the body holds, which a framework may have read already."""
    try:
        async with aclosing(request.stream()) as stream:

            async def receive() -> Message:
                chunk = await anext(stream, b"")
                return {"type": "http.request", "body": chunk, "more_body": chunk != b""}

            return await parameters(headers, receive, required=False)
    except RuntimeError:  # "Stream consumed": FastAPI has, for a route with form parameters
        fields = (await request.form()).multi_items()
        raw = urlencode([pair for pair in fields if isinstance(pair[1], str)]).encode()

    async def again() -> Message:
        return {"type": "http.request", "body": raw}

    return await parameters(headers, again, required=False)


def _unavailable(connection: HTTPConnection) -> HTTPException | WebSocketException:
    if connection.scope["type"] == "websocket":
        return WebSocketException(1013)
    return HTTPException(503, headers={"Retry-After": "1"})


def _refusal(
    connection: HTTPConnection, status: int, challenge: str
) -> HTTPException | WebSocketException:
    if connection.scope["type"] == "websocket":
        return WebSocketException(1008)
    return HTTPException(status, headers={"WWW-Authenticate": challenge})
