"""
What the library logs, as JSON by structlog: run with `uvicorn structlog_app:app`.

The library logs with the standard library alone. A ProcessorFormatter renders such records as those
of structlog's own loggers, and ExtraAdder takes over what is known of an event.
"""

import logging
import os
import sys

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asgi_refresh import Issuer, RefreshMiddleware, SQLiteStore

SHARED = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso"),
]
structlog.configure(
    processors=[*SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
)
handler = logging.StreamHandler(sys.stdout)
handler.setFormatter(
    structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*SHARED, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(),
        ],
    )
)
logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)

issuer = Issuer(os.environ["SECRET_KEY"], store=SQLiteStore("sessions.db"))
log = structlog.get_logger("app")


async def login(request: Request) -> PlainTextResponse:  # after the password check
    structlog.contextvars.bind_contextvars(request_id=request.headers.get("x-request-id"))
    log.info("signing in", user="alice")
    request.auth.login("alice")
    return PlainTextResponse("hello")


async def me(request: Request) -> PlainTextResponse:
    return PlainTextResponse(request.auth.subject or "nobody")


site = Starlette(routes=[Route("/login", login, methods=["POST"]), Route("/me", me)])
app = RefreshMiddleware(site, issuer)
