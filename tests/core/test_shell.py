"""What all requests share: how our cookies are written, who is foreign, and who looks closely."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from authx import AuthXConfig

from asgi_refresh import Config, Cookie, Event, Legacy, MemoryStore
from asgi_refresh.compat.authx import authx_issuer
from asgi_refresh.credentials import Credentials, Headers
from asgi_refresh.exchange import Exchange
from asgi_refresh.grants import Grant
from asgi_refresh.sessions import Session
from asgi_refresh.shell import Shell, refusal, respond, takes_headers
from asgi_refresh.tokens import RefreshToken
from tests.support import SECRET, Clock, make_issuer, new_session

pytestmark = pytest.mark.anyio

ACCESS, REFRESH, CSRF = b"__Host-access", b"__Host-refresh", b"__Host-csrf"
DAY = 86400
WINDOW = 70
CSRF_COOKIE = Cookie(CSRF.decode(), http_only=False)
PLAIN = "; Path=/; Secure; HttpOnly; SameSite=Lax"


def make_shell(
    clock: Clock, *, stored: bool = True, legacy: Any = None, **config: Any
) -> tuple[Shell[Any], list[Event]]:
    events: list[Event] = []
    issuer = make_issuer(
        clock,
        store=MemoryStore() if stored else None,
        config=Config(**config),
        on_event=events.append,
        accept_legacy=legacy,
    )
    return Shell(issuer, Exchange), events


def of_authx(clock: Clock, *, stored: bool = True, **config: Any) -> Shell[Any]:
    """That of an application which takes tokens itself, and asks no store."""
    values = {"JWT_SECRET_KEY": SECRET, "JWT_TOKEN_LOCATION": ["headers", "cookies"], **config}
    store = MemoryStore() if stored else None
    return Shell(authx_issuer(AuthXConfig(**values), store=store, clock=clock), Exchange)


def grant(shell: Shell[Any], session: Session, refresh: bytes | None = b"r.1") -> Grant:
    mint = shell.issuer.mint
    return Grant(session, mint.access(session, session.claims), refresh)  # type: ignore[arg-type]


def lines(cookies: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Name to what follows the value."""
    told = {}
    for name, line in cookies:
        assert line.startswith(name + b"=")
        told[name.decode()] = line.decode().partition("; ")[2]
    assert len(told) == len(cookies)
    return told


# --- what is handed out ---------------------------------------------------------------------------


def test_a_grant_is_two_cookies_with_the_time_that_is_left(clock: Clock) -> None:
    shell, _ = make_shell(clock)
    cookies = shell.cookies(grant(shell, new_session(clock)))

    assert [name for name, _ in cookies] == [ACCESS, REFRESH]
    assert lines(cookies) == {
        "__Host-access": f"Max-Age=600{PLAIN}",
        "__Host-refresh": f"Max-Age={14 * DAY}{PLAIN}",
    }


def test_without_a_new_refresh_token_it_is_one(clock: Clock) -> None:
    shell, _ = make_shell(clock)

    assert [name for name, _ in shell.cookies(grant(shell, new_session(clock), None))] == [ACCESS]


def test_a_session_that_ends_with_the_browser_has_cookies_without_a_time(clock: Clock) -> None:
    shell, _ = make_shell(clock, csrf_cookie=CSRF_COOKIE)
    cookies = shell.cookies(grant(shell, new_session(clock, persistent=False)))

    assert len(cookies) == 3
    assert [line for _, line in cookies if b"Max-Age" in line] == []


@pytest.mark.parametrize(("late", "left"), [(0.5, 599), (598.5, 1), (600, 1), (999, 1)])
def test_a_cookie_never_lives_for_less_than_a_second(clock: Clock, late: float, left: int) -> None:
    """Zero would delete it; the token in it says what its time is."""
    shell, _ = make_shell(clock)
    session = new_session(clock, idle_expires_at=clock() + 600)
    given = grant(shell, session)
    clock.advance(late)

    assert lines(shell.cookies(given)) == {
        "__Host-access": f"Max-Age={left}{PLAIN}",
        "__Host-refresh": f"Max-Age={left}{PLAIN}",
    }


