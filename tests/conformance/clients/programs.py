"""Programs: curl, Node with tough-cookie, and Go with its cookiejar."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.processes import folder

from .session import Answers, Ask, Client, Missing, Requests

_HERE = Path(__file__).parent
TOUGH_COOKIE = "tough-cookie@6"


def found(program: str, package: str) -> str:
    """Return where *program* is installed."""
    path = shutil.which(program)
    if path is None:
        raise Missing(f"{program} is not installed; on Debian: apt-get install {package}")
    return path


def first_line(*command: str) -> str:
    """Return the first line of what *command* prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.partition("\n")[0]


@contextmanager
def _curl(origin: str, authority: Path) -> Iterator[Ask]:
    curl = found("curl", "curl")
    with folder("conformance-curl-") as path:
        jar = str(path / "jar")

        def ask(requests: Requests) -> Answers:
            (method,) = {method for method, _ in requests}  # of all at once
            command = [curl, "-s", "-Z", "-b", jar, "-c", jar, "--cacert", str(authority)]
            command += ["-X", method, "-w", "%{http_code} %{filename_effective}\\n"]
            for number, (_, target) in enumerate(requests):
                body = path / f"body-{number}"
                body.unlink(missing_ok=True)
                command += ["-o", str(body), origin + target]
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
            status = {name: int(code) for code, name in map(str.split, done.stdout.splitlines())}
            return [_curled(path / f"body-{number}", status) for number in range(len(requests))]

        yield ask


def _curled(body: Path, status: Mapping[str, int]) -> tuple[int, str]:
    return status[str(body)], body.read_text() if body.exists() else ""


@contextmanager
def _talking(command: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> Iterator[Ask]:
    """Run a program that takes requests as a line of JSON, and answers with one."""
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        reading, writing = process.stdout, process.stdin

        def ask(requests: Requests) -> Answers:
            print(json.dumps(list(requests)), file=writing, flush=True)
            return [(status, body) for status, body in json.loads(reading.readline())]

        try:
            yield ask
        finally:
            writing.close()
            process.wait(20)


@contextmanager
def _node(origin: str, authority: Path) -> Iterator[Ask]:
    node, npm = found("node", "nodejs"), found("npm", "npm")
    with folder("conformance-node-") as path:
        shutil.copy(_HERE / "fetch.mjs", path)
        install = [npm, "install", "--silent", "--no-audit", "--no-fund", TOUGH_COOKIE]
        subprocess.run(install, cwd=path, check=True, timeout=300, stdout=subprocess.DEVNULL)
        trust = {"NODE_EXTRA_CA_CERTS": str(authority)}
        with _talking([node, "fetch.mjs", origin], path, trust) as ask:
            yield ask


@contextmanager
def _go(origin: str, authority: Path) -> Iterator[Ask]:
    go = found("go", "golang-go")
    with folder("conformance-go-") as path:
        shutil.copy(_HERE / "fetch.go", path)
        environment = {"GOCACHE": str(path / "cache"), "GO111MODULE": "off"}
        build = [go, "build", "-o", "fetch", "fetch.go"]
        subprocess.run(build, cwd=path, check=True, timeout=600, env={**os.environ, **environment})
        with _talking(
            [str(path / "fetch"), origin], path, {"SSL_CERT_FILE": str(authority)}
        ) as ask:
            yield ask


PROGRAMS = [
    Client("curl", lambda: first_line(found("curl", "curl"), "--version").split()[1], _curl),
    Client(
        "Node, tough-cookie",
        lambda: f"{first_line(found('node', 'nodejs'), '--version')}, {TOUGH_COOKIE}",
        _node,
    ),
    Client(
        "Go, cookiejar", lambda: first_line(found("go", "golang-go"), "version").split()[2], _go
    ),
]
