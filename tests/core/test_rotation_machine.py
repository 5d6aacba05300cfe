"""
Random interleavings of everything that can happen to one session, on the shipped pure functions.

Two machines. `Anyone` knows every token that was ever handed out, may make up more, and keeps
requests open as long as it likes: it checks what must hold against anybody (S). `Honest` is one
browser with one jar, whose faults are those of rotation.md 3: it must never be signed out (L).
Two hosts take part in both, and their clocks differ by the leeway; *grace* is W of the
configuration, the rotation grace widened by twice the leeway.

Of rotation.md 6, what the pure functions alone cannot show is tested elsewhere:

- S2, S3 for revoked rows: `test_issuer` (revoke between look and settle), `test_stores` (replace
  never inserts, kill -9). Here: for expired ones.
- S6 (a thief with continuous access is stopped): exhaustively in `tests/model` (thief).
- S9 (forged tokens cost no store call): `test_issuer`; the tokens themselves: the token tests.
- S10 (when cookies are deleted): the shell's tests. Here: an honest browser never meets a verdict
  that deletes.
- L-f (store outages): `test_issuer`. Here: a request that is lost at any point.
- The honest browser exhaustively, in every fault class: `tests/model` (browser).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from asgi_refresh.rotation import ACCEPTED, Verdict, advance, barrier, present
from asgi_refresh.sessions import Session

ROTATION_GRACE = 60.0
LEEWAY = 5.0
W = ROTATION_GRACE + 2 * LEEWAY
ACCESS = 600.0
REFRESH_BEFORE = 60.0
START = 1_800_000_000.0
HOSTS = {"true": 0.0, "ahead": LEEWAY}
MOMENTS = [0.0, 0.5, LEEWAY, 30.0, ROTATION_GRACE, W - LEEWAY, W, W + LEEWAY, 2 * W, ACCESS]
hosts = st.sampled_from(sorted(HOSTS))


def begun(*, idle: float, lifetime: float) -> Session:
    return Session(
        id="s",
        subject="alice",
        created_at=START,
        auth_time=START,
        expires_at=START + lifetime,
        idle_expires_at=START + idle,
    )


@dataclass
class Request:
    generation: int
    verdict: Verdict
    seen: int
    era: int
    """How often the store had been rolled back when it was presented."""


@dataclass
class History:
    """What has happened to the row, told independently of what the row says."""

    superseded: dict[int, float] = field(default_factory=dict)
    """When a generation stopped being the newest, by the true clock."""
    successors: dict[int, set[int]] = field(default_factory=dict)
    """What was handed out for a generation, itself not counted."""
    forks: dict[int, int] = field(default_factory=dict)
    origin: dict[int, tuple[int | None, bool]] = field(default_factory=dict)
    """Which presentation a generation came from, and whether by a fork."""
    rotations: list[float] = field(default_factory=list)
    late_marks: dict[int, int] = field(default_factory=dict)
    floor: int = 0
    """The generation of the last barrier."""


class Anyone(RuleBasedStateMachine):
    """Every token that was handed out, presented by anyone, at any time, to any host."""

    idle, lifetime = 4000.0, 20_000.0

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.row = begun(idle=self.idle, lifetime=self.lifetime)
        self.known = {1}
        self.open: list[Request] = []
        self.history = History()
        self.snapshots: list[Session] = []
        self.era = 0
        self.told = True
        """Whether the history tells all: no request from before a rollback has written since."""
        self.dead_since: float | None = None

    def clock(self, host: str) -> float:
        return self.now + HOSTS[host]

    # --- what happens -----------------------------------------------------------------------------

    @rule(seconds=st.sampled_from(MOMENTS))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(data=st.data(), host=hosts)
    def present(self, data: st.DataObject, host: str) -> None:
        newest = max(self.known)
        generation = data.draw(
            st.sampled_from(sorted(self.known)) | st.integers(newest - 4, newest + 1)
        )
        if generation > self.row.current and self.era == 0:
            return  # no one holds a token that was never made, unless the store lost it
        before, now = self.row, self.clock(host)
        verdict, after = present(before, generation, now=now, grace=W)
        self.check_present(before, after, generation, verdict, now)
        self.write(before, after)
        if verdict in ACCEPTED:
            self.open.append(Request(generation, verdict, before.current, self.era))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), host=hosts, alone=st.booleans())
    def advance(self, data: st.DataObject, host: str, alone: bool) -> None:
        request = data.draw(st.sampled_from(self.open))
        self.open.remove(request)
        before, now = self.row, self.clock(host)
        handed, after = advance(
            before,
            request.generation,
            request.verdict,
            request.seen,
            now=now,
            grace=W,
            idle=self.idle,
            alone=alone,
        )
        self.told = self.told and (request.era == self.era or after is before)
        self.check_advance(before, after, request, handed, now)
        if after.current > before.current:
            self.rotated(before, after, request)
        self.write(before, after)
        if handed is not None:
            self.known.add(handed)
            if handed != request.generation:
                self.history.successors.setdefault(request.generation, set()).add(handed)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        self.open.remove(data.draw(st.sampled_from(self.open)))

    @rule(host=hosts)
    def barrier(self, host: str) -> None:
        if self.clock(host) >= self.row.ends_at:
            return  # the caller asks that
        before = self.row
        after = barrier(before, now=self.clock(host))
        assert after.current == before.current + 1000
        assert after.access_from == after.current
        self.history.superseded[before.current] = self.now
        self.history.origin[after.current] = None, False
        self.history.floor = after.current
        self.history.rotations.clear()  # S11 counts rotations by refresh tokens
        self.row = after
        self.known.add(after.current)

    @rule()
    def remember(self) -> None:
        self.snapshots.append(self.row)

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def store_rollback(self, data: st.DataObject) -> None:
        self.row = data.draw(st.sampled_from(self.snapshots))
        self.snapshots.clear()
        self.era += 1
        self.told = True
        self.history = History(floor=self.row.access_from)

    # --- what must hold ---------------------------------------------------------------------------

    def check_present(
        self, before: Session, after: Session, generation: int, verdict: Verdict, now: float
    ) -> None:
        alive = now < before.ends_at
        alias = before.forked and generation == before.current - 1
        newest = {before.current, before.previous}
        if verdict in ACCEPTED:
            assert alive, "S1: minted for a session that is over"
            recent = before.rotated_at is not None and now < before.rotated_at + W
            assert generation in newest or generation > before.current or (alias and recent), (
                "S1: minted for a generation that nobody may still hold"
            )
            assert generation >= self.history.floor, "S8: minted from before a barrier"
        if not alive:
            assert verdict is Verdict.DEAD, "S3: an expired session came back"
        elif generation in newest:
            assert verdict in ACCEPTED, "L-b: the newest or its predecessor was refused"
        elif (
            before.previous is not None
            and generation < before.previous
            and not alias
            and (before.barrier_at is None or now >= before.barrier_at + W)
        ):
            assert verdict is Verdict.THEFT, "S5: an ancient token was not a theft"
        superseded = self.history.superseded.get(generation)
        within = superseded is not None and self.now - superseded <= ROTATION_GRACE
        if alive and within and self.told:
            if generation >= self.history.floor:
                assert verdict in ACCEPTED, "L-a: superseded within the grace, and refused"
            else:
                assert verdict is Verdict.STALE, "L-a: a barrier within the grace was a theft"
        if verdict in (Verdict.STALE, Verdict.THEFT, Verdict.DEAD):
            assert after is before, "only the caller ends a session"
        if alive and verdict is Verdict.STALE and self.era == 0:
            assert generation < self.history.floor, "STALE is for barriers"
        self.check_skew(before, generation)

    def check_skew(self, row: Session, generation: int) -> None:
        """L-g: hosts within the leeway differ only beyond the grace, never within."""
        verdicts = [
            present(row, generation, now=self.clock(host), grace=W)[0] for host in sorted(HOSTS)
        ]
        if len({verdict in ACCEPTED for verdict in verdicts}) == 2 and Verdict.DEAD not in verdicts:
            assert row.rotated_at is not None
            assert self.now - row.rotated_at >= ROTATION_GRACE - LEEWAY, "L-g: skew decided"

    def check_advance(
        self, before: Session, after: Session, request: Request, handed: int | None, now: float
    ) -> None:
        if now >= before.ends_at:
            assert handed is None, "S2: a session that was over by then gave a token"
            assert after is before, "S3: a session that was over was written to"
        if request.generation < self.history.floor and request.era == self.era:
            assert handed is None, "S8: handed out across a barrier"
        if handed is not None:
            assert handed == after.current, "S4: only the newest generation is handed out"
            assert handed >= request.generation, "S4: a generation was handed back"
        if now >= before.ends_at or handed is not None or not self.told:
            return
        # Nothing goes out only where another response has carried the successor, or could not.
        carried = before.current in self.history.successors.get(request.generation, ())
        if before.current == request.seen:
            assert carried, "L-e, L-h: nobody was faster, and it got nothing"
        in_grace = before.rotated_at is not None and now < before.rotated_at + W
        if request.generation == before.previous and in_grace:
            assert carried, "L-h: overtaken in grace, and it got nothing"
            assert now >= before.rotated_at + W / 2, "L-h: withheld in the first half of the grace"

    def rotated(self, before: Session, after: Session, request: Request) -> None:
        history = self.history
        ahead = request.verdict is Verdict.AHEAD
        if not ahead:
            assert after.current == before.current + 1, "S4: a generation was skipped"
            if history.rotations:
                since = self.now - history.rotations[-1]
                assert since >= ROTATION_GRACE + LEEWAY, "S11: two rotations within the interval"
            history.rotations.append(self.now)
        fork = request.verdict is Verdict.FORK
        origin = request.generation, fork
        assert history.origin.setdefault(after.current, origin) == origin, "S4: made twice"
        if fork:
            history.forks[request.generation] = history.forks.get(request.generation, 0) + 1
        # What lost writes leave behind is no generation that somebody got from this row.
        history.superseded[request.generation if ahead else before.current] = self.now
        assert after.rotated_at is not None
        assert before.rotated_at is None or after.rotated_at >= before.rotated_at

    def write(self, before: Session, after: Session) -> None:
        assert after.version == before.version, "the shell writes the version"
        assert after.current >= before.current, "S4: the newest generation went back"
        if after is not before and after.current == before.current:
            marks = self.history.late_marks
            marks[after.current] = marks.get(after.current, 0) + 1
            assert after.late == after.current, "only a late recovery writes without rotating"
            assert marks[after.current] == 1, "S11: marked late twice in one generation"
        self.row = after

    @invariant()
    def predecessors_are_older(self) -> None:
        row = self.row
        assert row.previous is None or row.previous < row.current, "S4"
        assert row.late <= row.current

    @invariant()
    def nothing_outlives_the_absolute_end(self) -> None:
        assert self.row.expires_at == START + self.lifetime, "S7: the absolute end moved"
        assert self.row.idle_expires_at <= self.row.expires_at, "S7"

    @invariant()
    def what_is_over_stays_over(self) -> None:
        if self.now >= self.row.ends_at and self.dead_since is None:
            self.dead_since = self.now
            self.dead_row = self.row
            self.dead_era = self.era
        if self.dead_since is not None and self.dead_era == self.era:
            assert self.row == self.dead_row, "S3: a session that is over changed"

    @invariant()
    def one_successor_unless_forked(self) -> None:
        if self.era:
            return
        for generation, handed in self.history.successors.items():
            allowed = 1 + self.history.forks.get(generation, 0)
            assert len(handed) <= allowed, f"S4: {generation} led to {sorted(handed)}"


class Phase:
    TRAVELLING, RUNNING, RETURNING = range(3)


@dataclass
class Trip:
    """One request of the browser, from its jar and back."""

    generation: int
    access_ends: float
    deadline: float
    """When the network or the server gets it on, unless it is one of the faults."""
    phase: int = Phase.TRAVELLING
    verdict: Verdict | None = None
    seen: int = 0
    carries: tuple[int, float] | None = None
    minted: float = 0.0


FAULTS = {
    # rotation.md 3: the columns of the table that P7 passes
    "L1 parallel only": {},
    "L2 one lost response": {"lost": 1},
    "L3 one slow handler": {"handler": 1},
    "L4 one queued request": {"queued": 1},
    "L5 one slow response": {"slow": 1},
    "L6 slow handler and lost": {"handler": 1, "lost": 1},
    "L7 queued and lost": {"queued": 1, "lost": 1},
    "L8 two lost": {"lost": 2},
    "L9 two queued": {"queued": 2},
    "L10 store rollback": {"rollback": 1},
}
TRANSIT = 15.0
"""Seconds that each leg of a trip takes at most, unless it is one of the faults."""
SLOW = 2 * W


class Honest(RuleBasedStateMachine):
    """One browser, one jar, up to three requests at a time, and the faults of one column."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.row = begun(idle=1e9, lifetime=1e9)
        self.jar = 1, START + ACCESS
        self.trips: list[Trip] = []
        self.budget: dict[str, int] = {}
        self.snapshot: Session | None = None

    @initialize(faults=st.sampled_from(sorted(FAULTS)))
    def choose(self, faults: str) -> None:
        self.budget = dict(FAULTS[faults])

    def spend(self, fault: str) -> bool:
        if self.budget.get(fault, 0) == 0:
            return False
        self.budget[fault] -= 1
        return True

    # --- what happens -----------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([*MOMENTS, ACCESS - REFRESH_BEFORE, 86_400.0]), host=hosts)
    def time_passes(self, seconds: float, host: str) -> None:
        end = self.now + seconds
        while due := [trip for trip in self.trips if trip.deadline <= end]:
            trip = min(due, key=lambda trip: trip.deadline)
            self.now = max(self.now, trip.deadline)
            self.step(trip, host)
        self.now = end

    @precondition(lambda self: len(self.trips) < 3)
    @rule(queued=st.booleans())
    def send(self, queued: bool) -> None:
        transit = SLOW if queued and self.spend("queued") else TRANSIT
        self.trips.append(Trip(*self.jar, deadline=self.now + transit))

    @precondition(lambda self: self.trips)
    @rule(data=st.data(), host=hosts)
    def go_on(self, data: st.DataObject, host: str) -> None:
        self.step(self.trips[data.draw(st.integers(0, len(self.trips) - 1))], host)

    @precondition(lambda self: self.trips)
    @rule(data=st.data())
    def be_slow(self, data: st.DataObject) -> None:
        trip = self.trips[data.draw(st.integers(0, len(self.trips) - 1))]
        fault = {Phase.RUNNING: "handler", Phase.RETURNING: "slow"}.get(trip.phase)
        if fault is not None and self.spend(fault):
            trip.deadline = self.now + SLOW

    @precondition(lambda self: any(trip.carries for trip in self.trips))
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        loaded = [trip for trip in self.trips if trip.carries]
        if self.spend("lost"):
            self.trips.remove(loaded[data.draw(st.integers(0, len(loaded) - 1))])

    @rule()
    def remember(self) -> None:
        if self.budget.get("rollback"):
            self.snapshot = self.row

    @precondition(lambda self: self.snapshot is not None)
    @rule()
    def roll_back(self) -> None:
        if self.spend("rollback"):
            assert self.snapshot is not None
            self.row = self.snapshot

    # --- a trip -----------------------------------------------------------------------------------

    def step(self, trip: Trip, host: str) -> None:
        trip.deadline = self.now + TRANSIT
        [self.arrive, self.answer, self.deliver][trip.phase](trip, self.now + HOSTS[host])

    def arrive(self, trip: Trip, now: float) -> None:
        if trip.access_ends - now >= REFRESH_BEFORE:
            self.trips.remove(trip)  # nothing is due: its response changes nothing
            return
        verdict, after = present(self.row, trip.generation, now=now, grace=W)
        assert verdict in ACCEPTED, f"S10, L-b, L-d, L-g: an honest browser met {verdict}"
        trip.verdict, trip.seen, trip.minted = verdict, self.row.current, now + ACCESS
        trip.phase = Phase.RUNNING
        self.row = after

    def answer(self, trip: Trip, now: float) -> None:
        assert trip.verdict is not None
        handed, self.row = advance(
            self.row,
            trip.generation,
            trip.verdict,
            trip.seen,
            now=now,
            grace=W,
            idle=1e9,
        )
        trip.carries = None if handed is None else (handed, trip.minted)
        trip.phase = Phase.RETURNING

    def deliver(self, trip: Trip, _now: float) -> None:
        self.trips.remove(trip)
        if trip.carries is not None:
            self.jar = trip.carries

    @invariant()
    def the_jar_is_accepted_everywhere(self) -> None:
        for offset in HOSTS.values():
            verdict, _ = present(self.row, self.jar[0], now=self.now + offset, grace=W)
            assert verdict in ACCEPTED, f"L-b, L-c, L-d, L-e: the jar would be {verdict}"


TestAnyone = Anyone.TestCase
TestAnyone.settings = settings(stateful_step_count=60)
TestHonest = Honest.TestCase
TestHonest.settings = settings(stateful_step_count=60)
