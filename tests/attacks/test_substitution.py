"""
Abuse cases AB-25 … AB-32: genuine tokens in the wrong place, of the wrong application or person.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from itsdangerous import Signer

from asgi_refresh import Config, Tokens
from tests.attacks.places import (
    ACCESS_PLACES,
    ENDPOINT,
    OWN,
    PLACES,
    REFRESH_PLACES,
    Header,
    Outcome,
    Place,
    Site,
    bearer,
)
from tests.blackbox.helpers import MINUTE, TOMBSTONE
from tests.support import SECRET as BARE
from tests.support import Clock
from tests.tokens import forge
from tests.tokens.forge import NOW, b64, claims, header, token

pytestmark = pytest.mark.anyio

everywhere = pytest.mark.parametrize("place", PLACES, ids=str)
both_modes = pytest.mark.parametrize("stored", [True, False], ids=["rotating", "stateless"])
NAVIGATION: tuple[Header, ...] = (
    (b"sec-fetch-mode", b"navigate"),
    (b"sec-fetch-dest", b"document"),
)


def site_of(clock: Clock, stored: bool, **kwargs: Any) -> Site:
    return Site(clock, store=... if stored else None, **kwargs)


def both(site: Site, access: str | bytes, refresh: str | bytes) -> Header:
    return site.cookies((site.access, access), (site.refresh, refresh))


def handed_out(site: Site, outcome: Outcome) -> dict[str, str]:
    """Name to value of the cookies that were set."""
    pairs = [line.partition(";")[0].partition("=") for line in outcome.set_cookies]
    assert len({name for name, _, _ in pairs}) == len(pairs)
    return {name: value for name, _, value in pairs}


PURPOSES = ["csrf", "CSRF token", "dbsc sid", "dbsc challenge", "device", "tombstone", "key id",
            "access token", "stateless refresh token", "refresh token", ""]  # fmt: skip


def of_another_purpose(secret: bytes, message: bytes) -> list[bytes]:
    """What this application, or another extension of it, signs with the same secret."""
    salts = [b"asgi_refresh " + purpose.encode() for purpose in PURPOSES]
    salts += [b"itsdangerous.Signer", b"django.core.signing", b"cookie-session", b"asgi_refresh"]
    return [
        Signer(secret, salt=salt, key_derivation=how, digest_method=hashlib.sha256).sign(message)
        for salt in salts
        for how in ("hmac", "django-concat")
    ]


@everywhere
@both_modes
async def test_AB_25_no_token_passes_as_one_of_another_kind(
    clock: Clock, place: Place, stored: bool
) -> None:
    """
    DBSC and CSRF tokens do not exist yet: here whatever else the same secrets sign stands for them.
    """
    site, other_mode = site_of(clock, stored), site_of(clock, not stored)
    tokens, others = await site.issue(), await other_mode.issue()
    wrong = tokens.refresh_token if place.kind == "access" else tokens.access_token
    await site.http(both(site, tokens.access_token, "x"))  # the cache knows it
    genuine = (tokens.refresh_token, tokens.access_token)[place.kind == "access"].encode()
    message = genuine.rpartition(b".")[0]
    signed = of_another_purpose(forge.SECRET, message)
    if not stored:
        signed = [raw for raw in signed if raw != genuine]
    signed += of_another_purpose(forge.ACCESS_SECRET, message)
    raws = [wrong, tokens.session_id, f"{tokens.session_id}.1", others.refresh_token, *signed]
    for raw in raws:
        if raw != genuine:
            (await place.put(site, raw)).nobody(raw)
    (await place.put(site, genuine)).is_of("alice")


@both_modes
async def test_AB_25_tokens_in_each_others_cookies_are_nobody(clock: Clock, stored: bool) -> None:
    site = site_of(clock, stored)
    tokens = await site.issue()

    swapped = both(site, tokens.refresh_token, tokens.access_token)
    (await site.http(swapped)).nobody()
    outcome = await site.http(swapped, *OWN, path=ENDPOINT, method="POST")
    assert (outcome.status, outcome.reason, outcome.set_cookies) == (401, "invalid_token", [])
    (await site.websocket(OWN[0], swapped)).nobody()
    (await site.http(bearer(tokens.refresh_token), path="/")).nobody()


@both_modes
async def test_AB_25_a_bare_secret_signs_every_kind_apart(clock: Clock, stored: bool) -> None:
    """DESIGN §5: every key is derived from it, by its purpose; and it signs nothing itself."""
    site = site_of(clock, stored, key=BARE, secret=None, verifier=forge.KEY)
    tokens = await site.issue()
    head = tokens.access_token.split(".")[0].encode()
    signed = of_another_purpose(BARE.encode(), head + b"." + b64(forge.text(claims())))
    ours = signed[2 * PURPOSES.index("access token")]
    for place in PLACES:
        if place.name.lower().startswith("verifier"):
            continue
        wrong = tokens.refresh_token if place.kind == "access" else tokens.access_token
        (await place.put(site, wrong)).nobody(place)
        for raw in [*signed, forge.sign(head, b64(forge.text(claims())), BARE.encode())]:
            outcome = await place.put(site, raw)
            if raw == ours and place.kind == "access":
                outcome.is_of("alice")  # so the others are refused for their purpose alone
            else:
                outcome.nobody(raw)


@everywhere
@both_modes
async def test_AB_26_a_token_of_another_application_with_the_same_secrets_is_nobody(
    clock: Clock, place: Place, stored: bool
) -> None:
    for ours, theirs in (("a", "b"), ("a", None), (None, "a"), ("acme", "ac")):
        site = site_of(clock, stored, config=Config(issuer=ours))
        another = site_of(clock, stored, config=Config(issuer=theirs))
        (await place.put(site, await another.genuine(place))).nobody((ours, theirs))
        (await place.put(site, await site.genuine(place))).is_of("alice")


GARBAGE = ["", "x", "a.b", "a.b.c", "undefined", "\x00", "x" * 5000, '"quoted"']


@both_modes
@pytest.mark.parametrize("how", [(), NAVIGATION], ids=["fetch", "navigation"])
async def test_AB_27_garbage_next_to_a_good_access_token_harms_nobody(
    clock: Clock, stored: bool, how: tuple[Header, ...]
) -> None:
    """The refusal is an event; nothing is set, nothing deleted, nothing written."""
    site = site_of(clock, stored)
    tokens = await site.issue()
    for garbage in GARBAGE:
        cookies = both(site, tokens.access_token, garbage)
        for outcome in (await site.http(cookies, *how), await site.websocket(OWN[0], cookies)):
            outcome.is_of("alice")
            assert (outcome.set_cookies, outcome.writes) == ([], []), garbage
            assert {event.name for event in outcome.events} <= {"rejected"}, garbage


async def test_AB_27_a_refusal_next_to_a_good_token_is_told(clock: Clock) -> None:
    """A token that nobody has seen yet and one that is known go the same way."""
    site = Site(clock)
    tokens = await site.issue()
    clock.advance(9 * MINUTE + 30)  # refresh_before: only now is the refresh token looked at
    outcome = await site.http(both(site, tokens.access_token, "x"))

    outcome.is_of("alice")
    assert [(e.name, e.reason) for e in outcome.events] == [("rejected", "invalid_token")]
    assert outcome.set_cookies == []


@both_modes
async def test_AB_27_the_endpoint_says_that_the_refresh_token_is_bad(
    clock: Clock, stored: bool
) -> None:
    """DESIGN §3: 401 invalid_token for any bad token, whatever access cookie is next to it."""
    site = site_of(clock, stored)
    tokens, planted_token = await site.issue(), (await site.issue("mallory")).refresh_token
    for bad in ("x", tokens.access_token, planted_token):
        cookies = both(site, tokens.access_token, bad)
        outcome = await site.http(cookies, *OWN, path=ENDPOINT, method="POST")
        assert (outcome.set_cookies, outcome.writes) == ([], [])
        assert (outcome.status, outcome.reason) == (401, "invalid_token")


FORGED: dict[str, Callable[[], bytes]] = {
    "garbage": lambda: b"x.y.z",
    "wrong signature": lambda: token(claims(sub="mallory"), secret=b"m" * 40),
    "none": lambda: token(claims(sub="mallory"), header(alg="none")),
    "wrong typ": lambda: token(claims(sub="mallory"), header(typ="JWT")),
    "of the future": lambda: token(claims(sub="mallory", iat=NOW + 9_000)),
}


@both_modes
@pytest.mark.parametrize("kind", FORGED)
async def test_AB_28_a_forged_access_token_next_to_a_good_refresh_token_counts_as_none(
    clock: Clock, stored: bool, kind: str
) -> None:
    """
    The refresh is allowed, and the forgery is an event: `rejected`, `invalid_token` (DESIGN §10).
    """
    site = site_of(clock, stored)
    tokens = await site.issue()
    clock.advance(MINUTE)
    cookies = both(site, FORGED[kind](), tokens.refresh_token)

    for outcome in (await site.http(cookies), await site.websocket(OWN[0], cookies)):
        outcome.is_of("alice")
        assert [e.reason for e in outcome.named("rejected")] == ["invalid_token"]
        assert site.issuer.verify(handed_out(site, outcome)[site.access])["sub"] == "alice"


async def ended(site: Site, tokens: Tokens, how: str, clock: Clock) -> None:
    if how == "revoked":
        await site.issuer.revoke(tokens.session_id)
        clock.advance(20 * MINUTE)
    else:
        clock.advance(91 * 86400)
    site.forget()


@both_modes
@pytest.mark.parametrize("how", ["expired", "revoked"])
@pytest.mark.parametrize("sent", ["both", "access", "refresh"])
async def test_AB_29_of_an_ended_session_only_what_was_sent_is_deleted(
    clock: Clock, stored: bool, how: str, sent: str
) -> None:
    """DESIGN §6: and only where the user goes to a page, by a browser that says so."""
    if how == "revoked" and not stored:
        how = "expired"  # without a store nothing is revoked
    site = site_of(clock, stored)
    tokens = await site.issue()
    await ended(site, tokens, how, clock)
    pairs = {site.access: tokens.access_token, site.refresh: tokens.refresh_token}
    names = {"both": {*pairs}, "access": {site.access}, "refresh": {site.refresh}}[sent]
    cookies = site.cookies(*[(name, pairs[name]) for name in pairs if name in names])
    knows = site.refresh in names  # an access token that has run out says nothing of its session
    expected = "session_ended" if knows else "expired_token"

    (await site.http(cookies)).nobody("fetch", reason=expected)
    (await site.websocket(OWN[0], cookies)).nobody("websocket", reason=expected)
    outcome = await site.http(cookies, *NAVIGATION)

    assert (outcome.subject, outcome.reason, outcome.writes) == (None, expected, [])
    assert [e.reason for e in outcome.named("rejected")] == [expected]
    deleted = {line.partition("=")[0] for line in outcome.set_cookies}
    assert deleted == (names if knows else set())
    assert all("Max-Age=0" in line for line in outcome.set_cookies)


@pytest.mark.parametrize("place", ACCESS_PLACES, ids=str)
async def test_AB_30_a_token_that_is_not_yet_good_or_ill_signed_is_nobody(
    clock: Clock, place: Place
) -> None:
    site = Site(clock)
    for raw in (
        token(claims(iat=NOW + 6)),
        token(claims(nbf=NOW + 6)),
        token(secret=b"x" * 40),
        token()[:-1] + (b"A" if token()[-1:] != b"A" else b"E"),
        token().replace(b".", b".e", 1),
    ):
        (await place.put(site, raw)).nobody(raw)


async def planted(site: Site) -> tuple[Tokens, Tokens]:
    """Alice's session, and the one that a sibling host puts into her browser."""
    return await site.issue("alice"), await site.issue("mallory")


