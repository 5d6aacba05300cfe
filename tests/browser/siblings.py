"""
A host with two bad neighbours, over TLS: the application, a sibling host of its site, another site.

All of it runs in the process of the tests, so they share its clock, its gates and what it saw. Each
application has a port of its own on which the two neighbours serve pages as well.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from asgi_refresh import Auth, Config, Cookie, Event, Issuer, MemoryStore, RefreshMiddleware
from tests.support import SECRET, Clock

OURS, SIBLING, OTHER = "app.example.test", "evil.example.test", "other.test"
CONFIGS = {
    "prefixed": Config(exclude=["/excluded"]),
    "plain": Config(access_cookie=Cookie("access"), refresh_cookie=Cookie("refresh")),
    "everywhere": Config(
        access_cookie=Cookie("__Host-access", same_site="none"),
        refresh_cookie=Cookie("__Host-refresh", same_site="none"),
    ),
    "double-submit": Config(csrf_cookie=Cookie("__Host-csrf", http_only=False)),
    "double-submit alone": Config(
        csrf_cookie=Cookie("csrf", http_only=False), cross_origin="allow"
    ),
    "clearing": Config(clear_site_data=["cache"]),
}
STARTS = ("http.response.start", "websocket.accept", "websocket.http.response.start")
PAGE = "<!doctype html><link rel=icon href=data:,><title>{title}</title><body>{body}"


@dataclass
class Gate:
    """Where a request waits until it is let go."""

    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def stop(self) -> None:
        self.arrived.set()
        await self.release.wait()


@dataclass
class Hit:
    """A request as it came to the server, and what became of it."""

    kind: str
    host: str
    method: str
    path: str
    query: str
    headers: dict[str, list[str]]
    status: int | None = None  # 101: the handshake of a WebSocket was accepted
    reached: Auth | None = None  # what the application was told, if it was asked at all
    set_cookies: list[str] = field(default_factory=list)

    def header(self, name: str) -> str | None:
        values = self.headers.get(name, [])
        assert len(values) < 2
        return values[0] if values else None

    @property
    def cookies(self) -> list[tuple[str, str]]:
        pairs = [pair for pair in "; ".join(self.headers.get("cookie", [])).split("; ") if pair]
        return [(name, value) for name, _, value in (pair.partition("=") for pair in pairs)]

    @property
    def origins(self) -> tuple[str | None, str | None]:
        """What the browser says of where it comes from."""
        return self.header("sec-fetch-site"), self.header("origin")


class World:
    """
    The three hosts.

    Attributes:
        hits: Every request to any of them, in order.
        hung_up: Of each gate, whether the browser gave up the request that came to it.
        changes: On whose behalf something was changed; None: nobody's.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.hits: list[Hit] = []
        self.events: list[Event] = []
        self.changes: list[str | None] = []
        self.gates: defaultdict[str, Gate] = defaultdict(Gate)
        self.hung_up: dict[str, bool] = {}
        self.ports: dict[str, int] = {}
        self.issuers: dict[str, Issuer] = {}
        self._apps: dict[int, Any] = {}
        self._changed = asyncio.Condition()

    def url(self, kind: str, path: str = "/", host: str = OURS) -> str:
        return f"https://{host}:{self.ports[kind]}{path}"

    def of(self, path: str, *, host: str = OURS) -> list[Hit]:
        """Return the requests for *path* of one host."""
        return [hit for hit in self.hits if (hit.host, hit.path) == (host, path)]

    def names(self) -> list[str]:
        """Return what happened, by the names of the events."""
        return [event.name for event in self.events]

    async def until(self, condition: Callable[[], Any]) -> Any:
        """Wait for a request after which *condition* holds; return what it returns."""
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(condition)
        return condition()

    async def arrived(self, gate: str) -> None:
        """Wait until a request has come to *gate*."""
        async with asyncio.timeout(5):
            await self.gates[gate].arrived.wait()

    async def tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def forget(self) -> None:
        """Begin anew, but for the sessions."""
        self.hits.clear()
        self.events.clear()
        self.changes.clear()
        self.gates.clear()
        self.hung_up.clear()

    async def held(self, gate: str, receive: Any) -> None:
        """Come to *gate*, and wait until it opens or the browser has hung up."""
        stopped = asyncio.ensure_future(self.gates[gate].stop())
        hung_up = asyncio.ensure_future(disconnected(receive))
        await asyncio.wait((stopped, hung_up), return_when=asyncio.FIRST_COMPLETED)
        for each in (stopped, hung_up):
            each.cancel()
        self.hung_up[gate] = hung_up.done() and not hung_up.cancelled()
        await self.tell()

    # --- serving --------------------------------------------------------------------------------

    @asynccontextmanager
    async def served(self, certificate: Path) -> AsyncIterator[World]:
        import uvicorn

        sockets = []
        for kind, config in CONFIGS.items():
            sockets.append(socket.create_server(("127.0.0.1", 0)))
            self.ports[kind] = port = sockets[-1].getsockname()[1]
            self._apps[port] = self._protected(kind, config)
        server = uvicorn.Server(
            uvicorn.Config(
                self,
                log_level="warning",
                lifespan="off",
                ws="websockets-sansio",
                ssl_certfile=certificate,
                timeout_graceful_shutdown=1,
            )
        )
        running = asyncio.ensure_future(server._serve(sockets))  # `serve` would take signals
        try:
            yield self
        finally:
            server.should_exit = True
            await running
            for each in sockets:
                each.close()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode(), []).append(value.decode("latin-1"))
        hit = Hit(
            scope["type"],
            headers["host"][0].partition(":")[0],
            scope.get("method", "GET"),
            scope["path"],
            scope["query_string"].decode(),
            headers,
        )
        self.hits.append(hit)
        await self.tell()
        scope["state"] = {"hit": hit}
        wire = Request(scope).query_params.get("wire") if scope["type"] == "http" else None

        async def tapped(message: Any) -> None:
            if message["type"] in STARTS:
                hit.status = message.get("status", 101)
                pairs = message.get("headers", ())
                hit.set_cookies = [v.decode() for n, v in pairs if n.lower() == b"set-cookie"]
                if wire is not None:
                    await self.held(wire, receive)
            await send(message)
            await self.tell()

        app = self._apps[scope["server"][1]] if hit.host == OURS else hostile
        await app(scope, receive, tapped)

    def _protected(self, kind: str, config: Config) -> Any:
        issuer = self.issuers[kind] = Issuer(
            SECRET,
            store=MemoryStore(),
            config=config,
            clock=self.clock,
            on_event=self.events.append,
        )
        routes = [
            Route("/", index),
            Route("/excluded", excluded),
            Route("/me", me),
            Route("/private", private),
            Route("/slow", self.slow),
            Route("/login", login, methods=["POST"]),
            Route("/logout", logout, methods=["POST"]),
            Route("/change", self.change, methods=["POST"]),
            Route("/form", form),
            Route("/framed", framed),
            WebSocketRoute("/ws", self.ws),
        ]
        return RefreshMiddleware(reaching(Starlette(routes=routes)), issuer)

    async def slow(self, request: Request) -> Response:
        await self.held(request.query_params["gate"], request.receive)
        return JSONResponse(describe(Auth.of(request)))

    async def change(self, request: Request) -> Response:
        self.changes.append(Auth.of(request).subject)
        return HTMLResponse(PAGE.format(title=f"changed by {self.changes[-1]}", body=""))

    async def ws(self, websocket: WebSocket) -> None:
        await websocket.accept()
        self.changes.append(Auth.of(websocket).subject)
        await websocket.send_json(describe(Auth.of(websocket)))
        await websocket.close()


