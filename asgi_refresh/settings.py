"""
Settings as text: what `Config.from_env` reads, and how `asgi-refresh check` shows them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final

from .cookies import Cookie
from .errors import ConfigurationError

PREFIX: Final = "ASGI_REFRESH_"
OTHERS: Final = frozenset({f"{PREFIX}STORE"})
"""Variables of that prefix that are no settings: the store's URL."""

_UNITS: Final = {"ms": 0.001, "": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?(ms|s|m|h|d|)\Z")
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


def parse(environ: Mapping[str, str], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the settings that *environ* has, by field.

    Args:
        environ: Environment variables; only those that begin with `PREFIX` matter.
        defaults: The fields and their defaults, whose types say how a variable is read.

    Raises:
        ConfigurationError: A variable names no setting, or says nothing that the setting can be.
    """
    values: dict[str, Any] = {}
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in OTHERS:
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name not in defaults:
            raise ConfigurationError(f"{variable} is no setting{_hint(name, defaults)}")
        try:
            values[name] = _reader(name, defaults[name])(environ[variable].strip())
        except ValueError as error:
            raise ConfigurationError(f"{variable}: {error}") from None
    return values


def _hint(name: str, defaults: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, defaults, 1)
    return f"; is it {PREFIX}{close[0].upper()}?" if close else ""


def _reader(name: str, default: Any) -> Callable[[str], Any]:
    if isinstance(default, timedelta):
        return _duration
    if isinstance(default, Cookie):
        return _cookie
    if name == "csrf_cookie":
        return lambda text: _cookie(text) if text else None  # no double-submit token
    if isinstance(default, bool):
        return _boolean
    if name == "max_sessions":
        return lambda text: _integer(text) if text else None  # no limit
    if isinstance(default, int):
        return _integer
    if isinstance(default, tuple):
        return _words
    return lambda text: text or None  # no issuer, no audience; a Literal is checked by Config


def _duration(text: str) -> timedelta:
    match = _DURATION.match(text)
    if match is None:
        raise ValueError(f"a duration is a number and ms, s, m, h or d, as in 10m; not {text!r}")
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


def _boolean(text: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise ValueError(f"true or false, not {text!r}")
    return text.lower() in _TRUE


def _integer(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 12:
        raise ValueError(f"a whole number, not {text!r}")
    return int(text)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _cookie(text: str) -> Cookie:
    """Read a cookie as Set-Cookie has it: "access; Path=/app; SameSite=Strict; Secure=false"."""
    name, *attributes = (part.strip() for part in text.split(";"))
    values: dict[str, Any] = {}
    for attribute in attributes:
        key, _, value = attribute.partition("=")
        match key.strip().lower():
            case "path" | "domain" as plain:
                values[plain] = value.strip()
            case "samesite":
                values["same_site"] = value.strip().lower()
            case "secure" | "partitioned" as flag:
                values[flag] = _boolean(value.strip() or "true")
            case "httponly":
                values["http_only"] = _boolean(value.strip() or "true")
            case other:
                raise ValueError(f"a cookie has no attribute {other!r} here")
    return Cookie(name, **values)


def show(value: Any) -> str:
    """Return a setting as `parse` reads it."""
    if isinstance(value, timedelta):
        return _show_duration(value)
    if isinstance(value, Cookie):
        return _show_cookie(value)
    if isinstance(value, tuple):
        return " ".join(map(str, value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _show_duration(value: timedelta) -> str:
    for unit in ("d", "h", "m", "s"):
        whole, rest = divmod(value, timedelta(seconds=_UNITS[unit]))
        if whole and not rest:
            return f"{whole}{unit}"
    seconds, rest = divmod(value, timedelta(seconds=1))
    return f"{seconds}.{rest.microseconds:06}".rstrip("0").rstrip(".") + "s"


def _show_cookie(cookie: Cookie) -> str:
    parts = [cookie.name, f"Path={cookie.path}"]
    if cookie.domain is not None:
        parts.append(f"Domain={cookie.domain}")
    parts += [f"SameSite={cookie.same_site}", f"Secure={str(cookie.secure).lower()}"]
    if not cookie.http_only:
        parts.append("HttpOnly=false")
    return "; ".join([*parts, "Partitioned"] if cookie.partitioned else parts)
