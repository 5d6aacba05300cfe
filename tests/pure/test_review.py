"""What the review of the settings calls weak, each at its threshold, and in which words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from asgi_refresh import Config, Cookie
from asgi_refresh.review import Keeping, weaknesses

HOUR, DAY, MINUTE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=1)
A_MOMENT = timedelta(microseconds=1)

NO_STORE = "no store: nothing rotates, a stolen refresh token is not noticed or revoked"
MEMORY = "store memory: sessions end with the process, and every process has its own"
WORKS_ON = "revocation=refresh: an access token works on after a sign-out, until it expires"
LONG_ACCESS = "access_lifetime: beyond an hour a copied access token is of use for long"
LONG_SESSION = "session_lifetime: half a year without a sign-in"
LONG_IDLE = "idle_lifetime: without a store a copied refresh token is of use for that long"
SHORT_GRACE = "rotation_grace: below 10 s parallel requests and lost responses sign users out"
LONG_GRACE = "rotation_grace: a thief who refreshes within it of the user is not noticed"


def found(keeping: Keeping = "store", **settings: Any) -> list[str]:
    return weaknesses(Config(**settings), keeping=keeping)


@pytest.mark.parametrize(
    ("keeping", "expected"), [("nothing", [NO_STORE]), ("memory", [MEMORY]), ("store", [])]
)
def test_the_place_of_the_sessions_counts(keeping: Keeping, expected: list[str]) -> None:
    assert found(keeping, idle_lifetime=14 * DAY) == expected


@pytest.mark.parametrize(
    ("keeping", "expected"),
    [("nothing", [NO_STORE]), ("memory", [MEMORY, WORKS_ON]), ("store", [WORKS_ON])],
)
def test_an_access_token_that_works_on_is_weak_where_it_could_be_refused(
    keeping: Keeping, expected: list[str]
) -> None:
    assert found(keeping, revocation="refresh", idle_lifetime=14 * DAY) == expected


@pytest.mark.parametrize(
    ("settings", "more", "expected"),
    [
        ({"access_lifetime": HOUR}, {"access_lifetime": HOUR + A_MOMENT}, LONG_ACCESS),
        ({"session_lifetime": 180 * DAY}, {"session_lifetime": 180 * DAY + A_MOMENT}, LONG_SESSION),
        (
            {"rotation_grace": timedelta(seconds=10)},
            {"rotation_grace": timedelta(seconds=10) - A_MOMENT},
            SHORT_GRACE,
        ),
        ({"rotation_grace": 2 * MINUTE}, {"rotation_grace": 2 * MINUTE + A_MOMENT}, LONG_GRACE),
    ],
)
def test_a_time_is_weak_beyond_its_threshold(
    settings: dict[str, Any], more: dict[str, Any], expected: str
) -> None:
    assert found(**settings) == []
    assert found(**more) == [expected]


def test_a_long_idle_lifetime_is_weak_without_a_store() -> None:
    assert found("nothing", idle_lifetime=14 * DAY) == [NO_STORE]
    assert found("nothing", idle_lifetime=14 * DAY + A_MOMENT) == [NO_STORE, LONG_IDLE]
    assert found("store", idle_lifetime=14 * DAY + A_MOMENT) == []


@pytest.mark.parametrize("grace", [timedelta(0), 5 * MINUTE])
def test_without_a_store_the_grace_does_not_matter(grace: timedelta) -> None:
    assert found("nothing", rotation_grace=grace, idle_lifetime=14 * DAY) == [NO_STORE]


def test_both_cookies_are_looked_at() -> None:
    access = Cookie("a", secure=False)
    refresh = Cookie("__HOST-r", same_site="none")

    assert found(access_cookie=access, refresh_cookie=refresh) == [
        "cookie a: not Secure, it travels over plain http",
        "cookie a: without the prefix __Host- a subdomain can plant its own",
        "cookie __HOST-r: SameSite=None sends it along with other sites' requests",
    ]


def test_what_other_sites_may_do_is_weak() -> None:
    assert found(
        cross_origin="allow", trusted_origins=("https://a.example", "http://b.example")
    ) == [
        "cross_origin=allow: any page can act as its visitor, unless the application checks",
        "trusted_origins: http://b.example is plain http, whoever is on the way speaks for it",
    ]
