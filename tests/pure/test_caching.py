"""Cache headers: what invites shared caches, and what a response with a token must say instead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_refresh.caching import (
    Headers,
    forbid_caching,
    is_merged,
    is_shared_cacheable,
    is_silent,
    vary_on,
)

PRIVATE = (b"cache-control", b"private, no-store")


@pytest.mark.parametrize(
    "value",
    [
        b"public",
        b"immutable",
        b"s-maxage=60",
        b"s-maxage=0",
        b"s-maxage",
        b"PUBLIC",
        b"S-MaxAge=60",
        b"Immutable",
        b"public, max-age=31536000, immutable",
        b"max-age=60, public",
        b"max-age=60 ,\t public \t",
        b"max-age=60,immutable",
        b",,public,,",
    ],
)
def test_it_invites_shared_caches(value: bytes) -> None:
    assert is_shared_cacheable([(b"content-type", b"text/css"), (b"cache-control", value)])


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"private",
        b"no-store",
        b"no-cache",
        b"max-age=60",
        b"private, max-age=60",
        b"publicity",
        b"x-public",
        b"no-public",
        b"maxage=60",
        b"max-age=public",
        b"x=immutable",
        b"s-maxage-x=1",
        b"immutable-ish",
        b"public immutable",
    ],
)
def test_it_does_not(value: bytes) -> None:
    assert not is_shared_cacheable([(b"cache-control", value)])


def test_of_two_cache_control_headers_the_second_counts_too() -> None:
    assert is_shared_cacheable([(b"Cache-Control", b"max-age=1"), (b"CACHE-CONTROL", b"public")])


def test_only_cache_control_invites() -> None:
    assert not is_shared_cacheable([(b"x-cache-control", b"public"), (b"vary", b"immutable")])


def test_a_response_without_headers_does_not_invite() -> None:
    assert not is_shared_cacheable([])


# --- forbidding -----------------------------------------------------------------------------------

FRIENDLY = [
    (b"cache-control", b"public, max-age=31536000, immutable"),
    (b"Cache-Control", b"s-maxage=60"),
    (b"expires", b"Thu, 01 Jan 2099 00:00:00 GMT"),
    (b"Expires", b"0"),
    (b"pragma", b"cache"),
    (b"PRAGMA", b"no-cache"),
    (b"cdn-cache-control", b"max-age=60"),
    (b"CDN-Cache-Control", b"public"),
    (b"surrogate-control", b"max-age=60"),
    (b"Surrogate-Control", b"no-store"),
]


@pytest.mark.parametrize("header", FRIENDLY)
def test_what_caches_were_told_is_gone(header: tuple[bytes, bytes]) -> None:
    headers = [(b"content-type", b"text/css"), header, (b"etag", b'"1"')]

    assert forbid_caching(headers) == [(b"content-type", b"text/css"), (b"etag", b'"1"'), PRIVATE]


def test_however_much_was_said_one_header_says_private() -> None:
    assert forbid_caching(FRIENDLY) == [PRIVATE]
    assert forbid_caching([]) == [PRIVATE]


def test_everything_else_stays_in_order() -> None:
    others = [(b"Set-Cookie", b"a=1"), (b"x-expires", b"1"), (b"set-cookie", b"b=2"), (b"age", b"")]

    assert forbid_caching([FRIENDLY[0], *others, FRIENDLY[2]]) == [*others, PRIVATE]


def test_forbidding_leaves_the_given_list_alone() -> None:
    headers = list(FRIENDLY)
    forbid_caching(headers)

    assert headers == FRIENDLY


# --- silence --------------------------------------------------------------------------------------

SILENT: Headers = [(b"Content-Type", b"text/html"), (b"x-vary", b"*"), (b"cookie", b"public")]


@pytest.mark.parametrize("merged", [True, False])
def test_what_is_known_to_be_silent_is_answered_the_same(merged: bool) -> None:
    assert forbid_caching(SILENT, merged=merged, silent=True) == forbid_caching(
        SILENT, merged=merged
    )
    names = (b"Cookie", b"Authorization")
    assert vary_on(SILENT, names, silent=True) == vary_on(SILENT, names)


@pytest.mark.parametrize(
    "name",
    [b"Vary", b"Set-Cookie", b"X-Accel-Expires", b"Acme-CDN-Cache-Control"]
    + [name for name, _ in FRIENDLY],
)
def test_whatever_caches_or_cookies_go_by_is_no_silence(name: bytes) -> None:
    assert is_silent(SILENT)
    assert not is_silent([*SILENT, (name, b"x")])


headers_of_any_kind = st.lists(
    st.tuples(
        st.sampled_from([b"Cache-Control", b"cache-control", b"expires", b"vary", b"Vary", b"x-a"]),
        st.lists(
            st.sampled_from([b"public", b"cookie", b" Cookie ", b"*", b"x", b"", b"s-maxage=1"]),
            max_size=3,
        ).map(b",".join),
    ),
    max_size=5,
)


@given(headers=headers_of_any_kind)
def test_what_was_forbidden_never_invites(headers: Headers) -> None:
    forbidden = forbid_caching(headers)

    assert not is_shared_cacheable(forbidden)
    assert [h for h in forbidden if h[0].lower() == b"cache-control"] == [PRIVATE]


COOKIE = (b"Cookie",)

# --- Vary -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        b"Cookie",
        b"cookie",
        b"COOKIE",
        b" cookie ",
        b"\tcookie\t",
        b"Accept, Cookie",
        b"accept,cookie",
        b"Cookie , Accept",
        b"*",
        b" * ",
        b"Accept, *",
    ],
)
def test_a_vary_that_says_it_already_stays_as_it_is(value: bytes) -> None:
    headers = [(b"content-type", b"text/html"), (b"VARY", value)]

    assert vary_on(headers, COOKIE) == headers


def test_two_lines_become_one() -> None:
    """nginx before 1.23 goes by the last."""
    headers = [(b"vary", b"accept"), (b"x", b"y"), (b"Vary", b"origin, Cookie")]

    assert vary_on(headers, COOKIE) == [(b"x", b"y"), (b"vary", b"accept, origin, Cookie")]
    assert vary_on([(b"vary", b"*"), (b"Vary", b"a")], COOKIE) == [(b"vary", b"*")]


def test_what_stands_around_the_members_goes_where_one_is_added() -> None:
    assert vary_on([(b"vary", b"\t, accept, origin ,")], COOKIE) == [
        (b"vary", b"accept, origin, Cookie")
    ]


def test_only_what_is_missing_is_added() -> None:
    both = (b"Cookie", b"Authorization")

    assert vary_on([(b"Vary", b"authorization")], both) == [(b"vary", b"authorization, Cookie")]
    assert vary_on([], both) == [(b"vary", b"Cookie, Authorization")]


@pytest.mark.parametrize("name", [b"Edge-Control", b"X-LiteSpeed-Cache-Control"])
def test_what_outranks_cache_control_does_not_stay(name: bytes) -> None:
    assert forbid_caching([(name, b"max-age=60")]) == [PRIVATE]


def test_a_304_overrides_what_a_cache_has() -> None:
    names = [
        b"cdn-cache-control",
        b"cloudflare-cdn-cache-control",
        b"vercel-cdn-cache-control",
        b"netlify-cdn-cache-control",
        b"surrogate-control",
        b"edge-control",
        b"x-litespeed-cache-control",
    ]
    said = [(name, b"no-store") for name in names]
    assert forbid_caching(FRIENDLY, merged=True) == [PRIVATE, *said]


def test_a_304_a_part_and_the_answer_to_head_are_merged_into_what_a_cache_has() -> None:
    assert [s for s in (200, 204, 206, 304, 404) if is_merged("GET", s)] == [
        206,
        304,
    ]
    assert [is_merged(method, 200) for method in ("HEAD", "POST", "")] == [True, False, False]


@pytest.mark.parametrize(
    "name", [b"Acme-CDN-Cache-Control", b"acme-cdn-cache-control", b"CDN-Cache-Control"]
)
def test_what_a_vendor_calls_its_own_goes(name: bytes) -> None:
    assert forbid_caching([(name, b"public")]) == [PRIVATE]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"vary", b"Accept")],
        [(b"Vary", b"Set-Cookie")],
        [(b"vary", b"Cookies, x-cookie")],
        [(b"vary", b"cookie cookie")],
        [(b"vary", b"**")],
        [(b"vary", b"X-Cookie-X")],
        [(b"vary", b"XCookieX")],
        [(b"vary", b"\x0bcookie\x0b")],
        [(b"x-vary", b"Cookie")],
        [(b"cookie", b"*")],
    ],
)
def test_any_other_response_is_given_a_vary(headers: Headers) -> None:
    said = [value for name, value in headers if name.lower() == b"vary"]
    others = [header for header in headers if header[0].lower() != b"vary"]
    merged = b", ".join([*said, b"Cookie"])

    assert vary_on(headers, COOKIE) == [*others, (b"vary", merged)]


@given(headers=headers_of_any_kind)
def test_what_varies_is_not_told_twice(headers: Headers) -> None:
    once = vary_on(headers, COOKIE)

    assert vary_on(once, COOKIE) == once


def test_varying_leaves_the_given_list_alone() -> None:
    headers: Headers = [(b"vary", b"Accept")]
    vary_on(headers, COOKIE)

    assert headers == [(b"vary", b"Accept")]
