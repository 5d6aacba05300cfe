"""Python's: httpx, aiohttp and requests."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from .session import TOGETHER, Answers, Ask, Client, Requests

T = TypeVar("T")


def _gather(one: Callable[[str, str], Awaitable[tuple[int, str]]], requests: Requests) -> Any:
    async def all_of_them() -> Answers:
        return list(await asyncio.gather(*(one(*request) for request in requests)))

    return all_of_them()


@contextmanager
def _httpx(origin: str, authority: Path) -> Iterator[Ask]:
    import httpx

    context = ssl.create_default_context(cafile=str(authority))
    with asyncio.Runner() as runner:
        client = httpx.AsyncClient(base_url=origin, verify=context)

        async def one(method: str, path: str) -> tuple[int, str]:
            response = await client.request(method, path)
            return response.status_code, response.text

        yield lambda requests: runner.run(_gather(one, requests))
        runner.run(client.aclose())


@contextmanager
def _aiohttp(origin: str, authority: Path) -> Iterator[Ask]:
    import aiohttp

    context = ssl.create_default_context(cafile=str(authority))

    async def opened() -> Any:
        return aiohttp.ClientSession(origin, connector=aiohttp.TCPConnector(ssl=context))

    with asyncio.Runner() as runner:
        client = runner.run(opened())

        async def one(method: str, path: str) -> tuple[int, str]:
            async with client.request(method, path) as response:
                return response.status, await response.text()

        yield lambda requests: runner.run(_gather(one, requests))
        runner.run(client.close())


@contextmanager
def _requests(origin: str, authority: Path) -> Iterator[Ask]:
    import requests

    with requests.Session() as client, ThreadPoolExecutor(TOGETHER) as threads:
        client.trust_env = False  # its certificates would come before ours
        client.verify = str(authority)

        def one(request: tuple[str, str]) -> tuple[int, str]:
            method, path = request
            response = client.request(method, origin + path, timeout=20)
            return response.status_code, response.text

        yield lambda requests: list(threads.map(one, requests))


LIBRARIES = [
    Client("httpx", lambda: version("httpx"), _httpx),
    Client("aiohttp", lambda: version("aiohttp"), _aiohttp),
    Client("requests", lambda: version("requests"), _requests),
]
