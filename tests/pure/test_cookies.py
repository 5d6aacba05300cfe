"""Cookies on bytes: what is written, what is read, and what browsers' own vectors say of both."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import FrozenInstanceError, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_refresh import Cookie
from asgi_refresh.cookies import (
    MAX_AGE,
    MAX_COOKIE,
    collect,
    keep_only,
    parse_date,
    read_set_cookie,
    replace_value,
    sole_value,
)
from asgi_refresh.errors import ConfigurationError

VECTORS = Path(__file__).parents[1] / "vectors"
NAME = b"__Host-at"


def vectors(path: str) -> Any:
    return json.loads((VECTORS / path).read_text(encoding="utf-8"))


class EveryName:
    """A container of every cookie name but the empty one."""

    def __contains__(self, name: object) -> bool:
        return name != b""


# --- construction ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("", "a b", "a;b", "a=b", "a,b", "a\r\nb", "a\n", "a\0", "a\x7f", 'a"b', "a(b", "a@b"),
        *("a/b", "a:b", "a?b", "a[b", "a\\b", "a{b", "ä", "\u212a", "a\tb", "\u00a0a", " a", "a "),
    ],
)
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="name"):
        Cookie(name)


@pytest.mark.parametrize("name", ["a", "A9", "__Host-at", "!#$%&'*+-.^_`|~"])
def test_every_character_of_a_token_may_be_in_a_name(name: str) -> None:
    assert Cookie(name).key == name.encode()


@pytest.mark.parametrize("name", ["__Secure-a", "__Host-a", "__Http-a", "__Host-Http-a"])
@pytest.mark.parametrize("spell", [str, str.lower, str.upper, str.swapcase])
def test_a_prefix_needs_secure_in_any_case(name: str, spell: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"prefix needs secure=True"):
        Cookie(spell(name), secure=False)
    assert Cookie(spell(name)).secure


@pytest.mark.parametrize("name", ["__Host-a", "__Host-Http-a"])
@pytest.mark.parametrize("spell", [str, str.lower, str.upper, str.swapcase])
@pytest.mark.parametrize("attributes", [{"path": "/x"}, {"domain": "app.example"}])
def test_a_host_prefix_needs_the_root_path_and_no_domain(
    name: str, spell: Any, attributes: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError, match=r"__Host- prefix needs"):
        Cookie(spell(name), **attributes)


@pytest.mark.parametrize("name", ["__Secure-a", "__Http-a", "a", "__Hosta", "x__Host-a"])
def test_other_names_may_have_a_path_and_a_domain(name: str) -> None:
    cookie = Cookie(name, path="/x", domain="app.example")

    assert (cookie.path, cookie.domain) == ("/x", "app.example")


@pytest.mark.parametrize("name", ["a", "__Hosta", "__Secur-a", "Host-a", "x__Secure-a"])
def test_a_name_without_prefix_may_go_over_plain_http(name: str) -> None:
    assert not Cookie(name, secure=False).secure


def test_same_site_none_needs_secure() -> None:
    with pytest.raises(ConfigurationError, match=r"same_site='none' needs secure"):
        Cookie("a", same_site="none", secure=False)
    assert Cookie("a", same_site="none").same_site == "none"


def test_partitioned_needs_secure() -> None:
    with pytest.raises(ConfigurationError, match=r"partitioned=True needs secure"):
        Cookie("a", partitioned=True, secure=False)
    assert Cookie("a", partitioned=True).partitioned


@pytest.mark.parametrize("value", ["Lax", "STRICT", "", "default", None, True, "lax; Domain=x"])
def test_same_site_is_one_of_three_words(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="same_site must be"):
        Cookie("a", same_site=value)


@pytest.mark.parametrize(
    "path", ["", "x", "x/", "/\r\nX: y", "/\n", "/a;b", "/;", "/\0", "/\x7f", "/ä", "/" * 1025]
)
def test_a_path_that_browsers_or_headers_do_not_take_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match="path must"):
        Cookie("a", path=path)


def test_a_path_of_1024_characters_is_the_longest() -> None:
    assert len(Cookie("a", path="/" * 1024).path) == 1024


@pytest.mark.parametrize(
    "domain",
    [
        *("", ".", "-", "a;b", "a\r\nX: y", "a\n", "a b", "ä.example", "a.", "a-", "-a", "..a"),
        *("a/b", "a:8000", "https://a", "a_b", "a," + "b", "a" * 1025),
    ],
)
def test_a_domain_that_is_no_host_name_is_refused(domain: str) -> None:
    with pytest.raises(ConfigurationError, match="domain must"):
        Cookie("a", domain=domain)


@pytest.mark.parametrize("domain", ["a", "app.example", ".app.example", "x-1.example", "a" * 1024])
def test_a_host_name_is_a_domain(domain: str) -> None:
    assert Cookie("a", domain=domain).domain == domain


def test_the_error_names_the_cookie() -> None:
    with pytest.raises(ConfigurationError, match=r"cookie '__Host-at'"):
        Cookie("__Host-at", path="/x")


def test_a_cookie_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Cookie("a").name = "b"  # type: ignore[misc]
    assert not hasattr(Cookie("a"), "__dict__")


def test_the_defaults_are_the_safe_ones() -> None:
    cookie = Cookie("a")

    assert (cookie.path, cookie.domain, cookie.secure) == ("/", None, True)
    assert (cookie.same_site, cookie.partitioned) == ("lax", False)


def test_only_the_name_may_stand_without_a_keyword() -> None:
    assert [f.name for f in fields(Cookie) if f.init and not f.kw_only] == ["name"]


def test_scripts_may_read_a_cookie_only_if_it_says_so() -> None:
    assert b"HttpOnly" in Cookie("a").render(b"v", None)
    assert b"HttpOnly" not in Cookie("a", http_only=False).render(b"v", None)
    assert b"HttpOnly" not in Cookie("a", http_only=False).delete()


@pytest.mark.parametrize("name", ["__Http-a", "__Host-Http-a", "__http-a"])
def test_a_prefix_that_promises_http_only_keeps_it(name: str) -> None:
    with pytest.raises(ConfigurationError, match="http_only"):
        Cookie(name, http_only=False)


# --- writing --------------------------------------------------------------------------------------

ATTRIBUTES: list[tuple[dict[str, Any], bytes]] = [
    ({}, b"; Path=/; Secure; HttpOnly; SameSite=Lax"),
    ({"secure": False}, b"; Path=/; HttpOnly; SameSite=Lax"),
    ({"same_site": "strict"}, b"; Path=/; Secure; HttpOnly; SameSite=Strict"),
    ({"same_site": "none"}, b"; Path=/; Secure; HttpOnly; SameSite=None"),
    (
        {"path": "/a b", "domain": ".app.example"},
        b"; Path=/a b; Domain=.app.example; Secure; HttpOnly; SameSite=Lax",
    ),
    ({"partitioned": True}, b"; Path=/; Secure; HttpOnly; SameSite=Lax; Partitioned"),
]


@pytest.mark.parametrize(("attributes", "suffix"), ATTRIBUTES)
def test_a_set_cookie_is_these_bytes(attributes: dict[str, Any], suffix: bytes) -> None:
    assert Cookie("at", **attributes).render(b"v", 600) == b"at=v; Max-Age=600" + suffix


@pytest.mark.parametrize(("attributes", "suffix"), ATTRIBUTES)
def test_without_an_age_it_lasts_as_long_as_the_browser(
    attributes: dict[str, Any], suffix: bytes
) -> None:
    assert Cookie("at", **attributes).render(b"v", None) == b"at=v" + suffix


@pytest.mark.parametrize(("attributes", "suffix"), ATTRIBUTES)
def test_a_deletion_repeats_every_attribute(attributes: dict[str, Any], suffix: bytes) -> None:
    assert Cookie("at", **attributes).delete() == b"at=; Max-Age=0" + suffix


@pytest.mark.parametrize("name", ["a", "__Host-at", "n" * 100])
def test_name_and_value_may_fill_4096_bytes_and_no_more(name: str) -> None:
    cookie = Cookie(name)
    room = 4096 - len(name)

    assert cookie.render(b"v" * room, None).startswith(b"%b=%b;" % (cookie.key, b"v" * room))
    with pytest.raises(ValueError, match=r"4097 bytes and browsers keep 4096"):
        cookie.render(b"v" * (room + 1), None)


def test_the_size_that_browsers_keep_is_4096() -> None:
    assert MAX_COOKIE == 4096


@pytest.mark.parametrize(
    ("asked", "written"),
    [(0, 0), (1, 1), (34_559_999, 34_559_999), (34_560_000, 34_560_000), (34_560_001, 34_560_000)],
)
def test_an_age_is_cut_to_400_days(asked: int, written: int) -> None:
    assert b"; Max-Age=%d;" % written in Cookie("a").render(b"v", asked)


def test_the_longest_age_is_400_days() -> None:
    assert MAX_AGE == 34_560_000


@pytest.mark.parametrize("octet", [i for i in range(256) if not 0x21 <= i <= 0x7E or i in b'",;\\'])
def test_an_octet_that_no_cookie_may_hold_is_never_written(octet: int) -> None:
    for value in (b"%c", b"v%cv", b"v%c", b"%cv"):
        with pytest.raises(ValueError, match="octets no cookie may hold"):
            Cookie("a").render(value % octet, None)


def test_every_other_octet_is_written_as_it_is() -> None:
    octets = bytes(i for i in range(0x21, 0x7F) if i not in b'",;\\')

    assert Cookie("a").render(octets, None).startswith(b"a=" + octets + b"; Path=/")


def test_the_messages_of_a_refused_value_do_not_hold_it() -> None:
    for value in (b"canary;", b"canary" * 1000):
        with pytest.raises(ValueError, match="cookie 'a'") as caught:
            Cookie("a").render(value, None)
        assert "canary" not in str(caught.value)


# --- reading a Cookie header ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        b"\xa0__Host-at=evil",
        b"\x85__Host-at=evil",
        b"\xc2\xa0__Host-at=evil",
        b"\xc2\x85__Host-at=evil",
        b"\xe2\x80\x80__Host-at=evil",
        b"\x1c__Host-at=evil",
        b"\x0b__Host-at=evil",
        b"\x0c__Host-at=evil",
        b"\r\n__Host-at=evil",
        b"\0__Host-at=evil",
        b"__Host-at\xa0=evil",
        b"=__Host-at=evil",
        b"__Host-at",
        b"__host-at=evil",
        b"__HOST-AT=evil",
        b"$Version=1,__Host-at=evil",
        b"%5F%5FHost-at=evil",
        b'"__Host-at"=evil',
        b"x__Host-at=evil",
        b"__Host-atx=evil",
        b"x=__Host-at",
        b"x=1,__Host-at=evil",
        b"x=1&__Host-at=evil",
        b"x=1\n__Host-at=evil",
        b"",
        b";",
    ],
)
@pytest.mark.parametrize("around", [b"%b", b"a=1; %b", b"%b; z=1", b"a=1;%b;z=1"])
def test_what_only_looks_like_our_cookie_is_not_it(header: bytes, around: bytes) -> None:
    assert collect(around % header, {NAME}) == {}
    assert sole_value(around % header, NAME) is None


@pytest.mark.parametrize(
    ("header", "values"),
    [
        (b"__Host-at=v", [b"v"]),
        (b"__Host-at=", [b""]),
        (b"__Host-at=a=b==", [b"a=b=="]),
        (b" \t__Host-at \t=\t v \t", [b"v"]),
        (b"__Host-at=v;", [b"v"]),
        (b";;__Host-at=v", [b"v"]),
        (b"a=1;__Host-at=v;b=2", [b"v"]),
        (b'__Host-at="v"', [b'"v"']),
        (b'__Host-at="v;w"', [b'"v']),
        (b'a="x;__Host-at=v"', [b'v"']),
        (b"__Host-at=a b", [b"a b"]),
        (b"__Host-at=a,b", [b"a,b"]),
        (b"__Host-at=%20+%3B", [b"%20+%3B"]),
        (b"__Host-at=\xa0v\xa0", [b"\xa0v\xa0"]),
        (b"__Host-at=\x0bv\x1c", [b"\x0bv\x1c"]),
        (b"__Host-at=evil; __Host-at=good", [b"evil", b"good"]),
        (b"__Host-at=good; __Host-at=evil", [b"good", b"evil"]),
        (b"__Host-at=1; __Host-at=1 ;__Host-at=2", [b"1", b"2"]),
        (b"__Host-at; __Host-at=2", [b"2"]),
    ],
)
def test_our_cookie_has_these_values(header: bytes, values: list[bytes]) -> None:
    assert collect(header, {NAME}) == {NAME: values}


def test_of_one_name_the_first_four_distinct_values_are_kept() -> None:
    header = b"; ".join(b"at=%d" % (i // 2) for i in range(20)) + b"; rt=9"

    assert collect(header, {b"at", b"rt"}) == {b"at": [b"0", b"1", b"2", b"3"], b"rt": [b"9"]}


def test_only_the_asked_names_are_collected() -> None:
    assert collect(b"a=1; b=2; c=3", (b"c", b"a")) == {b"a": [b"1"], b"c": [b"3"]}


@contextmanager
def little_stack() -> Iterator[None]:
    """Raise RecursionError some 60 frames further down."""
    depth, frame = 0, sys._getframe()
    while frame is not None:
        depth, frame = depth + 1, frame.f_back  # type: ignore[assignment]
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + 60)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize("piece", [b'"\\\\"', b";", b"=", b" ", b'a="\\";', b"__Host-a", b"a=b; "])
def test_300_kilobytes_of_anything_are_read_to_the_end(piece: bytes) -> None:
    hostile = piece * (300_000 // len(piece))

    with little_stack():
        assert collect(hostile + b";__Host-at=v", {NAME}) == {NAME: [b"v"]}
        assert sole_value(hostile + b"; __Host-at=v", NAME) == b"v"
        assert replace_value(hostile, NAME, b"w").endswith(b"; __Host-at=w")


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (b"at=v", b"v"),
        (b"at=v; b=2", b"v"),
        (b"a=1; at=v", b"v"),
        (b"a=1; at=v; b=2", b"v"),
        (b"at=v; b=2; c=3", b"v"),
        (b"at=v;b=2", b"v"),
        (b"at=", b""),
        (b"at=; b=2", b""),
        (b"at=a=b", b"a=b"),
        (b'at="v"', b'"v"'),
        (b"at= v\t; b=2", b" v\t"),
    ],
)
def test_a_cookie_that_plainly_stands_there_once_needs_no_closer_look(
    header: bytes, value: bytes
) -> None:
    assert sole_value(header, b"at") == value


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"a=1",
        b"at",
        b"at=chat; b=2",
        b"a=1; at",
        b"at; b=2",
        b"at=1; at=2",
        b"at=1; at=1",
        b"at=1; at-ended=2",
        b"at-ended=2; at=1",
        b"a=1 at=v",
        b"a= at=v",
        b"at =v",
        b"cat=v",
        b"a=1; cat=v",
        b"a=at=v",
        b"a=1;=at=v",
    ],
)
def test_a_cookie_that_stands_there_oddly_needs_one(header: bytes) -> None:
    assert sole_value(header, b"at") is None


def test_a_name_that_overlaps_itself_is_seen_twice() -> None:
    assert sole_value(b"aaa=v", b"aa") is None


WHITE = [b"", b"", b"", b" ", b"\t", b" \t", b"\xa0", b"\x0b"]
NAMES = [b"at", b"at", b"at-ended", b"cat", b"AT", b"a", b"", b"a at", b'"at', b"=at", b"a;at"]
VALUES = [b"", b"1", b"2", b'"1"', b'"', b"at", b"=at=1", b"1 at=1", b"\xff", b"a b", b"\\"]
hostile_pairs = st.tuples(
    st.sampled_from(WHITE),
    st.sampled_from(NAMES),
    st.sampled_from(WHITE),
    st.sampled_from([b"=", b"=", b"=", b"", b"=="]),
    st.sampled_from(WHITE),
    st.sampled_from(VALUES),
    st.sampled_from(WHITE),
).map(b"".join)
nearly_plain_pairs = st.tuples(
    st.sampled_from([b"at=", b"b=", b"c=", b"d=", b"e", b"bat="]),
    st.sampled_from([b"1", b"2", b"", b" 1", b"1 ", b"1\t", b"1=2", b'"1"', b"1\xa0"]),
).map(b"".join)
hostile_headers = (
    st.tuples(
        st.sampled_from([b"; ", b"; ", b";", b";\t", b" ;", b", ", b"; ;", b" "]),
        st.lists(hostile_pairs, max_size=5) | st.lists(nearly_plain_pairs, max_size=3),
    ).map(lambda parts: parts[0].join(parts[1]))
    | st.binary(max_size=24)
    | st.lists(st.sampled_from([b"at", b"=", b"1", b";", b" ", b"\t"]), max_size=7).map(b"".join)
)


@given(header=hostile_headers)
def test_the_quick_look_never_says_anything_else_than_the_closer_one(header: bytes) -> None:
    quick = sole_value(header, b"at")

    if quick is not None:
        # It leaves white space on the value, which then is that of no token.
        assert collect(header, {b"at"}) == {b"at": [quick.strip(b" \t")]}


@given(header=hostile_headers, names=st.sets(st.sampled_from([b"at", b"cat", b"a"])))
def test_the_values_are_those_of_the_grammar(header: bytes, names: set[bytes]) -> None:
    expected: dict[bytes, list[bytes]] = {}
    for pair in header.split(b";"):
        name, value = ([*pair.split(b"=", 1), None])[:2]
        name = (name or b"").strip(b" \t")
        if value is not None and name in names:
            expected.setdefault(name, []).append(value.strip(b" \t"))

    assert collect(header, names) == {
        name: list(dict.fromkeys(values))[:4] for name, values in expected.items()
    }


# --- replacing a value ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "replaced"),
    [
        (b"", b"at=new"),
        (b"at=old", b"at=new"),
        (b"a=1", b"a=1; at=new"),
        (b"a=1; at=old; b=2", b"a=1; b=2; at=new"),
        (b"at=old; b=2", b"b=2; at=new"),
        (b"b=2; at=old", b"b=2; at=new"),
        (b"at=x; a=1; at=y; at=x", b"a=1; at=new"),
        (b"at ;\tat\t= x;a=1", b"a=1; at=new"),
        (b"cat=1; at=x; at-ended=2; a=at", b"cat=1; at-ended=2; a=at; at=new"),
        (b'a="x;y"; b', b'a="x;y"; b; at=new'),
    ],
)
def test_a_replaced_value_stands_last_and_alone(header: bytes, replaced: bytes) -> None:
    assert replace_value(header, b"at", b"new") == replaced


@given(header=hostile_headers)
def test_after_replacing_there_is_one_such_cookie(header: bytes) -> None:
    assert collect(replace_value(header, b"at", b"new"), {b"at"}) == {b"at": [b"new"]}


@given(header=hostile_headers)
def test_replacing_leaves_every_other_cookie(header: bytes) -> None:
    class Others:
        def __contains__(self, name: object) -> bool:
            # A name with other blanks around it is one to readers that strip as str does.
            assert isinstance(name, bytes)
            return name.decode("latin-1").strip() not in ("", "at")

    assert collect(replace_value(header, b"at", b"new"), Others()) == collect(header, Others())


# --- reading Set-Cookie ---------------------------------------------------------------------------

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("line", "deletes"),
    [
        (b"at=v", False),
        (b"at=", False),
        (b"at=v; Max-Age=0", True),
        (b"at=v; Max-Age=-1", True),
        (b"at=v; Max-Age=1", False),
        (b"at=v; Max-Age=" + b"9" * 5000, False),
        (b"at=v; Max-Age=-" + b"9" * 5000, True),
        (b"at=v;MAX-AGE=0", True),
        (b"at=v; \tmax-age\t =\t 0 ", True),
        (b"at=v; Max-Age=0; Max-Age=60", False),
        (b"at=v; Max-Age=60; Max-Age=0", True),
        (b"at=v; Max-Age=0; Max-Age=soon", True),
        (b"at=v; Max-Age=60; Max-Age=0x0", False),
        (b"at=v; Max-Age=+0", False),
        (b"at=v; Max-Age=0.0", False),
        (b"at=v; Max-Age=", False),
        (b"at=v; Max-Age", False),
        (b"at=v; Max-Age=-", False),
        (b"at=v; Max-Age=\xd9\xa0", False),
        (b"at=v; Max-Age=0\n", False),
        (b"at=v; Expires=Thu, 01 Jan 1970 00:00:00 GMT", True),
        (b"at=v; EXPIRES=Fri, 15 Jan 2027 07:59:59 GMT", True),
        (b"at=v; Expires=Fri, 15 Jan 2027 08:00:00 GMT", True),
        (b"at=v; Expires=Fri, 15 Jan 2027 08:00:01 GMT", False),
        (b"at=v; Expires=0", False),
        (b"at=v; Expires=-1", False),
        (b"at=v; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60", False),
        (b"at=v; Max-Age=0; Expires=Tue, 01 Jan 2030 00:00:00 GMT", True),
        (b"at=v; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=soon", True),
        (
            b"at=v; Expires=Tue, 01 Jan 2030 00:00:00 GMT; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            True,
        ),
        (
            b"at=v; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Expires=Tue, 01 Jan 2030 00:00:00 GMT",
            False,
        ),
        (b"at=v; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Expires=never", True),
        (b"at=v; \x0bMax-Age=0", False),
        (b"at=v; Expires=Thu, 01 Jan 1970 00:00:00 GMT=", True),
        (b"at=v; X-Max-Age=0; NotExpires=Thu, 01 Jan 1970 00:00:00 GMT", False),
        (b"at=Max-Age=0", False),
        (b'at="; Max-Age=0"', False),
        (b'at=";Max-Age=0;"', True),
    ],
)
def test_a_set_cookie_deletes_or_not(line: bytes, deletes: bool) -> None:
    assert read_set_cookie(line, now=NOW) == (b"at", deletes)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (b"\t at \t= v; Path=/", b"at"),
        (b"At=v", b"At"),
        (b"=at=v", b""),
        (b"\xa0at=v", b"\xa0at"),
        (b"\x0bat=v", b"\x0bat"),
        (b"", b""),
        (b"at", b""),
        (b"at; Max-Age=0", b""),
        (b"; at=v", b""),
    ],
)
def test_a_set_cookie_touches_this_name(line: bytes, name: bytes) -> None:
    assert read_set_cookie(line, now=NOW)[0] == name


@pytest.mark.parametrize(("attributes", "_suffix"), ATTRIBUTES)
@pytest.mark.parametrize("age", [None, 1, MAX_AGE])
def test_what_we_write_reads_as_what_it_is(
    attributes: dict[str, Any], _suffix: bytes, age: int | None
) -> None:
    cookie = Cookie("at", **attributes)

    assert read_set_cookie(cookie.render(b"v", age), now=NOW) == (b"at", False)
    assert read_set_cookie(cookie.delete(), now=NOW) == (b"at", True)


# --- dates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case",
    vectors("http-state/dates-examples.json") + vectors("http-state/dates-bsd-examples.json"),
    ids=lambda case: case["test"],
)
def test_a_date_of_http_state_is_read_as_browsers_do(case: dict[str, str | None]) -> None:
    assert case["test"] is not None
    expected = None
    if case["expected"] is not None:
        day = datetime.strptime(case["expected"], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
        expected = day.timestamp()

    assert parse_date(case["test"].encode()) == expected


def utc(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"1 Jan 70 00:00:00", 0.0),
        (b"1 Jan 99 00:00:00", utc(1999, 1, 1)),
        (b"1 Jan 69 00:00:00", utc(2069, 1, 1)),
        (b"1 Jan 00 00:00:00", utc(2000, 1, 1)),
        (b"1 Jan 000 00:00:00", utc(2000, 1, 1)),
        (b"1 Jan 100 00:00:00", None),
        (b"31 Dec 1600 23:59:59", None),
        (b"1 Jan 1601 00:00:00", utc(1601, 1, 1)),
        (b"31 Dec 9999 23:59:59", utc(9999, 12, 31, 23, 59, 59)),
        (b"1 Jan 2030 23:59:59", utc(2030, 1, 1, 23, 59, 59)),
        (b"1 Jan 2030 24:00:00", None),
        (b"1 Jan 2030 00:60:00", None),
        (b"1 Jan 2030 00:00:60", None),
        (b"0 Jan 2030 00:00:00", None),
        (b"32 Jan 2030 00:00:00", None),
        (b"31 Jun 2030 00:00:00", None),
        (b"29 Feb 2028 00:00:00", utc(2028, 2, 29)),
        (b"29 Feb 2030 00:00:00", None),
        (b"1 Jan 2030", None),
        (b"1 2030 00:00:00", None),
        (b"Jan 2030 00:00:00", None),
        (b"1 Jan 00:00:00", None),
        (b"1 Jan 2030 000:00:00", None),
        (b"1 Jan 2030 1:2:3pm", utc(2030, 1, 1, 1, 2, 3)),
        (b"1st DECEMBER 2030AD 00:00:00", utc(2030, 12, 1)),
        (b"1 M\xe4r 2030 00:00:00", None),
        (b"1\xa0Jan 2030 00:00:00", None),
        (b"\xd9\xa1 Jan 2030 00:00:00", None),
        (b"", None),
    ],
)
def test_a_date_is_these_seconds(text: bytes, expected: float | None) -> None:
    assert parse_date(text) == expected


@pytest.mark.parametrize(
    ("number", "month"),
    list(enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)),  # noqa: SIM905
)
def test_months_are_known_by_three_letters(number: int, month: str) -> None:
    assert parse_date(f"7 {month} 2030 0:0:0".encode()) == utc(2030, number, 7)


@given(text=st.binary(max_size=40))
def test_no_date_raises(text: bytes) -> None:
    assert isinstance(parse_date(text), float | None)


# --- the vectors of http-state, and of large sites ------------------------------------------------

# They describe a user agent: Set-Cookie lines go in, and the Cookie header of the next request over
# plain http comes out. Of that the library does: which name a line touches, whether it deletes, and
# what a Cookie header holds. Left out are the cases whose outcome hangs on attributes that only a
# browser with an address acts on: Secure (ATTRIBUTE, 0010), Path (PATH, ORDERING, ATTRIBUTE) and
# Domain (DOMAIN, OPTIONAL_DOMAIN, MOZILLA0011); and DISABLED, which http-state switched off itself.
# `now` is when they were written, between the past and the future dates they hold.
_WRITTEN = 1_303_862_400.0
_OTHERS_BUSINESS = ("ATTRIBUTE", "DISABLED", "DOMAIN", "OPTIONAL", "ORDERING", "PATH")
_CASES = [
    case
    for case in vectors("http-state/parser.json")
    if not case["test"].startswith(_OTHERS_BUSINESS) and case["test"] not in ("0010", "MOZILLA0011")
]


def test_a_hundred_cases_of_http_state_apply() -> None:
    assert len(_CASES) == 113


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case["test"])
def test_the_lines_of_http_state_leave_the_cookies_they_should(case: dict[str, Any]) -> None:
    jar: dict[bytes, bytes] = {}
    for line in case["received"]:
        name, deletes = read_set_cookie(line.encode(), now=_WRITTEN)
        pair = collect_one(line.encode())
        assert list(pair) == ([name] if name else [])
        jar |= pair
        if deletes:
            jar.pop(name, None)

    assert jar == {c["name"].encode(): c["value"].encode() for c in case["sent"]}


def collect_one(line: bytes) -> dict[bytes, bytes]:
    """The name and the value of the first pair of *line*."""
    found = collect(line.partition(b";")[0], EveryName())
    return {name: value for name, (value,) in found.items()}


@pytest.mark.parametrize("case", vectors("http-state/parser.json"), ids=lambda case: case["test"])
def test_a_header_of_http_state_holds_its_cookies(case: dict[str, Any]) -> None:
    sent = [(c["name"].encode(), c["value"].encode()) for c in case["sent"]]
    header = b"; ".join(b"%b=%b" % pair for pair in sent)
    expected: dict[bytes, list[bytes]] = {}
    for name, value in sent:
        expected.setdefault(name, []).append(value)

    assert collect(header, EveryName()) == {name: v[:4] for name, v in expected.items()}


_SITES = vectors("jshttp-cookie/top-cookie.json")
_SITES_SET = vectors("jshttp-cookie/top-set-cookie.json")
_VISITED = 1_782_340_220.0
_SITES_DELETE = {
    "x.com": {b"ee4"},
    "youtu.be": {b"__Eeeeee-EEE"},
    "youtube.com": {b"__Eeeeee-EEE"},
}


@pytest.mark.parametrize("site", _SITES)
def test_a_large_site_sets_what_comes_back(site: str) -> None:
    lines = [line.encode() for line in _SITES_SET[site]]
    pairs: dict[bytes, list[bytes]] = {}
    for line in lines:
        pairs |= {name: [value] for name, value in collect_one(line).items()}

    assert [read_set_cookie(line, now=_VISITED)[0] for line in lines] == list(pairs)
    assert collect(_SITES[site].encode(), EveryName()) == pairs


@pytest.mark.parametrize("site", _SITES_SET)
def test_a_large_site_deletes_only_what_it_says(site: str) -> None:
    read = [read_set_cookie(line.encode(), now=_VISITED) for line in _SITES_SET[site]]

    assert {name for name, deletes in read if deletes} == _SITES_DELETE.get(site, set())


def test_zeros_in_front_of_a_max_age_do_not_make_it_a_deletion() -> None:
    assert read_set_cookie(b"at=1; Max-Age=" + b"0" * 18 + b"60", now=0.0) == (b"at", False)
    assert read_set_cookie(b"at=1; Max-Age=" + b"0" * 30, now=0.0) == (b"at", True)


def test_a_name_that_leaves_no_room_is_refused() -> None:
    Cookie("a" * 4096)
    with pytest.raises(ConfigurationError, match="name"):
        Cookie("a" * 4097)


# --- keeping one of a name ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "left"),
    [
        (b"a=1; at=x; b=2", b"a=1; at=x; b=2"),
        (b"at=x; at=y", b"at=x"),
        (b"at=y; at=x", b"at=x"),
        (b"at=x; at=x", b"at=x"),
        (b'at=x; at="x"', b"at=x"),
        (b"at=x; \xa0at=y; at\x85=z; a=1", b"at=x; a=1"),
        (b"at; at=x", b"at=x"),
        (b" at = x ;a=1", b" at = x ;a=1"),
        (b"at=xx", b""),
        (b"bat=x; at2=x", b"bat=x; at2=x"),
        (b"", b""),
    ],
)
def test_of_a_name_the_one_that_is_meant_is_kept(header: bytes, left: bytes) -> None:
    assert keep_only(header, {b"at": b"x"}) == left


BLANKS = b" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0"  # what str.strip() takes off, in Latin-1


def kept(header: bytes, keep: dict[bytes, bytes | None]) -> bytes:
    """What `keep_only` is to return, by splitting the header and looking at every pair."""
    left: list[bytes] = []
    found: set[bytes] = set()
    pairs = header.split(b";")
    for pair in pairs:
        name, equals, value = pair.partition(b"=")
        bare = name.strip(BLANKS)
        plain = equals and (name.strip(b" \t"), value.strip(b" \t")) == (bare, keep.get(bare))
        if bare not in keep:
            left.append(pair)
        elif plain and bare not in found:
            left.append(pair)
            found.add(bare)
    return header if len(left) == len(pairs) else b";".join(left).strip(b" \t")


crumbs = st.sampled_from(
    [
        *(b"at", b"at", b"at=v", b"at=v", b"at=", b"rt", b"rt=w", b"at-ended", b"a", b"t", b"aat"),
        *(b";", b";", b";", b"; ", b"=", b"v", b'"', b'"v"', b"\\", b",", b"&", b"AT", b"\0"),
        *(bytes([octet]) for octet in BLANKS),
        *(b"\xc2\xa0", b"\xe2\x80\x80", b"\xff"),
    ]
)


@settings(max_examples=1000)
@given(
    header=st.lists(crumbs, max_size=24).map(b"".join) | hostile_headers,
    keep=st.dictionaries(
        st.sampled_from([b"at", b"rt", b"at-ended", b"a", b"aa"]),
        st.sampled_from([None, b"v", b"w", b"", b'"v"', b"1", b"v=1"]),
    ),
)
def test_what_is_left_is_what_a_look_at_every_pair_would_leave(
    header: bytes, keep: dict[bytes, bytes | None]
) -> None:
    assert keep_only(header, keep) == kept(header, keep)


@pytest.mark.parametrize(
    "piece",
    [b"at", b"at;", b"at=v; ", b"at=v;\xa0", b" ", b"; ", b";", b"at ", b"aat", b"=at", b"at=at,"],
)
def test_a_header_of_300_kilobytes_is_gone_through_once(piece: bytes) -> None:
    class Counted(bytes):
        """Notes how far it is searched."""

        seen = 0

        def find(self, what: bytes, start: int = 0) -> int:  # type: ignore[override]
            found = super().find(what, start)
            Counted.seen += (len(self) if found < 0 else found) - start
            return found

        def rfind(self, what: bytes, start: int, end: int) -> int:  # type: ignore[override]
            found = super().rfind(what, start, end)
            Counted.seen += end - max(found, start)
            return found

    hostile = piece * (300_000 // len(piece))
    header = Counted(hostile + b";at=v")

    assert keep_only(header, {b"at": b"v", b"a": None}) == kept(header, {b"at": b"v", b"a": None})
    # Each name: there and back again.
    assert 600_000 <= Counted.seen < 2 * 2 * len(header) + 100


def test_a_header_that_is_as_it_should_be_is_the_same_one() -> None:
    header = b"a=1; at=x"

    assert keep_only(header, {b"at": b"x"}) is header
    assert keep_only(header, {b"rt": None}) is header
    assert keep_only(header, {b"at": None}) == b"a=1"


@pytest.mark.parametrize(
    ("attributes", "problem"),
    [
        (
            {"name": "a b"},
            "the name must be letters, digits and !#$%&'*+-.^_`|~ (RFC 6265bis, 4.1.1)",
        ),
        (
            {"path": "x"},
            "path must start with '/' and hold at most 1024 printable characters, no ';'",
        ),
        ({"domain": "-"}, "domain must be a host name"),
        ({"same_site": "Lax"}, "same_site must be 'lax', 'strict' or 'none'"),
        ({"name": "__Secure-a", "secure": False}, "this prefix needs secure=True"),
        ({"name": "__Host-a", "path": "/x"}, "the __Host- prefix needs path='/' and no domain"),
        ({"same_site": "none", "secure": False}, "same_site='none' needs secure=True"),
        ({"name": "__Http-a", "http_only": False}, "this prefix needs http_only=True"),
        ({"partitioned": True, "secure": False}, "partitioned=True needs secure=True"),
    ],
)
def test_what_is_wrong_with_a_cookie_is_said(attributes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Cookie(**{"name": "a", **attributes})

    assert str(caught.value) == f"cookie {attributes.get('name', 'a')!r}: {problem}"


@pytest.mark.parametrize("header", [b"\nat=v", b"at=v\x0b", b"at\x0c=v"])
def test_what_some_readers_trim_and_some_do_not_is_not_kept(header: bytes) -> None:
    assert keep_only(header, {b"at": b"v"}) == b""


def test_of_what_is_left_only_the_white_space_of_the_grammar_goes() -> None:
    assert keep_only(b"\x0ba=1; at=v; b=2\x0b", {b"at": None}) == b"\x0ba=1; b=2\x0b"


def test_a_date_is_one_of_greenwich_wherever_the_host_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as host:
        host.setenv("TZ", "KTM-05:45")
        time.tzset()
        assert parse_date(b"Thu, 01 Jan 1970 00:00:00 GMT") == 0
    time.tzset()
