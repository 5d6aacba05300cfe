"""The mode without a store: what is told of a session, and of which generation its tokens are."""

from __future__ import annotations

import jwt
import pytest
from authx import AuthXConfig

from asgi_refresh import Client, Event, Issuer
from asgi_refresh.compat.authx import authx_issuer
from asgi_refresh.errors import RevokedTokenError
from asgi_refresh.tokens import RefreshToken
from tests.support import SECRET, Clock, make_issuer, new_session

pytestmark = pytest.mark.anyio

PEER = Client("192.0.2.7", "a browser")


@pytest.fixture
def issuer(clock: Clock, events: list[Event]) -> Issuer:
    return make_issuer(clock, store=None, on_event=events.append)


async def test_a_login_is_told_with_the_client(
    issuer: Issuer, clock: Clock, events: list[Event]
) -> None:
    await issuer.mode.begin(new_session(clock), client=PEER)

    assert events == [Event("issued", "alice", "s1", client=PEER)]


async def test_a_session_that_load_claims_ends_is_told_with_the_client(
    clock: Clock, events: list[Event]
) -> None:
    issuer = make_issuer(clock, store=None, on_event=events.append, load_claims=lambda _: None)
    token = RefreshToken("s1", 0, new_session(clock))
    with pytest.raises(RevokedTokenError):
        await issuer.mode.look(token, client=PEER)

    assert events == [Event("revoked", "alice", "s1", "claims_refused", client=PEER)]


async def test_a_sign_out_is_told_with_the_client(issuer: Issuer, events: list[Event]) -> None:
    assert await issuer.mode.end("s1", reason="logout", subject="alice", client=PEER) is True

    assert events == [Event("revoked", "alice", "s1", "logout", client=PEER)]


async def test_the_end_of_a_session_that_another_replaces_is_told_with_the_client(
    issuer: Issuer, events: list[Event]
) -> None:
    await issuer.mode.end_kept("s1", reason="replaced", client=PEER)

    assert events == [Event("revoked", None, "s1", "replaced", client=PEER)]


async def test_tokens_are_of_no_generation_that_a_store_would_look_for(clock: Clock) -> None:
    """Those of AuthX say it: once there is a store, it adopts who comes with one."""
    issuer = authx_issuer(
        AuthXConfig(JWT_SECRET_KEY=SECRET, JWT_TOKEN_LOCATION=["cookies"]), clock=clock
    )
    session = new_session(clock)
    login = await issuer.mode.begin(session, client=None)
    look = await issuer.mode.look(RefreshToken("s1", 1, session), client=None)
    refresh = await issuer.mode.settle(look, client=None)

    assert refresh is not None
    for raw in (login.refresh_token, refresh.refresh_token):
        assert raw is not None
        assert jwt.decode(raw, options={"verify_signature": False})["gen"] == 0


@pytest.mark.parametrize(("generation", "replaced"), [(1, True), (0, False)])
async def test_a_token_of_an_earlier_system_is_replaced_at_once(
    issuer: Issuer, clock: Clock, generation: int, replaced: bool
) -> None:
    token = RefreshToken("s1", generation, new_session(clock), clock())
    look = await issuer.mode.look(token, client=None)
    grant = await issuer.mode.settle(look, client=None)

    assert grant is not None
    assert (grant.refresh_token is not None) is replaced
