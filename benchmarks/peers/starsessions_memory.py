"""starsessions: server-side sessions in a dict of its own, loaded on every request."""

from __future__ import annotations

import time
from typing import Any

import anyio
from starsessions import InMemoryStore, SessionAutoloadMiddleware, SessionMiddleware
from starsessions.serializers import JsonSerializer

from benchmarks.browser import CLAIMS, NOISE, App, Request, bare

ID = "5e55" * 8


async def _reads(scope: Any, receive: Any, send: Any) -> None:
    scope["session"].get("subject")
    await bare(scope, receive, send)


class Adapter:
    """A loaded session is written and sent again with every response: that is its refresh."""

    def __init__(self) -> None:
        self._store = InMemoryStore()
        metadata = {"created": time.time(), "last_access": time.time(), "lifetime": 3600}
        data = {"subject": "alice", **CLAIMS, "__metadata__": metadata}
        anyio.run(self._store.write, ID, JsonSerializer().serialize(data), 3600, 3600)

    def build(self) -> App:
        loaded = SessionAutoloadMiddleware(_reads)
        return SessionMiddleware(loaded, store=self._store, lifetime=3600, rolling=True)

    def bare(self) -> App:
        return bare

    def valid(self) -> Request:
        cookies = [*NOISE, f"session={ID}"]
        return Request(cookies, set_cookies=1, who=lambda scope: scope["session"].get("subject"))

    def refresh(self) -> Request | None:
        return None

    def anonymous(self) -> Request:
        return Request(NOISE)
