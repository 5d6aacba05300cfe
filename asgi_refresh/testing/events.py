"""
Listening to what the library decides.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import get_args

from asgi_refresh.events import Event, EventName
from asgi_refresh.telemetry import Guarded


class Events:
    """
    The events that were heard, in their order. It may also be an issuer's hook: `on_event=events`.
    """

    def __init__(self) -> None:
        self._heard: list[Event] = []

    def __call__(self, event: Event) -> None:
        """Hear *event*."""
        self._heard.append(event)

    def __iter__(self) -> Iterator[Event]:
        return iter(list(self._heard))

    def __len__(self) -> int:
        return len(self._heard)

    def __repr__(self) -> str:
        return f"<Events {self._heard}>"

    def named(self, name: EventName) -> list[Event]:
        """
        Return those of one *name*.

        Raises:
            ValueError: No event is ever called so: what is not there would be found missing.
        """
        if name not in get_args(EventName):
            raise ValueError(f"no event is called {name!r}, but {', '.join(get_args(EventName))}")
        return [event for event in self._heard if event.name == name]

    def clear(self) -> None:
        """Forget what was heard."""
        self._heard.clear()


@contextmanager
def capture_events() -> Generator[Events]:
    """
    Hear what every issuer of this process decides until the block ends; their hooks hear it too.
    """
    events, tell = Events(), Guarded.__call__

    def tell_us_too(self: Guarded, event: Event) -> None:
        events(event)
        tell(self, event)

    Guarded.__call__ = tell_us_too  # type: ignore[method-assign]
    try:
        yield events
    finally:
        Guarded.__call__ = tell  # type: ignore[method-assign]
