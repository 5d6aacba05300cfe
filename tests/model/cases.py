"""
Cells beside the table: clients that refresh explicitly, clocks too far apart, and limits.

An app or SDK has its own refresh token and one call on its way; whoever shares a token with
somebody else is two holders, which is the thief's table. A script of a page shares the jar.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from .browser import Browser
from .invariants import FORGETFUL
from .machine import Machine
from .worlds import Faults, Scenario


@dataclass(frozen=True)
class Case:
    """A cell: its model, and why it signs the client out; None: it does not."""

    browser: Browser
    limit: str | None = None


_APP: Final = Scenario(in_flight=1, alone=True)
_HASTY_APP: Final = replace(_APP, eager=True)
_SCRIPT: Final = Scenario(in_flight=2, script=True)
_HASTY_SCRIPT: Final = replace(_SCRIPT, eager=True)
_POSING: Final = replace(_SCRIPT, alone=True)
_BARRIER_LOST: Final = "the response with the barrier's tokens must arrive"
_ABANDONED: Final = (
    "L-b: late in two generations running, and the fork's response goes to nobody: the call was "
    "given up, and reached the server when its successor was long in use"
)
_TWO_GENERATIONS: Final = (
    "two generations in one transit: the two slow legs together outlast an access token that is "
    "minted with the request, so its slow handler is time that it loses"
)
_HASTY: Final = (
    "who refreshes without need has no access lifetime between two rotations, and the second one "
    "comes W after the first: a request that was sent before it is two generations behind"
)
_NOT_ALONE: Final = (
    "`alone` of a client that is not: in the second half of the grace it is handed what a fork "
    "then voids, and that lands last"
)


def _case(
    scenario: Scenario, limit: str | None = None, *, machine: Machine | None = None, **faults: int
) -> Case:
    machine = machine or Machine(4)
    if faults.get("rollback"):
        machine = replace(machine, exempt=machine.exempt | FORGETFUL)
    return Case(Browser(machine, replace(scenario, faults=Faults(**faults))), limit)


_IDLE_BARRIER: Final = replace(_APP, barrier_by="call")
EXPLICIT: Final = {
    "app": _case(_APP),
    "app: two lost": _case(_APP, lost=2),
    "app: eight lost": _case(_APP, lost=8),
    "app: rollback": _case(_APP, rollback=1),
    "app: two rollbacks": _case(_APP, rollback=2),
    "app: rollback, two lost": _case(_APP, rollback=1, lost=2),
    "app: each leg slow": _case(_APP, slow_queue=1, slow_handler=1, slow_response=1, lost=1),
    "app: barrier": _case(_IDLE_BARRIER, barrier=1),
    "app: barrier, rollback": _case(_IDLE_BARRIER, barrier=1, rollback=1),
    "app: barrier, lost": _case(_IDLE_BARRIER, _BARRIER_LOST, barrier=1, lost=1),
    "app: barrier of the server": _case(
        replace(_APP, barrier_by="server"), _BARRIER_LOST, barrier=1
    ),
    "app: two given up": _case(_APP, given_up=2),
    "app: given up, queued": _case(_APP, given_up=1, slow_queue=1),
    "app: given up, queued, lost": _case(_APP, _ABANDONED, given_up=1, slow_queue=1, lost=1),
    "hasty app: eight lost": _case(_HASTY_APP, lost=8),
    "hasty app: rollback, two lost": _case(_HASTY_APP, rollback=1, lost=2),
    "hasty app: given up": _case(_HASTY_APP, given_up=1),
    "hasty app: two given up": _case(_HASTY_APP, _HASTY, given_up=2),
    "hasty app: given up, queued": _case(_HASTY_APP, _HASTY, given_up=1, slow_queue=1),
    "script": _case(_SCRIPT),
    "script: two lost": _case(_SCRIPT, lost=2),
    "script: queued and lost": _case(_SCRIPT, slow_queue=1, lost=1),
    "script: rollback": _case(_SCRIPT, rollback=1),
    "script: barrier": _case(_SCRIPT, barrier=1),
    "script alone: lost": _case(_POSING, lost=1),
    "script alone: two lost": _case(_POSING, _NOT_ALONE, lost=2),
    "script alone: queued and lost": _case(_POSING, _NOT_ALONE, slow_queue=1, lost=1),
    "hasty script": _case(_HASTY_SCRIPT, _HASTY),
    "hasty script: lost": _case(_HASTY_SCRIPT, _HASTY, lost=1),
    "hasty script, no legs": _case(replace(_HASTY_SCRIPT, usual=0)),
}
"""An app or SDK alone; a page's script beside the browser's requests; and what neither may do."""

_APART: Final = Scenario(ttl=13, slow=8, usual=0, leeway=1)
_EARLY: Final = (
    "the host behind does not yet take the access token of the one ahead, so on the heels of a "
    "late recovery comes a rotation"
)


def _clocks(skew: int) -> Machine:
    return Machine(4 + 2 * 1, skew=skew)


CLOCKS: Final = {
    "a leeway apart": _case(_APART, machine=_clocks(1), lost=1),
    "two leeways apart": _case(_APART, machine=_clocks(2)),
    "two leeways apart: lost": _case(_APART, _EARLY, machine=_clocks(2), lost=1),
    "two leeways apart, tokens taken": _case(
        replace(_APART, leeway=None), machine=_clocks(2), lost=1
    ),
    "W apart": _case(
        _APART,
        "the host ahead takes every rotation for W old: it rotates again",
        machine=_clocks(6),
    ),
}
"""Hosts whose clocks differ by the leeway, a tick, and by more. W is 6."""

_INSTANT: Final = Scenario(usual=0)
OTHERS: Final = {
    "barrier overtaken": _case(
        replace(_INSTANT, barrier_alone=False),
        "a response from before a barrier lands after the barrier's own",
        barrier=1,
    ),
    "queued and slow, minted once": _case(
        replace(_INSTANT, mints_once=True), _TWO_GENERATIONS, slow_queue=1, slow_handler=1
    ),
    "same, long access": _case(
        replace(_INSTANT, mints_once=True, ttl=14), slow_queue=1, slow_handler=1
    ),
    "no access, no fault": _case(replace(_INSTANT, ttl=0)),
    "no access, lost": _case(replace(_INSTANT, ttl=0), _HASTY, lost=1),
}
"""What bounds the table."""

CASES: Final = EXPLICIT | CLOCKS | OTHERS
