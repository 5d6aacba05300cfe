"""
What happened in a soak, and what of it must not have.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_POLL_PAUSE = 31.0  # seconds that a failed poll of the revocations may be the last one


def session_of(token: str) -> str:
    """The session id that a refresh token spells."""
    return token.partition(".")[0]


def generation_of(token: str) -> int:
    """The generation that a refresh token spells."""
    return int(token.split(".")[1])


@dataclass(frozen=True)
class Handed:
    """A refresh token that was answered with another one."""

    sent: float
    received: float
    generation: int


@dataclass
class Ledger:
    """
    Kept by the clients while they run.

    Attributes:
        count: How often what happened.
        first_sent: When a refresh token was first presented.
        handed: What refresh tokens were answered with.
        bytes_of: What the refresh token of a (session, generation) looked like.
        ended: When a sign-out was acknowledged, by session.
        left: Sessions whose sign-out was begun.
        slow: Sessions with a request that took so long that nothing is promised for them.
        sign_outs: Sessions that ended although nobody signed out.
        accepted: Refreshes after their session's sign-out was acknowledged.
        outlived: Access tokens that were accepted too long after that: when, where, and what.
        wrong: Anything else that must not be.
    """

    count: Counter[str] = field(default_factory=Counter)
    first_sent: dict[str, float] = field(default_factory=dict)
    handed: dict[str, list[Handed]] = field(default_factory=lambda: defaultdict(list))
    bytes_of: dict[tuple[str, int], set[str]] = field(default_factory=lambda: defaultdict(set))
    ended: dict[str, float] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    slow: set[str] = field(default_factory=set)
    sign_outs: list[dict[str, Any]] = field(default_factory=list)
    accepted: list[dict[str, Any]] = field(default_factory=list)
    outlived: list[dict[str, Any]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def presented(self, token: str) -> None:
        self.first_sent.setdefault(token, time.time())

    def answered(self, token: str, successor: str, sent: float, received: float) -> None:
        """*token* was presented, and *successor* came back."""
        self.bytes_of[session_of(successor), generation_of(successor)].add(successor)
        self.handed[token].append(Handed(sent, received, generation_of(successor)))

    def rotations(self) -> int:
        """How many generations clients were handed beyond the first of a session."""
        return sum(generation > 1 for _, generation in self.bytes_of)

    def divergent(self, window: float) -> list[str]:
        """Successors of one refresh token that no FORK accounts for."""
        found = [f"two spellings of {key}" for key, them in self.bytes_of.items() if len(them) > 1]
        for token, handed in self.handed.items():
            name = f"{session_of(token)} generation {generation_of(token)}"
            own, first = generation_of(token), self.first_sent[token]
            found += [f"{name}: {why}" for why in _divergent(own, first, handed, window)]
        return found


def _divergent(own: int, first: float, handed: list[Handed], window: float) -> Iterable[str]:
    """
    Yield why the answers to one refresh token are not those of one session.

    A token is handed out again itself until it may rotate, then its successor. Another one takes
    the successor's place by a FORK, which is a whole grace later, and from then on for everybody.
    """
    earliest: dict[int, float] = {}
    for answer in handed:
        if answer.generation < own:
            yield f"answered with the older generation {answer.generation}"
        before = earliest.get(answer.generation, answer.received)
        earliest[answer.generation] = min(before, answer.received)
    successors = sorted(generation for generation in earliest if generation > own)
    for forks, generation in enumerate(successors):
        if earliest[generation] < first + forks * window:
            yield f"{successors} within one grace"
            break
    for answer in handed:
        newest = max((g for g, at in earliest.items() if at < answer.sent), default=own)
        if answer.generation < newest:
            yield f"generation {answer.generation} after {newest} had been handed out"
            break


@dataclass(frozen=True)
class Report:
    """
    The outcome.

    Attributes:
        facts: What is printed, in order.
        faults: What makes it red, by name.
        details: Some of each fault, at length.
    """

    facts: dict[str, object]
    faults: dict[str, int]
    details: list[str]

    @property
    def is_green(self) -> bool:
        return not any(self.faults.values())

    def __str__(self) -> str:
        rows = [*self.facts.items(), *self.faults.items()]
        width = max(len(name) for name, _ in rows)
        lines = [f"{name:<{width}}  {_number(value)}" for name, value in rows]
        return "\n".join([*lines, *self.details[:40], "GREEN" if self.is_green else "RED"])


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


class Diary:
    """What the workers wrote into their log."""

    def __init__(self, path: Path) -> None:
        lines = path.read_text().splitlines() if path.exists() else []
        self.entries: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def count(self, name: str, reason: str | None = None) -> int:
        named = [entry for entry in self.entries if entry["name"] == name]
        return sum(reason is None or entry.get("reason") == reason for entry in named)

    def slow(self) -> set[str]:
        """Sessions whose requests arrived too late."""
        return {entry["sid"] for entry in self.entries if entry["name"] == "slow"} - {None}

    def of(self, session_id: str, most: int = 25) -> list[str]:
        """The last that was told of a session while it lived."""
        told = [
            entry
            for entry in self.entries
            if entry.get("sid") == session_id and entry["name"] != "rejected"
        ]
        return [json.dumps(entry) for entry in told[-most:]]

    def could_not_poll(self, at: float, pid: int) -> bool:
        """Whether that process went by an old answer at that time, for want of a new one."""
        return any(
            entry["name"] == "store_unavailable"
            and entry["pid"] == pid
            and entry["reason"] == "revocations"
            and at - _POLL_PAUSE <= entry["at"] <= at
            for entry in self.entries
        )


def faults(ledger: Ledger, diary: Diary, window: float) -> tuple[dict[str, int], list[str]]:
    """Return how often what must not be has been, and the details."""
    beyond = ledger.slow | diary.slow()
    sign_outs = [entry for entry in ledger.sign_outs if entry["sid"] not in beyond]
    outlived = [e for e in ledger.outlived if not diary.could_not_poll(e["at"], e["pid"])]
    divergent = ledger.divergent(window)
    aside = [entry for entry in ledger.sign_outs if entry["sid"] in beyond]
    details = [f"set aside: {entry}" for entry in aside]
    details += [f"signed out: {entry}" for entry in sign_outs]
    for entry in [*sign_outs[:3], *aside[:1]]:
        details += [f"    {line}" for line in diary.of(entry["sid"])]
    details += [f"divergent: {text}" for text in divergent]
    details += [f"accepted after the sign-out: {entry}" for entry in ledger.accepted]
    details += [f"access token outlived its session: {entry}" for entry in outlived]
    details += [f"wrong: {text}" for text in ledger.wrong]
    numbers = {
        "honest sign-outs": len(sign_outs),
        "divergent successors": len(divergent),
        "refreshes after a revocation": len(ledger.accepted),
        "access tokens after the bound": len(outlived),
        "wrong answers": len(ledger.wrong),
    }
    return numbers, details
