"""`docs/compatibility.md`, written from what a run has seen."""

from __future__ import annotations

import datetime as dt
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.processes import ROOT

from .limits import Limit
from .matrix import ROWS, Cell
from .servers import FRAMEWORKS, SERVERS

PAGE = ROOT / "docs" / "compatibility.md"
WHOLE = "all"
_TITLES = {
    "bare": "bare ASGI",
    "starlette": "Starlette",
    "fastapi": "FastAPI",
    "quart": "Quart",
    "litestar": "Litestar",
    "django": "Django",
    "flask": "Flask",
}


def write(section: str, lines: Iterable[str], page: Path = PAGE) -> None:
    """Put *lines* where *section* stands in *page*."""
    text = page.read_text(encoding="utf-8")
    begin, end = f"<!-- {section}: generated -->", f"<!-- end of {section} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    body = "\n".join([begin, "", *lines, "", end])
    made, count = pattern.subn(lambda _: body, text)
    if count != 1:
        raise ValueError(f"{page} has {count} sections {section!r}")
    page.write_text(made, encoding="utf-8")


def seen_on() -> str:
    """Return when and on what this run was."""
    today = dt.datetime.now(dt.UTC).date()
    return f"Seen on {today} with Python {platform.python_version()} on {platform.system()}."


def matrix(cells: Sequence[Cell], *, nginx: str) -> Iterator[str]:
    """Yield what a run has seen of servers and frameworks."""
    limits = list(dict.fromkeys(one.limit for one in cells if one.limit is not None))
    reasons = list(dict.fromkeys(limit.reason for limit in limits))
    count = len(FRAMEWORKS) * len(ROWS) - len(limits)
    yield f"{seen_on()} Of {len(FRAMEWORKS) * len(ROWS)} cells {count} are whole."
    yield ""
    direct = [one for one in cells if one.server in SERVERS]
    behind = [one for one in cells if one.server not in SERVERS]
    yield from table(direct, reasons)
    yield ""
    yield f"Behind {nginx}:"
    yield ""
    yield from table(behind, reasons)
    yield ""
    yield from (f"[{number}] {reason}" + "  " for number, reason in enumerate(reasons, 1))
    yield ""
    yield from _dropped()
    yield ""
    yield from _versions()


def table(cells: Sequence[Cell], reasons: Sequence[str]) -> Iterator[str]:
    """Yield one row for each server, one column for each framework."""
    servers = list(dict.fromkeys(one.server for one in cells))
    frameworks = list(dict.fromkeys(one.framework for one in cells))
    by_place = {(one.server, one.framework): one for one in cells}
    yield f"| | {' | '.join(_TITLES[name] for name in frameworks)} |"
    yield "|---" * (len(frameworks) + 1) + "|"
    for server in servers:
        row = [by_place.get((server, framework)) for framework in frameworks]
        yield f"| {server} | {' | '.join(_shown(one, reasons) for one in row)} |"


def _shown(cell: Cell | None, reasons: Sequence[str]) -> str:
    if cell is None:
        return ""
    held = cell.facts - len(cell.wrong)
    shown = WHOLE if held == cell.facts else f"{held} of {cell.facts}"
    problems = " **wrong**" if any(cell.problems()) else ""
    return f"{shown}{_note(cell.limit, reasons)}{problems}"


def _note(limit: Limit | None, reasons: Sequence[str]) -> str:
    return "" if limit is None else f" [{reasons.index(limit.reason) + 1}]"


def _dropped() -> Iterator[str]:
    """Tell which servers keep a handshake's cookies to themselves."""
    drops = dict.fromkeys(server.drops for server in SERVERS.values() if server.drops)
    yield (
        "A WebSocket's new access cookie goes out with `websocket.accept`, on every server but two:"
        f" {'; '.join(drops)}."
    )
    yield (
        "There the connection has the new identity all the same, and nothing is lost: a handshake"
        " never rotates, and the next request is refreshed like any other."
    )
    for server in SERVERS.values():
        if server.refuses:
            yield f"By HTTP/2 no WebSocket comes to {server.name}: {server.refuses}."


def _versions() -> Iterator[str]:
    packages = {name for row in SERVERS.values() for name in row.packages}
    packages |= {name for names in FRAMEWORKS.values() for name in names}
    yield f"Versions: {', '.join(f'{name} {text}' for name, text in versions(packages).items())}."


def versions(packages: Iterable[str]) -> Mapping[str, str]:
    """Return the version of each of *packages*, by name."""
    found = {}
    for name in sorted(packages):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found
