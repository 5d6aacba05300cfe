# ruff: noqa: B008 - dependencies are FastAPI's way
"""
A FastAPI application that signs in with AuthX, as AuthX's pages write it, and what is before it.

The real package, unmodified. It reads the real clock, so time moves with time_machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import jwt
import time_machine
from authx import AuthX, AuthXConfig, RequestToken, TokenPayload
from authx.exceptions import AuthXException
from fastapi import Depends, FastAPI, HTTPException, Request, Response, WebSocket
from fastapi.responses import RedirectResponse

from asgi_refresh import Event, Issuer, MemoryStore, RefreshMiddleware
from asgi_refresh.compat.authx import authx_issuer
from tests.support import SECRET, App, Browser, Clock
from tests.support import Response as Answer

ACCESS, REFRESH = "access_token_cookie", "refresh_token_cookie"
CSRF_ACCESS, CSRF_REFRESH = "csrf_access_token", "csrf_refresh_token"
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
LIFETIME = 15 * MINUTE  # of AuthX's access tokens
WINDOW = 70.0  # W of the default configuration

Front = Literal["nothing", "authx", "stateless", "stored"]
"""What stands before the application: AuthX's own middleware, ours with or without a store."""


class RealClock(Clock):
    """The clock of this process, which stands still but for `advance`."""

    def __init__(self, traveller: time_machine.Traveller) -> None:
        self._traveller = traveller

    def __call__(self) -> float:
        return time.time()

    def advance(self, seconds: float) -> None:
        self._traveller.shift(seconds)


def travelling() -> time_machine.travel:
    """Return the context in which a `RealClock` is good; entering it gives the traveller."""
    return time_machine.travel(1_800_000_000.25, tick=False)


@dataclass
class Site:
    """
    One browser in front of one AuthX application.

    Attributes:
        access, refresh: What `/login` gives to `create_access_token` and `create_refresh_token`.
        blocked: The tokens that AuthX's blocklist names.
        users: Whom AuthX's subject getter finds.
        seen: The payloads of every request that AuthX let through.
        runs: The paths that reached a handler.
        meanwhile: What `/slow` does before it answers.
        between: What `/login` does between one token and the other.
    """

    clock: RealClock
    auth: AuthX[Any]
    access: Mapping[str, Any]
    refresh: Mapping[str, Any]
    store: Any = None
    issuer: Issuer | None = None
    events: list[Event] = field(default_factory=list)
    blocked: set[str] = field(default_factory=set)
    users: set[str] = field(default_factory=lambda: {"alice", "bob"})
    seen: list[dict[str, Any]] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None
    between: Callable[[], None] = lambda: None
    browser: Browser = field(init=False)

    def read(self, raw: str) -> dict[str, Any]:
        """Return what a token of this site says, whoever asks and whenever."""
        config = self.auth.config
        options = {"verify_exp": False, "verify_aud": False, "verify_iat": False}
        claims: dict[str, Any] = jwt.decode(
            raw, config.public_key, algorithms=[config.JWT_ALGORITHM], options=options
        )
        return claims

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return a token that AuthX's key has signed, whatever it says."""
        config = self.auth.config
        return jwt.encode(dict(claims), config.private_key, algorithm=config.JWT_ALGORITHM)

    def named(self, name: str) -> list[Event]:
        return [event for event in self.events if event.name == name]

    async def sign_in(self, user: str = "alice", browser: Browser | None = None) -> Answer:
        """Sign in by the application's own route."""
        response = await (browser or self.browser).post(f"/login/{user}")
        assert response.status == 200
        self.events.clear()
        self.seen.clear()
        self.runs.clear()
        return response

    def csrf(self, browser: Browser | None = None, name: str = CSRF_ACCESS) -> tuple[str, str]:
        """What a page's script sends: it has read the cookie."""
        return "x-csrf-token", (browser or self.browser).values()[name]


