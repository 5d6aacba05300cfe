"""One application of others, what a fact does not let pass, and the table."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import pytest

from tests.conformance.report import PAGE
from tests.support import require
from tests.transparency import applications
from tests.transparency.applications import FACTS, Seen, table
from tests.transparency.cases import APPLICATIONS
from tests.transparency.visitor import ACCESS, REFRESH, Visitor


def test_every_fact_of_djangos_admin() -> None:
    for package in ("django", "httpx2", "uvicorn"):
        require(find_spec(package) is not None, f"{package} is not installed")

    seen = applications.seen(APPLICATIONS["django"])

    assert seen.facts == dict.fromkeys(FACTS.keys() - {"stream"}, "")


class Toy(Visitor):
    """A visitor of an application that has one fault."""

    def __init__(self, fault: str = "") -> None:
        super().__init__(0)
        self.fault, self.number, self.due = fault, 0, False

    def renew(self) -> None:
        self.number += 1
        self.take(f"{name}={self.number}; path=/" for name in (ACCESS, REFRESH))
        self.due = False

    def sign_in(self) -> None:
        self.renew()

    def sign_out(self) -> None:
        self.take(f"{name}=; max-age=0" for name in (ACCESS, REFRESH))
        self.number += self.fault != "keeps the copy"

    def expire(self) -> None:
        self.due = True

    def asked(self) -> str | None:
        self.changed = set()
        known = self.jar.get(ACCESS) == str(self.number) and self.number > 0
        if self.fault == "takes anybody":
            return "alice"
        if known and self.due and self.fault != "does not refresh":
            self.renew()
            self.due = self.fault == "refreshes twice"
        return "alice" if known else None

    def streamed(self) -> None:
        self.asked()
        if self.fault == "streams without cookies":
            self.changed = set()


TOY = replace(APPLICATIONS["datasette"], name="toy", title="Toy", who=Toy.asked)
TOY = replace(TOY, stream=Toy.streamed, sign_in=Toy.sign_in, sign_out=Toy.sign_out)


@pytest.mark.parametrize("fact", FACTS)
def test_a_fact_that_is_so(fact: str) -> None:
    FACTS[fact](TOY, Toy())


@pytest.mark.parametrize(
    ("fact", "fault", "seen"),
    [
        ("anonymous", "takes anybody", "somebody"),
        ("refresh", "does not refresh", "renewed are set"),
        ("refresh", "refreshes twice", "refreshed twice"),
        ("stream", "streams without cookies", "with it came set"),
        ("sign-out", "takes anybody", "still signed in"),
        ("sign-out", "keeps the copy", "a copy is still good"),
    ],
)
def test_a_fact_that_is_not_so_is_told(fact: str, fault: str, seen: str) -> None:
    with pytest.raises(AssertionError, match=seen):
        FACTS[fact](TOY, Toy(fault))


def test_the_table_says_what_was_seen() -> None:
    facts: dict[str, Any] = dict.fromkeys(FACTS, "") | {"refresh": "AssertionError: it is None"}
    del facts["stream"]
    seen = Seen(replace(TOY, packages=("no-such-package",), shows="all of it"), facts)

    assert [*table([seen])][-1] == "| Toy missing | yes | yes | **no** | - | yes | all of it |"
    assert [*seen.problems()] == ["toy: refresh: AssertionError: it is None"]


def test_the_page_has_every_application() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for application in APPLICATIONS.values():
        assert f"| {application.title} " in text
    assert "**no**" not in text
