"""Every event of a session says who asked, whatever becomes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asgi_refresh import Client, Config, Event, Issuer, MemoryStore, Session
from asgi_refresh.errors import RevokedTokenError
from asgi_refresh.rotating import Rotating
from asgi_refresh.tokens import RefreshToken
from tests.support import Clock, make_issuer

pytestmark = pytest.mark.anyio

HERE = Client(address="192.0.2.1", user_agent="curl/8")
W = 70.0


class Host:
    """An issuer whose claims may be refused, and the session of somebody who is signed in."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.events: list[Event] = []
        self.claims: dict[str, Any] | None = {}
        self.issuer: Issuer = make_issuer(
            clock,
            store=MemoryStore(),
            config=Config(max_sessions=2),
            on_event=self.events.append,
            load_claims=lambda _session: self.claims,
        )
        assert self.issuer.rotating is not None
        self.rotating: Rotating = self.issuer.rotating

    def session(self) -> Session:
        return self.issuer.mint.session("alice", None, persistent=True, device=None)

    async def begin(self) -> str:
        self.clock.advance(1)  # one after the other
        return (await self.rotating.begin(self.session(), client=HERE)).session.id

    async def rotate(self, session_id: str, generation: int) -> None:
        self.clock.advance(W)
        look = await self.rotating.look(RefreshToken(session_id, generation), client=HERE)
        await self.rotating.settle(look, client=HERE)


async def begun(host: Host, _: str) -> None:
    await host.begin()


async def one_too_many(host: Host, _: str) -> None:
    await host.begin()
    await host.begin()


async def refreshed(host: Host, session_id: str) -> None:
    await host.rotate(session_id, 1)


async def stolen(host: Host, session_id: str) -> None:
    await host.rotate(session_id, 1)
    await host.rotate(session_id, 2)
    host.events.clear()
    with pytest.raises(RevokedTokenError):
        await host.rotate(session_id, 1)


async def claims_refused(host: Host, session_id: str) -> None:
    host.claims = None
    with pytest.raises(RevokedTokenError):
        await host.rotate(session_id, 1)


async def signed_out(host: Host, session_id: str) -> None:
    await host.rotating.end_kept(session_id, reason="logout", client=HERE)


async def signed_out_everywhere(host: Host, _: str) -> None:
    await host.rotating.end_subject("alice", client=HERE)


async def others_signed_out(host: Host, session_id: str) -> None:
    other = await host.begin()
    host.events.clear()
    await host.rotating.end_others("alice", other, client=HERE)
    assert host.events[0].session_id == session_id


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (begun, [("issued", None)]),
        (one_too_many, [("issued", None), ("issued", None), ("revoked", "max_sessions")]),
        (refreshed, [("refreshed", "current")]),
        (stolen, [("reused", "theft"), ("revoked", "reused_token")]),
        (claims_refused, [("revoked", "claims_refused")]),
        (signed_out, [("revoked", "logout")]),
        (signed_out_everywhere, [("revoked", "everywhere")]),
        (others_signed_out, [("revoked", "others")]),
    ],
)
async def test_what_happens_is_told_with_who_asked(
    clock: Clock,
    what: Callable[[Host, str], Awaitable[None]],
    told: list[tuple[str, str | None]],
) -> None:
    host = Host(clock)
    session_id = await host.begin()
    host.events.clear()

    await what(host, session_id)

    assert [(event.name, event.reason) for event in host.events] == told
    assert {(event.subject, event.client) for event in host.events} == {("alice", HERE)}


async def test_an_explicit_refresh_is_told_with_who_asked(clock: Clock) -> None:
    host = Host(clock)
    first = await host.issuer.issue("alice")
    for generation in (1, 2):
        await host.rotate(first.session_id, generation)
    host.events.clear()

    with pytest.raises(RevokedTokenError):
        await host.issuer.refresh(first.refresh_token, client=HERE)

    assert [(event.name, event.client) for event in host.events] == [
        ("reused", HERE),
        ("revoked", HERE),
    ]
