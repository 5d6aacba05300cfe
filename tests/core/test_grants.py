"""What a client gets of a grant."""

from __future__ import annotations

import pytest

from asgi_refresh.grants import Grant
from asgi_refresh.sessions import FrozenDict
from tests.support import Clock, make_issuer, new_session


@pytest.fixture
def grant(clock: Clock) -> Grant:
    """Of a session that ends in two minutes, without a new refresh token."""
    issuer = make_issuer(clock, store=None)
    session = new_session(clock, idle_expires_at=clock() + 120)
    minted = issuer.mint.access(session, FrozenDict(), ends_at=clock() + 60)
    return Grant(session, minted, None)


@pytest.mark.parametrize(
    ("later", "expected"), [(0.0, (60, 120)), (59.5, (0, 60)), (60.0, (0, 60)), (500.0, (0, 0))]
)
def test_what_is_left_is_told_in_whole_seconds_and_never_below_zero(
    grant: Grant, clock: Clock, later: float, expected: tuple[int, int]
) -> None:
    tokens = grant.tokens(now=clock() + later)

    assert (tokens.expires_in, tokens.refresh_expires_in) == expected


def test_without_a_new_refresh_token_the_one_presented_stays(grant: Grant, clock: Clock) -> None:
    assert grant.tokens(now=clock(), presented="the old one").refresh_token == "the old one"
    assert grant.tokens(now=clock()).refresh_token == ""
