"""`doctor`: every finding, against small applications that real servers serve, good and bad."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from asgi_refresh import LOCALHOST, Config, Event, Issuer, MemoryStore, RefreshMiddleware
from asgi_refresh.cli import main
from tests.examples.support import free_port
from tests.support import SECRET

Capture = pytest.CaptureFixture[str]
HSTS = {"strict-transport-security": "max-age=31536000"}
REFRESH = "__Host-refresh=r; Path=/; Secure; HttpOnly; SameSite=Lax"


# --- servers --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody trusts but who is told to, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@contextmanager
def served(app: Any, certificate: Path | None = None) -> Iterator[str]:
    """Serve *app* on a free port of this machine; yield its URL."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, log_level="critical", lifespan="off", ssl_certfile=certificate, ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        scheme = "http" if certificate is None else "https"
        yield f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def plain(
    set_cookie: str = "", *, headers: Mapping[str, str] | None = None, status: int = 200
) -> Starlette:
    """An application that takes every POST and sets one cookie on each GET."""

    def page(request: Request) -> Response:
        response = PlainTextResponse("page", status, dict(headers or {}))
        if set_cookie:
            response.headers.append("set-cookie", set_cookie)
        return response

    routes = [Route("/{path:path}", page, methods=["GET", "POST", "OPTIONS"])]
    return Starlette(routes=routes)


def good(
    config: Config | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    events: list[Event] | None = None,
    **session: Any,
) -> Any:
    """An application as the documentation has it."""

    async def login(request: Request) -> Response:
        if b"secret" not in await request.body():
            return PlainTextResponse("no", 401)
        request.auth.login("alice", **session)
        return PlainTextResponse("hello")

    def page(request: Request) -> Response:
        return PlainTextResponse(str(request.auth.subject), 200, dict(headers or {}))

    heard = [] if events is None else events
    issuer = Issuer(SECRET, store=MemoryStore(), config=config, on_event=heard.append)
    routes = [Route("/login", login, methods=["POST"]), Route("/", page)]
    return RefreshMiddleware(Starlette(routes=routes), issuer)


Found = dict[str, dict[str, str]]


def doctor(capsys: Capture, *arguments: str) -> tuple[int, Found]:
    capsys.readouterr()
    code = main(["doctor", "--json", *arguments])
    printed = capsys.readouterr().out
    findings = json.loads(printed)["findings"] if printed else []
    return code, {finding["name"]: finding for finding in findings}


@pytest.fixture
def ask(
    certificate: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, Found]]:
    """Serve an application, by https unless told otherwise, and let the doctor look at it."""

    def run(
        app: Any, *arguments: str, tls: bool = True, path: str = "/", login: str | None = None
    ) -> tuple[int, Found]:
        options = [*arguments, *(["--ca", str(certificate)] if tls else [])]
        if login is not None:
            monkeypatch.setattr("sys.stdin", io.StringIO(login))
            options += ["--login", "/login", "--body", "-"]
        with served(app, certificate if tls else None) as url:
            return doctor(capsys, url + path, *options)

    return run


Ask = Callable[..., tuple[int, Found]]


def levels(found: Found) -> dict[str, str]:
    return {name: finding["level"] for name, finding in found.items()}


# --- good applications ----------------------------------------------------------------------------


def test_a_good_application_has_nothing_bad(ask: Ask) -> None:
    app = good(headers=HSTS)
    code, found = ask(app, login="password=secret")

    assert (code, levels(found)) == (
        0,
        {"no-proxy": "note", "cross-origin-refused": "good", "refreshed": "good"},
    )


def test_who_is_not_signed_in_is_told_what_was_not_seen(ask: Ask) -> None:
    code, found = ask(good(headers=HSTS))

    assert code == 0
    assert found["not-signed-in"]["level"] == "note"
    assert "refreshed" not in found


def test_on_a_laptop_plain_http_without_prefix_is_only_noted(ask: Ask) -> None:
    code, found = ask(good(LOCALHOST), tls=False, login='{"password": "secret"}')

    assert code == 0
    assert levels(found) == {
        "plain-http": "note",
        "cookie-not-secure": "note",
        "cookie-no-prefix": "note",
        "no-proxy": "note",
        "cross-origin-refused": "good",
        "refreshed": "good",
    }


def test_everything_bad_is_explained(ask: Ask) -> None:
    _, found = ask(plain("session=1", status=500))

    assert len(found) > 5
    for finding in found.values():
        assert len(finding["why"]) > 15
        assert finding["level"] != "bad" or len(finding["fix"]) > 15


# --- what is bad ----------------------------------------------------------------------------------

