"""`keygen` and `check`: what they print, and what they never print."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

import pytest

from asgi_refresh import Issuer, Key, MemoryStore
from asgi_refresh.cli import main
from asgi_refresh.review import weaknesses

GOOD = "p3W9xk_Vb7Qm2LzT8cRfYhNs4GdJuA6eX1oIiKt0wE5"
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [*os.environ]:
        if name.startswith("ASGI_REFRESH_") or name == "SECRET_KEY":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def check(capsys: Capture, *arguments: str) -> tuple[int, str]:
    code = main(["check", *arguments])
    return code, capsys.readouterr().out


# --- keygen ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["secret"]])
def test_keygen_prints_a_secret(arguments: list[str], capsys: Capture) -> None:
    assert main(["keygen", *arguments]) == 0
    printed = capsys.readouterr().out

    assert (len(printed), printed[-1]) == (44, "\n")
    Issuer(printed.strip(), store=MemoryStore())


def test_keygen_prints_another_secret_each_time(capsys: Capture) -> None:
    main(["keygen"])
    first = capsys.readouterr().out
    main(["keygen"])

    assert capsys.readouterr().out != first


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "ES384", "EdDSA"])
def test_keygen_prints_a_private_key(algorithm: str, capsys: Capture) -> None:
    assert main(["keygen", algorithm]) == 0

    assert Key.from_pem(capsys.readouterr().out, algorithm=algorithm).signs


def test_keygen_writes_the_public_half_beside_it(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "jwks.json"
    assert main(["keygen", "EdDSA", "--public", str(file)]) == 0
    key = Key.from_pem(capsys.readouterr().out)

    assert json.loads(file.read_text()) == {"keys": [key.public_jwk()]}


def test_keygen_overwrites_no_file(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "jwks.json"
    file.write_text("mine")

    assert main(["keygen", "EdDSA", "--public", str(file)]) == 2
    said = capsys.readouterr()
    assert (said.out, file.read_text()) == ("", "mine")
    assert str(file) in said.err


def test_a_file_that_cannot_be_written_is_exit_code_2(capsys: Capture) -> None:
    assert main(["keygen", "EdDSA", "--public", "/nowhere/jwks.json"]) == 2
    assert "PRIVATE" not in capsys.readouterr().out


def test_a_secret_has_no_public_half(tmp_path: Path, capsys: Capture) -> None:
    assert main(["keygen", "--public", str(tmp_path / "x")]) == 2
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("algorithm", ["HS256", "ES512", "none"])
def test_an_algorithm_that_makes_no_pairs_is_exit_code_2(algorithm: str, capsys: Capture) -> None:
    assert main(["keygen", algorithm]) == 2
    assert capsys.readouterr().out == ""


def test_a_secret_is_json_too(capsys: Capture) -> None:
    assert main(["keygen", "--json"]) == 0

    Issuer(json.loads(capsys.readouterr().out)["secret"], store=MemoryStore())


def test_a_key_pair_is_json_too(capsys: Capture) -> None:
    assert main(["keygen", "ES256", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)

    assert said["public"] == {"keys": [Key.from_pem(said["private"]).public_jwk()]}


# --- check ----------------------------------------------------------------------------------------


def test_a_good_configuration_has_nothing_weak(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("SECRET_KEY", GOOD)
    code, printed = check(capsys, "--store", "sqlite:///sessions.db")

    assert (code, printed.splitlines()[-1]) == (0, "nothing weak")


def test_every_setting_is_shown_and_what_is_set_is_marked(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("ASGI_REFRESH_ACCESS_LIFETIME", "5m")
    _, printed = check(capsys)
    lines = {line.split()[0]: line.split()[1:] for line in printed.split("\n\n")[0].splitlines()}

    assert lines["access_lifetime"] == ["5m", "(set)"]
    assert lines["idle_lifetime"] == ["14d"]
    assert len(lines) == 25


@pytest.mark.parametrize("secret", [GOOD, "hunter2-hunter2-hunter2-hunter2-hunter2", "x" * 40])
def test_the_secret_is_never_shown(
    secret: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("SECRET_KEY", secret)
    _, printed = check(capsys)

    assert secret[:7] not in printed


@pytest.mark.parametrize("secret", ["hunter2", "", "-----BEGIN PRIVATE KEY-----hunter2" + "x" * 40])
def test_a_secret_that_is_none_is_exit_code_2_and_named(
    secret: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("SECRET_KEY", secret)
    assert main(["check"]) == 2
    said = capsys.readouterr()

    assert "SECRET_KEY" in said.err
    assert "hunter2" not in said.out + said.err


def test_the_secret_may_have_another_name(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("MY_SECRET", "ab" * 20)
    code, printed = check(capsys, "--secret", "MY_SECRET", "--store", "sqlite:///x.db")

    assert code == 1
    assert "weak: MY_SECRET: 2 different characters; make one with keygen" in printed


def test_a_secret_that_is_not_there_is_named(capsys: Capture) -> None:
    code, printed = check(capsys, "--store", "sqlite:///x.db")

    assert code == 1
    assert "weak: SECRET_KEY is not set" in printed


@pytest.mark.parametrize("n", range(20))
def test_a_secret_by_keygen_is_never_called_weak(
    n: int, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("SECRET_KEY", secrets.token_urlsafe(32))

    assert check(capsys, "--store", "sqlite:///x.db")[0] == 0


WEAK = {
    "ACCESS_LIFETIME=2h": "access_lifetime",
    "SESSION_LIFETIME=200d": "session_lifetime",
    "ROTATION_GRACE=5s": "rotation_grace",
    "ROTATION_GRACE=3m": "rotation_grace",
    "REVOCATION=refresh": "revocation=refresh",
    "CROSS_ORIGIN=allow": "cross_origin=allow",
    "TRUSTED_ORIGINS=http://a.example": "http://a.example is plain http",
    "ACCESS_COOKIE=__Secure-a": "cookie __Secure-a: without the prefix __Host-",
    "REFRESH_COOKIE=r; Secure=false": "cookie r: not Secure",
    "REFRESH_COOKIE=__Host-r; SameSite=None": "cookie __Host-r: SameSite=None",
}


@pytest.mark.parametrize("setting", WEAK)
def test_what_is_weak_is_named(
    setting: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    name, _, value = setting.partition("=")
    monkeypatch.setenv("SECRET_KEY", GOOD)
    monkeypatch.setenv(f"ASGI_REFRESH_{name}", value)
    code, printed = check(capsys, "--store", "sqlite:///x.db")

    assert code == 1
    assert any(line.startswith(f"weak: {WEAK[setting]}") or WEAK[setting] in line
               for line in printed.splitlines() if line.startswith("weak: "))  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [([], "weak: no store"), (["--store", "memory:"], "weak: store memory")],
)
def test_where_sessions_are_kept_counts(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("SECRET_KEY", GOOD)
    code, printed = check(capsys, *arguments)

    assert code == 1
    assert said in printed


def test_the_store_may_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("SECRET_KEY", GOOD)
    monkeypatch.setenv("ASGI_REFRESH_STORE", "sqlite:///sessions.db")

    assert check(capsys)[0] == 0


def test_looking_at_it_makes_no_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("SECRET_KEY", GOOD)
    check(capsys, "--store", f"sqlite:///{tmp_path / 'sessions.db'}")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "store",
    ["redis://:hunter2@h/0", "postgresql+asyncpg://u:hunter2@h/db", "nope://u:hunter2@h"],
)
def test_the_password_of_a_store_is_not_shown(store: str, capsys: Capture) -> None:
    main(["check", "--store", store])
    said = capsys.readouterr()

    assert "hunter2" not in said.out + said.err


@pytest.mark.parametrize(
    ("name", "value"),
    [("ACCESS_LIFETIME", "soon"), ("ACCESS_LIFETIME", "0"), ("NOTHING", "1"), ("LEEWAY", "5h")],
)
def test_settings_that_are_none_are_exit_code_2(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv(f"ASGI_REFRESH_{name}", value)
    assert main(["check"]) == 2

    assert capsys.readouterr().err.startswith("asgi_refresh: ")


def test_settings_that_do_not_go_with_a_store_are_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("ASGI_REFRESH_ACCESS_LIFETIME", "2m")
    assert main(["check", "--store", "memory:"]) == 2

    assert "access_lifetime" in capsys.readouterr().err


def test_settings_and_weaknesses_are_json_too(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("SECRET_KEY", GOOD)
    monkeypatch.setenv("ASGI_REFRESH_ACCESS_LIFETIME", "2h")
    code, printed = check(capsys, "--store", "sqlite:///x.db", "--json")
    said = json.loads(printed)

    assert (code, said["settings"]["access_lifetime"], said["set"]) == (
        1,
        "2h",
        ["access_lifetime"],
    )
    assert [line.partition(":")[0] for line in said["weak"]] == ["access_lifetime"]


def test_the_defaults_are_not_weak_with_a_store() -> None:
    from asgi_refresh import Config

    assert weaknesses(Config(), keeping="store") == []


def test_the_public_file_holds_no_private_half(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "jwks.json"
    main(["keygen", "ES256", "--public", str(file)])
    capsys.readouterr()

    assert '"d"' not in file.read_text()
