"""The session that a token of an earlier system begins, and the ids that are derived from one."""

from __future__ import annotations

import re
from typing import Any

import pytest

from asgi_refresh import Cookie, Legacy, LegacyToken
from asgi_refresh.errors import ConfigurationError
from asgi_refresh.legacy import adoptable, adopted_id, is_adopted, is_stray, stray_id
from asgi_refresh.sessions import Session, affinity
from asgi_refresh.tokens import RefreshToken

NOW, DAY = 1_800_000_000.0, 86400.0


@pytest.mark.parametrize("persistent", [True, False])
def test_a_session_begins_as_the_token_says(persistent: bool) -> None:
    token = LegacyToken("j1", "alice", NOW + DAY, NOW - DAY, {"role": "admin"}, persistent)
    session = Session(
        id=adopted_id("alice", "j1"),
        subject="alice",
        created_at=NOW - DAY,
        auth_time=0.0,
        expires_at=NOW + 89 * DAY,
        idle_expires_at=NOW + DAY,
        claims={"role": "admin"},
        persistent=persistent,
        last_seen=NOW - DAY,
    )

    assert adoptable(token, now=NOW, lifetime=90 * DAY) == RefreshToken(
        session.id, 1, session, NOW - DAY
    )


def test_of_a_token_that_does_not_say_when_it_began_the_session_begins_now() -> None:
    session = adoptable(LegacyToken("j1", "alice", NOW + DAY), now=NOW, lifetime=DAY).session

    assert session is not None
    assert (session.created_at, session.last_seen, session.expires_at) == (NOW, NOW, NOW + DAY)


DERIVED = {adopted_id: is_adopted, stray_id: is_stray}


@pytest.mark.parametrize("derive", DERIVED)
def test_an_id_is_derived_from_subject_and_token_and_from_nothing_else(derive: Any) -> None:
    pairs = [("alice", "1"), ("alice", "2"), ("bob", "1"), ("alice 1", ""), ("alice", " 1")]

    assert len({derive(*pair) for pair in pairs}) == len(pairs)
    assert derive("alice", "1") == derive("alice", "1")
    assert re.fullmatch(f"{affinity('alice')}[lp][0-9a-f]{{27}}", derive("alice", "1"))


@pytest.mark.parametrize("derive", DERIVED)
def test_an_id_says_what_it_was_derived_for(derive: Any) -> None:
    made = derive("alice", "1")

    assert [check(made) for check in DERIVED.values()] == [
        check is DERIVED[derive] for check in DERIVED.values()
    ]


def test_an_id_that_is_drawn_is_of_neither_kind() -> None:
    assert not is_adopted("0123456789abcdef" * 2)
    assert not is_stray("0123456789abcdef" * 2)


@pytest.mark.parametrize("derive", DERIVED)
def test_a_token_may_be_called_by_what_no_encoding_has(derive: Any) -> None:
    assert derive("alice", "\ud800") != derive("alice", "\ud801")


COOKIE = Cookie("old")


@pytest.mark.parametrize("drop", [[], (), [COOKIE], (COOKIE, Cookie("older"))])
def test_the_cookies_of_the_earlier_system_are_cookies(drop: Any) -> None:
    assert Legacy(lambda _: None, COOKIE, drop).drop == drop


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"read": "a name"}, "read"),
        ({"cookie": "old"}, "cookie"),
        ({"drop": COOKIE}, "drop"),
        ({"drop": {COOKIE}}, "drop"),
        ({"drop": ["old"]}, "drop"),
        ({"drop": [COOKIE, "old"]}, "drop"),
    ],
)
def test_what_is_of_another_kind_is_refused(wrong: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigurationError, match=f"accept_legacy: {what} is"):
        Legacy(**{"read": lambda _: None, "cookie": COOKIE, **wrong})