SET_COOKIES = {
    "cookie-not-secure": "session=1; Path=/; HttpOnly; SameSite=Lax",
    "cookie-not-httponly": "__Host-session=1; Path=/; Secure; SameSite=Lax",
    "cookie-no-prefix": "session=1; Path=/; Secure; HttpOnly; SameSite=Lax",
    "cookie-domain": "session=1; Path=/; Domain=example.org; Secure; HttpOnly; SameSite=Lax",
    "cookie-same-site": "__Host-session=1; Path=/; Secure; HttpOnly",
    "cookie-dropped": "__Host-session=1; Path=/app; Secure; HttpOnly; SameSite=Lax",
}


@pytest.mark.parametrize("name", SET_COOKIES)
def test_a_bad_cookie_is_found(name: str, ask: Ask) -> None:
    code, found = ask(plain(SET_COOKIES[name]))

    assert code == 1
    assert found[name]["level"] == "bad"


@pytest.mark.parametrize(
    "line",
    [
        "__Host-session=1; Path=/; HttpOnly; SameSite=Lax",
        "__Host-session=1; Path=/; Domain=example.org; Secure; HttpOnly; SameSite=Lax",
        "__Secure-session=1; Path=/; HttpOnly; SameSite=Lax",
        "session=1; HttpOnly; SameSite=None",
        f"__Host-session={'x' * 4090}; Path=/; Secure; HttpOnly; SameSite=Lax",
    ],
)
def test_a_cookie_that_browsers_drop_is_found(line: str, ask: Ask) -> None:
    assert "cookie-dropped" in ask(plain(line))[1]


def test_a_good_cookie_has_no_finding(ask: Ask) -> None:
    _, found = ask(plain(REFRESH))

    assert not [name for name in found if name.startswith("cookie-")]


@pytest.mark.parametrize(
    "line", ["theme=dark", "csrf_token=x", "session=; Max-Age=0", "session=1; Max-Age=0"]
)
def test_a_cookie_that_holds_no_token_is_left_alone(line: str, ask: Ask) -> None:
    _, found = ask(plain(line))

    assert not {name for name in found if "cookie" in name}


def test_same_site_none_is_found(ask: Ask) -> None:
    line = "__Host-session=1; Path=/; Secure; HttpOnly; SameSite=None"

    assert ask(plain(line))[1]["cookie-same-site"]["seen"].endswith("SameSite is none")


def test_a_large_cookie_is_noted(ask: Ask) -> None:
    _, found = ask(good(headers=HSTS, claims={"x": "y" * 1500}), login="secret")

    assert found["cookie-large"]["level"] == "note"


@pytest.mark.parametrize("said", [{}, {"cache-control": "public, max-age=60"}])
def test_a_cookie_that_a_cache_may_keep_is_found(said: dict[str, str], ask: Ask) -> None:
    code, found = ask(plain(REFRESH, headers=said))

    assert (code, found["cacheable-cookie"]["level"]) == (1, "bad")


@pytest.mark.parametrize("said", ["no-store", "private, max-age=60"])
def test_a_cookie_that_no_cache_may_keep_is_fine(said: str, ask: Ask) -> None:
    assert "cacheable-cookie" not in ask(plain(REFRESH, headers={"cache-control": said}))[1]


@pytest.mark.parametrize(
    ("headers", "bad"),
    [
        ({"cache-control": "max-age=60"}, True),
        ({"cache-control": "public"}, True),
        ({"cache-control": "max-age=60", "vary": "Accept, Cookie"}, False),
        ({"cache-control": "private, max-age=60"}, False),
        ({}, False),
    ],
)
def test_a_page_for_one_that_is_cached_for_all_is_found(
    headers: dict[str, str], bad: bool, ask: Ask, tmp_path: Path
) -> None:
    def page(request: Request) -> Response:
        who = request.cookies.get("who", "nobody")
        return PlainTextResponse(who, headers=headers)

    file = tmp_path / "cookies"
    file.write_text("who=alice; other=x\n")
    _, found = ask(Starlette(routes=[Route("/", page)]), "--cookies", str(file))

    assert ("page-cached-for-all" in found) is bad


def test_a_page_that_fails_is_found(ask: Ask) -> None:
    code, found = ask(plain(status=503))

    assert (code, found["server-error"]["level"]) == (1, "bad")


def test_a_page_that_fails_on_a_bad_cookie_is_found(ask: Ask) -> None:
    def page(request: Request) -> Response:
        broken = "__Host-access" in request.cookies
        return PlainTextResponse("x", 500 if broken else 200)

    code, found = ask(Starlette(routes=[Route("/", page)]))

    assert (code, found["bad-cookie-error"]["level"]) == (1, "bad")
    assert "server-error" not in found


