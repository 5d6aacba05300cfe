"""README and docs/ are true: their code runs, their commands print what is printed there."""

from __future__ import annotations

import ast
import logging
import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.schema import CreateIndex, CreateTable

from asgi_refresh import Client, Config, Cookie, Event
from asgi_refresh.events import EventName
from asgi_refresh.rotation import Verdict
from asgi_refresh.stores import SQLAlchemyStore
from asgi_refresh.telemetry import log_event
from tests.examples.documents import (
    APP,
    PAGES,
    Command,
    app_source,
    blocks,
    commands,
    execute,
    source_of_tests,
)
from tests.examples.support import ROOT, SECRET_KEY, close, environment, free_port, serve
from tests.examples.test_quickstarts import unconfigured_django
from tests.kit.support import run_pytest
from tests.support import require

README = ROOT / "README.md"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
async def test_python_blocks_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv("OLD_SECRET", SECRET_KEY[::-1])  # of the system before, docs/migration
    with unconfigured_django():
        left = await execute(page)
    close(*(value for _, namespace in left for value in namespace.values()))


WITH_COMMANDS = [page for page in PAGES if blocks(page, "console")]


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.name)
def test_commands_print_what_is_printed(page: Path, tmp_path: Path) -> None:
    require(shutil.which("curl") is not None, "curl is not installed")
    port = free_port()
    (tmp_path / "app.py").write_text(app_source(page))
    env = environment() | ({} if page == README else {"SECRET_KEY": SECRET_KEY})
    install_the_program(tmp_path / "bin", env)
    with ExitStack() as servers:
        for block in blocks(page, "console"):
            for command in commands(block):
                text = command.text.replace("8000", str(port))
                if text.startswith("uvicorn "):
                    servers.enter_context(serve(text.split()[1:], port, cwd=tmp_path, env=env))
                    continue
                printed, env = shell(text, tmp_path, env)
                printed = printed.replace(str(port), "8000")
                assert command.matches(printed), f"$ {command.text}\n{printed}"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if source_of_tests(page)], ids=lambda page: page.name
)
def test_the_tests_that_are_printed_pass(page: Path, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(app_source(page))
    (tmp_path / "test_app.py").write_text(source_of_tests(page))
    printed = run_pytest(tmp_path, env={"SECRET_KEY": SECRET_KEY})

    [passed] = re.findall(r"^(\d+) passed in", printed, re.MULTILINE)
    assert int(passed) >= source_of_tests(page).count("def test_")


def test_a_test_of_the_readme_is_eight_lines() -> None:
    [test] = [block.text for block in blocks(README, "python") if block.is_tests]
    lines = [line for line in test.splitlines() if line.strip() and not line.startswith("#")]

    assert len(lines) == 8


def install_the_program(directory: Path, env: dict[str, str]) -> None:
    """Put `asgi-refresh` on the path, as it is in this checkout."""
    directory.mkdir()
    program = directory / "asgi-refresh"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m asgi_refresh "$@"\n')
    program.chmod(0o755)
    env["PATH"] = f"{directory}{os.pathsep}{env['PATH']}"


def shell(command: str, cwd: Path, env: dict[str, str]) -> tuple[str, dict[str, str]]:
    """Run *command* in bash; return what it prints and the environment it leaves."""
    script = f'set -a\n{command}\nstatus=$?\nenv -0 > "$0"\nexit $status'
    left = cwd / "environment"
    done = subprocess.run(
        ["bash", "-c", script, str(left)],
        cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
    pairs = (item.partition("=") for item in left.read_text().split("\0") if item)
    return done.stdout, {name: value for name, _, value in pairs}


def test_what_a_console_block_prints_is_compared() -> None:
    assert Command("", "a\n...\nb...d\n").matches("a\r\nx\ny\nbcd")
    assert Command("", "a\n...\nb\n").matches("a\nb")
    assert not Command("", "a\n...\nb\n").matches("a\nbx")
    assert not Command("", "").matches("anything")
    assert not Command("", "{}\n").matches("")


def test_the_quickstart_is_short() -> None:
    first = blocks(README, "python")[0]
    assert first.text.startswith(APP)
    assert sum(line.strip() != "" for line in first.text.splitlines()) <= 15


def test_the_first_lines_of_the_readme_are_the_two_commands() -> None:
    lines = [line for line in README.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert [line.split("#")[0].strip() for line in lines[2:4]] == ["make demo", "make test"]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_commands_for_people_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for block in blocks(page, "sh"):
        for line in block.text.splitlines():
            words = line.split("#")[0].split()
            if words[:1] == ["make"]:
                assert re.search(rf"^{re.escape(words[1])}:", makefile, re.MULTILINE), line


@pytest.mark.parametrize(
    "page",
    [*sorted(ROOT.glob("*.md")), *PAGES[1:], ROOT / "benchmarks" / "README.md"],
    ids=lambda page: page.name,
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in _anchors(linked), target


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_printed_tables_are_those_of_the_store() -> None:
    engine = create_async_engine("postgresql+asyncpg://h/db")
    [printed] = [block.text for block in blocks(ROOT / "docs" / "stores.md", "sql")]
    statements = [" ".join(text.split()) for text in printed.split(";") if text.strip()]
    expected = []
    for table in SQLAlchemyStore(engine).metadata.sorted_tables:
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        made = (CreateTable(table), *map(CreateIndex, indexes))
        expected += [" ".join(str(item.compile(dialect=engine.dialect)).split()) for item in made]

    assert statements[:-1] == expected


def test_every_setting_is_documented_with_its_default() -> None:
    rows = _rows(ROOT / "docs" / "configuration.md")
    known: dict[str, Any] = {"timedelta": timedelta, "Cookie": Cookie}
    documented = {name: eval(cells[0].strip("`"), known) for name, *cells in rows}

    assert documented == {field.name: field.default for field in fields(Config)}


def test_every_verdict_is_documented() -> None:
    documented = [name for name, *_ in _rows(ROOT / "docs" / "rotation.md")]
    assert documented == [verdict.name for verdict in Verdict]


def test_every_event_is_documented() -> None:
    documented = [name for name, *_ in _rows(ROOT / "docs" / "security.md")]
    assert documented == list(get_args(EventName))


def test_every_field_of_a_record_is_documented(caplog: pytest.LogCaptureFixture) -> None:
    client = Client("192.0.2.1", "agent")
    with caplog.at_level("DEBUG", "asgi_refresh"):
        log_event(Event("rejected", "alice", "s1", "reason", "detail", client))
    usual = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
    documented = [name for name, *_ in _rows(ROOT / "docs" / "observability.md")]

    assert documented == [name for name in vars(caplog.records[0]) if name not in usual]


def test_every_finding_of_the_doctor_is_documented() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    found = {
        node.args[place].value
        for file in ("findings.py", "cookie_findings.py")
        for node in ast.walk(ast.parse((ROOT / "asgi_refresh" / "cli" / file).read_text()))
        if isinstance(node, ast.Call)
        for place in [{"Finding": 1, "_Rule": 0}.get(getattr(node.func, "id", ""))]
        if place is not None and isinstance(node.args[place], ast.Constant)
    }

    assert len(found) == 25
    assert [name for name in sorted(found) if f"`{name}`" not in page] == []


def _rows(page: Path) -> list[list[str]]:
    """The cells of every table row whose first cell is code, without its backticks."""
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [[name, *rest.split(" | ")] for name, rest in rows]
