"""A JWKS document on 127.0.0.1, which can be changed, moved, broken and counted."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from asgi_refresh import Issuer, Key, MemoryStore
from tests.support import Clock

SECRET = "the-secret-for-refresh-tokens-stays-as-it-is"
ONE, TWO, THREE = (Key.generate(name, name) for name in ("ES256", "EdDSA", "ES384"))


def jwks(*keys: Key) -> dict[str, Any]:
    return {"keys": [key.public_jwk() for key in keys]}


def issuer(clock: Clock, *ring: Key, **kwargs: Any) -> Issuer:
    return Issuer(
        ring or (ONE,), secret=SECRET, store=MemoryStore(), clock=clock,
        on_event=lambda _event: None, **kwargs,
    )  # fmt: skip


class KeyServer:
    """
    What the server says, and how often it was asked.

    Attributes:
        status, body: The answer; a redirect goes to `/elsewhere`, which has the keys.
        asked: The paths of all requests.
        gate: Cleared, answers wait.
    """

    def __init__(self) -> None:
        self.status, self.body = 200, b""
        self.asked: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.url = ""

    def serve(self, document: Any) -> None:
        self.body = document if isinstance(document, bytes) else json.dumps(document).encode()


@contextmanager
def key_server() -> Iterator[KeyServer]:
    state = KeyServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(self.path)
            state.gate.wait(10)
            status = 200 if self.path == "/elsewhere" else state.status
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("location", "/elsewhere")
            self.send_header("content-length", str(len(state.body)))
            self.end_headers()
            self.wfile.write(state.body)

        def log_message(self, *_args: Any) -> None:
            """Nobody wants to know."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/jwks.json"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield state
    finally:
        state.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()
