"""
`inspect`: a token, in words.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from asgi_refresh.config import Config
from asgi_refresh.errors import ConfigurationError
from asgi_refresh.keys import Key
from asgi_refresh.rotation import ACCEPTED, Verdict, present
from asgi_refresh.verifier import read_jwks

from .explain import Explained, Keys, explain
from .output import as_json, listed, moment, say, say_json
from .sessions import describe
from .stores import on_store, store_options

_TIMES: Final = frozenset(
    {"exp", "iat", "nbf", "auth_time", "orig_iat", "created_at", "expires_at", "idle_expires_at"}
)
_MOST: Final = 65536  # characters of standard input


@click.command(
    epilog=listed(
        "Examples:",
        "asgi-refresh inspect < token.txt",
        "wl-paste | asgi-refresh inspect --json",
        "asgi-refresh inspect --key jwks.json < token.txt",
    )
)
@click.argument("token", default="-")
@click.option(
    "--secret",
    "names",
    metavar="NAME",
    multiple=True,
    default=("SECRET_KEY",),
    show_default=True,
    help="The variable that holds the secret; once for each. It is never shown.",
)
@click.option(
    "--key",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="A key pair's public or private half: PEM, or a JWKS document.",
)
@store_options(required=False)
@as_json
def inspect(
    token: str,
    names: tuple[str, ...],
    key: str | None,
    store: str | None,
    prefix: str | None,
    shards: int | None,
    *,
    as_json: bool,
) -> int:
    """
    Tell what TOKEN says, of which kind it is, and whether it verifies and why not.

    Without TOKEN, or with `-`, it is read from standard input: what stands on a command line is in
    the shell's history and in `ps`, and a token that is still good signs its reader in. It knows
    access and refresh tokens of asgi_refresh, and JWTs of others (AuthX, Flask-JWT-Extended, …).
    Issuer, audience and leeway are those of ASGI_REFRESH_*. With --store it also tells what
    presenting a refresh token would do now; nothing is written. The token's signature, secrets and
    the claim `csrf` are never printed.

    Exit code 1 says that it does not verify, or that there is no key to tell.
    """
    token = _standard_input() if token == "-" else token  # noqa: S105
    now = time.time()
    found = explain(_bare(token), _keys(names, key), Config.from_env(), now=now)
    kept = _kept(found, store, prefix, shards, now)
    if as_json:
        say_json(_document(found, kept))
    else:
        _say(found, kept, now)
    return int(found.verifies is not True or kept.get("refused") is True)


def _standard_input() -> str:
    try:
        return sys.stdin.read(_MOST)
    except UnicodeDecodeError:
        return ""  # of such bytes there is no token


def _bare(text: str) -> str:
    """Return the token in what was copied: a header's value, or a line of it."""
    text = text.strip()
    return text[7:].strip() if text[:7].lower() == "bearer " else text


def _keys(names: Sequence[str], path: str | None) -> Keys:
    secrets = {name: os.environ[name] for name in names if os.environ.get(name)}
    return Keys(secrets, () if path is None else _public(path))


def _public(path: str) -> Sequence[Key]:
    try:
        text = Path(path).read_text(encoding="ascii")
        if not text.lstrip().startswith("{"):
            return [Key.from_pem(text)]
        document = json.loads(text)
    except (OSError, ValueError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(f"{path} is neither PEM nor JSON") from None
    return read_jwks(document if "keys" in document else {"keys": [document]})


def _kept(
    found: Explained, store: str | None, prefix: str | None, shards: int | None, now: float
) -> dict[str, Any]:
    """Return what the store knows of a token that is genuine."""
    session_id = found.claims.get("sid")
    in_a_store = found.kind in ("access", "refresh (rotating)") and found.verifies is True
    if store is None or not in_a_store or not isinstance(session_id, str):
        return {}
    session = on_store(lambda it: it.get(session_id), store, prefix, shards, kept=True)
    if session is None or now >= session.ends_at:
        return {"session": None, "refused": True, "means": "its session has ended"}
    kept: dict[str, Any] = {"session": describe(session), "refused": False}
    if found.generation is not None:
        window = Config.from_env().window.total_seconds()
        verdict, _ = present(session, found.generation, now=now, grace=window)
        kept |= {
            "verdict": verdict.name,
            "refused": verdict not in ACCEPTED,
            "means": _MEANS[verdict],
        }
    elif found.claims["gen"] < session.access_from:
        kept |= {"refused": True, "means": "it is from before a change of privileges"}
    return kept


_MEANS: Final = {
    Verdict.CURRENT: "it is the newest: it would be rotated",
    Verdict.GRACE: "it was rotated moments ago: it would get the same successor",
    Verdict.LATE: "its successor was never used: it would be recovered once",
    Verdict.FORK: "late for the second time: it would get a new successor",
    Verdict.AHEAD: "newer than the store knows: the store has lost writes",
    Verdict.STALE: "it is from before a change of privileges: it would be refused",
    Verdict.THEFT: "it was used long ago: presenting it would end the session as stolen",
    Verdict.DEAD: "its session has ended",
}


def _document(found: Explained, kept: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": found.kind,
        "system": found.system,
        "verifies": found.verifies,
        "why": found.why,
        "expires_at": found.expires_at,
        "header": dict(found.header),
        "claims": dict(found.claims),
        "kept": kept or None,
    }


def _say(found: Explained, kept: dict[str, Any], now: float) -> None:
    whose = "" if found.kind == "unknown" else f", of {found.system}"
    say(f"kind      {found.kind}{whose}", "bold")
    if found.header:
        say(f"header    {json.dumps(found.header)}")
    for name, value in found.claims.items():
        is_time = name in _TIMES and type(value) in (int, float)
        when = f"   ({moment(value, now)})" if is_time else ""
        say(f"  {name:<17} {json.dumps(value)}{when}")
    said = {True: "yes", False: "no", None: "not known"}[found.verifies]
    style = {True: "green", False: "red", None: "yellow"}[found.verifies]
    say(f"verifies  {said}{': ' if found.why else ''}{found.why}", style)
    if kept:
        alive = kept["session"] is not None
        ends = f", ends {moment(kept['session']['ends_at'], now)}" if alive else ""
        say(f"session   {'alive' if alive else 'ended'}{ends}")
    if "means" in kept:
        verdict = f"{kept['verdict']}: " if "verdict" in kept else ""
        say(f"presented {verdict}{kept['means']}", "red" if kept["refused"] else "green")
