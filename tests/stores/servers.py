"""Servers that the tests start themselves, on free ports of this machine, and end by their pid."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

HOST = "127.0.0.1"
_PATIENCE = 20.0


def redis_binary() -> str | None:
    return shutil.which("redis-server")


def valkey_binary() -> str | None:
    return os.environ.get("VALKEY_SERVER") or shutil.which("valkey-server")


@contextmanager
def running(binary: str, folder: Path, *options: str) -> Iterator[int]:
    """Run a Redis or Valkey server that keeps nothing, and give its port."""
    for _ in range(5):  # somebody else may take the port meanwhile
        port, bus = _free_ports(2)
        home = folder / str(port)
        home.mkdir()
        arguments = ["--bind", HOST, "--port", str(port), "--save", "", "--appendonly", "no"]
        if "--cluster-enabled" in options:
            arguments += ["--cluster-port", str(bus)]
        process = subprocess.Popen(
            [binary, *arguments, *options, "--dir", str(home), "--daemonize", "no"],
            stdout=subprocess.DEVNULL,
        )
        try:
            if _answers(process, port):
                yield port
                return
        finally:
            process.terminate()
            process.wait()
    raise RuntimeError(f"{binary} did not start")


@contextmanager
def running_cluster(binary: str, folder: Path) -> Iterator[list[int]]:
    """Run a Redis Cluster of three primaries, and give their ports."""
    with ExitStack() as stack:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "5000")
        ports = [stack.enter_context(running(binary, folder, *options)) for _ in range(3)]
        nodes = [stack.enter_context(closing(Redis(HOST, port))) for port in ports]
        bounds = [0, 5461, 10923, 16384]
        for number, node in enumerate(nodes):
            node.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
            first, last = bounds[number], bounds[number + 1] - 1
            node.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
            bus = node.config_get("cluster-port")["cluster-port"]
            nodes[0].execute_command("CLUSTER MEET", HOST, ports[number], bus)
        _until(lambda: all(_is_whole(node) for node in nodes))
        yield ports


def _is_whole(node: Redis) -> bool:
    info = node.execute_command("CLUSTER INFO")
    return info["cluster_state"] == "ok" and info["cluster_known_nodes"] == "3"


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    def ready() -> bool:
        if process.poll() is not None:
            return True
        try:
            with closing(Redis(HOST, port)) as client:
                return bool(client.ping())
        except RedisConnectionError:
            return False

    _until(ready)
    return process.poll() is None


def _until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE
    while not done():
        if time.monotonic() > end:
            raise TimeoutError("a server of the tests does not come up")
        time.sleep(0.02)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(closing(socket.socket())) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]
