"""The list of faults that nothing can notice is about the library as it is."""

from __future__ import annotations

from pathlib import Path

import asgi_refresh

from .report import Report, Result, accepted

ROOT = Path(asgi_refresh.__file__).parent


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


def test_every_listed_fault_is_of_lines_that_are_there() -> None:
    sources = {path.stem: lines(path.read_text()) for path in ROOT.glob("*.py")}
    gone = [key for key in accepted() if not set(lines(key[2])) <= set(sources[key[0]])]
    assert gone == []


def test_every_listed_fault_has_a_reason() -> None:
    assert [key for key, reason in accepted().items() if not reason.strip()] == []


def result(status: str, come: str = "") -> Result:
    return Result("cookies", "collect", 1, "return found", come, status)


def test_a_listed_survivor_does_not_count() -> None:
    report = Report(known={result("survived").key: "it does nothing"})
    report.add(result("survived"))
    report.add(result("killed"))
    assert report.score() == 1


def test_a_listed_fault_that_is_found_after_all_counts_as_found() -> None:
    report = Report(known={result("killed").key: "it does nothing"})
    report.add(result("killed"))
    report.add(result("survived", "return None"))
    assert report.score() == 0.5


def test_what_no_test_executes_counts_as_survived() -> None:
    report = Report(known={})
    report.add(result("untested"))
    report.add(result("timeout"))
    assert report.score() == 0.5
