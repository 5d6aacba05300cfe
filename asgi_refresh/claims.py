"""
Claims as strict JSON: what may be said in a token, and what is believed of one (RFC 7519, 8725).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from math import isfinite
from typing import Any, Final, cast

from .errors import InvalidTokenError
from .sessions import FrozenDict, freeze

RESERVED: Final = frozenset(
    {"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "typ", "sid", "auth_time", "gen"}
)
"""Claims that are the issuer's to set."""

MAX_CLAIMS: Final = 4096
"""Bytes of claims, as JSON: more would fit into no cookie."""

encode: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
"""Return the one JSON text for a value; ValueError or TypeError where there is none."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member name stands twice")
    return members


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError(f"{text} is more than a float holds")
    return value


_scan: Final = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite).raw_decode
_scan_unique: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite
).raw_decode


def parse_object(raw: bytes | None) -> dict[str, Any]:
    """
    Return the JSON object that *raw* spells: UTF-8, no name twice, no NaN, not nested absurdly.

    Raises:
        InvalidTokenError: It does not.
    """
    if raw is None:
        raise InvalidTokenError
    try:
        text = raw.decode().strip(_JSON_SPACE)
        parsed, end = _scan(text)
        # Every member has its colon: no more colons than names, and no name stands twice, at any
        # depth. Else a hook looks at each object, which makes a first sight 9 % dearer.
        if not isinstance(parsed, dict) or text.count(":") != len(cast("dict[str, Any]", parsed)):
            parsed, end = _scan_unique(text)
    except (ValueError, RecursionError):
        raise InvalidTokenError from None
    if not isinstance(parsed, dict) or end != len(text):
        raise InvalidTokenError
    return cast("dict[str, Any]", parsed)


_JSON_SPACE: Final = " \t\r\n"  # RFC 8259, 2


_FORBIDDEN: Final = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


def is_identifier(value: object) -> bool:
    """Return whether *value* can be a subject: 1 to 255 characters, no controls (OIDC Core, 2)."""
    if not isinstance(value, str) or not 0 < len(value) < 256:
        return False
    return value.isprintable() or not _FORBIDDEN.search(value)  # the first is the cheaper one


_SESSION_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,64}\Z")


def is_session_id(value: object) -> bool:
    """Return whether *value* can be a session's id; no token can, for there are dots in all."""
    return isinstance(value, str) and _SESSION_ID.match(value) is not None


def number(value: Any) -> float:
    """
    Return *value* if it is a number of seconds.

    Raises:
        ValueError: It is not.
    """
    # Not bool, not a string of digits, not beyond what a float counts exactly.
    if (type(value) is not int and type(value) is not float) or not -(2**53) < value < 2**53:
        raise ValueError("not a number of seconds")
    return value


def check_payload(payload: dict[str, Any]) -> None:
    """
    Check that *payload* holds the claims of an access token, of the right types.

    Raises:
        KeyError, TypeError, ValueError: It does not.
    """
    if not (
        is_identifier(payload["sub"])
        and is_identifier(payload["sid"])
        and is_identifier(payload["jti"])
        and type(payload["gen"]) is int
        and number(payload["exp"]) > 0
    ):
        raise ValueError("claims")
    number(payload["iat"])
    number(payload["auth_time"])


def check_claims(claims: Mapping[str, Any] | None) -> FrozenDict:
    """
    Return extra *claims* as they will travel, read-only; None is none.

    Raises:
        ValueError: A name is reserved or not a string, or a value is not JSON.
    """
    if claims is None:
        return FrozenDict()
    if not isinstance(claims, Mapping):
        raise ValueError("claims must be a mapping")  # noqa: TRY004 - one error for bad claims
    reserved = RESERVED.intersection(claims)
    if reserved:
        raise ValueError(f"claims {', '.join(sorted(reserved))} are the issuer's to set")
    if not all(isinstance(name, str) for name in claims):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError("claim names are strings")
    try:
        text = encode(dict(claims))
        if len(text) > MAX_CLAIMS:
            raise ValueError(f"claims of {len(text)} bytes, and no cookie holds {MAX_CLAIMS}")
        frozen = freeze(json.loads(text))
    except (TypeError, RecursionError) as error:
        raise ValueError(f"claims must be JSON values: {error}") from None
    assert isinstance(frozen, FrozenDict)  # noqa: S101 - a dict went in
    return frozen
