"""Which store a URL opens, and what is said of one that opens none."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from redis.asyncio import RedisCluster

from asgi_refresh import MemoryStore, SQLiteStore, stores
from asgi_refresh.errors import ConfigurationError
from asgi_refresh.stores import RedisStore, SQLAlchemyStore, open_store

SECRET = "hunter2"


def test_memory_opens_a_new_store_each_time() -> None:
    one, two = open_store("memory:"), open_store("memory:")

    assert type(one) is MemoryStore
    assert one is not two


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///sessions.db", "sessions.db"),
        ("sqlite:////var/lib/app/s.db", "/var/lib/app/s.db"),
        ("sqlite:///:memory:", ":memory:"),
        ("sqlite:///a folder/s.db", "a folder/s.db"),
    ],
)
def test_sqlite_opens_a_file(url: str, path: str) -> None:
    store = open_store(url)

    assert repr(store) == f"<SQLiteStore {path!r}>"
    assert isinstance(store, SQLiteStore)


@pytest.mark.parametrize(
    ("url", "connection"),
    [
        ("redis://10.1.2.3:7000/2", {"host": "10.1.2.3", "port": 7000, "db": 2}),
        ("valkey://10.1.2.3:7000/2", {"host": "10.1.2.3", "port": 7000, "db": 2}),
        ("rediss://10.1.2.3", {"host": "10.1.2.3"}),
        ("valkeys://10.1.2.3", {"host": "10.1.2.3"}),
        ("unix:///run/redis.sock", {"path": "/run/redis.sock"}),
        ("redis://user:hunter2@h", {"host": "h", "username": "user", "password": SECRET}),
    ],
)
def test_redis_and_valkey_open_a_client_with_a_pool_that_waits(
    url: str, connection: dict[str, Any]
) -> None:
    store: Any = open_store(url)
    pool = store._client.connection_pool

    assert type(store) is RedisStore
    assert type(pool).__name__ == "BlockingConnectionPool"
    assert pool.connection_kwargs.items() >= connection.items()
    secure = url.partition(":")[0] in ("rediss", "valkeys")
    assert pool.connection_class.__name__.startswith("SSL") is secure


@pytest.mark.parametrize("scheme", ["redis+cluster", "valkey+cluster"])
def test_a_cluster_opens_a_client_of_clusters(scheme: str) -> None:
    async def main() -> None:
        store: Any = open_store(f"{scheme}://10.1.2.3:7000")
        assert type(store._client) is RedisCluster
        assert [(n.host, n.port) for n in store._client.nodes_manager.startup_nodes.values()] == [
            ("10.1.2.3", 7000)
        ]
        await store._client.aclose()

    anyio.run(main)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            "postgresql+asyncpg://u:hunter2@h/db",
            "<SQLAlchemyStore postgresql, asgi_refresh_sessions>",
        ),
        (
            "postgresql+psycopg://u:hunter2@h/db",
            "<SQLAlchemyStore postgresql, asgi_refresh_sessions>",
        ),
        ("mysql+asyncmy://u:hunter2@h/db", "<SQLAlchemyStore mysql, asgi_refresh_sessions>"),
        ("mariadb+asyncmy://u:hunter2@h/db", "<SQLAlchemyStore mariadb, asgi_refresh_sessions>"),
        ("sqlite+aiosqlite:///x.db", "<SQLAlchemyStore sqlite, asgi_refresh_sessions>"),
    ],
)
def test_a_url_of_sqlalchemy_opens_an_engine(url: str, shown: str) -> None:
    store = open_store(url)

    assert type(store) is SQLAlchemyStore
    assert repr(store) == shown


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "no store has the scheme ''"),
        ("sessions.db", "no store has the scheme 'sessions.db'"),
        ("mongodb://u:hunter2@h", "no store has the scheme 'mongodb'"),
        ("Redis://h", "no store has the scheme 'Redis'"),
        ("sqlite:", "a path follows sqlite:///"),
        ("sqlite://", "a path follows sqlite:///"),
        ("sqlite:///", "a path follows sqlite:///"),
        ("sqlite:sessions.db", "a path follows sqlite:///"),
        ("sqlite://sessions.db", "a path follows sqlite:///"),
        ("postgresql://u:hunter2@h/db", "postgresql+asyncpg or postgresql+psycopg"),
        ("mysql://u:hunter2@h/db", "name the asyncio driver: mysql+asyncmy"),
        ("mariadb://u:hunter2@h/db", "name the asyncio driver: mariadb+asyncmy"),
        ("postgresql+nosuch://u:hunter2@h/db", "cannot open this store"),
        ("nosuch+driver://u:hunter2@h/db", "cannot open this store"),
        ("postgresql+asyncpg://u:hunter2@h:port/db", "cannot open this store"),
        ("sqlite+pysqlite:///x.db", "cannot open this store"),
        ("redis://u:hunter2@h:port", "cannot open this store"),
        ("redis+cluster://u:hunter2@h:port", "cannot open this store"),
        ("redis+sentinel://u:hunter2@h", "cannot open this store"),
    ],
)
def test_a_url_that_names_no_store_is_refused_without_telling_the_password(
    url: str, said: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_store(url)

    assert said in str(caught.value)
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)


@pytest.mark.parametrize(
    ("url", "package", "said"),
    [
        ("redis://h", "redis", "RedisStore needs: pip install 'asgi-refresh[redis]'"),
        ("valkey+cluster://h", "redis", "RedisStore needs: pip install 'asgi-refresh[redis]'"),
        (
            "postgresql+asyncpg://u:hunter2@h/db",
            "sqlalchemy",
            "SQLAlchemyStore needs: pip install 'asgi-refresh[sqlalchemy]'",
        ),
        ("postgresql+asyncpg://u:hunter2@h/db", "asyncpg", "asyncpg"),
    ],
)
def test_a_package_that_is_missing_is_named(
    without: Callable[[str], None], url: str, package: str, said: str
) -> None:
    without(package)
    with pytest.raises(ConfigurationError) as caught:
        open_store(url)

    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", ["RedisStore", "SQLAlchemyStore"])
def test_a_store_whose_package_is_missing_says_so_when_it_is_imported(
    without: Callable[[str], None], name: str
) -> None:
    without("redis")
    without("sqlalchemy")
    with pytest.raises(ImportError, match=rf"{name} needs: pip install 'asgi-refresh\[\w+\]'"):
        getattr(stores, name)


def test_a_store_that_there_is_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'MongoStore'"):
        stores.MongoStore  # noqa: B018


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a package one that is not installed."""

    def remove(package: str) -> None:
        for name in list(sys.modules):
            if name.partition(".")[0] == package:
                monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.setitem(sys.modules, package, None)
        for name in ("redis", "lua", "sqlalchemy", "tables"):
            monkeypatch.delitem(sys.modules, f"asgi_refresh.stores.{name}", raising=False)
            monkeypatch.delattr(stores, name, raising=False)

    return remove
