"""
Single flight: callers who ask for the same thing at the same time share one run of it.

The result a caller gets comes from a run that began after it asked, so it is never older than the
question; callers who find one running wait and share the next. The run happens inside the task of
one of them: if that is cancelled or fails, the next one runs its own, so neither a departed client
nor one caller's error is anybody else's. This saves work; nothing depends on it for correctness.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

import anyio

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Waiter(Generic[T]):
    woken: anyio.Event = field(default_factory=anyio.Event)
    gone: bool = False
    served: bool = False
    result: T | None = None


@dataclass(slots=True, eq=False)
class _Line(Generic[T]):
    waiting: list[_Waiter[T]] = field(default_factory=list[_Waiter[T]])
    last: T | None = None


class Flight(Generic[T]):
    """Shared runs, by key. Keys live only while somebody runs or waits."""

    def __init__(self) -> None:
        self._lines: dict[Hashable, _Line[T]] = {}

    async def run(self, key: Hashable, work: Callable[[T | None], Awaitable[T]]) -> T:
        """
        Return the result of *work*, or of an equal one that began after this call.

        Args:
            key: What is asked for. Runs are shared within one event loop only.
            work: What to do; it is given the result of the run just before, None without one.
        """
        key = (threading.get_ident(), key)  # an event belongs to the loop of its thread
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line()
            return await self._lead(key, line, work)
        waiter = _Waiter[T]()
        line.waiting.append(waiter)
        try:
            await waiter.woken.wait()
        except BaseException:
            waiter.gone = True
            if waiter.woken.is_set() and not waiter.served:
                self._hand_over(key, line)  # chosen to lead, and cancelled at that moment
            raise
        if waiter.served:
            return cast("T", waiter.result)
        return await self._lead(key, line, work)

    async def _lead(
        self, key: Hashable, line: _Line[T], work: Callable[[T | None], Awaitable[T]]
    ) -> T:
        sharing, line.waiting = line.waiting, []
        try:
            result = await work(line.last)
        except BaseException:
            line.waiting = sharing + line.waiting
            raise
        else:
            line.last = result
            for waiter in sharing:
                waiter.result, waiter.served = result, True
                waiter.woken.set()
            return result
        finally:
            self._hand_over(key, line)

    def _hand_over(self, key: Hashable, line: _Line[T]) -> None:
        line.waiting = [waiter for waiter in line.waiting if not waiter.gone]
        if line.waiting:
            line.waiting.pop(0).woken.set()
        else:
            del self._lines[key]
