"""Where events go: the log, and OpenTelemetry's metrics and spans."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from starlette.middleware.opentelemetry import OpenTelemetryMiddleware
from starlette.responses import PlainTextResponse

from asgi_refresh import Auth, Client, Event, Issuer, MemoryStore, RefreshMiddleware, Session
from asgi_refresh.errors import StoreUnavailable
from asgi_refresh.events import EventName
from asgi_refresh.store import BoundedStore
from asgi_refresh.telemetry import Guarded, _instruments, log_event, measure
from tests.measured import Measured
from tests.support import SECRET, Browser, Clock

WARNINGS = {"reused", "cross_origin", "store_unavailable", "clock_skew", "insecure_cookie"}
WARNINGS |= {"large_cookie"}
QUIET = {"rejected", "repeated"}
NAMES = get_args(EventName)
FIELDS = {
    *("event_name", "subject", "session_id", "reason", "detail", "client_address", "user_agent"),
}


@pytest.fixture
def no_opentelemetry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "opentelemetry.metrics", None)  # importing it fails
    _instruments.cache_clear()
    yield
    _instruments.cache_clear()


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


def test_what_is_known_is_in_the_record_each_on_its_own(records: list[logging.LogRecord]) -> None:
    log_event(Event("reused", "alice", "s1", "theft", "gap", Client("192.0.2.1", "agent")))
    said = vars(records[0])

    assert {name: said[name] for name in FIELDS} == {
        "event_name": "reused",
        "subject": "alice",
        "session_id": "s1",
        "reason": "theft",
        "detail": "gap",
        "client_address": "192.0.2.1",
        "user_agent": "agent",
    }


def test_what_is_not_known_is_not_in_the_record(records: list[logging.LogRecord]) -> None:
    log_event(Event("revoked", client=Client()))

    assert FIELDS & set(vars(records[0])) == {"event_name"}


def test_what_is_in_the_record_moves_no_cursor(records: list[logging.LogRecord]) -> None:
    log_event(Event("rejected", "é\u202ex", client=Client(None, "\x1b[2J")))

    assert (vars(records[0])["subject"], vars(records[0])["user_agent"]) == (
        r"é\u202ex",
        r"\x1b[2J",
    )


def test_what_nobody_listens_to_is_not_logged(records: list[logging.LogRecord]) -> None:
    logging.getLogger("asgi_refresh").setLevel(logging.WARNING)
    log_event(Event("issued"))
    log_event(Event("reused"))

    assert [record.levelno for record in records] == [logging.WARNING]


# --- OpenTelemetry --------------------------------------------------------------------------------


def nothing(_event: Event) -> None:
    """A hook."""


def test_an_event_is_counted_whatever_the_hook(measured: Measured) -> None:
    Guarded(nothing)(Event("reused", "alice", "s1", "theft"))
    Guarded(log_event)(Event("reused", "bob", "s2", "theft"))

    assert measured.counted == {("reused", "theft"): 2}


def test_an_event_without_a_reason_is_counted_without(measured: Measured) -> None:
    Guarded(nothing)(Event("issued", "alice", "s1"))

    assert measured.counted == {("issued", ""): 1}


def test_what_is_not_logged_is_counted_all_the_same(
    measured: Measured, records: list[logging.LogRecord]
) -> None:
    logging.getLogger("asgi_refresh").setLevel(logging.CRITICAL)
    Guarded(log_event)(Event("issued"))

    assert records == []
    assert measured.counted == {("issued", ""): 1}


def test_an_event_is_on_the_span_of_its_request(measured: Measured) -> None:
    with measured.span():
        Guarded(nothing)(Event("rejected", "alice", "s1", "expired_token", "x", Client("a", "b")))
        Guarded(nothing)(Event("refreshed", "alice", "s1", "current"))

    assert measured.attributes == [
        {"asgi_refresh.rejected": "expired_token", "asgi_refresh.refreshed": "current"}
    ]


def test_a_span_that_is_not_sampled_is_left_alone(measured: Measured) -> None:
    from opentelemetry.trace import INVALID_SPAN, use_span

    with use_span(INVALID_SPAN):
        Guarded(nothing)(Event("refreshed"))

    assert measured.counted == {("refreshed", ""): 1}


@pytest.mark.parametrize("name", NAMES)
def test_no_metric_and_no_span_says_whose_session_it_is(name: Any, measured: Measured) -> None:
    with measured.span():
        Guarded(nothing)(Event(name, "alice", "s1", None, "detail-1", Client("192.0.2.1", "ua")))

    told = f"{measured.counted} {measured.attributes}"
    assert name in told
    for secret in ("alice", "s1", "detail-1", "192.0.2.1", "ua'"):
        assert secret not in told


def test_without_opentelemetry_nothing_is_counted_and_nothing_fails(
    no_opentelemetry: None, records: list[logging.LogRecord]
) -> None:
    Guarded(log_event)(Event("issued"))
    measure("get", 0.1)

    assert len(records) == 1


def test_opentelemetry_is_looked_for_once_before_the_first_event(no_opentelemetry: None) -> None:
    assert _instruments.cache_info().misses == 0
    emit = Guarded(nothing)
    assert _instruments.cache_info().misses == 1
    for _ in range(3):
        emit(Event("issued"))

    assert _instruments.cache_info().misses == 1


def test_an_opentelemetry_that_is_too_old_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        def create_counter(self, name: str, unit: str = "", description: str = "") -> None: ...
        def create_histogram(self, name: str, unit: str = "", description: str = "") -> None: ...

    monkeypatch.setattr("opentelemetry.metrics.get_meter", lambda _name: Old())
    _instruments.cache_clear()
    try:
        Guarded(nothing)(Event("issued"))
        assert _instruments() is None
    finally:
        _instruments.cache_clear()


def test_an_exporter_that_fails_is_logged_and_the_hook_told(
    measured: Measured, records: list[logging.LogRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("broken")

    instruments = _instruments()
    assert instruments is not None
    monkeypatch.setattr(instruments.events, "add", fail)
    events: list[Event] = []
    Guarded(events.append)(Event("issued"))

    assert events == [Event("issued")]
    assert records[0].getMessage() == "the event hook failed on issued"


# --- the store ------------------------------------------------------------------------------------


class Slow(MemoryStore):
    """A store that takes its time, by a timer that only it moves."""

    now = 0.0

    async def get(self, session_id: str) -> Session | None:
        self.now += 0.003
        return await super().get(session_id)

    async def find(self, subject: str) -> list[Session]:
        self.now += 0.2
        raise OSError("gone")


def bounded(store: Slow) -> BoundedStore:
    return BoundedStore(store, timeout=1, emit=nothing, timer=lambda: store.now)


@pytest.mark.anyio
async def test_how_long_the_store_took_is_measured(measured: Measured) -> None:
    store = bounded(Slow())
    await store.get("s1")
    await store.get("s2")
    (point,) = measured.points("asgi_refresh.store.duration")

    assert dict(point.attributes) == {"operation": "get"}
    assert (point.count, point.sum) == (2, pytest.approx(0.006))
    assert point.explicit_bounds[0] == 0.0005


@pytest.mark.anyio
async def test_a_store_that_fails_is_measured_with_its_error(measured: Measured) -> None:
    with pytest.raises(StoreUnavailable):
        await bounded(Slow()).find("alice")
    (point,) = measured.points("asgi_refresh.store.duration")

    assert dict(point.attributes) == {"operation": "find", "error.type": "OSError"}
    assert point.sum == pytest.approx(0.2)


# --- a request ------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_refresh_is_on_the_span_of_its_request_and_a_good_token_is_not(
    clock: Clock, measured: Measured
) -> None:
    issuer = Issuer(SECRET, store=MemoryStore(), clock=clock, on_event=nothing)
    site = RefreshMiddleware(told, issuer)
    browser = Browser(OpenTelemetryMiddleware(site, tracer_provider=measured.tracers), clock)
    await browser.post("/login")
    await browser.get("/")
    clock.advance(601)
    await browser.get("/")

    ours = [{n: v for n, v in said.items() if "refresh" in n} for said in measured.attributes]
    assert ours == [{"asgi_refresh.issued": ""}, {}, {"asgi_refresh.refreshed": "current"}]


async def told(scope: Any, receive: Any, send: Any) -> None:
    auth = Auth.of(scope)
    if scope["path"] == "/login":
        auth.login("alice")
    await PlainTextResponse(str(auth.subject))(scope, receive, send)


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
