"""AB-90 to AB-95: what clients write into a request stays theirs, and what is ours stays ours."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from asgi_refresh import Auth, Config, Cookie, Issuer, MemoryStore, RefreshMiddleware
from asgi_refresh.endpoints import bundle
from asgi_refresh.errors import InvalidTokenError
from asgi_refresh.signers import Mac
from asgi_refresh.telemetry import log_event
from tests.attacks.places import PLACES, Place
from tests.attacks.places import Site as Placed
from tests.blackbox.helpers import ACCESS, HOUR, REFRESH, Site, doing, given, make_site
from tests.hostile.tools import both, http, run, set_cookies, websocket
from tests.measured import Measured
from tests.support import Browser, Clock, Spy, answer, make_issuer

pytestmark = pytest.mark.anyio


# --- AB-90: imitations ----------------------------------------------------------------------------


class Forged:
    """What an attacker, or an outer middleware gone wrong, would put where ours goes."""

    subject = "admin"
    is_authenticated = True
    payload = {"sub": "admin"}  # noqa: RUF012 - a copy of one
    scopes = ("authenticated", "admin")

    def __bool__(self) -> bool:
        return True


IMITATIONS: list[Any] = [Forged(), {"sub": "admin"}, "admin", None, object()]


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("at", range(len(IMITATIONS)))
@pytest.mark.parametrize("carried", ["nothing", "garbage", "good", "expired", "oversize"])
async def test_AB_90_whatever_stood_in_the_scope_is_overwritten(
    clock: Clock, kind: str, at: int, carried: str
) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend((scope["asgi_refresh"], scope["auth"], scope["user"]))
        assert Auth.of(scope) is scope["asgi_refresh"]

    site = make_site(clock, app)
    tokens = await site.issuer.issue("alice")
    headers = {
        "nothing": [],
        "garbage": [(b"cookie", f"{ACCESS}=x; {REFRESH}=y".encode())],
        "good": [both(tokens)],
        "expired": [(b"cookie", f"{ACCESS}={tokens.access_token}".encode())],
        "oversize": [both(tokens), (b"cookie", b"a" * 20_000)],
    }[carried]
    clock.advance(HOUR if carried == "expired" else 0)
    imitation = IMITATIONS[at]
    make = http if kind == "http" else websocket
    scope = make(headers=[(b"origin", b"https://app.example"), *headers])
    scope |= {"asgi_refresh": imitation, "auth": imitation, "user": imitation}
    scope["state"] = {"asgi_refresh": imitation, "user": imitation, "auth": imitation}

    await run(site.browser.app, scope)

    assert [type(found) for found in seen] == [Auth] * 3
    assert {found.subject for found in seen} == {"alice" if carried == "good" else None}


@pytest.mark.parametrize(
    "name",
    [
        *("asgi_refresh", "asgi-refresh", "asgi_refresh.subject", "auth", "user", "x-user"),
        *("remote-user", "x-forwarded-user", "x-auth-request-user", "remote_user"),
        *("http_authorization", "_user"),
    ],
)
async def test_AB_90_no_header_says_who_it_is(clock: Clock, name: str) -> None:
    site = make_site(clock)
    tokens = await site.issuer.issue("alice")
    for value in (
        "admin",
        '{"sub": "admin"}',
        tokens.access_token,
        f"Bearer {tokens.access_token}",
    ):
        answered = await site.browser.get("/", headers=[(name, value)], cookies={})

        assert (answered.json()["subject"], answered.json()["reason"]) == (None, "no_credentials")


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/session", "/auth/sessions"])
async def test_AB_90_an_imitation_opens_no_endpoint(clock: Clock, path: str) -> None:
    """They stand in front of the middleware, and make an `Auth` of their own."""
    issuer = make_issuer(clock, store=MemoryStore())
    app = bundle(issuer)[path]
    for imitation in IMITATIONS:
        scope = http(path, "POST" if "refresh" in path else "GET")
        scope |= {"asgi_refresh": imitation, "auth": imitation, "user": imitation}

        assert (await run(app, scope))[0]["status"] == 401


async def test_AB_90_the_auth_of_another_issuer_is_none_of_ours(clock: Clock) -> None:
    """Two applications in one process: the outer one's user is nobody in the inner one."""
    outer = make_issuer(clock, store=MemoryStore())
    inner = Issuer(
        "another-secret-that-is-long-enough-too",
        store=MemoryStore(),
        clock=clock,
        config=Config(refresh_cookie=Cookie("__Host-other"), access_cookie=Cookie("__Host-o")),
    )
    subjects: list[Any] = []
    innermost = RefreshMiddleware(doing(lambda auth: subjects.append(auth.subject)), inner)
    browser = Browser(RefreshMiddleware(innermost, outer), clock)
    tokens = await outer.issue("alice")

    await browser.send("/", cookies={ACCESS: tokens.access_token})

    assert subjects == [None]


