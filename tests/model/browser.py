"""
The honest browser of rotation.md, section 3, against the shipped rotation functions.

One cookie jar in which the last Set-Cookie wins, and a few requests in flight that overtake each
other. A request is on its way to the server, presents the generation it was sent with, runs a
handler, advances, and its response travels back; each of the three legs takes at most a tick, and
up to `slow` ticks where a fault is spent on it. The faults are a budget for the whole run; the
number of refreshes is not bounded.

An app or SDK that calls the refresh endpoint is the same with one request in flight, alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from .explorer import TICK, Exploration, Step, explore
from .machine import ACCEPTED, Advanced, Machine, Row, Verdict
from .worlds import (
    Faults,
    Phase,
    Request,
    Scenario,
    Snapshot,
    World,
    added,
    rebased,
    rolled_back,
)

Moves = Iterator[tuple[Step, World | None]]

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
        row = Row(left=self.machine.idle, over=self.machine.lifetime)
        start = World(row, 0, 0, (), self.scenario.faults)
        return explore([start], self.moves)

    def moves(self, world: World) -> Moves:
        """Yield everything that may happen next; None is a sign-out."""
        yield from self._send(world)
        before: Request | None = None
        for index, request in enumerate(world.requests):
            if request != before:
                rest = world.requests[:index] + world.requests[index + 1 :]
                yield from self._proceed(world, request, rest)
            before = request
        for index in range(len(world.snapshots)):
            for shift, after in rolled_back(world, index):
                yield Step("roll back", shift=shift), after
        if world.faults.barrier and self.scenario.barrier_by != "handler" and not world.requests:
            yield from self._barrier(world, Request(Phase.RUNNING, 0, 0), ())
        later = self._tick(world)
        if later is not None:
            yield TICK, later

    def _send(self, world: World) -> Moves:
        scenario = self.scenario
        waited_for = [request.script for request in world.requests if not request.deaf]
        for host in self.machine.hosts:
            due = self._is_due(world.access, host)
            for script in (False, True) if scenario.script else (False,):
                room = waited_for.count(script) < (1 if script else scenario.in_flight)
                if room and (due or (scenario.eager and script == scenario.script)):
                    sent = Request(Phase.QUEUED, world.jar, host, script=script)
                    yield (
                        Step("script sends" if script else "send", world.jar),
                        world._replace(requests=added(world.requests, sent)),
                    )

    def _is_due(self, access: int, host: int) -> bool:
        """Whether *host* does not take the access token: it is over, or not yet valid."""
        leeway = self.scenario.leeway
        left = access - host * self.machine.skew
        return left <= 0 or (leeway is not None and left > self.scenario.ttl + leeway)

    def _proceed(self, world: World, request: Request, rest: tuple[Request, ...]) -> Moves:
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
        if world.faults.given_up and not request.deaf and request.phase <= Phase.RUNNING:
            faults = world.faults._replace(given_up=world.faults.given_up - 1)
            unheard = added(rest, request._replace(deaf=True))
            yield (
                Step("give up", request.offset),
                world._replace(requests=unheard, faults=faults),
            )

    def _present(self, world: World, request: Request, rest: tuple[Request, ...]) -> Moves:
        verdict, row = self.machine.present(world.row, request.offset, request.host)
        step = Step("present", request.offset, verdict)
        if verdict is Verdict.STALE and self.scenario.faults.barrier:
            yield step, world._replace(requests=rest)
        elif verdict in ACCEPTED:
            running = request._replace(
                phase=Phase.RUNNING,
                waited=0,
                verdict=verdict.value,
                access=self._access(request.host),
            )
            after = world._replace(row=row, requests=added(rest, running))
            yield from self._stored(world, step, after)
        else:
            yield step, None

    def _access(self, host: int) -> int:
        return self.scenario.ttl + host * self.machine.skew

    def _handed(self, request: Request) -> int:
        # After a slow handler the access token is minted again.
        once = self.scenario.mints_once or not request.waited
        return request.access if once else self._access(request.host)

    def _finish(self, world: World, request: Request, rest: tuple[Request, ...]) -> Moves:
        alone = self.scenario.is_alone(request)
        verdict = _VERDICTS[request.verdict]
        answer = self.machine.advance(
            world.row, request.offset, verdict, request.seen, request.host, alone=alone
        )
        yield from self._answer(world, request, rest, Step("advance", request.offset), answer)
        if self.scenario.unfinished:
            yield Step("abandon", request.offset), world._replace(requests=rest)
            upgraded = request._replace(
                phase=Phase.UPGRADED, offset=0, waited=0, verdict="", seen=0
            )
            yield (
                Step("upgrade", request.offset),
                world._replace(requests=added(rest, upgraded)),
            )
        if world.faults.barrier and self.scenario.barrier_by == "handler":
            yield from self._barrier(world, request, rest)

    def _barrier(self, world: World, request: Request, rest: tuple[Request, ...]) -> Moves:
        if self.scenario.barrier_alone and any(r.phase == Phase.ANSWERED for r in rest):
            return
        # The older access tokens are refused from here on, wherever they are.
        faults = world.faults._replace(barrier=world.faults.barrier - 1)
        raised = world._replace(access=0, faults=faults)
        spent = tuple([other._replace(access=0) for other in rest])
        answer = self.machine.barrier(world.row, request.host)
        if self.scenario.barrier_by == "server":
            answer = answer._replace(handed=None)
        fresh = request._replace(access=self.scenario.ttl)
        yield from self._answer(raised, fresh, spent, Step("barrier"), answer)

    def _answer(
        self,
        world: World,
        request: Request,
        rest: tuple[Request, ...],
        step: Step,
        answer: Advanced,
    ) -> Moves:
        after = world._replace(row=answer.row, requests=rest)
        after = rebased(after, answer.shift, self.scenario.oldest)
        step = step._replace(shift=answer.shift)
        if answer.handed is not None:
            step = step._replace(gives=answer.handed + answer.shift)
            if not request.deaf:
                response = Request(
                    Phase.ANSWERED,
                    answer.handed,
                    request.host,
                    access=self._handed(request),
                    script=request.script,
                )
                after = after._replace(requests=added(after.requests, response))
        yield from self._stored(world, step, after)

    def _stored(self, world: World, step: Step, after: World) -> Moves:
        yield step, after
        # A snapshot taken at any time since the last write is the row before this one.
        written = after.row != world.row or step.shift
        if written and len(after.snapshots) < after.faults.rollback:
            taken = Snapshot(world.row, -step.shift)
            yield step, after._replace(snapshots=(*after.snapshots, taken))

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
        snapshots = tuple([s._replace(row=self.machine.tick(s.row)) for s in world.snapshots])
        access = max(world.access - 1, 0)
        row = self.machine.tick(world.row)
        return World(row, world.jar, access, tuple(sorted(waiting)), faults, snapshots)
