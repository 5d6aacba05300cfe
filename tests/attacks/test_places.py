"""The places themselves: a good token is believed in each, so that a refusal says something."""

from __future__ import annotations

import pytest

from tests.attacks.places import ACCESS_PLACES, PLACES, Place, Site
from tests.support import Clock
from tests.tokens import forge

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("place", PLACES, ids=str)
async def test_a_genuine_token_is_believed_in_its_place(
    clock: Clock, place: Place, stored: bool
) -> None:
    site = Site(clock) if stored else Site(clock, store=None)

    (await place.put(site, await site.genuine(place))).is_of("alice")


@pytest.mark.parametrize("place", ACCESS_PLACES, ids=str)
async def test_what_the_forge_signs_is_believed(clock: Clock, place: Place) -> None:
    (await place.put(Site(clock), forge.token())).is_of("alice")
