"""
The commands of `python -m asgi_refresh`.
"""

from __future__ import annotations

import argparse
import inspect
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import anyio

from .errors import ConfigurationError
from .kept import PURGE_AFTER
from .store import Store
from .stores import open_store

STORE_VARIABLE = "ASGI_REFRESH_STORE"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return 0, 1 where the store failed, or 2 for a command line that is wrong."""
    options = _parser().parse_args(arguments)
    try:
        store = open_store(options.store, prefix=options.prefix, shards=options.shards)
    except ConfigurationError as error:
        print(f"asgi_refresh: {error}", file=sys.stderr)
        return 2
    try:
        print(anyio.run(_run, store, options.command))
    except Exception as error:  # noqa: BLE001 - a backend raises what it likes
        text = str(error).partition("\n")[0]
        print(f"asgi_refresh: {type(error).__name__}: {text}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m asgi_refresh", description="Look after the store of an application."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in (("purge", purge), ("create-tables", create_tables)):
        summary = (inspect.getdoc(command) or "").partition("\n")[0]
        sub = commands.add_parser(name, help=summary, description=summary)
        sub.set_defaults(command=command)
        sub.add_argument(
            "--store",
            metavar="URL",
            default=os.environ.get(STORE_VARIABLE),
            required=STORE_VARIABLE not in os.environ,
            help=f"sqlite:///sessions.db, redis://…, postgresql+asyncpg://… (or {STORE_VARIABLE})",
        )
        sub.add_argument("--prefix", help="the store's, where the application gives it one")
        sub.add_argument("--shards", type=int, help="of a Redis store, where it has a number")
    return parser


async def purge(store: Store) -> str:
    """Drop sessions and revocations that have been over for an hour; safe beside a running app."""
    dropped, more = 0, True
    while more:
        count = await store.purge(time.time() - PURGE_AFTER)
        dropped += count
        more = count > 0
    return f"{dropped} dropped"


async def create_tables(store: Store) -> str:
    """Create the tables of a database that are missing; other stores need none."""
    create = getattr(store, "create_tables", None)
    if create is None:
        return "this store needs no tables"
    await create()
    return "the tables are there"


async def _run(store: Store, command: Callable[[Store], Awaitable[str]]) -> str:
    try:
        return await command(store)
    finally:
        close = cast("Any", getattr(store, "close", None))
        closed = close() if close is not None else None
        if inspect.isawaitable(closed):
            await closed
