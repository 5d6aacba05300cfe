"""
The reader of refresh tokens, in both modes: what was minted is read, and nothing else is.

An input is one letter and a text. `T` is a token as it stands: whatever accepts it must have signed
it, by itsdangerous' own calculation, and mint the same bytes again. `M` is a session, a field to a
line: what is minted for it says it all, and with one character changed nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from itsdangerous import Signer

from asgi_refresh.claims import check_claims, is_identifier, is_session_id
from asgi_refresh.errors import InvalidTokenError
from asgi_refresh.jwt_profile import JwtProfile
from asgi_refresh.sessions import Session
from asgi_refresh.tokens import RefreshToken
from tests.tokens import forge

from .engine import Target

NEW, OLD = b"the newest secret of the fuzzer, of 40 bytes", b"the secret before, of 40 bytes or so"
NOW = 1_800_000_000.0
_LAST_CHANGED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~= "


class Mode:
    """A profile of one mode, with an old secret beside the new one."""

    def __init__(self, *, stateless: bool) -> None:
        name = "stateless" if stateless else "rotating"
        self.profile = JwtProfile([forge.KEY], [NEW, OLD], stateless=stateless)
        self.minters = [JwtProfile([forge.KEY], [s], stateless=stateless) for s in (NEW, OLD)]
        self.signers = [
            Signer(
                secret,
                salt=f"asgi_refresh {name} refresh token ",
                key_derivation="hmac",
                digest_method=hashlib.sha256,
            )
            for secret in (NEW, OLD)
        ]

    def signed(self, raw: bytes) -> int | None:
        """By which of the secrets *raw* was signed, or None."""
        message, dot, tag = raw.rpartition(b".")
        for index, signer in enumerate(self.signers):
            if dot and message and signer.get_signature(message) == tag:
                return index
        return None


ROTATING, STATELESS = Mode(stateless=False), Mode(stateless=True)


def target(data: bytes) -> None:
    """Raise where the reader of refresh tokens breaks its word."""
    if data[:1] == b"M":
        minted(data[1:].split(b"\n"))
    else:
        presented(data[1:])


def presented(raw: bytes) -> None:
    for mode in (ROTATING, STATELESS):
        token = read(mode, raw)
        if token is None:
            continue
        by = mode.signed(raw)
        assert by is not None, "what is read was signed"
        assert len(raw) <= 8192
        session = token.session or bare(token.session_id)
        again = mode.minters[by].mint_refresh(session, token.generation, now=token.issued_at)
        assert again == raw, "one spelling"
        assert mode is STATELESS or token.session is None, "only where there is no store"


def minted(fields: list[bytes]) -> None:
    """Mint for a session as `Mint.session` lets it be, and read that."""
    made = session_of(fields)
    if made is None:
        return
    session, generation, old = made
    for mode, other in ((ROTATING, STATELESS), (STATELESS, ROTATING)):
        raw = mode.minters[old].mint_refresh(session, generation, now=session.last_seen)
        if len(raw) > 4096:  # `Mint.refresh` does not hand it out
            continue
        token = read(mode, raw)
        assert token is not None, "what was minted is read"
        expected = (
            RefreshToken(session.id, generation)
            if mode is ROTATING
            else RefreshToken(session.id, 0, session, session.last_seen)
        )
        assert token == expected, "what is read was said"
        assert read(other, raw) is None, "the modes stay apart"
        at = (generation + session.created_at) % len(raw)
        for byte in (_LAST_CHANGED[at % len(_LAST_CHANGED)], raw[at] ^ 0x20, raw[at] ^ 1):
            bad = raw[: int(at)] + bytes([byte]) + raw[int(at) + 1 :]
            assert bad == raw or read(mode, bad) is None, "one character changed"


def read(mode: Mode, raw: bytes) -> RefreshToken | None:
    try:
        return mode.profile.read_refresh(raw)
    except InvalidTokenError as error:
        if (str(error), error.reason) != ("the token is not valid", "invalid_token"):
            raise AssertionError("the one refusal") from error
        return None


def session_of(fields: list[bytes]) -> tuple[Session, int, bool] | None:
    """The session that *fields* describe, its generation, and whether the old secret signs."""
    text = [field.decode("utf-8", "replace") for field in fields]
    text += [""] * (11 - len(text))
    try:
        numbers = [int(item[:16] or 0) for item in text[3:9]]
        claims: Any = json.loads(text[9] or "{}")
        claims = check_claims(claims)
    except (ValueError, RecursionError):
        return None
    sid, subject, device = text[:3]
    if not is_session_id(sid) or not is_identifier(subject):
        return None
    if device and not is_identifier(device):
        return None
    session = Session(
        id=sid,
        subject=subject,
        created_at=numbers[0],
        auth_time=numbers[1],
        expires_at=numbers[2],
        idle_expires_at=numbers[3],
        last_seen=numbers[4],
        claims=claims,
        persistent=not text[10].startswith("n"),
        device=device or None,
    )
    return session, abs(numbers[5]), text[10].endswith("o")


def bare(session_id: str) -> Session:
    """A session of which nothing is known but its id."""
    return Session(
        id=session_id, subject="x", created_at=0, auth_time=0, expires_at=0, idle_expires_at=0
    )


TARGET = Target(
    "refresh",
    target,
    separators=[b"\n", b".", b",", b"1"],
    pieces=(re.compile(rb"[^\n]+"), re.compile(rb"[^\n.,:]+")),
    most=1024,
    execution="one token, offered to the readers of both modes; or one session, minted and read in"
    " both, offered to the other and offered in three damaged spellings",
)
