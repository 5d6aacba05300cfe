"""
The cases: this library in every situation, and the peers where one situation is compared.

To add a case, add a `Variant` here; a goal that names it goes into `goals`.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any, cast

import anyio
import jwt
from starlette.requests import cookie_parser

from asgi_refresh import Auth, Issuer, Key, MemoryStore, RefreshMiddleware, Tokens
from asgi_refresh.cache import TokenCache
from benchmarks.browser import (
    CLAIMS,
    HEADERS,
    NOISE,
    SECRET,
    Request,
    bare,
    bare_websocket,
    forged,
    quiet,
)
from benchmarks.harness import Variant, asking
from benchmarks.peers import Adapter
from benchmarks.peers.ours import subject

COUNTS = (1, 10, 50)  # cookies
FEW = 1000  # tokens, which are remembered all at once
CHURN = 20_000  # tokens in turn, about five times what the cache keeps
GROWING = ("AuthenticationMiddleware + PyJWT", "SessionMiddleware")


async def reads(scope: Any, receive: Any, send: Any) -> None:
    Auth.of(scope).subject  # noqa: B018
    await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS]})
    await send({"type": "http.response.body", "body": b"ok"})


class Forgetful(TokenCache):
    """A cache that forgets at once: every request verifies."""

    def put(self, raw: bytes, token: object) -> None:
        """Forget it."""


def make_issuer(key: Any = SECRET, **settings: Any) -> Issuer:
    """Return an issuer that tells nobody, with a store that is memory unless said otherwise."""
    return Issuer(key, **{"store": MemoryStore(), "on_event": quiet, **settings})


def tokens(issuer: Issuer) -> Tokens:
    """Return the tokens of a new session; outside of any event loop."""
    return anyio.run(issuer.issue, "alice", CLAIMS)


def request(issued: Tokens, **others: Any) -> Request:
    """Return what a browser asks that is signed in: other people's cookies come first."""
    ours = [f"__Host-access={issued.access_token}", f"__Host-refresh={issued.refresh_token}"]
    return Request([*NOISE, *ours], who=subject, **others)


def cases(adapters: Mapping[str, Adapter]) -> dict[str, Variant]:
    """Return all that need no server, and the bare applications that they are over."""
    return {
        **without(),
        **seen(),
        **unseen(),
        **churned(),
        **algorithms(),
        **refused(),
        **stateless(),
        **of_peers(adapters),
        **growing(adapters),
    }


def without() -> dict[str, Variant]:
    """The bare applications."""
    opened = Request(NOISE, status=101, type="websocket")
    return {
        "bare": asking(bare, Request(NOISE), over=None),
        "bare websocket": asking(bare_websocket, opened, over=None),
    }


def seen() -> dict[str, Variant]:
    """A token that is remembered, or nobody."""
    key = os.urandom(32)
    issuer = make_issuer(Key(key, "k1", "HS256"), secret=SECRET)
    issued = tokens(issuer)
    hot, app = request(issued), RefreshMiddleware(bare, issuer)
    bearer = (b"authorization", f"Bearer {issued.access_token}".encode())
    origin = (b"origin", b"https://app.example")  # which browsers send with every handshake
    websocket = replace(hot, type="websocket", status=101, headers=[origin])
    return {
        "hot": asking(app, hot),
        "jwt.decode": Variant(
            lambda: issued.access_token,
            plain=lambda token: jwt.decode(token, key, algorithms=["HS256"]),
        ),
        "no cookie": asking(app, Request(NOISE)),
        "no cookie header": asking(app, Request()),
        "handler reads auth": asking(RefreshMiddleware(reads, issuer), hot),
        "same-origin POST": asking(app, replace(hot, method="POST")),
        "bearer": asking(app, Request(NOISE, headers=[bearer], who=subject)),
        "websocket": asking(
            RefreshMiddleware(bare_websocket, issuer), websocket, over="bare websocket"
        ),
        **{
            crowded("hot", count): asking(app, replace(hot, cookies=_crowd(count, hot.cookies)))
            for count in COUNTS
        },
    }


def crowded(name: str, count: int) -> str:
    """Return what the variant is called that has *count* cookies."""
    return f"{name}, {count} cookie{'s' if count > 1 else ''}"


def _crowd(count: int, cookies: Sequence[str]) -> list[str]:
    """Return *count* cookies: those that matter of *cookies*, behind other people's."""
    ours = [cookie for cookie in cookies if cookie not in NOISE][:count]
    others = [f"analytics_{number}=value-of-cookie-{number}" for number in range(count)]
    return [*others[: count - len(ours)], *ours]


def unseen() -> dict[str, Variant]:
    """A token that is not remembered yet, and one that never is."""
    off, first = make_issuer(), make_issuer()
    off.cache = Forgetful(1)
    numbers, pool = cycle(range(FEW)), _in_turn(first, FEW)

    def never_seen() -> dict[str, Any]:
        if next(numbers) == 0:
            first.cache.clear()
        return next(pool).scope()

    return {
        "cache off": asking(RefreshMiddleware(bare, off), request(tokens(off))),
        "first sight": Variant(never_seen, app=RefreshMiddleware(bare, first), over="bare"),
    }


