"""
The systems that users come from, each the real package: sign-ins there, and how they are read here.

What the pages below docs/migration print to read them is what is run.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from unittest import mock

from authx import AuthX, AuthXConfig
from fastapi_users.authentication import CookieTransport, JWTStrategy
from flask import Flask, jsonify
from flask_jwt_extended import (
    JWTManager,
    create_access_token,
    create_refresh_token,
    set_access_cookies,
    set_refresh_cookies,
)
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from asgi_refresh import Legacy
from asgi_refresh.compat.authx import authx_legacy
from asgi_refresh.compat.flask_jwt_extended import flask_legacy
from tests.examples.documents import blocks
from tests.examples.support import ROOT
from tests.support import Browser

OLD_SECRET = "the-secret-of-the-earlier-system-of-32-bytes"
FOREIGN_SECRET = "a-secret-of-somebody-else-of-32-bytes-too"
DAY = 86400.0


class Source(Protocol):
    """
    An earlier system.

    Attributes:
        cookie: The name of the cookie that is read.
        names: Of all the cookies that a sign-in there leaves.
        lifetime: Seconds that a sign-in lasts.
        tells_claims: Whether what is carried by a sign-in is carried on.
        two_kinds: Whether there are access tokens, which must not be adopted.
    """

    cookie: str
    names: frozenset[str]
    lifetime: float
    tells_claims: bool
    two_kinds: bool

    def legacy(self) -> Legacy:
        """Return what `accept_legacy` is given."""
        ...

    async def sign_in(
        self, browser: Browser, subject: str = "alice", claims: Mapping[str, Any] | None = None
    ) -> str:
        """Sign *subject* in, as the earlier system does; return the token that is to be read."""
        ...

    async def forge(self, browser: Browser, subject: str = "alice") -> str:
        """As `sign_in`, by somebody who does not know the secret."""
        ...

    async def other_kind(self, browser: Browser, subject: str = "alice") -> str:
        """Return a genuine token of that system that signs nobody in by itself."""
        ...


def user_id(subject: str) -> str:
    """The subject that every source has for a name: fastapi-users has ids."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, subject))


def printed(page: str, *names: str) -> Any:
    """Execute the python blocks of a page that define *names*, in turn; return the last of them."""
    namespace: dict[str, Any] = {}
    found = blocks(ROOT / "docs" / "migration" / page, "python")
    with mock.patch.dict(os.environ, {"OLD_SECRET": OLD_SECRET}):
        for name in names:
            pattern = rf"^({name} = |(async )?def {name}\()"
            (block,) = (b for b in found if re.search(pattern, b.text, re.MULTILINE))
            exec(compile(block.text, page, "exec"), namespace)
    return namespace[names[-1]]


def deliver(browser: Browser, lines: list[str]) -> None:
    """Put the cookies of Set-Cookie *lines* into the jar."""
    from tests.support import Response as Answer

    browser.deliver(Answer(200, [(b"set-cookie", line.encode()) for line in lines], b"", []))


class Authx:
    cookie = "refresh_token_cookie"
    names = frozenset({cookie, "access_token_cookie", "csrf_access_token", "csrf_refresh_token"})
    lifetime = 20 * DAY
    tells_claims = two_kinds = True

    def __init__(self, **config: Any) -> None:
        self.config = AuthXConfig(
            JWT_SECRET_KEY=OLD_SECRET, JWT_TOKEN_LOCATION=["cookies"], **config
        )
        self.auth: AuthX[Any] = AuthX(self.config)

    def legacy(self) -> Legacy:
        return authx_legacy(self.config)

    async def sign_in(
        self, browser: Browser, subject: str = "alice", claims: Mapping[str, Any] | None = None
    ) -> str:
        return self._sign_in(self.auth, browser, subject, claims)

    async def forge(self, browser: Browser, subject: str = "alice") -> str:
        config = self.config.model_copy(update={"JWT_SECRET_KEY": FOREIGN_SECRET})
        return self._sign_in(AuthX(config), browser, subject, None)

    def _sign_in(
        self,
        auth: AuthX[Any],
        browser: Browser,
        subject: str,
        claims: Mapping[str, Any] | None,
    ) -> str:
        response = Response()
        data = dict(claims) if claims else None
        auth.set_access_cookies(auth.create_access_token(user_id(subject), data=data), response)
        refresh = auth.create_refresh_token(user_id(subject), data=data)
        auth.set_refresh_cookies(refresh, response)
        deliver(browser, response.headers.getlist("set-cookie"))
        return refresh

    async def other_kind(self, browser: Browser, subject: str = "alice") -> str:
        return self.auth.create_access_token(user_id(subject))


