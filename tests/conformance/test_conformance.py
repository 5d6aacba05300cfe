"""One cell of the matrix, what each fact would not let pass, and the table."""

from __future__ import annotations

import asyncio
import importlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from asgi_refresh import Issuer
from tests.conformance import matrix, report
from tests.conformance.apps import bare
from tests.conformance.facts import FACTS
from tests.conformance.limits import LIMITS, Limit
from tests.conformance.matrix import ROWS, Cell, cell, chosen
from tests.conformance.servers import FRAMEWORKS, SERVERS
from tests.conformance.site import Site, controlled
from tests.conformance.visitor import Place
from tests.conformance.wire import common
from tests.conformance.wire.common import Address
from tests.conformance.wire.http1 import HTTP1
from tests.support import SECRET, App, answer


def test_every_fact_of_bare_asgi_on_uvicorn() -> None:
    assert cell(SERVERS["uvicorn-h11"], "bare") == Cell("uvicorn-h11", "bare", len(FACTS))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_framework_has_an_application(framework: str) -> None:
    assert callable(importlib.import_module(f"tests.conformance.apps.{framework}").create)


# --- what a fact does not let pass ---------------------------------------------------------------


@contextmanager
def in_a_thread(app: App) -> Iterator[Address]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", ws="wsproto"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
        yield Address(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()


async def establish(fact: str, address: Address) -> None:
    async with HTTP1.to(address) as wire:
        await FACTS[fact](Place(address, wire, address))


def losing(line: bytes, path: str) -> Callable[[App], App]:
    """Set-Cookie lines with *line* in them do not go out at *path*."""

    def faulty(app: App) -> App:
        async def changed(scope: Any, receive: Any, send: Any) -> None:
            async def forward(message: Any) -> None:
                if "headers" in message and scope["path"] == path:
                    kept = [(n, v) for n, v in message["headers"] if line not in v]
                    message = {**message, "headers": kept}
                await send(message)

            await app(scope, receive, forward)

        return changed

    return faulty


def first_cookie_only(app: App) -> App:
    async def changed(scope: Any, receive: Any, send: Any) -> None:
        headers = dict(reversed(scope.get("headers", [])))
        await app({**scope, "headers": list(headers.items())}, receive, send)

    return changed


def buffered(app: App) -> App:
    async def changed(scope: Any, receive: Any, send: Any) -> None:
        messages: list[Any] = []

        async def keep(message: Any) -> None:
            messages.append(message)

        http = scope["type"] == "http"
        await app(scope, receive, keep if http else send)
        for message in messages:
            await send(message)

    return changed


def swallowing(app: App) -> App:
    async def changed(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        except Exception:  # noqa: BLE001
            await answer(send, 200)

    return changed


def as_it_is(app: App) -> App:
    return app


@pytest.mark.parametrize(
    ("fact", "faulty", "stored", "seen"),
    [
        ("refresh", losing(b"__Host-refresh", "/me"), True, "Set-Cookie of ..__Host-access"),
        ("refresh", losing(b"no-store", "/me"), True, "Cache-Control"),
        ("cookies", first_cookie_only, True, "split, 0 twins first"),
        ("handlers", losing(b"Max-Age=0", "/logout/sync"), True, "sync handler: left are"),
        ("parallel", as_it_is, False, "8 rotations"),
        ("websocket", losing(b"__Host-access", "/ws"), True, "no new access cookie came"),
        ("streaming", buffered, True, None),
        ("crash", swallowing, True, "200"),
        ("sign-out", as_it_is, False, "still good"),
    ],
)
def test_a_fact_that_is_not_so_is_told(
    monkeypatch: pytest.MonkeyPatch,
    fact: str,
    faulty: Callable[[App], App],
    stored: bool,
    seen: str | None,
) -> None:
    monkeypatch.setattr(common, "PATIENCE", 0.5)
    site = Site()
    if not stored:
        site.issuer = Issuer(SECRET, store=None, clock=site.issuer.clock, on_event=site._note)
    with in_a_thread(controlled(faulty(bare.create(site)), site)) as address:
        with pytest.raises((AssertionError, TimeoutError, RuntimeError), match=seen):
            asyncio.run(establish(fact, address))
        site.gate.set()


# --- the table -----------------------------------------------------------------------------------

LIMIT = Limit("daphne", "quart", ("websocket",), "It cannot (them/it#1).")


def test_what_fails_the_run() -> None:
    wrong = Cell("daphne", "quart", 8, {"websocket": "refused"})
    assert [*wrong.problems()] == ["daphne/quart: websocket: refused"]
    excused = replace(wrong, limit=LIMIT)
    assert [*excused.problems()] == []
    both = replace(excused, wrong={"websocket": "refused", "crash": "200"})
    assert [*both.problems()] == ["daphne/quart: crash: 200"]


def test_a_limit_that_is_over_fails_the_run() -> None:
    (problem,) = Cell("daphne", "quart", 8, {}, LIMIT).problems()
    assert problem == "daphne/quart: websocket: holds, though it is said that it cannot"


def test_at_most_five_cells_are_limited_and_each_says_whose_it_is() -> None:
    assert len(LIMITS) <= 5
    for limit in LIMITS:
        assert limit.server in ROWS
        assert limit.framework in FRAMEWORKS
        assert any(mark in limit.reason for mark in ("#", ".py`"))


def test_cells_are_chosen_by_pattern() -> None:
    assert len(chosen([])) == len(ROWS) * len(FRAMEWORKS)
    picked = [(row.name, framework) for row, framework in chosen(["granian-*/django"])]
    assert picked == [("granian-http1", "django"), ("granian-http2", "django")]
    assert chosen(["nothing"]) == []


def test_the_table_shows_what_holds_and_numbers_what_cannot() -> None:
    cells = [
        Cell("daphne", "bare", 8),
        Cell("daphne", "quart", 8, {"websocket": "refused"}, LIMIT),
        Cell("granian-http1", "bare", 8, {"crash": "200"}),
    ]
    assert [*report.table(cells, [LIMIT.reason])] == [
        "| | bare ASGI | Quart |",
        "|---|---|---|",
        "| daphne | all | 7 of 8 [1] |",
        "| granian-http1 | 7 of 8 **wrong** |  |",
    ]


def test_a_section_of_the_page_is_replaced_and_the_rest_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- matrix: generated -->\nold\n<!-- end of matrix -->\nbelow\n")
    report.write("matrix", ["| new \\1 |"], page)
    report.write("matrix", ["| new \\1 |"], page)
    wanted = "<!-- matrix: generated -->\n\n| new \\1 |\n\n<!-- end of matrix -->"
    assert page.read_text() == f"above\n{wanted}\nbelow\n"
    with pytest.raises(ValueError, match="0 sections 'clients'"):
        report.write("clients", [], page)


def test_the_page_is_of_this_matrix() -> None:
    text = report.PAGE.read_text(encoding="utf-8")
    for row in ROWS:
        assert f"| {row} | " in text
    for limit in LIMITS:
        assert limit.reason in text
    assert "**wrong**" not in text
    assert matrix.limit_of("daphne", "quart") in LIMITS
