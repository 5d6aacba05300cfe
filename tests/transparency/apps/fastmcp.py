"""FastMCP by streamable HTTP: one tool that says who calls, one that reports its progress."""

from __future__ import annotations

from pathlib import Path

from fastmcp import Context, FastMCP
from fastmcp.server.dependencies import get_http_request

from asgi_refresh import Auth
from tests.support import App


def create(_: Path) -> App:
    server = FastMCP("tools")
    server.tool(whoami)
    server.tool(count)
    app: App = server.http_app(path="/mcp")
    return app


async def whoami() -> str:
    """Say who calls."""
    return str(Auth.of(get_http_request()).subject)


async def count(context: Context) -> str:
    """Report progress three times."""
    for number in range(3):
        await context.report_progress(number, 3)
    return "done"