@pytest.mark.parametrize(
    "app", [plain(), Starlette(), good(Config(cross_origin="allow"))], ids=["all", "404", "allow"]
)
def test_a_post_of_another_site_that_gets_through_is_found(app: Any, ask: Ask) -> None:
    code, found = ask(app)

    assert (code, found["cross-origin-accepted"]["level"]) == (1, "bad")


def test_who_else_refuses_it_is_told_apart(ask: Ask) -> None:
    _, found = ask(plain(status=403))

    assert "not by asgi_refresh" in found["cross-origin-refused"]["why"]


def test_a_proxy_that_rewrites_the_host_is_found(ask: Ask) -> None:
    app = good(headers=HSTS)

    async def proxied(scope: Any, receive: Any, send: Any) -> None:
        headers = [(n, b"upstream" if n == b"host" else v) for n, v in scope["headers"]]
        await app({**scope, "headers": headers}, receive, send)

    code, found = ask(proxied)

    assert (code, found["same-origin-refused"]["level"]) == (1, "bad")
    assert "trusted_origins=['https://127.0.0.1:" in found["same-origin-refused"]["fix"]


@pytest.mark.parametrize(
    ("options", "bad"),
    [
        ({"allow_origins": ["*"], "allow_credentials": True}, True),
        ({"allow_origin_regex": ".*", "allow_credentials": True}, True),
        ({"allow_origins": ["*"]}, False),
        ({"allow_origins": ["https://app.example"], "allow_credentials": True}, False),
    ],
)
def test_cors_for_everybody_with_credentials_is_found(
    options: dict[str, Any], bad: bool, ask: Ask
) -> None:
    app = Starlette(
        routes=[Route("/", lambda _: PlainTextResponse("x"))],
        middleware=[Middleware(CORSMiddleware, **options)],
    )

    assert ("cors-any-origin" in ask(app)[1]) is bad


def test_the_pair_that_browsers_refuse_is_found(ask: Ask) -> None:
    headers = {"access-control-allow-origin": "*", "access-control-allow-credentials": "true"}

    assert "Browsers refuse" in ask(plain(headers=headers))[1]["cors-any-origin"]["why"]


@pytest.mark.parametrize(
    ("said", "bad"),
    [(None, True), ("max-age=3600", True), ("includeSubDomains; max-age=31536000", False)],
)
def test_missing_hsts_is_found(said: str | None, bad: bool, ask: Ask) -> None:
    headers = {"strict-transport-security": said} if said else {}

    assert ("no-hsts" in ask(plain(headers=headers))[1]) is bad


def test_plain_http_is_bad_but_on_this_machine(ask: Ask) -> None:
    from asgi_refresh.cli.findings import judge
    from asgi_refresh.cli.probing import Answer, Target, Visit

    answer = Answer("GET /", 200, [], b"")
    target = Target.of("http://app.example", ca=None, timeout=1)
    visit = Visit(target, answer, answer, answer, answer, answer)

    assert {one.name: one.level for one in judge(visit)}["plain-http"] == "bad"
    assert ask(plain(), tls=False)[1]["plain-http"]["level"] == "note"


def test_an_application_that_was_not_told_its_scheme_is_found(ask: Ask) -> None:
    def page(request: Request) -> Response:
        return RedirectResponse(f"http://{request.headers['host']}/page/")

    code, found = ask(Starlette(routes=[Route("/page", page)]), path="/page")

    assert (code, found["scheme-lost"]["level"]) == (1, "bad")
    assert found["redirects"]["level"] == "note"


@pytest.mark.parametrize(
    "headers", [{"server": "nginx"}, {"via": "1.1 varnish"}, {"cf-ray": "8a"}, {"age": "3"}]
)
def test_a_proxy_is_noted(headers: dict[str, str], ask: Ask) -> None:
    _, found = ask(plain(headers=headers))

    assert found["proxy"]["level"] == "note"
    assert "no-proxy" not in found


def test_a_page_that_refreshes_nothing_is_noted(ask: Ask) -> None:
    _, found = ask(good(Config(exclude=["/"]), headers=HSTS), "--cookies", "/dev/null")
    assert found["not-signed-in"]["level"] == "note"

    app = good(headers={**HSTS, "cache-control": "public"})
    assert ask(app, login="secret")[1]["no-refresh"]["level"] == "note"


def test_a_login_that_fails_is_found(ask: Ask) -> None:
    code, found = ask(good(headers=HSTS), login="password=wrong")

    assert (code, found["login-failed"]["level"]) == (1, "bad")


# --- what it does ---------------------------------------------------------------------------------


