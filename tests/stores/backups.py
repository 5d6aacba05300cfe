"""Backups of what a store keeps, and how they are restored."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import sqlalchemy as sa

from tests.stores.support import ON_REDIS, Place


async def back_up(place: Place) -> Any:
    """Return all that is in *place*."""
    if place.kind == "sqlite":
        copy = place.folder / "backup.db"
        with closing(sqlite3.connect(place.path)) as db, closing(sqlite3.connect(copy)) as other:
            db.backup(other)
        return copy
    if place.kind in ON_REDIS:
        client = place.client()
        keys = [key async for key in client.scan_iter(f"{{{place.prefix}:*", count=10_000)]
        return {key: (await client.pttl(key), await client.dump(key)) for key in keys}
    store = place.open()
    async with store._engine.connect() as connection:
        return {
            name: [dict(row._mapping) for row in await connection.execute(sa.select(table))]
            for name, table in store.metadata.tables.items()
        }


async def restore(place: Place, backup: Any) -> None:
    """Put *backup* in the place of all that is in *place*."""
    if place.kind == "sqlite":
        for store in place._opened:
            store.close()
        with closing(sqlite3.connect(backup)) as db, closing(sqlite3.connect(place.path)) as other:
            db.backup(other)
    elif place.kind in ON_REDIS:
        await place.empty()
        client = place.client()
        for key, (stays, value) in backup.items():
            await client.restore(key, stays, value)
    else:
        store = place.open()
        async with store._engine.begin() as connection:
            for name, table in store.metadata.tables.items():
                await connection.execute(sa.delete(table))
                if backup[name]:
                    await connection.execute(sa.insert(table), backup[name])
