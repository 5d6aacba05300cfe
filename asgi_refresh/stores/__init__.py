"""Stores that keep sessions somewhere else than in this process."""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, Any, cast

from asgi_refresh.errors import ConfigurationError
from asgi_refresh.store import MemoryStore, Store

from .sqlite import SQLiteStore

if TYPE_CHECKING:
    from .redis import RedisStore
    from .sqlalchemy import SQLAlchemyStore

__all__ = ["RedisStore", "SQLAlchemyStore", "SQLiteStore", "open_store"]

_EXTRAS = {"RedisStore": "redis", "SQLAlchemyStore": "sqlalchemy"}
_REDIS = {"redis", "rediss", "unix", "valkey", "valkeys"}
_DRIVERS = {
    "postgresql": "postgresql+asyncpg or postgresql+psycopg",
    "mysql": "mysql+asyncmy",
    "mariadb": "mariadb+asyncmy",
}


def __getattr__(name: str) -> Any:
    """Import a store that needs an extra only where it is asked for."""
    if name not in _EXTRAS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    extra = _EXTRAS[name]
    try:
        return getattr(importlib.import_module(f".{extra}", __name__), name)
    except ModuleNotFoundError as error:
        raise ImportError(f"{name} needs: pip install 'asgi-refresh[{extra}]'") from error


def open_store(url: str, *, prefix: str | None = None, shards: int | None = None) -> Store:
    """
    Return the store that *url* names; nothing is connected yet.

    Args:
        url: `memory:`; `sqlite:///sessions.db`, with a fourth slash for an absolute path;
            `redis://`, `rediss://` or `unix://` as redis-py reads them, with `valkey` for `redis`
            or with `+cluster` before the colon; or an SQLAlchemy URL with an asyncio driver, such
            as `postgresql+asyncpg://`.
        prefix: Of a Redis or SQL store; None: its default.
        shards: Of a Redis store; None: its default.

    Raises:
        ConfigurationError: It names none, or what it needs is not installed.
    """
    given = {"prefix": prefix, "shards": shards}
    options = {name: value for name, value in given.items() if value is not None}
    scheme, _, rest = url.partition(":")
    base, _, kind = scheme.partition("+")
    if options and scheme in ("memory", "sqlite"):
        raise ConfigurationError("this store has neither prefix nor shards")
    if scheme == "memory":
        return MemoryStore()
    if scheme == "sqlite":
        path = rest.removeprefix("///")
        if path in ("", rest) or "?" in path:
            raise ConfigurationError("a path follows sqlite:///, as in sqlite:///sessions.db")
        return SQLiteStore(path)
    try:
        if base in _REDIS and kind in ("", "cluster"):
            return cast("Store", __getattr__("RedisStore")(url, **options))
        if kind or base in _DRIVERS:
            return _open_sql(url, base, kind, options)
    except Exception as error:  # ImportError, ValueError, or SQLAlchemy's of its own
        raise ConfigurationError(f"cannot open this store: {error}") from error
    raise ConfigurationError(f"no store has the scheme {scheme!r}")


def _open_sql(url: str, base: str, kind: str, options: dict[str, Any]) -> Store:
    store = __getattr__("SQLAlchemyStore")
    if not kind:
        raise ValueError(f"name the asyncio driver: {_DRIVERS[base]}")
    return cast("Store", store(url, **options))


async def close_store(store: Store) -> None:
    """Close what *store* has open, files or connections; one that has nothing is left alone."""
    close: Any = getattr(store, "close", None)
    closed = close() if close is not None else None
    if inspect.isawaitable(closed):
        await closed
