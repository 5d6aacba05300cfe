"""
What the hostile tests need besides `tests.support`: raw ASGI, forged tokens, and a recording app.

Everything here is on the attacker's or the server's side of the wire.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from typing import Any

import anyio

from asgi_refresh import Auth, Issuer, Key, RefreshMiddleware, Tokens
from tests.support import Browser, Clock, Message, answer, describe

ACCESS, REFRESH, TOMBSTONE = "__Host-access", "__Host-refresh", "__Host-access-ended"
SHARED = "a-shared-secret-of-32-bytes-at-the-least"
KID = "k1"
HOST = "app.example"
FOREIGN = ("origin", "https://evil.example")


# --- raw ASGI -------------------------------------------------------------------------------------


def http(
    path: str = "/",
    method: str = "GET",
    *,
    headers: Iterable[tuple[bytes, bytes]] = (),
    **more: Any,
) -> dict[str, Any]:
    """A scope with exactly *headers*, and Host before them."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", HOST.encode()), *headers],
        "client": ("192.0.2.7", 51234),
        "server": (HOST, 443),
    } | more


def websocket(
    path: str = "/ws", *, headers: Iterable[tuple[bytes, bytes]] = (), **more: Any
) -> dict[str, Any]:
    scope = http(path, headers=headers)
    del scope["method"]
    return scope | {"type": "websocket", "scheme": "wss"} | more


async def run(app: Any, scope: Any, inbox: Iterable[Message] | None = None) -> list[Message]:
    """Run *app* once and return what it sent."""
    if inbox is None:
        first = "websocket.connect" if scope["type"] == "websocket" else "http.request"
        inbox = [{"type": first}]
    waiting = list(inbox)
    sent: list[Message] = []

    async def receive() -> Message:
        await anyio.lowlevel.checkpoint()
        gone = "websocket" if scope["type"] == "websocket" else "http"
        return waiting.pop(0) if waiting else {"type": f"{gone}.disconnect"}

    async def send(message: Message) -> None:
        await anyio.lowlevel.checkpoint()
        sent.append(message)

    await app(scope, receive, send)
    return sent


def set_cookies(messages: Iterable[Message]) -> list[bytes]:
    """Every Set-Cookie value in whatever kind of message."""
    return [
        bytes(value)
        for message in messages
        for name, value in message.get("headers", ())
        if bytes(name).lower() == b"set-cookie"
    ]


def cookie_line(*pairs: tuple[str, str]) -> tuple[bytes, bytes]:
    return b"cookie", "; ".join(f"{name}={value}" for name, value in pairs).encode("latin-1")


def jar(tokens: Tokens) -> dict[str, str]:
    return {ACCESS: tokens.access_token, REFRESH: tokens.refresh_token}


def both(tokens: Tokens) -> tuple[bytes, bytes]:
    """The Cookie header of a browser that holds *tokens*."""
    return cookie_line(*jar(tokens).items())


async def said(app: Any, *headers: tuple[bytes, bytes], **scope: Any) -> tuple[Any, list[bytes]]:
    """What the application `teller` says of a request, and the cookies that came with it."""
    sent = await run(app, http(headers=headers, **scope))
    body = b"".join(message.get("body", b"") for message in sent)
    return json.loads(body), set_cookies(sent)


async def teller(scope: Any, receive: Any, send: Any) -> None:
    """Answer who the request is; writes nothing."""
    await answer(send, body=json.dumps(describe(Auth.of(scope), scope)).encode())


class Recorder:
    """
    An application that counts its calls and keeps the scope of the last one.

    /login, /login/bob, /logout and /elevate do as they say; with *status* as the answer.
    """

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.runs = 0
        self.seen: Any = None
        self.reason: str | None = None
        self.subject: str | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.runs += 1
        self.seen = scope
        auth = Auth.of(scope)
        self.subject, self.reason = auth.subject, auth.reason
        leaf = scope["path"].rpartition("/")[2]
        if leaf == "login":
            auth.login("mallory")
        elif leaf == "logout":
            auth.logout()
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept", "headers": []})
            await send({"type": "websocket.close"})
        else:
            await answer(send, self.status, json.dumps(auth.subject).encode())


def wrapped(issuer: Issuer, app: Any = teller, **kwargs: Any) -> RefreshMiddleware:
    return RefreshMiddleware(app, issuer, **kwargs)


def browser(issuer: Issuer, clock: Clock, app: Any = teller, **kwargs: Any) -> Browser:
    return Browser(wrapped(issuer, app, **kwargs), clock)


def fill(where: Browser, tokens: Tokens) -> Browser:
    for name, value in jar(tokens).items():
        where.put(name, value)
    return where


# --- forging --------------------------------------------------------------------------------------


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def sign(
    header: bytes, payload: bytes, *, secret: str = SHARED, digest: Any = hashlib.sha256
) -> str:
    """A JWS of exactly these bytes, with a good HMAC."""
    text = f"{b64(header)}.{b64(payload)}"
    return f"{text}.{b64(hmac.new(secret.encode(), text.encode(), digest).digest())}"


def shared_key() -> Key:
    """A key the tests hold too, so that they can sign what no issuer would."""
    return Key(SHARED, KID)


HEADER: dict[str, Any] = {"alg": "HS256", "kid": KID, "typ": "at+jwt"}


def claims(clock: Clock, **changes: Any) -> dict[str, Any]:
    """The claims of a good access token, with *changes*; None takes one away."""
    now = int(clock())
    good = {
        "sub": "alice",
        "sid": "s1",
        "jti": "j1",
        "iat": now,
        "exp": now + 600,
        "auth_time": now,
        "gen": 1,
    }
    return {name: value for name, value in (good | changes).items() if value is not ...}


def token(payload: Mapping[str, Any] | bytes, header: Mapping[str, Any] | bytes = HEADER) -> str:
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return sign(head, body)
