"""
What a token says, of which kind it is, and whether it verifies and why not. Nothing here prints.

The verdict is that of the library's own readers; only the reason is found here, by looking at one
part after the other.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import jwt

from asgi_refresh.access import AccessReader
from asgi_refresh.claims import parse_object
from asgi_refresh.config import Config
from asgi_refresh.errors import ConfigurationError, InvalidTokenError
from asgi_refresh.jwt_profile import JwtProfile
from asgi_refresh.keys import Key, access_keys, secret_bytes
from asgi_refresh.signers import b64decode
from asgi_refresh.tokens import MAX_TOKEN, token_bytes

Kind = Literal["access", "refresh (rotating)", "refresh (stateless)", "foreign", "unknown"]

_ROTATING: Final = re.compile(r"[0-9A-Za-z_-]{1,64}\.[0-9]{1,16}\.[0-9A-Za-z_-]{43}\Z")
_TEXT: Final = re.compile(r"[A-Za-z0-9._-]+\Z")
_FIELDS: Final = (
    *("sid", "sub", "created_at", "auth_time", "expires_at", "idle_expires_at", "iat"),
    *("claims", "persistent", "device"),
)
_HIDDEN: Final = frozenset({"csrf"})
"""Claims that are secrets: whoever knows the double-submit token can repeat it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """
    What there is to tell of a token.

    Attributes:
        kind: Which.
        system: Whose it is, in words.
        header: The header of a JWT.
        claims: What it says; secrets among it are left out.
        verifies: Whether its signature and its claims hold; None: there was no key to ask.
        why: Why it does not, or what would be needed to tell.
        expires_at: When its time is over, in seconds since the epoch, where it says so.
        generation: Of a refresh token that rotates.
    """

    kind: Kind
    system: str
    header: Mapping[str, Any] = field(default_factory=dict[str, Any])
    claims: Mapping[str, Any] = field(default_factory=dict[str, Any])
    verifies: bool | None = None
    why: str = ""
    expires_at: float | None = None
    generation: int | None = None


@dataclass(frozen=True, slots=True)
class Keys:
    """
    What tokens are checked with; nothing is shown of it.

    Attributes:
        secrets: The secrets by the names of their variables.
        public: Keys from a file.
    """

    secrets: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    public: Sequence[Key] = ()

    def __bool__(self) -> bool:
        return bool(self.secrets or self.public)


def explain(token: str, keys: Keys, config: Config, *, now: float) -> Explained:
    """
    Return what there is to tell of *token*, whatever text that is.

    Args:
        token: The token.
        keys: What it is checked with.
        config: Whose issuer, audience and leeway count.
        now: In seconds since the epoch.
    """
    if not _TEXT.match(token) or len(token) > MAX_TOKEN:
        return _unknown(f"a token is up to {MAX_TOKEN} letters, digits, '.', '_' and '-'")
    if _ROTATING.match(token):
        return _refresh(_rotating(token), token, keys, config, stateless=False)
    parts = token.split(".")
    if len(parts) == 2 and (found := _stateless(parts[0])) is not None:
        found = _refresh(found, token, keys, config, stateless=True)
        return _expired(found, now)
    if len(parts) == 3:
        try:
            header, claims = (parse_object(b64decode(part.encode())) for part in parts[:2])
        except InvalidTokenError:
            return _unknown("three parts, and the first two are no JSON objects in base64url")
        return _jwt(token, header, claims, keys, config, now)
    return _unknown("neither a JWT (three parts) nor a refresh token of asgi_refresh")


def _unknown(why: str) -> Explained:
    return Explained(kind="unknown", system="unknown", verifies=False, why=why)


# --- refresh tokens -------------------------------------------------------------------------------


def _rotating(token: str) -> Explained:
    session_id, generation, _ = token.split(".")
    return Explained(
        kind="refresh (rotating)",
        system="asgi_refresh",
        claims={"sid": session_id, "gen": int(generation)},
        generation=int(generation),
        why="when it ends is in the store",
    )


def _stateless(message: str) -> Explained | None:
    decoded = b64decode(message.encode())
    try:  # an object is what the strict reader reads, so the list is put into one
        fields = parse_object(b'{"fields":' + (decoded or b"") + b"}")["fields"]
        if not isinstance(fields, list) or len(fields) != len(_FIELDS):  # pyright: ignore[reportUnknownArgumentType]
            return None
    except InvalidTokenError:
        return None
    claims: dict[str, Any] = dict(zip(_FIELDS, fields, strict=True))  # pyright: ignore[reportUnknownArgumentType]
    ends = [at for at in (claims["expires_at"], claims["idle_expires_at"]) if type(at) is int]
    return Explained(
        kind="refresh (stateless)",
        system="asgi_refresh",
        claims=_shown(claims),
        expires_at=min(ends, default=None),
    )


def _refresh(
    found: Explained, token: str, keys: Keys, config: Config, *, stateless: bool
) -> Explained:
    if not keys.secrets:
        return replace(found, why="no secret to check it with: set the variable, or name it")
    try:
        secrets = [secret_bytes(secret) for secret in keys.secrets.values()]
        profile = JwtProfile(
            access_keys(list(secrets)), secrets, issuer=config.issuer, stateless=stateless
        )
    except ConfigurationError as error:
        return replace(found, why=f"{', '.join(keys.secrets)}: {error}")
    try:
        profile.read_refresh(token_bytes(token))
    except InvalidTokenError:
        names = " or ".join(keys.secrets)
        whose = f" for the issuer {config.issuer!a}" if config.issuer else ""
        return replace(
            found, verifies=False, why=f"it is not signed with {names}{whose}, or was changed"
        )
    return replace(found, verifies=True)