def test_the_double_submit_token_goes_with_the_access_token_and_lasts_as_the_session(
    clock: Clock,
) -> None:
    shell, _ = make_shell(clock, csrf_cookie=CSRF_COOKIE)
    session = new_session(clock)
    cookies = shell.cookies(grant(shell, session))

    assert [name for name, _ in cookies] == [ACCESS, CSRF, REFRESH]
    assert lines(cookies)["__Host-csrf"] == f"Max-Age={14 * DAY}; Path=/; Secure; SameSite=Lax"
    [token] = shell.issuer.profile.csrf_tokens(session.id, {})
    assert cookies[1][1].startswith(f"__Host-csrf={token};".encode())


@pytest.mark.parametrize(("more", "told"), [(0, 0), (1, 1)])
def test_a_line_of_more_than_1900_bytes_is_told_of_once(clock: Clock, more: int, told: int) -> None:
    shell, events = make_shell(clock, csrf_cookie=CSRF_COOKIE)
    rest = len(b"__Host-refresh=; Max-Age=1209600" + PLAIN.encode())
    for _ in range(2):
        shell.cookies(grant(shell, new_session(clock), b"r" * (1900 - rest + more)))

    expected = "__Host-refresh: a Set-Cookie of 1901 bytes; nginx takes 4096 of all headers"
    assert [(e.name, e.detail) for e in events] == [("large_cookie", expected)] * told


# --- what is taken back ---------------------------------------------------------------------------


def test_what_is_deleted_is_what_was_asked_for_with_its_companions(clock: Clock) -> None:
    old = Legacy(lambda _: None, Cookie("old", path="/auth"), [Cookie("drop"), Cookie("keep")])
    shell, _ = make_shell(clock, legacy=old, csrf_cookie=CSRF_COOKIE)

    assert lines(shell.deletions([ACCESS, b"old", b"drop", b"theme"])) == {
        "__Host-access": f"Max-Age=0{PLAIN}",
        "__Host-csrf": "Max-Age=0; Path=/; Secure; SameSite=Lax",
        "old": "Max-Age=0; Path=/auth; Secure; HttpOnly; SameSite=Lax",
        "drop": f"Max-Age=0{PLAIN}",
    }
    assert list(lines(shell.deletions([REFRESH]))) == ["__Host-refresh"]
    assert shell.deletions([]) == []


def test_of_an_earlier_system_goes_what_came(clock: Clock) -> None:
    old = Legacy(lambda _: None, Cookie("old"), [Cookie("drop")])
    shell, _ = make_shell(clock, legacy=old)

    assert list(lines(shell.legacy_deletions(Credentials(names={b"drop", ACCESS})))) == ["drop"]
    assert shell.legacy_deletions(Credentials()) == []


ID = "{:032x}"


def ended(*numbers: int, buried: tuple[str, ...] = ()) -> Credentials:
    tokens = tuple(RefreshToken(ID.format(n), 1, None, 0) for n in numbers)
    return Credentials(genuine=tokens, buried=buried)


def buried(cookies: list[tuple[bytes, bytes]]) -> list[int]:
    [(name, line)] = cookies
    assert name == b"__Host-access-ended"
    value = line.partition(b";")[0].partition(b"=")[2]
    return [int(each, 16) for each in value.decode().split("~")]


@pytest.mark.parametrize(
    ("kind", "age"),
    [
        ({"stored": False}, 14 * DAY + WINDOW),
        ({"stored": False, "idle_lifetime": timedelta(hours=2, seconds=0.5)}, 7201 + WINDOW),
        ({"revocation": "refresh"}, 600 + WINDOW),
        ({"revocation": "refresh", "access_lifetime": timedelta(minutes=9)}, 540 + WINDOW),
    ],
)
def test_a_tombstone_outlives_what_could_come_back(clock: Clock, kind: Any, age: int) -> None:
    shell, _ = make_shell(clock, **kind)

    assert lines(shell.burial(ended(1))) == {"__Host-access-ended": f"Max-Age={age}{PLAIN}"}


