"""An application's blocklist: what is on it mints nothing, and whoever is asked may be away."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from asgi_refresh.endpoints import RefreshEndpoint
from tests.authx.site import ACCESS, HOUR, REFRESH, RealClock, Site, given, signed_in
from tests.support import Browser

pytestmark = pytest.mark.anyio

fronts = pytest.mark.parametrize("front", ["stateless", "stored"])
OVER = -5.0


def sent(site: Site, name: str) -> str:
    return site.browser.values()[name]


@fronts
@pytest.mark.parametrize("name", [ACCESS, REFRESH])
@pytest.mark.parametrize("left", [60.0, OVER])
async def test_what_is_on_it_mints_nothing(
    clock: RealClock, front: Any, name: str, left: float
) -> None:
    """AuthX answers 401 and, with its own middleware, a new token (S2)."""
    site = await signed_in(clock, front, left=left)
    site.blocked.add(sent(site, name))

    response = await site.browser.get("/me")

    refused = 401 if name == ACCESS else 422 if left == OVER else 200  # by AuthX, if at all
    assert (response.status, given(response)) == (refused, set())
    assert [(e.name, e.reason) for e in site.events][-1] == ("rejected", "revoked_token")


@fronts
async def test_what_is_not_on_it_is_refreshed(clock: RealClock, front: Any) -> None:
    site = await signed_in(clock, front, left=OVER)
    site.blocked.add("another")

    assert (await site.browser.get("/me")).status == 200


async def test_a_later_refresh_token_may_be_on_it(clock: RealClock) -> None:
    site = await signed_in(clock, "stored", left=OVER)
    await site.browser.get("/me")
    site.blocked.add(sent(site, REFRESH))
    clock.advance(HOUR)

    assert (await site.browser.get("/me")).status == 422


@fronts
async def test_the_endpoint_asks_it_too(clock: RealClock, front: Any) -> None:
    site = await signed_in(clock, front)
    assert site.issuer is not None
    raw = sent(site, REFRESH)
    site.blocked.add(raw)
    client = Browser(RefreshEndpoint(site.issuer), clock)

    response = await client.post("/", headers=[("authorization", f"Bearer {raw}")])

    assert (response.status, response.json()) == (401, {"error": "invalid_token"})


class Broken:
    """A blocklist that raises, or never answers, until it is mended."""

    def __init__(self, *, hangs: bool) -> None:
        self.hangs, self.mended = hangs, False

    async def __call__(self, _raw: str) -> bool:
        if not self.mended and self.hangs:
            await anyio.sleep_forever()
        if not self.mended:
            raise OSError("the blocklist is away")
        return False


@fronts
@pytest.mark.parametrize("hangs", [True, False])
async def test_while_nobody_knows_nothing_is_minted(
    clock: RealClock, front: Any, hangs: bool
) -> None:
    broken = Broken(hangs=hangs)
    settings = {"is_revoked": broken}
    site = await signed_in(clock, front, left=OVER, settings=settings)
    assert site.issuer is not None
    site.issuer.mode._timeout = 0.01  # type: ignore[attr-defined]

    away = await site.browser.get("/me")
    events = [(e.name, e.reason) for e in site.events]
    broken.mended = True
    back = await site.browser.get("/me")

    assert (away.status, given(away)) == (422, set())
    assert events == [("rejected", "claims_unavailable")]
    assert back.status == 200


@fronts
async def test_one_that_is_on_it_decides_though_it_cannot_tell_of_the_other(
    clock: RealClock, front: Any
) -> None:
    asked: list[str] = []

    def first_only(raw: str) -> bool:
        if asked:
            raise OSError("the blocklist is away")
        asked.append(raw)
        return True

    site = await signed_in(clock, front, left=OVER, settings={"is_revoked": first_only})

    response = await site.browser.get("/me")

    assert (response.status, given(response)) == (422, set())
    assert [(e.name, e.reason) for e in site.events] == [("rejected", "revoked_token")]
    assert len(asked) == 1


@fronts
async def test_it_may_be_a_plain_function(clock: RealClock, front: Any) -> None:
    asked: list[str] = []
    settings = {"is_revoked": asked.append}
    site = await signed_in(clock, front, left=OVER, settings=settings)
    tokens = {sent(site, ACCESS), sent(site, REFRESH)}

    assert (await site.browser.get("/me")).status == 200
    assert set(asked) > tokens  # and the one that was minted, before it goes out
