"""
Abuse cases AB-17 … AB-24: the claims of a token that bears a genuine signature.

Only who holds the key can sign such tokens: an older release, another service, a mistake.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from asgi_refresh import Auth, Config, Cookie, RefreshMiddleware
from asgi_refresh.claims import RESERVED
from asgi_refresh.errors import ClaimsUnavailable, StoreRequiredError
from tests.attacks.places import (
    ACCESS_PLACES,
    ENDPOINT,
    PLACES,
    REFRESH_PLACES,
    Outcome,
    Place,
    Site,
    bearer,
)
from tests.hostile.tools import http, run, set_cookies
from tests.support import Clock, answer, whoami
from tests.tokens import forge
from tests.tokens.forge import NOW, Raw, claims, token

pytestmark = pytest.mark.anyio

everywhere = pytest.mark.parametrize("place", PLACES, ids=str)
access_places = pytest.mark.parametrize("place", ACCESS_PLACES, ids=str)

NOT_TIMES: list[Any] = [
    ..., None, "1795446777", str(NOW + 600), "", True, False, Raw("NaN"), Raw("Infinity"),
    Raw("-Infinity"), Raw("1e308"), Raw("1e400"), Raw("-1e400"), -1, 0, [], {}, [NOW + 600],
    Raw("9" * 400), Raw("9" * 5000), Raw("-" + "9" * 400), 2**53, 2**63,
]  # fmt: skip


async def refuses(site: Site, place: Place, *bodies: Any) -> None:
    for body in bodies:
        raw = token(body)
        (await place.put(site, raw)).nobody(body)


@everywhere
async def test_AB_17_an_exp_that_is_no_time_is_nobody(clock: Clock, place: Place) -> None:
    await refuses(Site(clock), place, *[claims(exp=value) for value in NOT_TIMES])


async def refresh_with_companion(site: Site, companion: bytes) -> Outcome:
    tokens = await site.issue()
    body = json.dumps({"refresh_token": tokens.refresh_token}).encode()
    json_type = (b"content-type", b"application/json")
    return await site.http(json_type, bearer(companion), path=ENDPOINT, method="POST", body=body)


@pytest.mark.parametrize("stored", [True, False])
async def test_AB_17_next_to_such_an_exp_the_times_of_an_answer_are_sound(
    clock: Clock, stored: bool
) -> None:
    """`expires_in` and Max-Age are reckoned from what we mint, whatever comes along."""
    site = Site(clock) if stored else Site(clock, store=None)
    for value in NOT_TIMES:
        raw = token(claims(exp=value))
        outcome = await refresh_with_companion(site, raw)
        assert (outcome.is_of("alice").told["expires_in"], outcome.set_cookies) == (600, [])
        tokens = await site.issue()
        cookies = site.cookies((site.access, raw), (site.refresh, tokens.refresh_token))
        told = (await site.http(cookies)).is_of("alice")
        assert all(0 < age <= 90 * 86400 for age in map(max_age, told.set_cookies))


def max_age(line: str) -> int:
    return int(line.partition("Max-Age=")[2].partition(";")[0])


@access_places
async def test_AB_17_the_greatest_exp_of_all_breaks_no_arithmetic(
    clock: Clock, place: Place
) -> None:
    for value in (2**53 - 1, 2.0**53 - 1, Raw("9007199254740990.5")):
        (await place.put(Site(clock), token(claims(exp=value)))).is_of("alice")


@access_places
@pytest.mark.parametrize("leeway", [0, 5, 60])
async def test_AB_18_a_token_is_over_at_the_second_of_its_exp(
    clock: Clock, place: Place, leeway: int
) -> None:
    """DESIGN §4: the leeway is for iat and nbf only; exp is exact."""
    site = Site(clock, config=Config(leeway=timedelta(seconds=leeway)))
    raw = token(claims(exp=NOW + 600))
    for now, good in ((599.0, True), (599.999, True), (600.0, False), (600.001, False),
                      (600.0 + leeway, False), (90_000.0, False), (599.0, True)):  # fmt: skip
        clock.now = NOW + now
        outcome = await place.put(site, raw)
        if good:
            outcome.is_of("alice")
        else:
            outcome.nobody(now, reason="expired_token")
    for exp in (NOW, NOW + 599, NOW - 1):
        (await place.put(site, token(claims(exp=exp)))).nobody(exp, reason="expired_token")


@pytest.mark.parametrize("place", REFRESH_PLACES, ids=str)
@pytest.mark.parametrize("stored", [True, False])
async def test_AB_18_a_session_is_over_at_the_second_of_its_end(
    clock: Clock, place: Place, stored: bool
) -> None:
    """The refresh endpoint deletes the cookies of a session that is over (DESIGN §6)."""
    config = Config(idle_lifetime=timedelta(hours=1), leeway=timedelta(seconds=60))
    for left in (0.001, 0.0, -0.001, -100_000.0):
        clock.now = NOW
        site = Site(clock, store=... if stored else None, config=config)
        raw = await site.genuine(place)
        clock.now = NOW + 3600 - left

        outcome = await place.put(site, raw)

        if left > 0:
            outcome.is_of("alice")
        elif place.is_endpoint:
            assert (outcome.subject, outcome.status, outcome.reason) == (None, *place.refusal)
        else:
            outcome.nobody(left, reason="session_ended")


@everywhere
@pytest.mark.parametrize("name", ["iat", "nbf"])
async def test_AB_19_a_token_of_the_future_is_good_within_the_leeway(
    clock: Clock, place: Place, name: str
) -> None:
    for leeway in (0, 5, 60):
        site = Site(clock, config=Config(leeway=timedelta(seconds=leeway)))
        late = [leeway + 0.001, leeway + 1, 500, 2**52]
        await refuses(site, place, *[claims(**{name: NOW + more}) for more in late])
        if place.kind == "access":
            (await place.put(site, token(claims(**{name: NOW + leeway})))).is_of("alice")


@everywhere
@pytest.mark.parametrize("name", ["iat", "nbf", "auth_time"])
async def test_AB_19_a_time_of_another_type_is_nobody(
    clock: Clock, place: Place, name: str
) -> None:
    values = [value for value in NOT_TIMES if value not in (-1, 0)]
    if name == "nbf":
        values.remove(...)
    await refuses(Site(clock), place, *[claims(**{name: value}) for value in values])


NO_SUBJECTS: list[Any] = [
    ..., None, 1, 1.5, True, [], ["alice"], {}, {"sub": "alice"}, "", "x" * 256, "x" * 4096,
    "\ud800", "a\udc00", "a\x00", "a\r\nb", "a\nb", "\x1b[31m", "a\x7f",
]  # fmt: skip


@everywhere
@pytest.mark.parametrize("name", ["sub", "sid", "jti"])
async def test_AB_20_an_identifier_of_another_shape_is_nobody(
    clock: Clock, place: Place, name: str
) -> None:
    await refuses(Site(clock), place, *[claims(**{name: value}) for value in NO_SUBJECTS])


@pytest.mark.parametrize("stored", [True, False])
async def test_AB_20_such_a_subject_cannot_sign_in(clock: Clock, stored: bool) -> None:
    for subject in NO_SUBJECTS[1:]:
        app = login_of(subject, raised := list[str]())
        site = Site(clock, app, store=... if stored else None)
        with pytest.raises(ValueError, match="a subject is a str of 1 to 255 characters"):
            await site.issuer.issue(subject)
        outcome = await site.http(method="POST")

        assert [text[:9] for text in raised] == ["a subject"], subject
        assert (outcome.subject, outcome.set_cookies, outcome.writes) == (None, [], [])


def login_of(subject: Any, raised: list[str]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            Auth.of(scope).login(subject)
        except ValueError as error:
            raised.append(str(error))
        await whoami(scope, receive, send)

    return app


@everywhere
async def test_AB_21_an_audience_is_the_one_that_is_set(clock: Clock, place: Place) -> None:
    """Exactly, and alone: a token for two audiences is for one too many (DESIGN §4)."""
    site = Site(clock, config=Config(audience="api"))
    for aud in (..., None, "", "ap", "apis", "API", " api", [], ["a", "p", "i"], [1], ["api", 1],
                ["api", "web"], ["web", "api"], ["api", "api"], [["api"]], 1, True,
                {"api": 1}):  # fmt: skip
        await refuses(site, place, claims(aud=aud))
    if place.kind == "access":
        for aud in ("api", ["api"]):
            (await place.put(site, token(claims(aud=aud)))).is_of("alice")
    for aud in ("api", ["api"], [], "", 0, {}, False):
        await refuses(Site(clock), place, claims(aud=aud))


@everywhere
async def test_AB_21_an_issuer_is_the_one_that_is_set(clock: Clock, place: Place) -> None:
    """CVE-2024-53861: `acme` is part of `acme-corp`, and another."""
    site = Site(clock, config=Config(issuer="acme-corp"))
    for iss in (..., None, "", "acme", "corp", "acme-corp ", "acme-corps", "ACME-CORP",
                ["acme-corp"], ["acme-corp", "x"], {"acme-corp": 1}, 1, True):  # fmt: skip
        await refuses(site, place, claims(iss=iss))
    if place.kind == "access":
        (await place.put(site, token(claims(iss="acme-corp")))).is_of("alice")
    await refuses(Site(clock, config=Config(issuer="acme")), place, claims(iss="acme-corp"))
    await refuses(Site(clock), place, claims(iss="acme"), claims(iss=""), claims(iss=[]))


OURS = sorted(RESERVED)


def test_AB_22_the_reserved_claims_are_those_of_the_design() -> None:
    assert OURS == [
        "aud",
        "auth_time",
        "exp",
        "gen",
        "iat",
        "iss",
        "jti",
        "nbf",
        "sid",
        "sub",
        "typ",
    ]


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("name", OURS)
async def test_AB_22_no_claim_of_ours_can_be_given(clock: Clock, name: str, stored: bool) -> None:
    raised: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        auth = Auth.of(scope)
        for give in (lambda: auth.elevate({name: 1}), lambda: auth.login("alice", {name: 1})):
            try:
                give()
            except (ValueError, StoreRequiredError) as error:
                raised.append(str(error))
        await whoami(scope, receive, send)

    site = Site(clock, app, store=... if stored else None)
    tokens = await site.issue()
    with pytest.raises(ValueError, match=rf"\b{name}\b.* the issuer's to set"):
        await site.issuer.issue("mallory", {"role": "x", name: 1})
    if stored:
        with pytest.raises(ValueError, match=name):
            await site.issuer.barrier(tokens.session_id, {name: 1})
    outcome = await site.http(site.cookies((site.access, tokens.access_token)))

    reserved = f"claims {name} are the issuer's to set"
    assert raised == [reserved if stored else "elevate() needs a store", reserved]
    assert (outcome.subject, outcome.set_cookies, outcome.writes) == ("alice", [], [])


@pytest.mark.parametrize("stored", [True, False])
async def test_AB_22_no_claim_of_ours_can_be_loaded(clock: Clock, stored: bool) -> None:
    """DESIGN §3: from `load_claims` it is anonymous, and no cookie is touched."""
    loaded: dict[str, Any] = {"role": "reader"}

    async def load(_session: Any) -> dict[str, Any]:
        return loaded

    site = Site(clock, store=... if stored else None, load_claims=load)
    tokens = await site.issue()
    clock.advance(3600)
    cookies = site.cookies((site.access, tokens.access_token), (site.refresh, tokens.refresh_token))
    for name in OURS:
        loaded = {name: 1}
        outcome = await site.http(cookies)
        outcome.nobody(name, reason="claims_unavailable")
        with pytest.raises(ClaimsUnavailable):
            await site.issuer.issue("mallory")
    loaded = {}
    (await site.http(cookies)).is_of("alice")


FILL = {"fill": "x" * 4000}


@pytest.mark.parametrize("stored", [True, False])
async def test_AB_23_claims_that_no_browser_would_keep_are_refused_with_the_sizes(
    clock: Clock, stored: bool
) -> None:
    raised: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            Auth.of(scope).login("alice", FILL)
        except ValueError as error:
            raised.append(str(error))
        await answer(send, 200 if not raised else 400)

    site = Site(clock, app, store=... if stored else None)
    with pytest.raises(ValueError, match=r"a cookie of \d{4} bytes and browsers keep 4096"):
        await site.issuer.issue("alice", FILL)
    with pytest.raises(ValueError, match=r"\b\d{4} bytes, and no cookie holds 4096"):
        await site.issuer.issue("alice", {"fill": "x" * 5000})
    outcome = await site.http(method="POST")

    assert (outcome.status, outcome.set_cookies, outcome.writes) == (400, [], [])
    assert "4096" in raised[0]
    if stored:
        assert await site.issuer.sessions("alice") == []


@pytest.mark.parametrize("stored", [True, False])
async def test_AB_23_claims_that_grow_too_large_are_never_emitted(
    clock: Clock, stored: bool
) -> None:
    """A cookie that a browser drops silently would be refreshed at every request, for ever."""
    loaded: dict[str, Any] = {}

    def load(_session: Any) -> dict[str, Any]:
        return loaded

    site = Site(clock, store=... if stored else None, load_claims=load)
    tokens = await site.issue()
    clock.advance(3600)
    loaded = FILL

    (await site.http(site.cookies((site.refresh, tokens.refresh_token)))).nobody(
        reason="claims_unavailable"
    )
    body = json.dumps({"refresh_token": tokens.refresh_token}).encode()
    json_type = (b"content-type", b"application/json")
    outcome = await site.http(json_type, path=ENDPOINT, method="POST", body=body)
    assert (outcome.status, outcome.writes) == (503, [])


@pytest.mark.parametrize("kept", ["access_cookie", "refresh_cookie"])
async def test_AB_23_the_name_counts_too(clock: Clock, kept: str) -> None:
    config = Config(**{kept: Cookie("n" * 4000, secure=False)})  # type: ignore[arg-type]
    site = Site(clock, store=None, config=config)
    with pytest.raises(ValueError, match=r"a cookie of \d{4} bytes and browsers keep 4096"):
        await site.issuer.issue("alice")


WRITES: list[Callable[[Any], object]] = [
    lambda payload: payload.__setitem__("sub", "mallory"),
    lambda payload: payload.__delitem__("sub"),
    lambda payload: payload.update(sub="mallory"),
    lambda payload: payload.pop("sub"),
    lambda payload: payload.popitem(),
    lambda payload: payload.clear(),
    lambda payload: payload.setdefault("x", 1),
    lambda payload: payload.__ior__({"sub": "mallory"}),
    lambda payload: payload["deep"].__setitem__("role", "admin"),
    lambda payload: payload["deep"]["roles"].append("admin"),
    lambda payload: operator.setitem(payload["deep"]["roles"], 0, "admin"),
]


@pytest.mark.parametrize(
    "place", [p for p in PLACES if not p.is_endpoint and not p.name.startswith("Issuer.r")], ids=str
)
async def test_AB_24_a_payload_cannot_be_changed_for_the_next_request(
    clock: Clock, place: Place
) -> None:
    def tamper(payload: Any) -> None:
        for write in WRITES:
            with pytest.raises((TypeError, AttributeError)):  # a tuple has no append
                write(payload)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        tamper(scope["asgi_refresh"].payload)
        tamper(scope["user"].payload)
        await whoami(scope, receive, send)

    site = Site(clock, app)
    extra = {"deep": {"role": "reader", "roles": ["reader"]}}
    tokens = await site.issue("alice", extra)
    raw = tokens.access_token if place.kind == "access" else tokens.refresh_token

    for _ in range(2):
        outcome = (await place.put(site, raw)).is_of("alice")
        if outcome.told:
            assert outcome.told["payload"]["deep"] == extra["deep"]
    for call in (site.issuer.authenticate, site.verifier.authenticate):
        payload = await call(tokens.access_token)
        tamper(payload)
        assert (await call(tokens.access_token))["sub"] == "alice"


async def test_AB_24_the_claims_given_at_login_are_the_callers_to_change(clock: Clock) -> None:
    """What a handler gave at login it may change afterwards: the session has its own copy."""
    given: dict[str, Any] = {"roles": ["reader"]}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        Auth.of(scope).login("alice", given)
        given["roles"].append("admin")
        await answer(send)

    site = Site(clock)
    lines = set_cookies(await run(RefreshMiddleware(app, site.issuer), http(method="POST")))
    raw = lines[0].partition(b"=")[2].partition(b";")[0]

    assert site.issuer.verify(raw.decode())["roles"] == ("reader",)


def test_what_the_forge_calls_now_is_the_clock_of_a_site(clock: Clock) -> None:
    assert clock() == forge.NOW
