"""Decisions over verified values: which token counts, what is refused, whose a path is."""

from __future__ import annotations

from itertools import product

import pytest

from asgi_refresh.decide import (
    Step,
    is_below,
    is_top_level_navigation,
    next_step,
    refuses,
    route_path,
    sole,
)
from asgi_refresh.sessions import FrozenDict, Revocation
from asgi_refresh.tokens import AccessToken, RefreshToken

NOW = 1_800_000_000.0
BEFORE = 60.0


def access_token(
    *, session: str = "s1", left: float = 600.0, generation: int = 1, jti: str = "j1"
) -> AccessToken:
    claims = {"sub": "alice", "sid": session, "jti": jti, "auth_time": NOW, "gen": generation}
    return AccessToken(FrozenDict(claims, exp=NOW + left))


# --- the next step --------------------------------------------------------------------------------

# What is left of the access token; "threshold" is exactly the `refresh_before` of 60 s.
LEFT = {"fresh": 600.0, "threshold": 60.0, "due": 59.75, "last": 0.25, "over": 0.0, "long over": -9}
REFRESH = {"none": None, "same": "s1", "other": "s2"}

USE = (Step.USE, None)
REFRESH_IT = (Step.REFRESH, None)
EXPIRED = (Step.ANONYMOUS, "expired_token")
USE_MISMATCH = (Step.USE, "session_mismatch")
OVER_MISMATCH = (Step.ANONYMOUS, "session_mismatch")

# access token, refresh token's session → (may refresh, may not)
TABLE = {
    ("none", "none"): ((Step.ANONYMOUS, None), (Step.ANONYMOUS, None)),
    ("none", "same"): (REFRESH_IT, (Step.ANONYMOUS, "not_refreshable")),
    ("none", "other"): (REFRESH_IT, (Step.ANONYMOUS, "not_refreshable")),
    ("fresh", "none"): (USE, USE),
    ("fresh", "same"): (USE, USE),
    ("fresh", "other"): (USE_MISMATCH, USE_MISMATCH),
    ("threshold", "none"): (USE, USE),
    ("threshold", "same"): (USE, USE),
    ("threshold", "other"): (USE_MISMATCH, USE_MISMATCH),
    ("due", "none"): (USE, USE),
    ("due", "same"): (REFRESH_IT, USE),
    ("due", "other"): (USE_MISMATCH, USE_MISMATCH),
    ("last", "none"): (USE, USE),
    ("last", "same"): (REFRESH_IT, USE),
    ("last", "other"): (USE_MISMATCH, USE_MISMATCH),
    ("over", "none"): (EXPIRED, EXPIRED),
    ("over", "same"): (REFRESH_IT, EXPIRED),
    ("over", "other"): (OVER_MISMATCH, OVER_MISMATCH),
    ("long over", "none"): (EXPIRED, EXPIRED),
    ("long over", "same"): (REFRESH_IT, EXPIRED),
    ("long over", "other"): (OVER_MISMATCH, OVER_MISMATCH),
}


def test_the_table_is_complete() -> None:
    assert set(TABLE) == set(product(["none", *LEFT], REFRESH))


@pytest.mark.parametrize(("access", "refresh"), TABLE)
@pytest.mark.parametrize("may_refresh", [True, False])
def test_the_next_step_is_that_of_the_table(access: str, refresh: str, may_refresh: bool) -> None:
    token = access_token(left=LEFT[access]) if access in LEFT else None
    session = REFRESH[refresh]
    refresh_token = RefreshToken(session, 1) if session is not None else None

    step = next_step(token, refresh_token, now=NOW, refresh_before=BEFORE, may_refresh=may_refresh)

    assert step == TABLE[access, refresh][0 if may_refresh else 1]


def test_unless_told_otherwise_a_request_may_refresh() -> None:
    step = next_step(None, RefreshToken("s1", 1), now=NOW, refresh_before=BEFORE)

    assert step == REFRESH_IT


