"""Where events go: the log, and OpenTelemetry's counter."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, get_args

import pytest

from asgi_refresh import Client, Event
from asgi_refresh.events import EventName
from asgi_refresh.telemetry import Guarded, _counter, log_event

WARNINGS = {"reused", "cross_origin", "store_unavailable", "clock_skew", "insecure_cookie"}
WARNINGS |= {"large_cookie"}
QUIET = {"rejected", "repeated"}
NAMES = get_args(EventName)
METRICS = "opentelemetry.metrics"


@pytest.fixture(autouse=True)
def no_opentelemetry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, METRICS, None)  # importing it fails
    _counter.cache_clear()
    yield
    _counter.cache_clear()


class Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    """Everything that the library's logger says from here on."""
    logger, listener = logging.getLogger("asgi_refresh"), Listener()
    logger.setLevel(logging.DEBUG)
    logger.addHandler(listener)
    yield listener.records
    logger.removeHandler(listener)
    logger.setLevel(logging.NOTSET)


class Meter:
    """A stand-in for OpenTelemetry's API."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.added: list[tuple[int, dict[str, str]]] = []

    def get_meter(self, name: str) -> Meter:
        self.made.append(name)
        return self

    def create_counter(self, name: str, **_options: Any) -> Meter:
        self.made.append(name)
        return self

    def add(self, amount: int, attributes: dict[str, str]) -> None:
        self.added.append((amount, attributes))


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> Meter:
    meter = Meter()
    module: Any = ModuleType(METRICS)
    module.get_meter = meter.get_meter
    monkeypatch.setitem(sys.modules, "opentelemetry", ModuleType("opentelemetry"))
    monkeypatch.setitem(sys.modules, METRICS, module)
    return meter


# --- the log --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_level_says_who_should_see_it(name: Any, records: list[logging.LogRecord]) -> None:
    log_event(Event(name))

    expected = logging.INFO
    if name in WARNINGS:
        expected = logging.WARNING
    if name in QUIET:
        expected = logging.DEBUG
    assert [record.levelno for record in records] == [expected]


def test_every_name_with_a_level_of_its_own_exists() -> None:
    assert set(NAMES) >= WARNINGS | QUIET


def test_the_logger_is_the_librarys(records: list[logging.LogRecord]) -> None:
    log_event(Event("issued"))

    assert records[0].name == "asgi_refresh"


def test_the_text_says_what_is_known(records: list[logging.LogRecord]) -> None:
    log_event(Event("reused", "alice", "s1", "theft", "generation 1 of 3"))

    assert records[0].getMessage() == (
        "reused subject='alice' session_id='s1' reason='theft' detail='generation 1 of 3'"
    )


def test_the_text_leaves_out_what_is_not(records: list[logging.LogRecord]) -> None:
    log_event(Event("revoked", session_id="s1"))

    assert records[0].getMessage() == "revoked session_id='s1'"


@pytest.mark.parametrize("field", ["subject", "session_id", "reason", "detail"])
@pytest.mark.parametrize(
    "text", ["a\n[ERROR] x\x1b[31m", "a\r\nb", "a\u2028b", "\u202egnihton", "\x00", "\ud800", "é'"]
)
def test_nothing_a_client_sends_leaves_its_line_or_ascii(
    field: str, text: str, records: list[logging.LogRecord]
) -> None:
    log_event(Event("rejected", **{field: text}))

    message = records[0].getMessage()
    assert message.isascii()
    assert message.isprintable()
    assert f"{field}={text!a}" in message


def test_a_percent_sign_is_no_format(records: list[logging.LogRecord]) -> None:
    log_event(Event("rejected", "%s%d%(x)s"))

    assert records[0].getMessage() == "rejected subject='%s%d%(x)s'"


def test_the_user_agent_stays_out_of_the_text(records: list[logging.LogRecord]) -> None:
    log_event(Event("rejected", client=Client("192.0.2.1", "evil agent")))

    assert "evil" not in records[0].getMessage()


def test_the_event_is_in_the_record(records: list[logging.LogRecord]) -> None:
    event = Event("rejected", "alice", client=Client("192.0.2.1", "agent"))
    log_event(event)

    assert vars(records[0])["event"] is event


def test_what_nobody_listens_to_is_not_logged(records: list[logging.LogRecord]) -> None:
    logging.getLogger("asgi_refresh").setLevel(logging.WARNING)
    log_event(Event("issued"))
    log_event(Event("reused"))

    assert [record.levelno for record in records] == [logging.WARNING]


# --- OpenTelemetry --------------------------------------------------------------------------------


def test_an_event_is_counted(meter: Meter) -> None:
    log_event(Event("reused", "alice", "s1", "theft"))

    assert meter.added == [(1, {"name": "reused", "reason": "theft"})]


def test_an_event_without_a_reason_is_counted_without(meter: Meter) -> None:
    log_event(Event("issued", "alice", "s1"))

    assert meter.added == [(1, {"name": "issued", "reason": ""})]


def test_the_counter_is_made_once(meter: Meter) -> None:
    for _ in range(3):
        log_event(Event("issued"))

    assert meter.made == ["asgi_refresh", "asgi_refresh.events"]
    assert len(meter.added) == 3


def test_what_is_not_logged_is_counted_all_the_same(
    meter: Meter, records: list[logging.LogRecord]
) -> None:
    logging.getLogger("asgi_refresh").setLevel(logging.CRITICAL)
    log_event(Event("issued"))

    assert records == []
    assert len(meter.added) == 1


def test_without_opentelemetry_nothing_is_counted_and_nothing_fails(
    records: list[logging.LogRecord],
) -> None:
    log_event(Event("issued"))

    assert len(records) == 1


def test_opentelemetry_is_looked_for_at_the_first_event_and_once() -> None:
    assert _counter.cache_info().misses == 0
    for _ in range(3):
        log_event(Event("issued"))

    assert _counter.cache_info().misses == 1


# --- hooks ----------------------------------------------------------------------------------------


def test_a_guarded_hook_gets_the_event() -> None:
    events: list[Event] = []
    Guarded(events.append)(Event("issued"))

    assert events == [Event("issued")]


def test_the_error_of_a_guarded_hook_is_logged(records: list[logging.LogRecord]) -> None:
    def hook(_event: Event) -> None:
        raise RuntimeError("broken")

    Guarded(hook)(Event("issued"))

    assert records[0].levelno == logging.ERROR
    assert records[0].getMessage() == "the event hook failed on issued"
    assert records[0].exc_info is not None


def test_a_guarded_hook_does_not_hold_up_an_interrupt() -> None:
    def hook(_event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Guarded(hook)(Event("issued"))