@pytest.mark.parametrize("revocation", ["live", "always"])
def test_there_is_none_where_a_denylist_knows(clock: Clock, revocation: str) -> None:
    shell, _ = make_shell(clock, revocation=revocation)

    assert shell.burial(ended(1)) == []


def test_there_is_none_of_nobody(clock: Clock) -> None:
    shell, _ = make_shell(clock, stored=False)

    assert shell.burial(ended(buried=(ID.format(1),))) == []


def test_it_names_those_that_ended_before_those_of_an_earlier_one_and_eight_in_all(
    clock: Clock,
) -> None:
    shell, _ = make_shell(clock, stored=False)
    earlier = tuple(map(ID.format, range(20, 30)))

    assert buried(shell.burial(ended(3, 2, 3), [ID.format(1)])) == [1, 2, 3]
    assert buried(shell.burial(ended(5, buried=earlier))) == [5, *range(20, 27)]
    assert buried(shell.burial(ended(22, buried=earlier))) == [22, 20, 21, *range(23, 28)]
    assert len(buried(shell.burial(ended(*range(30))))) == 8


def test_what_is_no_session_is_not_carried_on(clock: Clock) -> None:
    shell, _ = make_shell(clock, stored=False)

    assert buried(shell.burial(ended(1, buried=("x" * 65, "a b", "é", "")))) == [1]


def test_it_is_sent_where_the_refresh_cookie_is(clock: Clock) -> None:
    cookies = {"access_cookie": Cookie("at", path="/api"), "refresh_cookie": Cookie("rt")}
    shell, _ = make_shell(clock, stored=False, **cookies)

    [(name, line)] = shell.burial(ended(1))
    assert name == b"at-ended"
    assert b"; Path=/;" in line


def test_secure_cookies_on_plain_http_are_told_of_once_and_others_never(clock: Clock) -> None:
    shell, events = make_shell(clock)
    plain = {name: Cookie(name, secure=False) for name in ("a", "r")}
    open_shell, none = make_shell(clock, access_cookie=plain["a"], refresh_cookie=plain["r"])

    for host in ([b"app.example"], [b"localhost"], [b"other.example"]):
        shell.warn_insecure({"scheme": "https"}, host)
        open_shell.warn_insecure({"scheme": "http"}, host)
    assert events == none == []
    for host in ([b"localhost"], [b"app.example"], [b"other.example"]):
        shell.warn_insecure({"scheme": "http"}, host)

    expected = "http on host 'app.example': is the proxy's scheme passed on?"
    assert [(e.name, e.detail) for e in events] == [("insecure_cookie", expected)]


@pytest.mark.parametrize(("host", "called"), [([], "''"), ([b"\xe9"], r"'\xe9'")])
def test_without_a_scheme_it_is_plain_http_whatever_the_host_is_called(
    clock: Clock, host: list[bytes], called: str
) -> None:
    """That is ASGI's default, and the words go into a log."""
    shell, events = make_shell(clock)

    shell.warn_insecure({}, host)

    [event] = events
    assert event.detail == f"http on host {called}: is the proxy's scheme passed on?"


def test_the_token_of_a_cookie_tells_its_name(clock: Clock) -> None:
    shell, _ = make_shell(clock)
    session = new_session(clock)
    access = grant(shell, session).minted.token

    assert shell.name_of(access) == ACCESS
    assert shell.name_of(RefreshToken(session.id, 1, None, 0)) == REFRESH


# --- which cookies are whose ----------------------------------------------------------------------


