"""
A TCP proxy in front of a store's server, to let things go wrong between them.

An exchange is something that the client sends and the server's answer to it. Cutting one means
that the server has got the request and done it, and that nobody will ever tell the client.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Literal

from .wire import reset

Mode = Literal["pass", "stall", "cut", "down"]


class Proxy:
    """
    Passes bytes on, or does not.

    Modes: "pass"; "stall" keeps bytes back, both ways, until the mode changes, and then delivers
    them even for a client that has gone; "cut" swallows an answer and resets the connection;
    "down" resets every connection. A connection that is frozen keeps its bytes for good, as one
    does that a firewall has forgotten.

    Args:
        host: Of the server.
        port: Of the server.

    Attributes:
        count: How many connections and exchanges there were, and what was done to them.
    """

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self._mode: Mode = "pass"
        self._passes, self._once = 0, False
        self._changed = asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()
        self._exchanges: set[_Exchange] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.count: Counter[str] = Counter()

    async def start(self) -> int:
        """Listen, and return the port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self.down()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def pass_on(self) -> None:
        """From now on, and what was kept back."""
        self._set("pass")

    def stall(self) -> None:
        self._set("stall")

    def cut(self, after: int = 0, *, once: bool = False) -> None:
        """
        Let *after* exchanges through, then swallow the next answer.

        After that every connection is reset, unless *once*: then bytes pass again.
        """
        self._passes, self._once = after, once
        self._set("cut")

    def down(self) -> None:
        """Reset every connection, and those to come."""
        self._set("down")
        self.reset()

    def freeze(self) -> None:
        """Nothing comes through the connections that there are any more; new ones work."""
        for exchange in self._exchanges:
            exchange.is_frozen = True
        self._set("pass")

    def reset(self) -> None:
        """Reset every connection that there is."""
        self.count["connections reset"] += len(self._open)
        for writer in list(self._open):
            reset(writer)

    @property
    def has_cut(self) -> bool:
        """Whether the answer that was to be swallowed has been."""
        return self._mode == "down"

    def _set(self, mode: Mode) -> None:
        self._mode = mode
        self._changed.set()
        self._changed = asyncio.Event()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode == "down":
            reset(writer)
            return
        self.count["connections"] += 1
        self._open.add(writer)
        server: asyncio.StreamWriter | None = None
        exchange = _Exchange()
        self._exchanges.add(exchange)
        try:
            answers, server = await asyncio.open_connection(*self._upstream)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forward(reader, server, exchange))
                group.create_task(self._back(answers, writer, exchange))
        except* (OSError, _Cut):
            pass
        finally:
            self._open.discard(writer)
            self._exchanges.discard(exchange)
            for end in (writer, server):
                if end is not None:
                    reset(end)

    async def _forward(
        self, reader: asyncio.StreamReader, server: asyncio.StreamWriter, exchange: _Exchange
    ) -> None:
        while data := await reader.read(65536):
            await self._stalled(exchange)
            exchange.is_asked = True
            server.write(data)
            await server.drain()
        await self._stalled(exchange)
        server.write_eof()

    async def _back(
        self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter, exchange: _Exchange
    ) -> None:
        while data := await answers.read(65536):
            if exchange.is_asked:
                exchange.is_asked = False
                self.count["exchanges"] += 1
                if self._mode == "cut":
                    self._count_down()
            await self._stalled(exchange)
            if not writer.transport.is_closing():
                writer.write(data)
                await writer.drain()
        raise _Cut  # the server has closed: nothing more to say to the client

    def _count_down(self) -> None:
        if self._passes > 0:
            self._passes -= 1
            return
        self.count["answers swallowed"] += 1
        if self._once:
            self.pass_on()
        else:
            self.down()
        raise _Cut

    async def _stalled(self, exchange: _Exchange) -> None:
        if self._mode == "stall":
            self.count["stalled"] += 1
        while self._mode == "stall" or exchange.is_frozen:
            await self._changed.wait()


class _Cut(Exception):  # noqa: N818 - a way out, not a fault
    """The connection is over."""


class _Exchange:
    """Whether the server owes an answer, and whether it will ever come through."""

    def __init__(self) -> None:
        self.is_asked = self.is_frozen = False


async def trouble(proxy: Proxy, rng: random.Random, is_over: Callable[[], bool]) -> None:
    """Make one kind of trouble after another, with some peace between."""
    while not is_over():
        await asyncio.sleep(rng.uniform(0.5, 2.5))
        kind = rng.choice(["cut", "cut", "cut", "stall", "reset", "down"])
        if kind == "cut":
            for _ in range(rng.randint(1, 10)):
                proxy.cut(rng.randint(0, 4), once=True)
                await asyncio.sleep(rng.uniform(0.0, 0.1))
        elif kind == "stall":
            proxy.stall()
            await asyncio.sleep(rng.uniform(0.1, 1.2))
        elif kind == "reset":
            proxy.reset()
        else:
            proxy.down()
            await asyncio.sleep(rng.uniform(0.1, 0.6))
        proxy.pass_on()
