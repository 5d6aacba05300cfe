"""
Abuse cases AB-33 … AB-40: the Cookie header, octet by octet.

As in every family, each is tried on a request, on a WebSocket handshake and on the other readers of
cookies: the refresh endpoint and `VerifierMiddleware`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from asgi_refresh import Config, Cookie
from tests.attacks.places import ENDPOINT, OWN, Header, Outcome, Site
from tests.blackbox.helpers import MINUTE
from tests.support import Clock
from tests.tokens.forge import claims, token

pytestmark = pytest.mark.anyio

PLAIN = Config(access_cookie=Cookie("at"), refresh_cookie=Cookie("rt"))
both_modes = pytest.mark.parametrize("stored", [True, False], ids=["rotating", "stateless"])
either = pytest.mark.parametrize("kind", ["access", "refresh"])


def site_of(clock: Clock, stored: bool = True, **kwargs: Any) -> Site:
    return Site(clock, store=... if stored else None, **kwargs)


def line(*pieces: bytes) -> Header:
    return b"cookie", b"".join(pieces)


async def readers(site: Site, *headers: Header) -> list[Outcome]:
    """What every reader of cookies makes of *headers*; the refresh endpoint comes last."""
    return [
        await site.http(*headers),
        await site.websocket(OWN[0], *headers),
        await site.http(*headers, app=site.reader),
        await site.http(*OWN, *headers, path=ENDPOINT, method="POST"),
    ]


async def nobody_reads(site: Site, *headers: Header) -> None:
    """Assert that no cookie of ours is in *headers* at all."""
    *apps, endpoint = await readers(site, *headers)
    for outcome in apps:
        assert (outcome.subject, outcome.reason) == (None, "no_credentials"), headers
        assert (outcome.set_cookies, outcome.events, outcome.writes) == ([], [], []), headers
    assert (endpoint.status, endpoint.set_cookies, endpoint.writes) == (401, [], []), headers


async def of_kind(site: Site, kind: str, subject: str = "alice") -> tuple[bytes, bytes]:
    """Name and value of a good cookie."""
    tokens = await site.issue(subject)
    if kind == "access":
        return site.access.encode(), tokens.access_token.encode()
    return site.refresh.encode(), tokens.refresh_token.encode()


ODD_SPACES = [b"\xa0", b"\x85", b"\xc2\xa0", b"\xc2\x85", b"\xe2\x80\x80", b"\xe2\x80\x83",
              b"\xe3\x80\x80", b"\xef\xbb\xbf", b"\x1c", b"\x1d", b"\x1e", b"\x1f", b"\x0b",
              b"\x0c", b"\r", b"\n", b"\x00"]  # fmt: skip


@either
@both_modes
async def test_AB_33_a_name_behind_an_odd_space_is_another(
    clock: Clock, kind: str, stored: bool
) -> None:
    """What `str.strip` takes for white space, browsers let a sibling host set."""
    site = site_of(clock, stored)
    name, value = await of_kind(site, kind)
    for space in ODD_SPACES:
        await nobody_reads(site, line(space, name, b"=", value))
        await nobody_reads(site, line(name, space, b"=", value))
        await nobody_reads(site, line(b"a=b; ", space, name, b"=", value))


RESPELL: dict[str, Callable[[bytes, bytes], bytes]] = {
    "no name": lambda name, value: b"=" + name + b"=" + value,
    "no name, twice": lambda name, value: b"==" + name + b"=" + value,
    "no equals sign": lambda name, value: name,
    "no equals sign, then the value": lambda name, value: name + b"; " + value,
    "no equals sign, a space": lambda name, value: name + b" " + value,
    "lower case": lambda name, value: name.lower() + b"=" + value,
    "upper case": lambda name, value: name.upper() + b"=" + value,
    "version": lambda name, value: b"$Version=1," + name + b"=" + value,
    "version of its own": lambda name, value: b"$Version=1, " + name + b"=" + value,
    "comma": lambda name, value: b"a=b," + name + b"=" + value,
    "comma and space": lambda name, value: b"a=b, " + name + b"=" + value,
    "ampersand": lambda name, value: b"a=b&" + name + b"=" + value,
    "new line": lambda name, value: b"a=b\r\n" + name + b"=" + value,
    "in quotes": lambda name, value: b'a="x; b=' + name + b"=" + value + b'"',
    "quoted name": lambda name, value: b'"' + name + b'"=' + value,
    "prefix of another": lambda name, value: name + b"x=" + value,
    "suffix of another": lambda name, value: b"x" + name + b"=" + value,
    "without its prefix": lambda name, value: name.removeprefix(b"__Host-") + b"=" + value,
    "other prefix": lambda name, value: name.replace(b"__Host-", b"__Secure-") + b"=" + value,
    "value as a name": lambda name, value: value + b"=" + name,
    "colon": lambda name, value: name + b":" + value,
}


@either
async def test_AB_34_a_name_that_is_not_quite_ours_is_not_ours(clock: Clock, kind: str) -> None:
    """CVE-2023-23934 and its like: nameless cookies, prefixes in another case, `$Version`."""
    site = site_of(clock)
    name, value = await of_kind(site, kind)
    for respell in RESPELL.values():
        await nobody_reads(site, line(respell(name, value)))
        await nobody_reads(site, line(b"theme=dark; ", respell(name, value), b"; lang=en"))


@either
@pytest.mark.parametrize("config", [None, PLAIN], ids=["prefixed", "plain"])
@pytest.mark.parametrize("evil_first", [True, False])
async def test_AB_35_of_a_name_that_stands_twice_the_one_that_verifies_counts(
    clock: Clock, kind: str, config: Config | None, evil_first: bool
) -> None:
    """DESIGN §8: exactly one must verify, with the prefix too: the order is nothing to rely on."""
    site = site_of(clock, config=config)
    name, value = await of_kind(site, kind)
    forged = b"evil" if kind == "refresh" else token(claims(sub="mallory"), secret=b"m" * 40)
    values = [forged, value] if evil_first else [value, forged]

    *apps, endpoint = await readers(site, line(b"; ".join(name + b"=" + v for v in values)))

    for outcome in apps[: 3 if kind == "access" else 2]:
        outcome.is_of("alice")
    assert endpoint.subject == ("alice" if kind == "refresh" else None)


@either
@both_modes
@pytest.mark.parametrize("config", [None, PLAIN], ids=["prefixed", "plain"])
@pytest.mark.parametrize("split", [True, False])
async def test_AB_35_of_two_that_verify_none_counts_and_it_is_an_event(
    clock: Clock, kind: str, stored: bool, config: Config | None, split: bool
) -> None:
    site = site_of(clock, stored, config=config)
    name, alice = await of_kind(site, kind)
    _, mallory = await of_kind(site, kind, "mallory")
    for values in ((alice, mallory), (mallory, alice), (b"x", alice, b"y", mallory)):
        pairs = [name + b"=" + value for value in values]
        headers = [line(pair) for pair in pairs] if split else [line(b"; ".join(pairs))]
        *apps, endpoint = await readers(site, *headers)
        for outcome in apps[:2]:
            outcome.nobody(values, reason="ambiguous_cookies")
        if kind == "access":
            assert (apps[2].subject, apps[2].reason) == (None, "ambiguous_cookies")
        assert (endpoint.status, endpoint.set_cookies, endpoint.writes) == (401, [], [])


async def test_AB_35_no_refresh_token_decides_between_two(clock: Clock) -> None:
    site = site_of(clock)
    name, alice = await of_kind(site, "access")
    _, mallory = await of_kind(site, "access", "mallory")
    refresh, value = await of_kind(site, "refresh", "mallory")
    pairs = (name + b"=" + alice, name + b"=" + mallory, refresh + b"=" + value)

    for outcome in (await readers(site, line(b"; ".join(pairs))))[:2]:
        outcome.nobody(reason="ambiguous_cookies")


async def test_AB_35_only_a_handful_of_values_is_looked_at(clock: Clock) -> None:
    """CK-7: bounded; whoever can plant five cookies can sign the user out, and nobody in."""
    site = site_of(clock)
    name, value = await of_kind(site, "access")
    tossed = [name + b"=evil%d" % at for at in range(4)]

    for outcome in (await readers(site, line(b"; ".join([*tossed, name + b"=" + value]))))[:2]:
        outcome.nobody()


@either
@pytest.mark.parametrize("name_of_header", [b"cookie", b"Cookie", b"COOKIE", b"cOOkIE"])
async def test_AB_36_cookie_headers_are_joined_in_any_case(
    clock: Clock, kind: str, name_of_header: bytes
) -> None:
    """HTTP/2 and 3 split them (RFC 9113, 8.2.3)."""
    for headers in (
        lambda pair: [(name_of_header, pair)],
        lambda pair: [(name_of_header, b"a=b"), (b"x", b"y"), (name_of_header, pair)],
        lambda pair: [(name_of_header, pair), (b"cookie", b"a=b")],
        lambda pair: [(b"cookie", b""), (name_of_header, pair), (b"COOKIE", b";")],
    ):
        site = site_of(clock)
        name, value = await of_kind(site, kind)
        *apps, endpoint = await readers(site, *headers(name + b"=" + value))
        for outcome in apps[: 3 if kind == "access" else 2]:
            outcome.is_of("alice")
        assert endpoint.subject == ("alice" if kind == "refresh" else None)


@either
async def test_AB_36_a_pair_is_not_joined_across_headers(clock: Clock, kind: str) -> None:
    site = site_of(clock)
    name, value = await of_kind(site, kind)

    await nobody_reads(site, line(name), line(b"=" + value))
    await nobody_reads(site, line(name[:5]), line(name[5:] + b"=" + value))


@either
@both_modes
async def test_AB_37_spaces_and_tabs_are_trimmed(clock: Clock, kind: str, stored: bool) -> None:
    for around in (b"%b = %b ", b"\t%b\t=\t%b\t", b"  %b  =  %b  ", b" \t%b=%b\t ", b"%b= %b"):
        site = site_of(clock, stored)
        pair = around % await of_kind(site, kind)
        for cookie in (pair, b"a=b;" + pair + b";c=d"):
            (await site.http(line(cookie))).is_of("alice")
            (await site.websocket(OWN[0], line(cookie))).is_of("alice")
        if kind == "access":
            (await site.http(line(pair), app=site.reader)).is_of("alice")
        else:
            pair = around % await of_kind(site, kind)
            (await site.http(*OWN, line(pair), path=ENDPOINT, method="POST")).is_of("alice")


@either
@both_modes
async def test_AB_37_quotes_belong_to_the_value(clock: Clock, kind: str, stored: bool) -> None:
    site = site_of(clock, stored)
    name, value = await of_kind(site, kind)
    for quoted in (b'"%b"', b"'%b'", b'"%b', b'%b"', b'" %b "', b"\\%b", b'"\\145%b"'):
        cookie = line(name + b"=" + quoted % value)
        *apps, endpoint = await readers(site, cookie)
        for outcome in apps[:2]:
            outcome.nobody(quoted)
        assert apps[2].subject is None
        assert (endpoint.status, endpoint.set_cookies, endpoint.writes) == (401, [], [])


def quotes(size: int) -> bytes:
    return b'a="' + b'\\"' * (size // 2) + b'"'


@pytest.mark.parametrize("size", [16 * 1024 + 1, 300_000])
@both_modes
async def test_AB_38_a_cookie_header_over_the_limit_is_not_even_parsed(
    clock: Clock, size: int, stored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The event is `rejected` with `oversize_cookies` (DESIGN §4); the time is the benchmarks'.
    """
    site = site_of(clock, stored)
    name, value = await of_kind(site, "access")
    good = name + b"=" + value

    def parsed(*_args: object) -> None:
        raise AssertionError

    monkeypatch.setattr("asgi_refresh.credentials.collect", parsed)
    monkeypatch.setattr("asgi_refresh.middleware.sole_value", parsed)
    filler = quotes(size - len(good))
    for cookie in (filler + b"; " + good, good + b"; " + filler):
        for headers in ([line(cookie)], [line(part) for part in cookie.split(b"; ")]):
            (await site.http(*headers)).nobody(reason="oversize_cookies")
            (await site.websocket(OWN[0], *headers)).nobody(reason="oversize_cookies")


