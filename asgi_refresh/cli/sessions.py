"""
`sessions` and `revoke`: who is signed in where, and who no longer is.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from typing import Any

import click

from asgi_refresh.claims import is_session_id
from asgi_refresh.config import Config
from asgi_refresh.issuer import Issuer
from asgi_refresh.legacy import Legacy
from asgi_refresh.sessions import Session
from asgi_refresh.store import Store

from .output import as_json, distance, listed, say, say_json, say_table
from .stores import on_store, store_options


@click.command(
    epilog=listed("Examples:", "asgi-refresh sessions alice --store sqlite:///sessions.db")
)
@click.argument("subject")
@store_options(required=True)
@click.option("--ended", is_flag=True, help="Also those that are over and not yet dropped.")
@as_json
def sessions(
    subject: str, store: str, prefix: str | None, shards: int | None, *, ended: bool, as_json: bool
) -> None:
    """
    List the sessions of SUBJECT, the latest used first.

    SUBJECT is what the application gave to `login()`. A session is one sign-in on one browser; its
    id is no secret, and is what `revoke` takes.
    """
    now = time.time()
    found = on_store(lambda kept: kept.find(subject), store, prefix, shards, kept=True)
    found = [one for one in found if ended or now < one.ends_at]
    found.sort(key=lambda one: one.last_seen, reverse=True)
    if as_json:
        say_json({"subject": subject, "sessions": [describe(one) for one in found]})
    elif found:
        rows = [_row(one, now) for one in found]
        say_table(("id", "device", "began", "last used", "ends"), rows)
    else:
        say("no sessions")


def describe(session: Session) -> dict[str, Any]:
    """Return what is told of *session*: not its claims, which may be private."""
    return {
        "id": session.id,
        "device": session.device,
        "created_at": session.created_at,
        "last_seen": session.last_seen,
        "ends_at": session.ends_at,
        "persistent": session.persistent,
        "generation": session.current,
    }


def _row(session: Session, now: float) -> tuple[str, ...]:
    times = (session.created_at, session.last_seen, session.ends_at)
    return (session.id, session.device or "-", *(distance(at, now) for at in times))


@click.command(
    epilog=listed(
        "Examples:",
        "asgi-refresh revoke 2bd8c0f9a3… --store redis://localhost",
        "asgi-refresh revoke --all alice --yes --json --store redis://localhost",
    )
)
@click.argument("session_ids", nargs=-1, metavar="[SESSION_ID]...")
@click.option(
    "--all", "everybody", metavar="SUBJECT", help="Every session of SUBJECT, in one step."
)
@store_options(required=True)
@click.option(
    "--access-lifetime",
    metavar="DURATION",
    help="The application's, where it sets one in code: 10m, 1h. A revocation is kept for as long.",
)
@click.option(
    "--legacy",
    is_flag=True,
    help="The application takes tokens of an earlier system (accept_legacy, compat): with --all "
    "those that have begun no session yet are refused, too.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
def revoke(
    session_ids: tuple[str, ...],
    everybody: str | None,
    store: str,
    prefix: str | None,
    shards: int | None,
    access_lifetime: str | None,
    *,
    legacy: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """
    End sessions: those of the given ids, or with --all every one of a subject.

    Refresh tokens are refused at once, and access tokens within a second (`revocation_poll`), or
    when they expire if the application has revocation=refresh. It cannot be undone: the user signs
    in again. Exit code 1 says that there was no such session.
    """
    if bool(session_ids) == (everybody is not None):
        raise click.UsageError("name sessions by their ids, or a subject with --all")
    for name in session_ids:
        if not is_session_id(name):
            raise click.UsageError("a session's id is up to 64 letters, digits, '_' and '-'")
    config = _config(os.environ, access_lifetime)
    if not yes:
        what = f"every session of {everybody!a}" if everybody else f"{len(session_ids)} session(s)"
        click.confirm(f"End {what}?", abort=True, err=True)

    async def end(kept: Store) -> list[bool]:
        issuer = _issuer(kept, config, legacy=legacy)
        if everybody is not None:
            return [True] * await issuer.revoke_subject(everybody)
        return [await issuer.revoke(name) for name in session_ids]

    ended = sum(on_store(end, store, prefix, shards, kept=True))
    say_json({"ended": ended}) if as_json else say(f"{ended} ended")
    return int(ended < max(1, len(session_ids)))


def _config(environ: Mapping[str, str], access_lifetime: str | None) -> Config:
    if access_lifetime is not None:
        environ = {**environ, "ASGI_REFRESH_ACCESS_LIFETIME": access_lifetime}
    return Config.from_env(environ)


def _issuer(store: Store, config: Config, *, legacy: bool) -> Issuer:
    """Return an issuer that ends sessions as the application's does; it signs nothing."""
    return Issuer(
        secrets.token_urlsafe(32),
        store=store,
        config=config,
        on_event=lambda _event: None,
        accept_legacy=Legacy(lambda _token: None) if legacy else None,
    )
