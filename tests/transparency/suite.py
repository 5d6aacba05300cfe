"""Starlette's own tests, plain and with the middleware around what they build: nothing differs."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.conformance.report import seen_on, write
from tests.processes import ROOT, folder

from .plugin.wrapping import PASSED, WHERE

PLUGIN = Path(__file__).parent / "plugin"
PLACES = {
    "outside": "around what `TestClient` is given",
    "inside": "by `add_middleware`, in every `Starlette`",
}
FAILURES = ("failed", "error")
# No plugins but what Starlette's tests ask for, and ours.
OPTIONS = ("-q", "-p", "anyio.pytest_plugin", "-p", "wrapping", "-p", "no:cacheprovider")


@dataclass(frozen=True)
class Outcome:
    """
    What came of one test.

    Attributes:
        word: `passed`, `failed`, `error` or `skipped`.
        told: Why, in its last line.
        passed: How many requests and handshakes went through the middleware.
    """

    word: str
    told: str = ""
    passed: int = 0


Outcomes = Mapping[str, Outcome]


def unpacked(path: Path) -> Path:
    """Download the source of the Starlette that is installed, and return where its tests are."""
    wanted = f"starlette=={version('starlette')}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-binary", ":all:", "--no-deps", "--dest", str(path), wanted]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (archive,) = path.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        # The library itself stays in there: what is installed is what is tested.
        members = [
            each for each in tar.getmembers() if "/tests/" in each.name or "pyproject" in each.name
        ]
        tar.extractall(path, members, filter="data")
    return path / archive.name.removesuffix(".tar.gz")


def run(tests: Path, where: str) -> Outcomes:
    """Run the tests in the folder *tests* the middleware being *where*; return what came."""
    report = tests / f"report-{where}.xml"
    environment = {
        **os.environ,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": os.pathsep.join([str(PLUGIN), str(ROOT)]),
        WHERE: where,
    }
    command = [sys.executable, "-m", "pytest", *OPTIONS, f"--junit-xml={report}", "tests"]
    ran = subprocess.run(command, cwd=tests, env=environment, capture_output=True, check=False)
    if ran.returncode not in (0, 1):
        raise RuntimeError(f"pytest ended with {ran.returncode}: {ran.stdout.decode()[-2000:]}")
    return read(report.read_text(encoding="utf-8"))


def read(report: str) -> Outcomes:
    """Return what a JUnit *report* says, by test."""
    found = {}
    for case in ET.fromstring(report).iter("testcase"):
        found[f"{case.get('classname')}::{case.get('name')}"] = _outcome(case)
    return found


def _outcome(case: ET.Element) -> Outcome:
    counts = [int(p.get("value", 0)) for p in case.iter("property") if p.get("name") == PASSED]
    for tag, word in (("error", "error"), ("failure", "failed"), ("skipped", "skipped")):
        child = case.find(tag)
        if child is not None:
            told = (child.get("message") or "").strip().partition("\n")[0]
            return Outcome(word, told[:200], sum(counts))
    return Outcome("passed", "", sum(counts))


def differences(plain: Outcomes, wrapped: Outcomes) -> Iterator[str]:
    """Yield what is otherwise behind the middleware, a line each; a test that heals counts, too."""
    for name in sorted(plain.keys() | wrapped.keys()):
        before, after = plain.get(name), wrapped.get(name)
        words = [one.word if one else "not run" for one in (before, after)]
        if words[0] != words[1]:
            told = after.told if after else ""
            yield f"{name}: {words[0]}, and behind the middleware {words[1]}: {told}"


def table(plain: Outcomes, wrapped: Mapping[str, Outcomes]) -> Iterator[str]:
    """Yield the section of the page."""
    failing = sum(one.word in FAILURES for one in plain.values())
    yield f"{seen_on()} Starlette {version('starlette')} has {len(plain)} tests,"
    yield f"of which {failing} fail here without the middleware as well."
    yield ""
    yield "| The middleware | tests that send through it | requests and handshakes | new failures |"
    yield "|---|---|---|---|"
    for where, outcomes in wrapped.items():
        tests = sum(one.passed > 0 for one in outcomes.values())
        requests = sum(one.passed for one in outcomes.values())
        found = len([*differences(plain, outcomes)])
        yield f"| {PLACES[where]} | {tests} | {requests} | {found or 'none'} |"


def main() -> int:
    with folder("transparency-") as path:
        tests = unpacked(path)
        plain = run(tests, "nowhere")
        wrapped = {where: run(tests, where) for where in PLACES}
    for name, one in plain.items():
        if one.word in FAILURES:
            print(f"without the middleware, too: {name}: {one.told}")
    told = [f"{where}: {line}" for where in wrapped for line in differences(plain, wrapped[where])]
    print(*table(plain, wrapped), *told, sep="\n")
    if not told:
        write("suite", table(plain, wrapped))
    return 1 if told else 0