def calls_of(run: Callable[[], Any]) -> int:
    """How many functions, of Python and of C, *run* calls."""
    calls = 0

    def count(_frame: Any, event: str, _arg: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        run()
    finally:
        sys.setprofile(before)
    return calls


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "cookies": lambda count: b"; ".join(b"c%d=v" % at for at in range(count)),
    "quotes": lambda count: quotes(8 * count),
    "semicolons": lambda count: b";" * count,
    "equals signs": lambda count: b"=" * count,
    "spaces": lambda count: b" " * count + b"a=b",
    "our name": lambda count: b"; ".join([b"__Host-access"] * count),
    "our name with values": lambda count: b"; ".join(
        b"__Host-access=%d" % at for at in range(count)
    ),
}


@pytest.mark.parametrize("shape", HOSTILE)
def test_AB_38_the_work_grows_no_faster_than_the_header(shape: str) -> None:
    """10 000 cookies, and the shapes that other parsers are quadratic in; by counting calls."""
    from asgi_refresh.cookies import collect

    make, names = HOSTILE[shape], (b"__Host-access", b"__Host-refresh")
    few, many = (calls_of(lambda n=n: collect(make(n), names)) for n in (1_000, 10_000))

    built = calls_of(lambda: make(10_000))
    assert many <= 10 * few + 100
    assert many - built < 100_000


