"""
Running the library's coroutines by hand, without an event loop: nothing in here ever waits.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio

Message = dict[str, Any]


class _Scope:
    """What stands in for a deadline: there is no time to run out of."""

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        pass

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_exc: object) -> None:
        pass


@contextmanager
def _deadlines_are_nothing() -> Iterator[None]:
    kept = anyio.fail_after, anyio.CancelScope
    anyio.fail_after = anyio.CancelScope = _Scope  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        anyio.fail_after, anyio.CancelScope = kept  # type: ignore[misc]


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return what *coroutine* returns; one that waits for something is a failure."""
    with _deadlines_are_nothing():
        try:
            coroutine.send(None)
        except StopIteration as done:
            return done.value
        coroutine.close()
        raise AssertionError("it waits for something that never comes")


class Client:
    """
    The other end: hands out *messages*, counts what it has handed out, and is gone then.

    Attributes:
        bytes: Of bodies that were asked for.
        asked: How often anything was.
    """

    def __init__(self, messages: Iterable[Message], gone: str = "http.disconnect") -> None:
        self._messages, self._gone = iter(messages), gone
        self.bytes = self.asked = 0

    async def __call__(self) -> Message:
        self.asked += 1
        message = next(self._messages, None)
        if message is None:
            assert self.asked < 1000, "it asks for ever"
            return {"type": self._gone}
        self.bytes += len(message.get("body", b""))
        return message
