"""`purge` and `create-tables`: what they do to a store, and what they say when they cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from asgi_refresh import SQLiteStore
from asgi_refresh.cli import main
from asgi_refresh.testing.samples import a_revocation, a_session


def fill(path: Path, *, ended: int) -> None:
    async def add() -> None:
        store = SQLiteStore(path)
        now = time.time()
        for number in range(ended):
            session = a_session(number)
            await store.add(replace(session, idle_expires_at=now - 3601))
            await store.revoke("x", a_revocation(session, until=now - 3601))
        await store.add(replace(a_session(ended), idle_expires_at=now - 3500))
        store.close()

    anyio.run(add)


def left(path: Path) -> int:
    async def count() -> int:
        store = SQLiteStore(path)
        try:
            return len(await store.find("alice")) + len((await store.revocations(None))[0])
        finally:
            store.close()

    return anyio.run(count)


def test_purge_drops_what_has_been_over_for_an_hour(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sessions.db"
    fill(path, ended=3)

    assert main(["purge", "--store", f"sqlite:///{path}"]) == 0
    assert capsys.readouterr().out == "6 dropped\n"
    assert left(path) == 1


def test_it_runs_as_a_module_with_the_store_from_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    fill(path, ended=1)

    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "asgi_refresh", "purge"],
        env={**os.environ, "ASGI_REFRESH_STORE": f"sqlite:///{path}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "2 dropped\n", "")


def test_purge_goes_on_until_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sessions.db"
    fill(path, ended=5)
    monkeypatch.setattr("asgi_refresh.stores.sqlite.BATCH", 2)

    assert main(["purge", "--store", f"sqlite:///{path}"]) == 0
    assert capsys.readouterr().out == "10 dropped\n"


def test_a_store_without_tables_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["create-tables", "--store", "memory:"]) == 0
    assert capsys.readouterr().out == "this store needs no tables\n"


@pytest.mark.parametrize("url", ["nope://x", "sqlite:sessions.db", "mysql://root:hunter2@h/db"])
def test_a_url_that_names_no_store_is_told_without_its_password(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["purge", "--store", url]) == 2
    error = capsys.readouterr().err
    assert error.startswith("asgi_refresh: ")
    assert "hunter2" not in error


def test_a_store_that_fails_is_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["purge", "--store", f"sqlite:///{tmp_path}"]) == 1
    assert (
        capsys.readouterr().err == "asgi_refresh: OperationalError: unable to open database file\n"
    )


def test_what_was_dropped_is_json_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sessions.db"
    fill(path, ended=1)

    assert main(["purge", "--store", f"sqlite:///{path}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"dropped": 2}


@pytest.mark.parametrize("arguments", [[], ["purge"], ["nothing"], ["purge", "--store"]])
def test_a_wrong_command_line_is_exit_code_2(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ASGI_REFRESH_STORE", raising=False)

    assert main(arguments) == 2
    assert capsys.readouterr().err != ""