def make_site(
    clock: RealClock,
    front: Front = "stored",
    *,
    access: Mapping[str, Any] | None = None,
    refresh: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    store: Any = None,
    inside: Callable[[App], App] | None = None,
    outside: Callable[[App], App] | None = None,
    **config: Any,
) -> Site:
    """
    Return a site.

    Args:
        settings: What `authx_issuer` is given besides.
        store: In place of a `MemoryStore`, where there is one.
        inside, outside: Wrap the application below, and above, what is put before it.
        config: Of AuthX; by default only that cookies are used, and a secret.
    """
    values = {"JWT_SECRET_KEY": SECRET, "JWT_TOKEN_LOCATION": ["cookies"], **config}
    auth: AuthX[Any] = AuthX(AuthXConfig(**values))
    site = Site(clock, auth, access or {}, refresh or {})
    app = build(site)
    if inside is not None:
        app.add_middleware(inside)
    if front == "authx":
        app.middleware("http")(auth.implicit_refresh_middleware)
    elif front != "nothing":
        site.store = (store or MemoryStore()) if front == "stored" else None
        given = {"is_revoked": auth.is_token_in_blocklist, **(settings or {})}
        site.issuer = authx_issuer(
            auth.config, store=site.store, on_event=site.events.append, **given
        )
        app.add_middleware(RefreshMiddleware, issuer=site.issuer)
    site.browser = Browser(app if outside is None else outside(app), clock)
    return site


async def signed_in(
    clock: RealClock, front: Front, *, left: float = LIFETIME, user: str = "alice", **kwargs: Any
) -> Site:
    """Return a site where *user* has signed in, whose access token has *left* seconds left."""
    site = make_site(clock, front, **kwargs)
    await site.sign_in(user)
    lifetime = site.auth.config.JWT_ACCESS_TOKEN_EXPIRES
    assert lifetime is not None
    clock.advance(lifetime.total_seconds() - left)
    return site


def build(site: Site) -> FastAPI:
    """Return the application."""
    app = FastAPI(openapi_url=None)
    auth = site.auth
    auth.handle_errors(app)
    auth.set_token_blocklist(lambda raw: raw in site.blocked)
    auth.set_subject_getter(lambda uid: uid if uid in site.users else None)
    _add_sign_in(app, site)
    _add_protected(app, site)
    _add_open(app, site)
    _add_websockets(app, site)
    return app


def _add_sign_in(app: FastAPI, site: Site) -> None:
    auth = site.auth

    @app.post("/login/{user}")
    async def login(user: str, response: Response) -> dict[str, str]:
        access = auth.create_access_token(user, **site.access)
        site.between()
        refresh = auth.create_refresh_token(user, **site.refresh)
        auth.set_access_cookies(access, response)
        auth.set_refresh_cookies(refresh, response)
        return {"access_token": access, "refresh_token": refresh}

    @app.post("/become/{user}")
    async def become(user: str, response: Response, status: int = 200) -> None:
        """Somebody else, by an access cookie alone."""
        auth.set_access_cookies(auth.create_access_token(user), response)
        response.status_code = status

    @app.post("/logout")
    async def logout(response: Response) -> None:
        auth.unset_cookies(response)

    @app.post("/logout/access")
    async def logout_access(response: Response) -> None:
        auth.unset_access_cookies(response)

    @app.post("/logout/refresh")
    async def logout_refresh(response: Response) -> None:
        auth.unset_refresh_cookies(response)

    @app.post("/refresh")
    async def refresh(
        response: Response, payload: TokenPayload = Depends(auth.refresh_token_required)
    ) -> dict[str, str]:
        """The explicit refresh of AuthX's pages, for cookies."""
        access = auth.create_access_token(payload.sub)
        auth.set_access_cookies(access, response)
        return {"access_token": access}


