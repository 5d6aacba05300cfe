"""
What the library tells OpenTelemetry, by the real SDK with exporters in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from asgi_refresh.telemetry import _instruments


class Measured:
    """Meters and tracers of our own; `opentelemetry` lets a process choose its providers once."""

    def __init__(self) -> None:
        self._reader, self._exporter = InMemoryMetricReader(), InMemorySpanExporter()
        self.meters = MeterProvider([self._reader])
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))

    @contextmanager
    def span(self) -> Iterator[Any]:
        """Let a span be the current one."""
        with self.tracers.get_tracer("tests").start_as_current_span("a request") as span:
            yield span

    @property
    def attributes(self) -> list[dict[str, Any]]:
        """What the spans that have ended say."""
        return [dict(span.attributes or {}) for span in self._exporter.get_finished_spans()]

    def points(self, name: str) -> list[Any]:
        """The data points of a metric."""
        data = self._reader.get_metrics_data()
        metrics = (
            metric
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        )
        return [p for metric in metrics if metric.name == name for p in metric.data.data_points]

    @property
    def counted(self) -> dict[tuple[str, str], int]:
        """How often each event was counted, by name and reason."""
        return {
            (p.attributes["name"], p.attributes["reason"]): p.value
            for p in self.points("asgi_refresh.events")
        }


@contextmanager
def measuring(monkeypatch: pytest.MonkeyPatch) -> Iterator[Measured]:
    """Let the library find the real SDK."""
    measured = Measured()
    monkeypatch.setattr("opentelemetry.metrics.get_meter", measured.meters.get_meter)
    _instruments.cache_clear()
    try:
        yield measured
    finally:
        _instruments.cache_clear()
        measured.meters.shutdown()
        measured.tracers.shutdown()
