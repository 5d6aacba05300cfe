"""The cells: every fact, of every framework, on every server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch

from .limits import Limit, limit_of
from .proxies import PROXIED, Proxied
from .servers import FRAMEWORKS, SERVERS, Server
from .visitor import Place
from .wire import wire_of
from .wire.common import Address

Row = Server | Proxied
ROWS: dict[str, Row] = {**SERVERS, **PROXIED}


@dataclass(frozen=True)
class Cell:
    """
    One framework on one server.

    Attributes:
        facts: How many there are.
        wrong: By fact, what was seen instead; nothing: all are true.
        limit: Why some cannot be.
    """

    server: str
    framework: str
    facts: int
    wrong: Mapping[str, str] = field(default_factory=dict)
    limit: Limit | None = None

    def problems(self) -> Iterator[str]:
        """Yield why the run has failed, a line each; nothing: it has not."""
        excused = set(self.limit.facts if self.limit else ())
        for fact, seen in self.wrong.items():
            if fact not in excused:
                yield f"{self.server}/{self.framework}: {fact}: {seen}"
        for fact in sorted(excused - self.wrong.keys()):
            yield f"{self.server}/{self.framework}: {fact}: holds, though it is said that it cannot"


def chosen(patterns: Sequence[str]) -> list[tuple[Row, str]]:
    """Return the cells `server/framework` that one of *patterns* matches; none: all."""
    every = [(row, framework) for row in ROWS.values() for framework in FRAMEWORKS]
    return [
        (row, framework)
        for row, framework in every
        if not patterns or any(fnmatch(f"{row.name}/{framework}", one) for one in patterns)
    ]


def cell(row: Row, framework: str) -> Cell:
    """Serve *framework* by *row*, and establish the facts."""
    with row.serving(framework) as (web, sockets):
        wrong = asyncio.run(_establish(row, web, sockets))
    return Cell(row.name, framework, len(row.facts), wrong, limit_of(row.name, framework))


async def _establish(row: Row, web: Address, sockets: Address) -> dict[str, str]:
    wrong = {}
    for name, fact in row.facts.items():
        try:
            # A connection each: what breaks one fact breaks no other.
            async with wire_of(row.http).to(web) as wire:
                place = Place(web, wire, sockets, not row.drops, bool(row.refuses), row.prefix)
                await fact(place)
        except Exception as error:  # noqa: BLE001 - whatever it is, the fact was not seen
            wrong[name] = f"{type(error).__name__}: {error}".partition("\n")[0][:200]
    return wrong
