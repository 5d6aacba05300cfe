"""
The processes: uvicorn, and in front of it nginx, Apache, Varnish or Squid from Debian.

Each cache is set up as greedily as its manual allows without ignoring what a response says, except
where its name says otherwise. Everything lives in a temporary folder and listens on loopback.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.processes import folder, free_port, running

from .app import VARIABLE

_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
INSTALL = "apt-get install --no-install-recommends nginx-light apache2 varnish squid"


class Missing(Exception):  # noqa: N818 - nothing went wrong, something is not there
    """A cache is not installed; the text says how to."""


@dataclass(frozen=True)
class Place:
    """Where a cache runs: its folder, its port, the port of the application."""

    folder: Path
    port: int
    origin: int


@dataclass(frozen=True)
class Kind:
    """
    A cache in one configuration.

    Attributes:
        name: Of the configuration.
        binary: What has to be installed.
        start: Writes the configuration, and returns the command that runs it in the foreground.
        limit: Why a leak is the operator's wish; empty: a leak is a leak.
        alone: Why nothing leaks in the control run either; empty: something must.
    """

    name: str
    binary: str
    start: Callable[[str, Place], list[str]]
    limit: str = ""
    alone: str = ""

    @property
    def path(self) -> str | None:
        return shutil.which(self.binary, path=f"{os.environ.get('PATH', '')}:{_SBIN}")

    def version(self) -> str:
        """Return the first line of what the binary says of itself."""
        flag = {"varnishd": "-V"}.get(self.binary, "-v")
        done = subprocess.run(
            [self._found(), flag], capture_output=True, text=True, check=False, timeout=30
        )
        return (done.stdout + done.stderr).strip().partition("\n")[0]

    def _found(self) -> str:
        if self.path is None:
            raise Missing(f"{self.binary} is not installed; on Debian: {INSTALL}")
        return self.path

    @contextlib.contextmanager
    def running(self, origin: int) -> Iterator[int]:
        """Run it in front of *origin*, and yield its port."""
        binary = self._found()
        with folder("caches-") as path:
            place = Place(path, free_port(), origin)
            with running(self.start(binary, place), path / "output", place.port):
                yield place.port


@contextlib.contextmanager
def application(mode: str) -> Iterator[int]:
    """Run the application in uvicorn, with what the library says to caches or without."""
    with folder("caches-") as path:
        port = free_port()
        command = f"-m uvicorn tests.caches.app:create --factory --host 127.0.0.1 --port {port}"
        quiet = "--log-level warning --no-access-log --lifespan off"
        arguments = [sys.executable, *command.split(), *quiet.split()]
        with running(arguments, path / "output", port, {VARIABLE: mode}):
            yield port


def _user(*names: str) -> str | None:
    """Return the first user of *names* that there is, for a server that was started by root."""
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in names if name in known), None) if os.geteuid() == 0 else None


# --- nginx ---------------------------------------------------------------------------------------

_NGINX = """
daemon off;
{user}
worker_processes 1;
pid {folder}/pid;
error_log {folder}/output warn;
events {{ worker_connections 256; }}
http {{
  access_log off;
  keepalive_requests 1000000;
  client_body_temp_path {folder}/store/body;
  proxy_temp_path {folder}/store/proxy;
  fastcgi_temp_path {folder}/store/fastcgi;
  uwsgi_temp_path {folder}/store/uwsgi;
  scgi_temp_path {folder}/store/scgi;
  proxy_cache_path {folder}/store/cache keys_zone=pages:8m;
  proxy_cache pages;
  proxy_cache_key "$host$request_uri $http_range";
  proxy_cache_methods GET HEAD;
  proxy_cache_lock on;
  proxy_cache_revalidate on;
  proxy_cache_use_stale error timeout updating http_500;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host $host;
  proxy_set_header Range $http_range;
  {ignore}
  upstream app {{ server 127.0.0.1:{origin}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://app; proxy_cache_valid any 1m; }}
    location ~ /304$ {{ proxy_pass http://app; proxy_cache_valid any 1s; }}
  }}
}}
"""


def _nginx(ignore: str) -> Callable[[str, Place], list[str]]:
    def start(binary: str, place: Place) -> list[str]:
        user = "user root;" if os.geteuid() == 0 else ""
        text = _NGINX.format(
            folder=place.folder,
            port=place.port,
            origin=place.origin,
            user=user,
            ignore=f"proxy_ignore_headers {ignore};" if ignore else "",
        )
        (place.folder / "conf").write_text(text)
        return [binary, "-p", str(place.folder), "-e", "stderr", "-c", f"{place.folder}/conf"]

    return start


# --- Apache --------------------------------------------------------------------------------------

_MODULES = ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib/httpd/modules")
_LOADED = ("mpm_event", "authz_core", "unixd", "proxy", "proxy_http", "cache", "cache_disk")
_APACHE = """
ServerName app.example
ServerRoot {folder}
PidFile {folder}/store/pid
DefaultRuntimeDir {folder}/store
ErrorLog {folder}/output
Mutex pthread
Listen 127.0.0.1:{port}
StartServers 1
ServerLimit 1
ThreadsPerChild 16
MaxRequestWorkers 16
MaxKeepAliveRequests 0
KeepAliveTimeout 60
{user}
CacheRoot {folder}/store
CacheEnable disk /
CacheDefaultExpire 60
CacheIgnoreNoLastMod On
CacheIgnoreCacheControl On
CacheStoreExpired On
CacheStaleOnError On
CacheLock On
CacheLockPath {folder}/store/lock
ProxyPass / http://127.0.0.1:{origin}/
ProxyPreserveHost On
"""


def _apache(binary: str, place: Place) -> list[str]:
    modules = next((Path(name) for name in _MODULES if Path(name).is_dir()), Path(_MODULES[0]))
    load = "".join(
        # Debian has some of them built in.
        f"<IfModule !{name}_module>\n"
        f"LoadModule {name}_module {modules}/mod_{name}.so\n"
        "</IfModule>\n"
        for name in _LOADED
    )
    user = _user("www-data", "apache", "nobody")
    group = "" if user is None else f"User {user}\nGroup #{pwd.getpwnam(user).pw_gid}"
    text = _APACHE.format(folder=place.folder, port=place.port, origin=place.origin, user=group)
    (place.folder / "conf").write_text(load + text)
    return [binary, "-DFOREGROUND", "-f", f"{place.folder}/conf"]


# --- Varnish -------------------------------------------------------------------------------------

_VCL = """
vcl 4.1;
import std;
backend default {{ .host = "127.0.0.1"; .port = "{origin}"; }}
"""
# What is found in many a site: look a page up whatever cookies there are, keep what may be kept.
_GREEDY = """
sub vcl_recv {
  if (req.method == "GET" || req.method == "HEAD") { return (hash); }
}
sub vcl_backend_response {
  if (beresp.http.CDN-Cache-Control ~ "max-age=") {
    set beresp.ttl = std.duration(
      regsub(beresp.http.CDN-Cache-Control, ".*max-age=([0-9]+).*", "\\1s"), 0s);
    return (deliver);
  }
  if (beresp.http.Surrogate-Control ~ "max-age=") {
    set beresp.ttl = std.duration(
      regsub(beresp.http.Surrogate-Control, ".*max-age=([0-9]+).*", "\\1s"), 0s);
    return (deliver);
  }
  if (beresp.http.Vary == "*" || beresp.http.Cache-Control ~ "(?i)private|no-store|no-cache(?!=)") {
    set beresp.uncacheable = true;
    set beresp.ttl = 1s;
  }
  return (deliver);
}
"""


def _varnish(more: str) -> Callable[[str, Place], list[str]]:
    def start(binary: str, place: Place) -> list[str]:
        vcl = place.folder / "conf.vcl"
        vcl.write_text(_VCL.format(origin=place.origin) + more)
        where = ["-a", f"127.0.0.1:{place.port}", "-n", f"{place.folder}/store", "-f", str(vcl)]
        options = ["default_ttl=60", "default_grace=0", "default_keep=60", "thread_pool_min=8"]
        parameters = [word for option in options for word in ("-p", option)]
        return [binary, "-F", "-j", "none", "-T", "none", "-s", "malloc,32m", *where, *parameters]

    return start


# --- Squid ---------------------------------------------------------------------------------------

_SQUID = """
http_port 127.0.0.1:{port} accel defaultsite=app.example no-vhost
cache_peer 127.0.0.1 parent {origin} 0 no-query no-digest originserver login=PASSTHRU
visible_hostname app.example
httpd_accel_surrogate_id app.example
{user}
http_access allow all
never_direct allow all
cache_mem 32 MB
maximum_object_size_in_memory 64 KB
refresh_pattern . 1 100% 1440 reload-into-ims
{more}
collapsed_forwarding on
client_persistent_connections on
cache_log {folder}/store/log
access_log none
cache_store_log none
pid_filename none
netdb_filename none
coredump_dir {folder}/store
pinger_enable off
max_filedescriptors 1024
dns_nameservers 127.0.0.1
shutdown_lifetime 0 seconds
"""


def _squid(more: str) -> Callable[[str, Place], list[str]]:
    def start(binary: str, place: Place) -> list[str]:
        user = _user("proxy", "squid", "nobody")
        text = _SQUID.format(
            folder=place.folder,
            port=place.port,
            origin=place.origin,
            user="" if user is None else f"cache_effective_user {user}",
            more=more,
        )
        (place.folder / "conf").write_text(text)
        return [binary, "-N", "-f", f"{place.folder}/conf"]

    return start


# -------------------------------------------------------------------------------------------------

_IGNORES = "this operator has nginx ignore Cache-Control"
_NEGATIVE = "negative_ttl violates HTTP, as Squid's manual warns: errors are kept whatever they say"
_PASSES = "Varnish's own VCL stores nothing that has to do with a cookie"
_APACHE_BINARY = "apache2" if shutil.which("apache2", path=_SBIN) else "httpd"
CACHES = {
    "nginx": [
        Kind("nginx", "nginx", _nginx("")),
        Kind("nginx, Set-Cookie ignored", "nginx", _nginx("Set-Cookie")),
        Kind(
            "nginx, Cache-Control ignored too",
            "nginx",
            _nginx("Set-Cookie Cache-Control Expires X-Accel-Expires"),
            limit=_IGNORES,
        ),
    ],
    "apache": [Kind("apache", _APACHE_BINARY, _apache)],
    "varnish": [
        Kind("varnish", "varnishd", _varnish(""), alone=_PASSES),
        Kind("varnish, greedy VCL", "varnishd", _varnish(_GREEDY)),
    ],
    "squid": [
        Kind("squid", "squid", _squid("")),
        Kind("squid, negative_ttl", "squid", _squid("negative_ttl 60 seconds"), limit=_NEGATIVE),
    ],
}
