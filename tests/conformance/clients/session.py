"""What every client has to show: it keeps a session over ten expiries, and side by side."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.conformance.site import ENDED, SUBJECT
from tests.conformance.wire.common import Address

EXPIRIES, ROUNDS, TOGETHER = 10, 3, 6
Requests = Sequence[tuple[str, str]]
Answers = list[tuple[int, str]]
Ask = Callable[[Requests], Answers]
"""Send requests, method and path, at once, and return each one's status and body."""


class Missing(Exception):  # noqa: N818 - nothing went wrong, something is not there
    """A client is not installed; the text says how to."""


@dataclass(frozen=True)
class Client:
    """
    A client.

    Attributes:
        version: What it says of itself.
        opened: Starts it with an empty jar, for an origin and the certificate to trust.
    """

    name: str
    version: Callable[[], str]
    opened: Callable[[str, Path], AbstractContextManager[Ask]]


class Clock(Protocol):
    """The driver's way to the application's clock, past the client."""

    def control(self, verb: str, value: str = "") -> Any:
        """As `Place.control`."""

    def expire(self) -> None:
        """As `Place.expire`."""


class Application:
    """An application that is being served, as a `Clock`."""

    def __init__(self, address: Address) -> None:
        https = urllib.request.HTTPSHandler(context=address.tls)
        self._origin = address.origin
        self._opener = urllib.request.build_opener(https, urllib.request.ProxyHandler({}))

    def control(self, verb: str, value: str = "") -> Any:
        with self._opener.open(f"{self._origin}/-/{verb}/{value}", timeout=20) as answer:
            return json.load(answer)

    def expire(self) -> None:
        self.control("advance", str(ENDED))


def keeps_a_session(ask: Ask, application: Clock) -> None:
    """Sign in, outlive ten access tokens, sign out; an AssertionError says what went wrong."""
    (login,) = ask([("POST", "/login/async")])
    assert login[0] == 204, f"sign-in: {login}"
    for number in range(EXPIRIES):
        application.expire()
        application.control("role", f"role-{number}")
        told = _one(ask)
        assert told["subject"] == SUBJECT, f"signed out after {number} expiries"
        assert told["refreshed"], f"{number}: the expired cookie was not sent"
        assert told["role"] == f"role-{number}", f"{number}: {told['role']}"
        assert not _one(ask)["refreshed"], f"{number}: the new cookies were not kept"
    for number in range(ROUNDS):
        application.expire()
        application.control("events")
        answers = ask([("GET", "/me")] * TOGETHER)
        subjects = [json.loads(body)["subject"] for _, body in answers]
        assert subjects == [SUBJECT] * TOGETHER, f"side by side, {number}: {subjects}"
        rotations = application.control("events").count("refreshed")
        assert rotations == 1, f"side by side, {number}: {rotations} rotations"
    (logout,) = ask([("POST", "/logout/sync")])
    assert logout[0] == 204, f"sign-out: {logout}"
    told = _one(ask)
    assert told["subject"] is None, "not signed out"
    assert not told["cookies"], f"cookies left: {sorted(told['cookies'])}"


def _one(ask: Ask) -> dict[str, Any]:
    ((status, body),) = ask([("GET", "/me")])
    assert status == 200, f"/me: {status}"
    told: dict[str, Any] = json.loads(body)
    return told
