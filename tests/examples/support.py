"""What the tests of examples and documents share: loading a file as a user runs it, and servers."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio

from asgi_refresh import Issuer, SQLiteStore

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
SECRET_KEY = secrets.token_urlsafe(32)


def load(path: Path) -> ModuleType:
    """Import the file at *path* under its own name, anew."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # Django looks its URLs up by the module's name
    spec.loader.exec_module(module)
    return module


def close(*values: Any) -> None:
    """Close the SQLite files of every issuer and store among *values*."""
    for value in values:
        store = value
        if type(value) is Issuer and value.rotating is not None:
            store = value.rotating.store._store  # type: ignore[attr-defined]
        if type(store) is SQLiteStore:  # not isinstance(): that wakes lazy objects
            store.close()


def patient(app: Any) -> Any:
    """
    Return *app* with a client that stays until it has its answer.

    Quart and Django listen for the disconnect while the handler runs, and cancel it then.
    """

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        answered = anyio.Event()

        async def patient_receive() -> Any:
            message = await receive()
            if message["type"].endswith(".disconnect"):
                await answered.wait()
            return message

        async def noting_send(message: Any) -> None:
            await send(message)
            body = message["type"] == "http.response.body" and not message.get("more_body", False)
            if body or message["type"] == "websocket.close":
                answered.set()

        await app(scope, patient_receive, noting_send)

    return wrapped


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serve(arguments: list[str], port: int, *, cwd: Path, env: dict[str, str]) -> Iterator[None]:
    """Run uvicorn with *arguments* until the block ends; it is up when the block begins."""
    log = cwd / "uvicorn.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", *arguments],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            deadline = time.monotonic() + 30
            while not _is_open(port):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def environment() -> dict[str, str]:
    """The environment of a user who has this checkout installed and has chosen no secret yet."""
    env = {key: value for key, value in os.environ.items() if key != "SECRET_KEY"}
    env["PYTHONPATH"] = str(ROOT)
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    return env
