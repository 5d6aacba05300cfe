"""A new key, stage by stage, on hosts that are not all at the same stage: nobody is signed out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from asgi_refresh import Issuer, Key, MemoryStore, RefreshMiddleware, Verifier
from asgi_refresh.errors import InvalidTokenError
from tests.support import Browser, Clock, whoami

pytestmark = pytest.mark.anyio
OLD, NEW = "an-old-secret-of-32-bytes-or-somewhat-more", "a-new-secret-of-32-bytes-or-somewhat-more"
SECRET = "the-secret-for-refresh-tokens-stays-as-it-is"
OLD_KEY, NEW_KEY = Key.generate("ES256", "old"), Key.generate("EdDSA", "new")
STAGES: dict[str, list[list[Any]]] = {
    "secrets": [[OLD], [OLD, NEW], [NEW, OLD], [NEW]],
    "keys": [[OLD_KEY], [OLD_KEY, NEW_KEY], [NEW_KEY, OLD_KEY], [NEW_KEY]],
    "a secret and a key": [[OLD], [OLD, NEW_KEY], [NEW_KEY, OLD], [NEW_KEY]],
}
KINDS = pytest.mark.parametrize("kind", STAGES)
STORED = pytest.mark.parametrize("stored", [True, False])


class Fleet:
    """Hosts that share a store and differ in their rings."""

    def __init__(self, clock: Clock, kind: str, *, stored: bool) -> None:
        self.clock, self.store = clock, MemoryStore() if stored else None
        self.stages = STAGES[kind]
        self.secret = None if kind == "secrets" else [OLD] if "secret" in kind else SECRET

    def host(self, ring: Sequence[Any]) -> Issuer:
        return Issuer(
            ring, secret=self.secret, store=self.store, clock=self.clock,
            on_event=lambda _event: None,
        )  # fmt: skip

    def at(self, stage: int) -> Issuer:
        return self.host(self.stages[stage])


@KINDS
@STORED
async def test_a_browser_stays_signed_in_through_all_stages(
    clock: Clock, kind: str, stored: bool
) -> None:
    fleet = Fleet(clock, kind, stored=stored)
    browser = Browser(RefreshMiddleware(whoami, fleet.at(0)), clock)
    await browser.get("/login")
    for stage in range(4):
        browser.app = RefreshMiddleware(whoami, fleet.at(stage))
        for _ in range(3):
            clock.advance(3600)
            assert (await browser.get("/")).json()["subject"] == "alice"
        clock.advance(7 * 86400 + 3600)  # within idle_lifetime, and enough to slide without a store
        assert (await browser.get("/")).json()["subject"] == "alice"


@KINDS
@STORED
@pytest.mark.parametrize("stages", list(pairwise(range(4))), ids=str)
async def test_during_a_deploy_each_host_takes_the_tokens_of_the_other(
    clock: Clock, kind: str, stored: bool, stages: tuple[int, int]
) -> None:
    """[old] | [old, new], then [old, new] | [new, old], then [new, old] | [new]."""
    fleet = Fleet(clock, kind, stored=stored)
    hosts = [RefreshMiddleware(whoami, fleet.at(stage)) for stage in stages]
    browser = Browser(hosts[0] if stages != (2, 3) else hosts[1], clock)
    await browser.get("/login")
    for n in range(6):  # to and fro between hosts that disagree which key is the newest
        browser.app = hosts[n % 2]
        assert (await browser.get("/")).json()["subject"] == "alice"
        clock.advance(700 if n % 3 else 10)


@KINDS
async def test_hosts_at_two_stages_repeat_one_refresh_for_parallel_requests(
    clock: Clock, kind: str
) -> None:
    fleet = Fleet(clock, kind, stored=True)
    first, second = fleet.at(1), fleet.at(2)
    tokens = await fleet.at(0).issue("alice")
    clock.advance(3600)

    one, two = await first.refresh(tokens.refresh_token), await second.refresh(tokens.refresh_token)
    clock.advance(3600)

    for again in (one, two):
        for host in (first, second):
            await host.refresh(again.refresh_token)
    assert len(await first.sessions("alice")) == 1


@KINDS
async def test_without_the_stage_between_a_deploy_signs_users_out(clock: Clock, kind: str) -> None:
    """Why a new key verifies everywhere before it signs."""
    fleet = Fleet(clock, kind, stored=True)
    fresh = await fleet.at(2).issue("alice")

    with pytest.raises(InvalidTokenError):
        fleet.at(0).verify(fresh.access_token)


@KINDS
async def test_a_retired_key_is_refused(clock: Clock, kind: str) -> None:
    fleet = Fleet(clock, kind, stored=True)
    tokens = await fleet.at(1).issue("alice")

    with pytest.raises(InvalidTokenError):
        fleet.at(3).verify(tokens.access_token)


async def test_a_retired_secret_is_refused_for_refresh_tokens(clock: Clock) -> None:
    fleet = Fleet(clock, "secrets", stored=True)
    tokens = await fleet.at(1).issue("alice")

    with pytest.raises(InvalidTokenError):
        await fleet.at(3).refresh(tokens.refresh_token)


@pytest.mark.parametrize("stored", [True, False])
async def test_an_old_secret_is_needed_for_as_long_as_a_session_may_be_idle(
    clock: Clock, stored: bool
) -> None:
    fleet = Fleet(clock, "secrets", stored=stored)
    tokens = await fleet.at(1).issue("alice")
    clock.advance(14 * 86400 - 1)

    await fleet.at(2).refresh(tokens.refresh_token)


@KINDS
async def test_what_the_old_key_signed_is_good_until_its_end(clock: Clock, kind: str) -> None:
    fleet = Fleet(clock, kind, stored=True)
    tokens = await fleet.at(0).issue("alice")
    clock.advance(599)

    assert fleet.at(2).verify(tokens.access_token)["sub"] == "alice"


@KINDS
@pytest.mark.parametrize(("stage", "first"), [(0, 0), (1, 0), (2, 1), (3, 1)])
async def test_the_first_key_signs(clock: Clock, kind: str, stage: int, first: int) -> None:
    fleet = Fleet(clock, kind, stored=True)
    tokens = await fleet.at(stage).issue("alice")
    alone = fleet.host([[STAGES[kind][0][0]], [STAGES[kind][3][0]]][first])

    assert alone.verify(tokens.access_token)["sub"] == "alice"


async def test_a_second_service_follows_all_stages_by_the_jwks(clock: Clock) -> None:
    fleet = Fleet(clock, "keys", stored=True)
    for stage in range(4):
        before = fleet.at(max(0, stage - 1))  # a document that is one stage behind
        verifier = Verifier(before.jwks(), clock=clock)
        tokens = await fleet.at(stage).issue("alice")
        assert (await verifier.authenticate(tokens.access_token))["sub"] == "alice"


async def test_a_second_service_refuses_a_key_that_is_out_of_the_jwks(clock: Clock) -> None:
    fleet = Fleet(clock, "keys", stored=True)
    tokens = await fleet.at(1).issue("alice")

    with pytest.raises(InvalidTokenError):
        await Verifier(fleet.at(3).jwks(), clock=clock).authenticate(tokens.access_token)
