"""A place of each kind for the stores, on the event loops that it runs on."""

from __future__ import annotations

import gc
import os
import socket
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.stores.servers import redis_binary, running, running_cluster, valkey_binary
from tests.stores.support import (
    BOTH,
    KINDS,
    LOOPS,
    ON_SERVERS,
    REDIS_URL,
    SQL_URLS,
    Place,
    drop_all_tables,
    unique,
)
from tests.support import require

_PORTS = {"redis": 6379, "postgresql": 5432, "mysql": 3306}
_PREFIX = unique("st")  # one set of tables for each worker


@pytest.fixture(autouse=True, scope="module")
def no_litter() -> Iterator[None]:
    """
    Collect the connections that were dropped in the middle of a call, here and quietly.

    A loop that closes at once after that leaves their transports to the garbage collector, which
    would complain in whatever test it runs.
    """
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def _listens(address: tuple[str | None, int]) -> bool:
    try:
        socket.create_connection((address[0] or "127.0.0.1", address[1]), 1).close()
    except OSError:
        return False
    return True


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kinds(*names): the kinds of stores that a test is about")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """
    Run what asks for a `kind` on each of the module's `KINDS`, on the loops that fit it.

    `@kinds(...)` of `support` leaves some of them for one test.
    """
    names = metafunc.fixturenames
    loops = "anyio_backend" in names
    if "kind" not in names:
        if loops:
            only = getattr(metafunc.module, "ONLY_ON", BOTH)
            metafunc.parametrize("anyio_backend", only, indirect=True)
        return
    kinds = getattr(metafunc.module, "KINDS", KINDS)
    marker = metafunc.definition.get_closest_marker("kinds")
    if marker is not None:
        kinds = [kind for kind in marker.args if kind in kinds]
    if not loops:
        metafunc.parametrize("kind", kinds)
        return
    pairs = [(kind, loop) for kind in kinds for loop in LOOPS[kind]]
    ids = ["-".join(pair) for pair in pairs]
    metafunc.parametrize(("kind", "anyio_backend"), pairs, ids=ids, indirect=["anyio_backend"])


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session", autouse=True)
def tables() -> Iterator[None]:
    """Drop in the end what tables the tests made."""
    yield
    drop_all_tables()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Valkey server of our own."""
    binary = valkey_binary()
    require(binary is not None, "there is no valkey-server; VALKEY_SERVER may name it")
    with running(str(binary), tmp_path_factory.mktemp("valkey")) as port:
        yield port


@pytest.fixture(scope="session")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Redis server of our own, which may be flushed."""
    require(redis_binary() is not None, "there is no redis-server")
    with running(str(redis_binary()), tmp_path_factory.mktemp("redis")) as port:
        yield port


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[int]]:
    """The ports of a Redis Cluster of our own."""
    require(redis_binary() is not None, "there is no redis-server")
    with running_cluster(str(redis_binary()), tmp_path_factory.mktemp("cluster")) as ports:
        yield ports


@pytest.fixture
def address(kind: str, request: pytest.FixtureRequest) -> Any:
    """Where a place of this kind is, which must be there."""
    if kind in ("valkey", "cluster"):
        return request.getfixturevalue(kind)
    url = REDIS_URL if kind in ("redis", "redis-16") else SQL_URLS.get(kind)
    if url is not None:
        parts = urlsplit(url)
        where = (parts.hostname, parts.port or _PORTS[parts.scheme.partition("+")[0]])
        require(_listens(where), f"nothing listens at {where}, for {kind}")
    return url


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, if there is such: a disk takes milliseconds for each write."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=shared) as name:
        yield Path(name)


@pytest.fixture
async def place(kind: str, anyio_backend: str, address: Any, folder: Path) -> AsyncIterator[Place]:
    """A place of this kind, empty."""
    place = Place(kind, address, folder, prefix=_PREFIX if kind in ON_SERVERS else "")
    await place.prepare()
    yield place
    await place.aclose()


@pytest.fixture
def store(place: Place) -> Any:
    """A store in it."""
    return place.open()
