"""The benchmarks measure what they say, and nothing is asserted of time here."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import counted, readme, verdict
from benchmarks.__main__ import RUNS
from benchmarks.browser import NOISE, Request, bare, forged
from benchmarks.cases import cases
from benchmarks.floors import floors
from benchmarks.goals import GOALS, MEMORY, STORM, Goal, missed
from benchmarks.harness import Variant, asking, check, measure
from benchmarks.peers import MODULES, Adapter, load
from benchmarks.results import FOLDER, Result
from benchmarks.results import load as kept
from benchmarks.server import FEW

# AuthX's own, at every refresh: what it costs is in its figures.
pytestmark = pytest.mark.filterwarnings("ignore:Accessing the 'model_fields'")

ROOT = Path(__file__).parents[2]
ADAPTERS, LEFT_OUT = load()
VERBS = ("valid", "refresh", "anonymous")
ASKED = [(name, verb) for name in ADAPTERS for verb in VERBS if getattr(ADAPTERS[name], verb)()]


@pytest.fixture(scope="module")
def adapters() -> dict[str, Adapter]:
    """Those whose tokens are no older than the test: a run that was collected earlier may be."""
    return load()[0]


@pytest.fixture(scope="module")
def variants(adapters: dict[str, Adapter]) -> dict[str, Variant]:
    return {**floors(), **cases(adapters)}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the bridge to WSGI is made for it


@pytest.mark.anyio
@pytest.mark.parametrize(("name", "verb"), ASKED)
async def test_a_peer_answers_as_its_adapter_says(
    adapters: dict[str, Adapter], name: str, verb: str
) -> None:
    adapter = adapters[name]
    await check(asking(adapter.build(), getattr(adapter, verb)()))


@pytest.mark.anyio
@pytest.mark.parametrize("name", ADAPTERS)
async def test_the_application_without_the_peer_answers_the_same_request(
    adapters: dict[str, Adapter], name: str
) -> None:
    asked = replace(adapters[name].valid(), set_cookies=0, who=None)
    await check(asking(adapters[name].bare(), asked))


@pytest.mark.anyio
async def test_every_case_answers_as_it_says(variants: dict[str, Variant]) -> None:
    for variant in variants.values():
        await check(variant)


def test_what_the_development_tools_bring_is_measured() -> None:
    assert set(LEFT_OUT) <= {"starsessions"}  # in the extra `bench` only
    assert set(ADAPTERS) | set(LEFT_OUT) == set(MODULES)


def test_a_peer_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "benchmarks.peers.authx_middleware"
    monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "authx", None)
    adapters, left_out = load(["no-op ASGI", "AuthX middleware"])
    assert list(adapters) == ["no-op ASGI"]
    assert left_out == {"AuthX middleware": "authx is not installed"}


def test_every_goal_names_figures_that_are_measured(variants: dict[str, Variant]) -> None:
    measured = {*variants, *counted.run().figures}
    measured |= {f"uvicorn CPU, {name}: {verb}" for name, verb in FEW}
    named = {name for goal in GOALS for name in (goal.above, goal.below) if name is not None}
    assert named <= measured
    unflattering = {name for _, *names in verdict.NOT_FLATTERING for name in names}
    stores = {f"refresh, {name}" for name in ("memory", "redis", "postgresql")}
    assert unflattering - stores <= measured


@pytest.mark.parametrize(("run", "goals"), [("memory", MEMORY), ("storm", STORM)])
def test_the_goals_of_another_run_name_what_it_found(run: str, goals: list[Goal]) -> None:
    result = kept(run)
    assert result is not None
    assert all(goal.measured(result.figures) is not None for goal in goals)
    assert result.missed == missed(goals, result.figures)


@pytest.mark.parametrize(
    ("goal", "value", "met"),
    [
        (Goal("", "a", "b", "≤", 0.5), 0.5, True),
        (Goal("", "a", "b", "≤", 0.49), 0.5, False),
        (Goal("", "a", "b", "≥", 0.5), 0.5, True),
        (Goal("", "a", "b", "≥", 0.51), 0.5, False),
        (Goal("", "a", None, "=", 2), 2.0, True),
        (Goal("", "a", None, "=", 3), 2.0, False),
        (Goal("", "a", "c", "≥", 0), None, False),
        (Goal("", "c", None, "≥", 0), None, False),
    ],
)
def test_a_goal_is_a_ratio_within_its_bound(goal: Goal, value: float | None, met: bool) -> None:
    figures = {"a": 2.0, "b": 4.0}
    assert goal.measured(figures) == value
    assert goal.is_met(figures) is met


class Hands:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def taking(self, durations: Iterator[float], over: str | None = None) -> Variant:
        def take(_: object) -> None:
            self.now += next(durations)

        return Variant(lambda: None, plain=take, over=over, clock=self)


@pytest.mark.anyio
async def test_the_least_and_the_median_of_rounds_less_those_of_what_it_is_over() -> None:
    from itertools import chain, repeat

    hands = Hands()
    unmeasured = 2 + 3 * 20  # two checks, three batches to see how many fit
    rounds = [repeat(9e-6, unmeasured), *(repeat(us * 1e-6, 20) for us in (5, 3, 7))]
    found = await measure(
        {"bare": hands.taking(repeat(1e-6)), "x": hands.taking(chain(*rounds), over="bare")},
        rounds=3,
        turn=0.0,
    )
    assert found["x"].least == pytest.approx(2.0)
    assert found["x"].median == pytest.approx(4.0)
    assert found["bare"].least == pytest.approx(1.0)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "wrong",
    [Request(NOISE, status=204), Request(NOISE, set_cookies=1), Request(who=lambda _: "bob")],
    ids=["status", "cookies", "subject"],
)
async def test_what_does_not_answer_as_it_must_is_not_measured(wrong: Request) -> None:
    with pytest.raises(AssertionError, match=r"^odd: "):
        await measure({"odd": asking(bare, wrong, over=None)}, rounds=1, turn=0.0)


def test_a_forged_cookie_differs_in_its_signature_only() -> None:
    assert forged("access=a.b.0123456789") == "access=a.b.0123AAAAAA"


def test_every_run_has_a_module_with_a_main() -> None:
    for module in set(RUNS.values()) - {"figures"}:  # which needs the extra `bench`
        assert callable(importlib.import_module(f"benchmarks.{module}").main)


@pytest.mark.parametrize("name", readme.DOCUMENTS)
def test_the_documents_have_the_tables_of_the_last_results(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert readme.filled(text) == text


def test_results_say_where_they_were_measured() -> None:
    for path in FOLDER.glob("*.json"):
        result = Result(**json.loads(path.read_text(encoding="utf-8")))
        assert result.versions["pyjwt"], path
        assert result.machine, path
        assert result.figures, path


def test_a_quick_run_prints_json() -> None:
    command = [sys.executable, "-m", "benchmarks", "hot", "--quick", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["run"] == "hot"
    assert found["figures"]["hot"] != 0


def test_an_adapter_has_five_verbs() -> None:
    verbs = {name for name in vars(Adapter) if not name.startswith("_")}
    assert verbs == {"build", "bare", "valid", "refresh", "anonymous"}
