"""
FastAPI dependencies; anything that hands over a Starlette connection may call them.
"""

from __future__ import annotations

from starlette.exceptions import HTTPException, WebSocketException
from starlette.requests import HTTPConnection

from .auth import Auth


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
        HTTPException: 401 with WWW-Authenticate (RFC 6750, 3) if it is anonymous.
        WebSocketException: 1008 in its place on a WebSocket.
    """
    auth = Auth.of(connection)
    if auth:
        return auth
    if connection.scope["type"] == "websocket":
        raise WebSocketException(1008)
    challenge = "Bearer" if auth.reason == "no_credentials" else 'Bearer error="invalid_token"'
    raise HTTPException(401, headers={"WWW-Authenticate": challenge})
