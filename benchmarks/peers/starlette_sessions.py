"""Starlette's `SessionMiddleware`: a signed cookie with a timestamp, read by every request."""

from __future__ import annotations

import base64
import json
from typing import Any

import itsdangerous
from starlette.middleware.sessions import SessionMiddleware

from benchmarks.browser import CLAIMS, NOISE, SECRET, App, Request, bare


async def _reads(scope: Any, receive: Any, send: Any) -> None:
    scope["session"].get("subject")
    await bare(scope, receive, send)


async def _writes(scope: Any, receive: Any, send: Any) -> None:
    scope["session"]["seen"] = 1  # any change, and the cookie is signed and sent again
    await bare(scope, receive, send)


async def _either(scope: Any, receive: Any, send: Any) -> None:
    await (_writes if scope["method"] == "POST" else _reads)(scope, receive, send)


class Adapter:
    """Its refresh is a handler that changes the session."""

    def __init__(self) -> None:
        signer = itsdangerous.TimestampSigner(SECRET)
        data = base64.b64encode(json.dumps({"subject": "alice", **CLAIMS}).encode())
        self._cookie = f"session={signer.sign(data).decode()}"

    def build(self) -> App:
        return SessionMiddleware(_either, SECRET)

    def bare(self) -> App:
        return bare

    def valid(self) -> Request:
        return Request([*NOISE, self._cookie], who=_subject)

    def refresh(self) -> Request | None:
        return Request([*NOISE, self._cookie], method="POST", set_cookies=1, who=_subject)

    def anonymous(self) -> Request:
        return Request(NOISE)


def _subject(scope: Any) -> object:
    return scope["session"].get("subject")
