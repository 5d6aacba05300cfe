"""
`purge` and `create-tables`: what a store needs now and then, and before the first time.
"""

from __future__ import annotations

import time

import click

from asgi_refresh.kept import PURGE_AFTER
from asgi_refresh.store import Store

from .output import as_json, listed, say, say_json
from .stores import on_store, store_options


@click.command(epilog=listed("Examples:", "asgi-refresh purge --store sqlite:///sessions.db"))
@store_options(required=True)
@as_json
def purge(store: str, prefix: str | None, shards: int | None, *, as_json: bool) -> None:
    """
    Drop what has been over for an hour.

    Sessions that have ended and revocations that no token is left for. An application does this by
    itself, a little at each login; a job each night is for one with few logins. Safe beside running
    applications, and as often as you like.
    """
    dropped = on_store(_purge, store, prefix, shards)
    say_json({"dropped": dropped}) if as_json else say(f"{dropped} dropped")


async def _purge(store: Store) -> int:
    dropped, more = 0, True
    while more:
        count = await store.purge(time.time() - PURGE_AFTER)
        dropped += count
        more = count > 0
    return dropped


@click.command(
    epilog=listed("Examples:", "asgi-refresh create-tables --store postgresql+asyncpg://app@db/app")
)
@store_options(required=True)
@as_json
def create_tables(store: str, prefix: str | None, shards: int | None, *, as_json: bool) -> None:
    """
    Create the tables of a database that are missing.

    Other stores need none. What is there is left as it is. For a migration tool of your own the
    statements are in docs/stores.md.
    """
    created = on_store(_create_tables, store, prefix, shards)
    if as_json:
        say_json({"tables": created})
    else:
        say("the tables are there" if created else "this store needs no tables")


async def _create_tables(store: Store) -> bool:
    create = getattr(store, "create_tables", None)
    if create is None:
        return False
    await create()
    return True
