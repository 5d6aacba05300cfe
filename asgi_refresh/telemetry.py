"""
What others get to see: stdlib logging, and OpenTelemetry's metrics and spans where installed.
"""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Callable
from typing import Any, Final, NamedTuple

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
_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


def log_event(event: Event) -> None:
    """
    Log *event* to the logger `asgi_refresh`.

    Warnings are what an operator should see (reuse, refused origins, outages, skew); what every
    client causes at will (`rejected`, `repeated`) is DEBUG, the rest INFO. What is known of the
    event is in `extra=`, each a text of its own: `event_name`, `subject`, `session_id`, `reason`,
    `detail`, `client_address`, `user_agent`. The message is ASCII whatever a client sent.
    """
    level = _LEVELS.get(event.name, logging.INFO)
    if _logger.isEnabledFor(level):
        told = {
            name: value
            for name in ("subject", "session_id", "reason", "detail")
            if (value := getattr(event, name)) is not None
        }
        text = " ".join(f"{name}={value!a}" for name, value in told.items())
        if event.client is not None:
            address, user_agent = event.client
            told |= {"client_address": address} if address is not None else {}
            told |= {"user_agent": user_agent} if user_agent is not None else {}
        extra = {name: printable(value) for name, value in told.items()}
        _logger.log(level, "%s %s", event.name, text, extra={"event_name": event.name, **extra})


def printable(text: str) -> str:
    """Return *text* with what is no letter on a terminal spelled out: it may be a stranger's."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class Guarded:
    """
    A hook whose errors are logged and never reach a request.

    What it is told is also counted and put on the current span, where OpenTelemetry is installed.

    Args:
        hook: What is told.
    """

    __slots__ = ("_hook",)

    def __init__(self, hook: EventHook) -> None:
        self._hook = hook
        _instruments()  # now: the first request must not wait for an import

    def __call__(self, event: Event) -> None:
        """Tell the hook of *event*."""
        for tell in (_observe, self._hook):
            try:
                tell(event)
            except Exception:  # it may raise anything, and none of that is the client's fault
                _logger.exception("the event hook failed on %s", event.name)


# --- OpenTelemetry --------------------------------------------------------------------------------


class _Instruments(NamedTuple):
    events: Any
    store: Any
    span: Callable[[], Any]


def measure(operation: str, seconds: float, failed: str | None = None) -> None:
    """
    Record how long the store took, where OpenTelemetry is installed.

    Args:
        operation: A method of `Store`.
        seconds: How long.
        failed: The type of the error that it ended with, or None.
    """
    instruments = _instruments()
    if instruments is not None:
        why = {} if failed is None else {"error.type": failed}
        instruments.store.record(seconds, {"operation": operation, **why})


def _observe(event: Event) -> None:
    instruments = _instruments()
    if instruments is None:
        return
    reason = event.reason or ""
    instruments.events.add(1, {"name": event.name, "reason": reason})
    span = instruments.span()
    if span.is_recording():
        # One attribute for each kind, for one request may see several. Whose session it is stays
        # out: traces go further than logs.
        span.set_attribute(f"asgi_refresh.{event.name}", reason)


@functools.cache
def _instruments() -> _Instruments | None:
    # With the first issuer, not at import: OpenTelemetry is not ours to load.
    try:
        metrics = importlib.import_module("opentelemetry.metrics")
        trace = importlib.import_module("opentelemetry.trace")
        meter = metrics.get_meter("asgi_refresh")
        return _Instruments(
            meter.create_counter("asgi_refresh.events", description="Decisions of asgi_refresh"),
            meter.create_histogram(
                "asgi_refresh.store.duration",
                unit="s",
                description="How long the store of asgi_refresh took",
                explicit_bucket_boundaries_advisory=_BUCKETS,
            ),
            trace.get_current_span,
        )
    except (ImportError, TypeError):  # there is none, or one from before advisories (1.30)
        return None
