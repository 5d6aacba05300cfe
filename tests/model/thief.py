"""
The thief of rotation.md, section 4, against the shipped rotation functions.

The thief copies the victim's newest refresh token once. From then on both refresh, the victim when
its access token has run out, the thief whenever it likes, with any token it owns. A joint round is
a gap between two refreshes of the victim in which the thief minted, and which the victim's next
refresh survived: both have had access. The search finds the longest run of joint rounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from .explorer import TICK, Exploration, Step, explore
from .machine import ACCEPTED, Machine, Row, Verdict


class Held(NamedTuple):
    """A request of the thief that has presented its token and not yet advanced."""

    offset: int
    verdict: str
    seen: int
    host: int
    counted: bool
    """Whether it has been counted as in grace."""


class Heist(NamedTuple):
    """Everything that decides what may happen next."""

    row: Row
    jar: int
    """The generation that the victim holds."""
    since: int = 0
    """Ticks since the victim's last refresh, at most the access lifetime."""
    owned: tuple[int, ...] = (0,)
    """The generations that the thief holds, but for those that would give it away."""
    held: tuple[Held, ...] = ()
    uses: tuple[int, ...] = ()
    """The ages of the thief's uses that the victim may still turn out to be in grace of."""
    presented: int = 0
    """The thief's presentations in this gap."""
    minted: bool = False
    rounds: int = 0
    in_grace: int = 0
    """How many uses in grace the thief still has."""


@dataclass(frozen=True)
class Plan:
    """
    What the thief may do.

    Attributes:
        in_grace: How often it acts within W (and the skew) of a use of the victim's.
        holds: How many requests it keeps open at a time, between `present` and `advance`.
        per_gap: How many tokens it presents between two refreshes of the victim.
        skips: It may leave gaps out; such a gap is no joint round.
        by_cookie: It has had access in a gap only if it got a cookie, else already if a request of
            its was let in.
        thief_alone: The thief calls the refresh endpoint, where `advance` is told that the client
            is alone: an app, an SDK, a second copy of the token.
        victim_alone: So does the victim.
        rounds: The joint rounds after which it counts as undetected.
    """

    in_grace: int = 0
    holds: int = 0
    per_gap: int = 2
    skips: bool = False
    by_cookie: bool = False
    thief_alone: bool = False
    victim_alone: bool = False
    rounds: int = 6
    ttl: int = 9


ALWAYS: Final = 99
"""In grace as often as the thief likes."""
_VERDICTS: Final = {verdict.value: verdict for verdict in Verdict}


