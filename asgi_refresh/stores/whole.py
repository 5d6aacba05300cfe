"""
Calls of a database driver that come to their end although nobody waits for them any more.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_LINGER: Final = 1.0  # seconds
_RUNNING: Final[set[asyncio.Task[Any]]] = set()  # the event loop itself keeps no task alive


def whole(operation: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """
    Let *operation* come to its end though its caller is cancelled, as every timeout does.

    Drivers that are stopped in the middle of an answer leave connections of no use in the pool.
    One that gets no answer at all is stopped a little later, or it would keep its place there.
    """

    @functools.wraps(operation)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        task = asyncio.ensure_future(operation(*args, **kwargs))
        _RUNNING.add(task)
        task.add_done_callback(_ended)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.get_loop().call_later(_LINGER, task.cancel)
            raise

    return call


def _ended(task: asyncio.Task[Any]) -> None:
    _RUNNING.discard(task)
    if not task.cancelled():
        task.exception()  # known to the caller, if there still is one
