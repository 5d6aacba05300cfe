"""
For Litestar: the requirements of `dependencies` as guards. `request.auth` is the `Auth` already.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from litestar.exceptions import HTTPException, WebSocketException
from starlette import exceptions

from asgi_refresh.dependencies import Requirement, require_auth


def guard(requirement: Requirement = require_auth) -> Callable[[Any, Any], Awaitable[None]]:
    """
    Return a guard: `guards=[guard(require_scopes("write"))]`.

    It answers what the requirement does in FastAPI, `WWW-Authenticate` included, and closes a
    WebSocket with the same code.

    Args:
        requirement: `require_auth`, or what `require_scopes` or `require_fresh` returns.
    """

    async def check(connection: Any, _handler: Any) -> None:
        try:
            await requirement(connection)
        except exceptions.HTTPException as refused:
            raise HTTPException(
                detail=refused.detail,
                status_code=refused.status_code,
                headers=dict(refused.headers or {}),
            ) from None
        except exceptions.WebSocketException as refused:
            raise WebSocketException(detail=refused.reason, code=refused.code) from None

    return check
