"""
Starts the demo on a free port of this machine, until Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from .app import PASSWORD, Demo
from .stores import REDIS, Stores

HOST = "127.0.0.1"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the demo and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m asgi_refresh.demo", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="default: one that is free")
    parser.add_argument("--redis", metavar="URL", default=REDIS, help=f"default: {REDIS}")
    given = parser.parse_args(arguments)
    port, redis = given.port, given.redis
    uvicorn = _import_uvicorn()
    if uvicorn is None:
        print("The demo needs uvicorn: pip install 'asgi-refresh[demo]'", file=sys.stderr)
        return 1
    try:
        listener = _listen(port)
    except (OSError, OverflowError) as error:
        parser.error(f"cannot listen on {HOST}, port {port}: {error}")
    # A polite kill ends it as Ctrl-C does: with the temporary files removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with listener, contextlib.suppress(KeyboardInterrupt):
        _serve(uvicorn, listener, redis)
    print("\nThe demo has ended; its sessions are gone.")
    return 0


def _serve(uvicorn: ModuleType, listener: socket.socket, redis: str) -> None:
    with tempfile.TemporaryDirectory(prefix="asgi_refresh-demo-") as directory:
        app = Demo(Stores(Path(directory), redis=redis))
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
        print(f"The demo: http://{HOST}:{listener.getsockname()[1]}/", flush=True)
        print(f"Any name, the password is {PASSWORD!r}; Ctrl-C ends it.", flush=True)
        uvicorn.Server(config).run(sockets=[listener])


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(128)  # before the address is printed: whoever reads it can connect
    except BaseException:
        listener.close()
        raise
    return listener


def _import_uvicorn() -> ModuleType | None:
    try:
        import uvicorn  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        return None
    return uvicorn


if __name__ == "__main__":
    sys.exit(main())
