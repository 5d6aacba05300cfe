"""`inspect`: what a token says, whether it verifies and why not, and what is never printed."""

from __future__ import annotations

import base64
import io
import json
import os
import time
from pathlib import Path
from typing import Any

import anyio
import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_refresh import Config, Issuer, Key, SQLiteStore, Tokens
from asgi_refresh.cli import main
from asgi_refresh.cli.explain import Explained, Keys, explain

SECRET = "p3W9xk_Vb7Qm2LzT8cRfYhNs4GdJuA6eX1oIiKt0wE5"
OTHER = SECRET[::-1]
NOW = 1_800_000_000.0
HS = {"alg": "HS256", "typ": "JWT"}
Capture = pytest.CaptureFixture[str]


def issued(
    key: Any = SECRET, *, now: float = NOW, config: Config | None = None, **options: Any
) -> Tokens:
    issuer = Issuer(key, store=None, config=config, clock=lambda: now, **options)
    return anyio.run(issuer.issue, "alice", {"role": "admin"})


def told(
    token: str, *secrets: str, now: float = NOW + 1, config: Config | None = None, **more: Any
) -> Explained:
    named = {f"SECRET_{number}": secret for number, secret in enumerate(secrets)}
    return explain(token, Keys(named, **more), config or Config(), now=now)


# --- kinds ----------------------------------------------------------------------------------------


def test_an_access_token_says_its_claims_and_verifies() -> None:
    found = told(issued().access_token, SECRET)

    assert (found.kind, found.verifies, found.why) == ("access", True, "")
    assert (found.claims["sub"], found.claims["role"]) == ("alice", "admin")
    assert found.header["typ"] == "at+jwt"
    assert found.expires_at == NOW + 600


def test_a_stateless_refresh_token_says_its_session() -> None:
    found = told(issued().refresh_token, SECRET)

    assert (found.kind, found.verifies) == ("refresh (stateless)", True)
    assert (found.claims["sub"], found.claims["claims"]) == ("alice", {"role": "admin"})
    assert found.expires_at == NOW + 14 * 86400


def test_a_rotating_refresh_token_says_its_generation(tmp_path: Path) -> None:
    found = told(rotating(tmp_path)[0], SECRET)

    assert (found.kind, found.verifies, found.generation) == ("refresh (rotating)", True, 1)


CLAIMS = {"sub": "alice", "iat": int(NOW), "exp": int(NOW) + 60, "csrf": "hunter2", "jti": "x"}


@pytest.mark.parametrize(
    ("claims", "system"),
    [
        ({"type": "access", "fresh": False}, "AuthX, as it seems (access)"),
        ({"type": "refresh", "nbf": int(NOW)}, "Flask-JWT-Extended, as it seems (refresh)"),
        (
            {"type": "access", "gen": 3, "sid": "x"},
            "asgi_refresh in front of AuthX or Flask-JWT-Extended (access)",
        ),
        ({"token_type": "access"}, "djangorestframework-simplejwt, as it seems ('access')"),
        ({"aud": ["fastapi-users:auth"]}, "fastapi-users"),
        ({}, "unknown"),
    ],
)
@pytest.mark.parametrize("secret", [SECRET, "short"])
def test_a_token_of_another_system_is_recognised_and_verified(
    claims: dict[str, Any], system: str, secret: str
) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        token = jwt.encode(CLAIMS | claims, secret, "HS256")
    found = told(token, secret)

    assert (found.kind, found.system, found.verifies) == ("foreign", system, True)


def test_tokens_of_authx_itself_are_authxs() -> None:
    from authx import AuthX, AuthXConfig

    auth: Any = AuthX(config=AuthXConfig(JWT_SECRET_KEY=SECRET, JWT_TOKEN_LOCATION=["cookies"]))
    for token, kind in (
        (auth.create_access_token("alice"), "access"),
        (auth.create_refresh_token("alice"), "refresh"),
    ):
        found = told(token, SECRET, now=time.time())
        assert (found.system, found.verifies) == (f"AuthX, as it seems ({kind})", True)


def test_tokens_of_flask_jwt_extended_itself_are_its_own() -> None:
    from flask import Flask
    from flask_jwt_extended import JWTManager, create_refresh_token

    app = Flask("x")
    app.config["JWT_SECRET_KEY"] = SECRET
    JWTManager(app)
    with app.app_context():
        token = create_refresh_token("alice")

    found = told(token, SECRET, now=time.time())
    assert (found.system, found.verifies) == ("Flask-JWT-Extended, as it seems (refresh)", True)


# --- why not --------------------------------------------------------------------------------------