async def disconnected(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def reaching(app: Any) -> Any:
    """Note who the application was told it is."""

    async def noted(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != "/excluded":
            scope["state"]["hit"].reached = Auth.of(scope)
        await app(scope, receive, send)

    return noted


def describe(auth: Auth) -> dict[str, Any]:
    return {
        "subject": auth.subject,
        "session_id": auth.session_id,
        "reason": auth.reason,
        "refreshed": auth.refreshed,
    }


# --- the application's pages ----------------------------------------------------------------------


async def index(request: Request) -> Response:
    auth = Auth.of(request)
    title = f"signed in as {auth.subject}" if auth else "sign in"
    return HTMLResponse(PAGE.format(title=title, body=""))


async def excluded(request: Request) -> Response:
    return HTMLResponse(PAGE.format(title="of our origin, and no more", body=""))


async def me(request: Request) -> Response:
    return JSONResponse(describe(Auth.of(request)))


async def login(request: Request) -> Response:
    Auth.of(request).login(request.query_params["as"])
    return HTMLResponse(PAGE.format(title="welcome", body=""))


async def logout(request: Request) -> Response:
    Auth.of(request).logout()
    return HTMLResponse(PAGE.format(title="signed out", body=""))


async def private(request: Request) -> Response:
    """A page with a secret on it; it may be cached, and notes how it was shown."""
    auth = Auth.of(request)
    title = f"the secret of {auth.subject}" if auth else "sign in"
    script = """<script>
      window.shown = [];
      addEventListener("pageshow", (event) => { window.shown.push(event.persisted); });
    </script>"""
    headers = {"cache-control": request.query_params.get("cache", "private, max-age=600")}
    return HTMLResponse(PAGE.format(title=title, body=script), headers=headers)


FORM = '<form method=post action="{action}"><button>change</button></form>'


async def form(request: Request) -> Response:
    """A form of our own on a page that tells nobody where it is."""
    policy = request.query_params.get("policy", "no-referrer")
    body = FORM.format(action="/change")
    return HTMLResponse(PAGE.format(title="form", body=body), headers={"referrer-policy": policy})


async def framed(request: Request) -> Response:
    """The same form in a sandbox: what an application does with content it does not trust."""
    action = str(request.url.replace(path="/change", query=""))
    inner = FORM.format(action=action) + "<script>document.forms[0].submit()</script>"
    frame = f'<iframe sandbox="allow-forms allow-scripts" srcdoc="{html.escape(inner)}"></iframe>'
    return HTMLResponse(PAGE.format(title="framed", body=frame))


# --- the neighbours' pages ------------------------------------------------------------------------


async def hostile(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the body and the Set-Cookie headers that the query asks for."""
    query = Request(scope).query_params
    response = HTMLResponse(PAGE.format(title="a page", body=query.get("body", "")))
    for line in query.getlist("cookie"):
        response.raw_headers.append((b"set-cookie", line.encode()))
    await response(scope, receive, send)


# --- the certificate ------------------------------------------------------------------------------


def make_certificate(path: Path, hosts: Iterable[str] = (OURS, SIBLING, OTHER)) -> str:
    """Write a key and its self-signed certificate to *path*; return the hash of the public key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(map(x509.DNSName, hosts)), critical=False)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(hashlib.sha256(public).digest()).decode()


def browser_flags(public_key_hash: str, hosts: Iterable[str] = (OURS, SIBLING, OTHER)) -> list[str]:
    """
    Return what points a Chromium at the hosts.

    One certificate is trusted instead of all errors ignored: where it ignored one, Chromium keeps
    no page in its caches.
    """
    rules = ", ".join(f"MAP {host} 127.0.0.1" for host in hosts)
    return [
        f"--host-resolver-rules={rules}",
        f"--ignore-certificate-errors-spki-list={public_key_hash}",
    ]
