"""
End to end: a server on one core, wrk on the other, requests over loopback.

Every application has a server process of its own, all started before; each round loads each for a
second, in rotated order. CPU of a request is what the server's threads were on a core for, from
/proc, divided by the requests: steadier than requests per second on a machine with other work.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import peers
from benchmarks.browser import BROWSER, Request
from benchmarks.report import table
from benchmarks.results import Result
from benchmarks.serving import PEER, WITHOUT

SERVER_CORE, CLIENT_CORE = "0", "1"
UVICORN = ["uvicorn", "--factory", "--http", "httptools", "--loop", "uvloop", "--no-access-log"]
UVICORN += ["--log-level", "error", "--port"]
GRANIAN = ["granian", "--factory", "--interface", "asgi", "--workers", "1", "--loop", "uvloop"]
GRANIAN += ["--no-access-log", "--log-level", "error", "--port"]
SERVERS = {"uvicorn": UVICORN, "granian": GRANIAN}
REFRESHING = ("asgi_refresh", "AuthX middleware", "AuthX as documented")
WITHOUT_ANY = {
    "no-op ASGI: without": "bare application",
    "AuthX as documented: without": "FastAPI",
    "Litestar JWTCookieAuth: without": "Litestar",
}
"""The applications without a peer, by whose they are, and what they are called in a table."""

SERVED = [
    *((label.removesuffix(": without"), "without") for label in WITHOUT_ANY),
    *((name, "valid") for name in peers.MODULES),
    ("asgi_refresh", "anonymous"),
    *((name, "refresh") for name in REFRESHING),
]
FEW = [("no-op ASGI", "without"), ("no-op ASGI", "valid"), ("asgi_refresh", "valid")]


@dataclass
class Served:
    """
    One application under load, and what was measured of it.

    Attributes:
        label: The server, the peer, and which request.
        port: Where it listens.
        pid: Of the server, which may have children.
        request: What is asked.
    """

    label: str
    port: int
    pid: int
    request: Request
    cpu: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)

    def check(self) -> None:
        """Ask once, and look at the answer."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as client:
            client.putrequest("GET", "/dashboard", skip_host=True, skip_accept_encoding=True)
            for name, value in headers(self.request):
                client.putheader(name, value)
            client.endheaders()
            answer = client.getresponse()
            answer.read()
        cookies = [(b"set-cookie", b"") for _ in answer.headers.get_all("set-cookie", [])]
        start = {"type": "http.response.start", "status": answer.status, "headers": cookies}
        Request(status=self.request.status, set_cookies=self.request.set_cookies).check({}, [start])

    def load(self, seconds: int) -> None:
        """Load it."""
        command = ["taskset", "-c", CLIENT_CORE, "wrk", "-t1", "-c16", f"-d{seconds}s"]
        for name, value in headers(self.request):
            command += ["-H", f"{name}: {value}"]
        lua = str(Path(__file__).with_name("wrk.lua"))
        url = f"http://127.0.0.1:{self.port}/dashboard"
        worked = cpu_seconds(self.pid)
        done = subprocess.run(
            [*command, "-s", lua, url], capture_output=True, text=True, check=True
        )
        worked = cpu_seconds(self.pid) - worked
        found = json.loads(done.stdout.splitlines()[-1])
        assert found["bad"] == 0, f"{self.label}: {found}"
        self.cpu.append(worked / found["requests"] * 1e6)
        self.rate.append(found["requests"] / found["seconds"])
        self.p99.append(found["p99"])

    def forget(self) -> None:
        """Drop what was measured."""
        for values in (self.cpu, self.rate, self.p99):
            values.clear()


def headers(request: Request) -> Iterator[tuple[str, str]]:
    """Yield the header lines of *request*."""
    for name, value in [*BROWSER, *request.headers, (b"cookie", request.cookie())]:
        if value:
            yield name.decode(), value.decode()


def cpu_seconds(pid: int) -> float:
    """Return for how long the threads of process *pid* and of its children were on a core."""
    total = 0.0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0]) / 1e9
        for child in (task / "children").read_text().split():
            total += cpu_seconds(int(child))
    return total