@dataclass(frozen=True)
class Thief:
    """All interleavings of one thief and one victim under *plan*."""

    machine: Machine
    plan: Plan

    def explore(self) -> Exploration:
        """Search for a thief who stays undetected; `best` is its longest run of joint rounds."""
        return explore(self._starts(), self.moves, lambda heist: heist.rounds)

    def _starts(self) -> Iterator[Heist]:
        """Yield the moments of the theft: every row that an honest victim's refresh leaves."""
        yield Heist(Row(), jar=0, in_grace=self.plan.in_grace)
        for late in range(3):
            for age in range(-self.machine.skew, 1):
                yield Heist(Row(1, age, late), jar=0, in_grace=self.plan.in_grace)
                if late == 0:
                    forked = Row(2, age, late, forked=True)
                    yield Heist(forked, jar=0, in_grace=self.plan.in_grace)

    def moves(self, heist: Heist) -> Iterator[tuple[Step, Heist | None]]:
        """Yield everything that may happen next; None is a thief who got away with it."""
        for host in self.machine.hosts:
            if heist.since >= self.plan.ttl and (heist.minted or self.plan.skips):
                yield from self._victim(heist, host)
            if heist.presented < self.plan.per_gap:
                for offset in heist.owned:
                    yield from self._present(heist, offset, host)
        for index, request in enumerate(heist.held):
            rest = heist.held[:index] + heist.held[index + 1 :]
            yield from self._close(heist, request, rest)
        yield TICK, self._tick(heist)

    def _victim(self, heist: Heist, host: int) -> Iterator[tuple[Step, Heist | None]]:
        left = _spent(heist.in_grace, len(heist.uses))
        if left < 0:
            return
        verdict, row = self.machine.present(heist.row, heist.jar, host)
        step = Step("victim", heist.jar, verdict)
        rounds = heist.rounds + heist.minted
        if verdict not in ACCEPTED:
            yield step, self._over(heist)
            return
        handed, row, shift = self.machine.advance(
            row, heist.jar, verdict, 0, host, alone=self.plan.victim_alone
        )
        after = heist._replace(
            row=row,
            jar=heist.jar - shift if handed is None else handed,
            since=0,
            uses=(),
            presented=0,
            minted=False,
            rounds=rounds,
            in_grace=left,
        )
        step = step._replace(gives=None if handed is None else handed + shift, shift=shift)
        done = rounds >= self.plan.rounds
        yield step, None if done else self._rebased(after, shift, jar=False)

    def _present(self, heist: Heist, offset: int, host: int) -> Iterator[tuple[Step, Heist | None]]:
        counted = self._counted(heist)
        if counted is None:
            return
        verdict, row = self.machine.present(heist.row, offset, host)
        step = Step("thief opens", offset, verdict)
        if verdict not in ACCEPTED:
            yield step, self._over(heist)
            return
        minted = heist.minted or not self.plan.by_cookie
        after = counted._replace(row=row, presented=heist.presented + 1, minted=minted)
        request = Held(offset, verdict.value, 0, host, counted=self._near(heist))
        yield from self._advance(after, request, Step("thief", offset, verdict))
        if len(heist.held) < self.plan.holds:
            yield step, after._replace(held=tuple(sorted((*after.held, request))))

    def _close(
        self, heist: Heist, request: Held, rest: tuple[Held, ...]
    ) -> Iterator[tuple[Step, Heist | None]]:
        counted = heist if request.counted else self._counted(heist)
        if counted is not None:
            closing = counted._replace(held=rest)
            yield from self._advance(closing, request, Step("thief closes", request.offset))

    def _advance(self, heist: Heist, request: Held, step: Step) -> Iterator[tuple[Step, Heist]]:
        verdict = _VERDICTS[request.verdict]
        handed, row, shift = self.machine.advance(
            heist.row,
            request.offset,
            verdict,
            request.seen,
            request.host,
            alone=self.plan.thief_alone,
        )
        after = self._rebased(heist._replace(row=row), shift)
        if handed is not None:
            owned = tuple(sorted({*after.owned, handed}))
            after = after._replace(owned=owned, minted=True)
            step = step._replace(gives=handed + shift)
        yield step._replace(shift=shift), after

    def _counted(self, heist: Heist) -> Heist | None:
        """Return *heist* with a use at this moment accounted for, None where it may not be made."""
        if self._near(heist):
            left = _spent(heist.in_grace, 1)
            return None if left < 0 else heist._replace(in_grace=left)
        return heist._replace(uses=tuple(sorted((*heist.uses, 0))))

    def _near(self, heist: Heist) -> bool:
        return heist.since < self._window

    @property
    def _window(self) -> int:
        return self.machine.grace + self.machine.skew

    def _over(self, heist: Heist) -> Heist:
        """Return the end: the session is revoked, nobody does anything any more."""
        return Heist(Row(), jar=-ALWAYS, owned=(), presented=self.plan.per_gap, rounds=heist.rounds)

    def _rebased(self, heist: Heist, shift: int, *, jar: bool = True) -> Heist:
        # A token older than `previous`, and no alias of a fork, would only give the thief away, and
        # a request held with one would get nothing; which rotation outran a request is no matter.
        oldest = -1 if heist.row.lag is None else -heist.row.lag
        held = [
            request._replace(offset=request.offset - shift, seen=max(request.seen - shift, -1))
            for request in heist.held
            if request.offset - shift >= oldest
        ]
        return heist._replace(
            jar=heist.jar - shift if jar else heist.jar,
            owned=tuple([owned - shift for owned in heist.owned if owned - shift >= oldest]),
            held=tuple(sorted(held)),
        )

    def _tick(self, heist: Heist) -> Heist:
        return heist._replace(
            row=self.machine.tick(heist.row),
            since=min(heist.since + 1, self.plan.ttl),
            uses=tuple([age + 1 for age in heist.uses if age + 1 < self._window]),
        )


def _spent(in_grace: int, uses: int) -> int:
    return ALWAYS if in_grace == ALWAYS else in_grace - uses


def ancient_verdicts(machine: Machine) -> set[Verdict]:
    """Return what tokens older than `previous` get: in every row, at every age, on every host."""
    rows = [
        Row(lag, age, late, forked=lag == 2)
        for lag in (1, 2)
        for age in range(-machine.skew, machine.grace + 1)
        for late in range(3)
    ]
    return {
        machine.present(row, -row.lag - older, host)[0]
        for row in rows
        if row.lag is not None
        for older in range(1, 5)
        for host in machine.hosts
    }