# --- JWTs -----------------------------------------------------------------------------------------


def _jwt(
    token: str,
    header: dict[str, Any],
    claims: dict[str, Any],
    keys: Keys,
    config: Config,
    now: float,
) -> Explained:
    ours = str(header.get("typ")).lower().removeprefix("application/") == "at+jwt"
    expires_at = claims.get("exp")
    found = Explained(
        kind="access" if ours and "gen" in claims else "foreign",
        system=_system(claims, ours=ours),
        header=header,
        claims=_shown(claims),
        expires_at=expires_at if type(expires_at) in (int, float) else None,
    )
    if not keys:
        return replace(found, why="no key to check it with: set the variable, or name one")
    check = _why_not_ours if found.kind == "access" else _why_not_theirs
    try:
        why = check(token, header, claims, keys, config, now)
    except ConfigurationError as error:
        return replace(found, why=f"{', '.join(keys.secrets)}: {error}")
    return _expired(replace(found, verifies=why is None, why=why or ""), now)


def _expired(found: Explained, now: float) -> Explained:
    if found.verifies and found.expires_at is not None and now >= found.expires_at:
        return replace(found, verifies=False, why="it has expired; its signature is good")
    return found


def _system(claims: Mapping[str, Any], *, ours: bool) -> str:
    kind = claims.get("type")
    if ours:
        return "asgi_refresh" if "gen" in claims else "another issuer of RFC 9068"
    if kind in ("access", "refresh") and "csrf" in claims and "gen" in claims:
        return f"asgi_refresh in front of AuthX or Flask-JWT-Extended ({kind})"
    if kind in ("access", "refresh"):
        # Flask-JWT-Extended always says `nbf` unless told otherwise, AuthX never does.
        return f"{'Flask-JWT-Extended' if 'nbf' in claims else 'AuthX'}, as it seems ({kind})"
    if "token_type" in claims:
        return f"djangorestframework-simplejwt, as it seems ({claims['token_type']!a})"
    if str(claims.get("aud")).startswith("['fastapi-users:"):
        return "fastapi-users"
    return "unknown"


def _why_not_ours(
    token: str,
    header: dict[str, Any],
    claims: dict[str, Any],
    keys: Keys,
    config: Config,
    now: float,
) -> str | None:
    secrets = [secret_bytes(secret) for secret in keys.secrets.values()]
    ring = [*(access_keys(list(secrets)) if secrets else ()), *keys.public]
    leeway = config.leeway.total_seconds()
    reader = AccessReader(ring, issuer=config.issuer, audience=config.audience, leeway=leeway)
    raw = token_bytes(token)
    try:
        reader.read(raw, now=now)
    except InvalidTokenError:
        pass
    else:
        return None
    key = next((key for key in ring if key.id == header.get("kid")), None)
    signing_input, _, signature = raw.rpartition(b".")
    if key is None:
        return f"its key {header.get('kid')!a} is none of {', '.join(repr(k.id) for k in ring)}"
    if header.get("alg") != key.algorithm:
        return f"its header says {header.get('alg')!a}, and the key {key.id} is for {key.algorithm}"
    if not key.signer.verify(signing_input, signature):
        return f"the signature is not that of the key {key.id}: it was changed or forged"
    if claims.get("iss") != config.issuer:
        return f"it is of the issuer {claims.get('iss')!a}, and {config.issuer!a} is required"
    if claims.get("aud") not in (config.audience, [config.audience]):
        return f"it is for the audience {claims.get('aud')!a}, and {config.audience!a} is required"
    for name in ("iat", "nbf"):
        if type(claims.get(name)) in (int, float) and claims[name] > now + leeway:
            return f"its {name} is {claims[name] - now:.0f} s in the future: a clock is wrong"
    return (
        "its signature is good, but a claim is missing, of a wrong type, or unknown in the header"
    )


def _why_not_theirs(
    token: str,
    header: dict[str, Any],
    _claims: dict[str, Any],
    keys: Keys,
    _config: Config,
    _now: float,
) -> str | None:
    algorithm = str(header.get("alg"))
    candidates: list[Any] = [key.signer.public for key in keys.public if key.algorithm == algorithm]
    if algorithm.startswith("HS"):  # the algorithm is the key's to say: a secret is for HMAC only
        candidates = list(keys.secrets.values())
    for candidate in candidates:
        if candidate is not None and _is_signed(token, candidate, algorithm):
            return None
    if not candidates:
        return f"there is no key here for {algorithm!a}: name one with --key"
    return "it is signed with another key, or was changed"


def _is_signed(token: str, key: Any, algorithm: str) -> bool:
    options: Any = {f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud", "iss", "sub")}
    options["verify_jti"] = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the secret of another system is short
            jwt.decode(token, key, algorithms=[algorithm], options=options)
    except Exception:  # noqa: BLE001 - whatever PyJWT raises on what it is given
        return False
    return True


def _shown(claims: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: "(a secret, not shown)" if name in _HIDDEN else value
        for name, value in claims.items()
    }