def main(options: Namespace) -> Result:
    """Measure every peer behind every server."""
    rounds = options.rounds or (1 if options.quick else 9)
    result = Result("server")
    for server in SERVERS:
        result.add(measure(server, FEW if options.quick else SERVED, rounds))
    return result


def cpu(*, quick: bool) -> Result:
    """Measure what the goals need."""
    return measure("uvicorn", FEW, 1 if quick else 15)


def measure(server: str, served: Sequence[tuple[str, str]], rounds: int) -> Result:
    """Load each of *served*, a peer and a verb, behind *server*."""
    result = Result("server")
    for tool in ("wrk", "taskset"):
        if shutil.which(tool) is None:
            result.left_out[server] = f"{tool} is not installed"
            return result
    if (os.cpu_count() or 1) < 2:
        result.left_out[server] = "there is no second core for wrk"
        return result
    adapters, left_out = peers.load({name: None for name, _ in served})
    result.left_out |= {f"{server}, {name}": why for name, why in left_out.items()}
    with ExitStack() as stack:
        sites = [
            stack.enter_context(serve(server, name, verb, adapters[name]))
            for name, verb in served
            if name in adapters
        ]
        for site in sites:
            site.check()
            site.load(1)
            site.forget()  # that was to warm up
        for number in range(rounds):
            turn = number % len(sites)
            for site in sites[turn:] + sites[:turn]:
                site.load(1)
    for site in sites:
        result.figures[f"{server} CPU, {site.label}"] = round(min(site.cpu), 2)
        result.medians[f"{server} CPU, {site.label}"] = round(statistics.median(site.cpu), 2)
        result.figures[f"{server} requests/s, {site.label}"] = round(max(site.rate))
        result.figures[f"{server} p99, {site.label}"] = min(site.p99)
    return result


@contextmanager
def serve(server: str, name: str, verb: str, adapter: peers.Adapter) -> Iterator[Served]:
    """Run *server* with the application of a peer on a free port, and end it."""
    port = free_port()
    asked = adapter.valid() if verb == "without" else getattr(adapter, verb)()
    environment = {**os.environ, PEER: name}
    if verb == "without":
        environment[WITHOUT] = "yes"
        asked = Request(asked.cookies)
    command = ["taskset", "-c", SERVER_CORE, sys.executable, "-m", *SERVERS[server], str(port)]
    process = subprocess.Popen([*command, "benchmarks.serving:app"], env=environment)
    try:
        wait_for(port, process)
        yield Served(f"{name}: {verb}", port, process.pid, asked)
    finally:
        end(process)


def free_port() -> int:
    """Return a port of this machine that nothing listens at."""
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port: int = probe.getsockname()[1]
        return port


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """
    Wait until *process* listens.

    Raises:
        RuntimeError: It never did.
    """
    for _ in range(600):
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"the server did not start: {process.args}")


def end(process: subprocess.Popen[bytes]) -> None:
    """End *process*, and do not wait long for connections that somebody left open."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def show(result: Result) -> str:
    """Return a table for each server."""
    parts = []
    for server in SERVERS:
        prefix, rows = f"{server} CPU, ", []
        noop = result.figures.get(f"{prefix}no-op ASGI: valid")
        for figure, value in result.figures.items():
            if noop is None or not figure.startswith(prefix):
                continue
            label = figure.removeprefix(prefix)
            rate = result.figures[f"{server} requests/s, {label}"]
            p99 = result.figures[f"{server} p99, {label}"]
            over = f"{value - noop:+.1f} ({value / noop - 1:+.1%})"
            rows.append(
                [
                    WITHOUT_ANY.get(label, label),
                    f"{value:.1f}",
                    over,
                    f"{rate:.0f}",
                    f"{p99 / 1000:.1f}",
                ]
            )
        if rows:
            head = [server, "CPU µs of a request", "over no-op", "requests/s, most", "p99, ms"]
            parts.append(table(head, rows))
    return "\n".join(parts)
