"""The variants: this library in its situations, its peers, and the floors below all of them."""

from __future__ import annotations

import base64
import hmac
import json
import os
import time
from collections.abc import Callable
from typing import Any

import anyio
import itsdangerous
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection

from asgi_refresh import Auth, Issuer, Key, MemoryStore, RefreshMiddleware, Tokens
from asgi_refresh.cache import TokenCache
from benchmarks.browser import HEADERS, NOISE, App, Message, bare, quiet, scopes
from benchmarks.harness import Variant

SECRET = os.urandom(32)
CLAIMS = {"scope": "read write", "role": "member"}


async def reads(scope: Any, receive: Any, send: Any) -> None:
    Auth.of(scope).subject  # noqa: B018
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b"ok"})


def tokens(issuer: Issuer) -> Tokens:
    """Return the tokens of a new session."""
    return anyio.run(issuer.issue, "alice", CLAIMS)


def cookies(issued: Tokens, access: str | None = None) -> list[str]:
    """Return the cookies of a browser: six of other people's, then ours."""
    token = issued.access_token if access is None else access
    ours = [f"__Host-access={token}"] if token else []
    return [*NOISE, *ours, f"__Host-refresh={issued.refresh_token}"]


# --- checks: a variant that does not do its job is not measured ----------------------------------


def cookie_count(expected: int) -> Callable[[list[Message]], None]:
    def check(messages: list[Message]) -> None:
        found = [1 for name, _ in messages[0]["headers"] if name == b"set-cookie"]
        assert len(found) == expected, f"{len(found)} cookies, not {expected}"
        assert messages[0]["status"] == 200

    return check


# --- this library ---------------------------------------------------------------------------------


class Forgetful(TokenCache):
    """A cache that forgets at once: every request is a first sight."""

    def put(self, raw: bytes, token: object) -> None:
        """Forget it."""


def ours() -> dict[str, Variant]:
    issuer = Issuer(SECRET, store=MemoryStore(), on_event=quiet)
    issued = tokens(issuer)
    app = RefreshMiddleware(bare, issuer)
    reading = RefreshMiddleware(reads, issuer)
    es256 = Issuer(
        Key(ec.generate_private_key(ec.SECP256R1()), "es", "ES256"),
        secret=SECRET,
        store=MemoryStore(),
        on_event=quiet,
    )
    es_issued = tokens(es256)
    fresh = Issuer(SECRET, store=MemoryStore(), on_event=quiet)
    fresh.cache = Forgetful(1)
    fresh_issued = tokens(fresh)
    stateless = Issuer(SECRET, store=None, on_event=quiet)
    stateless_issued = tokens(stateless)
    bad = issued.access_token[:-6] + "AAAAAA"
    none, same = cookie_count(0), scopes(cookies(issued))
    many = [f"analytics_{n}=value-of-cookie-{n}" for n in range(44)]
    return {
        "hot": Variant(app, same, none),
        "hot, handler reads auth": Variant(reading, same, none),
        "hot, same-origin POST": Variant(app, scopes(cookies(issued), method="POST"), none),
        "hot, 50 cookies": Variant(app, scopes(many + cookies(issued)), none),
        "hot, ES256": Variant(RefreshMiddleware(bare, es256), scopes(cookies(es_issued)), none),
        "no cookie": Variant(app, scopes(NOISE), none),
        "first sight": Variant(RefreshMiddleware(bare, fresh), scopes(cookies(fresh_issued)), none),
        "stateless refresh": Variant(
            RefreshMiddleware(bare, stateless),
            scopes(cookies(stateless_issued, access="")),
            cookie_count(1),
        ),
        "bad signature": Variant(app, scopes([*NOISE, f"__Host-access={bad}"]), none),
    }


# --- peers ----------------------------------------------------------------------------------------


class PlainPyJWT:
    """What people write by hand: HTTPConnection.cookies and jwt.decode, anonymous if it fails."""

    def __init__(self, app: App, key: bytes) -> None:
        self.app, self.key = app, key

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        token = HTTPConnection(scope).cookies.get("__Host-access")
        try:
            scope["user"] = jwt.decode(token, self.key, algorithms=["HS256"]) if token else None
        except jwt.InvalidTokenError:
            scope["user"] = None
        await self.app(scope, receive, send)


async def reads_session(scope: Any, receive: Any, send: Any) -> None:
    scope["session"].get("subject")
    await bare(scope, receive, send)


def peers() -> dict[str, Variant]:
    key = os.urandom(32)
    now = int(time.time())
    claims = {
        **CLAIMS,
        "sub": "alice",
        "sid": os.urandom(16).hex(),
        "jti": os.urandom(16).hex(),
        "iat": now,
        "exp": now + 3600,
        "auth_time": now,
        "gen": 1,
    }
    token = jwt.encode(claims, key, algorithm="HS256", headers={"typ": "at+jwt", "kid": "k1"})
    forged = token[:-6] + "AAAAAA"
    signer = itsdangerous.TimestampSigner(SECRET.hex())
    data = base64.b64encode(json.dumps({"subject": "alice", **CLAIMS}).encode())
    session = signer.sign(data).decode()
    none = cookie_count(0)
    plain = PlainPyJWT(bare, key)
    return {
        "jwt.decode": Variant(
            None,
            lambda: token,
            plain=lambda value: jwt.decode(value, key, algorithms=["HS256"]),
        ),
        "plain PyJWT middleware": Variant(plain, scopes([*NOISE, f"__Host-access={token}"]), none),
        "bad signature, PyJWT": Variant(plain, scopes([*NOISE, f"__Host-access={forged}"]), none),
        "SessionMiddleware": Variant(
            SessionMiddleware(reads_session, SECRET.hex()),
            scopes([*NOISE, f"session={session}"]),
            None,
        ),
    }


# --- floors ---------------------------------------------------------------------------------------


def _unpadded(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


def _verify(token: bytes) -> Any:
    """One HMAC, one base64, one JSON: what verifying a token cannot do without."""
    signing_input, _, signature = token.rpartition(b".")
    digest = hmac.digest(SECRET, signing_input, "sha256")
    assert hmac.compare_digest(digest, _unpadded(signature))
    return json.loads(_unpadded(signing_input.partition(b".")[2]))


def _sign(head: bytes, payload: dict[str, Any]) -> bytes:
    body = base64.urlsafe_b64encode(json.dumps(payload).encode()).rstrip(b"=")
    signing_input = head + b"." + body
    digest = hmac.digest(SECRET, signing_input, "sha256")
    return signing_input + b"." + base64.urlsafe_b64encode(digest).rstrip(b"=")


def floors() -> dict[str, Variant]:
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"k1234567","typ":"at+jwt"}').rstrip(b"=")
    now = int(time.time())
    payload = {**CLAIMS, "sub": "alice", "sid": os.urandom(16).hex(), "jti": os.urandom(16).hex()}
    payload |= {"iat": now, "exp": now + 600, "auth_time": now, "gen": 1}
    token = _sign(head, payload)

    def refresh(refresh_token: bytes) -> bytes:
        claims = _verify(refresh_token)
        return _sign(head, {**claims, "jti": os.urandom(16).hex(), "iat": int(time.time())})

    return {
        "verify floor": Variant(None, lambda: bytes(bytearray(token)), plain=_verify),
        "refresh floor": Variant(None, lambda: bytes(bytearray(token)), plain=refresh),
    }


VARIANTS: dict[str, Variant] = {
    "bare": Variant(bare, scopes(NOISE), cookie_count(0)),
    **ours(),
    **peers(),
    **floors(),
}
