"""
The session record: one sign-in on one browser, of constant size, with nothing secret in it.

Only values live here. What may happen to a session is `rotation`'s to decide, and keeping it is a
store's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from typing import Any, Final, NoReturn, cast

Scalar = str | int | float | None


class FrozenDict(dict[str, Any]):
    """
    A dict that refuses to change; still a dict, so `json.dumps` and `==` work on it.

    Verified claims are shared by every request that shows the same token, so an application that
    could change them would change them for everybody. A copy (`dict(payload)`, `copy.deepcopy`) is
    free to change again.
    """

    __slots__ = ()

    def _refuse(self, *_args: object, **_kwargs: object) -> NoReturn:
        raise TypeError("these claims are read-only; change a copy: dict(payload)")

    __setitem__ = __delitem__ = __ior__ = _refuse  # pyright: ignore[reportAssignmentType]
    clear = pop = popitem = setdefault = update = _refuse  # pyright: ignore[reportAssignmentType]

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(self),)


def freeze(value: Any, *, depth: int = 8) -> Any:
    """
    Return *value*, a JSON value, read-only at every level: frozen dicts, tuples for lists.

    Raises:
        ValueError: It is nested deeper than *depth* levels.
    """
    if not isinstance(value, _NESTING):
        return value
    if depth == 0:
        raise ValueError("nested too deeply")
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        if not _SCALARS.issuperset(map(type, members.values())):
            members = {name: freeze(item, depth=depth - 1) for name, item in members.items()}
        return FrozenDict(members)
    return tuple([freeze(item, depth=depth - 1) for item in cast("Sequence[Any]", value)])


_NESTING: Final = (dict, list, tuple)
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """
    One sign-in on one browser (OIDC `sid`), as a store keeps it.

    All times are seconds since the epoch.

    Attributes:
        id: The session id, 32 hex digits; the `sid` claim. The first four are the `affinity` of its
            subject, the rest is random. No secret: it signs nothing.
        subject: Whose session it is; the `sub` claim.
        created_at: When it began.
        auth_time: When the user last proved who they are (OIDC Core 2).
        expires_at: The absolute end; nothing of the session outlives it.
        idle_expires_at: The end unless it is used before.
        current: The newest generation handed out.
        previous: The generation whose presentation produced `current`; None before the first
            rotation and after a barrier.
        rotated_at: When `current` came to be; None before the first rotation.
        late: The value of `current` at the last late recovery; -1 before the first one.
        forked: Whether the last rotation was a FORK.
        barrier_at: When the last barrier was raised; None without one.
        access_from: Access tokens of an earlier generation than this are refused.
        claims: The claims given at login.
        persistent: Whether its cookies outlive the browser ("remember me").
        device: A label for lists of sessions, or None.
        last_seen: When it was last rotated (or began).
        version: Raised by one at each write: what a store compares.
    """

    id: str
    subject: str
    created_at: float
    auth_time: float
    expires_at: float
    idle_expires_at: float
    current: int = 1
    previous: int | None = None
    rotated_at: float | None = None
    late: int = -1
    forked: bool = False
    barrier_at: float | None = None
    access_from: int = 0
    claims: Mapping[str, Any] = field(default_factory=FrozenDict)
    persistent: bool = True
    device: str | None = None
    last_seen: float = 0.0
    version: int = 1

    @property
    def ends_at(self) -> float:
        """When it ends unless it is used before: the earlier of the idle and the absolute end."""
        return min(self.expires_at, self.idle_expires_at)


@dataclass(frozen=True, slots=True)
class Revocation:
    """
    One entry of a store's revocation log: access tokens that are refused before their time.

    With neither *access_from* nor *jti* the whole session is over.

    Attributes:
        session_id: The session it concerns.
        at: When it was made, in seconds since the epoch.
        until: When the last access token it concerns is out, and the entry may be forgotten.
        access_from: Access tokens of an earlier generation are refused; or None.
        jti: The id of one access token that is refused; or None.
    """

    session_id: str
    at: float
    until: float
    access_from: int | None = None
    jti: str | None = None

    @property
    def ends_session(self) -> bool:
        """Whether it ends the whole session."""
        return self.access_from is None and self.jti is None


def affinity(subject: str) -> str:
    """
    Return the four hex digits that the ids of all sessions of *subject* begin with.

    A store that is spread over many servers keeps together what begins alike.
    """
    return hashlib.sha256(subject.encode(errors="surrogatepass")).hexdigest()[:4]


FIELDS: Final = tuple(f.name for f in fields(Session))
"""The names of a row, in the order of `to_row`: what a store with columns calls them."""
_Draft: Any = make_dataclass(
    "_Draft",
    [
        (f.name, Any, field(default=f.default, default_factory=f.default_factory))
        for f in fields(Session)
    ],
    slots=True,
    kw_only=True,
)


def restored(**attributes: Any) -> Session:
    """
    Return `Session(**attributes)`, as a store or a token has kept it.

    Filled in before it is frozen, which halves the time: a frozen dataclass sets each of its 18
    slots by a call. 3 % of a stateless refresh.
    """
    draft = _Draft(**attributes)
    draft.__class__ = Session
    return cast("Session", draft)


def to_row(session: Session) -> tuple[Scalar, ...]:
    """Return *session* as plain values in the order of `FIELDS`, for a store with columns."""
    return tuple(
        json.dumps(value, separators=(",", ":")) if name == "claims" else value
        for name in FIELDS
        for value in (getattr(session, name),)
    )


def from_row(row: Sequence[Any]) -> Session:
    """Return the session that `to_row` made *row* from."""
    values = dict(zip(FIELDS, row, strict=True))
    values["claims"] = freeze(json.loads(values["claims"]))
    values["forked"] = bool(values["forked"])
    values["persistent"] = bool(values["persistent"])
    return restored(**values)