@pytest.mark.parametrize(("left", "expected"), [(0.25, USE), (0.0, REFRESH_IT)])
def test_without_refresh_before_a_token_is_used_to_its_end(left: float, expected: object) -> None:
    step = next_step(access_token(left=left), RefreshToken("s1", 1), now=NOW, refresh_before=0.0)

    assert step == expected


@pytest.mark.parametrize(
    ("left", "expected"),
    [(1.0, USE_MISMATCH), (0.25, USE_MISMATCH), (0.0, OVER_MISMATCH), (-9.0, OVER_MISMATCH)],
)
def test_an_access_token_that_is_over_does_not_give_way_to_another_user(
    left: float, expected: object
) -> None:
    bobs = RefreshToken("s2", 1, subject="bob")

    step = next_step(access_token(left=left), bobs, now=NOW, refresh_before=0.0)

    assert step == expected


@pytest.mark.parametrize("left", [0.0, -9.0])
def test_where_a_refresh_token_says_whose_it_is_an_access_token_that_is_over_is_none(
    left: float,
) -> None:
    alices = RefreshToken("s1", 1, subject="alice")
    token = access_token(left=left)

    step = next_step(token, alices, now=NOW, refresh_before=BEFORE, may_refresh=False)

    assert step == (Step.ANONYMOUS, "not_refreshable")


@pytest.mark.parametrize("subject", ["alice", "bob"])
def test_where_a_refresh_token_says_whose_it_is_that_decides(subject: str) -> None:
    assert RefreshToken("s2", 1, subject=subject).goes_with(access_token()) is (subject == "alice")


# --- one of several -------------------------------------------------------------------------------


def newest(token: RefreshToken) -> tuple[int, float]:
    return token.generation, token.issued_at


def test_of_none_none_counts() -> None:
    assert sole([], newest=newest) == (None, None)


def test_one_token_counts() -> None:
    token = RefreshToken("s1", 3)

    assert sole([token], newest=newest) == (token, None)


@pytest.mark.parametrize("order", [1, -1])
def test_of_one_session_the_newest_counts(order: int) -> None:
    tokens = [RefreshToken("s1", 1), RefreshToken("s1", 3), RefreshToken("s1", 2)][::order]

    assert sole(tokens, newest=newest) == (RefreshToken("s1", 3), None)


@pytest.mark.parametrize("order", [1, -1])
def test_of_one_generation_the_latest_counts(order: int) -> None:
    tokens = [RefreshToken("s1", 0, issued_at=1.0), RefreshToken("s1", 0, issued_at=2.0)][::order]

    assert sole(tokens, newest=newest) == (RefreshToken("s1", 0, issued_at=2.0), None)


@pytest.mark.parametrize("others", [["s2"], ["s1", "s2"], ["s2", "s1", "s1"], ["s2", "s3"]])
def test_of_two_sessions_none_counts(others: list[str]) -> None:
    tokens = [RefreshToken("s1", 9), *(RefreshToken(session, 1) for session in others)]

    assert sole(tokens, newest=newest) == (None, "ambiguous_cookies")


# --- what a revocation refuses --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("access_from", "jti", "generation", "refused"),
    [
        (None, None, 1, True),
        (None, None, 99, True),
        (None, "j1", 1, True),
        (None, "j2", 1, False),
        (None, "", 1, False),
        (3, None, 2, True),
        (3, None, 3, False),
        (3, None, 4, False),
        (0, None, 0, False),
        (0, None, 1, False),
        (3, "j2", 2, True),
        (3, "j2", 3, False),
        (3, "j1", 3, True),
        (3, "j1", 9, True),
    ],
)
def test_a_revocation_refuses(
    access_from: int | None, jti: str | None, generation: int, refused: bool
) -> None:
    revocation = Revocation("s1", NOW, NOW + 600, access_from=access_from, jti=jti)

    assert refuses(revocation, access_token(generation=generation)) is refused


# --- navigation -----------------------------------------------------------------------------------

