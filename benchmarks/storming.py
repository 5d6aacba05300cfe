"""
What the storm meets: an application with a store, and an address that hands out sessions.

They are of two kinds: "calm" ones were signed in just now, those of the "storm" at a time that
makes their access tokens fall due at the same moment, or within a spread after it.
"""

from __future__ import annotations

import json
import random
import time
from typing import Any
from urllib.parse import parse_qs

from asgi_refresh import Config, Issuer, MemoryStore, RefreshMiddleware
from benchmarks.browser import CLAIMS, SECRET, App, Clock, bare, quiet

CONFIG = Config()
DUE_AFTER = (CONFIG.access_lifetime - CONFIG.refresh_before).total_seconds()


def app() -> App:
    """Return the application."""
    store = MemoryStore()
    protected = RefreshMiddleware(bare, Issuer(SECRET, store=store, on_event=quiet))

    async def sessions(scope: Any) -> bytes:
        asked = {name: float(one) for name, (one,) in parse_qs(scope["query_string"]).items()}
        clock = Clock(time.time())
        earlier = Issuer(SECRET, store=store, on_event=quiet, clock=clock)
        given: dict[str, list[tuple[str, str]]] = {"calm": [], "storm": []}
        for kind, count in (("calm", asked[b"calm"]), ("storm", asked[b"storm"])):
            for number in range(int(count)):
                if kind == "storm":
                    due = asked[b"at"] + random.random() * asked[b"spread"]
                    clock.now = due - DUE_AFTER
                issued = await earlier.issue(f"{kind} {number}", CLAIMS)
                given[kind].append((issued.access_token, issued.refresh_token))
        return json.dumps(given).encode()

    async def front(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != "/sessions":
            await protected(scope, receive, send)
            return
        body = await sessions(scope)
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": body})

    return front