# --- AB-91: twice ---------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("times", [2, 3])
async def test_AB_91_installed_again_further_in_it_does_nothing_more(
    clock: Clock, times: int, stored: bool
) -> None:
    site = make_site(clock, stored=stored)
    for _ in range(times - 1):
        site.browser.app = RefreshMiddleware(site.browser.app, site.issuer)
    await site.sign_in()
    clock.advance(HOUR)

    response = await site.browser.get("/")

    assert response.json()["subject"] == "alice"
    assert ACCESS in given(response)  # `cookies` fails on a name that stands twice
    if stored:
        assert (site.store.count("get"), site.store.count("replace")) == (1, 1)
        [session] = await site.issuer.sessions("alice")
        assert session.current == 2
    assert response.header("vary") == "Cookie, Authorization"


@pytest.mark.parametrize("path", ["/login", "/logout"])
async def test_AB_91_installed_twice_signing_in_and_out_happens_once(
    clock: Clock, path: str
) -> None:
    site = make_site(clock)
    site.browser.app = RefreshMiddleware(site.browser.app, site.issuer)
    await site.sign_in("bob")

    response = await site.browser.post(path)

    assert len(response.set_cookies) == 2
    assert site.store.count("add") == (path == "/login")
    assert site.store.count("revoke") == 1


def nested(clock: Clock) -> tuple[Site, Site]:
    """Users in front of staff: two middlewares with cookies and scope keys of their own."""
    subjects: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        subjects.update({k: Auth.of(scope, scope_key=k).subject for k in ("users", "staff")})
        for key in ("users", "staff"):
            if scope["path"] == f"/logout/{key}":
                Auth.of(scope, scope_key=key).logout()
        await answer(send, body=repr(subjects).encode())

    staff = make_site(
        clock,
        app,
        config=Config(access_cookie=Cookie("__Host-sa"), refresh_cookie=Cookie("__Host-sr")),
        middleware={"scope_key": "staff", "starlette": False},
    )
    users = make_site(clock, staff.browser.app, middleware={"scope_key": "users"})
    staff.browser = users.browser
    return users, staff


async def test_AB_91_two_of_other_names_go_their_own_ways(clock: Clock) -> None:
    users, staff = nested(clock)
    await users.sign_in("alice")
    await staff.sign_in("root")
    clock.advance(HOUR)

    response = await users.browser.get("/")

    assert response.body == b"{'users': 'alice', 'staff': 'root'}"
    assert given(response) == {ACCESS, REFRESH, "__Host-sa", "__Host-sr"}
    assert users.store.count("replace") == staff.store.count("replace") == 1


@pytest.mark.parametrize("key", ["users", "staff"])
async def test_AB_91_signing_out_of_one_leaves_the_other(clock: Clock, key: str) -> None:
    users, staff = nested(clock)
    await users.sign_in("alice")
    await staff.sign_in("root")

    await users.browser.post(f"/logout/{key}")
    response = await users.browser.get("/")

    left = {"users": "alice", "staff": "root", key: None}
    assert response.body == repr(left).encode()


async def test_AB_91_the_token_of_one_is_nobody_to_the_other(clock: Clock) -> None:
    """Not by its name; what shares a secret is kept apart by `Config(issuer=…)` (AB-26)."""
    users, _staff = nested(clock)
    tokens = await users.issuer.issue("alice")

    for name in ("__Host-sa", "__Host-sr"):
        for raw in (tokens.refresh_token, "x"):
            if name == "__Host-sr" and raw != "x":
                continue
            response = await users.browser.send("/", cookies={name: raw})
            assert b"'staff': None" in response.body


