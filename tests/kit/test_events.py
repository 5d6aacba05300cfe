"""Events are heard by who asks, from every issuer; and the pytest plugin costs nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from asgi_refresh import Event, Issuer, MemoryStore
from asgi_refresh.testing import Events, capture_events
from tests.kit.support import run_pytest
from tests.support import SECRET

pytestmark = pytest.mark.anyio

PLUGIN = "_asgi_refresh_pytest"


async def test_the_events_of_every_issuer_are_heard() -> None:
    before = Issuer(SECRET, store=MemoryStore(), on_event=lambda _event: None)
    with capture_events() as events:
        after = Issuer(SECRET, store=MemoryStore(), on_event=lambda _event: None)
        await before.issue("alice")
        await after.issue("bob")

    assert [event.subject for event in events.named("issued")] == ["alice", "bob"]


async def test_the_hooks_of_the_application_hear_them_too(events: list[Event]) -> None:
    with capture_events() as heard:
        await Issuer(SECRET, store=None, on_event=events.append).issue("alice")

    assert list(heard) == events != []


async def test_what_is_decided_later_is_not_heard() -> None:
    issuer = Issuer(SECRET, store=None, on_event=lambda _event: None)
    with capture_events() as events:
        pass
    await issuer.issue("alice")

    assert len(events) == 0


async def test_listeners_within_each_other_all_hear() -> None:
    with capture_events() as outer, capture_events() as inner:
        await Issuer(SECRET, store=None, on_event=lambda _event: None).issue("alice")

    assert list(outer) == list(inner) != []


async def test_what_is_told_may_also_be_an_issuers_hook() -> None:
    events = Events()
    await Issuer(SECRET, store=None, on_event=events).issue("alice")

    assert [event.name for event in events] == ["issued"]


def test_events_are_picked_by_name_and_forgotten() -> None:
    events = Events()
    events(Event("issued", "alice"))
    events(Event("reused", "bob"))

    assert events.named("reused") == [Event("reused", "bob")]
    assert events.named("revoked") == []
    events.clear()
    assert len(events) == 0


def test_a_name_that_no_event_has_is_refused() -> None:
    with pytest.raises(ValueError, match="refreshed"):
        Events().named("refrehsed")  # type: ignore[arg-type]


def test_a_failed_assertion_shows_what_was_heard() -> None:
    events = Events()
    events(Event("issued", "alice"))

    assert "name='issued', subject='alice'" in repr(events)


# --- the plugin -----------------------------------------------------------------------------------


def run(tmp_path: Path, test: str, *arguments: str) -> str:
    (tmp_path / "test_it.py").write_text(test)
    return run_pytest(tmp_path, *arguments)


def test_the_fixture_hears(tmp_path: Path) -> None:
    run(
        tmp_path,
        "import anyio\n"
        "from asgi_refresh import Issuer\n"
        "def test(refresh_events):\n"
        "    anyio.run(Issuer('x' * 40, store=None).issue, 'alice')\n"
        "    assert [event.subject for event in refresh_events.named('issued')] == ['alice']\n"
        "def test_another(refresh_events):\n"
        "    assert len(refresh_events) == 0\n",
    )


def test_a_run_without_the_fixture_imports_nothing_of_it(tmp_path: Path) -> None:
    printed = run(
        tmp_path,
        "import sys\n"
        "def test(request):\n"
        f"    assert request.config.pluginmanager.has_plugin('asgi_refresh')\n"
        f"    assert '{PLUGIN}' in sys.modules\n"
        "    assert not [name for name in sys.modules if name.startswith('asgi_refresh')]\n",
    )

    assert "1 passed" in printed


def test_the_plugin_adds_one_fixture_by_a_name_of_its_own(tmp_path: Path) -> None:
    printed = run(tmp_path, "def test(): ...\n", "--fixtures", "-v")
    ours = [line.split()[0] for line in printed.splitlines() if f"{PLUGIN}.py" in line]

    assert ours == ["refresh_events"]


def test_the_plugin_may_be_left_out(tmp_path: Path) -> None:
    test = "def test(request): assert 'refresh_events' not in request.fixturenames\n"
    printed = run(tmp_path, test, "-p", "no:asgi_refresh", "--fixtures", "-v")

    assert "refresh_events" not in printed
