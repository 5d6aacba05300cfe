"""Processes that listen on loopback: started, waited for, and ended by their process group."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def folder(prefix: str) -> Iterator[Path]:
    """Yield a folder for a server's files; `store` in it is for everybody to write to."""
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name:
        path = Path(name)
        path.chmod(0o755)
        (path / "store").mkdir()
        (path / "store").chmod(0o777)  # started by root, they work as somebody else
        yield path


@contextlib.contextmanager
def running(
    command: Sequence[str], output: Path, port: int, environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Run *command* until the block ends, from when it listens on *port*."""
    with output.open("wb") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    try:
        _await_port(process, output, port)
        yield
    finally:
        _stop(process)


def _await_port(process: subprocess.Popen[bytes], output: Path, port: int) -> None:
    for _ in range(600):
        if process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} does not listen: {output.read_text(errors='replace')}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process and its children, which are in a group of their own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(3)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