@either
async def test_AB_38_ten_thousand_cookies_hide_none_of_ours(clock: Clock, kind: str) -> None:
    config = Config(max_cookie_header=2**20)
    site = site_of(clock, config=config)
    name, value = await of_kind(site, kind)
    flood = b"; ".join(b"c%d=v" % at for at in range(5_000))

    outcome = await site.http(line(flood, b"; ", name, b"=", value, b"; ", flood))

    outcome.is_of("alice")


async def test_AB_38_a_signed_in_user_can_still_sign_out(clock: Clock) -> None:
    """However long the header has grown: what is to be ended is read all the same."""
    site = site_of(clock)
    tokens = await site.issue()
    cookies = site.cookies(
        ("junk", b"x" * 20_000), (site.access, tokens.access_token), (site.refresh, "x")
    )

    outcome = await site.http(cookies, *OWN, path="/logout", method="POST")

    assert outcome.status == 200
    assert await site.issuer.sessions("alice") == []


@either
async def test_AB_39_no_name_is_percent_decoded(clock: Clock, kind: str) -> None:
    """CVE-2020-8184: nor is any other escape in it."""
    site = site_of(clock)
    name, value = await of_kind(site, kind)
    for respelled in (
        name.replace(b"__", b"%5F%5F"), name.replace(b"__", b"%5f%5f"),
        name.replace(b"-", b"%2D"), b"".join(b"%%%02X" % octet for octet in name),
        name.replace(b"__", b"\\137\\137"), name.replace(b"__", b"&#95;&#95;"),
        name.replace(b"__", b"=?utf-8?q?=5F=5F?="), name.replace(b"__", b"+_"),
    ):  # fmt: skip
        await nobody_reads(site, line(respelled, b"=", value))