class FlaskJwtExtended:
    cookie = "refresh_token_cookie"
    names = frozenset({cookie, "access_token_cookie", "csrf_access_token", "csrf_refresh_token"})
    lifetime = 30 * DAY
    tells_claims = two_kinds = True

    def __init__(self, **config: Any) -> None:
        self.app = _flask(OLD_SECRET, config)

    def legacy(self) -> Legacy:
        return flask_legacy(self.app.config)

    async def sign_in(
        self, browser: Browser, subject: str = "alice", claims: Mapping[str, Any] | None = None
    ) -> str:
        return self._sign_in(self.app, browser, subject, claims)

    async def forge(self, browser: Browser, subject: str = "alice") -> str:
        return self._sign_in(_flask(FOREIGN_SECRET, {}), browser, subject, None)

    def _sign_in(
        self, app: Flask, browser: Browser, subject: str, claims: Mapping[str, Any] | None
    ) -> str:
        with app.test_request_context():
            response = jsonify(signed_in=True)
            extra = dict(claims or {})
            access = create_access_token(user_id(subject), additional_claims=extra)
            refresh = create_refresh_token(user_id(subject), additional_claims=extra)
            set_access_cookies(response, access)
            set_refresh_cookies(response, refresh)
            deliver(browser, response.headers.getlist("Set-Cookie"))
            return str(refresh)

    async def other_kind(self, browser: Browser, subject: str = "alice") -> str:
        with self.app.test_request_context():
            return str(create_access_token(user_id(subject)))


def _flask(secret: str, config: Mapping[str, Any]) -> Flask:
    app = Flask("old")
    app.config.update(JWT_SECRET_KEY=secret, JWT_TOKEN_LOCATION=["cookies"], **config)
    JWTManager(app)
    return app


@dataclass
class User:
    """What `JWTStrategy` asks of a user."""

    id: uuid.UUID


class FastapiUsers:
    cookie = "fastapiusersauth"
    names = frozenset({cookie})
    lifetime = 14 * DAY
    tells_claims = two_kinds = False

    def legacy(self) -> Legacy:
        made: Legacy = printed("fastapi-users.md", "legacy")
        return made

    async def sign_in(
        self, browser: Browser, subject: str = "alice", claims: Mapping[str, Any] | None = None
    ) -> str:
        return await self._sign_in(OLD_SECRET, browser, subject)

    async def forge(self, browser: Browser, subject: str = "alice") -> str:
        return await self._sign_in(FOREIGN_SECRET, browser, subject)

    async def _sign_in(self, secret: str, browser: Browser, subject: str) -> str:
        lifetime = int(self.lifetime)
        strategy: JWTStrategy[Any, Any] = JWTStrategy(secret, lifetime_seconds=lifetime)
        token = await strategy.write_token(User(uuid.UUID(user_id(subject))))
        response = await CookieTransport(cookie_max_age=lifetime).get_login_response(token)
        deliver(browser, response.headers.getlist("set-cookie"))
        return token

    async def other_kind(self, browser: Browser, subject: str = "alice") -> str:
        """A link to reset a password, say: it has another audience."""
        audience = ["fastapi-users:reset"]
        other: JWTStrategy[Any, Any] = JWTStrategy(OLD_SECRET, 3600, token_audience=audience)
        return await other.write_token(User(uuid.UUID(user_id(subject))))


class StarletteSessions:
    cookie = "session"
    names = frozenset({cookie})
    lifetime = 14 * DAY
    tells_claims = two_kinds = False

    def legacy(self) -> Legacy:
        made: Legacy = printed("starlette-sessions.md", "legacy")
        return made

    async def sign_in(
        self, browser: Browser, subject: str = "alice", claims: Mapping[str, Any] | None = None
    ) -> str:
        return await self._sign_in(OLD_SECRET, browser, {"user_id": user_id(subject)})

    async def forge(self, browser: Browser, subject: str = "alice") -> str:
        return await self._sign_in(FOREIGN_SECRET, browser, {"user_id": user_id(subject)})

    async def _sign_in(self, secret: str, browser: Browser, says: Mapping[str, Any]) -> str:
        async def login(request: Request) -> Response:
            request.session.update(says)
            return Response(json.dumps(says))

        app = Starlette(
            routes=[Route("/login", login, methods=["POST"])],
            middleware=[Middleware(SessionMiddleware, secret_key=secret)],
        )
        visit = Browser(app, browser.clock)
        browser.deliver(await visit.post("/login"))
        return browser.values()[self.cookie]

    async def other_kind(self, browser: Browser, subject: str = "alice") -> str:
        """The session of somebody who has not signed in."""
        return await self._sign_in(OLD_SECRET, Browser(browser.app, browser.clock), {"cart": [1]})
