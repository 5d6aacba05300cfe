"""
The mode with a store: generations rotate, an old one that comes back ends the session.

`rotation` decides, a store keeps; what is done here is to bring the two together: read, decide,
compare-and-set, and decide again if somebody was faster.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import NoReturn

import anyio

from .config import Config
from .denylist import Denylist
from .errors import AccessDeniedError, ReusedTokenError, RevokedTokenError, StoreUnavailable
from .events import Client, Event, EventHook, EventName
from .flight import Flight
from .grants import Grant, Look
from .kept import Kept
from .mint import Mint
from .rotation import ACCEPTED, Verdict, advance, barrier, present
from .sessions import FrozenDict, Session
from .settler import Retire, Settled, Settler
from .store import BoundedStore, Store
from .tokens import AccessToken, RefreshToken

_DEAD_FOR = 60.0  # seconds that a dead (session, generation) is remembered
_DEAD_MOST = 4096


class Rotating(Kept):
    """
    A `Mode` on a store; see `Kept` for its arguments.
    """

    def __init__(
        self,
        store: Store,
        mint: Mint,
        config: Config,
        emit: EventHook,
        denylist: Denylist | None,
        *,
        adopts: bool,
    ) -> None:
        super().__init__(store, mint, config, emit, denylist, adopts=adopts)
        self._looks = Flight[Look]()
        self._settler = Settler(store, self._advance, self.revocation, denylist)
        self._dead: dict[tuple[str, int], float] = {}

    # --- refreshing -----------------------------------------------------------------------------

    async def look(self, token: RefreshToken, *, client: Client | None) -> Look:
        """Read the session and decide what the presented generation is; one read for all."""
        key = (token.session_id, token.generation)
        with self._deadline():
            return await self._looks.run(key, lambda _last: self._look(token, client))

    async def _look(self, token: RefreshToken, client: Client | None) -> Look:
        self._refuse_known_dead(token)
        session, verdict = await self._present(token, client)
        session = self._mint.profile.restrict(session, token)
        _, ahead = self._advance(session, token.generation, verdict, session.current)
        try:
            minted = await self._mint.load(session, ends_at=ahead.ends_at)
        except AccessDeniedError:
            await self._end_as_kept(session, "claims_refused", client)
            raise RevokedTokenError(
                "load_claims ended the session", reason="claims_refused"
            ) from None
        return Look(session, minted, token.generation, verdict, session.current)

    async def _present(self, token: RefreshToken, client: Client | None) -> tuple[Session, Verdict]:
        while True:
            session = await self.store.get(token.session_id)
            if token.session is not None:
                session = await self._adoption.adopt(token, token.session, session, client)
            if session is None:
                raise self._dies(token)
            now, grace = self._mint.clock(), self._mint.window
            self._check_skew(session, now, client)
            verdict, marked = present(session, token.generation, now=now, grace=grace)
            if verdict is Verdict.DEAD:
                raise self._dies(token)
            if verdict is Verdict.STALE:
                raise RevokedTokenError("the token is from before a barrier", reason="stale_token")
            if verdict is Verdict.THEFT:
                await self._end_stolen(session, token, client)
            if marked is session:
                return session, verdict
            marked = replace(marked, version=session.version + 1)
            if await self.store.replace(session, marked):
                return marked, verdict

    async def _end_stolen(
        self, session: Session, token: RefreshToken, client: Client | None
    ) -> NoReturn:
        gap = f"generation {token.generation} of {session.current}"
        self._emit(Event("reused", session.subject, session.id, "theft", gap, client))
        with anyio.CancelScope(shield=True):  # a thief who hangs up at once is no less a thief
            await self._end_as_kept(session, "reused_token", client)
        self._remember_dead(token)
        raise ReusedTokenError

    async def settle(
        self,
        look: Look,
        *,
        client: Client | None,
        alone: bool = False,
        retire: Retire | None = None,
    ) -> Grant | None:
        """Rotate, or find what another request rotated to; one write for all."""
        with self._deadline():
            settled = await self._settler.settle(look, alone=alone, retire=retire)
        if retire is not None:
            with suppress(StoreUnavailable):  # the log grows with these: no login may ever come
                await self._purge()
        ended = settled is None or self._mint.clock() >= settled.session.ends_at
        self._emit(_settled_event(look, None if ended else settled, client))
        if settled is None or settled.generation is None:
            return None
        if retire is not None and retire.companion is not None:
            await self._end_stray(retire.companion, settled.session)
        session, minted = settled.session, look.minted
        if minted.token.generation < session.access_from or self._mint.is_old(minted):
            minted = self._mint.access(session, minted.claims)
        return Grant(session, minted, self._mint.refresh(session, settled.generation))

    async def _end_stray(self, companion: AccessToken, session: Session) -> None:
        """Refuse an access token of an earlier system, which is of no session."""
        stray = companion.session_id != session.id
        if stray and self.denylist is not None and not self.denylist.refuses(companion):
            lasts, subject = companion.expires_at, session.subject
            await self.end(companion.session_id, subject=subject, reason="retired", lasts=lasts)

    async def still_good(self, look: Look) -> bool:
        """Read the session once more: what was good at request time may be over."""
        with self._deadline():
            session = await self._settler.reread(look.session)
        token, now = look.minted.token, self._mint.clock()
        if session is None or token.generation < session.access_from:
            return False
        if token.expires_at > session.ends_at:  # nothing rotates, so the idle end stays
            return False
        verdict, _ = present(session, look.generation, now=now, grace=self._mint.window)
        return verdict in ACCEPTED

    async def barrier(
        self, session_id: str, claims: FrozenDict | None, *, step_up: bool = False
    ) -> Grant:
        """
        Begin a generation that no older token leads to; *step_up* begins `auth_time` anew.

        Raises:
            RevokedTokenError: There is no such session.
        """
        while True:
            session = await self.store.get(session_id)
            now = self._mint.clock()
            if session is None or now >= session.ends_at:
                raise RevokedTokenError("the session has ended", reason="session_ended")
            behind = barrier(session, now=now)
            if claims is not None:
                behind = replace(behind, claims=claims)
            if step_up:
                behind = replace(behind, auth_time=now)
            behind = replace(behind, version=session.version + 1)
            minted = await self._mint.load(behind)
            revocation = replace(self.revocation(session_id), access_from=behind.access_from)
            if await self.store.replace(session, behind, revocation):
                self._note(revocation)
                self._emit(Event("revoked", session.subject, session_id, "barrier"))
                return Grant(behind, minted, self._mint.refresh(behind, behind.current))

    # --- small print ----------------------------------------------------------------------------

    def _advance(
        self,
        session: Session,
        generation: int,
        verdict: Verdict,
        seen: int,
        *,
        alone: bool = False,
    ) -> tuple[int | None, Session]:
        mint = self._mint
        return advance(
            session,
            generation,
            verdict,
            seen,
            now=mint.clock(),
            grace=mint.window,
            idle=mint.idle_lifetime,
            alone=alone,
        )

    def _check_skew(self, session: Session, now: float, client: Client | None) -> None:
        if session.rotated_at is not None and session.rotated_at > now + self._leeway:
            ahead = f"rotated {session.rotated_at - now:.1f} s in this host's future"
            self._emit(
                Event("clock_skew", session.subject, session.id, detail=ahead, client=client)
            )

    def _dies(self, token: RefreshToken) -> RevokedTokenError:
        self._remember_dead(token)
        return RevokedTokenError("the session has ended", reason="session_ended")

    def _remember_dead(self, token: RefreshToken) -> None:
        if len(self._dead) >= _DEAD_MOST:
            self._dead.clear()
        self._dead[token.session_id, token.generation] = self._mint.clock() + _DEAD_FOR

    def _refuse_known_dead(self, token: RefreshToken) -> None:
        until = self._dead.get((token.session_id, token.generation))
        if until is not None and self._mint.clock() < until:
            raise RevokedTokenError("the session has ended", reason="session_ended")

    @contextmanager
    def _deadline(self) -> Generator[None]:
        try:  # each store call is bounded; this bounds the wait behind the calls of others
            with anyio.fail_after(2 * self._mint.timeout):
                yield
        except TimeoutError:
            raise StoreUnavailable("the store did not answer in time") from None


def rotating_on(
    store: Store, mint: Mint, config: Config, emit: EventHook, *, adopts: bool
) -> Rotating:
    """
    Return the mode for *store*, which may fail and hang as stores do.

    Raises:
        ConfigurationError: The settings are not fit for rotation.
    """
    config.check_rotating()
    bounded = BoundedStore(store, timeout=mint.timeout, emit=emit)
    denylist: Denylist | None = None
    if config.revocation != "refresh":
        live = config.revocation == "live"
        poll = config.revocation_poll.total_seconds() if live else None
        denylist = Denylist(bounded, mint.clock, max_age=poll, patience=2 * mint.timeout)
    return Rotating(bounded, mint, config, emit, denylist, adopts=adopts)


def _settled_event(look: Look, settled: Settled | None, client: Client | None) -> Event:
    name: EventName = "repeated"
    reason = look.verdict.value
    if settled is None:
        name, reason = "rejected", "session_ended"
    elif settled.generation is None:
        reason = "withheld"
    elif look.verdict in (Verdict.LATE, Verdict.FORK, Verdict.AHEAD):
        name = "recovered"
    elif settled.rotated:
        name = "refreshed"
    return Event(name, look.session.subject, look.session.id, reason, client=client)
