"""The program as a whole: what it needs, what it says of itself, how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from asgi_refresh import __version__
from asgi_refresh.cli import main
from asgi_refresh.cli.output import moment, span
from asgi_refresh.cli.program import cli
from asgi_refresh.telemetry import printable
from tests.test_imports import PULLED_IN, REQUIRED, run

ROOT = Path(__file__).parents[2]
COMMANDS = {
    *("check", "create-tables", "demo", "doctor", "inspect", "keygen", "purge", "revoke"),
    "sessions",
}
Capture = pytest.CaptureFixture[str]


def test_the_commands_are_those_of_the_documentation() -> None:
    assert set(cli.commands) == COMMANDS


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help(command: str, capsys: Capture) -> None:
    assert main([command, "--help"]) == 0
    said = capsys.readouterr().out

    assert command == "demo" or "Examples:" in said


@pytest.mark.parametrize("command", sorted(COMMANDS - {"demo"}))
def test_every_command_that_prints_results_prints_json(command: str, capsys: Capture) -> None:
    main([command, "--help"])

    assert "--json" in capsys.readouterr().out


def test_the_help_says_what_the_exit_codes_mean(capsys: Capture) -> None:
    assert main(["--help"]) == 0
    assert "  2  the command line or a setting is wrong" in capsys.readouterr().out


def test_it_says_its_version(capsys: Capture) -> None:
    assert main(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra_it_says_what_to_install(missing: str) -> None:
    there = {"asgi_refresh", *REQUIRED, *PULLED_IN, "click", "rich", "pygments", "markdown_it"}
    said = run(
        "import contextlib, io, json\n"
        "from asgi_refresh.cli import main\n"
        "with contextlib.redirect_stderr(io.StringIO()) as said:\n"
        "    code = main(['keygen'])\n"
        "print(json.dumps([code, said.getvalue()]))",
        allowed=there - {missing},
    )

    assert said == [2, "The command line needs: pip install 'asgi-refresh[cli]'\n"]


def test_the_module_is_the_same_program() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "asgi_refresh", "--version"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout.split()[0], done.stderr) == (0, "asgi-refresh,", "")


def test_the_script_is_that_program() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert project["scripts"] == {"asgi-refresh": "asgi_refresh.cli:main"}
    assert {line.partition(">")[0] for line in project["optional-dependencies"]["cli"]} == {
        "click",
        "rich",
    }


def test_the_demo_gets_its_own_arguments(capsys: Capture) -> None:
    assert main(["demo", "--help"]) == 0
    assert "--port" in capsys.readouterr().out


def test_an_argument_that_the_demo_does_not_have_is_exit_code_2(capsys: Capture) -> None:
    assert main(["demo", "--nothing"]) == 2
    assert "--nothing" in capsys.readouterr().err


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (0.9, "0 seconds"),
        (1, "1 second"),
        (61, "1 minute 1 second"),
        (3600, "1 hour"),
        (2 * 86400 + 3 * 3600 + 59, "2 days 3 hours"),
    ],
)
def test_a_span_is_told_in_two_units(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_a_moment_is_told_with_its_distance() -> None:
    assert moment(1_800_000_060, 1_800_000_000) == "2027-01-15 08:01:00 UTC, in 1 minute"
    assert moment(1_800_000_000, 1_800_000_060) == "2027-01-15 08:00:00 UTC, 1 minute ago"


@pytest.mark.parametrize("at", [1e15, -1e15])
def test_a_moment_beyond_every_calendar_is_no_error(at: float) -> None:
    assert moment(at, 0.0) == "at no time that a calendar has"


@pytest.mark.parametrize("text", ["\x1b[31mred", "a\nb", "\u202egnihton", "\x9b31m", "\ud800"])
def test_nothing_that_moves_a_cursor_reaches_a_terminal(text: str) -> None:
    assert printable(text).isprintable()
    printable(text).encode()