def test_an_old_cookie_signs_in_and_what_came_with_it_does_not(clock: Clock) -> None:
    old = Legacy(lambda _: None, Cookie("old"), [Cookie("drop")])
    shell, _ = make_shell(clock, legacy=old)

    assert shell.signs_in == {ACCESS, REFRESH, b"old"}
    assert shell.deletable == {ACCESS, REFRESH, b"old", b"drop"}


def test_without_an_earlier_system_the_two_are_all(clock: Clock) -> None:
    shell, _ = make_shell(clock)

    assert shell.signs_in == shell.deletable == shell.names == {ACCESS, REFRESH}


def test_every_cookie_of_ours_goes_with_that_of_a_token(clock: Clock) -> None:
    old = Legacy(lambda _: None, Cookie("old"))
    shell, _ = make_shell(clock, legacy=old, csrf_cookie=CSRF_COOKIE)

    expected = {ACCESS: ACCESS, REFRESH: REFRESH, CSRF: ACCESS, b"old": b"old"}
    assert shell.goes_with == expected


# --- whom it looks at closely ---------------------------------------------------------------------


def get(path: str = "/", *headers: tuple[bytes, bytes], **more: Any) -> dict[str, Any]:
    return {"type": "http", "method": "GET", "path": path, "headers": list(headers)} | more


def test_without_a_reason_to_nobody_is(clock: Clock) -> None:
    shell, _ = make_shell(clock)

    assert not shell.closer
    assert not shell.guards
    assert not shell.is_exempt(get("/"))
    assert not shell.looks_closer(get("/", (b"authorization", b"Bearer x")))


def test_a_path_that_is_exempt_is_and_no_other(clock: Clock) -> None:
    shell, _ = make_shell(clock, cross_origin_exempt=["/callback"])
    below = {"root_path": "/app"}

    assert shell.closer
    for asks in (shell.is_exempt, shell.looks_closer):
        assert asks(get("/callback"))
        assert asks(get("/app/callback", **below))
        assert not asks(get("/"))
        assert not asks(get("/callback", **below) | {"path": "/app/other"})


def test_an_application_that_takes_tokens_itself_is_guarded_where_there_is_a_store(
    clock: Clock,
) -> None:
    assert of_authx(clock).guards
    assert not of_authx(clock, stored=False).guards


def test_a_token_in_authorization_is_seen_anyway(clock: Clock) -> None:
    shell = of_authx(clock)

    assert shell.reads is None
    assert not shell.closer


def test_one_in_a_header_of_the_applications_own_is_looked_for(clock: Clock) -> None:
    shell = of_authx(clock, JWT_HEADER_NAME="X_Token")

    assert shell.closer
    assert shell.looks_closer(get("/", (b"host", b"a"), (b"X-token", b"t")))
    assert shell.looks_closer(get("/", (b"x_TOKEN", b"t")))
    assert not shell.looks_closer(get("/", (b"x-tokens", b"t")))
    assert not shell.looks_closer(get("/"))


def test_headers_that_can_be_read_but_once_are_left_for_the_careful_way(clock: Clock) -> None:
    shell = of_authx(clock, JWT_HEADER_NAME="X-Token")

    assert shell.looks_closer(get("/") | {"headers": iter([])})


def test_without_a_store_none_is_looked_for(clock: Clock) -> None:
    shell = of_authx(clock, stored=False, JWT_HEADER_NAME="X-Token")

    assert (shell.reads, shell.closer) == (None, False)


# --- who is foreign -------------------------------------------------------------------------------

EVIL = [(b"host", b"app.example"), (b"origin", b"https://evil.example")]


def foreign(shell: Shell[Any], kind: str, method: str = "POST", **headers: bytes) -> str | None:
    told = dict(EVIL) | {name.replace("_", "-").encode(): v for name, v in headers.items()}
    scope = {"type": kind, "path": "/"} | ({"method": method} if kind == "http" else {})
    return shell.foreign_origin(scope, Headers(list(told.items())))


