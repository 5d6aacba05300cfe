"""What Prometheus scrapes of the example, what Grafana asks for, and what structlog says."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, get_args

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from asgi_refresh.events import EventName
from asgi_refresh.telemetry import _instruments, measure
from tests.examples.support import EXAMPLES, SECRET_KEY, close, environment, free_port, load, serve
from tests.support import Browser, Clock

DASHBOARD = EXAMPLES / "grafana-dashboard.json"
Samples = list[tuple[str, dict[str, str], float]]


def samples(text: str) -> Samples:
    families = text_string_to_metric_families(text)
    return [(s.name, dict(s.labels), s.value) for family in families for s in family.samples]


def ask(port: int, method: str, path: str, cookie: str = "") -> tuple[list[str], str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers={"cookie": cookie} if cookie else {})
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    lines = response.headers.get_all("set-cookie") or []
    return [line.partition(";")[0] for line in lines], body


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """What Prometheus gets of the example, after a sign-in, a refresh and a bad cookie."""
    directory, port = tmp_path_factory.mktemp("prometheus"), free_port()
    env = environment() | {"SECRET_KEY": SECRET_KEY}
    arguments = ["prometheus_app:app", "--port", str(port), "--app-dir", str(EXAMPLES)]
    with serve(arguments, port, cwd=directory, env=env):
        cookies, _ = ask(port, "POST", "/login")
        (refresh,) = [cookie for cookie in cookies if cookie.startswith("__Host-refresh")]
        assert ask(port, "GET", "/me", refresh)[1] == "alice"
        assert ask(port, "GET", "/me", "__Host-refresh=broken")[1] == "nobody"
        return samples(ask(port, "GET", "/metrics")[1])


@pytest.mark.parametrize(
    ("name", "reason"), [("issued", ""), ("refreshed", "current"), ("rejected", "invalid_token")]
)
def test_events_are_scraped_by_name_and_reason(name: str, reason: str, scraped: Samples) -> None:
    (value,) = [
        value
        for metric, labels, value in scraped
        if metric == "asgi_refresh_events_total"
        and (labels["name"], labels["reason"]) == (name, reason)
    ]
    assert value == 1


def test_the_latency_of_the_store_is_scraped_by_operation(scraped: Samples) -> None:
    counted = {
        labels["operation"]: value
        for metric, labels, value in scraped
        if metric == "asgi_refresh_store_duration_seconds_count"
    }
    assert counted["add"] == 1
    assert counted["replace"] == 1
    assert counted["get"] >= 1


def test_nothing_that_is_scraped_says_whose_session_it_is(scraped: Samples) -> None:
    ours = [one for one in scraped if one[0].startswith("asgi_refresh")]

    assert "alice" not in repr(ours)


# --- the dashboard --------------------------------------------------------------------------------


def expressions() -> list[str]:
    document = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return [target["expr"] for panel in document["panels"] for target in panel["targets"]]


def test_every_metric_of_the_dashboard_is_exported(scraped: Samples) -> None:
    asked = {name for text in expressions() for name in re.findall(r"\basgi_refresh\w+", text)}

    assert asked <= {metric for metric, _, _ in scraped}
    assert len(asked) == 3


def test_every_label_of_the_dashboard_is_exported(
    scraped: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    selected = {n for text in expressions() for n in re.findall(r"(\w+)\s*(?:=~|!=|=)\s*\"", text)}
    grouped = {
        name.strip()
        for text in expressions()
        for names in re.findall(r"\bby \(([^)]*)\)", text)
        for name in names.split(",")
    }
    exported = {n for metric, labels, _ in scraped if "asgi_refresh" in metric for n in labels}

    assert selected | grouped <= exported | labels_of_a_failure(monkeypatch)
    assert {"name", "reason", "operation", "le", "error_type"} == selected | grouped


def labels_of_a_failure(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    reader = PrometheusMetricReader()
    meters = MeterProvider([reader])
    monkeypatch.setattr("opentelemetry.metrics.get_meter", meters.get_meter)
    _instruments.cache_clear()
    try:
        measure("get", 0.1, "TimeoutError")
        told = samples(generate_latest(REGISTRY).decode())
        return {name for metric, labels, _ in told if "store_duration" in metric for name in labels}
    finally:
        _instruments.cache_clear()
        meters.shutdown()


def test_every_event_that_the_dashboard_names_exists() -> None:
    named = {
        name
        for text in expressions()
        for names in re.findall(r'name=~?"([^"]*)"', text)
        for name in names.split("|")
    }
    assert named == set(get_args(EventName))


def test_the_panels_have_ids_and_places_of_their_own() -> None:
    document = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    panels: list[dict[str, Any]] = document["panels"]
    taken = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24
    assert all(panel["description"] for panel in panels)


# --- structlog ------------------------------------------------------------------------------------


@pytest.fixture
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    import structlog

    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.mark.anyio
async def test_structlog_says_what_is_known_field_by_field(
    restored: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    clock: Clock,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET_KEY", SECRET_KEY)
    module = load(EXAMPLES / "structlog_app.py")
    browser = Browser(module.app, clock, scheme="http", host="localhost")
    await browser.post("/login", headers=[("x-request-id", "r1"), ("user-agent", "a\x1b[2J")])
    close(module.issuer)
    ours, theirs = map(json.loads, sorted(capsys.readouterr().out.splitlines(), reverse=True)[:2])
    if ours["logger"] == "app":
        ours, theirs = theirs, ours

    assert (theirs["event"], theirs["user"]) == ("signing in", "alice")
    told = {name: ours[name] for name in ("event_name", "subject", "level", "logger")}
    assert told == {
        "event_name": "issued",
        "subject": "alice",
        "level": "info",
        "logger": "asgi_refresh",
    }
    assert ours["event"].startswith("issued subject='alice'")
    assert ours["user_agent"].isprintable()
    assert ours["timestamp"]
