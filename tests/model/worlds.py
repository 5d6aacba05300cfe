"""
What a run of the browser's model consists of: requests, faults, snapshots, and their sum.

Generations are counted from `current`, so all of them move when it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from .machine import Row


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
    given_up: int = 0
    """Calls that the client stops waiting for, while they are on their way to the server."""


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
    script: bool = False
    """A refresh that a script of the page asked for."""
    deaf: bool = False
    """Nobody waits for its response."""


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
    snapshots: tuple[Snapshot, ...] = ()
    """What the store may yet roll back to, the oldest first."""


@dataclass(frozen=True)
class Scenario:
    """
    What may go wrong, and the sizes of the model in ticks and requests.

    Attributes:
        unfinished: Requests may end without `advance`: handshakes, cacheable responses, crashes.
        barrier_alone: A barrier is raised only while no other response is on the wire.
        barrier_by: Who raises it: the "handler" of a refreshing request, another "call" of a client
            that has no refresh on its way, or the "server", which hands nobody the new tokens.
        script: A script of the page has its own refreshes, with the same jar and one at a time.
        alone: `advance` is told that the client is alone: of the script's, or without one of all.
        eager: The script, or without one the client, refreshes also while it need not.
        mints_once: An access token begins with the request, also after a slow handler.
        oldest: A store rolls back by at most this many generations.
        leeway: Ticks by which an access token may be from a host's future; None: any.
    """

    faults: Faults = NONE
    unfinished: bool = False
    barrier_alone: bool = True
    barrier_by: str = "handler"
    script: bool = False
    alone: bool = False
    eager: bool = False
    mints_once: bool = False
    ttl: int = 9
    slow: int = 6
    in_flight: int = 3
    usual: int = 1
    oldest: int = 3
    leeway: int | None = None

    def is_alone(self, request: Request) -> bool:
        """Whether *request* tells `advance` that nothing else is on its way."""
        return self.alone and request.script == self.script


def added(requests: tuple[Request, ...], another: Request) -> tuple[Request, ...]:
    """Return *requests* and *another*, in the one order that makes equal worlds equal."""
    return tuple(sorted((*requests, another)))


def rebased(world: World, shift: int, oldest: int) -> World:
    """
    Return *world* with every generation counted from a `current` that moved by *shift*.

    A snapshot that is more than *oldest* generations behind is forgotten, and its rollback with it.
    """
    if not shift:
        return world
    moved = [Snapshot(kept.row, kept.behind - shift) for kept in world.snapshots]
    snapshots = tuple([kept for kept in moved if kept.behind >= -oldest])
    rollbacks = world.faults.rollback - len(moved) + len(snapshots)
    return world._replace(
        jar=world.jar - shift,
        requests=_shifted(world.requests, shift),
        faults=world.faults._replace(rollback=rollbacks),
        snapshots=snapshots,
    )


def rolled_back(world: World, index: int) -> list[tuple[int, World]]:
    """
    Return the worlds, and by how much `current` moved, that the snapshot at *index* leads to.

    What is newer than the snapshot is gone; the store may come back to it, or to an older one.
    """
    chosen = world.snapshots[index]
    shift = chosen.behind
    faults = world.faults._replace(rollback=world.faults.rollback - 1)
    kept: list[tuple[Snapshot, ...]] = [()]
    if faults.rollback:
        kept += [(s._replace(behind=s.behind - shift),) for s in world.snapshots[: index + 1]]
    requests = _shifted(world.requests, shift)
    return [
        (shift, World(chosen.row, world.jar - shift, world.access, requests, faults, snapshots))
        for snapshots in kept
    ]


def _shifted(requests: tuple[Request, ...], shift: int) -> tuple[Request, ...]:
    shifted: list[Request] = []
    for request in requests:
        offset = request.offset - shift if request.phase != Phase.UPGRADED else 0
        seen = request.seen - shift if request.phase == Phase.RUNNING else 0
        shifted.append(request._replace(offset=offset, seen=seen))
    return tuple(sorted(shifted))
