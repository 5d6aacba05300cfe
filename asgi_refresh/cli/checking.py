"""
`check`: the settings of this environment, and what is weak in them.
"""

from __future__ import annotations

import os
from dataclasses import fields

import click

from asgi_refresh.config import Config
from asgi_refresh.errors import ConfigurationError
from asgi_refresh.keys import secret_bytes
from asgi_refresh.review import Keeping, weaknesses
from asgi_refresh.settings import show
from asgi_refresh.store import MemoryStore
from asgi_refresh.stores import open_store

from .output import as_json, listed, say, say_json
from .stores import store_options


@click.command(
    epilog=listed(
        "Examples:",
        "asgi-refresh check --store sqlite:///sessions.db",
        "ASGI_REFRESH_ACCESS_LIFETIME=5m asgi-refresh check --json",
    )
)
@store_options(required=False)
@click.option(
    "--secret",
    metavar="NAME",
    default="SECRET_KEY",
    show_default=True,
    help="The variable that holds the secret; it is looked at and never shown.",
)
@as_json
def check(
    store: str | None, prefix: str | None, shards: int | None, secret: str, *, as_json: bool
) -> int:
    """
    Show the settings in effect, and name what is weak in them.

    The settings are those of `Config.from_env()`: the variables ASGI_REFRESH_*. Run it where the
    application runs, with its environment. Nothing is connected, and no secret is shown. Exit code
    1 says that something is weak, 2 that a setting cannot be.
    """
    config = Config.from_env()
    keeping = _keeping(store, prefix, shards)
    found = [*_of_secret(secret), *weaknesses(config, keeping=keeping)]
    if keeping != "nothing":
        config.check_rotating()
    defaults = {field.name: field.default for field in fields(config)}
    values = {name: getattr(config, name) for name in defaults}
    if as_json:
        settings = {name: show(value) for name, value in values.items()}
        changed = [name for name, value in values.items() if value != defaults[name]]
        say_json({"settings": settings, "set": changed, "weak": found})
        return int(bool(found))
    for name, value in values.items():
        mark = "" if value == defaults[name] else "   (set)"
        say(f"{name:<20}{show(value)}{mark}".rstrip(), "bold" if mark else "")
    say()
    for weakness in found:
        say(f"weak: {weakness}", "yellow")
    say("nothing weak" if not found else f"{len(found)} weak", "bold")
    return int(bool(found))


def _keeping(url: str | None, prefix: str | None, shards: int | None) -> Keeping:
    if not url:
        return "nothing"
    store = open_store(url, prefix=prefix, shards=shards)
    return "memory" if isinstance(store, MemoryStore) else "store"


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