@either
async def test_AB_39_no_value_is_percent_decoded(clock: Clock, kind: str) -> None:
    site = site_of(clock)
    name, value = await of_kind(site, kind)
    encoded = value.replace(b".", b"%2E")

    for outcome in (await readers(site, line(name, b"=", encoded)))[:2]:
        outcome.nobody()


@both_modes
async def test_AB_40_a_token_that_a_sibling_plants_signs_nobody_else_in(
    clock: Clock, stored: bool
) -> None:
    """
    Without the prefix a sibling host may set our cookie: the rules of AB-31 hold for it.

    Next to Alice's own refresh cookie it makes two, and none counts; next to her access cookie it
    is of another session; alone it is Mallory's session, which DESIGN leaves to `__Host-`.
    """
    site = site_of(clock, stored, config=PLAIN)
    alice = await site.issue("alice")
    mallory = (await site.issue("mallory")).refresh_token
    own = (site.access, alice.access_token)
    clock.advance(9 * MINUTE + 30)
    for refresh in ([mallory], [mallory, alice.refresh_token], [alice.refresh_token, mallory]):
        cookies = site.cookies(own, *[("rt", value) for value in refresh])
        for outcome in (await site.http(cookies), await site.websocket(OWN[0], cookies)):
            outcome.is_of("alice")
            assert (outcome.set_cookies, outcome.writes) == ([], [])
            assert outcome.named("rejected")
    clock.advance(30)
    for refresh in ([mallory], [mallory, alice.refresh_token], [alice.refresh_token, mallory]):
        cookies = site.cookies(own, *[("rt", value) for value in refresh])
        for outcome in (await site.http(cookies), await site.websocket(OWN[0], cookies)):
            outcome.nobody(refresh, reason={"session_mismatch", "ambiguous_cookies"})


def test_AB_40_the_names_are_prefixed_unless_told_otherwise() -> None:
    config = Config()
    for cookie in (config.access_cookie, config.refresh_cookie):
        assert cookie.name.startswith("__Host-")
        assert (cookie.path, cookie.domain, cookie.secure) == ("/", None, True)


def test_AB_40_the_check_of_a_configuration_says_what_a_subdomain_can_do() -> None:
    from asgi_refresh.review import weaknesses

    said = [text for text in weaknesses(PLAIN, keeping="store") if "subdomain can plant" in text]
    assert len(said) == 2
    assert not any("subdomain" in text for text in weaknesses(Config(), keeping="store"))
