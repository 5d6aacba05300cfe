"""nginx in front of a server: as it is, with a path prefix, and with auth_request."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.processes import folder, free_port, running

from .facts import BEHIND_AUTH_REQUEST, FACTS, Fact
from .servers import SERVERS, Server
from .wire.common import Address

_PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin"
PREFIX = "/app"
_CONFIG = """
daemon off;
{user}
worker_processes 1;
pid {folder}/pid;
error_log {folder}/output crit;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/store/body;
  proxy_temp_path {folder}/store/proxy;
  fastcgi_temp_path {folder}/store/fastcgi;
  uwsgi_temp_path {folder}/store/uwsgi;
  scgi_temp_path {folder}/store/scgi;
  server {{
    listen 127.0.0.1:{port};
    {locations}
  }}
}}
"""
# What nginx's documentation asks for; with its defaults no handshake gets through.
_WEBSOCKETS = """
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection upgrade;
      proxy_set_header Host $http_host;
"""
_DEFAULTS = """
    location / {{ proxy_pass http://127.0.0.1:{origin}; }}
    location /ws {{
      proxy_pass http://127.0.0.1:{origin};
      {websockets}
    }}
"""
# uvicorn puts the prefix back in front of the path. The others leave it as it comes, and by ASGI it
# contains `root_path`: Quart finds nothing else.
_STRIPPED = """
    location {prefix}/ {{ proxy_pass http://127.0.0.1:{origin}/; }}
    location {prefix}/ws {{
      proxy_pass http://127.0.0.1:{origin}/ws;
      {websockets}
    }}
"""
_KEPT = """
    location {prefix}/ {{ proxy_pass http://127.0.0.1:{origin}; }}
    location {prefix}/ws {{
      proxy_pass http://127.0.0.1:{origin};
      {websockets}
    }}
"""
# `/files/` is nginx's own: the refresh of the question reaches the browser by the last line.
_AUTH_REQUEST = """
    location / {{ proxy_pass http://127.0.0.1:{origin}; }}
    location ~ ^/(me|stream)$ {{
      auth_request /session;
      proxy_pass http://127.0.0.1:{origin};
    }}
    location /ws {{
      auth_request /session;
      proxy_pass http://127.0.0.1:{origin};
      {websockets}
    }}
    location = /session {{
      internal;
      proxy_pass http://127.0.0.1:{origin};
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_set_header Host $http_host;
    }}
    location /files/ {{
      auth_request /session;
      auth_request_set $session_cookie $upstream_http_set_cookie;
      add_header Set-Cookie $session_cookie;
      alias {folder}/store/;
    }}
"""


@dataclass(frozen=True)
class Proxied:
    """
    A server with nginx in front; to the driver, a server like any other.

    Attributes:
        locations: What is special.
        prefix: Of every path that a client asks for.
    """

    name: str
    server: Server
    locations: str
    prefix: str = ""
    facts: Mapping[str, Fact] = field(default_factory=lambda: FACTS)
    http = "1.1"
    refuses = ""

    @property
    def drops(self) -> str:
        return self.server.drops

    @property
    def packages(self) -> tuple[str, ...]:
        return self.server.packages

    @contextlib.contextmanager
    def serving(self, framework: str) -> Iterator[tuple[Address, Address]]:
        """Run both; yield nginx's address, twice."""
        binary = nginx()
        assert binary is not None
        with (
            self.server.serving(framework, self.prefix) as (origin, _),
            folder("conformance-nginx-") as path,
        ):
            port = free_port()
            (path / "store" / "page.txt").write_text("hello")
            (path / "conf").write_text(self._config(path, port, origin.port))
            command = [binary, "-p", str(path), "-e", "stderr", "-c", f"{path}/conf"]
            with running(command, path / "output", port):
                yield Address(port), Address(port)

    def _config(self, path: Path, port: int, origin: int) -> str:
        locations = self.locations.format(
            origin=origin, websockets=_WEBSOCKETS.strip(), prefix=self.prefix, folder=path
        )
        user = "user root;" if os.geteuid() == 0 else ""
        return _CONFIG.format(folder=path, port=port, user=user, locations=locations.strip())


def nginx() -> str | None:
    """Return where nginx is installed, if it is."""
    return shutil.which("nginx", path=_PATH)


def version() -> str:
    """Return what nginx says of itself: `nginx/1.22.1`."""
    binary = nginx()
    assert binary is not None
    done = subprocess.run([binary, "-v"], capture_output=True, text=True, check=True, timeout=30)
    return done.stderr.strip().partition(": ")[2]


_UVICORN, *_OTHERS = (
    SERVERS[n] for n in ("uvicorn-h11", "hypercorn-http1", "granian-http1", "daphne")
)
PROXIED = {
    row.name: row
    for row in (
        Proxied("nginx-defaults", _UVICORN, _DEFAULTS),
        Proxied("nginx-auth-request", _UVICORN, _AUTH_REQUEST, facts=BEHIND_AUTH_REQUEST),
        Proxied("nginx-prefix-uvicorn", _UVICORN, _STRIPPED, PREFIX),
        *(
            Proxied(f"nginx-prefix-{server.name.partition('-')[0]}", server, _KEPT, PREFIX)
            for server in _OTHERS
        ),
    )
}
