"""How long a store that hangs holds a caller: in virtual time, to the tick."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import anyio
import pytest
from trio.testing import MockClock

from asgi_refresh import Config, Issuer
from asgi_refresh.errors import StoreUnavailable
from tests.support import Clock, Spy, make_issuer

TIMEOUT = 0.5
CONFIG = Config(store_timeout=timedelta(seconds=TIMEOUT), revocation="always")


def virtually(main: Callable[[], Awaitable[Any]]) -> None:
    """Run *main* in a loop whose time passes only while everybody waits, and then at once."""
    anyio.run(main, backend="trio", backend_options={"clock": MockClock(autojump_threshold=0)})


async def waits(count: int, call: Callable[[], Awaitable[object]]) -> list[float]:
    """How long each of *count* calls at once waits until the store is said to be away."""
    began, waited = anyio.current_time(), list[float]()

    async def one() -> None:
        with pytest.raises(StoreUnavailable):
            await call()
        waited.append(round(anyio.current_time() - began, 6))

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(one)
    return waited


def calls(issuer: Issuer, refresh_token: str, access_token: str) -> dict[str, Any]:
    return {
        "refresh": lambda: issuer.refresh(refresh_token),
        "authenticate": lambda: issuer.authenticate(access_token),
        "sessions": lambda: issuer.sessions("alice"),
    }


@pytest.mark.parametrize(
    ("what", "operation"),
    [("refresh", "get"), ("refresh", "replace"), ("authenticate", "revocations"),
     ("sessions", "find")],
)  # fmt: skip
def test_one_waits_for_one_timeout(clock: Clock, what: str, operation: str) -> None:
    async def main() -> None:
        spy = Spy()
        issuer = make_issuer(clock, store=spy, config=CONFIG)
        tokens = await issuer.issue("alice")
        spy.hanging = {operation}

        call = calls(issuer, tokens.refresh_token, tokens.access_token)[what]
        assert await waits(1, call) == [TIMEOUT]

    virtually(main)


@pytest.mark.parametrize(
    ("what", "operation"),
    [("refresh", "get"), ("refresh", "replace"), ("authenticate", "revocations")],
)
def test_nobody_waits_behind_others_for_more_than_two(
    clock: Clock, what: str, operation: str
) -> None:
    async def main() -> None:
        spy = Spy()
        issuer = make_issuer(clock, store=spy, config=CONFIG)
        tokens = await issuer.issue("alice")
        spy.hanging = {operation}

        call = calls(issuer, tokens.refresh_token, tokens.access_token)[what]
        assert max(await waits(20, call)) == 2 * TIMEOUT

    virtually(main)