def _add_protected(app: FastAPI, site: Site) -> None:
    auth = site.auth

    def told(payload: TokenPayload) -> dict[str, Any]:
        claims = payload.model_dump()
        site.seen.append(claims)
        return claims

    @app.get("/me")
    @app.head("/me")
    async def me(payload: TokenPayload = Depends(auth.access_token_required)) -> Any:
        site.runs.append("/me")
        return told(payload)

    @app.post("/transfer")
    async def transfer(payload: TokenPayload = Depends(auth.access_token_required)) -> Any:
        site.runs.append("/transfer")
        return told(payload)

    @app.get("/scoped")
    async def scoped(payload: TokenPayload = Depends(auth.scopes_required("a:read"))) -> Any:
        return told(payload)

    @app.get("/fresh")
    async def fresh(payload: TokenPayload = Depends(auth.fresh_token_required)) -> Any:
        return told(payload)

    @app.get("/needs-refresh")
    async def refreshing(payload: TokenPayload = Depends(auth.refresh_token_required)) -> Any:
        return told(payload)

    @app.get("/subject")
    async def subject(who: Any = Depends(auth.get_current_subject)) -> Any:
        return {"subject": who}

    @app.get("/slow")
    async def slow(payload: TokenPayload = Depends(auth.access_token_required)) -> Any:
        site.meanwhile()
        return told(payload)


def _add_open(app: FastAPI, site: Site) -> None:
    @app.api_route("/public", methods=["GET", "POST"])
    async def public() -> dict[str, bool]:
        site.runs.append("/public")
        return {"public": True}

    @app.get("/api/public")
    async def below() -> dict[str, bool]:
        return {"public": True}

    @app.get("/cookies")
    async def cookies(request: Request) -> dict[str, str]:
        return request.cookies

    @app.get("/cached")
    async def cached(response: Response) -> None:
        response.headers["Cache-Control"] = "public, max-age=3600"

    @app.get("/kept")
    async def kept(response: Response) -> None:
        response.headers["Cache-Control"] = "max-age=3600"

    @app.get("/redirect")
    async def redirect() -> Response:
        return RedirectResponse("/public", 307)

    @app.get("/unchanged")
    async def unchanged() -> Response:
        return Response(status_code=304)

    @app.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418)

    @app.get("/crash")
    async def crash() -> None:
        site.runs.append("/crash")
        raise ZeroDivisionError

    app.mount("/raw", _raw)


async def _raw(scope: Any, receive: Any, send: Any) -> None:
    """A stream with a trailer, as no framework writes it."""
    start = {"type": "http.response.start", "status": 200, "headers": [], "trailers": True}
    await send(start)
    for _ in range(3):
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
    await send({"type": "http.response.body", "body": b""})
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"3")]})


def _add_websockets(app: FastAPI, site: Site) -> None:
    auth = site.auth

    @app.websocket("/ws")
    async def by_cookie(socket: WebSocket) -> None:
        """Read the cookie, for AuthX's own dependency does not."""
        raw = socket.cookies.get(ACCESS, "none")
        token = RequestToken(token=raw, type="access", location="cookies")
        try:
            payload = auth.verify_token(token, verify_csrf=False)
        except AuthXException as error:
            await socket.close(1008, type(error).__name__)
            return
        await socket.accept()
        await socket.send_json({"sub": payload.sub, "jti": payload.jti})
        await socket.close()

    @app.websocket("/ws/required")
    async def required(socket: WebSocket, payload: TokenPayload = auth.WS_AUTH_REQUIRED) -> None:
        await socket.accept()
        await socket.send_json({"sub": payload.sub})
        await socket.close()


# --- what is asked of an answer ------------------------------------------------------------------


def given(response: Answer) -> set[str]:
    """The names of the cookies that *response* sets to something."""
    return {name for name, value in response.cookies.items() if value not in ("", '""')}


def deleted(response: Answer) -> set[str]:
    """The names of the cookies that *response* deletes."""
    return {line.partition("=")[0] for line in response.set_cookies if "Max-Age=0" in line}


def error(response: Answer) -> str:
    """What AuthX says was wrong."""
    return str(response.json()["error_type"])


def attributes(response: Answer, name: str) -> set[str]:
    """The attributes that *response* sets the cookie *name* with, in small letters."""
    (line,) = [line for line in response.set_cookies if line.startswith(f"{name}=")]
    return {part.strip().lower() for part in line.split(";")[1:]}
