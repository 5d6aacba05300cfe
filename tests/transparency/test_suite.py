"""A suite of somebody else, run behind the middleware; what differs is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.report import PAGE
from tests.transparency.suite import PLACES, Outcome, differences, run, table

TESTS = """
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

async def keys(request):
    return JSONResponse(sorted(request.scope))

def test_nothing_is_added():
    client = TestClient(Starlette(routes=[Route("/", keys)]))
    assert "asgi_refresh" not in client.get("/").json()

def test_another():
    assert TestClient(Starlette(routes=[Route("/", keys)])).get("/").status_code == 200

async def raw(scope, receive, send):
    await JSONResponse(1)(scope, receive, send)

def test_without_starlette():
    assert TestClient(raw).get("/").json() == 1

def test_without_an_application():
    assert True
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text(TESTS)
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    return tmp_path


@pytest.mark.parametrize(("where", "passed"), [("outside", [1, 1, 1, 0]), ("inside", [1, 1, 0, 0])])
def test_the_middleware_is_there_and_what_differs_is_told(
    suite: Path, where: str, passed: list[int]
) -> None:
    plain, wrapped = run(suite, "nowhere"), run(suite, where)

    assert [one.passed for one in plain.values()] == [0, 0, 0, 0]
    assert [one.passed for one in wrapped.values()] == passed
    (told,) = differences(plain, wrapped)
    assert told.startswith(
        "tests.test_it::test_nothing_is_added: passed, and behind the middleware failed: Assertion"
    )


def test_a_suite_that_does_not_run_is_an_error(suite: Path) -> None:
    (suite / "tests" / "test_it.py").write_text("import nothing_of_this_name")
    with pytest.raises(RuntimeError, match="pytest ended with 2"):
        run(suite, "nowhere")


def test_a_test_that_is_not_run_differs() -> None:
    (told,) = differences({"a": Outcome("passed")}, {})
    assert told == "a: passed, and behind the middleware not run: "
    assert [*differences({"a": Outcome("failed", "x")}, {"a": Outcome("failed", "y", 3)})] == []


def test_the_table_counts() -> None:
    plain = {"a": Outcome("passed"), "b": Outcome("failed")}
    wrapped = {"a": Outcome("failed", "", 2), "b": Outcome("failed", "", 0)}
    *_, same, other = table(plain, {"outside": plain, "inside": wrapped})
    assert same.endswith("| 0 | 0 | none |")
    assert other.endswith("| 1 | 2 | 1 |")


def test_the_page_says_that_nothing_fails() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for place in PLACES.values():
        assert [line.endswith("| none |") for line in text.splitlines() if place in line] == [True]
