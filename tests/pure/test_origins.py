"""Whose page sent it: the table of Go's csrf_test.go, its WebSocket sister, and hostile headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_refresh.origins import SAFE_METHODS, is_origin, refused_origin

HOST = b"example.com"


def refused(
    *,
    site: bytes | None = None,
    origin: bytes | None = None,
    host: bytes | None = HOST,
    trusted: tuple[bytes, ...] = (),
    websocket: bool = False,
) -> str | None:
    """The verdict over at most one header of each kind."""
    return refused_origin(
        fetch_site=[] if site is None else [site],
        origin=[] if origin is None else [origin],
        host=[] if host is None else [host],
        trusted=frozenset(trusted),
        websocket=websocket,
    )


def test_the_safe_methods_are_gos() -> None:
    assert frozenset({"GET", "HEAD", "OPTIONS"}) == SAFE_METHODS


# The rows of TestCrossOriginProtection in Go's net/http/csrf_test.go; which methods are safe is the
# caller's to ask, so every row here is that of an unsafe method (POST and PUT go the same way).
@pytest.mark.parametrize(
    ("site", "origin", "verdict"),
    [
        (b"same-origin", None, None),
        (b"none", None, None),
        (b"cross-site", None, "unknown"),
        (b"same-site", None, "unknown"),
        (None, None, None),
        (None, b"https://example.com", None),
        (None, b"https://attacker.example", "https://attacker.example"),
        (None, b"null", "unknown"),
        (b"same-origin", b"https://example.com", None),
        (b"same-origin", b"null", None),
        (b"none", b"null", None),
        (b"same-origin", b"https://attacker.example", None),
        (b"cross-site", b"https://attacker.example", "https://attacker.example"),
        (b"cross-site", b"https://example.com", "https://example.com"),
        (b"same-site", b"https://www.example.com", "https://www.example.com"),
        (b"cross-site", b"null", "unknown"),
        (b"", None, None),
        (b"", b"", None),
        (None, b"", None),
        (b"", b"https://example.com", None),
        (b"", b"https://attacker.example", "https://attacker.example"),
        (b"cross-site", b"", "unknown"),
    ],
)
def test_an_unsafe_request_is_judged_as_go_does(
    site: bytes | None, origin: bytes | None, verdict: str | None
) -> None:
    assert refused(site=site, origin=origin) == verdict


@pytest.mark.parametrize("site", [None, b"", b"cross-site", b"same-site", b"rubbish"])
def test_a_trusted_origin_passes_whatever_the_browser_says(site: bytes | None) -> None:
    assert refused(site=site, origin=b"https://t.example", trusted=(b"https://t.example",)) is None


@pytest.mark.parametrize(
    "origin",
    [
        b"http://t.example",
        b"https://t.example:8443",
        b"https://t.example:443",
        b"https://t.example/",
        b"https://T.example",
        b"https://sub.t.example",
        b"https://t.example.evil.test",
        b"https://t.example@evil.test",
        b"t.example",
        b"https://t.exampl",
        b"null",
        b" https://t.example",
    ],
)
@pytest.mark.parametrize("site", [None, b"cross-site", b"same-site"])
def test_a_trusted_origin_is_compared_exactly(site: bytes | None, origin: bytes) -> None:
    assert refused(site=site, origin=origin, trusted=(b"https://t.example",)) is not None


def test_an_absent_origin_is_never_a_trusted_one() -> None:
    assert refused(site=b"cross-site", trusted=(b"",)) == "unknown"


@pytest.mark.parametrize(
    "site",
    [
        *(b"Same-Origin", b"SAME-ORIGIN", b"None", b"same-origin ", b" none", b"same_origin"),
        *(b"\xff", b"same-origin, same-origin", b"same-origin;", b"self", b"0"),
    ],
)
def test_a_word_the_browser_does_not_say_is_refused(site: bytes) -> None:
    assert refused(site=site, origin=b"https://example.com") == "https://example.com"


@pytest.mark.parametrize("header", ["fetch_site", "origin", "host"])
def test_a_header_that_stands_twice_is_refused(header: str) -> None:
    good = {
        "fetch_site": [b"same-origin"],
        "origin": [b"https://example.com"],
        "host": [HOST],
    }
    trusted = frozenset({b"https://example.com"})

    assert refused_origin(**good, trusted=trusted) is None
    assert refused_origin(**(good | {header: good[header] * 2}), trusted=trusted) == "ambiguous"


# --- our own origin is what Host says -------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (b"https://example.com", b"example.com"),
        (b"http://example.com", b"example.com"),  # the proxy speaks TLS, the server knows nothing
        (b"https://example.com", b"EXAMPLE.com"),
        (b"https://EXAMPLE.com", b"example.com"),
        (b"https://example.com", b"example.com:443"),
        (b"https://example.com:443", b"example.com"),
        (b"http://example.com", b"example.com:80"),
        (b"http://example.com:80", b"example.com"),
        (b"https://example.com:8443", b"example.com:8443"),
        (b"http://localhost:8000", b"localhost:8000"),
        (b"http://127.0.0.1:8000", b"127.0.0.1:8000"),
        (b"http://[::1]:8000", b"[::1]:8000"),
        (b"https://[::1]", b"[::1]"),
        (b"https://a_b.example", b"a_b.example"),
    ],
)
@pytest.mark.parametrize("websocket", [False, True])
def test_our_own_origin_passes(origin: bytes, host: bytes, websocket: bool) -> None:
    assert refused(origin=origin, host=host, websocket=websocket) is None


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (b"https://example.com.evil.test", b"example.com"),
        (b"https://example.com@evil.test", b"example.com"),
        (b"https://example.com:x@evil.test", b"example.com"),
        (b"https://evil.test/example.com", b"example.com"),
        (b"https://evil.test#example.com", b"example.com"),
        (b"https://evil.test?example.com", b"example.com"),
        (b"https://evil.test\\example.com", b"example.com"),
        (b"https://www.example.com", b"example.com"),
        (b"https://example.com", b"www.example.com"),
        (b"https://example.co", b"example.com"),
        (b"https://example.com.", b"example.com"),
        (b"https://example.com:8443", b"example.com"),
        (b"https://example.com", b"example.com:8443"),
        (b"https://example.com:8080", b"example.com:80"),
        (b"https://example.com:80", b"example.com"),
        (b"http://example.com:443", b"example.com"),
        (b"https://example.com", b"example.com:80"),
        (b"http://example.com", b"example.com:443"),
        (b"https://example.com:", b"example.com"),
        (b"https://example.com/", b"example.com"),
        (b"https://example.com,https://example.com", b"example.com"),
        (b"https://example.com https://evil.test", b"example.com"),
        (b"ftp://example.com", b"example.com"),
        (b"wss://example.com", b"example.com"),
        (b"chrome-extension://example.com", b"example.com"),
        (b"//example.com", b"example.com"),
        (b"example.com", b"example.com"),
        (b"https://", b""),
        (b"https://example.com\n", b"example.com"),
        (b"null", b"null"),
        (b"null", b"example.com"),
    ],
)
@pytest.mark.parametrize("websocket", [False, True])
def test_no_other_origin_passes_for_ours(origin: bytes, host: bytes, websocket: bool) -> None:
    assert refused(origin=origin, host=host, websocket=websocket) is not None


@pytest.mark.parametrize(
    "host",
    [
        *(None, b"", b"example.com/", b"example.com?", b"example.com#", b"x@example.com"),
        *(b"\xff\xfe", b"ex\xc3\xa4mple.com", b"example.com,", b" example.com", b"example.com\n"),
        b":443",
    ],
)
@pytest.mark.parametrize("websocket", [False, True])
def test_with_a_strange_host_no_origin_is_ours(host: bytes | None, websocket: bool) -> None:
    verdict = refused(origin=b"https://example.com", host=host, websocket=websocket)

    assert verdict == "https://example.com"


@pytest.mark.parametrize("host", [None, b"", b"\xff", b"a/b"])
def test_a_strange_host_is_no_matter_where_the_browser_vouches(host: bytes | None) -> None:
    assert refused(site=b"same-origin", host=host) is None
    assert refused(host=host) is None


# --- WebSocket ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "verdict"),
    [
        (b"https://example.com", None),
        (b"http://example.com", None),
        (b"https://t.example", None),
        (b"https://sub.example.com", "https://sub.example.com"),
        (b"https://evil.test", "https://evil.test"),
        (b"https://example.com:8443", "https://example.com:8443"),
        (b"null", "unknown"),
        (b"", "missing"),
        (None, "missing"),
    ],
)
def test_a_websocket_handshake_needs_an_origin_of_ours(
    origin: bytes | None, verdict: str | None
) -> None:
    assert refused(origin=origin, trusted=(b"https://t.example",), websocket=True) == verdict


@pytest.mark.parametrize("site", [b"same-origin", b"none"])
def test_fetch_metadata_does_not_stand_in_for_the_origin_of_a_websocket(site: bytes) -> None:
    assert refused(site=site, websocket=True) == "missing"


def test_a_cross_site_websocket_is_refused_even_if_host_matches() -> None:
    verdict = refused(site=b"cross-site", origin=b"https://example.com", websocket=True)

    assert verdict == "https://example.com"


def test_a_request_is_no_websocket_unless_it_is_said_to_be() -> None:
    assert refused_origin(fetch_site=[], origin=[], host=[HOST], trusted=frozenset()) is None


# --- what it is called ----------------------------------------------------------------------------


@pytest.mark.parametrize("origin", [b"http://e.test", b"https://e.test:8", b"https://[::1]:99"])
def test_a_proper_origin_is_named(origin: bytes) -> None:
    assert refused(origin=origin) == origin.decode()


@pytest.mark.parametrize(
    "origin",
    [b"null", b"https://e.test/?q", b"https://e.test\n[ERROR]", b"\x1b[31m", b"\xff", b"<script>"],
)
def test_an_improper_one_is_not_repeated(origin: bytes) -> None:
    assert refused(origin=origin) == "unknown"


def test_the_name_of_an_absurdly_long_origin_is_short() -> None:
    verdict = refused(origin=b"https://" + b"a" * 100_000)

    assert verdict is not None
    assert len(verdict) <= 300


header_values = st.lists(
    st.binary(max_size=12)
    | st.sampled_from([b"same-origin", b"cross-site", b"https://example.com", b"null", HOST, b""]),
    max_size=2,
)


@given(site=header_values, origin=header_values, host=header_values, websocket=st.booleans())
def test_every_verdict_is_none_or_printable(
    site: list[bytes], origin: list[bytes], host: list[bytes], websocket: bool
) -> None:
    verdict = refused_origin(
        fetch_site=site, origin=origin, host=host, trusted=frozenset(), websocket=websocket
    )

    assert verdict is None or (verdict.isascii() and verdict.isprintable() and verdict)


# --- what may be trusted --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com",
        "http://example.com",
        "https://sub.example.com:8443",
        "http://localhost:8080",
        "http://127.0.0.1",
        "http://[::1]:8080",
        "https://xn--exmple-cua.com",
    ],
)
def test_it_is_an_origin(text: str) -> None:
    assert is_origin(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "example.com",  # no scheme
        "//example.com",
        "://example.com",
        "https://",  # no host
        "https:///",
        "https://:443",
        "https:example.com",
        "https:/example.com",
        "https://example.com/",  # more than scheme, host and port
        "https://example.com/path",
        "https://example.com?query=value",
        "https://example.com#fragment",
        "https://user@example.com",
        "https://example.com:",
        "https://example.com:port",
        "https://example.com:123456",
        "https://ex ample.com",
        " https://example.com",
        "https://example.com\n",
        "https://example.com, https://example.org",
        "https://*.example.com",
        "*",
        "https://ex\u00e4mple.com",
        "https://\u0435xample.com",
        "https://\ud800",
        "HTTPS://example.com",  # browsers write lower case
        "https://Example.com",
        "ftp://example.com",
        "wss://example.com",
        "file://",
        "https://[example.com",
        "https://::1",
    ],
)
def test_it_is_no_origin(text: str) -> None:
    assert not is_origin(text)
