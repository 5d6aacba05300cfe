"""
The stores that the demo can be switched between, and why one cannot be had.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

import anyio

from asgi_refresh.store import Store
from asgi_refresh.stores import open_store

REDIS: Final = "redis://127.0.0.1:6379"
LABELS: Final = {"memory": "Memory", "sqlite": "SQLite", "redis": "Redis"}
_ABOUT: Final = {
    "memory": "In the process of the server; gone when that ends.",
    "sqlite": "In one file; the processes of one host share it.",
    "redis": "On a server of its own; many hosts share it.",
}
_LEAST_REDIS: Final = 7
_PATIENCE: Final = 1.0  # seconds in which a Redis that is there has answered


class Stores:
    """
    What there is to choose from.

    Args:
        directory: Where the SQLite file goes.
        redis: The URL of a Redis or Valkey server, which need not be there.
    """

    def __init__(self, directory: Path, *, redis: str = REDIS) -> None:
        self._redis = redis
        self._urls = {
            "memory": "memory:",
            "sqlite": f"sqlite:///{directory / 'sessions.db'}",
            "redis": redis,
        }
        self._prefix = f"asgi-refresh-demo-{secrets.token_hex(4)}"

    def open(self, name: str) -> Store:
        """Return the store called *name*, one of `LABELS`; nothing is connected yet."""
        return open_store(self._urls[name], prefix=self._prefix if name == "redis" else None)

    async def missing(self, name: str) -> str | None:
        """Return why *name* cannot be had, in a sentence; None: it can."""
        return await _why_no_redis(self._redis) if name == "redis" else None

    async def describe(self) -> list[dict[str, str | None]]:
        """Return all of them as the page shows them."""
        return [
            {
                "name": name,
                "label": label,
                "about": _ABOUT[name],
                "missing": await self.missing(name),
            }
            for name, label in LABELS.items()
        ]


async def _why_no_redis(url: str) -> str | None:
    try:
        from redis.asyncio import Redis  # noqa: PLC0415 - an extra
        from redis.exceptions import RedisError  # noqa: PLC0415
    except ModuleNotFoundError:
        return "redis-py is not installed: pip install redis"
    try:
        parts = urlsplit(url)
        where = f"{parts.hostname}:{parts.port or 6379}"
        client: Any = cast("Any", Redis).from_url(url)  # its types are incomplete
    except ValueError:
        return "what was given as --redis is not the URL of a Redis"
    try:
        with anyio.fail_after(_PATIENCE):
            version = str((await client.info("server")).get("redis_version", "0"))
    except (RedisError, OSError) as error:  # TimeoutError is one
        return f"no Redis answers at {where} ({type(error).__name__})"
    finally:
        await client.aclose()
    old = int(version.partition(".")[0]) < _LEAST_REDIS
    return f"Redis {version} answers at {where}; {_LEAST_REDIS} is needed" if old else None