NAVIGATION = {b"sec-fetch-mode": [b"navigate"], b"sec-fetch-dest": [b"document"]}


def test_a_navigation_of_the_top_level_is_one() -> None:
    assert is_top_level_navigation(NAVIGATION | {b"sec-fetch-site": [b"cross-site"]})


@pytest.mark.parametrize("name", NAVIGATION)
@pytest.mark.parametrize(
    "values",
    [
        *(
            [],
            [b""],
            [b"Navigate"],
            [b"Document"],
            [b"iframe"],
            [b"empty"],
            [b"cors"],
            [b"no-cors"],
        ),
        *([b"document "], [b"nested-navigate"], [b"document", b"iframe"], [b"iframe", b"document"]),
        *([b"navigate", b"navigate"], [b"document", b"document"]),
    ],
)
def test_with_another_header_it_is_none(name: bytes, values: list[bytes]) -> None:
    assert not is_top_level_navigation(NAVIGATION | {name: values})


@pytest.mark.parametrize("name", NAVIGATION)
def test_without_either_header_it_is_none(name: bytes) -> None:
    assert not is_top_level_navigation({name: NAVIGATION[name]})
    assert not is_top_level_navigation({})


# --- paths ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "root_path", "route"),
    [
        ("/", "", "/"),
        ("/a", "", "/a"),
        ("", "", ""),
        ("/app/a", "/app", "/a"),
        ("/app/", "/app", "/"),
        ("/app", "/app", "/"),
        ("/app//a", "/app", "//a"),
        ("/app/app/a", "/app", "/app/a"),
        ("/app/a", "/app/", "/a"),
        ("/app/", "/app/", "/"),
        ("/x/app/a", "/x/app", "/a"),
        ("/a", "/app", "/a"),
        ("/apple", "/app", "/apple"),
        ("/apple/app/a", "/app", "/apple/app/a"),
        ("/x/app/a", "/app", "/x/app/a"),
        ("//app/a", "/app", "//app/a"),
        ("/App/a", "/app", "/App/a"),
        ("/a", "/", "/a"),
        ("/", "/", "/"),
        ("/X/a", "/X", "/a"),
        ("/Y/a", "/X", "/Y/a"),
    ],
)
def test_a_path_below_the_mount_is_this_route(path: str, root_path: str, route: str) -> None:
    assert route_path(path, root_path) == route


@pytest.mark.parametrize(
    ("path", "prefix", "below"),
    [
        ("/static", "/static", True),
        ("/static/", "/static", True),
        ("/static/a.css", "/static", True),
        ("/static//a.css", "/static", True),
        ("/static/../me", "/static", True),
        ("/static/a.css", "/static/", True),
        ("/static/", "/static/", True),
        ("/static", "/static/", False),
        ("/static2", "/static", False),
        ("/static2/a", "/static", False),
        ("/static.css", "/static", False),
        ("/static2", "/static/", False),
        ("/stati", "/static", False),
        ("/Static/a", "/static", False),
        ("//static/a", "/static", False),
        ("/x/static/a", "/static", False),
        ("static/a", "/static", False),
        ("/static%2Fa", "/static", False),
        ("/static\\a", "/static", False),
        ("/", "/static", False),
        ("", "/static", False),
        ("/a/b/c", "/a/b", True),
        ("/a/bc", "/a/b", False),
        ("/X/a", "/X", True),
        ("/Y/a", "/X", False),
        ("/anything", "/", True),
        ("/", "/", True),
        ("", "/", False),
    ],
)
def test_a_path_is_below_a_prefix_by_whole_segments(path: str, prefix: str, below: bool) -> None:
    assert is_below(path, [prefix]) is below


def test_any_of_the_prefixes_will_do() -> None:
    assert is_below("/b/x", ["/a", "/b"])
    assert is_below("/a/x", iter(["/a", "/b"]))
    assert not is_below("/c/x", ["/a", "/b"])
    assert not is_below("/a", [])