def test_without_a_key_it_is_not_known_whether_it_verifies() -> None:
    for token in (issued().access_token, issued().refresh_token):
        found = told(token)
        assert found.verifies is None
        assert "set the variable" in found.why


def test_another_secret_is_told_by_the_key_id() -> None:
    found = told(issued(OTHER).access_token, SECRET)

    assert found.verifies is False
    assert found.why.startswith(f"its key '{found.header['kid']}' is none of '")


def test_one_of_several_secrets_is_enough() -> None:
    for token in (issued(OTHER).access_token, issued(OTHER).refresh_token):
        assert told(token, SECRET, OTHER).verifies is True


def test_an_expired_token_is_told_from_a_forged_one() -> None:
    access, refresh = issued().access_token, issued().refresh_token

    assert told(access, SECRET, now=NOW + 599).verifies is True
    assert told(access, SECRET, now=NOW + 600).why == "it has expired; its signature is good"
    assert told(refresh, SECRET, now=NOW + 15 * 86400).why.startswith("it has expired")


def changed(token: str, **claims: Any) -> str:
    head, body, tag = token.split(".")
    said = json.loads(base64.urlsafe_b64decode(body + "=="))
    text = json.dumps(said | claims, separators=(",", ":")).encode()
    return f"{head}.{base64.urlsafe_b64encode(text).rstrip(b'=').decode()}.{tag}"


def test_a_changed_access_token_is_told() -> None:
    found = told(changed(issued().access_token, sub="root"), SECRET)

    assert (found.verifies, found.claims["sub"]) == (False, "root")
    assert found.why.startswith("the signature is not that of the key ")


@pytest.mark.parametrize("secret", [OTHER, SECRET])
def test_a_refresh_token_that_was_signed_otherwise_is_told(secret: str) -> None:
    token = issued(OTHER).refresh_token
    tag = token.rpartition(".")[2]
    token = token if secret == SECRET else token.replace(tag, "A" * 43)
    found = told(token, secret)

    assert (found.verifies, found.why) == (
        False,
        "it is not signed with SECRET_0, or was changed",
    )


@pytest.mark.parametrize(
    ("minted", "asked", "why"),
    [
        ({"issuer": "a"}, {}, "it is of the issuer 'a', and None is required"),
        ({"issuer": "a"}, {"issuer": "b"}, "it is of the issuer 'a', and 'b' is required"),
        ({"audience": "a"}, {"audience": "b"}, "it is for the audience 'a', and 'b' is required"),
    ],
)
def test_another_issuer_or_audience_is_told(
    minted: dict[str, Any], asked: dict[str, Any], why: str
) -> None:
    token = issued(config=Config(**minted)).access_token

    assert told(token, SECRET, config=Config(**asked)).why == why


def test_a_token_from_the_future_is_told() -> None:
    found = told(issued().access_token, SECRET, now=NOW - 60)

    assert (found.verifies, found.why) == (False, "its iat is 60 s in the future: a clock is wrong")


def test_a_header_with_another_algorithm_is_told() -> None:
    token = issued().access_token
    header = told(token).header | {"alg": "HS512"}
    head = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    found = told(f"{head}.{token.partition('.')[2]}", SECRET)

    assert found.verifies is False
    assert found.why.startswith("its header says 'HS512', and the key ")


def test_a_token_without_a_signature_does_not_verify() -> None:
    token = jwt.encode(CLAIMS, "", "none") + "x"

    assert told(token, SECRET).why == "there is no key here for 'none': name one with --key"


def test_a_secret_that_is_none_is_told_without_the_secret() -> None:
    found = told(issued().access_token, "hunter2")

    assert found.verifies is None
    assert "SECRET_0: a secret needs at least 32 bytes" in found.why
    assert "hunter2" not in str(found)


@given(st.text(max_size=80) | st.from_regex(r"[A-Za-z0-9_-]{0,40}(\.[A-Za-z0-9_-]{0,40}){0,4}"))
def test_no_text_is_an_error(text: str) -> None:
    assert told(text, SECRET).verifies is not True


@given(st.lists(st.integers() | st.text() | st.none(), min_size=9, max_size=11))
def test_no_list_is_an_error(fields: list[Any]) -> None:
    body = base64.urlsafe_b64encode(json.dumps(fields).encode()).rstrip(b"=").decode()

    assert told(f"{body}.{'A' * 43}", SECRET).verifies is False


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith("ASGI_REFRESH_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SECRET_KEY", SECRET)


def inspect(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, token: str, *arguments: str
) -> tuple[int, str]:
    monkeypatch.setattr("sys.stdin", io.StringIO(token))
    code = main(["inspect", *arguments])
    return code, capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["-"], ["--json"]])
