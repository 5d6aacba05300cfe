"""The servers, as their documentation has them started, on loopback."""

from __future__ import annotations

import contextlib
import ssl
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests.processes import folder, free_port, running

from .facts import FACTS
from .site import VARIABLE
from .wire.common import Address

APP = "tests.conformance.serve:app"


@dataclass(frozen=True)
class Start:
    """
    Where a server is to listen.

    Attributes:
        port: TCP.
        quic: UDP, for those that can.
        root_path: What a proxy strips from every path; empty: nothing.
        folder: For the certificate, its key, and the certificate of who issued it.
    """

    port: int
    quic: int
    root_path: str
    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "cert.pem"

    @property
    def key(self) -> Path:
        return self.folder / "key.pem"

    @property
    def authority(self) -> Path:
        return self.folder / "authority.pem"


@dataclass(frozen=True)
class Server:
    """
    A server in one configuration.

    Attributes:
        packages: Whose versions matter.
        http: The version that is spoken.
        arguments: After `python -m`.
        tls: Whether TCP is by TLS.
        drops: Why the headers of `websocket.accept` do not reach the client; empty: they do.
        refuses: Why WebSockets do not come by HTTP/2 though it is offered; empty: they do.
    """

    name: str
    packages: tuple[str, ...]
    http: str
    arguments: Callable[[Start], str]
    tls: bool = False
    drops: str = ""
    refuses: str = ""
    prefix = ""
    facts = FACTS

    @contextlib.contextmanager
    def serving(self, framework: str, root_path: str = "") -> Iterator[tuple[Address, Address]]:
        """Run the application of *framework*; yield where HTTP goes, and where WebSockets go."""
        with folder("conformance-") as path:
            start = Start(free_port(), free_port(), root_path, path)
            tls = certify(start) if self.tls else None
            tcp = Address(start.port, tls, trusted=start.authority)
            web = replace(tcp, port=start.quic) if self.http == "3" else tcp
            command = [sys.executable, "-m", *self.arguments(start).split()]
            with running(command, path / "output", start.port, {VARIABLE: framework}):
                yield web, tcp


def certify(start: Start) -> ssl.SSLContext:
    """Write a certificate and its key, and return what trusts them."""
    import trustme  # only where it is asked for

    authority, context = trustme.CA(), ssl.create_default_context()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_pem.write_to_path(str(start.key))
    for number, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(str(start.certificate), append=number > 0)
    authority.configure_trust(context)
    authority.cert_pem.write_to_path(str(start.authority))
    return context


def _uvicorn(options: str) -> Callable[[Start], str]:
    def arguments(start: Start) -> str:
        quiet = "--log-level critical --no-access-log"
        root = f"--root-path {start.root_path}" if start.root_path else ""
        return f"uvicorn {APP} --host 127.0.0.1 --port {start.port} {options} {root} {quiet}"

    return arguments


def _hypercorn(start: Start) -> str:
    root = f"--root-path {start.root_path}" if start.root_path else ""
    return f"hypercorn {APP} --bind 127.0.0.1:{start.port} {root} --log-level critical"


def _hypercorn_tls(start: Start) -> str:
    return f"{_hypercorn(start)} --certfile {start.certificate} --keyfile {start.key}"


def _hypercorn_quic(start: Start) -> str:
    return f"{_hypercorn_tls(start)} --quic-bind 127.0.0.1:{start.quic}"


def _granian(http: str) -> Callable[[Start], str]:
    def arguments(start: Start) -> str:
        where = f"--host 127.0.0.1 --port {start.port} --http {http}"
        root = f"--url-path-prefix {start.root_path}" if start.root_path else ""
        return f"granian {APP} --interface asgi {where} {root} --log-level critical"

    return arguments


def _daphne(start: Start) -> str:
    root = f"--root-path {start.root_path}" if start.root_path else ""
    return f"daphne {APP} -b 127.0.0.1 -p {start.port} {root} -v 0"


_UVICORN = (
    "uvicorn's zttp offers them (RFC 8441, 3), and hands them on as ordinary requests with the"
    " method CONNECT (`uvicorn/protocols/http/zttp_impl.py`)"
)
_GRANIAN = "granian's `WSAccept` takes the subprotocol alone (`src/asgi/io.rs`)"
_DAPHNE = "daphne's `serverAccept` takes the subprotocol alone (`daphne/ws_protocol.py`)"
SERVERS = {
    server.name: server
    for server in (
        Server("uvicorn-h11", ("uvicorn", "h11", "websockets"), "1.1", _uvicorn("--http h11")),
        Server(
            "uvicorn-httptools",
            ("uvicorn", "httptools", "websockets"),
            "1.1",
            _uvicorn("--http httptools --ws websockets-sansio"),
        ),
        Server(
            "uvicorn-http2",
            ("uvicorn", "zttp", "wsproto"),
            "2",
            _uvicorn("--http zttp --http2 --ws wsproto"),
            refuses=_UVICORN,
        ),
        Server("hypercorn-http1", ("hypercorn", "h11", "wsproto"), "1.1", _hypercorn),
        Server("hypercorn-http2", ("hypercorn", "h2", "wsproto"), "2", _hypercorn),
        Server(
            "hypercorn-http3",
            ("hypercorn", "aioquic", "wsproto"),
            "3",
            _hypercorn_quic,
            tls=True,
        ),
        Server("granian-http1", ("granian",), "1.1", _granian("1"), drops=_GRANIAN),
        # `auto` and prior knowledge: WebSockets come by HTTP/1.1 to the same port.
        Server("granian-http2", ("granian",), "2", _granian("auto"), drops=_GRANIAN),
        Server("daphne", ("daphne", "twisted", "autobahn"), "1.1", _daphne, drops=_DAPHNE),
    )
}
# What the clients talk to: by https, in HTTP/2 where they can.
FOR_CLIENTS = Server("hypercorn-tls", ("hypercorn",), "1.1", _hypercorn_tls, tls=True)
FRAMEWORKS = {
    "bare": (),
    "starlette": ("starlette",),
    "fastapi": ("fastapi",),
    "quart": ("quart",),
    "litestar": ("litestar",),
    "django": ("django", "channels"),
    "flask": ("flask", "a2wsgi"),
}
