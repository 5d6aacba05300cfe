"""
The stores that a soak runs on, each under names of its own so that nothing else is touched.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from asgi_refresh.stores import SQLiteStore, open_store

URLS = {
    "redis": "redis://127.0.0.1:6379",
    "postgresql": "postgresql+asyncpg://postgres@127.0.0.1/test",
    "mariadb": "mysql+asyncmy://root@127.0.0.1/test",
}
_PORTS = {"redis": 6379, "postgresql": 5432, "mysql": 3306, "mariadb": 3306}


@dataclass(frozen=True)
class Backend:
    """
    A store by its address.

    Attributes:
        url: As `open_store` reads it.
        prefix: What its keys or tables begin with: letters, digits and underscores.
    """

    url: str
    prefix: str

    @classmethod
    def named(cls, store: str, prefix: str, folder: Path) -> Backend:
        """Return the store of that name, or with that URL; SQLite's file lies in *folder*."""
        if store == "sqlite":
            return cls(f"sqlite:///{folder / 'sessions.db'}", prefix)
        return cls(URLS.get(store, store), prefix)

    @property
    def kind(self) -> str:
        return self.url.partition(":")[0].partition("+")[0]

    @property
    def address(self) -> tuple[str, int]:
        """Where its server listens."""
        parts = urlsplit(self.url)
        return parts.hostname or "127.0.0.1", parts.port or _PORTS[self.kind]

    def at(self, port: int) -> Backend:
        """The same store, reached through *port* of this machine."""
        parts = urlsplit(self.url)
        user = parts.netloc.rpartition("@")[0]
        netloc = f"{user}@127.0.0.1:{port}" if user else f"127.0.0.1:{port}"
        return replace(self, url=parts._replace(netloc=netloc).geturl())

    def open(self) -> Any:
        if self.kind == "sqlite":
            return open_store(self.url)
        if self.kind == "redis":
            from asgi_refresh.stores import RedisStore

            return RedisStore(self.url, prefix=self.prefix)
        from sqlalchemy.ext.asyncio import create_async_engine

        from asgi_refresh.stores import SQLAlchemyStore

        # As many connections at most as requests may need at once, of which the server has 100.
        engine = create_async_engine(self.url, pool_size=8, max_overflow=8)
        return SQLAlchemyStore(engine, prefix=f"{self.prefix}_")

    def is_up(self) -> bool:
        if self.kind == "sqlite":
            return True
        try:
            socket.create_connection(self.address, timeout=2).close()
        except OSError:
            return False
        return True

    async def prepare(self) -> None:
        """Make the tables, where there are any."""
        store = self.open()
        if hasattr(store, "create_tables"):
            await store.create_tables()
        await close(store)

    async def clean(self) -> None:
        """Leave nothing behind."""
        store = self.open()
        if self.kind == "redis":
            client = store._client
            async for key in client.scan_iter(match=f"{{{self.prefix}:*", count=1000):
                await client.delete(key)
        elif self.kind != "sqlite":
            async with store._engine.begin() as connection:
                await connection.run_sync(store.metadata.drop_all)
        await close(store)


async def close(store: Any) -> None:
    """Close *store*, whichever it is."""
    if isinstance(store, SQLiteStore):
        store.close()
    elif hasattr(store, "close"):
        await store.close()
    else:
        await store._engine.dispose()