@pytest.mark.parametrize(
    ("cross_origin", "kind", "method", "refused"),
    [
        ("refuse", "http", "POST", True),
        ("refuse", "http", "GET", False),
        ("refuse", "websocket", "", True),
        ("allow", "http", "POST", False),
        ("allow", "websocket", "", False),
    ],
)
def test_another_origin_is_refused_where_it_may_act(
    clock: Clock, cross_origin: str, kind: str, method: str, refused: bool
) -> None:
    shell, _ = make_shell(clock, cross_origin=cross_origin)

    assert foreign(shell, kind, method) == ("https://evil.example" if refused else None)


def test_a_handshake_without_an_origin_is_foreign_and_a_request_is_not(clock: Clock) -> None:
    """No browser sends such a handshake."""
    shell, _ = make_shell(clock)

    assert foreign(shell, "websocket", origin=b"") == "missing"
    assert foreign(shell, "http", origin=b"") is None


def test_our_own_origin_and_a_trusted_one_are_not_foreign(clock: Clock) -> None:
    shell, _ = make_shell(clock, trusted_origins=["https://spa.example"])

    assert foreign(shell, "http", origin=b"https://app.example") is None
    assert foreign(shell, "http", origin=b"https://spa.example") is None
    assert foreign(shell, "http") is not None


def test_a_request_of_ours_behind_a_proxy_that_rewrites_the_host_is_known_by_fetch_metadata(
    clock: Clock,
) -> None:
    shell, _ = make_shell(clock)

    assert foreign(shell, "http", sec_fetch_site=b"same-origin") is None
    assert foreign(shell, "http", sec_fetch_site=b"cross-site") is not None


def test_a_request_without_any_header_is_not_foreign_and_such_a_handshake_is(clock: Clock) -> None:
    shell, _ = make_shell(clock)

    assert shell.foreign_origin({"type": "http", "method": "POST"}, {}) is None
    assert shell.foreign_origin({"type": "websocket"}, {}) == "missing"


def test_a_refusal_says_whose_request_it_was_and_what_to_do(clock: Clock) -> None:
    assert refusal("https://a.example") == (
        "Refused: a request from another origin (https://a.example). If that origin is yours, add"
        " it to Config(trusted_origins=...)."
    )


# --- what goes out besides ------------------------------------------------------------------------


def test_a_response_varies_with_what_can_say_who_it_is(clock: Clock) -> None:
    assert make_shell(clock)[0].varies_on == (b"Cookie", b"Authorization")
    assert make_shell(clock, bearer=False)[0].varies_on == (b"Cookie",)


def test_a_sign_out_clears_what_is_asked_for(clock: Clock) -> None:
    shell, _ = make_shell(clock, clear_site_data=["cache", "storage"])

    assert shell.clearing == [(b"clear-site-data", b'"cache", "storage"')]
    assert make_shell(clock)[0].clearing == []


@pytest.mark.parametrize(
    ("asgi", "takes"),
    [
        ({}, False),
        ({"asgi": {}}, False),
        ({"asgi": {"spec_version": "1.0"}}, False),
        ({"asgi": {"spec_version": "2.0"}}, False),
        ({"asgi": {"spec_version": "2.1"}}, True),
        ({"asgi": {"spec_version": "2.3"}}, True),
        ({"asgi": {"spec_version": 2.0}}, False),
    ],
)
def test_a_server_takes_headers_on_accept_from_asgi_2_1_on(asgi: Any, takes: bool) -> None:
    assert takes_headers({"type": "websocket"} | asgi) is takes
    assert takes_headers({"type": "http"} | asgi)


@pytest.mark.parametrize("prefix", ["", "websocket."])
async def test_a_short_answer_is_plain_text_that_nobody_keeps(prefix: str) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await respond(send, 403, "é", [(b"x", b"y")], prefix=prefix)

    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"2"),
        (b"cache-control", b"private, no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"x", b"y"),
    ]
    assert sent == [
        {"type": f"{prefix}http.response.start", "status": 403, "headers": headers},
        {"type": f"{prefix}http.response.body", "body": "é".encode()},
    ]
