"""Where events go unless told otherwise: stdlib logging, and OpenTelemetry where installed."""

from __future__ import annotations

import functools
import importlib
import logging
from typing import Any

from .events import Event, EventHook

_logger = logging.getLogger("asgi_refresh")

_LEVELS = {
    "reused": logging.WARNING,
    "cross_origin": logging.WARNING,
    "store_unavailable": logging.WARNING,
    "clock_skew": logging.WARNING,
    "insecure_cookie": logging.WARNING,
    "large_cookie": logging.WARNING,
    "rejected": logging.DEBUG,
    "repeated": logging.DEBUG,
}


def log_event(event: Event) -> None:
    """
    Log *event* to the logger `asgi_refresh`, and count it where OpenTelemetry's API is installed.

    Warnings are what an operator should see (reuse, refused origins, outages, skew); what every
    client causes at will (`rejected`, `repeated`) is DEBUG, the rest INFO. The attributes of the
    event are in `extra=`, as `event`; the text is ASCII whatever a client sent.
    """
    level = _LEVELS.get(event.name, logging.INFO)
    if _logger.isEnabledFor(level):
        parts = (
            (name, getattr(event, name)) for name in ("subject", "session_id", "reason", "detail")
        )
        text = " ".join(f"{name}={value!a}" for name, value in parts if value is not None)
        _logger.log(level, "%s %s", event.name, text, extra={"event": event})
    counter = _counter()
    if counter is not None:
        counter.add(1, {"name": event.name, "reason": event.reason or ""})


@functools.cache
def _counter() -> Any:
    # At the first event, not at import: OpenTelemetry is not ours to load.
    try:
        metrics = importlib.import_module("opentelemetry.metrics")
    except ImportError:
        return None
    meter = metrics.get_meter("asgi_refresh")
    return meter.create_counter("asgi_refresh.events", description="Decisions of asgi_refresh")


class Guarded:
    """
    A hook whose errors are logged and never reach a request.

    Args:
        hook: What is told.
    """

    __slots__ = ("_hook",)

    def __init__(self, hook: EventHook) -> None:
        self._hook = hook

    def __call__(self, event: Event) -> None:
        """Tell the hook of *event*."""
        try:
            self._hook(event)
        except Exception:  # a hook may raise anything, and none of it is the client's fault
            _logger.exception("the event hook failed on %s", event.name)
