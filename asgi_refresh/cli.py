"""
The commands of `python -m asgi_refresh`.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import fields
from typing import Any, cast

import anyio

from .config import Config
from .errors import ConfigurationError
from .kept import PURGE_AFTER
from .keys import ALGORITHMS, Key, secret_bytes
from .review import Keeping, weaknesses
from .settings import show
from .store import MemoryStore, Store
from .stores import open_store

STORE_VARIABLE = "ASGI_REFRESH_STORE"
_PAIRS = sorted(name for name in ALGORITHMS if not name.startswith("HS"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return 0, 1 where it fails or finds a weakness, or 2 for what is wrong."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except ConfigurationError as error:
        print(f"asgi_refresh: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m asgi_refresh", description="Look after an application's keys and store."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in (("purge", purge), ("create-tables", create_tables)):
        sub = _add(commands, name, command, _on_store)
        sub.set_defaults(command=command)
        _add_store(sub, required=STORE_VARIABLE not in os.environ)
    sub = _add(commands, "keygen", keygen, keygen)
    sub.add_argument(
        "algorithm",
        nargs="?",
        choices=("secret", *_PAIRS),
        default="secret",
        help="a secret for the application alone (default), or a key pair as PEM",
    )
    sub.add_argument("--public", metavar="FILE", help="also write the public half there, as JWKS")
    sub = _add(commands, "check", check, check)
    _add_store(sub, required=False)
    sub.add_argument(
        "--secret",
        metavar="NAME",
        default="SECRET_KEY",
        help="the variable that holds the secret (default: SECRET_KEY); it is not shown",
    )
    return parser


def _add(commands: Any, name: str, command: Any, run: Callable[[Any], int]) -> Any:
    summary = (inspect.getdoc(command) or "").partition("\n")[0]
    sub = commands.add_parser(name, help=summary, description=summary)
    sub.set_defaults(run=run)
    return sub


def _add_store(sub: Any, *, required: bool) -> None:
    sub.add_argument(
        "--store",
        metavar="URL",
        default=os.environ.get(STORE_VARIABLE),
        required=required,
        help=f"sqlite:///sessions.db, redis://…, postgresql+asyncpg://… (or {STORE_VARIABLE})",
    )
    sub.add_argument("--prefix", help="the store's, where the application gives it one")
    sub.add_argument("--shards", type=int, help="of a Redis store, where it has a number")


# --- the store ------------------------------------------------------------------------------------


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


def _on_store(options: argparse.Namespace) -> int:
    store = open_store(options.store, prefix=options.prefix, shards=options.shards)
    try:
        print(anyio.run(_run, store, options.command))
    except Exception as error:  # noqa: BLE001 - a backend raises what it likes
        text = str(error).partition("\n")[0]
        print(f"asgi_refresh: {type(error).__name__}: {text}", file=sys.stderr)
        return 1
    return 0


async def _run(store: Store, command: Callable[[Store], Awaitable[str]]) -> str:
    try:
        return await command(store)
    finally:
        close = cast("Any", getattr(store, "close", None))
        closed = close() if close is not None else None
        if inspect.isawaitable(closed):
            await closed


# --- keys and settings ----------------------------------------------------------------------------


def keygen(options: argparse.Namespace) -> int:
    """Print a new secret, or a new private key as PEM."""
    if options.algorithm == "secret":
        if options.public:
            raise ConfigurationError("a secret has no public half: name an algorithm")
        print(secrets.token_urlsafe(32))
        return 0
    key = Key.generate(options.algorithm)
    if options.public:
        document = json.dumps({"keys": [key.public_jwk()]}, indent=2)
        try:
            with open(options.public, "x", encoding="ascii") as file:  # noqa: PTH123
                file.write(document + "\n")
        except OSError as error:
            raise ConfigurationError(f"cannot write {options.public}: {error.strerror}") from None
    print(key.to_pem(), end="")
    return 0


def check(options: argparse.Namespace) -> int:
    """Show the settings in effect, and what is weak in them; no secret is shown."""
    config = Config.from_env()
    for field in fields(config):
        value = getattr(config, field.name)
        mark = "" if value == field.default else "   (set)"
        print(f"{field.name:<20}{show(value)}{mark}".rstrip())
    found = [*_of_secret(options.secret), *weaknesses(config, keeping=_keeping(options.store))]
    if _keeping(options.store) != "nothing":
        config.check_rotating()
    print()
    for weakness in found:
        print(f"weak: {weakness}")
    print("nothing weak" if not found else f"{len(found)} weak")
    return int(bool(found))


def _keeping(url: str | None) -> Keeping:
    if not url:
        return "nothing"
    return "memory" if isinstance(open_store(url), MemoryStore) else "store"


def _of_secret(name: str) -> list[str]:
    secret = os.environ.get(name)
    if secret is None:
        return [f"{name} is not set in this environment, so the secret was not looked at"]
    try:
        secret_bytes(secret)
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {error}") from None
    if len(set(secret)) < 16:
        return [f"{name}: {len(set(secret))} different characters; make one with keygen"]
    return []
