"""
The honest browser of rotation.md, section 3, against the shipped rotation functions.

One cookie jar in which the last Set-Cookie wins, and a few requests in flight that overtake each
other. A request is on its way to the server, presents the generation it was sent with, runs a
handler, advances, and its response travels back; each of the three legs takes at most a tick, and
up to `slow` ticks where a fault is spent on it. The faults are a budget for the whole run; the
number of refreshes is not bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from .explorer import TICK, Exploration, Step, explore
from .machine import ACCEPTED, Advanced, Machine, Row, Verdict


class Phase(IntEnum):
    """Where a request is."""

    QUEUED = 0
    RUNNING = 1
    ANSWERED = 2
    """Its response is on the wire, with both cookies."""
    UPGRADED = 3
    """The same with an access cookie alone: a handshake, which never advances."""


class Faults(NamedTuple):
    """How many of each may still happen; the first three by the phase that they slow down."""

    slow_queue: int = 0
    slow_handler: int = 0
    slow_response: int = 0
    lost: int = 0
    rollback: int = 0
    barrier: int = 0


NONE: Final = Faults()


class Request(NamedTuple):
    """A request in flight; what a later phase does not need is zero, so that twins are equal."""

    phase: int
    offset: int
    """The generation it carries, or its response does."""
    host: int
    waited: int = 0
    """Ticks in this phase."""
    verdict: str = ""
    seen: int = 0
    access: int = 0
    """Ticks left of the access token that it will deliver."""


class Snapshot(NamedTuple):
    """What the store held a while ago."""

    row: Row
    behind: int
    """The newest generation then, less the newest one now."""


class World(NamedTuple):
    """Everything that decides what may happen next."""

    row: Row
    jar: int
    access: int
    requests: tuple[Request, ...]
    faults: Faults
    snapshot: Snapshot | None = None


@dataclass(frozen=True)
class Scenario:
    """
    What may go wrong, and the sizes of the model in ticks and requests.

    Attributes:
        unfinished: Requests may end without `advance`: handshakes, cacheable responses, crashes.
        barrier_alone: A barrier is raised only while no other response is on the wire.
        oldest: A store rolls back by at most this many generations.
    """

    faults: Faults = NONE
    unfinished: bool = False
    barrier_alone: bool = True
    ttl: int = 9
    slow: int = 6
    in_flight: int = 3
    usual: int = 1
    oldest: int = 3


_SPEND: Final = (
    Faults(slow_queue=1),
    Faults(slow_handler=1),
    Faults(slow_response=1),
    Faults(slow_response=1),
)
_VERDICTS: Final = {verdict.value: verdict for verdict in Verdict}


@dataclass(frozen=True)
class Browser:
    """All interleavings of one browser with the server under *scenario*."""

    machine: Machine
    scenario: Scenario

    def explore(self) -> Exploration:
        """Search for an interleaving that signs the browser out."""
        row = Row(left=self.machine.idle)
        start = World(row, 0, 0, (), self.scenario.faults)
        return explore([start], self.moves)

    def moves(self, world: World) -> Iterator[tuple[Step, World | None]]:
        """Yield everything that may happen next; None is a sign-out."""
        if len(world.requests) < self.scenario.in_flight:
            for host in self.machine.hosts:
                if world.access <= host * self.machine.skew:
                    sent = Request(Phase.QUEUED, world.jar, host)
                    yield (
                        Step("send", world.jar),
                        world._replace(requests=_sorted(world.requests, sent)),
                    )
        before: Request | None = None
        for index, request in enumerate(world.requests):
            if request != before:
                rest = world.requests[:index] + world.requests[index + 1 :]
                yield from self._proceed(world, request, rest)
            before = request
        if world.snapshot is not None:
            yield _roll_back(world, world.snapshot)
        later = self._tick(world)
        if later is not None:
            yield TICK, later

    def _proceed(
        self, world: World, request: Request, rest: tuple[Request, ...]
    ) -> Iterator[tuple[Step, World | None]]:
        if request.phase == Phase.QUEUED:
            yield from self._present(world, request, rest)
        elif request.phase == Phase.RUNNING:
            yield from self._finish(world, request, rest)
        else:
            jar = request.offset if request.phase == Phase.ANSWERED else world.jar
            yield (
                Step("deliver", jar),
                world._replace(jar=jar, access=request.access, requests=rest),
            )
            if world.faults.lost:
                faults = world.faults._replace(lost=world.faults.lost - 1)
                yield Step("lose", request.offset), world._replace(requests=rest, faults=faults)

    def _present(
        self, world: World, request: Request, rest: tuple[Request, ...]
    ) -> Iterator[tuple[Step, World | None]]:
        verdict, row = self.machine.present(world.row, request.offset, request.host)
        step = Step("present", request.offset, verdict)
        if verdict is Verdict.STALE and self.scenario.faults.barrier:
            yield step, world._replace(requests=rest)
        elif verdict in ACCEPTED:
            running = Request(
                Phase.RUNNING,
                request.offset,
                request.host,
                verdict=verdict.value,
                access=self.scenario.ttl + request.host * self.machine.skew,
            )
            after = world._replace(row=row, requests=_sorted(rest, running))
            yield from self._stored(world, step, after)
        else:
            yield step, None

    def _finish(
        self, world: World, request: Request, rest: tuple[Request, ...]
    ) -> Iterator[tuple[Step, World | None]]:
        verdict = _VERDICTS[request.verdict]
        answer = self.machine.advance(
            world.row, request.offset, verdict, request.seen, request.host
        )
        yield from self._answer(world, request, rest, Step("advance", request.offset), answer)
        if self.scenario.unfinished:
            yield Step("abandon", request.offset), world._replace(requests=rest)
            upgraded = Request(Phase.UPGRADED, 0, request.host, access=request.access)
            yield (
                Step("upgrade", request.offset),
                world._replace(requests=_sorted(rest, upgraded)),
            )
        if world.faults.barrier and not (
            self.scenario.barrier_alone and any(r.phase == Phase.ANSWERED for r in rest)
        ):
            # The older access tokens are refused from here on, wherever they are.
            raised = world._replace(access=0, faults=world.faults._replace(barrier=0))
            spent = tuple([other._replace(access=0) for other in rest])
            answer = self.machine.barrier(world.row, request.host)
            fresh = request._replace(access=self.scenario.ttl)
            yield from self._answer(raised, fresh, spent, Step("barrier"), answer)

    def _answer(
        self,
        world: World,
        request: Request,
        rest: tuple[Request, ...],
        step: Step,
        answer: Advanced,
    ) -> Iterator[tuple[Step, World | None]]:
        after = self._rebased(world._replace(row=answer.row, requests=rest), answer.shift)
        step = step._replace(shift=answer.shift)
        if answer.handed is not None:
            step = step._replace(gives=answer.handed + answer.shift)
            response = Request(Phase.ANSWERED, answer.handed, request.host, access=request.access)
            after = after._replace(requests=_sorted(after.requests, response))
        yield from self._stored(world, step, after)

    def _stored(
        self, world: World, step: Step, after: World
    ) -> Iterator[tuple[Step, World | None]]:
        yield step, after
        # A snapshot taken at any time since the last write is the row before this one.
        if world.faults.rollback and world.snapshot is None and after.row != world.row:
            yield step, after._replace(snapshot=Snapshot(world.row, -step.shift))

    def _rebased(self, world: World, shift: int) -> World:
        """Return *world* with every generation counted from a `current` that moved by *shift*."""
        if not shift:
            return world
        snapshot, faults = world.snapshot, world.faults
        if snapshot is not None:
            snapshot = Snapshot(snapshot.row, snapshot.behind - shift)
            if snapshot.behind < -self.scenario.oldest:
                snapshot, faults = None, faults._replace(rollback=0)
        return world._replace(
            jar=world.jar - shift,
            requests=_shifted(world.requests, shift),
            faults=faults,
            snapshot=snapshot,
        )

    def _tick(self, world: World) -> World | None:
        faults = world.faults
        waiting: list[Request] = []
        for request in world.requests:
            waited = request.waited + 1
            if waited > self.scenario.slow:
                return None
            if waited == self.scenario.usual + 1:
                faults = Faults(*map(int.__sub__, faults, _SPEND[request.phase]))
            access = max(request.access - 1, 0)
            waiting.append(request._replace(waited=waited, access=access))
        if min(faults) < 0:
            return None
        row, snapshot = self.machine.tick(world.row), world.snapshot
        if snapshot is not None:
            snapshot = Snapshot(self.machine.tick(snapshot.row), snapshot.behind)
        access = max(world.access - 1, 0)
        return World(row, world.jar, access, tuple(sorted(waiting)), faults, snapshot)


def _sorted(requests: tuple[Request, ...], another: Request) -> tuple[Request, ...]:
    return tuple(sorted((*requests, another)))


def _shifted(requests: tuple[Request, ...], shift: int) -> tuple[Request, ...]:
    shifted: list[Request] = []
    for request in requests:
        offset = request.offset - shift if request.phase != Phase.UPGRADED else 0
        seen = request.seen - shift if request.phase == Phase.RUNNING else 0
        shifted.append(request._replace(offset=offset, seen=seen))
    return tuple(sorted(shifted))


def _roll_back(world: World, snapshot: Snapshot) -> tuple[Step, World]:
    shift = snapshot.behind
    return Step("roll back", shift=shift), World(
        snapshot.row,
        world.jar - shift,
        world.access,
        _shifted(world.requests, shift),
        world.faults._replace(rollback=0),
    )