@both_modes
@pytest.mark.parametrize("age", [0.0, 9 * MINUTE + 30, 10 * MINUTE - 0.001])
async def test_AB_31_next_to_a_planted_tokenrefresh_token_alice_stays_alice(
    clock: Clock, stored: bool, age: float
) -> None:
    """
    DESIGN §11: a mismatch shows only while both cookies arrive, and this is that time.

    Before the access token is due nobody looks at the other cookie, and nothing can come of it.
    """
    site = site_of(clock, stored)
    alice, mallory = await planted(site)
    clock.advance(age)
    cookies = both(site, alice.access_token, mallory.refresh_token)

    for outcome in (
        await site.http(cookies),
        await site.http(cookies, *NAVIGATION),
        await site.http(cookies, *OWN, method="POST"),
        await site.websocket(OWN[0], cookies),
    ):
        outcome.is_of("alice")
        assert (outcome.set_cookies, outcome.writes) == ([], [])
        told = [(e.name, e.reason) for e in outcome.events]
        assert told in ([], [("rejected", "session_mismatch")])
        assert told or age == 0


@both_modes
@pytest.mark.parametrize("how", [(), NAVIGATION], ids=["fetch", "navigation"])
async def test_AB_31_after_alices_time_nobody_is_signed_in(
    clock: Clock, stored: bool, how: tuple[Header, ...]
) -> None:
    site = site_of(clock, stored)
    alice, mallory = await planted(site)
    clock.advance(10 * MINUTE)
    cookies = both(site, alice.access_token, mallory.refresh_token)

    (await site.http(cookies, *how)).nobody(reason="session_mismatch")
    (await site.websocket(OWN[0], cookies)).nobody(reason="session_mismatch")
    outcome = await site.http(cookies, *OWN, path=ENDPOINT, method="POST")
    assert (outcome.status, outcome.set_cookies, outcome.writes) == (401, [], [])


