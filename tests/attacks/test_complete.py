"""No abuse case is without a test, and the page says which there are."""

from __future__ import annotations

from tests.attacks.__main__ import CASES, HERE, facts, table


def test_every_case_has_a_test() -> None:
    assert {number for number, _, _ in facts()} == set(CASES)


def test_the_page_is_that_of_these_tests() -> None:
    page = HERE.parents[1] / "docs" / "attacks.md"

    assert page.read_text(encoding="utf-8") == table(), "python -m tests.attacks > docs/attacks.md"
