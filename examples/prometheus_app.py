"""
Metrics for Prometheus, by OpenTelemetry's exporter: run with `uvicorn prometheus_app:app`.

pip install asgi-refresh opentelemetry-sdk opentelemetry-exporter-prometheus; then scrape /metrics,
and import grafana-dashboard.json into Grafana. Several workers each count for themselves: give each
a port to be scraped on, or send to a collector (OTLP) instead.
"""

import os

from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import make_asgi_app
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asgi_refresh import Issuer, RefreshMiddleware, SQLiteStore

metrics.set_meter_provider(MeterProvider([PrometheusMetricReader()]))  # before the first request
issuer = Issuer(os.environ["SECRET_KEY"], store=SQLiteStore("sessions.db"))


async def login(request: Request) -> PlainTextResponse:  # after the password check
    request.auth.login("alice")
    return PlainTextResponse("hello")


async def me(request: Request) -> PlainTextResponse:
    return PlainTextResponse(request.auth.subject or "nobody")


site = Starlette(routes=[Route("/login", login, methods=["POST"]), Route("/me", me)])
# Answered before any cookie is read. Let the proxy keep it from the public.
app = RefreshMiddleware(site, issuer, endpoints={"/metrics": make_asgi_app()})
