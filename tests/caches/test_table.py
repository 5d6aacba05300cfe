"""The detector and the table, without a cache: a planted leak is seen, and fails the run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.caches import servers
from tests.caches.__main__ import main
from tests.caches.grid import ROWS, SITUATIONS, STATUSES, Case, cases
from tests.caches.run import HEAD, Outcome
from tests.caches.visit import Response, Tally, leaks

CASE = Case(7, "reads", "public", "200")
ALICES = "for alice-7;...."
CLEAN = [
    Response("alice-7", 200, ALICES, ["__Host-access=a", "__Host-refresh=r"], "1"),
    Response("nobody", 200, "for nobody;", (), "2"),
    Response("bob", 200, "for bob;", (), "3"),
    Response("alice-7", 200, ALICES, (), "1"),
]


def tally(*responses: Response, case: Case = CASE) -> Tally:
    made = Tally()
    made.add(case, responses)
    return made


def test_everyone_gets_their_own() -> None:
    assert leaks(CASE, CLEAN) == []
    clean = tally(*CLEAN)
    assert (clean.seen, clean.hits, clean.given) == (4, 1, 1)
    assert not clean.failures


@pytest.mark.parametrize(
    ("planted", "told"),
    [
        (Response("bob", 200, ALICES, (), "1"), "the page of alice-7 for bob"),
        (Response("nobody", 200, ALICES, (), "1"), "the page of alice-7 for nobody"),
        (Response("alice-7", 200, "for bob;", (), "3"), "the page of bob for alice-7"),
        (Response("alice-7", 200, "for nobody;", (), "3"), "the page of nobody for alice-7"),
        (
            Response("nobody", 304, "", ["__Host-access=a; Path=/"], "1"),
            "Set-Cookie of __Host-access for nobody",
        ),
        (
            Response("bob", 204, "", ["__Host-refresh=; Max-Age=0"], "1"),
            "Set-Cookie of __Host-refresh for bob",
        ),
    ],
)
def test_a_planted_leak_is_seen(planted: Response, told: str) -> None:
    assert leaks(CASE, [*CLEAN, planted]) == [f"/reads/public/200: {told}"]


def test_a_page_that_signs_in_may_come_to_alice_as_it_was_for_strangers() -> None:
    login = replace(CASE, situation="login")
    stale = Response("alice-7", 200, "for nobody;", (), "1")
    assert leaks(login, [stale]) == []


def problems(
    ours: list[Response], control: list[Response], *, limit: str = "", alone: str = ""
) -> str:
    innocent = tally(CLEAN[1], CLEAN[1], case=replace(CASE, situation="innocent"))
    outcome = Outcome(
        "cache",
        {"innocent": innocent, "reads": tally(*ours)},
        {"innocent": innocent, "reads": tally(*control)},
        limit,
        alone,
    )
    return "\n".join(outcome.problems())


def test_what_fails_the_run() -> None:
    leaky = [*CLEAN, Response("bob", 200, ALICES, (), "1")]
    broken = [*leaky, Response("bob", 502)]
    assert problems(CLEAN, leaky) == ""
    assert "cache: 1 leaks\n  /reads/public/200: the page" in problems(leaky, leaky)
    assert problems(leaky, leaky, limit="as the operator wishes") == ""
    assert "no leak in the control run" in problems(CLEAN, CLEAN)
    assert problems(CLEAN, CLEAN, alone="as its manual says") == ""
    assert "/reads/public/200: 502 for bob" in problems(broken, leaky)
    assert "/reads/public/200: 502 for bob" in problems(CLEAN, broken)


def test_a_cache_that_stores_nothing_fails_the_run() -> None:
    idle = {"innocent": tally(CLEAN[1], CLEAN[2], case=replace(CASE, situation="innocent"))}
    leaky = {"reads": tally(Response("bob", 200, ALICES, (), "1"))}
    assert "it caches nothing" in "\n".join(Outcome("cache", idle, leaky).problems())


def test_the_table_adds_up() -> None:
    leak = Response("bob", 200, ALICES, (), "1")
    ours = {"reads": tally(*CLEAN), "login": tally(*CLEAN)}
    control = {"reads": tally(*CLEAN, leak), "login": tally(*CLEAN, leak)}
    *_, last = Outcome("nginx", ours, control).rows()
    assert last.split() == ["nginx", "all", "8", "2", "2", "0", "4", "2", "2"]
    assert len(last) == len(HEAD)


def test_the_grid_is_whole() -> None:
    grid = list(cases([s for s in SITUATIONS if s != "together"]))
    assert len(grid) == len({case.path for case in grid})
    assert len(grid) == (len(SITUATIONS) - 1) * len(ROWS) * len(STATUSES)
    assert len({case.number for case in cases()}) == len(list(cases()))


def test_what_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = replace(servers.CACHES["squid"][0], binary="no-such-squid")
    monkeypatch.setitem(servers.CACHES, "squid", [gone])
    monkeypatch.setattr("sys.argv", ["caches", "squid"])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert main() == 1
    assert "no-such-squid is not installed; on Debian: apt-get install" in capsys.readouterr().err