def test_nothing_is_posted_but_nothing_to_nowhere(ask: Ask) -> None:
    asked: list[tuple[str, str, bytes]] = []
    app = plain()

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        asked.append((scope["method"], scope["path"], dict(scope["headers"]).get(b"cookie", b"")))
        await app(scope, receive, send)

    ask(noting, path="/account")

    assert {method for method, _, _ in asked} == {"GET", "OPTIONS", "POST"}
    posted = [(path, cookie) for method, path, cookie in asked if method == "POST"]
    nowhere = ("/account/.asgi-refresh-doctor", b"__Host-access=no-token; __Host-refresh=no-token")
    assert posted == [nowhere, nowhere]


def test_real_cookies_go_out_in_gets_only_and_without_the_access_token(ask: Ask) -> None:
    asked: list[tuple[str, bytes]] = []
    app = good(headers=HSTS)

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        asked.append((scope["method"], dict(scope["headers"]).get(b"cookie", b"")))
        await app(scope, receive, send)

    ask(noting, login="secret")

    real = [(method, cookie) for method, cookie in asked if cookie and b"no-token" not in cookie]
    assert [(method, cookie.count(b"__Host-")) for method, cookie in real] == [("GET", 1)]
    assert real[0][1].startswith(b"__Host-refresh=")


def test_one_refused_origin_is_logged(ask: Ask) -> None:
    events: list[Event] = []
    ask(good(headers=HSTS, events=events), login="secret")

    assert [event.name for event in events if event.name == "cross_origin"] == ["cross_origin"]


def test_no_token_and_no_password_is_printed(
    certificate: Path, capsys: Capture, tmp_path: Path
) -> None:
    issuer = Issuer(SECRET, store=MemoryStore(), on_event=lambda _event: None)
    page = Starlette(routes=[Route("/", lambda request: PlainTextResponse("x"))])
    import anyio

    tokens = anyio.run(issuer.issue, "alice")
    file = tmp_path / "cookies"
    file.write_text(f"__Host-access={tokens.access_token}; __Host-refresh={tokens.refresh_token}")
    with served(RefreshMiddleware(page, issuer), certificate) as url:
        for more in ([], ["--json"]):
            main(["doctor", url, "--ca", str(certificate), "--cookies", str(file), *more])
    printed = capsys.readouterr()

    for token in (tokens.access_token, tokens.refresh_token):
        assert token[:20] not in printed.out + printed.err
    assert "refreshed" in printed.out


def test_people_get_words(ask: Ask, certificate: Path, capsys: Capture) -> None:
    with served(plain("session=1"), certificate) as url:
        assert main(["doctor", url, "--ca", str(certificate)]) == 1
    printed = capsys.readouterr().out

    assert "bad   cookie-not-secure\n      seen cookie session: no Secure\n" in printed
    assert printed.splitlines()[-1].endswith(" bad")


def test_a_header_cannot_move_the_cursor(certificate: Path, capsys: Capture) -> None:
    app = plain(headers={"via": "\x9b31m\x1b[2J"})
    with served(app, certificate) as url:
        main(["doctor", url, "--ca", str(certificate)])

    assert capsys.readouterr().out.replace("\n", "").isprintable()


def test_no_answer_is_exit_code_1(capsys: Capture) -> None:
    assert main(["doctor", f"http://127.0.0.1:{free_port()}"]) == 1
    assert capsys.readouterr().err.startswith("asgi_refresh: no answer from http://127.0.0.1:")


def test_a_certificate_that_nobody_vouches_for_is_exit_code_1(
    certificate: Path, capsys: Capture
) -> None:
    with served(plain(), certificate) as url:
        assert main(["doctor", url]) == 1
    assert "CERTIFICATE_VERIFY_FAILED" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["ftp://x"],
        ["http://"],
        ["http://user:hunter2@host"],
        ["http://host:x"],
        ["http://h/a b"],
        ["http://h", "--login", "/login"],
        ["http://h", "--login", "login", "--body", "/dev/null"],
        ["http://h", "--cookies", "/nowhere"],
    ],
)
def test_a_wrong_command_line_is_exit_code_2(arguments: list[str], capsys: Capture) -> None:
    assert main(["doctor", *arguments]) == 2
    assert "hunter2" not in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--cookies", "--body"])
def test_a_file_of_any_bytes_is_no_error(option: str, ask: Ask, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"a=\xff\xfe\x00; b=1\r2")
    login = ["--login", "/login"] if option == "--body" else []

    assert ask(good(headers=HSTS), option, str(file), *login)[0] == 1


def test_what_answers_no_http_is_exit_code_1(capsys: Capture) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"\x00\xff" * 100 + b"\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert main(["doctor", f"http://127.0.0.1:{listener.getsockname()[1]}"]) == 1
        thread.join()
    assert "BadStatusLine" in capsys.readouterr().err
