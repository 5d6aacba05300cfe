"""
Flask-JWT-Extended, with the implicit refresh of its pages, through a bridge from WSGI.

The bridge, a2wsgi, runs Flask in threads: most of what a request takes is that. The overhead is
over the same route of the same Flask through the same bridge.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from a2wsgi import WSGIMiddleware
from flask import Flask, Response
from flask_jwt_extended import (
    JWTManager,
    create_access_token,
    get_jwt,
    get_jwt_identity,
    jwt_required,
    set_access_cookies,
)

from benchmarks.browser import NOISE, SECRET, App, Request

COOKIE = "access_token_cookie"


def _flask(*, protected: bool) -> Flask:
    app = Flask("app")
    app.config.update(JWT_SECRET_KEY=SECRET, JWT_TOKEN_LOCATION=["cookies"])
    if not protected:
        app.get("/dashboard")(lambda: Response("ok"))
        return app
    JWTManager(app)
    app.get("/dashboard")(jwt_required()(lambda: Response("ok")))

    @app.after_request
    def refresh_expiring(response: Response) -> Response:
        try:
            soon = datetime.now(UTC) + timedelta(minutes=30)
            if soon.timestamp() > get_jwt()["exp"]:
                set_access_cookies(response, create_access_token(get_jwt_identity()))
        except (RuntimeError, KeyError):
            pass  # no valid token
        return response

    return app


class Adapter:
    """The refresh request has a token that ends within half an hour."""

    def build(self) -> App:
        return WSGIMiddleware(_flask(protected=True), workers=1)  # type: ignore[arg-type]

    def bare(self) -> App:
        return WSGIMiddleware(_flask(protected=False), workers=1)  # type: ignore[arg-type]

    def valid(self) -> Request:
        return Request([*NOISE, self._cookie(timedelta(hours=1))])

    def refresh(self) -> Request | None:
        return Request([*NOISE, self._cookie(timedelta(minutes=5))], set_cookies=2)

    def anonymous(self) -> Request:
        return Request(NOISE, status=401)

    def _cookie(self, lifetime: timedelta) -> str:
        with _flask(protected=True).app_context():
            token: Any = create_access_token("alice", expires_delta=lifetime)
        return f"{COOKIE}={token}"
