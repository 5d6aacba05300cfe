"""
What a request brings along: tokens out of cookies and the Authorization header, verified.

Cryptography, but no I/O: whether a session still lives is asked later.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, TypeAlias, TypeVar

from .cookies import Cookie, collect
from .decide import OfSession, sole
from .errors import InvalidTokenError, Reason
from .events import Client
from .issuer import Issuer
from .tokens import MAX_TOKEN, AccessToken, RefreshToken

Scope: TypeAlias = Mapping[str, Any]
T = TypeVar("T", bound=OfSession)

_PLAIN = re.compile(rb"[0-9A-Za-z._~+/=-]*\Z")
_BEARER = re.compile(rb"bearer +([^ ]+) *\Z", re.IGNORECASE)


class Headers(Mapping[bytes, Sequence[bytes]]):
    """
    The headers of a request by name in lower case, each with all its values.

    Of a browser's fourteen one or two are asked for: each time the list is gone through, which is
    a quarter of the time that sorting all of them takes.
    """

    __slots__ = ("_pairs",)

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        self._pairs = pairs if isinstance(pairs, list | tuple) else list(pairs)

    def get(self, name: bytes, default: Any = ()) -> Any:
        """Return the values of *name*, in their order; *default* without one."""
        size = len(name)
        found = [value for key, value in self._pairs if len(key) == size and key.lower() == name]
        return found or default

    def __getitem__(self, name: bytes) -> Sequence[bytes]:
        found = self.get(name)
        if not found:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[bytes]:
        return iter(dict.fromkeys(name.lower() for name, _ in self._pairs))

    def __len__(self) -> int:
        return len(list(iter(self)))


def request_headers(scope: Scope) -> Headers:
    """Return the headers of *scope*."""
    return Headers(scope["headers"])


def cookie_header(headers: Mapping[bytes, Sequence[bytes]]) -> bytes:
    """Return all Cookie headers as one: HTTP/2 and 3 split it (RFC 9113, 8.2.3)."""
    return b"; ".join(headers.get(b"cookie", ()))


def client_of(scope: Scope, headers: Mapping[bytes, Sequence[bytes]]) -> Client:
    """Return who is at the other end."""
    peer = scope.get("client")
    agent = headers.get(b"user-agent")
    return Client(
        address=str(peer[0]) if peer else None,
        user_agent=agent[0][:200].decode("ascii", "backslashreplace") if agent else None,
    )


def bearer_token(headers: Mapping[bytes, Sequence[bytes]]) -> bytes | None:
    """Return the token of the one `Authorization: Bearer` header (RFC 6750, 2.1), or None."""
    values = headers.get(b"authorization", ())
    match = _BEARER.match(values[0]) if len(values) == 1 else None
    return match[1] if match else None


@dataclass(frozen=True, slots=True)
class Credentials:
    """
    What our cookies hold.

    Attributes:
        names: The names of ours that came along.
        access: The access token, expired or not; None without a genuine one.
        refresh: The refresh token; None without a genuine one.
        reason: Why there is less than was sent, if there is; None if nothing was refused.
        genuine: Every genuine token that came, believed or not.
        buried: The sessions that the tombstone names.
        legacy: What came in the cookie of an earlier system, unread.
        raw: Each name of the two and what may stand under it: the token that is believed, or what
            is none, or is over.
    """

    names: Collection[bytes] = ()
    access: AccessToken | None = None
    refresh: RefreshToken | None = None
    reason: Reason | None = None
    genuine: tuple[AccessToken | RefreshToken, ...] = ()
    buried: tuple[str, ...] = ()
    legacy: tuple[bytes, ...] = ()
    raw: Mapping[bytes, bytes | None] = field(
        default_factory=dict[bytes, "bytes | None"], repr=False
    )

    @property
    def sessions(self) -> frozenset[str]:
        """Every session that a genuine token belongs to."""
        return frozenset(token.session_id for token in self.genuine)


NONE = Credentials()


def read_cookies(
    issuer: Issuer, header: bytes, tombstone: Cookie, *, capped: bool = True
) -> Credentials:
    """
    Return what the Cookie *header* holds.

    Tokens of a session that *tombstone* names are not believed: a response that was on its way
    when the user signed out has put them back. Not *capped* reads a header of any length, for what
    must be ended.
    """
    access_name = issuer.config.access_cookie.key
    refresh_name = issuer.config.refresh_cookie.key
    if capped and len(header) > issuer.config.max_cookie_header:
        return Credentials(reason="oversize_cookies")
    legacy = issuer.legacy
    others = [cookie.key for cookie in legacy.cookies]
    found = collect(header, (access_name, refresh_name, tombstone.key, *others))
    if not found:
        return NONE
    tombs = b"~".join(found.get(tombstone.key, ()))
    ended = tombs.decode("latin-1").split("~") if tombs else []
    accesses, why_access = _genuine(found.get(access_name, ()), issuer.read_access)
    refreshes, why_refresh = _genuine(found.get(refresh_name, ()), issuer.profile.read_refresh)
    access, off_access = _believed(list(accesses.values()), ended, newest_access)
    refresh, off_refresh = _believed(list(refreshes.values()), ended, _newest_refresh)
    if off_access == "ambiguous_cookies":
        refresh = None  # it must not decide between the two
    reason = off_access or off_refresh or why_access or why_refresh
    return Credentials(
        frozenset(found),
        access,
        refresh,
        reason,
        (*accesses.values(), *refreshes.values()),
        tuple(ended),
        () if legacy.cookie is None else tuple(found.get(legacy.cookie.key, ())),
        {
            access_name: _plain(found.get(access_name, ()), accesses, access, issuer.clock()),
            refresh_name: _plain(found.get(refresh_name, ()), refreshes, refresh, inf),
        },
    )


def _genuine(
    values: Iterable[bytes], read: Callable[[bytes], T]
) -> tuple[dict[bytes, T], Reason | None]:
    """Return the genuine tokens among *values*, and a reason if any was not."""
    genuine: dict[bytes, T] = {}
    reason: Reason | None = None
    for value in values:
        try:
            genuine[value] = read(value)
        except InvalidTokenError as error:
            reason = error.reason
    return genuine, reason


def _plain(
    values: Sequence[bytes], genuine: Mapping[bytes, T], believed: T | None, now: float
) -> bytes | None:
    """Return the one of *values* that others may see: never a token that is good elsewhere."""
    for value, token in genuine.items():
        if token is believed:
            return value
    if len(values) != 1 or len(values[0]) > MAX_TOKEN or not _PLAIN.match(values[0]):
        return None  # some readers would make something else of it
    sole_token = genuine.get(values[0])
    over = isinstance(sole_token, AccessToken) and now >= sole_token.expires_at
    return values[0] if sole_token is None or over else None


def _believed(
    genuine: list[T], ended: list[str], newest: Callable[[T], tuple[int, float]]
) -> tuple[T | None, Reason | None]:
    """Return the one token to go by, and a reason if one came that is not believed."""
    if not ended:
        return sole(genuine, newest=newest)
    alive = [token for token in genuine if token.session_id not in ended]
    token, reason = sole(alive, newest=newest)
    return token, reason or ("session_ended" if len(alive) < len(genuine) else None)


def newest_access(token: AccessToken) -> tuple[int, float]:
    """Return what orders the access tokens of one session."""
    return token.generation, token.expires_at


def _newest_refresh(token: RefreshToken) -> tuple[int, float]:
    return token.generation, token.issued_at
