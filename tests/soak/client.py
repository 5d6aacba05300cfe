"""
An honest browser: one cookie jar, many requests at once, a bad connection.

It stays within what the protocol promises for: the last response that was read wins, responses get
lost at any rate, a request is repeated at any later time; but none is on its way for longer than a
grace (`Plan.slow`): sessions to which that happened, because the machine was busy, are set aside.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import wire
from .app import ACCESS, REFRESH
from .ledger import generation_of, session_of
from .wire import Answer

if TYPE_CHECKING:
    from .run import Run

_OUTAGES = {"store_unavailable"}
_DROPPED, _CUT = 0.06, 0.04  # of all responses
_TUNNELS = (0.08, 0.6)  # of all bursts: no response gets through; on a good and a bad line
_TURNS = 0.15  # after a burst a good line turns bad, or the other way round
_SIGNS_OUT = 0.12  # after a burst


class Jar:
    """The cookies of one site, with their Max-Age."""

    def __init__(self) -> None:
        self._cookies: dict[str, tuple[str, float]] = {}

    def process(self, cookies: Mapping[str, tuple[str, int | None]]) -> None:
        for name, (value, age) in cookies.items():
            self._cookies[name] = (value, float("inf") if age is None else time.time() + age)

    def values(self) -> dict[str, str]:
        now = time.time()
        return {name: value for name, (value, end) in self._cookies.items() if now < end}

    def left(self) -> float:
        """Seconds until the access cookie is over."""
        return max(0.0, self._cookies.get(ACCESS, ("", 0.0))[1] - time.time())


class Client:
    """One user on one browser."""

    def __init__(self, name: str, run: Run, seed: int) -> None:
        self.name, self._run, self._ledger = name, run, run.ledger
        self._rng = random.Random(seed)
        self.jar = Jar()
        self.session: str | None = None
        self._is_bad_line = False
        self._tokens: list[str] = []  # every refresh token of the session, oldest first

    async def live(self) -> None:
        while not self._run.is_over:
            if self.session is None:
                await self.sign_in()
                continue
            await self.burst()
            if self.session is not None and self._rng.random() < _SIGNS_OUT:
                await self.sign_out()
            await self._rest()

    # --- signing in and out ---------------------------------------------------------------------

    async def sign_in(self) -> None:
        """Sign in; where the response gets lost, once more."""
        answer = await self._ask(f"/login?subject={self.name}", {}, method="POST")
        if answer is None or answer.status == 503:
            await asyncio.sleep(0.1)
            return
        if answer.status != 200 or REFRESH not in answer.cookies:
            self._ledger.wrong.append(f"a sign-in was answered with {answer}")
            return
        self.jar.process(answer.cookies)
        token = answer.cookies[REFRESH][0]
        self._tokens, self.session = [token], session_of(token)
        self._ledger.count["sign-ins"] += 1

    async def sign_out(self) -> None:
        """Sign out while requests are on their way; afterwards nothing of the session works."""
        old, session = self.jar.values(), self.session
        if REFRESH not in old or session is None:
            return
        self._ledger.left.add(session)
        self.session = None
        only_refresh = {REFRESH: old[REFRESH]}
        others = [self._stray(only_refresh) for _ in range(self._rng.randint(4, 10))]
        async with asyncio.TaskGroup() as group:
            group.create_task(self._log_out(session, old))
            for other in others:
                group.create_task(other)
        probes = [{REFRESH: token} for token in {*self._tokens[-4:], *self._tokens[:1]}]
        await asyncio.gather(*(self._probe(session, cookies) for cookies in probes * 2))
        if ACCESS in old:
            self._run.later(self._outlive(session, {ACCESS: old[ACCESS]}))
        self.jar = Jar() if self._rng.random() < 0.5 else self.jar
        self._tokens = []

    async def _log_out(self, session: str, cookies: dict[str, str]) -> None:
        await asyncio.sleep(self._rng.random() * 0.02)
        while True:
            hang_up = self._rng.random() * 0.01 if self._rng.random() < 0.1 else None
            answer = await self._ask("/logout", cookies, method="POST", hang_up=hang_up)
            if answer is not None and answer.status == 200:
                self._ledger.ended[session] = answer.received
                self._ledger.count["sign-outs"] += 1
                self.jar.process(answer.cookies)
                return
            if answer is not None and answer.status == 503:
                self._ledger.count["sign-outs answered 503"] += 1
            elif answer is not None:
                self._ledger.wrong.append(f"a sign-out was answered with {answer}")
            await asyncio.sleep(0.05)

    async def _stray(self, cookies: dict[str, str]) -> None:
        """A request that overlaps the sign-out: it may win or lose, but not come after."""
        await asyncio.sleep(self._rng.random() * 0.04)
        answer = await self._ask("/me", cookies)
        if answer is not None:
            self._check_ended(cookies, answer)
            self.jar.process(answer.cookies)
            if REFRESH in answer.cookies and answer.cookies[REFRESH][0]:
                self._tokens.append(answer.cookies[REFRESH][0])

    async def _probe(self, session: str, cookies: dict[str, str]) -> None:
        answer = await self._ask("/me", cookies)
        if answer is not None:
            self._ledger.count["probes after a sign-out"] += 1
            self._check_ended(cookies, answer)

    def _check_ended(self, cookies: dict[str, str], answer: Answer) -> None:
        session = session_of(cookies[REFRESH])
        after = self._ledger.ended.get(session)
        if after is None or answer.sent <= after:
            return
        if answer.data["subject"] is not None or REFRESH in answer.cookies:
            entry = {"sid": session, "after": answer.sent - after, "data": answer.data}
            self._ledger.accepted.append(entry)

    async def _outlive(self, session: str, cookies: dict[str, str]) -> None:
        """Present an access token when it must have been refused for some time."""
        await asyncio.sleep(self._run.plan.bound)
        answer = await self._ask("/me", cookies)
        if answer is None or answer.data["reason"] == "expired_token":
            return
        self._ledger.count["access tokens tried later"] += 1
        if answer.data["subject"] is not None:
            entry = {"sid": session, "at": answer.received, "pid": answer.data["pid"]}
            self._ledger.outlived.append(entry)

    # --- refreshing -----------------------------------------------------------------------------

    async def burst(self, *, fair: bool = False, most: int | None = None) -> None:
        """Load a page: many requests at once; *fair*: every response arrives."""
        least, usual = self._run.plan.burst
        most = most or usual
        tunnel = not fair and self._rng.random() < _TUNNELS[self._is_bad_line]
        self._is_bad_line ^= self._rng.random() < _TURNS
        self._ledger.count["bursts"] += 1
        self._ledger.count["bursts without any response"] += tunnel
        size = self._rng.randint(min(least, most), most)
        fates = [0.0 if tunnel else self._rng.random() for _ in range(size)]
        self._run.begun.set()
        await asyncio.gather(*(self._request(1.0 if fair else fate) for fate in fates))

    async def _request(self, fate: float) -> None:
        await asyncio.sleep(self._rng.random() * 0.03)
        session, cookies = self.session, self.jar.values()
        if session is None or REFRESH not in cookies:
            return
        token = cookies[REFRESH]
        self._ledger.presented(token)
        hang_up = None
        if fate < _CUT or (fate == 0.0 and self._rng.random() < 0.4):
            hang_up = self._rng.random() * 0.02
        answer = await self._ask("/me", cookies, hang_up=hang_up)
        if answer is None:
            return
        if answer.took >= self._run.plan.slow:
            self._ledger.slow.add(session)
        self._check(session, token, cookies, answer)
        if fate < _CUT + _DROPPED:
            self._ledger.count["dropped"] += 1
        elif self.session == session:
            self.jar.process(answer.cookies)
            if REFRESH in answer.cookies:
                self._tokens.append(answer.cookies[REFRESH][0])

    def _check(self, session: str, token: str, cookies: dict[str, str], answer: Answer) -> None:
        data: dict[str, Any] = answer.data
        ledger = self._ledger
        if answer.status != 200:
            ledger.wrong.append(f"a request was answered with {answer}")
        elif data["subject"] is None and data["reason"] in _OUTAGES:
            ledger.count["store unavailable"] += 1
            if answer.cookies:
                ledger.wrong.append(f"cookies were touched in an outage: {answer}")
        elif data["subject"] is None:
            self._signed_out(session, token, cookies, answer)
        elif (data["subject"], data["sid"]) != (self.name, session):
            ledger.wrong.append(f"{self.name} of {session} is taken for {data}")
        elif data["refreshed"]:
            ledger.count["refreshes"] += 1
            if REFRESH in answer.cookies:
                successor = answer.cookies[REFRESH][0]
                ledger.answered(token, successor, answer.sent, answer.received)
            else:
                ledger.count["refreshes without cookies"] += 1

    def _signed_out(
        self, session: str, token: str, cookies: dict[str, str], answer: Answer
    ) -> None:
        if self.session != session:
            return  # another request of the burst has noticed
        self.session = None
        self.jar = Jar()
        entry = {"sid": session, "gen": generation_of(token), "access": ACCESS in cookies}
        entry |= {"reason": answer.data["reason"], "at": answer.received, "took": answer.took}
        self._ledger.sign_outs.append(entry)

    async def _rest(self) -> None:
        """Wait as browsers do, for the access cookie to end; or try again at any time."""
        left = self.jar.left()
        if left == 0.0:
            grace = self._run.plan.grace
            await self._run.rest(self._rng.choice([0.0, 0.3, 0.7, 1.3, 2.5]) * grace)
            return
        if self._rng.random() < 0.5:
            await self._run.rest(left * self._rng.random() * 0.8)
            await self._request(1.0)
        await self._run.rest(self.jar.left() + self._rng.random() * 0.3)

    async def _ask(
        self,
        path: str,
        cookies: dict[str, str],
        *,
        method: str = "GET",
        hang_up: float | None = None,
    ) -> Answer | None:
        """Ask any worker; None: the connection was lost, or closed early."""
        count = self._ledger.count
        for _ in range(100):
            try:
                port = self._rng.choice(self._run.workers.ports)
                answer = await wire.ask(port, path, cookies, method=method, hang_up=hang_up)
            except ConnectionRefusedError:
                count["connections refused"] += 1
                await asyncio.sleep(0.05)
            except wire.Lost:
                count["closed early" if hang_up is not None else "connections lost"] += 1
                return None
            else:
                count["requests"] += 1
                return answer
        raise RuntimeError("nobody has been listening for a while")
