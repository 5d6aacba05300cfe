"""
What a store must do, as checks that anybody can run on a store of their own.

    from asgi_refresh.testing import check_store

    async def test_my_store():
        await check_store(lambda: MyStore(...))

`STORE_CHECKS` lists the checks, for one test each.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from asgi_refresh.store import Store
from asgi_refresh.stores import close_store

from .store_checks import STORE_CHECKS

MakeStore: TypeAlias = Callable[[], Store | Awaitable[Store]]
"""Returns a new, empty store at each call; sync or async."""


async def check_store(make_store: MakeStore) -> None:
    """
    Run every check, each on a new store.

    Args:
        make_store: Returns a new, empty store; what two of them keep must not mix. One with a
            `close()`, sync or async, is closed.

    Raises:
        AssertionError: The store breaks a rule, which the note of the error names.
    """
    for check in STORE_CHECKS:
        made = make_store()
        store = await made if inspect.isawaitable(made) else made
        try:
            await check(store)
        except Exception as error:
            error.add_note(f"{check.__name__}: {inspect.getdoc(check)}")
            raise
        finally:
            await close_store(store)
