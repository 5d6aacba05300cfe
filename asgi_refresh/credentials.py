"""
What a request brings along: tokens out of cookies and the Authorization header, verified.

Cryptography, but no I/O: whether a session still lives is asked later.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping, Sequence
from math import inf
from typing import Any, NamedTuple, TypeAlias, TypeVar

from .cookies import EMPTY, Cookie, collect
from .decide import OfSession, sole
from .errors import InvalidTokenError, Reason
from .events import Client
from .issuer import Issuer
from .tokens import MAX_TOKEN, AccessToken, RefreshToken

Scope: TypeAlias = MutableMapping[str, Any]
T = TypeVar("T", bound=OfSession)

_MOST = 64  # values of one name that are looked at where a session is to be ended
_PLAIN = (string.ascii_letters + string.digits + "._~+/=-").encode()
_BEARER = re.compile(rb"bearer +([^ ]+) *\Z", re.IGNORECASE)


class Headers(Mapping[bytes, Sequence[bytes]]):
    """
    The headers of a request by name in lower case, each with all its values.

    Of a browser's fourteen one or two are asked for: each time the list is gone through, in 0.6 of
    the time that sorting them takes. 5 % of what a bad signature costs.
    """

    __slots__ = ("_pairs",)

    def __init__(self, pairs: list[tuple[bytes, bytes]]) -> None:
        self._pairs = pairs

    def get(self, name: bytes, default: Any = ()) -> Any:
        """Return the values of *name*, in their order; *default* without one."""
        size = len(name)
        found = [value for key, value in self._pairs if len(key) == size and key.lower() == name]
        return found or default

    def __getitem__(self, name: bytes) -> Sequence[bytes]:
        found: Sequence[bytes] = self.get(name)
        if not found:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[bytes]:
        return iter(dict.fromkeys(name.lower() for name, _ in self._pairs))

    def __len__(self) -> int:
        return len(list(iter(self)))


def request_headers(scope: Scope) -> Headers:
    """
    Return the headers of *scope*, where they are a list of pairs from now on.

    ASGI lets both be any iterable, which may be read once. Without `headers`, which it asks for and
    tests of applications leave out, there are none.
    """
    if type(scope.get("headers")) is not list:
        scope["headers"] = [(name, value) for name, value in scope.get("headers", ())]
    return Headers(scope["headers"])


def cookie_header(headers: Headers) -> bytes:
    """Return all Cookie headers as one: HTTP/2 and 3 split it (RFC 9113, 8.2.3)."""
    return b"; ".join(headers.get(b"cookie"))


def client_of(scope: Scope, headers: Mapping[bytes, Sequence[bytes]]) -> Client:
    """Return who is at the other end."""
    if not isinstance(scope.get("client"), list | tuple | None):
        scope["client"] = tuple(scope["client"])  # as with headers, any iterable will do
    peer = scope.get("client")
    agent = headers.get(b"user-agent")
    return Client(
        str(peer[0]) if peer else None,
        agent[0][:200].decode("ascii", "backslashreplace") if agent else None,
    )


def bearer_token(headers: Headers) -> bytes | None:
    """Return the token of the one `Authorization: Bearer` header (RFC 6750, 2.1), or None."""
    values = headers.get(b"authorization")
    match = _BEARER.match(values[0]) if len(values) == 1 else None
    return match[1] if match else None


class Credentials(NamedTuple):
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
    raw: Mapping[bytes, bytes | None] = EMPTY

    def __repr__(self) -> str:
        return f"Credentials({self.access!r}, {self.refresh!r}, {self.reason!r})"

    @property
    def sessions(self) -> dict[str, float]:
        """Every session that a genuine token belongs to, and when the last access token ends."""
        ends: dict[str, float] = {}
        for token in self.genuine:
            end = token.expires_at if isinstance(token, AccessToken) else 0.0
            ends[token.session_id] = max(end, ends.get(token.session_id, 0.0))
        return ends


NONE = Credentials()


def read_cookies(
    issuer: Issuer,
    header: bytes,
    tombstone: Cookie,
    *,
    capped: bool = True,
    read_access: Callable[[bytes], AccessToken] | None = None,
) -> Credentials:
    """
    Return what the Cookie *header* holds.

    Tokens of a session that *tombstone* names are not believed: a response that was on its way
    when the user signed out has put them back. Not *capped* reads a header of any length, for what
    must be ended. *read_access* stands in for the issuer's.
    """
    access_name, refresh_name = issuer.config.access_cookie.key, issuer.config.refresh_cookie.key
    read_refresh = issuer.profile.read_refresh
    if capped and len(header) > issuer.config.max_cookie_header:
        return Credentials(reason="oversize_cookies")
    legacy = issuer.legacy
    names = (access_name, refresh_name, tombstone.key, *[cookie.key for cookie in legacy.cookies])
    found = collect(header, names) if capped else collect(header, names, most=_MOST)
    if not found:
        return NONE
    tombs = b"~".join(found.get(tombstone.key, ()))
    ended = tombs.decode("latin-1").split("~") if tombs else []
    access = refresh = _UNSENT
    if access_name in found:
        read_access = read_access or issuer.read_access
        access = _came(found[access_name], read_access, ended, newest_access, issuer.clock())
    if refresh_name in found:
        refresh = _came(found[refresh_name], read_refresh, ended, _newest_refresh, inf)
    if access.off == "ambiguous_cookies" and refresh.believed is not None:
        # It must not decide between the two; nor may others take it for nobody's.
        refresh = refresh._replace(believed=None, raw=None)
    return Credentials(
        frozenset(found),
        access.believed,
        refresh.believed,
        access.off or refresh.off or access.why or refresh.why,
        access.genuine + refresh.genuine,
        tuple(ended),
        () if legacy.cookie is None else tuple(found.get(legacy.cookie.key, ())),
        {access_name: access.raw, refresh_name: refresh.raw},
    )


class _Came(NamedTuple):
    """What came under one name: all that is genuine, what is believed of it, why not more."""

    genuine: tuple[Any, ...] = ()
    believed: Any = None
    off: Reason | None = None
    why: Reason | None = None
    raw: bytes | None = None


_UNSENT = _Came()


def _came(
    values: Sequence[bytes],
    read: Callable[[bytes], T],
    ended: list[str],
    newest: Callable[[T], tuple[int, float]],
    now: float,
) -> _Came:
    genuine: dict[bytes, T] = {}
    why: Reason | None = None
    for value in values:
        try:
            genuine[value] = read(value)
        except InvalidTokenError as error:
            why = error.reason
    tokens = tuple(genuine.values())
    believed, off = _believed(tokens, ended, newest)
    return _Came(tokens, believed, off, why, _plain(values, genuine, believed, now))


def _plain(
    values: Sequence[bytes], genuine: Mapping[bytes, T], believed: T | None, now: float
) -> bytes | None:
    """Return the one of *values* that others may see: never a token that is good elsewhere."""
    for value, token in genuine.items():
        if token is believed:
            return value
    if len(values) != 1 or not is_garbage(values[0]):
        return None
    sole_token = genuine.get(values[0])
    over = isinstance(sole_token, AccessToken) and now >= sole_token.expires_at
    return values[0] if sole_token is None or over else None


def is_garbage(value: bytes) -> bool:
    """
    Return whether *value*, which is no token, may be passed down as the garbage that it is.

    Some readers would make something else of other octets, and of a longer one.
    """
    return len(value) <= MAX_TOKEN and not value.translate(None, _PLAIN)


def _believed(
    genuine: Sequence[T], ended: list[str], newest: Callable[[T], tuple[int, float]]
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
