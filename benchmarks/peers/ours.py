"""asgi_refresh without a store; what a store adds is among the cases."""

from __future__ import annotations

import anyio

from asgi_refresh import Auth, Issuer, RefreshMiddleware
from benchmarks.browser import CLAIMS, NOISE, SECRET, App, Request, bare, quiet


class Adapter:
    """The refresh request has no access cookie: browsers drop it when it ends."""

    def __init__(self) -> None:
        self._issuer = Issuer(SECRET, store=None, on_event=quiet)
        self._tokens = anyio.run(self._issuer.issue, "alice", CLAIMS)

    def build(self) -> App:
        return RefreshMiddleware(bare, self._issuer)

    def bare(self) -> App:
        return bare

    def valid(self) -> Request:
        access = f"__Host-access={self._tokens.access_token}"
        return Request([*NOISE, access, self._refresh_cookie], who=subject)

    def refresh(self) -> Request | None:
        return Request([*NOISE, self._refresh_cookie], set_cookies=1, who=subject)

    def anonymous(self) -> Request:
        return Request(NOISE)

    @property
    def _refresh_cookie(self) -> str:
        return f"__Host-refresh={self._tokens.refresh_token}"


def subject(scope: object) -> object:
    """Return whose request it was."""
    return Auth.of(scope).subject
