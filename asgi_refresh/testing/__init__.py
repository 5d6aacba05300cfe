"""
For tests: of an application that keeps its users signed in, and of a store.

    def test_a_user_stays_signed_in():
        browser = Browser(app)
        sign_in(browser, "alice", role="admin")
        expire_access(browser)
        assert browser.get("/me").json() == {"hello": "alice"}

Installed with pytest, there is a fixture `refresh_events`.
"""

from __future__ import annotations

from .browser import AsyncBrowser, Browser, OpenWebSocket
from .checks import MakeStore, check_store
from .clock import Clock
from .events import Events, capture_events
from .exchanges import AsyncOpenWebSocket, Response, WebSocketClosed
from .signing_in import advance, expire_access, sign_in
from .store_checks import STORE_CHECKS

__all__ = [
    "STORE_CHECKS",
    "AsyncBrowser",
    "AsyncOpenWebSocket",
    "Browser",
    "Clock",
    "Events",
    "MakeStore",
    "OpenWebSocket",
    "Response",
    "WebSocketClosed",
    "advance",
    "capture_events",
    "check_store",
    "expire_access",
    "sign_in",
]
