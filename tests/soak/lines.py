"""
A store and the same store through a proxy, with hosts on both sides.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from asgi_refresh import Config
from tests.blackbox.helpers import REFRESH, Site, make_site
from tests.soak.backends import Backend, close
from tests.soak.ledger import generation_of
from tests.soak.proxy import Proxy
from tests.support import Clock, Response, require, whoami

TRIES = 3  # until the dead connections of a pool are found out

NOISE = [
    # A call that is cancelled leaves its connection to drivers, which leave some of them to the
    # garbage collector, which says so.
    pytest.mark.filterwarnings("ignore:The garbage collector is trying to clean up"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@dataclass
class Line:
    """A store, and the same store through a proxy."""

    proxy: Proxy
    direct: Any
    store: Any

    def sites(self, clock: Clock, app: Any = whoami, *, timeout: float) -> tuple[Site, Site]:
        """Two hosts in front of one jar: one on the other side of the proxy, and one not."""
        config = Config(store_timeout=timedelta(seconds=timeout))
        far = make_site(clock, app, store=self.store, config=config)
        near = make_site(clock, app, store=self.direct, config=config)
        near.browser.jar = far.browser.jar
        return far, near


@asynccontextmanager
async def laid(store: str) -> AsyncIterator[Line]:
    """A line to that store, gone without a trace afterwards."""
    _mute_drivers()
    backend = Backend.named(store, f"proxied_{secrets.token_hex(4)}", Path())
    require(backend.is_up(), f"{store} does not run here")
    await backend.prepare()
    proxy = Proxy(*backend.address)
    line = Line(proxy, backend.open(), backend.at(await proxy.start()).open())
    try:
        yield line
    finally:
        proxy.pass_on()
        await close(line.store)
        await close(line.direct)
        await proxy.stop()
        await backend.clean()


def _mute_drivers() -> None:
    """Keep quiet what drivers raise in callbacks of the loop when a connection goes: asyncpg."""
    loop = asyncio.get_running_loop()
    handler = loop.get_exception_handler()

    def muted(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if isinstance(context.get("exception"), ConnectionError):
            return
        if handler is None:
            loop.default_exception_handler(context)
        else:
            handler(loop, context)

    loop.set_exception_handler(muted)


def deletes(response: Response) -> bool:
    return any("max-age=0" in line.lower() for line in response.set_cookies)


def generation(response: Response) -> int:
    """The generation that a response hands out."""
    return generation_of(response.cookies[REFRESH])


async def go_on(site: Site) -> Response:
    """A request that refreshes, once more while dead connections are found out."""
    for _ in range(TRIES):
        response = await site.browser.get("/")
        if response.json()["subject"] is not None and REFRESH in response.cookies:
            return response
        assert response.json()["reason"] in (None, "store_unavailable")
        assert response.set_cookies == []
    raise AssertionError(f"signed in no more: {response.json()}")
