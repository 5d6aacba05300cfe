"""
The store that a command works on: its options, and how a command is run on it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
import click

from asgi_refresh.errors import ConfigurationError
from asgi_refresh.store import Store
from asgi_refresh.stores import SQLiteStore, close_store, open_store

from .output import complain

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

VARIABLE = "ASGI_REFRESH_STORE"


class Failed(click.ClickException):
    """A store that fails, told in one line: exit code 1."""

    def show(self, file: Any = None) -> None:  # noqa: ARG002
        """Print it to standard error."""
        complain(self.message)


def store_options(*, required: bool) -> Callable[[F], F]:
    """Return what gives a command the options that name a store."""

    def add(command: F) -> F:
        for option in reversed(
            (
                click.option(
                    "--store",
                    metavar="URL",
                    envvar=VARIABLE,
                    required=required,
                    help="sqlite:///sessions.db, redis://…, postgresql+asyncpg://…; "
                    f"or the variable {VARIABLE}, which hides a password from `ps`.",
                ),
                click.option("--prefix", help="The store's, where the application gives it one."),
                click.option("--shards", type=int, help="Of a Redis store, where it has a number."),
            )
        ):
            command = option(command)
        return command

    return add


def on_store(
    work: Callable[[Store], Awaitable[T]],
    url: str,
    prefix: str | None,
    shards: int | None,
    *,
    kept: bool = False,
) -> T:
    """
    Return what *work* returns on the store that *url* names, which is closed then.

    Raises:
        ConfigurationError: It names none; or, where it is about what is *kept*, a file that is not
            there: an empty one would say that nobody is signed in.
        Failed: The store fails.
    """
    store = open_store(url, prefix=prefix, shards=shards)
    if kept and isinstance(store, SQLiteStore) and not store.exists():
        raise ConfigurationError(f"there is no such file: {url}")
    try:
        return anyio.run(_work, store, work)
    except Exception as error:  # a backend raises what it likes
        cause = error.__cause__ or error
        text = str(cause).partition("\n")[0]
        raise Failed(f"{type(cause).__name__}: {text}") from error


async def _work(store: Store, work: Callable[[Store], Awaitable[T]]) -> T:
    try:
        return await work(store)
    finally:
        await close_store(store)
