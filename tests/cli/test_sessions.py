"""`sessions` and `revoke`: who is told, who ends, and who is asked first."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest

from asgi_refresh import Issuer, SQLiteStore
from asgi_refresh.cli import main
from tests.support import SECRET

Capture = pytest.CaptureFixture[str]
T = TypeVar("T")


class Place:
    """A database, as an application and the program see it."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self.path, self.url = path, f"sqlite:///{path}"

    def do(self, work: Callable[[Issuer], Awaitable[T]], *, now: float = 0.0) -> T:
        async def run() -> T:
            store = SQLiteStore(self.path)
            clock = (lambda: now) if now else time.time
            try:
                return await work(
                    Issuer(SECRET, store=store, on_event=lambda _event: None, clock=clock)
                )
            finally:
                store.close()

        return anyio.run(run)

    def sign_in(self, subject: str, device: str | None = None, *, now: float = 0.0) -> str:
        return self.do(lambda issuer: issuer.issue(subject, device=device), now=now).session_id

    def alive(self, subject: str) -> set[str]:
        return {session.id for session in self.do(lambda issuer: issuer.sessions(subject))}

    def log(self) -> list[Any]:
        return self.do(lambda issuer: issuer.rotating.store.revocations(None))[0]  # type: ignore[union-attr]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for name in [*os.environ]:
        if name.startswith("ASGI_REFRESH_"):
            monkeypatch.delenv(name)
    return Place(tmp_path / "sessions.db")


def listed(place: Place, capsys: Capture, *arguments: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert main(["sessions", "alice", "--store", place.url, "--json", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)["sessions"]
    assert isinstance(found, list)
    return found


# --- sessions -------------------------------------------------------------------------------------


def test_the_sessions_of_a_subject_are_listed_the_latest_first(
    place: Place, capsys: Capture
) -> None:
    now = time.time()
    first = place.sign_in("alice", "Firefox", now=now - 60)
    second = place.sign_in("alice")
    place.sign_in("bob")

    found = listed(place, capsys)
    assert [one["id"] for one in found] == [second, first]
    assert found[1]["device"] == "Firefox"


def test_people_get_a_table(place: Place, capsys: Capture) -> None:
    session_id = place.sign_in("alice", "Firefox on Linux", now=time.time() - 3601)
    assert main(["sessions", "alice", "--store", place.url]) == 0
    heading, row = capsys.readouterr().out.splitlines()

    assert heading.split()[:3] == ["id", "device", "began"]
    assert session_id in row
    assert "Firefox on Linux" in row
    assert "1 hour 1 second ago" in row
    assert "in 13 days" in row


def test_a_session_that_is_over_is_listed_only_if_asked_for(place: Place, capsys: Capture) -> None:
    over = place.sign_in("alice", now=time.time() - 15 * 86400)

    assert listed(place, capsys) == []
    assert [one["id"] for one in listed(place, capsys, "--ended")] == [over]


def test_a_stranger_has_no_sessions(place: Place, capsys: Capture) -> None:
    place.sign_in("bob")
    assert main(["sessions", "alice", "--store", place.url]) == 0

    assert capsys.readouterr().out == "no sessions\n"


def test_claims_are_not_told(place: Place, capsys: Capture) -> None:
    place.do(lambda issuer: issuer.issue("alice", {"diagnosis": "gout"}))
    main(["sessions", "alice", "--store", place.url])
    main(["sessions", "alice", "--store", place.url, "--json"])

    assert "gout" not in capsys.readouterr().out


def test_the_label_of_a_device_cannot_move_the_cursor(place: Place, capsys: Capture) -> None:
    place.sign_in("alice", "\u202e x")
    main(["sessions", "alice", "--store", place.url])

    assert r"\u202e x" in capsys.readouterr().out


# --- revoke ---------------------------------------------------------------------------------------


def test_a_session_ends_by_its_id(place: Place, capsys: Capture) -> None:
    ended, kept = place.sign_in("alice"), place.sign_in("alice")
    assert main(["revoke", ended, "--yes", "--store", place.url]) == 0

    assert capsys.readouterr().out == "1 ended\n"
    assert place.alive("alice") == {kept}
    assert [entry.session_id for entry in place.log()] == [ended]


def test_all_of_a_subject_end_at_once(place: Place, capsys: Capture) -> None:
    place.sign_in("alice"), place.sign_in("alice")
    bob = place.sign_in("bob")
    arguments = ["revoke", "--all", "alice", "--yes", "--json", "--store", place.url]

    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out) == {"ended": 2}
    assert (place.alive("alice"), place.alive("bob")) == (set(), {bob})


@pytest.mark.parametrize("command", [["sessions", "alice"], ["revoke", "--all", "alice", "--yes"]])
def test_a_file_that_is_not_there_is_no_store_without_sessions(
    command: list[str], tmp_path: Path, capsys: Capture
) -> None:
    assert main([*command, "--store", f"sqlite:///{tmp_path}/typo.db"]) == 2
    assert "there is no such file" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["f" * 32], ["--all", "nobody"]])
def test_a_session_that_is_not_there_is_exit_code_1(
    arguments: list[str], place: Place, capsys: Capture
) -> None:
    assert main(["revoke", *arguments, "--yes", "--store", place.url]) == 1
    assert capsys.readouterr().out == "0 ended\n"


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_nothing_ends_without_a_yes(
    answer: str, place: Place, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = place.sign_in("alice")
    monkeypatch.setattr("sys.stdin", __import__("io").StringIO(answer))

    assert main(["revoke", session_id, "--store", place.url]) == 1
    assert place.alive("alice") == {session_id}
    assert "stopped; nothing was done" in capsys.readouterr().err


def test_with_a_yes_it_ends(place: Place, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    session_id = place.sign_in("alice")
    monkeypatch.setattr("sys.stdin", __import__("io").StringIO("y\n"))

    assert main(["revoke", session_id, "--store", place.url]) == 0
    assert place.alive("alice") == set()


@pytest.mark.parametrize("arguments", [[], ["f" * 32, "--all", "alice"], ["a.b"], ["x" * 65]])
def test_it_is_clear_what_is_to_end(arguments: list[str], place: Place, capsys: Capture) -> None:
    assert main(["revoke", *arguments, "--yes", "--store", place.url]) == 2
    assert "Usage:" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "kept"), [([], 610), (["--access-lifetime", "2h"], 7210)])
def test_a_revocation_is_kept_while_an_access_token_may_be_out(
    arguments: list[str], kept: float, place: Place
) -> None:
    session_id = place.sign_in("alice")
    main(["revoke", session_id, "--yes", "--store", place.url, *arguments])
    (entry,) = place.log()

    assert entry.until - entry.at == kept


def test_with_legacy_tokens_that_began_no_session_are_refused_too(place: Place) -> None:
    main(["revoke", "--all", "alice", "--yes", "--store", place.url])
    assert place.do(lambda issuer: count(place)) == 0
    main(["revoke", "--all", "alice", "--legacy", "--yes", "--store", place.url])

    assert place.do(lambda issuer: count(place)) == 1


async def count(place: Place) -> int:
    import sqlite3

    connection = sqlite3.connect(place.path)
    try:
        names = connection.execute("SELECT name FROM sqlite_master WHERE name LIKE '%session%'")
        table = next(name for (name,) in names if "idx" not in name and "index" not in name)
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    finally:
        connection.close()