def churned() -> dict[str, Variant]:
    """More tokens in turn than are remembered."""
    issuer = make_issuer()
    in_turn, app = _in_turn(issuer, CHURN), RefreshMiddleware(bare, issuer)
    return {"0 % hits": Variant(lambda: next(in_turn).scope(), app=app, over="bare")}


def _in_turn(issuer: Issuer, count: int) -> Iterator[Request]:
    """Yield requests of *count* sessions, made when they first come, and over again."""
    made = []
    for number in range(count):
        session = issuer.mint.session(f"user {number}", CLAIMS, persistent=True, device=None)
        access = issuer.mint.access(session, cast("Any", session.claims)).raw.decode()
        refresh = issuer.mint.refresh(session, session.current).decode()
        cookies = [*NOISE, f"__Host-access={access}", f"__Host-refresh={refresh}"]
        made.append(Request(cookies))
        yield made[-1]
    yield from cycle(made)


def algorithms() -> dict[str, Variant]:
    """A remembered token of each kind of key."""
    made = {}
    for name in ("RS256", "ES256", "EdDSA"):
        issuer = make_issuer(Key.generate(name, "k1"), secret=SECRET)
        made[f"hot, {name}"] = asking(RefreshMiddleware(bare, issuer), request(tokens(issuer)))
    return made


def refused() -> dict[str, Variant]:
    """What signs nobody in."""
    issuer = make_issuer()
    issued, app = tokens(issuer), RefreshMiddleware(bare, issuer)
    access = f"__Host-access={issued.access_token}"
    body = base64.urlsafe_b64encode(json.dumps({"sub": "alice", **CLAIMS}).encode()).rstrip(b"=")
    head = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').rstrip(b"=")
    unsigned = f"__Host-access={head.decode()}.{body.decode()}."
    large = Request([f"c{number:05}={'v' * 22}" for number in range(300 * 1024 // 31)])
    header = large.cookie()
    assert len(header) > 300_000
    return {
        "bad signature": asking(app, Request([*NOISE, forged(access)])),
        "alg=none": asking(app, Request([*NOISE, unsigned])),
        "300 KB cookie": asking(app, replace(large, cookies=[*large.cookies, access])),
        "300 KB cookie, Starlette's parser": Variant(
            lambda: bytes(bytearray(header)),
            plain=lambda field: cookie_parser(field.decode("latin-1")),
        ),
    }


def stateless() -> dict[str, Variant]:
    """A refresh without a store."""
    issuer = make_issuer(store=None)
    earlier = make_issuer(store=None, clock=lambda: time.time() - 700)  # its tokens have ended
    issued, ended = request(tokens(issuer), set_cookies=1), request(tokens(earlier), set_cookies=1)
    app = RefreshMiddleware(bare, issuer)
    only = replace(issued, cookies=[c for c in issued.cookies if "__Host-access" not in c])
    return {
        "refresh, stateless": asking(app, only),
        "refresh, expired one sent": asking(app, ended),
    }


def refreshing(store: Any) -> Variant:
    """Return the refresh on *store*: each request rotates a session of its own."""
    issuer = make_issuer(store=store)
    numbers: Iterator[int] = iter(range(10**9))

    async def scope() -> dict[str, Any]:
        issued = await issuer.issue(f"user {next(numbers)}", CLAIMS)
        return Request([*NOISE, f"__Host-refresh={issued.refresh_token}"]).scope()

    check = Request(set_cookies=2).check
    clock = time.process_time if isinstance(store, MemoryStore) else time.perf_counter
    app = RefreshMiddleware(bare, issuer)
    return Variant(scope, app=app, over="bare", clock=clock, check=check)


def of_peers(adapters: Mapping[str, Adapter]) -> dict[str, Variant]:
    """What each peer can be asked for, and the application without it."""
    made: dict[str, Variant] = {}
    for name, adapter in adapters.items():
        app, below, valid = adapter.build(), adapter.bare(), adapter.valid()
        over = "bare"
        if below is not bare:
            over = f"{name}: without"
            made[over] = asking(below, replace(valid, set_cookies=0, who=None), over=None)
        verbs = {"valid": valid, "refresh": adapter.refresh(), "anonymous": adapter.anonymous()}
        for verb, asked in verbs.items():
            if asked is not None:
                made[f"{name}: {verb}"] = asking(app, asked, over=over)
    if "plain PyJWT" in adapters:
        plain = adapters["plain PyJWT"]
        *others, token = plain.valid().cookies
        made["bad signature, plain PyJWT"] = asking(
            plain.build(), Request([*others, forged(token)])
        )
    return made


def growing(adapters: Mapping[str, Adapter]) -> dict[str, Variant]:
    """Two peers as the Cookie header grows."""
    made = {}
    for name in GROWING:
        if name in adapters:
            app, valid = adapters[name].build(), adapters[name].valid()
            for count in COUNTS:
                asked = replace(valid, cookies=_crowd(count, valid.cookies))
                made[crowded(name, count)] = asking(app, asked)
    return made
