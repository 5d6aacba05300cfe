"""The cells: every fact, of every framework, on every server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .facts import FACTS
from .proxies import Proxied
from .servers import Server
from .visitor import Place
from .wire import WIRES
from .wire.common import Address


@dataclass(frozen=True)
class Cell:
    """
    One framework on one server.

    Attributes:
        wrong: By fact, what was seen instead; nothing: all are true.
    """

    server: str
    framework: str
    wrong: Mapping[str, str]


def cell(
    server: Server | Proxied, framework: str, facts: Sequence[str] = tuple(FACTS)
) -> Cell:
    """Serve *framework* by *server*, and establish the *facts*."""
    with server.serving(framework) as (web, sockets):
        wrong = asyncio.run(_establish(server, web, sockets, facts))
    return Cell(server.name, framework, wrong)


def cells(servers: Sequence[Server], frameworks: Sequence[str]) -> Iterator[Cell]:
    for server in servers:
        for framework in frameworks:
            yield cell(server, framework)


async def _establish(
    server: Server | Proxied, web: Address, sockets: Address, facts: Sequence[str]
) -> dict[str, str]:
    wrong = {}
    for name in facts:
        try:
            # A connection each: what breaks one fact breaks no other.
            async with WIRES[server.http].to(web) as wire:
                await FACTS[name](Place(web, wire, sockets, not server.drops, server.prefix))
        except Exception as error:  # noqa: BLE001 - whatever it is, the fact was not seen
            wrong[name] = f"{type(error).__name__}: {error}".partition("\n")[0]
    return wrong
