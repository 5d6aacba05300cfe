"""
For Quart: `current_auth`, and the requirements of `dependencies` as decorators.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, cast

from quart import Response, abort, current_app, has_websocket_context, request, websocket
from starlette.exceptions import HTTPException, WebSocketException
from werkzeug.local import LocalProxy

from asgi_refresh.auth import Auth
from asgi_refresh.dependencies import Requirement, require_auth

View = Callable[..., Any]
AsyncView = Callable[..., Awaitable[Any]]


def _connection() -> Any:
    return websocket if has_websocket_context() else request


current_auth = cast("Auth", LocalProxy(lambda: Auth.of(_connection())))
"""The `Auth` of the request or the WebSocket that is being handled."""


def requires(requirement: Requirement = require_auth) -> Callable[[View], AsyncView]:
    """
    Return a decorator for views, below the route: `@requires(require_scopes("write"))`.

    It answers what the requirement does in FastAPI, `WWW-Authenticate` included, and closes a
    WebSocket with the same code.

    Args:
        requirement: `require_auth`, or what `require_scopes` or `require_fresh` returns.
    """

    def decorate(view: View) -> AsyncView:
        @wraps(view)
        async def required(*args: Any, **kwargs: Any) -> Any:
            try:
                await requirement(_connection())
            except HTTPException as refused:
                abort(Response(refused.detail, refused.status_code, dict(refused.headers or {})))
            except WebSocketException as refused:
                await websocket.close(refused.code)
                return None
            return await current_app.ensure_async(view)(*args, **kwargs)

        return required

    return decorate