# --- AB-92: no token in what is told (the long version is test_canary.py) -------------------------


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    logger, listener = logging.getLogger("asgi_refresh"), _Listener()
    logger.setLevel(logging.DEBUG)
    logger.addHandler(listener)
    yield listener.records
    logger.removeHandler(listener)
    logger.setLevel(logging.NOTSET)


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.mark.parametrize("place", PLACES, ids=str)
async def test_AB_92_a_refused_token_shows_up_in_no_log_error_or_metric(
    clock: Clock,
    place: Place,
    records: list[logging.LogRecord],
    measured: Measured,
) -> None:
    site = Placed(clock, on_event=log_event)
    raw = await site.genuine(place)
    bad = raw[:-8] + "canary00"

    with measured.span():
        outcome = await place.put(site, bad)

    if place.is_endpoint:
        assert b"canary00" not in outcome.body
    told = [record.getMessage() + repr(record.__dict__) for record in records]
    told += [repr(site.issuer), repr(measured.counted), repr(site.events)]
    told += [repr(measured.attributes), repr(measured.points("asgi_refresh.store.duration"))]
    assert records
    assert measured.counted
    for text in told:
        assert "canary00" not in text
        assert raw[:-8] not in text


async def test_AB_92_a_crash_of_the_application_shows_no_token(clock: Clock) -> None:
    """Error pages print the locals of every frame; ours are among them."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        Auth.of(scope)
        scope.clear()  # the request's own headers are the server's to hide
        raise KeyError("the application's own")

    site = make_site(clock, app)
    tokens = await site.issuer.issue("alice")
    clock.advance(HOUR)
    scope = http(headers=[both(tokens)])
    with pytest.raises(KeyError) as caught:
        await site.browser.app(scope, None, None)  # type: ignore[arg-type]

    text = repr(caught.value) + repr(caught.traceback[-1].locals)
    assert tokens.access_token not in text
    assert tokens.refresh_token not in text


async def test_AB_92_an_invalid_token_error_holds_no_token(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    genuine = (await issuer.issue("alice")).access_token
    for raw in (
        *("c4nary0123456789", "a.c4nary0123456789.c", "c4nary0123456789\u00e4"),
        f"{genuine[:-8]}c4nary00",
        f"{genuine.partition('.')[0]}.c4nary0123456789.c",
    ):
        with pytest.raises(InvalidTokenError) as caught:
            issuer.verify(raw)
        error = caught.value
        told = f"{error} {error!r} {error.__dict__}"
        told += "".join(traceback.format_exception(error))
        assert "c4nary" not in told


# --- AB-93: text that is meant for the log --------------------------------------------------------

INJECTION = "a\n[ERROR] x\x1b[31m\r\nSet-Cookie: y\x00\u2028\u202e"


async def test_AB_93_a_subject_with_controls_signs_nobody_in(clock: Clock) -> None:
    issuer = make_issuer(clock, store=MemoryStore())

    for subject in (INJECTION, "a\n[ERROR] x\x1b[31m", "a\x1b[31m"):
        with pytest.raises(ValueError, match="controls"):
            await issuer.issue(subject)


@pytest.mark.parametrize("subject", ["a\u2028[ERROR] x", "a\u202ex", "\u0085", "\u00e4", "a\\n"])
async def test_AB_93_a_strange_subject_is_one_line_of_ascii(
    clock: Clock, records: list[logging.LogRecord], subject: str
) -> None:
    issuer = make_issuer(clock, store=MemoryStore(), on_event=log_event)

    tokens = await issuer.issue(subject)
    await issuer.revoke(tokens.session_id, subject=subject)

    lines = [record.getMessage() for record in records]
    assert len(lines) == 2
    for line in lines:
        assert line.isascii()
        assert line.isprintable()


@pytest.mark.parametrize(
    "header", ["origin", "user-agent", "host", "authorization", "cookie", "sec-fetch-site"]
)
async def test_AB_93_what_a_request_says_is_one_line_of_ascii(
    clock: Clock, records: list[logging.LogRecord], header: str
) -> None:
    """CVE-2020-7694 (uvicorn)."""
    site = make_site(clock, on_event=log_event)
    tokens = await site.issuer.issue("alice")
    records.clear()
    hostile = INJECTION.encode()
    values = [hostile, b"Bearer " + hostile, b"%b=%b" % (ACCESS.encode(), hostile)]
    for method in ("GET", "POST"):
        for value in values:
            name = header.encode()
            for times in (1, 2):
                scope = http(method=method, headers=[both(tokens), *[(name, value)] * times])
                await run(site.browser.app, scope)

    for record in records:
        assert record.getMessage().isascii()
        assert record.getMessage().isprintable()
        for name in ("subject", "detail", "reason", "user_agent"):
            assert str(vars(record).get(name, "")).isprintable()
    assert bool(records) == (header not in ("user-agent", "authorization"))


# --- AB-94: redirects -----------------------------------------------------------------------------

ELSEWHERE = ["//evil.example", "/\\evil.example", "https:evil.example", "https://evil.example"]
ELSEWHERE += ["/%0d%0aSet-Cookie:x", "\\\\evil.example", "javascript:alert(1)"]


@pytest.mark.parametrize("name", ["next", "redirect_to", "redirect_uri", "return_to", "url", "rd"])
async def test_AB_94_no_answer_of_ours_redirects_anywhere(clock: Clock, name: str) -> None:
    """There is no such parameter, and so nothing to check (CS-8: default none)."""
    site = make_site(clock)
    app = RefreshMiddleware(doing(), site.issuer, endpoints=bundle(site.issuer))
    tokens = await site.issuer.issue("alice")
    for path in ["/", *bundle(site.issuer)]:
        for method in ("GET", "POST", "DELETE"):
            for target in ELSEWHERE:
                query = f"{name}={target}".encode()
                headers = [both(tokens), (b"origin", b"https://app.example")]
                headers += [(b"referer", target.encode()), (b"x-forwarded-uri", target.encode())]
                sent = await run(app, http(path, method, headers=headers, query_string=query))

                names = {key.lower() for key, _ in sent[0]["headers"]}
                assert not names & {b"location", b"refresh", b"content-location"}
                assert not 300 <= sent[0]["status"] < 400


# --- AB-95: comparing what is not ASCII -----------------------------------------------------------

NOT_ASCII = ["\u00e4", "a.b.\u00e4", "\ud800", "\u00ff" * 43, "\U0001f600"]


@pytest.mark.parametrize("raw", NOT_ASCII)
@pytest.mark.parametrize("place", PLACES, ids=str)
async def test_AB_95_a_token_beyond_ascii_is_refused_and_raises_nothing(
    clock: Clock, place: Place, raw: str
) -> None:
    site = Placed(clock)

    (await place.put(site, raw)).nobody(raw, malformed=True)


@pytest.mark.parametrize("place", PLACES, ids=str)
async def test_AB_95_a_signature_beyond_ascii_is_refused_and_raises_nothing(
    clock: Clock, place: Place
) -> None:
    site = Placed(clock)
    message = (await site.genuine(place)).rpartition(".")[0]

    for tag in ("\u00e4" * 43, "\u00ff", "", "\u0130" * 20):
        (await place.put(site, f"{message}.{tag}")).nobody(tag, malformed=True)


@pytest.mark.parametrize("tag", [b"\xff" * 43, b"\xc3\xa4", b"", b"\x00", b"a" * 43])
def test_AB_95_a_mac_compares_bytes(tag: bytes) -> None:
    assert not Mac(b"k" * 32).verify(b"message", tag)


async def test_AB_95_through_a_framework_it_is_nobody_too(clock: Clock) -> None:
    async def page(request: Request) -> JSONResponse:
        return JSONResponse({"subject": Auth.of(request).subject})

    issuer = make_issuer(clock, store=Spy())
    app = RefreshMiddleware(Starlette(routes=[Route("/", page)]), issuer)
    for value in ("\u00e4", "a.b.\u00ff"):
        for headers in (
            [(b"cookie", f"{ACCESS}={value}; {REFRESH}={value}".encode("latin-1"))],
            [(b"authorization", f"Bearer {value}".encode("latin-1"))],
        ):
            sent = await run(app, http(headers=headers))
            assert (sent[0]["status"], sent[1]["body"]) == (200, b'{"subject":null}')
            assert set_cookies(sent) == []