@pytest.mark.parametrize("around", ["{}", "  {}\n", "Bearer {}\n"])
def test_the_token_is_read_from_standard_input(
    arguments: list[str], around: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    token = issued(now=time.time()).access_token
    code, said = inspect(monkeypatch, capsys, around.format(token), *arguments)

    assert code == 0
    assert "alice" in said


def test_any_bytes_on_standard_input_are_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"\xff\xfe.\x00"), encoding="utf-8")
    monkeypatch.setattr("sys.stdin", stdin)

    assert main(["inspect"]) == 1
    assert "verifies  no" in capsys.readouterr().out


def test_the_token_may_be_the_argument(capsys: Capture) -> None:
    assert main(["inspect", issued(now=time.time()).access_token]) == 0
    assert "verifies  yes" in capsys.readouterr().out


def test_times_are_told_in_words(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    token = issued(now=time.time() - 3600).access_token
    code, said = inspect(monkeypatch, capsys, token)

    assert code == 1
    assert "50 minutes ago" in said
    assert "verifies  no: it has expired; its signature is good" in said


@pytest.mark.parametrize("arguments", [[], ["--json"]])
@pytest.mark.parametrize("kind", ["access_token", "refresh_token", "foreign"])
def test_neither_secret_nor_signature_is_printed(
    kind: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    tokens = issued(now=time.time())
    token = jwt.encode(CLAIMS, SECRET) if kind == "foreign" else getattr(tokens, kind)
    _, said = inspect(monkeypatch, capsys, token, *arguments)

    for part in (token.rpartition(".")[2], SECRET, "hunter2"):
        assert part[:12] not in said


@pytest.mark.parametrize("kind", ["pem", "jwks", "jwk"])
def test_a_key_from_a_file_verifies(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    key, file = Key.generate("ES256"), tmp_path / "key"
    document = key.public_jwk() if kind == "jwk" else {"keys": [key.public_jwk()]}
    file.write_text(key.to_pem() if kind == "pem" else json.dumps(document))
    token = issued(key, secret=SECRET, now=time.time()).access_token

    assert inspect(monkeypatch, capsys, token)[0] == 1
    assert inspect(monkeypatch, capsys, token, "--key", str(file))[0] == 0


def test_a_file_that_is_no_key_is_exit_code_2(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "key"
    file.write_text("{hunter2")

    assert main(["inspect", "x", "--key", str(file)]) == 2
    assert "hunter2" not in capsys.readouterr().err


def test_what_a_token_says_cannot_move_the_cursor(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    token = jwt.encode({"\x1b[31m": "\x1b[2J\u202e"}, OTHER)
    _, said = inspect(monkeypatch, capsys, token)

    assert said.replace("\n", "").isprintable()


# --- with the store -------------------------------------------------------------------------------


def rotating(tmp_path: Path, *, rotations: int = 0, apart: float = 100.0) -> list[str]:
    """The refresh tokens of one session, which has been rotated that often."""

    async def run() -> list[str]:
        store, now = SQLiteStore(tmp_path / "sessions.db"), time.time() - rotations * apart
        moments = iter([now + number * apart for number in range(rotations + 1)])
        at = next(moments)
        issuer = Issuer(SECRET, store=store, clock=lambda: at, on_event=lambda _event: None)
        tokens = [(await issuer.issue("alice")).refresh_token]
        for at in moments:  # noqa: B007 - the clock
            tokens.append((await issuer.refresh(tokens[-1])).refresh_token)
        store.close()
        return tokens

    return anyio.run(run)


@pytest.mark.parametrize(
    ("rotations", "which", "code", "means"),
    [
        (0, -1, 0, "CURRENT: it is the newest"),
        (1, 0, 0, "GRACE: it was rotated moments ago"),
        (2, 0, 1, "THEFT: it was used long ago"),
    ],
)
def test_the_store_tells_what_presenting_it_would_do(
    rotations: int,
    which: int,
    code: int,
    means: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    token = rotating(tmp_path, rotations=rotations)[which]
    url = f"sqlite:///{tmp_path}/sessions.db"

    for _ in range(2):  # nothing is written: it says the same once more
        found, said = inspect(monkeypatch, capsys, token, "--store", url)
        assert found == code
        assert f"presented {means}" in said


def test_a_session_that_is_not_in_the_store_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    token = rotating(tmp_path)[0]
    (tmp_path / "other.db").touch()
    url = f"sqlite:///{tmp_path}/other.db"
    code, said = inspect(monkeypatch, capsys, token, "--store", url, "--json")

    assert (code, json.loads(said)["kept"]["session"]) == (1, None)
