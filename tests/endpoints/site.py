"""What the endpoint tests share: an issuer with its bundle in front of an application."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from asgi_refresh import Issuer, RefreshMiddleware, Tokens
from asgi_refresh.endpoints import bundle
from tests.support import Browser, Clock, Response, Spy, make_issuer, whoami

OWN = ("origin", "https://app.example"), ("sec-fetch-site", "same-origin")
FOREIGN = ("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")
JSON = ("content-type", "application/json")
FORM = ("content-type", "application/x-www-form-urlencoded")
ACCESS, REFRESH = "__Host-access", "__Host-refresh"


def form(**fields: str) -> bytes:
    return urlencode(fields).encode()


def bearer(raw: str) -> tuple[str, str]:
    return "authorization", f"Bearer {raw}"


def apart(response: Response) -> tuple[Any, ...]:
    """All that a client can tell two answers apart by."""
    return response.status, sorted(response.headers), response.body


class Site:
    """The bundle in front of `whoami`, and what a user does with it."""

    def __init__(self, clock: Clock, *, stored: bool = True, **kwargs: Any) -> None:
        self.clock, self.spy = clock, Spy()
        self.issuer: Issuer = make_issuer(clock, store=self.spy if stored else None, **kwargs)
        self.app = RefreshMiddleware(whoami, self.issuer, endpoints=bundle(self.issuer))

    def browser(self, tokens: Tokens | None = None, app: Any = None) -> Browser:
        browser = Browser(app or self.app, self.clock)
        if tokens is not None:
            browser.put(ACCESS, tokens.access_token)
            browser.put(REFRESH, tokens.refresh_token)
        return browser

    async def signed_in(self, subject: str = "alice", **kwargs: Any) -> Browser:
        return self.browser(await self.issuer.issue(subject, **kwargs))

    async def post(
        self, path: str, *headers: tuple[str, str], body: bytes = b"", method: str = "POST"
    ) -> Response:
        """A request without cookies."""
        return await self.browser().send(path, method, headers=headers, body=body)

    async def by_form(self, raw: str, grant: str = "refresh_token") -> Response:
        fields = form(grant_type=grant, refresh_token=raw)
        return await self.post("/auth/refresh", FORM, body=fields)

    async def alive(self, subject: str = "alice") -> set[str]:
        return {session.id for session in await self.issuer.sessions(subject)}


async def bad_token(kind: str, site: Site) -> str:
    """A refresh token that is no good, for the reason that *kind* names."""
    issuer, clock = site.issuer, site.clock
    tokens = await issuer.issue("alice")
    if kind == "expired":
        clock.advance(100 * 86400)
    elif kind == "revoked":
        await issuer.revoke(tokens.session_id)
    elif kind == "unknown":
        session = issuer.mint.session("alice", None, persistent=True, device=None)
        return issuer.profile.mint_refresh(session, 1, now=clock()).decode()
    elif kind == "reused":
        newer = tokens
        for _ in range(3):
            clock.advance(3600)
            newer = await issuer.refresh(newer.refresh_token)
    elif kind == "forged":
        return tokens.refresh_token[:-2] + "AA"
    elif kind == "access":
        return tokens.access_token
    elif kind == "garbage":
        return "x"
    return tokens.refresh_token


BAD = ["expired", "revoked", "unknown", "reused", "forged", "access", "garbage"]
