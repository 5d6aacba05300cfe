"""
The soak in short: enough of everything to notice when it stops working; `python -m tests.soak` is
the long one.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.backends import Backend
from tests.soak.ledger import Handed, Ledger
from tests.soak.lines import NOISE
from tests.soak.run import Plan, carry_out
from tests.support import require

pytestmark = NOISE

SHORT = {
    "refreshes": 200,
    "kills": 3,
    "drops": 20,
    "grace": 0.5,
    "clients": 8,
    "seconds": 30.0,
    "pause": 0.5,
}


@pytest.mark.parametrize("store", ["sqlite", "redis", "postgresql"])
def test_killed_workers_and_lost_responses_sign_nobody_out(store: str) -> None:
    require(Backend.named(store, "", Path()).is_up(), f"{store} does not run here")
    report = carry_out(Plan(store=store, **SHORT))
    assert report.is_green, str(report)
    assert report.facts["refreshes accepted"] >= SHORT["refreshes"]
    assert report.facts["SIGKILLs"] >= SHORT["kills"]
    assert report.facts["responses dropped"] >= SHORT["drops"]
    assert report.facts["sign-outs"] > 0


def test_without_a_grace_the_soak_is_red() -> None:
    endless = SHORT | {"refreshes": 1_000_000, "grace": 0.0}
    report = carry_out(Plan(store="sqlite", until_red=True, **endless))
    assert report.faults["honest sign-outs"] > 0, str(report)
    assert not report.is_green


# --- the ledger -----------------------------------------------------------------------------------


def test_two_successors_within_one_grace_are_divergent() -> None:
    assert divergent((0.0, 0.1, 2), (0.0, 0.2, 3)) == ["s generation 1: [2, 3] within one grace"]
    assert divergent((0.0, 0.1, 2), (1.0, 1.1, 3)) == []


def test_what_was_handed_out_before_is_divergent_once_something_newer_was() -> None:
    (why,) = divergent((0.0, 0.1, 2), (1.0, 1.1, 3), (1.2, 1.3, 2))
    assert why == "s generation 1: generation 2 after 3 had been handed out"
    assert divergent((0.0, 0.1, 1), (0.2, 0.3, 2), (0.4, 0.5, 2)) == []


def test_one_generation_is_spelled_in_one_way() -> None:
    ledger = Ledger()
    ledger.first_sent["s.1.x"] = 0.0
    ledger.answered("s.1.x", "s.2.x", 0.0, 0.1)
    ledger.answered("s.1.x", "s.2.y", 0.0, 0.1)
    assert ledger.divergent(1.0) == ["two spellings of ('s', 2)"]


def divergent(*handed: tuple[float, float, int]) -> list[str]:
    ledger = Ledger()
    ledger.first_sent["s.1.x"] = 0.0
    ledger.handed["s.1.x"] = [Handed(*answer) for answer in handed]
    return ledger.divergent(1.0)
