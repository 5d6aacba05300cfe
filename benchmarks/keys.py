"""
What a key costs: one that was parsed when it was built, and one that is parsed on every token.

    python -m benchmarks keys [--quick] [--rounds N] [--algorithms NAME …]

What do a signature and its check cost, and what a whole access token that is made, and one that is
read for the first time? Ours has a prepared key, and so has PyJWT's `Algorithm`; `jwt.encode` and
`jwt.decode` are handed the PEM text (or the secret) each time, as AuthX does. RSA keys suffer most:
parsing a private one checks its primes.

Measured as the hot path is (`harness`): every round runs every variant of an algorithm once, in
rotated order, and each is checked before. Ours and `jwt.encode` make text, `Algorithm` raw bytes.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from asgi_refresh import Issuer, Key
from asgi_refresh.signers import b64decode
from benchmarks.browser import CLAIMS, SECRET, quiet
from benchmarks.cases import Forgetful, tokens
from benchmarks.harness import Times, Variant, measure
from benchmarks.report import load_average, table
from benchmarks.results import Result

ALGORITHMS = ["HS256", "HS384", "HS512", "RS256", "PS256", "ES256", "ES384", "EdDSA"]
SIGN, CHECK, MINT, READ = "signer.sign", "signer.verify", "a token of ours", "Issuer.verify"
TABLES = {
    "Signing": [SIGN, "Algorithm.sign", "jwt.encode"],
    "Checking a signature": [CHECK, "Algorithm.verify", "jwt.decode"],
    "Making an access token": [MINT, "jwt.encode", "AuthX makes"],
    "Reading one at first sight": [READ, "jwt.decode", "AuthX reads"],
}
AUTHX = importlib.util.find_spec("authx") is not None


@dataclass(frozen=True)
class Material:
    """
    One key in every form that is measured.

    Attributes:
        private: The text that `jwt.encode` is given: PEM, or the secret.
        public: The text that `jwt.decode` is given.
        key: Ours.
    """

    algorithm: str
    private: str
    public: str
    key: Key

    @classmethod
    def generate(cls, algorithm: str) -> Material:
        if algorithm.startswith("HS"):
            secret = os.urandom(48).hex()
            return cls(algorithm, secret, secret, Key(secret, "k", algorithm))
        key = Key.generate(algorithm, "k")
        public = Key(None, "k", algorithm, key.signer.public)
        return cls(algorithm, key.to_pem(), public.to_pem(), key)


def main(options: Namespace) -> None:
    """Measure, and print the tables."""
    print(Result("keys").where() + "\n")
    rounds = options.rounds or (1 if options.quick else 11)
    found = {name: _measured(name, rounds) for name in options.algorithms or ALGORITHMS}
    for title, columns in TABLES.items():
        print(f"{title}: least µs, and how many times ours.\n")
        print(_costs(found, columns))
    print("Ours again, median µs.\n")
    print(_medians(found))
    print(load_average())


def _measured(algorithm: str, rounds: int) -> Mapping[str, Times]:
    material = Material.generate(algorithm)
    issuer = Issuer(material.key, secret=SECRET, store=None, on_event=quiet)
    issuer.cache = Forgetful(1)
    token = tokens(issuer).access_token
    made = {**_signatures(material, token), **_whole(material, issuer, token), **_authx(material)}
    variants = {}
    for name, (function, check) in made.items():
        check(function(None))  # a variant that does not do its job must not be measured
        variants[name] = Variant(lambda: None, plain=function)
    return asyncio.run(measure(variants, rounds=rounds, turn=0.002))


Made = dict[str, tuple[Callable[[Any], Any], Callable[[Any], None]]]


def _signatures(material: Material, token: str) -> Made:
    """The signature of *token* and its check, with keys that were prepared before."""
    signer, algorithm = material.key.signer, jwt.get_algorithm_by_name(material.algorithm)
    private = algorithm.prepare_key(material.private)
    public = algorithm.prepare_key(material.public)
    message, _, text = token.encode().rpartition(b".")
    raw = b64decode(text)

    def signed(signature: bytes) -> None:
        assert algorithm.verify(message, public, signature)

    def is_true(answer: object) -> None:
        assert answer is True

    # Another message is refused, or there would be nothing to time.
    assert signer.verify(message + b"x", text) is False
    assert algorithm.verify(message + b"x", public, raw) is False
    return {
        SIGN: (lambda _: signer.sign(message), lambda made: signed(b64decode(made))),
        "Algorithm.sign": (lambda _: algorithm.sign(message, private), signed),
        CHECK: (lambda _: signer.verify(message, text), is_true),
        "Algorithm.verify": (lambda _: algorithm.verify(message, public, raw), is_true),
    }


def _whole(material: Material, issuer: Issuer, token: str) -> Made:
    """A new access token, and *token* as if never seen: by us, and by PyJWT from the text."""
    session = issuer.mint.session("alice", CLAIMS, persistent=True, device=None)
    claims, name = dict(issuer.verify(token)), material.algorithm
    headers = jwt.get_unverified_header(token)

    def same(read: Mapping[str, Any]) -> None:
        assert dict(read) == claims

    def minted(made: Any) -> None:
        read = issuer.verify(made.raw.decode())
        assert (read["sub"], read["role"]) == ("alice", "member")

    return {
        MINT: (lambda _: issuer.mint.access(session, session.claims), minted),
        "jwt.encode": (
            lambda _: jwt.encode(claims, material.private, name, headers=headers),
            lambda made: same(jwt.decode(made, material.public, [name])),
        ),
        READ: (lambda _: issuer.verify(token), same),
        "jwt.decode": (lambda _: jwt.decode(token, material.public, [name]), same),
    }


def _authx(material: Material) -> Made:
    """What AuthX makes and reads, where it is installed and has the algorithm."""
    if not AUTHX:
        return {}
    from typing import get_args  # noqa: PLC0415

    from authx import AuthX, AuthXConfig  # noqa: PLC0415
    from authx.types import AsymmetricAlgorithmType, SymmetricAlgorithmType  # noqa: PLC0415

    symmetric = material.algorithm in get_args(SymmetricAlgorithmType)
    if not symmetric and material.algorithm not in get_args(AsymmetricAlgorithmType):
        return {}
    keys = (
        {"JWT_SECRET_KEY": material.private}
        if symmetric
        else {"JWT_PRIVATE_KEY": material.private, "JWT_PUBLIC_KEY": material.public}
    )
    auth = AuthX(AuthXConfig(JWT_ALGORITHM=material.algorithm, **keys))
    token = auth.create_access_token("alice", data={"role": "member"}, scopes=["read", "write"])

    def read(payload: Any) -> None:
        assert (payload.sub, payload.role) == ("alice", "member")

    return {
        "AuthX makes": (
            lambda _: auth.create_access_token(
                "alice", data={"role": "member"}, scopes=["read", "write"]
            ),
            lambda made: read(auth._decode_token(made)),
        ),
        "AuthX reads": (lambda _: auth._decode_token(token), read),
    }


def _costs(found: Mapping[str, Mapping[str, Times]], columns: Sequence[str]) -> str:
    """Return the table of one question: an algorithm a line, a variant a column, ours first."""
    columns = [name for name in columns if any(name in times for times in found.values())]
    rows = []
    for algorithm, times in found.items():
        ours = times[columns[0]].least
        cells = [
            f"{times[name].least:.1f} ({times[name].least / ours:.2f})" if name in times else "none"
            for name in columns
        ]
        rows.append([algorithm, *cells])
    return table(["algorithm", *columns], rows)


def _medians(found: Mapping[str, Mapping[str, Times]]) -> str:
    ours = [columns[0] for columns in TABLES.values()]
    rows = [[name, *(f"{times[one].median:.1f}" for one in ours)] for name, times in found.items()]
    return table(["algorithm", *ours], rows)
