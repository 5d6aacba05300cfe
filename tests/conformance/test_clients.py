"""What a client has to show is not shown by one that loses its cookies, and so on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.clients.run import Kept, table
from tests.conformance.clients.session import Answers, Requests, keeps_a_session


class Toy:
    """An application and its client in one, for `keeps_a_session`, with one *fault*."""

    def __init__(self, fault: str = "") -> None:
        self._fault = fault
        self._subject: str | None = None
        self._role = ""
        self._due = False
        self._expiries = self._rotations = 0

    def expire(self) -> None:
        self._expiries += 1
        self._due = True
        if self._fault == "forgets" and self._expiries == 4:
            self._subject = None

    def control(self, verb: str, value: str = "") -> Any:
        if verb == "role":
            self._role = value
            return None
        told, self._rotations = ["refreshed"] * self._rotations, 0
        return told

    def ask(self, requests: Requests) -> Answers:
        return [self._one(path) for _, path in requests]

    def _one(self, path: str) -> tuple[int, str]:
        if path == "/login/async":
            self._subject = "alice"
        elif path == "/logout/sync":
            self._subject = None if self._fault != "stays" else self._subject
        if path != "/me":
            return 204, ""
        refreshed = self._due and self._fault != "is not asked for refresh"
        self._rotations += refreshed
        self._due = refreshed and self._fault in ("does not keep", "rotates twice")
        if self._fault == "rotates twice" and self._expiries <= 10:
            self._due = False
        cookies = {"__Host-access": "x"} if self._subject or self._fault == "keeps all" else {}
        told = {"subject": self._subject, "role": self._role, "refreshed": refreshed}
        return 200, json.dumps({**told, "cookies": cookies})


def test_a_session_is_kept() -> None:
    toy = Toy()
    keeps_a_session(toy.ask, toy)


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("forgets", "signed out after 3 expiries"),
        ("is not asked for refresh", "0: the expired cookie was not sent"),
        ("does not keep", "0: the new cookies were not kept"),
        ("rotates twice", "side by side, 0: 6 rotations"),
        ("stays", "not signed out"),
        ("keeps all", "cookies left: .'__Host-access'."),
    ],
)
def test_a_session_that_is_not_kept_is_told(fault: str, seen: str) -> None:
    toy = Toy(fault)
    with pytest.raises(AssertionError, match=seen):
        keeps_a_session(toy.ask, toy)


def test_the_table_of_clients_says_what_was_seen() -> None:
    lines = [*table([Kept("curl", "8"), Kept("wget", "1", "AssertionError: none")])]
    assert lines[-2:] == [
        "| curl | 8 | kept | one rotation |",
        "| wget | 1 | no: AssertionError: none |  |",
    ]