@both_modes
async def test_AB_31_the_endpoint_does_not_slide_either(clock: Clock, stored: bool) -> None:
    """It is asked to refresh whatever is left: it says how long Alice's token is good for."""
    site = site_of(clock, stored)
    alice, mallory = await planted(site)
    cookies = both(site, alice.access_token, mallory.refresh_token)

    outcome = await site.http(cookies, *OWN, path=ENDPOINT, method="POST")

    assert (outcome.set_cookies, outcome.writes) == ([], [])
    assert outcome.status in (401, 503)


async def test_AB_31_two_sessions_of_one_person_are_two(clock: Clock) -> None:
    """The session decides, not the subject: she may have ended the other one."""
    site = Site(clock)
    one, two = await site.issue("alice"), await site.issue("alice")
    clock.advance(10 * MINUTE)

    (await site.http(both(site, one.access_token, two.refresh_token))).nobody(
        reason="session_mismatch"
    )


@pytest.mark.parametrize("place", REFRESH_PLACES, ids=str)
@both_modes
@pytest.mark.parametrize("is_async", [True, False])
async def test_AB_32_a_user_that_load_claims_refuses_is_nobody_and_the_session_ends(
    clock: Clock, place: Place, stored: bool, is_async: bool
) -> None:
    disabled = False

    def load(_session: Any) -> dict[str, Any] | None:
        return None if disabled else {}

    async def load_async(session: Any) -> dict[str, Any] | None:
        return load(session)

    site = site_of(clock, stored, load_claims=load_async if is_async else load)
    raw = await site.genuine(place)
    disabled = True

    outcome = await place.put(site, raw)

    answer = place.refusal[1] if place.is_endpoint else "claims_refused"
    assert (outcome.subject, outcome.reason) == (None, answer)
    assert [e.reason for e in outcome.named("revoked")][:1] == ["claims_refused"]
    if place.name != "endpoint cookie":  # which deletes the cookies, as DESIGN §6 has it
        assert outcome.set_cookies == []
    disabled = False
    if stored:
        assert await site.issuer.sessions("alice") == []
        again = await place.put(site, raw)
        assert again.refused


async def test_AB_32_a_session_that_ended_so_ends_its_access_tokens(clock: Clock) -> None:
    disabled = False

    async def load(_session: Any) -> dict[str, Any] | None:
        return None if disabled else {}

    site = Site(clock, load_claims=load)
    tokens = await site.issue()
    disabled = True
    await site.http(site.cookies((site.refresh, tokens.refresh_token)))

    for place in ACCESS_PLACES:
        if not place.name.lower().startswith("verifier"):  # revocations do not reach it
            (await place.put(site, tokens.access_token)).nobody(place, reason="revoked_token")


async def test_AB_25_a_tombstone_is_no_token(clock: Clock) -> None:
    site = Site(clock, store=None)
    tokens = await site.issue()
    for value in (tokens.access_token, tokens.refresh_token):
        outcome = await site.http(site.cookies((TOMBSTONE, value)))
        assert (outcome.subject, outcome.set_cookies) == (None, [])
