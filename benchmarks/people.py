"""
Sessions as a site has them: any number, computed one by one, the same in every run.

A subject is a UUID with one to three sessions, two on average. Each was used at some time within
the last fourteen days, so idle ends are spread over the next fourteen; claims are small.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import replace

from asgi_refresh.claims import check_claims
from asgi_refresh.rotation import Verdict, advance
from asgi_refresh.sessions import Session, affinity
from benchmarks.browser import CLAIMS

DAY = 86400.0
IDLE, ABSOLUTE, WINDOW = 14 * DAY, 90 * DAY, 70.0
REFRESH_EVERY = 545.0  # seconds: an access token of ten minutes has less than one left

_OWNERS = (0, 1, 1, 2, 2, 2)  # of six sessions in a row


class People:
    """
    The sessions numbered from 0 on; *now* is when they are looked at.

    Args:
        now: Seconds since the epoch; it becomes the middle of that hour.
        seed: Other people with other ids.
    """

    def __init__(self, now: float, seed: int = 0) -> None:
        # Mid-hour: a store that sorts ends by the hour has half an hour of live ones to sift.
        self.now, self._seed = now // 3600.0 * 3600.0 + 1800.0, seed
        self._claims = check_claims(CLAIMS)

    def subject(self, number: int) -> str:
        """Return whose session *number* is."""
        owner = number // 6 * 3 + _OWNERS[number % 6]
        return str(uuid.UUID(bytes=self._dice(f"subject {owner}")[:16]))

    def session(self, number: int) -> Session:
        """Return session *number*, alive."""
        dice = self._dice(f"session {number}")
        return self._session(number, dice, self.now + 60.0 + _share(dice, 0) * (IDLE - 60.0))

    def ended(self, number: int) -> Session:
        """Return session *number* as one that went unused until it ended, an hour ago or less."""
        dice = self._dice(f"session {number}")
        return self._session(number, dice, self.now - _share(dice, 0) * 3600.0)

    def _session(self, number: int, dice: bytes, idle: float) -> Session:
        seen, subject = idle - IDLE, self.subject(number)
        created = seen - DAY - _share(dice, 4) * 60 * DAY
        current = 2 + int(_share(dice, 8) * 2000)
        return Session(
            id=affinity(subject) + dice[12:26].hex(),
            subject=subject,
            created_at=created,
            auth_time=created,
            expires_at=created + ABSOLUTE,
            idle_expires_at=idle,
            current=current,
            previous=current - 1,
            rotated_at=seen,
            claims=self._claims,
            device="Firefox on Linux",
            last_seen=seen,
            version=current,
        )

    def _dice(self, name: str) -> bytes:
        return hashlib.blake2b(f"{self._seed} {name}".encode(), digest_size=32).digest()


def _share(dice: bytes, place: int) -> float:
    return int.from_bytes(dice[place : place + 4]) / 2**32


def rotated(session: Session, now: float) -> Session:
    """Return *session* as a refresh at *now* writes it."""
    generation = session.current
    _, new = advance(
        session, generation, Verdict.CURRENT, generation, now=now, grace=WINDOW, idle=IDLE
    )
    return replace(new, version=session.version + 1)
