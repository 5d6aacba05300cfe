"""
Events: one frozen record for every decision that matters, handed to one plain callable.

A hook takes the whole record, so a new attribute never breaks one. Nothing in an event is a token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

EventName = Literal[
    "issued",
    "refreshed",
    "repeated",
    "recovered",
    "reused",
    "revoked",
    "rejected",
    "cross_origin",
    "store_unavailable",
    "clock_skew",
    "insecure_cookie",
    "large_cookie",
]
"""
issued: a session began. refreshed: it was rotated. repeated: the newest generation was handed out
once more (parallel requests). recovered: a lost response was made good; the reason says how (late,
fork, ahead). reused: an old token came back, the session was ended. revoked: a session or an access
token was ended. rejected: credentials came and were not accepted. cross_origin: a request from
another origin, or one without its double-submit token, was refused. store_unavailable: the store
failed. clock_skew: a host's clock is further off than the leeway. insecure_cookie: Secure cookies
went out over plain http. large_cookie: a cookie is so large that proxies may refuse the response.
"""


class Client(NamedTuple):
    """
    Who is at the other end, as far as the request says.

    Attributes:
        address: The peer's address as the server reports it (`scope["client"]`), or None.
        user_agent: The User-Agent header, cut to 200 characters; attacker-controlled text.
    """

    address: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """
    One decision.

    Attributes:
        name: Which kind, one of `EventName`.
        subject: Whose session it concerns, where known.
        session_id: Which session it concerns, where known.
        reason: Why, in one word; for `rejected` one of `errors.Reason`.
        detail: More for a human: an origin, a gap between generations, an error's type.
        client: The peer, where a request caused it.
    """

    name: EventName
    subject: str | None = None
    session_id: str | None = None
    reason: str | None = None
    detail: str | None = None
    client: Client | None = None


EventHook: TypeAlias = Callable[[Event], object]
"""What `Issuer(on_event=…)` takes. It is called in the request's task: keep it short."""
