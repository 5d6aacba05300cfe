"""An application that has left its earlier system, and what is asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asgi_refresh import Issuer, MemoryStore
from tests.authx.site import RealClock
from tests.blackbox.helpers import ACCESS, REFRESH, Site
from tests.blackbox.helpers import make_site as make
from tests.migration.sources import Source, user_id
from tests.support import Browser, Response

BOTH = {ACCESS, REFRESH}
ALICE, BOB = user_id("alice"), user_id("bob")
MODES = {"stored": True, "stateless": False}


def make_site(clock: RealClock, source: Source, *, stored: bool = True, **kwargs: Any) -> Site:
    """Return the new application; nobody has been there yet."""
    return make(clock, stored=stored, accept_legacy=source.legacy(), **kwargs)


async def arrived(
    clock: RealClock,
    source: Source,
    *,
    stored: bool = True,
    claims: Mapping[str, Any] | None = None,
    age: float = 100.0,
    **kwargs: Any,
) -> Site:
    """Return the new application and a browser that signed in to the old one *age* seconds ago."""
    site = make_site(clock, source, stored=stored, **kwargs)
    await source.sign_in(site.browser, claims=claims)
    clock.advance(age)
    return site


def who(response: Response) -> str | None:
    """Whom the application saw."""
    assert response.status == 200, response.body
    subject: str | None = response.json()["subject"]
    return subject


def sid(response: Response) -> str:
    """The session that the application saw."""
    session_id: str = response.json()["payload"]["sid"]
    return session_id


async def adopted(clock: RealClock, source: Source, **kwargs: Any) -> tuple[Site, dict[str, str]]:
    """Return a site whose browser has been adopted, and the cookies it had before."""
    site = await arrived(clock, source, **kwargs)
    old = site.browser.values()
    assert who(await site.browser.get()) == ALICE
    site.events.clear()
    return site, old


def with_old(site: Site, old: Mapping[str, str]) -> Browser:
    """A browser that has nothing but the *old* cookies: a copy, or a jar that kept them."""
    browser = Browser(site.browser.app, site.clock)
    for name, value in old.items():
        browser.put(name, value)
    return browser


async def sessions(issuer: Issuer, subject: str = ALICE) -> int:
    return len(await issuer.sessions(subject))


def rows(store: Any) -> int:
    """How many rows a store in memory keeps, sessions or not."""
    kept = getattr(store, "store", store)
    assert isinstance(kept, MemoryStore)
    return len(kept._sessions)
