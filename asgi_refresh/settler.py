"""
Settling: read, decide, compare-and-set, and decide again where somebody was faster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from .denylist import Denylist
from .flight import Flight
from .grants import Look
from .rotation import Verdict
from .sessions import Revocation, Session
from .store import Store
from .tokens import AccessToken


@dataclass(frozen=True, slots=True)
class Retire:
    """Refuse the session's earlier access tokens, and *companion* whatever its generation."""

    companion: AccessToken | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """
    What a look comes to.

    Attributes:
        generation: The generation to hand out; None: nothing, this time.
        session: The session as it is now.
        rotated: Whether this call rotated it.
    """

    generation: int | None
    session: Session
    rotated: bool = False


class Advance(Protocol):
    """`rotation.advance` with the clock and the lifetimes filled in."""

    def __call__(
        self,
        session: Session,
        generation: int,
        verdict: Verdict,
        seen: int,
        *,
        alone: bool,
    ) -> tuple[int | None, Session]:
        """See `rotation.advance`."""
        ...


class Settler:
    """
    Brings `advance` and the store together.

    Args:
        store: Where sessions are kept.
        advance: The decision.
        revocation: Makes the revocation that ends a session now, by its id.
        denylist: Told of every retired access token; or None.
    """

    def __init__(
        self,
        store: Store,
        advance: Advance,
        revocation: Callable[[str], Revocation],
        denylist: Denylist | None,
    ) -> None:
        self._store, self._advance = store, advance
        self._revocation, self._denylist = revocation, denylist
        self._turns = Flight[Session | None]()

    async def settle(self, look: Look, *, alone: bool, retire: Retire | None) -> Settled | None:
        """
        Return what the response to *look* may carry; None: the session is no more.

        An answer is given only on a state of the store that is newer than this call: the session
        may have been ended since the look.
        """
        session, fresh = look.session, False
        while True:
            generation, advanced = self._advance(
                session, look.generation, look.verdict, look.seen, alone=alone
            )
            revocation = None
            if generation is not None and retire is not None:
                advanced, revocation = self._retire(advanced, generation, retire)
            if generation is None or (advanced is session and revocation is None):
                if fresh:
                    return Settled(generation, session)
                read = await self.reread(session)
            else:
                new = replace(advanced, version=session.version + 1)
                read = await self._write(session, new, revocation)
                if read is new:
                    return Settled(generation, new, new.current != session.current)
            if read is None:
                return None
            session, fresh = read, True

    async def reread(self, session: Session) -> Session | None:
        """Return the session as it is now, by a read that everyone who asks now shares."""
        return await self._turns.run(session.id, lambda _last: self._store.get(session.id))

    async def _write(
        self, old: Session, new: Session, revocation: Revocation | None
    ) -> Session | None:
        """
        Compare and set; return the session as it is after that: *new* itself, if it took.

        Callers of one session take turns; who waited behind a write does not try its own on a
        state that is known to be old.
        """

        async def turn(last: Session | None) -> Session | None:
            known_old = last is not None and last.version > old.version
            if not known_old and await self._store.replace(old, new, revocation):
                return new
            return await self._store.get(old.id)

        read = await self._turns.run(old.id, turn)
        if read is new and revocation is not None and self._denylist is not None:
            self._denylist.note(revocation)
        return read

    def _retire(
        self, session: Session, generation: int, retire: Retire
    ) -> tuple[Session, Revocation | None]:
        """
        Move `access_from` up to *generation*, and retire the companion that this does not reach.

        What is refused already is left alone: repeating a request writes nothing. So is the
        companion of a client that refreshes over and over; it ends by itself.
        """
        moved = session.access_from < generation
        if moved:
            session = replace(session, access_from=generation)
        companion = retire.companion
        if companion is not None and (
            companion.generation < session.access_from
            or self._denylist is None
            or self._denylist.refuses(companion)
            or self._denylist.is_full(session.id)
        ):
            companion = None
        if not moved and companion is None:
            return session, None
        revocation = self._revocation(session.id)
        return session, replace(
            revocation,
            access_from=session.access_from,
            jti=None if companion is None else companion.id,
        )
