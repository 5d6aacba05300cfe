"""
`keygen`: a secret, or a key pair.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

import click

from asgi_refresh.errors import ConfigurationError
from asgi_refresh.keys import ALGORITHMS, Key

from .output import as_json, listed, say_json

_PAIRS = sorted(name for name in ALGORITHMS if not name.startswith("HS"))


@click.command(
    epilog=listed(
        "Examples:",
        "export SECRET_KEY=$(asgi-refresh keygen)",
        "asgi-refresh keygen EdDSA --public jwks.json > private.pem",
    )
)
@click.argument("algorithm", type=click.Choice(["secret", *_PAIRS]), default="secret")
@click.option("--public", metavar="FILE", help="Also write the public half there, as JWKS.")
@as_json
def keygen(algorithm: str, public: str | None, *, as_json: bool) -> None:
    """
    Make a secret, or a private key as PEM, and print it.

    A secret is for an application that alone reads its access tokens; every key it needs is derived
    from it. With an ALGORITHM it is a key pair (extra `crypto`), for access tokens that other
    services verify with the public half. An existing file is never overwritten.
    """
    if algorithm == "secret":
        if public:
            raise ConfigurationError("a secret has no public half: name an algorithm")
        secret = secrets.token_urlsafe(32)
        say_json({"secret": secret}) if as_json else click.echo(secret)
        return
    key = Key.generate(algorithm)
    jwks = {"keys": [key.public_jwk()]}
    if public:
        _write_new(public, jwks)
    if as_json:
        say_json({"private": key.to_pem(), "public": jwks})
    else:
        click.echo(key.to_pem(), nl=False)


def _write_new(path: str, document: dict[str, Any]) -> None:
    try:
        with open(path, "x", encoding="ascii") as file:  # noqa: PTH123
            file.write(json.dumps(document, indent=2) + "\n")
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from None
