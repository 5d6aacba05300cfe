"""Every rule of a store, on every store; and the checks themselves, on stores that break one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asgi_refresh import Store
from asgi_refresh.testing import STORE_CHECKS

pytestmark = pytest.mark.anyio


async def test_it_is_a_store(store: Any) -> None:
    assert isinstance(store, Store)


@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
async def test_it_keeps_the_rule(store: Any, check: Callable[[Store], Awaitable[None]]) -> None:
    await check(store)
